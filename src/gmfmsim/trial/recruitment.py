"""How long a trial takes: children come to its centres by chance, at a rate that nobody knows beforehand.

A centre screens children by a Poisson process; its rate has a gamma law. So the number who came by any time is negative
binomial, and the time to the n-th child is known without sampling (Anisimov & Fedorov 2007).
"""

import math
from functools import lru_cache
from typing import Annotated, Literal, NamedTuple

from pydantic import field_validator, model_validator
from pydantic_core import PydanticCustomError
from scipy import special

from gmfmsim.compute.roots import root
from gmfmsim.files.toml import Spec, key
from gmfmsim.trial.design import Design

PROBABILITY = 0.95
"""The probability of the intervals here: of a rate, and of months."""

VAGUEST, SUREST = 1e-3, 1e6
"""Shapes of a gamma law between which one is looked for; from the larger on, 0.1 % of scatter, a rate is known."""

WIDEST = 3
"""The largest SD of a rate, in means."""


class Rate(Spec):
    """Children whom a centre screens in a month once it is open; a number is known, else it has a gamma law."""

    mean: Annotated[float, key("of the law", "children a month", example=1.5, ge=1e-4, le=1e4)]
    sd: Annotated[float | None, key("SD of the law", "children a month", example=0.5, gt=0)] = None
    low: Annotated[float | None, key("2.5 % lie below", "children a month", example=0.8, ge=1e-4, le=1e4)] = None
    high: Annotated[float | None, key("2.5 % lie above", "children a month", example=2.5, ge=1e-4, le=1e4)] = None
    across: Annotated[
        Literal["trials", "centres"],
        key("trials: one rate of all centres, which is not known; centres: each has its own, and many are surer"),
    ] = "trials"

    @model_validator(mode="after")
    def _one_spread_about_the_mean(self):
        ends = [end for end in (self.low, self.high) if end is not None]
        if len(ends) == 1 or (ends and (self.sd is not None or not self.low < self.mean < self.high)):
            raise PydanticCustomError("rate", "a mean alone, or with sd, or with low < mean < high")
        if self.sd is not None and self.sd > WIDEST * self.mean:
            raise PydanticCustomError("rate", "an sd up to {widest} times the mean", {"widest": WIDEST})
        return self

    @property
    def shape(self) -> float:
        """The shape of the gamma law; infinite of a rate that is known."""
        if self.sd is not None:
            return (self.mean / self.sd) ** 2
        return math.inf if self.low is None else _shape(self.low / self.mean, self.high / self.mean)


class Recruitment(Spec):
    """Where children come from."""

    centres: Annotated[int, key("centres in all", example=6, ge=1, le=10_000)]
    rate: Annotated[Rate, key("children screened at a centre", "children a month", example=1.5)]
    ramp: Annotated[float, key("over which the centres open, evenly", "months", ge=0, le=120)] = 0
    screening_failures: Annotated[float, key("share of those screened who cannot take part", ge=0, le=0.99)] = 0
    source: Annotated[
        str | None, key("where the figures come from", example="a registry", min_length=3, max_length=300)
    ] = None
    note: Annotated[str | None, key("what to know of them", example="before 2020", min_length=3, max_length=600)] = None

    @field_validator("rate", mode="before", json_schema_input_type=float | Rate)
    @classmethod
    def _a_number_is_known(cls, rate: object) -> object:
        number = isinstance(rate, int | float) and not isinstance(rate, bool)
        return {"mean": rate} if number else rate

    @property
    def shape(self) -> float:
        """The shape of the gamma law of the rate of all centres together."""
        return self.rate.shape * (self.centres if self.rate.across == "centres" else 1)


class Months(NamedTuple):
    """Months: their median, and from low to high in 95 %."""

    median: float
    low: float
    high: float


def screened(design: Design, n: int, failures: float = 0.0) -> int:
    """Return how many children are screened for n, on average: randomised / ((1 - failures) (1 - loss in a run-in))."""
    return math.ceil(round(design.total(n) / _taken(design, failures), 9))


def recruiting(design: Design, n: int, recruitment: Recruitment) -> Months:
    """Return the months from the first centre on until the last child of n is enrolled.

    With c centres of mean rate m, of whose children a share s is randomised in the end, the N-th of them comes after

        x = Gamma(N) / (c m s Gamma(k) / k)   months of all centres open, k the shape of their rate together,

    a beta prime variable, Gamma(N) / (c m s) of a known rate; and since of the ramp r only half counts,

        months = sqrt(2 r x) up to r, x + r / 2 from then on.

    Where centres have rates of their own and children come mostly within the ramp, the interval is a little too narrow:
    which of the centres opens first is not part of it.
    """
    children = design.total(n)
    full = _full(design, recruitment)
    tails = 0.5, (1 - PROBABILITY) / 2, (1 + PROBABILITY) / 2
    return Months(*(_opened(_quantile(p, children, recruitment.shape) / full, recruitment.ramp) for p in tails))


def duration(design: Design, n: int, recruitment: Recruitment) -> Months:
    """Return the months from the first centre on to the last visit of the last child."""
    return Months(*(months + follow_up(design) for months in recruiting(design, n, recruitment)))


def follow_up(design: Design) -> float:
    """Return the months of one child in the trial: a run-in, where there is one, and all visits."""
    return design.visits[-1] + (design.run_in.months if design.run_in else 0)


def months_to(design: Design, children: float, recruitment: Recruitment) -> float:
    """Return the months from the first centre on until so many children have their last visit, at the mean rate."""
    return _opened(children / _full(design, recruitment), recruitment.ramp) + follow_up(design)


def enrolled_by(design: Design, months: float, recruitment: Recruitment) -> float:
    """Return how many children are randomised after so many months of recruiting, at the mean rate."""
    ramp = recruitment.ramp
    return _full(design, recruitment) * (months**2 / (2 * ramp) if months < ramp else months - ramp / 2)


def _full(design: Design, recruitment: Recruitment) -> float:
    """Return the children randomised a month with all centres open, at the mean rate."""
    return recruitment.centres * recruitment.rate.mean * _taken(design, recruitment.screening_failures)


def _taken(design: Design, failures: float) -> float:
    """Return the share of the children screened who are randomised."""
    return (1 - failures) * (1 - design.run_in.loss.value if design.run_in else 1)


def _quantile(p: float, children: int, shape: float) -> float:
    """Return a quantile of Gamma(children) / (Gamma(shape) / shape)."""
    if shape >= SUREST:
        return float(special.gammaincinv(children, p))
    # both tails by themselves: one less a share near one has few digits
    return float(shape * special.betaincinv(children, shape, p) / special.betaincinv(shape, children, 1 - p))


def _opened(months: float, ramp: float) -> float:
    """Return the months after which centres, opening evenly over the ramp, have been open for so many on average."""
    return math.sqrt(2 * ramp * months) if months < ramp / 2 else months + ramp / 2


@lru_cache(maxsize=256)
def _shape(low: float, high: float) -> float:
    """Return the shape of the gamma law with mean 1 of which 95 % lies between low and high."""

    def missing(log_shape: float) -> float:
        shape = math.exp(log_shape)
        inside = special.gammainc(shape, shape * high) - special.gammainc(shape, shape * low)
        return float(inside) - PROBABILITY

    if missing(math.log(SUREST)) <= 0:
        return math.inf
    return math.exp(root(missing, math.log(VAGUEST), math.log(SUREST), within=1e-12))
