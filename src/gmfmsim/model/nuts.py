"""The sampling engine: a structure to a PyMC model, and to draws of its parameters."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Annotated, Literal

import numpy as np

from gmfmsim.compute.labels import xr
from gmfmsim.dist.distributions import Distribution
from gmfmsim.files.toml import Spec, key
from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.structure import Structure, difference, structure
from gmfmsim.streams import integer_seed


class Sampler(Spec):
    """How a posterior is computed: by which engine, in how many draws, and how the sampling engine samples."""

    engine: Annotated[
        Literal["auto", "exact", "nuts"], key("auto: exact where it can, nuts elsewhere; or one of the two")
    ] = "auto"
    cross_check: Annotated[bool, key("hold a posterior of the exact engine to one of the sampling engine")] = True
    name: Annotated[Literal["nutpie", "pymc"], key("sampler of the nuts engine")] = "nutpie"
    chains: Annotated[int, key("chains", ge=2, le=64)] = 4
    draws: Annotated[int, key("draws of each chain", ge=100, le=100_000)] = 5000
    tune: Annotated[int, key("steps of each chain before them", ge=100, le=100_000)] = 1000
    target_accept: Annotated[float, key("acceptance that steps are tuned to", gt=0.5, lt=1)] = 0.99


@dataclass(frozen=True)
class Sampled:
    """Draws of what the sampler moves through: variables by name (chain, draw, ...), and its statistics."""

    variables: dict[str, np.ndarray]
    stats: xr.Dataset


def build(spec: ModelSpec, data: xr.Dataset):
    """Return the PyMC model of a declared model for a Dataset(contrast).

    Its variables are the parameters, the coefficients by name, and `spread_offset` u where standard errors are not
    known. Study effects are integrated out (they are drawn afterwards, see `complete`), so that no funnel is left to
    sample: y ~ sum_s w_s MvNormal(mean; effect_s, D V_s D + sum g g') in every block (see `Likelihood`). Student-t
    study effects are normal given their `study_precision`, which is sampled, as are errors in dose (`dose_offset`).
    The reported effects are `pm.Data` named `effect`, so that a compiled model takes other data.

    Raises ValueError if the curve needs a dose, or a term a covariate, that is not known.
    """
    import pymc as pm

    model = structure(spec, data)
    like = model.likelihood
    with pm.Model(coords=coords_of(model, data)) as graph:
        phi = {name: prior.node(name, transform=_transform(prior)) for name, prior in model.parameters.items()}
        if "dose_error" in spec.terms:
            phi["dose_offset"] = pm.Normal("dose_offset", dims="contrast")
            model = with_doses(model, spec, data)
        if spec.heterogeneity == "student_t":
            half = phi["nu"] / 2
            phi["study_precision"] = pm.Gamma("study_precision", alpha=half, beta=half, dims="study")
            model = with_tails(model)
        coefficients = _coefficients(model, phi)
        mean = sum(column * b for column, b in zip(model.columns(phi), coefficients, strict=True))
        spread = pm.Normal("spread_offset", dims="uncertain_spread") if like.uncertain_spread else np.zeros(1)
        _observe(model, mean, model.loads(phi), spread)
    return graph


LIGHT_TAILED = ("half_normal", "exponential", "gamma")


def _transform(prior: Distribution):
    """Return what a parameter with a light upper tail is sampled on: x with value = s log(1 + exp(x)), s its median.

    On log(value), PyMC's own choice, such a tail falls like exp(-exp(x)): a wall on which steps as long as the slow
    lower tail allows diverge, once in some hundred thousand draws. None for all others.
    """
    if prior.dist not in LIGHT_TAILED:
        return None
    import pytensor.tensor as pt
    from pymc.distributions.transforms import Transform

    scale = float(prior.ppf(0.5))

    class Softplus(Transform):
        name = "softplus"
        ndim_supp = 0

        def forward(self, value, *inputs):
            return pt.log(pt.expm1(value / scale))

        def backward(self, value, *inputs):
            return scale * pt.softplus(value)

        def log_jac_det(self, value, *inputs):
            return -pt.softplus(-value) + np.log(scale)

    return Softplus()


def coords_of(model: Structure, data: xr.Dataset) -> dict[str, list]:
    """Return the coordinates of the variables of a model: studies, contrasts, labels of coefficients."""
    study = list(dict.fromkeys(data["study"].values.tolist()))
    coords = {"study": study, "contrast": data["contrast"].values.tolist()}
    for c in model.coefficients:
        if c.dim:
            coords.setdefault(c.dim, []).append(c.label)
    if model.likelihood.uncertain_spread:
        coords["uncertain_spread"] = list(model.likelihood.uncertain_spread)
    return coords


def with_doses(model: Structure, spec: ModelSpec, data: xr.Dataset) -> Structure:
    """Return the structure with doses 10^(log10 dose + log10_dose_sd x phi["dose_offset"]), offset (..., contrast)."""
    dose, spread, control = (data[v].values for v in ("dose", "log10_dose_sd", "control_dose"))
    month = data["month"].values if "course" in spec.terms else None

    def shape(phi):
        return difference(spec, dose * 10.0 ** (spread * phi["dose_offset"]), control, month, phi)

    return replace(model, shape=shape)


def with_tails(model: Structure) -> Structure:
    """Return the structure in which study i has standard deviation tau / sqrt(phi["study_precision"]_i), (..., study).

    With precision ~ Gamma(nu / 2, nu / 2) its deviation is Student-t with nu degrees of freedom, and normal given it.
    """
    level = model.levels[0]

    def sd(phi):
        return level.sd(phi) / phi["study_precision"][..., level.units] ** 0.5

    return replace(model, levels=(replace(level, sd=sd), *model.levels[1:]))


def _coefficients(model: Structure, phi: Mapping) -> list:
    """Return a node for every coefficient; those with labels are elements of one vector."""
    import pymc as pm

    out = []
    for variable, group in groupby(model.coefficients, lambda c: c.variable):
        c, *more = group
        if c.parameter:
            node = 1.0
        elif c.pooled:
            node = pm.Normal(c.drawn, dims=c.dim)
            pm.Deterministic(variable, phi[c.pooled] * node, dims=c.dim)
        else:
            node = c.prior.node(variable, dims=c.dim)
        out += [node[i] for i in range(1 + len(more))] if c.dim else [node]
    return out


def _observe(model: Structure, mean, loads, spread) -> None:
    """Add the reported effects to the open PyMC model: `y`, under the most probable reading."""
    import pymc as pm
    import pytensor.tensor as pt

    like = model.likelihood
    first = np.empty(like.inside.sum())
    first[like.index[like.inside]] = like.effect[:, 0][like.inside]

    def logp(value, mean, loads, spread):
        moved = mean - (value - first)
        log_p = like.by_state(moved, model.gains(loads), like.log_scale(spread), pt.exp, pt.log)
        return pt.logsumexp(log_p, axis=-1).sum()

    def random(mean, loads, spread, rng=None, size=None):
        raise NotImplementedError("replicated data are drawn by model.complete")

    effect = pm.Data("effect", first, dims="contrast")
    stacked = pt.stack([pt.as_tensor(load) for load in loads])
    arguments = {"logp": logp, "random": random, "signature": "(k),(l,k),(u)->(k)", "dims": "contrast"}
    pm.CustomDist("y", mean, stacked, spread, observed=effect, **arguments)


ARVIZ_NAMES = {"depth": "tree_depth", "mean_tree_accept": "acceptance_rate"}
DIAGNOSTICS = ("diverging", "energy", "lp", "logp", "tree_depth", "n_steps", "step_size", "acceptance_rate")
"""What is kept of the samplers' statistics, under ArviZ's names."""


def sample(spec: ModelSpec, data: xr.Dataset, how: Sampler, seed: int, *, progress: bool = False) -> Sampled:
    """Sample a declared model; the draws depend on the seed alone."""
    import pymc as pm
    import pytensor

    graph = build(spec, data)
    # With fast-math the compiler may add in another order in code that it takes from its cache: other last bits, and so
    # other draws in a second run.
    with graph, _quiet_pymc(), pytensor.config.change_flags(numba__fastmath=False):
        tree = pm.sample(
            draws=how.draws,
            tune=how.tune,
            chains=how.chains,
            nuts_sampler=how.name,
            target_accept=how.target_accept,
            random_seed=integer_seed(seed, "nuts"),
            progressbar=progress,
            compute_convergence_checks=False,
        )
    posterior, stats = tree["posterior"].to_dataset(), tree["sample_stats"].to_dataset()
    variables = {name: posterior[name].transpose("chain", "draw", ...).values for name in posterior}
    stats = stats.rename({old: new for old, new in ARVIZ_NAMES.items() if old in stats})
    return Sampled(variables, stats[[name for name in DIAGNOSTICS if name in stats]])


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
