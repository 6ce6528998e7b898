"""Analysis of covariance."""

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from gmfmsim.files.toml import key
from gmfmsim.trial.analyse.law import of_residual
from gmfmsim.trial.analyse.spec import BASELINE, AnalysisSpec, covariate_words
from gmfmsim.trial.estimates import Estimates
from gmfmsim.trial.generate.trials import Trials

MOST_IN_MEMORY = 4_000_000
"""Numbers of cross-products held at once: an analysis with many centres takes the trials in parts."""


class Ancova(AnalysisSpec):
    """Score at the last visit on arm and covariates; level and centre as categories (Vickers & Altman 2001)."""

    method: Literal["ancova"]
    covariates: Annotated[
        list[Literal["baseline", "level", "age", "centre"]], key("what is adjusted for", min_length=1)
    ] = Field(["baseline"])

    @property
    def linear(self):
        return self.covariates == ["baseline"]

    @property
    def label(self):
        return "ancova" if self.linear else f"ancova ({', '.join(self.covariates)})"

    def words(self, design):
        adjusted = covariate_words(self.covariates)
        return f"an analysis of covariance of the score at month {design.month:g}, adjusted for {adjusted}"

    def estimates(self, trials, moments, design):
        from gmfmsim.trial.analyse.kernels.ancova import ancova

        if set(self.covariates) == {"baseline"}:
            return ancova(moments(BASELINE), design.weights)
        return in_parts(trials, design, self.covariates)

    def law(self, design, factors):
        if set(self.covariates) != {"baseline"}:
            return "covariates beside the baseline differ between children"
        return of_residual(self, design, factors)


def in_parts(trials: Trials, design, covariates: list[str]) -> Estimates:
    """Return the ANCOVA on covariates of baseline and endpoint, with cross-products of a bounded number of trials."""
    from gmfmsim.trial.analyse.kernels.ancova import ancova
    from gmfmsim.trial.analyse.kernels.moments import moments_of

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
        found = ancova(moments_of(fewer, first, covariates), design.weights, baseline="baseline" in covariates)
        parts.append((found.estimate, found.se, found.df, found.ok))
    return Estimates(*(np.concatenate(part) for part in zip(*parts, strict=True)))
