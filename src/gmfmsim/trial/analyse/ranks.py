"""Rank test of the changes: Wilcoxon (1945), Mann & Whitney (1947)."""

import numpy as np
from scipy import special

from gmfmsim.compute.compiled import compiled
from gmfmsim.trial.analyse.from_trials import endpoint_change
from gmfmsim.trial.designs import Design
from gmfmsim.trial.estimates import Estimates
from gmfmsim.trial.generate.trials import Trials


def wilcoxon(trials: Trials, design: Design) -> Estimates:
    """Return the rank test of the changes at the endpoint, active arm against control, of children observed there.

    U counts pairs of children in which the treated one gains more, ties as one half (midranks).
    z = (U - n1 n0 / 2) / sqrt(n1 n0 / 12 (N + 1 - sum(t^3 - t) / (N (N - 1)))) over groups of t ties; no continuity
    correction. estimate: U / (n1 n0) - 1/2; se: its standard error under the null; it has no interval.

    Margins are in points: non-inferiority tests the treated changes plus the margin, equivalence those plus and minus
    the margin, at alpha / 2 each. Fails where an arm has fewer than two children or all changes are equal.
    """
    change = endpoint_change(trials, design)
    sign = np.sign(design.weights)
    critical, margin = float(special.ndtri(1 - design.alpha / 2)), design.objective.margin

    def z(u: np.ndarray, variance: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return (u - n1 * n0 / 2) / np.sqrt(variance)

    n1, n0, u, variance = mann_whitney(change, trials.group, sign, 0.0)
    ok, plain = (np.minimum(n1, n0) >= 2) & (variance > 0), z(u, variance)
    benefit = (z(*mann_whitney(change, trials.group, sign, margin)[2:]) if margin else plain) > critical
    if design.objective.claim == "equivalence":
        benefit &= z(*mann_whitney(change, trials.group, sign, -margin)[2:]) < -critical
    none = np.full(ok.shape, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate, se = np.where(ok, u / (n1 * n0) - 0.5, np.nan), np.where(ok, np.sqrt(variance) / (n1 * n0), np.nan)
    return Estimates(estimate, se, none, none.copy(), benefit & ok, (plain < -critical) & ok, ~ok)


@compiled
def mann_whitney(change, group, sign, shift):
    """Return n1, n0, U and Var(U) under the null, (R,) each, of change (N, R) by group (N, R), NaN where not observed.

    sign (A,): 1 for the arm whose changes, raised by `shift`, are compared with those of the arm with -1.
    """
    children, trials = change.shape
    n1, n0, u, variance = np.zeros(trials), np.zeros(trials), np.zeros(trials), np.zeros(trials)
    x, y = np.empty(children), np.empty(children)
    for r in range(trials):
        m, k = 0, 0
        for i in range(children):
            value, side = change[i, r], sign[group[i, r]]
            if np.isnan(value) or side == 0:
                continue
            if side > 0:
                x[m] = value + shift
                m += 1
            else:
                y[k] = value
                k += 1
        x[:m].sort()
        y[:k].sort()
        i, j, ties = 0, 0, 0.0
        while i < m or j < k:
            value = y[j] if i == m or (j < k and y[j] <= x[i]) else x[i]
            from_x, from_y = i, j
            while i < m and x[i] == value:
                i += 1
            while j < k and y[j] == value:
                j += 1
            u[r] += (i - from_x) * (from_y + 0.5 * (j - from_y))
            t = float(i - from_x + j - from_y)
            ties += t * t * t - t
        n1[r], n0[r] = m, k
        total = float(m + k)
        if total > 1:
            variance[r] = m * k / 12 * (total + 1 - ties / (total * (total - 1)))
            if ties == total * total * total - total:
                variance[r] = 0.0
    return n1, n0, u, variance
