"""Prices that are printed somewhere, by the name of the scenario that takes them."""

from functools import cache

from gmfmsim.evidence.read import PACKAGE_TABLES
from gmfmsim.evidence.rows import read_rows
from gmfmsim.evidence.schema import NOT_NEGATIVE, SOURCED, STUDIES, TEXT, Row, Table, columns, one_of

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
    return {row["scenario"]: row for row in read_rows(FILE, PRICES)}
