"""Whether the evidence looks like what the model makes: prior and posterior predictive checks."""

import numpy as np
import xarray as xr

STATISTICS = {
    "mean effect": lambda y, se: _mean(y, se)[..., 0],
    "spread Q": lambda y, se: (((y - _mean(y, se)) / se) ** 2).sum(axis=-1),
    "largest |z|": lambda y, se: np.abs((y - _mean(y, se)) / se).max(axis=-1),
    "smallest effect": lambda y, se: y.min(axis=-1),
    "largest effect": lambda y, se: y.max(axis=-1),
}
"""Of effects y (..., K) and standard errors se (K,): the mean weighs by 1 / se^2, z is the distance from it in se."""


def _mean(y: np.ndarray, se: np.ndarray) -> np.ndarray:
    return (y * se**-2.0).sum(axis=-1, keepdims=True) / (se**-2.0).sum()


def predictive_check(tree: xr.DataTree, data: xr.Dataset) -> xr.Dataset:
    """Return the share of replicated data whose statistic is at least the observed, Dataset(statistic).

    `observed`; `posterior` and `prior`, the shares under either, with `posterior_mcse` and `prior_mcse`; prior NaN
    where a prior is improper. Replicates and observed data are on the scale of the most probable reading, with
    its standard errors. Near 0 or 1 the model does not make data like these. Source: Gelman, Meng & Stern (1996).
    """
    first = data.isel(reading=0)
    y, se = first["effect"].values, first["se"].values
    columns = {"observed": np.array([float(f(y, se)) for f in STATISTICS.values()])}
    for name in ("posterior", "prior"):
        shares = np.full((len(STATISTICS), 2), np.nan)
        if f"{name}_predictive" in tree:
            again = tree[f"{name}_predictive"]["y"].transpose("chain", "draw", "contrast").values
            shares = np.array([share(f(again, se) >= f(y, se)) for f in STATISTICS.values()])
        columns |= {name: shares[:, 0], f"{name}_mcse": shares[:, 1]}
    coords = {"statistic": list(STATISTICS)}
    return xr.Dataset({name: ("statistic", value) for name, value in columns.items()}, coords=coords)


def share(event: np.ndarray) -> tuple[float, float]:
    """Return the share of draws (chain, draw) with an event and its Monte Carlo standard error.

    Where all or none have it, the error is 1 / draws: one more draw could have turned up.
    """
    import arviz as az

    rare = 1.0 / event.size
    if event.all() or not event.any():
        return float(event.mean()), rare
    return float(event.mean()), max(rare, float(az.mcse(event.astype(float), method="mean")))
