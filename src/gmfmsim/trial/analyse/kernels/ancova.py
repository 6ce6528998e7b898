"""Analysis of covariance from moments."""

import numpy as np

from gmfmsim.compute.compiled import compiled
from gmfmsim.trial.analyse.contrast import NOTHING
from gmfmsim.trial.estimates import Estimates
from gmfmsim.trial.moments import Moments


def ancova(moments: Moments, weights: np.ndarray, *, baseline: bool = True) -> Estimates:
    """Return the contrast of the arms from the linear model of the last score on arm and covariates.

    score = mean of the arm + x'b + error, over all arms. With W the cross-products of x and y within arms and
    d = sum(w mean_x): estimate = sum(w mean_y) - d' Wxx^-1 Wxy, se^2 = s^2 (sum(w^2 / n) + d' Wxx^-1 d),
    s^2 = (Wyy - Wyx Wxx^-1 Wxy) / df, df = N - arms - rank of Wxx; arms without children count for nothing.
    A covariate that the arms and the covariates before it determine is left out; where it differs between the arms of
    the contrast, the contrast cannot be estimated. baseline: whether the baseline score is one of the covariates.
    Fails where an arm of the contrast has fewer than two children.
    """
    covariates = moments.covariates + baseline
    return Estimates(*_ancova(moments.n, moments.mean, moments.cross, np.asarray(weights, float), covariates))


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
