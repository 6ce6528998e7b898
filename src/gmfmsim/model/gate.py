"""The gate of a fit: criteria, measurements, verdicts (Vehtari et al. 2021; Betancourt 2016)."""

from __future__ import annotations

import operator
from functools import partial

import numpy as np

from gmfmsim.compute.labels import xr
from gmfmsim.model.exact import ExactPosterior
from gmfmsim.model.exact.quadrature import EFFORT

R_HAT_MAX = 1.01
ESS_MIN = 400
E_BFMI_MIN = 0.3
MISSED_MAX = 1e-5
"""Largest share of a marginal density that the nodes of the exact engine may miss, and of its peak at an open end."""
DISTANCE_MAX = 4.0
"""Largest distance of the two engines, in Monte Carlo standard errors of the sampled one: with a dozen figures that are
compared, chance goes beyond it once in a thousand fits."""


def exact_rows(exact: ExactPosterior) -> list[dict]:
    """Return the criteria of the exact engine: what its nodes may miss between them, and beyond them."""
    nodes = (" x ".join(map(str, exact.box.points)) or "1") + " nodes"
    found = {"missed density": (exact.missed, may_miss(exact)), "density at the ends": (exact.open_ends, MISSED_MAX)}
    return [_row(name, f"at most {m:g}", partial(operator.ge, m), x, nodes) for name, (x, m) in found.items()]


def may_miss(exact: ExactPosterior) -> float:
    """Return the largest share of a marginal density that the nodes may miss.

    With more than four parameters all nodes that can be afforded miss more, and that of the density of a parameter of
    which the data say little; means and standard deviations of effects, integrals over it, are right to some 0.001.
    """
    return max(MISSED_MAX, EFFORT[len(exact.prepared.names)].missed)


def agreement(exact: ExactPosterior, tree: xr.DataTree) -> list[dict]:
    """Return mean and sd of every parameter and coefficient by both engines, and their distance in MCSE.

    One row a figure: name, figure, exact, nuts, mcse, distance. A Monte Carlo error needs moments of twice the order of
    its figure: where they do not exist, the mean alone is compared, or the median.
    """
    import arviz as az

    posterior, rows = tree["posterior"].to_dataset(), []
    wanted = [(name, None, None) for name in exact.prepared.names]
    wanted += [(c.variable, c.dim, c.label) for c in exact.prepared.structure.coefficients if c.parameter is None]
    for name, dim, label in wanted:
        draws = posterior[name].sel({dim: label}) if dim else posterior[name]
        for figure, value in _exact_figures(exact, name, label).items():
            mcse, sampled = az.mcse(draws, method=figure).item(), getattr(draws, FIGURES[figure])().item()
            shown = f"{name}[{label}]" if dim else name
            row = {"name": shown, "figure": figure, "exact": value, "nuts": sampled, "mcse": mcse}
            rows.append(row | {"distance": abs(sampled - value) / mcse})
    return rows


FIGURES = {"mean": "mean", "sd": "std", "median": "median"}
"""The figures by which engines are compared, and what xarray calls them."""


def _exact_figures(exact: ExactPosterior, name: str, label) -> dict[str, float]:
    """Return the figures of a parameter or coefficient whose Monte Carlo errors exist."""
    if name not in exact.prepared.names:
        mixture = exact.coefficient(name, label)
        return {"mean": mixture.mean, "sd": mixture.sd}
    mean, sd = exact.moments(name)
    order = exact.orders[name]
    if order > 2:
        return {"mean": mean} | ({"sd": sd} if order > 4 else {})
    return {"median": exact.parameter(name).quantile(0.5)}


def gate(tree: xr.DataTree) -> list[dict]:
    """Return one row a criterion of a sampled posterior: criterion, required, measured, worst (variable), passed.

    R-hat (rank-normalised, folded) at most 1.01, bulk and tail ESS at least 400, no divergence, E-BFMI at least
    0.3 in every chain. R-hat and ESS are over every sampled parameter, study effects included, and none that is held at
    a value.
    """
    import arviz as az

    sampled = tree["posterior"].to_dataset()
    sampled = sampled.drop_vars(["theta", *sampled.attrs.get("held", "").split(", ")], errors="ignore")
    least = f"at least {ESS_MIN}", lambda x: x >= ESS_MIN
    stats = tree["sample_stats"].to_dataset()
    energy = stats["energy"].transpose("chain", "draw").values
    e_bfmi = np.mean(np.diff(energy, axis=1) ** 2, axis=1) / np.var(energy, axis=1)
    chain = int(np.argmin(e_bfmi))
    found = {
        "R-hat": (f"at most {R_HAT_MAX}", lambda x: x <= R_HAT_MAX, *_extreme(az.rhat(sampled), max)),
        "bulk ESS": (*least, *_extreme(az.ess(sampled, method="bulk"), min)),
        "tail ESS": (*least, *_extreme(az.ess(sampled, method="tail"), min)),
        "divergences": ("0", lambda x: x == 0, int(stats["diverging"].sum()), "all chains"),
        "E-BFMI": (f"at least {E_BFMI_MIN}", lambda x: x >= E_BFMI_MIN, float(e_bfmi[chain]), f"chain {chain}"),
    }
    return [_row(name, *figures) for name, figures in found.items()]


def agreement_rows(compared: list[dict]) -> list[dict]:
    """Return the criterion of two engines: at most 4 MCSE apart, by the rows of `agreement`."""
    far = max(compared, key=lambda row: row["distance"])
    return [apart_row("engines apart", far["distance"], f"{far['figure']} of {far['name']}")]


def apart_row(criterion: str, distance: float, where: str) -> dict:
    """Return the criterion of two ways to one figure: at most 4 MCSE apart."""
    return _row(criterion, f"at most {DISTANCE_MAX:g} MCSE", lambda x: x <= DISTANCE_MAX, distance, where)


def failures(rows: list[dict]) -> str:
    """Say which criteria were not met, and by how much."""
    return ", ".join(f"{r['criterion']} {r['measured']:.4g} at {r['worst']}" for r in rows if not r["passed"])


def _row(criterion: str, required: str, passes, measured: float, worst: str) -> dict:
    return {
        "criterion": criterion,
        "required": required,
        "measured": round(measured, 4 if measured < 100 else 0) if measured > 1e-3 else float(f"{measured:.2g}"),
        "worst": worst,
        "passed": bool(passes(measured)),
    }


def _extreme(values: xr.Dataset, choose) -> tuple[float, str]:
    """Return the extreme measurement and its variable; a NaN is the extreme wherever there is one."""
    flat = []
    for name, array in values.items():
        names = [f"{name}[{label}]" for label in array[array.dims[0]].values] if array.dims else [name]
        flat += zip(np.ravel(array).tolist(), names, strict=True)
    return next((item for item in flat if np.isnan(item[0])), None) or choose(flat)
