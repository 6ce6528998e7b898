"""Steps of the p value at which a result becomes less likely to be published, and the prior of their weights."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError
from scipy import special

from gmfmsim.compute.algebra import dot, gauss_legendre
from gmfmsim.compute.roots import root
from gmfmsim.files.toml import Spec
from gmfmsim.model.exact.rules import rule

POINTS = {1: 16, 2: 10, 3: 8}
"""Points for the ratio of two weights that follow each other, by the number of steps."""


POWER = 2
"""A ratio of weights is this power of its coordinate."""


class Steps(Spec):
    """Weights omega_0 = 1 >= omega_1 >= ... >= omega_k: how likely a result is published, by the interval of its p.

    p: the cut points, rising; weight j is that of p from cut point j - 1 up to j, the last that of all p above. One
    side: p = P(Z > effect / se), so that results in favour of treatment are small; two sides: p = P(|Z| > |effect| /
    se). The falls from weight to weight, and the last weight, are Dirichlet(1, ..., 1): omega_j = sum of the shares
    from j on (Maier, Bartos & Wagenmakers 2023). Step functions: Hedges 1992, Vevea & Hedges 1995.
    """

    p: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(min_length=1, max_length=len(POINTS))]
    sides: Literal[1, 2] = 1

    @field_validator("p")
    @classmethod
    def _rising(cls, p):
        if (np.diff(p) <= 0).any():
            raise PydanticCustomError("steps", "cut points that rise, each once")
        return p

    @property
    def bands(self) -> tuple[np.ndarray, np.ndarray]:
        """The edges (E,) of effect / se at which the weight changes, rising, and its number (E + 1,) in each band."""
        z = -special.ndtri(np.array(self.p) / self.sides)
        number = np.arange(z.size + 1)
        if self.sides == 1:
            return z[::-1], number[::-1]
        return np.concatenate([-z, z[::-1]]), np.concatenate([number, number[-2::-1]])

    def rule(self, points: int) -> tuple[np.ndarray, np.ndarray]:
        """Return weights (W, k + 1) and their prior probabilities (W,), W = points^k: a quadrature rule.

        The ratios omega_j / omega_(j - 1) are independent Beta(k - j + 1, 1), each by Gauss and Legendre's rule in its
        square root: near 0 a density divided by the mean weight of a result may be steep.
        """
        k = len(self.p)
        t, w = (gauss_legendre(points)[0] + 1) / 2, gauss_legendre(points)[1] / 2
        x, w = t**POWER, w * POWER * t ** (POWER - 1)
        ratios = np.stack([g.ravel() for g in np.meshgrid(*[x] * k, indexing="ij")], axis=1)
        share = np.stack([g.ravel() for g in np.meshgrid(*[w] * k, indexing="ij")], axis=1)
        power = np.arange(k, 0, -1)
        weights = np.concatenate([np.ones((ratios.shape[0], 1)), np.cumprod(ratios, axis=1)], axis=1)
        return weights, (share * power * ratios ** (power - 1)).prod(axis=1)


class Weight:
    """The posterior distribution of one weight, from the probabilities (points^k) of the nodes of `Steps.rule`.

    Given the ratios before it, a weight is their product times its own ratio, whose density is interpolated.
    """

    def __init__(self, probability: np.ndarray, j: int):
        own = probability.reshape(*probability.shape[:j], -1).sum(axis=-1) if j < probability.ndim else probability
        self.rule = rule(0.0, 1.0, probability.shape[0], "interval")
        self.ratio = self.rule.nodes**POWER
        before = [g.ravel() for g in np.meshgrid(*[self.ratio] * (j - 1), indexing="ij")]
        self.before = np.prod(before, axis=0) if before else np.ones(1)
        self.share = own.reshape(self.before.size, -1)

    @property
    def mean(self) -> float:
        """The posterior mean."""
        return float((self.before[:, None] * self.ratio * self.share).sum())

    def cdf(self, x: float) -> float:
        """Return P(weight <= x)."""
        below = self.rule.integral(np.clip(x / self.before, 0.0, 1.0) ** (1 / POWER))
        return float(dot(below, self.share / self.rule.weights).sum())

    def quantile(self, p: float) -> float:
        """Return the value below which the weight lies with probability p."""
        return root(lambda x: self.cdf(x) - p, 0.0, 1.0, within=1e-12, relative=1e-12)

    def interval(self, prob: float = 0.95) -> tuple[float, float]:
        """Return the equal-tailed interval with probability prob."""
        return self.quantile((1 - prob) / 2), self.quantile((1 + prob) / 2)
