"""The exact engine: quadrature over the few non-linear parameters, Gaussian algebra for all else, no sampling error."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy import special

from gmfmsim.model import kernels
from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.distributions import Distribution
from gmfmsim.model.likelihood import NEVER
from gmfmsim.model.mixture import NormalMixture
from gmfmsim.model.quadrature import (
    Box,
    Coordinate,
    Marginal,
    draw,
    find_box,
    on_line,
    on_log,
    on_log_sinh,
    on_sinh,
)
from gmfmsim.model.structure import Structure, structure


class Effort(NamedTuple):
    """How the quadrature starts and when it is content, by the number of parameters.

    points to start from, by the shape of the axis; how far down in log density an axis reaches; the largest marginal
    density at an open end, relative to its peak; the largest share of a marginal that the nodes may miss.
    """

    points: Mapping[str, int]
    deep: float
    edge: float
    missed: float


EFFORT = (
    Effort({}, 0.0, 0.0, 0.0),
    Effort({"line": 48, "even": 28, "interval": 32}, 34.0, 1e-13, 1e-13),
    Effort({"line": 36, "even": 20, "interval": 18}, 26.0, 1e-10, 1e-9),
    Effort({"line": 32, "even": 14, "interval": 16}, 23.0, 1e-9, 1e-7),
    Effort({"line": 18, "even": 12, "interval": 13}, 21.0, 1e-8, 1e-5),
)
BETWEEN = 1e-9
"""The largest error of a marginal density between its nodes, relative."""
BETWEEN_FOR_DRAWS = 1e-4
"""The same of the joint density from which parameters are drawn."""
MOST_AXES = len(EFFORT) - 1
MOST_NODES = 400_000
MOST_EVALUATIONS = 40_000_000
"""Nodes times combinations of states: what fits a minute and a few hundred megabytes."""
HERMITE = 13
"""Points for the unknown size of one standard error, placed where its posterior is."""
OFFSETS = np.linspace(-7, 7, 57)
"""Where that posterior is looked for, in standard deviations of the prior."""
EVEN = ("half_normal", "half_cauchy", "half_student_t", "improper_uniform")
"""Priors of scales whose density is an even function; the likelihood is one, since it knows tau by its square."""
NEGLIGIBLE = -36.0
"""Log weight, below the largest, under which a component is dropped."""


class Refused(ValueError):
    """The exact engine cannot do this, and says why."""


def refusal(spec: ModelSpec, data: xr.Dataset) -> str | None:
    """Return why the exact engine cannot fit a model to the contrasts, or None if it can."""
    if spec.heterogeneity == "student_t":
        return "Student-t study effects are not Gaussian given tau: the nuts engine samples them"
    if "dose_error" in spec.terms:
        return f"an error in dose makes {data.sizes['contrast']} doses unknown, too many to integrate: use nuts"
    try:
        prepare(structure(spec, data))
    except Refused as error:
        return str(error)
    return None


def fit_exact(spec: ModelSpec, data: xr.Dataset) -> "ExactPosterior":
    """Return the exact posterior of a declared model.

    Raises Refused where the engine cannot do it, ValueError where the model lacks a dose or covariate.
    """
    if reason := refusal(spec, data):
        raise Refused(reason)
    return posterior(structure(spec, data))


@dataclass(frozen=True)
class States:
    """The states of all blocks in one list: start (B + 1,); effect (S, n), precision (S, n, n), constant (S,).

    A standard error of unknown size gives a state HERMITE states, one for each Gauss-Hermite node of its u. `base`
    (S,) is the state of the likelihood that each stands for.
    """

    start: np.ndarray
    effect: np.ndarray
    precision: np.ndarray
    constant: np.ndarray
    base: np.ndarray

    @property
    def combinations(self) -> int:
        """How many combinations of states there are."""
        return int(np.prod(np.diff(self.start), dtype=float))


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
            *self.design(phi, nodes), *self.arrays, states.start, states.effect, states.precision, states.constant
        )

    def log_joint(self, x: np.ndarray) -> tuple[np.ndarray, tuple]:
        """Return log p(y, combination, coordinates x), (J, M), and the statistics behind it."""
        phi = self.phi(x)
        found = self.statistics(phi, x.shape[0])
        log_p = kernels.log_evidence(*found, self.states.start, self.prior_precision, self.prior_b, self.prior_c)
        return log_p + self.log_prior(x, phi)[:, None], found

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Return log p(y, coordinates x), (J,)."""
        log_p = self.log_joint(x)[0]
        return log_p[:, 0] if log_p.shape[1] == 1 else special.logsumexp(log_p, axis=1)

    def can_afford(self, box: Box) -> bool:
        """Return whether a box has nodes that fit the time and memory of a fit."""
        nodes = int(np.prod(box.points))
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

    def with_offsets_at(self, x: np.ndarray) -> "Prepared":
        """Return it with nodes for the sizes of unknown standard errors, where their posterior is at coordinates x."""
        like = self.structure.likelihood
        if not like.uncertain_spread:
            return self
        log_p, (a, b, _) = self.log_joint(x[None])
        best = np.argmax(log_p, axis=1)
        start = self.states.start
        value, _ = kernels.coefficients_at(a, b, start, self.prior_precision, self.prior_b, np.zeros(1, int), best)
        phi = self.phi(x[None])
        mean = sum(column * b for column, b in zip(self.structure.columns(phi), value[0], strict=True))
        gains = self.structure.gains(self.structure.loads(phi))
        spread = np.repeat(OFFSETS[:, None], len(like.uncertain_spread), axis=1)
        log_p = like.by_state(mean, gains, like.log_scale(spread)) - OFFSETS[:, None, None] ** 2 / 2
        weight = special.softmax(log_p, axis=0)
        center = np.tensordot(OFFSETS, weight, 1)
        width = np.sqrt((weight * (OFFSETS[:, None, None] - center) ** 2).sum(axis=0))
        return replace(self, states=_expand(self.structure, HERMITE, center, np.clip(1.1 * width, 0.3, 1.0)))


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
    rough = _expand(model, 1)
    nodes = min(20 ** len(names), 60_000)  # about what most models come to
    unknown = model.likelihood.uncertain_spread
    combinations = (_expand(model, HERMITE) if unknown else rough).combinations
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
    axes = tuple(_coordinate(prior, model) for prior in model.parameters.values())
    return Prepared(
        model,
        names,
        axes,
        rough,
        precision,
        precision * mean,
        float(constant - 0.5 * (precision * mean**2).sum()),
        arrays,
    )


def _normal(c) -> tuple[float, float]:
    """Return mean and precision of the prior of a coefficient; precision 0 if it is flat."""
    if c.pooled:
        return 0.0, 1.0
    return (c.prior.mean, c.prior.sd**-2.0) if c.prior is not None else (0.0, 0.0)


def _coordinate(prior: Distribution, model: Structure) -> Coordinate:
    """Return the coordinate in which a parameter is integrated."""
    low, high = prior.support
    if prior.dist in ("lognormal", "turner2015"):
        return on_log(*prior.ppf(np.array([1e-15, 1 - 1e-15])))
    if prior.dist in ("log_student_t", "rhodes2015"):
        return on_log_sinh(prior.location, prior.scale)
    if low == 0 and high == np.inf:
        typical = float(np.median(_standard_errors(model)))
        shape = "even" if prior.dist in EVEN else "interval"
        if not prior.proper:
            return on_sinh(1e6 * typical, typical, shape)
        return on_sinh(float(prior.ppf(1 - 1e-15)), min(float(prior.ppf(0.5)), typical), shape)
    if np.isfinite(low + high):
        return on_line(low, high, "interval")
    return on_line(*(float(x) for x in prior.ppf(np.array([1e-15, 1 - 1e-15]))), "line")


def _standard_errors(model: Structure) -> np.ndarray:
    like = model.likelihood
    precision = np.diagonal(like.precision[:, 0], axis1=-2, axis2=-1)
    return precision[like.inside] ** -0.5


def _expand(model: Structure, points: int, center=None, width=None) -> States:
    """Return the states of the likelihood, those with unknown standard errors at Gauss-Hermite nodes.

    The nodes u = center + width x have the weights of Normal(0, 1) against Normal(center, width); center and width
    (B, states), by default 0 and 1.
    """
    like = model.likelihood
    if not like.uncertain_spread:
        block, state = np.nonzero(like.log_weight > NEVER)
        start = np.concatenate([[0], np.cumsum(like.states)])
        return States(start, *(v[block, state] for v in (like.effect, like.precision, like.log_constant)), state)
    x, w = np.polynomial.hermite_e.hermegauss(points)
    log_w = np.log(w / w.sum()) + x**2 / 2
    start, effect, precision, constant, base = [0], [], [], [], []
    for block in range(len(like.index)):
        for state in range(like.states[block]):
            log_sd = like.log_se_sd[block, state]
            unknown = np.unique(like.uncertain[block][log_sd > 0])
            c, s = (0.0, 1.0) if center is None else (center[block, state], width[block, state])
            for nodes in np.ndindex(*(points,) * unknown.size):
                u, chosen = np.zeros(max(1, len(like.uncertain_spread))), list(nodes)
                u[unknown] = c + s * x[chosen]
                log_scale = log_sd * u[like.uncertain[block]]
                shrink = np.exp(-log_scale)
                effect.append(like.effect[block, state])
                precision.append(like.precision[block, state] * np.outer(shrink, shrink))
                weight = (log_w[chosen] - u[unknown] ** 2 / 2 + np.log(s)).sum()
                constant.append(like.log_constant[block, state] - log_scale.sum() + weight)
                base.append(state)
        start.append(len(effect))
    return States(np.array(start), np.array(effect), np.array(precision), np.array(constant), np.array(base))


def posterior(model: Structure) -> "ExactPosterior":
    """Return the exact posterior of a structure. Raises Refused as `prepare`."""
    ready = prepare(model)
    effort = EFFORT[len(ready.names)]
    box, peak = find_box(ready.log_density, ready.axes, effort.points, effort.deep)
    ready = ready.with_offsets_at(peak)
    while True:
        log_joint, found = ready.log_joint(box.nodes)
        density = np.exp(log_joint - log_joint.max()).sum(axis=1).reshape(box.points)
        better = box.widened(ready.axes, density, effort.edge)
        if better is box:
            better = box.finer(density, effort.missed)
        if better is box or not ready.can_afford(better):
            break
        box = better
    log_p = log_joint + box.log_weights[:, None]
    top = log_p.max()
    node, combination = np.nonzero(log_p > top + NEGLIGIBLE)
    weight = np.exp(log_p[node, combination] - top)
    total = weight.sum()
    return ExactPosterior(
        ready,
        box,
        density,
        float(top + np.log(total)),
        weight / total,
        node,
        combination,
        found,
        max(box.missed(density), default=0.0),
    )


@dataclass(frozen=True)
class ExactPosterior:
    """The posterior as a mixture: given a node of the parameters and a combination of states all else is normal.

    density (points...): posterior density of the coordinates at the nodes, to a factor; log_marginal: log p(y);
    weight, node, combination (C,): the components; missed: what the nodes may miss of a marginal, relative.
    """

    prepared: Prepared
    box: Box
    density: np.ndarray
    log_marginal: float
    weight: np.ndarray
    node: np.ndarray
    combination: np.ndarray
    statistics: tuple
    missed: float

    @cached_property
    def phi(self) -> dict[str, np.ndarray]:
        """The parameters at the nodes, (J,) each."""
        return {name: value[:, 0] for name, value in self.prepared.phi(self.box.nodes).items()}

    @cached_property
    def moments_given(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean (C, p) and covariance (C, p, p) of the coefficients in every component."""
        a, b, _ = self.statistics
        ready = self.prepared
        return kernels.coefficients_at(
            a, b, ready.states.start, ready.prior_precision, ready.prior_b, self.node, self.combination
        )

    @cached_property
    def marginals(self) -> dict[str, Marginal]:
        """The marginal distribution of every non-linear parameter, on an axis as fine as a density needs."""
        out = {}
        for i, (name, axis) in enumerate(zip(self.prepared.names, self.prepared.axes, strict=True)):
            box, density = self.prepared.resolved(self.box, self.density, i, BETWEEN)
            out[name] = Marginal(axis, box.rules[i], box.marginal(density, i))
        return out

    def parameter(self, name: str) -> Marginal:
        """Return the marginal distribution of a non-linear parameter."""
        return self.marginals[name]

    def moments(self, name: str) -> tuple[float, float]:
        """Return mean and standard deviation of a non-linear parameter or a coefficient."""
        if name in self.phi:
            return self.parameter(name).moments()
        mixture = self.coefficient(name)
        return mixture.mean, mixture.sd

    def coefficient(self, variable: str, label=None) -> NormalMixture:
        """Return the distribution of a coefficient, by variable and label."""
        loading = np.array(
            [float(c.variable == variable and c.label == label) for c in self.prepared.structure.coefficients]
        )
        if not loading.any():
            raise KeyError(f"no coefficient {variable} [{label}]")
        return self.linear(loading)

    def linear(self, loading: np.ndarray, variance: np.ndarray | float = 0.0) -> NormalMixture:
        """Return the distribution of sum_j loading_j coefficient_j + Normal(0, variance).

        loading (p,) or (J, p) by node; variance a number or (J,): tau^2 for what a new study would have.
        """
        mean, covariance = self.moments_given
        loading = np.broadcast_to(loading, (self.box.nodes.shape[0], mean.shape[1])) * self._sd_of_pooled
        loading = loading[self.node]
        spread = np.einsum("ci,cij,cj->c", loading, covariance, loading)
        extra = np.broadcast_to(variance, self.box.nodes.shape[0])[self.node]
        return NormalMixture(self.weight, (loading * mean).sum(axis=1), np.sqrt(spread + extra))

    @cached_property
    def _sd_of_pooled(self) -> np.ndarray:
        """What turns the standardised coefficients into coefficients, (J, p)."""
        ones = np.ones(self.box.nodes.shape[0])
        pooled = (c.pooled for c in self.prepared.structure.coefficients)
        return np.stack([self.phi[name] if name else ones for name in pooled], axis=1)

    def new_study(self, amplitude: int = 0) -> NormalMixture:
        """Return the predictive distribution of the amplitude in a new study: Normal(amplitude, tau^2), integrated."""
        loading = np.zeros(len(self.prepared.structure.coefficients))
        loading[amplitude] = 1.0
        return self.linear(loading, self.phi["tau"] ** 2 if "tau" in self.phi else 0.0)

    def study_effects(self) -> list[NormalMixture]:
        """Return the amplitude in every study, that of the first study first.

        Given node, state and coefficients beta, the amplitude of a study is beta_0 + sd z with z the deviation of its
        unit, g its loads and W the covariance of the errors and deviations of its block:
        z | y ~ Normal(g' W^-1 (y - X beta), 1 - g' W^-1 g). beta is normal in turn, so that all is one normal.

        Raises ValueError if the model has no level of studies.
        """
        model, ready = self.prepared.structure, self.prepared
        names = [level.name for level in model.levels]
        if "study" not in names:
            raise ValueError(f"levels are {names}: study effects need a level of studies")
        number, nodes = names.index("study"), self.box.nodes.shape[0]
        units, phi = model.levels[number].units, ready.phi(self.box.nodes)
        sd = np.broadcast_to(model.levels[number].sd(phi), (nodes, 1))
        columns, loads = ready.design(phi, nodes)
        like, start = model.likelihood, ready.states.start
        state = np.array(np.unravel_index(self.combination, np.diff(start)))  # within its block
        mean, covariance = self.moments_given
        out = {}
        for block, size in enumerate(like.inside.sum(axis=1)):
            rows, own = like.index[block, :size], slice(start[block], start[block + 1])
            gains = [(level, loads[:, level, rows] * mask[block, :size]) for level, mask in model.slots]
            within = np.linalg.inv(ready.states.precision[own, :size, :size])
            whole = within + sum(g[:, None, :, None] * g[:, None, None, :] for _, g in gains)
            at = self.node, state[block]
            for (level, g), (_, mask) in zip(gains, model.slots, strict=True):
                if level != number or not mask[block].any():
                    continue
                q = np.linalg.solve(whole, np.broadcast_to(g[:, None, :, None], (*whole.shape[:3], 1)))[..., 0]
                loading = -sd[:, :, None] * np.einsum("jpk,jsk->jsp", columns[:, :, rows], q)
                loading[..., 0] += 1.0
                fixed = sd * np.einsum("jsk,sk->js", q, ready.states.effect[own, :size])
                left = sd**2 * (1 - np.einsum("jsk,jk->js", q, g))
                loading = loading[at]
                variance = left[at] + np.einsum("ci,cij,cj->c", loading, covariance, loading)
                means = fixed[at] + (loading * mean).sum(axis=1)
                out[units[rows[mask[block, :size]][0]]] = NormalMixture(self.weight, means, np.sqrt(variance))
        return [out[unit] for unit in sorted(out)]

    @cached_property
    def state_probability(self) -> list[np.ndarray]:
        """Posterior probability of the states of the likelihood, one array for each block."""
        start, base = self.prepared.states.start, self.prepared.states.base
        by_combination = np.bincount(self.combination, self.weight, self.prepared.states.combinations)
        sizes = np.diff(start)
        tensor = by_combination.reshape(sizes)
        out = []
        for b in range(sizes.size):
            marginal = tensor.sum(axis=tuple(i for i in range(sizes.size) if i != b))
            out.append(np.bincount(base[start[b] : start[b + 1]], marginal))
        return out

    def draws(self, uniform: np.ndarray, normal: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return independent draws: parameters (size,) by name, and coefficients (size, p).

        uniform (size, axes + 1) and normal (size, p) are the noise they are made of.
        """
        ready = self.prepared
        box, density = ready.resolved(self.box, self.density, None, BETWEEN_FOR_DRAWS)
        x = draw(box, density, uniform[:, :-1]) if ready.names else np.zeros((uniform.shape[0], 0))
        coefficients = np.empty(normal.shape)
        chunk = max(1, 4_000_000 // ready.states.combinations)
        for rows in np.array_split(np.arange(x.shape[0]), -(-x.shape[0] // chunk)):
            log_p, (a, b, _) = ready.log_joint(x[rows])
            below = np.cumsum(np.exp(log_p - log_p.max(axis=1, keepdims=True)), axis=1)
            goal = uniform[rows, -1:] * below[:, -1:]
            number = np.minimum((below < goal).sum(axis=1), below.shape[1] - 1)
            mean, covariance = kernels.coefficients_at(
                a, b, ready.states.start, ready.prior_precision, ready.prior_b, np.arange(rows.size), number
            )
            root = np.linalg.cholesky(covariance)
            coefficients[rows] = mean + (root @ normal[rows, :, None])[..., 0]
        return {name: value[:, 0] for name, value in ready.phi(x).items()}, coefficients
