"""What the audit says of one figure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from gmfmsim.evidence.schema import Row

Severity = Literal["error", "doubt", "note"]
"""error: cannot be right. doubt: may be right. note: right or repaired, and to be known."""


@dataclass(frozen=True)
class Finding:
    """One finding: what is printed, what it would have to be, and what that would change.

    rows are lines; where says of which files, as `audit` knows.
    """

    check: str
    severity: Severity
    study: str
    table: str
    rows: tuple[int, ...]
    printed: str
    expected: str
    effect: str
    where: str = ""


def lines(rows: Iterable[Row]) -> tuple[int, ...]:
    """Return the lines that rows stand on, each once, in order."""
    return tuple(sorted({row["row"] for row in rows}))


def weight(old: float, new: float) -> str:
    """Say what another standard error or SD does to the weight of a row, which goes with 1/se^2."""
    return f"{old / new * (old / new):.2g} times its weight"


def listed(words: Iterable[object]) -> str:
    """Join words: a, b and c."""
    *first, last = map(str, words)
    return f"{', '.join(first)} and {last}" if first else last
