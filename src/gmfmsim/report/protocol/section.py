"""The sample-size section of a protocol, from the answer of a plan: what DELTA2 (Cook 2018) asks for, item by item."""

from collections.abc import Iterator

from gmfmsim import DISCLAIMER
from gmfmsim.compute.text import decimals, percent
from gmfmsim.faults import Fault, InputError
from gmfmsim.report.protocol.blocks import Block, Paragraph, bullets, grid, heading, paragraph, texts
from gmfmsim.report.protocol.document import Document
from gmfmsim.report.protocol.limits import evidence_limits, extremes, moved
from gmfmsim.report.protocol.method import how_found, law_in_words, models_in_words, several_tests
from gmfmsim.report.protocol.references import cited_in
from gmfmsim.trial.design import in_cells

NO_NUMBER = {
    "plateau": "No number of children gives {goal}.",
    "limit": "No number of children up to the limit of the search gives {goal}.",
    "undecided": "Whether any number of children gives {goal} is not decided by the simulated trials.",
    "time": "No number of children that gives {goal} was found in the time given.",
}
"""What stands in the place of a sample size where there is none."""

KINDS = {
    "sd": "SD of the change",
    "dropout": "drop-out",
    "structure": "model of the evidence",
    "without study": "a study left out",
    "missing": "an unreported trial, its result supposed",
    "cells": "cells of the evidence",
    "route": "route in the evidence",
    "month": "month of the evidence",
    "r": "ratio of scales r",
    "prior": "a prior",
    "reading": "reading of the evidence",
    "bias": "bias of reports or small studies",
}
"""The kinds of changed assumptions, in the order in which they are told."""


def section(answer: dict, position: int = 0) -> Document:
    """Return the sample-size section of a plan of a result: `answer` is its answer.json, `position` that of the plan.

    Nothing is computed. Raises InputError where the answer has no plan, or was written before it could say all this.
    """
    plan = [answer, *answer.get("alternatives", [])][position]
    source = _source(answer)
    if "protocol" not in plan:
        whole = answer["kind"] == "plans"
        problem = "was written by an earlier version" if whole else "has no plan and so no sample size"
        allowed = "the result of an experiment with a plan" + "; run it again with --force" * whole
        raise InputError([Fault(source, "answer.json", problem, allowed)])
    facts = plan["protocol"]
    blocks: list[Block] = [heading(1, _title(plan)), *_lead(plan), _at_a_glance(plan, source)]
    for part in (_outcome, _difference, _spread, _levels, _children, _analysis, _method):
        blocks += part(plan)
    blocks += [paragraph(_software(plan, source)), *_sensitivity(plan), *_others(answer, position)]
    blocks += [heading(2, "Assumptions and their sources"), _assumptions(plan)]
    blocks += [heading(2, "Limits of the evidence"), bullets(evidence_limits(plan))]
    blocks += [
        heading(2, "References"),
        bullets([*cited_in([text for block in blocks for text in texts(block)]), *_citations(facts)]),
        paragraph(DISCLAIMER),
    ]
    return Document(tuple(blocks), source)


def in_a_paragraph(answer: dict) -> str:
    """Return what a protocol says of the sample size of the first plan in one paragraph."""
    parts = (_lead(answer), list(_spread(answer))[:2], list(_levels(answer))[:2], list(_analysis(answer))[:2])
    words = [block.text for part in parts for block in part if isinstance(block, Paragraph)]
    return " ".join([*words, _software(answer, _source(answer))])


def _source(answer: dict) -> str:
    """Return the result that the figures are from."""
    return f"{answer['experiment']}/{answer['key']}"


def _title(plan: dict) -> str:
    return "Sample size" + (f": {plan['label']}" if plan["label"] != "main" else "")


def _citations(facts: dict) -> list[str]:
    """Return the sources of the evidence, by the name that the tables have for each."""
    return [f"{name}: {citation}" for name, citation in sorted(facts["citations"].items())]


def _simulated(value: float | None, mcse: float | None) -> str:
    """Write a probability, with its Monte Carlo standard error where it was simulated."""
    return percent(value) + (f" (MCSE {percent(mcse)})" if mcse is not None else "")


def _lead(plan: dict) -> Iterator[Block]:
    """Say the number and what it gives, or that there is none."""
    if plan["n_total"] is None:
        words = NO_NUMBER[plan["why"]].format(goal=plan["protocol"]["goal"])
        plateau = _simulated(plan["plateau"], plan["plateau_mcse"])
        limit = f"The limit of that probability as the number grows, the plateau, is {plateau}."
        none = "This section therefore states no sample size: target, design or claim have to change first."
        yield paragraph(words, limit, none, *plan["warnings"])
        return
    yield paragraph(plan.get("own_sentence", plan["sentence"]))
    if plan["n_total_interval"]:
        low, high = plan["n_total_interval"]
        ends, prob = f"{low} to {high or 'more'} children", percent(plan["interval_prob"])
        yield paragraph(
            f"The number was simulated: another seed may move it within {ends} ({prob} Monte Carlo interval).",
            "That is the error of computing it, not how uncertain the number is.",
        )


def _at_a_glance(plan: dict, source: str) -> Block:
    """Return the items of DELTA2 in a table."""
    trial, facts, unit = plan["trial"], plan["protocol"], plan["unit"]
    sd, n, value = trial["sd_of_change"], plan["n_total"], f"{plan['planning_value']:g} {unit}"
    arms = {arm["name"]: f"{arm['ratio']:g}" for arm in trial["arms"]}
    ratio = " : ".join(arms.values())
    by_arm = ", ".join(f"{size} {name}" for name, size in (plan["n_by_arm"] or {}).items())
    assured = plan["target"]["metric"] == "assurance"
    rows = [
        (
            "children randomised",
            "none stated: " + NO_NUMBER[plan["why"]].format(goal=facts["goal"]) if n is None else f"{n}",
        ),
        ("by arm", by_arm),
        ("allocation ratio", f"{ratio} ({' : '.join(arms)})" if len(arms) > 1 else "one arm"),
        ("primary outcome", f"GMFM-66 at month {trial['month']:g}"),
        ("target", facts["goal"]),
        ("target difference", _new_study(plan) if assured else f"{value}, taken as the truth"),
        ("planning value", value if assured else ""),
        ("SD of the change", sd["words"]),
        (
            "standardised",
            f"{plan['planning_value'] / sd['median']:.2f} SD ({value})" if unit.startswith("GMFM") else "",
        ),
        ("significance level", f"two-sided {facts['alpha']:g}"),
        (f"power at {value}", _simulated(plan["power"], plan["power_mcse"])),
        ("assurance in a new study", _simulated(plan["assurance"], plan["assurance_mcse"])),
        ("plateau of the assurance" if assured else "plateau", _simulated(plan["plateau"], plan["plateau_mcse"])),
        ("drop-out", percent(trial["dropout"])),
        ("children expected at the endpoint", "" if n is None else f"{facts['seen']:.0f}"),
        ("several tests", several_tests(facts)),
        ("software, result", f"gmfmsim {facts['version']}, {source}"),
    ]
    if n is None:  # what is said at a number belongs to none
        rows = [(what, said) for what, said in rows if not what.startswith(("power at", "assurance in"))]
    return grid(("item", "value"), [row for row in rows if row[1]])


def _outcome(plan: dict) -> Iterator[Block]:
    """Say the primary outcome and what the effect is the effect of."""
    facts, month = plan["protocol"], plan["trial"]["month"]
    unit = plan["unit"]
    estimand = f"The effect of {facts['contrast']} is the difference in the mean change to month {month:g}, in {unit}"
    if not facts["controlled"]:
        estimand = f"There is no control group: the effect is the mean change to month {month:g} beyond what the "
        estimand += f"analysis allows for children without cells, in {unit}"
    tests = {
        "share": "The primary analysis compares shares of children.",
        "rank": "The primary analysis compares ranks.",
    }
    yield heading(2, "Primary outcome")
    yield paragraph(
        facts["passages"]["visits"],
        f"{estimand}; a positive figure favours the cells (GMFM-66: Russell 2000).",
        tests.get(facts["scale"], ""),
        "Of intercurrent events the calculation has loss to follow-up alone; how others are handled, the estimand of "
        "the protocol has to say (ICH E9(R1)).",
    )


def _difference(plan: dict) -> Iterator[Block]:
    """Say the target difference, what it rests on, and what it is not."""
    facts, value = plan["protocol"], f"{plan['planning_value']:g} {plan['unit']}"
    yield heading(2, "Target difference and its justification")
    objective = facts["objective"]
    margin, relevant = objective["margin"], objective.get("decision_value")
    if plan["target"]["metric"] == "assurance":
        mean = next(e for e in plan["effects"] if e["kind"] == "mean")
        yield paragraph(
            "No single difference is taken as the truth. The calculation averages over what the effect may be in a new "
            f"study given the evidence ({facts['evidence']}): {_new_study(plan)}, the scatter between studies "
            f"included; the mean of studies is {_interval(mean)} {plan['unit']} (95 %).",
            "It is a difference that the evidence makes realistic.",
        )
        yield paragraph(f"For comparison, the planning value is {value}.", *_value_source(plan))
    else:
        yield paragraph(f"The target difference is {value}, taken as the truth.", *_value_source(plan))
        assurance = _simulated(plan["assurance"], plan["assurance_mcse"])
        if plan["n_total"] is not None:
            yield paragraph(
                f"Whether that difference is there is another question: over what the evidence says of a new study "
                f"({_new_study(plan)}), {plan['n_total']} children succeed with probability {assurance}."
            )
    yield paragraph(
        f"The margin is {margin:g} GMFM-66 points; the protocol has to justify it." if margin else "",
        f"Beside significance the estimate must lie above {relevant:g} points (Roychoudhury 2018)." if relevant else "",
        "Whether a difference of that size is important to children and families is not part of the calculation; the "
        "protocol has to say so (Cook 2018).",
    )


def _value_source(plan: dict) -> Iterator[str]:
    """Say where the planning value comes from."""
    facts, said = plan["protocol"], plan["protocol"]["planning_value_source"]
    if said:
        yield f"Its source: {said.rstrip('.')}."
    same = "; ".join(estimate["words"] for estimate in facts["estimates"])
    if same:
        yield f"It is the pooled estimate of {same}."
    if not (said or same):
        yield "The experiment does not say its source (search.planning_value_source); the protocol has to."


def _interval(row: dict) -> str:
    return f"{decimals(row['effect'])} ({decimals(row['low'])} to {decimals(row['high'])})"


def _new_study(plan: dict) -> str:
    """Say what the effect may be in a new study."""
    row = next(e for e in plan["effects"] if e["kind"] == "new_study")
    return f"mean {decimals(row['effect'])}, 95 % {decimals(row['low'])} to {decimals(row['high'])} {plan['unit']}"


def _spread(plan: dict) -> Iterator[Block]:
    """Say the SD and its source."""
    trial, source = plan["trial"], _of_figure(plan, "children.excess_sd")
    sd = trial["sd_of_change"]
    yield heading(2, "Standard deviation")
    excess = f"It follows from the SD of observed less expected change over 12 months, {trial['sd_change']}."
    yield paragraph(
        f"SD of the change to month {trial['month']:g}: {sd['words']}.",
        excess if "analysis" not in trial else "",
        f"Source: {source['source'].rstrip('.')} ({source['verified']}).",
        f"In a further trial it would be {sd['in_evidence']['words']}." if sd["in_evidence"] else "",
    )


def _of_figure(plan: dict, key: str) -> dict:
    return next(row for row in plan["protocol"]["sources"] if row["key"] == key)


def _levels(plan: dict) -> Iterator[Block]:
    """Say level, power and assurance, and false claims where they were looked at."""
    facts, n = plan["protocol"], plan["n_total"]
    yield heading(2, "Significance level, power and assurance")
    figures = ""
    if n is not None:
        power = _simulated(plan["power"], plan["power_mcse"])
        assurance = _simulated(plan["assurance"], plan["assurance_mcse"])
        figures = f"With {n} children the power at {plan['planning_value']:g} {plan['unit']} is {power}, and the "
        figures += (
            f"assurance, the probability of success averaged over what the evidence says, {assurance} (O'Hagan 2005)."
        )
    yield paragraph(f"Tests are two-sided at level {facts['alpha']:g}. The target is {facts['goal']}.", figures)
    if worst := plan.get("largest_false_claim_rate"):
        primary = plan["analyses"][0]["analysis"]
        yield paragraph(
            f"Without any effect the primary analysis claims one in {percent(worst[primary])} of simulated trials in "
            f"the worst of the settings of children that were looked at (nominal {percent(facts['alpha'] / 2)})."
        )


def _children(plan: dict) -> Iterator[Block]:
    """Say who is enrolled, how they come to arms, and how many are lost."""
    facts, trial = plan["protocol"], plan["trial"]
    passages, n = facts["passages"], plan["n_total"]
    unequal = len({arm["ratio"] for arm in trial["arms"]}) > 1
    seen = ""
    if n is not None and trial["dropout"]:
        seen = f"Drop-out is in the number: of {n} randomised about {facts['seen']:.0f} are expected at the endpoint."
    yield heading(2, "Children, allocation and drop-out")
    yield paragraph(
        *(passages.get(part, "") for part in ("children", "arms", "own")),
        "The allocation is unequal; the protocol has to say why." if unequal else "",
    )
    yield paragraph(passages["losses"], seen)


def _analysis(plan: dict) -> Iterator[Block]:
    facts = plan["protocol"]
    yield heading(2, "Statistical analysis")
    yield paragraph(*(facts["passages"].get(part, "") for part in ("success", "looks", "analyses")))
    yield paragraph(f"Several tests: {several_tests(facts)}.")


def _method(plan: dict) -> Iterator[Block]:
    yield heading(2, "Method and software")
    yield paragraph("The section reports what DELTA2 asks for (Cook 2018).", how_found(plan), law_in_words(plan))
    yield paragraph(*models_in_words(plan))


def _software(plan: dict, source: str) -> str:
    facts = plan["protocol"]
    return (
        f"Software: gmfmsim {facts['version']}; result {source}, seed {facts['seed']}. The same configuration gives "
        "the same key and the same number."
    )


def _sensitivity(plan: dict) -> Iterator[Block]:
    """Say between what numbers the answer moves."""
    rows, n = plan["sensitivity"], plan["n_total"]
    yield heading(2, "How the number moves with what is assumed")
    if not rows:
        yield paragraph("It was not computed how the number moves: it is simulated, or nothing was to be changed.")
    else:
        yield paragraph(
            "One assumption is changed at a time, all else as above; of each kind the fewest and the most children.",
            "Models are fitted again where the change asks for it: those numbers are right to about 1 %.",
        )
        table = [("as assumed", str(n or "none"), "")]
        for kind, words in KINDS.items():
            if of_kind := [row for row in rows if row["changed"] == kind]:
                fewest, most = extremes(of_kind)
                table.append((words, moved(fewest), moved(most) if most is not fewest else ""))
        yield grid(("what is changed", "fewest children", "most children"), table)
    if behind := plan["distribution"]:
        power, none = behind["power_at_n"], behind["n_of_own_truth"]["none"]
        enough, few = percent(power["at_least_80"]), percent(power["below_50"])
        at = (
            f"At {plan['n_total']} children its power is 80 % or more with {enough} probability, below 50 % with {few}."
        )
        yield paragraph(
            "The next study has an effect of its own.",
            at if n else "",
            f"With {percent(none)} probability that effect is such that no number of children would do.",
        )


def _others(answer: dict, position: int) -> Iterator[Block]:
    """Return the other plans of the same question."""
    plans = [answer, *answer.get("alternatives", [])]
    others = [plan for i, plan in enumerate(plans) if i != position]
    if others:
        yield heading(2, "Other plans of the same question")
        goal = "{} {}"
        yield grid(
            ("plan", "children in all", "target"),
            [
                (p["label"], p["headline"], goal.format(percent(p["target"]["value"]), p["target"]["metric"]))
                for p in others
            ],
        )


def _assumptions(plan: dict) -> Block:
    """Return every assumption with its value and source."""
    facts = plan["protocol"]
    rows = [
        ("effect in a new study", _new_study(plan), facts["evidence"]),
        ("planning value", f"{plan['planning_value']:g} {plan['unit']}", " ".join(_value_source(plan))),
        *((f"dose of {a['name']}", in_cells(a["dose"]), "this plan") for a in plan["trial"]["arms"] if a["dose"]),
    ]
    if plan["trial"]["setting"]:
        rows.append(("setting", plan["trial"]["setting"], "this plan"))
    for row in facts["sources"]:
        name = f"{row['name']} ({row['unit']})" if row["unit"] else row["name"]
        rows.append((name, row["value"], f"{row['source']} ({row['verified']})"))
    return grid(("assumption", "value", "source"), rows)
