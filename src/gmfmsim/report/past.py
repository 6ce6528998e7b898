"""The past, re-planned: what the published trials could have shown, as they were designed."""

from collections.abc import Callable
from functools import partial

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from gmfmsim.answer.result import Result
from gmfmsim.answer.tables import Cell, Table, table, written
from gmfmsim.compute.text import Written, number, share
from gmfmsim.evidence.formulas.conversions import Z975
from gmfmsim.question.past import ENOUGH
from gmfmsim.report.html import BLUE, GREY, LINE, ORANGE, draw, write_page
from gmfmsim.report.labels import Labels, labels

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

POOLED = 1.42
"""GMFM-66 points: the gain at 12 months in the individual data of cord blood trials (Finch-Edmondson 2025)."""


COLUMNS: dict[str, Callable[[xr.Dataset], str | Cell]] = {
    "trial": lambda one: one["trial"].item(),
    "#children": lambda one: str(int(one["n_total"].item())),
    "design": lambda one: KINDS.get(one["kind"].item(), one["kind"].item()),
    "#month": lambda one: f"{one['month'].item():g}",
    "analysis": lambda one: one["analysis"].item(),
    "#power": lambda one: _figure(one, "power", share),
    "#false claims": lambda one: _figure(one, "false_claims", share),
    "#assurance": lambda one: _figure(one, "assurance", share),
    "#type S": lambda one: _figure(one, "type_s", share),
    "#type M": lambda one: _figure(one, "type_m", number),
}
"""The columns of the tables: of each heading what stands below it for one trial."""


def _figure(one: xr.Dataset, name: str, write: Callable[[float, float], Written]) -> Cell:
    return written(write(one[name].item(), one[f"{name}_mcse"].item()))


def past_tables(data: xr.Dataset) -> dict[str, Table]:
    """Return one table of the trials with a control group, one of the others, by heading; highest power first.

    data: as `answer.past.replan` returns it.
    """
    data, found = data.isel(trial=_order(data)), {}
    for controlled, heading in HEADINGS.items():
        of = data.isel(trial=data["controlled"].values == controlled)
        rows = [[write(of.isel(trial=i)) for write in COLUMNS.values()] for i in range(of.sizes["trial"])]
        if rows:
            found[heading] = table(COLUMNS, rows)
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
    _dots(left, data, "false_claims", y, GREY, "x", GREY, "false claims, without an effect")
    _dots(left, data, "assurance", y, ORANGE, "D", "white", "assurance, from the evidence")
    _dots(left, data, "power", y, BLUE, "o", BLUE, f"power at {truth:g} points")
    if data["controlled"].any():  # what the others call power is no measure of them
        low, high = y[data["controlled"].values][[-1, 0]]
        left.vlines(ENOUGH, low - 0.5, high + 0.5, color="black", lw=1, ls="--")
    left.set(xlim=(-0.02, 1.02), xlabel="success, %", ylim=(y.min() - 0.7, 0.6))
    left.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1], ["0", "20", "40", "60", "80", "100"])
    names, trials = past_labels(data), zip(data["trial"].values.tolist(), data["n_total"].values, strict=True)
    left.set_yticks(y, [f"{names.of[name]}  {n:.0f}" for name, n in trials], parse_math=False)
    left.set_title("trial, children", loc="right", x=-0.02, fontsize=9, color=GREY)
    _dots(right, data, "type_m", y, BLUE, "o", BLUE, None)
    top = max(2.0, 1.15 * float(data["type_m"].max(skipna=True).fillna(1)))
    ticks = [t for t in ((1, 1.5, 2, 3) if top < 3.5 else (1, 2, 3, 5, 10, 20, 50)) if t <= top]
    right.set(xscale="log", xlim=(0.93, top), xlabel="type M error,\ntimes too large")
    right.set_xticks(ticks, [f"{t:g}" for t in ticks])
    right.minorticks_off()
    right.axvline(1, color="#999999", lw=0.8, zorder=0)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside lower left", ncols=2, frameon=False, fontsize=9)
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


def _dots(
    ax: Axes, data: xr.Dataset, name: str, y: np.ndarray, colour: str, marker: str, face: str, label: str | None
) -> None:
    value, error = data[name].values, Z975 * np.nan_to_num(data[f"{name}_mcse"].values)
    known = np.isfinite(value)
    look = {"color": colour, "mfc": face, "ms": 5.5, "lw": 1.5, "ls": "none"}
    ax.errorbar(value[known], y[known], xerr=error[known], marker=marker, label=label, **look)


def past_page(result: Result) -> None:
    """Draw the figure of a result that plans trials of the past again, and write its page."""
    answer, data = result.answer, result.data("past")
    truth = answer["effect"]
    drawn = draw(result.folder / "figures", {"past": partial(past_figure, data, truth=truth)})
    headline, *sentences = answer["sentences"]
    values = {
        "headline": headline.rstrip("."),
        "sentences": sentences,
        "truth": f"{truth:g}",
        "pooled": truth == POOLED,
    }
    values["key"] = past_labels(data).key
    write_page(result.report, "past.html.j2", {}, answer=answer, svg=drawn["past"], tables=past_tables(data), **values)
