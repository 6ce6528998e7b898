"""What the sample-size section of a protocol says of a plan, and the rest of its answer does not."""

from collections.abc import Iterator

from gmfmsim import __version__
from gmfmsim.answer.limits import silent
from gmfmsim.answer.words import goal_of
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
    law: the distribution of the primary statistic in a word, None where it is not known, and then why_simulated;
    citations: by study. partial:
    whether what only a run computes is missing.
    """
    plan = prepared.plan
    trial, n, first = plan.trial, required.n, plan.trial.analyses[0]
    statistic, value = law(trial, first), plan.search.planning_value
    estimates, hidden = list(_estimates(prepared, value)), silent(prepared.tables)
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
        "law": None if isinstance(statistic, str) else "looks" if trial.looks else _kind(statistic),
        "why_simulated": statistic if isinstance(statistic, str) else None,
        "planning_value_source": plan.search.planning_value_source,
        "estimates": estimates,
        "sources": [row._asdict() for row in sources(trial)],
        "evidence": prepared.source,
        "citations": _citations(prepared, [*(row["study"] for row in estimates), *(row["study_id"] for row in hidden)]),
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


def _citations(prepared: Prepared, more: list[str]) -> dict[str, str]:
    """Return the citation of every study of the evidence, of a published estimate, and of `more`."""
    data, studies = prepared.reported, prepared.tables.studies
    names = [] if data is None else data["study"].values.tolist()
    names += [prepared.published.row["meta_id"]] if prepared.published else []
    known = {name: studies[name]["citation"] for name in (*names, *more) if name in studies}
    return {name: citation for name, citation in known.items() if citation}
