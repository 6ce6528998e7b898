"""The correlation that pairs of normal numbers show, given the one that they have: density and upper tail."""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from gmfmsim.compute.algebra import dot, gauss_legendre

FEWEST = 4
"""Pairs from which on the density is bounded."""

NODES = 160
"""Nodes along atanh r, which go nine of its SDs beyond the true one and as far again as its tail exp(-(n - 2) z) asks."""


def density(r: ArrayLike, rho: ArrayLike, pairs: int) -> np.ndarray:
    """Return the density at r of the sample correlation of `pairs` normal pairs that correlate by rho (both between -1
    and 1, broadcast).

    (n - 2) Gamma(n - 1) (1 - rho^2)^((n - 1) / 2) (1 - r^2)^((n - 4) / 2) / (sqrt(2 pi) Gamma(n - 1/2)
    (1 - rho r)^(n - 3/2)) 2F1(1/2, 1/2; n - 1/2; (1 + rho r) / 2) (Hotelling 1953).

    Raises ValueError for fewer than four pairs.
    """
    if pairs < FEWEST:
        raise ValueError(f"pairs = {pairs}: must be {FEWEST} or more")
    r, rho, n = np.asarray(r, float), np.asarray(rho, float), pairs
    log = math.log(n - 2) + special.gammaln(n - 1) - special.gammaln(n - 0.5) - math.log(2 * math.pi) / 2
    log = log + (n - 1) / 2 * np.log1p(-(rho**2)) + special.xlog1py((n - 4) / 2, -(r**2))
    found: np.ndarray = np.exp(log - (n - 1.5) * np.log1p(-rho * r)) * special.hyp2f1(
        0.5, 0.5, n - 0.5, (1 + rho * r) / 2
    )
    return found


def above(limit: float, rho: ArrayLike, pairs: int) -> np.ndarray:
    """Return P(r > limit) at rho (...), by Gauss and Legendre's rule along z = atanh r, where the law is nearly normal
    whatever rho (Fisher 1921). Raises ValueError as `density`."""
    rho = np.asarray(rho, float)
    low = math.atanh(limit)
    high = np.maximum(np.arctanh(rho), low) + 9 / math.sqrt(pairs - 2) + 30 / (pairs - 2)
    x, w = gauss_legendre(NODES)
    half = (high[..., None] - low) / 2
    r = np.tanh(low + half * (1 + x))
    return dot(density(r, rho[..., None], pairs) * (1 - r**2) * half, w)


def critical(pairs: int, alpha: float) -> float:
    """Return the size from which on a sample correlation is significant at two-sided alpha: t / sqrt(n - 2 + t^2), t
    the quantile of Student's t with n - 2 degrees of freedom."""
    t = -float(special.stdtrit(pairs - 2, alpha / 2))
    return t / math.sqrt(pairs - 2 + t**2)
