"""Several models side by side: each fitted, each with its share of the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from scipy import special

from gmfmsim.compute.algebra import dot
from gmfmsim.compute.executors import in_order
from gmfmsim.compute.labels import xr
from gmfmsim.dist.mixture import NormalMixture
from gmfmsim.evidence.pooled import PooledEstimate
from gmfmsim.model.checks.left_out import blocks, psis_contrasts, refit
from gmfmsim.model.curves import CURVES, Curve
from gmfmsim.model.declare import ModelChoice, ModelSpec
from gmfmsim.model.effect import Condition, Mixture, effect
from gmfmsim.model.engine import Fit
from gmfmsim.model.exact import ExactPosterior, posterior
from gmfmsim.model.nuts import Sampler
from gmfmsim.model.structure import structure
from gmfmsim.streams import stream

Weights = Literal["posterior", "stacking"]
STACKING_STEPS = 5000


@dataclass(frozen=True)
class Published:
    """mu ~ Normal(estimate, se) with tau held at its published value, as a `Mixture` of one component.

    That tau is taken as known makes what follows optimistic: with a handful of studies tau itself is uncertain
    (Higgins, Thompson & Spiegelhalter 2009).
    """

    estimate: PooledEstimate

    labelled = (("mu", None),)
    node = np.zeros(1, int)

    @cached_property
    def phi(self) -> Mapping[str, np.ndarray]:
        """The between-study standard deviation, (1,)."""
        return {"tau": np.array([self.estimate.tau])}

    def linear(self, loading: np.ndarray, variance: np.ndarray | float = 0.0) -> NormalMixture:
        """Return the distribution of loading mu + Normal(0, variance), one component; loading (1, 1)."""
        times = np.ravel(loading)
        spread = (times * self.estimate.se) ** 2 + variance
        return NormalMixture(np.ones(1), times * self.estimate.mean, np.sqrt(spread))

    def tree(self, sampler: Sampler, seed: int) -> xr.DataTree:
        """Return independent draws of mu, and tau: dims (chain, draw) as of a sampled posterior, that group only."""
        size, estimate = (sampler.chains, sampler.draws), self.estimate
        mu = estimate.mean + estimate.se * stream(seed, "published").standard_normal(size)
        posterior = xr.Dataset(
            {"mu": (("chain", "draw"), mu), "tau": (("chain", "draw"), np.full(size, estimate.tau))},
            coords={"chain": np.arange(sampler.chains), "draw": np.arange(sampler.draws)},
            attrs={"source": f"pooled.csv row {estimate.row['row']}", "tau": estimate.tau_derivation},
        )
        for name in posterior:
            posterior[name].attrs["unit"] = estimate.unit
        return xr.DataTree.from_dict({"posterior": posterior})


@dataclass(frozen=True)
class Member:
    """One model of an answer: its name, declaration, fit and share. A published estimate has no declaration or fit.

    log_density (B,): where shares are by stacking, of each block of studies predicted from the others. alone: a
    posterior without a fit, a published estimate or one that nothing is drawn from; draws: of the former.
    """

    name: str
    spec: ModelSpec | None
    fit: Fit | None
    share: float
    log_density: np.ndarray | None = None
    alone: Mixture | None = None
    draws: xr.DataTree | None = None

    @property
    def has_course(self) -> bool:
        """Whether the effect goes with time."""
        return self.spec is not None and "course" in self.spec.terms

    @property
    def tree(self) -> xr.DataTree:
        """The draws: those of the fit are made when they are first asked for."""
        return self.fit.tree if self.fit else self.draws

    @property
    def mixture(self) -> Mixture | None:
        """The exact posterior, of one component if it is published; None where there are draws alone."""
        return self.fit.exact if self.fit else self.alone

    @property
    def published(self) -> Published | None:
        """The published estimate that is taken in place of a fit."""
        return self.alone if isinstance(self.alone, Published) else None

    @property
    def curve(self) -> Curve:
        """The dose-response curve; that of a published estimate is constant."""
        return self.spec.shape if self.spec else CURVES["constant"]


def refitted(
    models: Mapping[str, ModelSpec], data: xr.Dataset, choice: ModelChoice, *, quick: bool = False
) -> list[Member]:
    """Return models fitted to data by quadrature, with their shares; nothing is drawn. Raises as `posterior`."""

    def fitted(named: tuple[str, ModelSpec]) -> Member:
        name, spec = named
        return Member(name, spec, None, 1.0, alone=posterior(structure(spec, data), quick=quick))

    return shares_of(list(in_order(fitted, models.items())), data, choice)


RARE = 0.05
"""A posterior probability of readings below which too little of a fit to all of them tells what they say."""


def given_readings(whole: list[Member], data: xr.Dataset, taken: np.ndarray, choice: ModelChoice) -> list[Member]:
    """Return models given some of the combinations of readings, (R,) true where taken, with their shares.

    whole: `refitted` to all of data; its components are weighed again. Where a model leaves the readings less than
    RARE, all are fitted to these alone, quickly.
    """
    before, weight = float(data["weight"].values[taken].sum()), data["weight"].values * taken
    some = data.isel(reading=taken).assign(weight=("reading", weight[taken] / before))
    parts = [replace(m, alone=m.alone.given(weight / before)) for m in whole]
    gained = [m.alone.log_marginal - w.alone.log_marginal for m, w in zip(parts, whole, strict=True)]
    if before * np.exp(min(gained)) < RARE:
        return refitted({m.name: m.spec for m in whole}, some, choice, quick=True)
    return shares_of(parts, some, choice)


def scatter_of(members: list[Member], at: Condition) -> float:
    """Return the posterior mean of the scale by which effects of studies scatter under a condition, models mixed."""
    total = 0.0
    for m in members:
        exact, found = m.mixture, effect(m.curve, m.mixture.labelled, m.mixture.phi, at)
        total += m.share * float(dot(exact.weight, found.scatter[exact.node]))
    return total


ALL_WEIGHT = 0.9995
"""A share from which on nothing is averaged."""


def no_average(members: list[Member]) -> str | None:
    """Say that all weight is on one of several models and how little or much decided it; None where models average."""
    first = max(members, key=lambda m: m.share)
    if len(members) == 1 or first.share < ALL_WEIGHT:
        return None
    if first.log_density is None:
        marginal = sorted(m.mixture.log_marginal for m in members)
        decided = f"the next model's log marginal likelihood is {marginal[-1] - marginal[-2]:.1f} lower"
    else:
        best, total = first.log_density.sum(), [m.log_density.sum() for m in members if m is not first]
        blocks = first.log_density.size
        decided = f"from {blocks} blocks of studies that are {abs(best - max(total)):.1f} apart in log density"
    return f"No average: all weight on {first.name}, {decided}."


def shares_of(members: list[Member], data: xr.Dataset, choice: ModelChoice) -> list[Member]:
    """Return the members with their shares.

    posterior: p(model | y), proportional to p(y | model) x the prior weight of the model, equal by default (exact
    engine only: Hoeting, Madigan, Raftery & Volinsky 1999). It depends on the priors of the models, and with a handful
    of studies much. stacking: the shares that predict each study best from the others (Yao, Vehtari, Simpson & Gelman
    2018), by exact leave-one-study-out where every model has it, else by importance sampling (PSIS) of the contrasts.

    Raises ValueError for `posterior` with a model that the exact engine cannot fit.
    """
    if len(members) == 1:
        return [replace(members[0], share=1.0)]
    exact = [m.mixture for m in members]
    if None not in exact:
        prior = [choice.prior_weight(m.name) for m in members]
        share, density = _exact_shares(exact, data, choice.weights, prior)
    elif choice.weights == "posterior":
        names = ", ".join(m.name for m, e in zip(members, exact, strict=True) if e is None)
        raise ValueError(f"no marginal likelihood for {names}: weigh the models by stacking")
    else:
        density = [psis_contrasts(m.tree)[0] for m in members]
        share = stacking(np.stack(density, axis=1))
    return [replace(m, share=float(s), log_density=d) for m, s, d in zip(members, share, density, strict=True)]


def probabilities(log_marginal: Sequence[float], prior: Sequence[float]) -> np.ndarray:
    """Return the posterior probabilities (M,) of models, proportional to exp(log_marginal) x prior."""
    return special.softmax(np.log(prior) + log_marginal)


def _exact_shares(
    exact: list[ExactPosterior], data: xr.Dataset, weights: Weights, prior: Sequence[float]
) -> tuple[np.ndarray, list]:
    """Return the shares (M,) of exact posteriors, and by stacking the log density of each block of studies."""
    if weights == "posterior":
        return probabilities([e.log_marginal for e in exact], prior), [None] * len(exact)
    of_blocks = blocks(exact[0].prepared.structure, data)[1]  # studies that share children leave together
    density = [np.array([refit(e, data, inside).log_density for inside in of_blocks]) for e in exact]
    return stacking(np.stack(density, axis=1)), density


def stacking(log_density: np.ndarray) -> np.ndarray:
    """Return shares w (M,), at least 0 and summing to 1, that maximise sum_i log sum_m w_m exp(log_density_im).

    By expectation and maximisation (Dempster, Laird & Rubin 1977), which never lowers the sum: each share becomes the
    mean of what it contributes to the predictions. Where models are so alike that its steps come to nothing before one
    of them has all, and that one alone is better, it has all.
    """
    density = np.exp(log_density - log_density.max(axis=1, keepdims=True))
    share = np.full(density.shape[1], 1 / density.shape[1])
    for _ in range(STACKING_STEPS):
        contributed = share * density
        before, share = share, (contributed / contributed.sum(axis=1, keepdims=True)).mean(axis=0)
        if np.abs(share - before).max() < 1e-12:
            break
    alone = log_density.sum(axis=0)
    together = np.log(dot(density, share)).sum() + log_density.max(axis=1).sum()
    return share if together >= alone.max() else (np.arange(alone.size) == alone.argmax()).astype(float)
