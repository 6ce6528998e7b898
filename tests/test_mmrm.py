"""The mixed model for repeated measures against the direct maximum of its restricted likelihood."""

import numpy as np
import pytest
from scipy import optimize, special

from gmfmsim.streams import stream
from gmfmsim.trial.analyse.kernels.mmrm import mmrm
from gmfmsim.trial.analyse.kernels.mmrm_gaps import mmrm_any_pattern
from gmfmsim.trial.moments import Moments

WEIGHTS = np.array([-1.0, 1.0])


def scores(children, visits, trials, *, lost=0.0, missed=0.0, seed=1, effect=0.0, informative=0.0):
    """Return scores (1 + V, N, R), NaN where not seen, and the last visit kept (N, R); arms alternate."""
    rng = stream(seed, "scores")
    mix = np.tril(rng.normal(0, 0.5, (1 + visits, 1 + visits))) + 2 * np.eye(1 + visits)
    y = 50 + np.einsum("ij,jnr->inr", mix, rng.standard_normal((1 + visits, children, trials)))
    y[1:, 1::2] += effect
    out = y.copy()
    kept = np.full((children, trials), visits)
    for v in range(1, 1 + visits):
        chance = special.ndtr(special.ndtri(lost / visits + 1e-12) - informative * (y[v - 1] - 50))
        gone = (kept >= v) & (rng.random((children, trials)) < chance)
        kept[gone] = v - 1
        away = (kept < v) | ((v < visits) & (rng.random((children, trials)) < missed))
        out[v][away] = np.nan
    return out, kept


def moments(y, kept, arms=2, covariates=()):
    """Return the moments of children in alternating arms, by definition."""
    visits, trials = y.shape[0] - 1, y.shape[2]
    columns = np.concatenate([*(x[None] for x in covariates), y])
    d, c = columns.shape[0], len(covariates)
    n, mean = np.zeros((arms, 1 + visits, trials), int), np.zeros((arms, 1 + visits, d, trials))
    cross = np.zeros((arms, 1 + visits, d, d, trials))
    arm = np.arange(y.shape[1]) % arms
    for a, p, r in np.ndindex(n.shape):
        here = columns[: c + 1 + p, (arm == a) & (kept[:, r] == p), r]
        n[a, p, r] = here.shape[1]
        if here.size:
            mean[a, p, : c + 1 + p, r] = here.mean(axis=1)
            apart = here - here.mean(axis=1, keepdims=True)
            cross[a, p, : c + 1 + p, : c + 1 + p, r] = apart @ apart.T
    return Moments(n, mean, cross)


def design_columns(y, covariates=()):
    """Return columns (q, N, R): two alternating arms, covariates, baseline."""
    arm = np.arange(y.shape[1]) % 2
    arms = [np.broadcast_to((arm == a)[:, None], y.shape[1:]) for a in (0, 1)]
    return np.array([*arms, *covariates, y[0]], float)


def restricted_maximum(y, x):
    """Return contrast, variance given S, and -2 log restricted likelihood at its direct maximum; y (V, N), x (q, N)."""
    visits, q = y.shape[0], x.shape[0]
    rows = np.tril_indices(visits)

    def solved(theta):
        low = np.zeros((visits, visits))
        low[rows] = theta
        low[np.diag_indices(visits)] = np.exp(np.diag(low))
        covariance = low @ low.T
        a, b, quadratic, logs = np.zeros((visits * q, visits * q)), np.zeros(visits * q), 0.0, 0.0
        for child in range(y.shape[1]):
            seen = np.flatnonzero(~np.isnan(y[:, child]))
            if seen.size == 0:
                continue
            part = covariance[np.ix_(seen, seen)]
            z = np.zeros((seen.size, visits * q))
            for row, v in enumerate(seen):
                z[row, v * q : (v + 1) * q] = x[:, child]
            inverse = np.linalg.inv(part)
            a += z.T @ inverse @ z
            b += z.T @ inverse @ y[seen, child]
            quadratic += y[seen, child] @ inverse @ y[seen, child]
            logs += np.linalg.slogdet(part)[1]
        beta = np.linalg.solve(a, b)
        return logs + np.linalg.slogdet(a)[1] + quadratic - b @ beta, beta, a

    first = np.zeros(rows[0].size)
    best = optimize.minimize(lambda t: solved(t)[0], first, method="BFGS", options={"gtol": 1e-5, "maxiter": 500})
    polished = optimize.minimize(
        lambda t: solved(t)[0],
        best.x,
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 20_000, "maxfev": 40_000},
    )
    value, beta, a = solved(polished.x)
    aim = np.zeros(visits * q)
    aim[-q], aim[-q + 1] = WEIGHTS
    return aim @ beta, aim @ np.linalg.solve(a, aim), value


def centred(y):
    """Return scores less their mean at baseline, which no contrast sees, so that the direct maximum is well scaled."""
    return (y - 50) / 2


def test_known_complete_data_give_the_ancova_of_the_last_visit():
    y, kept = scores(30, 4, 200, effect=1.0)
    estimate, se, df, ok = mmrm(moments(y, kept), WEIGHTS)
    assert ok.all()
    np.testing.assert_allclose(df, 30 - 3, rtol=1e-9)
    for r in range(0, 200, 20):
        x = design_columns(y)[..., r].T
        beta, rss, *_ = np.linalg.lstsq(x, y[-1, :, r])
        variance = rss[0] / 27 * (WEIGHTS @ np.linalg.inv(x.T @ x)[:2, :2] @ WEIGHTS)
        np.testing.assert_allclose([estimate[r], se[r]], [beta[1] - beta[0], np.sqrt(variance)], rtol=1e-9)


@pytest.mark.parametrize("trials", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("lost", "missed"), [(0.4, 0.0), (0.25, 0.2)])
def test_known_maximum_of_the_restricted_likelihood(lost, missed, trials):
    """Estimate to 1e-6 of the direct maximum, for losses alone and with gaps; three visits, 24 children."""
    y, kept = scores(24, 3, 2, lost=lost, missed=missed, seed=3)
    y = centred(y)
    found = mmrm_any_pattern(y[1:], design_columns(y), WEIGHTS)
    for r in range(trials):
        contrast, given, _ = restricted_maximum(y[1:, :, r], design_columns(y)[..., r])
        assert found[0][r] == pytest.approx(contrast, abs=1e-6)
        assert found[1][r] ** 2 > given * (1 - 1e-6)  # with the covariances unknown, no less
        if missed == 0:
            estimate, se, _, _ = mmrm(moments(y, kept), WEIGHTS)
            assert estimate[r] == pytest.approx(contrast, abs=1e-6)
            assert se[r] == pytest.approx(found[1][r], rel=1e-6)


def test_known_information_by_differences():
    """The standard error squared is the contrast's entry in the inverse of the whole observed information."""
    y, kept = scores(40, 2, 1, lost=0.5, seed=5)
    y = centred(y)
    x = design_columns(y)[..., 0]
    q, visits = 3, 2

    def minus_log_likelihood(theta, given):
        """Factorised, at variances given: they are orthogonal to the rest at the maximum."""
        total = 0.0
        b = theta[: visits * q].reshape(visits, q)
        slope = theta[visits * q]
        e = y[1:, :, 0] - b @ x
        seen = ~np.isnan(e)
        total += np.sum(e[0, seen[0]] ** 2) / (2 * given[0])
        both = seen[1]
        return total + np.sum((e[1, both] - slope * e[0, both]) ** 2) / (2 * given[1])

    seen = ~np.isnan(y[1:, :, 0])
    first, *_ = np.linalg.lstsq(x[:, seen[0]].T, y[1, seen[0], 0])
    z = np.vstack([x, y[1, :, 0]])[:, seen[1]].T
    second, *_ = np.linalg.lstsq(z, y[2, seen[1], 0])
    rss = [np.sum((y[1, seen[0], 0] - x[:, seen[0]].T @ first) ** 2), np.sum((y[2, seen[1], 0] - z @ second) ** 2)]
    given = np.array(rss) / (seen.sum(axis=1) - q)
    at = np.concatenate([first, second[:q] + second[q] * first, [second[q]]])
    size, h = at.size, 1e-3
    hessian = np.zeros((size, size))
    for i, j in np.ndindex(size, size):
        steps = [(si, sj) for si in (h, -h) for sj in (h, -h)]
        values = [minus_log_likelihood(at + si * np.eye(size)[i] + sj * np.eye(size)[j], given) for si, sj in steps]
        hessian[i, j] = (values[0] - values[1] - values[2] + values[3]) / (4 * h * h)
    aim = np.zeros(size)
    aim[q], aim[q + 1] = WEIGHTS
    estimate, se, _, _ = mmrm(moments(y, kept), WEIGHTS)
    assert estimate[0] == pytest.approx(aim @ at, abs=1e-9)
    assert se[0] ** 2 == pytest.approx(aim @ np.linalg.solve(hessian, aim), rel=1e-4)  # differences of 1e-3


def test_both_ways_agree_without_gaps():
    """Regressions and EM steps meet in the same maximum, error and degrees of freedom, with a covariate too."""
    y, kept = scores(60, 4, 20, lost=0.3)
    age = stream(2, "age").normal(8, 3, y.shape[1:])
    a = mmrm(moments(y, kept, covariates=[age]), WEIGHTS)
    b = mmrm_any_pattern(y[1:], design_columns(y, [age]), WEIGHTS)
    assert a[3].all()
    assert b[3].all()
    np.testing.assert_allclose(a[0], b[0], atol=1e-7)
    np.testing.assert_allclose(a[1], b[1], rtol=1e-6)
    np.testing.assert_allclose(a[2], b[2], rtol=1e-4)  # differences of the gradient


def test_invariances():
    """Shifts of a visit or a covariate change nothing, scale scales, swapped arms swap the sign."""
    y, kept = scores(50, 3, 10, lost=0.3, effect=1.0)
    estimate, se, df, _ = mmrm(moments(y, kept), WEIGHTS)
    moved = y + np.array([100, -20, 7, 3])[:, None, None]
    for other, factor in ((moments(moved, kept), 1), (moments(10 * y, kept), 10)):
        again = mmrm(other, WEIGHTS)
        np.testing.assert_allclose(again[0], factor * estimate, rtol=1e-7)
        np.testing.assert_allclose(again[1], factor * se, rtol=1e-7)
        np.testing.assert_allclose(again[2], df, rtol=1e-7)
    np.testing.assert_allclose(mmrm(moments(y, kept), -WEIGHTS)[0], -estimate, rtol=1e-9)
    gaps, _ = scores(50, 3, 4, lost=0.2, missed=0.2)
    a = mmrm_any_pattern(gaps[1:], design_columns(gaps), WEIGHTS)
    b = mmrm_any_pattern(10 * gaps[1:] + 5, design_columns(gaps + 300), WEIGHTS)
    np.testing.assert_allclose(b[0], 10 * a[0], rtol=1e-6)
    np.testing.assert_allclose(b[1], 10 * a[1], rtol=1e-6)


def test_a_column_that_arms_determine_is_left_out():
    y, kept = scores(40, 3, 5, lost=0.3)
    nobody = np.zeros(y.shape[1:])
    plain, more = mmrm(moments(y, kept), WEIGHTS), mmrm(moments(y, kept, covariates=[nobody]), WEIGHTS)
    for a, b in zip(plain, more, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)
    again = mmrm_any_pattern(y[1:], design_columns(y, [nobody]), WEIGHTS)
    np.testing.assert_allclose(again[0], plain[0], atol=1e-6)
    arm = np.broadcast_to((np.arange(40) % 2)[:, None], y.shape[1:]).astype(float)
    assert not mmrm(moments(y, kept, covariates=[arm]), WEIGHTS)[3].any()


def test_too_few_children_fail_and_say_so():
    y, kept = scores(8, 3, 200, lost=0.8)
    estimate, se, df, ok = mmrm(moments(y, kept), WEIGHTS)
    assert 0 < ok.mean() < 1
    for values in (estimate, se, df):
        assert (np.isfinite(values) == ok).all()
    nobody = np.full_like(y[1:], np.nan)
    assert not mmrm_any_pattern(nobody, design_columns(y), WEIGHTS)[3].any()


@pytest.mark.parametrize("informative", [0.0, 0.2])
def test_recovery_under_loss_that_depends_on_the_last_score(informative):
    """Bias, error and coverage hold where losses are missing at random, and where they are completely so."""
    y, kept = scores(60, 3, 1500, lost=0.3, effect=0.0, informative=informative, seed=11)
    estimate, se, df, ok = mmrm(moments(y, kept), WEIGHTS)
    assert ok.all()
    assert abs(estimate.mean()) < 4 * estimate.std() / np.sqrt(1500)
    assert np.sqrt((se**2).mean()) == pytest.approx(estimate.std(), rel=4 / np.sqrt(2 * 1500))
    claims = np.mean(2 * special.stdtr(df, -np.abs(estimate / se)) < 0.05)
    assert abs(claims - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 1500)


def test_recovery_with_gaps():
    y, _ = scores(60, 3, 1000, lost=0.15, missed=0.15, effect=0.7, seed=12)
    estimate, se, df, ok = mmrm_any_pattern(y[1:], design_columns(y), WEIGHTS)
    assert ok.all()
    assert abs(estimate.mean() - 0.7) < 4 * estimate.std() / np.sqrt(1000)
    claims = np.mean(2 * special.stdtr(df, -np.abs((estimate - 0.7) / se)) < 0.05)
    assert abs(claims - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 1000)
