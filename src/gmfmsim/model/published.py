"""A review's pooled estimate taken at its word: a posterior without a model."""

import numpy as np
import xarray as xr

from gmfmsim.evidence.pooled import PooledEstimate
from gmfmsim.model.nuts import Sampler
from gmfmsim.streams import stream


def published_posterior(estimate: PooledEstimate, sampler: Sampler, seed: int) -> xr.DataTree:
    """Return independent draws of mu ~ Normal(estimate, se) with tau held at its published value.

    Dims (chain, draw) as for a sampled posterior, group posterior only. That tau is taken as known makes what
    follows optimistic: with a handful of studies tau itself is uncertain (Higgins, Thompson & Spiegelhalter 2009).
    """
    size = (sampler.chains, sampler.draws)
    mu = estimate.mean + estimate.se * stream(seed, "published").standard_normal(size)
    posterior = xr.Dataset(
        {"mu": (("chain", "draw"), mu), "tau": (("chain", "draw"), np.full(size, estimate.tau))},
        coords={"chain": np.arange(sampler.chains), "draw": np.arange(sampler.draws)},
        attrs={"source": f"pooled.csv row {estimate.row['row']}", "tau": estimate.tau_derivation},
    )
    for name in posterior:
        posterior[name].attrs["unit"] = estimate.unit
    return xr.DataTree.from_dict({"posterior": posterior})
