"""Whole clusters of children randomised."""

from typing import Annotated, Literal

import numpy as np

from gmfmsim.files.toml import key
from gmfmsim.trial.analyses import ClusterT
from gmfmsim.trial.design import Design, one_with_cells
from gmfmsim.trial.sourced import Correlation


class Cluster(Design):
    """Whole clusters of children (therapists, centres) randomised; n counts children, in clusters of cluster_size.

    So n is a multiple of cluster_size, and in every arm: its ratio is one of clusters.
    """

    ALLOWED = (ClusterT,)
    UNIT = "clusters"
    UNIT_CORRELATION = "icc"
    kind: Literal["cluster"]
    cluster_size: Annotated[int, key("children of a cluster", "children", example=10, ge=1, le=500)]
    icc: Annotated[Correlation, key("correlation of the changes within clusters")]

    def _own_problems(self):
        strata = ["no strata: whole clusters are randomised"] if self.randomisation.strata else []
        split = any(n % self.cluster_size for n in (self.as_run or {}).values())
        whole = [f"an n of whole clusters of {self.cluster_size} in each arm"] if split else []
        return one_with_cells(self) + strata + whole

    @property
    def step(self):
        return self.cluster_size

    @property
    def unit(self):
        return self.cluster_size

    def excess_parts(self, excess_sd, correlation):
        """Return the SDs (V, R): the shared variance is icc x excess_sd(t)^2, of the change as observed.

        The child's own is (1 - icc) excess_sd(t)^2 - 2 error^2, so that the total stays.
        """
        icc, children = correlation, self.children
        observed = np.outer((np.array(self.visits) / 12) ** children.excess_growth.value, excess_sd)
        own = (1 - icc) * observed**2 - 2 * children.error_sd(excess_sd) ** 2
        return np.sqrt(np.maximum(own, 0)), np.sqrt(icc) * observed

    def allocated(self, verb, ratios, how):
        without = how if self.randomisation.method == "none" else ""
        return f"Whole clusters are {verb} {ratios}{without}"

    def own_words(self):
        size = f"{self.cluster_size} {'child' if self.cluster_size == 1 else 'children'}"
        return [f"A cluster has {size}; changes within it are supposed to correlate by {self.icc}."]
