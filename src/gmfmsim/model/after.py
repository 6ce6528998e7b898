"""What the evidence says after one more trial: in closed form, without fitting a model again.

Given the non-linear parameters all is normal, so that a trial's estimate moves weights, means and SDs of the components
of an exact posterior, and nothing else. The posterior is that of a fit to the evidence with the trial beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gmfmsim.compute.algebra import dot
from gmfmsim.compute.arguments import valid, vector
from gmfmsim.dist.mixture import NormalMixture
from gmfmsim.model.after_kernels import after_each, information, read_off
from gmfmsim.model.curves import Curve
from gmfmsim.model.effect import Condition, Mixture, Of, effect, effect_at

OF_ONE_CELL, APART = 0.1, 0.25
"""Components are merged whose SDs, of mean and of a new study, differ by less than this on a logarithmic scale, and
whose means differ by less than so many SDs."""
NARROWEST = 1e-3
"""SDs below this share of that of a new study are of one cell."""
LEAST_WEIGHT = 1e-9
"""A merged component that holds less is left out."""
IN_TABLE = 8
"""Points of a table of posteriors to a standard error of the estimate; as many to a factor e of the error itself."""
FARTHEST_OF_TABLE = 2_000_000
"""Entries beyond which a table is not made, and every trial is followed by itself."""
REACH, RISE = 40.0, 6.0
"""How far a change of the decision is looked for, in SDs of the estimate, on points that lie closer about its mean."""
POINTS = np.sinh(np.linspace(-RISE, RISE, 81)) / math.sinh(RISE) * REACH


class After(NamedTuple):
    """What holds after each of several trials, (R,) each.

    mean, sd: of the mean of studies; above: P(it > margin); between, between_sd: mean and SD of the standard deviation
    between studies; own: P(the trial's own true effect > margin).
    """

    mean: np.ndarray
    sd: np.ndarray
    above: np.ndarray
    between: np.ndarray
    between_sd: np.ndarray
    own: np.ndarray


@dataclass(frozen=True, eq=False)
class Joint:
    """The mean of studies mu and their scatter tau under a condition, together: sum_m weight_m x

        mu | m ~ Normal(mean_m, sd_of_mean_m^2),   tau = sd_between_m,   a new study's effect ~ Normal(mu, tau^2).

    weight, mean, sd_of_mean, sd_between (M,), the weights above 0 with sum 1, in points. tau counts all by which a new
    study differs from the mean, at the dose and month of the condition.
    """

    weight: np.ndarray
    mean: np.ndarray
    sd_of_mean: np.ndarray
    sd_between: np.ndarray

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """weight, mean, sd_of_mean and sd_between (M,) by name."""
        return {
            "weight": self.weight,
            "mean": self.mean,
            "sd_of_mean": self.sd_of_mean,
            "sd_between": self.sd_between,
        }

    def of(self, what: Of) -> NormalMixture:
        """Return the distribution of the mean of studies, or of a new study's effect."""
        spread = self.sd_of_mean if what == "mean" else np.hypot(self.sd_of_mean, self.sd_between)
        return NormalMixture(self.weight, self.mean, spread)

    @property
    def between(self) -> tuple[float, float]:
        """Mean and standard deviation of the standard deviation between studies."""
        mean = float(dot(self.weight, self.sd_between))
        return mean, math.sqrt(float(dot(self.weight, (self.sd_between - mean) ** 2)))

    def estimates(self, se: float) -> NormalMixture:
        """Return the predictive distribution of a trial's estimate with standard error `se`."""
        return self.of("new_study").plus(se)

    def given(self, estimate: float, se: float) -> Joint:
        """Return what holds after a trial whose estimate y ~ Normal(its own effect, se^2), se taken as known.

            weight_m p(y | m),   p(y | m) = Normal(y; mean_m, S_m^2),   S_m^2 = sd_of_mean_m^2 + tau_m^2 + se^2,
            mean_m + k_m (y - mean_m),   sd_of_mean_m sqrt(1 - k_m),   k_m = sd_of_mean_m^2 / S_m^2.

        Raises ValueError unless the estimate is a number and se above 0.
        """
        gain = self.sd_of_mean**2 / (self.sd_of_mean**2 + self.sd_between**2 + se**2)
        return Joint(
            self.own(estimate, se).weight,
            self.mean + gain * (estimate - self.mean),
            self.sd_of_mean * np.sqrt(1 - gain),
            self.sd_between,
        )

    def own(self, estimate: float, se: float) -> NormalMixture:
        """Return the distribution of the trial's own true effect, after its estimate. Raises ValueError as `given`."""
        return self.of("new_study").given(estimate, se)


def joint(mixture: Mixture, curve: Curve, at: Condition) -> Joint:
    """Return what an exact posterior says of mean and scatter of studies under a condition, components as they are.

    The variance between studies is that of a new study less that of the mean, `effect_at` of both.
    """
    of = effect_at(mixture, curve, at, "mean")
    scatter = effect(curve, mixture.labelled, mixture.phi, at).scatter
    return Joint(of.weight, of.means, of.sds, scatter[mixture.node])


def mixed_joint(parts: Sequence[Joint], shares: Sequence[float]) -> Joint:
    """Return the Joint of several models, each with its share, which sum to 1."""
    weight = np.concatenate([share * part.weight for part, share in zip(parts, shares, strict=True)])
    columns = zip(*((part.mean, part.sd_of_mean, part.sd_between) for part in parts), strict=True)
    kept = weight > 0
    return Joint(weight[kept] / weight[kept].sum(), *(np.concatenate(column)[kept] for column in columns))


def merged(of: Joint, cell: float = OF_ONE_CELL, apart: float = APART) -> Joint:
    """Return nearly the same Joint of far fewer components: those of one cell as one, with the moments of all.

    Cells: SD of the mean and of a new study within a factor exp(cell), means within `apart` such SDs. A merged
    component has the weight, the mean and both variances of its parts, their scatter included, so that mean and
    variance of mu and of a new study stay as they are; what it loses is of second order in the size of a cell. By
    default means after a trial err by up to 0.001 points and probabilities by 0.0005, times the density of the
    estimate; what a trial is worth errs by up to 0.0001 points.
    """
    v, new = of.sd_of_mean**2, np.hypot(of.sd_of_mean, of.sd_between)
    least = NARROWEST * of.of("new_study").sd
    if least == 0:
        return Joint(np.ones(1), of.mean[:1], np.zeros(1), np.zeros(1))
    rows, columns = (np.floor(np.log(np.maximum(sd, least)) / cell).astype(np.int64) for sd in (of.sd_of_mean, new))
    along = np.floor(of.mean / (apart * np.exp((rows + 0.5) * cell))).astype(np.int64)
    number = np.zeros(v.size, np.int64)
    for part in (rows, columns, along):
        start = part - part.min()
        number = number * (int(start.max()) + 1) + start
    _, number = np.unique(number, return_inverse=True)
    weight = np.bincount(number, of.weight)

    def averaged(values: np.ndarray) -> np.ndarray:
        return np.bincount(number, of.weight * values) / weight

    mean = averaged(of.mean)
    spread, between = averaged(v + (of.mean - mean[number]) ** 2), averaged(of.sd_between**2)
    kept = weight > LEAST_WEIGHT
    few = Joint(weight[kept] / weight[kept].sum(), mean[kept], np.sqrt(spread[kept]), np.sqrt(between[kept]))
    return few if few.weight.size < of.weight.size else of


def after(of: Joint, estimate: np.ndarray, se: np.ndarray | float, margin: float = 0.0) -> After:
    """Return what holds after each of several trials, of estimates (R,) and their standard errors (R,) or one.

    Each by itself, as `Joint.given` and `Joint.own` have it. Raises ValueError for what is no number, or an se that is
    not above 0.
    """
    estimate, se = _trials(estimate, se)
    return After(*after_each(*of.columns.values(), estimate, se, float(margin)).T)


def after_many(of: Joint, estimate: np.ndarray, se: np.ndarray | float, margin: float = 0.0) -> After:
    """Return `after` of very many trials, read off a table over estimate and standard error.

    By Lagrange's cubics on IN_TABLE points to a standard error, and to a factor e of it: figures are right to 0.001, on
    average over trials to 2e-5. Where a table would be no smaller than the trials each is followed by itself. Raises
    ValueError as `after`.
    """
    estimate, se = _trials(estimate, se)
    if not estimate.size:
        return after(of, estimate, se, margin)
    log_se = np.log(se)
    first, last = float(log_se.min()), float(log_se.max())
    rows = 1 if last - first < 1e-12 else math.ceil((last - first) * IN_TABLE) + 4
    step = math.exp(first) / IN_TABLE
    low = float(estimate.min()) - 2 * step
    columns = (float(estimate.max()) - low) / step + 4
    if rows * columns > min(estimate.size, FARTHEST_OF_TABLE):
        return after(of, estimate, se, margin)
    columns = math.ceil(columns)
    of_row = np.exp(first + (np.arange(rows) - 1) / IN_TABLE) if rows > 1 else np.exp([first])
    at = low + step * np.arange(columns)
    entries = after_each(*of.columns.values(), np.tile(at, rows), np.repeat(of_row, columns), float(margin))
    table = entries.reshape(rows, columns, -1)
    return After(*read_off(table, (estimate - low) / step, (log_se - first) * IN_TABLE + 1).T)


def sample_information(of: Joint, se: np.ndarray, border: float) -> np.ndarray:
    """Return what a trial's estimate is worth before it is known, in points, for standard errors (J,):

        E_y[max(0, E[mu | y] - border)] - max(0, E[mu] - border).

    Treatment is taken where the mean of studies is expected to lie above the border (the gain that pays for it), and a
    trial is worth what it gains by changing that. The estimates that change it are found, and what they gain is an
    integral of normal densities in closed form: with one component, s (density(u) - u P(Z > u)) at
    u = |mean - border| / s, s the SD of E[mu | y] (Raiffa & Schlaifer 1961, chapter 5). An se of 0 is that of a study
    of which the own effect is known. Raises ValueError for an se below 0.
    """
    se = vector("se", np.atleast_1d(np.asarray(se, float)), least=0)
    return information(*of.columns.values(), se, float(border), POINTS)


def perfect_information(of: Joint, border: float) -> float:
    """Return what it would be worth to know the mean of studies, in points: E[max(0, mu - border)] less the same of
    E[mu]."""
    sure = Joint(of.weight, of.mean, of.sd_of_mean, np.zeros(of.weight.size))
    return float(information(*sure.columns.values(), np.zeros(1), float(border), POINTS, True)[0])


def _trials(estimate: np.ndarray, se: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Return estimates and standard errors, (R,) both. Raises ValueError for what is no number, or se not above 0."""
    estimate = vector("estimate", np.atleast_1d(np.asarray(estimate, float)))
    se = np.broadcast_to(valid("se", np.asarray(se, float), above=0), estimate.shape)
    return np.ascontiguousarray(estimate), np.ascontiguousarray(se)
