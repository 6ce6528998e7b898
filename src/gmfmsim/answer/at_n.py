"""What a given number of children shows: power, assurance, detectable effect, and how far significant results err."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from gmfmsim.answer.course import sizing_of
from gmfmsim.answer.looks import in_sentences, looks_record
from gmfmsim.answer.posterior import fitted_models
from gmfmsim.answer.prior import in_sentences as of_prior
from gmfmsim.answer.prior import prior_record
from gmfmsim.answer.resources import resources
from gmfmsim.answer.sizing import SUCCESS, assumed, in_words, of_plans
from gmfmsim.answer.value import in_sentences as of_value
from gmfmsim.answer.value import value_record
from gmfmsim.compute.text import percent
from gmfmsim.faults import Fault, InputError
from gmfmsim.progress import Silent
from gmfmsim.question.changed import PLACE
from gmfmsim.question.plan import Prepared
from gmfmsim.question.question import Question
from gmfmsim.trial.detectable import Detectable, Effort, smallest_effect
from gmfmsim.trial.exact.exaggeration import exaggeration
from gmfmsim.trial.optimise import largest_n

WANTED = (0.8, 0.9)
"""Powers for which the detectable effect is said."""

FIGURES = SUCCESS | {"power_at_mean": "pooled_mean"}
"""What is said of success, and in which scenario."""


def at_n(question: Question, children: int, progress: Silent) -> dict[str, Any]:
    """Return what at most so many children in all show in every plan: the first plan's figures first.

    power at the planning value, assurance in a new study, power at the mean of studies, false claims without an effect
    and the plateau; simulated ones with `_mcse`, null where exact. detectable: effects with the powers WANTED; type_s
    and type_m at the planning value. Without the last three, empty and null, where the law of the test is not known:
    `[detectable]` of an experiment asks for the first there, by simulation.

    Raises InputError where there is no plan, or a trial cannot have so few children.
    """
    enough(question, children)
    fits: dict = {}
    return of_plans(question, lambda prepared: _of_plan(prepared, children, fits, progress))


def enough(question: Question, children: int) -> None:
    """Raise InputError where a trial of a plan cannot have so few children."""
    fewest = max((trial.total(trial.fewest) for trial in (p.plan.trial for p in question.plans)), default=0)
    if children < fewest:
        raise InputError([Fault(PLACE, "--n", f"{children} children are too few", f"at least {fewest}")])


def _of_plan(prepared: Prepared, children: int, fits: dict, progress: Silent) -> dict[str, Any]:
    """Return the figures of one plan."""
    sizing = sizing_of(prepared, partial(fitted_models, prepared, fits, progress))
    prepared = sizing.prepared
    plan, trial = prepared.plan, prepared.plan.trial
    n = largest_n(trial, children)
    with progress.steps(f"{plan.label}: success") as advance:
        success, (plateau, plateau_mcse) = sizing.at(n, advance)
    found = {}
    for name, scenario in FIGURES.items():
        found |= dict(zip((name, f"{name}_mcse"), success[scenario], strict=True))
    effort = Effort(plan.search.replicates, plan.seed, plan.search.z)
    asked = [Detectable(n_per_arm=n, power=power) for power in (WANTED if sizing.known_law else ())]
    smallest = [smallest_effect(trial, one, effort) for one in asked]
    erring = exaggeration(trial, trial.analyses[0], plan.search.planning_value, n)
    return {
        "label": plan.label,
        "n_total": trial.total(n),
        "n_by_arm": trial.sizes(n),
        **found,
        "plateau": plateau,
        "plateau_mcse": plateau_mcse,
        "detectable": [{"power": one["power"], "effect": one["effect"]} for one in smallest],
        "type_s": erring and erring.type_s,
        "type_m": erring and erring.type_m,
        **resources(sizing, n),
        **({"looks": looks_record(sizing, n)} if trial.looks else {}),
        **({"prior": prior} if (prior := prior_record(sizing, n)) else {}),
        **({"value": value_record(sizing, n, search=False)} if plan.value else {}),
        "assumed": assumed(prepared),
    }


def in_lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield what `at_n` found as lines for a terminal."""
    for row in (found, *found.get("alternatives", ())):
        taken = row["assumed"]
        arms = ", ".join(f"{n} {arm}" for arm, n in row["n_by_arm"].items())
        yield f"{row['label']}: {row['n_total']} children ({arms})"
        yield f"  power to detect {taken['effect']}: {_share(row, 'power')}"
        most = _share(row, "plateau")
        yield f"  assurance in a new study: {_share(row, 'assurance')}; no number gives more than {most}"
        nothing = _share(row, "false_claims")
        yield f"  power at the mean of studies: {_share(row, 'power_at_mean')}; without an effect: {nothing}"
        for one in row["detectable"]:
            effect = "none up to 40 points" if one["effect"] is None else f"{one['effect']:.2f} points"
            yield f"  detectable with {percent(one['power'])} power: {effect}"
        if row["type_m"] is not None:
            yield (
                f"  significant estimates are on average {row['type_m']:.2f} times the true {taken['effect']}, and on "
                f"the wrong side with {percent(row['type_s'])} probability (at the median SD)"
            )
        yield from (f"  {line}" for line in row.get("resources_in_words", ()))
        yield from (f"  {line}" for line in (in_sentences(row["looks"]) if "looks" in row else ()))
        yield from (f"  {line}" for line in (of_prior(row["prior"]) if "prior" in row else ()))
        yield from (f"  {line}" for line in (of_value(row["value"]) if "value" in row else ()))
        yield from in_words(taken)


def _share(row: dict[str, Any], name: str) -> str:
    """Say a share, with its Monte Carlo error where it is simulated."""
    error = row[f"{name}_mcse"]
    return percent(row[name]) + ("" if error is None else f" (MCSE {percent(error)})")
