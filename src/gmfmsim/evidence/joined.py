"""Evidence of several sources as one: the shipped tables and a user's own beside them."""

import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from gmfmsim.evidence.read import PACKAGE_TABLES, read_tables
from gmfmsim.evidence.schema import GMFM66_SCALES, TABLES, Row, Tables, grouped
from gmfmsim.evidence.sheets.names import plain, seen
from gmfmsim.evidence.sheets.sheet import MOST_ROWS, read_bytes
from gmfmsim.evidence.sheets.told import cut
from gmfmsim.evidence.spread import PRIMARY_MONTH, shipped_tables
from gmfmsim.faults import MOST_SOUGHT, Fault, InputError, shown

PACKAGE = "package"
"""What an experiment calls the tables that ship with the package."""

MOST_SOURCES = 20
"""Sources of one experiment."""

_FILES = {f"{table}.csv" for table in TABLES}


def read_sources(names: str | Sequence[str], beside: Path = Path()) -> Tables:
    """Read evidence of one source or several: "package", or paths of folders and flat files, relative to `beside`.

    Of several, the rows of all stand one after the other in the order of the names. Each row says the `file` that it
    is a line of; in it a folder of a user's own goes before the name of a table. Each study stands in one source alone,
    under one spelling. Of a flat file that has several contrasts of the same children, one is "primary", as in the
    shipped tables, and the others "sensitivity": see `one_primary`.

    Raises InputError with every fault of every source, then of what stands in two.
    """
    if isinstance(names, str):
        return _read(names, beside)
    if len(names) == 1:
        return _read(names[0], beside)
    parts, faults, places = [], [], [_place(name, beside) for name in names]
    for i, (name, place) in enumerate(zip(names, places, strict=True)):
        if place in places[:i]:
            faults.append(Fault("evidence", "key tables", f"{shown(name)} is named twice", "each source once"))
            continue
        try:
            parts.append(_named(_read(name, beside), name, names))
        except InputError as error:
            faults += [_inside(fault, name, beside) for fault in error.faults]
    faults += list(_in_two(parts))[:MOST_SOUGHT] if not faults else []
    if faults:
        raise InputError(faults)
    rows = {table: [row for part in parts for row in part.rows.get(table, ())] for table in TABLES}
    for table, found in rows.items():
        if len(found) > MOST_ROWS:
            problem = f"{len(found)} rows of {table} in all"
            raise InputError([Fault("evidence", "key tables", problem, f"at most {MOST_ROWS}")])
    present = {table: found for table, found in rows.items() if any(table in part.rows for part in parts)}
    held = "".join(part.apart for part in parts)
    return Tables(
        folder=parts[0].folder,
        rows=present,
        sha256=_of_all(part.sha256 for part in parts),
        files=tuple(file for part in parts for file in part.files),
        apart=_of_all(part.apart for part in parts) if held else "",
        parts=tuple(parts),
    )


def digest_of(names: Sequence[str], beside: Path) -> str | None:
    """Return the SHA-256 of the files that tables of these names are read from, and of the shipped ones, which are the
    field of a user's own; None where one cannot be read. Nothing is parsed.
    """
    digest = hashlib.sha256()
    for place in (PACKAGE_TABLES, *(_place(name, beside) for name in names if name != PACKAGE)):
        files = [place / name for name in sorted(_FILES)] if os.path.isdir(place) else [place]
        for file in files if files == [place] else filter(os.path.isfile, files):
            try:
                content = read_bytes(file)
            except InputError:
                return None
            digest.update(f"{file.name} {len(content)} ".encode() + content)
    return digest.hexdigest()


def _read(name: str, beside: Path) -> Tables:
    return shipped_tables() if name == PACKAGE else read_tables(beside / name)


def _place(name: str, beside: Path) -> Path:
    """Return where a source stands, however it is named."""
    try:
        return PACKAGE_TABLES if name == PACKAGE else (beside / name).resolve()
    except (OSError, ValueError):  # a name that no file can have: reading says so
        return Path(name)


def _of_all(digests: Iterator[str]) -> str:
    return hashlib.sha256(b"joined\0" + "\0".join(digests).encode()).hexdigest()


def _named(part: Tables, name: str, names: Sequence[str]) -> Tables:
    """Return the tables of one source with the name that its files have beside others, and one primary contrast."""
    if name == PACKAGE:
        return part
    called = Path(name).name
    if sum(Path(other).name == called for other in names) > 1 or called in _FILES:
        called = name if Path(name).parent.name else f"./{name}"
    rows = {
        table: [row | {"file": called if part.is_flat else f"{called}/{row['file']}"} for row in found]
        for table, found in part.rows.items()
    }
    if part.is_flat:
        rows["contrasts"] = one_primary(rows["contrasts"])
    return replace(part, rows=rows)


def one_primary(contrasts: list[Row]) -> list[Row]:
    """Return contrasts of which each treated arm has one "primary"; the others of its primary ones are "sensitivity".

    That on the GMFM-66, then that at month 12 or the nearest to it, the earlier of two. A month that is not known comes
    last.
    """

    def order(row: Row) -> tuple[bool, float, float]:
        apart = math.inf if math.isnan(row["month"]) else abs(row["month"] - PRIMARY_MONTH)
        return row["scale"] not in GMFM66_SCALES, apart, row["month"]

    primary = [row for row in contrasts if row["default_use"] == "primary"]
    of_arms = grouped(primary, lambda row: (row["study_id"], row["arm_a"]))
    others = {id(row) for row in primary} - {id(min(own, key=order)) for own in of_arms.values()}
    return [row | {"default_use": "sensitivity"} if id(row) in others else row for row in contrasts]


def _inside(fault: Fault, name: str, beside: Path) -> Fault:
    """Return a fault of one source that says which."""
    of_folder = name != PACKAGE and fault.file in _FILES and (beside / name).is_dir()
    return replace(fault, file=f"{name}/{fault.file}") if of_folder else fault


def _in_two(parts: Sequence[Tables]) -> Iterator[Fault]:
    """Yield every study, and every control group, that stands in two sources; names that look alike are the same."""
    studies: dict[str, Row] = {}
    for part in parts:
        own = {plain(seen(name)): row for name, row in part.studies.items()}
        for name, row in own.items():
            if (other := studies.get(name)) is not None:
                ours, theirs = row["study_id"], other["study_id"]
                place = f"{other['file']}, row {other['row']}"
                problem = f"{shown(ours)} stands in {place} too"
                if ours != theirs:
                    problem += f", as {shown(theirs)}: the same but for case, accents or marks"
                allowed = "each study in one place: leave its rows out of one of them; if it is another trial, a name "
                yield Fault(row["file"], f"row {row['row']}, study {cut(ours)}", problem, allowed + "of its own")
        studies = own | studies
    groups: dict[str, Row] = {}
    for part in parts:
        own = {row["control_group"]: row for row in part.rows["contrasts"] if row["control_group"]}
        for group in sorted(own.keys() & groups.keys()):
            row, other = own[group], groups[group]
            if row["study_id"] != other["study_id"]:
                problem = f"{shown(group)} is a control_group of {other['file']}, row {other['row']}, too"
                allowed = "a name of its own; arms that share control children stand in one place"
                yield Fault(row["file"], f"row {row['row']}, column control_group", problem, allowed)
        groups = own | groups
