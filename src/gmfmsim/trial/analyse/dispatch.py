"""Every analysis that a design names, on the same simulated trials."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np

from gmfmsim.trial import analyses as named
from gmfmsim.trial.analyse.bayes import bayes
from gmfmsim.trial.analyse.clustered import cluster_t, paired_t
from gmfmsim.trial.analyse.contrast import Contrast, ancova, changes, normal, pooled, separate
from gmfmsim.trial.analyse.from_trials import moments_of, until
from gmfmsim.trial.analyse.ranks import wilcoxon
from gmfmsim.trial.analyse.responders import responders
from gmfmsim.trial.analyse.single_arm import historical, one_sample
from gmfmsim.trial.analyse.verdicts import verdicts
from gmfmsim.trial.analyse.within_child import within_child
from gmfmsim.trial.designs import Design
from gmfmsim.trial.estimates import Estimates
from gmfmsim.trial.generate.trials import Trials
from gmfmsim.trial.moments import Moments

MOST_IN_MEMORY = 4_000_000
"""Numbers of cross-products held at once: an analysis with many centres takes the trials in parts."""


def analyse(trials: Trials, design: Design) -> dict[str, Estimates]:
    """Return the estimates of every analysis of the design by label, all from the same R trials.

    A trial in which an arm of the contrast keeps fewer than two children fails.
    """
    moments = cache(lambda covariates: moments_of(trials, design, covariates))
    return {analysis.label: _from_children(analysis, trials, moments, design) for analysis in design.analyses}


def analyse_moments(moments: Moments, design: Design) -> dict[str, Estimates]:
    """Return the estimates of every analysis of the design by label, from moments without covariates.

    Raises ValueError for an analysis that needs the children themselves or a covariate other than the baseline.
    """
    for a in design.analyses:
        if not a.linear or getattr(a, "covariates", ["baseline"]) != ["baseline"]:
            raise ValueError(f"analysis is {a.label!r}; allowed: linear ones with no covariate but the baseline")
    moments = until(moments, design.endpoint + 1)
    return {a.label: _from_moments(a, moments, design) for a in design.analyses}


def _from_children(a: named.AnalysisSpec, trials: Trials, moments: Callable, design: Design) -> Estimates:
    match a:
        case named.Wilcoxon():
            return wilcoxon(trials, design)
        case named.Responder():
            return responders(trials, design, a.margin)
        case named.WithinChild():
            found = within_child(trials, design)
        case named.PairedT():
            found = paired_t(trials, design)
        case named.ClusterT():
            found = cluster_t(trials, design)
        case named.OneSample():
            found = one_sample(trials, design, a.allowance)
        case named.Historical():
            found = historical(trials, design, a.mean, a.sd, a.n)
        case named.Mmrm() if design.children.missed.value > 0 and design.endpoint > 0:
            from gmfmsim.trial.analyse.mmrm import mmrm_with_gaps

            found = Contrast(*mmrm_with_gaps(trials, design, tuple(a.covariates)))
        case named.Ancova() if set(a.covariates) != {"baseline"}:
            found = _ancova_in_parts(trials, design, a.covariates)
        case _:
            return _from_moments(a, moments(tuple(getattr(a, "covariates", ("baseline",)))), design)
    return verdicts(found.estimate, found.se, found.df, design, ok=found.ok)


def _from_moments(a: named.AnalysisSpec, moments: Moments, design: Design) -> Estimates:
    match a:
        case named.TTest():
            found = {"t": pooled, "welch": separate, "z": normal}[a.method](changes(moments), design.weights)
        case named.Ancova():
            found = ancova(moments, design.weights)
        case named.Mmrm():
            from gmfmsim.trial.analyse.mmrm import mmrm

            found = Contrast(*mmrm(moments, design.weights))
        case named.Bayes():
            return bayes(ancova(moments, design.weights), design, a.prior_mean, a.prior_sd)
        case _:
            from gmfmsim.trial.analyse.doses import along_doses

            return along_doses(moments, design, a)
    return verdicts(found.estimate, found.se, found.df, design, ok=found.ok)


def _ancova_in_parts(trials: Trials, design: Design, covariates: list[str]) -> Contrast:
    """Return the ANCOVA on covariates of baseline and endpoint, with cross-products of a bounded number of trials."""
    columns = 2 + 5 + ("centre" in covariates) * (design.children.centres.number if design.children.centres else 0)
    size = max(1, MOST_IN_MEMORY // (2 * len(design.arms) * columns**2))
    parts = []
    for start in range(0, trials.group.shape[1], size):
        rows = slice(start, start + size)
        ends = trials.score[np.array([0, 1 + design.endpoint]), :, rows]
        expected = trials.expected[design.endpoint : design.endpoint + 1, :, rows]
        fewer = replace(trials, score=ends, group=trials.group[:, rows], expected=expected)
        fewer = replace(fewer, **{k: v[:, rows] for k in ("level", "age") if (v := getattr(trials, k)) is not None})
        first = design.model_copy(update={"visits": [design.month]})
        parts.append(ancova(moments_of(fewer, first, covariates), design.weights, baseline="baseline" in covariates))
    return Contrast(*(np.concatenate(part) for part in zip(*parts, strict=True)))
