"""The figures of a plan's report."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gmfmsim.compute.text import percent
from gmfmsim.evidence.covariates import CLASS_WORDS, ROUTE_WORDS
from gmfmsim.evidence.formulas.conversions import Z975, Z995
from gmfmsim.evidence.schema import at_month
from gmfmsim.report.html import BLUE, GREEN, GREY, LINE, ORANGE, PURPLE, WIDTH
from gmfmsim.report.labels import Labels, labels, line


class Drawn(NamedTuple):
    """What the figures of a plan are drawn from: its answer, and the datasets beside it by name."""

    answer: dict
    data: dict[str, xr.Dataset]


CLASS_MARKERS = dict(zip(CLASS_WORDS, ("o", "s", "^", "D", "v"), strict=True))


def figures_of(plan: Drawn) -> dict[str, Callable[[], Figure | None]]:
    """Return how to draw each figure of a plan, by name."""
    return {f.__name__: partial(f, plan) for f in (curves, dose_response, funnel, forest)}


def curves(plan: Drawn) -> Figure:
    """Power and assurance against n, with the plateau, the target and the required n with its interval."""
    surface, answer = plan.data["surface"], plan.answer
    figure, ax = _axes(4.6)
    n = surface["randomised"].values
    lines = {
        "new_study": (BLUE, "-", "assurance, new study"),
        "pooled_mean": (ORANGE, "--", "assurance, mean of studies (no tau)"),
        "planning_value": (GREEN, "-.", f"power at {answer['planning_value']:g} {_short(answer['unit'])}"),
        "null": (GREY, ":", "false claim of benefit (no effect)"),
    }
    for scenario, (colour, style, label) in lines.items():
        y = surface["success"].sel(scenario=scenario).values[:, 0]
        e = Z975 * surface["success_mcse"].sel(scenario=scenario).values[:, 0]
        ax.fill_between(n, y - e, y + e, color=colour, alpha=0.25, lw=0)
        ax.plot(n, y, style, color=colour, lw=1.8, label=label)
    plateau, target = answer["plateau"], answer["target"]["value"]
    ax.axhline(plateau, color=BLUE, lw=1.2, ls=(0, (1, 2)), label=f"plateau of a new study, {percent(plateau)}")
    ax.axhline(target, color="black", lw=0.8, label=f"target, {percent(target)} {answer['target']['metric']}")
    if (required := answer["n_total"]) is not None:
        low, high = answer["n_total_interval"]
        ax.axvspan(low, high or n[-1], color="black", alpha=0.08, lw=0)
        ax.plot([required] * 2, [0, target], color="black", lw=1)
        ax.annotate(
            f"{required} children",
            (required, 0.06),
            xytext=(4, 0),
            textcoords="offset points",
            fontsize=10,
            fontweight="bold",
        )
    ax.set(xlim=(0, n[-1]), ylim=(0, 1.08), xlabel="children randomised in all", ylabel="probability of success")
    ax.set_yticks(np.arange(0, 1.01, 0.2), [f"{v:.0f} %" for v in np.arange(0, 101, 20)])
    _legend_below(figure, ax, columns=1)
    return figure


def forest(plan: Drawn) -> Figure:
    """Reported effects by cell class and route, what the model shrinks them to, their mean and a new study."""
    data, unit = plan.data.get("contrasts"), plan.answer["unit"]
    rows = [] if data is None else _forest_rows(data, forest_labels(plan))
    figure, ax = _axes(2.0 + 0.47 * len(rows))
    if rows:
        reported, se, low, middle, high = (data[v].values for v in ("reported", "se", "low", "median", "high"))
        place = {i: y for y, (i, _) in enumerate(rows) if i is not None}
        i, y = np.array(list(place)), np.array(list(place.values()), float)
        ax.errorbar(
            reported[i], y - 0.02, xerr=Z975 * se[i], fmt="s", color=GREY, ms=4, lw=1, label="as reported, 95 % CI"
        )
        ax.errorbar(
            middle[i],
            y + 0.24,
            xerr=[(middle - low)[i], (high - middle)[i]],
            fmt="o",
            color=BLUE,
            ms=4,
            lw=1.8,
            label="shrunk by the model, 95 %",
        )
        for y, (i, text) in enumerate(rows):
            weight = "bold" if i is None else "normal"
            at = y + 0.2 if i is None else y - 0.22
            ax.text(
                0,
                at,
                text,
                transform=ax.get_yaxis_transform(),
                va="bottom",
                fontsize=9,
                fontweight=weight,
                parse_math=False,
            )
    top = len(rows) + 0.35
    at = f" at {_per_kg(_dose(plan))}" if "dose_response" in plan.data else ""
    for offset, (kind, name, colour) in enumerate(
        (("mean", "mean of studies", ORANGE), ("new_study", "a new study", PURPLE))
    ):
        low, middle, high = (plan.data["effect"][v].sel(kind=kind).item() for v in ("low", "effect", "high"))
        label, y = name + at, top + 0.85 * offset
        ax.plot([low, high], [y, y], color=colour, lw=3, solid_capstyle="butt")
        ax.plot(middle, y, "D", color=colour, ms=7)
        ax.text(
            0,
            y - 0.2,
            f"{label}: {middle:.2f} ({low:.2f} to {high:.2f})",
            transform=ax.get_yaxis_transform(),
            va="bottom",
            fontsize=9,
            fontweight="bold",
            parse_math=False,
        )
    ax.axvline(0, color="#AAAAAA", lw=0.8, zorder=0)
    ax.set(ylim=(top + 1.2, -0.75), yticks=[], xlabel=f"effect, {unit} (right favours cells)")
    ax.spines["left"].set_visible(False)
    if rows:
        _legend_below(figure, ax, columns=2)
    return figure


def funnel(plan: Drawn) -> Figure | None:
    """Reported effects against their standard errors, with contours of significance and the regression on se."""
    found = plan.answer["evidence"]["small_study"]
    if found is None:
        return None
    figure, ax = _axes(4.8)
    data = plan.data["contrasts"]
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
    _legend_below(figure, ax, columns=2)
    return figure


def dose_response(plan: Drawn) -> Figure | None:
    """The effect against dose with the band of the mean and of a new study; doses not studied are shaded."""
    band, data = plan.data.get("dose_response"), plan.data.get("contrasts")
    if band is None:
        return None
    figure, ax = _axes(4.6)
    dose = band["dose"].values
    for kind, colour, alpha, label in (
        ("new_study", BLUE, 0.13, "a new study"),
        ("mean", BLUE, 0.30, "mean of studies"),
    ):
        part = band.sel(kind=kind)
        ax.fill_between(dose, part["low"], part["high"], color=colour, alpha=alpha, lw=0, label=f"{label}, 95 %")
    ax.plot(dose, band["effect"].sel(kind="mean"), color=BLUE, lw=1.8, label="mean of studies")
    ax.errorbar(
        data["dose"],
        data["reported"],
        yerr=Z975 * data["se"],
        fmt="s",
        color=GREY,
        ms=4,
        lw=1,
        label="as reported, 95 % CI",
    )
    low, high = plan.answer["evidence"]["observed_doses"]
    for edge in ((dose[0], low), (high, dose[-1])):
        ax.axvspan(*edge, facecolor="white", edgecolor=ORANGE, alpha=0.35, hatch="///", lw=0)
    trial = _dose(plan)
    ax.axvline(trial, color=ORANGE, lw=1.5, ls="--", label=f"dose of the trial, {_per_kg(trial)}")
    ax.axhline(0, color="black", lw=0.8)
    ax.set(
        xscale="log",
        xlim=(dose[0], dose[-1]),
        xlabel="dose, cells per kg (hatched: not studied)",
        ylabel=f"effect, {plan.answer['unit']}",
    )
    _legend_below(figure, ax, columns=1)
    return figure


def _axes(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.add_subplot()


def _legend_below(figure: Figure, ax: Axes, columns: int) -> None:
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower left", ncols=columns, frameon=False, fontsize=9)


def forest_labels(plan: Drawn) -> Labels:
    """Return the labels of studies and headings in the forest."""
    data = plan.data.get("contrasts")
    if data is None:
        return labels([], LINE, 9)
    return labels([*data["study"].values.tolist(), *_headings(data)], 0.6 * LINE, 9, bold=True)


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
            dose = _per_kg(one["dose"].item())
            rest = f"{marks}: {dose}, {at_month(one['month'].item())}"
            rows.append((i, line(names.of[one["study"].item()], rest, LINE, 9)))
    return rows


def _per_kg(dose: float) -> str:
    """Write a dose as a small multiple of a power of ten, in cells per kg."""
    if not np.isfinite(dose):
        return "dose not known"
    exponent = int(np.floor(np.log10(dose)))
    return f"{dose / 10**exponent:.3g}e{exponent}/kg"


def _dose(plan: Drawn) -> float:
    """Return the dose of the trial: that of the arm with most cells."""
    return max(arm["dose"] for arm in plan.answer["trial"]["arms"])


def _short(unit: str) -> str:
    return {"GMFM-66 points": "points", "standard deviations": "SD"}.get(unit, unit)
