"""Quantiles of the chi distribution along a standard normal deviate, for compiled loops."""

from functools import lru_cache

import numpy as np
from scipy import special

from gmfmsim.compute.compiled import compiled

TABLED = 255
"""Degrees of freedom with a table of their own; above, a series is as exact."""

EDGE, NODES_PER_UNIT = 8.5, 16


@lru_cache(maxsize=1)
def chi_table() -> np.ndarray:
    """Return chi quantiles (TABLED, nodes) of 1, 2, ... degrees of freedom at Phi(z), z from -EDGE to EDGE."""
    z = np.arange(-EDGE * NODES_PER_UNIT, EDGE * NODES_PER_UNIT + 1) / NODES_PER_UNIT
    half = np.arange(1, TABLED + 1)[:, None] / 2
    lower, upper = z[z < 0], z[z >= 0]
    parts = special.gammaincinv(half, special.ndtr(lower)), special.gammainccinv(half, special.ndtr(-upper))
    return np.sqrt(2 * np.concatenate(parts, axis=1))


@compiled
def chi(df, z, table):
    """Return the square root of the chi-square quantile with df degrees of freedom at Phi(z); 0 for df = 0.

    It rises with z and with df, so one z gives neighbouring values at neighbouring df. Cubic interpolation in
    chi_table, error below 1e-6; above TABLED degrees of freedom the Cornish-Fisher series (Goldberg & Levine 1946),
    error below 2e-8 for |z| < 4.
    """
    if df < 1:
        return 0.0
    if df > TABLED:
        w, z2 = np.sqrt(2.0 * df), z * z
        square = df + z * w + 2 / 3 * (z2 - 1) + z * (z2 - 7) / (9 * w)
        square -= ((6 * z2 + 14) * z2 - 32) / (405 * df)
        square += z * ((9 * z2 + 256) * z2 - 433) / (4860 * w * df)
        square += (((12 * z2 - 243) * z2 - 923) * z2 + 1472) / (25515 * df * df)
        square -= z * (((3753 * z2 + 4353) * z2 - 289517) * z2 - 289717) / (9185400 * w * df * df)
        return np.sqrt(square)
    x = (min(max(z, -EDGE + 0.1), EDGE - 0.2) + EDGE) * NODES_PER_UNIT
    i = int(x)
    f = x - i
    y = table[df - 1]
    inner = (f + 1) * (f - 2) * ((f - 1) * y[i] - f * y[i + 1]) / 2
    return inner + f * (f - 1) * ((f + 1) * y[i + 2] - (f - 2) * y[i - 1]) / 6
