"""What every check of a rerun needs: the printed row, its precision, the rows used, the result."""

from gmfmsim.evidence.formulas.printed import half_unit
from gmfmsim.evidence.rerun.checks import Arms, Check, CheckResult, Figure
from gmfmsim.evidence.rerun.rows import Place, one_row
from gmfmsim.evidence.schema import Row

INTERVAL = ("estimate", "ci_low", "ci_high")


def published_row(check: Check, place: Place, *needed: str) -> Row:
    """Return the review's row. Raises InputError if it lacks a figure that the check needs."""
    cells = {"meta_id": place.review} | check.published.model_dump(exclude_none=True)
    row = one_row("pooled", cells, place.at("published"))
    lacks = [c for c in needed if row[c] is None]
    if lacks:
        problem = f"row {row['row']} of pooled.csv has no {', '.join(lacks)}"
        raise place.at("published").fault(problem, "a row that prints it, or kind not_reproducible")
    return row


def unit_of(*printed: float | None) -> float | None:
    """Return one unit of the last printed place, the finest of several figures that are printed alike."""
    known = [figure for figure in printed if figure is not None]
    return 2 * half_unit(*known) if known else None


def check_roles(arms: Arms, place: Place) -> None:
    """Raise InputError unless the first arm had cells and the second none: else the sign of the effect would turn."""
    roles = {row["arm_id"]: row["role"] for row in place.tables.where("arms", study_id=arms.study)}
    expected = dict(zip(("active", "control"), arms.arms, strict=False))
    wrong = [f"{arm} ({roles[arm]})" for role, arm in expected.items() if roles.get(arm, role) != role]
    if wrong:
        allowed = "the arm with cells, then its control"
        raise place.fault(f"{', '.join(wrong)} of {arms.study} in the wrong place", allowed)


def used(table: str, study: str, rows: list[Row], values: dict, reading: str, arms: list[str]) -> dict:
    """Return what a result says of the rows it used."""
    source = list(dict.fromkeys((r["source_url"], r["source_location"]) for r in rows))
    return {
        "study": study,
        "arms": arms,
        "table": f"{table}.csv",
        "rows": [r["row"] for r in rows],
        "values": values,
        "reading": reading,
        "source": [{"url": url, "location": location} for url, location in source],
    }


def result_of(
    check: Check, row: Row | None, figures: tuple[Figure, ...], reason: str, inputs: list = (), variants: list = ()
) -> CheckResult:
    """Return the result of a check: its figures, the tolerance and why, the printed row and the rows used."""
    keep = ("row", "measure", "scale", "month", "verified", "source_url", "source_location", "notes")
    return CheckResult(
        kind=check.kind,
        title=check.title,
        measure=row["measure"] if row else "RR",
        figures=figures,
        tolerance=reason,
        circular=check.circular,
        printed={"table": "pooled.csv"} | {k: row[k] for k in keep} if row else None,
        inputs=tuple(inputs),
        note=check.note,
        variants=tuple(variants),
    )
