"""One arm against historical children."""

import math
from typing import Annotated, ClassVar, Literal

import numpy as np
from scipy import special

from gmfmsim.files.toml import key
from gmfmsim.trial.analyse.contrast import Groups, endpoint_change, grouped, separate
from gmfmsim.trial.analyse.spec import AnalysisSpec, change_words


class Historical(AnalysisSpec):
    """Welch test of the mean change against historical children, their mean and SD as published."""

    linear: ClassVar = False
    method: Literal["historical"]
    mean: Annotated[float, key("mean change of the historical children", "GMFM-66 points", example=3, ge=-50, le=50)]
    sd: Annotated[float, key("its SD between them", "GMFM-66 points", example=5.5, gt=0, le=50)]
    n: Annotated[int, key("how many they are", "children", example=100, ge=2, le=100_000)]

    def words(self, design):
        children = f"{self.n} historical children, mean {self.mean:g} and SD {self.sd:g} points"
        return f"a Welch test of {change_words(design)} against that of {children}"

    def estimates(self, trials, moments, design):
        own = grouped(endpoint_change(trials, design), trials.group, 1)
        theirs = (np.full(own.n.shape, float(x)) for x in (self.n, self.mean, self.sd**2 * (self.n - 1)))
        both = Groups(*(np.concatenate(parts) for parts in zip(own, theirs, strict=True)))
        return separate(both, np.array([1.0, -1.0]))

    def limit(self, theta, effect, design, untreated):
        """The estimate keeps what children gain beyond the historical mean, and the error of that mean."""
        t = float(special.stdtrit(self.n - 1, 1 - design.alpha / 2))
        return theta + (untreated() - self.mean), t * self.sd / math.sqrt(self.n)
