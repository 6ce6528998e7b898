"""Tails of the non-central t distribution, with all their digits however small they are."""

import math

import numpy as np
from scipy import special

from gmfmsim.compute.roots import root
from gmfmsim.compute.algebra import dot, gauss_legendre
from gmfmsim.compute.arguments import endless, scalar
from gmfmsim.dist.pooled_sd import log_peak

NODES, WEIGHTS = gauss_legendre(24)
DROP = 50.0
"""How far the logarithm of the integrand falls from its peak to the ends of its range, at least."""

LARGEST_SHIFT, LEAST = 37.0, 1e-6
"""Where 1 less SciPy's distribution function is as good: up to this shift, from this probability on."""

MIDDLE = 40
STEPS = np.concatenate([-(2.0 ** np.arange(MIDDLE)[::-1]), [0], 2.0 ** np.arange(MIDDLE)])
"""Edges of panels about 0 that double in width to either side, the middle one of them at MIDDLE."""

FARTHEST = 300.0
"""Where the density of log S is nothing, whatever its degrees of freedom, and exp does not overflow."""


def beyond(t: float, df: float, shift: float) -> float:
    """Return P(T > t), t >= 0, of T = (Z + shift) / S: Z standard normal, S^2 ~ chi^2(df) / df, df = inf for S = 1.

    E[Phi(shift - t S)], or 1 - E[Phi(t S - shift)] where that is small, to a relative error of 1e-9. The lower tail
    P(T < -t) is that beyond t at -shift. SciPy's nctdtr serves where it agrees to 2e-13 with the quadrature, and is
    quicker; 1 less it has no digits where T is seldom beyond t, and it is NaN for many large shifts.

    Raises ValueError for a t below 0, a df not above 0, or a shift that is not finite.
    """
    t, df, shift = endless("t", t, least=0), endless("df", df, above=0), scalar("shift", shift)
    if math.isinf(df) or math.isinf(t):
        return float(special.ndtr(shift - t))
    if df >= 1 and abs(shift) < LARGEST_SHIFT and (tail := 1 - float(special.nctdtr(df, shift, t))) > LEAST:
        return tail
    return 1 - _mean(t, df, shift, -1) if shift > t else _mean(t, df, shift, 1)


def _mean(t: float, df: float, shift: float, sign: int) -> float:
    """Return E[Phi(sign (shift - t S))], over u = log S by Gauss-Legendre.

    The logarithm of the integrand is concave in S, so that it has one peak. Panels double in width from there, and
    from where t S is the shift, or 1, about which Phi bends within 1 / shift.
    """

    def log_integrand(u: np.ndarray) -> np.ndarray:
        u = np.minimum(u, FARTHEST)
        return df * (u - np.expm1(2 * u) / 2) + special.log_ndtr(sign * (shift - t * np.exp(u)))

    def slope(u: float) -> float:
        s = t * math.exp(u)
        return -df * math.expm1(2 * u) - sign * s * _mills(sign * (shift - s))

    far = -1.0 * sign
    while slope(far) * sign < 0:
        far *= 2
    # near enough: panels about the peak are as wide as it
    peak = root(slope, *sorted((0.0, far)), within=0.01 / math.sqrt(1 + df)) if slope(0.0) else 0.0
    x, ts = sign * (shift - t * math.exp(peak)), t * math.exp(peak)
    curvature = 2 * df * math.exp(2 * peak) + sign * ts * _mills(x) + ts**2 * _mills(x) * (x + _mills(x))
    edges = peak + min(1.0, curvature**-0.5) * STEPS
    fallen = log_integrand(edges) < log_integrand(peak) - DROP
    low, high = edges[:MIDDLE][fallen[:MIDDLE]].max(), edges[MIDDLE:][fallen[MIDDLE:]].min()
    if t > 0:
        knee = math.log(max(shift, 1.0)) - math.log(t)
        edges = np.concatenate([edges, knee + STEPS / max(shift, 1.0)])
    edges = np.sort(np.append(edges[(edges > low) & (edges < high)], [low, high]))
    half = np.diff(edges)[:, None] / 2
    values = log_integrand(edges[:-1, None] + half * (1 + NODES))
    top = values.max()
    return float(np.exp(top + log_peak(df)) * (half[:, 0] * dot(np.exp(values - top), WEIGHTS)).sum())


def _mills(x: float) -> float:
    """Return phi(x) / Phi(x)."""
    return math.sqrt(2 / math.pi) / float(special.erfcx(-x / math.sqrt(2)))
