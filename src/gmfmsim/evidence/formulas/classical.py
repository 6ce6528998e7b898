"""Classical meta-analysis: what published reviews computed, and the usual tests of their asymmetry.

Effects y (k,) have known variances v (k,): y ~ Normal(X b, v + tau^2). The models of the package do not use these
estimators; they serve to repeat what a review did.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from gmfmsim.compute.algebra import orthogonal, product, solve_upper, transposed
from gmfmsim.compute.arguments import flag, numbers, probability, scalar
from gmfmsim.compute.roots import root
from gmfmsim.faults import choices

Tau2Method = Literal["DL", "HE", "HS", "SJ", "ML", "REML", "EB", "PM"]
METHODS: tuple[str, ...] = get_args(Tau2Method)
GRID = 200
"""Points on which the score of a likelihood is searched for sign changes."""


@dataclass(frozen=True)
class Pooled:
    """A pooled effect. i2 is a share (0 to 1); ci and prediction hold with probability prob.

    q_p, i2 and prediction are None where they are not defined: for one study, prediction also for a fixed effect.
    """

    estimate: float
    se: float
    ci: tuple[float, float]
    tau2: float
    q: float
    q_p: float | None
    i2: float | None
    k: int
    prediction: tuple[float, float] | None
    prob: float


@dataclass(frozen=True)
class LogRatio:
    """A ratio on the log scale: estimate, standard error, and an interval with probability prob."""

    estimate: float
    se: float
    ci: tuple[float, float]
    prob: float


@dataclass(frozen=True)
class Egger:
    """A regression of the effect on its standard error: slope with z and p, and the limit, its value at se = 0."""

    slope: float
    slope_se: float
    z: float
    p: float
    limit: float
    limit_se: float
    tau2: float
    k: int


def tau2(y: ArrayLike, v: ArrayLike, method: Tau2Method, X: ArrayLike | None = None) -> float:
    """Estimate the between-study variance tau^2, given a design X (k, p), by default a column of ones.

    With w = 1/(v + tau^2), residuals r and leverages h of the fit with weights w:
    DL, HE   (sum a r^2 - sum a v (1 - h)) / sum a (1 - h), fitted with a = 1/v (DerSimonian & Laird 1986)
             and a = 1 (Hedges 1983)
    HS       (Q - k) / sum 1/v (Hunter & Schmidt 1990)
    SJ       t Q(t) / (k - p), t = mean (y - mean y)^2 (Sidik & Jonkman 2005)
    PM, EB   the root of Q(tau^2) = k - p (Paule & Mandel 1982; Morris 1983 has the same root)
    ML, REML the highest maximum of the (restricted) likelihood; score sum w^2 r^2 - sum w (1 - [REML] h)
    where Q(t) = sum r^2 / (v + t) is the generalised Q and Q = Q(0). Negative values become 0, and tau^2 is 0 where
    k - p = 0.

    Raises ValueError for an unknown method, for y, v or X of wrong shape or value, and for dependent columns of X.
    Source: Viechtbauer 2005; Veroniki et al. 2016.
    """
    y, v = _checked(y, v)
    x = _design(X, y.size)
    k, p = x.shape
    if method not in METHODS:
        raise ValueError(f"method {method!r} is unknown: {choices(str(method).upper(), METHODS)}")
    if k == p:
        return 0.0
    if method in ("PM", "EB"):
        return _root_of_q(y, v, x, k - p)
    if method in ("ML", "REML"):
        return _highest_maximum(y, v, x, restricted=method == "REML")
    if method == "SJ":
        start = float(((y - y.mean()) ** 2).mean())
        return start * float(_fit(y, x, 1 / (v + start)).q) / (k - p)
    if method == "HS":
        return max(0.0, float((_fit(y, x, 1 / v).q - k) / (1 / v).sum()))
    a = 1 / v if method == "DL" else np.ones(k)
    fit = _fit(y, x, a)
    return max(0.0, float((fit.q - (a * v * (1 - fit.leverage)).sum()) / (a * (1 - fit.leverage)).sum()))


def pool(y: ArrayLike, v: ArrayLike, method: Tau2Method | Literal["FE"] = "REML", *, prob: float = 0.95) -> Pooled:
    """Pool effects with weights w = 1/(v + tau^2); FE sets tau^2 = 0.

    se^2 = 1 / sum w and normal intervals, the prediction being estimate -+ z sqrt(tau^2 + se^2).
    I2 = tau^2 / (tau^2 + s^2), s^2 = (k - 1) sum a / ((sum a)^2 - sum a^2) with a = 1/v the typical variance (Higgins &
    Thompson 2002); for DL this is 1 - (k - 1)/Q, which FE reports too. One study is pooled to itself.

    Raises ValueError as `tau2` does, and for prob outside (0, 1).
    """
    y, v = _checked(y, v)
    k, tail = y.size, _tail(prob)
    if method != "FE" and method not in METHODS:
        raise ValueError(f"method {method!r} is unknown: {choices(str(method).upper(), (*METHODS, 'FE'))}")
    x = np.ones((k, 1))
    between = 0.0 if method == "FE" else tau2(y, v, method)
    fit, q = _fit(y, x, 1 / (v + between)), float(_fit(y, x, 1 / v).q)
    estimate, se = float(fit.beta[0]), float(np.sqrt(fit.cov[0, 0]))
    w, quantile = 1 / v, -float(special.ndtri(tail))
    typical = (k - 1) * w.sum() / (w * (w.sum() - w)).sum() if k > 1 else None  # s^2 of I2
    scatter = tau2(y, v, "DL") if method == "FE" else between
    spread = float(np.hypot(np.sqrt(between), se))
    return Pooled(
        estimate=estimate,
        se=se,
        ci=_around(estimate, quantile * se),
        tau2=between,
        q=q,
        q_p=float(special.chdtrc(k - 1, q)) if k > 1 else None,
        i2=float(scatter / (scatter + typical)) if k > 1 else None,
        k=k,
        prediction=None if method == "FE" or k < 2 else _around(estimate, quantile * spread),
        prob=prob,
    )


def mantel_haenszel_risk_ratio(
    a: ArrayLike, n1: ArrayLike, c: ArrayLike, n2: ArrayLike, prob: float = 0.95
) -> LogRatio:
    """Pool risk ratios over strata: a of n1 against c of n2 children with the event; the answer is the log.

    With N = n1 + n2, R = sum a n2 / N, S = sum c n1 / N: log RR = log(R / S),
    se^2 = sum (n1 n2 (a + c) - a c N) / N^2 / (R S). Nothing is added to zero cells: a stratum without events adds
    nothing, one with events in one arm enters as it is.

    Raises ValueError for counts that are not 0 <= events <= n, n > 0, of one length, and where an arm has no event in
    any stratum, or every child has one: then there is no ratio, or no spread. Source: Greenland & Robins 1985.
    """
    named = (("a", a), ("n1", n1), ("c", c), ("n2", n2))
    counts = [np.atleast_1d(numbers(name, part)) for name, part in named]
    if counts[0].ndim != 1 or len({part.shape for part in counts}) > 1:
        raise ValueError(f"a, n1, c, n2 have shapes {[part.shape for part in counts]}: need one length")
    a, n1, c, n2 = counts
    for name, events, n in (("a of n1", a, n1), ("c of n2", c, n2)):
        if not (np.isfinite(n).all() and (n > 0).all() and (events >= 0).all() and (events <= n).all()):
            raise ValueError(f"{name} = {events.tolist()} of {n.tolist()}: need n > 0 and 0 <= events <= n")
    total, tail = n1 + n2, _tail(prob)
    r, s = (a * n2 / total).sum(), (c * n1 / total).sum()
    variance = ((n1 * n2 * (a + c) - a * c * total) / total**2).sum()
    if r == 0 or s == 0 or variance <= 0:
        raise ValueError(f"a = {a.tolist()}, c = {c.tolist()}: need an event in each arm and a child without one")
    estimate, se = float(np.log(r / s)), float(np.sqrt(variance / (r * s)))
    return LogRatio(estimate, se, _around(estimate, -special.ndtri(tail) * se), prob)


def egger(y: ArrayLike, v: ArrayLike) -> Egger:
    """Regress the effect on its standard error: y ~ Normal(limit + slope sqrt(v), v + tau^2), tau^2 by REML.

    The slope's two-sided normal p tests asymmetry of the funnel plot; the limit is the effect of a study of endless
    size. It has little power below ten studies. Source: Egger et al. 1997; Sterne & Egger 2005.

    Raises ValueError for y or v of wrong shape or value, fewer than three studies, and variances that are all equal.
    """
    y, v = _checked(y, v, fewest=3, purpose="a regression on the standard error")
    se = np.sqrt(v)
    if np.ptp(se) <= 1e-9 * se.max():
        raise ValueError(f"v = {v[0]:g} for every study: a regression on the standard error needs different ones")
    x = np.column_stack([np.ones(y.size), se])
    between = tau2(y, v, "REML", x)
    fit = _fit(y, x, 1 / (v + between))
    (limit, slope), (limit_se, slope_se) = fit.beta.tolist(), np.sqrt(np.diag(fit.cov)).tolist()
    z = slope / slope_se
    return Egger(slope, slope_se, z, 2 * float(special.ndtr(-abs(z))), limit, limit_se, between, y.size)


def p_from_interval(estimate: float, low: float, high: float, prob: float = 0.95, log: bool = False) -> float:
    """Return the two-sided p that an estimate and its normal interval imply: 2 Phi(-|estimate| / se).

    se = (high - low) / (2 z). With log the three figures are ratios and their logarithms are taken first.

    Raises ValueError unless low <= estimate <= high, low < high, all finite, and positive with log.
    Source: Altman & Bland 2011.
    """
    figures = np.array([scalar(name, value) for name, value in (("low", low), ("estimate", estimate), ("high", high))])
    log = flag("log", log)
    if not (low <= estimate <= high and low < high and (low > 0 or not log)):
        raise ValueError(
            f"estimate {estimate!r}, interval {low!r} to {high!r}: need a finite interval around the estimate"
            + (" and positive ratios" if log else "")
        )
    low, estimate, high = np.log(figures) if log else figures
    z = -special.ndtri(_tail(prob))
    return 2 * float(special.ndtr(-abs(estimate) * 2 * z / (high - low)))


class _Fit(NamedTuple):
    """A weighted least-squares fit: beta, its covariance, residuals times sqrt(w), leverages, log det X'WX."""

    beta: np.ndarray
    cov: np.ndarray
    residual: np.ndarray
    leverage: np.ndarray
    log_det: np.ndarray

    @property
    def q(self) -> np.ndarray:
        """Return the generalised Q of the weights, sum w r^2."""
        return (self.residual**2).sum(-1)


def _fit(y: np.ndarray, x: np.ndarray, w: np.ndarray) -> _Fit:
    """Fit y (k,) to x (k, p) by weighted least squares, once for each row of w (..., k)."""
    root = np.sqrt(w)
    q, r = orthogonal(root[..., None] * x)
    target = root * y
    along = np.einsum("...kp,...k->...p", q, target)
    inverse = solve_upper(r, np.eye(x.shape[1]))
    return _Fit(
        beta=np.einsum("...pq,...q->...p", inverse, along),
        cov=product(inverse, transposed(inverse)),
        residual=target - np.einsum("...kp,...p->...k", q, along),
        leverage=(q**2).sum(-1),
        log_det=2 * np.log(np.abs(np.diagonal(r, axis1=-2, axis2=-1))).sum(-1),
    )


def _root_of_q(y: np.ndarray, v: np.ndarray, x: np.ndarray, target: float) -> float:
    """Solve Q(t) = target for t >= 0; 0 where Q(0) is below. Q falls, and Q(t) < sum (OLS residuals)^2 / t."""

    def excess(t: float) -> float:
        return float(_fit(y, x, 1 / (v + t)).q) - target

    if excess(0.0) <= 0:
        return 0.0
    above = 2 * float(_fit(y, x, np.ones_like(v)).q) / target
    return root(excess, 0.0, above, within=1e-14 * v.min(), relative=1e-14)


def _highest_maximum(y: np.ndarray, v: np.ndarray, x: np.ndarray, restricted: bool) -> float:
    """Return the t >= 0 at which the (restricted) likelihood is highest: of 0 and every root of the score.

    The likelihood can have several maxima. Beyond max(v) and 2 RSS / (k - p), RSS from ordinary least squares, its
    score is negative, since there sum w^2 r^2 <= RSS / t^2 and sum w (1 - h) >= (k - p) / 2t.
    """

    def score(t: np.ndarray) -> np.ndarray:
        w = 1 / (v + np.asarray(t)[..., None])
        fit = _fit(y, x, w)
        return (w * (fit.residual**2 - 1 + restricted * fit.leverage)).sum(-1)

    def log_likelihood(t: float) -> float:
        fit = _fit(y, x, 1 / (v + t))
        return -0.5 * float(np.log(v + t).sum() + fit.q + restricted * fit.log_det)

    above = 2 * max(v.max(), 2 * float(_fit(y, x, np.ones_like(v)).q) / (len(x) - x.shape[1]))
    grid = np.geomspace(v.min(), v.min() + above, GRID) - v.min()
    rising = score(grid) > 0
    maxima = [] if rising[0] else [0.0]
    for i in np.flatnonzero(rising[:-1] & ~rising[1:]):
        maxima.append(root(score, grid[i], grid[i + 1], within=1e-14 * v.min(), relative=1e-14))
    return max(maxima, key=log_likelihood)


def _around(estimate: float, half: float) -> tuple[float, float]:
    return float(estimate - half), float(estimate + half)


def _tail(prob: float) -> float:
    """Return the probability beyond each end of an equal-tailed interval."""
    return (1 - probability("prob", prob)) / 2


def _checked(y: ArrayLike, v: ArrayLike, fewest: int = 1, purpose: str = "pooling") -> tuple[np.ndarray, np.ndarray]:
    """Return y and v as arrays, or say what is wrong with them."""
    y, v = numbers("y", y), numbers("v", v)
    if y.ndim != 1 or y.shape != v.shape:
        raise ValueError(f"y {y.shape} and v {v.shape}: need two lists of one length")
    if y.size < fewest:
        raise ValueError(f"y has {y.size} effects: {purpose} needs at least {fewest}")
    if not np.isfinite(y).all():
        raise ValueError(f"y = {y.tolist()}: need finite effects")
    if not (np.isfinite(v).all() and (v > 0).all()):
        raise ValueError(f"v = {v.tolist()}: need finite variances above 0")
    return y, v


def _design(X: ArrayLike | None, k: int) -> np.ndarray:
    """Return the design (k, p), by default a column of ones, or say what is wrong with it."""
    x = np.ones((k, 1)) if X is None else numbers("X", X)
    if x.ndim != 2 or len(x) != k or not np.isfinite(x).all():
        raise ValueError(f"X {x.shape}: need {k} rows and one or more columns of finite numbers")
    if np.linalg.matrix_rank(x) < x.shape[1] or not x.size:
        raise ValueError(f"X {x.shape}: need independent columns, at most one a study")
    return x
