"""Plans side by side: rows from answers, differences, what distinguishes them, and what cannot be compared."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from conftest import small
from typer.testing import CliRunner

import gmfmsim
from gmfmsim.answer.asked import asked_of
from gmfmsim.answer.comparison import Side, comparison
from gmfmsim.cli import app
from gmfmsim.faults import InputError
from gmfmsim.files.toml import read_toml
from gmfmsim.report.compared import compared_table


def side(label: str, n_total: int | None, points: list[int], success: list[float], mcse: float, **assumed) -> Side:
    """A plan whose success over children in all is given."""
    surface = xr.Dataset(
        {
            "success": (("scenario", "n", "analysis"), np.array(success).reshape(1, -1, 1)),
            "success_mcse": (("scenario", "n", "analysis"), np.full((1, len(points), 1), mcse)),
        },
        {"scenario": ["new_study"], "n": np.array(points) // 2, "analysis": ["t"], "randomised": ("n", points)},
    )
    figures = ("n_by_arm", "plateau", "plateau_mcse", "exposed", "assurance", "assurance_mcse", "power", "power_mcse")
    found = dict.fromkeys((*figures, "false_claims", "false_claims_mcse"))
    found |= {"n_total": n_total, "why": "reached" if n_total else "plateau"}
    found |= {"target": {"metric": "assurance", "value": 0.8}, "assumed": {"planning_value": 1.0} | assumed}
    return Side(label, found, surface)


def test_differences_are_read_off_at_the_children_of_the_first_with_their_error():
    n = [20, 40, 60, 80]
    first = side("a", 40, n, [0.2, 0.8, 0.85, 0.9], 0.03)
    second = side("b", 60, n, [0.1, 0.6, 0.8, 0.85], 0.04)
    exact = side("c", None, n, [0.1, 0.3, 0.5, 0.6], np.nan)
    beyond = side("d", 500, [400, 500], [0.7, 0.8], 0.01)
    found = comparison([first, second, exact, beyond])["rows"]
    assert [row["more_children"] for row in found] == [0, 20, None, 460]
    assert [row["more_assurance"] for row in found[1:3]] == pytest.approx([-0.2, -0.5])
    assert found[1]["more_assurance_mcse"] == pytest.approx(0.05)
    assert found[2]["more_assurance_mcse"] == pytest.approx(0.03)
    assert found[0]["more_assurance"] is None  # of itself
    assert found[3]["more_assurance"] is None  # its curve does not reach so few children


def test_between_computed_n_a_curve_stays_between_its_values():
    first = side("a", 50, [40, 60], [0.8, 0.8], np.nan)
    second = side("b", 60, [20, 40, 60, 80], [0.1, 0.6, 0.62, 0.9], np.nan)
    gained = comparison([first, second])["rows"][1]["more_assurance"]
    assert 0.6 - 0.8 < gained < 0.62 - 0.8


def test_only_what_differs_is_told():
    a = side("a", 40, [20, 40], [0.2, 0.8], 0.01, dropout=0.1, ratio={"x": 1.0, "y": 2.0}, model="m")
    b = side("b", 60, [20, 60], [0.2, 0.8], 0.01, dropout=0.2, ratio={"x": 1.0, "y": 2.0}, model="m")
    assert comparison([a, b])["differs"] == [{"what": "drop-out", "values": ["0.1", "0.2"]}]


def test_ranges_and_none_come_from_what_moves_n():
    one = side("a", 40, [20, 40], [0.2, 0.8], 0.01)
    two = one._replace(found=one.found | {"sensitivity": [{"n_total": 12}, {"n_total": None}, {"n_total": 90}]})
    assert [row["range"] for row in comparison([one, two])["rows"]] == [None, {"low": 12, "high": 90, "none": True}]


def test_results_and_experiments_are_compared_from_the_command_line(results, tmp_path):
    folder = results["quickstart_one_mean"].folder
    asked = ["compare", str(folder), "review_plug_in", "--results", str(tmp_path), "--json"]
    answer = json.loads(CliRunner().invoke(app, asked, catch_exceptions=False).stdout)
    rows = answer["comparison"]["rows"]
    assert rows[0]["label"] == "quickstart_one_mean"
    assert rows[0]["n_total"] == results["quickstart_one_mean"].answer["n_total"]
    assert rows[0]["range"] is not None
    assert rows[1]["range"] is None  # not computed for a comparison alone
    sized = gmfmsim.size("review_plug_in")
    for row, plan in zip(rows[1:], [sized, *sized["alternatives"]], strict=True):
        assert (row["n_total"], row["n_by_arm"]) == (plan["n_total"], plan["n_by_arm"])
        assert row["plateau"] == pytest.approx(plan["plateau"], abs=2e-6)
    page = (tmp_path / "compared" / answer["key"] / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 1
    assert "What distinguishes them" in page
    again = json.loads(CliRunner().invoke(app, asked, catch_exceptions=False).stdout)
    assert again == answer | {"reused": True}


def test_the_page_of_an_experiment_with_alternatives_compares_them(results):
    answer = results["cord_blood_dose"].answer
    rows = answer["comparison"]["rows"]
    plans = [answer, *answer["alternatives"]]
    assert [row["n_total"] for row in rows] == [plan["n_total"] for plan in plans]
    assert [row["exposed"] for row in rows] == [plan["n_by_arm"]["cells"] for plan in plans]
    assert {row["what"] for row in answer["comparison"]["differs"]} == {"model"}
    page = results["cord_blood_dose"].report.read_text(encoding="utf-8")
    assert page.index('id="compared"') < page.index('id="curves"')


def test_a_comparison_alone_computes_what_a_run_does(tmp_path, monkeypatch, blank_figures):
    """Of designs on simulated children: n, curves, and false claims over settings of children."""
    monkeypatch.setattr("gmfmsim.answer.plan.NUISANCE_REPLICATES", 500)
    monkeypatch.setattr("gmfmsim.trial.change_sd.CHILDREN", 200)
    raw = read_toml(small("designs_compared", tmp_path))
    raw["search"]["replicates"], raw["evidence"]["readings"] = 1000, "as_tabled"
    raw["alternatives"] = raw["alternatives"][-1:]
    made = gmfmsim.run(raw | {"name": "designs_compared"}, tmp_path / "run")
    alone = gmfmsim.compare(made.folder / "config.toml", results=tmp_path).answer["comparison"]
    of_run = made.answer["comparison"]
    assert [row["label"] for row in alone["rows"]] == [f"designs_compared: {row['label']}" for row in of_run["rows"]]
    assert [row | {"label": ""} for row in alone["rows"]] == [row | {"label": ""} for row in of_run["rows"]]
    assert alone["differs"] == of_run["differs"]
    for row, plan in zip(alone["rows"], [made.answer, *made.answer["alternatives"]], strict=True):
        worst, first = row["most_false_claims"], plan["analyses"][0]["analysis"]
        assert worst["rate"] == plan["largest_false_claim_rate"][first]
        assert worst["above"] == (first in {above["analysis"] for above in plan["above_nominal"]})
        assert 0 < worst["mcse"] < 0.02


def test_the_most_false_claims_are_told_by_old_results_too():
    """An earlier one says them where they lie above nominal alone."""
    worst = {"setting": "s", "rate": 0.3, "mcse": 0.01, "nominal": 0.025, "above": True}
    found = comparison([side("a", 40, [20, 40], [0.2, 0.8], 0.01), side("b", 60, [20, 60], [0.2, 0.8], 0.01)])
    assert "over settings" not in " ".join(compared_table(found).headings)
    for name in ("most_false_claims", "above_nominal"):
        old = [{k: v for k, v in row.items() if k != "most_false_claims"} for row in found["rows"]]
        old[1][name] = worst
        told = compared_table(found | {"rows": old, "of": "a"})
        (column,) = (i for i, heading in enumerate(told.headings) if heading == "#over settings")
        assert [row[column].warn for row in told.rows] == ["", "up to 30 %"]


@pytest.mark.parametrize(
    ("sources", "problem"),
    [
        (["review_plug_in"] * 13, "26 plans to compare"),
        (["quickstart_one_mean"], "1 plan to compare"),
        (["eggenberger2019", "quickstart"], "a review rerun has no n"),
        (["no_such_thing", "quickstart"], "no_such_thing"),
    ],
)
def test_what_cannot_be_compared_is_a_fault(tmp_path, sources, problem):
    with pytest.raises(InputError, match=problem):
        gmfmsim.compare(*sources, results=tmp_path)
    assert list(tmp_path.rglob("answer.json")) == []


def test_a_name_a_path_and_a_folder_mean_the_same_to_every_verb(results, tmp_path, monkeypatch):
    """A shipped name goes before a folder of that name; a folder is a result, or a fault."""
    made = results["review_plug_in"].folder
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made, "quickstart")
    Path("empty").mkdir()
    assert asked_of("quickstart").name == asked_of(Path("quickstart")).name == "quickstart"
    for folder in ("./quickstart", tmp_path / "quickstart"):
        assert asked_of(folder).answer["experiment"] == "review_plug_in"
    for ask in (lambda: gmfmsim.compare("empty", "quickstart"), lambda: gmfmsim.protocol("empty")):
        with pytest.raises(InputError, match="is no result of this version"):
            ask()
    experiment = gmfmsim.load("review_plug_in")
    assert asked_of(experiment) is experiment.question


def test_a_result_without_n_is_a_fault(results, tmp_path):
    with pytest.raises(InputError, match="has no n to compare"):
        gmfmsim.compare(results["past_trials"], "quickstart", results=tmp_path)


def test_a_result_of_an_earlier_version_is_a_fault(results, tmp_path):
    """Neither compared nor drawn again: it says less than either tells."""
    folder = tmp_path / "old"
    shutil.copytree(results["review_plug_in"].folder, folder)
    answer = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
    for key in ("assumed", "protocol", "limits", "above_nominal"):
        del answer[key]
    (folder / "answer.json").write_text(json.dumps(answer), encoding="utf-8")
    for ask in (lambda: gmfmsim.compare(folder, "quickstart", results=tmp_path), lambda: gmfmsim.draw(folder)):
        with pytest.raises(InputError, match="earlier version"):
            ask()
