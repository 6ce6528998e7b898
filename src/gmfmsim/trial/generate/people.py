"""Who the children of a block of trials are: level, age, true score at baseline, and what natural history predicts."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from gmfmsim.compute.compiled import compiled
from gmfmsim.trial.children import NormalChildren
from gmfmsim.trial.design import Design
from gmfmsim.trial.generate.growth import curve

AT_ONCE = 16
"""Children whose curves are followed together: what passes from step to step then stays in the cache."""


class People(NamedTuple):
    """N children in R trials: true baseline score (N, R), expected change (V, N, R), level and age (N, R) or None, and
    the correlation within units, one of all trials or (R,)."""

    baseline: np.ndarray
    expected: np.ndarray
    level: np.ndarray | None
    age: np.ndarray | None
    correlation: np.ndarray | float


def draw_people(
    design: Design, shape: tuple[int, int], excess_sd: np.ndarray, noise: Mapping[str, np.random.Generator]
) -> People:
    """Return the children of a block of shape (N, R), without measurement error, in trials of excess_sd (R,)."""
    children, months = design.children, np.asarray(design.visits, float)
    alike = within_units(design, shape[1], noise["correlation"])
    if isinstance(children, NormalChildren):
        sd = children.true_score_sd(excess_sd)
        baseline = children.baseline.value + sd * design.standard_normal(shape, noise["limit"], alike)
        expected = np.empty((months.size, *shape))
        expected[:] = (children.growth.value * months / 12)[:, None, None]
        return People(baseline, expected, None, None, alike)
    uniform = design.uniform(shape, noise["level"]), design.uniform(shape, noise["age"])
    ages = children.age.low, children.age.median, children.age.high
    of_level = np.array(children.limit.value), children.limit_sd, children.rate
    z = design.standard_normal(shape, noise["limit"], alike)
    level, age, limit, rate = _each(*uniform, z, tuple(np.cumsum(children.shares)[:-1].tolist()), ages, of_level)
    spread = children.rate_spread.value
    own = design.standard_normal(shape, noise["rate"], alike) if spread > 0 else None
    baseline, expected = np.empty(shape), np.empty((months.size, *shape))
    for first in range(0, shape[0], AT_ONCE):
        rows = slice(first, first + AT_ONCE)
        if own is not None:
            rate[rows] *= np.exp(-spread * own[rows])
        score = curve(limit[rows], rate[rows], age[rows], np.concatenate([[0.0], months]))
        baseline[rows] = score[0]
        np.subtract(score[1:], score[0], out=expected[:, rows])
    return People(baseline, expected, level, age, alike)


def within_units(design: Design, trials: int, rng: np.random.Generator) -> np.ndarray | float:
    """Return the correlation within units in each trial (R,), drawn from its law; one for all where it is known."""
    known = design.unit_correlation
    if known is None or known.sd == 0:
        return 0.0 if known is None else known.value
    return known.distribution.ppf(rng.random(trials))


@compiled
def _each(of_level, of_age, z, bounds, ages, figures):
    """Return level, age, limit and rate (N, R): level and age by uniforms (N, R), limit by a standard normal.

    bounds (4,): where the shares of levels add up to; ages: low, median and high, between which it is linear; figures
    (5,) by level: limit, its SD, and rate.
    """
    low, median, high = ages
    first, second, third, fourth = bounds
    middle, sd, usual = figures
    early, late = (median - low) / 0.5, (high - median) / 0.5
    shape = z.shape
    level, age, limit, rate = np.empty(shape, np.int8), np.empty(shape), np.empty(shape), np.empty(shape)
    for i in range(shape[0]):
        for r in range(shape[1]):
            u = of_level[i, r]
            at = (u >= first) + (u >= second) + (u >= third) + (u >= fourth)
            level[i, r], u = at, of_age[i, r]
            age[i, r] = late * (u - 0.5) + median if u >= 0.5 else early * u + low
            limit[i, r], rate[i, r] = middle[at] + sd[at] * z[i, r], usual[at]
    return level, age, limit, rate
