"""The exact engine against published figures, dense quadrature, its own draws, and what must hold of any posterior."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import examples
from exact_figures import mode, shortest, state_probability
from hypothesis import given, settings
from hypothesis import strategies as st
from quadrature import over_readings
from quadrature import posterior as dense
from scipy import stats

from gmfmsim.dist.distributions import Normal
from gmfmsim.dist.mixture import MANY, NormalMixture, on_grids
from gmfmsim.dist.positive import HalfCauchy, HalfNormal
from gmfmsim.evidence.contrasts import Selection, contrasts_from_arrays, select_contrasts
from gmfmsim.evidence.read import read_tables
from gmfmsim.evidence.readings import read_contrasts
from gmfmsim.model.checks.left_out import without
from gmfmsim.model.declare import ModelChoice, read_model
from gmfmsim.model.exact import posterior
from gmfmsim.model.exact.exact_posterior import EFFORT
from gmfmsim.model.likelihood import likelihood
from gmfmsim.model.priors.tau import DuMouchel, ImproperUniform, Jeffreys, UniformShrinkage
from gmfmsim.model.structure import Structure, structure
from gmfmsim.model.terms import Coefficient, Level

HERE = Path(__file__).parent
PRINTED = 1e-5
"""The stated tolerance of the reference figures."""
RATIO = stats.truncnorm(-2.6, 4.4, loc=0.56, scale=0.10)
TAU = stats.halfnorm(scale=2)


def normal(sd: float) -> Normal:
    return Normal(dist="normal", mean=0, sd=sd)


def half_normal(sd: float) -> HalfNormal:
    return HalfNormal(dist="half_normal", sd=sd)


def linear_model(y, covariance, columns: dict, prior, tau, *, study=None, shape=1.0) -> Structure:
    """Return y = shape (sum_j beta_j x_j + deviation of the study) + error; tau a prior or a number."""
    data = contrasts_from_arrays(y, covariance, study=study)
    units = np.arange(len(y)) if study is None else np.unique(study, return_inverse=True)[1]
    known = isinstance(tau, float)
    return Structure(
        {} if known else {"tau": tau.given(data["se"].values[0])},
        tuple(Coefficient(name, np.broadcast_to(x, len(y)).astype(float), prior) for name, x in columns.items()),
        (Level("study", units, lambda phi: tau if known else phi["tau"]),),
        lambda phi: np.broadcast_to(shape, len(y)),
        data["gmfm66"].values,
        likelihood(data, units[None]),
    )


def pooled(y, covariance, mu_sd: float, tau):
    """Return the posterior of the random-effects model."""
    return posterior(linear_model(y, covariance, {"mu": 1.0}, normal(mu_sd), tau))


def assert_equals(found, gold: dict, tolerance: float = PRINTED) -> None:
    """Hold a distribution to the figures of a reference."""
    mean, sd = (found.mean, found.sd) if isinstance(found, NormalMixture) else found.moments()
    ours = {
        "mean": lambda: mean,
        "sd": lambda: sd,
        "median": lambda: found.quantile(0.5),
        "eti95": lambda: (found.quantile(0.025), found.quantile(0.975)),
        "hdi95": lambda: shortest(found, 0.95),
        "q95": lambda: found.quantile(0.95),
        "p_gt_1": lambda: 1 - found.cdf(1.0),
        "mode": lambda: mode(found),
    }
    for name, value in gold.items():
        np.testing.assert_allclose(ours[name](), value, rtol=0, atol=tolerance, err_msg=name)


NORMAL_NORMAL = {
    "ES01": (50, HalfCauchy(dist="half_cauchy", scale=25)),
    "ES04": (5, HalfCauchy(dist="half_cauchy", scale=5)),
    "ES06": (4, half_normal(0.5)),
    "ES16": (50, half_normal(4)),
    "ES18": (88, half_normal(44)),
    "ES21": (100, half_normal(2.5)),
    "ES24": (10, half_normal(2.5)),
}


@pytest.fixture(scope="module")
def fits(reference):
    """The random-effects model fitted to the data of each reference."""
    out = {}
    for name, (mu_sd, tau) in NORMAL_NORMAL.items():
        data = json.loads(reference[name]["input"])
        if "sigma" in data:
            v = data["sigma"] ** 2 / np.array(data["n"])
        else:
            v = np.array(data["v"]) if "v" in data else np.square(data["se"])
        out[name] = pooled(data["y"], v, mu_sd, tau)
    return out


@pytest.mark.parametrize("name", NORMAL_NORMAL)
def test_reference_normal_normal_hierarchies(reference, fits, name):
    gold, found = reference[name]["expected"]["gold"], fits[name]
    assert_equals(found.parameter("tau"), gold["tau"])
    assert_equals(found.coefficient("mu"), gold["mu"])
    for new in {"new", "MAP(new)"} & set(gold):
        assert_equals(found.new_study(), gold[new])
    if "logml" in gold:
        assert abs(found.log_marginal - gold["logml"]) < PRINTED


def test_reference_tail_probabilities(reference, fits):
    gold, found = reference["ES07"]["expected"]["gold"], fits["ES06"]
    assert abs(found.coefficient("mu").above() - gold["P(mu>0)"]) < 1e-8
    assert abs(found.new_study().above() - gold["P(new>0)"]) < 1e-8
    assert abs(1 - found.parameter("tau").cdf(1.0) - gold["P(tau>1)"]) < 1e-8
    assert abs(fits["ES16"].new_study().above() - reference["ES16"]["expected"]["gold"]["P(new>0)"]) < 1e-8
    assert abs(fits["ES01"].coefficient("mu").above() - reference["ES01"]["expected"]["gold"]["P(mu>0)"]) < 1e-8
    gold, found = reference["ES24"]["expected"]["gold"], fits["ES24"]
    assert abs(found.coefficient("mu").above() - gold["p_mu_gt_0"]) < 1e-8
    assert abs(found.new_study().above() - gold["p_new_gt_0"]) < 1e-8
    assert abs(found.new_study().above(2.0) - gold["p_new_gt_2"]) < 1e-8


def test_reference_figures_that_bayesmeta_prints(reference, fits):
    """Its tau is exact to all its digits; its mu and its new study carry the error of its grid, as the source says."""
    printed, found = reference["ES06"]["expected"]["published"], fits["ES06"]
    assert_equals(found.parameter("tau"), {k: v for k, v in printed["tau"].items() if k != "mode"}, 1e-6)
    assert_equals(found.parameter("tau"), {"mode": printed["tau"]["mode"]}, 1e-5)  # of a numerical search
    assert_equals(found.coefficient("mu"), printed["mu"], 1e-3)
    assert_equals(found.new_study(), printed["new"], 2e-3)
    assert abs(np.exp(found.log_marginal) / printed["marginal_likelihood"] - 1) < 1e-6
    more, tau = reference["ES07"]["expected"]["published"], found.parameter("tau")
    assert abs(tau.quantile(0.99) - more["tau_q99"]) < 1e-6
    for p, value in zip((0.005, 0.995), more["tau_eti99"], strict=True):
        assert abs(tau.quantile(p) - value) < 1e-6


def test_reference_flat_mean_given_tau(reference):
    data, expected = json.loads(reference["ES10"]["input"]), reference["ES10"]["expected"]
    found = posterior(linear_model(data["y"], data["v"], {"mu": 1.0}, None, expected["tau"])).coefficient("mu")
    assert abs(found.mean - expected["mu"]) < 1e-6
    assert abs(found.sd - expected["se"]) < 1e-6


@pytest.mark.parametrize(
    ("name", "tau"),
    [
        ("HalfCauchy(0.5)", HalfCauchy(dist="half_cauchy", scale=0.5)),
        ("DuMouchel", DuMouchel(dist="du_mouchel")),
        ("uniform", ImproperUniform(dist="improper_uniform")),
        ("Jeffreys", Jeffreys(dist="jeffreys")),
        ("shrinkage", UniformShrinkage(dist="uniform_shrinkage")),
    ],
)
def test_reference_priors_of_tau(reference, name, tau):
    data = json.loads(reference["ES11"]["input"])
    median, mean, sd = reference["ES11"]["expected"]["tau_median,mu_mean,mu_sd by tau prior"][name]
    found = pooled(data["y"], data["v"], 4, tau)
    assert abs(found.parameter("tau").quantile(0.5) - median) < PRINTED
    assert abs(found.coefficient("mu").mean - mean) < 2e-3  # the grid of the source
    assert abs(found.coefficient("mu").sd - sd) < 2e-3


def test_reference_two_groups(reference):
    data, expected = json.loads(reference["ES14"]["input"]), reference["ES14"]["expected"]
    first = np.array([1, 0, 1, 0, 0, 0])
    model = linear_model(data["y"], data["v"], {"daclizumab": first, "basiliximab": 1 - first}, None, half_normal(0.5))
    found, gold = posterior(model), expected["gold"]
    assert_equals(found.parameter("tau"), gold["tau"])
    for name in ("daclizumab", "basiliximab"):
        assert_equals(found.coefficient(name), gold[name])


def roberge() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return log odds ratio, variance, dose in mg and whether aspirin began early, of 40 trials."""
    with (HERE / "reference" / "roberge2017_preeclampsia.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    y, v, dose = (np.array([float(row[name]) for row in rows]) for name in ("yi", "vi", "dose"))
    return y, v, dose, np.array([row["onset"] == "up to wk 16" for row in rows])


def test_reference_flat_slope_and_flat_tau(reference):
    y, v, dose, early = roberge()
    flat, expected = ImproperUniform(dist="improper_uniform"), reference["ES15"]["expected"]
    found, gold = posterior(linear_model(y, v, {"intercept": 1.0, "slope": dose}, None, flat)), expected["gold"]
    assert abs(found.parameter("tau").quantile(0.5) - gold["tau_median"]) < PRINTED
    assert_equals(found.parameter("tau"), {"eti95": gold["tau_eti95"]})
    assert_equals(found.coefficient("intercept"), gold["intercept"])
    assert_equals(found.coefficient("slope"), gold["slope"])
    columns = {"early": early, "late": ~early, "dose_early": early * dose, "dose_late": ~early * dose}
    found = posterior(linear_model(y, v, columns, None, flat))
    for name in ("early", "late"):
        assert_equals(found.coefficient(f"dose_{name}"), expected["two_group_slopes"][name], 1e-4)


def test_reference_linear_dose_response(reference):
    with (HERE / "reference" / "ari.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    y, covariance, dose, study = [], np.zeros((13, 13)), [], []
    for name in dict.fromkeys(row["id"] for row in rows):
        zero, *arms = [{k: float(row[k]) for k in ("dose", "y", "sd", "n")} for row in rows if row["id"] == name]
        variance = sum((a["n"] - 1) * a["sd"] ** 2 for a in (zero, *arms)) / sum(a["n"] - 1 for a in (zero, *arms))
        block = slice(len(y), len(y) + len(arms))
        covariance[block, block] = variance * (1 / zero["n"] + np.diag([1 / a["n"] for a in arms]))
        y += [a["y"] - zero["y"] for a in arms]
        dose += [a["dose"] for a in arms]
        study += [name] * len(arms)
    model = linear_model(y, covariance, {"slope": 1.0}, None, half_normal(0.3), study=study, shape=np.array(dose))
    found, gold = posterior(model), reference["ES26"]["expected"]["gold"]
    assert_equals(found.parameter("tau"), gold["tau"])
    assert_equals(found.coefficient("slope"), gold["slope"])
    assert_equals(found.new_study(), gold["slope_new_study"])


PRIMARY = Selection(default_use=["primary"])
CORD_BLOOD = Selection(default_use=["primary"], cell_class=["TNC_MNC"], route=["IV", "IV/IA"])


@pytest.fixture(scope="module")
def evidence():
    """The contrasts of the quick start with every reading, and those of cord blood as tabled."""
    tables = read_tables()
    return {
        "quickstart_one_mean": read_contrasts(select_contrasts(tables, PRIMARY), tables, "average"),
        "cord_blood": read_contrasts(select_contrasts(tables, CORD_BLOOD), tables, "as_tabled"),
    }


def relative_errors(found, gold, amplitude: str, names: tuple) -> dict[str, float]:
    """Return by how much mean and sd of each parameter, and tail probabilities of the amplitude, differ."""
    ours, theirs = {}, {}
    for name in (*names, amplitude):
        ours[name, "mean"], ours[name, "sd"] = found.moments(name)
        theirs[name, "mean"], theirs[name, "sd"] = gold.moments(None if name == amplitude else name)
    ours["P > 0"], theirs["P > 0"] = found.coefficient(amplitude).above(), gold.effect(heterogeneity=False).above()
    ours["P new > 0"], theirs["P new > 0"] = found.new_study().above(), gold.effect(heterogeneity=True).above()
    ours["log_marginal"], theirs["log_marginal"] = found.log_marginal, gold.log_marginal
    return {key: abs(ours[key] / theirs[key] - 1) for key in ours}


@pytest.mark.parametrize(
    ("name", "amplitude", "ed50", "shape", "points", "own_error"),
    [
        ("loglinear", "slope", None, lambda d, _: np.log10(1 + d / 1e7), (64, 40, 1), 1e-6),
        # the SD of ed50 hangs on its long tail: 120 nodes in the scale of the prior give it to 6e-6, 60 to 4e-5
        ("emax", "emax", stats.lognorm(s=1, scale=3e7), lambda d, ed50: d / (ed50 + d), (60, 36, 60), 5e-5),
    ],
)
def test_reference_dose_curves_equal_dense_quadrature(evidence, name, amplitude, ed50, shape, points, own_error):
    data = evidence["cord_blood"]
    found = posterior(structure(read_model(ModelChoice(name=name)), data))
    dose = data["dose"].values
    gold = dense(
        *(data.isel(reading=0)[v].values for v in ("effect", "covariance", "study", "gmfm66")),
        amplitude_sd=10,
        tau=TAU,
        r=RATIO,
        ed50=ed50,
        shape=lambda nodes: shape(dose, nodes),
        points=points,
    )
    errors = relative_errors(found, gold, amplitude, ("tau", "r", *(("ed50",) if ed50 else ())))
    assert errors.pop(("ed50", "sd"), 0.0) < own_error
    assert max(errors.values()) < 2e-6, errors


@pytest.fixture(scope="module")
def quickstart(evidence):
    """The exact posterior of the quick start, over all readings."""
    return posterior(structure(read_model(ModelChoice(name="random_effects")), evidence["quickstart_one_mean"]))


@pytest.mark.slow
def test_reference_the_quick_start_over_its_readings_equals_dense_quadrature(evidence, quickstart):
    # 16 x 10 nodes and 9 for an unknown error differ from 40 x 30 and 17 by up to 3.5e-4, which take a minute
    gold = over_readings(
        evidence["quickstart_one_mean"], amplitude_sd=10, tau=TAU, r=RATIO, points=(16, 10, 1), hermite=9
    )
    errors = relative_errors(quickstart, gold, "mu", ("tau", "r"))
    assert max(errors.values()) < 5e-4, errors


@pytest.mark.parametrize(("points", "limit"), [(13, 1e-6), pytest.param(9, 1e-5, marks=pytest.mark.slow)], ids=str)
def test_reference_more_points_for_unknown_errors_change_nothing(quickstart, monkeypatch, points, limit):
    """13 for two parameters or fewer, 9 for three: against 23, in sd of the distribution."""
    few, many = (_with_sizes(monkeypatch, quickstart.prepared.structure, n) for n in (points, 23))
    assert abs(few.log_marginal - many.log_marginal) < 3 * limit
    pairs = [(few.coefficient("mu"), many.coefficient("mu")), (few.new_study(), many.new_study())]
    for ours, theirs in pairs:
        for p in (0.025, 0.5, 0.975):
            assert abs(ours.quantile(p) - theirs.quantile(p)) < limit * theirs.sd


@pytest.mark.parametrize("left", [pytest.param("Sun2017", marks=pytest.mark.slow), "Huang2018"])
def test_a_fit_that_starts_from_another_is_the_same(evidence, quickstart, left):
    """Without a study, from the fit with it; with a wider prior of tau, from that of the narrower one."""
    data = evidence["quickstart_one_mean"]
    others = without(quickstart.prepared.structure, data, data["study"].values == left)
    wide = quickstart.prepared.structure
    wide = replace(wide, parameters=wide.parameters | {"tau": half_normal(6).given(data["se"].values[0])})
    for model in (others, wide):
        near, alone = posterior(model, near=quickstart), posterior(model)
        assert near.log_marginal == pytest.approx(alone.log_marginal, abs=1e-6)
        assert near.parameter("tau").quantile(0.975) == pytest.approx(alone.parameter("tau").quantile(0.975), rel=1e-6)
        for p in (0.025, 0.5, 0.975):
            assert abs(near.new_study().quantile(p) - alone.new_study().quantile(p)) < 1e-6 * alone.new_study().sd


def _with_sizes(monkeypatch, model, points):
    effort = EFFORT[len(model.parameters)]._replace(sizes=points)
    monkeypatch.setattr("gmfmsim.model.exact.exact_posterior.EFFORT", {len(model.parameters): effort})
    return posterior(model)


@pytest.mark.parametrize("narrowest", [0.3, 0.0])
def test_known_quantiles_of_very_many_components(narrowest):
    rng = np.random.default_rng(3)
    weight = rng.dirichlet(np.ones(10 * MANY))
    sds = narrowest + rng.gamma(2, 0.5, weight.size) * (rng.random(weight.size) > 0.01)
    mixture = NormalMixture(weight, rng.normal(1, 1, weight.size), np.maximum(sds, narrowest))
    small = on_grids(mixture)
    assert small.weight.size < mixture.weight.size / 3
    np.testing.assert_allclose((small.mean, small.sd), (mixture.mean, mixture.sd), rtol=1e-9)
    for p in (0.001, 0.3, 0.975):
        x = mixture.quantile(p)
        assert abs(mixture.cdf(x) / p - 1) < 1e-9
        assert abs(small.cdf(x) - p) < 1e-8


def test_known_quantiles_of_very_many_components_that_no_grid_makes_fewer():
    k = MANY + 1  # narrow and far apart
    mixture = NormalMixture(np.full(k, 1 / k), 10.0 * np.arange(k), np.ones(k))
    assert on_grids(mixture).weight.size == k
    for p in (0.025, 0.5, 0.975):
        assert mixture.cdf(mixture.quantile(p)) == pytest.approx(p, rel=1e-9)
        assert abs(mixture.quantile(p) - p * 10 * k) < 10


def test_reference_an_unknown_standard_error_equals_dense_quadrature():
    data = contrasts_from_arrays([3.2, 7.1, 1.4, 5.9], np.array([1.2, 2, 1.5, 2.5]) ** 2)
    data["log_se_sd"].values[0] = [0.0, 0.4, 0.0, 0.0]
    found = posterior(structure(read_model(ModelChoice(name="random_effects")), data))
    gold = over_readings(data, amplitude_sd=10, tau=TAU, points=(100, 1, 1), hermite=41)
    errors = relative_errors(found, gold, "mu", ("tau",))
    assert max(errors.values()) < 1e-6, errors


def test_known_states_of_the_quick_start_keep_their_probabilities(quickstart):
    for share in state_probability(quickstart):
        assert abs(share.sum() - 1) < 1e-9


@pytest.mark.parametrize(
    ("model", "amplitude"), [("loglinear", "slope"), pytest.param("emax", "emax", marks=pytest.mark.slow)]
)
def test_recovery_of_the_exact_figures_from_draws(evidence, model, amplitude):
    found = posterior(structure(read_model(ModelChoice(name=model)), evidence["cord_blood"]))
    size, rng = 40_000, np.random.default_rng(1)
    phi, coefficients = found.draws(rng.random((size, len(found.prepared.names) + 1)), rng.standard_normal((size, 1)))
    for name, values in {**phi, amplitude: coefficients[:, 0]}.items():
        mean, sd = found.moments(name)
        assert abs(values.mean() - mean) < 4 * sd / np.sqrt(size), name
        fourth = np.mean((values - mean) ** 4)
        assert abs(values.var() - sd**2) < 4 * np.sqrt((fourth - sd**4) / size), name
        marginal = found.coefficient(name) if name == amplitude else found.parameter(name)
        for p in (0.025, 0.5, 0.975):
            assert abs(np.mean(values <= marginal.quantile(p)) - p) < 4 * np.sqrt(p * (1 - p) / size), (name, p)
    weight, means = found.weight, found.coefficient(amplitude).means
    for name, values in phi.items():
        at_nodes, (mean, sd) = found.phi[name][found.node], found.moments(name)
        expected = (
            weight @ ((at_nodes - mean) * (means - found.moments(amplitude)[0])) / sd / found.moments(amplitude)[1]
        )
        # the nodes integrate the covariance as they do a mean; 4 standard errors of a correlation
        assert abs(np.corrcoef(values, coefficients[:, 0])[0, 1] - expected) < 4 * (1 - expected**2) / np.sqrt(size)


SMALL = st.lists(st.tuples(st.floats(-6, 9), st.floats(0.5, 4)), min_size=3, max_size=7)


def figures(found) -> np.ndarray:
    mu, new = found.coefficient("mu"), found.new_study()
    return np.array([mu.mean, mu.sd, new.sd, *found.moments("tau"), *mu.interval()])


@settings(max_examples=examples(8, 20), deadline=None)
@given(SMALL, st.floats(0.01, 1000))
def test_known_scaling_data_errors_and_priors_scales_the_answer(data, scale):
    y, se = np.array(data).T
    one = pooled(y, se**2, 10, half_normal(2))
    other = pooled(scale * y, (scale * se) ** 2, 10 * scale, half_normal(2 * scale))
    np.testing.assert_allclose(figures(other), scale * figures(one), rtol=1e-7, atol=1e-9 * scale)
    assert abs(other.coefficient("mu").above() - one.coefficient("mu").above()) < 1e-9
    assert abs(other.log_marginal + y.size * np.log(scale) - one.log_marginal) < 1e-8


@settings(max_examples=examples(8, 20), deadline=None)
@given(SMALL, st.floats(-100, 100))
def test_known_a_study_with_a_huge_error_changes_nothing(data, more):
    y, se = np.array(data).T
    one = pooled(y, se**2, 10, half_normal(2))
    other = pooled(np.append(y, more), np.append(se, 1e7) ** 2, 10, half_normal(2))
    # the median standard error, and with it the nodes, are others: what differs is the error of both
    np.testing.assert_allclose(figures(other), figures(one), rtol=1e-6, atol=1e-9)


@settings(max_examples=examples(8, 20), deadline=None)
@given(SMALL, st.randoms())
def test_known_the_order_of_contrasts_does_not_matter(data, random):
    shuffled = random.sample(data, len(data))
    one, other = (pooled(y, se**2, 10, half_normal(2)) for y, se in (np.array(data).T, np.array(shuffled).T))
    np.testing.assert_allclose(figures(other), figures(one), rtol=1e-9, atol=1e-11)
    assert abs(other.log_marginal - one.log_marginal) < 1e-9


@settings(max_examples=examples(5, 10), deadline=None)
@given(SMALL, SMALL)
def test_known_log_marginals_of_independent_data_add_up(first, second):
    """Two groups with a coefficient each and tau known share nothing."""
    parts = []
    for data in (first, second):
        y, se = np.array(data).T
        parts.append(posterior(linear_model(y, se**2, {"mu": 1.0}, normal(10), 1.5)).log_marginal)
    y, se = np.array(first + second).T
    own = np.arange(y.size) < len(first)
    both = posterior(linear_model(y, se**2, {"one": own, "other": ~own}, normal(10), 1.5))
    assert abs(both.log_marginal - sum(parts)) < 1e-9
