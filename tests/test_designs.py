"""Designs the whole way: from a file, through an experiment and the command line, to an answer and its page."""

import html
import itertools
import json
import tomllib
from math import nan, sqrt
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tomli_w
import xarray as xr
from conftest import blank, svg_alone
from damage import command, faults_of
from matplotlib.figure import Figure
from scipy import interpolate, special, stats

import gmfmsim
from gmfmsim import run
from gmfmsim.answer import plan as answering
from gmfmsim.answer.posterior import posterior_of
from gmfmsim.answer.truths import effects_of, truths_of
from gmfmsim.faults import InputError
from gmfmsim.files.shelf import names
from gmfmsim.progress import Silent
from gmfmsim.question.question import question_of_design, read_question
from gmfmsim.trial.change_sd import change_sd, spread_in_words
from gmfmsim.trial.closed_form import interval_width, of_contrast, power
from gmfmsim.trial.design import Design
from gmfmsim.trial.protocol import protocol, sources

SOURCE = {"source": "made up <for> a test", "verified": "assumed"}
MARKED = ("recalled", "assumed")
SD, LOST = 5.0, 0.08
CELLS, CONTROL, TITLE = "cells/../<i>$x^{", "control & \\frac", "Mine <script>alert(1)</script>"
KIDS = {
    "population": "normal_change",
    "title": "Own children",
    "excess_sd": {"value": SD, **SOURCE},
    "growth": {"value": 4, "source": "read once", "verified": "recalled"},
    "dropout": {"value": LOST, **SOURCE},
}
MINE = {
    "kind": "parallel",
    "title": TITLE,
    "source": "made up for a test",
    "children": "kids.toml",
    "arms": [{"name": CELLS, "dose": "5e7 cells/kg"}, {"name": CONTROL, "dose": "0 cells/kg"}],
    "visits": [12],
    "analyses": [{"method": "t"}, {"method": "ancova"}],
}
OTHER = MINE | {"title": "Two visits", "visits": [6, 12], "analyses": [{"method": "mmrm"}, {"method": "welch"}]}
BASE = {
    "question": "How many?",
    "seed": 5,
    "evidence": {"tables": "package", "select": {"study": ["Sun2017", "Sun2022"], "default_use": "primary"}},
    "model": {"name": "random_effects"},
    "sampler": {"cross_check": False, "draws": 1000},
    "search": {
        "target": {"metric": "power", "value": 0.8},
        "planning_value": 3,
        "replicates": 2000,
        "interval_prob": 0.9999,  # 3.9 Monte Carlo errors either way
    },
}
INLINE = {
    "month": 12,
    "arms": [{"name": "control", "dose": "0 cells/kg"}, {"name": "cells", "dose": "5e7 cells/kg"}],
    "sd_change": {"dist": "fixed", "value": SD},
    "dropout": LOST,
}
ASKED = {
    "detectable": {"n_per_arm": 40, "power": 0.8},
    "precision": {"width": 4},
    "optimise": {"n_total": 100, "ratios": [0.5, 1, 2], "doses": ["1e7 cells/kg", "5e7 cells/kg"]},
}


def write(folder, experiment: dict, name: str = "exp.toml", **designs: dict) -> str:
    """Write an experiment with the designs it names and their children beside it; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, raw in {"kids": KIDS, "mine": MINE, "other": OTHER, **designs}.items():
        (folder / f"{stem}.toml").write_text(tomli_w.dumps(raw), encoding="utf-8")
    (folder / name).write_text(tomli_w.dumps(experiment), encoding="utf-8")
    return str(folder / name)


def page(result) -> str:
    return result.report.read_text(encoding="utf-8")


def digests(result) -> dict[str, str]:
    """The SHA-256 of every file of a result."""
    return json.loads((result.folder / "manifest.json").read_text(encoding="utf-8"))["files"]


# every shipped design is a trial of an experiment


def test_a_change_of_a_design_is_one_of_its_experiment():
    plain = question_of_design("next_parallel")
    said = {"trial.dropout": 0.2, "search.target.value": 0.9, "analysis.method": "t", "seed": 3}
    one = question_of_design("next_parallel", said)
    plan = one.plans[0].plan
    assert (plan.trial.design, plan.trial.dropout, plan.search.target.value, plan.seed) == (
        "next_parallel",
        0.2,
        0.9,
        3,
    )
    assert [a.label for a in plan.trial.analyses] == ["t"]
    assert one.text.startswith(plain.text)
    assert one.text.endswith(' Changed: analysis.method = "t", search.target.value = 0.9, trial.dropout = 0.2.')
    assert one.key != plain.key == question_of_design("next_parallel", {}).key
    with pytest.raises(InputError, match="stands beside the design that is simulated"):
        question_of_design("next_parallel", {"trial.design": "sun2017"})
    with pytest.raises(InputError, match=r"key trial\.dropout"):
        question_of_design("next_parallel", {"trial.dropout": 2})


@pytest.mark.parametrize("name", names("designs"))
def test_every_shipped_design_is_the_trial_of_an_experiment(name):
    experiment = question_of_design(name)
    (prepared,) = experiment.plans
    design, plan = prepared.plan.trial, prepared.plan
    assert isinstance(design, Design)
    assert (experiment.name, design.design) == (f"design-{name}", name)
    usual = 100_000 if design.two_arms_one_test else 10_000
    assert (plan.search.replicates, plan.sampler.cross_check) == (usual, False)


@pytest.mark.parametrize("name", ["sun2022", "min2020", "sun2017", "next_twins", "next_cluster", "next_historical"])
def test_the_resolved_configuration_of_a_shipped_design_has_the_same_key(name, tmp_path):
    experiment = question_of_design(name)
    (tmp_path / "config.toml").write_text(tomli_w.dumps(experiment.config), encoding="utf-8")
    again = read_question(str(tmp_path / "config.toml"))
    assert (again.key, again.config) == (experiment.key, tomllib.loads(tomli_w.dumps(experiment.config)))


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Type I errors over nuisance settings from fewer trials; figures of the first plan drawn, once."""

    def savefig(self, path, **how):
        (blank if "far" in Path(path).parts[-3:] else svg_alone)(self, path, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", savefig)
        patch.setattr(answering, "NUISANCE_REPLICATES", 1000)
        yield


# an own design, and what is asked beside n


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """An own design with three further questions, and beside it another whose target is out of reach."""
    folder = tmp_path_factory.mktemp("asked")
    far = {
        "label": "far",
        "trial": {"design": "other.toml"},
        "search": {"max_n_per_arm": 100, "target": {"metric": "assurance", "value": 0.999}},
    }
    path = write(folder / "here", BASE | ASKED | {"trial": {"design": "mine.toml"}, "alternatives": [far]})
    return run(path, folder / "results")


@pytest.fixture(scope="module")
def answer(asked):
    return json.loads((asked.folder / "answer.json").read_text(encoding="utf-8"))


def mean_over_losses(figure, *sizes: int) -> float:
    """Return the mean of figure(completers of each arm) where a share LOST of the children of each arm is lost."""
    first, second = (np.arange(max(2, int(stats.binom.ppf(1e-7, n, 1 - LOST))), n + 1) for n in sizes)
    share = [stats.binom.pmf(kept, n, 1 - LOST) for kept, n in zip((first, second), sizes, strict=True)]
    table = np.array([[figure(a, b) for b in second] for a in first])
    return float(share[0] @ table @ share[1])


def smallest(good, *, low: int, high: int) -> int:
    """Return the smallest whole number in (low, high] at which good, which turns from false to true, is true."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if good(middle) else (middle, high)
    return high


def exact_power(n_active: int, n_control: int, effect: float) -> float:
    return mean_over_losses(lambda a, b: power(a, b, effect=effect, sd=SD), n_active, n_control)


def mean_width(n: int) -> float:
    """Return the mean width of the t interval: the estimated SD has mean c4(df) times the true one."""

    def width(a: int, b: int) -> float:
        df = a + b - 2
        c4 = sqrt(2 / df) * np.exp(special.gammaln((df + 1) / 2) - special.gammaln(df / 2))
        return c4 * interval_width(of_contrast([a, b], [1, -1], SD))

    return mean_over_losses(width, n, n)


def test_known_required_n(answer):
    exact = smallest(lambda n: exact_power(n, n, 3) >= 0.8, low=10, high=100)
    assert answer["n_interval"] is None
    assert answer["n_per_arm"] == exact


def test_known_smallest_detectable_effect(answer):
    exact = 0.01 * smallest(lambda step: exact_power(40, 40, 0.01 * step) >= 0.8, low=100, high=800)
    assert answer["detectable"]["interval"] is None
    assert answer["detectable"]["effect"] == pytest.approx(exact, abs=1e-9)


def test_known_n_of_a_precision(answer):
    exact = smallest(lambda n: mean_width(n) <= 4, low=10, high=200)
    assert answer["precision"]["n_interval"] is None
    assert answer["precision"]["n_per_arm"] == exact


def test_known_assurance_of_each_allocation(asked, answer):
    """Exactly, against the power at draws of the truths: what is left is the chance of the draws."""
    prepared = read_question(str(asked.folder / "config.toml")).plans[0]
    truths = truths_of(prepared, effects_of(prepared, posterior_of(prepared, {}, Silent())))
    effect = truths["effect"].sel(scenario="new_study", arm=CELLS).values
    grid = np.linspace(effect.min(), effect.max(), 17)  # on average a spline of a power is then off by less than 1e-3
    sizes = {1.0: (50, 50), 2.0: (66, 33), 0.5: (33, 66)}
    at_draws = {
        ratio: interpolate.CubicSpline(grid, [exact_power(*of, e) for e in grid])(effect) for ratio, of in sizes.items()
    }
    rows = answer["optimise"]
    assert sorted((row["dose"], row["ratio"]) for row in rows) == [(d, r) for d in (1e7, 5e7) for r in (0.5, 1.0, 2.0)]
    for row in rows:
        assert tuple(row["sizes"][arm] for arm in (CELLS, CONTROL)) == sizes[row["ratio"]]
        power = at_draws[row["ratio"]]
        assert abs(row["assurance"] - power.mean()) < 4 * power.std() / np.sqrt(power.size)
        assert row["assurance_mcse"] is None
        total = sum(row["sizes"].values())
        assert row["assurance_per_100_children"] == pytest.approx(100 * row["assurance"] / total, abs=1e-5)
    assert [row["assurance"] for row in rows] == sorted((row["assurance"] for row in rows), reverse=True)
    by_dose = [{r["ratio"]: r["assurance"] for r in rows if r["dose"] == dose} for dose in (1e7, 5e7)]
    assert by_dose[0] == by_dose[1]  # the model does not know doses, and all rows share their noise


def test_the_page_says_what_was_asked(asked, answer):
    text = html.unescape(page(asked))
    detectable, precision = answer["detectable"], answer["precision"]
    assert (
        f"The smallest effect that 80 children (40 an arm) detect with 80 % power: {detectable['effect']:.2f}" in text
    )
    assert f"{2 * precision['n_per_arm']} children ({precision['n_per_arm']} an arm; " in text
    assert " give an interval 4 points wide on average" in text
    best = answer["optimise"][0]
    assert f"{best['sizes'][CELLS]} {CELLS}, {best['sizes'][CONTROL]} {CONTROL}" in text


def test_a_result_of_a_design_holds_everything(asked, answer):
    for place, analyses in ((asked.folder, 2), (asked.folder / "alternatives" / "far", 2)):
        surface = xr.load_dataset(place / "surface.nc")
        assert surface["success"].dims == ("scenario", "n", "analysis")
        assert surface["difference"].dims == ("scenario", "n", "analysis", "versus")
        assert surface.sizes["analysis"] == analyses
        for figure in ("success", "harm", "failed", "bias", "empirical_se", "model_se", "mse", "coverage", "width"):
            assert surface[f"{figure}_mcse"].dims == surface[figure].dims
        assert {"type_s", "type_m", "difference", "completers", "plateau", "plateau_mcse"} <= set(surface)
        assert {"analyses.svg", "children.svg", "curves.svg"} <= {
            p.name.split("-")[-1] for p in place.glob("figures/*")
        }
    surface = xr.load_dataset(asked.folder / "surface.nc")
    at = surface["success"].sel(scenario="planning_value", n=answer["n_per_arm"], analysis="t").item()
    assert at == pytest.approx(answer["power"], abs=1e-6)
    assert answer["n_of_analyses"] == answer["n_per_arm"]
    assert [row["analysis"] for row in answer["analyses"]] == ["t", "ancova"]
    assert answer["analyses"][0]["planning_value_success"] == pytest.approx(at, abs=1e-6)
    assert 0.02 < min(answer["largest_false_claim_rate"].values()) < 0.05


def test_the_page_holds_protocol_analyses_and_sources(asked, answer):
    text = html.unescape(page(asked))
    plans = read_question(str(asked.folder / "config.toml")).plans
    sizes = answer["n_per_arm"], answer["alternatives"][0]["n_of_analyses"]
    for prepared, n in zip(plans, sizes, strict=True):
        design = prepared.plan.trial
        assert text.count(protocol(design, n)) == 1
        spread = spread_in_words(change_sd(design))
        assert f"SD of {design.month:g}-month change in this trial</td><td>{spread}</td>" in text
        for analysis in design.analyses:
            assert f"<td>{analysis.label}</td>" in text
        for row in sources(design):
            mark = f' <span class="warn">{row.verified}</span>' if row.verified in MARKED else row.verified
            assert f"<td>{row.source}</td><td>{mark}</td>" in text
    assert text.count('<td> <span class="warn">recalled</span></td>') == 2


def test_what_a_file_says_is_text_on_the_page(asked):
    """Title, arm names and sources hold tags, slashes and half a formula."""
    text = page(asked)
    assert "alert(1)" in text
    assert "<script" not in text
    assert "<i>" not in text
    assert html.escape(CELLS, quote=False) in text
    assert sorted(p.name for p in asked.folder.iterdir() if p.is_dir()) == ["alternatives", "figures"]
    assert [p.name for p in (asked.folder / "alternatives").iterdir()] == ["far"]


def test_a_design_without_an_n_has_its_page(asked, answer):
    (far,) = answer["alternatives"]
    assert (far["status"], far["n_per_arm"], far["n_interval"], far["n_total"]) == ("unreachable", None, None, None)
    assert 0.8 < far["plateau"] < 0.999
    assert "No number of children gives 99.90 % assurance" in far["sentence"]
    assert "200 children (100 an arm) do not give 95 % of that" in far["sentence"]
    assert "<strong>No number of children reaches the target</strong>" in page(asked)
    assert [row["analysis"] for row in far["analyses"]] == ["mmrm", "welch"]
    assert (far["n_at_95_plateau"], far["n_of_analyses"]) == (None, 160)
    assert far["detectable"]["n_per_arm"] == 40


@pytest.mark.slow
def test_the_resolved_configuration_runs_to_the_same_bytes_elsewhere(asked, tmp_path):
    (tmp_path / "config.toml").write_bytes((asked.folder / "config.toml").read_bytes())
    again = run(str(tmp_path / "config.toml"), tmp_path / "results")
    assert again.folder.parts[-2:] == asked.folder.parts[-2:]
    assert digests(again) == digests(asked)


# designs beside the two arms of a few keys


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Two arms with normal changes; a design whose test is simulated; that twice more, a second a look at the clock."""
    folder = tmp_path_factory.mktemp("mixed")
    design = {"trial": {"design": "mine.toml", "analyses": [{"method": "z"}]}}
    others = [design | {"label": f"{k} s", "search": {"max_seconds": k}} for k in (20, 9)]
    alternatives = [design | {"label": "as a design"}, *others]
    first = BASE | {"trial": INLINE, "analysis": {"method": "t"}, "search": BASE["search"] | {"replicates": 1000}}
    path = write(folder, first | {"alternatives": alternatives})
    clock = itertools.count()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gmfmsim.trial.size.time", SimpleNamespace(monotonic=lambda: float(next(clock))))
        patch.setattr(Figure, "savefig", blank)
        return run(path, folder / "results")


def test_the_same_trial_said_in_both_ways_has_the_same_n(tmp_path):
    alternative = {"label": "as a design", "trial": {"design": "mine.toml"}}
    inline = gmfmsim.size(write(tmp_path, BASE | {"trial": INLINE, "alternatives": [alternative]}))
    (design,) = inline["alternatives"]
    assert inline["n_total"] == design["n_total"]
    assert inline["plateau"] == design["plateau"] == 1


def test_a_search_that_runs_out_of_time_says_what_it_knows(mixed):
    """2, 4, 8, 16, 32 and 64 per arm are looked at, then one within the last doubling."""
    design, later, sooner = mixed.answer["alternatives"]
    low, high = later["n_interval"]
    assert 33 <= low < high
    assert low <= design["n_per_arm"] <= high == later["n_per_arm"] <= 64
    bracket = f"the smallest number that does lies from {2 * low} to {2 * high}: the search ended after 20 s"
    assert bracket in later["sentence"]
    assert (sooner["status"], sooner["n_per_arm"], sooner["n_interval"]) == ("unreachable", None, None)
    assert "No n that gives 80 % power to show a gain of 3 GMFM-66 points was found" in sooner["sentence"]
    assert "Monte Carlo interval" not in later["sentence"] + sooner["sentence"]
    text = page(mixed)
    assert f"<strong>At most {2 * high} children, {high} an arm</strong>" in text
    assert "<strong>Not found in the time given</strong>" in text


# one design from the command line


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Designs meet a small evidence and few replicates in place of the quick start."""
    base = write(tmp_path / "base", BASE | {"trial": INLINE})
    monkeypatch.setattr(Figure, "savefig", blank)
    monkeypatch.setattr(answering, "NUISANCE_REPLICATES", 100)
    monkeypatch.setattr("gmfmsim.question.plan.DESIGN_REPLICATES", 1000)
    monkeypatch.setattr("gmfmsim.question.question.BASE", base)


@pytest.mark.parametrize("places", [["here"], pytest.param(["here", "there"], marks=pytest.mark.slow)])
def test_a_design_is_simulated_from_the_command_line(small, tmp_path, monkeypatch, capsys, places):
    """A non-inferiority trial; elsewhere on the disk a second time it has the same key and the same bytes."""
    claim = {
        "objective": {"claim": "non_inferiority", "margin": 2},
        "analyses": [{"method": "ancova"}, {"method": "wilcoxon"}],
    }
    for place in places:
        write(tmp_path / place, {}, **{"mine two": MINE | claim})
    said = []
    for place in places:
        results = tmp_path / place / "results"
        assert command(monkeypatch, "simulate", tmp_path / place / "mine two.toml", "--results", results, "--json") == 0
        said.append(json.loads(capsys.readouterr().out))
    here = said[0]
    assert {(a["experiment"], a["reused"], a["status"]) for a in said} == {("design-mine-two", False, "reached")}
    files = [json.loads((Path(a["folder"]) / "manifest.json").read_text())["files"] for a in said]
    assert all((a["key"], of) == (here["key"], files[0]) for a, of in zip(said, files, strict=True))
    assert (
        "80 % power to show that the effect is not below -2 GMFM-66 points where it is 3 GMFM-66 points"
        in here["sentence"]
    )
    text = (Path(here["folder"]) / "report.html").read_text(encoding="utf-8")
    assert "success if there is no effect: a true claim" in text
    assert "type I error, either direction" not in text
    again = gmfmsim.simulate(str(tmp_path / "here" / "mine two.toml"), tmp_path / "here" / "results")
    assert again.reused
    assert again.answer == {k: v for k, v in here.items() if k not in ("folder", "reused")}


def test_an_experiment_with_a_design_is_checked(tmp_path, monkeypatch, capsys):
    path = write(
        tmp_path, BASE | ASKED | {"trial": {"design": "mine.toml", "children": {"missed": {"value": 0.1, **SOURCE}}}}
    )
    assert command(monkeypatch, "check", path) == 0
    assert "exp is valid" in capsys.readouterr().out
    assert command(monkeypatch, "check", path, "--json") == 0
    config = json.loads(capsys.readouterr().out)["config"]
    assert config["trial"]["children"]["missed"] == {"value": 0.1, **SOURCE}
    assert config["trial"]["children"]["excess_sd"]["value"] == SD
    assert config["detectable"] == ASKED["detectable"]
    assert config["search"]["replicates"] == 2000


def test_designs_are_listed_and_shown(monkeypatch, capsys):
    assert command(monkeypatch, "list", "--json") == 0
    shelf = json.loads(capsys.readouterr().out)
    assert [sorted(shelf[kind]) for kind in ("designs", "children")] == [names("designs"), names("children")]
    assert command(monkeypatch, "show", "design", "sun2017") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "32" in text
    assert "assumed: Cells stay in the body" in text
    assert command(monkeypatch, "show", "design", "sun2017", "--toml") == 0
    assert tomllib.loads(capsys.readouterr().out)["kind"] == "crossover"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--help"], ["simulate", "type-one", "Simulate a design on the one-mean model of the quick"]),
        (["simulate", "--help"], ["DESIGN|PATH", "Examples: gmfmsim simulate next_parallel"]),
        (["type-one", "--help"], ["--design", "--workers", "claims"]),
        (["show", "--help"], ["design", "children"]),
    ],
)
def test_help_says_what_there_is_for_designs(monkeypatch, capsys, words, said):
    assert command(monkeypatch, *words) == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert [s for s in said if s not in text] == []


# faults


def trial(**more) -> dict:
    return {"trial": {"design": "mine.toml", **more}}


FAULTS = {
    "unknown design": ({"trial": {"design": "sun2018"}}, "key trial.design", "nearest: sun2017"),
    "no design": ({"trial": {"design": 5}}, "key trial.design", "a name, or the path of a .toml file"),
    "missing file": ({"trial": {"design": "../their.toml"}}, "key trial.design", "does not exist"),
    "wrong ending": ({"trial": {"design": "./mine.json"}}, "key trial.design", "ending in .toml"),
    "folder of the shelf": ({"trial": {"design": "../designs/sun2017"}}, "key trial.design", "ending in .toml"),
    "unknown key": (trial(childern={}), "key trial.childern", "nearest: children"),
    "unknown key of children": (trial(children={"exces_sd": {}}), "key trial.children.exces_sd", "nearest: excess_sd"),
    "unknown children": (trial(children="sever"), "key trial.children", "nearest: severe"),
    "figure without a source": (
        trial(children={"missed": {"value": 0, "verified": "assumed"}}),
        "key trial.children.missed.source",
        "required",
    ),
    "figure out of range": (
        trial(children={"missed": {"value": 2, **SOURCE}}),
        "key trial.children.missed",
        "a share from 0 to 0.9",
    ),
    "not a number": (
        trial(children={"missed": {"value": nan, **SOURCE}}),
        "key trial.children.missed.value",
        "finite",
    ),
    "analysis of another kind": (
        trial(analyses=[{"method": "paired_t"}]),
        "key trial",
        "no analysis paired_t: it is not valid for a parallel design",
    ),
    "unknown analysis": (trial(analyses=[{"method": "anova"}]), "key trial.analyses.0", "'ancova'"),
    "no arms": (trial(arms=[]), "key trial.arms", "at least 1"),
    "allocation of three arms": (
        {"trial": {"design": "next_doses"}, "optimise": {"n_total": 100}},
        "sections",
        "[optimise] with a parallel trial of two arms",
    ),
    "allocation of a crossover": (
        {"trial": {"design": "sun2017"}, "optimise": {"n_total": 100}},
        "sections",
        "[optimise] with a parallel trial of two arms",
    ),
    "effect of nobody": (trial() | {"detectable": {"n_per_arm": 1}}, "key detectable.n_per_arm", "2"),
    "no time": (trial() | {"search": BASE["search"] | {"max_seconds": 0}}, "key search.max_seconds", "1"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_says_where_it_is_and_what_is_allowed(name, tmp_path):
    changes, where, said = FAULTS[name]
    path = write(tmp_path, BASE | changes)
    with pytest.raises(InputError) as refusal:
        read_question(path)
    (fault,) = refusal.value.faults
    assert (fault.file, fault.where) == ("exp.toml", where)
    assert said in f"{fault.problem} {fault.allowed}"


def test_a_published_estimate_has_no_children(tmp_path):
    pooled = {"evidence": {"pooled": {"meta_id": "Eggenberger2019", "measure": "SMD"}}}
    path = write(tmp_path, {k: v for k, v in (BASE | trial() | pooled).items() if k != "model"})
    with pytest.raises(InputError, match="with simulated children, who are in GMFM-66 points"):
        read_question(path)


def test_faults_of_a_file_that_is_named_are_told_of_that_file(tmp_path):
    design = write(tmp_path, BASE | trial(), kids=KIDS | {"excess_sd": {"value": -1, **SOURCE}})
    assert faults_of(design) == [("kids.toml", "key excess_sd")]
    design = write(tmp_path, BASE | trial(), mine=MINE | {"alpha": 2, "visits": [12, 6]})
    assert faults_of(design) == [("mine.toml", "key alpha")]


def test_all_faults_at_once_and_no_traceback(tmp_path, monkeypatch, capsys):
    faulty = {"trial": {"design": "sun2018"}, "sede": 1, "search": {"target": {"metric": "power", "value": 2}}}
    other = {"trial": {"design": "normal", "childern": 1}}
    path = write(tmp_path, BASE | faulty | {"alternatives": [other]})
    assert command(monkeypatch, "run", path, "--results", tmp_path / "results", "--json") == 2
    told = capsys.readouterr()
    places = [f["where"] for f in json.loads(told.out)["faults"]]
    expected = {"key trial.design", "key sede", "key search.target.value", "key search.planning_value"}
    assert expected | {"key alternatives.0.trial.childern"} == set(places)
    assert "Traceback" not in told.err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    "name", ["nope", "exp.toml", "kids.toml", "absent.toml", "../exp", "a\0b.toml", "x" * 5000 + ".toml"]
)
def test_what_is_no_design_is_a_fault_of_the_command(name, tmp_path, monkeypatch, capsys):
    write(tmp_path, BASE | trial())
    monkeypatch.chdir(tmp_path)
    for words in (["simulate", name], ["show", "design", name]):
        assert command(monkeypatch, *words) == 2
        assert "allowed:" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


# resolved alternatives


def test_alternatives_that_change_parts_of_a_design_resolve_to_the_same_key(tmp_path):
    """What an alternative leaves out, or has of another kind, does not come back from the first plan."""
    alternatives = [
        {"trial": {"children": "severe", "setting": {}}},
        {"trial": {"children": {"dropout": {"value": 0.3, **SOURCE}}}},
        {"trial": {"design": "mine.toml"}},
        {"trial": {"design": "next_run_in"}},
        {"trial": INLINE | {"design": "parallel"}},
    ]
    labelled = [{"label": f"plan {i}"} | a for i, a in enumerate(alternatives)]
    experiment = read_question(write(tmp_path, BASE | {"trial": {"design": "normal"}, "alternatives": labelled}))
    first, severe, lost, mine, run_in, inline = (p.plan.trial for p in experiment.plans)
    assert (first.children.kind, severe.children.kind, mine.title) == ("normal", "population", TITLE)
    assert (lost.children.dropout.value, lost.children.dropout.high) == (0.3, None)
    assert run_in.run_in is not None
    assert inline.dropout == LOST
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "config.toml").write_text(tomli_w.dumps(experiment.config), encoding="utf-8")
    again = read_question(str(tmp_path / "elsewhere" / "config.toml"))
    assert again.key == experiment.key


def test_a_design_may_be_said_in_the_experiment_itself(tmp_path):
    """With the children of a file; it is the same trial as that of a file."""
    (inline,) = read_question(write(tmp_path, BASE | {"trial": MINE})).plans
    (named,) = read_question(write(tmp_path, BASE | trial())).plans
    assert inline.plan.trial == named.plan.trial.model_copy(update={"design": ""})
