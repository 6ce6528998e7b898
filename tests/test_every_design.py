"""Every shipped design, population and experiment through every verb that takes it, at small size."""

import json
from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
import xarray as xr
from conftest import blank, svg_alone
from matplotlib.figure import Figure

import gmfmsim
from gmfmsim.answer import children as seen
from gmfmsim.answer import plan as answering
from gmfmsim.answer import record
from gmfmsim.answer.experiment import Experiment
from gmfmsim.compute import executors
from gmfmsim.files.shelf import names
from gmfmsim.model.average import Member
from gmfmsim.model.checks import left_out
from gmfmsim.progress import Silent
from gmfmsim.question.plans import Plans
from gmfmsim.question.question import question_of_design, read_question
from gmfmsim.question.sensitivity import Sensitivity
from gmfmsim.report import page
from gmfmsim.report import show as lookup
from gmfmsim.trial import change_sd as spread
from gmfmsim.trial.exact import qualifies
from gmfmsim.trial.presets import read_children, read_design

SMALL = {"replicates": 100, "max_n_per_arm": 200}
FIT = {"draws": 250, "cross_check": False}
DRAWN = {read_design(name).kind: name for name in names("designs")}.values()
"""One design of each kind, whose figures are drawn; those of the others are made."""


def small(name: str):
    """Return the experiment that `gmfmsim simulate` makes of a design, with few trials and a target near at hand.

    With the readings of suspect figures for one design of each kind, with the likeliest one alone for the others.
    """
    experiment = question_of_design(name)
    (prepared,) = experiment.plans
    plan, data = prepared.plan, prepared.contrasts
    if name not in DRAWN:
        data = data.isel(reading=[int(np.argmax(data["weight"].values))]).assign(weight=("reading", [1.0]))
    search = plan.search.model_copy(update=SMALL | {"target": plan.search.target.model_copy(update={"value": 0.3})})
    few = {"search": search, "sampler": plan.sampler.model_copy(update=FIT), "sensitivity": Sensitivity(changed=["sd"])}
    plan = plan.model_copy(update=few)
    evidence = replace(prepared.evidence, contrasts=data)
    return replace(experiment, asked=Plans((replace(prepared, plan=plan, reading=lambda: evidence, digest=None),)))


@pytest.fixture(scope="module")
def once():
    """The fit of the quick start's model and its checks, which designs share: by number of readings, done once each."""

    @cache
    def fitted(readings: int) -> tuple:
        prepared = next(
            p for name in names("designs") for p in small(name).plans if p.contrasts.reading.size == readings
        )
        members: list[Member] = answering.fitted_models(prepared, {}, Silent())
        return members, answering.checks_of(prepared, members[0]), record.fitted(members)

    return fitted


@pytest.mark.parametrize("name", names("designs"))
def test_every_design_is_checked_shown_and_simulated(tmp_path, monkeypatch, once, name):
    experiment = small(name)
    (prepared,) = experiment.plans
    monkeypatch.setattr(left_out, "EXACT_PARAMETERS", 0)  # refits without a study by fewer nodes
    members, checks, models = once(prepared.contrasts.sizes["reading"])
    monkeypatch.setattr(Figure, "savefig", svg_alone if name in DRAWN else blank)
    monkeypatch.setattr(executors, "cores", lambda: 1)  # what takes a moment takes longer on two threads
    monkeypatch.setattr(answering, "NUISANCE_REPLICATES", 16)
    monkeypatch.setattr(spread, "TRIALS", 4)
    monkeypatch.setattr(spread, "CHILDREN", 200)
    monkeypatch.setattr(seen, "AGES", 20)
    monkeypatch.setattr(record, "children_seen", partial(seen.children_seen, trials=40))
    monkeypatch.setattr(answering, "fitted_models", lambda prepared, fits, progress: members)
    monkeypatch.setattr(answering, "checks_of", lambda prepared, member: checks)
    monkeypatch.setattr(page, "figures_of", lambda plan: {})
    monkeypatch.setattr(record, "fitted", lambda members: models)
    monkeypatch.setattr(record, "findings", lambda prepared: [])
    monkeypatch.setattr(record, "kept_of", lambda prepared, member, found: xr.DataTree())  # the shared posterior
    design = read_design(name)
    text, shown = lookup.show("design", name), lookup.design_json(name)
    assert shown["protocol"].split()[:8] == text.split()[:8]
    assert all(row["source"] in text for row in shown["sources"])
    result = gmfmsim.run(Experiment(experiment), tmp_path)
    answer = json.loads((result.folder / "answer.json").read_text(encoding="utf-8"))
    if not design.two_arms_one_test:
        assert {row["analysis"] for row in answer["analyses"]} == {a.label for a in design.analyses}
    assert answer["n_per_arm"] is None or sum(design.sizes(answer["n_per_arm"]).values()) == answer["n_total"]
    assert result.report.stat().st_size > 10_000


@pytest.mark.parametrize("name", names("children"))
def test_every_population_is_shown_and_read(name):
    assert f'title = "{read_children(name).title}"' in lookup.show("children", name)


@pytest.mark.parametrize("name", names("experiments"))
def test_every_experiment_is_checked_and_shown(name):
    assert gmfmsim.check(name)["key"]
    assert "question" in lookup.show("experiment", name)


def test_every_analysis_has_a_law_or_says_why_not():
    """Of every shipped design and plan, whichever of its analyses comes first."""
    trials = [read_design(name) for name in names("designs")]
    trials += [prepared.plan.trial for name in names("experiments") for prepared in read_question(name).plans]
    asked = {(repr(trial.children)[:20], analysis.method) for trial in trials for analysis in trial.analyses}
    for trial in trials:
        for analysis in trial.analyses:
            reason = qualifies(trial, analysis, joint=True)
            assert reason is None or len(reason.split()) > 3
    assert len(asked) > 10
