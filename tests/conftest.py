"""What several test files share: the reference numbers, and one run of every shipped plan."""

import csv
import json
from pathlib import Path

import pytest

from gmfmsim.experiment import read_experiment
from gmfmsim.model.engine import fit
from gmfmsim.model.nuts import Sampler
from gmfmsim.pipeline import run


@pytest.fixture(scope="session")
def reference() -> dict[str, dict]:
    """Rows of reference/targets.csv by target: input and expected figures, read from their JSON where they are."""
    rows = {}
    with (Path(__file__).parent / "reference" / "targets.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rows[row["target_id"]] = {"expected": json.loads(row["expected"]), "input": row["input"]}
    return rows


PLANS = ("quickstart", "cord_blood_dose", "curve_average", "review_plug_in", "unpublished_trials")
"""The shipped experiments that ask for a required n."""


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """The result of every shipped plan, run once."""
    folder = tmp_path_factory.mktemp("results")
    return {name: run(name, folder) for name in PLANS}


@pytest.fixture(scope="session")
def quickstart_fit():
    """The quick start's plan and its posterior."""
    (plan,) = read_experiment("quickstart").plans
    return plan, fit(plan.models["random_effects"], plan.contrasts, Sampler(cross_check=False), seed=1).tree
