"""The distribution of an estimated standard deviation, as nodes and weights to integrate over."""

import math

import numpy as np
from scipy import special

NODES, WEIGHTS = special.roots_legendre(96)
BEYOND = 1e-18
"""Probability left out beyond each end of the range of integration."""


def pooled_sd(df: float, below: float = math.inf) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes s and weights for integrals over S = estimated / true SD, S^2 ~ chi^2(df) / df, up to S = below.

    E[g(S); S < below] = sum of weight x g(s), by Gauss-Legendre; one node at 1 for df = inf, the SD known.

    Raises ValueError for df that is not above 0.
    """
    if not df > 0:
        raise ValueError(f"df is {df}; allowed: above 0, or inf")
    if math.isinf(df):
        return np.ones(1), np.array([float(below > 1)])
    low = math.sqrt(2 * special.gammaincinv(df / 2, BEYOND) / df)
    high = min(math.sqrt(2 * special.gammainccinv(df / 2, BEYOND) / df), below)
    half = max(high - low, 0) / 2
    s = low + half * (1 + NODES)
    constant = math.log(2) + df / 2 * math.log(df / 2) - special.gammaln(df / 2)
    return s, half * WEIGHTS * np.exp(constant + (df - 1) * np.log(np.maximum(s, 1e-300)) - df * s**2 / 2)
