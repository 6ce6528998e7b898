"""Each dose against control, step by step."""

from itertools import combinations
from typing import ClassVar, Literal

import numpy as np

from gmfmsim.trial.analyse.doses import by_dose
from gmfmsim.trial.analyse.dunnett import against_control, critical, largest_of_doses, of_largest, treated
from gmfmsim.trial.analyse.spec import BASELINE, AnalysisSpec


class ClosedTest(AnalysisSpec):
    """Each dose against control by closed testing of Dunnett tests: the step-down procedure (Marcus, Peritz &
    Gabriel 1976).

    The test of any dose is that of Dunnett; a dose is significant where the Dunnett test of every set of doses with it
    in it is, so that it takes on smaller doses.
    """

    by_estimate: ClassVar = False
    method: Literal["closed_dunnett"]

    def words(self, design):
        return "closed testing of each dose against control by Dunnett's tests"

    def estimates(self, trials, moments, design):
        doses, arms = by_dose(moments(BASELINE), design), treated(design)
        t = doses.estimate / doses.se
        significant = np.ones(t.shape, bool)
        for size in range(1, len(arms) + 1):
            for some in map(list, combinations(arms, size)):
                significant[some] &= t[some].max(axis=0) > critical(some, doses, design)
        return against_control(doses, design, significant)

    def limit(self, theta, effect, design, untreated):
        return largest_of_doses(effect, design), 0.0

    def law(self, design, factors):
        """Any dose is significant where the test of all of them is."""
        return of_largest(design)
