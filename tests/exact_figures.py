"""Figures of exact posteriors that only tests ask for: shortest intervals, modes, probabilities of readings."""

import numpy as np
from scipy import optimize

from gmfmsim.compute.algebra import dot
from gmfmsim.dist.mixture import NormalMixture
from gmfmsim.model.exact import ExactPosterior
from gmfmsim.model.exact.quadrature import Marginal


def shortest(found: Marginal | NormalMixture, prob: float) -> tuple[float, float]:
    """The shortest interval with a probability, of a density with one peak."""

    def length(p: float) -> float:
        return found.quantile(p + prob) - found.quantile(max(p, 1e-300))

    inside = optimize.minimize_scalar(
        length, bounds=(1e-10, 1 - prob - 1e-10), method="bounded", options={"xatol": 1e-9}
    )
    best = min((float(inside.x), 0.0), key=length)  # a density may fall from its lower end on
    return found.quantile(max(best, 1e-300)), found.quantile(best + prob)


def mode(found: Marginal) -> float:
    """The value of largest density."""
    axis, to = found.rule, found.coordinate
    fine = np.linspace(axis.low, axis.high, 8 * axis.points)

    def falling(x):
        x = np.asarray(x)
        return -dot(axis.basis(x), found.values) * np.exp(-to.log_slope(x))

    k = int(np.argmin(falling(fine)))
    ends = fine[max(k - 1, 0)], fine[min(k + 1, fine.size - 1)]
    best = optimize.minimize_scalar(falling, bounds=ends, method="bounded", options={"xatol": 1e-9}).x
    return float(to.value(np.array(min((*ends, best), key=falling))))


def state_probability(exact: ExactPosterior) -> list[np.ndarray]:
    """Posterior probability of the states of the likelihood, one array for each block."""
    states = exact.prepared.states
    start, base, sizes = states.start, states.base, np.diff(states.start)
    tensor = np.bincount(exact.combination, exact.weight, states.combinations).reshape(sizes)
    out = []
    for b in range(sizes.size):
        marginal = tensor.sum(axis=tuple(i for i in range(sizes.size) if i != b))
        out.append(np.bincount(base[start[b] : start[b + 1]], marginal))
    return out
