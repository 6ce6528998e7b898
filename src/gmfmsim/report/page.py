"""report.html: one self-contained page, the answer first, every figure traced to its rows."""

from pathlib import Path

import numpy as np
from markupsafe import Markup

from gmfmsim.answer.parameters import fitted, typical_tau
from gmfmsim.answer.result import (
    PlanResult,
    asked_in_words,
    children,
    claimed,
    figure,
    headline,
    percent,
    sentence,
    warnings,
)
from gmfmsim.dist.distributions import Fixed
from gmfmsim.dist.positive import LogNormal
from gmfmsim.model.average import no_average
from gmfmsim.model.checks import as_json, in_words
from gmfmsim.model.confounding import confounding, confounding_in_words
from gmfmsim.question.experiment import Experiment
from gmfmsim.report.children import reported_changes
from gmfmsim.report.designs import design_figures, design_section
from gmfmsim.report.evidence import READING_WORDS, doubts, small_study, trials
from gmfmsim.report.figures import figures_of, forest_labels
from gmfmsim.report.html import draw, write_page
from gmfmsim.report.labels import with_key
from gmfmsim.trial.closed_form import sample_size
from gmfmsim.trial.designs import Design

CAPTIONS = {
    "curves": "Probability of success against the number of children. Bands: 95 % Monte Carlo error. "
    "Black line: target; grey bar: Monte Carlo interval of the required n. The curve of a new study tends to "
    "its plateau, the probability that the effect of that study is above zero at all.",
    "forest": "Every contrast as reported (grey), by cells and route, and as the model sees it (blue), which borrows "
    "strength from the other studies. A new study: 95 % prediction interval for the effect in the next trial. "
    "* reported on another GMFM scale: drawn after multiplication with the posterior mean of r. "
    "\u2020 standard error not known: drawn at its median.",
    "funnel": "Reported effects against their standard errors. Dots outside the shading would be significant at 1 %, "
    "in the darker band at 5 %. A slope of the dashed line says that less certain trials report other effects than "
    "certain ones: reporting bias, or small trials that differ in cells, route, care or scale.",
    "published": "The published estimate, read as a normal distribution, and the effect in a new study with the "
    "published heterogeneity: 95 % intervals.",
    "dose_response": "Effect against dose: the mean of studies and, wider, a new study. "
    "Doses under hatching were not studied.",
}


def write_report(folder: Path, experiment: Experiment, plan_results: list[PlanResult]) -> None:
    """Draw the figures of every plan into folder/figures and write folder/report.html."""
    sections, audited = [], {}
    for i, plan_result in enumerate(plan_results):
        prepared = plan_result.prepared
        forest = CAPTIONS["published" if prepared.published else "forest"]
        captions = CAPTIONS | {"forest": with_key(forest, forest_labels(plan_result))}
        place = folder / plan_result.folder(i) / "figures"
        drawn = draw(place, figures_of(plan_result), f"{prepared.slug}-")
        figures = [{"name": name, "svg": svg, "caption": captions[name]} for name, svg in drawn.items()]
        more = {"figures": figures, "doubts": doubts(prepared, audited), "design": _design(plan_result, place)}
        sections.append(_section(plan_result) | more)
    values = {"experiment": experiment, "sections": sections}
    write_page(folder / "report.html", "page.html.j2", {"percent": percent, "figure": figure}, **values)


def _design(plan_result: PlanResult, place: Path) -> Markup | None:
    """Draw the figures of a design into `place` and return its section; None for two arms with normal changes."""
    prepared, design = plan_result.prepared, plan_result.prepared.plan.trial
    if not isinstance(design, Design):
        return None
    surface = plan_result.surface
    n = plan_result.required.reference_n or int(surface["n"].values[-1])
    reported = reported_changes(prepared.tables, design.month)
    how = {"n": plan_result.required.n, "reported": reported}
    drawn = draw(place, design_figures(design, surface, prepared.plan.seed, **how), f"{prepared.slug}-")
    return design_section(design, surface, n, drawn, nuisance=plan_result.type_one, reported=reported)


def _section(plan_result: PlanResult) -> dict:
    """Return what the page says of one plan."""
    prepared, plan, required = plan_result.prepared, plan_result.prepared.plan, plan_result.required
    return {
        "label": plan.label,
        "slug": prepared.slug,
        "plan": plan,
        "required": required,
        "observed_doses": prepared.observed_doses,
        "observed_months": prepared.observed_months,
        "uses_dose": prepared.uses_dose,
        "uses_month": prepared.uses_month,
        "headline": headline(plan_result),
        "sentence": sentence(plan_result),
        "warnings": warnings(plan_result),
        "no_average": no_average(plan_result.members),
        "unit": prepared.unit,
        "size": children(plan.trial, required.reference_n) if required.reference_n else "",
        "setting": ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in plan.trial.setting if v is not None),
        "sd_change": _spread(plan.trial.sd_change, prepared.unit),
        "at_reference": _at_reference(plan_result),
        "effects": _effects(plan_result),
        "plug_in": _plug_in(plan_result),
        "curve_rows": _curve_rows(plan_result),
        "models": fitted(plan_result.members),
        "model_title": prepared.model_title,
        "checks": [
            {"name": m.name, "title": m.spec.title, "stands_out": in_words(c), **as_json(c)}
            for m, c in zip(plan_result.members, plan_result.checks, strict=bool(plan_result.checks))
        ],
        "confounding": [] if not prepared.models else _confounding(plan_result),
        "flat_file": prepared.tables.folder.name if prepared.tables.folder.is_file() else None,
        "trials": trials(prepared),
        "notes": prepared.notes,
        "small_study": small_study(plan_result),
        "readings": [
            row | {"name": READING_WORDS.get(row["reading"]), "answer": _short_answer(row)}
            for row in plan_result.readings
        ],
        "combinations": 1 if prepared.contrasts is None else prepared.contrasts.sizes["reading"],
        "published": prepared.published,
        "asked": asked_in_words(plan_result),
        "optimise": plan_result.asked.get("optimise", []),
        "replicates": plan_result.surface.attrs["replicates"],
    }


def _confounding(plan_result: PlanResult) -> list[str]:
    """Say how much of the dose slope is seen between like and like."""
    tau = typical_tau(plan_result.members)
    return confounding_in_words(confounding(plan_result.prepared.contrasts, tau=tau))


def _at_reference(plan_result: PlanResult) -> list[dict]:
    """Return success in every scenario at the n that the answer is about."""
    n = plan_result.required.reference_n
    if n is None:
        return []
    planning = f"{plan_result.prepared.plan.search.planning_value:g} {plan_result.prepared.unit}"
    words = {
        "new_study": "assurance: success in a new study, heterogeneity included",
        "pooled_mean": "assurance on the mean of studies, tau left out",
        "planning_value": f"power at the planning value of {planning}",
        "null": "false claim of benefit if there is no effect (nominal: half of alpha)",
    }
    superiority = claimed(plan_result.prepared.plan.trial) == "a gain"
    if not superiority:
        words["null"] = "success if there is no effect: a true claim"
    rows = [
        {"what": text, "value": plan_result.at(s, n), "mcse": plan_result.at(s, n, "success_mcse")}
        for s, text in words.items()
    ]
    if superiority:
        both = plan_result.at("null", n) + plan_result.at("null", n, "harm")
        both_mcse = float(np.hypot(plan_result.at("null", n, "success_mcse"), plan_result.at("null", n, "harm_mcse")))
        rows.append({"what": "type I error, either direction (nominal: alpha)", "value": both, "mcse": both_mcse})
    rows.append(
        {
            "what": "significant harm in a new study",
            "value": plan_result.at("new_study", n, "harm"),
            "mcse": plan_result.at("new_study", n, "harm_mcse"),
        }
    )
    return rows


def _short_answer(row: dict) -> str:
    """Say the required n of one reading in a table cell."""
    if row["n"] is not None:
        low, high = row["n_interval"]
        return f"{row['n']} ({low} to {high or 'more'})"
    short = {"few draws": "too few draws to say", "undecided": "not decided", "not simulated": "not simulated"}
    return short.get(row["why"], "not reached")


def _effects(plan_result: PlanResult) -> list[dict]:
    names = {"mean": "mean of studies", "new_study": "a new study (prediction interval)"}
    return [
        {"name": name, **{v: plan_result.effect[v].sel(kind=kind).item() for v in ("effect", "low", "high")}}
        for kind, name in names.items()
    ]


def _spread(sd: LogNormal | Fixed, unit: str) -> str:
    """Say what is assumed of the between-child SD of the change."""
    low, middle, high = (float(x) for x in sd.ppf(np.array([0.025, 0.5, 0.975])))
    known = "taken as known" if low == high else f"uncertain: {low:.2g} to {high:.2g} in 95 % ({sd})"
    return f"{middle:.3g} {unit}, {known}"


def _plug_in(plan_result: PlanResult) -> dict | None:
    """Return the plan that takes planning value and SD as known, by formula; None for a target below alpha/2 or a
    design with analyses of its own."""
    plan = plan_result.prepared.plan
    if plan.analysis is None or plan.search.target.value <= plan.analysis.alpha / 2:
        return None
    sd = float(plan.trial.sd_change.ppf(np.array(0.5)))
    control = sample_size(
        effect=plan.search.planning_value,
        sd=sd,
        power_target=plan.search.target.value,
        alpha=plan.analysis.alpha,
        ratio=plan.trial.active.ratio / plan.trial.control.ratio,
        method=plan.analysis.method,
    )
    n = int(np.ceil(control / plan.trial.control.ratio / (1 - plan.trial.dropout)))
    return {"sd": sd, "children": children(plan.trial, n)}


def _curve_rows(plan_result: PlanResult, most: int = 9) -> list[dict]:
    """Return the surface at a handful of n, the required one among them."""
    grid = plan_result.surface["n"].values
    wanted = {int(grid[i]) for i in np.linspace(min(3, max(0, len(grid) - most)), len(grid) - 1, most).astype(int)} | {
        plan_result.required.reference_n or int(grid[-1])
    }
    scenarios = ("new_study", "pooled_mean", "planning_value")
    return [
        {
            "n": n,
            "marked": n == plan_result.required.n,
            "values": [(plan_result.at(s, n), plan_result.at(s, n, "success_mcse")) for s in scenarios],
        }
        for n in sorted(wanted)
    ]
