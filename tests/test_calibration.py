"""Calibration: the record of the shipped models held to thresholds, and quick runs that a wrong posterior fails.

A recorded figure may be off by chance, and there are several hundred. Each threshold is the one that any of its kind
crosses in one record of a hundred, were all engines right (Bonferroni): FAMILY / number of figures.
"""

import json
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from gmfmsim.dist.positive import HalfNormal
from gmfmsim.evidence.contrasts import contrasts_from_arrays
from gmfmsim.evidence.read import read_tables
from gmfmsim.faults import InputError
from gmfmsim.files.shelf import names
from gmfmsim.model.declare import ModelChoice, ModelSpec, read_model
from gmfmsim.model.nuts import Sampler
from gmfmsim.proof import calibration
from gmfmsim.proof.calibration import DATA_SETS, SIZES, STUDIES, applies, calibrate, design, model_hash
from gmfmsim.proof.calibration import RECORD as FILE
from gmfmsim.proof.planted import ecdf_p, exact_engine, nuts_engine, simulate, uniformity
from gmfmsim.proof.record import read_record
from gmfmsim.streams import stream

RECORD = read_record(Path(__file__).parent / "validation" / FILE)
FAMILY = 0.01
STILL_TO_RUN = {
    "sigmoid_emax": {"exact", "divergences"},
    "course": {"nuts", "divergences"},
    **{key: {"exact", "nuts", "divergences"} for key in ("course_arms", "course_route")},
    "infusions": {"divergences"},
    "step": {"divergences"},
    "threshold": {"divergences"},
    "age": {"divergences"},
    "gmfcs": {"divergences"},
    "claimed_age": {"divergences"},
}
"""Studies of models that take long and are not recorded yet. It becomes empty; nothing recorded may join it."""


@pytest.fixture(scope="module")
def tables():
    return read_tables()


@pytest.fixture(scope="module")
def plain(tables):
    """The random-effects model and the contrasts it is calibrated on."""
    spec = read_model(ModelChoice(name="random_effects"))
    return spec, design(spec, tables)


@pytest.mark.parametrize("model", names("models"))
def test_every_study_of_a_shipped_model_is_recorded_for_the_model_as_it_is(model, tables):
    spec = read_model(ModelChoice(name=model))
    required = {study for study in STUDIES if applies(study, spec, tables)}
    assert required >= {"nuts", "divergences"}
    assert set(RECORD.get(model, {})) == required - STILL_TO_RUN.get(model, set())
    for entry in RECORD.get(model, {}).values():
        assert entry["model_sha256"] == model_hash(spec)
        assert datetime(2026, 1, 1, tzinfo=UTC) < datetime.fromisoformat(entry["written"])
        assert {"gmfmsim", "numpy", "nutpie"} < set(entry["packages"])


def of(study: str) -> dict[str, dict]:
    return {model: entries[study] for model, entries in RECORD.items() if study in entries}


@pytest.mark.parametrize("study", ["exact", "exact_readings", "nuts"])
def test_recovery_recorded_truths_are_uniform_in_their_posteriors(study):
    """One threshold for the three studies together, so that it depends on all their figures."""
    figures = [q for s in ("exact", "exact_readings", "nuts") for e in of(s).values() for q in e["quantities"].values()]
    level = FAMILY / len(figures)
    away = stats.norm.isf(level / 4)  # (two coverages a quantity, two sides)
    for model, entry in of(study).items():
        assert entry["data_sets"] == DATA_SETS[study], model
        assert entry["failed"] == [], model
        assert {"tau", "effect", "new study"} < set(entry["quantities"]), model
        for name, found in entry["quantities"].items():
            assert min(found["ks_p"], found["ecdf_p"]) > level, (model, name)
            for prob in (50, 95):
                error = np.sqrt(prob / 100 * (1 - prob / 100) / entry["data_sets"])
                assert abs(found[f"coverage_{prob}"] - prob / 100) < away * error, (model, name, prob)


def test_recorded_divergences_are_none_on_two_to_twenty_studies():
    for model, entry in of("divergences").items():
        sampler = Sampler.model_validate(entry["sampler"])
        assert sampler.target_accept == Sampler().target_accept, model
        assert sampler.chains * sampler.draws >= 500, model
        assert set(entry["studies"]) == {str(k) for k in SIZES}
        for k, found in entry["studies"].items():
            assert found["failed"] == [], (model, k)
            assert (found["data_sets"], found["divergences"]) == (100, 0), (model, k)


def pits(simulated_from: ModelSpec, fitted: ModelSpec, data, size: int) -> dict[str, np.ndarray]:
    """Return where posteriors of one model put the truths that another made, (size,) for each quantity."""
    place = exact_engine(fitted, data)
    found = [place(simulate(simulated_from, data, 1, number)).pit for number in range(size)]
    return {name: np.array([pit[name] for pit in found]) for name in found[0]}


def test_recovery_exact_engine(plain):
    found = pits(*(plain[0],) * 2, plain[1], 40)
    assert set(found) == {"mu", "tau", "r", "effect", "new study"}
    assert min(ecdf_p(pit) for pit in found.values()) > FAMILY / len(found)


def test_a_wrong_scale_of_tau_is_caught(plain):
    spec, data = plain
    narrow = spec.model_copy(update={"priors": spec.priors | {"tau": HalfNormal(dist="half_normal", sd=0.7)}})
    found = pits(spec, narrow, data, 40)
    assert ecdf_p(found["tau"]) < 1e-4


def test_posteriors_of_other_data_are_caught(plain):
    """The posterior of one data set and the truth of the next one: too narrow for it."""
    spec, data = plain
    place = exact_engine(spec, data)
    sets = [simulate(spec, data, 1, number) for number in range(31)]
    mixed = [place(type(a)(a.data, b.truth, 1, 0)).pit["mu"] for a, b in pairwise(sets)]
    assert ecdf_p(np.array(mixed)) < 1e-4


@pytest.mark.parametrize("size", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_reference_calibration_of_the_published_recipe(reference, size):
    """SI05: meta-analyses of 2 to 20 studies, mu ~ Normal(0, 4), tau ~ HalfNormal(0.5), se ~ Uniform(0.2, 1)."""
    unit = {"unit": "points", "reason": "SI05"}
    priors = {
        "mu": {"dist": "normal", "mean": 0.0, "sd": 4.0} | unit,
        "tau": {"dist": "half_normal", "sd": 0.5} | unit,
        "r": {"dist": "uniform", "lower": 0.3, "upper": 1.0} | unit,
    }
    spec = ModelSpec.model_validate({"title": "SI05", "curve": "constant", "priors": priors})
    found = {"mu": [], "tau": []}
    for number in range(size):
        rng = stream(20260704, "SI05", number)
        k = int(rng.choice([2, 3, 5, 10, 20]))
        data = contrasts_from_arrays(np.zeros(k), rng.uniform(0.2, 1, size=k) ** 2, dose=np.ones(k))
        pit = exact_engine(spec, data)(simulate(spec, data, 20260704, number)).pit
        for name in found:
            found[name].append(pit[name])
    assert reference["SI05"]["expected"]["95% interval coverage"] == "0.95 +/- 3*0.0069"
    for pit in found.values():
        figures = uniformity(np.array(pit))
        assert figures["ks_p"] > 0.01
        assert abs(figures["coverage_95"] - 0.95) < 3 * 0.0069 * np.sqrt(1000 / size)


@pytest.mark.slow
def test_known_both_engines_put_a_truth_at_the_same_place(tables):
    """The rank among 100 draws has a standard deviation of at most 0.05."""
    spec = read_model(ModelChoice(name="cell_class"))
    data = design(spec, tables)
    exact, nuts = exact_engine(spec, data), nuts_engine(spec, data, Sampler(chains=2, draws=500, tune=500))
    pairs = [(exact(s).pit, nuts(s).pit) for s in (simulate(spec, data, 2, number) for number in range(8))]
    assert "class_effect[MSC]" in pairs[0][0]
    assert all(a.keys() == b.keys() for a, b in pairs)
    apart = [a[name] - b[name] for a, b in pairs for name in a]
    assert np.sqrt(np.mean(np.square(apart))) < 0.06


def test_known_band_of_a_single_value():
    """One value in the outermost of 100 steps on either side: p = 2/100; in the middle: 1."""
    assert ecdf_p(np.array([0.005])) == pytest.approx(0.02, abs=1e-12)
    assert ecdf_p(np.array([0.995])) == pytest.approx(0.02, abs=1e-12)
    assert ecdf_p(np.array([0.5001])) == pytest.approx(1, abs=1e-12)


def test_recovery_band_holds_its_level():
    """Of 400 samples that are uniform, 10 % are beyond the 10 % band: 40, standard deviation 6."""
    p = [ecdf_p(stream(3, "uniform", i).random(40)) for i in range(400)]
    assert abs(np.mean(np.array(p) < 0.1) - 0.1) < 3 * 0.015


@pytest.mark.slow
def test_a_partial_run_keeps_other_entries_whatever_the_workers(tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "DATA_SETS", {"exact": 4})
    monkeypatch.setattr(calibration, "BLOCK", 2)
    calibrate(tmp_path, ["loglinear"], ["exact"])
    one = calibrate(tmp_path, ["random_effects"], ["exact"])
    assert set(one) == {"loglinear", "random_effects"}
    two = calibrate(tmp_path / "two", ["random_effects"], ["exact"], workers=2)
    same = [dict(record["random_effects"]["exact"], written="") for record in (one, two)]
    assert json.dumps(same[0]) == json.dumps(same[1])


def test_a_fit_that_fails_is_listed(plain, tmp_path, monkeypatch):
    def broken(spec, contrasts):
        return lambda simulated: 1 / (simulated.number - 1)

    monkeypatch.setattr(calibration, "exact_engine", broken)
    monkeypatch.setattr(calibration, "DATA_SETS", {"exact": 2})
    spec, data = plain
    block = calibration.Block("random_effects", "exact", spec.model_dump(), data, range(1, 2))
    (row,) = calibration._place(block)
    assert row == {"data_set": 1, "error": "ZeroDivisionError: division by zero"}


def test_unknown_studies_and_models_are_named(tmp_path):
    with pytest.raises(InputError, match="nearest: exact"):
        calibrate(tmp_path, ["emax"], ["exakt"])
    with pytest.raises(InputError, match="emaxx"):
        calibrate(tmp_path, ["emaxx"])
