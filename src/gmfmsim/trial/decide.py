"""From what an analysis finds to what a trial may claim."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import special

from gmfmsim.trial.design import Design
from gmfmsim.trial.estimates import Criterion, Estimates

Claim = tuple[Criterion, ...]
"""What a trial wants to show: criteria, all of which must hold. Several levels or thresholds make a dual criterion."""


@dataclass(frozen=True)
class Verdicts:
    """What R trials say by one analysis; every array has shape (R,), or (look, R).

    - estimate, se: the primary contrast and its standard error, in the scale of the analysis; NaN where it has none;
    - low, high: ends of the interval with probability 1 - alpha; NaN where it has none;
    - benefit: every criterion of the claim holds (superiority: significant in favour of treatment);
    - harm: significant against treatment, whatever the claim;
    - failed: the analysis could not be done (too few children, no variance); then benefit and harm are False and the
      numbers NaN;
    - selected: position in design.arms of the arm that the analysis takes on, -1 for none; only along doses.
    """

    estimate: np.ndarray
    se: np.ndarray
    low: np.ndarray
    high: np.ndarray
    benefit: np.ndarray
    harm: np.ndarray
    failed: np.ndarray
    selected: np.ndarray | None = None


def claim(design: Design) -> Claim:
    """Return the criteria of a design's objective, at level alpha / 2 each.

    superiority: above 0; non_inferiority: above -margin; equivalence: above -margin and below margin, which is two
    one-sided tests (Schuirmann 1987). A decision value is a second criterion, at level 1/2: of the estimate itself.
    """
    level, margin = design.alpha / 2, design.objective.margin  # 0 for superiority
    lower = Criterion(level, 0 - margin, "above")
    if design.objective.decision_value is not None:
        return lower, Criterion(0.5, design.objective.decision_value, "above")
    return (lower, Criterion(level, margin, "below")) if design.objective.claim == "equivalence" else (lower,)


def decide(found: Estimates, claimed: Claim, alpha: float) -> Verdicts:
    """Return interval (probability 1 - alpha) and verdicts of R trials: the claim, and harm, below 0 at alpha / 2.

    A criterion holds where the test of the analysis says so, or else the one-sided interval lies beyond the threshold.
    A trial has failed where it is not ok, and without a test of its own where a number is not finite, se is not above
    0, or df is below 1 (approximate ones, of hardly any data).
    """
    estimate, se, df = (np.asarray(x, float) for x in (found.estimate, found.se, found.df))
    ok = np.asarray(found.ok, bool)
    if found.test is None:
        ok = ok & np.isfinite(estimate) & np.isfinite(se) & (se > 0) & (df > 1 - 1e-9)

    @cache
    def bounds(level: float) -> tuple[np.ndarray, np.ndarray]:
        if found.bounds is not None:
            return found.bounds(level)
        width = t_quantile(1 - level, np.where(ok, df, np.inf)) * np.where(ok, se, 0)
        return estimate - width, estimate + width

    def holds(criterion: Criterion) -> np.ndarray:
        if found.test is not None:
            return found.test(criterion)
        low, high = bounds(criterion.level)
        return low > criterion.threshold if criterion.direction == "above" else high < criterion.threshold

    benefit = ok & np.logical_and.reduce([holds(criterion) for criterion in claimed])
    harm = ok & holds(Criterion(alpha / 2, 0, "below"))
    numbers = (np.where(ok, part, np.nan) for part in (estimate, se, *bounds(alpha / 2)))
    selected = None if found.selected is None else np.where(benefit, found.selected, -1)
    return Verdicts(*numbers, benefit=benefit, harm=harm, failed=~ok, selected=selected)


def t_quantile(p: float, df: np.ndarray) -> np.ndarray:
    """Return the p quantile of Student's t at df (...): each whole number once, infinity as the normal distribution."""
    df = np.asarray(df, float)
    quantile = np.full(df.shape, special.ndtri(p))
    finite = np.isfinite(df)
    some = df[finite]
    if not some.size:
        return quantile
    lowest, highest = some.min(), some.max()
    if lowest >= 1 and highest - lowest < some.size and np.array_equal(some, np.floor(some)):
        table = special.stdtrit(np.arange(lowest, highest + 1), p)
        quantile[finite] = table[(some - lowest).astype(np.intp)]
    else:
        quantile[finite] = special.stdtrit(some, p)
    return quantile
