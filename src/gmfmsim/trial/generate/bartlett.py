"""Trials of normal children from sufficient statistics: group means and cross-products drawn as such."""

import math

import numpy as np

from gmfmsim.compute.compiled import compiled
from gmfmsim.trial.design import Design
from gmfmsim.trial.generate.chi import chi, chi_table
from gmfmsim.trial.moments import Moments


def qualifies(design: Design) -> str | None:
    """Return why trials of the design have no sufficient statistics to draw; None where they do."""
    return design.not_normal or ("children of a pair or a cluster resemble each other" if design.UNIT else None)


def arm_means(design: Design, effect: np.ndarray) -> np.ndarray:
    """Return the mean observed scores (A, 1 + V, R) of normal children, for effects (A, R) of the arms.

    Expected score at baseline and visits, then plus what `Design.treatment` gives a child that responds as the mean.
    """
    months = np.concatenate([[0.0], design.visits])
    expected = design.children.baseline.value + design.children.growth.value * months / 12
    given = design.treatment(effect)
    mean = np.tile(expected[:, None], (len(effect), 1, effect.shape[1]))
    mean[:, 1:] += given.times[:, :, None] * given.response[:, None]
    mean[:, 1:] += given.other[:, :, None]
    return mean


def factors(design: Design, excess_sd: np.ndarray) -> np.ndarray:
    """Return lower Cholesky factors (1 + V, 1 + V, R) of the covariance of observed scores, for excess_sd (R,).

    A visit that the earlier ones determine has a column of zeros.
    """
    children = design.children
    visits = np.asarray(design.visits)
    constant = np.ptp(excess_sd) == 0
    distinct = excess_sd[:1] if constant else excess_sd
    d = 1 + visits.size
    error = children.error_sd(distinct) ** 2
    covariance = np.empty((d, d, distinct.size))
    covariance[:] = children.score_sd(distinct) ** 2 - error
    sd = children.true_excess_sd(visits, distinct).T
    covariance[1:, 1:] += sd[:, None] * sd[None, :] * children.excess_correlation(visits)[..., None]
    covariance[np.arange(d), np.arange(d)] += error
    for j in range(d):
        pivot = covariance[j, j] - np.sum(covariance[j, :j] ** 2, axis=0)
        determined = pivot <= 1e-12 * covariance[j, j]
        covariance[j, j] = root = np.sqrt(np.where(determined, 0, pivot))
        for i in range(j + 1, d):
            rest = covariance[i, j] - np.sum(covariance[i, :j] * covariance[j, :j], axis=0)
            covariance[i, j] = np.where(determined, 0, rest / np.where(determined, 1, root))
        covariance[j, j + 1 :] = 0
    return np.repeat(covariance, excess_sd.size, axis=2) if constant else covariance


def hazard(design: Design) -> float:
    """Return the share of the children still in the trial who are lost before the next visit."""
    return 1 - (1 - design.dropout) ** (1 / len(design.visits))


def draw_moments(
    design: Design, n: int, effect: np.ndarray, excess_sd: np.ndarray, rng: np.random.Generator
) -> Moments:
    """Return the moments of R trials without drawing a child: exact for designs that `qualifies` lets pass.

    In each arm the numbers of children by pattern are multinomial. With n_p children of a pattern, of mean mu and
    covariance S of what it observes: mean ~ Normal(mu, S / n_p), cross ~ Wishart(S, n_p - 1), independent of each
    other; the Wishart is L A A' L' with L L' = S and A lower triangular, A_ii ~ chi(n_p - 1 - i), i from 0, the rest
    standard normal (Bartlett 1933). Every figure is the quantile at a draw of its own, so trials at other n, effects,
    SDs and drop-outs share their noise.

    effect (A, R), points of each arm at the endpoint; excess_sd (R,). Covariates: none beside the baseline.
    Raises ValueError for a design that does not qualify.
    """
    if reason := qualifies(design):
        raise ValueError(f"design is {design.title!r}; allowed: one with sufficient statistics, but {reason}")
    sizes = np.array(list(design.sizes(n).values()))
    mean = arm_means(design, effect)
    return Moments(*_draw(sizes, hazard(design), mean, factors(design, excess_sd), chi_table(), rng))


@compiled
def _draw(sizes, lost, mu, factor, table, rng):
    """Fill n (A, P, R), mean (A, P, D, R), cross (A, P, D, D, R): trials innermost, a fixed number of draws each."""
    arms, d, trials = mu.shape
    count = np.zeros((arms, d, trials), np.int64)
    mean = np.zeros((arms, d, d, trials))
    cross = np.zeros((arms, d, d, d, trials))
    a, b, z = np.zeros((d, d)), np.zeros((d, d)), np.zeros(d)
    for arm in range(arms):
        for r in range(trials):
            left = sizes[arm]
            for p in range(d - 1):
                gone = binomial(left, lost, rng.random())
                count[arm, p, r] = gone
                left -= gone
            count[arm, d - 1, r] = left
        for p in range(d):
            m = p + 1
            for r in range(trials):
                n = count[arm, p, r]
                for i in range(m):
                    z[i] = rng.standard_normal()
                    for j in range(i):
                        a[i, j] = rng.standard_normal()
                        if j >= n - 1:
                            a[i, j] = 0.0
                    a[i, i] = chi(n - 1 - i, rng.standard_normal(), table)
                if n == 0:
                    continue
                shrink = 1 / np.sqrt(n)
                for i in range(m):
                    moved = 0.0
                    for k in range(i + 1):
                        moved += factor[i, k, r] * z[k]
                    mean[arm, p, i, r] = mu[arm, i, r] + moved * shrink
                    for j in range(i + 1):
                        x = 0.0
                        for k in range(j, i + 1):
                            x += factor[i, k, r] * a[k, j]
                        b[i, j] = x
                    for j in range(i + 1):
                        x = 0.0
                        for k in range(j + 1):
                            x += b[i, k] * b[j, k]
                        cross[arm, p, i, j, r] = cross[arm, p, j, i, r] = x
    return count, mean, cross


@compiled
def binomial(n, share, u):
    """Return the quantile at u of Binomial(n, share), by adding up probabilities from where they start to count."""
    if share <= 0 or n == 0:
        return 0
    if share >= 1:
        return n
    start = max(0, int(n * share - 12.3 - math.sqrt(151 + 73.7 * n * share * (1 - share))))
    if start == 0:
        chance = math.exp(n * math.log1p(-share))
    else:  # the tail below holds less than 1e-16 (Bernstein 1927)
        ways = math.lgamma(n + 1.0) - math.lgamma(start + 1.0) - math.lgamma(n - start + 1.0)
        chance = math.exp(ways + start * math.log(share) + (n - start) * math.log1p(-share))
    k, below, odds = start, chance, share / (1 - share)
    while below < u and k < n:
        chance *= (n - k) / (k + 1.0) * odds
        k += 1
        below += chance
    return k
