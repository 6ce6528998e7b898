"""Group sizes, means and cross-products of simulated children."""

from collections.abc import Sequence

import numpy as np

from gmfmsim.compute.compiled import compiled
from gmfmsim.trial.generate.trials import Trials
from gmfmsim.trial.moments import Moments

TILE = 32
"""Trials added up together: their sums fit the first or second level of the cache."""


def moments_of(trials: Trials, design, covariates: Sequence[str] = ("baseline",)) -> Moments:
    """Return the moments of R trials by arm and last observed visit, up to the visit of the endpoint.

    covariates, in their order: level as four 0/1 columns for levels II to V, age in years, centre as 0/1 columns for
    all but the first; the baseline has its column whether it is named or not. A child observed at the endpoint counts
    as seen at all visits, and visits that it missed before hold 0: with gaps the moments serve analyses of baseline and
    endpoint only.
    """
    visits = design.endpoint + 1
    x = covariate_columns(trials, design, covariates)
    middle = [column.mean() if name == "age" else 0.0 for column, name in x]
    middle += [trials.score[0].mean()] * (1 + visits)
    columns = np.array([column for column, _ in x]) if x else np.empty((0, *trials.group.shape))
    score = np.ascontiguousarray(trials.score[: 1 + visits])
    group = np.ascontiguousarray(trials.group)
    return Moments(*_add_up(score, group, columns, np.array(middle, float), len(design.arms)))


def covariate_columns(trials: Trials, design, covariates: Sequence[str]) -> list[tuple[np.ndarray, str]]:
    """Return the columns (N, R) of the covariates other than the baseline, each with the name it belongs to."""
    columns = []
    for name in covariates:
        if name == "level":
            columns += [(trials.level == level, name) for level in range(1, 5)]
        elif name == "age":
            columns.append((trials.age, name))
        elif name == "centre":
            at = [trials.unit == centre for centre in range(1, design.children.centres.number)]
            columns += [(np.broadcast_to(here[:, None], trials.group.shape), name) for here in at]
    return [(np.asarray(column, float), name) for column, name in columns]


def until(moments: Moments, visits: int) -> Moments:
    """Return the moments up to a number of visits: children seen longer are complete there."""
    if visits == moments.visits:
        return moments
    keep = moments.covariates + 1 + visits
    n, mean, cross = moments.n[:, visits:], moments.mean[:, visits:, :keep], moments.cross[:, visits:, :keep, :keep]
    total = n.sum(axis=1)
    middle = (n[:, :, None] * mean).sum(axis=1) / np.maximum(total, 1)[:, None]
    apart = mean - middle[:, None]
    joined = cross.sum(axis=1) + np.einsum("apr,apir,apjr->aijr", n, apart, apart)

    def with_last(parts: np.ndarray, last: np.ndarray) -> np.ndarray:
        return np.concatenate([parts[:, :visits], last[:, None]], axis=1)

    return Moments(
        with_last(moments.n, total),
        with_last(moments.mean[:, :, :keep], middle),
        with_last(moments.cross[:, :, :keep, :keep], joined),
    )


@compiled
def _add_up(score, group, x, middle, arms):
    """Return n (A, 1 + V, R), mean (..., D, R) and cross (..., D, D, R) of score (1 + V, N, R) and x (C, N, R).

    Sums are taken of deviations from middle (D,), so that nothing is lost when the mean is taken out at the end.
    """
    visits, children, trials = score.shape[0] - 1, score.shape[1], score.shape[2]
    c = x.shape[0]
    d = c + 1 + visits
    n = np.zeros((arms, 1 + visits, trials))
    mean = np.zeros((arms, 1 + visits, d, trials))
    cross = np.zeros((arms, 1 + visits, d, d, trials))
    count, total = np.empty((arms, 1 + visits, TILE)), np.empty((arms, 1 + visits, d, TILE))
    square = np.empty((arms, 1 + visits, d, d, TILE))
    z = np.empty(d)
    for start in range(0, trials, TILE):
        width = min(TILE, trials - start)
        count[:], total[:], square[:] = 0.0, 0.0, 0.0
        for i in range(children):
            for t in range(width):
                r = start + t
                a, p = group[i, r], visits
                while p > 0 and np.isnan(score[p, i, r]):
                    p -= 1
                for j in range(c):
                    z[j] = x[j, i, r] - middle[j]
                for v in range(p + 1):
                    y = score[v, i, r]
                    z[c + v] = (0.0 if np.isnan(y) else y) - middle[c + v]
                count[a, p, t] += 1.0
                for j in range(c + 1 + p):
                    if z[j] != 0.0:  # most 0/1 columns
                        total[a, p, j, t] += z[j]
                        for k in range(j + 1):
                            square[a, p, j, k, t] += z[j] * z[k]
        for a in range(arms):
            for p in range(1 + visits):
                for t in range(width):
                    r, m = start + t, count[a, p, t]
                    n[a, p, r] = m
                    if m == 0.0:
                        continue
                    for j in range(c + 1 + p):
                        mean[a, p, j, r] = middle[j] + total[a, p, j, t] / m
                        for k in range(j + 1):
                            value = square[a, p, j, k, t] - total[a, p, j, t] * total[a, p, k, t] / m
                            cross[a, p, j, k, r] = value
                            cross[a, p, k, j, r] = value
    return n, mean, cross
