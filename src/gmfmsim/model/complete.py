"""From draws of parameters and coefficients to one DataTree for both engines.

What both leave to Gaussian algebra is drawn here given the rest: readings, study effects and replicated data.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy import special

from gmfmsim.compute.algebra import cholesky, inverse, product, solve_lower, solve_upper, transposed
from gmfmsim.compute.labels import xr
from gmfmsim.dist.distributions import Fixed
from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.draws import choose, inverse_cdf
from gmfmsim.model.likelihood import NEVER, Likelihood
from gmfmsim.model.nuts import coords_of, with_doses, with_tails
from gmfmsim.model.structure import Structure
from gmfmsim.streams import stream

PRIOR_DRAWS = 2000
SPREAD_GRID = np.linspace(-6, 6, 121)
"""Points on which the offset of an unknown standard error is drawn where the engine has integrated it."""


class Completed(NamedTuple):
    """Draws of what is normal or discrete given parameters and coefficients.

    spread (S, uncertain); deviation (S, studies), in standard deviations; theta (S, K): the effects in GMFM-66 points;
    log_likelihood and replicated (S, K).
    """

    spread: np.ndarray
    deviation: np.ndarray
    theta: np.ndarray
    log_likelihood: np.ndarray
    replicated: np.ndarray


def complete(
    model: Structure,
    phi: Mapping[str, np.ndarray],
    coefficients: np.ndarray,
    rng: np.random.Generator,
    *,
    spread: np.ndarray | None = None,
) -> Completed:
    """Complete draws of parameters (S,) or (S, n) by name and of coefficients (S, p), as `model` takes them.

    spread (S, uncertain) comes from an engine that samples it; else it is drawn here from its conditional distribution.
    Blocks of draws keep memory small.
    """
    size, like = coefficients.shape[0], model.likelihood
    per_draw = like.effect.size * (SPREAD_GRID.size if like.uncertain_spread and spread is None else 8)
    parts = []
    for rows in np.array_split(np.arange(size), max(1, size * per_draw // 8_000_000)):
        some = {name: value[rows, None] if value.ndim == 1 else value[rows] for name, value in phi.items()}
        parts.append(_complete(model, some, coefficients[rows], rng, None if spread is None else spread[rows]))
    return Completed(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _complete(model, phi, coefficients, rng, spread) -> Completed:
    like = model.likelihood
    size = coefficients.shape[0]
    columns = np.stack(np.broadcast_arrays(*model.columns(phi), np.zeros((size, 1)))[:-1], axis=-1)
    loads = [np.broadcast_to(load, columns.shape[:2]) for load in model.loads(phi)]
    mean = (columns * coefficients[:, None, :]).sum(-1)
    gains = model.gains(loads)
    if spread is None:
        spread = _draw_spread(like, mean, gains, rng)
    log_scale = like.log_scale(spread) if like.uncertain_spread else 0.0
    state = choose(special.softmax(like.by_state(mean, gains, log_scale), axis=-1), rng)
    deviation = _deviations(model, gains, mean, log_scale, state, rng)
    for level, load in zip(model.levels, loads, strict=True):
        mean = mean + load * deviation[level.name][:, level.units]
    theta = mean / model.scale(phi)
    pointwise = _pointwise(like, mean, log_scale)
    return Completed(spread, deviation["study"], theta, pointwise, replicate(like, mean, log_scale, rng))


def from_prior(
    model: Structure, phi: Mapping[str, np.ndarray], coefficients: np.ndarray, rng: np.random.Generator, nu=None
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
    """Return deviations by level, spread (S, uncertain), theta (S, K) and data (S, K) drawn at draws from the prior.

    nu (S,): degrees of freedom of Student-t study deviations.
    """
    size = coefficients.shape[0]
    phi = {name: value[:, None] if value.ndim == 1 else value for name, value in phi.items()}
    mean = sum(column * coefficients[:, [i]] for i, column in enumerate(model.columns(phi)))
    deviation = {}
    for level, load in zip(model.levels, model.loads(phi), strict=True):
        z = rng.standard_normal((size, level.units.max() + 1))
        if nu is not None and level.name == "study":
            z = z / np.sqrt(rng.chisquare(nu[:, None], z.shape) / nu[:, None])
        deviation[level.name] = z
        mean = mean + load * z[:, level.units]
    like = model.likelihood
    spread = rng.standard_normal((size, max(1, len(like.uncertain_spread))))
    y = replicate(like, mean, like.log_scale(spread) if like.uncertain_spread else 0.0, rng)
    return deviation, spread, mean / model.scale(phi), y


def _draw_spread(like: Likelihood, mean, gains, rng) -> np.ndarray:
    """Return offsets u (S, uncertain) of unknown standard errors given all else, readings integrated."""
    size, count = mean.shape[0], len(like.uncertain_spread)
    out = np.zeros((size, max(1, count)))
    grid = np.zeros((SPREAD_GRID.size, max(1, count)))
    for u in range(count):
        blocks = ((like.log_se_sd > 0).any(axis=1) & (like.uncertain == u)).any(axis=1)
        grid[:], grid[:, u] = 0.0, SPREAD_GRID
        part = like.take(blocks)
        of_part = [g[:, None, blocks, : part.index.shape[1]] for g in gains]
        log_p = part.by_state(mean[:, None], of_part, part.log_scale(grid))
        log_p = special.logsumexp(log_p, axis=-1).sum(-1) - SPREAD_GRID**2 / 2
        f = np.exp(log_p - log_p.max(axis=1, keepdims=True))
        out[:, u] = inverse_cdf(SPREAD_GRID, f, rng.random(size))
    return out


def _deviations(model: Structure, gains, mean, log_scale, state, rng) -> dict[str, np.ndarray]:
    """Return the deviations of the units, standard normal before the data, drawn given everything else.

    With e = y - mean and G the gains: z ~ Normal(Q^-1 G' P e, Q^-1), Q = I + G' P G.
    """
    like = model.likelihood
    rows, block = np.arange(mean.shape[0])[:, None], np.arange(len(like.index))
    shrink = np.exp(-log_scale[rows, block, state]) if like.uncertain_spread else 1.0
    residual = (like.effect[block, state] - like.place(mean)) * shrink
    precision = like.precision[block, state]
    g = np.stack([gain * shrink for gain in gains], axis=-1)
    pg = product(precision, g)
    root = cholesky(np.eye(len(gains)) + product(transposed(g), pg))
    half = solve_lower(root, product(transposed(pg), residual[..., None]))
    z = solve_upper(transposed(root), half + rng.standard_normal(half.shape[:-1])[..., None])[..., 0]
    out = {}
    for k, (number, mask) in enumerate(model.slots):
        level = model.levels[number]
        values = out.setdefault(level.name, np.zeros((mean.shape[0], level.units.max() + 1)))
        for b in np.flatnonzero(mask.any(axis=1)):
            values[:, level.units[like.index[b][mask[b]][0]]] = z[:, b, k]
    return out


def _pointwise(like: Likelihood, mean, log_scale) -> np.ndarray:
    """Return log p(y_c | the other contrasts, study effects, parameters), (S, K)."""
    whole = like.by_state(mean, (), log_scale)
    left_out = whole[..., None] - like.conditional(mean, log_scale)
    return like.taken(special.logsumexp(whole, axis=-1)[..., None] - special.logsumexp(left_out, axis=-2))


def replicate(like: Likelihood, mean: np.ndarray, log_scale, rng: np.random.Generator) -> np.ndarray:
    """Return replicated data (S, K) at means (S, K), on the scale of the most probable reading.

    A reading by its weight, then MvNormal(mean, D V D), moved by what that reading adds to the reported effect.
    """
    weight = np.where(like.log_weight > NEVER, np.exp(like.log_weight), 0.0)
    state = choose(np.broadcast_to(weight, (mean.shape[0], *weight.shape)), rng)
    rows, block = np.arange(mean.shape[0])[:, None], np.arange(len(like.index))
    root = cholesky(inverse(like.precision))[block, state]
    noise = product(root, rng.standard_normal((*state.shape, like.index.shape[1], 1)))[..., 0]
    if like.uncertain_spread:
        noise = noise * np.exp(log_scale[rows, block, state])
    return like.taken(like.place(mean) - (like.effect[block, state] - like.effect[block, 0]) + noise)


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
    found = complete(own, phi, model.stacked(flat), stream(seed, "complete"), spread=flat.get("spread_offset"))
    posterior = _variables(spec, model, flat, found.deviation * deviation_sd, found.theta, found.spread)
    first, group = data.isel(reading=0), partial(_dataset, spec, model, coords_of(model, data), (chains, draws))
    groups = {
        "posterior": group(posterior).assign_attrs(_held(model)),
        "posterior_predictive": group({"y": found.replicated}),
        "log_likelihood": group({"y": found.log_likelihood}),
        "log_prior": group(_log_prior(model, posterior)),
        "observed_data": xr.Dataset({"y": first["effect"]}),
        "constant_data": data,
    }
    groups["log_likelihood"].attrs["definition"] = "log density of each contrast given the others and the parameters"
    if stats is not None:
        groups["sample_stats"] = stats
    if prior := _prior_groups(spec, data, model, seed):
        group = partial(_dataset, spec, model, coords_of(model, data), (1, PRIOR_DRAWS))
        groups |= {name: group(values) for name, values in prior.items()}
    return xr.DataTree.from_dict(groups)


def _held(model: Structure) -> dict[str, str]:
    """Return the names of the parameters that are held at a value, as an attribute; nothing where none is."""
    names = [name for name, prior in model.parameters.items() if isinstance(prior, Fixed)]
    return {"held": ", ".join(names)} if names else {}


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
    for c in (c for c in model.coefficients[1:] if c.parameter is None):
        out[c.variable] = flat[c.drawn] * phi[c.pooled][:, None] if c.pooled else flat[c.drawn]
    if model.likelihood.uncertain_spread:
        out["spread_offset"] = spread
    if "dose_offset" in flat:
        out["dose_offset"] = flat["dose_offset"]
    level = model.levels[0]
    sd = level.by_unit(level.sd({name: value[:, None] for name, value in phi.items()}))
    return out | {f"study_{amplitude}": flat[amplitude][:, None] + sd * deviation, "theta": theta}


def _prior_groups(spec, data, model, seed) -> dict[str, dict[str, np.ndarray]] | None:
    """Return draws from the prior and data replicated at them; None where a prior is improper."""
    priors = [*model.parameters.values(), *(c.prior for c in model.coefficients if not c.factor)]
    if not all(p is not None and p.proper for p in priors):
        return None
    rng = stream(seed, "prior")
    flat = {name: prior.ppf(rng.random(PRIOR_DRAWS)) for name, prior in model.parameters.items()}
    raw = np.column_stack([c.from_prior(rng, PRIOR_DRAWS) for c in model.coefficients])
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
