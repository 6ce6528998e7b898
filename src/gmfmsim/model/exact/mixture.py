"""Mixtures of normal distributions: what a linear quantity is once the non-linear parameters are integrated."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special

from gmfmsim.compute.algebra import dot
from gmfmsim.model.exact import kernels

ALIKE = 0.025
"""By how much, in their sd, components may differ that are merged."""
LEAST = 0.1
"""Components with a smaller sd than this share of the whole mixture's are alike in it."""
MANY = 20_000
"""Components from which on a quantile is first looked for in a smaller mixture."""


@dataclass(frozen=True)
class NormalMixture:
    """sum_m weight_m Normal(mean_m, sd_m^2); weights (M,) sum to 1."""

    weight: np.ndarray
    means: np.ndarray
    sds: np.ndarray

    @cached_property
    def mean(self) -> float:
        return float(dot(self.weight, self.means))

    @cached_property
    def sd(self) -> float:
        return float(np.sqrt(dot(self.weight, self.sds**2 + (self.means - self.mean) ** 2)))

    def _standardised(self, x: float) -> np.ndarray:
        """Return (x - mean_m) / sd_m, (M,); at the mean of a component without spread 0, half of it on either side."""
        away = x - self.means
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(away == 0, 0.0, away / self.sds)

    def cdf(self, x: float) -> float:
        """Return P(value <= x)."""
        return float(dot(self.weight, special.ndtr(self._standardised(x))))

    def above(self, x: float = 0.0) -> float:
        """Return P(value > x), to full relative precision in the upper tail."""
        return float(dot(self.weight, special.ndtr(-self._standardised(x))))

    def quantile(self, p: float) -> float:
        """Return the value x with P(value <= x) = p.

        Newton's method on the logarithm of the smaller tail, which is nearly concave, kept within Chebyshev's bounds;
        of very many components it starts from where those that are merged would have it.
        """
        if p <= 0 or p >= 1:
            return float(np.inf if p >= 1 else -np.inf)
        sign, tail = (1.0, p) if p <= 0.5 else (-1.0, 1 - p)
        reach = self.sd * max(10.0, 1 / np.sqrt(tail))
        low, high = sign * self.mean - reach, sign * self.mean + reach
        small = self._merged
        x = sign * (self.mean + self.sd * special.ndtri(p) if small is self else small.quantile(p))
        means = sign * self.means
        while high - low > 1e-14 * reach:
            below, density = kernels.lower_tail(self.weight, means, self.sds, x)
            low, high = (x, high) if below < tail else (low, x)
            step = -np.log(below / tail) * below / density if below > 0 and density > 0 else np.nan
            if abs(step) <= 1e-8 * self.sd:  # the next would be some 1e-16
                return float(sign * (x + step))
            x = x + step if low < x + step < high else (low + high) / 2
        return float(sign * x)

    @cached_property
    def _merged(self) -> "NormalMixture":
        """A mixture of fewer components with nearly the same quantiles, or itself if there are few."""
        return self if self.weight.size < MANY else merged(self)

    def interval(self, prob: float = 0.95) -> tuple[float, float]:
        """Return the equal-tailed interval with probability prob."""
        return self.quantile((1 - prob) / 2), self.quantile((1 + prob) / 2)


def merged(mixture: NormalMixture) -> NormalMixture:
    """Return a mixture with fewer components: those with nearly the same mean and sd are one.

    Nearly the same: within a share ALIKE of the sd. Each cell becomes one normal with the weight, mean and variance of
    its components, so that mean and sd of the whole stay; probabilities change by about ALIKE^2 / 100. Returned as it
    is where that would not make it smaller.
    """
    means, sds = mixture.means, mixture.sds
    first, least = means.min(), max(sds.min(), LEAST * mixture.sd)
    rows = int(np.log(max(sds.max() / least, 1.0)) / ALIKE) + 2
    width = ALIKE * least * np.exp(ALIKE * np.arange(rows))
    cells = ((means.max() - first) / width).astype(int) + 2
    if cells.sum() > means.size:
        return mixture
    offset = np.concatenate([[0], np.cumsum(cells)])
    weight, one, two = kernels.merge(mixture.weight, means, sds, least, first, ALIKE, offset, width)
    some = weight > 0
    weight, one, two = weight[some], one[some] / weight[some], two[some] / weight[some]
    return NormalMixture(weight, first + one, np.sqrt(np.maximum(two - one**2, 0)))
