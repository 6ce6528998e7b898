"""What is reported of how alike children of one pair, one therapist or one centre are."""

from pathlib import Path

from gmfmsim.evidence.read import PACKAGE_TABLES
from gmfmsim.evidence.rows import read_rows
from gmfmsim.evidence.schema import CHILDREN, SHARE, SOURCED, TEXT, YES_NO, Row, Table, columns, one_of

FILE = PACKAGE_TABLES / "correlations.csv"

CORRELATIONS = Table(
    columns(
        ("report citation", TEXT),
        ("unit", one_of("pair", "therapist", "centre")),
        ("outcome", TEXT),
        ("number", CHILDREN),
        ("shows", one_of("significant", "coefficient", "quartiles", "range", "one")),
        ("alpha? low? middle? high?", SHARE),
        ("used", YES_NO),
        *SOURCED,
    ),
    ("report",),
    study="report",
    ordered=(("low", "middle"), ("middle", "high"), ("low", "high")),
)
"""One report a row. shows: significant (a correlation of `number` pairs, above 0 and significant at two-sided alpha),
coefficient (of `number` pairs, `middle`), quartiles or range of several, or one, with the interval where it has one.
number: pairs, estimates, trials or patients, as `outcome` says. used: whether the law of its unit rests on it."""


def correlations(file: Path = FILE) -> list[Row]:
    """Return the reports, those that no law rests on too. Raises InputError with every fault of the file."""
    return read_rows(file, CORRELATIONS)
