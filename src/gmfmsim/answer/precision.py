"""How wide the interval of the effect will be with so many children, and how many make it as narrow as wanted."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gmfmsim.answer.at_n import enough
from gmfmsim.answer.sizing import assumed, in_words, of_plans
from gmfmsim.compute.text import percent
from gmfmsim.faults import Fault, InputError
from gmfmsim.files.toml import parse
from gmfmsim.progress import Silent
from gmfmsim.question.changed import PLACE
from gmfmsim.question.plan import Prepared
from gmfmsim.question.question import Question
from gmfmsim.trial.detectable import Effort, Precision, n_for_width, no_width, over_sd, width_at
from gmfmsim.trial.optimise import largest_n


def precision(question: Question, width: float | None, children: int | None, progress: Silent) -> dict[str, Any]:
    """Return how many children make the interval of the effect at most `width` wide on average, or how wide it is with
    at most so many children in all: the first plan's figures first. Nothing is fitted.

    wanted: the width that was asked for; width: that at n_total, on average over trials, at the median SD of change;
    width_over_sd: the same at the ends of the 95 % interval of the SD, null where the SD is known or the law of the
    test is not. Simulated ones have `width_mcse` and n_total_interval, null where exact. n_total is null where no
    number up to max_n_total does.

    Raises InputError where there is no plan, for a width beside a number or neither, an analysis without an interval in
    points, and a trial that cannot have so few children.
    """
    faults, wanted = [], None
    if (width is None) == (children is None):
        faults.append(Fault(PLACE, "--width", "stands for one question, --n for the other", "one of them"))
    elif width is not None:
        wanted, wrong = parse(Precision, {"width": width}, PLACE)
        faults += [replace(fault, where="--width") for fault in wrong]
    else:
        enough(question, children)
    for prepared in question.plans:
        if words := no_width(prepared.plan.trial):
            faults.append(Fault(question.name, "key analysis.method", "has no interval in points", words))
    if faults:
        raise InputError(faults)
    with progress.steps("width of the interval") as advance:
        return of_plans(question, lambda prepared: _of_plan(prepared, wanted, children, advance))


def _of_plan(prepared: Prepared, wanted: Precision | None, children: int | None, advance) -> dict[str, Any]:
    """Return the figures of one plan."""
    plan, trial = prepared.plan, prepared.plan.trial
    effort, most = Effort(plan.search.replicates, plan.seed, plan.search.z, advance), plan.search.max_n_per_arm
    found = n_for_width(trial, wanted, most, effort) if wanted else {"n_per_arm": largest_n(trial, children)}
    n = found["n_per_arm"]
    at = width_at(trial, n, effort) if n else None
    return {
        "label": plan.label,
        "confidence": 1 - trial.alpha,
        "wanted": wanted and wanted.width,
        "n_total": n and trial.total(n),
        "n_by_arm": n and trial.sizes(n),
        "n_total_interval": trial.totals(found.get("n_interval")),
        "max_n_total": trial.total(trial.at_most(most)),
        "width": at and at.points,
        "width_mcse": at and (at.mcse or math.nan),
        "width_over_sd": n and over_sd(trial, n),
        "unit": prepared.unit,
        "assumed": assumed(prepared),
    }


def in_lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield what `precision` found as lines for a terminal."""
    for row in (found, *found.get("alternatives", ())):
        interval = f"{percent(row['confidence'])} interval"
        if row["n_total"] is None:
            most = f"no number up to {row['max_n_total']} children"
            yield f"{row['label']}: {most} for a {interval} at most {row['wanted']:g} {row['unit']} wide on average"
        else:
            arms = ", ".join(f"{n} {arm}" for arm, n in row["n_by_arm"].items())
            width = "of no width: too few are left" if row["width"] is None else f"{_wide(row)} wide on average"
            yield f"{row['label']}: {row['n_total']} children ({arms}) for a {interval} {width}"
        if row["n_total_interval"]:
            low, high = row["n_total_interval"]
            yield f"  Monte Carlo interval of the number {low} to {high or 'more'}"
        if row["width_over_sd"]:
            low, high = row["width_over_sd"]
            yield f"  at the median SD of change; {low:.3g} to {high:.3g} over the 95 % interval of the SD"
        yield from in_words(row["assumed"])


def _wide(row: dict[str, Any]) -> str:
    """Say a width, with its Monte Carlo error where it is simulated."""
    error = "" if row["width_mcse"] is None else f" (MCSE {row['width_mcse']:.2g})"
    return f"{row['width']:.3g} {row['unit']}{error}"
