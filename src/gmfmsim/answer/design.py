"""What a result says of the trial of a plan: what is assumed of it, its protocol, and where its figures come from."""

from collections.abc import Iterable

import numpy as np

from gmfmsim.answer.children import Reported
from gmfmsim.answer.plan import Answered, is_design
from gmfmsim.answer.words import children
from gmfmsim.evidence.children_sd import are_enough, fitted, printed_sds
from gmfmsim.evidence.schema import Tables
from gmfmsim.question.plan import Prepared
from gmfmsim.trial.change_sd import INTERVAL, change_sd, spread_in_words
from gmfmsim.trial.closed_form import sample_size
from gmfmsim.trial.design import Design
from gmfmsim.trial.protocol import protocol, sources

POINTS = "GMFM-66 points"
ANALYSES = {"t": "two-sample t test, pooled variance", "z": "z test, SD known"}


def trial_record(prepared: Prepared) -> dict:
    """Return what is assumed of the trial, as a page says it."""
    trial = prepared.plan.trial
    record = {
        "month": trial.month,
        "arms": [{"name": a.name, "dose": a.dose, "ratio": float(a.ratio)} for a in trial.arms],
        "setting": ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in trial.setting if v is not None),
        "sd_change": _spread(trial, prepared.unit),
        "sd_of_change": spread_record(trial, prepared.tables, prepared.unit),
        "dropout": trial.dropout,
    }
    if is_design(prepared):
        return record
    return record | {"analysis": ANALYSES[trial.analyses[0].method], "alpha": trial.alpha}


def design_record(design: Design, n: int, reported: Iterable[Reported] = ()) -> dict:
    """Return the protocol of a design at n, its figures with their sources, and what its section of a page needs."""
    return {
        "n": n,
        "total": design.total(n),
        "words": children(design, n),
        "protocol": protocol(design, n),
        "sources": [row._asdict() for row in sources(design)],
        "children": {"kind": design.children.kind, "title": design.children.title},
        "response_sd": design.children.response_sd.value,
        "controlled": design.control is not None,
        "nominal": design.alpha / 2,
        "claim": design.objective.claim,
        "published_changes": [r._asdict() for r in reported],
    }


def plug_in(answer: Answered) -> dict | None:
    """Return the plan that takes planning value and SD as known, by formula; None for a target below alpha/2 or a
    design with analyses of its own."""
    plan = answer.prepared.plan
    if is_design(answer.prepared) or plan.search.target.value <= plan.trial.alpha / 2:
        return None
    trial = plan.trial
    sd = float(trial.children.change_sd(trial.month, trial.sd_change.ppf(np.array(0.5))))
    control = sample_size(
        effect=plan.search.planning_value,
        sd=sd,
        power_target=plan.search.target.value,
        alpha=plan.trial.alpha,
        ratio=plan.trial.active.ratio / plan.trial.control.ratio,
        method=plan.trial.analyses[0].method,
    )
    n = int(np.ceil(control / plan.trial.control.ratio / (1 - plan.trial.dropout)))
    return {"sd": sd, "children": children(plan.trial, n)}


def spread_record(trial: Design, tables: Tables, unit: str) -> dict:
    """Return the SD of the change to the endpoint over children of this trial, and what the evidence says it is in one.

    words say it; in_evidence is that of a further trial (`children_sd`), None where fewer than three trials print an
    SD, none prints one so early or so late, or the effect is not in points.
    """
    found, sds = change_sd(trial), printed_sds(tables)
    record = found._asdict() | {"interval_prob": 0.95, "words": spread_in_words(found, unit), "in_evidence": None}
    within = are_enough(sds) and min(sd.month for sd in sds) <= trial.month <= max(sd.month for sd in sds)
    if unit != POINTS or not within:
        return record
    further = fitted(sds).further_trial(trial.month)
    low, median, high = further.ppf(np.array(INTERVAL)).tolist()
    of = {"trials": len({sd.trial for sd in sds}), "studies": sorted({sd.study for sd in sds})}
    words = f"{median:.3g} {unit} (95 % {low:.3g} to {high:.3g}), by the SDs that {of['trials']} trials print"
    return record | {"in_evidence": {"median": median, "low": low, "high": high, "words": words} | of}


def _spread(trial: Design, unit: str) -> str:
    """Say what is assumed of the between-child SD of the change: to the endpoint, of children the excess in a year."""
    sd = trial.sd_change
    over = sd.ppf(np.array([0.025, 0.5, 0.975]))
    over = trial.children.change_sd(trial.month, over) if trial.two_arms_one_test else over
    low, middle, high = over.tolist()
    known = "taken as known" if low == high else f"uncertain: {low:.2g} to {high:.2g} in 95 % ({sd})"
    return f"{middle:.3g} {unit}, {known}"
