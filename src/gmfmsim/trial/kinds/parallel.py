"""Arms side by side."""

from typing import Literal

from gmfmsim.trial.analyses import ALONG_DOSES, BETWEEN_ARMS
from gmfmsim.trial.design import Design, Objective


class ParallelArms(Design):
    """Arms side by side: control and one or several doses, any allocation."""

    ALLOWED = (*BETWEEN_ARMS, *ALONG_DOSES)
    kind: Literal["parallel"]

    def _own_problems(self):
        doses = [arm.dose for arm in self.arms]
        problems = [] if doses.count(0) == 1 and len(doses) > 1 else ["one arm with dose 0 and at least one with cells"]
        if any(isinstance(a, ALONG_DOSES) for a in self.analyses):
            if len(doses) < 3:
                problems.append("at least two doses beside control for trend, Dunnett and MCP-Mod")
            if self.objective.claim != "superiority":
                problems.append("claim superiority for trend, Dunnett and MCP-Mod")
        return problems

    @property
    def two_arms_one_test(self) -> bool:
        first, *others = self.analyses
        return (
            (len(self.arms), len(self.visits), self.not_normal) == (2, 1, None)
            and not others
            and (first.method == "t" or (first.method == "z" and first.sd == "known"))
            and self.objective == Objective()
            and self.run_in is None
            and list(self.share_present) == [1.0]
        )
