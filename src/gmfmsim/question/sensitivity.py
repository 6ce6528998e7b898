"""Which assumptions a plan changes one at a time to say what moves its n."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from gmfmsim.evidence.what_if import Supposed
from gmfmsim.files.toml import Spec, key

Changed = Literal[
    *("without study", "missing", "structure", "cells", "route", "month", "sd", "r", "prior", "reading", "bias"),
    "dropout",
]
"""What is changed: see `answer.what_moves`."""


class Sensitivity(Spec):
    """What moves n: the answer with one assumption changed at a time."""

    changed: Annotated[
        list[Changed], key("kinds of assumptions that are changed; none for no table", max_length=20)
    ] = Field(list(get_args(Changed)))
    no_effect: (
        Annotated[
            float,
            key(
                "probability before the data that the mean of studies is 0; one more average over biases has it",
                example=0.5,
                gt=0,
                lt=1,
            ),
        ]
        | None
    ) = None
    supposed: Annotated[
        list[Supposed], key("results of trials that reported none, each counted in turn", max_length=20)
    ] = Field(default_factory=list, exclude_if=lambda found: not found)
