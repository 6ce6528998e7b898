"""What a trial costs: amounts by what they are paid for, times how often that is."""

from collections.abc import Iterable
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import field_validator, model_validator
from pydantic_core import PydanticCustomError

from gmfmsim.evidence.prices import price_scenarios
from gmfmsim.faults import choices
from gmfmsim.files.toml import Spec, key
from gmfmsim.trial.design import Design
from gmfmsim.trial.recruitment import Recruitment, duration, screened

PAID_FOR = {
    "screened": "children screened",
    "treated": "children with cells",
    "control": "children without",
    "visit": "visits, the baseline included",
    "infusion": "infusions of cells",
    "centre": "centres",
    "month": "months to the last visit, their median",
    "fixed": "the trial as a whole",
}
"""What each amount of [cost] is paid for."""

OF_RECRUITMENT = ("centre", "month")
"""The amounts that ask for [recruitment]."""


MOST = 1e12
"""The largest amount."""


class Amount(Spec):
    """Money, from low to high; a number is both."""

    low: Annotated[float, key("least", "currency", example=15_000, ge=0, le=MOST)]
    high: Annotated[float, key("most", "currency", example=20_000, ge=0, le=MOST)]

    @model_validator(mode="after")
    def _rising(self):
        if self.low > self.high:
            raise PydanticCustomError("amount", "low up to high, or one number")
        return self

    def times(self, count: float) -> "Amount":
        """Return the amount so many times over."""
        return self.model_copy(update={"low": self.low * count, "high": self.high * count})


class Cost(Spec):
    """What is paid, each time, in one currency: of an amount that is a number, low and high are the same."""

    scenario: Annotated[
        str | None,
        key("price of prices.csv, which then is its amount and the currency", example="clinic_list_price_europe"),
    ] = None
    currency: Annotated[str, key("of all amounts", example="EUR", pattern=r"^[A-Z]{3}$")] = "EUR"
    screened: Annotated[Amount | None, key("for a child screened", "currency", example=300)] = None
    treated: Annotated[Amount | None, key("for a child with cells", "currency", example=20_000)] = None
    control: Annotated[Amount | None, key("for a child without cells", "currency", example=2_000)] = None
    visit: Annotated[Amount | None, key("for a visit, the baseline too", "currency", example=250)] = None
    infusion: Annotated[Amount | None, key("for an infusion of cells", "currency", example=1_500)] = None
    centre: Annotated[Amount | None, key("for a centre", "currency", example=25_000)] = None
    month: Annotated[Amount | None, key("for a month of the trial", "currency", example=10_000)] = None
    fixed: Annotated[Amount | None, key("for the trial as a whole", "currency", example=100_000)] = None
    infusions: Annotated[int, key("of a child who gets cells", ge=1, le=100)] = 1
    budget: Annotated[
        float | None,
        key("asks how many children it pays, at the high ends", "currency", example=2_000_000, gt=0, le=1e15),
    ] = None
    source: Annotated[
        str | None, key("where the amounts come from", example="a quote", min_length=3, max_length=300)
    ] = None
    note: Annotated[str | None, key("what to know of them", example="without VAT", min_length=3, max_length=600)] = None

    @model_validator(mode="before")
    @classmethod
    def _taken_from_a_scenario(cls, raw: object) -> object:
        name = raw.get("scenario") if isinstance(raw, dict) else None
        price = price_scenarios().get(name) if isinstance(name, str) else None
        return raw if price is None else _of(price) | raw

    @field_validator(*PAID_FOR, mode="before", json_schema_input_type=float | Amount | None)
    @classmethod
    def _a_number_is_both_ends(cls, amount: object) -> object:
        if isinstance(amount, dict | Amount | None):
            return amount
        number = isinstance(amount, int | float) and not isinstance(amount, bool)
        if not number or not 0 <= amount <= MOST:
            raise PydanticCustomError(
                "amount", "a number from 0 to {most}, or a table: low, high", {"most": f"{MOST:g}"}
            )
        return {"low": amount, "high": amount}

    @field_validator("scenario")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is not None and name not in price_scenarios():
            raise PydanticCustomError("scenario", "{words}", {"words": choices(name, price_scenarios())})
        return name

    @model_validator(mode="after")
    def _one_price_in_one_currency(self):
        if not self.amounts:
            words = ", ".join(PAID_FOR)
            raise PydanticCustomError("cost", "at least one amount: {words}, or a scenario", {"words": words})
        if self.scenario:
            price = price_scenarios()[self.scenario]
            said = {"currency": self.currency, price["amount"]: getattr(self, price["amount"])}
            if said != _of(price):
                words = "scenario {name} without {amount}, and amounts in {currency}"
                told = {"name": self.scenario, "amount": price["amount"], "currency": price["currency"]}
                raise PydanticCustomError("cost", words, told)
        return self

    @property
    def amounts(self) -> dict[str, Amount]:
        """The amounts that are paid, by name."""
        return {name: amount for name in PAID_FOR if (amount := getattr(self, name)) is not None}

    @property
    def without_recruitment(self) -> list[str]:
        """The amounts that nobody can count without [recruitment]."""
        return [name for name in OF_RECRUITMENT if name in self.amounts]


class Item(NamedTuple):
    """One item of the bill: the amount by its name, how often it is paid, and what it comes to."""

    name: str
    count: float
    each: Amount
    whole: Amount


def bill(design: Design, n: int, cost: Cost, recruitment: Recruitment | None = None) -> list[Item]:
    """Return the items of what a trial of n costs; children lost are paid for as if they had stayed.

    Raises ValueError for n that the design cannot have.
    """
    sizes = np.array([*design.sizes(n).values()])
    cells = design.treatment(np.zeros((len(design.arms), 1))).treated
    treated, children = int(sizes[cells].sum()), int(sizes.sum())
    counts = {
        "screened": screened(design, n, recruitment.screening_failures if recruitment else 0.0),
        "treated": treated,
        "control": children - treated,
        "visit": children * (1 + len(design.visits)),
        "infusion": treated * cost.infusions,
        "fixed": 1,
    }
    if recruitment:
        counts |= {"centre": recruitment.centres, "month": duration(design, n, recruitment).median}
    return [Item(name, counts[name], each, each.times(counts[name])) for name, each in cost.amounts.items()]


def total(items: Iterable[Item]) -> Amount:
    """Return the sum of a bill: of all low ends, and of all high ends."""
    wholes = [item.whole for item in items]
    return Amount.model_construct(low=sum(w.low for w in wholes), high=sum(w.high for w in wholes))


def affordable(design: Design, cost: Cost, recruitment: Recruitment | None, most: int) -> int | None:
    """Return the largest n up to `most` whose whole bill the budget pays at the high ends; None where none is paid."""

    def paid(units: int) -> bool:
        return total(bill(design, units * design.step, cost, recruitment)).high <= cost.budget

    low, high = design.fewest // design.step, design.at_most(most) // design.step
    if not paid(low):
        return None
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if paid(middle) else (low, middle - 1)
    return low * design.step


def _of(price: dict) -> dict:
    """Return what a price says of [cost]."""
    return {"currency": price["currency"], price["amount"]: Amount(low=price["low"], high=price["high"])}
