"""Power, size and precision by formula, held against other systems and against simulated trials."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from gmfmsim.dist.pooled_sd import pooled_sd
from gmfmsim.trial.closed_form import (
    StandardError,
    analysis_sd,
    claim_power,
    historical_power,
    interval_width,
    of_clusters,
    of_contrast,
    of_crossover,
    of_mmrm,
    of_one_sample,
    of_welch,
    power,
    responder_power,
    responder_share,
    sample_size,
    solve,
)

TRIALS = 40_000


def near(hits: np.ndarray, probability: float) -> bool:
    return abs(hits.mean() - probability) < 4 * math.sqrt(probability * (1 - probability) / hits.size)


def critical(df) -> np.ndarray:
    return special.stdtrit(df, 0.975)


def one_sample(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and its standard error over the first axis."""
    return x.mean(axis=0), x.std(axis=0, ddof=1) / math.sqrt(len(x))


def two_sample(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Difference of means over the first axis and its standard error from the pooled variance."""
    df = len(a) + len(b) - 2
    square = ((a - a.mean(axis=0)) ** 2).sum(axis=0) + ((b - b.mean(axis=0)) ** 2).sum(axis=0)
    return a.mean(axis=0) - b.mean(axis=0), np.sqrt(square / df * (1 / len(a) + 1 / len(b)))


# other systems


def test_reference_gs10_size_of_the_z_test(reference):
    expected = reference["GS10"]["expected"]["nNormal(delta1=.5,sd=1.1,.025,.1)"]
    goal = {"effect": 0.5, "sd": 1.1, "power_target": 0.9}
    assert 2 * sample_size(**goal, method="z") == pytest.approx(expected, abs=1e-5)

    def known_sd(n: float) -> float:
        return claim_power(0.5, StandardError(1.1 * math.sqrt(2 / n)))

    assert 2 * solve(known_sd, 0.9, low=2) == pytest.approx(expected, abs=1e-5)


def test_reference_gs15_size_of_the_mixed_model(reference):
    lag = np.abs(np.subtract.outer(range(4), range(4)))
    correlations = [0.25 ** (lag > 0), 0.5 ** (lag > 0), 0.5**lag]  # exchangeable, exchangeable, autoregressive
    for correlation, expected in zip(correlations, reference["GS15"]["expected"].values(), strict=True):
        error = partial(of_mmrm, sd=1, correlation=correlation, retention=[1, 0.9, 0.8, 0.7])
        n = solve(lambda n, error=error: claim_power(0.5, error(n, n)), 0.8, low=2)
        assert n == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("ratio", [1, 2, 3.5])
def test_known_two_arms_are_one_contrast(ratio):
    n = sample_size(effect=2, sd=5, power_target=0.85, ratio=ratio)
    error = of_contrast([n, ratio * n], [-1, 1], 5)
    assert claim_power(2, error) == pytest.approx(power(ratio * n, n, effect=2, sd=5), abs=1e-12)
    assert claim_power(2, error) == pytest.approx(0.85, abs=1e-8)


def exact_welch(n1: float, n0: float, effect: float, sd: tuple[float, float]) -> float:
    """Power of the Welch test over both estimated SDs, each of its own distribution: no non-central t."""
    (s1, w1), (s0, w0) = pooled_sd(n1 - 1), pooled_sd(n0 - 1)
    v1, v0 = ((sd[0] * s1) ** 2 / n1)[:, None], (sd[1] * s0) ** 2 / n0
    df = (v1 + v0) ** 2 / (v1**2 / (n1 - 1) + v0**2 / (n0 - 1))
    se = math.sqrt(sd[0] ** 2 / n1 + sd[1] ** 2 / n0)
    return float(w1 @ special.ndtr((effect - critical(df) * np.sqrt(v1 + v0)) / se) @ w0)


def test_reference_rpact_size_of_the_welch_test():
    """rpact: getSampleSizeMeans(alternative = 10, stDev = c(24, 18), alpha = 0.05, sided = 2, beta = 0.2)."""
    n = sample_size(effect=10, sd=(24, 18), power_target=0.8, method="welch")
    assert 2 * n == pytest.approx(143.378518, abs=5e-7)
    assert exact_welch(n, n, 10, (24, 18)) == pytest.approx(0.8, abs=1e-4)


@pytest.mark.parametrize(("n", "apart"), [(10, 0.006), (20, 0.0013), (50, 0.0002)])
@pytest.mark.parametrize("sd", [(24, 18), (1, 3), (3, 1), (1, 1)])
@pytest.mark.parametrize("ratio", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_known_power_of_the_welch_test(n, apart, sd, ratio):
    """As far from the exact power as the docstring of of_welch says, at most."""
    se = math.sqrt(sd[0] ** 2 / (ratio * n) + sd[1] ** 2 / n)
    for delta in (0, 1, 2, 2.8, 4):
        found = power(ratio * n, n, effect=delta * se, sd=sd, method="welch")
        assert found == pytest.approx(exact_welch(ratio * n, n, delta * se, sd), abs=apart)
        assert found == claim_power(delta * se, of_welch(ratio * n, n, sd))


def test_known_power_of_simulated_welch_tests():
    rng, sd, n1, n0 = np.random.default_rng(9), (3.0, 7.0), 12, 25
    (m1, e1), (m0, e0) = (one_sample(m + s * rng.normal(size=(n, TRIALS))) for m, s, n in ((4, 3, n1), (0, 7, n0)))
    df = (e1**2 + e0**2) ** 2 / (e1**4 / (n1 - 1) + e0**4 / (n0 - 1))
    claims = m1 - m0 > critical(df) * np.hypot(e1, e0)
    assert near(claims, exact_welch(n1, n0, 4, sd))
    assert power(n1, n0, effect=4, sd=sd, method="welch") == pytest.approx(exact_welch(n1, n0, 4, sd), abs=0.003)


@pytest.mark.parametrize("ratio", [0.5, 1, 3])
@pytest.mark.parametrize("method", ["welch", "z"])
def test_power_at_the_size_of_unequal_sds_is_the_target(method, ratio):
    goal = {"effect": 2, "sd": (4, 7), "method": method}
    n = sample_size(**goal, power_target=0.85, ratio=ratio)
    assert power(ratio * n, n, **goal) == pytest.approx(0.85, abs=1e-8)
    same = power(20, 30, effect=2, sd=5, method=method)
    assert power(20, 30, effect=2, sd=(5, 5), method=method) == same
    assert same == pytest.approx(power(20, 30, effect=2, sd=5, method="t"), abs=0.02)


def test_known_smallest_welch_test_has_two_children_in_each_arm():
    assert sample_size(effect=1e4, sd=(1, 2), power_target=0.5, method="welch") == pytest.approx(2)
    assert sample_size(effect=1e4, sd=(1, 2), power_target=0.5, ratio=0.5, method="welch") == pytest.approx(4)


@given(rho=st.floats(-0.9, 0.9), kept=st.floats(0.1, 1))
def test_known_mixed_model_of_two_visits(rho, kept):
    """Var of the last mean, the first visit complete: (1 - rho^2) / kept + rho^2 (Anderson 1957)."""
    se = of_mmrm(50, 25, 3, correlation=np.array([[1, rho], [rho, 1]]), retention=[1, kept]).se
    expected = 3 * math.sqrt(((1 - rho**2) / kept + rho**2) * (1 / 50 + 1 / 25))
    assert se == pytest.approx(expected, rel=1e-10)


# simulated trials


def test_known_power_of_pairs_and_of_one_arm():
    rng, sd = np.random.default_rng(1), analysis_sd(5, 0.6, "change")
    estimate, se = one_sample(1.5 + sd * rng.normal(size=(25, TRIALS)))
    assert near(estimate > critical(24) * se, claim_power(1.5, of_one_sample(25, sd)))


def test_known_power_of_a_factorial_trial():
    n = [12, 15, 9, 20]
    rng, weights = np.random.default_rng(2), np.array([-0.5, -0.5, 0.5, 0.5])
    arms = [mean + 5 * rng.normal(size=(size, TRIALS)) for mean, size in zip((0, 2, 2, 4.5), n, strict=True)]
    df = sum(n) - 4
    square = sum(((a - a.mean(axis=0)) ** 2).sum(axis=0) for a in arms)
    estimate = sum(w * a.mean(axis=0) for w, a in zip(weights, arms, strict=True))
    se = np.sqrt(square / df * sum(0.25 / size for size in n))
    assert near(estimate > critical(df) * se, claim_power(2.25, of_contrast(n, weights, 5)))


def test_known_power_of_a_crossover():
    """Differences of a child's periods: effect in one sequence, -effect in the other, period effect in both."""
    rng, effect, period = np.random.default_rng(3), 1.5, 2.0
    first = effect + period + 6 * rng.normal(size=(14, TRIALS))
    second = -effect + period + 6 * rng.normal(size=(20, TRIALS))
    estimate, se = two_sample(first, second)
    assert near(estimate / 2 > critical(32) * se / 2, claim_power(effect, of_crossover(14, 20, 6)))


def test_known_power_of_clusters():
    rng, size, icc, sd, effect = np.random.default_rng(4), 8, 0.1, 5.0, 2.5

    def cluster_means(clusters: int, mean: float) -> np.ndarray:
        children = rng.normal(size=(clusters, size, TRIALS)).mean(axis=1) * math.sqrt(1 - icc)
        return mean + sd * (math.sqrt(icc) * rng.normal(size=(clusters, TRIALS)) + children)

    estimate, se = two_sample(cluster_means(9, effect), cluster_means(7, 0))
    assert near(estimate > critical(14) * se, claim_power(effect, of_clusters(72, 56, sd, size=size, icc=icc)))


def test_known_power_against_historical_children():
    rng, n, sd, old = np.random.default_rng(5), 20, 5.0, {"historical_n": 34, "historical_sd": 7.0}
    estimate, se = one_sample(2.5 + sd * rng.normal(size=(n, TRIALS)))
    total = se**2 + 7.0**2 / 34
    df = total**2 / (se**4 / (n - 1) + (7.0**2 / 34) ** 2 / 33)
    assert near(estimate > critical(df) * np.sqrt(total), historical_power(2.5, n, sd, **old))


@pytest.mark.parametrize(("effect", "n", "margin"), [(0, 30, 4.0), (1, 60, 3.0), (-0.5, 8, 5.0)])
def test_known_power_of_equivalence(effect, n, margin):
    rng = np.random.default_rng(6)
    estimate, se = two_sample(effect + 5 * rng.normal(size=(n, TRIALS)), 5 * rng.normal(size=(n, TRIALS)))
    room = margin - critical(2 * n - 2) * se
    formula = claim_power(effect, of_contrast([n, n], [-1, 1], 5), claim="equivalence", margin=margin)
    assert near(np.abs(estimate) < room, formula)


def test_known_equivalence_with_known_sd():
    expected = 2 * special.ndtr(3 / 0.9 - special.ndtri(0.975)) - 1
    assert claim_power(0, StandardError(0.9), claim="equivalence", margin=3) == pytest.approx(expected, abs=1e-12)
    assert claim_power(0, StandardError(2), claim="equivalence", margin=3) == 0


def test_known_error_rates_at_the_margin():
    error = of_contrast([40, 40], [-1, 1], 5)
    assert claim_power(-1.5, error, claim="non_inferiority", margin=1.5) == pytest.approx(0.025, abs=1e-12)
    assert claim_power(4, error, claim="equivalence", margin=4) == pytest.approx(0.025, abs=1e-4)
    assert claim_power(0, error) == pytest.approx(0.025, abs=1e-12)


def test_known_power_of_responders():
    """Against all pairs of binomial counts; the formula is a normal approximation, good to 0.01 at this size."""
    n_active, n_control = 90, 60
    p1, p0 = responder_share(3.5, 5, 2), responder_share(1.0, 5, 2)
    a, c = np.arange(n_active + 1)[:, None], np.arange(n_control + 1)
    both = (a + c) / (n_active + n_control)
    se = np.sqrt(both * (1 - both) * (1 / n_active + 1 / n_control))
    significant = a / n_active - c / n_control > special.ndtri(0.975) * se
    chance = stats.binom(n_active, p1).pmf(a) * stats.binom(n_control, p0).pmf(c)
    assert responder_power(p1, p0, n_active, n_control) == pytest.approx(chance[significant].sum(), abs=0.01)
    assert responder_power(p0, p0, n_active, n_control) == pytest.approx(0.025, abs=1e-12)
    assert [responder_power(p1, p0, 50, 50) for p1, p0 in ((1, 0), (0, 0), (1, 1), (0, 1))] == [1, 0, 0, 0]


def test_known_share_of_responders():
    gains = np.random.default_rng(8).normal(2, 4, TRIALS)
    assert near(gains > 3, responder_share(2, 4, 3))


# what is solved for


def test_known_effect_and_width_come_back():
    error = of_contrast([30, 45], [-1, 1], 5)
    effect = solve(lambda effect: claim_power(effect, error), 0.9, low=0)
    assert claim_power(effect, error) == pytest.approx(0.9, abs=1e-9)
    n = solve(lambda n: interval_width(of_one_sample(n, 5)), 3, low=2)
    assert 2 * critical(n - 1) * 5 / math.sqrt(n) == pytest.approx(3, abs=1e-9)
    assert interval_width(StandardError(1)) == pytest.approx(2 * special.ndtri(0.975))
    assert solve(lambda n: interval_width(of_one_sample(n, 5)), 300, low=2) == 2  # narrow enough from the start


@given(df=st.floats(1, 500), se=st.floats(0.1, 3), effects=st.tuples(st.floats(0, 5), st.floats(0, 5)).map(sorted))
@settings(max_examples=60, deadline=None)
def test_power_rises_with_the_effect(df, se, effects):
    low, high = (claim_power(effect, StandardError(se, df)) for effect in effects)
    assert 0 <= low <= high + 1e-12 <= 1 + 1e-12
    assert claim_power(effects[0], StandardError(se, df), claim="non_inferiority", margin=1) >= low


@given(df=st.floats(2, 2000), below=st.floats(0.3, 2))
@settings(max_examples=60, deadline=None)
def test_known_distribution_of_a_pooled_sd(df, below):
    s, weight = pooled_sd(df)
    # moments of S^2 ~ chi^2(df) / df
    assert [weight.sum(), weight @ s**2, weight @ s**4] == pytest.approx([1, 1, 1 + 2 / df], abs=1e-6)
    assert pooled_sd(df, below)[1].sum() == pytest.approx(stats.chi2(df).cdf(df * below**2), abs=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: claim_power(1, StandardError(0, 5)), "above 0"),
        (lambda: claim_power(1, of_one_sample(1, 5)), "above 0"),
        (lambda: of_mmrm(9, 9, 1, correlation=np.eye(2), retention=[0.8, 0.9]), "falling"),
        (lambda: of_mmrm(9, 9, 1, correlation=np.eye(3), retention=[1, 0.9]), "full rank \\(2, 2\\)"),
        (lambda: solve(lambda n: claim_power(0, of_one_sample(n, 5)), 0.8, low=2), "target is 0.8"),
        (lambda: pooled_sd(0), "df = 0"),
    ],
)
def test_what_has_no_answer_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
