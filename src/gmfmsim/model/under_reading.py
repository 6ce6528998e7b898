"""What the posterior says of the readings of suspect figures, and what each of them says of the effect."""

from __future__ import annotations

import numpy as np

from gmfmsim.compute.labels import xr
from gmfmsim.model.draws import by_draw
from gmfmsim.model.likelihood import likelihood
from gmfmsim.streams import stream


def reading_probability(posterior: xr.DataTree, data: xr.Dataset) -> xr.DataArray:
    """Return P(reading | draw, y), dims (chain, draw, reading): weight_r p(y | draw, r), normalised over readings.

    A reading here is a combination of one for every suspect study: p(y | draw, r) is the product over the blocks of
    the likelihood of their density in the state that r gives them, at the true effects `theta` of the draw. Its mean
    over draws is the posterior probability of each combination.
    """
    group = posterior["posterior"].to_dataset()
    like, weight = likelihood(data), data["weight"].values
    u = by_draw(group["spread_offset"]) if like.uncertain_spread else None
    mean = by_draw(group["theta"]) / _ratio(group, data)
    block, parts = np.arange(len(like.index))[:, None], []
    size = like.precision.size + like.state_of.size
    for rows in np.array_split(np.arange(mean.shape[0]), max(1, mean.shape[0] * size // 4_000_000)):
        log_p = like.by_state(mean[rows], (), 0.0 if u is None else like.log_scale(u[rows])) - like.log_weight
        parts.append(log_p[:, block, like.state_of].sum(axis=1) + np.log(weight))
    log_p = np.concatenate(parts)
    p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
    return _by_draw(p / p.sum(axis=1, keepdims=True), group)


def i_squared(tau: xr.DataArray, group: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
    """Return I2 = tau^2 / (tau^2 + s^2), dims (chain, draw, reading), a share; NaN for a single contrast.

    s^2 = (K - 1) sum w / ((sum w)^2 - sum w^2), w = 1 / se^2, is the typical error variance (Higgins & Thompson 2002)
    on the scale of the model, at each draw of `group`, its standard errors and its ratio of scales. A pool of several
    trials is none of the K.
    """
    covariance = data["covariance"].transpose("reading", "contrast", "contrast_").values
    se = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1)) * _ratio(group, data)[:, None, :]
    like = likelihood(data)
    if like.uncertain_spread:
        u = {name: by_draw(group["spread_offset"])[:, i] for i, name in enumerate(like.uncertain_spread)}
        offset = np.stack([u.get(s, np.zeros(se.shape[0])) for s in data["study"].values.tolist()], axis=-1)
        se = se * np.exp(data["log_se_sd"].transpose("reading", "contrast").values * offset[:, None, :])
    if "pooled_trials" in data:
        se = se[..., data["pooled_trials"].values == 1]
    w, k = se**-2.0, se.shape[-1]
    spread = w.sum(-1) ** 2 - (w**2).sum(-1)
    typical = (k - 1) * w.sum(-1) / spread if k > 1 else np.nan
    between = by_draw(tau)[:, None] ** 2
    return _by_draw(between / (between + typical), group)


def _ratio(group: xr.Dataset, data: xr.Dataset) -> np.ndarray:
    """Return GMFM-66 points per point of the scale of each contrast, (S, K)."""
    gmfm66 = data["gmfm66"].values
    if "r" not in group:
        return np.ones((group.sizes["chain"] * group.sizes["draw"], gmfm66.size))
    return np.where(gmfm66, 1.0, by_draw(group["r"])[:, None])


def _by_draw(values: np.ndarray, group: xr.Dataset) -> xr.DataArray:
    shape = (group.sizes["chain"], group.sizes["draw"], -1)
    return xr.DataArray(values.reshape(shape), dims=("chain", "draw", "reading"))


def given_reading(posterior: xr.DataTree, probability: xr.DataArray, seed: int) -> xr.DataTree:
    """Return the posterior given a reading: draws taken again in proportion to `probability` (chain, draw).

    Systematic resampling (Kitagawa 1996) keeps the draws in order, so that Monte Carlo errors by batches of
    consecutive draws still allow for autocorrelation. Group posterior only, same number of draws.
    """
    group = posterior["posterior"].to_dataset()
    weight = by_draw(probability)
    edges = np.cumsum(weight) / weight.sum()
    size = weight.size
    points = (np.arange(size) + stream(seed, "given a reading").random()) / size
    taken = np.minimum(np.searchsorted(edges, points), size - 1)
    chain, draw = (
        xr.DataArray(i.reshape(probability.shape), dims=("chain", "draw"))
        for i in np.divmod(taken, group.sizes["draw"])
    )
    again = group.isel(chain=chain, draw=draw).drop_vars(("chain", "draw"))
    return xr.DataTree.from_dict({"posterior": again.transpose("chain", "draw", ...)})
