"""What children gain without cells, as a law: the curves of the levels integrated over ages, rates and limits."""

import numpy as np
from scipy import special

from gmfmsim.compute.algebra import gauss_hermite, gauss_legendre
from gmfmsim.model.improvers import Changes
from gmfmsim.trial.children import Age, PopulationChildren
from gmfmsim.trial.generate.growth import age_at, curve, mean_growth

AGES, RATES, SDS = 8, 5, 9
"""Nodes of the age in either half, of the rate of growth, and of the SD of a trial."""


OLDEST = 25.0
"""Years to which the curves are drawn."""


def untreated(children: PopulationChildren, month: float, *, above_expected: bool = False) -> Changes:
    """Return the change of children without cells to a month, without the gain of volunteers.

    Level, age and rate are integrated over fixed nodes; given these the change is normal, since the limit of a curve is
    normal and what a curve gains is proportional to it, and so is the excess. The SD of a trial is integrated over
    Hermite's nodes of its normal score. With a growth_share gains are drawn to their mean as `growth.as_shown` says.
    The ends of the scale are not counted. above_expected: the change less what the curve of the child says.
    """
    sd_nodes, chance = gauss_hermite(SDS)
    sds = children.excess_sd.distribution.ppf(special.ndtr(sd_nodes))
    if children.excess_sd.sigma == 0:
        sds, chance = sds[:1], np.ones(1)
    spread = children.change_sd(month, sds)
    if above_expected:
        return Changes(chance, np.ones(1), np.zeros((sds.size, 1)), spread[:, None])
    y, w = gauss_legendre(AGES)
    age = age_at(children.age, np.concatenate([(y + 1) / 4, (y + 3) / 4]))
    z, by_rate = gauss_hermite(RATES)
    rate = children.rate[:, None, None] * np.exp(-children.rate_spread.value * z)
    of_limit = np.diff(curve(np.ones(1), rate, age[:, None], np.array([0.0, month])), axis=0)[0]
    weight = children.shares[:, None, None] * np.concatenate([w, w])[:, None] / 4 * by_rate
    used = children.shares > 0
    gain = (np.array(children.limit.value)[:, None, None] * of_limit)[used].ravel()
    scatter = (children.limit_sd[:, None, None] * of_limit)[used].ravel()
    share = np.ones((sds.size, 1))
    if children.growth_share is not None:
        share = np.minimum(children.growth_share.value * children.relative_spread(sds), 1)[:, None]
    middle = mean_growth(children, np.array([month]))[0]
    mean, sd = middle + share * (gain - middle), np.hypot(share * scatter, spread[:, None])
    return Changes(chance, (weight[used] / weight[used].sum()).ravel(), mean, sd)


def of_ages(
    children: PopulationChildren, low: float | None, mean: float | None, high: float | None, source: str
) -> PopulationChildren:
    """Return the children with the ages that a report prints: half of them below its mean, or the middle of its range;
    as they are where it prints no range."""
    if low is None or high is None:
        return children
    low, high = min(low, OLDEST), min(high, OLDEST)
    median = (low + high) / 2 if mean is None else min(max(mean, low), high)
    age = Age(low=low, median=median, high=high, source=source[:300], verified="derived")
    return children.model_copy(update={"age": age})
