"""How wide the interval of the effect is on average, where the law of the test is known."""

import math

import numpy as np
from scipy import special

from gmfmsim.compute.algebra import dot
from gmfmsim.trial.analyse.law import Statistic
from gmfmsim.trial.design import Design
from gmfmsim.trial.exact.statistic import completed, law
from gmfmsim.trial.exact.unequal import critical_unequal


def mean_width(design: Design, analysis, n: int, sd: float) -> float | None:
    """Return the mean width, in the unit of the effect, of the interval with probability 1 - alpha, at a known SD of
    change and the mean correlation within units, over the trials whose analysis can be done; inf where none can.

    E[2 t q se S] = 2 t se E[q] E[S] over the binomial numbers of completers, with E[S] = sqrt(2 / df)
    Gamma((df + 1) / 2) / Gamma(df / 2) and, of an analysis adjusted for the baseline, E[q] = 1 / E[S]^2 (see
    `rules.error`). Of unequal variances t is one over B, see `critical_unequal`. Source: Kupper & Hafner 1989.

    None where the law is not known, along doses, or under a prior. Raises ValueError for an n that the design cannot
    have.
    """
    test = law(design, analysis)
    if isinstance(test, str) or test.doses or test.prior:
        return None
    sigma, left = float(test.sigma(np.array([sd]))[0]), completed(test, n)
    if not left.weight.size:
        return math.inf
    units = zip(left.units.T, left.scale.tolist(), left.df.tolist(), strict=True)
    each = [_width(test, one, scale, df, (sigma, design.alpha / 2)) for one, scale, df in units]
    return float(dot(np.array(each), left.weight) / left.weight.sum())


def _width(test: Statistic, units: np.ndarray, scale: float, df: float, given: tuple[float, float]) -> float:
    """Return the mean width at units (G,) that are left; given: the SD of a unit without cells, the one-sided level."""
    sigma, level = given
    if test.unequal and not test.known:
        of = critical_unequal(np.array([level]), test, units, sigma)
        return 2 * float(dot(of.t[0], of.weight)) * of.se * _mean_s(of.df)
    if math.isinf(df):
        return -2 * float(special.ndtri(level)) * math.sqrt(scale) * sigma
    inflated = 1 / _mean_s(df) if test.adjusted else _mean_s(df)
    return -2 * float(special.stdtrit(df, level)) * math.sqrt(scale) * sigma * inflated


def _mean_s(df: float) -> float:
    """Return the mean of S, the estimated over the true SD."""
    return math.sqrt(2 / df) * math.exp(special.gammaln((df + 1) / 2) - special.gammaln(df / 2))
