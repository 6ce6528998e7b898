"""The limits of the evidence behind a plan, a line each, and the children that would be needed under each."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from gmfmsim.evidence.audit.children import CONTROLLED, unpublished
from gmfmsim.evidence.covariates import CLASS_WORDS, ROUTE_WORDS
from gmfmsim.evidence.formulas.classical import Egger
from gmfmsim.evidence.schema import Row, Tables
from gmfmsim.evidence.uses import claims, figure_of
from gmfmsim.question.plan import Prepared
from gmfmsim.trial.design import Design
from gmfmsim.trial.sourced import law_words

type Limit = tuple[str, str, tuple[str, ...]]
"""What a limit is about, in words, and the kinds of changed assumptions that it is about."""

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
    rows += [*_scales(prepared), *_alike(prepared.plan.trial), *_claimed(prepared.plan.evidence.claims)]
    return [{"about": about, "words": words, "under": _under(moves, changed)} for about, words, changed in rows]


def _under(moves: list[dict[str, Any]], changed: Iterable[str]) -> list[dict[str, Any]]:
    """Return the rows that a limit is about, those that move the answer most."""
    return [{k: row[k] for k in ("words", "n_total")} for row in moves if row["changed"] in changed][:MOST_UNDER]


def silent(tables: Tables) -> list[Row]:
    """Return the registered controlled trials of which the tables hold no result, the largest first."""
    rows = [tables.studies[finding.study] for finding in unpublished(tables)]
    return sorted((r for r in rows if r["design"] in CONTROLLED), key=lambda row: -(row["n_enrolled"] or 0))


def _missing(tables: Tables) -> Iterator[Limit]:
    said = [
        f"{row['registry_id']} ({row['n_enrolled'] or 'an unknown number of'} children; {row['source_location']})"
        for row in silent(tables)
    ]
    if said:
        words = f"Controlled trials that were registered and of which no result is known: {', '.join(said)}. What they "
        yield "missing", words + "found would change the number.", ("missing",)


def _small_studies(small: Egger | None) -> Iterator[Limit]:
    if small is not None:
        way = "rises" if small.slope > 0 else "falls"
        yield (
            "small studies",
            f"The reported effect {way} by {abs(small.slope):.2f} points with each point of standard error "
            f"(regression after Egger on {small.k} contrasts: z {small.z:.2f}, p {small.p:.2g}), and would be "
            f"{small.limit:.2f} (SE {small.limit_se:.2f}) in a trial without error. The number does not correct it.",
            ("bias",),
        )


def _readings(prepared: Prepared) -> Iterator[Limit]:
    doubtful = prepared.contrasts["suspect"].values.tolist()
    unknown = int((prepared.reported["log_se_sd"].values > 0).sum())
    parts = [f"figures of {', '.join(doubtful)} cannot be right as printed, or were not printed" if doubtful else ""]
    parts += [f"the standard error of {unknown} contrasts is not known" if unknown else ""]
    if said := "; ".join(filter(None, parts)):
        words = f"{said[0].upper()}{said[1:]}. The number averages over what they may be, "
        combinations = prepared.contrasts.sizes["reading"]
        yield "readings", f"{words}{combinations} combinations, by weights that are judgements.", ("reading",)


def _mixed(prepared: Prepared) -> Iterator[Limit]:
    of = {"cell_class": CLASS_WORDS, "route": ROUTE_WORDS}
    kinds = {name: Counter(prepared.contrasts[name].values.tolist()) for name in of}
    if any(len(set(found) - {"", "not known"}) > 1 for found in kinds.values()):
        cells, routes = (
            ", ".join(f"{k} {of[name].get(kind, kind)}" for kind, k in found.most_common())
            for name, found in kinds.items()
        )
        words = f"The {prepared.contrasts.sizes['contrast']} contrasts mix cells ({cells}) and routes ({routes}), "
        words += "at doses that go with them: which of these matters cannot be told apart."
        yield "mixed", words, ("cells", "route")


def _scales(prepared: Prepared) -> Iterator[Limit]:
    gmfm66 = prepared.contrasts["gmfm66"].values
    if not gmfm66.all():
        words = f"{int((~gmfm66).sum())} of {gmfm66.size} contrasts are on another scale than the GMFM-66, and enter "
        yield "scales", words + "through a ratio of changes that few children tell.", ("r",)


def _alike(trial: Design) -> Iterator[Limit]:
    within, centres = trial.unit_correlation, trial.children.centres
    averaged = "The number averages over it; how alike children are is hardly known (gmfmsim show correlation)."
    if within and within.sd:
        yield "units", f"Changes within {trial.UNIT} correlate by {within}. {averaged}", ()
    if centres and centres.icc_sd:
        yield "centres", f"The ICC of centres is {law_words(centres.icc, centres.icc_sd)}. {averaged}", ()


def _claimed(named: list[str]) -> Iterator[Limit]:
    for row in claims():
        if row["claim_id"] in named:
            use = f"Used by {', '.join(row['used_by'])}." if row["used_by"] else f"Not used. {row['why_not']}"
            said = f"{row['study_id']}, as the {row['source'].removeprefix('seed: ')} has it ({row['claim_id']})"
            notes = " ".join(filter(None, (row["notes"], row["found"], use)))
            yield "claim", f"{said}: {row['quantity']}, {figure_of(row)}. {notes}", ()
