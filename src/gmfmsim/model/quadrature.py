"""Quadrature over a few parameters that adapts to where the posterior is, and independent draws from what it finds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal

import numpy as np
from scipy import optimize, special

from gmfmsim.model.mixture import shortest_interval

STEPS = 600
"""Points of the grid on which the distribution along an axis is inverted for draws."""

CLIMBS = 5
GRID = np.linspace(-0.5, 0.5, 17)
FROM_PEAK = np.geomspace(1e-3, 1.0, 40)
"""Steps to both ends of an axis: fine near the peak, far enough for any tail."""
Shape = Literal["line", "even", "interval"]
"""What a density does along its axis, and so which rule integrates it to an error that falls exponentially with the
points. line: it falls to nothing at both ends, the trapezoidal rule; even: the same, mirrored at 0; interval: it ends
where it ends, Gauss and Legendre's rule (Trefethen & Weideman 2014)."""


@dataclass(frozen=True)
class Coordinate:
    """A smooth coordinate x of a parameter: value(x), log_slope(x) = log |d value / d x|, its range, its shape.

    Which one: log for parameters above 0 whose prior is spread over orders of magnitude, scale x sinh for those with
    mass down to 0 and a heavy tail, x itself otherwise.
    """

    value: Callable[[np.ndarray], np.ndarray]
    log_slope: Callable[[np.ndarray], np.ndarray]
    inverse: Callable[[np.ndarray], np.ndarray]
    low: float
    high: float
    shape: Shape


def on_log(low: float, high: float) -> Coordinate:
    """Return the coordinate log(value) for values between low and high, both above 0."""
    return Coordinate(np.exp, lambda x: x, np.log, float(np.log(low)), float(np.log(high)), "line")


def on_log_sinh(location: float, scale: float) -> Coordinate:
    """Return the coordinate asinh((log(value) - location) / scale): for logarithms with a heavy tail."""
    reach = 600.0  # of the logarithm: within what a double can hold
    return Coordinate(
        lambda x: np.exp(location + scale * np.sinh(x)),
        lambda x: np.log(scale * np.cosh(x)) + location + scale * np.sinh(x),
        lambda v: np.arcsinh((np.log(v) - location) / scale),
        float(np.arcsinh((-reach - location) / scale)),
        float(np.arcsinh((reach - location) / scale)),
        "line",
    )


def on_sinh(high: float, scale: float, shape: Shape) -> Coordinate:
    """Return the coordinate asinh(value / scale) for values from 0: linear near 0, logarithmic far out."""
    return Coordinate(
        lambda x: scale * np.sinh(x),
        lambda x: np.log(scale * np.cosh(x)),
        lambda v: np.arcsinh(v / scale),
        0.0,
        float(np.arcsinh(high / scale)),
        shape,
    )


def on_line(low: float, high: float, shape: Shape) -> Coordinate:
    """Return the value itself as coordinate, between low and high."""
    return Coordinate(lambda x: x, np.zeros_like, lambda v: v, low, high, shape)


@dataclass(frozen=True)
class Rule:
    """Nodes and weights on one axis, and the function that interpolates a density given at the nodes."""

    low: float
    high: float
    points: int
    shape: Shape

    @cached_property
    def nodes(self) -> np.ndarray:
        """The nodes (n,)."""
        if self.shape == "interval":
            return self.low + (self.high - self.low) / 2 * (_legendre(self.points)[0] + 1)
        return np.linspace(self.low, self.high, self.points)

    @cached_property
    def weights(self) -> np.ndarray:
        """The weights (n,)."""
        if self.shape == "interval":
            return (self.high - self.low) / 2 * _legendre(self.points)[1]
        weights = np.full(self.points, self.step)
        if self.shape == "even":
            weights[0] /= 2
        return weights

    @property
    def step(self) -> float:
        """The distance of two nodes of the trapezoidal rule."""
        return (self.high - self.low) / (self.points - 1)

    def basis(self, x: np.ndarray) -> np.ndarray:
        """Return the matrix (..., n) that takes values at the nodes to values at x: Legendre or sinc interpolation."""
        if self.shape == "interval":
            return self._polynomials(x, self.points - 1)[1] @ _legendre(self.points)[2]
        return self._mirrored(lambda d: np.sinc(d / self.step), x)

    def integral(self, x: np.ndarray) -> np.ndarray:
        """Return the matrix (..., n) that takes values at the nodes to integrals from the low end to x."""
        if self.shape == "interval":
            t = 2 * (x - self.low) / (self.high - self.low) - 1
            p = np.polynomial.legendre.legvander(t, self.points).reshape(*np.shape(t), -1)
            k = np.arange(1, self.points)
            parts = np.concatenate([t[..., None] + 1, (p[..., 2:] - p[..., :-2]) / (2 * k + 1)], axis=-1)
            return (self.high - self.low) / 2 * parts @ _legendre(self.points)[2]

        def from_start(d):  # of a sinc, from minus infinity
            return self.step * (0.5 + special.sici(np.pi * d / self.step)[0] / np.pi)

        start = np.array(self.low)
        if self.shape == "line":
            return self._mirrored(from_start, x)
        return self._mirrored(from_start, x) - self._mirrored(from_start, start)

    def _polynomials(self, x, degree: int) -> tuple[np.ndarray, np.ndarray]:
        """Return x on the scale from -1 to 1, and its Legendre polynomials up to a degree, (..., degree + 1)."""
        t = 2 * (np.asarray(x, float) - self.low) / (self.high - self.low) - 1
        return t, np.polynomial.legendre.legvander(t, degree).reshape(*t.shape, degree + 1)

    def _mirrored(self, kernel: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
        x = np.asarray(x, float)
        out = kernel(x[..., None] - self.nodes)
        if self.shape == "even":
            out[..., 1:] += kernel(x[..., None] + self.nodes[1:])
        return out

    def between(self, marginal: np.ndarray) -> float:
        """Return by how much a marginal density (n,) may be off between the nodes, relative.

        interval: its last Legendre coefficients. Otherwise what half of the nodes miss of its integral.
        """
        if self.shape == "interval":
            size = np.abs(_legendre(self.points)[2] @ marginal)
            return float(size[-2:].max() / size.max())
        whole = self.weights @ marginal
        half = 2 * self.weights[::2] @ marginal[::2]
        return float(abs(half / whole - 1))

    def missed(self, marginal: np.ndarray) -> float:
        """Return how much of a marginal density (n,) the nodes may miss, relative.

        The error of the trapezoidal rule squares when the nodes double. Gauss and Legendre's rule is exact to twice the
        degree of the last coefficient: its square if the coefficients fall geometrically, its fourth power if they fall
        as those of a normal density do; taken is the third.
        """
        return self.between(marginal) ** (3 if self.shape == "interval" else 2)


@cache
def rule(low: float, high: float, points: int, shape: Shape) -> Rule:
    """Return the rule for an axis, the same object for the same axis."""
    return Rule(low, high, points, shape)


@cache
def _legendre(points: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return nodes and weights of Gauss-Legendre on (-1, 1), and the matrix from values to Legendre coefficients."""
    x, w = np.polynomial.legendre.leggauss(points)
    degree = np.arange(points)[:, None]
    return x, w, (degree + 0.5) * np.polynomial.legendre.legvander(x, points - 1).T * w


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
                density = np.tensordot(density, self.rules[j].weights, (j, 0))
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
    if not np.isfinite(curvature).all() or np.linalg.eigvalsh(curvature).min() <= 0:
        return np.full(k, 1.5)
    return np.clip(np.sqrt(np.diag(np.linalg.inv(curvature)) * np.diag(curvature)), 1, 3)


@dataclass(frozen=True)
class Marginal:
    """The marginal distribution of one parameter: an interpolated density on its axis, values (n,) at the nodes."""

    coordinate: Coordinate
    rule: Rule
    values: np.ndarray

    @cached_property
    def total(self) -> float:
        """The integral of the values, by which they are divided."""
        return float(self.rule.weights @ self.values)

    def _coordinate(self, value) -> np.ndarray:
        low, high = self.coordinate.value(np.array([self.rule.low, self.rule.high]))
        return self.coordinate.inverse(np.clip(value, low, high))

    def cdf(self, value) -> np.ndarray:
        """Return P(parameter <= value)."""
        return np.clip(self.rule.integral(self._coordinate(value)) @ self.values / self.total, 0, 1)

    def moments(self) -> tuple[float, float]:
        """Return mean and standard deviation.

        An even density times an odd value is not even: there the interpolated density is integrated by Gauss and
        Legendre's rule.
        """
        fine, density = self.rule, self.values
        if self.rule.shape == "even":
            fine = rule(self.rule.low, self.rule.high, 4 * self.rule.points, "interval")
            density = self.rule.basis(fine.nodes) @ self.values
        weight = fine.weights * density / self.total
        value = self.coordinate.value(fine.nodes)
        mean = float(weight @ value)
        return mean, float(np.sqrt(weight @ (value - mean) ** 2))

    def density(self, value) -> np.ndarray:
        """Return the density of the parameter at values; 0 outside the range that was integrated."""
        x = self._coordinate(value)
        inside = np.isclose(self.coordinate.value(x), value, rtol=1e-12)
        f = np.maximum(self.rule.basis(x) @ self.values, 0) / self.total
        return np.where(inside, f * np.exp(-self.coordinate.log_slope(x)), 0.0)

    def quantile(self, p: float) -> float:
        """Return the value below which the parameter lies with probability p."""

        def above(x):
            return float(self.rule.integral(np.array(x)) @ self.values) / self.total - p

        low, high = self.rule.low, self.rule.high
        x = low if above(low) >= 0 else optimize.brentq(above, low, high, xtol=1e-14, rtol=1e-14)
        return float(self.coordinate.value(np.array(x)))

    def mode(self) -> float:
        """Return the value of largest density."""
        x = self.rule.nodes
        fine = np.linspace(self.rule.low, self.rule.high, 8 * x.size)

        def falling(x):
            return -(self.rule.basis(np.asarray(x)) @ self.values) * np.exp(-self.coordinate.log_slope(np.asarray(x)))

        k = int(np.argmin(falling(fine)))
        ends = fine[max(k - 1, 0)], fine[min(k + 1, fine.size - 1)]
        found = optimize.minimize_scalar(falling, bounds=ends, method="bounded", options={"xatol": 1e-9}).x
        return float(self.coordinate.value(np.array(min((*ends, found), key=falling))))

    def shortest(self, prob: float = 0.95) -> tuple[float, float]:
        """Return the shortest (highest-density) interval with probability prob, of a density with one peak."""
        return shortest_interval(self.quantile, prob)


def draw(box: Box, density: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return independent draws (size, axes) of the coordinates from the density (points...) at the nodes of the box.

    uniform (size, axes) in (0, 1). One axis after another: the marginal of the first, the second given the first, and
    so on, each interpolated and inverted on a grid of `STEPS` points.
    """
    blocks = np.array_split(uniform, max(1, uniform.shape[0] // 2048))
    return np.concatenate([_draw(box, density, block) for block in blocks])


def _draw(box: Box, density: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    rows = np.arange(uniform.shape[0])
    given = np.broadcast_to(density, (rows.size, *density.shape))
    out = np.empty(uniform.shape)
    for i, r in enumerate(box.rules):
        others = np.array([1.0])
        for later in box.rules[i + 1 :]:
            others = np.outer(others, later.weights).ravel()
        grid = np.linspace(r.low, r.high, STEPS)
        f = np.maximum((given.reshape(*given.shape[:2], -1) @ others) @ r.basis(grid).T, 0)
        out[:, i] = inverse_cdf(grid, f, uniform[:, i])
        given = np.einsum("sn,sn...->s...", r.basis(out[:, i]), given)
    return out


def inverse_cdf(grid: np.ndarray, density: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return one draw (S,) from each density (S, n) on an even grid (n,), linear between the points of its integral."""
    below = np.concatenate(
        [np.zeros((density.shape[0], 1)), np.cumsum(density[:, 1:] + density[:, :-1], axis=1)], axis=1
    )
    goal = uniform * below[:, -1]
    k = np.clip((below <= goal[:, None]).sum(axis=1) - 1, 0, grid.size - 2)
    row = np.arange(uniform.size)
    step = below[row, k + 1] - below[row, k]
    return grid[k] + (grid[1] - grid[0]) * (goal - below[row, k]) / np.where(step > 0, step, 1)
