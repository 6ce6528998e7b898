"""A block of simulated trials, child by child."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Trials:
    """R simulated trials of one design at one n: N children in order of enrolment, V visits.

    The trial is the last axis everywhere, so that sums over children run along memory.

    - score (1 + V, N, R): observed score at baseline and each visit; NaN where missed or lost;
    - group (N, R): position of the child's arm (crossover: sequence) in design.arms;
    - expected (V, N, R): the change that the child's growth curve says, without volunteer gain; what natural history
      predicts (normal children: their growth);
    - level (N, R): GMFCS level 0 to 4; age (N, R) in years. None for normal children;
    - unit (N,): number of the child's centre, pair or cluster, from 0; None where there is none.
    """

    score: np.ndarray
    group: np.ndarray
    expected: np.ndarray
    level: np.ndarray | None = None
    age: np.ndarray | None = None
    unit: np.ndarray | None = None

    @property
    def change(self) -> np.ndarray:
        """Change from baseline (V, N, R); NaN where not observed."""
        return self.score[1:] - self.score[0]

    def first(self, children: int) -> "Trials":
        """Return the trials with their first children alone, in memory of its own."""
        if children == len(self.group):
            return self
        names = ("score", "group", "expected", "level", "age")
        own = {name: values for name in names if (values := getattr(self, name)) is not None}
        fewer = {name: np.ascontiguousarray(values[..., :children, :]) for name, values in own.items()}
        return Trials(**fewer, unit=None if self.unit is None else self.unit[:children])
