"""What several test files share: the reference numbers, and one run of every shipped plan."""

import csv
import gc
import json
import os
from functools import partial, partialmethod
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import tomli_w
from filelock import FileLock
from hypothesis import settings
from matplotlib.figure import Figure

from gmfmsim import run
from gmfmsim.answer import safety
from gmfmsim.files.remembered import PLACE
from gmfmsim.files.shelf import find
from gmfmsim.files.toml import read_toml
from gmfmsim.model.checks import left_out
from gmfmsim.model.engine import fit
from gmfmsim.model.nuts import Sampler
from gmfmsim.model.safety import safety_posterior
from gmfmsim.question.question import read_question

LONGEST = (
    "test_every_model",
    "test_every_design",
    "test_pipeline",
    "test_designs",
    "test_engines",
    "test_calibration",
    "test_what_moves",
)
"""Files that take longest: they begin, so that no process waits for the last of them alone.

The first two share the fewest compiled loops, so that two processes with nothing compiled seldom do the same.
"""


settings.register_profile("fast", max_examples=25, deadline=None)
settings.register_profile("slow", max_examples=100, deadline=None)
settings.load_profile("fast")


def examples(few: int, many: int) -> int:
    """Return how many examples a property is held to: few, or many on the slow shelf."""
    return many if settings.get_current_profile_name() == "slow" else few


def pytest_configure(config):
    """Let what is sampled be remembered for the time of the tests, by all their processes."""
    if not hasattr(config, "workerinput"):
        config.memory = TemporaryDirectory(prefix="gmfmsim-memory-")
        os.environ[PLACE] = config.memory.name


def pytest_unconfigure(config):
    """Forget it."""
    if hasattr(config, "memory"):
        config.memory.cleanup()


def pytest_collection_modifyitems(items):
    """Put the tests of the longest files first."""
    rank = {name: i for i, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(LONGEST)))


def pytest_collection_finish():
    """Keep the collector of garbage from looking through all that was collected, and too often through the rest."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


@pytest.fixture(scope="session")
def reference() -> dict[str, dict]:
    """Rows of reference/targets.csv by target: input and expected figures, read from their JSON where they are."""
    rows = {}
    with (Path(__file__).parent / "reference" / "targets.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rows[row["target_id"]] = {"expected": json.loads(row["expected"]), "input": row["input"]}
    return rows


PLANS = (
    "quickstart",
    "quickstart_one_mean",
    "cord_blood_dose",
    "curve_average",
    "review_plug_in",
    "unpublished_trials",
    "individual_data",
)
"""The shipped experiments that ask for a required n."""


ROOT = Path(__file__).parents[1]
REPLANNED = ("min2013", "sun2017", "sun2022", "rah2017", "liu2017", "amanat2021", "wang2015")
"""The trials of the past that are planned again: two arms and more, crossover, responders, no control group."""
DRAWN = {
    "quickstart": ("course", "forest", "curves", "tornado"),
    "cord_blood_dose": ("dose_response", "comparison"),
    "past_trials": ("past",),
    "claim_of_80_percent": ("reports", "untreated", "false_claims"),
    "safety_by_dose": ("harm", "stopping"),
    "who_benefits": ("age", "gmfcs"),
}
"""Figures that are drawn, once each kind that there is: further ones than `quickstart_one_mean` has, which draws all of
its own. All others are made."""
AS_TABLED = ("unpublished_trials", "quickstart", "who_benefits")
"""Of these the tests take one reading of suspect figures: not the committed answers, in a tenth of the time."""


FEW_STUDIES = ("Huang2018", "Gu2020", "Amanat2021", "Sun2022")
"""Studies of the quick start in a small result: several months and both routes are among them."""


FEW_NODES = (12, 6)
"""Nodes of the posteriors of adverse events in small results: rates within a hundredth of what all nodes say."""


def small(name: str, folder: Path) -> Path:
    """Write a shipped experiment with a fifth of its trials and at most 1,000 draws a chain, and return its path.

    What moves n is said in full for the one-mean quick start alone. Full-size results, with the check by sampling, are
    computed by `make reproduce` and committed; tests hold them to these small ones.
    """
    config = read_toml(find("experiments", name))
    if "safety" in config:
        return small_safety(name, config, folder)
    part = next(key for key in ("past", "claim", "search") if key in config)
    if "replicates" in config[part]:
        config[part]["replicates"] //= 10 if part == "claim" else 5
    if part == "past":
        config[part]["designs"] = list(REPLANNED)
    if part != "claim":
        sampler = config.setdefault("sampler", {})
        sampler["draws"] = min(sampler.get("draws", 1_000), 1_000)
        sampler["cross_check"] = False
    if name != "quickstart_one_mean" and part == "search" and "who" not in config:
        config["sensitivity"] = {"changed": ["dropout"]}
    if name in AS_TABLED:
        config["evidence"]["readings"] = "as_tabled"
    if name == "quickstart":
        config["model"]["average"].remove("course_arms")  # seven parameters: `test_every_model` runs it
        config["evidence"]["select"]["study"] = list(FEW_STUDIES)
    if name == "individual_data":
        config["alternatives"] = config["alternatives"][:1]
    path = folder / f"{name}.toml"
    path.write_text(tomli_w.dumps(config), encoding="utf-8")
    return path


def small_safety(name: str, config: dict, folder: Path) -> Path:
    """Write an experiment about adverse events with two events, the last dose and one model of the gain."""
    config["safety"]["events"] = config["safety"]["events"][:2]
    config["safety"]["doses"] = config["safety"]["doses"][-1:]
    config["model"] = {"name": "loglinear"}
    path = folder / f"{name}.toml"
    path.write_text(tomli_w.dumps(config), encoding="utf-8")
    return path


def committed(name: str) -> dict:
    """The committed answer to a shipped experiment as it stands now."""
    path = ROOT / "results" / name / read_question(name).key / "answer.json"
    return json.loads(path.read_text(encoding="utf-8"))


class Results(dict):
    """Small results of shipped experiments by name, each run once, by whichever process asks for it first."""

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder

    def __missing__(self, name: str):
        with FileLock(self.folder / f"{name}.lock"), pytest.MonkeyPatch.context() as patch:
            if name == "safety_by_dose":
                patch.setattr(safety, "safety_posterior", partial(safety_posterior, nodes=FEW_NODES))
            if name != "quickstart_one_mean":
                patch.setattr(left_out, "EXACT_PARAMETERS", 0)  # refits without a study by fewer nodes
                patch.setattr(Figure, "savefig", partialmethod(svg_of, DRAWN.get(name, ())))
            self[name] = run(str(small(name, self.folder)), self.folder)
        return self[name]


DRAW = Figure.savefig


def svg_alone(self, path, **how):
    """What stands for `Figure.savefig`: figures drawn once, as a page shows them; the quick start's are PNG too."""
    if Path(path).suffix == ".svg":
        DRAW(self, path, **how)


def svg_of(self, names, path, **how):
    """The same of the figures with these names, of the first plan; those of other names are blank."""
    drawn = Path(path).stem in names and "alternatives" not in Path(path).parts
    (svg_alone if drawn else blank_svg)(self, path, **how)


BLANK = '<svg xmlns="http://www.w3.org/2000/svg"></svg>'


def blank(self, path, **how):
    """What stands for `Figure.savefig`: a figure that was made is written as an empty one, without setting its type."""
    Path(path).write_text(BLANK, encoding="utf-8")


def blank_svg(self, path, **how):
    """The same of figures on a page alone."""
    if Path(path).suffix == ".svg":
        blank(self, path)


@pytest.fixture
def blank_figures(monkeypatch):
    """Figures are made and not drawn: for pages of which the words are asked."""
    monkeypatch.setattr(Figure, "savefig", blank)


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
    (plan,) = read_question("quickstart_one_mean").plans
    return plan, fit(plan.models["random_effects"], plan.contrasts, Sampler(cross_check=False, draws=1000), seed=1).tree
