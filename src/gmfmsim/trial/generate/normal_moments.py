"""Trials of normal children, every child drawn, counted into moments at once and not kept."""

import numba
import numpy as np

from gmfmsim.trial.designs import Design
from gmfmsim.trial.generate.bartlett import arm_means, factors, hazard, qualifies
from gmfmsim.trial.generate.normals import fill_bits, fill_normals, lanes, ziggurat
from gmfmsim.trial.moments import Moments

compiled = numba.njit(cache=True, nogil=True, error_model="numpy")


def count_children(
    design: Design, n: int, effect: np.ndarray, excess_sd: np.ndarray, rng: np.random.Generator
) -> Moments:
    """Return the moments of R trials from every child drawn: what `draw_moments` draws as such.

    A child has 1 + V standard normal deviates z, and scores mu + L z with L L' the covariance. Sums and products are
    kept of z and mapped by mu and L once all children are counted, which is the same and keeps all digits. Arms and
    losses have streams of their own, and children come one after another in all trials at once: trials at a larger n
    contain the children of those at a smaller one, and memory does not grow with n.

    effect (A, R), points of each arm at the endpoint; excess_sd (R,). Raises ValueError for a design that does not
    qualify (see bartlett.qualifies).
    """
    if reason := qualifies(design):
        raise ValueError(f"design is {design.title!r}; allowed: one with sufficient statistics, but {reason}")
    sizes = np.array(list(design.sizes(n).values()))
    mean = arm_means(design, effect)
    _, d, trials = mean.shape
    counted = [
        _count(size, _thresholds(design), d, trials, lanes(own), lanes(own), *ziggurat(), own)
        for size, own in zip(sizes, rng.spawn(sizes.size), strict=True)
    ]
    number, sums = (np.array(parts) for parts in zip(*counted, strict=True))
    return Moments(number, *_mapped(number, sums, mean, factors(design, excess_sd)))


def _thresholds(design: Design) -> np.ndarray:
    """Return the least random 64-bit integer (V,) of a child who is still seen at each visit; (0,) if none is lost."""
    if design.dropout == 0:
        return np.empty(0, np.uint64)
    lost_by = 1 - (1 - hazard(design)) ** np.arange(1, len(design.visits) + 1)
    return (lost_by * 2.0**64).astype(np.uint64)


@compiled
def _count(children, thresholds, d, trials, scores, losses, edge, height, rng):
    """Return children (P, R) and sums (P, D + D (D + 1) / 2, R) of z and of products of z in one arm, by pattern."""
    number, sums = np.zeros((d, trials)), np.zeros((d, d + d * (d + 1) // 2, trials))
    z, bits = np.empty((d, trials)), np.empty(trials, np.uint64)
    seen, kept = np.ones(trials), np.empty(trials)
    some_lost = thresholds.size > 0
    for _ in range(children):
        for i in range(d):
            fill_bits(scores, bits)
            fill_normals(bits, z[i], edge, height, rng)
        if some_lost:
            fill_bits(losses, bits)
            seen[:] = 1.0
        for p in range(0 if some_lost else d - 1, d):  # children seen at visit p, whether at later ones or not
            if some_lost and p > 0:
                at_least(bits, thresholds[p - 1], seen)
            add_product(number[p], seen, seen)
            k = d
            for i in range(p + 1):
                add_kept_product(sums[p, i], seen, z[i], kept)
                for j in range(i + 1):
                    add_product(sums[p, k], kept, z[j])
                    k += 1
    for p in range(d - 1 if some_lost else 0):
        number[p] -= number[p + 1]
        sums[p, : p + 1] -= sums[p + 1, : p + 1]
        sums[p, d : d + (p + 1) * (p + 2) // 2] -= sums[p + 1, d : d + (p + 1) * (p + 2) // 2]
    return number.astype(np.int64), sums


@compiled
def at_least(bits, least, out):
    """Say in out (R,), as 1 or 0, where bits >= least."""
    for r in range(bits.size):
        out[r] = 1.0 if bits[r] >= least else 0.0


@compiled
def add_product(total, x, y):
    """Add x y to total, all (R,)."""
    for r in range(total.size):
        total[r] += x[r] * y[r]


@compiled
def add_kept_product(total, x, y, kept):
    """Add x y to total and keep it, all (R,)."""
    for r in range(total.size):
        kept[r] = x[r] * y[r]
        total[r] += kept[r]


@compiled
def _mapped(number, sums, mu, factor):
    """Return means (A, P, D, R) and cross-products (A, P, D, D, R) of the scores mu + L z."""
    arms, d, trials = number.shape
    mean = np.zeros((arms, d, d, trials))
    cross = np.zeros((arms, d, d, d, trials))
    c, b = np.zeros((d, d)), np.zeros((d, d))
    for arm in range(arms):
        for p in range(d):
            for r in range(trials):
                n = number[arm, p, r]
                if n == 0:
                    continue
                k = d
                for i in range(p + 1):
                    moved = 0.0
                    for j in range(i + 1):
                        moved += factor[i, j, r] * sums[arm, p, j, r]
                        c[i, j] = c[j, i] = sums[arm, p, k, r] - sums[arm, p, i, r] * sums[arm, p, j, r] / n
                        k += 1
                    mean[arm, p, i, r] = mu[arm, i, r] + moved / n
                for i in range(p + 1):
                    for j in range(p + 1):
                        x = 0.0
                        for m in range(i + 1):
                            x += factor[i, m, r] * c[m, j]
                        b[i, j] = x
                for i in range(p + 1):
                    for j in range(i + 1):
                        x = 0.0
                        for m in range(j + 1):
                            x += b[i, m] * factor[j, m, r]
                        cross[arm, p, i, j, r] = cross[arm, p, j, i, r] = x
    return mean, cross
