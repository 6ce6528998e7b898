"""What the answer hangs on: the same plan under each reading of a suspect figure."""

import numpy as np
import xarray as xr

from gmfmsim.model.likelihood import likelihood
from gmfmsim.model.predict import truths
from gmfmsim.model.under_reading import given_reading, i_squared, reading_probability
from gmfmsim.plan import Prepared
from gmfmsim.trial.size import RequiredN, required_n

ESS_MIN = 400
"""Effective draws that a reading must have for its n to be given, as the sampling gate asks of a posterior."""


def under_readings(
    prepared: Prepared, posterior: xr.DataTree, criteria: list[dict], required: RequiredN, advance=lambda: None
) -> list[dict]:
    """Return pooled effect, tau, I2 and required n averaged over readings, then under each reading of each study.

    One row a reading: study, reading, prior and posterior probability; effect (mean of studies at the dose of the
    trial), its 95 % equal-tailed interval, tau at that dose and I2, posterior means; ess, the worst bulk ESS of the
    gate (`criteria`) times the share that the weights leave of it (Kish); n with its Monte Carlo interval, why, plateau
    and its MCSE, or `why` "few draws". The first row averages over all readings: there `required` is the answer; in the
    others the remaining studies are averaged over. Empty for a published estimate.
    """
    data, plan = prepared.contrasts, prepared.plan
    if data is None:
        return []
    probability = reading_probability(posterior, data)
    group = posterior["posterior"].to_dataset()
    curve, dose = prepared.curve, plan.trial.active.dose
    shape = curve.shape(np.asarray(dose), *(group[name] for name in curve.nonlinear))
    effect, tau = (group[name].transpose("chain", "draw") * shape for name in (curve.amplitude, "tau"))
    i2 = i_squared(tau, group, data)
    bulk_ess = next(row["measured"] for row in criteria if row["criterion"] == "bulk ESS")
    table = []
    for study, reading, taken in _cases(data):
        share = probability * xr.DataArray(taken, dims="reading")
        weight = share.sum("reading")
        ess = float(bulk_ess * weight.mean() ** 2 / (weight**2).mean())
        row = {
            "study": study,
            "reading": reading,
            "prior": float(np.dot(taken, likelihood(data).weight)),
            "posterior": float(weight.mean()),
            "effect": float((effect * weight).sum() / weight.sum()),
            "interval": _interval(effect, weight),
            "tau": float((tau * weight).sum() / weight.sum()),
            "i2": float((i2 * share).sum() / share.sum()),
            "ess": ess,
        }
        if study is None:
            found = required
        else:
            found = _required_n(prepared, given_reading(posterior, weight, plan.seed)) if ess >= ESS_MIN else None
        table.append(row | _figures(found))
        advance()
    return table


def _cases(data: xr.Dataset) -> list[tuple[str | None, str | None, np.ndarray]]:
    """Return (study, reading, which combinations have it): all of them first, then each reading that has a rival."""
    if "reading" not in data.dims:
        return [(None, None, np.ones(1, bool))]
    cases = [(None, None, np.ones(data.sizes["reading"], bool))]
    for study in data["suspect"].values.tolist():
        names = data["reading_of"].sel(suspect=study).values
        rivals = [(study, name, names == name) for name in dict.fromkeys(names.tolist())]
        cases += rivals if len(rivals) > 1 else []
    return cases


def _figures(found: RequiredN | None) -> dict:
    if found is None:
        return {"n": None, "n_interval": None, "why": "few draws", "plateau": None, "plateau_mcse": None}
    names = {"n": "n", "n_interval": "interval", "why": "why", "plateau": "plateau", "plateau_mcse": "plateau_mcse"}
    return {name: getattr(found, field) for name, field in names.items()}


def truths_of(prepared: Prepared, posterior: xr.DataTree) -> xr.Dataset:
    """Return the truths of a plan's trial at a posterior."""
    plan = prepared.plan
    return truths(
        posterior,
        curve=prepared.curve,
        doses={arm.name: arm.dose for arm in plan.trial.arms},
        sd_change=plan.trial.sd_change,
        planning_value=plan.search.planning_value,
        replicates=plan.search.replicates,
        seed=plan.seed,
    )


def _required_n(prepared: Prepared, posterior: xr.DataTree) -> RequiredN:
    """Return the required n of a plan at another posterior."""
    plan = prepared.plan
    return required_n(truths_of(prepared, posterior), plan.trial, plan.analysis, plan.search, seed=plan.seed)


def _interval(values: xr.DataArray, weight: xr.DataArray) -> list[float]:
    """Return the weighted 2.5 and 97.5 % quantiles over draws."""
    value, weight = (x.transpose("chain", "draw").values.ravel() for x in (values, weight))
    order = np.argsort(value)
    share = np.cumsum(weight[order]) / weight.sum()
    return [float(value[order[np.searchsorted(share, p)]]) for p in (0.025, 0.975)]
