"""Two subgroups of a trial of two arms: the test of treatment by subgroup, and the effect within one, by formula."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gmfmsim.compute.algebra import dot
from gmfmsim.compute.arguments import scalar
from gmfmsim.trial.closed_form import StandardError, claim_power, of_contrast
from gmfmsim.trial.design import Design
from gmfmsim.trial.exact.rules import spread

FEWEST = 2.0
"""Children of a cell, arm by subgroup, who finish on average: a mean and its spread need two."""


class Subgroups(NamedTuple):
    """A trial of two arms, normal changes of one SD, whose children are of two subgroups: `share` are of the first.

    Cells hold the children who are expected to finish, in every arm the same share of both subgroups, as a trial that
    is stratified by subgroup has them.
    """

    design: Design
    share: float

    def cells(self, n: int) -> np.ndarray:
        """Return the children of the cells (4,) at n: treated and control of the first, of the second subgroup."""
        sizes, active = self.design.sizes(n), self.design.active.name
        treated, control = sizes[active], sum(sizes.values()) - sizes[active]
        of_arms = np.array([treated, control]) * (1 - self.design.dropout)
        return np.concatenate([of_arms * self.share, of_arms * (1 - self.share)])

    def interaction(self, n: int, difference: float) -> float:
        """Return the power of the test that the subgroups' effects differ, by so many points in truth.

        Two-sided t test of (A_treated - A_control) - (B_treated - B_control): standard error sd sqrt(sum 1 / n_cell), N
        - 4 degrees of freedom; a result in the direction of the truth. Over the SD of change of the design (Brookes,
        Whitely, Egger, Davey Smith, Mulheran & Peters 2004).
        """
        return self._over_sds(n, abs(scalar("difference", difference)), (1.0, -1.0, -1.0, 1.0))

    def within(self, n: int, effect: float, *, first: bool) -> float:
        """Return the power of the t test of one subgroup alone, the SD estimated from its own children."""
        cells = slice(0, 2) if first else slice(2, 4)
        return self._over_sds(n, scalar("effect", effect), (1.0, -1.0), cells)

    def overall(self, n: int, effect: float) -> float:
        """Return the power of the t test of all children for a mean effect, subgroups apart in the model."""
        of_arms = (self.share, -self.share, 1 - self.share, self.share - 1)
        return self._over_sds(n, scalar("effect", effect), of_arms)

    def needed(self, chance: Callable[[int], float], power: float, most: int) -> int | None:
        """Return the smallest n at which a chance that grows with n is a power; None where no n up to `most` has it."""
        low, high = self.design.fewest, self.design.at_most(most)
        if chance(high) < power:
            return None
        if chance(low) >= power:
            return low
        while high - low > self.design.step:
            middle = self.design.at_most((low + high) // 2)
            low, high = (low, middle) if chance(middle) >= power else (middle, high)
        return high

    def _over_sds(self, n: int, effect: float, weights: tuple[float, ...], cells: slice = slice(0, 4)) -> float:
        """Return the power for sum of weights x cell means, averaged over the SD of change."""
        children, (sds, share) = self.cells(n)[cells], spread(self.design.sd_change)
        if children.min() < FEWEST:
            return 0.0
        found = [self._power(effect, of_contrast(children, weights, float(sd))) for sd in sds]
        return float(dot(share, np.array(found)))

    def _power(self, effect: float, error: StandardError) -> float:
        return claim_power(effect, error, alpha=self.design.alpha)
