"""What every check of a rerun needs: the one row that a file names, the printed row and its precision, the result.

All faults of many look-ups are said at once (`gathered`).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from gmfmsim.evidence.formulas.printed import half_unit
from gmfmsim.evidence.rerun.checks import Arms, Check, CheckResult, Figure
from gmfmsim.evidence.schema import Row, Tables
from gmfmsim.faults import Fault, InputError, choices

INTERVAL = ("estimate", "ci_low", "ci_high")

type Job[T] = Callable[[], T]


def gathered(*groups: Iterable[Job]) -> list[list]:
    """Run every job and return their values, group by group, or raise one InputError with the faults of all."""
    values, faults = [], []
    for jobs in groups:
        values.append([])
        for job in jobs:
            try:
                values[-1].append(job())
            except InputError as error:
                faults += [f for f in error.faults if f not in faults]
    if faults:
        raise InputError(faults)
    return values


@dataclass(frozen=True)
class Place:
    """The tables and the review that a check is about, and where it stands in which file."""

    tables: Tables
    review: str
    file: str
    where: str

    def at(self, key: str) -> "Place":
        """Return the place of a key below this one."""
        return replace(self, where=f"{self.where}.{key}")

    def each[T](self, key: str, read: Callable[..., T], items: Sequence, *more: object) -> list[Job[T]]:
        """Return the jobs of reading each item of the list that stands at a key."""
        return [partial(read, item, self.at(f"{key}.{i}"), *more) for i, item in enumerate(items)]

    def fault(self, problem: str, allowed: str) -> InputError:
        """Return the error to raise for a fault here."""
        return InputError([Fault(self.file, self.where, problem, allowed)])

    def one_row(self, table: str, cells: dict[str, object], preferred: bool = True) -> Row:
        """Return the one row of a table that holds these cells; where two sources differ, the preferred or the other.

        Raises InputError that names the first cell no row has, with the nearest, or the lines that fit.
        """
        if table not in self.tables.rows:
            raise self.fault(f"{table}.csv is not among the tables", ", ".join(self.tables.rows))
        rows, so_far = self.tables.rows[table], []
        for column, value in cells.items():
            kept = [r for r in rows if r[column] == value]
            if not kept:
                of = f" of {', '.join(so_far)}" if so_far else ""
                known = sorted({r[column] for r in rows if r[column] is not None})
                raise self.fault(f"no row of {table}.csv{of} has {column} {value!r}", choices(value, known))
            rows, so_far = kept, [*so_far, str(value)]
        fits = [r for r in rows if len(rows) == 1 or (r.get("preferred", "yes") == "yes") == preferred]
        if len(fits) != 1:
            lines = ", ".join(str(r["row"]) for r in rows)
            raise self.fault(f"rows {lines} of {table}.csv fit {' / '.join(so_far)}", "a key that names one row")
        return fits[0]

    def published_row(self, check: Check, *needed: str) -> Row:
        """Return the review's row. Raises InputError if it lacks a figure that the check needs."""
        cells = {"meta_id": self.review} | check.published.model_dump(exclude_none=True)
        row = self.at("published").one_row("pooled", cells)
        lacks = [c for c in needed if row[c] is None]
        if lacks:
            problem = f"row {row['row']} of {row['file']} has no {', '.join(lacks)}"
            raise self.at("published").fault(problem, "a row that prints it, or kind not_reproducible")
        return row

    def rows_of_arms(
        self, arms: Arms, table: str, cells: dict[str, object], needed: Sequence[str], allowed: str
    ) -> list[Row]:
        """Return the row of each arm of a trial that holds these cells, and something in the columns needed.

        Raises InputError for rows that are not there or lack what is needed (`allowed` instead), and where the arm with
        cells does not come first: the sign of the effect would turn.
        """

        def check_roles() -> None:
            roles = {row["arm_id"]: row["role"] for row in self.tables.where("arms", study_id=arms.study)}
            expected = dict(zip(("active", "control"), arms.arms, strict=False))
            wrong = [f"{arm} ({roles[arm]})" for role, arm in expected.items() if roles.get(arm, role) != role]
            if wrong:
                problem = f"{', '.join(wrong)} of {arms.study} in the wrong place"
                raise self.fault(problem, "the arm with cells, then its control")

        named = [{"study_id": arms.study, "arm_id": arm} | cells for arm in arms.arms]
        _, rows = gathered([check_roles], [partial(self.one_row, table, c, arms.preferred) for c in named])
        if lacks := ", ".join(f"row {r['row']} has no {c}" for r in rows for c in needed if r[c] is None):
            raise self.fault(f"{lacks} ({table}.csv, {arms.study})", allowed)
        return rows


def unit_of(*printed: float | None) -> float | None:
    """Return one unit of the last printed place, the finest of several figures that are printed alike."""
    known = [figure for figure in printed if figure is not None]
    return 2 * half_unit(*known) if known else None


def interval(values: Sequence[float], row: Row | None = None, tolerance: float | None = None) -> tuple[Figure, ...]:
    """Return an estimate and its interval as computed, beside those of a printed row."""
    return tuple(Figure(k, row and row[k], x, tolerance) for k, x in zip(INTERVAL, values, strict=True))


def used(table: str, study: str, rows: list[Row], values: dict, reading: str, arms: list[str]) -> dict:
    """Return what a result says of the rows it used."""
    source = dict.fromkeys((r["source_url"], r["source_location"]) for r in rows)
    return {
        "study": study,
        "arms": arms,
        "table": rows[0]["file"],
        "rows": [r["row"] for r in rows],
        "values": values,
        "reading": reading,
        "source": [{"url": url, "location": location} for url, location in source],
    }


def result_of(
    check: Check, row: Row | None, figures: Iterable[Figure], reason: str, inputs: list = (), variants: list = ()
) -> CheckResult:
    """Return the result of a check: its figures, the tolerance and why, the printed row and the rows used."""
    keep = ("row", "measure", "scale", "month", "verified", "source_url", "source_location", "notes")
    return CheckResult(
        kind=check.kind,
        title=check.title,
        measure=row["measure"] if row else "RR",
        figures=tuple(figures),
        tolerance=reason,
        circular=check.circular,
        printed={"table": row["file"]} | {k: row[k] for k in keep} if row else None,
        inputs=tuple(inputs),
        note=check.note,
        variants=tuple(variants),
    )
