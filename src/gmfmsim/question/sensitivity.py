"""Which assumptions a plan changes one at a time to say what moves its n."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from gmfmsim.evidence.what_if import Supposed
from gmfmsim.files.toml import Spec

Changed = Literal[
    *("without study", "missing", "structure", "cells", "route", "month", "sd", "r", "prior", "reading", "bias"),
    "dropout",
]
"""What is changed: see `answer.what_moves`."""


class Sensitivity(Spec):
    """[sensitivity]: the kinds of assumptions that are changed, all of them by default; none for no table.

    no_effect: the probability before the data that the mean of studies is 0; one more average over biases has it.
    supposed: results of trials that reported none, each counted in turn.
    """

    changed: Annotated[list[Changed], Field(max_length=20)] = Field(default_factory=lambda: list(get_args(Changed)))
    no_effect: Annotated[float, Field(gt=0, lt=1)] | None = None
    supposed: Annotated[list[Supposed], Field(max_length=20)] = Field(
        default_factory=list, exclude_if=lambda found: not found
    )
