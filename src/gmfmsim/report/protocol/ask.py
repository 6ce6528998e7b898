"""The sample-size section of whatever has a plan: a result, an experiment, a design."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gmfmsim.answer.asked import asked_of
from gmfmsim.answer.planned import planned
from gmfmsim.answer.result import Result
from gmfmsim.faults import Fault, InputError, choices, shown
from gmfmsim.progress import READING, Silent
from gmfmsim.question.plans import Plans
from gmfmsim.report.protocol.document import Document
from gmfmsim.report.protocol.section import section

if TYPE_CHECKING:
    from gmfmsim import Source
    from gmfmsim.answer.experiment import Experiment


def protocol(
    source: "Source | Experiment | Result",
    changes: Mapping[str, Any] | None = None,
    *,
    plan: str | None = None,
    progress: Silent | None = None,
) -> Document:
    """Return the sample-size section of a protocol, with the items of DELTA2 (Cook et al. 2018), as a document.

    source: a result or its folder, from which all is taken; or an experiment or design, of which as much is computed
    as `size` does: see `asked_of`. changes: as of `load`, of a name. plan: the label of the one that
    is meant, the first by default. Its str() is Markdown; save("section.docx") writes Word, HTML or Markdown.

    Raises InputError for faults in the inputs, where there is no plan, and for a result of an earlier version, and
    GateFailed as `size`.
    """
    progress = progress or Silent()
    with progress.steps(READING):
        asked = asked_of(source, changes)
    if isinstance(asked, Result):
        labels = [told["label"] for told, _ in asked.plans] if asked.kind == "plans" else []
        return section(asked.answer, _position(plan, labels, str(asked.folder)))
    labels = [p.plan.label for p in asked.plans] if isinstance(asked.asked, Plans) else []
    return section(planned(asked, _position(plan, labels, asked.name), progress))


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
