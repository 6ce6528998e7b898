"""Mixtures of normal distributions: what a linear quantity is once the non-linear parameters are integrated."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special

from gmfmsim.compute.algebra import dot
from gmfmsim.compute.compiled import compiled

OF_ONE_CLASS = 1.5
"""Components whose sd differ by less than this factor share a grid."""
REACH = 7.3
"""How far a normal density is followed, in its sd: beyond lie 3e-13 of it."""
LEAST_WEIGHT = 1e-13
"""A point of a grid that holds less is left out."""
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
        of very many components it starts from where the same distribution has it on grids.
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
            below, density = _lower_tail(self.weight, means, self.sds, x)
            low, high = (x, high) if below < tail else (low, x)
            step = -np.log(below / tail) * below / density if below > 0 and density > 0 else np.nan
            if abs(step) <= 1e-8 * self.sd:  # the next would be some 1e-16
                return float(sign * (x + step))
            x = x + step if low < x + step < high else (low + high) / 2
        return float(sign * x)

    @cached_property
    def _merged(self) -> "NormalMixture":
        """A mixture of fewer components with nearly the same quantiles, or itself where there are few, or no fewer."""
        if self.weight.size < MANY:
            return self
        fewer = on_grids(self)
        return fewer if fewer.weight.size < self.weight.size else self  # far apart and narrow they stay as they are

    def interval(self, prob: float = 0.95) -> tuple[float, float]:
        """Return the equal-tailed interval with probability prob."""
        return self.quantile((1 - prob) / 2), self.quantile((1 + prob) / 2)


def on_grids(mixture: NormalMixture) -> NormalMixture:
    """Return nearly the same distribution as fewer, narrower normals, which stand on grids.

    Normal(m, s^2) is Normal(m, s^2 - d^2) smeared by Normal(0, d^2), and the former, on a grid of step h, is
    sum_k h density(k h) at k h: with d^2 = s^2 / 2 and h = s / 2 to exp(-pi^2 s^2 / (2 h^2)) = 3e-9, since normal
    densities have hardly any waves shorter than h (Poisson's summation). Components whose sd lie within a factor
    OF_ONE_CLASS share their grid; those of a class that has fewer components than points stay as they are, and so do
    those without spread. Probabilities change by less than 1e-8, whatever the number of components.
    """
    weight, means, sds = mixture.weight, mixture.means, mixture.sds
    spread = sds > 0
    classes = np.full(sds.size, -(10**6))
    classes[spread] = np.floor(np.log(sds[spread]) / np.log(OF_ONE_CLASS)).astype(int)
    parts = []
    for number in np.unique(classes):
        mine = classes == number
        own = weight[mine], means[mine], sds[mine]
        if number == -(10**6):
            parts.append(own)
            continue
        base = OF_ONE_CLASS ** float(number)
        narrow, step = base * math.sqrt(0.5), base / 2
        rest = np.sqrt(own[2] ** 2 - narrow**2)
        low = math.floor(float((own[1] - REACH * rest).min()) / step)
        points = math.ceil(float((own[1] + REACH * rest).max()) / step) - low + 1
        if points >= own[0].size:
            parts.append(own)
            continue
        at = step * (low + np.arange(points))
        found = _shared_out(own[0], own[1], rest, at[0], step, points)
        parts.append((found, at, np.full(points, narrow)))
    weight, means, sds = (np.concatenate(part) for part in zip(*parts, strict=True))
    kept = weight > LEAST_WEIGHT
    return NormalMixture(weight[kept] / weight[kept].sum(), means[kept], sds[kept])


@compiled
def _shared_out(weight, means, rest, first, step, points):
    """Return sum of weight x step x density of Normal(mean, rest^2) at the points of a grid from `first` on."""
    out = np.zeros(points)
    for i in range(weight.size):
        start = max(int(math.ceil((means[i] - REACH * rest[i] - first) / step)), 0)
        end = min(int(math.floor((means[i] + REACH * rest[i] - first) / step)), points - 1)
        z, width = (first + start * step - means[i]) / rest[i], step / rest[i]
        value = weight[i] * width / math.sqrt(2 * math.pi) * math.exp(-z * z / 2)
        ratio, fall = math.exp(-width * (z + width / 2)), math.exp(-width * width)
        for k in range(start, end + 1):  # from point to point by ratios, which saves the exponentials
            out[k] += value
            value *= ratio
            ratio *= fall
    return out


@compiled
def _lower_tail(weight, means, sds, x):
    """Return P(value <= x) and the density at x of a mixture of normals, (C,) each."""
    below, density = 0.0, 0.0
    for i in range(weight.size):
        z = (x - means[i]) / sds[i]
        if z < -39.0:  # below the least number above 0
            continue
        if z > 9.0:  # 1 to the last bit
            below += 2 * weight[i]
            continue
        below += weight[i] * math.erfc(-z * math.sqrt(0.5))
        density += weight[i] / sds[i] * math.exp(-0.5 * z * z)
    return below / 2, density / math.sqrt(2 * math.pi)
