"""The gate of a fit: criteria, measurements, verdicts (Vehtari et al. 2021; Betancourt 2016)."""

import numpy as np
import xarray as xr

from gmfmsim.model.exact import ExactPosterior

R_HAT_MAX = 1.01
ESS_MIN = 400
E_BFMI_MIN = 0.3
MISSED_MAX = 1e-5
"""Largest share of a marginal density that the nodes of the exact engine may miss."""
DISTANCE_MAX = 4.0
"""Largest distance of the two engines, in Monte Carlo standard errors of the sampled one: with a dozen figures that are
compared, chance goes beyond it once in a thousand fits."""


def exact_rows(exact: ExactPosterior) -> list[dict]:
    """Return the criterion of the exact engine: what its nodes may miss."""
    nodes = " x ".join(map(str, exact.box.points)) or "1"
    return [
        _row("missed density", f"at most {MISSED_MAX:g}", exact.missed, f"{nodes} nodes", lambda x: x <= MISSED_MAX)
    ]


def agreement(exact: ExactPosterior, tree: xr.DataTree) -> list[dict]:
    """Return mean and sd of every parameter and coefficient by both engines, and their distance in MCSE.

    One row a figure: name, figure (mean or sd), exact, nuts, mcse, distance.
    """
    import arviz as az

    posterior, rows = tree["posterior"].to_dataset(), []
    model = exact.prepared.structure
    wanted = [(name, None, None) for name in exact.prepared.names]
    wanted += [(c.variable, c.dim, c.label) for c in model.coefficients]
    for name, dim, label in wanted:
        draws = posterior[name].sel({dim: label}) if dim else posterior[name]
        mixture = None if name in exact.prepared.names else exact.coefficient(name, label)
        mean, sd = (mixture.mean, mixture.sd) if mixture else exact.moments(name)
        for figure, value, sampled in (("mean", mean, draws.mean().item()), ("sd", sd, draws.std().item())):
            mcse = az.mcse(draws, method=figure).item()
            shown = f"{name}[{label}]" if dim else name
            row = {"name": shown, "figure": figure, "exact": value, "nuts": sampled, "mcse": mcse}
            rows.append(row | {"distance": abs(sampled - value) / mcse})
    return rows


def gate(tree: xr.DataTree, compared: list[dict] | None = None) -> list[dict]:
    """Return one row a criterion: criterion, required, measured, worst (variable), passed.

    R-hat (rank-normalised, folded) at most 1.01, bulk and tail ESS at least 400, no divergence, E-BFMI at least
    0.3 in every chain; with `compared`, the engines at most 4 MCSE apart. R-hat and ESS are over every sampled
    parameter, study effects included.
    """
    import arviz as az

    posterior = tree["posterior"].to_dataset()
    sampled = posterior.drop_vars("theta", errors="ignore")
    rows = [
        _row("R-hat", f"at most {R_HAT_MAX}", *_extreme(az.rhat(sampled), max), lambda x: x <= R_HAT_MAX),
        _row("bulk ESS", f"at least {ESS_MIN}", *_extreme(az.ess(sampled, method="bulk"), min), lambda x: x >= ESS_MIN),
        _row("tail ESS", f"at least {ESS_MIN}", *_extreme(az.ess(sampled, method="tail"), min), lambda x: x >= ESS_MIN),
    ]
    stats = tree["sample_stats"].to_dataset()
    divergences = int(stats["diverging"].sum())
    rows.append(_row("divergences", "0", divergences, "all chains", lambda x: x == 0))
    energy = stats["energy"].transpose("chain", "draw").values
    e_bfmi = np.mean(np.diff(energy, axis=1) ** 2, axis=1) / np.var(energy, axis=1)
    chain = int(np.argmin(e_bfmi))
    rows.append(
        _row("E-BFMI", f"at least {E_BFMI_MIN}", float(e_bfmi[chain]), f"chain {chain}", lambda x: x >= E_BFMI_MIN)
    )
    if compared:
        far = max(compared, key=lambda row: row["distance"])
        where = f"{far['figure']} of {far['name']}"
        required = f"at most {DISTANCE_MAX:g} MCSE"
        rows.append(_row("engines apart", required, far["distance"], where, lambda x: x <= DISTANCE_MAX))
    return rows


def _row(criterion: str, required: str, measured: float, worst: str, passes) -> dict:
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
        labels = array[array.dims[0]].values if array.dims else [None]
        flat += [
            (float(x), name if i is None else f"{name}[{i}]") for i, x in zip(labels, np.ravel(array), strict=True)
        ]
    return next((item for item in flat if np.isnan(item[0])), None) or choose(flat)
