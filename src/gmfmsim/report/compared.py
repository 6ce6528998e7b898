"""Plans side by side: the tables of a comparison and the figure of all curves against children in all."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from gmfmsim.answer.result import Result
from gmfmsim.answer.sizing import NO_NUMBER
from gmfmsim.answer.tables import Cell, Table, table, written
from gmfmsim.compute.text import Written, money, percent
from gmfmsim.evidence.formulas.conversions import Z975
from gmfmsim.progress import Steps
from gmfmsim.report.html import Picture, draw, filled
from gmfmsim.report.labels import Labels, labels, with_key
from gmfmsim.report.look import BLUE, GREEN, GREY, LINE, ORANGE, PURPLE, legend_below, one_axes, smooth

LOOKS = [(colour, style) for style in ("-", "--", ":") for colour in (BLUE, ORANGE, GREEN, PURPLE, GREY)]

CAPTION = (
    "Assurance in a new study against children in all, of every plan. Dots: the number that reaches its target. Bands: "
    "95 % Monte Carlo error, where trials are simulated."
)


def compared_table(found: dict) -> Table:
    """Return the plans of a comparison, one a row."""
    rows = found["rows"]
    ranged, settings = any(row["range"] for row in rows), any(_over_settings(row) for row in rows)
    looks = any(row.get("expected") for row in rows)
    headings = [
        "plan",
        "#children in all",
        *(["#on average"] if looks else []),
        *(["depending on what is assumed"] if ranged else []),
        "#assurance",
    ]
    headings += ["#power", "#plateau", "#false claims", *(["#over settings"] if settings else [])]
    headings += ["#with cells", "#beside the first"]
    told = any(row["months"] or row["cost"] for row in rows)
    headings += ["#cost, months"] if told else []
    asked = any(row.get("worth") for row in rows)
    headings += ["#worth most"] if asked else []
    cells = [
        [*_row(row, looks, ranged, settings), *([_resources(row)] if told else []), *([_worth(row)] if asked else [])]
        for row in rows
    ]
    return table(headings, cells, [0])


def differs_table(found: dict) -> Table:
    """Return what is not assumed alike of all plans, one a row."""
    headings = ["assumed", *(row["label"] for row in found["rows"])]
    return table(headings, [[row["what"], *row["values"]] for row in found["differs"]])


def _row(row: dict, looks: bool, ranged: bool, settings: bool) -> list[str | Cell]:
    target = f"{percent(row['target']['value'])} {row['target']['metric']}"
    arms = ", ".join(f"{n} {arm}" for arm, n in (row["n_by_arm"] or {}).items())
    needed = Cell(str(row["n_total"]), arms) if row["n_total"] else Cell(NO_NUMBER[row["why"]])
    cells: list[str | Cell] = [Cell(row["label"], f"for {target}"), needed]
    cells += [_average(row)] if looks else []
    cells += [_range(row["range"])] if ranged else []
    power = _share(row["power"], row["power_mcse"])
    return [
        *cells,
        _share(row["assurance"], row["assurance_mcse"]),
        power._replace(note=f"at {row['planning_value']:g} {power.note}".strip()) if power.text else power,
        _share(row["plateau"], row["plateau_mcse"]),
        _share(row["false_claims"], row["false_claims_mcse"]),
        *([_most_claims(_over_settings(row))] if settings else []),
        "" if row["exposed"] is None else str(row["exposed"]),
        _beside(row),
    ]


def _average(row: dict) -> str:
    """Return the children on average: of a plan without looks those in all."""
    children = row.get("expected") or row["n_total"]
    return "" if children is None else f"{children:.0f}"


def _range(found: dict | None) -> str:
    if found is None:
        return "not computed"
    none = ", or none" if found["none"] else ""
    return "none" if found["low"] is None else f"{found['low']} to {found['high']}{none}"


def _over_settings(row: dict) -> dict | None:
    """Return the most false claims over settings of children; an earlier result says them where above nominal alone."""
    return row.get("most_false_claims", row.get("above_nominal"))


def _most_claims(worst: dict | None) -> Cell:
    """Return the most false claims over settings of children, in red where they lie above nominal."""
    if worst is None:
        return Cell("")
    cell = _share(worst["rate"], worst["mcse"])
    most = f"up to {cell.text}"
    return cell._replace(text="", warn=most) if worst["above"] else cell._replace(text=most)


def _resources(row: dict) -> Cell:
    """Return what a plan costs, and below it the months to its last visit."""
    cost, months = row["cost"], row["months"]
    time = f"{months['median']:,.0f} months, {months['low']:,.0f} to {months['high']:,.0f}" if months else ""
    return Cell(money(cost["low"], cost["high"], row["currency"]) if cost else "", time)


def _worth(row: dict) -> Cell:
    """Return the trial of a plan that gains most, and below it what it gains, or without costs what it is worth."""
    if not (found := row.get("worth")):
        return Cell("")
    if not found["n_total"]:
        return Cell("no trial pays")
    amount = found["evsi"] if found["net"] is None else found["net"]
    said = money(amount, amount, found["currency"]).removeprefix("about ")
    return Cell(f"{found['n_total']} children", said if found["net"] is None else f"net {said}")


def _share(value: float | None, mcse: float | None) -> Cell:
    return Cell("") if value is None else written(Written(percent(value), percent(mcse)))


def _beside(row: dict) -> Cell:
    """Return how many children more a plan needs than the first, and what it gains or loses with as many."""
    children, assurance, error = row["more_children"], row["more_assurance"], row["more_assurance_mcse"]
    with_as_many = ""
    if assurance is not None:
        with_as_many = f"{100 * assurance:+.1f}{f' \u00b1 {100 * error:.1f}' if error else ''} % points with as many"
    return Cell(f"{children:+d} children" if children else "", with_as_many)


def comparison_figure(found: dict, surfaces: Sequence[xr.Dataset]) -> Figure:
    """Draw assurance in a new study against children in all for every plan, on a logarithmic axis."""
    figure, ax = one_axes(3.6 + 0.2 * len(surfaces))
    names = curve_labels(found).of
    for row, surface, (colour, style) in zip(found["rows"], surfaces, LOOKS * len(surfaces), strict=False):
        of = surface[["success", "success_mcse"]].isel(analysis=0).sel(scenario="new_study")
        n, y, error = surface["randomised"].values, of["success"].values, of["success_mcse"].values
        if np.isfinite(error).any():
            ax.fill_between(n, y - Z975 * error, y + Z975 * error, color=colour, alpha=0.15, lw=0)
        else:
            n, y = smooth(n, y)
        ax.plot(n, y, style, color=colour, lw=1.8, label=names[row["label"]])
        if row["n_total"] and row["assurance"]:
            ax.plot(row["n_total"], row["assurance"], "o", color=colour, ms=6)
    for target in sorted({row["target"]["value"] for row in found["rows"]}):
        ax.axhline(target, color="black", lw=0.8, zorder=0)
    ax.set(xscale="log", ylim=(0, 1.02), xlabel="children randomised in all (logarithmic)", ylabel="assurance")
    ax.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    low, high = ax.get_xlim()
    ticks = [s * 10**k for k in range(8) for s in (1, 2, 5) if low <= s * 10**k <= high]
    ax.set_xticks(ticks, [f"{t:,}" for t in ticks])
    ax.minorticks_off()
    legend_below(figure, ax, columns=1)
    return figure


def compared_figure(result: Result, found: dict, surfaces: Sequence[xr.Dataset], heading: str) -> Picture:
    """Draw the curves of a comparison into the folder of its result."""
    drawings = {"comparison": partial(comparison_figure, found, surfaces)}
    captions = {"comparison": with_key(CAPTION, curve_labels(found))}
    return draw(result.folder / "figures", drawings, captions, "all-", heading)["comparison"]


def compared_page(result: Result, advance: Steps) -> None:
    """Draw the figure of a comparison and write its page."""
    found = result.answer["comparison"]
    surfaces = [result.data(f"surface-{i + 1}") for i in range(len(found["rows"]))]
    picture = compared_figure(result, found, surfaces, result.answer["sentence"])
    advance()
    values = {"compared": compared_table(found), "differs": differs_table(found), "comparison": picture}
    result.report.write_text(filled("compared.html.j2", answer=result.answer, **values), encoding="utf-8")


def curve_labels(found: dict) -> Labels:
    """Return the labels of the plans in the legend."""
    return labels([row["label"] for row in found["rows"]], 0.85 * LINE, 9)
