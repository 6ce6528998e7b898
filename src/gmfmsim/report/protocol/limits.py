"""What the evidence behind a number cannot carry, a line each, with the number under each where the result holds it."""

from collections.abc import Iterator


def extremes(rows: list[dict]) -> tuple[dict, dict]:
    """Return the rows with the fewest children and with the most; none is more than any number."""

    def children(row: dict) -> tuple[bool, float]:
        return row["n_total"] is None, -row["plateau"] if row["n_total"] is None else row["n_total"]

    return min(rows, key=children), max(rows, key=children)


def moved(row: dict) -> str:
    """Say a number and under what it stands: 886 (without Huang2018)."""
    return f"{row['n_total'] or 'none'} ({row['words']})"


def evidence_limits(plan: dict) -> Iterator[str]:
    """Yield the limits of the evidence of a plan."""
    yield from plan["warnings"]
    for row in plan["limits"]:
        under = f" Children in all: {', '.join(map(moved, row['under']))}." if row["under"] else ""
        yield row["words"] + under
    yield from plan["evidence"]["notes"]
    if plan["evidence"]["published"]:
        yield "One published estimate stands for all evidence; its faults and those of its trials are in the number."
    if plan["protocol"]["partial"]:
        yield (
            "What only a run computes is not here: what small studies report, the number under other models, evidence, "
            "readings and priors, false claims of a design under other children. gmfmsim protocol says it from the "
            "folder that gmfmsim run, or of a design gmfmsim simulate, has written."
        )
