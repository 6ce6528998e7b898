"""The grammar of [[replication.checks]], and what a check comes to.

A check names rows of the tables; the figures come from there. What no table holds is given with a reason: an effect
that was solved for carries a text `circular`, an imputed SD or another number of children a text `because`.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from gmfmsim.evidence.contrasts import Selection
from gmfmsim.files.toml import Spec

type Text = Annotated[str, Field(pattern=r"\w", max_length=2000)]
type Pair[T] = Annotated[list[T], Field(min_length=2, max_length=2)]
type Estimator = Literal["DL", "HE", "HS", "SJ", "ML", "REML", "EB", "PM", "FE"]


def _each_once(trials: list["Arms"]) -> list["Arms"]:
    if len({t.study for t in trials}) < len(trials):
        raise PydanticCustomError("trials", "each trial once")
    return trials


type Trials[T] = Annotated[list[T], Field(min_length=1), AfterValidator(_each_once)]


class Printed(Spec):
    """Which row of pooled.csv holds the printed figures: its key, as far as needed to name one row of the review."""

    scale: str | None = None
    month: str | None = None
    measure: str | None = None


class Arms(Spec):
    """Rows of a trial: the treated arm and, where there is one, the control; preferred = false takes the other row
    where two sources of an arm differ (a review's own print)."""

    study: str
    arms: Annotated[list[str], Field(min_length=1, max_length=2)]
    preferred: bool = True


class Trial(Arms):
    """One trial of a pool, active arm first: mean, SD and n of the change, or an effect that is `given`."""

    arms: Pair[str]
    scale: str
    month: float
    spread: Literal["sd", "se"] = "sd"
    sd: Annotated[float, Field(gt=0, le=1000)] | Literal["field"] | None = None
    n: Pair[Annotated[int, Field(ge=2, le=1_000_000)]] | None = None
    given: Annotated[float, Field(ge=-20, le=20)] | None = None
    circular: Text | None = None
    because: Text | None = None

    @model_validator(mode="after")
    def _reasons(self):
        if self.given is not None and self.circular is None:
            raise PydanticCustomError("given", "a given effect together with circular, a text that says why")
        if (self.sd is not None or self.n is not None) and not (self.because or self.circular):
            raise PydanticCustomError("because", "sd or n together with because, a text that says why")
        if (self.given is not None) + (self.sd is not None) + (self.spread == "se") > 1:
            raise PydanticCustomError("spread", "one of given, sd, spread")
        return self


class Check(Spec):
    """What every check has."""

    title: Text
    published: Printed
    note: Text | None = None
    circular: Text | None = None


class Reading(Spec):
    """The same pool read otherwise: trials replaced or left out."""

    label: Text
    because: Text
    replace: Annotated[list[Trial], AfterValidator(_each_once)] = Field(default_factory=list)
    without: list[str] = Field(default_factory=list)


class PooledSmd(Check):
    """Standardised mean differences of trials, pooled."""

    kind: Literal["pooled_smd"] = "pooled_smd"
    effect: Literal["cohen_d", "hedges_g"] = "cohen_d"
    estimator: Estimator = "DL"
    trials: Trials[Trial]
    variants: list[Reading] = Field(default_factory=list)


class RiskRatio(Check):
    """A Mantel-Haenszel risk ratio over trials."""

    kind: Literal["risk_ratio"] = "risk_ratio"
    event: str
    trials: Trials[Arms]


class EventTotals(Check):
    """Children with an event, added over trials; a trial without control adds to the treated only.

    `beside`: trials with a control that the review did not count, for another ratio within trials.
    """

    kind: Literal["event_totals"] = "event_totals"
    published: Printed | None = None
    event: str
    trials: Trials[Arms]
    total: Arms | None = None
    beside: list[Arms] = Field(default_factory=list)
    percent: Pair[str] | None = None


class PValue(Check):
    """The p that a printed estimate and interval imply, against the printed p."""

    kind: Literal["p_value"] = "p_value"
    p: Annotated[float, Field(gt=0, le=1)] | None = None
    because: Text | None = None

    @model_validator(mode="after")
    def _reasons(self):
        if (self.p is None) != (self.because is None):
            raise PydanticCustomError("because", "p together with because, a text that says where it stands")
        return self


class Pool(Spec):
    """Another selection or estimator of a benchmark."""

    label: Text
    select: Selection
    estimator: Estimator = "REML"


class Benchmark(Check):
    """A printed estimate beside a pool of contrasts of the tables, which hold partly the same children."""

    kind: Literal["benchmark"] = "benchmark"
    select: Selection
    estimator: Estimator = "REML"
    within: Annotated[float, Field(gt=0)]
    variants: list[Pool] = Field(default_factory=list)


class DoseSlope(Check):
    """A printed dose effect beside the slope per tenfold dose of the tables."""

    kind: Literal["dose_slope"] = "dose_slope"
    select: Selection
    tau: Annotated[float, Field(ge=0)] = 0.0


class NotReproducible(Check):
    """A printed estimate whose inputs are not there, and why."""

    kind: Literal["not_reproducible"] = "not_reproducible"
    because: Text


# what a check comes to


@dataclass(frozen=True)
class Figure:
    """One figure: as printed and as computed (either may be missing), how far apart they may be, "=" or "<"."""

    name: str
    published: float | None
    computed: float | None
    tolerance: float | None = None
    qualifier: str = "="

    @property
    def difference(self) -> float | None:
        """Computed minus published."""
        return None if None in (self.published, self.computed) else self.computed - self.published

    @property
    def agrees(self) -> bool | None:
        """Whether the two agree within the tolerance; None where they are not held against each other."""
        if self.difference is None or self.tolerance is None:
            return None
        if self.qualifier != "=":
            return (self.difference < 0) == (self.qualifier == "<")
        return abs(self.difference) <= self.tolerance + 1e-12


@dataclass(frozen=True)
class Variant:
    """The same figures under another reading, estimator or selection."""

    label: str
    because: str | None
    figures: tuple[Figure, ...]
    inputs: tuple[dict, ...]


@dataclass(frozen=True)
class CheckResult:
    """One check: figures, verdict and the rows they came from. `printed` is the row of the review."""

    kind: str
    title: str
    measure: str
    figures: tuple[Figure, ...]
    tolerance: str
    circular: str | None
    printed: dict | None
    inputs: tuple[dict, ...]
    note: str | None
    variants: tuple[Variant, ...] = ()

    @property
    def verdict(self) -> str:
        """reproduced | not reproduced | benchmark | cannot be reproduced."""
        fixed = {"benchmark": "benchmark", "dose_slope": "benchmark", "not_reproducible": "cannot be reproduced"}
        agree = all(f.agrees is not False for f in self.figures)
        return fixed.get(self.kind) or ("reproduced" if agree else "not reproduced")

    def figure(self, name: str) -> Figure:
        """Return the figure of this name."""
        return next(f for f in self.figures if f.name == name)
