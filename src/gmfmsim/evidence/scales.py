"""Children measured on the GMFM-66 and the GMFM-88 alike: what each sample says of the ratio of the two changes."""

from pathlib import Path

from gmfmsim.evidence.read import PACKAGE_TABLES
from gmfmsim.evidence.rows import read_rows
from gmfmsim.evidence.schema import CHILDREN, NOT_NEGATIVE, NUMBER, POSITIVE, SOURCED, TEXT, Row, Table, columns, one_of

FILE = PACKAGE_TABLES / "scales.csv"

SAMPLES = Table(
    columns(
        ("sample citation treatment", TEXT),
        ("n", CHILDREN._replace(low=2)),
        ("month", NOT_NEGATIVE),
        ("unit", one_of("points", "baseline_sd")),
        ("change66? change66_low? change66_high?", NUMBER),
        ("sd66?", POSITIVE),
        ("change88? change88_low? change88_high?", NUMBER),
        ("sd88? baseline_ratio? baseline_ratio_log_sd?", POSITIVE),
        *SOURCED,
    ),
    ("sample",),
    study="sample",
    ordered=(("change66_low", "change66_high"), ("change88_low", "change88_high")),
)
"""One sample a row: changes of both scales in points, or in SDs of the scores at baseline; low and high: a range as it
is printed. baseline_ratio: SD of the GMFM-66 over SD of the GMFM-88 at baseline, with the SD of its logarithm."""


def paired_samples(file: Path = FILE) -> list[Row]:
    """Return the samples whose children were measured on both scales, those without figures too.

    Raises InputError with every fault of the file.
    """
    return read_rows(file, SAMPLES)
