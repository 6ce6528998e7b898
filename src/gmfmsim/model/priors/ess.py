"""How many observations a prior is worth: the effective sample size of a mixture of normals."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from gmfmsim.compute.algebra import dot

STEPS = np.arange(-12.0, 13.0)
"""Where the panels of the quadrature may break, in standard deviations from the mean of a component."""


VAGUE, STEPS_TO_MODE = 100, 500
"""How much wider than the widest component a vague prior is, in variance, and steps of the search for the mode."""


def ess_elir(
    weight: ArrayLike, mean: ArrayLike, sd: ArrayLike, *, unit_sd: float | Callable[[np.ndarray], ArrayLike]
) -> float:
    """Return the effective sample size of the prior sum_m weight_m Normal(mean_m, sd_m^2): weight, mean, sd (M,).

    The expected local-information ratio: ESS = E[i(theta) / i_1(theta)] over the prior p, with its information
    i(theta) = -d^2 log p(theta) / d theta^2 and that of one observation, i_1(theta) = 1 / unit_sd(theta)^2.
    unit_sd is the standard deviation of one observation, a number or a function of theta (any shape): for log odds
    2 cosh(theta / 2). A prior of n observations and vague knowledge is worth n; after n more observations its
    expected ESS has grown by n. The prior of a meta-analysis for a new study is such a mixture, over its nodes of
    (mu, tau).

    Raises ValueError if the shapes disagree, the weights are negative or do not sum to 1, or an sd or unit_sd is
    not above 0.

    Source: Neuenschwander, Weber, Schmidli & O'Hagan (2020).
    """
    weight, mean, sd = _checked(weight, mean, sd)
    theta, width = _nodes(mean, sd)
    blocks = -(-theta.size * mean.size // 10**6)  # of about a million densities
    parts = zip(np.array_split(theta, blocks), np.array_split(width, blocks), strict=True)
    return float(sum(dot(w, _information_ratio(t, weight, mean, sd, unit_sd)) for t, w in parts))


def ess_moment(weight: ArrayLike, mean: ArrayLike, sd: ArrayLike, *, unit_sd: float) -> float:
    """Return the effective sample size of one normal with the mean and SD of the prior: unit_sd^2 / variance.

    Wide tails count in full, so that it is the least of the three measures. Raises ValueError as `ess_elir`.
    """
    weight, mean, sd = _checked(weight, mean, sd)
    centre = dot(weight, mean)
    return _unit(unit_sd) ** 2 / float(dot(weight, sd**2 + (mean - centre) ** 2))


def ess_morita(weight: ArrayLike, mean: ArrayLike, sd: ArrayLike, *, unit_sd: float) -> float:
    """Return the effective sample size by the curvature of the prior at its mode: (i(mode) - i_0) unit_sd^2.

    i_0 = 1 / (VAGUE max(sd)^2) is the information of a vague prior. What lies in the tails does not count: of a prior
    with a peak it is the largest of the three measures. Raises ValueError as `ess_elir`.
    Source: Morita, Thall & Mueller (2008), at the mode as Neuenschwander et al. (2020) have it.
    """
    weight, mean, sd = _checked(weight, mean, sd)
    theta, _ = _nodes(mean, sd)
    z = (theta[:, None] - mean) / sd
    highest = special.logsumexp(np.log(weight / sd) - z**2 / 2, axis=1).argmax()
    mode = theta[highest]
    for _ in range(STEPS_TO_MODE):  # the slope of the log density is 0 where theta is the mean of share / sd^2
        z = (mode - mean) / sd
        log = np.log(weight / sd) - z**2 / 2
        pull = np.exp(log - log.max()) / sd**2
        mode = dot(pull, mean) / pull.sum()
    at_mode = _information_ratio(np.array([mode]), weight, mean, sd, 1.0)[0]
    log = np.log(weight / sd) - ((mode - mean) / sd) ** 2 / 2
    density = np.exp(special.logsumexp(log)) / np.sqrt(2 * np.pi)
    return float((at_mode / density - 1 / (VAGUE * sd.max() ** 2)) * _unit(unit_sd) ** 2)


def _unit(unit_sd: float) -> float:
    """Return the SD of one observation. Raises ValueError where it is not above 0."""
    if not (unit_sd > 0 and np.isfinite(unit_sd)):
        raise ValueError(f"unit_sd = {unit_sd}: must be finite and above 0")
    return float(unit_sd)


def _information_ratio(theta: np.ndarray, weight: np.ndarray, mean: np.ndarray, sd: np.ndarray, unit_sd) -> np.ndarray:
    """Return p(theta) i(theta) / i_1(theta) at theta (J,)."""
    z = (theta[:, None] - mean) / sd
    log = np.log(weight / sd) - z**2 / 2
    density = special.logsumexp(log, axis=1)
    share = np.exp(log - density[:, None])
    slope = (share * z / sd).sum(axis=1)
    information = (share * (1 - z**2) / sd**2).sum(axis=1) + slope**2
    unit = np.asarray(unit_sd(theta) if callable(unit_sd) else unit_sd, float)
    if not np.all((unit > 0) & np.isfinite(unit)):
        raise ValueError(f"unit_sd = {unit}: must be finite and above 0")
    return np.exp(density) / np.sqrt(2 * np.pi) * information * unit**2


def _nodes(mean: np.ndarray, sd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Gauss-Legendre nodes and weights on panels that break at every sd of every component.

    Breaks closer than half the least sd count as one: no density of the mixture changes faster.
    """
    least = sd.min() / 2
    breaks = np.unique(np.round((mean[:, None] + sd[:, None] * STEPS) / least)) * least
    x, w = np.polynomial.legendre.leggauss(16)
    half = np.diff(breaks)[:, None] / 2
    return (breaks[:-1, None] + half * (x + 1)).ravel(), (half * w).ravel()


def _checked(weight: ArrayLike, mean: ArrayLike, sd: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the components that have weight."""
    weight, mean, sd = (np.asarray(a, float) for a in (weight, mean, sd))
    if weight.ndim != 1 or not weight.shape == mean.shape == sd.shape:
        raise ValueError(f"weight {weight.shape}, mean {mean.shape}, sd {sd.shape}: need (M,), (M,) and (M,)")
    if not (np.all(weight >= 0) and abs(weight.sum() - 1) < 1e-8):
        raise ValueError(f"weight = {weight}: must be from 0 up and sum to 1")
    if not (np.all((sd > 0) & np.isfinite(sd)) and np.isfinite(mean).all()):
        raise ValueError(f"mean = {mean}, sd = {sd}: must be finite, sd above 0")
    return weight[weight > 0], mean[weight > 0], sd[weight > 0]
