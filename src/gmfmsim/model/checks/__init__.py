"""The checks that a statistician asks for of a fitted model, in one value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from gmfmsim.compute.labels import xr
from gmfmsim.model.checks.given_draws import power_scaling
from gmfmsim.model.checks.left_out import cross_validate
from gmfmsim.model.checks.quantities import APART, Share, exceedance, outliers, predictive_check, share_between_studies
from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.effect import Condition, effect_at, effect_draws
from gmfmsim.model.engine import Fit

DIAGNOSES = {
    "prior-data conflict": "Prior and data say different things of it, and both move it: look at n with that prior "
    "halved and doubled (what moves n), and state why the prior is believed.",
    "strong prior or weak likelihood": "The prior decides it more than the data: n rests on a judgement, shown with "
    "that prior halved and doubled (what moves n).",
}
"""What a diagnosis of power scaling means, and what to do."""


@dataclass(frozen=True)
class Checks:
    """What the checks found; the functions that make the parts say what each holds.

    replicated (statistic): prior and posterior predictive checks; contrasts (contrast) and studies (study): prediction
    of each from the others, and the posterior without each study; scaling (quantity): sensitivity to prior and
    likelihood; exceeds (margin): probability that the effect at the dose exceeds it; i_squared; outliers (study).
    """

    replicated: xr.Dataset
    contrasts: xr.Dataset
    studies: xr.Dataset
    scaling: xr.Dataset
    exceeds: xr.Dataset
    i_squared: Share
    outliers: xr.Dataset


def checks(fit: Fit, spec: ModelSpec, data: xr.Dataset, *, margins: Sequence[float], at: Condition) -> Checks:
    """Check a fitted model against its contrasts, and its effect under the condition against margins (GMFM points)."""
    draws = effect_draws(fit.tree, spec.shape, {"at": at}).isel(arm=0, drop=True)
    effects = (
        draws if fit.exact is None else tuple(effect_at(fit.exact, spec.shape, at, of) for of in ("mean", "new_study"))
    )
    contrasts, studies = cross_validate(fit, spec, data)
    return Checks(
        replicated=predictive_check(fit.tree, data),
        contrasts=contrasts,
        studies=studies,
        scaling=power_scaling(fit.tree, spec, data, draws["mean"]),
        exceeds=exceedance(effects, margins),
        i_squared=share_between_studies(fit.tree, data),
        outliers=outliers(fit.tree, spec, data),
    )


def as_json(found: Checks) -> dict:
    """Return the checks as JSON: for each table its attributes and one row a label; what is not known is null."""
    parts = {name: getattr(found, name) for name in found.__dataclass_fields__}
    return {name: _rows(part) if isinstance(part, xr.Dataset) else _plain(asdict(part)) for name, part in parts.items()}


def _rows(table: xr.Dataset) -> dict:
    names = [*table.dims, *table.data_vars]
    rows = [_plain(dict(zip(names, row, strict=True))) for row in _columns(table, *names)]
    return {"rows": rows} | _plain(table.attrs)


def _plain(row: dict) -> dict:
    return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in row.items()}


def in_words(found: Checks) -> list[str]:
    """Return what stands out, a sentence each; empty if nothing does.

    A statistic in the outer 2.5 % of its replicates, a difference of groups in the upper 10 %; a study that is an
    outlier with probability above 0.05 and above five times the prior one; a study that moves the amplitude by half a
    posterior SD; a quantity that the prior moves.
    """
    said = []
    for name, p in _columns(found.replicated, "statistic", "posterior"):
        if p < 0.1 and name in APART:
            said.append(
                f"The {name} is larger than the model makes it: {p:.3f} of replicated data reach it. "
                "A model with a term for it says what that does to n (what moves n)."
            )
        elif not 0.025 <= p <= 0.975:
            said.append(f"The {name} is unlike what the model makes: {p:.3f} of replicated data reach it.")
    for name, before, after in _columns(found.outliers, "study", "prior", "posterior"):
        if after > max(0.05, 5 * before):
            said.append(f"{name} stands apart: an outlier with probability {after:.2f} ({before:.3f} before the data).")
    for name, change, mean in _columns(found.studies, "study", "change", "mean"):
        if abs(change) > 0.5:
            said.append(f"Without {name} the amplitude would be {mean:.2f} ({change:+.1f} posterior SD).")
    for name, diagnosis in _columns(found.scaling, "quantity", "diagnosis"):
        if diagnosis != "-":
            said.append(f"{name}: {diagnosis}. {DIAGNOSES.get(diagnosis, '')}".rstrip())
    return said


def _columns(table: xr.Dataset, *names: str):
    return zip(*(table[name].values.tolist() for name in names), strict=True)
