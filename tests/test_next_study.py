"""Intervals of the next study at planted truths: the record held to thresholds, and how it is made."""

import math
from pathlib import Path

import numpy as np
import pytest
from damage import command
from scipy import stats

from gmfmsim.dist.positive import HalfNormal
from gmfmsim.evidence.read import read_tables
from gmfmsim.model.declare import ModelChoice, read_model
from gmfmsim.proof import calibration
from gmfmsim.proof.calibration import DATA_SETS, design
from gmfmsim.proof.calibration import RECORD as FILE
from gmfmsim.proof.next_study import PLANTED, Planted, coverage, forecaster, holds
from gmfmsim.proof.record import read_record
from gmfmsim.streams import stream

RECORD = {
    model: entries["next_study"]
    for model, entries in read_record(Path(__file__).parent / "validation" / FILE).items()
    if "next_study" in entries
}


def rows(model: str) -> list[tuple[Planted, dict]]:
    """The recorded figures of a model by planted truth."""
    return [(Planted(**{k: row[k] for k in Planted._fields}), row) for row in RECORD[model]["truths"]]


@pytest.mark.parametrize("model", ["random_effects", "arms"])
def test_every_planted_truth_is_recorded(model):
    assert [planted for planted, _ in rows(model)] == list(PLANTED)
    assert RECORD[model]["data_sets"] == DATA_SETS["next_study"]
    assert {(p.mu, p.tau) for p in PLANTED} == {(float(mu), float(tau)) for mu in range(4) for tau in range(4)}


def lowest(model: str, figure: str, which=lambda planted: True) -> float:
    """The lowest recorded coverage at some truths; its Monte Carlo error is below 0.011."""
    chosen = [row for planted, row in rows(model) if which(planted)]
    assert max(row[f"{figure}_mcse"] for row in chosen) < 0.011
    return min(row[figure] for row in chosen)


def alike(planted: Planted) -> bool:
    return planted.tau_arm == 0


def test_recovery_intervals_hold_the_next_study_at_every_truth_of_a_right_model():
    """Of one truth nothing promises 95 %; where studies scatter more than the prior of tau expects, it is less."""
    assert lowest("random_effects", "effect_95", alike) > 0.89
    assert lowest("random_effects", "n_90", alike) > 0.85
    assert lowest("random_effects", "effect_95", lambda p: alike(p) and p.tau <= 1) > 0.95


def test_recovery_where_arms_differ_the_model_of_arms_holds_more_than_that_of_one_effect_a_study():
    def differ(planted: Planted) -> bool:
        return not alike(planted)

    for figure in ("effect_95", "n_90"):
        both = zip(rows("arms"), rows("random_effects"), strict=True)
        assert all(a[figure] >= b[figure] for (planted, a), (_, b) in both if differ(planted))
        assert lowest("random_effects", figure, differ) < lowest("arms", figure, differ)
    assert lowest("random_effects", "n_90", differ) < 0.85
    assert lowest("arms", "effect_95") > 0.91
    assert lowest("arms", "n_90") > 0.885


def test_where_nothing_works_no_n_is_promised():
    for model in RECORD:
        assert min(row["no_end"] for planted, row in rows(model) if planted.mu == 0) > 0.98


# how the record is made


def n_of(effect: np.ndarray) -> np.ndarray:
    """Children an arm for 80 % power at an SD of 60, none below 0: an n so large that it is all but continuous."""
    sizes = 2 * ((stats.norm.isf(0.025) + stats.norm.isf(0.2)) * 60 / np.maximum(effect, 1e-9)) ** 2
    return np.where(effect > 0, np.ceil(sizes), math.inf)


@pytest.mark.parametrize(
    ("planted", "effect_90"),
    [
        (Planted(2, 1, 0), (0.4, 3.5)),
        (Planted(1, 1, 1), (-1.0, 2.5)),
        (Planted(0, 2, 0), (-3.0, -0.5)),
        (Planted(3, 0, 2), (0.0, 4.0)),
    ],
)
def test_known_the_interval_of_n_holds_as_often_as_counted(planted, effect_90):
    rng, size = stream(4, "holds"), 100_000
    effect = rng.normal(planted.mu, math.hypot(planted.tau, planted.tau_arm), size)
    high, low = n_of(np.array(effect_90))
    counted = ((n_of(effect) >= low) & (n_of(effect) <= high)).mean()
    found = holds(planted, (-9.0, 9.0), effect_90)
    assert abs(found.n_90 - counted) < 4 * 0.5 / math.sqrt(size)
    assert found.no_end == (high == math.inf)


def test_known_studies_that_do_not_scatter_are_held_or_not():
    inside, outside = holds(Planted(2, 0, 0), (1, 3), (1, 3)), holds(Planted(2, 0, 0), (0, 1.5), (2.5, 3))
    assert (inside, outside) == ((1, 1, 0), (0, 0, 0))
    assert holds(Planted(0, 0, 0), (-1, 1), (-1, 1)) == (1, 1, 1)


@pytest.fixture(scope="module")
def plain():
    spec = read_model(ModelChoice(name="random_effects"))
    return spec, design(spec, read_tables())


def test_recovery_a_few_data_sets_and_a_wrong_scale_of_tau(plain):
    """With tau kept below 0.2 by its prior, an interval of a study that scatters by 2 holds a third of them."""
    spec, data = plain
    narrow = spec.model_copy(update={"priors": spec.priors | {"tau": HalfNormal(dist="half_normal", sd=0.1)}})
    right, wrong = (
        coverage(held(number) for number in range(12))["effect_95"]
        for held in (forecaster(s, data, Planted(2.0, 2.0, 0.0), 1) for s in (spec, narrow))
    )
    assert wrong < 0.75 < 0.85 < right


def test_the_command_records_it_and_keeps_other_entries(tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "PLANTED", (Planted(0.0, 1.0, 0.0), Planted(2.0, 1.0, 2.0)))
    monkeypatch.setattr(calibration, "DATA_SETS", DATA_SETS | {"next_study": 2})
    how = ("--out", tmp_path, "--study", "next_study", "--workers", "1")
    for model in ("random_effects", "emax"):  # of a curve with a dose there is none
        assert command(monkeypatch, "calibrate", *how, "--model", model) == 0
    record = read_record(tmp_path / FILE)
    assert list(record) == ["random_effects"]
    entry = record["random_effects"]["next_study"]
    assert (entry["data_sets"], entry["contrasts"]) == (2, 12)
    assert [(row["mu"], row["tau_arm"]) for row in entry["truths"]] == [(0.0, 0.0), (2.0, 2.0)]
