"""A declared model before it is fitted: its mathematics, its priors, its graph, and what each engine can do."""

import textwrap
from dataclasses import asdict, dataclass, replace
from itertools import takewhile
from typing import NamedTuple

import numpy as np
import xarray as xr

from gmfmsim.dist.distributions import Distribution
from gmfmsim.evidence.contrasts import Selection, select_contrasts
from gmfmsim.evidence.read import read_tables
from gmfmsim.evidence.readings import read_contrasts
from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.exact import refusal
from gmfmsim.model.nuts import build
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
        part, on_log = (np.arange(points) + 0.5) / points, False
        if self.low is None:
            x = self.reach * part
        else:
            low, middle, high = self.distribution.ppf([0.005, 0.5, 0.995])
            if not np.isfinite([low, high]).all() or low >= high:
                return None
            on_log = bool(low > 0) and _skew(*np.log([low, middle, high])) < _skew(low, middle, high) / 2
            x = low * (high / low) ** part if on_log else low + (high - low) * part
        log_density = self.distribution.logpdf(x) + (np.log(x) if on_log else 0.0)
        return Outline(x, np.exp(log_density - log_density.max()), on_log)


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
class Node:
    """A variable of the PyMC model: kind (sampled, derived, observed, data), distribution, dims with sizes, parents."""

    name: str
    kind: str
    distribution: str
    dims: tuple[tuple[str, int], ...]
    parents: tuple[str, ...]

    @property
    def label(self) -> str:
        """The name with its dims."""
        return self.name + "".join(f"[{dim}: {size}]" for dim, size in self.dims)


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
    studies, readings = len(set(data["study"].values.tolist())), data.sizes["reading"]
    under = f" under {readings} combinations of readings" if readings > 1 else ""
    return ModelDescription(
        spec.title,
        head_comment(source),
        mathematics(spec),
        tuple(_prior_row(spec, name, found, reach=3 * float(data["se"].max())) for name in spec.parameters),
        tuple(in_words(priors_given(spec, found))),
        f"{data.sizes['contrast']} {kind}contrasts of {studies} studies{under}",
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
    comment = takewhile(lambda line: line.startswith("#"), source.lstrip("\ufeff").splitlines())
    return tuple(line[1:].removeprefix(" ").rstrip() for line in comment)


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


def _prior_row(spec: ModelSpec, name: str, found: Structure | None, reach: float) -> PriorRow:
    declared, prior = spec.priors[name], priors_given(spec, found).priors[name]
    known = prior.proper and not isinstance(prior, OfTheErrors)
    low, median, high = prior.ppf([0.025, 0.5, 0.975]).tolist() if known else (None, None, None)
    return PriorRow(name, prior, declared.unit, declared.reason, low, median, high, reach)


def _skew(low: float, middle: float, high: float) -> float:
    """Return the skewness of quantiles, from 0 to 1 (Bowley 1901)."""
    return abs(low + high - 2 * middle) / (high - low)


def _plot(row: PriorRow) -> str:
    """Return the density of a prior in block characters between the ends of its axis."""
    outline = row.outline(COLUMNS)
    if outline is None:
        return "(cannot be drawn)"
    height = np.clip(np.ceil(outline.density * len(BLOCKS)).astype(int) - 1, 0, None)
    low, high = (0.0, row.reach) if row.low is None else row.distribution.ppf([0.005, 0.995])
    return f"{low:.3g} {''.join(BLOCKS[h] for h in height)} {high:.3g}" + (" (log axis)" if outline.on_log else "")


def _improper(found: Structure) -> list[str]:
    """Return the parameters with improper priors, which nothing can sample."""
    return [name for name, prior in found.parameters.items() if not prior.proper]


def _engines(spec: ModelSpec, data: xr.Dataset, found: Structure | None) -> tuple[Engine, Engine]:
    """Return what the two engines can do."""
    if found is None:
        lacks = "; ".join(f"{what} is not known for {', '.join(names)}" for what, names in not_known(spec, data))
        return Engine("exact", lacks), Engine("nuts", lacks)
    own = [c for c in found.coefficients if c.parameter is None]
    coefficients = tuple(dict.fromkeys(c.variable for c in own))
    deviations = tuple(f"deviations by {level.name}" for level in found.levels)
    sizes = ("sizes of unknown standard errors",) if found.likelihood.uncertain_spread else ()
    sampled = [*found.parameters, *dict.fromkeys(c.drawn for c in own)]
    sampled += ["dose_offset"] if "dose_error" in spec.terms else []
    sampled += ["study_precision"] if spec.heterogeneity == "student_t" else []
    sampled += ["spread_offset"] if sizes else []
    improper = "; ".join(f"{name} has an improper prior" for name in _improper(found))
    refused = refusal(spec, data)
    return (
        Engine("exact", refused)
        if refused
        else Engine("exact", None, (*found.parameters, *sizes), (*coefficients, *deviations)),
        Engine("nuts", improper) if improper else Engine("nuts", None, tuple(sampled), deviations),
    )


def model_graph(spec: ModelSpec, data: xr.Dataset) -> tuple[Node, ...]:
    """Return the variables of the PyMC model of `build`, parents before children; nothing is compiled."""
    from pymc.model_graph import ModelGraph

    model, known = build(spec, data), structure(spec, data)
    priors = dict(known.parameters) | {c.variable: c.prior for c in known.coefficients if not c.factor}
    laws = {name: str(prior) for name, prior in priors.items()} | {"y": "mixture of MvNormal"}
    parents = ModelGraph(model).make_compute_graph()
    kinds = {"data": model.data_vars, "observed": model.observed_RVs, "sampled": model.free_RVs}
    kind_of = {v.name: kind for kind, variables in kinds.items() for v in variables}
    left, nodes = list(parents), []
    while left:  # every round takes those whose parents stand already
        done = {node.name for node in nodes}
        ready = [name for name in left if parents[name] <= done]
        for name in sorted(ready, key=list(model.named_vars).index):
            kind = kind_of.get(name, "derived")
            law = laws.get(name) or (model[name].str_repr().partition(" ~ ")[2] if kind == "sampled" else "")
            dims = tuple((dim, len(model.coords[dim])) for dim in model.named_vars_to_dims.get(name, ()))
            nodes.append(Node(name, kind, law, dims, tuple(n.name for n in nodes if n.name in parents[name])))
        left = [name for name in left if name not in ready]
    return tuple(nodes)


def as_text(description: ModelDescription) -> str:
    """Return a description as text for a terminal, a title over each part."""
    parts = {
        "In the file": description.comment,
        "Mathematics": description.mathematics,
        "Priors, with their central 95 % and their density over the central 99 %": _priors_text(description.priors),
        "What the priors say": [line for words in description.words for line in _wrapped(words)],
        f"Engines, on {description.data}": [line for text in engines_words(description) for line in _wrapped(text)],
        "Graph of the PyMC model": [line for node in description.graph for line in _wrapped(_node_text(node))],
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


def _node_text(node: Node) -> str:
    law = f" ~ {node.distribution}" if node.distribution else ""
    arrow = f"  <- {', '.join(node.parents)}" if node.parents else ""
    return f"{node.label}{'' if node.kind == 'sampled' else f' ({node.kind})'}{law}{arrow}"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, LINE - 2, subsequent_indent="    ")


def _finite(x: float | None) -> float | None:
    return x if x is not None and np.isfinite(x) else None
