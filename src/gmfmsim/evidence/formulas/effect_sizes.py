"""Effects of two groups and their variances. Every effect is first group minus second: active minus control.

Means m, standard deviations sd and numbers of children n are floats or arrays that broadcast. A value that cannot be
raises ValueError with the argument's name, the value and what is allowed. Variances are the large-sample ones in use.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import poch

from gmfmsim.compute.arguments import Number, alike, valid


class Effect(NamedTuple):
    """An estimated effect and its sampling variance."""

    estimate: Number
    variance: Number


@alike
def mean_difference(m1: Number, sd1: Number, n1: Number, m2: Number, sd2: Number, n2: Number) -> Effect:
    """Return m1 - m2 in points of the scale; variance sd1^2/n1 + sd2^2/n2."""
    m1, sd1, n1, m2, sd2, n2 = _two_groups(m1, sd1, n1, m2, sd2, n2)
    return Effect(m1 - m2, sd1**2 / n1 + sd2**2 / n2)


@alike
def cohen_d(m1: Number, sd1: Number, n1: Number, m2: Number, sd2: Number, n2: Number) -> Effect:
    """Return d = (m1 - m2) / pooled SD; variance N/(n1 n2) + d^2/(2 (N - 2)), N = n1 + n2 (Hedges & Olkin 1985)."""
    m1, sd1, n1, m2, sd2, n2 = _two_groups(m1, sd1, n1, m2, sd2, n2)
    d = (m1 - m2) / np.sqrt(((n1 - 1) * sd1**2 + (n2 - 1) * sd2**2) / (n1 + n2 - 2))
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
def small_sample_factor(df: Number) -> Number:
    """Return J, which takes the bias off a mean divided by an SD of df > 1 degrees of freedom (Hedges 1981).

    J = Gamma(df/2) / (sqrt(df/2) Gamma((df - 1)/2)), near 1 - 3/(4 df - 1)
    """
    df = valid("df", df, above=1)
    return poch((df - 1) / 2, 0.5) / np.sqrt(df / 2)


@alike
def log_sd(sd: Number, n: Number) -> Effect:
    """Return ln sd + 1/(2 (n - 1)) of one group; variance 1/(2 (n - 1)) (Nakagawa et al. 2015)."""
    half = 1 / (2 * (valid("n", n, least=2) - 1))
    return Effect(np.log(valid("sd", sd, above=0)) + half, half)


def _two_groups(m1: Number, sd1: Number, n1: Number, m2: Number, sd2: Number, n2: Number) -> tuple[np.ndarray, ...]:
    return (
        *(valid("m1", m1), valid("sd1", sd1, above=0), valid("n1", n1, least=2)),
        *(valid("m2", m2), valid("sd2", sd2, above=0), valid("n2", n2, least=2)),
    )
