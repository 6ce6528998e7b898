"""The main path: from an experiment to a folder with its answer."""

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from gmfmsim.answer.claim import claim_outcome
from gmfmsim.answer.past import past_outcome
from gmfmsim.answer.record import plans_outcome
from gmfmsim.answer.rerun import rerun_outcome
from gmfmsim.answer.result import Draw, Head, Result, copy_own_inputs, write
from gmfmsim.answer.safety import safety_outcome
from gmfmsim.answer.who import who_outcome
from gmfmsim.files import store
from gmfmsim.progress import STOPS, Silent
from gmfmsim.question.claim import Claim
from gmfmsim.question.past import Past
from gmfmsim.question.plans import Plans
from gmfmsim.question.question import Question
from gmfmsim.question.rerun import Rerun
from gmfmsim.question.safety import Safety
from gmfmsim.question.who import Who

KINDS = {
    Plans: ("plans", plans_outcome),
    Past: ("past", past_outcome),
    Rerun: ("rerun", rerun_outcome),
    Claim: ("claim", claim_outcome),
    Safety: ("safety", safety_outcome),
    Who: ("who", who_outcome),
}
"""What is asked: its word, and how it is computed."""


def run(question: Question, results: Path, draw: Draw, progress: Silent, *, force: bool = False) -> Result:
    """Return the result of an experiment in results/<experiment>/<key>/, computed unless it is there.

    draw: adds figures and page to the folder. force: it is computed again though it is there. Raises GateFailed if a
    posterior cannot be trusted; then nothing is written.
    """
    folder = results / question.name / question.key
    store.sweep(folder.parent)
    reused = not force and store.is_complete(folder)
    if not reused:
        kind, compute = KINDS[type(question.asked)]
        head = Head(question.name, question.key, kind, question.text, question.config)
        with store.writing(folder, anew=force) as draft:
            started = time.perf_counter()
            try:
                outcome = compute(question.asked, progress)
                with progress.steps("report: figures and page") as advance:
                    seconds = time.perf_counter() - started
                    copy_own_inputs(question, draft)
                    write(head, outcome, draft, partial(draw, advance=advance), seconds)
            except STOPS as stop:
                stop.add_note("nothing was written")
                raise
    return replace(Result.read(folder), reused=reused)
