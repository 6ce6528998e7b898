"""Contrasts without a standard error: taken where a reading gives it, and named where nothing does."""

import math

import numpy as np
import pytest
from damage import command, trial
from small_folder import small_folder

from gmfmsim import check
from gmfmsim.evidence.audit import audit
from gmfmsim.evidence.contrasts import Selection, select_contrasts
from gmfmsim.evidence.formulas.conversions import sd_of_change
from gmfmsim.evidence.read import read_tables
from gmfmsim.evidence.readings import read_contrasts
from gmfmsim.faults import InputError

PRIMARY = Selection(default_use="primary")
SCORES = {("cells", "baseline"): (45, 20), ("cells", "final"): (53, 21), ("ctrl", "baseline"): (46, 19)}
SCORES |= {("ctrl", "final"): (50, 20)}


def pre_post(folder, studies="ABC", shared="", readings=("change_score",), **cells):
    """Three trials that print baseline and final scores of 30 and 30 children, and no SD of the change."""
    contrasts = [
        {"study": s, "arm_a": "cells", "arm_b": "ctrl", "md100": 4, "n_a": 30, "n_b": 30}
        | {"control_group": shared or f"{s}:ctrl"}
        | cells
        for s in studies
    ]
    outcomes = [
        {"study": s, "arm_id": arm, "month": 0 if kind == "baseline" else 12, "kind": kind, "n": 30}
        | {"mean": mean, "sd": sd}
        for s in studies
        for (arm, kind), (mean, sd) in SCORES.items()
    ]
    wanted = [{"study": s, "reading": reading} for s in studies for reading in readings]
    return small_folder(folder, contrasts, outcomes=outcomes, readings=wanted)


@pytest.fixture
def scores(tmp_path):
    return read_tables(pre_post(tmp_path / "own"))


def test_known_change_from_baseline_and_final_scores(scores):
    """Effect (53 - 45) - (50 - 46); SDs of change at r = 0.9 are 9.220 and 8.775 by hand."""
    data = select_contrasts(scores, PRIMARY)
    assert np.isnan(data["se"].values).all()
    read = read_contrasts(data, scores, "average")
    assert read["effect"].values.tolist() == [[4, 4, 4]]
    assert read["se"].values == pytest.approx(math.hypot(9.220, 8.775) / math.sqrt(30), abs=1e-4)
    assert [sd_of_change(20, 21, 0.9), sd_of_change(19, 20, 0.9)] == pytest.approx([9.220, 8.775], abs=1e-3)
    assert (read["log_se_sd"].values > 0.3).all()  # r is not known: 0.6 to 0.98 in 95 %
    assert np.diagonal(read["covariance"].values, axis1=1, axis2=2) == pytest.approx(read["se"].values ** 2)


def test_an_experiment_takes_them_to_the_end(tmp_path, monkeypatch, capsys):
    pre_post(tmp_path / "own")
    path = trial(tmp_path, {"evidence.tables": "own", "sampler": {"cross_check": False}})
    assert check(str(path))["plans"][0]["contrasts"] == [f"{s} cells v ctrl, month 12" for s in "ABC"]
    assert command(monkeypatch, "fit", path) == 0
    assert "3 contrasts of 3 studies" in capsys.readouterr().out


def test_a_shared_control_follows_the_reading(tmp_path):
    tables = read_tables(pre_post(tmp_path, shared="one"))
    read = read_contrasts(select_contrasts(tables, PRIMARY), tables, "average")
    assert read["covariance"].values[0, 0, 1] == pytest.approx(8.775**2 / 30, rel=1e-4)


def test_as_tabled_gives_no_standard_error(scores):
    with pytest.raises(InputError, match=r"key evidence\.readings: rows 2, 3, 4 of contrasts\.csv: no md100_se"):
        read_contrasts(select_contrasts(scores, PRIMARY), scores, "as_tabled")


@pytest.mark.parametrize("reading", ["as_tabled", "centre_of_interval"])
def test_a_reading_that_needs_the_missing_figure_is_a_fault(tmp_path, reading):
    tables = read_tables(pre_post(tmp_path, readings=("change_score", reading), ci_low=1, ci_high=7))
    with pytest.raises(InputError, match=f"reading {reading} of A: needs md100_se"):
        read_contrasts(select_contrasts(tables, PRIMARY), tables, "average")


def test_the_audit_counts_them_as_usable(scores):
    assert [f for f in audit(scores) if f.check == "no_usable_contrast"] == []


# what is selected and cannot be taken is named


def test_a_dropped_row_is_named(tmp_path, monkeypatch, capsys):
    """Of four primary rows two can be used: the others are named, by check too."""
    usable = {"arm_a": "cells", "arm_b": "ctrl", "md100": 2, "md100_se": 1.5}
    rows = [usable | {"study": "A"}, usable | {"study": "B", "md100_se": ""}]
    rows += [usable | {"study": "C", "md100": "", "estimate": 2}, usable | {"study": "D"}]
    small_folder(tmp_path / "own", rows)
    path = trial(tmp_path, {"evidence.tables": "own"})
    (plan,) = check(str(path))["plans"]
    assert len(plan["contrasts"]) == 2
    said = "row 3 of contrasts.csv has no md100_se; row 4 of contrasts.csv has no md100"
    assert plan["notes"] == [f"Selected but not taken: {said}."]
    assert command(monkeypatch, "check", path) == 0
    assert f"note: Selected but not taken: {said}." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        ({"study": "Huang2018", "month": 24}, "row 28 of contrasts.csv has no md100_se"),
        ({"row": [24, 28]}, "has row 28: row 28 of contrasts.csv has no md100_se"),
        ({"row": 6}, "has row 6: row 6 of contrasts.csv has no md100 and no md100_se"),
        ({"study": "Rah2017"}, "has study 'Rah2017': rows 31, 32 of contrasts.csv have no md100 and no md100_se"),
    ],
    ids=str,
)
def test_a_selection_of_rows_that_cannot_be_used_says_why(selection, said):
    with pytest.raises(InputError) as refusal:
        select_contrasts(read_tables(), Selection(**selection))
    assert said in str(refusal.value)


def test_the_quick_start_leaves_nothing_out():
    (plan,) = check("quickstart_one_mean")["plans"]
    assert plan["notes"] == []


def test_rows_on_other_scales_are_no_contrasts_of_the_gmfm():
    """A selection by study meets its GMPM rows too, which have no figure on 0-100 and need none."""
    data = select_contrasts(read_tables(), Selection(study="Kang2015"))
    assert data["row"].values.tolist() == [29]
    assert "left_out" not in data.attrs
