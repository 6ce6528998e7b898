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
    shape, codes, values, widths, middle = trials.group.shape, [], [], [], []
    for name in covariates:
        if name in ("level", "centre"):
            code = trials.level if name == "level" else np.broadcast_to(trials.unit[:, None], shape)
            codes.append(np.asarray(code, np.int16))
            widths.append(4 if name == "level" else design.children.centres.number - 1)
            middle += [0.0] * widths[-1]
        elif name == "age":
            values.append(trials.age)
            widths.append(0)
            middle.append(trials.age.mean())
    middle += [trials.score[0].mean()] * (1 + visits)
    score = np.ascontiguousarray(trials.score[: 1 + visits])
    group = np.ascontiguousarray(trials.group)
    code = np.array(codes) if codes else np.empty((0, *shape), np.int16)
    value = np.array(values) if values else np.empty((0, *shape))
    columns = code, value, np.array(widths, np.int64)
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
def _add_up(score, group, columns, middle, arms):
    """Return n (A, 1 + V, R), mean (..., D, R) and cross (..., D, D, R) of score (1 + V, N, R) and covariates.

    columns: code (K, N, R) of categories, the first of which has no column, value (L, N, R) of numbers, and the columns
    that each covariate has, in their order, 0 for a number. Sums are taken of deviations from middle (D,), so that
    nothing is lost when the mean is taken out at the end; what is 0 adds nothing: most columns of categories.
    """
    code, value, widths = columns
    visits, children, trials = score.shape[0] - 1, score.shape[1], score.shape[2]
    d = middle.size
    c = d - 1 - visits
    n = np.zeros((arms, 1 + visits, trials))
    mean = np.zeros((arms, 1 + visits, d, trials))
    cross = np.zeros((arms, 1 + visits, d, d, trials))
    count, total = np.empty((arms, 1 + visits, TILE)), np.empty((arms, 1 + visits, d, TILE))
    square = np.empty((arms, 1 + visits, d, d, TILE))
    z, there = np.empty(d), np.empty(d, np.int64)
    for start in range(0, trials, TILE):
        beside = min(TILE, trials - start)
        count[:], total[:], square[:] = 0.0, 0.0, 0.0
        for i in range(children):
            for t in range(beside):
                r = start + t
                a, p = group[i, r], visits
                while p > 0 and np.isnan(score[p, i, r]):
                    p -= 1
                held, at, of_code, of_value = 0, 0, 0, 0
                for width in widths:
                    if width > 0:
                        number = code[of_code, i, r]
                        if number > 0:
                            there[held], z[held] = at + number - 1, 1.0
                            held += 1
                        of_code, at = of_code + 1, at + width
                    else:
                        there[held], z[held] = at, value[of_value, i, r] - middle[at]
                        held, of_value, at = held + 1, of_value + 1, at + 1
                for v in range(p + 1):
                    y = score[v, i, r]
                    there[held], z[held] = c + v, (0.0 if np.isnan(y) else y) - middle[c + v]
                    held += 1
                count[a, p, t] += 1.0
                if c == 0:  # what stands beside each other is added up faster
                    for j in range(held):
                        total[a, p, j, t] += z[j]
                        for k in range(j + 1):
                            square[a, p, j, k, t] += z[j] * z[k]
                    continue
                for j in range(held):
                    total[a, p, there[j], t] += z[j]
                    for k in range(j + 1):
                        square[a, p, there[j], there[k], t] += z[j] * z[k]
        for a in range(arms):
            for p in range(1 + visits):
                for t in range(beside):
                    r, m = start + t, count[a, p, t]
                    n[a, p, r] = m
                    if m == 0.0:
                        continue
                    for j in range(c + 1 + p):
                        mean[a, p, j, r] = middle[j] + total[a, p, j, t] / m
                        for k in range(j + 1):
                            apart = square[a, p, j, k, t] - total[a, p, j, t] * total[a, p, k, t] / m
                            cross[a, p, j, k, r] = apart
                            cross[a, p, k, j, r] = apart
    return n, mean, cross
