"""The evidence as prior of a trial's own analysis: what it is worth in children, what it moves, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from gmfmsim.answer.sizing import Sizing
from gmfmsim.compute.roots import root
from gmfmsim.compute.text import percent
from gmfmsim.dist.fewer import fewer
from gmfmsim.dist.mixture import NormalMixture
from gmfmsim.model.priors.ess import ess_elir, ess_moment, ess_morita
from gmfmsim.model.truths import belief, known
from gmfmsim.trial import exact
from gmfmsim.trial.analyse.bayes import Bayes
from gmfmsim.trial.analyses import AnyAnalysis
from gmfmsim.trial.change_sd import change_sd
from gmfmsim.trial.decide import claim
from gmfmsim.trial.design import Design
from gmfmsim.trial.exact.statistic import completed, law, statistic
from gmfmsim.trial.exact.success import met, normals
from gmfmsim.trial.exact.tails import Truth, critical
from gmfmsim.trial.exact.under_prior import needed
from gmfmsim.trial.size import SCENARIO

COMPONENTS = 4
"""Normals that stand for what the evidence says, in an analysis: as many as a protocol can print."""

DRIFTS = 25
"""True effects at which success with a prior is shown."""

INTERVAL_PROB = 0.95
"""Of the prior, and of the estimates that agree with it."""

SHOWN = 0.8
"""Of the prior, between whose ends true effects are shown."""

MANY = 1_000
"""Children an arm by whom the standard error of one is told."""

STRICTER, LEAST_ASKED = 1e-3, 0.4
"""1 - the posterior probability that a calibrated claim asks for: from so much of its level on, and at most."""

FEWEST, CALIBRATED, MOST_STEPS = 20, 1e-6, 8
"""Degrees of freedom from which on a claim is calibrated, how closely, relative to its level, and steps at most."""


def informed(sizing: Sizing) -> Sizing:
    """Return a plan whose analyses know the prior that they take from the evidence, if any does.

    The prior is what the models say of the effect in the planned trial, heterogeneity included, as COMPONENTS normals.
    """
    trial = sizing.prepared.plan.trial
    if not any(isinstance(a, Bayes) and a.open for a in trial.analyses):
        return sizing
    prior, _ = _few(sizing)
    analyses = [a.informed(prior) if isinstance(a, Bayes) and a.open else a for a in trial.analyses]
    plan = sizing.prepared.plan.model_copy(update={"trial": trial.model_copy(update={"analyses": analyses})})
    return replace(sizing, prepared=replace(sizing.prepared, plan=plan))


def uninformed(trial: Design) -> list[AnyAnalysis]:
    """Return the analyses of a trial as they are declared, without what `informed` told them."""
    return [a.informed(None) if isinstance(a, Bayes) else a for a in trial.analyses]


def _few(sizing: Sizing) -> tuple[NormalMixture, float]:
    """Return the prior of the evidence as few normals, and how far their distribution function is off; from the user's
    cache where it is there."""

    def found() -> dict[str, np.ndarray]:
        few, error, _ = fewer(of_evidence(sizing), COMPONENTS)
        return {"weight": few.weight, "means": few.means, "sds": few.sds, "error": np.array(error)}

    prepared = sizing.prepared
    arms = [(arm.name, arm.dose) for arm in prepared.plan.trial.arms]
    known = sizing.remembers and bool(prepared.models)
    few = prepared.recalled(f"prior {COMPONENTS} {arms}", found) if known else found()
    return NormalMixture(few["weight"], few["means"], few["sds"]), float(few["error"])


def of_evidence(sizing: Sizing) -> NormalMixture:
    """Return what the models of a plan say of the effect in its trial: exactly, or by their draws where they are
    sampled, each of which is a distribution over studies."""
    if sizing.integrated:
        of = sizing.belief()
    else:
        drawn = sizing.effects.sel(arm=sizing.prepared.plan.trial.active.name)
        mean, scatter = (drawn[name].values.ravel() for name in ("mean", "scatter"))
        df = np.broadcast_to(drawn["df"].values, drawn["mean"].shape).ravel()
        of = belief(np.full(mean.size, 1 / mean.size), mean, np.abs(scatter), df)
    return normals(of.weight, of.mean, of.sd, of.df)


def prior_record(sizing: Sizing, n: int) -> dict[str, Any] | None:
    """Return what the prior of the primary analysis is, and what it does at n; None of an analysis without one.

    components with their weights; mean, sd, interval and probability of an effect above 0; of the evidence how far its
    few components are off (cdf_error); children: how many it is worth (`model.priors.ess`), all arms together, at the
    median SD; agrees: between which estimates the trial agrees with the prior; needed: the estimate that the claim
    takes, with and without prior. n_without: children in all without prior, where it is computed. rows over true
    effects: success with and without prior. calibrated: the probability to ask for so that false claims are at their
    level, and success then. Where the law is not known, what the prior is alone.
    """
    trial = sizing.prepared.plan.trial
    analysis = trial.analyses[0]
    if not isinstance(analysis, Bayes) or (prior := analysis.mixture) is None:
        return None
    low, high = prior.interval(INTERVAL_PROB)
    found: dict[str, Any] = {
        "of": analysis.prior if isinstance(analysis.prior, str) else "declared",
        "robust": analysis.robust.weight if analysis.robust else None,
        "components": in_rows(prior),
        "mean": prior.mean,
        "sd": prior.sd,
        "low": low,
        "high": high,
        "above_0": prior.above(),
        "cdf_error": _few(sizing)[1] if analysis.prior == "evidence" else None,
        "n_total": trial.total(n),
    }
    if not sizing.known_law:
        return found
    found["children"] = worth(trial, prior)
    flat = _without(trial)
    found |= _at_median(trial, prior, n)
    found["computed"] = sizing.computed(SCENARIO[sizing.prepared.plan.search.target.metric])
    found["n_without"] = _n_without(sizing, flat)
    found["rows"] = list(_over_effects(trial, flat, prior, n))
    nothing = next(row for row in found["rows"] if row["effect"] == 0)
    found["false_claims"] = {name: nothing[name] for name in ("with", "without")} | {"nominal": trial.alpha / 2}
    found["calibrated"] = _calibrated(sizing, flat, n)
    return found


def in_rows(mixture: NormalMixture) -> list[dict[str, float]]:
    """Return the components of a mixture, a row each."""
    columns = (mixture.weight.tolist(), mixture.means.tolist(), mixture.sds.tolist())
    return [{"weight": w, "mean": m, "sd": s} for w, m, s in zip(*columns, strict=True)]


def _without(trial: Design) -> Design:
    """Return the trial with a flat prior in its primary analysis."""
    flat = trial.analyses[0].model_copy(update={"prior": "flat", "robust": None})
    return trial.model_copy(update={"analyses": [flat]})


def _median_error(trial: Design, n: int) -> tuple[float, float]:
    """Return standard error and degrees of freedom at n, at the median SD and as many children left as expected."""
    test = statistic(trial, trial.analyses[0])
    left = completed(test, n)
    sigma = float(test.sigma(trial.sd_change.ppf(np.array([0.5])))[0])
    scale, df = (float((part * left.weight).sum() / left.weight.sum()) for part in (left.scale, left.df))
    return math.sqrt(scale) * sigma, df


def worth(trial: Design, prior: NormalMixture) -> dict[str, float]:
    """Return how many children, all arms together, a prior of few normals is worth."""
    parts, unit = (prior.weight, prior.means, prior.sds), unit_of(trial)
    measures = {"elir": ess_elir, "moment": ess_moment, "morita": ess_morita}
    return {name: of(*parts, unit_sd=unit) for name, of in measures.items()}


def unit_of(trial: Design) -> float:
    """Return the standard error that one child has, all arms together: that of so many is this over their root.

    By the primary analysis, of MANY children and those left of them; where its law is not known, by a comparison of
    changes. At the median SD.
    """
    n = trial.at_least(MANY)
    if not isinstance(law(trial, trial.analyses[0]), str):
        return _median_error(trial, n)[0] * math.sqrt(trial.total(n))
    sizes = [trial.sizes(n)[arm.name] for arm in (trial.active, trial.control) if arm]
    left = sum(1 / size for size in sizes) / (1 - trial.dropout)
    return change_sd(trial).median * math.sqrt(left * trial.total(n))


def _at_median(trial: Design, prior: NormalMixture, n: int) -> dict[str, Any]:
    """Return the estimate that a claim takes at n, with and without prior, and which agree with the prior."""
    se, df = _median_error(trial, n)
    (criterion,) = claim(trial)
    flat = criterion.threshold + float(critical((criterion,), df)[0]) * se
    return {
        "needed": {"with": needed(criterion, se, df, prior), "without": flat},
        "agrees": list(prior.plus(se).interval(INTERVAL_PROB)),
    }


def _n_without(sizing: Sizing, flat: Design) -> int | None:
    """Return the children in all who reach the target of the plan without prior; None where none do."""
    search = sizing.prepared.plan.search
    scenario = SCENARIO[search.target.metric]
    if not sizing.computed(scenario):
        return None
    whole = exact.Assurance(flat, flat.analyses[0], sizing.belief(scenario))
    n = exact.smallest(whole, search.target.value, search.max_n_per_arm)
    return None if n is None else flat.total(n)


def _over_effects(trial: Design, flat: Design, prior: NormalMixture, n: int) -> Iterator[dict[str, float]]:
    """Yield success at n with and without prior at true effects about those that the prior holds for likely."""
    low, high = prior.interval(SHOWN)
    first, last = min(math.floor(low), -1), max(math.ceil(high), 1)
    for effect in sorted({0.0, *np.linspace(first, last, DRIFTS).round(2).tolist()}):
        row = {"effect": effect, "drift": effect - prior.mean}
        row["with"] = exact.Assurance(trial, trial.analyses[0], known(effect)).at(n)
        row["without"] = exact.Assurance(flat, flat.analyses[0], known(effect)).at(n)
        yield row


def _calibrated(sizing: Sizing, flat: Design, n: int) -> dict[str, Any] | None:
    """Return the probability to ask of the posterior so that false claims are at alpha / 2, and success then; beside it
    success without prior. None where no probability does it, or success is not computed."""
    trial, scenario = sizing.prepared.plan.trial, SCENARIO[sizing.prepared.plan.search.target.metric]
    analysis, nominal = trial.analyses[0], trial.alpha / 2
    (criterion,) = claim(trial)
    border = known(criterion.threshold)

    def apart(log_level: float) -> float:
        """Return by how much false claims are off, as a logarithm."""
        asked = (criterion._replace(level=math.exp(log_level)),)
        return math.log(exact.Assurance(trial, analysis, border, asked).at(n) / nominal)

    at_median = _level_at_median(trial, n)
    if at_median is None or not sizing.computed(scenario):
        return None
    points = [(at_median, apart(at_median))]
    points.append((at_median - points[0][1], apart(at_median - points[0][1])))
    while abs(points[-1][1]) > CALIBRATED and len(points) < MOST_STEPS:  # nearly a line: the secant's steps are few
        (x0, y0), (x1, y1) = points[-2:]
        x = x1 - y1 * (x1 - x0) / (y1 - y0)
        points.append((x, apart(x)))
    level = math.exp(points[-1][0])
    asked, of = (criterion._replace(level=level),), sizing.belief(scenario)
    return {
        "probability": 1 - level,
        "success": exact.Assurance(trial, analysis, of, asked).at(n),
        "without": exact.Assurance(flat, flat.analyses[0], of).at(n),
    }


def _level_at_median(trial: Design, n: int) -> float | None:
    """Return the logarithm of the level at which false claims are at alpha / 2, were the SD at its median and as many
    children left as expected; None of few children, or where none is."""
    (criterion,) = claim(trial)
    test = statistic(trial, trial.analyses[0])
    (se, df), truth = _median_error(trial, n), Truth(np.array([criterion.threshold]), np.zeros(1))
    if df < FEWEST:
        return None

    def apart(log_level: float) -> float:
        asked = (criterion._replace(level=math.exp(log_level)),)
        return float(met(test, truth, asked, np.array([se]), df).item()) - trial.alpha / 2

    low, high = math.log(STRICTER * trial.alpha / 2), math.log(LEAST_ASKED)
    return root(apart, low, high, within=1e-3) if apart(low) < 0 < apart(high) else None


def in_sentences(found: dict[str, Any]) -> Iterator[str]:
    """Yield what `prior_record` found as sentences."""
    source = {"evidence": "what the evidence says of the effect in this trial"}.get(found["of"], "as declared")
    vague = f", {percent(found['robust'])} of it vague" if found["robust"] else ""
    yield (
        f"Prior of the analysis: {source}{vague}; mean {found['mean']:.2f} points, SD {found['sd']:.2f}, above 0 with "
        f"{percent(found['above_0'])} probability."
    )
    if "children" not in found:
        return
    worth, claims = found["children"], found["false_claims"]
    yield (
        f"It is worth {worth['elir']:.0f} children of this trial (expected local-information ratio; by its moments "
        f"{worth['moment']:.0f}, by its mode {worth['morita']:.0f})."
    )
    if found["computed"]:
        without = f"{found['n_without']} children reach" if found["n_without"] else "no number of children reaches"
        yield f"Without it {without} the same target."
    yield (
        f"With it false claims are {percent(claims['with'])} where there is no effect ({percent(claims['without'])} "
        f"without)" + (": evidence that is wrong is believed." if claims["with"] > claims["without"] else ".")
    )
    needs = found["needed"]
    if needs["with"] is not None:
        yield (
            f"At {found['n_total']} children an estimate of {needs['with']:.2f} points is enough, "
            f"{needs['without']:.2f} without the prior; estimates outside {found['agrees'][0]:.1f} to "
            f"{found['agrees'][1]:.1f} contradict it."
        )
    if fair := found["calibrated"]:
        yield (
            f"If false claims must stay at {percent(claims['nominal'])}, the posterior probability to ask for is "
            f"{percent(fair['probability'])}; success is then {percent(fair['success'])}, "
            f"{percent(fair['without'])} without prior: what is gained by borrowing is paid for in false claims."
        )
