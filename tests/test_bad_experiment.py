"""Faulty experiments and models: what is wrong, where, what is allowed; never a traceback, never half a result."""

import json
import math
import tomllib

import pytest
import tomli_w
from damage import ABSENT, BELOW_ZERO, MODEL, VALID, WORDS, changed, command, damaged_tables, faults_of, trial

import gmfmsim
from gmfmsim.faults import InputError
from gmfmsim.question.question import read_question


def test_the_experiment_that_is_damaged_below_is_valid(tmp_path):
    assert read_question(str(trial(tmp_path, {}))).name == "trial"


# one fault at a time: changes of the experiment, where the fault is, what it says, what it says is allowed

FAULTS = {
    "unknown key": ({"trial.dropuot": 0.1}, "key trial.dropuot", "unknown key", "nearest: dropout"),
    "unknown key at the top": ({"sede": 2}, "key sede", "unknown key", "nearest: seed"),
    "unknown key of a distribution": (
        {"trial.sd_change.sgima": 1},
        "key trial.sd_change.sgima",
        "unknown key",
        "nearest: sigma",
    ),
    "unknown key of an arm": ({"trial.arms.1.doze": 1}, "key trial.arms.1.doze", "unknown key", "nearest: dose"),
    "unknown section": ({"serach": {}}, "key serach", "unknown key", "nearest: search"),
    "wrong type": ({"trial.month": "twelve"}, "key trial.month", "'twelve'", "number"),
    "text as seed": ({"seed": "1"}, "key seed", "'1'", "integer"),
    "yes as number": ({"seed": True}, "key seed", "True", "integer"),
    "number as section": ({"trial": 5}, "key trial", "5", "a table"),
    "missing key": ({"search.target": ABSENT}, "key search.target", "is missing", "required"),
    "another SD than that of change": ({"trial.sd": 5}, "key trial.sd", "unknown key", "meant: sd_change; of alpha"),
    "another correlation": ({"trial.correlation": 0.8}, "key trial.correlation", "unknown key", "baseline_correlation"),
    "missing section": ({"search": ABSENT}, "key search", "is missing", "required"),
    "missing question": ({"question": ABSENT}, "key question", "is missing", "required"),
    "target of 1.2": ({"search.target.value": 1.2}, "key search.target.value", "1.2", "less than 1"),
    "not a number": ({"search.planning_value": math.nan}, "key search.planning_value", "nan", "finite"),
    "negative SD": ({"trial.sd_change.sigma": -1}, "key trial.sd_change.sigma", "-1", "greater than 0"),
    "SD fixed at 0": (
        {"trial.sd_change": {"dist": "fixed", "value": 0}},
        "key trial.sd_change",
        "not allowed",
        "above 0",
    ),
    "unknown distribution": ({"trial.sd_change.dist": "gamma"}, "key trial.sd_change", "'gamma'", "'lognormal'"),
    "dose without unit": ({"trial.arms.1.dose": 5e7}, "key trial.arms.1.dose", "50000000.0", '"5e7 cells/kg"'),
    "dose in another unit": ({"trial.arms.1.dose": "5e7 cells"}, "key trial.arms.1.dose", "'5e7 cells'", "cells/kg"),
    "no control": (
        {"trial.arms.0.dose": "1e7 cells/kg"},
        "key trial",
        "do not fit together",
        "one arm with dose 0 and at least one with cells",
    ),
    "two controls": (
        {"trial.arms.1.dose": "0 cells/kg"},
        "key trial",
        "do not fit together",
        "at least one with cells",
    ),
    "one name for two arms": (
        {"trial.arms.1.name": "control"},
        "key trial",
        "do not fit together",
        "a different name for each arm",
    ),
    "three arms": (
        {"trial.arms": [{"name": n, "dose": "0 cells/kg"} for n in "abc"]},
        "key trial",
        "do not fit together",
        "dose 0",
    ),
    "unknown study": ({"evidence.select.study": "Sun2071"}, "key evidence.select.study", "'Sun2071'", "Sun2017"),
    "empty selection": (
        {"evidence.select": {"study": "Sun2017", "cell_class": "MSC"}},
        "key evidence.select",
        "no contrast",
        "at least one contrast",
    ),
    "empty list": ({"evidence.select.study": []}, "key evidence.select.study", "[]", "at least 1"),
    "select and pooled": ({"evidence.pooled": {"meta_id": "Xie2020"}}, "key evidence", "'select'", "either select"),
    "neither select nor pooled": ({"evidence.select": ABSENT}, "key evidence", "'package'", "either select"),
    "unknown review": (
        {"evidence": {"pooled": {"meta_id": "Egger"}}, "model": ABSENT},
        "key evidence.pooled",
        "Egger",
        "Eggenberger2019",
    ),
    "unknown model": ({"model.name": "random_efects"}, "key model.name", "random_efects", "nearest: random_effects"),
    "missing model file": ({"model.name": "my.toml"}, "key model.name", "my.toml", ".toml"),
    "model outside the shelf": ({"model.name": "../models/emax"}, "key model.name", "../models/emax", "emax"),
    "prior for an unknown parameter": (
        {"model.priors.taw": {"dist": "half_normal", "sd": 2} | WORDS},
        "key model.priors.taw",
        "no parameter of this name",
        "nearest: tau",
    ),
    "tau prior below zero": ({"model.priors.tau": BELOW_ZERO}, "key model.priors.tau", "Normal(0, 1)", "above 0"),
    "curve without doses": (
        {"model.name": "emax", "evidence.select": {"study": "Lv2023"}},
        "key evidence.select",
        "Lv2023 nsc v ctrl",
        "known doses",
    ),
    "name that leaves the results folder": ({"name": "../x"}, "key name", "'../x'", "letters, digits"),
    "name that is a folder": ({"name": ".."}, "key name", "'..'", "letters, digits"),
    "duplicate labels": (
        {"label": "Emax", "alternatives": [{"label": "Emax"}]},
        "key label",
        "'Emax'",
        "different label",
    ),
    "missing tables": ({"evidence.tables": "nowhere"}, "folder", "does not exist", "evidence tables"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_says_what_where_and_what_is_allowed(tmp_path, fault):
    changes, where, problem, allowed = FAULTS[fault]
    path = trial(tmp_path, changes)
    with pytest.raises(InputError) as refusal:
        read_question(str(path))
    (found,) = refusal.value.faults
    assert found.where == where
    assert problem in found.problem
    assert allowed in found.allowed
    assert found.file == (str(tmp_path / "nowhere") if fault == "missing tables" else "trial.toml")


@pytest.mark.parametrize("fault", FAULTS)
def test_the_command_line_refuses_and_writes_nothing(tmp_path, monkeypatch, capsys, fault):
    path = trial(tmp_path, FAULTS[fault][0])
    before = sorted(tmp_path.rglob("*"))
    assert command(monkeypatch, "run", path, "--results", tmp_path / "results") == 2
    out, err = capsys.readouterr()
    assert "allowed: " in err
    assert "Traceback" not in err
    assert out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_check_refuses_as_run_does(tmp_path, monkeypatch, capsys):
    path = trial(tmp_path, {"search.target.value": 1.2})
    assert command(monkeypatch, "check", path) == 2
    assert "trial.toml: key search.target.value: 1.2 is not allowed" in capsys.readouterr().err


def test_faults_as_json(tmp_path, monkeypatch, capsys):
    path = trial(tmp_path, {"search.target.value": 1.2, "seed": -1})
    assert command(monkeypatch, "run", path, "--results", tmp_path / "results", "--json") == 2
    faults = json.loads(capsys.readouterr().out)["faults"]
    assert {fault["where"] for fault in faults} == {"key search.target.value", "key seed"}
    assert all(set(fault) == {"file", "where", "problem", "allowed"} for fault in faults)


def test_unknown_command_and_option_exit_with_2(monkeypatch, capsys):
    assert command(monkeypatch, "rnu", "quickstart_one_mean") == 2
    assert command(monkeypatch, "run", "quickstart_one_mean", "--result", "x") == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "name", "nearest"),
    [
        ("studdy", "Sun2017", "study"),
        ("study", "Sun2071", "Sun2017"),
        ("table", "arm", "arms"),
        ("model", "emaxx", "emax"),
        ("experiment", "quikstart", "quickstart"),
    ],
)
def test_show_names_the_nearest(monkeypatch, capsys, kind, name, nearest):
    assert command(monkeypatch, "show", kind, name) == 2
    assert f"nearest: {nearest};" in capsys.readouterr().err


def test_a_results_folder_that_is_a_file_is_refused_before_anything_is_computed(tmp_path, monkeypatch, capsys):
    results = tmp_path / "results"
    results.write_text("kept", encoding="utf-8")
    assert command(monkeypatch, "run", trial(tmp_path, {}), "--results", results) == 2
    assert "a folder you may write to" in capsys.readouterr().err
    assert results.read_text(encoding="utf-8") == "kept"


# the file itself


@pytest.mark.parametrize(
    ("content", "where", "problem"),
    [
        (b"question = How many?", "file", "is not TOML"),
        (b"seed = 1\nseed = 2\n", "file", "is not TOML"),
        (b"<html></html>", "file", "is not TOML"),
        (b'question = "Wie viele f\xfcr Z\xfcrich?"', "byte 23", "is not UTF-8"),
        (b"seed = " + b"[" * 5000, "file", "is not TOML"),
        # Python refuses to convert more than 4300 digits
        (VALID.replace("seed = 1", "seed = " + "1" * 5000).encode(), "file", "is not TOML"),
    ],
    ids=["bare text", "key twice", "HTML", "Latin-1", "deep nesting", "5000 digits"],
)
def test_a_file_that_is_not_toml_is_refused(tmp_path, monkeypatch, capsys, content, where, problem):
    path = tmp_path / "trial.toml"
    path.write_bytes(content)
    assert command(monkeypatch, "run", path, "--results", tmp_path / "results") == 2
    err = capsys.readouterr().err
    assert f"{where}: {problem}" in err
    assert "trial.toml" in err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("name", ["nowhere.toml", "quikstart", "", "../quickstart", "a\0.toml"])
def test_a_missing_experiment_is_refused(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    assert command(monkeypatch, "run", name, "--results", "results") == 2
    assert "curve_average, " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_not_an_experiment(tmp_path):
    folder = tmp_path / "trial.toml"
    folder.mkdir()
    assert faults_of(folder) == [(str(folder), "experiment")]


def test_a_file_name_must_be_able_to_name_a_folder(tmp_path):
    assert faults_of(trial(tmp_path, {}, "my trial.toml")) == [("my trial.toml", "file name")]
    assert read_question(str(trial(tmp_path, {"name": "mine"}, "my trial.toml"))).name == "mine"


@pytest.mark.parametrize("key", ["model.name", "evidence.tables"])
@pytest.mark.parametrize("name", ["a" * 5000, "a" * 5000 + ".toml", "a\0b"], ids=["long", "long.toml", "NUL"])
def test_a_name_that_no_file_can_have_is_refused(tmp_path, key, name):
    assert len(faults_of(trial(tmp_path, {key: name}))) == 1


def test_deeply_dotted_keys_are_refused(tmp_path):
    path = tmp_path / "trial.toml"
    path.write_text("question" + ".a" * 12_000 + " = 1\n", encoding="utf-8")
    assert faults_of(path)


# several faults


def test_all_faults_of_an_experiment_are_told_at_once(tmp_path):
    changes = {
        "sede": 1,
        "seed": "one",
        "trial.month": -1,
        "trial.arms.1.dose": 5e7,
        "search.target.value": 1.2,
        "evidence.select.study": "Sun2071",
        "evidence.select.route": "iv",
        "model.priors.taw": {"dist": "half_normal", "sd": 2} | WORDS,
    }
    assert {where for _, where in faults_of(trial(tmp_path, changes))} == {
        *("key sede", "key seed", "key trial.month", "key trial.arms.1.dose", "key search.target.value"),
        *("key evidence.select.study", "key evidence.select.route", "key model.priors.taw"),
    }


def test_faults_of_tables_and_experiment_are_told_at_once(tmp_path):
    damaged_tables(tmp_path, "arms", {(2, "n"): "many"})
    found = faults_of(trial(tmp_path, {"evidence.tables": "tables", "seed": -1, "search.target.value": 1.2}))
    assert set(found) == {
        *(("trial.toml", "key seed"), ("trial.toml", "key search.target.value")),
        ("arms.csv", "row 2, column n"),
    }


def test_a_fault_of_the_header_hides_none_of_the_alternatives(tmp_path):
    changes = {"question": ABSENT, "alternatives": [{"label": "b", "seed": "x"}]}
    assert {where for _, where in faults_of(trial(tmp_path, changes))} == {"key question", "key alternatives.0.seed"}


# alternatives


@pytest.mark.parametrize(
    ("override", "where"),
    [
        ({"search": {"target": {"value": 1.2}}}, "search.target.value"),
        ({"sede": 1}, "sede"),
        ({"name": "other"}, "name"),
        ({"trial": {"arms": [{"name": "a", "dose": 1}, {"name": "b", "dose": "1 cells/kg"}]}}, "trial.arms.0.dose"),
        ({"evidence": {"select": {"study": "Sun2071"}}}, "evidence.select.study"),
        ({"evidence": {"select": {"study": "Sun2017", "cell_class": "MSC"}}}, "evidence.select"),
        ({"model": {"name": "emx"}}, "model.name"),
        ({"model": {"priors": {"tau": BELOW_ZERO}}}, "model.priors.tau"),
        ({"model": {"priors": {"taw": BELOW_ZERO}}}, "model.priors.taw"),
    ],
    ids=str,
)
def test_a_fault_of_an_alternative_is_told_at_its_key(tmp_path, override, where):
    path = trial(tmp_path, {"alternatives": [{"label": "fine"}, {"label": "faulty"} | override]})
    assert faults_of(path) == [("trial.toml", f"key alternatives.1.{where}")]


def test_each_alternative_tells_its_own_fault(tmp_path):
    same = {"evidence": {"select": {"study": "Sun2071"}}}
    path = trial(tmp_path, {"alternatives": [{"label": "a"} | same, {"label": "b"} | same]})
    assert len(faults_of(path)) == 2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("search.target.value", 1.2),
        ("search.target", ABSENT),
        ("trial.sd_change.sgima", 1),
        ("evidence.select.study", "Sun2071"),
        ("evidence.tables", "nowhere"),
        ("model.name", "emx"),
        ("model.priors.tau", BELOW_ZERO),
    ],
)
def test_a_fault_of_the_base_is_told_once(tmp_path, key, value):
    path = trial(tmp_path, {key: value, "alternatives": [{"label": "b"}, {"label": "c"}]})
    assert len(faults_of(path)) == 1


@pytest.mark.parametrize("alternatives", [5, [5], {"label": "b"}])
def test_alternatives_must_be_a_list_of_tables(tmp_path, alternatives):
    ((file, where),) = faults_of(trial(tmp_path, {"alternatives": alternatives}))
    assert file == "trial.toml"
    assert where.startswith("key alternatives")


# model files


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"priors.tau": BELOW_ZERO}, "key priors.tau"),
        ({"priors.r": ABSENT}, "key priors"),
        ({"priors.ed50": BELOW_ZERO}, "key priors.ed50"),
        ({"priors.tau.reason": ABSENT}, "key priors.tau.reason"),
        ({"priors.tau.sd": 0}, "key priors.tau.sd"),
        ({"curve": "cubic"}, "key curve"),
        ({"titel": "x"}, "key titel"),
    ],
    ids=str,
)
def test_a_fault_of_a_model_file_is_told_there(tmp_path, changes, where):
    model = changed(tomllib.loads(tomli_w.dumps(MODEL)), changes)
    (tmp_path / "mine.toml").write_text(tomli_w.dumps(model), encoding="utf-8")
    assert faults_of(trial(tmp_path, {"model.name": "mine.toml"})) == [("mine.toml", where)]


@pytest.mark.parametrize(
    ("mean", "sd", "lower"),
    [(1, 0.3, 0.0), (0.7, 0.1, 0.0), (0.56, 0.01, 0.1), (2, 0.05, 0.0)],
)
def test_a_prior_truncated_at_or_above_zero_does_not_reach_below(tmp_path, mean, sd, lower):
    prior = {"dist": "truncated_normal", "mean": mean, "sd": sd, "lower": lower, "upper": 5} | WORDS
    (plan,) = read_question(str(trial(tmp_path, {"model.priors.tau": prior}))).plans
    assert plan.models["random_effects"].priors["tau"].lower == lower


@pytest.mark.parametrize("lower", [-1, -1e-9])
def test_a_prior_truncated_below_zero_does(tmp_path, lower):
    prior = {"dist": "truncated_normal", "mean": 1, "sd": 1, "lower": lower, "upper": 5} | WORDS
    with pytest.raises(InputError, match="reaches below 0"):
        read_question(str(trial(tmp_path, {"model.priors.tau": prior})))


@pytest.mark.parametrize("key", ["question", "label"])
def test_a_control_character_in_an_experiment_is_refused(tmp_path, key):
    path = tmp_path / "trial.toml"
    path.write_text(
        VALID + 'label = "A\\u0007B"\n' if key == "label" else VALID.replace("How", "\\u0000How"), encoding="utf-8"
    )
    with pytest.raises(InputError, match="holds a control character"):
        read_question(str(path))


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"effect": 1e308}, "effect"),
        ({"sd": 0}, "sd"),
        ({"n_active": 1}, "n_active"),
        ({"dose": "5e7"}, "dose"),
        ({"sdd": 1}, "sdd"),
        ({"study": "RegNCT0192943"}, "study"),
    ],
    ids=str,
)
def test_a_supposed_result_that_cannot_be_is_refused(tmp_path, changes, where):
    supposed = {"study": "RegNCT01929434", "effect": 0, "n_active": 100, "n_control": 100, "sd": 5.5} | changes
    assert ("trial.toml", f"key evidence.what_if.0.{where}") in faults_of(
        trial(tmp_path, {"evidence.what_if": [supposed]})
    )


def test_a_published_estimate_has_no_readings(tmp_path):
    pooled = {
        "evidence": {"pooled": {"meta_id": "Eggenberger2019", "measure": "SMD"}, "readings": "average"},
        "model": ABSENT,
    }
    with pytest.raises(InputError, match="a published estimate has none"):
        read_question(str(trial(tmp_path, pooled)))


def test_an_experiment_may_be_named_by_a_path(tmp_path):
    assert gmfmsim.check(trial(tmp_path, {}))["experiment"] == "trial"
