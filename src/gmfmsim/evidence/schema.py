"""What a table and a row of it are: the columns with their types and units, and the evidence that they make together.

A row is a dict, every cell read as its column says; None is an empty cell. What each column means is written in
tables/README.md, beside the tables.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic_core import SchemaValidator, core_schema

from gmfmsim.evidence.sheets import cells

type Row = dict[str, Any]
"""One row: column -> value, None for an empty cell; `row` is its line in `file` (the header is line 1)."""

READINGS = (
    *("as_tabled", "as_printed", "spread_is_se", "spread_is_sd", "imputed_sd", "sd_in_range", "sd_from_d"),
    *("centre_of_interval", "change_score"),
)
"""The ways to read a contrast; evidence/readings.py says what each makes of the figures."""

RATIOS = ("RR", "OR")
"""The measures of pooled.csv that are symmetric on the log scale."""

GMFM66_SCALES = ("GMFM-66", "GMFM-66 observed-minus-expected")

KINDS = {
    "text": (cells.text, "text"),
    "amount": (cells.text, "an amount with its unit"),
    "number": (cells.number, "a number"),
    "integer": (cells.whole, "a whole number"),
}
"""What reads a cell of each kind, and the kind in words."""


class Column(NamedTuple):
    """What a column holds: the kind of its cells, whether each must hold something, and what that may be."""

    kind: Literal["text", "amount", "number", "integer"]
    required: bool = True
    choices: tuple[str, ...] = ()
    low: float | None = None
    above: float | None = None
    high: float | None = None

    @property
    def schema(self) -> core_schema.CoreSchema:
        """What reads and validates a cell; None is an empty one."""
        limits = {"ge": self.low, "gt": self.above, "le": self.high}
        held = {
            "text": core_schema.literal_schema(list(self.choices)) if self.choices else core_schema.str_schema(),
            "amount": core_schema.str_schema(),
            "number": core_schema.float_schema(**limits),
            "integer": core_schema.int_schema(**limits),
        }[self.kind]
        read = cells.one_of_texts if self.choices else KINDS[self.kind][0]
        schema = core_schema.no_info_before_validator_function(read, held)
        return schema if self.required else core_schema.nullable_schema(schema)

    @property
    def allowed(self) -> str:
        """Say in words what a cell may hold."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        limits = (("from", self.low), ("above", self.above), ("up to", self.high))
        bounds = [f"{word} {bound:g}" for word, bound in limits if bound is not None]
        return " ".join([KINDS[self.kind][1], *bounds]) + ("" if self.required else ", or empty for not reported")


def columns(*groups: tuple[str, Column]) -> dict[str, Column]:
    """Return columns in order, from the names of some that hold the same, and what that is; "?": it may be empty."""
    return {
        name.rstrip("?"): column._replace(required=not name.endswith("?"))
        for names, column in groups
        for name in names.split()
    }


def one_of(*choices: str) -> Column:
    """Return a column of texts that are known."""
    return Column("text", choices=choices)


TEXT, NUMBER = Column("text"), Column("number")
NOT_NEGATIVE, POSITIVE = NUMBER._replace(low=0), NUMBER._replace(above=0)
SHARE, PERCENT = NUMBER._replace(low=0, high=1), NUMBER._replace(low=0, high=100)
POINTS100 = NUMBER._replace(low=-100, high=100)
"""Points of a 0-100 scale."""
ERROR100 = NUMBER._replace(above=0, high=100)
"""A standard error in points of a 0-100 scale."""
COUNT, CHILDREN = Column("integer", low=0), Column("integer", low=1)
YES_NO = one_of("yes", "no")
QUALIFIER = one_of("=", "<", ">")
VERIFIED = one_of("text", "abstract", "table", "registry", "derived")
CELL_CLASS = one_of("TNC_MNC", "MSC", "neural", "other", "mixed", "none")
SOURCED = (("source_url source_location", TEXT), ("verified", VERIFIED), ("notes?", TEXT))

# a trial, an extension, a registration without results, a review, a document
STUDIES = columns(
    ("study_id citation", TEXT),
    ("year?", Column("integer", low=1900, high=2100)),
    ("doi? registry_id? country?", TEXT),
    (
        "design",
        one_of(
            *("rct_parallel", "rct_crossover", "nonrandomised", "single_arm", "twin"),
            *("meta_analysis", "review", "clinic_page", "preclinical"),
        ),
    ),
    ("blinding?", TEXT),
    ("n_enrolled?", COUNT),
    ("age_min_y? age_max_y? age_mean_y?", NOT_NEGATIVE),
    ("gmfcs? rob? seed sample_overlap? source_url source_location notes?", TEXT),
)

# a group of children, its cells and its dose; log10_dose_sd in decades
ARMS = columns(
    ("study_id arm_id label", TEXT),
    ("role", one_of("active", "control")),
    ("control_type?", one_of("placebo", "sham", "rehabilitation", "untreated", "mixed")),
    ("cell_type", TEXT),
    ("cell_class", CELL_CLASS),
    ("origin route", TEXT),
    ("n_infusions? dose_per_infusion?", POSITIVE),
    ("dose_unit?", one_of("cells_per_kg", "cells")),
    ("dose_low? dose_high?", POSITIVE),
    ("cointervention?", TEXT),
    ("n?", CHILDREN),
    ("dose_total_cells_per_kg? dose_total_low? dose_total_high?", NOT_NEGATIVE),
    ("dose_derivation", TEXT),
    ("log10_dose?", NUMBER),
    ("log10_dose_sd?", POSITIVE),
    ("composite_of? source_url source_location notes?", TEXT),
)

# a mean or median of one scale, arm, month and kind, in points of the scale
OUTCOMES = columns(
    ("study_id arm_id scale", TEXT),
    ("scale_max?", POSITIVE),
    ("month", NOT_NEGATIVE),
    ("kind", one_of("baseline", "change", "final")),
    ("n?", CHILDREN),
    ("mean?", NUMBER),
    ("sd? se?", POSITIVE),
    ("ci_low? ci_high? median? q1? q3? min? max?", NUMBER),
    ("sd_source", one_of("reported", "from_se", "from_ci", "from_range", "from_contrast_ci", "none")),
    ("preferred", YES_NO),
    ("spread_suspect?", TEXT),
    *SOURCED,
)

# cells against control, or dose against dose: as printed, on a 0-100 scale (md100), and standardised
CONTRASTS = columns(
    ("study_id arm_a arm_b scale", TEXT),
    ("month", NOT_NEGATIVE),
    ("measure", TEXT),
    ("estimate", NUMBER),
    ("se?", POSITIVE),
    ("ci_low? ci_high?", NUMBER),
    ("p?", SHARE),
    ("p_qualifier?", QUALIFIER),
    ("n_a? n_b?", CHILDREN),
    ("md100?", POINTS100),
    ("md100_se?", ERROR100),
    ("hedges_g?", NUMBER),
    ("hedges_g_se?", POSITIVE),
    ("control_group?", TEXT),
    ("control_se100?", ERROR100),
    ("preferred", YES_NO),
    ("default_use", one_of("primary", "sensitivity", "no")),
    *SOURCED,
)

# children of an arm with an adverse event, or who responded
EVENTS = columns(
    ("study_id arm_id event definition", TEXT),
    ("month?", NOT_NEGATIVE),
    ("events? n?", COUNT),
    ("percent?", PERCENT),
    ("preferred", YES_NO),
    *SOURCED,
)

# an estimate of a review
POOLED = columns(
    ("meta_id scale month?", TEXT),
    ("measure", one_of("MD", "SMD", "WMD", "RR", "OR", "count", "dose_slope")),
    ("k_studies?", CHILDREN),
    ("n_total?", COUNT),
    ("estimate? ci_low? ci_high?", NUMBER),
    ("p?", SHARE),
    ("p_qualifier?", QUALIFIER),
    ("i2_pct?", PERCENT),
    ("tau2?", NOT_NEGATIVE),
    ("model? study_ids?", TEXT),
    ("preferred", YES_NO),
    *SOURCED,
)

# a figure or statement of the two documents that the field is known by; of one that was not checked uses.csv says what
# was found since
CLAIMS = columns(
    ("claim_id source study_id quantity", TEXT),
    ("low? high?", NUMBER),
    ("unit", TEXT),
    ("status", one_of("agrees", "conflicts", "partly", "not checked", "stated", "not stated")),
    ("source_url notes?", TEXT),
)

# a way to read a suspect contrast, with its prior weight; sd_low and sd_high in points of 0-100
AS_READ = columns(
    ("study_id scale", TEXT),
    ("month", NOT_NEGATIVE),
    ("reading", one_of(*READINGS)),
    ("weight", NUMBER._replace(above=0, high=1)),
    ("sd_low? sd_high?", POSITIVE),
    ("reason", TEXT),
)

# a study, or one treated arm of it, whose children are among those of a pool of individual data
HELD = columns(
    ("meta_id study_id", TEXT),
    ("arm_id?", TEXT),
    ("certainty", one_of("certain", "probable")),
    ("source_url source_location", TEXT),
    ("notes?", TEXT),
)

WHY = {
    "control_se100": "the error of a difference holds that of its control, var(A - C) = var(A) + var(C); check which "
    "standard error stands where"
}
"""Why a column cannot be above another, where that is not plain."""


@dataclass(frozen=True)
class Table:
    """One table: its columns in order, its key, and the (study, arm) columns that must exist in arms.csv.

    ordered: pairs of columns of which the first is at most the second. spreads: pairs of a column that says how much
    children differ and one that counts them, at least two. apart: whether the key of a result counts the table only
    where a plan asks for what it says.
    """

    columns: dict[str, Column]
    key: tuple[str, ...]
    study: str = "study_id"
    arms: tuple[str, ...] = ()
    ordered: tuple[tuple[str, str], ...] = ()
    spreads: tuple[tuple[str, str], ...] = ()
    apart: bool = False

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
    "studies": Table(STUDIES, ("study_id",), ordered=(("age_min_y", "age_max_y"),)),
    "arms": Table(ARMS, ("study_id", "arm_id"), ordered=_DOSES),
    "outcomes": Table(
        OUTCOMES,
        ("study_id", "arm_id", "scale", "month", "kind"),
        arms=("arm_id",),
        ordered=(_INTERVAL, ("min", "max"), ("q1", "q3")),
        spreads=(("sd", "n"), ("se", "n")),
    ),
    "contrasts": Table(
        CONTRASTS,
        ("study_id", "arm_a", "arm_b", "scale", "month", "measure"),
        arms=("arm_a", "arm_b"),
        ordered=(_INTERVAL, ("control_se100", "md100_se")),
    ),
    "events": Table(EVENTS, ("study_id", "arm_id", "event"), arms=("arm_id",)),
    "pooled": Table(POOLED, ("meta_id", "scale", "month", "measure"), study="meta_id", ordered=(_INTERVAL,)),
    "claims": Table(CLAIMS, ("claim_id",), ordered=(("low", "high"),)),
    "readings": Table(AS_READ, ("study_id", "scale", "month", "reading"), ordered=(("sd_low", "sd_high"),)),
    "held": Table(HELD, ("meta_id", "study_id", "arm_id"), arms=("arm_id",), apart=True),
}


@dataclass(frozen=True, eq=False)
class Tables:
    """The evidence as read, not to be changed: rows by table name, and the SHA-256 of the bytes they came from.

    folder is the folder of the tables, or the flat file they were made from; files are the files that were read; apart
    is the SHA-256 of the tables that stand apart (see `Table`), "" where there are none. parts: of tables that were
    joined, those of each source, in order; then folder is that of the first.
    """

    folder: Path
    rows: dict[str, list[Row]]
    sha256: str
    files: tuple[Path, ...] = ()
    apart: str = ""
    parts: tuple["Tables", ...] = ()

    @property
    def is_flat(self) -> bool:
        """Whether the tables were made from one flat file."""
        return self.folder.is_file() and not self.parts

    @property
    def copy_name(self) -> str:
        """Where a result keeps a copy of these tables, by what they hold."""
        held = f"{self.sha256[:8]}-{self.apart[:8]}".rstrip("-")
        return f"inputs/tables-{held}" + (".csv" if self.is_flat else "")

    @property
    def studies(self) -> dict[str, Row]:
        """The rows of studies.csv by name."""
        return {row["study_id"]: row for row in self.rows["studies"]}

    @property
    def arms(self) -> dict[tuple[str, str], Row]:
        """The rows of arms.csv by study and arm."""
        return {(row["study_id"], row["arm_id"]): row for row in self.rows["arms"]}

    def where(self, table: str, **cells: object) -> list[Row]:
        """Return the rows of `table` whose cells equal the given values; none of a table that is not there."""
        return [r for r in self.rows.get(table, []) if all(r[k] == v for k, v in cells.items())]


def grouped[T, K](items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Return items by their key, both in the order in which they come."""
    groups: dict[K, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def at_month(month: float) -> str:
    """Say a month; NaN is not known."""
    return "month not known" if math.isnan(month) else f"month {month:g}"
