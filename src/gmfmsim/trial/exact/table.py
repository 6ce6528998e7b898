"""One criterion under one belief, tabled along the standard error and the degrees of freedom, for many n at once."""

import math
from collections.abc import Callable

import numpy as np

from gmfmsim.compute.algebra import product
from gmfmsim.compute.compiled import compiled

DF_NODES, SE_NODES = 8, 13
NEGLIGIBLE = 1e-8
"""Probability of the points that are left out of a sum."""

WIDTH = 0.5
"""Width of a panel of log se."""

EDGES = 1 / np.array([1, 1.05, 1.2, 1.5, 2, 2.5, 3, 4, 6, 10, 20, 50, np.inf])
"""Ends of the panels of 1 / df: narrow where df are few and the critical value bends with them."""


def _chebyshev(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes (size,) of the first kind and the matrix (size, size) from values there to coefficients."""
    angle = np.pi * (np.arange(size) + 0.5) / size
    matrix = 2 / size * np.cos(np.outer(np.arange(size), angle))
    matrix[0] /= 2
    return np.cos(angle), matrix


SE_AT, SE_MATRIX = _chebyshev(SE_NODES)
DF_AT, DF_MATRIX = _chebyshev(DF_NODES)


class Table:
    """A smooth function of se and df, known on panels: Chebyshev polynomials in log se and in 1 / df on each.

    figure(se (M,), df) returns values (M,). Panels are filled where they are first asked for, so that every n and SD of
    a search shares them. Error of t tails at alpha 0.05: below 3e-8, 1e-9 from 2.8 df on.
    """

    def __init__(self, figure: Callable[[np.ndarray, float], np.ndarray]):
        self.figure = figure
        self.blocks: list[np.ndarray] = []
        self.first, self.where = 0, np.full((EDGES.size - 1, 0), -1)

    def mean(self, se: np.ndarray, df: np.ndarray, weight: np.ndarray) -> float:
        """Return the sum of weight x figure(se, df) over (Q,) each; figure is from 0 to 1.

        The lightest points, which together hold NEGLIGIBLE, count as 0: panels that they alone need are not filled.
        """
        order = np.argsort(weight)
        kept = order[np.searchsorted(np.cumsum(weight[order]), NEGLIGIBLE) :]
        kept.sort()
        se, df, weight = se[kept], df[kept], weight[kept]
        x, y = np.log(se) / WIDTH, 1 / df
        self._reach(math.floor(x.min()), math.floor(x.max()))
        needed = np.zeros(self.where.shape, bool)
        _mark(x, y, self.first, needed)
        for piece, panel in zip(*np.nonzero(needed & (self.where < 0)), strict=True):
            self.where[piece, panel] = len(self.blocks)
            self.blocks.append(self._filled(int(piece), int(panel) + self.first))
            self.stack = np.array(self.blocks)
        return float(_sum(x, y, weight, self.first, self.where, self.stack))

    def _reach(self, low: int, high: int) -> None:
        """Make room for panels of log se from low to high."""
        if not self.where.size:
            self.first = low
        before = max(self.first - low, 0)
        after = max(high + 1 - self.first - self.where.shape[1], 0)
        if before or after:
            self.where = np.pad(self.where, ((0, 0), (before, after)), constant_values=-1)
            self.first -= before

    def _filled(self, piece: int, panel: int) -> np.ndarray:
        """Return the coefficients (DF_NODES, SE_NODES) of a panel."""
        low, high = EDGES[piece + 1], EDGES[piece]
        inverse = low + (high - low) / 2 * (1 + DF_AT)
        se = np.exp(WIDTH * (panel + (1 + SE_AT) / 2))
        values = np.array([self.figure(se, 1 / y) for y in inverse])
        if not np.isfinite(values).all():
            raise ValueError(f"success at se from {se.min():g} to {se.max():g} is not a number")
        return product(product(DF_MATRIX, values), SE_MATRIX.T)


@compiled
def _piece(y):
    """Return the panel of 1 / df in which y lies."""
    piece = 0
    while piece < EDGES.size - 2 and y < EDGES[piece + 1]:
        piece += 1
    return piece


@compiled
def _mark(x, y, first, needed):
    """Mark the panels that points (x, y) lie in."""
    for i in range(x.size):
        needed[_piece(y[i]), math.floor(x[i]) - first] = True


@compiled
def _sum(x, y, weight, first, where, blocks):
    """Return the sum of weight x value at points (x, y) = (log se / WIDTH, 1 / df)."""
    across, along = np.ones(blocks.shape[1]), np.ones(blocks.shape[2])
    total, last, piece = 0.0, -1.0, 0
    for i in range(x.size):
        if y[i] != last:
            last = y[i]
            piece = _piece(last)
            low, high = EDGES[piece + 1], EDGES[piece]
            across[1] = v = 2 * (last - low) / (high - low) - 1
            for k in range(2, across.size):
                across[k] = 2 * v * across[k - 1] - across[k - 2]
        panel = math.floor(x[i])
        along[1] = u = 2 * (x[i] - panel) - 1
        for k in range(2, along.size):
            along[k] = 2 * u * along[k - 1] - along[k - 2]
        block = blocks[where[piece, panel - first]]
        value = 0.0
        for k in range(across.size):
            row = 0.0
            for m in range(along.size):
                row += block[k, m] * along[m]
            value += across[k] * row
        total += weight[i] * value
    return total
