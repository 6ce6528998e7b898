"""A structure made ready for the exact engine: its axes, its states, and its density at any nodes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from gmfmsim.faults import NotANumber
from gmfmsim.model.exact import kernels
from gmfmsim.model.exact.coordinates import coordinate
from gmfmsim.model.exact.existence import orders
from gmfmsim.model.exact.quadrature import EFFORT, Box
from gmfmsim.model.exact.rules import Coordinate
from gmfmsim.model.exact.states import States, expand, where_sizes_are
from gmfmsim.model.structure import Structure

MOST_AXES = len(EFFORT) - 1
MOST_POINTS = 2000
"""Points of one axis: a posterior that needs more is not where the axis reaches."""
MOST_NODES = 400_000
MOST_EVALUATIONS = 40_000_000
"""Nodes times combinations of states: what fits a minute and a few hundred megabytes."""


class Refused(ValueError):
    """The exact engine cannot do this, and says why."""


@dataclass(frozen=True)
class Prepared:
    """A structure with what does not change from node to node."""

    structure: Structure
    names: tuple[str, ...]
    axes: tuple[Coordinate, ...]
    states: States
    prior_precision: np.ndarray
    prior_b: np.ndarray
    prior_c: float
    arrays: tuple
    orders: dict[str, float]

    def phi(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Return the parameters (J, 1) at coordinates x (J, axes)."""
        return {name: axis.value(x[:, [i]]) for i, (name, axis) in enumerate(zip(self.names, self.axes, strict=True))}

    def log_prior(self, x: np.ndarray, phi: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the log prior density of the coordinates (J,)."""
        total = np.zeros(x.shape[0])
        for i, (name, axis) in enumerate(zip(self.names, self.axes, strict=True)):
            total += self.structure.parameters[name].logpdf(phi[name][:, 0]) + axis.log_slope(x[:, i])
        return total

    def design(self, phi: Mapping[str, np.ndarray], nodes: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the columns (J, p, K) of the coefficients and the loads (J, L, K) of the levels at every node."""
        k, parts = self.structure.gmfm66.size, (self.structure.scale(phi), self.structure.shape(phi))
        columns = np.empty((nodes, len(self.structure.coefficients), k))
        for i, column in enumerate(self.structure.columns(phi, parts)):
            columns[:, i] = column
        loads = np.empty((nodes, len(self.structure.levels), k))
        for i, load in enumerate(self.structure.loads(phi, parts)):
            loads[:, i] = load
        return columns, loads

    def statistics(self, phi: Mapping[str, np.ndarray], nodes: int) -> tuple:
        """Return (A, b, c) of every state at every node; see kernels.block_statistics."""
        states = self.states
        return kernels.block_statistics(
            *self.design(phi, nodes), *self.arrays, states.start, states.effect, states.whiten, states.constant
        )

    def log_joint(self, x: np.ndarray) -> tuple[np.ndarray, tuple]:
        """Return log p(y, combination, coordinates x), (J, M), and the statistics behind it."""
        phi = self.phi(x)
        found = self.statistics(phi, x.shape[0])
        log_p = kernels.log_evidence(*found, self.states.start, self.prior_precision, self.prior_b, self.prior_c)
        log_p += self.log_prior(x, phi)[:, None]
        if not (log_p < np.inf).all():
            where = int(np.argmin((log_p < np.inf).all(axis=1)))
            values = ", ".join(f"{name} {value[where, 0]:.3g}" for name, value in phi.items())
            raise NotANumber(f"the density of the evidence is not a number at {values or 'the only node'}")
        return log_p, found

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Return log p(y, coordinates x), (J,)."""
        log_p = self.log_joint(x)[0]
        if log_p.shape[1] == 1:
            return log_p[:, 0]
        top = np.maximum(log_p.max(axis=1), -np.finfo(float).max)  # nowhere above 0 at a node is no fault
        log_p -= top[:, None]
        with np.errstate(divide="ignore"):
            return top + np.log(np.exp(log_p, out=log_p).sum(axis=1))

    def can_afford(self, box: Box) -> bool:
        """Return whether a box has nodes that fit the time and memory of a fit."""
        nodes = int(np.prod(box.points))
        if max(box.points, default=1) > MOST_POINTS:
            return False
        return nodes <= MOST_NODES and nodes * self.states.combinations <= MOST_EVALUATIONS

    def resolved(self, box: Box, density: np.ndarray, axis: int | None, tolerance: float) -> tuple[Box, np.ndarray]:
        """Return a box, and the density at its nodes, that hold between the nodes of one axis, or of all."""
        while True:
            finer = box.finer(density, tolerance, between=True)
            if axis is not None:
                finer = Box(tuple(finer.rules[i] if i == axis else r for i, r in enumerate(box.rules)))
            if finer.points == box.points or not self.can_afford(finer):
                return box, density
            box = finer
            log_p = self.log_density(box.nodes)
            density = np.exp(log_p - log_p.max()).reshape(box.points)

    def with_sizes_at(self, x: np.ndarray, points: int) -> "Prepared":
        """Return it with points for each unknown standard error, where its posterior is at coordinates x (axes,)."""
        log_p, (a, b, _) = self.log_joint(x[None])
        best, start = np.argmax(log_p, axis=1), self.states.start
        value, _ = kernels.coefficients_at(a, b, start, self.prior_precision, self.prior_b, np.zeros(1, int), best)
        phi = self.phi(x[None])
        mean = sum(column * b for column, b in zip(self.structure.columns(phi), value[0], strict=True))
        gains = self.structure.gains(self.structure.loads(phi))
        return replace(self, states=expand(self.structure, points, *where_sizes_are(self.structure, mean, gains)))


def prepare(model: Structure) -> Prepared:
    """Return a structure ready for quadrature.

    Raises Refused for priors of coefficients that are not normal, and where there are too many parameters or
    combinations of readings to integrate.
    """
    for c in model.coefficients:
        if c.prior is not None and c.pooled is None and c.prior.dist != "normal":
            raise Refused(f"the prior of {c.variable} is {c.prior}: the exact engine needs a normal one; use nuts")
    names = tuple(model.parameters)
    if len(names) > MOST_AXES:
        raise Refused(f"{len(names)} non-linear parameters ({', '.join(names)}): at most {MOST_AXES}; use nuts")
    rough = expand(model, 1)
    nodes = min(20 ** len(names), 60_000)  # about what most models come to
    unknown = model.likelihood.uncertain_spread
    combinations = (expand(model, EFFORT[len(names)].sizes) if unknown else rough).combinations
    if combinations * nodes > MOST_EVALUATIONS:
        raise Refused(f"{combinations} combinations of readings are too many: fix some, or use nuts")
    like = model.likelihood
    prior = [_normal(c) for c in model.coefficients]
    precision = np.array([q for _, q in prior])
    mean = np.array([m for m, _ in prior])
    proper = precision > 0
    constant = 0.5 * (np.log(precision[proper]).sum() + (~proper).sum() * np.log(2 * np.pi))
    slots = model.slots
    arrays = (
        np.array([level for level, _ in slots]),
        np.stack([mask for _, mask in slots], axis=1),
        like.index,
        like.inside.sum(axis=1),
    )
    found = orders(model)
    axes = tuple(coordinate(name, prior, model, found[name]) for name, prior in model.parameters.items())
    return Prepared(
        model,
        names,
        axes,
        rough,
        precision,
        precision * mean,
        float(constant - 0.5 * (precision * mean**2).sum()),
        arrays,
        found,
    )


def _normal(c) -> tuple[float, float]:
    """Return mean and precision of the prior of a coefficient; precision 0 if it is flat."""
    if c.pooled:
        return 0.0, 1.0
    return (c.prior.mean, c.prior.sd**-2.0) if c.prior is not None else (0.0, 0.0)
