"""Arguments of every public formula: what cannot be is refused by name, whatever its type, range or shape."""

import inspect
import re
from itertools import pairwise
from types import ModuleType

import numpy as np
import pytest

from gmfmsim.dist import noncentral_t, pooled_sd
from gmfmsim.evidence.formulas import classical, conversions, effect_sizes, multilevel
from gmfmsim.evidence.formulas.multilevel import ByOutcome, Level
from gmfmsim.trial import closed_form, dose_power, dose_shapes, multiplicity
from gmfmsim.trial.closed_form import StandardError
from gmfmsim.trial.dose_shapes import Candidate

MODULES = (
    *(closed_form, pooled_sd, noncentral_t, multiplicity, dose_power, dose_shapes),
    *(conversions, effect_sizes, classical, multilevel),
)

EMAX, LINEAR = Candidate(curve="emax", ed50=0.2), Candidate(curve="linear")
Y, V = [1.0, 4.0, 2.5, 6.0], [0.5, 0.8, 0.6, 1.1]
TWO = {"m1": 5.0, "sd1": 4.0, "n1": 20, "m2": 3.0, "sd2": 5.0, "n2": 22}
OF_TWO = {"sd1": [0, -1], "n1": [1, 0], "sd2": [0, -1], "n2": [1, 0]}
ERROR = StandardError(1.5, 40.0)
ALPHA, ONE_SIDED, SHARES = [0, 1, 5, -0.05], [0, 0.7, 5], [0, 1, 1.2]
MEANS, DOSES = [[0.0, 0.5, 1.0], [0.0, 0.9, 1.0]], [0.0, 0.5, 1.0]
HALF = np.array([[1, 0.5], [0.5, 1]])
NO_CORRELATION = [np.ones((2, 3)), [[1, 2], [2, 1]], [[2, 0], [0, 1]], [[1, 0.5], [0.2, 1]], 5.0]

OF_CLOSED_FORM = {
    closed_form.power: (
        {"n_active": 30, "n_control": 25.5, "effect": 2, "sd": 5, "alpha": 0.05, "method": "t"},
        {
            **{"n_active": [0, -5], "n_control": [0, -5], "sd": [0, -1, (4, 5), (5, 0)], "alpha": ALPHA},
            **{"method": ["Z", "T", "welsh", "Welch"]},
        },
    ),
    closed_form.sample_size: (
        {"effect": 2, "sd": (5, 6), "power_target": 0.8, "alpha": 0.05, "ratio": 2, "method": "welch"},
        {
            **{"effect": [0, -1], "sd": [0, (5, 0), (1, 2, 3), ()], "power_target": [0.025, 0.01, 1, 80]},
            **{"alpha": ALPHA, "ratio": [0, -1], "method": ["Z", "T", "welsh"]},
        },
    ),
    closed_form.analysis_sd: (
        {"sd": 5, "correlation": 0.6, "analysis": "ancova"},
        {"sd": [0], "correlation": [1.5, -1.1], "analysis": ["anova", "ANCOVA"]},
    ),
    closed_form.of_contrast: (
        {"n": [20, 30], "weights": [-1, 1], "sd": 5},
        {"n": [[0, 3], [-1, 3], 5], "weights": [[1], [1, 2, 3], [0, 0], 5], "sd": [0, -1]},
    ),
    closed_form.of_one_sample: ({"n": 20, "sd": 5}, {"n": [0], "sd": [0]}),
    closed_form.of_crossover: (
        {"n_first": 20, "n_second": 25, "sd_difference": 5},
        {"n_first": [0], "n_second": [-1], "sd_difference": [0]},
    ),
    closed_form.of_clusters: (
        {"n_active": 60, "n_control": 60, "sd": 5, "size": 20, "icc": 0.05},
        {"n_active": [0], "n_control": [0], "sd": [0], "size": [0, 0.5], "icc": [1.5, -0.1]},
    ),
    closed_form.of_welch: (
        {"n_active": 20, "n_control": 20, "sd": (4, 5)},
        {"n_active": [1, 0], "n_control": [1], "sd": [(0, 1), (1, 2, 3)]},
    ),
    closed_form.of_mmrm: (
        {"n_active": 20, "n_control": 20, "sd": 5, "correlation": HALF, "retention": [1, 0.9]},
        {
            **{"n_active": [0], "n_control": [0], "sd": [0], "retention": [[0.8, 0.9], [1, 0], [1.2, 1]]},
            "correlation": [*NO_CORRELATION, np.ones((2, 2)), np.eye(3)],
        },
    ),
    closed_form.claim_power: (
        {"effect": 2, "error": ERROR, "alpha": 0.05, "claim": "non_inferiority", "margin": 1},
        {
            **{"error": [(0, 5), (1, 0), (1, np.nan), (1,)], "alpha": ALPHA, "margin": [-1]},
            "claim": ["noninferiority", "Superiority", "non-inferiority", "superiority"],  # the last has no margin
        },
    ),
    closed_form.historical_power: (
        {"effect": 2, "n": 20, "sd": 5, "historical_n": 30, "historical_sd": 6, "alpha": 0.05},
        {"n": [1, 0], "sd": [0], "historical_n": [1], "historical_sd": [0], "alpha": ALPHA},
    ),
    closed_form.responder_share: ({"mean": 2, "sd": 5, "margin": 1}, {"sd": [0, -1]}),
    closed_form.responder_power: (
        {"share_active": 0.6, "share_control": 0.4, "n_active": 50, "n_control": 60, "alpha": 0.05},
        {"share_active": [1.2, -0.1], "share_control": [1.2], "n_active": [0], "n_control": [0], "alpha": ALPHA},
    ),
    closed_form.interval_width: ({"error": ERROR, "alpha": 0.05}, {"error": [(0, 5), (1, -1)], "alpha": ALPHA}),
    closed_form.solve: (
        {"figure": lambda x: x, "target": 3, "low": 0, "high": 10},
        {"target": [20], "high": [0, -1]},
    ),
    pooled_sd.pooled_sd: ({"df": 20, "below": 1.5}, {"df": [0, -1], "below": [-1]}),
    pooled_sd.log_peak: ({"df": 20}, {"df": [0, -1]}),
    noncentral_t.beyond: ({"t": 2, "df": 20, "shift": 1.5}, {"t": [-1], "df": [0, -1]}),
}

OF_DOSES = {
    multiplicity.rectangle: (
        {"lower": [-1, -np.inf], "upper": 2, "correlation": HALF, "df": 20, "shift": 0.5},
        {"lower": [[1, 2, 3]], "upper": [[1, 2, 3]], "correlation": NO_CORRELATION, "df": [0, -1], "shift": [[1] * 3]},
    ),
    multiplicity.largest_below: (
        {"c": 2, "correlation": HALF, "df": 20, "sides": 2},
        {"correlation": NO_CORRELATION, "df": [0], "sides": [0, 3, "2"]},
    ),
    multiplicity.largest_beyond: (
        {"c": 2, "correlation": HALF, "df": 20, "sides": 2},
        {"correlation": NO_CORRELATION, "df": [0], "sides": [0, 3, "2"]},
    ),
    multiplicity.critical_value: (
        {"correlation": HALF, "df": 20, "alpha": 0.025, "sides": 1},
        {"correlation": NO_CORRELATION, "df": [0], "alpha": ONE_SIDED, "sides": [0, 3]},
    ),
    multiplicity.adjusted_p: (
        {"t": [1, 2], "correlation": HALF, "df": 20, "sides": 1},
        {"t": [5], "correlation": NO_CORRELATION, "df": [0], "sides": [0, 3]},
    ),
    multiplicity.critical_values: (
        {"correlation": HALF, "df": [20, 30], "alpha": 0.025},
        {"correlation": NO_CORRELATION, "df": [[0.5, 3]], "alpha": ONE_SIDED},
    ),
    multiplicity.control_correlation: (
        {"n": [20, 20, 30], "control": 1},
        {"n": [[0, 3], [5], 5], "control": [3, -1, 0.5]},
    ),
    dose_power.contrast_power: (
        {"means": MEANS, "contrasts": [[-1.0, 0.0, 1.0]], "n": [20, 20, 30], "sd": 1.5, "alpha": 0.025},
        {
            **{"means": [[[0, 1]]], "contrasts": [[[0, 1]], [[0, 0, 0]]], "n": [[0, 3, 3], [1, 1, 1]]},
            **{"sd": [0, -1], "alpha": ONE_SIDED},
        },
    ),
    dose_power.contrast_sample_size: (
        {"means": MEANS, "ratio": [1, 1, 2], "sd": 1.5, "target": 0.8, "alpha": 0.025, "over": "min"},
        {
            **{"means": [[[0, 1]], [[1, 1, 1]]], "ratio": [[0, 1, 1]], "sd": [0], "target": [0.01, 1, 80]},
            **{"alpha": ONE_SIDED, "over": ["max", "Mean"]},
        },
    ),
    dose_power.target_dose_variance: (
        {"candidate": EMAX, "doses": DOSES, "weights": [0.4, 0.3, 0.3], "effect": 0.5},
        {"doses": [[-1, 1, 2], [0, 0, 0]], "weights": [[1, 1], [-1, 1, 1], [0, 0, 0]], "effect": SHARES},
    ),
    dose_power.target_dose_allocation: (
        {"candidates": [LINEAR, EMAX], "doses": DOSES, "effect": 0.5, "probabilities": [0.3, 0.7]},
        {"candidates": [[], [5]], "doses": [[-1, 1, 2]], "effect": SHARES, "probabilities": [[1], [-1, 2], [0, 0]]},
    ),
    dose_shapes.highest_at: ({"candidate": EMAX}, {}),
    dose_shapes.shape: ({"candidate": EMAX, "x": [0, 0.5]}, {"x": [-0.1, [0, 1.1]]}),
    dose_shapes.standardised_means: ({"candidates": [EMAX], "doses": DOSES}, {"candidates": [[]], "doses": [[0, 0]]}),
    dose_shapes.optimal_contrasts: (
        {"means": MEANS, "n": [20, 20, 30]},
        {"means": [[[1, 1, 1]], [[0, 1]], 5], "n": [[0, 1, 1], 5, np.ones((3, 1, 1))]},
    ),
    dose_shapes.contrast_correlation: (
        {"contrasts": MEANS, "n": [20, 20, 30]},
        {"contrasts": [[[0, 1]], [[0, 0, 0]]], "n": [[0, 1, 1], 5]},
    ),
    dose_shapes.valid_doses: ({"doses": DOSES}, {"doses": [[-1, 1], [0, 0], 5]}),
    dose_shapes.valid_candidates: ({"candidates": [EMAX]}, {"candidates": [[], [5]]}),
}

OF_CONVERSIONS = {
    conversions.sd_from_se: ({"se": 1, "n": 20}, {"se": [0], "n": [1]}),
    conversions.se_from_sd: ({"sd": 5, "n": 20}, {"sd": [0], "n": [1]}),
    conversions.se_from_ci: (
        {"low": 1, "high": 3, "prob": 0.95, "df": 20},
        {"high": [0], "prob": [1, 0.05, 95], "df": [0]},
    ),
    conversions.sd_from_ci: (
        {"low": 1, "high": 3, "n": 20, "prob": 0.95},
        {"high": [0], "n": [1], "prob": [1, 0.05]},
    ),
    conversions.se_from_t: ({"estimate": 2, "t": 2.5}, {"estimate": [0], "t": [0]}),
    conversions.se_from_p: ({"estimate": 2, "p": 0.04, "df": 20}, {"estimate": [0], "p": [0, 1, 5], "df": [0]}),
    conversions.t_test_p: ({"difference": 2, "se": 1, "df": 20}, {"se": [0], "df": [0]}),
    conversions.difference_se_from_sd: ({"sd": 5, "n1": 20, "n2": 22}, {"sd": [0], "n1": [1], "n2": [1]}),
    conversions.sd_from_difference_se: ({"se": 1, "n1": 20, "n2": 22}, {"se": [0], "n1": [1], "n2": [1]}),
    conversions.pooled_sd: ({"sd": [4.0, 5.0], "n": [20, 22]}, {"sd": [[0, 5]], "n": [[1, 20]]}),
    conversions.mean_sd_from_range: ({"low": 1, "median": 3, "high": 6, "n": 20}, {"high": [2], "n": [1]}),
    conversions.mean_sd_from_quartiles: ({"q1": 1, "median": 3, "q3": 6, "n": 20}, {"q3": [2], "n": [1]}),
    conversions.mean_sd_from_five_numbers: (
        {"low": 1, "q1": 2, "median": 3, "q3": 4, "high": 6, "n": 20},
        {"high": [2], "n": [1]},
    ),
    conversions.sd_of_change: (
        {"sd_before": 5, "sd_after": 6, "r": 0.6},
        {"sd_before": [0], "sd_after": [0], "r": [1, 1.5]},
    ),
}

OF_EFFECTS = {
    effect_sizes.mean_difference: (TWO, OF_TWO),
    effect_sizes.cohen_d: (TWO, OF_TWO),
    effect_sizes.hedges_g: (TWO, OF_TWO),
    effect_sizes.hedges_g_se: ({"g": 0.5, "n1": 20, "n2": 22}, {"n1": [1], "n2": [1]}),
    effect_sizes.small_sample_factor: ({"df": 20}, {"df": [1, 0]}),
    effect_sizes.log_sd: ({"sd": 5, "n": 20}, {"sd": [0], "n": [1]}),
}

NO_V = [[1, 0, 1, 1], [1, -1, 1, 1], [1, 1], 5.0]
METHODS = ["dl", "REMLL", "D-L"]
OF_POOLS = {
    classical.tau2: (
        {"y": Y, "v": V, "method": "DL", "X": np.ones((4, 1))},
        {"y": [[1, 2]], "v": NO_V, "method": [*METHODS, "FE"], "X": [np.ones((3, 1)), np.ones((4, 2)), 5.0]},
    ),
    classical.pool: (
        {"y": Y, "v": V, "method": "REML", "prob": 0.95},
        {"y": [[1, 2]], "v": NO_V, "method": METHODS, "prob": [0, 1, 95]},
    ),
    classical.mantel_haenszel_risk_ratio: (
        {"a": [5, 6], "n1": [20, 21], "c": [3, 4], "n2": [22, 20], "prob": 0.95},
        {"a": [[-1, 2], [30, 2]], "n1": [[0, 20]], "c": [[-1, 2]], "n2": [[0, 20]], "prob": [0, 1]},
    ),
    classical.egger: ({"y": Y, "v": V}, {"y": [[1, 2]], "v": NO_V}),
    classical.p_from_interval: (
        {"estimate": 2, "low": 1, "high": 3, "prob": 0.95, "log": False},
        {"estimate": [0, 5], "prob": [0, 1, 95]},
    ),
    multilevel.fit_multilevel: (
        {"y": Y, "v": V, "x": np.ones((4, 1)), "random": [Level([1, 2, 3, 4])], "method": "ML", "prob": 0.9},
        {
            **{"y": [[1, 2]], "v": NO_V, "x": [np.ones((3, 1)), np.ones((4, 2)), 5.0], "method": ["reml", "DL"]},
            **{"random": [[Level([1, 2])], [5], 5, [ByOutcome([1, 1, 2, 2], [1, 2, 1, 2], "un")]], "prob": [0, 1, 95]},
        },
    ),
}

TABLE = OF_CLOSED_FORM | OF_DOSES | OF_CONVERSIONS | OF_EFFECTS | OF_POOLS
"""Of every public function: arguments with which it answers, and values out of their range."""

ENDLESS = {
    "df": [np.inf],
    "below": [np.inf],
    "t": [np.inf],
    **{name: [np.inf, -np.inf] for name in ("c", "lower", "upper")},
}
"""What is allowed in trial/ and dist/, where degrees of freedom and limits of integrals may be infinite."""

OPTIONAL = {(classical.tau2, "X"), (multilevel.fit_multilevel, "x")}
OPTIONAL |= {(f, "df") for f in (conversions.se_from_ci, conversions.se_from_p, conversions.t_test_p)}
OPTIONAL |= {(dose_power.target_dose_allocation, "probabilities")}

EITHER = {(classical.mantel_haenszel_risk_ratio, name) for name in ("a", "n1", "c", "n2")}
EITHER |= {(multiplicity.rectangle, name) for name in ("lower", "upper", "shift")}
EITHER |= {(f, "sd") for f in (closed_form.power, closed_form.sample_size, closed_form.of_welch)}
EITHER |= {(dose_shapes.shape, "x"), (dose_power.contrast_power, "means"), (dose_power.contrast_power, "contrasts")}
"""Arguments that take a number and a list."""


def public(module: ModuleType) -> list:
    """Return the functions that a module itself defines and does not hide."""
    found = inspect.getmembers(module, inspect.isfunction)
    return [f for name, f in found if not name.startswith("_") and f.__module__ == module.__name__]


def wrong_types(function, name: str, good: object) -> list:
    """Return values that are of no use whatever the function, by the type of a value that is."""
    broadcast = function.__module__.endswith(("conversions", "effect_sizes"))
    none = [] if (function, name) in OPTIONAL else [None]
    nothing = [*none, "misspelt", {}, 1j]
    if callable(good):
        return []
    if isinstance(good, bool):
        return [None, "no", 1, 0.5]
    if isinstance(good, str):
        return [*none, "", 1, 0.5, True, ["t"]]
    if isinstance(good, int | float):
        endless = ENDLESS.get(name, []) if function.__module__.split(".")[1] in ("trial", "dist") else []
        infinite = [x for x in (np.inf, -np.inf) if x not in endless]
        lists = [] if broadcast or (function, name) in EITHER else [[1.0, 2.0], [], np.ones((2, 2))]
        return [*nothing, np.nan, *infinite, True, "5", [[1], [1, 2]], *lists]
    if isinstance(good, list | tuple | np.ndarray) and not hasattr(good, "_fields"):
        several = [[np.nan] * len(good), ["a"] * len(good), [True] * len(good), [None] * len(good), [[1], [1, 2]]]
        return [*nothing, True, np.nan, *several]
    return [*nothing, 5, [1]]


def refused(function, name: str, values: dict) -> bool:
    """Whether the function raises a ValueError that names the argument."""
    said = r"\ba( =|,| of n1)" if name == "a" else rf"\b{name}\b"  # a is a word of English too
    try:
        function(**values)
    except ValueError as error:
        return re.search(said, str(error)) is not None
    return False


def test_every_public_function_stands_in_the_table():
    functions = {f for module in MODULES for f in public(module)}
    assert functions == set(TABLE)
    for function, (good, _) in TABLE.items():
        assert set(good) == set(inspect.signature(function).parameters), function


@pytest.mark.parametrize("function", TABLE)
def test_the_arguments_of_the_table_have_an_answer(function):
    good, _ = TABLE[function]
    assert function(**good) is not None


@pytest.mark.parametrize(("function", "name"), [(f, name) for f, (good, _) in TABLE.items() for name in good])
def test_what_cannot_be_is_refused_by_name(function, name):
    good, out_of_range = TABLE[function]
    wrong = [*wrong_types(function, name, good[name]), *out_of_range.get(name, [])]
    assert wrong or callable(good[name])
    assert [value for value in wrong if not refused(function, name, good | {name: value})] == []


@pytest.mark.parametrize("function", [*OF_CONVERSIONS, *OF_EFFECTS])
def test_shapes_that_do_not_broadcast_are_refused_by_name(function):
    good, _ = TABLE[function]
    plain = [name for name, value in good.items() if isinstance(value, int | float) and not isinstance(value, bool)]
    for first, second in pairwise(plain):
        shaped = {first: np.full(2, good[first]), second: np.full(3, good[second])}
        with pytest.raises(ValueError, match=rf"shapes of .*\b{first} \(2,\), .*\b{second} \(3,\)"):
            function(**good | shaped)
    both = function(**good | {name: np.full((3, 1), good[name]) for name in plain})
    assert all(np.size(part) == 3 for part in (both if isinstance(both, tuple) else [both])) or not plain
