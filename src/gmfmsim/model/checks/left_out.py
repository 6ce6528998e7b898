"""What the other studies say of each study, and what is left of the answer without it."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy import special

from gmfmsim.compute.algebra import dot, gauss_hermite, inverse
from gmfmsim.compute.executors import in_order
from gmfmsim.compute.labels import xr
from gmfmsim.model.checks.given_draws import K_HAT_MAX, block_density, smoothed_weights
from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.draws import rows_of
from gmfmsim.model.engine import Fit
from gmfmsim.model.exact import ExactPosterior, impropriety, posterior
from gmfmsim.model.exact.quadrature import HERMITE
from gmfmsim.model.likelihood import NEVER, likelihood
from gmfmsim.model.structure import Structure, structure

INFLUENCE = ("mean", "sd", "above", "tau", "change")
"""The figures of the posterior without a study."""


EXACT_PARAMETERS, MANY = 2, 100_000
"""Parameters, and components of the posterior, up to which a refit takes all nodes; with more its log density is right
to some 0.003, and its mean to some 0.0003."""


class LeftOut(NamedTuple):
    """A fit without some blocks or contrasts: log p(y_left | the others) and the posterior.

    None if nothing is left; NaN and None if what is left makes no proper posterior.
    """

    log_density: float
    rest: ExactPosterior | None


def without(model: Structure, data: xr.Dataset, left_out: np.ndarray) -> Structure:
    """Return the same model with the same priors, its likelihood without some contrasts, (K,) true where left out."""
    kept = np.flatnonzero(~left_out)
    units = np.array([level.units[kept] for level in model.levels])
    like = likelihood(some_contrasts(data, kept), units)
    return replace(model, likelihood=replace(like, index=kept[like.index]))


def some_contrasts(data: xr.Dataset, kept: np.ndarray) -> xr.Dataset:
    """Return some of the contrasts, by position or (K,) true where kept, with the covariance of these."""
    return data.isel({dim: kept for dim in ("contrast", "contrast_") if dim in data.dims})


def refit(exact: ExactPosterior, data: xr.Dataset, left_out: np.ndarray) -> LeftOut:
    """Return the fit without some contrasts: log p(y_left | rest) = log p(y) - log p(rest)."""
    if left_out.all():
        return LeftOut(exact.log_marginal, None)
    others = without(exact.prepared.structure, data, left_out)
    if impropriety(others):
        return LeftOut(np.nan, None)
    quick = len(others.parameters) > EXACT_PARAMETERS or exact.weight.size > MANY
    rest = posterior(others, quick=quick, near=exact)
    return LeftOut(exact.log_marginal - rest.log_marginal, rest)


def blocks(model: Structure, data: xr.Dataset) -> tuple[list[str], np.ndarray]:
    """Return the names of the studies in each block, and which contrasts are in it (B, K).

    Studies that share control children are one block: they can only be left out together.
    """
    like, study = model.likelihood, data["study"].values
    places = [index[inside] for index, inside in zip(like.index, like.inside, strict=True)]
    names = [" + ".join(dict.fromkeys(study[p].tolist())) for p in places]
    return names, np.array([np.isin(np.arange(study.size), p) for p in places])


def cross_validate(fit: Fit, spec: ModelSpec, data: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """Return what is predicted of each contrast and each study from the others: Datasets (contrast) and (study).

    Contrasts: `elpd` = log p(y_c | all other contrasts), exactly (NaN where the fit is not exact); `elpd_psis`, the
    same by importance sampling from draws, with `k_hat`. Both have one target, though the draws hold study effects: a
    density given a study effect, averaged over that effect's posterior without y_c, is the density with the effect
    integrated out. They differ by the error of importance sampling, which is large where k_hat > 0.7: what is known of
    a study's effect may hang on y_c alone. `pit` = P(replicated y_c <= y_c | all other studies); `first`, whether c is
    the first of its block (two of one study are not independent). Where the fit is not exact, pit is given all other
    contrasts (`az.loo_pit`).

    Studies (blocks of studies that share children): `elpd` = log p(y_b | other blocks), exact or by importance sampling
    with the study effects integrated out (`k_hat`, NaN where exact); `mean` and `sd` of the amplitude, its probability
    `above` 0 and the mean of `tau` without them, NaN where k_hat > 0.7; `change` of the mean in sd of the whole
    posterior. Sorted by size of change.

    attrs hold the sums `total_elpd` and their standard errors.

    Source: Vehtari, Gelman & Gabry (2017); PIT of readings: weighted by their prior weights.
    """
    import arviz as az

    model = structure(spec, data)
    names, members = blocks(model, data)
    elpd, pit = np.full((2, data.sizes["contrast"]), np.nan)
    if fit.exact is None:
        studies = _studies_from_draws(fit, spec, data, names)
        with _quiet():
            pit = az.loo_pit(fit.tree, var_names=["y"])["y"].values
    else:
        found = list(in_order(lambda inside: refit(fit.exact, data, inside), list(members)))
        studies = _studies(fit.exact, spec, names, found)
        several = [np.arange(elpd.size) == c for inside in members if inside.sum() > 1 for c in np.flatnonzero(inside)]
        for alone, one in zip(several, in_order(lambda c: refit(fit.exact, data, c), several), strict=True):
            elpd[alone] = one.log_density
        for one, inside in zip(found, members, strict=True):
            for c in np.flatnonzero(inside):
                elpd[c] = one.log_density if inside.sum() == 1 else elpd[c]
                pit[c] = predictive_cdf(one.rest, fit.exact.prepared.structure, c) if one.rest else np.nan
    psis, k_hat = psis_contrasts(fit.tree)
    first = np.zeros(pit.size, bool)
    first[model.likelihood.index[:, 0]] = True
    columns = {"elpd": elpd, "elpd_psis": psis, "k_hat": k_hat, "pit": pit, "first": first}
    contrasts = _table("contrast", data["contrast"].values, **columns)
    contrasts.attrs |= {"pit_given": "other contrasts" if fit.exact is None else "other studies"}
    order = np.argsort(-np.abs(studies["change"].values), kind="stable")
    return _with_total(contrasts, "elpd" if fit.exact else "elpd_psis"), _with_total(studies, "elpd").isel(study=order)


def psis_contrasts(tree: xr.DataTree) -> tuple[np.ndarray, np.ndarray]:
    """Return log p(y_c | y of the other contrasts) by Pareto-smoothed importance sampling, and k-hat, (K,) each."""
    import arviz as az

    with _quiet():
        found = az.loo(tree, pointwise=True)
    return found.elpd_i.values, found.pareto_k.values


@contextmanager
def _quiet():
    """Keep ArviZ from warning of a large k-hat, which is a column of the result, and of a single contrast."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Estimated shape parameter of Pareto")
        warnings.filterwarnings("ignore", message="The point-wise LOO is the same")
        yield


def predictive_cdf(exact: ExactPosterior, model: Structure, contrast: int) -> float:
    """Return P(replicated y_c <= y_c) for a contrast of a block that `exact` has not seen.

    The replicate is Normal(sum_j column_j b_j, sum_levels load^2 + se^2) in the unit of the reported effects, a mixture
    over the components of the posterior. Where figures are suspect, each reading is held to its own effect and
    standard error and counts by its prior weight; unknown standard errors are integrated over their prior.
    """
    phi = {name: value[:, None] for name, value in exact.phi.items()}
    shape = (exact.box.nodes.shape[0], model.gmfm66.size)
    columns = np.stack([np.broadcast_to(column, shape)[:, contrast] for column in model.columns(phi)], axis=1)
    between = sum(np.broadcast_to(load, shape)[:, contrast] ** 2 for load in model.loads(phi))
    given = exact.standardised(columns, between)
    centre, spread = given.means, given.sds**2
    like = model.likelihood
    ((block, place),) = np.argwhere((like.index == contrast) & like.inside)
    points, weights = gauss_hermite(HERMITE)
    total = 0.0
    for s in np.flatnonzero(like.log_weight[block] > NEVER):
        variance = inverse(like.precision[block, s])[place, place]
        sd = like.log_se_sd[block, s, place]
        grid = zip(points, weights, strict=True) if sd > 0 else ((0.0, 1.0),)
        for u, share in grid:
            z = (like.effect[block, s, place] - centre) / np.sqrt(spread + variance * np.exp(2 * sd * u))
            total += np.exp(like.log_weight[block, s]) * share * dot(exact.weight, special.ndtr(z))
    return float(total)


def _studies(exact: ExactPosterior, spec: ModelSpec, names: list[str], found: list[LeftOut]) -> xr.Dataset:
    amplitude = spec.shape.amplitude
    mean, sd = exact.moments(amplitude)

    def figures(one: LeftOut) -> tuple[float, ...]:
        if one.rest is None:
            return one.log_density, np.nan, *[np.nan] * len(INFLUENCE)
        mixture = one.rest.coefficient(amplitude)
        change, tau = (mixture.mean - mean) / sd, one.rest.moments("tau")[0]
        return one.log_density, np.nan, mixture.mean, mixture.sd, mixture.above(0.0), tau, change

    rows = np.array(list(in_order(figures, found)))
    return _table("study", names, **dict(zip(("elpd", "k_hat", *INFLUENCE), rows.T, strict=True)))


def _studies_from_draws(fit: Fit, spec: ModelSpec, data: xr.Dataset, names: list[str]) -> xr.Dataset:
    """Return the table of studies by importance sampling: ratios 1 / p(y_b | parameters, coefficients)."""
    group = fit.tree["posterior"].to_dataset()
    log_p, rows = block_density(spec, data, group), rows_of(group)
    weight, k_hat = smoothed_weights(-log_p)
    elpd = special.logsumexp(log_p, b=weight, axis=0)
    a, tau = rows[spec.shape.amplitude], rows["tau"]
    mean, square, above, tau = (dot(weight.T, value) for value in (a, a**2, a > 0, tau))
    figures = (mean, np.sqrt(square - mean**2), above, tau, (mean - a.mean()) / a.std())
    trusted = [np.where(k_hat <= K_HAT_MAX, figure, np.nan) for figure in figures]
    return _table("study", names, elpd=elpd, k_hat=k_hat, **dict(zip(INFLUENCE, trusted, strict=True)))


def _table(dim: str, labels, **columns: np.ndarray) -> xr.Dataset:
    return xr.Dataset({name: (dim, value) for name, value in columns.items()}, coords={dim: list(labels)})


def _with_total(table: xr.Dataset, name: str) -> xr.Dataset:
    values = table[name].values
    error = float(np.sqrt(values.size) * values.std(ddof=1)) if values.size > 1 else np.nan
    return table.assign_attrs(total_elpd=float(values.sum()), total_elpd_se=error)
