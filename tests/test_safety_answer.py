"""The experiment about adverse events: what a run writes, its page, its refusals, and its committed result."""

import json
import math
import shutil
import tomllib

import numpy as np
import pytest
import tomli_w
import xarray as xr
from conftest import FEW_NODES, ROOT, committed

import gmfmsim
from gmfmsim.answer.safety import _Rates, in_words, sentences, stopping_record, telling_record
from gmfmsim.evidence.formulas.rates import bound_when_none, children_to_see_one
from gmfmsim.faults import InputError
from gmfmsim.files import store
from gmfmsim.files.shelf import find
from gmfmsim.model.safety import Asked, safety_posterior
from gmfmsim.question.question import read_question
from gmfmsim.question.safety import Telling
from gmfmsim.report.safety import harm_figure, stopping_figure

NAME = "safety_by_dose"
SHIPPED = tomllib.loads(find("experiments", NAME).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def answer(results):
    return results[NAME].answer


@pytest.fixture(scope="module")
def asked(results):
    return read_question(str(results[NAME].folder / "config.toml")).asked


def test_a_result_holds_everything_and_its_key_comes_back(results, answer):
    folder = results[NAME].folder
    assert store.is_complete(folder)
    assert answer["kind"] == "safety"
    assert answer == json.loads((folder / "answer.json").read_text(encoding="utf-8"))
    assert read_question(str(folder / "config.toml")).key == answer["key"]
    assert answer["sentence"] == " ".join(sentences(answer))
    assert answer["disclaimer"]


def test_the_figures_of_an_event_are_those_of_its_posterior(answer, asked):
    for one, counts in [*zip(answer["events"], asked.counts, strict=True)][1:]:
        posterior, at = safety_posterior(counts.used, asked.section.priors, FEW_NODES), one["doses"][-1]
        dose = Asked(at["dose"])
        for name, new in (("typical_trial", False), ("new_trial", True)):
            rate = at[name]
            assert posterior.rate_cdf(dose._replace(new_study=new), rate["low"]) == pytest.approx(0.025, abs=1e-3)
            assert posterior.rate_cdf(dose._replace(new_study=new), rate["high"]) == pytest.approx(0.975, abs=1e-3)
        assert at["above_limit"] == pytest.approx(1 - posterior.rate_cdf(dose, one["limit"]), abs=1e-6)
        assert at["more_with_cells"] == pytest.approx(1 - posterior.difference_cdf(dose, 0.0), abs=1e-6)
        assert at["difference"]["mean"] == pytest.approx(
            at["new_trial"]["mean"] - one["without"]["new_trial"]["mean"], abs=2e-6
        )
        seen = at["children_to_see_one"]
        assert seen["median"] == pytest.approx(children_to_see_one(at["new_trial"]["median"]), rel=1e-3, abs=1)
        assert sum(r["n"] for r in one["rows"]) == one["children"]["cells"]["n"] + one["children"]["control"]["n"]


def test_known_figures_of_the_answer(answer):
    serious, fever = answer["events"]
    assert (serious["event"], serious["serious"], fever["serious"]) == ("serious_adverse", True, False)
    assert fever["within_trials"]["trials"] == ["Min2013", "Gu2020"]
    figures = [round(fever["within_trials"][k], 2) for k in ("ratio", "low", "high")]
    assert figures == [1.95, 1.09, 3.47]
    assert [(r["review"], r["cells"], r["control"]) for r in serious["reviews"]] == [
        ("Novak2016", [4, 135], [3, 139]),
        ("Eggenberger2019", [4, 344], [6, 228]),
    ]
    rah = next(r for r in answer["none_seen"] if r["study"] == "Rah2017")
    assert rah["bound"] == pytest.approx(bound_when_none(57), abs=1e-6)
    assert (math.floor(answer["tell"]["formula"]), answer["tell"]["n_total"]) == (3825, 7652)
    assert answer["tell"]["power_exactly"] == pytest.approx(0.803, abs=5e-4)
    assert answer["stopping"]["boundary"] == [3, 4, 4, 5, 6, 6]
    assert answer["tell"]["largest_trial"] == 105


def test_other_rows_stand_beside_the_answer(answer):
    ways = {one["event"]: [way["words"] for way in one["otherwise"]] for one in answer["events"]}
    assert len(ways["serious_adverse"]) == 3
    assert ways["serious_adverse"][-1].startswith("priors of cells")
    assert ways["serious_adverse"][0].startswith("with arms whose dose is not known")
    more = answer["events"][0]["otherwise"][0]
    assert more["arms"] > len(answer["events"][0]["rows"])


def test_what_the_figures_show_is_labelled(results, answer):
    data = xr.load_dataset(results[NAME].folder / "safety.nc")
    assert data["difference"].dims == ("event", "dose", "of")
    at = answer["events"][1]["doses"][-1]
    assert data["new_trial"].sel(event="fever").values[-1] == pytest.approx(
        [at["new_trial"][k] for k in data["of"].values]
    )
    assert data["stops"].sum("look").values == pytest.approx(
        [r["stops"] for r in answer["stopping"]["operating"]], abs=1e-5
    )
    above, below = harm_figure(data).axes
    assert len(above.containers) == 1
    assert len(below.containers) == data.sizes["event"]
    lines = stopping_figure(data).axes[0].get_lines()
    assert len(lines) == data.sizes["rate"]
    assert all(np.all(np.diff(line.get_ydata()) >= 0) for line in lines)


def test_the_page_says_it_in_words(results, answer):
    page = results[NAME].report.read_text(encoding="utf-8")
    for words in (
        answer["headline"],
        answer["disclaimer"],
        "Benefit and harm by dose",
        "1.95 (1.09 to 3.47 in 95 %",
        "a ratio of 1.37",
        "a ratio of 0.44",
        "another source of this arm is preferred",
        "3,825.15 before rounding up",
        "dose per kg not known",
    ):
        assert words in page
    assert "<script" not in page


def test_the_page_is_drawn_again_from_the_folder_alone(results, tmp_path):
    folder = shutil.copytree(results[NAME].folder, tmp_path / "copy")
    page = (folder / "report.html").read_text(encoding="utf-8")
    (folder / "report.html").unlink()
    assert gmfmsim.draw(folder).read_text(encoding="utf-8") == page


@pytest.mark.parametrize("verb", ["size", "power"])
def test_adverse_events_have_no_n(verb):
    ask = {"size": gmfmsim.size, "power": lambda source: gmfmsim.power(source, 60)}[verb]
    with pytest.raises(InputError, match="a question about adverse events has no n"):
        ask(NAME)
    with pytest.raises(InputError, match="a question about adverse events has no plan"):
        gmfmsim.load(NAME).truths()


def test_check_says_what_a_run_would_take():
    found = gmfmsim.check(NAME)
    assert found["plans"] == []
    assert found["checks"][0]["title"] == "4 of 401 children with cells, 7 of 259 without; 10 rows left out"
    assert gmfmsim.check(changed(month=6.0))["checks"] == found["checks"]
    assert gmfmsim.show("experiment", NAME).startswith("# Harm by dose")


def changed(**safety):
    return SHIPPED | {"safety": SHIPPED["safety"] | safety}


STOPPING = SHIPPED["safety"]["stopping"]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (changed(events=[{"name": "fevers", "limit": 0.1}]), "fever"),
        (changed(events=[{"name": "responder", "limit": 0.1}]), "no adverse event 'responder'"),
        (changed(events=[{"name": "nausea", "limit": 0.1}]), "dose per kg not known"),
        (changed(events=[{"name": "fever", "limit": 1.0}]), "events.0.limit"),
        (changed(events=[{"name": "fever", "limit": 0.1}] * 2), "each once"),
        (changed(events=[]), "safety.events"),
        (changed(doses=[]), "safety.doses"),
        (changed(doses=[1e7, 1e7]), "each once"),
        (changed(doses=[0.0]), "safety.doses.0"),
        (changed(setting={}), "route"),
        (changed(setting={"route": "oral"}), "safety.setting.route"),
        (changed(tell={"rates": [0.03, 0.03]}), "two rates that differ"),
        (changed(tell={"rates": [0.03, 1.0]}), "tell.rates.1"),
        (changed(stopping=STOPPING | {"every": 80}), "no more than children"),
        (changed(stopping=STOPPING | {"threshold": 1}), "stopping.threshold"),
        (changed(stopping={k: v for k, v in STOPPING.items() if k != "prior_events"}), "stopping.prior_events"),
        (changed(stopping=STOPPING | {"prior_events": 10}), "below prior_children"),
        (changed(priors={"tau": -1.0}), "priors.tau"),
        (changed(priors={"cells": {"mean": 0, "sd": 0}}), "priors.cells.sd"),
        (changed(looks=3), "unknown key"),
        (SHIPPED | {"model": {"name": "robust"}}, "exact|engine"),
        (
            SHIPPED | {"model": {"name": "cell_class"}, "safety": SHIPPED["safety"] | {"setting": {"route": "other"}}},
            "safety.setting.cell_class",
        ),
        ({k: v for k, v in SHIPPED.items() if k != "evidence"}, "evidence"),
        (SHIPPED | {"trial": {}}, "trial"),
        (SHIPPED | {"evidence": {"select": {"study": "Nobody"}}}, "Nobody"),
    ],
)
def test_faults_of_a_bad_section_are_told_where_they_are(raw, words):
    with pytest.raises(InputError, match=words):
        gmfmsim.check(raw)


def test_several_faults_are_told_at_once():
    raw = changed(events=[{"name": "fevers", "limit": 0.1}, {"name": "responder", "limit": 0.1}])
    with pytest.raises(InputError) as caught:
        gmfmsim.check(raw)
    assert [f.where for f in caught.value.faults] == ["key safety.events.0.name", "key safety.events.1.name"]


def test_own_tables_without_events_are_refused(tmp_path):
    (tmp_path / "mine.csv").write_text(
        "study,arm,dose,n,mean,sd\nA,cells,5e7 cells/kg,30,5,6\nA,none,0 cells/kg,30,3,6\n"
    )
    raw = SHIPPED | {"evidence": {"tables": "mine.csv", "select": {}}, "model": {"name": "random_effects"}}
    path = tmp_path / "own.toml"
    path.write_text(tomli_w.dumps(raw), encoding="utf-8")
    with pytest.raises(InputError, match="no adverse event 'serious_adverse'"):
        gmfmsim.check(str(path))


def test_a_size_without_an_exact_power_says_so_by_leaving_it_out():
    found = telling_record(Telling(rates=[0.5, 0.4998]))
    assert found["n_per_arm"] > 1e6
    assert "power_exactly" not in found


@pytest.mark.parametrize(("dose", "words"), [(1e7, "1e7"), (5.46e7, "5.46e7"), (8.3e5, "8.3e5"), (1e8, "1e8")])
def test_doses_are_written_as_people_do(dose, words):
    assert in_words(dose) == words


def test_a_rule_that_never_stops_says_so(asked):
    rule = asked.section.stopping.model_copy(update={"threshold": 0.999999, "children": 2, "every": 1, "limit": 0.9})
    found = stopping_record(rule)
    assert found["boundary"] == [None, None]
    assert all(row["stops"] == 0 and row["children"] == pytest.approx(2) for row in found["operating"])


def test_the_committed_answer_is_that_of_the_shipped_experiment(results, asked):
    old = committed(NAME)
    assert [e["event"] for e in old["events"]] == [e["name"] for e in SHIPPED["safety"]["events"]]
    for before, event, counts in zip(old["events"], asked.section.events, asked.counts, strict=False):
        posterior = safety_posterior(counts.used, asked.section.priors)  # at all nodes, as committed
        now = _Rates(posterior, asked.section.by_vein, event.limit).at(asked.section.doses[-1])
        for name in ("typical_trial", "new_trial", "difference"):
            for figure, value in before["doses"][-1][name].items():
                assert now[name][figure] == pytest.approx(value, abs=2e-6), (before["event"], name)
    assert old["tell"] == results[NAME].answer["tell"] | {"largest_trial": old["tell"]["largest_trial"]}
    assert old["stopping"] == results[NAME].answer["stopping"]


def test_the_readme_shows_the_committed_answer():
    readme, answer = (ROOT / "README.md").read_text(encoding="utf-8"), committed(NAME)
    assert f"results/{NAME}/{answer['key']}/report.html" in readme
    serious, fever = answer["events"][:2]
    typical = serious["doses"][-1]["typical_trial"]
    for words in (
        f"{100 * typical['median']:.2f} % of children",
        f"{100 * fever['doses'][-1]['difference']['median']:.0f} in 100",
        f"{answer['tell']['n_total']:,} children",
    ):
        assert words in readme
