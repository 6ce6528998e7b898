"""Two groups of changes: t, Welch and z."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from gmfmsim.files.toml import key
from gmfmsim.trial.analyse.contrast import changes, normal, pooled, separate
from gmfmsim.trial.analyse.law import dependent, of_change
from gmfmsim.trial.analyse.spec import BASELINE, AnalysisSpec, change_words


class TTest(AnalysisSpec):
    """Change at the last visit between arms: t (pooled variance), welch (Welch 1947), or z."""

    method: Literal["t", "welch", "z"]
    sd: Annotated[
        Literal["observed", "known"], key("of a z test, those of the trial, or known beforehand: two arms, one test")
    ] = Field(default="observed", exclude_if=lambda sd: sd == "observed")

    def words(self, design):
        return f"a {self.method.replace('welch', 'Welch')} test of {change_words(design)}"

    def estimates(self, trials, moments, design):
        contrast = {"t": pooled, "welch": separate, "z": normal}[self.method]
        return contrast(changes(moments(BASELINE)), design.weights)

    def law(self, design, factors):
        if self.method == "z" and self.sd != "known":
            return "the SDs of a z test are estimated"
        if self.method == "welch" and np.count_nonzero(design.weights) > 2:
            return "a Welch test of more than two groups has no law that is known exactly"
        if reason := dependent(design, alike=self.method == "z"):
            return reason
        return of_change(self, design)._replace(known=self.method == "z", separate=self.method == "welch")
