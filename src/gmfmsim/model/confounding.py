"""How much of the dose slope is seen between like and like: within cell classes, routes and trials.

Low and high doses were given as different cells by different routes. A slope across them measures that too.
"""

from typing import NamedTuple

import numpy as np
import xarray as xr

from gmfmsim.compute.algebra import cholesky, dot, orthogonal, product, solve_lower
from gmfmsim.evidence.covariates import CLASS_WORDS, ROUTE_WORDS
from gmfmsim.evidence.formulas.conversions import Z975

SAME_DOSE = 1e-6
"""Doses that differ by fewer decades count as one: the rounding of a printed figure."""

ALL = "all contrasts"


class Slope(NamedTuple):
    """A slope in points per tenfold dose, its standard error, and how many contrasts and doses it compares."""

    slope: float
    se: float
    contrasts: int
    doses: int


def confounding(data: xr.Dataset, *, tau: float, r: float = 0.56) -> xr.Dataset:
    """Return the dose slope across all contrasts and within strata of them, by generalised least squares.

    y ~ Normal(a[stratum] + slope log10(dose), S V S + tau^2 [same study]), S = 1 for effects on the GMFM-66 and r for
    others; tau and r are given, not estimated. Each stratum has its own intercept: only doses within it are compared.

    Dim `comparison`: "all contrasts" (one stratum); "cell class", "cell class and route", "trial", "trial and cell
    class" (such strata, one slope); then every cell class alone ("MSC") and every route of it ("MSC IV"), where
    `of_class` and `of_route` name them. A route is its first-named part: IV/IA counts as IV.
    slope, se, and the 95 % interval low to high, in GMFM-66 points per tenfold dose; NaN where no stratum holds two
    doses. `information`: 1/se^2 as a share of that of all contrasts. `contrasts`, `doses`: how many there are.

    Of several readings the most probable is taken, and a standard error that is not known at its median. Contrasts of
    unknown dose and those against another dose, not a control, are left out and counted in attrs.

    Raises ValueError for tau below 0, r not above 0, and values of either that are not finite.
    """
    if not (np.isfinite(tau) and tau >= 0):
        raise ValueError(f"tau {tau!r}: a finite number from 0, in GMFM-66 points")
    if not (np.isfinite(r) and r > 0):
        raise ValueError(f"r {r!r}: a finite number above 0, GMFM-66 points per point of another scale")
    data = data.isel(reading=0)
    known, against_dose = data["dose"].values > 0, data["control_dose"].values > 0
    keep = np.flatnonzero(known & ~against_dose)
    found = _slopes(data.isel(contrast=keep, contrast_=keep), tau, r)
    estimate, se, contrasts, doses = (np.array(part) for part in zip(*found.values(), strict=True))
    names, of_class, of_route = (list(part) for part in zip(*found, strict=True))
    columns = {
        "slope": estimate,
        "se": se,
        "low": estimate - Z975 * se,
        "high": estimate + Z975 * se,
        "information": np.nan_to_num((se[0] / se) ** 2),
        "contrasts": contrasts,
        "doses": doses,
        "of_class": of_class,
        "of_route": of_route,
    }
    return xr.Dataset(
        {name: ("comparison", values) for name, values in columns.items()},
        coords={"comparison": names},
        attrs={
            "unit": "GMFM-66 points per tenfold dose",
            "interval": "95 %, normal",
            "tau": tau,
            "r": r,
            "dose_unknown": int((~known).sum()),
            "against_dose": int((known & against_dose).sum()),
        },
    )


def _slopes(data: xr.Dataset, tau: float, r: float) -> dict[tuple[str, str, str], Slope]:
    """Return the slope of every comparison, by its name and the class and route that it is of, if it is of one."""
    scale = np.where(data["gmfm66"].values, 1.0, r)
    x, y = np.log10(data["dose"].values), data["effect"].values * scale
    study, cells = data["study"].values, _labels(data, "cell_class")
    route = np.array([name.split("/")[0] for name in _labels(data, "route")], str)
    covariance = data["covariance"].values * np.outer(scale, scale) + tau**2 * (study[:, None] == study)

    def slope(*labels: np.ndarray, where: np.ndarray | None = None) -> Slope:
        rows = np.arange(x.size) if where is None else np.flatnonzero(where)
        strata = np.array(["\0".join(parts) for parts in zip(*(part[rows] for part in labels), strict=True)], str)
        return _slope(x[rows], y[rows], covariance[np.ix_(rows, rows)], strata)

    found = {
        (ALL, "", ""): slope(np.full(x.size, ALL)),
        ("cell class", "", ""): slope(cells),
        ("cell class and route", "", ""): slope(cells, route),
        ("trial", "", ""): slope(study),
        ("trial and cell class", "", ""): slope(study, cells),
    }
    for one in dict.fromkeys(cells.tolist()):
        found[one, one, ""] = slope(cells, where=cells == one)
    for one, way in dict.fromkeys(zip(cells.tolist(), route.tolist(), strict=True)):
        found[f"{one} {way}", one, way] = slope(cells, where=(cells == one) & (route == way))
    return found


def _labels(data: xr.Dataset, name: str) -> np.ndarray:
    """Return a text of each contrast; "not known" where it is empty or data has none."""
    values = data[name].values if name in data else np.full(data.sizes["contrast"], "")
    return np.array([value or "not known" for value in values.tolist()], str)


def _slope(x: np.ndarray, y: np.ndarray, covariance: np.ndarray, strata: np.ndarray) -> Slope:
    """Return the slope of y on x with an intercept for each stratum, weighted by the inverse covariance.

    What is left of x and y when the intercepts are fitted to each (Frisch & Waugh 1933), whitened: x'y / x'x.
    """
    names, member = np.unique(strata, return_inverse=True)
    doses = np.sort(x)
    counts = (x.size, int((np.diff(doses) > SAME_DOSE).sum()) + 1 if x.size else 0)
    if not any(np.ptp(x[member == i]) > SAME_DOSE for i in range(names.size)):
        return Slope(np.nan, np.nan, *counts)
    root = cholesky(covariance)
    columns = np.column_stack([np.eye(names.size)[member], x - x.mean(), y])
    intercepts, both = np.split(solve_lower(root, columns), [names.size], axis=1)
    along = orthogonal(intercepts)[0]
    x, y = (both - product(along, product(along.T, both))).T
    return Slope(float(dot(x, y) / dot(x, x)), float(dot(x, x) ** -0.5), *counts)


def confounding_in_words(found: xr.Dataset) -> list[str]:
    """Say what `confounding` found: the shares of the information, the slopes, and what was left out."""
    whole = found.sel(comparison=ALL)
    said = []
    if np.isnan(whole["slope"].item()):
        said.append("No dose slope is identified: it needs contrasts of at least two different known doses.")
    else:
        shares = found["information"].to_series()
        said.append(
            f"Of the information on the dose slope, {_share(shares['cell class'])} lies within cell classes, "
            f"{_share(shares['cell class and route'])} within cell classes and routes, {_share(shares['trial'])} within"
            f" trials ({_share(shares['trial and cell class'])} where a trial compares doses of one cell class)."
        )
        alone = [found.isel(comparison=i) for i in np.flatnonzero(found["of_route"].values != "")]
        strata = [f"within {_cells(one)} {_points(one)}" for one in alone if np.isfinite(one["slope"].item())]
        across = f"Across all contrasts the slope is {_points(whole)} points per tenfold dose"
        said.append(", ".join([across, *strata]) + ".")
        silent = [_cells(one) for one in alone if np.isnan(one["slope"].item())]
        if silent:
            said.append(f"Nothing is known of a slope within {', '.join(silent)}: one dose each.")
    for name, what in (("dose_unknown", "of unknown dose"), ("against_dose", "against another dose, not a control")):
        if count := found.attrs[name]:
            said.append(f"Left out: {count} contrast{'s' if count > 1 else ''} {what}.")
    return said


def _share(information: float) -> str:
    percent = 100 * information
    return "nothing" if percent == 0 else "less than 1 %" if percent < 1 else f"{percent:.0f} %"


def _points(one: xr.Dataset) -> str:
    return "{:z.1f} ({:z.1f} to {:z.1f})".format(*(one[name].item() for name in ("slope", "low", "high")))


def _cells(one: xr.Dataset) -> str:
    """Say the cells and route of a stratum."""
    cells, route = one["of_class"].item(), one["of_route"].item()
    return f"{CLASS_WORDS.get(cells, f'cells of class {cells}')} {ROUTE_WORDS.get(route, f'by route {route}')}"
