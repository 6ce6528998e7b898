"""The page of a model: its mathematics, every prior as a figure, the curve before any data, and its graph."""

import re
import textwrap
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from gmfmsim.answer.tables import table
from gmfmsim.faults import shortened
from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.describe import Node, PriorRow, describe, engines_words, priors_given, shipped_contrasts
from gmfmsim.model.priors.words import prior_effect
from gmfmsim.model.structure import not_known, structure
from gmfmsim.report.html import draw, filled
from gmfmsim.report.labels import can_be_set, fitted
from gmfmsim.report.look import BLUE, GREY, LINE, WIDTH, dose_axis, legend_below, one_axes, without_left_axis

DRAWS = 10_000
"""Draws behind the band of the curve, at each of its doses."""
POINTS = 400
"""Points of the line of a density."""
UNIT_LINE = 58
"""Characters of a line below an axis."""
ROW, BOX, GAP = 0.68, 0.54, 0.45
"""Inches between the rows of the graph, height of a box, and width between columns for the arrows."""
SIZES = (7.5, 6.5, 6.5)
"""Points of the lines in a box."""
FACES = {"sampled": "#E3F0F8", "derived": "white", "observed": "#DDDDDD", "data": "#F3F3F3"}

CAPTIONS = {
    "band": "The effect against dose before any data. Terms beside the curve add nothing here.",
    "graph": "The PyMC model that the nuts engine samples: blue, what it samples; grey, the data; white, what follows "
    "from others. Study effects that are integrated out have no node.",
}


def write_model_page(path: Path, spec: ModelSpec, *, source: str = "", data: xr.Dataset | None = None) -> None:
    """Write a page on a declared model that stands alone: one file, no scripts, nothing from elsewhere.

    source: the text of the model's file, shown in full; data: as for `describe`.
    """
    description = describe(spec, data=data, source=source)
    data = shipped_contrasts(spec) if data is None else data
    found = None if not_known(spec, data) else structure(spec, data)
    drawings = {f"prior-{row.name}": partial(prior_figure, row) for row in description.priors}
    drawings["band"] = partial(band_figure, priors_given(spec, found), data)
    drawings["graph"] = partial(graph_figure, description.graph)
    with TemporaryDirectory() as folder:
        drawn = draw(
            Path(folder),
            drawings,
            CAPTIONS | {f"prior-{row.name}": f"Prior of {row.name}" for row in description.priors},
        )
    rows = [[n.label, n.kind, _plain(n.distribution), ", ".join(n.parents)] for n in description.graph]
    graph = table(["variable", "kind", "distribution", "depends on"], rows)
    values = {"d": description, "engines": engines_words(description), "source": source, "plain": _plain}
    path.write_text(filled("model.html.j2", drawn=drawn, graph=graph, **values), encoding="utf-8")


def _plain(text: str) -> str:
    """Write 3e+07 as 3e7."""
    return re.sub(r"(\d)e([+-])0?(\d+)", lambda m: f"{m[1]}e{m[2].replace('+', '')}{m[3]}", text)


def prior_figure(row: PriorRow) -> Figure | None:
    """The density of a prior over its central 99 %, the central 95 % dark; None where it cannot be drawn."""
    outline = row.outline(POINTS)
    if outline is None:
        return None
    figure, ax = one_axes(1.9)
    x, y = outline.x, outline.density
    ax.plot(x, y, color=BLUE, lw=1.8)
    ax.fill_between(x, y, color=BLUE, alpha=0.12, lw=0)
    if row.low is not None:
        inside = (x >= row.low) & (x <= row.high)
        ax.fill_between(x[inside], y[inside], color=BLUE, alpha=0.28, lw=0)
        peak = np.interp(row.median, x, y)
        ax.plot([row.median] * 2, [0, peak], color=BLUE, lw=1.2, ls="--")
    if outline.on_log:
        ax.set_xscale("log")
    ax.set(xlim=(x[0], x[-1]), ylim=(0, 1.08))
    words = f"{row.name}, {row.unit}" if can_be_set(row.unit) else row.name
    lines = textwrap.wrap(shortened(words, 2 * UNIT_LINE), UNIT_LINE)[:2]
    ax.set_xlabel("\n".join(fitted(line, LINE, 10) for line in lines), parse_math=False)
    without_left_axis(ax)
    return figure


def band_figure(spec: ModelSpec, data: xr.Dataset) -> Figure | None:
    """The effect against dose as the priors see it; None for a curve without dose or a prior without draws."""
    doses = data["dose"].values[data["dose"].values > 0]
    if not spec.shape.uses_dose or not doses.size:
        return None
    low, high = doses.min(), doses.max()
    dose = np.geomspace(low / 10, high * 10, 41)
    try:
        draws = [prior_effect(spec, d, size=DRAWS) for d in dose]
    except TypeError:  # an improper prior
        return None
    figure, ax = one_axes(4.2)
    quantiles = np.quantile(draws, [0.025, 0.25, 0.5, 0.75, 0.975], axis=-1)  # (quantile, dose, mean or new study)
    for kind, colour, alpha, label in ((1, BLUE, 0.13, "a new study, 95 %"), (0, BLUE, 0.30, "mean of studies, 95 %")):
        ax.fill_between(dose, *quantiles[[0, 4], :, kind], color=colour, alpha=alpha, lw=0, label=label)
    ax.plot(dose, quantiles[1, :, 0], color=BLUE, lw=1, ls="--", label="mean of studies, central half")
    ax.plot(dose, quantiles[3, :, 0], color=BLUE, lw=1, ls="--")
    ax.plot(dose, quantiles[2, :, 0], color=BLUE, lw=1.8, label="mean of studies, median")
    dose_axis(ax, dose, (low, high))
    ax.axhline(0, color="black", lw=0.8)
    ax.set_ylabel("effect, GMFM-66 points")
    legend_below(figure, ax)
    return figure


def graph_figure(nodes: tuple[Node, ...]) -> Figure | None:
    """The graph from left to right: a column for the variables without parents, one for their children, and so on."""
    if not nodes:
        return None
    places, columns = _places(nodes)
    rows = max(y for _, y in places.values()) + 1
    figure = Figure(figsize=(WIDTH, ROW * rows + 0.1))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, WIDTH), ylim=(-ROW * (rows - 0.5) - 0.05, ROW / 2 + 0.05))
    ax.axis("off")
    width = (WIDTH - GAP * (columns - 1) - 0.04) / columns
    at = {name: (0.02 + x * (width + GAP), -ROW * y) for name, (x, y) in places.items()}
    for node in nodes:
        for parent in node.parents:
            _arrow(ax, at[parent], at[node.name], width)
    for node in nodes:
        _box(ax, node, *at[node.name], width)
    return figure


def _places(nodes: tuple[Node, ...]) -> tuple[dict[str, tuple[int, float]], int]:
    """Return the column and row of every variable, and how many columns there are.

    Column: one after its last parent; data stand below what is observed. Rows of the first column: by what they lead
    to, as listed; elsewhere children stand at the mean of their parents, and no closer than a row.
    """
    column: dict[str, int] = {}
    for node in nodes:
        column[node.name] = max((column[p] for p in node.parents), default=-1) + (node.kind != "data")
    child = {
        p: min((column[n.name], i) for i, n in enumerate(nodes) if p in n.parents) for m in nodes for p in m.parents
    }
    ranked = sorted((n for n in nodes if not n.parents), key=lambda n: child.get(n.name, (0, 0)))
    places = {node.name: (0, float(i)) for i, node in enumerate(ranked)}
    last = dict.fromkeys(column.values(), -1.0)
    for node in (n for n in nodes if n.parents):
        x, wanted = column[node.name], float(np.mean([places[p][1] for p in node.parents]))
        last[x] = max(wanted, last[x] + 1)
        places[node.name] = (x, last[x])
    return places, max(column.values()) + 1


def _arrow(ax: Axes, parent: tuple[float, float], child: tuple[float, float], width: float) -> None:
    """Draw an arrow from the right of one box to the left of another, or down to the one below."""
    down = parent[0] == child[0]
    start = (parent[0] + width / 2, parent[1] - BOX / 2) if down else (parent[0] + width, parent[1])
    end = (child[0] + width / 2, child[1] + BOX / 2) if down else child
    look = {"arrowstyle": "-|>", "color": GREY, "lw": 0.8, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", end, start, arrowprops=look, zorder=0)


def _box(ax: Axes, node: Node, left: float, y: float, width: float) -> None:
    """Draw a variable: its name, its distribution, its dims, each cut to the width of the box."""
    corner, inside = (left + 0.05, y - BOX / 2 + 0.05), (width - 0.1, BOX - 0.1)
    look = {"boxstyle": "round,pad=0.05", "fc": FACES[node.kind], "ec": GREY, "lw": 0.8}
    ax.add_patch(FancyBboxPatch(corner, *inside, **look))
    law = f"~ {_plain(node.distribution)}" if node.distribution else node.kind
    dims = ", ".join(f"{dim}: {size}" for dim, size in node.dims)
    lines = [line for line in zip((node.name, law, dims), SIZES, strict=True) if line[0]]
    for i, (text, size) in enumerate(lines):
        most = int(width * 72 / (0.56 * size))
        shown = text if len(text) <= most else text[: most - 1] + "\u2026"
        place = (left + width / 2, y + 0.16 * ((len(lines) - 1) / 2 - i))
        ax.text(*place, shown, fontsize=size, ha="center", va="center", parse_math=False)
