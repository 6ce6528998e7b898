"""Clusters of children."""

from typing import ClassVar, Literal

import numpy as np

from gmfmsim.trial.analyse.contrast import endpoint_change, grouped, pooled
from gmfmsim.trial.analyse.law import knees, of_contrast
from gmfmsim.trial.analyse.spec import AnalysisSpec, change_words


class ClusterT(AnalysisSpec):
    """Two-sample t test of the mean changes of clusters (Donner & Klar 2000)."""

    linear: ClassVar = False
    method: Literal["cluster_t"]

    def words(self, design):
        return f"a t test of the means of clusters, for {change_words(design)}"

    def estimates(self, trials, moments, design):
        """Return the two-sample t test of the mean changes of clusters, each with equal weight.

        The mean of a cluster is over its children observed at the endpoint; a cluster without any counts for nothing.
        Fails where an arm keeps fewer than two clusters.
        """
        order = np.argsort(trials.unit, kind="stable")
        starts = np.flatnonzero(np.diff(trials.unit[order], prepend=-1))
        change = endpoint_change(trials, design)[order]
        seen = np.isfinite(change)
        n = np.add.reduceat(seen, starts, axis=0, dtype=float)
        with np.errstate(invalid="ignore"):
            mean = np.add.reduceat(np.where(seen, change, 0), starts, axis=0) / n
        return pooled(grouped(mean, trials.group[order][starts], len(design.arms)), design.weights)

    def law(self, design, factors):
        """The unit is a cluster, and what it contributes its mean."""

        def sigma(sd: np.ndarray) -> np.ndarray:
            own, shared = (part[design.endpoint] for part in design.excess_parts(sd, design.icc.value))
            return np.sqrt(shared**2 + (own**2 + 2 * design.children.error_sd(sd) ** 2) / design.step)

        uneven = "losses leave clusters of different sizes" if design.step > 1 and design.dropout > 0 else None
        if reason := design.not_normal_in_arms or uneven:
            return reason
        test = of_contrast(self, design, sigma)
        response = tuple(sd / design.step**0.5 for sd in test.response)
        return test._replace(response=response, knees=knees(design, [design.month], 1 - design.icc.value))
