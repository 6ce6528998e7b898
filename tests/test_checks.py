"""The checks of a fit: against arithmetic by hand, dense quadrature, refits, and faults planted on purpose."""

import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scipy import integrate, stats

from gmfmsim.dist.distributions import Normal
from gmfmsim.evidence.contrasts import Selection, contrasts_from_arrays, select_contrasts
from gmfmsim.evidence.read import read_tables
from gmfmsim.evidence.readings import read_contrasts
from gmfmsim.model.checks import as_json, checks, in_words
from gmfmsim.model.checks.given_draws import block_density, power_scaling, smoothed_weights
from gmfmsim.model.checks.left_out import cross_validate, predictive_cdf, refit
from gmfmsim.model.checks.quantities import exceedance, outliers, predictive_check, share, share_between_studies
from gmfmsim.model.declare import ModelChoice, ModelSpec, read_model
from gmfmsim.model.draws import rows_of
from gmfmsim.model.effect import Condition, effect_at, effect_draws
from gmfmsim.model.engine import Fit, fit
from gmfmsim.model.exact import fit_exact, posterior
from gmfmsim.model.likelihood import likelihood
from gmfmsim.model.nuts import Sampler
from gmfmsim.model.setting import Setting
from gmfmsim.model.structure import Structure, structure
from gmfmsim.model.terms import Coefficient, Level

ES24 = {"y": [3.2, 7.1, 1.4, 5.9], "se": [1.2, 2, 1.5, 2.5]}
EXACT = Sampler(cross_check=False)


def with_priors(mu_sd: float = 10, tau_sd: float = 2) -> ModelSpec:
    because = {"unit": "GMFM-66 points", "reason": "for this test"}
    priors = {"mu": {"dist": "normal", "mean": 0, "sd": mu_sd}, "tau": {"dist": "half_normal", "sd": tau_sd}}
    return read_model(ModelChoice(name="random_effects", priors={k: v | because for k, v in priors.items()}))


def fitted(spec: ModelSpec, data: xr.Dataset, draws: int = 2000) -> Fit:
    return fit(spec, data, Sampler(cross_check=False, draws=draws), seed=1)


@pytest.fixture(scope="module")
def es24():
    data = contrasts_from_arrays(ES24["y"], np.square(ES24["se"]))
    spec = with_priors()
    return spec, data, fitted(spec, data, 5000)


@pytest.fixture(scope="module")
def two_arms():
    """Five contrasts of three studies; the two of the first share a control group."""
    covariance = np.diag([1.5, 2.0, 1.0, 3.0, 0.8])
    covariance[0, 1] = covariance[1, 0] = 0.7
    data = contrasts_from_arrays([1.0, 4.0, 2.5, -1.0, 3.0], covariance, study=["a", "a", "b", "c", "d"])
    spec = with_priors(mu_sd=4)
    return spec, data, fitted(spec, data)


def shipped(**select):
    """Primary contrasts over their readings, with the one-mean model and its fit."""
    tables = read_tables()
    data = read_contrasts(select_contrasts(tables, Selection(default_use="primary", **select)), tables, "average")
    spec = read_model(ModelChoice(name="random_effects"))
    return spec, data, fit(spec, data, EXACT, seed=1)


@pytest.fixture(scope="module")
def primary():
    return shipped()


@pytest.fixture(scope="module")
def few():
    """Two studies with one control group between them, the two arms of a third, and a fourth."""
    return shipped(study=["Amanat2021", "Zarrabi2022", "Sun2017", "Kang2015"])


# leaving out


def known_tau(data: xr.Dataset, tau: float, mu_sd: float) -> Structure:
    """Return mu ~ Normal(0, mu_sd), theta ~ Normal(mu, tau) with tau known: normal in everything."""
    study = np.unique(data["study"].values, return_inverse=True)[1]
    prior = Normal(dist="normal", mean=0, sd=mu_sd)
    k = data.sizes["contrast"]
    return Structure(
        {},
        (Coefficient("mu", np.ones(k), prior),),
        (Level("study", study, lambda phi: tau),),
        lambda phi: np.ones(k),
        np.ones(k, bool),
        likelihood(data),
    )


def test_known_two_studies_with_known_tau():
    """y1 = 3 (se 1), y2 = 6 (se 2), tau 1.5, mu ~ Normal(0, 10): y2 given y1 is normal, by hand."""
    data = contrasts_from_arrays([3.0, 6.0], [1.0, 4.0])
    model = known_tau(data, 1.5, 10.0)
    without_second = refit(posterior(model), data, np.array([False, True]))
    precision = 1 / 100 + 1 / (1 + 2.25)
    mean, variance = 3 / (1 + 2.25) / precision, 1 / precision
    predictive = stats.norm(mean, np.sqrt(variance + 2.25 + 4))
    assert without_second.log_density == pytest.approx(predictive.logpdf(6), abs=1e-12)
    assert without_second.rest.moments("mu") == pytest.approx((mean, np.sqrt(variance)), rel=1e-12)
    assert predictive_cdf(without_second.rest, model, 1) == pytest.approx(predictive.cdf(6), abs=1e-12)


def test_known_pit_averages_over_readings_and_unknown_errors():
    """A second study read as 6 (se 2) with 0.7 or as 9 with 0.3, its error then unknown by exp(0.4 u)."""
    one = contrasts_from_arrays([3.0, 6.0], [1.0, 4.0])
    data = xr.concat([one, one], "reading", data_vars=["effect", "se", "log_se_sd", "covariance"])
    data["effect"].values[1, 1], data["log_se_sd"].values[1, 1] = 9.0, 0.4
    data = data.assign(weight=("reading", [0.7, 0.3]))
    model = known_tau(data, 1.5, 10.0)
    rest = refit(posterior(model), data, np.array([False, True])).rest
    precision = 1 / 100 + 1 / (1 + 2.25)
    mean, variance = 3 / (1 + 2.25) / precision, 1 / precision + 2.25

    def cdf(y, u):
        return stats.norm(mean, np.sqrt(variance + 4 * np.exp(0.8 * u))).cdf(y)

    second = integrate.quad(lambda u: cdf(9, u) * stats.norm.pdf(u), -9, 9, epsabs=1e-12)[0]
    assert predictive_cdf(rest, model, 1) == pytest.approx(0.7 * cdf(6, 0) + 0.3 * second, abs=1e-8)


def log_marginal(y, covariance, same_study, mu_sd, tau_sd) -> float:
    """Return log p(y) by 200 Gauss-Legendre points of tau ~ half-normal, all else by the normal density."""
    x, weight = np.polynomial.legendre.leggauss(200)
    tau, y = 6 * tau_sd * (x + 1), np.asarray(y)
    total = covariance + mu_sd**2 + tau[:, None, None] ** 2 * same_study
    away = np.einsum("i,ti->t", y, np.linalg.solve(total, np.tile(y[:, None], (tau.size, 1, 1)))[..., 0])
    density = np.exp(-0.5 * (away + np.linalg.slogdet(2 * np.pi * total)[1]))
    return float(np.log(6 * tau_sd * weight @ (density * stats.halfnorm(scale=tau_sd).pdf(tau))))


@pytest.mark.parametrize(("case", "mu_sd"), [("es24", 10), ("two_arms", 4)])
def test_reference_left_out_densities_equal_quadrature(case, mu_sd, request):
    spec, data, found = request.getfixturevalue(case)
    contrasts, studies = cross_validate(found, spec, data)
    y, covariance, study = (data.isel(reading=0)[v].values for v in ("effect", "covariance", "study"))
    same = (study[:, None] == study).astype(float)

    def kept(rows):
        return log_marginal(y[rows], covariance[np.ix_(rows, rows)], same[np.ix_(rows, rows)], mu_sd, 2)

    whole = kept(np.ones(y.size, bool))
    for c, label in enumerate(data["contrast"].values):
        expected = whole - kept(np.arange(y.size) != c)
        assert contrasts["elpd"].sel(contrast=label).item() == pytest.approx(expected, abs=1e-8)
    for name in dict.fromkeys(study.tolist()):
        assert studies["elpd"].sel(study=name).item() == pytest.approx(whole - kept(study != name), abs=1e-8)
    assert contrasts.attrs["total_elpd"] == pytest.approx(contrasts["elpd"].values.sum(), rel=1e-12)


@pytest.mark.slow
def test_reference_leaving_out_equals_a_fit_of_the_rest(primary):
    """Readings and shared controls included; without Zarrabi its partner Amanat is a block of its own."""
    spec, data, found = primary
    for names in (["Huang2018"], ["Amanat2021", "Zarrabi2022"], ["Zarrabi2022"]):
        left = np.isin(data["study"].values, names)
        rest = refit(found.exact, data, left).rest
        again = fit_exact(spec, data.isel(contrast=~left, contrast_=~left))
        assert rest.log_marginal == pytest.approx(again.log_marginal, abs=1e-8)
        assert rest.moments("mu") == pytest.approx(again.moments("mu"), rel=1e-7)


def psis_error(log_p: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the standard error of log(weight @ p), (...): the relative one of the weighted mean (delta method)."""
    p = np.exp(log_p)
    return np.sqrt((weight**2 * (p / (weight * p).sum(axis=0) - 1) ** 2).sum(axis=0))


def test_reference_importance_sampling_without_a_study_agrees_with_refits(es24):
    """The same draws, with the exact posterior put out of sight."""
    spec, data, found = es24
    _, exact = cross_validate(found, spec, data)
    _, sampled = cross_validate(replace(found, exact=None), spec, data)
    log_p = block_density(spec, data, found.tree["posterior"].to_dataset())
    weight, k_hat = smoothed_weights(-log_p)
    names = data["study"].values
    error = psis_error(log_p, weight)
    assert (k_hat < 0.5).all()
    assert error.max() < 0.05
    assert (np.abs((sampled["elpd"] - exact["elpd"]).sel(study=names).values) < 4 * error).all()
    for name in ("mean", "sd", "tau", "above"):
        got, wanted = (table[name].sel(study=names).values for table in (sampled, exact))
        assert got == pytest.approx(wanted, rel=0.03)  # 3 to 4 errors of 20 000 draws


def test_reference_psis_loo_agrees_with_exact_leaving_out():
    """Draws with study effects in them against study effects integrated out: one target.

    tau ~ half-normal(0.5), so that no study effect hangs on its own result alone and the ratios have a variance.
    """
    data, spec = contrasts_from_arrays(ES24["y"], np.square(ES24["se"])), with_priors(tau_sd=0.5)
    found = fitted(spec, data, 5000)
    contrasts, _ = cross_validate(found, spec, data)
    log_p = found.tree["log_likelihood"]["y"].values.reshape(-1, 4)
    error = psis_error(log_p, smoothed_weights(-log_p)[0])
    assert (contrasts["k_hat"] < 0.6).all()
    assert error.max() < 0.05
    assert (np.abs(contrasts["elpd_psis"] - contrasts["elpd"]).values < 4 * error).all()


@pytest.mark.slow
def test_recovery_pit_is_uniform_when_the_model_made_the_data():
    rng = np.random.default_rng(20)
    spec, se, pit = with_priors(mu_sd=3), np.array([0.5, 1.0, 1.5, 2.0, 1.0]), []
    for _ in range(200):
        mu, tau = 3 * rng.standard_normal(), abs(2 * rng.standard_normal())
        data = contrasts_from_arrays(mu + rng.standard_normal(5) * np.hypot(tau, se), se**2)
        model = structure(spec, data)
        first = np.arange(5) == 0
        pit.append(predictive_cdf(refit(posterior(model), data, first).rest, model, 0))
    assert stats.kstest(pit, "uniform").pvalue > 0.01


# studies that stand apart


@pytest.fixture(scope="module")
def planted():
    """Eleven studies about 2 and one at 14."""
    y = [2.0, 1.2, 2.9, 2.4, 1.5, 2.2, 1.8, 2.6, 1.4, 2.1, 1.9, 14.0]
    data, spec = contrasts_from_arrays(y, [0.5] * 12), with_priors()
    return spec, data, checks(fitted(spec, data), spec, data, margins=(0, 1.5), at=Condition(5e7))


def test_recovery_a_planted_outlier_is_found(planted):
    _, _, found = planted
    table = found.outliers
    assert table["study"].values[np.argmax(table["posterior"].values)] == "study_12"
    assert table["posterior"].sel(study="study_12").item() > 100 * table["prior"].values[0]
    assert table["posterior"].drop_sel(study="study_12").max().item() < 0.01
    assert any(sentence.startswith("study_12 stands apart") for sentence in in_words(found))
    assert found.contrasts["pit"].values[-1] > 0.999


def test_recovery_a_planted_outlier_has_the_most_influence(planted):
    spec, data, found = planted
    assert found.studies["study"].values[0] == "study_12"
    size = np.abs(found.studies["change"].values)
    assert (np.diff(size) <= 0).all()
    rest = fit_exact(spec, data.isel(contrast=slice(0, 11), contrast_=slice(0, 11)))
    row = found.studies.sel(study="study_12")
    assert (row["mean"].item(), row["sd"].item()) == pytest.approx(rest.moments("mu"), rel=1e-8)
    assert row["tau"].item() == pytest.approx(rest.moments("tau")[0], rel=1e-8)


def test_known_bound_of_an_outlier(es24):
    """Of n independent standard normals none is beyond k with probability 0.95."""
    spec, data, found = es24
    table = outliers(found.tree, spec, data)
    assert (2 * stats.norm.cdf(table.attrs["k"]) - 1) ** 4 == pytest.approx(0.95, rel=1e-12)
    assert table["prior"].values == pytest.approx([2 * stats.norm.sf(table.attrs["k"])] * 4, rel=1e-12)
    before = found.tree["prior"].to_dataset()
    z = (before["study_mu"] - before["mu"]) / before["tau"]
    assert float((abs(z) > table.attrs["k"]).any("study").mean()) == pytest.approx(0.05, abs=4 * np.sqrt(0.05 / 2000))


# replicated data


def test_known_shares_of_replicated_data():
    y = np.array([[[0.0, 4.0], [3.0, 3.0]], [[5.0, 5.0], [-1.0, 9.0]]])
    tree = xr.DataTree.from_dict({"posterior_predictive": xr.Dataset({"y": (("chain", "draw", "contrast"), y)})})
    table = predictive_check(tree, contrasts_from_arrays([2.0, 4.0], [1.0, 1.0]))
    assert table["observed"].values.tolist() == [3.0, 2.0, 1.0, 2.0, 4.0]
    # means 2 3 5 4, Q 8 0 0 50, largest |z| 2 0 0 5, smallest 0 3 5 -1, largest 4 3 5 9
    assert table["posterior"].values.tolist() == [0.75, 0.5, 0.5, 0.5, 0.75]
    assert np.isnan(table["prior"].values).all()


def test_known_differences_of_groups():
    data = contrasts_from_arrays([1.0, 5.0, 2.0, 9.0], [1.0, 1.0, 4.0, 1.0], study=["a", "a", "b", "c"])
    data = data.assign(month=("contrast", [6.0, 6.0, 12.0, np.nan]), route=("contrast", ["IV", "IT", "IV", ""]))
    y = np.array([[[1.0, 5.0, 2.0, 9.0], [3.0, 3.0, 3.0, 9.0], [0.0, 9.0, 30.0, 9.0]]])
    tree = xr.DataTree.from_dict({"posterior_predictive": xr.Dataset({"y": (("chain", "draw", "contrast"), y)})})
    table = predictive_check(tree, data)
    observed = dict(zip(table["statistic"].values.tolist(), table["observed"].values.tolist(), strict=True))
    assert observed["difference of arms of one study"] == pytest.approx(8.0)  # 1 and 5 about 3
    # month 6: 3 +- sqrt(1/2), month 12: 2 +- 2; Q = (3 - 2)^2 / (1/2 + 4)
    assert observed["difference of months"] == pytest.approx(1 / 4.5)
    # by vein: (1 + 2 / 4) / 1.25 +- sqrt(0.8), other: 5 +- 1
    assert observed["difference of routes"] == pytest.approx((5 - 1.2) ** 2 / 1.8)
    assert "difference of cells" not in observed
    shares = table["posterior"].sel(statistic=["difference of arms of one study", "difference of months"])
    assert shares.values == pytest.approx([2 / 3, 2 / 3])


def test_known_share_of_an_event_that_never_happens():
    assert share(np.zeros((2, 50), bool)) == (0.0, 0.01)


def test_recovery_too_much_spread_for_the_model_is_seen():
    """Studies 6 points apart under a prior that allows a tenth of a point."""
    data, spec = contrasts_from_arrays([-6.0, 0.0, 6.0, -5.0, 5.0], [1.0] * 5), with_priors(tau_sd=0.1)
    table = predictive_check(fitted(spec, data, 500).tree, data)
    assert table["posterior"].sel(statistic="spread Q").item() < 0.001
    assert 0.1 < table["posterior"].sel(statistic="mean effect").item() < 0.9


# sensitivity to priors and likelihood


def test_reference_prior_sensitivity_of_a_probability_equals_that_of_scaled_priors(es24):
    """A normal and a half-normal prior to the power alpha are the same with sd / sqrt(alpha): refit and difference."""
    spec, data, found = es24
    table = power_scaling(found.tree, spec, data, found.tree["posterior"]["mu"])
    step = 0.05

    def above(log2_alpha):
        scale = 2 ** (-log2_alpha / 2)
        return fit_exact(with_priors(10 * scale, 2 * scale), data).coefficient("mu").above(0.0)

    row = table.sel(quantity="P(effect > 0)")
    expected = (above(step) - above(-step)) / (2 * step)
    assert abs(row["prior"].item() - expected) < 4 * row["prior_mcse"].item()
    assert row["prior_mcse"].item() < 0.002


@pytest.mark.parametrize(("mu_sd", "diagnosis"), [(50, "-"), (0.7, "prior-data conflict")])
def test_recovery_a_prior_against_the_data_is_diagnosed(mu_sd, diagnosis):
    data, spec = contrasts_from_arrays([4.1, 3.9, 4.3, 3.8], [0.3] * 4), with_priors(mu_sd)
    found = fitted(spec, data)
    table = power_scaling(found.tree, spec, data, found.tree["posterior"]["mu"])
    assert table["diagnosis"].sel(quantity="mu").item() == diagnosis


def test_recovery_a_prior_that_the_data_do_not_touch_is_diagnosed():
    """Errors of 40 points say nothing of mu, and the prior is all there is."""
    data, spec = contrasts_from_arrays([1.0, -1.0], [1600.0] * 2), with_priors(mu_sd=1)
    found = fitted(spec, data)
    table = power_scaling(found.tree, spec, data, found.tree["posterior"]["mu"])
    assert table["diagnosis"].sel(quantity="mu").item() == "strong prior or weak likelihood"


# figures of the posterior


def test_reference_i_squared_equals_quadrature(es24):
    _, data, found = es24
    w = np.array(ES24["se"]) ** -2.0
    typical = 3 * w.sum() / (w.sum() ** 2 - (w**2).sum())
    exact = found.exact
    tau = exact.phi["tau"][exact.node]
    expected = exact.weight @ (tau**2 / (tau**2 + typical))
    got = share_between_studies(found.tree, data)
    assert abs(got.mean - expected) < 4 * got.mcse
    marginal = exact.parameter("tau")
    for quantile, p in ((got.low, 0.025), (got.high, 0.975)):
        t = np.sqrt(quantile * typical / (1 - quantile))
        assert marginal.cdf(t) == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 20_000))


def test_known_i_squared_of_one_contrast_is_not_defined():
    data, spec = contrasts_from_arrays([3.0], [1.0]), with_priors()
    found = checks(fitted(spec, data, 200), spec, data, margins=(0,), at=Condition(5e7))
    assert np.isnan(found.i_squared.mean)
    assert np.isnan(found.contrasts["pit"].item())
    expected = log_marginal([3.0], np.eye(1), np.ones((1, 1)), 10, 2)
    assert found.studies["elpd"].item() == pytest.approx(expected, abs=1e-8)
    assert as_json(found)["i_squared"]["mean"] is None


TERMS = {
    "tau_class": {"dist": "half_normal", "sd": 1, "unit": "GMFM-66 points"},
    "age_slope": {"dist": "normal", "mean": 0, "sd": 0.5, "unit": "GMFM-66 points per year"},
}


@pytest.fixture(scope="module")
def with_terms():
    """Emax in the dose, partially pooled classes of cells, a slope for age."""
    because = {"reason": "for this test"}
    base = read_model(ModelChoice(name="emax"))
    priors = {k: v.model_dump() for k, v in base.priors.items()} | {
        name: TERMS[name] | because for name in ("tau_class", "age_slope")
    }
    spec = ModelSpec(title="test", curve=base.curve, terms=["cell_class", "age"], priors=priors)
    covariates = {"cell_class": ["MSC", "MNC", "MSC", "CB", "CB"], "age": [3.0, 5.0, 4.0, 6.5, 2.0]}
    data = contrasts_from_arrays(
        [3.0, 1.0, 4.5, 2.0, 0.5], [1.0, 2.0, 1.5, 1.0, 2.0], dose=[5e7, 1e7, 1e8, 2e7, 4e7], covariates=covariates
    )
    return spec, data, fitted(spec, data, 5000)


def test_reference_exceedance_of_the_exact_engine_equals_that_of_draws(with_terms):
    spec, _, found = with_terms
    at = Condition(6e7, setting=Setting(cell_class="MSC", age=5.0))
    effects = tuple(effect_at(found.exact, spec.shape, at, of) for of in ("mean", "new_study"))
    draws = effect_draws(found.tree, spec.shape, {"at": at}).isel(arm=0)
    margins = (0, 1, 1.5)
    exact, sampled = exceedance(effects, margins), exceedance(draws, margins)
    for name in ("mean_of_studies", "new_study"):
        assert (np.abs(exact[name] - sampled[name]) < 4 * sampled[f"{name}_mcse"]).all()
        assert (exact[f"{name}_mcse"] == 0).all()
        assert (np.diff(exact[name].values) < 0).all()
    assert effects[1].sd > effects[0].sd


def test_reference_density_of_blocks_averages_to_the_predictive_density(with_terms):
    """E[1 / p(y_b | draw)] over the posterior is 1 / p(y_b | the others), pooled classes and doses included."""
    spec, data, found = with_terms
    log_p = block_density(spec, data, found.tree["posterior"].to_dataset())
    exact = [refit(found.exact, data, np.arange(5) == b).log_density for b in range(5)]
    for b in range(5):
        ratio = np.exp(exact[b] - log_p[:, b])
        assert abs(ratio.mean() - 1) < 4 * ratio.std() / np.sqrt(ratio.size)


def test_known_density_of_a_block_is_that_of_scipy(two_arms):
    spec, data, found = two_arms
    group = found.tree["posterior"].to_dataset()
    rows, log_p = rows_of(group), block_density(spec, data, group)
    v, y = data["covariance"].values[0, :2, :2], data["effect"].values[0, :2]
    for s in (0, 777, 4321):
        normal = stats.multivariate_normal([rows["mu"][s]] * 2, v + rows["tau"][s] ** 2)
        assert log_p[s, 0] == pytest.approx(normal.logpdf(y), rel=1e-10)


# all of it


@pytest.mark.parametrize(
    ("contrasts", "studies", "rows"), [("few", 3, 5), pytest.param("primary", 8, 12, marks=pytest.mark.slow)]
)
def test_the_checks_of_the_primary_contrasts(contrasts, studies, rows, request):
    spec, data, found = request.getfixturevalue(contrasts)
    result = checks(found, spec, data, margins=(0.0, 1.0, 1.5), at=Condition(5e7))
    assert set(result.contrasts["contrast"].values) == set(data["contrast"].values)
    assert result.contrasts["first"].values.sum() == result.studies.sizes["study"] == studies
    assert "Amanat2021 + Zarrabi2022" in result.studies["study"].values
    trusted = result.contrasts["k_hat"].values < 0.6
    assert result.contrasts["elpd_psis"].values[trusted] == pytest.approx(
        result.contrasts["elpd"].values[trusted],
        abs=0.06,  # what a smoothed tail of 20 000 draws leaves
    )
    mu = found.exact.coefficient("mu")
    assert result.exceeds["mean_of_studies"].values.tolist() == [mu.above(m) for m in (0.0, 1.0, 1.5)]
    assert 0 < result.i_squared.low < result.i_squared.mean < result.i_squared.high < 1
    text = json.dumps(as_json(result), allow_nan=False)
    assert len(json.loads(text)["contrasts"]["rows"]) == rows
    alone = as_json(replace(result, exceeds=result.exceeds.isel(margin=[0])))["exceeds"]["rows"]
    assert alone[0]["margin"] == 0.0


@pytest.mark.slow
def test_checks_where_the_exact_engine_refuses(es24):
    """Student-t study effects: by importance sampling alone."""
    _, data, _ = es24
    nu = {"dist": "gamma", "shape": 2, "rate": 0.1, "unit": "none", "reason": "for this test"}
    base = read_model(ModelChoice(name="random_effects")).model_dump()
    spec = ModelSpec.model_validate(base | {"heterogeneity": "student_t", "priors": base["priors"] | {"nu": nu}})
    found = fit(spec, data, Sampler(chains=2, draws=500, target_accept=0.95), seed=3)
    assert found.exact is None
    result = checks(found, spec, data, margins=(0,), at=Condition(5e7))
    assert np.isnan(result.contrasts["elpd"].values).all()
    assert ((result.contrasts["pit"] > 0) & (result.contrasts["pit"] < 1)).all()
    untrusted = result.studies["k_hat"] > 0.7
    assert (np.isnan(result.studies["mean"]) == untrusted).all()
    assert 0 < result.outliers["prior"].values[0] < 1
    assert result.exceeds["new_study_mcse"].item() > 0
    json.dumps(as_json(result), allow_nan=False)
