"""The children and cells of the next trial, as the terms of a model ask for them."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from gmfmsim.compute.labels import xr
from gmfmsim.evidence.covariates import IN_WORDS, SILENT
from gmfmsim.faults import Fault, choices
from gmfmsim.files.toml import Spec, key
from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.terms import REFERENCE, SLOPES, covariate_sd


class Setting(Spec):
    """What the effect of the next trial may depend on beside its dose; a model that asks for more says so."""

    cell_class: Annotated[str | None, key("class of the cells, one of the evidence", example="TNC_MNC")] = None
    route: Annotated[Literal["intravenous", "other"] | None, key("by vein, or into the spinal canal or the brain")] = (
        None
    )
    age: Annotated[float, key("mean age", "years", example=4, ge=0, le=25)] | None = None
    gmfcs: Annotated[float, key("mean GMFCS level", example=2.5, ge=1, le=5)] | None = None
    claimed_age: Annotated[
        float | None, key("share of children of 3 to 10 years, of whom a clinic claims most", "share", example=1)
    ] = Field(default=None, ge=0, le=1, exclude_if=lambda share: share is None)
    infusions: Annotated[float | None, key("number of infusions", example=4, ge=1, le=100)] = Field(
        default=None, exclude_if=lambda infusions: infusions is None
    )
    country: Annotated[
        str | None, key("one of the evidence; without it, one that no study is from", example="China")
    ] = Field(default=None, exclude_if=lambda country: country is None)


class Reach(NamedTuple):
    """The means of the children of the studies that a slope rests on: from low to high, and how many studies print it,
    say between which ends it lies, or tell nothing of it."""

    low: float
    high: float
    printed: int
    within: int
    silent: int

    def holds(self, value: float) -> bool:
        """Return whether a mean lies within what was studied."""
        return self.low <= value <= self.high


MODIFIERS = {name: IN_WORDS[name][0] for name in SLOPES.values() if name in REFERENCE}
"""The terms by which effects change with the mean of a trial's children, and what that is of."""
BETWEEN_TRIALS = "It compares trials, which differ in more than that: it is no slope between the children of one trial."


def reach(data: xr.Dataset, name: str) -> Reach:
    """Return how far contrasts reach in the covariate of a term of `MODIFIERS`, study by study."""
    first = [data["study"].values.tolist().index(study) for study in dict.fromkeys(data["study"].values.tolist())]
    means, known = data[name].values[first], covariate_sd(data, name)[first] == 0
    told = data[f"{name}_told"].values[first].tolist() if f"{name}_told" in data else ["printed"] * len(first)
    silent = sum(one.startswith(SILENT) for one in told)
    return Reach(float(means.min()), float(means.max()), int(known.sum()), int((~known).sum()) - silent, silent)


def reach_words(data: xr.Dataset, name: str, setting: Setting) -> str:
    """Say on what the slope of a term of `MODIFIERS` rests, and whether the next trial lies outside."""
    found, what = reach(data, name), MODIFIERS[name]
    says = {"printed": found.printed, "within ends that are printed": found.within, "not told": found.silent}
    parts = ", ".join(f"{words} by {count}" for words, count in says.items() if count)
    words = f"The effect by {what} rests on trials from {found.low:.2g} to {found.high:.2g} ({parts}). {BETWEEN_TRIALS}"
    asked = getattr(setting, name)
    if asked is not None and not found.holds(asked):
        words += f" The {what} of the trial, {asked:g}, lies outside: the slope is carried on beyond what was studied."
    return words


def setting_faults(spec: ModelSpec, data: xr.Dataset, setting: Setting, month: float, file: str) -> list[Fault]:
    """Return what a model needs to know of the next trial and does not, or cannot tell from the contrasts."""
    classes = sorted(set(data["cell_class"].values.tolist()))
    asked = {
        "cell_class": "one of " + ", ".join(classes),
        "route": "intravenous or other",
        "age": "the mean age in years",
        "gmfcs": "the mean GMFCS level, 1 to 5",
        "claimed_age": "the share of children of 3 to 10 years, 0 to 1",
        "infusions": "the number of infusions, 1 or more",
    }
    faults = [
        Fault(file, f"key trial.setting.{name}", f"is missing, and the model has the term {name}", allowed)
        for name, allowed in asked.items()
        if name in spec.terms and getattr(setting, name) is None
    ]
    if "cell_class" in spec.terms and setting.cell_class not in (None, *classes):
        problem = f"no contrast has the cell class {setting.cell_class!r}"
        faults.append(Fault(file, "key trial.setting.cell_class", problem, choices(setting.cell_class, classes)))
    countries = sorted(set(data["country"].values.tolist())) if "country" in data else []
    if "group" in spec.terms and setting.country not in (None, *countries):
        problem = f"no contrast is from {setting.country!r}"
        allowed = f"{choices(setting.country, countries)}; nothing for a country without a study"
        faults.append(Fault(file, "key trial.setting.country", problem, allowed))
    months = {*data["month"].values.tolist(), REFERENCE["month"]}
    if "months" in spec.terms and month not in months:
        known = ", ".join(f"{m:g}" for m in sorted(months))
        faults.append(Fault(file, "key trial.month", f"the model knows no effect at month {month:g}", known))
    return faults
