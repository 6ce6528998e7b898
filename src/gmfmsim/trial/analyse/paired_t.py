"""Pairs of children."""

from typing import ClassVar, Literal

import numpy as np

from gmfmsim.trial.analyse.contrast import endpoint_change, grouped, pooled
from gmfmsim.trial.analyse.law import of_contrast
from gmfmsim.trial.analyse.spec import AnalysisSpec, change_words


class PairedT(AnalysisSpec):
    """One-sample t test of the differences within pairs; a pair that loses a child counts as lost."""

    linear: ClassVar = False
    method: Literal["paired_t"]

    def words(self, design):
        return f"a paired t test of {change_words(design)}"

    def estimates(self, trials, moments, design):
        """Return the one-sample t test of the differences of change within pairs, treated minus control.

        Raises ValueError where a unit is not a pair, one child in each arm.
        """
        order = np.argsort(trials.unit, kind="stable")
        sign = np.sign(design.weights)[trials.group[order]]
        children = np.unique(trials.unit, return_counts=True)[1]
        if order.size % 2 or np.any(sign[::2] + sign[1::2]) or np.any(children != 2):
            raise ValueError("unit names no pairs; allowed: two children of each unit, one in each arm")
        change = sign * endpoint_change(trials, design)[order]
        difference = change[::2] + change[1::2]
        return pooled(grouped(difference, np.zeros(difference.shape, np.int8), 1), np.ones(1))

    def law(self, design, factors):
        """The unit is a pair, whose difference has twice the variance of what its children do not share."""

        def sigma(sd: np.ndarray) -> np.ndarray:
            own = design.excess_parts(sd, design.pair_correlation.value)[0][design.endpoint]
            return np.sqrt(2 * (own**2 + 2 * design.children.error_sd(sd) ** 2))

        if reason := design.not_normal_in_arms:
            return reason
        test = of_contrast(self, design, sigma)
        response = (max(test.response),) if test.response else ()
        return test._replace(weights=(1.0,), sizes=lambda n: test.sizes(n)[:1], kept=test.kept**2, response=response)
