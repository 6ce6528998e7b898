"""What a table and a row of it are: the columns with their types and units, and the evidence that they make together.

A row is a dict that pydantic has validated, typed by its table; None is an empty cell. What each column means is
written in tables/README.md, beside the tables.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypedDict, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic_core import SchemaValidator, core_schema

from gmfmsim.evidence.sheets import cells

type Row = dict[str, Any]
"""One row: column -> value, None for an empty cell; `row` is its line in the file (the header is line 1)."""

ReadingName = Literal[
    "as_tabled",
    "as_printed",
    "spread_is_se",
    "spread_is_sd",
    "imputed_sd",
    "sd_in_range",
    "sd_from_d",
    "centre_of_interval",
    "change_score",
]
READINGS: tuple[str, ...] = get_args(ReadingName)
"""The ways to read a contrast; evidence/readings.py says what each makes of the figures."""

RATIOS = ("RR", "OR")
"""The measures of pooled.csv that are symmetric on the log scale."""

GMFM66_SCALES = ("GMFM-66", "GMFM-66 observed-minus-expected")

StudyDesign = Literal[
    "rct_parallel",
    "rct_crossover",
    "nonrandomised",
    "single_arm",
    "twin",
    "meta_analysis",
    "review",
    "clinic_page",
    "preclinical",
]

# the cells

NotNegative = Annotated[float, Ge(0)]
Positive = Annotated[float, Gt(0)]
Months = Annotated[float, Ge(0)]
Years = Annotated[float, Ge(0)]
CellsPerKg = Annotated[float, Ge(0)]
Decades = Annotated[float, Gt(0)]
Probability = Annotated[float, Ge(0), Le(1)]
Percent = Annotated[float, Ge(0), Le(100)]
Points100 = Annotated[float, Ge(-100), Le(100)]
"""Points of a 0-100 scale."""
Error100 = Annotated[float, Gt(0), Le(100)]
"""A standard error in points of a 0-100 scale."""
Count = Annotated[int, Ge(0)]
Children = Annotated[int, Ge(1)]
YesNo = Literal["yes", "no"]
Verified = Literal["text", "abstract", "table", "registry", "derived"]
Qualifier = Literal["=", "<", ">"]
CellClass = Literal["TNC_MNC", "MSC", "neural", "other", "mixed", "none"]


# the rows


class Line(TypedDict, total=False):
    """What every row has: its line in the file. A column that its file leaves out is None once read."""

    row: int


class Study(Line, total=False):
    """A trial, an extension, a registration without results, a review, a document."""

    study_id: str
    citation: str
    year: Annotated[int, Ge(1900), Le(2100)] | None
    doi: str | None
    registry_id: str | None
    country: str | None
    design: StudyDesign
    blinding: str | None
    n_enrolled: Count | None
    age_min_y: Years | None
    age_max_y: Years | None
    age_mean_y: Years | None
    gmfcs: str | None
    rob: str | None
    seed: str
    sample_overlap: str | None
    source_url: str
    source_location: str
    notes: str | None


class Arm(Line, total=False):
    """A group of children, its cells and its dose."""

    study_id: str
    arm_id: str
    label: str
    role: Literal["active", "control"]
    control_type: Literal["placebo", "sham", "rehabilitation", "untreated", "mixed"] | None
    cell_type: str
    cell_class: CellClass
    origin: str
    route: str
    n_infusions: Positive | None
    dose_per_infusion: Positive | None
    dose_unit: Literal["cells_per_kg", "cells"] | None
    dose_low: Positive | None
    dose_high: Positive | None
    cointervention: str | None
    n: Children | None
    dose_total_cells_per_kg: CellsPerKg | None
    dose_total_low: CellsPerKg | None
    dose_total_high: CellsPerKg | None
    dose_derivation: str
    log10_dose: float | None
    log10_dose_sd: Decades | None
    composite_of: str | None
    source_url: str
    source_location: str
    notes: str | None


class Outcome(Line, total=False):
    """A mean or median of one scale, arm, month and kind, in points of the scale."""

    study_id: str
    arm_id: str
    scale: str
    scale_max: Positive | None
    month: Months
    kind: Literal["baseline", "change", "final"]
    n: Children | None
    mean: float | None
    sd: Positive | None
    se: Positive | None
    ci_low: float | None
    ci_high: float | None
    median: float | None
    q1: float | None
    q3: float | None
    min: float | None
    max: float | None
    sd_source: Literal["reported", "from_se", "from_ci", "from_range", "from_contrast_ci", "none"]
    preferred: YesNo
    spread_suspect: str | None
    source_url: str
    source_location: str
    verified: Verified
    notes: str | None


class Contrast(Line, total=False):
    """Cells against control, or dose against dose: as printed, on a 0-100 scale (md100), and standardised."""

    study_id: str
    arm_a: str
    arm_b: str
    scale: str
    month: Months
    measure: str
    estimate: float
    se: Positive | None
    ci_low: float | None
    ci_high: float | None
    p: Probability | None
    p_qualifier: Qualifier | None
    n_a: Children | None
    n_b: Children | None
    md100: Points100 | None
    md100_se: Error100 | None
    hedges_g: float | None
    hedges_g_se: Positive | None
    control_group: str | None
    control_se100: Error100 | None
    preferred: YesNo
    default_use: Literal["primary", "sensitivity", "no"]
    source_url: str
    source_location: str
    verified: Verified
    notes: str | None


class Event(Line, total=False):
    """Children of an arm with an adverse event, or who responded."""

    study_id: str
    arm_id: str
    event: str
    definition: str
    month: Months | None
    events: Count | None
    n: Count | None
    percent: Percent | None
    preferred: YesNo
    source_url: str
    source_location: str
    verified: Verified
    notes: str | None


class PooledRow(Line, total=False):
    """An estimate of a review."""

    meta_id: str
    scale: str
    month: str | None
    measure: Literal["MD", "SMD", "WMD", "RR", "OR", "count", "dose_slope"]
    k_studies: Annotated[int, Ge(1)] | None
    n_total: Count | None
    estimate: float | None
    ci_low: float | None
    ci_high: float | None
    p: Probability | None
    p_qualifier: Qualifier | None
    i2_pct: Percent | None
    tau2: NotNegative | None
    model: str | None
    study_ids: str | None
    preferred: YesNo
    source_url: str
    source_location: str
    verified: Verified
    notes: str | None


class Claim(Line, total=False):
    """A figure or statement of the two documents that the field is known by."""

    claim_id: str
    source: str
    study_id: str
    quantity: str
    low: float | None
    high: float | None
    unit: str
    status: Literal["agrees", "conflicts", "partly", "not checked", "stated", "not stated"]
    source_url: str
    notes: str | None


class ReadingRow(Line, total=False):
    """A way to read a suspect contrast, with its prior weight; sd_low and sd_high in points of 0-100."""

    study_id: str
    scale: str
    month: Months
    reading: ReadingName
    weight: Annotated[float, Gt(0), Le(1)]
    sd_low: Positive | None
    sd_high: Positive | None
    reason: str


# the tables


class Column(NamedTuple):
    """One column, from its annotation: its kind, whether it must have a cell, and what that may hold."""

    kind: Literal["text", "number", "integer"]
    required: bool
    choices: tuple[str, ...]
    low: float | None
    above: float | None
    high: float | None

    @classmethod
    def of(cls, annotation: Any) -> "Column":
        """Return what an annotation such as `Children | None` says."""
        optional = type(None) in get_args(annotation)
        held = get_args(annotation)[0] if optional else annotation
        base, limits = (held.__origin__, held.__metadata__) if get_origin(held) is Annotated else (held, ())
        bounds = {name: getattr(limit, name) for limit in limits for name in ("ge", "gt", "le") if hasattr(limit, name)}
        kind = {float: "number", int: "integer"}.get(base, "text")
        return cls(kind, not optional, get_args(base), *map(bounds.get, ("ge", "gt", "le")))

    @property
    def schema(self) -> core_schema.CoreSchema:
        """What reads and validates a cell; None is an empty one."""
        limits = {"ge": self.low, "gt": self.above, "le": self.high}
        if self.choices:
            read, held = cells.one_of_texts, core_schema.literal_schema(list(self.choices))
        elif self.kind == "text":
            read, held = cells.text, core_schema.str_schema()
        elif self.kind == "number":
            read, held = cells.number, core_schema.float_schema(**limits)
        else:
            read, held = cells.whole, core_schema.int_schema(**limits)
        schema = core_schema.no_info_before_validator_function(read, held)
        return schema if self.required else core_schema.nullable_schema(schema)

    @property
    def allowed(self) -> str:
        """Say in words what a cell may hold."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        limits = (("from", self.low), ("above", self.above), ("up to", self.high))
        bounds = [f"{word} {bound:g}" for word, bound in limits if bound is not None]
        kind = {"text": "text", "number": "a number", "integer": "a whole number"}[self.kind]
        return " ".join([kind, *bounds]) + ("" if self.required else ", or empty for not reported")


WHY = {
    "control_se100": "the error of a difference holds that of its control, var(A - C) = var(A) + var(C); check which "
    "standard error stands where"
}
"""Why a column cannot be above another, where that is not plain."""


@dataclass(frozen=True)
class Table:
    """One table: the type of its rows, its key, and the (study, arm) columns that must exist in arms.csv.

    ordered: pairs of columns of which the first is at most the second. spreads: pairs of a column that says how much
    children differ and one that counts them, at least two.
    """

    rows: type
    key: tuple[str, ...]
    study: str = "study_id"
    arms: tuple[str, ...] = ()
    ordered: tuple[tuple[str, str], ...] = ()
    spreads: tuple[tuple[str, str], ...] = ()

    @cached_property
    def columns(self) -> dict[str, Column]:
        """The columns in order, each with what it may hold."""
        return {name: Column.of(kind) for name, kind in self.rows.__annotations__.items() if name != "row"}

    @cached_property
    def validator(self) -> SchemaValidator:
        """The validator of a row: texts as they stand in the file, None for an empty cell."""
        fields = {name: core_schema.typed_dict_field(c.schema, required=False) for name, c in self.columns.items()}
        return SchemaValidator(core_schema.typed_dict_schema(fields))

    def conflicts(self, row: Mapping) -> Iterator[tuple[str, str, str]]:
        """Yield column, problem and what is allowed where two cells of a row cannot both be right."""
        for low, high in self.ordered:
            if row[low] is not None and row[high] is not None and row[low] > row[high]:
                allowed = f"{low} up to {high}" + (f": {WHY[low]}" if low in WHY else "")
                yield low, f"{low} {row[low]:g} is above {high} {row[high]:g}", allowed
        for spread, count in self.spreads:
            if row[spread] is not None and row[count] is not None and row[count] < 2:
                yield count, f"{count} {row[count]} beside {spread} {row[spread]:g}", "at least 2 children for a spread"


_DOSES = (
    ("dose_low", "dose_high"),
    ("dose_total_low", "dose_total_cells_per_kg"),
    ("dose_total_cells_per_kg", "dose_total_high"),
)
_INTERVAL = ("ci_low", "ci_high")

TABLES: dict[str, Table] = {
    "studies": Table(Study, ("study_id",), ordered=(("age_min_y", "age_max_y"),)),
    "arms": Table(Arm, ("study_id", "arm_id"), ordered=_DOSES),
    "outcomes": Table(
        Outcome,
        ("study_id", "arm_id", "scale", "month", "kind"),
        arms=("arm_id",),
        ordered=(_INTERVAL, ("min", "max"), ("q1", "q3")),
        spreads=(("sd", "n"), ("se", "n")),
    ),
    "contrasts": Table(
        Contrast,
        ("study_id", "arm_a", "arm_b", "scale", "month", "measure"),
        arms=("arm_a", "arm_b"),
        ordered=(_INTERVAL, ("control_se100", "md100_se")),
    ),
    "events": Table(Event, ("study_id", "arm_id", "event"), arms=("arm_id",)),
    "pooled": Table(PooledRow, ("meta_id", "scale", "month", "measure"), study="meta_id", ordered=(_INTERVAL,)),
    "claims": Table(Claim, ("claim_id",), ordered=(("low", "high"),)),
    "readings": Table(ReadingRow, ("study_id", "scale", "month", "reading"), ordered=(("sd_low", "sd_high"),)),
}


@dataclass(frozen=True)
class Tables:
    """The evidence as read: rows by table name, and the SHA-256 of the bytes they came from.

    folder is the folder of the tables, or the flat file they were made from; files are the files that were read.
    """

    folder: Path
    rows: dict[str, list[Row]]
    sha256: str
    files: tuple[Path, ...] = ()

    @property
    def copy_name(self) -> str:
        """Where a result keeps a copy of these tables, by what they hold."""
        return f"inputs/tables-{self.sha256[:8]}" + (".csv" if self.folder.is_file() else "")

    def where(self, table: str, **cells: object) -> list[Row]:
        """Return the rows of `table` whose cells equal the given values; none of a table that is not there."""
        return [r for r in self.rows.get(table, []) if all(r[k] == v for k, v in cells.items())]


def at_month(month: float) -> str:
    """Say a month; NaN is not known."""
    return "month not known" if math.isnan(month) else f"month {month:g}"
