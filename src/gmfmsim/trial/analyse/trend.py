"""Linear trend over doses."""

from typing import Annotated, ClassVar, Literal

import numpy as np

from gmfmsim.files.toml import key
from gmfmsim.trial.analyse.doses import by_contrasts, doses_of, largest_contrast, of_one_shape
from gmfmsim.trial.analyse.spec import BASELINE, AnalysisSpec


class Trend(AnalysisSpec):
    """Linear contrast of the mean changes over doses.

    It takes on the highest dose.
    """

    by_estimate: ClassVar = False
    method: Literal["trend"]
    scores: Annotated[Literal["rank", "dose"], key("the ranks of the doses, or the doses themselves")] = "rank"

    @property
    def label(self):
        return "trend" if self.scores == "rank" else "trend (dose)"

    def words(self, design):
        return f"a linear trend over {'the ranks of the ' if self.scores == 'rank' else ''}doses"

    def estimates(self, trials, moments, design):
        taken = np.array([doses_of(design).argmax()])
        return by_contrasts(moments(BASELINE), design, self._line(design), taken)

    def limit(self, theta, effect, design, untreated):
        return largest_contrast(self._line(design), effect, design), 0.0

    def law(self, design, factors):
        return of_one_shape(self._line(design), design)

    def _line(self, design) -> np.ndarray:
        """Return the scores of the arms as one shape (1, A)."""
        doses = doses_of(design)
        scores = doses if self.scores == "dose" else np.unique(doses, return_inverse=True)[1]
        return np.asarray(scores, float)[None]
