"""The normal distribution function from a table, for loops that ask for it many millions of times."""

import math

import numpy as np
from scipy import special

from gmfmsim.compute.compiled import compiled

FROM, STEPS = -8.5, 96
"""Where the table begins, and its steps a unit; beyond its ends the function is 0 and 1 to the last digit that it has."""

_AT = np.arange(FROM, -FROM + 2 / STEPS, 1 / STEPS)
_TABLE = np.stack([special.ndtr(_AT), np.exp(-(_AT**2) / 2) / math.sqrt(2 * math.pi) / STEPS], axis=1)


@compiled
def normal_cdf(x):
    """Return P(Z <= x) of a standard normal Z within 1e-10, NaN at NaN: cubic between values and slopes of the table."""
    at = (x - FROM) * STEPS
    if at <= 0:
        return 0.0
    if at >= _TABLE.shape[0] - 1:
        return 1.0
    if at != at:
        return x
    i = int(at)
    u = at - i
    low, high, rise = _TABLE[i, 0], _TABLE[i + 1, 0], _TABLE[i + 1, 0] - _TABLE[i, 0]
    a, b = _TABLE[i, 1] - rise, rise - _TABLE[i + 1, 1]
    return low * (1 - u) + high * u + u * (1 - u) * (a * (1 - u) + b * u)
