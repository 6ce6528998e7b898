"""Power and sample size by formula, for a known effect and a known SD: what a standard error lets a trial claim."""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy import optimize, special

from gmfmsim.trial.pooled_sd import pooled_sd

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


class StandardError(NamedTuple):
    """Standard error of an estimated effect, and degrees of freedom of its estimate; inf: the SD taken as known."""

    se: float
    df: float = math.inf


def of_contrast(n: Sequence[float], weights: Sequence[float], sd: float) -> StandardError:
    """Return the standard error of sum_i w_i mean_i, arms of n_i children: sd sqrt(sum_i w_i^2 / n_i), df sum n - arms.

    Two arms: weights (-1, 1). Two by two: (-1/2, -1/2, 1/2, 1/2) for a main effect. Doses: any that add up to 0.
    """
    n, weights = np.asarray(n, float), np.asarray(weights, float)
    return StandardError(sd * math.sqrt((weights**2 / n).sum()), n.sum() - n.size)


def of_one_sample(n: float, sd: float) -> StandardError:
    """Return the standard error of a mean: sd / sqrt(n), df n - 1; of n pairs with `analysis_sd` "change" as the sd."""
    return StandardError(sd / math.sqrt(n), n - 1)


def of_crossover(n_first: float, n_second: float, sd_difference: float) -> StandardError:
    """Return the standard error of half the difference between sequences in the mean difference of a child's periods.

    sd_difference / 2 sqrt(1/n_first + 1/n_second), df n_first + n_second - 2 (Senn 2002, chapter 3).
    """
    return of_contrast([n_first, n_second], [0.5, -0.5], sd_difference)


def of_clusters(n_active: float, n_control: float, sd: float, *, size: float, icc: float) -> StandardError:
    """Return the standard error of the difference of mean cluster means, in clusters of `size` children.

    sd sqrt((1 + (size - 1) icc) (1/n_active + 1/n_control)), df clusters - 2 (Donner & Klar 2000, chapter 5).
    """
    clusters = np.array([n_active, n_control]) / size
    return of_contrast(clusters, [1, -1], sd * math.sqrt((1 + (size - 1) * icc) / size))


def of_mmrm(
    n_active: float, n_control: float, sd: float, *, correlation: np.ndarray, retention: Sequence[float]
) -> StandardError:
    """Return the standard error of the effect at the last of V visits by a mixed model of all visits, in large samples.

    sd sqrt(phi (1/n_active + 1/n_control)), phi the last diagonal element of the inverse of
    sum_v (r_v - r_(v+1)) inverse(correlation up to v), padded with zeros; retention r_v (V,), the share still in the
    trial at visit v; sd at the last visit. Children missing completely at random. Source: Lu, Luo & Chen 2008.

    Raises ValueError for retention that rises or is not above 0.
    """
    correlation, retention = np.asarray(correlation, float), np.asarray(retention, float)
    visits = retention.size
    last_seen = retention - np.append(retention[1:], 0)
    if correlation.shape != (visits, visits) or min(last_seen.min(), 1 - retention[0]) < 0 or retention[-1] <= 0:
        raise ValueError(f"retention is {retention.tolist()}; allowed: (V,) shares from 1 on, falling, above 0")
    information = np.zeros((visits, visits))
    for v, share in enumerate(last_seen, start=1):
        information[:v, :v] += share * np.linalg.inv(correlation[:v, :v])
    phi = np.linalg.inv(information)[-1, -1]
    return StandardError(sd * math.sqrt(phi * (1 / n_active + 1 / n_control)))


def claim_power(
    effect: float,
    error: StandardError,
    *,
    alpha: float = 0.05,
    claim: Literal["superiority", "non_inferiority", "equivalence"] = "superiority",
    margin: float = 0.0,
) -> float:
    """Return the probability of making the claim: that the interval with probability 1 - alpha lies where it must.

    superiority: above 0, 1 - F(t(1 - alpha/2, df); df, effect / se), F the non-central t; non_inferiority: above
    -margin, the same of effect + margin; equivalence: within (-margin, margin), two one-sided tests, the joint
    probability E[Phi((margin - effect)/se - t S) - Phi(t S - (margin + effect)/se)] over S = estimated / true SD
    (Phillips 1990). Source: Julious 2010, chapters 3 to 6.

    Raises ValueError for an se or df that is not positive.
    """
    se, df = error
    if not (se > 0 and df > 0):
        raise ValueError(f"se is {se}, df {df}; allowed: above 0")
    t = special.ndtri(1 - alpha / 2) if math.isinf(df) else special.stdtrit(df, 1 - alpha / 2)
    if claim == "equivalence":
        s, weight = pooled_sd(df, below=margin / se / t)  # a larger estimate leaves no room for the interval
        inside = special.ndtr((margin - effect) / se - t * s) - special.ndtr(t * s - (margin + effect) / se)
        return float(weight @ inside)
    delta = (effect + (margin if claim == "non_inferiority" else 0)) / se
    return float(special.ndtr(delta - t) if math.isinf(df) else 1 - special.nctdtr(df, delta, t))


def historical_power(
    effect: float, n: float, sd: float, *, historical_n: float, historical_sd: float, alpha: float = 0.05
) -> float:
    """Return the power of the Welch test of n children against a published mean with its SD and n.

    effect: true mean minus published mean, which does not vary: E[Phi((effect - t(df(S)) se(S)) / (sd / sqrt(n)))],
    se(S)^2 = (sd S)^2 / n + historical_sd^2 / historical_n, df(S) by Satterthwaite, S = estimated / true SD, n - 1 df.
    """
    s, weight = pooled_sd(n - 1)
    new, old = (sd * s) ** 2 / n, historical_sd**2 / historical_n
    df = (new + old) ** 2 / (new**2 / (n - 1) + old**2 / (historical_n - 1))
    t = special.stdtrit(df, 1 - alpha / 2)
    return float(weight @ special.ndtr((effect - t * np.sqrt(new + old)) / (sd / math.sqrt(n))))


def responder_share(mean: float, sd: float, margin: float) -> float:
    """Return the share of children who gain more than `margin`, their gains being Normal(mean, sd^2)."""
    return float(special.ndtr((mean - margin) / sd))


def responder_power(
    share_active: float, share_control: float, n_active: float, n_control: float, *, alpha: float = 0.05
) -> float:
    """Return the power of the two-proportion z test, variance pooled under the null, by normal approximation.

    Phi((p1 - p0 - z sqrt(p (1 - p) (1/n1 + 1/n0))) / sqrt(p1 (1 - p1) / n1 + p0 (1 - p0) / n0)), p the share in both
    arms together (Fleiss, Levin & Paik 2003, chapter 4).
    """
    both = (n_active * share_active + n_control * share_control) / (n_active + n_control)
    null = math.sqrt(both * (1 - both) * (1 / n_active + 1 / n_control))
    se = math.sqrt(share_active * (1 - share_active) / n_active + share_control * (1 - share_control) / n_control)
    return float(special.ndtr((share_active - share_control - special.ndtri(1 - alpha / 2) * null) / se))


def interval_width(error: StandardError, *, alpha: float = 0.05) -> float:
    """Return the width 2 t(1 - alpha/2, df) se of the interval when the SD is estimated at its true value."""
    se, df = error
    return 2 * se * float(special.ndtri(1 - alpha / 2) if math.isinf(df) else special.stdtrit(df, 1 - alpha / 2))


def solve(figure: Callable[[float], float], target: float, *, low: float, high: float = 1e7) -> float:
    """Return the x in [low, high] at which a monotone figure of a trial equals the target; low where it does already.

    n for a power:      solve(lambda n: claim_power(1.4, of_one_sample(n, 5)), 0.8, low=2)
    n for a width:      solve(lambda n: interval_width(of_one_sample(n, 5)), 3, low=2)
    detectable effect:  solve(lambda effect: claim_power(effect, of_one_sample(40, 5)), 0.8, low=0)

    Raises ValueError where the figure does not reach the target within the limits.
    """
    sign = 1 if figure(high) >= figure(low) else -1

    def excess(x: float) -> float:
        return sign * (figure(x) - target)

    if excess(low) >= 0:
        return low
    if excess(high) < 0:
        raise ValueError(f"target is {target}; allowed: from {figure(low):g} to {figure(high):g}")
    return float(optimize.brentq(excess, low, high, xtol=1e-10, rtol=1e-14))
