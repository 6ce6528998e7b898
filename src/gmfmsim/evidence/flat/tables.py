"""From the rows of a flat file to the tables that it stands for: studies, arms, outcomes and contrasts."""

from collections.abc import Iterator

from gmfmsim.evidence.flat.arms import Comparison, Result, comparable, compare, control_of
from gmfmsim.evidence.formulas.conversions import Z975, pooled_sd, se_from_sd
from gmfmsim.evidence.formulas.dose import DosePerKg
from gmfmsim.evidence.formulas.effect_sizes import hedges_g, hedges_g_se
from gmfmsim.evidence.schema import TABLES, Row, grouped

DOSES = ("dose_total_cells_per_kg", "dose_total_low", "dose_total_high", "log10_dose", "log10_dose_sd")
"""The columns of arms.csv that hold a `DosePerKg`."""


def study_row(study: str, **cells: object) -> Row:
    """Return a row of studies.csv of which only the name is known, and the cells that are given."""
    notes = "Design not stated: counted as not randomised."
    known = {"study_id": study, "citation": study, "design": "nonrandomised", "seed": "no", "notes": notes}
    return {"row": 0} | dict.fromkeys(TABLES["studies"].columns) | known | cells


def tables_of(file: str, results: dict[str, list[Result]]) -> dict[str, list[Row]]:
    """Return the rows of the four tables, from the results of each study; every row names its lines of the file."""
    tables: dict[str, list[Row]] = {name: [] for name in ("studies", "arms", "outcomes", "contrasts", "readings")}

    def add(table: str, first: Row, lines: str, **cells: object) -> None:
        source = first["source"] or ""
        online = source.startswith(("https://", "http://"))
        location = f"{file}, {lines}" + (f": {source}" if source and not online else "")
        known = {"source_url": source if online else file, "source_location": location, "study_id": first["study"]}
        found = dict.fromkeys(TABLES[table].columns) | cells
        found |= {column: value for column, value in known.items() if column in found}
        tables[table].append({"row": first["row"], "file": file} | found)

    line = "line {}".format
    for study, own in results.items():
        first = own[0].row
        known = study_row(study, citation=first["source"] or study)
        said = {c: known[c] for c in ("citation", "design", "seed", "notes")}
        add("studies", first, line(first["row"]), **said, age_mean_y=_mean_age(own))
        compared: list[Comparison] = []
        for group in comparable(own):
            control = control_of(group)
            compared += [compare(active, control) for active in group if active is not control]
        for result in own:
            add("outcomes", result.row, line(result.row["row"]), **_outcome(result, compared))
        for visit, scores in _visits(own):
            add("outcomes", visit.row, line(visit.row["row"]), **scores)
        for rows in grouped(own, lambda result: result.row["arm"]).values():
            add("arms", rows[0].row, line(rows[0].row["row"]), **_arm(rows))
        for one in compared:
            lines = f"lines {one.active.row['row']} and {one.control.row['row']}"
            add("contrasts", one.active.row, lines, **_contrast(one))
        by_visits = grouped((one for one in compared if one.se is None), lambda one: _of(one.active.row))
        for (scale, month), ones in by_visits.items():
            reason = {"reading": "change_score", "weight": 1.0, "reason": ones[0].note}
            add("readings", ones[0].active.row, "", scale=scale, month=month, **reason)
    return tables if tables["readings"] else {name: rows for name, rows in tables.items() if name != "readings"}


def _mean_age(results: list[Result]) -> float | None:
    """Return the mean age of the children of a study: of its arms, by their children; None where one has none."""
    rows = {result.row["arm"]: result.row for result in results}.values()
    ages, children = [row["age_y"] for row in rows], [row["n"] for row in rows]
    if None in ages:
        return None
    weights = [1] * len(ages) if None in children else children
    return sum(age * n for age, n in zip(ages, weights, strict=True)) / sum(weights)


def _of(row: Row) -> tuple[str, float]:
    return row["scale"], row["month"]


def _visits(results: list[Result]) -> Iterator[tuple[Result, dict]]:
    """Yield the scores of each arm at its visits: those before once for each scale, those after once for each month."""
    seen = set()
    for result in results:
        row = result.row
        for kind, month in (("baseline", 0.0), ("final", row["month"])):
            mean, sd, place = row[f"{kind}_mean"], row[f"{kind}_sd"], (row["arm"], row["scale"], kind, month)
            if mean is not None and place not in seen:
                seen.add(place)
                figures = {"kind": kind, "month": month, "mean": mean, "sd": sd, "n": row["n"]}
                named = {"arm_id": row["arm"], "scale": row["scale"], "scale_max": 100.0, "preferred": "yes"}
                source = {"sd_source": "none" if sd is None else "reported", "verified": "table"}
                yield result, figures | named | source


def _arm(results: list[Result]) -> dict:
    row, arm = results[0].row, results[0].arm
    total = DosePerKg(0.0, 0.0, 0.0, None, None) if arm.control else arm.dose or DosePerKg(*[None] * 5)
    return dict.fromkeys(("arm_id", "label"), row["arm"]) | {
        **dict.fromkeys(("cell_type", "origin"), "none" if arm.control else "not stated"),
        **dict(zip(DOSES, total, strict=True)),
        "role": "control" if arm.control else "active",
        "cell_class": arm.cell_class,
        "route": arm.route,
        "n": max((r.row["n"] for r in results if r.row["n"] is not None), default=None),
        "dose_derivation": arm.derivation,
    }


def _outcome(result: Result, compared: list[Comparison]) -> dict:
    """Return the cells of one arm at one month; an SD that only p gives stands there as from a contrast's interval."""
    row, (mean, sd, se, source) = result.row, result.summary
    notes = None
    own = [one for one in compared if result in (one.active, one.control)] if se is None else []
    sds = [one.sd if one.active is result else one.control_sd for one in own]
    if sds and None not in (row["n"], *sds):
        sd = float(pooled_sd(sds, [one.active.row["n"] for one in own]))
        se, source, notes = float(se_from_sd(sd, row["n"])), "from_contrast_ci", "SD from the error of the difference."
    elif row["se"] is not None:
        se = row["se"]
    return {c: row[c] for c in ("scale", "month", "n", "ci_low", "ci_high", "median", "q1", "q3", "min", "max")} | {
        "arm_id": row["arm"],
        "scale_max": 100.0,
        "kind": "change",
        "mean": mean,
        "sd": sd,
        "se": se,
        "sd_source": source,
        "preferred": "yes",
        "verified": "table",
        "notes": notes,
    }


def _contrast(one: Comparison) -> dict:
    active, control, md, se = one.active, one.control, one.md, one.se
    row, n_a, n_b, g, g_se = active.row, active.row["n"], control.row["n"], None, None
    notes = [one.note] if one.note else []
    if None not in (one.sd, one.control_sd, n_a, n_b):
        g = float(hedges_g(md, one.sd, n_a, 0.0, one.control_sd, n_b).estimate)
        g_se = float(hedges_g_se(g, n_a, n_b))
    low, high = (None, None) if se is None else (md - Z975 * se, md + Z975 * se)
    printed = row["difference"] is not None
    if printed and None not in (row["difference_low"], row["difference_high"]):
        low, high = row["difference_low"], row["difference_high"]
    if not control.arm.control:
        notes.append("Dose against dose: the study has no arm without cells here.")
    ranges = "from_range" in (active.summary.source, control.summary.source)
    return {c: active.row[c] for c in ("scale", "month", "p")} | {
        "arm_a": active.row["arm"],
        "arm_b": control.row["arm"],
        "measure": "MD_printed" if printed else "MD_from_range" if ranges else "MD",
        **dict.fromkeys(("estimate", "md100"), md),
        **dict.fromkeys(("se", "md100_se"), se),
        "ci_low": low,
        "ci_high": high,
        "p_qualifier": None if active.row["p"] is None else "=",
        "n_a": n_a,
        "n_b": n_b,
        "hedges_g": g,
        "hedges_g_se": g_se,
        "control_group": f"{control.row['study']}:{control.row['arm']}",
        "control_se100": one.control_se,
        "preferred": "yes",
        "default_use": "primary",
        "verified": "table" if printed else "derived",
        "notes": " ".join(notes) or None,
    }
