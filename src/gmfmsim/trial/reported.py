"""The change of children as a trial reports it, beside that of the children simulated in its name."""

from typing import NamedTuple

from gmfmsim.trial.change_sd import drawn_changes
from gmfmsim.trial.children import Reported
from gmfmsim.trial.design import Design


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
    """Return what the change to the endpoint of simulated children comes to, in GMFM-66 points: see `drawn_changes`."""
    drawn = drawn_changes(design, of)
    without, cells = drawn.change[drawn.without], drawn.change[drawn.cells]
    found = Change(cells_sd=float(cells.std()))
    return (
        found._replace(control_mean=float(without.mean()), control_sd=float(without.std())) if without.size else found
    )


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
