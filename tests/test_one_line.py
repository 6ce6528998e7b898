"""A question in one line: what the words of a command change, and what is answered to it."""

import json
import math

import numpy as np
import pytest
from conftest import ROOT
from damage import command
from design_cases import normal_design
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import gmfmsim
from gmfmsim.faults import InputError
from gmfmsim.files.shelf import find
from gmfmsim.files.toml import read_toml
from gmfmsim.question.changed import asked_anew, changed, in_short, said_as
from gmfmsim.trial.exact.exaggeration import exaggeration

KNOWN = {"effect": 3.0, "sd": 5.5}


def power_of_t(effect: float, sd: float, n: int, alpha: float = 0.05) -> float:
    """Power of the t test of two arms of n to find a gain, by SciPy's non-central t."""
    df, shift = 2 * n - 2, effect / sd * math.sqrt(n / 2)
    return float(stats.nct.sf(stats.t.isf(alpha / 2, df), df, shift))


def needed(effect: float, sd: float, power: float) -> int:
    """Return the smallest n per arm with that power."""
    return next(n for n in range(2, 10_000) if power_of_t(effect, sd, n) >= power)


@pytest.mark.parametrize("power", [0.8, 0.9])
def test_reference_a_known_gain_needs_what_the_t_test_needs(power):
    found = gmfmsim.size(gmfmsim.load("quickstart", in_short(**KNOWN, power=power, dropout=0.0)))
    assert found["n_total"] == 2 * needed(3, 5.5, power)
    assert found["n_by_arm"] == {"control": needed(3, 5.5, power), "cells": needed(3, 5.5, power)}
    assert found["target"] == {"metric": "power", "value": power}


def test_reference_an_answer_says_its_power():
    """By SciPy's non-central t; nothing is fitted for an effect that is known, so that assurance is not said."""
    found = gmfmsim.size(gmfmsim.load("quickstart", in_short(**KNOWN, dropout=0.0)))
    assert found["power"] == pytest.approx(power_of_t(3, 5.5, found["n_total"] // 2), abs=1e-6)
    assert found["assurance"] is found["assurance_mcse"] is found["power_mcse"] is None


def test_an_answer_says_power_and_assurance_at_its_number():
    """Of a published estimate both are there; where no number does, neither."""
    one, other = (found := gmfmsim.size("review_plug_in")), found["alternatives"][0]
    assert one["power"] >= 0.8 > one["assurance"]
    assert other["power"] > other["assurance"] >= 0.8
    none = gmfmsim.size(gmfmsim.load("review_plug_in", {"search.max_n_per_arm": 10}))
    assert none["n_total"] is none["power"] is none["assurance"] is None


def test_known_an_effect_alone_asks_for_four_fifths_power():
    assert in_short(effect=3.0)["search.target"] == {"metric": "power", "value": 0.8}
    assert "search.target" not in in_short(sd=5.5)
    assert in_short() == {}


def test_reference_so_many_children_have_the_power_of_the_t_test():
    found = gmfmsim.power(gmfmsim.load("quickstart_one_mean", in_short(**KNOWN, dropout=0.0)), 61)
    assert (found["n_total"], found["n_by_arm"]) == (60, {"control": 30, "cells": 30})
    assert found["power"] == pytest.approx(power_of_t(3, 5.5, 30), abs=1e-6)
    assert found["false_claims"] == pytest.approx(0.025, abs=1e-6)
    for row in found["detectable"]:
        assert power_of_t(row["effect"], 5.5, 30) >= row["power"] > power_of_t(row["effect"] - 0.01, 5.5, 30)
    assert found["power_mcse"] is found["assurance_mcse"] is None


def width_of_t(sd: float, n: int) -> float:
    """Mean width of the interval of two arms of n by the t test, by SciPy's law of chi."""
    df = 2 * n - 2
    return 2 * stats.t.isf(0.025, df) * sd * math.sqrt(2 / n) * stats.chi.mean(df) / math.sqrt(df)


def test_reference_a_width_and_its_children():
    known = gmfmsim.load("quickstart", in_short(sd=5.5, dropout=0.0))
    smallest = next(n for n in range(2, 1000) if width_of_t(5.5, n) <= 3)
    found = gmfmsim.precision(known, width=3)
    assert (found["n_total"], found["n_by_arm"]) == (2 * smallest, {"control": smallest, "cells": smallest})
    assert found["width"] == pytest.approx(width_of_t(5.5, smallest), abs=1e-6)
    assert found["width_mcse"] is found["width_over_sd"] is found["n_total_interval"] is None
    asked = gmfmsim.precision(known, n=61)
    assert (asked["n_total"], asked["wanted"]) == (60, None)
    assert asked["width"] == pytest.approx(width_of_t(5.5, 30), abs=1e-6)


def test_a_width_over_what_the_sd_may_be_and_one_that_none_gives():
    spread = gmfmsim.precision("quickstart", n=120)
    low, high = spread["width_over_sd"]
    assert low < spread["width"] < high
    none = gmfmsim.precision("quickstart", width=0.01)
    assert none["n_total"] is none["n_by_arm"] is none["width"] is None
    assert none["max_n_total"] == 40_000


def test_lines_say_a_width(monkeypatch, capsys):
    assert command(monkeypatch, "precision", "--width", "3") == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    found = gmfmsim.precision("quickstart", width=3)
    assert first.startswith(f"main: {found['n_total']} children (")
    assert first.endswith("for a 95 % interval 2.99 GMFM-66 points wide on average")
    assert second.startswith("  at the median SD of change; ")
    assert command(monkeypatch, "precision", "--width", "0.01") == 0
    assert capsys.readouterr().out.startswith("main: no number up to 40000 children for a 95 % interval at most 0.01")


def test_words_of_a_line_are_those_that_an_experiment_says():
    short = in_short(**KNOWN, power=0.9, ratio=2.0, dropout=0.15, correlation=0.8, alpha=0.01, month=6.0)
    (prepared,) = gmfmsim.load("quickstart", short).question.plans
    trial, search = prepared.plan.trial, prepared.plan.search
    assert [arm.ratio for arm in trial.arms] == [1, 2]
    assert (trial.dropout, trial.alpha, trial.month, search.planning_value) == (0.15, 0.01, 6, 3)
    assert trial.children.baseline_correlation.value == 0.8
    assert trial.analyses[0].method == "ancova"


def test_known_a_baseline_saves_children():
    """ANCOVA has (1 + rho) / 2 of the variance of change: its n is 9 tenths of that of the t test at rho = 0.8."""
    plain = gmfmsim.size(gmfmsim.load("quickstart", in_short(**KNOWN)))["n_total"]
    adjusted = gmfmsim.size(gmfmsim.load("quickstart", in_short(**KNOWN, correlation=0.8)))["n_total"]
    assert adjusted / plain == pytest.approx(0.9, abs=0.02)


def z_design(sd: float):
    """A trial of two arms whose SD is known."""
    return normal_design(analyses=[{"method": "z", "sd": "known"}], children={"excess_sd": sd, "dropout": 0})


def test_reference_gelman_and_carlin():
    """Their example of sex ratios (2014): an effect of 0.1 with standard error 3.28 has type S 0.46, type M 77."""
    n = 50
    design = z_design(3.28 * math.sqrt(n / 2))
    found = exaggeration(design, design.analyses[0], 0.1, n)
    assert round(found.type_s, 2) == 0.46
    assert round(found.type_m) == 77


@pytest.mark.parametrize(("effect", "n"), [(1.0, 12), (3.0, 12), (3.0, 40)])
def test_recovery_type_s_and_m_of_simulated_t_tests(effect, n):
    design = normal_design(analyses=[{"method": "t"}], children={"excess_sd": 5.5, "dropout": 0})
    found = exaggeration(design, design.analyses[0], effect, n)
    rng = np.random.default_rng(5)
    size = 400_000
    estimate = effect + 5.5 * math.sqrt(2 / n) * rng.standard_normal(size)
    se = 5.5 * np.sqrt(rng.chisquare(2 * n - 2, size) / (2 * n - 2)) * math.sqrt(2 / n)
    significant = abs(estimate) > stats.t.isf(0.025, 2 * n - 2) * se
    sizes = abs(estimate[significant]) / effect
    assert found.type_m == pytest.approx(sizes.mean(), abs=4 * sizes.std() / math.sqrt(sizes.size))
    share = (estimate[significant] < 0).mean()
    error = math.sqrt(max(share * (1 - share), 1 / sizes.size) / sizes.size)
    assert found.type_s == pytest.approx(share, abs=4 * error)


def test_no_effect_is_never_exaggerated():
    design = z_design(5.5)
    assert exaggeration(design, design.analyses[0], 0.0, 20) is None
    ranks = normal_design(analyses=[{"method": "wilcoxon"}])
    assert exaggeration(ranks, ranks.analyses[0], 3.0, 20) is None


def test_what_must_be_simulated_has_its_error():
    changes = in_short(effect=3.0) | {"analysis.method": "wilcoxon", "search.replicates": 1000}
    found = gmfmsim.power(gmfmsim.load("quickstart_one_mean", changes), 60)
    assert 0 < found["power_mcse"] < 0.04
    assert 0 < found["plateau_mcse"] < 0.04
    assert (found["type_m"], found["detectable"]) == (None, [])
    assert 0 < found["power"] < 1


@pytest.mark.slow
def test_an_answer_from_simulated_trials_has_its_errors():
    changes = in_short(effect=10.0) | {"analysis.method": "wilcoxon", "search.replicates": 1000}
    needed = gmfmsim.size(gmfmsim.load("quickstart_one_mean", changes))
    assert needed["power"] >= 0.8 > needed["power"] - 0.1
    assert 0 < needed["power_mcse"] < 0.04
    assert 0 < needed["assurance_mcse"] < 0.04


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers() | st.booleans(), min_size=1, max_size=4))
def test_a_change_of_a_line_is_the_change_of_a_file(said):
    words = [f"trial.{key} = {str(value).lower()}" for key, value in said.items()]
    raw = {"trial": {"month": 12}, "seed": 1}
    assert changed(raw, said_as(words)) == {"trial": {"month": 12} | said, "seed": 1}
    assert raw == {"trial": {"month": 12}, "seed": 1}


@given(st.lists(st.text(max_size=30), max_size=4))
def test_any_words_are_read_or_refused(words):
    keys = [word.partition("=")[0].strip() for word in words]
    whole = all("=" in word for word in words) and all(all(key.split(".")) for key in keys)
    if whole and len({*keys}) == len(keys):
        assert list(said_as(words)) == keys
    else:
        with pytest.raises(InputError, match=r"command line: --set"):
            said_as(words)


def test_a_text_needs_no_quotes():
    said = ["a=oral", 'b="oral"', "c=0.5", "d=true", "e=[1, 2]", "f={ dist = 'fixed', value = 6 }", "g=1e8 cells/kg"]
    assert said_as(said) == {
        "a": "oral",
        "b": "oral",
        "c": 0.5,
        "d": True,
        "e": [1, 2],
        "f": {"dist": "fixed", "value": 6},
        "g": "1e8 cells/kg",
    }


def test_a_change_replaces_as_an_alternative_does():
    """One model in the place of an average, a law in the place of another: nothing is left of what was there."""
    raw = read_toml(find("experiments", "quickstart"))
    one = changed(raw, {"model.name": "arms", "trial.sd_change": {"dist": "fixed", "value": 6.0}})
    assert one["model"] == {"name": "arms"}
    assert one["trial"]["sd_change"] == {"dist": "fixed", "value": 6.0}
    assert "average" in raw["model"]


def test_the_order_of_changes_says_nothing():
    """A design in the place of another does not take with it what is said beside it."""
    changes = {"trial.dropout": 0.3, "trial.design": "next_parallel", "trial.ratio": 2.0}
    for said in (changes, dict(reversed(changes.items()))):
        trial = gmfmsim.load("quickstart_one_mean", said).question.plans[0].plan.trial
        assert (trial.design, trial.dropout, trial.active.ratio) == ("next_parallel", 0.3, 2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("size", "--effect", "3", "--power", "0.8", "--assurance", "0.8"), "one target: --power or --assurance"),
        (("size", "--set", "trial.sd=5"), "key trial.sd"),
        (("size", "--set", "seed.x=5"), "is no table there"),
        (("size", "--set", "trial"), "KEY=VALUE"),
        (("size", "--set", "seed=1", "--set", "seed=2"), "is said twice"),
        (("size", "--sd", "5", "--set", "trial.sd_change.value=6"), "is changed as a whole"),
        (("size", "--dropout", "1.5"), "key trial.dropout"),
        (("size", "--sd", "-1"), "key trial.sd_change"),
        (("size", "--effect", "nan"), "key search.planning_value"),
        (("power", "--n", "3"), "3 children are too few"),
        (("precision", "--n", "3"), "3 children are too few"),
        (("precision",), "--width: stands for one question, --n for the other"),
        (("precision", "--width", "3", "--n", "60"), "one of them"),
        (("precision", "--width", "-1"), "--width: -1.0 is not allowed"),
        (("precision", "--width", "3", "--set", "analysis.method=wilcoxon"), "has no interval in points"),
        (("check", "--set", "precision.width=3", "--set", "analysis.method=wilcoxon", "quickstart"), "in points"),
        (("check", "quickstart", "--set", "trial.ratio=0"), "key trial.ratio"),
    ],
)
def test_a_fault_of_a_line_is_told(monkeypatch, capsys, words, said):
    assert command(monkeypatch, *words) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert "Traceback" not in err
    assert out == ""
    assert command(monkeypatch, *words, "--json") == 2
    assert json.loads(capsys.readouterr().out)["faults"]


def test_lines_say_totals_first_and_what_was_assumed(monkeypatch, capsys):
    """The line of the README, and what it prints."""
    line = "size --effect 3 --sd 5.5 --power 0.9 --ratio 2 --dropout 0.15 --correlation 0.8"
    assert command(monkeypatch, *line.split()) == 0
    first, *others = capsys.readouterr().out.splitlines()
    assert first == "main: 174 children (58 control, 116 cells) for 90 % power; plateau 100 %"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"gmfmsim {line} " in readme
    assert first in readme
    said = "\n".join(others)
    for words in ("SD of 12-month change 5.5", "correlation of baseline and endpoint 0.8", "15 % drop out", "1 : 2"):
        assert words in said
    assert gmfmsim.DISCLAIMER in said


def test_a_seed_of_a_line_is_another_key(monkeypatch, capsys):
    keys = []
    for more in ((), ("--set", "seed=7")):
        assert command(monkeypatch, "check", "review_plug_in", "--json", *more) == 0
        keys.append(json.loads(capsys.readouterr().out)["key"])
    assert keys[0] != keys[1]


def test_a_question_says_what_was_changed():
    """And only that: what the file says already, or asks nothing, leaves question and key as they are."""
    plain = gmfmsim.load("quickstart")
    same = gmfmsim.load(
        "quickstart", {"search.target.value": 0.8, "trial.dropout": plain.question.plans[0].plan.trial.dropout}
    )
    assert (same.question.text, same.key) == (plain.question.text, plain.key)
    assert gmfmsim.load("quickstart", {"seed": 7, "label": "x"}).question.text == plain.question.text
    said = {"trial.dropout": 0.15, "search.target": {"metric": "power", "value": 0.9}}
    other = gmfmsim.load("quickstart", said)
    expected = 'Changed: search.target = { metric = "power", value = 0.9 }, trial.dropout = 0.15.'
    assert other.question.text == f"{plain.question.text} {expected}"
    assert gmfmsim.load("quickstart", dict(reversed(said.items()))).key == other.key
    assert gmfmsim.load("quickstart", said | {"question": "Mine?"}).question.text == "Mine?"
    again = gmfmsim.load(other.question.config)
    assert (again.question.text, again.key) == (other.question.text, other.key)
    assert gmfmsim.size(other)["question"] == other.question.text


def test_a_long_change_does_not_make_a_question_too_long():
    long = {f"evidence.readings.{i}": "x" * 60 for i in range(60)}
    text = asked_anew({"question": "How many?"}, long)["question"]
    assert len(text) == 2000
    assert text.startswith("How many? Changed: evidence.readings.0 = ")


def test_help_is_short_and_says_where_to_start(monkeypatch, capsys):
    command(monkeypatch, "-h")
    assert "Start here: gmfmsim size" in " ".join(capsys.readouterr().out.split())
