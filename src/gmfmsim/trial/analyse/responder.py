"""Share of children who gain more than a margin."""

from typing import Annotated, ClassVar, Literal

import numpy as np
from scipy import special

from gmfmsim.files.toml import key
from gmfmsim.trial.analyse.contrast import endpoint_change
from gmfmsim.trial.analyse.spec import AnalysisSpec
from gmfmsim.trial.estimates import Criterion, Estimates


class Responder(AnalysisSpec):
    """Share of children who gain more than `margin` points: two-proportion z test, pooled under the null."""

    scale: ClassVar = "share"
    linear: ClassVar = False
    by_estimate: ClassVar = False
    method: Literal["responder"]
    margin: Annotated[float, key("gain from which a child responds", "GMFM-66 points", example=3, ge=-50, le=50)]

    @property
    def label(self):
        return f"responder (> {self.margin:g})"

    def words(self, design):
        return f"a comparison of the shares who gain more than {self.margin:g} points"

    def estimates(self, trials, moments, design):
        """Return the difference of the shares of children whose change at the endpoint exceeds margin points.

        Only children observed at the endpoint are counted, as responders or not. estimate = p1 - p0, p = k / n;
        se = sqrt(p1 (1 - p1) / n1 + p0 (1 - p0) / n0) and the interval with it (Wald); the test, of equal shares,
        compares estimate / sqrt(p (1 - p) (1 / n1 + 1 / n0)), p the share in both arms, with the normal distribution.

        Fails where an arm has fewer than two children, and where no child or every child responds.
        """
        change, weights = endpoint_change(trials, design), design.weights
        seen, gained = np.isfinite(change), change > self.margin
        active, control = (trials.group == arm for arm in (np.argmax(weights), np.argmin(weights)))
        n1, n0 = ((seen & arm).sum(axis=0) for arm in (active, control))
        k1, k0 = ((gained & arm).sum(axis=0) for arm in (active, control))
        responded = k1 + k0
        ok = (np.minimum(n1, n0) >= 2) & (responded > 0) & (responded < n1 + n0)
        with np.errstate(divide="ignore", invalid="ignore"):
            p1, p0, p = k1 / n1, k0 / n0, responded / (n1 + n0)
            estimate, se = p1 - p0, np.sqrt(p1 * (1 - p1) / n1 + p0 * (1 - p0) / n0)
            z = estimate / np.sqrt(p * (1 - p) * (1 / n1 + 1 / n0))

        def test(criterion: Criterion) -> np.ndarray:
            return criterion.beyond(z, float(special.ndtri(1 - criterion.level)))

        return Estimates(estimate, se, np.inf, ok, test=test)
