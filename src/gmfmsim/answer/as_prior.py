"""What the evidence says of the next trial, as a prior that others can take: for the effect, and for control arms."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

from gmfmsim.answer.course import sizing_of
from gmfmsim.answer.posterior import fitted_models
from gmfmsim.answer.prior import COMPONENTS, INTERVAL_PROB, in_rows, of_evidence, unit_of, worth
from gmfmsim.answer.sizing import of_plans
from gmfmsim.compute.text import percent
from gmfmsim.dist.fewer import MOST, fewer
from gmfmsim.dist.mixture import NormalMixture
from gmfmsim.evidence.schema import Tables
from gmfmsim.faults import Fault, InputError
from gmfmsim.model.map_prior import map_prior
from gmfmsim.progress import Silent
from gmfmsim.question.changed import PLACE
from gmfmsim.question.plan import Prepared
from gmfmsim.question.question import Question
from gmfmsim.trial.change_sd import change_sd
from gmfmsim.trial.design import Design

TAU_OF_CONTROLS = 4.0
"""Scale of the half-normal prior of how control arms differ between trials, in points of the change in a year."""

OF_AN_ARM = {"study": "study_id", "mean": "mean", "se": "se", "n": "n"}

CONTROLS = 2
"""Control arms from which on there is a prior of them."""


def as_prior(question: Question, asked: dict[str, float | None], components: int, progress: Silent) -> dict[str, Any]:
    """Return what the evidence says of the effect in the next trial, and of its control arm, as priors.

    asked: robust, the weight of a vague component, as wide as one child an arm is, or None; estimate and se of a trial
    that is over, both or neither. The first plan's figures first. mean, sd, low, high, above_0 of the effect are those
    of the exact predictive distribution; components stand for it, with cdf_error and divergence; children: how many
    they are worth. given: what holds after the estimate. control: of the mean change of a control arm, None where too
    few trials print one.

    Raises InputError where there is no plan, and for a weight, an estimate or a number of components that cannot be.
    """
    faults = []
    if not 1 <= components <= MOST:
        faults.append(Fault(PLACE, "--components", f"{components} components", f"1 to {MOST}"))
    if (robust := asked["robust"]) is not None and not 0 < robust < 1:
        faults.append(Fault(PLACE, "--robust", f"{robust:g} is no weight", "a share above 0 and below 1"))
    estimate, se = asked["estimate"], asked["se"]
    if (estimate is None) != (se is None):
        faults.append(Fault(PLACE, "--estimate", "and --se go together", "both, or neither"))
    if estimate is not None and not math.isfinite(estimate):
        faults.append(Fault(PLACE, "--estimate", f"{estimate} is no effect", "points"))
    if se is not None and not (se > 0 and math.isfinite(se)):
        faults.append(Fault(PLACE, "--se", f"{se} is no standard error", "points above 0"))
    if faults:
        raise InputError(faults)
    fits: dict = {}
    return of_plans(question, lambda prepared: _of_plan(prepared, asked, components, fits, progress))


def _of_plan(
    prepared: Prepared, asked: dict[str, float | None], components: int, fits: dict, progress: Silent
) -> dict[str, Any]:
    """Return the figures of one plan."""
    sizing = sizing_of(prepared, partial(fitted_models, prepared, fits, progress))
    prepared = sizing.prepared
    trial = prepared.plan.trial
    whole = of_evidence(sizing)
    few, error, divergence = fewer(whole, components)
    vague = change_sd(trial).median * math.sqrt(2 if trial.control else 1)  # of one child an arm
    robust = asked["robust"]
    taken = few if robust is None else few.beside(robust, 0.0, vague)
    low, high = whole.interval(INTERVAL_PROB)
    found: dict[str, Any] = {
        "label": prepared.plan.label,
        "family": "normal",
        "unit": prepared.unit,
        "target": {"month": trial.month, "dose": trial.active.dose} | trial.setting.model_dump(exclude_none=True),
        "evidence": prepared.source,
        "model": ", ".join(prepared.models) or "none",
        "mean": whole.mean,
        "sd": whole.sd,
        "low": low,
        "high": high,
        "interval_prob": INTERVAL_PROB,
        "above_0": whole.above(),
        "components": in_rows(taken),
        "robust": robust,
        "cdf_error": error,
        "divergence": divergence,
        "children": worth(trial, taken),
        "unit_sd": unit_of(trial),
        "given": None,
        "control": _of_controls(prepared.tables, trial) if prepared.unit == "GMFM-66 points" else None,
    }
    if asked["estimate"] is not None:
        found["given"] = _given(whole, robust, vague, asked["estimate"], asked["se"])
    return found


def _given(whole: NormalMixture, robust: float | None, vague: float, estimate: float, se: float) -> dict[str, Any]:
    """Return what holds of the effect of a trial after its estimate, and whether that agrees with the evidence.

    conflict: the probability of an estimate as far out, on either side, by the evidence alone (Box 1980).
    """
    after = (whole if robust is None else whole.beside(robust, 0.0, vague)).given(estimate, se)
    low, high = after.interval(INTERVAL_PROB)
    below = whole.plus(se).cdf(estimate)
    return {
        "estimate": estimate,
        "se": se,
        "mean": after.mean,
        "sd": after.sd,
        "low": low,
        "high": high,
        "above_0": after.above(),
        "vague": float(after.weight[-1]) if robust is not None else None,
        "conflict": 2 * min(below, 1 - below),
    }


def _of_controls(tables: Tables, trial: Design) -> dict[str, Any] | None:
    """Return the prior of the mean change of a control arm on the GMFM-66 to the month of a trial.

    From the control arms that print one with a standard error, one a registered trial. How trials differ has a
    half-normal prior of scale TAU_OF_CONTROLS. children: how many of a control arm it is worth.
    """
    arms = control_changes(tables, trial.month)
    if len(arms) < CONTROLS:
        return None
    whole = map_prior([a["mean"] for a in arms], [a["se"] for a in arms], tau_scale=TAU_OF_CONTROLS)
    low, high = whole.interval(INTERVAL_PROB)
    few, error, _ = fewer(whole, COMPONENTS)
    return {
        "trials": arms,
        "tau_scale": TAU_OF_CONTROLS,
        "mean": whole.mean,
        "sd": whole.sd,
        "low": low,
        "high": high,
        "components": in_rows(few),
        "cdf_error": error,
        "children": (change_sd(trial).median / whole.sd) ** 2,
    }


def control_changes(tables: Tables, month: float) -> list[dict[str, Any]]:
    """Return mean change and standard error of control arms on the GMFM-66 at a month, the first of each trial."""
    roles = {(a["study_id"], a["arm_id"]) for a in tables.where("arms", role="control")}
    registered = {s["study_id"]: s["registry_id"] or s["study_id"] for s in tables.rows["studies"]}
    found: dict[str, dict[str, Any]] = {}
    for row in tables.where("outcomes", scale="GMFM-66", kind="change", month=month, preferred="yes"):
        if (row["study_id"], row["arm_id"]) not in roles or row["mean"] is None or row["se"] is None:
            continue
        trial = registered[row["study_id"]]
        arm = {name: row[column] for name, column in OF_AN_ARM.items()}
        found.setdefault(trial, arm | {"doubted": bool(row["spread_suspect"])})
    return list(found.values())


def in_lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield what `as_prior` found as lines for a terminal."""
    for row in (found, *found.get("alternatives", ())):
        yield f"{row['label']}: what the evidence says of the effect in the next trial"
        yield (
            f"  mean {row['mean']:.2f} {row['unit']}, SD {row['sd']:.2f}, 95 % {row['low']:.2f} to {row['high']:.2f}; "
            f"above 0 with {percent(row['above_0'])} probability"
        )
        vague = f"; {percent(row['robust'])} of it is vague, the last component" if row["robust"] else ""
        yield f"  as components, probabilities at most {percent(row['cdf_error'])} off{vague}:"
        yield "    prior = [" + ", ".join(_as_toml(c) for c in row["components"]) + "]"
        worth_of = row["children"]
        yield (
            f"  worth {worth_of['elir']:.0f} children of this trial (expected local-information ratio; by moments "
            f"{worth_of['moment']:.0f}, at the mode {worth_of['morita']:.0f})"
        )
        if given := row["given"]:
            yield (
                f"  after an estimate of {given['estimate']:g} (SE {given['se']:g}): mean {given['mean']:.2f}, SD "
                f"{given['sd']:.2f}, 95 % {given['low']:.2f} to {given['high']:.2f}; above 0 with "
                f"{percent(given['above_0'])} probability"
            )
            after = "" if given["vague"] is None else f"; the vague part now has {percent(given['vague'])}"
            yield f"  an estimate as far from the evidence has {percent(given['conflict'])} probability{after}"
        if control := row["control"]:
            trials = ", ".join(
                f"{a['study']} {a['mean']:g} (SE {a['se']:.2f}{', doubted' if a['doubted'] else ''})"
                for a in control["trials"]
            )
            yield (
                f"  control arm, change to month {row['target']['month']:g}: mean {control['mean']:.1f}, SD "
                f"{control['sd']:.1f}, 95 % {control['low']:.1f} to {control['high']:.1f}, by {trials}; worth "
                f"{control['children']:.1f} children of a control arm (by moments)"
            )
        else:
            yield f"  control arm: fewer than {CONTROLS} trials print its change at that month"
        yield f"  evidence: {row['evidence']}; model: {row['model']}"


def _as_toml(component: dict[str, float]) -> str:
    """Return a component as a design takes it."""
    weight, mean, sd = (component[name] for name in ("weight", "mean", "sd"))
    return f"{{ weight = {weight:.4f}, mean = {mean:.4f}, sd = {sd:.4f} }}"
