"""Read the evidence tables and report everything that is wrong with them at once."""

import csv
import hashlib
import io
import os
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from gmfmsim.evidence.columns import TABLES, Column, TableSchema
from gmfmsim.faults import Fault, InputError, choices, shown

PACKAGE_TABLES = Path(__file__).parent / "tables"
REQUIRED_TABLES = ("studies", "arms", "contrasts")

Row = dict[str, str | float | int | None]
"""One row: column -> value, None for an empty cell; `row` is its line in the file (the header is line 1)."""


@dataclass(frozen=True)
class Tables:
    """The evidence as read: rows by table name, and the SHA-256 of the bytes they came from."""

    folder: Path
    rows: dict[str, list[Row]]
    sha256: str

    def where(self, table: str, **cells: object) -> list[Row]:
        """Return the rows of `table` whose cells equal the given values."""
        return [r for r in self.rows[table] if all(r[k] == v for k, v in cells.items())]


def read_tables(folder: Path = PACKAGE_TABLES) -> Tables:
    """Read and validate the evidence tables of `folder` (default: those that ship with the package).

    studies.csv, arms.csv and contrasts.csv must be there; the other tables are read when they are.

    Raises InputError with every fault of every table: missing or unknown columns, a text in a number column,
    values out of range, doses without unit, repeated keys, studies or arms that no table defines.
    """
    if not os.path.isdir(folder):  # false, and no error, for names that no folder can have
        raise InputError([Fault(str(folder), "folder", "does not exist", "a folder with the evidence tables")])
    faults: list[Fault] = []
    rows: dict[str, list[Row]] = {}
    digest = hashlib.sha256()
    for name, schema in TABLES.items():
        path = folder / f"{name}.csv"
        if not path.is_file():
            if name in REQUIRED_TABLES:
                faults.append(Fault(str(path), "file", "does not exist", f"a CSV file with the columns of {name}"))
            continue
        try:
            content = path.read_bytes()
        except OSError as error:
            faults.append(Fault(str(path), "file", f"cannot be read: {error.strerror}", "a readable file"))
            continue
        digest.update(name.encode() + b"\0" + content + b"\0")
        rows[name], found = _read_table(name, schema, content)
        faults += found
    faults += _cross_faults(rows)
    if faults:
        raise InputError(faults)
    return Tables(folder, rows, digest.hexdigest())


def _read_table(name: str, schema: TableSchema, content: bytes) -> tuple[list[Row], list[Fault]]:
    file = f"{name}.csv"
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return [], [Fault(file, f"byte {error.start}", "is not UTF-8", "UTF-8 text")]
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        lines = [(reader.line_num, cells) for cells in reader if cells]
    except csv.Error as error:
        return [], [Fault(file, f"row {reader.line_num}", f"is not CSV: {error}", "comma separated, quotes closed")]
    faults = _header_faults(file, schema, header)
    if faults:
        return [], faults
    rows: list[Row] = []
    for number, cells in lines:
        if len(cells) != len(header):
            problem = f"{len(cells)} cells"
            faults.append(Fault(file, f"row {number}", problem, f"{len(header)} cells, as in the header"))
            continue
        row: Row = {"row": number}
        for column, cell in zip(header, cells, strict=True):
            try:
                row[column] = _value(schema.columns[column], cell)
            except ValueError as error:
                problem = f"{shown(cell)} {error}"
                faults.append(Fault(file, f"row {number}, column {column}", problem, schema.columns[column].allowed))
                row[column] = None
        rows.append(row)
    return rows, faults + _row_faults(name, schema, rows)


def _header_faults(file: str, schema: TableSchema, header: list[str]) -> list[Fault]:
    expected = list(schema.columns)
    faults = [
        Fault(file, f"row 1, column {shown(c)}", "unknown column", choices(c, expected, 30))
        for c in header
        if c not in expected
    ]
    faults += [
        Fault(file, "row 1", f"column {c} is missing", "all columns of this table") for c in expected if c not in header
    ]
    faults += [Fault(file, "row 1", f"column {c} twice", "each column once") for c in expected if header.count(c) > 1]
    return faults


LARGEST = 1e15
"""No figure of the tables is larger; what is would overflow when squared."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def _value(column: Column, cell: str) -> str | float | int | None:
    """Convert one cell. Raises ValueError with what is wrong."""
    cell = cell.strip()
    if not cell:
        if column.required:
            raise ValueError("is empty")
        return None
    if column.kind == "text":
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
    if (
        (column.low is not None and value < column.low)
        or (column.above is not None and value <= column.above)
        or (column.high is not None and value > column.high)
    ):
        raise ValueError("is out of range")
    return int(value) if column.kind == "integer" else value


def _row_faults(name: str, schema: TableSchema, rows: list[Row]) -> list[Fault]:
    """Return what is wrong between the cells of a row, and between rows with one key."""
    file, faults = f"{name}.csv", []
    groups: dict[tuple, list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[k] for k in schema.key)].append(row)
        for low, high in schema.ordered:
            if row[low] is not None and row[high] is not None and row[low] > row[high]:
                problem = f"{low} {row[low]:g} is above {high} {row[high]:g}"
                faults.append(Fault(file, f"row {row['row']}, column {low}", problem, f"{low} up to {high}"))
        if name == "arms":
            faults += _dose_faults(file, row)
    for key, group in groups.items():
        preferred = sum(row.get("preferred", "yes") == "yes" for row in group)
        if len(group) > 1 and preferred != 1:
            where = "rows " + ", ".join(str(row["row"]) for row in group)
            problem = f"the key {' / '.join(map(str, key))} stands {len(group)} times, {preferred} of them preferred"
            faults.append(Fault(file, where, problem, "one row a key, or exactly one with preferred = yes"))
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
    faults = []
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
