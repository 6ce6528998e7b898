"""The answer of one plan as far as text of a protocol needs it: as `size` finds it, nothing sampled where exact engines
can answer, nothing written."""

from dataclasses import replace
from functools import partial
from typing import Any

from gmfmsim import DISCLAIMER
from gmfmsim.answer.course import sizing_of
from gmfmsim.answer.plan import Answered, effect_of
from gmfmsim.answer.posterior import fitted_models
from gmfmsim.answer.record import answer_in_brief
from gmfmsim.answer.what_moves import in_children, what_moves
from gmfmsim.progress import Silent
from gmfmsim.question.question import Question

OF_THE_TRIAL = {"sd", "dropout"}
"""The kinds of changed assumptions under which no model is fitted again."""

USUAL = 100
"""Children an arm at which a plan is shown that has no number, nor one that nearly reaches its plateau."""


def planned(question: Question, position: int, progress: Silent) -> dict[str, Any]:
    """Return what answer.json of a run says first of a plan, with what moves n as far as the trial alone decides it.

    The n is that of the run. Raises GateFailed as `size`.
    """
    prepared = question.plans[position]
    plan = prepared.plan
    sizing = sizing_of(prepared, partial(fitted_models, prepared, {}, progress))
    prepared = sizing.prepared
    with progress.steps("search for n") as advance:
        required = sizing.required(advance)
    n, members = required.reference_n or plan.trial.at_least(USUAL), sizing.members
    with progress.steps("power and assurance") as advance:
        surface = sizing.surface([n], advance, answer=n)
    effect = effect_of(prepared, members, sizing)
    behind = sizing.behind(required)
    answer = Answered(prepared, members, required, surface, [], effect, {}, [], [], behind, [], {})
    of_trial = [kind for kind in plan.sensitivity.changed if kind in OF_THE_TRIAL]
    few = plan.model_copy(update={"sensitivity": plan.sensitivity.model_copy(update={"changed": of_trial})})
    with progress.steps("what moves n") as advance:
        moves = what_moves(replace(sizing, prepared=replace(prepared, plan=few)), required, advance)
    brief = answer_in_brief(answer) | {"sensitivity": in_children(moves, plan.trial)}
    head = {"experiment": question.name, "key": question.key, "kind": "plans", "question": question.text}
    return head | brief | {"protocol": brief["protocol"] | {"partial": True}, "disclaimer": DISCLAIMER}
