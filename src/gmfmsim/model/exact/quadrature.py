"""Quadrature over a few parameters that adapts to where the posterior is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from gmfmsim.algebra import dot, inverse
from gmfmsim.model.exact.rules import Coordinate, Rule, Shape, rule
from gmfmsim.model.exact.states import HERMITE


class Effort(NamedTuple):
    """How the quadrature starts and when it is content, by the number of parameters.

    points to start from, by the shape of the axis; how far down in log density an axis reaches; the largest marginal
    density at an open end, relative to its peak; the largest share of a marginal that the nodes may miss; Gauss-Hermite
    points for each standard error of unknown size.
    """

    points: Mapping[str, int]
    deep: float
    edge: float
    missed: float
    sizes: int


EFFORT = (
    Effort({}, 0.0, 0.0, 0.0, HERMITE),
    Effort({"line": 48, "even": 28, "interval": 32}, 34.0, 1e-13, 1e-13, HERMITE),
    Effort({"line": 36, "even": 20, "interval": 18}, 26.0, 1e-10, 1e-9, HERMITE),
    Effort({"line": 32, "even": 14, "interval": 16}, 23.0, 1e-9, 1e-7, 9),
    Effort({"line": 18, "even": 12, "interval": 13}, 21.0, 1e-8, 1e-5, 7),
)

CLIMBS = 5
GRID = np.linspace(-0.5, 0.5, 17)
FROM_PEAK = np.geomspace(1e-3, 1.0, 40)
"""Steps to both ends of an axis: fine near the peak, far enough for any tail."""


MUCH = 0.8
"""Share of its length that an axis may lose before its nodes are placed anew."""


@dataclass(frozen=True)
class Box:
    """Where the posterior is: the rule of every axis."""

    rules: tuple[Rule, ...]

    @property
    def points(self) -> tuple[int, ...]:
        """The points of every axis."""
        return tuple(r.points for r in self.rules)

    @cached_property
    def nodes(self) -> np.ndarray:
        """The nodes of the product rule, (J, axes)."""
        if not self.rules:
            return np.zeros((1, 0))
        return np.stack([g.ravel() for g in np.meshgrid(*(r.nodes for r in self.rules), indexing="ij")], axis=-1)

    @cached_property
    def log_weights(self) -> np.ndarray:
        """The log weights of the product rule, (J,)."""
        total = np.zeros(1)
        for r in self.rules:
            total = (total[:, None] + np.log(r.weights)).ravel()
        return total

    def marginal(self, density: np.ndarray, i: int) -> np.ndarray:
        """Return the marginal density of axis i at its nodes, from the joint density (points...) at all nodes."""
        for j in reversed(range(len(self.rules))):
            if j != i:
                density = dot(np.moveaxis(density, j, -1), self.rules[j].weights)
        return density

    def missed(self, density: np.ndarray) -> list[float]:
        """Return for each axis how much of its marginal the nodes may miss, relative."""
        return [r.missed(self.marginal(density, i)) for i, r in enumerate(self.rules)]

    def widened(self, axes: Sequence[Coordinate], density: np.ndarray, edge: float) -> "Box":
        """Return the box with those open ends moved out at which the marginal is above edge x its peak, or itself."""
        rules = []
        for i, (axis, r) in enumerate(zip(axes, self.rules, strict=True)):
            marginal = self.marginal(density, i)
            width = r.high - r.low
            low, high, limit = r.low, r.high, edge * marginal.max()
            if marginal[0] > limit and low > axis.low:
                low = max(axis.low, low - 0.3 * width)
            if marginal[-1] > limit and high < axis.high:
                high = min(axis.high, high + 0.3 * width)
            more = int(np.ceil(r.points * (high - low) / width))
            rules.append(rule(low, high, more, r.shape))
        return self if all(a is b for a, b in zip(rules, self.rules, strict=True)) else Box(tuple(rules))

    def tightened(self, density: np.ndarray, edge: float) -> "Box":
        """Return the box without ends where the marginal is below edge x its peak, if that is much; or itself.

        The points stay: they stand closer then.
        """
        rules = []
        for i, r in enumerate(self.rules):
            marginal = self.marginal(density, i)
            inside = np.flatnonzero(marginal > edge * marginal.max())
            first, last = max(inside[0] - 1, 0), min(inside[-1] + 1, r.points - 1)
            low = r.low if r.shape == "even" or first == 0 else float(r.nodes[first])
            high = r.high if last == r.points - 1 else float(r.nodes[last])
            rules.append(rule(low, high, r.points, r.shape) if high - low < MUCH * (r.high - r.low) else r)
        return self if all(a is b for a, b in zip(rules, self.rules, strict=True)) else Box(tuple(rules))

    def finer(self, density: np.ndarray, tolerance: float, *, between: bool = False) -> "Box":
        """Return the box with more points on the axes that miss more than the tolerance; itself if there are none.

        What counts is the integral, or with `between` the density between the nodes.
        """
        rules = []
        for i, r in enumerate(self.rules):
            error = (r.between if between else r.missed)(self.marginal(density, i))
            rules.append(rule(r.low, r.high, int(np.ceil(1.4 * r.points)), r.shape) if error > tolerance else r)
        return self if all(a is b for a, b in zip(rules, self.rules, strict=True)) else Box(tuple(rules))


def find_box(
    log_density: Callable[[np.ndarray], np.ndarray],
    axes: Sequence[Coordinate],
    points: Mapping[Shape, int],
    deep: float,
) -> tuple[Box, np.ndarray]:
    """Return the box that holds all but a negligible part of exp(log_density), and about where its peak is.

    Climbs by slices along all axes through the best point so far, on grids that shrink; then takes on each axis the
    width of the slice at which log density has fallen by `deep`, times marginal over conditional standard deviation
    from the curvature at the peak. `Box.widened` mends a box that proves too small.
    """
    if not axes:
        return Box(()), np.zeros(0)
    low, high = (np.array([getattr(a, name) for a in axes]) for name in ("low", "high"))
    best, reach, count = (low + high) / 2, high - low, len(axes)
    top, at = -np.inf, best
    for _ in range(CLIMBS):
        lines = np.tile(best, (count, GRID.size, 1))
        for i in range(count):
            lines[i, :, i] = np.clip(best[i] + reach[i] * GRID, low[i], high[i])
        found = log_density(lines.reshape(-1, count)).reshape(count, GRID.size)
        if found.max() > top:
            i, k = np.unravel_index(np.argmax(found), found.shape)
            top, at = found[i, k], lines[i, k]
            best = lines[np.arange(count), np.argmax(found, axis=1), np.arange(count)]  # the best of every axis
        else:
            best = at
        reach = reach / 4
    best = at
    spread = _marginal_over_conditional(log_density, best, (high - low) * 1e-3)
    lines = np.tile(best, (count, 2, FROM_PEAK.size, 1))
    for i in range(count):
        lines[i, :, :, i] = [best[i] + (limit - best[i]) * FROM_PEAK for limit in (low[i], high[i])]
    fallen = (log_density(lines.reshape(-1, count)) <= top - deep).reshape(count, 2, FROM_PEAK.size)
    rules = []
    for i, axis in enumerate(axes):
        ends = []
        for limit, side in zip((low[i], high[i]), fallen[i], strict=True):
            shallow = np.flatnonzero(~side)
            step = FROM_PEAK[min(shallow.max(initial=-1) + 1, FROM_PEAK.size - 1)]
            ends.append(float(np.clip(best[i] + (limit - best[i]) * step * spread[i], low[i], high[i])))
        if axis.shape == "even":
            ends[0] = 0.0
        rules.append(rule(*ends, points[axis.shape], axis.shape))
    return Box(tuple(rules)), best


def _marginal_over_conditional(log_density, best: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Return the ratio of marginal to conditional standard deviation on each axis, from 1 to 3; 1 without curvature."""
    k = best.size
    if k == 1:
        return np.ones(1)
    pairs = [(i, j) for i in range(k) for j in range(i, k)]
    shifts = [np.zeros(k)]
    for i, j in pairs:
        for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            shift = np.zeros(k)
            shift[i] += a * step[i]
            shift[j] += b * step[j]
            shifts.append(shift)
    f = log_density(best + np.array(shifts))
    hessian = np.zeros((k, k))
    for n, (i, j) in enumerate(pairs):
        pp, pm, mp, mm = f[1 + 4 * n : 5 + 4 * n]
        with np.errstate(invalid="ignore"):  # a step may leave the support
            hessian[i, j] = hessian[j, i] = (pp - pm - mp + mm) / (4 * step[i] * step[j])
    curvature = -hessian
    if not np.isfinite(curvature).all():
        return np.full(k, 1.5)
    try:
        variance = np.diag(inverse(curvature))
    except ValueError:  # no peak here: not positive definite
        return np.full(k, 1.5)
    return np.clip(np.sqrt(variance * np.diag(curvature)), 1, 3)
