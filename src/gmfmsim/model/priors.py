"""Named distributions of the model and experiment files: one class a distribution."""

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from scipy import special

from gmfmsim.spec import Spec

Positive = Annotated[float, Field(gt=0)]


class Distribution(Spec):
    """A named distribution. `ppf(p)` is its quantile function; `node(name)` puts it into the open PyMC model."""

    dist: str

    def ppf(self, p: np.ndarray) -> np.ndarray:
        """Return the quantiles at probabilities p (same shape)."""
        raise TypeError(f"{type(self).__name__} has no quantile function")

    @property
    def positive(self) -> bool:
        """Whether all of the mass lies above 0."""
        return bool(self.ppf(np.array(0.0)) >= 0)


class Normal(Distribution):
    """Normal(mean, sd)."""

    dist: Literal["normal"]
    mean: float
    sd: Positive

    def ppf(self, p):
        return self.mean + self.sd * special.ndtri(p)

    def node(self, name):
        import pymc as pm

        return pm.Normal(name, self.mean, self.sd)

    def __str__(self):
        return f"Normal({self.mean:g}, {self.sd:g})"


class HalfNormal(Distribution):
    """HalfNormal(sd): the absolute value of Normal(0, sd)."""

    dist: Literal["half_normal"]
    sd: Positive

    def ppf(self, p):
        return self.sd * special.ndtri((1 + np.asarray(p)) / 2)

    def node(self, name):
        import pymc as pm

        return pm.HalfNormal(name, self.sd)

    def __str__(self):
        return f"HalfNormal({self.sd:g})"


class HalfCauchy(Distribution):
    """HalfCauchy(scale): the absolute value of a Cauchy (Gelman 2006)."""

    dist: Literal["half_cauchy"]
    scale: Positive

    def ppf(self, p):
        return self.scale * np.tan(np.pi / 2 * np.asarray(p))

    def node(self, name):
        import pymc as pm

        return pm.HalfCauchy(name, self.scale)

    def __str__(self):
        return f"HalfCauchy({self.scale:g})"


class LogNormal(Distribution):
    """LogNormal(log median, sigma): sigma is the standard deviation of the logarithm."""

    dist: Literal["lognormal"]
    median: Positive
    sigma: Positive

    def ppf(self, p):
        return self.median * np.exp(self.sigma * special.ndtri(p))

    def node(self, name):
        import pymc as pm

        return pm.LogNormal(name, math.log(self.median), self.sigma)

    def __str__(self):
        return f"LogNormal(log {self.median:g}, {self.sigma:g})"


class TruncatedNormal(Distribution):
    """Normal(mean, sd) restricted to (lower, upper)."""

    dist: Literal["truncated_normal"]
    mean: float
    sd: Positive
    lower: float
    upper: float

    @model_validator(mode="after")
    def _holds_mass(self):
        low, high = self._tails()
        if not high - low > 1e-6:
            raise PydanticCustomError("bounds", "lower below upper, with some of the mass between them")
        return self

    def _tails(self) -> tuple[float, float]:
        """Return the probability below lower and below upper before truncation."""
        low, high = (float(special.ndtr((x - self.mean) / self.sd)) for x in (self.lower, self.upper))
        return low, high

    @property
    def positive(self):
        return self.lower >= 0

    def ppf(self, p):
        low, high = self._tails()
        return self.mean + self.sd * special.ndtri(low + np.asarray(p) * (high - low))

    def node(self, name):
        import pymc as pm

        return pm.TruncatedNormal(name, self.mean, self.sd, lower=self.lower, upper=self.upper)

    def __str__(self):
        return f"Normal({self.mean:g}, {self.sd:g}) in ({self.lower:g}, {self.upper:g})"


class Fixed(Distribution):
    """One value, known without error. For nuisance parameters of a trial, not for model parameters."""

    dist: Literal["fixed"]
    value: float

    def ppf(self, p):
        return np.full(np.shape(p), float(self.value))

    def __str__(self):
        return f"{self.value:g}, fixed"


class Reason(Spec):
    """Why a prior is what it is, and in what unit."""

    unit: str = Field(min_length=1)
    reason: str = Field(min_length=1)


class NormalPrior(Normal, Reason):
    """A Normal prior with unit and reason."""


class HalfNormalPrior(HalfNormal, Reason):
    """A HalfNormal prior with unit and reason."""


class HalfCauchyPrior(HalfCauchy, Reason):
    """A HalfCauchy prior with unit and reason."""


class LogNormalPrior(LogNormal, Reason):
    """A LogNormal prior with unit and reason."""


class TruncatedNormalPrior(TruncatedNormal, Reason):
    """A truncated Normal prior with unit and reason."""


Prior = Annotated[
    NormalPrior | HalfNormalPrior | HalfCauchyPrior | LogNormalPrior | TruncatedNormalPrior,
    Field(discriminator="dist"),
]
