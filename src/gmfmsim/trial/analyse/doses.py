"""Analyses along several doses: trend, Dunnett, closed testing, and the contrast tests of MCP-Mod."""

from itertools import combinations

import numpy as np

from gmfmsim.trial.analyse.contrast import changes
from gmfmsim.trial.analyse.verdicts import t_quantile
from gmfmsim.trial.analyses import AnalysisSpec, ClosedTest, McpMod, Trend
from gmfmsim.trial.designs import Design
from gmfmsim.trial.dose_shapes import contrast_correlation, optimal_contrasts, standardised_means
from gmfmsim.trial.estimates import Estimates
from gmfmsim.trial.moments import Moments
from gmfmsim.trial.multiplicity import control_correlation, critical_values

NEARLY_ALL = 0.9
"""MCP-Mod takes on the smallest dose with this share of the largest effect that the best shape has at the doses."""


def along_doses(moments: Moments, design: Design, analysis: AnalysisSpec) -> Estimates:
    """Analyse R trials of A arms by the mean change of the children seen at the endpoint, with one pooled variance.

    s^2 = sum of squares within arms / df, df = N - A. Every test is one-sided at alpha / 2, for benefit and for harm:

    - trend: contrast of the ranks of the doses, or of the doses, t distribution; takes on the highest dose;
    - mcp_mod: largest contrast of the candidates, multivariate t; takes on the smallest dose with nearly all of the
      effect under the candidate with the largest contrast;
    - dunnett: any dose against control, multivariate t; takes on the smallest significant dose;
    - closed_dunnett: the same test of any dose; a dose is significant where the Dunnett test of every set of doses with
      it in it is (Marcus, Peritz & Gabriel 1976), so that it takes on smaller doses.

    The estimate is that of the highest dose against control, difference of means with se s sqrt(1/n_i + 1/n_0); its
    interval is simultaneous over the doses, se times the critical value of Dunnett, for the last two, and for one dose
    alone (t) for the first two, where it need not agree with the test. Contrasts are optimal for the children seen;
    critical values hold for df as seen and correlations at the allocation as planned.

    A trial fails where an arm has fewer than two children or nothing varies. Source: Bretz, Pinheiro & Branson 2005.
    """
    groups = changes(moments)
    control, top = design.arms.index(design.control), design.arms.index(design.active)
    n, df = np.maximum(groups.n, 1), np.maximum(groups.n.sum(axis=0) - len(design.arms), 1)
    s = np.sqrt(groups.square.sum(axis=0) / df)
    ok = (groups.n >= 2).all(axis=0) & (s > 0)
    s = np.where(ok, s, 1)
    estimate = groups.mean - groups.mean[control]
    se = s * np.sqrt(1 / n + 1 / n[control])
    if isinstance(analysis, Trend | McpMod):
        critical = t_quantile(1 - design.alpha / 2, df)
        benefit, harm, selected = _by_contrasts(analysis, groups.mean / s, n, df, design)
    else:
        doses = [i for i in range(len(design.arms)) if i != control]
        critical = _dunnett(doses, df, design)
        t = estimate / se
        benefit, harm = (t[doses] > critical).any(axis=0), (t[doses] < -critical).any(axis=0)
        significant = _closed(t, doses, df, design) if isinstance(analysis, ClosedTest) else t > critical
        doses.sort(key=lambda i: design.arms[i].dose)
        selected = np.array(doses)[significant[doses].argmax(axis=0)]
    low, high = estimate[top] - critical * se[top], estimate[top] + critical * se[top]
    numbers = (np.where(ok, figure, np.nan) for figure in (estimate[top], se[top], low, high))
    selected = np.where(benefit & ok, selected, -1)
    return Estimates(*numbers, benefit=benefit & ok, harm=harm & ok, failed=~ok, selected=selected)


def _by_contrasts(analysis: Trend | McpMod, mean: np.ndarray, n: np.ndarray, df: np.ndarray, design: Design):
    """Return benefit, harm and the arm taken on (R,), for mean changes (A, R) in units of s."""
    doses = np.array([arm.dose for arm in design.arms], float)
    if isinstance(analysis, Trend):
        scores = doses if analysis.scores == "dose" else np.unique(doses, return_inverse=True)[1]
        shapes = np.asarray(scores, float)[None]
        taken = np.array([doses.argmax()])
    else:
        shapes = standardised_means(analysis.candidates, doses)
        enough = shapes >= NEARLY_ALL * shapes.max(axis=1, keepdims=True)
        taken = np.where(enough, doses, np.inf).argmin(axis=1)
    contrasts = optimal_contrasts(shapes, n)
    t = (contrasts * mean).sum(axis=1) / np.sqrt((contrasts**2 / n).sum(axis=1))
    planned = np.array([arm.ratio for arm in design.arms])
    correlation = contrast_correlation(optimal_contrasts(shapes, planned), planned)
    critical = critical_values(correlation, df, design.alpha / 2)
    return (t > critical).any(axis=0), (t < -critical).any(axis=0), taken[t.argmax(axis=0)]


def _dunnett(doses: list[int] | tuple[int, ...], df: np.ndarray, design: Design) -> np.ndarray:
    """Return the critical value (R,) of the Dunnett test of some doses, positions in design.arms, against control."""
    ratios = [design.control.ratio, *(design.arms[i].ratio for i in doses)]
    return critical_values(control_correlation(np.array(ratios)), df, design.alpha / 2)


def _closed(t: np.ndarray, doses: list[int], df: np.ndarray, design: Design) -> np.ndarray:
    """Return which arms (A, R) are significant by the closure of Dunnett tests, given statistics t (A, R)."""
    significant = np.ones(t.shape, bool)
    for size in range(1, len(doses) + 1):
        for some in map(list, combinations(doses, size)):
            significant[some] &= t[some].max(axis=0) > _dunnett(some, df, design)
    return significant
