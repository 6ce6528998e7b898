"""Arguments of public functions: one that cannot be is refused by name, with its value and what is allowed."""

import math
import operator
from collections.abc import Callable, Iterable
from functools import wraps
from inspect import signature
from typing import Any

import numpy as np

from gmfmsim.faults import choices, shown

type Number = float | np.ndarray

HOLDS = {"above": operator.gt, "least": operator.ge, "below": operator.lt, "most": operator.le}
"""What each kind of bound asks of a number."""

WORDS = {"least": "at least", "most": "at most"}


def numbers(name: str, value: object, allowed: str = "") -> np.ndarray:
    """Return `value` as float64, of any shape. Raises ValueError for what is not all integers and floats."""
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        array = np.empty(0, object)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name} = {shown(value)}: must be a finite number {allowed}".rstrip())
    return array.astype(float)


def valid(
    name: str,
    value: Number | Iterable[float],
    *,
    above: Number | None = None,
    least: Number | None = None,
    below: Number | None = None,
    most: Number | None = None,
) -> np.ndarray:
    """Return `value` as float64 if every number is finite and within its bounds; `least` and `most` are allowed.

    Numbers are integers and floats, not truth values or text. Raises ValueError with the first number that is not.
    """
    given = {"above": above, "least": least, "below": below, "most": most}
    bounds = [(np.asarray(b), WORDS.get(kind, kind), HOLDS[kind]) for kind, b in given.items() if b is not None]
    array = numbers(name, value, " and ".join(f"{word} {b:g}" for b, word, _ in bounds if b.ndim == 0))
    good = np.isfinite(array)
    for bound, _, holds in bounds:
        good = good & holds(array, bound)
    if not np.all(good):
        first, *limits = (np.broadcast_to(x, good.shape)[~good].flat[0] for x in (array, *(b for b, _, _ in bounds)))
        allowed = " and ".join(f"{word} {limit:g}" for (_, word, _), limit in zip(bounds, limits, strict=True))
        raise ValueError(f"{name} = {first:g}: must be a finite number {allowed}".rstrip())
    return array


def scalar(name: str, value: float, **bounds: float) -> float:
    """Return one number within its bounds, those of `valid`. Raises ValueError as it does, and for an array."""
    usual = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if usual and all(HOLDS[kind](value, bound) for kind, bound in bounds.items()):
        return float(value)
    array = valid(name, value, **bounds)
    if array.ndim:
        raise ValueError(f"{name} has shape {array.shape}: must be one number")
    return float(array)


def vector(name: str, value: Number | Iterable[float], **bounds: Number) -> np.ndarray:
    """Return a list of numbers (K,), K > 0, within its bounds. Raises ValueError as `valid`, and for another shape."""
    array = valid(name, value, **bounds)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"{name} has shape {array.shape}: must be a list of numbers")
    return array


def matrix(name: str, value: np.ndarray, *, columns: int | None = None) -> np.ndarray:
    """Return finite numbers (M, columns), neither of them 0. Raises ValueError as `valid`, and for another shape."""
    array = valid(name, value)
    if array.ndim != 2 or not array.size or columns not in (None, array.shape[1]):
        wanted = "a table of numbers" + (f" with {columns} columns" if columns else "")
        raise ValueError(f"{name} has shape {array.shape}: must be {wanted}")
    return array


def correlations(name: str, value: np.ndarray, *, size: int | None = None, singular: bool = True) -> np.ndarray:
    """Return a correlation matrix (size, size), of any size if none is given; singular: whether it may be.

    Raises ValueError for anything else.
    """
    array = valid(name, value)
    k = len(array) if array.ndim else 0
    good = k > 0 and array.shape == (k, k) and size in (None, k)
    good = good and np.allclose(array, array.T) and np.allclose(np.diag(array), 1)
    if not good or np.linalg.eigvalsh(array)[0] < (-1e-8 if singular else 1e-12):
        kind = "a correlation matrix" if singular else "a correlation matrix of full rank"
        wanted = "(k, k)" if size is None else f"({size}, {size})"
        raise ValueError(f"{name} = {shown(array.tolist())}: must be {kind} {wanted}")
    return array


def endless(name: str, value: float, *, above: float = -np.inf, least: float = -np.inf) -> float:
    """Return one number above a bound, or at least one, which may be inf. Raises ValueError for another."""
    allowed = f"above {above:g}" if above > least else f"at least {least:g}"
    if isinstance(value, float) and value > above and value >= least:
        return float(value)
    array = numbers(name, value, f"{allowed}, or inf")
    if array.ndim or not (array > above and array >= least):
        raise ValueError(f"{name} = {shown(value)}: must be a number {allowed}, or inf")
    return float(array)


def one_of[T](name: str, value: T, allowed: Iterable[T]) -> T:
    """Return a word or number that is allowed. Raises ValueError with the nearest one for another."""
    allowed = tuple(allowed)
    if isinstance(value, bool) or not isinstance(value, str | int | np.integer) or value not in allowed:
        raise ValueError(f"{name} = {shown(value)}: allowed: {choices(value, allowed)}")
    return value


def flag(name: str, value: bool) -> bool:
    """Return a truth value. Raises ValueError for anything else."""
    if not isinstance(value, bool | np.bool):
        raise ValueError(f"{name} = {shown(value)}: must be True or False")
    return bool(value)


def instance[T](name: str, value: T, kinds: type[T] | tuple[type, ...]) -> T:
    """Return a value of one of some types. Raises ValueError for another."""
    if not isinstance(value, kinds):
        allowed = " or ".join(kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))
        raise ValueError(f"{name} = {shown(value)}: must be of type {allowed}")
    return value


def probability(name: str, value: float) -> float:
    """Return a probability, neither 0 nor 1. Raises ValueError for anything else."""
    array = numbers(name, value, "above 0 and below 1")
    if array.ndim or not 0 < array < 1:
        raise ValueError(f"{name} {shown(value)}: need a probability between 0 and 1")
    return float(array)


def alike[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Return the function that first raises ValueError, with names and shapes, for arrays that do not broadcast."""
    takes = signature(function)

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        shapes: dict[str, tuple[int, ...]] = {}
        for name, value in takes.bind(*args, **kwargs).arguments.items():
            fields = value._asdict() if hasattr(value, "_asdict") else {"": value}
            shapes |= {f"{name}.{f}".rstrip("."): _shape(v) for f, v in fields.items()}
        try:
            np.broadcast_shapes(*shapes.values())
        except ValueError:
            said = ", ".join(f"{name} {shape}" for name, shape in shapes.items() if shape)
            raise ValueError(f"shapes of {said}: must be one shape, or broadcast to one") from None
        return function(*args, **kwargs)

    return checked


def _shape(value: Any) -> tuple[int, ...]:
    try:
        return tuple(np.shape(value))
    except ValueError:  # rows of different lengths: refused by name where the value is read
        return ()
