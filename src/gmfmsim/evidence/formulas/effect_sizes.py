"""Effects of two groups and their variances. Every effect is first group minus second: active minus control.

Means m, standard deviations sd and numbers of children n are floats or arrays that broadcast. A value that cannot be
raises ValueError with the argument's name, the value and what is allowed. Variances are the large-sample ones in use.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import poch

from gmfmsim.compute.arguments import Number, alike, flag, instance, valid
from gmfmsim.evidence.formulas.conversions import sd_of_change


class Effect(NamedTuple):
    """An estimated effect and its sampling variance."""

    estimate: Number
    variance: Number


class PrePost(NamedTuple):
    """One group before and after: means, SDs, number of children, correlation of before and after."""

    m_pre: Number
    m_post: Number
    sd_pre: Number
    sd_post: Number
    n: Number
    r: Number


@alike
def difference(first: Effect, second: Effect) -> Effect:
    """Return the difference of two independent effects; the variances add."""
    pairs = [("first", instance("first", first, Effect)), ("second", instance("second", second, Effect))]
    estimates = (valid(f"{name}.estimate", effect.estimate) for name, effect in pairs)
    variances = (valid(f"{name}.variance", effect.variance, least=0) for name, effect in pairs)
    return Effect(np.subtract(*estimates), np.add(*variances))


# differences between two groups


@alike
def mean_difference(
    m1: Number, sd1: Number, n1: Number, m2: Number, sd2: Number, n2: Number, *, pooled: bool = False
) -> Effect:
    """Return m1 - m2 in points of the scale; variance sd1^2/n1 + sd2^2/n2.

    With `pooled` the variance is s^2 (1/n1 + 1/n2), s the pooled SD: that of the t test with equal variances.
    """
    m1, sd1, n1, m2, sd2, n2 = _two_groups(m1, sd1, n1, m2, sd2, n2)
    if flag("pooled", pooled):
        return Effect(m1 - m2, _pooled(sd1**2, n1, sd2**2, n2) * (1 / n1 + 1 / n2))
    return Effect(m1 - m2, sd1**2 / n1 + sd2**2 / n2)


@alike
def cohen_d(m1: Number, sd1: Number, n1: Number, m2: Number, sd2: Number, n2: Number) -> Effect:
    """Return d = (m1 - m2) / pooled SD; variance N/(n1 n2) + d^2/(2 (N - 2)), N = n1 + n2 (Hedges & Olkin 1985)."""
    m1, sd1, n1, m2, sd2, n2 = _two_groups(m1, sd1, n1, m2, sd2, n2)
    d = (m1 - m2) / np.sqrt(_pooled(sd1**2, n1, sd2**2, n2))
    return Effect(d, 1 / n1 + 1 / n2 + d**2 / (2 * (n1 + n2 - 2)))


@alike
def hedges_g(m1: Number, sd1: Number, n1: Number, m2: Number, sd2: Number, n2: Number) -> Effect:
    """Return g = J(N - 2) d, d of `cohen_d`; variance 1/n1 + 1/n2 + g^2/(2 N) (Hedges 1981)."""
    d = cohen_d(m1, sd1, n1, m2, sd2, n2).estimate
    n1, n2 = np.asarray(n1, float), np.asarray(n2, float)
    g = small_sample_factor(n1 + n2 - 2) * d
    return Effect(g, 1 / n1 + 1 / n2 + g**2 / (2 * (n1 + n2)))


@alike
def hedges_g_se(g: Number, n1: Number, n2: Number) -> Number:
    """Return J se(d), the other standard error of g in use: se(d)^2 = 1/n1 + 1/n2 + d^2/(2 N), d = g/J, J = J(N - 2).

    It is what contrasts.csv holds; `hedges_g` has the root of its variance. Source: Borenstein et al. 2009.
    """
    g, n1, n2 = valid("g", g), valid("n1", n1, least=2), valid("n2", n2, least=2)
    j = small_sample_factor(n1 + n2 - 2)
    return j * np.sqrt(1 / n1 + 1 / n2 + (g / j) ** 2 / (2 * (n1 + n2)))


@alike
def smd_heteroscedastic(m1: Number, sd1: Number, n1: Number, m2: Number, sd2: Number, n2: Number) -> Effect:
    """Return g = J(N - 2) (m1 - m2) / s, s^2 = (sd1^2 + sd2^2)/2, for groups of unequal SDs (Bonett 2008).

    variance = g^2 (sd1^4/(n1 - 1) + sd2^4/(n2 - 1)) / (8 s^4) + (sd1^2/(n1 - 1) + sd2^2/(n2 - 1)) / s^2
    """
    m1, sd1, n1, m2, sd2, n2 = _two_groups(m1, sd1, n1, m2, sd2, n2)
    s2 = (sd1**2 + sd2**2) / 2
    g = small_sample_factor(n1 + n2 - 2) * (m1 - m2) / np.sqrt(s2)
    of_sd = g**2 * (sd1**4 / (n1 - 1) + sd2**4 / (n2 - 1)) / (8 * s2**2)
    return Effect(g, of_sd + (sd1**2 / (n1 - 1) + sd2**2 / (n2 - 1)) / s2)


@alike
def glass_delta(m1: Number, n1: Number, m2: Number, sd2: Number, n2: Number) -> Effect:
    """Return g = J(n2 - 1) (m1 - m2) / sd2, n2 >= 3; variance 1/n1 + 1/n2 + g^2/(2 n2) (Glass 1976).

    sd2 is the control group's. The variance supposes that the first group's SD is about the same.
    """
    m1, n1, m2 = valid("m1", m1), valid("n1", n1, least=2), valid("m2", m2)
    sd2, n2 = valid("sd2", sd2, above=0), valid("n2", n2, least=3)
    g = small_sample_factor(n2 - 1) * (m1 - m2) / sd2
    return Effect(g, 1 / n1 + 1 / n2 + g**2 / (2 * n2))


@alike
def small_sample_factor(df: Number) -> Number:
    """Return J, which takes the bias off a mean divided by an SD of df > 1 degrees of freedom (Hedges 1981).

    J = Gamma(df/2) / (sqrt(df/2) Gamma((df - 1)/2)), near 1 - 3/(4 df - 1)
    """
    df = valid("df", df, above=1)
    return poch((df - 1) / 2, 0.5) / np.sqrt(df / 2)


# variability


@alike
def log_sd(sd: Number, n: Number) -> Effect:
    """Return ln sd + 1/(2 (n - 1)) of one group; variance 1/(2 (n - 1)) (Nakagawa et al. 2015)."""
    half = 1 / (2 * (valid("n", n, least=2) - 1))
    return Effect(np.log(valid("sd", sd, above=0)) + half, half)


@alike
def log_variability_ratio(sd1: Number, n1: Number, sd2: Number, n2: Number) -> Effect:
    """Return ln(sd1/sd2), each as `log_sd` (Nakagawa et al. 2015): do children differ more under treatment?"""
    _, sd1, n1, _, sd2, n2 = _two_groups(0, sd1, n1, 0, sd2, n2)
    return difference(log_sd(sd1, n1), log_sd(sd2, n2))


@alike
def log_cv_ratio(m1: Number, sd1: Number, n1: Number, m2: Number, sd2: Number, n2: Number) -> Effect:
    """Return the log ratio of the coefficients of variation, c = sd/m, of positive means (Senior et al. 2020).

    `log_variability_ratio` - ln(m1/m2) - c1^2/(2 n1) + c2^2/(2 n2); its variance + c1^2/n1 + c2^2/n2
    """
    m1, m2 = valid("m1", m1, above=0), valid("m2", m2, above=0)
    m1, sd1, n1, m2, sd2, n2 = _two_groups(m1, sd1, n1, m2, sd2, n2)
    spread, mean1, mean2 = log_variability_ratio(sd1, n1, sd2, n2), (sd1 / m1) ** 2 / n1, (sd2 / m2) ** 2 / n2
    return Effect(spread.estimate - np.log(m1 / m2) - mean1 / 2 + mean2 / 2, spread.variance + mean1 + mean2)


# events


@alike
def log_odds_ratio(a: Number, n1: Number, c: Number, n2: Number) -> Effect:
    """Return ln(odds of a in n1 / odds of c in n2); variance 1/a + 1/(n1 - a) + 1/c + 1/(n2 - c) (Woolf 1955).

    Where one of the four cells is 0, 0.5 is added to all four. A table without any event, or with events only, then
    gives about 0 with a large variance: it says nothing about the odds ratio, and a pooled estimate may leave it out.
    """
    a, n1, c, n2 = _four_cells(a, n1, c, n2)
    return Effect(np.log(a * (n2 - c) / (c * (n1 - a))), 1 / a + 1 / (n1 - a) + 1 / c + 1 / (n2 - c))


@alike
def log_risk_ratio(a: Number, n1: Number, c: Number, n2: Number) -> Effect:
    """Return ln((a/n1) / (c/n2)); variance 1/a - 1/n1 + 1/c - 1/n2 (Katz et al. 1978); zeros as `log_odds_ratio`."""
    a, n1, c, n2 = _four_cells(a, n1, c, n2)
    return Effect(np.log(a * n2 / (n1 * c)), 1 / a - 1 / n1 + 1 / c - 1 / n2)


# before and after


@alike
def mean_change(m_pre: Number, m_post: Number, sd_pre: Number, sd_post: Number, n: Number, r: Number) -> Effect:
    """Return the mean change of one group, m_post - m_pre, n >= 2; variance `sd_of_change`^2 / n."""
    group = _checked(PrePost(m_pre, m_post, sd_pre, sd_post, n, r))
    return Effect(group.m_post - group.m_pre, sd_of_change(sd_pre, sd_post, r) ** 2 / group.n)


@alike
def standardized_mean_change(
    m_pre: Number, m_post: Number, sd_pre: Number, sd_post: Number, n: Number, r: Number
) -> Effect:
    """Return g = J(n - 1) (m_post - m_pre) / `sd_of_change`, n >= 3; variance 1/n + g^2/(2 n) (Gibbons et al. 1993)."""
    group = _checked(PrePost(m_pre, m_post, sd_pre, sd_post, n, r), least=3)
    g = small_sample_factor(group.n - 1) * (group.m_post - group.m_pre) / sd_of_change(sd_pre, sd_post, r)
    return Effect(g, 1 / group.n + g**2 / (2 * group.n))


@alike
def standardized_mean_change_raw(
    m_pre: Number, m_post: Number, sd_pre: Number, sd_post: Number, n: Number, r: Number
) -> Effect:
    """Return g = J(n - 1) (m_post - m_pre) / sd_pre, n >= 3; variance 2 (1 - r)/n + g^2/(2 n) (Becker 1988).

    The variance supposes equal SDs before and after.
    """
    group = _checked(PrePost(m_pre, m_post, sd_pre, sd_post, n, r), least=3)
    g = small_sample_factor(group.n - 1) * (group.m_post - group.m_pre) / group.sd_pre
    return Effect(g, 2 * (1 - group.r) / group.n + g**2 / (2 * group.n))


@alike
def pre_post_control(active: PrePost, control: PrePost) -> Effect:
    """Return g = J(N - 2) (change of active - change of control) / pooled SD before, d_PPC2 of Morris (2008).

    variance = 2 (1 - r1)/n1 + 2 (1 - r2)/n2 + g^2/(2 N), N = n1 + n2; it supposes equal SDs before and after.
    """
    first, second = _checked(active, "active."), _checked(control, "control.")
    total = first.n + second.n
    sd = np.sqrt(_pooled(first.sd_pre**2, first.n, second.sd_pre**2, second.n))
    change = (first.m_post - first.m_pre) - (second.m_post - second.m_pre)
    g = small_sample_factor(total - 2) * change / sd
    return Effect(g, 2 * (1 - first.r) / first.n + 2 * (1 - second.r) / second.n + g**2 / (2 * total))


@alike
def ancova_difference(active: PrePost, control: PrePost) -> Effect:
    """Return the difference after, adjusted for the difference before, as least squares on the children gives it.

    (post1 - post2) - b (pre1 - pre2), b = C/B, with B, A and C the pooled variances before and after and covariance;
    variance = (A - C^2/B) (N - 2)/(N - 3) (1/n1 + 1/n2 + (pre1 - pre2)^2 / ((N - 2) B)), N = n1 + n2.
    With one sd_pre, sd_post and r in both groups b = r sd_post / sd_pre and A - C^2/B = sd_post^2 (1 - r^2)
    (Cochran 1957).
    """
    first, second = _checked(active, "active."), _checked(control, "control.")
    before, df = first.m_pre - second.m_pre, first.n + second.n - 2
    b = _pooled(first.sd_pre**2, first.n, second.sd_pre**2, second.n)
    a = _pooled(first.sd_post**2, first.n, second.sd_post**2, second.n)
    c = _pooled(first.r * first.sd_pre * first.sd_post, first.n, second.r * second.sd_pre * second.sd_post, second.n)
    residual = (a - c**2 / b) * df / (df - 1)
    variance = residual * (1 / first.n + 1 / second.n + before**2 / (df * b))
    return Effect(first.m_post - second.m_post - c / b * before, variance)


# covariances of effects that share children


@alike
def covariance_shared_control_md(sd0: Number, n0: Number) -> Number:
    """Return the covariance of two mean differences against one control group: sd0^2 / n0, its mean's variance.

    sd0 is the control's own SD, or the pooled one if the differences' variances use that.
    """
    return valid("sd0", sd0, above=0) ** 2 / valid("n0", n0, least=2)


@alike
def covariance_shared_control_smd(g1: Number, g2: Number, n0: Number, n_total: Number) -> Number:
    """Return the covariance of two standardized differences against one control group (Gleser & Olkin 2009).

    1/n0 + g1 g2 / (2 n_total), n_total the children of all groups, over which the SD of both is pooled
    """
    n0 = valid("n0", n0, least=2)
    return 1 / n0 + valid("g1", g1) * valid("g2", g2) / (2 * valid("n_total", n_total, above=n0))


@alike
def covariance_repeated(se1: Number, se2: Number, r: Number) -> Number:
    """Return the covariance of one contrast at two months, r the correlation of the months: r se1 se2."""
    return valid("r", r, above=-1, below=1) * valid("se1", se1, above=0) * valid("se2", se2, above=0)


def _two_groups(m1: Number, sd1: Number, n1: Number, m2: Number, sd2: Number, n2: Number) -> tuple[np.ndarray, ...]:
    return (
        *(valid("m1", m1), valid("sd1", sd1, above=0), valid("n1", n1, least=2)),
        *(valid("m2", m2), valid("sd2", sd2, above=0), valid("n2", n2, least=2)),
    )


def _checked(group: PrePost, name: str = "", least: int = 2) -> PrePost:
    instance(name.rstrip("."), group, PrePost)
    return PrePost(
        *(valid(f"{name}m_pre", group.m_pre), valid(f"{name}m_post", group.m_post)),
        *(valid(f"{name}sd_pre", group.sd_pre, above=0), valid(f"{name}sd_post", group.sd_post, above=0)),
        *(valid(f"{name}n", group.n, least=least), valid(f"{name}r", group.r, above=-1, below=1)),
    )


def _four_cells(a: Number, n1: Number, c: Number, n2: Number) -> tuple[np.ndarray, ...]:
    """Return events and totals, 0.5 added to all four cells of the tables in which one is 0."""
    n1, n2 = valid("n1", n1, least=1), valid("n2", n2, least=1)
    a, c = valid("a", a, least=0), valid("c", c, least=0)
    valid("n1", n1, least=a)
    valid("n2", n2, least=c)
    half = np.where((a == 0) | (a == n1) | (c == 0) | (c == n2), 0.5, 0.0)
    return a + half, n1 + 2 * half, c + half, n2 + 2 * half


def _pooled(x1: Number, n1: Number, x2: Number, n2: Number) -> Number:
    """Return a variance or covariance pooled over two groups, weighted by degrees of freedom."""
    return ((n1 - 1) * x1 + (n2 - 1) * x2) / (n1 + n2 - 2)
