"""The fitted models of a plan, through the gate; their checks, and what a result keeps of them."""

from __future__ import annotations

from dataclasses import replace

from gmfmsim.answer.truths import conditions_of, target_of
from gmfmsim.compute.labels import xr
from gmfmsim.faults import GateFailed
from gmfmsim.model.average import Member, Published, shares_of
from gmfmsim.model.checks import Checks, checks
from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.engine import Fit, checked, fit
from gmfmsim.model.exact import refusal
from gmfmsim.model.kept import kept
from gmfmsim.progress import Silent
from gmfmsim.question.plan import Prepared

SECOND_TARGET_ACCEPT = 0.998
"""Acceptance aimed at when a first fit fails the gate: smaller steps, which a funnel at small tau may need."""

CHECK_DRAWS = 1000
"""Draws of a chain that the checks take: their Monte Carlo errors are small beside what they look for."""


def posterior_of(prepared: Prepared, fits: dict[tuple[str, ...], Member], progress: Silent) -> list[Member]:
    """Return the fitted models of a plan with their shares, exact ones held to sampled ones as the plan asks.

    fits: those of the plans before it, added to: plans with the same model and evidence share a fit.
    """
    return confirmed(prepared, fitted_models(prepared, fits, progress), fits, progress)


def fitted_models(prepared: Prepared, fits: dict[tuple[str, ...], Member], progress: Silent) -> list[Member]:
    """Return the models of a plan with their shares, exact ones not yet `confirmed`; fits as of `posterior_of`."""
    plan = prepared.plan
    if prepared.published:
        name = prepared.published.row["meta_id"]
        progress.stage(f"{plan.label}: {name} taken as published")
        taken = Published(prepared.published)
        return [Member(name, None, None, 1.0, alone=taken, draws=taken.tree(plan.sampler, plan.seed))]
    members, exact = [], not any(refusal(spec, prepared.contrasts) for spec in prepared.models.values())
    exact = exact and plan.sampler.engine != "nuts"
    with progress.steps(f"{plan.label}: models", len(prepared.models), shown=exact) as advance:
        for name, spec in prepared.models.items():
            key = _key(prepared, spec)
            if key not in fits:
                progress.stage(f"{plan.label}: fitting {name} to {prepared.source}")
                fits[key] = Member(name, spec, through_gate(prepared, spec, progress), 1.0)
            members.append(fits[key])
            advance()
    return shares_of(members, prepared.contrasts, plan.model)


def confirmed(
    prepared: Prepared, members: list[Member], fits: dict[tuple[str, ...], Member], progress: Silent
) -> list[Member]:
    """Return the members, exact posteriors held to sampled ones where the plan asks for it."""
    plan, found = prepared.plan, []
    for member in members:
        if not plan.sampler.cross_check or member.fit is None or member.fit.exact is None:
            found.append(member)
            continue
        key = (*_key(prepared, member.spec), "confirmed")
        if key not in fits:
            progress.stage(f"{plan.label}: {member.name} held to a sampled posterior")
            fits[key] = replace(member, fit=through_gate(prepared, member.spec, progress, member.fit))
        found.append(replace(fits[key], share=member.share, log_density=member.log_density))
    return found


def _key(prepared: Prepared, spec: ModelSpec) -> tuple[str, ...]:
    """Return what a fit depends on."""
    return prepared.plan.model_dump_json(include={"seed", "evidence", "sampler"}), spec.model_dump_json()


def through_gate(prepared: Prepared, spec: ModelSpec, progress: Silent, known: Fit | None = None) -> Fit:
    """Fit a model of a plan, or hold a known exact fit to a sampled one, and pass the gate.

    Where the gate fails, once more with smaller steps; then GateFailed is raised. An exact posterior stands where only
    the sampler that was to check it failed; the answer says so.
    """
    plan = prepared.plan
    second = plan.sampler.model_copy(update={"target_accept": max(plan.sampler.target_accept, SECOND_TARGET_ACCEPT)})
    for sampler in dict.fromkeys((plan.sampler, second)):
        if known is None:
            alone = sampler.model_copy(update={"cross_check": False})
            found = fit(spec, prepared.contrasts, alone, plan.seed, progress=progress.bars)
        else:
            found = checked(known, spec, prepared.contrasts, sampler, plan.seed, progress=progress.bars)
        if found.passed:
            return found
        failed = ", ".join(row["criterion"] for row in found.gate if not row["passed"])
        said = f"{plan.label}: gate failed ({failed}) at target_accept {sampler.target_accept:g}"
        progress.stage(said + ("; once more with smaller steps" if sampler != second else ""))
    if found.stands:
        return found
    raise GateFailed(plan.label, found.gate)


def checks_of(prepared: Prepared, member: Member) -> Checks:
    """Return the checks of a fitted model; its effect at the dose of the trial is held to 0, 1 and the planning value.

    Those from draws take `CHECK_DRAWS` of a chain.
    """
    margins = sorted({0.0, 1.0, prepared.plan.search.planning_value})
    draws = member.tree["posterior"].sizes["draw"]
    every = slice(None, None, max(1, draws // CHECK_DRAWS))
    groups = {name: group.to_dataset() for name, group in member.tree.children.items()}
    fewer = {n: g.isel(draw=every) if g.sizes.get("draw") == draws else g for n, g in groups.items()}
    thinned = replace(member.fit, drawn=lambda: xr.DataTree.from_dict(fewer))
    return checks(thinned, member.spec, prepared.contrasts, margins=margins, at=target_of(prepared))


def kept_of(prepared: Prepared, member: Member, found: Checks | None) -> xr.DataTree:
    """Return the posterior of a model of a plan as its result keeps it; found: its checks, if it was fitted."""
    plan = prepared.plan
    return kept(member, conditions_of(prepared), plan.trial.active.name, prepared.contrasts, found, plan.seed)
