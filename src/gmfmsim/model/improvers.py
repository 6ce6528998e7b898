"""Shares of children who improve: what a count of them says of the mean gain, and what a mean gain makes of the share.

A child improves where its change exceeds a margin c. Its change is what children gain without cells, a mixture of
normal distributions, plus the gain v of volunteers, plus the effect theta, the same in every child.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from gmfmsim.compute.algebra import dot, gauss_legendre
from gmfmsim.compute.roots import root
from gmfmsim.dist.distributions import Normal
from gmfmsim.dist.mixture import NormalMixture

FALL = 37.0
"""A posterior is integrated until its logarithm lies this much below the peak: exp(-37) is 1e-16."""

SCANS, SCANNED, NODES = 4, 61, 160
"""How often the ends of a posterior are looked for, at how many points, and the nodes of its integral."""

FAR = 500.0
"""Points beyond which no gain is looked for."""


class Changes(NamedTuple):
    """What children gain without cells and without the gain of volunteers, over some months, in points.

    In a trial of SD j, which has probability chance[j], a child belongs to component m with probability weight[m], and
    its change is Normal(mean[j, m], sd[j, m]^2). chance (J,), weight (M,), mean and sd (J, M).
    """

    chance: np.ndarray
    weight: np.ndarray
    mean: np.ndarray
    sd: np.ndarray

    def above(self, shift: np.ndarray, sign: int = 1) -> np.ndarray:
        """Return the share (J, S) of children whose change plus shift (J, S) or (S,) is above 0, by SD of the trial.

        sum_m weight_m Phi((mean_jm + shift) / sd_jm); shift = v + theta - c. sign -1: the share of those not above 0,
        to its last digit.
        """
        shift = np.broadcast_to(shift, (self.chance.size, np.shape(shift)[-1]))
        rows = zip(shift, self.mean, self.sd, strict=True)
        return np.stack([dot(special.ndtr(sign * (s[:, None] + mean) / sd), self.weight) for s, mean, sd in rows])

    def share(self, shift: float) -> float:
        """Return the expected share of children whose change plus shift is above 0: the mean of `above` over SDs."""
        return float(dot(self.chance, self.above(np.array([shift]))[:, 0]))

    def shift(self, share: float) -> float:
        """Return the shift at which the expected share is `share`, the inverse of `share`. Raises ValueError for a
        share that is not between 0 and 1."""
        if not 0 < share < 1:
            raise ValueError(f"share = {share}: must lie between 0 and 1")
        return root(lambda shift: self.share(shift) - share, -FAR, FAR, within=1e-12)

    @property
    def average(self) -> float:
        """The mean change of all children."""
        return float(dot(self.chance, dot(self.mean, self.weight)))


class OnEffect(NamedTuple):
    """What a count says of the effect: its posterior, and the log probability of the count."""

    effect: NormalMixture
    log_marginal: float


def counted(improved: int, children: int) -> np.ndarray:
    """Return the log weights (children + 1,) of the numbers of improvers where one is known: see `effect_given`.

    Raises ValueError for counts that cannot be.
    """
    if not 0 <= improved <= children or children < 1:
        raise ValueError(f"{improved} of {children}: need 0 <= improved <= children, and a child at least")
    weights = np.full(children + 1, -np.inf)
    weights[improved] = _log_choose(children, improved)
    return weights


def counted_in_forms(percents: Sequence[float], children: int) -> np.ndarray:
    """Return the log weights (children + 1,) of the numbers of improvers where per cents of unknown parts are known.

    The children split into parts n_i of a multinomial, each as probable as another; of a part k_i improve, and
    100 k_i / n_i rounds to the printed per cent. The weight of K improvers is the sum, over all splits and all k_i that
    agree and add up to K, of multinomial(n) x product of binomial(n_i, k_i).

    Raises ValueError where no split agrees.
    """
    sums: dict[tuple[int, int], float] = {(0, 0): 0.0}
    of_part = math.log(1 / len(percents))
    for i, percent in enumerate(percents):
        last, found = i == len(percents) - 1, defaultdict(list)
        for (n, k), log in sums.items():
            for part in range(max(children - n, 1) if last else 1, children - n + 1):
                for improved in _agreeing(part, percent):
                    own = _log_choose(part, improved) + part * of_part - math.lgamma(part + 1)
                    found[n + part, k + improved].append(log + own)
        sums = {key: float(special.logsumexp(logs)) for key, logs in found.items()}
    weights = np.full(children + 1, -np.inf)
    for (_, k), log in sums.items():
        weights[k] = log + math.lgamma(children + 1)
    if not np.isfinite(weights).any():
        raise ValueError(f"no split of {children} children agrees with {', '.join(f'{p:g} %' for p in percents)}")
    return weights


def effect_given(
    weights: np.ndarray, changes: Changes, *, effect: Normal, gain: Normal, margin: Normal | float
) -> OnEffect:
    """Return what a count of improvers says of the effect: exact, without sampling.

    weights (N + 1,): logs of w_K in P(count | p) = sum_K w_K p^K (1 - p)^(N - K), p the share of `changes.above` at
    v + theta - c. Priors: theta ~ effect, v ~ gain, c ~ margin or known. Only s = theta + v - c meets the count: its
    posterior is integrated by Gauss and Legendre's rule, for each SD of a trial between the points where it has fallen
    by exp(-37). Given s, theta is normal: with u = v - c ~ Normal(m, t^2) and theta ~ Normal(a, b^2),
    theta | s ~ Normal(a + (s - m - a) b^2 / (b^2 + t^2), b^2 t^2 / (b^2 + t^2)).
    """
    known = isinstance(margin, float | int)
    beside = gain.mean - (margin if known else margin.mean)
    spread = gain.sd if known else math.hypot(gain.sd, margin.sd)
    centre, sd = effect.mean + beside, math.hypot(effect.sd, spread)
    possible = np.flatnonzero(np.isfinite(weights))

    def log_density(s: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            log_p, log_q = np.log(changes.above(s)), np.log(changes.above(s, -1))
        terms = [_power(log_p, k) + _power(log_q, weights.size - 1 - k) + weights[k] for k in possible]
        return special.logsumexp(terms, axis=0) - ((s - centre) / sd) ** 2 / 2

    y, w = gauss_legendre(NODES)
    low, high = _window(log_density, np.full(changes.chance.size, centre), 9 * sd)
    half = (high - low) / 2
    s = (low + half)[:, None] + half[:, None] * y
    log = log_density(s) + np.log(w * half[:, None] * changes.chance[:, None]) - math.log(sd * math.sqrt(2 * math.pi))
    total = special.logsumexp(log)
    pull = effect.sd**2 / sd**2
    means = effect.mean + (s - centre) * pull
    sds = np.full(s.size, effect.sd * spread / sd)
    return OnEffect(NormalMixture(np.exp(log - total).ravel(), means.ravel(), sds), float(total))


def _window(log_density, centre: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends (J,) between which a density lies that is within FALL of its peak, looked for ever closer."""
    low, high = centre - reach, centre + reach
    for _ in range(SCANS):
        at = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, SCANNED)
        log = log_density(at)
        kept = log > log.max(axis=1, keepdims=True) - FALL
        first, last = kept.argmax(axis=1), SCANNED - 1 - kept[:, ::-1].argmax(axis=1)
        rows = np.arange(centre.size)
        low, high = at[rows, np.maximum(first - 1, 0)], at[rows, np.minimum(last + 1, SCANNED - 1)]
    return low, high


def _agreeing(children: int, percent: float) -> list[int]:
    """Return the numbers of improvers among so many children whose share rounds to a whole per cent, either way at a
    half."""
    low, high = (children * (percent + away) / 100 for away in (-0.5, 0.5))
    return list(range(max(math.ceil(low - 1e-9), 0), min(math.floor(high + 1e-9), children) + 1))


def _power(log: np.ndarray, times: int) -> np.ndarray:
    """Return the log of a power; of the 0th, 0."""
    return times * log if times else np.zeros(log.shape)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
