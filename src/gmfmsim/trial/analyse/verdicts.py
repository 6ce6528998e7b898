"""From an estimate and its standard error to an interval and what the trial may claim."""

import numpy as np
from scipy import special

from gmfmsim.trial.designs import Design
from gmfmsim.trial.estimates import Estimates


def verdicts(estimate: np.ndarray, se: np.ndarray, df: np.ndarray | float, design: Design, *, ok) -> Estimates:
    """Return interval and verdicts of R trials: estimate +- t(1 - alpha/2, df) se, judged by the design's objective.

    estimate, se, ok (R,); df (R,) or one number, infinite for the normal distribution. A trial has failed where it is
    not ok, a number is not finite, se is not above 0, or df is below 1 (approximate ones, of hardly any data).
    """
    estimate, se, df = np.asarray(estimate, float), np.asarray(se, float), np.asarray(df, float)
    ok = np.asarray(ok, bool) & np.isfinite(estimate) & np.isfinite(se) & (se > 0) & (df > 1 - 1e-9)
    width = t_quantile(1 - design.alpha / 2, np.where(ok, df, np.inf)) * np.where(ok, se, 0)
    return judged(estimate, se, estimate - width, estimate + width, design, ok=ok)


def judged(estimate, se, low, high, design: Design, *, ok: np.ndarray) -> Estimates:
    """Return the estimates of R trials whose interval from low to high has probability 1 - alpha, NaN where not ok.

    superiority: low > 0; non_inferiority: low > -margin; equivalence: low > -margin and high < margin, which is two
    one-sided tests at alpha / 2 each (Schuirmann 1987). Harm: high < 0, whatever the objective.
    """
    benefit, harm = claims(low, high, design)
    numbers = (np.where(ok, part, np.nan) for part in (estimate, se, low, high))
    return Estimates(*numbers, benefit=benefit & ok, harm=harm & ok, failed=~ok)


def claims(low: np.ndarray, high: np.ndarray, design: Design) -> tuple[np.ndarray, np.ndarray]:
    """Return which intervals support the claim of the design's objective, and which show harm."""
    objective = design.objective
    benefit = low > -objective.margin  # margin 0 for superiority
    if objective.claim == "equivalence":
        benefit = benefit & (high < objective.margin)
    return benefit, high < 0


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
