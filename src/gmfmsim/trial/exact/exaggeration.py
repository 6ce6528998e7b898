"""How far a significant estimate is off, and how often on the wrong side, where the law of the test is known."""

import math
from typing import NamedTuple

import numpy as np
from scipy import special

from gmfmsim.trial.design import Design
from gmfmsim.trial.estimates import Criterion
from gmfmsim.trial.exact.rules import error
from gmfmsim.trial.exact.statistic import completed, law
from gmfmsim.trial.exact.tails import critical


class Exaggeration(NamedTuple):
    """type_s: share of significant estimates on the wrong side of 0; type_m: their mean size over the true effect."""

    type_s: float
    type_m: float


def exaggeration(design: Design, analysis, effect: float, n: int) -> Exaggeration | None:
    """Return how significant estimates (two-sided, at alpha) err at a true effect in points, at n.

    With the estimate ~ Normal(theta, (q se)^2), significant beyond c = t q se S on either side (see `rules.error`),
    x = (theta - c) / (q se) and y = -(theta + c) / (q se): P(wrong side) = Phi(y) and E|estimate| over both sides =
    theta (Phi(x) - Phi(y)) + q se (phi(x) + phi(y)), summed over S, q and completers, at the median SD of change and
    the mean correlation within units: over a law of SDs with heavy tails the mean size of an estimate has no meaning.
    Source: Gelman & Carlin 2014.

    None of an effect that is not above 0, and where the law is not known, of unequal variances, along doses, under a
    prior or with looks, whose estimates are biased by them.
    """
    test = law(design, analysis)
    if isinstance(test, str) or test.doses or test.unequal or test.prior or design.looks:
        return None
    theta = test.intercept + test.slope * effect
    if not theta > 0:
        return None
    sigma, left = float(test.sigma(design.sd_change.ppf(np.array([0.5])))[0]), completed(test, n)
    right, wrong, size = 0.0, 0.0, 0.0
    for scale, df, weight in zip(left.scale.tolist(), left.df.tolist(), left.weight.tolist(), strict=True):
        t = critical((Criterion(design.alpha / 2, 0, "above"),), df)
        q, limit, of_node = error(df, float(t[0]), test.adjusted)
        se = math.sqrt(scale) * sigma
        x, y = (theta - limit * se) / (q * se), -(theta + limit * se) / (q * se)
        each = weight * of_node
        above, below = special.ndtr(x), special.ndtr(y)
        density = (np.exp(-(x**2) / 2) + np.exp(-(y**2) / 2)) / math.sqrt(2 * math.pi)
        right, wrong = right + float((each * above).sum()), wrong + float((each * below).sum())
        size += float((each * (theta * (above - below) + q * se * density)).sum())
    significant = right + wrong
    return Exaggeration(wrong / significant, size / significant / theta) if significant > 0 else None
