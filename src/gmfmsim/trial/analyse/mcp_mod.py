"""Multiple comparisons of candidate shapes of the dose-response."""

from typing import Annotated, ClassVar, Literal

import numpy as np

from gmfmsim.files.toml import key
from gmfmsim.trial.analyse.doses import by_contrasts, doses_of, largest_contrast, of_one_shape
from gmfmsim.trial.analyse.spec import BASELINE, AnalysisSpec, joined
from gmfmsim.trial.dose_shapes import Candidate, standardised_means

NEARLY_ALL = 0.9
"""It takes on the smallest dose with this share of the largest effect that the best shape has at the doses."""


class McpMod(AnalysisSpec):
    """Maximum of the optimal contrasts of candidate shapes, multiplicity by the multivariate t (Bretz 2005).

    It takes on the smallest dose with nearly all of the effect under the candidate with the largest contrast.
    """

    by_estimate: ClassVar = False
    method: Literal["mcp_mod"]
    candidates: Annotated[list[Candidate], key("shapes to look for", min_length=1, max_length=12)]

    def words(self, design):
        return f"MCP-Mod with the shapes {joined([c.words() for c in self.candidates])} (parts of the highest dose)"

    def estimates(self, trials, moments, design):
        doses = doses_of(design)
        shapes = standardised_means(self.candidates, doses)
        enough = shapes >= NEARLY_ALL * shapes.max(axis=1, keepdims=True)
        taken = np.where(enough, doses, np.inf).argmin(axis=1)
        return by_contrasts(moments(BASELINE), design, shapes, taken)

    def limit(self, theta, effect, design, untreated):
        return largest_contrast(standardised_means(self.candidates, doses_of(design)), effect, design), 0.0

    def law(self, design, factors):
        if len(self.candidates) > 1:
            return "the largest of several contrasts has no law that is known exactly"
        return of_one_shape(standardised_means(self.candidates, doses_of(design)), design)
