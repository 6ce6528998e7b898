"""Gauss rules of what a trial cannot know beforehand: children who finish, the SD of change, the error of its estimate.

Every rule is that of a discrete measure, the law itself on points so dense that the rest is rounding: nodes and weights
(Q,) with sum of weight x f(node) exact for polynomials f of degree 2 Q - 1 (Golub & Welsch 1969; Gautschi 2004).
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from operator import add

import numpy as np
from scipy import special

from gmfmsim.compute.algebra import gauss_legendre
from gmfmsim.compute.arguments import vector
from gmfmsim.compute.compiled import compiled
from gmfmsim.dist.distributions import Distribution
from gmfmsim.dist.pooled_sd import pooled_sd

Rule = tuple[np.ndarray, np.ndarray]
"""Nodes and weights (Q,)."""

SWEEPS = 80
"""Rotations after which an eigenvalue has converged many times over."""

FEW = 25
"""Units expected to finish below which a rule has twice the nodes: t bends where degrees of freedom are few."""

TAIL_IN_SDS = 9.0
"""How far the binomial law is followed: the tails beyond hold less than 1e-15."""

NORMAL_END = 7.5
"""How far the normal law of the logarithm of an SD is followed: the tails beyond hold less than 1e-13."""

LEAST_MASS = 1e-10
"""A part of a law that holds less is left out."""

NODES, WEIGHTS = gauss_legendre(64)
PANEL, PANEL_WEIGHTS = gauss_legendre(10)
DENSE, DENSE_WEIGHTS = gauss_legendre(192)


def gauss(points: np.ndarray, weights: np.ndarray, most: int) -> Rule:
    """Return the Gauss rule of at most `most` nodes of weights above 0 on different points, both (N,).

    A law of no more points than nodes comes back as it is. Otherwise recurrence coefficients by Stieltjes' method on
    points in their own SDs, nodes as eigenvalues of the Jacobi matrix, weights from their vectors.

    Raises ValueError for lists of different lengths, weights that are not above 0 or `most` below 1.
    """
    points, weights = vector("points", points), vector("weights", weights, above=0)
    if points.shape != weights.shape or most < 1:
        raise ValueError(f"{points.size} points, {weights.size} weights, {most} nodes: must be as many, and at least 1")
    return (points, weights) if points.size <= most else _gauss(points, weights, most)


@compiled
def _gauss(points, weights, size):
    """Return nodes and weights (size,); more points than nodes."""
    total = weights.sum()
    mean = (weights * points).sum() / total
    sd = np.sqrt((weights * (points - mean) ** 2).sum() / total)
    x = (points - mean) / sd
    diagonal, beside, first = np.zeros(size), np.zeros(size), np.zeros(size)
    first[0] = 1.0
    before, value = np.zeros(x.size), np.ones(x.size)  # orthonormal, which keeps them of one size
    for k in range(size):
        diagonal[k] = (weights * x * value**2).sum() / total
        following = (x - diagonal[k]) * value
        if k:
            following -= beside[k - 1] * before
        norm = np.sqrt((weights * following**2).sum() / total)
        if k < size - 1:
            beside[k] = norm
            before, value = value, following / norm
    _eigen(diagonal, beside, first)
    return mean + sd * diagonal, total * first**2


@compiled
def _eigen(d, e, z):
    """Put eigenvalues of a symmetric tridiagonal matrix in the place of its diagonal d, and the first entries of their
    vectors into z = (1, 0, ...): implicit QL (Martin & Wilkinson 1968; EISPACK imtql2). e: beside the diagonal."""
    n = d.size
    for low in range(n):
        for _ in range(SWEEPS):
            m = low
            while m < n - 1 and abs(e[m]) > 2.3e-16 * (abs(d[m]) + abs(d[m + 1])):
                m += 1
            if m == low:
                break
            g = (d[low + 1] - d[low]) / (2.0 * e[low])
            r = math.hypot(g, 1.0)
            g = d[m] - d[low] + e[low] / (g + math.copysign(r, g))
            s, c, p = 1.0, 1.0, 0.0
            split = False
            for i in range(m - 1, low - 1, -1):
                f, b = s * e[i], c * e[i]
                r = math.hypot(f, g)
                e[i + 1] = r
                if r == 0.0:
                    d[i + 1] -= p
                    e[m] = 0.0
                    split = True
                    break
                s, c = f / r, g / r
                g = d[i + 1] - p
                r = (d[i] - g) * s + 2.0 * c * b
                p = s * r
                d[i + 1] = g + p
                g = c * r - b
                f = z[i + 1]
                z[i + 1], z[i] = s * z[i] + c * f, c * z[i] - s * f
            if not split:
                d[low] -= p
                e[low] = g
                e[m] = 0.0


@lru_cache(maxsize=4096)
def completers(randomised: int, kept: float, fewest: int, others: float = 0.0) -> Rule:
    """Return the rule of the Binomial(randomised, kept) units who finish, if `fewest` do: weights sum to P(>= fewest).

    Nodes as many as powers need that bend on the scale of the number itself; against the full sum over both arms the
    error is below 1e-7, as tests show. others: units of other groups that tell of the SD too.
    """
    nodes = _enough(completers_bend(randomised, kept)) * (2 if randomised * kept + others < FEW else 1)
    return completers_of(randomised, kept, fewest, nodes)


def completers_bend(randomised: int, kept: float) -> float:
    """Return by how much success bends over the number who finish: as Phi(bend z) does over Normal(0, 1)."""
    expected = randomised * kept
    return 2.2 * math.sqrt(expected * (1 - kept)) / max(expected, 1.0)


@lru_cache(maxsize=4096)
def completers_of(randomised: int, kept: float, fewest: int, nodes: int) -> Rule:
    """Return the rule of `completers` with at most so many nodes."""
    if kept >= 1:
        return np.array([float(randomised)]), np.array([float(randomised >= fewest)])
    reach = int(TAIL_IN_SDS * math.sqrt(randomised * kept * (1 - kept))) + 20
    return _completers(randomised, kept, fewest, reach, nodes)


@compiled
def _completers(randomised, kept, fewest, reach, nodes):
    """Return the rule of the binomial law within `reach` of its mode, probabilities by their ratios from there."""
    mode, odds = int((randomised + 1) * kept), kept / (1 - kept)
    low, high = max(0, mode - reach), min(randomised, mode + reach)
    weight = np.ones(high - low + 1)
    for k in range(mode, high):
        weight[k + 1 - low] = weight[k - low] * odds * (randomised - k) / (k + 1)
    for k in range(mode, low, -1):
        weight[k - 1 - low] = weight[k - low] / odds * k / (randomised - k + 1)
    points = np.arange(low, high + 1).astype(np.float64)
    weight /= weight.sum()
    there = (points >= fewest) & (weight > 1e-17)
    points, weight = points[there], weight[there]
    if not points.size:
        return np.full(1, float(fewest)), np.zeros(1)
    return (points, weight) if points.size <= nodes else _gauss(points, weight, nodes)


def _enough(bend: float) -> int:
    """Return how many nodes integrate Phi(bend z) over Normal(0, 1): the error of m falls as (bend^2 / 2)^m."""
    return max(2, math.ceil(19 / price(bend))) if bend > 0 else 1


def price(bend: float) -> float:
    """Return the accuracy in natural logs that one more node of such a rule gives."""
    return -math.log(min(bend**2 / 2, 0.5)) if bend > 0 else math.inf


@lru_cache(maxsize=256)
def spread(law: Distribution, knees: tuple[float, ...] = ()) -> Rule:
    """Return the rule of the SD of change: a Fixed one, or along z with SD = quantile at Phi(z).

    knees: SDs at which what follows from them has a corner; the parts between them have nodes of their own.
    """
    low, high = (float(law.ppf(np.array(p))) for p in (special.ndtr(-1.0), special.ndtr(1.0)))
    if low == high:
        return np.array([low]), np.ones(1)
    width = math.log(high / low) / 2
    ends = [-NORMAL_END, *(_z_of(knee, law) for knee in knees), NORMAL_END]
    nodes, weights = [], []
    for start, end in zip(sorted(ends)[:-1], sorted(ends)[1:], strict=True):
        z = start + (end - start) / 2 * (1 + DENSE)
        density = (end - start) / 2 * DENSE_WEIGHTS * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
        if density.sum() < LEAST_MASS:
            continue
        there = density > density.max() * 1e-18
        x, w = gauss(z[there], density[there], 15 if width < 0.2 else 31 if width < 0.5 else 63)
        nodes.append(law.ppf(special.ndtr(x)))
        weights.append(w)
    return np.concatenate(nodes), np.concatenate(weights)


def dense(law: Distribution) -> Rule:
    """Return the law on many points, along z with a value = quantile at Phi(z); they are not yet a Gauss rule."""
    weight = NORMAL_END * DENSE_WEIGHTS * np.exp(-((NORMAL_END * DENSE) ** 2) / 2) / math.sqrt(2 * math.pi)
    there = weight > LEAST_MASS * weight.max()
    return law.ppf(special.ndtr(NORMAL_END * DENSE[there])), weight[there]


def _z_of(sd: float, law: Distribution) -> float:
    """Return the z at whose Phi the quantile is sd, within the range that is followed, by bisection."""
    low, high = -NORMAL_END, NORMAL_END
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if float(law.ppf(special.ndtr(np.array(middle)))) < sd else (low, middle)
    return (low + high) / 2


@lru_cache(maxsize=1024)
def error(df: float, t: float, adjusted: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return inflation q, limit x = t S q and weight (Q,) of the error of an estimate with a critical value t.

    S = estimated / true SD, S^2 ~ chi^2(df) / df. adjusted: for a baseline, whose imbalance inflates the standard
    error by q = 1 / sqrt(B), B ~ Beta((df + 1) / 2, 1/2): B = cos^2 a with density of the angle a in proportion to
    cos^df a. It is d^2 / Wxx of the ANCOVA, Wxx with df + 1 degrees of freedom, for normal baselines.
    """
    s, weight = estimated(df, t)
    q, share = imbalance(df, adjusted)
    return np.repeat(q, s.size), t * np.tile(s, q.size) * np.repeat(q, s.size), np.outer(share, weight).ravel()


def imbalance(df: float, adjusted: bool) -> Rule:
    """Return the rule of the inflation q of `error` alone: 1 where nothing is adjusted for."""
    if not adjusted or math.isinf(df):
        return np.ones(1), np.ones(1)
    cosine, share = _imbalance(df, NODES, WEIGHTS)
    return 1 / cosine, share


def estimated(df: float, t: float) -> Rule:
    """Return the rule of S, as fine as E[Phi(x - t S)] needs: t S has an SD of about t / sqrt(2 df)."""
    if math.isinf(df):
        return np.ones(1), np.ones(1)
    rate = max(t**2 / (4 * df), 1e-6)
    if df < 4:
        return _in_panels(df, t, PANEL, PANEL_WEIGHTS)
    if rate > 0.55:
        s, weight = pooled_sd(df)
        return s, weight / weight.sum()
    return _chi(df, max(4, math.ceil(29 / -math.log(rate))))


@compiled
def _in_panels(df, t, nodes, weights):
    """Return the rule of S of few degrees of freedom, by Gauss and Legendre's rule in panels of u = log S.

    Narrow ones from the top to where t S hardly counts any more, and wide ones below.
    """
    high = np.log(90 / df + 10) / 2
    middle = min(-np.log(max(t, 1.0)) - 2, -0.5)
    low = min(-28 / df - 0.5, middle - 1.0)
    narrow, wide = int(np.ceil((high - middle) / 0.2)), int(np.ceil((middle - low) * df / 5))
    u, w = np.empty((narrow + wide) * nodes.size), np.empty((narrow + wide) * nodes.size)
    for p in range(narrow + wide):
        start = low + p * (middle - low) / wide if p < wide else middle + (p - wide) * (high - middle) / narrow
        half = ((middle - low) / wide if p < wide else (high - middle) / narrow) / 2
        for i in range(nodes.size):
            at = p * nodes.size + i
            u[at] = start + half * (1 + nodes[i])
            w[at] = half * weights[i] * np.exp(df * (u[at] - np.expm1(2 * u[at]) / 2))
    return np.exp(u), w / w.sum()


@compiled
def _chi(df, size):
    """Return the rule of S from its density along u = log S, exp(df (u - (e^2u - 1) / 2)), on a fine grid."""
    step = 0.4 / np.sqrt(2 * df)
    low, high = (np.sqrt(56 / df) if df > 700 else 45 / df + 0.5), np.sqrt(45 / df)
    u = step * np.arange(-np.floor(low / step), np.floor(high / step) + 1)
    density = np.exp(df * (u - np.expm1(2 * u) / 2))
    return _gauss(np.exp(u), density / density.sum(), size)


@compiled
def _imbalance(df, nodes, weights):
    """Return the rule of cos a from the density cos^df a of the angle, on a fine grid."""
    half = min(math.pi / 2, np.sqrt(90 / df)) / 2
    angle = half * (1 + nodes)
    density = weights * np.cos(angle) ** df
    x, w = _gauss(2 * np.sin(angle / 2) ** 2, density / density.sum(), max(3, min(16, int(8 / np.log1p(df / 4)) + 2)))
    return 1 - x, w


def estimated_by(df: float, nodes: int) -> Rule:
    """Return the rule of S with so many nodes; df from 2 on."""
    return (np.ones(1), np.ones(1)) if math.isinf(df) else _chi(df, nodes)


def sparse(prices: Sequence[float], most: Sequence[int], digits: float) -> list[tuple[tuple[int, ...], int]]:
    """Return sizes of rules of several variables, (D,) each, whose products times the factors beside them add up to a
    rule of all, with an error of about exp(-digits).

    prices: the factor exp(-price) by which the error of each variable's rule falls from one node to the next; most:
    nodes from which on a rule is the whole law. Of the differences between rules of i and i - 1 nodes the products with
    sum of price x (i - 1) < digits are kept (Smolyak 1963, in the combination of Griebel, Schneider & Zenger 1992), or
    the one product of long rules where that has fewer points.
    """
    kept: list[tuple[int, ...]] = [()]
    for d, (price, end) in enumerate(zip(prices, most, strict=True)):
        grown = []
        for row in kept:
            left = digits - sum((i - 1) * p for i, p in zip(row, prices[:d], strict=True) if i > 1)
            grown += [(*row, i) for i in range(1, min(end, max(math.ceil(left / price), 1)) + 1)]
        kept = grown
    there, steps = set(kept), list(product((0, 1), repeat=len(prices)))
    signs = [sum((-1) ** sum(e) for e in steps if tuple(map(add, row, e)) in there) for row in kept]
    whole = tuple(max(row[d] for row in kept) for d in range(len(prices)))
    if math.prod(whole) <= sum(math.prod(row) for row, sign in zip(kept, signs, strict=True) if sign):
        return [(whole, 1)]
    return [(row, sign) for row, sign in zip(kept, signs, strict=True) if sign]


def product_rule(rules: Sequence[Rule], least: float = 1e-11) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes (G, P) and weights (P,) of G independent laws together, without those of hardly any weight."""
    (first, weight), *others = rules
    nodes = first[None]
    for x, w in others:
        nodes = np.concatenate([np.repeat(nodes, x.size, axis=1), np.tile(x, weight.size)[None]])
        weight = np.repeat(weight, x.size) * np.tile(w, weight.size)
    kept = weight > least
    return nodes[:, kept], weight[kept]
