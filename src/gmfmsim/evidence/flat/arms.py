"""What a paper prints of the arms of one study at one month: means and how well they are known, and how they differ."""

import math
from typing import NamedTuple

from gmfmsim.evidence.formulas import conversions
from gmfmsim.evidence.formulas.dose import DosePerKg
from gmfmsim.evidence.schema import Row, grouped

LEAST_SD, MOST_SD = 1e-3, 100
SPREADS = (
    "an SD, or se, or a 95 % interval in ci_low and ci_high, or q1 and q3 (min and max) beside median, or p or t; or, "
    "in both arms, baseline_mean, baseline_sd, final_mean and final_sd"
)
VISITS = ("baseline_mean", "baseline_sd", "final_mean", "final_sd")
DIFFERENCE = ("difference", "difference_se", "difference_low", "difference_high")
OF_TEST = ("p", "t")
"""What is printed of scores at two visits; of the difference from the control; of the test of it."""

ORDER = (("min", "q1"), ("min", "median"), ("q1", "median"), ("median", "q3"), ("median", "max"), ("q3", "max"))
"""The quantiles that stand in this order, each pair as far as both are given."""


class Wrong(Exception):
    """What is wrong with a row: the row, the column, the problem and what is allowed."""


class Summary(NamedTuple):
    """Mean and SD of the children of one arm, and the standard error of the mean.

    mean is None beside a printed difference alone, sd where n is not known, sd and se where no spread is given. source:
    where the SD is from, as the column sd_source of outcomes.csv says it.
    """

    mean: float | None
    sd: float | None
    se: float | None
    source: str


def summary(row: Row, *, by_difference: bool = False) -> Summary:
    """Return mean, SD and standard error of one row, each as given or from what is given.

    The mean may come from the quantiles, or be that of the final less the baseline scores; the SD comes, in this order,
    from sd, se, the 95 % interval (Student's t) and the quantiles. Without n, se is taken as it stands. In a study with
    a printed difference (`by_difference`) an arm needs neither.

    Raises Wrong for a row without mean, without n where that is needed, or with an impossible SD.
    """
    n, quantiles = row["n"], _quantiles(row)
    if n is None and row["se"] is None and not by_difference:
        raise Wrong(row, "n", "is empty", "a whole number from 2; empty only beside se")
    mean = row["mean"] if quantiles is None or row["mean"] is not None else float(quantiles.mean)
    if mean is None and None not in (row["baseline_mean"], row["final_mean"]):
        mean = row["final_mean"] - row["baseline_mean"]
    if mean is None and not by_difference:
        allowed = "a number, or beside n a median with q1 and q3, or with min and max; or baseline_mean and final_mean"
        raise Wrong(row, "mean", "is empty", allowed)
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

    @property
    def has_visits(self) -> bool:
        """Whether mean and SD of the scores at both visits are given, of a known number of children."""
        return None not in (self.row["n"], *(self.row[column] for column in VISITS))


class Comparison(NamedTuple):
    """One arm less the control: difference, standard error, that of the control's mean, and both SDs (None: no n).

    The errors are None where scores at two visits give them, whose correlation is not known: a reading does. note: how
    the standard error came about, where not from the arms'.
    """

    active: Result
    control: Result
    md: float
    se: float | None
    control_se: float | None
    sd: float | None
    control_sd: float | None
    note: str | None = None


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

    A printed difference, with its own spread if it has one, goes before the arms. Where an arm has no spread, se is the
    one that gives t, or the two-sided p, of the difference in a t test with n_a + n_c - 2 degrees of freedom, and such
    an arm has the pooled SD, se / sqrt(1/n_a + 1/n_c). Else scores at two visits give both: see `Comparison`.

    Raises Wrong where there is none of these, or what is printed cannot be right.
    """
    a, c, row = active.summary, control.summary, active.row
    if row["difference"] is not None:
        return _as_printed(active, control)
    for arm in (active, control):
        if arm.summary.mean is None:
            raise Wrong(arm.row, "mean", "is empty", "a number; empty only where the difference is printed")
    md = a.mean - c.mean
    if abs(md) > 100:
        raise Wrong(row, "mean", f"a difference of {md:g} points from the control", "from -100 up to 100")
    if a.se is not None and c.se is not None:
        return Comparison(active, control, md, math.hypot(a.se, c.se), c.se, a.sd, c.sd)
    if (found := _by_test(active, control, md)) is not None:
        se, sd, note = found
        control_se = sd / math.sqrt(control.row["n"]) if c.se is None else c.se
        if control_se >= se:
            problem = f"gives the difference a standard error of {se:.3g}, and the control alone has {control_se:.3g}"
            raise Wrong(row, _test_of(row), problem, "figures that agree: means, test, and the spread of the control")
        own, other = (sd if s.sd is None else s.sd for s in (a, c))
        return Comparison(active, control, md, se, control_se, own, other, note)
    if not (active.has_visits and control.has_visits):
        raise Wrong((control if c.se is None else active).row, "sd", "no spread is given", SPREADS)
    if math.isnan(row["month"]):
        raise Wrong(row, "month", "is not known", "the month of the final scores")
    md = (row["final_mean"] - row["baseline_mean"]) - (control.row["final_mean"] - control.row["baseline_mean"])
    note = "Final less baseline scores: no SD of change is printed, and the correlation of the visits is not known."
    return Comparison(active, control, md, None, None, None, None, note)


def _test_of(row: Row) -> str:
    """Return the column that says what a test of the difference came to: t, the more exact, or p."""
    return "p" if row["t"] is None else "t"


def _by_test(active: Result, control: Result, md: float) -> tuple[float, float, str] | None:
    """Return the standard error that p or t of a difference gives, the pooled SD, and how; None without p and t."""
    row, column = active.row, _test_of(active.row)
    n_a, n_b = row["n"], control.row["n"]
    if row[column] is None:
        return None
    if n_a is None or n_b is None:
        raise Wrong(row, column, "n of an arm is not known", f"{column} beside n of both arms")
    df = n_a + n_b - 2
    try:
        by = conversions.se_from_p(md, row["p"], df) if column == "p" else conversions.se_from_t(md, row["t"])
        se, sd = float(by), float(conversions.sd_from_difference_se(float(by), n_a, n_b))
    except ValueError as error:
        allowed = "p above 0 and below 1, or t other than 0, of a difference that is not 0"
        raise Wrong(row, column, f"gives no standard error: {error}", allowed) from None
    check_sd(row, column, sd)
    what = f"two-sided p, t test with {df} degrees of freedom" if column == "p" else "printed t"
    return se, sd, f"Standard error from the {what}."


def _as_printed(active: Result, control: Result) -> Comparison:
    """Return a difference as it is printed, its error from its own se, 95 % interval, t, p, or else from the arms.

    The interval is Student's with n_a + n_c - 2 degrees of freedom, normal where an n is not known. The share of the
    control is its own standard error, or, where that cannot be (the difference is adjusted) or is not known, what a
    pooled SD gives.
    """
    row, a, c = active.row, active.summary, control.summary
    md, low, high, ns = row["difference"], row["difference_low"], row["difference_high"], (row["n"], control.row["n"])
    df, found = None if None in ns else sum(ns) - 2, None
    if row["difference_se"] is not None:
        se, column = row["difference_se"], "difference_se"
    elif None not in (low, high) and low < high:
        se, column = float(conversions.se_from_ci(low, high, df=df)), "difference_low"
    elif (found := _by_test(active, control, md)) is not None:
        se, column = found[0], _test_of(row)
    elif None not in (a.se, c.se):
        se, column = math.hypot(a.se, c.se), "difference"
    else:
        allowed = "difference_se, or a 95 % interval in difference_low and difference_high, or p or t; or the arms' own"
        raise Wrong(row, "difference", "no spread is given", allowed)
    if se > 100:
        raise Wrong(row, column, f"gives a standard error of {se:.3g}", "what gives one of at most 100")
    sd = None if None in ns else float(conversions.sd_from_difference_se(se, *ns))
    if sd is not None:
        check_sd(row, column, sd)
    share = None if sd is None else sd / math.sqrt(ns[1])
    control_se = c.se if c.se is not None and c.se < se else share
    own, other = (sd if s.sd is None else s.sd for s in (a, c))
    return Comparison(active, control, md, se, control_se, own, other, found[2] if found else None)
