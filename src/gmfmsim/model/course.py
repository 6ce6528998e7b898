"""How an effect goes with time: what posterior and prior of a model with a course say of rise, peak and decline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from gmfmsim.compute.algebra import dot, product
from gmfmsim.model.average import Member
from gmfmsim.model.curves import month_of_largest, time_course
from gmfmsim.model.draws import by_draw
from gmfmsim.model.exact import ExactPosterior
from gmfmsim.model.exact.rules import rule
from gmfmsim.model.terms import COURSE

STEPS = {"rise": 60, "peak": 240, "decline": 60}
"""Points on which what is said of a course is integrated; most for the peak, on which it hangs most sharply."""
SLIGHT = 0.8
"""A decline is slight if an effect keeps at least this share of itself, from month 6 to month 12."""

type Said = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""Whether something holds of a course (rise, peak, decline), arrays that broadcast."""


def _kept_slightly_less(*course: np.ndarray) -> np.ndarray:
    at_6, at_12 = time_course(6.0, *course), time_course(12.0, *course)
    return (at_12 < at_6) & (at_12 >= SLIGHT * at_6)


STATEMENTS: Mapping[str, Said] = {
    "the effect is largest before month 6": lambda *course: month_of_largest(*course) < 6,
    "the effect is largest before month 12": lambda *course: month_of_largest(*course) < 12,
    "the effect is largest before month 24": lambda *course: month_of_largest(*course) < 24,
    "less of it is there at month 12 than at month 6": lambda *course: (
        time_course(12.0, *course) < time_course(6.0, *course)
    ),
    "it peaks at 6 months and is kept at 12 with a slight decline (2020 review): largest between months 3 and 9, at "
    f"month 12 less than at month 6, but at least {100 * SLIGHT:g} % of it": lambda *course: (
        (month_of_largest(*course) >= 3) & (month_of_largest(*course) <= 9) & _kept_slightly_less(*course)
    ),
}
"""What is asked of a course, and in which words."""


class Told(NamedTuple):
    """How probable a statement is before the data, and after them."""

    that: str
    prior: float
    posterior: float


def statements(members: list[Member]) -> list[Told]:
    """Return how probable each of STATEMENTS is, over the models with a course in their shares.

    Of an exact posterior by quadrature: the joint density of rise, peak and decline, interpolated between its nodes.
    Of a sampled one the share of draws.
    """
    of_course = [m for m in members if m.has_course]
    total = sum(m.share for m in of_course)
    found = np.zeros((2, len(STATEMENTS)))
    for m in of_course:
        found += m.share / total * np.array([_before(m), _after(m)])
    return [Told(that, *map(float, column)) for that, column in zip(STATEMENTS, found.T, strict=True)]


def _shares(weight: np.ndarray, course: list[np.ndarray]) -> list[float]:
    """Return the share of weight, of any shape, of the courses of which each statement holds."""
    total = weight.sum()
    return [
        float((weight * np.broadcast_to(said(*course), weight.shape)).sum() / total) for said in STATEMENTS.values()
    ]


def _before(member: Member) -> list[float]:
    grid = [(np.arange(STEPS[name]) + 0.5) / STEPS[name] for name in COURSE]
    values = [member.spec.priors[name].ppf(p) for name, p in zip(COURSE, grid, strict=True)]
    return _shares(np.ones([p.size for p in grid]), list(np.meshgrid(*values, indexing="ij", sparse=True)))


def _after(member: Member) -> list[float]:
    if isinstance(member.mixture, ExactPosterior):
        return _exactly(member.mixture)
    group = member.tree["posterior"].to_dataset()
    draws = [by_draw(group[name]) for name in COURSE]
    return _shares(np.ones(draws[0].size), draws)


def _exactly(exact: ExactPosterior) -> list[float]:
    """Return the probabilities of an exact posterior; what is held at a value has one point."""
    ready, density, values = exact.prepared, exact.density, []
    places = {name: i for i, name in enumerate(ready.names) if name in COURSE}
    for i in reversed(range(len(ready.names))):
        if i not in places.values():
            density = dot(np.moveaxis(density, i, -1), exact.box.rules[i].weights)
    for name, i in places.items():  # each axis that is left in its turn becomes the last
        own = exact.box.rules[i]
        fine = rule(own.low, own.high, STEPS[name], "interval")
        to_fine = (own.basis(fine.nodes) * fine.weights[:, None]).T
        density = product(np.moveaxis(density, 0, -1)[..., None, :], to_fine)[..., 0, :]
        values.append(ready.axes[i].value(fine.nodes))
    course = dict(zip(places, np.meshgrid(*values, indexing="ij", sparse=True), strict=True))
    course |= {name: np.asarray(ready.held[name]) for name in COURSE if name in ready.held}
    return _shares(np.maximum(density, 0.0), [course[name] for name in COURSE])
