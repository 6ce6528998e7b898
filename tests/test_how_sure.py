"""How many children, and under which assumption: the record of dense quadrature, and what proves the quadrature."""

import itertools

import numpy as np
import pytest
from dense_n import (
    CASES,
    QUICKSTART,
    RATIO,
    Grids,
    Setting,
    effect_of,
    legendre,
    model_probabilities,
    recorded,
    trial_of,
    truths,
    without,
)
from quadrature import over_readings, t_test_power, t_test_success
from scipy import special, stats

import gmfmsim
from gmfmsim.evidence.contrasts import contrasts_from_arrays
from gmfmsim.files.shelf import find
from gmfmsim.files.toml import read_toml

FIRST = {
    "one_mean": 206,
    "arms": 347,
    "route": 340,
    "tau_1": 179,
    "tau_4": 228,
    "without_Sun2017": 145,
    "without_Sun2022": 234,
    "without_Min2013": 101,
    "sd_of_the_field": 803,
}
"""Children per arm by a quadrature that is not this one: over tau, r and readings, a t test over the truths."""
COARSE = Grids(mean=0.25, error=0.5, truth=0.1, sd=48, ratio=12)


@pytest.fixture(scope="module")
def quickstart():
    return gmfmsim.load("quickstart_one_mean").contrasts()


@pytest.mark.parametrize("case", FIRST)
def test_reference_required_n_is_within_one_per_cent_of_an_earlier_quadrature(case):
    assert recorded(case).n == pytest.approx(FIRST[case], rel=0.01)


@pytest.mark.parametrize("case", CASES)
def test_known_success_crosses_the_target_at_the_required_n(case):
    found = recorded(case)
    assert found.success_before < 0.8 <= found.success < found.plateau


def test_known_log_marginal_likelihoods_weigh_the_structures():
    first = {"one_mean": -35.64, "arms": -34.62}
    assert {name: round(recorded(name).log_marginal, 2) for name in first} == first
    share = model_probabilities()
    ratio = np.exp(recorded("arms").log_marginal - recorded("one_mean").log_marginal)
    assert share["arms"] / share["one_mean"] == pytest.approx(ratio, rel=1e-12)
    plateau = sum(share[name] * recorded(name).plateau for name in share)
    assert recorded("average").plateau == pytest.approx(plateau, abs=1e-9)


@pytest.mark.parametrize("case", ["one_mean", "months", "without_Min2013"])
def test_reference_coarser_grids_give_the_record(case, quickstart):
    found, record = effect_of(case, quickstart, COARSE), recorded(case)
    assert found.log_marginal == pytest.approx(record.log_marginal, abs=1e-6)
    assert found.above() == pytest.approx(record.plateau, abs=1e-6)
    assert t_test_success(found, record.n, **QUICKSTART) == pytest.approx(record.success, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_reference_dense_quadrature_gives_the_record(case, quickstart):
    found, record, trial = effect_of(case, quickstart), recorded(case), trial_of(case)
    assert found.log_marginal == pytest.approx(record.log_marginal, abs=1e-6)
    assert found.above() == pytest.approx(record.plateau, abs=1e-6)
    success = [t_test_success(found, n, **trial) for n in (record.n - 1, record.n)]
    assert success == pytest.approx((record.success_before, record.success), abs=1e-6)


# what proves the quadrature


@pytest.mark.parametrize(("n", "sigma"), [(3, 0.12), (10, 0.5)])
def test_reference_power_equals_scipys_non_central_t(n, sigma):
    theta = np.array([-3.0, 0.0, 2.0, 9.0])
    x, w = np.polynomial.hermite_e.hermegauss(40)
    k = np.arange(2, n + 1)
    k1, k0 = (size[..., None, None] for size in np.meshgrid(k, k))
    at = theta[:, None] / (5.5 * np.exp(sigma * x) * np.sqrt(1 / k1 + 1 / k0)[..., :])
    power = stats.nct.sf(stats.t.isf(0.025, k1 + k0 - 2), k1 + k0 - 2, at) @ (w / w.sum())
    stay = stats.binom.pmf(k, n, 0.92)
    expected = np.einsum("i,j,ijt->t", stay, stay, power)
    found = t_test_power(n, dropout=0.08, sd_median=5.5, sd_sigma=sigma)(theta)
    np.testing.assert_allclose(found, expected, atol=1e-8)


@pytest.mark.parametrize(("arm_sd", "offset"), [(None, True), (1.5, True)])
def test_reference_arms_and_offsets_equal_integration_by_scipy(arm_sd, offset):
    y, other = np.array([3.0, -1.0, 6.0]), np.array([0.0, 0.0, 1.0])
    covariance = np.array([[2.0, 0.8, 0], [0.8, 3.0, 0], [0, 0, 4.0]])
    data = contrasts_from_arrays(y, covariance, study=["A", "A", "B"])
    of_group = (other if offset else 0 * other) > 0
    found = truths(data, Setting(other=of_group, arm_sd=arm_sd), Grids(mean=0.4, reach=45.0))
    same, load = np.equal.outer(other, other), np.outer(of_group, of_group) * 9.0

    def joint(tau, tau_arm):
        """Return p(y, tau, tau_arm), and with P(effect of a new study > 0) at them: the means by conjugacy."""
        total = covariance + load + tau**2 * same + tau_arm**2 * np.eye(3)
        inverse = np.linalg.inv(total)
        precision = 1 / 100 + inverse.sum()
        center, variance = (inverse @ y).sum() / precision, 1 / precision + tau**2 + tau_arm**2
        density = stats.multivariate_normal.pdf(y, cov=total + 100) * stats.halfnorm.pdf(tau, scale=2)
        density = density * (stats.halfnorm.pdf(tau_arm, scale=arm_sd) if arm_sd else 1.0)
        return density * np.array([1.0, special.ndtr(center / np.sqrt(variance))])

    # tau and tau_arm themselves; the quadrature under test has their radius and angle
    taus, arms = legendre(0, 14, 36), legendre(0, 11, 28) if arm_sd else ([0.0], [1.0])
    nodes = itertools.product(zip(*taus, strict=True), zip(*arms, strict=True))
    total, positive = sum(w * v * joint(tau, arm) for (tau, w), (arm, v) in nodes)
    assert found.log_marginal == pytest.approx(np.log(total), abs=1e-7)
    assert found.above() == pytest.approx(positive / total, abs=1e-6)


def test_reference_readings_and_scales_equal_closed_form_mixtures(quickstart):
    """Without the two studies of unknown SDs, whose nodes would take `over_readings` a minute."""
    data = without(without(quickstart, "Huang2018"), "Liu2017")
    gold = over_readings(data, amplitude_sd=10, tau=stats.halfnorm(scale=2), r=RATIO, points=(100, 24, 1))
    found, effect = truths(data, Setting(), COARSE), gold.effect(heterogeneity=True)
    assert found.log_marginal == pytest.approx(gold.log_marginal, abs=1e-6)
    assert found.above() == pytest.approx(effect.above(), abs=1e-6)
    success = [t_test_success(of, 100, **QUICKSTART) for of in (found, effect)]
    assert success[0] == pytest.approx(success[1], abs=1e-6)


def test_reference_an_unknown_standard_error_equals_hermite_nodes():
    data = contrasts_from_arrays([3.2, 7.1, 1.4], np.array([1.2, 2, 1.5]) ** 2)
    data["log_se_sd"].values[0] = [0.0, 0.4, 0.0]
    gold = over_readings(data, amplitude_sd=10, tau=stats.halfnorm(scale=2), points=(80, 1, 1), hermite=41)
    found = truths(data, Setting(), Grids(reach=45.0))
    assert found.log_marginal == pytest.approx(gold.log_marginal, abs=1e-7)
    assert found.above() == pytest.approx(gold.effect(heterogeneity=True).above(), abs=1e-6)


# the program

PRIOR = {"dist": "normal", "mean": 0, "sd": 3, "unit": "GMFM-66 points", "reason": "that of the record"}
TAU = {"dist": "half_normal", "unit": "GMFM-66 points", "reason": "that of the record"}
MODELS = {
    "one_mean": {"name": "random_effects"},
    "arms": {"name": "arms"},
    "route": {"name": "route"},
    "months": {"name": "months", "priors": {"month_effect": PRIOR}},
    "average": {"average": ["random_effects", "arms", "route", "months"], "priors": {"month_effect": PRIOR}},
    "tau_1": {"name": "random_effects", "priors": {"tau": TAU | {"sd": 1}}},
    "tau_4": {"name": "random_effects", "priors": {"tau": TAU | {"sd": 4}}},
}
"""The structures and priors of the record, as an experiment says them."""


@pytest.mark.parametrize("case", ["one_mean", "route", *(pytest.param(c, marks=pytest.mark.slow) for c in
    ("arms", "months", "average", "tau_1", "tau_4"))])  # fmt: skip
def test_reference_the_program_needs_as_many_children_as_dense_quadrature(case):
    raw = read_toml(find("experiments", "quickstart_one_mean")) | {"model": MODELS[case]}
    raw["trial"]["setting"] = {"route": "intravenous"}
    found, record = gmfmsim.size(raw), recorded(case)
    assert found["n_total"] == 2 * record.n
    assert found["plateau"] == pytest.approx(record.plateau, abs=1e-5)  # three parameters: their nodes miss some 5e-6
