"""What a trial costs and what a budget buys: bills by hand, prices with their source, answers of every door."""

import json
import math

import pytest
import tomli_w
from conftest import ROOT, committed
from damage import VALID, command
from design_cases import two_arms
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import gmfmsim
from gmfmsim.compute.text import money
from gmfmsim.evidence.prices import price_scenarios
from gmfmsim.evidence.read import read_tables
from gmfmsim.faults import InputError
from gmfmsim.files.shelf import find
from gmfmsim.files.toml import read_toml
from gmfmsim.question.question import read_question
from gmfmsim.trial.cost import OF_RECRUITMENT, PAID_FOR, Cost, affordable, bill, total
from gmfmsim.trial.presets import read_design
from gmfmsim.trial.recruitment import Recruitment, duration

RECRUITED = Recruitment(centres=4, rate={"mean": 2.0, "sd": 0.5}, ramp=3, screening_failures=0.2)
KNOWN = {"search.planning_value": 3.0, "trial.sd_change": 5.5, "trial.dropout": 0.0}
POWER = {"search.target": {"metric": "power", "value": 0.8}}
"""A gain of 3 points at an SD of 5.5: 54 children an arm by the t test."""


def test_known_a_bill_by_hand():
    """40 children, 1:3, two visits and a baseline: 50 screened, 30 with cells by two infusions each, 10 without."""
    design = two_arms(ratio=3).model_copy(update={"visits": [6, 12]})
    amounts = {"screened": 10, "treated": 1000, "control": 100, "visit": 7, "infusion": 50, "centre": 300, "fixed": 5}
    items = bill(design, 10, Cost.model_validate(amounts | {"infusions": 2}), RECRUITED)
    counts = {"screened": 50, "treated": 30, "control": 10, "visit": 120, "infusion": 60, "centre": 4, "fixed": 1}
    assert {item.name: item.count for item in items} == counts
    assert total(items).low == total(items).high == 500 + 30_000 + 1000 + 840 + 3000 + 1200 + 5


def test_known_a_month_costs_as_many_as_the_trial_lasts():
    design = two_arms()
    (item,) = bill(design, 60, Cost(month=1000), RECRUITED)
    assert item.count == duration(design, 60, RECRUITED).median
    assert item.whole.low == pytest.approx(1000 * item.count)


def test_known_a_range_is_added_up_end_by_end():
    cost = Cost.model_validate({"treated": {"low": 100, "high": 300}, "fixed": 50})
    whole = total(bill(two_arms(), 10, cost))
    assert (whole.low, whole.high) == (1050, 3050)


@pytest.mark.parametrize(("name", "treated"), [("next_crossover", 80), ("next_parallel", 40), ("next_factorial", 80)])
def test_who_gets_cells_in_the_end(name, treated):
    """In a crossover every child does, of four factorial arms two."""
    items = bill(read_design(name), 40, Cost(treated=1, control=1))
    sizes = read_design(name).sizes(40)
    assert {item.name: item.count for item in items} == {"treated": treated, "control": sum(sizes.values()) - treated}


def test_children_lost_in_a_run_in_are_screened_without_recruitment_too():
    (item,) = bill(read_design("next_run_in"), 33, Cost(screened=1))
    assert item.count == 80  # 66 / 0.825


AMOUNTS = st.floats(0, 1e6) | st.builds(
    lambda low, more: {"low": low, "high": low + more}, st.floats(0, 1e6), st.floats(0, 1e6)
)


@given(amounts=st.dictionaries(st.sampled_from([*PAID_FOR]), AMOUNTS, min_size=1), n=st.integers(2, 2000))
def test_more_children_never_cost_less(amounts, n):
    cost = Cost.model_validate(amounts)
    here, more = (total(bill(two_arms(), k, cost, RECRUITED)) for k in (n, n + 1))
    assert 0 <= here.low <= more.low
    assert here.low <= here.high <= more.high


@given(budget=st.floats(1, 1e8), treated=st.floats(1, 1e5), month=st.floats(0, 1e5), ratio=st.sampled_from([1, 2, 3.5]))
def test_a_budget_pays_the_most_children_and_not_one_more(budget, treated, month, ratio):
    design, cost = two_arms(ratio=ratio), Cost(budget=budget, treated=treated, month=month)
    n = affordable(design, cost, RECRUITED, 5000)

    def price(k: int) -> float:
        return total(bill(design, k, cost, RECRUITED)).high

    assert price(design.fewest) > budget if n is None else price(n) <= budget
    assert n in (None, 5000) or price(n + 1) > budget


def test_a_budget_comes_to_whole_clusters():
    design, cost = read_design("next_cluster"), Cost(treated=100, budget=10_000)
    n = affordable(design, cost, None, 4000)
    assert n % design.step == 0
    assert 100 * n <= 10_000 < 100 * (n + design.step)


def test_every_price_is_the_one_that_its_claim_states():
    """The figures of the clinic page stand in two tables, once."""
    claims = {row["claim_id"]: row for row in read_tables().rows["claims"]}
    assert price_scenarios()
    for price in price_scenarios().values():
        claim = claims[price["claim_id"]]
        same = ("low", "high", "source_url")
        assert [price[name] for name in same] == [claim[name] for name in same]
        assert (price["currency"], price["source_location"]) == (claim["unit"], claim["quantity"])
        assert price["kind"] == "list price of a clinic"


def test_a_scenario_stands_for_its_amount_and_its_currency():
    cost = Cost.model_validate({"scenario": "clinic_list_price_usa", "visit": 300})
    assert (cost.currency, cost.treated.low, cost.treated.high) == ("USD", 15_000, 40_000)
    assert Cost.model_validate(cost.model_dump(mode="json")) == cost
    plain = {"treated": {"low": 15_000, "high": 40_000}, "currency": "USD", "visit": 300}
    assert Cost.model_validate(plain).amounts == cost.amounts


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "at least one amount"),
        ({"budget": 1000.0}, "at least one amount"),
        ({"treated": -1}, "a number from 0 to 1e"),
        ({"treated": math.nan}, "a number from 0 to 1e"),
        ({"treated": math.inf}, "a number from 0 to 1e"),
        ({"treated": True}, "a number from 0 to 1e"),
        ({"treated": "20000"}, "a number from 0 to 1e"),
        ({"treated": [1, 2]}, "a number from 0 to 1e"),
        ({"treated": {"low": 2, "high": 1}}, "low up to high"),
        ({"treated": {"low": -2, "high": 1}}, "greater than or equal to 0"),
        ({"treated": {"low": 2}}, "required"),
        ({"treated": 1, "currency": "<b>EUR</b>"}, "pattern"),
        ({"treated": 1, "currency": "euro"}, "pattern"),
        ({"treated": 1, "budget": 0}, "greater than 0"),
        ({"treated": 1, "budget": math.nan}, "finite"),
        ({"treated": 1, "infusions": 0}, "greater than or equal to 1"),
        ({"scenario": "clinic_list_price_uas"}, "nearest: clinic_list_price_usa"),
        ({"scenario": 3}, "string"),
        ({"scenario": "clinic_list_price_usa", "treated": 5}, "without treated"),
        ({"scenario": "clinic_list_price_usa", "treated": None, "visit": 1}, "without treated"),
        ({"scenario": "clinic_list_price_usa", "currency": "EUR"}, "amounts in USD"),
    ],
)
def test_what_is_no_cost_is_refused(keys, said):
    with pytest.raises(ValidationError, match=said):
        Cost.model_validate(keys)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("cost.treated=-5",), "key cost.treated: -5 is not allowed"),
        (("cost.treated=nan",), "key cost.treated: nan is not allowed"),
        (("cost.currency=<script>", "cost.fixed=1"), "key cost.currency"),
        (("cost.centre=5",), "[cost] centre with [recruitment]"),
        (("cost.centres=5",), "nearest: centre"),
        (("cost.scenario=nowhere",), "clinic_list_price_europe"),
        (("recruitment.centres=6",), "key recruitment.rate: is missing"),
        (("recruitment.centres=6", "recruitment.rate=0"), "key recruitment.rate: 0 is not allowed"),
        (("recruitment.centres=6", "recruitment.rate={ mean = 1, low = 2, high = 3 }"), "low < mean < high"),
    ],
)
def test_a_fault_is_told_where_it_is(monkeypatch, capsys, words, said):
    assert command(monkeypatch, "check", "quickstart_one_mean", *(w for one in words for w in ("--set", one))) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert out == ""
    assert "Traceback" not in err


def test_without_the_sections_nothing_changes():
    """Keys of the experiments that were there before, and what is said of them."""
    plain = read_question("review_plug_in")
    assert all({"cost", "recruitment"}.isdisjoint(plan) for plan in plain.asked.identity)
    assert (ROOT / "results" / "review_plug_in" / plain.key).is_dir()
    assert read_question("review_plug_in", {"cost.fixed": 1}).key != plain.key
    found = gmfmsim.size("review_plug_in")
    assert {"cost", "duration", "compared", "resources_in_words"}.isdisjoint(found)


def known(**more) -> dict:
    """The quick start's plan of a known gain, with further keys."""
    return KNOWN | POWER | {key.replace("__", "."): value for key, value in more.items()}


def test_reference_size_says_cost_and_duration():
    more = {"cost__treated": 20_000.0, "cost__visit": 100.0, "recruitment__centres": 6, "recruitment__rate": 1.5}
    found = gmfmsim.size(gmfmsim.load("quickstart_one_mean", known(**more)))
    assert found["n_total"] == 108
    assert found["cost"]["total"] == {"low": 54 * 20_000 + 216 * 100, "high": 54 * 20_000 + 216 * 100}
    months = found["duration"]["months"]
    assert months["median"] == pytest.approx(12 + 108 / 9, rel=0.01)
    assert months["low"] < months["median"] < months["high"]
    assert months["probability"] == 0.95
    assert found["resources_in_words"] == ["About 1.1 million EUR; 24 months (22 to 26 in 95 %) to the last visit."]


def test_one_line_asks_for_money_and_time(monkeypatch, capsys):
    line = "size quickstart_one_mean --effect 3 --sd 5.5 --dropout 0 --set cost.scenario=clinic_list_price_europe "
    line += "--set recruitment.centres=6 --set recruitment.rate=1.5"
    assert command(monkeypatch, *line.split()) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[1].strip() == (
        "0.648 to 1.89 million EUR (children with cells at the list price of a clinic: price of treatment, Europe); "
        "24 months (22 to 26 in 95 %) to the last visit."
    )
    assert command(monkeypatch, *line.split(), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["cost"]["scenario"]["source_url"].startswith("Swiss Medica web page")
    assert found["cost"]["total"] == {"low": 54 * 12_000, "high": 54 * 35_000}


def test_power_says_what_so_many_children_cost():
    found = gmfmsim.power(gmfmsim.load("quickstart_one_mean", known(cost__treated=10.0, cost__budget=305.0)), 60)
    assert found["cost"]["total"]["high"] == 300
    assert found["cost"]["budget"]["n_total"] == 60
    assert found["cost"]["budget"]["power"] == pytest.approx(found["power"], abs=1e-9)
    assert found["cost"]["budget"]["assurance"] == pytest.approx(found["assurance"], abs=1e-9)


def test_where_no_number_reaches_the_target_nothing_is_said_to_cost():
    changes = {"search.target": {"metric": "assurance", "value": 0.99}, "cost.fixed": 5.0, "cost.budget": 1.0}
    changes |= {"recruitment.centres": 2, "recruitment.rate": 1.0}
    found = gmfmsim.size(gmfmsim.load("quickstart_one_mean", changes))
    assert found["n_total"] is found["cost"]["total"] is found["duration"]["months"] is None
    assert found["duration"]["screened"] is None
    assert found["cost"]["items"] == []
    assert found["cost"]["budget"]["n_total"] is found["cost"]["budget"]["assurance"] is None
    first, second = found["resources_in_words"]
    assert first == "No cost and no duration: no number of children is known to reach the target."
    assert second == "1 EUR pay no trial."


def several(**cost) -> dict:
    """Two plans of a known gain: 1:1 and 2:1, cells dear."""
    raw = read_toml(find("experiments", "quickstart_one_mean"))
    raw["trial"] |= {"sd_change": 5.5, "dropout": 0.0}
    raw["search"] |= {"planning_value": 3.0} | {"target": {"metric": "power", "value": 0.8}}
    raw["cost"] = {"treated": 1000, "budget": 30_000} | cost
    return raw | {"label": "1:1", "alternatives": [{"label": "2:1", "trial": {"ratio": 2}}]}


def test_the_cheapest_plan_and_the_best_for_a_budget():
    """Where only cells cost, 1:1 is cheaper and 30 pairs see more; where only controls do, 2:1 is and does."""
    found = gmfmsim.size(several())
    one = {"label": "1:1", "total": {"low": 54_000, "high": 54_000}, "false_claims": None}
    assert found["compared"]["cheapest"] == found["compared"]["cheapest_at_level"] == one
    assert found["compared"]["best_for_budget"]["label"] == "1:1"
    other = gmfmsim.size(several(treated=0, control=1000))
    assert other["compared"]["cheapest"]["label"] == other["compared"]["best_for_budget"]["label"] == "2:1"
    paid = other["alternatives"][0]["cost"]["budget"]
    assert paid["n_by_arm"] == {"control": 30, "cells": 60}
    assert other["compared"]["best_for_budget"]["power"] == paid["power"] > other["cost"]["budget"]["power"]


def test_currencies_and_budgets_that_differ_are_not_compared():
    raw = several()
    raw["alternatives"][0]["cost"] = {"currency": "USD"}
    found = gmfmsim.size(raw)
    nothing = dict.fromkeys(("currency", "cheapest", "cheapest_at_level", "best_for_budget"))
    assert found["compared"] == nothing
    raw["alternatives"][0]["cost"] = {"budget": 10_000}
    found = gmfmsim.size(raw)
    assert found["compared"]["cheapest"]["label"] == "1:1"
    assert found["compared"]["best_for_budget"] is None


PUBLISHED = """
question = "How many?"
label = "even"
seed = 5
[evidence]
pooled = { meta_id = "Eggenberger2019", measure = "SMD" }
[trial]
month = 12
arms = [{ name = "control", dose = "0 cells/kg" }, { name = "cells", dose = "5e7 cells/kg" }]
sd_change = { dist = "fixed", value = 1 }
dropout = 0.1
[search]
target = { metric = "assurance", value = 0.7 }
planning_value = 0.95
replicates = 10_000
[sensitivity]
changed = []
[recruitment]
centres = 3
rate = { mean = 2, low = 1, high = 4 }
note = "<i>assumed</i>"
[cost]
scenario = "clinic_list_price_serbia"
month = 1000
budget = 500_000
source = "<b>nobody</b>"
[[alternatives]]
label = "two to one"
trial = { ratio = 2 }
"""


def test_a_run_says_and_shows_money_and_time(tmp_path, blank_figures, monkeypatch, capsys):
    (tmp_path / "paid.toml").write_text(PUBLISHED, encoding="utf-8")
    assert command(monkeypatch, "run", str(tmp_path / "paid.toml"), "--results", str(tmp_path / "r")) == 0
    out = capsys.readouterr().out
    (folder,) = (tmp_path / "r" / "paid").iterdir()
    answer = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
    size = gmfmsim.size(str(tmp_path / "paid.toml"))
    for part in ("cost", "duration"):
        over = answer[part].pop("over_n")
        assert answer[part] == size[part]
        here = next(row for row in over if row["n_total"] == answer["n_total"])
        assert here["high"] == (answer["cost"]["total"] if part == "cost" else answer["duration"]["months"])["high"]
    assert answer["compared"] == size["compared"]
    for row in (answer, *answer["alternatives"]):
        assert all(f"{row['label']}: {line}" in out for line in row["resources_in_words"])
    assert f"The cheapest plan that reaches its target: {answer['compared']['cheapest']['label']}, " in out
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count('id="money"') == page.count("<h3>Money and time</h3>") == 1  # the first plan's, the other's
    assert "&lt;b&gt;nobody&lt;/b&gt;" in page
    assert "<b>nobody" not in page
    assert "list price of a clinic: price of treatment, Serbia, this clinic; Swiss Medica web page" in page
    again = read_question(str(folder / "config.toml"))
    assert again.key == answer["key"]
    assert again.plans[0].plan.cost == read_question(str(tmp_path / "paid.toml")).plans[0].plan.cost


def test_an_alternative_has_prices_of_its_own(tmp_path):
    raw = read_toml(find("experiments", "cost_and_time"))
    raw["alternatives"] = [{"label": "Serbia", "cost": {"scenario": "clinic_list_price_serbia", "budget": 1_000_000}}]
    (tmp_path / "own.toml").write_text(tomli_w.dumps(raw), encoding="utf-8")
    first, other = (prepared.plan.cost for prepared in read_question(str(tmp_path / "own.toml")).plans)
    assert (first.treated.high, other.treated.high) == (35_000, 19_000)
    assert (other.visit, other.budget) == (first.visit, 1_000_000)


def test_the_shipped_experiment_says_what_is_assumed():
    for prepared in read_question("cost_and_time").plans:
        plan = prepared.plan
        assert "Assumed" in plan.cost.note
        assert "Assumed" in plan.recruitment.note
        assert set(OF_RECRUITMENT) <= plan.cost.amounts.keys()
        assert plan.cost.scenario in price_scenarios()


def test_the_sections_of_the_template_are_valid_once_their_marks_are_out(tmp_path):
    gmfmsim.new_evidence(tmp_path / "mine")
    path = tmp_path / "mine" / "trial.toml"
    head, _, sections = path.read_text(encoding="utf-8").partition("\n# [recruitment]")
    path.write_text(head + f"\n# [recruitment]{sections}".replace("\n# ", "\n"), encoding="utf-8")
    plan = read_question(str(path)).plans[0].plan
    assert plan.recruitment.rate.shape > 1
    assert {"treated", "visit"} == plan.cost.amounts.keys()
    assert plan.value.of(plan.cost).border == 2.0


def test_prices_are_shown_with_their_source(monkeypatch, capsys):
    assert command(monkeypatch, "show", "prices") == 0
    out = capsys.readouterr().out
    assert all(name in out for name in price_scenarios())
    assert "kind: list price of a clinic" in out


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0, 0, "about 0 EUR"),
        (4_116_000, 4_116_000, "about 4.12 million EUR"),
        (3_999_600, 4_000_400, "about 4 million EUR"),
        (873_400, 951_000, "873,000 to 951,000 EUR"),
        (123_456_789, 123_456_789, "about 123 million EUR"),
        (1_234_567_890, 1_234_567_890, "about 1,230 million EUR"),
        (999_999, 999_999, "about 1,000,000 EUR"),
        (12.3456, 12.3456, "about 12.3 EUR"),
    ],
)
def test_money_is_written_with_three_digits(low, high, words):
    assert money(low, high, "EUR") == words


def test_a_cost_is_no_part_of_past_trials(tmp_path):
    past = VALID.split("[trial]")[0] + "[past]\neffect = 1.42\ndesigns = ['sun2017']\n[cost]\nfixed = 1\n"
    (tmp_path / "past.toml").write_text(past, encoding="utf-8")
    with pytest.raises(InputError, match="key cost: unknown key"):
        read_question(str(tmp_path / "past.toml"))


def test_the_committed_result_is_what_size_says():
    old, new = committed("cost_and_time"), gmfmsim.size("cost_and_time")
    for a, b in zip((old, *old["alternatives"]), (new, *new["alternatives"]), strict=True):
        assert (a["n_total"], a["resources_in_words"]) == (b["n_total"], b["resources_in_words"])
    assert old["compared"] == new["compared"]
    months, total = old["duration"]["months"], old["cost"]["total"]
    said = "about {median:.0f} months to the last visit ({low:.0f} to {high:.0f})".format(**months)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"{said} and {total['low'] / 1e6:.2f} to {total['high'] / 1e6:.2f} million EUR" in readme
