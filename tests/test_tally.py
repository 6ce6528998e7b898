"""Operating characteristics and their Monte Carlo errors: formulas, other systems' numbers, brute force."""

import numpy as np
import pytest

from gmfmsim.trial.decide import Verdicts
from gmfmsim.trial.tally import Tally, performance

Z = 1.959963984540054


def estimates(estimate: np.ndarray, se: np.ndarray, failed: np.ndarray | None = None) -> Verdicts:
    failed = np.zeros(estimate.shape, bool) if failed is None else failed
    low, high = estimate - Z * se, estimate + Z * se
    return Verdicts(estimate, se, low, high, (low > 0) & ~failed, (high < 0) & ~failed, failed)


def draws(n: int, effect: float, sd: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return effect + sd * rng.standard_normal(n), sd * np.sqrt(rng.chisquare(40, n) / 40)


def tallied(blocks: list[tuple[np.ndarray, np.ndarray]], truth: float, *, independent: bool = True) -> dict:
    tally = Tally(["a"], 10, 1, independent=independent)
    for estimate, se in blocks:
        batch = np.arange(estimate.size) * 10 // estimate.size
        tally.add({"a": estimates(estimate, se)}, {"a": np.full(estimate.shape, truth)}, batch, 0)
    return {name: value[0] for name, value in tally.characteristics().items()}


def test_reference_monte_carlo_errors_of_rsimsum(reference):
    """SI03: the errors that rsimsum prints follow from its figures by the identities that Tally uses."""
    expected = reference["SI03"]["expected"]["MCSE"]
    replicates, empirical, model = 1000, 0.1511, 0.1471  # printed: empSE .1511; modSE .1471
    z = np.random.default_rng(1).standard_normal(replicates)
    z = (z - z.mean()) / z.std(ddof=1)
    covered = np.arange(replicates) < 943
    powered = np.arange(replicates) < 946
    estimate = 0.5 + 0.0168 + empirical * z
    low = np.where(powered, 0.1, -0.1)
    low = np.where(covered, np.minimum(low, 0.4), 0.6)
    found = performance(estimate, np.full(replicates, model), 0.5, low=low, high=np.full(replicates, 9.0))
    assert found["bias"].item() == pytest.approx(0.0168, abs=1e-12)
    assert found["empirical_se"].item() == pytest.approx(empirical, abs=1e-12)
    assert found["bias_mcse"].item() == pytest.approx(expected["bias"], abs=1e-4)
    assert found["empirical_se_mcse"].item() == pytest.approx(expected["empSE"], abs=1e-4)
    assert found["coverage"].item() == pytest.approx(0.943)
    assert found["coverage_mcse"].item() == pytest.approx(expected["coverage"], abs=1e-4)
    assert found["mse"].item() == pytest.approx(0.0231, abs=1e-4)
    assert found["mse_mcse"].item() == pytest.approx(expected["MSE"], abs=2e-4)  # the fourth moment of other estimates


def test_reference_power_error_of_rsimsum(reference):
    """SI03: power .9460 of 1000 replicates has the printed Monte Carlo error."""
    hit = np.arange(1000) < 946
    tally = Tally(["a"], 1, 1, independent=True)
    one, no = np.ones(1000), np.zeros(1000, bool)
    tally.add({"a": Verdicts(one, one, one, one, hit, no, no)}, {"a": one}, np.zeros(1000, int), 0)
    assert tally.characteristics()["success_mcse"][0] == pytest.approx(
        reference["SI03"]["expected"]["MCSE"]["power"], abs=1e-4
    )


def test_known_errors_are_the_spread_of_repeated_studies():
    """Every Monte Carlo error against the standard deviation of its figure over 400 repeated studies."""
    studies = [tallied([draws(2000, 0.3, 0.25, seed)], 0.3) for seed in range(400)]
    names = ("bias", "empirical_se", "mse", "model_se", "coverage", "width", "success", "type_m")
    for name in names:
        spread = np.std([s[name] for s in studies], ddof=1)
        claimed = np.sqrt(np.mean([s[f"{name}_mcse"] ** 2 for s in studies]))
        assert claimed == pytest.approx(spread, rel=4 / np.sqrt(2 * 400)), name


def test_known_blocks_add_up_to_the_whole():
    estimate, se = draws(9000, 0.2, 0.3, 5)
    whole = tallied([(estimate, se)], 0.2)
    parts = tallied([(estimate[i : i + 1000], se[i : i + 1000]) for i in range(0, 9000, 1000)], 0.2)
    for name, value in whole.items():
        if name not in ("difference", "difference_mcse", "selected", "selected_mcse"):
            assert parts[name] == pytest.approx(value, rel=1e-9), name


def test_known_type_s_and_type_m_by_hand():
    """Five trials of a true gain of 1: three significant, at 2, 4 and -3."""
    estimate, se = np.array([2.0, 4.0, -3.0, 0.5, 1.0]), np.array([0.5, 1.0, 1.0, 1.0, 1.0])
    found = tallied([(estimate, se)], 1.0)
    assert found["type_s"] == pytest.approx(1 / 3)
    assert found["type_m"] == pytest.approx(3.0)
    assert (found["success"], found["harm"]) == (pytest.approx(0.4), pytest.approx(0.2))


def test_no_type_s_or_m_where_there_is_no_effect():
    found = tallied([draws(1000, 0.0, 0.3, 3)], 0.0)
    assert np.isnan([found["type_s"], found["type_m"], found["type_m_mcse"]]).all()


def test_known_type_m_of_a_retrospective_design():
    """Gelman & Carlin 2014, section 2: effect 2, standard error 8.1 gives power 0.06, type S 24 %, exaggeration 9.7."""
    rng = np.random.default_rng(7)
    estimate = 2 + 8.1 * rng.standard_normal(400_000)
    found = tallied([(estimate, np.full(estimate.shape, 8.1))], 2.0)
    assert found["success"] + found["harm"] == pytest.approx(0.06, abs=0.005)
    assert found["type_s"] == pytest.approx(0.24, abs=4 * found["type_s_mcse"] + 0.005)  # printed to two digits
    assert found["type_m"] == pytest.approx(9.7, abs=4 * found["type_m_mcse"] + 0.15)  # printed 9.7, exact about 9.6


def test_failed_trials_count_apart_and_never_succeed():
    estimate, se = draws(1000, 1.0, 0.2, 2)
    failed = np.arange(1000) % 4 == 0
    estimate = np.where(failed, np.nan, estimate)
    tally = Tally(["a"], 1, 1, independent=True)
    tally.add({"a": estimates(estimate, se, failed)}, {"a": np.ones(1000)}, np.zeros(1000, int), 0)
    found = tally.characteristics()
    assert found["failed"][0] == 0.25
    assert found["success"][0] == pytest.approx(np.mean((estimate - Z * se > 0) & ~failed))
    assert found["bias"][0] == pytest.approx(np.nanmean(estimate) - 1)


def test_known_paired_difference_has_a_smaller_error_than_its_parts():
    """Two analyses that agree in nearly all trials: the paired error is that of the disagreements alone."""
    rng = np.random.default_rng(11)
    n, noise = 20_000, rng.standard_normal((2, 20_000))
    first = 0.5 + 0.2 * noise[0]
    second = first + 0.02 * noise[1]
    se = np.full(n, 0.2)
    tally = Tally(["a", "b"], 1, 1, independent=True)
    truth = {"a": np.full(n, 0.5), "b": np.full(n, 0.5)}
    tally.add({"a": estimates(first, se), "b": estimates(second, se)}, truth, np.zeros(n, int), 0)
    found = tally.characteristics()
    d = ((first - Z * se) > 0).astype(float) - ((second - Z * se) > 0)
    assert found["difference"][0, 1] == pytest.approx(d.mean(), abs=1e-12)
    assert found["difference_mcse"][0, 1] == pytest.approx(d.std() / np.sqrt(n), rel=1e-9)
    assert found["difference_mcse"][0, 1] < 0.5 * np.hypot(*found["success_mcse"])


def test_batches_count_autocorrelation():
    """Truths that stay the same through a batch: the error by batches is that of ten means, not of 10,000 trials."""
    rng = np.random.default_rng(3)
    level = np.repeat(rng.standard_normal(10), 1000)
    estimate = level + 0.01 * rng.standard_normal(10_000)
    found = tallied([(estimate, np.full(10_000, 0.01))], 0.0, independent=False)
    means = np.array([np.mean(estimate[i : i + 1000] - Z * 0.01 > 0) for i in range(0, 10_000, 1000)])
    assert found["success_mcse"] == pytest.approx(means.std(ddof=1) / np.sqrt(10), rel=1e-12)
