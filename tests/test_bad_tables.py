"""Faulty evidence tables: every fault with its row and column, all at once."""

from pathlib import Path

import pytest
from damage import command, damaged_tables, trial

from gmfmsim.evidence.contrasts import Selection, select_contrasts
from gmfmsim.evidence.read import read_tables
from gmfmsim.faults import InputError
from gmfmsim.question.question import read_question

# tables

CELLS = {
    "negative SD": ("outcomes", 2, "sd", "-1", "above 0"),
    "negative standard error": ("contrasts", 2, "md100_se", "-1.6", "above 0"),
    "text in a number column": ("contrasts", 2, "md100", "much", "a number"),
    "comma as decimal point": ("contrasts", 2, "md100", "1,9", "a number"),
    "nan": ("contrasts", 2, "md100", "nan", "a number"),
    "too large": ("contrasts", 2, "estimate", "1e999", "a number"),
    "half a child": ("arms", 2, "n", "31.5", "a whole number"),
    "outside the scale": ("contrasts", 2, "md100", "500", "up to 100"),
    "empty and required": ("contrasts", 2, "estimate", "", "a number"),
    "unknown word": ("arms", 2, "cell_class", "MNC", "TNC_MNC"),
    "unknown study": ("contrasts", 2, "study_id", "Sun2071", "nearest: Sun2017"),
    "unknown study of an outcome": ("outcomes", 2, "study_id", "Sun2071", "nearest: Sun2017"),
    "unknown arm": ("contrasts", 2, "arm_a", "ucb_hig16", "nearest: ucb_high16"),
    "unknown column": ("contrasts", 1, "md100", "md10", "nearest: md100"),
}


@pytest.mark.parametrize("fault", CELLS)
def test_a_faulty_cell_is_told_with_row_and_column(tmp_path, monkeypatch, capsys, fault):
    table, line, column, value, allowed = CELLS[fault]
    damaged_tables(tmp_path, table, {(line, column): value})
    path = trial(tmp_path, {"evidence.tables": "tables"})
    with pytest.raises(InputError) as refusal:
        read_question(str(path))
    found = refusal.value.faults[0]
    assert found.file == f"{table}.csv"
    assert found.where == f"row {line}, column {column if line > 1 else repr(value)}"
    assert line == 1 or repr(value) in found.problem
    assert allowed in found.allowed
    assert command(monkeypatch, "run", path, "--results", tmp_path / "results") == 2
    assert str(found) in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("line", [pytest.param(2, id="dose"), pytest.param(3, id="range of doses")])
def test_a_dose_without_unit_in_the_arms_is_refused(tmp_path, line):
    folder = damaged_tables(tmp_path, "arms", {(line, "dose_unit"): ""})
    with pytest.raises(InputError, match=rf"arms\.csv: row {line}, column dose_unit: .*without unit"):
        read_tables(folder)


def test_a_range_must_be_in_order(tmp_path):
    folder = damaged_tables(tmp_path, "contrasts", {(2, "ci_low"): "6"})
    with pytest.raises(InputError, match=r"row 2, column ci_low: ci_low 6 is above ci_high 5\.2215"):
        read_tables(folder)


def test_a_key_stands_once(tmp_path):
    folder = damaged_tables(tmp_path, "studies", {(3, "study_id"): "Sun2017"})
    with pytest.raises(InputError, match=r"rows 2, 3: the key Sun2017 stands 2 times, 2 of them preferred"):
        read_tables(folder)


@pytest.mark.parametrize("table", ["studies", "arms", "contrasts"])
def test_a_missing_table_is_named(tmp_path, table):
    folder = damaged_tables(tmp_path, "arms", {})
    (folder / f"{table}.csv").unlink()
    with pytest.raises(InputError, match=rf"{table}\.csv: file: does not exist"):
        read_tables(folder)


def test_a_table_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    def denied(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(InputError, match=r"studies\.csv.*Permission denied"):
        read_tables()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is missing"),
        (b"\xff\xfe", "is missing"),
        (b"\xff\xfea", "byte 2: is not UTF-8, and is broken UTF-16"),
        (b'study_id,"arm', "is not CSV"),
        (b"PK\x03\x04", "unknown column"),
    ],
    ids=["empty", "an empty UTF-16", "broken UTF-16", "open quote", "a spreadsheet"],
)
def test_a_table_that_is_not_csv_is_refused(tmp_path, content, problem):
    folder = damaged_tables(tmp_path, "arms", {})
    (folder / "arms.csv").write_bytes(content)
    with pytest.raises(InputError, match=problem):
        read_tables(folder)


def test_a_row_with_a_cell_too_many_is_named(tmp_path):
    folder = damaged_tables(tmp_path, "claims", {})
    with (folder / "claims.csv").open("a", encoding="utf-8") as file:
        file.write("a,b\n")
    with pytest.raises(InputError, match=r"claims\.csv: row 76: 2 cells"):
        read_tables(folder)


def test_all_faults_of_the_tables_are_told_at_once(tmp_path):
    cells = {(2, "md100"): "much", (3, "md100_se"): "-1", (4, "default_use"): "maybe", (5, "study_id"): "Sun2071"}
    folder = damaged_tables(tmp_path, "contrasts", cells)
    path = folder / "arms.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("TNC_MNC", "MNC", 1), encoding="utf-8")
    with pytest.raises(InputError) as refusal:
        read_tables(folder)
    assert {(fault.file, fault.where) for fault in refusal.value.faults} == {
        ("arms.csv", "row 2, column cell_class"),
        *(("contrasts.csv", f"row {line}, column {column}") for line, column in cells),
    }


@pytest.mark.parametrize(
    "cells",
    [
        {(2, "md100_se"): "1e200"},
        {(2, "control_se100"): "1e200", (3, "control_se100"): "1e200"},
        {(2, "md100_se"): "1e-200"},
        {(2, "control_se100"): "3", (3, "control_se100"): "3"},
        {(2, "control_se100"): ""},
    ],
    ids=str,
)
def test_an_impossible_covariance_is_refused(tmp_path, cells):
    folder = damaged_tables(tmp_path, "contrasts", cells)
    with pytest.raises(InputError, match=r"contrasts\.csv: .*(md100_se|control_se100)"):
        select_contrasts(read_tables(folder), Selection(default_use="primary"))


@pytest.mark.parametrize(
    ("line", "column", "value"),
    [
        pytest.param(8, "dose_total_cells_per_kg", "", id="control without dose"),
        pytest.param(4, "dose_total_cells_per_kg", "0", id="cells at dose 0"),
    ],
)
def test_a_contrast_that_says_nothing_of_cells_is_refused(tmp_path, line, column, value):
    """With both arms treated, or neither, the constant curve drops the contrast from the likelihood."""
    cells = {(line, column): value, (line, "dose_total_low"): "", (line, "dose_total_high"): ""}
    damaged_tables(tmp_path, "arms", cells)
    with pytest.raises(InputError, match="dose"):
        read_question(str(trial(tmp_path, {"evidence.tables": "tables"})))
