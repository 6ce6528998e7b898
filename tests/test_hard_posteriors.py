"""Posteriors that are hard to find, improper, or without moments: the exact engine against a grid of SciPy alone."""

import math
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from scipy import optimize, special

from gmfmsim import check
from gmfmsim.evidence.contrasts import Selection, contrasts_from_arrays, one_reading, select_contrasts
from gmfmsim.evidence.read import read_tables
from gmfmsim.faults import InputError, NotANumber
from gmfmsim.files.shelf import find
from gmfmsim.files.toml import read_toml
from gmfmsim.model.checks.left_out import refit
from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.exact import Refused, fit_exact, impropriety, orders, posterior, rules
from gmfmsim.model.exact import prepared as preparing
from gmfmsim.model.gate import exact_rows
from gmfmsim.model.structure import structure

BECAUSE = {"unit": "GMFM-66 points", "reason": "for this test"}
CELLS = {"unit": "cells/kg", "reason": "for this test"}
FLAT, JEFFREYS = {"dist": "improper_uniform"}, {"dist": "jeffreys"}


def spec(tau: dict, mu_sd: float = 10.0, terms: tuple = (), **more: dict) -> ModelSpec:
    r = {"dist": "gamma", "shape": 2.0, "rate": 3.0}
    priors = {"mu": {"dist": "normal", "mean": 0.0, "sd": mu_sd}, "tau": tau, "r": r} | more
    priors = {name: prior | BECAUSE for name, prior in priors.items()}
    return ModelSpec.model_validate({"title": "A test", "curve": "constant", "terms": list(terms), "priors": priors})


def evidence(y, se, **more):
    return contrasts_from_arrays(np.array(y, float), np.array(se, float) ** 2, dose=np.full(len(y), 5e7), **more)


def on_a_grid(y, se, mu_sd: float, log_prior, low=1e-11, high=1e14, points=300_001) -> dict:
    """Return mean and SD of tau, and quantiles of tau and of a new study, on an even grid of log tau."""
    y, se = np.asarray(y, float), np.asarray(se, float)
    log_tau = np.linspace(math.log(low), math.log(high), points)
    tau = np.exp(log_tau)
    w = 1 / (se**2 + tau[:, None] ** 2)
    total, center = w.sum(axis=1), (w * y).sum(axis=1) / w.sum(axis=1)
    wide = 1 / total + mu_sd**2
    log_p = (np.log(w).sum(axis=1) - np.log(total) - (w * (y - center[:, None]) ** 2).sum(axis=1)) / 2
    log_p += -(np.log(wide) + center**2 / wide) / 2 + log_prior(tau) + log_tau
    share = np.exp(log_p - log_p.max())
    share /= share.sum()
    mean = share @ tau
    known = total + mu_sd**-2.0
    middle, spread = total * center / known, np.sqrt(1 / known + tau**2)

    def new_study(p: float) -> float:
        return optimize.brentq(lambda x: share @ special.ndtr((x - middle) / spread) - p, -1e6, 1e6, xtol=1e-9)

    below = np.cumsum(share) - share / 2
    return {
        "mean": mean,
        "sd": math.sqrt(share @ (tau - mean) ** 2),
        "quantiles": [float(np.interp(p, below, tau)) for p in (0.025, 0.5, 0.975)],
        "new_study": [new_study(p) for p in (0.025, 0.5, 0.975)],
    }


CONFLICT = ([0, 15, -12, 9, 4.5, -7.5], [1.0] * 6)
EIGHT = ([0.2, 4.1, -1.3, 6.0, 2.2, 8.9, -2.5, 3.3], [1, 2, 1, 0.5, 1, 1, 2, 1])
HARD = {
    "a prior far below what the data want": (*CONFLICT, 1e3, {"dist": "lognormal", "median": 0.3, "sigma": 0.3}),
    "a half-normal far below it": (*CONFLICT, 1e3, {"dist": "half_normal", "sd": 0.2}),
    "tiny errors": ([0, 100, -50, 20, 70], [1e-5] * 5, 1e3, {"dist": "half_normal", "sd": 2.0}),
    "tiny errors, flat tau": ([0, 100, -50, 20, 70], [1e-5] * 5, 1e3, FLAT),
    "eight studies, flat tau": (*EIGHT, 1e3, FLAT),
    "four studies, Jeffreys": ([1, 5, -2, 4], [1, 2, 1, 3], 10.0, JEFFREYS),
    "two studies, half-Cauchy": ([1, 5], [1, 2], 10.0, {"dist": "half_cauchy", "scale": 1.0}),
    "two studies, half-Cauchy, any mean": ([1, 5], [1, 2], 1e3, {"dist": "half_cauchy", "scale": 1.0}),
    "three studies, half-t": ([1, 5, 3], [1, 2, 0.4], 10.0, {"dist": "half_student_t", "df": 3.0, "scale": 2.0}),
    "two studies, DuMouchel": ([1, 5], [1, 2], 10.0, {"dist": "du_mouchel"}),
    "density without bound at 0": ([1, 5, 3, 0], [1, 2, 0.4, 1], 10.0, {"dist": "gamma", "shape": 0.3, "rate": 0.1}),
}


REACH = {"density without bound at 0": {"low": 1e-40, "high": 1e4}, "tiny errors": {"low": 1.0, "high": 1e3}}
"""Where a grid of tau has to be finer or wider."""


FEW = ("a prior far below what the data want", "tiny errors, flat tau", "two studies, half-Cauchy")
"""Cases of the fast suite: mass far out, a narrow peak, and a long tail."""


@pytest.mark.parametrize("case", [c if c in FEW else pytest.param(c, marks=pytest.mark.slow) for c in HARD])
def test_reference_hard_posteriors_equal_a_grid(case):
    y, se, mu_sd, tau = HARD[case]
    model, data = spec(tau, mu_sd), evidence(y, se)
    exact = fit_exact(model, data)
    given = exact.prepared.structure.parameters["tau"]
    gold = on_a_grid(y, se, mu_sd, given.logpdf, **REACH.get(case, {}))
    found, new = exact.parameter("tau"), exact.new_study()
    assert all(row["passed"] for row in exact_rows(exact))
    assert exact.moments("tau") == pytest.approx((gold["mean"], gold["sd"]), rel=3e-6)
    assert [found.quantile(p) for p in (0.025, 0.5, 0.975)] == pytest.approx(gold["quantiles"], rel=3e-6)
    assert [new.quantile(p) for p in (0.025, 0.5, 0.975)] == pytest.approx(gold["new_study"], rel=1e-7, abs=1e-7)


def test_known_the_posterior_is_not_cut_where_its_prior_ends():
    """Effects 0 to 15 with standard errors of 1 against tau about 0.3: the mean of tau is 3.759, not 3.075."""
    y, se, mu_sd, tau = HARD["a prior far below what the data want"]
    assert fit_exact(spec(tau, mu_sd), evidence(y, se)).moments("tau")[0] == pytest.approx(3.759, abs=5e-4)


@pytest.mark.parametrize(
    ("tau", "studies", "exist"),
    [
        (FLAT, 3, (True, False)),
        (FLAT, 4, (True, True)),
        (JEFFREYS, 2, (True, False)),
        (JEFFREYS, 3, (True, True)),
        ({"dist": "half_cauchy", "scale": 1.0}, 1, (True, False)),
        ({"dist": "half_cauchy", "scale": 1.0}, 2, (True, True)),
        ({"dist": "log_student_t", "df": 5.0, "location": 0.0, "scale": 1.0}, 1, (False, False)),
        ({"dist": "half_normal", "sd": 1.0}, 1, (True, True)),
    ],
)
def test_known_which_moments_of_tau_exist(tau, studies, exist):
    """Tails: a prior like x^-a and as many studies as directions; a moment j needs more than 1 + j."""
    exact = fit_exact(spec(tau), evidence(np.arange(studies), np.ones(studies)))
    assert tuple(np.isfinite(exact.moments("tau"))) == exist


@pytest.mark.parametrize(
    ("tau", "studies", "proper"),
    [(FLAT, 1, False), (FLAT, 2, False), (FLAT, 3, True), (JEFFREYS, 1, False), (JEFFREYS, 2, True)],
)
def test_known_improper_posteriors_are_refused(tau, studies, proper):
    model, data = spec(tau), evidence(np.arange(studies), np.ones(studies))
    assert (impropriety(structure(model, data)) is None) == proper
    if not proper:
        with pytest.raises(Refused, match="the posterior is improper"):
            fit_exact(model, data)


def test_check_says_what_does_not_exist_and_refuses_what_is_improper(tmp_path):
    """Studies of one flat file with a flat tau: of two the posterior is improper, of three tau has no SD."""
    for studies, said in ((2, "the posterior is improper"), (3, "Of tau no SD exists")):
        rows = [f"S{i},{arm},{dose},30,{3 + i},6,12" for i in range(studies) for arm, dose in DOSES]
        (tmp_path / "own.csv").write_text("\n".join(["study,arm,dose,n,mean,sd,month", *rows]), encoding="utf-8")
        raw = read_toml(find("experiments", "quickstart_one_mean"))
        raw |= {"evidence": {"tables": "own.csv", "select": {"default_use": "primary"}}}
        raw |= {"model": {"name": "random_effects", "priors": {"tau": FLAT | BECAUSE}}}
        (tmp_path / "own.toml").write_text(tomli_w.dumps(raw), encoding="utf-8")
        if studies == 2:
            with pytest.raises(InputError, match=said):
                check(str(tmp_path / "own.toml"))
        else:
            assert any(note.startswith(said) for note in check(str(tmp_path / "own.toml"))["plans"][0]["notes"])


DOSES = (("cells", "5e7 cells/kg"), ("control", "0"))


def test_known_classes_of_cells_are_units_of_their_own():
    """A flat prior of what lies between classes: one or two of them say nothing of it, whatever the studies."""
    for classes, proper in ((["MSC"], False), (["MSC", "TNC_MNC"], False), (["MSC", "TNC_MNC", "other"], True)):
        data = evidence(np.arange(6), np.ones(6), covariates={"cell_class": classes * (6 // len(classes))})
        model = spec({"dist": "half_normal", "sd": 2.0}, terms=("cell_class",), tau_class=FLAT)
        assert (impropriety(structure(model, data)) is None) == proper


def test_known_contrasts_of_one_study_count_once():
    """Six contrasts of two studies are two directions for tau, and six for what lies between arms."""
    data = evidence(np.arange(6), np.ones(6), study=["A"] * 3 + ["B"] * 3, covariates={"arm": list("abcdef")})
    tau = {"dist": "half_cauchy", "scale": 1.0}
    found = orders(structure(spec(tau, terms=("arms",), tau_arm=tau), data))
    assert found["tau"] == 2 - 1 + 2
    assert found["tau_arm"] == 2 - 1 + 6


def test_without_a_study_that_makes_it_proper_the_rest_has_no_density():
    data = evidence([0, 3, 5], [1, 1, 1])
    exact = fit_exact(spec(FLAT), data)
    left = refit(exact, data, np.array([True, False, False]))
    assert math.isnan(left.log_density)
    assert left.rest is None


def test_a_density_that_is_not_a_number_stops_with_a_word(monkeypatch):
    model = structure(spec({"dist": "half_normal", "sd": 2.0}), evidence([1, 2, 3], [1, 1, 1]))
    real = preparing.kernels.log_evidence

    def broken(*arguments):
        found = real(*arguments)
        found[-1] = np.nan
        return found

    monkeypatch.setattr(preparing.kernels, "log_evidence", broken)
    with pytest.raises(NotANumber, match="not a number at tau"):
        posterior(model)


def test_an_axis_that_ends_before_the_posterior_fails_the_gate(monkeypatch):
    """Two studies, half-Cauchy, and an axis that is not allowed past 20: the gate sees what stands at its end."""
    monkeypatch.setattr(rules, "FARTHEST", math.log(20.0))
    exact = fit_exact(spec({"dist": "half_cauchy", "scale": 1.0}), evidence([1, 5], [1, 2]))
    rows = {row["criterion"]: row["passed"] for row in exact_rows(exact)}
    assert rows == {"missed density": True, "density at the ends": False}


EXPONENTIAL = {
    "title": "Exponential",
    "curve": "exponential",
    "priors": {
        "effect_at_1e8": {"dist": "normal", "mean": 0.0, "sd": 10.0} | BECAUSE,
        "delta": {"dist": "lognormal", "median": 5e7, "sigma": 1.0} | CELLS,
        "tau": {"dist": "half_normal", "sd": 2.0} | BECAUSE,
        "r": {"dist": "truncated_normal", "mean": 0.56, "sd": 0.1, "lower": 0.3, "upper": 1.0} | BECAUSE,
    },
}


def test_reference_an_exponential_curve_whose_tail_overflows():
    """1e7 and 6e8 cells/kg under delta about 5e7 and less: exp(d / delta) leaves what a double holds."""
    tables = read_tables(Path(__file__).parent / "cases" / "C26a_exponential.csv")
    data = one_reading(select_contrasts(tables, Selection(default_use="primary")))
    exact = fit_exact(ModelSpec.model_validate(EXPONENTIAL), data)
    assert exact.moments("effect_at_1e8") == pytest.approx((0.30178, 1.86033), abs=1e-5)
    assert exact.moments("delta") == pytest.approx((3.27902e8, 2.54625e8), rel=1e-5)
    assert exact.moments("tau")[0] == pytest.approx(1.56751, abs=1e-5)
