"""The page of a claim that a share of children improve: growth alone, what counts say of the effect, and designs."""

from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from gmfmsim.answer.claim_words import any_gain, children_said, false_claims_at, in_points
from gmfmsim.answer.result import Result
from gmfmsim.answer.tables import Cell, Table, table, written
from gmfmsim.compute.text import decimals, percent, share
from gmfmsim.evidence.formulas.conversions import Z975
from gmfmsim.progress import Steps
from gmfmsim.report.html import draw, filled
from gmfmsim.report.labels import Labels, labels, with_key
from gmfmsim.report.look import (
    BLUE,
    GREEN,
    GREY,
    LINE,
    ORANGE,
    PURPLE,
    at_left,
    legend_below,
    line_of_no_effect,
    one_axes,
    without_left_axis,
)

COLOURS = (BLUE, ORANGE, GREEN, PURPLE, GREY, "black")

CAPTIONS = {
    "untreated": "Children without cells who gain more than so many points in {months} months. Lines: volunteers "
    "gain {mean:g} points beyond their growth curve; band, of the first children: {low:g} to {high:g}. Level line: the "
    "share that is claimed. Where a curve lies above it, growth and volunteering alone reach the claim.",
    "false_claims": "How often a trial of {n_total} children claims a gain that is not there, by what volunteers gain "
    "beyond their growth curve. Dashed: the cited mean. Level line: nominal. Bars: 95 % Monte Carlo error.",
    "reports": "What each report of improvers would say of the effect: mean and 95 % interval, if a child was called "
    "better from an unknown margin on. Grey and hollow: periods without cells, in which cells did nothing. That they "
    "come out as large says how little a share without a control group tells.",
}

USED = {
    "effect": "used",
    "other count": "used, beside the paper's own count",
    "without cells": "used as a check",
    "no": "not used",
}


def claim_page(result: Result, advance: Steps) -> None:
    """Draw the figures of a claim, and write its page."""
    answer, data = result.answer, result.data("claim")
    said = answer["volunteers"] | {"months": f"{answer['months']:g}", "n_total": answer["n_total"]}
    captions = {name: caption.format(**said) for name, caption in CAPTIONS.items()}
    captions["reports"] = with_key(captions["reports"], _report_labels(answer))
    captions["false_claims"] = with_key(captions["false_claims"], _design_labels(data))
    drawings = {
        "untreated": partial(untreated_figure, data),
        "reports": partial(reports_figure, answer),
        "false_claims": partial(false_claims_figure, data, answer),
    }
    drawn = draw(result.folder / "figures", drawings, captions, advance=advance)
    headline, *sentences = answer["sentences"]
    values = {
        **{"headline": headline, "sentences": sentences, "drawn": drawn, "chance": chance_table(answer)},
        **{"needed": needed_table(answer), "left": left_table(answer), "reports": reports_table(answer)},
        **{"false_claims": false_table(answer), "power": power_table(answer), "n": children_said(answer)},
        **{"together": answer["together"], "percent": percent, "populations": populations_table(answer)},
    }
    result.report.write_text(filled("claim.html.j2", answer=answer, **values), encoding="utf-8")


# tables


def chance_table(answer: dict[str, Any]) -> Table:
    """Return how probable the claimed share is without cells, in the first children, by number and margin."""
    first = answer["populations"][0]
    rows = []
    for n in answer["sizes"]:
        of = [row for row in first["chance"] if row["children"] == n]
        rows.append([f"{n:,}", *(_with_ends(row) for row in of)])
    return table(["#children", *(f"#gain {any_gain(c)}" for c in answer["margins"])], rows)


def populations_table(answer: dict[str, Any]) -> Table:
    """Return what children of each population gain without cells, and how probable the claimed share then is."""
    n, rows = children_said(answer), []
    ends = answer["margins"][0], answer["margins"][-1]
    for p in answer["populations"]:
        improve = {row["margin"]: row for row in p["improve"]}
        chance = {row["margin"]: row for row in p["chance"] if row["children"] == n}
        rows.append(
            [
                Cell(p["name"], p["title"]),
                decimals(p["growth"], 1),
                *(_with_ends(improve[c]) for c in ends),
                *(_with_ends(chance[c]) for c in ends),
            ]
        )
    of = f"at least {percent(answer['share'])} of {n}"
    heads = ["children", "#growth, points", *(f"#gain {any_gain(c)}" for c in ends)]
    return table([*heads, *(f"#{of} gain {any_gain(c)}" for c in ends)], rows)


def _with_ends(row: dict[str, float]) -> Cell:
    return Cell(percent(row["all"]), f"{percent(row['low'])} to {percent(row['high'])}")


def needed_table(answer: dict[str, Any]) -> Table:
    """Return the mean effect at which just the claimed share improves, by margin and by what volunteers gain."""
    rows = [
        [any_gain(row["margin"]), *(decimals(row[name], 1, "+") for name in ("low", "mean", "high"))]
        for row in answer["populations"][0]["effect"]
    ]
    ends = (answer["volunteers"][name] for name in ("low", "mean", "high"))
    return table(["a child counts that gains", *(f"#volunteers gain {gain:g}" for gain in ends)], rows)


def left_table(answer: dict[str, Any]) -> Table:
    """Return what the claim leaves of the effect, by number of children, margin and population."""
    n, rows = children_said(answer), []
    first = answer["populations"][0]["name"]
    for row in answer["given_the_claim"]:
        if row["margin"] is not None and row["children"] != n:
            continue
        if row["population"] != first and row["children"] != n:
            continue
        margin = "not said" if row["margin"] is None else any_gain(row["margin"])
        of = f"{row['improved']:,} of {row['children']:,}"
        effect, interval = in_points(row["effect"]), _interval(row)
        rows.append([row["population"], of, margin, effect, interval, percent(row["above_0"])])
    return table(["children", "#improve", "counted from", "#effect, points", "#95 % interval", "#P(effect > 0)"], rows)


def reports_table(answer: dict[str, Any]) -> Table:
    """Return every report of improvers of the tables: used or not, why, and what it would say of the effect."""
    rows = []
    for r in answer["reports"]:
        effect = "" if r["effect"] is None else f"{in_points(r['effect'])} ({_interval(r)})"
        month = "" if r["month"] is None else f"{r['month']:g}"
        what = Cell(r["study"], r["definition"], r["source_url"])
        verdict = Cell(USED[r["use"]], "; ".join(filter(None, (r["why"], r["caution"]))))
        rows.append([what, month, counted_words(r), effect, verdict])
    return table(["report", "#month", "#improved", "#effect it would say", "used"], rows)


def counted_words(report: dict[str, Any]) -> str:
    """Say a count as its report does: of children, a number alone, or per cents alone."""
    if report["improved"] is not None and report["children"] is not None:
        return f"{report['improved']} of {report['children']}"
    if report["improved"] is not None:
        return f"{report['improved']} of unknown"
    of = "unknown" if report["children"] is None else f"{report['children']} in all"
    return f"{', '.join(f'{p:g}' for p in report['percents'])} % of {of}"


def false_table(answer: dict[str, Any]) -> Table:
    """Return how often each analysis claims a gain without an effect, by what volunteers gain."""
    first, rows = answer["designs"][0], []
    gains = [row["gain"] for row in first["false_claims"] if row["analysis"] == first["primary"]]
    for d in answer["designs"]:
        for analysis in dict.fromkeys(row["analysis"] for row in d["false_claims"]):
            of = [row for row in d["false_claims"] if row["analysis"] == analysis]
            rows.append([Cell(d["title"], analysis), *(_simulated(row) for row in of)])
    return table(["trial", *(f"#{gain:g} points" for gain in gains)], rows)


def power_table(answer: dict[str, Any]) -> Table:
    """Return how often the primary analysis of each design finds effects where volunteers gain what is cited."""
    rows = []
    for d in answer["designs"]:
        nothing = false_claims_at(d, answer["volunteers"]["mean"])
        found = [row for row in d["power"] if row["analysis"] == d["primary"]]
        size = ", ".join(f"{n} {arm}" for arm, n in d["n_by_arm"].items())
        rows.append([Cell(d["title"], d["primary"]), size, *(_simulated(row) for row in (nothing, *found))])
    return table(["trial", "children", "#no effect", *(f"#{e:g} points" for e in answer["effects"])], rows)


def _simulated(row: dict[str, Any]) -> Cell:
    return written(share(row["value"], row["mcse"]))


def _interval(row: dict[str, Any]) -> str:
    return f"{in_points(row['low'])} to {in_points(row['high'])}"


# figures


def untreated_figure(data: xr.Dataset) -> Figure:
    """Draw the share of children without cells who gain more than a margin, population by population."""
    figure, ax = one_axes(4.4)
    margin = data["margin"].values
    for i, name in enumerate(data["population"].values.tolist()):
        of, colour = data["improve"].sel(population=name), COLOURS[i % len(COLOURS)]
        if i == 0:
            ax.fill_between(margin, of.sel(gain="low"), of.sel(gain="high"), color=colour, alpha=0.18, lw=0)
        ax.plot(margin, of.sel(gain="mean"), color=colour, lw=2 if i == 0 else 1.4, label=name.replace("_", " "))
    ax.axhline(data.attrs["share"], color="black", lw=1, ls="--")
    ax.set(xlim=(margin[0], margin[-1]), ylim=(0, 1), xlabel="gain of more than so many points")
    ax.set_ylabel("children without cells, %")
    ax.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1], ["0", "20", "40", "60", "80", "100"])
    legend_below(figure, ax)
    return figure


def false_claims_figure(data: xr.Dataset, answer: dict[str, Any]) -> Figure:
    """Draw how often the primary analysis of each design claims a gain without an effect, by the gain of volunteers."""
    figure, ax = one_axes(4.4)
    gains, names = data["volunteers"].values, _design_labels(data)
    for i, title in enumerate(data["design"].values.tolist()):
        of, colour = data.isel(design=i), COLOURS[i % len(COLOURS)]
        error = Z975 * of["false_claims_mcse"].values
        look = {"color": colour, "marker": "s" if of["controlled"] else "o", "ms": 5, "lw": 1.6}
        ax.errorbar(gains, of["false_claims"].values, yerr=error, label=names.of[title], **look)
    ax.axvline(answer["volunteers"]["mean"], color=GREY, lw=1, ls="--")
    ax.axhline(answer["designs"][0]["nominal"], color="black", lw=0.8)
    ax.set(ylim=(-0.03, 1.03), xlabel="what volunteers gain in 12 months, points", ylabel="false claims, %")
    ax.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1], ["0", "20", "40", "60", "80", "100"])
    legend_below(figure, ax, columns=1)
    return figure


def _design_labels(data: xr.Dataset) -> Labels:
    return labels(data["design"].values.tolist(), 0.85 * LINE, 9)


def reports_figure(answer: dict[str, Any]) -> Figure | None:
    """Draw what each usable report would say of the effect; None where there is none."""
    rows = [r for r in answer["reports"] if r["effect"] is not None]
    if not rows:
        return None
    figure, ax = one_axes(0.9 + 0.42 * len(rows))
    names = _report_labels(answer)
    for y, r in enumerate(rows):
        colour, face = (GREY, "white") if r["use"] == "without cells" else (BLUE, BLUE)
        ax.plot([r["low"], r["high"]], [y + 0.18] * 2, color=colour, lw=1.6)
        ax.plot(r["effect"], y + 0.18, "o", color=colour, mfc=face, ms=5.5)
        at_left(ax, y - 0.2, names.of[_report_name(r)], va="center", fontsize=8.5)
    line_of_no_effect(ax)
    ends = np.array([[r["low"], r["high"]] for r in rows])
    ax.set(xlim=(ends.min() - 1, ends.max() + 1), ylim=(len(rows) - 0.5, -0.6))
    ax.set_xlabel("effect that the count would say, points (right favours cells)")
    without_left_axis(ax)
    return figure


def _report_labels(answer: dict[str, Any]) -> Labels:
    return labels([_report_name(r) for r in answer["reports"] if r["effect"] is not None], LINE, 8.5)


def _report_name(report: dict[str, Any]) -> str:
    return f"{report['study']}: {counted_words(report)}, {report['definition']}"
