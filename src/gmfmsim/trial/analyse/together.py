"""Every analysis that a design names, on the same simulated trials."""

from functools import cache

from gmfmsim.trial.analyse.kernels.moments import moments_of, until
from gmfmsim.trial.decide import Verdicts, decide
from gmfmsim.trial.designs import Design
from gmfmsim.trial.generate.trials import Trials
from gmfmsim.trial.moments import Moments


def analyse(trials: Trials, design: Design) -> dict[str, Verdicts]:
    """Return the verdicts of every analysis of the design by label, all from the same R trials.

    A trial in which an arm of the contrast keeps fewer than two children fails.
    """
    moments = cache(lambda covariates: moments_of(trials, design, covariates))
    return {a.label: decide(a.estimates(trials, moments, design), design) for a in design.analyses}


def analyse_moments(moments: Moments, design: Design) -> dict[str, Verdicts]:
    """Return the verdicts of every analysis of the design by label, from moments without covariates.

    Raises ValueError for an analysis that needs the children themselves or a covariate other than the baseline.
    """
    for a in design.analyses:
        if not a.linear:
            raise ValueError(f"analysis is {a.label!r}; allowed: linear ones with no covariate but the baseline")
    moments = until(moments, design.endpoint + 1)
    return {a.label: decide(a.estimates(None, lambda _: moments, design), design) for a in design.analyses}
