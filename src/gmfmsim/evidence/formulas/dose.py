"""Doses with explicit units: total cells per kg body weight over all infusions."""

import math
import re
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator, PlainSerializer
from pydantic_core import PydanticCustomError

from gmfmsim.faults import shown

MOST_CELLS = 1e12
"""No dose is larger, in cells or in cells per kg."""

LEAST_PER_KG = 1e3
"""A total dose below this, in cells per kg, has lost its exponent: the lowest of the shipped trials is 2.7e5."""

WEIGHT_SPREAD = 0.30
"""Children of one age weigh this share less or more than the rule of `weight_kg` says."""

LEAST_LOG10_SD = 0.03
"""Floor of log10_dose_sd: a reported dose is a mean or a target, about 7 % off."""

AMOUNT = f'"5e7 cells/kg" or "2e8 cells", at most {MOST_CELLS:g}: the total over all infusions; 0 for no cells'
_FORM = re.compile(r"([0-9.]+(?:[eE][+-]?[0-9]+)?)\s*(.*)", re.DOTALL)
_PER_KG = ("cells/kg", "cells per kg", "cells_per_kg")


class Amount(NamedTuple):
    """Cells as a paper prints them: a number per kg body weight, or a number per child."""

    value: float
    per_kg: bool


class Weight(NamedTuple):
    """Body weight in kg: centre, and the range of the children."""

    low: float
    centre: float
    high: float


class DosePerKg(NamedTuple):
    """A dose in cells/kg with its range, log10 of it, and the SD of that log: how well the typical dose is known."""

    dose: float
    low: float
    high: float
    log10_dose: float
    log10_dose_sd: float


def parse_amount(text: str) -> Amount:
    """Return the cells that `text` names: "5e7 cells/kg", "2e8 cells", or "0", which alone needs no unit.

    Raises ValueError for a number without unit, another unit, or more than 1e12.
    """
    value, unit = _number_and_unit(text)
    if value is None or not (unit == "cells" or unit in _PER_KG or (value == 0 and not unit)):
        raise ValueError(f"{shown(text)} is not an amount of cells with its unit: {AMOUNT}")
    return Amount(value, unit != "cells")


def parse_dose(value: object) -> float:
    """Return a dose in cells per kg from text such as "5e7 cells/kg"."""
    dose, unit = _number_and_unit(value) if isinstance(value, str) else (None, "")
    if dose is None or unit not in _PER_KG:
        allowed = 'a dose with its unit, such as "5e7 cells/kg" (total over all infusions; "0 cells/kg" for control)'
        raise PydanticCustomError("dose", "{allowed}", {"allowed": f"{allowed}, at most {MOST_CELLS:g}"})
    return dose


def write_dose(dose: float) -> str:
    """Return the text that parse_dose reads as exactly this dose."""
    return f"{dose:g} cells/kg" if float(f"{dose:g}") == dose else f"{dose!r} cells/kg"


Dose = Annotated[float, BeforeValidator(parse_dose, json_schema_input_type=str), PlainSerializer(write_dose)]


def weight_kg(age_y: float) -> Weight:
    """Return the body weight assumed at an age: 2 (age + 4) kg, range +-30 %, for children up to 18 years.

    The rule of emergency medicine for ages 1 to 10. It gives the one measured pair of the evidence: 4.3 y, 16.6 kg
    (Rah 2017).

    Raises ValueError for an age outside 0 to 18.
    """
    if not 0 <= age_y <= 18:
        raise ValueError(f"age_y = {age_y}: must be from 0 to 18 years")
    centre = 2 * (age_y + 4)
    return Weight((1 - WEIGHT_SPREAD) * centre, centre, (1 + WEIGHT_SPREAD) * centre)


def cells_per_kg(
    cells: float,
    weight_low: float,
    weight: float,
    weight_high: float,
    *,
    cells_low: float | None = None,
    cells_high: float | None = None,
) -> DosePerKg:
    """Return the dose per kg of a number of cells per child, from the centre and range of the weights in kg.

    dose = cells / weight, low = cells_low / weight_high, high = cells_high / weight_low (by default cells_low =
    cells_high = cells); log10_dose_sd = max(0.03, log10(high / low) / 4): the range read as two SDs either way.

    Raises ValueError if a figure is not finite and above 0, or a range is not in order.
    """
    cells_low = cells if cells_low is None else cells_low
    cells_high = cells if cells_high is None else cells_high
    for name, figures in (("cells", (cells_low, cells, cells_high)), ("weight", (weight_low, weight, weight_high))):
        if not 0 < figures[0] <= figures[1] <= figures[2] < math.inf:
            raise ValueError(f"{name} low, centre, high = {figures}: must be finite, above 0 and in this order")
    dose, low, high = cells / weight, cells_low / weight_high, cells_high / weight_low
    return DosePerKg(dose, low, high, math.log10(dose), max(LEAST_LOG10_SD, math.log10(high / low) / 4))


def _number_and_unit(text: str) -> tuple[float | None, str]:
    """Return the number and what follows it; no number where there is none, or one above the most."""
    match = _FORM.fullmatch(text.strip())
    try:
        value = float(match[1]) if match else math.inf
    except ValueError:  # several points
        value = math.inf
    return (value if value <= MOST_CELLS else None), match[2] if match else ""
