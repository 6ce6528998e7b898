"""The change of children as a trial reports it, beside that of the children simulated in its name."""

from typing import NamedTuple

import numpy as np

from gmfmsim.streams import stream
from gmfmsim.trial.children import Reported
from gmfmsim.trial.design import Design

SEED = 20261121
CHILDREN, TRIALS = 2000, 50
"""Children of a trial at most, and trials: with two arms an SD is known to a third of a per cent of itself."""


class Change(NamedTuple):
    """Mean and SD without cells, SD with cells, named as in Reported; None where nothing is known."""

    control_mean: float | None = None
    control_sd: float | None = None
    cells_sd: float | None = None


def as_reported(reported: Reported, scale: float = 1.0) -> Change:
    """Return what is reported, times scale."""
    given = (getattr(reported, name) for name in Change._fields)
    return Change(*(None if x is None else scale * x for x in given))


def as_simulated(design: Design, of: str = "change") -> Change:
    """Return the change to the endpoint of simulated children, in GMFM-66 points, cells without an effect on average.

    of: change, or observed minus expected, as in Reported. excess_sd is at its value, and no child is lost. Without
    cells: arms without cells and without a second drug, or those without cells where the drug is in all of them.
    """
    from gmfmsim.trial.generate.children import draw_trials  # compiled code: loaded only where it is needed

    children = design.children
    stays = {"value": 0.0, "low": None, "high": None}
    dropout = children.dropout.model_copy(update=stays | {"mechanism": "completely_at_random", "slope": 0.0})
    children = children.model_copy(update={"dropout": dropout, "missed": children.missed.model_copy(update=stays)})
    design = design.model_copy(update={"children": children})
    sd, effect = np.full(TRIALS, children.excess_sd.value), np.zeros((len(design.arms), TRIALS))
    together = getattr(design, "cluster_size", 1)
    n = together * max(1, int(CHILDREN / sum(arm.ratio for arm in design.arms)) // together)
    drawn = draw_trials(design, n, effect, sd, stream(SEED, "change as reported"))
    change = drawn.change[design.endpoint] - (0 if of == "change" else drawn.expected[design.endpoint])
    bare = [i for i, arm in enumerate(design.arms) if arm.dose == 0]
    plain = [i for i in bare if not design.arms[i].drug] or bare
    without, cells = (change[np.isin(drawn.group, arms)] for arms in (plain, [design.arms.index(design.active)]))
    found = Change(cells_sd=float(cells.std()))
    return found._replace(control_mean=float(without.mean()), control_sd=float(without.std())) if plain else found


def in_words(design: Design, reported: Reported) -> str:
    """Say what is reported, in GMFM-66 points too where the scale is another, and what is simulated at that month."""
    said, scale = as_reported(reported), design.children.scale
    text = f"{reported.of} to month {reported.month:g}: {_words(said)}"
    if scale is not None:
        text += f" on its own scale, that is {_words(as_reported(reported, scale.value))} in GMFM-66 points"
    if reported.month != design.month:
        return text
    pairs = zip(said, as_simulated(design, reported.of), strict=True)
    simulated = Change(*(here if given is not None else None for given, here in pairs))
    return text + (f"; simulated: {words}" if (words := _words(simulated)) else "")


def _words(change: Change) -> str:
    """Return the figures that are known as words: "without cells 6.9 (SD 5.6), with cells SD 6.8"."""
    mean, sd, cells = ("" if x is None else f"{round(x, 2) + 0.0:.3g}" for x in change)
    without = f"{mean} (SD {sd})" if mean and sd else mean or (sd and f"SD {sd}")
    parts = without and f"without cells {without}", cells and f"with cells SD {cells}"
    return ", ".join(part for part in parts if part)
