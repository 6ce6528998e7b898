"""One DataTree for both engines: posterior, predictive, log-likelihood, prior and data, under the same names."""

from collections.abc import Mapping

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
    own = _with_doses(model, spec, data, flat)
    phi, deviation_sd = _phi(model, flat), {}
    if "study_precision" in flat:
        own, phi["study_precision"] = with_tails(own), flat["study_precision"]
        deviation_sd["study"] = flat["study_precision"] ** -0.5
    found = complete(own, phi, _raw(model, flat), stream(seed, "complete"), spread=flat.get("spread_offset"))
    deviation = {name: z * deviation_sd.get(name, 1.0) for name, z in found.deviation.items()}
    posterior = _variables(spec, model, flat, deviation, found.theta, found.spread)
    first = data.isel(reading=0)
    coords, dims = coords_of(model, data), _dims(spec, model)

    def group(variables: Mapping[str, np.ndarray], shape=(chains, draws)) -> xr.Dataset:
        return _dataset(variables, spec, coords, dims, shape)

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
        groups |= {name: group(values, (1, PRIOR_DRAWS)) for name, values in prior.items()}
    return xr.DataTree.from_dict(groups)


def _with_doses(model, spec, data, flat) -> Structure:
    return with_doses(model, spec, data) if "dose_offset" in flat else model


def _phi(model: Structure, flat: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    sampled = [name for name in ("dose_offset",) if name in flat]
    return {name: flat[name] for name in (*model.parameters, *sampled)}


def _raw(model: Structure, flat: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the coefficients (S, p) as the columns of the structure take them."""
    names = dict.fromkeys(f"{c.variable}_offset" if c.pooled else c.variable for c in model.coefficients)
    return np.column_stack([flat[name] for name in names])


def _variables(spec, model, flat, deviation, theta, spread) -> dict[str, np.ndarray]:
    """Return the named variables (S, ...) of a posterior or prior."""
    amplitude, phi = spec.shape.amplitude, {name: flat[name] for name in model.parameters}
    out = {amplitude: flat[amplitude]} | phi
    for c in model.coefficients[1:]:
        if c.variable not in out:
            out[c.variable] = flat[f"{c.variable}_offset"] * phi[c.pooled][:, None] if c.pooled else flat[c.variable]
    if model.likelihood.uncertain_spread:
        out["spread_offset"] = spread
    if "dose_offset" in flat:
        out["dose_offset"] = flat["dose_offset"]
    level = model.levels[0]
    sd = level.sd({name: value[:, None] for name, value in phi.items()})
    return out | {f"study_{amplitude}": flat[amplitude][:, None] + sd * deviation[level.name], "theta": theta}


def _from_prior(spec, data, model, seed) -> dict[str, dict[str, np.ndarray]] | None:
    """Return draws from the prior and data replicated at them; None where a prior is improper."""
    priors = [*model.parameters.values(), *(c.prior for c in model.coefficients if not c.pooled)]
    if not all(p is not None and p.proper for p in priors):
        return None
    rng = stream(seed, "prior")
    flat = {name: prior.ppf(rng.random(PRIOR_DRAWS)) for name, prior in model.parameters.items()}
    for c in model.coefficients:
        name = f"{c.variable}_offset" if c.pooled else c.variable
        value = rng.standard_normal(PRIOR_DRAWS) if c.pooled else c.prior.ppf(rng.random(PRIOR_DRAWS))
        flat[name] = np.column_stack([flat[name], value] if name in flat else [value]) if c.dim else value
    if "dose_error" in spec.terms:
        flat["dose_offset"] = rng.standard_normal((PRIOR_DRAWS, data.sizes["contrast"]))
    own = _with_doses(model, spec, data, flat)
    t = _phi(model, flat)["nu"] if spec.heterogeneity == "student_t" else None
    deviation, spread, theta, y = from_prior(own, _phi(model, flat), _raw(model, flat), rng, nu=t)
    return {"prior": _variables(spec, model, flat, deviation, theta, spread), "prior_predictive": {"y": y}}


def _log_prior(model: Structure, posterior: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the log prior density of every parameter and unpooled coefficient, each (S, ...) as in the posterior."""
    out = {name: prior.logpdf(posterior[name]) for name, prior in model.parameters.items()}
    own = {c.variable: c.prior for c in model.coefficients if c.prior is not None and not c.pooled}
    return out | {name: prior.logpdf(posterior[name]) for name, prior in own.items()}


def _dims(spec: ModelSpec, model: Structure) -> dict[str, str]:
    """Return the dimension of every variable that has one."""
    fixed = {"theta": "contrast", "y": "contrast", "dose_offset": "contrast", "spread_offset": "uncertain_spread"}
    return fixed | {c.variable: c.dim for c in model.coefficients if c.dim} | {f"study_{spec.shape.amplitude}": "study"}


def _dataset(variables, spec: ModelSpec, coords: Mapping[str, list], dims: Mapping[str, str], shape) -> xr.Dataset:
    """Return variables (S, ...) as a Dataset with dims chain, draw and their own, with units."""
    own = {name: (dims[name],) if name in dims else () for name in variables}
    data = {
        name: (("chain", "draw", *own[name]), value.reshape(*shape, *value.shape[1:]))
        for name, value in variables.items()
    }
    labels = {"chain": np.arange(shape[0]), "draw": np.arange(shape[1])}
    dataset = xr.Dataset(data, coords=labels | {dim: coords[dim] for used in own.values() for dim in used})
    for name in dataset:
        if name in spec.priors:
            dataset[name].attrs["unit"] = spec.priors[name].unit
    return dataset
