"""Find the one row of a table that a user's file names, and say every fault of many such look-ups at once."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from gmfmsim.evidence.schema import Row, Tables
from gmfmsim.faults import Fault, InputError, choices


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

    def fault(self, problem: str, allowed: str) -> InputError:
        """Return the error to raise for a fault here."""
        return InputError([Fault(self.file, self.where, problem, allowed)])


def one_row(table: str, cells: dict[str, object], place: Place, preferred: bool = True) -> Row:
    """Return the one row of a table that holds these cells; where two sources differ, the preferred or the other.

    Raises InputError that names the first cell no row has, with the nearest, or the lines that fit.
    """
    if table not in place.tables.rows:
        raise place.fault(f"{table}.csv is not among the tables", ", ".join(place.tables.rows))
    rows, so_far = place.tables.rows[table], []
    for column, value in cells.items():
        kept = [r for r in rows if r[column] == value]
        if not kept:
            of = f" of {', '.join(so_far)}" if so_far else ""
            known = sorted({r[column] for r in rows if r[column] is not None})
            raise place.fault(f"no row of {table}.csv{of} has {column} {value!r}", choices(value, known))
        rows, so_far = kept, [*so_far, str(value)]
    if len(rows) > 1:
        fits = [r for r in rows if (r.get("preferred", "yes") == "yes") == preferred]
        if len(fits) != 1:
            lines = ", ".join(str(r["row"]) for r in rows)
            raise place.fault(f"rows {lines} of {table}.csv fit {' / '.join(so_far)}", "a key that names one row")
        rows = fits
    return rows[0]


def gathered[T](jobs: Iterable[Callable[[], T]]) -> list[T]:
    """Run every job and return their values, or raise one InputError with the faults of all."""
    values, faults = [], []
    for job in jobs:
        try:
            values.append(job())
        except InputError as error:
            faults += [f for f in error.faults if f not in faults]
    if faults:
        raise InputError(faults)
    return values
