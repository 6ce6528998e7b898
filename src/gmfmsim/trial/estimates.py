"""What one analysis makes of R simulated trials."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimates:
    """Estimate, standard error, interval and verdicts of one analysis in R trials; every array has shape (R,).

    - estimate, se: the primary contrast and its standard error, in the scale of the analysis; NaN where it has none;
    - low, high: ends of the interval with probability 1 - alpha; NaN where it has none;
    - benefit: the claim of the design's objective is made (superiority: significant in favour of treatment);
    - harm: significant against treatment;
    - failed: the analysis could not be done (too few children, no variance); then benefit and harm are False and the
      numbers NaN;
    - selected: position in design.arms of the arm that the analysis would take on, -1 for none; only along doses.
    """

    estimate: np.ndarray
    se: np.ndarray
    low: np.ndarray
    high: np.ndarray
    benefit: np.ndarray
    harm: np.ndarray
    failed: np.ndarray
    selected: np.ndarray | None = None
