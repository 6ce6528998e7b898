"""Which posteriors are proper and which moments exist: what the tails of priors and the number of studies decide."""

import itertools
import math
from collections.abc import Callable

import numpy as np

from gmfmsim.model.structure import Structure
from gmfmsim.model.terms import SCALES, Coefficient

UNITS = {"tau": "studies", "tau_arm": "arms", "tau_class": "classes of cells", "tau_group": "countries"}
"""What has a deviation with each scale."""


def orders(model: Structure) -> dict[str, float]:
    """Return for every parameter the order below which its posterior moments exist.

    Far out a prior falls like x^-a and, for a scale of heterogeneity, the likelihood like x^-m: m is how many
    directions of the data the deviations of its units fill, beyond those that coefficients with flat priors take. A
    moment of order j exists where a + m > 1 + j. For other parameters the likelihood tends to a constant: m = 0.
    """
    flat = _columns(model, lambda c: c.prior is None and c.factor is None)
    return {
        name: prior.tail - 1 + (_directions(model, (name,), flat) if name in SCALES else 0)
        for name, prior in model.parameters.items()
    }


def missing_moments(found: dict[str, float]) -> list[str]:
    """Say which parameters have no mean or no standard deviation, by `orders`, a sentence each."""
    return [
        f"Of {name} {'no' if order > 1 else 'neither mean nor'} SD exists under its prior and so few studies: "
        "its median and interval are given."
        for name, order in found.items()
        if order <= 2
    ]


def impropriety(model: Structure) -> str | None:
    """Return why the posterior is improper, or would be but for the priors of the coefficients; None if it is proper.

    Of every set of scales with improper priors, sum of a + m must exceed their number (see `orders`), coefficients
    counted as flat: a posterior that only the width of the prior of the mean makes proper would say nothing else.
    """
    improper = [name for name, prior in model.parameters.items() if not prior.proper]
    flat = _columns(model, lambda c: c.factor is None)
    for size in range(1, len(improper) + 1):
        for chosen in itertools.combinations(improper, size):
            found = _directions(model, chosen, flat)
            needed = size - sum(model.parameters[name].tail for name in chosen)
            if not found > needed:
                units = f"{_units(model, chosen).shape[1]} {UNITS[chosen[0]] if size == 1 else 'units'}"
                more, names = math.floor(needed) + 1 - found, " and ".join(chosen)
                return f"{units} cannot tell {names}: the posterior is improper; {more} more are needed"
    return None


def _directions(model: Structure, names: tuple[str, ...], flat: np.ndarray) -> int:
    """Return how many directions the deviations with these scales fill beyond those of the columns flat (seen, q)."""
    units = _units(model, names)
    return _rank(np.hstack([units, flat])) - _rank(flat)


def _units(model: Structure, names: tuple[str, ...]) -> np.ndarray:
    """Return a column for each unit whose deviation has one of these scales, (seen, units)."""
    phi = _somewhere(model) | {name: float(name in names) for name in SCALES if name in model.parameters}
    loads = [np.broadcast_to(load, model.gmfm66.shape) for load in model.loads(phi)]
    parts = [
        load[:, None] * (level.units[:, None] == np.unique(level.units))
        for level, load in zip(model.levels, loads, strict=True)
    ]
    found = np.hstack([np.hstack(parts)[_seen(model)], _columns(model, lambda c: c.pooled in names)])
    return found[:, np.abs(found).max(axis=0, initial=0.0) > 0]


def _columns(model: Structure, wanted: Callable[[Coefficient], bool]) -> np.ndarray:
    """Return the columns of some coefficients, (seen, q), at a scale of 1 where they are pooled."""
    phi = _somewhere(model) | {name: 1.0 for name in SCALES if name in model.parameters}
    every = np.stack([np.broadcast_to(column, model.gmfm66.shape) for column in model.columns(phi)], axis=1)
    return every[_seen(model)][:, [wanted(c) for c in model.coefficients]]


def _seen(model: Structure) -> np.ndarray:
    """Return the contrasts in the likelihood: some may have been left out."""
    return np.sort(model.likelihood.index[model.likelihood.inside])


def _somewhere(model: Structure) -> dict[str, float]:
    """Return values of the parameters: medians of their priors, 1 where these have none."""
    return {name: float(prior.ppf(0.5)) if prior.proper else 1.0 for name, prior in model.parameters.items()}


def _rank(matrix: np.ndarray) -> int:
    """Return the rank, columns of any size counted alike."""
    length = np.sqrt((matrix**2).sum(axis=0))
    return int(np.linalg.matrix_rank(matrix[:, length > 0] / length[length > 0])) if (length > 0).any() else 0
