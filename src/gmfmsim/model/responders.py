"""Counts of responders or adverse events over studies: the binomial random-effects model, by exact quadrature."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.polynomial import legendre
from scipy import special

from gmfmsim.compute.algebra import dot, gauss_hermite, gauss_legendre, product
from gmfmsim.dist.distributions import Distribution, Normal
from gmfmsim.evidence.schema import Row, Tables
from gmfmsim.faults import Fault, InputError, choices

FALL = 37.0
"""A density is integrated until its logarithm lies this much below the peak: exp(-37) is 1e-16."""

REACH = np.sqrt(2 * FALL)
"""How many standard deviations from the peak a normal density falls by FALL."""


class Counts(NamedTuple):
    """Children with an event, and children counted, by study."""

    study: list[str]
    r: list[int]
    n: list[int]


class Draws(NamedTuple):
    """Independent draws: the mean logit, the heterogeneity, and the probability in a new study."""

    mu: np.ndarray
    tau: np.ndarray
    p_new: np.ndarray


@dataclass(frozen=True)
class ResponderPosterior:
    """The posterior of `responder_posterior` on its nodes: T of tau, and M of mu for each of them.

    mu, tau are on the logit scale, p_new is the probability in a new study: p_new = expit(mu + tau z).
    x (T,) is log(1 + tau / unit), on which the nodes of tau are Gauss-Legendre nodes between `bounds`.
    """

    log_marginal: float
    unit: float
    bounds: tuple[float, float]
    x: np.ndarray
    weight: np.ndarray
    mu: np.ndarray
    mu_weight: np.ndarray

    @property
    def tau(self) -> np.ndarray:
        """Nodes of tau (T,); their probabilities are `weight`, those of mu given tau `mu_weight` (T, M)."""
        return self.unit * np.expm1(self.x)

    def moments(self, name: str) -> tuple[float, float]:
        """Return mean and standard deviation of mu, tau or p_new.

        A prior of tau without moments (half-Cauchy) may leave mu and tau without: then these figures mean nothing.
        """
        weight = self.weight[:, None] * self.mu_weight
        if name == "p_new":
            # E[p] and E[p^2] are the likelihoods of 1 of 1 and 2 of 2
            first, second = (np.exp(_study(k, k, self.mu, self.tau[:, None])[0]) for k in (1, 2))
            mean, square = (weight * first).sum(), (weight * second).sum()
            return float(mean), float(np.sqrt(max(square - mean**2, 0.0)))
        values = {"mu": self.mu, "tau": self.tau[:, None]}[_known(name)]
        mean = (weight * values).sum()
        return float(mean), float(np.sqrt((weight * (values - mean) ** 2).sum()))

    def cdf(self, name: str, value: np.ndarray) -> np.ndarray:
        """Return P(mu <= value), P(tau <= value) or P(p_new <= value), in the shape of value."""
        value = np.asarray(value, float)
        if _known(name) == "p_new":
            return self._new_cdf(special.logit(value))
        if name == "mu":
            return self._mu_cdf(value)
        return self._x_cdf(np.log1p(np.maximum(value, 0.0) / self.unit))

    def quantile(self, name: str, p: np.ndarray) -> np.ndarray:
        """Return the quantiles of mu, tau or p_new at probabilities p in (0, 1), in the shape of p."""
        p = np.asarray(p, float)
        if not np.all((p > 0) & (p < 1)):
            raise ValueError(f"p = {p}: must lie between 0 and 1")
        if _known(name) == "tau":
            return self.unit * np.expm1(_invert(self._x_cdf, *self.bounds, p))
        if name == "mu":
            return _invert(self._mu_cdf, self.mu.min(), self.mu.max(), p)
        far = REACH * self.tau[:, None]
        return special.expit(_invert(self._new_cdf, (self.mu - far).min(), (self.mu + far).max(), p))

    def above(self, p: float) -> float:
        """Return P(p_new > p)."""
        return float(1 - self.cdf("p_new", p))

    def draws(self, size: int, rng: np.random.Generator) -> Draws:
        """Return `size` independent draws of mu, tau and p_new.

        By the inverse distribution functions of tau and of mu given tau, the latter a bicubic spline over the
        nodes of tau and 97 normal scores between -6 and 6.
        """
        from scipy.interpolate import RectBivariateSpline

        score = np.linspace(-6, 6, 97)
        level = np.broadcast_to(special.ndtr(score), (self.x.size, score.size))
        table = _invert(self._mu_given_tau_cdf, *self._mu_bounds, level)
        x = _invert(self._x_cdf, *self.bounds, rng.random(size))
        mu = RectBivariateSpline(self.x, score, table).ev(x, rng.standard_normal(size))
        tau = self.unit * np.expm1(x)
        return Draws(mu, tau, special.expit(mu + tau * rng.standard_normal(size)))

    @cached_property
    def _x_series(self) -> np.ndarray:
        """The distribution function of x between its bounds, a Legendre series."""
        return _integral(self.weight[:, None])[:, 0]

    @cached_property
    def _mu_series(self) -> np.ndarray:
        """The distribution functions of mu given tau between their bounds, T Legendre series (M + 1, T)."""
        return _integral(self.mu_weight.T)

    @cached_property
    def _mu_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The ends (T, 1) between which the nodes of mu lie."""
        centre = (self.mu[:, :1] + self.mu[:, -1:]) / 2
        half = (self.mu[:, -1:] - self.mu[:, :1]) / 2 / gauss_legendre(self.mu.shape[1])[0][-1]
        return centre - half, centre + half

    def _x_cdf(self, x: np.ndarray) -> np.ndarray:
        low, high = self.bounds
        y = np.clip(2 * (x - low) / (high - low) - 1, -1, 1)
        return np.clip(legendre.legval(y, self._x_series), 0, 1)

    def _mu_cdf(self, value: np.ndarray) -> np.ndarray:
        given_tau = self._mu_given_tau_cdf(np.broadcast_to(value.ravel(), (self.x.size, value.size)))
        return np.clip(dot(self.weight, given_tau.T), 0, 1).reshape(value.shape)

    def _mu_given_tau_cdf(self, value: np.ndarray, at: slice | np.ndarray = slice(None)) -> np.ndarray:
        """Return P(mu <= value | tau) at values (T, J), for the nodes of tau that `at` names."""
        low, high = (end[at] for end in self._mu_bounds)
        y = np.clip(2 * (value - low) / (high - low) - 1, -1, 1)
        return legendre.legval(y, self._mu_series[:, at, None], tensor=False)

    def _new_cdf(self, theta: np.ndarray) -> np.ndarray:
        """Return P(logit p_new <= theta): over mu, or where its density given tau is the wider one over z.

        E[Phi((theta - mu) / tau)] and E[F(theta - tau z)], F the distribution function of mu given tau, are the same
        number; the first is no smooth integrand at small tau, the second at large.
        """
        centre = (self.mu_weight * self.mu).sum(axis=1, keepdims=True)
        sd = np.sqrt((self.mu_weight * (self.mu - centre) ** 2).sum(axis=1))
        small = self.tau < sd / 2
        z, w = gauss_hermite(40)
        weight, mu, tau = self.weight[~small, None] * self.mu_weight[~small], self.mu[~small], self.tau[:, None]
        cdf = [
            (weight * special.ndtr((t - mu) / tau[~small])).sum()
            + dot(self.weight[small], dot(self._mu_given_tau_cdf(t - tau[small] * z, small), w))
            for t in theta.ravel()
        ]
        return np.reshape(cdf, theta.shape)


def responder_posterior(
    r: np.ndarray, n: np.ndarray, *, mu: Normal, tau: Distribution, nodes: tuple[int, int, int] = (96, 80, 32)
) -> ResponderPosterior:
    """Fit r_i ~ Binomial(n_i, p_i), logit p_i ~ Normal(mu, tau^2) to counts r, n (K,): exact, without sampling.

    mu has a Normal prior, tau any prior of positive values with `ppf` and `logpdf`. Gauss-Legendre nodes: nodes[0]
    of tau on the scale log(1 + tau / unit), nodes[1] of mu given tau, and nodes[2] of the logit of each study on
    either side of its mode given (mu, tau). All stand between the points where a density has fallen by exp(-37)
    from its peak: the integrand of a study and the density of mu given tau are log-concave, which bounds both.
    log_marginal is the log probability of the counts.

    Raises ValueError for counts that are empty, not whole, negative, or above n; n below 1; a mu prior that is not
    Normal; a tau prior that is improper or has mass below 0.

    Source: the binomial-normal model of Smith, Spiegelhalter & Thomas (1995).
    """
    r, n = _checked(r, n)
    if not isinstance(mu, Normal):
        raise ValueError(f"mu = {mu}: must be a Normal prior")
    if not (tau.positive and tau.proper):
        raise ValueError(f"tau = {tau}: must be a proper prior of values above 0")
    studies = np.unique(np.stack([r, n], axis=1), axis=0, return_counts=True)
    unit, low, high = _tau_window(studies, mu, tau)
    y, w = gauss_legendre(nodes[0])
    x = (low + high) / 2 + (high - low) / 2 * y
    values = unit * np.expm1(x)
    log, point, share = _mu_given_tau(studies, mu, values, nodes[1:])
    log += tau.logpdf(values) + np.log(values + unit) + np.log(w * (high - low) / 2)
    total = special.logsumexp(log)
    ways = special.gammaln(n + 1) - special.gammaln(r + 1) - special.gammaln(n - r + 1)
    return ResponderPosterior(float(total + ways.sum()), unit, (low, high), x, np.exp(log - total), point, share)


def responders_of(tables: Tables, *, event: str, role: str = "active") -> Counts:
    """Return the children with an event and the children counted, by study, over its arms of one role.

    Of events.csv: preferred rows with both counts, without reviews, whose children the trials hold already, and
    without arms whose children a joint arm of the same table counts too.

    Raises InputError if no row is left or an arm has several.
    """
    arms = {(a["study_id"], a["arm_id"]): a for a in tables.rows["arms"]}
    pools = {s["study_id"] for s in tables.rows["studies"] if s["design"] in ("meta_analysis", "review")}
    rows = [r for r in tables.where("events", preferred="yes") if None not in (r["events"], r["n"])]
    rows = [r for r in rows if r["study_id"] not in pools and arms[r["study_id"], r["arm_id"]]["role"] == role]
    known = sorted({r["event"] for r in rows})
    rows = [r for r in rows if r["event"] == event]
    if not rows:
        problem = f"no count of children with event {event!r} in arms with role {role!r}"
        raise InputError([Fault("events.csv", "column event", problem, choices(event, known, 30))])
    within: dict[tuple, Row] = {}
    faults = []
    parts = {(r["study_id"], r["arm_id"]): arms[r["study_id"], r["arm_id"]]["composite_of"] for r in rows}
    joint = {(study, part) for (study, _), of in parts.items() if of for part in of.split(";")}
    for row in rows:
        key = row["study_id"], row["arm_id"]
        if key in within:
            problem = f"{row['study_id']} {row['arm_id']} stands in row {within[key]['row']} too"
            faults.append(Fault("events.csv", f"row {row['row']}", problem, f"one row of {event} for each arm"))
        elif key not in joint:
            within[key] = row
    if faults:
        raise InputError(faults)
    r, n = Counter(), Counter()
    for (study, _), row in within.items():
        r[study] += row["events"]
        n[study] += row["n"]
    return Counts(list(n), list(r.values()), list(n.values()))


def _known(name: str) -> str:
    if name not in ("mu", "tau", "p_new"):
        raise ValueError(f"name = {name!r}: must be mu, tau or p_new")
    return name


def _checked(r: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r, n = np.asarray(r, float), np.asarray(n, float)
    if r.ndim != 1 or r.size == 0 or r.shape != n.shape:
        raise ValueError(f"r {r.shape} and n {n.shape}: need (K,) and (K,), K at least 1")
    if not (np.all(r == np.floor(r)) and np.all(n == np.floor(n)) and np.isfinite(n).all()):
        raise ValueError(f"r = {r}, n = {n}: must be whole numbers")
    if not np.all((r >= 0) & (r <= n) & (n >= 1)):
        raise ValueError(f"r = {r}, n = {n}: need 0 <= r <= n and n at least 1")
    return r, n


def _tau_window(studies: tuple, mu: Normal, tau: Distribution) -> tuple[float, float, float]:
    """Return the unit of x = log(1 + tau / unit), about the posterior median, and the ends of the posterior in x."""
    # a scan with few nodes over prior probabilities, even on the logit scale: dense towards 0 and towards the tail
    u = special.expit(np.linspace(-36, 36, 145))
    value = tau.ppf(u)
    u, value = u[value > 0], value[value > 0]
    log = _mu_given_tau(studies, mu, value, (16, 8))[0]
    mass = np.cumsum(u * (1 - u) * np.exp(log - log.max()))
    unit = float(np.interp(mass[-1] / 2, mass, value))
    log += tau.logpdf(value) + np.log(value + unit)
    kept = np.flatnonzero(log > log.max() - FALL)
    low = float(value[kept[0] - 1] if kept[0] > 0 else tau.ppf(np.array(0.0)))
    high = float(value[min(kept[-1] + 1, value.size - 1)])
    return unit, float(np.log1p(max(low, 0.0) / unit)), float(np.log1p(high / unit))


def _mu_given_tau(studies: tuple, mu: Normal, tau: np.ndarray, nodes: tuple[int, int]):
    """Return the log likelihood (T,) of tau, and nodes and probabilities (T, M) of mu given tau."""
    (r, n), many = studies[0].T, studies[1]

    def log_density(value: np.ndarray, points: int = 8) -> tuple[np.ndarray, np.ndarray]:
        """Return the log density of mu and the counts, less constants, and its slope, at value (T, M) or (T,)."""
        scale = tau.reshape(-1, *[1] * (value.ndim - 1))
        parts = [_study(a, b, value, scale, points) for a, b in zip(r, n, strict=True)]
        log = sum(m * part[0] for m, part in zip(many, parts, strict=True)) - ((value - mu.mean) / mu.sd) ** 2 / 2
        return log, sum(m * part[1] for m, part in zip(many, parts, strict=True)) - (value - mu.mean) / mu.sd**2

    # the slope of a study's log likelihood lies between r - n and r, its curvature above -min(n / 4, 1 / tau^2)
    low = np.full(tau.shape, mu.mean - mu.sd**2 * (dot(many, n - r)))
    high = np.full(tau.shape, mu.mean + mu.sd**2 * (dot(many, r)))
    sharp = 1 / mu.sd**2 + dot(many, np.minimum(n / 4, 1 / tau[:, None] ** 2))
    while np.any((high - low) * np.sqrt(sharp) > 0.1):
        middle = (low + high) / 2
        rises = log_density(middle)[1] > 0
        low, high = np.where(rises, middle, low), np.where(rises, high, middle)
    mode = (low + high) / 2
    left, right = _reach(lambda d: log_density(mode + d)[0], REACH / np.sqrt(sharp), 1.1 * REACH * mu.sd)
    y, w = gauss_legendre(nodes[0])
    half = (left + right) / 2
    point = (mode + (right - left) / 2)[:, None] + half[:, None] * y
    log = log_density(point, nodes[1])[0] + np.log(w * half[:, None]) - np.log(mu.sd * np.sqrt(2 * np.pi))
    total = special.logsumexp(log, axis=1)
    return total, point, np.exp(log - total[:, None])


def _study(r: float, n: float, mu: np.ndarray, tau: np.ndarray, points: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Return log of the integral of p^r (1 - p)^(n - r) over logit p ~ Normal(mu, tau^2), and its slope in mu.

    With z = (logit p - mu) / tau the integrand is log-concave, with curvature between 1 and 1 + n tau^2 / 4: two
    Gauss-Legendre rules, one on either side of the mode. The slope is E[r - n p].
    """
    mu, tau = np.broadcast_arrays(mu, tau)
    mode = _mode(r, n, mu, tau)
    # the same number at the mode; each loses its digits where the other is exact
    z = np.where(tau > 1, (mode - mu) / tau, tau * (r * special.expit(-mode) - (n - r) * special.expit(mode)))

    def log_integrand(z: np.ndarray, theta: np.ndarray) -> np.ndarray:
        # r log p + (n - r) log(1 - p), without cancellation at either end
        size = np.abs(theta)
        return r * np.minimum(theta, 0) - (n - r) * np.maximum(theta, 0) - n * np.log1p(np.exp(-size)) - z**2 / 2

    top = log_integrand(z, mu + tau * z)
    near = REACH / np.sqrt(1 + n * tau**2 / 4)
    sides = _reach(lambda d: log_integrand(z + d, mu + tau * (z + d)), near, 1.1 * REACH)
    y, w = gauss_legendre(points)
    y, w = np.concatenate([-(y[::-1] + 1), y + 1]) / 2, np.concatenate([w, w]) / 2
    width = np.concatenate([np.repeat(side[..., None], points, axis=-1) for side in sides], axis=-1)
    nodes = z[..., None] + width * y
    theta = mu[..., None] + tau[..., None] * nodes
    density = np.exp(log_integrand(nodes, theta) - top[..., None]) * width * w
    total = density.sum(-1)
    slope = r - n * (density * special.expit(theta)).sum(-1) / total
    return top + np.log(total) - np.log(2 * np.pi) / 2, slope


def _mode(r: float, n: float, mu: np.ndarray, tau: np.ndarray) -> np.ndarray:
    """Return the logit at which p^r (1 - p)^(n - r) Normal(logit; mu, tau^2) peaks, to 0.0001 of its width.

    Newton's steps from 0 never overshoot: the slope is convex on one side of 0 and concave on the other.
    """
    theta = np.zeros(mu.shape)
    for _ in range(1000):
        p, q = special.expit(theta), special.expit(-theta)  # 1 - p would lose its digits
        curvature = tau**2 * n * p * q + 1
        step = (tau**2 * ((n - r) * p - r * q) + theta - mu) / curvature
        theta = theta - step
        if np.all(np.abs(step) <= 1e-4 * np.minimum(tau / np.sqrt(curvature), 1) + 1e-12 * (1 + np.abs(mu))):
            return theta
    raise ArithmeticError("no mode found in 1000 steps")


def _reach(log_density: Callable, near: np.ndarray, far: float) -> tuple[np.ndarray, np.ndarray]:
    """Return how far left and right of the peak, between near and far, a log-concave density falls by FALL."""
    top, ends = log_density(0.0), []
    for side in (-1.0, 1.0):
        low, high = np.log(near), np.full(near.shape, np.log(far))
        for _ in range(7):
            middle = (low + high) / 2
            fallen = log_density(side * np.exp(middle)) < top - FALL
            low, high = np.where(fallen, low, middle), np.where(fallen, middle, high)
        ends.append(np.exp(high))
    return ends[0], ends[1]


def _integral(weight: np.ndarray) -> np.ndarray:
    """Return the Legendre series (N + 1, ...) of the distribution function that weights at N nodes (N, ...) imply."""
    size = weight.shape[0]
    values = legendre.legvander(gauss_legendre(size)[0], size - 1)
    series = (np.arange(size) + 0.5)[:, None] * product(values.T, weight)
    return legendre.legint(series, lbnd=-1)


def _invert(cdf: Callable, low: np.ndarray, high: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return where a distribution function that rises between low and high reaches p, by bisection."""
    low, high = (np.broadcast_to(end, p.shape) for end in (low, high))
    while np.any(high - low > 1e-13 * (1e-3 + np.abs(low) + np.abs(high))):
        middle = (low + high) / 2
        if np.all((middle == low) | (middle == high)):
            break
        below = cdf(middle) < p
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2
