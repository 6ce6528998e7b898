"""The SD of change of the children in a further trial: a hierarchical model of the SDs that trials print.

    (n_j - 1) s_j^2 / sigma_j^2 ~ chi^2 with n_j - 1 degrees of freedom
    log sigma_j = m + b log(month_j / 12) + k other_scale_j + u_trial(j),   u ~ Normal(0, omega)

for the sample SD s_j of arm j in points of a 0-100 scale; other_scale is 0 on the GMFM-66 and 1 on any other GMFM
scale. exp(m) is the median SD of 12-month change in GMFM-66 points. A further trial has log sigma ~ Normal(m + b log(
month / 12) + k other_scale, omega), over the posterior (Gelman et al. 2013, Bayesian Data Analysis, ch. 5).

Months share one curve, since the same trials print several: b is what `excess_growth` is of simulated children. An arm
that prints K months has (n - 1) / K degrees of freedom at each, so that no child counts twice: exact for the level of
its SDs where the visits say the same of it. Publications of one registered trial share u. Observed minus expected
change counts as change.

The scale has a coefficient of its own. The ratio r of mean changes would do if every child changed in proportion; in
the one sample that was measured on both scales, the means have the ratio 0.56 and the SDs 0.37 (Kim 2018).

Not in the model: level and age. Trials print which levels and ages they admit, one how many children of each level;
seven trials do not tell these from month and scale. How populations differ is in omega. Arms of a trial have one SD, as
the analyses suppose that are planned with it.
"""

import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from gmfmsim.compute.algebra import cholesky, dot, gauss_hermite, gauss_legendre, inverse, product, transposed
from gmfmsim.dist.distributions import Normal
from gmfmsim.dist.positive import HalfNormal, LogNormal, LogStudentT
from gmfmsim.evidence.schema import GMFM66_SCALES, Tables
from gmfmsim.evidence.spread import FEWEST, PRIMARY_MONTH, VISITS, out_of_line, sd100, shipped_tables, study_spreads

PRIORS = (
    Normal(dist="normal", mean=math.log(6), sd=1),
    Normal(dist="normal", mean=0.5, sd=0.3),
    Normal(dist="normal", mean=-math.log(0.46), sd=0.25),
)
"""Of m, b and k. m: 95 % from 0.85 points, half the error of measurement of a change, to 43, twice the SD of scores.
b: 0 if children differ early and stay so, 0.5 if they wander, 1 if each keeps to a rate: all within 95 %. k: an SD on
the GMFM-66 is 0.46 of one on another scale, 95 % from 0.28 to 0.75; in the middle of 0.37, the ratio of SDs in the 24
children of Kim 2018, and 0.56, the ratio of their means."""

BETWEEN = HalfNormal(dist="half_normal", sd=0.5)
"""Of omega: half the mass below 0.34, where 95 % of trials lie within a factor of 2 of the median; 95 % below 0.98,
where they lie within a factor of 7."""

ENDS = (0.025, 0.25, 0.5, 0.75, 0.975)
"""Probabilities at which the named law is held to the predictive."""

MOST_DF = 200.0
"""A Student t of more degrees of freedom is as good as normal."""

NEGLIGIBLE = 1e-14
"""A node with less of the posterior is left out."""

HERMITE, LEGENDRE, WITHIN = 7, 32, 11
"""Nodes of m, b and k each; of omega; of u. More of them move log quantiles by less than 1e-5."""

NEWTON_STEPS = 8
"""To the mode of u: the density is log-concave, and the start is that of normal log SDs."""


class PrintedSd(NamedTuple):
    """The sample SD of one arm at one month, 0-100, and the degrees of freedom that it counts for."""

    study: str
    arm: str
    trial: str
    month: float
    gmfm66: bool
    sd: float
    df: float


def printed_sds(tables: Tables, without_study: str | None = None) -> tuple[PrintedSd, ...]:
    """Return the SDs of change that the model rests on, without one study.

    Those of `study_spreads` at every window of months, but for studies that are `out_of_line`: an SD that is far too
    small for the field is most likely a standard error.
    """
    out = out_of_line(tables) | {without_study}
    spreads = [s for visit in VISITS for s in study_spreads(tables, visit) if s.study not in out]
    registered = {s["study_id"]: s["registry_id"] or s["study_id"] for s in tables.where("studies")}
    visits = Counter((s.study, r["arm_id"]) for s in spreads for r in s.rows)
    return tuple(
        PrintedSd(
            *(s.study, r["arm_id"], registered.get(s.study, s.study)),
            *(PRIMARY_MONTH if math.isnan(r["month"]) else r["month"], r["scale"] in GMFM66_SCALES),
            *(sd100(r), (r["n"] - 1) / visits[s.study, r["arm_id"]]),
        )
        for s in spreads
        for r in s.rows
    )


def are_enough(sds: tuple[PrintedSd, ...]) -> bool:
    """Return whether they are of three trials at least; of fewer, it is the prior that says how trials differ."""
    return len({sd.trial for sd in sds}) >= FEWEST


@dataclass(frozen=True, eq=False)
class ChildrenSd:
    """The posterior over nodes: weight (S,), m, b and k as coefficient (S, 3), omega (S,). sds: what it rests on."""

    weight: np.ndarray
    coefficient: np.ndarray
    omega: np.ndarray
    sds: tuple[PrintedSd, ...]

    def further_trial(self, month: float, *, gmfm66: bool = True) -> "PredictedSd":
        """Return what the SD of the change to `month` will be in a trial that is not among these.

        In points of the GMFM-66, or of another GMFM scale from 0 to 100. Raises ValueError for a month not above 0.
        """
        if not 0 < month < math.inf:
            raise ValueError(f"month {month!r}: must be above 0")
        return PredictedSd(self.weight, dot(self.coefficient, _row(month, gmfm66)), self.omega)


@dataclass(frozen=True, eq=False)
class PredictedSd:
    """A predictive distribution of an SD: log SD ~ sum of weight x Normal(mean, sd), each (S,)."""

    weight: np.ndarray
    mean: np.ndarray
    sd: np.ndarray

    @property
    def log_mean(self) -> float:
        """E[log SD]."""
        return float(dot(self.weight, self.mean))

    @property
    def log_sd(self) -> float:
        """The standard deviation of log SD."""
        return math.sqrt(float(dot(self.weight, self.sd**2 + (self.mean - self.log_mean) ** 2)))

    def cdf(self, x: ArrayLike) -> np.ndarray:
        """Return P(SD < x), x (...) above 0."""
        return dot(special.ndtr((np.log(x)[..., None] - self.mean) / self.sd), self.weight)

    def ppf(self, p: ArrayLike) -> np.ndarray:
        """Return the quantiles at probabilities p (...), by bisection to the last digit."""
        p = np.asarray(p, float)
        low, high = (np.full(p.shape, self.log_mean + sign * 40 * self.log_sd) for sign in (-1, 1))
        for _ in range(60):
            middle = (low + high) / 2
            below = self.cdf(np.exp(middle)) < p
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.exp((low + high) / 2)

    @cached_property
    def law(self) -> LogNormal | LogStudentT:
        """The named distribution closest to it: of log SD a Student t, or a normal where the tails are no longer.

        Degrees of freedom by the ratio of its 95 % to its 50 % interval, scale by the 95 %; the location halfway
        between the median and the middle of the 95 % interval, so that neither is off by more than half of what the
        predictive is skewed.
        """
        lowest, low, middle, high, highest = np.log(self.ppf(ENDS)).tolist()
        location, ratio = (middle + (lowest + highest) / 2) / 2, (highest - lowest) / (high - low)
        if ratio <= _ratio_of_t(MOST_DF):
            sigma = (highest - lowest) / (2 * float(special.ndtri(ENDS[-1])))
            return LogNormal(dist="lognormal", median=math.exp(location), sigma=sigma)
        few, many = 1.0, MOST_DF
        for _ in range(60):
            df = (few + many) / 2
            few, many = (df, many) if _ratio_of_t(df) > ratio else (few, df)
        scale = (highest - lowest) / (2 * float(special.stdtrit(df, ENDS[-1])))
        return LogStudentT(dist="log_student_t", df=df, location=location, scale=scale)


def _ratio_of_t(df: float) -> float:
    """Return the ratio of the 95 % to the 50 % interval of Student's t."""
    return float(special.stdtrit(df, ENDS[-1]) / special.stdtrit(df, ENDS[-2]))


def children_sd(tables: Tables, without_study: str | None = None) -> ChildrenSd:
    """Return the posterior of the SD of change of children, from what the trials of these tables print, or where fewer
    than three do, those of the shipped ones."""
    own = printed_sds(tables, without_study)
    return fitted(own if are_enough(own) else printed_sds(shipped_tables(), without_study))


@lru_cache(maxsize=64)
def fitted(sds: tuple[PrintedSd, ...]) -> ChildrenSd:
    """Return the posterior given printed SDs, by quadrature.

    Given omega and (m, b, k), u is integrated out trial by trial by Gauss and Hermite's rule about its mode; given
    omega, (m, b, k) by that rule in the posterior that normal log SDs would have; omega by Gauss and Legendre's where
    its posterior is. Raises ValueError without an SD.
    """
    if not sds:
        raise ValueError("no SD of change: at least one is needed")
    low, high = 0.0, float(BETWEEN.ppf(1 - 1e-12))
    _, _, log_weight = _nodes(sds, low, high)
    among = special.logsumexp(log_weight, axis=1) - np.log(gauss_legendre(LEGENDRE)[1])
    at = np.flatnonzero(among > among.max() - 30)
    edges = np.concatenate([[low], _on(low, high), [high]])
    omega, coefficient, log_weight = _nodes(sds, edges[at[0]], edges[at[-1] + 2])
    weight = np.exp(log_weight - special.logsumexp(log_weight))
    kept = weight > NEGLIGIBLE
    every = np.broadcast_to(omega[:, None], weight.shape)
    return ChildrenSd(weight[kept] / weight[kept].sum(), coefficient[kept], every[kept], sds)


def _row(month: float, gmfm66: bool) -> np.ndarray:
    """Return what m, b and k are multiplied with."""
    return np.array([1.0, math.log(month / 12), 0.0 if gmfm66 else 1.0])


def _on(low: float, high: float) -> np.ndarray:
    return low + (high - low) * (1 + gauss_legendre(LEGENDRE)[0]) / 2


def _nodes(sds: tuple[PrintedSd, ...], low: float, high: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return omega (W,) from low to high, coefficients (W, H, 3) and the logarithm of their posterior mass (W, H)."""
    omega = _on(low, high)
    rows, sd, df = _columns(sds)
    trials = np.array([sd.trial for sd in sds])
    of_trials = [trials == name for name in dict.fromkeys(trials.tolist())]
    mean, factor = _as_if_normal(omega, rows, np.log(sd) + 1 / (2 * df), 2 * df, of_trials)
    node, weight = gauss_hermite(HERMITE)
    z = np.stack(np.meshgrid(node, node, node, indexing="ij"), axis=-1).reshape(-1, 3)
    w = (weight[:, None, None] * weight[:, None] * weight).ravel()
    coefficient = mean[:, None] + product(z, transposed(factor))
    log = np.log(np.diagonal(factor, axis1=-2, axis2=-1)).sum(axis=-1)[:, None] + dot(z, z) / 2 + np.log(w)
    log = log + sum(p.logpdf(coefficient[..., i]) for i, p in enumerate(PRIORS))
    for own in of_trials:
        level = product(coefficient, rows[own].T)
        log = log + _log_likelihood(level, sd[own], df[own], omega[:, None])
    share = np.log(gauss_legendre(LEGENDRE)[1] * (high - low) / 2) + BETWEEN.logpdf(omega)
    return omega, coefficient, log + share[:, None]


def _columns(sds: tuple[PrintedSd, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows (J, 3), SDs (J,) and degrees of freedom (J,)."""
    rows = np.array([_row(sd.month, sd.gmfm66) for sd in sds])
    return rows, np.array([sd.sd for sd in sds]), np.array([sd.df for sd in sds])


def _as_if_normal(
    omega: np.ndarray, rows: np.ndarray, log_sd: np.ndarray, precision: np.ndarray, of_trials: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (W, 3) and lower factor of the covariance (W, 3, 3) of (m, b, k) if log SDs (J,) were normal.

    With log_sd their means and precision (J,) theirs; u, of variance omega^2, is integrated out.
    """
    total = np.broadcast_to(np.diag([p.sd**-2 for p in PRIORS]), (omega.size, 3, 3))
    pull = np.broadcast_to([p.mean / p.sd**2 for p in PRIORS], (omega.size, 3))
    for own in of_trials:
        x, y, p = rows[own], log_sd[own], precision[own]
        shrunk = 1 / (omega**-2 + p.sum())
        along, level = dot(x.T, p), dot(p, y)
        total = total + product(x.T * p, x) - shrunk[:, None, None] * along[:, None] * along
        pull = pull + dot(x.T, p * y) - shrunk[:, None] * along * level
    covariance = inverse(total)
    return dot(covariance, pull[:, None]), cholesky(covariance)


def _log_likelihood(level: np.ndarray, sd: np.ndarray, df: np.ndarray, omega: np.ndarray) -> np.ndarray:
    """Return log p(SDs of one trial | log sigma = level + u, u ~ Normal(0, omega)), up to a constant of the data.

    level (..., J), sd and df (J,), omega (...). With D = sum of df and Q = sum of df sd^2 exp(-2 level) the likelihood
    of u is that of one sample variance: exp(-sum of df level - D u - Q exp(-2 u) / 2).
    """
    d, q, tau = df.sum(), dot(np.exp(-2 * level), df * sd**2), omega**-2.0
    u = d * np.log(q / d) / (2 * d + tau)
    for _ in range(NEWTON_STEPS):
        pull = q * np.exp(-2 * u)
        u = u + (pull - d - tau * u) / (2 * pull + tau)
    node, weight = gauss_hermite(WITHIN)
    curvature = 2 * q * np.exp(-2 * u) + tau
    at = u[..., None] + node / np.sqrt(curvature)[..., None]
    log = -d * at - q[..., None] * np.exp(-2 * at) / 2 - tau[..., None] * at**2 / 2 + node**2 / 2 + np.log(weight)
    return special.logsumexp(log, axis=-1) + np.log(tau / curvature) / 2 - dot(level, df)
