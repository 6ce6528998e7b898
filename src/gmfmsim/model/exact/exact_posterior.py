"""The exact posterior of a structure: a mixture of normals, one for each node and combination of states."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gmfmsim.compute.algebra import cholesky, product
from gmfmsim.model.exact import kernels
from gmfmsim.model.exact.marginal import Marginal, draw
from gmfmsim.model.exact.mixture import NormalMixture
from gmfmsim.model.exact.prepared import Prepared
from gmfmsim.model.exact.quadrature import Box

BETWEEN = 1e-9
"""The largest error of a marginal density between its nodes, relative."""
BETWEEN_OF_MANY = 1e-5
"""The same with three parameters or more and standard errors of unknown size, whose own points are no closer."""
BETWEEN_FOR_DRAWS = 1e-4
"""The same of the joint density from which parameters are drawn."""


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

    @cached_property
    def phi(self) -> dict[str, np.ndarray]:
        """The parameters at the nodes, (J,) each."""
        return {name: value[:, 0] for name, value in self.prepared.phi(self.box.nodes).items()}

    @property
    def labelled(self) -> list[tuple[str, str | float | None]]:
        """Variable and label of every coefficient."""
        return self.prepared.structure.labelled

    def parameter(self, name: str) -> Marginal:
        """Return the marginal distribution of a non-linear parameter, on an axis as fine as a density needs."""
        if name not in self._marginals:
            ready, i = self.prepared, self.prepared.names.index(name)
            many = len(ready.names) > 2 and ready.structure.likelihood.uncertain_spread
            box, density = ready.resolved(self.box, self.density, i, BETWEEN_OF_MANY if many else BETWEEN)
            self._marginals[name] = Marginal(ready.axes[i], box.rules[i], box.marginal(density, i))
        return self._marginals[name]

    @cached_property
    def _marginals(self) -> dict[str, Marginal]:
        """Those that were asked for."""
        return {}

    def moments(self, name: str) -> tuple[float, float]:
        """Return mean and standard deviation of a parameter or a coefficient; NaN where one does not exist."""
        if name in self.phi:
            mean, sd = self.parameter(name).moments()
            order = self.orders[name]
            return (mean if order > 1 else np.nan), (sd if order > 2 else np.nan)
        mixture = self.coefficient(name)
        return mixture.mean, mixture.sd

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
        """Return the distribution of sum_j loading_j b_j + Normal(0, variance), b with a unit sd if pooled.

        loading (J, p) and variance (J,) by node.
        """
        a, b, _ = self.statistics
        ready, node = self.prepared, self.node
        mean, spread = kernels.linear_at(
            a, b, ready.states.start, ready.prior_precision, ready.prior_b, node, self.combination, loading
        )
        spread += variance[node]
        return NormalMixture(self.weight, mean, np.sqrt(spread, out=spread))

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
            coefficients[rows] = mean + product(cholesky(covariance), normal[rows, :, None])[..., 0]
        return {name: value[:, 0] for name, value in ready.phi(x).items()}, coefficients
