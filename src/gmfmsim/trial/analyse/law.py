"""The law of a test statistic given the truth: what an analysis says of itself to the exact engine."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from gmfmsim.dist.mixture import NormalMixture

Factors = Callable[[np.ndarray], np.ndarray]
"""From SDs of change (J,) to the lower Cholesky factors (1 + V, 1 + V, J) of the covariance of a child's scores."""


ROUNDED = 1e-5
"""SDs of change, as a share of that of scores, below which scores no longer tell them: a baseline leaves all of it."""


class AlongDoses(NamedTuple):
    """A test of the means of all arms (A,), of children alike, in the order of the design: one of two kinds.

    contrast: from children (A,) to the weights (A,) of the one contrast that is tested by t. critical: from a one-sided
    level and degrees of freedom (P,) to the critical values (P,) of the largest of the differences from control, at
    `control`.
    """

    contrast: Callable[[np.ndarray], np.ndarray] | None = None
    critical: Callable[[float, np.ndarray], np.ndarray] | None = None
    control: int = 0


class Statistic(NamedTuple):
    """A test statistic given the truth: estimate ~ Normal(intercept + slope x effect, sum(weight^2 sd^2 / n)).

    sd^2 = sigma^2 + response^2 of a unit of each group. weights (G,) of the groups; 0: it lends its degrees of freedom
    alone. sizes: from n to units randomised (G,). kept: share of them that is seen. sigma: from the SD of change (J,)
    to the SD of a unit without cells (J,). knees: SDs of change at which sigma has a corner. response (G,): SD of what
    cells do to the units of a group, () for none. adjusted: for the baseline, which takes a degree of freedom and
    inflates the standard error by its imbalance (Wald's test in the linear model; Cochran 1957). known: the SD needs no
    estimate. separate: each group's variance is estimated by itself (Welch 1947), not one of all groups. doses: a test
    along doses, whose weights are its own; then slope is the share of effects that is present. prior: of what is
    estimated; a criterion then holds by its posterior probability.
    """

    weights: tuple[float, ...]
    sizes: Callable[[int], tuple[int, ...]]
    kept: float
    sigma: Callable[[np.ndarray], np.ndarray]
    knees: tuple[float, ...]
    slope: float
    intercept: float
    response: tuple[float, ...] = ()
    adjusted: bool = False
    known: bool = False
    separate: bool = False
    doses: AlongDoses | None = None
    prior: NormalMixture | None = None

    @property
    def unequal(self) -> bool:
        """Whether the groups differ in the variance of a unit, or may."""
        return self.separate or len(set(self.response)) > 1


def of_contrast(analysis, design, sigma: Callable[[np.ndarray], np.ndarray], lent: bool = False) -> Statistic:
    """Return the law of the primary contrast of a design by pooled variance, of units with SD sigma at the endpoint.

    lent: whether groups without a weight lend their degrees of freedom.
    """
    weights = tuple(np.asarray(design.weights, float)) if design.control else (1.0,)
    used = [i for i, w in enumerate(weights) if w or lent]
    at_zero, at_one = (_centre(analysis, design, effect) for effect in (0.0, 1.0))

    def sizes(n: int) -> tuple[int, ...]:
        units = [children // design.step for children in design.sizes(n).values()]
        return tuple(units[i] for i in used)

    return Statistic(
        weights=tuple(weights[i] for i in used),
        sizes=sizes,
        kept=kept(design, design.endpoint + 1),
        sigma=sigma,
        knees=knees(design, [design.month]),
        slope=at_one - at_zero,
        intercept=at_zero,
        response=responses(design, used),
    )


def responses(design, groups: Sequence[int]) -> tuple[float, ...]:
    """Return the SD of what cells do to a child of each group at the endpoint; () where it is the same for all."""
    given = design.treatment(np.zeros((len(design.arms), 1)))
    sd = design.children.response_sd.value * given.times[:, design.endpoint] * given.treated
    return tuple(float(sd[i]) for i in groups) if sd.any() else ()


def of_change(analysis, design) -> Statistic:
    """Return the law of the primary contrast of changes to the endpoint."""
    return of_contrast(analysis, design, lambda sd: design.children.change_sd(design.month, sd))


def of_doses(design, doses: AlongDoses) -> Statistic | str:
    """Return the law of a test of the mean changes of all arms along doses; or why it is not known."""
    if reason := dependent(design):
        return reason
    children = design.children
    return Statistic(
        weights=(1.0,) * len(design.arms),
        sizes=lambda n: tuple(design.sizes(n).values()),
        kept=kept(design, design.endpoint + 1),
        sigma=lambda sd: children.change_sd(design.month, sd),
        knees=knees(design, [design.month]),
        slope=float(design.share_present[design.endpoint]),
        intercept=0.0,
        doses=doses,
    )


def of_residual(analysis, design, factors: Factors) -> Statistic | str:
    """Return the law of the contrast adjusted for the baseline, of children one by one; or why it is not known."""

    def sigma(sd: np.ndarray) -> np.ndarray:
        factor = factors(sd)[1 + design.endpoint]
        residual = np.sqrt((factor[1:] ** 2).sum(axis=0))  # the first column is the baseline
        lost = (residual == 0) & (sd < ROUNDED * design.children.score_sd(sd))
        return np.where(lost, sd, residual)

    return dependent(design) or of_contrast(analysis, design, sigma, lent=True)._replace(adjusted=True)


def dependent(design, alike: bool = True) -> str | None:
    """Return why the scores of children are not independent and jointly normal; None where they are.

    alike: and of one covariance in all arms.
    """
    together = f"children of {design.UNIT} resemble each other" if design.UNIT else None
    return (design.not_normal if alike else design.not_normal_in_arms) or together


def kept(design, visits: int) -> float:
    """Return the share of children who are seen at the first visits."""
    return (1 - design.dropout) ** (visits / len(design.visits))


def knees(design, months: Sequence[float], own: float = 1.0) -> tuple[float, ...]:
    """Return the SDs of change below which the measurement error is all that children differ by, one a month.

    own: share of the variance of observed changes that children have to themselves.
    """
    children = design.children
    if children.baseline_correlation is not None or not children.measurement_error.value:
        return ()
    error = children.measurement_error.value * math.sqrt(2 / own)
    return tuple(error / (month / 12) ** children.excess_growth.value for month in months)


def _centre(analysis, design, effect: float) -> float:
    """Return what the estimate is centred on where every arm with cells has one effect."""
    effects = np.array([[effect * (arm.dose > 0)] for arm in design.arms])
    return float(analysis.limit(design.estimand(effects), effects, design, lambda: 0.0)[0][0])
