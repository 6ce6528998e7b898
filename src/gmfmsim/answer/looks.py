"""What the looks of a trial do: where they stop it, how often, and with how many children on average."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import special

from gmfmsim.answer.sizing import SUCCESS, Sizing
from gmfmsim.compute.text import percent
from gmfmsim.dist.mixture import NormalMixture
from gmfmsim.model.truths import known
from gmfmsim.question.plan import Plan
from gmfmsim.trial import exact
from gmfmsim.trial.exact.statistic import statistic
from gmfmsim.trial.looks.bounds import bounds, conditional_power, critical, predictive_power
from gmfmsim.trial.looks.crossing import OUTCOMES
from gmfmsim.trial.recruitment import enrolled_by, months_to
from gmfmsim.trial.size import SCENARIO

POINTS = 41
"""True effects at which a trial with looks is shown."""

WORDS = {
    "assurance": "in a new study",
    "power": "at the planning value",
    "false_claims": "without an effect",
}
"""The scenarios in which stopping is told, by their name in SUCCESS."""


def looks_record(sizing: Sizing, n: int) -> dict[str, Any]:
    """Return what the looks of a plan do at n, nothing simulated.

    bounds: of each look its share of children, the children due and, where recruitment is declared, months from the
    first centre on and children randomised by then, at the mean rate; upper and lower statistics, None where there is
    none, the one-sided level and, at the median SD of change, the estimate in points at the upper bound; at the lower
    bound conditional power at the planning value, and predictive power, over what the evidence and the trial until then
    say of the effect. scenarios: of each that is known without sampling the probabilities of OUTCOMES by look, and the
    children randomised, and months, on average when the trial stops. n_without_looks: children in all who reach the
    same target with no look, None where that is not known without sampling, or none do. over_effect: children on
    average and success at true effects. corrected: whether the law at the looks is, see `trial.exact.looks`.
    """
    plan = sizing.prepared.plan
    trial, looks = plan.trial, plan.trial.looks
    test = statistic(trial, trial.analyses[0])
    due = [sum(row) for row in looks.due(test.sizes(n))]
    computed = {SUCCESS[name]: words for name, words in WORDS.items() if sizing.computed(SUCCESS[name])}
    over = {name: exact.Assurance(trial, trial.analyses[0], sizing.belief(name)) for name in computed}
    believed = over["new_study"].mixture if "new_study" in over else None
    rows = [_bound(plan, believed, n, k, children) for k, children in enumerate(due)]
    randomised, months = (np.array([row[name] for row in rows]) for name in ("randomised", "months"))
    scenarios = []
    for name, words in computed.items():
        stops = over[name].stopping(n)
        of_outcomes = {what: row.tolist() for what, row in zip(OUTCOMES, stops, strict=True)}
        average = {"expected_n": _average(stops, randomised), "stops_early": float(stops[:, :-1].sum())}
        average["expected_months"] = _average(stops, months) if plan.recruitment else None
        scenarios.append({"scenario": name, "words": words} | of_outcomes | average)
    return {
        "n_total": trial.total(n),
        "n_without_looks": _without_looks(sizing),
        "over_effect": list(_over_effect(plan, n, randomised)),
        "corrected": not test.known,
        "calendar": plan.recruitment is not None,
        "bounds": rows,
        "scenarios": scenarios,
    }


def _bound(plan: Plan, believed: NormalMixture | None, n: int, look: int, children: int) -> dict[str, Any]:
    """Return the bounds of one look of a plan; believed: the effect in a new study, None where it is not computed."""
    trial, looks = plan.trial, plan.trial.looks
    found, test = bounds(looks, trial.alpha / 2), statistic(trial, trial.analyses[0])
    seen = [size * test.kept for size in looks.due(test.sizes(n))[look]]
    median = float(trial.sd_change.ppf(np.array(0.5)))
    sigma = float(test.sigma(np.array([median]))[0])
    se, df = sigma * math.sqrt(sum(1 / m for m in seen)), math.inf if test.known else max(sum(seen) - len(seen), 1)
    upper, lower, last = float(found.upper[look]), float(found.lower[look]), look == len(looks.at)
    never = math.isinf(upper)
    row = {
        "look": look + 1,
        "share": looks.shares[look],
        "due": children,
        "months": None,
        "randomised": children,
        "upper": None if never else upper,
        "level": None if never else float(special.ndtr(-upper)),
        "estimate": None if never else critical(upper, df).item() * se,
        "lower": lower if math.isfinite(lower) and not last else None,
        "conditional_power": None,
        "predictive_power": None,
    }
    if row["lower"] is not None:
        information = [share / looks.shares[look] / se**2 for share in looks.shares]
        effect = test.intercept + test.slope * plan.search.planning_value
        at_value = conditional_power(found, information, look, lower, np.array([effect]))
        row["conditional_power"] = at_value.item()
        if believed is not None:
            row["predictive_power"] = predictive_power(found, information, look, lower, believed)
    if plan.recruitment:
        row["months"] = months_to(trial, children, plan.recruitment) + (0 if last else looks.lag)
        row["randomised"] = min(trial.total(n), round(enrolled_by(trial, row["months"], plan.recruitment)))
    return row


def _average(stops: np.ndarray, by_look: np.ndarray) -> float:
    """Return a figure by look (K,) on average, for probabilities (3, K) to stop there; the rest go to the end."""
    at = stops.sum(axis=0)
    return float((at * by_look).sum() + (1 - at.sum()) * by_look[-1])


def _over_effect(plan: Plan, n: int, randomised: np.ndarray) -> Iterator[dict[str, float]]:
    """Yield children on average and success at true effects about nothing and the planning value."""
    value = plan.search.planning_value
    for effect in np.linspace(-value, 4 * value, POINTS).tolist():
        stops = exact.Assurance(plan.trial, plan.trial.analyses[0], known(effect)).stopping(n)
        yield {"effect": effect, "expected_n": _average(stops, randomised), "success": float(stops[0].sum())}


def _without_looks(sizing: Sizing) -> int | None:
    """Return the children in all with whom the trial reaches its target if it has no look."""
    search, scenario = sizing.prepared.plan.search, SCENARIO[sizing.prepared.plan.search.target.metric]
    if not sizing.computed(scenario):
        return None
    trial = sizing.prepared.plan.trial.model_copy(update={"looks": None})
    whole = exact.Assurance(trial, trial.analyses[0], sizing.belief(scenario))
    n = exact.smallest(whole, search.target.value, search.max_n_per_arm)
    return None if n is None else trial.total(n)


def in_sentences(found: dict[str, Any]) -> Iterator[str]:
    """Yield what `looks_record` found as sentences."""
    fewer = "; ".join(_fewer(row) for row in found["scenarios"])
    when = "randomised by the look at which it stops" if found["calendar"] else "due by the look at which it stops"
    yield f"At most {found['n_total']} children; {when}: {fewer}."
    if without := found["n_without_looks"]:
        yield f"Without looks {without} children reach the same target."
    if not found["calendar"]:
        yield (
            "Children who are recruited while others are followed up come on top: [recruitment] in the experiment says "
            "how many."
        )
    else:
        first = found["bounds"][0]
        yield (
            f"At the first look, after {first['months']:.0f} months at the mean rate of recruitment, {first['due']} "
            f"children have reached the endpoint and {first['randomised']} are randomised."
        )


def _fewer(row: dict[str, Any]) -> str:
    """Say how many children a trial takes on average in a scenario."""
    months = "" if row["expected_months"] is None else f" after {row['expected_months']:.0f} months"
    early = percent(row["stops_early"])
    return f"{row['words']} {row['expected_n']:.0f} on average{months} ({early} stop early)"
