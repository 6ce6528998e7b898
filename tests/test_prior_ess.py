"""Effective sample sizes of priors: known ones, another system's, and the property that defines the measure."""

import numpy as np
import pytest
from conftest import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from gmfmsim.model.priors.ess import ess_elir

R = np.array([23, 12, 19, 9, 39, 6, 9, 10])
N = np.array([107, 44, 51, 39, 139, 20, 78, 35])


def unit_sd_of_log_odds(theta):
    return 2 * np.cosh(theta / 2)


def new_study(y, v, *, tau_max: float, points: int = 120):
    """Return weight, mean, sd and tau of a new study's effect, flat priors on mu and on tau up to tau_max."""
    x, w = np.polynomial.legendre.leggauss(points)
    tau = tau_max * ((x + 1) / 2) ** 2
    precision = 1 / (v + tau[:, None] ** 2)
    total = precision.sum(axis=1)
    mean = precision @ y / total
    log = 0.5 * (np.log(precision).sum(axis=1) - np.log(total) - (precision * (y - mean[:, None]) ** 2).sum(axis=1))
    weight = w * (x + 1) * np.exp(log - log.max())
    return weight / weight.sum(), mean, np.sqrt(1 / total + tau**2), tau


def brute_force(weight, mean, sd, unit_sd, low, high) -> float:
    """E[unit_sd^2 i(theta)] from differences of the log density, by adaptive quadrature."""

    def log_density(t):
        return np.log(weight @ stats.norm.pdf(t, mean, sd))

    def integrand(t, h=1e-3):
        second = (log_density(t + h) - 2 * log_density(t) + log_density(t - h)) / h**2
        return -second * np.exp(log_density(t)) * unit_sd(t) ** 2

    return integrate.quad(integrand, low, high, limit=400, epsabs=1e-7, epsrel=1e-7)[0]


@pytest.mark.parametrize(("sd", "unit"), [(0.5, 5.0), (1e-4, 1.0), (30.0, 2.0)])
def test_known_normal_prior_of_n_observations(sd, unit):
    assert ess_elir([1], [3], [sd], unit_sd=unit) == pytest.approx((unit / sd) ** 2, rel=1e-12)
    assert ess_elir([0.3, 0.7, 0], [3, 3, 9], [sd, sd, 1e-9], unit_sd=unit) == pytest.approx((unit / sd) ** 2)


def test_known_log_odds():
    """E[4 cosh^2(theta / 2)] = 2 + 2 exp(sd^2 / 2) cosh(mean) for a normal theta; its information is 1 / sd^2."""
    for mean, sd in ((-1.0, 0.4), (0.0, 2.0), (3.0, 0.1)):
        known = (2 + 2 * np.exp(sd**2 / 2) * np.cosh(mean)) / sd**2
        assert ess_elir([1], [mean], [sd], unit_sd=unit_sd_of_log_odds) == pytest.approx(known, rel=1e-10)


def test_known_separate_components_are_worth_their_mean():
    """Far apart, each component has its own information, and an estimate of theta knows which it is in."""
    assert ess_elir([0.25, 0.75], [0, 1000], [1, 2], unit_sd=2) == pytest.approx(0.25 * 4 + 0.75 * 1, rel=1e-9)


def test_reference_es23_bayesmeta(reference):
    """ESS agree to 0.2 %: the reference's mixture is over a grid of tau chosen for its own accuracy, ours is dense.

    Its sd of a new study, 0.473967, is not the exact 0.474019 either, and information feels the mixture most.
    With flat priors a new study has heavy tails, over which unit_sd^2 = 4 cosh^2(theta / 2) has no mean: tau ends
    at 4, beyond which lie 9e-6 of its posterior.
    """
    expected = reference["ES23"]["expected"]
    y, v = np.log(R / (N - R)), 1 / R + 1 / (N - R)
    weight, mean, sd, tau = new_study(y, v, tau_max=4)
    mu = weight @ mean
    assert np.interp(0.5, np.cumsum(weight) - weight / 2, tau) == pytest.approx(expected["tau_median"], abs=1e-3)
    assert mu == pytest.approx(expected["mu_mean"], abs=1e-4)
    assert np.sqrt(weight @ (sd**2 + (mean - mu) ** 2)) == pytest.approx(expected["new_sd"], abs=1e-3)
    assert np.sqrt(N.sum() / (1 / v).sum()) == pytest.approx(expected["uisd"], abs=1e-6)
    for unit, name in ((2.35, "ESS_elir(uisd=2.35)"), (unit_sd_of_log_odds, "ESS_elir(uisd=2cosh(x/2))")):
        assert ess_elir(weight, mean, sd, unit_sd=unit) == pytest.approx(expected[name], rel=2e-3)
    exact = brute_force(weight, mean, sd, lambda t: 2.35, -9, 7)
    assert ess_elir(weight, mean, sd, unit_sd=2.35) == pytest.approx(exact, rel=1e-4)  # differences and cut tails


@settings(max_examples=examples(3, 15), deadline=None)
@given(st.floats(0.05, 0.95), st.floats(-2, 2), st.floats(0.3, 3), st.floats(0.5, 4), st.integers(1, 20))
def test_known_n_more_observations_are_worth_n(weight, shift, sd, unit, n):
    """Predictive consistency, which defines the measure: E[ESS of the posterior given n] = ESS of the prior + n."""
    weight, mean, sd = np.array([weight, 1 - weight]), np.array([0.0, shift]), np.array([1.0, sd])
    of_mean = np.sqrt(sd**2 + unit**2 / n)
    precision = 1 / sd**2 + n / unit**2
    x, w = np.polynomial.legendre.leggauss(120)
    low, high = (mean - 7 * of_mean).min(), (mean + 7 * of_mean).max()
    expected = 0.0
    for y, step in zip((low + high) / 2 + (high - low) / 2 * x, w * (high - low) / 2, strict=True):
        joint = weight * stats.norm.pdf(y, mean, of_mean)
        after = ess_elir(
            joint / joint.sum(), (mean / sd**2 + y * n / unit**2) / precision, precision**-0.5, unit_sd=unit
        )
        expected += step * joint.sum() * after
    assert expected == pytest.approx(ess_elir(weight, mean, sd, unit_sd=unit) + n, rel=1e-5)


def test_arguments_out_of_range_are_refused():
    for weight, mean, sd, word in (
        ([0.5, 0.6], [0, 0], [1, 1], "weight"),
        ([1.5, -0.5], [0, 0], [1, 1], "weight"),
        ([1], [0], [0], "sd"),
        ([1], [np.nan], [1], "mean"),
        ([1], [0, 1], [1], "weight"),
        ([], [], [], "weight"),
    ):
        with pytest.raises(ValueError, match=word):
            ess_elir(weight, mean, sd, unit_sd=1)
    with pytest.raises(ValueError, match="unit_sd"):
        ess_elir([1], [0], [1], unit_sd=0)
    with pytest.raises(ValueError, match="unit_sd"):
        ess_elir([1], [0], [1], unit_sd=lambda t: t)
