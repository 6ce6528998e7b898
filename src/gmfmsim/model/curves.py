"""Dose-response curves: pure functions of dose with f(0) = 0, times an amplitude."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

LOG_LINEAR_DOSE = 1e7
"""The dose, in cells/kg, around which the log-linear curve turns from proportional to logarithmic."""


@dataclass(frozen=True)
class Curve:
    """effect(dose) = amplitude x shape(dose, *nonlinear).

    `amplitude` and `nonlinear` are the names of the parameters; `uses_dose` is false where any dose above 0
    counts the same.
    """

    amplitude: str
    nonlinear: tuple[str, ...]
    uses_dose: bool
    shape: Callable


def constant(dose):
    """Return 1 for treated arms and 0 at dose 0. An unknown dose (NaN) is a treated arm."""
    return (np.asarray(dose) != 0).astype(float)


def log_linear(dose):
    """Return log10(1 + dose / 1e7); dose in cells/kg."""
    return np.log1p(np.asarray(dose) / LOG_LINEAR_DOSE) / np.log(10)


def emax(dose, ed50):
    """Return dose / (ed50 + dose), the hyperbolic Emax curve (Holford & Sheiner 1981); both in cells/kg."""
    return dose / (ed50 + dose)


CURVES = {
    "constant": Curve("mu", (), False, constant),
    "log_linear": Curve("slope", (), True, log_linear),
    "emax": Curve("emax", ("ed50",), True, emax),
}
