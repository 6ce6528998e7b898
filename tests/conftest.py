"""What several test files share: the reference numbers, and one run of every shipped plan."""

import csv
import json
from pathlib import Path

import pytest
import tomli_w
from filelock import FileLock

from gmfmsim.experiment import read_experiment
from gmfmsim.model.engine import fit
from gmfmsim.model.nuts import Sampler
from gmfmsim.past import is_past
from gmfmsim.pipeline import run
from gmfmsim.shipped import find
from gmfmsim.spec import read_toml


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


CHECKED_BY_SAMPLING = ("quickstart", "cord_blood_dose")
"""Of these the other engine checks the posterior in the tests too; of all, in the committed results."""


def small(name: str, folder: Path) -> Path:
    """Write a shipped experiment with a fifth of its trials and at most 2,000 draws, under its name, and return it.

    Full-size results are computed by `make reproduce` and committed; tests hold them to these small ones.
    """
    config = read_toml(find("experiments", name))
    if "replicates" in config["search"]:
        config["search"]["replicates"] //= 5
    sampler = config.setdefault("sampler", {})
    sampler["draws"] = min(sampler.get("draws", 2_000), 2_000)
    sampler["cross_check"] = name in CHECKED_BY_SAMPLING
    path = folder / f"{name}.toml"
    path.write_text(tomli_w.dumps(config), encoding="utf-8")
    return path


class Results(dict):
    """Small results of shipped experiments by name, each run once, by whichever process asks for it first."""

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder

    def __missing__(self, name: str):
        with FileLock(self.folder / f"{name}.lock"):
            self[name] = run(name if is_past(name) else str(small(name, self.folder)), self.folder)
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
