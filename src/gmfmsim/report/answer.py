"""The answer: as a dictionary for machines, and in one sentence for people."""

from dataclasses import dataclass

import xarray as xr

from gmfmsim.experiment import Experiment, Prepared
from gmfmsim.trial.design import Parallel
from gmfmsim.trial.size import RequiredN


@dataclass(frozen=True)
class Finding:
    """What one plan came to: posterior, gate, required n, curves, seconds by stage.

    `effect` is the effect at the dose of the trial, mean of studies and new study; `dose_response` the same over
    a range of doses, where the model uses the dose.
    """

    prepared: Prepared
    posterior: xr.DataTree
    gate: list[dict]
    required: RequiredN
    surface: xr.Dataset
    effect: xr.Dataset
    dose_response: xr.Dataset | None
    seconds: dict[str, float]

    def folder(self, position: int) -> str:
        """Return where the files of the plan at this position stand inside the result folder."""
        return "." if position == 0 else f"alternatives/{self.prepared.slug}"

    def at(self, scenario: str, n: int, variable: str = "success") -> float:
        """Return one figure of the surface."""
        return self.surface[variable].sel(scenario=scenario, n=n).item()


def answer(experiment: Experiment, findings: list[Finding]) -> dict:
    """Return answer.json: the first plan's answer, and under `alternatives` those of the others.

    n_per_arm is for allocation ratio 1; probabilities are rounded to six decimals.
    """
    first, *others = [_one(f) for f in findings]
    head = {"experiment": experiment.name, "key": experiment.key}
    if not others:
        return head | first
    labelled = [f"{f.prepared.plan.label}: {sentence(f)}" for f in findings]
    alternatives = [{"label": f.prepared.plan.label} | o for f, o in zip(findings[1:], others, strict=True)]
    return (
        head
        | {"label": findings[0].prepared.plan.label}
        | first
        | {"sentence": " ".join(labelled), "alternatives": alternatives}
    )


def _one(finding: Finding) -> dict:
    plan, required = finding.prepared.plan, finding.required
    n = required.reference_n
    at_planning = [
        None if n is None else round(finding.at("planning_value", n, v), 6) for v in ("success", "success_mcse")
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
        "dose_outside_evidence": finding.prepared.extrapolates,
        "sentence": sentence(finding),
    }


def sentence(finding: Finding) -> str:
    """Say the answer of one plan in a sentence or two."""
    plan, required, unit = finding.prepared.plan, finding.required, finding.prepared.unit
    metric, target = plan.search.target.metric, percent(plan.search.target.value)
    goal = {
        "assurance": f"{target} assurance of showing a gain at {plan.trial.month:g} months in a new study",
        "power": f"{target} power to show a gain of {plan.search.planning_value:g} {unit}",
    }[metric]
    plateau = f"{percent(required.plateau)} (MCSE {percent(required.plateau_mcse)})"
    share = percent(plan.search.interval_prob)
    nearly = required.n_at_95_plateau
    most = f"{children(plan.trial, nearly)} give 95 % of that" if nearly else "it is out of reach of any size searched"
    if required.n is not None:
        low, high = required.interval
        range_ = f"{low} to {high}" if high else f"{low} to no upper limit"
        text = (
            f"{children(plan.trial, required.n).capitalize()} ({share} Monte Carlo interval {range_}; "
            f"{sum(plan.trial.sizes(required.n).values())} in all) give {goal}"
        )
        if metric == "power":
            assurance = percent(finding.at("new_study", required.n))
            error = percent(finding.at("new_study", required.n, "success_mcse"))
            text += f"; whether that effect is there is another question: the assurance is {assurance} (MCSE {error})."
        else:
            text += f"; the plateau, which no number of children can pass, is {plateau}."
    elif required.plateau <= plan.search.target.value:
        text = f"No number of children gives {goal}: the plateau is {plateau}, and {most}."
    else:
        limit = plan.search.max_n_per_arm
        text = f"Up to {limit} children per arm do not give {goal}; the plateau is {plateau}, and {most}."
    if finding.prepared.extrapolates:
        low, high = finding.prepared.observed_doses
        dose = plan.trial.active.dose
        text += f" The dose {dose:.3g} per kg lies outside the {low:.3g} to {high:.3g} studied: an extrapolation."
    return text


def children(trial: Parallel, n: int) -> str:
    """Say how many children each arm has at n."""
    sizes = trial.sizes(n)
    if len(set(sizes.values())) == 1:
        return f"{n} children per arm"
    return " and ".join(f"{size} {name}" for name, size in sizes.items()) + " children"


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
