"""Who the children of a block of trials are: level, age, true score at baseline, and what natural history predicts."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from gmfmsim.trial.children import NormalChildren
from gmfmsim.trial.designs import Design, Pairs
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
    """Return the children of a block of shape (N, R), without measurement error, in trials of excess_sd (R,).

    The two children of a pair have the same level and age; what sets them apart from others of that level and age
    (normal children: the baseline) has correlation pair_correlation between them.
    """
    children, months = design.children, np.asarray(design.visits, float)
    if isinstance(children, NormalChildren):
        sd = children.true_score_sd(excess_sd)
        baseline = children.baseline.value + sd * _standard_normal(design, shape, noise["limit"])
        expected = np.empty((months.size, *shape))
        expected[:] = (children.growth.value * months / 12)[:, None, None]
        return People(baseline, expected, None, None)
    bounds = np.cumsum(children.shares)[:-1]
    level = np.searchsorted(bounds, _uniform(design, shape, noise["level"]), side="right").astype(np.int8)
    age = age_at(children.age, _uniform(design, shape, noise["age"]))
    limit = np.array(children.limit.value)[level]
    limit += children.limit_sd[level] * _standard_normal(design, shape, noise["limit"])
    rate = children.rate[level]
    if children.rate_spread.value > 0:
        rate *= np.exp(-children.rate_spread.value * _standard_normal(design, shape, noise["rate"]))
    score = curve(limit, rate, age, np.concatenate([[0.0], months]))
    return People(score[0], score[1:] - score[0], level, age)


def _uniform(design: Design, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw uniforms (N, R), the same for both children of a pair."""
    if isinstance(design, Pairs):
        return np.repeat(rng.random((shape[0] // 2, shape[1])), 2, axis=0)
    return rng.random(shape)


def _standard_normal(design: Design, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw standard normals (N, R), correlated between the two children of a pair."""
    z = rng.standard_normal(shape)
    if isinstance(design, Pairs):
        r = design.pair_correlation.value
        z[1::2] = r * z[::2] + math.sqrt(1 - r**2) * z[1::2]
    return z
