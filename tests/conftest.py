"""What several test files share: the reference numbers, and one run of every shipped plan."""

import csv
import json
from pathlib import Path

import pytest
from filelock import FileLock

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


class Results(dict):
    """Results of shipped experiments by name, each run once, when it is first asked for, by whichever process asks."""

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder

    def __missing__(self, name: str):
        with FileLock(self.folder / f"{name}.lock"):
            self[name] = run(name, self.folder)
        return self[name]


@pytest.fixture(scope="session")
def results(tmp_path_factory, worker_id):
    """The result of every shipped experiment, shared by the processes that test side by side."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "results"
    folder.mkdir(exist_ok=True)
    return Results(folder)


@pytest.fixture(scope="session")
def quickstart_fit():
    """The quick start's plan and its posterior."""
    (plan,) = read_experiment("quickstart").plans
    return plan, fit(plan.models["random_effects"], plan.contrasts, Sampler(cross_check=False), seed=1).tree
