"""Success of the largest of several differences from control, whose effects are known together along curves."""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from gmfmsim.compute.algebra import gauss_hermite
from gmfmsim.compute.compiled import compiled
from gmfmsim.dist.mixture import NormalMixture, on_grids
from gmfmsim.dist.normal import normal_cdf
from gmfmsim.trial.analyse.law import Statistic
from gmfmsim.trial.exact.doses import Curve
from gmfmsim.trial.exact.rules import (
    FEW,
    Rule,
    completers_bend,
    completers_of,
    estimated,
    estimated_by,
    price,
    product_rule,
    sparse,
)
from gmfmsim.trial.exact.statistic import NEEDS_TWO

ERROR = 1e-7
"""What each of the sums may be off by: those over completers and S, over the control mean, and over truths. They are
asked for by their accuracy in natural logs, `digits`: an error of exp(-digits)."""

CLASS = 4.0
"""Curves whose digits differ by less share the points of completers and S."""

STEPS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.35, 0.3)
"""Steps of a grid of truths, where 1 is the width over which success rises: the longest that does is taken."""

STENCIL, STENCIL_DIGITS = 16, 6.6
"""Points of the grid that a value between them is taken from (Lagrange), and the digits of that times the step."""

NARROW = 32
"""Most nodes of a component that is narrower than the grid."""

BEND = 0.1
"""How soon the steps of the grid become longer away from 0."""

SMOOTH = 1.2
"""Digits that each node of a rule of S gives, from which on S has a part in the sparse rule."""

EASE = 3.0
"""How many more digits a sparse rule of completers and S has than it is asked for, as tests against whole sums show."""

MOST_OF_S = 64
"""Most nodes of a rule of S in it."""

# denominators of the polynomials through the points of a stencil
LAGRANGE = np.array([math.prod(k - other for other in range(STENCIL) if other != k) for k in range(STENCIL)], float)

# rules of a normal variable by their numbers of nodes


@cache
def narrow_rules() -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights (NARROW, NARROW) of the Gauss-Hermite rules of 1 to NARROW nodes, a rule a row."""
    at, weight = np.zeros((NARROW, NARROW)), np.zeros((NARROW, NARROW))
    for size in range(1, NARROW + 1):
        at[size - 1, :size], weight[size - 1, :size] = gauss_hermite(size)
    return at, weight


class Points(NamedTuple):
    """Units of the doses (k, P) and of the control (P,), limit c S of the largest t (P,), and weights (P,)."""

    doses: np.ndarray
    control: np.ndarray
    limit: np.ndarray
    weight: np.ndarray


class Largest:
    """Success of the test of the largest difference from control at a one-sided level, above 0, at any n.

    P(any t_i > c) = 1 - E[prod_i Phi((c S w_i - effect_i / sd + Z / sqrt(n_0)) sqrt(n_i))] over the error Z of the
    control mean and S = estimated / true SD, w_i = sqrt(1 / n_i + 1 / n_0) (Dunnett 1955); over completers, and over
    A / sd along each curve, sds the SDs of a unit with their shares. The smaller the share of a curve, the less exact
    its sums need to be, down to nothing.
    """

    def __init__(self, test: Statistic, curves: Sequence[Curve], level: float, sds: Rule):
        self.test, self.level = test, level
        self.doses = np.arange(len(test.weights)) != test.doses.control
        digits = [math.log(c.share * len(curves) / ERROR) for c in curves]
        self.curves = [
            (c.share, max(d, 1.0), c.loading[self.doses], _scaled(c.of, sds))
            for c, d in zip(curves, digits, strict=True)
            if d > 0
        ]

    def at(self, n: int) -> float:
        """Return success at n, with an error below 1e-6."""
        return self._over(lambda digits: self._points(n, digits))

    def rough(self, units: np.ndarray) -> float:
        """Return success of the test with known SD at units (G,): a guess, which takes no time."""
        limit = self._critical(np.full(1, np.inf))
        return self._over(lambda _: Points(units[self.doses, None], units[~self.doses], limit, np.ones(1)))

    def _over(self, points: Callable[[float], Points]) -> float:
        """Return success over points, which are asked for by their digits."""
        total, known = 0.0, {}
        for share, digits, loading, of in self.curves:
            of_class = -math.log(ERROR) - EASE + math.ceil((digits + math.log(ERROR)) / CLASS) * CLASS
            if of_class not in known:
                known[of_class] = points(of_class)
            total += share * any_beyond(known[of_class], loading, of, digits)
        return total

    def _points(self, n: int, digits: float) -> Points:
        """Return the points of completers and S at n: the weights sum to the probability that the test can be done."""
        sizes, kept, groups = self.test.sizes(n), self.test.kept, len(self.test.weights)
        steep = math.sqrt(1 + max(sizes) / sizes[int(self.doses.argmin())])
        expected = max(sum(sizes) * kept - groups, groups)
        price_of_s = price(self._critical(np.array([expected])).item() * steep / math.sqrt(2 * expected))
        smooth = price_of_s > SMOOTH
        few = 2 if sum(sizes) * kept < FEW else 1
        prices = [price(completers_bend(size, kept)) / few for size in sizes] + [price_of_s] * smooth
        most = [size - NEEDS_TWO + 1 for size in sizes] + [MOST_OF_S] * smooth
        parts = []
        for row, sign in sparse(prices, most, digits):
            rules = [completers_of(size, kept, NEEDS_TWO, nodes) for size, nodes in zip(sizes, row, strict=False)]
            units, weight = product_rule(rules, least=0.0)
            parts.append((np.vstack([units, np.full(weight.size, row[-1])]), sign * weight))
        (*units, nodes), weight = _heaviest(
            *(np.concatenate(part, axis=-1) for part in zip(*parts, strict=True)), digits
        )
        df = np.sum(units, axis=0) - groups
        critical = self._critical(df)
        each = zip(df.tolist(), critical.tolist(), nodes.tolist(), strict=True)
        s = [estimated_by(d, int(size)) if smooth else estimated(d, c * steep) for d, c, size in each]
        at, share = (np.concatenate(part) for part in zip(*s, strict=True))
        times = [part.size for _, part in s]
        groups_of = np.repeat(units, times, axis=1)
        limit, weight = np.repeat(critical, times) * at, np.repeat(weight, times) * share
        return Points(groups_of[self.doses], groups_of[~self.doses][0], limit, weight)

    def _critical(self, df: np.ndarray) -> np.ndarray:
        """Return the critical values (P,) at df (P,)."""
        return self.test.doses.critical(self.level, df)


def _heaviest(nodes: np.ndarray, weight: np.ndarray, digits: float) -> Rule:
    """Return nodes (G, P) and weights (P,) without those that hardly count, even together."""
    size = abs(weight)
    order = np.argsort(size, kind="stable")
    lightest = np.searchsorted(np.cumsum(size[order]), math.exp(-digits) / 10)
    kept = np.sort(order[min(int(lightest), size.size - 1) :])
    return nodes[:, kept], weight[kept]


def any_beyond(points: Points, loading: np.ndarray, of: NormalMixture, digits: float) -> float:
    """Return the sum over points of weight x P(any t_i > limit), for doses with effects loading (k,) x A in SDs of a
    unit, A ~ of; its error is about exp(-digits)."""
    at, weight = _truths(points, loading, of, digits)
    z, of_z = _control_error(points, digits)
    return float(_any_beyond(at, weight, loading, points.doses, points.control, points.limit, points.weight, z, of_z))


def _control_error(points: Points, digits: float) -> Rule:
    """Return the rule of Z by the trapezoidal rule: the error falls as exp(-2 pi^2 / (step^2 (1 + sum(n_i / n_0))))."""
    bend = 1 + float((points.doses / points.control).sum(axis=0).max())
    step, end = math.pi * math.sqrt(2 / (digits * bend)), math.sqrt(2 * digits)
    z = step * np.arange(-math.ceil(end / step), math.ceil(end / step) + 1)
    return z, step * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def _truths(points: Points, loading: np.ndarray, of: NormalMixture, digits: float) -> Rule:
    """Return the rule of A: known truths as they are, others on a grid.

    Success rises with A over a width 1 / rise, and a component of SD s is summed with an error of
    exp(-2 pi^2 / (step^2 (rise^2 + 1 / s^2))); narrower ones by values between the points. The farther from 0, the
    flatter the doses that still tell: A = end (v + BEND sinh(v)), v in equal steps, where beyond +- end the steepest
    dose is certain to be found, or cannot be. Where success no longer changes at all, one point stands for the rest.
    """
    if not of.sds.any():
        return of.means, of.weight
    slope2 = loading[:, None] ** 2
    noise = 1 / (slope2 * points.doses).sum(axis=0) + 1 / (points.control * slope2.max())
    rise = 1 / math.sqrt(float(noise.min()))
    low, high, end = _ends(points, loading, digits)
    seen = _seen(of.means / end, of.sds / end)
    step, wide = _step(of.weight, seen * rise * end, digits)
    step /= rise * end * (1 + BEND * math.cosh(1))
    reach = np.sqrt(2 * np.maximum(digits + np.log(of.weight), 0)) * of.sds
    first, last = (_along(x / end) for x in (float((of.means - reach).min()), float((of.means + reach).max())))
    v = first + step * np.arange(-STENCIL // 2, math.ceil((last - first) / step) + STENCIL // 2 + 1)
    weight = np.zeros(v.size)
    is_wide = seen >= wide / rise / end
    _shared_out(of.means / end, of.sds / end, of.weight, v, is_wide, digits, rise * end, *narrow_rules(), weight)
    at = end * (v + BEND * np.sinh(v))
    k0, k1 = min(int(np.searchsorted(at, low, "right")), at.size) - 1, int(np.searchsorted(at, high))
    k0, k1 = max(k0, 0), min(k1, at.size - 1)
    if k0 >= k1:
        return at, weight
    within = weight[k0 : k1 + 1].copy()
    within[0] += weight[:k0].sum()
    within[-1] += weight[k1 + 1 :].sum()
    return at[k0 : k1 + 1], within


def _step(weight: np.ndarray, spread: np.ndarray, digits: float) -> tuple[float, float]:
    """Return the step of the grid, and the SD from which on a component is summed on it; spread: SDs of components,
    where 1 is the width over which success rises."""
    for step in STEPS:
        room = 2 * math.pi**2 / digits / step**2 - 1
        wide = 1 / math.sqrt(room) if room > 0 else math.inf
        narrow = float(weight[spread < wide].sum())
        if wide <= 1 and narrow * math.exp(-STENCIL_DIGITS / step) < math.exp(-digits):
            break
    return step, wide


def _ends(points: Points, loading: np.ndarray, digits: float) -> tuple[float, float, float]:
    """Return the ends of A beyond which success is what it is there, and how far from 0 the steepest dose tells."""
    width = np.sqrt(1 / points.doses + 1 / points.control).max(axis=1)
    slowest, far = abs(loading) / width, float(points.limit.max()) + math.sqrt(2 * digits)

    def end(up: np.ndarray) -> float:
        return far / float(slowest[up].max() if up.any() else slowest[loading != 0].min())

    return -end(loading < 0), end(loading > 0), far / float(slowest.max())


def _scaled(of: NormalMixture, sds: Rule) -> NormalMixture:
    """Return the distribution of A / sd over sds of a unit with their shares."""
    centre, spread = (np.divide.outer(x, sds[0]).ravel() for x in (of.means, of.sds))
    return on_grids(NormalMixture(np.outer(of.weight, sds[1]).ravel(), centre, spread))


@compiled
def _any_beyond(at, weight, loading, doses, control, limit, share, z, of_z):
    """Return the sum over nodes of share x of_z x weight x (1 - prod_i Phi(...))."""
    k, total = doses.shape[0], 0.0
    slope, base = np.empty(k), np.empty(k)
    for p in range(limit.size):
        for i in range(k):
            slope[i] = loading[i] * math.sqrt(doses[i, p])
        inner = 0.0
        for m in range(z.size):
            for i in range(k):
                width = math.sqrt(1 / doses[i, p] + 1 / control[p])
                base[i] = (limit[p] * width + z[m] / math.sqrt(control[p])) * math.sqrt(doses[i, p])
            found = 0.0
            for q in range(at.size):
                inside = 1.0
                for i in range(k - 1, -1, -1):
                    inside *= normal_cdf(base[i] - slope[i] * at[q])
                found += weight[q] * (1.0 - inside)
            inner += of_z[m] * found
        total += share[p] * inner
    return total


@compiled
def _along(x):
    """Return v with v + BEND sinh(v) = x, by Newton's method from beyond."""
    size = abs(x)
    v = min(size, math.asinh(size / BEND))
    for _ in range(60):
        change = (v + BEND * math.sinh(v) - size) / (1 + BEND * math.cosh(v))
        v -= change
        if abs(change) <= 1e-14 * v:
            break
    return math.copysign(v, x)


@compiled
def _stretch(x):
    """Return by how much a step of the grid is longer at x than it is at the end, 1."""
    return (1 + BEND * math.cosh(_along(x))) / (1 + BEND * math.cosh(1))


@compiled
def _seen(centre, spread):
    """Return the SDs of normal components, in units of the end, as the grid has them where it is widest for them."""
    out = np.empty(centre.size)
    for c in range(centre.size):
        out[c] = spread[c] / max(_stretch(abs(centre[c]) + 2 * spread[c]), 1.0)
    return out


@compiled
def _shared_out(centre, spread, mass, v, wide, digits, rise, nodes, shares, out):
    """Add the weights of normal components, in units of the end, to the points v of a grid: wide ones (C,) by the
    trapezoidal rule along v, narrow ones by values between the points, their own rule as long as they need."""
    before, reach, last, step = np.empty(STENCIL), math.sqrt(2 * digits), v.size - 1, v[1] - v[0]
    for c in range(centre.size):
        if wide[c]:
            k0 = max(math.ceil((_along(centre[c] - reach * spread[c]) - v[0]) / step), 0)
            k1 = min(math.floor((_along(centre[c] + reach * spread[c]) - v[0]) / step), last)
            size = mass[c] * step / spread[c] / math.sqrt(2 * math.pi)
            for k in range(k0, k1 + 1):
                grown = math.exp(v[k])
                u = (v[k] + BEND / 2 * (grown - 1 / grown) - centre[c]) / spread[c]
                out[k] += size * (1 + BEND / 2 * (grown + 1 / grown)) * math.exp(-u * u / 2)
            continue
        size = 1
        if spread[c] > 0:
            bend = spread[c] * rise / max(_stretch(abs(centre[c])), 1.0)
            size = min(max(math.ceil(digits / math.log(1 + 1 / bend**2)), 1), NARROW)
        for q in range(size):
            x = (_along(centre[c] + spread[c] * nodes[size - 1, q]) - v[0]) / step
            k0 = min(max(int(x) - STENCIL // 2 + 1, 0), last + 1 - STENCIL)
            part = mass[c] * shares[size - 1, q]
            for k in range(STENCIL):
                before[k] = part
                part *= x - k0 - k
            part = 1.0
            for k in range(STENCIL - 1, -1, -1):
                out[k0 + k] += before[k] * part / LAGRANGE[k]
                part *= x - k0 - k
