"""The figures of a plan's report."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from gmfmsim.compute.text import percent
from gmfmsim.evidence.covariates import CLASS_WORDS, ROUTE_WORDS
from gmfmsim.evidence.formulas.conversions import Z975, Z995
from gmfmsim.evidence.schema import at_month
from gmfmsim.report.labels import Labels, can_be_set, fitted, labels, line
from gmfmsim.report.look import (
    BESIDE,
    BLUE,
    GREEN,
    GREY,
    LINE,
    ORANGE,
    PURPLE,
    at_left,
    dose_axis,
    legend_below,
    line_of_no_effect,
    one_axes,
    smooth,
    without_left_axis,
)
from gmfmsim.report.looks import looks_figure
from gmfmsim.report.prior import prior_figure
from gmfmsim.report.value import value_figure

REPORTED = {"fmt": "s", "color": GREY, "ms": 4, "lw": 1, "label": "as reported, 95 % CI"}
SHRUNK = {"fmt": "o", "color": BLUE, "ms": 4, "lw": 1.8, "label": "shrunk by the model, 95 %"}
CLASS_MARKERS = dict(zip(CLASS_WORDS, ("o", "s", "^", "D", "v"), strict=True))
MOST_BARS = 12
"""Changed assumptions that a figure shows; the table has all."""
FAR = 50
"""Ratio of the ends of an axis from which on it has whole decades alone."""

SHORT = {"GMFM-66 points": "points", "standard deviations": "SD"}
"""Units in a legend."""


class Drawn(NamedTuple):
    """What the figures of a plan are drawn from: its answer, and the datasets beside it by name."""

    answer: dict
    data: dict[str, xr.Dataset]

    @property
    def dose(self) -> float:
        """The dose of the trial: that of the arm with most cells."""
        return max(arm["dose"] for arm in self.answer["trial"]["arms"])


def figures_of(plan: Drawn) -> dict[str, Callable[[], Figure | None]]:
    """Return how to draw each figure of a plan, by name."""
    drawn = (curves, tornado, looks, prior, value, dose_response, course, funnel, forest)
    return {f.__name__: partial(f, plan) for f in drawn}


def curves(plan: Drawn) -> Figure:
    """Power and assurance against n, with the plateau, the target and the required n with its interval."""
    surface, answer = plan.data["surface"].isel(analysis=0), plan.answer
    figure, ax = one_axes(4.6)
    n, unit = surface["randomised"].values, SHORT.get(answer["unit"], answer["unit"])
    lines = {
        "new_study": (BLUE, "-", "assurance, new study"),
        "pooled_mean": (ORANGE, "--", "assurance, mean of studies (no tau)"),
        "planning_value": (GREEN, "-.", f"power at {answer['planning_value']:g} {unit}"),
        "null": (GREY, ":", "false claim of benefit (no effect)"),
    }
    for scenario, (colour, style, label) in lines.items():
        y, e = (surface[v].sel(scenario=scenario).values for v in ("success", "success_mcse"))
        if np.isfinite(e).any():
            ax.fill_between(n, y - Z975 * e, y + Z975 * e, color=colour, alpha=0.25, lw=0)
            ax.plot(n, y, style, color=colour, lw=1.8, label=label)
        else:
            ax.plot(*smooth(n, y), style, color=colour, lw=1.8, label=label)
    plateau, target = answer["plateau"], answer["target"]["value"]
    ax.axhline(plateau, color=BLUE, lw=1.2, ls=(0, (1, 2)), label=f"plateau of a new study, {percent(plateau)}")
    ax.axhline(target, color="black", lw=0.8, label=f"target, {percent(target)} {answer['target']['metric']}")
    if (required := answer["n_total"]) is not None:
        if interval := answer["n_total_interval"]:
            ax.axvspan(interval[0], interval[1] or n[-1], color="black", alpha=0.08, lw=0)
        ax.plot([required] * 2, [0, target], color="black", lw=1)
        ax.annotate(f"{required} children", (required, 0.06), (4, 0), fontsize=10, fontweight="bold", **BESIDE)
    ax.set(xlim=(0, n[-1]), ylim=(0, 1.08), xlabel="children randomised in all", ylabel="probability of success")
    ax.set_yticks(np.arange(0, 1.01, 0.2), [f"{v:.0f} %" for v in np.arange(0, 101, 20)])
    legend_below(figure, ax, columns=1)
    return figure


def looks(plan: Drawn) -> Figure | None:
    """Children on average and success against the true effect, of a design with looks."""
    found, unit = plan.answer.get("looks"), plan.answer["unit"]
    return looks_figure(found, SHORT.get(unit, unit)) if found else None


def prior(plan: Drawn) -> Figure | None:
    """Success against the true effect, of an analysis with a prior and without."""
    found, unit = plan.answer.get("prior"), plan.answer["unit"]
    return prior_figure(found, SHORT.get(unit, unit)) if found else None


def value(plan: Drawn) -> Figure | None:
    """What a trial is worth, costs and gains against children in all, and by dose, where the plan asks."""
    found = plan.answer.get("value")
    return value_figure(found) if found else None


def tornado(plan: Drawn) -> Figure | None:
    """Children in all under each changed assumption, the largest change first, against those of the answer."""
    answer, rows = plan.answer, plan.answer["sensitivity"][:MOST_BARS]
    if not rows or answer["n_total"] is None:
        return None
    figure, ax = one_axes(1.1 + 0.42 * len(rows))
    base, reached = answer["n_total"], [r["n_total"] for r in rows if r["n_total"] is not None]
    low, high = min([base, *reached]), max([base, *reached])
    end = high * (high / low) ** 0.12
    for y, row in enumerate(rows):
        n = row["n_total"]
        colour = ORANGE if n is None or n > base else BLUE
        ax.barh(y + 0.16, (end if n is None else n) - base, 0.34, left=base, color=colour)
        ax.plot([base, base], [y - 0.06, y + 0.38], color="black", lw=1.5)
        words = "".join(c if can_be_set(c) else "?" for c in row["words"])  # names of studies may hold any sign
        at_left(ax, y - 0.12, fitted(f"{'none' if n is None else n}: {words}", LINE, 9), va="bottom")
    ax.set_xscale("log")
    ax.set(xlim=(low / 1.15, end), ylim=(len(rows) - 0.4, -0.75), xlabel="children in all (logarithmic)")
    steps = (1, 2, 5) if end / low < FAR else (1,)
    ticks = [s * 10**k for k in range(1, 9) for s in steps if low / 1.15 < s * 10**k < end]
    ax.set_xticks(ticks, [f"{t:,}" for t in ticks])
    ax.minorticks_off()
    without_left_axis(ax)
    return figure


def forest(plan: Drawn) -> Figure:
    """Reported effects by cell class and route, what the model shrinks them to, their mean and a new study."""
    data = plan.data.get("contrasts")
    rows = [] if data is None else _forest_rows(data, forest_labels(plan))
    figure, ax = one_axes(2.0 + 0.47 * len(rows))
    if rows:
        of, place = zip(*((i, y) for y, (i, _) in enumerate(rows) if i is not None), strict=True)
        one, y = data.isel(contrast=list(of)), np.array(place, float)
        reported, se, low, middle, high = (one[v].values for v in ("reported", "se", "low", "median", "high"))
        ax.errorbar(reported, y - 0.02, xerr=Z975 * se, **REPORTED)
        ax.errorbar(middle, y + 0.24, xerr=[middle - low, high - middle], **SHRUNK)
        for y, (i, text) in enumerate(rows):
            at, weight = (y + 0.2, "bold") if i is None else (y - 0.22, "normal")
            at_left(ax, at, text, va="bottom", fontweight=weight)
    top = len(rows) + 0.35
    at = f" at {_per_kg(plan.dose)}" if "dose_response" in plan.data else ""
    means = {"mean": ("mean of studies", ORANGE, top), "new_study": ("a new study", PURPLE, top + 0.85)}
    for kind, (name, colour, y) in means.items():
        low, middle, high = (plan.data["effect"][v].sel(kind=kind).item() for v in ("low", "effect", "high"))
        ax.plot([low, high], [y, y], color=colour, lw=3, solid_capstyle="butt")
        ax.plot(middle, y, "D", color=colour, ms=7)
        text = f"{name}{at}: {middle:.2f} ({low:.2f} to {high:.2f})"
        at_left(ax, y - 0.2, text, va="bottom", fontweight="bold")
    line_of_no_effect(ax)
    ax.set(ylim=(top + 1.2, -0.75), xlabel=f"effect, {plan.answer['unit']} (right favours cells)")
    without_left_axis(ax)
    if rows:
        legend_below(figure, ax)
    return figure


def funnel(plan: Drawn) -> Figure | None:
    """Reported effects against their standard errors, with contours of significance and the regression on se."""
    found = plan.answer["evidence"]["small_study"]
    if found is None:
        return None
    figure, ax = one_axes(4.8)
    data = plan.data["contrasts"]
    if "last_month" in data:  # results of before have one month of each arm
        data = data.isel(contrast=data["last_month"].values.astype(bool))
    reported, se = data["reported"].values, data["se"].values
    top = 1.12 * se.max()
    reach = np.linspace(0, top, 2)
    for quantile, shade, label in ((Z995, "#E3E3E3", "p between 0.01 and 0.05"), (Z975, "#F7F7F7", "p above 0.05")):
        ax.fill_betweenx(reach, -quantile * reach, quantile * reach, color=shade, lw=0, label=label, zorder=0)
    for (cells, marker), colour in zip(CLASS_MARKERS.items(), (BLUE, ORANGE, GREEN, PURPLE, GREY), strict=True):
        of = data["cell_class"].values == cells
        if of.any():
            ax.plot(reported[of], se[of], marker, color=colour, ms=7, label=CLASS_WORDS[cells])
    expected = found["limit"] + found["slope"] * reach
    ax.plot(expected, reach, color="black", lw=1.2, ls="--", label="regression on the standard error")
    ax.axvline(0, color="black", lw=0.8)
    ax.set(ylim=(top, 0), xlabel=f"effect, {plan.answer['unit']} (right favours cells)", ylabel="standard error")
    legend_below(figure, ax)
    return figure


def dose_response(plan: Drawn) -> Figure | None:
    """The effect against dose with the band of the mean and of a new study; doses not studied are shaded."""
    band, data = plan.data.get("dose_response"), plan.data.get("contrasts")
    if band is None:
        return None
    figure, ax = one_axes(4.6)
    dose = band["dose"].values
    for kind, alpha, label in (("new_study", 0.13, "a new study, 95 %"), ("mean", 0.30, "mean of studies, 95 %")):
        part = band.sel(kind=kind)
        ax.fill_between(dose, part["low"], part["high"], color=BLUE, alpha=alpha, lw=0, label=label)
    ax.plot(dose, band["effect"].sel(kind="mean"), color=BLUE, lw=1.8, label="mean of studies")
    ax.errorbar(data["dose"], data["reported"], yerr=Z975 * data["se"], **REPORTED)
    dose_axis(ax, dose, plan.answer["evidence"]["observed_doses"])
    ax.axvline(plan.dose, color=ORANGE, lw=1.5, ls="--", label=f"dose of the trial, {_per_kg(plan.dose)}")
    ax.axhline(0, color="black", lw=0.8)
    ax.set_ylabel(f"effect, {plan.answer['unit']}")
    legend_below(figure, ax, columns=1)
    return figure


def course(plan: Drawn) -> Figure | None:
    """The effect against month with the band of the mean and of a new study, reported months of an arm joined."""
    band, data = plan.data.get("course"), plan.data.get("contrasts")
    if band is None:
        return None
    figure, ax = one_axes(4.6)
    for kind, alpha, label in (("new_study", 0.13, "a new study, 95 %"), ("mean", 0.30, "mean of studies, 95 %")):
        part = band.sel(kind=kind)
        ax.fill_between(band["month"], part["low"], part["high"], color=BLUE, alpha=alpha, lw=0, label=label)
    ax.plot(band["month"], band["effect"].sel(kind="mean"), color=BLUE, lw=1.8, label="mean of studies")
    arms = [name.rpartition(", ")[0] for name in data["contrast"].values.tolist()]  # without the month
    for arm in dict.fromkeys(arms):
        own = data.isel(contrast=[a == arm for a in arms]).sortby("month")
        label = "as reported" if arm == arms[0] else None
        ax.plot(own["month"], own["reported"], "s-", color=GREY, ms=4, lw=0.9, alpha=0.8, label=label)
    ax.axvline(plan.answer["trial"]["month"], color=ORANGE, lw=1.5, ls="--", label="endpoint of the trial")
    ax.axhline(0, color="black", lw=0.8)
    ax.set(xlim=(0, None), xlabel="months since the first infusion", ylabel=f"effect, {plan.answer['unit']}")
    ax.set_xticks([0, 1, 3, 6, 9, 12, 18, 24])
    legend_below(figure, ax, columns=1)
    return figure


def forest_labels(plan: Drawn) -> Labels:
    """Return the labels of studies and headings in the forest."""
    data = plan.data.get("contrasts")
    names = [] if data is None else [*data["study"].values.tolist(), *_headings(data)]
    return labels(names, 0.6 * LINE, 9, bold=True)


def _headings(data: xr.Dataset) -> list[str]:
    """Return the heading under which each contrast stands: its cells and route."""
    pairs = zip(data["cell_class"].values.tolist(), data["route"].values.tolist(), strict=True)
    return [f"{CLASS_WORDS.get(cells, cells)}, {ROUTE_WORDS.get(route, route)}" for cells, route in pairs]


def _forest_rows(data: xr.Dataset, names: Labels) -> list[tuple[int | None, str]]:
    """Return the rows of the forest in order: (None, heading) by class and route, then (contrast, its label).

    An asterisk marks a contrast that r converts from another scale, a dagger one whose standard error is not known.
    """
    groups: dict[str, list[int]] = {}
    for i, heading in enumerate(_headings(data)):
        groups.setdefault(heading, []).append(i)
    rows: list[tuple[int | None, str]] = []
    for heading in sorted(groups):
        rows.append((None, names.of[heading]))
        for i in groups[heading]:
            one = data.isel(contrast=i)
            marks = ("" if one["gmfm66"] else " *") + (" \u2020" if one["uncertain"] else "")
            rest = f"{marks}: {_per_kg(one['dose'].item())}, {at_month(one['month'].item())}"
            rows.append((i, line(names.of[one["study"].item()], rest, LINE, 9)))
    return rows


def _per_kg(dose: float) -> str:
    """Write a dose as a small multiple of a power of ten, in cells per kg."""
    if not np.isfinite(dose):
        return "dose not known"
    exponent = int(np.floor(np.log10(dose)))
    return f"{dose / 10**exponent:.3g}e{exponent}/kg"
