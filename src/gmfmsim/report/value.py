"""What a trial is worth on its page: over children in all and by dose, and what is known after it."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gmfmsim.answer.tables import Cell, Table, table
from gmfmsim.compute.text import decimals, figure, percent
from gmfmsim.report.look import BESIDE, BLUE, GREEN, GREY, ORANGE, PURPLE, WIDTH, smooth

ROWS = 8
"""Numbers of children that the table shows beside those that the answer names."""

COLOURS = (PURPLE, ORANGE, GREEN, BLUE, "#56B4E9", "#E69F00", "black", GREY)
"""Colours of doses."""

MILLION = 1e6


def worth_table(found: dict | None) -> Table | None:
    """Return what trials of several sizes are worth, cost and gain, in millions; the one that gains most is marked."""
    if found is None:
        return None
    rows, paid = found["over_n"], found["largest"] is not None
    named = {row["n_total"] for row in (found["largest"], found["at_answer"]) if row}
    places = set(np.linspace(0, len(rows) - 1, min(ROWS, len(rows))).astype(int).tolist())
    shown = [row for i, row in enumerate(rows) if i in places or row["n_total"] in named]
    heads = [
        "#children in all",
        "#months",
        f"#worth, million {found['currency']}",
        *(["#cost", "#net"] if paid else []),
    ]
    best = found["largest"] and found["largest"]["n_total"]
    marked = [i for i, row in enumerate(shown) if row["n_total"] == best]
    return table(heads, [_worth(row) for row in shown], marked)


def _worth(row: dict) -> list[str | Cell]:
    cells: list[str | Cell] = [str(row["n_total"]), f"{row['months']:.0f}", _millions(row["evsi"])]
    if row["cost"] is None:
        return cells
    low, high = (_millions(row["cost"][end]) for end in ("low", "high"))
    return [*cells, high if low == high else f"{low} to {high}", _millions(row["net_gain"]["low"])]


def doses_table(found: dict | None, studied: list[float] | None) -> Table | None:
    """Return of every dose what is expected of it, the worth of knowing more, and the trial that gains most.

    None of one dose alone; studied: the lowest and highest dose of the evidence.
    """
    if found is None or len(found["by_dose"]) < 2:
        return None
    paid = found["largest"] is not None
    heads = ["dose, cells/kg", "#mean gain", "treated now", f"#to know the mean, million {found['currency']}"]
    heads += ["#children in all", "#net"] if paid else []
    rows = []
    for row in found["by_dose"]:
        outside = bool(studied) and not studied[0] <= row["dose"] <= studied[1]
        cells = [Cell(_dose(row["dose"]), warn="not studied" if outside else ""), decimals(row["mean"])]
        cells += ["yes" if row["treat"] else "no", _millions(row["evpi"])]
        if paid:
            best = row["largest"]
            cells += [str(best["n_total"] or "no trial pays"), _millions(best["net_gain"]["low"])]
        rows.append(cells)
    marked = [i for i, row in enumerate(found["by_dose"]) if row["dose"] == found["next_dose"]]
    return table(heads, rows, marked)


def after_table(found: dict | None) -> Table | None:
    """Return what is expected to be known after trials of several sizes."""
    if found is None or not found["after"]:
        return None
    quantiles = list(found["after"][0]["quantiles"])
    few = [quantiles[0], quantiles[len(quantiles) // 2], quantiles[-1]]
    now = found["now"]
    heads = ["#children in all", "#SD of the mean", "#SD of tau", "#then > 97.5 %", "#then < 50 %"]
    heads += [f"#{100 * float(p):.0f} % of it below" for p in few]
    rows = [["none", decimals(now["sd"]), decimals(now["between_sd"]), "", "", *[percent(now["above"])] * 3]]
    for row in found["after"]:
        cells = [str(row["n_total"]), decimals(row["sd"]), decimals(row["between_sd"])]
        rows.append(
            [*cells, percent(row["sure"]), percent(row["doubtful"]), *(percent(row["quantiles"][p]) for p in few)]
        )
    return table(heads, rows)


def value_figure(found: dict) -> Figure:
    """Draw worth, cost and net gain against children in all, and below the net gain (or worth) of every dose."""
    several = len(found["by_dose"]) > 1
    shape = Figure(figsize=(WIDTH, 6.6 if several else 4.4), layout="constrained")
    axes = shape.subplots(2, sharex=True) if several else [shape.subplots()]
    _over_n(axes[0], found)
    if several:
        _by_dose(axes[1], found)
    for ax in axes:
        ax.axhline(0, color="black", lw=0.8)
    axes[-1].set_xlabel("children randomised in all (logarithmic)")
    return shape


def _over_n(ax: Axes, found: dict) -> None:
    rows = found["over_n"]
    n, evsi = (np.array([row[name] for row in rows], float) for name in ("n_total", "evsi"))
    ax.plot(*smooth(n, evsi / MILLION), color=BLUE, lw=1.8, label="worth")
    top = evsi.max() / MILLION
    least = 0.0
    if found["largest"] is not None:
        low, high = (np.array([row["cost"][end] for row in rows]) / MILLION for end in ("low", "high"))
        ax.fill_between(n, low, high, color=ORANGE, alpha=0.25, lw=0)
        ax.plot(n, high, color=ORANGE, lw=1.4, ls="--", label="cost")
        net = evsi / MILLION - high
        ax.plot(*smooth(n, net), color=GREEN, lw=1.8, label="net gain")
        best, least = found["largest"], -max(0.6 * top, 2 * high[0])
        top = max(top, 1.5 * high[0])
        if best["n_total"]:
            at = best["n_total"], best["net_gain"]["low"] / MILLION
            ax.plot(*at, "o", color=GREEN, ms=7)
            ax.annotate(f"{best['n_total']} children", at, (4, 8), fontsize=10, fontweight="bold", **BESIDE)
    _framed(ax, n, (least, 1.25 * top), found)
    ax.legend(frameon=False, fontsize=9, loc="upper left", ncols=3)


def _by_dose(ax: Axes, found: dict) -> None:
    paid = found["largest"] is not None
    name, top, first, n = ("net_gain" if paid else "evsi"), 0.0, 0.0, np.ones(1)
    for dose, colour in zip([row["dose"] for row in found["by_dose"]], COLOURS * 2, strict=False):
        rows = [row for row in found["surface"] if row["dose"] == dose]
        n, y = (np.array([row[key] for row in rows], float) for key in ("n_total", name))
        own = dose == found["dose"]
        ax.plot(*smooth(n, y / MILLION), color=colour, lw=2.4 if own else 1.4, label=f"{_dose(dose)}/kg")
        top, first = max(top, y.max() / MILLION), max(first, abs(y[0]) / MILLION)
    _framed(ax, n, (-max(0.6 * top, 2 * first) if paid else 0.0, 1.35 * max(top, first)), found)
    ax.set_ylabel(f"{'net gain' if paid else 'worth'}, million {found['currency']}")
    ax.legend(frameon=False, fontsize=9, loc="upper left", ncols=3)


def _framed(ax: Axes, n: np.ndarray, ends: tuple[float, float], found: dict) -> None:
    """Set the axes: children on a logarithmic scale, amounts where there is something to see."""
    ax.set_xscale("log")
    ax.set(xlim=(n[0], n[-1]), ylim=ends, ylabel=f"million {found['currency']}")
    ticks = [s * 10**k for k in range(7) for s in (1, 2, 5) if n[0] <= s * 10**k <= n[-1]]
    ax.set_xticks(ticks, [f"{t:,}" for t in ticks])
    ax.minorticks_off()


def _dose(dose: float) -> str:
    return figure(dose).replace("e+0", "e")


def _millions(amount: float) -> str:
    return figure(amount / MILLION) if abs(amount) >= 0.5 else "0"
