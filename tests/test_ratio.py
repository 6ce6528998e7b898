"""The ratio of GMFM-66 to GMFM-88 changes: its samples, and its model against sampling and planted truth."""

import json

import numpy as np
import pytest
from damage import command

from gmfmsim.evidence.scales import FILE, paired_samples
from gmfmsim.faults import InputError
from gmfmsim.model.ratio import LOG_R_PRIOR, OMEGA_PRIOR, informative, of_sample, scale_ratio
from gmfmsim.report.ratio import ratio_of_scales
from gmfmsim.streams import stream

SAMPLES = {sample["sample"]: sample for sample in paired_samples()}
KIM, JOSENBY = SAMPLES["Kim2018"], SAMPLES["LundkvistJosenby2009"]


def planted(r: float, n: int, rng: np.random.Generator, gain: float = 5.0, rho: float = 0.5) -> dict:
    """A sample of n children who gain `gain` GMFM-88 points on average, r of them on the GMFM-66."""
    covariance = np.array([[4.0, rho * 8.0], [rho * 8.0, 16.0]])
    x66, x88 = rng.multivariate_normal([r * gain, gain], covariance, size=n).T
    figures = {"change66": x66.mean(), "sd66": x66.std(ddof=1), "change88": x88.mean(), "sd88": x88.std(ddof=1)}
    return KIM | {"n": n} | figures


def test_two_samples_print_what_tells_of_the_ratio_and_all_are_named_with_their_source():
    assert [name for name, sample in SAMPLES.items() if informative(sample)] == ["Kim2018", "LundkvistJosenby2009"]
    assert all(sample["source_url"].startswith("http") for sample in SAMPLES.values())
    assert (KIM["change66"], KIM["sd66"], KIM["change88"], KIM["sd88"], KIM["n"]) == (2.41, 1.51, 4.32, 4.04, 24)


def test_a_faulty_file_is_refused_with_row_and_column(tmp_path):
    path = tmp_path / "scales.csv"
    path.write_text(FILE.read_text(encoding="utf-8").replace(",4.04,", ",-4.04,").replace(",0.3,0.4,", ",0.4,0.3,"))
    with pytest.raises(InputError) as refused:
        paired_samples(path)
    assert [fault.where for fault in refused.value.faults] == ["row 2, column sd88", "row 3, column change66_low"]


def test_known_of_a_large_sample_the_ratio_is_that_of_the_means():
    found = of_sample(KIM | {"n": 100_000})
    assert found.quantile(0.5) == pytest.approx(2.41 / 4.32, rel=0.003)
    assert found.quantile(0.975) / found.quantile(0.025) < 1.03


def test_known_of_no_sample_there_are_the_priors():
    mean, sd = scale_ratio([]).log_moments
    assert mean == pytest.approx(LOG_R_PRIOR[0], abs=0.01)  # the grid ends at 0.02 and 8
    assert sd == pytest.approx(np.hypot(LOG_R_PRIOR[1], OMEGA_PRIOR), rel=0.01)
    assert scale_ratio([SAMPLES["Ko2014"]]).log_moments == (mean, sd)


def test_reference_the_predictive_equals_importance_sampling():
    """Everything that the model integrates is drawn instead, and weighed by the densities of the two samples."""
    rng, size = stream(1, "ratio"), 1_000_000
    centre = rng.normal(*LOG_R_PRIOR, size)
    omega = OMEGA_PRIOR * np.abs(rng.standard_normal(size))
    log_weight = np.zeros(size)
    for sample in (KIM, JOSENBY):
        r, rho = np.exp(centre + omega * rng.standard_normal(size)), rng.random(size)
        q, x66, x88 = 1.0, sample["change66"], sample["change88"]
        if sample is JOSENBY:
            q = 0.59 * np.exp(0.2 * rng.standard_normal(size))
            x66, x88 = rng.uniform(0.3, 0.4, size), rng.uniform(0.8, 0.9, size)
        b, n = r / q, sample["n"]
        spread = sample["sd66"] ** 2 + (b * sample["sd88"]) ** 2 - 2 * rho * b * sample["sd66"] * sample["sd88"]
        se = np.sqrt(spread / n)
        log_weight += -n / 2 * np.log1p(((x66 - b * x88) / se) ** 2 / (n - 1)) - np.log(se)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    new, exact = np.exp(centre + omega * rng.standard_normal(size)), scale_ratio([KIM, JOSENBY])
    for p in (0.025, 0.25, 0.5, 0.75, 0.975):
        hit = new < exact.quantile(p)
        error = np.sqrt((weight**2 * (hit - p) ** 2).sum())
        assert error < 0.005
        assert abs(weight[hit].sum() - p) < 4 * error


def test_recovery_of_planted_ratios_and_their_scatter():
    rng = stream(2, "ratio")
    samples = [planted(0.5 * np.exp(0.2 * rng.standard_normal()), 60, rng) for _ in range(150)]
    mean, sd = scale_ratio(samples).log_moments
    assert mean == pytest.approx(np.log(0.5), abs=4 * 0.25 / np.sqrt(150))
    assert sd == pytest.approx(0.2, abs=4 * 0.2 / np.sqrt(2 * 150) + 0.02)


def test_recovery_of_one_ratio_over_unknown_correlations():
    """Of 300 samples of 24 children, 95 % intervals of their own ratio hold it at least as often."""
    rng, held = stream(3, "ratio"), 0
    for _ in range(300):
        found = of_sample(planted(0.6, 24, rng, rho=rng.random()))
        held += found.quantile(0.025) <= 0.6 <= found.quantile(0.975)
    assert held / 300 > 0.95 - 4 * np.sqrt(0.95 * 0.05 / 300)


def test_a_further_trial_is_less_certain_than_the_prior_of_the_models():
    found = ratio_of_scales()
    trial, models = found["further_trial"], found["models"]
    assert trial["low"] < models["low"] < trial["median"] < models["median"] < models["high"] < trial["high"]
    samples = {s["sample"]: s for s in found["samples"]}
    assert samples["LundkvistJosenby2009"]["median"] < trial["median"] < samples["Kim2018"]["median"]


def test_the_command_shows_samples_and_ratio(monkeypatch, capsys):
    assert command(monkeypatch, "show", "ratio") == 0
    text = capsys.readouterr().out
    assert "2.41 against 4.32 points: r 0.56" in text
    assert text.count("changes not read") == 4
    assert command(monkeypatch, "show", "ratio", "--json") == 0
    assert json.loads(capsys.readouterr().out) == ratio_of_scales()
