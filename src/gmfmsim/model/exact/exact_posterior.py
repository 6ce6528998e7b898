"""The exact posterior of a structure: a mixture of normals, one for each node and combination of states.

Quadrature over the few non-linear parameters, Gaussian algebra for all else, no sampling error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from gmfmsim.compute.algebra import cholesky, dot, product
from gmfmsim.compute.executors import in_order
from gmfmsim.compute.labels import xr
from gmfmsim.dist.mixture import NormalMixture
from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.exact import kernels
from gmfmsim.model.exact.existence import impropriety
from gmfmsim.model.exact.prepared import FOR_ONE_CORE, Prepared, Refused, prepare
from gmfmsim.model.exact.quadrature import EFFORT, QUICK, Box, Effort, Held, Marginal, draw, find_box, settled
from gmfmsim.model.exact.rules import Coordinate, rule
from gmfmsim.model.structure import Structure, hidden_by_pools, structure

BETWEEN = 1e-9
"""The largest error of a marginal density between its nodes, relative."""
BETWEEN_OF_MANY = 1e-5
"""The same with three parameters or more and standard errors of unknown size, whose own points are no closer."""
BETWEEN_FOR_DRAWS = 1e-4
"""The same of the joint density from which parameters are drawn."""
BETWEEN_WITH_QUANTILES = 0.05
"""Both, where axes are quantiles of priors: what the last coefficient of so few points tells bounds far more than the
error of a distribution function, which is a hundredth at most."""
LIGHT = 0.01
"""With very many components the lightest are dropped, which together hold this share of what the nodes may miss."""
FEW = 3
"""Points for an unknown standard error that are enough to see where the posterior of the others is."""


@dataclass(frozen=True)
class ExactPosterior:
    """The posterior as a mixture: given a node of the parameters and a combination of states all else is normal.

    density (points...): posterior density of the coordinates at the nodes, to a factor; log_marginal: log p(y);
    weight, node, combination (C,): the components; missed: what the nodes may miss of a marginal, relative;
    open_ends: the largest marginal density at an open end of the nodes, relative to its peak.
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
    open_ends: float
    _marginals: dict[str, Marginal] = field(default_factory=dict)

    @cached_property
    def phi(self) -> dict[str, np.ndarray]:
        """The parameters at the nodes, (J,) each."""
        return self.prepared.at_nodes(self.box)

    @property
    def labelled(self) -> list[tuple[str, str | float | None]]:
        return self.prepared.structure.labelled

    def parameter(self, name: str) -> Marginal | Held:
        """Return the marginal distribution of a non-linear parameter, on an axis as fine as a density needs."""
        if name in self.prepared.held:
            return Held(self.prepared.held[name])
        if name not in self._marginals:
            ready, i = self.prepared, self.prepared.names.index(name)
            many = len(ready.names) > 2 and ready.structure.likelihood.uncertain_spread
            close = BETWEEN_WITH_QUANTILES if self._on_quantiles else BETWEEN_OF_MANY if many else BETWEEN
            box, density = ready.resolved(self.box, self.density, i, close)
            self._marginals[name] = Marginal(ready.axes[i], box.rules[i], box.marginal(density, i))
        return self._marginals[name]

    @property
    def _on_quantiles(self) -> bool:
        return any(axis.shape == "quantile" for axis in self.prepared.axes)

    def moments(self, name: str) -> tuple[float, float]:
        """Return mean and standard deviation of a parameter or a coefficient; NaN where one does not exist."""
        if name in self.phi:
            mean, sd = self.parameter(name).moments()
            order = self.orders[name]
            return (mean if order > 1 else np.nan), (sd if order > 2 else np.nan)
        mixture = self.coefficient(name)
        return mixture.mean, mixture.sd

    def seen_from(self, axes: Sequence[Coordinate], effort: Effort) -> tuple[Box, np.ndarray]:
        """Return as `find_box` a box on other coordinates of the same parameters that holds this posterior, and its
        peak."""
        held = self.box.tightened(self.prepared.axes, self.density, effort.edge)
        peak = self.box.nodes[np.argmax(self.density)]
        found, rules = [], []
        for mine, axis, r, x in zip(self.prepared.axes, axes, held.rules, peak, strict=True):
            low, high, at = (float(axis.inverse(mine.value(np.array(end)))) for end in (r.low, r.high, x))
            found.append(at)
            ends = (axis.low, axis.high) if axis.shape == "quantile" else np.clip((low, high), axis.low, axis.high)
            rules.append(rule(*map(float, ends), effort.points_of(axis), axis.shape))
        return Box(tuple(rules)), np.array(found)

    def given(self, share: np.ndarray) -> ExactPosterior:
        """Return the posterior given some of the combinations of readings: the weights of its components change.

        share (R,): what each combination has before the data, 0 of those that are not taken, 1 in all. A component has
        one state of every block, whose weight under these readings takes the place of that under all. Where none is
        left the readings are too improbable for this posterior to tell of them: log_marginal is minus infinity.
        """
        like, states, number = self.prepared.structure.likelihood, self.prepared.states, self.combination
        constant, factor = states.constant.copy(), np.ones(number.size)
        for block in reversed(range(len(like.index))):
            mine = slice(*states.start[block : block + 2])
            number, state = np.divmod(number, mine.stop - mine.start)
            taken = np.bincount(like.state_of[block], share, like.states[block])
            ratio = (taken / np.exp(like.log_weight[block, : taken.size]))[states.base[mine]]
            factor *= ratio[state]
            with np.errstate(divide="ignore"):
                constant[mine] += np.log(ratio)
        weight = self.weight * factor
        kept, total = weight > 0, float(weight.sum())
        weight, node = weight[kept] / total, self.node[kept]
        density = np.bincount(node, weight, self.density.size) / np.exp(self.box.log_weights)
        return replace(
            self,
            prepared=replace(self.prepared, states=replace(states, constant=constant)),
            density=density.reshape(self.density.shape),
            log_marginal=self.log_marginal + (math.log(total) if total > 0 else -math.inf),
            weight=weight,
            node=node,
            combination=self.combination[kept],
            _marginals={},
        )

    @property
    def orders(self) -> dict[str, float]:
        """The order below which the moments of every non-linear parameter exist."""
        return self.prepared.orders

    def coefficient(self, variable: str, label=None) -> NormalMixture:
        """Return the distribution of a coefficient, by variable and label."""
        loading = np.array([float(one == (variable, label)) for one in self.labelled])
        if not loading.any():
            raise KeyError(f"no coefficient {variable} [{label}]")
        return self.linear(loading)

    def linear(self, loading: np.ndarray, variance: np.ndarray | float = 0.0) -> NormalMixture:
        """Return the distribution of sum_j loading_j coefficient_j + Normal(0, variance).

        loading (p,) or (J, p) by node; variance a number or (J,): tau^2 for what a new study would have.
        """
        loading = np.broadcast_to(loading, self._sd_of_pooled.shape) * self._sd_of_pooled
        return self.standardised(loading, np.broadcast_to(variance, self.box.nodes.shape[0]))

    def standardised(self, loading: np.ndarray, variance: np.ndarray) -> NormalMixture:
        """Return the distribution of sum_j loading_j b_j + Normal(0, variance), with b as `Structure.columns` has it.

        loading (J, p) and variance (J,) by node.
        """
        (a, b, _), free = self.statistics, self.prepared.free
        own, fixed = np.ascontiguousarray(loading[:, free]), loading[:, ~free].sum(axis=1)

        def some(these: slice) -> tuple[np.ndarray, np.ndarray]:
            node = self.node[these]
            mean, spread = kernels.linear_at(a, b, *self.prepared.system, node, self.combination[these], own)
            return mean + fixed[node], np.sqrt(spread + variance[node])

        parts = in_order(some, [slice(i, i + FOR_ONE_CORE) for i in range(0, self.node.size, FOR_ONE_CORE)])
        mean, sd = (np.concatenate(part) for part in zip(*parts, strict=True))
        return NormalMixture(self.weight, mean, sd)

    @cached_property
    def _sd_of_pooled(self) -> np.ndarray:
        """What turns the standardised coefficients, and ones, into coefficients, (J, p)."""
        ones = np.ones(self.box.nodes.shape[0])
        factors = (c.factor for c in self.prepared.structure.coefficients)
        return np.stack([self.phi[name] if name else ones for name in factors], axis=1)

    def new_study(self, amplitude: int = 0) -> NormalMixture:
        """Return the predictive distribution of the amplitude in a new study: Normal(amplitude, tau^2), integrated."""
        loading = np.zeros(len(self.prepared.structure.coefficients))
        loading[amplitude] = 1.0
        return self.linear(loading, self.phi["tau"] ** 2 if "tau" in self.phi else 0.0)

    def draws(self, uniform: np.ndarray, normal: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return independent draws: parameters (size,) by name, and coefficients (size, p).

        uniform (size, axes + 1) and normal (size, p) are the noise they are made of.
        """
        ready = self.prepared
        close = BETWEEN_WITH_QUANTILES if self._on_quantiles else BETWEEN_FOR_DRAWS
        box, density = ready.resolved(self.box, self.density, None, close)
        x = draw(box, density, uniform[:, :-1]) if ready.names else np.zeros((uniform.shape[0], 0))
        coefficients = np.ones(normal.shape)
        chunk = max(1, 4_000_000 // ready.states.combinations)
        for rows in np.array_split(np.arange(x.shape[0]), -(-x.shape[0] // chunk)):
            log_p, (a, b, _) = ready.log_joint(x[rows])
            below = np.cumsum(np.exp(log_p - log_p.max(axis=1, keepdims=True)), axis=1)
            goal = uniform[rows, -1:] * below[:, -1:]
            number = np.minimum((below < goal).sum(axis=1), below.shape[1] - 1)
            mean, covariance = kernels.coefficients_at(a, b, *ready.system, np.arange(rows.size), number)
            noise, free = normal[rows][:, ready.free, None], np.flatnonzero(ready.free)
            coefficients[rows[:, None], free] = mean + product(cholesky(covariance), noise)[..., 0]
        return ready.at_nodes(x), coefficients


def refusal(spec: ModelSpec, data: xr.Dataset) -> str | None:
    """Return why the exact engine cannot fit a model to the contrasts, or None if it can."""
    if reason := hidden_by_pools(spec, data) or not_gaussian(spec, data):
        return reason
    model = structure(spec, data)
    try:
        prepare(model)
    except Refused as error:
        return str(error)
    return impropriety(model)


def not_gaussian(spec: ModelSpec, data: xr.Dataset) -> str | None:
    """Return why a declared model is not Gaussian given few parameters, or None if it is."""
    if spec.heterogeneity == "student_t":
        return "Student-t study effects are not Gaussian given tau: the nuts engine samples them"
    if "dose_error" in spec.terms:
        return f"an error in dose makes {data.sizes['contrast']} doses unknown, too many to integrate: use nuts"
    return None


def fit_exact(spec: ModelSpec, data: xr.Dataset) -> ExactPosterior:
    """Return the exact posterior of a declared model.

    Raises Refused where the engine cannot do it, ValueError where the model lacks a dose or covariate.
    """
    if reason := refusal(spec, data):
        raise Refused(reason)
    return posterior(structure(spec, data))


def posterior(model: Structure, *, quick: bool = False, near: ExactPosterior | None = None) -> ExactPosterior:
    """Return the exact posterior of a structure; quick: with few nodes, see `QUICK`. Raises Refused as `prepare`.

    near: that of the same parameters with other priors or on nearly the same evidence, where this one is looked for
    first.
    """
    ready = prepare(model)
    effort = (QUICK if quick else EFFORT)[len(ready.names)]
    if near is not None and near.prepared.names == ready.names:
        box, peak = near.seen_from(ready.axes, effort)
    else:
        box, peak = find_box(ready.log_density, ready.axes, effort)
    if model.likelihood.uncertain_spread:
        if effort.sizes > FEW and near is None:
            ready = ready.with_sizes_at(peak, FEW)
            box = _settled(ready, box, effort)[0]
        ready = ready.with_sizes_at(peak, min(effort.sizes, ready.sizes))
    box, log_joint, found, density = _settled(ready, box, effort)
    highest = log_joint.max(axis=1)
    top = (highest + box.log_weights).max()
    least = top + effort.negligible
    if model.likelihood.uncertain_spread:
        log_total = highest.max() + np.log(dot(np.exp(box.log_weights), density.ravel()))
        least = max(least, log_total + np.log(LIGHT * max(effort.missed, 1e-300) / log_joint.size))

    def heavy(some: slice) -> tuple[np.ndarray, ...]:
        part = log_joint[some] + box.log_weights[some, None]
        node, combination = np.nonzero(part > least)
        return node + some.start, combination, np.exp(part[node, combination] - top)

    found_there = in_order(heavy, _few_nodes(log_joint))
    node, combination, weight = (np.concatenate(part) for part in zip(*found_there, strict=True))
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
        box.open_ends(ready.axes, density),
    )


def _settled(ready: Prepared, box: Box, effort: Effort) -> tuple[Box, np.ndarray, tuple, np.ndarray]:
    """Return the box, wide and fine enough; log p(y, combination, node) there, statistics and density; see Prepared."""

    def at(box: Box) -> tuple:
        log_joint, found = ready.log_joint(box)
        top = log_joint.max()
        parts = list(in_order(lambda some: np.exp(log_joint[some] - top).sum(axis=1), _few_nodes(log_joint)))
        return box, log_joint, found, np.concatenate(parts).reshape(box.points)

    return settled(box, ready.axes, effort, at, ready.can_afford)


def _few_nodes(log_joint: np.ndarray) -> list[slice]:
    """Return the nodes, a few at a time, to save memory."""
    rows = max(1, 1_000_000 // log_joint.shape[1])
    return [slice(i, i + rows) for i in range(0, log_joint.shape[0], rows)]
