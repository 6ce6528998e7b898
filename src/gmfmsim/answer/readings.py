"""The same plan under each reading of a suspect figure."""

from __future__ import annotations

import math

import numpy as np

from gmfmsim.answer.sizing import Sizing
from gmfmsim.answer.truths import target_of, truths_of
from gmfmsim.compute.algebra import dot
from gmfmsim.compute.labels import xr
from gmfmsim.model.average import Member, scatter_of
from gmfmsim.model.effect import effect_draws
from gmfmsim.model.truths import exact_mixture, mixed_draws
from gmfmsim.model.under_reading import given_reading, i_squared, reading_probability
from gmfmsim.progress import UNSEEN, Steps
from gmfmsim.question.plan import Prepared
from gmfmsim.trial.operate import engine_of
from gmfmsim.trial.size import RequiredN, required_n

FIGURES = {"n": "n", "n_interval": "interval", "why": "why", "plateau": "plateau", "plateau_mcse": "plateau_mcse"}
"""What is said of the required number under a reading, and its name there."""

ESS_MIN = 400
"""Effective draws that a reading must have for its n to be given, as the gate asks of a sampled posterior."""


def under_readings(sizing: Sizing, required: RequiredN, advance: Steps = UNSEEN) -> list[dict]:
    """Return pooled effect, tau, I2 and required n averaged over readings, then under each reading of each study.

    One row a reading: study, reading, prior and posterior probability; effect (mean of studies at the dose of the
    trial), its 95 % equal-tailed interval, tau at that dose (None where it has no mean) and I2, posterior means; n,
    why and plateau. The first row averages over all readings: there `required` is the answer; in the others the
    remaining studies are averaged over. Where n is computed exactly the models are fitted again under each reading;
    else the draws are taken that have it: n then has a Monte Carlo interval, plateau its MCSE, and why may be "few
    draws" or, where children are drawn one by one, "not simulated". Empty for a published estimate.
    """
    prepared, members = sizing.prepared, sizing.members
    data = prepared.contrasts
    if data is None:
        return []
    shares = [m.share for m in members]
    probability = mixed_draws([reading_probability(m.tree, data).to_dataset(name="p") for m in members], shares)["p"]
    i2 = mixed_draws([_i_squared(prepared, m) for m in members], shares)["i2"]
    fitted = all(m.fit and m.fit.exact for m in members)
    table = []
    each = [(None, None, np.ones(data.sizes["reading"], bool)), *rivals(data)]
    advance.expect(len(each))
    for study, reading, taken in each:
        share = probability * xr.DataArray(taken, dims="reading")
        weight = share.sum("reading")
        row = {
            "study": study,
            "reading": reading,
            "prior": float(dot(taken, data["weight"].values)),
            "posterior": float(weight.mean()),
            "i2": float((i2 * share).sum() / share.sum()),
        }
        given = required if study is None else None
        found = _exactly(sizing, taken, given) if fitted else _by_draws(sizing, weight, given)
        table.append(row | found)
        advance()
    return table


def _exactly(sizing: Sizing, taken: np.ndarray, required: RequiredN | None) -> dict:
    """Return effect, tau and n where the models are fitted again to the readings that are taken; n if not `required`.

    The posterior probability of a reading is the share of the marginal likelihood that it has. Refits take few nodes.
    """
    prepared, at = sizing.prepared, target_of(sizing.prepared)
    whole, again = sizing.given(np.ones(taken.size, bool)).members, sizing if taken.all() else sizing.given(taken)
    prior = 1.0 if taken.all() else prepared.contrasts["weight"].values[taken].sum()
    mean = exact_mixture(again.belief("pooled_mean"))
    ratio = [
        m.share * (1.0 if taken.all() else math.exp(a.mixture.log_marginal - m.mixture.log_marginal))
        for m, a in zip(whole, again.members, strict=True)
    ]
    found = required or (again.required() if sizing.exact else None)
    return {
        "posterior": float(prior * sum(ratio)),
        "effect": mean.mean,
        "interval": list(mean.interval()),
        "tau": scatter_of(again.members, at) if _has_mean(sizing) else None,
    } | _figures(found, "not simulated")


def _by_draws(sizing: Sizing, weight: xr.DataArray, required: RequiredN | None) -> dict:
    """Return effect, tau and n from the draws, by the probability (chain, draw) that each has the readings."""
    prepared, plan = sizing.prepared, sizing.prepared.plan
    effects, active = sizing.effects, plan.trial.active.name
    effect, tau = (effects[name].sel(arm=active, drop=True) for name in ("mean", "scatter"))
    draws = min(_effective_draws(m) for m in sizing.members)
    ess = float(draws * weight.mean() ** 2 / (weight**2).mean())
    dear, found = engine_of(plan.trial) == "children", required
    if required is None and ess >= ESS_MIN and not dear:
        tree = xr.DataTree.from_dict({"posterior": effects})
        again = truths_of(prepared, given_reading(tree, weight, plan.seed)["posterior"].to_dataset())
        found = required_n(again, plan.trial, plan.search, seed=plan.seed)
    return {
        "effect": float((effect * weight).sum() / weight.sum()),
        "interval": _interval(effect, weight),
        "tau": float((tau * weight).sum() / weight.sum()) if _has_mean(sizing) else None,
    } | _figures(found, "not simulated" if dear else "few draws")


def _figures(found: RequiredN | None, why_not: str) -> dict:
    """Return what is said of a required number, or why there is none."""
    figures = {name: getattr(found, field, None) for name, field in FIGURES.items()}
    return figures | ({} if found else {"why": why_not})


def _has_mean(sizing: Sizing) -> bool:
    """Return whether tau has a posterior mean in every model."""
    return all(m.fit.orders["tau"] > 1 for m in sizing.members)


def _i_squared(prepared: Prepared, member: Member) -> xr.Dataset:
    """Return I2 (chain, draw, reading) of one model, between-study SD at the dose of the trial."""
    scatter = effect_draws(member.tree, member.curve, {"at": target_of(prepared)})["scatter"].isel(arm=0, drop=True)
    group = member.tree["posterior"].to_dataset()
    return i_squared(scatter, group, prepared.contrasts).to_dataset(name="i2")


def _effective_draws(member: Member) -> float:
    """Return how many independent draws a posterior is worth."""
    if member.fit.engine == "exact":
        sizes = member.tree["posterior"].sizes
        return sizes["chain"] * sizes["draw"]
    return next(row["measured"] for row in member.fit.gate if row["criterion"] == "bulk ESS")


def rivals(data: xr.Dataset) -> list[tuple[str, str, np.ndarray]]:
    """Return (study, reading, which combinations have it) of each reading that has a rival."""
    found = []
    for study in data["suspect"].values.tolist():
        names = data["reading_of"].sel(suspect=study).values
        of_study = [(study, name, names == name) for name in dict.fromkeys(names.tolist())]
        found += of_study if len(of_study) > 1 else []
    return found


def _interval(values: xr.DataArray, weight: xr.DataArray) -> list[float]:
    """Return the weighted 2.5 and 97.5 % quantiles over draws."""
    value, weight = (x.transpose("chain", "draw").values.ravel() for x in (values, weight))
    order = np.argsort(value)
    share = np.cumsum(weight[order]) / weight.sum()
    return [float(value[order[np.searchsorted(share, p)]]) for p in (0.025, 0.975)]
