"""Power, size and allocation of dose-finding trials by formula: multiple contrast tests and MCP-Mod."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy import optimize

from gmfmsim.trial.analyses import Candidate
from gmfmsim.trial.dose_shapes import SHAPES, contrast_correlation, highest_at, optimal_contrasts, shape
from gmfmsim.trial.multiplicity import critical_value, rectangle


def contrast_power(
    means: np.ndarray, contrasts: np.ndarray, n: np.ndarray, *, sd: float, alpha: float = 0.025
) -> np.ndarray:
    """Return the probability (K,) that the largest contrast is significant, for K vectors of true arm means (K, A).

    P(max_m T_m > c), T_m = sum_i c_mi y_i / (s sqrt(sum_i c_mi^2 / n_i)): non-central multivariate t with
    N - A degrees of freedom; alpha is one-sided. contrasts (M, A), n (A,) children analysed in each arm, not
    necessarily whole. Error below 1e-4. Source: Pinheiro, Bornkamp & Bretz 2006.

    Raises ValueError for an sd that is not positive, or no more children than arms.
    """
    n, contrasts = np.asarray(n, float), np.asarray(contrasts, float)
    df = n.sum() - n.size
    if not (sd > 0 and n.min() > 0 and df > 0):
        raise ValueError(f"sd is {sd}, n {n.tolist()}; allowed: sd > 0, more children than arms, none empty")
    correlation = contrast_correlation(contrasts, n)
    critical = critical_value(correlation, df, alpha)
    shifts = np.atleast_2d(means) @ contrasts.T / (sd * np.sqrt((contrasts**2 / n).sum(axis=1)))
    return np.array([1 - rectangle(-np.inf, critical, correlation, df, shift) for shift in shifts])


def contrast_sample_size(
    means: np.ndarray,
    ratio: np.ndarray,
    *,
    sd: float,
    target: float,
    alpha: float = 0.025,
    over: Literal["min", "mean"] = "min",
) -> int:
    """Return the smallest n, children analysed in an arm of ratio 1, at which `contrast_power` reaches the target.

    The contrasts are those best for the K vectors of arm means (K, A); the target holds for the least or the mean of
    their powers; arms have n x ratio (A,).

    Raises ValueError for a target outside (alpha, 1) or another `over`.
    """
    if not alpha < target < 1 or over not in ("min", "mean"):
        raise ValueError(f"target is {target}, over {over!r}; allowed: between alpha and 1; min, mean")
    ratio = np.asarray(ratio, float)
    contrasts = optimal_contrasts(means, ratio)

    def reached(n: int) -> bool:
        powers = contrast_power(means, contrasts, n * ratio, sd=sd, alpha=alpha)
        return getattr(np, over)(powers) >= target

    low, high = 1, 2
    while not reached(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def target_dose_variance(candidate: Candidate, doses: np.ndarray, weights: np.ndarray, effect: float) -> float:
    """Return the variance of the estimated dose that has `effect`, a share of the largest, up to a factor.

    (g(TD) - g(0))' M^-1 (g(TD) - g(0)), M = sum_i w_i g(d_i) g(d_i)' the information of one child at allocation weights
    (A,), g the gradient of the mean in the parameters of the curve, e0 and amplitude included; `end` is fixed. The
    factor, (SD / slope at TD)^2 / N, does not depend on the weights. Source: Dette et al. 2008.

    Raises ValueError where the curve does not reach the effect, or the doses do not identify it.
    """
    if not 0 < effect < 1:
        raise ValueError(f"effect is {effect}; allowed: between 0 and 1, as a share of the largest")
    x = np.asarray(doses, float) / np.max(doses)
    target = optimize.brentq(lambda x: float(shape(candidate, x)) - effect, 0, highest_at(candidate), xtol=1e-14)
    gradients = _gradient(candidate, x)
    if np.linalg.matrix_rank(gradients) < gradients.shape[1]:
        raise ValueError(f"doses are {x.tolist()}; allowed: as many as {candidate.curve} has parameters, or more")
    direction = np.diff(_gradient(candidate, np.array([0, target])), axis=0)[0]
    information = (gradients.T * weights) @ gradients
    return float(direction @ np.linalg.solve(information, direction))


def _gradient(candidate: Candidate, x: np.ndarray) -> np.ndarray:
    """Return the gradient (A, P) of e0 + amplitude x curve at x (A,) in e0, amplitude and the curve's parameters.

    Columns may be scaled at will: the variance of a target dose does not change with the scale of a parameter.
    """
    curve, parameters = SHAPES[candidate.curve], candidate.parameters
    columns = [np.ones(x.size), curve(x, **parameters)]
    for name, value in parameters.items():
        if name != "end":
            step = 1e-5 * abs(value) or 1e-5
            up, down = (curve(x, **(parameters | {name: value + move})) for move in (step, -step))
            columns.append((up - down) / (2 * step))
    if candidate.curve == "quadratic":  # its amplitude and delta span x and x^2, also where delta is 0
        columns[1:] = [x, x**2]
    return np.column_stack(columns)


def target_dose_allocation(
    candidates: Sequence[Candidate], doses: np.ndarray, effect: float, probabilities: np.ndarray | None = None
) -> np.ndarray:
    """Return the shares (A,) of the children for each dose that estimate the dose with `effect` best over candidates.

    They minimise sum_m p_m log variance_m of `target_dose_variance`; equal probabilities if none are given.
    Source: Dette, Bretz, Pepelyshev & Pinheiro 2008.

    Raises ValueError as `target_dose_variance`.
    """
    doses = np.asarray(doses, float)
    share = np.full(len(candidates), 1 / len(candidates)) if probabilities is None else np.asarray(probabilities)

    def criterion(scores: np.ndarray) -> float:
        weights = _shares(scores)
        variances = [target_dose_variance(candidate, doses, weights, effect) for candidate in candidates]
        return float(share @ np.log(variances))

    found = optimize.minimize(criterion, np.zeros(doses.size), method="BFGS", options={"gtol": 1e-7})
    return _shares(found.x)


def _shares(scores: np.ndarray) -> np.ndarray:
    """Return positive shares that add up to 1 from any scores."""
    weights = np.exp(scores - scores.max())
    return weights / math.fsum(weights)
