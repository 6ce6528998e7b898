"""report.html of plans: one self-contained page, the answer first, every figure traced to its rows."""

import numpy as np
import xarray as xr

from gmfmsim.answer.result import Result
from gmfmsim.compute.text import figure, percent
from gmfmsim.report.designs import design_figures, design_section
from gmfmsim.report.figures import Drawn, figures_of, forest_labels
from gmfmsim.report.html import draw, write_page
from gmfmsim.report.labels import with_key

CAPTIONS = {
    "curves": "Probability of success against the number of children in all. Bands: 95 % Monte Carlo error. "
    "Black line: target; grey bar: Monte Carlo interval of the required number. The curve of a new study tends to "
    "its plateau, the probability that the effect of that study is above zero at all.",
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
DATASETS = ("surface", "effect", "contrasts", "dose_response", "type_one", "children")


def plans_page(result: Result) -> None:
    """Draw the figures of every plan into its folder and write report.html."""
    sections = []
    for i, (answer, folder) in enumerate(result.plans):
        plan = Drawn(answer, {name: result.data(name, i) for name in DATASETS if result.has(name, i)})
        place, prefix = folder / "figures", f"{answer['slug']}-"
        forest = CAPTIONS["published" if answer["evidence"]["published"] else "forest"]
        captions = CAPTIONS | {"forest": with_key(forest, forest_labels(plan))}
        drawn = draw(place, figures_of(plan), prefix)
        figures = [{"svg": svg, "caption": captions[name]} for name, svg in drawn.items()]
        design = None
        if answer["design"]:
            design = design_section(plan, draw(place, design_figures(plan), prefix))
        rows = _curve_rows(answer, plan.data["surface"])
        more = {"figures": figures, "design": design, "curve_rows": rows, "cells": _short_answers(answer)}
        sections.append(answer | more)
    if len(sections) > 1:
        sections[0]["sentence"] = sections[0]["own_sentence"]
    filters = {"percent": percent, "figure": figure}
    write_page(result.report, "page.html.j2", filters, answer=result.answer, sections=sections)


def _short_answers(answer: dict) -> list[str]:
    """Say the required number of children under each reading in a table cell."""
    words = {"few draws": "too few draws to say", "undecided": "not decided", "not simulated": "not simulated"}
    return [
        words.get(row["why"], "not reached")
        if row["n_total"] is None
        else f"{row['n_total']} ({row['n_total_interval'][0]} to {row['n_total_interval'][1] or 'more'})"
        for row in answer["readings"]
    ]


def _curve_rows(answer: dict, surface: xr.Dataset, most: int = 9) -> list[dict]:
    """Return the surface at a handful of n, the required one among them."""
    grid, at = surface["n"].values, surface.isel(analysis=0)
    places = np.linspace(min(3, max(0, len(grid) - most)), len(grid) - 1, most).astype(int)
    reference = answer["reference"]["n"] if answer["reference"] else int(grid[-1])
    scenarios = ("new_study", "pooled_mean", "planning_value")
    return [
        {
            "total": at["randomised"].sel(n=n).item(),
            "marked": n == answer["n_per_arm"],
            "values": [[at[v].sel(scenario=s, n=n).item() for v in ("success", "success_mcse")] for s in scenarios],
        }
        for n in sorted({*grid[places].tolist(), reference})
    ]
