"""How much the changes of children differ within a trial: what its analysis sees before any adjustment."""

import math
from typing import NamedTuple

import numpy as np

from gmfmsim.streams import stream
from gmfmsim.trial.children import Centres, NormalChildren
from gmfmsim.trial.design import Design

SEED = 20261121
CHILDREN, TRIALS = 2000, 50
"""Children of a trial at most, and trials: with two arms an SD is known to a third of a per cent of itself."""

INTERVAL = (0.025, 0.5, 0.975)
"""Probabilities at which the SD is told, over what is uncertain of it."""


class ChangeSd(NamedTuple):
    """SD of the observed change to the endpoint: median and 95 % interval over trials; MCSE of the median, 0 if exact.

    with_cells: at the median, of children with cells.
    """

    median: float
    low: float
    high: float
    mcse: float
    with_cells: float


class Drawn(NamedTuple):
    """Change to the endpoint of simulated children (N, R), and which of them have no cells or other drug, and cells."""

    change: np.ndarray
    without: np.ndarray
    cells: np.ndarray


def change_sd(design: Design) -> ChangeSd:
    """Return the SD of the change to the endpoint over children of one trial, no child lost, as observed.

    Of children without cells; of those with cells, on average without an effect, where every arm has them. Normal
    children exactly, sqrt(excess_sd(t)^2 + centres^2), with cells + response_sd^2; others drawn, at the quantiles of
    excess_sd: the SD of change rises with it.
    """
    children, over = design.children, design.sd_change.ppf(np.array(INTERVAL))
    if isinstance(children, NormalChildren):
        centre = _between_centres(children.centres, over) if children.centres else 0.0
        bare = np.hypot(children.change_sd(design.month, over), centre)
        cells = np.hypot(bare, children.response_sd.value)
        low, median, high = (bare if design.control else cells).tolist()
        return ChangeSd(median, low, high, 0.0, float(cells[1]))
    known = over[0] == over[-1]
    drawn = [drawn_changes(design, excess_sd=value) for value in (over[1:2] if known else over).tolist()]
    middle = drawn[len(drawn) // 2]
    sds = [_sd(d, d.without if d.without.any() else d.cells) for d in drawn]
    median, mcse = sds[len(sds) // 2]
    return ChangeSd(median, sds[0][0], sds[-1][0], mcse, _sd(middle, middle.cells)[0])


def _between_centres(centres: Centres, over: np.ndarray) -> np.ndarray | float:
    """Return the SD between centres at SDs of change, an icc that is not known at its median."""
    return centres.between(over, 0.0 if centres.law is None else centres.law.ppf(np.array(0.5)))


def spread_in_words(found: ChangeSd, unit: str = "GMFM-66 points") -> str:
    """Say the SD of change: 5.76 GMFM-66 points (95 % 4.93 to 6.86; MCSE 0.02), as observed ...; with cells 6.96."""
    over = f"95 % {found.low:.3g} to {found.high:.3g}" if found.low < found.high else "taken as known"
    drawn = f"; MCSE {found.mcse:.1g}" if found.mcse else ""
    differs = abs(found.with_cells - found.median) > 0.02 * found.median
    cells = f"; with cells {found.with_cells:.3g}" if differs else ""
    return f"{found.median:.3g} {unit} ({over}{drawn}), as observed, before any adjustment{cells}"


def _sd(drawn: Drawn, of: np.ndarray) -> tuple[float, float]:
    """Return the SD of the changes of some children, over all trials, and its Monte Carlo standard error."""
    squares = (drawn.change - drawn.change[of].mean()) ** 2
    by_trial = squares.sum(axis=0, where=of) / of.sum(axis=0)
    sd = math.sqrt(squares[of].mean())
    return sd, float(by_trial.std(ddof=1)) / math.sqrt(by_trial.size) / (2 * sd)


def drawn_changes(design: Design, of: str = "change", *, excess_sd: float | None = None) -> Drawn:
    """Return the change to the endpoint of simulated children, GMFM-66 points, cells without an effect on average.

    of: change, or observed minus expected, as in Reported. No child is lost. excess_sd: by default its value. Without
    cells: arms without cells and without a second drug, or those without cells where the drug is in all of them.
    """
    from gmfmsim.trial.generate.children import draw_trials  # compiled code: loaded only where it is needed

    children = design.children
    stays = {"value": 0.0, "low": None, "high": None}
    dropout = children.dropout.model_copy(update=stays | {"mechanism": "completely_at_random", "slope": 0.0})
    children = children.model_copy(update={"dropout": dropout, "missed": children.missed.model_copy(update=stays)})
    design = design.model_copy(update={"children": children})
    sd = np.full(TRIALS, children.excess_sd.value if excess_sd is None else excess_sd)
    together = getattr(design, "cluster_size", 1)
    n = together * max(1, int(CHILDREN / sum(arm.ratio for arm in design.arms)) // together)
    drawn = draw_trials(design, n, np.zeros((len(design.arms), TRIALS)), sd, stream(SEED, "change as reported"))
    change = drawn.change[design.endpoint] - (0 if of == "change" else drawn.expected[design.endpoint])
    bare = [i for i, arm in enumerate(design.arms) if arm.dose == 0]
    plain = [i for i in bare if not design.arms[i].drug] or bare
    return Drawn(change, np.isin(drawn.group, plain), np.isin(drawn.group, [design.arms.index(design.active)]))
