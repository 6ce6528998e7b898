"""The reference of keys and the JSON schema: made from the grammar, and held to it and to every shipped file."""

import copy
import json
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pkgutil import walk_packages

import jsonschema
import pytest
from conftest import ROOT
from damage import command
from pydantic import ValidationError

import gmfmsim
from gmfmsim.evidence.contrasts import Selection
from gmfmsim.faults import InputError
from gmfmsim.files.shelf import find, names
from gmfmsim.files.toml import Spec, read_toml
from gmfmsim.model.declare import ModelChoice, ModelSpec
from gmfmsim.model.nuts import Sampler
from gmfmsim.model.priors.tau import Surveyed
from gmfmsim.question.evidence import EvidenceSpec
from gmfmsim.question.grammar import FILES, schema
from gmfmsim.question.safety import Event, SafetySection, Telling
from gmfmsim.question.scaffold import TRIAL
from gmfmsim.question.sensitivity import Sensitivity
from gmfmsim.report.keys import in_lines, keys
from gmfmsim.trial.analyse.bayes import Bayes
from gmfmsim.trial.design import Objective, Randomisation, TrialArm
from gmfmsim.trial.detectable import Detectable, Precision
from gmfmsim.trial.exact.stopping import StoppingRule
from gmfmsim.trial.optimise import Optimise
from gmfmsim.trial.short import Short
from gmfmsim.trial.size import Search, Target

SECTIONS = {
    "evidence": EvidenceSpec,
    "evidence.select": Selection,
    "model": ModelChoice,
    "sampler": Sampler,
    "search": Search,
    "search.target": Target,
    "sensitivity": Sensitivity,
    "detectable": Detectable,
    "precision": Precision,
    "optimise": Optimise,
    "safety": SafetySection,
    "safety.events": Event,
    "safety.tell": Telling,
    "safety.stopping": StoppingRule,
    "trial.arms": TrialArm,
    "trial.randomisation": Randomisation,
    "trial.objective": Objective,
    "models": ModelSpec,
}
"""Sections that are one spec each."""


def specs() -> list[type[Spec]]:
    """Every spec of the package."""
    for module in walk_packages(gmfmsim.__path__, "gmfmsim."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    found, new = set(), {Spec}
    while new:
        new = {sub for spec in new for sub in spec.__subclasses__() if sub.__module__.startswith("gmfmsim.")} - found
        found |= new
    return sorted(
        found - {Surveyed},  # its tables are those of the surveys below it
        key=lambda spec: f"{spec.__module__}.{spec.__name__}",
    )


def every_section() -> Iterator[dict]:
    """Every section of the reference, from the top of each kind of file down."""
    waiting, done = ["", *FILES[1:]], set()
    while waiting:
        found = keys(waiting.pop())
        yield found
        inner = {row["section"] for row in found["keys"] if row["section"]} - done
        waiting, done = [*waiting, *inner], done | inner


def faults(spec: type[Spec], name: str, value: object) -> list:
    """What a spec finds wrong with a key by itself."""
    try:
        spec.model_validate({name: value})
    except ValidationError as error:
        return [e for e in error.errors() if e["loc"][:1] == (name,)]
    return []


@pytest.fixture(scope="module")
def reference() -> list[dict]:
    return list(every_section())


@cache
def validator(kind: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema(kind))


def errors(kind: str, data: dict) -> list[str]:
    return [e.message for e in validator(kind).iter_errors(data)]


@pytest.mark.parametrize("spec", specs(), ids=lambda spec: spec.__name__)
def test_every_example_and_default_of_the_grammar_is_accepted_by_it(spec):
    """A spec may lack other keys, and some stand together only: the key itself has no fault."""
    said = spec.model_json_schema()["properties"]
    for name, of_key in said.items():
        ways = [of_key, *of_key.get("anyOf", ())]
        for value in [v for way in ways for v in (*way.get("examples", ()), way.get("default")) if v is not None]:
            assert faults(spec, name, value) == [], (name, value)


def test_the_reference_has_every_key_of_the_grammar(reference):
    assert len(reference) > 100
    for section, spec in SECTIONS.items():
        rows = {row["key"]: row for row in keys(section)["keys"]}
        assert list(rows) == list(spec.model_fields), section
        for name, field in spec.model_fields.items():
            assert rows[name]["required"] == field.is_required(), name
            if not rows[name]["section"]:
                assert rows[name]["default"] == (None if field.is_required() else field.default), name
    trial, analysis = ({row["key"] for row in keys(section)["keys"]} for section in ("trial", "analysis"))
    assert trial > {"design", "kind", "arms", "icc", "drug", "carry_over"} | set(Short.model_fields)
    assert analysis > {"method", "alpha"} | set(Bayes.model_fields)


def test_every_key_has_a_meaning_and_an_example(reference):
    for found in reference:
        for row in found["keys"]:
            assert row["meaning"], (found["section"], row["key"])
            assert row["section"] or row["example"] is not None or row["default"] == [], (found["section"], row["key"])


def test_every_example_of_the_reference_is_accepted_by_the_schema():
    """As editors see it: the whole table of a section would need more, the key itself has no fault."""
    for section, spec in SECTIONS.items():
        for row in keys(section)["keys"]:
            if row["example"] is not None:
                whole = spec.model_json_schema()
                part = {"$defs": whole.get("$defs", {})} | whole["properties"][row["key"]]
                jsonschema.validate(row["example"], part)


@pytest.mark.parametrize("kind", FILES)
def test_the_schema_accepts_every_shipped_file_and_no_unknown_key(kind):
    jsonschema.Draft202012Validator.check_schema(schema(kind))
    for name in names(kind):
        data = read_toml(find(kind, name))
        assert errors(kind, data) == [], name
        assert errors(kind, data | {"colour": "blue"}), name
        for key, value in data.items():
            if isinstance(value, dict) and key not in ("priors", "readings"):
                assert errors(kind, data | {key: value | {"colour": "blue"}}), (name, key)


def test_the_schema_accepts_resolved_configurations():
    configs = sorted((ROOT / "results").glob("*/*/config.toml"))
    assert len(configs) > 10
    for path in configs:
        assert errors("experiments", read_toml(path)) == [], path


PLAN = read_toml(find("experiments", "quickstart"))
SHORT = {"month": 6, "ratio": 2.0, "dropout": 0.1, "sd_change": 6, "baseline_correlation": 0.5}


@pytest.mark.parametrize(
    ("change", "right"),
    [
        ({"trial": SHORT}, True),
        ({"trial": SHORT | {"sd_change": {"dist": "fixed", "value": 6.0}}}, True),
        ({"trial": {"design": "next_parallel", "children": "preschool", "objective": {"margin": 3.0}}}, True),
        ({"trial": {"children": {"population": "preschool", "title": "Ours"}}}, True),
        ({"evidence": {"select": {"study": "Sun2017", "month": [6, 12]}}}, True),
        ({"evidence": {"select": {}, "readings": {"Huang2018": "as_printed"}}}, True),
        ({"alternatives": [{"label": "other", "search": {"target": {"value": 0.9}}}]}, True),
        ({"alternatives": [{"model": {"name": "emax"}, "trial": {"dropout": 0.3}}]}, True),
        ({"analysis": {"method": "bayes", "prior": [{"mean": 0, "sd": 2.0}], "alpha": 0.1}}, True),
        ({"trial": {"dropout": 1.5}}, False),
        ({"trial": {"month": "twelve"}}, False),
        ({"trial": {"sd_change": {"dist": "fixed", "mean": 6.0}}}, False),
        ({"analysis": {"method": "magic"}}, False),
        ({"search": {"target": {"metric": "power"}, "planning_value": 1.0}}, False),
        ({"alternatives": [{"search": {"targets": {}}}]}, False),
        ({"past": {"effect": 1.42, "designs": [{"design": "sun2017", "colour": "blue"}]}}, False),
        ({"rerun": {"review": "Xie2020", "checks": [{"kind": "p_value", "colour": "blue"}]}}, False),
    ],
)
def test_the_schema_knows_the_short_form_and_what_is_laid_over(change, right):
    assert (errors("experiments", PLAN | change) == []) == right


def test_known_what_the_schema_accepts_of_a_trial_check_accepts():
    trial = SHORT | {"setting": {"route": "intravenous"}}
    assert errors("experiments", PLAN | {"trial": trial}) == []
    assert gmfmsim.load(PLAN | {"trial": trial}).question.plans[0].plan.trial.month == 6


def test_the_template_of_an_experiment_is_accepted(tmp_path):
    path = tmp_path / "trial.toml"
    path.write_text(TRIAL, encoding="utf-8")
    assert errors("experiments", read_toml(path)) == []


def test_lines_of_a_section(monkeypatch, capsys):
    assert command(monkeypatch, "show", "keys", "search.target") == 0
    out = capsys.readouterr().out
    for words in (
        'metric                text; "assurance", "power"; required',
        "above 0, below 1; required",
        "value = 0.8",
    ):
        assert words in out
    assert command(monkeypatch, "show", "keys", "trial.dropout") == 0
    assert "number; share; at least 0, below 1" in capsys.readouterr().out
    assert command(monkeypatch, "show", "keys", "trial.analyses", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kinds"]["wilcoxon"].startswith("Ranks of the changes")
    margin = next(row for row in found["keys"] if row["key"] == "margin")
    assert (margin["of"], margin["unit"], margin["required"]) == (["responder"], "GMFM-66 points", True)


def test_every_section_is_said_in_lines(reference):
    for found in reference:
        lines = list(in_lines(copy.deepcopy(found)))
        assert all(any(line.strip().startswith(row["key"]) for line in lines) for row in found["keys"])


def test_the_schema_is_printed(monkeypatch, capsys):
    assert command(monkeypatch, "show", "schema") == 0
    assert json.loads(capsys.readouterr().out) == schema()
    assert command(monkeypatch, "show", "schema", "models", "--json") == 0
    assert json.loads(capsys.readouterr().out) == schema("models")


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("trial.armz", "trial: has no key 'armz'"),
        ("colour", "an experiment: has no key 'colour'"),
        ("models.curve.shape", "models.curve: has no key 'shape'"),
        ("trial.dropout.value.x", "trial.dropout: has no key 'value'"),
    ],
)
def test_an_unknown_section_is_told(section, said):
    with pytest.raises(InputError) as told:
        keys(section)
    assert said in str(told.value)


def test_an_unknown_schema_is_told():
    with pytest.raises(InputError, match="allowed: experiments, models, designs, children"):
        schema("studies")
