"""What an analysis finds in simulated trials, before anything is decided."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np


class Criterion(NamedTuple):
    """The effect lies above or below a threshold, at a one-sided level: with probability 1 - level."""

    level: float
    threshold: float
    direction: Literal["above", "below"]

    def beyond(self, statistic: np.ndarray, critical: np.ndarray | float) -> np.ndarray:
        """Return where a statistic lies beyond its critical value (above 0) in the direction of the criterion."""
        return statistic > critical if self.direction == "above" else statistic < -critical


@dataclass(frozen=True)
class Estimates:
    """What one analysis finds in R trials; every array has shape (R,), or (look, R).

    - estimate, se: the primary contrast and its standard error, in the scale of the analysis;
    - df: degrees of freedom, infinite for the normal distribution;
    - ok: the analysis could be done (enough children, some variance); numbers elsewhere mean nothing;
    - bounds: from a one-sided level to the ends of the intervals with probability 1 - level each, NaN where there are
      none; None for estimate -+ t(1 - level, df) se;
    - test: from a criterion to whether it holds, where that does not follow from the bounds: ranks, shares, doses;
    - selected: position in design.arms of the arm that is taken on if the claim is made; only along doses.
    """

    estimate: np.ndarray
    se: np.ndarray
    df: np.ndarray | float
    ok: np.ndarray
    bounds: Callable[[float], tuple[np.ndarray, np.ndarray]] | None = None
    test: Callable[[Criterion], np.ndarray] | None = None
    selected: np.ndarray | None = None
