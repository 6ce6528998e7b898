"""Predictive checks, and what the posterior says in figures of its own: margins, heterogeneity, outliers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import special

from gmfmsim.compute.labels import xr
from gmfmsim.dist.mixture import NormalMixture
from gmfmsim.model.checks.given_draws import deviations
from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.draws import rows_of
from gmfmsim.model.structure import structure
from gmfmsim.model.terms import covariate
from gmfmsim.model.under_reading import i_squared, reading_probability

OUTLIERS_BEFORE = 0.05
"""Prior probability that any study at all is an outlier, as Chaloner & Brant suggest."""


@dataclass(frozen=True)
class Share:
    """A share known by its posterior: mean with Monte Carlo standard error, equal-tailed interval with probability."""

    mean: float
    mcse: float
    low: float
    high: float
    prob: float = 0.95


def exceedance(effects: tuple[NormalMixture, NormalMixture] | xr.Dataset, margins: Sequence[float]) -> xr.Dataset:
    """Return P(effect > margin), Dataset(margin): `mean_of_studies`, `new_study`, each with `_mcse`.

    effects: the two distributions of `effect_at`, exactly (mcse 0), or draws `mean`, `scatter` (chain, draw) of
    `effect_draws`; there the probability in a new study is averaged over it, Phi((mean - margin) / scatter).
    """
    import arviz as az

    rows = []
    for margin in margins:
        if isinstance(effects, tuple):
            rows.append((*(e.above(margin) for e in effects), 0.0, 0.0))
            continue
        mean, scatter, df = (effects[name].transpose("chain", "draw").values for name in ("mean", "scatter", "df"))
        (above, mcse), heavy = share(mean > margin), np.isfinite(df)
        z = np.where(mean > margin, np.inf, -np.inf)  # where studies do not scatter
        np.divide(mean - margin, scatter, out=z, where=scatter > 0)
        p = np.where(heavy, special.stdtr(np.where(heavy, df, 1.0), z), special.ndtr(z))
        rows.append((above, p.mean(), mcse, float(az.mcse(p, method="mean"))))
    names = ("mean_of_studies", "new_study", "mean_of_studies_mcse", "new_study_mcse")
    columns = zip(names, np.reshape(rows, (-1, len(names))).T, strict=True)
    return xr.Dataset({name: ("margin", v) for name, v in columns}, coords={"margin": list(margins)})


def share_between_studies(tree: xr.DataTree, data: xr.Dataset) -> Share:
    """Return the posterior of I2, the share of the variance of effects that is between studies, over the readings."""
    import arviz as az

    group = tree["posterior"].to_dataset()
    p = reading_probability(tree, data)
    i2 = i_squared(group["tau"], group, data)
    mean = (i2 * p).sum("reading", skipna=False).values
    if np.isnan(mean).any():
        return Share(np.nan, np.nan, np.nan, np.nan)
    value, weight = i2.values.ravel(), p.values.ravel()
    order = np.argsort(value)
    below = np.cumsum(weight[order]) / weight.sum()
    low, high = (float(value[order[np.searchsorted(below, q)]]) for q in (0.025, 0.975))
    return Share(float(mean.mean()), float(az.mcse(mean, method="mean")), low, high)


def outliers(tree: xr.DataTree, spec: ModelSpec, data: xr.Dataset) -> xr.Dataset:
    """Return how probable it is that each study is an outlier, Dataset(study): `prior`, `posterior`, `posterior_mcse`.

    An outlier is a study with |z_i| > k, where z_i is its deviation from the mean in standard deviations between
    studies, Normal(0, 1) a priori, and k = Phi^-1((1 + 0.95^(1/n)) / 2): with probability 0.95 none of n is one.
    attrs: k; any_prior and any_posterior, that any study is one. Student-t deviations are held to the same k, and
    their prior probability comes from draws. Source: Chaloner & Brant (1988), Chaloner (1994).
    """
    group, model = tree["posterior"].to_dataset(), structure(spec, data)
    rows = rows_of(group)
    n = group.sizes["study"]
    k = float(special.ndtri((1 + (1 - OUTLIERS_BEFORE) ** (1 / n)) / 2))
    beyond = np.abs(deviations(spec, model, rows)) > k
    beyond = beyond.reshape(group.sizes["chain"], group.sizes["draw"], n)
    shares = np.array([share(beyond[..., i]) for i in range(n)])
    prior, any_prior = 1 - (1 - OUTLIERS_BEFORE) ** (1 / n), OUTLIERS_BEFORE
    if spec.heterogeneity == "student_t":
        prior = any_prior = np.nan
        if "prior" in tree:
            before = np.abs(deviations(spec, model, rows_of(tree["prior"].to_dataset()))) > k
            prior, any_prior = before.mean(), float(before.any(axis=1).mean())
    columns = {"prior": np.full(n, prior), "posterior": shares[:, 0], "posterior_mcse": shares[:, 1]}
    return xr.Dataset(
        {name: ("study", v) for name, v in columns.items()},
        coords={"study": group["study"].values},
        attrs={"k": k, "any_prior": any_prior, "any_posterior": float(beyond.any(axis=-1).mean())},
    )


STATISTICS = {
    "mean effect": lambda y, se: _mean(y, se)[..., 0],
    "spread Q": lambda y, se: (((y - _mean(y, se)) / se) ** 2).sum(axis=-1),
    "largest |z|": lambda y, se: np.abs((y - _mean(y, se)) / se).max(axis=-1),
    "smallest effect": lambda y, se: y.min(axis=-1),
    "largest effect": lambda y, se: y.max(axis=-1),
}
"""Of effects y (..., K) and standard errors se (K,): the mean weighs by 1 / se^2, z is the distance from it in se."""

APART = {
    "difference of arms of one study": None,
    "difference of months": "month",
    "difference of cells": "cell_class",
    "difference of routes": "route",
}
"""Whether groups of contrasts differ: within each study, Q of its contrasts; else Q of the means of the groups."""


def _apart(data: xr.Dataset) -> dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]:
    """Return the statistics of `APART` that data have groups for."""
    found, study = {}, data["study"].values
    for name, by in APART.items():
        values = study if by is None else covariate(data, by)
        groups = [values == v for v in sorted(set(values.tolist()) - {""}) if v == v]
        if by is None:
            groups = [g for g in groups if g.sum() > 1]
            if groups:
                found[name] = partial(_within, groups=groups)
        elif len(groups) > 1:
            found[name] = partial(_between, groups=groups)
    return found


def _within(y: np.ndarray, se: np.ndarray, groups: list[np.ndarray]) -> np.ndarray:
    """Return the sum over groups of Q of their members."""
    return sum(STATISTICS["spread Q"](y[..., g], se[g]) for g in groups)


def _between(y: np.ndarray, se: np.ndarray, groups: list[np.ndarray]) -> np.ndarray:
    """Return Q of the means of groups: sum of (mean - mean of means)^2 / variance."""
    means = np.stack([_mean(y[..., g], se[g])[..., 0] for g in groups], axis=-1)
    errors = np.array([(se[g] ** -2.0).sum() ** -0.5 for g in groups])
    return STATISTICS["spread Q"](means, errors)


def _mean(y: np.ndarray, se: np.ndarray) -> np.ndarray:
    return (y * se**-2.0).sum(axis=-1, keepdims=True) / (se**-2.0).sum()


def predictive_check(tree: xr.DataTree, data: xr.Dataset) -> xr.Dataset:
    """Return the share of replicated data whose statistic is at least the observed, Dataset(statistic).

    Statistics of all effects, and of how far arms of one study, months, cells and routes are apart. `observed`;
    `posterior` and `prior`, the shares under either, with `posterior_mcse` and `prior_mcse`; prior NaN where a prior is
    improper. Replicates and observed data are on the scale of the most probable reading, with its standard errors.
    Near 0 or 1 the model does not make data like these. Source: Gelman, Meng & Stern (1996).
    """
    first = data.isel(reading=0)
    y, se = first["effect"].values, first["se"].values
    wanted = STATISTICS | _apart(first)
    columns = {"observed": np.array([float(f(y, se)) for f in wanted.values()])}
    for name in ("posterior", "prior"):
        shares = np.full((len(wanted), 2), np.nan)
        if f"{name}_predictive" in tree:
            again = tree[f"{name}_predictive"]["y"].transpose("chain", "draw", "contrast").values
            shares = np.array([share(f(again, se) >= f(y, se)) for f in wanted.values()])
        columns |= {name: shares[:, 0], f"{name}_mcse": shares[:, 1]}
    coords = {"statistic": list(wanted)}
    return xr.Dataset({name: ("statistic", value) for name, value in columns.items()}, coords=coords)


def share(event: np.ndarray) -> tuple[float, float]:
    """Return the share of draws (chain, draw) with an event and its Monte Carlo standard error.

    Where all or none have it, the error is 1 / draws: one more draw could have turned up.
    """
    import arviz as az

    rare = 1.0 / event.size
    if event.all() or not event.any():
        return float(event.mean()), rare
    return float(event.mean()), max(rare, float(az.mcse(event.astype(float), method="mean")))
