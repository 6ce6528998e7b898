"""One arm against natural history or historical children."""

import numpy as np

from gmfmsim.trial.analyse.contrast import Contrast, Groups, grouped, pooled, separate
from gmfmsim.trial.analyse.from_trials import endpoint_change
from gmfmsim.trial.designs import Design
from gmfmsim.trial.generate.trials import Trials


def one_sample(trials: Trials, design: Design, allowance: float) -> Contrast:
    """Return the one-sample t test of change minus expected change minus allowance, of children observed."""
    excess = endpoint_change(trials, design) - trials.expected[design.endpoint] - allowance
    return pooled(grouped(excess, trials.group, 1), np.ones(1))


def historical(trials: Trials, design: Design, mean: float, sd: float, n: int) -> Contrast:
    """Return the Welch test of the mean change against n historical children with their mean and SD."""
    own = grouped(endpoint_change(trials, design), trials.group, 1)
    theirs = (np.full(own.n.shape, float(x)) for x in (n, mean, sd**2 * (n - 1)))
    both = Groups(*(np.concatenate(parts) for parts in zip(own, theirs, strict=True)))
    return separate(both, np.array([1.0, -1.0]))
