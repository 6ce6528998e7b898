"""Two questions the other way round: the smallest effect that n children detect, and the n of a given precision."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np

from gmfmsim.compute.labels import xr
from gmfmsim.files.toml import Spec, key
from gmfmsim.model.truths import along_doses, known
from gmfmsim.progress import UNSEEN, Steps
from gmfmsim.streams import stream
from gmfmsim.trial.analyse.bayes import Bayes
from gmfmsim.trial.change_sd import INTERVAL
from gmfmsim.trial.design import Design
from gmfmsim.trial.exact import Assurance, qualifies
from gmfmsim.trial.exact.width import mean_width
from gmfmsim.trial.operate import operate, primary_only
from gmfmsim.trial.simulate import simulate
from gmfmsim.trial.size import Curve

LARGEST_EFFECT = 40.0
"""Points beyond which no effect is looked for: no arm of the evidence gains as much."""

STEP = 0.01
"""Points to which a smallest detectable effect is found."""


class Detectable(Spec):
    """Asks for the smallest effect in points that so many children detect."""

    n_per_arm: Annotated[int, key("in the smaller arm", "children", example=100, ge=2, le=1_000_000)]
    power: Annotated[float, key("with which it is detected", "share", gt=0, lt=1)] = 0.8


class Precision(Spec):
    """Asks for the n per arm that makes the interval of the primary analysis so narrow."""

    width: Annotated[
        float, key("on average over trials, at the median SD of change", "unit of the effect", example=3, gt=0, le=100)
    ]


class Effort(NamedTuple):
    """What the answer to such a question may take: replicates at each step and their seed, z of its Monte Carlo
    interval, and whom each step is told to."""

    replicates: int
    seed: int
    z: float
    advance: Steps = UNSEEN


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

    Power exactly where it can be, without an interval, else on common random numbers; the interval repeats the search
    for power +- z MCSE. None where even 40 points do not have the power, or for an end that does not.

    Raises ValueError for an n that the trial cannot have.
    """
    trial.sizes(wanted.n_per_arm)
    first, engine = primary_only(trial)
    exactly = qualifies(trial, trial.analyses[0], joint=True) is None
    cells = {arm.name: float(arm.dose > 0) for arm in trial.arms}

    def power(steps: int) -> tuple[float, float]:
        if exactly:
            believed = along_doses(known(steps * STEP), cells)
            return Assurance(trial, trial.analyses[0], believed).at(wanted.n_per_arm), 0.0
        truths = fixed_truths(trial, steps * STEP, effort.replicates, effort.seed)
        how = {"seed": effort.seed, "engine": engine, "advance": effort.advance}
        surface = simulate(truths, first, n=[wanted.n_per_arm], **how)
        return surface["success"].item(), surface["success_mcse"].item()

    errors = (0.0,) if exactly else (0.0, effort.z, -effort.z)
    found = Curve(power).crossings(wanted.power, errors, round(LARGEST_EFFECT / STEP))
    effect, *interval = (steps and round(steps * STEP, 2) for steps in found)
    return wanted.model_dump() | {"effect": effect, "interval": None if effect is None else interval or None}


def no_width(trial: Design) -> str | None:
    """Return what has to be asked in place of the width of an interval in points; None where there is one."""
    if trial.looks:
        return "a trial without looks, which is not sure to come to its end"
    if isinstance(trial.analyses[0], Bayes) and trial.analyses[0].open:
        return "a prior in numbers, or none: nothing is fitted for the width of an interval"
    if trial.analyses[0].scale == "points":
        return None
    return f"a primary analysis of the effect in points, which {trial.analyses[0].label} is not"


class Width(NamedTuple):
    """How wide the interval of the primary analysis is on average, at the median SD of change: 0 MCSE where exact."""

    points: float
    mcse: float


def width_at(design: Design, n: int, effort: Effort) -> Width:
    """Return the mean width of the interval at n, exactly where the law of the primary analysis is known.

    At the median SD: the law of an SD with heavy tails, as evidence of few trials gives it, has no mean. NaN where the
    analysis has no interval. Raises ValueError for an n that the trial cannot have.
    """
    exact = mean_width(design, design.analyses[0], n, design.sd_change.ppf(np.array(0.5)).item())
    if exact is not None:
        return Width(exact, 0.0)
    first, engine = primary_only(design)
    spread = design.children.excess_sd.model_copy(update={"sigma": 0.0, "df": None})
    known_sd = design.model_copy(update={"children": design.children.model_copy(update={"excess_sd": spread})})
    truths = fixed_truths(known_sd, 0.0, effort.replicates, effort.seed)
    surface = operate(truths, first, n=[n], seed=effort.seed, engine=engine, advance=effort.advance)
    return Width(surface["width"].item(), surface["width_mcse"].item())


def over_sd(design: Design, n: int) -> list[float] | None:
    """Return the exact mean width at the ends of the 95 % interval of the SD of change; None where the SD is known, or
    the law of the primary analysis is not."""
    low, high = design.sd_change.ppf(np.array(INTERVAL))[[0, -1]].tolist()
    ends = [mean_width(design, design.analyses[0], n, sd) for sd in (low, high)]
    return None if low == high or None in ends else ends


def n_for_width(design: Design, wanted: Precision, most: int, effort: Effort) -> dict:
    """Return the smallest n per arm with a mean interval of at most `width` points; where it is simulated, its Monte
    Carlo interval."""

    def precision(n: int) -> tuple[float, float]:
        width, mcse = width_at(design, n, effort)
        return (1 / width, mcse / width**2) if np.isfinite(width) else (0.0, 0.0)

    curve, level = Curve(precision, straight=lambda value: value, step=design.step), 1 / wanted.width
    n = curve.crossing(level, most=most)
    simulated = n is not None and curve(n)[1] > 0
    interval = [curve.crossing(level, most=most, z=z) for z in (effort.z, -effort.z)] if simulated else None
    return {"width": wanted.width, "n_per_arm": n, "n_interval": interval}
