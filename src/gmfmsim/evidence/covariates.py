"""What may explain why trials differ: the covariates of a contrast, and how well the tables tell them.

A mean age or GMFCS level that is not printed is not filled in: it is a distribution, from the range of the children or
from other studies, and words say which. Of all else a figure that is not printed is NaN, a text "".
"""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gmfmsim.evidence.schema import Row, Tables

LEVELS = ("I", "II", "III", "IV", "V")

CLASS_WORDS = {
    "TNC_MNC": "nucleated cells",
    "MSC": "expanded MSC",
    "neural": "neural cells",
    "other": "other cells",
    "mixed": "mixed cells",
}
ROUTE_WORDS = {"IV": "by vein", "IV/IA": "by vein or artery", "IT": "into the spinal canal"}

IN_WORDS = {
    "dose": ("dose", "doses"),
    "cell_class": ("cell class", "cell classes"),
    "route": ("route", "routes"),
    "country": ("country", "countries"),
    "month": ("month", "months"),
    "age": ("mean age", "mean ages"),
    "gmfcs": ("mean GMFCS level", "GMFCS levels"),
    "claimed_age": ("share of children of 3 to 10 years", "shares of children of 3 to 10 years"),
    "infusions": ("number of infusions", "numbers of infusions"),
    "epo": ("difference in erythropoietin", "differences in erythropoietin"),
    "randomised": ("allocation", "allocations (randomised or not)"),
    "small_study": ("number of children of both arms", "numbers of children"),
    "log10_dose_sd": ("uncertainty of the dose", "uncertainties of dose"),
}
"""What a model may need to know of a contrast, one and several, as a message says it."""

_EPO = re.compile(r"\bEPO\b|erythropoietin", re.IGNORECASE)
_LEVEL = r"(III|II|IV|I|V)"
_PAIR = re.compile(rf"{_LEVEL}[ :=]+(\d+)")
_BY_ARM = re.compile(rf"((?:\w+ )?\d+(?:/\d+)+(?:, *(?:\w+ )?\d+(?:/\d+)+)*) *\(({_LEVEL}(?:/{_LEVEL})+)\)")


def mean_gmfcs(text: str | None) -> float:
    """Return the mean GMFCS level (1 to 5) of counted children: sum of level x count / sum of counts; else NaN.

    Two forms are counts: "I 17, II 24, III 8" and, arm by arm, "A 1/2/5, B 2/2/5 (I/II/III)". Everything else is NaN:
    ranges ("I-IV"), shares ("V 62.5%"), words. It must be the whole text, since what qualifies a count changes it.
    """
    text = (text or "").strip()
    pairs = [_PAIR.fullmatch(part.strip()) for part in re.split("[,;]", text)]
    if all(pairs):
        levels, counts = [p[1] for p in pairs], [int(p[2]) for p in pairs]
    elif found := _BY_ARM.fullmatch(text):
        levels = found[2].split("/")
        arms = [[int(n) for n in arm.split("/")] for arm in re.findall(r"\d+(?:/\d+)+", found[1])]
        if {len(arm) for arm in arms} != {len(levels)}:
            return float("nan")
        counts = [sum(column) for column in zip(*arms, strict=True)]
    else:
        return float("nan")
    if len(set(levels)) < len(levels) or not sum(counts):
        return float("nan")
    return sum((LEVELS.index(level) + 1) * n for level, n in zip(levels, counts, strict=True)) / sum(counts)


class Mean(NamedTuple):
    """The mean of the children of a study, mean and SD of what it may be: SD 0 where it is printed; and from what."""

    mean: float
    sd: float
    told: str


AGE_IN_RANGE = Mean(0.38, 0.12, "studies that print range and mean")
"""Where the mean age lies in the range of ages, as a share of its width from the low end: of a further study.

Five studies print both (Huang 2018 0.49, Rah 2017 0.29, Min 2013 0.34, Min 2020 0.43, Wang 2015 0.37: mean 0.38, SD
0.08). The SD is that of the predictive distribution, Student-t with 4 degrees of freedom.
"""
AGE_OF_FIELD = Mean(5.0, 2.0, "studies that print a mean age")
"""The mean age of a further study, in years: predicted in the same way from the seven studies that print one."""
LEVEL_IN_RANGE = Mean(0.5, 0.2, "the middle of the levels")
"""Where the mean GMFCS level lies in the range of levels: the middle, as only two studies count their children, 0.07 of
the width below it (Sun 2017) and 0.18 above (Min 2020). With 0.2 as SD, 95 % lie within the inner four fifths."""

SILENT = ("other studies", "not told")
"""How it begins what is told of a mean of which a study says nothing."""

_RANGE = re.compile(rf"{_LEVEL}-{_LEVEL}( .*)?")
WORDED = {"any": (1, 5), "all types": (1, 5), "severe": (4, 5), "non-severe": (1, 3)}
"""Levels that words stand for: severe is IV and V, as surveys of cerebral palsy use it."""


def _within(low: float, high: float, place: Mean) -> tuple[float, float]:
    """Return mean and SD of what lies at a place in the range from low to high."""
    return low + place.mean * (high - low), place.sd * (high - low)


def mean_age(study: Row) -> Mean:
    """Return the mean age of the children of a study in years: printed, from the range of ages, or of other studies.

    A range without low end starts at 0; one without high end tells nothing.
    """
    low, mean, high = study["age_min_y"], study["age_mean_y"], study["age_max_y"]
    if mean is not None:
        return Mean(mean, 0.0, "printed")
    if high is None:
        return AGE_OF_FIELD._replace(told=SILENT[0])
    return Mean(*_within(low or 0.0, high, AGE_IN_RANGE), f"ages {low or 0:g} to {high:g}")


def mean_level(text: str | None) -> Mean:
    """Return the mean GMFCS level of the children of a study: counted, or from the levels that its text names.

    Levels are named by a range at the start of the text ("I-IV by eligibility") or by one of `WORDED`, or by several of
    these between semicolons, which count together. All others say nothing: levels I to V.
    """
    counted = mean_gmfcs(text)
    if counted == counted:
        return Mean(counted, 0.0, "counted")
    named = [_levels_named(part.strip()) for part in (text or "").split(";")]
    ends = [end for one in named if one for end in one]
    low, high, how = (min(ends), max(ends), "") if ends and None not in named else (1, 5, f"{SILENT[1]}: ")
    return Mean(*_within(low, high, LEVEL_IN_RANGE), f"{how}levels {LEVELS[low - 1]} to {LEVELS[high - 1]}")


def _levels_named(text: str) -> tuple[int, int] | None:
    """Return the lowest and highest level that a text names, or None."""
    if found := _RANGE.fullmatch(text):
        low, high = (LEVELS.index(found[i]) + 1 for i in (1, 2))
        return (low, high) if low < high else None
    return WORDED.get(re.sub(r" \(.*\)$", "", text))


def small_study(n_active: ArrayLike, n_control: ArrayLike) -> np.ndarray:
    """Return sqrt(1/n_active + 1/n_control): the standard error in SDs; NaN where a number is unknown or 0.

    Unlike the standard error of an effect it does not hang on the SD that the effect was measured with, so that a
    regression on it is free of that link (Pustejovsky & Rodgers 2019).
    """
    n = np.array(np.broadcast_arrays(n_active, n_control), float)
    return np.sqrt((1 / np.where(n > 0, n, np.nan)).sum(axis=0))


CLAIMED_AGES = (3.0, 10.0)
"""The ages in years of which a clinic says that they respond best (claims.csv, C09)."""
SPREAD_OF_AGES = 0.45
"""SD of ages within a trial as a share of their mean: 1.9 of 4.3 years (Rah 2017), 1.76 of 3.94 (Min 2013)."""
SHAPE_OF_AGES = 0.1
"""SD of a share of children within ages, as no trial prints how its children are spread over them: a judgement."""


def share_of_ages(study: Row) -> Mean:
    """Return the share of the children of a study who are in `CLAIMED_AGES`: no study prints it.

    Half of the children lie evenly from the youngest to the mean age, half from there to the oldest; without a range
    ages are Normal(mean, (SPREAD_OF_AGES mean)^2). The SD is half the distance between the shares at mean age +- its
    SD, and SHAPE_OF_AGES beside it.
    """
    age, low, high = mean_age(study), study["age_min_y"] or 0.0, study["age_max_y"]

    def within(start: float, end: float) -> float:
        inside = min(end, CLAIMED_AGES[1]) - max(start, CLAIMED_AGES[0])
        return max(inside, 0.0) / (end - start) if end > start else float(CLAIMED_AGES[0] <= start <= CLAIMED_AGES[1])

    def share(mean: float) -> float:
        if high is None:
            z = [(end - mean) / (SPREAD_OF_AGES * mean) / math.sqrt(2) for end in CLAIMED_AGES]
            return (math.erf(z[1]) - math.erf(z[0])) / 2
        middle = min(max(mean, low), high)
        return (within(low, middle) + within(middle, high)) / 2

    apart = abs(share(age.mean + age.sd) - share(age.mean - age.sd)) / 2
    return Mean(share(age.mean), math.hypot(apart, SHAPE_OF_AGES), age.told)


def children_of(study: Row) -> dict[str, float | str]:
    """Return what is known of the children of a study by name: a mean or share, its `_sd`, and what it is `_told` by.

    age: mean age in years; gmfcs: mean level; claimed_age: the share within `CLAIMED_AGES`.
    """
    found = {"age": mean_age(study), "gmfcs": mean_level(study["gmfcs"]), "claimed_age": share_of_ages(study)}
    parts = {name: {name: one.mean, f"{name}_sd": one.sd, f"{name}_told": one.told} for name, one in found.items()}
    return parts["age"] | parts["gmfcs"] | parts["claimed_age"]


def study_covariates(study: Row) -> dict[str, float | bool | str]:
    """Return the covariates that all contrasts of a study share: its row of studies.csv, read.

    Those of `children_of`; randomised: a parallel or crossover randomised trial; country.
    """
    return {
        **children_of(study),
        "randomised": study["design"].startswith("rct"),
        "country": study["country"] or "",
    }


def has_epo(arm: Row) -> bool:
    """Return whether the children of an arm had erythropoietin: its cointervention names it."""
    return bool(_EPO.search(arm["cointervention"] or ""))


def contrast_covariates(rows: Sequence[Row], tables: Tables) -> dict[str, np.ndarray]:
    """Return the covariates (K,) of rows of contrasts.csv by name.

    Of the treated arm cell_class, route, infusions (their number) and log10_dose_sd (decades); of the study those of
    `study_covariates`; of the contrast small_study, and epo: 1 where the arm with cells alone had erythropoietin, -1
    where its control alone had, 0 where both or neither.
    """
    arms, studies = tables.arms, tables.studies
    active, control = ([arms[row["study_id"], row[arm]] for row in rows] for arm in ("arm_a", "arm_b"))
    shared = [study_covariates(studies[row["study_id"]]) for row in rows]
    n_active, n_control = (np.array([row[name] for row in rows], float) for name in ("n_a", "n_b"))
    return {
        "cell_class": np.array([arm["cell_class"] for arm in active]),
        "route": np.array([arm["route"] for arm in active]),
        "infusions": np.array([arm["n_infusions"] for arm in active], float),
        "epo": np.array([float(has_epo(a)) - has_epo(c) for a, c in zip(active, control, strict=True)]),
        "log10_dose_sd": np.array([arm["log10_dose_sd"] for arm in active], float),
        **{name: np.array([one[name] for one in shared]) for name in shared[0]},
        "small_study": small_study(n_active, n_control),
    }
