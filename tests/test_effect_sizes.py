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
    cohen_d,
    hedges_g,
    hedges_g_se,
    log_sd,
    mean_difference,
    small_sample_factor,
)

SIZES = st.integers(3, 10_000)
SDS = st.floats(0.1, 100)
MEANS = st.floats(1, 1000)
GROUPS = st.tuples(MEANS, SDS, SIZES)
FACTORS = st.floats(0.1, 10)
SHIFTS = st.floats(0, 100)


def near(value, rel: float = 1e-9, abs: float = 1e-11):
    return pytest.approx(value, rel=rel, abs=abs)


def valid_effect(effect: Effect) -> bool:
    return math.isfinite(effect.estimate) and 0 < effect.variance < math.inf


# known answers


def test_known_two_group_effects():
    """Worked by hand: SDs 8, 16 children a group, 4 points apart."""
    groups = (14, 8, 16, 10, 8, 16)
    assert mean_difference(*groups) == Effect(4, 8)
    assert cohen_d(*groups) == near((0.5, 32 / 256 + 0.25 / 60))
    assert mean_difference(5, 3, 9, 5, 4, 4) == Effect(0, 5)


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


# other systems' numbers


def test_reference_mf05_length_of_stay(reference):
    target = reference["MF05"]
    rows = target["input"].split(": ")[1].strip("()").split(")(")
    n1, m1, sd1, n2, m2, sd2 = np.array([row.split(",") for row in rows], float).T
    groups, expected = (m1, sd1, n1, m2, sd2, n2), target["expected"]
    assert n1.size == 9
    assert mean_difference(*groups).variance == pytest.approx(expected["MD_unpooled_v"], abs=1e-4)
    assert hedges_g(*groups).estimate == pytest.approx(expected["SMD_yi"], abs=1e-4)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        *(("MD", mean_difference), ("SMD", hedges_g)),
        ("lnSD(5,n=30)", lambda m1, sd1, n1, m2, sd2, n2: log_sd(sd1, n1)),
    ],
)
def test_reference_mf13_effects_of_one_trial(reference, name, function):
    target = reference["MF13"]
    assert function(**json.loads(target["input"])) == pytest.approx(target["expected"][name], abs=1e-6)


def test_reference_es27_three_doses_against_one_control(reference):
    """Study 1 of ari.csv. Effects use the SD pooled over all four groups."""
    with (Path(__file__).parent / "reference" / "ari.csv").open(encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["id"] == "1"]
    mean, sd, n = (np.array([r[key] for r in rows], float) for key in ("y", "sd", "n"))
    expected, sd_all = reference["ES27"]["expected"], pooled_sd(sd, n)
    groups = (mean[1:], sd_all, n[1:], mean[0], sd_all, n[0])
    md, d = mean_difference(*groups), cohen_d(*groups).estimate
    assert md.estimate == pytest.approx(expected["md"], abs=1e-5)
    assert md.variance == pytest.approx(expected["v_md"], abs=1e-5)
    assert d == pytest.approx(expected["smd"], abs=1e-5)


# recovery: simulated trials, the variance of the estimates against the mean estimated variance


TRIALS, N1, N2 = 6000, 120, 160


@pytest.fixture(scope="module")
def trials() -> tuple[tuple, tuple]:
    """Mean, SD and n of the groups of 6000 trials: SD 10, 62 points under treatment, 52 under control."""
    rng = np.random.default_rng(2008)

    def group(n: int, mean: float) -> tuple:
        after = mean + 10 * rng.standard_normal((n, TRIALS))
        return after.mean(0), after.std(0, ddof=1), n

    return group(N1, 62), group(N2, 52)


def assert_recovers(effect: Effect, truth: float) -> None:
    """Unbiased, and its variance that of the trials, within four Monte Carlo errors."""
    spread = effect.estimate.var(ddof=1)
    assert effect.estimate.mean() == pytest.approx(truth, abs=4 * math.sqrt(spread / TRIALS))
    assert effect.variance.mean() == pytest.approx(spread, rel=4 * math.sqrt(2 / TRIALS))


@pytest.mark.parametrize(
    ("function", "truth"),
    [
        *((mean_difference, 10), (hedges_g, 1)),
        (cohen_d, 1 / small_sample_factor(N1 + N2 - 2)),
    ],
)
def test_recovery_of_an_effect_after_treatment(trials, function, truth):
    active, control = trials
    assert_recovers(function(*active, *control), truth)


def test_recovery_of_the_log_sd(trials):
    assert_recovers(Effect(*np.broadcast_arrays(*log_sd(trials[0][1], N1))), math.log(10))


# properties


@pytest.mark.parametrize("function", [mean_difference, cohen_d, hedges_g])
@given(first=GROUPS, second=GROUPS, factor=FACTORS, shift=SHIFTS)
def test_effects_of_two_groups_move_as_they_must(function, first, second, factor, shift):
    (m1, sd1, n1), (m2, sd2, n2) = first, second
    effect = function(*first, *second)
    assert valid_effect(effect)
    scaled = function(factor * m1, factor * sd1, n1, factor * m2, factor * sd2, n2)
    unit = factor if function is mean_difference else 1
    assert scaled == near((unit * effect.estimate, unit**2 * effect.variance), abs=1e-9)
    assert function(*second, *first) == near((-effect.estimate, effect.variance))
    # abs: the rounding of means near 1000, in the smallest SDs
    assert function(m1 + shift, sd1, n1, m2 + shift, sd2, n2) == near(effect, rel=1e-7, abs=1e-9)
    assert function(-m1, sd1, n1, -m2, sd2, n2) == near((-effect.estimate, effect.variance))
    assert (effect.estimate > 0) == (m1 > m2)


@given(first=GROUPS, second=GROUPS)
def test_g_is_smaller_than_d_and_of_its_sign(first, second):
    d, g = (f(*first, *second).estimate for f in (cohen_d, hedges_g))
    assert abs(g) <= abs(d)
    assert g * d >= 0


@given(sd=SDS, n=SIZES, factor=FACTORS)
def test_a_log_sd_shifts_with_the_log_of_the_unit(sd, n, factor):
    effect = log_sd(sd, n)
    assert valid_effect(effect)
    assert log_sd(factor * sd, n) == near((effect.estimate + math.log(factor), effect.variance))


@given(groups=st.lists(GROUPS, min_size=1, max_size=4), control=GROUPS)
def test_arrays_give_what_their_numbers_give(groups, control):
    together = hedges_g(*np.array(groups).T, *control)
    alone = [hedges_g(*group, *control) for group in groups]
    assert together.estimate == near([effect.estimate for effect in alone])
    assert together.variance == near([effect.variance for effect in alone])
    assert isinstance(alone[0].estimate, float)


# what is refused


GROUP = (10, 5, 30)


@pytest.mark.parametrize("function", [mean_difference, cohen_d, hedges_g])
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


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (log_sd, (0, 30), "sd = 0: must be a finite number above 0"),
        (log_sd, (5, 1), "n = 1: must be a finite number at least 2"),
        (small_sample_factor, (1,), "df = 1: must be a finite number above 1"),
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
