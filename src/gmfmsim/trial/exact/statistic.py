"""Which tests have an exact law given the truth, and what that law takes: units, standard error, degrees of freedom."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gmfmsim.trial.design import Design
from gmfmsim.trial.exact.rules import Rule, completers, product_rule
from gmfmsim.trial.generate.bartlett import factors

METHODS = ("t", "z", "ancova", "bayes", "paired_t", "cluster_t", "one_sample", "within_child")
"""Analyses with a statistic whose law is known, under the conditions of `qualifies`."""

NEEDS_TWO = 2
"""Children, pairs or clusters that a group of the contrast must keep."""


def qualifies(design: Design, analysis) -> str | None:
    """Return why the law of an analysis of the design is not known exactly; None where it is."""
    method = analysis.method
    united = {"pairs": "paired_t", "clusters": "cluster_t"}.get(design.UNIT)
    size = design.step if method == "cluster_t" else 1
    reasons = {
        f"the statistic of {method} has no law that is known exactly": method not in METHODS,
        "the SDs of a z test are estimated": method == "z" and getattr(analysis, "sd", "") != "known",
        "a prior moves the interval": getattr(analysis, "prior_sd", None) is not None,
        "covariates beside the baseline differ between children": not set(getattr(analysis, "covariates", ()))
        <= {"baseline"},
        f"children of {design.UNIT} resemble each other": bool(design.UNIT) and method != united,
        "losses leave clusters of different sizes": size > 1 and design.dropout > 0,
    }
    return design.not_normal or next((reason for reason, holds in reasons.items() if holds), None)


class Statistic(NamedTuple):
    """A test statistic given the truth: estimate ~ Normal(intercept + slope x effect, sigma^2 sum(weight^2 / n)).

    weights (G,) of the groups of units; 0: it lends its degrees of freedom alone. sizes: from n to units randomised
    (G,). kept: share of them that is seen. sigma: from the SD of change (J,) to the SD of a unit (J,). knees: SDs of
    change at which sigma has a corner. adjusted: for the baseline, which takes a degree of freedom and inflates the
    standard error by its imbalance (Wald's test in the linear model; Cochran 1957). known: the SD needs no estimate.
    """

    weights: tuple[float, ...]
    sizes: Callable[[int], tuple[int, ...]]
    kept: float
    sigma: Callable[[np.ndarray], np.ndarray]
    knees: tuple[float, ...]
    slope: float
    intercept: float
    adjusted: bool
    known: bool


def statistic(design: Design, analysis) -> Statistic:
    """Return the law of an analysis of the design. Raises ValueError, with the reason, where `qualifies` gives one."""
    if reason := qualifies(design, analysis):
        raise ValueError(f"analysis is {analysis.label!r}; allowed: one with a known law, but {reason}")
    method, visits = analysis.method, len(design.visits)
    seen = visits if method == "within_child" else design.endpoint + 1
    kept = (1 - design.dropout) ** (seen / visits)
    adjusted = method in ("ancova", "bayes")
    weights = tuple(np.asarray(design.weights, float)) if design.control else (1.0,)
    if method == "paired_t":
        weights, kept = (1.0,), kept**2
    at_zero, at_one = (_centre(design, analysis, effect) for effect in (0.0, 1.0))
    used = [i for i, w in enumerate(weights) if w or adjusted]

    def sizes(n: int) -> tuple[int, ...]:
        units = [children // design.step for children in design.sizes(n).values()]
        return tuple(units[i] for i in used)

    return Statistic(
        weights=tuple(weights[i] for i in used),
        sizes=sizes,
        kept=kept,
        sigma=lambda sd: _sigma(design, method, sd),
        knees=_knees(design, method),
        slope=at_one - at_zero,
        intercept=at_zero,
        adjusted=adjusted,
        known=method == "z",
    )


def _centre(design: Design, analysis, effect: float) -> float:
    """Return what the estimate is centred on where every arm with cells has one effect."""
    effects = np.array([[effect * (arm.dose > 0)] for arm in design.arms])
    return float(analysis.limit(design.estimand(effects), effects, design, lambda: 0.0)[0][0])


def _sigma(design: Design, method: str, sd: np.ndarray) -> np.ndarray:
    """Return the SD (J,) of what a unit contributes, in trials of SDs of change (J,).

    A child its change; adjusted for baseline its residual; a pair its difference; a cluster its mean.
    """
    children, at = design.children, design.endpoint
    if method in ("ancova", "bayes"):
        factor = factors(design, sd)[1 + at]
        return np.sqrt((factor[1:] ** 2).sum(axis=0))  # the first column is the baseline
    if method == "within_child":
        contrast = np.array([-0.5, 1.0, -0.5])[:, None, None]
        return np.sqrt(((contrast * factors(design, sd)[:3]).sum(axis=0) ** 2).sum(axis=0))
    if not design.UNIT:
        return children.change_sd(design.month, sd)
    own, shared = (part[at] for part in design.excess_parts(sd))
    alone = own**2 + 2 * children.error_sd(sd) ** 2
    return np.sqrt(2 * alone) if method == "paired_t" else np.sqrt(shared**2 + alone / design.step)


def _knees(design: Design, method: str) -> tuple[float, ...]:
    """Return the SDs of change below which the measurement error is all that children differ by, one a visit used."""
    children = design.children
    if children.baseline_correlation is not None or not children.measurement_error.value:
        return ()
    own = 1 - design.icc.value if method == "cluster_t" else 1.0
    visits = design.visits if method == "within_child" else [design.month]
    error = children.measurement_error.value * math.sqrt(2 / own)
    return tuple(error / (month / 12) ** children.excess_growth.value for month in visits)


class Completed(NamedTuple):
    """What completers leave: sum(weight^2 / n) and degrees of freedom (P,), with their probabilities (P,)."""

    scale: np.ndarray
    df: np.ndarray
    weight: np.ndarray


def completed(test: Statistic, n: int) -> Completed:
    """Return the rule of the completers at n; its weights sum to the probability that the test can be done.

    Groups of the contrast keep at least two units, and one degree of freedom is left, or the trial shows nothing.
    """
    rules = [_group(size, test.kept, bool(w)) for size, w in zip(test.sizes(n), test.weights, strict=True)]
    units, weight = product_rule(rules)
    weights = np.array(test.weights)[:, None]
    used = weights != 0
    scale = np.where(used, weights**2 / np.where(used, units, 1), 0).sum(axis=0)
    df = np.where(used, units - 1, units).sum(axis=0) - test.adjusted
    can = df > 1 - 1e-9
    df = np.full(df.shape, np.inf) if test.known else df
    return Completed(scale[can], df[can], weight[can])


def _group(size: int, kept: float, weighed: bool) -> Rule:
    """Return the rule of the units of a group; of one that is not weighed, of the degrees of freedom that it lends."""
    if weighed:
        return completers(size, kept, NEEDS_TWO)
    units, weight = completers(size, kept, NEEDS_TWO)
    rest = max(1 - weight.sum(), 0.0)  # none or one lends nothing
    return np.append(units - 1, 0.0), np.append(weight, rest)
