"""Compiled loops of selection: normal densities and masses between the cut points, and their weighted sums."""

import math

import numpy as np

from gmfmsim.compute.algebra import gauss_legendre
from gmfmsim.compute.compiled import compiled

FAR = 35.0
"""Log density below the largest of its block from which on a state counts for nothing, whatever its weight."""
PLACKETT = tuple((gauss_legendre(n)[0] / 2 + 0.5, gauss_legendre(n)[1] / 2) for n in (8, 16, 48))
"""Rules on (0, 1) for correlations up to 0.6, up to 0.95, and beyond."""


@compiled
def _normal(x):
    return 0.5 * math.erfc(-x * math.sqrt(0.5))


@compiled
def _bivariate(h, k, rho, x, w):
    """Return P(X <= h, Y <= k) for h (E,) and k (E,), (E + 1, E + 1) with what is below no edge last.

    Phi(h) Phi(k) + integral from 0 to asin(rho) of exp(-(h^2 + k^2 - 2 h k sin t) / (2 cos^2 t)) dt / (2 pi)
    (Plackett 1954), at the nodes x (n,) of a rule on (0, 1).
    """
    edges = h.size
    out = np.ones((edges + 1, edges + 1))
    for e in range(edges):
        out[e, edges], out[edges, e] = _normal(h[e]), _normal(k[e])
    end = math.asin(rho)
    for e in range(edges):
        for f in range(edges):
            out[e, f] = out[e, edges] * out[edges, f]
    for i in range(x.size):
        sine = math.sin(end * x[i])
        twice = 2 * (1 - sine * sine)
        for e in range(edges):
            for f in range(edges):
                square = h[e] * h[e] + k[f] * k[f] - 2 * h[e] * k[f] * sine
                out[e, f] += end * w[i] / (2 * math.pi) * math.exp(-square / twice)
    return out


@compiled
def _one(y, mean, variance, edges, number, mass):
    """Add to mass (G,) the probability of every weight for y ~ Normal(mean, variance); edges (E,) of y."""
    before, sd = 0.0, math.sqrt(variance)
    for e in range(edges.size):
        below = _normal((edges[e] - mean) / sd)
        mass[number[e]] += below - before
        before = below
    mass[number[edges.size]] += 1.0 - before


@compiled
def _two(mean, a, b, c, edges, errors, number, pair, rules, mass):
    """Add to mass (G,) the probability of every pair of weights for y ~ Normal(mean, [[a, b], [b, c]])."""
    first, second = math.sqrt(a), math.sqrt(c)
    rho = min(max(b / first / second, -1.0), 1.0)
    x, w = rules[0] if abs(rho) < 0.6 else (rules[1] if abs(rho) < 0.95 else rules[2])
    below = _bivariate((edges * errors[0] - mean[0]) / first, (edges * errors[1] - mean[1]) / second, rho, x, w)
    last = edges.size + 1
    for e in range(last):
        for f in range(last):
            inside = below[e, f]
            if e:
                inside -= below[e - 1, f]
            if f:
                inside -= below[e, f - 1]
            if e and f:
                inside += below[e - 1, f - 1]
            mass[pair[number[e], number[f]]] += max(inside, 0.0)


@compiled
def _log_bivariate(x, y, v, loads, slot_level, slot_mask, first, second):
    """Return log Normal((x, y); 0, V + sum g g') over the units of a block: nothing large is subtracted.

    With |g, h| = g_1 h_2 - g_2 h_1 the determinant is |V| + sum g' adj(V) g + sum |g, h|^2 over pairs of units, and the
    adjugate's square of (x, y) that of V + sum |g, (x, y)|^2.
    """
    determinant = v[0, 0] * v[1, 1] - v[0, 1] * v[0, 1]
    square = v[1, 1] * x * x - 2 * v[0, 1] * x * y + v[0, 0] * y * y
    for u in range(slot_level.size):
        p, q = loads[slot_level[u], first] * slot_mask[u, 0], loads[slot_level[u], second] * slot_mask[u, 1]
        determinant += v[1, 1] * p * p - 2 * v[0, 1] * p * q + v[0, 0] * q * q
        square += (p * y - q * x) ** 2
        for w in range(u):
            determinant += (
                p * loads[slot_level[w], second] * slot_mask[w, 1] - q * loads[slot_level[w], first] * slot_mask[w, 0]
            ) ** 2
    return -math.log(2 * math.pi) - 0.5 * (math.log(determinant) + square / determinant)


@compiled
def at_nodes(mean, loads, slot_level, slot_mask, index, size, start, effect, covariance, log_weight, steps, rules):
    """Return log weight + log density (J, S) of every state, and the masses (J, S, G) between the cut points.

    mean (J, K) and loads (J, L, K) at every node; slot_level (U,), slot_mask (B, U, n), index (B, n), size (B,) as of
    the exact engine; the states of block b are start[b]:start[b + 1] of effect (S, n), covariance (S, n, n),
    log_weight (S,). steps: edges (E,), number (E + 1,), pair (k + 1, k + 1), the place of a product of two weights.
    """
    edges, number, pair = steps
    nodes, states = mean.shape[0], log_weight.size
    log_density, mass = np.empty((nodes, states)), np.zeros((nodes, states, pair.max() + 1))
    m, errors = np.zeros(2), np.zeros(2)
    for j in range(nodes):
        for block in range(size.size):
            a0, b0, c0, top = 0.0, 0.0, 0.0, -np.inf
            n, first, second = size[block], index[block, 0], index[block, size[block] - 1]
            for u in range(slot_level.size):
                one = loads[j, slot_level[u], first] * slot_mask[block, u, 0]
                two = loads[j, slot_level[u], second] * slot_mask[block, u, n - 1]
                a0, b0, c0 = a0 + one * one, b0 + one * two, c0 + two * two
            m[0], m[1] = mean[j, first], mean[j, second]
            for s in range(start[block], start[block + 1]):
                a, x = a0 + covariance[s, 0, 0], effect[s, 0] - m[0]
                if n == 1:
                    log_p = -0.5 * (math.log(2 * math.pi * a) + x * x / a)
                else:
                    y = effect[s, 1] - m[1]
                    log_p = _log_bivariate(x, y, covariance[s], loads[j], slot_level, slot_mask[block], first, second)
                log_density[j, s] = log_weight[s] + log_p
                top = max(top, log_density[j, s])
            for s in range(start[block], start[block + 1]):
                if log_density[j, s] < top - FAR:
                    continue
                errors[0] = math.sqrt(covariance[s, 0, 0])
                a = a0 + covariance[s, 0, 0]
                if n == 1:
                    _one(effect[s, 0], m[0], a, edges * errors[0], number, mass[j, s])
                else:
                    errors[1] = math.sqrt(covariance[s, 1, 1])
                    b, c = b0 + covariance[s, 0, 1], c0 + covariance[s, 1, 1]
                    _two(m, a, b, c, edges, errors, number, pair, rules, mass[j, s])
    return log_density, mass


@compiled
def weighted(log_density, mass, start, size, place, products, singles):
    """Return sum over blocks of log sum_s density x weight of the result / mean weight of a result, (J, W).

    place (S,): which of the products (G, W) of weights a state has; the single weights, then those of two.
    """
    nodes, count = log_density.shape[0], products.shape[1]
    out, total, mean = np.zeros((nodes, count)), np.empty(count), np.empty(count)
    for j in range(nodes):
        for block in range(size.size):
            low, high = (0, singles) if size[block] == 1 else (singles, products.shape[0])
            top = log_density[j, start[block] : start[block + 1]].max()
            if top == -np.inf:  # beyond what a number holds
                out[j] = top
                continue
            total[:] = 0.0
            for s in range(start[block], start[block + 1]):
                away = log_density[j, s] - top
                if away < -FAR:
                    continue
                density = math.exp(away)
                mean[:] = 0.0
                for g in range(low, high):
                    share = mass[j, s, g]
                    for k in range(count):
                        mean[k] += products[g, k] * share
                for k in range(count):
                    total[k] += density * products[place[s], k] / mean[k]
            for k in range(count):
                out[j, k] += top + math.log(total[k])
    return out
