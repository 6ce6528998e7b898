"""Named distributions of positive numbers, for standard deviations and other scales."""

import math
from typing import Annotated, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from gmfmsim.dist.distributions import Df, Distribution, Median, Scale, Sd, Shape, log_normal_density
from gmfmsim.files.toml import key

LOG_2 = math.log(2)


class AboveZero(Distribution):
    """A distribution of the positive numbers."""

    support = 0.0, math.inf


class HalfNormal(AboveZero):
    """HalfNormal(sd): the absolute value of Normal(0, sd)."""

    dist: Literal["half_normal"]
    sd: Sd
    pymc = "HalfNormal", lambda d: {"sigma": d.sd}

    def _log_density(self, x):
        return LOG_2 + log_normal_density(x / self.sd) - math.log(self.sd)

    def ppf(self, p):
        return self.sd * math.sqrt(2) * special.erfinv(p)


class HalfCauchy(AboveZero):
    """HalfCauchy(scale): the absolute value of a Cauchy (Gelman 2006)."""

    dist: Literal["half_cauchy"]
    scale: Scale
    tail = 2.0
    pymc = "HalfCauchy", lambda d: {"beta": d.scale}

    def _log_density(self, x):
        return LOG_2 + _log_t_density(x / self.scale, 1) - math.log(self.scale)

    def ppf(self, p):
        p = np.asarray(p, float)
        with np.errstate(divide="ignore"):  # near 1 the tangent loses the digits that 1 - p still has
            return self.scale * np.where(p < 0.5, np.tan(np.pi / 2 * p), 1 / np.tan(np.pi / 2 * (1 - p)))


class HalfStudentT(AboveZero):
    """HalfStudentT(df, scale): the absolute value of scale times a Student t (Gelman 2006)."""

    dist: Literal["half_student_t"]
    df: Df
    scale: Scale
    pymc = "HalfStudentT", lambda d: {"nu": d.df, "sigma": d.scale}

    @property
    def tail(self):
        return self.df + 1

    def _log_density(self, x):
        return LOG_2 + _log_t_density(x / self.scale, self.df) - math.log(self.scale)

    def ppf(self, p):
        p = np.asarray(p, float)
        share = special.betaincinv(0.5, self.df / 2, np.minimum(p, 0.5))  # t^2 / (df + t^2) is beta
        near = np.sqrt(self.df * share / (1 - share))
        return self.scale * np.where(p < 0.5, near, -_t_quantile(self.df, (1 - p) / 2))


class Exponential(AboveZero):
    """Exponential(mean)."""

    dist: Literal["exponential"]
    mean: Annotated[float, key("mean", example=2, gt=0)]
    pymc = "Exponential", lambda d: {"scale": d.mean}

    def _log_density(self, x):
        return -x / self.mean - math.log(self.mean)

    def ppf(self, p):
        return -self.mean * special.log1p(-np.asarray(p, float))


class Gamma(AboveZero):
    """Gamma(shape, rate): mean shape / rate."""

    dist: Literal["gamma"]
    shape: Shape
    rate: Annotated[float, key("rate", example=1, gt=0)]
    pymc = "Gamma", lambda d: {"alpha": d.shape, "beta": d.rate}

    def _log_density(self, x):
        x = self.rate * x
        return math.log(self.rate) + special.xlogy(self.shape - 1, x) - x - special.gammaln(self.shape)

    def ppf(self, p):
        return special.gammaincinv(self.shape, p) / self.rate


class LogNormalLaw(AboveZero):
    """The mathematics of LogNormal, for classes that have its `median` and `sigma` from elsewhere."""

    pymc = "LogNormal", lambda d: {"mu": math.log(d.median), "sigma": d.sigma}

    def _log_density(self, x):
        log_x = np.log(x)
        density = log_normal_density((log_x - math.log(self.median)) / self.sigma) - math.log(self.sigma) - log_x
        return np.where(x == 0, -np.inf, density)

    def ppf(self, p):
        return self.median * np.exp(self.sigma * special.ndtri(p))

    def __str__(self):
        return f"LogNormal(log {self.median:g}, {self.sigma:g})"


class LogNormal(LogNormalLaw):
    """LogNormal(log median, sigma): sigma is the standard deviation of the logarithm."""

    dist: Literal["lognormal"]
    median: Median
    sigma: Annotated[float, key("SD of the logarithm", example=0.12, gt=0)]


class LogStudentTLaw(AboveZero):
    """The mathematics of LogStudentT, for classes that have its `df`, `location` and `scale` from elsewhere.

    No moment exists, and the density rises without bound towards 0; at 0 itself, which has no logarithm, it counts
    as 0.
    """

    tail = 1.0  # with a power of the logarithm that makes it proper
    pymc = "exp StudentT", lambda d: {"nu": d.df, "mu": d.location, "sigma": d.scale}

    def _log_density(self, x):
        log_x = np.log(x)
        density = _log_t_density((log_x - self.location) / self.scale, self.df) - math.log(self.scale) - log_x
        return np.where(x == 0, -np.inf, density)

    def ppf(self, p):
        with np.errstate(over="ignore"):  # tails so heavy that the logarithm can exceed that of any double
            return np.exp(self.location + self.scale * _t_quantile(self.df, p))

    def __str__(self):
        return f"LogStudentT({self.df:g}, {self.location:g}, {self.scale:g})"


class LogStudentT(LogStudentTLaw):
    """LogStudentT(df, location, scale): log x is location + scale times a Student t with df degrees of freedom."""

    dist: Literal["log_student_t"]
    df: Df
    location: Annotated[float, key("median of the logarithm", example=1.7)]
    scale: Annotated[float, key("scale of the logarithm", example=0.5, gt=0)]


class LogLogistic(AboveZero):
    """LogLogistic(median, shape): P(X < x) = 1 / (1 + (x / median)^-shape)."""

    dist: Literal["log_logistic"]
    median: Median
    shape: Shape
    pymc = "exp Logistic", lambda d: {"mu": math.log(d.median), "s": 1 / d.shape}

    @property
    def tail(self):
        return self.shape + 1

    def _log_density(self, x):
        ratio = x / self.median
        power = special.xlogy(self.shape - 1, ratio) - 2 * np.logaddexp(0, self.shape * np.log(ratio))
        return math.log(self.shape / self.median) + power

    def ppf(self, p):
        with np.errstate(over="ignore"):
            return self.median * np.exp(special.logit(np.asarray(p, float)) / self.shape)


def _log_t_density(z: np.ndarray, df: float) -> np.ndarray:
    """Return the log density of Student's t at z; the logarithm of 1 + z^2 / df is taken without the square."""
    log_kernel = np.logaddexp(0, 2 * np.log(np.abs(z)) - math.log(df))
    return -(df + 1) / 2 * log_kernel - math.log(df) / 2 - special.betaln(df / 2, 0.5)


def _t_quantile(df: float, p: ArrayLike) -> np.ndarray:
    """Return the quantile of Student's t at p, by symmetry from the lower tail (SciPy gives inf at 0)."""
    p = np.asarray(p, float)
    return np.copysign(special.stdtrit(df, np.minimum(p, 1 - p)), p - 0.5)
