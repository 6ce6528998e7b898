"""A review's pooled estimate taken at its word: a posterior of one component, without a model."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr

from gmfmsim.evidence.pooled import PooledEstimate
from gmfmsim.model.exact import NormalMixture
from gmfmsim.model.nuts import Sampler
from gmfmsim.streams import stream


@dataclass(frozen=True)
class Published:
    """mu ~ Normal(estimate, se) with tau held at its published value, as a `Mixture` of one component.

    That tau is taken as known makes what follows optimistic: with a handful of studies tau itself is uncertain
    (Higgins, Thompson & Spiegelhalter 2009).
    """

    estimate: PooledEstimate

    labelled = (("mu", None),)

    @cached_property
    def phi(self) -> Mapping[str, np.ndarray]:
        """The between-study standard deviation, (1,)."""
        return {"tau": np.array([self.estimate.tau])}

    def linear(self, loading: np.ndarray, variance: np.ndarray | float = 0.0) -> NormalMixture:
        """Return the distribution of loading mu + Normal(0, variance), one component; loading (1, 1)."""
        times = np.ravel(loading)
        spread = (times * self.estimate.se) ** 2 + variance
        return NormalMixture(np.ones(1), times * self.estimate.mean, np.sqrt(spread))

    def tree(self, sampler: Sampler, seed: int) -> xr.DataTree:
        """Return independent draws of mu, and tau: dims (chain, draw) as of a sampled posterior, that group only."""
        size, estimate = (sampler.chains, sampler.draws), self.estimate
        mu = estimate.mean + estimate.se * stream(seed, "published").standard_normal(size)
        posterior = xr.Dataset(
            {"mu": (("chain", "draw"), mu), "tau": (("chain", "draw"), np.full(size, estimate.tau))},
            coords={"chain": np.arange(sampler.chains), "draw": np.arange(sampler.draws)},
            attrs={"source": f"pooled.csv row {estimate.row['row']}", "tau": estimate.tau_derivation},
        )
        for name in posterior:
            posterior[name].attrs["unit"] = estimate.unit
        return xr.DataTree.from_dict({"posterior": posterior})
