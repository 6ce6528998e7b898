"""Priors for tau, the between-study standard deviation, by name: from two surveys of reviews, and from the data.

The surveys fitted the heterogeneity of thousands of Cochrane reviews by kind of outcome and comparison:

- `turner2015`: binary outcomes, tau on the scale of the log odds ratio. log tau^2 ~ Normal(mu, sigma), so that
  tau ~ LogNormal(mu / 2, sigma / 2). Turner, Jackson, Wei, Thompson & Higgins 2015, Stat Med 34:984-998, table IV.
- `rhodes2015`: continuous outcomes, tau in standard deviations of the outcome. log tau^2 ~ location + scale t5, so
  that log tau ~ location / 2 + scale / 2 t5. Rhodes, Turner & Higgins 2015, J Clin Epidemiol 68:52-60, table 3 (all
  medical areas other than cancer and respiratory disease).

The tables are as the R packages bayesmeta and rnmamod transcribe them; they agree in every cell. Neither prior is in
GMFM points: use them for effects on the scale that they are for.

The others follow from the within-study standard errors s_i of the studies at hand (definitions in Roever 2020, J Stat
Softw 93(6)), with s0^2 the harmonic mean of the s_i^2:

- `du_mouchel`: density s0 / (s0 + tau)^2, median s0 (DuMouchel 1995).
- `uniform_shrinkage`: density 2 s0^2 tau / (s0^2 + tau^2)^2, median s0: uniform s0^2 / (s0^2 + tau^2) (Daniels 1999).
- `jeffreys`: density proportional to sqrt(sum_i (tau / (s_i^2 + tau^2))^2), improper (Bodnar, Link & Elster 2016).
- `improper_uniform`: constant density above 0, improper; needs three studies or more (Gelman 2006).
"""

import math
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import field_validator, model_validator
from pydantic_core import PydanticCustomError
from scipy import special

from gmfmsim.dist.distributions import Distribution
from gmfmsim.dist.positive import AboveZero, LogLogistic, LogNormalLaw, LogStudentTLaw
from gmfmsim.faults import choices
from gmfmsim.files.toml import key

TURNER_OUTCOMES = (
    "all-cause mortality",
    "obstetric outcomes",
    "cause-specific mortality / major morbidity event / composite (mortality or morbidity)",
    "resource use / hospital stay / process",
    "surgical / device related success / failure",
    "withdrawals / drop-outs",
    "internal / structure-related outcomes",
    "general physical health indicators",
    "adverse events",
    "infection / onset of new disease",
    "signs / symptoms reflecting continuation / end of condition",
    "pain",
    "quality of life / functioning (dichotomized)",
    "mental health indicators",
    "biological markers (dichotomized)",
    "subjective outcomes (various)",
)
TURNER_COMPARISONS = (
    "pharmacological vs. placebo / control",
    "pharmacological vs. pharmacological",
    "non-pharmacological vs. placebo / control",
    "non-pharmacological vs. pharmacological",
    "non-pharmacological vs. non-pharmacological",
)
TURNER_MU = (  # a row for each comparison
    (-3.95, -3.52, -3.71, -2.34, -2.14, -2.99, -2.71, -2.29, -1.87, -2.49, -2.06, -1.83, -2.54, -2.12, -1.77, -2.70),
    (-4.18, -3.75, -3.95, -2.58, -2.37, -3.23, -2.94, -2.53, -2.10, -2.73, -2.29, -2.06, -2.78, -2.35, -2.00, -2.93),
    (-4.17, -3.74, -3.93, -2.56, -2.36, -3.21, -2.93, -2.51, -2.10, -2.71, -2.28, -2.05, -2.77, -2.34, -1.99, -2.92),
    (-2.92, -2.49, -2.68, -1.31, -1.11, -1.96, -1.67, -1.26, -0.84, -1.46, -1.03, -0.80, -1.51, -1.09, -0.74, -1.67),
    (-3.50, -3.08, -3.27, -1.90, -1.69, -2.55, -2.26, -1.85, -1.43, -2.05, -1.61, -1.38, -2.10, -1.67, -1.33, -2.26),
)
TURNER_SIGMA = (
    (1.34, 1.74, 1.74, 1.74, 1.74, 1.74, 1.74, 1.53, 1.52, 1.52, 1.51, 1.52, 1.54, 1.53, 1.52, 1.52),
    (1.41, 1.79, 1.79, 1.79, 1.79, 1.79, 1.79, 1.58, 1.58, 1.58, 1.58, 1.58, 1.60, 1.60, 1.58, 1.58),
    (1.55, 1.91, 1.91, 1.91, 1.91, 1.91, 1.92, 1.72, 1.71, 1.71, 1.71, 1.71, 1.73, 1.72, 1.71, 1.71),
    (1.02, 1.50, 1.51, 1.50, 1.50, 1.51, 1.51, 1.25, 1.24, 1.24, 1.24, 1.25, 1.27, 1.27, 1.24, 1.25),
    (1.26, 1.68, 1.68, 1.68, 1.68, 1.68, 1.68, 1.46, 1.45, 1.45, 1.45, 1.45, 1.47, 1.47, 1.45, 1.45),
)
RHODES_OUTCOMES = (
    "obstetric outcome",
    "resource use and hospital stay / process",
    "internal and external structure-related outcome",
    "general physical health and adverse event and pain and quality of life / functioning",
    "signs / symptoms reflecting continuation / end of condition and infection / onset of new acute / chronic disease",
    "mental health outcome",
    "biological marker",
    "various subjectively measured outcomes",
)
RHODES_COMPARISONS = (
    "pharmacological vs. placebo / control",
    "pharmacological vs. pharmacological",
    "non-pharmacological (any)",
)
RHODES_LOCATION = (  # -3.85: 0.14 above the first row, as elsewhere, would be -2.85; both sources have -3.85
    (-4.13, -2.55, -2.43, -3.16, -3.00, -2.99, -3.41, -2.76),
    (-4.40, -2.83, -2.70, -3.44, -3.27, -3.27, -3.68, -3.03),
    (-3.99, -2.41, -2.29, -3.02, -2.86, -3.85, -3.27, -2.62),
)
RHODES_SCALE = (
    (2.34, 2.73, 2.50, 2.50, 2.50, 2.16, 2.83, 2.58),
    (2.31, 2.70, 2.46, 2.44, 2.47, 2.14, 2.78, 2.59),
    (2.11, 2.57, 2.32, 2.27, 2.33, 1.93, 2.66, 2.41),
)


def _table(outcomes, comparisons, locations, scales, overall) -> dict[tuple[str, str], tuple[float, float]]:
    """Return location and scale of log tau^2 by (outcome, comparison); ("any", "any") is over all of them."""
    cells = {
        (outcome, comparison): (location, scale)
        for comparison, *row in zip(comparisons, locations, scales, strict=True)
        for outcome, location, scale in zip(outcomes, *row, strict=True)
    }
    return {("any", "any"): overall} | cells


TURNER = _table(TURNER_OUTCOMES, TURNER_COMPARISONS, TURNER_MU, TURNER_SIGMA, overall=(-2.56, 1.74))
RHODES = _table(RHODES_OUTCOMES, RHODES_COMPARISONS, RHODES_LOCATION, RHODES_SCALE, overall=(-3.44, 2.59))


class Surveyed(Distribution):
    """A prior whose parameters stand in a survey's table, by `outcome` and `comparison`; "any" in both for all."""

    table: ClassVar[dict[tuple[str, str], tuple[float, float]]]
    outcome: Annotated[str, key("kind of outcome, as the survey names it", example="any")]
    comparison: Annotated[str, key("kind of comparison, as the survey names it", example="any")]

    @field_validator("outcome", "comparison")
    @classmethod
    def _is_known(cls, value: str, info) -> str:
        names = dict.fromkeys(key[info.field_name == "comparison"] for key in cls.table)
        if value not in names:
            raise PydanticCustomError("name", "{names}", {"names": choices(value, names, limit=len(names))})
        return value

    @model_validator(mode="after")
    def _is_surveyed(self) -> Self:
        if (self.outcome, self.comparison) not in self.table:
            raise PydanticCustomError("pair", 'outcome and comparison both "any", or neither')
        return self

    @property
    def location(self) -> float:
        """The median of log tau."""
        return self.table[self.outcome, self.comparison][0] / 2

    @property
    def scale(self) -> float:
        """The scale of log tau."""
        return self.table[self.outcome, self.comparison][1] / 2


class Turner2015(Surveyed, LogNormalLaw):
    """The prior of Turner et al. 2015 for tau of log odds ratios: log-normal."""

    dist: Literal["turner2015"]
    table = TURNER
    scale_of_effects = "log odds ratios"

    @property
    def median(self) -> float:
        return math.exp(self.location)

    @property
    def sigma(self) -> float:
        return self.scale

    def __str__(self):
        return f"{LogNormalLaw.__str__(self)} log odds ratio (Turner 2015: {self.outcome}; {self.comparison})"


class Rhodes2015(Surveyed, LogStudentTLaw):
    """The prior of Rhodes et al. 2015 for tau of standardised mean differences, in standard deviations: log-t5."""

    dist: Literal["rhodes2015"]
    table = RHODES
    scale_of_effects = "standard deviations of the outcome"
    df: ClassVar[float] = 5.0

    def __str__(self):
        return f"{LogStudentTLaw.__str__(self)} standard deviations (Rhodes 2015: {self.outcome}; {self.comparison})"


class OfTheErrors(AboveZero):
    """A prior that the standard errors of the studies determine: `given(se)` is the distribution itself."""

    def _why_not(self, lacks):
        return f"{self.dist} depends on the standard errors of the studies: it is known once they are given"

    def __str__(self):
        return f"{self.dist} of the standard errors"


class DuMouchel(OfTheErrors):
    """The prior of DuMouchel 1995: log-logistic with median s0 and shape 1, monotonically falling."""

    dist: Literal["du_mouchel"]
    tail = 2.0

    def given(self, se):
        return LogLogistic(dist="log_logistic", median=harmonic_se(se), shape=1)


class UniformShrinkage(OfTheErrors):
    """The prior that makes the shrinkage s0^2 / (s0^2 + tau^2) uniform: log-logistic, median s0 and shape 2."""

    dist: Literal["uniform_shrinkage"]
    tail = 3.0

    def given(self, se):
        return LogLogistic(dist="log_logistic", median=harmonic_se(se), shape=2)


class Improper(AboveZero):
    """A density above 0 that has no finite integral, known up to a constant. It has no quantiles and no draws."""

    proper = False

    def ppf(self, p):
        raise TypeError(f"{self.dist} is improper: it has no quantiles")

    def node(self, name, dims=None, transform=None):
        raise TypeError(f"{self.dist} is improper: only the exact engine can use it")

    def __str__(self):
        return f"{self.dist}, improper"


class Jeffreys(Improper):
    """Jeffreys' prior for tau with mu known, which is also the reference prior (Bodnar, Link & Elster 2016)."""

    dist: Literal["jeffreys"]
    _why_not = OfTheErrors._why_not

    def given(self, se):
        return JeffreysGiven(dist=self.dist, se=tuple(_checked(se).tolist()))


class JeffreysGiven(Jeffreys):
    """Jeffreys' prior for tau given the standard errors se (K,)."""

    se: tuple[float, ...]
    tail = 1.0

    def _log_density(self, x):
        log_tau, log_se = np.log(x)[..., None], np.log(self.se)
        terms = log_tau - np.logaddexp(2 * log_se, 2 * log_tau)
        return special.logsumexp(2 * terms, axis=-1) / 2


class ImproperUniform(Improper):
    """The constant density above 0."""

    dist: Literal["improper_uniform"]
    tail = 0.0

    def _log_density(self, x):
        return 0 * x


def harmonic_se(se: ArrayLike) -> float:
    """Return s0, with s0^2 = K / sum_i 1 / se_i^2 the harmonic mean of the squared standard errors se (K,).

    Raises ValueError unless there is at least one, all finite and above 0.
    """
    return float(np.mean(_checked(se) ** -2.0) ** -0.5)


def _checked(se: ArrayLike) -> np.ndarray:
    """Return standard errors as an array (K,)."""
    array = np.asarray(se, float)
    if array.ndim != 1 or not array.size or not (np.isfinite(array) & (array > 0)).all():
        raise ValueError(f"se is {se!r}, allowed are one or more finite numbers above 0")
    return array
