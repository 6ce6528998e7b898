"""Cells in the first or the second period."""

from typing import Annotated, Literal

import numpy as np

from gmfmsim.files.toml import key
from gmfmsim.trial.analyses import BETWEEN_ARMS, WithinChild
from gmfmsim.trial.design import Design, Treatment, in_cells, one_with_cells
from gmfmsim.trial.sourced import Figure


class Crossover(Design):
    """Cells first or after the first period (Sun 2017): the visits are the ends of the two periods.

    Cells stay in the body, so a treated child keeps its gain. In the second period the arm treated second gains the
    effect; the arm treated first gains carry_over times the effect once more (0: keeps what it has; below 0: loses).
    All gain period_effect in the second period beside their expected change. Analyses between arms look at the end of
    the first period, before the control children get cells.
    """

    ALLOWED = (*BETWEEN_ARMS, WithinChild)
    ENDPOINT = 0
    TAKES_ONSET = False
    kind: Literal["crossover"]
    carry_over: Annotated[Figure, key("further effect in the period after treatment, as a multiple")]
    period_effect: Annotated[Figure, key("gain of the second period beside growth", "GMFM-66 points")]

    def _own_problems(self):
        visits = [] if len(self.visits) == 2 else ["two visits, the ends of the two periods"]
        return one_with_cells(self) + visits + ([] if self.onset is None else ["no onset: a period is long enough"])

    def treatment(self, effect):
        """Return what the arms get: both have the response to the cells, one from the second period on."""
        cells = np.array([arm.dose > 0 for arm in self.arms])
        response = np.ascontiguousarray(np.broadcast_to(effect[cells], effect.shape), float)
        times = np.where(cells[:, None], [1, 1 + self.carry_over.value], [0.0, 1.0])
        return Treatment(response, times, np.array([[0.0, self.period_effect.value]] * 2), np.ones(2, bool))

    def dose_words(self, arm):
        if arm.dose:
            return f"{in_cells(arm.dose)}, at once"
        return "no cells in the first period, the same dose at the crossover"

    def own_words(self):
        more, period = self.carry_over.value, self.period_effect.value
        again = f", changed by {more:g} times its size in the second period" if more else ""
        every = f", and every child gains {period:g} points beside growth in the second period" if period else ""
        months = f"{self.month:g} month" + ("" if self.month == 1 else "s")
        return [
            f"Children cross over after {months}; those treated in the first period are supposed "
            f"to keep the effect{again}{every}."
        ]
