"""Are these the children you know: level, score and age, change without cells, and who is lost, as simulated."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy import special

from gmfmsim.evidence.schema import Tables
from gmfmsim.streams import stream
from gmfmsim.trial.children import NormalChildren, PopulationChildren
from gmfmsim.trial.design import Design
from gmfmsim.trial.generate.trials import Trials
from gmfmsim.trial.sourced import LEVELS

RANGE = [0.025, 0.25, 0.5, 0.75, 0.975]
"""Probabilities of the quantiles that say where changes lie: median, half and 95 %."""

STROKES, BINS, AGES = 150, 50, 80
"""Children drawn one by one, bars of a histogram, points of a curve."""


class Reported(NamedTuple):
    """Change of the control children of a published trial, GMFM-66 points: mean, SD, children, where it was read."""

    study: str
    mean: float
    sd: float
    n: int
    source_url: str


def reported_changes(tables: Tables, month: float) -> list[Reported]:
    """Return the changes of control arms on GMFM-66 at `month` whose mean and SD are reported and not in doubt."""
    control = {(a["study_id"], a["arm_id"]) for a in tables.where("arms", role="control")}
    rows = tables.where("outcomes", scale="GMFM-66", kind="change", month=month, preferred="yes")
    return [
        Reported(r["study_id"], r["mean"], r["sd"], r["n"], r["source_url"])
        for r in rows
        if (r["study_id"], r["arm_id"]) in control
        and r["sd_source"] == "reported"
        and not r["spread_suspect"]
        and None not in (r["mean"], r["sd"], r["n"])
    ]


def children_seen(design: Design, seed: int, reported: Iterable[Reported] = (), *, trials: int = 400) -> xr.Dataset:
    """Return what the children of a design look like as simulated without cells, and beside them published changes.

    The SD of the change is at its median; children are those of the arm without cells and without a second drug, or all
    where there is none. Variables: retained (visit), the share seen at a visit or later; change (group, quantile),
    points at the endpoint, of those seen there: all, and by level where there are levels. Of normal children further
    baseline (quantile), the bars of both (count and edge) and the correlation of scores (visit, visit_). Of children of
    the growth curves share (level), curve (line: mean and quartiles, level, age in years) and strokes, single children
    from baseline to endpoint. Of published trials reported_mean, reported_sd, reported_n (trial).
    """
    from gmfmsim.trial.generate.children import draw_trials  # compiled code: loaded only where it is needed

    sd = np.full(trials, design.children.excess_sd.value)
    rng = stream(seed, "children figure")
    block = draw_trials(design, design.at_least(25), np.zeros((len(design.arms), trials)), sd, rng)
    kind = _normal if isinstance(design.children, NormalChildren) else _population
    names, *figures = zip(*reported, strict=True) if (reported := list(reported)) else ((), (), (), (), ())
    beside = {
        f"reported_{k}": ("trial", np.array(v, float)) for k, v in zip(("mean", "sd", "n"), figures, strict=False)
    }
    visits = ["0", *(f"{v:g}" for v in design.visits)]
    return xr.Dataset(
        {"retained": ("visit", retained(block))} | kind(design, block) | beside,
        {"visit": visits, "quantile": RANGE, "trial": list(names)},
        {"kind": design.children.kind, "month": design.month, "unit": "GMFM-66 points"},
    )


def retained(trials: Trials) -> np.ndarray:
    """Return the share of children (1 + V,) seen at each visit or later, baseline first."""
    seen = ~np.isnan(trials.score[::-1])
    return np.logical_or.accumulate(seen)[::-1].mean(axis=(1, 2))


def untreated(design: Design, block: Trials) -> np.ndarray:
    """Return which children (N, R) get neither cells nor drug before the endpoint; all where every arm gets them."""
    plain = [i for i, arm in enumerate(design.arms) if arm.dose == 0 and not arm.drug]
    return np.isin(block.group, plain) if plain else np.ones(block.group.shape, bool)


def curve_band(children: PopulationChildren, age: np.ndarray) -> np.ndarray:
    """Return mean and quartiles (3, 5, ages) of the score on the curves by level at age (ages,) in years.

    Over 60 equally probable limits and as many rates: L (1 - exp(-k a)), cut to the scale.
    """
    z = special.ndtri((np.arange(60) + 0.5) / 60)
    limit = np.array(children.limit.value) + children.limit_sd * z[:, None]
    rate = children.rate * np.exp(-children.rate_spread.value * z[:, None])
    score = limit[:, None, :, None] * -np.expm1(-rate[:, :, None] * age)
    score = score.clip(children.floor.value, children.ceiling.value).reshape(-1, 5, age.size)
    return np.concatenate([score.mean(axis=0)[None], np.quantile(score, [0.25, 0.75], axis=0)])


def _population(design: Design, block: Trials) -> dict:
    children, years = design.children, design.month / 12
    age = np.linspace(max(children.age.low, 0.1), children.age.high + years, AGES)
    end, change, kept = block.score[1 + design.endpoint], block.change[design.endpoint], untreated(design, block)
    drawn = (kept & ~np.isnan(end)).T  # trial by trial, so that the first have the mix of all
    start, end, level, at = (x.T[drawn][:STROKES] for x in (block.score[0], end, block.level, block.age))
    kept = kept & ~np.isnan(change)
    groups = {f"level {LEVELS[g]}": kept & (block.level == g) for g in range(5)} | {"all": kept}
    seen = {name: np.quantile(change[of], RANGE) for name, of in groups.items() if of.any()}
    return {
        "level": list(LEVELS),
        "share": ("level", children.shares),
        "age": age,
        "curve": (("line", "level", "age"), curve_band(children, age), {"unit": "GMFM-66 points"}),
        "line": ["mean", "lower quartile", "upper quartile"],
        "stroke_level": ("child", np.array(LEVELS)[level]),
        "stroke_age": ("child", at),
        "stroke_years": years,
        "stroke_start": ("child", start),
        "stroke_end": ("child", end),
        "group": list(seen),
        "change": (("group", "quantile"), np.array(list(seen.values())).reshape(-1, len(RANGE))),
    }


def _normal(design: Design, block: Trials) -> dict:
    kept, found = untreated(design, block), {}
    change = block.change[design.endpoint][kept]
    for name, values in (("baseline", block.score[0][kept]), ("change", change[~np.isnan(change)])):
        count, edge = np.histogram(values, bins=BINS)
        found |= {f"{name}_count": ("bin", count), f"{name}_edge": ("edge", edge)}
        found[name] = (("group", "quantile"), np.quantile(values, RANGE)[None])
    _, covariance = design.children.moments(np.array(design.visits), design.children.excess_sd.value)
    sd = np.sqrt(np.diag(covariance))
    return found | {"group": ["all"], "correlation": (("visit", "visit_"), covariance / np.outer(sd, sd))}
