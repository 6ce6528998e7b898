"""The experiment about who gains most: what a run writes, its page, its refusals, and its committed result."""

import json
import shutil
import tomllib

import numpy as np
import pytest
import xarray as xr
from conftest import committed

import gmfmsim
from gmfmsim.answer.who import SLOPES, slope_of
from gmfmsim.answer.who_words import who_sentences
from gmfmsim.faults import InputError
from gmfmsim.files import store
from gmfmsim.files.shelf import find
from gmfmsim.model.average import refitted
from gmfmsim.model.effect import Condition, effect_at
from gmfmsim.model.setting import Setting
from gmfmsim.question.question import read_question
from gmfmsim.report.who import effect_figure
from gmfmsim.trial.subgroups import Subgroups

NAME = "who_benefits"
SHIPPED = tomllib.loads(find("experiments", NAME).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def answer(results):
    return results[NAME].answer


@pytest.fixture(scope="module")
def asked(results):
    return read_question(str(results[NAME].folder / "config.toml")).asked


@pytest.fixture(scope="module")
def member(asked):
    """The model of age, fitted anew."""
    plan = asked.parts[0].both
    return refitted(plan.models, plan.contrasts, plan.plan.model)[0]


def test_a_result_holds_everything_and_its_key_comes_back(results, answer):
    folder = results[NAME].folder
    assert store.is_complete(folder)
    assert answer["kind"] == "who"
    assert read_question(str(folder / "config.toml")).key == answer["key"]
    assert answer["sentences"] == who_sentences(answer)


def test_the_slope_and_the_effects_are_those_of_the_posterior(answer, asked, member):
    part, law = answer["by"][0], slope_of(member, "age")
    assert part["slope"]["below_0"] == pytest.approx(law.cdf(0.0), abs=1e-6)
    assert [law.cdf(part["slope"][end]) for end in ("low", "high")] == pytest.approx([0.025, 0.975], abs=1e-5)
    trial = asked.parts[0].both.plan.trial
    for band in [*part["bands"], part["subgroups"]["both"], *part["subgroups"]["groups"]]:
        at = Condition(trial.active.dose, trial.month, Setting(age=band["mean"]))
        found = effect_at(member.mixture, member.curve, at, "mean")
        assert [band["effect"], band["above_0"]] == pytest.approx([found.mean, found.above(0.0)], abs=1e-5)
    assert [band["outside"] for band in part["bands"]] == [True, False, True, False]


def test_the_n_of_a_band_is_that_of_its_plan_alone(answer):
    """The plan of 3 to 10 years, asked as an experiment of its own."""
    (band,) = (b for b in answer["by"][0]["bands"] if b["words"] == "3 to 10 years")
    raw = {k: v for k, v in SHIPPED.items() if k not in ("who", "evidence", "trial")} | {"model": {"name": "age"}}
    raw |= {"evidence": SHIPPED["evidence"] | {"readings": "as_tabled"}}
    raw |= {"trial": SHIPPED["trial"] | {"setting": {"age": 5.66}}}
    assert gmfmsim.size(raw)["n_total"] == band["n_total"] is not None


def test_the_test_of_subgroups_is_averaged_over_the_slope(answer, asked, member):
    split, law = answer["by"][0]["subgroups"], slope_of(member, "age")
    two, n, apart = Subgroups(asked.parts[0].both.plan.trial, split["share"]), split["both"]["n"], 2.52 - 9.94
    assert split["difference"] == pytest.approx(apart * member.mixture.moments("age_slope")[0], abs=1e-4)
    assert split["power"] == pytest.approx(two.interaction(n, split["difference"]), abs=1e-5)
    by_hand = np.mean([two.interaction(n, apart * law.quantile(p)) for p in SLOPES[::5]])
    assert split["assurance"] == pytest.approx(by_hand, abs=0.03)
    assert split["difference"] == pytest.approx(split["groups"][0]["effect"] - split["groups"][1]["effect"], abs=1e-4)
    needed = {row["words"]: row for row in split["needed"]}
    of_plan = needed["as large as the planning value"]
    assert of_plan["n_total"] / of_plan["main_total"] == pytest.approx(4, rel=0.02)


def test_the_claim_is_held_to_its_own_model(answer):
    held = answer["held"]
    assert (held["claim"]["claim_id"], held["claim"]["low"], held["claim"]["high"]) == ("C09", 3, 10)
    assert (held["model"], held["before"]) == ("claimed_age", 0.5)
    assert held["after"] == pytest.approx(1 - held["slope"]["below_0"], abs=1e-6)


def test_what_is_read_first_names_no_n_beyond_what_was_studied(answer):
    (said,) = (s for s in answer["sentences"] if "3 to 10 years" in s and "assurance" in s)
    beyond = next(b for b in answer["by"][0]["bands"] if b["words"] == "10 to 18 years")
    assert f"10 to 18 years {beyond['n_total']}" not in said
    assert "1 to 3 years, 10 to 18 years alone lie beyond" in said
    assert any("no cause" in s for s in answer["sentences"])
    assert answer["sentences"][-1] == SHIPPED["who"]["note"]


def test_what_the_figure_shows(results):
    data = xr.load_dataset(results[NAME].folder / "age.nc")
    assert (data.attrs["low"], data.attrs["high"]) == pytest.approx((3.14, 7.91))
    assert data.sizes["contrast"] == 12
    (ax,) = effect_figure(data).axes
    assert ax.get_xlim() == (1.0, 18.0)
    np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), data["effect"].values)
    steps = np.diff(data["effect"].values) / np.diff(data["at"].values)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-3)  # a straight line


def test_the_page_says_it_in_words_and_is_drawn_again(results, answer, tmp_path):
    page = results[NAME].report.read_text(encoding="utf-8")
    for words in (
        answer["sentences"][0],
        answer["disclaimer"],
        "beyond what was studied",
        "ages 4 to 14",
        "By GMFCS level",
    ):
        assert words in page
    assert "<script" not in page
    folder = shutil.copytree(results[NAME].folder, tmp_path / "copy")
    (folder / "report.html").unlink()
    assert gmfmsim.draw(folder).read_text(encoding="utf-8") == page


def changed(**who):
    return SHIPPED | {"who": SHIPPED["who"] | who}


BY = SHIPPED["who"]["by"][0]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (changed(by=[]), "who.by"),
        (changed(by=[BY | {"bands": [[3, 1]]}]), "low end of a band first"),
        (changed(by=[BY | {"bands": [[3, 30]]}]), "3 to 30 goes too far"),
        (changed(by=[BY | {"bands": [[3]]}]), "who.by.0.bands"),
        (changed(by=[BY | {"bands": [[1, 3], [1, 3]]}]), "each band once"),
        (changed(by=[BY, BY]), "age stands there twice"),
        (changed(by=[BY | {"subgroups": [[1, 5]]}]), "who.by.0.subgroups"),
        (changed(by=[BY | {"share": 1.0}]), "who.by.0.share"),
        (changed(by=[BY | {"model": "route"}]), "has the terms route"),
        (changed(by=[BY | {"model": "random_effects"}]), "has the terms none"),
        (changed(by=[BY | {"model": "claimed_age"}]), "has the terms claimed_age"),
        (changed(by=[BY | {"model": "aged"}]), "who.by.0.model"),
        (changed(held={"claim": "C99", "model": "claimed_age"}), "there is no 'C99'"),
        (changed(looks=3), "unknown key"),
        (SHIPPED | {"model": {"name": "age"}}, "key model"),
        (SHIPPED | {"sampler": {"engine": "nuts"}}, "age is sampled"),
        (SHIPPED | {"trial": {"design": "next_parallel"}}, "two arms of normal children, one t test"),
        (SHIPPED | {"evidence": {"select": {"study": "Nobody"}}}, "Nobody"),
        ({k: v for k, v in SHIPPED.items() if k != "trial"}, "trial"),
    ],
)
def test_faults_of_a_bad_section_are_told(raw, words):
    with pytest.raises(InputError, match=words):
        gmfmsim.check(raw)


def test_without_a_claim_no_model_of_it_is_asked():
    raw = changed()
    del raw["who"]["held"]
    assert len(gmfmsim.check(raw)["plans"]) == 10


def test_the_plans_are_plans_like_any(asked):
    found = gmfmsim.check(NAME)
    labels = [plan["label"] for plan in found["plans"]]
    assert labels[1] == "3 to 10 years"
    assert len(labels) == len(set(labels)) == 11
    assert all(any("rests on trials" in note for note in plan["notes"]) for plan in found["plans"])
    assert [p.plan.label for p in asked.plans] == labels


def test_the_committed_answer_is_near_that_of_the_figures_as_tabled(answer):
    """Readings of suspect figures averaged over, and both engines: slopes move by less than half of their SD."""
    known = committed(NAME)
    assert known["question"] == answer["question"]
    for one, small in zip(known["by"], answer["by"], strict=True):
        sd = (one["slope"]["high"] - one["slope"]["low"]) / 4
        assert abs(one["slope"]["mean"] - small["slope"]["mean"]) < sd / 2
        assert one["gate"] == "passed"
    assert known["held"]["after"] == pytest.approx(answer["held"]["after"], abs=0.1)
    json.dumps(known, allow_nan=False)
