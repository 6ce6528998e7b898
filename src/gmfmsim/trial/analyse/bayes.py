"""Posterior of the effect under a normal prior."""

from functools import cache
from typing import Annotated, Literal

import numpy as np

from gmfmsim.files.toml import key
from gmfmsim.trial.analyse.law import of_residual
from gmfmsim.trial.analyse.spec import BASELINE, AnalysisSpec
from gmfmsim.trial.estimates import Estimates


class Bayes(AnalysisSpec):
    """Posterior of the effect from the ANCOVA on baseline and Normal(prior_mean, prior_sd^2), or a flat prior.

    Success: P(effect > 0 | data) > 1 - alpha / 2. Without prior_sd the prior is flat, and this is the ANCOVA again.
    """

    method: Literal["bayes"]
    prior_mean: Annotated[float, key("mean of the prior of the effect", "GMFM-66 points", ge=-50, le=50)] = 0
    prior_sd: (
        Annotated[float, key("its SD; flat where none is said", "GMFM-66 points", example=2, gt=0, le=1000)] | None
    ) = None

    @property
    def label(self):
        return "bayes (flat)" if self.prior_sd is None else f"bayes ({self.prior_mean:g}, {self.prior_sd:g})"

    def words(self, design):
        mean, sd = self.prior_mean, self.prior_sd
        prior = "flat prior" if sd is None else f"prior mean {mean:g} and SD {sd:g} points"
        return f"a Bayesian analysis of covariance ({prior}; success from probability {1 - design.alpha / 2:g})"

    def estimates(self, trials, moments, design):
        """Return posterior mean and SD of the effect; its bounds are quantiles of the posterior.

        P(effect > threshold | data) > 1 - level where the lower bound lies above the threshold, and so from above.
        """
        from gmfmsim.trial.analyse.kernels.ancova import ancova
        from gmfmsim.trial.analyse.kernels.posterior import posterior

        found = ancova(moments(BASELINE), design.weights)
        if self.prior_sd is None:
            return found
        ok = found.ok & np.isfinite(found.estimate) & np.isfinite(found.se) & (found.se > 0) & (found.df >= 1)
        data = [np.where(ok, *part) for part in ((found.estimate, 0), (found.se, 1), (found.df, 1))]
        at = cache(lambda level: posterior(*data, self.prior_mean, self.prior_sd, level))
        mean, sd, *_ = at(design.alpha / 2)
        return Estimates(mean, sd, found.df, ok, bounds=lambda level: at(level)[2:])

    def law(self, design, factors):
        return "a prior moves the interval" if self.prior_sd is not None else of_residual(self, design, factors)
