"""Read the evidence tables and report everything that is wrong with them at once."""

import csv
import hashlib
import io
import math
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from gmfmsim.evidence.columns import TABLES, Column, TableSchema
from gmfmsim.faults import Fault, InputError, choices, has_control_character, shown

PACKAGE_TABLES = Path(__file__).parent / "tables"
REQUIRED_TABLES = ("studies", "arms", "contrasts")

Row = dict[str, str | float | int | None]
"""One row: column -> value, None for an empty cell; `row` is its line in the file (the header is line 1)."""


@dataclass(frozen=True)
class Tables:
    """The evidence as read: rows by table name, and the SHA-256 of the bytes they came from.

    folder is the folder of the tables, or the flat file they were made from; files are the files that were read.
    """

    folder: Path
    rows: dict[str, list[Row]]
    sha256: str
    files: tuple[Path, ...] = ()

    @property
    def copy_name(self) -> str:
        """Where a result keeps a copy of these tables, by what they hold."""
        return f"inputs/tables-{self.sha256[:8]}" + (".csv" if self.folder.is_file() else "")

    def where(self, table: str, **cells: object) -> list[Row]:
        """Return the rows of `table` whose cells equal the given values; none of a table that is not there."""
        return [r for r in self.rows.get(table, []) if all(r[k] == v for k, v in cells.items())]


def copy_tables(tables: Tables, target: Path) -> None:
    """Copy the files that tables were read from: a flat file to `target` itself, others into that folder."""
    if tables.folder.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(tables.folder, target)
        return
    target.mkdir(parents=True, exist_ok=True)
    for file in tables.files:
        shutil.copyfile(file, target / file.name)


def at_month(month: float) -> str:
    """Say a month; NaN is not known."""
    return "month not known" if math.isnan(month) else f"month {month:g}"


def read_tables(source: Path = PACKAGE_TABLES) -> Tables:
    """Read and validate evidence: a folder of tables (default: those that ship with the package), or one flat CSV.

    Of a folder, studies.csv, arms.csv and contrasts.csv must be there; the other tables are read when they are.
    A file whose name ends in .csv is read by `gmfmsim.evidence.flat.read_flat`.

    Raises InputError with every fault of every table: missing or unknown columns, a text in a number column,
    values out of range, doses without unit, repeated keys, studies or arms that no table defines.
    """
    if os.path.isdir(source):  # false, and no error, for names that no file can have
        return _read_folder(Path(source))
    if str(source).lower().endswith(".csv") and os.path.isfile(source):
        from gmfmsim.evidence.flat import read_flat  # which needs this module

        return read_flat(Path(source))
    problem = "is neither a folder nor a CSV file" if os.path.exists(source) else "does not exist"
    allowed = "a folder with the evidence tables, or one flat file ending in .csv"
    raise InputError([Fault(str(source), "folder", problem, allowed)])


def _read_folder(folder: Path) -> Tables:
    faults: list[Fault] = []
    rows: dict[str, list[Row]] = {}
    files: list[Path] = []
    digest = hashlib.sha256()
    for name, schema in TABLES.items():
        path = folder / f"{name}.csv"
        if not os.path.isfile(path):  # false, and no error, in a folder that may not be entered
            if name in REQUIRED_TABLES:
                faults.append(Fault(str(path), "file", "does not exist", f"a CSV file with the columns of {name}"))
            continue
        try:
            content = path.read_bytes()
        except OSError as error:
            faults.append(unreadable(path, error))
            continue
        digest.update(name.encode() + b"\0" + content + b"\0")
        rows[name], found = parse_rows(path.name, schema, content)
        faults += found + row_faults(path.name, schema, rows[name])
        files.append(path)
    faults += _cross_faults(rows)
    if faults:
        raise InputError(faults)
    return Tables(folder, rows, digest.hexdigest(), tuple(files))


def unreadable(path: Path, error: OSError) -> Fault:
    """Say that a file cannot be read."""
    return Fault(str(path), "file", f"cannot be read: {error.strerror}", "a readable file")


def parse_rows(
    file: str, schema: TableSchema, content: bytes, *, optional: Collection[str] = (), comment: str | None = None
) -> tuple[list[Row], list[Fault]]:
    """Return the rows of a CSV file, every cell converted as the schema says, and every fault of its cells.

    Blank rows are left out, and those that begin with `comment`. Columns in `optional` may be absent: then their
    cells are None, as those with a fault are. A file with a fault in its header has no rows.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return [], [Fault(file, f"byte {error.start}", "is not UTF-8", "UTF-8 text")]
    lines: Iterable[str] = io.StringIO(text, newline="")
    if comment:
        # blank, so that no quote inside a comment opens a cell and every row keeps the number of its line
        lines = ("\n" if line.startswith(comment) else line for line in lines)
    reader = csv.reader(lines, strict=True)
    try:
        # a spreadsheet may have put a comment in quotes: then it is a row
        records = [
            (reader.line_num, cells)
            for cells in reader
            if any(cells) and not (comment and cells[0].startswith(comment))
        ]
    except csv.Error as error:
        return [], [Fault(file, f"row {reader.line_num}", f"is not CSV: {error}", "comma separated, quotes closed")]
    number, header = records[0] if records else (1, [])
    faults = _header_faults(file, schema, number, header, optional)
    if faults:
        return [], faults
    if len(records) > MOST_ROWS + 1:
        return [], [Fault(file, "file", f"{len(records) - 1} rows", f"at most {MOST_ROWS}")]
    rows: list[Row] = []
    for number, cells in records[1:]:
        if len(cells) != len(header):
            problem = f"{len(cells)} cells"
            faults.append(Fault(file, f"row {number}", problem, f"{len(header)} cells, as in the header"))
            continue
        row: Row = {"row": number} | dict.fromkeys(schema.columns)
        for column, cell in zip(header, cells, strict=True):
            try:
                row[column] = _value(schema.columns[column], cell)
            except ValueError as error:
                problem = f"{shown(cell)} {error}"
                faults.append(Fault(file, f"row {number}, column {column}", problem, schema.columns[column].allowed))
        rows.append(row)
    return rows, faults


def _header_faults(
    file: str, schema: TableSchema, number: int, header: list[str], optional: Collection[str]
) -> list[Fault]:
    expected, where = list(schema.columns), f"row {number}"
    faults = [
        Fault(file, f"{where}, column {shown(c)}", "unknown column", choices(c, expected, 30))
        for c in header
        if c not in expected
    ]
    needed = [c for c in expected if c not in optional]
    allowed = f"the columns {', '.join(needed)}" if optional else "all columns of this table"
    faults += [Fault(file, where, f"column {c} is missing", allowed) for c in needed if c not in header]
    faults += [Fault(file, where, f"column {c} twice", "each column once") for c in expected if header.count(c) > 1]
    return faults


MOST_ROWS = 2000
"""Rows of one table. The field has a few dozen trials; checks compare every study with every other."""

LARGEST = 1e15
"""No figure of the tables is larger; what is would overflow when squared."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def _value(column: Column, cell: str) -> str | float | int | None:
    """Convert one cell. Raises ValueError with what is wrong."""
    cell = cell.strip()
    if not cell:
        if column.required:
            raise ValueError("is empty")
        return None
    if column.kind == "text":
        if has_control_character(cell):
            raise ValueError("holds a control character")
        if column.choices and cell not in column.choices:
            raise ValueError("is not a known value")
        return cell
    if not _NUMBER.fullmatch(cell):
        raise ValueError("is not a number")
    value = float(cell)
    if not abs(value) <= LARGEST:
        raise ValueError("is too large")
    if column.kind == "integer" and value != int(value):
        raise ValueError("is not a whole number")
    check_range(column, value)
    return int(value) if column.kind == "integer" else value


def check_range(column: Column, value: float) -> None:
    """Raise ValueError if a number lies outside what the column allows."""
    if (
        (column.low is not None and value < column.low)
        or (column.above is not None and value <= column.above)
        or (column.high is not None and value > column.high)
    ):
        raise ValueError("is out of range")


def row_faults(file: str, schema: TableSchema, rows: list[Row]) -> list[Fault]:
    """Return what is wrong between the cells of a row, and between rows with one key."""
    faults = []
    groups: dict[tuple, list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[k] for k in schema.key)].append(row)
        for column, problem, allowed in schema.conflicts(row):
            faults.append(Fault(file, f"row {row['row']}, column {column}", problem, allowed))
        if "dose_total_cells_per_kg" in schema.columns:
            faults += _dose_faults(file, row)
    for key, group in groups.items():
        preferred = sum(row.get("preferred", "yes") == "yes" for row in group)
        if len(group) > 1 and preferred != 1:
            where = "rows " + ", ".join(str(row["row"]) for row in group)
            named = " / ".join("not known" if part != part else str(part) for part in key)
            problem = f"the key {named} stands {len(group)} times, {preferred} of them preferred"
            chosen = ", or exactly one with preferred = yes" if "preferred" in schema.columns else ""
            faults.append(Fault(file, where, problem, "one row a key" + chosen))
    return faults


def _dose_faults(file: str, row: Row) -> list[Fault]:
    """Return what is wrong with the dose of an arm: a figure without unit, cells in a control, none in an active."""
    faults, total = [], row["dose_total_cells_per_kg"]
    dose = next((row[c] for c in ("dose_per_infusion", "dose_low", "dose_high") if row[c] is not None), None)
    if dose is not None and row["dose_unit"] is None:
        problem = f"dose {dose:g} without unit"
        faults.append(Fault(file, f"row {row['row']}, column dose_unit", problem, "cells_per_kg or cells"))
    if row["role"] is not None and (
        (row["role"] == "control" and total != 0) or (row["role"] == "active" and total == 0)
    ):
        problem = f"a total dose of {'nothing' if total is None else f'{total:g}'} in an arm with role {row['role']}"
        allowed = "0 in a control arm; above 0, or empty for not known, in an active one"
        faults.append(Fault(file, f"row {row['row']}, column dose_total_cells_per_kg", problem, allowed))
    return faults


def _cross_faults(rows: dict[str, list[Row]]) -> list[Fault]:
    """Return every study or arm that is used and not defined, as far as the defining tables could be read."""
    studies = {r["study_id"] for r in rows.get("studies", [])}
    arms = defaultdict(set)
    for r in rows.get("arms", []):
        arms[r["study_id"]].add(r["arm_id"])
    faults = _reading_faults(rows)
    for name, table in rows.items():
        schema = TABLES[name]
        for r in table:
            study, where = r[schema.study], f"row {r['row']}, column "
            if studies and study is not None and study not in studies:
                allowed = choices(study, sorted(filter(None, studies)))
                faults.append(Fault(f"{name}.csv", where + schema.study, f"unknown study {shown(study)}", allowed))
            elif arms:
                faults += [
                    Fault(
                        f"{name}.csv",
                        where + column,
                        f"unknown arm {shown(r[column])} of {study}",
                        choices(r[column], sorted(filter(None, arms[study]))),
                    )
                    for column in schema.arms
                    if r[column] is not None and r[column] not in arms[study]
                ]
    return faults


def _reading_faults(rows: dict[str, list[Row]]) -> list[Fault]:
    """Return the readings of contrasts that are not there: they would never be applied."""
    contrasts = rows.get("contrasts", [])
    known = dict.fromkeys((r["study_id"], r["scale"], r["month"]) for r in contrasts)
    faults = []
    for row in rows.get("readings", []) if contrasts else []:
        key = row["study_id"], row["scale"], row["month"]
        if None not in key and key not in known:
            mine = [(scale, month) for study, scale, month in known if study == row["study_id"]]
            own = [f"{scale} at {at_month(month)}" for scale, month in mine if None not in (scale, month)]
            problem = f"{row['study_id']} has no contrast on {row['scale']} at {at_month(row['month'])}"
            faults.append(
                Fault(
                    "readings.csv",
                    f"row {row['row']}, columns scale, month",
                    problem,
                    ", ".join(own) or "a contrast of this study",
                )
            )
    return faults
