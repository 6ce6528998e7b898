"""One root finder for all rooms."""

import math
from collections.abc import Callable

import numpy as np

from gmfmsim.faults import NotANumber

FLOAT = 4 * float(np.finfo(float).eps)
MOST_STEPS = 500


def root(
    function: Callable[[float], float], low: float, high: float, *, within: float, relative: float = FLOAT
) -> float:
    """Return the x between low and high at which a function is 0, within + relative |x| off (Brent 1973).

    Raises NotANumber where the function has no value at an end, and ValueError where its signs there are alike.
    """
    from scipy.optimize import brentq

    ends = {x: float(function(x)) for x in (low, high)}
    for x, value in ends.items():
        if math.isnan(value):
            raise NotANumber(f"no root between {low:g} and {high:g}: the function is not a number at {x:g}")

    def known(x: float) -> float:
        return ends[x] if x in ends else float(function(x))

    return float(brentq(known, low, high, xtol=within, rtol=relative, maxiter=MOST_STEPS))
