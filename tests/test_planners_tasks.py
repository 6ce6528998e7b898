"""What a planner asks, each by one command; on the slow shelf, each within five seconds of computing."""

import json
import struct
import sys
import time
from pathlib import Path

import pytest

from gmfmsim import cli
from gmfmsim.trial.closed_form import sample_size

PILOTS = """study,arm,dose,n,mean,sd,month,scale,cell_class,route
Pilot A,cells,5e7 cells/kg,14,6.1,4.2,12,GMFM-66,TNC_MNC,IV
Pilot A,control,0 cells/kg,13,4.0,4.8,12,GMFM-66,none,none
Pilot B,cells,3e7 cells/kg,20,5.5,5.1,12,GMFM-66,TNC_MNC,IV
Pilot B,control,0 cells/kg,21,5.2,4.4,12,GMFM-66,none,none
"""
KNOWN = ("--effect", "3", "--sd", "5.5")


@pytest.fixture
def asked(monkeypatch, capsys, tmp_path):
    """Give one command; return its JSON, or what it prints. Files are written and found in a folder of the test."""
    monkeypatch.chdir(tmp_path)

    def ask(*words: str, as_json: bool = True):
        monkeypatch.setattr(sys, "argv", ["gmfmsim", *words, *(["--json"] if as_json else [])])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert stop.value.code == 0
        out = capsys.readouterr().out
        return json.loads(out) if as_json else out

    return ask


def two_to_one(ask):
    found = ask("size", *KNOWN, "--power", "0.9", "--ratio", "2", "--dropout", "0.15", "--correlation", "0.8")
    assert found["n_by_arm"] == {"control": 58, "cells": 116}
    assert found["n_total"] == 174
    assert found["power"] >= 0.9


def another_sd(ask):
    found = ask("size", "quickstart_one_mean", "--sd", "7")
    assert found["assumed"]["sd_of_change"].startswith("7 GMFM-66 points (taken as known)")
    assert found["n_total"] > 412  # with 5.5


def sixty_children(ask):
    found = ask("power", "quickstart_one_mean", "--n", "60", *KNOWN)
    assert found["n_total"] == 60
    assert 0.4 < found["power"] < 0.6
    assert found["type_m"] > 1.2
    assert {row["power"] for row in found["detectable"]} == {0.8, 0.9}


def own_pilots(ask):
    Path("pilots.csv").write_text(PILOTS, encoding="utf-8")
    found = ask("size", "quickstart_one_mean", "--set", 'evidence.tables=["package", "pilots.csv"]')
    assert found["assumed"]["evidence"].startswith("14 contrasts of 11 studies")


def three_designs(ask):
    found = ask("compare", "cost_and_time")
    assert [row["label"].partition(": ")[2] for row in found["comparison"]["rows"]][1:] == [
        "two arms, 2:1",
        "crossover at 12 months",
    ]
    assert Path(found["folder"], "report.html").is_file()


def cost(ask):
    more = ("--set", "cost.treated=20000", "--set", "cost.control=2000")
    found = ask("size", *KNOWN, "--power", "0.8", *more)
    arms = found["n_by_arm"]
    assert found["cost"]["total"]["high"] == 20000 * arms["cells"] + 2000 * arms["control"]


def duration(ask):
    more = ("--set", "recruitment.centres=6", "--set", "recruitment.rate=1.5")
    found = ask("size", *KNOWN, "--power", "0.8", *more)
    months = found["duration"]["months"]
    assert months["low"] < found["n_total"] / 9 + 12 < months["high"]


def protocol_text(ask):
    text = ask("protocol", "quickstart_one_mean", as_json=False)
    assert text.startswith("# Sample size")
    assert "| children randomised | 412 |" in text


def slide(ask):
    found = ask("compare", "review_plug_in", "quickstart_one_mean")
    picture = Path(found["folder"], "figures", "comparison.png").read_bytes()
    assert struct.unpack(">II", picture[16:24]) == (1920, 1080)


def precision(ask):
    found = ask("precision", "--sd", "5.5", "--width", "3")
    known = sample_size(effect=1.5, sd=5.5, power_target=0.5, alpha=0.05, method="z")  # half of the width is 1.96 SE
    assert found["n_total"] == pytest.approx(2 * known / 0.92, rel=0.03)


TASKS = (
    two_to_one,
    another_sd,
    sixty_children,
    own_pilots,
    three_designs,
    cost,
    duration,
    protocol_text,
    slide,
    precision,
)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.__name__)
def test_each_takes_one_command(asked, task):
    task(asked)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.__name__)
def test_each_takes_five_seconds_of_computing(asked, task):
    """Computing without the start of a process: its second time in one process, which has compiled code at hand."""
    task(asked)
    began = time.process_time()
    task(asked)
    assert time.process_time() - began < 5
