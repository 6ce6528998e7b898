"""The page of a review rerun: printed and computed figures side by side, every one with its rows."""

from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gmfmsim.answer.result import Result
from gmfmsim.answer.tables import Cell, Table, table
from gmfmsim.evidence.rerun.rows import INTERVAL
from gmfmsim.evidence.schema import RATIOS
from gmfmsim.progress import Steps
from gmfmsim.report.html import draw, filled
from gmfmsim.report.labels import Labels, labels, line, with_key
from gmfmsim.report.look import BLUE, GREY, LINE, ORANGE, WIDTH, at_left, line_of_no_effect, one_axes, without_left_axis

CAPTIONS = {
    "forest": "95 % intervals as printed (grey) and as computed from the trials (blue), and under other readings "
    "(orange, hollow).",
    "p_values": "p as printed (grey square) and as the printed estimate and interval imply (blue). A printed bound "
    "(p < ...) is an arrow.",
}
UNITS = {
    "SMD": "standardised mean difference (right favours cells)",
    "MD": "effect, points (right favours cells)",
    "WMD": "effect, points (right favours cells)",
    "RR": "risk ratio, cells to control",
    "OR": "odds ratio, cells to control",
    "dose_slope": "points for a tenfold dose",
}
WORDS = {
    "ci_low": "95 % interval, low",
    "ci_high": "95 % interval, high",
    "i2_pct": "I2, %",
    "tau2": "tau squared",
    "k_studies": "trials",
    "n_total": "children",
    "se": "standard error",
    "events_active": "events, cells",
    "n_active": "children, cells",
    "events_control": "events, control",
    "n_control": "children, control",
    "percent_active": "per cent, cells",
    "percent_control": "per cent, control",
}


def rerun_page(result: Result, advance: Steps) -> None:
    """Draw the figures of a review rerun, and write its page."""
    answer, checks = result.answer, result.answer["checks"]
    captions = {name: with_key(caption, _names(checks)) for name, caption in CAPTIONS.items()}
    drawings = {f.__name__: partial(f, checks) for f in (forest, p_values)}
    figures = list(draw(result.folder / "figures", drawings, captions, advance=advance).values())
    more = [c | {"figures_table": _figures(c), "variants_table": _variants(c)} for c in checks]
    values = {"answer": answer, "drawn": figures, "checks": more, "verdicts": _verdicts(checks)}
    page = filled("rerun.html.j2", figure=figure_text, entered=_entered, **values)
    result.report.write_text(page, encoding="utf-8")


def _verdicts(checks: list[dict]) -> Table:
    rows = []
    for i, c in enumerate(checks, 1):
        verdict = Cell("", warn=c["verdict"]) if c["verdict"] == "not reproduced" else c["verdict"]
        rows.append([Cell(c["title"], link=f"#check-{i}"), verdict, "partly" if c["circular"] else "no"])
    return table(["check", "verdict", "circular"], rows)


def _figures(check: dict) -> Table:
    """Return what was printed and computed, figure by figure."""
    rows = []
    for f in check["figures"]:
        if f["published"] is None and f["computed"] is None:
            continue
        difference, equal = figure_text(f["difference"]), f["qualifier"] == "="
        printed = ("" if equal else f"{f['qualifier']} ") + _plain(f["published"])
        told = Cell("", warn=difference) if f["agrees"] is False else difference
        allowed = _plain(f["tolerance"]) if equal and f["agrees"] is not None else ""
        rows.append([_words(f["name"], check["measure"]), printed, figure_text(f["computed"]), told, allowed])
    return table(["figure", "#printed", "#computed", "#difference", "#allowed"], rows)


def _variants(check: dict) -> Table:
    """Return what other readings come to."""
    rows = []
    for v in check["variants"]:
        found = {"i2_pct": None} | {f["name"]: f["computed"] for f in v["figures"]}
        interval = f"{figure_text(found['ci_low'])} to {figure_text(found['ci_high'])}"
        label = Cell(v["label"], v["because"] or "")
        numbers = [figure_text(found["estimate"]), interval, figure_text(found["i2_pct"]), str(len(v["inputs"]))]
        rows.append([label, *numbers])
    estimate = _words("estimate", check["measure"])
    return table(["reading", f"#{estimate}", "#95 % interval", "#I2, %", "#trials"], rows)


def figure_text(value: float | None) -> str:
    """Write a computed figure: three decimals below 10, two above, three digits below 0.01; nothing for None."""
    if value is None:
        return ""
    if float(value).is_integer():
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) < 0.01 else f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}"


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _words(name: str, measure: str) -> str:
    if name == "estimate":
        return "slope for a tenfold dose" if measure == "dose_slope" else measure
    return WORDS.get(name, name)


def _entered(values: dict) -> str:
    """Say what a trial brought: mean, SD and children of each arm, or events of children."""
    if "events" in values:
        return " against ".join(f"{a} of {n}" for a, n in zip(values["events"], values["n"], strict=True))
    children = " and ".join(f"{n:g}" for n in values["n"]) + " children"
    if not values.get("mean") or None in values["mean"]:
        return children
    arms = [f"{m:g} (SD {figure_text(s)})" for m, s in zip(values["mean"], values["sd"], strict=True)]
    return f"{' against '.join(arms)}, {children}"


# figures


def _names(checks: list[dict]) -> Labels:
    """Return the labels of checks and of their other readings."""
    texts = [text for c in checks for text in (c["title"], *(v["label"] for v in c["variants"]))]
    return labels(texts, LINE, 9, bold=True)


def forest(checks: list[dict]) -> Figure | None:
    """Printed and computed intervals of every check with an interval, one panel a measure; ratios on a log axis."""
    panels: dict[str, list[tuple]] = {}
    for check in checks:
        rows = _interval_rows(check)
        if any(kind != "printed" for _, kind, _ in rows):
            panels.setdefault(check["measure"], []).append((check["title"], rows))
    if not panels:
        return None
    heights = [1 + sum(0.75 + len(rows) for _, rows in group) for group in panels.values()]
    figure = Figure(figsize=(WIDTH, 0.5 + 0.36 * sum(heights) + 0.4 * len(heights)), layout="constrained")
    axes, names = figure.subplots(len(panels), 1, height_ratios=heights, squeeze=False)[:, 0], _names(checks)
    for ax, (measure, group) in zip(axes, panels.items(), strict=True):
        _panel(ax, group, measure, names)
    return figure


def _interval_rows(check: dict) -> list[tuple[str, str, list[float]]]:
    """Return (label, kind, [estimate, low, high]) of what a check printed, computed and read otherwise."""
    own = check["figures"]
    found = [("printed", "printed", own, "published"), ("computed", "computed", own, "computed")]
    found += [(v["label"], "variant", v["figures"], "computed") for v in check["variants"]]
    rows = []
    for label, kind, figures, which in found:
        by_name = {f["name"]: f[which] for f in figures}
        values = [by_name.get(k) for k in INTERVAL]
        if None not in values:
            rows.append((label, kind, values))
    return rows


def _panel(ax: Axes, group: list[tuple], measure: str, names: Labels) -> None:
    looks = {"printed": (GREY, "s", GREY), "computed": (BLUE, "o", BLUE), "variant": (ORANGE, "D", "white")}
    y = 0.0
    for title, rows in group:
        _label(ax, y, names.of[title], fontweight="bold")
        for label, kind, (estimate, low, high) in rows:
            y += 1
            colour, marker, face = looks[kind]
            ax.plot([low, high], [y + 0.2] * 2, color=colour, lw=1.6)
            ax.plot(estimate, y + 0.2, marker, color=colour, mfc=face, ms=5)
            figures = f": {estimate:.2f} ({low:.2f} to {high:.2f})"
            _label(ax, y - 0.2, line(names.of.get(label, label), figures, LINE, 8), fontsize=8)
        y += 1.0
    ratio = measure in RATIOS
    if ratio:
        ax.set_xscale("log")
        low, high = ax.get_xlim()
        ticks = [t for t in (0.1, 0.2, 0.5, 1, 2, 5, 10) if low <= t <= high]
        ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
        ax.minorticks_off()
    line_of_no_effect(ax, 1 if ratio else 0)
    ax.set(ylim=(y - 0.2, -0.6), xlabel=UNITS.get(measure, measure))
    without_left_axis(ax)


def _label(ax: Axes, y: float, text: str, **look: object) -> None:
    """Write a label at the left edge, over the line of no effect and without a say in the layout."""
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
    at_left(ax, y, text, va="center", bbox=box, **look).set_in_layout(False)


def p_values(checks: list[dict]) -> Figure | None:
    """Printed and implied p of every check that has both, on a log axis cut off at 1e-6."""
    rows = []
    for check in (c for c in checks if c["kind"] == "p_value"):
        f = next(f for f in check["figures"] if f["name"] == "p")
        rows.append((check["title"], f["published"], f["computed"], f["qualifier"]))
    if not rows:
        return None
    (figure, ax), least, names = one_axes(1.0 + 0.55 * len(rows)), 1e-6, _names(checks)
    for y, (title, printed, implied, qualifier) in enumerate(rows):
        ax.plot(max(printed, least), y + 0.15, "s" if qualifier == "=" else "<", color=GREY, ms=7)
        ax.plot(max(implied, least), y + 0.15, "o" if implied >= least else "<", color=BLUE, ms=5)
        figures = f": {'' if qualifier == '=' else qualifier + ' '}{printed:g} printed, {implied:.2g} implied"
        _label(ax, y - 0.2, line(names.of[title], figures, LINE, 9))
    line_of_no_effect(ax, 0.05)
    ax.set(xscale="log", xlim=(least / 2, 1.5), ylim=(len(rows) - 0.4, -0.6), xlabel="two-sided p")
    without_left_axis(ax)
    return figure
