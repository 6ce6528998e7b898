"""report.html of plans: one self-contained page, the answer first, every figure traced to its rows."""

from gmfmsim.answer.result import Result
from gmfmsim.answer.tables import checks, gate, parameters
from gmfmsim.compute.text import percent
from gmfmsim.progress import Steps
from gmfmsim.report.designs import design_figures, design_section
from gmfmsim.report.figures import Drawn, figures_of, forest_labels
from gmfmsim.report.html import draw, filled
from gmfmsim.report.labels import with_key
from gmfmsim.report.plan_tables import tables_of

CAPTIONS = {
    "curves": "Probability of success against the number of children in all. Black line: target. The curve of a new "
    "study tends to its plateau, the probability that the effect of that study is above zero at all.",
    "curves, simulated": "Probability of success against the number of children in all. Bands: 95 % Monte Carlo error. "
    "Black line: target; grey bar: Monte Carlo interval of the required number. The curve of a new study tends to "
    "its plateau, the probability that the effect of that study is above zero at all.",
    "tornado": "Children in all with one assumption changed at a time, each model fitted again, the largest change "
    "first. Black line: the answer. Orange: more children, blue: fewer.",
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
}
ALWAYS = ("surface", "effect")
SOMETIMES = ("contrasts", "dose_response", "type_one", "children")
"""What stands beside the answer of a plan: always, and where there is such."""


def plans_page(result: Result, advance: Steps) -> None:
    """Draw the figures of every plan into its folder and write report.html."""
    sections = [_section(result, i, advance) for i in range(len(result.plans))]
    if len(sections) > 1:
        sections[0]["sentence"] = sections[0]["own_sentence"]
    page = filled("page.html.j2", answer=result.answer, sections=sections, percent=percent)
    result.report.write_text(page, encoding="utf-8")


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
    drawn = draw(place, figures_of(plan), prefix, advance)
    designed = design_section(plan, draw(place, design_figures(plan), prefix, advance)) if answer["design"] else None
    return answer | {
        "figures": [{"svg": svg, "caption": captions[name]} for name, svg in drawn.items()],
        "design": designed,
        "tables": tables_of(answer, plan.data["surface"]),
        "fitted": [
            m | {"tables": {"parameters": parameters(m), "gate": gate(m["gate"])}}
            for m in answer["models"]
            if m["engine"] != "published"
        ],
        "checks": [c | {"tables": checks(c)} for c in answer["checks"]],
    }
