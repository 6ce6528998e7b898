"""Densities of the evidence at posterior draws, and the importance weights that leave a part of it out."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from scipy import special

from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.draws import rows_of
from gmfmsim.model.nuts import with_doses
from gmfmsim.model.structure import Structure, structure

K_HAT_MAX = 0.7
"""Above this shape of the importance ratios' tail their mean is not to be trusted (Vehtari et al. 2024)."""


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
        mean = mean + column * (values[:, [i]] / phi[c.pooled] if c.pooled else values[:, [i]])
    loads = [np.broadcast_to(load, mean.shape) for load in model.loads(phi)]
    gains = model.gains(loads)
    if spec.heterogeneity == "student_t":
        mean = mean + loads[0] * deviations(spec, model, rows)[:, model.levels[0].units]
        gains = [gain for gain, (level, _) in zip(gains, model.slots, strict=True) if level != 0]
    log_scale = like.log_scale(rows["spread_offset"]) if like.uncertain_spread else 0.0
    return special.logsumexp(like.by_state(mean, gains, log_scale), axis=-1)


def deviations(spec: ModelSpec, model: Structure, rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the deviations of the studies in standard deviations between studies, (S, studies)."""
    amplitude = spec.shape.amplitude
    sd = model.levels[0].sd({name: rows[name][:, None] for name in model.parameters})
    return (rows[f"study_{amplitude}"] - rows[amplitude][:, None]) / sd


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
