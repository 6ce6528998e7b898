"""Exact success of a trial: against formulas, brute force, quadrature of SciPy, and simulated trials."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from design_cases import arm, figure, normal_design, population_design, two_arms, with_test
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from gmfmsim.dist.normal import normal_cdf
from gmfmsim.model.truths import Belief, belief
from gmfmsim.trial.closed_form import StandardError, claim_power
from gmfmsim.trial.decide import claim
from gmfmsim.trial.detectable import fixed_truths
from gmfmsim.trial.estimates import Criterion
from gmfmsim.trial.exact import Assurance, qualifies, smallest, success, surface
from gmfmsim.trial.exact.rules import completers, gauss
from gmfmsim.trial.exact.statistic import statistic
from gmfmsim.trial.exact.tails import Truth, chances
from gmfmsim.trial.operate import limit
from gmfmsim.trial.simulate import simulate

SPREAD = {"dist": "lognormal", "median": 6.0, "sigma": 0.3}
MIXED = belief(np.array([0.5, 0.3, 0.2]), np.array([2.0, 3.5, 0.5]), np.array([1.0, 0.4, 0.0]))
INFORMED = {
    "method": "bayes",
    "prior": [{"weight": 0.6, "mean": 2.2, "sd": 1.2}, {"weight": 0.4, "mean": 2.4, "sd": 3}],
    "robust": {"weight": 0.2, "sd": 8},
}
WRONG = {"method": "bayes", "prior": [{"mean": 6, "sd": 0.8}]}
MARGIN = {"claim": "equivalence", "margin": 3}
UNEQUAL = [arm("control"), arm("cells", 5e7, ratio=2)]


def one(mean: float, sd: float = 0.0, df: float = np.inf) -> Belief:
    return belief(np.ones(1), np.array([mean]), np.array([sd]), df)


def primary(design, believed: Belief, n: int, **keys) -> float:
    return success(design, design.analyses[0], believed, n=[n], **keys).item()


# known answers


@pytest.mark.parametrize(("claimed", "margin"), [("superiority", 0), ("non_inferiority", 2), ("equivalence", 3)])
def test_known_closed_form_at_fixed_truths(claimed, margin):
    design = normal_design(analyses=[{"method": "t"}], objective={"claim": claimed, "margin": margin})
    effects, sds, sizes = [-1.0, 0.0, 2.5, 6.0], [3.0, 7.0], [2, 3, 5, 20, 200]
    found = surface(design, n=sizes, sd=sds, effect=effects)
    for n, sd, effect in itertools.product(sizes, sds, effects):
        error = StandardError(sd * math.sqrt(2 / n), 2 * n - 2)
        expected = claim_power(effect, error, claim=claimed, margin=margin)
        assert abs(found.sel(n=n, sd=sd, effect=effect).item() - expected) < 1e-9


def test_known_z_test_and_single_arm():
    z = with_test(two_arms(sd_change=6), "z")
    assert abs(primary(z, one(2.0), 50) - claim_power(2.0, StandardError(6 * math.sqrt(2 / 50)))) < 1e-9
    alone = normal_design("single_arm", analyses=[{"method": "one_sample", "allowance": 1}])
    assert abs(primary(alone, one(2.0), 30) - claim_power(1.0, StandardError(5 / math.sqrt(30), 29))) < 1e-9


def test_known_normal_truth_folds_into_the_estimate():
    """z test, known SD: Phi((m - z se) / sqrt(s^2 + se^2)) (O'Hagan, Stevens & Campbell 2005)."""
    z, se = with_test(two_arms(sd_change=6), "z"), 6 * math.sqrt(2 / 80)
    expected = special.ndtr((2.0 - special.ndtri(0.975) * se) / math.hypot(1.3, se))
    assert abs(primary(z, one(2.0, 1.3), 80) - expected) < 1e-9


def test_known_dual_criterion():
    """Significant, and the estimate above 1.4: E[Phi((theta - max(t se S, 1.4)) / se)] over S."""
    design, se, df = two_arms(sd_change=6), 6 * math.sqrt(2 / 70), 138
    dual = (Criterion(0.025, 0.0, "above"), Criterion(0.5, 1.4, "above"))
    t = special.stdtrit(df, 0.975)

    def given_square(x):
        return special.ndtr((2.0 - max(t * se * math.sqrt(x / df), 1.4)) / se) * stats.chi2.pdf(x, df)

    corner = df * (1.4 / (t * se)) ** 2
    expected = integrate.quad(given_square, 40, 300, points=[corner], epsabs=1e-11, limit=200)[0]
    assert abs(primary(design, one(2.0), 70, claimed=dual) - expected) < 1e-9


# brute force and quadrature


@pytest.mark.parametrize(
    ("n", "ratio", "lost"), [(2, 1, 0.1), (4, 3, 0.5), (10, 2, 0.8), (12, 1, 0.3), (30, 1, 0.5), (60, 2, 0.2)]
)
def test_reference_completers_by_the_full_double_sum(n, ratio, lost):
    design = with_test(two_arms(sd_change=5, dropout=lost, ratio=ratio))
    effects = [0.0, 2.0, 5.0]
    chance = [stats.binom.pmf(np.arange(k + 1), k, 1 - lost) for k in (n * ratio, n)]
    total = np.zeros(3)
    for n1, n0 in itertools.product(range(2, n * ratio + 1), range(2, n + 1)):
        weight = chance[0][n1] * chance[1][n0]
        if weight > 1e-11:
            error = StandardError(5 * math.sqrt(1 / n1 + 1 / n0), n1 + n0 - 2)
            total += [weight * claim_power(e, error) for e in effects]
    found = surface(design, n=[n], sd=[5.0], effect=effects).values.ravel()
    assert np.abs(found - total).max() < 1e-7


@pytest.mark.parametrize("n", [2, 3, 8, 60])
def test_reference_the_imbalance_of_a_baseline_by_quadrature(n):
    """Given T = t(df + 1), the standard error is se sqrt(1 + T^2 / (df + 1)): one number of the baselines."""
    design = normal_design(analyses=[{"method": "ancova"}])
    mean, covariance = design.children.moments([12.0], 5.0)
    sd = math.sqrt(covariance[1, 1] - covariance[0, 1] ** 2 / covariance[0, 0])
    df = 2 * n - 3

    def given_imbalance(angle):
        x = math.tan(angle) * math.sqrt(df + 1)
        error = StandardError(sd * math.sqrt(2 / n) / math.cos(angle), df)
        return claim_power(3.0, error) * 2 * stats.t.pdf(x, df + 1) * math.sqrt(df + 1) / math.cos(angle) ** 2

    expected = integrate.quad(given_imbalance, 0, math.pi / 2 - 1e-9, epsabs=1e-9, limit=200)[0]
    assert abs(primary(design, one(3.0), n) - expected) < 1e-7
    assert mean.size == 2


@pytest.mark.parametrize(
    ("sigma", "df", "floor"),
    [(0.15, None, 0.0), (0.15, None, 3.0), (0.4, None, 0.0), (0.4, None, 3.0), (0.48, 7.4, 0.0)],
)
def test_reference_truths_and_sds_by_quadrature(sigma, df, floor):
    """A mixture of truths, an SD whose logarithm is normal or Student's t, cut off below where measurement error is all
    that children differ by."""
    children = {"excess_sd": {**figure(6.0), "sigma": sigma, "df": df}, "excess_growth": 0, "measurement_error": floor}
    design = normal_design(analyses=[{"method": "t"}], children=children)
    for n in (5, 40, 400):

        def given_z(z, n=n):
            log = sigma * (special.stdtrit(df, special.ndtr(z)) if df else z)
            error = StandardError(max(6 * math.exp(log), math.sqrt(2) * floor) * math.sqrt(2 / n), 2 * n - 2)
            total = 0.0
            for weight, mean, sd in zip(MIXED.weight, MIXED.mean, MIXED.sd, strict=True):
                both = math.hypot(sd, error.se)
                # P((theta + noise) / both > t se S / both): the same tail at a critical value of another level
                total += weight * stats.nct.sf(
                    special.stdtrit(error.df, 0.975) * error.se / both, error.df, min(mean / both, 40)
                )
            return total * stats.norm.pdf(z)

        knee = np.log(math.sqrt(2) * floor / 6) / sigma if floor else 0.0
        expected = integrate.quad(given_z, -7, 7, points=[knee], epsabs=1e-9, limit=200)[0]
        assert abs(primary(design, MIXED, n) - expected) < 1e-6


@pytest.mark.parametrize("objective", [{"claim": "superiority"}, MARGIN])
def test_reference_heavy_tailed_truths_by_quadrature(objective):
    design = normal_design(analyses=[{"method": "t"}], objective=objective)
    error, keys = StandardError(5 * math.sqrt(2 / 50), 98), {"claim": objective["claim"]}
    keys |= {"margin": 3.0} if objective == MARGIN else {}

    def given_truth(x):
        return claim_power(1.0 + 1.5 * x, error, **keys) * stats.t.pdf(x, 3)

    expected = integrate.quad(given_truth, -200, 200, points=[-3, 0, 3], epsabs=1e-8, limit=200)[0]
    assert abs(primary(design, one(1.0, 1.5, 3.0), 50) - expected) < 1e-6


def test_reference_many_n_share_a_table_without_loss():
    design = two_arms(sd_change=SPREAD, dropout=0.2)
    together = success(design, design.analyses[0], MIXED, n=range(2, 300, 23))
    for n in (2, 25, 186):
        alone = Assurance(design, design.analyses[0], MIXED)
        assert abs(together.sel(n=n).item() - alone.at(n)) < 1e-8


# simulated trials


CASES = {
    "two arms, t": (two_arms(sd_change=SPREAD, dropout=0.2, ratio=1.5), (3, 40), 60_000),
    "two arms, z": (with_test(two_arms(sd_change=SPREAD, dropout=0.2), "z"), (3, 40), 60_000),
    "repeated visits": (
        normal_design(
            arms=UNEQUAL, visits=[6, 12], onset=[0.5, 0.8], analyses=[{"method": "t"}], children={"dropout": 0.3}
        ),
        (3, 30),
        20_000,
    ),
    "ancova": (
        normal_design(arms=UNEQUAL, analyses=[{"method": "ancova"}], children={"dropout": 0.3}),
        (3, 30),
        20_000,
    ),
    "ancova, correlation": (
        normal_design(
            analyses=[{"method": "ancova"}],
            children={
                "baseline_correlation": 0.6,
                "excess_growth": 0,
                "dropout": 0.2,
                "excess_sd": {**figure(5.0), "sigma": 0.3},
            },
        ),
        (4, 30),
        20_000,
    ),
    "ancova, three arms": (
        normal_design(arms=[*UNEQUAL, arm("more", 1e8)], analyses=[{"method": "ancova"}], children={"dropout": 0.5}),
        (3, 20),
        20_000,
    ),
    "bayes, flat": (normal_design(analyses=[{"method": "bayes"}]), (20,), 10_000),
    "bayes, a prior": (normal_design(analyses=[INFORMED], children={"dropout": 0.2}), (12, 30), 10_000),
    "bayes, a prior that is wrong": (normal_design(analyses=[WRONG], children={"dropout": 0.1}), (10, 40), 10_000),
    "non-inferiority, a prior": (
        normal_design(analyses=[INFORMED], objective={"claim": "non_inferiority", "margin": 2}),
        (20,),
        10_000,
    ),
    "non-inferiority": (
        normal_design(analyses=[{"method": "t"}], objective={"claim": "non_inferiority", "margin": 2}),
        (20,),
        20_000,
    ),
    "equivalence": (
        normal_design(analyses=[{"method": "ancova"}], objective=MARGIN, children={"dropout": 0.2}),
        (40,),
        20_000,
    ),
    "factorial, t": (
        normal_design("factorial", analyses=[{"method": "t"}], children={"dropout": 0.3}),
        (4, 20),
        20_000,
    ),
    "factorial, ancova": (normal_design("factorial", children={"dropout": 0.1}), (4, 20), 20_000),
    "crossover, t": (normal_design("crossover", analyses=[{"method": "t"}], children={"dropout": 0.3}), (20,), 20_000),
    "crossover, within": (
        normal_design("crossover", carry_over=-0.4, period_effect=1, children={"dropout": 0.3}),
        (4, 15),
        5_000,
    ),
    "pairs": (normal_design("pairs", children={"dropout": 0.2}), (4, 20), 5_000),
    "cluster": (normal_design("cluster", cluster_size=5), (10, 30), 5_000),
    "cluster of one": (normal_design("cluster", cluster_size=1, children={"dropout": 0.2}), (15,), 5_000),
    "single arm": (
        normal_design("single_arm", analyses=[{"method": "one_sample", "allowance": 1}], children={"dropout": 0.3}),
        (3, 20),
        5_000,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_reference_simulated_trials(case):
    """Within 4 Monte Carlo errors at every n, with and without an effect; at fixed truths hits are binomial."""
    design, sizes, replicates = CASES[case]
    for effect in (0.0, 3.0):
        truths = fixed_truths(design, effect, replicates, seed=5)
        simulated = simulate(truths, design, n=sizes, seed=6)["success"].isel(scenario=0, analysis=0)
        exact = success(design, design.analyses[0], one(effect), n=sizes)
        for n in sizes:
            p = exact.sel(n=n).item()
            error = math.sqrt(max(p * (1 - p), 1 / replicates) / replicates)
            assert abs(simulated.sel(n=n).item() - p) < 4 * error, (effect, n)
        truth = truths["effect"].transpose("scenario", "arm", "draw").values[0, :, :1]
        assert abs(Assurance(design, design.analyses[0], one(effect)).plateau() - limit(design, truth, 1)[0]) < 1e-12


def test_reference_the_law_of_a_belief_against_simulated_trials():
    design = two_arms(sd_change=SPREAD, dropout=0.2)
    truths = fixed_truths(design, 1.0, 60_000, seed=2)
    rng = np.random.default_rng(3)
    which = rng.choice(3, 60_000, p=MIXED.weight)
    effect = MIXED.mean[which] + MIXED.sd[which] * rng.standard_normal(60_000)
    truths["effect"] = truths["effect"] * xr.DataArray(effect, dims="draw")
    simulated = simulate(truths, design, n=[60], seed=4)["success"].item()
    exact = primary(design, MIXED, 60)
    assert abs(simulated - exact) < 4 * math.sqrt(exact * (1 - exact) / 60_000)


# sizes and limits


def test_success_rises_with_n_to_its_plateau():
    design = two_arms(sd_change=SPREAD, dropout=0.2)
    curve = success(design, design.analyses[0], one(1.0, 0.8), n=[*range(2, 60), *range(60, 2000, 97)])
    assert (np.diff(curve.values) > 0).all()
    most = Assurance(design, design.analyses[0], MIXED).plateau()
    expected = 0.5 * special.ndtr(2.0) + 0.3 * special.ndtr(3.5 / 0.4) + 0.2
    assert abs(most - expected) < 1e-12
    assert abs(primary(design, MIXED, 5_000_000) - most) < 1e-3


def test_plateau_of_equivalence_of_heavy_tails_and_on_the_border():
    within = normal_design(analyses=[{"method": "t"}], objective=MARGIN)
    expected = stats.t.cdf(1.0, 3) - stats.t.cdf(-2.0, 3)
    assert abs(Assurance(within, within.analyses[0], one(1.0, 2.0, 3.0)).plateau() - expected) < 1e-12
    plain = two_arms(sd_change=6)
    assert Assurance(plain, plain.analyses[0], one(0.0)).plateau() == 0.025
    assert Assurance(within, within.analyses[0], one(3.0)).plateau() == 0.025


@pytest.mark.parametrize("kind", ["parallel", "cluster"])
def test_required_n_is_the_smallest_that_the_design_can_have(kind):
    design = two_arms(sd_change=SPREAD, dropout=0.2) if kind == "parallel" else normal_design("cluster")
    analysis = design.analyses[0]
    exact = Assurance(design, analysis, MIXED)
    n = smallest(exact, 0.7)
    assert n == design.at_least(n)
    assert abs(exact.at(n) - exact.rough(n)) < 0.02
    before, at = success(design, analysis, MIXED, n=[n - design.step, n]).values
    assert before < 0.7 <= at
    assert smallest(exact, exact.plateau()) is None
    assert smallest(exact, 0.7, n - 1) is None


# what does not qualify


@pytest.mark.parametrize(
    ("design", "reason"),
    [
        (population_design(), "growth curves"),
        (normal_design(analyses=[{"method": "wilcoxon"}]), "no law"),
        (normal_design(analyses=[{"method": "z"}]), "estimated"),
        (normal_design(analyses=[{"method": "bayes", "prior": "evidence"}]), "prior"),
        (normal_design(analyses=[INFORMED], objective=MARGIN), "two criteria"),
        (normal_design("cluster", children={"dropout": 0.1}), "different sizes"),
        (normal_design(randomisation={"method": "simple"}), "arm sizes vary"),
        (normal_design(children={"response_sd": 2}), "respond differently"),
        (normal_design(children={"missed": 0.1}), "missed"),
    ],
)
def test_what_has_no_known_law_is_refused_with_the_reason(design, reason):
    assert reason in qualifies(design, design.analyses[0])
    with pytest.raises(ValueError, match=reason):
        success(design, design.analyses[0], MIXED, n=[20])


@pytest.mark.parametrize("name", ["mean", "sd", "weight"])
def test_what_is_no_number_stops(name):
    broken = replace(MIXED, **{name: np.where(np.arange(3) == 1, np.nan, getattr(MIXED, name))})
    design = two_arms(sd_change=6)
    with pytest.raises(ValueError, match="must be"):
        primary(design, broken, 20)
    with pytest.raises(ValueError, match="effect"):
        surface(design, n=[20], sd=[6.0], effect=[np.nan])


def test_too_few_children_show_nothing():
    design = normal_design(analyses=[{"method": "ancova"}], children={"dropout": 0.4})
    test = statistic(design, design.analyses[0])
    assert test.kept == 0.6
    both = 0.6**4  # two children in each arm, one degree of freedom
    expected = both * chances(Truth(np.array([60.0]), np.zeros(1)), claim(design), test.sigma(np.array([5.0])), 1, True)
    assert abs(primary(design, one(60.0), 2) - expected.item()) < 1e-7


# rules


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 3000), kept=st.floats(0.05, 0.99), fewest=st.integers(0, 2), nodes=st.integers(2, 9))
def test_property_gauss_rules_of_completers(n, kept, fewest, nodes):
    """Nodes within the law, weights above 0, moments to degree 2 nodes - 1, and what the engine takes of it."""
    k = np.arange(n + 1)
    chance = stats.binom.pmf(k, n, kept)
    there = (k >= fewest) & (chance > 1e-14)
    mean, sd = n * kept, max(math.sqrt(n * kept * (1 - kept)), 0.1)
    if there.any():
        x, w = gauss(k[there], chance[there], nodes)
        assert (w > 0).all()
        assert x.min() > k[there].min() - 1e-6
        assert x.max() < k[there].max() + 1e-6
        for degree in range(2 * min(nodes, x.size)):
            z = (k[there] - mean) / sd
            size = (chance[there] * np.abs(z) ** degree).sum()
            assert abs((w * ((x - mean) / sd) ** degree).sum() - (chance[there] * z**degree).sum()) < 1e-9 * (1 + size)
    x, w = completers(n, kept, fewest)
    assert abs(w.sum() - chance[k >= fewest].sum()) < 1e-12
    assert abs((w * x).sum() - (chance * k)[k >= fewest].sum()) < 1e-10 * max(mean, 1)


def test_a_rule_refuses_what_is_no_law():
    with pytest.raises(ValueError, match="weights"):
        gauss(np.arange(3.0), np.array([1.0, 0.0, 1.0]), 2)
    with pytest.raises(ValueError, match="nodes"):
        gauss(np.arange(3.0), np.ones(2), 2)


def test_known_normal_distribution_function_of_the_table():
    x = np.concatenate([np.linspace(-9, 9, 4001), [-1e300, 1e300, -8.5, 8.5, 0.0]])
    found = np.array([normal_cdf(v) for v in x])
    assert np.abs(found - special.ndtr(x)).max() < 1e-10
    assert math.isnan(normal_cdf(math.nan))
