"""Two rates told apart: children an arm by the usual formula, and the exact power of the test that it is for."""

import math

import numpy as np
from scipy import special

from gmfmsim.compute.arguments import probability

REACH = 10.0
"""Standard deviations of a count beyond which its probabilities are left out: together below 1e-20."""


def children_to_tell(first: float, second: float, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Return children an arm, not yet rounded up, that tell two rates apart with a given power, two-sided.

    n = (z_(1 - alpha/2) sqrt(2 m (1 - m)) + z_power sqrt(p (1 - p) + q (1 - q)))^2 / (p - q)^2, m = (p + q) / 2:
    two proportions, pooled where they are alike, no correction for continuity. Source: Fleiss, Levin & Paik 2003, 4.2.

    Raises ValueError for rates that are alike or not between 0 and 1, and for power or alpha outside (0, 1).
    """
    p, q = probability("first", first), probability("second", second)
    if p == q:
        raise ValueError(f"first and second are {p:g}: need two different rates")
    middle = (p + q) / 2
    level = -float(special.ndtri(probability("alpha", alpha) / 2)) * math.sqrt(2 * middle * (1 - middle))
    reached = float(special.ndtri(probability("power", power))) * math.sqrt(p * (1 - p) + q * (1 - q))
    return ((level + reached) / (p - q)) ** 2


def power_to_tell(first: float, second: float, n: int, *, alpha: float = 0.05) -> float:
    """Return the exact power of the two-sided z test of two shares of n children each, pooled and not corrected: the
    sum over all pairs of counts of their binomial probabilities.

    Raises ValueError as `children_to_tell`, and for n below 1.
    """
    if n < 1:
        raise ValueError(f"n = {n}: must be at least 1")
    counts, shares = zip(*(_binomial(n, probability("rate", rate)) for rate in (first, second)), strict=True)
    a, b = counts[0][:, None], counts[1][None, :]
    middle = (a + b) / (2 * n)
    squared = np.maximum(2 * middle * (1 - middle) / n, 1e-300)
    rejects = ((a - b) / n) ** 2 > special.ndtri(probability("alpha", alpha) / 2) ** 2 * squared
    return float((shares[0][:, None] * shares[1][None, :] * rejects).sum())


def _binomial(n: int, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the counts within REACH of the mean and their probabilities."""
    far = REACH * math.sqrt(n * rate * (1 - rate)) + REACH**2 / 2
    k = np.arange(max(0, math.floor(n * rate - far)), min(n, math.ceil(n * rate + far)) + 1, dtype=float)
    log = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
    return k, np.exp(log + k * math.log(rate) + (n - k) * math.log1p(-rate))
