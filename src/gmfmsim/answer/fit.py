"""Fit the models of an experiment and check them, without simulating trials."""

from dataclasses import dataclass

import xarray as xr

from gmfmsim.answer.parameters import fitted, typical_tau
from gmfmsim.answer.posterior import posterior_of
from gmfmsim.answer.sensitivity import checks_of
from gmfmsim.compute.text import figure
from gmfmsim.faults import Fault, InputError
from gmfmsim.model.average import Member, no_average
from gmfmsim.model.checks import Checks, as_json, in_words
from gmfmsim.model.confounding import confounding, confounding_in_words
from gmfmsim.progress import Silent
from gmfmsim.question.past import Past
from gmfmsim.question.plan import Prepared
from gmfmsim.question.question import Question


@dataclass(frozen=True)
class FittedPlan:
    """The fitted models of one plan: members with their shares, the checks of each, the confounding of the dose."""

    prepared: Prepared
    members: list[Member]
    checks: list[Checks]
    confounding: xr.Dataset


def fit(question: Question, progress: Silent) -> list[FittedPlan]:
    """Fit and check every model of an experiment; write nothing.

    Plans that take a published estimate are left out; trials of the past have one model. Raises InputError if no plan
    has a model, and GateFailed if a posterior cannot be trusted.
    """
    fits, found = {}, []
    for prepared in question.plans[:1] if isinstance(question.asked, Past) else question.plans:
        if prepared.models:
            members = posterior_of(prepared, fits, progress)
            progress.stage(f"{prepared.plan.label}: checks")
            slopes = confounding(prepared.contrasts, tau=typical_tau(members))
            found.append(FittedPlan(prepared, members, [checks_of(prepared, m) for m in members], slopes))
    if not found:
        problem = "no plan has a model: there is nothing to fit"
        raise InputError([Fault(question.name, "key model", problem, "an experiment with a [model]")])
    return found


def to_json(plans: list[FittedPlan]) -> dict:
    """Return everything of `fit` for machines."""
    return {
        "plans": [
            {
                "label": p.prepared.plan.label,
                "evidence": p.prepared.source,
                "models": [
                    model | {"checks": as_json(checks)}
                    for model, checks in zip(fitted(p.members), p.checks, strict=True)
                ],
                "confounding": confounding_in_words(p.confounding),
            }
            for p in plans
        ]
    }


def to_text(plans: list[FittedPlan]) -> str:
    """Return what a person wants to read of `fit`."""
    lines = []
    for p in plans:
        lines += [f"{p.prepared.plan.label}: {p.prepared.source}"]
        lines += ["", none] if (none := no_average(p.members)) else []
        for model, checks in zip(fitted(p.members), p.checks, strict=True):
            lines += ["", *_model_lines(model, several=len(p.members) > 1), *_check_lines(checks)]
        lines += ["", "dose, cell class and route", *(f"  {line}" for line in confounding_in_words(p.confounding)), ""]
    return "\n".join(lines)


def _model_lines(model: dict, *, several: bool) -> list[str]:
    """Return title, engine and parameters of a model."""
    share = f", share {model['share']:.3f}" if several else ""
    engine = f"{model['engine']} engine" + (f" ({model['why_not']})" if model["why_not"] else "")
    lines = [f"{model['title']} [{model['name']}{share}; {engine}]", ""]
    rows = [
        [p["name"], *map(figure, (p["mean"], p["sd"], p["median"])), _interval(p), _sampled(p), p["unit"]]
        for p in model["parameters"]
    ]
    head = ["parameter", "mean", "sd", "median", "95 % interval", "sampled: mean, sd, MCSE", "unit"]
    lines += [*_table(head, rows), *model["missing"]]
    gate = [[g["criterion"], f"{g['measured']:g}", g["required"], g["worst"]] for g in model["gate"]]
    lines += ["", *_table(["gate", "measured", "required", "worst at"], gate), ""]
    return lines if model["verdict"] == "passed" else [*lines, f"the exact posterior is {model['verdict']}", ""]


def _interval(parameter: dict) -> str:
    return f"{figure(parameter['low'])} to {figure(parameter['high'])}"


def _sampled(parameter: dict) -> str:
    """Return what sampling found of a parameter that was also computed exactly."""
    if parameter["mcse"] is None:
        return ""
    if "nuts_mean" in parameter:
        known = [f"nuts_{name}" for name in ("mean", "sd", "median") if parameter[f"nuts_{name}"] is not None]
        return ", ".join([*(figure(parameter[name]) for name in known), f"{parameter['mcse']:.2g}"])
    return f"MCSE {parameter['mcse']:.2g}"


def _check_lines(found: Checks) -> list[str]:
    """Return the checks of a model as tables, and what stands out in words."""
    tables = as_json(found)
    out = [f"what stands out: {line}" for line in in_words(found)] or ["nothing stands out in the checks"]
    for title, part, columns in TABLES:
        rows = [[_cell(row[c]) for c in columns] for row in tables[part]["rows"]]
        out += ["", *_table([title, *columns[1:]], rows)]
    i2 = found.i_squared
    return [*out, "", f"I2: {i2.mean:.3f}, {i2.prob:.0%} interval {i2.low:.3f} to {i2.high:.3f} (MCSE {i2.mcse:.2g})"]


TABLES = (
    ("effect above, in points", "exceeds", ("margin", "mean_of_studies", "new_study")),
    ("without the study", "studies", ("study", "mean", "sd", "above", "tau", "change", "elpd", "k_hat")),
    ("from the others", "contrasts", ("contrast", "elpd", "elpd_psis", "k_hat", "pit")),
    ("outlier", "outliers", ("study", "prior", "posterior", "posterior_mcse")),
    ("replicated data reach", "replicated", ("statistic", "observed", "posterior", "prior")),
    ("power scaling", "scaling", ("quantity", "prior", "likelihood", "diagnosis")),
)
"""The tables of checks that a person reads: title, part, columns."""


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Return lines of aligned columns: the first to the left, the others to the right, text at the end as it is."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return [
        "  " + "  ".join(t.ljust(w) if i == 0 else t.rjust(w) for i, (t, w) in enumerate(zip(row, widths, strict=True)))
        for row in [head, *rows]
    ]
