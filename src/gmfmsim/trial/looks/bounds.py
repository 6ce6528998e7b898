"""The bounds of a trial with looks, by the boundaries and spending functions that its protocol names."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import special

from gmfmsim.compute.algebra import dot, gauss_hermite
from gmfmsim.compute.arguments import scalar
from gmfmsim.compute.roots import root
from gmfmsim.dist.mixture import NormalMixture, on_grids
from gmfmsim.trial.looks.crossing import crossing, stops
from gmfmsim.trial.looks.declare import FORMED, Futility, Looks

FARTHEST = 38.0
"""A bound that is never met: 1 - Phi there is no number above 0."""

WITHIN = 1e-11
Z, Z_WEIGHTS = gauss_hermite(32)


class Bounds(NamedTuple):
    """Statistics Z (K,) beyond which a trial stops: upper for success, lower for futility; infinite: never."""

    upper: np.ndarray
    lower: np.ndarray


def spent(which: str, shape: float | None, total: float, share: float) -> float:
    """Return how much of an error `total` is spent at a share of the information, all of it from 1 on.

    Of type O'Brien and Fleming: 2 - 2 Phi(z(1 - total / 2) / sqrt(share)); of type Pocock: total log(1 + (e - 1)
    share) (Lan & DeMets 1983); total (1 - exp(-gamma share)) / (1 - exp(-gamma)) (Hwang, Shih & DeCani 1990); total
    share^rho (Kim & DeMets 1987).
    """
    share = min(share, 1.0)
    if which == "lan_demets_obrien_fleming":
        return 2 * float(special.ndtr(special.ndtri(total / 2) / math.sqrt(share)))
    if which == "lan_demets_pocock":
        return total * math.log1p(math.expm1(1.0) * share)
    if which == "kim_demets":
        return total * share**shape
    return total * (share if abs(shape) < 1e-9 else math.expm1(-shape * share) / math.expm1(-shape))


@lru_cache(maxsize=256)
def bounds(looks: Looks, level: float) -> Bounds:
    """Return the bounds of looks at a one-sided level, which all of them together keep where there is no effect.

    They take the information of the shares that are declared. Of given futility bounds the last is the bound of
    success; those that spend a type II error spend it at the drift at which the trial has its power (see `drift`).
    Raises ValueError for a level that is not between 0 and a half, or where bounds of futility would cross those of
    success.
    """
    placed = _found(looks, scalar("level", level, above=0, below=0.5))
    found = Bounds(*(np.where(abs(z) < FARTHEST - 1, z, np.copysign(np.inf, z)) for z in placed))
    for bound in found:
        bound.setflags(write=False)  # remembered, and shared by all who ask
    return found


def critical(bound: np.ndarray, df: np.ndarray) -> np.ndarray:
    """Return the critical values (...) of t tests with df (...) and the one-sided levels of bounds (...).

    Infinite bounds stay as they are, and all of them at infinite df.
    """
    finite = np.isfinite(bound) & np.isfinite(df)
    t = -special.stdtrit(np.where(finite, df, 1), special.ndtr(-np.where(finite, bound, 0)))
    return np.where(finite, t, bound)


def _found(looks: Looks, level: float) -> Bounds:
    """Return `bounds`."""
    shares, futility = np.array(looks.shares), looks.futility
    if futility is None:
        never = np.full(shares.size, -np.inf)
        upper = _upper(looks, level, shares, never)
        return Bounds(upper, np.append(never[:-1], upper[-1]))
    if futility.z is not None:
        lower = np.array([*futility.z, -np.inf])
        upper = _upper(looks, level, shares, lower if futility.binding else np.full(lower.size, -np.inf))
        if (lower >= upper).any():
            raise ValueError("futility.z lies at or above a bound of success")
        return Bounds(upper, np.append(lower[:-1], upper[-1]))
    return _spending_both(looks, futility, level, shares)


def _upper(looks: Looks, level: float, shares: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Return the bounds of success (K,) above bounds of futility (K,) that hold where there is no effect."""
    if looks.bounds in FORMED:
        delta = {"obrien_fleming": 0.0, "pocock": 0.5}.get(looks.bounds, looks.shape)
        form = shares ** (delta - 0.5)

        def too_many(height: float) -> float:
            return float(crossing(shares, height * form, lower, np.zeros(1))[0].sum()) - level

        return root(too_many, 0.0, FARTHEST / form.max(), within=WITHIN) * form
    upper = np.full(shares.size, FARTHEST)
    for k in range(shares.size):
        upper[k] = _next(looks, level, shares[: k + 1], upper[:k], lower[:k])
    return upper


def _next(looks: Looks, level: float, shares: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> float:
    """Return the bound of success at the last of some looks, given those before."""
    last = shares[-1] == 1
    if looks.bounds == "none":
        if not last:
            return FARTHEST
        wanted = level
    else:
        earlier = 0.0 if shares.size == 1 else spent(looks.bounds, looks.shape, level, shares[-2])
        wanted = (level if last else spent(looks.bounds, looks.shape, level, shares[-1])) - earlier
    return _placed(shares, upper, lower, 0.0, wanted, above=True)


def _placed(
    shares: np.ndarray, upper: np.ndarray, lower: np.ndarray, drift: float, wanted: float, *, above: bool
) -> float:
    """Return the bound at the last look beyond which trials with a drift stop there with probability `wanted`."""
    at = np.array([drift])

    def too_many(bound: float) -> float:
        highs, lows = np.append(upper, bound), np.append(lower, bound)
        return float(crossing(shares, highs, lows, at)[0 if above else 1, 0, -1]) - wanted

    strict, loose = (FARTHEST, -FARTHEST) if above else (-FARTHEST, FARTHEST)
    if too_many(strict) >= 0:
        return strict
    return root(too_many, -FARTHEST, FARTHEST, within=WITHIN) if too_many(loose) > 0 else loose


def _spending_both(looks: Looks, futility: Futility, level: float, shares: np.ndarray) -> Bounds:
    """Return bounds of which those of futility spend a type II error, at the drift at which both meet at the end."""
    beta = 1 - futility.power
    free = None if futility.binding else _upper(looks, level, shares, np.full(shares.size, -np.inf))

    def at(drift: float) -> Bounds:
        upper, lower = np.full(shares.size, FARTHEST), np.full(shares.size, -np.inf)
        for k in range(shares.size):
            here = shares[: k + 1]
            upper[k] = _next(looks, level, here, upper[:k], lower[:k]) if free is None else free[k]
            if k < shares.size - 1:
                before = spent(futility.spending, futility.shape, beta, shares[k - 1]) if k else 0.0
                more = spent(futility.spending, futility.shape, beta, shares[k]) - before
                lower[k] = min(_placed(here, upper[:k], lower[:k], drift, more, above=False), upper[k])
        return Bounds(upper, np.append(lower[:-1], upper[-1]))

    def missing(drift: float) -> float:
        return futility.power - float(crossing(shares, *at(drift), np.array([drift]))[0].sum())

    least = float(special.ndtri(1 - level) + special.ndtri(futility.power))
    return at(root(missing, 0.5 * least, 2.5 * least, within=1e-10))


def rates_without_effect(looks: Looks, level: float) -> tuple[float, float]:
    """Return the probabilities of success and of a stop for harm where there is no effect, as n grows without bound.

    Bounds of futility are kept, binding or not, and those of success on the other side.
    """
    upper, lower = bounds(looks, level)
    success, _, harm = stops(np.array(looks.shares), upper, lower, -upper, np.zeros(1)).sum(axis=(1, 2))
    return float(success), float(harm)


def drift(looks: Looks, level: float, power: float) -> float:
    """Return the drift at which a trial stops for success with a probability: the mean of Z at the end.

    Its square over that of a trial without looks, (z(1 - level) + z(power))^2, is the inflation of the largest number
    of children. Raises ValueError as `bounds`, and for a power that is not above the level and below 1.
    """
    power = scalar("power", power, above=level, below=1)
    found, shares = bounds(looks, level), np.array(looks.shares)

    def missing(value: float) -> float:
        return power - float(crossing(shares, *found, np.array([value]))[0].sum())

    return root(missing, 0.0, FARTHEST, within=1e-11)


def inflation(looks: Looks, level: float, power: float) -> float:
    """Return by what the largest information of a trial with looks exceeds that of one without, at the same power."""
    return (drift(looks, level, power) / float(special.ndtri(1 - level) + special.ndtri(power))) ** 2


def conditional_power(
    found: Bounds, information: Sequence[float], look: int, z: float, drift: np.ndarray
) -> np.ndarray:
    """Return the probability (Q,) that a trial with statistic z at a look (from 0) stops for success at a later one.

    information (K,); drift (Q,): the mean of Z at an information of 1. Futility bounds are kept. Source: Lan, Simon &
    Halperin 1982.
    """
    past, whole = information[look], np.array(information[look + 1 :])
    rest, here, later = whole - past, z * math.sqrt(past), slice(look + 1, None)
    upper, lower = ((bound[later] * np.sqrt(whole) - here) / np.sqrt(rest) for bound in found)
    return crossing(rest, upper, lower, drift)[0].sum(axis=1)


def predictive_power(found: Bounds, information: Sequence[float], look: int, z: float, belief: NormalMixture) -> float:
    """Return `conditional_power` over what a trial with statistic z at a look believes of its drift.

    belief: in the drift before the trial; each component is updated by the estimate z / sqrt(information), which also
    moves the weights. Source: Spiegelhalter, Freedman & Blackburn 1986.
    """
    precision = information[look]
    estimate, own = z / math.sqrt(precision), belief.sds**2
    total = own + 1 / precision
    log = np.log(belief.weight) - np.log(total) / 2 - (estimate - belief.means) ** 2 / (2 * total)
    weight = np.exp(log - special.logsumexp(log))
    mean = belief.means + own / total * (estimate - belief.means)
    few = on_grids(NormalMixture(weight, mean, np.sqrt(own / precision / total)))
    at = (few.means[:, None] + few.sds[:, None] * Z).ravel()
    power = conditional_power(found, information, look, z, at)
    return float(dot(power, np.outer(few.weight, Z_WEIGHTS).ravel()))
