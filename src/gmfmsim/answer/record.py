"""From what plans came to, to answer.json and the labelled datasets beside it: all that a page shows."""

from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path

import numpy as np

from gmfmsim.answer.children import children_seen
from gmfmsim.answer.comparison import Side, comparison
from gmfmsim.answer.course import course_record
from gmfmsim.answer.design import design_record, plug_in, trial_record
from gmfmsim.answer.evidence import contrasts, findings, in_tables, small_study
from gmfmsim.answer.limits import limits
from gmfmsim.answer.parameters import fitted, typical_tau
from gmfmsim.answer.plan import Answered, answered
from gmfmsim.answer.posterior import kept_of
from gmfmsim.answer.protocol import protocol_record
from gmfmsim.answer.resources import compared
from gmfmsim.answer.result import Datasets, Outcome
from gmfmsim.answer.sizing import assumed, in_figures, success_at
from gmfmsim.answer.what_moves import in_children
from gmfmsim.answer.words import asked_in_words, claimed, headed, headline, sentence, warnings, worst_claims
from gmfmsim.compute.text import exact, plain
from gmfmsim.evidence.formulas.classical import Egger
from gmfmsim.evidence.readings import READING_WORDS
from gmfmsim.model.average import Member, no_average
from gmfmsim.model.checks import as_json, in_words
from gmfmsim.model.confounding import confounding, confounding_in_words
from gmfmsim.progress import STOPS, Silent, Steps
from gmfmsim.question.plans import Plans
from gmfmsim.trial.design import Design

UNFITTED = {"exact_refused": None, "gate": [], "engines": [], "verdict": "not fitted"}
"""What the manifest says of a published estimate in place of a fit."""


def plans_outcome(asked: Plans, progress: Silent) -> Outcome:
    """Answer every plan, those with the same model and evidence from one fit, and return what their result holds.

    Of answer.json the first plan's answer first, the others' under `alternatives`; and the datasets by file name.
    Probabilities are rounded to six decimals, what pages show beside them to nine digits.
    """
    fits: dict[tuple[str, ...], Member] = {}
    answers = []
    for i, prepared in enumerate(asked.plans, 1):
        try:
            answers.append(answered(prepared, fits, progress))
        except STOPS as stop:
            if len(asked.plans) > 1:
                stop.add_note(f"plan {i} of {len(asked.plans)}")
            raise
    with progress.steps("data of the result", 2 * len(answers)) as advance:
        return _outcome(answers, advance)


def _outcome(answers: list[Answered], advance: Steps) -> Outcome:
    """Return what the result of plans holds."""
    records = []
    for a in answers:
        records.append(_record(a))
        advance()
    first, *others = records
    if others:
        first["sentence"] = " ".join(f"{r['label']}: {r['sentence']}" for r in (first, *others))
        sides = [Side(r["label"], r, a.surface, a.type_one) for r, a in zip(records, answers, strict=True)]
        first |= {"own_sentence": sentence(answers[0]), "comparison": plain(comparison(sides)), "alternatives": others}
        first |= compared(first)
    files: Datasets = {}
    for i, a in enumerate(answers):
        folder = Path(f"alternatives/{a.prepared.slug}" if i else ".")
        files |= {str(folder / name): data for name, data in _datasets(a).items()}
        advance()
    return Outcome(first, files, {"plans": [_manifest(a) for a in answers]})


def _record(answer: Answered) -> dict:
    """Return the answer of one plan: n and what it rests on, then all that a page says of trial, model and evidence."""
    plan, small = answer.prepared.plan, small_study(answer)
    page = {
        "models": _models(answer),
        "replicates_elsewhere": answer.surface.attrs.get("replicates_elsewhere"),
        "trial_gate": answer.gate,
        "reference": _reference(answer),
        "plug_in": plug_in(answer),
        "optimise_n_total": plan.optimise and plan.optimise.n_total,
        "asked": asked_in_words(answer),
        "design": None
        if answer.type_one is None
        else design_record(plan.trial, answer.shown_n, answer.published_changes),
        "weights": plan.model and plan.model.weights,
        "no_average": no_average(answer.members),
        "course": course_record(answer.prepared, answer.members),
        "checks": [
            {"name": m.name, "title": m.spec.title, "stands_out": in_words(c), **as_json(c)}
            for m, c in zip(answer.members, answer.checks, strict=bool(answer.checks))
        ],
        "evidence": _evidence(answer, small),
    }
    readings = [_reading(row, plan.trial) for row in answer.readings]
    told = answer_in_brief(answer, small) | exact(page) | plain({"readings": readings})
    return told | plain(answer.asked) | plain(_of_design(answer))


def answer_in_brief(answer: Answered, small: Egger | None = None) -> dict:
    """Return what text of the answer of one plan needs, as answer.json has it: of the fit the names and shares of the
    models alone, of the evidence what can be said without it. small: the regression on standard errors, of a fit."""
    prepared, required = answer.prepared, answer.required
    plan = prepared.plan
    first = in_figures(prepared, required) | success_at(answer.surface, required.reference_n)
    first |= {
        "n_per_arm": required.n,
        "n_interval": list(required.interval) if required.interval else None,
        "n_total_interval": plan.trial.totals(required.interval),
        "interval_prob": plan.search.interval_prob,
        "n_at_95_plateau": required.n_at_95_plateau,
        "planning_value": plan.search.planning_value,
        "assumed": assumed(prepared),
        "dose_outside_evidence": prepared.dose_outside_evidence,
        "month_outside_evidence": prepared.month_outside_evidence,
    }
    page = {
        "models": [{"name": m.name, "title": m.spec and m.spec.title, "share": m.share} for m in answer.members],
        "headline": headline(answer),
        "slug": prepared.slug,
        "unit": prepared.unit,
        "replicates": answer.surface.attrs.get("replicates"),
        "trial_engine": answer.surface.attrs["engine"],
        "trial": trial_record(prepared),
        "effects": _effects(answer),
        "weights": plan.model and plan.model.weights,
        "evidence": in_tables(prepared),
    }
    said = {
        "sensitivity": in_children(answer.moves, plan.trial),
        "distribution": answer.behind,
        "warnings": warnings(answer),
        "protocol": protocol_record(prepared, required),
    }
    said["limits"] = limits(prepared, small, said["sensitivity"])
    return plain(first) | exact(page) | plain(said) | {"sentence": sentence(answer)}


def _models(answer: Answered) -> list[dict]:
    """Return what is said of each model; where both engines ran, how far apart they are in MCSE."""
    said = []
    for m, found in zip(answer.members, fitted(answer.members) or [{}], strict=True):  # an estimate is not fitted
        apart = max((row["distance"] for row in m.fit.compared), default=None) if m.fit else None
        how = (m.fit.engine, m.fit.verdict) if m.fit else ("published", "not fitted")
        more = {"name": m.name, "share": plain(m.share), "engine": how[0], "engines_apart_mcse": plain(apart)}
        said.append(found | more | {"verdict": how[1]})
    return said


def _manifest(answer: Answered) -> dict:
    """Return what the manifest says of one plan."""
    prepared, models = answer.prepared, []
    for m in answer.members:
        engine = m.fit.engine if m.fit else "published: independent draws"
        of = {"exact_refused": "why_not", "gate": "gate", "engines": "compared", "verdict": "verdict"}
        known = {name: getattr(m.fit, field) for name, field in of.items()} if m.fit else UNFITTED
        models.append({"name": m.name, "share": m.share, "engine": engine} | known)
    return {
        "label": prepared.plan.label,
        "seed": prepared.plan.seed,
        "evidence_sha256": prepared.tables.sha256,
        "rows_of_contrasts_csv": [] if prepared.contrasts is None else prepared.contrasts["row"].values.tolist(),
        "models": models,
        "replicates": answer.surface.attrs.get("replicates"),
        "gate": answer.gate,
        "seconds": answer.seconds,
    }


def _evidence(answer: Answered, small: Egger | None) -> dict:
    """Return what the answer rests on: contrasts or a published estimate, their sources, and what is doubtful."""
    prepared, slopes = answer.prepared, []
    if prepared.models:
        slopes = confounding_in_words(confounding(prepared.contrasts, tau=typical_tau(answer.members)))
    fitted_to = {
        "confounding": slopes,
        "small_study": asdict(small) if small else None,
        "findings": findings(prepared),
    }
    return in_tables(prepared) | fitted_to


def _reference(answer: Answered) -> dict | None:
    """Return success in every scenario at the n that the answer is about."""
    n, plan = answer.required.reference_n, answer.prepared.plan
    if n is None:
        return None
    superiority = claimed(plan.trial) == "a gain"
    false = "false claim of benefit if there is no effect (nominal: half of alpha)"
    words = {
        "new_study": "assurance: success in a new study, heterogeneity included",
        "pooled_mean": "assurance on the mean of studies, tau left out",
        "planning_value": f"power at the planning value of {plan.search.planning_value:g} {answer.prepared.unit}",
        "null": false if superiority else "success if there is no effect: a true claim",
    }
    rows = [(text, *answer.at(scenario, n)) for scenario, text in words.items()]
    if superiority:
        (claim, mcse), (harm, harm_mcse) = answer.at("null", n), answer.at("null", n, "harm")
        both = claim + harm, float(np.hypot(mcse, harm_mcse))
        rows.append(("type I error, either direction (nominal: alpha)", *both))
    rows.append(("significant harm in a new study", *answer.at("new_study", n, "harm")))
    names = ("what", "value", "mcse")
    return {"n": n, "words": headed(plan.trial, n), "rows": [dict(zip(names, row, strict=True)) for row in rows]}


def _effects(answer: Answered) -> list[dict]:
    names = {"mean": "mean of studies", "new_study": "a new study (prediction interval)"}
    return [
        {"kind": kind, "name": name, **{v: answer.effect[v].sel(kind=kind).item() for v in ("effect", "low", "high")}}
        for kind, name in names.items()
    ]


def _reading(row: dict, trial: Design) -> dict:
    """Return a row of the readings with its words, and totals beside the n of the smaller arm."""
    n = row["n"]
    totals = {"n_total": n and trial.total(n), "n_total_interval": trial.totals(row["n_interval"])}
    return row | totals | {"words": READING_WORDS.get(row["reading"])}


def _of_design(answer: Answered) -> dict:
    """Return each analysis of a design at the answer's n, and its largest false claims over nuisance settings."""
    if answer.type_one is None:
        return {"above_nominal": []}
    at = answer.surface[["success", "success_mcse"]].sel(n=answer.shown_n)
    analyses = [{"analysis": label} for label in at["analysis"].values.tolist()]
    for scenario in ("new_study", "planning_value", "null"):
        for name in at:
            for row, value in zip(analyses, at[name].sel(scenario=scenario).values.tolist(), strict=True):
                row[f"{scenario}_{name}"] = value
    worst = worst_claims(answer.type_one)
    return {
        "n_of_analyses": answer.shown_n,
        "analyses": analyses,
        "largest_false_claim_rate": {label: row["rate"] for label, row in worst.items()},
        "above_nominal": [{"analysis": label} | row for label, row in worst.items() if row["above"]],
    }


def _datasets(answer: Answered) -> Datasets:
    """Return the datasets of a plan by file name."""
    plan = answer.prepared.plan
    found: Datasets = {}
    for i, (member, checks) in enumerate(zip_longest(answer.members, answer.checks)):
        several = f"posterior-{i + 1}-{Path(member.name).stem}.nc"
        kept = kept_of(answer.prepared, member, checks)
        found[several if len(answer.members) > 1 else "posterior.nc"] = kept
    found |= {"surface.nc": answer.surface, "effect.nc": answer.effect}
    if (data := contrasts(answer)) is not None:
        found["contrasts.nc"] = data
    found |= {f"{name}.nc": data for name, data in answer.over.items() if data is not None}
    if answer.type_one is not None:
        found["type_one.nc"] = answer.type_one
        found["children.nc"] = children_seen(plan.trial, plan.seed, answer.published_changes)
    return found
