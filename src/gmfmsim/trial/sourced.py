"""Figures of a design with their source, as its file gives them and its page shows them."""

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from gmfmsim.dist.distributions import Beta, Fixed
from gmfmsim.files.toml import Spec, key

LEVELS = ("I", "II", "III", "IV", "V")
"""The levels of the Gross Motor Function Classification System (GMFCS), mildest first."""

Verified = Literal["text", "abstract", "table", "registry", "derived", "recalled", "assumed"]
"""How a figure was checked: read in the source; derived from a figure read there; recalled (cited, not read again);
assumed (nobody reports it, and the design says so)."""


class Source(Spec):
    """Where a figure comes from, and how it was checked."""

    source: Annotated[str, key("where it stands", example="Sun 2017, table 2", min_length=3, max_length=300)]
    verified: Annotated[Verified, key("how it was checked: read there, derived, recalled or assumed")]


class Figure(Source):
    """One figure, its range where the source gives one, and its source."""

    value: Annotated[float, key("the figure", "that of the figure", example=0.1)]
    low: Annotated[float | None, key("lower end of its range", "that of the figure", example=0.05)] = None
    high: Annotated[float | None, key("upper end of its range", "that of the figure", example=0.2)] = None

    @model_validator(mode="after")
    def _within(self):
        ends = [self.value if end is None else end for end in (self.low, self.high)]
        if not ends[0] <= self.value <= ends[1]:
            raise PydanticCustomError("range", "low <= value <= high")
        return self


LEAST_SHAPE = 0.1
"""Parameter of a beta law below which nearly all of it lies at an end."""


def share_law(mean: float, sd: float) -> Beta | Fixed:
    """Return the law of a share with a mean and an SD: beta, or one value where the SD is 0.

    Raises PydanticCustomError where no beta law has such moments, or only one that lies at its ends.
    """
    if sd == 0:
        return Fixed(dist="fixed", value=mean)
    if not 0 < mean < 1:
        raise PydanticCustomError("law", "a figure between 0 and 1 beside its SD")
    most = math.sqrt(mean * (1 - mean) / (1 + LEAST_SHAPE / min(mean, 1 - mean)))
    if sd > most:
        words = "an SD of at most {most} for a figure of {mean}"
        raise PydanticCustomError("law", words, {"most": f"{most:.3g}", "mean": f"{mean:g}"})
    size = mean * (1 - mean) / sd**2 - 1
    return Beta(dist="beta", a=mean * size, b=(1 - mean) * size)


def law_words(mean: float, sd: float) -> str:
    """Say a share with its law: 0.5, or 0.743 on average (95 % 0.25 to 0.99)."""
    if sd == 0:
        return f"{mean:g}"
    low, high = (f"{end:.2g}" for end in share_law(mean, sd).ppf([0.025, 0.975]))
    return f"{mean:g} on average (95 % {low} to {high})"


class Correlation(Figure):
    """A correlation of children of one unit, from 0 to below 1; `sd` says how well it is known: it has a beta law with
    `value` as its mean."""

    sd: Annotated[float, key("SD of what it may be, by a beta law with that mean; 0 where it is known", ge=0)] = 0

    @model_validator(mode="after")
    def _a_law(self):
        if not 0 <= self.value < 1:
            raise PydanticCustomError("correlation", "a correlation from 0 to below 1")
        share_law(self.value, self.sd)
        return self

    @property
    def distribution(self) -> Beta | Fixed:
        """The distribution of the correlation over trials."""
        return share_law(self.value, self.sd)

    def __str__(self) -> str:
        return law_words(self.value, self.sd)


FiveLevels = Annotated[list[float], Field(min_length=5, max_length=5)]


class ByLevel(Source):
    """One figure for each GMFCS level, I to V, with the range that holds half of the children where it is known."""

    value: Annotated[FiveLevels, key("the figures", "that of the figure", example=[87, 68, 54, 40, 22])]
    low: Annotated[
        FiveLevels | None, key("where a quarter lies below", "that of the figure", example=[80, 60, 48, 35, 17])
    ] = None
    high: Annotated[
        FiveLevels | None, key("where a quarter lies above", "that of the figure", example=[92, 76, 60, 45, 29])
    ] = None

    @model_validator(mode="after")
    def _within(self):
        low, high = self.low or self.value, self.high or self.value
        if any(not a <= b <= c for a, b, c in zip(low, self.value, high, strict=True)):
            raise PydanticCustomError("range", "low <= value <= high at each of the five levels")
        return self
