"""The short way to n: exact posteriors and trials alone, nothing sampled, nothing written."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from gmfmsim.answer.course import sizing_of
from gmfmsim.answer.looks import in_sentences, looks_record
from gmfmsim.answer.posterior import fitted_models
from gmfmsim.answer.prior import in_sentences as of_prior
from gmfmsim.answer.prior import prior_record
from gmfmsim.answer.resources import compared, compared_in_words, resources
from gmfmsim.answer.sizing import assumed, at_answer, in_figures, in_short, in_words, of_plans
from gmfmsim.answer.value import in_sentences as of_value
from gmfmsim.answer.value import value_record
from gmfmsim.answer.what_moves import in_children, what_moves
from gmfmsim.compute.text import percent
from gmfmsim.progress import Silent
from gmfmsim.question.plan import Prepared
from gmfmsim.question.question import Question


def size(question: Question, moves: bool, progress: Silent) -> dict[str, Any]:
    """Return the required n of every plan, with what it costs, how long it takes and what it is worth where the plan
    says so, and with `moves` what moves it and what lies behind it.

    As answer.json of a run: the first plan's figures first, the others' under `alternatives`; beside n its power at the
    planning value and its assurance (see `at_answer`). From exact posteriors where there are; a posterior that must be
    sampled is, and passes the gate. Raises InputError where there is no plan.
    """
    fits: dict = {}

    def figures(prepared: Prepared) -> dict[str, Any]:
        sizing = sizing_of(prepared, partial(fitted_models, prepared, fits, progress))
        prepared = sizing.prepared
        label, trial = prepared.plan.label, prepared.plan.trial
        with progress.steps(f"{label}: search for n") as advance:
            required = sizing.required(advance)
        row = in_figures(prepared, required) | at_answer(sizing, required)
        row |= resources(sizing, required.n) | {"assumed": assumed(prepared)}
        if trial.looks and required.reference_n:
            row["looks"] = looks_record(sizing, required.reference_n)
        if required.reference_n and (prior := prior_record(sizing, required.reference_n)):
            row["prior"] = prior
        if prepared.plan.value:
            with progress.steps(f"{label}: what it is worth") as advance:
                row["value"] = value_record(sizing, required.n, advance)
        if moves:
            with progress.steps(f"{label}: what moves n") as advance:
                row["sensitivity"] = in_children(what_moves(sizing, required, advance), trial)
            row["distribution"] = sizing.behind(required)
        return row

    found = of_plans(question, figures)
    return found | compared(found)


def in_lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield what `size` found as lines for a terminal."""
    for row in (found, *found.get("alternatives", ())):
        yield in_short(row)
        yield from (f"  {line}" for line in row.get("resources_in_words", ()))
        yield from (f"  {line}" for line in (in_sentences(row["looks"]) if "looks" in row else ()))
        yield from (f"  {line}" for line in (of_prior(row["prior"]) if "prior" in row else ()))
        yield from (f"  {line}" for line in (of_value(row["value"]) if "value" in row else ()))
        yield from in_words(row["assumed"])
        for moved in row.get("sensitivity", []):
            n = moved["n_total"] or "none"
            yield f"  {n:>8}  {moved['words']}"
        if behind := row.get("distribution"):
            power, own = behind["power_at_n"], behind["n_of_own_truth"]
            quantiles = ", ".join(f"{p}: {n or 'none'}" for p, n in own["quantiles"].items())
            yield (
                f"  power at this number is 80 % or more with {percent(power['at_least_80'])} probability, "
                f"below 50 % with {percent(power['below_50'])}"
            )
            yield (
                f"  children that the next study's own effect would need, quantiles: {quantiles}; "
                f"none would do with {percent(own['none'])} probability"
            )
    yield from compared_in_words(found)
