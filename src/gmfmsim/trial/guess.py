"""A guess of success over n, by the law of a normal estimate: where a search on drawn children starts."""

from __future__ import annotations

import numpy as np
from scipy import special

from gmfmsim.compute.labels import xr
from gmfmsim.progress import Steps
from gmfmsim.trial.decide import claim
from gmfmsim.trial.design import Design
from gmfmsim.trial.operate import centre, every, fewer, operate

FEW, FEW_UNITS, TIMES = 30, 8, 4
"""Children an arm of the trials that show the standard error, units at least, and how many times as many then."""

TRIALS = 500
"""Trials at each: the standard error is then known to about one per cent."""

HELD = 2000
"""Trials that the guess is held to where it has the level."""

EXCESS = 0.1
"""Share of its square above which a standard error is taken not to vanish with many children."""


class Guess:
    """Success of the primary analysis over n, in one scenario of truths, if its estimate were Normal(theta, se^2).

    theta: what the estimate tends to at each truth; se^2 = rest + rate / n by a few simulated trials at two n, rest 0
    unless it is a part that counts (historical children); success = mean over the truths of
    sum over criteria of Phi((theta - threshold) / se - z) - (criteria - 1), not below 0. `held(n, success)` then counts
    children anew, so that success seen at n is met: what the level of several tests, or another loss, takes away.
    """

    def __init__(self, truths: xr.Dataset, design: Design, seed: int, advance: Steps):
        self.truths, self.design, self.seed, self.advance = truths, design, seed, advance
        effect = truths["effect"].isel(scenario=0).transpose("arm", "draw").values
        theta = centre(design, effect, seed)[0]
        self.apart = [theta - c.threshold if c.direction == "above" else c.threshold - theta for c in claim(design)]
        self.z, self.worth, self.draws = special.ndtri(1 - design.alpha / 2), 1.0, theta.size
        n = [times * design.at_least(max(FEW, FEW_UNITS * design.step)) for times in (1, TIMES)]
        seen = operate(fewer(truths, TRIALS), design, n=n, seed=seed, advance=advance)
        found = seen["model_se"].isel(scenario=0, analysis=0)
        self.known = design.analyses[0].scale == "points" and bool(np.isfinite(found).all())
        few, more = found.values.tolist()
        rest = (n[1] * more**2 - n[0] * few**2) / (n[1] - n[0])
        self.rest = rest if rest > EXCESS * more**2 else 0.0
        self.rate = (more**2 - self.rest) * n[1]

    def __call__(self, n: float, of: slice = slice(None)) -> float:
        """Return success at n, over all truths or some of them."""
        se = np.sqrt(self.rest + self.rate / (self.worth * n))
        holds = sum(special.ndtr(apart[of] / se - self.z) for apart in self.apart) - (len(self.apart) - 1)
        return float(np.maximum(holds, 0).mean())

    def mcse(self, success: float) -> float:
        """Return the Monte Carlo error of a simulated share."""
        return float(np.sqrt(success * (1 - success) / self.draws))

    def hold(self, n: int) -> None:
        """Hold the guess at n to a few simulated trials, at their truths."""
        found = operate(fewer(self.truths, HELD), self.design, n=[n], seed=self.seed, advance=self.advance)
        self.held(n, found["success"].isel(scenario=0, n=0, analysis=0).item(), every(self.truths, HELD))

    def held(self, n: int, success: float, of: slice = slice(None)) -> None:
        """Count children so that the guess at n is `success`, between a twentieth and twenty times as many."""
        self.worth = 1.0
        self.worth = self.reaches(success, n / 20, 20 * n, of) / n

    def reaches(self, level: float, low: float, high: float, of: slice = slice(None)) -> float:
        """Return the n between low and high at which success is `level`, by bisection; an end where none is."""
        for _ in range(40):
            middle = float(np.sqrt(low * high))
            low, high = (low, middle) if self(middle, of) >= level else (middle, high)
        return high
