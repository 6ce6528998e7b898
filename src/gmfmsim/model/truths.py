"""What may be true in the next trial: as a mixture of distributions (Belief), and as draws (Truths)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gmfmsim.compute.arguments import vector
from gmfmsim.compute.labels import xr
from gmfmsim.dist.distributions import Distribution
from gmfmsim.dist.mixture import NormalMixture, on_grids
from gmfmsim.model.curves import Curve
from gmfmsim.model.effect import INTERVAL_PROB, Condition, Mixture, Of, deviations, effect, effect_at
from gmfmsim.streams import stream

BATCHES_PER_CHAIN = 50

type Truths = xr.Dataset
"""What may be true in the next trial, one draw a replicate.

effect (scenario, draw, arm), in attrs["unit"] against dose 0, active minus control; sd_change (draw), the SD of the
change of children. Coordinates: scenario and arm by name; batch (draw) numbers runs of consecutive posterior draws
within a chain, for Monte Carlo errors that allow for autocorrelation (batch means, Flegal & Jones 2010). attrs: rounds
x posterior_draws = draws.
"""


@dataclass(frozen=True, eq=False)
class Belief:
    """The predictive distribution of the effect in a new trial, exactly: sum_m weight_m Student-t(df_m; mean_m, sd_m).

    weight, mean, sd, df (M,): weights above 0 that sum to 1; mean and scale in attrs["unit"] against dose 0, active
    minus control; df infinite where a component is normal. attrs: unit, and those of the condition that it is for.
    loading (M, arms), of a trial along doses: the effect of an arm as a multiple of that of the active one, so that
    the effects of all arms are known together; see `along_doses`.
    """

    weight: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    df: np.ndarray
    attrs: dict[str, Any]
    loading: np.ndarray | None = None
    arms: tuple[str, ...] = ()

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """weight, mean, sd and df (M,) by name, and loading (M, arms) along doses."""
        found = {"weight": self.weight, "mean": self.mean, "sd": self.sd, "df": self.df}
        return found if self.loading is None else found | {"loading": self.loading}

    def dataset(self) -> xr.Dataset:
        """Return the columns with their labels: (component), and loading (component, arm)."""
        columns = {name: (("component", "arm")[: values.ndim], values) for name, values in self.columns.items()}
        return xr.Dataset(columns, {"arm": list(self.arms)} if self.arms else None, self.attrs)


def belief(weight: np.ndarray, mean: np.ndarray, sd: np.ndarray, df: np.ndarray | float = np.inf, **attrs) -> Belief:
    """Return a Belief of components, (M,) each; attrs: of the condition. See `Belief`.

    Raises ValueError unless weights are above 0 and sum to 1, scales are from 0, df above 0, and all are numbers.
    """
    weight, mean, sd = (np.asarray(x, float) for x in (weight, mean, sd))
    df = np.broadcast_to(np.asarray(df, float), weight.shape)
    right = {
        "weight": (weight > 0).all() and abs(weight.sum() - 1) < 1e-9,
        "mean": mean.shape == weight.shape and np.isfinite(mean).all(),
        "sd": sd.shape == weight.shape and (sd >= 0).all() and np.isfinite(sd).all(),
        "df": (df > 0).all(),
    }
    if wrong := [name for name, held in right.items() if not held]:
        raise ValueError(f"{', '.join(wrong)} of {weight.size} components: see Belief")
    return Belief(weight, mean, sd, df, {"unit": "GMFM-66 points"} | attrs)


def exact_belief(mixture: Mixture, curve: Curve, at: Condition, of: Of = "new_study") -> Belief:
    """Return the Belief of an exact posterior under a condition: of a new study, or of the mean of studies.

    The components, one for each node and state, are put `on_grids`.
    """
    found = on_grids(effect_at(mixture, curve, at, of))
    return belief(found.weight, found.means, found.sds, **said(at))


def along_doses(of: Belief, loading: Mapping[str, float]) -> Belief:
    """Return the Belief of the active arm's effect with those of all arms: loading, by arm, times it.

    Of one study every dose has the same deviation from the mean of studies, in proportion to the curve, so that given
    the parameters of the curve the effects of all doses are multiples of one. Raises ValueError for what is no number.
    """
    values = vector("loading", np.array(list(loading.values())))
    return with_loading(of, np.broadcast_to(values, (of.weight.size, values.size)), list(loading))


def with_loading(of: Belief, loading: np.ndarray, arms: Sequence[str]) -> Belief:
    """Return a Belief with the loading (M, arms) of its components."""
    return replace(of, loading=loading, arms=tuple(arms))


def exact_belief_along(
    mixture: Mixture, curve: Curve, arms: Mapping[str, Condition], active: str, of: Of = "new_study"
) -> Belief:
    """Return the Belief of an exact posterior of the effects of all arms together; see `along_doses`.

    Components with the same parameters of the curve are put `on_grids`. Raises ValueError for an active arm without an
    effect, of which that of no other arm is a multiple.
    """
    found = effect_at(mixture, curve, arms[active], of)
    share = np.array([effect(curve, mixture.labelled, mixture.phi, at).share for at in arms.values()]).T
    own = share[:, list(arms).index(active)]
    if not (np.isfinite(own) & (own != 0)).all():
        raise ValueError(f"active = {active!r}: must be an arm with an effect")
    loading, of_loading = np.unique((share / own[:, None])[mixture.node], axis=0, return_inverse=True)
    parts = []
    for number, row in enumerate(loading):
        mine = of_loading.ravel() == number
        total = float(found.weight[mine].sum())
        few = on_grids(NormalMixture(found.weight[mine] / total, found.means[mine], found.sds[mine]))
        alone = belief(few.weight, few.means, few.sds, **said(arms[active]))
        parts.append((along_doses(alone, dict(zip(arms, row, strict=True))), total))
    return mixed_belief(*zip(*parts, strict=True))


def known(effect: float) -> Belief:
    """Return the Belief that the effect is one value."""
    return belief(np.ones(1), np.array([effect]), np.zeros(1))


def exact_mixture(of: Belief) -> NormalMixture:
    """Return a Belief of normal components as a mixture, which has quantiles."""
    return NormalMixture(of.weight, of.mean, of.sd)


def effect_exactly(kinds: Sequence[Belief], dose: float) -> xr.Dataset:
    """Return mean and equal-tailed 95 % interval (kind, dose) of the effect, as `dose_response`, from two Beliefs.

    kinds: of the mean of studies, and of a new study. Components are normal.
    """
    mixtures = [exact_mixture(b) for b in kinds]
    ends = np.array([m.interval(INTERVAL_PROB) for m in mixtures])
    centre = mixtures[0].mean
    figures = {"effect": [centre, centre], "low": ends[:, 0], "high": ends[:, 1]}
    return xr.Dataset(
        {name: (("kind", "dose"), np.reshape(value, (2, 1))) for name, value in figures.items()},
        coords={"kind": ["mean", "new_study"], "dose": [dose]},
        attrs={"interval": "equal-tailed", "interval_prob": INTERVAL_PROB},
    )


def said(at: Condition) -> dict[str, float | str]:
    """Return the condition as attributes."""
    return {"dose": at.dose, "month": at.month} | at.setting.model_dump(exclude_none=True)


def mixed_belief(parts: Sequence[Belief], shares: Sequence[float]) -> Belief:
    """Return the Belief of several models in their shares, which sum to 1; attrs of the first.

    Components that models have in common, as those that stand `on_grids` have, are one.
    """
    pairs = [(part, share) for part, share in zip(parts, shares, strict=True) if share > 0]
    along = all(part.loading is not None for part, _ in pairs)
    rows = [np.vstack([p.mean, p.sd, p.df, *(p.loading.T if along else ())]) for p, _ in pairs]
    every = np.concatenate(rows, axis=1)
    components, which = np.unique(every, axis=1, return_inverse=True)
    weight = np.bincount(which, np.concatenate([share * part.weight for part, share in pairs]))
    there = weight > 0  # what is too small for a number has no part
    mean, sd, df, *loading = components[:, there]
    found = belief(weight[there], mean, sd, df, **parts[0].attrs)
    if not along:
        return found
    return with_loading(found, np.transpose(loading), pairs[0][0].arms)


def mixed_draws(parts: Sequence[xr.Dataset], shares: Sequence[float]) -> xr.Dataset:
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
) -> Truths:
    """Return what may be true in the next trial: see `Truths`.

    effects: `effect_draws`, mixed over models. `draw` runs over replicates, in rounds: every round visits each
    posterior draw once, in order, with fresh heterogeneity and a fresh SD, so that more replicates extend the rows and
    change none. Rows: `replicates` rounded up to whole rounds. Scenarios, effects in the model's unit against dose 0:

    - new_study: mean + scatter z, z ~ Normal(0, 1), or Student-t(df): heterogeneity included;
    - pooled_mean: the mean of study effects, tau left out;
    - planning_value: the given value for every arm with cells;
    - null: 0.
    """
    arms = effects.sizes["arm"]
    mean, scatter = (effects[name].values.reshape(-1, arms) for name in ("mean", "scatter"))
    posterior_draws, per_chain = mean.shape[0], effects.sizes["draw"]
    rounds = -(-replicates // posterior_draws)
    z = np.concatenate([deviations(effects, stream(seed, "new study", i)) for i in range(rounds)])
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
