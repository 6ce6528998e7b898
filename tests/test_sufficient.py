"""Sufficient statistics against children drawn one by one, and the two-arm trial against its rule written out."""

import itertools

import numpy as np
import pytest
from design_cases import two_arms, with_test
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from gmfmsim.streams import stream
from gmfmsim.trial.analyse.kernels.moments import moments_of
from gmfmsim.trial.generate.bartlett import arm_means, binomial, draw_moments, factors, qualifies
from gmfmsim.trial.generate.chi import TABLED, chi, chi_table
from gmfmsim.trial.generate.children import draw_trials
from gmfmsim.trial.kinds.crossover import Crossover
from gmfmsim.trial.kinds.factorial import Factorial
from gmfmsim.trial.kinds.parallel import ParallelArms
from gmfmsim.trial.two_arm import significant

ARMS = [{"name": "control", "dose": "0 cells/kg"}, {"name": "cells", "dose": "5e7 cells/kg", "ratio": 2}]
SD = 5.5


def figure(value, **more):
    return {"value": value, "source": "a test", "verified": "assumed"} | more


def children(dropout=0.0, **changes):
    return {
        "kind": "normal",
        "excess_sd": figure(SD),
        "excess_growth": figure(0.3),
        "visit_correlation": figure(0.8),
        "measurement_error": figure(1.5),
        "response_sd": figure(0),
        "dropout": figure(dropout),
        "missed": figure(0),
        "baseline": figure(50),
        "baseline_sd": figure(12),
        "growth": figure(3),
    } | changes


def declared(visits=(3.0, 6.0, 12.0), dropout=0.0, kind=ParallelArms, arms=ARMS, **changes):
    words = {
        ParallelArms: {"kind": "parallel", "onset": [0.5] * (len(visits) - 1) + [1.0]},
        Factorial: {"kind": "factorial", "drug": "a drug", "drug_effect": figure(2), "interaction": figure(1)},
        Crossover: {"kind": "crossover", "carry_over": figure(-0.5), "period_effect": figure(0.7)},
    }[kind]
    base = {
        "title": "A design",
        "source": "a test",
        "arms": arms,
        "visits": list(visits),
        "analyses": [{"method": "t"}],
    }
    return kind.model_validate(base | words | {"children": children(dropout)} | changes)


def drawn(draw, design, n, trials, *, truth=2.0, sd=SD, seed=1):
    effect = np.outer([arm.dose > 0 for arm in design.arms], np.full(trials, truth)).astype(float)
    return draw(design, n, effect, np.full(trials, sd), stream(seed, "trials"))


def count_children(design, n, effect, sd, rng):
    """The moments of children drawn one by one."""
    return moments_of(draw_trials(design, n, effect, sd, rng), design)


@pytest.mark.parametrize("df", [1, 2, 3, 7, 30, TABLED, TABLED + 1, 1000, 20_000])
def test_known_chi_quantiles(df):
    z = np.linspace(-4, 4, 997)
    exact = np.where(
        z < 0, special.gammaincinv(df / 2, special.ndtr(z)), special.gammainccinv(df / 2, special.ndtr(-z))
    )
    found = np.array([chi(df, x, chi_table()) for x in z])
    assert np.abs(found - np.sqrt(2 * exact)).max() < 1e-6
    assert chi(0, 1.0, chi_table()) == 0


@given(n=st.integers(0, 30_000), share=st.floats(0, 1), u=st.floats(1e-9, 1 - 1e-9))
@settings(max_examples=300, deadline=None)
def test_known_binomial_quantiles(n, share, u):
    found = binomial(n, share, u)
    below, upto = stats.binom.cdf([found - 1, found], n, share)
    assert below - 1e-9 <= u <= upto + 1e-9


@pytest.mark.parametrize("draw", [draw_moments, count_children])
def test_known_moments_of_complete_data(draw):
    design, n, trials = declared(), 6, 20_000
    found = drawn(draw, design, n, trials)
    mean, covariance = design.children.moments(np.array(design.visits), SD)
    mean = mean + np.outer([0, 2.0], [0, 0.5, 0.5, 1])
    size = np.array([6, 12])
    assert (found.n[:, -1] == size[:, None]).all()
    assert found.n[:, :-1].sum() == 0
    root = np.sqrt(np.diag(covariance))
    z = (found.mean[:, -1] - mean[..., None]).mean(axis=2) / (root / np.sqrt(size[:, None] * trials))
    assert np.abs(z).max() < 4
    expected = covariance * (size - 1)[:, None, None]
    spread = np.sqrt((np.outer(root, root) ** 2 + covariance**2) * (size - 1)[:, None, None] / trials)
    assert np.abs((found.cross[:, -1].mean(axis=3) - expected) / spread).max() < 4
    assert (found.cross == np.swapaxes(found.cross, 2, 3)).all()


@pytest.mark.parametrize(("visits", "dropout", "n"), [((12.0,), 0.08, 10), ((3.0, 6.0, 12.0), 0.4, 8)])
def test_statistics_and_children_agree(visits, dropout, n):
    design, trials = declared(visits, dropout), 20_000
    a, b = drawn(draw_moments, design, n, trials), drawn(count_children, design, n, trials, seed=2)
    for x, y in ((a.n, b.n), (a.mean, b.mean), (a.cross, b.cross)):
        for power in (1, 2):
            p, q = x.astype(float) ** power, y.astype(float) ** power
            error = np.sqrt((p.var(axis=-1) + q.var(axis=-1)) / trials)
            apart = np.abs(p.mean(axis=-1) - q.mean(axis=-1))
            assert (apart <= 4 * error).all()
    last = len(visits)
    for values in (lambda m: m.mean[1, -1, last] - m.mean[1, -1, 0], lambda m: m.cross[0, -1, 0, last]):
        assert stats.ks_2samp(values(a), values(b)).pvalue > 1e-3


FACTORIAL = [
    {"name": f"{dose}{drug}", "dose": f"{dose} cells/kg", "drug": drug}
    for dose, drug in itertools.product((0, 5e7), (False, True))
]
EQUAL = [ARMS[0], ARMS[1] | {"ratio": 1}]


@pytest.mark.parametrize(
    ("kind", "visits", "arms"),
    [(ParallelArms, (3.0, 6.0, 12.0), ARMS), (Factorial, (12.0,), FACTORIAL), (Crossover, (6.0, 12.0), EQUAL)],
)
def test_statistics_and_stored_children_agree(kind, visits, arms):
    """The generator of whole trials draws errors, excess and losses one by one; its moments are these moments."""
    design, trials, n = declared(visits, 0.25, kind=kind, arms=arms), 4000, 10
    whole = drawn(draw_trials, design, n, trials, seed=3)
    seen = np.isfinite(whole.score)
    pattern = seen.sum(axis=0) - 1
    a = drawn(draw_moments, design, n, trials)
    for arm, p in np.ndindex(a.n.shape[:2]):
        here = (whole.group == arm) & (pattern == p)
        pairs = [(a.n[arm, p], here.sum(axis=0))]
        for i in range(p + 1):
            x = np.where(here, whole.score[i], 0)
            pairs.append((a.n[arm, p] * a.mean[arm, p, i], x.sum(axis=0)))
            for j in range(i + 1):
                product = a.cross[arm, p, i, j] + a.n[arm, p] * a.mean[arm, p, i] * a.mean[arm, p, j]
                pairs.append((product, (x * np.where(here, whole.score[j], 0)).sum(axis=0)))
        for x, y in pairs:
            error = np.sqrt((np.var(x) + np.var(y)) / trials)
            assert abs(np.mean(x) - np.mean(y)) <= 4 * error


def test_correlations_of_statistics_agree():
    """Entries of one trial belong together: slope, residual variance and difference of one regression."""
    design, trials = declared((12.0,), 0.3), 20_000

    def regression(m):
        cross = m.cross[:, -1].sum(axis=0)
        slope = cross[0, 1] / cross[0, 0]
        return slope, cross[1, 1] - slope * cross[0, 1], m.mean[1, -1, 1] - m.mean[0, -1, 1]

    a = regression(drawn(draw_moments, design, 12, trials))
    b = regression(drawn(count_children, design, 12, trials, seed=2))
    for x, y in zip(a, b, strict=True):
        assert stats.ks_2samp(x, y).pvalue > 1e-3
    apart = np.corrcoef(np.array(a)) - np.corrcoef(np.array(b))
    assert np.abs(apart).max() < 4 * np.sqrt(2 / trials)


@pytest.mark.parametrize("draw", [draw_moments, count_children])
@pytest.mark.parametrize(("dropout", "visits"), [(0.2, 1), (0.5, 3)])
def test_known_shares_lost(draw, dropout, visits):
    trials, n = 4000, 10
    found = drawn(draw, declared([12.0 * (k + 1) for k in range(visits)], dropout), n, trials)
    kept = (1 - dropout) ** (np.arange(visits + 1) / visits)
    expected = np.append(kept[:-1] - kept[1:], kept[-1])
    share = found.n.sum(axis=(0, 2)) / (30 * trials)
    assert np.abs(share - expected).max() < 4 * np.sqrt(0.25 / (30 * trials))
    assert (found.n.sum(axis=1) == np.array([[10], [20]])).all()


@pytest.mark.parametrize("draw", [draw_moments, count_children])
def test_known_small_groups(draw):
    """Two children have cross-products of rank one, one child none; visits not seen hold 0."""
    found = drawn(draw, declared(dropout=0.6), 1, 3000)
    assert np.abs(found.cross[0]).max() < 1e-9  # one child in all
    for p, d in ((1, 2), (3, 4)):
        two = found.cross[1, p, :d, :d, found.n[1, p] == 2]
        assert len(two) > 50
        assert np.abs(np.linalg.det(two[:, :2, :2])).max() < 1e-8 * np.abs(two).max() ** 2
        assert (found.mean[1, p, d:] == 0).all()
        assert (found.cross[1, p, d:] == 0).all()
    assert (found.mean[:, 0, 0][found.n[:, 0] == 0] == 0).all()


def test_scenarios_share_noise():
    """Another truth moves means by itself; another spread, loss or n takes as many draws."""
    design = declared()
    a, b = drawn(draw_moments, design, 9, 50, truth=0.0), drawn(draw_moments, design, 9, 50, truth=2.0)
    np.testing.assert_allclose(b.mean[1, -1] - a.mean[1, -1], np.outer([0, 1, 1, 2], np.ones(50)), atol=1e-9)
    np.testing.assert_array_equal(a.cross, b.cross)
    wider = drawn(draw_moments, design, 9, 50, truth=0.0, sd=9.0)
    moved = [(m.mean[0, -1, -1] - m.mean[0, -1, 0]) for m in (a, wider)]
    assert np.corrcoef(*moved)[0, 1] > 0.98
    baselines = [m.mean[0, -1, 0] for m in (a, wider)]
    np.testing.assert_array_equal(*baselines)


def test_fixed_number_of_draws():
    after = []
    for dropout, n, truth in itertools.product((0.0, 0.3), (5, 50), (0.0, 2.0)):
        rng = stream(1, "draws")
        draw_moments(declared(dropout=dropout), n, np.full((2, 7), truth), np.full(7, SD), rng)
        after.append(rng.random())
    assert len(set(after)) == 1


def test_factors_are_of_the_covariance():
    design = declared()
    sd = np.array([4.0, 5.5, 8.0])
    found = factors(design, sd)
    for r, x in enumerate(sd):
        _, covariance = design.children.moments(np.array(design.visits), x)
        np.testing.assert_allclose(found[..., r] @ found[..., r].T, covariance, rtol=1e-12)
        assert (np.triu(found[..., r], 1) == 0).all()
    certain = declared(
        children=children(visit_correlation=figure(1), measurement_error=figure(0), excess_growth=figure(0))
    )
    found = factors(certain, np.array([5.5]))[..., 0]
    _, covariance = certain.children.moments(np.array(certain.visits), 5.5)
    np.testing.assert_allclose(found @ found.T, covariance, rtol=1e-12)
    assert np.isfinite(drawn(draw_moments, certain, 5, 3).cross).all()


def test_known_arm_means():
    design = declared((12.0,), kind=Factorial, arms=FACTORIAL)
    effect = np.array([0, 0, 1.5, 1.5])[:, None]
    np.testing.assert_allclose(arm_means(design, effect)[:, 1, 0], 53 + np.array([0, 2, 1.5, 1.5 + 2 + 1]))
    crossed = declared((6.0, 12.0), kind=Crossover, arms=EQUAL)
    found = arm_means(crossed, np.array([[0.0], [4.0]]))[..., 0]
    np.testing.assert_allclose(found, [[50, 51.5, 53 + 0.7 + 4], [50, 55.5, 53 + 0.7 + 4 - 2]])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"children": children(missed=figure(0.1))}, "missed"),
        ({"children": children(response_sd=figure(1))}, "differently"),
        ({"children": children(centres={"number": 3, "sd": 1, "source": "a test", "verified": "assumed"})}, "centre"),
        ({"children": children() | {"dropout": figure(0.1, mechanism="informative", slope=-1)}}, "depends"),
        ({"randomisation": {"method": "simple"}}, "simple"),
    ],
)
def test_designs_without_sufficient_statistics(changes, words):
    design = declared(**changes)
    assert words in qualifies(design)
    with pytest.raises(ValueError, match=words):
        drawn(draw_moments, design, 5, 2)
    assert qualifies(declared(dropout=0.2)) is None


def two_arm(dropout, ratio):
    arms = [ARMS[0], ARMS[1] | {"ratio": ratio}]
    return two_arms(arms=arms, dropout=dropout)


@pytest.mark.parametrize("method", ["t", "z"])
@pytest.mark.parametrize(
    ("dropout", "ratio", "n"), [(0, 1, 100), (0.08, 1, 2), (0.08, 2, 40), (0.5, 1, 7), (0.3, 1.5, 900)]
)
def test_known_two_arm_verdicts(method, dropout, ratio, n):
    """The rule of `simulate`, every quantile taken."""
    design, draws = two_arm(dropout, ratio), 20_000
    rng = stream(n, "verdicts")
    z, u = rng.standard_normal(draws), rng.random((3, draws))
    effect = np.array([np.zeros(draws), rng.normal(0.3, 0.3, draws)])
    sizes = design.sizes(n)
    n1, n0 = (stats.binom.ppf(x, sizes[name], 1 - dropout) for name, x in (("cells", u[0]), ("control", u[1])))
    enough = (n1 >= 2) & (n0 >= 2)
    n1, n0 = np.maximum(n1, 2), np.maximum(n0, 2)
    df = n1 + n0 - 2
    critical = np.full(draws, special.ndtri(0.975))
    if method == "t":
        critical = special.stdtrit(df, 0.975) * np.sqrt(special.chdtri(df, u[2]) / df)
    statistic = effect / np.sqrt(1 / n1 + 1 / n0) + z
    benefit, harm = significant(with_test(design, method), n, effect, z, u)
    np.testing.assert_array_equal(benefit, enough & (statistic > critical))
    np.testing.assert_array_equal(harm, enough & (statistic < -critical))
    assert benefit.any()
    assert harm.any()
