"""The tables of a plan's page, as values from its answer."""

import numpy as np
import xarray as xr

from gmfmsim.answer.tables import Cell, Table, gate, shares, simulated, table, written
from gmfmsim.compute.text import Written, decimals, money, percent
from gmfmsim.report.looks import bounds_table, stopping_table
from gmfmsim.report.prior import components_table, drift_table
from gmfmsim.report.value import after_table, doses_table, worth_table


def tables_of(answer: dict, surface: xr.Dataset) -> dict[str, Table | None]:
    """Return the tables of a plan by name; None where there is nothing to tell."""
    evidence = answer["evidence"]
    return {
        "reference": _reference(answer["reference"]),
        "curves": _curves(answer, surface),
        "optimise": _optimise(answer.get("optimise")),
        "cost": _cost(answer.get("cost")),
        "duration": _duration(answer.get("duration"), answer.get("cost"), answer["n_total"]),
        "assumed": _assumed(answer),
        "effects": _effects(answer),
        "shares": shares([m for m in answer["models"] if m["engine"] != "published"]),
        "readings": _readings(answer["readings"]),
        "moves": _moves(answer),
        "behind": _behind(answer["distribution"]),
        "bounds": bounds_table(answer.get("looks")),
        "stopping": stopping_table(answer.get("looks")),
        "prior": components_table(answer.get("prior")),
        "drift": drift_table(answer.get("prior")),
        "worth": worth_table(answer.get("value")),
        "worth_by_dose": doses_table(answer.get("value"), evidence.get("observed_doses")),
        "known_after": after_table(answer.get("value")),
        "trial_gate": gate(answer["trial_gate"]),
        "statements": _statements(answer.get("course")),
        "within": _within(answer.get("course")),
        "pooled": _pooled(answer.get("course")),
        "by_month": _by_month(answer.get("by_month"), answer["trial"]["month"]),
        "trials": _trials(evidence["trials"]),
        "findings": _findings(evidence),
    }


def _reference(reference: dict | None) -> Table | None:
    if reference is None:
        return None
    rows = [[r["what"], written(Written(percent(r["value"]), percent(r["mcse"])))] for r in reference["rows"]]
    return table(["what", "#probability"], rows)


def _curves(answer: dict, surface: xr.Dataset, most: int = 9) -> Table:
    """Return the surface at a handful of n, the required one marked."""
    grid = surface["n"].values
    places = np.linspace(min(3, max(0, len(grid) - most)), len(grid) - 1, most).astype(int)
    reference = answer["reference"]["n"] if answer["reference"] else int(grid[-1])
    shown = sorted({*grid[places].tolist(), reference})
    at = surface[["success", "success_mcse", "randomised"]].isel(analysis=0).sel(n=shown)
    columns = [simulated(at.sel(scenario=s), "success") for s in ("new_study", "pooled_mean", "planning_value")]
    rows = zip(map(str, at["randomised"].values.tolist()), *columns, strict=True)
    marked = [i for i, n in enumerate(shown) if n == answer["n_per_arm"]]
    return table(["#children in all", "#new study", "#mean", "#power"], rows, marked)


def _optimise(found: list[dict] | None) -> Table | None:
    if not found:
        return None
    rows = [
        [
            f"{r['dose']:.3g}",
            ", ".join(f"{size} {name}" for name, size in r["sizes"].items()),
            written(Written(percent(r["assurance"]), percent(r["assurance_mcse"]))),
            percent(r["assurance_per_100_children"]),
        ]
        for r in found
    ]
    return table(["dose, cells/kg", "children", "#assurance", "#per 100 children"], rows)


def _statements(course: dict | None) -> Table | None:
    """Return how probable what is said of the course in time is, before the data and after them."""
    if course is None:
        return None
    rows = [[row["that"], percent(row["prior"]), percent(row["posterior"])] for row in course["statements"]]
    return table(["statement", "#before the data", "#after them"], rows)


def _within(course: dict | None) -> Table | None:
    """Return the difference of two months within arms that were measured at both."""
    if not course or not course["within"]:
        return None
    rows = []
    for row in course["within"]:
        arm = f"{row['study']}, {row['arm']}" + (f" v {row['control']}" if row["control"] else "")
        se = "" if row["se"] is None else f"{row['se']:.2f}"
        figures = [*(f"{x:.2f}" for x in row["effects"]), f"{row['difference']:+.2f}", se]
        rows.append([Cell(arm, row["scale"]), *figures])
    return table(["arm, scale", "#at 6", "#at 12", "#change", "#SE"], rows)


def _pooled(course: dict | None) -> Table | None:
    """Return the effects pooled by month without a curve, and those of the models; answers of before have none."""
    if not course or not course.get("pooled", {}).get("rows"):
        return None
    rows = []
    for r in course["pooled"]["rows"]:
        estimate, low, high, model = (f"{r[name]:.2f}" for name in ("estimate", "low", "high", "course"))
        rows.append([f"{r['month']:g}", str(r["studies"]), f"{estimate} ({low} to {high})", model])
    return table(["month", "#studies", f"#pooled ({percent(course['pooled']['prob'])})", "#models"], rows)


def _by_month(found: list[dict] | None, month: float) -> Table | None:
    """Return the children in all with the endpoint at each month, the trial's own marked."""
    if not found:
        return None
    rows = [
        [f"{r['month']:g}", "none" if r["n_total"] is None else str(r["n_total"]), percent(r["plateau"])] for r in found
    ]
    marked = [i for i, r in enumerate(found) if r["month"] == month]
    return table(["endpoint at month", "#children in all", "#plateau"], rows, marked)


def _cost(cost: dict | None) -> Table | None:
    """Return the bill at the required number of children; nothing where there is none."""
    if cost is None or cost["total"] is None:
        return None
    price, rows = cost["scenario"], []
    for row in cost["items"]:
        of = Cell(row["paid_for"])
        if price and price["amount"] == row["item"]:
            of = Cell(row["paid_for"], f"{price['kind']}: {price['source_location']}; {price['source_url']}")
        ends = (f"{row[part]['low']:,.0f}" for part in ("each", "total"))
        tops = (f"{row[part]['high']:,.0f}" for part in ("each", "total"))
        each, whole = (low if low == high else f"{low} to {high}" for low, high in zip(ends, tops, strict=True))
        rows.append([of, f"{row['count']:,.0f}", each, whole])
    whole = money(cost["total"]["low"], cost["total"]["high"], cost["currency"])
    headings = ["paid for", "#how many", f"#each, {cost['currency']}", "#in all"]
    return table(headings, [*rows, ["in all", "", "", whole]], [len(rows)])


def _duration(duration: dict | None, cost: dict | None, n_total: int | None, most: int = 9) -> Table | None:
    """Return months and cost over a handful of n, the required one marked."""
    over = [row["over_n"] for row in (duration, cost) if row]
    if not over:
        return None
    places = {int(i) for i in np.linspace(0, len(over[0]) - 1, most)}
    shown = [i for i, row in enumerate(over[0]) if i in places or row["n_total"] == n_total]
    columns = {"#children in all": [str(over[0][i]["n_total"]) for i in shown]}
    if duration:
        rows = [duration["over_n"][i] for i in shown]
        columns["#screened"] = [str(row["screened"]) for row in rows]
        columns["#months to the last visit (95 %)"] = [
            Cell(f"{row['median']:,.0f}", f"{row['low']:,.0f} to {row['high']:,.0f}") for row in rows
        ]
    if cost:
        rows = [cost["over_n"][i] for i in shown]
        columns["#cost"] = [money(row["low"], row["high"], cost["currency"]) for row in rows]
    marked = [i for i, k in enumerate(shown) if over[0][k]["n_total"] == n_total]
    return table(columns, zip(*columns.values(), strict=True), marked)


def _assumed(answer: dict) -> Table:
    trial = answer["trial"]
    arms = [f"{a['name']}: {a['dose']:.3g} cells/kg in all, ratio {a['ratio']:g}" for a in trial["arms"]]
    sd, month = trial["sd_of_change"], f"{trial['month']:g}"
    rows = [
        ["arms", "; ".join(arms)],
        ["endpoint", f"change at {month} months, in {answer['unit']}"],
        *([["setting", trial["setting"]]] if trial["setting"] else []),
        [f"SD of {month}-month change in this trial", sd["words"]],
        *([["the same in a further trial", sd["in_evidence"]["words"]]] if sd["in_evidence"] else []),
        *([["SD of observed less expected change over 12 months", trial["sd_change"]]] if answer["design"] else []),
    ]
    if not answer["design"]:
        success = "success: significant in favour of cells"
        rows += [
            ["drop-out", f"{percent(trial['dropout'])} of children, at random, not analysed"],
            ["analysis", f"{trial['analysis']}, two-sided alpha {trial['alpha']:g}; {success}"],
        ]
    return table(["of the trial", "assumed"], rows)


def _effects(answer: dict) -> Table:
    rows = [
        [e["name"], decimals(e["effect"]), f"{e['low']:.2f} to {e['high']:.2f}", answer["unit"]]
        for e in answer["effects"]
    ]
    of = "effect at the dose of the trial" if answer["evidence"]["uses_dose"] else "effect"
    return table([of, "#mean", "#95 % interval", "unit"], rows)


def _readings(readings: list[dict]) -> Table:
    words = {"few draws": "too few draws to say", "undecided": "not decided", "not simulated": "not simulated"}
    rows = []
    for r in readings:
        needed = words.get(r["why"], "not reached")
        if r["n_total"] is not None:
            needed = str(r["n_total"])
            if r["n_total_interval"]:
                low, high = r["n_total_interval"]
                needed += f" ({low} to {high or 'more'})"
        rows.append(
            [
                r["study"] or "all",
                r["words"] or "averaged",
                needed,
                percent(r["plateau"]),
                Cell(decimals(r["effect"]), "{:.2f} to {:.2f}".format(*r["interval"])),
                decimals(r["tau"]),
                percent(r["i2"]),
                percent(r["prior"]),
                percent(r["posterior"]),
            ]
        )
    headings = ["study", "reading", "#children", "#plateau", "#pooled effect (95 %)", "#tau", "#I2"]
    return table([*headings, "#prior", "#posterior"], rows, [i for i, r in enumerate(readings) if not r["study"]])


def _moves(answer: dict) -> Table | None:
    """Return the required number under each changed assumption, the answer's own first."""
    if not answer["sensitivity"]:
        return None
    own = {"words": "as assumed", "n_total": answer["n_total"], "plateau": answer["plateau"]}
    rows = [
        [r["words"], "none" if r["n_total"] is None else str(r["n_total"]), percent(r["plateau"])]
        for r in (own, *answer["sensitivity"])
    ]
    return table(["one assumption changed", "#children in all", "#plateau"], rows, [0])


def _behind(behind: dict | None) -> Table | None:
    """Return power at the answer's number, and the number that the next study's own effect needs, by quantile."""
    if behind is None:
        return None
    power, own = behind["power_at_n"]["quantiles"], behind["n_of_own_truth"]["quantiles"]
    rows = [[percent(float(p)), percent(power[p]), "none" if own[p] is None else str(own[p])] for p in power]
    return table(["quantile", "#power at this number", "#children its own effect needs"], rows)


def _trials(trials: list[dict]) -> Table:
    rows = []
    for c in trials:
        supposed = Cell(c["study"], warn="supposed") if c["supposed"] else None
        several = None not in (c["n_active"], c["n_control"])
        interval = f"{c['low']:.2f} to {c['high']:.2f}" + (" \u2020" if c["uncertain"] else "")
        rows.append(
            [
                supposed or Cell(c["study"], f"{c['arm']} v {c['control']}"),
                Cell(decimals(c["effect"]), interval, c["source_url"]),
                f"{c['cells']}, {c['by']}",
                "not known" if c["dose"] is None else f"{c['dose']:.2g}".replace("e+0", "e"),
                "not known" if c["month"] is None else f"{c['month']:g}",
                f"{c['n_active']:g} v {c['n_control']:g}" if several else "",
                c["scale"],
                c["reading"] or "",
            ]
        )
    headings = ["trial", "#effect (95 % CI)", "cells, route", "#dose per kg", "#month", "#children", "scale", "read"]
    return table(headings, rows)


def _findings(evidence: dict) -> Table:
    rows = []
    for f in evidence["findings"]:
        check = f["check"].replace("_", " ").replace(" se", " SE")
        before = f"{evidence['flat_file'] or f['table'] + '.csv'} rows {', '.join(map(str, f['rows']))}"
        study = Cell(f["study"], f.get("where", before))  # a result of an earlier version names one file for all
        rows.append([study, Cell(check, f["severity"]), f["printed"], f["expected"], f["effect"]])
    return table(["study", "finding", "printed", "would have to be", "what it changes"], rows)
