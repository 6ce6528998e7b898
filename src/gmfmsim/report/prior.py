"""The prior of a trial's own analysis on its page: what it is, and what it moves."""

import numpy as np
from matplotlib.figure import Figure

from gmfmsim.answer.tables import Table, table
from gmfmsim.compute.text import decimals, percent
from gmfmsim.report.look import BLUE, GREY, ORANGE, legend_below, line_of_no_effect, one_axes, smooth

MOST_ROWS = 13
"""True effects of a table, at most."""


def components_table(found: dict | None) -> Table | None:
    """Return the normals of a prior."""
    if found is None:
        return None
    rows = [[percent(c["weight"]), decimals(c["mean"], 3), decimals(c["sd"], 3)] for c in found["components"]]
    return table(["#share", "#mean, points", "#SD, points"], rows)


def drift_table(found: dict | None) -> Table | None:
    """Return success at true effects, with and without prior; no effect marked."""
    if found is None or "rows" not in found:
        return None
    every = -(-len(found["rows"]) // MOST_ROWS)
    shown = [row for i, row in enumerate(found["rows"]) if i % every == 0 or row["effect"] == 0]
    rows = [
        [f"{row['effect']:.2f}", f"{row['drift']:+.2f}", percent(row["with"]), percent(row["without"])] for row in shown
    ]
    marked = [i for i, row in enumerate(shown) if row["effect"] == 0]
    return table(["#true effect", "#off the prior", "#with prior", "#without"], rows, marked)


def prior_figure(found: dict, unit: str) -> Figure | None:
    """Draw success against the true effect, with and without prior, above the density of the prior."""
    if "rows" not in found:
        return None
    figure, ax = one_axes(4.2)
    effect, with_prior, without = (np.array([r[k] for r in found["rows"]]) for k in ("effect", "with", "without"))
    fine = np.linspace(effect[0], effect[-1], 300)
    parts = ((c["weight"] / c["sd"], c["mean"], c["sd"]) for c in found["components"])
    density = sum(w * np.exp(-(((fine - m) / s) ** 2) / 2) for w, m, s in parts)
    ax.fill_between(fine, 0, 0.35 * density / density.max(), color=GREY, alpha=0.25, lw=0, label="prior")
    ax.plot(*smooth(effect, with_prior), "-", color=BLUE, lw=1.8, label=f"with prior, {found['n_total']} children")
    ax.plot(*smooth(effect, without), "--", color=ORANGE, lw=1.8, label="the same trial without prior")
    line_of_no_effect(ax)
    ax.set(xlim=(effect[0], effect[-1]), ylim=(0, 1.02), xlabel=f"true effect, {unit}", ylabel="success")
    ax.set_yticks(np.arange(0, 1.01, 0.25), [f"{v:.0f} %" for v in np.arange(0, 101, 25)])
    legend_below(figure, ax, columns=1)
    return figure
