"""Fitting without trials, and the doors to models, benchmark and calibration."""

import json

import pytest
from damage import command

import gmfmsim
from gmfmsim import fit
from gmfmsim.answer.fit import to_json, to_text
from gmfmsim.faults import InputError
from gmfmsim.files.shelf import find
from gmfmsim.report import show as lookup


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    """Three models of one selection, without the check by sampling."""
    text = find("experiments", "curve_average").read_text(encoding="utf-8").split("[[alternatives]]")[0]
    text = text.replace('average = ["random_effects", "linear", "loglinear", "emax"]', 'average = ["linear", "emax"]')
    text = text.replace("[trial]", "[sampler]\ncross_check = false\ndraws = 1000\n\n[trial]")
    path = tmp_path_factory.mktemp("fit") / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return fit(str(path))


def test_a_fit_has_models_with_shares_parameters_and_checks(plans):
    (plan,) = to_json(plans)["plans"]
    json.dumps(plan, allow_nan=False)
    assert [m["name"] for m in plan["models"]] == ["linear", "emax"]
    assert sum(m["share"] for m in plan["models"]) == pytest.approx(1)
    for m in plan["models"]:
        assert m["engine"] == "exact"
        for p in m["parameters"]:
            assert p["low"] < p["mean"] < p["high"]
        checks = m["checks"]
        assert [r["margin"] for r in checks["exceeds"]["rows"]] == [0, 1, 1.42]
        above = [r["new_study"] for r in checks["exceeds"]["rows"]]
        assert above == sorted(above, reverse=True)
        assert {r["study"] for r in checks["studies"]["rows"]} == {"Sun2017", "Sun2022", "Kang2015", "Min2013"}
        assert len(checks["contrasts"]["rows"]) == 5
        assert 0 < checks["i_squared"]["mean"] < 1
    assert "per tenfold dose" in " ".join(plan["confounding"])
    assert all(len(repr(fitted)) < 300 for fitted in plans)


def test_a_fit_in_words_names_every_parameter_and_study(plans):
    text = to_text(plans)
    for word in ("slope", "ed50", "tau", "Sun2017", "engine", "missed density", "power scaling", "outlier", "I2"):
        assert word in text, word


def test_an_experiment_of_published_estimates_has_nothing_to_fit():
    with pytest.raises(InputError, match="nothing to fit"):
        fit("review_plug_in")


def test_a_model_is_shown_in_words_as_its_file_and_as_a_page(tmp_path, blank_figures):
    words = gmfmsim.show("model", "loglinear")
    for word in ("slope ~ Normal(0, 10)", "log10(1 + dose / 1e7)", "Before the data", "exact: yes", "nuts: yes"):
        assert word in words, word
    file = find("models", "loglinear").read_text(encoding="utf-8")
    assert lookup.text_of("models", "loglinear") == file
    page = tmp_path / "model.html"
    lookup.write_model_page("loglinear", page)
    assert page.read_text(encoding="utf-8").count("<svg") >= 4
    with pytest.raises(InputError, match="cannot be written"):
        lookup.write_model_page("loglinear", tmp_path / "no" / "model.html")


def test_the_command_shows_a_model_for_machines_and_to_start_from(monkeypatch, capsys):
    assert command(monkeypatch, "show", "model", "emax", "--json") == 0
    assert json.loads(capsys.readouterr().out)["model"] == "emax"
    assert command(monkeypatch, "show", "model", "emax", "--toml") == 0
    assert capsys.readouterr().out == find("models", "emax").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["benchmark", "speed"], "exact"),
        (["calibrate", "--model", "emx", "--out", "OUT"], "emax"),
        (["calibrate", "--study", "exat", "--out", "OUT"], "exact"),
        (["show", "model", "emx"], "emax"),
        (["fit", "quickstat"], "nearest: quickstart;"),
    ],
)
def test_a_wrong_name_is_a_fault_with_what_there_is(tmp_path, monkeypatch, capsys, arguments, said):
    assert command(monkeypatch, *(tmp_path if a == "OUT" else a for a in arguments)) == 2
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told
