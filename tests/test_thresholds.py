"""Step and threshold curves as models: dense quadrature, planted truths, both engines, and what is said of them."""

import numpy as np
import pytest
from quadrature import posterior as dense
from scipy import stats

import gmfmsim
from gmfmsim.answer.fit import to_json, to_text
from gmfmsim.evidence.contrasts import contrasts_from_arrays
from gmfmsim.model.declare import ModelChoice, read_model
from gmfmsim.model.engine import fit
from gmfmsim.model.exact import fit_exact
from gmfmsim.model.nuts import Sampler, build

SHAPES = {
    "step": ("plateau", lambda d, t: 1 / (1 + (t / d) ** 8)),
    "threshold": ("slope", lambda d, t: np.logaddexp(0, 8 * np.log(d / t)) / (8 * np.log(10))),
}
"""Amplitude and f of dose and threshold, written otherwise than in the package."""
DOSES = np.array([1.4e7, 3.15e7, 5.46e7, 1e8])


def declared(name):
    return read_model(ModelChoice(name=name))


def contrasts(effect, se, dose, **more):
    return contrasts_from_arrays(effect, np.broadcast_to(se, np.shape(effect)) ** 2, dose=dose, **more)


@pytest.mark.parametrize("name", SHAPES)
def test_reference_posteriors_equal_dense_quadrature(name):
    amplitude, shape = SHAPES[name]
    effect, se = np.array([-1.6, 1.9, 1.8, 3.3]), np.array([1.9, 1.7, 1.1, 1.4])
    exact = fit_exact(declared(name), contrasts(effect, se, DOSES))
    gold = dense(
        effect,
        np.diag(se**2),
        np.arange(4),
        np.ones(4, bool),
        amplitude_sd=10,
        tau=stats.halfnorm(scale=2),
        ed50=stats.lognorm(s=1.6, scale=2e7),
        shape=lambda nodes: shape(DOSES, nodes),
        points=(40, 1, 700),
    )
    assert exact.log_marginal == pytest.approx(gold.log_marginal, abs=1e-6)
    assert exact.moments(amplitude) == pytest.approx(gold.moments(), rel=1e-6)
    assert exact.moments("tau") == pytest.approx(gold.moments("tau"), rel=1e-6)
    above = stats.norm.sf(0, gold.mean, np.sqrt(gold.variance))
    assert exact.coefficient(amplitude).above() == pytest.approx(gold.weight @ above, rel=1e-6)
    for dose in (7e6, 2e7, 6e7):
        below = gold.weight @ (gold.phi["ed50"] < dose)  # a count of nodes
        assert exact.parameter("threshold").cdf(dose) == pytest.approx(below, abs=3e-3)


@pytest.mark.parametrize("name", SHAPES)
def test_recovery_of_a_planted_threshold(name):
    """Forty studies over two decades of dose, threshold 2.5e7, 5 points above it or per tenfold dose."""
    amplitude, shape = SHAPES[name]
    rng = np.random.default_rng(8)
    dose = 10 ** rng.uniform(6.5, 8.7, 40)
    truth = (5 + 0.5 * rng.standard_normal(40)) * shape(dose, 2.5e7)
    exact = fit_exact(declared(name), contrasts(truth + 0.6 * rng.standard_normal(40), 0.6, dose))
    low, high = (exact.parameter("threshold").quantile(p) for p in (0.005, 0.995))
    assert low < 2.5e7 < high < 3 * low
    mean, sd = exact.moments(amplitude)
    assert sd < 0.6
    assert abs(mean - 5) < 3 * sd


def test_known_a_step_between_two_doses_is_known_to_lie_between_them_and_no_more():
    """No effect at 1e7, a large one at 9e7: between, the posterior of the threshold is its prior cut off."""
    dose = np.array([1e7, 9e7]).repeat(6)
    data = contrasts(np.where(dose > 2e7, 8.0, 0.0), 0.5, dose)
    exact, prior = fit_exact(declared("step"), data).parameter("threshold"), stats.lognorm(s=1.6, scale=2e7)
    assert exact.cdf(9e7) - exact.cdf(1e7) > 0.95  # half of a larger step at 9e7 is not excluded
    inside = np.array([1.8e7, 2.5e7, 3.5e7, 5e7])
    of_prior = np.diff(prior.cdf(inside)) / np.ptp(prior.cdf(inside[[0, -1]]))
    found = np.diff([float(exact.cdf(d)) for d in inside])
    np.testing.assert_allclose(found / found.sum(), of_prior, atol=0.01)


# the sampling engine


@pytest.mark.parametrize("name", SHAPES)
def test_reference_the_sampling_engine_has_the_density_of_scipy(name):
    amplitude, shape = SHAPES[name]
    effect, study = np.array([-1.6, 1.9, 1.8, 3.3]), ["a", "a", "b", "c"]
    graph = build(declared(name), contrasts(effect, 1.5, DOSES, study=study))
    wanted = graph.replace_rvs_by_values([graph[v] for v in (amplitude, "threshold", "tau")])
    found = graph.compile_fn([*wanted, graph.logp(vars=graph["y"])], on_unused_input="ignore", mode="FAST_COMPILE")
    rng = np.random.default_rng(2)
    for _ in range(4):
        point = {v: x + rng.normal(0, 1, np.shape(x)) for v, x in graph.initial_point().items()}
        mean, threshold, tau, density = found(point)
        f = shape(DOSES, threshold)
        covariance = 1.5**2 * np.eye(4) + tau**2 * np.outer(f, f) * np.equal.outer(study, study)
        assert density == pytest.approx(stats.multivariate_normal(mean * f, covariance).logpdf(effect), rel=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_both_engines_agree_on_the_contrasts_of_cord_blood(name):
    data = gmfmsim.load("cord_blood_dose").contrasts()
    found = fit(declared(name), data, Sampler(), 5)
    assert found.verdict == "passed"
    assert found.passed


# what is said of it


def test_a_fit_says_between_which_doses_the_threshold_lies():
    """Before the data by SciPy's law; after them the share of draws, 20,000 of them: 5 standard errors are 0.018."""
    sampler = {"cross_check": False, "draws": 5000}
    (plan,) = gmfmsim.fit(
        gmfmsim.load("cord_blood_dose", {"model.name": "step", "sampler": sampler, "alternatives": []})
    )
    rows = to_json([plan])["plans"][0]["models"][0]["threshold"]
    doses = [1.41e7, 3.15e7, 5.46e7, 1e8]
    assert [row["above"] for row in rows] == [0.0, *doses]
    assert [row["up_to"] for row in rows] == [*doses, None]
    law, draws = stats.lognorm(s=1.6, scale=2e7), plan.members[0].tree["posterior"]["threshold"].values
    for row in rows:
        low, high = row["above"], row["up_to"] or np.inf
        assert row["prior"] == pytest.approx(law.cdf(high) - law.cdf(low), abs=2e-5)
        assert row["posterior"] == pytest.approx(((draws > low) & (draws <= high)).mean(), abs=0.018)
    assert sum(row["posterior"] for row in rows) == pytest.approx(1, abs=1e-12)
    assert "1.41e7 to 3.15e7" in to_text([plan])
