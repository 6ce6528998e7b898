"""One plan, the whole way: posterior, truths, required n, curves, readings, checks, and what else it asks."""

import time
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from gmfmsim.answer.children import Reported, reported_changes
from gmfmsim.answer.posterior import checks_of, posterior_of
from gmfmsim.answer.readings import under_readings
from gmfmsim.answer.truths import effects_of, truths_of
from gmfmsim.model.average import Member
from gmfmsim.model.checks import Checks
from gmfmsim.model.effect import dose_response
from gmfmsim.progress import Silent
from gmfmsim.question.plan import Prepared
from gmfmsim.trial import nuisance
from gmfmsim.trial.design import Design
from gmfmsim.trial.detectable import Effort, n_for_width, smallest_effect
from gmfmsim.trial.optimise import allocations
from gmfmsim.trial.simulate import simulate
from gmfmsim.trial.size import RequiredN, required_n

NUISANCE_REPLICATES = 4_000
"""Trials of a design at each nuisance setting: a false-claim rate of 2.5 % is known to 0.25 %."""


@dataclass(frozen=True)
class Answered:
    """What one plan came to: fitted models with their shares, required n, curves, seconds by stage.

    `effect` is the effect at the dose of the trial, mean of studies and new study; `dose_response` the same over
    a range of doses, where the model uses the dose. `readings` has the answer under each reading of a suspect figure,
    `checks` those of each fitted model. `asked` has what the plan asks beside n: detectable, precision, optimise;
    `type_one`, of a design, its false claims over nuisance settings.
    """

    prepared: Prepared
    members: list[Member]
    required: RequiredN
    surface: xr.Dataset
    effect: xr.Dataset
    dose_response: xr.Dataset | None
    readings: list[dict]
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


def shown_n(required: RequiredN, surface: xr.Dataset) -> int:
    """Return the n of the answer, or the largest of the surface where it has none."""
    return required.reference_n or int(surface["n"].values[-1])


def is_design(prepared: Prepared) -> bool:
    """Return whether the trial of a plan is simulated on children, with all analyses that its design names."""
    return not prepared.plan.trial.two_arms_one_test


def answered(prepared: Prepared, fits: dict, progress: Silent) -> Answered:
    """Go the whole way for one plan. fits: those of the plans before it, added to."""
    plan, seconds, mark = prepared.plan, {}, time.perf_counter()

    def lap(stage: str) -> None:
        nonlocal mark
        seconds[stage], mark = round(time.perf_counter() - mark, 3), time.perf_counter()

    members = posterior_of(prepared, fits, progress)
    lap("posterior")
    effects = effects_of(prepared, members)
    truths = truths_of(prepared, effects)
    progress.stage(f"{plan.label}: simulating {truths.sizes['draw']:,} trials at each n")
    with progress.steps("search for n") as advance:
        required = required_n(truths, plan.trial, plan.search, seed=plan.seed, advance=advance)
    lap("search")
    grid = grid_of(prepared, required)
    steps = None if is_design(prepared) else len(grid) * truths.attrs["rounds"]
    with progress.steps("power and assurance curves", steps) as advance:
        surface = simulate(truths, plan.trial, n=grid, seed=plan.seed, advance=advance)
    lap("curves")
    effect, band = _effects(prepared, members, effects)
    lap("effects")
    with progress.steps("readings of suspect figures") as advance:
        readings = under_readings(prepared, members, effects, required, advance)
    lap("readings")
    progress.stage(f"{plan.label}: checks")
    checks = [checks_of(prepared, m) for m in members if m.fit]
    lap("checks")
    asked, type_one, n = _asked(prepared, members, progress), None, shown_n(required, surface)
    if is_design(prepared):
        how = {"replicates": NUISANCE_REPLICATES, "seed": plan.seed}
        with progress.steps("type I error over nuisance settings") as advance:
            type_one = nuisance.type_one(plan.trial, n, advance=advance, **how)
    lap("asked")
    return Answered(prepared, members, required, surface, effect, band, readings, checks, seconds, asked, type_one)


def _effects(prepared: Prepared, members: list[Member], effects: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset | None]:
    """Return the effect at the dose of the trial, and over doses where the model uses the dose."""
    seed, active = prepared.plan.seed, prepared.plan.trial.active
    effect = dose_response(effects.sel(arm=[active.name]), np.array([active.dose]), seed)
    if not prepared.uses_dose:
        return effect, None
    low, high = prepared.observed_doses
    reach = np.geomspace(min(low, active.dose) / 3, max(high, active.dose) * 3, 121)
    doses = {f"{dose:.6g}": dose for dose in reach.tolist()}
    return effect, dose_response(effects_of(prepared, members, doses), reach, seed)


def _asked(prepared: Prepared, members: list[Member], progress: Silent) -> dict[str, object]:
    """Return what a plan asks beside its required n: detectable effect, n of a precision, allocation and dose."""
    plan, found = prepared.plan, {}
    with progress.steps("further questions") as advance:
        effort = Effort(plan.search.replicates, plan.seed, plan.search.z, advance)
        if plan.detectable:
            found["detectable"] = smallest_effect(plan.trial, plan.detectable, effort)
        if plan.precision:
            found["precision"] = n_for_width(plan.trial, plan.precision, plan.search.max_n_per_arm, effort)
        if plan.optimise:
            found["optimise"] = allocations(
                plan.trial,
                plan.optimise,
                lambda trial: truths_of(prepared, effects_of(prepared, members, {a.name: a.dose for a in trial.arms})),
                seed=plan.seed,
                advance=advance,
            )
    return found


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
    grid = np.round(2 + (top - 2) * np.linspace(0, 1, points) ** 2).astype(int)
    return sorted({*grid.tolist(), *(n for n in known if n <= top)})
