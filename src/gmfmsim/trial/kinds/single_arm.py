"""One arm without control."""

from typing import Literal

from gmfmsim.trial.analyses import Historical, OneSample
from gmfmsim.trial.design import Design


class SingleArm(Design):
    """One arm with cells, held against natural history or historical children."""

    ALLOWED = (OneSample, Historical)
    kind: Literal["single_arm"]

    def _own_problems(self):
        return [] if len(self.arms) == 1 and self.arms[0].dose > 0 else ["one arm, with cells"]

    def allocated(self, verb, ratios, how):
        return "All are in one arm, without control"
