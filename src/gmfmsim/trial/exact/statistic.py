"""The law that an analysis says of its test, and what completers leave of it: units, degrees of freedom."""

import math
from typing import NamedTuple

import numpy as np

from gmfmsim.trial.analyse.law import Statistic
from gmfmsim.trial.design import Design
from gmfmsim.trial.exact.rules import Rule, completers, product_rule
from gmfmsim.trial.generate.bartlett import factors

NEEDS_TWO = 2
"""Children, pairs or clusters that a group of the contrast must keep."""


def law(design: Design, analysis) -> Statistic | str:
    """Return the law of an analysis of the design, or in words why none is known exactly."""
    return analysis.law(design, lambda sd: factors(design, sd))


def qualifies(design: Design, analysis, joint: bool = False) -> str | None:
    """Return why success of an analysis of the design is not known exactly; None where it is.

    joint: whether the belief says the effects of all doses together (`model.truths.along_doses`), which tests along
    doses need.
    """
    found = law(design, analysis)
    if isinstance(found, str):
        return found
    return "a belief in the effect of one dose says nothing of the others" if found.doses and not joint else None


def along_doses(design: Design, analysis) -> bool:
    """Return whether an analysis is a test along doses with a known law: their effects must be believed in together."""
    found = law(design, analysis)
    return not isinstance(found, str) and found.doses is not None


def statistic(design: Design, analysis) -> Statistic:
    """Return the law of an analysis of the design. Raises ValueError, with the reason, where there is none."""
    found = law(design, analysis)
    if isinstance(found, str):
        raise ValueError(f"analysis is {analysis.label!r}; allowed: one with a known law, but {found}")
    return found


class Completed(NamedTuple):
    """What completers leave: units (G, P), sum(weight^2 / n) and degrees of freedom (P,), their probabilities (P,)."""

    units: np.ndarray
    scale: np.ndarray
    df: np.ndarray
    weight: np.ndarray


def completed(test: Statistic, n: int) -> Completed:
    """Return the rule of the completers at n; its weights sum to the probability that the test can be done.

    Groups of the contrast keep at least two units, and one degree of freedom is left, or the trial shows nothing.
    """
    sizes = test.sizes(n)
    if test.doses:  # all arms tell of one SD
        others = [(sum(sizes) - size) * test.kept for size in sizes]
        rules = [completers(size, test.kept, NEEDS_TWO, more) for size, more in zip(sizes, others, strict=True)]
    else:
        rules = [_group(size, test.kept, bool(w)) for size, w in zip(sizes, test.weights, strict=True)]
    units, weight = product_rule(rules)
    weights = np.array(test.weights)[:, None]
    used = weights != 0
    scale = np.where(used, weights**2 / np.where(used, units, 1), 0).sum(axis=0)
    df = np.where(used, units - 1, units).sum(axis=0) - test.adjusted
    can = df > 1 - 1e-9
    df = np.full(df.shape, np.inf) if test.known else df
    return Completed(units[:, can], scale[can], df[can], weight[can])


def standard_error(test: Statistic, units: np.ndarray, sigma: np.ndarray | float) -> np.ndarray:
    """Return the true standard error (...) of the estimate at units (G,), for SDs of a unit without cells (...)."""
    w2 = np.square(test.weights)
    if not test.unequal:
        return math.sqrt(sum((w2 / units)[w2 > 0])) * sigma
    groups = zip(w2, units, test.response or (0.0,) * len(w2), strict=True)
    return np.sqrt(sum(w / n * (sigma**2 + own**2) for w, n, own in groups if w))


def _group(size: int, kept: float, weighed: bool) -> Rule:
    """Return the rule of the units of a group; of one that is not weighed, of the degrees of freedom that it lends."""
    if weighed:
        return completers(size, kept, NEEDS_TWO)
    units, weight = completers(size, kept, NEEDS_TWO)
    rest = max(1 - weight.sum(), 0.0)  # none or one lends nothing
    return np.append(units - 1, 0.0), np.append(weight, rest)
