"""Share of children who gain more than a margin."""

import numpy as np
from scipy import special

from gmfmsim.trial.analyse.from_trials import endpoint_change
from gmfmsim.trial.designs import Design
from gmfmsim.trial.estimates import Estimates
from gmfmsim.trial.generate.trials import Trials


def responders(trials: Trials, design: Design, margin: float) -> Estimates:
    """Return the difference of the shares of children whose change at the endpoint exceeds margin points.

    Only children observed at the endpoint are counted, as responders or not. estimate = p1 - p0, p = k / n;
    se = sqrt(p1 (1 - p1) / n1 + p0 (1 - p0) / n0) and the interval with it (Wald); the verdicts compare
    estimate / sqrt(p (1 - p) (1 / n1 + 1 / n0)), p the share in both arms, with the normal distribution.

    Fails where an arm has fewer than two children, and where no child or every child responds.
    """
    change, weights = endpoint_change(trials, design), design.weights
    seen, gained = np.isfinite(change), change > margin
    active, control = (trials.group == arm for arm in (np.argmax(weights), np.argmin(weights)))
    n1, n0 = ((seen & arm).sum(axis=0) for arm in (active, control))
    k1, k0 = ((gained & arm).sum(axis=0) for arm in (active, control))
    responded = k1 + k0
    ok = (np.minimum(n1, n0) >= 2) & (responded > 0) & (responded < n1 + n0)
    with np.errstate(divide="ignore", invalid="ignore"):
        p1, p0, p = k1 / n1, k0 / n0, responded / (n1 + n0)
        estimate, se = p1 - p0, np.sqrt(p1 * (1 - p1) / n1 + p0 * (1 - p0) / n0)
        z = estimate / np.sqrt(p * (1 - p) * (1 / n1 + 1 / n0))
    critical = float(special.ndtri(1 - design.alpha / 2))
    numbers = (estimate, se, estimate - critical * se, estimate + critical * se)
    return Estimates(*(np.where(ok, x, np.nan) for x in numbers), ok & (z > critical), ok & (z < -critical), ~ok)
