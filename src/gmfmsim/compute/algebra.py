"""Linear algebra in a fixed order of summation, for what reaches a file: the same bits whatever BLAS a machine has.

A library of linear algebra adds up in an order that depends on its threads and on the processor it was tuned for. Here
sums run in NumPy's own loops, one term after another, and matrices are small: loops over their rows, all matrices of a
stack at once.
"""

from collections.abc import Iterable
from functools import cache

import numpy as np

NEWTON_STEPS = 8
"""From the starting values below, four steps are enough; the rest do not move the nodes."""


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return sum_i a_i b_i over the last axis of a (..., n) and b (..., n)."""
    total: np.ndarray = (np.asarray(a) * b).sum(axis=-1)
    return total


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the matrix products of a (..., n, m) and b (..., m, k), (..., n, k)."""
    total: np.ndarray = np.einsum("...ij,...jk->...ik", a, b)
    return total


def transposed(a: np.ndarray) -> np.ndarray:
    """Return the transposes of matrices (..., n, m)."""
    return np.swapaxes(a, -1, -2)


def cholesky(a: np.ndarray) -> np.ndarray:
    """Return the lower factors L with L L' = a of symmetric matrices a (..., n, n), of which the lower half is read.

    Raises ValueError for a matrix that is not positive definite.
    """
    a = np.asarray(a, float)
    factor = np.zeros(a.shape)
    for j in range(a.shape[-1]):
        row = factor[..., j, :j]
        left = a[..., j:, j] - dot(factor[..., j:, :j], row[..., None, :])
        if not (left[..., 0] > 0).all():
            raise ValueError("the matrix is not positive definite")
        pivot = np.sqrt(left[..., 0])
        factor[..., j, j] = pivot
        factor[..., j + 1 :, j] = left[..., 1:] / pivot[..., None]
    return factor


def solve_lower(factor: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return L^-1 b for lower triangular L (..., n, n) and b (..., n, k)."""
    return _substituted(factor, b, range(factor.shape[-1]))


def solve_upper(factor: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return U^-1 b for upper triangular U (..., n, n) and b (..., n, k)."""
    return _substituted(factor, b, reversed(range(factor.shape[-1])))


def _substituted(factor: np.ndarray, b: np.ndarray, rows: Iterable[int]) -> np.ndarray:
    """Return the solution of triangular equations, one row after another; rows not yet solved are 0."""
    shape = np.broadcast_shapes(factor.shape[:-2], b.shape[:-2])
    x = np.zeros((*shape, *b.shape[-2:]))
    for i in rows:
        known = dot(factor[..., i, None, :], transposed(x))
        x[..., i, :] = (b[..., i, :] - known) / factor[..., i, i, None]
    return x


def inverse(a: np.ndarray) -> np.ndarray:
    """Return the inverses of symmetric positive definite matrices a (..., n, n). Raises ValueError as `cholesky`."""
    half = solve_lower(cholesky(a), np.eye(a.shape[-1]))
    return product(transposed(half), half)


def log_determinant(a: np.ndarray) -> np.ndarray:
    """Return log |a| of symmetric positive definite matrices a (..., n, n). Raises ValueError as `cholesky`."""
    return 2 * np.log(np.diagonal(cholesky(a), axis1=-2, axis2=-1)).sum(axis=-1)


def orthogonal(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Q (..., n, p) with orthonormal columns and upper triangular R (..., p, p) with Q R = a, n >= p.

    Gram and Schmidt's method, every column made orthogonal twice (Giraud, Langou & Rozloznik 2005).
    """
    a = np.asarray(a, float)
    p = a.shape[-1]
    q, r = np.zeros(a.shape), np.zeros((*a.shape[:-2], p, p))
    for j in range(p):
        column = a[..., j].copy()
        for _ in range(2):
            along = dot(transposed(q[..., :j]), column[..., None, :])
            column -= dot(q[..., :j], along[..., None, :])
            r[..., :j, j] += along
        r[..., j, j] = np.sqrt((column**2).sum(axis=-1))
        q[..., j] = column / r[..., j, j, None]
    return q, r


def legendre(t: np.ndarray, degree: int) -> np.ndarray:
    """Return the Legendre polynomials P_0 to P_degree at t (...), (..., degree + 1)."""
    return np.polynomial.legendre.legvander(t, degree).reshape(*np.shape(t), degree + 1)


@cache
def gauss_legendre(points: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights (points,) of Gauss and Legendre's rule on (-1, 1), the nodes rising.

    Newton's method from cos(pi (i - 1/4) / (n + 1/2)); weights 2 / ((1 - x^2) P_n'(x)^2) (Abramowitz & Stegun 25.4.29).
    """
    x = -np.cos(np.pi * (np.arange(1, points + 1) - 0.25) / (points + 0.5))
    for _ in range(NEWTON_STEPS):
        below, value = _last_two_legendre(x, points)
        slope = points * (below - x * value) / (1 - x**2)
        x = x - value / slope
    below, value = _last_two_legendre(x, points)
    slope = points * (below - x * value) / (1 - x**2)
    return x, 2 / ((1 - x**2) * slope**2)


def _last_two_legendre(x: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    below, value = np.zeros(x.shape), np.ones(x.shape)
    for k in range(1, n + 1):
        below, value = value, ((2 * k - 1) * x * value - (k - 1) * below) / k
    return below, value


@cache
def gauss_hermite(points: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights (points,) for expectations over Normal(0, 1): E[g(Z)] = sum of weight x g(node).

    Newton's method from NumPy's nodes, rounded so that their last digits do not count; weights
    (n - 1)! / (n h_(n-1)(x)^2) with h the probabilists' polynomials, scaled to add up to 1.
    """
    x = np.round(np.polynomial.hermite_e.hermegauss(points)[0], 8)
    for _ in range(NEWTON_STEPS):
        below, value = _last_two_hermite(x, points)
        x = x - value / (np.sqrt(points) * below)
    x = (x - x[::-1]) / 2
    weight = _last_two_hermite(x, points)[0] ** -2.0
    return x, weight / weight.sum()


def _last_two_hermite(x: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the orthonormal polynomials of degree n - 1 and n at x."""
    below, value = np.zeros(x.shape), np.ones(x.shape)
    for k in range(1, n + 1):
        below, value = value, (x * value - np.sqrt(k - 1) * below) / np.sqrt(k)
    return below, value
