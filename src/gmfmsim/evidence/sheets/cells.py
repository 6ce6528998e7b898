"""One cell: what a person or a spreadsheet wrote becomes a value, or it is said what is wrong with it.

Every function raises ValueError with the problem and, as a second argument where it helps, what to write instead.
"""

import re
from collections.abc import Iterable
from typing import Literal

from gmfmsim.evidence.sheets.names import seen
from gmfmsim.faults import has_control_character

LARGEST = 1e15
"""No figure of the tables is larger; what is would overflow when squared."""

LONGEST = 5000
"""Characters of a text: ten times the longest note of the shipped tables."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_MINUS = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d"), "-")
_SPACES = " \u00a0\u2007\u2009\u202f"
_UNIT = re.compile(r"(.*?\d[.,]?(?:[eE][+-]?\d+)?)\s*([^\W\d].*)?", re.DOTALL)
_GROUPS = re.compile(rf"([+-]?[1-9]\d{{0,2}})(([,.'\u2019{_SPACES}])\d{{3}}(?:\3\d{{3}})*)(\.\d+)?", re.ASCII)
_DECIMAL_COMMA = re.compile(rf"[+-]?(\d*|\d{{1,3}}(?:([.'\u2019{_SPACES}])\d{{3}})+),\d+([eE][+-]?\d+)?", re.ASCII)
_POINTS_BETWEEN = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3}){2,}", re.ASCII)
_ONE_POINT = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}", re.ASCII)


class DecimalComma(ValueError):
    """A number with a decimal comma: seldom one cell alone."""


def plain_number(text: str) -> str:
    """Return a number as programs write it: a hyphen for a minus of any kind, no marks between thousands.

    Marks between thousands go where they can be nothing else: spaces, apostrophes, or several of one kind.

    Raises ValueError for a decimal comma, and for a comma that may mark decimals or thousands.
    """
    text = text.translate(_MINUS)
    if _NUMBER.fullmatch(text):
        return text
    if groups := _GROUPS.fullmatch(text):
        head, tail, mark, decimals = groups.groups(default="")
        if mark == "," and len(tail) == 4 and not decimals:
            raise ValueError(f"may be {head}.{tail[1:]} or {head}{tail[1:]}", "no mark between thousands")
        if mark != "." or not decimals:
            return head + tail.replace(mark, "") + decimals
    if _DECIMAL_COMMA.fullmatch(text):
        raise DecimalComma("is not a number: it has a decimal comma", "with a decimal point")
    return text


def number_and_unit(text: str) -> tuple[str, str]:
    """Return the number that a text begins with, as it is written, and what follows it."""
    match = _UNIT.fullmatch(text)
    return (match[1], match[2] or "") if match else (text, "")


def decimal_mark(cells: Iterable[str], separator: str) -> Literal[".", ","]:
    """Return the mark before the decimals of a file, from its cells with numbers and what separates its cells.

    Commas between cells: a point. Else what the numbers have that can have nothing else: 7,36 a comma, 7.36 a point;
    where they have both or none, a comma between semicolons, as spreadsheets write where commas are decimal marks.
    """
    if separator == ",":
        return "."
    numbers = [cell.strip().translate(_MINUS) for cell in cells]
    commas = any(_DECIMAL_COMMA.fullmatch(n) and not _ONE_POINT.fullmatch(n.replace(",", ".")) for n in numbers)
    points = any("." in n and _NUMBER.fullmatch(n) and not _ONE_POINT.fullmatch(n) for n in numbers)
    return "," if (commas and not points) or (separator == ";" and commas >= points) else "."


def with_point(text: str, *, unit: bool = False) -> str:
    """Return a number of a file whose decimal mark is the comma with a decimal point; with a `unit`, what follows too.

    7,36 is 7.36 and 1.234,5 is 1234.5. Raises ValueError for 1.234, which may be either, and, where no unit follows,
    for a decimal point.
    """
    number, rest = number_and_unit(text) if unit else (text, "")
    number = number.translate(_MINUS)
    whole_or_thousands(number)
    if _DECIMAL_COMMA.fullmatch(number):
        whole, decimals = number.split(",")
        return f"{re.sub(rf"[.'\u2019{_SPACES}]", '', whole)}.{decimals} {rest}".rstrip()
    if "." in number and not unit and not _POINTS_BETWEEN.fullmatch(number):
        raise ValueError("has a decimal point, and others of the file a decimal comma", "one decimal mark in a file")
    return text


def whole_or_thousands(text: str) -> None:
    """Raise ValueError for a plain number that is another one where points stand between thousands: 2.000."""
    if _ONE_POINT.fullmatch(text):
        raise ValueError(f"may be {float(text):g} or {text.replace('.', '')}", "no mark between thousands")


def is_number(cell: str) -> bool:
    """Return whether a cell holds a number and nothing else, with marks of any kind."""
    try:
        return bool(_NUMBER.fullmatch(plain_number(cell.strip())))
    except ValueError:
        return True


def text(cell: str | None) -> str:
    """Return a text that can be shown: no control characters, at most LONGEST."""
    if cell is None:
        raise ValueError("is empty")
    if not cell.isprintable() and has_control_character(cell):
        raise ValueError("holds a control character")
    if len(cell) > LONGEST:
        raise ValueError(f"has {len(cell)} characters", f"at most {LONGEST} characters")
    return cell


def one_of_texts(cell: str | None) -> str:
    """Return a text as it is seen, to be held against those that are known."""
    return seen(text(cell))


def number(cell: str | None) -> float:
    """Return the number of a cell."""
    return float(_digits(cell))


def whole(cell: str | None) -> int:
    """Return the whole number of a cell."""
    digits = _digits(cell)
    whole_or_thousands(digits)
    figure = float(digits)
    if figure != int(figure):
        raise ValueError("is not a whole number")
    return int(figure)


def _digits(cell: str | None) -> str:
    """Return the number of a cell as programs write it."""
    if cell is None:
        raise ValueError("is empty")
    digits = plain_number(cell)
    if not _NUMBER.fullmatch(digits):
        raise ValueError("is not a number" + ": it is a bound" * digits.startswith(("<", ">", "\u2264", "\u2265")))
    if not abs(float(digits)) <= LARGEST:
        raise ValueError("is too large")
    return digits
