"""Mixtures of normal distributions: what a linear quantity is once the non-linear parameters are integrated."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special

from gmfmsim.compute.algebra import dot
from gmfmsim.compute.arguments import valid
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

    def given(self, estimate: float, se: float) -> "NormalMixture":
        """Return the posterior after an estimate ~ Normal(value, se^2): each component moves and is weighed anew.

        weight_m is multiplied by Normal(estimate; mean_m, sd_m^2 + se^2), and component m becomes normal with precision
        1 / sd_m^2 + 1 / se^2. Raises ValueError for an estimate that is no number, or an se not above 0.
        """
        valid("estimate", np.array(estimate))
        valid("se", np.array(se), above=0)
        whole = self.sds**2 + se**2
        with np.errstate(divide="ignore"):
            log = np.log(self.weight) - np.log(whole) / 2 - (estimate - self.means) ** 2 / (2 * whole)
        weight = np.exp(log - log.max())
        means = (estimate * self.sds**2 + self.means * se**2) / whole
        return NormalMixture(weight / weight.sum(), means, self.sds * se / np.sqrt(whole))

    def beside(self, share: float, mean: float, sd: float) -> "NormalMixture":
        """Return the mixture with one more component, Normal(mean, sd^2), that has this share of the whole."""
        parts = (self.weight * (1 - share), [share]), (self.means, [mean]), (self.sds, [sd])
        return NormalMixture(*(np.concatenate(part) for part in parts))

    def plus(self, sd: float) -> "NormalMixture":
        """Return the distribution of the value with an independent normal error of this SD."""
        return NormalMixture(self.weight, self.means, np.hypot(self.sds, sd))

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
    with np.errstate(divide="ignore"):
        number = np.floor(np.log(sds) / np.log(OF_ONE_CLASS))
    spread = sds > 0
    first = number[spread].min(initial=0.0)
    of_class = np.where(spread, number - first, -1.0).astype(int)
    base = OF_ONE_CLASS ** (first + np.arange(of_class.max() + 1))
    narrow, step = base * math.sqrt(0.5), base / 2
    low, high, size = _extents(means, sds, of_class, narrow)
    low = np.floor(low / step)
    points = np.where(size > 0, np.ceil(high / step) - low + 1, 0.0)
    points[points >= size] = 0
    begin = np.concatenate([[0], np.cumsum(points)]).astype(int)
    found = _shared_out(weight, means, sds, of_class, narrow, step, low * step, begin)
    grids = [h * (a + np.arange(n)) for h, a, n in zip(step, low, np.diff(begin), strict=True)]
    at, alone = np.concatenate([np.zeros(0), *grids]), of_class < 0
    alone[~alone] = points[of_class[~alone]] == 0
    weight = np.concatenate([weight[alone], found])
    means, sds = np.concatenate([means[alone], at]), np.concatenate([sds[alone], np.repeat(narrow, np.diff(begin))])
    kept = weight > LEAST_WEIGHT
    return NormalMixture(weight[kept] / weight[kept].sum(), means[kept], sds[kept])


@compiled
def _extents(means, sds, of_class, narrow):
    """Return by class where its grid begins and ends, and how many components it has; of_class below 0: of none."""
    low, high = np.full(narrow.size, np.inf), np.full(narrow.size, -np.inf)
    size = np.zeros(narrow.size)
    for i in range(means.size):
        c = of_class[i]
        if c >= 0:
            reach = REACH * math.sqrt(sds[i] * sds[i] - narrow[c] * narrow[c])
            low[c], high[c] = min(low[c], means[i] - reach), max(high[c], means[i] + reach)
            size[c] += 1
    return low, high, size


@compiled
def _shared_out(weight, means, sds, of_class, narrow, step, first, begin):
    """Return sum of weight x step x density of Normal(mean, sd^2 - narrow^2) at the points of the grids of all classes.

    The grid of class c begins at first[c]; its points are begin[c]:begin[c + 1], none where components stay alone.
    """
    out = np.zeros(begin[-1])
    for i in range(weight.size):
        c = of_class[i]
        if c < 0 or begin[c + 1] == begin[c]:
            continue
        rest = math.sqrt(sds[i] * sds[i] - narrow[c] * narrow[c])
        from_first = (means[i] - first[c]) / step[c]
        reach = REACH * rest / step[c]
        start = max(int(math.ceil(from_first - reach)), 0)
        end = min(int(math.floor(from_first + reach)), begin[c + 1] - begin[c] - 1)
        width = step[c] / rest
        z = (start - from_first) * width
        value = weight[i] * width / math.sqrt(2 * math.pi) * math.exp(-z * z / 2)
        ratio, fall = math.exp(-width * (z + width / 2)), math.exp(-width * width)
        for k in range(begin[c] + start, begin[c] + end + 1):  # from point to point by ratios, without exponentials
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
