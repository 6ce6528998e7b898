"""The terms of a model: each recovers what was planted, alone and together, or is refused by name."""

import math
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import halfnorm, multivariate_normal

from gmfmsim.evidence.contrasts import contrasts_from_arrays
from gmfmsim.model.curves import CURVES
from gmfmsim.model.declare import ModelSpec
from gmfmsim.model.engine import fit
from gmfmsim.model.exact import Refused, fit_exact, refusal
from gmfmsim.model.nuts import Sampler
from gmfmsim.model.structure import not_known, structure
from gmfmsim.model.terms import TERMS, covariate, route

WIDE = {"dist": "normal", "mean": 0, "sd": 10}
SCALE = {"dist": "half_normal", "sd": 3}
PRIORS = {
    "mu": WIDE,
    "slope": WIDE,
    "emax": WIDE,
    "ed50": {"dist": "lognormal", "median": 3e7, "sigma": 1},
    "hill": {"dist": "lognormal", "median": 1, "sigma": 0.5},
    "tau": SCALE,
    "nu": {"dist": "gamma", "shape": 2, "rate": 0.1},
    "r": {"dist": "uniform", "lower": 0.2, "upper": 1.5},
    "tau_class": SCALE,
    "tau_group": SCALE,
    "tau_arm": SCALE,
    "rho": {"dist": "uniform", "lower": 0, "upper": 1},
    "rise": {"dist": "lognormal", "median": 2, "sigma": 0.8},
    "peak": {"dist": "uniform", "lower": 0, "upper": 24},
    "decline": {"dist": "lognormal", "median": 60, "sigma": 0.8},
} | dict.fromkeys(
    (
        "route_effect",
        "month_effect",
        "age_slope",
        "gmfcs_slope",
        "claimed_age_slope",
        "design_bias",
        "small_study",
        "infusions_slope",
        "epo_effect",
    ),
    WIDE,
)
TRUTH = {
    "mu": 2.0,
    "slope": 2.5,
    "tau": 1.0,
    "class_effect": {"MSC": 1.5, "TNC_MNC": -1.0, "neural": 0.3},
    "route_effect": 1.7,
    "tau_group": 2.0,
    "tau_arm": 0.9,
    "month_effect": -1.2,
    "rho": 0.6,
    "age_slope": -0.4,
    "gmfcs_slope": 0.8,
    "infusions_slope": 1.1,
    "epo_effect": -0.9,
    "design_bias": 1.4,
    "small_study": 6.0,
    "r": 0.5,
}


def model(curve="constant", terms=(), heterogeneity="normal", **changed):
    """A model with wide priors."""
    names = [CURVES[curve].amplitude, *CURVES[curve].nonlinear, "tau", "r"] + ["nu"] * (heterogeneity == "student_t")
    names += [name for term in terms for name in TERMS[term].priors]
    priors = {name: changed.get(name, PRIORS[name]) | {"unit": "u", "reason": "wide"} for name in names}
    declared = {"title": "t", "curve": curve, "terms": list(terms), "heterogeneity": heterogeneity, "priors": priors}
    return ModelSpec.model_validate(declared)


def evidence(seed, terms=(), *, curve="constant", studies=40, arms=1, months=(12.0,), se=0.5, scales=False, nu=None):
    """Studies by the formulas of the terms, term by term: every study has `arms` treated arms against one control.

    The covariance is that of a shared control (half of the variance), times 0.5 between months.
    """
    rng = np.random.default_rng(seed)
    labels = list(TRUTH["class_effect"])
    country_effect = rng.normal(0, TRUTH["tau_group"], 15)
    rows, visits = [], list(product(range(arms), months))
    study_sd = np.sqrt(TRUTH["rho"]) if "months" in terms else 1.0
    for i in range(studies):
        z = rng.standard_normal() if nu is None else rng.standard_t(nu)
        visit = {m: rng.normal(0, TRUTH["tau"] * np.sqrt(1 - TRUTH["rho"])) if "months" in terms else 0 for m in months}
        arm_effect = rng.normal(0, TRUTH["tau_arm"], arms)
        age, gmfcs, randomised, country = rng.uniform(1, 12), rng.uniform(1, 5), rng.random() < 0.5, i % 15
        cells = [labels[rng.integers(3)] for _ in range(arms)]
        ways = [["IV", "IV/IA", "IT", "IV+IT"][rng.integers(4)] for _ in range(arms)]
        doses, small = 10 ** rng.uniform(6.5, 8.5, arms), rng.uniform(0.15, 0.5)
        gmfm66 = not scales or bool(i % 2)
        for a, month in visits:
            true_dose = doses[a] * 10 ** (0.3 * rng.standard_normal()) if "dose_error" in terms else doses[a]
            shape = float(CURVES[curve].shape(true_dose))
            amplitude = TRUTH[CURVES[curve].amplitude] + TRUTH["tau"] * study_sd * z + visit[month]
            amplitude += TRUTH["class_effect"][cells[a]] * ("cell_class" in terms)
            amplitude += TRUTH["route_effect"] * ("route" in terms and ways[a] in ("IT", "IV+IT"))
            amplitude += country_effect[country] * ("group" in terms)
            amplitude += arm_effect[a] * ("arms" in terms)
            amplitude += TRUTH["month_effect"] * ("months" in terms and month == 6)
            amplitude += TRUTH["age_slope"] * (age - 4) * ("age" in terms)
            amplitude += TRUTH["gmfcs_slope"] * (gmfcs - 3) * ("gmfcs" in terms)
            amplitude += TRUTH["infusions_slope"] * np.log2(1 + i % 6) * ("infusions" in terms)
            theta = amplitude * shape
            theta += TRUTH["epo_effect"] * (i % 3 - 1) * ("epo" in terms)
            theta += TRUTH["design_bias"] * ("design_bias" in terms and not randomised)
            theta += TRUTH["small_study"] * small * ("small_study" in terms)
            row = {"study": f"s{i}", "arm": f"s{i}a{a}", "month": month, "dose": doses[a], "cell_class": cells[a]}
            row |= {
                "age": age,
                "gmfcs": gmfcs,
                "claimed_age": gmfcs / 5,
                "randomised": randomised,
                "country": f"c{country:02}",
                "infusions": 1.0 + i % 6,
                "epo": i % 3 - 1.0,
            }
            row |= {"route": ways[a], "small_study": small, "log10_dose_sd": 0.3}
            rows.append(row | {"theta": theta / (1.0 if gmfm66 else TRUTH["r"]), "gmfm66": gmfm66})
    column = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    arm = np.array([a for a, _ in visits])
    when = np.array([m for _, m in visits])
    one = np.where(arm[:, None] == arm, 1.0, 0.5) * np.where(when[:, None] == when, 1.0, 0.5)
    covariance = np.kron(np.eye(studies), se**2 * one)
    effect = column.pop("theta") + rng.multivariate_normal(np.zeros(len(rows)), covariance, method="cholesky")
    study, dose, gmfm66 = list(column.pop("study")), column.pop("dose"), column.pop("gmfm66")
    return contrasts_from_arrays(effect, covariance, study=study, dose=dose, gmfm66=gmfm66, covariates=column)


def linear(exact, **loading):
    """Mean and sd of a sum of coefficients: variable = weight, or a mapping of labels to weights."""
    weights = []
    for c in exact.prepared.structure.coefficients:
        given = loading.get(c.variable, 0.0)
        weights.append(given.get(c.label, 0.0) if isinstance(given, dict) else given)
    mixture = exact.linear(np.array(weights))
    return mixture.mean, mixture.sd


def recovers(found, truth, sd_below):
    """Hold a posterior to the truth within 3 sd, and its sd below what would say nothing."""
    mean, sd = found
    assert sd < sd_below
    assert abs(mean - truth) < 3 * sd


@pytest.mark.parametrize(
    ("terms", "how", "wanted"),
    [
        ((), {"arms": 3}, {"mu": 0.25, "tau": 0.2}),
        ((), {"scales": True}, {"r": 0.12, "mu": 0.35, "tau": 0.35}),
        (("route",), {}, {"route_effect": 0.5, "mu": 0.4}),
        (("group",), {"studies": 60}, {"tau_group": 0.6, "tau": 0.2}),
        (("arms",), {"arms": 3}, {"tau_arm": 0.15, "tau": 0.25}),
        (("months",), {"months": (6.0, 12.0)}, {"month_effect": 0.25, "rho": 0.15, "tau": 0.2}),
        (("age",), {}, {"age_slope": 0.08, "mu": 0.35}),
        (("gmfcs",), {}, {"gmfcs_slope": 0.25, "mu": 0.35}),
        (("infusions",), {}, {"infusions_slope": 0.4, "mu": 0.6}),
        (("epo",), {}, {"epo_effect": 0.35, "mu": 0.4}),
        (("design_bias",), {}, {"design_bias": 0.5, "mu": 0.4}),
        (("small_study",), {"studies": 60}, {"small_study": 2.0}),
        (("small_study", "design_bias"), {"curve": "log_linear", "studies": 60}, {"slope": 0.6, "design_bias": 0.6}),
    ],
    ids=lambda value: "+".join(value) or "none" if isinstance(value, tuple) else None,
)
def test_recovery_of_terms(terms, how, wanted):
    data = evidence(sum(map(ord, "".join(terms))), terms, **how)
    exact = fit_exact(model(how.get("curve", "constant"), terms), data)
    for name, sd_below in wanted.items():
        label = {"route_effect": "other", "month_effect": 6.0}.get(name)
        coefficient = exact.coefficient(name, label) if label else None
        found = (coefficient.mean, coefficient.sd) if label else exact.moments(name)
        recovers(found, TRUTH[name], sd_below)


def test_recovery_of_cell_classes():
    """The mean of every class, and the differences; tau_class is known from three classes only."""
    exact = fit_exact(model(terms=["cell_class"]), evidence(1, ["cell_class"], studies=60))
    effects = TRUTH["class_effect"]
    for name, effect in effects.items():
        recovers(linear(exact, mu=1, class_effect={name: 1}), TRUTH["mu"] + effect, 0.4)
    recovers(linear(exact, class_effect={"MSC": 1, "TNC_MNC": -1}), effects["MSC"] - effects["TNC_MNC"], 0.5)
    assert linear(exact, mu=1)[1] > 0.8


def test_recovery_of_five_terms_at_once():
    terms = ["cell_class", "route", "age", "design_bias", "small_study"]
    data = evidence(2, terms, studies=60, arms=2)
    exact = fit_exact(model(terms=terms), data)
    recovers(linear(exact, route_effect=1), TRUTH["route_effect"], 0.4)
    recovers(linear(exact, age_slope=1), TRUTH["age_slope"], 0.1)
    recovers(linear(exact, design_bias=1), TRUTH["design_bias"], 0.6)
    recovers(linear(exact, small_study=1), TRUTH["small_study"], 2.5)
    recovers(linear(exact, class_effect={"MSC": 1, "TNC_MNC": -1}), 2.5, 0.5)
    recovers(exact.moments("tau"), TRUTH["tau"], 0.3)


FEW = Sampler(chains=2, draws=500, tune=500)


@pytest.fixture(scope="module")
def sampled():
    """The posterior by sampling of doses known within a factor of two."""
    unsure, doses = evidence(4, ["dose_error"], curve="log_linear", studies=60), model("log_linear", ["dose_error"])
    return SimpleNamespace(unsure=unsure, doses=fit(doses, unsure, FEW, 1).tree)


def moments(tree, name):
    values = tree["posterior"][name].values
    return values.mean(), values.std()


@pytest.mark.slow
def test_recovery_of_student_t_effects():
    """Studies with outliers."""
    far = evidence(3, studies=60, se=0.3, nu=2)
    found = fit(model(heterogeneity="student_t", nu={"dist": "gamma", "shape": 2, "rate": 0.1}), far, FEW, 1).tree
    recovers(moments(found, "mu"), TRUTH["mu"], 0.3)
    recovers(moments(found, "tau"), TRUTH["tau"], 0.4)
    nu = found["posterior"]["nu"]
    assert nu.mean() < 7  # 20 before the data
    assert float((nu < 2).mean()) > 0.02
    normal = fit_exact(model(), far)
    assert normal.moments("tau")[0] > 1.5 * moments(found, "tau")[0]
    study = found["posterior"]["study_mu"].mean(("chain", "draw"))
    np.testing.assert_allclose(study, far["effect"].isel(reading=0), atol=0.5)  # se 0.3 against scatter of 1 and more


@pytest.mark.slow
def test_recovery_with_an_error_in_dose(sampled):
    recovers(moments(sampled.doses, "slope"), TRUTH["slope"], 0.3)
    recovers(moments(sampled.doses, "tau"), TRUTH["tau"], 0.3)
    without = fit_exact(model("log_linear"), sampled.unsure)
    assert without.moments("tau")[0] > moments(sampled.doses, "tau")[0]  # errors pass for scatter
    offset = sampled.doses["posterior"]["dose_offset"]
    assert offset.sizes["contrast"] == 60
    assert 0.5 < float(offset.std()) <= 1.1


@pytest.mark.slow
def test_known_effects_at_doses_with_an_error(sampled):
    """theta = study slope x log10(1 + reported dose x 10^(sd e) / 1e7) at every draw."""
    group, data = sampled.doses["posterior"], sampled.unsure
    dose = data["dose"].values * 10 ** (0.3 * group["dose_offset"].values)
    expected = group["study_slope"].values * np.log10(1 + dose / 1e7)
    np.testing.assert_allclose(group["theta"].values, expected, rtol=1e-9)


def test_a_curve_takes_unknown_doses_as_numbers_draws_and_variables():
    import pytensor
    import pytensor.tensor as pt

    parameters = {"ed50": 3e7, "threshold": 3e7, "hill": 0.7, "delta": 6e7, "bend": -0.3}
    parameters |= {"stick_1": 0.4, "stick_2": 0.3}
    offset = np.array([[-1.0, 0.5, 0.0], [2.0, -0.1, 0.3]])
    doses = np.array([1e6, 5e7, 6e8]) * 10**offset
    variable = pt.dvector("dose")
    curves = {name: c for name, c in CURVES.items() if c.uses_dose}
    values = [c.shape(variable, *(parameters[p] for p in c.nonlinear)) for c in curves.values()]
    slopes = [pytensor.grad(value.sum(), variable) for value in values]
    run = pytensor.function([variable], [*values, *slopes], mode="FAST_COMPILE")
    for row in range(2):
        out = run(doses[row])
        for (name, c), found, slope in zip(curves.items(), out[: len(curves)], out[len(curves) :], strict=True):
            given = [parameters[p] for p in c.nonlinear]
            by_dose = np.array([float(c.shape(d, *given)) for d in doses[row]])
            np.testing.assert_allclose(found, by_dose, rtol=1e-13, err_msg=name)
            draws = c.shape(doses, *(np.full((2, 1), p) for p in given))
            np.testing.assert_allclose(draws[row], by_dose, rtol=1e-13, err_msg=name)
            up, down = (c.shape(doses[row] * (1 + s), *given) for s in (1e-6, -1e-6))
            np.testing.assert_allclose(slope * doses[row], (up - down) / 2e-6, rtol=1e-5, atol=1e-9, err_msg=name)


def test_known_contrasts_between_two_doses_with_an_error():
    """Only the treated arm's dose is unsure: f(dose 10^(sd e)) - f(control dose)."""
    from gmfmsim.model.nuts import with_doses

    data = evidence(5, studies=2, arms=2, curve="log_linear").assign(control_dose=("contrast", [0.0, 1e7, 0.0, 3e7]))
    spec, e = model("log_linear", ["dose_error"]), np.array([[0.0, 1.0, -1.0, 2.0]])
    found = with_doses(structure(spec, data), spec, data).shape({"dose_offset": e})
    expected = np.log10(1 + data["dose"].values * 10 ** (0.3 * e[0]) / 1e7) - np.log10([1, 2, 1, 4])
    np.testing.assert_allclose(found[0], expected, rtol=1e-12)


# the exact engine against brute force


def test_known_posterior_by_brute_force():
    """tau and tau_class on a dense grid of Gauss-Legendre points, all else by the multivariate normal density."""
    effect = np.array([1.0, 3.2, -0.4, 4.5, 2.2])
    variances = np.array([0.8, 1.1, 0.6, 1.9, 0.7])
    covariance = np.diag(variances)
    covariance[0, 1] = covariance[1, 0] = 0.4  # a shared control
    study, cells = ["a", "a", "b", "c", "d"], ["MSC", "TNC_MNC", "TNC_MNC", "MSC", "TNC_MNC"]
    age, randomised = np.array([3.0, 3.0, 6.0, 8.0, 2.5]), np.array([1, 1, 0, 1, 0])
    covariates = {"cell_class": cells, "age": age, "randomised": randomised}
    data = contrasts_from_arrays(effect, covariance, study=study, covariates=covariates)
    spec = model(terms=["cell_class", "age", "design_bias"], tau={"dist": "half_normal", "sd": 2})
    exact = fit_exact(spec, data)

    fixed = np.column_stack([np.ones(5), age - 4, 1 - randomised])  # each coefficient ~ Normal(0, 10)
    of_class = np.equal.outer(cells, ["MSC", "TNC_MNC"]).astype(float)
    same_study = np.equal.outer(study, study).astype(float)
    x, w = np.polynomial.legendre.leggauss(64)
    log_p, means, seconds, taus = [], [], [], []
    for (t, t_weight), (s, s_weight) in product(
        zip(9 * (x + 1), 9 * w, strict=True), zip(14 * (x + 1), 14 * w, strict=True)
    ):
        within = covariance + t**2 * same_study + s**2 * of_class @ of_class.T
        total = within + 100 * fixed @ fixed.T
        prior = math.log(2 / math.pi / 6) - (t / 2) ** 2 / 2 - (s / 3) ** 2 / 2  # half-normal, scales 2 and 3
        density = -0.5 * (effect @ np.linalg.solve(total, effect) + np.linalg.slogdet(2 * np.pi * total)[1])
        log_p.append(density + prior + np.log(t_weight * s_weight))
        gain = np.linalg.solve(total, 100 * np.column_stack([fixed, s**2 / 100 * of_class]))
        means.append(gain.T @ effect)
        variance = np.append(np.full(3, 100.0), [s**2, s**2])
        loads = 100 * np.column_stack([fixed, s**2 / 100 * of_class])
        seconds.append(variance - (loads * gain).sum(axis=0) + means[-1] ** 2)
        taus.append((t, s))
    p = np.exp(np.array(log_p) - max(log_p))
    assert exact.log_marginal == pytest.approx(max(log_p) + np.log(p.sum()), abs=1e-6)
    p /= p.sum()
    mean, second = p @ np.array(means), p @ np.array(seconds)
    names = [
        ("mu", None),
        ("age_slope", None),
        ("design_bias", None),
        ("class_effect", "MSC"),
        ("class_effect", "TNC_MNC"),
    ]
    for i, (name, label) in enumerate(names):
        found = exact.coefficient(name, label)
        assert found.mean == pytest.approx(mean[i], abs=1e-6)
        assert found.sd == pytest.approx(np.sqrt(second[i] - mean[i] ** 2), abs=1e-6)
    assert [exact.moments(n)[0] for n in ("tau", "tau_class")] == pytest.approx(list(p @ np.array(taus)), abs=1e-6)


# what cannot be known


def test_the_exact_engine_says_why_it_refuses():
    data = evidence(6, studies=6, scales=True)
    flat = {"dist": "uniform", "lower": -5, "upper": 5}
    many = model("sigmoid_emax", ["cell_class", "arms", "group", "months"])
    for spec, reason in [
        (model(heterogeneity="student_t"), "Student-t"),
        (model("log_linear", ["dose_error"]), "error in dose"),
        (model(terms=["age"], age_slope=flat), "prior of age_slope"),
        (model(mu=flat), "prior of mu"),
        (many, r"8 non-linear parameters \(ed50, hill, tau, tau_class, tau_arm, tau_group, rho, r\): at most 7"),
    ]:
        with pytest.raises(Refused, match=reason):
            fit_exact(spec, data)
        assert "nuts" in refusal(spec, data)


@pytest.mark.parametrize("term", [term for term in TERMS if TERMS[term].needs])
def test_a_covariate_that_is_not_known_is_refused_by_name(term):
    data = evidence(7, studies=3)
    curve, needs = "log_linear" if term == "dose_error" else "constant", TERMS[term].needs
    what = f"the {needs.replace('_', ' ')}"
    spec = model(curve, [term])
    assert not_known(spec, data) == []
    without = data.drop_vars(needs)
    with pytest.raises(ValueError, match=rf"{what} is not known for s0 \[1\], s1 \[2\], s2 \[3\]"):
        structure(spec, without)
    values = data[needs].values
    holed = values.astype(object) if values.dtype.kind == "U" else values.astype(float)
    holed[1] = "" if values.dtype.kind == "U" else np.nan
    holed = data.assign({needs: ("contrast", holed.astype(str) if values.dtype.kind == "U" else holed)})
    assert not_known(spec, holed) == [(what, ["s1 [2]"])]


def test_known_routes():
    kinds = {"IV": "intravenous", "IV/IA": "intravenous", "IT": "other", "IV+IT": "other", "IT+IV+IM": "other"}
    kinds |= {"intraventricular": "other", "IT/intraparenchymal": "other", "intranasal": "other"}
    kinds |= {"unknown": "", "mixed": "", "": ""}
    assert {text: route(text) for text in kinds} == kinds
    data = evidence(8, studies=2).assign(route=("contrast", ["IV", "unknown"]))
    assert covariate(data, "route").tolist() == ["intravenous", ""]
    assert not_known(model(terms=["route"]), data) == [("the route", ["s1 [2]"])]


# what the contrasts tell nothing of


def test_known_one_route_leaves_its_prior_to_the_other():
    data = evidence(9, studies=12).assign(route=("contrast", ["IV"] * 12))
    spec = model(terms=["route"], route_effect={"dist": "normal", "mean": 0.5, "sd": 3})
    exact, plain = fit_exact(spec, data), fit_exact(model(), data)
    assert linear(exact, route_effect=1) == pytest.approx((0.5, 3.0), rel=1e-12)
    assert exact.log_marginal == pytest.approx(plain.log_marginal, abs=1e-9)
    assert exact.moments("mu") == pytest.approx(plain.moments("mu"), rel=1e-9)


def test_known_one_month_leaves_rho_its_prior():
    """Beta(2, 3): mean 0.4, sd 0.2. Without a second month tau^2 rho + tau^2 (1 - rho) is tau^2."""
    data = evidence(10, studies=12, arms=2)
    exact = fit_exact(model(terms=["months"], rho={"dist": "beta", "a": 2, "b": 3}), data)
    plain = fit_exact(model(), data)
    assert exact.moments("rho") == pytest.approx((0.4, 0.2), rel=1e-6)
    assert exact.log_marginal == pytest.approx(plain.log_marginal, abs=1e-6)
    assert exact.moments("tau") == pytest.approx(plain.moments("tau"), rel=1e-6)
    assert exact.moments("mu") == pytest.approx(plain.moments("mu"), rel=1e-6)


def test_one_cell_class_says_nothing_of_how_classes_differ():
    """The mean of the class is as without the term; tau_class keeps its prior (mu is wide, not flat)."""
    data = evidence(11, studies=12).assign(cell_class=("contrast", ["MSC"] * 12))
    exact, plain = fit_exact(model(terms=["cell_class"]), data), fit_exact(model(), data)
    assert linear(exact, mu=1, class_effect={"MSC": 1}) == pytest.approx(plain.moments("mu"), rel=0.01)
    prior = halfnorm(scale=3)
    assert exact.moments("tau_class") == pytest.approx((prior.mean(), prior.std()), rel=0.05)


def test_contrasts_of_one_study_name_share_its_effect_wherever_they_stand():
    """Three contrasts of the study a, in or out of order, have one study effect: log p(y) by the normal density."""
    effect, variances, study = np.array([3.0, -1.0, 2.5, 3.4]), np.array([0.5, 0.7, 0.9, 0.4]), ["a", "b", "a", "a"]
    x, w = np.polynomial.legendre.leggauss(200)
    tau, w = 12 * (x + 1), 12 * w
    total = np.diag(variances) + 100 + np.multiply.outer(tau**2, np.equal.outer(study, study))
    density = [
        multivariate_normal.pdf(effect, cov=c) * halfnorm.pdf(t, scale=3) for t, c in zip(tau, total, strict=True)
    ]
    for order in ([0, 1, 2, 3], [1, 3, 0, 2]):
        data = contrasts_from_arrays(effect[order], variances[order], study=[study[i] for i in order])
        assert fit_exact(model(), data).log_marginal == pytest.approx(np.log(w @ density), abs=1e-9)


def test_the_scale_of_standard_errors_does_not_move_a_prior_that_depends_on_them():
    """Effects of another scale count in GMFM-66 points at the median of r: 2 points there are 1 here."""
    prior = {"r": {"dist": "uniform", "lower": 0.4, "upper": 0.6}, "tau": {"dist": "du_mouchel"}}
    here = contrasts_from_arrays(np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 4.0]))
    there = contrasts_from_arrays(np.array([1.0, 4.0, 3.0]), np.array([1.0, 4.0, 4.0]), gmfm66=[True, False, True])
    medians = [float(structure(model(**prior), data).parameters["tau"].ppf(0.5)) for data in (here, there)]
    assert medians == pytest.approx([np.sqrt(3 / (1 + 1 + 1 / 4))] * 2)
