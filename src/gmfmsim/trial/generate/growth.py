"""Growth of motor function with age: the stable-limit curves of the GMFCS levels, and children around them."""

import numpy as np
from scipy import special

from gmfmsim.trial.children import Age, PopulationChildren


def curve(limit: np.ndarray, rate: np.ndarray, age: np.ndarray, months: np.ndarray) -> np.ndarray:
    """Return the score (T, ...) on the curve L (1 - exp(-k (a + t / 12))) at months t (T,) after age a in years.

    limit L in points, rate k per year, age a: shapes (...) that go together (Rosenbaum 2002; Smits 2013).
    """
    limit, rate, age = np.broadcast_arrays(limit, rate, age)
    years = np.asarray(months, float).reshape(-1, *[1] * age.ndim) / 12
    score = np.exp(-rate * age) * np.exp(-rate * years)
    np.subtract(1, score, out=score)
    score *= limit
    return score


def expected_scores(children: PopulationChildren, level: np.ndarray, age: np.ndarray, months: np.ndarray) -> np.ndarray:
    """Return the mean curve of a level without spread (T, ...), points, at months (T,) after age (...) in years.

    level (...): 0 to 4 for GMFCS I to V. Volunteer gain is not part of it.
    """
    level = np.asarray(level)
    return curve(np.array(children.limit.value)[level], children.rate[level], np.asarray(age, float), months)


def mean_growth(children: PopulationChildren, months: np.ndarray) -> np.ndarray:
    """Return the mean over all children (V,) of what their curves gain in months (V,), in points.

    Over 128 equally probable ages and 8 equally probable rates at each level. The limit counts by its mean: what a
    curve gains is proportional to it.
    """
    age = age_at(children.age, (np.arange(128) + 0.5) / 128)
    rate = np.exp(-children.rate_spread.value * special.ndtri((np.arange(8) + 0.5) / 8))
    limit = np.array(children.limit.value)[:, None, None]
    score = curve(limit, children.rate[:, None, None] * rate[:, None], age, np.concatenate([[0.0], months]))
    return ((score[1:] - score[0]).mean(axis=(2, 3)) * children.shares).sum(axis=1)


def as_shown(children: PopulationChildren, growth: np.ndarray, months: np.ndarray, excess_sd: np.ndarray) -> np.ndarray:
    """Return what children gain (V, N, R) of what their curves gain, growth (V, N, R) at months (V,).

    m(t) + share (growth - m(t)), m the mean over all children, share growth_share as it is in trials of excess_sd (R,).
    """
    if children.growth_share is None:
        return growth
    share = np.minimum(children.growth_share.value * children.relative_spread(excess_sd), 1)
    mean = mean_growth(children, months)[:, None, None]
    return mean + share * (growth - mean)


def score_sd(children: PopulationChildren, level: np.ndarray, age: np.ndarray) -> np.ndarray:
    """Return the SD (...) of the true scores of children of one level and age, in points.

    With f = 1 - exp(-k a) and the slope of the score in ln k, L k a exp(-k a), to first order in rate_spread:
    SD^2 = sd_g^2 f^2 + (rate_spread L k a exp(-k a))^2.
    """
    level = np.asarray(level)
    lived = children.rate[level] * np.asarray(age, float)
    left = np.exp(-lived)
    by_rate = children.rate_spread.value * np.array(children.limit.value)[level] * lived * left
    return np.hypot(children.limit_sd[level] * (1 - left), by_rate)


def age_at(age: Age, share: np.ndarray) -> np.ndarray:
    """Return the age in years below which a share (...) of the children is: linear from low to median, and to high."""
    return np.interp(share, [0, 0.5, 1], [age.low, age.median, age.high])
