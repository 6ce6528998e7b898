"""What a design would show: tables and figures of its operating characteristics, its section of the page."""

import math
from collections.abc import Callable, Iterable
from functools import partial
from itertools import cycle
from typing import NamedTuple

import numpy as np
import xarray as xr
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from gmfmsim.answer.result import percent
from gmfmsim.evidence.formulas.conversions import Z975
from gmfmsim.report.children import Reported, children_caption, children_figure
from gmfmsim.report.html import BLUE, GREEN, GREY, LINE, ORANGE, PURPLE, WIDTH, filled
from gmfmsim.report.labels import fitted
from gmfmsim.trial.designs import Design
from gmfmsim.trial.protocol import protocol, sources

SCENARIOS = {
    "new_study": "In a new study: truths from the evidence, the scatter between studies included",
    "planning_value": "At the planning value",
    "null": "Without an effect",
}
CURVES = (
    "Success in a new study against n by analysis, all on the same simulated children; below, dotted, the same "
    "without an effect{nominal}. Bands: 95 % Monte Carlo error."
)
TERMS = {
    "success": "share of trials that make the claim of the protocol; sqrt(p (1 - p) / K)",
    "harm": "share of trials significant against cells; as success",
    "failed": "share of trials whose analysis could not be done, counted as without success; as success",
    "bias": "mean of estimate less truth; empirical SE / sqrt(K)",
    "empirical SE": "SD of estimate less truth over trials; empirical SE / sqrt(2 (K - 1))",
    "model SE": "root mean square of the standard error that the analysis reports; sqrt(Var(se^2) / (4 K model SE^2))",
    "coverage": "share of intervals that hold the truth; as success",
    "width": "mean width of the interval; SD / sqrt(K)",
    "type S": "share of significant results with the wrong sign (Gelman & Carlin 2014); as success",
    "type M": "how many times too large significant estimates are on average (Gelman & Carlin 2014); delta method",
    "MCSE": "Monte Carlo standard error: what another seed may change. K: trials; formulas after Morris, White & "
    "Crowther 2019, table 6. Where trials share posterior draws, success and harm take batch means in its place",
}


class Cell(NamedTuple):
    """A simulated figure and its Monte Carlo standard error as text; both empty where there is none."""

    value: str
    mcse: str


NONE = Cell("", "")


def share(value: float, mcse: float) -> Cell:
    """Write a share and its MCSE as per cent."""
    return Cell(*(percent(x) if math.isfinite(x) else "" for x in (value, mcse))) if math.isfinite(value) else NONE


def number(value: float, mcse: float) -> Cell:
    """Write a figure to the decimals in which its MCSE has two digits, four at most."""
    if not math.isfinite(value):
        return NONE
    decimals = min(max(1 - math.floor(math.log10(mcse)), 0), 4) if math.isfinite(mcse) and mcse > 0 else 2
    value = round(value, decimals) + 0.0  # no minus before nought
    return Cell(f"{value:.{decimals}f}", f"{mcse:.{decimals}f}" if math.isfinite(mcse) else "")


COLUMNS: dict[str, tuple[str, Callable[[float, float], Cell]]] = {
    "success": ("success", share),
    "harm": ("harm", share),
    "failed": ("failed", share),
    "bias": ("bias", number),
    "empirical_se": ("empirical SE", number),
    "model_se": ("model SE", number),
    "coverage": ("coverage", share),
    "width": ("width", number),
    "type_s": ("type S", share),
    "type_m": ("type M", number),
}


# tables


def characteristics_table(surface: xr.Dataset, scenario: str, n: int) -> tuple[list[str], list[tuple[str, list[Cell]]]]:
    """Return headings, and for each analysis its label and cells: operating characteristics with their MCSE.

    A characteristic that no analysis has (the type S error without an effect) gets no column.
    """
    at = surface.sel(scenario=scenario, n=n)
    names = [name for name in COLUMNS if name in at and np.isfinite(at[name].values).any()]
    rows = []
    for label in at["analysis"].values.tolist():
        one = at.sel(analysis=label)
        rows.append((label, [COLUMNS[m][1](one[m].item(), one[f"{m}_mcse"].item()) for m in names]))
    return [COLUMNS[name][0] for name in names], rows


def differences_table(surface: xr.Dataset, scenario: str, n: int) -> list[tuple[str, Cell, str]]:
    """Return label, success minus that of the primary analysis (percentage points, paired MCSE) and what it means."""
    primary, *others = surface["analysis"].values.tolist()
    at = surface[["difference", "difference_mcse"]].sel(scenario=scenario, n=n, versus=primary)
    rows = []
    for label in others:
        difference, mcse = (at[name].sel(analysis=label).item() for name in ("difference", "difference_mcse"))
        error = f"{100 * mcse:.2f}" if math.isfinite(mcse) else ""
        rows.append((label, Cell(f"{100 * difference + 0.0:+.2f}", error), _compared(difference, mcse)))
    return rows


def _compared(difference: float, mcse: float) -> str:
    if difference == 0 and mcse == 0:
        return "the same verdict in every trial"
    if not abs(difference) >= 2 * mcse:
        return "not told apart"
    return "succeeds more often" if difference > 0 else "succeeds less often"


def selection_table(surface: xr.Dataset, scenario: str, n: int) -> tuple[list[str], list[tuple[str, list[Cell]]]]:
    """Return the arms, and for each analysis along doses how often it would take each on; no rows without any."""
    if "selected" not in surface:
        return [], []
    selects = (surface["selected"].fillna(0) > 0).any(["scenario", "n", "arm"])
    at = surface[["selected", "selected_mcse"]].sel(scenario=scenario, n=n)
    arms = surface["arm"].values.tolist()
    rows = []
    for label in surface["analysis"].values[selects.values].tolist():
        one = at.sel(analysis=label)
        rows.append((label, [share(*(one[v].sel(arm=a).item() for v in one)) for a in arms]))
    return arms, rows


def nuisance_table(rows: xr.Dataset, nominal: float) -> tuple[list[str], list[tuple[str, list[tuple[Cell, bool]]]]]:
    """Return the analyses, and for each setting the type I error with its MCSE and whether it is above nominal.

    Above: by more than three MCSE. rows: type_one, type_one_mcse, dims setting (in words) and analysis.
    """
    labels, table = rows["analysis"].values.tolist(), []
    for setting in rows["setting"].values.tolist():
        one = rows.sel(setting=setting)
        found = [(one["type_one"].sel(analysis=a).item(), one["type_one_mcse"].sel(analysis=a).item()) for a in labels]
        table.append((setting, [(share(p, e), bool(p > nominal + 3 * e)) for p, e in found]))
    return labels, table


# figures


def design_figures(
    design: Design, surface: xr.Dataset, seed: int, *, n: int | None = None, reported: Iterable[Reported] = ()
) -> dict[str, Callable[[], Figure]]:
    """Return how to draw each figure of a design, by name."""
    return {
        "children": partial(children_figure, design, seed, tuple(reported)),
        "analyses": partial(curves_figure, surface, n=n, nominal=_nominal(design), unit=_unit(design)),
    }


def curves_figure(
    surface: xr.Dataset, *, n: int | None = None, nominal: float | None = None, unit: str = "children per arm"
) -> Figure:
    """Draw success in a new study against n by analysis, and below, dotted, success without an effect.

    n: the n of the answer, marked; nominal: the nominal rate of success without an effect.
    """
    labels = surface["analysis"].values.tolist()
    null = "null" in surface["scenario"].values
    figure = Figure(figsize=(WIDTH, 3.4 + 1.7 * null + 0.2 * math.ceil(len(labels) / 2)), layout="constrained")
    axes = figure.subplots(1 + null, 1, sharex=True, squeeze=False, height_ratios=[2.2, 1.2][: 1 + null])[:, 0]
    _lines(axes[0], surface.sel(scenario="new_study"), "-")
    axes[0].set(ylim=(0, 1.02), ylabel="success, new study")
    if null:
        _lines(axes[1], surface.sel(scenario="null"), ":")
        axes[1].set(ylabel="without an effect")
        axes[1].set_ylim(0, max(1.15 * axes[1].get_ylim()[1], 2 * (nominal or 0), 0.01))
        if nominal is not None:
            axes[1].axhline(nominal, color="black", lw=0.8)
    for ax in axes:
        ax.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
        if n is not None:
            ax.axvline(n, color="black", lw=0.8, ls="--", zorder=0)
    if n is not None:
        place = {"xytext": (4, 5), "textcoords": "offset points", "fontweight": "bold"}
        axes[0].annotate(f"n = {n}", (n, 0), **place)
    axes[-1].set_xlabel(f"n, {unit}")
    handles, names = axes[0].get_legend_handles_labels()
    names = [fitted(name, 0.4 * LINE, 9) for name in names]
    figure.legend(handles, names, loc="outside lower left", ncols=2, frameon=False, fontsize=9)
    return figure


def _lines(ax: Axes, surface: xr.Dataset, style: str) -> None:
    n = surface["n"].values
    looks = zip(cycle((BLUE, ORANGE, GREEN, PURPLE, GREY)), cycle("os^Dv<>"), strict=False)
    for label, (colour, marker) in zip(surface["analysis"].values.tolist(), looks, strict=False):
        y, mcse = (surface[name].sel(analysis=label).values for name in ("success", "success_mcse"))
        ax.fill_between(n, y - Z975 * mcse, y + Z975 * mcse, color=colour, alpha=0.2, lw=0)
        every = max(1, len(n) // 6)
        ax.plot(n, y, style, color=colour, marker=marker, ms=4.5, markevery=every, lw=1.5, label=label)
    if len(n) > 1:
        ax.set_xlim(n[0], n[-1])


# the section


def design_section(
    design: Design,
    surface: xr.Dataset,
    n: int,
    drawn: dict[str, str],
    *,
    nuisance: xr.Dataset | None = None,
    reported: Iterable[Reported] = (),
) -> Markup:
    """Return the section of a page on a design at n: protocol, children, operating characteristics, sources, terms.

    drawn: the SVG of each of design_figures; text from files is escaped.
    """
    nominal = _nominal(design)
    curves = CURVES.format(nominal="" if nominal is None else f" (line: nominal, {percent(nominal)})")
    captions = {"children": children_caption(design, reported), "analyses": curves}
    known = [s for s in SCENARIOS if s in surface["scenario"].values]
    text = filled(
        "design.html.j2",
        {},
        design=design,
        protocol=protocol(design, n),
        sources=sources(design),
        figures=[{"svg": svg, "caption": captions[name]} for name, svg in drawn.items()],
        n=n,
        unit=_unit(design),
        randomised=surface["randomised"].sel(n=n).item(),
        enrolled=surface["enrolled"].sel(n=n).item(),
        seen=surface["completers"].sel(n=n, scenario=known[0]).item(),
        seen_mcse=surface["completers_mcse"].sel(n=n, scenario=known[0]).item(),
        primary=surface["analysis"].values.tolist()[0],
        characteristics=[(SCENARIOS[s], *characteristics_table(surface, s, n)) for s in known],
        differences=differences_table(surface, known[0], n),
        selection=selection_table(surface, known[0], n),
        nuisance=None if nuisance is None else nuisance_table(nuisance, design.alpha / 2),
        nominal=percent(design.alpha / 2),
        replicates=surface.attrs["replicates"],
        terms=TERMS,
    )
    return Markup(text)


def _nominal(design: Design) -> float | None:
    """Return the nominal rate of success without an effect; None where no effect lies within the claim."""
    return design.alpha / 2 if design.objective.claim == "superiority" else None


def _unit(design: Design) -> str:
    if design.kind in ("pairs", "single_arm"):
        return {"pairs": "pairs", "single_arm": "children"}[design.kind]
    return "children per arm" if all(arm.ratio == 1 for arm in design.arms) else "children in the smallest arm"
