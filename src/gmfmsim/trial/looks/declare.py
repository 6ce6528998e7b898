"""What a trial declares of its looks before the end."""

import math
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from gmfmsim.files.toml import Spec, key

Spending = Literal["lan_demets_obrien_fleming", "lan_demets_pocock", "hwang_shih_decani", "kim_demets"]
FORMED = ("obrien_fleming", "pocock", "wang_tsiatis")
"""Bounds that are of one form over all looks; the others spend alpha look by look."""

SHAPED = {"wang_tsiatis": (-1.0, 0.5), "hwang_shih_decani": (-40.0, 40.0), "kim_demets": (0.1, 15.0)}
"""Bounds with a shape, and from where to where it goes: Delta, gamma and rho of their authors."""

SHAPE = "Delta of wang_tsiatis, gamma of hwang_shih_decani, rho of kim_demets"


def _shaped(which: str | None, shape: float | None) -> str | None:
    """Return what is asked of a shape, where it is not so."""
    if which not in SHAPED:
        return None if shape is None else f"no shape for {which}: " + SHAPE
    low, high = SHAPED[which]
    return None if shape is not None and low <= shape <= high else f"a shape for {which}, from {low:g} to {high:g}"


class Futility(Spec):
    """Where a trial stops since it would hardly succeed: by given bounds, or by a share of 1 - power spent by look.

    binding: the trial must stop there, and its other bounds make use of that; else it may go on, and the type I error
    holds whether it stops or not.
    """

    z: (
        Annotated[
            list[Annotated[float, Field(ge=-10, le=10)]],
            key("the statistics below which it stops, one a look", "SDs", example=[0.0], min_length=1, max_length=9),
        ]
        | None
    ) = None
    spending: Annotated[Spending, key("how the type II error is spent", example="hwang_shih_decani")] | None = None
    shape: Annotated[float, key("as that of the bounds", example=-2.0)] | None = None
    power: Annotated[float, key("1 less the type II error that is spent", example=0.8, ge=0.5, le=0.999)] | None = None
    binding: Annotated[bool, key("whether it must stop there")] = False

    @model_validator(mode="after")
    def _one_way(self):
        if (self.z is None) == (self.spending is None):
            raise PydanticCustomError("futility", "z, or spending with power: one of the two")
        if (self.spending is None) != (self.power is None):
            raise PydanticCustomError("futility", "a power exactly with spending")
        if problem := _shaped(self.spending, self.shape):
            raise PydanticCustomError("futility", "{problem}", {"problem": problem})
        return self


class Looks(Spec):
    """Looks at the endpoint before the end, and the bounds at which the trial stops for success or for futility.

    A look comes when a share of each arm's children has reached the endpoint. Its statistic is that of the primary
    analysis of those children; its bounds are nominal levels, for a t test by t. A trial stops for harm where the
    bounds of success lie on the other side. Sources: O'Brien & Fleming 1979; Pocock 1977; Wang & Tsiatis 1987; Lan &
    DeMets 1983; Hwang, Shih & DeCani 1990; Kim & DeMets 1987.
    """

    at: Annotated[
        list[Annotated[float, Field(ge=0.05, le=0.95)]],
        key("share of children with the endpoint at each look", "share", example=[0.5], min_length=1, max_length=9),
    ]
    bounds: Annotated[
        Literal[
            "obrien_fleming",
            "pocock",
            "wang_tsiatis",
            "lan_demets_obrien_fleming",
            "lan_demets_pocock",
            "hwang_shih_decani",
            "kim_demets",
            "none",
        ],
        key("of success; none: it stops for futility alone", example="lan_demets_obrien_fleming"),
    ]
    shape: Annotated[float, key(SHAPE, example=0.25)] | None = None
    futility: Annotated[Futility | None, key("where it stops since it would hardly succeed")] = None
    lag: Annotated[
        float,
        key("from the last visit that a look needs to its decision, while recruitment goes on", "months", ge=0, le=24),
    ] = 0

    @model_validator(mode="after")
    def _consistent(self):
        problems = []
        if any(b - a < 0.01 for a, b in pairwise(self.at)):
            problems.append("shares of children that rise by at least 0.01 from look to look")
        if problem := _shaped(self.bounds, self.shape):
            problems.append(problem)
        if self.futility and self.futility.z and len(self.futility.z) != len(self.at):
            problems.append("as many futility.z as looks")
        if self.futility and self.futility.spending and self.futility.binding and self.bounds in FORMED:
            problems.append(f"futility that is not binding, or bounds that spend alpha in place of {self.bounds}")
        if self.bounds == "none" and not self.futility:
            problems.append("bounds of success, futility, or both")
        if problems:
            raise PydanticCustomError("looks", "{words}", {"words": "; ".join(problems)})
        return self

    def __hash__(self):
        return hash(self.model_dump_json())  # lists have none: what is found of looks is remembered by them

    @property
    def shares(self) -> tuple[float, ...]:
        """Shares of the children at all looks, the end among them."""
        return (*self.at, 1.0)

    def due(self, sizes: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Return how many children of each arm randomised (A,) are due at each look (K,): their share, rounded half
        up, at least one."""
        return [tuple(max(1, math.floor(share * size + 0.5)) for size in sizes) for share in self.shares]
