"""Simulated trials child by child: who comes, to which arm, what is measured, who is lost."""

from collections.abc import Iterator

import numpy as np

from gmfmsim.trial.design import Design
from gmfmsim.trial.generate.arms import allocate
from gmfmsim.trial.generate.course import observed_scores
from gmfmsim.trial.generate.losses import remove_unseen
from gmfmsim.trial.generate.people import draw_people
from gmfmsim.trial.generate.trials import Trials

NOISE = (
    "level",
    "age",
    "limit",
    "rate",
    "arm",
    "centre",
    "excess",
    "shared excess",
    "error",
    "response",
    "loss",
    "missed",
    "correlation",
    "centre icc",
)
"""Kinds of noise, each with a generator of its own: one that is not needed is not drawn, and the others stay the same.
New kinds come last."""


def draw_trials(design: Design, n: int, effect: np.ndarray, excess_sd: np.ndarray, rng: np.random.Generator) -> Trials:
    """Return R simulated trials of a design at n, every child drawn.

    effect (A, R): points of each arm against no cells with all of the effect present, 0 in control; excess_sd (R,): SD
    of observed minus expected change over 12 months in each trial. The generators of the kinds of noise are spawned
    from rng, and each draws all R trials of the first child, then of the second: with rng at the same address, trials
    at a larger n begin with the children of those at a smaller n (see `begins_with`), and trials at other effects,
    SDs, drop-outs and responses meet the same noise.

    Raises ValueError for arrays of the wrong shape.
    """
    return next(draw_alike(design, n, effect[None], excess_sd, rng))


def draw_alike(
    design: Design, n: int, effects: np.ndarray, excess_sd: np.ndarray, rng: np.random.Generator
) -> Iterator[Trials]:
    """Yield what `draw_trials` returns with rng at one address, for each of several effects (S, A, R): the children and
    their arms are drawn once."""
    trials = excess_sd.size
    if effects.shape[1:] != (len(design.arms), trials):
        raise ValueError(f"effect has shape {effects.shape[1:]}; allowed: one row an arm, {(len(design.arms), trials)}")
    noise = dict(zip(NOISE, rng.spawn(len(NOISE)), strict=True))
    children = design.total(n)
    people = draw_people(design, (children, trials), excess_sd, noise)
    allocation = allocate(design, n, trials, people.level, people.age, noise["arm"])
    unit = allocation.centre if allocation.unit is None else allocation.unit
    here = {name: own.bit_generator.state for name, own in noise.items()}
    for effect in effects:
        for name, state in here.items():  # every effect meets the same noise
            noise[name].bit_generator.state = state
        score = observed_scores(design, people, allocation, design.treatment(effect), excess_sd, noise)
        remove_unseen(design, score, people.level, people.age, excess_sd, noise)
        yield Trials(score, allocation.group, people.expected, people.level, people.age, unit)
