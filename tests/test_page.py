"""The page of a result: in what order it answers, what it folds away, and that every reader can read it."""

import re
import struct
from html.parser import HTMLParser

import pytest
from conftest import PLANS, ROOT, committed

from gmfmsim.compute.text import percent

PAGES = (*PLANS, "designs_compared")


class Outline(HTMLParser):
    """Headings by level, links within the page, ids, and how often each opens inside a fold."""

    def __init__(self):
        super().__init__()
        self.levels, self.links, self.ids, self.folds, self.open = [], [], [], [], 0

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.open += tag == "details"
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
            self.folds.append(self.open)
        if tag == "a" and attrs.get("href", "").startswith("#"):
            self.links.append(attrs["href"][1:])
        if "id" in attrs:
            self.ids.append(attrs["id"])

    def handle_endtag(self, tag):
        self.open -= tag == "details"


def answer_of(results, name) -> dict:
    """The answer of a small run; of the designs, which take longest, the committed one."""
    return committed(name) if name == "designs_compared" else results[name].answer


def page_of(results, name) -> str:
    answer = answer_of(results, name)
    there = ROOT / "results" / name / answer["key"] if name == "designs_compared" else results[name].folder
    return (there / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_contents_lead_somewhere_and_headings_stand_in_order(results, name):
    outline = Outline()
    outline.feed(page := page_of(results, name))
    assert {"answer", "curves", "details"} <= set(outline.links) <= set(outline.ids)
    assert outline.levels[0] == 1
    assert outline.levels.count(1) == 1
    assert all(b <= a + 1 for a, b in zip(outline.levels, outline.levels[1:], strict=False))
    assert outline.open == 0
    for first, second in (("<nav", 'class="answer"'), ('id="curves"', 'id="details"')):
        assert page.index(first) < page.index(second)
    assert len(page.encode()) < 1_500_000


@pytest.mark.parametrize("name", ["quickstart_one_mean", "individual_data", "designs_compared"])
def test_evidence_stands_once_and_folded(results, name):
    page, answer = page_of(results, name), answer_of(results, name)
    plans = [answer, *answer.get("alternatives", [])]
    different = {repr(plan["evidence"]["trials"]) for plan in plans}
    details = page[page.index('id="details"') :]
    assert "<dl" not in page[: page.index('id="details"')]
    for study in {row["study"] for row in answer["evidence"]["trials"]}:
        rows = sum(row["study"] == study for row in answer["evidence"]["trials"])
        assert details.count(f"<dt>{study}, ") <= rows * len(different)
        assert details.count(f"<dt>{study}, ") >= rows
    assert page.count("<summary>The evidence") == len(different)


def test_what_can_be_read_aloud_is_text(results):
    """Letters of a figure are text, with title and description; no outline of a letter stands in their place."""
    for name in ("quickstart_one_mean", "designs_compared"):
        page = page_of(results, name)
        figures = re.findall(r"<svg\b.*?</svg>", page, re.DOTALL)
        assert figures
        for svg in figures:
            opened = svg[: svg.index(">")]
            title, description = (re.search(rf'{word}="([^"]+)"', opened)[1] for word in ("labelledby", "describedby"))
            assert re.search(rf'<title id="{title}">[^<]{{10,}}</title>', svg)
            assert re.search(rf'<desc id="{description}">[^<]{{10,}}</desc>', svg)
            assert "<text" in svg
            assert "DejaVuSans-" not in svg
            assert "Verdana, sans-serif" in svg


def test_slides_are_wide_and_titled(results):
    folder = results["quickstart_one_mean"].folder / "figures"
    for name in ("curves", "tornado"):
        assert struct.unpack(">II", (folder / f"{name}.png").read_bytes()[16:24]) == (1920, 1080)
    assert not (folder / "forest.png").exists()  # a long figure is no slide


def test_limits_stand_with_the_children_that_each_would_ask_for(results):
    page, answer = page_of(results, "quickstart_one_mean"), results["quickstart_one_mean"].answer
    limits = {row["about"]: row for row in answer["limits"]}
    assert list(limits) == ["missing", "small studies", "readings", "mixed", "scales"]
    assert "NCT01929434 (300 children; registry record of 28 July 2020)" in limits["missing"]["words"]
    moved = {row["words"]: row["n_total"] for row in answer["sensitivity"]}
    for row in limits.values():
        assert row["under"]
        assert row["words"] in page.replace("&#39;", "'")
        for one in row["under"]:
            assert moved[one["words"]] == one["n_total"]
            said = "none" if one["n_total"] is None else one["n_total"]
            assert f"<strong>{said}</strong> {one['words']}" in page


def test_the_silent_trial_moves_n_as_the_experiment_about_it_says(results):
    """Two ways to the same number: a supposed result of [sensitivity], and one of [[evidence.what_if]]."""
    rows = {row["to"]: row for row in results["quickstart_one_mean"].answer["sensitivity"]}
    supposed = rows["RegNCT01929434: 0"]
    other = committed("unpublished_trials")["alternatives"][0]
    assert supposed["changed"] == "missing"
    assert supposed["n_total"] == pytest.approx(other["n_total"], rel=0.01)  # refits take few nodes


def test_false_claims_stand_in_red_beside_the_n_that_they_spoil(results):
    answer, page = answer_of(results, "designs_compared"), page_of(results, "designs_compared")
    top = page[: page.index('id="details"')]
    for plan in [answer, *answer["alternatives"]]:
        first = plan["analyses"][0]["analysis"]
        (worst,) = [row for row in plan["above_nominal"] if row["analysis"] == first]
        assert worst["rate"] == plan["largest_false_claim_rate"][first]
        assert worst["rate"] > worst["nominal"] + 3 * worst["mcse"]
        assert f'<span class="warn">up to {percent(worst["rate"])}</span>' in top
    worst = next(row for row in answer["above_nominal"] if row["analysis"] == answer["analyses"][0]["analysis"])
    assert f"claims one in {percent(worst['rate'])} of trials" in top[: top.index('id="compared"')]


def test_hostile_words_stay_words(results):
    page = page_of(results, "quickstart_one_mean")
    assert "<script" not in page
    assert "javascript:" not in page
    assert page.count("<svg") == page.count("</svg>")
