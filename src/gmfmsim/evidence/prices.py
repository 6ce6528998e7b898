"""Prices that are printed somewhere, by the name of the scenario that takes them."""

import itertools
from functools import cache

from gmfmsim.evidence.read import PACKAGE_TABLES
from gmfmsim.evidence.rows import parse_rows, row_faults
from gmfmsim.evidence.schema import NOT_NEGATIVE, SOURCED, STUDIES, TEXT, Row, Table, columns, one_of
from gmfmsim.evidence.sheets.sheet import read_bytes
from gmfmsim.evidence.sheets.told import first_told
from gmfmsim.faults import InputError

FILE = PACKAGE_TABLES / "prices.csv"

PRICES = Table(
    columns(
        ("scenario", TEXT),
        ("kind", one_of("list price of a clinic")),
        ("amount", one_of("treated")),
        ("low high", NOT_NEGATIVE),
        ("currency", TEXT),
        ("year", STUDIES["year"]._replace(required=True)),
        ("claim_id?", TEXT),
        *SOURCED,
    ),
    ("scenario",),
    study="scenario",
    ordered=(("low", "high"),),
)
"""One price a row, from low to high as it is printed: what it is a price of (a key of [cost]), of which kind, and the
claim in claims.csv that it repeats. kind: the list price of a clinic is what parents are asked for, not what cells cost
in a trial."""


@cache
def price_scenarios() -> dict[str, Row]:
    """Return the shipped prices by scenario. Raises InputError with every fault of the file."""
    rows, told = parse_rows(FILE.name, PRICES, read_bytes(FILE))
    told += first_told(FILE.name, itertools.chain(row_faults(FILE.name, PRICES, rows)))
    if told:
        raise InputError([one.fault for one in told])
    return {row["scenario"]: row for row in rows}
