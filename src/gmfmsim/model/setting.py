"""The children and cells of the next trial, as the terms of a model ask for them."""

from typing import Annotated, Literal

import xarray as xr
from pydantic import Field

from gmfmsim.faults import Fault, choices
from gmfmsim.files.toml import Spec
from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.terms import REFERENCE


class Setting(Spec):
    """What the effect of the next trial may depend on beside its dose; a model that asks for more says so.

    route is intravenous, or other (into the spinal canal or the brain); age in years and gmfcs (level) are means.
    """

    cell_class: str | None = None
    route: Literal["intravenous", "other"] | None = None
    age: Annotated[float, Field(ge=0, le=25)] | None = None
    gmfcs: Annotated[float, Field(ge=1, le=5)] | None = None


ASKED = ("cell_class", "route", "age", "gmfcs")
"""The terms of a model whose value in the next trial must be given."""


def setting_faults(spec: ModelSpec, data: xr.Dataset, setting: Setting, month: float, file: str) -> list[Fault]:
    """Return what a model needs to know of the next trial and does not, or cannot tell from the contrasts."""
    faults = []
    for name in ASKED:
        value = getattr(setting, name)
        where = f"key trial.setting.{name}"
        if name in spec.terms and value is None:
            faults.append(Fault(file, where, f"is missing, and the model has the term {name}", _allowed(name, data)))
    classes = sorted(set(data["cell_class"].values.tolist()))
    if "cell_class" in spec.terms and setting.cell_class not in (None, *classes):
        problem = f"no contrast has the cell class {setting.cell_class!r}"
        faults.append(Fault(file, "key trial.setting.cell_class", problem, choices(setting.cell_class, classes)))
    months = {*data["month"].values.tolist(), REFERENCE["month"]}
    if "months" in spec.terms and month not in months:
        known = ", ".join(f"{m:g}" for m in sorted(months))
        faults.append(Fault(file, "key trial.month", f"the model knows no effect at month {month:g}", known))
    return faults


def _allowed(name: str, data: xr.Dataset) -> str:
    return {
        "cell_class": "one of " + ", ".join(sorted(set(data["cell_class"].values.tolist()))),
        "route": "intravenous or other",
        "age": "the mean age in years",
        "gmfcs": "the mean GMFCS level, 1 to 5",
    }[name]
