"""The course of an effect in time: its formula, its deviations, the exact engine on many parameters, what is asked."""

import numpy as np
import pytest
from conftest import committed
from scipy import integrate, stats

import gmfmsim
from gmfmsim.evidence.contrasts import Selection, at_last_month, contrasts_from_arrays, select_contrasts
from gmfmsim.evidence.read import read_tables
from gmfmsim.faults import InputError
from gmfmsim.files.shelf import find
from gmfmsim.files.toml import read_toml
from gmfmsim.model.average import Member
from gmfmsim.model.course import STATEMENTS, statements
from gmfmsim.model.curves import month_of_largest, time_course
from gmfmsim.model.declare import ModelChoice, ModelSpec, read_model
from gmfmsim.model.effect import Condition, effect_at
from gmfmsim.model.exact import fit_exact, posterior
from gmfmsim.model.exact.quadrature import EFFORT
from gmfmsim.model.gate import may_miss
from gmfmsim.model.structure import structure
from gmfmsim.streams import stream

HELD = {"rise": 3.0, "peak": 6.0, "decline": 40.0, "rho": 0.7}


def fixed(spec, name, value):
    return {"dist": "fixed", "value": value, "unit": spec.priors[name].unit, "reason": "held"}


def spec_of(held=(), **priors):
    """The shipped model, some of its parameters held at HELD."""
    spec = read_model(ModelChoice(name="course"))
    own = {
        name: {"dist": "fixed", "value": HELD[name], "unit": spec.priors[name].unit, "reason": "held"} for name in held
    }
    declared = spec.model_dump() | {"priors": {k: p.model_dump() for k, p in spec.priors.items()} | own | priors}
    return ModelSpec.model_validate(declared)


def visits(months, effects, se=1.0, study=None, correlation=0.7):
    """Contrasts on the GMFM-66 at months, of one study each by default; errors of one study correlate by lag."""
    months = np.array(months, float)
    study = study or [f"s{i}" for i in range(months.size)]
    same = np.array(study)[:, None] == np.array(study)
    lag = np.abs(np.log2(months)[:, None] - np.log2(months))
    covariance = np.where(same, correlation**lag, 0.0) * np.broadcast_to(se, months.shape) ** 2
    covariates = {"month": months, "route": np.full(months.size, "IV"), "arm": np.full(months.size, "a")}
    dose = np.full(months.size, 5e7)
    return contrasts_from_arrays(np.array(effects, float), covariance, study=study, dose=dose, covariates=covariates)


# the formula


def test_known_values_of_the_course():
    assert time_course(0.0, 2, 6, 40) == 0
    assert time_course(2.0, 2, 6, 40) == pytest.approx(1 - np.exp(-1), rel=1e-15)
    assert time_course(26.0, 2, 6, 40) == pytest.approx((1 - np.exp(-13)) * np.exp(-0.5), rel=1e-15)
    assert time_course(1e6, 2, 1e7, 40) == 1


@pytest.mark.parametrize("course", [(2, 6, 40), (5, 3, 40), (0.5, 12, 10), (8, 0, 200)])
def test_the_effect_is_largest_where_it_is_said_to_be(course):
    month = np.linspace(0, 60, 600_001)
    assert month[np.argmax(time_course(month, *course))] == pytest.approx(month_of_largest(*course), abs=1e-3)


# the deviations of a study


def test_deviations_of_a_study_correlate_by_doublings_of_the_month():
    """tau^2 rho^|log2(t / s)| g(s) g(t) within a study, nothing between studies; one month has tau^2 g^2."""
    months, study = [1, 3, 6, 12, 6, 24, 12], ["a"] * 4 + ["b"] * 2 + ["c"]
    model = structure(spec_of(), visits(months, np.zeros(7), study=study))
    phi = {"tau": 1.7} | HELD
    loads = [np.broadcast_to(load, 7) for load in model.loads(phi)]
    found = sum(
        np.outer(load, load) * (level.units[:, None] == level.units) * (level.units >= 0)
        for level, load in zip(model.levels, loads, strict=True)
    )
    month, same = np.array(months, float), np.array(study)[:, None] == np.array(study)
    g = time_course(month, *(HELD[name] for name in ("rise", "peak", "decline")))
    lag = np.abs(np.log2(month)[:, None] - np.log2(month))
    np.testing.assert_allclose(found, 1.7**2 * np.outer(g, g) * 0.7**lag * same, rtol=1e-12, atol=1e-15)


# the exact engine


def test_with_all_else_held_the_posterior_is_that_of_dense_quadrature():
    """mu and tau alone, by SciPy: y ~ Normal(mu g, V + tau^2 C), mu ~ Normal(0, 10), tau ~ HalfNormal(2)."""
    months, effects, study = [6, 12, 12, 3, 6, 12], [1.5, 2.0, -0.5, 0.8, 2.2, 2.9], ["a", "a", "b", "c", "c", "c"]
    data = visits(months, effects, study=study)
    spec = spec_of(HELD)
    exact = fit_exact(spec, data)
    g = time_course(np.array(months, float), *(HELD[name] for name in ("rise", "peak", "decline")))
    lag = np.abs(np.log2(months)[:, None] - np.log2(months))
    between = np.outer(g, g) * 0.7**lag * (np.array(study)[:, None] == np.array(study))
    v = data["covariance"].isel(reading=0).values

    def density(tau, power=0):
        whole = np.linalg.inv(v + tau**2 * between)
        precision = g @ whole @ g + 1 / 100
        mean = g @ whole @ effects / precision
        marginal = stats.multivariate_normal(np.zeros(6), v + tau**2 * between + 100 * np.outer(g, g))
        return np.exp(marginal.logpdf(effects) + 10) * stats.halfnorm(scale=2).pdf(tau) * (mean if power else 1.0)

    total = integrate.quad(density, 0, 30, epsabs=0, epsrel=1e-12, limit=200)[0]
    mean = integrate.quad(density, 0, 30, args=(1,), epsabs=0, epsrel=1e-11, limit=200)[0] / total
    assert exact.log_marginal == pytest.approx(np.log(total) - 10, abs=1e-8)
    assert exact.coefficient("mu").mean == pytest.approx(mean, rel=1e-8)


def test_all_parameters_at_once_agree_with_the_average_over_held_ones():
    """Five parameters by few nodes: the same as draws of rise, peak, decline and rho, each held and weighed."""
    months, study = [6, 12, 12, 1, 3, 6, 12], ["a", "a", "b", "c", "c", "c", "c"]
    data = visits(months, [1.5, 2.0, 3.5, 0.2, 1.8, 2.2, 2.9], study=study, se=0.8)
    spec = spec_of()
    exact = fit_exact(spec, data)
    rng, log_p, mean, at = stream(1, "held"), [], [], Condition(5e7, 12.0)
    for u in stats.qmc.Sobol(4, seed=rng).random(256):
        held = {
            name: {
                "dist": "fixed",
                "value": float(spec.priors[name].ppf(p)),
                "unit": spec.priors[name].unit,
                "reason": "h",
            }
            for name, p in zip(HELD, u, strict=True)
        }
        one = posterior(structure(spec_of(**held), data))
        log_p.append(one.log_marginal)
        mean.append(effect_at(one, spec.shape, at, "mean").mean)
    weight = np.exp(np.array(log_p) - max(log_p))
    assert exact.log_marginal == pytest.approx(max(log_p) + np.log(weight.mean()), abs=0.02)
    assert effect_at(exact, spec.shape, at, "mean").mean == pytest.approx(np.average(mean, weights=weight), rel=0.005)


@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in range(1, 8))])
def test_recovery_of_a_planted_course(number):
    """Four studies of five months, tau 0.3: the posterior holds the truth, and the nodes miss little of it."""
    truth, months = {"rise": 3.0, "peak": 9.0, "decline": 20.0}, [1, 3, 6, 12, 24]
    rng, effects, study = stream(2, "planted", number), [], []
    for i in range(4):
        own = 3.0 + 0.3 * rng.standard_normal()
        effects += [own * time_course(m, *truth.values()) + 0.4 * rng.standard_normal() for m in map(float, months)]
        study += [f"s{i}"] * len(months)
    exact = fit_exact(spec_of(), visits(months * 4, effects, study=study, se=0.4, correlation=0.0))
    assert exact.missed <= (0.05 if number else may_miss(exact))  # the gate refuses what misses more
    for name, value in truth.items():
        assert 0.002 < exact.parameter(name).cdf(value) < 0.998


# what is asked


@pytest.fixture(scope="module")
def of_few():
    data = visits([6, 12, 12, 1, 3, 6, 12], [1.5, 1.2, 3.5, 0.2, 1.8, 2.2, 1.9], study=[*"aab", *"cccc"], se=0.8)
    spec = spec_of()
    return spec, fit_exact(spec, data)


@pytest.fixture(scope="module")
def of_many_points():
    """The course on the shipped evidence as tabled, and its posterior with more points on every axis."""
    plan = gmfmsim.load("time_course", {"evidence": {"readings": "as_tabled"}, "alternatives": []}).question.plans[0]
    model = structure(plan.models["course"], plan.contrasts)
    many = {"line": 24, "even": 12, "quantile": 8, "peak": 9, "decline": 4, "rho": 5}
    effort = EFFORT[6]._replace(points=many, sizes=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gmfmsim.model.exact.exact_posterior.EFFORT", {6: effort})
        return model, posterior(model)


@pytest.mark.parametrize(("quick", "limit"), [(False, 0.01), (True, 0.03)])
def test_more_points_on_every_axis_move_little(of_many_points, quick, limit):
    """Log marginal likelihood, mean and SD, in SDs of the mean amplitude."""
    model, closer = of_many_points
    found = posterior(model, quick=quick)
    assert np.prod(closer.box.points) > 8 * np.prod(found.box.points)
    own, finer = (fit.coefficient("mu") for fit in (found, closer))
    moved = [found.log_marginal - closer.log_marginal, (own.mean - finer.mean) / finer.sd, own.sd / finer.sd - 1]
    assert np.abs(moved).max() < limit


def test_statements_by_quadrature_are_those_of_draws(of_few):
    spec, exact = of_few
    rng = stream(3, "draws")
    drawn, _ = exact.draws(rng.random((20_000, len(exact.prepared.names) + 1)), rng.standard_normal((20_000, 1)))
    course = [drawn[name] for name in ("rise", "peak", "decline")]
    before = [spec.priors[name].ppf(rng.random(200_000)) for name in ("rise", "peak", "decline")]
    told = statements([Member("course", spec, None, 1.0, alone=exact)])
    assert [one.that for one in told] == list(STATEMENTS)
    for one, said in zip(told, STATEMENTS.values(), strict=True):
        assert one.posterior == pytest.approx(said(*course).mean(), abs=0.015)
        assert one.prior == pytest.approx(said(*before).mean(), abs=0.006)


def test_statements_mix_models_by_their_shares(of_few):
    spec, exact = of_few
    held = spec_of(("rise", "peak", "decline"))
    known = fit_exact(held, visits([6, 12], [1, 2]))
    both = [Member("course", spec, None, 0.25, alone=exact), Member("held", held, None, 0.75, alone=known)]
    alone = [statements([m]) for m in both]
    mixed = statements(both)
    for i, one in enumerate(mixed):
        assert one.posterior == pytest.approx(0.25 * alone[0][i].posterior + 0.75 * alone[1][i].posterior, abs=1e-12)
    assert [row.posterior for row in alone[1]] == [0.0, 1.0, 1.0, 1.0, 1.0]  # largest at 8.0, 80 % and more at 12


# the evidence


@pytest.mark.parametrize("name", ["time_course", "quickstart"])
def test_months_of_one_arm_are_not_several_trials_to_the_regression_on_standard_errors(name):
    plan = gmfmsim.load(name).question.plans[0]
    assert at_last_month(plan.reported).sum() == 12 < plan.reported.sizes["contrast"]
    assert committed(name)["evidence"]["small_study"]["k"] == 12


def test_known_months_pooled_without_a_curve_are_least_squares_with_the_errors_told():
    """Generalised least squares by another formula: tau and rho of the record, months as columns."""
    plan = gmfmsim.load("time_course").question.plans[0]
    data, told = plan.reported, committed("time_course")["course"]["pooled"]
    scale = np.where(data["gmfm66"], 1.0, stats.truncnorm(-2.6, 4.4, 0.56, 0.10).median())
    month, study = data["month"].values, data["study"].values
    lag = np.abs(np.log2(month)[:, None] - np.log2(month))
    total = data["covariance"].values * np.outer(scale, scale)
    total += told["tau"] ** 2 * told["rho"] ** lag * (study[:, None] == study)
    columns = (month[:, None] == np.unique(month)).astype(float)
    weighted = np.linalg.solve(total, columns)
    covariance = np.linalg.inv(columns.T @ weighted)
    mean, error = covariance @ weighted.T @ (data["effect"].values * scale), np.sqrt(np.diag(covariance))
    assert [row["month"] for row in told["rows"]] == [1, 3, 6, 12]
    assert [row["studies"] for row in told["rows"]] == [2, 2, 5, 7]
    assert [row["estimate"] for row in told["rows"]] == pytest.approx(mean, abs=2e-3)
    assert [row["high"] - row["low"] for row in told["rows"]] == pytest.approx(2 * 1.959964 * error, abs=4e-3)


def test_every_month_adds_the_other_months_of_the_primary_contrasts():
    tables = read_tables()
    few = select_contrasts(tables, Selection(default_use="primary"))
    every = select_contrasts(tables, Selection(default_use="primary"), month_correlation=0.7, every_month=True)
    added = set(every["contrast"].values.tolist()) - set(few["contrast"].values.tolist())
    assert added == {
        "Huang2018 ucb_msc v ctrl, month 6",
        *(f"Min2013 pucb v epo, month {m}" for m in (1, 3)),
        *(f"Gu2020 uc_msc v ctrl, month {m}" for m in (1, 3, 6)),
        *(f"Liu2017 {arm} v ctrl, month 6" for arm in ("mnc", "msc")),
    }
    assert every["measure"].sel(contrast="Huang2018 ucb_msc v ctrl, month 6").item() == "MD_imputed_sd"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"evidence.month_correlation": None}, "every_month with month_correlation"),
        (
            {"model.name": "random_effects", "evidence.every_month": False},
            "no model says how the effect goes with time",
        ),
    ],
)
def test_what_a_course_needs_is_said(change, words):
    experiment = read_toml(find("experiments", "time_course"))
    experiment.pop("alternatives")
    for key, value in change.items():
        section, name = key.split(".")
        if value is None:
            del experiment[section][name]
        else:
            experiment[section][name] = value
    with pytest.raises(InputError, match=words):
        gmfmsim.load(experiment)
