"""The audit of the evidence: what in the tables cannot be right, may be wrong, or has to be known.

Every check is a general rule over the rows; none knows a study. A suspect figure is named, never changed.
"""

import dataclasses
import textwrap
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter

import numpy as np

from gmfmsim.evidence.audit import children, consistency, counts, derived, spreads, twice
from gmfmsim.evidence.audit.finding import Finding
from gmfmsim.evidence.schema import TABLES, Row, Tables, grouped
from gmfmsim.evidence.sheets.sheet import MOST_LINES

CHECKS: tuple[Callable[[Tables], Iterator[Finding]], ...] = (
    spreads.spread_is_se,
    consistency.interval_not_centred,
    consistency.d_does_not_follow,
    spreads.sd_out_of_line,
    consistency.p_does_not_follow,
    counts.implausible_figure,
    children.children_counted_twice,
    twice.standing_twice,
    twice.two_spellings,
    counts.counts_differ,
    counts.percentage_denominator,
    children.unpublished,
    children.no_usable_contrast,
    derived.derived_columns,
    spreads.missing_spread,
)
SEVERITIES = ("error", "doubt", "note")
WIDTH = 100


def audit(tables: Tables) -> list[Finding]:
    """Return every finding, errors first, then in the order of CHECKS, studies and rows.

    The order of the rows in the tables does not matter. Tables other than studies, arms and contrasts may be missing.
    """
    names = [check.__name__ for check in CHECKS]
    files = {name: list(dict.fromkeys(row["file"] for row in rows)) for name, rows in tables.rows.items()}
    rows = {name: _ordered(name, _numbered(rows, files[name])) for name, rows in tables.rows.items()}
    ordered = dataclasses.replace(tables, rows=rows)
    with np.errstate(all="ignore"):  # absurd figures may overflow; they are told all the same
        found = [finding for check in CHECKS for finding in check(ordered)]
    found.sort(key=lambda f: (SEVERITIES.index(f.severity), names.index(f.check), f.study, f.table, f.rows, f.printed))
    return [_placed(finding, files[finding.table]) for finding in found]


def report(findings: Iterable[Finding]) -> str:
    """Return the findings as text for a terminal, by severity and check, with their number at the end."""
    findings = list(findings)
    text: list[str] = []
    for severity in SEVERITIES:
        for check in dict.fromkeys(f.check for f in findings if f.severity == severity):
            text += [f"{severity}: {check.replace('_', ' ')}", ""]
            for f in (f for f in findings if (f.severity, f.check) == (severity, check)):
                text += _wrapped("  ", f"{f.study}, {f.where}")
                for word, words in (("printed", f.printed), ("expected", f.expected), ("effect", f.effect)):
                    text += _wrapped(f"    {word + ':':10}", words)
                text.append("")
    counts = [(sum(f.severity == s for f in findings), s) for s in SEVERITIES]
    number = f"{len(findings)} finding{'s' * (len(findings) != 1)}"
    text.append(f"{number}: " + ", ".join(f"{n} {s}{'s' * (n != 1)}" for n, s in counts))
    return "\n".join(text)


def as_json(findings: Iterable[Finding]) -> list[dict]:
    """Return the findings as dictionaries of strings and lists."""
    return [dataclasses.asdict(f) | {"rows": list(f.rows)} for f in findings]


def _ordered(table: str, rows: list[Row]) -> list[Row]:
    """Sort rows by what they say: numbers by size, texts by letter, empty cells last."""
    columns = TABLES[table].columns
    return sorted(
        rows, key=lambda r: [(r[c] is None, r[c] if isinstance(r[c], int | float) else 0, str(r[c])) for c in columns]
    )


def _numbered(rows: list[Row], files: list[str]) -> list[Row]:
    """Return rows of several files with a number each that no other has: those of the first file keep their lines."""
    return [row | {"row": row["row"] + MOST_LINES * files.index(row["file"])} for row in rows] if files[1:] else rows


def _placed(finding: Finding, files: list[str]) -> Finding:
    """Return a finding with its lines in words, "a.csv rows 2, 3; b.csv row 2", and as they stand in their files."""
    of_files = grouped((divmod(number, MOST_LINES) for number in finding.rows), itemgetter(0))
    named = [(files[i], [line for _, line in own]) for i, own in of_files.items()]
    where = "; ".join(f"{file} row{'s' * (len(own) > 1)} {', '.join(map(str, own))}" for file, own in named)
    return dataclasses.replace(finding, rows=tuple(line for _, own in named for line in own), where=where)


def _wrapped(head: str, words: str) -> list[str]:
    return textwrap.wrap(words, WIDTH, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False)
