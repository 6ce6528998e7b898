"""Type I error: the record of the shipped designs held to the nominal rate, and how it is made.

A recorded rate may be off by chance, and there are some seventy. The threshold is the one that any of them crosses in
one record of a hundred, were all analyses exact (Bonferroni): FAMILY / number of rates.
"""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from damage import command
from scipy import stats

from gmfmsim.faults import InputError
from gmfmsim.files.shelf import names
from gmfmsim.proof import type_one
from gmfmsim.proof.record import read_record
from gmfmsim.proof.type_one import RECORD as FILE
from gmfmsim.proof.type_one import REPLICATES, design_hash, entry_of, record_type_one
from gmfmsim.trial.analyses import Ancova, Bayes, Historical, OneSample
from gmfmsim.trial.design import Design
from gmfmsim.trial.presets import read_design

RECORD = read_record(Path(__file__).parent / "validation" / FILE)
DESIGNS = {name: read_design(name) for name in names("designs")}
FAMILY = 0.01


def rows(name: str) -> dict[str, dict]:
    """The recorded figures of a design by analysis."""
    return {row["analysis"]: row for row in RECORD[name]["analyses"]}


PAIRS = [(name, analysis) for name, design in DESIGNS.items() for analysis in design.analyses]


@pytest.mark.parametrize("name", DESIGNS)
def test_every_analysis_of_a_shipped_design_is_recorded_for_the_design_as_it_is(name):
    entry, design = RECORD[name], DESIGNS[name]
    assert entry["design_sha256"] == design_hash(design)
    assert [row["analysis"] for row in entry["analyses"]] == [a.label for a in design.analyses]
    assert (entry["kind"], entry["replicates"]) == (design.kind, REPLICATES)
    assert entry["n_per_arm"] == (300 if design.objective.claim == "equivalence" else 60)
    assert datetime(2026, 1, 1, tzinfo=UTC) < datetime.fromisoformat(entry["written"])
    assert {"numpy", "scipy", "numba"} <= set(entry["packages"])


def test_nothing_else_is_recorded():
    assert set(RECORD) == set(DESIGNS)


def unadjusted(design: Design, analysis) -> bool:
    """Whether randomisation was balanced over something that the analysis leaves out: then the test is conservative.

    Its standard error counts what balance took away (Kahan & Morris 2012).
    """
    balanced = set(design.randomisation.strata) | ({"centre"} if design.children.centres else set())
    return bool(balanced - set(getattr(analysis, "covariates", ())))


def expected(design: Design, method: str) -> float:
    """The rate of an analysis: alpha / 2; of z, which takes the estimated SD as known, that of a t statistic."""
    if method != "z":
        return design.alpha / 2
    df = 2 * 60 * (1 - design.dropout) - 2
    return float(stats.t.sf(stats.norm.isf(design.alpha / 2), df))


def test_every_analysis_makes_false_claims_at_the_nominal_rate():
    promised = [(name, a) for name, a in PAIRS if rows(name)[a.label]["nominal"] is not None]
    assert len(promised) > 60
    away = stats.norm.isf(FAMILY / len(promised) / 2)
    assert 3.5 < away < 4
    wrong = []
    for name, analysis in promised:
        design, row = DESIGNS[name], rows(name)[analysis.label]
        assert row["nominal"] == design.alpha / 2
        assert row["failed"] == 0, (name, analysis.label)
        rate = expected(design, analysis.method)
        allowed = away * np.sqrt(rate * (1 - rate) / REPLICATES)
        off = row["type_one"] - rate
        if off > allowed or (off < -allowed and not unadjusted(design, analysis)):
            wrong.append((name, analysis.label, row["type_one"]))
    assert wrong == []


def test_what_promises_no_rate_is_known_and_why():
    """Informative priors, historical children, and natural history with another allowance than volunteers gain."""

    def pulled(design: Design, analysis) -> bool:
        if isinstance(analysis, OneSample):
            return abs(design.children.volunteer_gain.value * min(design.month / 12, 1) - analysis.allowance) > 1e-9
        return isinstance(analysis, Historical) or (isinstance(analysis, Bayes) and analysis.prior != "flat")

    for name, analysis in PAIRS:
        assert (rows(name)[analysis.label]["nominal"] is None) == pulled(DESIGNS[name], analysis), (
            name,
            analysis.label,
        )


def test_a_single_arm_takes_what_volunteers_gain_for_an_effect():
    """With an allowance above that gain it claims next to nothing, with one below it most of the time."""
    for name, analysis in PAIRS:
        row = rows(name)[analysis.label]
        if isinstance(analysis, OneSample) and row["nominal"] is None:
            assert row["type_one"] > 0.5 if analysis.allowance == 0 else row["type_one"] < 0.001, name


def test_where_children_respond_differently_only_a_model_of_all_visits_allows_for_losses_by_what_was_seen():
    """The mean effect is none, and of the children with cells those who do badly are lost more often."""
    found = {label: row["as_declared"] for label, row in rows("next_repeated").items()}
    error = np.sqrt(0.025 * 0.975 / REPLICATES)
    for label, rate in found.items():
        if label.startswith("mmrm"):
            assert abs(rate - 0.025) < 4 * error, label
        else:
            assert rate > 0.04, label


def test_where_losses_are_at_random_different_responses_make_no_more_false_claims():
    """Ends of the scale and unequal variances may take from the rate; it stays within four Monte Carlo errors."""
    error = np.sqrt(0.025 * 0.975 / REPLICATES)
    for name, analysis in PAIRS:
        design = DESIGNS[name]
        at_random = design.children.dropout.mechanism == "completely_at_random"
        if isinstance(analysis, Ancova) and design.objective.claim == "superiority" and at_random:
            assert rows(name)[analysis.label]["as_declared"] < 0.025 + 4 * error, (name, analysis.label)


# how the record is made


def test_an_entry_of_one_design():
    entry = entry_of("normal", replicates=4000)
    assert (entry["engine"], entry["n_per_arm"], entry["replicates"]) == ("children", 60, 4000)
    assert [row["analysis"] for row in entry["analyses"]] == [a.label for a in DESIGNS["normal"].analyses]
    for row in entry["analyses"]:
        assert abs(row["type_one"] - 0.025) < 4 * np.sqrt(0.025 * 0.975 / 4000)
        assert row["as_declared"] == row["type_one"]  # all children of this design respond alike
        assert row["mcse"] == pytest.approx(np.sqrt(row["type_one"] * (1 - row["type_one"]) / 4000), abs=1e-6)


def test_on_the_border_of_equivalence_the_margin_itself_is_the_effect():
    """Ends of the scale would take some of it: then the trial claims what is true more often."""
    entry = entry_of("next_equivalence", replicates=4000)
    assert entry["n_per_arm"] == 300
    for row in entry["analyses"]:
        assert abs(row["type_one"] - 0.025) < 4 * np.sqrt(0.025 * 0.975 / 4000)
        assert row["as_declared"] >= row["type_one"]


@pytest.mark.parametrize("workers", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_a_partial_run_keeps_other_entries_whatever_the_workers(tmp_path, workers):
    record_type_one(tmp_path, ["sun2017"], replicates=200)
    one = record_type_one(tmp_path, ["next_twins", "next_cluster"], replicates=200)
    assert list(one) == ["next_cluster", "next_twins", "sun2017"] == list(read_record(tmp_path / FILE))
    if workers is None:
        return
    two = record_type_one(tmp_path / "two", ["next_cluster", "next_twins"], replicates=200, workers=workers)
    for name, entry in two.items():
        assert entry | {"written": ""} == one[name] | {"written": ""}


def test_unknown_designs_are_named_all_at_once(tmp_path, monkeypatch, capsys):
    with pytest.raises(InputError) as refusal:
        record_type_one(tmp_path / "record", ["sun2018", "normal", "next_twinns"])
    assert [f.allowed.split(";")[0] for f in refusal.value.faults] == ["nearest: sun2017", "nearest: next_twins"]
    assert command(monkeypatch, "type-one", "--out", tmp_path / "record", "--design", "sun2018") == 2
    assert "nearest: sun2017" in capsys.readouterr().err
    assert not (tmp_path / "record").exists()


def test_the_command_line_writes_the_record(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(type_one, "entry_of", lambda name, replicates: {"design": name, "replicates": replicates})
    assert command(monkeypatch, "type-one", "--out", tmp_path, "--design", "normal", "--workers", "1") == 0
    assert str(tmp_path) in capsys.readouterr().out
    assert json.loads((tmp_path / "type_one.json").read_text()) == {
        "normal": {"design": "normal", "replicates": REPLICATES}
    }


def test_the_hash_of_a_design_is_that_of_its_trials():
    design = DESIGNS["sun2022"]
    words = {"title": "Another title", "source": "Another source", "design": "other"}
    excess = design.children.excess_sd
    renamed = design.children.model_copy(
        update={"title": "Others", "excess_sd": excess.model_copy(update={"source": "S"})}
    )
    other = design.children.model_copy(update={"excess_sd": excess.model_copy(update={"value": 7.0})})
    assert design_hash(design.model_copy(update=words | {"children": renamed})) == design_hash(design)
    assert design_hash(design.model_copy(update={"children": other})) != design_hash(design)
    assert len({design_hash(d) for d in DESIGNS.values()}) == len(DESIGNS)
