"""The columns of the evidence tables: their kind, their range and their keys.

What each column means is written in tables/README.md, beside the tables.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Column:
    """One column: its kind, whether a cell may be empty, and what it may hold."""

    kind: Literal["text", "number", "integer"] = "text"
    required: bool = False
    choices: tuple[str, ...] = ()
    low: float | None = None
    above: float | None = None
    high: float | None = None

    @property
    def allowed(self) -> str:
        """Say in words what a cell may hold."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        bounds = [
            f"{word} {bound:g}"
            for word, bound in (("from", self.low), ("above", self.above), ("up to", self.high))
            if bound is not None
        ]
        kind = {"text": "text", "number": "a number", "integer": "a whole number"}[self.kind]
        return " ".join([kind, *bounds]) + ("" if self.required else ", or empty for not reported")


@dataclass(frozen=True)
class TableSchema:
    """One table: its key, its columns, and the (study, arm) columns that must exist in arms.csv.

    ordered: pairs of columns of which the first is at most the second. spreads: pairs of a column that says how much
    children differ and one that counts them, at least two.
    """

    key: tuple[str, ...]
    columns: dict[str, Column]
    study: str = "study_id"
    arms: tuple[str, ...] = ()
    ordered: tuple[tuple[str, str], ...] = ()
    spreads: tuple[tuple[str, str], ...] = ()

    def conflicts(self, row: Mapping) -> Iterator[tuple[str, str, str]]:
        """Yield column, problem and what is allowed where two cells of a row cannot both be right."""
        for low, high in self.ordered:
            if row[low] is not None and row[high] is not None and row[low] > row[high]:
                allowed = f"{low} up to {high}" + (f": {WHY[low]}" if low in WHY else "")
                yield low, f"{low} {row[low]:g} is above {high} {row[high]:g}", allowed
        for spread, count in self.spreads:
            if row[spread] is not None and row[count] is not None and row[count] < 2:
                yield count, f"{count} {row[count]} beside {spread} {row[spread]:g}", "at least 2 children for a spread"


WHY = {
    "control_se100": "the error of a difference holds that of its control, var(A - C) = var(A) + var(C); check which "
    "standard error stands where"
}
"""Why a column cannot be above another, where that is not plain."""


def _texts(names: str, required: bool = False) -> dict[str, Column]:
    return {name: Column(required=required) for name in names.split()}


def _numbers(names: str, **limits: float | bool) -> dict[str, Column]:
    return {name: Column("number", **limits) for name in names.split()}


_COUNT = Column("integer", low=0)
_CHILDREN = Column("integer", low=1)
_YES_NO = Column(required=True, choices=("yes", "no"))
_SOURCE = _texts("source_url source_location", required=True)
_VERIFIED = Column(required=True, choices=("text", "abstract", "table", "registry", "derived"))
_QUALIFIER = Column(choices=("=", "<", ">"))

READINGS = (
    *("as_tabled", "as_printed", "spread_is_se", "spread_is_sd"),
    *("imputed_sd", "sd_in_range", "sd_from_d", "centre_of_interval", "change_score"),
)
"""The ways to read a contrast; evidence/readings.py says what each makes of the figures."""

RATIOS = ("RR", "OR")
"""The measures of pooled.csv that are symmetric on the log scale."""

TABLES: dict[str, TableSchema] = {
    "studies": TableSchema(
        ("study_id",),
        {
            **_texts("study_id citation", required=True),
            "year": Column("integer", low=1900, high=2100),
            **_texts("doi registry_id country"),
            "design": Column(
                required=True,
                choices=(
                    *("rct_parallel", "rct_crossover", "nonrandomised", "single_arm", "twin"),
                    *("meta_analysis", "review", "clinic_page", "preclinical"),
                ),
            ),
            "blinding": Column(),
            "n_enrolled": _COUNT,
            **_numbers("age_min_y age_max_y age_mean_y", low=0),
            **_texts("gmfcs rob"),
            "seed": Column(required=True),
            "sample_overlap": Column(),
            **_SOURCE,
            "notes": Column(),
        },
        ordered=(("age_min_y", "age_max_y"),),
    ),
    "arms": TableSchema(
        ("study_id", "arm_id"),
        {
            **_texts("study_id arm_id label", required=True),
            "role": Column(required=True, choices=("active", "control")),
            "control_type": Column(choices=("placebo", "sham", "rehabilitation", "untreated", "mixed")),
            "cell_type": Column(required=True),
            "cell_class": Column(required=True, choices=("TNC_MNC", "MSC", "neural", "other", "mixed", "none")),
            **_texts("origin route", required=True),
            **_numbers("n_infusions dose_per_infusion", above=0),
            "dose_unit": Column(choices=("cells_per_kg", "cells")),
            **_numbers("dose_low dose_high", above=0),
            "cointervention": Column(),
            "n": _CHILDREN,
            **_numbers("dose_total_cells_per_kg dose_total_low dose_total_high", low=0),
            "dose_derivation": Column(required=True),
            "log10_dose": Column("number"),
            "log10_dose_sd": Column("number", above=0),
            "composite_of": Column(),
            **_SOURCE,
            "notes": Column(),
        },
        ordered=(
            ("dose_low", "dose_high"),
            ("dose_total_low", "dose_total_cells_per_kg"),
            ("dose_total_cells_per_kg", "dose_total_high"),
        ),
    ),
    "outcomes": TableSchema(
        ("study_id", "arm_id", "scale", "month", "kind"),
        {
            **_texts("study_id arm_id scale", required=True),
            "scale_max": Column("number", above=0),
            "month": Column("number", required=True, low=0),
            "kind": Column(required=True, choices=("baseline", "change", "final")),
            "n": _CHILDREN,
            "mean": Column("number"),
            **_numbers("sd se", above=0),
            **_numbers("ci_low ci_high median q1 q3 min max"),
            "sd_source": Column(
                required=True,
                choices=("reported", "from_se", "from_ci", "from_range", "from_contrast_ci", "none"),
            ),
            "preferred": _YES_NO,
            "spread_suspect": Column(),
            **_SOURCE,
            "verified": _VERIFIED,
            "notes": Column(),
        },
        arms=("arm_id",),
        ordered=(("ci_low", "ci_high"), ("min", "max"), ("q1", "q3")),
        spreads=(("sd", "n"), ("se", "n")),
    ),
    "contrasts": TableSchema(
        ("study_id", "arm_a", "arm_b", "scale", "month", "measure"),
        {
            **_texts("study_id arm_a arm_b scale", required=True),
            "month": Column("number", required=True, low=0),
            "measure": Column(required=True),
            "estimate": Column("number", required=True),
            "se": Column("number", above=0),
            **_numbers("ci_low ci_high"),
            "p": Column("number", low=0, high=1),
            "p_qualifier": _QUALIFIER,
            **dict.fromkeys(("n_a", "n_b"), _CHILDREN),
            "md100": Column("number", low=-100, high=100),
            "md100_se": Column("number", above=0, high=100),
            "hedges_g": Column("number"),
            "hedges_g_se": Column("number", above=0),
            "control_group": Column(),
            "control_se100": Column("number", above=0, high=100),
            "preferred": _YES_NO,
            "default_use": Column(required=True, choices=("primary", "sensitivity", "no")),
            **_SOURCE,
            "verified": _VERIFIED,
            "notes": Column(),
        },
        arms=("arm_a", "arm_b"),
        ordered=(("ci_low", "ci_high"), ("control_se100", "md100_se")),
    ),
    "events": TableSchema(
        ("study_id", "arm_id", "event"),
        {
            **_texts("study_id arm_id event definition", required=True),
            "month": Column("number", low=0),
            "events": _COUNT,
            "n": _COUNT,
            "percent": Column("number", low=0, high=100),
            "preferred": _YES_NO,
            **_SOURCE,
            "verified": _VERIFIED,
            "notes": Column(),
        },
        arms=("arm_id",),
    ),
    "pooled": TableSchema(
        ("meta_id", "scale", "month", "measure"),
        {
            **_texts("meta_id scale", required=True),
            "month": Column(),
            "measure": Column(required=True, choices=("MD", "SMD", "WMD", *RATIOS, "count", "dose_slope")),
            "k_studies": Column("integer", low=1),
            "n_total": _COUNT,
            **_numbers("estimate ci_low ci_high"),
            "p": Column("number", low=0, high=1),
            "p_qualifier": _QUALIFIER,
            "i2_pct": Column("number", low=0, high=100),
            "tau2": Column("number", low=0),
            **_texts("model study_ids"),
            "preferred": _YES_NO,
            **_SOURCE,
            "verified": _VERIFIED,
            "notes": Column(),
        },
        study="meta_id",
        ordered=(("ci_low", "ci_high"),),
    ),
    "claims": TableSchema(
        ("claim_id",),
        {
            **_texts("claim_id source study_id quantity", required=True),
            **_numbers("low high"),
            "unit": Column(required=True),
            "status": Column(
                required=True, choices=("agrees", "conflicts", "partly", "not checked", "stated", "not stated")
            ),
            "source_url": Column(required=True),
            "notes": Column(),
        },
        ordered=(("low", "high"),),
    ),
    "readings": TableSchema(
        ("study_id", "scale", "month", "reading"),
        {
            **_texts("study_id scale", required=True),
            "month": Column("number", required=True, low=0),
            "reading": Column(required=True, choices=READINGS),
            "weight": Column("number", required=True, above=0, high=1),
            **_numbers("sd_low sd_high", above=0),
            "reason": Column(required=True),
        },
        ordered=(("sd_low", "sd_high"),),
    ),
}
