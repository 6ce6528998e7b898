"""Dense quadrature for the shipped models: an independent way to the same posterior, without sampling.

Given the non-linear parameters phi = (tau, r, ed50) the model is linear and Gaussian, so that the amplitude and a
new study integrate in closed form. phi is integrated on a product of Gauss-Legendre grids in the probability
scale of its priors (SciPy's distributions, not those of the package).
"""

import itertools
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from scipy import special, stats
from scipy.interpolate import make_interp_spline


@dataclass(frozen=True)
class Mixture:
    """The posterior as a mixture over nodes of phi: weights, amplitude mean and variance, and phi itself."""

    weight: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    phi: dict[str, np.ndarray]
    log_marginal: float

    def moments(self, name: str | None = None) -> tuple[float, float]:
        """Return mean and sd of a non-linear parameter, or of the amplitude."""
        mean = self.mean if name is None else self.phi[name]
        variance = self.variance if name is None else 0.0
        center = self.weight @ mean
        return float(center), float(np.sqrt(self.weight @ (variance + (mean - center) ** 2)))

    def effect(self, shape=1.0, *, heterogeneity: bool) -> "Normals":
        """Return the effect at a dose (shape: f(dose) at every node), in a new study or in the mean of studies."""
        variance = self.variance + (self.phi["tau"] ** 2 if heterogeneity else 0.0)
        return Normals(self.weight, self.mean * shape, np.sqrt(variance) * shape)


@dataclass(frozen=True)
class Normals:
    """A mixture of normal distributions."""

    weight: np.ndarray
    mean: np.ndarray
    sd: np.ndarray

    def above(self, x: float = 0.0) -> float:
        """Return P(effect > x): at 0 the plateau of assurance."""
        return float(self.weight @ special.ndtr((self.mean - x) / self.sd))

    @cached_property
    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """Nodes and probabilities of the mixture on one Gauss-Legendre grid, 16 SDs either way: its tails are long."""
        center = self.weight @ self.mean
        spread = np.sqrt(self.weight @ (self.sd**2 + (self.mean - center) ** 2))
        x, w = np.polynomial.legendre.leggauss(192)
        x, w = center + 16 * spread * x, 16 * spread * w
        largest = np.argsort(-self.weight)
        kept = largest[: np.searchsorted(np.cumsum(self.weight[largest]), 1 - 1e-7) + 1]  # of many nodes most are idle
        height, mean, sd = self.weight[kept] / self.sd[kept], self.mean[kept], self.sd[kept]
        density = np.array([np.exp(-0.5 * ((point - mean) / sd) ** 2) @ height for point in x])
        return x, density * w / (density @ w)


def posterior(y, covariance, study, gmfm66, *, amplitude_sd, tau, r=None, ed50=None, shape=None, points=(160, 60, 60)):
    """Integrate y ~ N(s a_i f, V), a_i ~ N(a, tau^2), a ~ N(0, amplitude_sd^2) over tau, r and ed50.

    tau, r, ed50 are SciPy distributions; shape(ed50 nodes (J, 1)) gives f (J, K) or (K,).
    """
    y, covariance = np.asarray(y, float), np.asarray(covariance, float)
    axes = [_nodes(tau, points[0]), _nodes(r, points[1]), _nodes(ed50, points[2])]
    grids = np.meshgrid(*(x for x, _ in axes), indexing="ij")
    weights = np.prod(np.meshgrid(*(w for _, w in axes), indexing="ij"), axis=0).ravel()
    tau_, r_, ed50_ = (g.ravel() for g in grids)
    s = np.where(gmfm66, 1.0, 1.0 / r_[:, None]) if r is not None else np.ones((tau_.size, y.size))
    s = s * (1.0 if shape is None else shape(ed50_[:, None]))
    same = np.equal.outer(study, study)
    logml, mean, variance = np.empty(tau_.size), np.empty(tau_.size), np.empty(tau_.size)
    for block in np.array_split(np.arange(tau_.size), max(1, tau_.size // 4000)):
        x = s[block]
        within = covariance + tau_[block, None, None] ** 2 * x[:, :, None] * x[:, None, :] * same
        inverse_x = np.linalg.solve(within, x[..., None])[..., 0]
        inverse_y = np.linalg.solve(within, np.broadcast_to(y, x.shape)[..., None])[..., 0]
        precision = 1 / amplitude_sd**2 + (x * inverse_x).sum(-1)
        variance[block] = 1 / precision
        mean[block] = (inverse_x @ y) / precision
        logdet = np.linalg.slogdet(within)[1] + np.log(precision * amplitude_sd**2)
        quadratic = inverse_y @ y - mean[block] ** 2 * precision
        logml[block] = -0.5 * (quadratic + logdet + y.size * np.log(2 * np.pi))
    peak = logml.max()
    weight = weights * np.exp(logml - peak)
    phi = {"tau": tau_, "r": r_, "ed50": ed50_}
    return Mixture(weight / weight.sum(), mean, variance, phi, float(peak + np.log(weight.sum())))


def over_readings(data, *, hermite: int = 15, points=(30, 12, 1), **priors) -> Mixture:
    """Integrate over the readings of suspect figures too: each combination, with nodes for every unknown error.

    A contrast whose log standard error has SD s, and whose study is at its node u, has its error times exp(s u).
    """
    parts = []
    for weight, effect, covariance in _readings(data, hermite):
        study, gmfm66 = data["study"].values, data["gmfm66"].values
        part = posterior(effect, covariance, study, gmfm66, points=points, **priors)
        parts.append((np.log(weight) + part.log_marginal, part))
    peak = max(log for log, _ in parts)
    share = np.exp([log - peak for log, _ in parts])
    return Mixture(
        np.concatenate([w * part.weight for w, (_, part) in zip(share / share.sum(), parts, strict=True)]),
        np.concatenate([part.mean for _, part in parts]),
        np.concatenate([part.variance for _, part in parts]),
        {name: np.concatenate([part.phi[name] for _, part in parts]) for name in ("tau", "r", "ed50")},
        float(peak + np.log(share.sum())),
    )


def _readings(data, hermite: int):
    """Yield weight, effects and covariance of every combination of readings and of nodes of unknown errors."""
    x, w = np.polynomial.hermite_e.hermegauss(hermite)
    w = w / w.sum()
    study = data["study"].values
    for r in range(data.sizes["reading"]):
        one = data.isel(reading=r)
        effect, covariance, spread = (one[v].values for v in ("effect", "covariance", "log_se_sd"))
        unknown = list(dict.fromkeys(study[spread > 0].tolist()))
        for nodes in itertools.product(range(hermite), repeat=len(unknown)):
            log_scale = sum((spread * (study == s) * x[i] for s, i in zip(unknown, nodes, strict=True)), 0 * spread)
            scale = np.exp(log_scale)
            yield one["weight"].item() * np.prod(w[list(nodes)]), effect, covariance * np.outer(scale, scale)


def _nodes(distribution, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Return quantiles of a distribution at Gauss-Legendre nodes, and the weights; one dummy node for None."""
    if distribution is None:
        return np.ones(1), np.ones(1)
    # u = sin^2(pi t / 2) crowds the nodes at both ends, where quantile functions are steep
    t, w = np.polynomial.legendre.leggauss(points)
    t, w = (t + 1) / 2, w / 2
    return distribution.ppf(np.sin(np.pi * t / 2) ** 2), w * np.pi / 2 * np.sin(np.pi * t)


def t_test_success(effect, n: int, **trial) -> float:
    """Return P(significant benefit) of a two-arm t test, n per arm: effect (its `grid`), SD, completers integrated."""
    theta, weight = effect.grid
    return float(weight @ t_test_power(n, **trial)(theta))


@cache
def t_test_power(n: int, *, dropout: float, sd_median: float, sd_sigma: float, alpha: float = 0.05):
    """Return P(significant benefit) of a two-arm t test as a function of the true effect.

    n per arm, of whom each stays with probability 1 - dropout; fewer than two in an arm: no success. log of the SD of
    children ~ Normal(log sd_median, sd_sigma). With k1 and k0 completers and s the pooled SD over the true one, success
    has probability Phi(effect / (sd sqrt(1/k1 + 1/k0)) - t s): averaged over s, then sd, then k1 and k0, each time kept
    as a spline for the next.
    """
    k = np.arange(2, n + 1)
    p = stats.binom.pmf(k, n, 1 - dropout)
    first, second = (x.ravel() for x in np.meshgrid(k, k, indexing="ij"))
    weight, total = np.outer(p, p).ravel() * (1 + (first < second)), first + second
    kept = (weight > 1e-10) & (first <= second)
    weight, total, root = weight[kept], total[kept], np.sqrt(1 / first + 1 / second)[kept]
    z, w_sd = normal_nodes(0.3, 6.5)
    sd = sd_median * np.exp(sd_sigma * z)
    # power changes over a constant share of the effect: steps in proportion to it, but near 0
    largest = max(_noncentral(df, alpha)[0][-1] for df in np.unique(total) - 2) * sd[-1]
    scaled = 0.5 * sd[0] * np.sinh(np.linspace(-1, 1, 260) * np.arcsinh(2 * largest / sd[0]))
    theta, power = scaled * root.max(), np.zeros(scaled.size)
    for size in np.unique(total):
        delta, success = _noncentral(size - 2, alpha)
        given = make_interp_spline(delta, success, k=5)
        averaged = given(np.clip(scaled[:, None] / sd, delta[0], delta[-1])) @ w_sd
        over_sd = make_interp_spline(scaled, averaged, k=5)
        own = total == size
        power += weight[own] @ over_sd(np.clip(theta / root[own][:, None], scaled[0], scaled[-1]))
    over_all = make_interp_spline(theta, power, k=5)
    return lambda effect: over_all(np.clip(effect, theta[0], theta[-1]))


@cache
def _noncentral(df: int, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Return P(T > t) of a non-central t at two-sided level alpha, over a grid of non-centralities."""
    low, high = (np.sqrt(q / df) for q in (stats.chi2.ppf(1e-13, df), stats.chi2.isf(1e-13, df)))
    x, w = np.polynomial.legendre.leggauss(64)
    s, w = low + (high - low) * (x + 1) / 2, (high - low) / 2 * w
    critical = special.stdtrit(df, 1 - alpha / 2)
    delta = np.arange(-9.0, critical * high + 9.0, 0.05)
    return delta, special.ndtr(delta[:, None] - critical * s) @ (w * stats.chi2.pdf(df * s**2, df) * 2 * df * s)


def normal_nodes(step: float, reach: float = 7.5) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights of a standard normal variable: the trapezoidal rule."""
    count = int(np.ceil(reach / step))
    z = step * np.arange(-count, count + 1)
    w = np.exp(-0.5 * z**2)
    return z, w / w.sum()
