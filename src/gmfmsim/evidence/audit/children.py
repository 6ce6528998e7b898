"""Children who are counted twice, and children whose outcome was never reported."""

import itertools
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from operator import itemgetter

from gmfmsim.evidence.audit.finding import Finding, lines, listed
from gmfmsim.evidence.contrasts import lacks
from gmfmsim.evidence.schema import Row, Tables, grouped

POOLS = ("meta_analysis", "review")
CONTROLLED = ("rct_parallel", "rct_crossover", "nonrandomised", "twin")
TRIALS = (*CONTROLLED, "single_arm")


def children_counted_twice(tables: Tables) -> Iterator[Finding]:
    """Find children who stand in several studies, in a pool and its trials, or in several arms of one study."""
    groups = grouped(tables.rows["contrasts"], itemgetter("control_group"))
    shared = {group: rows for group, rows in groups.items() if group and len({r["study_id"] for r in rows}) > 1}
    for group, rows in shared.items():
        first: dict[str, Row] = {}
        for row in sorted(rows, key=lambda r: (r["default_use"] != "primary", r["md100_se"] is None, -r["month"])):
            first.setdefault(row["study_id"], row)
        names, n = listed(sorted(first)), max(r["n_b"] or 0 for r in first.values())
        yield Finding(
            *("children_counted_twice", "doubt", names, "contrasts", lines(rows)),
            f"one control group, {group}, in {names}",
            f"its {n:g} children counted once" if n else "its children counted once",
            mean_of_two(*(first[study] for study in sorted(first)[:2])),
        )
    sharing = [sorted({r["study_id"] for r in rows}) for rows in shared.values()]
    yield from _overlapping_studies(tables, {pair for names in sharing for pair in itertools.combinations(names, 2)})
    yield from _overlapping_arms(tables)


def unpublished(tables: Tables) -> Iterator[Finding]:
    """Find registered trials of which neither arms nor results are in the tables."""
    results = ("arms", "outcomes", "contrasts", "events")
    reported = {row["study_id"] for name in results for row in tables.where(name)}
    trials = [s for s in tables.rows["studies"] if s["design"] in TRIALS]
    largest, known = max((s["n_enrolled"] or 0 for s in trials), default=0), _children(_used(tables))
    for study in trials:
        if study["registry_id"] and study["study_id"] not in reported:
            n = study["n_enrolled"]
            size = "an unknown number of children" if n is None else f"{n} children"
            share = f", {100 * n / known:.0f} % of the {known:g} in the contrasts used" if n and known else ""
            effect = f"its result is missing: {size}{share}" + "; no trial of the tables is larger" * (n == largest)
            if study["design"] not in CONTROLLED:
                effect = f"{size} without control of their own: they could add no contrast, but what became of them"
            yield Finding(
                *("unpublished", "doubt", study["study_id"], "studies", lines([study])),
                f"registration {study['registry_id']}, {study['design']}, {size}, no result",
                "a result in contrasts.csv, outcomes.csv or events.csv",
                effect,
            )


def no_usable_contrast(tables: Tables) -> Iterator[Finding]:
    """Find controlled trials that treated children and have no GMFM contrast with a standard error."""
    usable = {r["study_id"] for r in _usable(tables)}
    for study in tables.rows["studies"]:
        arms = [a for a in tables.rows["arms"] if a["study_id"] == study["study_id"]]
        controlled = study["design"] in CONTROLLED and {a["role"] for a in arms} == {"active", "control"}
        if controlled and study["study_id"] not in usable:
            treated = sum(a["n"] or 0 for a in arms if a["role"] == "active" and not a["composite_of"])
            scales = sorted({r["scale"] for r in tables.where("contrasts", study_id=study["study_id"])})
            yield Finding(
                *("no_usable_contrast", "note", study["study_id"], "studies", lines([study])),
                f"{study['design']}, {treated or 'unknown number of'} children treated; "
                + (f"contrasts on {listed(scales)}, none usable" if scales else "no contrast"),
                "a difference on the GMFM with its standard error; whether one was reported, the tables do not say",
                "the trial does not count; if trials without effect report less often, the pooled effect is too large",
            )


def enrolment(tables: Tables) -> Iterator[tuple[Row, list[Row], int]]:
    """Return each trial with number enrolled and several arms of known n: study, arms that are no unions, their sum."""
    for study in tables.rows["studies"]:
        arms = [a for a in tables.where("arms", study_id=study["study_id"], composite_of=None) if a["n"] is not None]
        if len(arms) > 1 and study["n_enrolled"] and study["design"] in TRIALS:
            yield study, arms, sum(a["n"] for a in arms)


def mean_of_two(a: Row, b: Row) -> str:
    """Say what a shared control does to the mean of two contrasts."""
    if None in (a["md100_se"], b["md100_se"], a["control_se100"], b["control_se100"]):
        return "the covariance needs md100_se and control_se100 in both rows"
    cov, variance = min(a["control_se100"], b["control_se100"]) ** 2, a["md100_se"] ** 2 + b["md100_se"] ** 2
    return (
        f"their covariance is {cov:.3g} (correlation {cov / (a['md100_se'] * b['md100_se']):.2f}): the mean of the "
        f"two has the standard error {math.sqrt(variance + 2 * cov) / 2:.3g}, as if independent "
        f"{math.sqrt(variance) / 2:.3g}"
    )


def _overlapping_studies(tables: Tables, explained: set[tuple[str, str]]) -> Iterator[Finding]:
    """Read sample_overlap for the names of other studies; a pool is named once, with all its members."""
    studies = tables.studies
    usable = {r["study_id"] for r in _usable(tables)}
    members: dict[str, set[str]] = defaultdict(set)
    pairs: set[tuple[str, str]] = set()
    for name, study in studies.items():
        for other in set(re.findall(r"[\w-]+", study["sample_overlap"] or "")) & set(studies) - {name}:
            pools = [s for s in (other, name) if studies[s]["design"] in POOLS]
            if pools:
                members[pools[0]].add(name if pools[0] == other else other)
            else:
                pairs.add((min(name, other), max(name, other)))
    for pool, inside in members.items():
        counted = sorted(inside & usable)
        n = _children(r for r in _used(tables) if r["study_id"] in counted)
        yield Finding(
            *("children_counted_twice", "doubt", pool, "studies", lines(studies[s] for s in {pool, *inside})),
            f"{pool} and {listed(sorted(inside))} hold the same children, or probably do, by sample_overlap",
            "a benchmark beside these studies, not one study more",
            f"added to the contrasts of {listed(counted)} it would count up to {n:g} children twice"
            if counted
            else "none of its members has a usable contrast: nothing is counted twice at present",
        )
    for pair in sorted(pairs - explained):
        rows, used = [studies[s] for s in pair], [s for s in pair if s in usable]
        n = min((s["n_enrolled"] for s in rows if s["n_enrolled"] is not None), default=None)
        at_present = "" if len(used) == 2 else f"; not at present, {used[0] if used else 'neither'} alone is usable"
        yield Finding(
            *("children_counted_twice", "doubt", listed(pair), "studies", lines(rows)),
            "; ".join(f"{s['study_id']}: {s['sample_overlap']}" for s in rows if s["sample_overlap"]),
            "other children in each, or one of the two studies",
            f"{'an unknown number of' if n is None else f'up to {n}'} children would count twice"
            + at_present.replace("neither alone", "neither"),
        )


def _overlapping_arms(tables: Tables) -> Iterator[Finding]:
    """Find studies whose arms hold more children than were enrolled by at least one whole arm."""
    for study, arms, total in enrolment(tables):
        twice = total - study["n_enrolled"]
        if twice >= min(a["n"] for a in arms):
            unions = [
                f"{whole['arm_id']} ({whole['n']}) may be {listed(f'{a["arm_id"]} ({a["n"]})' for a in parts)}"
                for whole in arms
                for parts in itertools.combinations([a for a in arms if a is not whole], 2)
                if sum(a["n"] for a in parts) == whole["n"] and {a["role"] for a in parts} == {whole["role"]}
            ]
            yield Finding(
                *("children_counted_twice", "doubt", study["study_id"], "arms", lines(arms)),
                f"arms of {listed(a['n'] for a in arms)} children, {total} in all, and {study['n_enrolled']} enrolled",
                "; ".join(["arms without common children, or composite_of naming the parts", *unions]),
                f"contrasts of all these arms together would count up to {twice} children twice",
            )


def _usable(tables: Tables) -> list[Row]:
    """Return the contrasts on the GMFM that an analysis can use."""
    return [r for r in tables.rows["contrasts"] if not lacks(r, tables)]


def _used(tables: Tables) -> list[Row]:
    """Return the primary contrasts, or all that are usable where none is primary."""
    return [r for r in _usable(tables) if r["default_use"] == "primary"] or _usable(tables)


def _children(contrasts: Iterable[Row]) -> float:
    """Return how many children stand in contrasts: each treated arm and each control group once."""
    sizes: dict[tuple[str, str], float] = {}
    for r in contrasts:
        control = ("", r["control_group"]) if r["control_group"] else (r["study_id"], r["arm_b"])
        for key, n in (((r["study_id"], r["arm_a"]), r["n_a"]), (control, r["n_b"])):
            sizes[key] = max(n or 0, sizes.get(key, 0))
    return sum(sizes.values())
