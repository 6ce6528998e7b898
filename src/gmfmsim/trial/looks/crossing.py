"""How often a trial stops at its looks: the law of its statistics there, integrated from look to look.

With information I_k at look k and a drift, Z_k ~ Normal(drift sqrt(I_k), 1), and Z_k sqrt(I_k) has independent
increments. The density of the trials that went on is carried from one look to the next by Gauss and Legendre's rule in
panels (Armitage, McPherson & Rowe 1969; Jennison & Turnbull 2000, chapter 19).
"""

import math

import numpy as np

from gmfmsim.compute.algebra import gauss_legendre
from gmfmsim.compute.compiled import compiled

NODES, WEIGHTS = gauss_legendre(10)
PANEL = 2.0
"""The width of a panel in SDs of what changes fastest there."""

OUTCOMES = ("success", "futility", "harm")
"""What a trial stops with: at the last look, futility is that it has shown nothing."""

REACH = 8.5
"""How far from its mean a statistic is followed, in SDs: 2e-17 lies beyond."""


def crossing(
    information: np.ndarray,
    upper: np.ndarray,
    lower: np.ndarray,
    drift: np.ndarray,
    far_below: np.ndarray | float = -np.inf,
) -> np.ndarray:
    """Return P(Z leaves (lower, upper) first at look k), (3, Q, K): above, below, and of these `far_below` too.

    information (K,), rising, in any unit; drift (Q,): mean of Z_k is drift sqrt(information_k); upper, lower, and
    far_below at most lower, (Q, K) or (K,): infinite where a trial cannot stop, upper and lower equal where it must.
    Errors are below 1e-12.
    """
    drift = np.asarray(drift, float)
    shape = drift.size, information.size
    bounds = [np.ascontiguousarray(np.broadcast_to(bound, shape), float) for bound in (upper, lower, far_below)]
    found = np.zeros((3, *shape))
    _cross(np.asarray(information, float), *bounds, drift, found, NODES, WEIGHTS)
    return found


def stops(
    information: np.ndarray, upper: np.ndarray, lower: np.ndarray, harm: np.ndarray, drift: np.ndarray
) -> np.ndarray:
    """Return P(a trial stops with OUTCOMES at look k), (3, Q, K), at drifts (Q,).

    It stops above upper with success, below harm with harm, else below lower for futility; all of it (Q, K) or (K,).
    """
    shape = drift.size, information.size
    stop = np.broadcast_to(np.maximum(lower, harm), shape).copy()
    stop[:, -1] = np.broadcast_to(upper, shape)[:, -1]
    above, below, far_below = crossing(information, upper, stop, drift, harm)
    return np.stack([above, below - far_below, far_below])


@compiled
def _cross(information, upper, lower, far, drift, found, nodes, weights):
    """Fill found (3, Q, K)."""
    for q in range(drift.size):
        at, mass = np.zeros(1), np.ones(1)
        before = 0.0
        for k in range(information.size):
            step = information[k] - before
            sd, root, ahead = math.sqrt(step), math.sqrt(information[k]), drift[q] * step
            high, low = upper[q, k] * root, lower[q, k] * root
            for j in range(at.size):
                found[0, q, k] += mass[j] * _phi((at[j] + ahead - high) / sd)
                found[1, q, k] += mass[j] * _phi((low - at[j] - ahead) / sd)
                found[2, q, k] += mass[j] * _phi((far[q, k] * root - at[j] - ahead) / sd)
            if k == information.size - 1:
                break
            centre = drift[q] * information[k]
            left, right = max(low, centre - REACH * root), min(high, centre + REACH * root)
            if left >= right:
                break
            scale = min(sd, math.sqrt(information[k + 1] - information[k]))
            panels = max(1, math.ceil((right - left) / (PANEL * scale)))
            half = (right - left) / panels / 2
            new, carried = np.empty(panels * nodes.size), np.empty(panels * nodes.size)
            for i in range(new.size):
                new[i] = left + half * (1 + 2 * (i // nodes.size) + nodes[i % nodes.size])
                density = 0.0
                for j in range(at.size):
                    x = (new[i] - at[j] - ahead) / sd
                    density += mass[j] * math.exp(-x * x / 2)
                carried[i] = density * half * weights[i % nodes.size] * 0.3989422804014327 / sd
            at, mass, before = new, carried, information[k]


@compiled
def _phi(x):
    """Return the normal distribution function."""
    return 0.5 * math.erfc(-x * 0.7071067811865476)
