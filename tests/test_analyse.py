"""Analyses of simulated trials against SciPy and plain least squares, one trial at a time."""

import itertools

import numpy as np
import pytest
from conftest import examples
from design_cases import SOURCE, arm, normal_design, population_design
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from gmfmsim.dist.mixture import NormalMixture
from gmfmsim.trial.analyse.contrast import changes
from gmfmsim.trial.analyse.kernels.ancova import ancova
from gmfmsim.trial.analyse.kernels.moments import moments_of, until
from gmfmsim.trial.analyse.kernels.posterior import posterior
from gmfmsim.trial.analyse.together import analyse, analyse_moments
from gmfmsim.trial.decide import claim as claim_of
from gmfmsim.trial.decide import decide, t_quantile
from gmfmsim.trial.estimates import Criterion, Estimates
from gmfmsim.trial.generate.trials import Trials

ARMS = {
    "two": [arm("control"), arm("cells", 5e7)],
    "three": [arm("control"), arm("low", 1e7), arm("high", 5e7)],
}
CENTRES = {"centres": {"number": 4, "sd": 1.0, **SOURCE}}


def design_of(*analyses, kind="parallel", population=False, **more):
    """Return a design with these analyses, each a method or a table."""
    tables = [a if isinstance(a, dict) else {"method": a} for a in analyses]
    if population:
        return population_design(kind, analyses=tables, children=CENTRES, **more)
    return normal_design(kind, analyses=tables, **more)


def made(rng, sizes, trials, *, visits=1, loss=0.2, effect=0.0, unit=None):
    """Return trials of children in shuffled arms of these sizes: normal scores, some lost; levels, ages."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    group = np.array([rng.permutation(group) for _ in range(trials)]).T
    n = group.shape[0]
    level, age = rng.integers(0, 5, group.shape), rng.uniform(1, 12, group.shape)
    score = np.empty((1 + visits, n, trials))
    score[0] = 60 - 8 * level + rng.normal(0, 8, group.shape)
    for v in range(1, 1 + visits):
        score[v] = 0.8 * score[v - 1] + 12 - 0.3 * age + effect * (group > 0) + rng.normal(0, 4, group.shape)
    last = np.where(rng.random(group.shape) < loss, rng.integers(0, visits, group.shape), visits)
    score[np.arange(1 + visits)[:, None, None] > last] = np.nan
    return Trials(score, group, np.full((visits, n, trials), 3.0), level, age, unit)


def observed(trials, r, visit=-1):
    """Return change, arm and the rows of the children of trial r observed at a visit."""
    seen = np.isfinite(trials.score[visit, :, r])
    return (trials.score[visit] - trials.score[0])[seen, r], trials.group[seen, r], seen


def close(a, b, rtol=1e-9):
    np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-11)


@pytest.mark.parametrize("method", ["t", "welch", "z"])
def test_reference_t_welch_and_z_equal_scipy(method):
    trials, design = made(np.random.default_rng(1), (9, 17), 25, effect=4), design_of("t", "welch", "z")
    found = analyse(trials, design)[method]
    for r in range(25):
        change, arm, _ = observed(trials, r)
        x, y = change[arm == 1], change[arm == 0]
        test = stats.ttest_ind(x, y, equal_var=method == "t")
        close(found.estimate[r], x.mean() - y.mean())
        close(found.se[r], (x.mean() - y.mean()) / test.statistic)
        if method == "z":
            half = stats.norm.ppf(0.975) * found.se[r]
            close([found.low[r], found.high[r]], [found.estimate[r] - half, found.estimate[r] + half])
        else:
            close([found.low[r], found.high[r]], test.confidence_interval(0.95))
            assert found.benefit[r] == (test.pvalue < 0.05 and test.statistic > 0)
    assert 0 < found.benefit.sum() < 25


def least_squares(y, arm, arms, weights, columns):
    """Return estimate, SE and df of the contrast of arms in the linear model of y on arms and columns."""
    x = np.column_stack([arm == a for a in range(arms)] + columns).astype(float)
    beta, _, rank, _ = np.linalg.lstsq(x, y, rcond=1e-10)
    df = y.size - rank
    long = np.concatenate([weights, np.zeros(x.shape[1] - arms)])
    variance = np.sum((y - x @ beta) ** 2) / df * (long @ np.linalg.pinv(x.T @ x, rcond=1e-10) @ long)
    return long @ beta, np.sqrt(variance), df


@pytest.mark.parametrize(
    "covariates",
    [
        ["baseline"],
        ["level"],
        ["age"],
        ["baseline", "level"],
        ["centre", "baseline"],
        ["level", "age", "centre", "baseline"],
    ],
)
@pytest.mark.parametrize(
    ("kind", "arms", "sizes"),
    [
        ("parallel", ARMS["two"], (11, 19)),
        ("parallel", ARMS["three"], (12, 9, 8)),
        ("factorial", None, (7, 6, 8, 5)),
    ],
)
def test_reference_ancova_equals_least_squares(kind, arms, sizes, covariates):
    """Twelve children or so an arm and five levels: in some trials nobody is at some level."""
    design = design_of(
        {"method": "ancova", "covariates": covariates}, kind=kind, population=True, **({"arms": arms} if arms else {})
    )
    trials = made(np.random.default_rng(2), sizes, 40, visits=2, effect=4, unit=np.arange(sum(sizes)) % 4)
    design = design.model_copy(update={"visits": [6.0, 12.0]})
    (found,) = analyse(trials, design).values()
    for r in range(40):
        _, arm, seen = observed(trials, r)
        columns = {
            "baseline": [trials.score[0, seen, r]],
            "age": [trials.age[seen, r]],
            "level": [trials.level[seen, r] == k for k in range(5)],
            "centre": [trials.unit[seen] == k for k in range(4)],
        }
        chosen = [column for name in covariates for column in columns[name]]
        y = trials.score[-1, seen, r]
        estimate, se, df = least_squares(y, arm, len(sizes), design.weights, chosen)
        close([found.estimate[r], found.se[r]], [estimate, se])
        close(found.high[r] - found.estimate[r], stats.t.ppf(0.975, df) * se)
    assert not found.failed.any()


def test_reference_factorial_main_effect_equals_least_squares():
    design = design_of("t", kind="factorial")
    trials = made(np.random.default_rng(3), (7, 9, 8, 6), 10)
    found = analyse(trials, design)["t"]
    for r in range(10):
        change, arm, _ = observed(trials, r)
        close([found.estimate[r], found.se[r]], least_squares(change, arm, 4, np.array([-0.5, 0.5, -0.5, 0.5]), [])[:2])


def test_known_a_constant_covariate_changes_nothing():
    """Ten ages that no sum of binary fractions holds exactly: what is left of their variance is rounding."""
    trials = made(np.random.default_rng(27), (6, 8), 10)
    trials.age[:] = np.linspace(1.1, 11.3, 10)
    age = analyse(trials, design_of({"method": "ancova", "covariates": ["age", "baseline"]}, population=True))
    close(age["ancova (age, baseline)"].low, analyse(trials, design_of("ancova"))["ancova"].low)


def test_known_columns_with_nobody_are_dropped_and_confounded_ones_fail():
    rng, design = (
        np.random.default_rng(4),
        design_of({"method": "ancova", "covariates": ["level", "baseline"]}, population=True),
    )
    trials = made(rng, (6, 6), 3, loss=0)
    trials.level[:, 0] = 4  # all at one level: as if there were none
    trials.level[:, 1] = 2 * trials.group[:, 1]  # the level is the arm: nothing can be said
    found = analyse(trials, design)["ancova (level, baseline)"]
    without = analyse(trials, design_of("ancova"))["ancova"]
    close([found.estimate[0], found.se[0]], [without.estimate[0], without.se[0]])
    assert found.failed.tolist() == [False, True, False]


@pytest.mark.parametrize("ties", [False, True])
def test_reference_wilcoxon_equals_scipy(ties):
    trials, design = made(np.random.default_rng(5), (14, 20), 40, effect=3), design_of("wilcoxon")
    if ties:
        np.round(trials.score / 4, out=trials.score)
    found = analyse(trials, design)["wilcoxon"]
    for r in range(40):
        change, arm, _ = observed(trials, r)
        x, y = change[arm == 1], change[arm == 0]
        test = stats.mannwhitneyu(x, y, use_continuity=False, method="asymptotic")
        close(found.estimate[r], test.statistic / (x.size * y.size) - 0.5)
        close(2 * stats.norm.sf(abs(found.estimate[r] / found.se[r])), test.pvalue)
        assert found.benefit[r] == (test.pvalue < 0.05 and found.estimate[r] > 0)
    assert 0 < found.benefit.sum() < 40
    assert np.isnan(found.low).all()


@pytest.mark.parametrize("claim", ["non_inferiority", "equivalence"])
def test_reference_wilcoxon_with_a_margin_tests_shifted_changes(claim):
    trials = made(np.random.default_rng(6), (25, 25), 60)
    found = analyse(trials, design_of("wilcoxon", objective={"claim": claim, "margin": 4.0}))["wilcoxon"]
    for r in range(60):
        change, arm, _ = observed(trials, r)
        x, y = change[arm == 1], change[arm == 0]
        above = stats.mannwhitneyu(x + 4, y, use_continuity=False, method="asymptotic", alternative="greater").pvalue
        below = stats.mannwhitneyu(x - 4, y, use_continuity=False, method="asymptotic", alternative="less").pvalue
        assert found.benefit[r] == (above < 0.025 and (claim == "non_inferiority" or below < 0.025))
    assert 0 < found.benefit.sum() < 60


def test_reference_responders_equal_the_chi_square_test():
    trials, design = (
        made(np.random.default_rng(7), (30, 40), 40, effect=2),
        design_of({"method": "responder", "margin": 3}),
    )
    found = analyse(trials, design)["responder (> 3)"]
    for r in range(40):
        change, arm, _ = observed(trials, r)
        table = np.array([[np.sum((change > 3) & (arm == a)), np.sum((change <= 3) & (arm == a))] for a in (1, 0)])
        p1, p0 = table[:, 0] / table.sum(axis=1)
        n1, n0 = table.sum(axis=1)
        se = np.sqrt(p1 * (1 - p1) / n1 + p0 * (1 - p0) / n0)
        close([found.estimate[r], found.se[r], found.low[r]], [p1 - p0, se, p1 - p0 - stats.norm.ppf(0.975) * se])
        pvalue = stats.chi2_contingency(table, correction=False).pvalue
        assert found.benefit[r] == (pvalue < 0.05 and p1 > p0)
        assert found.harm[r] == (pvalue < 0.05 and p1 < p0)
    assert 0 < found.benefit.sum() < 40


def test_known_responders_fail_where_all_are_alike():
    trials = made(np.random.default_rng(8), (5, 5), 2, loss=0)
    trials.score[1, :, 0] = trials.score[0, :, 0] + 10
    analysis = {"method": "responder", "margin": 3}
    assert analyse(trials, design_of(analysis))["responder (> 3)"].failed.tolist() == [True, False]


@pytest.mark.parametrize("df", [12, *(pytest.param(df, marks=pytest.mark.slow) for df in (1, 3, 97, 800))])
@pytest.mark.parametrize(
    ("estimate", "prior"),
    [
        (1.4, ([1], [0.0], [1.0])),
        (3.0, ([1], [0.0], [0.4])),
        (-2.0, ([1], [1.0], [5.0])),
        (20.0, ([1], [0.0], [0.3])),
        (-1.0, ([0.5, 0.3, 0.2], [2.0, 2.5, 0.0], [0.7, 2.0, 8.0])),
    ],
)
def test_reference_posterior_equals_quadrature(df, estimate, prior):
    """The last estimate of one component is 21 standard deviations of the difference from its prior mean."""
    se, prior = 0.9, NormalMixture(*map(np.array, prior))
    mean, sd, low, high = (x[0] for x in posterior([estimate], [se], [df], prior, 0.025))

    def density(x):
        of_prior = special.logsumexp(stats.norm.logpdf(np.expand_dims(x, -1), prior.means, prior.sds), -1, prior.weight)
        return np.exp(stats.t.logpdf((x - estimate) / se, df) + of_prior - top)

    top = 0.0
    grid = np.linspace((prior.means - 12 * prior.sds).min(), (prior.means + 12 * prior.sds).max(), 20001)
    top = np.log(density(grid).max())
    ends, points = (grid[0], grid[-1]), sorted([low, mean, high])

    def integral(f, a=ends[0], b=ends[1]):
        knots = [a, *(p for p in points if a < p < b), b]
        return sum(integrate.quad(f, *pair, epsabs=0, epsrel=1e-11, limit=500)[0] for pair in itertools.pairwise(knots))

    total = integral(density)
    assert integral(density, b=low) / total == pytest.approx(0.025, abs=1e-9)
    assert integral(density, a=high) / total == pytest.approx(0.025, abs=1e-9)
    first = integral(lambda x: x * density(x)) / total
    assert mean == pytest.approx(first, abs=1e-9)
    assert sd == pytest.approx(np.sqrt(integral(lambda x: (x - first) ** 2 * density(x)) / total), rel=1e-9)


def test_known_flat_posterior_is_the_ancova_and_a_wide_prior_is_nearly_flat():
    trials = made(np.random.default_rng(9), (12, 12), 50, effect=3)
    wide, sceptical = ({"method": "bayes", "prior": [{"mean": 0, "sd": sd}]} for sd in (1000, 1.0))
    found = analyse(trials, design_of("ancova", "bayes", wide, sceptical))
    for part in ("estimate", "se", "low", "high", "benefit"):
        np.testing.assert_array_equal(getattr(found["bayes (flat)"], part), getattr(found["ancova"], part))
    # The prior moves the ends by about (se / 1000)^2 of their distance from 0.
    np.testing.assert_allclose(found["bayes (0, 1000)"].low, found["ancova"].low, rtol=1e-4, atol=1e-4)
    assert np.all(abs(found["bayes (0, 1)"].estimate) < abs(found["ancova"].estimate))
    assert found["bayes (0, 1)"].benefit.sum() < found["ancova"].benefit.sum()


def test_reference_pairs_equal_scipy():
    rng = np.random.default_rng(10)
    trials = made(rng, (15, 15), 20, effect=2)
    unit = rng.permutation(np.repeat(np.arange(15), 2))
    first = np.sort(np.argsort(unit, kind="stable").reshape(15, 2), axis=1)
    trials.group[first[:, 0]] = rng.integers(0, 2, (15, 20))
    trials.group[first[:, 1]] = 1 - trials.group[first[:, 0]]
    trials = Trials(trials.score, trials.group, trials.expected, unit=unit)
    found = analyse(trials, design_of("paired_t", kind="pairs"))["paired_t"]
    for r in range(20):
        change, arm = trials.change[-1, :, r], trials.group[:, r]
        x, y = (np.array([change[(unit == k) & (arm == a)][0] for k in range(15)]) for a in (1, 0))
        both = np.isfinite(x + y)
        close([found.low[r], found.high[r]], stats.ttest_rel(x[both], y[both]).confidence_interval(0.95))
        close(found.estimate[r], np.mean((x - y)[both]))
    broken = Trials(trials.score, np.zeros_like(trials.group), trials.expected, unit=unit)
    with pytest.raises(ValueError, match="unit names no pairs"):
        analyse(broken, design_of("paired_t", kind="pairs"))


def test_reference_clusters_equal_scipy_on_means():
    rng, unit = np.random.default_rng(11), np.repeat(np.arange(12), 4)
    trials = made(rng, (24, 24), 20, effect=2, loss=0.5)
    trials.group[:] = np.repeat([rng.permutation(np.repeat([0, 1], 6)) for _ in range(20)], 4, axis=1).T
    trials = Trials(trials.score, trials.group, trials.expected, unit=unit)
    found = analyse(trials, design_of("cluster_t", kind="cluster", cluster_size=4))["cluster_t"]
    lost = 0
    for r in range(20):
        means = []
        for a in (1, 0):
            here = [trials.change[-1, (unit == k) & (trials.group[:, r] == a), r] for k in range(12)]
            here = [c[np.isfinite(c)] for c in here]
            means.append([c.mean() for c in here if c.size])
        lost += 12 - sum(map(len, means))
        close([found.low[r], found.high[r]], stats.ttest_ind(*means).confidence_interval(0.95))
    assert lost > 0


def test_reference_single_arm_equals_scipy():
    analyses = [{"method": "one_sample", "allowance": 1.5}, {"method": "historical", "mean": 2.0, "sd": 5.0, "n": 30}]
    design = design_of(*analyses, kind="single_arm")
    trials = made(np.random.default_rng(12), (20,), 20)
    trials.expected[:] += np.random.default_rng(13).normal(0, 1, trials.expected.shape)
    found = analyse(trials, design)
    for r in range(20):
        change, _, seen = observed(trials, r)
        test = stats.ttest_1samp(change - trials.expected[-1, seen, r] - 1.5, 0)
        one, other = found.values()
        close([one.low[r], one.high[r]], test.confidence_interval(0.95))
        test = stats.ttest_ind_from_stats(change.mean(), change.std(ddof=1), change.size, 2, 5, 30, equal_var=False)
        close(other.estimate[r] / other.se[r], test.statistic)
        half = stats.t.ppf(0.975, other_df(change, 5.0, 30)) * other.se[r]
        close(other.high[r] - other.estimate[r], half)


def other_df(change, sd, n):
    a, b = change.var(ddof=1) / change.size, sd**2 / n
    return (a + b) ** 2 / (a**2 / (change.size - 1) + b**2 / (n - 1))


def crossover(*analyses):
    return design_of(*analyses, kind="crossover", visits=[6, 12])


def test_reference_crossover_equals_scipy_within_and_sees_one_period_between():
    trials = made(np.random.default_rng(14), (13, 17), 20, visits=2, loss=0.4)
    found = analyse(trials, crossover("within_child", "t", "ancova", "wilcoxon"))
    for r in range(20):
        y0, y1, y2 = trials.score[:, np.isfinite(trials.score[2, :, r]), r]
        arm = trials.group[np.isfinite(trials.score[2, :, r]), r]
        d = ((y1 - y0) - (y2 - y1)) / 2
        close(
            [found["within_child"].low[r], found["within_child"].high[r]],
            stats.ttest_ind(d[arm == 1], d[arm == 0]).confidence_interval(0.95),
        )
    first = Trials(trials.score[:2], trials.group, trials.expected[:1])
    between = analyse(first, design_of("t", "ancova", "wilcoxon", visits=[6]))
    for name, alone in between.items():
        np.testing.assert_array_equal(found[name].estimate, alone.estimate)
        np.testing.assert_array_equal(found[name].se, alone.se)


def test_known_verdicts_by_objective():
    """Intervals (-2, -1), (-1, 1), (0.5, 1.5), (1, 3) and (-0.01, 2.01)."""
    middle, half = np.array([-1.5, 0, 1, 2, 1]), np.array([0.5, 1, 0.5, 1, 1.01])
    wanted = {
        ("superiority", 0.0): [False, False, True, True, False],
        ("non_inferiority", 2.1): [True, True, True, True, True],
        ("non_inferiority", 0.9): [False, False, True, True, True],
        ("equivalence", 2.1): [True, True, True, False, True],
        ("equivalence", 1.6): [False, True, True, False, False],
    }
    for (claim, margin), benefit in wanted.items():
        design = design_of("t", objective={"claim": claim, "margin": margin})
        found = decide(Estimates(middle, half / stats.t.ppf(0.975, 10), 10.0, np.ones(5, bool)), claim_of(design), 0.05)
        assert found.benefit.tolist() == benefit
        assert found.harm.tolist() == [True, False, False, False, False]
        close(found.low, middle - half)
        close(found.high, middle + half)


@pytest.mark.parametrize(
    ("claim", "criteria"),
    [
        ("superiority", [(0.025, 0, "above")]),
        ("non_inferiority", [(0.025, -4, "above")]),
        ("equivalence", [(0.025, -4, "above"), (0.025, 4, "below")]),
    ],
)
def test_known_claims_of_objectives(claim, criteria):
    margin = 0.0 if claim == "superiority" else 4.0
    assert list(claim_of(design_of("t", objective={"claim": claim, "margin": margin}))) == criteria


def test_known_a_dual_criterion_asks_for_significance_and_a_relevant_estimate():
    """Above 0 at 2.5 %, and above 1.4 with even odds: the estimate itself; in every look by itself."""
    estimate, se = np.array([[1.3, 1.5], [1.5, 2.0]]), np.array([[0.5, 0.5], [1.0, 1.0]])
    found = Estimates(estimate, se, np.inf, np.ones((2, 2), bool))
    dual = (Criterion(0.025, 0, "above"), Criterion(0.5, 1.4, "above"))
    assert decide(found, dual, 0.05).benefit.tolist() == [[False, True], [False, True]]
    assert decide(found, dual[:1], 0.05).benefit.tolist() == [[True, True], [False, True]]


def test_reference_equivalence_is_two_one_sided_tests():
    trials = made(np.random.default_rng(15), (20, 20), 60)
    found = analyse(trials, design_of("t", objective={"claim": "equivalence", "margin": 4.0}))["t"]
    for r in range(60):
        change, arm, _ = observed(trials, r)
        x, y = change[arm == 1], change[arm == 0]
        above = stats.ttest_ind(x + 4, y, alternative="greater").pvalue
        below = stats.ttest_ind(x - 4, y, alternative="less").pvalue
        assert found.benefit[r] == (max(above, below) < 0.025)
    assert 0 < found.benefit.sum() < 60


ALL_BETWEEN = (
    "t",
    "welch",
    "z",
    "ancova",
    "wilcoxon",
    {"method": "responder", "margin": 3},
    {"method": "bayes", "prior": [{"mean": 0, "sd": 2}]},
)


def test_known_arms_with_too_few_children_fail():
    """Trial 0 is whole; 1 has nobody in control, 2 one child, 3 no change, 4 nobody at the endpoint."""
    trials = made(np.random.default_rng(16), (8, 8), 5, loss=0)
    for r, left in ((1, 0), (2, 1)):
        trials.score[1, np.flatnonzero(trials.group[:, r] == 0)[left:], r] = np.nan
    trials.score[1, :, 3] = trials.score[0, :, 3]
    trials.score[1, :, 4] = np.nan
    for name, found in analyse(trials, design_of(*ALL_BETWEEN)).items():
        assert found.failed.tolist() == [False, True, True, True, True], name
        assert not (found.benefit | found.harm)[1:].any()
        assert np.isnan(found.estimate[1:]).all()
        assert np.isnan(found.se[1:]).all()


def test_known_an_empty_arm_outside_the_contrast_is_no_failure():
    trials = made(np.random.default_rng(17), (8, 4, 8), 10, loss=0)
    trials.score[1][trials.group == 1] = np.nan
    two = Trials(trials.score, np.where(trials.group == 2, 1, 0), trials.expected)
    many, few = analyse(trials, design_of("t", "ancova", arms=ARMS["three"])), analyse(two, design_of("t", "ancova"))
    for name in ("t", "ancova"):
        close(many[name].low, few[name].low)
        assert not many[name].failed.any()


NULL = {
    "t": 0.05,
    "welch": 0.05,
    "z": 2 * special.stdtr(118, special.ndtri(0.025)),
    "ancova": 0.05,
    "wilcoxon": 0.05,
    "bayes (flat)": 0.05,
}


def test_recovery_null_rejects_at_the_nominal_rate():
    """60 normal children an arm, 20,000 trials. z: the rate of the normal quantile on Student's t with 118 df."""
    rng, trials = np.random.default_rng(18), 20_000
    names, hits = list(NULL), dict.fromkeys([*NULL, "responder (> 0)"], 0)
    design = design_of(*[n if n[:5] != "bayes" else "bayes" for n in names], {"method": "responder", "margin": 0})
    group = np.repeat([0, 1], 60)[:, None] * np.ones((1, 1000), int)
    for _ in range(trials // 1000):
        score = rng.standard_normal((2, 120, 1000))
        score[1] += 0.7 * score[0]
        for name, found in analyse(Trials(score, group, np.zeros((1, 120, 1000))), design).items():
            hits[name] += np.sum(found.benefit) + np.sum(found.harm)
    mcse = np.sqrt(0.05 * 0.95 / trials)
    for name, rate in NULL.items():
        assert hits[name] / trials == pytest.approx(rate, abs=4 * mcse), name
    k = np.arange(61)
    chance = stats.binom.pmf(k, 60, 0.5)  # of the responders in an arm; exact rate of the pooled z test
    p, both = (k[:, None] - k) / 60, (k[:, None] + k) / 120
    reject = p**2 > special.ndtri(0.975) ** 2 * both * (1 - both) / 30
    assert hits["responder (> 0)"] / trials == pytest.approx(chance @ reject @ chance, abs=4 * mcse)


def test_recovery_null_of_the_other_kinds_rejects_at_the_nominal_rate():
    rng, r = np.random.default_rng(19), 10_000
    score = rng.standard_normal((3, 24, r))
    expected, pairs = np.zeros((2, 24, r)), np.repeat(np.arange(12), 2)
    by_turns, halves = (np.broadcast_to(g[:, None], (24, r)) for g in (np.arange(24) % 2, np.arange(24) // 12))
    designs = [
        (crossover("within_child"), halves),
        (design_of("paired_t", kind="pairs", visits=[6, 12]), by_turns),
        (design_of("cluster_t", kind="cluster", cluster_size=2, visits=[6, 12]), halves),
        (design_of("one_sample", kind="single_arm", visits=[6, 12]), np.zeros((24, r), int)),
    ]
    for design, group in designs:
        (found,) = analyse(Trials(score, group, expected, unit=pairs), design).values()
        rate = (found.benefit | found.harm).mean()
        assert rate == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / r)), design.kind


def test_known_moments_by_arm_and_pattern():
    design = design_of("t", population=True, visits=[3, 6, 12])
    trials = made(np.random.default_rng(20), (14, 22), 33, visits=3, loss=0.5, unit=np.arange(36) % 4)
    moments = moments_of(trials, design, ("level", "centre", "age", "baseline"))
    assert (moments.visits, moments.covariates) == (3, 4 + 3 + 1)
    pattern = np.isfinite(trials.score).sum(axis=0) - 1
    for r in (0, 31, 32):
        columns = [trials.level[:, r] == k for k in range(1, 5)] + [trials.unit == k for k in range(1, 4)]
        table = np.column_stack([*columns, trials.age[:, r], *trials.score[:, :, r]]).astype(float)
        for a in range(2):
            for p in range(4):
                mine = table[(trials.group[:, r] == a) & (pattern[:, r] == p)]
                seen, n = 9 + p, len(mine)
                assert moments.n[a, p, r] == n
                if n:
                    close(moments.mean[a, p, :seen, r], mine[:, :seen].mean(axis=0))
                    apart = mine[:, :seen] - mine[:, :seen].mean(axis=0)
                    np.testing.assert_allclose(moments.cross[a, p, :seen, :seen, r], apart.T @ apart, atol=1e-9)
                assert not moments.mean[a, p, seen:, r].any()
                assert not moments.cross[a, p, seen:, :, r].any()


def test_known_a_child_seen_at_the_endpoint_is_complete_whatever_it_missed():
    trials = made(np.random.default_rng(21), (14, 22), 10, visits=2, loss=0.2)
    trials.score[1, ::3] = np.nan
    last = Trials(trials.score[[0, 2]], trials.group, trials.expected[1:])
    found, alone = analyse(trials, design_of("t", "ancova", visits=[6, 12])), analyse(last, design_of("t", "ancova"))
    for name, one in alone.items():
        close(found[name].low, one.low)


def test_known_moments_cut_to_fewer_visits_are_those_of_the_first_visits():
    trials = made(np.random.default_rng(22), (14, 22), 10, visits=3, loss=0.5)
    cut = until(moments_of(trials, design_of("t", visits=[3, 6, 12])), 1)
    first = moments_of(Trials(trials.score[:2], trials.group, trials.expected[:1]), design_of("t", visits=[3]))
    for part in ("n", "mean", "cross"):
        np.testing.assert_allclose(getattr(cut, part), getattr(first, part), rtol=1e-9, atol=1e-9)


def test_known_analyses_of_moments_equal_those_of_the_children():
    trials = made(np.random.default_rng(23), (14, 22), 10)
    design = design_of("t", "welch", "z", "ancova", "bayes")
    whole, added_up = analyse(trials, design), analyse_moments(moments_of(trials, design), design)
    for name, found in whole.items():
        np.testing.assert_array_equal(added_up[name].low, found.low)
    longer = made(np.random.default_rng(28), (14, 22), 10, visits=2)
    both_periods = moments_of(longer, design_of("t", visits=[6, 12]))
    for name, found in analyse(longer, crossover("t", "ancova")).items():
        close(analyse_moments(both_periods, crossover("t", "ancova"))[name].low, found.low)
    for analysis in ("wilcoxon", {"method": "ancova", "covariates": ["age"]}):
        with pytest.raises(ValueError, match="no covariate but the baseline"):
            analyse_moments(moments_of(trials, design), design_of(analysis, population=True))


def test_known_many_centres_are_taken_in_parts(monkeypatch):
    design = design_of({"method": "ancova", "covariates": ["centre"]}, population=True)
    trials = made(np.random.default_rng(24), (14, 22), 10, unit=np.arange(36) % 4)
    (whole,) = analyse(trials, design).values()
    monkeypatch.setattr("gmfmsim.trial.analyse.ancova.MOST_IN_MEMORY", 1500)
    (parts,) = analyse(trials, design).values()
    close(parts.low, whole.low)


@given(st.floats(-1e3, 1e3), st.floats(0.1, 10))
@settings(max_examples=examples(30, 100), deadline=None)
def test_a_shift_of_all_scores_changes_nothing_and_a_scale_scales(shift, scale):
    trials, design = made(np.random.default_rng(25), (9, 11), 5), design_of("t", "welch", "ancova", "wilcoxon")
    moved = Trials(trials.score * scale + shift, trials.group, trials.expected)
    before, after = analyse(trials, design), analyse(moved, design)
    for name, found in before.items():
        unit = 1 if name == "wilcoxon" else scale
        np.testing.assert_allclose(after[name].estimate, unit * found.estimate, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(after[name].se, unit * found.se, rtol=1e-8)


@given(st.lists(st.one_of(st.integers(1, 300), st.floats(1, 300), st.just(np.inf)), min_size=1, max_size=50))
def test_reference_t_quantiles_equal_scipy(df):
    close(t_quantile(0.975, np.array(df, float)), stats.t.ppf(0.975, np.array(df, float)))


def test_known_rounding_is_not_taken_for_variance():
    """Equal changes on scores near 1000 leave sums of squares of rounding errors alone."""
    trials = made(np.random.default_rng(26), (8, 8), 4, loss=0)
    trials.score[0] += 1000
    trials.score[1] = trials.score[0] + 0.1
    moments = moments_of(trials, design_of("t"))
    assert not changes(moments).square.any()
    assert not ancova(moments, np.array([-1.0, 1.0])).ok.any()
