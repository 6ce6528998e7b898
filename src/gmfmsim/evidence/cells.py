"""One cell: what a person or a spreadsheet wrote becomes a value, or it is said what is wrong with it.

Every function raises ValueError with the problem and, as a second argument where it helps, what to write instead.
"""

import re

from gmfmsim.evidence.columns import Column
from gmfmsim.evidence.names import seen
from gmfmsim.faults import has_control_character

LARGEST = 1e15
"""No figure of the tables is larger; what is would overflow when squared."""

LONGEST = 5000
"""Characters of a text: ten times the longest note of the shipped tables."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_MINUS = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d"), "-")
_SPACES = " \u00a0\u2007\u2009\u202f"
_GROUPS = re.compile(rf"([+-]?[1-9]\d{{0,2}})(([,.'\u2019{_SPACES}])\d{{3}}(?:\3\d{{3}})*)(\.\d+)?", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?(\d*|\d{1,3}(\.\d{3})+),\d+([eE][+-]?\d+)?", re.ASCII)
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


def whole_or_thousands(text: str) -> None:
    """Raise ValueError for a plain number that is another one where points stand between thousands: 2.000."""
    if _ONE_POINT.fullmatch(text):
        raise ValueError(f"may be {float(text):g} or {text.replace('.', '')}", "no mark between thousands")


def value_of(column: Column, cell: str) -> str | float | int | None:
    """Return the value of a cell as its column says; None for an empty one."""
    cell = cell.strip()
    if not cell:
        if column.required:
            raise ValueError("is empty")
        return None
    return _text(column, cell) if column.kind == "text" else _number(column, cell)


def is_number(cell: str) -> bool:
    """Return whether a cell holds a number and nothing else, with marks of any kind."""
    try:
        return bool(_NUMBER.fullmatch(plain_number(cell.strip())))
    except ValueError:
        return True


def check_range(column: Column, value: float) -> None:
    """Raise ValueError if a number lies outside what the column allows."""
    if (
        (column.low is not None and value < column.low)
        or (column.above is not None and value <= column.above)
        or (column.high is not None and value > column.high)
    ):
        raise ValueError("is out of range")


def _text(column: Column, cell: str) -> str:
    if not cell.isprintable() and has_control_character(cell):
        raise ValueError("holds a control character")
    if len(cell) > LONGEST:
        raise ValueError(f"has {len(cell)} characters", f"at most {LONGEST} characters")
    if column.choices and cell not in column.choices:
        same = [choice for choice in column.choices if choice == seen(cell)]
        if not same:
            raise ValueError("is not a known value")
        return same[0]
    return cell


def _number(column: Column, cell: str) -> float | int:
    text = plain_number(cell)
    if not _NUMBER.fullmatch(text):
        raise ValueError("is not a number" + ": it is a bound" * text.startswith(("<", ">", "\u2264", "\u2265")))
    value = float(text)
    if not abs(value) <= LARGEST:
        raise ValueError("is too large")
    if column.kind == "integer":
        whole_or_thousands(text)
        if value != int(value):
            raise ValueError("is not a whole number")
    check_range(column, value)
    return int(value) if column.kind == "integer" else value
