"""Figures of a design with their source, as its file gives them and its page shows them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

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
