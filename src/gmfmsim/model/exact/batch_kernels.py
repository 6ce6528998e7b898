"""Compiled loops of the exact engine for many data sets: no algebra left, only sums over the nodes."""

import numpy as np

from gmfmsim.compute.compiled import compiled


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
def _normal(x, table, first, steps):
    """Return P(Z <= x), cubic between the values and slopes of a table that starts at `first`."""
    at = (x - first) * steps
    if at < 0.0:
        return 0.0
    i = int(at)
    if i >= table.shape[0] - 1:
        return 1.0
    f = at - i
    rise, left, right = table[i + 1, 0] - table[i, 0], table[i, 1], table[i + 1, 1]
    return table[i, 0] + f * (left + f * (3 * rise - 2 * left - right + f * (left + right - 2 * rise)))


@compiled
def batch_figures(weight, top, mean, sd, sd_new, tau, outermost, table, first, steps, out):
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
            above += w * _normal(m / sd[j], table, first, steps)
            new += w * _normal(m / sd_new[j], table, first, steps)
        average = one / total
        out[i, 0] = average
        out[i, 1] = np.sqrt(two / total - average * average)
        out[i, 2] = above / total
        out[i, 3] = new / total
        out[i, 4] = top[i] + np.log(total)
        out[i, 5] = scale / total
        out[i, 6] = last / total
