"""Each dose against control."""

from functools import cache
from typing import ClassVar, Literal

import numpy as np

from gmfmsim.trial.analyse.doses import Doses, by_dose
from gmfmsim.trial.analyse.law import AlongDoses, Statistic, of_doses
from gmfmsim.trial.analyse.spec import BASELINE, AnalysisSpec
from gmfmsim.trial.estimates import Criterion, Estimates
from gmfmsim.trial.multiplicity import control_correlation, critical_values


class Dunnett(AnalysisSpec):
    """Each dose against control, family-wise error by the multivariate t distribution (Dunnett 1955).

    It takes on the smallest significant dose. The interval is simultaneous over the doses.
    """

    by_estimate: ClassVar = False
    method: Literal["dunnett"]

    def words(self, design):
        return "Dunnett's test of each dose against control"

    def estimates(self, trials, moments, design):
        doses = by_dose(moments(BASELINE), design)
        return against_control(doses, design, doses.estimate / doses.se > critical(treated(design), doses, design))

    def limit(self, theta, effect, design, untreated):
        return largest_of_doses(effect, design), 0.0

    def law(self, design, factors):
        return of_largest(design)


def of_largest(design) -> Statistic | str:
    """Return the law of the largest difference from control; or why it is not known."""
    ratios = np.array([design.control.ratio, *(design.arms[i].ratio for i in treated(design))])
    correlation = control_correlation(ratios)

    def critical(level: float, df: np.ndarray) -> np.ndarray:
        return critical_values(correlation, df, level)

    return of_doses(design, AlongDoses(critical=critical, control=design.arms.index(design.control)))


def treated(design) -> list[int]:
    """Return the positions of the arms with cells."""
    return [i for i, arm in enumerate(design.arms) if arm != design.control]


def critical(some: list[int], doses: Doses, design, level: float | None = None) -> np.ndarray:
    """Return the critical value (R,) of the test of some arms against control, one-sided, by default at alpha / 2."""
    ratios = [design.control.ratio, *(design.arms[i].ratio for i in some)]
    return critical_values(control_correlation(np.array(ratios)), doses.df, level or design.alpha / 2)


def against_control(doses: Doses, design, significant: np.ndarray) -> Estimates:
    """Return the test of any dose against control, which takes on the smallest of the significant (A, R) arms."""
    arms = treated(design)
    t = (doses.estimate / doses.se)[arms]
    top = design.arms.index(design.active)
    value = cache(lambda level: critical(arms, doses, design, level))

    def bounds(level: float) -> tuple[np.ndarray, np.ndarray]:
        width = value(level) * doses.se[top]
        return doses.estimate[top] - width, doses.estimate[top] + width

    def test(criterion: Criterion) -> np.ndarray:
        return criterion.beyond(t, value(criterion.level)).any(axis=0)

    rising = np.array(sorted(arms, key=lambda i: design.arms[i].dose))
    return doses.of_top(design, bounds=bounds, test=test, selected=rising[significant[rising].argmax(axis=0)])


def largest_of_doses(effect: np.ndarray, design) -> np.ndarray:
    """Return the largest effect (R,) of any dose at the endpoint, from effects (A, R)."""
    return effect[treated(design)].max(axis=0) * design.share_present[design.endpoint]
