"""Trials of two arms with looks, simulated: the statistics of each stage of children, many trials at once.

Of normal changes the number, mean and sum of squares of each arm's children between two looks suffice, so that no child
is drawn. The SD is estimated at every look from all children seen by then.
"""

import numpy as np

from gmfmsim.compute.compiled import compiled
from gmfmsim.trial.design import Design
from gmfmsim.trial.generate.chi import chi, chi_table
from gmfmsim.trial.looks.bounds import bounds, critical

SUCCESS, NOTHING, HARM = 0, 1, 2
"""What a trial stops with: positions in crossing.OUTCOMES."""


def stopped(design: Design, n: int, effect: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the look (from 0) and the outcome, (S, R) each, of trials with effects (S, R) in SDs of a child's change.

    All scenarios meet the same children. A trial whose arms keep fewer than two children shows nothing.
    """
    sizes = design.sizes(n)
    of_arms = sizes[design.active.name], sizes[design.control.name]
    due = np.diff(np.array(design.looks.due(of_arms)), axis=0, prepend=0)
    trials, kept = effect.shape[1], 1 - design.dropout
    count = np.broadcast_to(due[..., None], (*due.shape, trials))
    if kept < 1:
        count = rng.binomial(count, kept)
    noise = rng.standard_normal((len(due), 3, trials))
    known = design.analyses[0].method == "z"
    found = bounds(design.looks, design.alpha / 2)
    df = np.full(1, np.inf) if known else np.maximum(np.arange(sum(of_arms) + 1.0) - 2, 1)
    upper, lower = (critical(bound[:, None], df) for bound in found)
    idle = np.append((due[1:] == 0).all(axis=1), False)  # it sees no more children than the next
    upper[idle], lower[idle] = np.inf, -np.inf
    return _stopped(effect, count, noise, upper, lower, chi_table())


@compiled
def _stopped(effect, count, noise, upper, lower, table):
    """Return look and outcome (S, R). count (K, 2, R): children of a stage in each arm; noise (K, 3, R): standardised
    means of these, and the deviate whose chi quantile is the root of their squares about the means; upper, lower (K,
    children): critical values by children seen, or (K, 1) where the SD is known; table: see `generate.chi`."""
    scenarios, trials = effect.shape
    looks, known = count.shape[0], upper.shape[1] == 1
    look = np.full((scenarios, trials), looks - 1, np.int8)
    outcome = np.full((scenarios, trials), NOTHING, np.int8)
    for s in range(scenarios):
        for r in range(trials):
            seen1, seen0, mean1, mean0, total = 0.0, 0.0, effect[s, r], 0.0, 0.0
            for k in range(looks):
                new1, new0 = count[k, 0, r], count[k, 1, r]
                if not known:
                    total += chi(max(new1 - 1, 0) + max(new0 - 1, 0), noise[k, 2, r], table) ** 2
                if new1:
                    away = effect[s, r] + noise[k, 0, r] / np.sqrt(new1) - mean1
                    total += seen1 * new1 / (seen1 + new1) * away * away
                    seen1 += new1
                    mean1 += away * new1 / seen1
                if new0:
                    away = noise[k, 1, r] / np.sqrt(new0) - mean0
                    total += seen0 * new0 / (seen0 + new0) * away * away
                    seen0 += new0
                    mean0 += away * new0 / seen0
                if min(seen1, seen0) < 2:
                    continue
                children = int(seen1 + seen0)
                variance = 1.0 if known else total / (children - 2)
                statistic = (mean1 - mean0) / np.sqrt(variance * (1 / seen1 + 1 / seen0))
                high, low = (upper[k, 0], lower[k, 0]) if known else (upper[k, children], lower[k, children])
                if statistic > high:
                    look[s, r], outcome[s, r] = k, SUCCESS
                    break
                if statistic < max(low, -high):
                    look[s, r], outcome[s, r] = k, HARM if statistic < -high else NOTHING
                    break
    return look, outcome
