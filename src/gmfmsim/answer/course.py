"""How the effect goes with time, in the answer of a plan: over months, what is probable of it, and n at each month."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import special

from gmfmsim.answer.prior import informed, uninformed
from gmfmsim.answer.sizing import Sizing, in_figures
from gmfmsim.answer.truths import at_months
from gmfmsim.compute.executors import in_order
from gmfmsim.compute.labels import xr
from gmfmsim.compute.text import plain
from gmfmsim.evidence.children_sd import ChildrenSd, children_sd
from gmfmsim.evidence.contrasts import same_arms
from gmfmsim.evidence.formulas.multilevel import ByOutcome, CannotTell, fit_multilevel
from gmfmsim.model.average import Member
from gmfmsim.model.course import statements
from gmfmsim.model.effect import INTERVAL_PROB, band, effect_at, effect_draws
from gmfmsim.model.truths import mixed_draws
from gmfmsim.progress import Steps
from gmfmsim.question.plan import Prepared
from gmfmsim.trial.children import NormalChildren, PopulationChildren
from gmfmsim.trial.design import Design

MONTHS = np.array([0.25, 0.5, 1, 1.5, 2, 3, 4, 5, 6, 7.5, 9, 10.5, 12, 15, 18, 21, 24])
"""Months at which the effect is drawn."""
WITHIN = (6.0, 12.0)
"""The months whose difference within studies is told: those that trials of this field measure at."""


def sizing_of(prepared: Prepared, fitting: Callable[[], list[Member]]) -> Sizing:
    """Return a plan with its models, fitted once they are asked for.

    Where a model has a course in time and the design several visits and no onset of its own, the share of the effect
    that is present at each visit is that of the models; analyses that take the evidence as prior know it.
    """
    sizing, trial = Sizing(prepared, fitting, remembers=True), prepared.plan.trial
    if not (prepared.has_course and trial.TAKES_ONSET and trial.onset is None and len(trial.visits) > 1):
        return informed(sizing)
    members = sizing.members
    trial = trial.model_copy(update={"onset": onset_of(prepared, members)})
    return informed(Sizing(_with(prepared, trial), lambda: members, remembers=True))


def onset_of(prepared: Prepared, members: list[Member]) -> list[float]:
    """Return the share of the effect at the endpoint that is present at each visit: mean effects, models mixed."""
    trial = prepared.plan.trial
    mean = _mean_effects(prepared, members, trial.visits)
    return [round(share, 4) for share in np.clip(mean / mean[trial.endpoint], 0, 2).tolist()]


def _mean_effects(prepared: Prepared, members: list[Member], months: list[float]) -> np.ndarray:
    """Return the mean effect of studies at each month, (months,): models mixed."""
    arms = at_months(prepared, months)

    def means(m: Member) -> list[float]:
        if m.mixture:
            return [effect_at(m.mixture, m.curve, at, "mean").mean for at in arms.values()]
        return effect_draws(m.tree, m.curve, arms)["mean"].mean(("chain", "draw")).values.tolist()

    return np.average([means(m) for m in members], axis=0, weights=[m.share for m in members])


def _with(prepared: Prepared, trial: Design) -> Prepared:
    return replace(prepared, plan=prepared.plan.model_copy(update={"trial": trial}))


def over_months(prepared: Prepared, members: list[Member]) -> xr.Dataset | None:
    """Return the effect over months, mean of studies and a new study (kind, month), where a model has a course."""
    if not prepared.has_course:
        return None
    months = at_months(prepared, MONTHS.tolist())
    drawn = list(in_order(lambda m: effect_draws(m.tree, m.curve, months), members))
    return band(mixed_draws(drawn, [m.share for m in members]), "month", MONTHS, prepared.plan.seed)


def course_record(prepared: Prepared, members: list[Member]) -> dict[str, Any] | None:
    """Return what is probable of the course, and what trials that measured twice found; None without a course."""
    if not prepared.has_course:
        return None
    told = [one._asdict() for one in statements(members)]
    found = {"share": sum(m.share for m in members if m.has_course), "statements": told, "within": _within(prepared)}
    return found | {"pooled": _pooled(prepared, members)}


def _pooled(prepared: Prepared, members: list[Member]) -> dict[str, Any]:
    """Return the reported effects pooled by month, no curve assumed, beside the mean effect of the models there.

    In GMFM-66 points to four places, closer than which a maximum is not found, r at the median of its prior. Deviations
    of a study at two months correlate by rho to the power of the doublings between them; REML, normal intervals. rows
    is empty where too few studies have several months to tell how far they differ. Source: Ishak, Platt, Joseph, Hanley
    & Caro 2007.
    """
    data, prior = prepared.reported, next(m.spec.priors["r"] for m in members if m.has_course)
    scale = np.where(data["gmfm66"].values, 1.0, prior.ppf(0.5))
    of, study = data["month"].values, data["study"].values
    months = np.unique(of)
    deviations = ByOutcome(study.tolist(), np.log2(of).tolist(), "AR")
    covariance = data["covariance"].values * np.outer(scale, scale)
    found: dict[str, Any] = {"rows": [], "prob": INTERVAL_PROB}
    if months.size == 1:
        return found
    try:
        by_month = (of[:, None] == months).astype(float)
        fit = fit_multilevel(data["effect"].values * scale, covariance, by_month, [deviations])
    except (CannotTell, ArithmeticError):  # too few studies, or too alike
        return found
    half = -special.ndtri((1 - INTERVAL_PROB) / 2) * fit.se
    columns = {
        "month": months,
        "studies": [np.unique(study[of == month]).size for month in months],
        "estimate": fit.coefficients.round(4),
        "low": (fit.coefficients - half).round(4),
        "high": (fit.coefficients + half).round(4),
        "course": _mean_effects(prepared, members, months.tolist()),
    }
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    (between,) = fit.outcomes
    rho = None if between.rho[0] is None else round(between.rho[0], 4)
    return plain(found | {"rows": rows, "tau": round(between.tau2[0] ** 0.5, 4), "rho": rho})


def _within(prepared: Prepared) -> list[dict[str, Any]]:
    """Return reported effects at both months of WITHIN by arms that have them, their difference and its error."""
    data, rows = prepared.reported, []
    month, effect = data["month"].values, data["effect"].values
    both = same_arms(data) & (month[:, None] == WITHIN[0]) & (month == WITHIN[1])
    for pair in np.argwhere(both):
        spread = data["covariance"].values[np.ix_(pair, pair)]
        se = float(np.sqrt(spread[0, 0] + spread[1, 1] - 2 * spread[0, 1]))
        row = {name: data[name].values[pair[0]].item() for name in ("study", "arm", "control", "scale")}
        known = not (data["log_se_sd"].values[pair] > 0).any()
        found = {"effects": effect[pair].tolist(), "difference": float(np.diff(effect[pair])[0])}
        rows.append(row | found | {"se": se if known else None})
    return plain(rows + _of_pools(prepared))


def _of_pools(prepared: Prepared) -> list[dict[str, Any]]:
    """Return the same of pools of individual data, whose estimates at two months correlate by an unknown amount."""
    pools, wanted = {}, [f"{month:g}" for month in WITHIN]
    for row in prepared.tables.where("pooled", measure="MD", scale="GMFM-66", preferred="yes"):
        pools.setdefault(row["meta_id"], {})[row["month"]] = row["estimate"]
    return [
        {"study": name, "arm": "individual data", "control": "", "scale": "GMFM-66"}
        | {"effects": [at[month] for month in wanted], "difference": at[wanted[1]] - at[wanted[0]], "se": None}
        for name, at in pools.items()
        if set(wanted) <= at.keys()
    ]


def _at_month(trial: Design, sds: ChildrenSd, month: float) -> NormalChildren | PopulationChildren:
    """Return the children of a trial with its endpoint at another month.

    An SD of change that is said for the endpoint, whichever it is, grows as the median of those that trials print.
    """
    children, sd = trial.children, trial.children.excess_sd
    if children.excess_growth.value:  # it grows by itself
        return children
    at_month, at_own = (float(sds.further_trial(m).ppf(np.array(0.5))) for m in (month, trial.month))
    moved = {
        name: value * at_month / at_own for name in ("value", "low", "high") if (value := getattr(sd, name)) is not None
    }
    return children.model_copy(update={"excess_sd": sd.model_copy(update=moved)})


def n_by_month(sizing: Sizing, months: list[float], advance: Steps) -> list[dict[str, Any]]:
    """Return the required n with the endpoint at each month: children in all and by arm, and the plateau there.

    Visits before it stay, others go.
    """
    prepared, trial, members = sizing.prepared, sizing.prepared.plan.trial, sizing.members
    rows, known = [], ("status", "why", "n_total", "n_by_arm", "plateau", "plateau_mcse")
    sds = children_sd(prepared.tables)
    for month in months:
        visits = [*(v for v in trial.visits if v < month), month]
        children = _at_month(trial, sds, month)
        there = {"visits": visits, "onset": None, "children": children, "analyses": uninformed(trial)}
        moved = trial.model_copy(update=there)
        at = sizing_of(_with(prepared, moved), lambda: members)
        found = in_figures(at.prepared, at.required(advance))
        rows.append({"month": month} | {name: found[name] for name in known})
    return rows
