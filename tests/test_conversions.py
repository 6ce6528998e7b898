"""Standard deviations and errors from what papers print: published examples, the shipped tables, round trips."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmfmsim.evidence.formulas.conversions import (
    mean_sd_from_five_numbers,
    mean_sd_from_quartiles,
    mean_sd_from_range,
    pooled_sd,
    sd_from_ci,
    sd_from_difference_se,
    sd_from_se,
    sd_of_change,
    se_from_ci,
    se_from_p,
    se_from_sd,
    se_from_t,
    t_test_p,
)
from gmfmsim.evidence.read import read_tables

MEANS = st.floats(-1000, 1000)
SDS = st.floats(0.001, 1000)
SIZES = st.integers(2, 100_000)
DFS = st.none() | st.floats(1, 100_000)
CORRELATIONS = st.floats(-0.999, 0.999)
SHIFTS = st.floats(-100, 100)
FACTORS = st.floats(0.01, 100)
ESTIMATES = st.floats(0.001, 1000) | st.floats(-1000, -0.001)
FIVE = st.lists(st.integers(-1000, 1000), min_size=5, max_size=5, unique=True).map(sorted)
SUMMARIES = [
    (mean_sd_from_range, (0, 2, 4)),
    (mean_sd_from_quartiles, (1, 2, 3)),
    (mean_sd_from_five_numbers, (0, 1, 2, 3, 4)),
]


def near(value, rel: float = 1e-9, abs: float = 1e-12):
    return pytest.approx(value, rel=rel, abs=abs)


# known answers


def test_known_handbook_example_from_p_to_sd():
    """Cochrane Handbook, from P to SD: difference 3.8, P = 0.008, 25 and 22 people give t 2.78, SE 1.37."""
    se = se_from_p(3.8, 0.008, 25 + 22 - 2)
    assert 3.8 / se == pytest.approx(2.78, abs=0.005)
    assert se == pytest.approx(1.37, abs=0.005)
    assert sd_from_difference_se(se, 25, 22) == pytest.approx(1.37 * math.sqrt(25 * 22 / 47), abs=0.02)


def test_known_handbook_example_of_a_change():
    """Cochrane Handbook, cross-over example: SDs 2.38 and 2.21, correlation 0.68, 10 people give SE 0.583."""
    assert se_from_sd(sd_of_change(2.38, 2.21, 0.68), 10) == pytest.approx(0.583, abs=0.0005)


@pytest.mark.parametrize(
    ("df", "quantile"), [(1, 12.706204736), (9, 2.262157163), (45, 2.014103389), (None, 1.959963985)]
)
def test_known_quantiles_of_an_interval(df, quantile):
    """Tabulated 97.5 % quantiles: an interval of that half width has standard error 1."""
    assert se_from_ci(5 - quantile, 5 + quantile, df=df) == pytest.approx(1, abs=1e-9)
    assert t_test_p(-quantile, 1, df) == pytest.approx(0.05, abs=1e-9)  # the tables have nine decimals


def test_known_closed_forms_of_student():
    """One degree of freedom is Cauchy, p = 1 - 2 atan(t) / pi; two give p = 1 - t / sqrt(2 + t^2)."""
    t = np.array([0.1, 1, 3, 40])
    assert t_test_p(t, 1, 1) == near(1 - 2 * np.arctan(t) / math.pi)
    assert t_test_p(t, 1, 2) == near(1 - t / np.sqrt(2 + t**2))
    assert t_test_p(0, 1, 7) == 1


def test_known_standard_errors():
    assert sd_from_se(2, 25) == 10
    assert se_from_sd(10, 25) == 2
    assert se_from_t(-6, 3) == 2
    assert sd_from_difference_se(3, 8, 8) == near(6)
    assert sd_from_ci(10 - 2.262157163, 10 + 2.262157163, 10) == near(math.sqrt(10))


def test_known_change_of_independent_and_of_like_measurements():
    assert sd_of_change(3, 4, 0) == 5
    assert sd_of_change(6, 6, 0.5) == near(6)


def test_known_pooled_sd():
    assert pooled_sd([3, 4], [11, 11]) == near(math.sqrt(12.5))
    assert pooled_sd([[3, 4], [2, 2]], [2, 4]) == near(np.sqrt([57 / 4, 4]))


# other systems' numbers


def test_reference_mf11_mean_and_sd_from_five_numbers(reference):
    target = reference["MF11"]
    given_, published = json.loads(target["input"]), target["expected"]["mean,sd (Luo/Wan/Shi)"]
    functions = (mean_sd_from_range, mean_sd_from_quartiles, mean_sd_from_five_numbers)
    assert len(given_["cases"]) == len(published) == 3
    for function, numbers, expected in zip(functions, given_["cases"].values(), published, strict=True):
        assert function(*numbers, given_["n"]) == pytest.approx(expected, abs=1e-6)


def test_reference_rows_of_the_tables_that_come_from_a_range():
    """Each row with sd_source from_range holds what its median, minimum and maximum give, as printed."""
    rows = [r for r in read_tables().rows["outcomes"] if r["sd_source"] == "from_range"]
    assert len(rows) == 9
    mean, sd = mean_sd_from_range(*(np.array([r[key] for r in rows], float) for key in ("min", "median", "max", "n")))
    assert np.round(mean, 4).tolist() == [r["mean"] for r in rows]
    assert np.round(sd, 4).tolist() == [r["sd"] for r in rows]
    se = se_from_sd(sd, [r["n"] for r in rows])
    assert np.round(se, 4).tolist() == [r["se"] for r in rows]


# recovery


@pytest.mark.parametrize("n", [10, 60, 401])
def test_recovery_of_mean_and_sd_of_normal_samples(n):
    """Within four Monte Carlo errors; for the SD 1 % more, the accuracy its authors give their approximations."""
    rng = np.random.default_rng(2018)
    low, q1, median, q3, high = np.quantile(rng.normal(50, 10, (5000, n)), [0, 0.25, 0.5, 0.75, 1], axis=1)
    for found in (
        mean_sd_from_range(low, median, high, n),
        mean_sd_from_quartiles(q1, median, q3, n),
        mean_sd_from_five_numbers(low, q1, median, q3, high, n),
    ):
        error = [4 * values.std() / math.sqrt(values.size) for values in found]
        assert found.mean.mean() == pytest.approx(50, abs=error[0])
        assert found.sd.mean() == pytest.approx(10, abs=error[1] + 0.1)


def test_recovery_of_the_sd_of_a_simulated_change():
    rng = np.random.default_rng(7)
    before, after = rng.multivariate_normal([50, 55], [[100, 84], [84, 144]], 500).T
    sds = before.std(ddof=1), after.std(ddof=1)
    change = (after - before).std(ddof=1)
    r = np.corrcoef(before, after)[0, 1]
    assert sd_of_change(*sds, r) == near(change)


# properties: round trips


@given(sd=SDS, n=SIZES)
def test_se_and_sd_undo_each_other(sd, n):
    assert sd_from_se(se_from_sd(sd, n), n) == near(sd)


@given(mean=MEANS, sd=SDS, n=SIZES, prob=st.floats(0.5, 0.999))
def test_an_interval_gives_back_its_sd(mean, sd, n, prob):
    unit = 1 / se_from_ci(-1, 1, prob, n - 1)  # the quantile
    half = unit * se_from_sd(sd, n)
    # the ends are rounded at the size of the mean: the SD can lose that much
    lost = 1e-15 * (abs(mean) + half) / half
    assert sd_from_ci(mean - half, mean + half, n, prob) == near(sd, rel=1e-9 + lost)
    assert t_test_p(half, se_from_sd(sd, n), n - 1) == near(1 - prob)


@given(estimate=ESTIMATES, se=SDS)
def test_t_gives_back_its_se(estimate, se):
    assert se_from_t(estimate, estimate / se) == se_from_t(estimate, -estimate / se) == near(se)


@given(t=st.floats(0.001, 30), se=SDS, df=DFS)
def test_p_gives_back_its_se(t, se, df):
    p = t_test_p(-t * se, se, df)
    # a rounding of p near 1 moves t by about 1e-16, a share of 1e-13 of the smallest t here
    assert se_from_p(-t * se, p, df) == near(se, rel=1e-9)


@given(sds=st.lists(SDS, min_size=1, max_size=5), n=SIZES, factor=FACTORS)
def test_a_pooled_sd_lies_among_its_groups(sds, n, factor):
    sizes = np.arange(n, n + len(sds))
    pooled = pooled_sd(sds, sizes)
    assert min(sds) * (1 - 1e-12) <= pooled <= max(sds) * (1 + 1e-12)
    assert pooled_sd(sds[::-1], sizes[::-1]) == near(pooled)
    assert pooled_sd(factor * np.array(sds), sizes) == near(factor * pooled)


@given(sd=SDS, n1=SIZES, n2=SIZES)
def test_a_difference_gives_back_the_pooled_sd(sd, n1, n2):
    assert sd_from_difference_se(math.hypot(se_from_sd(sd, n1), se_from_sd(sd, n2)), n1, n2) == near(sd)


# properties: scale, shift, order


@given(se=SDS, n=SIZES, factor=FACTORS, df=DFS, t=st.floats(0.01, 10), r=CORRELATIONS, other=SDS)
def test_spreads_scale_with_the_unit(se, n, factor, df, t, r, other):
    assert sd_from_se(factor * se, n) == near(factor * sd_from_se(se, n))
    assert se_from_sd(factor * se, n) == near(factor * se_from_sd(se, n))
    assert se_from_ci(-factor * se, factor * se, df=df) == near(factor * se_from_ci(-se, se, df=df))
    assert sd_from_ci(-factor * se, factor * se, n) == near(factor * sd_from_ci(-se, se, n))
    assert se_from_t(factor * se, t) == near(factor * se_from_t(se, t))
    assert se_from_p(factor * se, 0.03, df) == near(factor * se_from_p(se, 0.03, df))
    assert sd_from_difference_se(factor * se, n, 9) == near(factor * sd_from_difference_se(se, n, 9))
    assert sd_of_change(factor * se, factor * other, r) == near(factor * sd_of_change(se, other, r))
    assert t_test_p(factor * t, factor * se, df) == near(t_test_p(t, se, df), rel=1e-7)
    assert sd_of_change(se, other, r) == near(sd_of_change(other, se, r))


@given(five=FIVE, n=SIZES, factor=FACTORS, shift=SHIFTS)
@pytest.mark.parametrize(("function", "places"), SUMMARIES)
def test_summaries_move_with_shift_scale_and_reflection(function, places, five, n, factor, shift):
    numbers = np.array([five[i] for i in places], float)
    mean, sd = function(*numbers, n)
    assert math.isfinite(mean)
    assert 0 < sd < math.inf
    scaled, scaled_sd = function(*(factor * numbers + shift), n)
    # abs: rounding at the size of the numbers, about 1e5
    assert scaled == near(factor * mean + shift, abs=1e-8)
    assert scaled_sd == near(factor * sd, abs=1e-8)
    assert function(*-numbers[::-1], n) == near((-mean, sd), abs=1e-8)


@given(five=FIVE, n=st.integers(5, 1000))
@pytest.mark.parametrize(("function", "places"), SUMMARIES)
def test_symmetric_summaries_have_the_median_as_mean(function, places, five, n):
    low, q1, middle, _, _ = five
    symmetric = [low, q1, middle, 2 * middle - q1, 2 * middle - low]
    assert function(*(symmetric[i] for i in places), n).mean == near(middle, abs=1e-9)


@given(sd=st.lists(SDS, min_size=1, max_size=5), n=SIZES)
def test_arrays_give_what_their_numbers_give(sd, n):
    together = se_from_sd(sd, n)
    assert together.dtype == np.float64
    assert together.tolist() == [se_from_sd(one, n) for one in sd]
    assert isinstance(se_from_sd(sd[0], n), float)


# what is refused


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (sd_from_se, (0, 10), "se = 0: must be a finite number above 0"),
        (sd_from_se, ([1, -2], 10), "se = -2: must be a finite number above 0"),
        (sd_from_se, (1, 1), "n = 1: must be a finite number at least 2"),
        (se_from_sd, (math.nan, 10), "sd = nan: must be a finite number above 0"),
        (se_from_sd, (math.inf, 10), "sd = inf: must be a finite number above 0"),
        (se_from_sd, (1, [30, 0]), "n = 0: must be a finite number at least 2"),
        (se_from_ci, (2, 1), "high = 1: must be a finite number above 2"),
        (se_from_ci, ([0, 3], [1, 3]), "high = 3: must be a finite number above 3"),
        (se_from_ci, (math.nan, 3), "low = nan: must be a finite number"),
        (se_from_ci, (1, 2, 0.05), "prob = 0.05: must be a finite number at least 0.5 and below 1"),
        (se_from_ci, (1, 2, 95), "prob = 95: must be a finite number at least 0.5 and below 1"),
        (se_from_ci, (1, 2, 0.95, 0), "df = 0: must be a finite number at least 1"),
        (sd_from_ci, (1, 2, 1), "n = 1: must be a finite number at least 2"),
        (sd_from_ci, (2, 1, 9), "high = 1: must be a finite number above 2"),
        (se_from_t, (1, 0), "t = 0: must be a finite number other than 0"),
        (se_from_t, (0, 2), "estimate = 0: must be a finite number other than 0"),
        (se_from_t, (1, math.inf), "t = inf: must be a finite number"),
        (se_from_p, (0, 0.5), "estimate = 0: must be a finite number other than 0"),
        (se_from_p, (1, 0), "p = 0: must be a finite number at least 1e-200 and below 1"),
        (se_from_p, (1, 1), "p = 1: must be a finite number at least 1e-200 and below 1"),
        (se_from_p, (1, 0.5, -3), "df = -3: must be a finite number at least 1"),
        (sd_from_difference_se, (1, 1, 5), "n1 = 1: must be a finite number at least 2"),
        (sd_from_difference_se, (1, 5, 1), "n2 = 1: must be a finite number at least 2"),
        (pooled_sd, ([1, 0], 5), "sd = 0: must be a finite number above 0"),
        (pooled_sd, ([1, 2], [5, 1]), "n = 1: must be a finite number at least 2"),
        (t_test_p, (math.nan, 1), "difference = nan: must be a finite number"),
        (t_test_p, (1, 0), "se = 0: must be a finite number above 0"),
        (t_test_p, (1, 1, 0), "df = 0: must be a finite number at least 1"),
        (mean_sd_from_range, (5, 4, 9, 20), "median = 4: must be a finite number at least 5"),
        (mean_sd_from_range, (4, 4, 4, 20), "high = 4: must be a finite number above 4"),
        (mean_sd_from_range, (1, 4, 9, 1), "n = 1: must be a finite number at least 2"),
        (mean_sd_from_quartiles, (5, 6, 4, 20), "q3 = 4: must be a finite number at least 6"),
        (mean_sd_from_quartiles, (5, 5, 5, 20), "q3 = 5: must be a finite number above 5"),
        (mean_sd_from_five_numbers, (0, 1, 2, 3, 2.5, 20), "high = 2.5: must be a finite number at least 3"),
        (mean_sd_from_five_numbers, (2, 1, 2, 3, 4, 20), "q1 = 1: must be a finite number at least 2"),
        (sd_of_change, (1, 1, 1), "r = 1: must be a finite number above -1 and below 1"),
        (sd_of_change, (1, 0, 0.5), "sd_after = 0: must be a finite number above 0"),
    ],
)
def test_what_cannot_be_is_refused_by_name(function, arguments, message):
    with pytest.raises(ValueError, match=r" = ") as refused:
        function(*arguments)
    assert str(refused.value) == message
