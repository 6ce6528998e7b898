"""The sample-size section of whatever has a plan: a result, an experiment, a design."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmfmsim.answer.experiment import Experiment
from gmfmsim.answer.planned import planned
from gmfmsim.answer.result import Result
from gmfmsim.faults import Fault, InputError, choices, shown
from gmfmsim.files.shelf import names
from gmfmsim.progress import Silent
from gmfmsim.question.plans import Plans
from gmfmsim.question.question import read_question_or_design
from gmfmsim.report.protocol.document import Document
from gmfmsim.report.protocol.section import section

if TYPE_CHECKING:
    from gmfmsim import Source


def protocol(
    source: "Source | Experiment | Result",
    changes: Mapping[str, Any] | None = None,
    *,
    plan: str | None = None,
    progress: Silent | None = None,
) -> Document:
    """Return the sample-size section of a protocol, with the items of DELTA2 (Cook et al. 2018), as a document.

    source: a result or its folder, from which all is taken; or an experiment or design, of which as much is computed
    as `size` does; a shipped name is no folder. changes: as of `load`, of a name. plan: the label of the one that
    is meant, the first by default. Its str() is Markdown; save("section.docx") writes Word, HTML or Markdown.

    Raises InputError for faults in the inputs, where there is no plan, and for a result of an earlier version, and
    GateFailed as `size`.
    """
    if isinstance(source, str | Path) and os.path.isdir(source) and str(source) not in _shipped():
        source = Result.read(source)
    if changes and isinstance(source, Result | Experiment):
        place = str(source.folder) if isinstance(source, Result) else source.name
        raise InputError([Fault(place, "--set", "cannot change what was read already", "a name, or no change")])
    if isinstance(source, Result):
        labels = [told["label"] for told, _ in source.plans] if source.kind == "plans" else []
        return section(source.answer, _position(plan, labels, str(source.folder)))
    question = source.question if isinstance(source, Experiment) else read_question_or_design(source, changes)
    labels = [p.plan.label for p in question.plans] if isinstance(question.asked, Plans) else []
    return section(planned(question, _position(plan, labels, question.name), progress or Silent()))


def _shipped() -> set[str]:
    """Return the names of what is shipped and has a plan, or may have one."""
    return {*names("experiments"), *names("designs")}


def _position(label: str | None, labels: Sequence[str], place: str) -> int:
    """Return which plan is meant, the first where none is named. Raises InputError for a label that is none, and where
    nothing asks for a sample size."""
    if label in labels:
        return labels.index(label)
    if label is None and labels:
        return 0
    problem = f"{shown(label)} is no plan" if labels else "asks for no sample size"
    allowed = choices(label or "", labels) if labels else "an experiment with a plan"
    raise InputError([Fault(place, "plan", problem, allowed)])
