"""The answer of a plan in words: a few, a sentence or two, and what to know beside it. Totals stand first."""

import math

import xarray as xr

from gmfmsim.answer.plan import Answered
from gmfmsim.answer.what_moves import over_assumed
from gmfmsim.compute.text import percent
from gmfmsim.model.average import no_average
from gmfmsim.question.plan import Prepared
from gmfmsim.trial.design import Design

ABOVE = 3
"""MCSE by which a rate of false claims lies above the nominal one where it is said to."""


def headline(answer: Answered) -> str:
    """Say the answer of one plan in a few words."""
    plan, required = answer.prepared.plan, answer.required
    if required.why == "reached":
        return headed(plan.trial, required.n)
    return {
        "plateau": "No number of children reaches the target",
        "limit": f"Not reached by {headed(plan.trial, _most(answer))}",
        "time": "Not found in the time given" if required.n is None else f"At most {headed(plan.trial, required.n)}",
        "undecided": "Not decided: the plateau is at the target",
    }[required.why]


def sentence(answer: Answered) -> str:
    """Say the answer of one plan in a sentence or two."""
    plan, required, goal = answer.prepared.plan, answer.required, goal_of(answer.prepared)
    plateau = _with_mcse(required.plateau, required.plateau_mcse)
    limit, nearly = children(plan.trial, _most(answer)), required.n_at_95_plateau
    most = f"{children(plan.trial, nearly)} give 95 % of that" if nearly else f"{limit} do not give 95 % of that"
    if required.why == "reached":
        text = f"{_with_interval(answer)} give {goal}; {_beyond(answer, plateau)}.{_how_sure(answer)}"
    elif required.why == "plateau":
        text = f"No number of children gives {goal}: the plateau is {plateau}, and {most}."
    elif required.why == "time":
        text = f"No n that gives {goal} was found"
        if required.n:
            low, high = required.interval
            least, most_of = plan.trial.totals((low, high))
            smallest = f"is {most_of}" if low == high else f"lies from {least} to {most_of}"
            text = f"{children(plan.trial, high)} give {goal}, and the smallest number that does {smallest}"
        text += f": the search ended after {plan.search.max_seconds:g} s; the plateau is {plateau}."
    elif required.why == "limit":
        text = f"Even {limit} do not give {goal}; the plateau is {plateau}, and {most}."
    else:
        trials = f"{answer.surface.attrs['replicates']:,}"
        text = f"Whether any number of children gives {goal} is not decided by {trials} simulated trials: "
        text += f"the plateau is {plateau}, and {most}."
    return text + "".join(f" {warning}" for warning in warnings(answer))


def goal_of(prepared: Prepared) -> str:
    """Say what the children of a plan are to give: 80 % assurance of showing a gain at 12 months in a new study."""
    plan = prepared.plan
    target, month = percent(plan.search.target.value), f"{plan.trial.month:g} months"
    effect = f"{plan.search.planning_value:g} {prepared.unit}"
    return {
        "assurance": f"{target} assurance of showing {claimed(plan.trial)} at {month} in a new study",
        "power": f"{target} power to show {claimed(plan.trial, effect)}",
    }[plan.search.target.metric]


def _how_sure(answer: Answered) -> str:
    """Say between what numbers the answer moves with what is assumed, and how probably none would do."""
    words, trial = [], answer.prepared.plan.trial
    moved = (row["n"] and trial.total(row["n"]) for row in answer.moves)
    if over := over_assumed(trial.total(answer.required.n), moved):
        none = ", or to no number at all" if over["none"] else ""
        words.append(f"depending on what is assumed, from {over['low']} to {over['high']}{none}")
    if answer.behind and answer.prepared.plan.search.target.metric == "assurance":
        words.append(f"with {percent(answer.behind['n_of_own_truth']['none'])} probability no number would do")
    said = ", and ".join(words)
    return f" {said[0].upper()}{said[1:]}." if said else ""


def _most(answer: Answered) -> int:
    """Return the largest n that a search may look at."""
    plan = answer.prepared.plan
    return plan.trial.at_most(plan.search.max_n_per_arm)


def _with_interval(answer: Answered) -> str:
    plan, required = answer.prepared.plan, answer.required
    if required.interval is None:
        return children(plan.trial, required.n)
    low, high = plan.trial.totals(required.interval)
    interval = f"{low} to {high or f'more than {plan.trial.total(_most(answer))}'}"
    more = f"{percent(plan.search.interval_prob)} Monte Carlo interval {interval} in all"
    return children(plan.trial, required.n, more)


def _beyond(answer: Answered, plateau: str) -> str:
    """Say what a reached target does not: the plateau, or for power the assurance at the same n."""
    if answer.prepared.plan.search.target.metric == "assurance":
        return f"the plateau, its limit as n grows, is {plateau}"
    assurance = _with_mcse(*answer.at("new_study", answer.required.n))
    return f"whether that effect is there is another question: the assurance is {assurance}"


def _with_mcse(share: float, mcse: float | None) -> str:
    """Write a probability, with its Monte Carlo error where it was simulated."""
    simulated = mcse is not None and math.isfinite(mcse)
    return percent(share) + (f" (MCSE {percent(mcse)})" if simulated else "")


def claimed(trial: Design, effect: str = "") -> str:
    """Say what a trial that succeeds shows; effect: where its power is asked, the true effect in words."""
    objective = trial.objective
    if objective.claim == "superiority":
        return f"a gain of {effect}" if effect else "a gain"
    limit = f"{objective.margin:g} GMFM-66 points"
    words = {
        "non_inferiority": f"that the effect is not below -{limit}",
        "equivalence": f"that the effect lies within {limit} either way",
    }
    return words[objective.claim] + (f" where it is {effect}" if effect else "")


def worst_claims(rows: xr.Dataset) -> dict[str, dict]:
    """Return by analysis the largest rate of false claims over the settings of children, with its MCSE and setting.

    rows: type_one and type_one_mcse (setting, analysis). above: beyond the nominal rate by more than three MCSE.
    """
    found, nominal = {}, rows.attrs["nominal"]
    for label in rows["analysis"].values.tolist():
        of = rows.sel(analysis=label)
        worst = of.isel(setting=int(of["type_one"].values.argmax()))
        rate, mcse = worst["type_one"].item(), worst["type_one_mcse"].item()
        row = {"setting": worst["setting"].item(), "rate": rate, "mcse": mcse, "nominal": nominal}
        found[label] = row | {"above": rate > nominal + ABOVE * mcse}
    return found


def warnings(answer: Answered) -> list[str]:
    """Return what to know beside the answer, a sentence each.

    What of the trial lies outside the evidence; an average that is none; a posterior that sampling did not confirm.
    """
    found, none = extrapolations(answer.prepared), no_average(answer.members)
    unchecked = [m for m in answer.members if m.fit and m.fit.unchecked]
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
    if prepared.infusions_outside_evidence:
        least, most = prepared.observed_infusions
        was = f"{least:g}" if least == most else f"{least:g} to {most:g}"
        several = f"{trial.setting.infusions:g} infusions"
        found.append(f"{several} lie outside the {was} studied of these cells: an extrapolation.")
    return found


def asked_in_words(answer: Answered) -> list[str]:
    """Say the smallest detectable effect and the n of a precision, a sentence each, where the plan asks for them."""
    words, asked, trial = [], answer.asked, answer.prepared.plan.trial
    level = percent(answer.prepared.plan.search.interval_prob)
    if found := asked.get("detectable"):
        size, power = children(trial, found["n_per_arm"]), percent(found["power"])
        if found["effect"] is None:
            words.append(f"{size} have {power} power for no effect up to 40 points.")
        else:
            interval = ""
            if found["interval"] is not None:
                low, high = (f"{v:.2f}" if v is not None else "more" for v in found["interval"])
                interval = f" ({level} Monte Carlo interval {low} to {high})"
            words.append(
                f"The smallest effect that {size} detect with {power} power: {found['effect']:.2f} points{interval}."
            )
    if reached := [row for row in asked.get("by_month", []) if row["n_total"]]:
        best, months = min(reached, key=lambda row: row["n_total"]), [f"{row['month']:g}" for row in asked["by_month"]]
        words.append(
            f"Of endpoints at months {', '.join(months)} that at month {best['month']:g} asks for the fewest children: "
            f"{best['n_total']}."
        )
    if found := asked.get("precision"):
        width = f"an interval {found['width']:g} points wide on average"
        if found["n_per_arm"] is None:
            words.append(f"No number up to {children(trial, _most(answer))} gives {width}.")
        else:
            ends = trial.totals(found["n_interval"])
            interval = f"{level} Monte Carlo interval {ends[0]} to {ends[1] or 'more'} in all" if ends else ""
            words.append(f"{children(trial, found['n_per_arm'], interval)} give {width}.")
    return words


def children(trial: Design, n: int, more: str = "") -> str:
    """Say how many children there are at n, in brackets how many each arm has, and `more`."""
    within = "; ".join(filter(None, (_by_arm(trial, n), more)))
    return f"{trial.total(n)} children" + (f" ({within})" if within else "")


def headed(trial: Design, n: int) -> str:
    """Say it without brackets: 412 children, 206 an arm; 282 children: 188 cells, 94 control."""
    arms = _by_arm(trial, n)
    return f"{trial.total(n)} children" + (f"{':' if ', ' in arms else ','} {arms}" if arms else "")


def _by_arm(trial: Design, n: int) -> str:
    sizes = trial.sizes(n)
    if len(sizes) == 1:
        return ""
    if trial.unit > trial.step:
        return f"{n} {trial.UNIT}"
    if len(set(sizes.values())) == 1:
        return f"{n} an arm"
    return ", ".join(f"{size} {name}" for name, size in sizes.items())
