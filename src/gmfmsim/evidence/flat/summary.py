"""What a paper prints of one arm: the mean of its children, and how well that is known."""

from typing import NamedTuple

from gmfmsim.evidence.formulas.conversions import (
    MeanSd,
    mean_sd_from_five_numbers,
    mean_sd_from_quartiles,
    mean_sd_from_range,
    sd_from_ci,
    sd_from_se,
    se_from_sd,
)
from gmfmsim.evidence.schema import Row

LEAST_SD, MOST_SD = 1e-3, 100
SPREADS = "an SD, or se, or a 95 % interval in ci_low and ci_high, or q1 and q3 (min and max) beside median, or p"

ORDER = (("min", "q1"), ("min", "median"), ("q1", "median"), ("median", "q3"), ("median", "max"), ("q3", "max"))
"""The quantiles that stand in this order, each pair as far as both are given."""


class Wrong(Exception):
    """What is wrong with a row: the row, the column, the problem and what is allowed."""


class Summary(NamedTuple):
    """Mean and SD of the children of one arm, and the standard error of the mean.

    sd is None where n is not known, sd and se are where no spread is given. source: where the SD is from, as the
    column sd_source of outcomes.csv says it.
    """

    mean: float
    sd: float | None
    se: float | None
    source: str


def summary(row: Row) -> Summary:
    """Return mean, SD and standard error of one row, each as given or from what is given.

    The mean may come from the quantiles; the SD comes, in this order, from sd, se, the 95 % interval (Student's t) and
    the quantiles. Without n, se is taken as it stands.

    Raises Wrong for a row without mean, without n where that is needed, or with an impossible SD.
    """
    n, quantiles = row["n"], _quantiles(row)
    if n is None and row["se"] is None:
        raise Wrong(row, "n", "is empty", "a whole number from 2; empty only beside se")
    mean = row["mean"] if quantiles is None or row["mean"] is not None else float(quantiles.mean)
    if mean is None:
        raise Wrong(row, "mean", "is empty", "a number, or beside n a median with q1 and q3, or with min and max")
    if n is None:
        return Summary(mean, row["sd"], row["se"], "none" if row["sd"] is None else "reported")
    low, high = row["ci_low"], row["ci_high"]
    if row["sd"] is not None:
        sd, source, column = row["sd"], "reported", "sd"
    elif row["se"] is not None:
        sd, source, column = sd_from_se(row["se"], n), "from_se", "se"
    elif None not in (low, high) and low < high:
        sd, source, column = sd_from_ci(low, high, n), "from_ci", "ci_low"
    elif quantiles is not None:
        sd, source, column = quantiles.sd, "from_range", "median"
    else:
        return Summary(mean, None, None, "none")
    check_sd(row, column, sd)
    return Summary(mean, float(sd), float(se_from_sd(sd, n)), source)


def check_sd(row: Row, column: str, sd: float) -> None:
    """Raise Wrong for an SD that no children on a 0-100 scale have, with the column that it comes from."""
    if not LEAST_SD <= sd <= MOST_SD:
        allowed = f"what gives an SD from {LEAST_SD:g} up to {MOST_SD:g}"
        raise Wrong(row, column, f"gives an SD of {sd:.3g}", allowed)


def _quantiles(row: Row) -> MeanSd | None:
    """Return mean and SD that the median gives with quartiles, extremes or both; None where these are not given."""
    low, q1, median, q3, high = (row[c] for c in ("min", "q1", "median", "q3", "max"))
    outer, inner = (None not in pair and pair[0] < pair[1] for pair in ((low, high), (q1, q3)))
    if row["n"] is None or median is None or not (outer or inner):
        return None
    if outer and inner:
        return mean_sd_from_five_numbers(low, q1, median, q3, high, row["n"])
    if inner:
        return mean_sd_from_quartiles(q1, median, q3, row["n"])
    return mean_sd_from_range(low, median, high, row["n"])
