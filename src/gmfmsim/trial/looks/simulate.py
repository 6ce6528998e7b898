"""Trials of two arms with looks, simulated: the statistics of each stage of children, many trials at once.

Of normal changes the number, mean and sum of squares of each arm's children between two looks suffice, so that no child
is drawn. The SD is estimated at every look from all children seen by then.
"""

import numpy as np
from scipy import special

from gmfmsim.compute.compiled import compiled
from gmfmsim.trial.design import Design
from gmfmsim.trial.looks.bounds import bounds
from gmfmsim.trial.looks.law import planned_at

SUCCESS, NOTHING, HARM = 0, 1, 2
"""What a trial stops with: positions in law.OUTCOMES."""


def stopped(design: Design, n: int, effect: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the look (from 0) and the outcome, (S, R) each, of trials with effects (S, R) in SDs of a child's change.

    All scenarios meet the same children. A trial whose arms keep fewer than two children shows nothing.
    """
    sizes = design.sizes(n)
    of_arms = sizes[design.active.name], sizes[design.control.name]
    due = np.diff(np.array(planned_at(design.looks, of_arms)), axis=0, prepend=0)
    trials, kept = effect.shape[1], 1 - design.dropout
    count = np.broadcast_to(due[..., None], (*due.shape, trials))
    if kept < 1:
        count = rng.binomial(count, kept)
    means = rng.standard_normal(count.shape)
    known = design.analyses[0].method == "z"
    inside = np.maximum(count - 1, 0).sum(axis=1)
    squares = np.zeros(inside.shape) if known else rng.chisquare(np.maximum(inside, 1)) * (inside > 0)
    found = bounds(design.looks, design.alpha / 2)
    df = np.array([[np.inf]]) if known else np.maximum(np.arange(sum(of_arms) + 1.0) - 2, 1)[None]
    levels = (special.ndtr(np.clip(bound, -37, 37))[:, None] for bound in found)
    upper, lower = (special.stdtrit(df, level) if not known else special.ndtri(level) for level in levels)
    lower = np.where(np.isinf(found.lower)[:, None], -np.inf, lower)
    idle = np.append((due[1:] == 0).all(axis=1), False)  # it sees no more children than the next
    upper[idle], lower[idle] = np.inf, -np.inf
    return _stopped(effect, count, means, squares, np.ascontiguousarray(upper), np.ascontiguousarray(lower))


@compiled
def _stopped(effect, count, means, squares, upper, lower):
    """Return look and outcome (S, R). count, means (K, 2, R): children of a stage in each arm, and their standardised
    means; squares (K, R): sums of squares about these; upper, lower (K, children): critical values by children seen, or
    (K, 1) where the SD is known."""
    scenarios, trials = effect.shape
    looks, known = count.shape[0], upper.shape[1] == 1
    look = np.full((scenarios, trials), looks - 1)
    outcome = np.full((scenarios, trials), NOTHING)
    for s in range(scenarios):
        for r in range(trials):
            seen, mean, total = np.zeros(2), np.zeros(2), 0.0
            for k in range(looks):
                total += squares[k, r]
                for a in range(2):
                    new = count[k, a, r]
                    if new:
                        here = means[k, a, r] / np.sqrt(new) + (effect[s, r] if a == 0 else 0.0)
                        away = here - mean[a]
                        total += seen[a] * new / (seen[a] + new) * away * away
                        seen[a] += new
                        mean[a] += away * new / seen[a]
                if min(seen[0], seen[1]) < 2:
                    continue
                children = int(seen[0] + seen[1])
                at = 0 if known else children
                sd = 1.0 if known else np.sqrt(total / (children - 2))
                statistic = (mean[0] - mean[1]) / (sd * np.sqrt(1 / seen[0] + 1 / seen[1]))
                found = -1
                if statistic > upper[k, at]:
                    found = SUCCESS
                elif statistic < -upper[k, at]:
                    found = HARM
                elif statistic < lower[k, at]:
                    found = NOTHING
                if found >= 0:
                    look[s, r], outcome[s, r] = k, found
                    break
    return look, outcome
