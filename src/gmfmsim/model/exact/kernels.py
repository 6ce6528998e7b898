"""Compiled loops of the exact engine: Gaussian algebra at every node, block and state, and sums over the nodes."""

import math

import numpy as np

from gmfmsim.compute.compiled import compiled
from gmfmsim.dist.normal import normal_cdf

FEW_STEPS = 4
"""From one combination of states to a later one that is no further than this it is counted on."""

# No fast-math: a cold and a warm compile cache must give the same last bits.


@compiled
def block_statistics(columns, loads, slot_level, slot_mask, index, size, start, effect, whiten, constant):
    """Return A (J, S, p, p), b (J, S, p), c (J, S): log p(y_b | beta) = c + b' beta - beta' A beta / 2 by state.

    columns (J, p, K) and loads (J, L, K) at every node; slot_level (U,), slot_mask (B, U, n), index (B, n), size (B,);
    the states of block b are start[b]:start[b + 1] of effect (S, n), whiten (S, n, n), constant (S,), with
    whiten' whiten = V^-1. W = V + sum of g g' over the units of a block: effects and columns are whitened by V, then by
    one unit after another, v - g (g'v) / (h (1 + h)) with h^2 = 1 + g'g, so that W is the identity at last. Nothing
    large is subtracted, however far standard errors and heterogeneity are apart.
    """
    nodes, p, _ = columns.shape
    states, units = effect.shape[0], slot_level.size
    a, b, c = np.zeros((nodes, states, p, p)), np.zeros((nodes, states, p)), np.zeros((nodes, states))
    white = np.empty((1 + p + units, index.shape[1]))  # the effects, the columns, the units
    here = slot_mask.sum(axis=2) > 0
    for j in range(nodes):
        for block in range(index.shape[0]):
            m = size[block]
            if m == 1:
                k, gained = index[block, 0], 0.0
                for u in range(units):
                    if slot_mask[block, u, 0]:
                        gained += loads[j, slot_level[u], k] ** 2
                for s in range(start[block], start[block + 1]):
                    precision = whiten[s, 0, 0] ** 2
                    grown = 1.0 + gained * precision
                    inverse = precision / grown
                    c[j, s] = constant[s] - 0.5 * (np.log(grown) + inverse * effect[s, 0] ** 2)
                    for x in range(p):
                        b[j, s, x] = columns[j, x, k] * inverse * effect[s, 0]
                        for y in range(x + 1):
                            a[j, s, x, y] = a[j, s, y, x] = columns[j, x, k] * columns[j, y, k] * inverse
                continue
            for s in range(start[block], start[block + 1]):
                rows = 1 + p
                white[:] = 0.0
                for i in range(m):
                    for k in range(m):
                        white[0, i] += whiten[s, i, k] * effect[s, k]
                        for x in range(p):
                            white[1 + x, i] += whiten[s, i, k] * columns[j, x, index[block, k]]
                for u in range(units):
                    if here[block, u]:
                        for i in range(m):
                            for k in range(m):
                                if slot_mask[block, u, k]:
                                    white[rows, i] += whiten[s, i, k] * loads[j, slot_level[u], index[block, k]]
                        rows += 1
                logdet = 0.0
                for last in range(rows - 1, p, -1):
                    logdet += _whiten_by(white, last, m)
                c[j, s] = constant[s] - 0.5 * (logdet + _product(white, 0, 0, m))
                for x in range(p):
                    b[j, s, x] = _product(white, 1 + x, 0, m)
                    for y in range(x + 1):
                        a[j, s, x, y] = a[j, s, y, x] = _product(white, 1 + x, 1 + y, m)
    return a, b, c


@compiled
def _product(white, x, y, m):
    """Return the product of two rows."""
    total = 0.0
    for i in range(m):
        total += white[x, i] * white[y, i]
    return total


@compiled
def _whiten_by(white, last, m):
    """Whiten the rows before the last one, a unit, by it; return log of what it multiplies the determinant with."""
    grown = 1.0 + _product(white, last, last, m)
    h = math.sqrt(grown)
    for row in range(last):
        along = _product(white, row, last, m) / (h * (1.0 + h))
        for i in range(m):
            white[row, i] -= along * white[last, i]
    return math.log(grown)


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
def _factor_of_two(a):
    """Return the Cholesky factor of a (2, 2) as `_factor` has it: first pivot, below it, second pivot."""
    one = math.sqrt(a[0, 0])
    low = a[1, 0] / one
    return one, low, math.sqrt(a[1, 1] - low * low)


@compiled
def _solve_two(one, low, two, x, y):
    """Return L^-1 (x, y) of such a factor, as `_solve_lower` does."""
    first = x / one
    return first, (y - low * first) / two


@compiled
def log_evidence(a, b, c, start, prior_precision, prior_b, prior_c):
    """Return log p(y, combination | node), (J, M): the coefficients integrated out, for every combination of states.

    Partial sums over the blocks before the one that changes are kept, so that a combination costs little more than
    the factor of one p x p matrix; the states of the last block follow one another.
    """
    nodes, _, p = b.shape
    blocks = start.size - 1
    combinations = 1
    for block in range(blocks):
        combinations *= start[block + 1] - start[block]
    out = np.empty((nodes, combinations))
    sum_a, sum_b, sum_c = np.zeros((blocks, p, p)), np.zeros((blocks, p)), np.zeros(blocks)
    factor, right = np.empty((p, p)), np.empty(p)
    sum_a[0], sum_b[0], sum_c[0] = np.diag(prior_precision), prior_b, prior_c
    last, first, after = blocks - 1, start[blocks - 1], start[blocks]
    for j in range(nodes):
        chosen, changed = start[:-1].copy(), 0
        for m in range(0, combinations, after - first):
            for block in range(changed, last):
                s = chosen[block]
                for x in range(p):
                    sum_b[block + 1, x] = sum_b[block, x] + b[j, s, x]
                    for y in range(x + 1):
                        sum_a[block + 1, x, y] = sum_a[block, x, y] + a[j, s, x, y]
                sum_c[block + 1] = sum_c[block] + c[j, s]
            for s in range(first, after):
                here = sum_c[last] + c[j, s]
                if p == 1:
                    total, along = sum_a[last, 0, 0] + a[j, s, 0, 0], sum_b[last, 0] + b[j, s, 0]
                    out[j, m + s - first] = here + 0.5 * (along * along / total - math.log(total))
                    continue
                for x in range(p):
                    right[x] = sum_b[last, x] + b[j, s, x]
                    for y in range(x + 1):
                        factor[x, y] = sum_a[last, x, y] + a[j, s, x, y]
                if p == 2:
                    one, low, two = _factor_of_two(factor)
                    u, v = _solve_two(one, low, two, right[0], right[1])
                    out[j, m + s - first] = here + 0.5 * (u * u + v * v - 2 * math.log(one * two))
                    continue
                logdet = _factor(factor, p)
                out[j, m + s - first] = here + 0.5 * (_solve_lower(factor, right, p) - logdet)
            changed = last - 1
            while changed >= 0:
                chosen[changed] += 1
                if chosen[changed] < start[changed + 1]:
                    break
                chosen[changed] = start[changed]
                changed -= 1
    return out


@compiled
def _add_up(a, b, start, number, before, chosen, sum_a, sum_b):
    """Add up what the states of a combination have: of blocks before the first that changes the sums are kept.

    a (S, p, p) and b (S, p). A combination numbers the states of all blocks; that of the last block runs fastest.
    chosen (B,) are the states of the combination with the number `before`, of the same node, and become those of this
    one; before is below 0 at the first of a node. sum_a (B + 1, p, p), the lower half, and sum_b (B + 1, p) begin with
    those of the prior.
    """
    blocks = chosen.size
    changed = blocks if before >= 0 else 0
    if 0 <= before <= number <= before + FEW_STEPS:  # one after another costs less than the divisions
        for _ in range(number - before):
            block = blocks - 1
            chosen[block] += 1
            while chosen[block] == start[block + 1]:
                chosen[block] = start[block]
                block -= 1
                chosen[block] += 1
            changed = min(changed, block)
    else:
        for block in range(blocks - 1, -1, -1):
            if number == before:  # the other blocks have the same states
                break
            states = start[block + 1] - start[block]
            s = start[block] + number % states
            number //= states
            before //= states
            if s != chosen[block]:
                chosen[block], changed = s, min(changed, block)
    for block in range(changed, blocks):
        s = chosen[block]
        for x in range(b.shape[1]):
            sum_b[block + 1, x] = sum_b[block, x] + b[s, x]
            for y in range(x + 1):
                sum_a[block + 1, x, y] = sum_a[block, x, y] + a[s, x, y]


@compiled
def _begun(start, prior_precision, prior_b):
    """Return what `_add_up` works on: the states that are chosen, and the sums, which begin with those of the prior."""
    blocks, p = start.size - 1, prior_b.size
    chosen, sum_a, sum_b = start[:-1].copy(), np.zeros((blocks + 1, p, p)), np.zeros((blocks + 1, p))
    sum_a[0], sum_b[0] = np.diag(prior_precision), prior_b
    return chosen, sum_a, sum_b


@compiled
def coefficients_at(a, b, start, prior_precision, prior_b, node, number):
    """Return mean (C, p) and covariance (C, p, p) of the coefficients at pairs of node and combination (C,)."""
    count, p = node.size, b.shape[2]
    mean, covariance = np.zeros((count, p)), np.zeros((count, p, p))
    factor, unit = np.zeros((p, p)), np.zeros(p)
    chosen, sum_a, sum_b = _begun(start, prior_precision, prior_b)
    for i in range(count):
        before = number[i - 1] if i > 0 and node[i] == node[i - 1] else -1
        _add_up(a[node[i]], b[node[i]], start, number[i], before, chosen, sum_a, sum_b)
        factor[:], right = sum_a[-1], sum_b[-1]
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
def linear_at(a, b, start, prior_precision, prior_b, node, number, loading):
    """Return mean and variance (C,) of loading[node]' coefficients at pairs of node and combination; loading (J, p).

    With the precision L L' of the coefficients and t = L^-1 loading, the variance is t't and the mean t' L^-1 right.
    """
    count, p = node.size, b.shape[2]
    mean, variance = np.zeros(count), np.zeros(count)
    factor, right, t = np.zeros((p, p)), np.zeros(p), np.zeros(p)
    chosen, sum_a, sum_b = _begun(start, prior_precision, prior_b)
    blocks, before = start.size - 1, -1
    for i in range(count):
        if i == 0 or node[i] != node[i - 1]:
            a_here, b_here, load, before = a[node[i]], b[node[i]], loading[node[i]], -1
        _add_up(a_here, b_here, start, number[i], before, chosen, sum_a, sum_b)
        before = number[i]
        if p == 1:
            total, along = sum_a[blocks, 0, 0], load[0]
            mean[i], variance[i] = along * (sum_b[blocks, 0] / total), along * (1 / total) * along
            continue
        if p == 2:
            one, low, two = _factor_of_two(sum_a[blocks])
            x, y = _solve_two(one, low, two, sum_b[blocks, 0], sum_b[blocks, 1])
            v, w = _solve_two(one, low, two, load[0], load[1])
            mean[i], variance[i] = v * x + w * y, v * v + w * w
            continue
        factor[:], right[:], t[:] = sum_a[blocks], sum_b[blocks], load
        _factor(factor, p)
        _solve_lower(factor, right, p)
        variance[i] = _solve_lower(factor, t, p)
        for x in range(p):
            mean[i] += t[x] * right[x]
    return mean, variance


@compiled
def batch_densities(y, pairs, squares, slope, fixed, to_mean, constant, log_p, mean):
    """Write log p(y, node) and the mean of the amplitude, (B, J) both, of data sets y (B, K); see batch.Batch.

    Products of so few rows are faster here than in a library that shares them out among threads.
    """
    z = np.empty(constant.size)
    for i in range(y.shape[0]):
        log_p[i] = constant
        mean[i] = 0.0
        for f in range(pairs.shape[0]):
            square = y[i, pairs[f, 0]] * y[i, pairs[f, 1]]
            for j in range(z.size):
                log_p[i, j] -= square * squares[f, j]
        for q in range(fixed.shape[0]):
            z[:] = fixed[q]
            for k in range(y.shape[1]):
                value = y[i, k]
                for j in range(z.size):
                    z[j] += value * slope[q, k, j]
            for j in range(z.size):
                log_p[i, j] += 0.5 * z[j] * z[j]
                mean[i, j] += to_mean[q, j] * z[j]


@compiled
def batch_figures(weight, top, mean, sd, sd_new, tau, outermost, out):
    """Write the figures of batch.FIGURES to out (B, 7), from weights and means of the amplitude at the nodes (B, J)."""
    for i in range(weight.shape[0]):
        total, one, two, above, new, scale, last = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for j in range(weight.shape[1]):
            w = weight[i, j]
            if w < 1e-12:
                continue
            m = mean[i, j]
            total += w
            one += w * m
            two += w * (m * m + sd[j] * sd[j])
            scale += w * tau[j]
            last += w * outermost[j]
            above += w * normal_cdf(m / sd[j])
            new += w * normal_cdf(m / sd_new[j])
        average = one / total
        out[i, 0] = average
        out[i, 1] = np.sqrt(two / total - average * average)
        out[i, 2] = above / total
        out[i, 3] = new / total
        out[i, 4] = top[i] + np.log(total)
        out[i, 5] = scale / total
        out[i, 6] = last / total
