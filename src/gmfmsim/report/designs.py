"""What a design would show: tables and figures of its operating characteristics, its section of the page."""

import math
from collections.abc import Callable
from functools import partial
from itertools import cycle

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from gmfmsim.answer.tables import Cell, Table, simulated, table, written
from gmfmsim.compute.text import Written, number, percent, share
from gmfmsim.evidence.formulas.conversions import Z975
from gmfmsim.report.children import children_caption, children_figure
from gmfmsim.report.figures import Drawn
from gmfmsim.report.html import Picture
from gmfmsim.report.labels import fitted
from gmfmsim.report.look import BESIDE, BLUE, GREEN, GREY, LINE, ORANGE, PURPLE, WIDTH, legend_below

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


COLUMNS: dict[str, tuple[str, Callable[[float, float], Written]]] = {
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


def characteristics_table(surface: xr.Dataset, scenario: str, n: int) -> Table:
    """Return the operating characteristics of each analysis with their MCSE, the primary one marked.

    A characteristic that no analysis has (the type S error without an effect) gets no column.
    """
    at = surface.sel(scenario=scenario, n=n)
    known = {k: of for k, of in COLUMNS.items() if k in at and np.isfinite(at[k].values).any()}
    columns = [simulated(at, name, write) for name, (_, write) in known.items()]
    rows = zip(at["analysis"].values.tolist(), *columns, strict=True)
    return table(["analysis", *(f"#{heading}" for heading, _ in known.values())], rows, [0])


def differences_table(surface: xr.Dataset, scenario: str, n: int, claims: list[dict]) -> Table:
    """Return success minus that of the primary analysis (percentage points, paired MCSE) and what it means.

    claims: the largest rates of false claims above nominal, which an analysis warns of beside its success.
    """
    errs = {row["analysis"]: f"false claims up to {percent(row['rate'])}" for row in claims}
    labels = surface["analysis"].values.tolist()
    at = surface[["difference", "difference_mcse"]].sel(scenario=scenario, n=n, versus=labels[0])
    pairs = zip(at["difference"].values.tolist(), at["difference_mcse"].values.tolist(), strict=True)
    rows = [
        [label, written(_points(*pair)), Cell(_compared(*pair), warn=errs.get(label, ""))]
        for label, pair in zip(labels, pairs, strict=True)
    ]
    return table(["analysis", "#difference", "compared"], rows[1:])


def _points(difference: float, mcse: float) -> Written:
    return Written(f"{100 * difference + 0.0:+.2f}", f"{100 * mcse:.2f}" if math.isfinite(mcse) else "")


def _compared(difference: float, mcse: float) -> str:
    if difference == 0 and mcse == 0:
        return "the same verdict in every trial"
    if not abs(difference) >= 2 * mcse:
        return "not told apart"
    return "succeeds more often" if difference > 0 else "succeeds less often"


def selection_table(surface: xr.Dataset, scenario: str, n: int) -> Table:
    """Return how often each analysis along doses would take each arm on; no rows without any."""
    if "selected" not in surface:
        return table([], [])
    selects = (surface["selected"].fillna(0) > 0).any(["scenario", "n", "arm"])
    at = surface[["selected", "selected_mcse"]].sel(scenario=scenario, n=n)
    labels = surface["analysis"].values[selects.values].tolist()
    rows = [[label, *simulated(at.sel(analysis=label), "selected")] for label in labels]
    return table(["analysis", *(f"#{arm}" for arm in surface["arm"].values.tolist())], rows)


def nuisance_table(rows: xr.Dataset, nominal: float) -> Table:
    """Return for each setting the type I error of each analysis with its MCSE, and whether it is above nominal.

    Above: by more than three MCSE. rows: type_one, type_one_mcse, dims setting (in words) and analysis.
    """
    found, above = [], (rows["type_one"] > nominal + 3 * rows["type_one_mcse"]).transpose("setting", "analysis").values
    for i, setting in enumerate(rows["setting"].values.tolist()):
        cells = simulated(rows.isel(setting=i), "type_one")
        found.append([setting, *(c._replace(warn="above" if w else "") for c, w in zip(cells, above[i], strict=True))])
    return table(["children", *(f"#{label}" for label in rows["analysis"].values.tolist())], found)


def sources_table(sources: list[dict]) -> Table:
    """Return every figure of a design with its source and how it was checked."""
    rows = []
    for r in sources:
        doubtful = r["verified"] in ("recalled", "assumed")
        checked = Cell("", warn=r["verified"]) if doubtful else Cell(r["verified"])
        rows.append([r["name"], r["value"], r["unit"], r["source"], checked])
    return table(["figure", "value", "unit", "source", "checked"], rows)


# figures


def _figures(plan: Drawn) -> dict[str, Callable[[], Figure]]:
    """Return how to draw each figure of a design, by name."""
    how = {"marked": plan.answer["n_total"], "nominal": _nominal(plan.answer["design"])}
    return {
        "children": partial(children_figure, plan.data["children"]),
        "analyses": partial(curves_figure, plan.data["surface"], **how),
    }


def curves_figure(surface: xr.Dataset, *, marked: int | None = None, nominal: float | None = None) -> Figure:
    """Draw success in a new study against children in all by analysis, and below, dotted, success without an effect.

    marked: the children of the answer; nominal: the nominal rate of success without an effect.
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
        if marked is not None:
            ax.axvline(marked, color="black", lw=0.8, ls="--", zorder=0)
    if marked is not None:
        axes[0].annotate(f"{marked} children", (marked, 0), (4, 5), fontweight="bold", **BESIDE)
    axes[-1].set_xlabel("children randomised in all")
    legend_below(figure, axes[0])
    return figure


def _lines(ax: Axes, surface: xr.Dataset, style: str) -> None:
    n = surface["randomised"].values
    looks = zip(cycle((BLUE, ORANGE, GREEN, PURPLE, GREY)), cycle("os^Dv<>"), strict=False)
    for label, (colour, marker) in zip(surface["analysis"].values.tolist(), looks, strict=False):
        y, mcse = (surface[name].sel(analysis=label).values for name in ("success", "success_mcse"))
        ax.fill_between(n, y - Z975 * mcse, y + Z975 * mcse, color=colour, alpha=0.2, lw=0)
        look = {"color": colour, "marker": marker, "ms": 4.5, "markevery": max(1, len(n) // 6), "lw": 1.5}
        ax.plot(n, y, style, label=fitted(label, 0.4 * LINE, 9), **look)
    if len(n) > 1:
        ax.set_xlim(n[0], n[-1])


# the section


def design_section(plan: Drawn, draw: Callable[..., dict[str, Picture]]) -> dict:
    """Return what a page says of a design: protocol, children, operating characteristics at its n, sources, terms.

    draw: takes the figures of a design and their captions and returns them drawn.
    """
    design, surface = plan.answer["design"], plan.data["surface"]
    n, nominal = design["n"], _nominal(design)
    curves = CURVES.format(nominal="" if nominal is None else f" (line: nominal, {percent(nominal)})")
    captions = {"children": children_caption(plan.data["children"]), "analyses": curves}
    known = [s for s in SCENARIOS if s in surface["scenario"].values]
    at = surface.sel(n=n)
    return design | {
        "figures": list(draw(_figures(plan), captions).values()),
        "randomised": at["randomised"].item(),
        "enrolled": at["enrolled"].item(),
        "seen": at["completers"].sel(scenario=known[0]).item(),
        "seen_mcse": at["completers_mcse"].sel(scenario=known[0]).item(),
        "primary": surface["analysis"].values[0],
        "characteristics": [(SCENARIOS[s], characteristics_table(surface, s, n)) for s in known],
        "differences": differences_table(surface, known[0], n, plan.answer["above_nominal"]),
        "selection": selection_table(surface, known[0], n),
        "nuisance": nuisance_table(plan.data["type_one"], design["nominal"]),
        "sources_table": sources_table(design["sources"]),
        "nominal": percent(design["nominal"]),
        "replicates": surface.attrs["replicates"],
        "replicates_elsewhere": surface.attrs.get("replicates_elsewhere", surface.attrs["replicates"]),
        "terms": TERMS,
    }


def _nominal(design: dict) -> float | None:
    """Return the nominal rate of success without an effect; None where no effect lies within the claim."""
    return design["nominal"] if design["claim"] == "superiority" else None
