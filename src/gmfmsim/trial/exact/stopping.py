"""Stopping for harm: a trial stops where the rate of an event is probably above a limit; how often, exactly.

After every so many treated children the events among them are counted, and the rate has a beta posterior. The trial
stops if P(rate > limit | events) is above a threshold. What that does at a true rate follows from a recursion over
looks on the number of events: nothing is simulated.
"""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from scipy import special

from gmfmsim.files.toml import Spec, key

MOST_CHILDREN = 5_000
"""Treated children of a trial with a stopping rule."""


class StoppingRule(Spec):
    """When a trial stops for harm: looks, limit and threshold."""

    limit: Annotated[float, key("rate that is too high", "share of treated children", example=0.05, gt=0, lt=1)]
    threshold: Annotated[
        float,
        key("the trial stops if the rate is above the limit with more than this probability", example=0.9, gt=0, lt=1),
    ]
    children: Annotated[
        int, key("children with cells, of the whole trial", "children", example=60, ge=1, le=MOST_CHILDREN)
    ]
    every: Annotated[int, key("a look after every so many of them", "children", example=10, ge=1, le=MOST_CHILDREN)]
    prior_events: Annotated[
        float,
        key(
            "what is known before, as events: of 0.5 in 10 children the prior is Beta(0.5, 9.5)",
            example=0.5,
            gt=0,
            le=1e4,
        ),
    ]
    prior_children: Annotated[float, key("of so many children", "children", example=10, gt=0, le=1e4)]
    rates: Annotated[
        list[Annotated[float, Field(gt=0, lt=1)]],
        key("true rates at which the rule is judged", "share", example=[0.01, 0.05, 0.1], min_length=1, max_length=20),
    ]

    @model_validator(mode="after")
    def _a_look(self):
        if self.every > self.children:
            words = "every {every} of no more than children, {children}"
            raise PydanticCustomError("every", words, {"every": self.every, "children": self.children})
        if self.prior_events >= self.prior_children:
            raise PydanticCustomError("prior_events", "prior_events below prior_children")
        return self

    @property
    def looks(self) -> list[int]:
        """Treated children at each look; the last is the end of the trial."""
        looks = list(range(self.every, self.children + 1, self.every))
        return looks if looks[-1] == self.children else [*looks, self.children]


class Stops(NamedTuple):
    """What a rule does at a true rate: the probability to stop at each look, and the children with cells expected."""

    at_look: np.ndarray
    children: float

    @property
    def ever(self) -> float:
        """The probability to stop at any look."""
        return float(self.at_look.sum())


def probability_above(rule: StoppingRule, events: np.ndarray, n: int) -> np.ndarray:
    """Return P(rate > limit | events of n children), in the shape of events."""
    return special.betaincc(
        rule.prior_events + events, rule.prior_children - rule.prior_events + n - events, rule.limit
    )


def boundary(rule: StoppingRule) -> list[int | None]:
    """Return the fewest events at which the trial stops, for each look; None where no number of events stops it."""
    found: list[int | None] = []
    for n in rule.looks:
        stops = probability_above(rule, np.arange(n + 1.0), n) > rule.threshold  # rises with the events
        found.append(int(np.argmax(stops)) if stops.any() else None)
    return found


def stops(looks: Sequence[int], fewest: Sequence[int | None], rate: float) -> Stops:
    """Return what a rule does if the true rate is `rate`, by recursion over looks.

    Between two looks the events rise by a binomial number; from `fewest` events on the trial stops, and what is left
    goes on.
    """
    going, before, at_look = np.ones(1), 0, []
    for n, least in zip(looks, fewest, strict=True):
        more = n - before
        k = np.arange(more + 1.0)
        log = special.gammaln(more + 1) - special.gammaln(k + 1) - special.gammaln(more - k + 1)
        added = np.exp(log + k * np.log(rate) + (more - k) * np.log1p(-rate))
        now = np.zeros(n + 1)
        for i, share in enumerate(added):
            now[i : i + going.size] += share * going
        cut = now.size if least is None else least
        at_look.append(now[cut:].sum())
        now[cut:] = 0.0
        going, before = now, n
    at, all_looks = np.array(at_look), np.array(looks, float)
    return Stops(at, float((at * all_looks).sum() + going.sum() * all_looks[-1]))
