"""The sampling gate: criteria, measurements, verdicts (Vehtari et al. 2021; Betancourt 2016)."""

import numpy as np
import xarray as xr

R_HAT_MAX = 1.01
ESS_MIN = 400
E_BFMI_MIN = 0.3


def gate(tree: xr.DataTree) -> list[dict]:
    """Return one row a criterion: criterion, required, measured, worst (variable), passed.

    R-hat (rank-normalised, folded) at most 1.01, bulk and tail ESS at least 400, no divergence, E-BFMI at least
    0.3 in every chain. R-hat and ESS are over every sampled parameter, study effects included.
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
    return rows


def _row(criterion: str, required: str, measured: float, worst: str, passes) -> dict:
    return {
        "criterion": criterion,
        "required": required,
        "measured": round(measured, 4 if measured < 100 else 0),
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
