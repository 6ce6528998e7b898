"""Candidate shapes of the dose-response, and the contrasts of arm means that find them best."""

from collections.abc import Callable, Sequence

import numpy as np

from gmfmsim.trial.analyses import Candidate


def _exponential(x, delta):
    return np.expm1(x / delta)


def _logistic(x, ed50, delta):
    return 1 / (1 + np.exp((ed50 - x) / delta))


def _beta(x, rise, fall, end):
    return (x / end) ** rise * (1 - x / end) ** fall


SHAPES: dict[str, Callable] = {
    "linear": lambda x: x,
    "log_linear": lambda x, ed50: np.log1p(x / ed50),
    "emax": lambda x, ed50: x / (ed50 + x),
    "sigmoid_emax": lambda x, ed50, h: x**h / (ed50**h + x**h),
    "exponential": _exponential,
    "quadratic": lambda x, delta: x + delta * x**2,
    "logistic": _logistic,
    "beta": _beta,
}
"""The curves of `Candidate` over x = dose / highest dose."""


def highest_at(candidate: Candidate) -> float:
    """Return the x in (0, 1] at which the curve is highest."""
    if candidate.curve == "quadratic" and candidate.delta < -0.5:
        return -1 / (2 * candidate.delta)
    if candidate.curve == "beta":
        return min(candidate.end * candidate.rise / (candidate.rise + candidate.fall), 1.0)
    return 1.0


def shape(candidate: Candidate, x: np.ndarray) -> np.ndarray:
    """Return the effect at x (...) = dose / highest dose, as a share of the largest effect at any x from 0 to 1."""
    curve, parameters = SHAPES[candidate.curve], candidate.parameters
    at_zero = curve(0.0, **parameters)
    largest = curve(highest_at(candidate), **parameters) - at_zero
    return (curve(np.asarray(x, float), **parameters) - at_zero) / largest


def standardised_means(candidates: Sequence[Candidate], doses: np.ndarray) -> np.ndarray:
    """Return the effects (M, A) of M candidates at the doses (A,) of the arms, 1 where a curve is highest."""
    x = np.asarray(doses, float) / np.max(doses)
    return np.array([shape(candidate, x) for candidate in candidates])


def optimal_contrasts(means: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Return the contrasts of arm means with most power against mean vectors (M, A), sizes n (A,) or (A, R).

    c_i = n_i (mu_i - sum_j n_j mu_j / sum_j n_j), scaled to sum_i c_i^2 = 1: (M, A) or (M, A, R).
    Only the ratios of the sizes matter. Source: Bornkamp, Pinheiro & Bretz 2009, section 3.2.

    Raises ValueError for a mean vector that is flat: no contrast finds it.
    """
    means, n = np.asarray(means, float), np.asarray(n, float)
    if np.any(np.ptp(means, axis=1) == 0):
        raise ValueError(f"means is {means.tolist()}; allowed: rows that are not constant")
    means = means.reshape(means.shape + (1,) * (n.ndim - 1))
    contrasts = n * (means - (n * means).sum(axis=1, keepdims=True) / n.sum(axis=0))
    return contrasts / np.sqrt((contrasts**2).sum(axis=1, keepdims=True))


def contrast_correlation(contrasts: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Return the correlation (M, M) of contrasts (M, A) of means of n (A,) children each."""
    scaled = contrasts / np.sqrt(np.asarray(n, float))
    scaled = scaled / np.sqrt((scaled**2).sum(axis=1, keepdims=True))
    correlation = scaled @ scaled.T
    np.fill_diagonal(correlation, 1)
    return correlation
