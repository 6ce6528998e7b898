"""Two groups of changes: t, Welch and z."""

from typing import Literal

from gmfmsim.trial.analyse.contrast import changes, normal, pooled, separate
from gmfmsim.trial.analyse.spec import BASELINE, AnalysisSpec, change_words


class TTest(AnalysisSpec):
    """Change at the last visit between arms: t (pooled variance), welch (Welch 1947), or z (SDs as observed)."""

    method: Literal["t", "welch", "z"]

    def words(self, design):
        return f"a {self.method.replace('welch', 'Welch')} test of {change_words(design)}"

    def estimates(self, trials, moments, design):
        contrast = {"t": pooled, "welch": separate, "z": normal}[self.method]
        return contrast(changes(moments(BASELINE)), design.weights)
