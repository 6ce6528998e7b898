"""Quadrature over a few parameters that adapts to where the posterior is; the marginals and draws that it gives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from gmfmsim.compute.algebra import dot, inverse, product
from gmfmsim.compute.roots import root
from gmfmsim.faults import NotANumber
from gmfmsim.model.draws import inverse_cdf
from gmfmsim.model.exact.rules import Coordinate, Rule, rule

HERMITE = 13
"""The most points for the unknown size of one standard error."""


class Effort(NamedTuple):
    """How the quadrature starts and when it is content, by the number of parameters.

    points to start from, by the shape of the axis, or by the name of the parameter; how far down in log density an axis
    reaches; the largest marginal density at an open end, relative to its peak; the largest share of a marginal that the
    nodes may miss; Gauss-Hermite points for each standard error of unknown size; the log weight, below the largest,
    under which a component is dropped.
    """

    points: Mapping[str, int]
    deep: float
    edge: float
    missed: float
    sizes: int
    negligible: float = -36.0

    def points_of(self, axis: Coordinate) -> int:
        """Return the points that an axis starts from."""
        return self.points.get(axis.name, self.points[axis.shape])


COURSE_POINTS = (
    {"peak": 4, "decline": 3, "rho": 2},
    {"peak": 5, "decline": 2, "rho": 2},
    {"peak": 6, "decline": 3, "rho": 3},
)
"""Points for the course of an effect in time, from few to many: the density has corners along the peak, at the months
of the evidence, and hardly bends along the others. So chosen that more points on every axis move mean and SD of the
amplitude by less than 1 % of its SD, and the log marginal likelihood by less than 0.01; with the fewest 3 % and 0.03.
"""

AT_JUMPS = {"threshold": 150}
"""Points for a dose at which the effect jumps or bends: the density has a corner at every dose that was studied, and a
few points may miss one without a sign of it."""

EFFORT = (
    Effort({}, 0.0, 0.0, 0.0, HERMITE),
    Effort({"line": 48, "even": 28, "interval": 32}, 34.0, 1e-13, 1e-19, HERMITE),
    Effort({"line": 36, "even": 20, "interval": 18}, 26.0, 1e-10, 1e-9, HERMITE),
    Effort({"line": 32, "even": 14, "interval": 16}, 23.0, 1e-9, 1e-7, 9, -24.0),
    Effort({"line": 18, "even": 12, "interval": 13}, 21.0, 1e-8, 1e-5, 7, -22.0),
    Effort({"line": 16, "even": 11, "interval": 9, "quantile": 6} | COURSE_POINTS[2], 18.0, 1e-6, 5e-3, 7, -18.0),
    Effort({"line": 16, "even": 9, "interval": 8, "quantile": 5} | COURSE_POINTS[2], 16.0, 1e-5, 5e-3, 6, -16.0),
    Effort({"line": 12, "even": 8, "interval": 7, "quantile": 3} | COURSE_POINTS[1], 15.0, 1e-5, 5e-2, 5, -15.0),
)

QUICK = (
    Effort({}, 0.0, 0.0, 0.0, 5, -20.0),
    Effort({"line": 24, "even": 16, "interval": 18}, 18.0, 1e-7, 1e-7, 5, -18.0),
    Effort({"line": 18, "even": 11, "interval": 10} | AT_JUMPS, 16.0, 1e-6, 1e-5, 5, -17.0),
    Effort({"line": 14, "even": 8, "interval": 8} | AT_JUMPS, 14.0, 1e-5, 1e-3, 5, -15.0),
    Effort({"line": 10, "even": 7, "interval": 7} | AT_JUMPS, 13.0, 1e-4, 1e-2, 4, -15.0),
    Effort({"line": 12, "even": 8, "interval": 6, "quantile": 4} | COURSE_POINTS[0], 13.0, 1e-4, 0.5, 4, -13.0),
    Effort({"line": 12, "even": 7, "interval": 5, "quantile": 4} | COURSE_POINTS[0], 12.0, 1e-4, 0.5, 4, -12.0),
    Effort(
        {"line": 10, "even": 7, "interval": 4, "quantile": 3} | COURSE_POINTS[0] | {"decline": 2},
        11.0,
        1e-3,
        0.5,
        4,
        -11.0,
    ),
)
"""For one refit out of very many: probabilities within some 1e-4, mostly by the points for standard errors."""

CLIMBS, MOST_CLIMBS = 5, 100
"""Times that every axis is searched: at least, and at most where the best is at the end of what was searched."""
GAIN = 0.01
"""The log density that CLIMBS searches of every axis must gain together, or the peak is near enough."""
GRID = np.linspace(-0.5, 0.5, 17)
FROM_PEAK = np.geomspace(1e-9, 1.0, 80)
"""Steps to both ends of an axis: fine near the peak, far enough for any tail."""
AT_END = 1e-9
"""How near to an end of a parameter the posterior is looked for, as a share of where its prior has its mass."""

MOMENT_EDGE = 1e-10
"""The largest share of its peak that the integrand of a moment may have at an open end; or the edge of the density."""

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

    @property
    def mesh(self) -> tuple[np.ndarray, ...]:
        """The coordinates of the nodes by axis, open: (points,) along its own, 1 along every other."""
        return np.meshgrid(*(r.nodes for r in self.rules), indexing="ij", sparse=True)

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
        """Return for each axis how much of its marginal the nodes may miss, relative; see `Rule.missed`."""
        return [r.missed(self.marginal(density, i)) for i, r in enumerate(self.rules)]

    def heights(self, axes: Sequence[Coordinate], density: np.ndarray, i: int, edge: float) -> np.ndarray:
        """Return how high an axis stands at its nodes, in units of what an end may have: above 1 it goes on.

        The marginal over edge x its peak; or the integrand of the highest moment that exists over its own, where more.
        """
        marginal = self.marginal(density, i)
        moment = marginal * np.abs(axes[i].value(self.rules[i].nodes)) ** axes[i].order
        return np.maximum(marginal / (edge * marginal.max()), moment / (max(edge, MOMENT_EDGE) * moment.max()))

    def open_ends(self, axes: Sequence[Coordinate], density: np.ndarray) -> float:
        """Return the largest marginal density, relative to its peak, at an end beyond which there is more."""
        found = [0.0]
        for i, axis in enumerate(axes):
            marginal = self.marginal(density, i)
            ends = (marginal[0], self.rules[i].low > axis.low), (marginal[-1], self.rules[i].high < axis.high)
            found += [
                float(end / marginal.max())
                for (end, inside), closed in zip(ends, axis.closed, strict=True)
                if inside or not closed
            ]
        return max(found)

    def widened(self, axes: Sequence[Coordinate], density: np.ndarray, edge: float) -> "Box":
        """Return the box with those open ends moved out at which an axis stands too high; see `heights`."""
        rules = []
        for i, (axis, r) in enumerate(zip(axes, self.rules, strict=True)):
            height, width = self.heights(axes, density, i, edge), r.high - r.low
            low, high = r.low, r.high
            if height[0] > 1 and low > axis.low:
                low = max(axis.low, low - 0.3 * width)
            if height[-1] > 1 and high < axis.high:
                high = min(axis.high, high + 0.3 * width)
            more = int(np.ceil(r.points * (high - low) / width))
            rules.append(rule(low, high, more, r.shape))
        return Box(tuple(rules))

    def tightened(self, axes: Sequence[Coordinate], density: np.ndarray, edge: float) -> "Box":
        """Return the box without ends where an axis stands lower than it may, if that is much; the points stay."""
        rules = []
        for i, r in enumerate(self.rules):
            inside = np.flatnonzero(self.heights(axes, density, i, edge) > 1)
            first, last = max(inside[0] - 1, 0), min(inside[-1] + 1, r.points - 1)
            low = r.low if r.shape == "even" or first == 0 else float(r.nodes[first])
            high = r.high if last == r.points - 1 else float(r.nodes[last])
            rules.append(rule(low, high, r.points, r.shape) if high - low < MUCH * (r.high - r.low) else r)
        return Box(tuple(rules))

    def finer(self, density: np.ndarray, tolerance: float, *, between: bool = False) -> "Box":
        """Return the box with more points on the axes that miss more than the tolerance.

        What counts is the integral, or with `between` the density between the nodes.
        """
        rules = []
        for i, r in enumerate(self.rules):
            error = (r.between if between else r.missed)(self.marginal(density, i))
            rules.append(rule(r.low, r.high, int(np.ceil(1.4 * r.points)), r.shape) if error > tolerance else r)
        return Box(tuple(rules))


def find_box(
    log_density: Callable[[np.ndarray], np.ndarray],
    axes: Sequence[Coordinate],
    effort: Effort,
) -> tuple[Box, np.ndarray]:
    """Return the box that holds all but a negligible part of exp(log_density), and about where its peak is.

    Takes on each axis the width of the slice through the peak at which log density has fallen by effort.deep, times
    marginal over conditional standard deviation from the curvature there. Nothing is cut where the prior ends: the data
    may contradict it. `Box.widened` mends a box that proves too small.
    """
    if not axes:
        return Box(()), np.zeros(0)
    low, high = _searched(axes)
    best, top = _peak(log_density, axes)
    width = np.array([a.start[1] - a.start[0] for a in axes])
    spread, count = _marginal_over_conditional(log_density, best, width * 1e-3), len(axes)
    sought = [i for i in range(count) if axes[i].shape != "quantile"]  # quantiles have both of their ends
    lines = np.tile(best, (len(sought), 2, FROM_PEAK.size, 1))
    for line, i in zip(lines, sought, strict=True):
        line[:, :, i] = [best[i] + (limit - best[i]) * FROM_PEAK for limit in (low[i], high[i])]
    shallow = (log_density(lines.reshape(-1, count)) > top - effort.deep).reshape(len(sought), 2, FROM_PEAK.size)
    ends = {i: [axis.low, axis.high] for i, axis in enumerate(axes)}
    for i, sides in zip(sought, shallow, strict=True):
        for end, (limit, side) in enumerate(zip((low[i], high[i]), sides, strict=True)):
            step = FROM_PEAK[min(np.flatnonzero(side).max(initial=-1) + 1, FROM_PEAK.size - 1)]
            far = best[i] + (limit - best[i]) * step * spread[i]
            ends[i][end] = float(np.clip(far, axes[i].low, axes[i].high))
        if axes[i].shape == "even":
            ends[i][0] = 0.0
    rules = [rule(*ends[i], effort.points_of(axis), axis.shape) for i, axis in enumerate(axes)]
    return Box(tuple(rules)), best


def settled(
    box: Box, axes: Sequence[Coordinate], effort: Effort, at: Callable[[Box], tuple], affordable: Callable[[Box], bool]
) -> tuple:
    """Return at(box) of the box, wide and fine enough: a tuple that begins with the box and ends with the density.

    First as wide as it must be, then as narrow as it may be, then as fine as it must be: each once, so that it ends.
    Where not every axis can be as fine as it must, those that miss most are.
    """
    steps = (
        lambda box, density: box.widened(axes, density, effort.edge),
        lambda box, density: box.tightened(axes, density, effort.edge),
        lambda box, density: box.finer(density, effort.missed),
        lambda box, density: box.finer(density, max([effort.missed, *(0.99 * x for x in box.missed(density))])),
    )
    found = at(box)
    for step in steps:
        while (better := step(found[0], found[-1])) != found[0] and affordable(better):
            found = at(better)
    return found


def _searched(axes: Sequence[Coordinate]) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and last point of every axis at which the density is asked for: it may have none at an end."""
    inset = [AT_END * (a.start[1] - a.start[0]) for a in axes]
    low = [a.low + x if a.closed[0] else a.low for a, x in zip(axes, inset, strict=True)]
    high = [a.high - x if a.closed[1] else a.high for a, x in zip(axes, inset, strict=True)]
    return np.array(low), np.array(high)


def _peak(log_density: Callable[[np.ndarray], np.ndarray], axes: Sequence[Coordinate]) -> tuple[np.ndarray, float]:
    """Return about where log density is highest, (axes,), and how high.

    Slices along all axes through the best point so far, on grids that shrink about it and grow where the best is at
    their end: the first ones cover where the priors have their mass.
    """
    low, high = _searched(axes)
    start, count = np.array([a.start for a in axes]), len(axes)
    best, reach = start.mean(axis=1), start[:, 1] - start[:, 0]
    top, at = -np.inf, best
    tops: list[float] = []
    for climb in range(MOST_CLIMBS):
        lines = np.tile(best, (count, GRID.size, 1))
        for i in range(count):
            lines[i, :, i] = np.clip(best[i] + reach[i] * GRID, low[i], high[i])
        found = log_density(lines.reshape(-1, count)).reshape(count, GRID.size)
        place = np.argmax(found, axis=1)
        if found.max() > top:
            i, k = np.unravel_index(np.argmax(found), found.shape)
            top, at = found[i, k], lines[i, k]
            best = lines[np.arange(count), place, np.arange(count)]  # the best of every axis
        else:
            best = at
        at_end = ((place == 0) & (best > low)) | ((place == GRID.size - 1) & (best < high))
        tops.append(float(top))
        no_more = climb >= CLIMBS and top < tops[-1 - CLIMBS] + GAIN
        if no_more or (climb + 1 >= CLIMBS and not at_end.any()):
            break
        reach = np.where(at_end, np.minimum(2 * reach, high - low), reach / 4)
    if not np.isfinite(top):
        raise NotANumber("the posterior density is 0 wherever it was looked for")
    return at, top


def _marginal_over_conditional(log_density, best: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Return the ratio of marginal to conditional standard deviation on each axis, from 1 to 3; 1 without curvature."""
    k = best.size
    if k == 1:
        return np.ones(1)
    pairs, unit = [(i, j) for i in range(k) for j in range(i, k)], np.diag(step)
    shifts = [a * unit[i] + b * unit[j] for i, j in pairs for a in (1, -1) for b in (1, -1)]
    corners = log_density(best + np.array(shifts)).reshape(-1, 4)
    hessian = np.zeros((k, k))
    for (i, j), (pp, pm, mp, mm) in zip(pairs, corners, strict=True):
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


FINE = 400
"""Points for the moments of a parameter along the quantiles of its prior."""
DRAW_STEPS = 600
"""Points of the grid on which the distribution along an axis is inverted for draws."""


@dataclass(frozen=True)
class Marginal:
    """The marginal distribution of one parameter: an interpolated density on its axis, values (n,) at the nodes."""

    coordinate: Coordinate
    rule: Rule
    values: np.ndarray

    @cached_property
    def total(self) -> float:
        """The integral of the values, by which they are divided."""
        return float(dot(self.rule.weights, self.values))

    def cdf(self, value) -> np.ndarray:
        """Return P(parameter <= value)."""
        low, high = self.coordinate.value(np.array([self.rule.low, self.rule.high]))
        x = self.coordinate.inverse(np.clip(value, low, high))
        return np.clip(dot(self.rule.integral(x), self.values) / self.total, 0, 1)

    def moments(self) -> tuple[float, float]:
        """Return mean and standard deviation, as far as the nodes reach.

        Of an even density the trapezoidal rule misses, in the mean, the corner that values have at 0. Values s sinh(x)
        are s cosh(x), which is even, less s exp(-x), which fades: what the rule misses is what it misses of the latter,
        and Gauss and Legendre's rule tells, on the interpolated density.
        """
        if self.rule.shape == "quantile":  # values between the nodes bend more than the density does
            fine = rule(self.rule.low, self.rule.high, FINE, "quantile")
            value, f = self.coordinate.value(fine.nodes), fine.weights * dot(self.rule.basis(fine.nodes), self.values)
            mean = float(dot(f, value)) / self.total
            return mean, float(np.sqrt(dot(f, (value - mean) ** 2) / self.total))
        value, f = self.coordinate.value(self.rule.nodes), self.rule.weights * self.values / self.total
        mean, corner = float(dot(f, value)), 0.0
        if self.rule.shape == "even":
            fine = rule(self.rule.low, self.rule.high, 4 * self.rule.points, "interval")
            f_fine = fine.weights * dot(self.rule.basis(fine.nodes), self.values) / self.total
            corner = float(dot(f, self._fading(self.rule.nodes)) - dot(f_fine, self._fading(fine.nodes)))
        mean += corner
        return mean, float(np.sqrt(max(dot(f, (value - mean) ** 2) - 2 * mean * corner, 0.0)))

    def _fading(self, x: np.ndarray) -> np.ndarray:
        """Return s cosh(x) - s sinh(x) for a coordinate whose values are s sinh(x)."""
        return np.exp(self.coordinate.log_slope(np.zeros_like(x)) - x)

    def quantile(self, p: float) -> float:
        """Return the value below which the parameter lies with probability p."""

        def above(x):
            return float(dot(self.rule.integral(np.array(x)), self.values)) / self.total - p

        low, high = self.rule.low, self.rule.high
        x = low if above(low) >= 0 else root(above, low, high, within=1e-14, relative=1e-14)
        return float(self.coordinate.value(np.array(x)))


@dataclass(frozen=True)
class Held:
    """The marginal distribution of a parameter that is held at a value."""

    value: float

    def cdf(self, value) -> np.ndarray:
        """Return P(parameter <= value), 0 or 1."""
        return np.heaviside(np.asarray(value, float) - self.value, 1.0)

    def moments(self) -> tuple[float, float]:
        """Return the value, and 0."""
        return self.value, 0.0

    def quantile(self, p: float) -> float:
        """Return the value."""
        return self.value


def draw(box: Box, density: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return independent draws (size, axes) of the coordinates from the density (points...) at the nodes of the box.

    uniform (size, axes) in (0, 1). One axis after another: the marginal of the first, the second given the first, and
    so on, each interpolated and inverted on a grid of `DRAW_STEPS` points.
    """
    out = np.empty(uniform.shape)
    for rows in np.array_split(np.arange(uniform.shape[0]), max(1, uniform.shape[0] // 2048)):
        given = np.broadcast_to(density, (rows.size, *density.shape))
        for i, r in enumerate(box.rules):
            others = np.array([1.0])
            for later in box.rules[i + 1 :]:
                others = np.outer(others, later.weights).ravel()
            grid = np.linspace(r.low, r.high, DRAW_STEPS)
            own = given if i else density[None]  # before the first axis is drawn all draws have one density
            f = np.maximum(product(dot(own.reshape(*own.shape[:2], -1), others), r.basis(grid).T), 0)
            out[rows, i] = inverse_cdf(grid, np.broadcast_to(f, (rows.size, DRAW_STEPS)), uniform[rows, i])
            given = np.einsum("sn,sn...->s...", r.basis(out[rows, i]), given)
    return out
