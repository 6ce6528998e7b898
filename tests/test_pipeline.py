"""The whole way: what a run writes, that it writes it twice alike, and never half."""

import io
import json
import re
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tomli_w
import xarray as xr
from conftest import AS_TABLED, PLANS, REPLANNED, ROOT, committed, svg_alone
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

import gmfmsim
from gmfmsim.answer import posterior as gated
from gmfmsim.answer import result as written
from gmfmsim.answer.evidence import contrasts
from gmfmsim.answer.plan import Answered
from gmfmsim.answer.truths import effects_of
from gmfmsim.answer.words import extrapolations
from gmfmsim.compute.text import percent
from gmfmsim.dist.distributions import Fixed
from gmfmsim.evidence.read import PACKAGE_TABLES
from gmfmsim.faults import GateFailed, InputError
from gmfmsim.files import store
from gmfmsim.model import engine
from gmfmsim.model.average import Member
from gmfmsim.model.effect import band
from gmfmsim.model.engine import Fit
from gmfmsim.progress import Silent
from gmfmsim.question.question import read_question
from gmfmsim.question.scaffold import new_evidence
from gmfmsim.report import figures

ANSWER_KEYS = {
    *("experiment", "key", "target", "status", "n_per_arm", "n_interval", "interval_prob", "n_total"),
    *("plateau", "plateau_mcse", "power", "sentence"),
}
QUICK = """
question = "How many?"
seed = 5
[evidence]
pooled = { meta_id = "Eggenberger2019", measure = "SMD" }
[sampler]
draws = 500
[trial]
month = 12
arms = [{ name = "control", dose = "0 cells/kg" }, { name = "cells", dose = "5e7 cells/kg", ratio = 2 }]
sd_change = { dist = "fixed", value = 1 }
dropout = 0.1
[search]
target = { metric = "assurance", value = TARGET }
planning_value = 0.95
replicates = 10_000
max_n_per_arm = 2000
"""


@pytest.fixture
def quick(tmp_path, monkeypatch):
    """Write a small experiment that needs no sampling, and return its path; its figures are drawn once."""
    monkeypatch.setattr(Figure, "savefig", svg_alone)

    def write(target=0.7) -> str:
        path = tmp_path / "quick.toml"
        path.write_text(QUICK.replace("TARGET", str(target)), encoding="utf-8")
        return str(path)

    return write


@pytest.mark.parametrize("name", PLANS)
def test_a_result_holds_everything(results, name):
    folder, answer = results[name].folder, results[name].answer
    assert set(answer) >= ANSWER_KEYS
    assert answer == json.loads((folder / "answer.json").read_text(encoding="utf-8"))
    assert folder.parts[-2:] == (name, answer["key"])
    models = len(answer["models"])
    posteriors = ["posterior.nc"] if models == 1 else [p.name for p in folder.glob("posterior-*.nc")]
    assert len(posteriors) == models
    for file in ("config.toml", "manifest.json", *posteriors, "surface.nc", "report.html"):
        assert (folder / file).stat().st_size > 500
    figures = {p.name for p in (folder / "figures").iterdir()}
    assert {"curves.svg", "forest.svg"} <= figures
    assert ("curves.png" in figures) == (name == "quickstart_one_mean")  # the others are drawn once
    assert ("dose_response.svg" in figures) == (name in ("cord_blood_dose", "curve_average"))
    assert store.is_complete(folder)


@pytest.mark.parametrize("name", [name for name in PLANS if name not in ("quickstart", "unpublished_trials")])
def test_the_n_of_an_answer_has_the_success_that_the_answer_says(results, name):
    """`power` at the n of a result: the same figures, to the last digit that is printed."""
    answer, folder = results[name].answer, results[name].folder
    surface = xr.load_dataset(folder / "surface.nc").isel(analysis=0)
    n = answer["n_per_arm"] or int(surface["n"][-1])
    found = gmfmsim.power(str(folder / "config.toml"), int(surface["randomised"].sel(n=n)))
    assert found["n_total"] == surface["randomised"].sel(n=n)
    for figure, scenario in (("assurance", "new_study"), ("power", "planning_value"), ("false_claims", "null")):
        assert found[figure] == pytest.approx(surface["success"].sel(scenario=scenario, n=n).item(), abs=2e-6)
    if answer["target"]["metric"] == "assurance":
        assert found["plateau"] == pytest.approx(answer["plateau"], abs=2e-6)


def test_the_quick_start_answers(results):
    answer = results["quickstart_one_mean"].answer
    assert answer["status"] == "reached"
    assert answer["target"] == {"metric": "assurance", "value": 0.8}
    assert answer["n_per_arm"] == 206  # that of dense quadrature
    assert answer["n_interval"] is answer["n_total_interval"] is answer["plateau_mcse"] is None
    assert (answer["trial_engine"], [row["passed"] for row in answer["trial_gate"]]) == ("exact", [True])
    assert answer["n_total"] == 2 * answer["n_per_arm"]
    assert answer["plateau"] == pytest.approx(0.945088, abs=2e-6)
    assert f"{answer['n_total']} children ({answer['n_per_arm']} an arm" in answer["sentence"]


def test_the_quick_start_says_the_sd_of_change_of_its_trial(results):
    """That of its own law, exactly, and beside it what the trials of its evidence predict for a further one."""
    said = results["quickstart_one_mean"].answer["trial"]["sd_of_change"]
    assert [said["low"], said["median"], said["high"]] == pytest.approx([4.347, 5.5, 6.958], abs=1e-3)
    assert said["in_evidence"]["trials"] == 7
    assert said["in_evidence"]["low"] < 2 < 18 < said["in_evidence"]["high"]
    page = results["quickstart_one_mean"].report.read_text(encoding="utf-8")
    row = "SD of 12-month change in this trial</td><td>5.5 GMFM-66 points (95 % 4.35 to 6.96), as observed"
    assert row in page
    assert "the same in a further trial</td><td>6.02 GMFM-66 points (95 % 1.9 to 18.3)" in page


def test_the_quick_start_curves_are_those_of_the_answer(results):
    surface = xr.load_dataset(results["quickstart_one_mean"].folder / "surface.nc")
    assert surface["success"].dims == ("scenario", "n", "analysis")
    answer = results["quickstart_one_mean"].answer
    curve = surface["success"].sel(scenario="new_study", analysis="t")
    n = answer["n_per_arm"]
    assert curve.sel(n=n).item() >= 0.8
    assert (curve.where(curve.n < n, drop=True) < 0.8).all()
    assert surface["success"].sel(scenario="planning_value", n=n).item() == pytest.approx(answer["power"], abs=1e-6)
    assert surface["success_mcse"].isnull().all()
    assert (surface["success"].diff("n").sel(scenario="new_study") > 0).all()  # exact curves are smooth


def test_two_dose_curves_stand_side_by_side(results):
    answer = results["cord_blood_dose"].answer
    assert answer["label"] == "Emax curve"
    assert [a["label"] for a in answer["alternatives"]] == ["Log-linear curve"]
    assert [[m["name"] for m in p["models"]] for p in (answer, *answer["alternatives"])] == [["emax"], ["loglinear"]]
    assert answer["dose_outside_evidence"] is False
    assert answer["sentence"].count(" an arm) give 80 % assurance") == 2
    assert "Monte Carlo" not in answer["sentence"]
    assert (results["cord_blood_dose"].folder / "alternatives" / "log-linear-curve" / "posterior.nc").exists()


def test_the_review_needs_many_more_children_with_its_own_heterogeneity(results):
    plug_in = results["review_plug_in"].answer
    honest = plug_in["alternatives"][0]
    # SMD 0.95 at 80 % power: 19 per arm by formula, 8 % drop-out on top
    assert 19 <= plug_in["n_per_arm"] <= 22
    assert plug_in["plateau"] == 1
    assert honest["status"] == "unreachable" or honest["n_per_arm"] > 10 * plug_in["n_per_arm"]
    se, tau = (1.76 - 0.13) / 3.919928, np.sqrt(0.901 * 5) * (1.76 - 0.13) / 3.919928
    from scipy import stats

    exact = stats.norm.cdf(0.95 / np.hypot(se, tau))
    assert honest["plateau"] == pytest.approx(exact, abs=1e-3)  # exact has rounded inputs


def test_the_resolved_config_runs_again_under_the_same_key(results):
    for name in PLANS:
        again = read_question(str(results[name].folder / "config.toml"))
        assert (again.name, again.key) == (name, results[name].answer["key"])
        assert again.config == tomllib.loads((results[name].folder / "config.toml").read_text(encoding="utf-8"))


def test_a_complete_result_is_reused_and_a_damaged_one_made_anew(quick, blank_figures, tmp_path):
    first = gmfmsim.run(quick(), tmp_path / "r")
    assert not first.reused
    before = (first.folder / "manifest.json").read_bytes()
    assert gmfmsim.run(quick(), tmp_path / "r").reused
    (first.folder / "surface.nc").unlink()
    again = gmfmsim.run(quick(), tmp_path / "r")
    assert not again.reused
    assert again.answer == first.answer
    assert (again.folder / "surface.nc").exists()
    damaged = (again.folder / "manifest.json").read_bytes()
    assert damaged != before
    forced = gmfmsim.run(quick(), tmp_path / "r", force=True)
    assert (forced.reused, forced.answer) == (False, first.answer)
    assert (forced.folder / "manifest.json").read_bytes() != damaged
    assert [p.name for p in forced.folder.parent.iterdir()] == [forced.folder.name]


def test_a_config_with_own_tables_and_model_carries_them_along(tmp_path):
    own = tmp_path / "own"
    shutil.copytree(PACKAGE_TABLES, own / "tables")
    (own / "mine.toml").write_bytes((ROOT / "models" / "emax.toml").read_bytes())
    text = (ROOT / "experiments" / "cord_blood_dose.toml").read_text(encoding="utf-8")
    text = text.replace('"package"', '"tables"').replace('"emax"', '"mine.toml"')
    (own / "own.toml").write_text(text, encoding="utf-8")
    experiment = read_question(str(own / "own.toml"))
    moved = tmp_path / "moved"
    moved.mkdir()
    written.copy_own_inputs(experiment, moved)
    config = experiment.config
    shutil.rmtree(own)
    (moved / "config.toml").write_text(tomli_w.dumps(config), encoding="utf-8")
    again = read_question(str(moved / "config.toml"))
    assert again.key == experiment.key
    assert again.config == config


def test_an_alternative_may_change_distribution_and_source(tmp_path):
    text = (ROOT / "experiments" / "quickstart_one_mean.toml").read_text(encoding="utf-8")
    text += """
[[alternatives]]
label = "figures"
trial.sd_change = { dist = "fixed", value = 6 }
[[alternatives]]
evidence = { pooled = { meta_id = "Eggenberger2019", measure = "SMD" } }
trial.sd_change = { dist = "fixed", value = 1 }
"""
    path = tmp_path / "mixed.toml"
    path.write_text(text, encoding="utf-8")
    _, fixed, published = read_question(str(path)).plans
    assert fixed.plan.trial.sd_change == Fixed(dist="fixed", value=6)
    assert (published.models, published.plan.model) == ({}, None)
    assert published.published.row["meta_id"] == "Eggenberger2019"


def test_a_result_that_another_run_completed_meanwhile_stays(quick, blank_figures, tmp_path):
    result = gmfmsim.run(quick(), tmp_path / "r")
    before = (result.folder / "manifest.json").read_bytes()
    with store.writing(result.folder) as draft:
        (draft / "late").write_text("too late", encoding="utf-8")
    assert (result.folder / "manifest.json").read_bytes() == before
    assert [p.name for p in result.folder.parent.iterdir()] == [result.folder.name]


def test_a_file_or_link_in_the_place_of_a_result_is_a_fault(quick, tmp_path):
    place = tmp_path / "r" / "quick" / read_question(quick()).key
    place.parent.mkdir(parents=True)
    place.symlink_to(tmp_path)
    with pytest.raises(InputError, match="a file or link stands"):
        gmfmsim.run(quick(), tmp_path / "r")
    assert not (tmp_path / "answer.json").exists()


@pytest.mark.parametrize(
    "manifest", ["[]", "null", '{"files": []}', '{"files": {"gone": "0"}}', "{", "", '{"files": {}}']
)
def test_a_folder_with_a_broken_manifest_is_not_complete(tmp_path, manifest):
    (tmp_path / store.MANIFEST).write_text(manifest, encoding="utf-8")
    assert not store.is_complete(tmp_path)


def test_another_target_is_another_key(quick):
    assert read_question(quick(0.7)).key != read_question(quick(0.6)).key


def test_an_unreachable_target_is_an_answer(quick, tmp_path):
    answer = gmfmsim.run(quick(0.95), tmp_path / "r").answer
    assert answer["status"] == "unreachable"
    assert answer["n_per_arm"] is answer["n_interval"] is answer["n_total"] is None
    assert answer["n_at_95_plateau"] > 10
    assert answer["sentence"].startswith("No number of children gives 95 % assurance")
    assert "plateau" in answer["sentence"]


def test_a_search_that_ends_at_its_limit_says_so(quick, tmp_path):
    path = Path(quick(0.8))
    path.write_text(path.read_text(encoding="utf-8").replace("= 2000", "= 20"), encoding="utf-8")
    answer = gmfmsim.run(str(path), tmp_path / "r").answer
    assert answer["status"] == "unreachable"
    assert answer["sentence"].startswith("Even 60 children (20 control, 40 cells) do not give 80 % assurance")
    assert "Not reached by 60 children: 20 control, 40 cells" in next(tmp_path.rglob("report.html")).read_text("utf-8")


@pytest.mark.parametrize(
    "change", [("value = 0.7", "value = 0.02"), ("planning_value = 0.95", "planning_value = 1000")]
)
def test_odd_but_valid_plans_are_answered(quick, tmp_path, change):
    path = Path(quick())
    path.write_text(path.read_text(encoding="utf-8").replace(*change), encoding="utf-8")
    assert gmfmsim.run(str(path), tmp_path / "r").answer["status"] == "reached"


def test_a_published_smd_needs_an_sd_of_one(quick):
    path = Path(quick())
    text = path.read_text(encoding="utf-8")
    for line in ("", 'sd_change = { dist = "fixed", value = 5.5 }'):
        path.write_text(text.replace('sd_change = { dist = "fixed", value = 1 }', line), encoding="utf-8")
        with pytest.raises(InputError, match=r"key trial.sd_change: .* does not fit an effect in standard deviations"):
            read_question(str(path))


@pytest.mark.slow
def test_dollars_in_a_study_name_are_drawn_as_text(quickstart_fit):
    plan, tree = quickstart_fit
    named = plan.contrasts.assign(study=("contrast", [r"$\foo$ 2015"] * 12))
    odd = replace(plan, reading=lambda: replace(plan.evidence, contrasts=named))
    member = Member("random_effects", plan.models["random_effects"], None, 1.0, draws=tree)
    effect = band(effects_of(plan, [member], {"cells": 5e7}), "dose", np.array([5e7]), seed=1)
    answer = Answered(odd, [member], None, None, [], effect, {}, [], [], None, [], {})
    drawn = figures.Drawn({"unit": odd.unit}, {"contrasts": contrasts(answer), "effect": effect})
    figures.forest(drawn).savefig(io.BytesIO(), format="svg")
    assert r"$\foo$ 2015" in "".join(t.get_text() for t in figures.forest(drawn).axes[0].texts)


def test_uneven_arms_are_counted_and_said(quick, blank_figures, tmp_path):
    answer = gmfmsim.run(quick(0.7), tmp_path / "r").answer
    n = answer["n_per_arm"]
    assert answer["n_total"] == 3 * n
    assert f"{3 * n} children ({n} control, {2 * n} cells) give" in answer["sentence"]


def test_dose_and_month_outside_the_evidence_are_flagged(tmp_path):
    text = (ROOT / "experiments" / "cord_blood_dose.toml").read_text(encoding="utf-8")
    path = tmp_path / "far.toml"
    path.write_text(text.replace("1e8 cells/kg", "5e8 cells/kg").replace("month = 12", "month = 24"), encoding="utf-8")
    for name, outside in ((str(path), True), ("cord_blood_dose", False)):
        experiment = read_question(name)
        for plan in experiment.plans:
            assert (plan.dose_outside_evidence, plan.month_outside_evidence) == (outside, outside)
            assert len(extrapolations(plan)) == 2 * outside
    assert read_question("review_plug_in").plans[0].dose_outside_evidence is None


def test_a_run_that_dies_leaves_nothing(quick, tmp_path, monkeypatch):
    def dies(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "write_manifest", dies)
    with pytest.raises(KeyboardInterrupt):
        gmfmsim.run(quick(), tmp_path / "r")
    assert list((tmp_path / "r").rglob("*")) == []


def test_a_fit_that_fails_the_gate_is_repeated_once_with_smaller_steps(monkeypatch):
    (prepared,) = read_question("quickstart_one_mean").plans
    tried, row = [], {"criterion": "divergences", "required": "0", "measured": 1, "worst": "all chains"}

    def fitted(model, data, sampler, seed, progress):
        tried.append(sampler.target_accept)
        return Fit(None, [row | {"passed": len(tried) == 2}], "nuts", None, None, [])

    monkeypatch.setattr(gated, "fit", fitted)
    found = gated.through_gate(prepared, prepared.models["random_effects"], Silent())
    assert found.gate == [row | {"passed": True}]
    assert tried == [prepared.plan.sampler.target_accept, 0.998]
    assert tried[0] < 0.998


def fit_with(monkeypatch, *, sampler: bool, agreement: bool) -> Fit:
    """Return an exact fit that passed, whose check by sampling passed its own criteria and agreed, or not."""
    row = {"criterion": "missed density", "required": "-", "worst": "nodes", "measured": 0.0, "passed": True}
    measured = [
        row | {"criterion": "R-hat", "measured": 1.0 if sampler else 1.3, "passed": sampler},
        row | {"criterion": "engines apart", "measured": 1.0 if agreement else 9.0, "passed": agreement},
    ]
    monkeypatch.setattr(engine, "exact_rows", lambda exact: [row])
    unchecked = None if sampler else "the sampler failed (R-hat 1.3 at nodes)"
    return Fit(None, [row, *measured], "exact", None, None, [], unchecked=unchecked)


@pytest.mark.parametrize("agreement", [True, False])
def test_an_exact_posterior_stands_where_its_check_by_sampling_failed(monkeypatch, agreement):
    (prepared,) = read_question("quickstart_one_mean").plans
    found = fit_with(monkeypatch, sampler=False, agreement=agreement)
    monkeypatch.setattr(gated, "fit", lambda *_, **__: found)
    stood = gated.through_gate(prepared, prepared.models["random_effects"], Silent())
    assert stood.verdict == "not confirmed by sampling: the sampler failed (R-hat 1.3 at nodes)"


def test_engines_that_disagree_stop_a_run_and_the_advice_names_the_check(monkeypatch):
    (prepared,) = read_question("quickstart_one_mean").plans
    found = fit_with(monkeypatch, sampler=True, agreement=False)
    monkeypatch.setattr(gated, "fit", lambda *_, **__: found)
    with pytest.raises(GateFailed, match="engines apart: 9 at nodes") as stop:
        gated.through_gate(prepared, prepared.models["random_effects"], Silent())
    assert "cross_check = false" in str(stop.value)


def test_a_failed_gate_stops_the_run_with_its_measurements(tmp_path, monkeypatch):
    row = {"criterion": "R-hat", "required": "at most 1.01", "measured": 1.3, "worst": "tau", "passed": False}
    monkeypatch.setattr(gated, "fit", lambda *_, **__: Fit(None, [row], "nuts", None, None, []))
    with pytest.raises(GateFailed, match=r"R-hat: 1.3 at tau, required at most 1.01"):
        gmfmsim.run("quickstart_one_mean", tmp_path / "r")
    assert list(tmp_path.rglob("answer.json")) == []


def test_a_results_folder_that_cannot_be_written_is_a_fault(quick, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be written"):
        gmfmsim.run(quick(), tmp_path / "file")


@pytest.mark.parametrize("name", PLANS)
def test_the_report_stands_alone_and_answers_first(results, name):
    page = results[name].report.read_text(encoding="utf-8")
    for sentence in [results[name].answer["sentence"].split(": ")[-1][:60]]:
        assert sentence in page
    assert page.index('class="answer"') < page.index("<svg")
    assert gmfmsim.DISCLAIMER in page
    assert not re.search(r"<(script|link|img|iframe)\b", page)
    assert not re.search(r"""(src=|url\()["']?https?:""", page)
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_the_report_names_the_source_of_every_contrast(results):
    page = results["quickstart_one_mean"].report.read_text(encoding="utf-8")
    data = read_question("quickstart_one_mean").plans[0].contrasts
    for url, row in zip(data["source_url"].values, data["row"].values, strict=True):
        assert f'<a href="{url}">' in page
        assert f"row {row}." in page


@pytest.mark.parametrize("name", [*(name for name in PLANS if name not in AS_TABLED), "dose_and_allocation"])
def test_the_committed_results_are_those_of_the_shipped_experiments(results, name):
    """What is exact is the same; another machine may sample otherwise, within the Monte Carlo error."""
    old, new = committed(name), results[name].answer
    whole = {plan["label"]: plan for plan in (old, *old.get("alternatives", []))}
    plans = {plan["label"]: plan for plan in (new, *new.get("alternatives", []))}
    assert list(plans) == list(whole)[: 2 if name == "individual_data" else None]
    for a, b in ((whole[label], plan) for label, plan in plans.items()):
        assert a["status"] == b["status"]
        if a["n_interval"] is None:
            assert a["n_per_arm"] == b["n_per_arm"]
            assert a["plateau"] == pytest.approx(b["plateau"], abs=2e-6)
            continue
        assert abs(a["plateau"] - b["plateau"]) <= 4 * np.hypot(a["plateau_mcse"], b["plateau_mcse"])
        error = np.hypot(*((plan["n_interval"][1] - plan["n_interval"][0]) / 3.92 for plan in (a, b)))
        assert abs(a["n_per_arm"] - b["n_per_arm"]) <= max(1, 4 * error)


def assumed(plan: dict) -> str:
    """Between what numbers n moves with what is assumed, as the README says it."""
    found = [row["n_total"] for row in plan["sensitivity"]]
    if not found:
        return "not computed: simulated children"
    reached = [n for n in (plan["n_total"], *found) if n is not None]
    return f"{min(reached)} to {max(reached)}" + (", or none" if None in found else "")


def test_the_readme_shows_the_committed_answers_and_its_links_lead_somewhere():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in (*PLANS, "time_course", "designs_compared", "dose_and_allocation", "cost_and_time"):
        answer = committed(name)
        assert f"results/{name}/{answer['key']}/report.html" in readme
        alternatives = answer.get("alternatives", []) if name != "time_course" else []  # said in words, see below
        for plan in [answer, *alternatives]:
            arms = plan["headline"].split("children", 1)[1]
            row = f"**{plan['n_total']}**{arms} | {assumed(plan)} | {percent(plan['plateau'])} |"
            assert row in readme
    average, quick = committed("quickstart"), committed("quickstart_one_mean")
    assert f"**{average['n_total']} children** give 80 % assurance" in readme
    assert f"results/quickstart/{average['key']}/figures/tornado.svg" in readme
    power, own = average["distribution"]["power_at_n"], average["distribution"]["n_of_own_truth"]
    said = f"more with {percent(power['at_least_80'])} probability, below 50 % with {percent(power['below_50'])}; with"
    assert f"{said} {percent(own['none'])}" in readme
    shares = {m["name"]: f"{100 * m['share']:.0f} %" for m in average["models"]}
    under = {row["to"]: row["n_total"] for row in average["sensitivity"] if row["changed"] == "structure"}
    said = (
        f"{shares['course']} where studies scatter around one course, {shares['course_arms']} where arms of one study"
    )
    said += f" may differ too, {shares['course_route']} where the route matters, with {under['course']}, "
    assert f"{said}{under['course_arms']} and {under['course_route']} children" in " ".join(readme.split())
    unpublished = committed("unpublished_trials")
    first, *others = quick["readings"]
    low, high = first["interval"]
    assert f"mean effect is {first['effect']:.2f} GMFM-66 points ({low:.2f} to {high:.2f} in 95 %)" in readme
    assert f"between-study SD of {first['tau']:.2f}" in readme
    assert f"from {quick['n_total']} to {unpublished['alternatives'][0]['n_total']} children" in readme
    totals = [r["n_total"] for r in others]
    assert f"from {min(totals)} to {max(totals)} children." in readme
    past = committed("past_trials")
    assert f"results/past_trials/{past['key']}/report.html" in readme
    controlled = [t["power"] for t in past["trials"] if t["controlled"]]
    false = [t["false_claims"] for t in past["trials"] if not t["controlled"]]
    assert f"None of {len(controlled)} trials" in readme
    assert f"median power {100 * np.median(controlled):.0f} %, the highest {100 * max(controlled):.0f} %" in readme
    assert f"{100 * min(false):.0f} to {100 * max(false):.0f} % of repetitions" in readme
    found = committed("dose_and_allocation")
    assert f"{found['detectable']['effect']:.2f} points" in readme
    for link in re.findall(r"\]\((?!https?:|#)([^)]+)\)", readme):
        assert (ROOT / link).exists(), link


def test_the_readme_says_when_to_measure_how_often_and_with_what_as_committed():
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    found, regimen, network = (committed(name) for name in ("time_course", "dose_regimen", "epo_network"))
    n = {f"{row['month']:g}": row["n_total"] for row in found["by_month"]}
    assert (
        f"at month 6 or 9, {n['6']} and {n['9']}, with {n['3']} at month 3, {n['12']} at 12, {n['18']} at 18" in readme
    )
    low, high = found["alternatives"][1]["n_total_interval"]
    assert f"by MMRM take {found['alternatives'][1]['n_total']} ({low} to {high}" in readme
    said = found["course"]["statements"][-1]
    assert f"of {percent(said['prior'])} before the data and {percent(said['posterior'])} after them" in readme
    at = {row["month"]: row for row in found["course"]["pooled"]["rows"]}
    pooled = [f"{row['estimate']:.2f} {{}} ({row['low']:.2f} to {row['high']:.2f})" for row in (at[6], at[12])]
    assert f"{pooled[0].format('points at month 6')} and {pooled[1].format('at month 12')}" in readme
    assert f"{regimen['n_total']} children at 1e8 per kg" in readme
    assert [plan["n_total"] for plan in regimen["alternatives"][:3]] == [None] * 3
    slope = _parameter(regimen["alternatives"][3], "infusions_slope")
    more = f"{slope['mean']:.1f} points on that curve with twice as many ({slope['low']:.1f} to {slope['high']:.1f})"
    epo = _parameter(network, "epo_effect")
    without = f"{epo['mean']:.1f} points without cells ({epo['low']:.1f} to {epo['high']:.1f})"
    assert more in readme
    assert f"{without}; a trial of the cells alone then takes {network['n_total']} children" in readme


def test_the_readme_says_what_the_missing_trial_and_the_readings_make_of_n_as_committed():
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    first, one, missing = (committed(name) for name in ("quickstart", "quickstart_one_mean", "unpublished_trials"))
    (none,) = (row["n_total"] for row in first["sensitivity"] if row["changed"] == "missing")
    published, without = (plan["n_total"] for plan in (missing, missing["alternatives"][0]))
    risen = f"would rise from {published} to {without} children (`unpublished_trials`)"
    assert f"{risen}, and that of the quick start from {first['n_total']} to {none}" in readme
    under = [row["n_total"] for row in one["readings"] if row["study"]]
    assert f"shows n under each: from {min(under)} to {max(under)} children" in readme


def _parameter(plan: dict, name: str) -> dict:
    return next(row for model in plan["models"] for row in model["parameters"] if row["name"] == name)


def test_the_committed_figures_of_past_trials_are_those_of_the_shipped_experiment(results):
    """Within their Monte Carlo errors: another machine may draw otherwise."""
    old = {trial["design"]: trial for trial in committed("past_trials")["trials"]}
    new = results["past_trials"].answer["trials"]
    assert list(old) == [prepared.plan.trial.design for prepared in read_question("past_trials").plans]
    assert {trial["design"] for trial in new} == set(REPLANNED) <= old.keys()
    for trial in new:
        for figure in ("power", "assurance", "false_claims"):
            before = old[trial["design"]]
            error = np.hypot(before[f"{figure}_mcse"], trial[f"{figure}_mcse"])
            assert abs(before[figure] - trial[figure]) <= 5 * error, trial["design"]


@given(st.floats(0, 1))
def test_percent_rounds_and_never_lies_about_certainty(share):
    shown = percent(share)
    number = float(shown.strip("<> %"))
    assert abs(number - 100 * share) <= 0.0501
    assert 0 < number < 100 or share in (0, 1)


@pytest.fixture(scope="module")
def own_evidence(tmp_path_factory):
    """A run on one's own flat file, in which a source tries to be more than an address."""
    folder = tmp_path_factory.mktemp("own")
    evidence, trial, *_ = new_evidence(folder / "mine")
    text = evidence.read_text(encoding="utf-8")
    address = next(word for word in re.split(r"[,\s]", text) if word.startswith("http"))
    evidence.write_text(text.replace(address, "javascript:alert(1)<script>alert(2)</script>"), encoding="utf-8")
    quick = trial.read_text(encoding="utf-8").replace("[trial]", "[sampler]\ncross_check = false\n\n[trial]", 1)
    few = "\n[sensitivity]\nchanged = ['sd']\n"
    trial.write_text(quick.replace("100_000", "10_000") + few, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", svg_alone)
        return gmfmsim.run(str(trial), folder / "results")


def test_a_run_on_a_flat_file_carries_it_along(own_evidence):
    """config.toml runs from the result alone: the copy of the file stands beside it."""
    again = read_question(str(own_evidence.folder / "config.toml"))
    assert again.key == own_evidence.answer["key"]
    copies = list((own_evidence.folder / "inputs").glob("tables-*.csv"))
    assert len(copies) == 1
    assert again.plans[0].contrasts.sizes["contrast"] == 3


def test_text_of_ones_own_tables_stays_text(own_evidence):
    page = own_evidence.report.read_text(encoding="utf-8")
    assert "javascript:alert(1)&lt;script&gt;" in page
    assert not re.search(r"<script|href=.javascript", page)


def test_the_report_has_an_evidence_section(results):
    page = results["quickstart_one_mean"].report.read_text(encoding="utf-8")
    for words in (
        *("The evidence", "Do less certain trials report larger effects?", "What the audit finds in these studies"),
        *(
            "one control group, Amanat2021:ctrl",
            "7.42",
            "printed spread is a standard error",
            "expanded MSC, into the spinal canal",
        ),
    ):
        assert words in page
    figures = {p.name for p in (results["quickstart_one_mean"].folder / "figures").iterdir()}
    assert "funnel.svg" in figures


def test_what_an_unpublished_trial_would_do_stands_side_by_side(results):
    answer = results["unpublished_trials"].answer
    nothing, something = answer["alternatives"]
    effects = [plan["readings"][0]["effect"] for plan in (answer, nothing, something)]
    assert effects[1] < effects[2] < effects[0]
    assert nothing["n_per_arm"] > 1.5 * answer["n_per_arm"]
    assert "supposed" in results["unpublished_trials"].report.read_text(encoding="utf-8")
