"""Compiled loops of the safety model: log likelihoods of studies, each with its own effect integrated out."""

import math
from functools import cache

import numpy as np
from scipy import special

from gmfmsim.compute.compiled import compiled

FALL = 30.0
"""A study's integrand is integrated until its logarithm lies this much below the peak: exp(-30) is 1e-13."""

REACH = math.sqrt(2 * FALL)

PER_UNIT, FARTHEST = 64, 40.0
"""Nodes of the table of log(1 + exp(x)) in a unit of x, and where it ends: beyond, the function is x or 0 to 1e-17."""


@cache
def softplus_table() -> np.ndarray:
    """Return log(1 + exp(x)) and, over a step, its slope, (2, nodes), for `_softplus`."""
    x = np.arange(-FARTHEST * PER_UNIT, FARTHEST * PER_UNIT + 1) / PER_UNIT
    return np.stack([np.logaddexp(0, x), special.expit(x) / PER_UNIT])


@compiled
def log_likelihoods(beta, tau, design, events, n, start, rule, table):
    """Return the log likelihood (P,) of points beta (P, q) at one tau, less the log of ways to choose children.

    Of each study: log of the integral of prod_j p_j^r_j (1 - p_j)^(n_j - r_j) over z ~ Normal(0, 1), with logit p_j =
    design_j' beta + tau z. design (J, q), events, n (J,) by arm, the arms of study s from start[s] to start[s + 1].
    rule (2, points): nodes and weights of Gauss and Legendre's rule on (-1, 1), one on either side of the mode. The
    integrand is log-concave with curvature of at least 1, which bounds how far it reaches. table: `softplus_table`.
    """
    points, q = beta.shape
    out = np.zeros(points)
    eta = np.empty(events.size)
    for i in range(points):
        for j in range(events.size):
            eta[j] = 0.0
            for k in range(q):
                eta[j] += design[j, k] * beta[i, k]
        for s in range(start.size - 1):
            out[i] += _study(eta, tau, events, n, start[s], start[s + 1], rule, table)
    return out


@compiled
def _study(eta, tau, events, n, first, last, rule, table):
    """Return the log of one study's integral.

    The mode is found by Newton's method; a step that leaves the interval in which the slope is known to change its sign
    is replaced by one to the middle.
    """
    left, right = 0.0, 0.0
    for j in range(first, last):
        left -= tau * (n[j] - events[j])
        right += tau * events[j]
    mode, curvature = 0.0, 1.0
    for _ in range(200):
        slope, curvature = -mode, 1.0
        for j in range(first, last):
            p = 1.0 / (1.0 + math.exp(-(eta[j] + tau * mode)))
            slope += tau * (events[j] - n[j] * p)
            curvature += tau * tau * n[j] * p * (1.0 - p)
        if slope > 0:
            left = mode
        else:
            right = mode
        step = slope / curvature
        if not left < mode + step < right:
            step = (left + right) / 2.0 - mode
        mode += step
        if abs(step) < 1e-6:
            break
    top = _log_integrand(mode, eta, tau, events, n, first, last, table)
    total = 0.0
    for side in (-1.0, 1.0):
        low, high = REACH * 0.2 / math.sqrt(curvature), 1.1 * REACH
        for _ in range(6):
            middle = math.sqrt(low * high)
            if _log_integrand(mode + side * middle, eta, tau, events, n, first, last, table) < top - FALL:
                high = middle
            else:
                low = middle
        for k in range(rule.shape[1]):
            z = mode + side * high * (rule[0, k] + 1.0) / 2.0
            total += (
                rule[1, k] * high / 2.0 * math.exp(_log_integrand(z, eta, tau, events, n, first, last, table) - top)
            )
    return top + math.log(total) - 0.9189385332046727


@compiled
def _log_integrand(z, eta, tau, events, n, first, last, table):
    """Return the log of one study's integrand at z, less the constant of the normal density."""
    value = -z * z / 2.0
    for j in range(first, last):
        theta = eta[j] + tau * z
        value += events[j] * theta - n[j] * _softplus(theta, table)
    return value


@compiled
def _softplus(x, table):
    """Return log(1 + exp(x)) by cubic interpolation of values and slopes, with an error below 2e-11."""
    if abs(x) >= FARTHEST:
        return max(x, 0.0)
    at = (x + FARTHEST) * PER_UNIT
    i = int(at)
    f = at - i
    rest = 1.0 - f
    value = rest * rest * (1.0 + 2.0 * f) * table[0, i] + f * f * (3.0 - 2.0 * f) * table[0, i + 1]
    return value + f * rest * (rest * table[1, i] - f * table[1, i + 1])


@compiled
def hermite(t, count):
    """Return the first Hermite polynomials (count, L) at t (L,), scaled so that their squares have mean 1 over
    Normal(0, 1)."""
    out = np.ones((count, t.size))
    for i in range(t.size):
        before, value = 0.0, 1.0
        for m in range(count - 1):
            before, value = value, (t[i] * value - math.sqrt(m) * before) / math.sqrt(m + 1)
            out[m + 1, i] = value
    return out
