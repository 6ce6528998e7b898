"""Designs of trials on simulated children: what designs/*.toml declares, one class a kind."""

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from gmfmsim.dist.distributions import Fixed
from gmfmsim.dist.positive import LogNormal
from gmfmsim.evidence.formulas.dose import Dose
from gmfmsim.files.toml import Spec
from gmfmsim.model.setting import Setting
from gmfmsim.trial.analyses import (
    ALONG_DOSES,
    BETWEEN_ARMS,
    Ancova,
    AnyAnalysis,
    ClusterT,
    Historical,
    OneSample,
    PairedT,
    Responder,
    TTest,
    WithinChild,
)
from gmfmsim.trial.children import NormalChildren, PopulationChildren
from gmfmsim.trial.sizes import Sized
from gmfmsim.trial.sourced import Figure


class TrialArm(Spec):
    """One arm: total dose, allocation ratio, children randomised as the trial was run, a second drug or none."""

    name: str = Field(min_length=1, max_length=40)
    dose: Dose
    ratio: Annotated[float, Field(ge=1, le=20)] = 1
    n: Annotated[int, Field(ge=1, le=100_000)] | None = None
    drug: bool = False


class Randomisation(Spec):
    """How children come to arms.

    simple: each child by itself, so that arm sizes vary; block: permuted blocks over all children, so that arm sizes
    are as planned; stratified: permuted blocks of `block` children within every stratum of `strata`; none: not
    randomised, arm sizes as planned, as if children alternated (who chooses which arm is not simulated).
    """

    method: Literal["simple", "block", "stratified", "none"] = "block"
    block: Annotated[int, Field(ge=2, le=60)] | None = None
    strata: list[Literal["level", "age"]] = Field(default_factory=list)

    @model_validator(mode="after")
    def _strata_where_stratified(self):
        if (self.method == "stratified") != (bool(self.strata) and self.block is not None):
            raise PydanticCustomError("randomisation", "block and strata exactly where the method is stratified")
        if self.block is not None and self.method in ("simple", "none"):
            raise PydanticCustomError("randomisation", "no block where the method is simple or none")
        return self


class Objective(Spec):
    """What success means, at two-sided level alpha: the interval is the one with probability 1 - alpha.

    superiority: it lies above 0; non_inferiority: above -margin; equivalence: within (-margin, margin), by two
    one-sided tests at alpha / 2 each. margin in GMFM-66 points.
    """

    claim: Literal["superiority", "non_inferiority", "equivalence"] = "superiority"
    margin: Annotated[float, Field(ge=0, le=50)] = 0

    @model_validator(mode="after")
    def _margin_where_needed(self):
        if (self.claim == "superiority") != (self.margin == 0):
            raise PydanticCustomError("objective", "a margin above 0, exactly for non_inferiority and equivalence")
        return self


class RunIn(Spec):
    """Months before randomisation in which children are lost: it costs enrolment, not power."""

    months: Annotated[float, Field(gt=0, le=24)]
    loss: Figure

    @model_validator(mode="after")
    def _is_a_share(self):
        if not 0 <= self.loss.value < 1:
            raise PydanticCustomError("run_in", "a loss from 0 to below 1")
        return self


class Design(Sized):
    """What every design declares. The first analysis is the primary one; arms are in the order of the file.

    visits: months since the first infusion, the last one the endpoint. onset: share of the effect present at each
    visit.
    """

    ALLOWED: ClassVar[tuple] = ()
    """The classes of analyses that are valid for this kind."""

    SHORT: ClassVar[tuple[str, ...]] = ("month", "ratio", "dropout", "sd_change", "baseline_correlation")
    """The keys of the short form, which every design takes; see `trial.short`."""

    design: str = Field(default="", max_length=300)
    kind: str
    title: str = Field(min_length=3, max_length=200)
    source: str = Field(min_length=3, max_length=400)
    arms: Annotated[list[TrialArm], Field(min_length=1, max_length=8)]
    visits: Annotated[list[Annotated[float, Field(gt=0, le=120)]], Field(min_length=1, max_length=8)]
    onset: list[Annotated[float, Field(ge=0, le=2)]] | None = None
    children: Annotated[NormalChildren | PopulationChildren, Field(discriminator="kind")]
    randomisation: Randomisation = Randomisation()
    objective: Objective = Objective()
    run_in: RunIn | None = None
    alpha: Annotated[float, Field(ge=1e-6, le=0.5)] = 0.05
    analyses: Annotated[list[AnyAnalysis], Field(min_length=1, max_length=12)]
    setting: Setting = Setting()

    @model_validator(mode="after")
    def _consistent(self):
        problems = []
        names = [arm.name for arm in self.arms]
        if len(set(names)) != len(names):
            problems.append("a different name for each arm")
        if min(arm.ratio for arm in self.arms) != 1:
            problems.append("ratio 1 for the smallest arm: n counts its children")
        if len({arm.n is None for arm in self.arms}) > 1:
            problems.append("n for all arms or for none")
        if sorted(set(self.visits)) != self.visits:
            problems.append("visits in rising order, none twice")
        if self.onset is not None and len(self.onset) != len(self.visits):
            problems.append("as many values of onset as visits")
        labels = [a.label for a in self.analyses]
        if len(set(labels)) != len(labels):
            problems.append("no analysis twice")
        for analysis in self.analyses:
            if not isinstance(analysis, self.ALLOWED):
                problems.append(f"no analysis {analysis.method}: it is not valid for a {self.kind} design")
            if isinstance(analysis, Responder) and self.objective.claim != "superiority":
                problems.append("claim superiority for a responder analysis: a margin in points says nothing of shares")
            wants = set(getattr(analysis, "covariates", ())) - {"baseline"}
            if "centre" in wants and self.children.centres is None:
                problems.append("centres among the children, where an analysis adjusts for centre")
            if wants - {"centre"} and self.children.kind == "normal":
                problems.append("children of kind population, where an analysis adjusts for level or age")
        if self.randomisation.strata and self.children.kind == "normal":
            problems.append("children of kind population, where randomisation is stratified")
        if any(getattr(a, "sd", "observed") == "known" for a in self.analyses) and not self.two_arms_one_test:
            problems.append("sd known only for one z test of two arms of normal children at one visit")
        problems += self._own_problems()
        if problems:
            raise PydanticCustomError("design", "{words}", {"words": "; ".join(dict.fromkeys(problems))})
        return self

    def _own_problems(self) -> list[str]:
        """Return what a kind asks beyond the rest."""
        return []

    @property
    def month(self) -> float:
        """The month of the endpoint."""
        return self.visits[-1]

    @property
    def two_arms_one_test(self) -> bool:
        """Whether this is one t test, or z test with known SD, of the independent normal changes of two arms."""
        children, (first, *others) = self.children, self.analyses
        return (
            (self.kind, children.kind, len(self.arms), len(self.visits)) == ("parallel", "normal", 2, 1)
            and not others
            and (first.method == "t" or (first.method == "z" and first.sd == "known"))
            and self.objective.claim == "superiority"
            and self.randomisation.method in ("block", "none")
            and children.dropout.mechanism == "completely_at_random"
            and children.missed.value == children.response_sd.value == 0
            and children.centres is None
            and self.run_in is None
            and list(self.share_present) == [1.0]
        )

    @property
    def endpoint(self) -> int:
        """The position of the endpoint among the visits."""
        return self.visits.index(self.month)

    @property
    def sd_change(self) -> LogNormal | Fixed:
        """The nuisance parameter that differs between truths: SD of observed minus expected change over 12 months."""
        return self.children.excess_sd.distribution

    @property
    def dropout(self) -> float:
        """The share of children lost before the last visit."""
        return self.children.dropout.value

    @property
    def control(self) -> TrialArm | None:
        """The first arm without cells; None in a trial of one arm."""
        return next((arm for arm in self.arms if arm.dose == 0), None)

    @property
    def active(self) -> TrialArm:
        """The arm with the highest dose."""
        return max(self.arms, key=lambda arm: arm.dose)

    @property
    def weights(self) -> np.ndarray:
        """Weights (A,) of the arms in the primary contrast, adding up to 0: the active arm minus control."""
        return np.array([float(arm == self.active) - float(arm == self.control) for arm in self.arms])

    @property
    def share_present(self) -> np.ndarray:
        """The share of the effect present at each visit (V,)."""
        return np.array(self.onset if self.onset is not None else [1.0] * len(self.visits))

    def rerun(self) -> "tuple[Design, int]":
        """Return the design with the allocation of the trial as it was run, and the n that gives its sizes exactly.

        Raises ValueError for a trial that was not run: its arms have no n.
        """
        if self.as_run is None:
            raise ValueError(f"the arms of {self.title} have no n: it was not run")
        smallest = min(self.as_run.values())
        arms = [arm.model_copy(update={"ratio": arm.n / smallest}) for arm in self.arms]
        return self.model_copy(update={"arms": arms}), smallest

    @property
    def as_run(self) -> dict[str, int] | None:
        """The children randomised to each arm as the trial was run; None for a trial not run."""
        return {arm.name: arm.n for arm in self.arms} if self.arms[0].n else None


def _two_arms(design: Design) -> list[str]:
    return (
        [] if sorted(arm.dose > 0 for arm in design.arms) == [False, True] else ["one arm with and one without cells"]
    )


class ParallelArms(Design):
    """Arms side by side: control and one or several doses, any allocation."""

    ALLOWED = (*BETWEEN_ARMS, *ALONG_DOSES)
    kind: Literal["parallel"]

    def _own_problems(self):
        doses = [arm.dose for arm in self.arms]
        problems = [] if doses.count(0) == 1 and len(doses) > 1 else ["one arm with dose 0 and at least one with cells"]
        if any(isinstance(a, ALONG_DOSES) for a in self.analyses):
            if len(doses) < 3:
                problems.append("at least two doses beside control for trend, Dunnett and MCP-Mod")
            if self.objective.claim != "superiority":
                problems.append("claim superiority for trend, Dunnett and MCP-Mod")
        return problems


class Factorial(Design):
    """Two by two (Min 2020): neither, cells, the other drug, both. The contrast is the main effect of the cells.

    Score = expected + effect of the cells + drug_effect + interaction (cells and drug together), by onset.
    """

    ALLOWED = (TTest, Ancova)
    kind: Literal["factorial"]
    drug: str = Field(min_length=2, max_length=60)
    drug_effect: Figure
    interaction: Figure

    def _own_problems(self):
        cells = sorted((arm.dose > 0, arm.drug) for arm in self.arms)
        four = [(False, False), (False, True), (True, False), (True, True)]
        problems = [] if cells == four else ["four arms: neither, cells, drug, both"]
        return problems + (
            [] if len({a.dose for a in self.arms if a.dose > 0}) == 1 else ["the same dose in both arms"]
        )

    @property
    def weights(self):
        return np.array([0.5 if arm.dose > 0 else -0.5 for arm in self.arms])


class Crossover(Design):
    """Cells first or after the first period (Sun 2017): the visits are the ends of the two periods.

    Cells stay in the body, so a treated child keeps its gain. In the second period the arm treated second gains the
    effect; the arm treated first gains carry_over times the effect once more (0: keeps what it has; below 0: loses).
    All gain period_effect in the second period beside their expected change.
    """

    ALLOWED = (*BETWEEN_ARMS, WithinChild)
    kind: Literal["crossover"]
    carry_over: Figure
    period_effect: Figure

    def _own_problems(self):
        visits = [] if len(self.visits) == 2 else ["two visits, the ends of the two periods"]
        return _two_arms(self) + visits + ([] if self.onset is None else ["no onset: a period is long enough"])

    @property
    def month(self) -> float:
        """The end of the first period: analyses between arms look at it, before the control children get cells."""
        return self.visits[0]


class Pairs(Design):
    """Pairs of children, twins for example (Wang 2015), one of each to each arm; n counts pairs."""

    ALLOWED = (PairedT,)
    kind: Literal["pairs"]
    pair_correlation: Figure

    def _own_problems(self):
        ratio = [] if all(arm.ratio == 1 for arm in self.arms) else ["no ratio: a pair has a child in each arm"]
        share = [] if 0 <= self.pair_correlation.value < 1 else ["a pair_correlation from 0 to below 1"]
        block = [] if self.randomisation.method == "block" else ["block randomisation: a pair has a child in each arm"]
        return _two_arms(self) + ratio + share + block


class Cluster(Design):
    """Whole clusters of children (therapists, centres) randomised; n counts children, in clusters of cluster_size.

    So n is a multiple of cluster_size, and in every arm: its ratio is one of clusters.
    """

    ALLOWED = (ClusterT,)
    kind: Literal["cluster"]
    cluster_size: Annotated[int, Field(ge=1, le=500)]
    icc: Figure

    def _own_problems(self):
        share = [] if 0 <= self.icc.value < 1 else ["an icc from 0 to below 1"]
        strata = ["no strata: whole clusters are randomised"] if self.randomisation.strata else []
        split = any(n % self.cluster_size for n in (self.as_run or {}).values())
        whole = [f"an n of whole clusters of {self.cluster_size} in each arm"] if split else []
        return _two_arms(self) + share + strata + whole

    @property
    def step(self):
        return self.cluster_size


class SingleArm(Design):
    """One arm with cells, held against natural history or historical children."""

    ALLOWED = (OneSample, Historical)
    kind: Literal["single_arm"]

    def _own_problems(self):
        return [] if len(self.arms) == 1 and self.arms[0].dose > 0 else ["one arm, with cells"]


AnyDesign = Annotated[ParallelArms | Factorial | Crossover | Pairs | Cluster | SingleArm, Field(discriminator="kind")]
