"""A declared model and a Dataset(contrast) to a PyMC model, and to a sampled DataTree."""

import logging
import sys
from contextlib import contextmanager, redirect_stdout
from typing import Annotated, Literal

import numpy as np
import xarray as xr
from pydantic import Field

from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.likelihood import Likelihood, likelihood, log_likelihood
from gmfmsim.spec import Spec
from gmfmsim.streams import integer_seed


class Sampler(Spec):
    """How the posterior is sampled."""

    name: Literal["nutpie", "pymc"] = "nutpie"
    chains: Annotated[int, Field(ge=2, le=64)] = 4
    draws: Annotated[int, Field(ge=100, le=100_000)] = 5000
    tune: Annotated[int, Field(ge=100, le=100_000)] = 1000
    target_accept: Annotated[float, Field(gt=0.5, lt=1)] = 0.99


def build(spec: ModelSpec, data: xr.Dataset):
    """Return the PyMC model of `spec` for `data`, with dims `study` and `contrast`.

    theta_c = a_i (f(dose_c) - f(control dose_c)); a_i = a + tau z_i with z_i ~ Normal(0, 1), non-centred
    (Papaspiliopoulos, Roberts & Skold 2007); y (K,) ~ sum_r w_r MvNormal(s theta + y - y_r, D V_r D) over the readings
    r of suspect figures, with prior weights w_r and effects y_r (one reading: MvNormal(s theta, D V D)). Where a
    standard error is not known, D = diag(exp(log_se_sd u_i)), u_i ~ Normal(0, 1) by study. Variables are named as in
    the model file, with `study_offset` z, `study_<amplitude>` a_i, `spread_offset` u and `theta`. r, the ratio of
    scales, is left out where every contrast was measured on the GMFM-66, since nothing there depends on it.

    Raises ValueError if the curve needs a dose that is not known.
    """
    import pymc as pm

    curve = spec.shape
    dose, control_dose = data["dose"].values, data["control_dose"].values
    if curve.uses_dose and not np.isfinite(dose + control_dose).all():
        unknown = data["contrast"].values[~np.isfinite(dose + control_dose)]
        raise ValueError(f"curve {spec.curve} needs a dose, and none is known for {', '.join(unknown)}")
    study = list(dict.fromkeys(data["study"].values.tolist()))
    index = np.array([study.index(s) for s in data["study"].values])
    prior, evidence = spec.priors, likelihood(data)
    with pm.Model(coords={"study": study, "contrast": data["contrast"].values}) as model:
        amplitude = prior[curve.amplitude].node(curve.amplitude)
        nonlinear = [prior[name].node(name) for name in curve.nonlinear]
        tau = prior["tau"].node("tau")
        offset = pm.Normal("study_offset", dims="study")
        by_study = pm.Deterministic(f"study_{curve.amplitude}", amplitude + tau * offset, dims="study")
        shape = curve.shape(dose, *nonlinear) - curve.shape(control_dose, *nonlinear)
        theta = pm.Deterministic("theta", by_study[index] * shape, dims="contrast")
        gmfm66 = data["gmfm66"].values
        mean = theta if gmfm66.all() else theta * pm.math.where(gmfm66, 1.0, 1.0 / prior["r"].node("r"))
        log_scale = np.zeros_like(evidence.log_se_sd)
        if uncertain := evidence.uncertain:
            model.add_coord("uncertain_spread", uncertain)
            spread = pm.Normal("spread_offset", dims="uncertain_spread")
            known = [uncertain.index(s) if s in uncertain else 0 for s in data["study"].values]
            log_scale = evidence.log_se_sd * spread[np.array(known)]
        _observe(evidence, mean, log_scale)
    return model


def _observe(evidence: Likelihood, mean, log_scale) -> None:
    """Add the observed `y`, the effects under the first reading, to the open PyMC model."""
    import pymc as pm

    def times(vectors, matrices):  # multiplied and summed: compiled, this is four times as fast as small dot products
        return (vectors[..., None, :] * matrices).sum(-1)

    def logp(value, mean, log_scale):
        others = value - evidence.effect[0]
        return pm.math.logsumexp(evidence.by_reading(mean - others, log_scale, pm.math.exp, times))

    def random(mean, log_scale, rng=None, size=None):
        return evidence.draw(mean, log_scale, rng)

    arguments = {"logp": logp, "random": random, "signature": "(k),(r,k)->(k)", "dims": "contrast"}
    pm.CustomDist("y", mean, log_scale, observed=evidence.effect[0], **arguments)


def fit(spec: ModelSpec, data: xr.Dataset, sampler: Sampler, seed: int, *, progress: bool = False) -> xr.DataTree:
    """Sample the posterior and return the DataTree that ArviZ alone can open.

    Groups: prior, prior_predictive, posterior, posterior_predictive, log_likelihood, sample_stats,
    observed_data, constant_data. Dims chain, draw, study, contrast; units as in the model file.
    """
    import pymc as pm
    import pytensor

    model = build(spec, data)
    # PyMC compiles for speed by default; the predictive draws are few, and compiling them would take longer.
    once = {"mode": "FAST_COMPILE"}
    # With fast-math the compiler may add in another order in code that it takes from its cache: other last bits, and so
    # other draws in a second run.
    with model, _quiet_pymc(), pytensor.config.change_flags(numba__fastmath=False):
        tree = pm.sample(
            draws=sampler.draws,
            tune=sampler.tune,
            chains=sampler.chains,
            nuts_sampler=sampler.name,
            target_accept=sampler.target_accept,
            random_seed=integer_seed(seed, "nuts"),
            progressbar=progress,
            compute_convergence_checks=False,
        )
        prior = pm.sample_prior_predictive(2000, random_seed=integer_seed(seed, "prior"), compile_kwargs=once)
        predictive = pm.sample_posterior_predictive(
            tree, random_seed=integer_seed(seed, "predictive"), progressbar=False, compile_kwargs=once
        )
    posterior = tree["posterior"].to_dataset().assign_attrs(target_accept=sampler.target_accept)
    for name, p in spec.priors.items():
        if name in posterior:
            posterior[name].attrs["unit"] = p.unit
    groups = {
        "posterior": posterior,
        "posterior_predictive": predictive["posterior_predictive"].to_dataset(),
        "prior": _in_order_of(posterior, prior["prior"].to_dataset()),
        "prior_predictive": prior["prior_predictive"].to_dataset(),
        "log_likelihood": log_likelihood(posterior, data),
        "sample_stats": _sample_stats(tree["sample_stats"].to_dataset()),
        "observed_data": tree["observed_data"].to_dataset(),
        "constant_data": data,
    }
    for group in groups.values():
        group.attrs = {k: v for k, v in group.attrs.items() if k not in ("created_at", "sampling_time")}
    return xr.DataTree.from_dict(groups)


def _in_order_of(template: xr.Dataset, group: xr.Dataset) -> xr.Dataset:
    """Return group with variables and coordinates in the order of template (PyMC orders a prior by hash: by run)."""
    coords = {name: group[name].variable for name in template.coords}
    return xr.Dataset({name: group[name].variable for name in template}, coords, group.attrs)


def _sample_stats(stats: xr.Dataset) -> xr.Dataset:
    """Keep the diagnostics that both samplers give, under ArviZ's names."""
    names = {"depth": "tree_depth", "mean_tree_accept": "acceptance_rate"}
    stats = stats.rename({old: new for old, new in names.items() if old in stats})
    kept = ("diverging", "energy", "lp", "logp", "tree_depth", "n_steps", "step_size", "acceptance_rate")
    return stats[[name for name in kept if name in stats]]


@contextmanager
def _quiet_pymc():
    """Keep PyMC's log lines out of the user's sight and its progress bar on stderr."""
    logger = logging.getLogger("pymc")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        logger.setLevel(level)
