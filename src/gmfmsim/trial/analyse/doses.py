"""What the analyses along several doses share: one pooled variance, contrasts of arm means, estimate of the top dose.

Analyses take the mean change of the children seen at the endpoint, s^2 = sum of squares within arms / df, df = N - A.
Every test is one-sided at half of alpha, for benefit and for harm. The estimate is that of the highest dose against
control, difference of means with se s sqrt(1/n_i + 1/n_0). Critical values hold for df as seen and correlations at the
allocation as planned. A trial fails where an arm has fewer than two children or nothing varies.

Source: Bretz, Pinheiro & Branson 2005.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from gmfmsim.compute.algebra import product
from gmfmsim.trial.analyse.contrast import changes
from gmfmsim.trial.analyse.law import AlongDoses, Statistic, of_doses
from gmfmsim.trial.dose_shapes import contrast_correlation, optimal_contrasts
from gmfmsim.trial.estimates import Estimates
from gmfmsim.trial.moments import Moments
from gmfmsim.trial.multiplicity import critical_values


class Doses(NamedTuple):
    """Mean changes by arm (A, R) in R trials: difference from control with se, children, mean in units of s, df (R,),
    and whether the trial has them (R,)."""

    estimate: np.ndarray
    se: np.ndarray
    n: np.ndarray
    mean: np.ndarray
    df: np.ndarray
    ok: np.ndarray

    def of_top(self, design, **more) -> Estimates:
        """Return the estimates of the highest dose."""
        top = design.arms.index(design.active)
        return Estimates(self.estimate[top], self.se[top], self.df, self.ok, **more)


def by_dose(moments: Moments, design) -> Doses:
    """Return what the trials say of each arm against control."""
    groups = changes(moments)
    control = design.arms.index(design.control)
    n, df = np.maximum(groups.n, 1), np.maximum(groups.n.sum(axis=0) - len(design.arms), 1)
    s = np.sqrt(groups.square.sum(axis=0) / df)
    ok = (groups.n >= 2).all(axis=0) & (s > 0)
    s = np.where(ok, s, 1)
    estimate = groups.mean - groups.mean[control]
    return Doses(estimate, s * np.sqrt(1 / n + 1 / n[control]), n, groups.mean / s, df, ok)


def by_contrasts(moments: Moments, design, shapes: np.ndarray, taken: np.ndarray) -> Estimates:
    """Return the analysis by the largest of the optimal contrasts of shapes (M, A), multivariate t.

    taken (M,): position of the arm that is taken on where the contrast of that shape is the largest. Contrasts are
    optimal for the children seen. The interval is that of one dose alone (t) and need not agree with the test.
    """
    doses = by_dose(moments, design)
    contrasts = optimal_contrasts(shapes, doses.n)
    t = (contrasts * doses.mean).sum(axis=1) / np.sqrt((contrasts**2 / doses.n).sum(axis=1))
    planned = np.array([arm.ratio for arm in design.arms])
    correlation = contrast_correlation(optimal_contrasts(shapes, planned), planned)
    critical = cache(lambda level: critical_values(correlation, doses.df, level))
    return doses.of_top(
        design,
        test=lambda criterion: criterion.beyond(t, critical(criterion.level)).any(axis=0),
        selected=taken[t.argmax(axis=0)],
    )


def largest_contrast(shapes: np.ndarray, effect: np.ndarray, design) -> np.ndarray:
    """Return the largest (R,) of the contrasts of effects (A, R) at the endpoint, optimal for sizes as planned."""
    contrasts = optimal_contrasts(shapes, np.array([arm.ratio for arm in design.arms]))
    return product(contrasts, effect).max(axis=0) * design.share_present[design.endpoint]


def of_one_shape(shapes: np.ndarray, design) -> Statistic | str:
    """Return the law of the optimal contrast of one shape (1, A); or why it is not known."""
    return of_doses(design, AlongDoses(contrast=lambda n: optimal_contrasts(shapes, n)[0]))


def doses_of(design) -> np.ndarray:
    """Return the doses (A,) of the arms."""
    return np.array([arm.dose for arm in design.arms], float)
