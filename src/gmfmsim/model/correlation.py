"""How alike the changes of children of one unit are: twins of a pair, children of one therapist or of one centre.

Pairs: rho ~ Uniform(0, 1), for twins share genes, pregnancy and home and nothing speaks for changes that are opposed;
the likelihood of a report is

    of a coefficient r of n pairs:  its density f(r | rho, n) (Hotelling 1953)
    of "significant at alpha":      P(r > c | rho, n), c the critical value

Therapists and centres: no trial in cerebral palsy was found that reports an intraclass correlation (ICC). Their law is
the beta law nearest to the quartiles of a survey of ICCs in other children: the one that makes a sample with a quarter
on each side of every quartile most probable.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from gmfmsim.compute.algebra import dot
from gmfmsim.dist.distributions import Beta
from gmfmsim.dist.sample_correlation import above, critical, density
from gmfmsim.evidence.schema import Row

CELLS = 1000
RHO = (np.arange(CELLS) + 0.5) / CELLS
"""The correlations that are integrated over: the middles of cells that cover the prior."""
EDGES = np.arange(CELLS + 1) / CELLS
"""The ends of the cells."""


@dataclass(frozen=True)
class PairCorrelation:
    """A distribution of rho on (0, 1): probability (CELLS,) of the cells around RHO."""

    weight: np.ndarray

    def quantile(self, p: float) -> float:
        """Return the rho with probability p below it."""
        return float(np.interp(p, self._below, EDGES))

    def below(self, rho: float) -> float:
        """Return P(value < rho)."""
        return float(np.interp(rho, EDGES, self._below))

    @property
    def _below(self) -> np.ndarray:
        """P(value < EDGES), (CELLS + 1,)."""
        return np.concatenate([[0.0], np.cumsum(self.weight)])

    @property
    def moments(self) -> tuple[float, float]:
        """Mean and SD of rho."""
        mean = float(dot(self.weight, RHO))
        return mean, float(np.sqrt(dot(self.weight, (RHO - mean) ** 2)))


def pair_correlation(reports: Iterable[Row]) -> PairCorrelation:
    """Return the posterior of the correlation within pairs from reports on pairs; of none, the prior.

    Raises ValueError for a report that says neither a coefficient nor that it is significant.
    """
    weight = np.ones(CELLS)
    for report in reports:
        weight = weight * _likelihood(report)
    return PairCorrelation(weight / weight.sum())


def _likelihood(report: Row) -> np.ndarray:
    """Return the likelihood of a report at RHO."""
    pairs, shows = report["number"], report["shows"]
    if shows == "coefficient":
        return density(report["middle"], RHO, pairs)
    if shows != "significant":
        raise ValueError(f"{report['report']} shows {shows}: must be a coefficient, or that it is significant")
    return above(critical(pairs, report["alpha"]), RHO, pairs)


def icc_law(report: Row) -> Beta:
    """Return the law of an ICC in a further trial, from a report that shows the quartiles of some."""
    return nearest_beta([report["low"], report["middle"], report["high"]])


def nearest_beta(quantiles: Sequence[float]) -> Beta:
    """Return the beta law between whose `quantiles` (Q,) the most equal shares lie: the largest product of the Q + 1
    probabilities that they part. Raises ValueError unless they rise from above 0 to below 1."""
    from scipy.optimize import minimize

    at = np.asarray(quantiles, float)
    if not (np.diff([0.0, *at, 1.0]) > 0).all():
        raise ValueError(f"quantiles {list(quantiles)}: must rise from above 0 to below 1")

    def surprise(logs: np.ndarray) -> float:
        a, b = np.exp(logs)
        shares = np.diff([0.0, *special.betainc(a, b, at), 1.0])
        return -float(np.log(np.maximum(shares, 1e-300)).sum())

    mean = float(at.mean())
    start = np.log([10 * mean, 10 * (1 - mean)])
    found = minimize(surprise, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 2000})
    a, b = np.exp(found.x).tolist()
    return Beta(dist="beta", a=a, b=b)
