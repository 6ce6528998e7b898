"""The grammar of [[replication.checks]], and what a check comes to.

A check names rows of the tables; the figures come from there. What no table holds is given with a reason: an effect
that was solved for carries a text `circular`, an imputed SD or another number of children a text `because`.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from gmfmsim.evidence.contrasts import Selection
from gmfmsim.files.toml import Spec, key

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

    scale: Annotated[str | None, key("its scale", example="GMFM-66/88")] = None
    month: Annotated[str | None, key("its month, as it stands there", example="6-12")] = None
    measure: Annotated[str | None, key("what was pooled", example="SMD")] = None


class Arms(Spec):
    """Rows of a trial: the treated arm and, where there is one, the control."""

    study: Annotated[str, key("study", example="Huang2018")]
    arms: Annotated[
        list[str], key("the treated arm and the control", example=["cells", "control"], min_length=1, max_length=2)
    ]
    preferred: Annotated[
        bool, key("false takes the other row where two sources of an arm differ (a review's own print)")
    ] = True


class Trial(Arms):
    """One trial of a pool, active arm first: mean, SD and n of the change, or an effect that is `given`."""

    arms: Annotated[Pair[str], key("the treated arm and the control", example=["cells", "control"])]
    scale: Annotated[str, key("scale of the change", example="GMFM-66")]
    month: Annotated[float, key("of the change", "months", example=12)]
    spread: Annotated[Literal["sd", "se"], key("what the printed spread is read as")] = "sd"
    sd: (
        Annotated[float, key("SD in place of the printed one", "points of the scale", example=9.5, gt=0, le=1000)]
        | Literal["field"]
        | None
    ) = None
    n: Annotated[
        Pair[Annotated[int, Field(ge=2, le=1_000_000)]] | None,
        key("children by arm in place of the printed ones", "children", example=[27, 27]),
    ] = None
    given: Annotated[float, key("effect that no table holds", "SDs", example=0.95, ge=-20, le=20)] | None = None
    circular: Annotated[Text | None, key("why a given effect tells nothing new", example="Solved for.")] = None
    because: Annotated[Text | None, key("why sd or n is another", example="The review prints it.")] = None

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

    title: Annotated[Text, key("what is computed again", example="Pooled SMD")]
    published: Annotated[Printed, key("row of pooled.csv that holds the printed figures")]
    note: Annotated[Text | None, key("what to know of it", example="Trials identified by their n.")] = None
    circular: Annotated[Text | None, key("why agreement tells nothing", example="One effect is solved for.")] = None


class Reading(Spec):
    """The same pool read otherwise: trials replaced or left out."""

    label: Annotated[Text, key("name of the reading", example="spread read as standard error")]
    because: Annotated[Text, key("why it may be read so", example="The printed SDs are too small.")]
    replace: Annotated[list[Trial], AfterValidator(_each_once), key("trials in place of others")] = Field([])
    without: Annotated[list[str], key("studies left out", example=["Huang2018"])] = Field([])


class PooledSmd(Check):
    """Standardised mean differences of trials, pooled."""

    kind: Literal["pooled_smd"] = "pooled_smd"
    effect: Annotated[Literal["cohen_d", "hedges_g"], key("standardised difference")] = "cohen_d"
    estimator: Annotated[Estimator, key("of tau squared")] = "DL"
    trials: Annotated[Trials[Trial], key("trials that are pooled")]
    variants: Annotated[list[Reading], key("the same pool read otherwise")] = Field([])


class RiskRatio(Check):
    """A Mantel-Haenszel risk ratio over trials."""

    kind: Literal["risk_ratio"] = "risk_ratio"
    event: Annotated[str, key("event, as events.csv names it", example="serious_adverse")]
    trials: Annotated[Trials[Arms], key("trials that are pooled")]


class EventTotals(Check):
    """Children with an event, added over trials; a trial without control adds to the treated only."""

    kind: Literal["event_totals"] = "event_totals"
    published: Annotated[Printed | None, key("row of pooled.csv that holds the printed figures")] = None
    event: Annotated[str, key("event, as events.csv names it", example="serious_adverse")]
    trials: Annotated[Trials[Arms], key("trials that are added up")]
    total: Annotated[Arms | None, key("rows that hold the review's own total")] = None
    beside: Annotated[
        list[Arms], key("trials with a control that the review did not count, for another ratio within trials")
    ] = Field([])
    percent: Annotated[Pair[str] | None, key("printed per cent with and without cells", "%", example=["3", "2"])] = None


class PValue(Check):
    """The p that a printed estimate and interval imply, against the printed p."""

    kind: Literal["p_value"] = "p_value"
    p: Annotated[float, key("printed p, where pooled.csv has none", example=0.04, gt=0, le=1)] | None = None
    because: Annotated[Text | None, key("where p stands", example="Abstract.")] = None

    @model_validator(mode="after")
    def _reasons(self):
        if (self.p is None) != (self.because is None):
            raise PydanticCustomError("because", "p together with because, a text that says where it stands")
        return self


class Pool(Spec):
    """Another selection or estimator of a benchmark."""

    label: Annotated[Text, key("name of the pool", example="intravenous only")]
    select: Annotated[Selection, key("contrasts that are pooled")]
    estimator: Annotated[Estimator, key("of tau squared")] = "REML"


class Benchmark(Check):
    """A printed estimate beside a pool of contrasts of the tables, which hold partly the same children."""

    kind: Literal["benchmark"] = "benchmark"
    select: Annotated[Selection, key("contrasts that are pooled")]
    estimator: Annotated[Estimator, key("of tau squared")] = "REML"
    within: Annotated[float, key("how far apart the two may be", "unit of the estimate", example=1.0, gt=0)]
    variants: Annotated[list[Pool], key("other selections or estimators")] = Field([])


class DoseSlope(Check):
    """A printed dose effect beside the slope per tenfold dose of the tables."""

    kind: Literal["dose_slope"] = "dose_slope"
    select: Annotated[Selection, key("contrasts whose slope is taken")]
    tau: Annotated[float, key("between-study SD", "GMFM-66 points", ge=0)] = 0.0


class NotReproducible(Check):
    """A printed estimate whose inputs are not there, and why."""

    kind: Literal["not_reproducible"] = "not_reproducible"
    because: Annotated[Text, key("why", example="The review does not name its trials.")]


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
