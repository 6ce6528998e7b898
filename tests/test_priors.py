"""Priors against other systems, by round trips, in PyMC, from damaged tables, and what they say in words."""

import json
import math
import re
import tomllib
from itertools import pairwise

import numpy as np
import pymc as pm
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from scipy import integrate, special, stats

from gmfmsim.dist.distributions import Fixed
from gmfmsim.faults import InputError
from gmfmsim.files.shelf import find
from gmfmsim.model.curves import CURVES
from gmfmsim.model.declare import ModelChoice, ModelSpec, read_model
from gmfmsim.model.priors import PRIORS, Prior
from gmfmsim.model.priors.tau import RHODES, TURNER, harmonic_se
from gmfmsim.model.priors.words import in_words, prior_effect

WORDS = {"unit": "points", "reason": "A test."}
ANY = {"outcome": "any", "comparison": "any"}
PHARMACOLOGICAL = "pharmacological vs. placebo / control"
SE = [0.8, 1.5, 2.0, 3.1]
TAILS = np.array([1e-12, 1e-6, 0.025, 0.3, 0.5, 0.8, 0.975, 1 - 1e-6, 1 - 1e-12])


def prior(dist, **keys):
    return TypeAdapter(Prior).validate_python({"dist": dist, **keys, **WORDS})


class LogT:
    """log x ~ location + scale t(df), from scipy's t."""

    def __init__(self, df, location, scale):
        self.t = stats.t(df, location, scale)

    def logpdf(self, x):
        return self.t.logpdf(np.log(x)) - np.log(x)

    def cdf(self, x):
        return self.t.cdf(np.log(x))

    def sf(self, x):
        return self.t.sf(np.log(x))

    def ppf(self, p):
        return np.exp(self.t.ppf(p))


class HalfT:
    """|scale t(df)|, from scipy's t."""

    def __init__(self, df, scale):
        self.t = stats.t(df, 0, scale)

    def logpdf(self, x):
        return np.log(2) + self.t.logpdf(x)

    def cdf(self, x):
        return special.betainc(0.5, self.t.args[0] / 2, 1 / (1 + self.t.args[0] / (x / self.t.args[2]) ** 2))

    def sf(self, x):
        return 2 * self.t.sf(x)


SCIPY = {
    "normal": ({"mean": 1.5, "sd": 2}, stats.norm(1.5, 2)),
    "half_normal": ({"sd": 3}, stats.halfnorm(0, 3)),
    "half_cauchy": ({"scale": 0.5}, stats.halfcauchy(0, 0.5)),
    "half_student_t": ({"df": 4, "scale": 2}, HalfT(4, 2)),
    "lognormal": ({"median": 3e7, "sigma": 1.3}, stats.lognorm(1.3, 0, 3e7)),
    "log_student_t": ({"df": 5, "location": -1.72, "scale": 1.295}, LogT(5, -1.72, 1.295)),
    "log_logistic": ({"median": 1.4, "shape": 2}, stats.fisk(2, 0, 1.4)),
    "gamma": ({"shape": 2.5, "rate": 4}, stats.gamma(2.5, 0, 1 / 4)),
    "exponential": ({"mean": 2}, stats.expon(0, 2)),
    "beta": ({"a": 2, "b": 3.5}, stats.beta(2, 3.5)),
    "uniform": ({"lower": -1, "upper": 4}, stats.uniform(-1, 5)),
    "truncated_normal": (
        {"mean": 0.56, "sd": 0.1, "lower": 0.3, "upper": 1},
        stats.truncnorm(-2.6, 4.4, 0.56, 0.1),
    ),
}
FAR = {"normal": 80.0, "half_normal": 100.0, "lognormal": 1e60, "gamma": 1e3, "exponential": 1e4}
FAR |= {name: 1e150 for name in ("half_cauchy", "half_student_t", "log_student_t", "log_logistic")}


@pytest.mark.parametrize("name", SCIPY)
def test_reference_densities_and_quantiles_are_those_of_scipy(name):
    keys, theirs = SCIPY[name]
    ours = prior(name, **keys)
    x = ours.ppf(TAILS)
    # 1 - p holds four digits at 1 - 1e-12; a truncated normal's lower tail is a small step from its bound
    tolerance = 1e-4 if name == "truncated_normal" else 1e-9
    assert theirs.cdf(x)[:-2] == pytest.approx(TAILS[:-2], rel=tolerance)
    assert theirs.sf(x) == pytest.approx(1 - TAILS, rel=tolerance)
    x = np.append(x[1:-1], FAR[name]) if name in FAR else x[1:-1]
    assert ours.logpdf(x) == pytest.approx(theirs.logpdf(x), rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("name", SCIPY)
def test_a_density_integrates_to_1_and_vanishes_outside_the_support(name):
    ours = prior(name, **SCIPY[name][0])
    low, high = ours.support
    x = ours.ppf(np.linspace(1e-9, 1 - 1e-9, 4001))
    between = np.array([1e-3, 0.2, 0.7, 0.999])
    cuts = ours.ppf(between)
    area = [integrate.quad(lambda x: np.exp(ours.logpdf(x)), a, b)[0] for a, b in pairwise(cuts)]
    assert area == pytest.approx(np.diff(between), rel=1e-7)
    assert ((low <= x) & (x <= high)).all()
    outside = [v for v in (np.nextafter(low, -np.inf), np.nextafter(high, np.inf)) if np.isfinite(v)]
    assert (ours.logpdf(np.array([*outside, -np.inf, np.inf])) == -np.inf).all()
    assert np.isnan(ours.logpdf(np.nan))
    assert ours.positive == (low >= 0)
    assert ours.ppf(np.array([0.0, 1.0])) == pytest.approx([low, high])
    assert ours.given(SE) is ours


POSITIVE = st.floats(0.5, 50)  # of smaller shapes and df the quantiles leave what doubles resolve
PROBABILITY = st.one_of(st.floats(1e-12, 0.5), st.floats(1e-12, 0.5).map(lambda p: 1 - p))


@given(POSITIVE, POSITIVE, PROBABILITY)
def test_quantiles_go_back_to_their_probabilities(a, b, p):
    log_t = prior("log_student_t", df=a + 5, location=-1, scale=0.1)  # of fewer df the tail leaves the doubles
    half_t = prior("half_student_t", df=a, scale=b)
    x = np.array([half_t.ppf(p), prior("half_cauchy", scale=b).ppf(p)]) / b
    tail = [2 * special.stdtr(a, -x[0]), 2 / np.pi * math.atan2(1, x[1])]
    assert tail == pytest.approx([1 - p] * 2, rel=1e-9)
    assert special.stdtr(a + 5, (np.log(log_t.ppf(p)) + 1) / 0.1) == pytest.approx(p, rel=1e-6)
    assert special.gammainc(a, b * prior("gamma", shape=a, rate=b).ppf(p)) == pytest.approx(p, rel=1e-9)
    quantile = prior("beta", a=a, b=b).ppf(p)  # near 1 neighbouring doubles may be 2e-9 of probability apart
    below, above = special.betainc(a, b, np.nextafter(quantile, [0, 1]))
    assert below * (1 - 1e-9) <= p <= above * (1 + 1e-9)
    ratio = prior("log_logistic", median=b, shape=a).ppf(p) / b
    assert special.expit(a * np.log(ratio)) == pytest.approx(p, rel=1e-9)


def test_quantiles_near_0_keep_their_digits():
    p = 1e-12
    assert prior("half_normal", sd=1).ppf(p) == pytest.approx(p * math.sqrt(math.pi / 2), rel=1e-12)
    assert prior("half_cauchy", scale=1).ppf(p) == pytest.approx(p * math.pi / 2, rel=1e-12)
    assert prior("half_student_t", df=1, scale=1).ppf(p) == pytest.approx(p * math.pi / 2, rel=1e-12)
    assert prior("exponential", mean=1).ppf(p) == pytest.approx(p, rel=1e-12)


def test_a_truncated_normal_stays_within_its_bounds():
    ours = prior("truncated_normal", mean=0, sd=1, lower=4, upper=4.5)
    x = ours.ppf(np.linspace(0, 1, 10_001))
    assert x[[0, -1]] == pytest.approx([4, 4.5], rel=1e-13)
    assert ((x >= 4) & (x <= 4.5)).all()
    assert np.isfinite(ours.logpdf(x)).all()


def test_the_nodes_of_pymc_have_the_same_densities():
    ours = {name: prior(name, **keys) for name, (keys, _) in SCIPY.items()}
    with pm.Model(coords={"study": range(3)}) as model:
        for name, distribution in ours.items():
            distribution.node(name, dims="study")
    at = {name: distribution.ppf(np.array([0.01, 0.5, 0.99])) for name, distribution in ours.items()}
    densities = model.compile_fn(
        [pm.logp(model[name], value) for name, value in at.items()], inputs=[], mode="FAST_COMPILE"
    )({})
    for (name, distribution), density in zip(ours.items(), densities, strict=True):
        assert density == pytest.approx(distribution.logpdf(at[name]), rel=1e-7), name
    point = model.initial_point()
    assert np.isfinite(model.compile_dlogp(mode="FAST_COMPILE")(point)).all()
    assert {v.name for v in model.free_RVs} == set(ours)


@pytest.mark.slow
def test_draws_of_a_log_t_node_are_its_own_and_at_their_quantiles():
    with pm.Model():
        tau = prior("rhodes2015", **ANY).node("tau")
        draws = pm.draw(tau, 20_000, random_seed=3)
    below = (draws[:, None] <= prior("rhodes2015", **ANY).ppf(np.array([0.025, 0.5, 0.975]))).mean(axis=0)
    assert below == pytest.approx([0.025, 0.5, 0.975], abs=4 * 0.5 / math.sqrt(20_000))


def test_reference_priors_of_two_surveys(reference):
    expected = reference["ES12"]["expected"]
    turner = prior("turner2015", outcome="surgical / device related success / failure", comparison=PHARMACOLOGICAL)
    rhodes = prior("rhodes2015", **ANY)
    assert (math.log(turner.median), turner.sigma) == pytest.approx((-1.07, 0.87))
    for found, quantiles in ((turner, expected["turner_tau_q"]), (rhodes, expected["rhodes_tau_q"])):
        assert found.ppf(np.array([*map(float, quantiles)])) == pytest.approx([*quantiles.values()], abs=1e-6)
    assert str(rhodes) == "LogStudentT(5, -1.72, 1.295) standard deviations (Rhodes 2015: any; any)"
    assert "log odds ratio" in str(turner)


def test_known_tables_of_two_surveys():
    assert (len(TURNER), len(RHODES)) == (16 * 5 + 1, 8 * 3 + 1)
    assert (TURNER["any", "any"], RHODES["any", "any"]) == ((-2.56, 1.74), (-3.44, 2.59))
    assert TURNER["all-cause mortality", PHARMACOLOGICAL] == (-3.95, 1.34)
    assert TURNER["pain", "non-pharmacological vs. non-pharmacological"] == (-1.38, 1.45)
    assert RHODES["mental health outcome", "pharmacological vs. pharmacological"] == (-3.27, 2.14)
    # the surveys' models are additive in outcome and comparison: but for one cell, rows differ by a constant
    table = np.array([[TURNER[o, c][0] for o, c in TURNER if c == k] for k in {c for _, c in TURNER} - {"any"}])
    assert np.ptp(table - table[0], axis=1).max() <= 0.021  # two roundings to 0.01
    table = {key: cell[0] for key, cell in RHODES.items() if key[0] not in ("any", "mental health outcome")}
    table = np.array([[table[key] for key in table if key[1] == k] for k in {c for _, c in table}])
    assert np.ptp(table - table[0], axis=1).max() <= 0.021


def test_known_priors_that_follow_from_the_standard_errors():
    s0 = math.sqrt(4 / sum(s**-2 for s in SE))
    tau = np.array([0.01, 0.7, 2, 30])
    assert harmonic_se(SE) == pytest.approx(s0)
    falling, shrinkage = (prior(name).given(SE) for name in ("du_mouchel", "uniform_shrinkage"))
    assert np.exp(falling.logpdf(tau)) == pytest.approx(s0 / (s0 + tau) ** 2)
    assert np.exp(shrinkage.logpdf(tau)) == pytest.approx(2 * s0**2 * tau / (s0**2 + tau**2) ** 2)
    assert (falling.ppf(0.5), shrinkage.ppf(0.5)) == pytest.approx((s0, s0))
    assert falling.ppf(0.75) == pytest.approx(3 * s0)
    assert s0**2 / (s0**2 + shrinkage.ppf(0.3) ** 2) == pytest.approx(0.7)  # the shrinkage itself is uniform
    jeffreys = prior("jeffreys").given(SE)
    by_hand = np.sqrt(sum((tau / (s**2 + tau**2)) ** 2 for s in SE))
    assert np.exp(jeffreys.logpdf(tau)) == pytest.approx(by_hand)
    assert jeffreys.logpdf(np.array([-1, 0])).tolist() == [-np.inf] * 2
    assert jeffreys.logpdf(np.array([1e200])) == pytest.approx(math.log(2) - 200 * math.log(10))  # sqrt(K) / tau
    assert prior("improper_uniform").given(SE).logpdf(np.array([-1, 0, 5])).tolist() == [-np.inf, 0, 0]


def test_what_a_prior_cannot_do_it_says():
    for name in ("du_mouchel", "uniform_shrinkage"):
        with pytest.raises(TypeError, match="depends on the standard errors"):
            prior(name).node("tau")
        assert prior(name).proper
        assert prior(name).given(SE).proper
    for name in ("jeffreys", "improper_uniform"):
        for found in (prior(name), prior(name).given(SE)):
            assert not found.proper
            assert found.positive
            with pytest.raises(TypeError, match="improper: only the exact engine can use it"):
                found.node("tau")
            with pytest.raises(TypeError, match="improper"):
                found.ppf(0.5)
    with pytest.raises(TypeError, match="depends on the standard errors"):
        prior("jeffreys").logpdf(1.0)
    np.testing.assert_array_equal(Fixed(dist="fixed", value=1).logpdf([1.0, 1.1]), [0.0, -np.inf])  # a unit mass
    for se in ([], [1, 0], [1, np.nan], 2.0):
        with pytest.raises(ValueError, match=r"se is .* allowed are one or more finite numbers above 0"):
            prior("du_mouchel").given(se)


DAMAGED = {
    "unknown distribution": ({"dist": "half_normale", "sd": 2}, "priors.tau", "half_normal"),
    "unknown key": ({"dist": "gamma", "shape": 2, "rate": 1, "scale": 1}, "priors.tau.scale", "nearest: shape"),
    "missing key": ({"dist": "half_student_t", "df": 3}, "priors.tau.scale", "required"),
    "negative mean": ({"dist": "exponential", "mean": -1}, "priors.tau.mean", "greater than 0"),
    "bounds turned": ({"dist": "uniform", "lower": 2, "upper": 1}, "priors.tau", "lower below upper"),
    "bounds turned above the mean": (
        {"dist": "truncated_normal", "mean": 0, "sd": 1, "lower": 3, "upper": 1},
        "priors.tau",
        "lower below upper",
    ),
    "bounds too wide": ({"dist": "uniform", "lower": -1e308, "upper": 1e308}, "priors.tau", "lower below upper"),
    "a word": ({"dist": "beta", "a": "two", "b": 1}, "priors.tau.a", "number"),
    "infinite": ({"dist": "log_student_t", "df": 5, "location": math.inf, "scale": 1}, "priors.tau.location", "finite"),
    "unknown outcome": (
        {"dist": "rhodes2015", "outcome": "mental helth outcome", "comparison": "non-pharmacological (any)"},
        "priors.tau.outcome",
        "nearest: mental health outcome",
    ),
    "unknown comparison": (
        {"dist": "turner2015", "outcome": "pain", "comparison": "pharmacological vs. placebo"},
        "priors.tau.comparison",
        f"nearest: {PHARMACOLOGICAL}",
    ),
    "half of any": ({"dist": "turner2015", "outcome": "any", "comparison": PHARMACOLOGICAL}, "priors.tau", "both"),
    "parameters of its own": ({"dist": "rhodes2015", **ANY, "scale": 1}, "priors.tau.scale", "outcome"),
}


def changed(tmp_path, tau, model="random_effects"):
    """Return the model with another prior for tau, read from a file."""
    lines = [f"{key} = {json.dumps(value) if value != math.inf else 'inf'}" for key, value in (tau | WORDS).items()]
    text = find("models", model, beside=None, file="", where="").read_text(encoding="utf-8")
    table = re.search(r"(?ms)^\[priors\.tau\]$.*?(?=^\[|\Z)", text).group()
    path = tmp_path / "changed.toml"
    path.write_text(text.replace(table, "[priors.tau]\n" + "\n".join(lines) + "\n\n"), encoding="utf-8")
    assert tomllib.loads(path.read_text(encoding="utf-8"))["priors"]["tau"]["dist"] == tau["dist"]
    return read_model(ModelChoice(name=str(path)))


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_tables_are_faults_of_the_key(tmp_path, damage):
    tau, where, allowed = DAMAGED[damage]
    with pytest.raises(InputError) as refusal:
        changed(tmp_path, tau)
    (fault,) = refusal.value.faults
    assert (fault.file, fault.where) == ("changed.toml", f"key {where}")
    assert allowed in fault.allowed


@pytest.mark.parametrize(
    ("dist", "scale"), [("turner2015", "log odds ratios"), ("rhodes2015", "standard deviations of the outcome")]
)
def test_a_prior_made_for_effects_on_another_scale_is_refused(tmp_path, dist, scale):
    """Of log odds ratios or of standard deviations: on points it would move n from 203 to 158 and say nothing."""
    with pytest.raises(InputError) as refusal:
        changed(tmp_path, {"dist": dist, **ANY})
    (fault,) = refusal.value.faults
    assert (fault.where, fault.problem) == ("key priors.tau", f"{dist} in {scale!r}, and tau is in GMFM-66 points")


@pytest.mark.parametrize(
    ("parameter", "unit", "fits"),
    [
        ("tau", "GMFM-66 points", True),
        ("tau", "points", True),
        ("tau", "standard deviations", False),
        ("tau", "log odds ratio", False),
        ("tau", "cells/kg", False),
        ("emax", "SMD", False),
        ("ed50", "cells/kg", True),
        ("ed50", "1e7 cells per kg", True),
        ("ed50", "GMFM-66 points", False),
        ("r", "GMFM-66 points per GMFM-88 per cent point", True),
        ("r", "none", False),
    ],
)
def test_the_unit_of_a_prior_fits_its_parameter(tmp_path, parameter, unit, fits):
    text = find("models", "emax").read_text(encoding="utf-8")
    own = re.search(rf"(?ms)^\[priors\.{parameter}\]$.*?^unit = (.*?)$", text)
    (tmp_path / "own.toml").write_text(text[: own.start(1)] + json.dumps(unit) + text[own.end(1) :], encoding="utf-8")
    if fits:
        assert read_model(ModelChoice(name=str(tmp_path / "own.toml"))).priors[parameter].unit == unit
        return
    with pytest.raises(InputError, match=f"{parameter} is in ") as refusal:
        read_model(ModelChoice(name=str(tmp_path / "own.toml")))
    (fault,) = refusal.value.faults
    assert (fault.file, fault.where) == ("own.toml", f"key priors.{parameter}")


def test_both_names_of_a_survey_are_faulted_at_once(tmp_path):
    with pytest.raises(InputError) as refusal:
        changed(tmp_path, {"dist": "turner2015", "outcome": "death", "comparison": "surgery"})
    assert [fault.where for fault in refusal.value.faults] == ["key priors.tau.outcome", "key priors.tau.comparison"]


def test_a_uniform_prior_of_tau_that_reaches_below_zero_is_a_fault(tmp_path):
    assert changed(tmp_path, {"dist": "uniform", "lower": 0, "upper": 5}).priors["tau"].positive
    with pytest.raises(InputError, match="reaches below 0"):
        changed(tmp_path, {"dist": "uniform", "lower": -1, "upper": 5})


def test_every_prior_has_a_name_of_its_own():
    names = [TypeAdapter(c.model_fields["dist"].annotation).json_schema()["const"] for c in PRIORS]
    assert len(set(names)) == len(names) == 19


def shipped(name) -> ModelSpec:
    return read_model(ModelChoice(name=name))


def numbers(line) -> list[float]:
    return [float(x) for x in re.findall(r"(?<![\w-])-?\d+\.\d+", line)]


def test_known_words_of_the_random_effects_model():
    mean, pair, scatter, new, ratio = in_words(shipped("random_effects"))
    assert mean == (
        "Before the data, this model thinks that the mean effect lies between -19.6 and 19.6 GMFM-66 points "
        "in 95 % of cases."
    )

    # tau half-normal(2), z1 - z2 ~ Normal(0, 2): the product of two normals has the density K0(|x| / s) / (pi s)
    def share(x, sd):
        return 2 / (math.pi * sd) * integrate.quad(lambda u: special.k0(u / sd), 0, x)[0]

    (median,), (most,) = numbers(pair), numbers(scatter)
    assert "half of cases" in pair
    assert share(median - 0.06, 2 * math.sqrt(2)) < 0.5 < share(median + 0.06, 2 * math.sqrt(2))
    assert share(most - 0.06, 2) < 0.95 < share(most + 0.06, 2)
    low, high = numbers(new)
    assert (low, high) == pytest.approx((-20, 20), abs=0.15)  # sd of the normal nearest: sqrt(104) 1.96 = 19.99
    assert numbers(ratio) == pytest.approx(10 * stats.truncnorm(-2.6, 4.4, 0.56, 0.1).ppf([0.025, 0.975]), abs=0.051)


def test_known_prior_effect_of_normal_means():
    draws = prior_effect(shipped("random_effects"), 5e7)
    assert draws.shape == (2, 100_000)
    assert np.quantile(draws[0], [0.025, 0.975]) == pytest.approx([-19.59964, 19.59964], abs=0.005)
    assert draws[1].var() == pytest.approx(100 + 4, rel=0.02)  # E tau^2 = 4; 4 standard errors of a variance
    slope = prior_effect(shipped("loglinear"), 1e8)[0]
    assert np.quantile(slope, 0.975) == pytest.approx(19.59964 * math.log10(11), abs=0.005)
    assert (prior_effect(shipped("loglinear"), 0.0) == 0).all()


def test_one_seed_gives_one_curve_at_every_dose():
    low, high = (prior_effect(shipped("emax"), dose, size=1000) for dose in (1e7, 1e8))
    assert (np.abs(high) > np.abs(low)).all()
    assert (np.sign(high) == np.sign(low)).all()
    assert not (low == prior_effect(shipped("emax"), 1e7, size=1000, seed=2)).any()


def test_words_of_a_curve_name_its_doses():
    change, mean, *_ = in_words(shipped("loglinear"))
    assert "going from 1e7 to 1e8 cells/kg adds between" in change
    assert "at 1e8 cells/kg" in mean
    assert numbers(change)[-1] == pytest.approx(19.6 * math.log10(11 / 2), abs=0.06)


def test_words_leave_out_what_an_improper_prior_would_decide(tmp_path):
    improper = changed(tmp_path, {"dist": "improper_uniform"})
    mean, ratio, tau = in_words(improper)
    assert "mean effect" in mean
    assert "GMFM-88" in ratio
    assert tau == "tau has an improper prior: before the data it says nothing."
    with pytest.raises(TypeError, match="improper"):
        prior_effect(improper, 1e8)


def test_words_need_the_standard_errors_of_a_prior_that_follows_from_them(tmp_path):
    falling = changed(tmp_path, {"dist": "du_mouchel"})
    *_, last = in_words(falling)
    assert last.startswith("tau has a prior that depends on the standard errors of the studies")
    lines = in_words(falling, se=SE)
    assert len(lines) == 5
    # |z1 - z2| tau, by quadrature over the prior of tau
    x = numbers(lines[1])[0]
    u = (np.arange(20_000) + 0.5) / 20_000
    below = special.erf(x / (2 * falling.priors["tau"].given(SE).ppf(u))).mean()
    assert below == pytest.approx(0.5, abs=0.01)


def declared(curve, heterogeneity="normal", **priors) -> ModelSpec:
    """Return a model with Uniform(value, value + 1e-6) priors but for a Normal(0, 10) amplitude."""
    shape = CURVES[curve]
    values = {name: 0.5 for name in (*shape.nonlinear, "tau", "r")} | priors
    narrow = {name: {"dist": "uniform", "lower": v, "upper": v + 1e-6, **WORDS} for name, v in values.items()}
    tables = narrow | {shape.amplitude: {"dist": "normal", "mean": 0, "sd": 10, **WORDS}}
    return ModelSpec.model_validate({"title": "A", "curve": curve, "heterogeneity": heterogeneity, "priors": tables})


@pytest.mark.parametrize("curve", CURVES)
def test_known_words_of_every_curve(curve):
    lines = in_words(declared(curve, r=0.6))
    mean = next(line for line in lines if "the mean effect" in line)
    shape = float(CURVES[curve].shape(1e8, *[0.5 for _ in CURVES[curve].nonlinear]))
    assert numbers(mean) == pytest.approx([-19.6 * shape, 19.6 * shape], abs=0.051 + 1e-3 * shape)
    assert lines[-1].endswith("counts as between 6.0 and 6.0 GMFM-66 points in 95 % of cases.")
    assert len(lines) == 5 + CURVES[curve].uses_dose


def test_known_scatter_of_student_t_studies():
    *_, scatter, _, _ = in_words(declared("constant", "student_t", tau=2.0, nu=4.0))
    assert "a new study lies within" in scatter
    assert numbers(scatter) == pytest.approx([2 * stats.t(4).ppf(0.975)], abs=0.051)
