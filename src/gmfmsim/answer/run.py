"""The main path: from an experiment to a folder with its answer."""

import time
from pathlib import Path

from gmfmsim.answer.past import past_outcome
from gmfmsim.answer.plan import Answered, answered
from gmfmsim.answer.record import plans_outcome
from gmfmsim.answer.rerun import rerun_outcome
from gmfmsim.answer.result import Draw, Outcome, Result, write
from gmfmsim.files import store
from gmfmsim.model.average import Member
from gmfmsim.progress import Silent
from gmfmsim.question.past import Past
from gmfmsim.question.plans import Plans
from gmfmsim.question.question import Question
from gmfmsim.question.rerun import Rerun


def run(question: Question, results: Path, draw: Draw, progress: Silent) -> Result:
    """Return the result of an experiment in results/<experiment>/<key>/, computed unless it is there.

    draw: adds figures and page to the folder. Raises GateFailed if a posterior cannot be trusted; then nothing is
    written.
    """
    folder = results / question.name / question.key
    store.sweep(folder.parent)
    reused = store.is_complete(folder)
    if not reused:
        kind, compute = KINDS[type(question.asked)]
        with store.writing(folder) as draft:
            started = time.perf_counter()
            outcome = compute(question.asked, progress)
            progress.stage("report: figures and page")
            write(question, kind, outcome, draft, draw, time.perf_counter() - started)
    found = Result.read(folder)
    return Result(found.answer, folder, reused)


def _plans(asked: Plans, progress: Silent) -> Outcome:
    """Answer every plan; plans with the same model and evidence share a fit."""
    fits: dict[tuple[str, str], Member] = {}
    answers = [answered(prepared, fits, progress) for prepared in asked.plans]
    return Outcome(*plans_outcome(answers), {"plans": [_manifest(a) for a in answers]})


def _past(asked: Past, progress: Silent) -> Outcome:
    """Plan the trials of the past again."""
    return Outcome(*past_outcome(asked, progress), {"evidence_sha256": asked.plans[0].tables.sha256})


def _rerun(asked: Rerun, progress: Silent) -> Outcome:
    """Say what the checks of a review came to."""
    answer = rerun_outcome(asked)
    return Outcome(answer, {}, {"evidence_sha256": asked.tables.sha256, "verdicts": answer["verdicts"]})


KINDS = {Plans: ("plans", _plans), Past: ("past", _past), Rerun: ("rerun", _rerun)}
"""What is asked: its word, and how it is computed."""


def _manifest(answer: Answered) -> dict:
    """Return what the manifest says of one plan."""
    prepared = answer.prepared
    data = prepared.contrasts
    return {
        "label": prepared.plan.label,
        "seed": prepared.plan.seed,
        "evidence_sha256": prepared.tables.sha256,
        "rows_of_contrasts_csv": [] if data is None else data["row"].values.tolist(),
        "models": [
            {
                "name": m.name,
                "share": m.share,
                "engine": m.fit.engine if m.fit else "published: independent draws",
                "exact_refused": m.fit.why_not if m.fit else None,
                "gate": m.fit.gate if m.fit else [],
                "engines": m.fit.compared if m.fit else [],
                "verdict": m.fit.verdict if m.fit else "not fitted",
            }
            for m in answer.members
        ],
        "replicates": answer.surface.attrs["replicates"],
        "seconds": answer.seconds,
    }
