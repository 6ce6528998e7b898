"""Draws of a posterior as rows, and how one value is drawn from many probabilities or densities at once."""

from __future__ import annotations

import numpy as np

from gmfmsim.compute.labels import xr


def by_draw(variable: xr.DataArray) -> np.ndarray:
    """Return a variable (chain, draw, ...) with one row a draw, (S, ...)."""
    values = variable.transpose("chain", "draw", ...).values
    return values.reshape(-1, *values.shape[2:])


def rows_of(posterior: xr.Dataset) -> dict[str, np.ndarray]:
    """Return the variables of a posterior with one row a draw, (S, ...)."""
    return {name: by_draw(posterior[name]) for name in posterior}


def choose(probability: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an index of the last axis of probability (..., S) drawn by it."""
    below = np.cumsum(probability, axis=-1)
    return np.minimum((below < rng.random(below.shape[:-1])[..., None]).sum(-1), probability.shape[-1] - 1)


def inverse_cdf(grid: np.ndarray, density: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return one draw (S,) from each density (S, n) on an even grid (n,), linear between the points of its integral."""
    sums = np.cumsum(density[:, 1:] + density[:, :-1], axis=1)
    below = np.concatenate([np.zeros((density.shape[0], 1)), sums], axis=1)
    goal = uniform * below[:, -1]
    k = np.clip((below <= goal[:, None]).sum(axis=1) - 1, 0, grid.size - 2)
    row = np.arange(uniform.size)
    step = below[row, k + 1] - below[row, k]
    return grid[k] + (grid[1] - grid[0]) * (goal - below[row, k]) / np.where(step > 0, step, 1)
