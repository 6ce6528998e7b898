"""What stands twice under two names: a control, a trial, a study whose name is spelt in two ways."""

import difflib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from operator import itemgetter

from gmfmsim.evidence.audit.children import mean_of_two
from gmfmsim.evidence.audit.finding import Finding, lines, listed
from gmfmsim.evidence.schema import Row, Tables, at_month, grouped
from gmfmsim.evidence.sheets.names import plain

ALIKE = 0.9
"""Names that share their figures and this much of their letters (difflib's ratio) may be one, misspelt."""

MOST_SHOWN = 6
"""Figures that one finding shows."""


def standing_twice(tables: Tables) -> Iterator[Finding]:
    """Find arms of different studies with the same n, mean and SD, and contrasts with the same effect and error.

    To the last digit, on one scale at one month. Arms of one control_group are not told: `children_counted_twice` is.
    """
    told: set[tuple[str, ...]] = set()
    arms = tables.arms
    for studies, rows in _by_studies(_same_arms(tables)).items():
        told.add(studies)
        control = {arms.get((r["study_id"], r["arm_id"]), {}).get("role") for r in rows} == {"control"}
        figures = dict.fromkeys(f"n {r['n']}, mean {r['mean']:g}, SD {r['sd']:g}, {at_month(r['month'])}" for r in rows)
        named = listed(dict.fromkeys(f"{r['study_id']} {r['arm_id']}" for r in rows))
        yield _finding(studies, "outcomes", rows, f"{named}: {_first(figures)}", _of_control(rows, tables, control))
    for studies, rows in _by_studies(_same_contrasts(tables)).items():
        if studies not in told:
            figures = dict.fromkeys(
                f"effect {r['md100']:g}, standard error {r['md100_se']:g}, {at_month(r['month'])}" for r in rows
            )
            named = listed(dict.fromkeys(f"{r['study_id']} {r['arm_a']} v {r['arm_b']}" for r in rows))
            yield _finding(studies, "contrasts", rows, f"{named}: {_first(figures)}", None)


def two_spellings(tables: Tables) -> Iterator[Finding]:
    """Find studies, and arms of a study, whose names differ in case, accents, spaces or "et al.", or by a letter."""
    studies = tables.studies
    for a, b in _near(studies):
        yield _two_names("studies", listed((a, b)), [studies[a], studies[b]], (a, b), "study")
    for (study, _), rows in grouped(tables.rows["arms"], lambda r: (r["study_id"], plain(r["arm_id"]))).items():
        if len(rows) > 1:
            yield _two_names("arms", study, rows, tuple(r["arm_id"] for r in rows), "arm")


def _two_names(table: str, study: str, rows: list[Row], names: tuple[str, ...], what: str) -> Finding:
    return Finding(
        *("two_spellings", "doubt", study, table, lines(rows)),
        listed(repr(name) for name in names),
        f"one spelling in all rows, if it is one {what}",
        f"as two {'studies' if what == 'study' else 'arms'} the children count twice, and nothing that compares the "
        f"rows of one {what} sees it",
    )


def _finding(studies: tuple[str, ...], table: str, rows: list[Row], printed: str, control: str | None) -> Finding:
    """Say that a control (`control`: what that does) or a trial stands in several studies."""
    expected = "one study with both arms, or one control_group: the control's children counted once"
    return Finding(
        *("standing_twice", "doubt", listed(studies), table, lines(rows)),
        f"{printed}: the same to the last digit",
        "one trial under one name" if control is None else expected,
        control or f"the trial has {len(studies)} times its weight, and heterogeneity seems smaller than it is",
    )


def _of_control(rows: list[Row], tables: Tables, control: bool) -> str | None:
    """Say what a control that stands in two studies does to the mean of their contrasts; None for a trial."""
    if not control:
        return None
    arms = {(r["study_id"], r["arm_id"]) for r in rows}
    month = at_month(rows[0]["month"])
    contrasts = [c for c in tables.rows["contrasts"] if (c["study_id"], c["arm_b"]) in arms]
    first = {c["study_id"]: c for c in reversed(contrasts) if at_month(c["month"]) == month}
    two = [first[study] for study in sorted(first)[:2]]
    return mean_of_two(*two) if len(first) > 1 else "its children count twice"


def _same_arms(tables: Tables) -> Iterator[list[Row]]:
    """Yield the rows of outcomes.csv that hold the same figures in several studies."""
    groups = {(c["study_id"], c["arm_b"]): c["control_group"] for c in tables.rows["contrasts"]}
    known = (r for r in tables.where("outcomes", preferred="yes") if None not in (r["n"], r["mean"], r["sd"]))
    alike = grouped((r for r in known if r["kind"] != "baseline"), lambda r: (*_place(r), r["n"], r["mean"], r["sd"]))
    for rows in alike.values():
        # one row of each control group: what the tables call shared is told elsewhere
        own = {groups.get((r["study_id"], r["arm_id"])) or (r["study_id"], r["arm_id"]): r for r in reversed(rows)}
        yield list(own.values())


def _same_contrasts(tables: Tables) -> Iterator[list[Row]]:
    """Yield the rows of contrasts.csv that hold the same effect and standard error in several studies."""
    known = (r for r in tables.rows["contrasts"] if None not in (r["md100"], r["md100_se"]))
    figures = itemgetter("md100", "md100_se", "n_a", "n_b")
    yield from grouped(known, lambda r: (*_place(r), *figures(r))).values()


def _place(row: Row) -> tuple:
    return row.get("kind"), row["scale"], at_month(row["month"])


def _by_studies(groups: Iterable[list[Row]]) -> dict[tuple[str, ...], list[Row]]:
    """Return the rows of groups that span several studies, by those studies."""
    found: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for rows in groups:
        studies = tuple(sorted({r["study_id"] for r in rows}))
        if len(studies) > 1:
            found[studies] += rows
    return {studies: sorted(rows, key=lambda r: r["row"]) for studies, rows in found.items()}


def _first(figures: Iterable[str]) -> str:
    figures = list(figures)
    return "; ".join(figures[:MOST_SHOWN]) + (f" and {len(figures) - MOST_SHOWN} more" if figures[MOST_SHOWN:] else "")


def _near(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield pairs of names that may be one: alike but for their spelling, or by a letter beside the same figures."""
    by_figures: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name in sorted(names):
        letters = plain(name)
        by_figures[re.sub(r"\D", "", letters)].append((name, re.sub(r"\d", "", letters)))
    near = difflib.SequenceMatcher(autojunk=False)
    for figures, group in by_figures.items():
        for i, (b, letters) in enumerate(group):
            near.set_seq2(letters)
            for a, others in group[:i]:
                near.set_seq1(others)
                bounds = (near.real_quick_ratio, near.quick_ratio, near.ratio) if figures else ()
                if plain(a) == plain(b) or (bounds and all(bound() >= ALIKE for bound in bounds)):
                    yield a, b
