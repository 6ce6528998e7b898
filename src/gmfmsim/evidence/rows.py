"""The rows of one table: every cell converted as its column says, and what is wrong within and between them."""

import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from pydantic_core import ValidationError

from gmfmsim.evidence.schema import Row, Table, grouped
from gmfmsim.evidence.sheets.cells import DecimalComma, decimal_mark, is_number, with_point
from gmfmsim.evidence.sheets.sheet import MARKS, Sheet, read_bytes, read_sheet
from gmfmsim.evidence.sheets.told import Told, at_rows, cut, first_told, of_cell
from gmfmsim.faults import Fault, InputError, choices, shown

_OUTSIDE = dict.fromkeys(("greater_than", "greater_than_equal", "less_than_equal"), "is out of range")
PROBLEMS = _OUTSIDE | {"literal_error": "is not a known value"}
"""Pydantic's kinds of errors in the words of a fault."""


def read_rows(file: Path, table: Table) -> list[Row]:
    """Return the rows of a table that is no part of the evidence. Raises InputError with every fault."""
    rows, told = parse_rows(file.name, table, read_bytes(file))
    told += first_told(file.name, row_faults(file.name, table, rows))
    if told:
        raise InputError([one.fault for one in told])
    return rows


def parse_rows(
    file: str,
    table: Table,
    content: bytes,
    *,
    optional: Mapping[str, Collection[str]] = MappingProxyType({}),
    comments: bool = False,
) -> tuple[list[Row], list[Told]]:
    """Return the rows of a CSV file, every cell converted as the table says, and what there is to tell of its cells.

    A column in `optional` may be absent, or without any cell, where the file has one of the columns that it names (or
    it names none): then its cells are None, as those with a fault are. A file with a fault in its header has no rows.
    """
    try:
        sheet = read_sheet(file, content, table.columns, comments=comments)
        if faults := _header_faults(file, table, sheet, optional):
            raise InputError(faults)
    except InputError as error:
        return [], first_told(file, map(Told, error.faults))
    rows: list[Row] = []
    return rows, first_told(file, itertools.chain(sheet.told, _converted(file, table, sheet, optional, rows)))


def _header_faults(file: str, table: Table, sheet: Sheet, optional: Mapping) -> list[Fault]:
    header, expected, where = sheet.header, list(table.columns), f"row {sheet.row}"
    faults = [
        Fault(file, f"{where}, column {shown(c)}", "unknown column", choices(c, expected, 30))
        for c in header
        if c not in expected
    ]
    needed = [c for c in expected if optional.get(c) != ()]
    allowed = f"the columns {', '.join(needed)}" if optional else "all columns of this table"
    missing = [c for c in needed if c not in header and not set(optional.get(c, ())) & set(header)]
    faults += [Fault(file, where, f"column {c} is missing", allowed) for c in missing]
    faults += [Fault(file, where, f"column {c} twice", "each column once") for c in expected if header.count(c) > 1]
    return faults


def _converted(file: str, table: Table, sheet: Sheet, optional: Collection[str], rows: list[Row]) -> Iterator[Told]:
    """Add the rows of a sheet to `rows`, and tell what is wrong with their cells; one fault of all decimal commas."""
    width, mark = len(sheet.header), _mark(table, sheet)
    held = {i for _, cells in sheet.records for i, cell in enumerate(cells[:width]) if cell.strip()}
    left_out = {name for i, name in enumerate(sheet.header) if i not in held and name in optional}
    commas: list[Told] = []
    for number, cells in sheet.records:
        moved = sheet.separator == "," and _moved(table, sheet.header, cells)
        if len(cells) < width or any(map(str.strip, cells[width:])) or moved:
            allowed = f"{width} cells, as in the header; quotes around a cell with a {MARKS[sheet.separator]}"
            allowed += ", and points before decimals" if sheet.separator == "," else ""
            yield Told(Fault(file, f"row {number}", f"{len(cells)} cells", allowed))
            continue
        named = zip(sheet.header, cells, strict=False)
        held_by = {name: cell.strip() or None for name, cell in named if name not in left_out}
        held_by, ambiguous = _with_points(table, held_by) if mark == "," else (held_by, [])
        row, wrong = _validated(table, held_by)
        rows.append({"row": number, "file": file} | dict.fromkeys(table.columns) | row)
        wrong += ambiguous
        for name, cell, error in wrong:
            problem, *instead = error.args
            allowed = "; ".join([table.columns[name].allowed, *instead])
            told = of_cell(file, rows[-1], name, f"{shown(cell)} {problem}", allowed)
            if isinstance(error, DecimalComma):
                commas.append(told)
            else:
                yield told
    if commas:
        more = f", as have {len(commas) - 1} more cells" if len(commas) > 1 else ""
        first = replace(commas[0].fault, problem=commas[0].fault.problem + more)
        yield Told(first, tuple({number for told in commas for number in told.rows}))


def _mark(table: Table, sheet: Sheet) -> str:
    """Return the mark before decimals, as the columns of numbers show it."""
    numbers = [i for i, name in enumerate(sheet.header) if table.columns[name].kind in ("number", "integer")]
    return decimal_mark((cells[i] for _, cells in sheet.records for i in numbers if i < len(cells)), sheet.separator)


def _with_points(
    table: Table, cells: dict[str, str | None]
) -> tuple[dict[str, str | None], list[tuple[str, str, ValueError]]]:
    """Return cells with points in place of decimal commas, without those that may be two numbers; and these."""
    found, wrong = dict(cells), []
    for name, cell in cells.items():
        if cell is not None and (kind := table.columns[name].kind) != "text":
            try:
                found[name] = with_point(cell, unit=kind == "amount")
            except ValueError as error:
                wrong.append((name, cell, error))
                del found[name]
    return found, wrong


def _validated(table: Table, cells: dict[str, str | None]) -> tuple[Row, list[tuple[str, str, ValueError]]]:
    """Return the values of cells that can be right; and column, cell and problem of the others."""
    try:
        return table.validator.validate_python(cells), []
    except ValidationError as error:
        wrong = {e["loc"][0]: e.get("ctx", {}).get("error") or ValueError(PROBLEMS[e["type"]]) for e in error.errors()}
        sound = {name: cell for name, cell in cells.items() if name not in wrong}
        told = [(name, cell or "", wrong[name]) for name, cell in cells.items() if name in wrong]
        return table.validator.validate_python(sound), told


def _moved(table: Table, header: list[str], cells: list[str]) -> bool:
    """Return whether a comma too many may have moved the cells of a row: one more, and a number where text belongs."""
    if len(cells) <= len(header):
        return False
    last = max(i for i, cell in enumerate(cells[: len(header)]) if cell.strip())
    column = table.columns[header[last]]
    return column.kind == "text" and not column.required and is_number(cells[last])


def row_faults(file: str, table: Table, rows: list[Row]) -> Iterator[Told]:
    """Tell what is wrong between the cells of a row, and between rows with one key."""
    for row in rows:
        doses = _dose_conflicts(row) if "dose_total_cells_per_kg" in table.columns else ()
        yield from (of_cell(file, row, *conflict) for conflict in itertools.chain(table.conflicts(row), doses))
    for key, group in grouped(rows, lambda row: tuple(row[k] for k in table.key)).items():
        preferred = sum(row.get("preferred", "yes") == "yes" for row in group)
        if len(group) > 1 and preferred != 1:
            numbers = tuple(row["row"] for row in group)
            named = " / ".join("not known" if part != part else cut(str(part)) for part in key)
            problem = f"the key {named} stands {len(group)} times, {preferred} of them preferred"
            chosen = ", or exactly one with preferred = yes" if "preferred" in table.columns else ""
            yield Told(Fault(file, at_rows(numbers), problem, "one row a key" + chosen), numbers)


def _dose_conflicts(row: Row) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with the dose of an arm: a figure without unit, cells in a control, none in an active."""
    total, role = row["dose_total_cells_per_kg"], row["role"]
    dose = next((row[c] for c in ("dose_per_infusion", "dose_low", "dose_high") if row[c] is not None), None)
    if dose is not None and row["dose_unit"] is None:
        yield "dose_unit", f"dose {dose:g} without unit", "cells_per_kg or cells"
    if (role == "control" and total != 0) or (role == "active" and total == 0):
        problem = f"a total dose of {'nothing' if total is None else f'{total:g}'} in an arm with role {role}"
        allowed = "0 in a control arm; above 0, or empty for not known, in an active one"
        yield "dose_total_cells_per_kg", problem, allowed
