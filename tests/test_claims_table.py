"""Every figure of the two documents, and every scale and event of the tables: used by what reads it, or why not."""

import csv
import json
import shutil
from collections.abc import Iterable
from functools import cache

import pytest
from damage import command

import gmfmsim
from gmfmsim.answer.limits import limits
from gmfmsim.evidence import uses
from gmfmsim.evidence.events import event_counts, is_adverse
from gmfmsim.evidence.prices import price_scenarios
from gmfmsim.evidence.read import PACKAGE_TABLES, read_tables
from gmfmsim.evidence.schema import TABLES, Row
from gmfmsim.evidence.spread import VISITS, out_of_line, shipped_tables, study_spreads
from gmfmsim.evidence.uses import USES, claims, endpoints
from gmfmsim.faults import InputError
from gmfmsim.files.shelf import names
from gmfmsim.question.claim import Claim
from gmfmsim.question.plan import Prepared
from gmfmsim.question.rerun import Rerun
from gmfmsim.question.safety import Safety
from gmfmsim.question.who import Who
from gmfmsim.report.claims import SECTIONS, WIDTH
from gmfmsim.trial.presets import read_design

TABLE_OF = {"scale": ("outcomes", "contrasts", "pooled"), "event": ("events",)}

type Lines = set[tuple[str, int]]
"""Lines of tables, by table."""


def lines(table: str, rows: Iterable[Row]) -> Lines:
    return {(table, row["row"]) for row in rows}


def named(text: str) -> Lines:
    """The lines of "events: Gu2020, uc_msc, fever": those whose key begins so."""
    table, _, key = text.partition(": ")
    cells = key.split(", ")
    if table == "prices":
        return lines(table, [price_scenarios()[key]])

    def begins(row: Row) -> bool:
        held = [row[column] for column in TABLES[table].key[: len(cells)]]
        return [f"{cell:g}" if isinstance(cell, float) else cell for cell in held] == cells

    return lines(table, filter(begins, shipped_tables().rows[table]))


def with_arms(table: str, read: Lines) -> Lines:
    """Lines of contrasts or events with the arms and studies that they are of: dose, route, ages."""
    tables = shipped_tables()
    rows = [row for row in tables.rows[table] if (table, row["row"]) in read]
    arms = [tables.arms[row["study_id"], row[column]] for row in rows for column in TABLES[table].arms]
    return read | lines("arms", arms) | lines("studies", [tables.studies[row["study_id"]] for row in rows])


def of_design(name: str) -> Lines:
    """The arms of arms.csv whose dose a design has, and its children lost, where these are those of events.csv."""
    tables, design = shipped_tables(), read_design(name)
    studies = [study for study in tables.studies if study.lower() == name]
    doses = {arm.name: arm.dose for arm in design.arms}
    read = [a for a in tables.rows["arms"] if a["study_id"] in studies and a["arm_id"] in doses]
    found = lines("arms", [a for a in read if a["dose_total_cells_per_kg"] == pytest.approx(doses[a["arm_id"]])])
    lost = [row for study in studies for row in tables.where("events", study_id=study, event="dropout")]
    share = sum(row["events"] for row in lost) / sum(row["n"] for row in lost) if lost else None
    if share is not None and share == pytest.approx(design.children.dropout.value, abs=5e-4):
        found |= lines("events", lost)
    return found


def of_plan(plan: Prepared) -> Lines:
    """The contrasts of a plan with their arms, or its published estimate; the SDs of children; its price."""
    contrasts = {("contrasts", int(place.rpartition(" ")[2])) for place in plan.places if place}
    out = out_of_line(plan.tables)
    sds = [s for visit in VISITS for s in study_spreads(plan.tables, visit) if s.study not in out]
    found = with_arms("contrasts", contrasts) | {line for s in sds for line in lines("outcomes", s.rows)}
    if plan.published:
        found |= lines("pooled", [plan.published.row])
    if plan.plan.cost and plan.plan.cost.scenario:
        found |= lines("prices", [price_scenarios()[plan.plan.cost.scenario]])
    return found | (of_design(plan.plan.trial.design) if plan.plan.trial.design else set())


def of_rerun(rerun: Rerun) -> Lines:
    """The rows that a review is computed from, what it prints, and the per cents of claims.csv that it is held to."""
    found = set()
    for result in rerun.results:
        for used in (*result.inputs, *(one for variant in result.variants for one in variant.inputs)):
            found |= {(used["table"].removesuffix(".csv"), row) for row in used["rows"]}
        found |= {("pooled", result.printed["row"])} if result.printed else set()
    of = [claim for check in rerun.checks for claim in getattr(check, "percent", None) or ()]
    return found | {line for claim in of for line in lines("claims", rerun.tables.where("claims", claim_id=claim))}


def said(share: float) -> Lines:
    """The claims that print a share in per cent."""
    tables = shipped_tables()
    return lines(
        "claims", [r for r in tables.where("claims", unit="per cent") if r["low"] == pytest.approx(100 * share)]
    )


def of_claim(claim: Claim) -> Lines:
    """The reports that are weighed, with ages, and children where they are told by form; the share that is claimed."""
    tables, found = shipped_tables(), said(claim.section.share)
    for report in claim.reports:
        if report.use != "no":
            found |= {("events", row) for row in report.rows} | lines("studies", [tables.studies[report.study]])
            found |= lines("arms", [tables.arms[report.study, report.arm]]) if len(report.percents) > 1 else set()
    return found


@cache
def reads(user: str) -> frozenset[tuple[str, int]]:
    """The lines that an experiment or design reads, as the code that runs it finds them."""
    folder, _, name = user.partition("/")
    if folder == "designs":
        return frozenset(of_design(name))
    asked = gmfmsim.load(name).question.asked
    if isinstance(asked, Rerun):
        return frozenset(of_rerun(asked))
    if isinstance(asked, Claim):
        return frozenset(of_claim(asked))
    if isinstance(asked, Safety):
        counted = {("events", one.row["row"]) for count in asked.counts for one in count.used}
        rates = [line for rate in asked.section.tell.rates for line in said(rate)]
        return frozenset(of_plan(asked.benefit) | with_arms("events", counted) | set(rates))
    found = {line for plan in asked.plans for line in of_plan(plan)}
    if isinstance(asked, Who):
        found |= lines("claims", shipped_tables().where("claims", claim_id=asked.section.held.claim))
    return frozenset(found)


def is_used(user: str, about: Lines) -> bool:
    """Whether an experiment or design reads one of these lines, or a section takes one of them by name."""
    if user == "[cost]":
        return bool(about & lines("prices", price_scenarios().values()))
    if user == "[safety]":
        events = {r["event"] for r in shipped_tables().rows["events"] if ("events", r["row"]) in about}
        return bool(about & {line for e in events for line in lines("events", (c.row for c in counted(e)))})
    return bool(about & reads(user))


@cache
def counted(event: str) -> tuple:
    return event_counts(shipped_tables(), event).used


# claims


def test_every_claim_has_a_status_and_a_use_or_a_reason():
    assert len(claims()) == 74
    assert "not checked" not in USES.columns["status"].choices
    for row in claims():
        assert row["status"] != "not checked", row["claim_id"]
        assert bool(row["used_by"]) != bool(row["why_not"]), row["claim_id"]


def test_each_claim_stands_once_and_a_status_comes_with_what_was_found():
    """What claims.csv says of its own check stands there alone, so that two files cannot disagree."""
    held = uses._answered(PACKAGE_TABLES / "uses.csv", USES, both=False)
    own = {row["claim_id"]: row["status"] for row in read_tables().rows["claims"]}
    assert [row["claim_id"] for row in held] == list(own)
    for row in held:
        given = [row[column] is not None for column in ("status", "found")]
        assert given == [own[row["claim_id"]] == "not checked"] * 2, row["claim_id"]


def test_the_rows_about_a_claim_are_there_and_are_its_study_s():
    elsewhere = {"R31", "R46", "R47", "C01", "C02", "C03"}  # another trial's dose; trials of a review; prices
    for claim in claims():
        for text in claim["rows"]:
            assert named(text), (claim["claim_id"], text)
            study = text.partition(": ")[2].split(", ")[0]
            assert study == claim["study_id"] or claim["claim_id"] in elsewhere, claim["claim_id"]


@pytest.mark.parametrize("claim", [row for row in claims() if row["used_by"]], ids=lambda row: row["claim_id"])
def test_what_uses_a_claim_reads_its_rows(claim):
    about = {line for text in claim["rows"] for line in named(text)} | {("claims", claim["row"])}
    for user in claim["used_by"]:
        if user == "[cost]":
            assert claim["claim_id"] in {price["claim_id"] for price in price_scenarios().values()}
        assert is_used(user, about), user


def test_a_use_that_is_not_there_is_found():
    """What holds the table to the code says no: of a month, an event, a price and a design that are not read."""
    assert not is_used("experiments/quickstart_one_mean", named("contrasts: Gu2020, uc_msc, ctrl, GMFM-unspecified, 6"))
    assert not is_used("experiments/claim_of_80_percent", named("events: Romodanov_fetal, fetal, responder_epilepsy"))
    assert not is_used("experiments/cost_and_time", named("prices: clinic_list_price_usa"))
    assert not is_used("designs/wang2015", named("arms: Rah2017, t1"))
    assert not is_used("experiments/who_benefits", lines("claims", shipped_tables().where("claims", claim_id="C10")))
    with pytest.raises(InputError):
        reads("experiments/of_next_year")


def test_the_limits_of_a_plan_say_of_claims_what_uses_them_or_why_nothing_can():
    (first, *_) = gmfmsim.load("dose_regimen").question.plans
    said = {row["words"] for row in limits(first, None, []) if row["about"] == "claim"}
    assert len(said) == 5
    known = {row["claim_id"]: row for row in claims()}
    for name in first.plan.evidence.claims:
        (words,) = [w for w in said if f"({name})" in w]
        assert (known[name]["why_not"] or ", ".join(known[name]["used_by"])) in words
    assert any("4e7 cells in 4 punctures with 8e7 in 8. No means" in words for words in said)


def test_a_claim_that_is_none_is_a_fault():
    with pytest.raises(InputError, match=r"key evidence\.claims"):
        gmfmsim.load("dose_regimen", {"evidence.claims": ["R999"]})


# endpoints


def test_every_scale_and_event_has_an_entry():
    tables = shipped_tables()
    for of, column in (("scale", "scale"), ("event", "event")):
        known = {row[column] for table in TABLE_OF[of] for row in tables.rows[table]}
        assert {row["endpoint"] for row in endpoints() if row["of"] == of} == known
    assert all(row["used_by"] or row["why_not"] for row in endpoints())


def about(endpoint: Row) -> Lines:
    of, tables = endpoint["of"], shipped_tables()
    return {line for t in TABLE_OF[of] for line in lines(t, tables.where(t, **{of: endpoint["endpoint"]}))}


def test_what_models_an_endpoint_reads_rows_of_it_and_nothing_else_does():
    read = {name: reads(f"experiments/{name}") for name in names("experiments")}
    for row in endpoints():
        for user in row["used_by"]:
            assert is_used(user, about(row)), (row["endpoint"], user)
        if not row["used_by"]:
            assert [name for name, those in read.items() if those & about(row)] == [], row["endpoint"]


def test_a_harm_that_nothing_counts_cannot_be_counted():
    """But for one that is another, counted otherwise."""
    for row in endpoints():
        bare = row["of"] == "event" and is_adverse(row["endpoint"]) and not row["used_by"]
        if bare and "counted otherwise" not in row["why_not"]:
            with pytest.raises(InputError) as error:
                counted(row["endpoint"])
            assert ("dose per kg" in row["why_not"]) == ("dose per kg not known" in str(error.value)), row["endpoint"]


# the files


@pytest.mark.parametrize(
    ("file", "read", "cells", "said"),
    [
        ("uses.csv", claims, ("", ""), "neither used_by nor why_not filled in"),
        ("uses.csv", claims, ("experiments/quickstart", "Because."), "used_by and why_not filled in"),
        ("endpoints.csv", endpoints, ("", ""), "neither used_by nor why_not filled in"),
    ],
)
def test_a_row_without_either_is_a_fault(monkeypatch, tmp_path, file, read, cells, said):
    folder = shutil.copytree(PACKAGE_TABLES, tmp_path / "tables")
    with (folder / file).open(encoding="utf-8", newline="") as opened:
        head, first, *others = csv.reader(opened)
    with (folder / file).open("w", encoding="utf-8", newline="") as opened:
        csv.writer(opened).writerows([head, [*first[:-2], *cells], *others])
    monkeypatch.setattr(uses, "PACKAGE_TABLES", folder)
    with pytest.raises(InputError, match=f"{file}: row 2: {said}"):
        read.__wrapped__()


def test_what_uses_the_claims_is_in_no_key(tmp_path):
    folder = shutil.copytree(PACKAGE_TABLES, tmp_path / "tables")
    for file in ("uses.csv", "endpoints.csv"):
        (folder / file).write_text("changed\n", encoding="utf-8")
    assert read_tables(folder).sha256 == shipped_tables().sha256


# what is shown


def test_show_prints_every_claim_and_endpoint_within_eighty_columns(monkeypatch, capsys):
    assert command(monkeypatch, "show", "claims") == 0
    text = capsys.readouterr().out
    assert max(map(len, text.replace(gmfmsim.DISCLAIMER, "").splitlines())) <= WIDTH
    starts = [line.split()[0] for line in text.splitlines() if line[:2] == "  " and line[2:3] in ("R", "C")]
    assert starts == [row["claim_id"] for row in claims()]
    words = " ".join(text.split())
    for row in endpoints():
        assert row["endpoint"] in words
    for row in claims():
        assert (row["why_not"] or ", ".join(row["used_by"])) in words, row["claim_id"]
    assert "not checked" not in text
    assert SECTIONS in text


def test_a_study_narrows_claims_and_endpoints(monkeypatch, capsys):
    assert command(monkeypatch, "show", "claims", "Gu2020", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found == gmfmsim.show("claims", "Gu2020")
    assert [row["claim_id"] for row in found["claims"]] == ["R19", "R20", "R21", "R22"]
    assert {"ADL", "pet_improved"} <= {row["endpoint"] for row in found["endpoints"]}
    assert "WeeFIM" not in {row["endpoint"] for row in found["endpoints"]}


def test_claims_of_other_tables_are_shown_as_rows():
    assert gmfmsim.show("claims", "Gu2020", tables=PACKAGE_TABLES) == gmfmsim.show("table", "claims") | {
        "claims": [row for row in shipped_tables().rows["claims"] if row["study_id"] == "Gu2020"]
    }
