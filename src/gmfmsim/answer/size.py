"""The short way to n: exact posteriors and trials alone, nothing sampled, nothing written."""

from collections.abc import Iterator
from typing import Any

from gmfmsim.answer.posterior import posterior_of
from gmfmsim.answer.sizing import Sizing
from gmfmsim.answer.what_moves import in_children, what_moves
from gmfmsim.compute.text import percent, plain
from gmfmsim.faults import Fault, InputError
from gmfmsim.model.average import Member, refitted
from gmfmsim.model.exact import refusal
from gmfmsim.progress import Silent
from gmfmsim.question.plan import Prepared
from gmfmsim.question.question import Question
from gmfmsim.trial.exact import qualifies

NO_NUMBER = {
    "plateau": "no number of children",
    "limit": "no number up to search.max_n_per_arm",
    "undecided": "not decided whether any number",
    "time": "no number found in the time given",
}
"""What is said where there is no n."""


def size(question: Question, moves: bool, progress: Silent) -> dict[str, Any]:
    """Return the required n of every plan, and with `moves` what moves it and what lies behind it.

    As answer.json of a run: the first plan's figures first, the others' under `alternatives`. From exact posteriors
    where there are; a posterior that must be sampled is, and passes the gate. Raises InputError where there is no plan.
    """
    if not question.plans:
        raise InputError([Fault(question.name, "key rerun", "a review rerun has no n", "an experiment with a plan")])
    found, fits = [], {}
    for prepared in question.plans:
        sizing = Sizing(prepared, _members(prepared, fits, progress))
        required, trial = sizing.required(), prepared.plan.trial
        row = {
            "label": prepared.plan.label,
            "target": prepared.plan.search.target.model_dump(),
            "status": required.status,
            "why": required.why,
            "n_total": required.n and trial.total(required.n),
            "n_by_arm": required.n and trial.sizes(required.n),
            "plateau": required.plateau,
            "plateau_mcse": required.plateau_mcse,
        }
        if moves:
            row["sensitivity"] = in_children(what_moves(sizing, required), trial)
            row["distribution"] = sizing.behind(required)
        found.append(plain(row))
    first, *others = found
    head = {"experiment": question.name, "question": question.text}
    return head | first | ({"alternatives": others} if others else {})


def _members(prepared: Prepared, fits: dict, progress: Silent) -> list[Member]:
    """Return the models of a plan fitted exactly; as a run fits them where one is to be sampled or trials simulated.

    fits: those of the plans before it, added to. A simulated trial needs draws, which an exact fit alone has not.
    """
    data, trial = prepared.contrasts, prepared.plan.trial
    simulated = qualifies(trial, trial.analyses[0]) is not None or prepared.plan.sampler.engine == "nuts"
    if data is None or simulated or any(refusal(spec, data) for spec in prepared.models.values()):
        return posterior_of(prepared, fits, progress)
    return refitted(prepared.models, data, prepared.plan.model)


def in_lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield what `size` found as lines for a terminal."""
    for row in (found, *found.get("alternatives", ())):
        answer = f"{row['n_total']} children" if row["n_total"] else NO_NUMBER[row["why"]]
        yield (
            f"{row['label']}: {answer} for {percent(row['target']['value'])} {row['target']['metric']}; "
            f"plateau {percent(row['plateau'])}"
        )
        for moved in row.get("sensitivity", []):
            n = moved["n_total"] or "none"
            yield f"  {n:>8}  {moved['words']}"
        if behind := row.get("distribution"):
            power, own = behind["power_at_n"], behind["n_of_own_truth"]
            quantiles = ", ".join(f"{p}: {n or 'none'}" for p, n in own["quantiles"].items())
            yield (
                f"  power at this number is 80 % or more with {percent(power['at_least_80'])} probability, "
                f"below 50 % with {percent(power['below_50'])}"
            )
            yield (
                f"  children that the next study's own effect would need, quantiles: {quantiles}; "
                f"none would do with {percent(own['none'])} probability"
            )
