"""Power and sample size of the two-arm trial by formula, for a known effect and a known SD."""

import math
from typing import Literal

from scipy import optimize, special

FEWEST_CHILDREN = 3
"""A pooled variance needs one degree of freedom: three children in the two arms together."""


def power(
    n_active: float,
    n_control: float,
    *,
    effect: float,
    sd: float,
    alpha: float = 0.05,
    method: Literal["t", "z"] = "t",
    direction: Literal["benefit", "either"] = "benefit",
) -> float:
    """Return the probability of a two-sided significant result, in favour of treatment or in either direction.

    t: 1 - F(t(1 - alpha/2, df); df, delta), F the non-central t with df = n_active + n_control - 2 and
    delta = effect / (sd sqrt(1/n_active + 1/n_control)); z: Phi(delta - z(1 - alpha/2)). "either" adds the same
    at -delta. Sizes are analysed children and need not be whole. Source: Julious 2010, chapter 3.

    Raises ValueError for an sd or a size that is not positive, or fewer than three children in all for a t test.
    """
    df = n_active + n_control - 2
    if sd <= 0 or min(n_active, n_control) <= 0 or (method == "t" and df < FEWEST_CHILDREN - 2):
        raise ValueError("need sd > 0, children in both arms and, for a t test, at least three in all")
    delta = effect / (sd * math.sqrt(1 / n_active + 1 / n_control))
    if method == "z":
        critical = special.ndtri(1 - alpha / 2)
        benefit, harm = special.ndtr(delta - critical), special.ndtr(-delta - critical)
    else:
        critical = special.stdtrit(df, 1 - alpha / 2)
        benefit, harm = 1 - special.nctdtr(df, delta, critical), special.nctdtr(df, delta, -critical)
    return float(benefit + harm if direction == "either" else benefit)


def sample_size(
    *,
    effect: float,
    sd: float,
    power_target: float,
    alpha: float = 0.05,
    ratio: float = 1.0,
    method: Literal["t", "z"] = "t",
) -> float:
    """Return the (fractional) control-arm n at which `power` equals the target; the active arm has ratio x n.

    z: n = (1 + 1/ratio) (z(1 - alpha/2) + z(power))^2 (sd / effect)^2; t: root of `power`, or the size of three
    children in all where that is more than enough.

    Raises ValueError for an effect or sd that is not positive or a target outside (alpha/2, 1).
    """
    if effect <= 0 or sd <= 0 or not alpha / 2 < power_target < 1:
        raise ValueError("need effect > 0, sd > 0 and a target between alpha/2 and 1")
    z = special.ndtri(1 - alpha / 2) + special.ndtri(power_target)
    normal = float((1 + 1 / ratio) * (z * sd / effect) ** 2)
    if method == "z":
        return normal

    def excess(n: float) -> float:
        return power(ratio * n, n, effect=effect, sd=sd, alpha=alpha) - power_target

    low = FEWEST_CHILDREN / (1 + ratio) * (1 + 1e-12)  # so that rounding does not take it below three
    if excess(low) >= 0:
        return low
    high = 2 * low + normal
    while excess(high) < 0:
        high *= 2
    return float(optimize.brentq(excess, low, high, xtol=1e-10, rtol=1e-14))


def analysis_sd(sd: float, correlation: float, analysis: Literal["final", "change", "ancova"]) -> float:
    """Return the SD that an analysis works with, given the SD of scores and their correlation with baseline.

    final: sd; change: sd sqrt(2 (1 - rho)); ancova: sd sqrt(1 - rho^2) (Borm, Fransen & Lemmens 2007).
    """
    factor = {"final": 1.0, "change": 2 * (1 - correlation), "ancova": 1 - correlation**2}[analysis]
    return sd * math.sqrt(factor)
