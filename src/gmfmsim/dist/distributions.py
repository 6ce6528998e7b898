"""Named distributions of the model and experiment files: one class a distribution."""

import math
from collections.abc import Callable
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from scipy import special

from gmfmsim.files.toml import Spec, key

Mean = Annotated[float, key("mean, before any bounds", example=0)]
Sd = Annotated[float, key("standard deviation, before any bounds", example=4, gt=0)]
Df = Annotated[float, key("degrees of freedom", example=4, gt=0)]
Scale = Annotated[float, key("scale", example=1, gt=0)]
Median = Annotated[float, key("median", example=5.5, gt=0)]
Shape = Annotated[float, key("shape", example=2, gt=0)]
LOG_ROOT_2PI = math.log(2 * math.pi) / 2


class Distribution(Spec):
    """A named distribution: density, quantiles, and a node of the open PyMC model.

    support: the interval that holds all of the mass; proper: whether the density integrates to 1; scale_of_effects: of
    the effects that it was made for, where that is not the points of the evidence; tail: the exponent a of the density
    far out, x^-a, inf where it falls faster than any power; pymc: its name in PyMC and its arguments there; "exp "
    before the name says that log x has it.
    """

    dist: Annotated[str, key("which distribution")]
    support: ClassVar[tuple[float, float]] = -math.inf, math.inf
    proper: ClassVar[bool] = True
    scale_of_effects: ClassVar[str | None] = None
    tail: ClassVar[float] = math.inf
    pymc: ClassVar[tuple[str, Callable[..., dict[str, float]]] | None] = None

    @property
    def positive(self) -> bool:
        """Whether all of the mass lies above 0."""
        return self.support[0] >= 0

    def given(self, se: ArrayLike) -> "Distribution":
        """Return the distribution for studies with standard errors se (K,); itself unless it depends on them."""
        return self

    def logpdf(self, x: ArrayLike) -> np.ndarray:
        """Return the log density at x (same shape): -inf outside the support, NaN at NaN."""
        x = np.asarray(x, float)
        low, high = self.support
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return np.where((x < low) | (x > high) | np.isinf(x), -np.inf, self._log_density(x))

    def _log_density(self, x: np.ndarray) -> np.ndarray:
        """Return the log density at x, wherever x is within the support."""
        raise TypeError(self._why_not("has no density"))

    def ppf(self, p: ArrayLike) -> np.ndarray:
        """Return the quantiles at probabilities p (same shape)."""
        raise TypeError(self._why_not("has no quantile function"))

    def node(self, name: str, dims: str | None = None, transform=None):
        """Return the variable `name` of the open PyMC model, one for each coordinate of `dims`.

        transform: what PyMC samples it on, instead of the usual for its kind.
        """
        import pymc as pm

        if self.pymc is None:
            raise TypeError(self._why_not("cannot be sampled"))
        kind, arguments = self.pymc
        # of plain 2.5 it makes a float32
        parameters = {key: np.float64(value) for key, value in arguments(self).items()}
        if not kind.startswith("exp "):
            own = {} if transform is None else {"default_transform": transform}
            return getattr(pm, kind)(name, **parameters, dims=dims, **own)
        log = getattr(pm, kind.removeprefix("exp "))

        def exp_of(*values_and_size):
            *values, size = values_and_size
            return pm.math.exp(log.dist(**dict(zip(parameters, values, strict=True)), size=size))

        on_log = pm.distributions.transforms.log
        return pm.CustomDist(name, *parameters.values(), dist=exp_of, transform=on_log, dims=dims)

    def _why_not(self, lacks: str) -> str:
        return f"{self.dist} {lacks}"

    def __str__(self):
        parameters = [getattr(self, name) for name in type(self).model_fields]
        listed = ", ".join(f"{value:g}" for value in parameters if isinstance(value, float))
        return f"{self.dist.title().replace('_', '')}({listed})"


class Normal(Distribution):
    """Normal(mean, sd)."""

    dist: Literal["normal"]
    mean: Mean
    sd: Sd
    pymc = "Normal", lambda d: {"mu": d.mean, "sigma": d.sd}

    def _log_density(self, x):
        return log_normal_density((x - self.mean) / self.sd) - math.log(self.sd)

    def ppf(self, p):
        return self.mean + self.sd * special.ndtri(p)


class _Bounded(Distribution):
    """A distribution between two given bounds."""

    lower: Annotated[float, key("lower end", example=0)]
    upper: Annotated[float, key("upper end", example=10)]

    @property
    def support(self):
        return self.lower, self.upper


class TruncatedNormal(_Bounded):
    """Normal(mean, sd) restricted to (lower, upper)."""

    dist: Literal["truncated_normal"]
    mean: Mean
    sd: Sd
    pymc = "TruncatedNormal", lambda d: {"mu": d.mean, "sigma": d.sd, "lower": d.lower, "upper": d.upper}

    @model_validator(mode="after")
    def _holds_mass(self) -> Self:
        sign, low, high = self._tails()
        if not sign * (high - low) > 1e-6:
            raise PydanticCustomError("bounds", "lower below upper, with some of the mass between them")
        return self

    def _tails(self) -> tuple[int, float, float]:
        """Return a sign and the tail probabilities at lower and upper before truncation, in the tail of that sign.

        1: the probabilities below; -1, if both bounds lie above the mean: those above, which then keep more digits.
        """
        sign = -1 if self.lower > self.mean else 1
        low, high = (float(special.ndtr(sign * (x - self.mean) / self.sd)) for x in (self.lower, self.upper))
        return sign, low, high

    def _log_density(self, x):
        sign, low, high = self._tails()
        return log_normal_density((x - self.mean) / self.sd) - math.log(self.sd * sign * (high - low))

    def ppf(self, p):
        sign, low, high = self._tails()
        x = self.mean + sign * self.sd * special.ndtri(low + np.asarray(p) * (high - low))
        return np.clip(x, self.lower, self.upper)  # rounding may step over a bound

    def __str__(self):
        return f"Normal({self.mean:g}, {self.sd:g}) from {self.lower:g} to {self.upper:g}"


class Uniform(_Bounded):
    """Uniform(lower, upper)."""

    dist: Literal["uniform"]
    pymc = "Uniform", lambda d: {"lower": d.lower, "upper": d.upper}

    @model_validator(mode="after")
    def _holds_mass(self) -> Self:
        if not self.lower < self.upper or math.isinf(self.upper - self.lower):
            raise PydanticCustomError("bounds", "lower below upper")
        return self

    def _log_density(self, x):
        return 0 * x - math.log(self.upper - self.lower)

    def ppf(self, p):
        return self.lower + np.asarray(p) * (self.upper - self.lower)


class Beta(Distribution):
    """Beta(a, b), between 0 and 1: mean a / (a + b)."""

    dist: Literal["beta"]
    a: Annotated[float, key("weight of 1", example=2, gt=0)]
    b: Annotated[float, key("weight of 0", example=2, gt=0)]
    support = 0.0, 1.0
    pymc = "Beta", lambda d: {"alpha": d.a, "beta": d.b}

    def _log_density(self, x):
        return special.xlogy(self.a - 1, x) + special.xlog1py(self.b - 1, -x) - special.betaln(self.a, self.b)

    def ppf(self, p):
        return special.betaincinv(self.a, self.b, p)

    @property
    def moments(self) -> tuple[float, float]:
        """Mean and SD."""
        mean = self.a / (self.a + self.b)
        return mean, math.sqrt(mean * (1 - mean) / (self.a + self.b + 1))


class Fixed(Distribution):
    """One value, known without error: a nuisance parameter of a trial, or tau where n is asked for at a given tau.

    Its log density is 0 at the value, with regard to a unit mass there. To PyMC it is a constant.
    """

    dist: Literal["fixed"]
    value: Annotated[float, key("the value", example=5.5)]

    @property
    def support(self):
        return self.value, self.value

    def _log_density(self, x):
        return 0.0 * x

    def ppf(self, p):
        return np.full(np.shape(p), float(self.value))

    def node(self, name, dims=None, transform=None):
        import pymc as pm
        import pytensor.tensor as pt

        return pm.Deterministic(name, pt.constant(np.float64(self.value)), dims=dims)

    def __str__(self):
        return f"{self.value:g}, fixed"


def log_normal_density(z: np.ndarray) -> np.ndarray:
    """Return the log density of the standard normal at z."""
    return -(z**2) / 2 - LOG_ROOT_2PI
