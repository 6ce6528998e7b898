"""Are these the children you know: level, score and age, change without cells, and who is lost, drawn."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from scipy import special

from gmfmsim.report.labels import Labels, labels, with_key
from gmfmsim.report.look import BESIDE, BLUE, GREY, LINE, ORANGE, WIDTH, line_of_no_effect, without_left_axis

CAPTION = {
    "population": "The children that this plan simulates, without cells. GMFCS level: share of children. Score and "
    "age: mean curve of each level and the middle half of its children (on their curves, before measurement error); "
    "each orange stroke is one simulated child, from baseline to endpoint as measured. Change: "
    "median, half and 95 % of the simulated children seen at the endpoint{reported}. Last: children still in "
    "the trial.",
    "normal": "The children that this plan simulates, without cells: scores at baseline, changes at the endpoint as "
    "measured (dashed: median; shaded: 95 %), the correlation of scores between visits, and children still in the "
    "trial.",
}
REPORTED = "; grey, control children of published trials at the same month (mean, half and 95 % if they were normal)"

SMALL = 8
"""Points: the smallest type."""

TITLE = {"fontsize": 11, "fontweight": "bold"}
"""Of each part of the figure."""


def children_caption(seen: xr.Dataset) -> str:
    """Say what children_figure shows."""
    reported = REPORTED if seen.sizes["trial"] else ""
    return with_key(CAPTION[seen.attrs["kind"]].format(reported=reported), _names(seen))


def _names(seen: xr.Dataset) -> Labels:
    """Return the labels of published trials beside the axis."""
    return labels(seen["trial"].values.tolist(), LINE / 4, SMALL)


def children_figure(seen: xr.Dataset) -> Figure:
    """Draw the children of a design as simulated without cells, small multiples by GMFCS level where it has levels,
    and beside their changes those of published control arms. seen: as `answer.children.children_seen` returns it."""
    return (_normal if seen.attrs["kind"] == "normal" else _population)(seen)


# children of the growth curves


def _population(seen: xr.Dataset) -> Figure:
    published = seen.sizes["trial"]
    figure = Figure(figsize=(WIDTH, 9.6 + 0.3 * published), layout="constrained")
    parts = figure.subfigures(4, 1, height_ratios=[1.6, 3, 3.2 + 0.3 * published, 1.8])
    _mix(parts[0].subplots(), seen)
    _score_and_age(parts[1], seen)
    _changes(parts[2].subplots(), seen)
    _retention(parts[3].subplots(), seen)
    return figure


def _mix(ax: Axes, seen: xr.Dataset) -> None:
    share = seen["share"].values
    bars = ax.bar(seen["level"].values, share, color=BLUE, width=0.65)
    ax.bar_label(bars, [f"{100 * s:.0f} %" for s in share], padding=1)
    ax.set(xlabel="GMFCS level", ylim=(0, 1.25 * share.max()))
    without_left_axis(ax)
    ax.set_title("Children by level", loc="left", **TITLE)


def _score_and_age(part: Figure, seen: xr.Dataset) -> None:
    age, years = seen["age"].values, float(seen["stroke_years"])
    start, end, level, at = (seen[f"stroke_{v}"].values for v in ("start", "end", "level", "age"))
    there = seen["level"].values[seen["share"].values > 0]
    axes = part.subplots(1, there.size, sharex=True, sharey=True, squeeze=False)[0]
    for g, ax in zip(there, axes, strict=True):
        mean, low, high = seen["curve"].sel(level=g).values
        ax.fill_between(age, low, high, color=BLUE, alpha=0.25, lw=0)
        ax.plot(age, mean, color=BLUE, lw=1.8)
        of = level == g
        ends = np.array([[at[of], start[of]], [at[of] + years, end[of]]])
        ax.add_collection(LineCollection(np.moveaxis(ends, 2, 0), colors=ORANGE, lw=0.9, alpha=0.75))
        ax.set_title(f"level {g}", fontsize=9)
    axes[0].set(ylim=(0, 100), xlim=(age[0], age[-1]), ylabel="GMFM-66, points")
    axes[0].locator_params(axis="x", nbins=3, integer=True)
    part.supxlabel("age, years", fontsize=10)
    part.suptitle("Score and age by level", x=0.01, ha="left", **TITLE)


def _changes(ax: Axes, seen: xr.Dataset) -> None:
    rows, names = seen["group"].values.tolist(), _names(seen)
    for y, name in enumerate(rows):
        _range(ax, y, seen["change"].sel(group=name).values, BLUE, "o")
    for study in seen["trial"].values.tolist():
        mean, sd, n = (seen[f"reported_{v}"].sel(trial=study).item() for v in ("mean", "sd", "n"))
        _range(ax, len(rows), mean + sd * special.ndtri(seen["quantile"].values), GREY, "s")
        rows.append(f"{names.of[study]}\n({n:g} children)")
    ax.set(yticks=range(len(rows)), ylim=(len(rows) - 0.4, -0.6), xlabel="change, GMFM-66 points")
    for text in ax.set_yticklabels(rows, parse_math=False)[len(rows) - seen.sizes["trial"] :]:
        text.set_fontsize(SMALL)
    line_of_no_effect(ax)
    ax.set_title(f"Change in {seen.attrs['month']:g} months without cells", loc="left", **TITLE)


def _range(ax: Axes, y: float, quantiles: np.ndarray, colour: str, marker: str) -> None:
    """Draw a median, its half and its 95 %, and write the median above."""
    lowest, low, middle, high, highest = quantiles
    ax.plot([lowest, highest], [y, y], color=colour, lw=1.2)
    ax.plot([low, high], [y, y], color=colour, lw=5, alpha=0.5, solid_capstyle="butt")
    ax.plot(middle, y, marker, color=colour, ms=6)
    ax.annotate(f"{middle:.1f}", (middle, y), (0, 5), ha="center", fontsize=SMALL, **BESIDE)


# normal children


def _normal(seen: xr.Dataset) -> Figure:
    figure = Figure(figsize=(WIDTH, 8.4), layout="constrained")
    parts = figure.subfigures(4, 1, height_ratios=[2, 2, 2.6, 1.8])
    _histogram(parts[0].subplots(), seen, "baseline", "Score at baseline", "GMFM-66, points")
    title = f"Change in {seen.attrs['month']:g} months without cells"
    _histogram(parts[1].subplots(), seen, "change", title, "change, GMFM-66 points")
    _correlation(parts[2].subplots(), seen)
    _retention(parts[3].subplots(), seen)
    return figure


def _histogram(ax: Axes, seen: xr.Dataset, name: str, title: str, label: str) -> None:
    low, middle, high = seen[name].isel(group=0).sel(quantile=[0.025, 0.5, 0.975]).values
    edge = seen[f"{name}_edge"].values
    ax.hist(edge[:-1], edge, weights=seen[f"{name}_count"].values, color=BLUE, alpha=0.8)
    ax.axvspan(low, high, color=BLUE, alpha=0.12, lw=0, zorder=0)
    ax.axvline(middle, color="black", lw=1.2, ls="--")
    ax.set_xlabel(f"{label} (median {middle:.1f}; 95 % from {low:.1f} to {high:.1f})")
    without_left_axis(ax)
    ax.set_title(title, loc="left", **TITLE)


def _correlation(ax: Axes, seen: xr.Dataset) -> None:
    correlation, names = seen["correlation"].values, seen["visit"].values.tolist()
    ax.imshow(correlation, cmap="Blues", vmin=0, vmax=1.3, aspect="auto")
    for (i, j), r in np.ndenumerate(correlation):
        ax.text(j, i, f"{r:.2f}", ha="center", va="center", fontsize=SMALL, color="white" if r > 0.75 else "black")
    ax.set(xticks=range(len(names)), xticklabels=names, yticks=range(len(names)), yticklabels=names, xlabel="month")
    ax.set_title("Correlation of the scores", loc="left", **TITLE)


# both


def _retention(ax: Axes, seen: xr.Dataset) -> None:
    share, names = seen["retained"].values, seen["visit"].values.tolist()
    ax.plot(names, share, "o-", color=BLUE, lw=1.8, ms=6)
    for i, s in enumerate(share):
        ax.annotate(f"{100 * s:.0f} %", (i, s), (0, 7), ha="center", fontsize=9, **BESIDE)
    ax.set(ylim=(0, 1.25), xlim=(-0.4, len(names) - 0.6), xlabel="month")
    ax.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
    ax.set_title("Still in the trial", loc="left", **TITLE)
