"""Rates of rare events, exactly: intervals of a binomial share, the bound when none is seen, children to see one."""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from gmfmsim.compute.arguments import probability


def clopper_pearson(events: ArrayLike, n: ArrayLike, prob: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return the exact interval of a binomial share, by quantiles of beta distributions: nothing is added to zeros.

    low = Beta(a/2; r, n - r + 1), high = Beta(1 - a/2; r + 1, n - r), a = 1 - prob; 0 and 1 where r = 0 and r = n.
    events, n: shapes that fit together. Raises ValueError unless 0 <= events <= n, n at least 1, all whole.
    Source: Clopper & Pearson 1934.
    """
    tail = (1 - probability("prob", prob)) / 2
    r, n = np.broadcast_arrays(np.asarray(events, float), np.asarray(n, float))
    if not (np.isfinite(n).all() and (n >= 1).all() and (r >= 0).all() and (r <= n).all()):
        raise ValueError(f"events = {r.tolist()} of n = {n.tolist()}: need 0 <= events <= n and n at least 1")
    if (r % 1).any() or (n % 1).any():
        raise ValueError(f"events = {r.tolist()} of n = {n.tolist()}: must be whole numbers")
    low = np.where(r > 0, special.betaincinv(np.maximum(r, 1), n - r + 1, tail), 0.0)
    high = np.where(r < n, special.betaincinv(r + 1, np.maximum(n - r, 1), 1 - tail), 1.0)
    return low, high


def bound_when_none(n: int, prob: float = 0.95) -> float:
    """Return the rate that n children without an event exclude, one-sided: 1 - (1 - prob)^(1/n); about 3/n.

    Raises ValueError for n below 1 or prob outside (0, 1). Source: Hanley & Lippman-Hand 1983.
    """
    if n < 1:
        raise ValueError(f"n = {n}: must be at least 1")
    return -math.expm1(math.log1p(-probability("prob", prob)) / n)


def children_to_see_one(rate: float, prob: float = 0.95) -> int:
    """Return the fewest children among whom at least one event is seen with probability prob:
    ceil(log(1 - prob) / log(1 - rate)).

    Raises ValueError for a rate or prob outside (0, 1).
    """
    rate, prob = probability("rate", rate), probability("prob", prob)
    n = max(1, math.ceil(math.log1p(-prob) / math.log1p(-rate)))
    while n > 1 and -math.expm1((n - 1) * math.log1p(-rate)) >= prob:  # rounding may ask for one too many
        n -= 1
    return n
