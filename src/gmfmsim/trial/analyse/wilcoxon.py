"""Rank test of the changes: Wilcoxon (1945), Mann & Whitney (1947)."""

from typing import ClassVar, Literal

import numpy as np
from scipy import special

from gmfmsim.trial.analyse.contrast import endpoint_change
from gmfmsim.trial.analyse.spec import AnalysisSpec, change_words
from gmfmsim.trial.estimates import Criterion, Estimates


class Wilcoxon(AnalysisSpec):
    """Ranks of the changes at the last visit (Mann & Whitney 1947), normal approximation with ties."""

    scale: ClassVar = "rank"
    linear: ClassVar = False
    by_estimate: ClassVar = False
    method: Literal["wilcoxon"]

    def words(self, design):
        return f"a Wilcoxon rank-sum test of {change_words(design)}"

    def estimates(self, trials, moments, design):
        """Return the rank test of the changes at the endpoint, active arm against control, of children observed there.

        U counts pairs of children in which the treated one gains more, ties as one half (midranks).
        z = (U - n1 n0 / 2) / sqrt(n1 n0 / 12 (N + 1 - sum(t^3 - t) / (N (N - 1)))) over groups of t ties; no continuity
        correction. estimate: U / (n1 n0) - 1/2; se: its standard error under the null; it has no interval.

        Thresholds are in points: that of a criterion is taken from the treated changes before they are ranked. Fails
        where an arm has fewer than two children or all changes are equal.
        """
        from gmfmsim.trial.analyse.kernels.ranks import mann_whitney

        change, sign = endpoint_change(trials, design), np.sign(design.weights)
        n1, n0, u, variance = mann_whitney(change, trials.group, sign, 0.0)
        none = np.full(u.shape, np.nan)

        def test(criterion: Criterion) -> np.ndarray:
            moved = u, variance
            if criterion.threshold:
                moved = mann_whitney(change, trials.group, sign, -float(criterion.threshold))[2:]
            with np.errstate(divide="ignore", invalid="ignore"):
                z = (moved[0] - n1 * n0 / 2) / np.sqrt(moved[1])
            return criterion.beyond(z, float(special.ndtri(1 - criterion.level)))

        with np.errstate(divide="ignore", invalid="ignore"):
            estimate, se = u / (n1 * n0) - 0.5, np.sqrt(variance) / (n1 * n0)
        ok = (np.minimum(n1, n0) >= 2) & (variance > 0)
        return Estimates(estimate, se, np.inf, ok, bounds=lambda _: (none, none), test=test)
