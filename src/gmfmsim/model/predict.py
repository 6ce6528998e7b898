"""From a posterior to the truths of a new trial, and to the dose-response it implies."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from gmfmsim.model.curves import CURVES, Curve
from gmfmsim.model.priors import Distribution
from gmfmsim.streams import stream

BATCHES_PER_CHAIN = 50
INTERVAL_PROB = 0.95
"""Probability of the intervals of effects; the reports print it beside them."""


def truths(
    posterior: xr.DataTree,
    *,
    curve: Curve = CURVES["constant"],
    doses: Mapping[str, float],
    sd_change: Distribution,
    planning_value: float,
    replicates: int,
    seed: int,
) -> xr.Dataset:
    """Return what may be true in the next trial: effect (scenario, draw, arm), sd_change (draw).

    `draw` runs over replicates, in rounds: every round visits each posterior draw once, in order, with fresh
    heterogeneity and a fresh SD, so that more replicates extend the rows and change none. Rows: `replicates`
    rounded up to whole rounds. Scenarios, effects in the model's unit against dose 0:

    - new_study: (a + tau z) f(dose), z ~ Normal(0, 1): heterogeneity included;
    - pooled_mean: a f(dose): the mean of study effects, tau left out;
    - planning_value: the given value for every arm with cells;
    - null: 0.

    `batch` (draw) numbers runs of consecutive posterior draws within a chain, for Monte Carlo errors that allow
    for autocorrelation (batch means, Flegal & Jones 2010).
    """
    group = posterior["posterior"].to_dataset()
    amplitude, tau, *nonlinear = (
        group[name].transpose("chain", "draw").values.ravel() for name in (curve.amplitude, "tau", *curve.nonlinear)
    )
    posterior_draws, per_chain = amplitude.size, group.sizes["draw"]
    rounds = -(-replicates // posterior_draws)
    z = np.concatenate([stream(seed, "new study", i).standard_normal(posterior_draws) for i in range(rounds)])
    u = np.concatenate([stream(seed, "sd of change", i).random(posterior_draws) for i in range(rounds)])
    shape = np.stack([np.broadcast_to(curve.shape(d, *nonlinear), posterior_draws) for d in doses.values()], axis=-1)
    a, scatter, shape = np.tile(amplitude, rounds), np.tile(tau, rounds), np.tile(shape, (rounds, 1))
    treated = np.array([d > 0 for d in doses.values()], float)
    effect = {
        "new_study": (a + scatter * z)[:, None] * shape,
        "pooled_mean": a[:, None] * shape,
        "planning_value": np.broadcast_to(planning_value * treated, shape.shape),
        "null": np.zeros(shape.shape),
    }
    batches = min(BATCHES_PER_CHAIN, per_chain)
    chain, position = np.divmod(np.arange(posterior_draws), per_chain)
    batch = chain * batches + position * batches // per_chain
    return xr.Dataset(
        {
            "effect": (("scenario", "draw", "arm"), np.stack(list(effect.values()))),
            "sd_change": ("draw", sd_change.ppf(u)),
        },
        coords={"scenario": list(effect), "arm": list(doses), "batch": ("draw", np.tile(batch, rounds))},
        attrs={"rounds": rounds, "posterior_draws": posterior_draws},
    )


def dose_response(posterior: xr.DataTree, *, curve: Curve, dose: np.ndarray, seed: int) -> xr.Dataset:
    """Return the effect against dose: mean and equal-tailed 95 % interval (kind, dose), kinds mean and new_study.

    mean is a f(dose), the mean of study effects; new_study is (a + tau z) f(dose), what one further study would
    show if it were large.
    """
    group = posterior["posterior"].to_dataset().stack(sample=("chain", "draw"))
    amplitude = group[curve.amplitude].values
    z = stream(seed, "dose-response").standard_normal(amplitude.size)
    shape = curve.shape(np.asarray(dose, float)[:, None], *(group[name].values for name in curve.nonlinear))
    effects = np.stack([amplitude * shape, (amplitude + group["tau"].values * z) * shape])
    low, high = np.quantile(effects, [(1 - INTERVAL_PROB) / 2, (1 + INTERVAL_PROB) / 2], axis=-1)
    return xr.Dataset(
        {
            "effect": (("kind", "dose"), effects.mean(axis=-1)),
            "low": (("kind", "dose"), low),
            "high": (("kind", "dose"), high),
        },
        coords={"kind": ["mean", "new_study"], "dose": np.asarray(dose, float)},
        attrs={"interval": "equal-tailed", "interval_prob": INTERVAL_PROB},
    )
