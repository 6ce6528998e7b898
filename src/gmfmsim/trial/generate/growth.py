"""Growth of motor function with age: the stable-limit curves of the GMFCS levels, and children around them."""

import numpy as np

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
