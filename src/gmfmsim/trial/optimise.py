"""Which allocation and which dose give the most assurance for the same number of children."""

import math
from collections.abc import Callable
from typing import Annotated

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from gmfmsim.evidence.formulas.dose import Dose
from gmfmsim.files.toml import Spec, key
from gmfmsim.progress import UNSEEN, Steps
from gmfmsim.trial.design import Design
from gmfmsim.trial.sizes import FEWEST_UNITS, allocation


class Optimise(Spec):
    """Asks for the assurance of so many children at each ratio and each dose."""

    n_total: Annotated[int, key("in all arms", "children", example=400, ge=8, le=100_000)]
    ratios: Annotated[
        list[Annotated[float, Field(ge=0.05, le=20)]],
        key("children with cells for each control child", min_length=1, max_length=12),
    ] = Field([1.0])
    doses: (
        Annotated[
            list[Dose],
            key("of the active arm; its own where none is said", example=["5e7 cells/kg"], min_length=1, max_length=12),
        ]
        | None
    ) = None

    @model_validator(mode="after")
    def _two_in_each_arm(self):
        uneven = max(max(ratio, 1 / ratio) for ratio in self.ratios)
        least = FEWEST_UNITS + math.floor(FEWEST_UNITS * uneven + 0.5)
        if self.n_total < least:
            words = "n_total of at least {least} with these ratios: two children in the smaller arm"
            raise PydanticCustomError("optimise", words, {"least": least})
        return self


def allocations(
    trial: Design,
    wanted: Optimise,
    assured: Callable[[Design, int], tuple[float, float]],
    *,
    advance: Steps = UNSEEN,
) -> list[dict]:
    """Return assurance and its MCSE for every dose and ratio, best first, equal ones as they are asked for; assurance
    per child is that over n_total.

    assured(trial, n) returns assurance and MCSE of a variant. Where they are simulated, the variants share their noise,
    so that they differ less by chance than their MCSE say. sizes are the children in each arm: at most n_total, and as
    many as the ratio allows.
    """
    rows = []
    advance.expect(len(wanted.doses or [0]) * len(wanted.ratios))
    for dose in wanted.doses or [trial.active.dose]:
        for ratio in wanted.ratios:
            variant = with_allocation(trial, dose, ratio)
            n = largest_n(variant, wanted.n_total)
            sizes, (assurance, mcse) = variant.sizes(n), assured(variant, n)
            rows.append(
                {
                    "dose": dose,
                    "ratio": ratio,
                    "sizes": sizes,
                    "assurance": assurance,
                    "assurance_mcse": mcse,
                    "assurance_per_100_children": 100 * assurance / sum(sizes.values()),
                }
            )
            advance()
    return sorted(rows, key=lambda row: -round(row["assurance"], 9))


def with_allocation(trial: Design, dose: float, ratio: float) -> Design:
    """Return the two-arm trial with another dose, and `ratio` children with cells for each control child."""
    cells, control = allocation(ratio)
    new = {trial.active.name: {"dose": dose, "ratio": cells}, trial.control.name: {"ratio": control}}
    arms = [arm.model_copy(update=new[arm.name] | {"n": None}) for arm in trial.arms]
    return trial.model_copy(update={"arms": arms})


def largest_n(trial: Design, n_total: int) -> int:
    """Return the largest n of the smaller arm with at most n_total children in all."""
    n = trial.at_least(n_total / sum(arm.ratio for arm in trial.arms)) + trial.step
    while trial.total(n) > n_total and n > trial.fewest:
        n -= trial.step
    return n
