"""Least squares of one dose-response curve to the children, or the arm means, of one trial."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.optimize import least_squares

from gmfmsim.compute.roots import root
from gmfmsim.faults import choices
from gmfmsim.model.curves import CURVES, DOSES, SHARE, SPLINE_KNOTS, UNIT_DOSE, Curve

BOUNDS = {
    "ed50": (0.001, 1.5),
    "threshold": (0.001, 1.5),
    "delta": (0.1, 2.0),
    "hill": (0.5, 10.0),
    "bend": (-10.0, 10.0),
    "stick_1": (0.0, 1.0),
    "stick_2": (0.0, 1.0),
}
"""Where the non-linear parameters are looked for, with the largest dose as unit of dose; those of the Emax and
exponential curves are the usual ones of MCP-Mod (Bornkamp, Pinheiro & Bretz 2009)."""

GRID = 61
"""Values of each non-linear parameter, both bounds among them, from which the search starts."""


@dataclass(frozen=True)
class CurveFit:
    """A fitted curve: response = e0 + amplitude f(dose; nonlinear).

    `parameters` and `standard_errors` go by name: e0, the curve's amplitude, its non-linear parameters (ed50 and
    delta in the unit of the data). A standard error is NaN where the doses do not tell the parameters apart, and
    means little for a parameter `at_bound`, whose best value is where the search ends. `n` counts responses, `unit`
    is the dose that counts as 1e8 cells/kg, and `top_dose` the largest.
    """

    curve: str
    parameters: dict[str, float]
    standard_errors: dict[str, float]
    at_bound: tuple[str, ...]
    rss: float
    aic: float
    n: int
    unit: float
    top_dose: float


def fit_curve(
    dose: np.ndarray,
    response: np.ndarray,
    curve: str,
    *,
    variance: np.ndarray | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    unit: float = UNIT_DOSE,
) -> CurveFit:
    """Fit response = e0 + amplitude f(dose; nonlinear) by least squares; dose and response (n,).

    For planners who fit a curve to one trial: to its children, whose common variance is estimated (rss / (n - p)
    in the standard errors), or to its arm means with their known `variance` (n,), SD^2 / children, whose inverses
    are the weights. e0 and the amplitude are solved for; the non-linear parameters are searched for within `bounds`,
    {name: (low, high)}, on a grid and then to the minimum. `unit` is the dose that counts as 1e8 cells/kg: leave it
    for doses in cells/kg, give 100 for doses in 1e6 cells/kg.

    aic = n log(2 pi v) - sum(log w) + sum(w residual^2) / v + 2 k, with v = rss / n and k = p + 1 where the variance
    is estimated (w = 1), v = 1 and k = p where it is known (w = 1 / variance).

    Raises ValueError for an unknown curve or bound, for numbers that are not finite or disagree in length, for fewer
    distinct doses than parameters, and for doses at which the curve is flat.
    Source: Bretz, Pinheiro & Branson (2005); separable least squares, Golub & Pereyra (1973).
    """
    if curve not in CURVES:
        raise ValueError(f"curve {curve!r}: allowed are {choices(curve, list(CURVES))}")
    law = CURVES[curve]
    dose, response, weight = _checked(dose, response, variance, unit, 2 + len(law.nonlinear))
    box = _box(law, bounds or {}, dose.max(), unit)
    # the arms' means and weights are all that the parameters depend on; the scatter within arms adds to the rss
    arm_dose, arm = np.unique(dose, return_inverse=True)
    arm_weight = np.bincount(arm, weight)
    mean = np.bincount(arm, weight * response) / arm_weight
    scale = np.array([UNIT_DOSE / unit if name in DOSES else 1.0 for name in law.nonlinear])

    def shape(nonlinear: np.ndarray) -> np.ndarray:
        """Return f (..., arm) from non-linear parameters (..., P) in the unit of the data."""
        values = np.moveaxis(nonlinear * scale, -1, 0)[..., None]
        return np.broadcast_to(law.shape(arm_dose * UNIT_DOSE / unit, *values), (*nonlinear.shape[:-1], mean.size))

    def residuals(nonlinear: np.ndarray) -> np.ndarray:
        _, _, rest = _solve(shape(nonlinear), mean, arm_weight)
        return rest * np.sqrt(arm_weight)

    best = _search(residuals, box)
    e0, amplitude, _ = _solve(shape(best), mean, arm_weight)
    if np.ptp(shape(best)) == 0:
        raise ValueError(f"dose {arm_dose}: curve {curve} is flat there; give doses at which it differs")
    rss = float((residuals(best) ** 2).sum() + (weight * (response - mean[arm]) ** 2).sum())
    slopes = [amplitude * column for column in _derivatives(shape, best, np.ptp(box, axis=1))]
    jacobian = np.column_stack([np.ones(mean.size), shape(best), *slopes])
    n, p = dose.size, jacobian.shape[1]
    se = _standard_errors(jacobian * np.sqrt(arm_weight)[:, None], 1.0 if variance is not None else rss / (n - p))
    names = ("e0", law.amplitude, *law.nonlinear)
    near = np.isclose(best[:, None], box, rtol=0, atol=1e-6 * np.ptp(box, axis=1, keepdims=True)).any(axis=1)
    return CurveFit(
        curve=curve,
        parameters=dict(zip(names, map(float, (e0, amplitude, *best)), strict=True)),
        standard_errors=dict(zip(names, map(float, se), strict=True)),
        at_bound=tuple(name for name, edge in zip(law.nonlinear, near, strict=True) if edge),
        rss=rss,
        aic=_aic(rss, n, p, None if variance is None else weight),
        n=n,
        unit=unit,
        top_dose=float(dose.max()),
    )


def effect(fit: CurveFit, dose: np.ndarray) -> np.ndarray:
    """Return amplitude f(dose), the fitted effect over dose 0; dose in the unit of the data."""
    law, scale = CURVES[fit.curve], UNIT_DOSE / fit.unit
    nonlinear = (fit.parameters[name] * (scale if name in DOSES else 1) for name in law.nonlinear)
    return fit.parameters[law.amplitude] * law.shape(np.asarray(dose, float) * scale, *nonlinear)


def target_dose(fit: CurveFit, delta: float) -> float | None:
    """Return the smallest dose from 0 to the top dose with effect delta over dose 0, None if there is none.

    delta in units of the response, below 0 where lower is better.

    Raises ValueError for a curve without dose and for a delta that is not finite.
    Source: Bretz, Pinheiro & Branson (2005).
    """
    if not CURVES[fit.curve].uses_dose:
        raise ValueError(f"curve {fit.curve!r}: give a fit of a curve that depends on the dose")
    if not math.isfinite(delta):
        raise ValueError(f"delta {delta}: allowed are finite effects")
    for low, high in pairwise(_turns(fit)):
        if (effect(fit, low) - delta) * (effect(fit, high) - delta) <= 0:
            return root(lambda d: effect(fit, d) - delta, low, high, within=1e-13 * fit.top_dose)
    return None


def effective_dose(fit: CurveFit, share: float) -> float | None:
    """Return the smallest dose with this share (0 to 1) of the effect at the top dose.

    Raises ValueError for a share outside 0 to 1, and for a curve without dose.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share {share}: allowed is 0 to 1")
    return target_dose(fit, share * float(effect(fit, fit.top_dose)))


def _checked(dose, response, variance, unit: float, p: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return dose, response and weights as arrays (n,), or raise ValueError."""
    dose, response = np.asarray(dose, float), np.asarray(response, float)
    spread = np.ones(dose.shape) if variance is None else np.asarray(variance, float)
    if dose.ndim != 1 or not dose.shape == response.shape == spread.shape:
        raise ValueError(f"dose {dose.shape}, response {response.shape}, variance {spread.shape}: need (n,) for each")
    if not (np.isfinite(dose) & (dose >= 0)).all():
        raise ValueError(f"dose {dose}: allowed are finite numbers from 0 on")
    if not np.isfinite(response).all():
        raise ValueError(f"response {response}: allowed are finite numbers")
    if not (np.isfinite(spread) & (spread > 0)).all():
        raise ValueError(f"variance {variance}: allowed are finite numbers above 0")
    if not 0 < unit < math.inf:
        raise ValueError(f"unit {unit}: allowed is a finite dose above 0")
    if np.unique(dose).size < p:
        raise ValueError(f"dose: {np.unique(dose).size} distinct doses, at least {p} are needed for {p} parameters")
    if variance is None and dose.size <= p:
        raise ValueError(f"response: {dose.size} values and no variance; more than {p} are needed for {p} parameters")
    return dose, response, 1 / spread


def _box(law: Curve, bounds: Mapping[str, tuple[float, float]], top: float, unit: float) -> np.ndarray:
    """Return the bounds (P, 2) of the non-linear parameters, the caller's in place of the usual ones."""
    for name in bounds:
        if name not in law.nonlinear:
            raise ValueError(f"bounds {name!r}: allowed are {', '.join(law.nonlinear) or 'none, all is linear'}")
    factor = dict.fromkeys(DOSES, top) | {"bend": unit / top}
    box = {name: tuple(b * factor.get(name, 1.0) for b in BOUNDS[name]) for name in law.nonlinear} | dict(bounds)
    for (name, (low, high)), limits in zip(box.items(), law.nonlinear.values(), strict=True):
        least, most = limits
        if not (least < low < high < most or (limits == SHARE and 0 <= low < high <= 1)):
            raise ValueError(f"bounds {name!r} {low}, {high}: allowed are rising numbers between {least} and {most}")
    return np.array(list(box.values()), float).reshape(-1, 2)


def _solve(f: np.ndarray, response: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return e0 (...), amplitude (...) and residuals (..., n) of the weighted regression on f (..., n)."""
    share = weight / weight.sum()
    centre = (f * share).sum(axis=-1, keepdims=True)
    about = f - centre
    rest = response - share @ response
    square = (share * about**2).sum(axis=-1, keepdims=True)
    amplitude = (share * about * rest).sum(axis=-1, keepdims=True) / np.where(square > 0, square, 1)
    e0 = share @ response - amplitude * centre
    return e0[..., 0], amplitude[..., 0], rest - amplitude * about


def _search(residuals, box: np.ndarray) -> np.ndarray:
    """Return the parameters (P,) within box (P, 2) of the smallest sum of squared residuals: grid, then descent."""
    if not box.size:
        return np.empty(0)
    logarithmic = box[:, 0] > 0  # a scale parameter: as many steps from 1e6 to 1e7 as from 1e7 to 1e8
    edges = np.where(logarithmic[:, None], np.log(np.where(logarithmic[:, None], box, 1)), box)

    def parameters(place: np.ndarray) -> np.ndarray:
        raw = edges[:, 0] + place * np.ptp(edges, axis=1)
        return np.clip(np.where(logarithmic, np.exp(np.where(logarithmic, raw, 0)), raw), *box.T)

    axes = np.meshgrid(*[np.linspace(0, 1, GRID)] * len(box))
    places = np.column_stack([axis.ravel() for axis in axes])
    start = places[(residuals(parameters(places)) ** 2).sum(axis=-1).argmin()]
    descent = least_squares(
        lambda place: residuals(parameters(place)), start, "3-point", (0, 1), ftol=1e-15, xtol=1e-15, gtol=1e-15
    )
    ends = [parameters(start), parameters(descent.x)]
    return min(ends, key=lambda end: (residuals(end) ** 2).sum())


def _derivatives(shape, nonlinear: np.ndarray, width: np.ndarray) -> list[np.ndarray]:
    """Return the derivative of f (n,) in each non-linear parameter, by central differences; width of its bounds."""
    steps = np.diag(1e-5 * np.maximum(np.abs(nonlinear), 1e-3 * width))
    return [(shape(nonlinear + h) - shape(nonlinear - h)) / (2 * h.sum()) for h in steps]


def _standard_errors(jacobian: np.ndarray, variance: float) -> np.ndarray:
    """Return sqrt(diag(variance (J'J)^-1)) (p,), NaN if J (n, p) has not full rank."""
    length = np.linalg.norm(jacobian, axis=0)
    if (length == 0).any() or np.linalg.matrix_rank(jacobian / length, tol=1e-9) < length.size:
        return np.full(length.size, math.nan)
    scaled = jacobian / length
    return np.sqrt(variance * np.diag(np.linalg.inv(scaled.T @ scaled))) / length


def _aic(rss: float, n: int, p: int, weight: np.ndarray | None) -> float:
    """Return -2 log likelihood + 2 x parameters, an estimated variance (weight None) among them."""
    if weight is not None:
        return float(n * math.log(2 * math.pi) - np.log(weight).sum() + rss + 2 * p)
    return n * math.log(2 * math.pi * rss / n) + n + 2 * (p + 1) if rss > 0 else -math.inf


def _turns(fit: CurveFit) -> list[float]:
    """Return doses from 0 to the top dose between which the curve only rises, only falls or is flat."""
    bend = fit.parameters.get("bend", 0.0)
    turns = [-fit.unit / (2 * bend)] if bend < 0 else []
    if fit.curve == "monotone_spline":
        turns = [SPLINE_KNOTS[-1] * fit.unit / UNIT_DOSE]
    return [0.0, *(d for d in turns if d < fit.top_dose), fit.top_dose]
