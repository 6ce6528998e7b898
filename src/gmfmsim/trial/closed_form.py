"""Power and sample size of the two-arm trial by formula, for a known effect and a known SD."""

import math
from typing import Literal

from scipy import optimize, special


def power(
    n_active: float, n_control: float, *, effect: float, sd: float, alpha: float = 0.05, method: Literal["t", "z"] = "t"
) -> float:
    """Return the probability of a two-sided significant result in favour of treatment.

    t: 1 - F(t(1 - alpha/2, df); df, delta), the non-central t with df = n_active + n_control - 2 and
    delta = effect / (sd sqrt(1/n_active + 1/n_control)); z: Phi(delta - z(1 - alpha/2)). Sizes are analysed
    children and need not be whole. Source: Julious 2010, chapter 3.

    Raises ValueError for an sd that is not positive or an arm below one child (t: df not above 0).
    """
    df = n_active + n_control - 2
    if sd <= 0 or min(n_active, n_control) <= 0 or (method == "t" and df <= 0):
        raise ValueError("need sd > 0 and, for a t test, more than two children in all")
    delta = effect / (sd * math.sqrt(1 / n_active + 1 / n_control))
    if method == "z":
        return float(special.ndtr(delta - special.ndtri(1 - alpha / 2)))
    return float(1 - special.nctdtr(df, delta, special.stdtrit(df, 1 - alpha / 2)))


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

    z: n = (1 + 1/ratio) (z(1 - alpha/2) + z(power))^2 (sd / effect)^2; t: root of `power`.

    Raises ValueError for an effect that is not positive or a target outside (alpha/2, 1).
    """
    if effect <= 0 or sd <= 0 or not alpha / 2 < power_target < 1:
        raise ValueError("need effect > 0, sd > 0 and a target between alpha/2 and 1")
    z = special.ndtri(1 - alpha / 2) + special.ndtri(power_target)
    normal = (1 + 1 / ratio) * (z * sd / effect) ** 2
    if method == "z":
        return float(normal)

    def excess(n: float) -> float:
        return power(ratio * n, n, effect=effect, sd=sd, alpha=alpha) - power_target

    smallest = 2.0 / (1 + ratio) * (1 + 1e-9)
    high = max(2 * normal, 4 * smallest)
    while excess(high) < 0:
        high *= 2
    return float(optimize.brentq(excess, smallest * 1.0001, high, xtol=1e-10, rtol=1e-14))


def analysis_sd(sd: float, correlation: float, analysis: Literal["final", "change", "ancova"]) -> float:
    """Return the SD that an analysis works with, given the SD of scores and their correlation with baseline.

    final: sd; change: sd sqrt(2 (1 - rho)); ancova: sd sqrt(1 - rho^2) (Borm, Fransen & Lemmens 2007).
    """
    factor = {"final": 1.0, "change": 2 * (1 - correlation), "ancova": 1 - correlation**2}[analysis]
    return sd * math.sqrt(factor)
