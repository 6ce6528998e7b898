"""Experiments, designs and results side by side, each computed as far as a comparison needs."""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from gmfmsim import __version__
from gmfmsim.answer.comparison import Side, comparison
from gmfmsim.answer.course import sizing_of
from gmfmsim.answer.plan import drawn_at_settings
from gmfmsim.answer.posterior import fitted_models
from gmfmsim.answer.resources import resources
from gmfmsim.answer.result import Datasets, Draw, Head, Outcome, Result, write
from gmfmsim.answer.sizing import assumed, grid_of, in_figures, is_design, shown_n, success_at, without_n
from gmfmsim.answer.value import value_record
from gmfmsim.compute.text import plain
from gmfmsim.faults import Fault, InputError
from gmfmsim.files import store
from gmfmsim.progress import Silent
from gmfmsim.question.plan import Prepared
from gmfmsim.question.question import METHOD, Question
from gmfmsim.trial import nuisance

MOST = 24
"""Plans that stand side by side: more are no comparison, and no figure."""

QUESTION = "Which of these plans asks for the fewest children, and what does each give?"


def compare(asked: Sequence[Question | Result], results: Path, draw: Draw, progress: Silent) -> Result:
    """Return the comparison of every plan of some experiments and results, in results/compared/<key>/.

    A result that is there is taken; of an experiment without one the required n, success over n and a design's false
    claims over settings of children are computed, as in a run, no more.

    Raises InputError for fewer than two plans, more than MOST, or a result that has no n.
    """
    fits: dict = {}
    _refuse_what_has_no_n(asked)
    started = time.perf_counter()
    sides = _named([side for one in asked for side in _sides(one, results, fits, progress)])
    found = plain(comparison(sides))
    said = json.dumps([METHOD, __version__, found, [side.label for side in sides]], sort_keys=True)
    key = hashlib.sha256(said.encode()).hexdigest()[:12]
    folder = results / "compared" / key
    store.sweep(folder.parent)
    reused = store.is_complete(folder)
    if not reused:
        head = Head("compared", key, "compared", QUESTION, {"compared": [side.label for side in sides]})
        surfaces: Datasets = {f"surface-{i}.nc": side.surface for i, side in enumerate(sides, 1)}
        outcome = Outcome({"sentence": in_words(found), "comparison": found}, surfaces, {})
        seconds = time.perf_counter() - started
        with store.writing(folder) as draft, progress.steps("report: figures and page") as advance:
            write(head, outcome, draft, partial(draw, advance=advance), seconds)
    return replace(Result.read(folder), reused=reused)


def _refuse_what_has_no_n(asked: Sequence[Question | Result]) -> None:
    """Raise InputError for what has no n, and for too few or too many plans, before anything is computed."""
    faults, count = [], sum(len(one.plans) for one in asked)
    for one in asked:
        if isinstance(one, Question) and not one.plans:
            faults.append(without_n(one))
        if isinstance(one, Result) and one.kind != "plans":
            faults.append(Fault(str(one.folder), "answer.json", "has no n to compare", "a result of plans"))
        elif isinstance(one, Result) and "assumed" not in one.answer:
            allowed = "a result of this version: run it again with --force"
            faults.append(Fault(str(one.folder), "answer.json", "was written by an earlier version", allowed))
    if not 2 <= count <= MOST and not faults:
        problem = f"{count} plan{'s' if count != 1 else ''} to compare"
        faults.append(Fault("compare", "arguments", problem, f"two to {MOST}, of any experiments and results"))
    if faults:
        raise InputError(faults)


def in_words(found: dict) -> str:
    """Say which plan needs the fewest children."""
    reached = [row for row in found["rows"] if row["n_total"] is not None]
    if not reached:
        return "No plan reaches its target."
    least = min(reached, key=lambda row: row["n_total"])
    targets = {json.dumps(row["target"], sort_keys=True) for row in found["rows"]}
    text = f"Of {len(found['rows'])} plans {least['label']} needs the fewest children: {least['n_total']} in all."
    if len(reached) < len(found["rows"]):
        text += f" {len(found['rows']) - len(reached)} do not reach their target."
    return text if len(targets) == 1 else f"{text} Their targets differ."


def differences(found: dict) -> Iterator[str]:
    """Yield what distinguishes the plans of a comparison as lines for a terminal."""
    for row in found["differs"]:
        yield f"  {row['what']}"
        yield from (f"    {of['label']}: {value}" for of, value in zip(found["rows"], row["values"], strict=True))


def _sides(one: Question | Result, results: Path, fits: dict, progress: Silent) -> Iterator[tuple[str, Side]]:
    """Yield the plans of an experiment or a result, each with the name of its experiment."""
    if isinstance(one, Question):
        there = results / one.name / one.key
        if not store.is_complete(there):
            for prepared in one.plans:
                yield one.name, _computed(prepared, fits, progress)
            return
        one = Result.read(there)
    for i, (answer, _) in enumerate(one.plans):
        type_one = one.data("type_one", i) if one.has("type_one", i) else None
        yield one.answer["experiment"], Side(answer["label"], answer, one.data("surface", i), type_one)


def _computed(prepared: Prepared, fits: dict, progress: Silent) -> Side:
    """Return a plan with its required n and success over n, exactly where that is possible, and false claims."""
    sizing = sizing_of(prepared, partial(fitted_models, prepared, fits, progress))
    prepared = sizing.prepared
    with progress.steps(f"{prepared.plan.label}: search for n") as advance:
        required = sizing.required(advance)
    with progress.steps(f"{prepared.plan.label}: curves") as advance:
        surface = sizing.primary(grid_of(prepared, required), advance, answer=required.reference_n)
    figures = in_figures(prepared, required) | success_at(surface, required.reference_n)
    figures |= resources(sizing, required.n) | {"assumed": assumed(prepared)}
    if prepared.plan.value:
        figures["value"] = value_record(sizing, required.n)
    type_one, n = None, shown_n(required, surface)
    if is_design(prepared):
        with progress.steps(f"{prepared.plan.label}: false claims over nuisance settings") as advance:
            how = drawn_at_settings(prepared.plan)
            type_one = nuisance.type_one(prepared.plan.trial, n, primary=True, advance=advance, **how)
    return Side(prepared.plan.label, plain(figures), surface, type_one)


def _named(found: Iterable[tuple[str, Side]]) -> list[Side]:
    """Return plans under labels that tell them apart: experiment and plan, as far as needed."""
    pairs = list(found)
    names = [name for name, _ in pairs]
    labels = [name if names.count(name) == 1 else f"{name}: {side.label}" for name, side in pairs]
    again = [labels[:i].count(label) for i, label in enumerate(labels)]
    return [
        side._replace(label=f"{label} ({k + 1})" if k else label)
        for (_, side), label, k in zip(pairs, labels, again, strict=True)
    ]
