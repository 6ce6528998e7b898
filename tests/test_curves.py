"""The dose-response curves, and the least squares of a curve to one trial."""

import csv
import subprocess
import sys
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import BSpline
from scipy.stats import norm

from gmfmsim.model.curve_fit import CurveFit, effect, effective_dose, fit_curve, target_dose
from gmfmsim.model.curves import CURVES, SHARE, SPLINE_KNOTS
from gmfmsim.model.curves import DOSES as DOSES_OF_CURVES

SHAPE = {name: curve.shape for name, curve in CURVES.items()}
EXAMPLE = {
    "constant": (),
    "linear": (),
    "log_linear": (),
    "emax": (3e7,),
    "sigmoid_emax": (3e7, 0.7),
    "step": (3e7,),
    "threshold": (2e7,),
    "exponential": (6e7,),
    "quadratic": (-0.3,),
    "monotone_spline": (0.4, 0.3),
}
VALUES = {
    "ed50": st.floats(1e4, 1e12),
    "hill": st.floats(0.1, 20),
    "threshold": st.floats(1e4, 1e12),
    "delta": st.floats(1e4, 1e300),
    "bend": st.floats(-100, 100),
    "stick_1": st.floats(0, 1),
    "stick_2": st.floats(0, 1),
}
DOSE = st.floats(0, 1e9)
NAMES = pytest.mark.parametrize("name", CURVES)


def nonlinear_of(name):
    return st.tuples(*(VALUES[parameter] for parameter in CURVES[name].nonlinear))


# the curves


@pytest.mark.parametrize(
    ("name", "nonlinear", "dose", "value"),
    [
        ("constant", (), np.nan, 1),
        ("constant", (), 1.0, 1),
        ("linear", (), 2.5e8, 2.5),
        ("log_linear", (), 9e7, 1),
        ("emax", (3e7,), 3e7, 0.5),
        ("emax", (3e7,), 1e15, 1),
        ("sigmoid_emax", (3e7, 7.0), 3e7, 0.5),
        ("sigmoid_emax", (3e7, 2.0), 9e7, 0.9),
        ("sigmoid_emax", (1e3, 20.0), 1e9, 1),
        ("step", (3e7,), 3e7, 0.5),
        ("step", (3e7,), 3e7 / 9**0.125, 0.1),
        ("step", (3e7,), 1e7, 1 / (1 + 3**8)),
        ("step", (3e7,), 1e9, 1),
        ("threshold", (2e7,), 2e7, np.log10(2) / 8),
        ("threshold", (2e7,), 1e7, np.log10(1 + 2**-8) / 8),
        ("threshold", (2e7,), 2e9, 2),
        ("exponential", (6e7,), 1e8, 1),
        ("exponential", (1e8 / np.log(3),), 2e8, 4),  # (9 - 1) / (3 - 1)
        ("exponential", (1e6,), 9e7, np.exp(-10)),
        ("exponential", (1e4,), 1e8, 1),
        ("quadratic", (-0.5,), 1e8, 0.5),
        ("monotone_spline", (0.2, 0.7), 2e8, 1),
        ("monotone_spline", (0.2, 0.7), 6e8, 1),
        ("monotone_spline", (1.0, 0.5), 3e7, 1),
        ("monotone_spline", (0.0, 1.0), 3e7, np.log10(4) / np.log10(21)),
        ("monotone_spline", (0.0, 0.0), 3e7, 0),
    ],
)
def test_known_points(name, nonlinear, dose, value):
    assert SHAPE[name](dose, *nonlinear) == pytest.approx(value, rel=1e-7)


@NAMES
@given(data=st.data())
def test_the_effect_is_0_at_dose_0_for_any_parameters(name, data):
    assert SHAPE[name](0.0, *data.draw(nonlinear_of(name))) == 0


@pytest.mark.parametrize("name", [name for name in CURVES if name != "quadratic"])
@given(data=st.data(), low=DOSE, high=DOSE)
def test_curves_rise_with_dose(name, data, low, high):
    """1e-12 of the value is rounding."""
    nonlinear = data.draw(nonlinear_of(name))
    values = SHAPE[name](np.sort([low, high]), *nonlinear)
    assert np.isfinite(values).all()
    assert values[1] >= values[0] * (1 - 1e-12)


def test_known_quadratic_turns_where_its_docstring_says():
    dose = np.linspace(0, 3e8, 3001)
    assert dose[SHAPE["quadratic"](dose, -0.4).argmax()] == pytest.approx(1.25e8)


DERIVATIVES = {
    "linear": lambda d: np.full(d.shape, 1e-8),
    "log_linear": lambda d: 1 / ((1e7 + d) * np.log(10)),
    "emax": lambda d, e: e / (e + d) ** 2,
    "sigmoid_emax": lambda d, e, h: h * (d / e) ** h / d / (1 + (d / e) ** h) ** 2,
    "step": lambda d, t: 8 * (d / t) ** 8 / d / (1 + (d / t) ** 8) ** 2,
    "threshold": lambda d, t: 1 / (1 + (d / t) ** -8) / d / np.log(10),
    "exponential": lambda d, t: np.exp(d / t) / t / np.expm1(1e8 / t),
    "quadratic": lambda d, b: (1 + 2 * b * d / 1e8) / 1e8,
    "monotone_spline": lambda d, b1, b2: hats(d, [b1, (1 - b1) * b2, (1 - b1) * (1 - b2)]) / (1e7 + d) / np.log(10),
}


def hats(dose, shares):
    """Mix of the M-splines of order 2: triangles of area 1 on the knots (Ramsay 1988)."""
    knots = np.log10(1 + np.array([0, *SPLINE_KNOTS]) / 1e7)
    heights = 2 / np.array([knots[1], knots[2], knots[2] - knots[1]]) * shares
    return np.interp(np.log10(1 + dose / 1e7), knots, heights, right=0)


@pytest.mark.parametrize("name", DERIVATIVES)
def test_known_derivatives_in_dose(name):
    dose = np.array([1e5, 3e6, 2.5e7, 8e7, 1.9e8, 5e8])
    rise = (SHAPE[name](dose * 1.00001, *EXAMPLE[name]) - SHAPE[name](dose * 0.99999, *EXAMPLE[name])) / (2e-5 * dose)
    np.testing.assert_allclose(rise, DERIVATIVES[name](dose, *EXAMPLE[name]), rtol=1e-7, atol=1e-17)


def test_reference_spline_is_a_sum_of_b_splines():
    """I_i is the sum of the B-splines of one order more from the (i + 1)th on (Ramsay 1988)."""
    inner, last = np.log10(1 + np.array(SPLINE_KNOTS) / 1e7)
    x = np.linspace(0, last, 101)
    basis = BSpline.design_matrix(x, [0, 0, 0, inner, last, last, last], 2).toarray()
    first, second, third = (basis[:, i:].sum(axis=1) for i in (1, 2, 3))
    for b1, b2 in [(1, 0), (0, 1), (0, 0), (1 / 3, 1 / 2), (0.2, 0.9)]:
        expected = b1 * first + (1 - b1) * (b2 * second + (1 - b2) * third)
        np.testing.assert_allclose(SHAPE["monotone_spline"](1e7 * (10**x - 1), b1, b2), expected, atol=1e-14)


DOSES = np.array([0, 1e4, 1e6, 1e7, 5e7, 1e8, 6e8])


@pytest.mark.parametrize(
    ("name", "nonlinear", "scale", "limit", "of_limit"),
    [
        ("emax", (1e22,), 1e14, "linear", ()),  # the slope at dose 0 is emax / ed50
        ("sigmoid_emax", (3e7, 1.0), 1, "emax", (3e7,)),
        ("exponential", (1e300,), 1, "linear", ()),
        ("quadratic", (0.0,), 1, "linear", ()),
    ],
)
def test_known_curves_tend_to_others(name, nonlinear, scale, limit, of_limit):
    np.testing.assert_allclose(scale * SHAPE[name](DOSES, *nonlinear), SHAPE[limit](DOSES, *of_limit), rtol=1e-12)


def test_the_exponential_curve_neither_overflows_nor_falls():
    values = SHAPE["exponential"](np.array([0, 1e8, 1e9]), np.geomspace(1e5, 1e12, 50)[:, None])
    assert np.isfinite(values).all()
    assert (values[:, 2] >= 10 * (1 - 1e-12)).all()


ANY_SCALE = st.floats(-320, 300).map(lambda x: 10.0**x)
"""Parameters above 0 wherever a double has them, far beyond what a prior may reach."""


@NAMES
@given(data=st.data())
def test_curves_and_their_squares_are_finite_for_any_dose_and_any_parameter(name, data):
    curve, dose = CURVES[name], data.draw(st.floats(0, 1e12))
    parameters = [
        data.draw(ANY_SCALE if low == 0 and high == np.inf else st.floats(max(low, -1e100), min(high, 1e100)))
        for low, high in curve.nonlinear.values()
    ]
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        value = curve.shape(dose, *parameters)
        assert np.isfinite(value**2)


@NAMES
def test_parameters_broadcast_with_doses(name):
    factor = np.array([0.5, 0.9, 1.0])
    draws = [value * factor for value in EXAMPLE[name]]
    rows = np.array([SHAPE[name](DOSES, *(value * f for value in EXAMPLE[name])) for f in factor])
    columns = [draw[:, None] for draw in draws]
    np.testing.assert_array_equal(np.broadcast_to(SHAPE[name](DOSES, *columns), rows.shape), rows)
    labelled = SHAPE[name](np.asarray(5e7), *(xr.DataArray(draw, dims="sample") for draw in draws))
    np.testing.assert_array_equal(np.broadcast_to(labelled, 3), rows[:, 4])


def test_pytensor_agrees_with_numpy_and_its_gradient_is_finite_at_dose_0():
    import pytensor
    import pytensor.tensor as pt

    curves = [name for name in CURVES if CURVES[name].nonlinear]
    inputs = {name: [pt.dscalar(parameter) for parameter in CURVES[name].nonlinear] for name in curves}
    values = [SHAPE[name](DOSES, *inputs[name]) for name in curves]
    weight = np.geomspace(1, 2, DOSES.size)  # a sum in which no dose can stand in for another
    slopes = [
        slope
        for name, value in zip(curves, values, strict=True)
        for at in (value[0], (weight * value).sum())
        for slope in pytensor.grad(at, inputs[name])
    ]
    run = pytensor.function(list(chain(*inputs.values())), [*values, *slopes], mode="FAST_COMPILE")
    found = run(*(value for name in curves for value in EXAMPLE[name]))
    slopes = iter(found[len(curves) :])
    for name, value in zip(curves, found, strict=False):
        np.testing.assert_allclose(value, SHAPE[name](DOSES, *EXAMPLE[name]), rtol=1e-13)
        assert [next(slopes) for _ in inputs[name]] == [0] * len(inputs[name])
        for i in range(len(inputs[name])):
            step = np.eye(len(inputs[name]))[i] * 1e-5
            up, down = ((weight * SHAPE[name](DOSES, *(EXAMPLE[name] * (1 + s)))).sum() for s in (step, -step))
            assert next(slopes) == pytest.approx((up - down) / (2e-5 * EXAMPLE[name][i]), rel=1e-6)


def test_the_curves_need_no_pytensor():
    code = "import sys, gmfmsim.model.curve_fit; sys.exit('pytensor' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@NAMES
def test_a_curve_names_its_parameters(name):
    curve = CURVES[name]
    assert len(curve.nonlinear) == len(EXAMPLE[name])
    assert curve.formula.startswith(curve.amplitude)
    assert all(parameter in curve.formula for parameter in curve.nonlinear)
    assert "dose" in curve.formula
    assert curve.unit_of_amplitude.startswith("GMFM-66 points")


# least squares


@pytest.fixture(scope="module")
def biom():
    """Dose and response of 100 patients, 20 at each of 5 doses from 0 to 1 (Bretz, Pinheiro & Branson 2005)."""
    with (Path(__file__).parent / "reference" / "biom.csv").open(encoding="utf-8") as file:
        return np.array([[float(row["dose"]), float(row["resp"])] for row in csv.DictReader(file)]).T


FAMILY = {
    "emax": "emax",
    "sigEmax": "sigmoid_emax",
    "linear": "linear",
    "linlog(off .1)": "log_linear",
    "quadratic": "quadratic",
    "exponential": "exponential",
}
OTHERS = {
    "logistic": "no curve of this form has f(0) = 0: its value at dose 0 is a free parameter beside e0",
    "betaMod(scal 1.2)": "defined up to a largest dose only, and not monotone",
}


def in_peer_terms(name: str, fit: CurveFit) -> list[float]:
    """The peer's: linlog a + b ln(dose + 0.1), quadratic a + b x + c x^2, exponential a + b (e^(x / d) - 1)."""
    e0, amplitude, *nonlinear = fit.parameters.values()
    if name == "linlog(off .1)":
        return [e0 + amplitude, amplitude / np.log(10)]
    if name == "quadratic":
        return [e0, amplitude, amplitude * nonlinear[0]]
    if name == "exponential":
        return [e0, amplitude / np.expm1(1 / nonlinear[0]), *nonlinear]
    return [e0, amplitude, *nonlinear]


def test_reference_fits_of_dosefinding(reference, biom):
    target = reference["DF01"]["expected"]
    assert set(target) == {*FAMILY, *OTHERS, "AIC"}
    fits = {name: fit_curve(*biom, curve, unit=1.0) for name, curve in FAMILY.items()}
    for name, fit in fits.items():
        figures = [target[name][key] for key in ("e0", "eMax", "ed50")] if name == "emax" else target[name]
        assert in_peer_terms(name, fit) == pytest.approx(figures, abs=1e-5)
    assert {name: fits[short(name)].aic for name in target["AIC"]} == pytest.approx(target["AIC"], abs=5e-5)
    emax, expected = fits["emax"], target["emax"]
    assert list(emax.standard_errors.values()) == pytest.approx(expected["se"], abs=1e-5)
    assert emax.rss == pytest.approx(expected["RSS"], abs=1e-5)
    assert emax.aic == pytest.approx(expected["AIC"], abs=5e-5)  # printed to 4 decimals, as those above
    assert target_dose(emax, 0.4) == pytest.approx(expected["TD(.4)"], abs=1e-5)
    assert effective_dose(emax, 0.5) == pytest.approx(expected["ED50%"], abs=1e-5)
    assert {name for name, fit in fits.items() if fit.at_bound} == {"exponential"}


def short(name: str) -> str:
    return "linlog(off .1)" if name == "linlog" else name


def test_known_quadratic_equals_a_polynomial(biom):
    dose, response = biom
    (c, b, a), covariance = np.polyfit(dose, response, 2, cov=True)
    fit = fit_curve(dose, response, "quadratic", unit=1.0)
    assert list(fit.parameters.values()) == pytest.approx([a, b, c / b], rel=1e-7)
    slope_of_ratio = np.array([1 / b, -c / b**2])
    expected = [covariance[2, 2], covariance[1, 1], slope_of_ratio @ covariance[:2, :2] @ slope_of_ratio]
    assert list(fit.standard_errors.values()) == pytest.approx(np.sqrt(expected), rel=1e-6)
    assert fit.rss == pytest.approx(((response - np.polyval([c, b, a], dose)) ** 2).sum(), rel=1e-12)


@pytest.mark.parametrize("curve", ["constant", "emax", "monotone_spline"])
def test_known_aic_is_of_the_normal_likelihood(biom, curve):
    dose, response = biom
    fit = fit_curve(dose, response, curve, unit=1.0)
    mean = fit.parameters["e0"] + effect(fit, dose)
    parameters = len(fit.parameters) + 1
    assert fit.aic == pytest.approx(2 * parameters - 2 * norm.logpdf(response, mean, np.sqrt(fit.rss / 100)).sum())
    variance = np.geomspace(0.1, 1, 100)
    known = fit_curve(dose, response, curve, unit=1.0, variance=variance)
    mean = known.parameters["e0"] + effect(known, dose)
    expected = 2 * len(known.parameters) - 2 * norm.logpdf(response, mean, np.sqrt(variance)).sum()
    assert known.aic == pytest.approx(expected)


@pytest.mark.parametrize("curve", CURVES)
def test_arm_means_with_their_variance_stand_for_the_children(biom, curve):
    """With the residual variance of the children's fit as known, means give the same estimates and errors."""
    dose, response = biom
    children = fit_curve(dose, response, curve, unit=1.0)
    arms = np.unique(dose)
    means = [response[dose == arm].mean() for arm in arms]
    variance = children.rss / (100 - len(children.parameters)) / 20
    fit = fit_curve(arms, means, curve, unit=1.0, variance=np.full(5, variance))
    assert fit.parameters == pytest.approx(children.parameters, rel=1e-6)
    assert fit.standard_errors == pytest.approx(children.standard_errors, rel=1e-6)


@pytest.mark.parametrize("unit", [1e8, 1e-6])
@pytest.mark.parametrize("curve", CURVES)
def test_the_unit_of_dose_changes_nothing_but_the_doses(biom, curve, unit):
    dose, response = biom
    fit = fit_curve(dose, response, curve, unit=1.0)
    in_cells = fit_curve(dose * unit, response, curve, unit=unit)
    for figure in ("parameters", "standard_errors"):
        ours, theirs = getattr(fit, figure), getattr(in_cells, figure)
        scaled = {name: value * (unit if name in DOSES_OF_CURVES else 1) for name, value in ours.items()}
        assert theirs == pytest.approx(scaled, rel=1e-6)
    assert in_cells.aic == pytest.approx(fit.aic, rel=1e-12)


@pytest.mark.parametrize("curve", CURVES)
def test_recovery_of_a_curve_without_noise(curve):
    truth = dict(
        zip(("e0", CURVES[curve].amplitude, *CURVES[curve].nonlinear), (1.5, -4, *EXAMPLE[curve]), strict=True)
    )
    dose = np.repeat([0, 1e7, 3e7, 8e7, 1.5e8, 3e8], 2)
    fit = fit_curve(dose, 1.5 - 4 * SHAPE[curve](dose, *EXAMPLE[curve]), curve)
    assert fit.parameters == pytest.approx(truth, rel=1e-6)
    assert fit.rss < 1e-12
    assert fit.at_bound == ()


def test_recovery_of_an_umbrella_at_low_doses():
    """The search for the bend goes by the largest dose: here the peak is at 8e5 cells/kg."""
    dose = np.array([0, 2e5, 4e5, 6e5, 8e5, 1e6])
    fit = fit_curve(dose, 300 * SHAPE["quadratic"](dose, -62.5), "quadratic")
    assert fit.parameters == pytest.approx({"e0": 0, "slope": 300, "bend": -62.5}, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("size", [15, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.parametrize("curve", ["emax", "sigmoid_emax", "exponential", "monotone_spline"])
def test_no_parameters_on_a_fine_grid_fit_better(curve, size):
    """Responses that follow no curve, so that the sum of squares has several minima and many lie at a bound."""
    rng = np.random.default_rng(1)
    dose = np.array([0, 3e5, 1e6, 3e6, 1e7, 3e7, 1e8, 3e8])
    share = np.linspace(0, 1, 151)
    axis = {"ed50": 3e5 * 1500**share, "hill": 0.5 * 20**share, "delta": 3e7 * 20**share}
    grid = np.meshgrid(*(axis.get(name, share) for name in CURVES[curve].nonlinear))
    f = SHAPE[curve](dose, *(values.reshape(-1, 1) for values in grid))
    about = f - f.mean(axis=1, keepdims=True)
    for response in rng.standard_normal((size, dose.size)):
        rest = response - response.mean()
        best = (rest @ rest - (about @ rest) ** 2 / (about**2).sum(axis=1)).min()
        assert fit_curve(dose, response, curve, variance=np.ones(dose.size)).rss <= best + 1e-9


@pytest.mark.slow
def test_recovery_of_standard_errors():
    """Over 200 trials (estimate - truth) / se has mean square 1, within 3 standard errors sqrt(2 / 200)."""
    rng = np.random.default_rng(5)
    dose = np.repeat([0, 1e7, 2e7, 5e7, 1e8, 2e8], 50)
    mean = 1 + 6 * SHAPE["emax"](dose, 3e7)
    fits = [fit_curve(dose, mean + rng.standard_normal(dose.size), "emax") for _ in range(200)]
    z = np.array(
        [
            [(fit.parameters[name] - value) / fit.standard_errors[name] for fit in fits]
            for name, value in {"e0": 1, "emax": 6, "ed50": 3e7}.items()
        ]
    )
    assert (z**2).mean(axis=1) == pytest.approx(np.ones(3), abs=0.3)


def fitted(curve: str, amplitude: float, *nonlinear: float, top: float = 4e8) -> CurveFit:
    """A fit with these parameters: that of responses without noise."""
    dose = np.linspace(0, top, 9)
    return fit_curve(dose, amplitude * SHAPE[curve](dose, *nonlinear), curve)


def test_known_target_and_effective_doses():
    umbrella = fitted("quadratic", 4, -0.4)  # 4 (x - 0.4 x^2): peak 2.5 at x = 1.25
    assert target_dose(umbrella, 2.4) == pytest.approx(1e8, rel=1e-6)  # and again at 1.5e8
    assert target_dose(umbrella, -1.0) == pytest.approx(1e8 * (1.25 + np.sqrt(1.25**2 + 0.625)), rel=1e-6)
    assert target_dose(umbrella, 2.51) is None
    falling = fitted("emax", -6, 1e8)
    assert target_dose(falling, -3) == pytest.approx(1e8, rel=1e-5)
    assert target_dose(falling, 1) is None
    assert target_dose(falling, -5) is None  # -4.8 at the top dose
    assert target_dose(falling, 0) == 0
    assert effective_dose(falling, 0.5) == pytest.approx(1e8 * 0.4 / 0.6, rel=1e-5)
    assert effective_dose(falling, 1) == pytest.approx(4e8)
    assert effective_dose(fitted("monotone_spline", 3, 0.3, 0.6), 1) == pytest.approx(2e8)


@given(share=st.floats(0, 1), ed50=st.floats(1e6, 1e9))
def test_the_effective_dose_has_its_share_of_the_effect(share, ed50):
    """The dose is found to 1e-13 of the top dose, 2e-5 cells/kg; the steepest of these curves has 5e-6 per cell/kg."""
    fit = CurveFit("emax", {"e0": 0.0, "emax": 5.0, "ed50": ed50}, {}, (), 0.0, 0.0, 5, 1e8, 2e8)
    assert effect(fit, effective_dose(fit, share)) == pytest.approx(share * effect(fit, 2e8), rel=1e-9, abs=1e-9)


def test_a_fit_says_what_the_data_do_not_tell(biom):
    dose = np.repeat([0, 1e7, 3e7, 1e8], 5)
    flat = fit_curve(dose, np.ones(20), "emax")
    assert flat.parameters["emax"] == 0
    assert np.isnan(list(flat.standard_errors.values())).all()
    dose = np.repeat([0, 1e7, 2e8, 3e8, 4e8], 5)  # only one dose tells of both sticks
    spline = fit_curve(dose, SHAPE["monotone_spline"](dose, 0.4, 0.3), "monotone_spline")
    assert np.isnan(list(spline.standard_errors.values())).all()
    dose = np.repeat([0, 1e7, 3e7, 1e8], 5)
    rising = fit_curve(dose, dose / 1e8, "emax")
    assert rising.at_bound == ("ed50",)
    assert rising.parameters["ed50"] == pytest.approx(1.5e8)
    assert fit_curve(*biom, "monotone_spline", unit=1.0).at_bound == ("stick_2",)


FOUR, LINE = [0, 1e7, 3e7, 1e8], [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("dose", "response", "curve", "keys", "message"),
    [
        (FOUR, LINE, "emaxx", {}, "curve 'emaxx'.*emax"),
        (FOUR, LINE[:3], "linear", {}, "need \\(n,\\)"),
        ([FOUR], [LINE], "linear", {}, "need \\(n,\\)"),
        ([0, 1e7, np.nan, 1e8], LINE, "linear", {}, "dose .*finite"),
        ([0, -1e7, 3e7, 1e8], LINE, "linear", {}, "dose .*from 0 on"),
        (FOUR, [0, 1, np.inf, 2], "linear", {}, "response .*finite"),
        (FOUR, LINE, "linear", {"variance": [1, 1, 0, 1]}, "variance .*above 0"),
        (FOUR, LINE, "linear", {"unit": 0}, "unit 0"),
        ([0, 0, 1e7, 1e7], LINE, "emax", {}, "2 distinct doses, at least 3"),
        (FOUR, LINE, "sigmoid_emax", {}, "more than 4"),
        (FOUR, LINE, "emax", {"bounds": {"hill": (1, 2)}}, "'hill'.*ed50"),
        (FOUR, LINE, "emax", {"bounds": {"ed50": (0, 1e8)}}, "'ed50' 0"),
        (FOUR, LINE, "emax", {"bounds": {"ed50": (2e8, 1e8)}}, "rising"),
        (FOUR, LINE, "emax", {"bounds": {"ed50": (1e7, np.inf)}}, "inf"),
        ([2e8, 3e8, 4e8, 5e8, 6e8], [*LINE, 4.0], "monotone_spline", {}, "flat"),
        ([1e7, 2e7, 3e7], LINE[:3], "constant", {}, "flat"),
    ],
)
def test_wrong_arguments_are_refused(dose, response, curve, keys, message):
    with pytest.raises(ValueError, match=message):
        fit_curve(dose, response, curve, **keys)


def test_doses_of_an_effect_need_a_curve_with_doses():
    constant = fit_curve(FOUR, LINE, "constant")
    with pytest.raises(ValueError, match="depends on the dose"):
        target_dose(constant, 1)
    with pytest.raises(ValueError, match="delta nan"):
        target_dose(fitted("linear", 1), np.nan)
    with pytest.raises(ValueError, match=r"share 1\.5"):
        effective_dose(constant, 1.5)


def test_bounds_of_a_share_may_be_its_ends():
    dose = np.array([0, 1e7, 3e7, 8e7, 2e8])
    fit = fit_curve(dose, SHAPE["monotone_spline"](dose, 0.4, 0.3), "monotone_spline", bounds={"stick_1": SHARE})
    assert fit.parameters["stick_1"] == pytest.approx(0.4, rel=1e-6)
