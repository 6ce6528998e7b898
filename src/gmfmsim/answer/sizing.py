"""The required n of a plan and success over n: exactly where that is possible, else from simulated trials."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from gmfmsim.answer.truths import conditions_of, effects_of, truths_of
from gmfmsim.compute.executors import in_order
from gmfmsim.compute.labels import xr
from gmfmsim.compute.text import percent, plain
from gmfmsim.faults import Fault, InputError
from gmfmsim.model.average import Member, given_readings, refitted
from gmfmsim.model.curves import Curve
from gmfmsim.model.effect import Mixture, Of
from gmfmsim.model.gate import apart_row
from gmfmsim.model.truths import (
    Belief,
    Truths,
    along_doses,
    belief,
    exact_belief,
    exact_belief_along,
    known,
    mixed_belief,
    said,
    with_loading,
)
from gmfmsim.progress import UNSEEN, Steps
from gmfmsim.question.plan import Prepared
from gmfmsim.question.question import Question
from gmfmsim.trial import exact, size
from gmfmsim.trial.change_sd import change_sd, spread_in_words
from gmfmsim.trial.design import Design
from gmfmsim.trial.looks.words import name_of
from gmfmsim.trial.operate import engine_of, fewer, primary_only
from gmfmsim.trial.simulate import simulate
from gmfmsim.trial.size import SCENARIO, RequiredN

FEWEST_SHOWN = 10
"""Children an arm with whom a curve begins."""

OF: dict[str, Of] = {"new_study": "new_study", "pooled_mean": "mean"}
"""The scenarios in which models say what the effect is, and of what each asks them."""

ELSEWHERE, FEWEST_ELSEWHERE = 4, 1000
"""Of the trials at the answer, one in so many is simulated at other n where children are drawn, at least so many."""

CHECKED = (0.4, 1.0)
"""Shares of the answer's n at which exact success is held to simulated trials."""


@dataclass(frozen=True)
class Sizing:
    """A plan with its models, fitted once they are asked for, and what their effects are in the trial.

    remembers: what the models of the plan say of the effect is taken from the user's cache where it is there: another
    drop-out, SD, alpha or target then fits nothing.
    """

    prepared: Prepared
    fitting: Callable[[], list[Member]]
    remembers: bool = False
    _given: dict[bytes, Sizing] = field(default_factory=dict, repr=False)
    _parts: dict[Of, list[Belief]] = field(default_factory=dict, repr=False)
    _beliefs: dict[str, Belief] = field(default_factory=dict, repr=False)

    @cached_property
    def members(self) -> list[Member]:
        """The fitted models with their shares."""
        return self.fitting()

    def given(self, taken: np.ndarray) -> Sizing:
        """Return the plan with its models given some of the combinations of readings, by quick fits."""
        key = taken.tobytes()
        if key not in self._given:
            data, choice = self.prepared.contrasts, self.prepared.plan.model
            if taken.all():
                members = refitted(self.prepared.models, data, choice, quick=True)
            else:
                members = given_readings(self.given(np.ones(taken.size, bool)).members, data, taken, choice)
            self._given[key] = Sizing(self.prepared, lambda: members)
        return self._given[key]

    @cached_property
    def known_law(self) -> bool:
        """Whether the law of the primary test is known: its power at a known effect is computed without sampling."""
        trial = self.prepared.plan.trial
        return exact.qualifies(trial, trial.analyses[0], joint=self._along) is None

    @cached_property
    def exact(self) -> bool:
        """Whether n and success are computed without sampling: exact posteriors, and a test whose law is known."""
        return self.known_law and self.integrated

    @cached_property
    def integrated(self) -> bool:
        """Whether the models of the plan are integrated exactly, or an estimate is taken that needs none."""
        prepared = self.prepared
        return not prepared.models or (prepared.plan.sampler.engine != "nuts" and not prepared.refused)

    @cached_property
    def _along(self) -> bool:
        """Whether the primary test is of several doses, so that their effects are believed in together."""
        trial = self.prepared.plan.trial
        return exact.along_doses(trial, trial.analyses[0])

    def believed(
        self, mixture: Mixture, curve: Curve, of: Of = "new_study", doses: dict[str, float] | None = None
    ) -> Belief:
        """Return what an exact posterior says of the effect of the active arm, or of all arms, against control.

        doses: others than those of the arms, by name.
        """
        arms, active = conditions_of(self.prepared, doses), self.prepared.plan.trial.active.name
        if self._along:
            return exact_belief_along(mixture, curve, arms, active, of)
        return exact_belief(mixture, curve, arms[active], of)

    def by_model(self, of: Of = "new_study") -> list[Belief]:
        """Return by model the effect of the active arm against control: in a new study, or in the mean of studies."""
        if of not in self._parts:
            self._parts[of] = list(in_order(lambda m: self.believed(m.mixture, m.curve, of), self.members))
        return self._parts[of]

    def belief(self, scenario: str = "new_study") -> Belief:
        """Return the effect of the active arm against control in a scenario of `truths`, models mixed."""
        if scenario not in OF:
            one = known(self.prepared.plan.search.planning_value if scenario == "planning_value" else 0.0)
            treated = {arm.name: float(arm.dose > 0) for arm in self.prepared.plan.trial.arms}
            return along_doses(one, treated) if self._along else one
        if scenario not in self._beliefs:
            self._beliefs[scenario] = self._recalled(OF[scenario]) if self.remembers else self._mixed(OF[scenario])
        return self._beliefs[scenario]

    def _recalled(self, of: Of) -> Belief:
        """Return `_mixed`, at once where it is remembered; a published estimate is at hand."""
        if not self.prepared.models:
            return self._mixed(of)
        arms = conditions_of(self.prepared)
        found = self.prepared.recalled(f"{of} {self._along} {arms}", lambda: self._mixed(of).columns)
        loading = found.pop("loading", None)
        one = belief(**found, **said(arms[self.prepared.plan.trial.active.name]))
        return one if loading is None else with_loading(one, loading, [*arms])

    def _mixed(self, of: Of) -> Belief:
        return mixed_belief(self.by_model(of), [m.share for m in self.members])

    @property
    def beliefs(self) -> dict[str, Belief]:
        """The effect in every scenario."""
        return {scenario: self.belief(scenario) for scenario in (*OF, "planning_value", "null")}

    @cached_property
    def effects(self) -> xr.Dataset:
        """Draws of the effects in the arms of the trial."""
        return effects_of(self.prepared, self.members)

    @cached_property
    def truths(self) -> Truths:
        """Draws of what may be true in the trial."""
        return truths_of(self.prepared, self.effects)

    def required(self, advance: Steps = UNSEEN) -> RequiredN:
        """Return the required n."""
        plan, scenario = self.prepared.plan, SCENARIO[self.prepared.plan.search.target.metric]
        if not self.computed(scenario):
            return size.required_n(self.truths, plan.trial, plan.search, seed=plan.seed, advance=advance)
        belief = self.belief(scenario)
        return exact.required_n(exact.Assurance(plan.trial, plan.trial.analyses[0], belief), plan.search)

    def computed(self, scenario: str) -> bool:
        """Whether success in a scenario is computed without sampling; at an effect that is known without a fit."""
        return self.exact if scenario in OF else self.known_law

    def success(self, scenario: str, n: int) -> tuple[float, float]:
        """Return success of the primary analysis at n in a scenario, and its MCSE: NaN where it is computed exactly."""
        plan = self.prepared.plan
        if self.computed(scenario):
            return exact.Assurance(plan.trial, plan.trial.analyses[0], self.belief(scenario)).at(n), math.nan
        first, engine = primary_only(plan.trial)
        found = simulate(self.truths.sel(scenario=[scenario]), first, n=[n], seed=plan.seed, engine=engine)
        return found["success"].item(), found["success_mcse"].item()

    def surface(self, n: list[int], advance: Steps = UNSEEN, *, answer: int | None = None) -> xr.Dataset:
        """Return success of every analysis in every scenario over n; that of the primary one exactly where it can be.

        What is simulated stands beside it: a design of several analyses has all their figures, from fewer trials where
        n is not that of the `answer`.
        """
        plan = self.prepared.plan
        if not self.exact:
            return self._simulated(n, advance, answer)
        known = exact.curves(plan.trial, self.beliefs, n, advance)
        if plan.trial.two_arms_one_test:
            return known
        found = self._simulated(n, advance, answer)
        for name in ("success", "success_mcse", "harm", "harm_mcse"):
            found[name][{"analysis": 0}] = known[name].isel(analysis=0).values
        return found.assign({name: known[name] for name in ("plateau", "plateau_mcse")})

    def primary(self, n: list[int], advance: Steps = UNSEEN, *, answer: int | None = None) -> xr.Dataset:
        """Return success of the primary analysis in every scenario over n, as `surface`; the others are not simulated
        where it is known exactly."""
        if not self.exact:
            return self.surface(n, advance, answer=answer).isel(analysis=[0])
        return exact.curves(self.prepared.plan.trial, self.beliefs, n, advance)

    def at(self, n: int, advance: Steps = UNSEEN) -> tuple[dict[str, tuple[float, float]], tuple[float, float]]:
        """Return success of the primary analysis at n in every scenario, and the plateau in a new study, each with its
        MCSE: NaN where it is computed exactly."""
        trial = self.prepared.plan.trial
        if self.exact:
            known = {name: exact.Assurance(trial, trial.analyses[0], of) for name, of in self.beliefs.items()}
            return {name: (of.at(n), math.nan) for name, of in known.items()}, (known["new_study"].plateau(), math.nan)
        found = self.surface([n], advance, answer=n).isel(analysis=0, n=0)

        def figure(name: str, scenario: str) -> tuple[float, float]:
            here = found.sel(scenario=scenario)
            return here[name].item(), here[f"{name}_mcse"].item()

        scenarios = found["scenario"].values.tolist()
        return {name: figure("success", name) for name in scenarios}, figure("plateau", "new_study")

    def _simulated(self, n: list[int], advance: Steps, answer: int | None) -> xr.Dataset:
        """Return the simulated figures over n; where children are drawn one by one and n is not that of the answer,
        from a share of the trials. attrs: replicates at the answer, replicates_elsewhere."""
        trial, seed, replicates = self.prepared.plan.trial, self.prepared.plan.seed, self.truths.sizes["draw"]
        away = [k for k in n if k != answer] if answer in n and engine_of(trial) == "children" else []
        found = simulate(self.truths, trial, n=[k for k in n if k not in away], seed=seed, advance=advance)
        if away:
            few = fewer(self.truths, max(replicates // ELSEWHERE, min(replicates, FEWEST_ELSEWHERE)))
            rest = simulate(few, trial, n=away, seed=seed, advance=advance).drop_vars(("plateau", "plateau_mcse"))
            found = xr.concat([found, rest], "n", data_vars="minimal", combine_attrs="override").sortby("n")
            replicates = few.sizes["draw"]
        return found.assign_attrs(replicates_elsewhere=replicates)

    def behind(self, required: RequiredN) -> dict | None:
        """Return what lies behind the n of the answer, see `trial.exact.behind`; None where it is simulated."""
        search, trial = self.prepared.plan.search, self.prepared.plan.trial
        if not self.exact or required.reference_n is None:
            return None
        return exact.behind(trial, self.belief(), required.reference_n, search.target.value)

    def assured(self, variant: Design, n: int) -> tuple[float, float]:
        """Return assurance of the trial with other arms, at n, and its MCSE: NaN where it is computed exactly."""
        prepared, first = self.prepared, variant.analyses[0]
        doses = {arm.name: arm.dose for arm in variant.arms}
        if self.exact:
            parts = [self.believed(m.mixture, m.curve, doses=doses) for m in self.members]
            whole = mixed_belief(parts, [m.share for m in self.members])
            return exact.Assurance(variant, first, whole).at(n), math.nan
        truths = truths_of(prepared, effects_of(prepared, self.members, doses)).sel(scenario=["new_study"])
        surface = simulate(truths, variant, n=[n], seed=prepared.plan.seed).isel(analysis=0)
        return surface["success"].item(), surface["success_mcse"].item()

    def checked(self, n: int, advance: Steps = UNSEEN) -> list[dict]:
        """Return the row of the gate that holds exact success to simulated trials, about n; none without exact ones.

        In MCSE, or in binomial errors of the exact success where these are larger: of few failures, or none, the
        simulated trials tell their own error badly.
        """
        plan = self.prepared.plan
        if not self.exact:
            return []
        grid = sorted({plan.trial.at_least(share * n) for share in CHECKED})
        found = simulate(self.truths, plan.trial, n=grid, seed=plan.seed, advance=advance).isel(analysis=0)
        known = exact.curves(plan.trial, self.beliefs, grid, advance).isel(analysis=0)
        expected = known["success"].transpose("scenario", "n").values
        apart = abs(found["success"].transpose("scenario", "n").values - expected)
        binomial = np.sqrt(expected * (1 - expected) / found.attrs["replicates"])
        mcse = np.maximum(found["success_mcse"].transpose("scenario", "n").values, binomial)
        distance = np.divide(apart, mcse, out=np.zeros(apart.shape), where=apart > 0)
        at = np.unravel_index(int(np.argmax(distance)), distance.shape)
        where = f"{known['scenario'].values[at[0]]}, {plan.trial.total(grid[at[1]])} children"
        return [apart_row("exact and simulated success apart", float(distance[at]), where)]


NO_NUMBER = {
    "plateau": "no number of children",
    "limit": "no number up to search.max_n_per_arm",
    "undecided": "not decided whether any number",
    "time": "no number found in the time given",
}
"""What is said where there is no n."""


def of_plans(question: Question, figures: Callable[[Prepared], dict[str, Any]]) -> dict[str, Any]:
    """Return figures of every plan of a question: the first plan's with the question, the others' as `alternatives`.

    Raises InputError where there is no plan.
    """
    if not question.plans:
        raise InputError([without_n(question)])
    first, *others = [plain(figures(prepared)) for prepared in question.plans]
    head = {"experiment": question.name, "question": question.text}
    return head | first | ({"alternatives": others} if others else {})


def without_n(question: Question) -> Fault:
    """Return the fault of a question without a plan, where an n is asked for."""
    where, what = question.without_plans
    return Fault(question.name, where, f"{what} has no n", "an experiment with a plan")


def in_figures(prepared: Prepared, required: RequiredN) -> dict[str, Any]:
    """Return the required n of a plan with its target, children in all and by arm."""
    trial = prepared.plan.trial
    return {
        "label": prepared.plan.label,
        "target": prepared.plan.search.target.model_dump(),
        "status": required.status,
        "why": required.why,
        "n_total": required.n and trial.total(required.n),
        "n_by_arm": required.n and trial.sizes(required.n),
        "exposed": required.n and exposed(trial, required.n),
        "plateau": required.plateau,
        "plateau_mcse": required.plateau_mcse,
    }


def exposed(trial: Design, n: int) -> int:
    """Return the children who get cells at n, sooner or later."""
    treated = trial.treatment(np.zeros((len(trial.arms), 1))).treated
    return sum(size for size, gets in zip(trial.sizes(n).values(), treated, strict=True) if gets)


SUCCESS = {"assurance": "new_study", "power": "planning_value", "false_claims": "null"}
"""What is said of success at the n of an answer, and in which scenario."""


def success_at(surface: xr.Dataset, n: int | None) -> dict[str, Any]:
    """Return success of the primary analysis at n, with `_mcse`, of a surface that has it; null without an n."""
    found: dict[str, Any] = {}
    for name, scenario in SUCCESS.items():
        at = None if n is None else surface.isel(analysis=0).sel(scenario=scenario, n=n)
        found |= {name + end: None if at is None else at[f"success{end}"].item() for end in ("", "_mcse")}
    return found


def at_answer(sizing: Sizing, required: RequiredN) -> dict[str, Any]:
    """Return power at the planning value and assurance at the required n, null without one, with `_mcse`.

    Of a target of power assurance is null too where only a fit could say it: n needs none.
    """
    plan, fitted = sizing.prepared.plan, bool(sizing.prepared.models)
    unasked = plan.search.target.metric == "power" and sizing.known_law and fitted
    found: dict[str, Any] = {}
    for metric, scenario in SCENARIO.items():
        there = required.n is not None and not (metric == "assurance" and unasked)
        value, mcse = sizing.success(scenario, required.n) if there else (None, None)
        found |= {metric: value, f"{metric}_mcse": mcse}
    return found


def assumed(prepared: Prepared) -> dict[str, Any]:
    """Return what figures of a plan take as given, by name: numbers as numbers, the rest in words."""
    plan, trial = prepared.plan, prepared.plan.trial
    known, within = getattr(trial.children, "baseline_correlation", None), trial.unit_correlation
    units = {"within_units": f"correlation within {trial.UNIT} {within}"} if within else {}
    return units | {
        "design": trial.title,
        "effect": f"{plan.search.planning_value:g} {prepared.unit}",
        "planning_value": plan.search.planning_value,
        "month": trial.month,
        "sd_of_change": spread_in_words(change_sd(trial), prepared.unit),
        "analysis": trial.analyses[0].label,
        "looks": name_of(trial.looks) if trial.looks else None,
        "claim": trial.objective.claim,
        "alpha": trial.alpha,
        "dropout": trial.dropout,
        "ratio": {arm.name: arm.ratio for arm in trial.arms},
        "dose": {arm.name: arm.dose for arm in trial.arms},
        "baseline_correlation": known and known.value,
        "evidence": prepared.source,
        "model": ", ".join(prepared.models) + (f", weighed by {plan.model.weights}" if len(prepared.models) > 1 else "")
        or "none",
    }


def in_words(taken: dict[str, Any]) -> Iterator[str]:
    """Yield `assumed` as lines for a terminal."""
    ratio = " : ".join(f"{share:g}" for share in taken["ratio"].values())
    correlation = taken["baseline_correlation"]
    claimed = f"{taken['claim'].replace('_', '-')} at two-sided alpha {taken['alpha']:g}"
    yield f"  assumed: SD of {taken['month']:g}-month change {taken['sd_of_change']}"
    if correlation is not None:
        yield f"    correlation of baseline and endpoint {correlation:g}"
    if "within_units" in taken:
        yield f"    {taken['within_units']}"
    if taken["looks"]:
        yield f"    looks {taken['looks']}"
    arms, lost = " : ".join(taken["ratio"]), percent(taken["dropout"])
    yield f"    {taken['analysis']}, {claimed}; {arms} as {ratio}; {lost} drop out"
    yield f"    evidence: {taken['evidence']}; model: {taken['model']}"


def in_short(row: dict[str, Any]) -> str:
    """Say `in_figures` in a line."""
    arms = ", ".join(f"{n} {arm}" for arm, n in (row["n_by_arm"] or {}).items())
    answer = f"{row['n_total']} children ({arms})" if row["n_total"] else NO_NUMBER[row["why"]]
    goal = f"{percent(row['target']['value'])} {row['target']['metric']}"
    return f"{row['label']}: {answer} for {goal}; plateau {percent(row['plateau'])}"


def shown_n(required: RequiredN, surface: xr.Dataset) -> int:
    """Return the n of the answer, or the largest of the surface where it has none."""
    return required.reference_n or int(surface["n"].values[-1])


def is_design(prepared: Prepared) -> bool:
    """Return whether the trial of a plan is simulated on children, with all analyses that its design names."""
    return not prepared.plan.trial.two_arms_one_test


def grid_of(prepared: Prepared, required: RequiredN) -> list[int]:
    """Return the n at which a plan is shown."""
    return design_grid(prepared.plan.trial, required) if is_design(prepared) else curve_grid(required)


def design_grid(design: Design, required: RequiredN) -> list[int]:
    """Return the n at which a design is shown: about the answer, and as it was run; of those that it can have."""
    middle = required.reference_n or design.at_least(100)
    marks = [required.n, required.reference_n, min(design.as_run.values()) if design.as_run else None]
    around = [design.at_least(max(4, round(middle * share))) for share in (0.25, 0.5, 0.75, 1.25, 1.6)]
    return sorted({*around, *(n for n in marks if n)})


def curve_grid(required: RequiredN, points: int = 28) -> list[int]:
    """Return the n at which curves are shown: denser where they are steep, the answer and its interval included."""
    marks = [required.n, required.n_at_95_plateau, *(required.interval or ())]
    known = [n for n in marks if n is not None]
    top = max(2 * (required.reference_n or 100), 100, *(min(n, 3 * (required.reference_n or n)) for n in known or [0]))
    first = min(FEWEST_SHOWN, top // 10)
    grid = np.round(first + (top - first) * np.linspace(0, 1, points) ** 2).astype(int)
    return sorted({*grid.tolist(), *(n for n in known if n <= top)})
