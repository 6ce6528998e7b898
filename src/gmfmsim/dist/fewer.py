"""A mixture of few normals in the place of many: what a protocol can print, and how far it is off."""

import math
from typing import NamedTuple

import numpy as np
from scipy import special

from gmfmsim.compute.algebra import gauss_legendre
from gmfmsim.compute.compiled import compiled
from gmfmsim.dist.mixture import NormalMixture

POINTS, PANELS = 10, 12
"""Points of each panel between quantiles, and panels in an SD of the whole about its mean."""

REACH = 10.0
"""How far the mixture is followed, in its SDs: what lies beyond tells a prior nothing that data could."""

ROUNDS, SETTLED = 5_000, 1e-9
"""Rounds of the fit at most, and the gain in log density per round below which it is done."""

MOST = 12
"""Components that are fitted at most."""


class Fewer(NamedTuple):
    """A mixture of few components; cdf_error: the largest difference of distribution functions; divergence: from the
    mixture that it stands for, in nats (Kullback & Leibler 1951)."""

    mixture: NormalMixture
    cdf_error: float
    divergence: float


def fewer(of: NormalMixture, components: int) -> Fewer:
    """Return the mixture of so many normals that is nearest to one of many, and its errors.

    Nearest in Kullback and Leibler's divergence: E[log f] over the mixture itself is maximised by expectation and
    maximisation (Dempster, Laird & Rubin 1977) on points of a quadrature, without draws. It starts from components at
    the mean whose SDs lie apart, since the predictive of a meta-analysis is a mixture over tau.

    Raises ValueError for components outside 1 to MOST, or a mixture without any spread.
    """
    if not 1 <= components <= MOST:
        raise ValueError(f"components = {components}: must be from 1 to {MOST}")
    if of.weight.size <= components:
        return Fewer(of, 0.0, 0.0)
    if not of.sd > 0:
        raise ValueError("a mixture without spread has no density")
    x, share = _points(of)
    start = of.quantile(0.5), of.sd * np.geomspace(0.4, 1 + 0.5 * (components - 1), components)
    weight, means = np.full(components, 1 / components), np.full(components, start[0])
    means = means + 1e-3 * of.sd * np.linspace(-1, 1, components)
    sds = start[1].copy() if components > 1 else np.array([of.sd])
    _nearest(x, share, weight, means, sds, ROUNDS, SETTLED)
    order = np.argsort(sds, kind="stable")
    found = NormalMixture(weight[order], means[order], sds[order])
    density, own = _density(of, x), _density(found, x)
    divergence = float((share * np.log(density / np.maximum(own, np.finfo(float).tiny))).sum())
    return Fewer(found, float(np.abs(_cdf(of, x) - _cdf(found, x)).max()), max(divergence, 0.0))


def _points(of: NormalMixture) -> tuple[np.ndarray, np.ndarray]:
    """Return points (Q,) and their shares of the mixture (Q,), which sum to 1."""
    nodes, weights = gauss_legendre(POINTS)
    near = np.linspace(-2, 2, 4 * PANELS + 1)
    far = 2 + (REACH - 2) * np.linspace(0, 1, 2 * PANELS + 1)[1:] ** 1.5
    edges = of.mean + of.sd * np.concatenate([-far[::-1], near, far])
    half = np.diff(edges)[:, None] / 2
    x = (edges[:-1, None] + half * (1 + nodes)).ravel()
    share = (half * weights).ravel() * _density(of, x)
    there = share > share.max() * 1e-14
    return x[there], share[there] / share.sum()


def _density(of: NormalMixture, x: np.ndarray) -> np.ndarray:
    """Return the density at x (Q,)."""
    z = (x[:, None] - of.means) / of.sds
    found: np.ndarray = (np.exp(-(z**2) / 2) * (of.weight / of.sds)).sum(axis=1) / math.sqrt(2 * math.pi)
    return found


def _cdf(of: NormalMixture, x: np.ndarray) -> np.ndarray:
    """Return the distribution function at x (Q,)."""
    found: np.ndarray = (special.ndtr((x[:, None] - of.means) / of.sds) * of.weight).sum(axis=1)
    return found


@compiled
def _nearest(x, share, weight, means, sds, rounds, settled):
    """Put the nearest components (K,) into weight, means and sds, which say where to start."""
    size = weight.size
    part = np.empty(size)
    before = -np.inf
    for _ in range(rounds):
        total, first, second = np.zeros(size), np.zeros(size), np.zeros(size)
        gain = 0.0
        for q in range(x.size):
            whole = 0.0
            for k in range(size):
                z = (x[q] - means[k]) / sds[k]
                part[k] = weight[k] / sds[k] * math.exp(-0.5 * z * z)
                whole += part[k]
            if whole <= 0.0:
                continue
            gain += share[q] * math.log(whole)
            for k in range(size):
                r = share[q] * part[k] / whole
                total[k] += r
                first[k] += r * x[q]
                second[k] += r * x[q] * x[q]
        for k in range(size):
            if total[k] > 0.0:
                means[k] = first[k] / total[k]
                sds[k] = math.sqrt(max(second[k] / total[k] - means[k] ** 2, 1e-300))
        mass = total.sum()
        for k in range(size):
            weight[k] = total[k] / mass
        if abs(gain - before) < settled:
            break
        before = gain
