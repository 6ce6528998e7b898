"""What may explain why trials differ: the covariates of a contrast, as far as the tables print them.

Nothing is filled in. A figure that is not printed is NaN, a text "": an age range is no mean age, and a range of GMFCS
levels says who could enter, not who did.
"""

import re
from collections.abc import Sequence

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
    "randomised": ("allocation", "allocations (randomised or not)"),
    "small_study": ("number of children of both arms", "numbers of children"),
    "log10_dose_sd": ("uncertainty of the dose", "uncertainties of dose"),
}
"""What a model may need to know of a contrast, one and several, as a message says it."""

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


def small_study(n_active: ArrayLike, n_control: ArrayLike) -> np.ndarray:
    """Return sqrt(1/n_active + 1/n_control): the standard error in SDs; NaN where a number is unknown or 0.

    Unlike the standard error of an effect it does not hang on the SD that the effect was measured with, so that a
    regression on it is free of that link (Pustejovsky & Rodgers 2019).
    """
    n = np.array(np.broadcast_arrays(n_active, n_control), float)
    return np.sqrt((1 / np.where(n > 0, n, np.nan)).sum(axis=0))


def study_covariates(study: Row) -> dict[str, float | bool | str]:
    """Return the covariates that all contrasts of a study share: its row of studies.csv, read.

    age: mean age in years; gmfcs: mean level; randomised: a parallel or crossover randomised trial; country.
    """
    age = study["age_mean_y"]
    return {
        "age": float("nan") if age is None else age,
        "gmfcs": mean_gmfcs(study["gmfcs"]),
        "randomised": study["design"].startswith("rct"),
        "country": study["country"] or "",
    }


def contrast_covariates(rows: Sequence[Row], tables: Tables) -> dict[str, np.ndarray]:
    """Return the covariates (K,) of rows of contrasts.csv by name.

    Of the treated arm cell_class, route and log10_dose_sd (decades); of the study those of `study_covariates`; of the
    contrast small_study.
    """
    arms, studies = tables.arms, tables.studies
    active = [arms[row["study_id"], row["arm_a"]] for row in rows]
    shared = [study_covariates(studies[row["study_id"]]) for row in rows]
    n_active, n_control = (np.array([row[name] for row in rows], float) for name in ("n_a", "n_b"))
    return {
        "cell_class": np.array([arm["cell_class"] for arm in active]),
        "route": np.array([arm["route"] for arm in active]),
        "log10_dose_sd": np.array([arm["log10_dose_sd"] for arm in active], float),
        **{name: np.array([one[name] for one in shared]) for name in shared[0]},
        "small_study": small_study(n_active, n_control),
    }
