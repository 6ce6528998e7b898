"""What uses each figure of the two documents, and each scale and event of the tables, or why nothing does.

claims.csv is part of the evidence and of the key of every result: what is printed, and what was known of it when it was
taken down. uses.csv and endpoints.csv are no part of it and in no key: what was found since, and what uses it today.
"""

from functools import cache
from pathlib import Path

from gmfmsim.evidence.read import PACKAGE_TABLES
from gmfmsim.evidence.rows import read_rows
from gmfmsim.evidence.schema import TEXT, Row, Table, columns, one_of
from gmfmsim.evidence.spread import shipped_tables
from gmfmsim.faults import Fault, InputError

USES = Table(
    columns(
        ("claim_id", TEXT),
        ("status?", one_of("agrees", "conflicts", "partly", "not seen", "outside")),
        ("found? source_url? rows? used_by? why_not?", TEXT),
    ),
    ("claim_id",),
    study="claim_id",
)
"""One claim a row. status, found, source_url: of one that was not checked in claims.csv, what is known now, what was
found or looked for, and where. rows: those of the tables about it, "events: Gu2020, uc_msc, fever", by as much of their
key as is needed. used_by: "experiments/NAME", "designs/NAME", or a section that takes it by name, "[cost]"."""

ENDPOINTS = Table(
    columns(("endpoint", TEXT), ("of", one_of("scale", "event")), ("used_by? why_not?", TEXT)),
    ("endpoint",),
    study="endpoint",
)
"""One name a row, of a scale (outcomes, contrasts, pooled) or an event: what models it, or why nothing does; both where
a review's figure is computed again and no gain or harm is modelled."""


@cache
def claims() -> list[Row]:
    """Return the rows of claims.csv with what is known of them now.

    To the columns of claims.csv come found, found_url, rows and used_by (lists), and why_not; status is that of now.
    Raises InputError with every fault of uses.csv.
    """
    uses = {row["claim_id"]: row for row in _answered(PACKAGE_TABLES / "uses.csv", USES, both=False)}
    found = []
    for row in shipped_tables().rows["claims"]:
        use = uses[row["claim_id"]]
        now = {"status": use["status"] or row["status"], "found": use["found"], "found_url": use["source_url"]}
        found.append(row | now | {"rows": _listed(use["rows"])} | _answer(use))
    return found


def figure_of(claim: Row) -> str:
    """Return the figure of a claim in words: its range, or its one value, with the unit."""
    figures = [f"{claim[end]:.10g}" for end in ("low", "high") if claim[end] is not None]
    return f"{' to '.join(dict.fromkeys(figures))} {claim['unit']}" if figures else "no figure"


@cache
def endpoints() -> list[Row]:
    """Return every scale and event of the tables: endpoint, of, status (modelled, not modelled), used_by, why_not, and
    the studies and reviews that have it.

    Raises InputError with every fault of endpoints.csv.
    """
    return [
        {"endpoint": row["endpoint"], "of": row["of"], "status": "not modelled" if row["why_not"] else "modelled"}
        | _answer(row)
        | {"studies": sorted(_studies(row["endpoint"], row["of"]))}
        for row in _answered(PACKAGE_TABLES / "endpoints.csv", ENDPOINTS, both=True)
    ]


def _studies(endpoint: str, of: str) -> set[str]:
    """Return the studies and reviews whose rows have a scale or an event of this name."""
    tables = shipped_tables()
    if of == "event":
        return {row["study_id"] for row in tables.where("events", event=endpoint)}
    own = {row["study_id"] for table in ("outcomes", "contrasts") for row in tables.where(table, scale=endpoint)}
    return own | {row["meta_id"] for row in tables.where("pooled", scale=endpoint)}


def _answered(file: Path, table: Table, *, both: bool) -> list[Row]:
    """Return the rows of a file, each of which says what uses it or why nothing does; both: it may say both."""
    rows, faults = read_rows(file, table), []
    for row in rows:
        said = [column for column in ("used_by", "why_not") if row[column]]
        if not said or (len(said) == 2 and not both):
            problem = f"{' and '.join(said) or 'neither used_by nor why_not'} filled in"
            allowed = "used_by, why_not, or both" if both else "one of used_by and why_not"
            faults.append(Fault(file.name, f"row {row['row']}", problem, allowed))
    if faults:
        raise InputError(faults)
    return rows


def _answer(row: Row) -> Row:
    return {"used_by": _listed(row["used_by"]), "why_not": row["why_not"]}


def _listed(cell: str | None) -> list[str]:
    return cell.split("; ") if cell else []
