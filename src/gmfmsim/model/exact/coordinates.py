"""The coordinate in which each parameter is integrated, by its prior."""

import numpy as np

from gmfmsim.dist.distributions import Distribution
from gmfmsim.model.exact.rules import Coordinate, on_line, on_log, on_log_sinh, on_sinh
from gmfmsim.model.structure import Structure
from gmfmsim.model.terms import SCALES

EVEN = ("half_normal", "half_cauchy", "half_student_t", "improper_uniform")
"""Priors of scales whose density is an even function; the likelihood is one, since it knows a scale by its square."""

TAILS = np.array([1e-15, 1 - 1e-15])
"""Between these quantiles of its prior the posterior of a parameter is first looked for."""
LEAST = 1e-100
"""The smallest unit of an axis."""
FARTHEST_SDS = 1e6
"""How many times further than that the axis of a parameter on the whole line goes."""


def coordinate(name: str, prior: Distribution, model: Structure, order: float) -> Coordinate:
    """Return the coordinate in which a parameter is integrated; order: that below which its moments exist."""
    low, high = prior.support
    moments = int(np.clip(np.ceil(order) - 1, 0, 2))
    if prior.dist in ("lognormal", "turner2015"):
        center, reach = np.log(prior.median), prior.sigma * 8
        return on_log(np.array([center - reach, center + reach]), moments)
    if prior.dist in ("log_student_t", "rhodes2015"):
        return on_log_sinh(prior.location, prior.scale)
    if prior.dist in ("gamma", "log_logistic") and prior.shape < 1:  # without bound towards 0
        return on_log(np.log(np.maximum(prior.ppf(TAILS), LEAST)), moments)
    if low == 0 and high == np.inf:
        typical = float(np.median(_standard_errors(model)))
        shape = "even" if prior.dist in EVEN and name in SCALES else "interval"
        if not prior.proper:
            return on_sinh(typical, shape, 1e3 * typical, moments)
        scale = min(float(prior.ppf(0.5)), typical) if name in SCALES else float(prior.ppf(0.5))
        return on_sinh(max(scale, LEAST), shape, float(prior.ppf(TAILS[1])), moments)
    if np.isfinite(low + high):
        return on_line(low, high, "interval", (low, high))
    start = prior.ppf(TAILS)
    low, high = (start.mean() + FARTHEST_SDS * (start - start.mean())).tolist()
    return on_line(low, high, "line", tuple(start.tolist()))


def _standard_errors(model: Structure) -> np.ndarray:
    like = model.likelihood
    precision = np.diagonal(like.precision[:, 0], axis1=-2, axis2=-1)
    return precision[like.inside] ** -0.5
