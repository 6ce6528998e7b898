"""The children and cells of the next trial, as the terms of a model ask for them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gmfmsim.compute.labels import xr
from gmfmsim.faults import Fault, choices
from gmfmsim.files.toml import Spec, key
from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.terms import REFERENCE


class Setting(Spec):
    """What the effect of the next trial may depend on beside its dose; a model that asks for more says so."""

    cell_class: Annotated[str | None, key("class of the cells, one of the evidence", example="TNC_MNC")] = None
    route: Annotated[Literal["intravenous", "other"] | None, key("by vein, or into the spinal canal or the brain")] = (
        None
    )
    age: Annotated[float, key("mean age", "years", example=4, ge=0, le=25)] | None = None
    gmfcs: Annotated[float, key("mean GMFCS level", example=2.5, ge=1, le=5)] | None = None
    country: Annotated[
        str | None, key("one of the evidence; without it, one that no study is from", example="China")
    ] = Field(default=None, exclude_if=lambda country: country is None)


def setting_faults(spec: ModelSpec, data: xr.Dataset, setting: Setting, month: float, file: str) -> list[Fault]:
    """Return what a model needs to know of the next trial and does not, or cannot tell from the contrasts."""
    classes = sorted(set(data["cell_class"].values.tolist()))
    asked = {
        "cell_class": "one of " + ", ".join(classes),
        "route": "intravenous or other",
        "age": "the mean age in years",
        "gmfcs": "the mean GMFCS level, 1 to 5",
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
