"""Quadrature on one axis: a smooth coordinate of a parameter, its nodes and weights, and what lies between them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Literal

import numpy as np
from scipy import special

from gmfmsim.compute.algebra import dot, gauss_legendre, legendre, product
from gmfmsim.dist.distributions import Distribution
from gmfmsim.model.structure import Structure
from gmfmsim.model.terms import SCALES

Shape = Literal["line", "even", "interval", "quantile"]
"""What a density does along its axis, and so which rule integrates it to an error that falls exponentially with the
points. line: it falls to nothing at both ends, the trapezoidal rule; even: the same, mirrored at 0; interval: it ends
where it ends, Gauss and Legendre's rule (Trefethen & Weideman 2014); quantile: the same, of a probability of the prior,
along which the density is nearly flat."""
LEGENDRE = ("interval", "quantile")
"""The shapes whose rule is Gauss and Legendre's."""


FARTHEST = 230.0
"""The logarithm of the largest and of the smallest value that an axis reaches: their squares are still numbers."""
EVEN = ("half_normal", "half_cauchy", "half_student_t", "improper_uniform")
"""Priors of scales whose density is an even function; the likelihood is one, since it knows a scale by its square."""
TAILS = np.array([1e-15, 1 - 1e-15])
"""Between these quantiles of its prior the posterior of a parameter is first looked for."""
LEAST = 1e-100
"""The smallest unit of an axis."""
FARTHEST_SDS = 1e6
"""How many times further than that the axis of a parameter on the whole line goes."""


@dataclass(frozen=True)
class Coordinate:
    """A smooth coordinate x of a parameter: value(x), log_slope(x) = log |d value / d x|, its range, its shape.

    log_slope is None along the quantiles of a prior, whose density times the slope is 1 between the ends.
    start: where a prior has its mass, and the posterior is first looked for; closed: whether the parameter itself ends
    where the range does; order: the highest moment, up to 2, that exists and is to be integrated; name: of the
    parameter.
    """

    value: Callable[[np.ndarray], np.ndarray]
    log_slope: Callable[[np.ndarray], np.ndarray] | None
    inverse: Callable[[np.ndarray], np.ndarray]
    low: float
    high: float
    shape: Shape
    start: tuple[float, float]
    closed: tuple[bool, bool] = (False, False)
    order: int = 0
    name: str = ""


def coordinate(name: str, prior: Distribution, model: Structure, order: float) -> Coordinate:
    """Return the coordinate in which a parameter is integrated; order: that below which its moments exist.

    The logarithm for parameters above 0 whose prior is spread over orders of magnitude, asinh(value / scale) for those
    with mass down to 0 and a heavy tail, the value itself otherwise.
    """
    low, high = prior.support
    moments = int(np.clip(np.ceil(order) - 1, 0, 2))
    if prior.dist in ("lognormal", "turner2015"):
        center, reach = np.log(prior.median), prior.sigma * 8
        return _on_log(np.array([center - reach, center + reach]), moments)
    if prior.dist in ("log_student_t", "rhodes2015"):
        return _on_log_sinh(prior.location, prior.scale)
    if prior.dist in ("gamma", "log_logistic") and prior.shape < 1:  # without bound towards 0
        return _on_log(np.log(np.maximum(prior.ppf(TAILS), LEAST)), moments)
    if low == 0 and high == np.inf:
        like = model.likelihood
        errors = np.diagonal(like.precision[:, 0], axis1=-2, axis2=-1)[like.inside] ** -0.5
        typical = float(np.median(errors))
        shape = "even" if prior.dist in EVEN and name in SCALES else "interval"
        if not prior.proper:
            return _on_sinh(typical, shape, 1e3 * typical, moments)
        scale = min(float(prior.ppf(0.5)), typical) if name in SCALES else float(prior.ppf(0.5))
        return _on_sinh(max(scale, LEAST), shape, float(prior.ppf(TAILS[1])), moments)
    if np.isfinite(low + high):
        return _on_line(low, high, "interval", (low, high))
    start = prior.ppf(TAILS)
    low, high = (start.mean() + FARTHEST_SDS * (start - start.mean())).tolist()
    return _on_line(low, high, "line", tuple(start.tolist()))


def on_quantiles(name: str, prior: Distribution) -> Coordinate:
    """Return the coordinate P(parameter <= value) under a prior with two ends: its density is flat if data say little.

    So a few points of Gauss and Legendre's rule are enough where there are many such parameters; without ends they
    would miss what lies far out, and with it moments of the coefficients.
    """

    def below(value):
        value, low = np.asarray(value, float), np.zeros(np.shape(value))
        for k in range(1, 54):
            low += np.where(prior.ppf(low + 0.5**k) <= value, 0.5**k, 0.0)
        return low

    def value(x):
        return prior.ppf(np.clip(x, *TAILS))

    return Coordinate(value, None, below, 0.0, 1.0, "quantile", (0.0, 1.0), (True, True), 2, name)


def _on_log(start: np.ndarray, order: int) -> Coordinate:
    """Return the coordinate log(value) for values above 0, looked for between the logarithms start (2,)."""
    low, high = np.clip(start, -FARTHEST, FARTHEST).tolist()
    return Coordinate(np.exp, lambda x: x, np.log, -FARTHEST, FARTHEST, "line", (low, high), order=order)


def _on_log_sinh(location: float, scale: float) -> Coordinate:
    """Return the coordinate asinh((log(value) - location) / scale): for logarithms with a heavy tail."""
    low, high = (float(np.arcsinh((end - location) / scale)) for end in (-FARTHEST, FARTHEST))
    return Coordinate(
        lambda x: np.exp(location + scale * np.sinh(x)),
        lambda x: np.log(scale * np.cosh(x)) + location + scale * np.sinh(x),
        lambda v: np.arcsinh((np.log(v) - location) / scale),
        low,
        high,
        "line",
        (max(low, -5.0), min(high, 5.0)),
    )


def _on_sinh(scale: float, shape: Shape, start: float, order: int) -> Coordinate:
    """Return the coordinate asinh(value / scale) for values from 0, up to start at first: linear, later logarithmic."""
    return Coordinate(
        lambda x: scale * np.sinh(x),
        lambda x: np.log(scale * np.cosh(x)),
        lambda v: np.arcsinh(v / scale),
        0.0,
        float(FARTHEST - np.log(scale)),
        shape,
        (0.0, float(np.arcsinh(start / scale))),
        (True, False),
        order,
    )


def _on_line(low: float, high: float, shape: Shape, start: tuple[float, float]) -> Coordinate:
    """Return the value itself as coordinate, between low and high; ends that the parameter has are closed."""
    closed = shape == "interval"
    return Coordinate(lambda x: x, np.zeros_like, lambda v: v, low, high, shape, start, (closed, closed), 2)


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
        if self.shape in LEGENDRE:
            return self.low + (self.high - self.low) / 2 * (_legendre(self.points)[0] + 1)
        return np.linspace(self.low, self.high, self.points)

    @cached_property
    def weights(self) -> np.ndarray:
        """The weights (n,)."""
        if self.shape in LEGENDRE:
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
        if self.shape in LEGENDRE:
            t = 2 * (np.asarray(x, float) - self.low) / (self.high - self.low) - 1
            return product(legendre(t, self.points - 1)[..., None, :], _legendre(self.points)[2])[..., 0, :]
        return self._mirrored(lambda d: np.sinc(d / self.step), x)

    def integral(self, x: np.ndarray) -> np.ndarray:
        """Return the matrix (..., n) that takes values at the nodes to integrals from the low end to x."""
        if self.shape in LEGENDRE:
            t = 2 * (x - self.low) / (self.high - self.low) - 1
            p = legendre(t, self.points)
            k = np.arange(1, self.points)
            parts = np.concatenate([t[..., None] + 1, (p[..., 2:] - p[..., :-2]) / (2 * k + 1)], axis=-1)
            return (self.high - self.low) / 2 * product(parts[..., None, :], _legendre(self.points)[2])[..., 0, :]

        def from_start(d):  # of a sinc, from minus infinity
            return self.step * (0.5 + special.sici(np.pi * d / self.step)[0] / np.pi)

        found = self._mirrored(from_start, x)
        return found if self.shape == "line" else found - self._mirrored(from_start, self.low)

    def _mirrored(self, kernel: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
        x = np.asarray(x, float)
        out = kernel(x[..., None] - self.nodes)
        if self.shape == "even":
            out[..., 1:] += kernel(x[..., None] + self.nodes[1:])
        return out

    def between(self, marginal: np.ndarray) -> float:
        """Return by how much a marginal density (n,) may be off between the nodes, relative.

        interval: its last Legendre coefficients. Otherwise its highest Fourier coefficients, the last of which is what
        half of the nodes miss of its integral: one alone may be 0 by chance.
        """
        if self.shape in LEGENDRE:
            size = np.abs(dot(_legendre(self.points)[2], marginal))
            return float(size[-2:].max() / size.max())
        weighted = self.weights * marginal
        turns = np.pi * np.arange(self.points) * (1 - np.arange(3)[:, None] / (self.points - 1))
        parts = [np.cos(turns)] if self.shape == "even" else [np.cos(turns), np.sin(turns)]
        size = np.sqrt(sum(dot(part, weighted) ** 2 for part in parts))
        return float(size.max() / weighted.sum())

    def missed(self, marginal: np.ndarray) -> float:
        """Return how much of a marginal density (n,) the nodes may miss, relative; 0 along quantiles, whose few points
        do not tell it: how many there are is chosen by what more of them move (`quadrature.EFFORT`).

        The error of the trapezoidal rule squares when the nodes double. Gauss and Legendre's rule is exact to twice the
        degree of the last coefficient: its square if the coefficients fall geometrically, its fourth power if they fall
        as those of a normal density do; taken is the third.
        """
        if self.shape == "quantile":
            return 0.0
        return self.between(marginal) ** (3 if self.shape in LEGENDRE else 2)


@cache
def rule(low: float, high: float, points: int, shape: Shape) -> Rule:
    """Return the rule for an axis, the same object for the same axis."""
    return Rule(low, high, points, shape)


@cache
def _legendre(points: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return nodes and weights of Gauss-Legendre on (-1, 1), and the matrix from values to Legendre coefficients."""
    x, w = gauss_legendre(points)
    degree = np.arange(points)[:, None]
    return x, w, (degree + 0.5) * legendre(x, points - 1).T * w
