"""What quadrature found: the marginal distribution of each parameter, and independent draws of all."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gmfmsim.compute.algebra import dot, product
from gmfmsim.compute.roots import root
from gmfmsim.model.draws import inverse_cdf
from gmfmsim.model.exact.quadrature import Box
from gmfmsim.model.exact.rules import Coordinate, Rule, rule

STEPS = 600
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


def draw(box: Box, density: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return independent draws (size, axes) of the coordinates from the density (points...) at the nodes of the box.

    uniform (size, axes) in (0, 1). One axis after another: the marginal of the first, the second given the first, and
    so on, each interpolated and inverted on a grid of `STEPS` points.
    """
    out = np.empty(uniform.shape)
    for rows in np.array_split(np.arange(uniform.shape[0]), max(1, uniform.shape[0] // 2048)):
        given = np.broadcast_to(density, (rows.size, *density.shape))
        for i, r in enumerate(box.rules):
            others = np.array([1.0])
            for later in box.rules[i + 1 :]:
                others = np.outer(others, later.weights).ravel()
            grid = np.linspace(r.low, r.high, STEPS)
            f = np.maximum(product(dot(given.reshape(*given.shape[:2], -1), others), r.basis(grid).T), 0)
            out[rows, i] = inverse_cdf(grid, f, uniform[rows, i])
            given = np.einsum("sn,sn...->s...", r.basis(out[rows, i]), given)
    return out
