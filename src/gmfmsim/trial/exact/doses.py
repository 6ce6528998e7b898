"""Success of a test along doses: one contrast of the means of all arms, or the largest difference from control."""

import math
from functools import cache
from typing import NamedTuple

import numpy as np

from gmfmsim.compute.algebra import dot, gauss_legendre
from gmfmsim.compute.compiled import compiled
from gmfmsim.dist.mixture import NormalMixture
from gmfmsim.dist.normal import normal_cdf
from gmfmsim.trial.analyse.law import Statistic
from gmfmsim.trial.decide import Claim
from gmfmsim.trial.estimates import Criterion
from gmfmsim.trial.exact.rules import Rule, estimated, gauss
from gmfmsim.trial.exact.statistic import Completed
from gmfmsim.trial.exact.tails import Truth, chances

STEP = 0.5
"""Step of the grid of truths, where 1 is the width over which success rises: sums over it have an error below 1e-9."""

STENCIL = 12
"""Points of the grid that a value between them is taken from."""

CERTAIN = 8.5
"""Standard errors beyond the critical value from which success is 1 to 1e-15."""

REACH = 9.0
"""SDs to which a normal component is followed."""


class Curve(NamedTuple):
    """Truths along one curve: effect of arm i = loading_i x A, A a normal mixture that holds a share of the belief."""

    share: float
    loading: np.ndarray
    of: NormalMixture


@cache
def normal_rule() -> Rule:
    """Return the rule of a normal variable for functions that bend over more than its SD."""
    z = np.linspace(-REACH, REACH, 721)
    density = np.exp(-(z**2) / 2)
    return gauss(z, density / density.sum(), 16)


def one_criterion(claimed: Claim) -> Criterion:
    """Return the only criterion of a claim along doses. Raises ValueError for another claim: some dose is above 0."""
    if len(claimed) != 1 or claimed[0].threshold:
        raise ValueError(f"claimed = {claimed}: must be one criterion with threshold 0 for a test along doses")
    return claimed[0]


def success_along(test: Statistic, curves: list[Curve], criterion: Criterion, left: Completed, sds: Rule) -> float:
    """Return the probability that a test along doses meets the criterion, over completers and sds of a unit.

    One contrast w of the means: t of sum(w effect), by `chances`. The largest of the differences t_i from control:
    P(any t_i > c) = 1 - E[prod_i Phi((c S w_i - effect_i / sd + Z / sqrt(n_0)) sqrt(n_i))] over the error Z of the
    control mean and S = estimated / true SD, w_i = sqrt(1 / n_i + 1 / n_0) (Dunnett 1955); then over A, on a grid of
    A / sd.
    """
    sign = 1.0 if criterion.direction == "above" else -1.0
    moved = [c._replace(of=NormalMixture(c.of.weight, sign * c.of.means, c.of.sds)) for c in curves]
    if test.doses.contrast is not None:
        return _of_contrast(test, moved, criterion._replace(direction="above"), left, sds)
    critical = np.array([test.doses.critical(criterion.level, d) for d in left.df.tolist()])
    return sum(c.share * _of_largest(test, c, left, sds, critical) for c in moved)


def plateau_along(test: Statistic, curves: list[Curve], criterion: Criterion) -> float:
    """Return the limit of success as n grows: P(the contrast, or the largest effect, is above 0), the level where it is
    0. Groups keep the sizes that they are planned with."""
    total, sign = 0.0, 1.0 if criterion.direction == "above" else -1.0
    for c in curves:
        if test.doses.contrast is not None:
            slopes = [float(dot(test.doses.contrast(np.array(test.sizes(1_000_000), float)), c.loading))]
        else:
            slopes = np.delete(c.loading, test.doses.control).tolist()
        # a rise where A is above 0, and one where it is below
        up, down = max(sign * s for s in slopes) > 0, min(sign * s for s in slopes) < 0
        known = c.of.sds == 0
        sure = np.where(c.of.means > 0, up, np.where(c.of.means < 0, down, criterion.level))
        above = np.array([normal_cdf(m / s) if s else 0.0 for m, s in zip(c.of.means, c.of.sds, strict=True)])
        total += c.share * float(dot(c.of.weight, np.where(known, sure, up * above + down * (1 - above))))
    return total


def _of_contrast(test: Statistic, curves: list[Curve], criterion: Criterion, left: Completed, sds: Rule) -> float:
    """Return success of the t test of one contrast, whose weights follow from the completers."""
    total = 0.0
    for units, df, chance in zip(left.units.T, left.df.tolist(), left.weight.tolist(), strict=True):
        weights = test.doses.contrast(units)
        se = math.sqrt((weights**2 / units).sum()) * sds[0]
        for c in curves:
            slope = float(dot(weights, c.loading))
            found = chances(Truth(slope * c.of.means, (slope * c.of.sds) ** 2), (criterion,), se, df, False)
            total += chance * c.share * float(dot(dot(found, c.of.weight), sds[1]))
    return total


def _of_largest(test: Statistic, curve: Curve, left: Completed, sds: Rule, critical: np.ndarray) -> float:
    """Return success of the largest difference from control along one curve, at critical values (P,)."""
    doses = np.arange(len(curve.loading)) != test.doses.control
    loading, n0, n = curve.loading[doses], left.units[~doses][0], left.units[doses]
    width = np.sqrt(1 / n + 1 / n0)
    steep = np.sqrt(1 + (n / n0).max(axis=0))
    rules = [estimated(df, t) for df, t in zip(left.df.tolist(), (critical * steep).tolist(), strict=True)]
    far = max(c * float(s.max()) for c, (s, _) in zip(critical.tolist(), rules, strict=True)) + CERTAIN
    start, step, weight = _on_grid(curve.of, sds, *_range(loading, width, far))
    at = start + step * np.arange(weight.size)
    common = gauss_legendre(math.ceil(32 * max(1.0, float(np.sqrt(n / n0).max()))))
    total = 0.0
    for p, (s, share) in enumerate(rules):
        found = any_beyond(np.outer(at, loading), n[:, p], float(n0[p]), (critical[p] * s, share), common)
        total += left.weight[p] * float(dot(found, weight))
    return total


def _range(loading: np.ndarray, width: np.ndarray, far: float) -> tuple[float, float, float]:
    """Return the step of the grid of A / sd, and the ends beyond which success is what it is at the ends: one dose is
    certain to be found, or none can be."""
    rises = abs(loading)[:, None] / width
    slowest = rises.min(axis=1)

    def end(up: np.ndarray) -> float:
        return far / float(slowest[up].max() if up.any() else slowest[loading != 0].min())

    return STEP / float(rises.max()), -end(loading < 0), end(loading > 0)


def any_beyond(effects: np.ndarray, n: np.ndarray, n0: float, limit: Rule, common: Rule) -> np.ndarray:
    """Return P(any t_i > c) (Q,) of doses (k,) with effects (Q, k) in SDs, n (k,) and n0 children.

    limit: c S and its weights; common: nodes and weights on (-1, 1) for the error of the control mean.
    """
    z, weight = REACH * common[0], REACH * common[1] * np.exp(-((REACH * common[0]) ** 2) / 2) / math.sqrt(2 * math.pi)
    return _any_beyond(np.ascontiguousarray(effects), np.ascontiguousarray(n), n0, *limit, z, weight)


@compiled
def _any_beyond(effects, n, n0, limit, share, z, weight):
    """Return the sum over nodes of share x weight x (1 - prod_i Phi(...)), (Q,)."""
    out = np.zeros(effects.shape[0])
    root, width = np.sqrt(n), np.sqrt(1 / n + 1 / n0)
    for q in range(out.size):
        total = 0.0
        for j in range(limit.size):
            for m in range(z.size):
                inside = 1.0
                for i in range(n.size):
                    inside *= normal_cdf((limit[j] * width[i] - effects[q, i] + z[m] / math.sqrt(n0)) * root[i])
                total += share[j] * weight[m] * (1.0 - inside)
        out[q] = total
    return out


def _on_grid(of: NormalMixture, sds: Rule, step: float, low: float, high: float) -> tuple[float, float, np.ndarray]:
    """Return start, step and weights (N,) of a grid of A / sd: sums over it are means over A and the sds of a unit.

    Wide components by the trapezoidal rule, narrow ones by the values between points; what lies beyond the ends, where
    success no longer changes, counts there.
    """
    centre, spread = (np.divide.outer(x, sds[0]).ravel() for x in (of.means, of.sds))
    mass = np.outer(of.weight, sds[1]).ravel()
    low = max(low, float((centre - REACH * spread).min())) - step * STENCIL
    high = min(high, float((centre + REACH * spread).max())) + step * STENCIL
    low, high = min(low, high - 2 * STENCIL * step), max(high, low + 2 * STENCIL * step)
    weights = np.zeros(math.ceil((high - low) / step) + 1)
    _shared_out(centre, spread, mass, low, step, *normal_rule(), weights)
    return low, step, weights


@compiled
def _shared_out(centre, spread, mass, low, step, at, weight, out):
    """Add the weights of normal components to points of a grid."""
    last = out.size - 1
    for c in range(centre.size):
        if spread[c] > 2 * step:
            first = (low - centre[c]) / spread[c]
            end = (low + step * last - centre[c]) / spread[c]
            out[0] += mass[c] * normal_cdf(first - step / spread[c] / 2)
            out[last] += mass[c] * normal_cdf(-end - step / spread[c] / 2)
            size = mass[c] * step / spread[c] / math.sqrt(2 * math.pi)
            k0 = max(0, int((centre[c] - 9 * spread[c] - low) / step))
            k1 = min(last, int((centre[c] + 9 * spread[c] - low) / step) + 1)
            for k in range(k0, k1 + 1):
                out[k] += size * math.exp(-(((low + step * k - centre[c]) / spread[c]) ** 2) / 2)
            continue
        for q in range(at.size if spread[c] > 0 else 1):
            x = (centre[c] + (spread[c] * at[q] if spread[c] > 0 else 0.0) - low) / step
            x = min(max(x, 0.0), float(last))
            k0 = min(max(int(x) - STENCIL // 2 + 1, 0), last + 1 - STENCIL)
            size = mass[c] * (weight[q] if spread[c] > 0 else 1.0)
            for k in range(STENCIL):
                part = size
                for other in range(STENCIL):
                    if other != k:
                        part *= (x - k0 - other) / (k - other)
                out[k0 + k] += part
