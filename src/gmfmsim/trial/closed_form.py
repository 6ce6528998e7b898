"""Power and sample size by formula, for a known effect and a known SD: what a standard error lets a trial claim."""

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from scipy import special

from gmfmsim.compute.algebra import dot, inverse
from gmfmsim.compute.arguments import correlations, endless, numbers, one_of, scalar, vector
from gmfmsim.compute.roots import root
from gmfmsim.dist.noncentral_t import beyond
from gmfmsim.dist.pooled_sd import pooled_sd
from gmfmsim.faults import shown

Test = Literal["t", "z", "welch"]
Claim = Literal["superiority", "non_inferiority", "equivalence"]

FEWEST_CHILDREN = 3
"""A pooled variance needs one degree of freedom: three children in the two arms together."""

FEWEST_IN_AN_ARM = 2
"""A variance of its own needs two children in each arm."""


def power(
    n_active: float,
    n_control: float,
    *,
    effect: float,
    sd: float | tuple[float, float],
    alpha: float = 0.05,
    method: Test = "t",
) -> float:
    """Return the probability of a two-sided significant result in favour of treatment.

    With delta = effect / sqrt(sd_active^2/n_active + sd_control^2/n_control), F the non-central t:
    t: 1 - F(t(1 - alpha/2, df); df, delta), df = n_active + n_control - 2, one sd of both arms; welch: the same with
    the df of `of_welch`, as rpact has it: not exact, see there; z: Phi(delta - z(1 - alpha/2)). welch and z take one
    sd, or a pair (active, control). Sizes are analysed children and need not be
    whole. Source: Julious 2010, chapter 3; Welch 1947.

    Raises ValueError for an argument that cannot be, fewer than three children in all for a t test, or no more than
    one in an arm for a Welch test.
    """
    error = _two_arms(n_active, n_control, sd, one_of("method", method, get_args(Test)))
    return beyond(_critical(error.df, alpha), error.df, scalar("effect", effect) / error.se)


def sample_size(
    *,
    effect: float,
    sd: float | tuple[float, float],
    power_target: float,
    alpha: float = 0.05,
    ratio: float = 1.0,
    method: Test = "t",
) -> float:
    """Return the (fractional) control-arm n at which `power` equals the target; the active arm has ratio x n.

    z: n = (sd_active^2 / ratio + sd_control^2) ((z(1 - alpha/2) + z(power)) / effect)^2; t and welch: root of `power`,
    or the size of three children in all (welch: two in the smaller arm) where that is more than enough.

    Raises ValueError for an argument that cannot be: effect and ratio are above 0, a target within (alpha/2, 1).
    """
    one_of("method", method, get_args(Test))
    active, control = _pair(sd, method)
    effect, ratio = scalar("effect", effect, above=0), scalar("ratio", ratio, above=0)
    tail = _tail(alpha)
    target = scalar("power_target", power_target, above=tail, below=1)
    normal = (active**2 / ratio + control**2) * ((special.ndtri(target) - special.ndtri(tail)) / effect) ** 2
    if method == "z":
        return float(normal)

    def excess(n: float) -> float:
        return power(ratio * n, n, effect=effect, sd=sd, alpha=alpha, method=method) - target

    fewest = FEWEST_CHILDREN / (1 + ratio) if method == "t" else FEWEST_IN_AN_ARM / min(1.0, ratio)
    low = fewest * (1 + 1e-12)  # so that rounding does not take it below the fewest
    if excess(low) >= 0:
        return low
    high = 2 * low + float(normal)
    while excess(high) < 0:
        high *= 2
    return root(excess, low, high, within=1e-10, relative=1e-14)


def analysis_sd(sd: float, correlation: float, analysis: Literal["final", "change", "ancova"]) -> float:
    """Return the SD that an analysis works with, given the SD of scores and their correlation with baseline.

    final: sd; change: sd sqrt(2 (1 - rho)); ancova: sd sqrt(1 - rho^2) (Borm, Fransen & Lemmens 2007).

    Raises ValueError for another analysis, an sd not above 0 or a correlation outside [-1, 1].
    """
    correlation = scalar("correlation", correlation, least=-1, most=1)
    factors = {"final": 1.0, "change": 2 * (1 - correlation), "ancova": 1 - correlation**2}
    return scalar("sd", sd, above=0) * math.sqrt(factors[one_of("analysis", analysis, factors)])


class StandardError(NamedTuple):
    """Standard error of an estimated effect, and degrees of freedom of its estimate; inf: the SD taken as known."""

    se: float
    df: float = math.inf


def of_contrast(n: Sequence[float], weights: Sequence[float], sd: float) -> StandardError:
    """Return the standard error of sum_i w_i mean_i, arms of n_i children: sd sqrt(sum_i w_i^2 / n_i), df sum n - arms.

    Two arms: weights (-1, 1). Two by two: (-1/2, -1/2, 1/2, 1/2) for a main effect. Doses: any that add up to 0.

    Raises ValueError for n and weights that are not of one length, n or sd not above 0, or weights that are all 0.
    """
    n, weights = vector("n", n, above=0), vector("weights", weights)
    if n.shape != weights.shape or not weights.any():
        raise ValueError(f"weights = {weights.tolist()}: must be one for each of {n.size} arms, not all of them 0")
    return StandardError(scalar("sd", sd, above=0) * math.sqrt((weights**2 / n).sum()), float(n.sum()) - n.size)


def of_one_sample(n: float, sd: float) -> StandardError:
    """Return the standard error of a mean: sd / sqrt(n), df n - 1; of n pairs with `analysis_sd` "change" as the sd.

    Raises ValueError for n or sd not above 0.
    """
    return of_contrast([scalar("n", n, above=0)], [1], sd)


def of_crossover(n_first: float, n_second: float, sd_difference: float) -> StandardError:
    """Return the standard error of half the difference between sequences in the mean difference of a child's periods.

    sd_difference / 2 sqrt(1/n_first + 1/n_second), df n_first + n_second - 2 (Senn 2002, chapter 3).

    Raises ValueError for a size or SD not above 0.
    """
    sizes = scalar("n_first", n_first, above=0), scalar("n_second", n_second, above=0)
    return of_contrast(sizes, [0.5, -0.5], scalar("sd_difference", sd_difference, above=0))


def of_clusters(n_active: float, n_control: float, sd: float, *, size: float, icc: float) -> StandardError:
    """Return the standard error of the difference of mean cluster means, in clusters of `size` children.

    sd sqrt((1 + (size - 1) icc) (1/n_active + 1/n_control)), df clusters - 2 (Donner & Klar 2000, chapter 5).

    Raises ValueError for an n or sd not above 0, a size below 1, or an icc outside [0, 1].
    """
    n = scalar("n_active", n_active, above=0), scalar("n_control", n_control, above=0)
    size, icc = scalar("size", size, least=1), scalar("icc", icc, least=0, most=1)
    inflated = scalar("sd", sd, above=0) * math.sqrt((1 + (size - 1) * icc) / size)
    return of_contrast(np.array(n) / size, [1, -1], inflated)


def of_welch(n_active: float, n_control: float, sd: tuple[float, float]) -> StandardError:
    """Return the standard error of a difference of means of arms with SDs (active, control) of their own.

    v = v1 + v0, v1 = sd_active^2 / n_active, v0 likewise: sqrt(v), df v^2 / (v1^2 / (n_active - 1) + v0^2 /
    (n_control - 1)) (Satterthwaite 1946; Welch 1947). A Welch test estimates its df, and its statistic is not quite a
    non-central t: powers from these df, as those of rpact, are off by up to 0.006 at 10 children an arm, 0.0013 at 20
    and 0.0002 at 50 (alpha 0.05; SDs up to 3 : 1, arms up to 2 : 1).

    Raises ValueError for sizes that are not above 1, or sd that is not a pair above 0.
    """
    return _two_arms(n_active, n_control, sd, "welch")


def of_mmrm(
    n_active: float, n_control: float, sd: float, *, correlation: np.ndarray, retention: Sequence[float]
) -> StandardError:
    """Return the standard error of the effect at the last of V visits by a mixed model of all visits, in large samples.

    sd sqrt(phi (1/n_active + 1/n_control)), phi the last diagonal element of the inverse of
    sum_v (r_v - r_(v+1)) inverse(correlation up to v), padded with zeros; retention r_v (V,), the share still in the
    trial at visit v; sd at the last visit. Children missing completely at random. Source: Lu, Luo & Chen 2008.

    Raises ValueError for sizes or an sd not above 0, retention that rises or is not above 0, or no correlation.
    """
    n_active, n_control = scalar("n_active", n_active, above=0), scalar("n_control", n_control, above=0)
    retention = vector("retention", retention, above=0, most=1)
    visits = retention.size
    correlation = correlations("correlation", correlation, size=visits, singular=False)
    last_seen = retention - np.append(retention[1:], 0)
    if last_seen.min() < 0:
        raise ValueError(f"retention = {retention.tolist()}: must be falling shares from 1 on, above 0")
    information = np.zeros((visits, visits))
    for v, share in enumerate(last_seen, start=1):
        information[:v, :v] += share * inverse(correlation[:v, :v])
    phi = inverse(information)[-1, -1]
    return StandardError(scalar("sd", sd, above=0) * math.sqrt(phi * (1 / n_active + 1 / n_control)))


def claim_power(
    effect: float, error: StandardError, *, alpha: float = 0.05, claim: Claim = "superiority", margin: float = 0.0
) -> float:
    """Return the probability of making the claim: that the interval with probability 1 - alpha lies where it must.

    superiority: above 0, 1 - F(t(1 - alpha/2, df); df, effect / se), F the non-central t; non_inferiority: above
    -margin, the same of effect + margin; equivalence: within (-margin, margin), two one-sided tests, the joint
    probability E[Phi((margin - effect)/se - t S) - Phi(t S - (margin + effect)/se)] over S = estimated / true SD
    (Phillips 1990). Source: Julious 2010, chapters 3 to 6.

    Raises ValueError for an argument that cannot be: se and df are above 0, and a margin is 0 exactly for superiority.
    """
    se, df = _error(error)
    effect, margin = scalar("effect", effect), scalar("margin", margin, least=0)
    if one_of("claim", claim, get_args(Claim)) == "superiority" and margin:
        raise ValueError(f"margin = {margin:g}: must be 0 where the claim is superiority")
    t = _critical(df, alpha)
    if claim == "equivalence":
        effect = abs(effect)  # which leaves the claim as likely, and both terms below small where they differ little
        s, weight = pooled_sd(df, below=margin / se / t)  # a larger estimate leaves no room for the interval
        inside = special.ndtr((margin - effect) / se - t * s) - special.ndtr(t * s - (margin + effect) / se)
        return float(dot(weight, inside))
    return beyond(t, df, (effect + margin) / se)


def historical_power(
    effect: float, n: float, sd: float, *, historical_n: float, historical_sd: float, alpha: float = 0.05
) -> float:
    """Return the power of the Welch test of n children against a published mean with its SD and n.

    effect: true mean minus published mean, which does not vary: E[Phi((effect - t(df(S)) se(S)) / (sd / sqrt(n)))],
    se(S)^2 = (sd S)^2 / n + historical_sd^2 / historical_n, df(S) by Satterthwaite, S = estimated / true SD, n - 1 df.

    Raises ValueError for an argument that cannot be: both n are above 1, both SDs above 0.
    """
    effect, n, historical_n = (
        scalar("effect", effect),
        scalar("n", n, above=1),
        scalar("historical_n", historical_n, above=1),
    )
    sd, historical_sd = scalar("sd", sd, above=0), scalar("historical_sd", historical_sd, above=0)
    s, weight = pooled_sd(n - 1)
    new, old = (sd * s) ** 2 / n, historical_sd**2 / historical_n
    df = (new + old) ** 2 / (new**2 / (n - 1) + old**2 / (historical_n - 1))
    t = -special.stdtrit(df, _tail(alpha))
    return float(dot(weight, special.ndtr((effect - t * np.sqrt(new + old)) / (sd / math.sqrt(n)))))


def responder_share(mean: float, sd: float, margin: float) -> float:
    """Return the share of children who gain more than `margin`, their gains being Normal(mean, sd^2).

    Raises ValueError for an sd not above 0.
    """
    return float(special.ndtr((scalar("mean", mean) - scalar("margin", margin)) / scalar("sd", sd, above=0)))


def responder_power(
    share_active: float, share_control: float, n_active: float, n_control: float, *, alpha: float = 0.05
) -> float:
    """Return the power of the two-proportion z test, variance pooled under the null, by normal approximation.

    Phi((p1 - p0 - z sqrt(p (1 - p) (1/n1 + 1/n0))) / sqrt(p1 (1 - p1) / n1 + p0 (1 - p0) / n0)), p the share in both
    arms together (Fleiss, Levin & Paik 2003, chapter 4). Where both shares are 0 or 1 nothing varies: 1 or 0.

    Raises ValueError for shares outside [0, 1] or sizes not above 0.
    """
    p1, p0 = (
        scalar("share_active", share_active, least=0, most=1),
        scalar("share_control", share_control, least=0, most=1),
    )
    n1, n0 = scalar("n_active", n_active, above=0), scalar("n_control", n_control, above=0)
    both = (n1 * p1 + n0 * p0) / (n1 + n0)
    over = p1 - p0 - _critical(math.inf, alpha) * math.sqrt(both * (1 - both) * (1 / n1 + 1 / n0))
    se = math.sqrt(p1 * (1 - p1) / n1 + p0 * (1 - p0) / n0)
    return float(special.ndtr(over / se)) if se else float(over > 0)


def interval_width(error: StandardError, *, alpha: float = 0.05) -> float:
    """Return the width 2 t(1 - alpha/2, df) se of the interval when the SD is estimated at its true value.

    Raises ValueError for an se or df not above 0, or alpha outside (0, 1).
    """
    se, df = _error(error)
    return 2 * se * _critical(df, alpha)


def solve(figure: Callable[[float], float], target: float, *, low: float, high: float = 1e7) -> float:
    """Return the x in [low, high] at which a monotone figure of a trial equals the target; low where it does already.

    n for a power:      solve(lambda n: claim_power(1.4, of_one_sample(n, 5)), 0.8, low=2)
    n for a width:      solve(lambda n: interval_width(of_one_sample(n, 5)), 3, low=2)
    detectable effect:  solve(lambda effect: claim_power(effect, of_one_sample(40, 5)), 0.8, low=0)

    Raises ValueError where the figure does not reach the target within the limits, or they are none.
    """
    target, low = scalar("target", target), scalar("low", low)
    high = scalar("high", high, above=low)
    sign = 1 if figure(high) >= figure(low) else -1

    def excess(x: float) -> float:
        return sign * (figure(x) - target)

    if excess(low) >= 0:
        return low
    if excess(high) < 0:
        raise ValueError(f"target is {target}; allowed: from {figure(low):g} to {figure(high):g}")
    return root(excess, low, high, within=1e-10, relative=1e-14)


def _two_arms(n_active: float, n_control: float, sd: float | tuple[float, float], method: str) -> StandardError:
    """Return the standard error of a difference of two means, with the df of a t, Welch or z test."""
    least = 1 if method == "welch" else 0
    n1, n0 = scalar("n_active", n_active, above=least), scalar("n_control", n_control, above=least)
    if method == "t" and n1 + n0 < FEWEST_CHILDREN:
        raise ValueError(f"n_active + n_control = {n1 + n0:g}: must be at least three in all for a t test")
    sd1, sd0 = _pair(sd, method)
    se = math.hypot(sd1 / math.sqrt(n1), sd0 / math.sqrt(n0))
    if method == "welch":
        share = (sd1 / se) ** 2 / n1
        return StandardError(se, 1 / (share**2 / (n1 - 1) + (1 - share) ** 2 / (n0 - 1)))
    return StandardError(se, n1 + n0 - 2 if method == "t" else math.inf)


def _pair(sd: float | tuple[float, float], method: str) -> tuple[float, float]:
    """Return the SDs of the active and the control arm: one of both for a t test."""
    if numbers("sd", sd).ndim == 0:
        return (scalar("sd", sd, above=0),) * 2
    pair = vector("sd", sd, above=0)
    if method == "t" or pair.size != 2:
        allowed = "one SD of both arms for a t test" if method == "t" else "one SD, or a pair (active, control)"
        raise ValueError(f"sd = {pair.tolist()}: must be {allowed}")
    return float(pair[0]), float(pair[1])


def _error(error: StandardError) -> StandardError:
    if not (isinstance(error, tuple) and len(error) == 2):
        raise ValueError(f"error = {shown(error)}: must be a StandardError, (se, df)")
    return StandardError(scalar("error.se", error[0], above=0), endless("error.df", error[1], above=0))


def _tail(alpha: float) -> float:
    return scalar("alpha", alpha, above=0, below=1) / 2


def _critical(df: float, alpha: float) -> float:
    """Return the t (df = inf: normal) quantile of a two-sided level, from its small tail, which keeps its digits."""
    tail = _tail(alpha)
    return -float(special.ndtri(tail) if math.isinf(df) else special.stdtrit(df, tail))
