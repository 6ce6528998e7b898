"""Adverse events by arm, dose and route: a binomial model with study effects, by quadrature, without sampling.

events_ij ~ Binomial(n_ij, p_ij),  logit p_ij = alpha_i + [cells] (cells + slope x_ij + route [not by vein alone]),
x = log10(1 + dose / 1e7),  alpha_i ~ Normal(mu, tau^2).

Rare events need no correction: a row of zero events is a likelihood as any other. Study effects are integrated out one
at a time. Given tau the posterior of the four coefficients is log-concave (Prekopa 1973), and Gauss and Hermite's
product rule at its mean and covariance integrates it (Naylor & Smith 1982); tau has a Gauss-Legendre rule. Means are
right to five digits, probabilities and quantiles, which need sharp edges, to three or four.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import special

from gmfmsim.compute.algebra import cholesky, dot, gauss_hermite, gauss_legendre, inverse, product, transposed
from gmfmsim.compute.roots import root
from gmfmsim.evidence.events import ArmCount
from gmfmsim.model.event_kernels import hermite, log_likelihoods, softplus_table
from gmfmsim.model.safety_priors import UNIT_DOSE, SafetyPriors
from gmfmsim.model.terms import route

COEFFICIENTS = ("mu", "slope", "route", "cells")
"""In the order of the factor of their covariance: the rate without cells hangs on the first alone, and every other
rate rises with the last."""

NODES = (20, 8, 16)
"""Nodes of tau, of each coefficient given tau, and of a study's effect on either side of its mode."""

NEW_NODES = 16
"""Nodes of the effect of a new study."""

TAU_REACH = 5.5
"""Tau is integrated up to so many prior SDs, beyond which a half-normal has 4e-8 of its mass."""

FORGOTTEN = 1e-7
"""Probability of the nodes that distribution functions leave out, the least likely ones."""

MOVED = 0.03
"""Logits: the step of the differences from which a mode is found."""

POINTS = gauss_legendre(NODES[2])


class Asked(NamedTuple):
    """What a rate is asked of: a dose in cells/kg, 0 for no cells; by vein alone or otherwise; and of which study: a
    new one, or the typical one, whose effect is the mean of studies."""

    dose: float
    by_vein: bool = True
    new_study: bool = True


def loading(dose: float, by_vein: bool) -> np.ndarray:
    """Return what each coefficient counts in the logit of a rate, in the order of COEFFICIENTS."""
    if dose == 0:
        return np.array([1.0, 0.0, 0.0, 0.0])
    return np.array([1.0, np.log10(1 + dose / UNIT_DOSE), 0.0 if by_vein else 1.0, 1.0])


@dataclass(frozen=True)
class SafetyPosterior:
    """The posterior of `safety_posterior` on its nodes: T of tau, and of the coefficients M^4 around it for each.

    tau (T,); centre (T, 4) and factor (T, 4, 4), lower triangular: the coefficients at node t (4,) of the product rule
    are centre + factor t. mass (T, M, M, M, M): their probabilities, which add up to 1. log_marginal: of the counts.
    """

    log_marginal: float
    tau: np.ndarray
    centre: np.ndarray
    factor: np.ndarray
    mass: np.ndarray

    @cached_property
    def coefficients(self) -> np.ndarray:
        """The coefficients at every node, (T, M, M, M, M, 4)."""
        moved = product(_grid(self.mass.shape[1])[0][None], transposed(self.factor)) + self.centre[:, None]
        return moved.reshape(*self.mass.shape, 4)

    def moments(self, name: str) -> tuple[float, float]:
        """Return mean and standard deviation of a coefficient or of tau."""
        values = self._tau_of_nodes if name == "tau" else self.coefficients[..., COEFFICIENTS.index(name)]
        mean = float((self.mass * values).sum())
        return mean, float(np.sqrt((self.mass * (values - mean) ** 2).sum()))

    def mean_rate(self, at: Asked) -> float:
        """Return the mean of a rate."""
        eta = dot(self.coefficients, loading(at.dose, at.by_vein))
        new = _new_study(at.new_study)
        return float(sum(w * (self.mass * special.expit(eta + self._tau_of_nodes * z)).sum() for z, w in new))

    def rate_cdf(self, at: Asked, rate: float) -> float:
        """Return P(rate <= a value between 0 and 1)."""
        return self._below(float(special.logit(rate)), at)

    def rate_quantile(self, at: Asked, p: float) -> float:
        """Return the quantile of a rate at probability p in (0, 1)."""
        return float(special.expit(root(lambda x: self._below(x, at) - p, -60.0, 60.0, within=1e-8)))

    def difference_cdf(self, at: Asked, difference: float) -> float:
        """Return P(rate with cells less the rate without, in one study, <= a value between -1 and 1)."""

        def cells_add(without: np.ndarray) -> np.ndarray:
            with np.errstate(divide="ignore"):
                return special.logit(np.clip(special.expit(without) + difference, 0.0, 1.0)) - without

        return self._last_axis(at, cells_add)

    def difference_quantile(self, at: Asked, p: float) -> float:
        """Return the quantile of a risk difference at probability p in (0, 1)."""
        return root(lambda x: self.difference_cdf(at, x) - p, -1.0, 1.0, within=1e-9)

    def log_odds_ratio_quantile(self, at: Asked, p: float) -> float:
        """Return the quantile of the log odds ratio of cells against none at probability p in (0, 1)."""
        return root(lambda x: self._last_axis(at, lambda _: np.float64(x)) - p, -60.0, 60.0, within=1e-8)

    @property
    def _tau_of_nodes(self) -> np.ndarray:
        return self.tau.reshape(-1, 1, 1, 1, 1)

    def _below(self, logit: float, at: Asked) -> float:
        """Return P(logit of a rate <= a value)."""
        if at.dose > 0:
            return self._last_axis(at, lambda without: logit - without)
        series, total = self._first_axis, 0.0
        for z, w in _new_study(at.new_study):
            threshold = (logit - self.tau * z - self.centre[:, 0]) / self.factor[:, 0, 0]
            total += w * _distribution(series, threshold).sum()
        return float(total)

    def _last_axis(self, at: Asked, cells_add: Callable[[np.ndarray], np.ndarray]) -> float:
        """Return the probability that cells add less to the logit than cells_add allows, given the logit without them:
        line by line of the last axis, along which only the coefficient of cells changes."""
        lines, fixed, total = self._lines, loading(at.dose, at.by_vein)[1:3], 0.0
        for z, w in _new_study(at.new_study):
            room = cells_add(lines.mu + lines.tau * z) - fixed[0] * lines.slope - fixed[1] * lines.route - lines.cells
            total += w * _distribution(lines.series, room / lines.sd).sum()
        return float(total / lines.mass)

    @cached_property
    def _first_axis(self) -> np.ndarray:
        """The series of mu given tau, (T, M)."""
        return _series(self.mass.sum(axis=(2, 3, 4)))

    @cached_property
    def _lines(self) -> "_Lines":
        """The lines of the last axis, but for those that together have FORGOTTEN."""
        mass = self.mass.reshape(-1, self.mass.shape[-1])
        weight = mass.sum(axis=1)
        order = np.argsort(weight, kind="stable")
        kept = np.sort(order[np.cumsum(weight[order]) > FORGOTTEN])
        first = self.coefficients[..., 0, :].reshape(-1, 4)[kept]
        t, sd = gauss_hermite(self.mass.shape[-1])[0][0], self.factor[:, 3, 3]
        tau, sd = (np.repeat(x, weight.size // self.tau.size)[kept] for x in (self.tau, sd))
        mu, slope, other, cells = first.T
        return _Lines(mu, slope, other, cells - sd * t, sd, tau, _series(mass[kept]), float(weight[kept].sum()))


class _Lines(NamedTuple):
    """Lines of nodes along which only the coefficient of cells changes, (L,) each: the other coefficients, mean and SD
    of the normal that its nodes belong to, tau; the series of its distribution (L, M); the mass of all lines."""

    mu: np.ndarray
    slope: np.ndarray
    route: np.ndarray
    cells: np.ndarray
    sd: np.ndarray
    tau: np.ndarray
    series: np.ndarray
    mass: float


def safety_posterior(
    counts: Sequence[ArmCount], priors: SafetyPriors, nodes: tuple[int, int] = NODES[:2]
) -> SafetyPosterior:
    """Fit the model of the module to counts of one event: exact, without sampling.

    nodes: of tau, and of each of the four coefficients given tau. The mode of the coefficients given tau is found by
    Newton's method; their mean and covariance, to which the last rule is fitted, by two rules of fewer nodes.

    Raises ValueError without any count.
    """
    if not counts:
        raise ValueError("counts is empty: need at least one arm")
    density = _density_of(counts, priors)
    y, weight = gauss_legendre(nodes[0])
    reach = TAU_REACH * priors.tau / 2
    tau, width = reach * (1 + y), reach * weight
    start = np.array([priors.of(name).ppf(0.5) for name in COEFFICIENTS])
    fitted = []
    for one in tau.tolist():
        start, factor = _mode(density, start, one)
        centre = start
        for few in (4, 6):
            mass = _rule(density, one, centre, factor, few)[1]
            centre, factor = _matched(centre, factor, few, mass)
        fitted.append((centre, factor, *_rule(density, one, centre, factor, nodes[1])))
    centre, factor, log, mass = (np.stack(part) for part in zip(*fitted, strict=True))
    log = log + priors.of("tau").logpdf(tau) + np.log(width)
    total = special.logsumexp(log)
    ways = sum(
        special.gammaln(c.n + 1) - special.gammaln(c.events + 1) - special.gammaln(c.n - c.events + 1) for c in counts
    )
    mass = np.exp(log - total).reshape(-1, 1, 1, 1, 1) * mass.reshape(-1, *[nodes[1]] * 4)
    return SafetyPosterior(float(total + ways), tau, centre, factor, mass)


type Density = Callable[[np.ndarray, float], np.ndarray]
"""The log density of coefficients (P, 4) and the counts at a tau, (P,), less the ways to choose children."""


def _density_of(counts: Sequence[ArmCount], priors: SafetyPriors) -> Density:
    """Return the log density of the coefficients and the counts."""
    arms = sorted(counts, key=lambda c: c.children)
    design = np.stack([loading(c.dose, route(c.route) == "intravenous") for c in arms])
    events, n = (np.array([getattr(c, name) for c in arms], float) for name in ("events", "n"))
    names = [c.children for c in arms]
    first = np.array([i for i, name in enumerate(names) if i == 0 or name != names[i - 1]] + [len(names)])
    rule, table, of = np.stack(POINTS), softplus_table(), [priors.of(name) for name in COEFFICIENTS]

    def density(beta: np.ndarray, tau: float) -> np.ndarray:
        prior = sum(one.logpdf(beta[:, k]) for k, one in enumerate(of))
        return log_likelihoods(np.ascontiguousarray(beta), tau, design, events, n, first, rule, table) + prior

    return density


def _mode(density: Density, start: np.ndarray, tau: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the mode of the coefficients given tau (4,), and the factor (4, 4) of the covariance there.

    Newton's method on differences of MOVED. The density is log-concave; a step that leads down is halved.
    """
    unit, pairs = MOVED * np.eye(4), [(i, j) for i in range(4) for j in range(i)]
    moves = [
        np.zeros(4),
        *unit,
        *-unit,
        *(unit[i] + unit[j] for i, j in pairs),
        *(-unit[i] - unit[j] for i, j in pairs),
    ]
    beta = start
    for _ in range(100):
        values = density(beta + np.stack(moves), tau)
        here, up, down = values[0], values[1:5], values[5:9]
        slope, bent = (up - down) / (2 * MOVED), np.diag((up + down - 2 * here) / MOVED**2)
        for (i, j), both in zip(pairs, values[9:15] + values[15:21], strict=True):
            bent[i, j] = bent[j, i] = (both - up[i] - down[i] - up[j] - down[j] + 2 * here) / (2 * MOVED**2)
        spread = inverse(-bent)
        step = dot(spread, slope)
        while density((beta + step)[None], tau)[0] < here - 1e-9:
            step = step / 2
        beta = beta + step
        if np.abs(step).max() < 1e-3:
            return beta, cholesky(spread)
    raise ArithmeticError("no mode of the rates found in 100 steps")


def _rule(
    density: Density, tau: float, centre: np.ndarray, factor: np.ndarray, points: int
) -> tuple[float, np.ndarray]:
    """Return the log of the integral of a density over the coefficients, and the mass (points^4,) of the nodes."""
    t, weight = _grid(points)
    log = density(centre + product(t, factor.T), tau) + np.log(weight) + (t**2).sum(axis=1) / 2
    total = special.logsumexp(log)
    return float(total + np.log(np.diag(factor)).sum() + 2 * np.log(2 * np.pi)), np.exp(log - total)


def _matched(centre: np.ndarray, factor: np.ndarray, points: int, mass: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (4,) and factor of the covariance (4, 4) of masses at the nodes of a rule."""
    beta = centre + product(_grid(points)[0], factor.T)
    mean = dot(beta.T, mass)
    away = beta - mean
    return mean, cholesky(product((away * mass[:, None]).T, away))


def _grid(points: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes (points^4, 4) and weights (points^4,) of the product rule for four standard normals."""
    t, weight = gauss_hermite(points)
    each = np.stack(np.meshgrid(t, t, t, t, indexing="ij"), axis=-1).reshape(-1, 4)
    weights = np.stack(np.meshgrid(weight, weight, weight, weight, indexing="ij"), axis=-1).reshape(-1, 4)
    return each, weights.prod(axis=1)


def _new_study(new: bool) -> Iterator[tuple[float, float]]:
    """Return nodes and weights of the standardised effect of a new study; of the typical one 0."""
    return zip(*(part.tolist() for part in gauss_hermite(NEW_NODES)), strict=True) if new else iter([(0.0, 1.0)])


def _series(mass: np.ndarray) -> np.ndarray:
    """Return the series (..., M) in Hermite polynomials of a density over Normal(0, 1) with masses (..., M) at the
    nodes of Gauss and Hermite's rule."""
    size = mass.shape[-1]
    return np.stack([dot(mass, polynomial) for polynomial in hermite(gauss_hermite(size)[0], size)], axis=-1)


def _distribution(series: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Return the integral up to t (L,) of densities with series (L, M).

    c_0 Phi(t) - phi(t) sum_m c_m h_(m - 1)(t) / sqrt(m).
    """
    t = np.clip(t, -12.0, 12.0)
    each = zip(series.T[1:], hermite(t, series.shape[-1] - 1), strict=True)
    tail = sum(c * h / np.sqrt(m) for m, (c, h) in enumerate(each, 1))
    return series[:, 0] * special.ndtr(t) - tail * np.exp(-(t**2) / 2) / np.sqrt(2 * np.pi)
