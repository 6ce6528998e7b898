"""What a trial is worth: closed forms, limits, the n and dose that gain most, faults, and the way through a run."""

import json
import math
import timeit

import numpy as np
import pytest
import tomli_w
from conftest import ROOT, committed, examples
from damage import command
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import gmfmsim
from gmfmsim.answer.tables import in_lines
from gmfmsim.answer.value import in_sentences
from gmfmsim.compute.text import percent
from gmfmsim.dist.distributions import Fixed
from gmfmsim.faults import InputError
from gmfmsim.files.shelf import find
from gmfmsim.files.toml import read_toml
from gmfmsim.model.after import Joint, after, after_many, sample_information
from gmfmsim.proof import worth as measured
from gmfmsim.question.question import read_question
from gmfmsim.report.compared import compared_table
from gmfmsim.report.value import after_table, doses_table, worth_table
from gmfmsim.trial.cost import Cost
from gmfmsim.trial.exact.unit_sds import unit_sds
from gmfmsim.trial.presets import read_design
from gmfmsim.trial.recruitment import Recruitment
from gmfmsim.trial.value import Value, reached
from gmfmsim.trial.worth import Worth

ONE = Joint(*(np.array([x]) for x in (1.0, 1.8, 0.9, 0.6)))
"""One component: mean 1.8, SD of it 0.9, tau 0.6."""
SEVERAL = Joint(
    *(np.array(x) for x in ((0.5, 0.3, 0.2), (1.8, 0.9, 2.4), (0.9, 0.5, 1.6), (0.6, 0.0, 2.0))),
)


def trial(**overrides):
    return read_design("parallel", overrides={"sd_change": 5.5, "dropout": 0.0} | overrides)


def value(**more) -> Value:
    return Value.model_validate({"benefit": 10_000.0, "reach": 500.0, "treatment_cost": 20_000.0} | more)


def worth(of: Joint = SEVERAL, cost: dict | None = None, recruitment: dict | None = None, **more) -> Worth:
    paid = cost and Cost.model_validate(cost)
    rate = recruitment and Recruitment.model_validate(recruitment)
    return Worth(trial(), of, value(**more).of(paid), paid, rate)


# what is declared


def test_known_children_reached_are_discounted_continuously():
    assert reached(value(discount=0.0), 12) == pytest.approx(500 * 9)
    years = np.linspace(2, 10, 200_001)
    assert reached(value(), 24) == pytest.approx(500 * np.trapezoid(1.03**-years, years), rel=1e-9)
    assert reached(value(), 120) == reached(value(), 1000) == 0


def test_what_is_left_out_comes_from_cost():
    paid = Cost.model_validate({"treated": {"low": 12_000, "high": 30_000}, "currency": "USD"})
    found = Value(benefit=10_000, reach=1).of(paid)
    assert (found.treatment_cost, found.currency, found.margin, found.border) == (30_000, "USD", 3.0, 3.0)
    alone = Value(benefit=10_000, reach=1).of(None)
    assert (alone.treatment_cost, alone.currency, alone.margin) == (0.0, "EUR", 0.0)
    assert value(margin=-1.0).of(paid).margin == -1.0


# the expected value of sample information


def test_known_one_component_is_the_unit_normal_loss():
    """R x benefit x s x (density(u) - u P(Z > u)), SD of change known: two arms of n, tau known."""
    found = worth(ONE)
    for n in (10, 60, 400):
        s = 0.9**2 / math.sqrt(0.9**2 + 0.6**2 + 2 * 5.5**2 / n)
        u = abs(1.8 - 2.0) / s
        expected = reached(found.value, 12) * 10_000 * s * (stats.norm.pdf(u) - u * stats.norm.sf(u))
        assert found.sample(n) == pytest.approx(expected, rel=1e-9)


def test_known_limits_of_few_and_of_very_many_children():
    found = worth()
    mean, own = found.perfect()
    rising = [found.sample(n) for n in (2, 5, 20, 80, 320, 1280, 10**6)]
    assert (np.diff(rising) > 0).all()
    assert rising[-1] == pytest.approx(own, rel=1e-4)
    assert rising[-1] < own < mean
    tiny = Worth(trial(sd_change=1000.0), SEVERAL, found.value)
    assert tiny.sample(2) < 1e-2 * own


def test_known_without_scatter_a_very_large_trial_tells_the_mean():
    no_tau = Joint(SEVERAL.weight, SEVERAL.mean, SEVERAL.sd_of_mean, np.zeros(3))
    mean, own = worth(no_tau).perfect()
    assert own == pytest.approx(mean, rel=1e-9)


LIGHT = {"dist": "lognormal", "median": 5.5, "sigma": 0.45}
HEAVY = {"dist": "log_student_t", "df": 7.4, "location": 1.7, "scale": 0.45}


@pytest.mark.parametrize("law", [LIGHT, HEAVY])
def test_reference_few_nodes_of_the_sd_are_as_all_of_them(law):
    design = trial(sd_change=law, dropout=0.1)
    few = Worth(design, SEVERAL, value().of(None))
    sigma, share = unit_sds(design, design.analyses[0], design.sd_change)
    for n in (20, 200):
        se = sigma * math.sqrt(2 / (0.9 * n))
        assert few.informed(n) == pytest.approx(share @ sample_information(SEVERAL, se, 2.0), rel=2e-4)


@settings(max_examples=examples(15, 60), deadline=None)
@given(border=st.floats(-1, 5), sd=st.floats(1, 15), n=st.integers(2, 3000))
def test_more_children_are_worth_more_and_never_more_than_to_know(border, sd, n):
    design = trial(sd_change=sd)
    of = Worth(design, SEVERAL, value(treatment_cost=max(border, 0.0) * 10_000).of(None))
    less, more = of.sample(n), of.sample(n + 50)
    mean, own = of.perfect()
    assert 0 <= less <= more + 1e-6 * own
    assert more <= own * (1 + 1e-9) <= mean * (1 + 1e-6) + 1e-6


def test_a_trial_that_ends_after_the_horizon_is_worth_nothing():
    slow = worth(recruitment={"centres": 1, "rate": 1.0})
    assert slow.months(100) > 120
    assert slow.sample(100) == 0
    assert slow.sample(10) > 0
    assert slow.sample(10) < worth().sample(10)


def test_recovery_the_worth_is_what_drawn_trials_gain():
    """Drawn means, studies and estimates of 200,000 trials: treatment is taken where the mean after a trial is above
    the border, and gains the drawn mean; within four Monte Carlo errors, for a border below and above what is known."""
    size, rng = 200_000, np.random.default_rng(11)
    which = rng.choice(3, size, p=SEVERAL.weight)
    mu = SEVERAL.mean[which] + SEVERAL.sd_of_mean[which] * rng.standard_normal(size)
    theta = mu + SEVERAL.sd_between[which] * rng.standard_normal(size)
    for paid in (10_000.0, 20_000.0):
        found = worth(treatment_cost=paid)
        se = float(found.se(60)[0])
        taken = after_many(SEVERAL, theta + se * rng.standard_normal(size), se).mean > found.value.border
        gain = (mu - found.value.border) * (taken ^ (SEVERAL.of("mean").mean > found.value.border))
        gain *= np.where(taken, 1, -1)
        assert found.informed(60) == pytest.approx(gain.mean(), abs=4 * gain.std() / math.sqrt(size))


# the n that gains most


def test_reference_the_largest_net_gain_is_that_of_every_n():
    found = worth(cost={"treated": 30_000, "visit": 500, "fixed": 100_000})
    net = {n: found.net(n) for n in range(2, 601)}
    best = max(net, key=net.get)
    largest = found.largest(600)
    assert (largest.n, largest.worthwhile) == (best, best)
    assert largest.net == net[best] > 0
    low, high = (found.sample(best + k) - found.sample(best + k - 1) for k in (1, 0))
    assert low < 30_000 + 4 * 500 < high  # one more child in each arm


def test_known_no_trial_pays_where_it_is_dear_or_nothing_can_change():
    dear = worth(cost={"fixed": 1e9, "treated": 20_000}).largest(600)
    assert (dear.n, dear.net) == (0, 0.0)
    assert dear.worthwhile > 0  # once it is paid for, one more child may still be worth it
    sure = worth(cost={"treated": 20_000}, treatment_cost=0.0)
    certain = Worth(sure.design, Joint(*(np.array([x]) for x in (1.0, 9.0, 0.1, 0.1))), sure.value, sure.cost)
    assert certain.largest(600) == type(dear)(0, 0.0, 0)
    free = worth(cost={"fixed": 1.0}).largest(600)
    assert (free.n, free.worthwhile) == (600, None)


# what is known then


def test_recovery_what_is_known_after_trials_that_are_drawn():
    """Twenty thousand estimates of one SD of change: shares and quantiles within four Monte Carlo errors."""
    of, n, size = worth(margin=1.0), 60, 20_000
    found = of.after(n)
    law, rng = SEVERAL.estimates(float(of.se(n)[0])), np.random.default_rng(7)
    which = rng.choice(3, size, p=SEVERAL.weight)
    then = after(SEVERAL, law.means[which] + law.sds[which] * rng.standard_normal(size), float(of.se(n)[0]), 1.0)
    for name, drawn in (("sure", then.above > 0.975), ("doubtful", then.above < 0.5)):
        error = 4 * math.sqrt(found[name] * (1 - found[name]) / size)
        assert found[name] == pytest.approx(drawn.mean(), abs=error)
    assert found["sd"] == pytest.approx(then.sd.mean(), abs=4 * then.sd.std() / math.sqrt(size))
    assert found["between_sd"] == pytest.approx(then.between_sd.mean(), abs=4 * then.between_sd.std() / math.sqrt(size))
    for p, quantile in found["quantiles"].items():
        assert (then.above < quantile).mean() == pytest.approx(float(p), abs=4 * math.sqrt(0.25 / size))


def test_a_known_sd_is_one_node():
    found = worth(ONE)
    assert isinstance(found.design.sd_change, Fixed)
    assert found.se(50).tolist() == pytest.approx([5.5 * math.sqrt(2 / 50)])


# a plan

ASKED = {"value.benefit": 10_000.0, "value.reach": 500.0}


def refused(name: str, **changes) -> str:
    with pytest.raises(InputError) as caught:
        gmfmsim.load(name, ASKED | {key.replace("__", "."): one for key, one in changes.items()})
    return str(caught.value)


def test_all_faults_of_the_section_are_told_at_once():
    said = refused(
        "cord_blood_dose", value__benefit=0.0, value__reach=-1.0, value__discount=2.0, value__doses=["0 cells/kg"]
    )
    for key in ("benefit", "reach", "discount", "doses"):
        assert f"key value.{key}: " in said
    looks = {"at": [0.5], "bounds": "obrien_fleming"}
    more = {"cost__fixed": 1.0, "value__currency": "USD", "value__doses": ["1e7 cells/kg"], "trial__looks": looks}
    said = refused("quickstart_one_mean", **more, sampler__engine="nuts", trial__ratio=4.0, value__n=[5])
    for words in (
        "it has looks",
        "key value.currency: 'USD' is not that of [cost]",
        "key value.doses: no model tells doses apart",
        "key value.n: 5 are too few children",
        "this one is sampled",
    ):
        assert words in said


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("review_plug_in", {}, "the published effect is in standard deviations"),
        ("quickstart_one_mean", {"model__name": "robust"}, "a model has to be sampled"),
        ("quickstart_one_mean", {"analysis__method": "wilcoxon"}, "does not estimate a gain in points"),
        ("designs_compared", {}, "is not known without sampling"),
    ],
)
def test_what_cannot_be_said_is_refused_in_words(name, changes, words):
    assert words in refused(name, **changes)


def test_keys_of_plans_that_do_not_ask_stay_as_they_are():
    plain = read_question("review_plug_in")
    assert all("value" not in plan for plan in plain.asked.identity)
    assert (ROOT / "results" / "review_plug_in" / plain.key).is_dir()


def test_the_section_is_in_the_reference_of_keys(monkeypatch, capsys):
    assert command(monkeypatch, "show", "keys", "value") == 0
    out = capsys.readouterr().out
    for words in ("currency a point", "children a year", "children a year", "default 0.03"):
        assert words in out


def test_moments_that_do_not_exist_are_not_said():
    """One study and a prior of tau with heavy tails: the SD between studies has no SD."""
    tau = {"dist": "half_cauchy", "scale": 1.0, "unit": "GMFM-66 points", "reason": "heavy tails"}
    few = {"model.priors": {"tau": tau}, "evidence.select": {"study": ["Sun2017"], "month": [12]}}
    found = gmfmsim.power(gmfmsim.load("quickstart_one_mean", ASKED | few), 100)["value"]
    assert found["now"]["between"] is found["now"]["between_sd"] is found["after"][0]["between_sd"] is None
    assert found["now"]["sd"] > found["after"][0]["sd"] > 0
    assert "SD of the mean of studies is expected to be" in list(in_sentences(found))[-1]


def small() -> dict:
    """The shipped experiment with one alternative, few draws, no refits."""
    raw = read_toml(find("experiments", "value_of_trial"))
    raw["sampler"] = {"draws": 1000, "cross_check": False}
    raw["search"]["replicates"] = 2000
    raw["sensitivity"] = {"changed": []}
    raw["value"] |= {"n": [60, 120, 240], "doses": ["5e7 cells/kg"]}
    return raw | {"alternatives": raw["alternatives"][:1]}


def test_a_run_says_and_shows_what_the_trial_is_worth(tmp_path, blank_figures, monkeypatch, capsys):
    path = tmp_path / "asked.toml"
    path.write_text(tomli_w.dumps(small()), encoding="utf-8")
    assert command(monkeypatch, "run", str(path), "--results", str(tmp_path / "r")) == 0
    out = capsys.readouterr().out
    (folder,) = (tmp_path / "r" / "asked").iterdir()
    answer = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
    size = gmfmsim.size(str(path))
    for ran, asked in zip((answer, *answer["alternatives"]), (size, *size["alternatives"]), strict=True):
        only = {name for name in asked["value"] if name != "after"}
        assert {name: ran["value"][name] for name in only} == {name: asked["value"][name] for name in only}
        assert all(f"{ran['label']}: {line}" in out for line in in_sentences(ran["value"]))
    found = answer["value"]
    assert [row["n_total"] for row in found["over_n"]] == sorted({60, 120, 240, answer["n_total"]} | {126})
    assert {row["dose"] for row in found["surface"]} == {5e7, 1e8}
    assert found["next_dose"] == 1e8
    assert answer["alternatives"][0]["value"]["largest"]["n_total"] == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count('id="worth"') == page.count("<h3>What the trial is worth</h3>") == 1
    assert "No trial pays" in page
    assert (folder / "figures" / "value.svg").exists()
    assert read_question(str(folder / "config.toml")).key == answer["key"]
    tables = worth_table(found), doses_table(found, [2e7, 1e8]), after_table(found)
    assert all(len(in_lines(table)) > 2 for table in tables)
    assert doses_table(found, [6e7, 1e8]).rows[0][0].warn == "not studied"


def test_power_says_what_so_many_children_are_worth_and_without_costs_the_most_they_may_cost(monkeypatch, capsys):
    line = "power --n 100 cord_blood_dose --set value.benefit=10000 --set value.reach=500"
    assert command(monkeypatch, *line.split()) == 0
    out = capsys.readouterr().out
    assert "A trial of 100 children (50 control, 50 cells) is worth" in out
    assert "it may cost no more, and no [cost] says what it does" in out
    assert command(monkeypatch, *line.split(), "--json") == 0
    found = json.loads(capsys.readouterr().out)["value"]
    assert found["at_answer"]["net_gain"] is found["at_answer"]["cost"] is None
    assert found["now"]["treat"]
    assert 0 < found["at_answer"]["evsi"] < found["evpi"]["own_effect"] < found["evpi"]["mean_of_studies"]


def test_plans_side_by_side_say_which_trial_is_worth_most():
    rows = committed("value_of_trial")["comparison"]["rows"]
    shown = compared_table({"rows": rows})
    assert shown.headings[-1] == "#worth most"
    assert [row[-1].text for row in shown.rows] == ["126 children", "no trial pays", "no trial pays"]
    assert shown.rows[0][-1].note == "net 2.73 million EUR"
    assert compared_table({"rows": [row | {"worth": None} for row in rows]}).headings[-1] == "#cost, months"


def test_what_the_benchmark_measures(monkeypatch):
    monkeypatch.setattr(measured, "shortest", lambda work, repeats: timeit.timeit(work, number=1))
    monkeypatch.setattr(measured, "TRIALS", 20_000)
    monkeypatch.setattr(measured, "SIZES", [20, 200])
    found = measured.worth()
    assert list(found) == ["hierarchical_refits_per_s", "averaged_refits_per_s", "evsi_surface_s"]
    assert all(figure > 0 for figure in found.values())


def test_the_committed_result_is_what_size_says_and_the_readme_prints():
    one_dose = gmfmsim.load("value_of_trial", {"value.doses": ["1e8 cells/kg"]})
    old, new = committed("value_of_trial"), gmfmsim.size(one_dose)
    for a, b in zip((old, *old["alternatives"]), (new, *new["alternatives"]), strict=True):
        assert a["n_total"] == b["n_total"]
        for name in ("largest", "at_answer"):
            assert a["value"][name]["n_total"] == b["value"][name]["n_total"]
            assert a["value"][name]["evsi"] == pytest.approx(b["value"][name]["evsi"], rel=1e-6)
    readme, found = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split()), old["value"]
    best, now, doses = found["largest"], found["now"], found["by_dose"]
    rows = {row["n_total"]: row for row in found["after"]}
    at, dear, cheap = found["at_answer"], *(row["value"] for row in old["alternatives"])
    assert dear["largest"]["n_total"] == cheap["largest"]["n_total"] == 0
    assert [row["largest"]["n_total"] for row in doses[:4]] == [0] * 4
    for words in (
        f"expected to gain {now['mean']:.2f} points there and pays above {now['border']:.2f}",
        f"with {percent(now['pays'])} probability",
        f"worth {found['evpi']['mean_of_studies'] / 1e6:.1f} million EUR to know the mean of studies",
        f"{best['n_total']} children gain most, {best['net_gain']['low'] / 1e6:.1f} million",
        f"the {at['n_total']} of 80 % assurance",
        f"{-at['net_gain']['low'] / 1e6:.1f} million less than they cost",
        f"from {now['sd']:.2f} to {rows[best['n_total']]['sd']:.2f} points",
    ):
        assert words in readme, words
