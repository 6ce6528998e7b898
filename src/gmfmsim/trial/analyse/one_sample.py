"""One arm against natural history."""

from typing import Annotated, ClassVar, Literal

import numpy as np

from gmfmsim.files.toml import key
from gmfmsim.trial.analyse.contrast import endpoint_change, grouped, pooled
from gmfmsim.trial.analyse.law import dependent, of_change
from gmfmsim.trial.analyse.spec import AnalysisSpec


class OneSample(AnalysisSpec):
    """One-sample t test of observed minus expected change, less an allowance for gains of any volunteer.

    Expected is the curve of the child's level at its age (normal children: their growth).
    """

    linear: ClassVar = False
    method: Literal["one_sample"]
    allowance: Annotated[float, key("what any volunteer gains", "GMFM-66 points", ge=-20, le=20)] = 0

    @property
    def label(self):
        return f"one_sample (allowance {self.allowance:g})"

    def words(self, design):
        less = f"less {self.allowance:g} points for what any volunteer gains" if self.allowance else "without allowance"
        return f"a one-sample t test of observed minus expected change to month {design.month:g}, {less}"

    def estimates(self, trials, moments, design):
        excess = endpoint_change(trials, design) - trials.expected[design.endpoint] - self.allowance
        return pooled(grouped(excess, trials.group, 1), np.ones(1))

    def limit(self, theta, effect, design, untreated):
        """The estimate keeps the gain of volunteers less the allowance for it."""
        children = design.children
        gain = 0.0 if children.kind == "normal" else children.volunteer_gain.value * min(design.month / 12, 1)
        return theta + (gain - self.allowance), 0.0

    def law(self, design, factors):
        return dependent(design, alike=False) or of_change(self, design)
