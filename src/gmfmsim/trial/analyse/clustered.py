"""Pairs and clusters of children."""

import numpy as np

from gmfmsim.trial.analyse.contrast import Contrast, grouped, pooled
from gmfmsim.trial.analyse.from_trials import endpoint_change
from gmfmsim.trial.designs import Design
from gmfmsim.trial.generate.trials import Trials


def paired_t(trials: Trials, design: Design) -> Contrast:
    """Return the one-sample t test of the differences of change within pairs, treated minus control.

    A pair that has lost a child counts for nothing.

    Raises ValueError where a unit is not a pair, one child in each arm.
    """
    order = np.argsort(trials.unit, kind="stable")
    sign = np.sign(design.weights)[trials.group[order]]
    if order.size % 2 or np.any(sign[::2] + sign[1::2]) or np.any(np.unique(trials.unit, return_counts=True)[1] != 2):
        raise ValueError("unit names no pairs; allowed: two children of each unit, one in each arm")
    change = sign * endpoint_change(trials, design)[order]
    difference = change[::2] + change[1::2]
    return pooled(grouped(difference, np.zeros(difference.shape, np.int8), 1), np.ones(1))


def cluster_t(trials: Trials, design: Design) -> Contrast:
    """Return the two-sample t test of the mean changes of clusters, each with equal weight.

    The mean of a cluster is over its children observed at the endpoint; a cluster without any counts for nothing. Fails
    where an arm keeps fewer than two clusters (Donner & Klar 2000).
    """
    order = np.argsort(trials.unit, kind="stable")
    starts = np.flatnonzero(np.diff(trials.unit[order], prepend=-1))
    change = endpoint_change(trials, design)[order]
    seen = np.isfinite(change)
    n = np.add.reduceat(seen, starts, axis=0, dtype=float)
    with np.errstate(invalid="ignore"):
        mean = np.add.reduceat(np.where(seen, change, 0), starts, axis=0) / n
    return pooled(grouped(mean, trials.group[order][starts], len(design.arms)), design.weights)
