"""The states of the likelihood's blocks: readings of suspect figures, and sizes of unknown standard errors."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from gmfmsim.compute.algebra import gauss_hermite
from gmfmsim.model.likelihood import NEVER
from gmfmsim.model.structure import Structure

HERMITE = 13
"""The most points for the unknown size of one standard error."""
OFFSETS = np.linspace(-7, 7, 57)
"""Where that posterior is looked for, in standard deviations of the prior."""
FEWEST, PER_LOG_SD = 3, 20
"""Points for one unknown standard error: so many, and so many more for each unit of the SD of its logarithm."""


@dataclass(frozen=True)
class States:
    """The states of all blocks in one list: start (B + 1,); effect (S, n), whiten (S, n, n), constant (S,).

    A standard error of unknown size gives a state several states, one for each Gauss-Hermite node of its u. `base`
    (S,) is the state of the likelihood that each stands for.
    """

    start: np.ndarray
    effect: np.ndarray
    whiten: np.ndarray
    constant: np.ndarray
    base: np.ndarray

    @property
    def combinations(self) -> int:
        """How many combinations of states there are."""
        return int(np.prod(np.diff(self.start), dtype=float))


def expand(model: Structure, points: int, center=None, width=None) -> States:
    """Return the states of the likelihood, those with unknown standard errors at Gauss-Hermite nodes.

    The nodes u = center + width x have the weights of Normal(0, 1) against Normal(center, width); center and width
    (B, states), by default 0 and 1. There are at most `points` of them, fewer where a standard error is nearly known.
    """
    like = model.likelihood
    if not like.uncertain_spread:
        block, state = np.nonzero(like.log_weight > NEVER)
        start = np.concatenate([[0], np.cumsum(like.states)])
        return States(start, *(v[block, state] for v in (like.effect, like.whiten, like.log_constant)), state)
    start, effect, whiten, constant, base = [0], [], [], [], []
    for block in range(len(like.index)):
        for state in range(like.states[block]):
            log_sd = like.log_se_sd[block, state]
            unknown = np.unique(like.uncertain[block][log_sd > 0])
            c, s = (0.0, 1.0) if center is None else (center[block, state], width[block, state])
            n = min(points, int(np.ceil(FEWEST + PER_LOG_SD * log_sd.max())))
            x, w = gauss_hermite(n)
            log_w = np.log(w) + x**2 / 2
            for nodes in np.ndindex(*(n,) * unknown.size):
                u, chosen = np.zeros(max(1, len(like.uncertain_spread))), list(nodes)
                u[unknown] = c + s * x[chosen]
                log_scale = log_sd * u[like.uncertain[block]]
                effect.append(like.effect[block, state])
                whiten.append(like.whiten[block, state] * np.exp(-log_scale))
                weight = (log_w[chosen] - u[unknown] ** 2 / 2 + np.log(s)).sum()
                constant.append(like.log_constant[block, state] - log_scale.sum() + weight)
                base.append(state)
        start.append(len(effect))
    return States(np.array(start), np.array(effect), np.array(whiten), np.array(constant), np.array(base))


def where_sizes_are(model: Structure, mean: np.ndarray, gains: list) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation (B, states) of the u of unknown standard errors, given all else.

    mean (K,), gains: of `Likelihood.by_state`. The standard deviation is kept from 0.3 to 1: the nodes for one that is
    too small would miss what is far from these means.
    """
    like = model.likelihood
    spread = np.repeat(OFFSETS[:, None], len(like.uncertain_spread), axis=1)
    log_p = like.by_state(mean, gains, like.log_scale(spread)) - OFFSETS[:, None, None] ** 2 / 2
    weight = special.softmax(log_p, axis=0)
    center = (OFFSETS[:, None, None] * weight).sum(axis=0)
    width = np.sqrt((weight * (OFFSETS[:, None, None] - center) ** 2).sum(axis=0))
    return center, np.clip(width, 0.3, 1.0)
