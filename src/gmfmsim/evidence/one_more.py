"""One more contrast beside those of the tables: a result that stands in no row of contrasts.csv."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from scipy.linalg import block_diag

from gmfmsim.compute.labels import xr
from gmfmsim.evidence.contrasts import bare


def one_more(data: xr.Dataset, effect: float, se: float, label: str, values: Mapping[str, object]) -> xr.Dataset:
    """Return contrasts, before their readings, with one more of a study of its own: effect and se in GMFM-66 points.

    values: of the variables (contrast), by name; `study` must be there. What they do not say of it is NaN or "". A
    variable that no other contrast has is NaN, False or "" for these. Its error is independent of all others.
    """
    dose = np.array([values.get("dose", math.nan)], float)
    made = bare(np.array([effect]), np.array([[se**2]]), [str(values["study"])], dose, np.ones(1, bool))
    made = made.assign({name: ("contrast", [value]) for name, value in values.items()})
    for name in data.data_vars:
        if name not in made:
            made[name] = ("contrast", ["" if data[name].dtype.kind in "UO" else math.nan])
    blank = {"U": "", "b": False}
    of_others = {
        name: ("contrast", np.full(data.sizes["contrast"], blank.get(made[name].dtype.kind, math.nan)))
        for name in values
        if name not in data
    }
    parts = [data.assign(of_others), made.assign_coords(contrast=[label])]
    figures = [part.drop_vars("covariance") for part in parts]
    joined = xr.concat(figures, "contrast", coords="minimal", compat="override")
    covariance = block_diag(*(part["covariance"].values for part in parts))
    return joined.assign(covariance=(("contrast", "contrast_"), covariance))
