"""From posteriors to the truths of a new trial, and to the dose-response they imply."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from gmfmsim.dist.distributions import Distribution
from gmfmsim.model.curves import Curve
from gmfmsim.model.setting import Setting
from gmfmsim.model.terms import REFERENCE
from gmfmsim.streams import stream

BATCHES_PER_CHAIN = 50
INTERVAL_PROB = 0.95
"""Probability of the intervals of effects; the reports print it beside them."""


def effect_draws(
    posterior: xr.DataTree, curve: Curve, doses: Mapping[str, float], setting: Setting, month: float
) -> xr.Dataset:
    """Return the effect at every posterior draw: mean of studies and scatter between them (chain, draw, arm), and df.

    mean = a f(dose) against dose 0, with a the amplitude at the cells, route, age, level and month of the trial;
    scatter = sqrt(tau^2 + tau_arm^2 + tau_group^2) |f(dose)|, with df (chain, draw) degrees of freedom, infinite where
    study effects are normal. Biases of designs and small studies are not part of a truth.
    """
    group = posterior["posterior"].to_dataset()
    amplitude = group[curve.amplitude] + sum(_at(group, setting, month), xr.zeros_like(group[curve.amplitude]))
    variance = sum(group[name] ** 2 for name in ("tau", "tau_arm", "tau_group") if name in group)
    dose = xr.DataArray(
        list(doses.values()), dims="arm", coords={"arm": list(doses), "dose": ("arm", list(doses.values()))}
    )
    nonlinear = [group[name].transpose("chain", "draw").values[..., None] for name in curve.nonlinear]
    sizes = (group.sizes["chain"], group.sizes["draw"], dose.size)
    shape = xr.DataArray(
        np.broadcast_to(curve.shape(dose.values, *nonlinear), sizes), dims=("chain", "draw", "arm"), coords=dose.coords
    )
    df = group["nu"] if "nu" in group else xr.full_like(group["tau"], np.inf, dtype=float)
    effects = xr.Dataset({"mean": amplitude * shape, "scatter": np.sqrt(variance) * abs(shape), "df": df})
    return effects.transpose("chain", "draw", "arm")


def _at(group: xr.Dataset, setting: Setting, month: float) -> list[xr.DataArray]:
    """Return what the terms of a model add to the amplitude in the setting of the trial."""
    added = []
    if "class_effect" in group:
        added.append(group["class_effect"].sel(cell_class=setting.cell_class, drop=True))
    for name, dim, label in (("route_effect", "route", setting.route), ("month_effect", "month", month)):
        if name in group and label in group[dim].values:  # the reference category has no effect of its own
            added.append(group[name].sel({dim: label}, drop=True))
    for name, value in (("age", setting.age), ("gmfcs", setting.gmfcs)):
        if f"{name}_slope" in group:
            added.append(group[f"{name}_slope"] * (value - REFERENCE[name]))
    return added


def mix(parts: Sequence[xr.Dataset], shares: Sequence[float]) -> xr.Dataset:
    """Return draws (chain, draw) of several models in proportion to their shares, as many as the first has.

    Every chain takes the first draws of each model, by largest remainder, in turns: so any stretch of it has all models
    in their shares, and the Monte Carlo errors by batches do not take the distance of models for noise.
    """
    if len(parts) == 1:
        return parts[0]
    draws = parts[0].sizes["draw"]
    exact = np.array(shares) / np.sum(shares) * draws
    counts = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact)[: draws - counts.sum()]] += 1
    taken = xr.concat([p.isel(draw=slice(0, n)) for p, n in zip(parts, counts, strict=True)], dim="draw")
    turn = np.concatenate([(np.arange(n) + 0.5) / n for n in counts])
    return taken.isel(draw=np.argsort(turn, kind="stable"))


def truths(
    effects: xr.Dataset, *, sd_change: Distribution, planning_value: float, replicates: int, seed: int
) -> xr.Dataset:
    """Return what may be true in the next trial: effect (scenario, draw, arm), sd_change (draw).

    effects: `effect_draws`, mixed over models. `draw` runs over replicates, in rounds: every round visits each
    posterior draw once, in order, with fresh heterogeneity and a fresh SD, so that more replicates extend the rows and
    change none. Rows: `replicates` rounded up to whole rounds. Scenarios, effects in the model's unit against dose 0:

    - new_study: mean + scatter z, z ~ Normal(0, 1), or Student-t(df): heterogeneity included;
    - pooled_mean: the mean of study effects, tau left out;
    - planning_value: the given value for every arm with cells;
    - null: 0.

    `batch` (draw) numbers runs of consecutive posterior draws within a chain, for Monte Carlo errors that allow
    for autocorrelation (batch means, Flegal & Jones 2010).
    """
    arms = effects.sizes["arm"]
    mean, scatter = (effects[name].values.reshape(-1, arms) for name in ("mean", "scatter"))
    posterior_draws, per_chain = mean.shape[0], effects.sizes["draw"]
    rounds = -(-replicates // posterior_draws)
    z = np.concatenate([_deviations(effects, stream(seed, "new study", i)) for i in range(rounds)])
    u = np.concatenate([stream(seed, "sd of change", i).random(posterior_draws) for i in range(rounds)])
    mean, scatter = np.tile(mean, (rounds, 1)), np.tile(scatter, (rounds, 1))
    treated = effects["dose"].values > 0
    effect = {
        "new_study": mean + scatter * z[:, None],
        "pooled_mean": mean,
        "planning_value": np.broadcast_to(planning_value * treated, mean.shape),
        "null": np.zeros(mean.shape),
    }
    batches = min(BATCHES_PER_CHAIN, per_chain)
    chain, position = np.divmod(np.arange(posterior_draws), per_chain)
    batch = chain * batches + position * batches // per_chain
    return xr.Dataset(
        {
            "effect": (("scenario", "draw", "arm"), np.stack(list(effect.values()))),
            "sd_change": ("draw", sd_change.ppf(u)),
        },
        coords={"scenario": list(effect), "arm": effects["arm"].values, "batch": ("draw", np.tile(batch, rounds))},
        attrs={"rounds": rounds, "posterior_draws": posterior_draws},
    )


def _deviations(effects: xr.Dataset, rng: np.random.Generator) -> np.ndarray:
    """Return one standardised deviation of a new study for each draw: normal, or Student-t where df is finite."""
    df = effects["df"].values.ravel()
    z, heavy = rng.standard_normal(df.size), np.isfinite(df)
    if heavy.any():
        z[heavy] *= np.sqrt(df[heavy] / (2 * rng.standard_gamma(df[heavy] / 2)))
    return z


def dose_response(effects: xr.Dataset, dose: np.ndarray, seed: int) -> xr.Dataset:
    """Return the effect against dose: mean and equal-tailed 95 % interval (kind, dose), kinds mean and new_study.

    effects: `effect_draws` with one arm a dose. new_study is what one further study would show if it were large: its
    mean, or its centre where heterogeneity has no mean, is that of studies.
    """
    mean, scatter = (effects[name].values.reshape(-1, effects.sizes["arm"]) for name in ("mean", "scatter"))
    z = _deviations(effects, stream(seed, "dose-response"))
    values = np.stack([mean, mean + scatter * z[:, None]])
    low, high = np.quantile(values, [(1 - INTERVAL_PROB) / 2, (1 + INTERVAL_PROB) / 2], axis=1)
    return xr.Dataset(
        {
            "effect": (("kind", "dose"), np.stack([mean.mean(axis=0)] * 2)),
            "low": (("kind", "dose"), low),
            "high": (("kind", "dose"), high),
        },
        coords={"kind": ["mean", "new_study"], "dose": np.asarray(dose, float)},
        attrs={"interval": "equal-tailed", "interval_prob": INTERVAL_PROB},
    )
