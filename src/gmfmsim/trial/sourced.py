"""Figures of a design with their source, as its file gives them and its page shows them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from gmfmsim.files.toml import Spec

LEVELS = ("I", "II", "III", "IV", "V")
"""The levels of the Gross Motor Function Classification System (GMFCS), mildest first."""

Verified = Literal["text", "abstract", "table", "registry", "derived", "recalled", "assumed"]
"""How a figure was checked: read in the source; derived from a figure read there; recalled (cited, not read again);
assumed (nobody reports it, and the design says so)."""


class Source(Spec):
    """Where a figure comes from, and how it was checked."""

    source: str = Field(min_length=3, max_length=300)
    verified: Verified


class Figure(Source):
    """One figure, its range where the source gives one, and its source."""

    value: float
    low: float | None = None
    high: float | None = None

    @model_validator(mode="after")
    def _within(self):
        ends = [self.value if end is None else end for end in (self.low, self.high)]
        if not ends[0] <= self.value <= ends[1]:
            raise PydanticCustomError("range", "low <= value <= high")
        return self


FiveLevels = Annotated[list[float], Field(min_length=5, max_length=5)]


class ByLevel(Source):
    """One figure for each GMFCS level, I to V, with the range that holds half of the children where it is known."""

    value: FiveLevels
    low: FiveLevels | None = None
    high: FiveLevels | None = None

    @model_validator(mode="after")
    def _within(self):
        low, high = self.low or self.value, self.high or self.value
        if any(not a <= b <= c for a, b, c in zip(low, self.value, high, strict=True)):
            raise PydanticCustomError("range", "low <= value <= high at each of the five levels")
        return self
