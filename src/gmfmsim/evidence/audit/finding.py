"""What the audit says of one figure, and how exactly a printed figure is known."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from gmfmsim.evidence.read import Row

Severity = Literal["error", "doubt", "note"]
"""error: cannot be right. doubt: may be right. note: right or repaired, and to be known."""

EPS = 1e-9


@dataclass(frozen=True)
class Finding:
    """One finding: what is printed, what it would have to be, and what that would change. `rows` are lines."""

    check: str
    severity: Severity
    study: str
    table: str
    rows: tuple[int, ...]
    printed: str
    expected: str
    effect: str


def lines(rows: Iterable[Row]) -> tuple[int, ...]:
    """Return the lines that rows stand on, each once, in order."""
    return tuple(sorted({row["row"] for row in rows}))


def decimals(figure: float) -> int:
    """Return the decimals a figure is printed with; trailing zeros are not known."""
    return max(0, -int(Decimal(repr(figure)).normalize().as_tuple().exponent))


def half_unit(*figures: float) -> float:
    """Return half a unit in the last place of figures that are printed alike: the finest of them counts."""
    return 0.5 * 10.0 ** -max(map(decimals, figures))


def same_figure(a: float | None, b: float | None) -> bool:
    """Return whether two prints may be one figure: equal, or one the other rounded. None is not printed."""
    if a is None or b is None:
        return True
    coarse = 0.0 if decimals(a) == decimals(b) else max(half_unit(a), half_unit(b))
    return abs(a - b) <= coarse + EPS


def weight(old: float, new: float) -> str:
    """Say what another standard error or SD does to the weight of a row, which goes with 1/se^2."""
    return f"{old / new * (old / new):.2g} times its weight"


def listed(words: Iterable[object]) -> str:
    """Join words: a, b and c."""
    *first, last = map(str, words)
    return f"{', '.join(first)} and {last}" if first else last
