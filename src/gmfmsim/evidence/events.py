"""Children with an adverse event, arm by arm: which rows of events.csv count, which do not, and why not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gmfmsim.evidence.formulas.classical import LogRatio, mantel_haenszel_risk_ratio
from gmfmsim.evidence.schema import Row, Tables, grouped
from gmfmsim.faults import Fault, InputError, choices

SERIOUS = frozenset({"serious_adverse", "major_adverse", "death", "pneumonia_serious", "seizure_serious"})
"""Events that a trial lists as serious: death, danger to life, a stay in hospital, lasting harm."""

HARMLESS = frozenset({"dropout", "pet_improved"})
"""Events that are no harm, beside those that begin with "responder"."""

CROSSED = "crossover: some of these children are counted as controls too, in another year"
"""What is said of the treated children of a crossover whose controls count too."""

POOLS = ("meta_analysis", "review")


@dataclass(frozen=True)
class ArmCount:
    """Children with an event among those of one arm, with the row that says so.

    children: whose study effect it shares, a study or several that share a control group; dose in cells/kg, 0 without
    cells; route as arms.csv has it; note: what has to be known of the row.
    """

    study: str
    arm: str
    children: str
    events: int
    n: int
    dose: float
    route: str
    row: Row
    note: str = ""

    @property
    def cells(self) -> bool:
        """Whether the arm got cells."""
        return self.dose > 0


@dataclass(frozen=True)
class LeftOut:
    """A row of events.csv about an event that does not count, and why."""

    row: Row
    why: str


@dataclass(frozen=True)
class EventCounts:
    """The rows of one event that count, and those that do not."""

    event: str
    used: tuple[ArmCount, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def in_words(self) -> str:
        """Children with the event among those of the arms that count, and the rows that do not."""
        arms = ((sum(c.events for c in of), sum(c.n for c in of)) for of in self._by_role)
        (a, n1), (c, n2) = arms
        return f"{a} of {n1} children with cells, {c} of {n2} without; {len(self.left_out)} rows left out"

    @property
    def _by_role(self) -> tuple[list[ArmCount], list[ArmCount]]:
        return [c for c in self.used if c.cells], [c for c in self.used if not c.cells]

    @property
    def serious(self) -> bool:
        """Whether the event is a serious one."""
        return self.event in SERIOUS


def is_adverse(event: str) -> bool:
    """Return whether an event of events.csv is a harm: all but responders, drop-out and a better scan."""
    return not (event in HARMLESS or event.startswith("responder"))


def event_counts(tables: Tables, event: str, unknown_dose: float | None = None) -> EventCounts:
    """Return the arms that say how many of their children had an adverse event, and the rows that do not count.

    A row counts where it is the preferred one of its arm, has children with the event and children in all, and an arm
    whose dose and route are known. It does not where it is a review's total, whose children the trials hold already;
    where an arm is the union of others that all have rows of their own, or one of its parts stands in such a union;
    and where a control group stands in another study too. Rows of a name that begins with the event ("fever_24h")
    count the same children otherwise. unknown_dose: cells/kg that arms are taken to have had whose dose is not known.

    Raises InputError if the event is not one of events.csv or no harm, or if no row counts.
    """
    rows = tables.rows.get("events", [])
    known = sorted({row["event"] for row in rows if is_adverse(row["event"])})
    if event not in known:
        problem = f"no adverse event {event!r}"
        raise InputError([Fault("events.csv", "column event", problem, choices(event, known, 60))])
    left_out = [
        LeftOut(row, f"the same children counted otherwise: {row['definition']}")
        for row in rows
        if row["event"].startswith(f"{event}_")
    ]
    of_event, owner = [row for row in rows if row["event"] == event], _shared_controls(tables)
    used: list[ArmCount] = []
    taken: dict[str, str] = {}
    for row in of_event:
        own = {id(r): _own_reason(r, tables, unknown_dose) for r in of_event if r["study_id"] == row["study_id"]}
        why = own[id(row)] or _in_a_union(row, [r for r in of_event if own.get(id(r)) == ""], tables)
        group = owner.get((row["study_id"], row["arm_id"]))
        if not why and group and taken.setdefault(group, row["study_id"]) != row["study_id"]:
            why = f"the same children as the controls of {taken[group]}"
        if why:
            left_out.append(LeftOut(row, why))
        else:
            used.append(_count(row, tables, owner, unknown_dose))
    if not used:
        raise InputError(
            [Fault("events.csv", "column event", f"no row of {event!r} counts", "; ".join(_whys(left_out)))]
        )
    controls = {one.study for one in used if not one.cells and tables.studies[one.study]["design"] == "rct_crossover"}
    told = [replace(one, note=CROSSED) if one.cells and one.study in controls else one for one in used]
    return EventCounts(event, tuple(told), tuple(left_out))


def within_trials(used: Sequence[ArmCount]) -> tuple[list[str], LogRatio] | None:
    """Return the trials with arms of both roles, and the Mantel-Haenszel risk ratio over them, arms of one role added.

    None where there is no such trial, or an arm without any event over all of them.
    """
    both = {name: of for name, of in grouped(used, lambda c: c.children).items() if len({c.cells for c in of}) == 2}
    trials = {
        name: [
            sum(getattr(c, what) for c in of if c.cells == cells) for cells in (True, False) for what in ("events", "n")
        ]
        for name, of in both.items()
    }
    try:
        a, n1, c, n2 = zip(*trials.values(), strict=True)
        return list(trials), mantel_haenszel_risk_ratio(a, n1, c, n2)
    except ValueError:
        return None


def _count(row: Row, tables: Tables, owner: dict[tuple[str, str], str], unknown_dose: float | None) -> ArmCount:
    """Return the arm of a row that counts."""
    study, arm = row["study_id"], tables.arms[row["study_id"], row["arm_id"]]
    groups = {group for (one, _), group in owner.items() if one == study}
    children = " and ".join(sorted({one for (one, _), group in owner.items() if group in groups})) or study
    dose, note = arm["dose_total_cells_per_kg"], ""
    if dose is None:
        dose, note = unknown_dose, "dose not known"
    return ArmCount(study, row["arm_id"], children, row["events"], row["n"], dose, arm["route"], row, note)


def _own_reason(row: Row, tables: Tables, unknown_dose: float | None) -> str:
    """Return why a row does not count, by what it and its arm say."""
    arm = tables.arms[row["study_id"], row["arm_id"]]
    if tables.studies[row["study_id"]]["design"] in POOLS:
        return "a review's total: the trials hold its children"
    if row["preferred"] != "yes":
        return "another source of this arm is preferred"
    if row["events"] is None or not row["n"]:
        return "no children with the event out of children counted"
    if arm["dose_total_cells_per_kg"] is None and unknown_dose is None:
        return "dose per kg not known"
    return "route not known" if arm["role"] == "active" and arm["route"] in ("unknown", "mixed") else ""


def _in_a_union(row: Row, counting: list[Row], tables: Tables) -> str:
    """Return why a row does not count where a union of arms and its parts stand side by side.

    counting: the rows of its study that count by themselves. The parts count where each is among them, for they keep
    doses apart; else the union does.
    """
    study, mine = row["study_id"], {r["arm_id"] for r in counting}
    unions = {arm: (tables.arms[study, arm]["composite_of"] or "").split(";") for arm in mine}
    for union, parts in ((union, parts) for union, parts in unions.items() if parts != [""]):
        if union == row["arm_id"] and mine.issuperset(parts):
            return f"its children stand in {' and '.join(parts)}"
        if row["arm_id"] in parts and not mine.issuperset(parts):
            return f"its children stand in {union}"
    return ""


def _shared_controls(tables: Tables) -> dict[tuple[str, str], str]:
    """Return the control groups that stand in several studies, by study and arm, as contrasts.csv names them."""
    rows = [row for row in tables.rows.get("contrasts", []) if row["control_group"]]
    shared = {
        group
        for group, of_group in grouped(rows, lambda row: row["control_group"]).items()
        if len({row["study_id"] for row in of_group}) > 1
    }
    return {(row["study_id"], row["arm_b"]): row["control_group"] for row in rows if row["control_group"] in shared}


def _whys(left_out: list[LeftOut]) -> Iterator[str]:
    """Yield why rows do not count, each reason once."""
    yield from dict.fromkeys(f"{one.row['study_id']} {one.row['arm_id']}: {one.why}" for one in left_out)
