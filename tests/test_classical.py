"""Classical meta-analysis against metafor, published reviews, hand formulas and brute force."""

import csv
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from gmfmsim.evidence.formulas.classical import (
    METHODS,
    egger,
    mantel_haenszel_risk_ratio,
    p_from_interval,
    pool,
    tau2,
)
from gmfmsim.evidence.read import read_tables

Z = special.ndtri(0.975)
FOUR = ([3.2, 7.1, 1.4, 5.9], [1.44, 4, 2.25, 6.25])
X4 = np.column_stack([np.ones(4), [0.0, 1.0, 2.0, 4.0]])


def groups(text: str) -> np.ndarray:
    """The columns of figures written as (1,2,3)(4,5,6)."""
    return np.array([row.split(",") for row in re.findall(r"\(([\d,]+)\)", text)], float).T


def cohen(mean: float, sd: float, n: int, mean_: float, sd_: float, n_: int) -> tuple[float, float]:
    """Cohen's d and its variance N / (n n_) + d^2 / (2 (N - 2))."""
    d = (mean - mean_) / math.sqrt(((n - 1) * sd**2 + (n_ - 1) * sd_**2) / (n + n_ - 2))
    return d, variance_of_d(d, n, n_)


def variance_of_d(d: float, n: int, n_: int) -> float:
    return (n + n_) / (n * n_) + d**2 / (2 * (n + n_ - 2))


def log_likelihood(y, v, x, t: float, restricted: bool) -> float:
    """The (restricted) likelihood of tau^2 = t, with the matrices written out."""
    inverse = np.diag(1 / (np.asarray(v) + t))
    inner = x.T @ inverse @ x
    p = inverse - inverse @ x @ np.linalg.inv(inner) @ x.T @ inverse
    return -0.5 * (
        np.log(np.asarray(v) + t).sum() + restricted * np.linalg.slogdet(inner)[1] + np.asarray(y) @ p @ np.asarray(y)
    )


@pytest.fixture(scope="module")
def bcg(reference) -> tuple[np.ndarray, np.ndarray]:
    """Log risk ratios of the thirteen trials of BCG vaccine, and their variances."""
    a, b, c, d = groups(reference["MF01"]["input"])
    return np.log(a / (a + b) / (c / (c + d))), 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)


@pytest.fixture(scope="module")
def clasp(reference) -> tuple[np.ndarray, np.ndarray]:
    """Log odds ratios of the six trials of aspirin in pregnancy, and their variances."""
    table = json.loads(reference["MF04"]["input"])["CLASP log OR"]
    a, n1, c, n2 = (np.array(table[key], float) for key in ("ai", "n1i", "ci", "n2i"))
    return np.log(a * (n2 - c) / (c * (n1 - a))), 1 / a + 1 / (n1 - a) + 1 / c + 1 / (n2 - c)


@pytest.fixture(scope="module")
def published() -> dict[str, list[tuple[float, float]]]:
    """Figures of published reviews by target: (expected, tolerance) each."""
    with (Path(__file__).parent / "reference" / "replication_targets.csv").open(encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if re.fullmatch(r"T(06|07|08|3[0-2]|38|39|40|42)", r["target_id"])]
    numbers = {r["target_id"]: [map(float, r[key].split(";")) for key in ("expected", "tolerance")] for r in rows}
    return {target: list(zip(*pair, strict=True)) for target, pair in numbers.items()}


# estimators of tau^2 against metafor


@pytest.mark.parametrize("method", METHODS)
def test_reference_bcg_by_every_method(reference, bcg, method):
    # Paule-Mandel as printed was stopped 2.6e-5 before its root, where EB has the same root to six digits
    tolerance = 5e-5 if method == "PM" else 1e-5
    expected = reference["MF01"]["expected"]
    pooled = pool(*bcg, method)
    between, mean, se, i2 = expected["tau2,mu,se,I2"][method]
    assert [pooled.tau2, pooled.estimate, pooled.se] == pytest.approx([between, mean, se], abs=tolerance)
    assert pooled.i2 == pytest.approx(i2 / 100, abs=tolerance / 5)  # printed with two digits more than tau^2
    assert pooled.q == pytest.approx(expected["Q"], abs=5e-4)


def test_reference_intervals_of_bcg(reference, bcg):
    expected = reference["MF02"]["expected"]
    assert pool(*bcg).prediction == pytest.approx(expected["PI95"], abs=1e-4)
    assert egger(*bcg).z == pytest.approx(expected["regtest_z"], abs=1e-4)


@pytest.mark.parametrize("method", ["DL", "HE", "HS", "SJ", "ML", "REML", "PM"])
def test_reference_clasp_by_every_method(reference, clasp, method):
    expected = reference["MF04"]["expected"]
    pooled = pool(*clasp, method)
    assert pooled.estimate == pytest.approx(expected["mu"][method], abs=5e-4)
    assert pooled.se == pytest.approx(expected["se"][method], abs=5e-4)
    if method == "ML":  # printed 0.0023 is where scoring stopped, tau^2 = 5e-6 before its maximum at 0
        assert pooled.tau2 == 0
        x = np.ones((6, 1))
        assert log_likelihood(*clasp, x, 0, False) > log_likelihood(*clasp, x, expected["tau"]["ML"] ** 2, False)
    else:
        assert math.sqrt(pooled.tau2) == pytest.approx(expected["tau"][method], abs=5e-4)


def test_reference_lengths_of_stay(reference):
    expected = reference["MF05"]["expected"]
    n, m, sd, n_, m_, sd_ = groups(reference["MF05"]["input"])
    y = m - m_
    unpooled = pool(y, sd**2 / n + sd_**2 / n_)
    df = n + n_ - 2
    sd_both = np.sqrt(((n - 1) * sd**2 + (n_ - 1) * sd_**2) / df)
    v = sd_both**2 * (1 / n + 1 / n_)
    pooled, dl = pool(y, v), pool(y, v, "DL")
    of_unpooled, of_pooled, of_dl = (expected[key] for key in ("REML_unpooled", "REML_pooled", "DL_pooled"))
    assert [unpooled.estimate, unpooled.se] == pytest.approx([of_unpooled["mu"], of_unpooled["se"]], abs=1e-4)
    assert unpooled.tau2 == pytest.approx(of_unpooled["tau2"], abs=1e-4)
    assert pooled.estimate == pytest.approx(of_pooled["mu"], abs=1e-4)
    assert pooled.ci == pytest.approx(of_pooled["ci"], abs=1e-4)
    assert pooled.tau2 == pytest.approx(of_pooled["tau2"], abs=1e-4)
    assert [dl.estimate, dl.tau2] == pytest.approx([of_dl["mu"], of_dl["tau2"]], abs=1e-4)
    g = np.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) * np.sqrt(2 / df) * y / sd_both
    standardised = pool(g, 1 / n + 1 / n_ + g**2 / (2 * (n + n_)))
    assert g == pytest.approx(expected["SMD_yi"], abs=1e-4)
    assert standardised.estimate == pytest.approx(expected["SMD_REML"]["mu"], abs=1e-4)
    assert standardised.tau2 == pytest.approx(expected["SMD_REML"]["tau2"], abs=1e-4)


def test_reference_restricted_likelihood_of_six_log_odds_ratios(reference):
    data, expected = json.loads(reference["ES10"]["input"]), reference["ES10"]["expected"]
    pooled = pool(data["y"], data["v"], data["method"])
    figures = [math.sqrt(pooled.tau2), pooled.estimate, pooled.se]
    assert figures == pytest.approx([expected["tau"], expected["mu"], expected["se"]], abs=1e-6)


def test_reference_four_trials(reference):
    data, expected = json.loads(reference["ES25"]["input"]), reference["ES25"]["expected"]
    for method, figures in expected.items():
        pooled = pool(data["y"], data["v"], method)
        assert [pooled.tau2, pooled.estimate] == pytest.approx([figures["tau2"], figures["mu"]], abs=1e-6)
    pooled, figures = pool(data["y"], data["v"]), expected["REML"]
    assert pooled.i2 == pytest.approx(figures["I2"] / 100, abs=1e-6)


# published reviews of cell treatment


@pytest.mark.parametrize(
    ("target", "huang", "liu"),
    [
        ("T06", (7.62, 2.44, 27, 2.96, 1.66, 27), None),
        ("T07", (7.62, 2.44, 27, 2.96, 1.66, 27), 1.70),
        ("T08", (10.27, 2.96, 27, 4.75, 1.45, 27), 1.57),
    ],
)
def test_reference_pooled_effect_of_eggenberger(published, target, huang, liu):
    """Changes of Eggenberger 2019, Table 3; the total of Liu 2017 has no SD: its d is what gives the pooled figures."""
    kang, min_, sun = (
        (7.08, 7.36, 17, 3.85, 3.75, 17),
        (9.1, 6.7, 31, 7.8, 5.1, 32),
        (7.5, 6.8, 32, 6.9, 5.5, 31),
    )
    effects = [cohen(*trial) for trial in (huang, kang, min_, sun)]
    effects += [] if liu is None else [(liu, variance_of_d(liu, 33, 35))]
    pooled = pool(*zip(*effects, strict=True), "DL")
    figures = [pooled.estimate, *pooled.ci, 100 * pooled.i2]
    for figure, (expected, tolerance) in zip(figures, published[target], strict=True):
        assert figure == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize(
    ("target", "event"), [("T30", "upper_respiratory_infection"), ("T31", "diarrhea"), ("T32", "constipation")]
)
def test_reference_risk_ratios_of_xie(published, target, event):
    tables = read_tables()
    (gu, huang), (gu_, huang_) = (
        [
            tables.where("events", study_id=study, arm_id=arm, event=event)[0]
            for study, arm in zip(("Gu2020", "Huang2018"), arms, strict=True)
        ]
        for arms in (("uc_msc", "ucb_msc"), ("ctrl", "ctrl"))
    )
    ratio = mantel_haenszel_risk_ratio(
        [gu["events"], huang["events"]],
        [gu["n"], huang["n"]],
        [gu_["events"], huang_["events"]],
        [gu_["n"], huang_["n"]],
    )
    for figure, (expected, tolerance) in zip(np.exp([ratio.estimate, *ratio.ci]), published[target], strict=True):
        assert figure == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize(
    ("target", "row"),
    [
        ("T38", {"meta_id": "Qu2022", "measure": "SMD"}),
        ("T39", {"meta_id": "Paton2025", "month": "3"}),
        ("T40", {"meta_id": "Paton2025", "month": "6"}),
        ("T42", {"meta_id": "FinchEdmondson2025", "month": "6"}),
    ],
)
def test_reference_p_of_published_intervals(published, target, row):
    (printed,) = read_tables().where("pooled", **row)
    ((expected, tolerance),) = published[target]
    assert expected == printed["p"]
    p = p_from_interval(printed["estimate"], printed["ci_low"], printed["ci_high"])
    assert p == pytest.approx(expected, abs=tolerance)


# known answers: equal variances, where every estimator has a closed form


@pytest.mark.parametrize("method", METHODS)
def test_known_tau2_of_equal_variances(method):
    y, v, k = np.array([0.2, 0.5, 1.1, 1.4, 2.9]), 0.3, 5
    s2 = y.var(ddof=1)
    expected = {"HS": s2 * (k - 1) / k - v, "ML": s2 * (k - 1) / k - v, "SJ": y.var() * s2 / (v + y.var())}
    assert tau2(y, np.full(k, v), method) == pytest.approx(expected.get(method, s2 - v), abs=1e-12)


def test_known_fixed_effect():
    pooled = pool([1.0, 4.0], [1.0, 2.0], "FE")
    assert pooled.estimate == pytest.approx(2, rel=1e-14)
    assert pooled.se == pytest.approx(math.sqrt(2 / 3), rel=1e-14)
    assert (pooled.tau2, pooled.prediction) == (0, None)
    assert pooled.q == pytest.approx(3, rel=1e-14)  # 1 + 4/2
    assert pooled.q_p == pytest.approx(2 * special.ndtr(-math.sqrt(3)), rel=1e-12)
    assert pooled.i2 == pytest.approx(1 - 1 / 3, rel=1e-12)


def test_known_one_study_is_pooled_to_itself():
    pooled = pool([2.0], [0.25])
    assert (pooled.estimate, pooled.se, pooled.tau2, pooled.q, pooled.k) == (2, 0.5, 0, 0, 1)
    assert pooled.ci == pytest.approx([2 - Z / 2, 2 + Z / 2], rel=1e-14)
    assert (pooled.q_p, pooled.i2, pooled.prediction) == (None, None, None)


def test_known_prediction_of_two_studies():
    y, v = [0.0, 3.0], [1.0, 1.0]  # tau^2 = s^2 - v = 3.5, se^2 = s^2 / 2
    half = Z * math.sqrt(3.5 + 2.25)
    assert pool(y, v).prediction == pytest.approx([1.5 - half, 1.5 + half], rel=1e-12)


def test_known_risk_ratio_of_one_stratum():
    ratio = mantel_haenszel_risk_ratio(10, 19, 14, 20)
    assert ratio.estimate == pytest.approx(math.log(10 / 19 / (14 / 20)), rel=1e-13)
    assert ratio.se == pytest.approx(math.sqrt(1 / 10 - 1 / 19 + 1 / 14 - 1 / 20), rel=1e-13)
    twice = mantel_haenszel_risk_ratio([10, 10], [19, 19], [14, 14], [20, 20], prob=0.8)
    half = special.ndtri(0.9) * ratio.se / math.sqrt(2)
    assert twice.ci == pytest.approx([ratio.estimate - half, ratio.estimate + half], rel=1e-12)


def test_known_risk_ratio_with_empty_cells():
    both = mantel_haenszel_risk_ratio([3, 0], [20, 30], [6, 0], [20, 10])
    assert both == mantel_haenszel_risk_ratio(3, 20, 6, 20)
    # by hand: R = 3/2 + 0, S = 6/2 + 1 * 10 / 20 = 3.5
    assert mantel_haenszel_risk_ratio([3, 0], [20, 10], [6, 1], [20, 10]).estimate == pytest.approx(math.log(1.5 / 3.5))


def test_known_egger_on_a_line():
    se = np.array([0.5, 1.0, 2.0, 3.0])
    found = egger(1.5 - 0.7 * se, se**2)
    assert [found.limit, found.slope, found.tau2] == pytest.approx([1.5, -0.7, 0], abs=1e-12)
    w = 1 / se**2
    slope_se = (w @ (se - w @ se / w.sum()) ** 2) ** -0.5
    assert [found.slope_se, found.z] == pytest.approx([slope_se, -0.7 / slope_se], rel=1e-12)
    assert found.p == pytest.approx(math.erfc(0.7 / slope_se / math.sqrt(2)), rel=1e-12)


def test_known_p_from_interval():
    assert p_from_interval(1, 0, 2) == pytest.approx(0.05, rel=1e-12)
    assert p_from_interval(-1, -2, 0, prob=0.9) == pytest.approx(0.1, rel=1e-12)
    assert p_from_interval(0, -1, 1) == 1
    assert p_from_interval(2, 1, 4, log=True) == pytest.approx(0.05, rel=1e-12)


# brute force


def test_known_paule_mandel_root_by_bisection(bcg):
    y, v = bcg
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        w = 1 / (v + middle)
        q = (w * (y - w @ y / w.sum()) ** 2).sum()
        low, high = (middle, high) if q > 12 else (low, middle)
    assert tau2(y, v, "PM") == pytest.approx(low, abs=1e-10)
    assert tau2(y, v, "PM") == pytest.approx(0.3180685, abs=5e-8)


@pytest.mark.parametrize("method", ["ML", "REML"])
@pytest.mark.parametrize("x", [np.ones((4, 1)), X4], ids=["mean", "regression"])
def test_known_likelihood_maximum_by_grid(method, x):
    grid = np.linspace(0, 30, 6001)
    values = [log_likelihood(*FOUR, x, t, method == "REML") for t in grid]
    assert 0 < np.argmax(values) < 6000
    assert tau2(*FOUR, method, x) == pytest.approx(grid[np.argmax(values)], abs=5e-3)  # the step of the grid


@pytest.mark.parametrize(
    ("y", "v"),
    [
        ([-1.5, 0.0, -1.4], [0.016, 0.327, 0.01]),  # maxima at 0, the higher one, and 0.31
        ([4.5, 0.0, 0.6, -2.1, -0.9], [6.718, 0.625, 3.548, 0.633, 0.001]),  # at 0 and 0.38, the higher one
        ([2.1, -1.2, -1.1], [0.675, 0.002, 0.01]),  # at 0.005 and 2.8, the higher one
        ([-2.0, -1.2, -1.2, -0.2], [1.089, 0.001, 0.009, 0.13]),  # at 0 and 0.15, the higher one: a narrow bracket
    ],
)
def test_known_highest_of_several_maxima(y, v):
    x = np.ones((len(y), 1))
    grid = np.append(0, np.geomspace(1e-6, 10, 8001))  # steps of 0.2 %
    values = np.array([log_likelihood(y, v, x, t, True) for t in grid])
    peaks = np.flatnonzero((values > np.append(-np.inf, values[:-1])) & (values > np.append(values[1:], -np.inf)))
    assert len(peaks) == 2
    assert tau2(y, v, "REML") == pytest.approx(grid[np.argmax(values)], rel=0.002)


@pytest.mark.parametrize("method", ["DL", "HE", "HS", "SJ", "PM"])
def test_known_moment_estimators_with_a_design_by_matrices(method):
    y, v = map(np.array, FOUR)
    y = 3 * y

    def projector(w):
        w = np.diag(w)
        return w - w @ X4 @ np.linalg.inv(X4.T @ w @ X4) @ X4.T @ w

    found = tau2(y, v, method, X4)
    p, flat, start = projector(1 / v), projector(np.ones(4)), y.var()
    expected = {
        "DL": (y @ p @ y - 2) / np.trace(p),
        "HE": (y @ flat @ y - np.trace(flat @ np.diag(v))) / 2,
        "HS": (y @ p @ y - 4) / (1 / v).sum(),
        "SJ": start * (y @ projector(1 / (v + start)) @ y) / 2,
    }
    if method == "PM":
        assert y @ projector(1 / (v + found)) @ y == pytest.approx(2, rel=1e-10)
    else:
        assert found == pytest.approx(expected[method], rel=1e-10)
    assert found > 1


def test_known_no_degree_of_freedom_is_left():
    assert {tau2([1.0, 5.0], [0.1, 0.2], method, [[1, 0], [1, 1]]) for method in METHODS} == {0}


# recovery


@pytest.mark.parametrize("method", ["DL", "HE", "REML", "PM"])
def test_recovery_of_tau2(method):
    random, k = np.random.default_rng(1), 40
    v = np.linspace(0.2, 2, k)
    found = [tau2(random.normal(1, np.sqrt(v + 1)), v, method) for _ in range(300)]
    assert np.mean(found) == pytest.approx(1, abs=4 * np.std(found) / math.sqrt(300))


def test_recovery_of_an_asymmetric_funnel():
    random, se = np.random.default_rng(3), np.linspace(0.2, 1.5, 30)
    found = [egger(random.normal(0.5 + 2 * se, np.sqrt(se**2 + 0.1)), se**2) for _ in range(200)]
    for figures, planted in (([f.slope for f in found], 2), ([f.limit for f in found], 0.5)):
        assert np.mean(figures) == pytest.approx(planted, abs=4 * np.std(figures) / math.sqrt(200))


# properties

EFFECT, VARIANCE = st.integers(-80, 80).map(lambda i: i / 10), st.integers(1, 900).map(lambda i: i / 100)
STUDIES = st.lists(st.tuples(EFFECT, VARIANCE), min_size=3, max_size=9).map(lambda rows: np.array(rows).T)


@given(data=STUDIES, method=st.sampled_from(METHODS), scale=st.sampled_from([0.01, 3.0, 100.0]))
@settings(max_examples=examples(30, 100), deadline=None)
def test_tau2_scales_shifts_and_forgets_sign_and_order(data, method, scale):
    y, v = data
    found = tau2(y, v, method)
    # roots are found to 1e-14 of v; where a likelihood is flat, rounding of y moves them by more
    near = {"rel": 1e-7, "abs": 1e-9}
    assert found >= 0
    assert tau2(y * scale, v * scale**2, method) / scale**2 == pytest.approx(found, **near)
    assert tau2(y + 17, v, method) == pytest.approx(found, **near)
    assert tau2(-y[::-1], v[::-1], method) == pytest.approx(found, **near)


@given(data=STUDIES, method=st.sampled_from([*METHODS, "FE"]))
@settings(max_examples=examples(30, 100), deadline=None)
def test_a_pool_stays_inside_its_effects(data, method):
    y, v = data
    pooled = pool(y, v, method)
    assert y.min() - 1e-9 <= pooled.estimate <= y.max() + 1e-9
    assert pooled.ci[0] <= pooled.estimate <= pooled.ci[1]
    assert 0 <= pooled.i2 < 1
    assert 0 <= pooled.q_p <= 1
    assert (pooled.prediction is None) == (method == "FE")
    if pooled.prediction:
        assert pooled.prediction[0] <= pooled.ci[0]
        assert pooled.ci[1] <= pooled.prediction[1]
    mirrored = pool(-y, v, method)
    assert mirrored.ci == pytest.approx([-end for end in pooled.ci[::-1]], rel=1e-6, abs=1e-8)


@given(data=STUDIES)
@settings(max_examples=examples(30, 100), deadline=None)
def test_i2_of_dersimonian_laird_and_fixed_effect_is_the_excess_of_q(data):
    k = data.shape[1]
    for method in ("DL", "FE"):
        pooled = pool(*data, method)
        assert pooled.i2 == pytest.approx(max(0, 1 - (k - 1) / pooled.q) if pooled.q else 0, abs=1e-9)


@given(effect=EFFECT, variances=st.lists(VARIANCE, min_size=2, max_size=9), method=st.sampled_from(METHODS))
@settings(max_examples=examples(30, 100), deadline=None)
def test_equal_effects_have_no_heterogeneity(effect, variances, method):
    pooled = pool(np.full(len(variances), effect), variances, method)
    assert [pooled.tau2, pooled.i2, pooled.estimate - effect] == pytest.approx([0, 0, 0], abs=1e-12)


# wrong arguments


@pytest.mark.parametrize(
    ("y", "v", "reason"),
    [
        ([1, 2], [1], r"y \(2,\) and v \(1,\)"),
        ([[1, 2]], [[1, 2]], "two lists of one length"),
        ([], [], "0 effects: pooling needs at least 1"),
        ([1, math.nan], [1, 1], "finite effects"),
        ([1, 2], [1, 0], "variances above 0"),
        ([1, 2], [1, -1], "variances above 0"),
        ([1, 2], [1, math.inf], "variances above 0"),
    ],
)
def test_wrong_effects_are_refused(y, v, reason):
    for call in (pool, lambda y, v: tau2(y, v, "DL")):
        with pytest.raises(ValueError, match=reason):
            call(y, v)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: tau2(*FOUR, "FE"), "method 'FE' is unknown"),
        (lambda: tau2(*FOUR, "rml"), "method 'rml' is unknown: nearest: REML"),
        (lambda: pool(*FOUR, "D-L"), "method 'D-L' is unknown: nearest: DL"),
        (lambda: tau2(*FOUR, "DL", np.ones((3, 1))), r"X \(3, 1\): need 4 rows"),
        (lambda: tau2(*FOUR, "DL", np.ones((4, 2))), "independent columns"),
        (lambda: tau2(*FOUR, "DL", np.ones((4, 0))), "independent columns"),
        (lambda: tau2(*FOUR, "DL", np.full((4, 1), np.nan)), "finite numbers"),
        (lambda: pool(*FOUR, prob=1), "prob 1: need a probability"),
        (lambda: pool(*FOUR, prob=95), "prob 95: need a probability"),
        (lambda: egger([1, 2], [1, 2]), "2 effects: a regression on the standard error needs at least 3"),
        (lambda: egger([1, 2, 3], [2, 2, 2]), "v = 2 for every study"),
        (lambda: mantel_haenszel_risk_ratio([1, 2], [10], [1], [10]), "need one length"),
        (lambda: mantel_haenszel_risk_ratio(11, 10, 1, 10), "a of n1 = .* 0 <= events <= n"),
        (lambda: mantel_haenszel_risk_ratio(1, 10, math.nan, 10), "c of n2"),
        (lambda: mantel_haenszel_risk_ratio(1, 10, 0, 10), "need an event in each arm"),
        (lambda: mantel_haenszel_risk_ratio(9, 9, 10, 10), "need an event in each arm and a child without one"),
        (lambda: p_from_interval(3, 0, 2), "a finite interval around the estimate"),
        (lambda: p_from_interval(1, 1, 1), "a finite interval around the estimate"),
        (lambda: p_from_interval(1, 0, 2, log=True), "positive ratios"),
    ],
)
def test_wrong_arguments_are_refused(call, reason):
    with pytest.raises(ValueError, match=reason):
        call()
