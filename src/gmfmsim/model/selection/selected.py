"""The density of reported effects that were published in proportion to weights of their p values."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gmfmsim.compute.algebra import gauss_legendre, inverse
from gmfmsim.model.exact import Refused
from gmfmsim.model.likelihood import LOG_2PI
from gmfmsim.model.selection import kernels
from gmfmsim.model.selection.steps import Steps
from gmfmsim.model.structure import Structure

SPREAD = (-5.0, -1.7, 1.7, 5.0)
"""Where the rule of the offset of an unknown standard error is divided, in standard deviations of its prior, beside the
offsets at which a p value crosses a cut point."""
POINTS = 2.0
"""Nodes between two of these, by standard deviation, beside the two that every piece has."""


@dataclass(frozen=True)
class Selected:
    """A structure under selection: the states of all blocks in one list, as the kernels take them.

    start (B + 1,); effect (S, n), covariance (S, n, n), log_weight (S,); place (S,): which product of weights a state
    has. products of a block of one contrast are the weights, those of two are in `pair` (k + 1, k + 1).
    """

    structure: Structure
    steps: Steps
    start: np.ndarray
    effect: np.ndarray
    covariance: np.ndarray
    log_weight: np.ndarray
    place: np.ndarray
    pair: np.ndarray

    def density(self, amplitude: np.ndarray, phi: Mapping[str, np.ndarray], weights: np.ndarray) -> np.ndarray:
        """Return log p(y | amplitude, phi, weights), (J, W).

        amplitude (J,), phi (J, 1) by name, weights (W, k + 1), all at least 0 and the largest of them above it.
        """
        model, like = self.structure, self.structure.likelihood
        shape = (amplitude.size, model.gmfm66.size)
        mean = np.broadcast_to(model.columns(phi)[0], shape) * amplitude[:, None]
        loads = np.stack([np.broadcast_to(load, shape) for load in model.loads(phi)], axis=1)
        level, mask = zip(*model.slots, strict=True)
        size = like.inside.sum(axis=1)
        log_density, mass = kernels.at_nodes(
            mean,
            loads,
            np.array(level),
            np.stack(mask, axis=1),
            like.index,
            size,
            self.start,
            self.effect,
            self.covariance,
            self.log_weight,
            (*self.steps.bands, self.pair),
            kernels.PLACKETT,
        )
        first, second = np.triu_indices(self.pair.shape[0])
        products = np.ascontiguousarray(np.concatenate([weights, weights[:, first] * weights[:, second]], axis=1).T)
        return kernels.weighted(log_density, mass, self.start, size, self.place, products, weights.shape[1])


def selected(model: Structure, steps: Steps, points: float) -> Selected:
    """Return a structure under selection, unknown standard errors at 2 + `points` nodes a standard deviation.

    Raises Refused for a structure with more than one linear coefficient, and for a block of more than two contrasts.
    """
    like = model.likelihood
    if len(model.coefficients) > 1:
        names = ", ".join(c.variable for c in model.coefficients)
        raise Refused(f"selection is integrated over one linear coefficient, and there are {names}")
    size = like.inside.sum(axis=1)
    if size.max() > 2:
        raise Refused(f"{size.max()} contrasts share a study or children: selection takes at most two")
    edges, number = steps.bands
    singles = len(steps.p) + 1
    pair = np.zeros((singles, singles), int)
    first, second = np.triu_indices(singles)
    pair[first, second] = pair[second, first] = singles + np.arange(first.size)
    start, effect, covariance, log_weight, place = [0], [], [], [], []
    for block, n in enumerate(size):
        for state in range(like.states[block]):
            y, v = like.effect[block, state], inverse(like.precision[block, state])
            for u, log_share in _offsets(model, block, state, edges, points):
                scale = np.exp(like.log_se_sd[block, state] * u)
                own = v * scale[:, None] * scale
                band = number[np.searchsorted(edges, (y / np.sqrt(np.diagonal(own)))[:n], side="right")]
                effect.append(y)
                covariance.append(own)
                log_weight.append(like.log_weight[block, state] + log_share)
                place.append(pair[tuple(band)] if n == 2 else band[0])
        start.append(len(effect))
    arrays = (np.array(x) for x in (start, effect, covariance, log_weight, place))
    return Selected(model, steps, *arrays, pair)


def log_likelihood(
    model: Structure, steps: Steps, amplitude: np.ndarray, phi: Mapping[str, np.ndarray], weights: np.ndarray
) -> np.ndarray:
    """Return log p(y | amplitude, phi, weights) of results published in proportion to their weights, (J, W).

    Of a block of contrasts that share a study or children, jointly, with W = V + G G' the covariance of the marginal
    model and omega(y) the product of the weights of its p values,

        p(y) = sum_s w_s Normal(y_s; m, W_s) omega_s(y_s) / integral of Normal(x; m, W_s) omega_s(x) dx

    over the readings s of suspect figures, each with its own p values; the integral is a sum over the rectangles
    between the cut points. amplitude (J,), phi (J, 1) or (J, n) by name, weights (W, k + 1), not necessarily falling.
    Source: Vevea & Hedges 1995; jointly: Bartos, Maier & Wagenmakers 2025.

    Raises Refused as `selected`.
    """
    return selected(model, steps, POINTS).density(np.asarray(amplitude, float), phi, np.asarray(weights, float))


def _offsets(model: Structure, block: int, state: int, edges: np.ndarray, points: float) -> list:
    """Return pairs of offsets u by place of a block, (n,), and the log of their probability: one where all is known."""
    like = model.likelihood
    log_sd, inside = like.log_se_sd[block, state], like.inside[block]
    unknown = np.unique(like.uncertain[block][inside & (log_sd > 0)])
    found = [(np.zeros(log_sd.size), 0.0)]
    z = like.effect[block, state] / np.sqrt(np.diagonal(inverse(like.precision[block, state])))
    for one in unknown:
        here = inside & (log_sd > 0) & (like.uncertain[block] == one)
        with np.errstate(divide="ignore", invalid="ignore"):
            crossings = (np.log(z[here][:, None] / edges) / log_sd[here][:, None]).ravel()
        breaks = np.unique([*SPREAD, *crossings[np.abs(crossings) < SPREAD[-1]]])
        pieces = [(low, (high - low) / 2) for low, high in pairwise(breaks.tolist())]
        rules = [gauss_legendre(2 + int(np.ceil(2 * points * half))) for _, half in pieces]
        u = np.concatenate([low + half * (x + 1) for (low, half), (x, _) in zip(pieces, rules, strict=True)])
        share = np.concatenate([half * w for (_, half), (_, w) in zip(pieces, rules, strict=True)])
        log_p = np.log(share) - u**2 / 2 - LOG_2PI / 2
        found = [(base + here * v, share + p) for base, share in found for v, p in zip(u, log_p, strict=True)]
    return found
