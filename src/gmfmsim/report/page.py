"""report.html: one self-contained page, the answer first, every figure traced to its rows."""

from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from gmfmsim import DISCLAIMER, __version__
from gmfmsim.experiment import Experiment
from gmfmsim.model.priors import Fixed, LogNormal
from gmfmsim.report.answer import Finding, children, headline, percent, sentence, warnings
from gmfmsim.report.evidence import READING_WORDS, doubts, small_study, trials
from gmfmsim.report.figures import save_figures
from gmfmsim.trial.closed_form import sample_size

CAPTIONS = {
    "curves": "Probability of success against the number of children. Bands: 95 % Monte Carlo error. "
    "Black line: target; grey bar: Monte Carlo interval of the required n. The curve of a new study tends to "
    "its plateau, the probability that the effect of that study is above zero at all.",
    "forest": "Every contrast as reported (grey), by cells and route, and as the model sees it (blue), which borrows "
    "strength from the other studies. A new study: 95 % prediction interval for the effect in the next trial. "
    "* reported on another GMFM scale: drawn after multiplication with the posterior mean of r. "
    "\u2020 standard error not known: drawn at its median.",
    "funnel": "Reported effects against their standard errors. Dots in the white would be significant at 1 %, in the "
    "grey at 5 %. A slope of the dashed line says that less certain trials report other effects than certain ones: "
    "reporting bias, or small trials that differ in cells, route, care or scale.",
    "published": "The published estimate, read as a normal distribution, and the effect in a new study with the "
    "published heterogeneity: 95 % intervals.",
    "dose_response": "Effect against dose: the mean of studies and, wider, a new study. "
    "Doses under hatching were not studied.",
}


def write_report(folder: Path, experiment: Experiment, findings: list[Finding]) -> None:
    """Draw the figures of every plan into folder/figures and write folder/report.html."""
    sections = []
    for i, finding in enumerate(findings):
        place = folder / finding.folder(i) / "figures"
        figures = [
            {
                "name": name,
                "svg": _inline(place / f"{name}.svg", f"{finding.prepared.slug}-{name}"),
                "caption": CAPTIONS[name],
            }
            for name in save_figures(place, finding)
        ]
        if finding.prepared.published:
            next(f for f in figures if f["name"] == "forest")["caption"] = CAPTIONS["published"]
        sections.append(_section(finding) | {"figures": figures})
    environment = Environment(
        loader=PackageLoader("gmfmsim", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    page = environment.get_template("page.html.j2").render(
        experiment=experiment,
        sections=sections,
        disclaimer=DISCLAIMER,
        version=__version__,
    )
    (folder / "report.html").write_text(page, encoding="utf-8")


def _inline(path: Path, prefix: str) -> str:
    """Return an SVG to stand inside a page: no XML prologue, ids made unique by a prefix."""
    svg = path.read_text(encoding="utf-8")
    svg = svg[svg.index("<svg") :]
    for mark in ('id="', 'href="#', "url(#"):
        svg = svg.replace(mark, f"{mark}{prefix}-")
    return svg


def _section(finding: Finding) -> dict:
    """Return what the page says of one plan."""
    prepared, plan, required = finding.prepared, finding.prepared.plan, finding.required
    return {
        "label": plan.label,
        "slug": prepared.slug,
        "plan": plan,
        "required": required,
        "observed_doses": prepared.observed_doses,
        "observed_months": prepared.observed_months,
        "uses_dose": prepared.curve.uses_dose,
        "headline": headline(finding),
        "sentence": sentence(finding),
        "warnings": warnings(prepared),
        "unit": prepared.unit,
        "size": children(plan.trial, required.reference_n) if required.reference_n else "",
        "sd_change": _spread(plan.trial.sd_change, prepared.unit),
        "at_reference": _at_reference(finding),
        "effects": _effects(finding),
        "plug_in": _plug_in(finding),
        "curve_rows": _curve_rows(finding),
        "parameters": _parameters(finding),
        "priors": []
        if prepared.model is None
        else [
            {"name": k, "prior": str(v), **v.model_dump(include={"unit", "reason"})}
            for k, v in prepared.model.priors.items()
        ],
        "model_title": prepared.model.title if prepared.model else "Published pooled estimate, no model fitted",
        "gate": finding.gate,
        "trials": trials(prepared),
        "doubts": doubts(prepared),
        "small_study": small_study(finding),
        "readings": [
            row | {"name": READING_WORDS.get(row["reading"]), "answer": _short_answer(row)} for row in finding.readings
        ],
        "combinations": 1 if prepared.contrasts is None else prepared.contrasts.sizes.get("reading", 1),
        "published": prepared.published,
        "replicates": finding.surface.attrs["replicates"],
    }


def _at_reference(finding: Finding) -> list[dict]:
    """Return success in every scenario at the n that the answer is about."""
    n = finding.required.reference_n
    if n is None:
        return []
    planning = f"{finding.prepared.plan.search.planning_value:g} {finding.prepared.unit}"
    words = {
        "new_study": "assurance: success in a new study, heterogeneity included",
        "pooled_mean": "assurance on the mean of studies, tau left out",
        "planning_value": f"power at the planning value of {planning}",
        "null": "false claim of benefit if there is no effect (nominal: half of alpha)",
    }
    rows = [
        {"what": text, "value": finding.at(s, n), "mcse": finding.at(s, n, "success_mcse")} for s, text in words.items()
    ]
    both = finding.at("null", n) + finding.at("null", n, "harm")
    both_mcse = float(np.hypot(finding.at("null", n, "success_mcse"), finding.at("null", n, "harm_mcse")))
    rows.append({"what": "type I error, either direction (nominal: alpha)", "value": both, "mcse": both_mcse})
    rows.append(
        {
            "what": "significant harm in a new study",
            "value": finding.at("new_study", n, "harm"),
            "mcse": finding.at("new_study", n, "harm_mcse"),
        }
    )
    return rows


def _short_answer(row: dict) -> str:
    """Say the required n of one reading in a table cell."""
    if row["n"] is not None:
        low, high = row["n_interval"]
        return f"{row['n']} ({low} to {high or 'more'})"
    return {"few draws": "too few draws to say", "undecided": "not decided"}.get(row["why"], "not reached")


def _effects(finding: Finding) -> list[dict]:
    names = {"mean": "mean of studies", "new_study": "a new study (prediction interval)"}
    return [
        {"name": name, **{v: finding.effect[v].sel(kind=kind).item() for v in ("effect", "low", "high")}}
        for kind, name in names.items()
    ]


def _spread(sd: LogNormal | Fixed, unit: str) -> str:
    """Say what is assumed of the between-child SD of the change."""
    low, middle, high = (float(x) for x in sd.ppf(np.array([0.025, 0.5, 0.975])))
    known = "taken as known" if low == high else f"uncertain: {low:.2g} to {high:.2g} in 95 % ({sd})"
    return f"{middle:.3g} {unit}, {known}"


def _plug_in(finding: Finding) -> dict | None:
    """Return the plan that takes planning value and SD as known, by formula; None for a target below alpha/2."""
    plan = finding.prepared.plan
    if plan.search.target.value <= plan.analysis.alpha / 2:
        return None
    sd = float(plan.trial.sd_change.ppf(np.array(0.5)))
    control = sample_size(
        effect=plan.search.planning_value,
        sd=sd,
        power_target=plan.search.target.value,
        alpha=plan.analysis.alpha,
        ratio=plan.trial.active.ratio / plan.trial.control.ratio,
        method=plan.analysis.method,
    )
    n = int(np.ceil(control / plan.trial.control.ratio / (1 - plan.trial.dropout)))
    return {"sd": sd, "children": children(plan.trial, n)}


def _curve_rows(finding: Finding, most: int = 9) -> list[dict]:
    """Return the surface at a handful of n, the required one among them."""
    grid = finding.surface["n"].values
    wanted = {int(grid[i]) for i in np.linspace(3, len(grid) - 1, most).astype(int)} | {
        finding.required.reference_n or int(grid[-1])
    }
    scenarios = ("new_study", "pooled_mean", "planning_value")
    return [
        {
            "n": n,
            "marked": n == finding.required.n,
            "values": [(finding.at(s, n), finding.at(s, n, "success_mcse")) for s in scenarios],
        }
        for n in sorted(wanted)
    ]


def _parameters(finding: Finding) -> list[dict]:
    """Return mean, sd, 95 % equal-tailed interval, MCSE, R-hat and ESS of every scalar parameter."""
    if not finding.gate:
        return []
    import arviz as az

    posterior = finding.posterior["posterior"].to_dataset()
    names = [n for n, v in posterior.items() if set(v.dims) == {"chain", "draw"}]
    table = az.summary(finding.posterior, var_names=names, ci_prob=0.95, ci_kind="eti", round_to="none")
    return [{"name": name, "unit": posterior[name].attrs["unit"], **table.loc[name].to_dict()} for name in names]
