"""Baseline and endpoint of drawn trials as moments, at many n from one pass over the children."""

from collections.abc import Iterator

import numpy as np

from gmfmsim.compute.compiled import compiled
from gmfmsim.trial.design import Design
from gmfmsim.trial.generate.trials import Trials
from gmfmsim.trial.moments import Moments


def suffice(design: Design) -> bool:
    """Return whether every analysis of the design takes no more than `moments_at_ends` has."""
    return all(a.linear and not a.every_visit for a in design.analyses)


def moments_at_ends(trials: Trials, design: Design, children: list[int]) -> Iterator[Moments]:
    """Yield the moments of the first `children` of R trials, rising numbers, of those seen at the endpoint.

    Children who are not seen there count for nothing, and visits between hold 0. Sums are taken of deviations from the
    mean baseline of the first child, so that nothing is lost when the means are taken out, and that the moments of few
    children do not depend on how many come after them.
    """
    middle, last = float(trials.score[0, 0].mean()), design.endpoint + 1
    sums = _running(trials.score[0], trials.score[last], trials.group, middle, np.array(children), len(design.arms))
    at = [0, last]
    for n, x, y, xx, xy, yy in sums:
        arms, size = n.shape[0], np.maximum(n, 1)
        found = Moments(
            np.zeros((arms, 1 + last, n.shape[1])),
            np.zeros((arms, 1 + last, 1 + last, n.shape[1])),
            np.zeros((arms, 1 + last, 1 + last, 1 + last, n.shape[1])),
        )
        found.n[:, last] = n
        cross = {(0, 0): xx - x * x / size, (0, last): xy - x * y / size, (last, last): yy - y * y / size}
        for i, total in zip(at, (x, y), strict=True):
            found.mean[:, last, i] = np.where(n > 0, middle + total / size, 0)
        for (i, j), value in cross.items():
            found.cross[:, last, i, j] = found.cross[:, last, j, i] = value
        yield found


@compiled
def _running(first, end, group, middle, children, arms):
    """Return children seen, sums of x, y, xx, xy, yy (K, 6, A, R) after each number of children (K,)."""
    trials = first.shape[1]
    sums, out = np.zeros((6, arms, trials)), np.empty((children.size, 6, arms, trials))
    i = 0
    for k in range(children.size):
        while i < children[k]:
            for r in range(trials):
                if np.isnan(end[i, r]):
                    continue
                a, x, y = group[i, r], first[i, r] - middle, end[i, r] - middle
                sums[0, a, r] += 1.0
                sums[1, a, r] += x
                sums[2, a, r] += y
                sums[3, a, r] += x * x
                sums[4, a, r] += x * y
                sums[5, a, r] += y * y
            i += 1
        out[k] = sums
    return out
