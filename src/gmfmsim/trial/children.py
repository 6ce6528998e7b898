"""The children of a simulated trial: who they are, how they grow, how they are measured, who is lost."""

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from gmfmsim.compute.algebra import dot
from gmfmsim.dist.distributions import Beta, Fixed
from gmfmsim.dist.positive import LogNormal, LogStudentT
from gmfmsim.files.toml import Spec, key
from gmfmsim.trial.sourced import ByLevel, Figure, Source, share_law

Told = Field(default=None, exclude_if=lambda value: value is None)
"""A figure that most children do without."""

HALF_RANGE_IN_SDS = 2 * 0.6744897501960817
"""Width, in standard deviations, of the range that holds half of a normal population."""


def _held(low: float, high: float, of: str):
    """Return a validator for figures that must lie in [low, high]."""

    def check(cls, figure):
        values = figure.value if isinstance(figure.value, list) else [figure.value]
        if not all(low <= v <= high for v in values):
            raise PydanticCustomError("figure", "{of} from {low} to {high}", {"of": of, "low": low, "high": high})
        return figure

    return classmethod(check)


class Spread(Figure):
    """A standard deviation; `sigma` says how well it is known.

    With df its logarithm has a Student t of df degrees of freedom, and sigma is the scale.
    """

    sigma: Annotated[float, key("SD of its logarithm, or the scale of that", ge=0, le=2)] = 0
    df: Annotated[float, key("degrees of freedom of its logarithm", example=7.4, ge=1)] | None = Told

    @model_validator(mode="after")
    def _tails_of_something(self):
        if self.df is not None and self.sigma == 0:
            raise PydanticCustomError("spread", "a sigma above 0 beside df")
        return self

    @property
    def distribution(self) -> LogNormal | LogStudentT | Fixed:
        """The distribution of the SD over trials."""
        if self.sigma == 0:
            return Fixed(dist="fixed", value=self.value)
        if self.df is not None:
            return LogStudentT(dist="log_student_t", df=self.df, location=math.log(self.value), scale=self.sigma)
        return LogNormal(dist="lognormal", median=self.value, sigma=self.sigma)


class Dropout(Figure):
    """The share of children lost before the last visit, and on what the loss depends.

    A child still in the trial is lost before visit v with probability Phi(a + slope z), a such that an equal share of
    those left is lost in every interval and `value` in all where z is standard normal. z is, in its own SDs:
    nothing (completely_at_random, slope 0); the last observed excess over the expected score (given_last_value: missing
    at random); the excess at visit v itself, which nobody sees (informative: missing not at random).
    """

    mechanism: Annotated[
        Literal["completely_at_random", "given_last_value", "informative"], key("what the loss depends on")
    ] = "completely_at_random"
    slope: Annotated[float, key("how steeply; below 0 it loses children who do badly", ge=-5, le=5)] = 0

    @model_validator(mode="after")
    def _slope_has_a_use(self):
        if (self.mechanism == "completely_at_random") != (self.slope == 0):
            raise PydanticCustomError("dropout", "a slope other than 0, exactly where loss depends on the scores")
        return self

    _share = field_validator("value")(
        classmethod(lambda cls, v: v if 0 <= v < 1 else _raise("a share of children, from 0 to below 1"))
    )


def _raise(words: str):
    raise PydanticCustomError("figure", "{words}", {"words": words})


class Centres(Source):
    """Centres of the trial: children come to each in turn; each adds its own deviation to every change.

    Their SD is given in points, or by an intraclass correlation: icc = sd^2 / (sd^2 + excess_sd^2), whence children of
    one centre spread by excess_sd. icc_sd says how well it is known: it has a beta law with icc as its mean.
    """

    number: Annotated[int, key("how many", "centres", example=5, ge=1, le=200)]
    sd: Annotated[float, key("SD between them of the change", "GMFM-66 points", example=1, ge=0, le=20)] | None = Told
    icc: (
        Annotated[float, key("share of the variance of the 12-month change between them", example=0.05, ge=0, lt=1)]
        | None
    ) = Told
    icc_sd: (
        Annotated[float, key("SD of what the icc may be, by a beta law with that mean", example=0.05, ge=0)] | None
    ) = Told

    @model_validator(mode="after")
    def _one_of_two(self):
        if (self.sd is None) == (self.icc is None):
            raise PydanticCustomError("centres", "sd or icc, one of them")
        if self.icc is None and self.icc_sd is not None:
            raise PydanticCustomError("centres", "an icc beside icc_sd")
        if self.icc is not None:
            share_law(self.icc, self.icc_sd or 0.0)
        return self

    @property
    def law(self) -> Beta | Fixed | None:
        """The distribution of the icc over trials; None where the SD is given in points."""
        return None if self.icc is None else share_law(self.icc, self.icc_sd or 0.0)

    def between(self, excess_sd: np.ndarray, icc: np.ndarray | float) -> np.ndarray | float:
        """Return the SD between centres in trials of excess_sd (...) and icc (...)."""
        return self.sd if self.sd is not None else excess_sd * np.sqrt(icc / (1 - icc))


class Reported(Source):
    """What the trial that the children are named after reports of the change to `month`, on the scale that it used."""

    month: Annotated[float, key("to which the change is", "months", example=12, gt=0, le=120)]
    of: Annotated[
        Literal["change", "observed minus expected"], key("the change itself, or less what the growth curves say")
    ] = "change"
    control_mean: Annotated[
        float | None, key("mean of the children without cells", "points of the trial's scale", example=6.9)
    ] = None
    control_sd: (
        Annotated[float, key("SD of these", "points of the trial's scale", example=5.6, gt=0, le=100)] | None
    ) = None
    cells_sd: (
        Annotated[float, key("SD of those with cells", "points of the trial's scale", example=5.6, gt=0, le=100)] | None
    ) = None

    @model_validator(mode="after")
    def _something(self):
        if self.control_mean is self.control_sd is self.cells_sd is None:
            raise PydanticCustomError("reported", "control_mean, control_sd or cells_sd: one of them at least")
        return self


class Children(Spec):
    """What normal children and children of the growth curves share. GMFM-66 points, months since the first infusion.

    Score at month t: s(t) = expected(t) + d(t) + effect(t) + e, with measurement error e ~ Normal(0, error^2) at each
    visit, baseline included, and an excess d(t) over the expected change:

      Var(d(t)) = excess_sd(t)^2 - 2 error^2,   excess_sd(t) = excess_sd (t / 12)^excess_growth,
      Cor(d(s), d(t)) = (s / t)^q for s < t,    q = -log2(visit_correlation).

    excess_sd includes the measurement errors of both visits. effect = truth x response of the child's level
    + Normal(0, response_sd^2), times the share present at the visit. `missed`: the last visit excepted.

    scale: where the trial used another scale than the GMFM-66; its figures enter after multiplication with it.
    reported: to hold the simulated children to.
    """

    excess_sd: Annotated[Spread, key("SD of observed minus expected 12-month change", "GMFM-66 points")]
    excess_growth: Annotated[Figure, key("exponent of that SD over time")]
    visit_correlation: Annotated[Figure, key("correlation of the true excess at 6 and 12 months")]
    measurement_error: Annotated[Figure, key("SD of measurement", "GMFM-66 points")]
    response_sd: Annotated[Figure, key("SD of the effect between children", "GMFM-66 points")]
    dropout: Annotated[Dropout, key("children lost before the last visit", "share")]
    missed: Annotated[Figure, key("visits missed by children who stay", "share")]
    centres: Annotated[Centres | None, key("centres", "GMFM-66 points")] = None
    scale: Annotated[Spread | None, key("what a point of the trial's own scale is worth", "GMFM-66 points")] = Told
    reported: Annotated[Reported | None, key("change as reported and as simulated")] = Told

    _sd = field_validator("excess_sd")(_held(1e-3, 1e3, "an SD"))
    _exponent = field_validator("excess_growth")(_held(0, 1, "an exponent"))
    _correlation = field_validator("visit_correlation")(_held(0.01, 1, "a correlation"))
    _error = field_validator("measurement_error")(_held(0, 20, "an SD"))
    _response = field_validator("response_sd")(_held(0, 50, "an SD"))
    _missed = field_validator("missed")(_held(0, 0.9, "a share"))
    _scale = field_validator("scale")(_held(0.05, 20, "GMFM-66 points a point"))

    @property
    def decay(self) -> float:
        """q of the correlation (s / t)^q between the excess at two months."""
        return -math.log2(self.visit_correlation.value)

    def excess_correlation(self, months: np.ndarray) -> np.ndarray:
        """Return the correlation matrix (V, V) of the true excess at months (V,)."""
        months = np.asarray(months, float)
        return (np.minimum.outer(months, months) / np.maximum.outer(months, months)) ** self.decay

    def true_excess_sd(self, months: np.ndarray, excess_sd: np.ndarray | float) -> np.ndarray:
        """Return the SD of the true excess d(t), (..., V), for excess_sd (...) at 12 months; 0 where error is all."""
        observed = (
            np.asarray(excess_sd, float)[..., None] * (np.asarray(months, float) / 12) ** self.excess_growth.value
        )
        return np.sqrt(np.maximum(observed**2 - 2 * self.measurement_error.value**2, 0))

    def error_sd(self, excess_sd: np.ndarray) -> np.ndarray | float:
        """Return the SD of measurement errors in trials of excess_sd (...)."""
        return self.measurement_error.value

    def change_sd(self, month: float, excess_sd: np.ndarray) -> np.ndarray:
        """Return the SD of observed minus expected change to a month in trials of excess_sd (...) at 12 months."""
        observed = np.asarray(excess_sd, float) * (month / 12) ** self.excess_growth.value
        return np.maximum(observed, math.sqrt(2) * self.error_sd(excess_sd))

    def relative_spread(self, excess_sd: np.ndarray) -> np.ndarray:
        """Return how many times its figure the SD of responses is in trials of excess_sd (R,): once."""
        return np.ones(np.shape(excess_sd))


class NormalChildren(Children):
    """Children with jointly normal scores: one baseline distribution, one expected change, no limits of the scale.

    Observed baseline ~ Normal(baseline, baseline_sd^2), measurement error included; expected change growth t / 12.
    Closed forms and sufficient statistics hold exactly here. With a baseline_correlation rho all scores of a child have
    one SD and correlation rho (compound symmetry): for an SD s of change, SD of scores s / sqrt(2 (1 - rho)), whatever
    baseline_sd, error and visit_correlation say; residual SD of ANCOVA s sqrt((1 + rho) / 2) (Frison & Pocock 1992).
    """

    kind: Literal["normal"] = "normal"
    title: Annotated[str, key("who they are", min_length=3, max_length=200)] = "Normal children"
    baseline: Annotated[Figure, key("mean baseline", "GMFM-66 points")]
    baseline_sd: Annotated[Figure, key("SD of the baseline", "GMFM-66 points")]
    baseline_correlation: Annotated[Figure | None, key("correlation of the baseline with later scores")] = Told
    growth: Annotated[Figure, key("12-month change without cells", "GMFM-66 points")]

    _sd_of_baseline = field_validator("baseline_sd")(_held(0.1, 100, "an SD"))
    _correlated = field_validator("baseline_correlation")(_held(0, 0.999, "a correlation"))

    @model_validator(mode="after")
    def _error_within_baseline(self):
        if self.measurement_error.value >= self.baseline_sd.value:
            raise PydanticCustomError("children", "a measurement_error below baseline_sd, which includes it")
        if self.baseline_correlation and self.excess_growth.value:
            words = "excess_growth 0 with a baseline_correlation: changes to all visits have one SD"
            raise PydanticCustomError("children", words)
        return self

    def error_sd(self, excess_sd: np.ndarray) -> np.ndarray | float:
        if self.baseline_correlation is None:
            return super().error_sd(excess_sd)
        return np.asarray(excess_sd, float) / math.sqrt(2)

    def true_excess_sd(self, months: np.ndarray, excess_sd: np.ndarray | float) -> np.ndarray:
        found = super().true_excess_sd(months, excess_sd)
        return found if self.baseline_correlation is None else np.zeros(found.shape)

    def score_sd(self, excess_sd: np.ndarray | float) -> np.ndarray | float:
        """Return the SD of observed baseline scores in trials of excess_sd (...)."""
        if self.baseline_correlation is None:
            return self.baseline_sd.value
        return np.asarray(excess_sd, float) / math.sqrt(2 * (1 - self.baseline_correlation.value))

    def true_score_sd(self, excess_sd: np.ndarray | float) -> np.ndarray | float:
        """Return the SD of true baseline scores in trials of excess_sd (...)."""
        if self.baseline_correlation is None:
            return math.sqrt(self.baseline_sd.value**2 - self.measurement_error.value**2)
        return math.sqrt(self.baseline_correlation.value) * self.score_sd(excess_sd)

    def moments(self, visits: np.ndarray, excess_sd: float) -> tuple[np.ndarray, np.ndarray]:
        """Return mean (1 + V,) and covariance (1 + V, 1 + V) of the observed scores without treatment.

        Centre effects are not part of it.
        """
        visits = np.asarray(visits, float)
        mean = self.baseline.value + self.growth.value * np.concatenate([[0.0], visits]) / 12
        sd = self.true_excess_sd(visits, excess_sd)
        error = self.error_sd(excess_sd) ** 2
        covariance = np.full((1 + visits.size, 1 + visits.size), self.score_sd(excess_sd) ** 2 - error)
        covariance[1:, 1:] += np.outer(sd, sd) * self.excess_correlation(visits)
        return mean, covariance + error * np.eye(1 + visits.size)


class Age(Source):
    """Age at baseline in years: half of the children evenly from low to median, half from median to high."""

    low: Annotated[float, key("of the youngest", "years", example=2, ge=0, le=25)]
    median: Annotated[float, key("half are younger", "years", example=3, ge=0, le=25)]
    high: Annotated[float, key("of the oldest", "years", example=6, ge=0, le=25)]

    @model_validator(mode="after")
    def _ordered(self):
        if not self.low <= self.median <= self.high:
            raise PydanticCustomError("age", "low <= median <= high")
        return self


class PopulationChildren(Children):
    """Children of all GMFCS levels on their growth curves, on a scale from 0 to 100.

    Expected score at age a (years) of a child at level g (stable-limit curve, Rosenbaum 2002; Smits 2013):
    L (1 - exp(-k a)), k = ln(10) / (age_90_g exp(rate_spread z)), z ~ Normal(0, 1); limit L ~ Normal(limit_g, sd_g^2)
    with sd_g = (high_g - low_g) / 1.349 from the range that holds half of the children. Over the trial a child gains
    what its curve says plus volunteer_gain min(t / 12, 1). With a growth_share below 1 children differ less in their
    change than their curves do: each gains m(t) + growth_share (g(t) - m(t)), g its curve's gain and m the mean of g
    over all children, and the excess is around that. What is then uncertain of excess_sd is so of the spread of change
    as a whole: in a trial where it is u times its value, so are growth_share (at most 1) and response_sd. Observed
    scores are cut to [floor, ceiling]. response is scaled so that its mean over the mix is 1.
    """

    kind: Literal["population"] = "population"
    title: Annotated[str, key("who they are", example="Children of 2 to 5 years", min_length=3, max_length=200)]
    age: Annotated[Age, key("age at baseline", "years")]
    mix: Annotated[ByLevel, key("share of each GMFCS level", "share")]
    limit: Annotated[ByLevel, key("limit of the growth curve", "GMFM-66 points")]
    age_90: Annotated[ByLevel, key("age at 90 % of the limit", "years")]
    rate_spread: Annotated[Figure, key("SD of log age-90 between children")]
    growth_share: Annotated[Figure | None, key("share of the differences between curves that changes show")] = Told
    volunteer_gain: Annotated[Figure, key("12-month gain of volunteers beyond the curve", "GMFM-66 points")]
    floor: Annotated[Figure, key("floor of the scale", "GMFM-66 points")]
    ceiling: Annotated[Figure, key("ceiling of the scale", "GMFM-66 points")]
    response: Annotated[ByLevel, key("effect at each GMFCS level, as a multiple")]

    _spread = field_validator("rate_spread")(_held(0, 1, "an SD of the logarithm"))
    _growth = field_validator("growth_share")(_held(0, 1, "a share"))
    _limits = field_validator("limit")(_held(1, 100, "points"))
    _ages = field_validator("age_90")(_held(0.5, 25, "years"))
    _ends = field_validator("floor", "ceiling")(_held(0, 100, "points"))

    @field_validator("mix")
    @classmethod
    def _shares(cls, mix: ByLevel) -> ByLevel:
        if min(mix.value) < 0 or abs(sum(mix.value) - 1) > 0.011:
            raise PydanticCustomError("mix", "five shares from 0 that add up to 1")
        return mix

    @field_validator("response")
    @classmethod
    def _some_response(cls, response: ByLevel) -> ByLevel:
        if min(response.value) < 0 or max(response.value) == 0:
            raise PydanticCustomError("response", "five multiples from 0, not all of them 0")
        return response

    @model_validator(mode="after")
    def _scale_and_response(self):
        if self.floor.value >= self.ceiling.value:
            raise PydanticCustomError("scale", "a floor below the ceiling")
        if float(dot(self.mix.value, self.response.value)) == 0:
            raise PydanticCustomError("response", "a response above 0 at a level that the mix has")
        return self

    @property
    def shares(self) -> np.ndarray:
        """The share of each level (5,), adding up to 1 exactly."""
        return np.array(self.mix.value) / sum(self.mix.value)

    @property
    def multiples(self) -> np.ndarray:
        """The effect at each level (5,) as a multiple of the mean effect over the mix."""
        return np.array(self.response.value) / float(dot(self.shares, self.response.value))

    @property
    def limit_sd(self) -> np.ndarray:
        """Between-child SD of the limit at each level (5,); 0 where no range is given."""
        low, high = (np.array(end or self.limit.value) for end in (self.limit.low, self.limit.high))
        return (high - low) / HALF_RANGE_IN_SDS

    def relative_spread(self, excess_sd: np.ndarray) -> np.ndarray:
        """Return how many times its figure growth_share and response_sd are in trials of excess_sd (R,)."""
        return super().relative_spread(excess_sd) if self.growth_share is None else excess_sd / self.excess_sd.value

    @property
    def rate(self) -> np.ndarray:
        """Rate k at each level (5,), per year."""
        return math.log(10) / np.array(self.age_90.value)
