"""The exact posterior of a structure: a mixture of normals, one for each node and combination of states."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gmfmsim.model.exact import kernels
from gmfmsim.model.exact.marginal import Marginal, draw
from gmfmsim.model.exact.mixture import NormalMixture
from gmfmsim.model.exact.prepared import Prepared
from gmfmsim.model.exact.quadrature import Box

BETWEEN = 1e-9
"""The largest error of a marginal density between its nodes, relative."""
BETWEEN_FOR_DRAWS = 1e-4
"""The same of the joint density from which parameters are drawn."""


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
