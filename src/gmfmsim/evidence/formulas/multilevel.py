"""Meta-analysis of effects that hang together: several levels of units, or several outcomes of one study.

Effects y (K,) have known sampling covariance V (K, K): y ~ Normal(X b, V + sum_l T_l), each T_l a between-study
covariance over the labels of the rows. As `classical`, it serves to repeat what a review did.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg, special

from gmfmsim.compute.arguments import instance, numbers, probability
from gmfmsim.faults import choices

Structure = Literal["UN", "CS", "HCS", "AR", "HAR", "DIAG"]
STRUCTURES: tuple[str, ...] = get_args(Structure)
STARTS = tuple(product((1.4, 1.0, 0.7, 0.5, 0.3, 0.15, 0.03), (-1.0, 0.3, 1.2)))
"""Between-study SDs, in units of the effects' spread, and angles of rho; the likelihood is climbed from the best."""


class CannotTell(ValueError):
    """These effects cannot tell a variance or a correlation that is asked for."""


@dataclass(frozen=True)
class Level:
    """A random intercept: T = sigma^2 for two rows of one unit, 0 otherwise; unit (K,) labels."""

    unit: Sequence


@dataclass(frozen=True)
class ByOutcome:
    """Correlated effects of one unit: T = G over the outcomes of two rows of one unit, 0 otherwise; labels (K,).

    UN    any covariance          CS   one tau^2, one rho         AR   one tau^2, rho^(|t - t'| / d)
    DIAG  a tau^2 each, rho 0     HCS  a tau^2 each, one rho      HAR  a tau^2 each, rho^(|t - t'| / d)
    For AR and HAR outcomes are times t, numbers, the two nearest d apart. rho is at least -1 / (outcomes - 1) for CS
    and HCS, and for AR and HAR at least -1, or 0 where times are not multiples of d apart.
    """

    unit: Sequence
    outcome: Sequence
    structure: Structure = "UN"


class Between(NamedTuple):
    """A fitted `ByOutcome`: outcomes in order, their covariance G, tau2 (CS and AR one, others one an outcome), rho.

    rho is one value, for UN one a pair (1 with 2, 1 with 3, ...), for DIAG none; None where tau2 = 0 leaves it open.
    """

    outcomes: tuple
    covariance: np.ndarray
    tau2: tuple[float, ...]
    rho: tuple[float | None, ...]


@dataclass(frozen=True, eq=False)
class Multilevel:
    """A fitted model: coefficients, se, their covariance; sigma2 of every Level, every fitted ByOutcome.

    q is Cochran's Q, r'V^-1 r, with df = K - p. between sums all sigma2 and tau2, None where outcomes have their own.
    prediction is of a new true effect with probability prob, None unless X is one column of ones and between a number.
    """

    coefficients: np.ndarray
    se: np.ndarray
    covariance: np.ndarray
    sigma2: tuple[float, ...]
    outcomes: tuple[Between, ...]
    log_likelihood: float
    q: float
    df: int
    between: float | None
    prediction: tuple[float, float] | None
    prob: float

    @property
    def icc(self) -> tuple[float, ...] | None:
        """Return sigma2 / between: the correlation of two true effects that share this level and no other."""
        return tuple(s / self.between for s in self.sigma2) if self.between else None


def fit_multilevel(
    y: ArrayLike,
    v: ArrayLike,
    x: ArrayLike | None = None,
    random: Sequence[Level | ByOutcome] = (),
    *,
    method: Literal["REML", "ML"] = "REML",
    prob: float = 0.95,
) -> Multilevel:
    """Fit y ~ Normal(X b, S), S = V + sum T, where the likelihood of the T is highest.

    -2 log L = K log 2 pi + log|S| + r'S^-1 r, r = y - X b, b by generalised least squares, cov b = (X'S^-1 X)^-1;
    REML adds log|X'S^-1 X| - log|X'X| - p log 2 pi. Normal intervals; prediction b -+ z sqrt(se^2 + between).
    v (K, K), or (K,) variances of independent effects; X (K, p), by default a column of ones. Variances may be 0 and
    correlations 1 or -1. To pool coefficient vectors of several studies, the second of two stages, X stacks identities.
    With equal variances v and one Level, each row a unit: sigma2 = max(0, s^2 - v), s^2 the variance of y.

    Raises ValueError for shapes, values, structure or method that cannot be, v not positive definite and dependent
    columns of X; CannotTell for a variance or correlation that these rows cannot tell; ArithmeticError where no maximum
    is found.
    Source: Harville 1977; Jackson, Riley & White 2011; Konstantopoulos 2011; metafor's rma.mv (Viechtbauer 2010).
    """
    y, v, x = _checked(y, v, x)
    if method not in ("REML", "ML"):
        raise ValueError(f"method {method!r} is unknown: REML or ML")
    probability("prob", prob)
    restricted, (k, p) = method == "REML", x.shape
    squares = (y - x @ np.linalg.lstsq(x, y)[0]) ** 2 + np.diag(v)
    terms = [_term(f"random[{i}]", part, squares) for i, part in enumerate(instance("random", random, Sequence))]
    _tell_apart(terms, x)
    fit, thetas = _highest(y, v, x, terms, restricted)
    fitted = [_between(term, theta) for term, theta in zip(terms, thetas, strict=True)]
    sigma2 = tuple(b.tau2[0] for b, part in zip(fitted, random, strict=True) if isinstance(part, Level))
    outcomes = tuple(b for b, part in zip(fitted, random, strict=True) if isinstance(part, ByOutcome))
    constant = restricted * np.linalg.slogdet(x.T @ x)[1] - (k - restricted * p) * np.log(2 * np.pi)
    log_likelihood, q = fit.log_likelihood + float(constant) / 2, _gls(y, v, x, restricted).q
    between = sum((b.tau2[0] for b in fitted), 0.0) if all(len(b.tau2) == 1 for b in fitted) else None
    se, prediction = np.sqrt(np.diag(fit.cov)), None
    if terms and between is not None and p == 1 and (x == 1).all():
        half = -special.ndtri((1 - prob) / 2) * np.hypot(se[0], np.sqrt(between))
        prediction = (float(fit.beta[0] - half), float(fit.beta[0] + half))
    return Multilevel(fit.beta, se, fit.cov, sigma2, outcomes, log_likelihood, q, k - p, between, prediction, prob)


class _Gls(NamedTuple):
    """A generalised least-squares fit; slope is d log L / d S for a symmetric change of S (K, K)."""

    beta: np.ndarray
    cov: np.ndarray
    q: float
    log_likelihood: float
    slope: np.ndarray


def _gls(y: np.ndarray, total: np.ndarray, x: np.ndarray, restricted: bool) -> _Gls:
    """Fit y to x with covariance `total`; the log likelihood is without its constants."""
    root = linalg.cholesky(total, lower=True)
    inverse = linalg.cho_solve((root, True), np.eye(y.size))
    q, r = np.linalg.qr(linalg.solve_triangular(root, x, lower=True))
    half = np.linalg.inv(r)
    beta = half @ (q.T @ linalg.solve_triangular(root, y, lower=True))
    pull, weighted = inverse @ (y - x @ beta), inverse @ x @ half
    generalised = float((y - x @ beta) @ pull)
    log_dets = 2 * float(np.log(np.diag(root)).sum() + restricted * np.log(np.abs(np.diag(r))).sum())
    slope = (np.outer(pull, pull) - inverse + restricted * weighted @ weighted.T) / 2
    return _Gls(beta, half @ half.T, generalised, -(log_dets + generalised) / 2, slope)


@dataclass(frozen=True, eq=False)
class _Term:
    """A random part: which rows share a unit (K, K), each row's outcome (K, p), products of their spreads (p, p)."""

    structure: Structure
    outcomes: tuple
    same: np.ndarray
    member: np.ndarray
    units: np.ndarray
    power: np.ndarray
    lowest_rho: float

    @property
    def shape(self) -> tuple[int, int]:
        """Return the number of spreads (SDs; for UN, entries of a root of G) and of correlations in theta."""
        p = len(self.units)
        if self.structure == "UN":
            return p * (p + 1) // 2, 0
        return (1 if self.structure in ("CS", "AR") else p), int(self.structure != "DIAG")

    @property
    def starts(self) -> list[np.ndarray]:
        """Return the thetas of `STARTS`, the angles only where they matter."""
        p = len(self.units)
        if self.structure == "UN":
            roots = ((share, np.eye(p) + np.sin(angle) * np.tri(p, k=-1)) for share, angle in STARTS)
            return [share * root[np.tril_indices(p)] for share, root in roots]
        return [np.repeat(start, self.shape) for start in STARTS][:: 1 if self.shape[1] else 3]

    def covariance(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Return G in units (p, p), its derivatives (parameters, p, p), and rho (0 for UN).

        UN has G = L L'; the others sd_i sd_j rho^power, rho on its range as the sine of a free angle. So a bound is an
        inner point of theta, where the likelihood is level along it; only the SDs of HCS and HAR are held at 0.
        """
        p, (spreads, correlations) = len(self.units), self.shape
        if self.structure == "UN":
            rows, columns = np.tril_indices(p)
            root, unit = np.zeros((p, p)), np.zeros((theta.size, p, p))
            root[rows, columns], unit[np.arange(theta.size), rows, columns] = theta, 1
            half = unit @ root.T
            return root @ root.T, half + half.swapaxes(1, 2), 0.0
        each = np.eye(p) if spreads == p else np.ones((1, p))
        sd, reach = theta[:spreads] @ each, (1 - self.lowest_rho) / 2
        rho = 1 - reach * (1 - float(np.sin(theta[-1]))) if correlations else 0.0
        half = each[:, :, None] * sd * rho**self.power
        slopes = half + half.swapaxes(1, 2)
        if correlations:
            by_rho = np.outer(sd, sd) * self.power * rho ** np.maximum(self.power - 1, 0)
            slopes = np.append(slopes, [reach * np.cos(theta[-1]) * by_rho], axis=0)
        return np.outer(sd, sd) * rho**self.power, slopes, rho


def _term(name: str, part: Level | ByOutcome, squares: np.ndarray) -> _Term:
    """Return a random part in arrays, or say what is wrong with it; squares (K,) are the rows' mean squares."""
    instance(name, part, (Level, ByOutcome))
    structure, outcome = ("DIAG", np.zeros(squares.size)) if isinstance(part, Level) else (part.structure, part.outcome)
    if structure not in STRUCTURES:
        raise ValueError(f"{name}: structure {structure!r} is unknown: {choices(structure, STRUCTURES)}")
    unit, outcome = np.asarray(part.unit), np.asarray(outcome)
    if not unit.shape == outcome.shape == squares.shape:
        raise ValueError(f"{name}: unit {unit.shape}, outcome {outcome.shape}: need {squares.size} labels each")
    labels, position = np.unique(outcome, return_inverse=True)
    p, member = len(labels), np.eye(len(labels))[position]
    power, lowest = 1 - np.eye(p), -1 / max(1, p - 1)
    if structure in ("AR", "HAR"):
        if p < 2 or labels.dtype.kind not in "iuf" or not np.isfinite(labels).all():
            raise ValueError(f"{name}: outcome {labels.tolist()}: {structure} needs two times or more, finite numbers")
        steps = np.abs(np.subtract.outer(labels, labels, dtype=float)) / np.diff(labels).min()
        power, lowest = (np.rint(steps), -1) if np.ptp([steps, np.rint(steps)], axis=0).max() < 1e-9 else (steps, 0)
    scale = np.sqrt(np.full(p, squares.mean()) if structure in ("CS", "AR") else member.T @ squares / member.sum(0))
    units, outcomes = np.outer(scale, scale), tuple(labels.tolist())
    return _Term(structure, outcomes, unit[:, None] == unit, member, units, power, lowest)


def _tell_apart(terms: list[_Term], x: np.ndarray) -> None:
    """Raise where contrasts free of X have the same variances and covariances for two values of the parameters."""
    q, _ = np.linalg.qr(x)
    free, slopes = np.eye(len(x)) - q @ q.T, np.empty((0, len(x) ** 2))
    for i, term in enumerate(terms):
        t = term.same * (term.member @ term.covariance(term.starts[1])[1] @ term.member.T)
        slopes = np.vstack([slopes, (free @ t @ free).reshape(len(t), -1)])
        if np.linalg.matrix_rank(slopes) < len(slopes):
            raise CannotTell(
                f"random[{i}]: these effects cannot tell its variances and correlations from X or the parts before"
            )


def _highest(y: np.ndarray, v: np.ndarray, x: np.ndarray, terms: list[_Term], restricted: bool) -> tuple[_Gls, list]:
    """Return the fit and each term's theta at the highest maximum of the likelihood that the best starts lead to."""
    from scipy.optimize import Bounds, minimize

    ends = np.cumsum([sum(term.shape) for term in terms])[:-1]

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray, _Gls]:
        parts = [term.covariance(part) for term, part in zip(terms, np.split(theta, ends), strict=True)]
        spreads = [t.same * (t.member @ (t.units * g) @ t.member.T) for t, (g, _, _) in zip(terms, parts, strict=True)]
        fit = _gls(y, v + sum(spreads), x, restricted)
        pulls = [t.units * (t.member.T @ (t.same * fit.slope) @ t.member) for t in terms]
        slopes = [(slope * pull).sum((1, 2)) for (_, slope, _), pull in zip(parts, pulls, strict=True)]
        return -fit.log_likelihood, -np.concatenate(slopes), fit

    if not terms:
        return _gls(y, v, x, restricted), []
    floors = [(0 if term.structure in ("HCS", "HAR") else -np.inf, -np.inf) for term in terms]
    lower = np.concatenate([np.repeat(floor, term.shape) for floor, term in zip(floors, terms, strict=True)])
    how = {"method": "L-BFGS-B", "bounds": Bounds(lower), "options": {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 2000}}
    starts = sorted(map(np.concatenate, product(*(t.starts for t in terms))), key=lambda start: loss(start)[0])
    climbs = (minimize(lambda theta: loss(theta)[:2], start, jac=True, **how) for start in starts[:10])
    best = min(climbs, key=lambda climb: climb.fun)
    free = (best.x > lower) | (best.jac < 0)
    if (steepest := np.abs(best.jac[free]).max(initial=0)) > 1e-4:
        raise ArithmeticError(f"no maximum of the likelihood found: its slope is still {steepest:.2g}")
    theta, angle = best.x, np.concatenate([np.repeat([False, True], term.shape) for term in terms])
    for i in np.argsort(angle, kind="stable"):  # to the bound where the likelihood is as high there
        moved = theta.copy()
        moved[i] = np.pi * (np.floor(theta[i] / np.pi) + 0.5) if angle[i] else 0.0
        theta = moved if loss(moved)[0] <= best.fun + 1e-10 else theta
    return loss(theta)[2], np.split(theta, ends)


def _between(term: _Term, theta: np.ndarray) -> Between:
    """Return G of a term with its variances and correlations."""
    (g, _, one), (spreads, correlations) = term.covariance(theta), term.shape
    g, sd, rho = term.units * g, np.sqrt(np.diag(term.units * g)), ()
    if correlations:
        rho = (one if (sd > 0).sum() > 1 else None,)
    elif term.structure == "UN":
        pairs = ((g[i, j], sd[i] * sd[j]) for i, j in zip(*np.triu_indices(len(g), 1), strict=True))
        rho = tuple(float(np.clip(shared / sds, -1, 1)) if sds > 0 else None for shared, sds in pairs)
    return Between(term.outcomes, g, tuple(np.diag(g)[: 1 if spreads == 1 else None].tolist()), rho)


def _checked(y: ArrayLike, v: ArrayLike, x: ArrayLike | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return y, V (K, K) and X as arrays, or say what is wrong with them."""
    y, v = numbers("y", y), numbers("v", v)
    v, x = np.diag(v) if v.ndim == 1 else v, np.ones((y.size, 1)) if x is None else numbers("x", x)
    if y.ndim != 1 or not y.size or v.shape != (y.size, y.size):
        raise ValueError(f"y {y.shape} and v {v.shape}: need effects (K,) and variances (K,) or covariances (K, K)")
    if not (np.isfinite(y).all() and np.isfinite(v).all() and np.diag(v).min() > 0):
        raise ValueError("y and v: need finite numbers, variances above 0")
    correlation = v / np.sqrt(np.outer(np.diag(v), np.diag(v)))
    if np.ptp([correlation, correlation.T], axis=0).max() > 1e-9 or np.linalg.eigvalsh(correlation)[0] < 1e-12:
        raise ValueError("v: need a symmetric positive definite covariance")
    if x.ndim != 2 or len(x) != y.size or not x.size or not np.isfinite(x).all():
        raise ValueError(f"x {x.shape}: need {y.size} rows and one or more columns of finite numbers")
    if np.linalg.matrix_rank(x) < x.shape[1]:
        raise ValueError(f"x {x.shape}: need independent columns, at most one an effect")
    return y, v, x
