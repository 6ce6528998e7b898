"""What a trial is worth, as a plan declares it: what a gain pays, for whom, for how long, and what treatment costs."""

import math
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from gmfmsim.evidence.formulas.dose import Dose
from gmfmsim.files.toml import Spec, key
from gmfmsim.trial.cost import MOST, Cost
from gmfmsim.trial.design import Design
from gmfmsim.trial.exact import qualifies

MONTHS_A_YEAR = 12


class Value(Spec):
    """What a gain is worth and to how many: judgements of whoever asks, for which there is no default.

    Treatment is taken at a dose where benefit x the mean of studies there pays for it. A trial is worth what it gains,
    after it has been read out, by changing that decision.
    """

    benefit: Annotated[
        float,
        key("what a GMFM-66 point gained is worth, of one child", "currency a point", example=10_000, gt=0, le=MOST),
    ]
    reach: Annotated[
        float, key("treated each year if treatment is taken", "children a year", example=1_000, gt=0, le=1e8)
    ]
    horizon: Annotated[
        float, key("for which the decision holds, from the start of the trial on", "years", gt=0, le=100)
    ] = 10
    discount: Annotated[float, key("by which a later gain counts less", "share a year", ge=0, le=0.5)] = 0.03
    treatment_cost: Annotated[
        float | None,
        key(
            "of a treated child; without it the high end of cost.treated, else 0",
            "currency",
            example=20_000,
            ge=0,
            le=MOST,
        ),
    ] = None
    margin: Annotated[
        float | None,
        key(
            "a mean gain of so many is worthwhile; without it that which pays for treatment",
            "GMFM-66 points",
            example=1.0,
            ge=-50,
            le=50,
        ),
    ] = None
    currency: Annotated[
        str | None, key("of all amounts; that of [cost], else EUR", example="EUR", pattern=r"^[A-Z]{3}$")
    ] = None
    n: Annotated[
        list[Annotated[int, Field(ge=4, le=10_000_000)]] | None,
        key(
            "at most so many in all at which the worth is shown; made from the answer where none is said",
            "children",
            example=[100, 200, 400],
            min_length=1,
            max_length=60,
        ),
    ] = None
    doses: Annotated[
        list[Dose] | None,
        key(
            "of the active arm, each asked for; its own and some that were studied where none is said",
            example=["5e7 cells/kg"],
            min_length=1,
            max_length=12,
        ),
    ] = None
    source: Annotated[
        str | None, key("where the figures come from", example="a panel", min_length=3, max_length=400)
    ] = None
    note: Annotated[str | None, key("what to know of them", example="assumed", min_length=3, max_length=600)] = None

    @field_validator("doses")
    @classmethod
    def _with_cells(cls, doses: list[float] | None) -> list[float] | None:
        if any(dose <= 0 for dose in doses or ()):
            raise PydanticCustomError("doses", "doses above 0 cells/kg: treatment, not control, is decided on")
        return doses

    def of(self, cost: Cost | None) -> "Value":
        """Return the declaration with what it leaves to [cost] written out: treatment cost, currency and margin."""
        treated = cost.treated.high if cost and cost.treated else 0.0
        paid = treated if self.treatment_cost is None else self.treatment_cost
        currency = self.currency or (cost.currency if cost else "EUR")
        margin = paid / self.benefit if self.margin is None else self.margin
        return self.model_copy(update={"treatment_cost": paid, "currency": currency, "margin": margin})

    @property
    def border(self) -> float:
        """The mean gain that pays for treatment, in points; of a declaration written out, see `of`."""
        return self.treatment_cost / self.benefit


def reached(value: Value, months: float) -> float:
    """Return how many children the decision reaches after so many months, later ones discounted:

    reach x integral of (1 + discount)^-t over t from months / 12 to horizon, in years; 0 beyond the horizon.
    """
    start, end, rate = months / MONTHS_A_YEAR, value.horizon, math.log1p(value.discount)
    if start >= end:
        return 0.0
    years = end - start if rate == 0 else -math.exp(-rate * start) * math.expm1(-rate * (end - start)) / rate
    return value.reach * years


def no_worth(design: Design) -> str | None:
    """Return, in words, why what a trial is worth is not known in closed form; None where it is."""
    first = design.analyses[0]
    if design.looks:
        return "it has looks: where they stop it hangs on its estimate, which then errs"
    if design.control is None:
        return "it has no control group: its estimate holds what children gain without cells"
    if first.scale != "points":
        return f"{first.label} does not estimate a gain in points"
    if why := qualifies(design, first):
        return f"the error of {first.label} is not known without sampling: {why}"
    return None
