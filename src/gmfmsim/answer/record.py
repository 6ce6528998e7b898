"""From what plans came to, to answer.json and the labelled datasets beside it: all that a page shows."""

from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path

import numpy as np
import xarray as xr

from gmfmsim.answer.children import Reported, children_seen, reported_changes
from gmfmsim.answer.design import design_record, plug_in, trial_record
from gmfmsim.answer.evidence import READING_WORDS, contrasts, findings, small_study, trials
from gmfmsim.answer.parameters import fitted, typical_tau
from gmfmsim.answer.plan import Answered
from gmfmsim.answer.posterior import kept_of
from gmfmsim.answer.words import asked_in_words, claimed, headed, headline, sentence, warnings
from gmfmsim.compute.text import exact, plain
from gmfmsim.model.average import Member, no_average
from gmfmsim.model.checks import as_json, in_words
from gmfmsim.model.confounding import confounding, confounding_in_words
from gmfmsim.trial.designs import Design

type Datasets = dict[str, xr.Dataset | xr.DataTree]


def plans_outcome(answers: list[Answered]) -> tuple[dict, Datasets]:
    """Return what answer.json says of the plans, the first plan's answer first, the others' under `alternatives`; and
    the datasets by file name.

    Probabilities are rounded to six decimals, what pages show beside them to nine digits.
    """
    audited: dict = {}
    records = [_record(a, audited) for a in answers]
    files = {}
    for i, a in enumerate(answers):
        files |= {str(Path(folder_of(a, i)) / name): data for name, data in _datasets(a).items()}
    first, *others = records
    if others:
        first["sentence"] = " ".join(f"{r['label']}: {r['sentence']}" for r in records)
        first = first | {"own_sentence": sentence(answers[0]), "alternatives": others}
    return first, files


def folder_of(answer: Answered, position: int) -> str:
    """Return where the files of the plan at this position stand inside the result folder."""
    return "." if position == 0 else f"alternatives/{answer.prepared.slug}"


def _record(answer: Answered, audited: dict) -> dict:
    """Return the answer of one plan: n and what it rests on, then all that a page says of trial, model and evidence."""
    prepared, required = answer.prepared, answer.required
    plan, n = prepared.plan, answer.required.n
    at = required.reference_n
    planning = [None if at is None else answer.at("planning_value", at, v) for v in ("success", "success_mcse")]
    first = {
        "label": plan.label,
        "target": plan.search.target.model_dump(),
        "status": required.status,
        "n_total": None if n is None else plan.trial.total(n),
        "n_by_arm": None if n is None else plan.trial.sizes(n),
        "n_per_arm": n,
        "n_interval": list(required.interval) if required.interval else None,
        "n_total_interval": plan.trial.totals(required.interval),
        "interval_prob": plan.search.interval_prob,
        "plateau": required.plateau,
        "plateau_mcse": required.plateau_mcse,
        "n_at_95_plateau": required.n_at_95_plateau,
        "planning_value": plan.search.planning_value,
        "power_at_planning_value": planning[0],
        "power_at_planning_value_mcse": planning[1],
        "dose_outside_evidence": prepared.dose_outside_evidence,
        "month_outside_evidence": prepared.month_outside_evidence,
    }
    page = {
        "models": [_model(m, found) for m, found in zip(answer.members, _models(answer), strict=True)],
        "headline": headline(answer),
        "slug": prepared.slug,
        "unit": prepared.unit,
        "replicates": answer.surface.attrs["replicates"],
        "why": required.why,
        "reference": _reference(answer),
        "trial": trial_record(answer),
        "plug_in": plug_in(answer),
        "optimise_n_total": plan.optimise and plan.optimise.n_total,
        "asked": asked_in_words(answer),
        "design": _design(answer),
        "effects": _effects(answer),
        "weights": plan.model and plan.model.weights,
        "no_average": no_average(answer.members),
        "checks": [
            {"name": m.name, "title": m.spec.title, "stands_out": in_words(c), **as_json(c)}
            for m, c in zip(answer.members, answer.checks, strict=bool(answer.checks))
        ],
        "evidence": _evidence(answer, audited),
    }
    said = {"readings": [_reading(row, plan.trial) for row in answer.readings], "warnings": warnings(answer)}
    last = {"sentence": sentence(answer)}
    return plain(first) | exact(page) | plain(said) | last | plain(answer.asked) | plain(_of_design(answer))


def _models(answer: Answered) -> list[dict]:
    return fitted(answer.members) or [{}]  # a published estimate is not fitted


def _model(member: Member, found: dict) -> dict:
    """Return what is said of one model; where both engines ran, how far apart they are in MCSE."""
    rows = member.fit.compared if member.fit else []
    return found | {
        "name": member.name,
        "share": plain(member.share),
        "engine": member.fit.engine if member.fit else "published",
        "engines_apart_mcse": plain(max((row["distance"] for row in rows), default=None)),
        "verdict": member.fit.verdict if member.fit else "not fitted",
    }


def _evidence(answer: Answered, audited: dict) -> dict:
    """Return what the answer rests on: contrasts or a published estimate, their sources, and what is doubtful."""
    prepared, published = answer.prepared, answer.prepared.published
    small, slopes = small_study(answer), []
    if prepared.models:
        slopes = confounding_in_words(confounding(prepared.contrasts, tau=typical_tau(answer.members)))
    return {
        "model_title": prepared.model_title,
        "observed_doses": prepared.observed_doses,
        "observed_months": prepared.observed_months,
        "uses_dose": prepared.uses_dose,
        "uses_month": prepared.uses_month,
        "combinations": 1 if prepared.contrasts is None else prepared.contrasts.sizes["reading"],
        "flat_file": prepared.tables.folder.name if prepared.tables.folder.is_file() else None,
        "trials": trials(prepared),
        "notes": prepared.notes,
        "confounding": slopes,
        "small_study": asdict(small) if small else None,
        "findings": findings(prepared, audited),
        "published": asdict(published) if published else None,
    }


def _reference(answer: Answered) -> dict | None:
    """Return success in every scenario at the n that the answer is about."""
    n, plan = answer.required.reference_n, answer.prepared.plan
    if n is None:
        return None
    words = {
        "new_study": "assurance: success in a new study, heterogeneity included",
        "pooled_mean": "assurance on the mean of studies, tau left out",
        "planning_value": f"power at the planning value of {plan.search.planning_value:g} {answer.prepared.unit}",
        "null": "false claim of benefit if there is no effect (nominal: half of alpha)",
    }
    superiority = claimed(plan.trial) == "a gain"
    if not superiority:
        words["null"] = "success if there is no effect: a true claim"
    rows = [(text, answer.at(s, n), answer.at(s, n, "success_mcse")) for s, text in words.items()]
    if superiority:
        both = answer.at("null", n) + answer.at("null", n, "harm")
        mcse = float(np.hypot(answer.at("null", n, "success_mcse"), answer.at("null", n, "harm_mcse")))
        rows.append(("type I error, either direction (nominal: alpha)", both, mcse))
    harm = answer.at("new_study", n, "harm"), answer.at("new_study", n, "harm_mcse")
    rows.append(("significant harm in a new study", *harm))
    names = ("what", "value", "mcse")
    return {"n": n, "words": headed(plan.trial, n), "rows": [dict(zip(names, row, strict=True)) for row in rows]}


def _design(answer: Answered) -> dict | None:
    if answer.type_one is None:
        return None
    return design_record(answer.prepared.plan.trial, answer.shown_n, _published_changes(answer))


def _published_changes(answer: Answered) -> list[Reported]:
    """Return what control arms of published trials changed at the month of the trial."""
    return reported_changes(answer.prepared.tables, answer.prepared.plan.trial.month)


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
        return {}
    n = answer.shown_n
    at, analyses = answer.surface.sel(n=n), []
    for label in at["analysis"].values.tolist():
        row = at.sel(analysis=label)
        figures = {
            f"{scenario}_{figure}": row[figure].sel(scenario=scenario).item()
            for scenario in ("new_study", "planning_value", "null")
            for figure in ("success", "success_mcse")
        }
        analyses.append({"analysis": label} | figures)
    worst = answer.type_one.max("setting")
    errors = {a: worst["type_one"].sel(analysis=a).item() for a in worst["analysis"].values.tolist()}
    return {"n_of_analyses": n, "analyses": analyses, "largest_false_claim_rate": errors}


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
    if answer.dose_response is not None:
        found["dose_response.nc"] = answer.dose_response
    if answer.type_one is not None:
        found["type_one.nc"] = answer.type_one
        found["children.nc"] = children_seen(plan.trial, plan.seed, _published_changes(answer))
    return found
