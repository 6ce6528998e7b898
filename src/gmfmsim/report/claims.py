"""The figures of the two documents and the endpoints of the tables: what uses each, or why nothing does."""

import textwrap
from collections import Counter
from collections.abc import Iterator

from gmfmsim.evidence.schema import Row, grouped
from gmfmsim.evidence.uses import claims, endpoints, figure_of

WIDTH = 80
"""Columns of a line: a narrow terminal has as many."""

INDENT = 19
"""Columns of the number of a claim and its status."""

SECTIONS = "[cost], [safety]: any experiment whose section of this name asks for it."


def claims_and_endpoints(study: str | None = None) -> dict[str, list[Row]]:
    """Return the claims, see `evidence.uses.claims`, and the endpoints, see `evidence.uses.endpoints`; of one study or
    review those that are about it."""
    return {
        "claims": [row for row in claims() if study in (None, row["study_id"])],
        "endpoints": [row for row in endpoints() if study is None or study in row["studies"]],
    }


def in_lines(found: dict[str, list[Row]]) -> Iterator[str]:
    """Yield what `claims_and_endpoints` found as lines for a terminal: claims by document, then endpoints."""
    for source, rows in grouped(found["claims"], lambda row: row["source"]).items():
        used = sum(bool(row["used_by"]) for row in rows)
        statuses = [f"{status} {count}" for status, count in Counter(row["status"] for row in rows).items()]
        head = f"The {source.removeprefix('seed: ')}: figures {len(rows)}, used {used}; "
        yield from _wrapped(head + ", ".join(statuses))
        for row in rows:
            yield from _of_claim(row)
        yield ""
    if found["endpoints"]:
        yield "Scales and events of the tables"
    for rows in grouped(found["endpoints"], lambda row: (row["status"], *row["used_by"], row["why_not"])).values():
        yield from _wrapped(f"  {_of_endpoint(rows[0])}", indent=4)
        yield from _wrapped(" " * 6 + ", ".join(row["endpoint"] for row in rows), indent=6)
    yield from ("", SECTIONS)


def _of_claim(row: Row) -> Iterator[str]:
    """Yield the lines of one claim: its figure, what is known of it, the rows about it, what uses it or why not."""
    head = f"  {row['claim_id']}  {row['status']:10}  {row['quantity']}: {figure_of(row)} ({row['study_id']})"
    yield from _wrapped(head, indent=INDENT)
    see = "see " + "; ".join(row["rows"]) if row["rows"] else None
    use = "used by " + ", ".join(row["used_by"]) if row["used_by"] else f"not used: {row['why_not']}"
    for said in filter(None, (row["notes"], row["found"], see, use)):
        yield from _wrapped(" " * INDENT + said, indent=INDENT)


def _of_endpoint(row: Row) -> str:
    """Say what models an endpoint, or why nothing does, and what computes a review's figure of it again."""
    users = ", ".join(row["used_by"])
    if row["why_not"] is None:
        return f"modelled by {users}"
    return f"not modelled: {row['why_not']}" + (f" ({users})" if users else "")


def _wrapped(text: str, indent: int = 2) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=" " * indent, break_on_hyphens=False)
