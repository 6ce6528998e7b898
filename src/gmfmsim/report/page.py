"""report.html of plans: one self-contained page, the answer first, every figure traced to its rows."""

from collections.abc import Callable
from functools import partial

from gmfmsim.answer.looks import in_sentences
from gmfmsim.answer.prior import in_sentences as of_prior
from gmfmsim.answer.resources import compared_in_words
from gmfmsim.answer.result import Result
from gmfmsim.answer.tables import checks, gate, parameters, thresholds
from gmfmsim.answer.value import in_sentences as of_value
from gmfmsim.compute.text import percent
from gmfmsim.progress import Steps
from gmfmsim.report.compared import compared_figure, compared_table, differs_table
from gmfmsim.report.designs import design_section
from gmfmsim.report.figures import Drawn, figures_of, forest_labels
from gmfmsim.report.html import draw, filled
from gmfmsim.report.labels import with_key
from gmfmsim.report.plan_tables import tables_of
from gmfmsim.report.protocol.section import in_a_paragraph, section

CAPTIONS = {
    "curves": "Probability of success against the number of children in all. Level line: target. The curve of a new "
    "study tends to its plateau, the probability that the effect of that study is above zero at all.",
    "curves, simulated": "Probability of success against the number of children in all. Bands: 95 % Monte Carlo error. "
    "Level line: target; grey bar: Monte Carlo interval of the required number. The curve of a new study tends to "
    "its plateau, the probability that the effect of that study is above zero at all.",
    "tornado": "Children in all with one assumption changed at a time. Each model is fitted again; the largest change "
    "stands first. Upright lines: the answer. Orange: more children, blue: fewer.",
    "looks": "A trial that may stop at its looks: children randomised on average, and probability of success, against "
    "the true effect. Dashed: the largest trial.",
    "prior": "Success of the analysis with its prior, and without, against the true effect. Shaded: the prior. Left of "
    "no effect success is a false claim.",
    "value": "What a trial is expected to be worth (blue), what it costs (orange, from low to high) and what is left "
    "(green, at the high ends of costs) against children in all. Below, of several doses: what is left of each by "
    "itself, without costs its worth.",
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
    "course": "Effect against month: the mean of studies and, wider, a new study, 95 %; grey, what was reported, "
    "several months of an arm joined, other GMFM scales multiplied by the posterior mean of r.",
}
ALWAYS = ("surface", "effect")
SOMETIMES = ("contrasts", "dose_response", "course", "type_one", "children")
"""What stands beside the answer of a plan: always, and where there is such."""


def plans_page(result: Result, advance: Steps) -> None:
    """Draw the figures of every plan into its folder and write report.html.

    Raises InputError for a result of an earlier version, which says less than the page does.
    """
    said = {"protocol": section(result.answer).fragment(3), "paragraph": in_a_paragraph(result.answer)}
    sections = [_section(result, i, advance) for i in range(len(result.plans))]
    sections[0]["sentence"] = sections[0].get("own_sentence", sections[0]["sentence"])
    values = {"sections": sections, "models": _distinct(sections, _of_model)}
    values["evidence"] = [(labels, s["evidence"], s) for labels, s in _distinct(sections, _of_evidence)]
    if found := result.answer.get("comparison"):
        values |= _compared(result, found)
    said["config"] = (result.folder / "config.toml").read_text(encoding="utf-8")
    page = filled("page.html.j2", answer=result.answer, percent=percent, **values, **said)
    result.report.write_text(page, encoding="utf-8")


def _compared(result: Result, found: dict) -> dict:
    """Return what the page shows of several plans side by side."""
    surfaces = [result.data("surface", i) for i in range(len(result.plans))]
    picture = compared_figure(result, found, surfaces, f"{result.answer['experiment']}: {result.answer['question']}")
    return {
        "cheapest": list(compared_in_words(result.answer)),
        "compared": compared_table(found),
        "differs": differs_table(found),
        "comparison": picture,
    }


def _distinct(sections: list[dict], of: Callable[[dict], object]) -> list[tuple[str, dict]]:
    """Return the first section of those that share a part, and the labels of these; none where all share it."""
    groups: dict[str, list[dict]] = {}
    for one in sections:
        groups.setdefault(repr(of(one)), []).append(one)
    several = len(groups) > 1
    return [("; ".join(s["label"] for s in of_one) if several else "", of_one[0]) for of_one in groups.values()]


def _of_model(section: dict) -> object:
    """Return what a section says of its model: fitted parameters, effects at the dose, checks."""
    return [section[name] for name in ("models", "effects", "checks", "weights")]


def _of_evidence(section: dict) -> object:
    """Return what a section says of the evidence, whatever is made of it."""
    return [section["evidence"][name] for name in ("trials", "findings", "notes", "published")]


def _section(result: Result, position: int, advance: Steps) -> dict:
    """Draw the figures of one plan and return what the page says of it."""
    answer, folder = result.plans[position]
    there = (*ALWAYS, *(name for name in SOMETIMES if result.has(name, position)))
    plan = Drawn(answer, {name: result.data(name, position) for name in there})
    place, prefix = folder / "figures", f"{answer['slug']}-"
    forest = CAPTIONS["published" if answer["evidence"]["published"] else "forest"]
    captions = CAPTIONS | {"forest": with_key(forest, forest_labels(plan))}
    if answer["trial_engine"] != "exact":
        captions["curves"] = captions["curves, simulated"]
    heading = f"{result.answer['experiment']}{', ' + answer['label'] if position else ''}: {answer['headline']}"
    how = {"prefix": prefix, "heading": heading, "advance": advance}
    figures = draw(place, figures_of(plan), captions, **how)
    design = answer["design"] and design_section(plan, partial(draw, place, **how))
    return answer | {
        "figures": figures,
        "design": design,
        "looks_in_words": list(in_sentences(answer["looks"])) if answer.get("looks") else [],
        "prior_in_words": list(of_prior(answer["prior"])) if answer.get("prior") else [],
        "value_in_words": list(of_value(answer["value"])) if answer.get("value") else [],
        "tables": tables_of(answer, plan.data["surface"]),
        "fitted": [
            m | {"tables": {"parameters": parameters(m), "threshold": thresholds(m), "gate": gate(m["gate"])}}
            for m in answer["models"]
            if m["engine"] != "published"
        ],
        "checks": [c | {"tables": checks(c)} for c in answer["checks"]],
    }
