"""The same plan under each reading of a suspect figure."""

import numpy as np
import xarray as xr

from gmfmsim.answer.truths import target_of, truths_of
from gmfmsim.compute.algebra import dot
from gmfmsim.model.average import Member
from gmfmsim.model.effect import effect_draws
from gmfmsim.model.truths import mixed_draws
from gmfmsim.model.under_reading import given_reading, i_squared, reading_probability
from gmfmsim.question.plan import Prepared
from gmfmsim.trial.operate import engine_of
from gmfmsim.trial.size import RequiredN, required_n

FIGURES = {"n": "n", "n_interval": "interval", "why": "why", "plateau": "plateau", "plateau_mcse": "plateau_mcse"}
"""What is said of the required number under a reading, and its name there."""

ESS_MIN = 400
"""Effective draws that a reading must have for its n to be given, as the gate asks of a sampled posterior."""


def under_readings(
    prepared: Prepared, members: list[Member], effects: xr.Dataset, required: RequiredN, advance=lambda: None
) -> list[dict]:
    """Return pooled effect, tau, I2 and required n averaged over readings, then under each reading of each study.

    One row a reading: study, reading, prior and posterior probability; effect (mean of studies at the dose of the
    trial), its 95 % equal-tailed interval, tau at that dose (None where it has no mean) and I2, posterior means; ess,
    the effective draws of the posterior times the share that the weights leave of them (Kish); n with its Monte Carlo
    interval, why, plateau and its MCSE, or `why` "few draws", or "not simulated" where children are drawn one by one.
    The first row averages over all readings: there `required` is the answer; in the others the remaining studies are
    averaged over. Empty for a published estimate.
    """
    data, active = prepared.contrasts, prepared.plan.trial.active.name
    if data is None:
        return []
    plan, shares = prepared.plan, [m.share for m in members]
    probability = mixed_draws([reading_probability(m.tree, data).to_dataset(name="p") for m in members], shares)["p"]
    effect, tau = (effects[name].sel(arm=active, drop=True) for name in ("mean", "scatter"))
    i2 = mixed_draws([_i_squared(prepared, m) for m in members], shares)["i2"]
    draws, has_mean = min(_effective_draws(m) for m in members), all(m.fit.orders["tau"] > 1 for m in members)
    tree, dear, table = xr.DataTree.from_dict({"posterior": effects}), engine_of(plan.trial) == "children", []
    for study, reading, taken in _cases(data):
        share = probability * xr.DataArray(taken, dims="reading")
        weight = share.sum("reading")
        ess = float(draws * weight.mean() ** 2 / (weight**2).mean())
        row = {
            "study": study,
            "reading": reading,
            "prior": float(dot(taken, data["weight"].values)),
            "posterior": float(weight.mean()),
            "effect": float((effect * weight).sum() / weight.sum()),
            "interval": _interval(effect, weight),
            "tau": float((tau * weight).sum() / weight.sum()) if has_mean else None,
            "i2": float((i2 * share).sum() / share.sum()),
            "ess": ess,
        }
        found = required if study is None else None
        if study is not None and ess >= ESS_MIN and not dear:
            again = truths_of(prepared, given_reading(tree, weight, plan.seed)["posterior"].to_dataset())
            found = required_n(again, plan.trial, plan.search, seed=plan.seed)
        figures = {name: getattr(found, field, None) for name, field in FIGURES.items()}
        table.append(row | figures | ({} if found else {"why": "not simulated" if dear else "few draws"}))
        advance()
    return table


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


def _cases(data: xr.Dataset) -> list[tuple[str | None, str | None, np.ndarray]]:
    """Return (study, reading, which combinations have it): all of them first, then each reading that has a rival."""
    cases = [(None, None, np.ones(data.sizes["reading"], bool))]
    for study in data["suspect"].values.tolist():
        names = data["reading_of"].sel(suspect=study).values
        rivals = [(study, name, names == name) for name in dict.fromkeys(names.tolist())]
        cases += rivals if len(rivals) > 1 else []
    return cases


def _interval(values: xr.DataArray, weight: xr.DataArray) -> list[float]:
    """Return the weighted 2.5 and 97.5 % quantiles over draws."""
    value, weight = (x.transpose("chain", "draw").values.ravel() for x in (values, weight))
    order = np.argsort(value)
    share = np.cumsum(weight[order]) / weight.sum()
    return [float(value[order[np.searchsorted(share, p)]]) for p in (0.025, 0.975)]
