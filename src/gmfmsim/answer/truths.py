"""What may be true in the trial of a plan: its conditions, the effects there, and truths."""

from __future__ import annotations

from dataclasses import replace

from gmfmsim.compute.executors import in_order
from gmfmsim.compute.labels import xr
from gmfmsim.model.average import Member
from gmfmsim.model.effect import Condition, effect_draws
from gmfmsim.model.truths import mixed_draws, truths
from gmfmsim.question.plan import Prepared


def conditions_of(prepared: Prepared, doses: dict[str, float] | None = None) -> dict[str, Condition]:
    """Return the condition of each arm of the trial of a plan, or at other doses, by name."""
    trial = prepared.plan.trial
    doses = doses or {arm.name: arm.dose for arm in trial.arms}
    return {name: Condition(dose, trial.month, trial.setting) for name, dose in doses.items()}


def at_months(prepared: Prepared, months: list[float]) -> dict[str, Condition]:
    """Return the condition of the active arm at other months, by name."""
    at = target_of(prepared)
    return {f"month {month:g}": replace(at, month=month) for month in months}


def target_of(prepared: Prepared) -> Condition:
    """Return the condition that the answer of a plan is about: that of the active arm of its trial."""
    return conditions_of(prepared)[prepared.plan.trial.active.name]


def effects_of(prepared: Prepared, members: list[Member], doses: dict[str, float] | None = None) -> xr.Dataset:
    """Return the effects (chain, draw, arm) of the trial of a plan, models mixed by their shares.

    doses: others than those of the arms, by name.
    """
    arms = conditions_of(prepared, doses)
    drawn = list(in_order(lambda m: effect_draws(m.tree, m.curve, arms), members))
    return mixed_draws(drawn, [m.share for m in members])


def truths_of(prepared: Prepared, effects: xr.Dataset) -> xr.Dataset:
    """Return the truths of the trial of a plan at draws of its effects."""
    plan = prepared.plan
    if not plan.trial.two_arms_one_test:  # its trials are dear: no more posterior draws than trials
        every = -(-effects.sizes["chain"] * effects.sizes["draw"] // plan.search.replicates)
        effects = effects.isel(draw=slice(None, None, every))
    return truths(
        effects,
        sd_change=plan.trial.sd_change,
        planning_value=plan.search.planning_value,
        replicates=plan.search.replicates,
        seed=plan.seed,
    )
