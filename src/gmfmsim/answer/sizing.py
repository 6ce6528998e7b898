"""The required n of a plan and success over n: exactly where that is possible, else from simulated trials."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import xarray as xr

from gmfmsim.answer.truths import beliefs_of, conditions_of, effects_of, truths_of
from gmfmsim.model.average import Member, belief_of, refitted
from gmfmsim.model.gate import apart_row
from gmfmsim.model.truths import Belief, Truths
from gmfmsim.question.plan import Prepared
from gmfmsim.trial import exact, size
from gmfmsim.trial.design import Design
from gmfmsim.trial.simulate import simulate
from gmfmsim.trial.size import SCENARIO, RequiredN

FEWEST_SHOWN = 5
"""Children an arm with whom a curve begins."""

CHECKED = (0.4, 1.0)
"""Shares of the answer's n at which exact success is held to simulated trials."""


@dataclass(frozen=True)
class Sizing:
    """A plan with its fitted models, and what their effects are in the trial, once as `effects` are known."""

    prepared: Prepared
    members: list[Member]
    _given: dict[bytes, "Sizing"] = field(default_factory=dict, repr=False)

    def given(self, taken: np.ndarray) -> "Sizing":
        """Return the plan with its models fitted again, quickly, to some of the combinations of readings alone."""
        key = taken.tobytes()
        if key not in self._given:
            data = self.prepared.contrasts
            weight = data["weight"].values[taken]
            data = data.isel(reading=taken).assign(weight=("reading", weight / weight.sum()))
            members = refitted(self.prepared.models, data, self.prepared.plan.model, quick=True)
            self._given[key] = Sizing(self.prepared, members)
        return self._given[key]

    @cached_property
    def exact(self) -> bool:
        """Whether n and success are computed without sampling: exact posteriors, and a test whose law is known."""
        trial = self.prepared.plan.trial
        return all(m.mixture for m in self.members) and exact.qualifies(trial, trial.analyses[0]) is None

    @cached_property
    def beliefs(self) -> dict[str, Belief]:
        """What the effect may be, by scenario; see `beliefs_of`."""
        return beliefs_of(self.prepared, self.members)

    @cached_property
    def effects(self) -> xr.Dataset:
        """Draws of the effects in the arms of the trial."""
        return effects_of(self.prepared, self.members)

    @cached_property
    def truths(self) -> Truths:
        """Draws of what may be true in the trial."""
        return truths_of(self.prepared, self.effects)

    def required(self, advance: Callable[[], None] = lambda: None) -> RequiredN:
        """Return the required n."""
        plan = self.prepared.plan
        if not self.exact:
            return size.required_n(self.truths, plan.trial, plan.search, seed=plan.seed, advance=advance)
        belief = self.beliefs[SCENARIO[plan.search.target.metric]]
        return exact.required_n(exact.Assurance(plan.trial, plan.trial.analyses[0], belief), plan.search)

    def surface(self, n: list[int], advance: Callable[[], None] = lambda: None) -> xr.Dataset:
        """Return success of every analysis in every scenario over n; that of the primary one exactly where it can be.

        What is simulated stands beside it: a design of several analyses has all their figures.
        """
        plan = self.prepared.plan
        if not self.exact:
            return simulate(self.truths, plan.trial, n=n, seed=plan.seed, advance=advance)
        known = exact.curves(plan.trial, self.beliefs, n)
        if plan.trial.two_arms_one_test:
            return known
        found = simulate(self.truths, plan.trial, n=n, seed=plan.seed, advance=advance)
        for name in ("success", "success_mcse", "harm", "harm_mcse"):
            found[name][{"analysis": 0}] = known[name].isel(analysis=0).values
        return found.assign({name: known[name] for name in ("plateau", "plateau_mcse")})

    def behind(self, required: RequiredN) -> dict | None:
        """Return what lies behind the n of the answer, see `trial.exact.behind`; None where it is simulated."""
        search, trial = self.prepared.plan.search, self.prepared.plan.trial
        if not self.exact or required.reference_n is None:
            return None
        return exact.behind(trial, self.beliefs["new_study"], required.reference_n, search.target.value)

    def assured(self, variant: Design, n: int) -> tuple[float, float]:
        """Return assurance of the trial with other arms, at n, and its MCSE: NaN where it is computed exactly."""
        prepared, first = self.prepared, variant.analyses[0]
        doses = {arm.name: arm.dose for arm in variant.arms}
        if self.exact:
            at = conditions_of(prepared, doses)[variant.active.name]
            return exact.Assurance(variant, first, belief_of(self.members, at)).at(n), math.nan
        truths = truths_of(prepared, effects_of(prepared, self.members, doses)).sel(scenario=["new_study"])
        surface = simulate(truths, variant, n=[n], seed=prepared.plan.seed).isel(analysis=0)
        return surface["success"].item(), surface["success_mcse"].item()

    def checked(self, n: int) -> list[dict]:
        """Return the row of the gate that holds exact success to simulated trials, about n; none without exact ones.

        In MCSE, or in binomial errors of the exact success where these are larger: of few failures, or none, the
        simulated trials tell their own error badly.
        """
        plan = self.prepared.plan
        if not self.exact:
            return []
        grid = sorted({plan.trial.at_least(share * n) for share in CHECKED})
        found = simulate(self.truths, plan.trial, n=grid, seed=plan.seed).isel(analysis=0)
        known = exact.curves(plan.trial, self.beliefs, grid).isel(analysis=0)
        expected = known["success"].transpose("scenario", "n").values
        apart = abs(found["success"].transpose("scenario", "n").values - expected)
        binomial = np.sqrt(expected * (1 - expected) / found.attrs["replicates"])
        mcse = np.maximum(found["success_mcse"].transpose("scenario", "n").values, binomial)
        distance = np.divide(apart, mcse, out=np.zeros(apart.shape), where=apart > 0)
        at = np.unravel_index(int(np.argmax(distance)), distance.shape)
        where = f"{known['scenario'].values[at[0]]}, {plan.trial.total(grid[at[1]])} children"
        return [apart_row("exact and simulated success apart", float(distance[at]), where)]


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
