"""Planning a trial of several doses by formula, from a command: contrasts, children, allocation, curves of its data."""

import numpy as np
import pytest

import gmfmsim
from gmfmsim import cli
from gmfmsim.answer.doses import dose_finding
from gmfmsim.faults import InputError
from gmfmsim.trial.analyse.mcp_mod import McpMod
from gmfmsim.trial.detectable import fixed_truths
from gmfmsim.trial.presets import read_design
from gmfmsim.trial.simulate import simulate

ARMS = """dose;mean;sd;n
0 cells/kg;2,0;5,5;40
1e7 cells/kg;2,5;5,2;40
3e7 cells/kg;3,5;5,9;40
1e8 cells/kg;7,0;6,1;40
"""


def test_reference_simulated_trials_succeed_as_often_as_the_formula_says():
    """A line from control to the highest dose, on normal children, whose change has the SD that is said."""
    shapes = {"method": "mcp_mod", "candidates": [{"curve": "linear"}, {"curve": "emax", "ed50": 0.3}]}
    normal = read_design("normal", overrides={"sd_change": 5.5, "dropout": 0.0})
    doses = read_design("next_doses")
    trial = normal.model_copy(update={"arms": doses.arms, "analyses": [McpMod.model_validate(shapes)]})
    found = dose_finding(trial, 3.0)
    truths = fixed_truths(trial, 0.0, 20_000, seed=3)
    truths["effect"] = truths["effect"] + np.array([3.0 * arm.dose / 1e8 for arm in trial.arms])
    n = found["n_by_arm"]["control"]
    simulated = simulate(truths, trial, n=[n], seed=4)["success"].item()
    (power,) = [row["power"] for row in found["candidates"] if row["shape"] == "linear"]
    assert simulated == pytest.approx(power, abs=4 * (power * (1 - power) / 20_000) ** 0.5 + 1e-3)


def test_known_the_smallest_number_reaches_the_power_and_one_less_an_arm_does_not():
    found = gmfmsim.doses("next_doses", 3, sd=5.5)
    less = gmfmsim.doses("next_doses", 3, sd=5.5, n=found["n_total"] - 8)
    assert found["power"] >= 0.8 > less["power"]
    assert sum(found["allocation"].values()) == pytest.approx(1)
    assert min(row["power"] for row in found["candidates"]) == found["power"]
    for row in found["candidates"]:
        assert sum(row["contrast"].values()) == pytest.approx(0, abs=1e-12)
        assert max(row["effects"].values()) == pytest.approx(3)


def test_curves_of_a_file_as_a_spreadsheet_writes_it(tmp_path, monkeypatch, capsys):
    """Means on a line of 5 points over 1e8 cells/kg: it is found, and no curve is better."""
    (tmp_path / "arms.csv").write_text(ARMS, encoding="utf-8")
    found = gmfmsim.doses("next_doses", 4, data=tmp_path / "arms.csv")
    line = next(row for row in found["curves"] if row["curve"] == "linear")
    assert found["curves"][0] == line
    assert line["parameters"]["slope"] == pytest.approx(5, abs=1e-9)
    assert line["dose_of_effect"] == pytest.approx(4 / line["parameters"]["slope"] * 1e8, rel=1e-9)
    assert line["dose_of_share"] == pytest.approx(0.9e8)
    monkeypatch.setattr("sys.argv", ["gmfmsim", "doses", "--effect", "4", "--data", str(tmp_path / "arms.csv")])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 0
    assert "  linear: AIC" in capsys.readouterr().out


def test_all_faults_of_a_file_are_told(tmp_path):
    (tmp_path / "arms.csv").write_text("dose,mean,sd,n\nmany,1,5,20\n0 cells/kg,x,0,20\n", encoding="utf-8")
    with pytest.raises(InputError) as error:
        gmfmsim.doses("next_doses", 3, data=tmp_path / "arms.csv")
    told = [fault.where for fault in error.value.faults]
    assert told == ["row 2, column dose", "row 3, column mean", "row 3"]
    (tmp_path / "arms.csv").write_text("dose,mean\n0 cells/kg,1\n", encoding="utf-8")
    with pytest.raises(InputError, match="no column sd"):
        gmfmsim.doses("next_doses", 3, data=tmp_path / "arms.csv")


def test_what_cannot_be_asked_is_told_at_once():
    with pytest.raises(InputError) as error:
        gmfmsim.doses("next_parallel", -1, sd=0, power=1.0, share=1.0)
    assert [fault.where for fault in error.value.faults] == ["design", "--effect", "--sd", "--power", "--share"]
    with pytest.raises(InputError, match="too few"):
        gmfmsim.doses("next_doses", 3, n=2)
