"""The past, re-planned: what the published trials could have shown, as they were designed."""

from collections.abc import Callable
from functools import partial

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from gmfmsim.answer.result import Result
from gmfmsim.answer.tables import Table, simulated, table
from gmfmsim.compute.text import number
from gmfmsim.evidence.formulas.conversions import Z975
from gmfmsim.progress import Steps
from gmfmsim.question.past import ENOUGH
from gmfmsim.report.html import draw, filled
from gmfmsim.report.labels import Labels, labels
from gmfmsim.report.look import BLUE, GREY, LINE, ORANGE, legend_below

KINDS = {
    "parallel": "parallel arms",
    "factorial": "two by two",
    "crossover": "crossover, first period",
    "pairs": "pairs",
    "cluster": "clusters",
    "single_arm": "one arm",
}
HEADINGS = {True: "with a control group", False: "no control group: a gain is claimed without an effect too"}
"""Trials with and without a control group: the power of the latter cannot be told from their false claims."""

LOOKS = {
    "false_claims": {"color": GREY, "marker": "x", "mfc": GREY},
    "assurance": {"color": ORANGE, "marker": "D", "mfc": "white"},
    "power": {"color": BLUE, "marker": "o", "mfc": BLUE},
    "type_m": {"color": BLUE, "marker": "o", "mfc": BLUE},
}
MEANT = {
    "false_claims": "false claims, without an effect",
    "assurance": "assurance, from the evidence",
    "power": "power at {truth:g} points",
}
"""What stands on the left, in the order in which it is drawn."""

CAPTION = (
    "Each trial with the children it had. Power: probability of significance in favour of cells if the gain is {truth} "
    "points (dashed: 80 %, where there is a control group). False claims: the same if there is no effect. Assurance: "
    "the same averaged over what the evidence leaves possible; the posterior has seen results of these trials, so "
    "assurance is not independent of them. Type M: by what factor a significant estimate is too large on average if "
    "the gain is {truth} points; no dot where none was significant or the analysis is not in points. Where the "
    "paper's analysis is unknown, that of the table stands in for it; who the children are rests on assumptions of "
    "the design files where the paper does not say. Bars: 95 % Monte Carlo error."
)

POOLED = 1.42
"""GMFM-66 points: the gain at 12 months in the individual data of cord blood trials (Finch-Edmondson 2025)."""


COLUMNS: dict[str, Callable[[xr.Dataset], list]] = {
    "trial": lambda of: of["trial"].values.tolist(),
    "#children": lambda of: [f"{n:.0f}" for n in of["n_total"].values],
    "design": lambda of: [KINDS.get(kind, kind) for kind in of["kind"].values.tolist()],
    "#month": lambda of: [f"{month:g}" for month in of["month"].values],
    "analysis": lambda of: of["analysis"].values.tolist(),
    "#power": partial(simulated, name="power"),
    "#false claims": partial(simulated, name="false_claims"),
    "#assurance": partial(simulated, name="assurance"),
    "#type S": partial(simulated, name="type_s"),
    "#type M": partial(simulated, name="type_m", write=number),
}
"""The columns of the tables: of each heading what stands below it, trial by trial."""


def past_tables(data: xr.Dataset) -> dict[str, Table]:
    """Return one table of the trials with a control group, one of the others, by heading; highest power first.

    data: as `answer.past.replan` returns it.
    """
    data, found = data.isel(trial=_order(data)), {}
    for controlled, heading in HEADINGS.items():
        of = data.isel(trial=data["controlled"].values == controlled)
        if of.sizes["trial"]:
            found[heading] = table(COLUMNS, zip(*(column(of) for column in COLUMNS.values()), strict=True))
    return found


def _order(data: xr.Dataset) -> np.ndarray:
    """Return the positions of the trials: with a control group, then without; power, then size, highest first."""
    return np.lexsort((-data["n_total"].values, -data["power"].values, ~data["controlled"].values))


def past_figure(data: xr.Dataset, *, truth: float = POOLED) -> Figure:
    """Draw power at `truth` points, false claims and assurance of each trial, and beside them its type M error.

    Trials with a control group stand on top, by power; below a gap those without.
    """
    data = data.isel(trial=_order(data))
    y, headings = _rows(data["controlled"].values)
    figure = Figure(figsize=(5.4, 1.9 - 0.25 * y.min()), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.6, 1])
    for ax in (left, right):
        ax.hlines(y, 0, 1, transform=ax.get_yaxis_transform(), color="#E6E6E6", lw=0.8, zorder=0)
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
    for heading, at in headings.items():
        across = blended_transform_factory(figure.transFigure, left.transData)
        left.text(0.02, at, heading, transform=across, va="center", fontsize=9, color=GREY).set_in_layout(False)
    for name, label in MEANT.items():
        _dots(left, data, name, y, label.format(truth=truth))
    if data["controlled"].any():  # what the others call power is no measure of them
        low, high = y[data["controlled"].values][[-1, 0]]
        left.vlines(ENOUGH, low - 0.5, high + 0.5, color="black", lw=1, ls="--")
    left.set(xlim=(-0.02, 1.02), xlabel="success, %", ylim=(y.min() - 0.7, 0.6))
    left.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1], ["0", "20", "40", "60", "80", "100"])
    names, trials = past_labels(data), zip(data["trial"].values.tolist(), data["n_total"].values, strict=True)
    left.set_yticks(y, [f"{names.of[name]}  {n:.0f}" for name, n in trials], parse_math=False)
    left.set_title("trial, children", loc="right", x=-0.02, fontsize=9, color=GREY)
    _dots(right, data, "type_m", y)
    top = max(2.0, 1.15 * float(data["type_m"].max(skipna=True).fillna(1)))
    ticks = [t for t in ((1, 1.5, 2, 3) if top < 3.5 else (1, 2, 3, 5, 10, 20, 50)) if t <= top]
    right.set(xscale="log", xlim=(0.93, top), xlabel="type M error,\ntimes too large")
    right.set_xticks(ticks, [f"{t:g}" for t in ticks])
    right.minorticks_off()
    right.axvline(1, color="#999999", lw=0.8, zorder=0)
    legend_below(figure, left, upwards=True)
    return figure


def past_labels(data: xr.Dataset) -> Labels:
    """Return the labels of trials beside the axis, numbered as in the table."""
    return labels(data["trial"].values[_order(data)].tolist(), 0.42 * LINE, 10)


def _rows(controlled: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """Return the height of each trial (T,), a row a trial from 0 down, and that of the heading of each group."""
    y, headings, at = np.empty(controlled.size), {}, 0.0
    for group, heading in HEADINGS.items():
        inside = controlled == group
        if inside.any():
            headings[heading] = at
            y[inside] = at - 1 - np.arange(inside.sum())
            at -= inside.sum() + 1.6
    return y, headings


def _dots(ax: Axes, data: xr.Dataset, name: str, y: np.ndarray, label: str | None = None) -> None:
    """Draw a figure of each trial at its height, with its 95 % Monte Carlo error."""
    value, error = data[name].values, Z975 * np.nan_to_num(data[f"{name}_mcse"].values)
    known = np.isfinite(value)
    look = {"ms": 5.5, "lw": 1.5, "ls": "none", "label": label} | LOOKS[name]
    ax.errorbar(value[known], y[known], xerr=error[known], **look)


def past_page(result: Result, advance: Steps) -> None:
    """Draw the figure of a result that plans trials of the past again, and write its page."""
    answer, data = result.answer, result.data("past")
    truth = answer["effect"]
    headline, *sentences = answer["sentences"]
    caption, drawings = CAPTION.format(truth=f"{truth:g}"), {"past": partial(past_figure, data, truth=truth)}
    how = {"heading": headline.rstrip("."), "advance": advance}
    drawn = draw(result.folder / "figures", drawings, {"past": caption}, **how)
    values = {"headline": headline.rstrip("."), "sentences": sentences, "truth": f"{truth:g}", "past": drawn["past"]}
    values |= {"pooled": truth == POOLED, "key": past_labels(data).key, "tables": past_tables(data)}
    result.report.write_text(filled("past.html.j2", answer=answer, **values), encoding="utf-8")
