"""Everything that was reported has its place: each row of each table is shown by some command."""

import csv
import json
import subprocess
import sys

import pytest
from damage import command

import gmfmsim
from gmfmsim.evidence.read import PACKAGE_TABLES, read_tables
from gmfmsim.evidence.schema import TABLES
from gmfmsim.faults import InputError
from gmfmsim.report.show import show


@pytest.fixture(scope="module")
def tables():
    return read_tables()


@pytest.fixture(scope="module")
def shown_by_study(tables):
    """Every row that `show study` prints for some study or review: (table, line)."""
    found = set()
    for study in tables.rows["studies"]:
        for table, rows in show("study", study["study_id"]).items():
            found |= {(table, row["row"]) for row in rows}
    return found


@pytest.mark.parametrize("table", TABLES)
def test_every_row_is_shown_with_its_study(tables, shown_by_study, table):
    missing = [row["row"] for row in tables.rows[table] if (table, row["row"]) not in shown_by_study]
    assert missing == []


@pytest.mark.parametrize("table", TABLES)
def test_every_cell_of_a_table_is_printed(monkeypatch, capsys, table):
    """Read from the file itself, not through the package: no figure, price or claim is lost on the way."""
    assert command(monkeypatch, "show", "table", table) == 0
    text = capsys.readouterr().out
    with (PACKAGE_TABLES / f"{table}.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    blocks = text.split(f"{table}.csv row ")[1:]
    assert len(blocks) == len(rows)
    for row, block in zip(rows, blocks, strict=True):
        lines = dict(line.strip().split(": ", 1) for line in block.splitlines()[1:] if line.startswith("    "))
        for column, cell in row.items():
            if cell and TABLES[table].columns[column].kind == "text":
                assert lines[column] == cell.strip(), (row, column)
            elif cell:
                assert float(lines[column]) == pytest.approx(float(cell), rel=1e-9), (row, column)
            else:
                assert column not in lines, (row, column)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("claims",), ["7000", "19000", "EUR", "80", "per cent", "conflicts"]),
        (("claims", "SwissMedica2026"), ["C05", "undefined endpoint, no control"]),
        (("study", "Sun2017"), ["1-5e7", "0.72", "serious_adverse", "dose reached without harm"]),
        (("study", "Eggenberger2019"), ["90.1", "0.95", "282"]),
        (("pooled", "Gu2020"), ["Xie2020"]),
        (("events", "Miao2015"), ["procedural_difficulty", "47"]),
        (("readings", "Huang2018"), ["spread_is_se", "sd_high: 6"]),
        (("table", "pooled"), ["FinchEdmondson2025"]),
    ],
)
def test_show_finds_what_is_asked_for(monkeypatch, capsys, words, expected):
    assert command(monkeypatch, "show", *words) == 0
    text = capsys.readouterr().out
    for word in expected:
        assert word in text
    assert gmfmsim.DISCLAIMER in text


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        (("studdy", "Sun2017"), "nearest: study"),
        (("study", "Sun2071"), "nearest: Sun2017"),
        (("study",), "Sun2017"),
        (("table", "claim"), "nearest: claims"),
        (("claims", "SwissMedica"), "nearest: SwissMedica2026"),
        (("model",), "emax"),
    ],
)
def test_show_says_what_there_is(monkeypatch, capsys, words, allowed):
    assert command(monkeypatch, "show", *words) == 2
    error = capsys.readouterr().err
    assert allowed in error
    assert "Traceback" not in error


# audit and new on the command line


def test_the_audit_prints_findings_and_numbers(monkeypatch, capsys):
    assert command(monkeypatch, "audit") == 0
    text = capsys.readouterr().out
    assert "Zarrabi2022, contrasts.csv row 22" in text
    assert "7.42" in text
    assert gmfmsim.DISCLAIMER in text


def test_the_audit_speaks_to_machines(monkeypatch, capsys):
    assert command(monkeypatch, "audit", "--json") == 0
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert {"check", "severity", "study", "table", "rows", "printed", "expected", "effect", "where"} == set(findings[0])
    assert command(monkeypatch, "audit", "--table", "events", "--json") == 0
    events = json.loads(capsys.readouterr().out)["findings"]
    assert events == [f for f in findings if f["table"] == "events"]
    assert events


def test_the_audit_reads_ones_own_evidence(monkeypatch, capsys, tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("study,arm,dose,n,mean,sd\nA,cells,5e7 cells/kg,30,5,1.2\nA,control,0,30,3,1.1\n", encoding="utf-8")
    assert command(monkeypatch, "audit", "--table", path, "--json") == 0
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert {(f["check"], f["study"]) for f in findings} == {("spread_is_se", "A"), ("sd_out_of_line", "A")}


@pytest.mark.parametrize(("table", "allowed"), [("event", "nearest: events"), ("nowhere/else.csv", "flat CSV")])
def test_the_audit_of_nothing_is_a_fault(monkeypatch, capsys, table, allowed):
    assert command(monkeypatch, "audit", "--table", table) == 2
    assert allowed in capsys.readouterr().err


def test_new_evidence_is_ready_to_check(monkeypatch, capsys, tmp_path):
    folder = tmp_path / "mine"
    assert command(monkeypatch, "new", "evidence", folder) == 0
    assert f"gmfmsim check {folder / 'trial.toml'}" in capsys.readouterr().out
    assert command(monkeypatch, "check", folder / "trial.toml") == 0
    assert command(monkeypatch, "show", "study", "Kang2015", "--tables", folder / "evidence.csv") == 0
    assert "7.08" in capsys.readouterr().out
    assert command(monkeypatch, "new", "evidence", folder) == 2
    assert "evidence.csv" in capsys.readouterr().err


def test_the_verbs_of_the_command_line_are_functions(tmp_path):
    assert {f.study for f in gmfmsim.audit("events")} >= {"Min2013"}
    assert [p.name for p in gmfmsim.new_evidence(tmp_path / "mine")] == [
        *("evidence.csv", "trial.toml", "README.md", "trial.schema.json"),
    ]
    with pytest.raises(InputError):
        gmfmsim.audit("no such table")


@pytest.mark.parametrize(
    "words", [("run", "--json"), ("chek", "--json"), ("check", "quickstart_one_mean", "--foo", "--json")]
)
def test_json_stays_json_when_the_command_line_is_wrong(monkeypatch, capsys, words):
    assert command(monkeypatch, *words) == 2
    out = json.loads(capsys.readouterr().out)
    assert out["faults"][0]["where"] == " ".join(words)


def test_a_reader_who_goes_away_is_no_fault():
    """Like `gmfmsim show table outcomes | head -1`."""
    code = "import sys; sys.argv = ['gmfmsim', 'show', 'table', 'outcomes']; from gmfmsim.cli import main; main()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""


def test_the_audit_holds_a_printed_sd_against_its_interval(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text(
        "study,arm,dose,n,mean,sd,ci_low,ci_high\nA,t,5e7 cells/kg,20,5,6,4.9,5.1\nA,c,0,20,3,6,0.19,5.81\n",
        encoding="utf-8",
    )
    (finding,) = [f for f in gmfmsim.audit(str(path)) if f.check == "derived_columns"]
    assert finding.rows == (2,)
