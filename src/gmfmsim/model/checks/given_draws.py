"""Densities of the evidence at posterior draws, and what follows from them.

Importance weights that leave a part of it out; how much the answer moves when priors or evidence count more or less.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import special

from gmfmsim.compute.labels import xr
from gmfmsim.dist.distributions import Fixed
from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.draws import rows_of
from gmfmsim.model.nuts import with_doses
from gmfmsim.model.structure import Structure, structure

K_HAT_MAX = 0.7
"""Above this shape of the importance ratios' tail their mean is not to be trusted (Vehtari et al. 2024)."""
THRESHOLD = 0.05
"""From here on a quantity counts as sensitive (Kallioinen et al. 2023)."""
ALPHAS = 0.99, 1.01
"""Powers between which the distance by doubling is taken."""

BATCHES_PER_CHAIN = 5
FEWEST_IN_BATCH = 50
"""Draws of a batch at least: the tails of fewer cannot be smoothed."""


def block_density(spec: ModelSpec, data: xr.Dataset, posterior: xr.Dataset) -> np.ndarray:
    """Return log p(y_b | parameters, coefficients) of every block at every draw, (S, B).

    A block holds the contrasts that share a study or children. Its readings are averaged over and its study effects
    integrated out, but for Student-t ones, at which the density is taken. Offsets of unknown standard errors and of
    doses are those of the draw.
    """
    rows, model = rows_of(posterior), structure(spec, data)
    size = next(iter(rows.values())).shape[0]
    pieces = np.array_split(np.arange(size), max(1, size * model.likelihood.precision.size // 4_000_000))
    return np.concatenate(
        [_block_density(spec, data, model, {name: v[piece] for name, v in rows.items()}) for piece in pieces]
    )


def _block_density(spec: ModelSpec, data: xr.Dataset, model: Structure, rows: Mapping[str, np.ndarray]) -> np.ndarray:
    phi = {name: rows[name][:, None] for name in model.parameters}
    if "dose_offset" in rows:
        model, phi["dose_offset"] = with_doses(model, spec, data), rows["dose_offset"]
    like, mean = model.likelihood, 0.0
    values = np.column_stack([rows[name] for name in dict.fromkeys(c.variable for c in model.coefficients)])
    for i, (column, c) in enumerate(zip(model.columns(phi), model.coefficients, strict=True)):
        mean = mean + column * (values[:, [i]] / phi[c.factor] if c.factor else values[:, [i]])
    loads = [np.broadcast_to(load, mean.shape) for load in model.loads(phi)]
    gains = model.gains(loads)
    if spec.heterogeneity == "student_t":
        mean = mean + loads[0] * deviations(spec, model, rows)[:, model.levels[0].units]
        gains = [gain for gain, (level, _) in zip(gains, model.slots, strict=True) if level != 0]
    log_scale = like.log_scale(rows["spread_offset"]) if like.uncertain_spread else 0.0
    return special.logsumexp(like.by_state(mean, gains, log_scale), axis=-1)


def deviations(spec: ModelSpec, model: Structure, rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the deviations of the studies in standard deviations between studies, (S, studies); 0 where none is."""
    amplitude = spec.shape.amplitude
    level = model.levels[0]
    sd = level.by_unit(level.sd({name: rows[name][:, None] for name in model.parameters}))
    apart: np.ndarray = rows[f"study_{amplitude}"] - rows[amplitude][:, None]
    return np.divide(apart, sd, out=np.zeros_like(apart), where=sd > 0)


def smoothed_weights(log_ratio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return normalised weights (S, ...) by Pareto-smoothed importance sampling and k-hat (...).

    log_ratio (S, ...): logarithms of the importance ratios. Source: Vehtari, Simpson, Gelman, Yao & Gabry (2024).
    """
    from arviz_stats.base import array_stats

    columns = log_ratio.reshape(log_ratio.shape[0], -1).T
    found = [array_stats.psislw(-column) for column in columns]  # it takes log densities, and inverts them
    log_weight = np.stack([w for w, _ in found], axis=1)
    k_hat = np.array([float(k) for _, k in found])
    return special.softmax(log_weight, axis=0).reshape(log_ratio.shape), k_hat.reshape(log_ratio.shape[1:])


def power_scaling(tree: xr.DataTree, spec: ModelSpec, data: xr.Dataset, effect: xr.DataArray) -> xr.Dataset:
    """Return the sensitivity of the posterior to prior and likelihood, Dataset(quantity).

    p(phi | y, alpha) is proportional to p(phi)^alpha p(y | phi), or p(phi) p(y | phi)^alpha, with all priors joined and
    the likelihood of the parameters: study effects integrated out. For the amplitude, tau and `effect` (chain, draw),
    the effect at the dose of the trial: the distance (cumulative Jensen-Shannon) that the distribution moves per
    doubling of alpha. For "P(effect > 0)": what it gains per doubling, ln 2 cov(effect > 0, log density). Each as
    `prior` and `likelihood`, with `_mcse`; `diagnosis` holds the size of both to 0.05.

    Source: Kallioinen, Paananen, Buerkner & Vehtari (2023).
    """
    group, prior = tree["posterior"].to_dataset(), tree["log_prior"].to_dataset()
    chains, draws = group.sizes["chain"], group.sizes["draw"]
    log_p = block_density(spec, data, group).reshape(chains, draws, -1)
    wanted = {spec.shape.amplitude: group[spec.shape.amplitude], "tau": group["tau"], "effect": effect}
    if isinstance(spec.priors["tau"], Fixed):  # it moves with nothing
        del wanted["tau"]
    quantities = np.array([_by_chain(value) for value in wanted.values()])
    densities = {
        "prior": sum(_by_chain(by_label).reshape(chains, draws, -1).sum(-1) for by_label in prior.values()),
        "likelihood": log_p.sum(axis=-1),
    }
    columns = {}
    for name, density in densities.items():
        moved, moved_mcse = _distances(quantities, density)
        gained, gained_mcse = _gain(quantities[-1] > 0, density)
        columns |= {name: np.append(moved, gained), f"{name}_mcse": np.append(moved_mcse, gained_mcse)}
    conflict = np.abs(columns["likelihood"]) >= THRESHOLD
    said = np.where(conflict, "prior-data conflict", "strong prior or weak likelihood")
    columns["diagnosis"] = np.where(np.abs(columns["prior"]) < THRESHOLD, "-", said).tolist()
    coords = {"quantity": [*wanted, "P(effect > 0)"]}
    return xr.Dataset({name: ("quantity", value) for name, value in columns.items()}, coords=coords)


def _by_chain(array: xr.DataArray) -> np.ndarray:
    return array.transpose("chain", "draw", ...).values


def _distances(quantities: np.ndarray, log_density: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how far each quantity (quantity, chain, draw) moves, and its Monte Carlo standard error, by batches of
    consecutive draws."""
    per_chain = max(1, min(BATCHES_PER_CHAIN, log_density.shape[1] // FEWEST_IN_BATCH))
    size = log_density.shape[1] // per_chain
    batches = [
        _moved(quantities[:, [c], i * size : (i + 1) * size], log_density[[c], i * size : (i + 1) * size])
        for c in range(log_density.shape[0])
        for i in range(per_chain)
    ]
    return _moved(quantities, log_density), np.std(batches, axis=0, ddof=1) / np.sqrt(len(batches))


def _moved(quantities: np.ndarray, log_density: np.ndarray) -> np.ndarray:
    from arviz_stats.base import array_stats

    if np.ptp(log_density) == 0:  # flat priors have nothing to scale
        return np.zeros(len(quantities))
    scaled = [np.exp(array_stats.power_scale_lw(log_density, alpha=alpha, axis=(-2, -1))) for alpha in ALPHAS]
    weights = [np.broadcast_to(w / w.sum(), quantities.shape) for w in scaled]
    return array_stats.power_scale_sense(quantities, *weights, *ALPHAS)


def _gain(event: np.ndarray, log_density: np.ndarray) -> tuple[float, float]:
    """Return the derivative of the probability of an event by log2 alpha, and its Monte Carlo standard error."""
    import arviz as az

    product = np.log(2) * (event - event.mean()) * (log_density - log_density.mean())
    return float(product.mean()), float(az.mcse(product, method="mean")) if np.ptp(product) > 0 else 0.0
