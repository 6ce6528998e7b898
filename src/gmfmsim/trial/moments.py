"""Group sizes, means and cross-products: all that the linear analyses of a trial take."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Moments:
    """Moments of R trials by arm a and pattern p: the number of visits observed before drop-out, 0 to V.

    A column is one variable of a child: C covariates beside the baseline (categories as 0/1 columns), then the baseline
    score, then the score at each visit; D = C + 1 + V. Entries of visits that a pattern does not observe are 0.

    - n (A, 1 + V, R): children;
    - mean (A, 1 + V, D, R): their means; 0 where there is no child;
    - cross (A, 1 + V, D, D, R): sums of products of deviations from the mean of the same arm and pattern.
    """

    n: np.ndarray
    mean: np.ndarray
    cross: np.ndarray

    @property
    def visits(self) -> int:
        """V."""
        return self.n.shape[1] - 1

    @property
    def covariates(self) -> int:
        """C, the columns before the baseline."""
        return self.mean.shape[2] - 1 - self.visits
