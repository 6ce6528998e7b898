"""Posterior of the effect from a linear model and a prior that is a mixture of normals."""

import math

import numpy as np
from scipy import special

from gmfmsim.compute.compiled import compiled
from gmfmsim.dist.mixture import NormalMixture

DEEP = 26.0
"""Minus the logarithm of the weight, against the largest, below which a node of the mixture counts for nothing."""

NODES = 4096
"""Nodes of log W at most."""


def posterior(estimate, se, df, prior: NormalMixture, tail: float) -> tuple[np.ndarray, ...]:
    """Return mean, SD, and the quantiles at tail and 1 - tail of the posterior of the effect, (R,) each.

    Under a flat prior of the other coefficients and 1 / sigma, the likelihood of the effect theta is that of Student's
    t: (theta - estimate) / se on df; here times a mixture of Normal(mean_m, sd_m^2). As a scale mixture, theta given
    m and W ~ chi2(df) is normal with precision 1 / sd_m^2 + W / (df se^2), and W and m count with weight chi2(W; df)
    weight_m Normal(estimate; mean_m, sd_m^2 + df se^2 / W). The mixture is summed by the trapezoidal rule on log W,
    whose error falls exponentially with the number of nodes: tail probabilities agree with quadrature to 1e-9.
    """
    z = float(special.ndtri(1 - tail))
    parts = (np.asarray(x, float) for x in (estimate, se, df))
    return _posterior(*parts, np.log(prior.weight), prior.means, prior.sds, float(tail), z)


@compiled
def _posterior(estimate, se, df, log_weight, means, sds, tail, z):
    trials = estimate.size
    mean, sd, low, high = np.empty(trials), np.empty(trials), np.empty(trials), np.empty(trials)
    room = NODES * means.size
    weight, centre, spread = np.empty(room), np.empty(room), np.empty(room)
    for r in range(trials):
        half, least = df[r] / 2, se[r] * se[r]
        # No node can gain more than this over the weight that its W has under chi2 alone.
        gain = 0.0
        for m in range(means.size):
            gain = max(gain, min((estimate[r] - means[m]) ** 2 / (2 * (sds[m] * sds[m] + least)), 300.0))
        step = min(0.9 / math.sqrt(half), 0.25)
        count, largest = 0, -np.inf
        for side in (-1, 1):
            i = 0 if side < 0 else 1
            while count < room:
                u = side * i * step
                under_chi2 = half * (u - math.exp(u) + 1)
                if under_chi2 < -DEEP - gain:
                    break
                data = least * math.exp(-u)
                for m in range(means.size):
                    prior = sds[m] * sds[m]
                    total = prior + data
                    apart = (estimate[r] - means[m]) ** 2
                    weight[count] = under_chi2 + log_weight[m] - 0.5 * (math.log(total) + apart / total)
                    centre[count] = (estimate[r] * prior + means[m] * data) / total
                    spread[count] = math.sqrt(prior * data / total)
                    largest = max(largest, weight[count])
                    count += 1
                i += 1
        kept, total, first, second = 0, 0.0, 0.0, 0.0
        for k in range(count):
            if weight[k] > largest - DEEP:
                weight[kept], centre[kept], spread[kept] = math.exp(weight[k] - largest), centre[k], spread[k]
                total += weight[kept]
                first += weight[kept] * centre[kept]
                kept += 1
        first /= total
        for k in range(kept):
            weight[k] /= total
            second += weight[k] * (spread[k] ** 2 + (centre[k] - first) ** 2)
        mean[r], sd[r] = first, math.sqrt(second)
        low[r] = _quantile(tail, weight, centre, spread, kept, first, sd[r], -z)
        high[r] = _quantile(1 - tail, weight, centre, spread, kept, first, sd[r], z)
    return mean, sd, low, high


@compiled
def _quantile(p, weight, centre, spread, count, mean, sd, z):
    """Return the p quantile of a mixture of normals, by Newton steps within a bracket."""
    below, above = mean - 60 * sd, mean + 60 * sd
    x = mean + z * sd
    for _ in range(100):
        cdf, density = -p, 0.0
        for k in range(count):
            t = (x - centre[k]) / spread[k]
            cdf += weight[k] * 0.5 * math.erfc(-t / math.sqrt(2.0))
            density += weight[k] * math.exp(-0.5 * t * t) / (spread[k] * math.sqrt(2 * math.pi))
        if cdf > 0:
            above = x
        else:
            below = x
        after = x - cdf / density if density > 0 else 0.5 * (below + above)
        if not below < after < above:
            after = 0.5 * (below + above)
        if abs(after - x) < 1e-7 * (abs(x) + sd):  # the next step would be some 1e-14
            return after
        x = after
    return x
