"""A user's own evidence in one flat CSV: a row is one arm at one month; effects and shared controls follow from it.

Columns, in any order: study, arm, dose, n, mean, sd, and those of OPTIONAL that are needed. mean and sd are of the
change since baseline on a 0-100 GMFM scale, positive for a gain. A line that begins with # and cannot be a row is a
comment.
"""

import hashlib
import itertools
import math
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path

from gmfmsim.evidence import schema
from gmfmsim.evidence.flat import arms
from gmfmsim.evidence.flat.arms import SPREADS, Arm, Result, Wrong, comparable, compare, control_of, summary
from gmfmsim.evidence.flat.tables import tables_of
from gmfmsim.evidence.formulas import dose as doses
from gmfmsim.evidence.formulas.dose import AMOUNT, LEAST_PER_KG, Amount, DosePerKg
from gmfmsim.evidence.rows import parse_rows, row_faults
from gmfmsim.evidence.schema import Column, Row, Table, Tables, at_month, grouped
from gmfmsim.evidence.sheets.cells import number_and_unit, plain_number, whole_or_thousands
from gmfmsim.evidence.sheets.names import look_alike
from gmfmsim.evidence.sheets.sheet import read_bytes
from gmfmsim.evidence.sheets.told import Told, at_rows, cut, first_told, of_cell
from gmfmsim.faults import Fault, InputError, shown

COLUMNS = schema.columns(
    ("study arm", schema.TEXT),
    ("dose?", Column("amount")),
    ("n?", Column("integer", low=2, high=100_000)),
    ("mean?", schema.POINTS100),
    ("sd?", Column("number", low=arms.LEAST_SD, high=arms.MOST_SD)),
    ("month", Column("number", above=0, high=600)),
    ("scale", schema.one_of("GMFM-66", "GMFM-66 observed-minus-expected", "GMFM-88", "GMFM-unspecified")),
    ("se?", schema.ERROR100),
    ("ci_low? ci_high?", Column("number", low=-1000, high=1000)),
    ("median? q1? q3? min? max?", schema.POINTS100),
    ("p?", Column("number", above=0, high=1)),
    ("t?", Column("number", low=-1000, high=1000)),
    ("baseline_mean? final_mean?", Column("number", low=0, high=100)),
    ("baseline_sd? final_sd?", Column("number", low=arms.LEAST_SD, high=arms.MOST_SD)),
    ("difference?", schema.POINTS100),
    ("difference_se?", schema.ERROR100),
    ("difference_low? difference_high?", Column("number", low=-1000, high=1000)),
    ("age_y?", Column("number", low=0, high=18)),
    ("weight_kg?", Column("number", low=1, high=200)),
    ("cell_class?", schema.CELL_CLASS),
    ("route? source?", schema.TEXT),
)
"""One arm at one month: changes since baseline in points of a 0-100 scale, p of the difference from the control."""

INTERVALS = (
    ("ci_low", "mean"),
    ("mean", "ci_high"),
    ("difference_low", "difference"),
    ("difference", "difference_high"),
)
FLAT = Table(COLUMNS, ("study", "arm", "scale", "month"), ordered=(*INTERVALS, *arms.ORDER))
OPTIONAL = dict.fromkeys(tuple(FLAT.columns)[6:], ()) | {
    "n": ("se", "difference"),
    "mean": ("median", "final_mean", "difference"),
    "sd": ("se", "ci_low", "median", "p", "t", "final_sd", "difference"),
}
"""The columns that may be left out, and beside which others; beside none: always."""

ABSENT = {"scale": "GMFM-66", "month": math.nan}
"""What holds where a whole column is left out. The month is then not known (nan): none is made up."""

RESULTS = (
    *("mean", "sd", "se", "ci_low", "ci_high", "median", "q1", "q3", "min", "max"),
    *(*arms.OF_TEST, *arms.VISITS, *arms.DIFFERENCE),
)
"""A study without any of these has no results."""


def read_flat(path: Path) -> Tables:
    """Read one flat CSV and return the tables that it stands for: studies, arms, outcomes and contrasts.

    The arm with dose 0 is the control of its study, scale and month, else the arm with the lowest dose; every
    other arm there is compared with it as `compare` says: md100, md100_se, Hedges g, and the control that contrasts
    share. Cells per child are divided by weight_kg, else by the weight that goes with age_y. All contrasts have
    default_use "primary"; `row` is the line of the file.

    Raises InputError with every fault: those of cells and rows, and of the studies without any, what does not fit.
    """
    content = read_bytes(path)
    rows, told = parse_rows(path.name, FLAT, content, optional=OPTIONAL, comments=True)
    for column in ABSENT:
        if all(row[column] is None for row in rows):
            rows = [row | {column: ABSENT[column]} for row in rows]
    if not rows and not told:
        allowed = "a control and a treated arm of at least one study"
        told.append(Told(Fault(path.name, "file", "holds no rows", allowed)))
    spoiled = {number for one in told for number in one.rows}
    names = (look_alike(path.name, rows, columns) for columns in (("study",), ("study", "arm")))
    between = (row_faults(path.name, FLAT, rows), *names, _empty(path.name, rows, spoiled))
    told += first_told(path.name, itertools.chain(*between))
    spoiled = {number for one in told for number in one.rows}  # one fault of a row is enough
    # names in one form, now that no two of them differ in that alone
    rows = [row | {c: unicodedata.normalize("NFC", row[c]) for c in FLAT.key[:2] if row[c]} for row in rows]
    results: dict[str, list[Result]] = defaultdict(list)
    without = {c: _with(rows, told, *columns) for c, columns in (("sd", arms.OF_TEST), ("mean", arms.DIFFERENCE))}
    sound = [row for row in rows if row["row"] not in spoiled]
    told += first_told(path.name, _results(path.name, sound, without, results))
    if all(one.rows for one in told):  # else a row is lost, whosever it was
        spoiled = {number for one in told for number in one.rows}
        broken = {row["study"] for row in rows if row["row"] in spoiled}
        whole = [own for study, own in results.items() if study not in broken]
        told += first_told(path.name, itertools.chain.from_iterable(_study(path.name, own) for own in whole))
    if told:
        raise InputError(one.fault for one in told)
    sha256 = hashlib.sha256(b"flat\0" + content + b"\0").hexdigest()
    return Tables(path, tables_of(path.name, results), sha256, (path,))


def _empty(file: str, rows: list[Row], spoiled: set[int]) -> Iterator[Told]:
    """Tell every study without results, of which no row is spoiled."""
    allowed = "rows with a mean and its spread; for a trial without results take its rows out, and suppose one with "
    allowed += "what_if in the [evidence] of the experiment"
    for study, own in grouped(rows, itemgetter("study")).items():
        numbers = tuple(row["row"] for row in own)
        if not spoiled & set(numbers) and all(row[column] is None for row in own for column in RESULTS):
            yield Told(Fault(file, at_rows(numbers), f"{cut(study)} has no results", allowed), numbers)


def _with(rows: list[Row], told: list[Told], *columns: str) -> set[str]:
    """Return the studies with something, right or wrong, in one of these columns."""
    ends = tuple(f", column {column}" for column in columns)
    wrong = {number for one in told if one.fault.where.endswith(ends) for number in one.rows}
    return {row["study"] for row in rows if row["row"] in wrong or any(row[c] is not None for c in columns)}


def _results(
    file: str, rows: list[Row], without: dict[str, set[str]], results: dict[str, list[Result]]
) -> Iterator[Told]:
    """Add what each row says to the results of its study, and tell what is wrong with it.

    without: the studies whose rows need not have a spread ("sd"), nor a mean ("mean"), of their own.
    """
    for row in rows:
        try:
            by_difference = row["study"] in without["mean"]
            result = Result(row, _arm(row), summary(row, by_difference=by_difference))
            free = by_difference or row["study"] in without["sd"] or result.has_visits
            if result.summary.se is None and not free:
                raise Wrong(row, "sd", "no spread is given", SPREADS)
            results[row["study"]].append(result)
        except Wrong as wrong:
            yield of_cell(file, *wrong.args)


def _amount(row: Row) -> Amount | None:
    """Return the cells of a row's arm, None where they are not known. Raises Wrong for what is no amount."""
    if row["dose"] in (None, "unknown"):
        return None
    text, problem, allowed = row["dose"], "is not an amount of cells with its unit", f"{AMOUNT}; or empty or unknown"
    number, unit = number_and_unit(text)
    try:
        number = plain_number(number)
        whole_or_thousands(number)
    except ValueError as error:
        problem, instead = error.args
        raise Wrong(row, "dose", f"{shown(text)} {problem}", f"{AMOUNT}; {instead}") from None
    try:
        amount = doses.parse_amount(f"{number} {unit}")
    except ValueError:
        amount = None
    if amount is None or 0 < amount.value < 1:
        raise Wrong(row, "dose", f"{shown(text)} {problem}", f"{allowed} for not known")
    return amount


def _arm(row: Row) -> Arm:
    """Return dose, cells and route of a row's arm."""
    amount, text, cells = _amount(row), row["dose"] or "unknown", row["cell_class"]
    control = amount is not None and amount.value == 0
    if cells is not None and control != (cells == "none"):
        problem = f"{cells} in an arm with dose {cut(text)}"
        raise Wrong(row, "cell_class", problem, "none, or empty, at dose 0; the class of the cells at any other")
    if control:
        return Arm(True, None, "control: no cells", "none", row["route"] or "none")
    cells, route = cells or "other", row["route"] or "unknown"
    if amount is None:
        return Arm(False, None, "not derivable: dose not known", cells, route)
    dose, derivation = _per_kg(row, amount)
    if dose.dose < LEAST_PER_KG:
        problem = f"{shown(text)} is {dose.dose:.3g} cells per kg"
        allowed = f"at least {LEAST_PER_KG:g} (no trial of the shipped tables gave less than 2.7e5): {AMOUNT}"
        raise Wrong(row, "dose", problem, allowed)
    return Arm(False, dose, derivation, cells, route)


def _per_kg(row: Row, amount: Amount) -> tuple[DosePerKg, str]:
    """Return the dose per kg of an amount, and how it follows from the row."""
    if amount.per_kg:
        return DosePerKg(*[amount.value] * 3, math.log10(amount.value), doses.LEAST_LOG10_SD), "as given"
    if row["weight_kg"] is not None:
        weight, because = (row["weight_kg"],) * 3, "as given"
    elif row["age_y"] is not None:
        weight = doses.weight_kg(row["age_y"])
        because = f"({weight.low:.3g}-{weight.high:.3g}) from age {row['age_y']:g} y, 2 x (age + 4) kg +-30 %"
    else:
        problem = f"{shown(row['dose'])} without a body weight"
        raise Wrong(row, "dose", problem, "cells/kg, or beside it weight_kg or age_y, the means of the children")
    return doses.cells_per_kg(amount.value, *weight), f"{amount.value:g} cells / {weight[1]:.3g} kg {because}"


def _study(file: str, results: list[Result]) -> Iterator[Told]:
    """Tell what does not fit within a study: an arm that changes, comparisons without one control or standard error."""
    for own in grouped(results, lambda result: (result.row["arm"], result.row["scale"])).values():
        first, *others = [r.row for r in own if r.row["baseline_mean"] is not None] or [None]
        for row in others:
            if any(row[c] != first[c] for c in ("baseline_mean", "baseline_sd")):
                problem = f"the baseline of {cut(row['arm'])} is another than in row {first['row']}"
                yield of_cell(file, row, "baseline_mean", problem, "one baseline of an arm, in all its rows")
    firsts: dict[str, Result] = {}
    for result in results:
        first = firsts.setdefault(result.row["arm"], result)
        if result.arm != first.arm:
            numbers = first.row["row"], result.row["row"]
            problem = f"arm {cut(result.row['arm'])} of {cut(result.row['study'])} differs in dose, weight, cell_class "
            fault = Fault(file, at_rows(numbers), problem + "or route", "the same in every row of an arm")
            yield Told(fault, numbers)
    for group in comparable(results):
        control = control_of(group)
        if control is None:
            yield _no_control(file, group)
            continue
        for column in (*arms.OF_TEST, *arms.DIFFERENCE):
            if control.row[column] is not None:
                problem = f"{column} in the row of the arm that the others are compared with"
                yield of_cell(file, control.row, column, problem, "in the row of the arm that is compared with it")
        wrong: dict[tuple, Wrong] = {}
        by_visits = set()
        for active in group:
            try:
                if active is not control:
                    by_visits.add(compare(active, control).se is None)
            except Wrong as error:
                wrong.setdefault((error.args[0]["row"], error.args[1]), error)
        yield from (of_cell(file, *error.args) for error in wrong.values())
        if len(by_visits) > 1:
            numbers = tuple(result.row["row"] for result in group)
            problem = "of arms with one control some have an SD of change, others baseline and final scores alone"
            yield Told(Fault(file, at_rows(numbers), problem, "one or the other in all of them"), numbers)


def _no_control(file: str, group: list[Result]) -> Told:
    """Say why the rows of a study at one month have nothing that they can be compared with."""
    first, numbers = group[0].row, tuple(r.row["row"] for r in group)
    zero, unknown = sum(r.arm.control for r in group), sum(not r.arm.control and r.arm.dose is None for r in group)
    at = f"{cut(first['study'])}, {first['scale']}, {at_month(first['month'])}"
    problem = f"{at}: {zero} rows with dose 0, {len(group) - zero} with cells"
    if not zero and len(group) > 1:
        problem += f", {unknown} of them of unknown dose" if unknown else ", the lowest dose in more than one of them"
    allowed = "exactly one with dose 0, or, of several doses, all known, exactly one that is the lowest; one more"
    allowed += " at least"
    return Told(Fault(file, at_rows(numbers), problem, allowed), numbers)
