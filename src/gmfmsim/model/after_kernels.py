"""Compiled loops over the components of what the evidence says, for many trials or many estimates of one."""

import math

import numpy as np

from gmfmsim.compute.compiled import compiled
from gmfmsim.compute.cubic import cubic


@compiled
def _above(margin, centre, variance):
    """Return P(value > margin) of Normal(centre, variance); half of it where all lies on the margin."""
    if variance <= 0:
        return 0.5 + 0.5 * np.sign(centre - margin)
    return 0.5 * math.erfc((margin - centre) / math.sqrt(2 * variance))


@compiled
def after_each(weight, mean, sd_of_mean, sd_between, estimate, se, margin):
    """Return the columns of `after.After`, (R, 6)."""
    out = np.zeros((estimate.size, 6))
    total, half = np.empty(weight.size), np.empty(weight.size)
    for r in range(estimate.size):
        y, own, least = estimate[r], se[r] * se[r], np.inf
        for m in range(weight.size):
            total[m] = sd_of_mean[m] * sd_of_mean[m] + sd_between[m] * sd_between[m] + own
            half[m] = (y - mean[m]) * (y - mean[m]) / (2 * total[m])
            least = min(least, half[m])
        whole, first, second, above, tau, tau2, its = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for m in range(weight.size):
            if half[m] - least > 45.0:  # some 1e-20 of the largest
                continue
            p = weight[m] * math.exp(least - half[m]) / math.sqrt(total[m])
            v = sd_of_mean[m] * sd_of_mean[m]
            centre, left = mean[m] + v / total[m] * (y - mean[m]), v * (1 - v / total[m])
            before = total[m] - own
            whole += p
            first += p * centre
            second += p * (left + centre * centre)
            above += p * _above(margin, centre, left)
            its += p * _above(margin, mean[m] + before / total[m] * (y - mean[m]), before * own / total[m])
            tau += p * sd_between[m]
            tau2 += p * sd_between[m] * sd_between[m]
        first, tau = first / whole, tau / whole
        out[r, 0], out[r, 1] = first, math.sqrt(max(second / whole - first * first, 0.0))
        out[r, 2], out[r, 5] = above / whole, its / whole
        out[r, 3], out[r, 4] = tau, math.sqrt(max(tau2 / whole - tau * tau, 0.0))
    return out


@compiled
def read_off(table, column, row):
    """Return the entries of a table (rows, columns, E) at broken numbers of row and column, (R, E)."""
    rows, columns, entries = table.shape
    out = np.zeros((column.size, entries))
    for r in range(column.size):
        j = min(max(int(column[r]), 1), columns - 3)
        along = cubic(column[r] - j)
        i, across = 0, (1.0, 0.0, 0.0, 0.0)
        if rows > 1:
            i = min(max(int(row[r]), 1), rows - 3)
            across = cubic(row[r] - i)
            i -= 1
        for a in range(min(rows, 4)):
            for b in range(4):
                share = across[a] * along[b]
                for e in range(entries):
                    out[r, e] += share * table[i + a, j - 1 + b, e]
    return out


@compiled
def information(weight, mean, sd_of_mean, sd_between, se, border, points, perfect=False):
    """Return `after.sample_information` (J,), in points; perfect: the mean of studies itself is told.

    Turned so that treatment is taken now: the estimates y after which it is not have E[mu | y] < border, and gain

        F(b) - F(a),   F(y) = sum_m weight_m ((border - mean_m) P(Z < z) + k_m S_m density(z)),   z = (y - mean_m) / S_m

    from a to b, where F does not hang on the exact ends: its slope there is 0.
    """
    out, size = np.zeros(se.size), weight.size
    now = (weight * mean).sum()
    turn = 1.0 if now >= border else -1.0
    goal, centre = turn * border, turn * mean
    scale, gain, part = np.empty(size), np.empty(size), np.empty(size)
    for j in range(se.size):
        spread = 0.0
        for m in range(size):
            v = sd_of_mean[m] * sd_of_mean[m]
            total = v + sd_between[m] * sd_between[m] + se[j] * se[j]
            scale[m] = math.sqrt(total)
            gain[m] = v / total if total > 0 else 0.0
            part[m] = weight[m] / scale[m] if total > 0 else 0.0
            spread += weight[m] * (total + (centre[m] - turn * now) ** 2)
        if perfect:
            out[j] = _below(weight, centre, scale, gain, goal, goal)
            continue
        spread = math.sqrt(spread)
        before = _missing(weight, centre, scale, gain, part, goal, turn * now + spread * points[0])
        for i in range(1, points.size):
            low, high = turn * now + spread * points[i - 1], turn * now + spread * points[i]
            here = _missing(weight, centre, scale, gain, part, goal, high)
            if (here > 0) != (before > 0):
                at = _root(weight, centre, scale, gain, part, goal, low, high, before, here)
                found = _below(weight, centre, scale, gain, goal, at)
                out[j] += found if before > 0 else -found
            before = here
        if before > 0:
            out[j] += goal - turn * now
        out[j] = max(out[j], 0.0)
    return out


@compiled
def _below(weight, mean, scale, gain, border, y):
    """Return F(y), see `information`."""
    found = 0.0
    for m in range(weight.size):
        if scale[m] == 0:
            found += weight[m] * (border - mean[m]) if mean[m] < y else 0.0
            continue
        z = (y - mean[m]) / scale[m]
        density = math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
        found += weight[m] * ((border - mean[m]) * 0.5 * math.erfc(-z * math.sqrt(0.5)) + gain[m] * scale[m] * density)
    return found


@compiled
def _missing(weight, mean, scale, gain, part, border, y):
    """Return border - E[mu | y]; where y is too far from all components its sign as by the nearest, in SDs."""
    least = np.inf
    for m in range(weight.size):
        if part[m] > 0:
            least = min(least, (y - mean[m]) ** 2 / (2 * scale[m] * scale[m]))
    whole, found = 0.0, 0.0
    for m in range(weight.size):
        if part[m] > 0:
            away = y - mean[m]
            half = away * away / (2 * scale[m] * scale[m]) - least
            if half < 45.0:
                p = part[m] * math.exp(-half)
                whole += p
                found += p * (mean[m] + gain[m] * away)
    return border - found / whole if whole > 0 else border - mean[0]


@compiled
def _root(weight, mean, scale, gain, part, border, low, high, at_low, at_high):
    """Return where E[mu | y] is the border between two estimates, by false position (Illinois)."""
    y = low
    for _ in range(40):
        y = (low * at_high - high * at_low) / (at_high - at_low)
        here = _missing(weight, mean, scale, gain, part, border, y)
        if here == 0 or high - low < 1e-12 * (abs(low) + abs(high)) or abs(here) < 1e-10:
            break
        if (here > 0) == (at_high > 0):
            high, at_high = y, here
            at_low *= 0.5
        else:
            low, at_low = y, here
            at_high *= 0.5
    return y
