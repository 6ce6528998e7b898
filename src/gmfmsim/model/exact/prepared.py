"""A structure made ready for the exact engine: its axes, its states, and its density at any nodes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from gmfmsim.compute.algebra import gauss_hermite
from gmfmsim.compute.executors import in_order
from gmfmsim.dist.distributions import Fixed
from gmfmsim.faults import NotANumber
from gmfmsim.model.exact import kernels
from gmfmsim.model.exact.existence import orders
from gmfmsim.model.exact.quadrature import EFFORT, Box
from gmfmsim.model.exact.rules import Coordinate, coordinate, on_quantiles
from gmfmsim.model.likelihood import NEVER
from gmfmsim.model.structure import Structure

MOST_AXES = len(EFFORT) - 1
FEW_AXES = 4
"""With more axes than these, those of parameters with two ends are the quantiles of their priors."""
MOST_POINTS = 2000
"""Points of one axis: a posterior that needs more is not where the axis reaches."""
MOST_NODES = 400_000
MOST_EVALUATIONS = 40_000_000
"""Nodes times combinations of states: what fits a minute and a few hundred megabytes."""
FOR_ONE_CORE = 500_000
"""Nodes times combinations that are not worth a second core."""
OFFSETS = np.linspace(-7, 7, 57)
"""Where that posterior is looked for, in standard deviations of the prior."""
FEWEST, PER_LOG_SD = 3, 20
"""Points for one unknown standard error: so many, and so many more for each unit of the SD of its logarithm."""
AT_LEAST, ROOM = 3, 3
"""Where unknown standard errors are too many to have all their points, each has so few as fit a third of what can be
evaluated, but at least these: they move means by less than a thousandth, and log marginal likelihoods by 0.02 at most.
"""


type Nodes = np.ndarray | Box
"""Nodes: their coordinates (J, axes), or a box, which has J at the crossings of its axes."""


class Refused(ValueError):
    """The exact engine cannot do this, and says why."""


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


@dataclass(frozen=True)
class Prepared:
    """A structure with what does not change from node to node.

    names: the parameters that are integrated, one an axis; held: the values of those that are not, by name. free (p,):
    which coefficients are found, and are not 1 times a parameter. sizes: the most points that each unknown standard
    error can have.
    """

    structure: Structure
    names: tuple[str, ...]
    held: Mapping[str, float]
    axes: tuple[Coordinate, ...]
    states: States
    prior_precision: np.ndarray
    prior_b: np.ndarray
    prior_c: float
    arrays: tuple
    orders: dict[str, float]
    sizes: int
    free: np.ndarray

    @property
    def system(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What the kernels need beside statistics: where the states of a block start, and the prior of coefficients."""
        return self.states.start, self.prior_precision, self.prior_b

    def phi(self, at: Nodes) -> dict[str, np.ndarray]:
        """Return the parameters at nodes: (J, 1) at coordinates, of a box those of its axes, to be broadcast."""
        _, coordinates = _along(at)
        of_axes = {n: axis.value(x)[..., None] for n, axis, x in zip(self.names, self.axes, coordinates, strict=True)}
        return of_axes | {name: np.array([value]) for name, value in self.held.items()}

    def at_nodes(self, at: Nodes) -> dict[str, np.ndarray]:
        """Return the parameters at every node, (J,) each."""
        shape, _ = _along(at)
        return {name: np.broadcast_to(value[..., 0], shape).ravel() for name, value in self.phi(at).items()}

    def log_prior(self, at: Nodes, phi: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the log prior density of the coordinates, (J,)."""
        shape, coordinates = _along(at)
        total = np.zeros(shape)
        for name, axis, x in zip(self.names, self.axes, coordinates, strict=True):
            if axis.log_slope is None:
                total += np.where((x > 0) & (x < 1), 0.0, -np.inf)
            else:
                total += self.structure.parameters[name].logpdf(phi[name][..., 0]) + axis.log_slope(x)
        return total.ravel()

    def design(self, at: Nodes, phi: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return the columns (J, p, K) of the coefficients and the loads (J, L, K) of the levels at every node."""
        (shape, _), k = _along(at), self.structure.gmfm66.size
        parts = self.structure.scale(phi), self.structure.shape(phi)
        columns, loads = self.structure.columns(phi, parts), self.structure.loads(phi, parts)
        return _stacked(columns, shape, k), _stacked(loads, shape, k)

    def log_joint(self, at: Nodes) -> tuple[np.ndarray, tuple]:
        """Return log p(y, combination, coordinates), (J, M), and (A, b, c) of `kernels.block_statistics`."""
        phi = self.phi(at)
        columns, loads = self.design(at, phi)
        parts = min(len(columns), -(-len(columns) * self.states.combinations // FOR_ONE_CORE))  # nodes have own sums
        rows = [slice(some[0], some[-1] + 1) for some in np.array_split(np.arange(len(columns)), max(parts, 1))]
        done = list(in_order(lambda some: self._evidence(columns[some], loads[some]), rows))
        log_p, *found = (part[0] if len(part) == 1 else np.concatenate(part) for part in zip(*done, strict=True))
        log_p += self.log_prior(at, phi)[:, None]
        if not (log_p < np.inf).all():
            where = int(np.argmin((log_p < np.inf).all(axis=1)))
            values = ", ".join(f"{name} {value[where]:.3g}" for name, value in self.at_nodes(at).items())
            raise NotANumber(f"the density of the evidence is not a number at {values or 'the only node'}")
        return log_p, tuple(found)

    def _evidence(self, columns: np.ndarray, loads: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return log p(y, combination | node) and (A, b, c) of `kernels.block_statistics` at some of the nodes."""
        states = self.states
        given = states.start, states.effect, states.whiten, states.constant
        found = kernels.block_statistics(columns, loads, *self.arrays, *given)
        if not self.free.all():
            found = _with_ones(*found, self.free)
        return kernels.log_evidence(*found, *self.system, self.prior_c), *found

    def log_density(self, at: Nodes) -> np.ndarray:
        """Return log p(y, coordinates), (J,)."""
        log_p = self.log_joint(at)[0]
        if log_p.shape[1] == 1:
            return log_p[:, 0]
        top = np.maximum(log_p.max(axis=1), -np.finfo(float).max)  # nowhere above 0 at a node is no fault
        log_p -= top[:, None]
        with np.errstate(divide="ignore"):
            return top + np.log(np.exp(log_p, out=log_p).sum(axis=1))

    def can_afford(self, box: Box) -> bool:
        """Return whether a box has nodes that fit the time and memory of a fit."""
        nodes = int(np.prod(box.points))
        few = max(box.points, default=1) <= MOST_POINTS and nodes <= MOST_NODES
        return few and nodes * self.states.combinations <= MOST_EVALUATIONS

    def resolved(self, box: Box, density: np.ndarray, axis: int | None, tolerance: float) -> tuple[Box, np.ndarray]:
        """Return a box, and the density at its nodes, that hold between the nodes of one axis, or of all."""
        while True:
            finer = box.finer(density, tolerance, between=True)
            if axis is not None:
                finer = Box(tuple(finer.rules[i] if i == axis else r for i, r in enumerate(box.rules)))
            if finer.points == box.points or not self.can_afford(finer):
                return box, density
            box = finer
            log_p = self.log_density(box)
            density = np.exp(log_p - log_p.max()).reshape(box.points)

    def with_sizes_at(self, x: np.ndarray, points: int) -> "Prepared":
        """Return it with points for each unknown standard error, where its posterior is at coordinates x (axes,)."""
        log_p, (a, b, _) = self.log_joint(x[None])
        value, _ = kernels.coefficients_at(a, b, *self.system, np.zeros(1, int), np.argmax(log_p, axis=1))
        phi, whole = self.phi(x[None]), np.ones(self.free.size)
        whole[self.free] = value[0]
        mean = sum(column * b for column, b in zip(self.structure.columns(phi), whole, strict=True))
        gains = self.structure.gains(self.structure.loads(phi))
        return replace(self, states=expand(self.structure, points, *where_sizes_are(self.structure, mean, gains)))


def _along(at: Nodes) -> tuple[tuple[int, ...], Sequence[np.ndarray]]:
    """Return the shape of nodes, and their coordinates by axis: (J,) each, or of a box open along its own axis."""
    return (at.points, at.mesh) if isinstance(at, Box) else ((at.shape[0],), list(at.T))


def _stacked(parts: list, shape: tuple[int, ...], k: int) -> np.ndarray:
    """Return arrays that broadcast to (shape..., K) as one, (J, arrays, K)."""
    out = np.empty((*shape, len(parts), k))
    for i, part in enumerate(parts):
        out[..., i, :] = part
    return out.reshape(-1, len(parts), k)


def _with_ones(a: np.ndarray, b: np.ndarray, c: np.ndarray, free: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return A, b and c of `kernels.block_statistics` for the coefficients that are free (p,), all others being 1.

    c + b' beta - beta' A beta / 2 with beta = (beta_f, 1): A_ff, b_f - A_f1 1, and c + 1' b_1 - 1' A_11 1 / 2.
    """
    one = ~free
    across, within = a[:, :, free][..., one].sum(axis=-1), a[:, :, one][..., one].sum(axis=(-2, -1))
    parts = a[:, :, free][..., free], b[:, :, free] - across, c + b[:, :, one].sum(axis=-1) - 0.5 * within
    return tuple(np.ascontiguousarray(part) for part in parts)


def prepare(model: Structure) -> Prepared:
    """Return a structure ready for quadrature.

    Raises Refused for priors of coefficients that are not normal, and where there are too many parameters or
    combinations of readings to integrate.
    """
    for c in model.coefficients:
        if c.prior is not None and c.factor is None and c.prior.dist != "normal":
            raise Refused(f"the prior of {c.variable} is {c.prior}: the exact engine needs a normal one; use nuts")
    held = {name: prior.value for name, prior in model.parameters.items() if isinstance(prior, Fixed)}
    names = tuple(name for name in model.parameters if name not in held)
    if len(names) > MOST_AXES:
        raise Refused(f"{len(names)} non-linear parameters ({', '.join(names)}): at most {MOST_AXES}; use nuts")
    found = orders(model)
    axes = tuple(
        on_quantiles(name, prior)
        if len(names) > FEW_AXES and np.isfinite(prior.support).all()
        else replace(coordinate(name, prior, model, found[name]), name=name)
        for name, prior in ((name, model.parameters[name]) for name in names)
    )
    effort = EFFORT[len(names)]
    rough, sizes = expand(model, 1), effort.sizes
    # about what most models come to; where there are many axes they have no more points than at first
    nodes = min(20 ** len(names), 60_000) if len(names) <= FEW_AXES else math.prod(map(effort.points_of, axes))
    combinations = expand(model, sizes).combinations
    if combinations * nodes > MOST_EVALUATIONS:
        while ROOM * combinations * nodes > MOST_EVALUATIONS and sizes > AT_LEAST:
            sizes -= 1
            combinations = expand(model, sizes).combinations
    if combinations * nodes > MOST_EVALUATIONS:
        raise Refused(f"{combinations} combinations of readings are too many: fix some, or use nuts")
    like = model.likelihood
    # mean and precision of the coefficients: 0 and 1 if pooled, precision 0 if flat
    own = [
        (0.0, 1.0) if c.pooled else (c.prior.mean, c.prior.sd**-2.0) if c.prior else (0.0, 0.0)
        for c in model.coefficients
        if c.parameter is None
    ]
    mean, precision = np.array(own).T
    proper = precision > 0
    constant = 0.5 * (np.log(precision[proper]).sum() + (~proper).sum() * np.log(2 * np.pi))
    slots = model.slots
    arrays = (
        np.array([level for level, _ in slots]),
        np.stack([mask for _, mask in slots], axis=1),
        like.index,
        like.inside.sum(axis=1),
    )
    return Prepared(
        model,
        names,
        held,
        axes,
        rough,
        precision,
        precision * mean,
        float(constant - 0.5 * (precision * mean**2).sum()),
        arrays,
        found,
        sizes,
        np.array([c.parameter is None for c in model.coefficients]),
    )
