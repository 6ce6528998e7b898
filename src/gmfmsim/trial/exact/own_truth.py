"""What lies behind a required n: its power over truths, and the n that each truth would itself need."""

from gmfmsim.compute.roots import root
from gmfmsim.model.truths import Belief, exact_mixture, known
from gmfmsim.trial.decide import claim
from gmfmsim.trial.design import Design
from gmfmsim.trial.exact.size import smallest
from gmfmsim.trial.exact.statistic import statistic
from gmfmsim.trial.exact.success import Assurance

PROBABILITIES = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Where quantiles are given."""

ENOUGH, HOPELESS = 0.8, 0.5
"""Powers that a truth is asked to give at least, and at most."""

FARTHEST = 1e4
"""Points beyond the truth on the border of a claim where no truth is looked for."""


def behind(design: Design, belief: Belief, n: int, target: float) -> dict | None:
    """Return the distribution of power at n, and of the n that a truth of its own needs, over a Belief.

    power_at_n: quantiles over truths; at_least_80 and below_50, the probabilities of such power. n_of_own_truth:
    quantiles of children in all who give power `target` at the truth, None where no number does; none: the
    probability of that, P(estimand not beyond the threshold). Power rises with the truth, so that both follow from
    quantiles and tails of the Belief, without simulation (the "assurance distribution" of O'Hagan, Stevens & Campbell
    2005). None where power does not rise with the truth, a claim with two ends or an effect that is no part of the
    estimand, and along doses, where the truth is several effects.
    """
    claimed, analysis = claim(design), design.analyses[0]
    law = statistic(design, analysis)
    if {c.direction for c in claimed} != {"above"} or law.slope <= 0 or law.doses:
        return None
    threshold = max(c.threshold for c in claimed)
    truths, border = exact_mixture(belief), (threshold - law.intercept) / law.slope

    def power(truth: float) -> float:
        return Assurance(design, analysis, known(truth)).at(n)

    def beyond(level: float) -> float:
        """Return P(power >= level)."""
        low, high = border, border + 1.0
        while power(high) < level:
            high = low + 2 * (high - low)
            if high - low > FARTHEST:
                return 0.0
        return truths.above(root(lambda truth: power(truth) - level, low, high, within=1e-9))

    def needed(truth: float) -> int | None:
        """Return the children in all whom a truth needs."""
        if not truth > border:
            return None
        per_arm = smallest(Assurance(design, analysis, known(truth)), target)
        return None if per_arm is None else design.total(per_arm)

    quantile = {p: truths.quantile(p) for p in sorted({*PROBABILITIES, *(1 - p for p in PROBABILITIES)})}
    return {
        "power_at_n": {
            "quantiles": {f"{p:g}": power(quantile[p]) for p in PROBABILITIES},
            "at_least_80": beyond(ENOUGH),
            "below_50": 1 - beyond(HOPELESS),
        },
        "n_of_own_truth": {
            "quantiles": {f"{p:g}": needed(quantile[1 - p]) for p in PROBABILITIES},
            "none": 1 - Assurance(design, analysis, belief).plateau(),
        },
    }
