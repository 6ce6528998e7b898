"""Every shipped model, and every term alone, through every verb that takes it: check, fit and run, by both engines."""

import json
from pathlib import Path

import numpy as np
import pytest
import tomli_w
import xarray as xr

import gmfmsim
from gmfmsim import check
from gmfmsim.answer import fit as fitting
from gmfmsim.answer import parameters
from gmfmsim.answer import plan as answering
from gmfmsim.answer import posterior as gated
from gmfmsim.compute import executors
from gmfmsim.files.remembered import PLACE
from gmfmsim.files.shelf import find, names
from gmfmsim.files.toml import read_toml
from gmfmsim.model import engine
from gmfmsim.model.checks import left_out
from gmfmsim.model.declare import ModelChoice, read_model
from gmfmsim.model.exact import refusal
from gmfmsim.model.nuts import Sampled, Sampler, build
from gmfmsim.model.priors import words
from gmfmsim.model.terms import TERMS
from gmfmsim.question.question import read_question

SETTING = {
    "cell_class": "TNC_MNC",
    "route": "intravenous",
    "age": 4.0,
    "gmfcs": 3.0,
    "claimed_age": 0.5,
    "infusions": 2,
}
EXACT = {"engine": "exact", "cross_check": False, "draws": 200, "chains": 2}
NUTS = {"engine": "nuts", "name": "pymc", "draws": 100, "tune": 100, "chains": 2, "target_accept": 0.8}
BECAUSE = {"unit": "GMFM-66 points", "reason": "for this test"}
SCALE, SLOPE = {"dist": "half_normal", "sd": 2.0} | BECAUSE, {"dist": "normal", "mean": 0.0, "sd": 1.0} | BECAUSE
PRIORS = {
    "cell_class": {"tau_class": SCALE},
    "route": {"route_effect": SLOPE},
    "group": {"tau_group": SCALE},
    "arms": {"tau_arm": SCALE},
    "months": {
        "month_effect": SLOPE,
        "rho": {"dist": "beta", "a": 2.0, "b": 2.0, "unit": "none", "reason": "for this test"},
    },
    "course": {
        **{
            name: {"dist": "lognormal", "median": 6.0, "sigma": 1.0, "unit": "months", "reason": "for this test"}
            for name in ("rise", "peak", "decline")
        },
        "rho": {"dist": "beta", "a": 2.0, "b": 2.0, "unit": "none", "reason": "for this test"},
    },
    "age": {"age_slope": SLOPE},
    "gmfcs": {"gmfcs_slope": SLOPE},
    "claimed_age": {"claimed_age_slope": SLOPE},
    "infusions": {"infusions_slope": SLOPE},
    "epo": {"epo_effect": SLOPE},
    "design_bias": {"design_bias": SLOPE},
    "small_study": {"small_study": SLOPE},
    "pet": {"pet": SLOPE | {"unit": "none"}},
    "peese": {"peese": SLOPE},
}
ROWS = {
    "months": [20, 63, 66],
    "course": [20, 63, 66],
    "age": [24, 33, 63],
    "gmfcs": [2, 3],
    "epo": [2, 3, 16, 29, 33, 38],
}
"""Contrasts that tell of a term, where those of the shipped experiment do not: lines of contrasts.csv."""


def written(folder: Path, model: dict, sampler: dict, term: str = "") -> str:
    """Write the plan of cord_blood_dose with another model, on contrasts that it can take; return its path."""
    raw = read_toml(find("experiments", "cord_blood_dose"))
    evidence, term = raw["evidence"], "epo" if model.get("name") == "epo" else term
    if term in ROWS:
        evidence = {"select": {"row": ROWS[term]}, "month_correlation": 0.7, "readings": "as_tabled"}
        evidence |= {"network": term == "epo"}
    own = {
        "seed": raw["seed"],
        "question": "Does it run?",
        "evidence": evidence,
        "model": model,
        "sampler": sampler,
        "trial": raw["trial"] | {"setting": SETTING, "sd_change": {"dist": "fixed", "value": 5.5}},
        "search": raw["search"] | {"replicates": 1000, "max_n_per_arm": 2000},
        "sensitivity": {"changed": ["dropout"]},
    }
    path = folder / "every.toml"
    path.write_text(tomli_w.dumps(own), encoding="utf-8")
    return str(path)


def with_term(folder: Path, term: str) -> dict:
    """Write random_effects with one term more; return the choice of that model."""
    raw = read_toml(find("models", "random_effects"))
    raw |= {"terms": [term], "priors": raw["priors"] | PRIORS[term]}
    (folder / "term.toml").write_text(tomli_w.dumps(raw), encoding="utf-8")
    return {"name": "term.toml"}


def assert_fits(path: str) -> None:
    """Check and fit a plan: every parameter has figures."""
    found = check(path)
    (plan,) = gmfmsim.fit(path)
    text, (spec,) = fitting.to_text([plan]), plan.prepared.models.values()
    assert found["plans"][0]["contrasts"] == plan.prepared.contrasts["contrast"].values.tolist()
    assert all(name in text for name in {*spec.parameters} - {"r"})
    json.dumps(fitting.to_json([plan]), allow_nan=False)


def assert_runs(path: str) -> None:
    """Check, fit and run a plan: an answer and a page are written."""
    assert_fits(path)
    result = gmfmsim.run(path, Path(path).parent / "results")
    assert result.answer["status"] in ("reached", "unreachable")
    assert 0 < result.answer["plateau"] <= 1
    assert result.report.stat().st_size > 10_000


@pytest.fixture
def taken_as_it_comes(monkeypatch):
    """A few draws do not pass the gate; what is asked here is whether everything runs. `fit` and `run` share draws."""
    monkeypatch.setenv(PLACE, "")  # what stands in for draws is not to be remembered as such
    gate, sample, drawn = engine.gate, engine.sample, {}
    monkeypatch.setattr(engine, "gate", lambda tree: [row | {"passed": True} for row in gate(tree)])

    def once(spec, data, how, seed, **more):
        key = spec.model_dump_json(), how, seed
        if key not in drawn:
            drawn[key] = sample(spec, data, how, seed, **more)
        return drawn[key]

    monkeypatch.setattr(engine, "sample", once)


@pytest.fixture(autouse=True)
def fitted_once(monkeypatch):
    """What `fit` has fitted, checked and said of a plan, `run` takes: each model is worked on once, on one thread."""
    monkeypatch.setattr(executors, "cores", lambda: 1)
    monkeypatch.setattr(words, "SIZE", 2_000)
    monkeypatch.setattr(left_out, "EXACT_PARAMETERS", 0)  # refits without a study by fewer nodes
    fit, checks_of, of_model, known = gated.fit, gated.checks_of, parameters._fitted, {}

    def fitted(spec, data, sampler, seed, **more):
        key = spec.model_dump_json(), sampler, seed
        if key not in known:
            known[key] = fit(spec, data, sampler, seed, **more)
        return known[key]

    def checked(prepared, member):
        key = id(member.fit)
        if key not in known:
            known[key] = checks_of(prepared, member)
        return known[key]

    def said(member):
        key = "said", id(member.fit)
        if key not in known:
            known[key] = of_model(member)
        return known[key]

    monkeypatch.setattr(gated, "fit", fitted)
    monkeypatch.setattr(parameters, "_fitted", said)
    monkeypatch.setattr(fitting, "checks_of", checked)
    monkeypatch.setattr(answering, "checks_of", checked)


def test_there_is_a_prior_for_every_term():
    assert PRIORS.keys() | {"dose_error"} == TERMS.keys()


SHIPPED = {term for name in names("models") for term in read_model(ModelChoice(name=name)).terms}
"""Terms that a shipped model has."""


TERMS_ALONE = [pytest.param(t, marks=pytest.mark.slow) if t in SHIPPED else t for t in PRIORS]
"""Those of shipped models on the slow shelf: the models run."""


@pytest.mark.parametrize("term", TERMS_ALONE)
def test_every_term_runs_by_the_exact_engine(tmp_path, blank_figures, term):
    assert_runs(written(tmp_path, with_term(tmp_path, term), EXACT, term))


@pytest.fixture
def drawn_exactly(monkeypatch, taken_as_it_comes):
    """The graph that would be sampled has its variables; draws of the exact engine stand in for the sampler's."""

    def drawn(spec, data, how, seed, *, progress=False):
        graph = build(spec, data)
        exact = engine.posterior(engine.structure(spec, data))
        found = engine.exact_draws(exact, how, seed)
        assert {v.name for v in graph.free_RVs} == found.keys()
        energy = np.tile([1.0, 2.0], (how.chains, how.draws // 2))
        stats = {"diverging": (("chain", "draw"), energy < 0), "energy": (("chain", "draw"), energy)}
        return Sampled(found, xr.Dataset(stats))

    monkeypatch.setattr(engine, "sample", drawn)


@pytest.mark.parametrize("term", TERMS_ALONE)
def test_every_term_runs_on_sampled_draws(tmp_path, drawn_exactly, term):
    assert_fits(written(tmp_path, with_term(tmp_path, term), NUTS, term))


@pytest.mark.parametrize("term", PRIORS)
def test_both_engines_have_the_variables_of_every_term(tmp_path, term):
    (plan,) = read_question(written(tmp_path, with_term(tmp_path, term), NUTS, term)).plans
    (spec,) = plan.models.values()
    model = engine.structure(spec, plan.contrasts)
    drawn = engine.exact_draws(engine.posterior(model, quick=True), Sampler.model_validate(NUTS), 1)
    assert {v.name for v in build(spec, plan.contrasts).free_RVs} == drawn.keys()


SAMPLED = ("dose_error", "robust")
"""Models that the exact engine refuses."""
EXACTLY = [name for name in names("models") if name not in SAMPLED]


@pytest.mark.parametrize("name", names("models"))
def test_the_exact_engine_takes_every_model_that_is_not_sampled(tmp_path, name):
    (plan,) = read_question(written(tmp_path, {"name": name}, NUTS)).plans
    assert (refusal(plan.models[name], plan.contrasts) is None) == (name in EXACTLY)


@pytest.mark.parametrize("name", EXACTLY)
def test_every_model_runs_by_the_exact_engine(tmp_path, blank_figures, name):
    assert_runs(written(tmp_path, {"name": name}, EXACT, "course" if "course" in name else ""))


FEW = ("emax", "months", "pet")
"""Models of each kind of graph: a curve, correlated months, a bias of small studies. Terms are tested one by one."""


@pytest.mark.parametrize("name", [n if n in FEW else pytest.param(n, marks=pytest.mark.slow) for n in EXACTLY])
def test_every_model_fits_on_sampled_draws(tmp_path, drawn_exactly, name):
    assert_fits(written(tmp_path, {"name": name}, NUTS))


@pytest.mark.parametrize("name", [*SAMPLED, *(pytest.param(name, marks=pytest.mark.slow) for name in EXACTLY)])
def test_every_model_runs_by_sampling(tmp_path, blank_figures, taken_as_it_comes, name):
    assert_runs(written(tmp_path, {"name": name}, NUTS))
