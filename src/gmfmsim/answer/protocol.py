"""What the sample-size section of a protocol says of a plan, and the rest of its answer does not."""

from collections import Counter
from collections.abc import Iterator

from gmfmsim import __version__
from gmfmsim.answer.readings import rivals
from gmfmsim.answer.words import goal_of
from gmfmsim.evidence.audit.children import CONTROLLED, unpublished
from gmfmsim.evidence.covariates import CLASS_WORDS, ROUTE_WORDS
from gmfmsim.evidence.pooled import UNITS
from gmfmsim.evidence.schema import GMFM66_SCALES
from gmfmsim.question.plan import Prepared
from gmfmsim.trial.analyse.law import Statistic, kept
from gmfmsim.trial.exact.statistic import law
from gmfmsim.trial.protocol import passages, sources
from gmfmsim.trial.size import RequiredN


def protocol_record(prepared: Prepared, required: RequiredN) -> dict:
    """Return what text of a protocol needs of one plan, nothing of it fitted.

    passages: the design in sentences, with children by arm where n was found; seen: children expected at the endpoint;
    law: the distribution of the primary statistic in a word, None where it is not known, and then why_simulated; mix:
    contrasts by cells and by route, and those on another scale; suspect: studies with rival readings, and how many;
    unpublished: controlled trials of the tables without a result, the largest first; citations: by study. partial:
    whether what only a run computes is missing.
    """
    plan = prepared.plan
    trial, n, first = plan.trial, required.n, plan.trial.analyses[0]
    statistic, value = law(trial, first), plan.search.planning_value
    estimates, hidden = list(_estimates(prepared, value)), list(_hidden(prepared))
    return {
        "version": __version__,
        "seed": plan.seed,
        "partial": False,
        "goal": goal_of(prepared),
        "passages": passages(trial, None if n is None else trial.sizes(n)),
        "contrast": trial.contrast_words,
        "controlled": trial.control is not None,
        "objective": trial.objective.model_dump(),
        "alpha": trial.alpha,
        "method": first.method,
        "scale": first.scale,
        "seen": None if n is None else trial.total(n) * kept(trial, trial.endpoint + 1),
        "law": None if isinstance(statistic, str) else _kind(statistic),
        "why_simulated": statistic if isinstance(statistic, str) else None,
        "planning_value_source": plan.search.planning_value_source,
        "estimates": estimates,
        "sources": [row._asdict() for row in sources(trial)],
        "evidence": prepared.source,
        "mix": _mix(prepared),
        "suspect": _suspect(prepared),
        "unpublished": hidden,
        "citations": _citations(prepared, [row["study"] for row in (*estimates, *hidden)]),
    }


def _kind(statistic: Statistic) -> str:
    """Return the distribution of a statistic in a word."""
    if statistic.doses:
        return "contrast" if statistic.doses.contrast else "largest"
    if statistic.known:
        return "normal"
    if statistic.unequal:
        return "welch" if statistic.separate else "unequal"
    return "adjusted" if statistic.adjusted else "t"


def _estimates(prepared: Prepared, value: float) -> Iterator[dict]:
    """Yield the pooled estimates of the tables that are the planning value, in its unit."""
    for row in prepared.tables.where("pooled", preferred="yes", estimate=value):
        points = row["measure"] == "SMD" or row["scale"] in GMFM66_SCALES
        if points and UNITS.get(row["measure"]) == prepared.unit:
            ends = (row["ci_low"], row["ci_high"])
            interval = "" if None in ends else "95 % {:g} to {:g}, ".format(*ends)
            words = f"{row['meta_id']}: {value:g} {prepared.unit} ({interval}{row['scale']}, month {row['month']})"
            yield {"study": row["meta_id"], "words": words}


def _hidden(prepared: Prepared) -> Iterator[dict]:
    """Yield the controlled trials of the tables that were registered and have no result, the largest first."""
    studies = prepared.tables.studies
    rows = [studies[finding.study] for finding in unpublished(prepared.tables)]
    for row in sorted(rows, key=lambda row: -(row["n_enrolled"] or 0)):
        if row["design"] in CONTROLLED:
            of = {"study": row["study_id"], "registration": row["registry_id"], "children": row["n_enrolled"]}
            yield of | {"seen_in": row["source_location"]}


def _mix(prepared: Prepared) -> dict | None:
    """Return how many contrasts there are of each class of cells and route, and on another scale; None without any."""
    data = prepared.reported
    if data is None:
        return None
    cells = Counter(CLASS_WORDS.get(c, c) for c in data["cell_class"].values.tolist())
    routes = Counter(ROUTE_WORDS.get(r, r) for r in data["route"].values.tolist())
    other = int((~data["gmfm66"].values).sum())
    return {"contrasts": data.sizes["contrast"], "cells": dict(cells), "routes": dict(routes), "other_scale": other}


def _suspect(prepared: Prepared) -> dict[str, int]:
    """Return how many readings each study has whose figures are averaged over rival ones."""
    return {} if prepared.contrasts is None else dict(Counter(study for study, _, _ in rivals(prepared.contrasts)))


def _citations(prepared: Prepared, more: list[str]) -> dict[str, str]:
    """Return the citation of every study of the evidence, of a published estimate, and of `more`."""
    data, studies = prepared.reported, prepared.tables.studies
    names = [] if data is None else data["study"].values.tolist()
    names += [prepared.published.row["meta_id"]] if prepared.published else []
    known = {name: studies[name]["citation"] for name in (*names, *more) if name in studies}
    return {name: citation for name, citation in known.items() if citation}
