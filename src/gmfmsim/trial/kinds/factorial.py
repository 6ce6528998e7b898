"""Cells and another drug, each with and without the other."""

from typing import Annotated, Literal

import numpy as np

from gmfmsim.files.toml import key
from gmfmsim.trial.analyses import Ancova, TTest
from gmfmsim.trial.design import Design
from gmfmsim.trial.sourced import Figure


class Factorial(Design):
    """Two by two (Min 2020): neither, cells, the other drug, both. The contrast is the main effect of the cells.

    Score = expected + effect of the cells + drug_effect + interaction (cells and drug together), by onset.
    """

    ALLOWED = (TTest, Ancova)
    kind: Literal["factorial"]
    drug: Annotated[str, key("the other drug", example="erythropoietin", min_length=2, max_length=60)]
    drug_effect: Annotated[Figure, key("effect of the other drug", "GMFM-66 points")]
    interaction: Annotated[Figure, key("effect of cells and drug together beyond their sum", "GMFM-66 points")]

    def _own_problems(self):
        cells = sorted((arm.dose > 0, arm.drug) for arm in self.arms)
        four = [(False, False), (False, True), (True, False), (True, True)]
        problems = [] if cells == four else ["four arms: neither, cells, drug, both"]
        one_dose = len({arm.dose for arm in self.arms if arm.dose > 0}) == 1
        return problems + ([] if one_dose else ["the same dose in both arms"])

    @property
    def weights(self):
        """Half of the two arms with cells minus half of the two without."""
        return np.array([0.5 if arm.dose > 0 else -0.5 for arm in self.arms])

    def estimand(self, effect):
        """Return the main effect (R,): half of the interaction beside the effect of the cells."""
        return super().estimand(effect) + self.interaction.value / 2 * self.share_present[self.endpoint]

    def treatment(self, effect):
        """Return what the arms get: the drug, and both together, beside the cells."""
        given = super().treatment(effect)
        drug = np.array([arm.drug for arm in self.arms])
        points = self.drug_effect.value * drug + self.interaction.value * (drug & given.treated)
        return given._replace(other=np.outer(points, self.share_present))

    def dose_words(self, arm):
        return super().dose_words(arm) + (f", with {self.drug}" if arm.drug else "")

    def own_words(self):
        return [
            f"The effect of the cells is the mean over children with and without {self.drug}, for which "
            f"{self.drug_effect.value:g} points are supposed, and {self.interaction.value:g} for both together."
        ]

    @property
    def contrast_words(self):
        return "the cells"
