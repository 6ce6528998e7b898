"""Numbers as people and machines read them: one way each."""

import math
from collections.abc import Callable
from typing import NamedTuple


class Written(NamedTuple):
    """A simulated figure and its Monte Carlo standard error as text; both empty where there is none."""

    value: str
    mcse: str


def percent(share: float | None) -> str:
    """Write a share as per cent: whole numbers where they are, else one decimal, two near 0 and 100 %.

    Nothing is rounded to certainty: what is not 0 or 100 % does not read as if it were. Nothing where there is none.
    """
    if share is None:
        return ""
    value = 100 * share
    if 0 < value < 0.005:
        return "< 0.01 %"
    if 99.995 <= value < 100:
        return "> 99.99 %"
    decimals = 0 if abs(value - round(value)) < 1e-9 else 1 if 1 <= value <= 99 else 2
    return f"{value:.{decimals}f} %"


def figure(value: float | None) -> str:
    """Write a figure with three digits; nothing where there is none."""
    return "" if value is None else f"{value:.3g}"


def decimals(value: float | None, places: int = 2, sign: str = "-") -> str:
    """Write a figure with so many decimals; nothing where there is none. sign "+" writes it of positive ones too."""
    return "" if value is None else f"{value:{sign}.{places}f}"


def money(low: float, high: float, currency: str) -> str:
    """Write an amount, or a range of amounts, with three digits: about 4.12 million EUR; 873,000 to 951,000 EUR."""
    unit, of = (" million", 1e6) if high >= 1e6 else ("", 1.0)
    ends = [_three_digits(end / of) for end in (low, high)]
    return (f"about {ends[0]}" if ends[0] == ends[1] else " to ".join(ends)) + f"{unit} {currency}"


def _three_digits(value: float) -> str:
    return f"{float(f'{value:.3g}'):,.0f}" if value >= 100 else f"{value:.3g}"


def share(value: float, mcse: float) -> Written:
    """Write a share and its MCSE as per cent."""
    return Written(*(percent(x) if math.isfinite(x) else "" for x in (value, mcse))) if math.isfinite(value) else NONE


def number(value: float, mcse: float) -> Written:
    """Write a figure to the decimals in which its MCSE has two digits, four at most."""
    if not math.isfinite(value):
        return NONE
    places = min(max(1 - math.floor(math.log10(mcse)), 0), 4) if math.isfinite(mcse) and mcse > 0 else 2
    value = round(value, places) + 0.0  # no minus before nought
    return Written(f"{value:.{places}f}", f"{mcse:.{places}f}" if math.isfinite(mcse) else "")


NONE = Written("", "")


def plain(value: object) -> object:
    """Return a value for JSON: lists and tables of it, numbers to six decimals, null where one is not finite."""
    return _each(value, lambda number: round(number, 6))


def exact(value: object) -> object:
    """Return a value for JSON as `plain`, numbers to nine digits: figures that a page shows with few of them."""
    return _each(value, lambda number: float(f"{number:.9g}"))


def _each(value: object, rounded: Callable[[float], float]) -> object:
    """Return a value with every finite number in it rounded, and None in place of the others."""
    if isinstance(value, dict):
        return {k: _each(v, rounded) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_each(v, rounded) for v in value]
    if isinstance(value, float):
        return rounded(value) if math.isfinite(value) else None
    return value
