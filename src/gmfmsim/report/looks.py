"""The looks of a trial on its page: where they stop it, how often, and what that saves."""

import numpy as np
from matplotlib.figure import Figure

from gmfmsim.answer.tables import Cell, Table, table
from gmfmsim.compute.text import decimals, percent
from gmfmsim.report.look import BESIDE, BLUE, GREY, ORANGE, WIDTH, line_of_no_effect

HEADS = {
    ("new_study", "success"): "#new study",
    ("new_study", "futility"): "#none seen",
    ("planning_value", "success"): "#planned",
    ("null", "success"): "#no effect",
}
"""Columns of how often a trial stops: the scenario, what it stops with, and the heading."""


def bounds_table(found: dict | None) -> Table | None:
    """Return the bounds of every look."""
    if found is None:
        return None
    futile = any(row["lower"] is not None for row in found["bounds"])
    heads = ["look", "#children due", "#success beyond", *(["#futility below"] if futile else [])]
    return table(heads, [_bound(row, found["calendar"], futile) for row in found["bounds"]])


def _bound(row: dict, calendar: bool, futile: bool) -> list[str | Cell]:
    when = f"of {row['randomised']}, {row['months']:.0f} months" if calendar else percent(row["share"])
    cells: list[str | Cell] = [str(row["look"]), Cell(str(row["due"]), when)]
    if row["upper"] is None:
        cells.append("no bound")
    else:
        beyond = f"level {row['level']:.2g}; {row['estimate']:.2f}"
        cells.append(Cell(decimals(row["upper"], 3), beyond))
    if futile:
        chance = row["conditional_power"]
        lower = "" if row["lower"] is None else decimals(row["lower"], 3)
        over = row["predictive_power"]
        then = (
            "" if chance is None else f"then {percent(chance)}" + (f" or {percent(over)}" if over is not None else "")
        )
        cells.append(Cell(lower, then))
    return cells


def stopping_table(found: dict | None) -> Table | None:
    """Return how often a trial stops at each look with success, in the new study also with nothing shown."""
    if found is None:
        return None
    known = {s["scenario"]: s for s in found["scenarios"]}
    shown = {heading: known[of][what] for (of, what), heading in HEADS.items() if of in known}
    columns = [[*map(percent, chances), percent(sum(chances))] for chances in shown.values()]
    looks = [str(row["look"]) for row in found["bounds"]]
    return table(["look", *shown], zip([*looks[:-1], "the end", "in all"], *columns, strict=True), [len(looks)])


def looks_figure(found: dict, unit: str) -> Figure:
    """Draw children on average and success against the true effect, beside those of the largest trial."""
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    rows = found["over_effect"]
    effect, children, success = (np.array([row[name] for row in rows]) for name in ("effect", "expected_n", "success"))
    above.axhline(found["n_total"], color=GREY, lw=1, ls="--")
    above.plot(effect, children, color=BLUE, lw=1.8)
    above.set(ylim=(0, 1.12 * found["n_total"]), ylabel="children on average")
    above.annotate("at most", (effect[0], found["n_total"]), (0, 3), fontsize=9, color=GREY, **BESIDE)
    below.plot(effect, success, color=ORANGE, lw=1.8)
    below.set(ylim=(0, 1.02), xlabel=f"true effect, {unit}", ylabel="success")
    below.set_yticks(np.arange(0, 1.01, 0.25), [f"{v:.0f} %" for v in np.arange(0, 101, 25)])
    for ax in (above, below):
        line_of_no_effect(ax)
    return figure
