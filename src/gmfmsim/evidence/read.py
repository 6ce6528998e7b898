"""Read the evidence tables and report everything that is wrong with them at once."""

import hashlib
import itertools
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from gmfmsim.evidence.rows import parse_rows, row_faults
from gmfmsim.evidence.schema import TABLES, Row, Tables, at_month
from gmfmsim.evidence.sheets.names import difference, look_alike, seen
from gmfmsim.evidence.sheets.sheet import read_bytes
from gmfmsim.evidence.sheets.told import Told, cut, first_told
from gmfmsim.faults import Fault, InputError, choices, shown

PACKAGE_TABLES = Path(__file__).parent / "tables"
REQUIRED_TABLES = ("studies", "arms", "contrasts")

NAMES = {"studies": ("study_id",), "arms": ("study_id", "arm_id")}
"""The columns that name what a table defines; the last is the name."""

MOST_COMPARED = 100
"""Names that a misspelt one is compared with."""


def copy_tables(tables: Tables, target: Path) -> None:
    """Copy the files that tables were read from: a flat file to `target` itself, others into that folder."""
    if tables.is_flat:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(tables.folder, target)
        return
    target.mkdir(parents=True, exist_ok=True)
    for file in tables.files:
        shutil.copyfile(file, target / file.name)


def read_tables(source: Path = PACKAGE_TABLES) -> Tables:
    """Read and validate evidence: a folder of tables (default: those that ship with the package), or one flat CSV.

    Of a folder, studies.csv, arms.csv and contrasts.csv must be there; the other tables are read when they are.
    A file whose name ends in .csv is read by `gmfmsim.evidence.flat.read.read_flat`.

    Raises InputError with every fault of every table: missing or unknown columns, a text in a number column,
    values out of range, doses without unit, repeated keys, studies or arms that no table defines.
    """
    if os.path.isdir(source):  # false, and no error, for names that no file can have
        return _read_folder(Path(source))
    if str(source).lower().endswith(".csv") and os.path.isfile(source):
        from gmfmsim.evidence.flat.read import read_flat  # its formulas need SciPy: loaded only for a flat file

        return read_flat(Path(source))
    problem = "is neither a folder nor a CSV file" if os.path.exists(source) else "does not exist"
    allowed = "a folder with the evidence tables, or one flat file ending in .csv"
    allowed += '; several as a list: ["package", "pilots.csv"]' if "," in str(source) else ""
    raise InputError([Fault(str(source), "folder", problem, allowed)])


def _read_folder(folder: Path) -> Tables:
    faults: list[Fault] = []
    rows: dict[str, list[Row]] = {}
    files: list[Path] = []
    whole: set[str] = set()
    digest, apart = hashlib.sha256(), hashlib.sha256()
    for name, schema in TABLES.items():
        path = folder / f"{name}.csv"
        if not os.path.isfile(path):  # false, and no error, in a folder that may not be entered
            if name in REQUIRED_TABLES:
                faults.append(Fault(str(path), "file", "does not exist", f"a CSV file with the columns of {name}"))
            continue
        try:
            content = read_bytes(path)
        except InputError as error:
            faults += error.faults
            continue
        (apart if schema.apart else digest).update(name.encode() + b"\0" + content + b"\0")
        rows[name], told = parse_rows(path.name, schema, content)
        if all(one.rows for one in told):
            whole.add(name)
        names = look_alike(path.name, rows[name], NAMES.get(name, ()))
        between = first_told(path.name, itertools.chain(row_faults(path.name, schema, rows[name]), names))
        faults += [one.fault for one in told + between]
        files.append(path)
    across = (Told(fault) for fault in _cross_faults(rows, whole))
    faults += [one.fault for one in first_told(str(folder), across)]
    if faults:
        raise InputError(faults)
    stands_apart = any(TABLES[name].apart for name in rows)
    return Tables(folder, rows, digest.hexdigest(), tuple(files), apart.hexdigest() if stands_apart else "")


def _cross_faults(rows: dict[str, list[Row]], whole: set[str]) -> Iterator[Fault]:
    """Return every study or arm that is used and not defined, as far as the defining tables were read `whole`."""
    studies = sorted({r["study_id"] for r in rows["studies"]} - {None}) if "studies" in whole else None
    arms = defaultdict(set)
    for r in rows["arms"] if "arms" in whole else ():
        arms[r["study_id"]].add(r["arm_id"])
    known, looks = set(studies or ()), {seen(study): study for study in studies or ()}
    yield from _reading_faults(rows) if "contrasts" in whole else ()
    yield from _held_faults(rows)
    for name, table in rows.items():
        schema = TABLES[name]
        for r in table:
            study, where = r[schema.study], f"row {r['row']}, column "
            if studies is not None and study is not None and study not in known:
                problem, allowed = _unknown(study, looks)
                yield Fault(f"{name}.csv", where + schema.study, f"unknown study {problem}", allowed)
            elif arms:
                for column in schema.arms:
                    if r[column] is not None and r[column] not in arms[study]:
                        own = {seen(arm): arm for arm in sorted(filter(None, arms[study]))}
                        problem, allowed = _unknown(r[column], own, f" of {cut(study or '')}")
                        yield Fault(f"{name}.csv", where + column, f"unknown arm {problem}", allowed)


def _unknown(name: str, looks: dict[str, str], whose: str = "") -> tuple[str, str]:
    """Return a name that is not known, and one that looks like it; and the known names, which are by their looks."""
    twin = looks.get(seen(name))
    alike = "" if twin is None else f"; one that looks like it differs in {difference(name, twin)}"
    return f"{shown(name)}{whose}{alike}", choices(name, list(looks.values())[:MOST_COMPARED])


def _reading_faults(rows: dict[str, list[Row]]) -> Iterator[Fault]:
    """Return the readings of contrasts that are not there: they would never be applied."""
    known = dict.fromkeys((r["study_id"], r["scale"], r["month"]) for r in rows["contrasts"])
    for row in rows.get("readings", []) if known else ():
        key = row["study_id"], row["scale"], row["month"]
        if None not in key and key not in known:
            mine = [(scale, month) for study, scale, month in known if study == row["study_id"]]
            own = [f"{cut(scale)} at {at_month(month)}" for scale, month in mine if None not in (scale, month)]
            problem = f"{cut(row['study_id'])} has no contrast on {cut(row['scale'])} at {at_month(row['month'])}"
            allowed = ", ".join(own[:12]) or "a contrast of this study"
            yield Fault("readings.csv", f"row {row['row']}, columns scale, month", problem, allowed)


def _held_faults(rows: dict[str, list[Row]]) -> Iterator[Fault]:
    """Return the rows of held.csv whose pool has no estimate in pooled.csv: they would never be applied."""
    pools = sorted({row["meta_id"] for row in rows.get("pooled", [])} - {None})
    for row in rows.get("held", []):
        if row["meta_id"] is not None and row["meta_id"] not in pools:
            problem = f"no estimate of {shown(row['meta_id'])} stands in pooled.csv"
            yield Fault("held.csv", f"row {row['row']}, column meta_id", problem, choices(row["meta_id"], pools))
