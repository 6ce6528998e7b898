"""Who the children of a block of trials are: level, age, true score at baseline, and what natural history predicts."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from gmfmsim.trial.children import NormalChildren
from gmfmsim.trial.design import Design
from gmfmsim.trial.generate.growth import age_at, curve


class People(NamedTuple):
    """N children in R trials: true baseline score (N, R), expected change (V, N, R), level and age (N, R) or None."""

    baseline: np.ndarray
    expected: np.ndarray
    level: np.ndarray | None
    age: np.ndarray | None


def draw_people(
    design: Design, shape: tuple[int, int], excess_sd: np.ndarray, noise: Mapping[str, np.random.Generator]
) -> People:
    """Return the children of a block of shape (N, R), without measurement error, in trials of excess_sd (R,)."""
    children, months = design.children, np.asarray(design.visits, float)
    if isinstance(children, NormalChildren):
        sd = children.true_score_sd(excess_sd)
        baseline = children.baseline.value + sd * design.standard_normal(shape, noise["limit"])
        expected = np.empty((months.size, *shape))
        expected[:] = (children.growth.value * months / 12)[:, None, None]
        return People(baseline, expected, None, None)
    bounds = np.cumsum(children.shares)[:-1]
    level = np.searchsorted(bounds, design.uniform(shape, noise["level"]), side="right").astype(np.int8)
    age = age_at(children.age, design.uniform(shape, noise["age"]))
    limit = np.array(children.limit.value)[level]
    limit += children.limit_sd[level] * design.standard_normal(shape, noise["limit"])
    rate = children.rate[level]
    if children.rate_spread.value > 0:
        rate *= np.exp(-children.rate_spread.value * design.standard_normal(shape, noise["rate"]))
    score = curve(limit, rate, age, np.concatenate([[0.0], months]))
    return People(score[0], score[1:] - score[0], level, age)
