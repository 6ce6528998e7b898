"""Numbers of children and doses that lie far outside all that the field has reported."""

import math
from collections import defaultdict
from collections.abc import Iterator

from scipy.special import chdtri

from gmfmsim.evidence.audit.finding import Finding, lines
from gmfmsim.evidence.schema import Row, Tables
from gmfmsim.evidence.spread import shipped_tables

FEWEST_CHILDREN = 4
"""Fewer children in an arm give no SD to speak of: of three it is known within a factor of six."""

FAR = 10.0
"""Times that a figure may lie outside the range of the shipped evidence: a thousands mark or an exponent is more."""


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
        for row in tables.rows.get(table, []):
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
