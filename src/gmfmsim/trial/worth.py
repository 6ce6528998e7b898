"""What a trial of n children is worth before it is run, less what it costs; the n that gains most, which may be none.

Expected value of sample information (Raiffa & Schlaifer 1961; Claxton 1999), by quadrature: nothing is simulated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special

from gmfmsim.compute.algebra import dot
from gmfmsim.model.after import POINTS, After, Joint, after, perfect_information, sample_information
from gmfmsim.trial.cost import Amount, Cost, bill, total
from gmfmsim.trial.design import Design
from gmfmsim.trial.exact.rules import gauss
from gmfmsim.trial.exact.statistic import standard_error, statistic
from gmfmsim.trial.exact.unit_sds import unit_sds
from gmfmsim.trial.recruitment import Recruitment, duration, follow_up
from gmfmsim.trial.value import Value, reached

SDS, RARE = 9, 1e-5
"""Nodes that stand for the SD of change, and the weight below which one of its law is left out: what a trial is worth
changes by less than 2e-4 of itself with all of them, under a law with heavy tails too."""
COARSE, FINE = 25, 7
"""Numbers of children that a search looks at first, from the fewest to the most, and in each narrower stretch."""
ESTIMATES = np.sinh(np.linspace(-6, 6, 241)) / math.sinh(6) * POINTS[-1]
"""Where estimates stand over which what holds after a trial is averaged, in SDs of it from its mean."""
SURE, DOUBTFUL = 0.975, 0.5
"""Probabilities of a worthwhile gain above and below which a trial may leave one."""
PROBABILITIES = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Where quantiles of that probability are given."""


@dataclass(frozen=True)
class Largest:
    """The n with the largest net gain, 0 where no trial has one above 0; and the n up to which one more child is worth
    more than it costs, 0 where none is, None where that is so up to the most that is looked at."""

    n: int
    net: float
    worthwhile: int | None


@dataclass(frozen=True)
class Worth:
    """What trials of one design are worth, whatever their n: what the evidence says of mean and scatter of studies,
    what a gain is worth (a Value written out), what trials cost and how long they take where that is declared.

    Cost counts by the high ends of amounts, and is not discounted. Children lost are those expected; the SD of change
    is integrated over its law, and known once the trial has been read out; that baselines differ by chance is left out.
    """

    design: Design
    joint: Joint
    value: Value
    cost: Cost | None = None
    recruitment: Recruitment | None = None

    @cached_property
    def _sds(self) -> tuple[np.ndarray, np.ndarray]:
        """The SD of a unit, a few nodes and their weights."""
        sigma, share = unit_sds(self.design, self.design.analyses[0], self.design.sd_change)
        kept = np.argsort(sigma)
        kept = kept[share[kept] > RARE]
        log_sd, share = gauss(np.log(sigma[kept]), share[kept], SDS)
        return np.exp(log_sd), share / share.sum()

    @cached_property
    def _informed(self) -> dict[int, float]:
        return {}

    def se(self, n: int) -> np.ndarray:
        """Return the standard error of the estimate at the nodes of the SD, (J,), in points of the effect."""
        test = statistic(self.design, self.design.analyses[0])
        units = np.array([size * test.kept for size in test.sizes(n)])
        return standard_error(test, units, self._sds[0]) / abs(test.slope)

    def months(self, n: int) -> float:
        """Return the months until the trial is read out: their median with [recruitment], else those of one child."""
        return duration(self.design, n, self.recruitment).median if self.recruitment else follow_up(self.design)

    def children(self, n: int) -> float:
        """Return how many children the decision after a trial of n reaches, later ones discounted."""
        return reached(self.value, self.months(n))

    def informed(self, n: int) -> float:
        """Return what a trial of n adds to the decision for one child, in points."""
        if n not in self._informed:
            self._informed[n] = float(dot(self._sds[1], sample_information(self.joint, self.se(n), self.value.border)))
        return self._informed[n]

    def sample(self, n: int) -> float:
        """Return the expected value of a trial of n: benefit x what it adds x the children reached after it."""
        return self.value.benefit * self.informed(n) * self.children(n)

    def perfect(self) -> tuple[float, float]:
        """Return the expected value of knowing the mean of studies, and the own effect of one new study, as soon as the
        first child of a trial has its last visit: no trial is worth more than the latter."""
        own = float(sample_information(self.joint, np.zeros(1), self.value.border)[0])
        each = self.value.benefit * reached(self.value, follow_up(self.design))
        return each * perfect_information(self.joint, self.value.border), each * own

    def price(self, n: int) -> Amount | None:
        """Return what a trial of n costs; None where no cost is declared."""
        return total(bill(self.design, n, self.cost, self.recruitment)) if self.cost else None

    def net(self, n: int) -> float:
        """Return the expected net gain of a trial of n: its cost at the high ends, nothing where none is declared."""
        return self.sample(n) - (self.price(n).high if self.cost else 0.0)

    def largest(self, most: int) -> Largest:
        """Return the n up to `most` with the largest net gain, and that up to which one more child is worth its cost.

        The net gain is looked at on a grid, and about its last and its highest peak ever closer: exact to the steps in
        which costs rise, as long as no narrower peak lies between two points of the grid.
        """
        step, fewest = self.design.step, self.design.fewest
        ends = fewest // step, max(self.design.at_most(most) // step, fewest // step)
        grid = np.unique(np.round(np.geomspace(*ends, COARSE)).astype(int))
        net = [self.net(int(k) * step) for k in grid]
        rising = [i for i in range(1, grid.size) if net[i] > net[i - 1]]
        highest = int(np.argmax(net))
        peak = {i: self._peak(grid, i) for i in {highest, *rising[-1:]}}
        best = max(peak.values(), key=lambda k: self.net(k * step))
        gain = self.net(best * step)
        last = 0 if not rising else peak[rising[-1]] * step
        worthwhile = None if rising and peak[rising[-1]] == grid[-1] else last
        return Largest(best * step if gain > 0 else 0, max(gain, 0.0), worthwhile)

    def _peak(self, grid: np.ndarray, at: int) -> int:
        """Return the units with the largest net gain about a point of a grid of them."""
        while True:
            low, high = int(grid[max(at - 1, 0)]), int(grid[min(at + 1, grid.size - 1)])
            near = np.unique(np.round(np.linspace(low, high, FINE)).astype(int))
            at = int(np.argmax([self.net(int(k) * self.design.step) for k in near]))
            if near.size == high - low + 1:
                return int(near[at])
            grid = near

    def after(self, n: int) -> dict[str, object]:
        """Return what is expected to be known after a trial of n.

        sd, between_sd: of the mean of studies and of the SD between studies, on average; sure, doubtful: how probably
        P(mean of studies > margin) is above SURE, below DOUBTFUL then; quantiles of that probability. Averaged over
        estimates on a grid, and over the SD of change.
        """
        ses, shares = self.se(n), self._sds[1]
        rows = [self._over_estimates(float(se)) for se in ses]
        share = np.concatenate([part * weight for part, (weight, _) in zip(shares, rows, strict=True)])
        share = share / share.sum()
        found = After(*(np.concatenate(column) for column in zip(*(of for _, of in rows), strict=True)))
        order = np.argsort(found.above, kind="stable")
        rank = np.cumsum(share[order]) - share[order] / 2
        beyond = [
            float(dot(shares, [_beyond(weight, of.above, level) for weight, of in rows])) for level in (SURE, DOUBTFUL)
        ]
        quantile = np.interp(PROBABILITIES, rank, found.above[order])
        return {
            "sd": float(dot(share, found.sd)),
            "between_sd": float(dot(share, found.between_sd)),
            "sure": beyond[0],
            "doubtful": 1 - beyond[1],
            "quantiles": dict(zip((f"{p:g}" for p in PROBABILITIES), quantile.tolist(), strict=True)),
        }

    def _over_estimates(self, se: float) -> tuple[np.ndarray, After]:
        """Return the probability of each estimate of a grid, and what holds after it."""
        law = self.joint.estimates(se)
        at = law.mean + law.sd * ESTIMATES
        middle = np.concatenate([[-np.inf], (at[1:] + at[:-1]) / 2, [np.inf]])
        below = np.array([law.cdf(end) for end in middle])
        return np.diff(below), after(self.joint, at, se, self.value.margin)


def _beyond(weight: np.ndarray, above: np.ndarray, level: float) -> float:
    """Return how probably a probability (E,), which estimates of a grid have with these weights, is above a level.

    Between two estimates its normal quantile is taken as a line.
    """
    z, goal = special.ndtri(np.clip(above, 1e-300, 1 - 1e-16)), special.ndtri(level)
    middle = (z[1:] + z[:-1]) / 2
    low, high = np.concatenate([z[:1], middle]), np.concatenate([middle, z[-1:]])
    width = high - low
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(
            width == 0, (z > goal).astype(float), np.where(width > 0, (high - goal) / width, (low - goal) / -width)
        )
    return float(dot(weight, np.clip(share, 0, 1)))
