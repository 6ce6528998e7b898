"""Pairs of children, one of each to each arm."""

from typing import Annotated, Literal

import numpy as np

from gmfmsim.files.toml import key
from gmfmsim.trial.analyses import PairedT
from gmfmsim.trial.design import Design, one_with_cells
from gmfmsim.trial.sourced import Correlation


class Pairs(Design):
    """Pairs of children, twins for example (Wang 2015), one of each to each arm; n counts pairs.

    The children of a pair have the same level and age; what sets them apart from others of that level and age, and
    their true excess, has correlation pair_correlation between them, one value in all pairs of a trial.
    """

    ALLOWED = (PairedT,)
    UNIT = "pairs"
    UNIT_CORRELATION = "pair_correlation"
    kind: Literal["pairs"]
    pair_correlation: Annotated[Correlation, key("correlation of the changes within pairs")]

    def _own_problems(self):
        ratio = [] if all(arm.ratio == 1 for arm in self.arms) else ["no ratio: a pair has a child in each arm"]
        block = [] if self.randomisation.method == "block" else ["block randomisation: a pair has a child in each arm"]
        return one_with_cells(self) + ratio + block

    @property
    def unit(self):
        return 2

    def excess_parts(self, excess_sd, correlation):
        """Return the SDs (V, R): the shared variance is the correlation times that of the true excess."""
        true, _ = super().excess_parts(excess_sd, correlation)
        return np.sqrt(1 - correlation) * true, np.sqrt(correlation) * true

    def uniform(self, shape, rng):
        """Draw uniforms (N, R), the same for both children of a pair."""
        return np.repeat(rng.random((shape[0] // 2, shape[1])), 2, axis=0)

    def standard_normal(self, shape, rng, correlation):
        """Draw standard normals (N, R), correlated between the two children of a pair."""
        z = rng.standard_normal(shape)
        z[1::2] = correlation * z[::2] + np.sqrt(1 - correlation**2) * z[1::2]
        return z

    def allocated(self, verb, ratios, how):
        return f"Of each pair one child is {verb} to each arm"

    def own_words(self):
        return [f"Changes within a pair are supposed to correlate by {self.pair_correlation}."]
