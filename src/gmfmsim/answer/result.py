"""The answer: as a dictionary for machines, and in one sentence for people."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import xarray as xr

from gmfmsim.model.average import Member, no_average
from gmfmsim.model.checks import Checks
from gmfmsim.question.experiment import Experiment
from gmfmsim.question.plan import Prepared
from gmfmsim.trial.design import Parallel
from gmfmsim.trial.designs import Design
from gmfmsim.trial.size import RequiredN


@dataclass(frozen=True)
class PlanResult:
    """What one plan came to: fitted models with their shares, required n, curves, seconds by stage.

    `effect` is the effect at the dose of the trial, mean of studies and new study; `dose_response` the same over
    a range of doses, where the model uses the dose. `readings` has the answer under each reading of a suspect figure,
    `checks` those of each fitted model. `asked` has what the plan asks beside n: detectable, precision, optimise;
    `type_one`, of a design, its false claims over nuisance settings.
    """

    prepared: Prepared
    members: list[Member]
    required: RequiredN
    surface: xr.Dataset
    effect: xr.Dataset
    dose_response: xr.Dataset | None
    readings: list[dict]
    checks: list[Checks]
    seconds: dict[str, float]
    asked: dict[str, object] = field(default_factory=dict)
    type_one: xr.Dataset | None = None

    def folder(self, position: int) -> str:
        """Return where the files of the plan at this position stand inside the result folder."""
        return "." if position == 0 else f"alternatives/{self.prepared.slug}"

    @property
    def leading(self) -> Member:
        """The model with the largest share: the one that figures of single studies show."""
        return max(self.members, key=lambda m: m.share)

    @property
    def posterior(self) -> xr.DataTree:
        """The posterior of the leading model."""
        return self.leading.tree

    def files(self) -> dict[str, Member]:
        """Return the file names of the posteriors: posterior.nc, or one for each model averaged over."""
        if len(self.members) == 1:
            return {"posterior.nc": self.members[0]}
        return {f"posterior-{i + 1}-{Path(m.name).stem}.nc": m for i, m in enumerate(self.members)}

    def at(self, scenario: str, n: int, variable: str = "success") -> float:
        """Return one figure of the surface, of the primary analysis."""
        return self.surface[variable].isel(analysis=0).sel(scenario=scenario, n=n).item()


def answer(experiment: Experiment, plan_results: list[PlanResult]) -> dict:
    """Return answer.json: the first plan's answer, and under `alternatives` those of the others.

    n_per_arm counts the smaller arm; probabilities are rounded to six decimals.
    """
    first, *others = [_one(f) for f in plan_results]
    head = {"experiment": experiment.name, "key": experiment.key}
    if not others:
        return head | first
    labelled = [f"{f.prepared.plan.label}: {sentence(f)}" for f in plan_results]
    alternatives = [{"label": f.prepared.plan.label} | o for f, o in zip(plan_results[1:], others, strict=True)]
    return (
        head
        | {"label": plan_results[0].prepared.plan.label}
        | first
        | {"sentence": " ".join(labelled), "alternatives": alternatives}
    )


def _one(plan_result: PlanResult) -> dict:
    plan, required = plan_result.prepared.plan, plan_result.required
    n = required.reference_n
    at_planning = [
        None if n is None else round(plan_result.at("planning_value", n, v), 6) for v in ("success", "success_mcse")
    ]
    return {
        "target": plan.search.target.model_dump(),
        "status": required.status,
        "n_per_arm": required.n,
        "n_interval": list(required.interval) if required.interval else None,
        "interval_prob": plan.search.interval_prob,
        "n_total": None if required.n is None else sum(plan.trial.sizes(required.n).values()),
        "plateau": round(required.plateau, 6),
        "plateau_mcse": round(required.plateau_mcse, 6),
        "n_at_95_plateau": required.n_at_95_plateau,
        "planning_value": plan.search.planning_value,
        "power_at_planning_value": at_planning[0],
        "power_at_planning_value_mcse": at_planning[1],
        "dose_outside_evidence": plan_result.prepared.dose_outside_evidence,
        "month_outside_evidence": plan_result.prepared.month_outside_evidence,
        "models": [_model(m) for m in plan_result.members],
        "readings": [_reading(row) for row in plan_result.readings],
        "warnings": warnings(plan_result),
        "sentence": sentence(plan_result),
    } | _of_design(plan_result)


def _of_design(plan_result: PlanResult) -> dict:
    """Return what answer.json says more: each analysis of a design at the answer's n, and what else was asked."""
    asked = {name: _plain(value) for name, value in plan_result.asked.items()}
    if plan_result.type_one is None:
        return asked
    n = plan_result.required.reference_n or int(plan_result.surface["n"].values[-1])
    at, analyses = plan_result.surface.sel(n=n), []
    for label in at["analysis"].values.tolist():
        row = at.sel(analysis=label)
        figures = {
            f"{scenario}_{figure}": _rounded(row[figure].sel(scenario=scenario).item())
            for scenario in ("new_study", "planning_value", "null")
            for figure in ("success", "success_mcse")
        }
        analyses.append({"analysis": label} | figures)
    worst = plan_result.type_one.max("setting")
    errors = {a: _rounded(worst["type_one"].sel(analysis=a).item()) for a in worst["analysis"].values.tolist()}
    return asked | {"n_of_analyses": n, "analyses": analyses, "largest_false_claim_rate": errors}


def _plain(value: object) -> object:
    """Return lists and tables with every number rounded to six decimals."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else _rounded(value)


def asked_in_words(plan_result: PlanResult) -> list[str]:
    """Say the smallest detectable effect and the n of a precision, a sentence each, where the plan asks for them."""
    words, asked, trial = [], plan_result.asked, plan_result.prepared.plan.trial
    level = percent(plan_result.prepared.plan.search.interval_prob)
    if found := asked.get("detectable"):
        size, power = children(trial, found["n_per_arm"]), percent(found["power"])
        if found["effect"] is None:
            words.append(f"{size} have {power} power for no effect up to 40 points.")
        else:
            low, high = (f"{v:.2f}" if v is not None else "more" for v in found["interval"])
            interval = f"{level} Monte Carlo interval {low} to {high}"
            words.append(
                f"The smallest effect that {size} detect with {power} power: {found['effect']:.2f} points ({interval})."
            )
    if found := asked.get("precision"):
        width = f"an interval {found['width']:g} points wide on average"
        if found["n_per_arm"] is None:
            words.append(f"No n up to {_most(plan_result)} per arm gives {width}.")
        else:
            low, high = found["n_interval"]
            interval = f"{level} Monte Carlo interval {low} to {high or 'more'}"
            words.append(f"{children(trial, found['n_per_arm'])} give {width} ({interval}).")
    return words


def _model(member: Member) -> dict:
    """Return name, share and engine of a model; where both engines ran, how far apart they are in MCSE."""
    engine = member.fit.engine if member.fit else "published"
    apart = max((row["distance"] for row in member.fit.compared), default=None) if member.fit else None
    return {
        "name": member.name,
        "share": _rounded(member.share),
        "engine": engine,
        "engines_apart_mcse": _rounded(apart),
        "verdict": member.fit.verdict if member.fit else "not fitted",
    }


def _reading(row: dict) -> dict:
    """Return one reading's row for answer.json, rounded to six decimals."""
    return {k: [_rounded(x) for x in v] if isinstance(v, list | tuple) else _rounded(v) for k, v in row.items()}


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


def headline(plan_result: PlanResult) -> str:
    """Say the answer of one plan in a few words."""
    plan, required = plan_result.prepared.plan, plan_result.required
    if required.why == "reached":
        return children(plan.trial, required.n)
    return {
        "plateau": "No number of children reaches the target",
        "limit": f"Not reached by {children(plan.trial, _most(plan_result))}",
        "time": "Not found in the time given" if required.n is None else f"At most {children(plan.trial, required.n)}",
        "undecided": "Not decided: the plateau is at the target",
    }[required.why]


def sentence(plan_result: PlanResult) -> str:
    """Say the answer of one plan in a sentence or two."""
    plan, required = plan_result.prepared.plan, plan_result.required
    metric, target = plan.search.target.metric, percent(plan.search.target.value)
    effect, month = f"{plan.search.planning_value:g} {plan_result.prepared.unit}", f"{plan.trial.month:g} months"
    goal = {
        "assurance": f"{target} assurance of showing {claimed(plan.trial)} at {month} in a new study",
        "power": f"{target} power to show {claimed(plan.trial, effect)}",
    }[metric]
    plateau = f"{percent(required.plateau)} (MCSE {percent(required.plateau_mcse)})"
    limit, nearly = children(plan.trial, _most(plan_result)), required.n_at_95_plateau
    most = f"{children(plan.trial, nearly)} give 95 % of that" if nearly else f"{limit} do not give 95 % of that"
    if required.why == "reached":
        text = f"{_with_interval(plan_result)} give {goal}; {_beyond(plan_result, plateau)}."
    elif required.why == "plateau":
        text = f"No number of children gives {goal}: the plateau is {plateau}, and {most}."
    elif required.why == "time":
        text = f"No n that gives {goal} was found"
        if required.n:
            low, high = required.interval
            smallest = f"is {high}" if low == high else f"lies from {low} to {high}"
            text = f"{children(plan.trial, high)} give {goal}, and the smallest n that does {smallest}"
        text += f": the search ended after {plan.search.max_seconds:g} s; the plateau is {plateau}."
    elif required.why == "limit":
        text = f"Even {limit} do not give {goal}; the plateau is {plateau}, and {most}."
    else:
        trials = f"{plan_result.surface.attrs['replicates']:,}"
        text = f"Whether any number of children gives {goal} is not decided by {trials} simulated trials: "
        text += f"the plateau is {plateau}, and {most}."
    return text + "".join(f" {warning}" for warning in warnings(plan_result))


def _most(plan_result: PlanResult) -> int:
    """Return the largest n that a search may look at."""
    plan = plan_result.prepared.plan
    return plan.trial.at_most(plan.search.max_n_per_arm)


def _with_interval(plan_result: PlanResult) -> str:
    plan, required = plan_result.prepared.plan, plan_result.required
    low, high = required.interval
    interval = f"{low} to {high}" if high else f"{low} to more than {_most(plan_result)}"
    total = sum(plan.trial.sizes(required.n).values())
    words = children(plan.trial, required.n)
    return f"{words} ({percent(plan.search.interval_prob)} Monte Carlo interval {interval}; {total} in all)"


def _beyond(plan_result: PlanResult, plateau: str) -> str:
    """Say what a reached target does not: the plateau, or for power the assurance at the same n."""
    if plan_result.prepared.plan.search.target.metric == "assurance":
        return f"the plateau, its limit as n grows, is {plateau}"
    n = plan_result.required.n
    assurance = (
        f"{percent(plan_result.at('new_study', n))} (MCSE {percent(plan_result.at('new_study', n, 'success_mcse'))})"
    )
    return f"whether that effect is there is another question: the assurance is {assurance}"


def claimed(trial: Parallel | Design, effect: str = "") -> str:
    """Say what a trial that succeeds shows; effect: where its power is asked, the true effect in words."""
    objective = getattr(trial, "objective", None)
    if objective is None or objective.claim == "superiority":
        return f"a gain of {effect}" if effect else "a gain"
    limit = f"{objective.margin:g} GMFM-66 points"
    words = {
        "non_inferiority": f"that the effect is not below -{limit}",
        "equivalence": f"that the effect lies within {limit} either way",
    }
    return words[objective.claim] + (f" where it is {effect}" if effect else "")


def warnings(plan_result: PlanResult) -> list[str]:
    """Return what to know beside the answer, a sentence each.

    What of the trial lies outside the evidence; an average that is none; a posterior that sampling did not confirm.
    """
    found, none = extrapolations(plan_result.prepared), no_average(plan_result.members)
    unchecked = [m for m in plan_result.members if m.fit and m.fit.unchecked]
    found += [none] if none else []
    return found + [f"The exact posterior of {m.name} is {m.fit.verdict}." for m in unchecked]


def extrapolations(prepared: Prepared) -> list[str]:
    """Return what of the trial lies outside the evidence, a sentence each."""
    found, trial = [], prepared.plan.trial
    if prepared.dose_outside_evidence:
        low, high = prepared.observed_doses
        dose = f"{trial.active.dose:.3g} per kg"
        found.append(f"The dose of {dose} lies outside the {low:.3g} to {high:.3g} studied: an extrapolation.")
    if prepared.month_outside_evidence:
        low, high = prepared.observed_months
        found.append(f"Month {trial.month:g} lies outside the months studied ({low:g} to {high:g}): an extrapolation.")
    return found


def children(trial: Parallel | Design, n: int) -> str:
    """Say how many children each arm has at n."""
    sizes = trial.sizes(n)
    if len(sizes) == 1:
        return f"{n} children"
    if getattr(trial, "kind", "") == "pairs":
        return f"{n} pairs of children"
    if len(set(sizes.values())) == 1:
        return f"{n} children per arm"
    return " and ".join(f"{size} {name}" for name, size in sizes.items()) + " children"


def figure(value: float | None) -> str:
    """Write a figure with three digits; nothing where there is none."""
    return "" if value is None else f"{value:.3g}"


def percent(share: float) -> str:
    """Write a share as per cent: whole numbers where they are, else one decimal, two near 0 and 100 %.

    Nothing is rounded to certainty: what is not 0 or 100 % does not read as if it were.
    """
    value = 100 * share
    if 0 < value < 0.005:
        return "< 0.01 %"
    if 99.995 <= value < 100:
        return "> 99.99 %"
    decimals = 0 if abs(value - round(value)) < 1e-9 else 1 if 1 <= value <= 99 else 2
    return f"{value:.{decimals}f} %"
