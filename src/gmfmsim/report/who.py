"""The page of who gains most: the effect by age and level, trials of some children alone, and the test of subgroups."""

from functools import partial
from typing import Any

import xarray as xr
from matplotlib.figure import Figure

from gmfmsim.answer.result import Result
from gmfmsim.answer.tables import Cell, Table, table
from gmfmsim.answer.who_words import children
from gmfmsim.compute.text import decimals, percent
from gmfmsim.evidence.formulas.conversions import Z975
from gmfmsim.progress import Steps
from gmfmsim.report.html import draw, filled
from gmfmsim.report.look import BLUE, GREY, ORANGE, legend_below, one_axes

AXIS = {"age": "mean age of the children of a trial, years", "gmfcs": "mean GMFCS level of the children of a trial"}
HEADINGS = {"age": "By age", "gmfcs": "By GMFCS level"}
CAPTION = (
    "Effect by the {axis}. Line and band: mean of studies and its 95 % interval; dashed: 95 % of new studies. Dots: "
    "contrasts as reported, with 95 % intervals; sideways what their mean may be where it is not printed. Hatched: "
    "beyond the means that were studied."
)


def who_page(result: Result, advance: Steps) -> None:
    """Draw the figures of the question, and write its page."""
    answer = result.answer
    terms = [part["term"] for part in answer["by"]]
    captions = {term: CAPTION.format(axis=AXIS[term].split(",")[0]) for term in terms}
    drawings = {term: partial(effect_figure, result.data(term)) for term in terms}
    drawn = draw(result.folder / "figures", drawings, captions, advance=advance)
    headline, *sentences = answer["sentences"]
    values = {
        **{"headline": headline, "sentences": sentences, "drawn": drawn, "headings": HEADINGS, "percent": percent},
        **{"bands": bands_table, "groups": groups_table, "needed": needed_table, "studies": studies_table},
        **{"children": children, "points": points},
    }
    result.report.write_text(filled("who.html.j2", answer=answer, **values), encoding="utf-8")


def points(row: dict[str, Any], name: str = "effect", low: str = "low", high: str = "high") -> str:
    """Write a figure with its 95 % interval."""
    return f"{decimals(row[name])} ({decimals(row[low])} to {decimals(row[high])})"


# tables


def bands_table(part: dict[str, Any]) -> Table:
    """Return the trials of some children alone: the effect there, and the children each needs."""
    rows = []
    for band in part["bands"]:
        beyond = "beyond what was studied" if band["outside"] else ""
        rows.append(
            [
                band["words"],
                f"{band['mean']:.2g}",
                points(band),
                f"{decimals(band['new_low'])} to {decimals(band['new_high'])}",
                percent(band["above_0"]),
                Cell(children(band["n_total"]), warn=beyond),
                percent(band["plateau"]),
            ]
        )
    heads = ["children", "#mean", "#effect, points", "#in a new study", "#P(effect > 0)"]
    return table([*heads, "#children in all", "#plateau"], rows)


def groups_table(part: dict[str, Any]) -> Table:
    """Return the subgroups of one trial: the effect in each, and its power by itself."""
    rows = [[g["words"], f"{g['mean']:.2g}", points(g), percent(g["within"])] for g in part["subgroups"]["groups"]]
    return table(["subgroup", "#mean", "#effect, points", "#power within it"], rows)


def needed_table(part: dict[str, Any]) -> Table:
    """Return what the test of treatment by subgroup needs, beside what a main effect of the same size needs."""
    rows = [
        [
            f"a difference {row['words']}",
            decimals(row["difference"]),
            children(row["n_total"]),
            children(row["main_total"]),
        ]
        for row in part["subgroups"]["needed"]
    ]
    return table(["", "#points", "#children, to tell it", "#children, for an effect of this size"], rows)


def studies_table(part: dict[str, Any]) -> Table:
    """Return what is known of the children of each study."""
    rows = [
        [s["study"], decimals(s["mean"]), decimals(s["sd"]) if s["sd"] else "", s["told"]]
        for s in sorted(part["studies"], key=lambda s: s["mean"])
    ]
    return table(["study", "#mean", "#SD of what it may be", "from"], rows)


# figures


def effect_figure(data: xr.Dataset) -> Figure:
    """Draw the effect by the mean of the children, with the contrasts beside it."""
    figure, ax = one_axes(4.2)
    at, where = data["at"].values, data["where"].values
    ax.fill_between(at, data["low"], data["high"], color=BLUE, alpha=0.2, lw=0)
    ax.plot(at, data["effect"], color=BLUE, lw=2, label="mean of studies")
    for end, label in (("new_low", "new study, 95 %"), ("new_high", None)):
        ax.plot(at, data[end], color=BLUE, lw=1, ls="--", label=label)
    errors = {"yerr": Z975 * data["se"].values, "xerr": Z975 * data["where_sd"].values}
    look = {"fmt": "o", "color": GREY, "ecolor": "#BBBBBB", "ms": 4.5, "lw": 1}
    ax.errorbar(where, data["reported"].values, **errors, **look, label="contrasts as reported")
    for edge in ((at[0], data.attrs["low"]), (data.attrs["high"], at[-1])):
        ax.axvspan(*edge, facecolor="white", edgecolor=ORANGE, alpha=0.35, hatch="///", lw=0, zorder=0)
    ax.axhline(0, color="#AAAAAA", lw=0.8, zorder=0)
    inside = [data["low"].min().item(), data["high"].max().item(), *data["reported"].values.tolist()]
    ax.set(xlim=(at[0], at[-1]), ylim=(min(inside) - 2, max(inside) + 2), xlabel=AXIS[data.attrs["term"]])
    ax.set_ylabel("effect, GMFM-66 points")
    if data.attrs["term"] == "gmfcs":
        ax.set_xticks([1, 2, 3, 4, 5], ["I", "II", "III", "IV", "V"])
    legend_below(figure, ax)
    return figure
