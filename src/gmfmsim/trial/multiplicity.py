"""Several tests at once: probabilities of the multivariate t distribution, critical values, adjusted p values."""

import math
from functools import lru_cache

import numpy as np
from scipy import special

from gmfmsim.compute.algebra import dot, gauss_legendre, product
from gmfmsim.compute.arguments import correlations, endless, numbers, one_of, scalar, valid, vector
from gmfmsim.compute.roots import root
from gmfmsim.dist.pooled_sd import pooled_sd
from gmfmsim.faults import shown

COMMON, COMMON_WEIGHTS = gauss_legendre(128)
LARGEST_LOADING = 0.96
"""Above it the integrand is too steep for the nodes of the one-dimensional integral."""

POINTS = 2**16
"""Points of the quasi-Monte Carlo integral over a shifted distribution."""

DIRECTIONS, GROUPS = 2**18, 1024
"""Directions, each taken both ways, that the distribution of a maximum is found from, and groups they are summed in."""

LEAST_ALPHA = 1e-12
"""The smallest level: what the integrals leave out of a tail is a millionth of it."""

DEGREE = 15
"""Degree of the polynomial in 1/df that tabulates critical values."""


def rectangle(
    lower: np.ndarray, upper: np.ndarray, correlation: np.ndarray, df: float = math.inf, shift: np.ndarray | float = 0
) -> float:
    """Return P(lower_i <= T_i <= upper_i for all i), T_i = (Z_i + shift_i) / S, Z ~ Normal(0, correlation).

    S^2 ~ chi^2(df) / df, independent of Z: the non-central multivariate t distribution of k contrasts over one pooled
    SD; df = inf is the normal distribution. lower, upper, shift: (k,) or scalars; correlation (k, k) may be singular.

    Where correlation_ij = l_i l_j, as for comparisons with one control (Dunnett 1955), the Z_i are independent given
    one normal variable, and two nested quadratures give 1e-9. Elsewhere sequential conditioning on quasi-random points
    (Genz 1992) gives 1e-4, and 1e-5 for a matrix of full rank.

    Raises ValueError for a matrix that is not a correlation matrix, df that is not above 0, a limit that is no number,
    or a shift that is not finite.
    """
    correlation, df = correlations("correlation", correlation), endless("df", df, above=0)
    k = len(correlation)
    lower, upper, shift = _each("lower", lower, k), _each("upper", upper, k), _each("shift", valid("shift", shift), k)
    loading = _loading(correlation)
    if loading is not None:
        s, weight = pooled_sd(df)
        return float(dot(weight, _given_one_variable(np.outer(lower, s), np.outer(upper, s), shift, loading)))
    factor = _factor(correlation)
    points, s = _points(factor.shape[1], df)
    return float(_conditioned(*(np.outer(end, s) - shift[:, None] for end in (lower, upper)), factor, points).mean())


def _each(name: str, value: np.ndarray | float, k: int) -> np.ndarray:
    """Return one limit (k,) for each of k tests."""
    array = numbers(name, value)
    if array.shape not in ((), (k,)) or np.isnan(array).any():
        raise ValueError(f"{name} = {shown(array.tolist())}: must be a number, or one for each of {k} tests")
    return np.broadcast_to(array, k)


def _loading(correlation: np.ndarray) -> np.ndarray | None:
    """Return l (k,) with correlation_ij = l_i l_j off the diagonal, or None where there is none that is usable."""
    k = len(correlation)
    row, column = np.triu_indices(k, 1)
    r = correlation[row, column]
    if not r.any():
        return np.zeros(k)
    if not r.all():
        return None
    # least squares of log |r_ij| = a_i + a_j: (k - 2) a_i + sum a = sum_j log |r_ij|; of one pair, half to each
    logs = np.log(np.abs(r))
    sums = np.bincount(row, logs, k) + np.bincount(column, logs, k)
    size = np.exp((sums - sums.sum() / (2 * (k - 1))) / (k - 2) if k > 2 else sums / 2)
    loading = size * np.where(np.arange(k) == 0, 1, np.sign(correlation[0]))
    exact = np.allclose(np.outer(loading, loading)[row, column], r, rtol=0, atol=1e-12)
    return loading if exact and size.max() <= LARGEST_LOADING else None


def _given_one_variable(lower: np.ndarray, upper: np.ndarray, shift: np.ndarray, loading: np.ndarray) -> np.ndarray:
    """Return the probability (Q,) of the rectangles lower to upper (k, Q) for Z_i = l_i U + sqrt(1 - l_i^2) E_i."""
    u, density = _common_variable()
    inside = np.ones((lower.shape[1], u.size))
    for low, high, move, load in zip(lower, upper, shift, loading, strict=True):
        centre, spread = move + load * u, math.sqrt(1 - load**2)
        each = special.ndtr((high[:, None] - centre) / spread)
        if np.isfinite(low).any():
            each = np.maximum(each - special.ndtr((low[:, None] - centre) / spread), 0)
        inside *= each
    return dot(inside, density)


def _factor(correlation: np.ndarray) -> np.ndarray:
    """Return L (k, rank) with L L' = correlation, by Cholesky with pivots: rows end in different columns."""
    left, columns = correlation.copy(), []
    while np.diag(left).max() > 1e-12:
        pivot = np.diag(left).argmax()
        columns.append(left[:, pivot] / math.sqrt(left[pivot, pivot]))
        left = left - np.outer(columns[-1], columns[-1])
    factor = np.column_stack(columns)
    return np.where(np.abs(factor) < 1e-7, 0, factor)


@lru_cache(maxsize=4)
def _points(rank: int, df: float) -> tuple[np.ndarray, np.ndarray]:
    """Return quasi-random points (rank - 1, Q) in the unit cube and quantiles of S (Q,) at one more coordinate."""
    from scipy.stats import qmc  # slow to import: only where it is needed

    sobol = qmc.Sobol(rank, scramble=True, rng=np.random.default_rng(1)).random(POINTS).T
    s = np.ones(POINTS) if math.isinf(df) else np.sqrt(2 * special.gammaincinv(df / 2, sobol[-1]) / df)
    return sobol[:-1], s


def _conditioned(lower: np.ndarray, upper: np.ndarray, factor: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the probability (Q,) of lower <= L Y <= upper, each (k, Q), Y standard normal, one Y_j after the other.

    Y_j lies between the limits of all rows that end in column j; a singular matrix has several such rows.
    """
    rank = factor.shape[1]
    end = np.array([np.flatnonzero(row)[-1] for row in factor])
    inside, y = np.ones(lower.shape[1]), np.zeros((rank, lower.shape[1]))
    for j in range(rank):
        low, high = np.full(lower.shape[1], -np.inf), np.full(lower.shape[1], np.inf)
        for i in np.flatnonzero(end == j):
            ends = (np.array([lower[i], upper[i]]) - dot(y[:j].T, factor[i, :j])) / factor[i, j]
            low, high = np.maximum(low, ends.min(axis=0)), np.minimum(high, ends.max(axis=0))
        below = special.ndtr(low)
        width = np.maximum(special.ndtr(high) - below, 0)
        inside *= width
        if j < rank - 1:
            y[j] = special.ndtri(np.clip(below + width * points[j], 1e-300, 1 - 1e-16))
    return inside


def largest_below(c: float, correlation: np.ndarray, df: float, *, sides: int = 1) -> float:
    """Return P(max_i T_i <= c) without shift, 1 - `largest_beyond`; sides=2: P(max_i |T_i| <= c)."""
    return 1 - largest_beyond(c, correlation, df, sides=sides)


def largest_beyond(c: float, correlation: np.ndarray, df: float, *, sides: int = 1) -> float:
    """Return P(max_i T_i > c) without shift, with its digits where it is small; sides=2: P(max_i |T_i| > c).

    The quadratures of `rectangle` where they hold, over 1 - prod_i (1 - tail_i); elsewhere Z = r u with a direction u
    and its length r, so that the probability is the mean over u of P(r / S > c / m(u)), m(u) = max_i of row i of L
    times u, L L' = correlation, and r^2 / (rank S^2) ~ F(rank, df) (Somerville 1998). Quasi-random directions give 1e-5
    of it at usual levels.

    Raises ValueError as `rectangle`, and for another number of sides.
    """
    one_of("sides", sides, (1, 2))
    correlation, df = correlations("correlation", correlation), endless("df", df, above=0)
    c = _each("c", c, 1).item()
    loading = _loading(correlation)
    if loading is not None:
        s, weight = pooled_sd(df)
        return float(dot(weight, _beyond_given_one_variable(c * s, loading, sides)))
    rank, reach = _reach(correlation.tobytes(), len(correlation), sides)
    distance = np.divide(c, reach, out=np.full(reach.shape, np.inf), where=reach != 0)
    half = np.maximum(distance, 0) ** 2 / 2
    if c >= 0:
        tail = special.gammaincc(rank / 2, half) if math.isinf(df) else special.fdtrc(rank, df, 2 * half / rank)
        return float(np.where(reach > 0, tail, 0).mean())
    within = special.gammainc(rank / 2, half) if math.isinf(df) else special.fdtr(rank, df, 2 * half / rank)
    return float(np.where(reach < 0, within, 1).mean())


def _beyond_given_one_variable(c: np.ndarray, loading: np.ndarray, sides: int) -> np.ndarray:
    """Return P(max_i Z_i > c) (Q,), of |Z_i| where sides=2, for Z_i = l_i U + sqrt(1 - l_i^2) E_i and c (Q,)."""
    u, density = _common_variable()
    log_inside = np.zeros((c.size, u.size))
    with np.errstate(divide="ignore"):  # a tail of 1 leaves nothing inside
        for load in loading:
            spread = math.sqrt(1 - load**2)
            tail = special.ndtr((load * u - c[:, None]) / spread)
            if sides == 2:
                tail = np.minimum(tail + special.ndtr((-load * u - c[:, None]) / spread), 1)
            log_inside += np.log1p(-tail)
    return dot(-np.expm1(log_inside), density)


def _common_variable() -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights of integrals over a standard normal variable."""
    u = 9 * COMMON
    return u, 9 * COMMON_WEIGHTS * np.exp(-(u**2) / 2) / math.sqrt(2 * math.pi)


@lru_cache(maxsize=64)
def _reach(correlation: bytes, k: int, sides: int) -> tuple[int, np.ndarray]:
    """Return the rank and m(u) over directions u, sorted and averaged in groups (GROUPS,)."""
    from scipy.stats import qmc  # slow to import: only where it is needed

    factor = _factor(np.frombuffer(correlation).reshape(k, k))
    rank = factor.shape[1]
    z = special.ndtri(qmc.Sobol(rank, scramble=True, rng=np.random.default_rng(1)).random(DIRECTIONS)).T
    along = product(factor, z / np.sqrt((z**2).sum(axis=0)))
    ways = np.abs(along)[None] if sides == 2 else np.array([along, -along])
    return rank, np.sort(ways.max(axis=1), axis=None).reshape(GROUPS, -1).mean(axis=1)


def critical_value(correlation: np.ndarray, df: float, alpha: float, *, sides: int = 1) -> float:
    """Return c with P(max_i T_i > c) = alpha under the null; sides=2: of max_i |T_i|.

    Raises ValueError for alpha outside [`LEAST_ALPHA`, 0.5], df not above 0, another number of sides, or what is no
    correlation matrix.
    """
    alpha, df = scalar("alpha", alpha, least=LEAST_ALPHA, most=0.5), endless("df", df, above=0)
    one_of("sides", sides, (1, 2))
    correlation = correlations("correlation", correlation)
    least, most = (float(-_t_quantile(df, alpha / sides / tests)) for tests in (1, len(correlation)))

    def excess(c: float) -> float:
        return largest_beyond(c, correlation, df, sides=sides) - alpha

    # within the critical values of one test and of as many independent bounds as tests (Bonferroni), error or not
    if len(correlation) == 1 or excess(least) <= 0:
        return least
    return most if excess(most) >= 0 else root(excess, least, most, within=1e-11)


def adjusted_p(t: np.ndarray, correlation: np.ndarray, df: float, *, sides: int = 1) -> np.ndarray:
    """Return P(max_i T_i >= t_j) for each observed t_j (k,): single-step p values adjusted for k tests; sides as above.

    Raises ValueError as `largest_below`, and for a t that is not finite. Source: Bretz, Hothorn & Westfall 2011,
    section 3.1.
    """
    t = vector("t", t)
    t = t if one_of("sides", sides, (1, 2)) == 1 else np.abs(t)
    return np.array([largest_beyond(each, correlation, df, sides=sides) for each in t])


def critical_values(correlation: np.ndarray, df: np.ndarray, alpha: float) -> np.ndarray:
    """Return `critical_value` at each df (R,) from a table: to 2e-6 of it for alpha from 1e-6 on, at hardly any
    cost. df from 1 to inf.

    Tabulated is the level P(T_1 > c) of a single test, a smooth function of 1/df, as a Chebyshev polynomial.

    Raises ValueError as `critical_value`, and for df below 1.
    """
    alpha, df = scalar("alpha", alpha, least=LEAST_ALPHA, most=0.5), numbers("df", df)
    if not (df >= 1).all():
        raise ValueError(f"df = {shown(df.tolist())}: must be numbers of at least 1, or inf")
    correlation = np.ascontiguousarray(correlations("correlation", correlation))
    coefficients = _levels(correlation.tobytes(), len(correlation), float(alpha))
    values, place = np.unique(df, return_inverse=True)
    level = np.polynomial.chebyshev.chebval(2 / values - 1, coefficients)
    return -_t_quantile(values, level)[place]


@lru_cache(maxsize=256)
def _levels(correlation: bytes, k: int, alpha: float) -> np.ndarray:
    matrix = np.frombuffer(correlation).reshape(k, k)

    def level(x: np.ndarray) -> np.ndarray:
        return np.array([special.stdtr(df, -critical_value(matrix, df, alpha)) for df in 2 / (1 + x)])

    return np.polynomial.chebyshev.chebinterpolate(level, DEGREE if k > 1 else 0)


def _t_quantile(df: np.ndarray | float, p: np.ndarray | float) -> np.ndarray:
    """Return the quantile p of the t distribution; of the normal one where df is inf."""
    known = np.isinf(df)
    return np.where(known, special.ndtri(p), special.stdtrit(np.where(known, 1.0, df), p))


def control_correlation(n: np.ndarray, control: int = 0) -> np.ndarray:
    """Return the correlation (A - 1, A - 1) of the differences of arm means from the control mean; sizes n (A,).

    sqrt(n_i / (n_i + n_0)) sqrt(n_j / (n_j + n_0)) (Dunnett 1955).

    Raises ValueError for sizes not above 0, fewer than two arms, or a control that is none of them.
    """
    n = vector("n", n, above=0)
    if n.size < 2:
        raise ValueError(f"n = {n.tolist()}: must be the sizes of two arms or more")
    control = one_of("control", control, range(n.size))
    others = np.delete(n, control)
    loading = np.sqrt(others / (others + n[control]))
    correlation = np.outer(loading, loading)
    np.fill_diagonal(correlation, 1)
    return correlation
