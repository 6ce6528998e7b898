"""What every analysis declares and answers."""

from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np

from gmfmsim.files.toml import Spec, key
from gmfmsim.trial.analyse.law import Factors, Statistic
from gmfmsim.trial.estimates import Estimates
from gmfmsim.trial.generate.trials import Trials
from gmfmsim.trial.moments import Moments

MomentsOf = Callable[[tuple[str, ...]], Moments]
"""From covariates, the baseline among them or not, to the moments of the trials up to the endpoint."""

BASELINE = ("baseline",)


class AnalysisSpec(Spec):
    """An analysis of one simulated trial; `design` is everywhere the trial.designs.Design that names it.

    `scale` names what it estimates: points (the effect in GMFM-66 points), share (a difference of proportions), or
    rank (nothing in points). `linear`: whether group sizes, means and cross-products of the scores suffice for it;
    `every_visit`: whether it takes the visits between baseline and endpoint.
    `by_estimate`: whether it decides by the interval of one estimate in points, and no test beside it.
    """

    scale: ClassVar[Literal["points", "share", "rank"]] = "points"
    linear: ClassVar[bool] = True
    every_visit: ClassVar[bool] = False
    by_estimate: ClassVar[bool] = True
    method: Annotated[str, key("which analysis")]

    @property
    def label(self) -> str:
        """The analysis in a word or two, different for each analysis of a design."""
        return self.method

    def words(self, design) -> str:
        """Return the analysis as a protocol says it, after "the primary analysis is"."""
        raise NotImplementedError

    def estimates(self, trials: Trials | None, moments: MomentsOf, design) -> Estimates:
        """Return what the analysis finds in R trials: from their moments if it is linear, else from their children."""
        raise NotImplementedError

    def limit(
        self, theta: np.ndarray, effect: np.ndarray, design, untreated: Callable[[], float]
    ) -> tuple[np.ndarray, float]:
        """Return what the estimate tends to (R,) as n grows without bound, and half the width that its interval keeps.

        theta (R,): the estimand; effect (A, R) of the arms; untreated: the mean change without cells. The estimate of
        most analyses tends to the estimand, without any error.
        """
        return theta, 0.0

    def law(self, design, factors: Factors) -> Statistic | str:
        """Return the law of the test given the truth, for the exact engine; or in words why none is known exactly."""
        return f"the statistic of {self.method} has no law that is known exactly"


def joined(words: Sequence[str]) -> str:
    """Join words as a sentence does."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def change_words(design) -> str:
    """Return what most analyses look at."""
    return f"the change to month {design.month:g}"


def covariate_words(covariates: Sequence[str]) -> str:
    """Return covariates as a sentence names them."""
    return joined([{"level": "GMFCS level"}.get(c, c) for c in covariates])
