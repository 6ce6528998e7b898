"""Who is lost from a trial, and which visits are missed by those who stay."""

import math
from collections.abc import Mapping

import numpy as np
from scipy import special

from gmfmsim.compute.compiled import compiled
from gmfmsim.trial.design import Design
from gmfmsim.trial.generate.course import volunteer_gain
from gmfmsim.trial.generate.growth import as_shown, expected_scores, score_sd

NOTHING_SEEN = np.zeros((0, 0, 0))


def loss_threshold(share: float, slope: float, visits: int) -> float:
    """Return a such that Phi(a + slope z), z ~ Normal(0, 1), is on average h = 1 - (1 - share)^(1 / visits).

    a = Phi^-1(h) sqrt(1 + slope^2); -inf where nobody is lost.
    """
    return float(special.ndtri(1 - (1 - share) ** (1 / visits))) * math.sqrt(1 + slope**2)


def standing(
    design: Design, score: np.ndarray, level: np.ndarray | None, age: np.ndarray | None, excess_sd: np.ndarray
) -> np.ndarray:
    """Return how children stand (1 + V, N, R), in SDs, from what can be observed: scores, level and age.

    At a visit: observed change minus the change, volunteer gain included, that is expected of the level at that age as
    far as growth_share shows it (normal children: growth), over max(excess_sd(t), sqrt(2) error). At baseline, where
    there is no change yet: observed score minus the score expected of the level at that age, over its own SD. Standard
    normal for normal children without treatment; nearly so for others, whose own curves differ from that of their
    level. It holds nothing that stays hidden, so loss that depends on an earlier standing is at random.
    """
    children, months = design.children, np.concatenate([[0.0], design.visits])
    error = children.error_sd(excess_sd)
    if children.kind == "normal":
        expected = (children.baseline.value + children.growth.value * months / 12)[:, None, None]
        sd = np.asarray(children.score_sd(excess_sd))
    else:
        expected = expected_scores(children, level, age, months)
        growth = expected[1:] - expected[0]
        expected[1:] += as_shown(children, growth, months[1:], excess_sd) - growth
        expected += volunteer_gain(design)[:, None, None]
        sd = np.hypot(score_sd(children, level, age), error)
    z = score - expected
    z[1:] -= z[0]
    observed = np.outer((months[1:] / 12) ** children.excess_growth.value, excess_sd)
    z[1:] /= np.maximum(observed, math.sqrt(2) * error)[:, None]
    z[0] /= np.where(sd > 0, sd, np.inf)
    return z


def remove_unseen(
    design: Design,
    score: np.ndarray,
    level: np.ndarray | None,
    age: np.ndarray | None,
    excess_sd: np.ndarray,
    noise: Mapping[str, np.random.Generator],
) -> None:
    """Set to NaN, in place, the scores (1 + V, N, R) after drop-out and at missed visits.

    The loss before visit v depends on the last observed `standing` (given_last_value) or on the one at visit v
    (informative). A lost child stays lost; a missed visit is never the last one.
    """
    dropout, missed = design.children.dropout, design.children.missed.value
    if dropout.value == 0 and missed == 0:
        return
    depends = dropout.value > 0 and dropout.mechanism != "completely_at_random"
    z = standing(design, score, level, age, excess_sd) if depends else NOTHING_SEEN
    threshold = loss_threshold(dropout.value, dropout.slope, len(design.visits))
    ahead = int(dropout.mechanism == "informative")
    _remove(score, z, threshold, dropout.slope, ahead, missed, noise["loss"], noise["missed"])


@compiled
def _remove(score, z, threshold, slope, ahead, missed, rng_loss, rng_missed):
    """Go from visit to visit, child by child; last[r] is the visit on which the next loss depends."""
    visits, children, trials = score.shape[0] - 1, score.shape[1], score.shape[2]
    lost, last = np.empty(trials, np.bool_), np.empty(trials, np.int64)
    for i in range(children):
        lost[:], last[:] = False, 0
        for v in range(1, 1 + visits):
            if threshold > -np.inf:
                for r in range(trials):
                    on = slope * z[v if ahead else last[r], i, r] if z.size > 0 else 0.0
                    lost[r] |= rng_loss.standard_normal() < threshold + on
            for r in range(trials):
                gap = missed > 0.0 and v < visits and rng_missed.random() < missed
                if lost[r] or gap:
                    score[v, i, r] = np.nan
                else:
                    last[r] = v
