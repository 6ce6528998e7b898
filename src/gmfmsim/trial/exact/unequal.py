"""How likely an estimate is to meet its criteria where the variances of two kinds of groups are unequal."""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import special

from gmfmsim.compute.algebra import dot, gauss_legendre
from gmfmsim.trial.analyse.law import Statistic
from gmfmsim.trial.decide import Claim
from gmfmsim.trial.exact.rules import Rule, estimated, gauss
from gmfmsim.trial.exact.tails import Truth, beyond, joint

ANGLES, ANGLE_WEIGHTS = gauss_legendre(192)
REACH = 9.0
"""SDs to either side of its middle to which the angle is followed: the tails beyond hold less than 1e-15."""


def chances_unequal(truth: Truth, claimed: Claim, test: Statistic, units: np.ndarray, sigma: float) -> np.ndarray:
    """Return P(all criteria hold) (K,) at units (G,), for each component of the truth. sigma: SD without cells.

    Given B (see `critical_unequal`) the test is a t test; the rest is quadrature over B.
    """
    of = critical_unequal(np.array([c.level for c in claimed]), test, units, sigma)
    return _met(truth, claimed, of.se, of.df, (of.t, of.weight))


class Critical(NamedTuple):
    """A test of unequal variances as t tests of df at critical values t (C, B), with weights (B,), at a true error."""

    t: np.ndarray
    weight: np.ndarray
    df: float
    se: float


def critical_unequal(level: np.ndarray, test: Statistic, units: np.ndarray, sigma: float) -> Critical:
    """Return the critical values at one-sided levels (C,) over B, at units (G,), in true standard errors.

    The variances of two kinds of groups are estimated by W_i ~ sd_i^2 chi^2(df_i), independent, and the squared
    standard error is a_1 W_1 + a_0 W_0: Welch (1947) a_i = w_i^2 / (n_i df_i), pooled a_i = sum(w^2 / n) / df. With
    B = chi_1^2 / (chi_1^2 + chi_0^2) ~ Beta(df_1 / 2, df_0 / 2) and S^2 ~ chi^2(df) / df, independent of B,
    df = df_1 + df_0, it is se^2 r(B)^2 S^2: given B the test is a t test of df at the critical value t(B) r(B), t(B)
    that of Satterthwaite's degrees of freedom, which are a function of B.
    """
    w2, cells = np.array(test.weights) ** 2, _first_kind(test)
    variance = sigma**2 + np.square(test.response or np.zeros(len(units)))
    own = np.array([(units[kind] - 1).sum() for kind in (cells, ~cells)])
    df, se = float(own.sum()), math.sqrt((w2 * variance / units).sum())
    share, weight = _share(*own.tolist())
    parts = np.array([variance[cells][0], variance[~cells][0]])[:, None] * np.array([share, 1 - share])
    if test.separate:
        parts *= (w2 / units / (units - 1))[[cells.argmax(), cells.argmin()], None] * df
        of_test = parts.sum(axis=0) ** 2 / (parts**2 / own[:, None]).sum(axis=0)
    else:
        parts *= (w2 / units).sum()
        of_test = np.full(share.size, df)
    t = -special.stdtrit(of_test, level[:, None]) * np.sqrt(parts.sum(axis=0)) / se
    return Critical(t, weight, df, se)


def _met(truth: Truth, claimed: Claim, se: float, df: float, critical: Rule) -> np.ndarray:
    """Return P(all criteria hold) (K,) over critical values (C, B) with weights (B,), at df and a true error se."""
    t, share = critical
    sign = np.array([1.0 if c.direction == "above" else -1.0 for c in claimed])
    threshold = np.array([c.threshold for c in claimed])
    if len(claimed) > 1:
        each = [joint(truth, np.array([se]), df, row, threshold, sign)[0] for row in np.ascontiguousarray(t.T)]
        return dot(np.array(each).T, share)
    s, weight = estimated(df, float(t.max()))
    limit, weight = np.outer(t[0], s).ravel(), np.outer(share, weight).ravel()
    apart = sign[0] * (truth.mean - threshold[0])
    return beyond(apart, truth.variance, np.array([se]), np.ones(limit.size), limit, weight)[0]


def _first_kind(test: Statistic) -> np.ndarray:
    """Return which groups (G,) are of the first of the two kinds: those with the larger variance, or the first."""
    if len(set(test.response)) > 1:
        return np.array(test.response) == max(test.response)
    return np.arange(len(test.weights)) == 0


@lru_cache(maxsize=4096)
def _share(first: float, second: float) -> Rule:
    """Return the rule of B ~ Beta(first / 2, second / 2) along an angle a, B = sin^2 a."""
    middle, sd = math.atan(math.sqrt(first / second)), 1 / math.sqrt(2 * (first + second))
    low, high = max(middle - REACH * sd, 0.0), min(middle + REACH * sd, math.pi / 2)
    angle = low + (high - low) / 2 * (1 + ANGLES)
    log = (first - 1) * np.log(np.sin(angle)) + (second - 1) * np.log(np.cos(angle))
    density = ANGLE_WEIGHTS * np.exp(log - log.max())
    there = density > density.max() * 1e-17
    angle, weight = gauss(angle[there], density[there] / density[there].sum(), _nodes(min(first, second)))
    return np.sin(angle) ** 2, weight


def _nodes(fewest: float) -> int:
    """Return how many nodes success bends over, where the smaller variance has so many degrees of freedom."""
    return 8 if fewest >= 6 else 16 if fewest >= 2 else 48
