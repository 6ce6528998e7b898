"""The sample-size section of a protocol: every item of DELTA2, the same words in three formats, text that stays so."""

import copy
import io
import json
import re
import zipfile
from html.parser import HTMLParser

import docx
import pytest
from conftest import PLANS, small
from damage import VALID, command
from docx.table import Table
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import gmfmsim
from gmfmsim import DISCLAIMER, __version__
from gmfmsim.compute.text import percent
from gmfmsim.faults import InputError
from gmfmsim.files.shelf import find, names
from gmfmsim.files.toml import read_toml
from gmfmsim.question.question import read_question, read_question_or_design
from gmfmsim.report.protocol.blocks import bullets, grid, heading, paragraph
from gmfmsim.report.protocol.document import Document
from gmfmsim.report.protocol.references import METHODS
from gmfmsim.report.protocol.section import section

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a | b |---| c",
    "**bold** _em_ `code` ~~gone~~",
    "[here](javascript:alert(1)) ![x](http://x.example/y.png) <http://x.example>",
    "http://x.example www.x.example a@x.example",
    "$x^2$ \\(x\\) \\[y\\] &lt;b&gt; &#60;",
    "=HYPERLINK(1) +1 -1 @SUM(A1)",
    "# heading",
    "1. one",
    "---",
    "line\n\n# new | line\r\n\t> quote",
    "\u202eturned\u202c \u2066apart\u2069 \x00\x07\x1b[31m \ufffe",
    "{{ 7 * 7 }} {% raw %}",
)


# readers of the three formats, none of which is ours


class _Texts(HTMLParser):
    """The texts of a page by element, and its tags."""

    OF_TEXT = ("h1", "h2", "h3", "p", "li", "th", "td")

    def __init__(self):
        super().__init__()
        self.texts, self.tags, self.open = [], set(), None

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag in self.OF_TEXT:
            self.texts.append("")
            self.open = tag

    def handle_endtag(self, tag):
        self.open = None if tag == self.open else self.open

    def handle_data(self, data):
        if self.open:
            self.texts[-1] += data


def from_html(written: bytes) -> list[str]:
    reader = _Texts()
    reader.feed(written.decode())
    plain = {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "h1",
        "h2",
        "p",
        "ul",
        "li",
        "div",
        "table",
        "tr",
        "th",
        "td",
    }
    assert reader.tags <= plain
    return reader.texts


def from_markdown(written: bytes) -> list[str]:
    """As CommonMark with the tables and bare links of GitHub."""
    texts = []
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    for token in reader.parse(written.decode()):
        assert token.type not in ("html_block", "code_block", "fence", "hr", "blockquote_open", "ordered_list_open")
        if token.type == "inline":
            assert {child.type for child in token.children} <= {"text", "text_special"}
            texts.append(token.content and "".join(child.content for child in token.children))
    return texts


def from_word(written: bytes) -> list[str]:
    file, texts = docx.Document(io.BytesIO(written)), []
    for part in file.iter_inner_content():
        texts += [c.text for row in part.rows for c in row.cells] if isinstance(part, Table) else [part.text]
    return texts


READERS = {"html": from_html, "md": from_markdown, "docx": from_word}


def said(texts: list[str]) -> list[str]:
    """Texts without empty ones: a blank stands after a table in Word, and a cell may have none."""
    return [text for text in texts if text]


def item(document: Document, name: str) -> str:
    """What the table of items says."""
    texts = document.texts
    return texts[texts.index(name) + 1]


@pytest.fixture(scope="module")
def answer(results):
    """The small one-mean quick start, with what moves its n."""
    return results["quickstart_one_mean"].answer


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """A plan whose n is simulated, of unequal arms."""
    changes = {"trial.ratio": 2.0, "analysis.method": "wilcoxon", "search.replicates": 1000, "sampler.draws": 250}
    path = tmp_path_factory.mktemp("simulated") / "valid.toml"
    path.write_text(VALID, encoding="utf-8")
    return gmfmsim.protocol(path, changes | {"search.planning_value_source": "An individual-data estimate of 2025"})


# DELTA2


def test_every_item_of_delta2_is_in_the_text(answer):
    """From the figures of the answer: Cook 2018, items of a superiority question with a continuous outcome."""
    text, trial, facts = str(section(answer)), answer["trial"], answer["protocol"]
    sd, value = trial["sd_of_change"]["median"], answer["planning_value"]
    low, high = (next(e for e in answer["effects"] if e["kind"] == "new_study")[end] for end in ("low", "high"))
    wanted = {
        "primary outcome": f"| primary outcome | GMFM-66 at month {trial['month']:g} |",
        "significance level": f"two-sided {facts['alpha']:g}",
        "target": f"{percent(answer['target']['value'])} {answer['target']['metric']}",
        "power": percent(answer["power"]),
        "assurance": percent(answer["assurance"]),
        "target difference": f"95 % {low:.2f} to {high:.2f} {answer['unit']}",
        "planning value": f"{value:g} {answer['unit']}",
        "its source": facts["estimates"][0]["words"],
        "SD": trial["sd_of_change"]["words"],
        "SD and its source": next(r["source"] for r in facts["sources"] if r["key"] == "children.excess_sd"),
        "standardised": f"{value / sd:.2f} SD",
        "allocation": "1 : 1 (control : cells)",
        "n": f"| children randomised | {answer['n_total']} |",
        "n by arm": ", ".join(f"{n} {arm}" for arm, n in answer["n_by_arm"].items()),
        "drop-out": f"| drop-out | {percent(trial['dropout'])} |",
        "children seen": f"{answer['n_total'] * (1 - trial['dropout']):.0f} are expected at the endpoint",
        "analysis": "The primary analysis is a t test of the change to month 12.",
        "method": METHODS["O'Hagan 2005"],
        "law": METHODS["Owen 1968"],
        "DELTA2": METHODS["Cook 2018"],
        "software": f"gmfmsim {__version__}, {answer['experiment']}/{answer['key']}",
        "realistic or important": "a difference that the evidence makes realistic",
        "evidence": facts["evidence"],
        "missing trial": "NCT01929434 (300 children",
        "small studies": f"z {answer['evidence']['small_study']['z']:.2f}",
        "disclaimer": DISCLAIMER,
    }
    wanted |= {name: f"{name}: {citation}" for name, citation in facts["citations"].items()}
    assert [what for what, words in wanted.items() if words.lower() not in text.lower()] == []


def test_the_range_of_n_is_that_of_every_kind_of_change(answer):
    text = str(section(answer))
    kinds = {row["changed"] for row in answer["sensitivity"]}
    assert len(kinds) > 8
    for kind in kinds:
        reached = [row["n_total"] or float("inf") for row in answer["sensitivity"] if row["changed"] == kind]
        for end in (min(reached), max(reached)):
            assert f"| {end if end < float('inf') else 'none'} (" in text
    readings = [row["n_total"] for row in answer["sensitivity"] if row["changed"] == "reading"]
    line = next(line for line in text.splitlines() if "cannot be right as printed" in line)
    assert all(str(end) in line for end in (min(readings), max(readings)))


def test_what_is_simulated_says_its_interval_and_what_that_is(simulated):
    text = str(simulated)
    total = int(item(simulated, "children randomised"))
    low, high = map(int, re.search(r"move it within (\d+) to (\d+) children", text).groups())
    assert low <= total <= high
    assert "not how uncertain the number is" in text
    assert METHODS["Morris 2019"] in text
    assert METHODS["Owen 1968"] not in text
    assert "The allocation is unequal" in text
    assert item(simulated, "allocation ratio") == "1 : 2 (control : cells)"
    assert "Its source: An individual-data estimate of 2025." in text
    assert "MCSE" in item(simulated, "assurance in a new study")


@pytest.mark.parametrize("why", ["plateau", "limit", "undecided", "time"])
def test_without_a_number_none_is_printed(answer, why):
    none = {"n_total": None, "n_by_arm": None, "n_per_arm": None, "status": "unreachable", "why": why}
    facts = answer["protocol"]
    passages = {k: re.sub(r", \d+ children", "", v) for k, v in facts["passages"].items()}
    document = section(answer | none | {"protocol": facts | {"passages": passages}})
    text = str(document)
    assert "states no sample size" in text
    assert item(document, "children randomised").startswith("none stated: ")
    assert str(answer["n_total"]) not in text
    assert "children expected at the endpoint" not in text


def test_a_target_out_of_reach_states_no_number_from_the_experiment(tmp_path):
    path = tmp_path / "valid.toml"
    path.write_text(VALID, encoding="utf-8")
    document = gmfmsim.protocol(path, {"search.target.value": 0.999})
    assert "states no sample size" in str(document)
    assert not re.search(r"\d+ children \(|randomised \d+ ", str(document))
    arms = next(text for text in document.texts if text.startswith("Children have normal scores"))
    assert "control (no cells) and cells (5e7 cells/kg)" in arms


# formats


@pytest.mark.parametrize("form", READERS)
def test_every_format_holds_the_same_words(answer, simulated, form):
    for document in (section(answer), simulated):
        assert said(READERS[form](document.written(form))) == said(document.texts)


def test_a_part_of_a_page_begins_at_its_level(answer):
    part = section(answer).fragment(3)
    assert re.findall(r"<h(\d)>", part)[:3] == ["3", "4", "4"]
    assert said(from_html(part.replace("h3>", "h1>").replace("h4>", "h2>").encode())) == said(section(answer).texts)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("form", READERS)
def test_hostile_text_stays_text(form, text):
    blocks = (
        heading(1, text),
        paragraph(text, text),
        bullets([text, "x"]),
        grid(["a", "b"], [[text, "1"], ["2", text]]),
    )
    document = Document(blocks, f"{text[:5].strip()}/key".replace("\n", " "))
    assert said(READERS[form](document.written(form))) == said(document.texts)
    assert not set(map(ord, str(document))) & {0, 7, 0x1B, 0x202E, 0x2066, 0xFFFE}


@example("#")
@example("x ## ")
@given(st.text(min_size=1, max_size=60))
def test_any_text_stays_text(text):
    blocks = (heading(1, f"a {text}"), paragraph(text), bullets([f"b{text}"]), grid(["c"], [[f"d {text}"]]))
    document = Document(blocks, "x/y")
    for form in ("html", "md"):
        found = said(READERS[form](document.written(form)))
        assert [t.split() for t in found] == [t.split() for t in said(document.texts)]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_labels_and_sources_stay_text(answer, text):
    """Whatever a user may name: plan, arms, warnings, sources, citations."""
    hostile = copy.deepcopy(answer)
    hostile |= {"label": text, "warnings": [text], "n_by_arm": {text: 1, "cells": 2}}
    hostile["evidence"]["notes"] = [text]
    hostile["sensitivity"][0]["words"] = text
    hostile["protocol"]["sources"][0] |= {"source": text, "value": text}
    hostile["protocol"]["citations"] |= {"x": text}
    hostile["protocol"]["passages"]["arms"] = text
    hostile["protocol"]["planning_value_source"] = text
    document = section(hostile | {"alternatives": [hostile | {"slug": "x"}]})
    for form in ("html", "md"):
        assert said(READERS[form](document.written(form))) == said(document.texts)


def test_word_says_no_time_and_no_person_and_has_no_fields(answer):
    written = section(answer).written("docx")
    assert written == section(answer).written("docx")
    with zipfile.ZipFile(io.BytesIO(written)) as file:
        assert {part.date_time for part in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        body, core = (file.read(name).decode() for name in ("word/document.xml", "docProps/core.xml"))
    assert not re.search(r"w:fld|w:instrText|w:hyperlink|w:object", body)
    assert not re.search(r"created|modified>|python-docx", core)
    assert f"{answer['experiment']}/{answer['key']}" in core
    assert body.count("w:tblHeader") == body.count("<w:tbl>") > 2


# doors


def test_a_folder_and_its_experiment_have_the_same_number(results, tmp_path):
    result = results["quickstart_one_mean"]
    drawn = gmfmsim.protocol(result.folder)
    assert drawn == gmfmsim.protocol(result) == section(result.answer)
    computed = gmfmsim.protocol(small("quickstart_one_mean", tmp_path))
    names_of = drawn.texts[drawn.texts.index("value") + 1 : drawn.texts.index("Primary outcome")][::2]
    assert {name: item(drawn, name) for name in names_of} == {name: item(computed, name) for name in names_of}
    assert "a run computes" in str(computed)
    assert "a run computes" not in str(drawn)


@pytest.mark.parametrize("name", PLANS)
def test_every_shipped_plan_has_its_text(results, name):
    answer = results[name].answer
    for i, plan in enumerate([answer, *answer.get("alternatives", [])]):
        document = section(answer, i)
        expected = "none stated" if plan["n_total"] is None else str(plan["n_total"])
        assert item(document, "children randomised").startswith(expected)
        assert said(from_markdown(document.written("md"))) == said(document.texts)
        others = [p["label"] for p in [answer, *answer.get("alternatives", [])] if p is not plan]
        assert all(label in document.texts for label in others)


@pytest.mark.parametrize("name", ["dose_and_allocation", "next_two_to_one"])
def test_every_other_kind_of_name_has_its_text(name):
    few = {
        "search.replicates": 1000,
        "search.target.value": 0.5,
        "sampler.draws": 250,
        "evidence.readings": "as_tabled",
    }
    document = gmfmsim.protocol(name, few)
    assert int(item(document, "children randomised")) > 10
    assert said(from_markdown(document.written("md"))) == said(document.texts)


@pytest.mark.parametrize("name", ["past_trials", "novak2016"])
def test_what_asks_for_no_number_says_so(name):
    with pytest.raises(InputError, match="asks for no sample size"):
        gmfmsim.protocol(name)


def test_a_name_or_a_file_is_an_experiment_or_a_design(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_bytes(find("designs", "sun2017").read_bytes())
    assert [read_question_or_design(name).name for name in ("sun2017", mine, "review_plug_in")] == [
        "design-sun2017",
        "design-mine",
        "review_plug_in",
    ]
    assert not set(names("experiments")) & set(names("designs"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nothing",), "is not the name of a shipped experiment"),
        (("x" * 5000,), "is not the name of a shipped experiment"),
        ((f"{'x' * 5000}.toml",), "does not exist"),
        (("quickstart", "--plan", "x"), "'x' is no plan"),
        (("quickstart", "--format", "pdf"), "says no format"),
        (("quickstart", "--out", "x.pdf"), "says no format"),
        (("quickstart", "--set", "trial.x=1"), "key trial.x"),
    ],
)
def test_a_fault_is_told_before_anything_is_computed(monkeypatch, capsys, words, told):
    assert command(monkeypatch, "protocol", *words) == 2
    out, err = capsys.readouterr()
    assert told in err
    assert out == ""


def test_a_result_is_not_changed_and_an_old_one_says_what_to_do(answer, tmp_path):
    old = {k: v for k, v in answer.items() if k != "protocol"}
    (tmp_path / "answer.json").write_text(json.dumps(old), encoding="utf-8")
    with pytest.raises(InputError, match=r"earlier version\n.*--force"):
        gmfmsim.protocol(tmp_path)
    with pytest.raises(InputError, match="cannot change what was read"):
        gmfmsim.protocol(tmp_path, {"seed": 1})


def test_a_file_is_written_where_one_says_and_nothing_is_overwritten_unsaid(answer, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "result"
    folder.mkdir()
    (folder / "answer.json").write_text(json.dumps(answer), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "novak2016").mkdir()
    assert command(monkeypatch, "protocol", "novak2016") == 2
    assert "novak2016: plan: asks for no sample size" in capsys.readouterr().err
    assert command(monkeypatch, "protocol", "result") == 0
    assert capsys.readouterr().out == str(section(answer))
    for form in ("docx", "html"):
        path = tmp_path / f"quickstart_one_mean-sample-size.{form}"
        assert command(monkeypatch, "protocol", "result", "--format", form) == 0
        assert path.read_bytes() == section(answer).written(form)
        assert command(monkeypatch, "protocol", "result", "--format", form) == 2
        assert "exists already" in capsys.readouterr().err
        path.write_bytes(b"")
        assert command(monkeypatch, "protocol", "result", "--out", path.name) == 0
        assert path.read_bytes() == section(answer).written(form)
    assert command(monkeypatch, "protocol", "result", "--out", "no/such/folder.md") == 2
    capsys.readouterr()
    assert command(monkeypatch, "protocol", "result", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["blocks"][0] == {"kind": "heading", "level": 1, "text": "Sample size"}
    assert (found["result"], found["written"]) == (section(answer).source, None)


def test_the_source_of_a_planning_value_goes_with_the_value():
    raw = read_toml(find("experiments", "quickstart_one_mean"))
    raw |= {"name": "x", "search": raw["search"] | {"planning_value_source": "A review of 2025"}}
    (kept,) = read_question(raw, {"trial.dropout": 0.1}).plans
    (gone,) = read_question(raw, {"search.planning_value": 3.0}).plans
    assert kept.plan.search.planning_value_source == "A review of 2025"
    assert gone.plan.search.planning_value_source is None
    assert "planning_value_source" not in gone.plan.search.model_dump()
