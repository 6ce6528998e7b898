"""Contrasts of arm means: t, Welch, z, and analysis of covariance."""

from typing import NamedTuple

import numpy as np

from gmfmsim.compute.compiled import compiled
from gmfmsim.trial.moments import Moments

NOTHING = 1e-12
"""A sum of squares below this share of what it was taken from is rounding: no variance."""


class Groups(NamedTuple):
    """Children n, their mean and sum of squared deviations, (G, R) each."""

    n: np.ndarray
    mean: np.ndarray
    square: np.ndarray


class Contrast(NamedTuple):
    """Estimate, standard error, degrees of freedom, and whether the analysis could be done; (R,) each."""

    estimate: np.ndarray
    se: np.ndarray
    df: np.ndarray
    ok: np.ndarray


def changes(moments: Moments) -> Groups:
    """Return the changes from baseline to the last visit by arm, of the children observed there."""
    b, y = moments.covariates, -1
    mean, cross = moments.mean[:, -1], moments.cross[:, -1]
    square = cross[:, y, y] + cross[:, b, b] - 2 * cross[:, y, b]
    square = np.where(square > NOTHING * (cross[:, y, y] + cross[:, b, b]), square, 0)
    return Groups(moments.n[:, -1], mean[:, y] - mean[:, b], square)


def grouped(values: np.ndarray, group: np.ndarray, groups: int) -> Groups:
    """Return values (M, R), NaN where there is none, by group (M, R) with numbers from 0."""
    seen = np.isfinite(values)
    parts = []
    for g in range(groups):
        mine = seen & (group == g)
        n = mine.sum(axis=0)
        mean = np.where(mine, values, 0).sum(axis=0) / np.maximum(n, 1)
        square = np.where(mine, values - mean, 0) ** 2
        square, size = square.sum(axis=0), np.where(mine, values, 0) ** 2
        parts.append((n, mean, np.where(square > NOTHING * size.sum(axis=0), square, 0)))
    return Groups(*(np.array(part, float) for part in zip(*parts, strict=True)))


def pooled(groups: Groups, weights: np.ndarray) -> Contrast:
    """Return the contrast sum(w mean) of weights (G,) with the pooled variance of the groups that it weighs.

    se^2 = s^2 sum(w^2 / n), s^2 = sum(square) / df, df = sum(n - 1): the two-sample t test for weights (-1, 1), the
    one-sample t test for (1,), the main effect of a factorial design for (+-1/2, ...).
    """
    n, mean, square, w = _weighed(groups, weights)
    df = (n - 1).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        se = np.sqrt(square.sum(axis=0) / df * (w**2 / n).sum(axis=0))
    return Contrast((w * mean).sum(axis=0), se, df, (n >= 2).all(axis=0))


def separate(groups: Groups, weights: np.ndarray) -> Contrast:
    """Return the contrast with each group's own variance: se^2 = sum(w^2 s^2 / n).

    df = se^4 / sum(w^4 s^4 / (n^2 (n - 1))) (Welch 1947; Satterthwaite 1946).
    """
    n, mean, square, w = _weighed(groups, weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        part = w**2 * square / (n * (n - 1))
        variance = part.sum(axis=0)
        df = variance**2 / (part**2 / (n - 1)).sum(axis=0)
    return Contrast((w * mean).sum(axis=0), np.sqrt(variance), df, (n >= 2).all(axis=0))


def normal(groups: Groups, weights: np.ndarray) -> Contrast:
    """Return the contrast with each group's own variance taken as known: df infinite."""
    found = separate(groups, weights)
    return found._replace(df=np.full(found.se.shape, np.inf))


def _weighed(groups: Groups, weights: np.ndarray):
    used = np.asarray(weights) != 0
    return *(part[used] for part in groups), np.asarray(weights, float)[used, None]


def ancova(moments: Moments, weights: np.ndarray, *, baseline: bool = True) -> Contrast:
    """Return the contrast of the arms from the linear model of the last score on arm and covariates.

    score = mean of the arm + x'b + error, over all arms. With W the cross-products of x and y within arms and
    d = sum(w mean_x): estimate = sum(w mean_y) - d' Wxx^-1 Wxy, se^2 = s^2 (sum(w^2 / n) + d' Wxx^-1 d),
    s^2 = (Wyy - Wyx Wxx^-1 Wxy) / df, df = N - arms - rank of Wxx; arms without children count for nothing.
    A covariate that the arms and the covariates before it determine is left out; where it differs between the arms of
    the contrast, the contrast cannot be estimated. baseline: whether the baseline score is one of the covariates.
    Fails where an arm of the contrast has fewer than two children.
    """
    covariates = moments.covariates + baseline
    return Contrast(*_ancova(moments.n, moments.mean, moments.cross, np.asarray(weights, float), covariates))


@compiled
def _ancova(n, mean, cross, weights, covariates):
    """Return estimate, se, df, ok (R,); the first columns are the covariates, the last the outcome."""
    arms, last, trials = n.shape[0], n.shape[1] - 1, n.shape[2]
    y = mean.shape[2] - 1
    estimate, se, df, ok = np.empty(trials), np.empty(trials), np.empty(trials), np.empty(trials, np.bool_)
    w, v, d = np.empty((covariates, covariates)), np.empty(covariates), np.empty(covariates)
    own, size, level = np.empty(covariates), np.empty(covariates), np.empty(covariates)
    for r in range(trials):
        children, used, outcome, raw, difference, spread = 0.0, 0, 0.0, 0.0, 0.0, 0.0
        w[:], v[:], d[:], size[:], level[:] = 0.0, 0.0, 0.0, 0.0, 0.0
        good = True
        for a in range(arms):
            m = n[a, last, r]
            if weights[a] != 0.0 and m < 2:
                good = False
            if m == 0:
                continue
            used += 1
            children += m
            outcome += cross[a, last, y, y, r]
            difference += weights[a] * mean[a, last, y, r]
            spread += weights[a] ** 2 / m
            for j in range(covariates):
                here = mean[a, last, j, r]
                d[j] += weights[a] * here
                v[j] += cross[a, last, j, y, r]
                size[j] += m * here * here
                level[j] = max(level[j], abs(here))
                for k in range(j + 1):
                    w[j, k] += cross[a, last, j, k, r]
        raw = outcome
        for j in range(covariates):
            own[j] = w[j, j]
        rank = 0
        for k in range(covariates):  # elimination without square roots, one covariate after another
            pivot = w[k, k]
            if own[k] <= 1e-12 * size[k] or pivot <= 1e-10 * own[k]:
                good = good and abs(d[k]) <= 1e-8 * level[k]
                continue
            rank += 1
            difference -= d[k] * v[k] / pivot
            spread += d[k] * d[k] / pivot
            outcome -= v[k] * v[k] / pivot
            for j in range(k + 1, covariates):
                factor = w[j, k] / pivot
                d[j] -= factor * d[k]
                v[j] -= factor * v[k]
                for i in range(k + 1, j + 1):
                    w[j, i] -= factor * w[i, k]
        freedom = children - used - rank
        good = good and freedom >= 1 and outcome > NOTHING * raw
        estimate[r], df[r], ok[r] = difference, freedom, good
        se[r] = np.sqrt(outcome / freedom * spread) if good else np.nan
    return estimate, se, df, ok
