"""Fit the models of an experiment and check them, without simulating trials."""

from dataclasses import dataclass
from html import escape

import xarray as xr

from gmfmsim.answer.parameters import fitted, typical_tau
from gmfmsim.answer.posterior import checks_of, posterior_of
from gmfmsim.answer.tables import checks as checks_as_tables
from gmfmsim.answer.tables import gate, in_lines, parameters, thresholds
from gmfmsim.faults import Fault, InputError
from gmfmsim.model.average import Member, no_average
from gmfmsim.model.checks import Checks, as_json, in_words
from gmfmsim.model.confounding import confounding, confounding_in_words
from gmfmsim.progress import Silent
from gmfmsim.question.past import Past
from gmfmsim.question.plan import Prepared
from gmfmsim.question.question import Question


@dataclass(frozen=True, repr=False)
class FittedPlan:
    """The fitted models of one plan: members with their shares, the checks of each, the confounding of the dose."""

    prepared: Prepared
    members: list[Member]
    checks: list[Checks]
    confounding: xr.Dataset

    def __repr__(self) -> str:
        models = ", ".join(f"{m.name} ({m.share:.3g})" for m in self.members)
        return f"<FittedPlan {self.prepared.plan.label!r}: {models}; {self.prepared.source}>"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(to_text([self]))}</pre>"


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
    """Return title, engine, parameters and gate of a model."""
    share = f", share {model['share']:.3f}" if several else ""
    engine = f"{model['engine']} engine" + (f" ({model['why_not']})" if model["why_not"] else "")
    lines = [f"{model['title']} [{model['name']}{share}; {engine}]", "", *in_lines(parameters(model))]
    lines += ["", *in_lines(found)] if (found := thresholds(model)) else []
    lines += [*model["missing"], "", *in_lines(gate(model["gate"])), ""]
    return lines if model["verdict"] == "passed" else [*lines, f"the exact posterior is {model['verdict']}", ""]


def _check_lines(found: Checks) -> list[str]:
    """Return the checks of a model as tables, and what stands out in words."""
    out = [f"what stands out: {line}" for line in in_words(found)] or ["nothing stands out in the checks"]
    for one in checks_as_tables(as_json(found)).values():
        out += ["", *in_lines(one)]
    i2 = found.i_squared
    return [*out, "", f"I2: {i2.mean:.3f}, {i2.prob:.0%} interval {i2.low:.3f} to {i2.high:.3f} (MCSE {i2.mcse:.2g})"]
