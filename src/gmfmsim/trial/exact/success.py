"""Probability of success without random numbers: over truths, SDs of change and completers; its plateau."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import product

import numpy as np
from scipy import special

from gmfmsim.compute.algebra import dot
from gmfmsim.compute.arguments import valid, vector
from gmfmsim.compute.labels import xr
from gmfmsim.dist.distributions import Fixed
from gmfmsim.dist.mixture import NormalMixture, on_grids
from gmfmsim.dist.pooled_sd import pooled_sd
from gmfmsim.model.truths import Belief
from gmfmsim.trial.decide import Claim, claim
from gmfmsim.trial.design import Design
from gmfmsim.trial.exact.doses import Curve, one_criterion, plateau_along, sided, success_of_contrast
from gmfmsim.trial.exact.largest import Largest
from gmfmsim.trial.exact.looks import in_sds, outcome_of, stopping
from gmfmsim.trial.exact.rules import gauss
from gmfmsim.trial.exact.statistic import Completed, Statistic, completed, standard_error, statistic
from gmfmsim.trial.exact.table import WIDTH, Table
from gmfmsim.trial.exact.tails import Truth, chances
from gmfmsim.trial.exact.under_prior import chances_under
from gmfmsim.trial.exact.unequal import chances_unequal
from gmfmsim.trial.exact.unit_sds import by_correlation, unit_sd, unit_sds
from gmfmsim.trial.looks.bounds import rates_without_effect

MIXING, FEW_DF = 24, 4
"""Normal components that stand for one Student-t one, from these degrees of freedom on; below, eight times more."""


NOTHING = 1e-12
"""A point of completers and SDs that holds less is left out."""


class Assurance:
    """Success of one analysis of a design under a belief, at any n: what all n share is computed once.

    claimed: criteria that must all hold, by default those of the objective of the design.

    Raises ValueError, with the reason, for an analysis whose law is not known exactly; see `qualifies`.
    """

    def __init__(self, design: Design, analysis, belief: Belief, claimed: Claim | None = None):
        self.design, self.claimed = design, claimed or claim(design)
        self.test = statistic(design, analysis)
        self.curves = _curves(belief, self.test, design) if self.test.doses else []
        self.belief = _estimated(belief, self.test)
        self.mixture = normals(*self.belief)
        self.smeared: dict[int, tuple[Truth, np.ndarray]] = {}
        self.analysis = analysis
        self.sigma, self.share = unit_sds(design, analysis, design.sd_change)
        self.table = Table(self._given) if len(self.claimed) == 1 else None
        self.largest = (
            self._of_largest(self.sigma, self.share) if self.test.doses and self.test.doses.critical else None
        )
        self.outcome = outcome_of(design, self.claimed) if design.looks else None
        self.in_sds = in_sds(self.mixture, self.sigma, self.share) if design.looks else None

    def _of_largest(self, sigma: np.ndarray, share: np.ndarray) -> Largest:
        """Return success of the largest difference from control over SDs of a unit (J,) with these shares."""
        criterion = one_criterion(self.claimed)
        return Largest(self.test, sided(self.curves, criterion), criterion.level, (sigma, share))

    def _given(self, se: np.ndarray, df: float) -> np.ndarray:
        """Return success (M,) at standard errors se (M,) and degrees of freedom."""
        truth, weight = self._smeared(float(se.min()))
        return dot(met(self.test, truth, self.claimed, se, df), weight)

    def _smeared(self, se: float) -> tuple[Truth, np.ndarray]:
        """Return components of the truth for standard errors from `se` on, and their weights.

        A part of the error, that of the next smaller se of a coarse ladder, is in them: the wider a component, the
        fewer stand for the whole. The error of a standard error is independent of that part, as it is of the truth.
        """
        rung = math.floor(math.log(se) / WIDTH)
        if rung not in self.smeared:
            part, of = math.exp(2 * WIDTH * rung), self.mixture
            few = on_grids(NormalMixture(of.weight, of.means, np.sqrt(of.sds**2 + part)))
            self.smeared[rung] = Truth(few.means, few.sds**2 - part), few.weight
        return self.smeared[rung]

    def at(self, n: int) -> float:
        """Return the probability of success at n. Raises ValueError for an n that the design cannot have."""
        if self.outcome is not None:
            return _share(float(self.stopping(n)[self.outcome].sum()))
        return _share(self.largest.at(n)) if self.largest else self._over(n, self.sigma, self.share)

    def stopping(self, n: int) -> np.ndarray:
        """Return P(OUTCOMES at each look), (3, K), of a design with looks at n; see `trial.exact.looks`."""
        return stopping(self.design, self.test, self.in_sds, n)

    def at_sd(self, n: int, sd: float) -> float:
        """Return success at n where the SD of change is known. Raises ValueError as `at`, and for an SD not above 0."""
        sigma, share = unit_sds(self.design, self.analysis, Fixed(dist="fixed", value=sd))
        if self.outcome is not None:
            stops = stopping(self.design, self.test, in_sds(self.mixture, sigma, share), n)
            return _share(float(stops[self.outcome].sum()))
        return _share(self._of_largest(sigma, share).at(n)) if self.largest else self._over(n, sigma, share)

    def _over(self, n: int, sigma: np.ndarray, share: np.ndarray) -> float:
        """Return success at n over SDs of a unit (J,) with these shares."""
        left = completed(self.test, n)
        if not left.weight.size:
            return 0.0
        if self.test.doses:
            return self._of_contrast(left, sigma, share)
        if self.test.unequal:
            return _share(self._over_unequal(left, sigma, share))
        se = np.sqrt(left.scale)[:, None] * sigma
        if self.table is None:
            found = [dot(self._given(row, float(df)), share) for row, df in zip(se, left.df, strict=True)]
            return _share(float(dot(np.array(found), left.weight)))
        weight = left.weight[:, None] * share
        df = np.broadcast_to(left.df[:, None], se.shape)
        return _share(self.table.mean(se.ravel(), df.ravel(), weight.ravel()))

    def _of_contrast(self, left: Completed, sigma: np.ndarray, share: np.ndarray) -> float:
        """Return success of one contrast along doses over completers and SDs of a unit."""
        criterion = one_criterion(self.claimed)
        above = criterion._replace(direction="above")
        return _share(success_of_contrast(self.test, sided(self.curves, criterion), above, left, (sigma, share)))

    def _over_unequal(self, left: Completed, sigma: np.ndarray, share: np.ndarray) -> float:
        """Return success over completers and SDs of a unit, where its variances are unequal."""
        total, sds = 0.0, list(zip(sigma.tolist(), share.tolist(), strict=True))
        for (units, chance), (sd, part) in product(zip(left.units.T, left.weight.tolist(), strict=True), sds):
            if chance * part > NOTHING:
                truth, weight = self._smeared(float(standard_error(self.test, units, sd)))
                found = chances_unequal(truth, self.claimed, self.test, units, sd)
                total += chance * part * float(dot(found, weight))
        return total

    def rough(self, n: int) -> float:
        """Return success at n of the test with known SD and no imbalance, as many children lost as expected: a guess.

        It takes no time, and has hardly more power than the test itself where there are children enough.
        """
        units = np.array([size * self.test.kept for size in self.test.sizes(n)])
        if self.largest:
            return _share(self.largest.rough(units))
        if self.test.doses:
            one = Completed(units[:, None], np.zeros(1), np.full(1, np.inf), np.ones(1))
            return self._of_contrast(one, self.sigma, self.share)
        se = standard_error(self.test, units, self.sigma)
        truth, share = self._smeared(float(se.min()))
        found = dot(met(self.test._replace(adjusted=False), truth, self.claimed, se, math.inf), share)
        return _share(float(dot(found, self.share)))

    def plateau(self) -> float:
        """Return the limit of success as n grows: P(the estimand meets the claim), the level of a test on its border.

        sum_m weight_m P(mean_m + sd_m T beyond the threshold), T Student-t with df_m.
        """
        if self.test.doses:
            return _share(plateau_along(self.test, self.curves, one_criterion(self.claimed)))
        weight, mean, sd, df = self.belief
        low = max((c.threshold for c in self.claimed if c.direction == "above"), default=-math.inf)
        high = min((c.threshold for c in self.claimed if c.direction == "below"), default=math.inf)
        if low >= high:
            return 0.0
        fixed = sd == 0
        over, under = np.round(mean - low, 9), np.round(high - mean, 9)
        levels = [min((c.level for c in self.claimed if c.threshold == end), default=0.0) for end in (low, high)]
        if self.outcome is not None:
            success, harm = rates_without_effect(self.design.looks, self.design.alpha / 2)
            levels = [success if self.outcome == 0 else harm] * 2
        on_border = np.where(over == 0, levels[0], 0) + np.where(under == 0, levels[1], 0)
        at_once = np.where((over > 0) & (under > 0), 1.0, on_border)
        inside = _below((mean - low) / np.where(fixed, 1, sd), df) - _below((mean - high) / np.where(fixed, 1, sd), df)
        return _share(float(dot(weight, np.where(fixed, at_once, inside))))


def success(
    design: Design, analysis, belief: Belief, *, n: Iterable[int], claimed: Claim | None = None
) -> xr.DataArray:
    """Return the probability of success (n) of an analysis under a belief in the effect of the active arm.

    E[P(claim | effect, SD, completers)] over belief, design.sd_change, the correlation within units where it is not
    known, and the binomial numbers of completers: the
    normal components of the belief fold into the estimate, the rest is quadrature with an error below 1e-6. An arm left
    with fewer than two children shows nothing. Every other arm with cells has no part in the contrast, or the same
    effect; tests along doses take the effects of all arms from the belief (`along_doses`). Source: O'Hagan, Stevens &
    Campbell 2005; Julious 2010.

    Raises ValueError for an analysis that does not qualify, or an n that the design cannot have.
    """
    exact = Assurance(design, analysis, belief, claimed)
    n = [int(k) for k in n]
    return xr.DataArray(np.array([exact.at(k) for k in n]), {"n": n}, ("n",), name="success")


def surface(
    design: Design,
    *,
    n: Iterable[int],
    sd: Iterable[float],
    effect: Iterable[float],
    analysis=None,
    claimed: Claim | None = None,
) -> xr.DataArray:
    """Return power (n, sd, effect) at fixed truths: SDs of change as design.sd_change gives them, effects in points.

    analysis: by default the primary one. Raises ValueError as `success`, and for what is no number.
    """
    n = [int(k) for k in n]
    sd, effect = vector("sd", np.array(list(sd)), above=0), vector("effect", np.array(list(effect)))
    analysis, criteria = analysis or design.analyses[0], claimed or claim(design)
    if statistic(design, analysis).doses:
        raise ValueError("analysis: must not be one along doses, for which one effect is not the truth; see success")
    if design.looks:
        raise ValueError("design: must have no looks; see success")
    values = np.zeros((len(n), sd.size, effect.size))
    for test, share in by_correlation(design, analysis):
        values += share * _power(test, (n, sd, effect), criteria)
    coords = {"n": n, "sd": sd, "effect": effect}
    return xr.DataArray(np.clip(valid("success", values), 0, 1), coords, ("n", "sd", "effect"), name="success")


def _power(test: Statistic, at: tuple[list[int], np.ndarray, np.ndarray], criteria: Claim) -> np.ndarray:
    """Return power (n, sd, effect) at n, SDs of change and effects."""
    n, sd, effect = at
    truth = Truth(test.intercept + test.slope * effect, np.zeros(effect.size))
    sigma, values = unit_sd(test, sd), np.zeros((len(n), sd.size, effect.size))
    for i, k in enumerate(n):
        left: Completed = completed(test, k)
        for units, scale, df, weight in zip(left.units.T, *left[1:], strict=True):
            if test.unequal:
                found = np.array([chances_unequal(truth, criteria, test, units, s) for s in sigma.tolist()])
            else:
                found = met(test, truth, criteria, math.sqrt(scale) * sigma, float(df))
            values[i] += weight * found
    return values


def met(test: Statistic, truth: Truth, claimed: Claim, se: np.ndarray, df: float) -> np.ndarray:
    """Return P(the claim is made) (M, K) at standard errors se (M,), of an interval or of a posterior."""
    if test.prior is None:
        return chances(truth, claimed, se, df, test.adjusted)
    (only,) = claimed
    return chances_under(truth, only, se, df, test.adjusted, test.prior)


def _curves(belief: Belief, test: Statistic, design: Design) -> list[Curve]:
    """Return the truths of all arms, one curve for each of its loadings. Raises ValueError for those of one dose alone,
    or of other arms."""
    arms = [arm.name for arm in design.arms]
    if belief.loading is None or list(belief.arms) != arms:
        raise ValueError(f"belief: must say the effects of all arms, {', '.join(arms)}; see along_doses")
    parts, (weight, *rest) = [], _estimated(belief, test)
    loading, of_loading = np.unique(belief.loading, axis=0, return_inverse=True)
    for number, row in enumerate(valid("loading", loading)):
        mine = of_loading.ravel() == number
        parts.append(Curve(float(weight[mine].sum()), row, normals(weight[mine], *(x[mine] for x in rest))))
    return parts


def _estimated(belief: Belief, test: Statistic) -> tuple[np.ndarray, ...]:
    """Return weight, mean, sd and df (M,) of what the estimate is centred on."""
    weight = valid("weight", belief.weight, above=0)
    mean = valid("mean", test.intercept + test.slope * belief.mean)
    if not (belief.df > 0).all():
        raise ValueError("df of a belief: must be above 0, or inf")
    return weight, mean, abs(test.slope) * valid("sd", belief.sd, least=0), belief.df


def normals(weight: np.ndarray, mean: np.ndarray, sd: np.ndarray, df: np.ndarray) -> NormalMixture:
    """Return normal components, as few as do.

    A Student-t one is Normal(mean, sd^2 / S^2), S^2 ~ chi^2(df) / df.
    """
    parts = [[], [], []]
    for own in np.unique(df):
        mine = df == own
        s, share = np.ones(1), np.ones(1)
        if np.isfinite(own):
            nodes, density = pooled_sd(own)
            there = density > 0
            most = MIXING if own >= FEW_DF else nodes.size
            log_s, share = gauss(np.log(nodes[there]), density[there], most)
            s = np.exp(log_s)
        parts[0].append(np.outer(1 / s, sd[mine]).ravel())
        parts[1].append(np.tile(mean[mine], s.size))
        parts[2].append(np.outer(share, weight[mine]).ravel())
    scale, centre, shares = (np.concatenate(part) for part in parts)
    return on_grids(NormalMixture(shares, centre, scale))


def _below(x: np.ndarray, df: np.ndarray) -> np.ndarray:
    """Return P(T < x) of Student's t, normal at df = inf."""
    finite = np.isfinite(df)
    return np.where(finite, special.stdtr(np.where(finite, df, 1), x), special.ndtr(x))


def _share(value: float) -> float:
    """Return a probability, rounding errors beyond 0 and 1 cut off. Raises ValueError for what is no number."""
    if not math.isfinite(value):
        raise ValueError("success is not a number")
    return min(max(float(value), 0.0), 1.0)
