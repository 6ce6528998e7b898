"""Counts of the rank test of two groups."""

import numpy as np

from gmfmsim.compute.compiled import compiled


def mann_whitney(change, group, sign, shift):
    """Return n1, n0, U and Var(U) under the null, (R,) each, of change (N, R) by group (N, R), NaN where not observed.

    sign (A,): 1 for the arm whose changes, raised by `shift`, are compared with those of the arm with -1.
    """
    side = sign[group]
    x, y = (np.where(side == of, change, np.nan) for of in (1, -1))
    return _counted(*(np.sort(np.ascontiguousarray(values.T), axis=1) for values in (x + shift, y)))


@compiled
def _counted(first, second):
    """Do what `mann_whitney` does, from the changes of both arms (R, N), in order, NaN at the end."""
    trials, children = first.shape
    n1, n0, u, variance = np.zeros(trials), np.zeros(trials), np.zeros(trials), np.zeros(trials)
    for r in range(trials):
        x, y = first[r], second[r]
        m, k = 0, 0
        while m < children and not np.isnan(x[m]):
            m += 1
        while k < children and not np.isnan(y[k]):
            k += 1
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
