"""What a paper prints of the arms of one study at one month: means and how well they are known, and how they differ."""

import math
from typing import NamedTuple

from gmfmsim.evidence.formulas import conversions
from gmfmsim.evidence.formulas.dose import DosePerKg
from gmfmsim.evidence.schema import Row, grouped

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
        sd, source, column = conversions.sd_from_se(row["se"], n), "from_se", "se"
    elif None not in (low, high) and low < high:
        sd, source, column = conversions.sd_from_ci(low, high, n), "from_ci", "ci_low"
    elif quantiles is not None:
        sd, source, column = quantiles.sd, "from_range", "median"
    else:
        return Summary(mean, None, None, "none")
    check_sd(row, column, sd)
    return Summary(mean, float(sd), float(conversions.se_from_sd(sd, n)), source)


def check_sd(row: Row, column: str, sd: float) -> None:
    """Raise Wrong for an SD that no children on a 0-100 scale have, with the column that it comes from."""
    if not LEAST_SD <= sd <= MOST_SD:
        allowed = f"what gives an SD from {LEAST_SD:g} up to {MOST_SD:g}"
        raise Wrong(row, column, f"gives an SD of {sd:.3g}", allowed)


def _quantiles(row: Row) -> conversions.MeanSd | None:
    """Return mean and SD that the median gives with quartiles, extremes or both; None where these are not given."""
    low, q1, median, q3, high = (row[c] for c in ("min", "q1", "median", "q3", "max"))
    outer, inner = (None not in pair and pair[0] < pair[1] for pair in ((low, high), (q1, q3)))
    if row["n"] is None or median is None or not (outer or inner):
        return None
    if outer and inner:
        return conversions.mean_sd_from_five_numbers(low, q1, median, q3, high, row["n"])
    if inner:
        return conversions.mean_sd_from_quartiles(q1, median, q3, row["n"])
    return conversions.mean_sd_from_range(low, median, high, row["n"])


class Arm(NamedTuple):
    """What is the same in every row of an arm. dose is None where it is not known; an arm without cells has none."""

    control: bool
    dose: DosePerKg | None
    derivation: str
    cell_class: str
    route: str


class Result(NamedTuple):
    """One row: its arm, and what it says of the children."""

    row: Row
    arm: Arm
    summary: Summary


class Comparison(NamedTuple):
    """One arm less the control: difference, standard error, that of the control's mean, and both SDs (None: no n).

    df: the degrees of freedom of the t test whose p gave the standard error; None where the arms gave it.
    """

    active: Result
    control: Result
    md: float
    se: float
    control_se: float
    sd: float | None
    control_sd: float | None
    df: int | None = None


def comparable(results: list[Result]) -> list[list[Result]]:
    """Return the rows of one study that are compared: those of one scale and month."""
    return list(grouped(results, lambda result: (result.row["scale"], result.row["month"])).values())


def control_of(group: list[Result]) -> Result | None:
    """Return what the others are compared with: the arm without cells, else, of known doses, the lowest.

    None where there is no such arm, more than one, or nothing to compare with it. An arm whose dose is not known may
    be the control that lacks its 0: beside one, no dose is the lowest.
    """
    lowest = [r for r in group if r.arm.control]
    if not lowest and all(r.arm.dose is not None for r in group):
        least = min(r.arm.dose.dose for r in group)
        lowest = [r for r in group if r.arm.dose.dose == least]
    return lowest[0] if len(lowest) == 1 < len(group) else None


def compare(active: Result, control: Result) -> Comparison:
    """Return how an arm differs from the control: md = mean_a - mean_c, se^2 = se_a^2 + se_c^2.

    Where an arm has no spread, se is the one that gives the two-sided p of the difference in a t test with
    n_a + n_c - 2 degrees of freedom, and such an arm has the pooled SD, se / sqrt(1/n_a + 1/n_c).

    Raises Wrong where there is neither, or p cannot be right.
    """
    a, c = active.summary, control.summary
    md = a.mean - c.mean
    if abs(md) > 100:
        raise Wrong(active.row, "mean", f"a difference of {md:g} points from the control", "from -100 up to 100")
    if a.se is not None and c.se is not None:
        return Comparison(active, control, md, math.hypot(a.se, c.se), c.se, a.sd, c.sd)
    p, n_a, n_c = active.row["p"], active.row["n"], control.row["n"]
    if p is None:
        raise Wrong((control if c.se is None else active).row, "sd", "no spread is given", SPREADS)
    if n_a is None or n_c is None:
        raise Wrong(active.row, "p", "n of an arm is not known", "p beside n of both arms")
    try:
        se = float(conversions.se_from_p(md, p, n_a + n_c - 2))
        sd = float(conversions.sd_from_difference_se(se, n_a, n_c))
    except ValueError as error:
        allowed = "above 0 and below 1, of a difference that is not 0"
        raise Wrong(active.row, "p", f"gives no standard error: {error}", allowed) from None
    check_sd(active.row, "p", sd)
    control_se = sd / math.sqrt(n_c) if c.se is None else c.se
    if control_se >= se:
        problem = f"gives the difference a standard error of {se:.3g}, and the control alone has {control_se:.3g}"
        raise Wrong(active.row, "p", problem, "figures that agree: p, means, and the spread of the control")
    own, other = (sd if s.sd is None else s.sd for s in (a, c))
    return Comparison(active, control, md, se, control_se, own, other, n_a + n_c - 2)
