"""Two questions the other way round: the smallest effect that n children detect, and the n of a given precision."""

from collections.abc import Callable
from typing import Annotated, NamedTuple

import numpy as np
import xarray as xr
from pydantic import Field

from gmfmsim.compute.algebra import dot
from gmfmsim.files.toml import Spec
from gmfmsim.model.truths import along_doses, known
from gmfmsim.streams import stream
from gmfmsim.trial.design import Design
from gmfmsim.trial.exact import Assurance, qualifies
from gmfmsim.trial.operate import operate, primary_only
from gmfmsim.trial.simulate import simulate
from gmfmsim.trial.size import Curve

LARGEST_EFFECT = 40.0
"""Points beyond which no effect is looked for: no arm of the evidence gains as much."""

STEP = 0.01
"""Points to which a smallest detectable effect is found."""


class Detectable(Spec):
    """Asks for the smallest effect in points that n_per_arm children detect with the given power."""

    n_per_arm: Annotated[int, Field(ge=2, le=1_000_000)]
    power: Annotated[float, Field(gt=0, lt=1)] = 0.8


class Precision(Spec):
    """Asks for the n per arm at which the interval of the primary analysis is `width` points wide on average."""

    width: Annotated[float, Field(gt=0, le=100)]


class Effort(NamedTuple):
    """What the answer to such a question may take: replicates at each step and their seed, z of its Monte Carlo
    interval, and whom each step is told to."""

    replicates: int
    seed: int
    z: float
    advance: Callable[[], None] = lambda: None


def fixed_truths(trial: Design, effect: float, replicates: int, seed: int) -> xr.Dataset:
    """Return truths in which every arm with cells has one effect (points) and only the SD of the change varies.

    Scenario "fixed"; dims and attributes as `model.truths`; draws of the SD are addressed, so that the same
    replicates meet the same SD at every effect.
    """
    sd = trial.sd_change.ppf(stream(seed, "sd of change").random(replicates))
    effects = np.array([[effect * (arm.dose > 0) for arm in trial.arms]])
    return xr.Dataset(
        {
            "effect": (
                ("scenario", "draw", "arm"),
                np.broadcast_to(effects[:, None], (1, replicates, len(trial.arms))),
            ),
            "sd_change": ("draw", sd),
        },
        coords={
            "scenario": ["fixed"],
            "arm": [arm.name for arm in trial.arms],
            "batch": ("draw", np.arange(replicates) * min(replicates, 100) // replicates),
        },
        attrs={"rounds": 1, "posterior_draws": replicates},
    )


def smallest_effect(trial: Design, wanted: Detectable, effort: Effort) -> dict:
    """Return the smallest effect with the wanted power at n, and its Monte Carlo interval, to 0.01 points.

    By bisection: power exactly where it can be, without an interval, else on common random numbers; the interval
    repeats it for power +- z MCSE. None where even 40 points do not have the power, or for an end that does not.

    Raises ValueError for an n that the trial cannot have.
    """
    trial.sizes(wanted.n_per_arm)
    first, engine = primary_only(trial)
    exactly, seen = qualifies(trial, trial.analyses[0], joint=True) is None, {}
    cells = {arm.name: float(arm.dose > 0) for arm in trial.arms}

    def power(steps: int) -> tuple[float, float]:
        if steps not in seen and exactly:
            believed = along_doses(known(steps * STEP), cells)
            seen[steps] = Assurance(trial, trial.analyses[0], believed).at(wanted.n_per_arm), 0.0
        if steps not in seen:
            truths = fixed_truths(trial, steps * STEP, effort.replicates, effort.seed)
            surface = simulate(truths, first, n=[wanted.n_per_arm], seed=effort.seed, engine=engine)
            seen[steps] = surface["success"].item(), surface["success_mcse"].item()
            effort.advance()
        return seen[steps]

    def root(z: float) -> float | None:
        low, high = 0, 64
        while dot(power(high), (1, z)) < wanted.power:
            if high >= LARGEST_EFFECT / STEP:
                return None
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if dot(power(middle), (1, z)) >= wanted.power else (middle, high)
        return round(high * STEP, 2)

    effect = root(0.0)
    interval = None if effect is None or exactly else [root(effort.z), root(-effort.z)]
    return wanted.model_dump() | {"effect": effect, "interval": interval}


def n_for_width(design: Design, wanted: Precision, most: int, effort: Effort) -> dict:
    """Return the smallest n per arm with a mean interval of at most `width` points, and its Monte Carlo interval."""
    first, engine = primary_only(design)
    truths = fixed_truths(design, 0.0, effort.replicates, effort.seed)

    def precision(n: int) -> tuple[float, float]:
        surface = operate(truths, first, n=[n], seed=effort.seed, engine=engine)
        width, mcse = surface["width"].item(), surface["width_mcse"].item()
        effort.advance()
        return (1 / width, mcse / width**2) if np.isfinite(width) else (0.0, 0.0)

    curve = Curve(precision, straight=lambda value: value, step=design.step)
    n = curve.crossing(1 / wanted.width, most=most)
    interval = None if n is None else [curve.crossing(1 / wanted.width, most=most, z=s) for s in (effort.z, -effort.z)]
    return {"width": wanted.width, "n_per_arm": n, "n_interval": interval}
