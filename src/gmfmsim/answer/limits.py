"""The limits of the evidence behind a plan, a line each, and the children that would be needed under each."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from gmfmsim.evidence.covariates import CLASS_WORDS, ROUTE_WORDS
from gmfmsim.evidence.formulas.classical import Egger
from gmfmsim.evidence.schema import Row, Tables
from gmfmsim.question.plan import Prepared

CONTROLLED = ("rct_parallel", "rct_crossover")
"""Designs of studies.csv with randomised children to compare."""

MIXED = ("cells", "route")
"""The kinds of changed assumptions that mixed evidence is about."""

MOST_UNDER = 6
"""Numbers of children that stand under one limit."""


def limits(prepared: Prepared, small: Egger | None, moves: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what limits the evidence of a plan, most of it not to be mended by more computing.

    A row is about one limit: about, words, and under it the rows of `moves` (words, n_total) that say what it may come
    to; none where the number of children is simulated. A published estimate has no such rows: nobody knows its trials.
    """
    if prepared.contrasts is None:
        return []
    rows = [*_missing(prepared.tables), *_small_studies(small), *_readings(prepared), *_mixed(prepared)]
    rows += _scales(prepared)
    return [{"about": about, "words": words, "under": _under(moves, changed)} for about, words, changed in rows]


def _under(moves: list[dict[str, Any]], changed: Iterable[str]) -> list[dict[str, Any]]:
    """Return the rows that a limit is about, those that move the answer most."""
    return [{k: row[k] for k in ("words", "n_total")} for row in moves if row["changed"] in changed][:MOST_UNDER]


def silent(tables: Tables) -> list[Row]:
    """Return the registered randomised trials of which the tables hold no arm, outcome or contrast, largest first."""
    heard = {r["study_id"] for name in ("arms", "outcomes", "contrasts") for r in tables.where(name)}
    rows = [
        row
        for row in tables.where("studies")
        if row["registry_id"] and row["n_enrolled"] and row["design"] in CONTROLLED and row["study_id"] not in heard
    ]
    return sorted(rows, key=lambda row: -row["n_enrolled"])


def _missing(tables: Tables) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    found = silent(tables)
    if found:
        first, others = found[0], len(found) - 1
        words = f"Registered and not reported: {first['registry_id']}, {first['n_enrolled']:g} children"
        words += f", and {others} smaller" if others else ""
        yield "missing", f"{words}. The tables hold no result of it.", ("missing",)


def _small_studies(small: Egger | None) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    if small is not None:
        words = f"Effects differ by {small.slope:+.2f} points with each point of standard error (p {small.p:.2g}, "
        words += f"{small.k} contrasts). The answer does not correct for reports that hang on their error."
        yield "small studies", words, ("bias",)


def _readings(prepared: Prepared) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    doubtful = prepared.contrasts["suspect"].values.tolist()
    unknown = int((prepared.reported["log_se_sd"].values > 0).sum())
    parts = [f"figures of {', '.join(doubtful)} cannot be right as printed, or are not printed" if doubtful else ""]
    parts += [f"the standard error of {unknown} contrasts is not known" if unknown else ""]
    if said := "; ".join(filter(None, parts)):
        yield "readings", f"{said[0].upper()}{said[1:]}. The answer averages over what they may be.", ("reading",)


def _mixed(prepared: Prepared) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    of = {"cell_class": CLASS_WORDS, "route": ROUTE_WORDS}
    kinds = {name: Counter(prepared.contrasts[name].values.tolist()) for name in of}
    if any(len(set(found) - {"", "not known"}) > 1 for found in kinds.values()):
        cells, routes = (
            ", ".join(f"{k} {of[name].get(kind, kind)}" for kind, k in found.most_common())
            for name, found in kinds.items()
        )
        words = f"The {prepared.contrasts.sizes['contrast']} contrasts mix cells ({cells}) and routes ({routes}), "
        yield "mixed", words + "at doses that go with them: which of these matters cannot be told apart.", MIXED


def _scales(prepared: Prepared) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    gmfm66 = prepared.contrasts["gmfm66"].values
    if not gmfm66.all():
        words = f"{int((~gmfm66).sum())} of {gmfm66.size} contrasts are on another scale than the GMFM-66, and enter "
        yield "scales", words + "through a ratio of changes that few children tell.", ("r",)
