"""Crossover: each child against itself."""

from typing import ClassVar, Literal

import numpy as np

from gmfmsim.trial.analyse.contrast import grouped, pooled
from gmfmsim.trial.analyse.law import dependent, kept, knees, of_contrast
from gmfmsim.trial.analyse.spec import AnalysisSpec


class WithinChild(AnalysisSpec):
    """Crossover: difference of the changes of the two periods, between sequences, halved (Hills & Armitage 1979)."""

    linear: ClassVar = False
    method: Literal["within_child"]

    def words(self, design):
        return "a comparison within children of the changes in the two periods, between sequences"

    def estimates(self, trials, moments, design):
        """Return the difference of the changes of the two periods, of children seen throughout.

        With d = (y1 - y0) - (y2 - y1) a child: estimate = (mean of d, cells first, minus mean of d, cells second) / 2,
        by the two-sample t test of d / 2, which takes out the change and the effect of the periods.
        """
        before, middle, after = trials.score[:3]
        difference = 2 * middle - before - after
        return pooled(grouped(difference / 2, trials.group, len(design.arms)), np.sign(design.weights))

    def limit(self, theta, effect, design, untreated):
        """A further effect in the second period takes half of itself from the difference."""
        return theta * (1 - design.carry_over.value / 2), 0.0

    def law(self, design, factors):
        """The unit is a child who is seen throughout."""

        def sigma(sd: np.ndarray) -> np.ndarray:
            contrast = np.array([-0.5, 1.0, -0.5])[:, None, None]
            return np.sqrt(((contrast * factors(sd)[:3]).sum(axis=0) ** 2).sum(axis=0))

        if reason := dependent(design):
            return reason
        throughout = {"kept": kept(design, len(design.visits)), "knees": knees(design, design.visits)}
        return of_contrast(self, design, sigma)._replace(**throughout)
