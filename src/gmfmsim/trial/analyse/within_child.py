"""Crossover: each child against itself."""

import numpy as np

from gmfmsim.trial.analyse.contrast import Contrast, grouped, pooled
from gmfmsim.trial.designs import Design
from gmfmsim.trial.generate.trials import Trials


def within_child(trials: Trials, design: Design) -> Contrast:
    """Return the difference of the changes of the two periods, between sequences, halved, of children seen throughout.

    With d = (y1 - y0) - (y2 - y1) a child: estimate = (mean of d, cells first, minus mean of d, cells second) / 2, by
    the two-sample t test of d / 2, which takes out the change and the effect of the periods (Hills & Armitage 1979).
    """
    before, middle, after = trials.score[:3]
    difference = 2 * middle - before - after
    return pooled(grouped(difference / 2, trials.group, len(design.arms)), np.sign(design.weights))
