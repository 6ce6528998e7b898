"""Compiled loops of the exact engine: Gaussian algebra at every node, block and state."""

import math

import numba
import numpy as np

compiled = numba.njit(cache=True, error_model="numpy")
# No fast-math: a cold and a warm compile cache must give the same last bits.


@compiled
def block_statistics(columns, loads, slot_level, slot_mask, index, size, start, effect, precision, constant):
    """Return A (J, S, p, p), b (J, S, p), c (J, S): log p(y_b | beta) = c + b' beta - beta' A beta / 2 by state.

    columns (J, p, K) and loads (J, L, K) at every node; slot_level (U,), slot_mask (B, U, n), index (B, n), size (B,);
    the states of block b are start[b]:start[b + 1] of effect (S, n), precision (S, n, n), constant (S,).
    W = V + sum of g g' over the units of a block, inverted by Sherman & Morrison (1950), one unit after another.
    """
    nodes, p, _ = columns.shape
    states = effect.shape[0]
    n = index.shape[1]
    a, b, c = np.zeros((nodes, states, p, p)), np.zeros((nodes, states, p)), np.zeros((nodes, states))
    w, g, q, t = np.empty((n, n)), np.empty(n), np.empty(n), np.empty(n)
    for j in range(nodes):
        for block in range(index.shape[0]):
            m = size[block]
            if m == 1:
                k, gained = index[block, 0], 0.0
                for u in range(slot_level.size):
                    if slot_mask[block, u, 0]:
                        gained += loads[j, slot_level[u], k] ** 2
                for s in range(start[block], start[block + 1]):
                    grown = 1.0 + gained * precision[s, 0, 0]
                    inverse = precision[s, 0, 0] / grown
                    c[j, s] = constant[s] - 0.5 * (np.log(grown) + inverse * effect[s, 0] ** 2)
                    for x in range(p):
                        b[j, s, x] = columns[j, x, k] * inverse * effect[s, 0]
                        for y in range(x + 1):
                            a[j, s, x, y] = a[j, s, y, x] = columns[j, x, k] * columns[j, y, k] * inverse
                continue
            for s in range(start[block], start[block + 1]):
                for i in range(m):
                    for k in range(m):
                        w[i, k] = precision[s, i, k]
                logdet = 0.0
                for u in range(slot_level.size):
                    level = slot_level[u]
                    some = False
                    for i in range(m):
                        g[i] = loads[j, level, index[block, i]] if slot_mask[block, u, i] else 0.0
                        some = some or slot_mask[block, u, i]
                    if not some:
                        continue
                    grown = 1.0
                    for i in range(m):
                        q[i] = 0.0
                        for k in range(m):
                            q[i] += w[i, k] * g[k]
                    for i in range(m):
                        grown += g[i] * q[i]
                    logdet += np.log(grown)
                    for i in range(m):
                        for k in range(m):
                            w[i, k] -= q[i] * q[k] / grown
                square = 0.0
                for i in range(m):
                    t[i] = 0.0
                    for k in range(m):
                        t[i] += w[i, k] * effect[s, k]
                    square += t[i] * effect[s, i]
                c[j, s] = constant[s] - 0.5 * (logdet + square)
                for x in range(p):
                    for i in range(m):
                        b[j, s, x] += columns[j, x, index[block, i]] * t[i]
                    for i in range(m):
                        q[i] = 0.0
                        for k in range(m):
                            q[i] += w[i, k] * columns[j, x, index[block, k]]
                    for y in range(x + 1):
                        value = 0.0
                        for i in range(m):
                            value += columns[j, y, index[block, i]] * q[i]
                        a[j, s, x, y] = value
                        a[j, s, y, x] = value
    return a, b, c


@compiled
def _factor(a, p):
    """Turn the lower triangle of a (p, p) into its Cholesky factor, in place; return log |a|."""
    logdet = 0.0
    for i in range(p):
        for k in range(i + 1):
            value = a[i, k]
            for m in range(k):
                value -= a[i, m] * a[k, m]
            if i == k:
                a[i, i] = np.sqrt(value)
                logdet += 2 * np.log(a[i, i])
            else:
                a[i, k] = value / a[k, k]
    return logdet


@compiled
def _solve_lower(a, b, p):
    """Replace b by L^-1 b; return its square."""
    square = 0.0
    for i in range(p):
        for k in range(i):
            b[i] -= a[i, k] * b[k]
        b[i] /= a[i, i]
        square += b[i] * b[i]
    return square


@compiled
def log_evidence(a, b, c, start, prior_precision, prior_b, prior_c):
    """Return log p(y, combination | node), (J, M): the coefficients integrated out, for every combination of states.

    Partial sums over the blocks before the one that changes are kept, so that a combination costs little more than
    the factor of one p x p matrix.
    """
    nodes, _, p = b.shape
    blocks = start.size - 1
    combinations = 1
    for block in range(blocks):
        combinations *= start[block + 1] - start[block]
    out = np.empty((nodes, combinations))
    sum_a, sum_b, sum_c = np.zeros((blocks + 1, p, p)), np.zeros((blocks + 1, p)), np.zeros(blocks + 1)
    chosen = np.empty(blocks, np.int64)
    factor, right = np.empty((p, p)), np.empty(p)
    for j in range(nodes):
        for x in range(p):
            for y in range(p):
                sum_a[0, x, y] = 0.0
            sum_a[0, x, x] = prior_precision[x]
            sum_b[0, x] = prior_b[x]
        sum_c[0] = prior_c
        for block in range(blocks):
            chosen[block] = start[block]
        changed = 0
        for m in range(combinations):
            for block in range(changed, blocks):
                s = chosen[block]
                for x in range(p):
                    sum_b[block + 1, x] = sum_b[block, x] + b[j, s, x]
                    for y in range(x + 1):
                        sum_a[block + 1, x, y] = sum_a[block, x, y] + a[j, s, x, y]
                sum_c[block + 1] = sum_c[block] + c[j, s]
            if p == 1:
                total = sum_a[blocks, 0, 0]
                out[j, m] = sum_c[blocks] + 0.5 * (sum_b[blocks, 0] ** 2 / total - np.log(total))
            else:
                for x in range(p):
                    right[x] = sum_b[blocks, x]
                    for y in range(x + 1):
                        factor[x, y] = sum_a[blocks, x, y]
                logdet = _factor(factor, p)
                out[j, m] = sum_c[blocks] + 0.5 * (_solve_lower(factor, right, p) - logdet)
            changed = blocks - 1
            while changed >= 0:
                chosen[changed] += 1
                if chosen[changed] < start[changed + 1]:
                    break
                chosen[changed] = start[changed]
                changed -= 1
    return out


@compiled
def coefficients_at(a, b, start, prior_precision, prior_b, node, number):
    """Return mean (C, p) and covariance (C, p, p) of the coefficients at pairs of node and combination (C,).

    A combination numbers the states of all blocks; that of the last block runs fastest.
    """
    count, p = node.size, b.shape[2]
    blocks = start.size - 1
    mean, covariance = np.zeros((count, p)), np.zeros((count, p, p))
    factor, right, unit = np.zeros((p, p)), np.zeros(p), np.zeros(p)
    for i in range(count):
        for x in range(p):
            right[x] = prior_b[x]
            for y in range(p):
                factor[x, y] = 0.0
            factor[x, x] = prior_precision[x]
        rest = number[i]
        for block in range(blocks - 1, -1, -1):
            states = start[block + 1] - start[block]
            s = start[block] + rest % states
            rest //= states
            for x in range(p):
                right[x] += b[node[i], s, x]
                for y in range(p):
                    factor[x, y] += a[node[i], s, x, y]
        if p == 1:
            covariance[i, 0, 0] = 1 / factor[0, 0]
            mean[i, 0] = right[0] / factor[0, 0]
            continue
        _factor(factor, p)
        for x in range(p):
            for y in range(p):
                unit[y] = 1.0 if x == y else 0.0
            _solve_lower(factor, unit, p)
            for y in range(p - 1, -1, -1):
                for k in range(y + 1, p):
                    unit[y] -= factor[k, y] * unit[k]
                unit[y] /= factor[y, y]
                covariance[i, x, y] = unit[y]
        for x in range(p):
            for y in range(p):
                mean[i, x] += covariance[i, x, y] * right[y]
    return mean, covariance


@compiled
def linear_at(a, b, start, prior_precision, prior_b, node, number, loading, row):
    """Return mean and variance (C,) of loading[row]' coefficients at pairs of node and combination; loading (R, p).

    With the precision L L' of the coefficients and t = L^-1 loading, the variance is t't and the mean t' L^-1 right.
    """
    count, p = node.size, b.shape[2]
    blocks = start.size - 1
    mean, variance = np.zeros(count), np.zeros(count)
    factor, right, t = np.zeros((p, p)), np.zeros(p), np.zeros(p)
    for i in range(count):
        for x in range(p):
            right[x], t[x] = prior_b[x], loading[row[i], x]
            for y in range(x):
                factor[x, y] = 0.0
            factor[x, x] = prior_precision[x]
        rest = number[i]
        for block in range(blocks - 1, -1, -1):
            states = start[block + 1] - start[block]
            s = start[block] + rest % states
            rest //= states
            for x in range(p):
                right[x] += b[node[i], s, x]
                for y in range(x + 1):
                    factor[x, y] += a[node[i], s, x, y]
        if p == 1:
            mean[i], variance[i] = t[0] * (right[0] / factor[0, 0]), t[0] * (1 / factor[0, 0]) * t[0]
            continue
        _factor(factor, p)
        _solve_lower(factor, right, p)
        variance[i] = _solve_lower(factor, t, p)
        for x in range(p):
            mean[i] += t[x] * right[x]
    return mean, variance


@compiled
def merge(weight, mean, sd, least, first, step, offset, width):
    """Return sums of weight, weight x m and weight x (sd^2 + m^2) by cell, m = mean - first; see mixture.merged."""
    cells = offset[-1]
    w, one, two = np.zeros(cells), np.zeros(cells), np.zeros(cells)
    for i in range(weight.size):
        row = int(math.log(max(sd[i] / least, 1.0)) / step)
        cell = offset[row] + int((mean[i] - first) / width[row])
        away = mean[i] - first
        w[cell] += weight[i]
        one[cell] += weight[i] * away
        two[cell] += weight[i] * (sd[i] * sd[i] + away * away)
    return w, one, two


@compiled
def lower_tail(weight, means, sds, x):
    """Return P(value <= x) and the density at x of a mixture of normals, (C,) each."""
    below, density = 0.0, 0.0
    for i in range(weight.size):
        z = (x - means[i]) / sds[i]
        if z < -39.0:  # below the least number above 0
            continue
        if z > 9.0:  # 1 to the last bit
            below += 2 * weight[i]
            continue
        below += weight[i] * math.erfc(-z * math.sqrt(0.5))
        density += weight[i] / sds[i] * math.exp(-0.5 * z * z)
    return below / 2, density / math.sqrt(2 * math.pi)
