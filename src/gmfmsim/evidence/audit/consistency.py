"""Figures that have to follow from each other: estimates, intervals, standardised differences and p values."""

import math
import re
from collections.abc import Iterator

from gmfmsim.evidence.audit.derived import arms_of
from gmfmsim.evidence.audit.finding import Finding, lines, weight
from gmfmsim.evidence.formulas.conversions import Z975, sd_from_difference_se, se_from_ci, t_test_p
from gmfmsim.evidence.formulas.effect_sizes import small_sample_factor
from gmfmsim.evidence.formulas.printed import EPS, decimals, half_unit
from gmfmsim.evidence.schema import RATIOS, TABLES, Row, Tables, at_month

P_FACTOR, P_DISTANCE = 3.0, 0.02
"""A p follows if it is within this factor or this distance: papers use other tests, adjust, and round."""

DIFFERENCES = ("MD", "SMD", "WMD")
PRINTED_P = re.compile(r"\b[Pp]rints p ?= ?(\d*\.\d+)")


def interval_not_centred(tables: Tables) -> Iterator[Finding]:
    """Find estimates that are not the middle of their interval (on the log scale for ratios), rounding allowed."""
    for table, column in (("contrasts", "estimate"), ("pooled", "estimate"), ("outcomes", "mean")):
        for row in tables.where(table):
            estimate, low, high, log = row[column], row["ci_low"], row["ci_high"], row.get("measure") in RATIOS
            if None in (estimate, low, high) or low >= high or not _is_symmetric(row.get("measure", "MD")):
                continue
            if log and min(low, estimate) <= 0:
                continue
            unit, own = half_unit(low, high), _own_unit(estimate, low, high)
            if _middle(low - unit, high - unit, log) - EPS <= estimate + own and (
                estimate - own <= _middle(low + unit, high + unit, log) + EPS
            ):
                continue
            middle, other_limit, widths = _middle(low, high, log), "", ""
            inside = low <= estimate <= high
            if inside:
                ends = (estimate**2 / high, estimate**2 / low) if log else (2 * estimate - high, 2 * estimate - low)
                first, last = _ratio(ends[0], high, low, high, log), _ratio(low, ends[1], low, high, log)
                printed_low, printed_high = (_as_printed(end, low, high) for end in ends)
                other_limit = f", or a lower limit of {printed_low}, or an upper limit of {printed_high}"
                widths = f"; with another limit it would be {first:.2f} or {last:.2f} times as large"
            severity = "doubt" if inside else "error"
            yield Finding(
                *("interval_not_centred", severity, row[TABLES[table].study], table, lines([row])),
                f"{column} {estimate:g} with the interval {low:g} to {high:g}",
                f"{column} {_as_printed(middle, low, high)} for this interval{other_limit}",
                f"the effect would change by {middle - estimate:+.2g}, its standard error not at all{widths}",
            )


def d_does_not_follow(tables: Tables) -> Iterator[Finding]:
    """Find printed standardised differences that the printed difference and its interval do not imply."""
    key = ("study_id", "arm_a", "arm_b", "scale", "month")
    for row in tables.where("contrasts", measure="SMD"):
        for md in tables.where("contrasts", measure="MD", **{k: row[k] for k in key}):
            if None in (md["ci_low"], md["ci_high"], md["n_a"], md["n_b"]) or not md["estimate"]:
                continue
            df, low, high = md["n_a"] + md["n_b"] - 2, md["ci_low"], md["ci_high"]
            if min(md["n_a"], md["n_b"]) < 2 or low >= high:
                continue
            sds = [float(sd_from_difference_se(se_from_ci(low, high, df=q), md["n_a"], md["n_b"])) for q in (None, df)]
            d, j = md["estimate"] / sds[0], float(small_sample_factor(df))
            implied = sorted(md["estimate"] / sd * factor for sd in sds for factor in (1, j))
            slack = half_unit(row["estimate"]) + abs(d) * (
                _own_unit(md["estimate"], low, high) / abs(md["estimate"]) + 2 * half_unit(low, high) / (high - low)
            )
            if implied[0] - slack <= row["estimate"] <= implied[-1] + slack:
                continue
            sd = abs(md["estimate"] / row["estimate"]) if row["estimate"] else math.inf
            yield Finding(
                *("d_does_not_follow", "doubt", row["study_id"], "contrasts", lines([row, md])),
                f"standardised difference {row['estimate']:g} at {at_month(row['month'])}",
                f"{d * j:.2f} (Hedges g; Cohen d {d:.2f}): the difference {md['estimate']:g} ({low:g} to {high:g}) "
                f"implies an SD of {sds[0]:.3g}",
                f"the printed one implies an SD of {sd:.3g}: the row would have {weight(sds[0], sd)}",
            )


def p_does_not_follow(tables: Tables) -> Iterator[Finding]:
    """Find p values that are out of reach of the estimate and its interval or standard error."""
    for table in ("contrasts", "pooled"):
        for row in tables.where(table):
            in_notes = PRINTED_P.search(row["notes"] or "")
            printed = row["p"] if row["p"] is not None else float(in_notes[1]) if in_notes else None
            at_most, figures = row["p_qualifier"] == "<", _p_range(row, tables)
            if printed is None or row["p_qualifier"] == ">" or not figures:
                continue
            (least, most), basis = figures
            high = printed + half_unit(printed)
            low = 0 if at_most else max(printed - half_unit(printed), 0)
            too_small = least / P_FACTOR > high and least - high > P_DISTANCE
            too_large = low > P_FACTOR * most and low - most > P_DISTANCE
            if too_small or too_large:
                ends = dict.fromkeys(f"{p:.2g}" for p in (least, most))
                yield Finding(
                    *("p_does_not_follow", "doubt", row[TABLES[table].study], table, lines([row])),
                    f"p {'<' if at_most else '='} {printed:g} for {row['measure']} {row['estimate']:g}, {row['scale']}"
                    + (" (p in the notes)" if row["p"] is None else ""),
                    f"p {' to '.join(ends)} by {basis}",
                    "either p or the standard error is wrong: whether the difference is significant depends on it"
                    if (least < 0.05) != (high < 0.05)
                    else "either p or the standard error is wrong; both say the same at the level 0.05",
                )


def _p_range(row: Row, tables: Tables) -> tuple[tuple[float, float], str] | None:
    """Return the smallest and largest p that the figures of a row allow, and which figures; None without figures."""
    estimate, low, high, log = row["estimate"], row["ci_low"], row["ci_high"], row["measure"] in RATIOS
    if estimate is None or not _is_symmetric(row["measure"]) or (log and min(estimate, 1 if low is None else low) <= 0):
        return None
    n = (row.get("n_a") or 0) + (row.get("n_b") or 0)
    arms = arms_of(row, tables) if "arm_a" in row else None
    unit = half_unit(estimate)
    if None not in (low, high) and low < high:
        unit = _own_unit(estimate, low, high)
        low, high = (math.log(low), math.log(high)) if log else (low, high)
        se, basis = (high - low) / (2 * Z975), "the interval"
        slack = half_unit(row["ci_low"], row["ci_high"]) / (row["ci_low"] if log else 1) / Z975
    elif row.get("se"):
        se, slack, basis = row["se"], half_unit(row["se"]), "the standard error"
    elif arms:
        se, slack, basis = math.hypot(*(a["sd"] / math.sqrt(a["n"]) for a in arms)), 0.0, "the arms"
    else:
        return None
    size, unit = (abs(math.log(estimate)), unit / estimate) if log else (abs(estimate), unit)
    smallest = t_test_p(size + unit, max(se - slack, EPS))
    largest = t_test_p(max(size - unit, 0), se + slack, n - 2 if n > 3 else None)
    return (float(smallest), float(largest)), basis


def _is_symmetric(measure: str) -> bool:
    return measure in RATIOS or measure.split("_")[0] in DIFFERENCES


def _own_unit(estimate: float, low: float, high: float) -> float:
    """Return half a unit of an estimate: it is printed with at most one decimal fewer than its interval."""
    return min(half_unit(estimate), 10 * half_unit(low, high))


def _middle(low: float, high: float, log: bool) -> float:
    return math.sqrt(max(low, 0) * max(high, 0)) if log else (low + high) / 2


def _ratio(low: float, high: float, old_low: float, old_high: float, log: bool) -> float:
    """Return the width of an interval relative to that of another."""
    if log:
        low, high, old_low, old_high = map(math.log, (low, high, old_low, old_high))
    return (high - low) / (old_high - old_low)


def _as_printed(value: float, *like: float) -> str:
    return f"{value:.{max(map(decimals, like))}f}"
