"""A user's own evidence in one flat CSV: a row is one arm at one month; effects and shared controls follow from it.

Columns, in any order: study, arm, dose, n, mean, sd, and those of OPTIONAL that are needed. mean and sd are of the
change since baseline on a 0-100 GMFM scale, positive for a gain. Lines that begin with # are comments.
"""

import hashlib
import math
import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from gmfmsim.evidence.columns import TABLES, Column, TableSchema
from gmfmsim.evidence.contrasts import GMFM66_SCALES
from gmfmsim.evidence.conversions import Z975, sd_from_ci, sd_from_se, se_from_sd
from gmfmsim.evidence.dose import AMOUNT, LEAST_LOG10_SD, DosePerKg, cells_per_kg, parse_amount, weight_kg
from gmfmsim.evidence.effect_sizes import hedges_g, hedges_g_se, mean_difference
from gmfmsim.evidence.read import Row, Tables, at_month, check_range, parse_rows, row_faults, unreadable
from gmfmsim.faults import Fault, InputError, shown

_SD = Column("number", low=1e-3, high=100)
FLAT = TableSchema(
    ("study", "arm", "scale", "month"),
    {
        **dict.fromkeys(("study", "arm"), Column(required=True)),
        "dose": Column(),
        "n": Column("integer", required=True, low=2, high=100_000),
        "mean": Column("number", required=True, low=-100, high=100),
        "sd": _SD,
        "month": Column("number", required=True, above=0, high=600),
        "scale": Column(required=True, choices=(*GMFM66_SCALES, "GMFM-88", "GMFM-unspecified")),
        "se": Column("number", above=0, high=100),
        **dict.fromkeys(("ci_low", "ci_high"), Column("number", low=-1000, high=1000)),
        "age_y": Column("number", low=0, high=18),
        "weight_kg": Column("number", low=1, high=200),
        "cell_class": Column(choices=TABLES["arms"].columns["cell_class"].choices),
        **dict.fromkeys(("route", "source"), Column()),
    },
    ordered=(("ci_low", "mean"), ("mean", "ci_high")),
)
OPTIONAL = tuple(FLAT.columns)[6:]

ABSENT = {"scale": "GMFM-66", "month": math.nan}
"""What holds where a whole column is left out. The month is then not known (nan): none is made up."""


class _Wrong(Exception):
    """Column, problem and what is allowed, of one row."""


class _Arm(NamedTuple):
    """What is the same in every row of an arm. dose is None where it is not known; a control has none."""

    control: bool
    dose: DosePerKg | None
    derivation: str
    cell_class: str
    route: str


class _Result(NamedTuple):
    """One row, with its SD, where that is from, and its arm."""

    row: Row
    sd: float
    sd_source: str
    arm: _Arm


def read_flat(path: Path) -> Tables:
    """Read one flat CSV and return the tables that it stands for: studies, arms, outcomes and contrasts.

    The arm with dose 0 is the control of its study, scale and month, and every other arm there is compared with it:
    md100 = mean_a - mean_c, md100_se^2 = sd_a^2/n_a + sd_c^2/n_c, Hedges g, and the control that contrasts share.
    A missing SD follows from se, else from the 95 % interval (Student's t). Cells per child are divided by weight_kg,
    else by the weight that goes with age_y. All contrasts have default_use "primary"; `row` is the line of the file.

    Raises InputError with every fault: those of cells and rows, and of the studies without any, what does not fit.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError([unreadable(path, error)]) from None
    rows, faults = parse_rows(path.name, FLAT, content, optional=OPTIONAL, comment="#")
    for column in ABSENT:
        if all(row[column] is None for row in rows):
            rows = [row | {column: ABSENT[column]} for row in rows]
    if not rows and not faults:
        faults.append(Fault(path.name, "file", "holds no rows", "a control and a treated arm of at least one study"))
    faults += row_faults(path.name, FLAT, rows)
    whole = not any(re.fullmatch(r"row \d+", fault.where) for fault in faults)  # else a row is lost, whosever it was
    lines = [fault.where.split(", column")[0] for fault in faults]
    told = {f"row {number}" for line in lines for number in re.findall(r"\d+", line)}  # one fault of a row is enough
    results: dict[str, list[_Result]] = defaultdict(list)
    broken = {row["study"] for row in rows if f"row {row['row']}" in told}
    for row in rows:
        if f"row {row['row']}" not in told:
            try:
                results[row["study"]].append(_Result(row, *_spread(row), _arm(row)))
            except _Wrong as error:
                column, problem, allowed = error.args
                faults.append(Fault(path.name, f"row {row['row']}, column {column}", problem, allowed))
                broken.add(row["study"])
    for study, own in results.items():
        if whole and study not in broken:
            faults += _study_faults(path.name, study, own)
    if faults:
        raise InputError(faults)
    sha256 = hashlib.sha256(b"flat\0" + content + b"\0").hexdigest()
    return Tables(path, _tables(path.name, results), sha256, (path,))


def _spread(row: Row) -> tuple[float, str]:
    """Return the SD of the children and where it is from: as given, else from se, else from the interval."""
    n, interval = row["n"], (row["ci_low"], row["ci_high"])
    if row["sd"] is not None:
        return row["sd"], "reported"
    if row["se"] is not None:
        sd, source, column = sd_from_se(row["se"], n), "from_se", "se"
    elif None not in interval and interval[0] < interval[1]:
        sd, source, column = sd_from_ci(*interval, n), "from_ci", "ci_low"
    else:
        raise _Wrong("sd", "no spread is given", "an SD, or se, or a 95 % interval in ci_low and ci_high")
    try:
        check_range(_SD, sd)
    except ValueError:
        raise _Wrong(column, f"gives an SD of {sd:.3g}", f"what gives an SD {_SD.allowed}") from None
    return float(sd), source


def _arm(row: Row) -> _Arm:
    """Return dose, cells and route of a row's arm."""
    text, cells = row["dose"] or "unknown", row["cell_class"]
    try:
        amount = None if text == "unknown" else parse_amount(text)
    except ValueError:
        amount = None
    if text != "unknown" and (amount is None or 0 < amount.value < 1):
        problem = f"{shown(text)} is not an amount of cells with its unit"
        raise _Wrong("dose", problem, f"{AMOUNT}; or empty or unknown for not known")
    control = amount is not None and amount.value == 0
    if cells is not None and control != (cells == "none"):
        problem = f"{cells} in an arm with dose {text}"
        raise _Wrong("cell_class", problem, "none, or empty, at dose 0; the class of the cells at any other")
    if control:
        return _Arm(True, None, "control: no cells", "none", row["route"] or "none")
    cells, route = cells or "other", row["route"] or "unknown"
    if amount is None:
        return _Arm(False, None, "not derivable: dose not known", cells, route)
    if amount.per_kg:
        per_kg = amount.value
        return _Arm(False, DosePerKg(*[per_kg] * 3, math.log10(per_kg), LEAST_LOG10_SD), "as given", cells, route)
    if row["weight_kg"] is not None:
        weight, because = (row["weight_kg"],) * 3, "as given"
    elif row["age_y"] is not None:
        weight = weight_kg(row["age_y"])
        because = f"({weight.low:.3g}-{weight.high:.3g}) from age {row['age_y']:g} y, 2 x (age + 4) kg +-30 %"
    else:
        problem = f"{shown(text)} without a body weight"
        raise _Wrong("dose", problem, "cells/kg, or beside it weight_kg or age_y, the means of the children")
    derivation = f"{amount.value:g} cells / {weight[1]:.3g} kg {because}"
    return _Arm(False, cells_per_kg(amount.value, *weight), derivation, cells, route)


def _study_faults(file: str, study: str, results: list[_Result]) -> list[Fault]:
    """Return what does not fit within a study: an arm that changes, and comparisons without one control."""
    faults = []
    arms: dict[str, _Result] = {}
    for result in results:
        first = arms.setdefault(result.row["arm"], result)
        if result.arm != first.arm:
            where = f"rows {first.row['row']}, {result.row['row']}"
            problem = f"arm {result.row['arm']} of {study} differs in dose, weight, cell_class or route"
            faults.append(Fault(file, where, problem, "the same in every row of an arm"))
    for group in _comparisons(results):
        where = "rows " + ", ".join(str(r.row["row"]) for r in group)
        controls = [r for r in group if r.arm.control]
        if len(controls) != 1 or len(group) == 1:
            at = f"{group[0].row['scale']}, {at_month(group[0].row['month'])}"
            problem = f"{study}, {at}: {len(controls)} rows with dose 0, {len(group) - len(controls)} with cells"
            faults.append(Fault(file, where, problem, "exactly one with dose 0, at least one with cells"))
        for result in group:
            difference = result.row["mean"] - controls[0].row["mean"] if controls else 0
            if abs(difference) > 100:
                problem = f"a difference of {difference:g} points from the control"
                faults.append(Fault(file, f"row {result.row['row']}, column mean", problem, "from -100 up to 100"))
    return faults


def _comparisons(results: list[_Result]) -> list[list[_Result]]:
    """Return the rows of one study that are compared: those of one scale and month."""
    groups: dict[tuple, list[_Result]] = defaultdict(list)
    for result in results:
        groups[result.row["scale"], result.row["month"]].append(result)
    return list(groups.values())


def _tables(file: str, results: dict[str, list[_Result]]) -> dict[str, list[Row]]:
    """Return the rows of the four tables."""
    tables: dict[str, list[Row]] = {name: [] for name in ("studies", "arms", "outcomes", "contrasts")}

    def add(table: str, first: Row, lines: str, **cells: object) -> None:
        source = first["source"] or ""
        online = source.startswith(("https://", "http://"))
        location = f"{file}, {lines}" + (f": {source}" if source and not online else "")
        known = {"source_url": source if online else file, "source_location": location, "study_id": first["study"]}
        tables[table].append({"row": first["row"]} | dict.fromkeys(TABLES[table].columns) | known | cells)

    for study, own in results.items():
        first, line = own[0].row, "line {}".format
        notes = "Design not stated: counted as not randomised."
        citation = first["source"] or study
        add("studies", first, line(first["row"]), citation=citation, design="nonrandomised", seed="no", notes=notes)
        arms: dict[str, list[_Result]] = defaultdict(list)
        for result in own:
            arms[result.row["arm"]].append(result)
            add("outcomes", result.row, line(result.row["row"]), **_outcome(result))
        for rows in arms.values():
            add("arms", rows[0].row, line(rows[0].row["row"]), **_arm_cells(rows))
        for group in _comparisons(own):
            (control,) = (r for r in group if r.arm.control)
            for active in group:
                if active is not control:
                    lines = f"lines {active.row['row']} and {control.row['row']}"
                    add("contrasts", active.row, lines, **_contrast(active, control))
    return tables


def _arm_cells(results: list[_Result]) -> dict:
    row, arm = results[0].row, results[0].arm
    total = DosePerKg(0.0, 0.0, 0.0, None, None) if arm.control else arm.dose or DosePerKg(*[None] * 5)
    return {
        "arm_id": row["arm"],
        "label": row["arm"],
        "role": "control" if arm.control else "active",
        "cell_type": "none" if arm.control else "not stated",
        "cell_class": arm.cell_class,
        "origin": "none" if arm.control else "not stated",
        "route": arm.route,
        "n": max(r.row["n"] for r in results),
        "dose_total_cells_per_kg": total.dose,
        "dose_total_low": total.low,
        "dose_total_high": total.high,
        "dose_derivation": arm.derivation,
        "log10_dose": total.log10_dose,
        "log10_dose_sd": total.log10_dose_sd,
    }


def _outcome(result: _Result) -> dict:
    row = result.row
    return {c: row[c] for c in ("scale", "month", "n", "mean", "ci_low", "ci_high")} | {
        "arm_id": row["arm"],
        "scale_max": 100.0,
        "kind": "change",
        "sd": result.sd,
        "se": float(se_from_sd(result.sd, row["n"])) if row["se"] is None else row["se"],
        "sd_source": result.sd_source,
        "preferred": "yes",
        "verified": "table",
    }


def _contrast(active: _Result, control: _Result) -> dict:
    groups = [x for r in (active, control) for x in (r.row["mean"], r.sd, r.row["n"])]
    md, variance = mean_difference(*groups)
    md, se, g = float(md), math.sqrt(variance), float(hedges_g(*groups).estimate)
    n_a, n_b = active.row["n"], control.row["n"]
    return {c: active.row[c] for c in ("scale", "month")} | {
        "arm_a": active.row["arm"],
        "arm_b": control.row["arm"],
        "measure": "MD",
        "estimate": md,
        "se": se,
        "ci_low": md - Z975 * se,
        "ci_high": md + Z975 * se,
        "n_a": n_a,
        "n_b": n_b,
        "md100": md,
        "md100_se": se,
        "hedges_g": g,
        "hedges_g_se": float(hedges_g_se(g, n_a, n_b)),
        "control_group": f"{control.row['study']}:{control.row['arm']}",
        "control_se100": float(se_from_sd(control.sd, n_b)),
        "preferred": "yes",
        "default_use": "primary",
        "verified": "derived",
    }
