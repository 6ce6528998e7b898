"""Reports of how many children improved: every such row of events.csv, used by the model of responders or why not."""

from dataclasses import dataclass

from gmfmsim.evidence.schema import Row, Tables

EVENT = "responder"
"""What the event of such a row begins with."""

FORMS = ("hemiparesis", "diplegia", "tetraparesis")
"""The forms of palsy whose children together are the children of an arm."""

NOT_AFTER_CELLS = {
    "placebo": "a period without cells: what is said of children without an effect",
    "before": "before any cells were given",
}
"""Ends of an event that say that cells had nothing to do with it."""

EXPECTED = "above expectation"
"""Words of a definition by which a child is held to what is expected of it, growth included."""


@dataclass(frozen=True)
class Reported:
    """One report of improvers: `counts` are (improved, children), `percents` those of parts of unknown size.

    use: "effect" (a count after cells), "other count" (of the same children, not the preferred one), "without cells",
    "no" (why says why nothing can be made of it). caution: what has to be known beside the figure. month, age and the
    children may be unknown.
    """

    study: str
    arm: str
    event: str
    definition: str
    use: str
    why: str
    caution: str
    rows: tuple[int, ...]
    month: float | None
    age: tuple[float | None, float | None, float | None]
    children: int | None
    improved: int | None
    percents: tuple[float, ...]
    above_expected: bool
    source_url: str
    source_location: str

    @property
    def usable(self) -> bool:
        """Whether the model can take it: a count, or per cents of parts of known children."""
        return self.children is not None and (self.improved is not None or len(self.percents) > 1)


def reported_improvers(tables: Tables) -> list[Reported]:
    """Return every report of improvers in events.csv, in its order; the forms of palsy of one arm as one report."""
    arms = {(a["study_id"], a["arm_id"]): a for a in tables.rows["arms"]}
    studies = {s["study_id"]: s for s in tables.rows["studies"]}
    rows = [r for r in tables.rows.get("events", []) if r["event"].split("_")[0] == EVENT]
    by_form: dict[tuple, list[Row]] = {}
    for row in rows:
        if row["n"] is None and row["percent"] is not None and _ending(row) in FORMS:
            by_form.setdefault((row["study_id"], row["arm_id"]), []).append(row)
    together = {key: of for key, of in by_form.items() if len(of) == len(FORMS) and arms[key]["n"] is not None}
    found, seen = [], set()
    for row in rows:
        key = row["study_id"], row["arm_id"]
        if row in together.get(key, []):
            if key not in seen:
                found.append(_of_forms(together[key], arms[key]["n"], studies[key[0]]))
            seen.add(key)
        else:
            found.append(_of_row(row, studies[key[0]]))
    return found


def _ending(row: Row) -> str:
    return str(row["event"].rpartition("_")[2])


def _of_row(row: Row, study: Row) -> Reported:
    """Return the report of one row."""
    use, why = _use(row)
    return Reported(
        **_facts(row, study),
        event=row["event"],
        definition=row["definition"],
        use=use,
        why=why,
        rows=(row["row"],),
        children=row["n"],
        improved=row["events"],
        percents=() if row["percent"] is None else (row["percent"],),
    )


def _use(row: Row) -> tuple[str, str]:
    """Return what becomes of one row, and why."""
    if row["n"] is None and row["events"] is None:
        return "no", "per cent of an unknown number of children: any count would do"
    if row["n"] is None:
        return "no", "a number of improvers without that of the children treated"
    if row["events"] is None:
        return "no", "per cent of children without their count"
    if _ending(row) in NOT_AFTER_CELLS:
        return "without cells", NOT_AFTER_CELLS[_ending(row)]
    if row["preferred"] == "no":
        return "other count", "another source's count of the same children; beside it, the paper's own"
    return "effect", "a count of children after cells"


def _of_forms(rows: list[Row], children: int, study: Row) -> Reported:
    """Return the forms of palsy of one arm as one report."""
    said = ", ".join(f"{row['percent']:g} % {_ending(row)}" for row in rows)
    return Reported(
        **_facts(rows[0], study),
        event="responder by form",
        definition=f"{rows[0]['definition'].rpartition(',')[0]}: {said}",
        use="effect",
        why="the children of each form are not printed: summed over all splits that agree with the per cents",
        rows=tuple(row["row"] for row in rows),
        children=children,
        improved=None,
        percents=tuple(row["percent"] for row in rows),
    )


def _facts(row: Row, study: Row) -> dict:
    """Return what a report says of its study: where, when and who, and what has to be known beside the figure."""
    no_ages = study["age_min_y"] is None or study["age_max_y"] is None
    missing = {"no month printed": row["month"] is None, "no ages printed": no_ages}
    said = [words for words, holds in missing.items() if holds]
    said += ["children of all diagnoses, not of cerebral palsy alone"] if "all diagnoses" in row["definition"] else []
    return {
        "study": row["study_id"],
        "arm": row["arm_id"],
        "caution": "; ".join(said),
        "month": row["month"],
        "age": (study["age_min_y"], study["age_mean_y"], study["age_max_y"]),
        "above_expected": EXPECTED in row["definition"],
        "source_url": row["source_url"],
        "source_location": row["source_location"],
    }
