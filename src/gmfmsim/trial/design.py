"""What every design of a trial declares and answers; what a kind has of its own is in its file of trial.kinds."""

from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from gmfmsim.compute.algebra import dot
from gmfmsim.dist.distributions import Fixed
from gmfmsim.dist.positive import LogNormal, LogStudentT
from gmfmsim.evidence.formulas.dose import Dose
from gmfmsim.files.toml import Spec, key
from gmfmsim.model.setting import Setting
from gmfmsim.trial.analyses import AnyAnalysis, Responder
from gmfmsim.trial.children import NormalChildren, PopulationChildren
from gmfmsim.trial.looks.declare import Looks
from gmfmsim.trial.sizes import Sized
from gmfmsim.trial.sourced import Correlation, Figure


class TrialArm(Spec):
    """One arm of a trial."""

    name: Annotated[str, key("what it is called", example="cells", min_length=1, max_length=40)]
    dose: Annotated[Dose, key("total over all infusions, with its unit; 0 without cells", example="5e7 cells/kg")]
    ratio: Annotated[float, key("its children for each child of the smallest arm, which has 1", ge=1, le=20)] = 1
    n: (
        Annotated[int, key("children randomised, where the trial was run", "children", example=31, ge=1, le=100_000)]
        | None
    ) = None
    drug: Annotated[bool, key("whether it gets the second drug of a factorial design")] = False


class Randomisation(Spec):
    """How children come to arms.

    simple: each child by itself, so that arm sizes vary; block: permuted blocks over all children, so that arm sizes
    are as planned; stratified: permuted blocks of `block` children within every stratum of `strata`; none: not
    randomised, arm sizes as planned, as if children alternated (who chooses which arm is not simulated).
    """

    method: Annotated[Literal["simple", "block", "stratified", "none"], key("how")] = "block"
    block: Annotated[int, key("children of a block", "children", example=4, ge=2, le=60)] | None = None
    strata: Annotated[list[Literal["level", "age"]], key("what children are stratified by")] = Field([])

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
    one-sided tests at alpha / 2 each. A decision_value makes a dual criterion of significance and relevance
    (Roychoudhury, Scheuer & Neuenschwander 2018).
    """

    claim: Annotated[Literal["superiority", "non_inferiority", "equivalence"], key("what is to be shown")] = (
        "superiority"
    )
    margin: Annotated[float, key("of non-inferiority or equivalence", "GMFM-66 points", ge=0, le=50)] = 0
    decision_value: (
        Annotated[float, key("above which the estimate must lie besides", "GMFM-66 points", example=1.4, gt=0, le=50)]
        | None
    ) = Field(default=None, exclude_if=lambda v: v is None)

    @model_validator(mode="after")
    def _margin_where_needed(self):
        if (self.claim == "superiority") != (self.margin == 0):
            raise PydanticCustomError("objective", "a margin above 0, exactly for non_inferiority and equivalence")
        if self.decision_value is not None and self.claim != "superiority":
            raise PydanticCustomError("objective", "a decision_value only for superiority")
        return self


class RunIn(Spec):
    """Months before randomisation in which children are lost: it costs enrolment, not power."""

    months: Annotated[float, key("how long it takes", "months", example=3, gt=0, le=24)]
    loss: Annotated[Figure, key("children lost in the run-in", "share")]

    @model_validator(mode="after")
    def _is_a_share(self):
        if not 0 <= self.loss.value < 1:
            raise PydanticCustomError("run_in", "a loss from 0 to below 1")
        return self


class Treatment(NamedTuple):
    """What the arms get: points of a child = times x its own response + other, in GMFM-66 points.

    response (A, R): mean response of the children of an arm to its cells; times (A, V): how much of it is present at
    each visit; other (A, V): what does not depend on the child; treated (A,): whether an arm ever gets cells.
    """

    response: np.ndarray
    times: np.ndarray
    other: np.ndarray
    treated: np.ndarray


class Design(Sized):
    """What every design declares. The first analysis is the primary one; arms are in the order of the file.

    A kind declares its own figures, and answers otherwise where its children, arms or contrast differ from children
    randomised one by one to arms side by side.
    """

    ALLOWED: ClassVar[tuple] = ()
    """The classes of analyses that are valid for this kind."""

    ENDPOINT: ClassVar[int] = -1
    """The position of the endpoint among the visits."""

    TAKES_ONSET: ClassVar[bool] = True
    """Whether the effect may be there in part at a visit before the endpoint."""

    UNIT: ClassVar[str] = ""
    """What groups of children who resemble each other are called, pairs or clusters; nothing where there are none."""

    UNIT_CORRELATION: ClassVar[str] = ""
    """The figure that says how alike the changes of children of one unit are; nothing where there are none."""

    SHORT: ClassVar[tuple[str, ...]] = ("month", "ratio", "dropout", "sd_change", "sd_ratio", "baseline_correlation")
    """The keys of the short form, which every design takes; see `trial.short`."""

    design: Annotated[
        str,
        key(
            "one whose keys hold where none is said: a shipped one, or a .toml file",
            example="next_parallel",
            max_length=300,
        ),
    ] = ""
    kind: Annotated[str, key("which kind of design: with it, the declaration is whole", example="parallel")]
    title: Annotated[str, key("the design in a few words", example="Two arms, 12 months", min_length=3, max_length=200)]
    source: Annotated[str, key("where the design comes from", example="this protocol", min_length=3, max_length=400)]
    arms: Annotated[list[TrialArm], key("in the order of pages and figures", min_length=1, max_length=8)]
    visits: Annotated[
        list[Annotated[float, Field(gt=0, le=120)]],
        key(
            "since the first infusion, the last one the endpoint", "months", example=[6, 12], min_length=1, max_length=8
        ),
    ]
    onset: Annotated[
        list[Annotated[float, Field(ge=0, le=2)]] | None,
        key("share of the effect present at each visit; all of it where none is said", example=[0.5, 1]),
    ] = None
    children: Annotated[
        NormalChildren | PopulationChildren, key("a name, a .toml file, or a table: who they are", discriminator="kind")
    ]
    randomisation: Annotated[Randomisation, key("how children come to arms")] = Randomisation()
    objective: Annotated[Objective, key("what success means")] = Objective()
    looks: Annotated[Looks | None, key("looks before the end, at which the trial may stop")] = Field(
        default=None, exclude_if=lambda v: v is None
    )
    run_in: Annotated[RunIn | None, key("time before randomisation in which children are lost")] = None
    alpha: Annotated[float, key("two-sided level of the test", ge=1e-6, le=0.5)] = 0.05
    analyses: Annotated[list[AnyAnalysis], key("the first one is the primary", min_length=1, max_length=12)]
    setting: Annotated[Setting, key("what the effect may depend on beside its dose")] = Setting()

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
            if self.objective.decision_value is not None and not analysis.by_estimate:
                problems.append(
                    f"no decision_value for {analysis.method}: it decides by more than one estimate in points"
                )
            wants = set(getattr(analysis, "covariates", ())) - {"baseline"}
            if "centre" in wants and self.children.centres is None:
                problems.append("centres among the children, where an analysis adjusts for centre")
            if wants - {"centre"} and self.children.kind == "normal":
                problems.append("children of kind population, where an analysis adjusts for level or age")
        if self.randomisation.strata and self.children.kind == "normal":
            problems.append("children of kind population, where randomisation is stratified")
        if any(getattr(a, "sd", "observed") == "known" for a in self.analyses) and not self.two_arms_one_test:
            problems.append("sd known only for one z test of two arms of normal children at one visit")
        if any(arm.drug for arm in self.arms) and "drug" not in type(self).model_fields:
            problems.append("an arm with drug only in a factorial design")
        problems += _of_looks(self) if self.looks else []
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
        return self.visits[self.ENDPOINT]

    @property
    def not_normal(self) -> str | None:
        """Why scores are not jointly normal, of one covariance in arms of planned sizes, with losses at random; None
        where they are."""
        differ = "children respond differently" if self.children.response_sd.value > 0 else None
        return self.not_normal_in_arms or differ

    @property
    def not_normal_in_arms(self) -> str | None:
        """Why scores are not jointly normal in each arm by itself, where children may respond differently."""
        children = self.children
        reasons = {
            "children of the growth curves are not jointly normal": children.kind != "normal",
            "drop-out depends on the scores": children.dropout.mechanism != "completely_at_random",
            "visits are missed": children.missed.value > 0,
            "children of a centre resemble each other": children.centres is not None,
            "arm sizes vary under simple randomisation": self.randomisation.method not in ("block", "none"),
        }
        return next((reason for reason, holds in reasons.items() if holds), None)

    @property
    def two_arms_one_test(self) -> bool:
        """Whether this is one t test, or z test with known SD, of the independent normal changes of two arms."""
        return False

    @property
    def endpoint(self) -> int:
        """The position of the endpoint among the visits."""
        return self.visits.index(self.month)

    @property
    def sd_change(self) -> LogNormal | LogStudentT | Fixed:
        """The nuisance parameter that differs between truths: SD of observed minus expected change over 12 months."""
        return self.children.excess_sd.distribution

    @property
    def unit_correlation(self) -> Correlation | None:
        """The correlation of the changes of children of one unit, another nuisance parameter; None without units."""
        return getattr(self, self.UNIT_CORRELATION) if self.UNIT_CORRELATION else None

    def correlated(self, value: float) -> "Design":
        """Return the design with a known correlation within its units."""
        known = {"value": value, "sd": 0.0, "low": None, "high": None}
        return self.model_copy(update={self.UNIT_CORRELATION: self.unit_correlation.model_copy(update=known)})

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

    @property
    def unit(self) -> int:
        """Children of one unit, who resemble each other."""
        return 1

    def estimand(self, effect: np.ndarray) -> np.ndarray:
        """Return the true value (R,) of the primary contrast at the endpoint, for effects (A, R) of the arms.

        Between arms: sum of weight x effect x share present; in one arm the effect itself.
        """
        weights = self.weights if self.control else np.ones(1)
        return dot(weights, effect.T) * self.share_present[self.endpoint]

    def treatment(self, effect: np.ndarray) -> Treatment:
        """Return what the arms get for effects (A, R) of the arms at the endpoint: by onset, the same in every arm."""
        times = np.tile(self.share_present, (len(self.arms), 1))
        cells = np.array([arm.dose > 0 for arm in self.arms])
        return Treatment(np.ascontiguousarray(effect, float), times, np.zeros(times.shape), cells)

    def excess_parts(self, excess_sd: np.ndarray, correlation: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """Return the SDs (V, R) of a child's own true excess and of the part that its unit shares (0, 0: no unit), in
        trials of excess_sd (R,) and correlation (R,) within units."""
        return self.children.true_excess_sd(np.array(self.visits), excess_sd).T, np.zeros((0, 0))

    def uniform(self, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        """Draw uniforms (N, R) for level or age of the children."""
        return rng.random(shape)

    def standard_normal(
        self, shape: tuple[int, int], rng: np.random.Generator, correlation: np.ndarray | float
    ) -> np.ndarray:
        """Draw standard normals (N, R) for what sets children of one level and age apart."""
        return rng.standard_normal(shape)

    def allocated(self, verb: str, ratios: str, how: str) -> str:
        """Say who is allocated or randomised (`verb`) to arms in which ratios, and how."""
        return f"They are {verb} {ratios}{how}"

    def dose_words(self, arm: TrialArm) -> str:
        """Say what an arm gets."""
        return in_cells(arm.dose) if arm.dose else "no cells"

    def own_words(self) -> list[str]:
        """Say, in whole sentences, what only this kind of design has."""
        return []

    @property
    def contrast_words(self) -> str:
        """What the primary contrast is the effect of."""
        return f"{self.active.name} against {self.control.name}" if self.control else "the cells"


def in_cells(dose: float) -> str:
    """Return a dose above 0 in words."""
    return f"{dose:.3g} cells/kg".replace("e+0", "e").replace("e+", "e")


def _of_looks(design: Design) -> list[str]:
    """Return what is asked of a design with looks."""
    if not design.two_arms_one_test:
        words = "looks only for one t test, or z test with known SD, of two arms of normal children at one visit"
        return [f"{words}, of superiority"]
    from gmfmsim.trial.looks.bounds import bounds  # compiled code: loaded only where it is needed

    try:
        bounds(design.looks, design.alpha / 2)
    except ValueError as error:
        return [f"bounds of looks that can be: {error}"]
    return []


def one_with_cells(design: Design) -> list[str]:
    """Return what is asked of arms that are not one with and one without cells."""
    ok = sorted(arm.dose > 0 for arm in design.arms) == [False, True]
    return [] if ok else ["one arm with and one without cells"]
