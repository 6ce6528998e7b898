"""Thousands of data sets under one design: the exact engine on nodes that stay, no algebra left."""

from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from scipy import linalg

from gmfmsim.dist.distributions import Distribution
from gmfmsim.model.exact import kernels
from gmfmsim.model.exact.exact_posterior import ExactPosterior, posterior
from gmfmsim.model.exact.prepared import Prepared, Refused, prepare
from gmfmsim.model.exact.quadrature import EFFORT, Box
from gmfmsim.model.exact.rules import Rule, rule
from gmfmsim.model.structure import Structure
from gmfmsim.streams import stream

PILOTS = 48
"""Data sets from the prior predictive distribution that the nodes are made for."""
TOLERANCE = (1e-9, 3e-7, 5e-7, 3e-6, 3e-5)
"""How far the figures of a pilot may be from those of `posterior`, by the number of parameters: standard deviations,
probabilities, log density. For three parameters and more `posterior` is itself no closer to the truth."""
MOST_NODES = 40_000
IN_CACHE = 1 << 17
"""Numbers of one array of a block: three of them fit the second-level cache."""
FIGURES = ("mean", "sd", "above_0", "new_above_0", "log_marginal", "tau_mean", "outermost")


@dataclass(frozen=True)
class Batch:
    """A design with nodes for any data that its priors make likely.

    For effects y (K,), log p(y, node j) = constant_j - sum_f squares_fj y_a(f) y_b(f) + sum_p z_jp^2 / 2 with
    z_j = z_fixed_j + y' z_slope_j; the amplitude is Normal(sum_p to_mean_jp z_jp, sd_j^2), a new study's has sd_new_j.

    densities: pairs (F, 2), a and b; squares (F, J); z_slope (p, K, J), z_fixed and to_mean (p, J); constant (J,).
    figures (J,) each: sd, sd_new, tau, and outermost, 1 at the last nodes of an open end.
    """

    structure: Structure
    box: Box
    densities: tuple[np.ndarray, ...]
    figures: tuple[np.ndarray, ...]


def prepare_batch(model: Structure) -> Batch:
    """Return a design ready for many data sets: its own effects do not matter, its errors and doses do.

    Pilots are drawn from the prior predictive distribution and fitted one by one. Their boxes together are the box; the
    axis that gains most gets more nodes until all pilots agree with `posterior` to `TOLERANCE`.

    Raises Refused as `prepare`, with readings or standard errors that are not known, and if no affordable nodes agree.
    """
    like = model.likelihood
    if like.uncertain_spread or (like.states > 1).any():
        raise Refused("many data sets need one reading and known standard errors: fix the readings")
    if any(c.parameter for c in model.coefficients):
        raise Refused("many data sets need known means of ages and levels: fit them one by one")
    ready = prepare(model)
    effects = _pilots(model, ready)
    likes = (replace(like, effect=like.place(y)[:, None, :]) for y in effects)
    fits = [posterior(replace(model, likelihood=one)) for one in likes]
    gold = np.array([_figures(fit) for fit in fits])
    batch = _at_nodes(ready, _box_of_all(ready, fits))
    error = _error(batch, effects, gold, fits)
    while error > TOLERANCE[len(ready.names)]:
        tried, rules = [], batch.box.rules
        for i, r in enumerate(rules):
            finer = rule(r.low, r.high, int(np.ceil(1.2 * r.points)), r.shape)
            other = _at_nodes(ready, Box((*rules[:i], finer, *rules[i + 1 :])))
            tried.append((_error(other, effects, gold, fits), other))
        error, batch = min(tried, key=lambda pair: pair[0])
        if batch.box.nodes.shape[0] > MOST_NODES:
            raise Refused(f"{batch.box.points} nodes are not enough for every data set: fit them one by one")
    return batch


def fit_many(batch: Batch, effects: np.ndarray) -> xr.Dataset:
    """Return the posterior figures of data sets effects (B, K) under one design, Dataset(fit).

    mean, sd: of the amplitude; above_0: P(amplitude > 0); new_above_0: the same in a new study; tau_mean (if tau is not
    fixed); log_marginal: log p(y); outermost: posterior weight of the last nodes at an open end. Where that is not
    small, the data lie beyond those that the nodes are for.

    Raises ValueError unless effects is (B, K) and finite.
    """
    effects, k = np.ascontiguousarray(effects, float), batch.structure.gmfm66.size
    if effects.ndim != 2 or effects.shape[1] != k or not np.isfinite(effects).all():
        raise ValueError(f"effects of shape {effects.shape}: need (data sets, {k}), all finite")
    nodes, out = batch.box.nodes.shape[0], np.empty((effects.shape[0], len(FIGURES)))
    rows = max(1, IN_CACHE // nodes)
    for first in range(0, effects.shape[0], rows):
        y = effects[first : first + rows]
        log_p, mean = np.empty((2, y.shape[0], nodes))
        kernels.batch_densities(y, *batch.densities, log_p, mean)
        top = log_p.max(axis=1)
        np.exp(np.subtract(log_p, top[:, None], out=log_p), out=log_p)
        kernels.batch_figures(log_p, top, mean, *batch.figures, out[first : first + rows])
    found = xr.Dataset({name: ("fit", out[:, i]) for i, name in enumerate(FIGURES)})
    return found if "tau" in batch.structure.parameters else found.drop_vars("tau_mean")


def _at_nodes(ready: Prepared, box: Box) -> Batch:
    """Return the batch at the nodes of a box: all that does not depend on the effects."""
    model, like = ready.structure, ready.structure.likelihood
    nodes, k = box.nodes.shape[0], model.gmfm66.size
    phi = ready.phi(box)
    columns, loads = ready.design(box, phi)
    inverse, pairs, places, factors, logdet = np.zeros((nodes, k, k)), [], [], [], np.zeros(nodes)
    for block, size in enumerate(like.inside.sum(axis=1)):
        rows = like.index[block, :size]
        gains = [loads[:, level, rows] * mask[block, :size] for level, mask in model.slots]
        precision = like.precision[block, 0, :size, :size]
        whole = np.linalg.inv(precision) + sum(g[:, :, None] * g[:, None, :] for g in gains)
        within = np.linalg.inv(whole)
        inverse[:, rows[:, None], rows] = within
        logdet += np.linalg.slogdet(whole)[1]
        a, b = np.triu_indices(size)
        pairs += list(zip(rows[a], rows[b], strict=True))
        factors += [np.where(a == b, 0.5, 1.0)]
        places += [within[:, a, b]]
    weighted = columns @ inverse  # (J, p, K)
    root = np.linalg.cholesky(weighted @ columns.transpose(0, 2, 1) + np.diag(ready.prior_precision))
    down = np.linalg.inv(root)  # z = L^-1 b, coefficients = L^-T z + Normal(0, (L L')^-1)
    tau = ready.at_nodes(box).get("tau", np.zeros(nodes))
    variance = (down[:, :, 0] ** 2).sum(axis=1)
    log_root = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    constant = ready.prior_c - 0.5 * (k * np.log(2 * np.pi) + logdet) - log_root
    outermost = np.zeros(nodes)
    for at, axis, r in zip(box.nodes.T, ready.axes, box.rules, strict=True):
        outermost[((at == r.nodes[0]) & (r.low > axis.low)) | ((at == r.nodes[-1]) & (r.high < axis.high))] = 1.0
    densities = (
        np.array(pairs),
        np.concatenate(factors)[:, None] * np.concatenate(places, axis=1).T,
        np.ascontiguousarray((down @ weighted).transpose(1, 2, 0)),
        np.ascontiguousarray((down @ ready.prior_b).T),
        np.ascontiguousarray(down[:, :, 0].T),
        constant + ready.log_prior(box, phi) + box.log_weights,
    )
    return Batch(model, box, densities, (np.sqrt(variance), np.sqrt(variance + tau**2), tau, outermost))


def _box_of_all(ready: Prepared, fits: list[ExactPosterior]) -> Box:
    """Return the box around the posteriors of all pilots, a tenth wider; axes from 0 with Gauss and Legendre's rule.

    The trapezoidal rule of an even density would miss the mean of tau, which is odd.
    """
    rules: list[Rule] = []
    effort = EFFORT[len(ready.axes)]
    for i, axis in enumerate(ready.axes):
        ends = []  # of every posterior: the first and last node that it does not leave out, and one more on either side
        for fit in fits:
            nodes, marginal = fit.box.rules[i].nodes, fit.box.marginal(fit.density, i)
            inside = np.flatnonzero(marginal > effort.edge * marginal.max())
            ends += nodes[[max(inside[0] - 1, 0), min(inside[-1] + 1, nodes.size - 1)]].tolist()
        low, high = min(ends), max(ends)
        low, high = max(axis.low, low - 0.1 * (high - low)), min(axis.high, high + 0.1 * (high - low))
        shape = "interval" if axis.shape == "even" else axis.shape
        rules.append(rule(low, high, effort.points_of(axis), shape))
    return Box(tuple(rules))


def _pilots(model: Structure, ready: Prepared) -> np.ndarray:
    """Return data sets from the prior predictive distribution, (PILOTS, K)."""
    rng, like, k = stream(0, "pilots"), model.likelihood, model.gmfm66.size
    covariance = np.zeros((k, k))
    for block, size in enumerate(like.inside.sum(axis=1)):
        rows = like.index[block, :size]
        covariance[np.ix_(rows, rows)] = np.linalg.inv(like.precision[block, 0, :size, :size])
    root, typical = linalg.cholesky(covariance, lower=True), float(np.median(np.sqrt(np.diag(covariance))))
    uniform = 0.002 + 0.996 * rng.random((PILOTS, len(ready.names)))
    phi = {name: _quantile(model.parameters[name], uniform[:, [i]], typical) for i, name in enumerate(ready.names)}
    phi |= {name: np.full((1, 1), value) for name, value in ready.held.items()}
    y = rng.standard_normal((PILOTS, k)) @ root.T
    for c, column in zip(model.coefficients, model.columns(phi), strict=True):
        own = c.prior is not None and c.pooled is None
        y = y + column * (
            _quantile(c.prior, rng.random((PILOTS, 1)), typical) if own else rng.standard_normal((PILOTS, 1))
        )
    for level, load in zip(model.levels, model.loads(phi), strict=True):
        y = y + load * rng.standard_normal((PILOTS, level.units.max() + 1))[:, level.units]
    return y


def _quantile(prior: Distribution, p: np.ndarray, typical: float) -> np.ndarray:
    """Return quantiles of a prior; of an improper one those of Uniform(0, 4 typical standard errors)."""
    return prior.ppf(p) if prior.proper else 4 * typical * p


def _figures(fit: ExactPosterior) -> list[float]:
    """Return what `fit_many` computes, by `posterior`: FIGURES but the last."""
    amplitude, new = fit.coefficient(fit.prepared.structure.coefficients[0].variable), fit.new_study()
    tau = fit.moments("tau")[0] if "tau" in fit.prepared.names else 0.0
    return [amplitude.mean, amplitude.sd, amplitude.above(), new.above(), fit.log_marginal, tau]


def _error(batch: Batch, effects: np.ndarray, gold: np.ndarray, fits: list[ExactPosterior]) -> float:
    """Return the largest distance to the figures of `posterior`; amplitude and tau in standard deviations."""
    found = fit_many(batch, effects)
    ours = np.stack([found[name].values if name in found else gold[:, 5] for name in FIGURES[:6]], axis=1)
    unit = np.ones_like(gold)
    unit[:, :2] = gold[:, [1]]
    unit[:, 5] = [fit.moments("tau")[1] if "tau" in fit.prepared.names else 1.0 for fit in fits]
    return float(np.abs((ours - gold) / unit).max())
