"""The likelihood of reported effects, block by block: contrasts of different blocks are independent given the model."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np

from gmfmsim.compute.algebra import cholesky, inverse, log_determinant, transposed
from gmfmsim.compute.labels import xr
from gmfmsim.model.terms import NOWHERE

LOG_2PI = float(np.log(2 * np.pi))
NEVER = -1e10
"""Log weight of the padding states: as good as minus infinity, and its gradient is 0 and not NaN."""


@dataclass(frozen=True)
class Likelihood:
    """Reported effects under the readings of suspect figures, in blocks of contrasts that share children or a study.

    In block b and state s (one reading of its suspect figures)

        p(y_b | mean, u) = sum_s weight_bs MvNormal(effect_bs; mean, D V_bs D + sum_k g_k g_k'),  D = diag(exp(l_bs u))

    with one g_k for every unit of heterogeneity that the model integrates out, and u ~ Normal(0, 1) for every study
    whose standard error is not known. Arrays are padded: B blocks, S states, n places, U units.

    index, inside (B, n): contrast at a place, and whether there is one; effect, log_se_sd (B, S, n);
    precision (B, S, n, n): V^-1, identity at padding; log_constant (B, S): log weight - (log |V| + n log 2 pi) / 2;
    state_of (B, R): state under each of the R combinations of readings; log_weight (B, S); uncertain (B, n): position
    in `uncertain_spread` of the u of a place.
    """

    index: np.ndarray
    inside: np.ndarray
    effect: np.ndarray
    precision: np.ndarray
    log_se_sd: np.ndarray
    log_weight: np.ndarray
    log_constant: np.ndarray
    state_of: np.ndarray
    uncertain: np.ndarray
    uncertain_spread: tuple[str, ...]

    @cached_property
    def states(self) -> np.ndarray:
        """Return how many states each block has, (B,)."""
        return (self.log_weight > NEVER).sum(axis=1)

    @cached_property
    def whiten(self) -> np.ndarray:
        """Return B with B' B = V^-1, (B, S, n, n): B times the errors of a block has unit covariance."""
        return transposed(cholesky(self.precision))

    def place(self, values):
        """Return values (..., K) at the places of the blocks, (..., B, n), 0 at padding."""
        return values[..., self.index] * self.inside

    def taken(self, values: np.ndarray) -> np.ndarray:
        """Return values (..., B, n) at places of the blocks by contrast, (..., K)."""
        out = np.empty((*values.shape[:-2], self.inside.sum()))
        out[..., self.index[self.inside]] = values[..., self.inside]
        return out

    def log_scale(self, spread):
        """Return log D, (..., B, S, n), at the offsets u (..., uncertain_spread)."""
        return self.log_se_sd * spread[..., self.uncertain][..., None, :]

    def by_state(self, mean, gains, log_scale, exp=np.exp, log=np.log):
        """Return log weight_bs + log MvNormal(effect_bs; ...), shape (..., B, S).

        mean (..., K); gains: one (..., B, n) for each unit of heterogeneity; log_scale as of `log_scale`, or 0. The
        same lines serve numbers and PyMC's graph, which brings its own exp and log. V^-1 never changes: in units of D,
        each unit adds a rank-one term to the covariance, which is inverted by Sherman & Morrison (1950).
        """
        shrink = exp(-log_scale) if self.uncertain_spread else 1.0
        residual = (self.effect - self.place(mean)[..., None, :]) * shrink
        solved, logdet = self._solve([residual, *(g[..., None, :] * shrink for g in gains)], log)
        squares = (residual * solved).sum(-1)
        # (a scalar log_scale would have nothing to sum)
        determinant = logdet + 2 * log_scale.sum(-1) if self.uncertain_spread else logdet
        return self.log_constant - 0.5 * (determinant + squares)

    def conditional(self, mean: np.ndarray, log_scale) -> np.ndarray:
        """Return log p(y_c | the other contrasts of the block, state), (..., B, S, n), without heterogeneity.

        With g = V^-1 (y - m) and h = diag(V^-1) it is log Normal(y_c; y_c - g_c / h_c, 1 / h_c), in units of D
        (Buerkner, Gabry & Vehtari 2021).
        """
        residual = self.effect - self.place(mean)[..., None, :]
        if self.uncertain_spread:
            residual = residual * np.exp(-log_scale)
        g = (residual[..., None, :] * self.precision).sum(-1)
        h = np.diagonal(self.precision, axis1=-2, axis2=-1)
        return 0.5 * (np.log(h) - LOG_2PI - g**2 / h) - (log_scale if self.uncertain_spread else 0.0)

    def take(self, blocks: np.ndarray) -> Likelihood:
        """Return the likelihood of some of the blocks, (B,) true where taken, with no more places and states than these
        have."""
        of = {f.name: getattr(self, f.name)[blocks] for f in fields(self) if f.name != "uncertain_spread"}
        n, s = max(of["inside"].sum(axis=1), default=0), max(self.states[blocks], default=0)
        of |= {name: of[name][:, :n] for name in ("index", "inside", "uncertain")}
        of |= {name: of[name][:, :s, :n] for name in ("effect", "log_se_sd")}
        of |= {name: of[name][:, :s] for name in ("log_weight", "log_constant")}
        return replace(self, **of | {"precision": of["precision"][:, :s, :n, :n]})

    def _solve(self, vectors, log):
        """Return W^-1 vectors[0] and log |W| - log |V| for W = V + sum g g' over the other vectors, (..., B, S, n)."""
        solved = [(v[..., None, :] * self.precision).sum(-1) for v in vectors]
        logdet = 0.0
        for k in range(1, len(vectors)):
            gain, direction = vectors[k], solved[k]
            grown = 1.0 + (gain * direction).sum(-1)
            logdet = logdet + log(grown)
            for i in (0, *range(k + 1, len(vectors))):
                solved[i] = solved[i] - direction * ((gain * solved[i]).sum(-1) / grown)[..., None]
        return solved[0], logdet


def likelihood(data: xr.Dataset, units: np.ndarray | None = None) -> Likelihood:
    """Return the likelihood of a Dataset(contrast) under its readings.

    units (L, K): labels of the units of heterogeneity at each level, by default the studies, NOWHERE of none; contrasts
    with a unit in common, or with correlated errors, form a block.
    """
    from scipy.sparse.csgraph import connected_components

    effect, log_se_sd = (data[v].transpose("reading", "contrast").values for v in ("effect", "log_se_sd"))
    covariance = data["covariance"].transpose("reading", "contrast", "contrast_").values
    weight, study = data["weight"].values, data["study"].values
    units = np.unique(study, return_inverse=True)[1][None] if units is None else units
    shared = (units[:, :, None] == units[:, None, :]) & (units != NOWHERE)[:, :, None]
    together = (covariance != 0).any(axis=0) | shared.any(axis=0)
    count, label = connected_components(together)
    blocks = [np.flatnonzero(label == i) for i in range(count)]
    states = [_states(effect[:, b], covariance[:, b][:, :, b], log_se_sd[:, b], weight) for b in blocks]
    # combinations of states are counted through, those of the last block fastest: it should have many
    order = sorted(range(count), key=lambda i: ((log_se_sd[:, blocks[i]] > 0).any(), len(states[i][0])))
    blocks, found = [blocks[i] for i in order], [states[i] for i in order]
    n = max(len(b) for b in blocks)
    s = max(len(first) for first, _, _ in found)
    shape = (len(blocks), s, n)
    out = {
        "index": np.zeros((len(blocks), n), int),
        "inside": np.zeros((len(blocks), n), bool),
        "effect": np.zeros(shape),
        "precision": np.broadcast_to(np.eye(n), (*shape, n)).copy(),
        "log_se_sd": np.zeros(shape),
        "log_weight": np.full(shape[:2], NEVER),
        "log_constant": np.full(shape[:2], NEVER),
    }
    for i, (b, (first, share, _)) in enumerate(zip(blocks, found, strict=True)):
        size, k = len(b), len(first)
        out["index"][i, :size], out["inside"][i, :size] = b, True
        out["effect"][i, :k, :size] = effect[first][:, b]
        out["log_se_sd"][i, :k, :size] = log_se_sd[first][:, b]
        v = covariance[first][:, b][:, :, b]
        out["precision"][i, :k, :size, :size] = inverse(v)
        out["log_weight"][i, :k] = np.log(share)
        out["log_constant"][i, :k] = np.log(share) - 0.5 * (log_determinant(v) + size * LOG_2PI)
    uncertain = tuple(dict.fromkeys(study[(log_se_sd > 0).any(axis=0)].tolist()))
    known = np.array([uncertain.index(x) if x in uncertain else 0 for x in study.tolist()])
    return Likelihood(
        **out,
        state_of=np.array([state for _, _, state in found]),
        uncertain=known[out["index"]],
        uncertain_spread=uncertain,
    )


def _states(effect, covariance, log_se_sd, weight) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the distinct states of a block: first combination that has it, its weight, and the state of each."""
    flat = np.concatenate([effect, covariance.reshape(len(effect), -1), log_se_sd], axis=1)
    _, first, state = np.unique(flat, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.argsort(order)
    state = rank[state.ravel()]
    return first[order], np.bincount(state, weight), state
