"""A declared model before it is fitted: its mathematics, its priors, its graph, and what each engine can do."""

import textwrap
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

import numpy as np
import xarray as xr

from gmfmsim.dist.distributions import Distribution
from gmfmsim.evidence.contrasts import Selection, select_contrasts
from gmfmsim.evidence.read import read_tables
from gmfmsim.evidence.readings import read_contrasts
from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.exact import refusal
from gmfmsim.model.graph import Node, model_graph
from gmfmsim.model.priors.tau import OfTheErrors
from gmfmsim.model.priors.words import in_words
from gmfmsim.model.structure import Structure, not_known, structure
from gmfmsim.model.terms import TERMS

LINE = 100
"""Characters of a line of text, at most."""
BLOCKS = "▁▂▃▄▅▆▇█"
COLUMNS = 32
"""Characters of the plot of a density."""


class Outline(NamedTuple):
    """A density to draw: x (n,), density (n,) with 1 at its peak; on a log axis it is the density of log x."""

    x: np.ndarray
    density: np.ndarray
    on_log: bool


@dataclass(frozen=True)
class PriorRow:
    """The prior of one parameter, with its median and central 95 % interval.

    They are None for an improper prior, which is drawn from 0 to `reach`, and for one of standard errors not known.
    """

    name: str
    distribution: Distribution
    unit: str
    reason: str
    low: float | None
    median: float | None
    high: float | None
    reach: float

    @property
    def interval(self) -> str:
        """The central 95 % interval in words."""
        return "no interval" if self.low is None else f"{self.low:.3g} to {self.high:.3g}"

    def outline(self, points: int) -> Outline | None:
        """Return the density in the middle of `points` equal parts of the central 99 %.

        A positive parameter has a log axis where its quantiles are at least twice as symmetric there. None where the
        density is not known, or reaches beyond what a double can hold.
        """
        if isinstance(self.distribution, OfTheErrors):
            return None
        part = (np.arange(points) + 0.5) / points
        if self.low is None:
            return _outline(self.distribution, self.reach * part, on_log=False)
        low, middle, high = self.distribution.ppf([0.005, 0.5, 0.995])
        if not np.isfinite([low, high]).all() or low >= high:
            return None
        on_log = bool(low > 0) and _skew(*np.log([low, middle, high])) < _skew(low, middle, high) / 2
        x = low * (high / low) ** part if on_log else low + (high - low) * part
        return _outline(self.distribution, x, on_log)


@dataclass(frozen=True)
class Engine:
    """What an engine does with a model: why it cannot (or None), what it computes by number, what in closed form.

    By number means by quadrature for the exact engine, by sampling for nuts.
    """

    name: str
    why_not: str | None
    by_number: tuple[str, ...] = ()
    in_closed_form: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelDescription:
    """A model in words and figures.

    comment: head comment of its file; data: the contrasts that the rest refers to; nonlinear: the parameters given
    which the model is linear. The engines say what they do with it, the graph what PyMC makes of it (empty if nothing).
    """

    title: str
    comment: tuple[str, ...]
    mathematics: tuple[str, ...]
    priors: tuple[PriorRow, ...]
    words: tuple[str, ...]
    data: str
    nonlinear: tuple[str, ...]
    engines: tuple[Engine, ...]
    graph: tuple[Node, ...]


def describe(
    spec: ModelSpec, *, data: xr.Dataset | None = None, source: str = "", graph: bool = True
) -> ModelDescription:
    """Return what can be said of a declared model on a Dataset(contrast); nothing is fitted.

    data: by default the shipped contrasts that the model can use, see `shipped_contrasts`. source: the text of the
    model's file, for its head comment. Without `graph` PyMC is not imported.
    """
    kind, data = ("shipped ", shipped_contrasts(spec)) if data is None else ("", data)
    found = None if not_known(spec, data) else structure(spec, data)
    return ModelDescription(
        spec.title,
        head_comment(source),
        mathematics(spec),
        tuple(_prior_row(spec, name, found, reach=3 * float(data["se"].max())) for name in spec.parameters),
        tuple(in_words(priors_given(spec, found))),
        _data_words(data, kind),
        tuple(found.parameters) if found else (),
        _engines(spec, data, found),
        model_graph(spec, data) if graph and found and not _improper(found) else (),
    )


def shipped_contrasts(spec: ModelSpec) -> xr.Dataset:
    """Return the shipped primary contrasts for which all that a model needs is known, under all readings.

    For a curve of dose they are those of nucleated cells by vein, which share a scale of dose, unless the model tells
    classes of cells apart. Where none is left, all.
    """
    one_scale = spec.shape.uses_dose and "cell_class" not in spec.terms
    cells = {"cell_class": "TNC_MNC", "route": ["IV", "IV/IA"]} if one_scale else {}
    tables = read_tables()
    selected = select_contrasts(tables, Selection(default_use="primary", **cells))
    data = read_contrasts(selected, tables, "average")
    lacking = {name for _, names in not_known(spec, data) for name in names}
    kept = [i for i, name in enumerate(data["contrast"].values) if name not in lacking]
    return data.isel(contrast=kept, contrast_=kept) if kept else data


def priors_given(spec: ModelSpec, found: Structure | None) -> ModelSpec:
    """Return a model with those priors known that depend on the standard errors of the data."""
    return spec.model_copy(update={"priors": spec.priors | dict(found.parameters)}) if found else spec


def head_comment(source: str) -> tuple[str, ...]:
    """Return the comment lines at the head of a TOML file, without their marks."""
    lines = []
    for line in source.lstrip("\ufeff").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line[1:].removeprefix(" ").rstrip())
    return tuple(lines)


def _data_words(data: xr.Dataset, kind: str) -> str:
    studies, readings = len(set(data["study"].values.tolist())), data.sizes["reading"]
    under = f" under {readings} combinations of readings" if readings > 1 else ""
    return f"{data.sizes['contrast']} {kind}contrasts of {studies} studies{under}"


# mathematics


def mathematics(spec: ModelSpec) -> tuple[str, ...]:
    """Return the lines of a model, from the reported effects y up to a new study."""
    a = spec.shape.amplitude
    law = "StudentT(nu)" if spec.heterogeneity == "student_t" else "Normal(0, 1)"
    further = {name: letter for name, letter in (("tau_arm", "v"), ("tau_group", "g")) if name in spec.parameters}
    new = " + ".join([a, "tau z", *(f"{name} {letter}" for name, letter in further.items())])
    added = [
        TERMS[term].formula.replace("amplitude", f"{a}_c").replace("effect +=", "theta_c +=") for term in spec.terms
    ]
    return (
        "p(y_b) = sum_s w_bs MvNormal(y_bs; S theta_b, D V_bs D)",
        "  block b: contrasts that share a study or controls; s: readings of suspect figures, of prior weight w",
        "D = diag(exp(l_c u_i)),  u_i ~ Normal(0, 1)   l: SD of the log of a standard error that is not printed",
        "S = diag(s_c),  s_c = 1 on the GMFM-66, 1 / r on any other GMFM scale",
        f"theta_c = {a}_c (f(dose_c) - f(control dose_c))   contrast c of study i, GMFM-66 points",
        f"{a} f(dose) = {spec.shape.formula}   dose in cells/kg",
        f"{a}_c = {a} + tau z_i,  z_i ~ {law}",
        *added,
        f"in a new study: {new},  z ~ {law}" + "".join(f",  {letter} ~ Normal(0, 1)" for letter in further.values()),
    )


# priors


def _prior_row(spec: ModelSpec, name: str, found: Structure | None, reach: float) -> PriorRow:
    declared, prior = spec.priors[name], priors_given(spec, found).priors[name]
    known = prior.proper and not isinstance(prior, OfTheErrors)
    low, median, high = prior.ppf([0.025, 0.5, 0.975]).tolist() if known else (None, None, None)
    return PriorRow(name, prior, declared.unit, declared.reason, low, median, high, reach)


def _outline(prior: Distribution, x: np.ndarray, on_log: bool) -> Outline:
    log_density = prior.logpdf(x) + (np.log(x) if on_log else 0.0)
    return Outline(x, np.exp(log_density - log_density.max()), on_log)


def _skew(low: float, middle: float, high: float) -> float:
    """Return the skewness of quantiles, from 0 to 1 (Bowley 1901)."""
    return abs(low + high - 2 * middle) / (high - low)


def _plot(row: PriorRow) -> str:
    """Return the density of a prior in block characters between the ends of its axis."""
    outline = row.outline(COLUMNS)
    if outline is None:
        return "(cannot be drawn)"
    height = np.clip(np.ceil(outline.density * len(BLOCKS)).astype(int) - 1, 0, None)
    if row.low is None:
        low, high = 0.0, row.reach
    else:
        low, high = row.distribution.ppf([0.005, 0.995])
    return f"{low:.3g} {''.join(BLOCKS[h] for h in height)} {high:.3g}" + (" (log axis)" if outline.on_log else "")


# engines


def _improper(found: Structure) -> list[str]:
    """Return the parameters with improper priors, which nothing can sample."""
    return [name for name, prior in found.parameters.items() if not prior.proper]


def _engines(spec: ModelSpec, data: xr.Dataset, found: Structure | None) -> tuple[Engine, Engine]:
    """Return what the two engines can do."""
    if found is None:
        lacks = "; ".join(f"{what} is not known for {', '.join(names)}" for what, names in not_known(spec, data))
        return Engine("exact", lacks), Engine("nuts", lacks)
    coefficients = tuple(dict.fromkeys(c.variable for c in found.coefficients))
    pooled = {c.variable for c in found.coefficients if c.pooled}
    deviations = tuple(f"deviations by {level.name}" for level in found.levels)
    sizes = ("sizes of unknown standard errors",) if found.likelihood.uncertain_spread else ()
    sampled = [*found.parameters, *(f"{name}_offset" if name in pooled else name for name in coefficients)]
    sampled += ["dose_offset"] if "dose_error" in spec.terms else []
    sampled += ["study_precision"] if spec.heterogeneity == "student_t" else []
    sampled += ["spread_offset"] if sizes else []
    improper = [f"{name} has an improper prior" for name in _improper(found)]
    exact = Engine("exact", refusal(spec, data))
    if exact.why_not is None:
        exact = replace(exact, by_number=(*found.parameters, *sizes), in_closed_form=(*coefficients, *deviations))
    nuts = Engine("nuts", "; ".join(improper) or None)
    if not improper:
        nuts = replace(nuts, by_number=tuple(sampled), in_closed_form=deviations)
    return exact, nuts


# text and JSON


def as_text(description: ModelDescription) -> str:
    """Return a description as text for a terminal, a title over each part."""
    parts = {
        "In the file": description.comment,
        "Mathematics": description.mathematics,
        "Priors, with their central 95 % and their density over the central 99 %": _priors_text(description.priors),
        "What the priors say": [line for words in description.words for line in _wrapped(words)],
        f"Engines, on {description.data}": [line for text in engines_words(description) for line in _wrapped(text)],
        "Graph of the PyMC model": _graph_text(description.graph),
    }
    blocks = ["\n".join([head, *(f"  {line}".rstrip() for line in lines)]) for head, lines in parts.items() if lines]
    return "\n\n".join([description.title, *blocks]) + "\n"


def engines_words(description: ModelDescription) -> list[str]:
    """Say which parameters are non-linear and what each engine can do with the model: a line each."""
    names = description.nonlinear
    lines = [f"{len(names)} non-linear parameters: {', '.join(names)}"] if names else []
    for engine in description.engines:
        verb = "quadrature over" if engine.name == "exact" else "samples"
        closed = f"; in closed form: {', '.join(engine.in_closed_form)}" if engine.in_closed_form else ""
        able = f"yes, {verb} {', '.join(engine.by_number)}{closed}"
        lines.append(f"{engine.name}: {f'no, {engine.why_not}' if engine.why_not else able}")
    return lines


def as_json(description: ModelDescription) -> dict:
    """Return a description as plain values; what is not finite is None."""
    priors = [
        {
            "name": row.name,
            "distribution": str(row.distribution),
            "unit": row.unit,
            "central_95": [_finite(row.low), _finite(row.high)],
            "median": _finite(row.median),
            "reason": row.reason,
        }
        for row in description.priors
    ]
    return asdict(replace(description, priors=())) | {"priors": priors}


def _priors_text(rows: tuple[PriorRow, ...]) -> list[str]:
    lines = []
    for row in rows:
        lines += [*_wrapped(f"{row.name} ~ {row.distribution}"), f"  {row.interval} ({row.unit})", f"  {_plot(row)}"]
        lines += textwrap.wrap(row.reason, LINE - 2, initial_indent="  ", subsequent_indent="  ")
    return lines


def _graph_text(nodes: tuple[Node, ...]) -> list[str]:
    lines = []
    for node in nodes:
        law = f" ~ {node.distribution}" if node.distribution else ""
        arrow = f"  <- {', '.join(node.parents)}" if node.parents else ""
        kind = "" if node.kind == "sampled" else f" ({node.kind})"
        lines += _wrapped(f"{node.label}{kind}{law}{arrow}")
    return lines


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, LINE - 2, subsequent_indent="    ")


def _finite(x: float | None) -> float | None:
    return x if x is not None and np.isfinite(x) else None
