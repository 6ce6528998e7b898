"""Counts that differ between sources, do not add up or give no such percentage; counts and doses far from the field."""

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from operator import itemgetter

from scipy.special import chdtri

from gmfmsim.evidence.audit.children import enrolment
from gmfmsim.evidence.audit.finding import Finding, lines, listed
from gmfmsim.evidence.formulas.printed import EPS, half_unit, same_figure
from gmfmsim.evidence.schema import TABLES, Row, Tables, at_month, grouped
from gmfmsim.evidence.spread import shipped_tables

FIGURES = {
    "outcomes": ("n", "mean", "sd", "median"),
    "events": ("events", "n"),
    "contrasts": ("estimate", "se", "p", "n_a", "n_b"),
    "pooled": ("estimate", "ci_low", "ci_high", "k_studies", "n_total", "i2_pct"),
}
"""What two sources of one row are compared on; all else follows from these."""

OTHER_DENOMINATOR = re.compile(r"\bover (all|any|more than)\b", re.IGNORECASE)


FEWEST_CHILDREN = 4
"""Fewer children in an arm give no SD to speak of: of three it is known within a factor of six."""

FAR = 10.0
"""Times that a figure may lie outside the range of the shipped evidence: a thousands mark or an exponent is more."""


def counts_differ(tables: Tables) -> Iterator[Finding]:
    """Find figures on which sources differ beyond rounding, and sums that are not the sum of their parts."""
    yield from _sources_differ(tables)
    yield from _composites_differ(tables)
    yield from _enrolments_differ(tables)
    yield from _more_than_the_arm(tables)
    for claim in tables.where("claims"):
        if claim["status"] == "conflicts":
            figures = [f"{claim[c]:g}" for c in ("low", "high") if claim[c] is not None]
            yield Finding(
                *("counts_differ", "doubt", claim["study_id"], "claims", lines([claim])),
                f"{claim['quantity']}: {' to '.join(dict.fromkeys(figures))} {claim['unit']} ({claim['source']})",
                claim["notes"] or "another figure, in the tables",
                "claims enter no analysis; who plans with this figure plans with one that the tables contradict",
            )


def percentage_denominator(tables: Tables) -> Iterator[Finding]:
    """Find percentages that no count of children gives, or that have no denominator, and counts above their n."""
    arms, events = tables.arms, tables.where("events")
    for row in events:
        known = arms.get((row["study_id"], row["arm_id"]), {}).get("n")
        for printed, expected, effect in _impossible(row, known):
            place = "percentage_denominator", "error", row["study_id"], "events", lines([row])
            yield Finding(*place, f"{row['event']}, {row['arm_id']}: {printed}", expected, effect)
    bare = (row for row in events if row["percent"] is not None and row["n"] is None)
    for study, rows in grouped(bare, itemgetter("study_id")).items():
        yield Finding(
            *("percentage_denominator", "doubt", study, "events", lines(rows)),
            f"{listed(f'{r["percent"]:g} % ({r["event"]})' for r in rows)}, without the number of children",
            "each with the number it is a share of",
            "none can be pooled, compared or given an interval",
        )
    for claim in tables.where("claims"):
        if claim["unit"] == "per cent" and claim["low"] is not None and OTHER_DENOMINATOR.search(claim["notes"] or ""):
            yield Finding(
                *("percentage_denominator", "note", claim["study_id"], "claims", lines([claim])),
                f"{claim['quantity']}: {claim['low']:g} per cent",
                f"a share of children with cerebral palsy; the notes say: {claim['notes']}",
                "it is no response rate of these children, and no arm is given one by it",
            )


def _sources_differ(tables: Tables) -> Iterator[Finding]:
    """Compare the rows of one key with the preferred one."""
    for table, columns in FIGURES.items():
        for key, rows in grouped(tables.where(table), itemgetter(*TABLES[table].key)).items():
            ours = next((r for r in rows if r["preferred"] == "yes"), rows[0])
            others = [r for r in rows if any(not same_figure(r[c], ours[c]) for c in columns)]
            differing = [c for c in columns if any(not same_figure(r[c], ours[c]) for r in others)]
            if others:
                figures = [", ".join(f"{c} {r[c]:g}" for c in differing if r[c] is not None) for r in (ours, *others)]
                where = " / ".join(f"{k:g}" if isinstance(k, float) else str(k) for k in key[1:])
                yield Finding(
                    *("counts_differ", "doubt", key[0], table, lines([ours, *others])),
                    f"{where}: {' against '.join(figures)}",
                    f"one figure; {figures[0]} is preferred",
                    "; ".join(_effect_of_source(table, ours, r) for r in others),
                )


def _effect_of_source(table: str, ours: Row, theirs: Row) -> str:
    """Say what another source would change: a rate, a standard error, or the figures themselves."""
    if table == "events" and all(r["n"] and r["events"] is not None for r in (ours, theirs)):
        rates = [f"{100 * r['events'] / r['n']:.1f} %" for r in (ours, theirs)]
        return f"a rate of {rates[1]} instead of {rates[0]}"
    if table == "outcomes" and all(r["sd"] and r["n"] for r in (ours, theirs)):
        errors = [f"{r['sd'] / math.sqrt(r['n']):.3f}" for r in (ours, theirs)]
        return f"a standard error of the mean of {errors[1]} instead of {errors[0]}"
    changes = [f"{c} by {theirs[c] - ours[c]:+.3g}" for c in FIGURES[table] if not same_figure(ours[c], theirs[c])]
    return "a change of " + listed(changes)


def _composites_differ(tables: Tables) -> Iterator[Finding]:
    """Compare the n of composite arms with the sum of their parts."""
    arms = tables.arms
    for arm in tables.rows["arms"]:
        study, parts = arm["study_id"], (arm["composite_of"] or "").split(";")
        counts = [arms.get((study, part), {}).get("n") for part in parts]
        if None not in (arm["n"], *counts) and sum(counts) not in (0, arm["n"]):
            named = zip(counts, parts, strict=True)
            yield Finding(
                *("counts_differ", "doubt", study, "arms"),
                lines(a for a in tables.where("arms", study_id=study) if a is arm or a["arm_id"] in parts),
                f"{arm['n']} children in {arm['arm_id']}",
                f"{sum(counts)}: {listed(f'{n} ({part})' for n, part in named)}",
                f"a rate over {arm['arm_id']} changes by {100 * abs(arm['n'] / sum(counts) - 1):.1f} %",
            )


def _enrolments_differ(tables: Tables) -> Iterator[Finding]:
    """Compare the number enrolled with the sum of the randomised arms."""
    for study, arms, total in enrolment(tables):
        missing = study["n_enrolled"] - total
        if study["design"].startswith("rct") and missing and -missing < min(a["n"] for a in arms):
            yield Finding(
                *("counts_differ", "note" if missing > 0 else "error", study["study_id"], "studies", lines([study])),
                f"{study['n_enrolled']} enrolled; the arms hold {listed(a['n'] for a in arms)}, {total} in all",
                f"arms that add to {study['n_enrolled']}, or a word on the difference of {abs(missing)}",
                f"{100 * abs(missing) / study['n_enrolled']:.1f} % of the children stand in "
                + ("no arm: their outcome is not known" if missing > 0 else "two arms, or were never enrolled"),
            )


def _more_than_the_arm(tables: Tables) -> Iterator[Finding]:
    """Find means and contrasts over more children than the arm has."""
    arms = tables.arms
    columns = (("outcomes", "arm_id", "n"), ("contrasts", "arm_a", "n_a"), ("contrasts", "arm_b", "n_b"))
    for table, arm_column, n_column in columns:
        for row in tables.where(table):
            size, n = arms.get((row["study_id"], row[arm_column]), {}).get("n"), row[n_column]
            if None not in (size, n) and n > size:
                yield Finding(
                    *("counts_differ", "error", row["study_id"], table, lines([row])),
                    f"{n:g} children of {row[arm_column]}, {row['scale']}, {at_month(row['month'])}",
                    f"at most {size}, the arm's n",
                    f"{n - size:g} children too many: the standard error is too small, by {100 * (1 - size / n):.1f} % "
                    "of the variance",
                )


def _impossible(row: Row, size: int | None) -> Iterator[tuple[str, str, str]]:
    """Return what cannot be right about a count of children in an arm of known size: printed, expected, effect."""
    events, n, percent = row["events"], row["n"], row["percent"]
    if not n:
        return
    if size is not None and n > size:
        rates = "" if events is None or not size else f": {100 * events / n:.1f} % for {100 * events / size:.1f} %"
        yield f"n {n}", f"at most {size}, the children of the arm", f"a rate that is too small{rates}"
    if events is not None and events > n:
        yield f"{events} of {n} children", f"at most {n}", "events counted as children: no rate follows"
    elif percent is not None:
        slack = half_unit(percent) + EPS
        if events is not None and abs(percent - 100 * events / n) > slack:
            right = 100 * events / n
            yield f"{percent:g} % for {events} of {n}", f"{right:.1f} %", f"a change by {right - percent:+.1f} points"
        elif events is None and abs(percent - 100 * round(percent * n / 100) / n) > slack:
            k = math.floor(percent * n / 100)
            near = (f"{i} of {n}, {100 * i / n:.1f} %" for i in (k, k + 1))
            yield f"{percent:g} % of {n}", " or ".join(near), "n or the percentage is another one: no count follows"


def implausible_figure(tables: Tables) -> Iterator[Finding]:
    """Find arms of fewer than four children with an SD, and numbers and doses ten times beyond the shipped evidence."""
    yield from _numbers(tables)
    yield from _doses(tables)


def _numbers(tables: Tables) -> Iterator[Finding]:
    """Say of each arm, once, that so many children are too few or too many."""
    known = [r["n"] for r in shipped_tables().rows["outcomes"] if r["n"]]
    low, high = min(known), max(known)
    found: dict[tuple, list[Row]] = defaultdict(list)
    told: set[tuple] = set()
    for table, arm_columns, spreads in (
        ("outcomes", (("arm_id", "n"),), ("sd", "se")),
        ("contrasts", (("arm_a", "n_a"), ("arm_b", "n_b")), ("se", "md100_se")),
    ):
        told |= {key[1:] for key in found}
        for row in tables.where(table):
            for arm, count in arm_columns if any(row[c] is not None for c in spreads) else ():
                key, n = (row["study_id"], row[arm], row[count]), row[count]
                if n is not None and key not in told and not FEWEST_CHILDREN <= n <= FAR * high:
                    found[table, *key].append(row)
    for (table, study, arm, n), rows in found.items():
        few = n < FEWEST_CHILDREN
        yield Finding(
            *("implausible_figure", "doubt", study, table, lines(rows)),
            f"{n} {'child' if n == 1 else 'children'} in {arm}, with an SD or standard error",
            f"{low} to {high} children, as in an arm of the shipped evidence"
            + ("; a thousands mark read as a decimal point makes 2 of 2.000" if few else ""),
            _known_within(n) if few else f"{n / high:.0f} times the weight of the largest arm of the shipped evidence",
        )


def _known_within(n: int) -> str:
    """Say how well n children tell their SD: sd sqrt((n - 1) / q), q the chi-squared quantiles with n - 1 df."""
    if n < 2:
        return "one child has no SD: the standard error is not what it is called"
    low, high = (math.sqrt((n - 1) / float(chdtri(n - 1, tail))) for tail in (0.025, 0.975))
    return f"an SD of {n} children lies in 95 % between {low:.2g} and {high:.2g} times what they show"


def _doses(tables: Tables) -> Iterator[Finding]:
    """Say of each treated arm that its dose is far from all others."""
    known = [a["dose_total_cells_per_kg"] for a in shipped_tables().rows["arms"] if a["dose_total_cells_per_kg"]]
    low, high = min(known), max(known)
    for arm in tables.rows["arms"]:
        dose = arm["dose_total_cells_per_kg"]
        if dose and not low / FAR <= dose <= high * FAR:
            below = dose < low
            decades = abs(math.log10(dose / (low if below else high)))
            yield Finding(
                *("implausible_figure", "doubt", arm["study_id"], "arms", lines([arm])),
                f"{dose:.6g} cells/kg in {arm['arm_id']}",
                f"{low:.2g} to {high:.2g} cells/kg, all that the shipped evidence reports"
                + ("; an exponent may be missing, or a thousands mark be read as a decimal point" if below else ""),
                f"it lies {decades:.1f} decades {'below' if below else 'above'} all of these, and carries the slope "
                "of any dose curve",
            )
