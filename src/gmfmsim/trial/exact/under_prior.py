"""How likely a posterior is to meet its criterion, given the standard error: for many truths at once.

P(effect > threshold | data) > 1 - level holds beyond one estimate, or between two: where an estimate is far from the
prior, the t likelihood of very few children lets go of it. Those ends are found by Newton's method, once for a prior,
and what lies between them is a sum of normal tails.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from gmfmsim.compute.compiled import compiled
from gmfmsim.compute.cubic import cubic
from gmfmsim.dist.mixture import NormalMixture
from gmfmsim.dist.normal import normal_cdf
from gmfmsim.trial.estimates import Criterion
from gmfmsim.trial.exact.rules import Rule, error, estimated_by, imbalance
from gmfmsim.trial.exact.tails import Truth, critical

FARTHEST = 12.0
"""How far estimates are followed beyond the prior and 0, in the largest SD of the prior and standard error together."""

MOST_ENDS = 8
"""Ends of the estimates that meet a criterion, at most."""

SCANNED = 48
"""Estimates that are looked at where a criterion may hold between two ends, or beyond either of two."""

MANY_DF, FEW, SEVERAL = 30, 10, 24
"""Degrees of freedom from which on few nodes stand for the error of the SD; below, several."""

STEP, LEAST, MOST = 0.05, 1e-3, 100.0
"""Standard errors at which ends are found, along their logarithm: from LEAST to MOST SDs of the prior."""


NOT_YET = -1
"""The count of ends that have not been looked for."""


class Ends(NamedTuple):
    """Where a criterion above 0 begins or ends to hold, by the logarithm of the standard error: `first` + k STEP.

    ends (K, MOST_ENDS) in standard errors, of which count (K,) are meant, NOT_YET where nobody asked; below (K,):
    whether it holds below the first.
    given: what the posterior follows from, see `_failing`; level: the logarithm of that of the criterion.
    """

    first: float
    ends: np.ndarray
    count: np.ndarray
    below: np.ndarray
    given: tuple[np.ndarray, ...]
    level: float


def chances_under(
    truth: Truth, criterion: Criterion, se: np.ndarray, df: float, adjusted: bool, prior: NormalMixture
) -> np.ndarray:
    """Return P(the posterior meets a criterion) (M, K) at standard errors se (M,), for each component of the truth.

    estimate ~ Normal(theta, (q se)^2), its standard error q se S (see `rules.error`), and the criterion holds where the
    posterior probability of what is beyond the threshold is above 1 - level, given a prior of theta; df infinite: the
    SD is known. Errors are below 1e-6, of fewer than 10 degrees of freedom up to 1e-3. Source: Neuenschwander,
    Roychoudhury & Schmidli 2016.
    """
    sign = 1.0 if criterion.direction == "above" else -1.0
    apart = sign * (truth.mean - criterion.threshold)
    first, *found, given, level = _ends_of(prior, sign, criterion, df)
    rule = _of_error(criterion, df, adjusted)
    return _beyond(apart, truth.variance, se, rule, first, tuple(found), given, level)


def _of_error(criterion: Criterion, df: float, adjusted: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return inflation q, q S and weight (Q,) of the error of an estimate; of few children by as many nodes as ends."""
    if df >= MANY_DF:
        t = float(critical((criterion,), df)[0])
        q, limit, weight = error(df, t, adjusted)
        return q, limit / t, weight
    (q, share), (s, weight) = imbalance(df, adjusted), _estimated(df)
    return np.repeat(q, s.size), np.outer(q, s).ravel(), np.outer(share, weight).ravel()


def needed(criterion: Criterion, se: float, df: float, prior: NormalMixture) -> float | None:
    """Return the least estimate at which the posterior meets a criterion from above, at a standard error as estimated;
    None where no estimate does, or every one."""
    found = _ends_of(prior, 1.0, criterion, df)
    ends = np.zeros(MOST_ENDS)
    count, below = _ends(se, found.given, found.level, ends)
    return None if below or not count else float(ends[0]) + criterion.threshold


def _ends_of(prior: NormalMixture, sign: float, criterion: Criterion, df: float) -> Ends:
    """Return the ends of a criterion; sign: -1 of one that is to lie below."""
    means = sign * (prior.means - criterion.threshold)
    return _tabled(prior.weight.tobytes(), means.tobytes(), prior.sds.tobytes(), criterion.level, df)


@lru_cache(maxsize=2048)
def _tabled(weight: bytes, means: bytes, sds: bytes, level: float, df: float) -> Ends:
    """Return the ends of a criterion above 0, of a prior as bytes of its columns."""
    weights, centres, spreads = (np.frombuffer(part, float) for part in (weight, means, sds))
    scale, share = _precision(df)
    given = (scale, np.log(share), np.log(weights), centres, spreads**2)
    whole = NormalMixture(weights, centres, spreads).sd
    first = math.log(LEAST * whole)
    size = math.ceil(math.log(MOST / LEAST) / STEP) + 1
    table = np.zeros((size, MOST_ENDS)), np.full(size, NOT_YET), np.zeros(size, bool)
    return Ends(first, *table, given, math.log(level))


def _precision(df: float) -> Rule:
    """Return the rule of 1 / the squared error of the SD, S^2 ~ chi^2(df) / df, that the likelihood is mixed over."""
    s, weight = _estimated(df)
    return s**2, weight


def _estimated(df: float) -> Rule:
    """Return the rule of S, as fine as the ends of a criterion need it."""
    s, weight = estimated_by(df, FEW if df >= MANY_DF else SEVERAL)
    there = weight > 0
    return s[there], weight[there] / weight[there].sum()


@compiled
def _fill(k, first, table, given, level):
    """Find the ends at the k-th standard error of a table; its count last, which says that they are there."""
    ends, count, below = table
    se = math.exp(first + k * STEP)
    found, below[k] = _ends(se, given, level, ends[k])
    for i in range(found):
        ends[k, i] /= se
    count[k] = found


@compiled
def _beyond(apart, variance, se, rule, first, table, given, level):
    """Return P(the criterion holds) (M, K), for thresholds at 0 and criteria above it."""
    inflate, error_of_sd, weight = rule
    ends, count, below = table
    out = np.zeros((se.size, apart.size))
    own_ends = np.zeros(MOST_ENDS)
    for i in range(se.size):
        for j in range(weight.size):
            own, found = inflate[j] * se[i], error_of_sd[j] * se[i]
            at = min(max((math.log(found) - first) / STEP, 1.0), count.size - 2.0)
            cell = min(math.floor(at), count.size - 3)
            u, alike = at - cell, True
            for k in range(cell - 1, cell + 3):
                if count[k] == NOT_YET:
                    _fill(k, first, table, given, level)
            for k in range(cell - 1, cell + 3):
                alike = alike and count[k] == count[cell] and below[k] == below[cell]
            if alike:
                size, holds = count[cell], below[cell]
                a, b, c, d = cubic(u)
                for k in range(size):
                    on = a * ends[cell - 1, k] + b * ends[cell, k] + c * ends[cell + 1, k] + d * ends[cell + 2, k]
                    own_ends[k] = on * found
            else:  # an end comes or goes here
                near = cell + (u > 0.5)
                size, holds = count[near], below[near]
                for k in range(size):
                    own_ends[k] = ends[near, k] * found
            for k in range(apart.size):
                root = 1 / math.sqrt(variance[k] + own * own)
                total, meets = 1.0 if holds else 0.0, holds
                for e in range(size):
                    beyond = normal_cdf((apart[k] - own_ends[e]) * root)
                    total += -beyond if meets else beyond
                    meets = not meets
                out[i, k] += weight[j] * total
    return out


@compiled
def _ends(se, given, level, ends):
    """Put into `ends` the estimates at which the criterion begins or ends to hold; return how many, and whether it does
    below all of them.

    It holds where the logarithm of the posterior probability of what lies below 0 is less than `level`. Where it does
    not begin once and for all, estimates are looked at that are denser about 0.
    """
    centre, widest = 0.0, 0.0
    for m in range(given[3].size):
        centre, widest = max(centre, abs(given[3][m])), max(widest, given[4][m])
    far = centre + FARTHEST * (math.sqrt(widest) + se)
    at_low = _failing(-far, se, given)[0] < level
    at_high = _failing(far, se, given)[0] < level
    if at_high and not at_low:
        ends[0] = _end(-far, far, se, given, level)
        return 1, at_low
    reach = math.asinh(far / se)
    count, before, holds = 0, -far, at_low
    for i in range(1, SCANNED + 1):
        x = se * math.sinh(reach * (2 * i / SCANNED - 1))
        now = _failing(x, se, given)[0] < level
        if now != holds and count < MOST_ENDS:
            ends[count] = _end(before, x, se, given, level)
            count += 1
        before, holds = x, now
    return count, at_low


@compiled
def _end(low, high, se, given, level):
    """Return the estimate between low and high at which the criterion begins or ends to hold."""
    rising = _failing(high, se, given)[0] < level
    x = min(max(2 * se, low), high)
    for _ in range(200):
        value, slope = _failing(x, se, given)
        if (value < level) == rising:
            high = x
        else:
            low = x
        after = x - (value - level) / slope if slope != 0.0 else 0.5 * (low + high)
        if not low < after < high:
            after = 0.5 * (low + high)
        if abs(after - x) < 1e-11 * (abs(x) + se):
            return after
        x = after
    return x


@compiled
def _failing(y, se, given):
    """Return log P(effect < 0 | estimate y), and its derivative in y.

    The likelihood is a mixture of Normal(y; effect, se^2 / scale_j); each component of the prior with each of it is a
    normal posterior, with weight Normal(y; mean, variance + se^2 / scale_j). given: scale and the logarithm of its
    shares; the logarithm of the weights, means and variances of the prior.
    """
    scale, log_share, log_weight, means, variances = given
    largest = -np.inf
    for j in range(scale.size):
        own = se * se / scale[j]
        for m in range(means.size):
            total = variances[m] + own
            largest = max(largest, log_share[j] + log_weight[m] - 0.5 * (math.log(total) + (y - means[m]) ** 2 / total))
    whole, part, d_whole, d_part = 0.0, 0.0, 0.0, 0.0
    for j in range(scale.size):
        own = se * se / scale[j]
        for m in range(means.size):
            total = variances[m] + own
            apart = y - means[m]
            log = log_share[j] + log_weight[m] - 0.5 * (math.log(total) + apart * apart / total)
            if log < largest - 40.0:
                continue
            weight, d_log = math.exp(log - largest), -apart / total
            spread = math.sqrt(variances[m] * own / total)
            z = -(y * variances[m] + means[m] * own) / (total * spread)
            below = 0.5 * math.erfc(-z * math.sqrt(0.5))
            d_below = -math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi) * variances[m] / (total * spread)
            whole += weight
            part += weight * below
            d_whole += weight * d_log
            d_part += weight * (d_log * below + d_below)
    if part <= 0.0:
        return -np.inf, 0.0
    return math.log(part / whole), d_part / part - d_whole / whole
