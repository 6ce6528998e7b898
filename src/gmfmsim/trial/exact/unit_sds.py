"""The SD of a unit of the primary contrast, over what is not known of it: SD of change, correlation within units."""

from collections.abc import Iterator

import numpy as np

from gmfmsim.compute.arguments import valid
from gmfmsim.dist.distributions import Distribution
from gmfmsim.trial.analyse.law import Statistic
from gmfmsim.trial.design import Design
from gmfmsim.trial.exact.rules import Rule, dense, gauss, spread
from gmfmsim.trial.exact.statistic import statistic

MOST = 63
"""Nodes that stand for SD and correlation together."""

MOST_ALIKE = 1 - 1e-9
"""The correlation beyond which none is followed: children of a unit would differ by the error of measurement alone."""


def unit_sds(design: Design, analysis, sd_change: Distribution) -> Rule:
    """Return the rule of the SD of a unit over the law of the SD of change and, where it has one, that of the
    correlation within units.

    Success depends on both through this one SD: their product rule is put into a Gauss rule along its logarithm.
    Raises ValueError for an SD that is not above 0.
    """
    found = []
    for test, share in by_correlation(design, analysis):
        sd, weight = spread(sd_change, test.knees)
        found.append((unit_sd(test, sd), share * weight))
    if len(found) == 1:
        return found[0]
    sigma, weight = (np.concatenate(part) for part in zip(*found, strict=True))
    log, which = np.unique(np.round(np.log(sigma), 12), return_inverse=True)
    nodes, share = gauss(log, np.bincount(which.ravel(), weight), MOST)
    return np.exp(nodes), share


def by_correlation(design: Design, analysis) -> Iterator[tuple[Statistic, float]]:
    """Yield the law of an analysis at each node of the correlation within units, and its weight; one law with weight 1
    where there are no units or their correlation is known. Raises ValueError where no law is known."""
    known = design.unit_correlation
    if known is None or known.sd == 0:
        yield statistic(design, analysis), 1.0
        return
    values, weights = dense(known.distribution)
    for value, weight in zip(np.minimum(values, MOST_ALIKE).tolist(), weights.tolist(), strict=True):
        yield statistic(design.correlated(value), analysis), weight


def unit_sd(test: Statistic, sd: np.ndarray) -> np.ndarray:
    """Return the SD of a unit (J,) at SDs of change (J,), all above 0: without cells, where those differ by group."""
    sigma = valid("SD of a unit", test.sigma(sd), above=0)
    return sigma if test.unequal or not test.response else np.hypot(sigma, test.response[0])
