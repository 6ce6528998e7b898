"""The package in Python: the verbs of the command line, values as well as names, and short words for each."""

import builtins
import inspect
import json
import shutil
from importlib import import_module
from pkgutil import walk_packages

import numpy as np
import pytest
import xarray as xr
from conftest import committed, small

import gmfmsim
from gmfmsim.answer.result import Result
from gmfmsim.faults import InputError
from gmfmsim.files import store
from gmfmsim.files.shelf import find
from gmfmsim.files.toml import read_toml


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    return gmfmsim.load(small("quickstart_one_mean", tmp_path_factory.mktemp("door")))


def test_every_verb_is_typed_and_documented():
    assert set(gmfmsim.__all__) >= {"load", "run", "simulate", "fit", "check", "draw", "shipped", "show", "audit"}
    for name in gmfmsim.__all__:
        verb = getattr(gmfmsim, name)
        if inspect.isfunction(verb):
            assert "return" in verb.__annotations__
            assert verb.__doc__


def test_no_builtin_is_shadowed_and_no_verb_by_a_room():
    for module in walk_packages(gmfmsim.__path__, "gmfmsim."):  # each is bound to its name in the package
        if not module.name.endswith("__main__"):
            import_module(module.name)
    assert not set(gmfmsim.__all__) & set(dir(builtins))
    assert all(callable(getattr(gmfmsim, v)) for v in gmfmsim.__all__ if v.islower() and v[0] != "_")


def test_a_name_a_path_and_what_a_file_holds_are_one_experiment(tmp_path):
    raw = read_toml(find("experiments", "quickstart_one_mean"))
    (tmp_path / "quickstart_one_mean.toml").write_bytes(find("experiments", "quickstart_one_mean").read_bytes())
    keys = {
        gmfmsim.load(source).key
        for source in (
            "quickstart_one_mean",
            tmp_path / "quickstart_one_mean.toml",
            raw | {"name": "quickstart_one_mean"},
        )
    }
    assert len(keys) == 1


def test_every_step_is_a_labelled_object(experiment):
    assert experiment.contrasts().sizes["contrast"] == 12
    assert {"posterior", "constant_data"} <= set(experiment.posterior().children)
    assert experiment.truths()["effect"].dims == ("scenario", "draw", "arm")
    surface = experiment.surface(n=[50, 200])
    assert surface["success"].dims == ("scenario", "n", "analysis")
    assert surface["randomised"].values.tolist() == [100, 400]
    size = experiment.size()
    assert size["n_total"] == size["n_by_arm"].sum() == 2 * size["n_by_arm"].sel(arm="cells")
    assert np.isnan(size["n_total_interval"]).all()  # exact: no Monte Carlo interval
    assert (size.attrs["status"], size.attrs["why"]) == ("reached", "reached")


def test_the_size_in_python_is_the_answer_of_a_run(experiment, results):
    answer = results["quickstart_one_mean"].answer
    assert experiment.size()["n_total"] == answer["n_total"]
    assert (
        dict(zip(["control", "cells"], experiment.size()["n_by_arm"].values.tolist(), strict=True))
        == answer["n_by_arm"]
    )


def test_an_unreachable_size_is_no_number():
    raw = read_toml(find("experiments", "quickstart_one_mean")) | {"sampler": {"draws": 500, "cross_check": False}}
    raw["search"] = raw["search"] | {"target": {"metric": "assurance", "value": 0.99}, "replicates": 2000}
    size = gmfmsim.load(raw).size()
    assert np.isnan(size["n_total"])
    assert size.attrs["status"] == "unreachable"


def test_another_plan_has_its_label(experiment):
    with pytest.raises(InputError, match="is no plan"):
        experiment.contrasts("another")
    with pytest.raises(InputError, match="no contrasts"):
        gmfmsim.load("review_plug_in").contrasts()
    with pytest.raises(InputError, match="has no plan"):
        gmfmsim.load("xie2020").size()


def test_a_result_reads_back_and_is_drawn_again_alike(results):
    folder = results["quickstart_one_mean"].folder
    again = Result.read(folder)
    assert again.answer == results["quickstart_one_mean"].answer
    assert again.data("surface").identical(xr.load_dataset(folder / "surface.nc"))
    before = {p.name: p.read_bytes() for p in (folder / "figures").glob("*.svg")}
    page = results["quickstart_one_mean"].report.read_bytes()
    assert gmfmsim.draw(folder) == results["quickstart_one_mean"].report
    assert results["quickstart_one_mean"].report.read_bytes() == page
    assert {p.name: p.read_bytes() for p in (folder / "figures").glob("*.svg")} == before


def test_a_folder_without_its_data_says_so(tmp_path):
    with pytest.raises(InputError, match="is no result"):
        gmfmsim.draw(tmp_path)
    (tmp_path / "answer.json").write_text(json.dumps(committed("quickstart_one_mean")), encoding="utf-8")
    with pytest.raises(InputError, match=r"surface.nc: does not exist\n    allowed: none: run the experiment again"):
        gmfmsim.draw(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["answer.json"]


def test_representations_are_short(experiment, results):
    for value in (experiment, results["quickstart_one_mean"]):
        assert len(repr(value)) < 700
        assert len(value._repr_html_()) < 3000


def test_a_result_that_is_drawn_again_stays_complete(results, tmp_path, blank_figures):
    """Another version draws otherwise: its page and figures stand in the manifest, and nothing is computed again."""
    folder = tmp_path / "again"
    shutil.copytree(results["review_plug_in"].folder, folder)
    before = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    (folder / "report.html").write_text("older", encoding="utf-8")
    store.rehash(folder)
    gmfmsim.draw(folder)
    after = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert store.is_complete(folder)
    assert after.keys() == before.keys()
    assert {k: v for k, v in after.items() if k != "files"} == {k: v for k, v in before.items() if k != "files"}
    (folder / "answer.json").write_text((folder / "answer.json").read_text(encoding="utf-8") + " ", encoding="utf-8")
    gmfmsim.draw(folder)
    assert not store.is_complete(folder)  # what was changed by hand is not made whole
