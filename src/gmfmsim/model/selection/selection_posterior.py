"""The posterior under selection: by quadrature over the amplitude, the non-linear parameters, and the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gmfmsim.compute.algebra import product
from gmfmsim.compute.labels import xr
from gmfmsim.dist.distributions import Fixed
from gmfmsim.dist.mixture import NormalMixture
from gmfmsim.faults import NotANumber
from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.exact import Refused, orders, refusal
from gmfmsim.model.exact.quadrature import Box, Effort, Marginal, find_box, settled
from gmfmsim.model.exact.rules import Coordinate, coordinate, rule
from gmfmsim.model.selection.selected import POINTS, Selected, selected
from gmfmsim.model.selection.steps import POINTS as RATIOS
from gmfmsim.model.selection.steps import Steps, Weight
from gmfmsim.model.structure import structure

FEW, FEW_RATIOS = 0.5, 4
"""Nodes of unknown standard errors and of ratios of weights that are enough to see where the posterior is."""
EFFORT = Effort({"line": 32, "even": 14, "interval": 12}, 14.0, 1e-6, 1e-4, 0)
"""Of quadrature: coarser than the exact engine's, since masses between cut points are dear."""
MOST_PARAMETERS = 3
MOST_NODES = 100_000
FINER = 4
"""Nodes of the amplitude between two of the quadrature, at which its conditional density is interpolated."""
WIDTH = 1.25
"""Standard deviation of a component's window, in steps of the quadrature."""
NEGLIGIBLE = 1e-12
"""Share of the largest density, and of the whole, below which a node and a component are left out."""


@dataclass(frozen=True)
class SelectionPosterior:
    """The posterior under selection, as a `Mixture`: components given the nodes of the non-linear parameters.

    phi (J,) by name; weight, node, mean, sd (C,): a component at `node` is Normal(mean, sd^2) in the amplitude. At each
    node its density is cut into overlapping windows that add up to one, and each piece replaced by the normal with its
    weight, mean and variance. log_marginal: log p(y); box and density: nodes of (amplitude, phi) and the posterior
    density there, to a factor; ratios: the posterior probability of the nodes of `Steps.rule`, (points,) * k; missed:
    what the nodes may miss of a marginal, relative.
    """

    variable: str
    steps: Steps
    phi: Mapping[str, np.ndarray]
    weight: np.ndarray
    node: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    log_marginal: float
    axes: Mapping[str, Coordinate]
    box: Box
    density: np.ndarray
    ratios: np.ndarray
    missed: float

    @property
    def labelled(self) -> list[tuple[str, None]]:
        """The one coefficient, the amplitude."""
        return [(self.variable, None)]

    def linear(self, loading: np.ndarray, variance: np.ndarray | float = 0.0) -> NormalMixture:
        """Return the distribution of loading x amplitude + Normal(0, variance).

        loading (1,) or (J, 1) by node; variance a number or (J,): tau^2 for what a new study would have.
        """
        nodes = self.box.nodes.shape[0] // self.box.points[0]
        times = np.broadcast_to(loading, (nodes, 1))[self.node, 0]
        spread = (times * self.sd) ** 2 + np.broadcast_to(variance, nodes)[self.node]
        return NormalMixture(self.weight, times * self.mean, np.sqrt(spread))

    @property
    def amplitude(self) -> NormalMixture:
        """The distribution of the amplitude: of mu, where the curve is constant."""
        return self.linear(np.ones(1))

    def parameter(self, name: str) -> Marginal:
        """Return the marginal distribution of a non-linear parameter."""
        i = list(self.axes).index(name)
        return Marginal(self.axes[name], self.box.rules[i], self.box.marginal(self.density, i))

    def omega(self, j: int) -> Weight:
        """Return the distribution of the weight of interval j of p, from 1; that of interval 0 is 1."""
        return Weight(self.ratios, j)


def selection_posterior(spec: ModelSpec, data: xr.Dataset, steps: Steps) -> SelectionPosterior:
    """Return the posterior of a declared model whose results were published in proportion to weights of their p values.

    The priors are those of the model, and of the weights that of `Steps`; the likelihood is `log_likelihood`. Effects
    of the next trial are not selected: the mixture is one of the effects of all studies, published or not.

    Raises Refused where the exact engine does, with a pool of several trials, for priors that are improper or a value,
    for a model with a linear coefficient beside its amplitude, and where more than two contrasts share a study or
    children.
    """
    if reason := refusal(spec, data):
        raise Refused(reason)
    if "pooled_trials" in data:
        raise Refused("a pool of individual data hides which of its trials were published for their p values")
    model = structure(spec, data)
    if improper := [name for name, prior in model.parameters.items() if not prior.proper]:
        raise Refused(f"the prior of {', '.join(improper)} is improper: under selection it may stay so")
    if held := [name for name, prior in model.parameters.items() if isinstance(prior, Fixed)]:
        raise Refused(f"{', '.join(held)} held at a value: selection is integrated over all of its parameters")
    if len(model.parameters) > MOST_PARAMETERS:
        raise Refused(f"{len(model.parameters)} non-linear parameters: at most {MOST_PARAMETERS} under selection")
    priors = {model.coefficients[0].variable: model.coefficients[0].prior} | dict(model.parameters)
    limit = orders(model)
    axes = {name: coordinate(name, prior, model, limit.get(name, np.inf)) for name, prior in priors.items()}
    k = len(steps.p)

    def joint(points: float, ratios: int):
        """Return log p(y, coordinates x, weights), (J, W), as a function of x (J, axes)."""
        ready, (weights, share) = selected(model, steps, points), steps.rule(ratios)
        return lambda x: _log_joint(ready, priors, axes, x, weights) + np.log(share)

    listed = list(axes.values())
    rough = joint(FEW, FEW_RATIOS)

    def at(box: Box) -> tuple[Box, np.ndarray]:
        total = _total(rough(box.nodes))
        return box, np.exp(total - total.max()).reshape(box.points)

    box = find_box(lambda x: _total(rough(x)), listed, EFFORT)[0]
    box, density = settled(box, listed, EFFORT, at, lambda box: box.nodes.shape[0] <= MOST_NODES)
    some = density.ravel() > NEGLIGIBLE
    log_p = np.full((some.size, RATIOS[k] ** k), -np.inf)
    log_p[some] = joint(POINTS, RATIOS[k])(box.nodes[some])
    top = log_p.max()
    density = np.exp(log_p - top)
    mass = density * np.exp(box.log_weights)[:, None]
    density = density.sum(axis=1).reshape(box.points)
    total = float(mass.sum())
    parts = _components(box, density)
    nodes = box.nodes.reshape(box.points[0], -1, len(axes))[0]
    return SelectionPosterior(
        next(iter(axes)),
        steps,
        {name: axis.value(nodes[:, i]) for i, (name, axis) in enumerate(axes.items()) if i},
        *parts,
        float(top + np.log(total)),
        axes,
        box,
        density,
        (mass.sum(axis=0) / total).reshape((RATIOS[k],) * k),
        max(box.missed(density)),
    )


def _log_joint(ready: Selected, priors, axes: Mapping[str, Coordinate], x: np.ndarray, weights) -> np.ndarray:
    """Return log p(y, coordinates x | weights), (J, W)."""
    value = {name: axis.value(x[:, i]) for i, (name, axis) in enumerate(axes.items())}
    prior = sum(
        priors[name].logpdf(value[name]) + axis.log_slope(x[:, i]) for i, (name, axis) in enumerate(axes.items())
    )
    amplitude, *names = axes
    log_p = ready.density(value[amplitude], {name: value[name][:, None] for name in names}, weights)
    log_p += prior[:, None]
    if not (log_p < np.inf).all():
        raise NotANumber("the density of the evidence under selection is not a number at some node")
    return log_p


def _total(log_p: np.ndarray) -> np.ndarray:
    """Return the log of the sum over the weights, (J,)."""
    top = np.maximum(log_p.max(axis=1), -np.finfo(float).max)
    with np.errstate(divide="ignore"):
        return top + np.log(np.exp(log_p - top[:, None]).sum(axis=1))


def _components(box: Box, density: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return weight, node, mean and sd (C,) of normals that stand for the amplitude at the nodes of the others.

    The density is taken between the nodes of its own rule, and multiplied with normal windows one step apart, which
    add up to one. A piece of a density that is nearly normal over a window is nearly normal.
    """
    own = box.rules[0]
    others = Box(box.rules[1:])
    fine = rule(own.low, own.high, FINER * (own.points - 1) + 1, own.shape)
    x, step = fine.nodes, own.step
    centres = np.arange(own.low - 4 * step, own.high + 4 * step, WIDTH * step)
    window = np.exp(-0.5 * ((x - centres[:, None]) / (WIDTH * step)) ** 2)
    window *= fine.weights / window.sum(axis=0)
    g = np.maximum(product(own.basis(x), density.reshape(own.points, -1)), 0.0)  # (fine, J)
    mass = product(window, g)
    mean = product(window * x, g) / np.where(mass > 0, mass, 1.0)
    square = product(window * x**2, g) / np.where(mass > 0, mass, 1.0)
    weight = mass * np.exp(others.log_weights)
    weight /= weight.sum()
    piece, node = np.nonzero(weight > NEGLIGIBLE)
    kept = weight[piece, node]
    variance = np.maximum(square[piece, node] - mean[piece, node] ** 2, 0.0)
    return kept / kept.sum(), node, mean[piece, node], np.sqrt(variance)
