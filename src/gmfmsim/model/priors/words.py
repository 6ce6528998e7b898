"""What the priors of a model say before any data, in draws and in words."""

from collections.abc import Container
from functools import partial

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.effect import BETWEEN, Condition, Effect, effect
from gmfmsim.model.priors.tau import OfTheErrors
from gmfmsim.model.terms import COURSE
from gmfmsim.streams import stream

LOW_DOSE, HIGH_DOSE = "1e7", "1e8"
"""The doses, in cells/kg, that the words compare: most trials lie between them."""
SIZE = 100_000
"""Draws behind the words; stratified, so that the limits of one parameter are exact to four digits."""


def prior_effect(
    spec: ModelSpec, dose: float, *, se: ArrayLike | None = None, seed: int = 1, size: int = SIZE
) -> np.ndarray:
    """Return draws of the effect of a dose against dose 0 before any data: shape (2, size), GMFM-66 points.

    Row 0 is the mean of studies, row 1 a new study: `effect` in draws of the priors, z ~ Normal(0, 1), or Student-t
    with nu degrees of freedom where the model has nu. Dose in cells/kg; cells, route, age and level of the trial add
    nothing. One seed gives the same curves at every dose. `se` (K,) are the standard errors of the studies, for priors
    that depend on them.

    Raises TypeError if a prior of the effect is improper, or depends on standard errors that are not given.
    """
    draw = partial(_draws, spec, se=se, seed=seed, size=size)
    mean, found = draw(spec.shape.amplitude), _effect(spec, dose, draw)
    return np.stack([mean * found.share, (mean + _deviation(found, 1, draw)) * found.share])


def in_words(spec: ModelSpec, *, se: ArrayLike | None = None, seed: int = 1) -> list[str]:
    """Say what the priors think of the effect, its scatter between studies and the ratio of scales: a sentence each.

    Intervals are equal-tailed, from the draws of `prior_effect`. What a parameter without proper prior would decide
    is left out and said to be so; likewise a prior that depends on the standard errors `se` (K,) if none are given.
    """
    silent = _silent(spec, se)
    draw = partial(_draws, spec, se=se, seed=seed, size=SIZE)
    curve = spec.shape
    at = f" at {HIGH_DOSE} cells/kg" if curve.uses_dose else ""
    thoughts = []
    if not silent.keys() & set(curve.nonlinear):
        low, high = (_effect(spec, float(dose), draw, silent) for dose in (LOW_DOSE, HIGH_DOSE))
        of_mean, of_scatter = curve.amplitude not in silent, not silent.keys() & {*BETWEEN, "nu"}
        if of_mean:
            mean = draw(curve.amplitude)
            if curve.uses_dose:
                change = f"going from {LOW_DOSE} to {HIGH_DOSE} cells/kg adds"
                thoughts.append(f"{change} {_between(mean * (high.share - low.share))}")
            thoughts.append(f"the mean effect{at} lies {_between(mean * high.share)}")
        if of_scatter:
            one, other = (_deviation(high, study, draw) * high.share for study in (1, 2))
            half, most = np.median(np.abs(one - other)), np.quantile(np.abs(one), 0.95)
            thoughts += [
                f"two new studies of the same treatment{at} differ by more than {_points(half)} GMFM-66 points "
                "in half of cases",
                f"a new study{at} lies within {_points(most)} GMFM-66 points of the mean of studies in 95 % of cases",
            ]
        if of_mean and of_scatter:
            thoughts.append(f"the effect in a new study{at} lies {_between(mean * high.share + one)}")
    if "r" not in silent:
        thoughts.append(f"a gain of 10 per cent points on the GMFM-88 counts as {_between(10 * draw('r'))}")
    lines = [f"{name} has {why}: before the data it says nothing." for name, why in silent.items()]
    return [f"Before the data, this model thinks that {thought}." for thought in thoughts] + lines


def _silent(spec: ModelSpec, se: ArrayLike | None) -> dict[str, str]:
    """Return the parameters whose priors cannot be drawn from, and what prior they have."""
    priors = {name: spec.priors[name] for name in spec.parameters}
    return {
        name: "a prior that depends on the standard errors of the studies" if prior.proper else "an improper prior"
        for name, prior in priors.items()
        if not prior.proper or (se is None and isinstance(prior, OfTheErrors))
    }


def _draws(spec: ModelSpec, name: str, *, se: ArrayLike | None, seed: int, size: int) -> np.ndarray:
    """Return draws (size,) of a parameter, or of the uniform distribution for a name that is not a parameter's.

    Stratified, one draw in each of `size` equally probable strata, in random order (McKay, Beckman & Conover 1979).
    """
    source = stream(seed, f"prior of {name}")
    u = (source.permutation(size) + source.random(size)) / size
    if name not in spec.parameters:
        return u
    prior = spec.priors[name]
    return (prior if se is None else prior.given(se)).ppf(u)


def _effect(spec: ModelSpec, dose: float, draw: partial, silent: Container[str] = ()) -> Effect:
    """Return the effect of a dose in draws of all priors but those that cannot be drawn from."""
    every = (*spec.shape.nonlinear, *COURSE, *BETWEEN, "nu")
    names = [name for name in every if name in spec.parameters and name not in silent]
    return effect(spec.shape, [(spec.shape.amplitude, None)], {name: draw(name) for name in names}, Condition(dose))


def _deviation(found: Effect, study: int, draw: partial) -> np.ndarray:
    """Return draws of the deviation of the amplitude in a new study, of which there may be several."""
    u, normal = draw(f"new study {study}"), np.isinf(found.df).all()
    return np.sqrt(found.between) * (special.ndtri(u) if normal else special.stdtrit(found.df, u))


def _between(draws: np.ndarray) -> str:
    """Return the 95 % interval of draws in words."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return f"between {_points(low)} and {_points(high)} GMFM-66 points in 95 % of cases"


def _points(x: float) -> str:
    """Write a number of points; no negative zero."""
    return f"{round(x, 1) + 0.0:.1f}" if abs(x) < 1e4 else f"{x:.2g}"
