"""Multilevel and multivariate meta-analysis against metafor, dosresmeta, closed forms, grids and simulated studies."""

import csv
import math
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from conftest import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import block_diag, null_space
from scipy.stats import chi2, multivariate_normal

from gmfmsim.evidence.formulas.classical import pool
from gmfmsim.evidence.formulas.effect_sizes import cohen_d
from gmfmsim.evidence.formulas.multilevel import STRUCTURES, ByOutcome, Level, fit_multilevel


def rows(name: str) -> list[dict[str, str]]:
    with (Path(__file__).parent / "reference" / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def column(table: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([row[name] for row in table], float)


def indicators(labels) -> np.ndarray:
    """One column of 0 and 1 for each label, in order."""
    return (np.asarray(labels)[:, None] == np.unique(labels)).astype(float)


def same(labels) -> np.ndarray:
    return np.asarray(labels)[:, None] == np.asarray(labels)


# metafor


@pytest.fixture(scope="module")
def schools():
    """Effects of 56 schools, their variances, and the labels of district and school."""
    table = rows("dat_konstantopoulos2011.csv")
    return *(column(table, name) for name in ("yi", "vi")), column(table, "district"), column(table, "study")


def test_reference_mf07_schools_in_districts(reference, schools):
    y, v, district, study = schools
    expected, fit = reference["MF07"]["expected"], fit_multilevel(y, v, None, [Level(district), Level(study)])
    assert [fit.coefficients[0], fit.se[0]] == pytest.approx([expected["mu"], expected["se"]], abs=1e-7)
    assert fit.sigma2 == pytest.approx([expected["sigma2_district"], expected["sigma2_study"]], abs=1e-7)
    assert fit.log_likelihood == pytest.approx(expected["logLik"], abs=1e-8)
    assert fit.prediction == pytest.approx(expected["PI"], abs=1e-7)
    assert fit.icc[0] == pytest.approx(expected["ICC"], abs=5e-5)  # printed to four places


def test_reference_schools_as_outcomes_of_a_district(reference, schools):
    """One tau2 and one rho over the schools of a district is the same model: tau2 the sum, rho the ICC."""
    y, v, district, study = schools
    expected, fit = reference["MF07"]["expected"], fit_multilevel(y, v, None, [ByOutcome(district, study, "CS")])
    (between,) = fit.outcomes
    sigma2 = [expected["sigma2_district"], expected["sigma2_study"]]
    assert [*between.tau2, *between.rho] == pytest.approx([sum(sigma2), sigma2[0] / sum(sigma2)], abs=1e-6)
    assert fit.log_likelihood == pytest.approx(expected["logLik"], abs=1e-8)
    assert fit.prediction == pytest.approx(expected["PI"], abs=1e-6)


def test_reference_schools_by_maximum_likelihood(schools):
    """Konstantopoulos 2011, table 5, and metafor's tests of it: four places."""
    y, v, district, study = schools
    fit = fit_multilevel(y, v, None, [Level(district), Level(study)], method="ML")
    assert [fit.coefficients[0], fit.se[0], *fit.sigma2] == pytest.approx([0.1845, 0.0805, 0.0577, 0.0329], abs=1e-4)
    assert fit.prediction == pytest.approx([-0.4262, 0.7951], abs=1e-4)


def test_reference_a_variance_for_each_district_reaches_zero(schools):
    """metafor's tests: eleven variances of schools, four of them 0.0000, beside a variance of districts."""
    y, v, district, study = schools
    fit = fit_multilevel(y, v, None, [Level(district), ByOutcome(study, district, "DIAG")])
    tau2_by_district = [0, 0.0402, 0, 0.0582, 0.0082, 0, 0.5380, 0.0008, 0.0606, 0.1803, 0]
    assert [fit.coefficients[0], fit.se[0]] == pytest.approx([0.1270, 0.0588], abs=1e-4)
    assert fit.outcomes[0].tau2 == pytest.approx(tau2_by_district, abs=1e-4)
    assert [i for i, t in enumerate(fit.outcomes[0].tau2) if t == 0] == [0, 2, 10]  # the sixth is 3e-5
    assert fit.prediction is None
    assert fit.icc is None


def test_reference_mf08_two_outcomes_of_periodontal_trials(reference):
    table, expected = rows("dat_berkey1998.csv"), reference["MF08"]["expected"]
    y, v = column(table, "yi"), np.column_stack([column(table, "v1i"), column(table, "v2i")])
    v, outcome, trial = block_diag(*v.reshape(-1, 2, 2)), [r["outcome"] for r in table], column(table, "trial")
    x = indicators(outcome)
    fits = {s: fit_multilevel(y, v, x, [ByOutcome(trial, outcome, s)], method="ML") for s in ("UN", "CS", "DIAG")}
    (between,) = fits["UN"].outcomes
    assert between.outcomes == ("AL", "PD")
    assert fits["UN"].coefficients == pytest.approx(expected["coef"], abs=1e-4)
    assert fits["UN"].se == pytest.approx(expected["se"], abs=1e-4)
    assert between.tau2 == pytest.approx(expected["tau2"], abs=1e-4)
    assert between.rho == pytest.approx([expected["rho"]], abs=1e-4)
    ratios = [2 * (fits["UN"].log_likelihood - fits[s].log_likelihood) for s in ("CS", "DIAG")]
    assert chi2.sf(ratios, 1) == pytest.approx([0.2597, 0.2452], abs=1e-4)  # metafor's tests

    on_year = np.hstack([x, x * (column(table, "year") - 1983)[:, None]])
    fit, expected = fit_multilevel(y, v, on_year, [ByOutcome(trial, outcome)], method="ML"), expected["meta_regression"]
    assert fit.coefficients == pytest.approx(expected["coef"], abs=1e-4)
    assert fit.outcomes[0].tau2 == pytest.approx(expected["tau2"], abs=1e-4)
    assert fit.outcomes[0].rho == pytest.approx([expected["rho"]], abs=1e-4)


@pytest.fixture(scope="module")
def stimulation():
    """Mean changes after deep brain stimulation at up to four times: y, V with correlation 0.97^|t - t'|, study, t."""
    y, blocks, study, time = [], [], [], []
    for row in rows("dat_ishak2007.csv"):
        t = np.array([t for t in (1, 2, 3, 4) if row[f"y{t}i"] != "NA"])
        sd = np.sqrt([float(row[f"v{i}i"]) for i in t])
        y += [float(row[f"y{i}i"]) for i in t]
        blocks.append(np.outer(sd, sd) * 0.97 ** np.abs(np.subtract.outer(t, t)))
        study += [row["study"]] * t.size
        time += t.tolist()
    return np.array(y), block_diag(*blocks), study, time


def test_reference_mf09_repeated_follow_up(reference, stimulation):
    y, v, study, time = stimulation
    expected, x = reference["MF09"]["expected"], indicators(time)
    fit = fit_multilevel(y, np.diag(v), x, [ByOutcome(study, time, "DIAG")])
    assert fit.coefficients == pytest.approx(expected["independence"]["coef"], abs=1e-4)
    assert fit.outcomes[0].tau2 == pytest.approx(expected["independence"]["tau2"], abs=1e-3)
    fit = fit_multilevel(y, np.diag(v), x, [Level(study)])
    assert fit.coefficients == pytest.approx(expected["random_study"]["coef"], abs=1e-4)
    assert fit.sigma2 == pytest.approx([expected["random_study"]["sigma2"]], abs=1e-3)
    fit = fit_multilevel(y, v, x, [ByOutcome(study, time, "HAR")])
    assert fit.coefficients == pytest.approx(expected["multivariate_HAR"]["coef"], abs=1e-4)
    assert fit.outcomes[0].tau2 == pytest.approx(expected["multivariate_HAR"]["tau2"], abs=1e-3)
    assert fit.outcomes[0].rho == pytest.approx([expected["multivariate_HAR"]["rho"]], abs=1e-4)


@pytest.mark.parametrize(
    ("structure", "coefficients", "variances"),
    [
        ("AR", [-25.9, -27.4, -28.7, -26.4], [26.7]),
        ("HCS", [-25.9, -27.3, -28.7, -26.7], [20.9, 32.7, 27.7, 32.2]),
    ],
)
def test_reference_other_structures_of_follow_up(stimulation, structure, coefficients, variances):
    """metafor's tests, which print one place."""
    y, v, study, time = stimulation
    fit = fit_multilevel(y, v, indicators(time), [ByOutcome(study, time, structure)])
    assert np.round(fit.coefficients, 1).tolist() == coefficients
    assert np.round(fit.outcomes[0].tau2, 1).tolist() == variances


def test_reference_a_correlation_of_one_is_reached(stimulation):
    """metafor's tests print one place; without within-study correlation rho is at its bound."""
    y, v, study, time = stimulation
    fit = fit_multilevel(y, np.diag(v), indicators(time), [ByOutcome(study, time, "HAR")])
    assert np.round(fit.coefficients, 1).tolist() == [-26.0, -27.3, -28.6, -25.8]
    assert np.round(fit.outcomes[0].tau2, 1).tolist() == [20.3, 36.0, 26.4, 30.1]
    assert fit.outcomes[0].rho == (1.0,)


def test_reference_es28_two_stage_dose_response(reference):
    """dosresmeta: standardized differences on dose and its square in each study, then pooled over the studies."""
    expected, first = reference["ES28"]["expected"], {}
    for study, group in groupby(rows("ari.csv"), key=lambda row: row["id"]):
        dose, mean, sd, n = np.array([[row[name] for name in ("dose", "y", "sd", "n")] for row in group], float).T
        sd = math.sqrt(((n - 1) * sd**2).sum() / (n - 1).sum())
        d = cohen_d(mean[1:], sd, n[1:], mean[0], sd, n[0]).estimate
        v = 1 / n[0] + np.outer(d, d) / (2 * n.sum()) + np.diag(1 / n[1:])  # Gleser & Olkin 2009
        first[study] = fit_multilevel(d, v, np.column_stack([dose, dose**2])[1:] - [dose[0], dose[0] ** 2])
    y, v = np.concatenate([f.coefficients for f in first.values()]), block_diag(*(f.covariance for f in first.values()))
    unit, outcome = np.repeat(list(first), 2), ["dose", "dose^2"] * len(first)
    fit = fit_multilevel(y, v, np.tile(np.eye(2), (len(first), 1)), [ByOutcome(unit, outcome)])
    terms = [expected[name] for name in ("dose", "dose^2")]
    assert fit.coefficients == pytest.approx([t["b"] for t in terms], abs=5e-5)
    assert fit.se == pytest.approx([t["se"] for t in terms], abs=5e-5)
    assert np.sqrt(fit.outcomes[0].tau2) == pytest.approx(
        expected["sd_between"], abs=1.5e-4
    )  # its optimiser stops near 0
    assert fit.outcomes[0].rho == (None,)
    assert (fit.q, fit.df) == (pytest.approx(expected["Q"], abs=5e-5), expected["df"])
    wald = fit.coefficients @ np.linalg.solve(fit.covariance, fit.coefficients)
    assert wald == pytest.approx(49.6334, abs=5e-5)  # metafor's; dosresmeta's optimiser stops at 49.6323
    assert wald == pytest.approx(expected["Wald_chi2"], abs=0.01)


# closed forms and brute force


def test_known_equal_variances():
    """One level: s^2 - v, by maximum likelihood with k instead of k - 1, and 0 where v is larger."""
    y = np.array([3.0, 8.0, 1.0, 6.0, 12.0])
    s2, k = y.var(ddof=1), y.size
    for method, total in (("REML", s2), ("ML", s2 * (k - 1) / k)):
        fit = fit_multilevel(y, np.full(k, 4.0), None, [Level(range(k))], method=method)
        assert fit.sigma2 == pytest.approx([total - 4])
        assert [fit.coefficients[0], fit.se[0]] == pytest.approx([y.mean(), math.sqrt(total / k)])
    fit = fit_multilevel(y, np.full(k, 30.0), None, [Level(range(k))])
    assert (fit.sigma2, fit.icc) == ((0.0,), None)


def test_known_balanced_three_levels():
    """Mean squares within and between districts: (MSW - v) and (MSB - MSW) / m, m schools in each."""
    y = np.array([[4.0, 9.0, 5.0], [14.0, 21.0, 13.0], [2.0, 0.0, 7.0], [11.0, 8.0, 17.0]])
    m, v = y.shape[1], 3.0
    within, between = y.var(axis=1, ddof=1).mean(), m * y.mean(axis=1).var(ddof=1)
    district = np.repeat(["b", "a", "d", "c"], m)
    fit = fit_multilevel(y.ravel(), np.full(y.size, v), None, [Level(district), Level(range(y.size))])
    assert fit.sigma2 == pytest.approx([(between - within) / m, within - v])
    assert fit.se == pytest.approx([math.sqrt(between / y.size)])


@pytest.mark.parametrize(("method", "lost"), [("REML", 1), ("ML", 0)])
def test_known_complete_outcomes(method, lost):
    """Every study has both outcomes and the same V: G is the sample covariance minus V."""
    y = np.array([[1.0, 3.0], [4.0, 9.0], [-2.0, 1.0], [6.0, 7.0], [0.0, -3.0]])
    v = np.array([[2.0, 0.5], [0.5, 1.0]])
    data = (y.ravel(), np.kron(np.eye(5), v), np.tile(np.eye(2), (5, 1)))
    unit, outcome = np.repeat(range(5), 2), np.tile(["b", "a"], 5)
    expected = (np.cov(y.T, ddof=lost) - v)[::-1, ::-1]
    (between,) = fit_multilevel(*data, [ByOutcome(unit, outcome)], method=method).outcomes
    assert between.covariance == pytest.approx(expected, rel=1e-6)
    assert between.tau2 == pytest.approx(np.diag(expected), rel=1e-6)
    assert between.rho == pytest.approx([expected[0, 1] / math.sqrt(expected[0, 0] * expected[1, 1])], rel=1e-6)


@pytest.fixture(scope="module")
def three_outcomes():
    """Eight studies with two or three of the outcomes 3, 6 and 12, y, V, X and labels."""
    rng = np.random.default_rng(12)
    unit, outcome = np.repeat(range(8), 3), np.tile([3, 6, 12], 8)
    keep = np.setdiff1d(range(24), [1, 8, 12, 17])
    unit, outcome, k = unit[keep], outcome[keep], keep.size
    sd = rng.uniform(0.5, 1.5, k)
    v = np.outer(sd, sd) * np.where(same(unit), 0.4, 0) + np.diag(0.6 * sd**2)
    y = rng.normal(0, 1.5, 8)[unit] + rng.normal(0, 1, k) + rng.multivariate_normal(np.zeros(k), v)
    return y, v, indicators(outcome), unit, outcome


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("method", ["REML", "ML"])
def test_known_density_of_the_fit(three_outcomes, structure, method):
    """The likelihood is a normal density: of the effects, or (REML) of their contrasts free of X, orthonormal."""
    y, v, x, unit, outcome = three_outcomes
    fit = fit_multilevel(y, v, x, [ByOutcome(unit, outcome, structure)], method=method)
    (between,) = fit.outcomes
    total = v + same(unit) * (x @ between.covariance @ x.T)
    inverse = np.linalg.inv(total)
    assert fit.covariance == pytest.approx(np.linalg.inv(x.T @ inverse @ x))
    assert fit.coefficients == pytest.approx(fit.covariance @ x.T @ inverse @ y)
    contrasts = null_space(x.T).T if method == "REML" else np.eye(y.size)
    normal = multivariate_normal(cov=contrasts @ total @ contrasts.T)
    assert fit.log_likelihood == pytest.approx(normal.logpdf(contrasts @ (y - x @ fit.coefficients)), abs=1e-9)


@pytest.mark.parametrize("structure", ["CS", pytest.param("AR", marks=pytest.mark.slow)])
def test_known_no_point_of_a_grid_is_higher(three_outcomes, structure):
    y, v, x, unit, outcome = three_outcomes
    fit = fit_multilevel(y, v, x, [ByOutcome(unit, outcome, structure)])
    power = 1 - np.eye(3) if structure == "CS" else np.array([[0, 1, 3], [1, 0, 2], [3, 2, 0]])
    contrasts = null_space(x.T).T
    z, fixed = contrasts @ y, contrasts @ v @ contrasts.T
    heights = [
        multivariate_normal(cov=fixed + t * contrasts @ (same(unit) * (x @ r**power @ x.T)) @ contrasts.T).logpdf(z)
        for t in np.linspace(0, 6, 61)
        for r in np.linspace(-0.5 if structure == "CS" else -1, 1, 41)
    ]
    assert -1e-9 < fit.log_likelihood - max(heights) < 0.02  # the grid's step


def test_known_one_correlation_has_one_sign():
    """Correlations planted as -, +, -: an SD with a sign would follow them, one rho for all three cannot."""
    rng, unit, outcome = np.random.default_rng(4), np.repeat(range(6), 3), np.tile([0, 1, 2], 6)
    y = (rng.normal(0, 1, 6)[unit] * np.where(outcome == 1, -1, 1) + rng.normal(0, 0.7, 18)).round(1)
    (between,) = fit_multilevel(y, np.full(18, 0.5), np.eye(3)[outcome], [ByOutcome(unit, outcome, "HCS")]).outcomes
    sd, (rho,) = np.sqrt(between.tau2), between.rho
    assert between.covariance == pytest.approx(np.outer(sd, sd) * np.where(np.eye(3), 1, rho), abs=1e-12)
    assert -0.5 <= rho <= 1


def test_known_times_are_what_autoregression_depends_on(three_outcomes):
    y, v, x, unit, outcome = three_outcomes
    months, quarters, odd = (
        fit_multilevel(y, v, x, [ByOutcome(unit, times, "HAR")]).outcomes[0]
        for times in (outcome, outcome / 3, np.where(outcome == 12, 13, outcome))
    )
    assert months.rho == pytest.approx(quarters.rho)
    assert (months.outcomes, odd.outcomes) == ((3, 6, 12), (3, 6, 13))
    for between, longest in ((months, 3), (odd, 10 / 3)):
        sd = np.sqrt(between.tau2)
        assert between.covariance[0, 2] == pytest.approx(sd[0] * sd[2] * between.rho[0] ** longest)


# agreement and invariance


effects = st.lists(
    st.tuples(st.floats(-5, 5), st.floats(0.05, 4)).map(lambda pair: (round(pair[0], 2), round(pair[1], 2))),
    min_size=3,
    max_size=9,
)


@given(effects, st.sampled_from(["REML", "ML"]))
@settings(max_examples=examples(10, 40), deadline=None)
def test_one_level_agrees_with_the_pool_of_classical(studies, method):
    y, v = np.array(studies).T
    fit, pooled = fit_multilevel(y, v, None, [Level(range(y.size))], method=method), pool(y, v, method)
    there = fit_multilevel(y, v + pooled.tau2, method=method)
    assert fit.log_likelihood == pytest.approx(there.log_likelihood, abs=1e-8)
    # where the score is 0 at tau2 = 0 the likelihood is level to 1e-10 over about 1e-4
    assert fit.sigma2[0] == pytest.approx(pooled.tau2, abs=1e-3)
    assert [fit.coefficients[0], fit.se[0]] == pytest.approx([pooled.estimate, pooled.se], abs=1e-3)
    assert fit.q == pytest.approx(pooled.q)
    assert fit.prediction == pytest.approx(pooled.prediction, abs=1e-2)


@given(st.floats(1e-3, 1e3), st.sampled_from(STRUCTURES))
@settings(max_examples=examples(2, 6), deadline=None)
def test_another_unit_of_the_scale_changes_only_the_unit(three_outcomes, factor, structure):
    y, v, x, unit, outcome = three_outcomes
    random = [ByOutcome(unit, outcome, structure)]
    fit, scaled = fit_multilevel(y, v, x, random), fit_multilevel(factor * y, factor**2 * v, x, random)
    assert scaled.coefficients == pytest.approx(factor * fit.coefficients, rel=1e-5)
    assert scaled.outcomes[0].tau2 == pytest.approx(np.multiply(factor**2, fit.outcomes[0].tau2), rel=1e-4)
    assert scaled.outcomes[0].rho == pytest.approx(fit.outcomes[0].rho, abs=1e-4)
    lost = (y.size - x.shape[1]) * math.log(factor)
    assert scaled.log_likelihood == pytest.approx(fit.log_likelihood - lost, abs=1e-8)


def test_fixed_effect_has_no_variance_and_no_prediction():
    fit, pooled = fit_multilevel([1.0, 2.0, 4.0], [1.0, 0.5, 2.0]), pool([1.0, 2.0, 4.0], [1.0, 0.5, 2.0], "FE")
    assert [fit.coefficients[0], fit.se[0], fit.q] == pytest.approx([pooled.estimate, pooled.se, pooled.q])
    assert (fit.between, fit.prediction, fit.icc, fit.sigma2, fit.outcomes) == (0, None, None, (), ())


# recovery


@pytest.mark.parametrize("size", [8, pytest.param(20, marks=pytest.mark.slow)])
def test_recovery_of_planted_covariance(size):
    """Meta-analyses of 30 studies, two outcomes, a third of the second missing: means within 3.5 standard errors."""
    rng, g, means = np.random.default_rng(2011), np.array([[4.0, 1.8], [1.8, 1.5]]), np.array([2.0, -1.0])
    unit, outcome = np.repeat(range(30), 2), np.tile([0, 1], 30)
    keep = (outcome == 0) | (unit % 3 > 0)
    unit, outcome, x, found = unit[keep], outcome[keep], np.eye(2)[outcome[keep]], []
    for _ in range(size):
        sd = rng.uniform(0.4, 1.2, unit.size)
        v = np.outer(sd, sd) * np.where(same(unit), 0.5, 0) + np.diag(0.5 * sd**2)
        total = v + same(unit) * (x @ g @ x.T)
        fit = fit_multilevel(rng.multivariate_normal(x @ means, total), v, x, [ByOutcome(unit, outcome)])
        found.append([*fit.coefficients, *fit.outcomes[0].covariance[np.triu_indices(2)], *fit.se**2])
    found = np.array(found)
    spread = found.std(axis=0, ddof=1)
    assert (np.abs(found.mean(axis=0)[:5] - [*means, 4.0, 1.8, 1.5]) < 3.5 * spread[:5] / math.sqrt(size)).all()
    ratio = spread[:2] ** 2 / found[:, 5:].mean(axis=0)
    assert (np.abs(ratio - 1) < 3.5 * math.sqrt(2 / (size - 1))).all()  # the relative spread of a variance


@pytest.mark.parametrize("size", [8, pytest.param(20, marks=pytest.mark.slow)])
def test_recovery_of_planted_levels(size):
    """Meta-analyses of 12 districts with 4 schools: mean variances within 3.5 standard errors."""
    rng, district, found = np.random.default_rng(1998), np.repeat(range(12), 4), []
    for _ in range(size):
        v = rng.uniform(0.1, 0.5, 48)
        y = 1 + rng.normal(0, 1.5, 12)[district] + rng.normal(0, 0.9, 48) + rng.normal(0, np.sqrt(v))
        found.append(fit_multilevel(y, v, None, [Level(district), Level(range(48))]).sigma2)
    found = np.array(found)
    error = found.std(axis=0, ddof=1) / math.sqrt(len(found))
    assert (np.abs(found.mean(axis=0) - [1.5**2, 0.9**2]) < 3.5 * error).all()


# wrong arguments

Y, V = [1.0, 2.0, 4.0, 3.0], [1.0, 0.5, 2.0, 1.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((Y, V[:3]), r"y \(4,\) and v \(3, 3\): need effects"),
        (([1.0, math.nan, 4.0, 3.0], V), "need finite numbers, variances above 0"),
        ((Y, [1.0, 0.0, 2.0, 1.0]), "need finite numbers, variances above 0"),
        ((Y, np.ones((4, 4))), "v: need a symmetric positive definite"),
        ((Y, np.eye(4) + np.eye(4, k=1) / 2), "v: need a symmetric positive definite"),
        ((Y, V, np.ones((3, 1))), r"x \(3, 1\): need 4 rows"),
        ((Y, V, np.ones((4, 2))), r"x \(4, 2\): need independent columns"),
        ((Y, V, np.vander([1.0, 2.0, 3.0, 4.0], 5)), r"x \(4, 5\): need independent columns, at most one an effect"),
        ((Y, V, None, [Level("abc")]), r"random\[0\]: unit \(\), outcome \(4,\): need 4 labels each"),
        ((Y, V, None, [Level("aaaa")]), r"random\[0\]: unit"),
        ((Y, V, None, [Level([1, 1, 1, 1])]), r"random\[0\]: these effects cannot tell its variances"),
        (
            (Y, V, None, [Level([1, 1, 2, 2])] * 2),
            r"random\[1\]: these effects cannot tell its variances",
        ),
        (
            (Y, V, None, [ByOutcome([1, 2, 3, 4], [1, 1, 2, 2])]),
            r"random\[0\]: these effects cannot tell its variances",
        ),
        (
            (Y, V, None, [ByOutcome([1, 1, 2, 2], [1, 1, 1, 1], "CS")]),
            r"random\[0\]: these effects cannot tell its variances",
        ),
        (
            (Y, V, None, [ByOutcome([1, 1, 2, 2], [1, 1, 1, 1], "AR")]),
            r"random\[0\]: outcome \[1\]: AR needs two times",
        ),
        ((Y, V, None, [ByOutcome([1, 1, 2, 2], [1, 2, 1, 2], "un")]), r"random\[0\]: structure 'un' is unknown"),
        (
            (Y, V, None, [ByOutcome([1, 1, 2, 2], list("abab"), "AR")]),
            r"random\[0\]: outcome \['a', 'b'\]: AR needs two times",
        ),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit_multilevel(*arguments)


def test_wrong_method_and_probability_are_named():
    with pytest.raises(ValueError, match="method 'DL' is unknown: REML or ML"):
        fit_multilevel(Y, V, method="DL")
    with pytest.raises(ValueError, match=r"prob 1\.5: need a probability"):
        fit_multilevel(Y, V, prob=1.5)
