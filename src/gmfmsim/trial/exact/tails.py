"""How likely an estimate is to meet its criteria, given its standard error: for many truths at once."""

import math
from typing import NamedTuple

import numpy as np
from scipy import special

from gmfmsim.compute.algebra import gauss_legendre
from gmfmsim.compute.compiled import compiled
from gmfmsim.dist.normal import normal_cdf
from gmfmsim.trial.decide import Claim
from gmfmsim.trial.exact.rules import error, imbalance

NODES, WEIGHTS = gauss_legendre(16)


class Truth(NamedTuple):
    """Normal components of what an estimate is centred on: mean, variance (K,).

    A variance may lie below 0 by less than the squared standard errors that it is asked with: then a part of these is
    in the components already.
    """

    mean: np.ndarray
    variance: np.ndarray


def critical(claimed: Claim, df: float) -> np.ndarray:
    """Return the critical value (C,) of each criterion at df degrees of freedom, inf for a known SD."""
    level = np.array([c.level for c in claimed])
    return -(special.ndtri(level) if math.isinf(df) else special.stdtrit(df, level))


def chances(truth: Truth, claimed: Claim, se: np.ndarray, df: float, adjusted: bool) -> np.ndarray:
    """Return P(all criteria hold) (M, K) at standard errors se (M,), for each component of the truth.

    estimate ~ Normal(theta, (q se)^2), theta ~ Normal(mean, variance), so that it is Normal(mean, variance + (q se)^2);
    the criterion above a threshold holds where it lies beyond threshold + t q se S. One criterion:
    E[Phi((mean - threshold - t q se S) / sqrt(variance + (q se)^2))], the tail of a non-central t over q = 1. Several:
    the joint probability, by quadrature over S between the corners of the region. q, S: see `rules.error`.
    """
    t = critical(claimed, df)
    if len(claimed) > 1:
        sign = np.array([1.0 if c.direction == "above" else -1.0 for c in claimed])
        threshold = np.array([c.threshold for c in claimed])
        found = np.zeros((se.size, truth.mean.size))
        for inflate, weight in zip(*imbalance(df, adjusted), strict=True):
            found += weight * joint(truth, se * inflate, df, t, threshold, sign)
        return found
    (only,) = claimed
    apart = truth.mean - only.threshold if only.direction == "above" else only.threshold - truth.mean
    return beyond(apart, truth.variance, se, *error(df, float(t[0]), adjusted))


def joint(truth: Truth, se: np.ndarray, df: float, t: np.ndarray, threshold: np.ndarray, sign: np.ndarray):
    """Return P(all criteria hold) (M, K) at standard errors se (M,), of critical values, thresholds and signs (C,)."""
    return _joint(truth.mean, truth.variance, se, df, t, threshold, sign, NODES, WEIGHTS)


@compiled
def beyond(apart, variance, se, inflate, limit, weight):
    """Return the sum over nodes of weight x Phi((apart - limit se) / sqrt(variance + (inflate se)^2)), (M, K)."""
    out = np.zeros((se.size, apart.size))
    for m in range(se.size):
        for k in range(apart.size):
            total, last, root = 0.0, -1.0, 1.0
            for j in range(weight.size):
                if inflate[j] != last:
                    last = inflate[j]
                    root = 1 / math.sqrt(variance[k] + (last * se[m]) ** 2)
                total += weight[j] * normal_cdf((apart[k] - limit[j] * se[m]) * root)
            out[m, k] = total
    return out


@compiled
def _corners(se, low, high, t, threshold, sign):
    """Return the log S, from low to high in order, at which two criteria ask for the same estimate."""
    found = [low, high]
    for i in range(t.size):
        for j in range(i):
            slope = (sign[i] * t[i] - sign[j] * t[j]) * se
            rise = threshold[j] - threshold[i]
            if slope != 0 and rise / slope > 0:
                u = math.log(rise / slope)
                if low < u < high:
                    found.append(u)
    return np.sort(np.array(found))


@compiled
def _inside(mean, sd, bounds, out, weight):
    """Add weight x P(the estimate lies within its bounds (2,)) of components with SDs sd to out (K,)."""
    low, high = bounds
    for k in range(mean.size):
        if low >= high:
            break
        above = (mean[k] - low) / sd[k]
        beyond = (mean[k] - high) / sd[k]
        if beyond > 0:  # the smaller tails keep their digits
            out[k] += weight * max(normal_cdf(-beyond) - normal_cdf(-above), 0.0)
        else:
            out[k] += weight * max(normal_cdf(above) - normal_cdf(beyond), 0.0)


@compiled
def _bounds(s, se, t, threshold, sign):
    """Return the ends between which an estimate meets every criterion."""
    low, high = -np.inf, np.inf
    for i in range(t.size):
        end = threshold[i] + sign[i] * t[i] * s * se
        if sign[i] > 0:
            low = max(low, end)
        else:
            high = min(high, end)
    return low, high


@compiled
def _joint(mean, variance, se, df, t, threshold, sign, nodes, weights):
    """Return the probability (M, K) that all criteria hold, by Gauss and Legendre's rule over u = log S in panels.

    The density of u is in proportion to exp(df (u - (e^2u - 1) / 2)); panels end where the bounds have a corner and are
    as narrow as the density and the bounds bend.
    """
    out = np.zeros((se.size, mean.size))
    for m in range(se.size):
        spread = np.sqrt(variance + se[m] ** 2)
        if np.isinf(df):
            _inside(mean, spread, _bounds(1.0, se[m], t, threshold, sign), out[m], 1.0)
            continue
        low = -np.sqrt(56 / df) if df > 700 else -45 / df - 0.5
        ends = _corners(se[m], low, np.sqrt(45 / df), t, threshold, sign)
        width = min(2.0 / np.sqrt(2 * df), 0.25)
        total = 0.0
        for p in range(ends.size - 1):
            parts = max(1, int(np.ceil((ends[p + 1] - ends[p]) / width)))
            half = (ends[p + 1] - ends[p]) / parts / 2
            for i in range(parts * nodes.size):
                u = ends[p] + half * (2 * (i // nodes.size) + 1 + nodes[i % nodes.size])
                weight = half * weights[i % nodes.size] * np.exp(df * (u - np.expm1(2 * u) / 2))
                total += weight
                if weight > 1e-16 / np.sqrt(df):
                    _inside(mean, spread, _bounds(np.exp(u), se[m], t, threshold, sign), out[m], weight)
        out[m] /= total
    return out
