"""Tails of the non-central t distribution: against brute force, identities, and SciPy where that has digits."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from gmfmsim.dist.noncentral_t import beyond
from gmfmsim.dist.pooled_sd import log_peak, pooled_sd
from gmfmsim.trial.closed_form import StandardError, claim_power, of_contrast, power

DF = (1, 2, 3, 10, 58, 1000, 1e6)
LEVELS = (0.5, 0.05, 1e-3, 1e-6)
FEW_LEVELS = (0.05, 1e-6)
SHIFTS = (-100.0, -25, -8, -3, -1, -1e-3, 0, 0.5, 2.8, 6, 12, 39, 100)

NODES, WEIGHTS = special.roots_legendre(6)
NEAR_ONE = np.geomspace(1e-9, 1, 5000)
GRID = np.unique(np.concatenate([np.geomspace(1e-12, 1, 5000), 1 - NEAR_ONE[:-1], 1 + 8 * NEAR_ONE]))


def critical(df: float, alpha: float) -> float:
    return -float(special.stdtrit(df, alpha / 2))


def by_brute_force(t: float, df: float, shift: float) -> float:
    """E[Phi(shift - t S)] over S^2 ~ chi^2(df) / df: 20,000 equal panels of s, from SciPy's density of chi."""

    def log_integrand(s):
        return stats.chi.logpdf(s * math.sqrt(df), df) + math.log(df) / 2 + special.log_ndtr(shift - t * s)

    values = log_integrand(GRID)
    top, kept = values.max(), np.flatnonzero(values > values.max() - 45)
    low, high = GRID[max(kept[0] - 1, 0)], GRID[min(kept[-1] + 1, GRID.size - 1)]
    edges = np.linspace(0 if kept[0] == 0 else low, high, 20_001)
    half = np.diff(edges)[:, None] / 2
    return math.exp(top) * float(
        (half * np.exp(log_integrand(edges[:-1, None] + half * (1 + NODES)) - top) @ WEIGHTS).sum()
    )


@pytest.mark.parametrize(
    ("df", "alpha"),
    [
        pytest.param(df, alpha, marks=[] if alpha in FEW_LEVELS else pytest.mark.slow)
        for df, alpha in product(DF, LEVELS)
    ],
)
def test_reference_brute_force_of_the_tail(df, alpha):
    """To 1e-9 of the tail, however small; 1e-8 at df 1e6, where SciPy's density of chi has no more digits."""
    t = critical(df, alpha)
    for shift in SHIFTS:
        exact = by_brute_force(t, df, shift)
        if exact > 1e-290:
            assert beyond(t, df, shift) == pytest.approx(exact, rel=1e-8 if df == 1e6 else 1e-9), shift


@pytest.mark.parametrize("df", [*DF, 1e8, 1e10, math.inf])
@pytest.mark.parametrize("alpha", [0.9, *LEVELS, 1e-12])
def test_known_tail_without_a_shift_is_student(df, alpha):
    t = -float(special.ndtri(alpha / 2)) if math.isinf(df) else critical(df, alpha)
    assert beyond(t, df, 0) == pytest.approx(alpha / 2, rel=1e-11)


@given(df=st.floats(1, 1e7), alpha=st.floats(1e-10, 0.99), shift=st.floats(0, 1e4))
@settings(max_examples=150, deadline=None)
def test_tails_are_finite_ordered_and_shrink_to_nothing(df, alpha, shift):
    t = critical(df, alpha)
    benefit, harm = beyond(t, df, shift), beyond(t, df, -shift)
    assert 0 <= harm <= alpha / 2 * (1 + 1e-11)
    assert alpha / 2 * (1 - 1e-11) <= benefit <= 1
    assert beyond(t, df, -shift - 1) <= harm


@pytest.mark.parametrize("points", [8, pytest.param(30, marks=pytest.mark.slow)])
def test_both_ways_agree_where_they_meet(points):
    """SciPy's function and the quadrature, on a dense grid about probabilities of 1e-6, and all above it."""
    for df, alpha in product((2, 58), (0.5, 0.05, 1e-4)):
        t = critical(df, alpha)
        for shift in np.linspace(-6, 36.9, points):
            exact = by_brute_force(t, df, float(shift))
            assert beyond(t, df, float(shift)) == pytest.approx(exact, rel=1e-8)


def test_reference_scipy_where_it_has_digits():
    compared = 0
    for df, alpha, shift in product(DF, LEVELS, SHIFTS):
        t = critical(df, alpha)
        other = 1 - special.nctdtr(df, shift, t)
        if abs(shift) < 30 and np.isfinite(other):
            assert beyond(t, df, shift) == pytest.approx(other, abs=1e-10)
            compared += 1
    assert compared > 200


def test_power_of_either_is_benefit_and_harm_where_scipy_has_no_answer():
    """NaN before: strong effects, of which the harmful tail is far away. The answer is the benefit alone."""
    missing = 0
    for n, effect in product((5, 20, 60, 400, 5000), (0.5, 2, 5, 10, 20, 40)):
        df, shift = 2 * n - 2, effect / (5 * math.sqrt(2 / n))
        missing += math.isnan(special.nctdtr(df, shift, -critical(df, 0.05)))
        ways = [power(n, n, effect=e, sd=5) for e in (effect, -effect)]
        assert 0 <= ways[1] < 0.025 <= ways[0] <= math.fsum(ways) <= 1
    assert missing > 0


def test_known_tiny_tails_keep_their_digits():
    """One child in 1e30: Phi in the limit of a known SD, and of the t test the brute force."""
    error = of_contrast([60, 60], [-1, 1], 5)
    assert claim_power(-9, StandardError(error.se)) == pytest.approx(
        float(special.ndtr(-9 / error.se - 1.959963984540054))
    )
    small = claim_power(-9, error)
    assert 0 < small < 1e-28
    assert small == pytest.approx(by_brute_force(critical(118, 0.05), 118, -9 / error.se), rel=1e-9)
    assert claim_power(2, error, alpha=1e-20) == pytest.approx(
        by_brute_force(critical(118, 1e-20), 118, 2 / error.se), rel=1e-8
    )


@pytest.mark.parametrize("df", [0.5, 1, 7, 39.9, 40, 200, 1e5, 1e9])
def test_known_height_of_the_density_of_log_s(df):
    """The density integrates to 1: about its peak it is Normal(0, 1 / (2 df)) for many df, whose height is known."""
    exact = math.log(2) + df / 2 * math.log(df / 2) - df / 2 - math.lgamma(df / 2)
    assert log_peak(df) == pytest.approx(exact, abs=1e-13 * max(1, abs(math.lgamma(df / 2))))
    if df >= 200:
        assert log_peak(df) == pytest.approx(math.log(df / math.pi) / 2 - 1 / (6 * df), abs=1 / df**3 + 1e-14)


@pytest.mark.parametrize("df", [1e6, 1e8, 1e10])
def test_known_moments_of_a_pooled_sd_of_many_df(df):
    """1 and 1 again, to 1e-10: the parts of the density, some 1e10 large, cancel without loss."""
    s, weight = pooled_sd(df)
    assert [weight.sum(), weight @ s**2] == pytest.approx([1, 1], abs=1e-10)
