"""Contrasts of means of groups: pooled variance, separate ones, known ones."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from gmfmsim.trial.estimates import Estimates
from gmfmsim.trial.generate.trials import Trials
from gmfmsim.trial.moments import Moments

NOTHING = 1e-12
"""A sum of squares below this share of what it was taken from is rounding: no variance."""


class Groups(NamedTuple):
    """Children n, their mean and sum of squared deviations, (G, R) each."""

    n: np.ndarray
    mean: np.ndarray
    square: np.ndarray


def endpoint_change(trials: Trials, design) -> np.ndarray:
    """Return the change from baseline to the endpoint (N, R); NaN where not observed."""
    return trials.score[1 + design.endpoint] - trials.score[0]


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


def pooled(groups: Groups, weights: np.ndarray) -> Estimates:
    """Return the contrast sum(w mean) of weights (G,) with the pooled variance of the groups that it weighs.

    se^2 = s^2 sum(w^2 / n), s^2 = sum(square) / df, df = sum(n - 1): the two-sample t test for weights (-1, 1), the
    one-sample t test for (1,), the main effect of a factorial design for (+-1/2, ...).
    """
    n, mean, square, w = _weighed(groups, weights)
    df = (n - 1).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        se = np.sqrt(square.sum(axis=0) / df * (w**2 / n).sum(axis=0))
    return Estimates((w * mean).sum(axis=0), se, df, (n >= 2).all(axis=0))


def separate(groups: Groups, weights: np.ndarray) -> Estimates:
    """Return the contrast with each group's own variance: se^2 = sum(w^2 s^2 / n).

    df = se^4 / sum(w^4 s^4 / (n^2 (n - 1))) (Welch 1947; Satterthwaite 1946).
    """
    n, mean, square, w = _weighed(groups, weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        part = w**2 * square / (n * (n - 1))
        variance = part.sum(axis=0)
        df = variance**2 / (part**2 / (n - 1)).sum(axis=0)
    return Estimates((w * mean).sum(axis=0), np.sqrt(variance), df, (n >= 2).all(axis=0))


def normal(groups: Groups, weights: np.ndarray) -> Estimates:
    """Return the contrast with each group's own variance taken as known: df infinite."""
    found = separate(groups, weights)
    return replace(found, df=np.full(found.se.shape, np.inf))


def _weighed(groups: Groups, weights: np.ndarray):
    used = np.asarray(weights) != 0
    return *(part[used] for part in groups), np.asarray(weights, float)[used, None]
