"""Power, size and allocation of dose-finding trials by formula: multiple contrast tests and MCP-Mod."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy import optimize

from gmfmsim.compute.arguments import instance, matrix, numbers, one_of, scalar, vector
from gmfmsim.compute.roots import root
from gmfmsim.trial.dose_shapes import (
    SHAPES,
    Candidate,
    contrast_correlation,
    highest_at,
    optimal_contrasts,
    shape,
    valid_candidates,
    valid_doses,
)
from gmfmsim.trial.multiplicity import LEAST_ALPHA, critical_value, rectangle

MOST = 10_000_000
"""Children in an arm beyond which no size is looked for."""


def contrast_power(
    means: np.ndarray, contrasts: np.ndarray, n: np.ndarray, *, sd: float, alpha: float = 0.025
) -> np.ndarray:
    """Return the probability (K,) that the largest contrast is significant, for K vectors of true arm means (K, A).

    P(max_m T_m > c), T_m = sum_i c_mi y_i / (s sqrt(sum_i c_mi^2 / n_i)): non-central multivariate t with
    N - A degrees of freedom; alpha is one-sided. contrasts (M, A), n (A,) children analysed in each arm, not
    necessarily whole. Error below 1e-4. Source: Pinheiro, Bornkamp & Bretz 2006.

    Raises ValueError for an argument that cannot be: an sd not above 0, no more children than arms, tables of means
    and contrasts without a column for each arm.
    """
    n, sd = vector("n", n, above=0), scalar("sd", sd, above=0)
    df = float(n.sum()) - n.size
    if df <= 0:
        raise ValueError(f"n = {n.tolist()}: must be more children than arms")
    means = matrix("means", np.atleast_2d(numbers("means", means)), columns=n.size)
    contrasts = matrix("contrasts", contrasts, columns=n.size)
    correlation = contrast_correlation(contrasts, n)
    critical = critical_value(correlation, df, alpha)
    shifts = means @ contrasts.T / (sd * np.sqrt((contrasts**2 / n).sum(axis=1)))
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

    Raises ValueError for an argument that cannot be: a target outside (alpha, 1), another `over`, an alpha outside
    [`LEAST_ALPHA`, 0.5], a ratio or sd not above 0; and where no n up to `MOST` reaches the target.
    """
    alpha, sd = scalar("alpha", alpha, least=LEAST_ALPHA, most=0.5), scalar("sd", sd, above=0)
    target, over = scalar("target", target, above=alpha, below=1), one_of("over", over, ("min", "mean"))
    ratio = vector("ratio", ratio, above=0)
    means = matrix("means", means, columns=ratio.size)
    contrasts = optimal_contrasts(means, ratio)

    def reached(n: int) -> bool:
        powers = contrast_power(means, contrasts, n * ratio, sd=sd, alpha=alpha)
        return getattr(np, over)(powers) >= target

    low, high = 1, 2
    while not reached(high):
        if high > MOST:
            raise ValueError(f"target = {target:g}: must be one that some n up to {MOST:,} reaches")
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

    Raises ValueError for an effect outside (0, 1), doses or weights that cannot be, or doses that do not identify the
    curve.
    """
    effect, candidate = scalar("effect", effect, above=0, below=1), instance("candidate", candidate, Candidate)
    doses = valid_doses(doses)
    weights = vector("weights", weights, least=0)
    if weights.shape != doses.shape or not weights.any():
        raise ValueError(f"weights = {weights.tolist()}: must be one for each of {doses.size} doses, not all of them 0")
    x = doses / doses.max()
    target = root(lambda x: float(shape(candidate, x)) - effect, 0, highest_at(candidate), within=1e-14)
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

    Raises ValueError as `target_dose_variance`, for no candidates, and for probabilities that are not one for each,
    from 0 and not all of them 0.
    """
    doses, candidates = valid_doses(doses), valid_candidates(candidates)
    share = vector("probabilities", np.ones(len(candidates)) if probabilities is None else probabilities, least=0)
    if share.size != len(candidates) or not share.any():
        allowed = f"one for each of {len(candidates)} candidates, not all of them 0"
        raise ValueError(f"probabilities = {share.tolist()}: must be {allowed}")
    share = share / share.sum()

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
