"""The ratio r of GMFM-66 to GMFM-88 changes in a further trial, from all samples of children measured on both scales.

With changes x66, x88 of a sample of n children, r_i the ratio of their means, and q_i that of the scales' SDs at
baseline where changes are in these SDs (else 1), b = r_i / q_i:

    (x66 - b x88) / se(b) ~ Student-t(n - 1),  se(b)^2 = (sd66^2 + b^2 sd88^2 - 2 rho b sd66 sd88) / n
    log r_i ~ Normal(log_r, omega^2),  and so is log r of a further trial

The mean change itself leaves the likelihood (Fieller 1954). The correlation rho of the two changes is printed nowhere:
rho ~ Uniform(0, 1). Where a range of x is printed, x is anywhere in it; q_i is lognormal.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import special

from gmfmsim.compute.algebra import dot, gauss_hermite, gauss_legendre, product
from gmfmsim.evidence.schema import Row

STEP = 0.01
LOG_R = np.arange(np.log(0.02), np.log(8), STEP)
"""The log ratios that are integrated over, in steps that are a tenth of the narrowest likelihood."""

LOG_R_PRIOR = float(np.log(0.7)), 0.5
"""Mean and SD of log_r: the limits of growth by level span 65 points of the GMFM-66 and 84 of the GMFM-88, a ratio of
0.78, and 0.5 between the middle levels; 95 % between 0.26 and 1.9."""

OMEGA_PRIOR = 0.3
"""Scale of omega, half-normal: trials of other children and months differ by a factor of up to 1.8 at omega 0.3."""


@dataclass(frozen=True)
class ScaleRatio:
    """A distribution of r: density (L,) of log r at LOG_R, which sums to 1 / STEP."""

    density: np.ndarray

    def quantile(self, p: float) -> float:
        """Return the r with probability p below it."""
        return float(np.exp(np.interp(p, np.cumsum(self.density) * STEP, LOG_R + STEP / 2)))

    def below(self, r: float) -> float:
        """Return P(value < r)."""
        return float(np.interp(np.log(r), LOG_R + STEP / 2, np.cumsum(self.density) * STEP))

    @property
    def log_moments(self) -> tuple[float, float]:
        """Mean and SD of log r."""
        mean = float(dot(self.density, LOG_R)) * STEP
        return mean, float(np.sqrt(dot(self.density, (LOG_R - mean) ** 2) * STEP))


def of_sample(sample: Row) -> ScaleRatio:
    """Return what one sample says of its own ratio: its likelihood, with log r uniform over LOG_R."""
    return ScaleRatio(_normed(_likelihood(sample)))


def scale_ratio(samples: Iterable[Row]) -> ScaleRatio:
    """Return the posterior predictive distribution of r in a further trial; of no samples, what the priors say.

    Samples without changes count nothing. Exact but for the grid: for every omega (Gauss and Legendre's rule over its
    quantiles) the normal law of log r_i around log_r is taken in cells of LOG_R, so that omega may be 0.
    """
    likelihoods = [found / found.max() for found in (_likelihood(s) for s in samples if informative(s))]
    mean, sd = LOG_R_PRIOR
    prior = np.exp(-(((LOG_R - mean) / sd) ** 2) / 2)
    far = STEP * np.arange(1 - LOG_R.size, LOG_R.size)
    pair = np.subtract.outer(np.arange(LOG_R.size), np.arange(LOG_R.size)) + LOG_R.size - 1
    predictive = np.zeros(LOG_R.size)
    x, w = gauss_legendre(40)
    for omega, weight in zip(OMEGA_PRIOR * special.ndtri(0.75 + x / 4), w / 2, strict=True):
        kernel = (special.ndtr((far + STEP / 2) / omega) - special.ndtr((far - STEP / 2) / omega))[pair]
        given = prior.copy()
        for likelihood in likelihoods:
            given *= product(kernel, likelihood[:, None])[:, 0]
        predictive += weight * product(kernel, given[:, None])[:, 0]
    return ScaleRatio(_normed(predictive))


def informative(sample: Row) -> bool:
    """Return whether a sample prints what its likelihood takes."""
    needed = ["change66", "sd66", "change88", "sd88"]
    if sample["unit"] == "baseline_sd":
        needed += ["baseline_ratio", "baseline_ratio_log_sd"]
    return all(sample[name] is not None for name in needed)


def _likelihood(sample: Row) -> np.ndarray:
    """Return the likelihood of log r_i at LOG_R, (L,), over correlations, printed ranges and q."""
    x, w = gauss_legendre(12)
    rho, share = (1 + x) / 2, w / 2
    z, weight = gauss_hermite(15) if sample["unit"] == "baseline_sd" else (np.zeros(1), np.ones(1))
    q = (sample["baseline_ratio"] or 1.0) * np.exp((sample["baseline_ratio_log_sd"] or 0.0) * z)
    b = (np.exp(LOG_R)[:, None] / q)[..., None]
    sd66, sd88, n = sample["sd66"], sample["sd88"], sample["n"]
    se = np.sqrt((sd66**2 + (b * sd88) ** 2 - 2 * rho * b * sd66 * sd88) / n)
    found = np.zeros(se.shape)
    for x66, of_66 in _printed(sample, "change66"):
        for x88, of_88 in _printed(sample, "change88"):
            t = (x66 - b * x88) / se
            found += of_66 * of_88 * (1 + t**2 / (n - 1)) ** (-n / 2) / se
    return dot(dot(found, share), weight / weight.sum())


def _printed(sample: Row, name: str) -> list[tuple[float, float]]:
    """Return nodes and weights of a figure: itself, or anywhere in the range that is printed."""
    low, high = sample[f"{name}_low"], sample[f"{name}_high"]
    if low is None or high is None:
        return [(sample[name], 1.0)]
    x, w = gauss_legendre(4)
    return list(zip((low + high) / 2 + (high - low) / 2 * x, w / 2, strict=True))


def _normed(density: np.ndarray) -> np.ndarray:
    return density / (density.sum() * STEP)
