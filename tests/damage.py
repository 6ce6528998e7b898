"""A valid experiment and valid tables, and ways to damage them."""

import csv
import io
import shutil
import sys
import tomllib
from enum import Enum
from pathlib import Path

import pytest
import tomli_w

from gmfmsim.cli import main
from gmfmsim.evidence.read import PACKAGE_TABLES
from gmfmsim.faults import InputError
from gmfmsim.question.question import read_question

VALID = """\
question = "How many children?"
seed = 1
evidence = { tables = "package", select = { default_use = "primary" } }
model = { name = "random_effects" }

[trial]
month = 12
arms = [{ name = "control", dose = "0 cells/kg" }, { name = "cells", dose = "5e7 cells/kg" }]
sd_change = { dist = "lognormal", median = 5.5, sigma = 0.12 }
dropout = 0.08

[search]
target = { metric = "assurance", value = 0.80 }
planning_value = 1.42
"""
WORDS = {"unit": "points", "reason": "test"}
BELOW_ZERO = {"dist": "normal", "mean": 0, "sd": 1} | WORDS
MODEL = {
    "title": "One mean",
    "curve": "constant",
    "priors": {
        "mu": BELOW_ZERO,
        "tau": {"dist": "half_normal", "sd": 2} | WORDS,
        "r": {"dist": "lognormal", "median": 0.56, "sigma": 0.2} | WORDS,
    },
}


class Mark(Enum):
    """What stands for a key that is taken out: a value with the same name in every process that tests."""

    ABSENT = "absent"


ABSENT = Mark.ABSENT


def changed(config: dict, changes: dict) -> dict:
    """Return the config with the values at dotted keys replaced, or taken out where ABSENT."""
    for path, value in changes.items():
        *above, last = path.split(".")
        node = config
        for key in above:
            node = node[int(key)] if isinstance(node, list) else node.setdefault(key, {})
        last = int(last) if isinstance(node, list) else last
        if value is ABSENT:
            del node[last]
        else:
            node[last] = value
    return config


def trial(folder: Path, changes: dict, name: str = "trial.toml") -> Path:
    """Write the valid experiment with changes."""
    path = folder / name
    path.write_text(tomli_w.dumps(changed(tomllib.loads(VALID), changes)), encoding="utf-8")
    return path


def damaged_tables(folder: Path, table: str, cells: dict[tuple[int, str], str]) -> Path:
    """Copy the shipped tables and set cells (line of the file, column) of one of them."""
    copy = shutil.copytree(PACKAGE_TABLES, folder / "tables")
    path = copy / f"{table}.csv"
    rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
    for (line, column), value in cells.items():
        rows[line - 1][rows[0].index(column)] = value
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return copy


def faults_of(path: Path | str) -> list[tuple[str, str]]:
    """Return (file, where) of every fault of an experiment."""
    with pytest.raises(InputError) as refusal:
        read_question(str(path))
    return [(fault.file, fault.where) for fault in refusal.value.faults]


def command(monkeypatch, *words: object) -> int:
    """Call the command line and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["gmfmsim", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code
