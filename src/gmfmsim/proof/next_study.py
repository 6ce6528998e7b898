"""Intervals of the next study at fixed truths: how often they hold its effect, and the n that it would need.

Calibration averages over the prior; an interval that is right on average may be wrong where the truth lies. Planted are
means of 0 to 3 points and standard deviations between studies of 0 to 3, arms of one study alike or not.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy import special

from gmfmsim.model.complete import from_prior
from gmfmsim.model.declare import ModelChoice, ModelSpec, read_model
from gmfmsim.model.exact import posterior
from gmfmsim.model.structure import structure
from gmfmsim.streams import stream

R = 0.56
"""The planted ratio of GMFM-66 to GMFM-88 changes."""


class Planted(NamedTuple):
    """What is true of the simulated studies: parameters of the model `arms`, in GMFM-66 points."""

    mu: float
    tau: float
    tau_arm: float


PLANTED = tuple(Planted(*map(float, one)) for one in product(range(4), range(4), (0, 2)))


class Held(NamedTuple):
    """Of one data set, how probably its equal-tailed intervals hold what they are of, in a fresh study.

    effect_95: the effect, 95 %. n_90: the n that its own truth needs, 90 %; no_end: 1 where that interval has no end.
    """

    effect_95: float
    n_90: float
    no_end: float


def forecaster(spec: ModelSpec, design: xr.Dataset, planted: Planted, seed: int) -> Callable[[int], Held]:
    """Return what simulates data set `number` at a planted truth, fits a model of constant curve, and asks what holds.

    The design gives standard errors, scales and studies. Data sets of one number have the same noise at every truth.
    """
    source = structure(read_model(ModelChoice(name="arms")), design)
    given = planted._asdict() | {"r": R}
    phi = {name: np.array([given[name]]) for name in source.parameters}
    first = design["effect"].isel(reading=0).values

    def held(number: int) -> Held:
        rng = stream(seed, "next study", number)
        y = from_prior(source, phi, np.array([[planted.mu]]), rng)[3][0]
        effect = design["effect"] + xr.DataArray(y - first, dims="contrast")
        found = posterior(structure(spec, design.assign(effect=effect)))
        between = sum(found.phi[name] ** 2 for name in ("tau", "tau_arm") if name in found.phi)
        new = found.linear(np.ones(1), between)
        return holds(planted, new.interval(0.95), new.interval(0.90))

    return held


def holds(planted: Planted, effect_95: Sequence[float], effect_90: Sequence[float]) -> Held:
    """Return how probably a fresh study lies within the ends (low, high) of its predictive intervals.

    Its effect is Normal(mu, tau^2 + tau_arm^2). The n that it needs falls as its effect rises from 0, and no n does for
    an effect of 0 or less, whatever design, SD and power are meant: the ends of the interval of n are the n of the ends
    of that of the effect, so that it holds all effects from low, or any if low is not above 0, to high, or to 0.
    """

    def below(x: float) -> float:
        scatter = math.hypot(planted.tau, planted.tau_arm)
        return float(special.ndtr((x - planted.mu) / scatter)) if scatter else float(x >= planted.mu)

    low, high = effect_90
    n_90 = below(max(high, 0.0)) - (below(low) if low > 0 else 0.0)
    return Held(below(effect_95[1]) - below(effect_95[0]), n_90, float(low <= 0))


def coverage(held: Iterable[Held]) -> dict[str, float]:
    """Return the means over data sets, with their Monte Carlo standard errors."""
    found = np.array([tuple(one) for one in held])
    mean, error = found.mean(axis=0), found.std(axis=0) / math.sqrt(len(found))
    figures = zip(Held._fields, mean, error, strict=True)
    return {key: round(float(x), 4) for name, m, e in figures for key, x in ((name, m), (f"{name}_mcse", e))}
