"""The page of adverse events: benefit and harm by dose in one figure, the rows, what a trial can show, when to stop."""

from functools import partial

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gmfmsim.answer.result import Result
from gmfmsim.answer.safety import capitalised, event_words, in_words
from gmfmsim.answer.tables import Cell, Table, table
from gmfmsim.compute.text import decimals, percent
from gmfmsim.evidence.covariates import ROUTE_WORDS
from gmfmsim.progress import Steps
from gmfmsim.report.html import draw, filled
from gmfmsim.report.labels import labels
from gmfmsim.report.look import BLUE, GREEN, GREY, LINE, ORANGE, PURPLE, WIDTH, legend_below, one_axes

MARKS = ("o", "s", "D", "^", "v", "P", "X", "*")
COLOURS = (ORANGE, PURPLE, GREEN, GREY, BLUE)

CAPTIONS = {
    "harm": "Benefit and harm by dose. Above: the gain in GMFM-66 points against children without cells, mean of "
    "studies. Below: children with an event in 100 beyond those who have it without cells, in a new trial. Dots: mean "
    "of the gain, median of the excess; bars: 95 % intervals. More is better in the upper part and worse in the lower.",
    "stopping": "What the stopping rule does. Share of trials stopped for harm by each look, at true rates of the "
    "event; computed exactly.",
}


def safety_page(result: Result, advance: Steps) -> None:
    """Draw the figures of a result about adverse events, and write its page."""
    answer, data = result.answer, result.data("safety")
    drawings = {"harm": partial(harm_figure, data), "stopping": partial(stopping_figure, data)}
    heading = f"{answer['experiment']}: adverse events by dose"
    drawn = draw(result.folder / "figures", drawings, CAPTIONS, heading=heading, advance=advance)
    events = [
        one
        | {
            "title": _title(one["event"]),
            "doses_table": doses_table(one),
            "rows_table": rows_table(one),
            "left_table": left_table(one),
            "parameters_table": parameters_table(one),
            "otherwise_table": otherwise_table(one) if one["otherwise"] else None,
        }
        for one in answer["events"]
    ]
    values = {"drawn": drawn, "events": events, "overview": overview(answer), "percent": percent, "words": event_words}
    values |= {"gain_table": gain_table(answer), "none_table": none_table(answer) if answer["none_seen"] else None}
    values |= {"looks_table": looks_table(answer), "operating_table": operating_table(answer), "dose": in_words}
    result.report.write_text(filled("safety.html.j2", answer=answer, **values), encoding="utf-8")


def _title(event: str) -> str:
    return capitalised(event_words(event))


def _to(low: str, high: str) -> str:
    """Return a range that stays on one line."""
    return f"{low} to {high}".replace(" ", "\u00a0")


def _range(of: dict, middle: str = "median") -> Cell:
    """Return the cell of a rate with its interval below it."""
    return Cell(percent(of[middle]), _to(percent(of["low"]), percent(of["high"])))


def _more(of: dict) -> Cell:
    """Return the cell of a risk difference, per 100 children."""
    median, low, high = (decimals(100 * of[k] + 0.0, 1, "+") for k in ("median", "low", "high"))
    return Cell(median, _to(low, high))


def _children(seen: dict) -> Cell:
    return Cell(f"{seen['median']:,}", _to(f"{seen['high']:,}", f"{seen['low']:,}"))


def overview(answer: dict) -> Table:
    """Return every event at the last dose: rates with and without cells, the excess, P(above its limit)."""
    headings = ["event", "#limit", "#without cells", "#with cells", "#more in 100", "#P(more)", "#P(above limit)"]
    rows = []
    for one in answer["events"]:
        at, without = one["doses"][-1], one["without"]
        rates = [_range(without["new_trial"]), _range(at["new_trial"]), _more(at["difference"])]
        chances = [percent(at["more_with_cells"]), percent(at["above_limit"])]
        rows.append([_title(one["event"]), percent(one["limit"]), *rates, *chances])
    return table(headings, rows)


def doses_table(one: dict) -> Table:
    """Return the rates of an event by dose."""
    headings = ["dose, cells/kg", "#typical trial", "#new trial", "#more in 100", "#P(more)", "#P(above limit)"]
    rows = []
    for at in ({"dose": 0.0} | one["without"], *one["doses"]):
        rates = [_range(at["typical_trial"]), _range(at["new_trial"])]
        more = [_more(at["difference"]), percent(at["more_with_cells"])] if at["dose"] else ["", ""]
        dose = in_words(at["dose"]) if at["dose"] else "no cells"
        rows.append([dose, *rates, *more, percent(at["above_limit"]), _children(at["children_to_see_one"])])
    return table([*headings, "#children to see one"], rows)


def otherwise_table(one: dict) -> Table:
    """Return the last dose of an event from other rows and other priors."""
    rows = [("as above", len(one["rows"]), sum(r["n"] for r in one["rows"]), one["doses"][-1])]
    rows += [(way["words"], way["arms"], way["children"], way) for way in one["otherwise"]]
    cells = [
        [words, str(arms), str(n), _range(at["new_trial"]), _more(at["difference"]), percent(at["above_limit"])]
        for words, arms, n, at in rows
    ]
    return table(["", "#arms", "#children", "#new trial", "#more in 100", "#P(above limit)"], cells)


def rows_table(one: dict) -> Table:
    """Return the arms that count, each with the exact interval of its share and its source."""
    rows = []
    for r in one["rows"]:
        dose = f"{in_words(r['dose'])} {ROUTE_WORDS.get(r['route'], r['route'])}" if r["dose"] else "no cells"
        share = Cell(percent(r["share"]), _to(percent(r["low"]), percent(r["high"])))
        source = Cell(f"{r['file']} row {r['row']}", r["source_location"], link=r["source_url"])
        rows.append([Cell(f"{r['study']} {r['arm']}", r["note"]), dose, f"{r['events']} of {r['n']}", share, source])
    return table(["trial, arm", "dose, cells/kg", "#children", "#share", "source"], rows)


def left_table(one: dict) -> Table:
    """Return the rows that do not count, and why."""
    rows = []
    for r in one["left_out"]:
        counted = f"{'?' if r['events'] is None else r['events']} of {'?' if r['n'] is None else r['n']}"
        rows.append([f"{r['study']} {r['arm']}", r["event"], counted, r["why"], f"{r['file']} row {r['row']}"])
    return table(["trial, arm", "counted as", "#children", "left out because", "row"], rows)


def parameters_table(one: dict) -> Table:
    """Return the parameters of the model of an event."""
    rows = [
        [Cell(p["name"], p["words"]), decimals(p["mean"]), decimals(p["sd"]), p["prior"]] for p in one["parameters"]
    ]
    return table(["parameter", "#mean", "#sd", "prior"], rows)


def gain_table(answer: dict) -> Table:
    """Return the gain by dose."""
    rows = []
    for at in answer["gain"]["doses"]:
        cells = [
            Cell(decimals(of["mean"]), _to(decimals(of["low"]), decimals(of["high"])))
            for of in (at["typical_trial"], at["new_trial"])
        ]
        rows.append([in_words(at["dose"]), *cells, percent(at["above_0"])])
    return table(["dose, cells/kg", "#mean of studies", "#new trial", "#P(any gain)"], rows)


def none_table(answer: dict) -> Table:
    """Return the arms in which an event was not seen, with the rate that this excludes."""
    rows = [
        [_title(r["event"]), f"{r['study']} {r['arm']}", in_words(r["dose"]), f"0 of {r['n']}", percent(r["bound"])]
        for r in sorted(answer["none_seen"], key=lambda r: r["bound"])
    ]
    return table(["event", "trial, arm", "dose, cells/kg", "#seen", "#rate below"], rows)


def looks_table(answer: dict) -> Table:
    """Return the boundary of the stopping rule."""
    stop = answer["stopping"]
    fewest = ["none" if b is None else str(b) for b in stop["boundary"]]
    return table(["children with cells", "#stop at so many events"], zip(map(str, stop["looks"]), fewest, strict=True))


def operating_table(answer: dict) -> Table:
    """Return what the stopping rule does at true rates."""
    stop = answer["stopping"]
    rows = [
        [percent(r["rate"]), percent(r["stops"]), *(percent(p) for p in r["at_look"]), decimals(r["children"], 1)]
        for r in stop["operating"]
    ]
    return table(["true rate", "#stopped", *(f"#at {n}" for n in stop["looks"]), "#children on average"], rows)


# figures


def harm_figure(data: xr.Dataset) -> Figure:
    """Draw the gain by dose above the excess of every event by dose, one axis of doses below both."""
    figure = Figure(figsize=(WIDTH, 5.0), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.5])
    dose = data["dose"].values
    _bars(above, dose, data["gain"].values, {"color": BLUE, "marker": "o", "label": "gain"})
    above.set_title("gain, GMFM-66 points", loc="left", fontsize=10)
    names = labels([event_words(name) for name in data["event"].values.tolist()], 0.45 * LINE, 9)
    shown, step = data["difference"].values * 100, 1.045
    for i, name in enumerate(data["event"].values.tolist()):
        aside = step ** (2 * i - len(shown) + 1)
        look = {"color": COLOURS[i % len(COLOURS)], "marker": MARKS[i], "label": names.of[event_words(name)]}
        _bars(below, dose * aside, shown[i], look)
    below.set_title("children with an event, more in 100", loc="left", fontsize=10)
    for ax in (above, below):
        ax.axhline(0, color="#AAAAAA", lw=0.8, zorder=0)
    below.set(xscale="log", xlabel="dose, cells per kg", xlim=(dose.min() / 1.5, dose.max() * 1.5))
    below.set_xticks(dose, [in_words(d) for d in dose.tolist()])
    below.minorticks_off()
    legend_below(figure, below)
    return figure


def _bars(ax: Axes, x: np.ndarray, value: np.ndarray, look: dict) -> None:
    """Draw dots with intervals; value (D, 3): middle, low and high."""
    middle, low, high = value.T
    ax.errorbar(x, middle, yerr=[middle - low, high - middle], ls="none", ms=5, lw=1.6, **look)


def stopping_figure(data: xr.Dataset) -> Figure:
    """Draw the share of trials stopped by each look, a line a true rate."""
    figure, ax = one_axes(3.4)
    looks, rates = data["look"].values, data["rate"].values.tolist()
    reached = np.cumsum(data["stops"].values, axis=1)
    for i, rate in enumerate(rates):
        shade = 0.15 + 0.75 * i / max(1, len(rates) - 1)
        ax.plot(
            looks, reached[i], "o-", ms=3.5, lw=1.4, color=(*_mixed(shade), 1.0), label=f"true rate {percent(rate)}"
        )
    ax.set(ylim=(-0.02, 1.02), xlabel="children with cells", ylabel="stopped, %")
    ax.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1], ["0", "20", "40", "60", "80", "100"])
    ax.set_xticks(looks if looks.size <= 12 else looks[:: -(-looks.size // 12)])
    legend_below(figure, ax, upwards=True)
    return figure


def _mixed(share: float) -> tuple[float, ...]:
    """Return a colour between blue and orange."""
    ends = [[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in (BLUE, ORANGE)]
    return tuple((1 - share) * a + share * b for a, b in zip(*ends, strict=True))
