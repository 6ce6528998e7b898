"""Effects and their variances: published figures, least squares, simulated trials, and how they must move."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmfmsim.evidence.formulas.conversions import pooled_sd
from gmfmsim.evidence.formulas.effect_sizes import (
    Effect,
    PrePost,
    ancova_difference,
    cohen_d,
    covariance_repeated,
    covariance_shared_control_md,
    covariance_shared_control_smd,
    difference,
    glass_delta,
    hedges_g,
    hedges_g_se,
    log_cv_ratio,
    log_odds_ratio,
    log_risk_ratio,
    log_sd,
    log_variability_ratio,
    mean_change,
    mean_difference,
    pre_post_control,
    small_sample_factor,
    smd_heteroscedastic,
    standardized_mean_change,
    standardized_mean_change_raw,
)

SIZES = st.integers(3, 10_000)
SDS = st.floats(0.1, 100)
MEANS = st.floats(1, 1000)
GROUPS = st.tuples(MEANS, SDS, SIZES)
CHANGES = st.builds(PrePost, MEANS, MEANS, SDS, SDS, SIZES, st.floats(-0.99, 0.99))
EVENTS = st.integers(1, 1000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
FACTORS = st.floats(0.1, 10)
SHIFTS = st.floats(0, 100)


def pooled_mean_difference(*groups):
    return mean_difference(*groups, pooled=True)


def glass(m1, sd1, n1, m2, sd2, n2):
    return glass_delta(m1, n1, m2, sd2, n2)


def variability(m1, sd1, n1, m2, sd2, n2):
    return log_variability_ratio(sd1, n1, sd2, n2)


DIFFERENCES = [mean_difference, pooled_mean_difference]
STANDARDIZED = [cohen_d, hedges_g, smd_heteroscedastic, glass]
RATIOS = [variability, log_cv_ratio]
ONE_GROUP = [mean_change, standardized_mean_change, standardized_mean_change_raw]
TWO_CHANGES = [pre_post_control, ancova_difference]


def near(value, rel: float = 1e-9, abs: float = 1e-11):
    return pytest.approx(value, rel=rel, abs=abs)


def valid_effect(effect: Effect) -> bool:
    return math.isfinite(effect.estimate) and 0 < effect.variance < math.inf


def least_squares(before, after, active) -> tuple[float, float]:
    """The treatment coefficient of after ~ 1 + active + before and its variance."""
    design = np.column_stack([np.ones(active.size), active, before])
    inverse = np.linalg.inv(design.T @ design)
    beta = inverse @ design.T @ after
    residual = after - design @ beta
    return beta[1], inverse[1, 1] * (residual @ residual) / (active.size - 3)


# known answers


def test_known_two_group_effects():
    """Worked by hand: SDs 8, 16 children a group, 4 points apart."""
    groups = (14, 8, 16, 10, 8, 16)
    assert mean_difference(*groups) == mean_difference(*groups, pooled=True) == Effect(4, 8)
    assert cohen_d(*groups) == near((0.5, 32 / 256 + 0.25 / 60))
    assert mean_difference(5, 3, 9, 5, 4, 4) == Effect(0, 5)
    assert mean_difference(5, 3, 9, 5, 4, 4, pooled=True) == near((0, 120 / 11 * (1 / 9 + 1 / 4)))


def test_known_small_sample_factors():
    """Gamma at whole and half numbers."""
    root = math.sqrt(math.pi)
    exact = [1 / root, root / 2 / math.sqrt(1.5), math.sqrt(2) / root, 0.75 * root / math.sqrt(2.5)]
    assert small_sample_factor([2, 3, 4, 5]) == near(exact)


@given(df=st.floats(1.5, 1e8))
def test_known_recursion_of_the_small_sample_factor(df):
    """J(m) J(m + 1) = (m - 1) / sqrt(m (m + 1)), from Gamma(x + 1) = x Gamma(x)."""
    assert small_sample_factor(df) * small_sample_factor(df + 1) == near((df - 1) / math.sqrt(df * (df + 1)))


def test_known_approximation_of_the_small_sample_factor():
    df = np.arange(10, 1000)
    assert np.all(np.abs(small_sample_factor(df) - (1 - 3 / (4 * df - 1))) < 0.05 / df**2)


def test_known_log_ratios_of_the_first_two_vaccine_trials():
    """Aronson 1948 and Ferguson 1949, as printed for metafor's dat.bcg: log RR and log OR, estimate and variance."""
    trials = ([4, 6], [123, 306], [11, 29], [139, 303])
    risk, odds = [[-0.8893, -1.5854], [0.3256, 0.1946]], [[-0.9387, -1.6662], [0.3571, 0.2081]]
    assert np.array(log_risk_ratio(*trials)) == pytest.approx(np.array(risk), abs=5e-5)
    assert np.array(log_odds_ratio(*trials)) == pytest.approx(np.array(odds), abs=5e-5)


def test_known_log_ratios_with_an_empty_cell():
    """0.5 goes to all four cells of the table with a zero, and of no other table."""
    odds, risk = (f([0, 4], [10, 20], [5, 2], [10, 20]) for f in (log_odds_ratio, log_risk_ratio))
    assert odds.estimate == near([math.log(0.5 / 10.5), math.log(4 / 16 / (2 / 18))])
    assert odds.variance == near([2 + 1 / 10.5 + 2 / 5.5, 1 / 4 + 1 / 16 + 1 / 2 + 1 / 18])
    assert risk.estimate == near([math.log(0.5 / 5.5), math.log(2)])
    assert risk.variance == near([2 + 1 / 5.5 - 2 / 11, 1 / 4 + 1 / 2 - 2 / 20])
    assert log_odds_ratio(0, 9, 0, 9) == near((0, 4 + 2 / 9.5))
    assert log_odds_ratio(9, 9, 9, 9) == near((0, 4 + 2 / 9.5))
    assert log_risk_ratio(9, 9, 9, 9).estimate == 0
    assert log_risk_ratio(9, 9, 3, 9).variance == near(1 / 9.5 + 1 / 3.5 - 2 / 10)


def test_known_changes():
    """SDs 3 and 4 without correlation change with SD 5."""
    assert mean_change(50, 54, 3, 4, 25, 0) == Effect(4, 1)
    g = small_sample_factor(24) * 4 / 5
    assert standardized_mean_change(50, 54, 3, 4, 25, 0) == near((g, 1 / 25 + g**2 / 50))
    assert difference(Effect(3, 2), Effect(1, 5)) == Effect(2, 7)
    g = small_sample_factor(48) * 5 / 10
    both = pre_post_control(PrePost(50, 58, 10, 11, 20, 0.5), PrePost(50, 53, 10, 12, 30, 0.75))
    assert both == near((g, 1 / 20 + 0.5 / 30 + g**2 / 100))


def test_known_covariances():
    assert covariance_shared_control_md(6, 9) == 4
    assert covariance_shared_control_smd(0.5, -0.4, 20, 50) == near(0.05 - 0.2 / 100)
    assert covariance_repeated(2, 3, 0.5) == 3


def test_known_ancova_of_one_covariance_in_both_groups():
    """b = r sd_post / sd_pre; the variance is that of a final mean difference times 1 - r^2."""
    active, control = PrePost(50, 58, 10, 12, 40, 0.6), PrePost(50, 55, 10, 12, 50, 0.6)
    assert ancova_difference(active, control) == near((3, 144 * 0.64 * 88 / 87 * (1 / 40 + 1 / 50)))
    better = ancova_difference(active._replace(m_pre=52), control)
    assert better.estimate == near(3 - 2 * 0.6 * 1.2)
    assert better.variance == near(144 * 0.64 * 88 / 87 * (1 / 40 + 1 / 50 + 4 / 8800))


@given(seed=st.integers(0, 2**32), n1=st.integers(3, 40), n2=st.integers(3, 40), shift=st.floats(-20, 20))
def test_known_ancova_is_least_squares_on_the_children(seed, n1, n2, shift):
    rng = np.random.default_rng(seed)
    before, after = rng.multivariate_normal([0, 3], [[100, 70], [70, 90]], n1 + n2).T
    active = np.repeat([1.0, 0.0], [n1, n2])
    before, after = before + shift * active, after * (1 + active)
    groups = [
        PrePost(b.mean(), a.mean(), b.std(ddof=1), a.std(ddof=1), b.size, np.corrcoef(b, a)[0, 1])
        for b, a in ((before[active == k], after[active == k]) for k in (1, 0))
    ]
    # rel: the residual is a small difference of squares when six children fall on a line
    assert ancova_difference(*groups) == near(least_squares(before, after, active), rel=1e-6, abs=1e-8)


# other systems' numbers


def test_reference_mf05_length_of_stay(reference):
    target = reference["MF05"]
    rows = target["input"].split(": ")[1].strip("()").split(")(")
    n1, m1, sd1, n2, m2, sd2 = np.array([row.split(",") for row in rows], float).T
    groups, expected = (m1, sd1, n1, m2, sd2, n2), target["expected"]
    assert n1.size == 9
    assert mean_difference(*groups).variance == pytest.approx(expected["MD_unpooled_v"], abs=1e-4)
    assert mean_difference(*groups, pooled=True).variance == pytest.approx(expected["MD_pooled_sd_v"], abs=1e-4)
    assert hedges_g(*groups).estimate == pytest.approx(expected["SMD_yi"], abs=1e-4)


def test_reference_mf10_changes_of_two_groups(reference):
    target = reference["MF10"]
    groups = json.loads(target["input"])["Morris2008 pre-post-control"]
    active, control = (PrePost(**{k: np.array(v) for k, v in groups[arm].items()}) for arm in "TC")
    raw = difference(standardized_mean_change_raw(*active), standardized_mean_change_raw(*control))
    own = difference(standardized_mean_change(*active), standardized_mean_change(*control))
    expected = target["expected"]
    assert raw.estimate == pytest.approx(expected["SMCR_diff"], abs=1e-4)
    assert raw.variance == pytest.approx(expected["SMCR_diff_v"], abs=1e-4)
    assert own.estimate == pytest.approx(expected["SMCC_diff"], abs=1e-4)
    assert pre_post_control(active, control).estimate == pytest.approx(expected["dPPC2_pooled_pre_sd"], abs=1e-4)
    assert mean_change(*active).variance == pytest.approx(expected["MC_T_vi"], rel=1e-6)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        *(("MD", mean_difference), ("SMD", hedges_g), ("SMDH", smd_heteroscedastic), ("SMD1", glass)),
        *(("lnVR", variability), ("lnCVR", log_cv_ratio)),
        ("lnSD(5,n=30)", lambda m1, sd1, n1, m2, sd2, n2: log_sd(sd1, n1)),
    ],
)
def test_reference_mf13_effects_of_one_trial(reference, name, function):
    target = reference["MF13"]
    assert function(**json.loads(target["input"])) == pytest.approx(target["expected"][name], abs=1e-6)


def test_reference_es27_three_doses_against_one_control(reference):
    """Study 1 of ari.csv. Effects use the SD pooled over all four groups, the covariance the control's own."""
    with (Path(__file__).parent / "reference" / "ari.csv").open(encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["id"] == "1"]
    mean, sd, n = (np.array([r[key] for r in rows], float) for key in ("y", "sd", "n"))
    expected, sd_all, total = reference["ES27"]["expected"], pooled_sd(sd, n), n.sum()
    groups = (mean[1:], sd_all, n[1:], mean[0], sd_all, n[0])
    md, d = mean_difference(*groups), cohen_d(*groups).estimate
    assert md.estimate == pytest.approx(expected["md"], abs=1e-5)
    assert md.variance == pytest.approx(expected["v_md"], abs=1e-5)
    assert covariance_shared_control_md(sd[0], n[0]) == pytest.approx(expected["cov_md_published"], abs=1e-5)
    assert covariance_shared_control_md(sd_all, n[0]) == pytest.approx(3.946417, abs=1e-6)  # its note
    assert d == pytest.approx(expected["smd"], abs=1e-5)
    own = 1 / n[1:] + covariance_shared_control_smd(d, d, n[0], total)
    assert own == pytest.approx(expected["v_smd"], abs=1e-5)
    shared = covariance_shared_control_smd(d[0], d[1], n[0], total)
    assert shared == pytest.approx(expected["cov_smd_12"], abs=1e-5)


# recovery: simulated trials, the variance of the estimates against the mean estimated variance


TRIALS, N1, N2 = 6000, 120, 160


@pytest.fixture(scope="module")
def trials() -> tuple[PrePost, PrePost]:
    """The groups of 6000 trials: SD 10 before and after, r 0.6; +12 points under treatment, +2 under control."""
    rng = np.random.default_rng(2008)

    def group(n: int, m_post: float) -> PrePost:
        z = rng.standard_normal((2, n, TRIALS))
        before, after = 50 + 10 * z[0], m_post + 10 * (0.6 * z[0] + 0.8 * z[1])
        m_pre, m_post, sd_pre, sd_post = before.mean(0), after.mean(0), before.std(0, ddof=1), after.std(0, ddof=1)
        product = ((before - m_pre) * (after - m_post)).sum(0) / (n - 1)
        return PrePost(m_pre, m_post, sd_pre, sd_post, n, product / (sd_pre * sd_post))

    return group(N1, 62), group(N2, 52)


def assert_recovers(effect: Effect, truth: float) -> None:
    """Unbiased, and its variance that of the trials, within four Monte Carlo errors."""
    spread = effect.estimate.var(ddof=1)
    assert effect.estimate.mean() == pytest.approx(truth, abs=4 * math.sqrt(spread / TRIALS))
    assert effect.variance.mean() == pytest.approx(spread, rel=4 * math.sqrt(2 / TRIALS))


@pytest.mark.parametrize(
    ("function", "truth"),
    [
        *((mean_difference, 10), (pooled_mean_difference, 10), (hedges_g, 1), (smd_heteroscedastic, 1), (glass, 1)),
        *((variability, 0), (log_cv_ratio, math.log(52 / 62))),
        (cohen_d, 1 / small_sample_factor(N1 + N2 - 2)),
    ],
)
def test_recovery_of_an_effect_after_treatment(trials, function, truth):
    active, control = ((g.m_post, g.sd_post, g.n) for g in trials)
    assert_recovers(function(*active, *control), truth)


@pytest.mark.parametrize(("function", "truth"), [(pre_post_control, 1), (ancova_difference, 10)])
def test_recovery_of_an_effect_given_both_times(trials, function, truth):
    assert_recovers(function(*trials), truth)


@pytest.mark.parametrize(
    ("function", "truth"),
    [(mean_change, 12), (standardized_mean_change, 12 / math.sqrt(80)), (standardized_mean_change_raw, 1.2)],
)
def test_recovery_of_the_change_of_one_group(trials, function, truth):
    assert_recovers(function(*trials[0]), truth)


def test_recovery_of_the_log_sd(trials):
    assert_recovers(Effect(*np.broadcast_arrays(*log_sd(trials[0].sd_post, N1))), math.log(10))


def test_recovery_of_the_heteroscedastic_effect_where_sds_differ():
    rng = np.random.default_rng(3)
    means = rng.normal(8, 20 / math.sqrt(N1), TRIALS), rng.normal(0, 10 / math.sqrt(N2), TRIALS)
    sds = (sd * np.sqrt(rng.chisquare(n - 1, TRIALS) / (n - 1)) for sd, n in ((20, N1), (10, N2)))
    groups = [x for group in zip(means, sds, (N1, N2), strict=True) for x in group]
    assert_recovers(smd_heteroscedastic(*groups), 8 / math.sqrt(250))


def test_recovery_of_the_log_ratios():
    rng = np.random.default_rng(4)
    events = rng.binomial(400, 0.3, TRIALS), 400, rng.binomial(500, 0.2, TRIALS), 500
    # the bias of a log ratio, of the order of 1 / events, is below one Monte Carlo error here
    assert_recovers(log_odds_ratio(*events), math.log(0.3 / 0.7 / (0.2 / 0.8)))
    assert_recovers(log_risk_ratio(*events), math.log(1.5))


def test_recovery_of_the_covariance_by_a_shared_control():
    rng = np.random.default_rng(5)
    n = np.array([60, 80, 100])
    mean = rng.normal([0, 15, 10], 10 / np.sqrt(n), (TRIALS, 3))
    sd = 10 * np.sqrt(rng.chisquare(n - 1, (TRIALS, 3)) / (n - 1))
    md = mean[:, 1:] - mean[:, :1]
    d = md / pooled_sd(sd, n)[:, None]
    for effects, expected in (
        (md, covariance_shared_control_md(sd[:, 0], 60).mean()),
        (d, covariance_shared_control_smd(*d.T, 60, 240).mean()),
    ):
        (v1, c), (_, v2) = np.cov(effects.T)
        assert expected == pytest.approx(c, abs=4 * math.sqrt((v1 * v2 + c**2) / TRIALS))


# properties


@pytest.mark.parametrize("function", [*DIFFERENCES, *STANDARDIZED, *RATIOS])
@given(first=GROUPS, second=GROUPS, factor=FACTORS, shift=SHIFTS)
def test_effects_of_two_groups_move_as_they_must(function, first, second, factor, shift):
    (m1, sd1, n1), (m2, sd2, n2) = first, second
    effect = function(*first, *second)
    assert valid_effect(effect)
    scaled = function(factor * m1, factor * sd1, n1, factor * m2, factor * sd2, n2)
    unit = factor if function in DIFFERENCES else 1
    assert scaled == near((unit * effect.estimate, unit**2 * effect.variance), abs=1e-9)
    if function is not glass:
        assert function(*second, *first) == near((-effect.estimate, effect.variance))
    if function is not log_cv_ratio:
        # abs: the rounding of means near 1000, in the smallest SDs
        assert function(m1 + shift, sd1, n1, m2 + shift, sd2, n2) == near(effect, rel=1e-7, abs=1e-9)
    if function not in RATIOS:
        assert function(-m1, sd1, n1, -m2, sd2, n2) == near((-effect.estimate, effect.variance))
        assert (effect.estimate > 0) == (m1 > m2)


@given(first=GROUPS, second=GROUPS)
def test_g_is_smaller_than_d_and_of_its_sign(first, second):
    d, g = (f(*first, *second).estimate for f in (cohen_d, hedges_g))
    assert abs(g) <= abs(d)
    assert g * d >= 0


@pytest.mark.parametrize("function", ONE_GROUP)
@given(group=CHANGES, factor=FACTORS, shift=SHIFTS)
def test_changes_move_as_they_must(function, group, factor, shift):
    m_pre, m_post, sd_pre, sd_post, n, r = group
    effect = function(*group)
    assert valid_effect(effect)
    unit = factor if function is mean_change else 1
    scaled = function(factor * m_pre, factor * m_post, factor * sd_pre, factor * sd_post, n, r)
    assert scaled == near((unit * effect.estimate, unit**2 * effect.variance), abs=1e-9)
    assert function(m_pre + shift, m_post + shift, sd_pre, sd_post, n, r) == near(effect, rel=1e-7, abs=1e-9)
    back = function(-m_pre, -m_post, sd_pre, sd_post, n, r)
    assert back == near((-effect.estimate, effect.variance))


@pytest.mark.parametrize("function", TWO_CHANGES)
@given(first=CHANGES, second=CHANGES, factor=FACTORS, shift=SHIFTS)
def test_effects_of_two_changes_move_as_they_must(function, first, second, factor, shift):
    effect = function(first, second)
    assert valid_effect(effect)
    assert function(second, first) == near((-effect.estimate, effect.variance))
    unit = factor if function is ancova_difference else 1
    scaled = (PrePost(*(factor * x for x in g[:4]), *g[4:]) for g in (first, second))
    assert function(*scaled) == near((unit * effect.estimate, unit**2 * effect.variance), rel=1e-8, abs=1e-8)
    moved = (g._replace(m_pre=g.m_pre + shift, m_post=g.m_post + shift) for g in (first, second))
    assert function(*moved) == near(effect, rel=1e-7, abs=1e-8)


@pytest.mark.parametrize("function", [log_odds_ratio, log_risk_ratio])
@given(first=EVENTS, second=EVENTS)
def test_log_ratios_are_finite_and_turn_with_the_groups(function, first, second):
    effect = function(*first, *second)
    assert valid_effect(effect)
    assert function(*second, *first) == near((-effect.estimate, effect.variance))


@given(first=EVENTS, second=EVENTS)
def test_counting_the_others_turns_the_odds_ratio(first, second):
    (a, n1), (c, n2) = first, second
    effect = log_odds_ratio(a, n1, c, n2)
    assert log_odds_ratio(n1 - a, n1, n2 - c, n2) == near((-effect.estimate, effect.variance))


@given(sd=SDS, n=SIZES, factor=FACTORS)
def test_a_log_sd_shifts_with_the_log_of_the_unit(sd, n, factor):
    effect = log_sd(sd, n)
    assert valid_effect(effect)
    assert log_sd(factor * sd, n) == near((effect.estimate + math.log(factor), effect.variance))


@given(
    se=st.tuples(SDS, SDS), g=st.tuples(st.floats(-3, 3), st.floats(-3, 3)), n=st.tuples(SIZES, SIZES, SIZES),
    r=st.floats(-0.99, 0.99),
)  # fmt: skip
def test_covariances_are_smaller_than_the_variances_allow(se, g, n, r):
    assert abs(covariance_repeated(*se, r)) < se[0] * se[1]
    assert covariance_repeated(*se, r) == near(covariance_repeated(*se[::-1], r))
    assert 0 < covariance_shared_control_md(se[0], n[0]) < mean_difference(0, se[1], n[1], 0, se[0], n[0]).variance
    shared, v1, v2 = (covariance_shared_control_smd(a, b, n[0], sum(n)) for a, b in (g, (g[0],) * 2, (g[1],) * 2))
    assert shared**2 < (v1 + 1 / n[1]) * (v2 + 1 / n[2])


@given(groups=st.lists(GROUPS, min_size=1, max_size=4), control=GROUPS)
def test_arrays_give_what_their_numbers_give(groups, control):
    together = hedges_g(*np.array(groups).T, *control)
    alone = [hedges_g(*group, *control) for group in groups]
    assert together.estimate == near([effect.estimate for effect in alone])
    assert together.variance == near([effect.variance for effect in alone])
    assert isinstance(alone[0].estimate, float)


# what is refused


GROUP, BEFORE_AFTER = (10, 5, 30), (50, 55, 10, 10, 30, 0.5)


@pytest.mark.parametrize("function", [mean_difference, cohen_d, hedges_g, smd_heteroscedastic, log_cv_ratio])
@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ((math.nan, 5, 30, *GROUP), "m1 = nan: must be a finite number"),
        ((10, 0, 30, *GROUP), "sd1 = 0: must be a finite number above 0"),
        ((10, 5, 1, *GROUP), "n1 = 1: must be a finite number at least 2"),
        ((*GROUP, math.inf, 5, 30), "m2 = inf: must be a finite number"),
        ((*GROUP, 10, [5, -5], 30), "sd2 = -5: must be a finite number above 0"),
        ((*GROUP, 10, 5, math.nan), "n2 = nan: must be a finite number at least 2"),
    ],
)
def test_two_groups_that_cannot_be_are_refused(function, groups, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        function(*groups)


@pytest.mark.parametrize("function", ONE_GROUP)
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"m_pre": math.nan}, "m_pre = nan: must be a finite number"),
        ({"m_post": math.inf}, "m_post = inf: must be a finite number"),
        ({"sd_pre": 0}, "sd_pre = 0: must be a finite number above 0"),
        ({"sd_post": -1}, "sd_post = -1: must be a finite number above 0"),
        ({"n": 1}, "n = 1: must be a finite number at least [23]"),
        ({"r": 1}, "r = 1: must be a finite number above -1 and below 1"),
    ],
)
def test_changes_that_cannot_be_are_refused(function, changed, message):
    group = PrePost(*BEFORE_AFTER)
    with pytest.raises(ValueError, match=f"^{message}$"):
        function(*group._replace(**changed))
    for both in TWO_CHANGES:
        with pytest.raises(ValueError, match=rf"^active\.{message}$"):
            both(group._replace(**changed), group)
        with pytest.raises(ValueError, match=rf"^control\.{message}$"):
            both(group, group._replace(**changed))


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (log_cv_ratio, (0, 5, 30, *GROUP), "m1 = 0: must be a finite number above 0"),
        (log_cv_ratio, (*GROUP, -3, 5, 30), "m2 = -3: must be a finite number above 0"),
        (log_variability_ratio, (0, 30, 5, 30), "sd1 = 0: must be a finite number above 0"),
        (log_variability_ratio, (5, 30, 5, 1), "n2 = 1: must be a finite number at least 2"),
        (log_sd, (0, 30), "sd = 0: must be a finite number above 0"),
        (log_sd, (5, 1), "n = 1: must be a finite number at least 2"),
        (glass_delta, (10, 30, 7, 0, 28), "sd2 = 0: must be a finite number above 0"),
        (glass_delta, (10, 30, 7, 6, 2), "n2 = 2: must be a finite number at least 3"),
        (small_sample_factor, (1,), "df = 1: must be a finite number above 1"),
        (standardized_mean_change, (50, 55, 10, 10, 2, 0.5), "n = 2: must be a finite number at least 3"),
        (log_odds_ratio, (-1, 10, 1, 10), "a = -1: must be a finite number at least 0"),
        (log_odds_ratio, (1, 10, math.nan, 10), "c = nan: must be a finite number at least 0"),
        (log_odds_ratio, (11, 10, 1, 10), "n1 = 10: must be a finite number at least 11"),
        (log_risk_ratio, (1, 10, 11, 10), "n2 = 10: must be a finite number at least 11"),
        (log_risk_ratio, (0, 0, 1, 10), "n1 = 0: must be a finite number at least 1"),
        (covariance_shared_control_md, (0, 10), "sd0 = 0: must be a finite number above 0"),
        (covariance_shared_control_md, (1, 1), "n0 = 1: must be a finite number at least 2"),
        (covariance_shared_control_smd, (math.nan, 1, 10, 30), "g1 = nan: must be a finite number"),
        (covariance_shared_control_smd, (1, 1, 30, 30), "n_total = 30: must be a finite number above 30"),
        (covariance_repeated, (1, 1, -1), "r = -1: must be a finite number above -1 and below 1"),
        (covariance_repeated, (1, 0, 0.5), "se2 = 0: must be a finite number above 0"),
    ],
)
def test_what_cannot_be_is_refused_by_name(function, arguments, message):
    with pytest.raises(ValueError, match=r" = ") as refused:
        function(*arguments)
    assert str(refused.value) == message


def test_known_standard_error_of_g_in_the_tables():
    """n 10 and 10, d 1: se(d)^2 = 0.2 + 1/40; J(18) = Gamma(9) / (3 Gamma(8.5)), Gamma(8.5) = 14034.40729."""
    j = 40320 / (3 * 14034.40729)
    assert hedges_g_se(j, 10, 10) == pytest.approx(j * math.sqrt(0.225), rel=1e-8)
