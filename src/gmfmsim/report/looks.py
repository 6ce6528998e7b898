"""The looks of a trial on its page: where they stop it, how often, and what that saves."""

import numpy as np
from matplotlib.figure import Figure

from gmfmsim.answer.tables import Cell, Table, table
from gmfmsim.compute.text import decimals, percent
from gmfmsim.report.look import BESIDE, BLUE, GREY, ORANGE, WIDTH, line_of_no_effect

SAID = {"success": "success", "futility": "nothing shown", "harm": "harm"}
"""What a trial stops with, as a reader is told it."""


def bounds_table(found: dict | None) -> Table | None:
    """Return the bounds of every look."""
    if found is None:
        return None
    calendar = found["calendar"]
    heads = ["look", "#children due", *(["#months", "#randomised"] if calendar else [])]
    futile = any(row["lower"] is not None for row in found["bounds"])
    heads += ["#success beyond", *(["#futility below"] if futile else [])]
    return table(heads, [_bound(row, calendar, futile) for row in found["bounds"]])


def _bound(row: dict, calendar: bool, futile: bool) -> list[str | Cell]:
    cells: list[str | Cell] = [str(row["look"]), Cell(str(row["due"]), percent(row["share"]))]
    cells += [f"{row['months']:.0f}", str(row["randomised"])] if calendar else []
    if row["upper"] is None:
        cells.append("no bound")
    else:
        beyond = f"level {row['level']:.2g}; an estimate of {row['estimate']:.2f}"
        cells.append(Cell(decimals(row["upper"], 3), beyond))
    if futile:
        chance = row["conditional_power"]
        lower = "" if row["lower"] is None else decimals(row["lower"], 3)
        cells.append(Cell(lower, f"conditional power {percent(chance)}" if chance is not None else ""))
    return cells


def stopping_table(found: dict | None) -> Table | None:
    """Return how often a trial stops at each look, and with what."""
    if found is None:
        return None
    heads = ["", *(f"#look {row['look']}" for row in found["bounds"]), "#in all"]
    heads[-2] = "#the end"
    rows = []
    for scenario in found["scenarios"]:
        average = f"{scenario['expected_n']:.0f} children on average"
        for what, words in SAID.items():
            first = Cell(f"{scenario['words']}: {words}", average if what == "success" else "")
            rows.append([first, *map(percent, scenario[what]), percent(sum(scenario[what]))])
    return table(heads, rows)


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
