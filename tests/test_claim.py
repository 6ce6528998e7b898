"""What a share of improvers is worth: the experiment, its faults, its figures by independent sums, and its page."""

import copy
import json
import math
import re
import tomllib
from html import unescape

import numpy as np
import pytest
import tomli_w
import xarray as xr
from conftest import ROOT, committed
from scipy import integrate, stats

import gmfmsim
from gmfmsim.answer.claim_words import claim_sentences
from gmfmsim.compute.text import percent
from gmfmsim.faults import InputError
from gmfmsim.files.shelf import find
from gmfmsim.question.question import read_question
from gmfmsim.report.claim import counted_words, in_points
from gmfmsim.trial.presets import read_children, read_design
from gmfmsim.trial.untreated import untreated

NAME = "claim_of_80_percent"
SHIPPED = tomllib.loads(find("experiments", NAME).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def result(results):
    return results[NAME]


@pytest.fixture(scope="module")
def answer(result):
    return result.answer


def of(rows: list[dict], **wanted) -> dict:
    (found,) = (row for row in rows if all(row[k] == v for k, v in wanted.items()))
    return found


def primary(design: dict, rows: str = "false_claims") -> list[dict]:
    return [row for row in design[rows] if row["analysis"] == design["primary"]]


def test_untreated_preschool_children_improve(answer):
    """About 92 % gain something and about 76 % more than 4 points, over what volunteers gain."""
    first = answer["populations"][0]
    assert first["name"] == "preschool"
    assert of(first["improve"], margin=0)["all"] == pytest.approx(0.92, abs=0.005)
    assert of(first["improve"], margin=4)["all"] == pytest.approx(0.76, abs=0.006)


@pytest.mark.parametrize(("children", "margin"), [(10, 0), (50, 4), (100, 2)])
def test_the_chance_without_cells_by_another_sum(answer, children, margin):
    """Binomial tails integrated over the gain of volunteers by adaptive quadrature, over the law's own SDs."""
    law = untreated(read_children("preschool"), 12)
    row = of(answer["populations"][0]["chance"], children=children, margin=margin)
    least = math.ceil(0.8 * children - 1e-9)

    def chance(v: float) -> float:
        p = law.above(np.array([v - margin]))[:, 0]
        return float((law.chance * stats.binom.sf(least - 1, children, p)).sum())

    for end, gain in (("low", 1.4), ("mean", 3.1), ("high", 5.0)):
        assert row[end] == pytest.approx(chance(gain), abs=1e-6)
    density = stats.norm(3.1, 0.9).pdf
    expected = integrate.quad(lambda v: density(v) * chance(v), -3, 9, epsabs=1e-9)[0]
    assert row["all"] == pytest.approx(expected, abs=1e-6)


def test_more_children_make_the_share_certain_one_way_or_the_other(answer):
    """The chance tends to whether the share of untreated children is above 80 %, and falls as the margin rises: of
    children whose SD is nearly known."""
    for p in (p for p in answer["populations"] if p["name"] != "severe"):
        for end in ("low", "mean", "high"):
            share = {row["margin"]: row[end] for row in p["improve"]}
            many = {row["margin"]: row[end] for row in p["chance"] if row["children"] == 1000}
            for margin, s in share.items():
                if abs(s - 0.8) > 0.06:
                    assert abs(many[margin] - (s > 0.8)) < 0.03, (p["name"], margin, end)
            assert list(share.values()) == sorted(share.values(), reverse=True)
            assert list(many.values()) == sorted(many.values(), reverse=True)


def test_the_effect_that_the_claim_needs_gives_the_claim(answer):
    """The link between share and mean effect, back again."""
    for p in answer["populations"]:
        law = untreated(read_children(p["name"]), 12)
        for row in p["effect"]:
            for end, gain in (("low", 1.4), ("mean", 3.1), ("high", 5.0)):
                assert law.share(gain + row[end] - row["margin"]) == pytest.approx(0.8, abs=1e-6)


def test_the_claim_leaves_no_effect_possible(answer):
    """Whatever the number of children, where nobody says from which gain on a child counts; and it stays wide."""
    rows = [r for r in answer["given_the_claim"] if (r["population"], r["margin"]) == ("preschool", None)]
    assert [r["children"] for r in rows] == SHIPPED["claim"]["sizes"]
    widths = [r["high"] - r["low"] for r in rows]
    assert all(r["low"] < 0 < r["high"] for r in rows)
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] > 2 * 1.96 * math.hypot(0.9, 1) * 0.95  # of margin and volunteers, which no count narrows
    assert "no effect at all is among them" in answer["sentence"]


def test_false_claims_over_the_interval_of_volunteers(answer):
    """From about 2 % at the mean of what volunteers gain to about 91 % at its end; nominal with a control group."""
    single = of(answer["designs"], design="next_single_arm")
    by_gain = {row["gain"]: row for row in primary(single)}
    assert by_gain[3.1]["value"] == pytest.approx(0.02, abs=0.008)
    assert by_gain[5.0]["value"] == pytest.approx(0.91, abs=0.02)
    assert by_gain[1.4]["value"] < 0.001
    (controlled,) = (d for d in answer["designs"] if d["controlled"])
    for row in primary(controlled):
        assert row["value"] == pytest.approx(0.025, abs=4 * row["mcse"])
    assert single["n_total"] == controlled["n_total"] == sum(controlled["n_by_arm"].values()) == 160


def test_false_claims_of_one_arm_are_those_of_the_noncentral_t(answer):
    """One-sample t test of normal excess: integrated over the SD of a trial and over the children lost."""
    design = read_design("next_single_arm")
    response = design.children.response_sd.value
    z, weight = np.polynomial.hermite_e.hermegauss(21)
    seen = np.arange(120, 161)
    kept = stats.binom.pmf(seen, 160, 1 - design.dropout)

    def claims(beyond: float) -> float:
        total = 0.0
        for sd, w in zip(4.91 * np.exp(0.12 * z), weight / weight.sum(), strict=True):
            shift = beyond * np.sqrt(seen) / math.hypot(sd, response)
            total += w * (kept * stats.nct.sf(stats.t.ppf(0.975, seen - 1), seen - 1, shift)).sum()
        return total

    for row in primary(of(answer["designs"], design="next_single_arm")):
        # the end of the scale takes a tenth of a point from children near it
        ends = claims(row["gain"] - 3.1 - 0.2), claims(row["gain"] - 3.1)
        assert ends[0] - 4 * row["mcse"] - 1e-3 <= row["value"] <= ends[1] + 4 * row["mcse"] + 1e-3, row["gain"]


def test_every_report_stands_in_the_answer(answer):
    used = {(r["study"], r["event"], r["use"]): r for r in answer["reports"]}
    for key, r in used.items():
        assert (r["effect"] is None) == (r["use"] == "no"), key
        assert r["why"]
    assert used["Romodanov_fetal", "responder by form", "effect"]["low"] < 0
    placebo = used["Rah2017", "responder_parent_placebo", "without cells"]
    assert placebo["low"] > 0  # a period without cells would show an effect
    assert answer["together"]["low"] < 0.8 < answer["together"]["high"]
    assert sum(answer["together"]["children"]) == 47 + 20 + 40 + 100 + 54 + 25


def test_the_folder_holds_the_figures_of_the_answer(result, answer):
    with xr.open_dataset(result.folder / "claim.nc") as data:
        for p in answer["populations"]:
            for row in p["improve"]:
                at = data["improve"].sel(population=p["name"], margin=row["margin"])
                for gain in data["gain"].values.tolist():
                    assert at.sel(gain=gain).item() == pytest.approx(row[gain], abs=1e-6)
        assert data["false_claims"].shape == (3, 8)
    assert answer["sentences"] == claim_sentences(answer)
    again = read_question(str(result.folder / "config.toml"))
    assert again.key == answer["key"]


def test_the_page_says_what_the_answer_says(result, answer):
    page = unescape(result.report.read_text(encoding="utf-8"))
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    for sentence in answer["sentences"]:
        assert sentence.rstrip(".") in text
    for row in answer["populations"][0]["chance"]:
        assert percent(row["all"]) in text
    for r in answer["reports"]:
        assert counted_words(r) in text
        assert r["why"] in text
        assert r["effect"] is None or f"{in_points(r['effect'])} ({in_points(r['low'])} to" in text
    for d in answer["designs"]:
        for row in primary(d) + primary(d, "power"):
            assert percent(row["value"]) in text
    assert gmfmsim.DISCLAIMER in text
    assert len(re.findall("<svg", page)) == 3


def test_a_page_is_drawn_again_from_the_folder_alone(result):
    before = result.report.read_bytes()
    assert gmfmsim.draw(result.folder).read_bytes() == before


def test_the_committed_answer_is_that_of_the_shipped_experiment(answer):
    """Exact figures alike, simulated ones within their Monte Carlo errors."""
    old = committed(NAME)
    for part in ("populations", "given_the_claim", "reports", "together"):
        assert json.dumps(old[part]) == json.dumps(answer[part])
    for before, now in zip(old["designs"], answer["designs"], strict=True):
        for a, b in zip(primary(before), primary(now), strict=True):
            assert abs(a["value"] - b["value"]) <= 5 * math.hypot(a["mcse"], b["mcse"]) + 1e-4


def test_the_readme_says_the_committed_answer():
    readme = (ROOT / "README.md").read_text(encoding="utf-8").replace("\n", " ")
    answer = committed(NAME)
    first = answer["populations"][0]
    some, four = (of(first["improve"], margin=c)["all"] for c in (0, 4))
    assert f"{percent(some)} of preschool children gain something" in readme
    assert f"{percent(four)} more than 4 points" in readme
    chances = [percent(of(first["chance"], children=50, margin=c)["all"]) for c in (0, 4)]
    assert f"probabilities of {chances[0]} and {chances[1]}" in readme
    left = of(answer["given_the_claim"], population="preschool", children=50, margin=None)
    assert f"from {in_points(left['low'])} to {in_points(left['high'])} points, none at all among them" in readme
    single = {row["gain"]: percent(row["value"]) for row in primary(answer["designs"][0])}
    assert f"in {single[3.1]} of repetitions if volunteers gain what is cited on average, in {single[5.0]}" in readme
    assert f"results/{NAME}/{answer['key']}/report.html" in readme


def test_what_has_no_n_says_so(tmp_path):
    for ask in (gmfmsim.size, lambda source: gmfmsim.power(source, 100)):
        with pytest.raises(InputError, match="key claim: a claim about improvers has no n"):
            ask(NAME)
    assert len(gmfmsim.check(NAME)["checks"]) == len(read_question(NAME).asked.reports)


def changed(path, edit) -> str:
    config = copy.deepcopy(SHIPPED)
    edit(config["claim"])
    path = path / "claim.toml"
    path.write_text(tomli_w.dumps(config), encoding="utf-8")
    return str(path)


FAULTS = {
    "a share above 1": (lambda c: c.update(share=80.0), "key claim.share"),
    "no population": (lambda c: c.update(populations=[]), "key claim.populations"),
    "an unknown population": (lambda c: c.update(populations=["preschol"]), "nearest: preschool"),
    "children without curves": (lambda c: c.update(populations=["normal_change"]), "have no growth curves"),
    "a table that is no population": (lambda c: c.update(reported_in={"kind": "population"}), "key claim.reported_in"),
    "a population twice": (lambda c: c.update(populations=["registry"] * 2), "'registry' stands there twice"),
    "no population in the list": (lambda c: c.update(populations=[{}]), "key claim.populations.0"),
    "sizes that fall": (lambda c: c.update(sizes=[50, 10]), "numbers that rise"),
    "a control group": (lambda c: c.update(designs=["next_parallel"]), "has a control group"),
    "no control group": (lambda c: c.update(controlled="next_single_arm"), "has no control group"),
    "another claim": (lambda c: c.update(controlled="next_equivalence"), "claims equivalence"),
    "an unknown design": (lambda c: c.update(controlled="next_paralel"), "nearest: next_parallel"),
    "a faulty design": (
        lambda c: c.update(designs=[{"design": "next_single_arm", "colour": "blue"}]),
        "key claim.designs.0.colour",
    ),
    "ends in disorder": (lambda c: c["volunteers"].update(low=4.0), "low < mean < high"),
    "another prior": (
        lambda c: c["priors"].update(margin={"dist": "uniform", "lower": 0.0, "upper": 4.0}),
        "key claim.priors.margin.dist",
    ),
    "an unknown key": (lambda c: c.update(pouplations=["preschool"]), "unknown key"),
    "no tables": (lambda c: c.update(tables="nowhere"), "nowhere"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_faulty_claim_says_what_and_where(tmp_path, case):
    edit, said = FAULTS[case]
    with pytest.raises(InputError) as found:
        read_question(changed(tmp_path, edit))
    assert said in str(found.value)


def test_children_of_a_file_of_ones_own_go_with_the_result(tmp_path):
    own = tmp_path / "mine.toml"
    own.write_text('population = "preschool"\ntitle = "Mine"\n', encoding="utf-8")
    path = changed(tmp_path, lambda c: c.update(populations=["mine.toml"]))
    question = read_question(path)
    assert question.asked.populations[0].name == "Mine"
    kept = question.config["claim"]["populations"][0]
    assert kept["title"] == "Mine"
    config = tmp_path / "elsewhere"
    config.mkdir()
    (config / "config.toml").write_text(tomli_w.dumps(question.config), encoding="utf-8")
    assert read_question(str(config / "config.toml")).key == question.key


def test_the_key_hangs_on_all_that_is_said(tmp_path):
    keys = {read_question(NAME).key}
    for edit in (
        lambda c: c.update(share=0.7),
        lambda c: c.update(populations=["registry"]),
        lambda c: c.update(n_total=100),
        lambda c: c["priors"]["margin"].update(sd=2.0),
        lambda c: c.update(controlled="next_two_to_one"),
    ):
        keys.add(read_question(changed(tmp_path, edit)).key)
    assert len(keys) == 6
