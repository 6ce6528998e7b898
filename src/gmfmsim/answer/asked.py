"""What a user means by a name, a path or a value: a question to answer, or a result that is there."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmfmsim.answer.experiment import Experiment
from gmfmsim.answer.result import Result
from gmfmsim.faults import Fault, InputError
from gmfmsim.files.shelf import names
from gmfmsim.question.question import Question, read_question_or_design

if TYPE_CHECKING:
    from gmfmsim import Source


def asked_of(source: "Source | Experiment | Result", changes: Mapping[str, Any] | None = None) -> Question | Result:
    """Return the question of an experiment or design, or the result in a folder.

    A folder of the name of a shipped experiment or design is meant by ./NAME. changes: as of `load`, of what is read
    here alone.

    Raises InputError with every fault, as `read_question`; for a folder without a result; and for changes of a result
    or of an experiment that was read before.
    """
    shipped = {*names("experiments"), *names("designs")}
    if isinstance(source, str | Path) and os.path.isdir(source) and str(source) not in shipped:
        source = Result.read(source)
    if not isinstance(source, Result | Experiment):
        return read_question_or_design(source, changes)
    if changes:
        place = str(source.folder) if isinstance(source, Result) else source.name
        raise InputError([Fault(place, "--set", "cannot change what was read already", "a name, or no change")])
    return source if isinstance(source, Result) else source.question
