"""Dose-response curves, pure functions of dose with f(0) = 0, times an amplitude; and how an effect goes with time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

UNIT_DOSE = 1e8
"""The dose, in cells/kg, that the linear, quadratic and exponential curves count as 1."""

LOG_LINEAR_DOSE = 1e7
"""The dose, in cells/kg, around which the log-linear curve turns from proportional to logarithmic."""

SPLINE_KNOTS = (3e7, 2e8)
"""The inner and the last knot of the monotone spline, in cells/kg: the middle of the intravenous doses of nucleated
cells (1.4e7 to 1e8), and a dose that only the arms of one study (6e8) exceed."""

STEEPNESS = 8.0
"""The power of dose / threshold in the step and the threshold curve: a step has 10 % of its height at 0.76 times the
threshold and 90 % at 1.32 times. Doses per kg are not known more closely, and over a jump neither engine integrates."""

LARGEST_EXPONENT = 100.0
"""Curves stop growing at e^100: beyond what any evidence allows, and the square of it is still a number."""

LEAST, MOST = np.float64(1e-150), np.float64(1e150)
"""Between these a parameter above 0 is taken as it is; beyond them it counts as the nearer one."""


@dataclass(frozen=True)
class Curve:
    """effect(dose) = amplitude x shape(dose, *nonlinear), shape(0) = 0.

    `shape` takes the dose in cells/kg and non-linear parameters that broadcast with it, each a number, a NumPy array or
    a PyTensor variable. `amplitude` names the linear parameter, `nonlinear` the others with their open intervals;
    `uses_dose` is false where any dose above 0 counts the same.
    """

    shape: Callable
    amplitude: str
    unit_of_amplitude: str
    formula: str
    nonlinear: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    uses_dose: bool = True


def _numbers(value):
    """Return a value as an array of floats, or as it is where it is a PyTensor variable (one that is not known)."""
    return value if hasattr(value, "owner") else np.asarray(value, float)


def _held(parameter):
    """Return a parameter above 0, within what a quotient can hold."""
    return _numbers(parameter).clip(LEAST, MOST)


def constant(dose):
    """Return 1 for treated arms and 0 at dose 0. An unknown dose (NaN) is a treated arm."""
    return (np.asarray(dose) != 0).astype(float)


def linear(dose):
    """Return dose / 1e8; dose in cells/kg."""
    return _numbers(dose) / UNIT_DOSE


def log_linear(dose):
    """Return log10(1 + dose / 1e7); dose in cells/kg (Bretz, Pinheiro & Branson 2005, linear in log-dose)."""
    return np.log1p(_numbers(dose) / LOG_LINEAR_DOSE) / np.log(10)


def emax(dose, ed50):
    """Return dose / (ed50 + dose), the hyperbolic Emax curve (Holford & Sheiner 1981); both in cells/kg."""
    dose = _numbers(dose)
    return dose / (_held(ed50) + dose)


def sigmoid_emax(dose, ed50, hill):
    """Return dose^hill / (ed50^hill + dose^hill), the sigmoid Emax curve (Holford & Sheiner 1981); doses in cells/kg.

    It is 1 / (1 + exp(hill (log ed50 - log dose))), in which no power overflows; the exponent is held within
    +-100. At dose 0 the logarithm is that of 1 cell/kg and the curve is 0, with a gradient of 0 and not NaN.
    """
    dose = _numbers(dose)
    none = dose <= 0
    exponent = _held(hill) * (np.log(_held(ed50)) - np.log(dose + none))
    return (1 - none) / (1 + np.exp(exponent.clip(-LARGEST_EXPONENT, LARGEST_EXPONENT)))


def step(dose, threshold):
    """Return dose^8 / (threshold^8 + dose^8): 0 below a threshold and 1 above it; both in cells/kg.

    The sigmoid Emax curve, as steep as `STEEPNESS` says: 1/2 at the threshold.
    """
    return sigmoid_emax(dose, threshold, STEEPNESS)


def threshold(dose, threshold):
    """Return log10(1 + (dose / threshold)^8) / 8: 0 below a threshold, log10(dose / threshold) above it (cells/kg).

    The hockey stick (Hasselblad, Creason & Nelson 1976) on the log dose, with a bend in place of its corner: at the
    threshold it is log10(2) / 8 = 0.04. No power overflows.
    """
    dose = _numbers(dose)
    none = dose <= 0
    exponent = STEEPNESS * (np.log(dose + none) - np.log(_held(threshold)))
    above = exponent.clip(0, np.inf)
    return (1 - none) * (above + np.log1p(np.exp(exponent - 2 * above))) / (STEEPNESS * np.log(10))


def exponential(dose, delta):
    """Return (exp(dose / delta) - 1) / (exp(1e8 / delta) - 1), which is 1 at 1e8 (Bretz, Pinheiro & Branson 2005).

    dose and delta in cells/kg; tends to dose / 1e8 as delta grows. The growth exp((dose - 1e8) / delta) is taken
    out of the ratio, and held at e^100.
    """
    dose, delta = _numbers(dose), _held(delta)
    growth = np.exp(((dose - UNIT_DOSE) / delta).clip(-np.inf, LARGEST_EXPONENT))
    return growth * np.expm1(-dose / delta) / np.expm1(-UNIT_DOSE / delta)


def quadratic(dose, bend):
    """Return x + bend x^2 with x = dose / 1e8, dose in cells/kg (Bretz, Pinheiro & Branson 2005).

    For bend < 0 the curve turns at x = -1 / (2 bend).
    """
    x = linear(dose)
    return x + bend * x**2


def monotone_spline(dose, stick_1, stick_2):
    """Return b1 I1(x) + (1 - b1) (b2 I2(x) + (1 - b2) I3(x)), x = log10(1 + dose / 1e7), dose in cells/kg.

    I1, I2, I3 are the I-splines of degree 2 (Ramsay 1988) on the knots 0, 3e7 and 2e8 cells/kg, each rising from 0
    to 1; the sticks b1, b2 in (0, 1) break their shares. So the curve rises from 0 at dose 0 to 1 at 2e8 cells/kg
    and stays there.
    """
    inner, last = log_linear(SPLINE_KNOTS)
    x = log_linear(dose).clip(0, last)
    beyond = (x - inner).clip(0, last)
    early = 1 - (1 - (x / inner).clip(0, 1)) ** 2
    middle = x**2 / (inner * last) - beyond**2 / (inner * (last - inner))
    late = (beyond / (last - inner)) ** 2
    return stick_1 * early + (1 - stick_1) * (stick_2 * middle + (1 - stick_2) * late)


def time_course(month, rise, peak, decline):
    """Return g(t) = (1 - exp(-t / rise)) exp(-max(t - peak, 0) / decline): the share of an effect present at month t.

    It rises by `rise`, falls by `decline` from month `peak` on; all in months. Where the fall begins before the rise is
    over the largest share comes later, see `month_of_largest`.
    """
    month = _numbers(month)
    return -np.expm1(-month / _held(rise)) * np.exp(-(month - _numbers(peak)).clip(0, np.inf) / _held(decline))


def month_of_largest(rise, peak, decline):
    """Return the month at which `time_course` is largest: max(peak, rise log(1 + decline / rise))."""
    return np.maximum(peak, rise * np.log1p(decline / rise))


DOSES = ("ed50", "threshold", "delta")
"""The parameters that are doses."""
POINTS = "GMFM-66 points"
POSITIVE, SHARE, ANY = (0.0, np.inf), (0.0, 1.0), (-np.inf, np.inf)

CURVES = {
    "constant": Curve(constant, "mu", POINTS, "mu if dose > 0, else 0", uses_dose=False),
    "linear": Curve(linear, "slope", f"{POINTS} per 1e8 cells/kg", "slope dose / 1e8"),
    "log_linear": Curve(
        log_linear, "slope", f"{POINTS} per tenfold 1 + dose / 1e7 cells/kg", "slope log10(1 + dose / 1e7)"
    ),
    "emax": Curve(emax, "emax", POINTS, "emax dose / (ed50 + dose)", {"ed50": POSITIVE}),
    "sigmoid_emax": Curve(
        sigmoid_emax, "emax", POINTS, "emax dose^hill / (ed50^hill + dose^hill)", {"ed50": POSITIVE, "hill": POSITIVE}
    ),
    "step": Curve(step, "plateau", POINTS, "plateau dose^8 / (threshold^8 + dose^8)", {"threshold": POSITIVE}),
    "threshold": Curve(
        threshold,
        "slope",
        f"{POINTS} per tenfold dose above the threshold",
        "slope log10(1 + (dose / threshold)^8) / 8",
        {"threshold": POSITIVE},
    ),
    "exponential": Curve(
        exponential,
        "effect_at_1e8",
        f"{POINTS} at 1e8 cells/kg",
        "effect_at_1e8 (exp(dose / delta) - 1) / (exp(1e8 / delta) - 1)",
        {"delta": POSITIVE},
    ),
    "quadratic": Curve(
        quadratic,
        "slope",
        f"{POINTS} per 1e8 cells/kg near dose 0",
        "slope (x + bend x^2), x = dose / 1e8",
        {"bend": ANY},
    ),
    "monotone_spline": Curve(
        monotone_spline,
        "plateau",
        f"{POINTS} from 2e8 cells/kg on",
        "plateau (b1 I1(x) + (1 - b1) (b2 I2(x) + (1 - b2) I3(x))), b1 = stick_1, b2 = stick_2, "
        "x = log10(1 + dose / 1e7)",
        {"stick_1": SHARE, "stick_2": SHARE},
    ),
}
