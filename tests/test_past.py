"""The past, re-planned: trials as they were run, told apart by whether they had a control group."""

import tomllib

import numpy as np
import pytest
import tomli_w
import xarray as xr
from conftest import blank
from design_cases import NORMAL, POPULATION, arm, figure
from matplotlib.figure import Figure
from scipy import stats

from gmfmsim import run
from gmfmsim.answer.past import FIGURES, past_sentences
from gmfmsim.faults import InputError
from gmfmsim.files.shelf import names
from gmfmsim.question.past import was_run
from gmfmsim.question.question import read_question
from gmfmsim.trial.presets import read_design

EFFECT, SD, REPLICATES = 2.0, 5.0, 20_000
HEAD = {"title": "Own trial of 1999: cells against nothing", "source": "made up for a test", "visits": [12]}
CONTROLLED = HEAD | {
    "kind": "parallel",
    "arms": [arm("cells", 5e7, n=45), arm("control", n=30)],
    "children": NORMAL | {"excess_sd": figure(SD)},
    "analyses": [{"method": "t"}, {"method": "ancova"}],
}
ONE_ARM = HEAD | {
    "kind": "single_arm",
    "title": "A trial without any control group, whose title goes on and on: one arm",
    "arms": [arm("cells", 5e7, n=30)],
    "children": NORMAL,
    "analyses": [{"method": "one_sample", "allowance": 0}],
}
DESIGNS = {
    "controlled": CONTROLLED,
    "volunteers": ONE_ARM | {"children": POPULATION},
    "as_expected": ONE_ARM,
}


def experiment(folder, designs, **more):
    """Write an experiment with a [past] section beside the own designs, and return its path."""
    for name, design in (DESIGNS | {"faulty": CONTROLLED | {"alpha": 2}}).items():
        (folder / f"{name}.toml").write_text(tomli_w.dumps(design), encoding="utf-8")
    raw = {
        "question": "What could they have shown?",
        "seed": 7,
        "evidence": {"tables": "package", "select": {"default_use": "primary"}, "readings": "as_tabled"},
        "model": {"name": "random_effects"},
        "sampler": {"cross_check": False},
        "past": {"effect": EFFECT, "replicates": REPLICATES, "designs": designs},
    }
    path = folder / "own_past.toml"
    path.write_text(tomli_w.dumps(raw | more), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("past")
    own = [f"{name}.toml" for name in DESIGNS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", blank)
        return run(str(experiment(folder, [*own, "rah2017", {"design": "sun2017", "alpha": 0.1}])), folder / "results")


@pytest.fixture(scope="module")
def data(result):
    return xr.load_dataset(result.folder / "past.nc")


def at(data: xr.Dataset, design: str) -> xr.Dataset:
    return data.isel(trial=data["design"].values.tolist().index(design))


def near(data: xr.Dataset, design: str, name: str, expected: float) -> bool:
    one = at(data, design)
    return abs(one[name] - expected) < 4 * one[f"{name}_mcse"]


# what comes out


def test_every_figure_has_its_error_and_every_trial_its_facts(result, data):
    assert data.sizes == {"trial": 5}
    assert set(data.data_vars) == {f"{name}{mcse}" for name in FIGURES for mcse in ("", "_mcse")} | {
        "n_total", "month", "kind", "controlled", "analysis", "title"
    }  # fmt: skip
    assert data["trial"].values[[0, 3, 4]].tolist() == ["Own trial of 1999", "Rah 2017", "Sun 2017"]
    assert max(len(name) for name in data["trial"].values) <= 40
    assert data["controlled"].values.tolist() == [True, False, False, True, True]
    assert data["n_total"].values.tolist() == [75, 30, 30, 47, 63]
    assert at(data, "sun2017")["month"] == 12  # the end of the first period
    assert np.isnan(at(data, "rah2017")["type_m"])  # responders: not in points
    assert (data["false_claims_mcse"] > 0).all()
    rows = result.answer["trials"]
    assert [set(row) for row in rows] == [{"trial", "design", *data.data_vars}] * 5
    for name in FIGURES:
        given = [np.nan if row[name] is None else row[name] for row in rows]
        np.testing.assert_allclose(given, data[name].values, atol=5e-7)
    assert result.answer["sentence"] == " ".join(past_sentences(data, EFFECT))


def test_known_power_of_a_trial_with_control_is_that_of_the_t_test(data):
    n1, n0 = 45, 30
    df, ncp = n1 + n0 - 2, EFFECT / (SD * np.sqrt(1 / n1 + 1 / n0))
    assert near(data, "controlled.toml", "power", stats.nct.sf(stats.t.ppf(0.975, df), df, ncp))


def test_known_false_claims_of_a_trial_with_control_are_nominal(data):
    assert near(data, "controlled.toml", "false_claims", 0.025)
    assert at(data, "controlled.toml")["false_claims_mcse"] == pytest.approx(
        np.sqrt(0.025 * 0.975 / REPLICATES), rel=0.1
    )


def test_known_false_claims_of_one_arm_are_nominal_only_where_nobody_gains_more_than_expected(data):
    assert near(data, "as_expected.toml", "false_claims", 0.025)
    ncp = POPULATION["volunteer_gain"]["value"] / (SD / np.sqrt(30))
    expected = stats.nct.sf(stats.t.ppf(0.975, 29), 29, ncp)
    volunteers = at(data, "volunteers.toml")["false_claims"]
    assert volunteers > 0.025 + 4 * at(data, "volunteers.toml")["false_claims_mcse"]
    assert abs(volunteers - expected) < 0.03  # the curves and limits of the children add to their spread


def test_a_change_to_a_shipped_design_is_simulated(data):
    """Sun 2017 at two-sided alpha 0.1 makes twice the false claims that it was planned to make."""
    one = at(data, "sun2017")
    assert one["false_claims"] > 0.025 + 10 * one["false_claims_mcse"]


def test_trials_with_and_without_control_are_told_apart(result):
    with_control, _, exaggeration, without = past_sentences(xr.load_dataset(result.folder / "past.nc"), EFFECT)
    assert "of 3 trials with a control group" in with_control
    assert "overstates it" in exaggeration
    assert without.startswith("2 trials had no control group")
    page = (result.folder / "report.html").read_text(encoding="utf-8")
    assert with_control.rstrip(".") in page
    assert without in page


# sentences


def dataset(power, controlled, false_claims, type_m):
    columns = {"power": power, "controlled": controlled, "false_claims": false_claims, "type_m": type_m}
    labels = [f"Trial {i}" for i in range(len(power))]
    return xr.Dataset({k: ("trial", np.array(v)) for k, v in columns.items()}, {"trial": labels})


def test_known_sentences():
    data = dataset(
        [0.99, 0.8, 0.3, 0.1, 0.98], [False, True, True, True, False], [0.6, 0.02, 0.03, 0.02, 0.2],
        [1.5, 1.2, np.nan, 3.0, 9.0],
    )  # fmt: skip
    assert past_sentences(data, 1.42) == [
        "1 of 3 trials with a control group had 80 % power for a gain of 1.42 points.",
        "As they were run, median power is 30 %, the highest 80 % (Trial 1).",
        "Where the gain is that, a significant result of the median trial overstates it 2.1 times.",
        "2 trials had no control group: without any effect they would claim a gain in 20 % to 60 % of repetitions "
        "(median 40 %).",
    ]


def test_known_sentences_of_one_kind_alone():
    one = dataset([0.2], [True], [0.025], [np.nan])
    assert past_sentences(one, 3.0) == [
        "0 of 1 trial with a control group had 80 % power for a gain of 3 points.",
        "As they were run, median power is 20 %, the highest 20 % (Trial 0).",
    ]
    other = dataset([0.9], [False], [0.45], [2.0])
    assert past_sentences(other, 3.0) == [
        "1 trial had no control group: without any effect it would claim a gain in 45 % of repetitions."
    ]


# the file


def test_trials_of_the_evidence_are_asked_unless_others_are_named(tmp_path):
    past = read_question(str(experiment(tmp_path, []))).config["past"]["designs"]
    assert past == was_run() == [name for name in names("designs") if read_design(name).arms[0].n]
    assert {"sun2017", "wang2013bm"} <= set(past)


def test_a_resolved_configuration_gives_the_same_key_without_its_files(result, tmp_path):
    text = (result.folder / "config.toml").read_text(encoding="utf-8")
    (tmp_path / "elsewhere.toml").write_text(text, encoding="utf-8")
    again = read_question(str(tmp_path / "elsewhere.toml"))
    assert again.key == result.folder.name
    assert again.config == tomllib.loads(text)
    assert again.config["past"]["designs"][3] == "rah2017"
    assert again.plans[4].plan.trial.alpha == 0.1


def test_what_changes_the_answer_changes_the_key(tmp_path):
    average = {"average": ["random_effects", "emax"]}
    changes = {
        "nothing": {},
        "seed": {"seed": 8},
        "question": {"question": "And now?"},
        "readings": {"evidence": {"tables": "package", "select": {"default_use": "primary"}}},
        "effect": {"past": {"effect": 3.0, "designs": ["sun2017"]}},
        "replicates": {"past": {"effect": EFFECT, "replicates": 1000, "designs": ["sun2017"]}},
        "design": {"past": {"effect": EFFECT, "replicates": REPLICATES, "designs": ["rah2017"]}},
        "weights": {"model": average | {"weights": "posterior"}},
        "other weights": {"model": average | {"weights": "stacking"}},
    }  # fmt: skip
    keys = {
        name: read_question(str(experiment(tmp_path, ["sun2017"], **change))).key for name, change in changes.items()
    }
    assert len(set(keys.values())) == len(keys)


def past_with(**keys):
    return {"past": {"effect": EFFECT, "replicates": 1000, "designs": ["sun2017"]} | keys}


CLAIM = CONTROLLED | {"objective": {"claim": "equivalence", "margin": 3}}
FAULTS = {
    "unknown design": (past_with(designs=["rah2017", "sun2071"]), ["key past.designs.1"], "nearest: sun2017"),
    "design that was not run": (past_with(designs=["next_parallel"]), ["key past.designs.0"], "arms have n"),
    "other claim": (past_with(designs=[CLAIM]), ["key past.designs.0"], "claim superiority"),
    "no kind": (past_with(designs=[{"month": 12}]), ["key past.designs.0.kind"], "a key kind"),
    "neither name nor table": (past_with(designs=[3]), ["key past.designs.0"] * 2, "a table of keys and values"),
    "fault in an own file": (past_with(designs=["faulty.toml"]), ["key alpha"], "0.5"),
    "unknown key": (past_with(efect=2), ["key past.efect"], "nearest: effect"),
    "effect of none": (past_with(effect=0.0), ["key past.effect"], "greater than or equal to 0.001"),
    "too few": (past_with(replicates=10), ["key past.replicates"], "1000"),
    "fault in a declared trial": (past_with(designs=["sun2017", CONTROLLED | {"alpha": 2}]),
                                  ["key past.designs.1.alpha"], "0.5"),
    "a section of plans": ({"trial": {"design": "sun2017"}}, ["key trial"], "past"),
    "fault of the evidence once": (past_with(designs=[]) | {"evidence": {"tables": "package", "select": {"defaul": 1}}},
                                   ["key evidence.select.defaul"], "default_use"),
    "all at once": (past_with(designs=["sun2071", "next_parallel"]) | {"model": {"name": "random_effect"}},
                    ["key past.designs.0", "key model.name", "key past.designs.1"], "nearest: random_effects"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_says_what_where_and_what_is_allowed(fault, tmp_path):
    changes, where, allowed = FAULTS[fault]
    with pytest.raises(InputError) as refusal:
        read_question(str(experiment(tmp_path, [], **changes)))
    assert [f.where for f in refusal.value.faults] == where
    assert allowed in " ".join(f.allowed for f in refusal.value.faults)
