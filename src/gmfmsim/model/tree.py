"""One DataTree for both engines: posterior, predictive, log-likelihood, prior and data, under the same names."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import xarray as xr

from gmfmsim.model.complete import complete, from_prior
from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.nuts import coords_of, with_doses, with_tails
from gmfmsim.model.structure import Structure
from gmfmsim.streams import stream

PRIOR_DRAWS = 2000


def data_tree(
    spec: ModelSpec,
    data: xr.Dataset,
    model: Structure,
    sampled: Mapping[str, np.ndarray],
    seed: int,
    stats: xr.Dataset | None = None,
) -> xr.DataTree:
    """Return the DataTree that ArviZ alone can open, from draws (chain, draw, ...) of parameters and coefficients.

    `sampled` holds pooled coefficients as `<name>_offset`, in standard deviations. What the engine has integrated out
    (study effects, the offsets of unknown standard errors) is drawn here from its conditional distribution. Groups:
    posterior, posterior_predictive, log_likelihood, log_prior, observed_data, constant_data, prior and
    prior_predictive where every prior is proper, and sample_stats where there are any. In `posterior`: parameters and
    coefficients by name, study_<amplitude> (study): amplitude + deviation of the study, theta (contrast).
    """
    chains, draws = next(iter(sampled.values())).shape[:2]
    flat = {name: value.reshape(chains * draws, *value.shape[2:]) for name, value in sampled.items()}
    (own, phi), deviation_sd = _given(model, spec, data, flat), 1.0
    if "study_precision" in flat:
        own, phi["study_precision"] = with_tails(own), flat["study_precision"]
        deviation_sd = flat["study_precision"] ** -0.5
    raw = np.column_stack([flat[name] for name in dict.fromkeys(c.drawn for c in model.coefficients)])
    found = complete(own, phi, raw, stream(seed, "complete"), spread=flat.get("spread_offset"))
    posterior = _variables(spec, model, flat, found.deviation * deviation_sd, found.theta, found.spread)
    first, group = data.isel(reading=0), partial(_dataset, spec, model, coords_of(model, data), (chains, draws))
    groups = {
        "posterior": group(posterior),
        "posterior_predictive": group({"y": found.replicated}),
        "log_likelihood": group({"y": found.log_likelihood}),
        "log_prior": group(_log_prior(model, posterior)),
        "observed_data": xr.Dataset({"y": first["effect"]}),
        "constant_data": data,
    }
    groups["log_likelihood"].attrs["definition"] = "log density of each contrast given the others and the parameters"
    if stats is not None:
        groups["sample_stats"] = stats
    if prior := _from_prior(spec, data, model, seed):
        from_prior = partial(_dataset, spec, model, coords_of(model, data), (1, PRIOR_DRAWS))
        groups |= {name: from_prior(values) for name, values in prior.items()}
    return xr.DataTree.from_dict(groups)


def _given(
    model: Structure, spec: ModelSpec, data: xr.Dataset, flat: Mapping[str, np.ndarray]
) -> tuple[Structure, dict]:
    """Return the structure with the doses of the draws, where these have errors, and its parameters (S, ...)."""
    phi = {name: flat[name] for name in model.parameters}
    if "dose_offset" not in flat:
        return model, phi
    return with_doses(model, spec, data), phi | {"dose_offset": flat["dose_offset"]}


def _variables(spec, model, flat, deviation, theta, spread) -> dict[str, np.ndarray]:
    """Return the named variables (S, ...) of a posterior or prior."""
    amplitude, phi = spec.shape.amplitude, {name: flat[name] for name in model.parameters}
    out = {amplitude: flat[amplitude]} | phi
    for c in model.coefficients[1:]:
        out[c.variable] = flat[c.drawn] * phi[c.pooled][:, None] if c.pooled else flat[c.drawn]
    if model.likelihood.uncertain_spread:
        out["spread_offset"] = spread
    if "dose_offset" in flat:
        out["dose_offset"] = flat["dose_offset"]
    sd = model.levels[0].sd({name: value[:, None] for name, value in phi.items()})
    return out | {f"study_{amplitude}": flat[amplitude][:, None] + sd * deviation, "theta": theta}


def _from_prior(spec, data, model, seed) -> dict[str, dict[str, np.ndarray]] | None:
    """Return draws from the prior and data replicated at them; None where a prior is improper."""
    priors = [*model.parameters.values(), *(c.prior for c in model.coefficients if not c.pooled)]
    if not all(p is not None and p.proper for p in priors):
        return None
    rng = stream(seed, "prior")
    flat = {name: prior.ppf(rng.random(PRIOR_DRAWS)) for name, prior in model.parameters.items()}
    draws = [
        rng.standard_normal(PRIOR_DRAWS) if c.pooled else c.prior.ppf(rng.random(PRIOR_DRAWS))
        for c in model.coefficients
    ]
    raw = np.column_stack(draws)
    flat |= model.named(raw)
    if "dose_error" in spec.terms:
        flat["dose_offset"] = rng.standard_normal((PRIOR_DRAWS, data.sizes["contrast"]))
    own, phi = _given(model, spec, data, flat)
    t = phi["nu"] if spec.heterogeneity == "student_t" else None
    deviation, spread, theta, y = from_prior(own, phi, raw, rng, nu=t)
    return {"prior": _variables(spec, model, flat, deviation["study"], theta, spread), "prior_predictive": {"y": y}}


def _log_prior(model: Structure, posterior: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the log prior density of every parameter and unpooled coefficient, each (S, ...) as in the posterior."""
    own = {c.variable: c.prior for c in model.coefficients if c.prior is not None and not c.pooled}
    return {name: prior.logpdf(posterior[name]) for name, prior in {**model.parameters, **own}.items()}


def _dataset(spec: ModelSpec, model: Structure, coords: Mapping[str, list], shape, variables) -> xr.Dataset:
    """Return variables (S, ...) as a Dataset with dims chain, draw and their own, with units."""
    dims = {"theta": "contrast", "y": "contrast", "dose_offset": "contrast", "spread_offset": "uncertain_spread"}
    dims |= {c.variable: c.dim for c in model.coefficients if c.dim} | {f"study_{spec.shape.amplitude}": "study"}
    own = {name: (dims[name],) if name in dims else () for name in variables}
    data = {
        name: (
            ("chain", "draw", *own[name]),
            value.reshape(*shape, *value.shape[1:]),
            {"unit": spec.priors[name].unit} if name in spec.priors else {},
        )
        for name, value in variables.items()
    }
    labels = {"chain": np.arange(shape[0]), "draw": np.arange(shape[1])}
    return xr.Dataset(data, coords=labels | {dim: coords[dim] for used in own.values() for dim in used})
