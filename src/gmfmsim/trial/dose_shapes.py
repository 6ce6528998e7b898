"""Candidate shapes of the dose-response, and the contrasts of arm means that find them best."""

from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import model_validator
from pydantic_core import PydanticCustomError
from scipy import special

from gmfmsim.compute.algebra import product
from gmfmsim.compute.arguments import instance, matrix, valid, vector
from gmfmsim.faults import shown
from gmfmsim.files.toml import Spec, key


def _exponential(x, delta):
    return np.exp((x - 1) / delta) - np.exp(-1 / delta)


def _beta(x, rise, fall, end):
    return (x / end) ** rise * (1 - x / end) ** fall


SHAPES: dict[str, Callable] = {
    "linear": lambda x: x,
    "log_linear": lambda x, ed50: np.log1p(x / ed50),
    "emax": lambda x, ed50: x / (ed50 + x),
    "sigmoid_emax": lambda x, ed50, h: special.expit(special.xlogy(h, x) - special.xlogy(h, ed50)),
    "exponential": _exponential,
    "quadratic": lambda x, delta: x + delta * x**2,
    "logistic": lambda x, ed50, delta: special.expit((x - ed50) / delta),
    "beta": _beta,
}
"""The curves of `Candidate` over x = dose / highest dose, up to a factor, in forms that do not overflow."""


class Candidate(Spec):
    """A shape of the dose-response to look for; ed50, delta and end as fractions of the highest dose.

    With x = dose / highest dose: linear x; log_linear log(1 + x / ed50); emax x / (ed50 + x); sigmoid_emax
    x^h / (ed50^h + x^h); exponential exp(x / delta) - 1; quadratic x + delta x^2; logistic
    1 / (1 + exp((ed50 - x) / delta)); beta (x / end)^rise (1 - x / end)^fall (Bretz, Pinheiro & Branson 2005).
    """

    curve: Annotated[
        Literal["linear", "log_linear", "emax", "sigmoid_emax", "exponential", "quadratic", "logistic", "beta"],
        key("which shape"),
    ]
    ed50: Annotated[float, key("dose of half the effect", "highest doses", example=0.3, gt=0, le=10)] | None = None
    h: Annotated[float, key("steepness of a sigmoid Emax", example=2, gt=0, le=20)] | None = None
    delta: Annotated[float, key("bend of the curve", "highest doses", example=0.5, gt=-10, le=10)] | None = None
    rise: Annotated[float, key("exponent below the peak", example=1, gt=0, le=20)] | None = None
    fall: Annotated[float, key("exponent above the peak", example=1, gt=0, le=20)] | None = None
    end: Annotated[float, key("dose without an effect again", "highest doses", example=1.2, gt=1, le=10)] | None = None

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "linear": (),
        "log_linear": ("ed50",),
        "emax": ("ed50",),
        "sigmoid_emax": ("ed50", "h"),
        "exponential": ("delta",),
        "quadratic": ("delta",),
        "logistic": ("ed50", "delta"),
        "beta": ("rise", "fall", "end"),
    }

    @property
    def parameters(self) -> dict[str, float]:
        """The parameters of the curve by name, those that it has."""
        return {name: getattr(self, name) for name in self.NEEDS[self.curve]}

    @model_validator(mode="after")
    def _has_what_it_needs(self):
        needs = set(self.NEEDS[self.curve])
        given = {name for names in self.NEEDS.values() for name in names if getattr(self, name) is not None}
        if given != needs:
            words = " and ".join(sorted(needs)) or "no parameter"
            raise PydanticCustomError("candidate", "{words} for curve {curve}", {"words": words, "curve": self.curve})
        if self.curve in ("exponential", "logistic") and self.delta <= 0:
            raise PydanticCustomError("candidate", "a delta above 0 for curve {curve}", {"curve": self.curve})
        return self

    @model_validator(mode="after")
    def _differs_between_doses(self):
        with np.errstate(all="ignore"):
            if not np.isfinite(shape(self, np.linspace(0, 1, 11))).all():
                words = "parameters with which curve {curve} has an effect at the highest dose"
                raise PydanticCustomError("candidate", words, {"curve": self.curve})
        return self

    def words(self) -> str:
        """Return the shape with its parameters."""
        return " ".join([self.curve.replace("_", " "), *(f"{name} {v:g}" for name, v in self.parameters.items())])


def highest_at(candidate: Candidate) -> float:
    """Return the x in (0, 1] at which the curve is highest. Raises ValueError for what is no Candidate."""
    instance("candidate", candidate, Candidate)
    if candidate.curve == "quadratic" and candidate.delta < -0.5:
        return -1 / (2 * candidate.delta)
    if candidate.curve == "beta":
        return min(candidate.end * candidate.rise / (candidate.rise + candidate.fall), 1.0)
    return 1.0


def shape(candidate: Candidate, x: np.ndarray) -> np.ndarray:
    """Return the effect at x (...) = dose / highest dose, as a share of the largest effect at any x from 0 to 1.

    Raises ValueError for x outside [0, 1], or what is no Candidate.
    """
    x, highest = valid("x", x, least=0, most=1), highest_at(candidate)
    curve, parameters = SHAPES[candidate.curve], candidate.parameters
    at_zero = curve(0.0, **parameters)
    largest = curve(highest, **parameters) - at_zero
    return (curve(x, **parameters) - at_zero) / largest


def standardised_means(candidates: Sequence[Candidate], doses: np.ndarray) -> np.ndarray:
    """Return the effects (M, A) of M candidates at the doses (A,) of the arms, 1 where a curve is highest.

    Raises ValueError for no candidates, or doses that are not from 0 on with one above it.
    """
    doses = valid_doses(doses)
    return np.array([shape(candidate, doses / doses.max()) for candidate in valid_candidates(candidates)])


def valid_doses(doses: Sequence[float]) -> np.ndarray:
    """Return the doses (A,) of arms, from 0 on, one of them above it. Raises ValueError for others."""
    array = vector("doses", doses, least=0)
    if not array.any():
        raise ValueError(f"doses = {array.tolist()}: must hold a dose above 0")
    return array


def valid_candidates(candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """Return candidate shapes. Raises ValueError for none, or for what is no Candidate."""
    if not instance("candidates", candidates, Sequence):
        raise ValueError(f"candidates = {candidates!r}: must be one or more")
    return [instance("candidates", candidate, Candidate) for candidate in candidates]


def optimal_contrasts(means: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Return the contrasts of arm means with most power against mean vectors (M, A), sizes n (A,) or (A, R).

    c_i = n_i (mu_i - sum_j n_j mu_j / sum_j n_j), scaled to sum_i c_i^2 = 1: (M, A) or (M, A, R).
    Only the ratios of the sizes matter. Source: Bornkamp, Pinheiro & Bretz 2009, section 3.2.

    Raises ValueError for a mean vector that is flat: no contrast finds it; for sizes not above 0; other shapes.
    """
    n = valid("n", n, above=0)
    means = matrix("means", means, columns=len(n) if n.ndim else None)
    if n.ndim not in (1, 2):
        raise ValueError(f"n has shape {n.shape}: must be the sizes of arms (A,), or of arms in trials (A, R)")
    if np.any(np.ptp(means, axis=1) == 0):
        raise ValueError(f"means = {shown(means.tolist())}: must be rows that are not constant")
    means = means.reshape(means.shape + (1,) * (n.ndim - 1))
    contrasts = n * (means - (n * means).sum(axis=1, keepdims=True) / n.sum(axis=0))
    return contrasts / np.sqrt((contrasts**2).sum(axis=1, keepdims=True))


def contrast_correlation(contrasts: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Return the correlation (M, M) of contrasts (M, A) of means of n (A,) children each.

    Raises ValueError for sizes not above 0, contrasts without a column for each, or one of nothing but 0.
    """
    n = vector("n", n, above=0)
    contrasts = matrix("contrasts", contrasts, columns=n.size)
    if not contrasts.any(axis=1).all():
        raise ValueError(f"contrasts = {shown(contrasts.tolist())}: must be rows that are not all 0")
    scaled = contrasts / np.sqrt(n)
    scaled = scaled / np.sqrt((scaled**2).sum(axis=1, keepdims=True))
    correlation = product(scaled, scaled.T)
    np.fill_diagonal(correlation, 1)
    return correlation
