"""What the posterior says of the readings of suspect figures, and what each of them says of the effect."""

import numpy as np
import xarray as xr

from gmfmsim.model.likelihood import at_draws, likelihood
from gmfmsim.streams import stream


def reading_probability(posterior: xr.DataTree, data: xr.Dataset) -> xr.DataArray:
    """Return P(reading | draw, y), dims (chain, draw, reading): weight_r p(y | draw, r), normalised over readings.

    Its mean over draws is the posterior probability of each combination of readings.
    """
    group = posterior["posterior"].to_dataset()
    log_p = likelihood(data).by_reading(*at_draws(group, data))
    p = np.exp(log_p - log_p.max(axis=-1, keepdims=True))
    return xr.DataArray(p / p.sum(axis=-1, keepdims=True), dims=("chain", "draw", "reading"))


def i_squared(tau: xr.DataArray, group: xr.Dataset, data: xr.Dataset) -> xr.DataArray:
    """Return I2 = tau^2 / (tau^2 + s^2), dims (chain, draw, reading), a share; NaN for a single contrast.

    s^2 = (K - 1) sum w / ((sum w)^2 - sum w^2), w = 1 / se^2, is the typical error variance (Higgins & Thompson 2002)
    on the scale of the model, at each draw of `group`, its standard errors and its ratio of scales.
    """
    log_scale = at_draws(group, data)[1]
    covariance = likelihood(data).covariance
    se = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1)) * np.exp(log_scale)
    if "r" in group:
        ratio = group["r"].transpose("chain", "draw").values[..., None, None]
        se = se * np.where(data["gmfm66"].values, 1.0, ratio)
    w, k = se**-2.0, se.shape[-1]
    spread = w.sum(-1) ** 2 - (w**2).sum(-1)
    typical = (k - 1) * w.sum(-1) / spread if k > 1 else np.nan
    between = tau.transpose("chain", "draw").values[..., None] ** 2
    return xr.DataArray(between / (between + typical), dims=("chain", "draw", "reading"))


def given_reading(posterior: xr.DataTree, probability: xr.DataArray, seed: int) -> xr.DataTree:
    """Return the posterior given a reading: draws taken again in proportion to `probability` (chain, draw).

    Systematic resampling (Kitagawa 1996) keeps the draws in order, so that Monte Carlo errors by batches of
    consecutive draws still allow for autocorrelation. Group posterior only, same number of draws.
    """
    group = posterior["posterior"].to_dataset()
    weight = probability.transpose("chain", "draw").values.ravel()
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
