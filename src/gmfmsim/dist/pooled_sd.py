"""The distribution of an estimated standard deviation, as nodes and weights to integrate over."""

import math

import numpy as np
from scipy import special

from gmfmsim.compute.algebra import gauss_legendre
from gmfmsim.compute.arguments import endless, scalar

NODES, WEIGHTS = gauss_legendre(192)
BEYOND = 1e-18
"""Probability left out beyond each end of the range of integration."""


def pooled_sd(df: float, below: float = math.inf) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes s and weights for integrals over S = estimated / true SD, S^2 ~ chi^2(df) / df, up to S = below.

    E[g(S); S < below] = sum of weight x g(s), by Gauss-Legendre over log S, along which functions of t S bend at one
    pace whatever t; one node at 1 for df = inf, the SD known.

    Raises ValueError for df that is not above 0, or `below` that is below 0.
    """
    df, below = endless("df", df, above=0), endless("below", below, least=0)
    if math.isinf(df):
        return np.ones(1), np.array([float(below > 1)])
    low = math.sqrt(2 * special.gammaincinv(df / 2, BEYOND) / df)
    high = min(math.sqrt(2 * special.gammainccinv(df / 2, BEYOND) / df), below)
    if high <= low:
        return np.ones(1), np.zeros(1)
    low, half = math.log(low), math.log(high / low) / 2
    u = low + half * (1 + NODES)
    return np.exp(u), half * WEIGHTS * np.exp(log_peak(df) + df * (u - np.expm1(2 * u) / 2))


def log_peak(df: float) -> float:
    """Return the logarithm of the density of log S at 0: 2 a^a e^-a / Gamma(a), a = df / 2.

    From a = 20 on by Stirling's series for log Gamma, of which the large parts cancel.

    Raises ValueError for df that is not above 0.
    """
    a = scalar("df", df, above=0) / 2
    if a < 20:
        return math.log(2) + a * math.log(a) - a - math.lgamma(a)
    rest = 1 / a * (1 / 12 - 1 / a**2 * (1 / 360 - 1 / a**2 * (1 / 1260 - 1 / a**2 / 1680)))
    return math.log(2) + math.log(a / (2 * math.pi)) / 2 - rest
