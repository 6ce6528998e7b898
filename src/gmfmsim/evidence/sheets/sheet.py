"""A CSV file as people have them: its bytes, separator, comments and empty columns, before any cell is read.

Commas, semicolons, tabs or vertical bars separate the cells, as the row of column names shows. What is no table of this
kind is refused in one message that names cause and cure, before it is parsed.
"""

import csv
import io
import itertools
import re
import unicodedata
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from gmfmsim.evidence.sheets.cells import is_number
from gmfmsim.evidence.sheets.told import Told
from gmfmsim.faults import Fault, InputError, shown

MOST_BYTES = 4_000_000
MOST_COLUMNS = 200
MOST_HEADER = 100 * MOST_COLUMNS
"""Characters of the row of column names."""
MOST_ROWS = 2000
"""Rows of one table. The field has a few dozen trials; checks compare every study with every other."""
MOST_LINES = 10 * MOST_ROWS
"""Lines of one file, blank ones, comments and those within cells counted: more are refused before they are parsed."""

MARKS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
"""What may separate the cells of a row, in words."""

_HINT = re.compile(r"""(\s*)"?sep=(.)[",;|\t ]*(?=[\r\n]|$)""", re.IGNORECASE)
"""The line by which a spreadsheet is told the separator."""

_SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_SAVE = 'save it as "CSV UTF-8 (comma delimited)"'
_CURE = f"{', '.join(mark + 's' for mark in MARKS.values())} between cells: in a spreadsheet, {_SAVE}"

_ONE_LETTER = {*range(128)} | {
    byte
    for byte in range(0xA0, 0x100)
    if (letter := bytes([byte]).decode("cp1252")) == bytes([byte]).decode("cp1250")
    and (letter.isalpha() or letter in "\u00a0\u00a7\u00b0\u00b1\u00b7\u00d7")
}
"""Bytes that Windows writes for one character in Western and in Central Europe. From 128 to 159 other systems have
letters of their own."""


class Sheet(NamedTuple):
    """The cells of a file: the names of its columns, and its rows with the line that each ends on.

    Columns without name and cells are left out; a row keeps the cells that it has beyond the header. told: lines that
    may be rows or comments.
    """

    header: list[str]
    row: int
    records: list[tuple[int, list[str]]]
    told: list[Told]
    separator: str


def read_bytes(path: Path) -> bytes:
    """Return what a file holds. Raises InputError where it cannot be read or is larger than MOST_BYTES."""
    try:
        size = path.stat().st_size
        if size <= MOST_BYTES:
            return path.read_bytes()
    except OSError as error:
        problem, allowed = f"cannot be read: {error.strerror}", "a readable file"
    else:
        problem, allowed = f"holds {size / 1e6:.1f} MB", f"at most {MOST_BYTES / 1e6:g} MB"
    raise InputError([Fault(str(path), "file", problem, allowed)])


def read_sheet(file: str, content: bytes, columns: Collection[str], *, comments: bool = False) -> Sheet:
    """Return the rows of a CSV file whose header names some of `columns`; with `comments`, # begins one.

    Names of columns count without capitals and spaces. Rows without any cell are left out; a line is a comment where
    it cannot be a row.

    Raises InputError with one fault where the file is no table of this kind.
    """
    text = _without_hint(file, _decoded(file, content))
    if (lines := 1 + sum(text.count(end) for end in "\n\r") - text.count("\r\n")) > MOST_LINES:
        _refuse(file, "file", f"{lines} lines", f"at most {MOST_LINES}, and {MOST_ROWS} rows")
    separator = _separator(file, text, set(columns), comments)
    (row, cells), records, told = _records(file, text, comments, separator)
    names = [_name(cell) for cell in cells]
    header = [name if name in columns else cell.strip() for name, cell in zip(names, cells, strict=True)]
    if nameless := {i for i, name in enumerate(header) if not name}:
        for number, own in records:
            for i in nameless:
                if own[i : i + 1] and own[i].strip():
                    problem = f"column {i + 1} has no name and holds {shown(own[i])} in row {number}"
                    allowed = "a name for each column that holds something; quotes around a cell with a "
                    allowed += MARKS[separator]
                    _refuse(file, f"row {row}", problem, allowed)
        records = [(n, [c for i, c in enumerate(own) if i not in nameless]) for n, own in records]
    return Sheet([name for name in header if name], row, records, told, separator)


def _refuse(file: str, where: str, problem: str, allowed: str) -> None:
    raise InputError([Fault(file, where, problem, allowed)])


def _filled(cells: list[str]) -> int:
    """Return the number of cells up to the last that holds something."""
    return max((i for i, cell in enumerate(cells, 1) if cell.strip()), default=0)


def _name(cell: str) -> str:
    """Return the name of a column as the tables write it."""
    return "_".join(unicodedata.normalize("NFKC", cell).replace("\ufeff", "").lower().split())


def _decoded(file: str, content: bytes) -> str:
    """Return the text of a file: UTF-8, UTF-16 with its mark, or what Windows writes, where that can be one text alone.

    Windows has a code page for each part of the world. What stands for the same letter in Western (cp1252) and Central
    Europe (cp1250), as in M\u00fcller, is read; what does not is told with both.
    """
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return content.decode("utf-16" if wide else "utf-8-sig").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        start, before = error.start, content[: error.start]
    if not wide and set(content) <= _ONE_LETTER and not content.startswith(_SPREADSHEETS):
        return content.decode("cp1252")
    problem = "is not UTF-8"
    if content.startswith(_SPREADSHEETS):
        problem += ": the file is a spreadsheet"
    elif wide:
        problem += ", and is broken UTF-16"
    else:
        start = next((i for i in range(start, len(content)) if content[i] not in _ONE_LETTER), start)
        before, around = content[:start], rb'[^,;\t\r\n"]*'
        cell = re.search(around + b"$", before[-40:])[0] + re.match(around, content[start : start + 40])[0]
        row = len(before.splitlines()) + before.endswith((b"\n", b"\r"))
        west, central = (shown(cell.decode(page, "replace"), 40) for page in ("cp1252", "cp1250"))
        problem += f": in row {max(row, 1)}, as Windows writes it, {west} (Western, cp1252) or {central} (Central "
        problem += "European, cp1250)"
    _refuse(file, f"byte {start}", problem, f"UTF-8 text: in a spreadsheet, {_SAVE}; in an editor, save it as UTF-8")


def _without_hint(file: str, text: str) -> str:
    """Return a text with an empty line in place of a first one that tells a spreadsheet the separator."""
    if not (hint := _HINT.match(text)):
        return text
    if hint[2] not in MARKS:
        problem = f"sep= tells a spreadsheet that {shown(hint[2])} separates the cells"
        _refuse(file, f"row {1 + len(hint[1].splitlines())}", problem, _CURE)
    return hint[1] + text[hint.end() :]


def _separator(file: str, text: str, columns: set[str], comments: bool) -> str:
    """Return what separates the cells, as the first line that is no comment shows; it must name columns."""
    number, line, other = _first_line(text, columns, comments)
    where = f"row {number}"
    many = 1 + max(line.count(mark) for mark in ",;\t|")
    if many > MOST_COLUMNS:
        _refuse(file, where, f"{many} columns", f"at most {MOST_COLUMNS}")
    if len(line) > MOST_HEADER:
        _refuse(file, where, f"a header of {len(line)} characters", f"at most {MOST_HEADER}")
    if "\0" in line:
        _refuse(file, where, "holds NUL characters: UTF-16, or no text", f"UTF-8 text: {_SAVE}")
    found = {mark: _known(line, mark, columns) for mark in (*MARKS, " ")}
    best = max(found, key=found.get)
    if found[best] < 2 and other is not None:
        if other < number or not line:
            _refuse(file, f"row {other}", "names the columns and is a comment, since it begins with #", "no # there")
        problem = f"is taken for the header, which stands in row {other}"
        _refuse(file, where, problem, "the header first" + ", or # before each line above it" * comments)
    if best == " " and found[best] > 1:
        _refuse(file, f"{where}, column {shown(line.strip())}", "unknown column: spaces separate the cells", _CURE)
    if found[best] < 2 and _known(line.strip(' \t\r\n"'), ",", columns) > 1:
        _refuse(file, where, "the whole row stands in quotes, and so is one cell", "quotes around single cells only")
    return best if found[best] > 1 else ","


def _first_line(text: str, columns: set[str], comments: bool) -> tuple[int, str, int | None]:
    """Return the first line that is no comment, its number, and that of another near it that names columns."""
    first, headed, quoted = None, None, False
    for number, line in enumerate(itertools.islice(io.StringIO(text, newline=""), 1000), 1):
        comment = quoted or (comments and line.lstrip(' \t"').startswith("#"))
        if quoted or (comment and line.lstrip().startswith('"')):  # a comment in quotes may have several lines
            quoted ^= line.count('"') % 2 == 1
        if max(_known(line.replace("#", "", 1) if comment else line, mark, columns) for mark in MARKS) > 2:
            headed = headed or number
        if first is None and not comment and line.strip(" \t\r\n,;|"):
            first = number, line
        if first and (headed or number > first[0] + 20):
            break
    return *(first or (1, "")), headed


def _known(line: str, separator: str, columns: set[str]) -> int:
    """Return how many columns a line names."""
    cells = next(csv.reader([line[:MOST_HEADER]], delimiter=separator), [])
    return len({_name(cell) for cell in cells} & columns)


def _records(
    file: str, text: str, comments: bool, separator: str
) -> tuple[tuple[int, list[str]], list[tuple[int, list[str]]], list[Told]]:
    """Return the header and the rows, each with its line, and what may be a row or a comment."""
    header, records, told, count, begins = (1, []), [], [], 0, True

    def is_comment(cells: list[str]) -> bool:
        return comments and _kind(cells, _filled(header[1])) == "comment"

    def lines() -> Iterator[str]:
        """Comments go before quotes are read: a quote in one opens no cell, and every row keeps its line."""
        nonlocal begins
        for line in io.StringIO(text, newline=""):
            raw = begins and comments and line.lstrip().startswith("#")
            begins = False
            yield "\n" if raw and is_comment(next(csv.reader([line], delimiter=separator), [])) else line

    reader = csv.reader(lines(), delimiter=separator, strict=True)
    try:
        for cells in reader:
            begins = True
            if _filled(cells) and not is_comment(cells):
                if not header[1]:
                    header = (reader.line_num, cells)
                elif count := count + 1:
                    records += [(reader.line_num, cells)] if count <= MOST_ROWS else []
    except csv.Error as error:
        _refuse(file, f"row {reader.line_num}", f"is not CSV: {error}", "cells parted by one mark, quotes closed")
    if count > MOST_ROWS:
        _refuse(file, "file", f"{count} rows", f"at most {MOST_ROWS}")
    if comments:
        told = [_doubtful(file, n, cells) for n, cells in records if _kind(cells, _filled(header[1])) == "doubt"]
        records = [(n, cells) for n, cells in records if _kind(cells, _filled(header[1])) != "doubt"]
    return header, records, told


def _kind(cells: list[str], width: int) -> Literal["row", "comment", "doubt"]:
    """Return what a line is, under a header of so many columns; 0: before it.

    One that begins with # is a comment before the header, and after it where it cannot be a row: no number stands in
    it. It is a row where it has as many cells as the header, a number among them.
    """
    if not cells or not cells[0].lstrip().startswith("#"):
        return "row"
    others = [cell for cell in cells[1:] if cell.strip()]
    if not others or not width:
        return "comment"
    whole = len(cells) >= width >= _filled(cells)
    if any(map(is_number, others)):
        return "row" if whole else "doubt"
    return "doubt" if whole and len(others) == width - 1 else "comment"


def _doubtful(file: str, row: int, cells: list[str]) -> Told:
    problem = f"{shown(cells[0])} and {len(cells) - 1} cells more: a row with too few or too many cells, or a comment"
    return Told(Fault(file, f"row {row}", problem, "a row with the cells of the header; comments above the header"))
