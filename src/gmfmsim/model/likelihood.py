"""The likelihood of reported effects: a mixture over the readings of suspect figures."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy import special

LOG_2PI = float(np.log(2 * np.pi))


def _times(vectors: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Return vectors (..., R, K) times symmetric matrices (R, K, K), one at a time: no (..., R, K, K) array."""
    return np.stack([vectors[..., r, :] @ matrix for r, matrix in enumerate(matrices)], axis=-2)


@dataclass(frozen=True)
class Likelihood:
    """p(y | mean, u) = sum_r weight_r MvNormal(effect_r; mean, D V_r D), D = diag(exp(log_se_sd_r u)).

    effect, log_se_sd (R, K), covariance (R, K, K) and weight (R,) by reading; study (K,) of each contrast.
    `uncertain`: the studies with a standard error that is not known, each with one u.
    """

    effect: np.ndarray
    covariance: np.ndarray
    log_se_sd: np.ndarray
    weight: np.ndarray
    study: tuple[str, ...]

    @property
    def uncertain(self) -> tuple[str, ...]:
        """The studies with an uncertain standard error."""
        return tuple(dict.fromkeys(s for s, sd in zip(self.study, self.log_se_sd.T, strict=True) if sd.any()))

    def by_reading(self, mean, log_scale, exp=np.exp, times=_times):
        """Return log weight_r + log MvNormal(effect_r; mean, D V_r D), shape (..., R), from mean (..., K).

        log_scale (..., R, K) is log_se_sd u. One formula for numbers and for PyMC's graph, which brings its own `exp`
        and product `times` of vectors (..., R, K) and matrices (R, K, K). V_r^-1 and |V_r| do not change:
        (D V D)^-1 = D^-1 V^-1 D^-1.
        """
        logdet = np.linalg.slogdet(self.covariance)[1]
        constant = np.log(self.weight) - 0.5 * (logdet + self.effect.shape[1] * LOG_2PI)
        residual = (self.effect - mean[..., None, :]) * exp(-log_scale)
        squares = (times(residual, np.linalg.inv(self.covariance)) * residual).sum(-1)
        return constant - log_scale.sum(-1) - 0.5 * squares

    def one_left_out(self, mean, log_scale):
        """Return by_reading of all contrasts but one, (..., R, K): column c leaves contrast c out.

        log p(y_-c) = log p(y) - log p(y_c | y_-c), and with g = V^-1 (y - m), h = diag(V^-1) the last is
        log Normal(y_c; y_c - g_c / h_c, 1 / h_c) (Buerkner, Gabry & Vehtari 2021); in units of D.
        """
        precision = np.linalg.inv(self.covariance)
        h = np.diagonal(precision, axis1=-2, axis2=-1)
        residual = (self.effect - mean[..., None, :]) * np.exp(-log_scale)
        g = _times(residual, precision)
        conditional = 0.5 * (np.log(h) - LOG_2PI - g**2 / h) - log_scale
        return self.by_reading(mean, log_scale)[..., None] - conditional

    def draw(self, mean: np.ndarray, log_scale: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return replicated data (K,) at mean (K,), on the scale of the first reading: a reading by its weight, then
        MvNormal(mean, D V_r D)."""
        r = rng.choice(self.weight.size, p=self.weight)
        noise = np.linalg.cholesky(self.covariance[r]) @ rng.standard_normal(mean.size)
        return mean - (self.effect[r] - self.effect[0]) + np.exp(log_scale[r]) * noise


def likelihood(data: xr.Dataset) -> Likelihood:
    """Return the likelihood of a Dataset(contrast), with or without readings."""
    if "reading" not in data.dims:
        names = ("effect", "covariance", "log_se_sd")
        return Likelihood(*(data[v].values[None] for v in names), np.ones(1), tuple(data["study"].values.tolist()))
    effect = data["effect"].transpose("reading", "contrast").values
    covariance = data["covariance"].transpose("reading", "contrast", "contrast_").values
    log_se_sd = data["log_se_sd"].transpose("reading", "contrast").values
    return Likelihood(effect, covariance, log_se_sd, data["weight"].values, tuple(data["study"].values.tolist()))


def at_draws(posterior: xr.Dataset, data: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (chain, draw, K) and log_scale (chain, draw, R, K) of the reported effects at every draw."""
    scale = xr.where(data["gmfm66"], 1.0, 1.0 / posterior["r"]) if "r" in posterior else 1.0
    mean = (posterior["theta"] * scale).transpose("chain", "draw", "contrast").values
    evidence = likelihood(data)
    log_scale = np.zeros((1, 1, *evidence.log_se_sd.shape))
    if "spread_offset" in posterior:
        spread = posterior["spread_offset"].transpose("chain", "draw", "uncertain_spread").values
        known = [evidence.uncertain.index(s) if s in evidence.uncertain else 0 for s in evidence.study]
        log_scale = evidence.log_se_sd * spread[:, :, None, known]
    return mean, log_scale


def log_likelihood(posterior: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
    """Return log p(y_c | the other contrasts, parameters), dims (chain, draw, contrast).

    What leave-one-out needs where contrasts share a control: log p(y) - log p(y_-c), each a sum over the readings of
    suspect figures. For a contrast that shares none and has one reading it is the plain normal density.
    """
    mean, log_scale = at_draws(posterior, data)
    evidence = likelihood(data)
    whole = special.logsumexp(evidence.by_reading(mean, log_scale), axis=-1)
    value = whole[..., None] - special.logsumexp(evidence.one_left_out(mean, log_scale), axis=-2)
    attrs = {"definition": "log density of each contrast given the other contrasts and the parameters"}
    return xr.Dataset({"y": (("chain", "draw", "contrast"), value)}, coords=posterior["theta"].coords, attrs=attrs)
