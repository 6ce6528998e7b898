"""Every analysis that a design names, on the same simulated trials."""

from functools import cache

from gmfmsim.trial.analyse.kernels.moments import moments_of, until
from gmfmsim.trial.analyse.spec import MomentsOf
from gmfmsim.trial.decide import Verdicts, claim, decide
from gmfmsim.trial.design import Design
from gmfmsim.trial.generate.trials import Trials
from gmfmsim.trial.moments import Moments


def analyse(trials: Trials, design: Design) -> dict[str, Verdicts]:
    """Return the verdicts of every analysis of the design by label, all from the same R trials.

    A trial in which an arm of the contrast keeps fewer than two children fails.
    """
    return _decided(trials, cache(lambda covariates: moments_of(trials, design, covariates)), design)


def analyse_moments(moments: Moments, design: Design) -> dict[str, Verdicts]:
    """Return the verdicts of every analysis of the design by label, from moments without covariates.

    Raises ValueError for an analysis that needs the children themselves or a covariate other than the baseline.
    """
    for a in design.analyses:
        if not a.linear:
            raise ValueError(f"analysis is {a.label!r}; allowed: linear ones with no covariate but the baseline")
    moments = until(moments, design.endpoint + 1)
    return _decided(None, lambda _: moments, design)


def _decided(trials: Trials | None, moments: MomentsOf, design: Design) -> dict[str, Verdicts]:
    claimed = claim(design)
    return {a.label: decide(a.estimates(trials, moments, design), claimed, design.alpha) for a in design.analyses}
