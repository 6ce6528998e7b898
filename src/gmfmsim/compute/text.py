"""Numbers as people and machines read them: one way each."""

import math
from typing import NamedTuple


class Written(NamedTuple):
    """A simulated figure and its Monte Carlo standard error as text; both empty where there is none."""

    value: str
    mcse: str


def percent(share: float) -> str:
    """Write a share as per cent: whole numbers where they are, else one decimal, two near 0 and 100 %.

    Nothing is rounded to certainty: what is not 0 or 100 % does not read as if it were.
    """
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
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


def exact(value: object) -> object:
    """Return a value for JSON as `plain`, numbers to nine digits: figures that a page shows with few of them."""
    if isinstance(value, dict):
        return {k: exact(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [exact(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.9g}") if math.isfinite(value) else None
    return value
