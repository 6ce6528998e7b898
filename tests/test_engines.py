"""One declaration, two engines: the same names, the same layout, and a gate that holds them to each other."""

import warnings

import arviz as az
import numpy as np
import pytest
import xarray as xr
from conftest import committed
from dense_n import QUICKSTART, Setting
from dense_n import truths as dense_truths
from design_cases import two_arms, with_test
from quadrature import posterior, t_test_success
from scipy import stats

from gmfmsim.dist.distributions import Fixed
from gmfmsim.evidence.contrasts import contrasts_from_arrays
from gmfmsim.model import engine
from gmfmsim.model.declare import ModelChoice, read_model
from gmfmsim.model.effect import Condition, effect_draws
from gmfmsim.model.engine import fit
from gmfmsim.model.exact import Refused
from gmfmsim.model.gate import agreement, agreement_rows, gate
from gmfmsim.model.nuts import Sampled, Sampler, build
from gmfmsim.model.truths import truths
from gmfmsim.trial.simulate import simulate

ES24 = {"y": [3.2, 7.1, 1.4, 5.9], "se": [1.2, 2, 1.5, 2.5]}
FEW = Sampler(engine="nuts", draws=engine.CROSS_CHECK_DRAWS)
"""As a cross-check samples: of one model and one seed the second is recalled."""


def es24_model(**changed):
    because = {"unit": "GMFM-66 points", "reason": "the prior of the reference"}
    priors = {"mu": {"dist": "normal", "mean": 0, "sd": 10}, "tau": {"dist": "half_normal", "sd": 2.5}} | changed
    return read_model(ModelChoice(name="random_effects", priors={k: v | because for k, v in priors.items()}))


@pytest.fixture(scope="module")
def es24():
    """Four mean differences by both engines."""
    data = contrasts_from_arrays(ES24["y"], np.square(ES24["se"]))
    return fit(es24_model(), data, Sampler(), 24)


@pytest.fixture(scope="module")
def sampled():
    data = contrasts_from_arrays(ES24["y"], np.square(ES24["se"]))
    return fit(es24_model(), data, FEW, 24)


@pytest.fixture(scope="module")
def primary_quadrature(quickstart_fit):
    return dense_truths(quickstart_fit[0].contrasts, Setting())


def test_both_engines_run_and_agree(es24):
    assert es24.engine == "exact"
    assert all(row["passed"] for row in es24.gate)
    assert {row["criterion"] for row in es24.gate} >= {"missed density", "R-hat", "divergences", "engines apart"}
    assert {(row["name"], row["figure"]) for row in es24.compared} == {
        (name, figure) for name in ("mu", "tau") for figure in ("mean", "sd")
    }


def test_both_engines_give_the_same_tree(es24, sampled):
    assert set(sampled.tree.children) == set(es24.tree.children) | {"sample_stats"}
    for name, group in es24.tree.children.items():
        own, other = group.to_dataset(), sampled.tree[name].to_dataset()
        assert {v: own[v].dims for v in own} == {v: other[v].dims for v in other}, name
    assert sampled.engine == "nuts"
    assert sampled.exact is None
    theta, exact = sampled.tree["posterior"]["theta"], es24.tree["posterior"]["theta"]
    error = np.hypot(az.mcse(sampled.tree["posterior"].to_dataset())["theta"], exact.std(("chain", "draw")) / 141)
    assert (abs(theta.mean(("chain", "draw")) - exact.mean(("chain", "draw"))) < 4 * error).all()


@pytest.mark.slow
def test_pymcs_own_sampler_gives_the_gold_figures(reference):
    gold = reference["ES24"]["expected"]["gold"]
    data = contrasts_from_arrays(ES24["y"], np.square(ES24["se"]))
    tree = fit(es24_model(), data, FEW.model_copy(update={"name": "pymc"}), 3).tree
    for name in ("mu", "tau"):
        draws = tree["posterior"][name]
        for figure, value in (("mean", draws.mean().item()), ("sd", draws.std().item())):
            assert abs(value - gold[name][figure]) < 4 * az.mcse(draws, method=figure).item()
    assert {row["criterion"] for row in gate(tree)} == {"R-hat", "bulk ESS", "tail ESS", "divergences", "E-BFMI"}


def test_the_gate_finds_engines_that_disagree(es24, sampled):
    shifted = sampled.tree["posterior"].to_dataset().copy(deep=True)
    shifted["mu"] = shifted["mu"] + 0.5
    tree = sampled.tree.copy()
    tree["posterior"] = xr.DataTree(shifted)
    rows = {row["criterion"]: row for row in gate(tree) + agreement_rows(agreement(es24.exact, tree))}
    assert not rows["engines apart"]["passed"]
    assert rows["engines apart"]["worst"] == "mean of mu"
    assert rows["R-hat"]["passed"]


def test_gate_fails_chains_that_disagree_and_a_single_divergence_and_nan(sampled):
    tree = sampled.tree.copy()
    draws = tree["posterior"].to_dataset().copy(deep=True)
    draws["mu"][0] += 5
    tree["posterior"] = xr.DataTree(draws)
    verdict = {row["criterion"]: row for row in gate(tree)}
    assert not verdict["R-hat"]["passed"]
    assert verdict["R-hat"]["worst"] == "mu"
    assert verdict["divergences"]["passed"]
    stats_ = tree["sample_stats"].to_dataset().copy(deep=True)
    stats_["diverging"][0, 0] = True
    tree["sample_stats"] = xr.DataTree(stats_)
    draws["tau"][:] = np.nan
    tree["posterior"] = xr.DataTree(draws)
    failed = {row["criterion"] for row in gate(tree) if not row["passed"]}
    assert {"divergences", "R-hat", "bulk ESS"} <= failed


@pytest.mark.parametrize("sampling", ["stands in", pytest.param("real", marks=pytest.mark.slow)])
def test_the_exact_engine_is_used_unless_it_cannot_or_may_not(es24, sampled, sampling, monkeypatch):
    """In the fast case draws of another model stand in for those of this one, which take their time to compile."""
    data = contrasts_from_arrays(ES24["y"], np.square(ES24["se"]))
    not_normal = es24_model(mu={"dist": "uniform", "lower": -20, "upper": 20})
    if sampling == "stands in":
        given = Sampled(engine.exact_draws(es24.exact, FEW, 1), sampled.tree["sample_stats"].to_dataset())
        monkeypatch.setattr(engine, "sample", lambda spec, *_, **__: given if spec is not_normal else None)
    found = fit(not_normal, data, FEW.model_copy(update={"engine": "auto"}), 1)
    assert found.engine == "nuts"
    assert "uniform" in found.why_not.lower()
    with pytest.raises(Refused, match="normal"):
        fit(not_normal, data, Sampler(engine="exact"), 1)


def test_a_check_by_sampling_can_be_left_out():
    data = contrasts_from_arrays(ES24["y"], np.square(ES24["se"]))
    found = fit(es24_model(), data, Sampler(cross_check=False, draws=100), 1)
    assert [row["criterion"] for row in found.gate] == ["missed density", "density at the ends"]
    assert found.compared == []


def test_reference_assurance_and_plateau_on_the_primary_contrasts_equal_quadrature(quickstart_fit, primary_quadrature):
    prepared, tree = quickstart_fit
    trial, n = prepared.plan.trial, [50, 206]
    effects = effect_draws(tree, prepared.models["random_effects"].shape, conditions(trial))
    truth = truths(effects, sd_change=trial.sd_change, planning_value=1.42, replicates=200_000, seed=1)
    surface = simulate(truth, trial, n=n, seed=1).squeeze("analysis")
    for scenario, effect in (("new_study", primary_quadrature), ("pooled_mean", primary_quadrature.of_the_mean())):
        part = surface.sel(scenario=scenario)
        assert abs(part["plateau"].item() - effect.above()) < 4 * part["plateau_mcse"].item()
        for k in n:
            exact = t_test_success(effect, k, **QUICKSTART)
            assert abs(part["success"].sel(n=k).item() - exact) < 4 * part["success_mcse"].sel(n=k).item()


def conditions(trial) -> dict[str, Condition]:
    return {arm.name: Condition(arm.dose) for arm in trial.arms}


def test_reference_required_n_of_the_quick_start_equals_quadrature(primary_quadrature, results):
    answer = results["quickstart_one_mean"].answer
    n = answer["n_per_arm"]
    before, at = (t_test_success(primary_quadrature, k, **QUICKSTART) for k in (n - 1, n))
    assert before < 0.8 <= at


def test_reference_as04_assurance_and_its_plateau(reference, es24):
    gold = reference["AS04"]["expected"]
    arms = [{"name": "control", "dose": "0 cells/kg"}, {"name": "cells", "dose": "5e7 cells/kg"}]
    sd = Fixed(dist="fixed", value=10)
    trial = with_test(two_arms(arms=arms, sd_change=sd.model_dump()), "z")
    effects = effect_draws(es24.tree, es24_model().shape, conditions(trial))
    truth = truths(effects, sd_change=sd, planning_value=1, replicates=400_000, seed=4)
    n = [25, 50, 100, 200, 400]
    surface = simulate(truth, trial, n=n, seed=4).squeeze("analysis")
    # 4 MCSE, not the 3 of the reference: eleven figures are held
    for scenario, key in (("new_study", "new study"), ("pooled_mean", "ignoring tau")):
        part = surface.sel(scenario=scenario)
        for k in n:
            assert abs(part["success"].sel(n=k).item() - gold[key][str(k)]) < 4 * part["success_mcse"].sel(n=k).item()
    plateau = surface.sel(scenario="new_study")
    assert abs(plateau["plateau"].item() - gold["ceiling"]) < 4 * plateau["plateau_mcse"].item()


def test_reference_quadrature_reproduces_the_gold_figures(reference):
    gold = reference["ES24"]["expected"]["gold"]
    y, se = np.array(ES24["y"]), np.array(ES24["se"])
    exact = posterior(y, np.diag(se**2), range(4), np.ones(4, bool), amplitude_sd=10, tau=stats.halfnorm(scale=2.5))
    assert exact.moments() == pytest.approx((gold["mu"]["mean"], gold["mu"]["sd"]), abs=1e-6)
    assert exact.moments("tau") == pytest.approx((gold["tau"]["mean"], gold["tau"]["sd"]), abs=1e-6)
    assert exact.log_marginal == pytest.approx(gold["logml"], abs=1e-6)
    assert exact.effect(heterogeneity=True).above(2) == pytest.approx(gold["p_new_gt_2"], abs=1e-6)


def test_one_data_tree_holds_every_group_and_opens_with_arviz_alone(quickstart_fit, tmp_path):
    quickstart_fit[1].to_netcdf(tmp_path / "tree.nc")
    tree = az.from_netcdf(tmp_path / "tree.nc")
    groups = {"prior", "prior_predictive", "posterior", "posterior_predictive", "log_likelihood", "observed_data"}
    assert groups | {"log_prior", "constant_data"} == set(tree.children)
    assert tree["posterior"]["study_mu"].dims == ("chain", "draw", "study")
    assert tree["posterior"]["theta"].dims == ("chain", "draw", "contrast")
    assert np.array_equal(tree["observed_data"]["y"], quickstart_fit[0].reported["effect"])
    with warnings.catch_warnings():
        # a single study moves this posterior: that importance sampling says so is not a fault of the file
        warnings.filterwarnings("ignore", message="Estimated shape parameter of Pareto")
        loo = az.loo(tree)
    assert np.isfinite(loo.elpd)
    assert loo.n_data_points == 12


def test_log_likelihood_of_contrasts_without_shared_control_is_the_plain_normal(quickstart_fit):
    prepared, tree = quickstart_fit
    data, group = prepared.reported, tree["posterior"].to_dataset()
    i = data["study"].values.tolist().index("Kang2015")  # no readings either
    mean = group["theta"].isel(contrast=i) / group["r"]
    plain = stats.norm.logpdf(data["effect"].values[i], mean, data["se"].values[i])
    assert np.allclose(tree["log_likelihood"]["y"].isel(contrast=i), plain)


def test_log_likelihood_conditions_on_the_contrast_with_the_same_control(quickstart_fit):
    prepared, tree = quickstart_fit
    y, v = prepared.reported["effect"].values[:2], prepared.reported["covariance"].values[:2, :2]
    theta = tree["posterior"]["theta"].values[0, 0, :2]
    given = theta[0] + v[0, 1] / v[1, 1] * (y[1] - theta[1])
    sd = np.sqrt(v[0, 0] - v[0, 1] ** 2 / v[1, 1])
    assert tree["log_likelihood"]["y"].values[0, 0, 0] == pytest.approx(stats.norm.logpdf(y[0], given, sd))


def test_two_arms_of_one_study_share_its_effect(quickstart_fit):
    theta = quickstart_fit[1]["posterior"]["theta"].values
    study = quickstart_fit[0].contrasts["study"].values
    assert study[0] == study[1] == "Sun2017"
    assert np.allclose(theta[..., 0], theta[..., 1], rtol=1e-12)
    assert not np.allclose(theta[..., 0], theta[..., 2])


def test_the_ratio_is_left_out_where_every_contrast_is_on_the_gmfm66():
    data = contrasts_from_arrays([1.0, 2.0], [1.0, 1.0])
    spec = read_model(ModelChoice(name="random_effects"))
    assert "r" not in build(spec, data).named_vars
    mixed = contrasts_from_arrays([1.0, 2.0], [1.0, 1.0], gmfm66=[True, False])
    assert "r" in build(spec, mixed).named_vars


def test_a_curve_that_needs_a_dose_refuses_contrasts_without():
    with pytest.raises(ValueError, match="the dose is not known for"):
        build(read_model(ModelChoice(name="emax")), contrasts_from_arrays([1.0], [1.0]))


def test_fits_of_one_seed_are_the_same_and_of_another_are_not(es24):
    data = contrasts_from_arrays(ES24["y"], np.square(ES24["se"]))
    again, other = (fit(es24_model(), data, Sampler(cross_check=False), seed).tree for seed in (24, 25))
    assert again["posterior"].to_dataset().identical(es24.tree["posterior"].to_dataset())
    assert not np.array_equal(again["posterior"]["mu"], other["posterior"]["mu"])


@pytest.mark.parametrize("name", ["quickstart_one_mean", "cord_blood_dose", "curve_average"])
def test_both_engines_agreed_on_every_model_of_a_committed_result(name):
    answer = committed(name)
    for plan in (answer, *answer.get("alternatives", [])):
        for model in plan["models"]:
            assert (model["engine"], model["verdict"]) == ("exact", "passed")
            assert model["engines_apart_mcse"] < 4
