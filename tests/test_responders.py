"""Responders and adverse events: against other quadratures, against what must hold for any counts, and real counts."""

import itertools
import json

import numpy as np
import pytest
from conftest import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, interpolate, special, stats

from gmfmsim.dist.distributions import Normal
from gmfmsim.dist.positive import HalfCauchy, HalfNormal, LogNormal
from gmfmsim.evidence.read import read_tables
from gmfmsim.faults import InputError
from gmfmsim.model.responders import responder_posterior, responders_of
from gmfmsim.streams import stream

MU = Normal(dist="normal", mean=0, sd=2)
PROBS = [0.025, 0.5, 0.975]
FEW = (32, 24, 12)


def half_normal(sd):
    return HalfNormal(dist="half_normal", sd=sd)


def summary(posterior) -> np.ndarray:
    rows = [[*posterior.moments(name), *posterior.quantile(name, PROBS)] for name in ("mu", "tau", "p_new")]
    return np.array([posterior.log_marginal, *itertools.chain(*rows)])


def brute_force(r, n, tau_sd, *, step=0.06, tau_max=4.0) -> dict:
    """Integrate on dense even grids of tau, mu and z: the trapezoidal rule, tau from 0, where all is even in it."""
    tau = np.linspace(0, tau_max, 121)
    mu, z = np.arange(-14, 8, step), np.linspace(-8.5, 8.5, 141)
    weight = stats.norm.pdf(z) * (z[1] - z[0])
    joint = stats.norm.pdf(mu, 0, 2) * stats.halfnorm.pdf(tau, scale=tau_sd)[:, None] * step
    first = np.empty_like(joint)
    studies, many = np.unique(np.stack([r, n], 1), axis=0, return_counts=True)
    for i, t in enumerate(tau):
        theta = mu[:, None] + t * z
        none = np.logaddexp(0, theta)
        first[i] = np.exp(theta - none) @ weight
        for (a, b), power in zip(studies, many, strict=True):
            joint[i] *= (special.binom(b, a) * np.exp(a * theta - b * none) @ weight) ** power
    of_tau = interpolate.CubicSpline(tau, joint.sum(axis=1), bc_type=((1, 0.0), "not-a-knot"))
    total = integrate.trapezoid(of_tau(tau), tau)
    mean_p = integrate.trapezoid((joint * first).sum(axis=1), tau) / total
    cdf = of_tau.antiderivative()
    return {"log_marginal": np.log(total), "p_new": mean_p, "tau_cdf": lambda x: cdf(x) / total}


@pytest.mark.parametrize(("target", "sd"), [pytest.param("ES19", 1.0, marks=pytest.mark.slow), ("ES20", 0.5)])
def test_reference_es19_es20_responders(reference, target, sd):
    data, gold = json.loads(reference[target]["input"]), reference[target]["expected"]["gold"]
    posterior = responder_posterior(data["r"], data["n"], mu=MU, tau=half_normal(sd))
    for name in ("tau", "p_new"):
        assert posterior.moments(name) == pytest.approx((gold[name]["mean"], gold[name]["sd"]), abs=2e-5)
    assert posterior.quantile("p_new", PROBS) == pytest.approx(gold["p_new"]["q"], abs=5e-6)
    # the reference's quantiles of tau are 0.0005 to 0.003 low, those of a grid read at its nodes; these are not
    exact = brute_force(data["r"], data["n"], sd)
    # 3e-6: the cubic spline of the dense grid; with half its step the difference is a sixteenth
    assert exact["tau_cdf"](posterior.quantile("tau", PROBS)) == pytest.approx(PROBS, abs=3e-6)
    assert posterior.quantile("tau", PROBS) == pytest.approx(gold["tau"]["q"], abs=4e-3)
    assert posterior.log_marginal == pytest.approx(exact["log_marginal"], abs=1e-8)
    assert posterior.moments("p_new")[0] == pytest.approx(exact["p_new"], abs=1e-8)


@pytest.mark.parametrize(
    ("r", "n", "tau"),
    [
        ([3, 0, 5], [9, 4, 5], half_normal(0.5)),
        pytest.param(
            [23, 12, 19, 9, 39, 6, 9, 10],
            [107, 44, 51, 39, 139, 20, 78, 35],
            half_normal(0.5),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            [23, 12, 19, 9, 39, 6, 9, 10],
            [107, 44, 51, 39, 139, 20, 78, 35],
            HalfCauchy(dist="half_cauchy", scale=5),
            marks=pytest.mark.slow,
        ),
        pytest.param([0] * 5, [12, 27, 18, 57, 40], half_normal(1), marks=pytest.mark.slow),
        pytest.param([900, 100, 500] * 9, [1000] * 27, half_normal(10), marks=pytest.mark.slow),
        pytest.param([3, 0, 5], [9, 4, 5], LogNormal(dist="lognormal", median=1e-9, sigma=0.1), marks=pytest.mark.slow),
    ],
)
def test_twice_the_nodes_change_nothing(r, n, tau):
    once = summary(responder_posterior(r, n, mu=MU, tau=tau))
    twice = summary(responder_posterior(r, n, mu=MU, tau=tau, nodes=(192, 160, 64)))
    assert once == pytest.approx(twice, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize(
    ("n", "tau"),
    [
        ((1, 2), half_normal(2)),
        pytest.param((2, 3), half_normal(2), marks=pytest.mark.slow),
        pytest.param((2, 3), HalfCauchy(dist="half_cauchy", scale=1), marks=pytest.mark.slow),
    ],
)
def test_known_probabilities_of_all_counts_sum_to_one(n, tau):
    """For each pair of counts its marginal likelihood, normal and heavy-tailed prior of tau alike."""
    logs = [
        responder_posterior(r, n, mu=MU, tau=tau, nodes=(96, 48, 32)).log_marginal
        for r in itertools.product(*(range(children + 1) for children in n))
    ]
    assert np.exp(logs).sum() == pytest.approx(1, abs=1e-7)


def test_known_one_probability_where_tau_is_nothing():
    """Without heterogeneity one binomial with a logit-normal prior: one integral."""
    r, n = [0, 3, 1], [10, 30, 25]
    posterior = responder_posterior(r, n, mu=MU, tau=LogNormal(dist="lognormal", median=1e-9, sigma=0.1))

    def likelihood(mu, power=0):
        p = special.expit(mu)
        return p**power * stats.norm.pdf(mu, 0, 2) * stats.binom.pmf(r, n, p).prod()

    total, mean = (integrate.quad(likelihood, -12, 6, (k,), points=[-3], epsabs=1e-16)[0] for k in (0, 1))
    assert posterior.log_marginal == pytest.approx(np.log(total), abs=1e-8)
    assert posterior.moments("p_new")[0] == pytest.approx(mean / total, abs=1e-9)


def test_known_one_child_says_nothing_of_tau():
    """By symmetry P(r = 1 of 1) = 1/2 whatever tau is: its posterior is its prior."""
    posterior = responder_posterior([1], [1], mu=MU, tau=half_normal(1))
    assert posterior.log_marginal == pytest.approx(np.log(0.5), abs=1e-12)
    assert posterior.quantile("tau", PROBS) == pytest.approx(stats.halfnorm.ppf(PROBS), abs=1e-9)


@settings(max_examples=examples(2, 6), deadline=None)
@given(st.lists(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=1, max_size=4))
def test_counting_the_others_mirrors_the_posterior(counts):
    r, n = np.array(counts).T
    one, other = (responder_posterior(a, n, mu=MU, tau=half_normal(0.7), nodes=FEW) for a in (r, n - r))
    assert one.log_marginal == pytest.approx(other.log_marginal, abs=1e-9)
    assert one.moments("p_new")[0] == pytest.approx(1 - other.moments("p_new")[0], abs=1e-5)  # at few nodes, too
    assert one.above(0.3) == pytest.approx(float(other.cdf("p_new", 0.7)), abs=1e-6)
    assert one.quantile("mu", 0.2) == pytest.approx(-other.quantile("mu", 0.8), abs=1e-4)  # at few nodes


@pytest.mark.slow
def test_recovery_truths_from_the_prior_are_uniform_in_the_posterior():
    """Simulation-based calibration (Talts et al. 2018): P(parameter <= truth) is uniform, here over 40 data sets."""
    rng, tau, n = stream(5, "calibration"), half_normal(0.8), np.array([15, 40, 25])
    ranks = []
    for _ in range(40):
        truth = {"mu": 2 * rng.standard_normal(), "tau": 0.8 * abs(rng.standard_normal())}
        p = special.expit(truth["mu"] + truth["tau"] * rng.standard_normal(4))
        posterior = responder_posterior(rng.binomial(n, p[:3]), n, mu=MU, tau=tau, nodes=FEW)
        ranks.append([float(posterior.cdf(name, x)) for name, x in (truth | {"p_new": p[3]}).items()])
    for rank in np.transpose(ranks):
        assert stats.kstest(rank, "uniform").pvalue > 0.005


def test_draws_follow_the_posterior():
    posterior = responder_posterior([2, 0, 7], [20, 15, 30], mu=MU, tau=half_normal(1))
    draws = posterior.draws(40_000, stream(1, "draws"))
    for name in ("mu", "tau", "p_new"):
        values = getattr(draws, name)
        assert stats.kstest(posterior.cdf(name, values[:200]), "uniform").pvalue > 0.005
        mean, sd = posterior.moments(name)
        assert abs(values.mean() - mean) < 4 * sd / np.sqrt(values.size)
    # mu and tau together: E[mu tau] by the nodes
    product = (posterior.weight * posterior.tau) @ (posterior.mu_weight * posterior.mu).sum(axis=1)
    both = draws.mu * draws.tau
    assert abs(both.mean() - product) < 4 * both.std() / np.sqrt(both.size)


@pytest.mark.parametrize(
    ("r", "n"), [([], []), ([3], [2]), ([-1], [2]), ([0], [0]), ([1.5], [3]), ([1, 2], [3]), ([1], [np.nan])]
)
def test_impossible_counts_are_refused(r, n):
    with pytest.raises(ValueError, match=r"r = |r \("):
        responder_posterior(r, n, mu=MU, tau=half_normal(1))


def test_impossible_priors_and_questions_are_refused():
    with pytest.raises(ValueError, match="must be a Normal prior"):
        responder_posterior([1], [2], mu=half_normal(1), tau=half_normal(1))
    with pytest.raises(ValueError, match="values above 0"):
        responder_posterior([1], [2], mu=MU, tau=MU)
    posterior = responder_posterior([1], [2], mu=MU, tau=half_normal(1), nodes=FEW)
    with pytest.raises(ValueError, match="must be mu, tau or p_new"):
        posterior.moments("p")
    with pytest.raises(ValueError, match="between 0 and 1"):
        posterior.quantile("mu", 1.0)


def test_known_counts_of_serious_adverse_events_after_cells():
    """Most trials saw none, and reviews are left out."""
    study, r, n = responders_of(read_tables(), event="serious_adverse")
    counts = {s: (a, b) for s, a, b in zip(study, r, n, strict=True)}
    assert (counts["Rah2017"], counts["Min2013"]) == ((0, 57), (3, 35))
    assert not {"Eggenberger2019", "Novak2016"} & set(study)  # reviews, whose trials stand here
    assert sum(a == 0 for a in r) > len(r) / 2


@pytest.mark.slow
def test_reference_serious_adverse_events_after_cells():
    """The model takes the zeros of most trials as they are, and agrees with dense grids."""
    _, r, n = responders_of(read_tables(), event="serious_adverse")
    posterior = responder_posterior(r, n, mu=MU, tau=half_normal(0.5))
    exact = brute_force(r, n, 0.5)
    assert posterior.log_marginal == pytest.approx(exact["log_marginal"], abs=1e-8)
    assert posterior.moments("p_new")[0] == pytest.approx(exact["p_new"], abs=1e-9)
    assert exact["tau_cdf"](posterior.quantile("tau", PROBS)) == pytest.approx(PROBS, abs=3e-6)  # of the spline


def test_children_of_a_joint_arm_count_once():
    study, r, n = responders_of(read_tables(), event="serious_adverse", role="control")
    assert (r[study.index("Min2013")], n[study.index("Min2013")]) == (6, 70)  # epo+ctrl, not its parts as well


def test_an_event_that_no_arm_counts_is_named():
    with pytest.raises(InputError, match="nearest: responder"):
        responders_of(read_tables(), event="responders")
