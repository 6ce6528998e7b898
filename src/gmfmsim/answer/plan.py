"""One plan, the whole way: posterior, truths, required n, curves, readings, checks, and what else it asks."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import xarray as xr

from gmfmsim.answer.children import Reported, reported_changes
from gmfmsim.answer.course import n_by_month, over_months, sizing_of
from gmfmsim.answer.looks import looks_record
from gmfmsim.answer.posterior import checks_of, confirmed, fitted_models
from gmfmsim.answer.prior import prior_record
from gmfmsim.answer.readings import under_readings
from gmfmsim.answer.resources import resources
from gmfmsim.answer.sizing import Sizing, grid_of, in_figures, in_short, is_design, shown_n
from gmfmsim.answer.truths import effects_of, target_of
from gmfmsim.answer.value import value_record
from gmfmsim.answer.what_moves import what_moves
from gmfmsim.compute.executors import in_order
from gmfmsim.faults import GateFailed
from gmfmsim.model.average import Member
from gmfmsim.model.checks import Checks
from gmfmsim.model.effect import band
from gmfmsim.model.truths import effect_exactly
from gmfmsim.progress import Silent, Steps
from gmfmsim.question.plan import Plan, Prepared
from gmfmsim.trial import nuisance
from gmfmsim.trial.detectable import Effort, n_for_width, smallest_effect
from gmfmsim.trial.optimise import allocations
from gmfmsim.trial.size import RequiredN

NUISANCE_REPLICATES = 4_000
"""Trials of a design at each nuisance setting: a false-claim rate of 2.5 % is known to 0.25 %."""


STAGES = (
    *("models", "search for n", "check by sampling", "power and assurance curves", "draws of the posteriors"),
    *("simulated check", "effects", "readings of suspect figures", "what moves n", "checks of the models"),
    "further questions",
)
"""The stages of every plan."""


@dataclass(frozen=True)
class Answered:
    """What one plan came to: fitted models with their shares, required n, curves, seconds by stage.

    `gate` holds exact success to simulated trials. `effect` is the effect at the dose of the trial, mean of studies and
    new study; `over` the same over a range of doses (dose_response) and of months (course), where the models use them.
    `readings` has the answer
    under each reading of a suspect figure, `moves` under each changed assumption; `behind` the distributions of power
    and of n over truths, None where n is simulated; `checks` those of each fitted model. `asked` has what the plan asks
    beside n: detectable, precision, optimise, looks, prior, cost, duration, value; `type_one`, of a design, its false
    claims over nuisance settings.
    """

    prepared: Prepared
    members: list[Member]
    required: RequiredN
    surface: xr.Dataset
    gate: list[dict]
    effect: xr.Dataset
    over: dict[str, xr.Dataset | None]
    readings: list[dict]
    moves: list[dict]
    behind: dict | None
    checks: list[Checks]
    seconds: dict[str, float]
    asked: dict[str, object] = field(default_factory=dict)
    type_one: xr.Dataset | None = None

    @property
    def leading(self) -> Member:
        """The model with the largest share: the one that figures of single studies show."""
        return max(self.members, key=lambda m: m.share)

    @property
    def published_changes(self) -> list[Reported]:
        """What control arms of published trials changed at the month of the trial."""
        return reported_changes(self.prepared.tables, self.prepared.plan.trial.month)

    @property
    def shown_n(self) -> int:
        """The n that analyses are shown at: that of the answer, or the largest of the surface where it has none."""
        return shown_n(self.required, self.surface)

    def at(self, scenario: str, n: int, variable: str = "success") -> tuple[float, float]:
        """Return one figure of the surface, of the primary analysis, and its Monte Carlo standard error."""
        here = self.surface[[variable, f"{variable}_mcse"]].isel(analysis=0).sel(scenario=scenario, n=n)
        return here[variable].item(), here[f"{variable}_mcse"].item()


def stages_of(prepared: Prepared) -> tuple[str, ...]:
    """Return the stages of a plan, in their order."""
    return (*STAGES, *(("false claims over nuisance settings",) if is_design(prepared) else ()))


def drawn_at_settings(plan: Plan) -> dict[str, int]:
    """Return how many trials of a design are drawn at each nuisance setting, and from which seed."""
    return {"replicates": NUISANCE_REPLICATES, "seed": plan.seed}


def answered(prepared: Prepared, fits: dict, progress: Silent) -> Answered:
    """Go the whole way for one plan. fits: those of the plans before it, added to."""
    plan, seconds = prepared.plan, {}

    with progress.stages(plan.label, stages_of(prepared)) as stage:

        @contextmanager
        def timed(name: str, total: int = 0, *, shown: bool = True) -> Iterator[Steps]:
            mark = time.perf_counter()
            with stage(name, total, shown=shown) as steps:
                yield steps
            seconds[name] = round(time.perf_counter() - mark, 3)

        with timed("models", shown=False):
            sizing = sizing_of(prepared, partial(fitted_models, prepared, fits, progress))
            _ = sizing.exact or sizing.members  # what is sampled shows its progress itself
        prepared, plan = sizing.prepared, sizing.prepared.plan
        with timed("search for n") as advance:
            required = sizing.required(advance)
        progress.stage(f"{in_short(in_figures(prepared, required))}; the checks follow")
        with timed("check by sampling", shown=False):
            members = confirmed(prepared, sizing.members, fits, progress)
        sizing = replace(sizing, fitting=lambda: members)
        with timed("power and assurance curves") as advance:
            surface = sizing.surface(grid_of(prepared, required), advance, answer=required.reference_n)
        with timed("draws of the posteriors", len(members)) as advance:
            for _ in in_order(lambda m: m.tree, members):
                advance()
        with timed("simulated check") as advance:
            gate = sizing.checked(shown_n(required, surface), advance)
        if not all(row["passed"] for row in gate):
            raise GateFailed(plan.label, gate)
        with timed("effects", 2) as advance:
            effect = effect_of(prepared, members, sizing)
            advance()
            over = {"dose_response": _over_doses(prepared, members), "course": over_months(prepared, members)}
            advance()
        with timed("readings of suspect figures") as advance:
            readings = under_readings(sizing, required, advance)
        with timed("what moves n") as advance:
            moves, behind = what_moves(sizing, required, advance), sizing.behind(required)
        with timed("checks of the models", len(members)) as advance:
            checks = list(_checked(prepared, members, fits, advance))
        asked, type_one, n = {}, None, shown_n(required, surface)
        with timed("further questions") as advance:
            asked = _asked(prepared, sizing, n, advance)
            asked |= resources(sizing, required.n, surface["n"].values.tolist())
            if plan.value:
                asked["value"] = value_record(sizing, required.n, advance, over=True)
        if is_design(prepared):
            with timed("false claims over nuisance settings") as advance:
                type_one = nuisance.type_one(plan.trial, n, advance=advance, **drawn_at_settings(plan))
    return Answered(
        prepared,
        members,
        required,
        surface,
        gate,
        effect,
        over,
        readings,
        moves,
        behind,
        checks,
        seconds,
        asked,
        type_one,
    )


def _checked(prepared: Prepared, members: list[Member], fits: dict, advance: Steps) -> Iterator[Checks]:
    """Yield the checks of fitted models: plans that share a fit, a target and a planning value share them."""
    for member in members:
        key = "checks", id(member.fit), repr(target_of(prepared)), prepared.plan.search.planning_value
        if member.fit and key not in fits:
            fits[key] = checks_of(prepared, member)
        if member.fit:
            yield fits[key]
        advance()


def effect_of(prepared: Prepared, members: list[Member], sizing: Sizing) -> xr.Dataset:
    """Return the effect at the dose of the trial: mean of studies and new study, exactly where there are no draws."""
    active = prepared.plan.trial.active
    if all(m.mixture for m in members):
        return effect_exactly([sizing.belief(name) for name in ("pooled_mean", "new_study")], active.dose)
    return band(sizing.effects.sel(arm=[active.name]), "dose", np.array([active.dose]), prepared.plan.seed)


def _over_doses(prepared: Prepared, members: list[Member]) -> xr.Dataset | None:
    """Return the effect over doses, where the model uses the dose."""
    if not prepared.uses_dose:
        return None
    (low, high), active = prepared.observed_doses, prepared.plan.trial.active
    reach = np.geomspace(min(low, active.dose) / 3, max(high, active.dose) * 3, 121)
    doses = {f"{dose:.6g}": dose for dose in reach.tolist()}
    return band(effects_of(prepared, members, doses), "dose", reach, prepared.plan.seed)


def _asked(prepared: Prepared, sizing: Sizing, n: int, advance: Steps) -> dict[str, object]:
    """Return what a plan asks beside its required n: detectable effect, n of a precision, allocation and dose; of a
    design with looks, or a prior, what these do at n."""
    plan, found = prepared.plan, {}
    effort = Effort(plan.search.replicates, plan.seed, plan.search.z, advance)
    if plan.detectable:
        found["detectable"] = smallest_effect(plan.trial, plan.detectable, effort)
    if plan.precision:
        found["precision"] = n_for_width(plan.trial, plan.precision, plan.search.max_n_per_arm, effort)
    if plan.trial.looks:
        found["looks"] = looks_record(sizing, n)
    if (prior := prior_record(sizing, n)) is not None:
        found["prior"] = prior
    if plan.by_month and sizing.exact:
        found["by_month"] = n_by_month(sizing, plan.by_month, advance)
    if plan.optimise:
        found["optimise"] = allocations(
            plan.trial,
            plan.optimise,
            sizing.assured,
            advance=advance,
        )
    return found
