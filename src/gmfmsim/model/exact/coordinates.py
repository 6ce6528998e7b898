"""The coordinate in which each parameter is integrated, by its prior."""

import numpy as np

from gmfmsim.model.exact.rules import Coordinate, on_line, on_log, on_log_sinh, on_sinh
from gmfmsim.model.priors.distributions import Distribution
from gmfmsim.model.structure import Structure

EVEN = ("half_normal", "half_cauchy", "half_student_t", "improper_uniform")
"""Priors of scales whose density is an even function; the likelihood is one, since it knows tau by its square."""

TAILS = np.array([1e-15, 1 - 1e-15])
FURTHER = 10.0
"""How many times further than the tails of its prior the posterior of a parameter is looked for (on a log scale they
are far enough)."""


def coordinate(prior: Distribution, model: Structure) -> Coordinate:
    """Return the coordinate in which a parameter is integrated."""
    low, high = prior.support
    if prior.dist in ("lognormal", "turner2015"):
        return on_log(*prior.ppf(TAILS))
    if prior.dist in ("log_student_t", "rhodes2015"):
        return on_log_sinh(prior.location, prior.scale)
    if low == 0 and high == np.inf:
        typical = float(np.median(_standard_errors(model)))
        shape = "even" if prior.dist in EVEN else "interval"
        if not prior.proper:
            return on_sinh(1e6 * typical, typical, shape)
        return on_sinh(FURTHER * float(prior.ppf(TAILS[1])), min(float(prior.ppf(0.5)), typical), shape)
    if np.isfinite(low + high):
        return on_line(low, high, "interval")
    return on_line(*_reach(prior.ppf(TAILS)).tolist(), "line")


def _reach(ends: np.ndarray) -> np.ndarray:
    """Return the ends of an axis, moved out from the tails of its prior: data may contradict it."""
    return ends.mean() + FURTHER * (ends - ends.mean())


def _standard_errors(model: Structure) -> np.ndarray:
    like = model.likelihood
    precision = np.diagonal(like.precision[:, 0], axis1=-2, axis2=-1)
    return precision[like.inside] ** -0.5
