"""Counts of children and events that differ between sources, do not add up, or do not give their percentage."""

import math
import re
from collections import defaultdict
from collections.abc import Iterator

from gmfmsim.evidence.audit.children import enrolment
from gmfmsim.evidence.audit.finding import Finding, lines, listed
from gmfmsim.evidence.formulas.printed import EPS, half_unit, same_figure
from gmfmsim.evidence.schema import TABLES, Row, Tables, at_month

FIGURES = {
    "outcomes": ("n", "mean", "sd", "median"),
    "events": ("events", "n"),
    "contrasts": ("estimate", "se", "p", "n_a", "n_b"),
    "pooled": ("estimate", "ci_low", "ci_high", "k_studies", "n_total", "i2_pct"),
}
"""What two sources of one row are compared on; all else follows from these."""

OTHER_DENOMINATOR = re.compile(r"\bover (all|any|more than)\b", re.IGNORECASE)


def counts_differ(tables: Tables) -> Iterator[Finding]:
    """Find figures on which sources differ beyond rounding, and sums that are not the sum of their parts."""
    yield from _sources_differ(tables)
    yield from _composites_differ(tables)
    yield from _enrolments_differ(tables)
    yield from _more_than_the_arm(tables)
    for claim in tables.rows.get("claims", []):
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
    sizes = {(a["study_id"], a["arm_id"]): a["n"] for a in tables.rows["arms"]}
    bare: dict[str, list[Row]] = defaultdict(list)
    for row in tables.rows.get("events", []):
        if row["percent"] is not None and row["n"] is None:
            bare[row["study_id"]].append(row)
        for printed, expected, effect in _impossible(row, sizes.get((row["study_id"], row["arm_id"]))):
            yield Finding(
                *("percentage_denominator", "error", row["study_id"], "events", lines([row])),
                f"{row['event']}, {row['arm_id']}: {printed}",
                expected,
                effect,
            )
    for study, rows in bare.items():
        yield Finding(
            *("percentage_denominator", "doubt", study, "events", lines(rows)),
            f"{listed(f'{r["percent"]:g} % ({r["event"]})' for r in rows)}, without the number of children",
            "each with the number it is a share of",
            "none can be pooled, compared or given an interval",
        )
    for claim in tables.rows.get("claims", []):
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
        groups: dict[tuple, list[Row]] = defaultdict(list)
        for row in tables.rows.get(table, []):
            groups[tuple(row[k] for k in TABLES[table].key)].append(row)
        for key, rows in groups.items():
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
    sizes = {(a["study_id"], a["arm_id"]): a["n"] for a in tables.rows["arms"]}
    for arm in tables.rows["arms"]:
        study, parts = arm["study_id"], (arm["composite_of"] or "").split(";")
        counts = [sizes.get((study, part)) for part in parts]
        if None not in (arm["n"], *counts) and sum(counts) not in (0, arm["n"]):
            named = zip(counts, parts, strict=True)
            yield Finding(
                "counts_differ",
                "doubt",
                study,
                "arms",
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
    sizes = {(a["study_id"], a["arm_id"]): a["n"] for a in tables.rows["arms"]}
    columns = (("outcomes", "arm_id", "n"), ("contrasts", "arm_a", "n_a"), ("contrasts", "arm_b", "n_b"))
    for table, arm_column, n_column in columns:
        for row in tables.rows.get(table, []):
            size, n = sizes.get((row["study_id"], row[arm_column])), row[n_column]
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
