"""Success of a test along doses, whose effects are known together: truths along curves, one contrast of all means."""

import math
from typing import NamedTuple

import numpy as np

from gmfmsim.compute.algebra import dot
from gmfmsim.dist.mixture import NormalMixture
from gmfmsim.dist.normal import normal_cdf
from gmfmsim.trial.analyse.law import Statistic
from gmfmsim.trial.decide import Claim
from gmfmsim.trial.estimates import Criterion
from gmfmsim.trial.exact.rules import Rule
from gmfmsim.trial.exact.statistic import Completed
from gmfmsim.trial.exact.tails import Truth, chances


class Curve(NamedTuple):
    """Truths along one curve: effect of arm i = loading_i x A, A a normal mixture that holds a share of the belief."""

    share: float
    loading: np.ndarray
    of: NormalMixture


def one_criterion(claimed: Claim) -> Criterion:
    """Return the only criterion of a claim along doses. Raises ValueError for another claim: some dose is above 0."""
    if len(claimed) != 1 or claimed[0].threshold:
        raise ValueError(f"claimed = {claimed}: must be one criterion with threshold 0 for a test along doses")
    return claimed[0]


def sided(curves: list[Curve], criterion: Criterion) -> list[Curve]:
    """Return the truths as a criterion above 0 has to see them: with the signs of a criterion below 0 changed."""
    sign = 1.0 if criterion.direction == "above" else -1.0
    return [c._replace(of=NormalMixture(c.of.weight, sign * c.of.means, c.of.sds)) for c in curves]


def success_of_contrast(
    test: Statistic, curves: list[Curve], criterion: Criterion, left: Completed, sds: Rule
) -> float:
    """Return the probability that the t test of one contrast w of the means meets a criterion above 0, over completers
    and sds of a unit: t of sum(w effect), by `chances`. The weights follow from the completers."""
    total = 0.0
    for units, df, chance in zip(left.units.T, left.df.tolist(), left.weight.tolist(), strict=True):
        weights = test.doses.contrast(units)
        se = math.sqrt((weights**2 / units).sum()) * sds[0]
        for c in curves:
            slope = float(dot(weights, c.loading))
            found = chances(Truth(slope * c.of.means, (slope * c.of.sds) ** 2), (criterion,), se, df, False)
            total += chance * c.share * float(dot(dot(found, c.of.weight), sds[1]))
    return total


def plateau_along(test: Statistic, curves: list[Curve], criterion: Criterion) -> float:
    """Return the limit of success as n grows: P(the contrast, or the largest effect, is above 0), the level where it is
    0. Groups keep the sizes that they are planned with."""
    total, sign = 0.0, 1.0 if criterion.direction == "above" else -1.0
    for c in curves:
        if test.doses.contrast is not None:
            slopes = [float(dot(test.doses.contrast(np.array(test.sizes(1_000_000), float)), c.loading))]
        else:
            slopes = np.delete(c.loading, test.doses.control).tolist()
        # a rise where A is above 0, and one where it is below
        up, down = max(sign * s for s in slopes) > 0, min(sign * s for s in slopes) < 0
        known = c.of.sds == 0
        sure = np.where(c.of.means > 0, up, np.where(c.of.means < 0, down, criterion.level))
        above = np.array([normal_cdf(m / s) if s else 0.0 for m, s in zip(c.of.means, c.of.sds, strict=True)])
        total += c.share * float(dot(c.of.weight, np.where(known, sure, up * above + down * (1 - above))))
    return total
