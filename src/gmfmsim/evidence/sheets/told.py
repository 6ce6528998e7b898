"""What there is to tell of a table: faults, the rows that they spoil, and no more of them than a person reads."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from gmfmsim.faults import MOST_SOUGHT, Fault, shortened

MOST_ROWS_NAMED = 10


class Told(NamedTuple):
    """One fault, and the lines of the rows that it spoils: none where it kept a row from being read at all."""

    fault: Fault
    rows: tuple[int, ...] = ()


def of_cell(file: str, row: Mapping, column: str, problem: str, allowed: str) -> Told:
    """Return what there is to tell of one cell of a row, which spoils the row."""
    return Told(Fault(file, f"row {row['row']}, column {column}", problem, allowed), (row["row"],))


def first_told(file: str, told: Iterable[Told]) -> list[Told]:
    """Return what there is to tell up to MOST_SOUGHT faults; where there is more, say that reading stopped there."""
    told = iter(told)
    found = list(itertools.islice(told, MOST_SOUGHT))
    if next(told, None) is not None:
        problem = f"more than {MOST_SOUGHT} faults: reading stopped here"
        found.append(Told(Fault(file, "file", problem, "none: the first ones may have a cause in common")))
    return found


def at_rows(numbers: Sequence[int]) -> str:
    """Name the lines of some rows, the first MOST_ROWS_NAMED of them."""
    more = len(numbers) - MOST_ROWS_NAMED
    named = ", ".join(map(str, numbers[:MOST_ROWS_NAMED]))
    return f"rows {named}" + (f" and {more} more" if more > 0 else "")


def cut(text: str) -> str:
    """Return a name of a user's for a message, of 60 characters at most."""
    return shortened(text, 60)
