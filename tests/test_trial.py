"""Simulated trials against closed forms, against simulated children, and their own rules."""

import json

import numpy as np
import pytest
import xarray as xr
from design_cases import two_arms, with_test
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gmfmsim.dist.distributions import Fixed
from gmfmsim.dist.positive import LogNormal
from gmfmsim.model.curves import CURVES
from gmfmsim.model.effect import Condition, band, effect_draws
from gmfmsim.model.truths import truths
from gmfmsim.streams import stream
from gmfmsim.trial import closed_form
from gmfmsim.trial.design import Design
from gmfmsim.trial.simulate import simulate
from gmfmsim.trial.size import Search, required_n

SD = Fixed(dist="fixed", value=1)


def design(*, ratio=1.0, dropout=0.0, sd=SD) -> Design:
    arms = [
        {"name": "control", "dose": "0 cells/kg", "ratio": max(1, 1 / ratio)},
        {"name": "cells", "dose": "5e7 cells/kg", "ratio": max(1, ratio)},
    ]
    return two_arms(arms=arms, dropout=dropout, sd_change=sd.model_dump())


def posterior(mean=0.5, sd=0.1, tau=0.0, draws=1000, seed=0) -> xr.DataTree:
    """Independent draws of mu ~ Normal(mean, sd), with tau known."""
    mu = mean + sd * stream(seed, "test").standard_normal((4, draws))
    group = xr.Dataset({"mu": (("chain", "draw"), mu), "tau": (("chain", "draw"), np.full_like(mu, tau))})
    return xr.DataTree.from_dict({"posterior": group})


def truth(tree=None, *, planning=0.5, sd=SD, replicates=40_000, seed=1) -> xr.Dataset:
    arms = {"control": Condition(0.0), "cells": Condition(5e7)}
    tree = posterior() if tree is None else tree
    effects = effect_draws(tree, CURVES["constant"], arms)
    return truths(effects, sd_change=sd, planning_value=planning, replicates=replicates, seed=seed)


# closed forms


def either_way(n, effect, sd):
    """The power of benefit and that of harm: what other systems call two-sided power."""
    return sum(closed_form.power(n, n, effect=e, sd=sd) for e in (effect, -effect))


def test_reference_gs01_sample_size_of_the_t_test(reference):
    expected = reference["GS01"]["expected"]
    goal = {"effect": 10, "sd": 24, "power_target": 0.8, "alpha": 0.05}
    # the reference counts rejections in either direction, the package only those in favour of treatment
    n = expected["exact noncentral t"] / 2
    assert either_way(n, 10, 24) == pytest.approx(0.8, abs=1e-8)
    assert 2 * closed_form.sample_size(**goal) == pytest.approx(expected["N_total_continuous"], abs=1e-3)
    assert 2 * closed_form.sample_size(**goal, method="z") == pytest.approx(expected["z_test"], abs=1e-5)
    assert 3 * closed_form.sample_size(**goal, ratio=2) == pytest.approx(expected["ratio 2:1"], abs=1e-3)
    assert np.ceil(closed_form.sample_size(**goal)) == expected["integer_per_arm"]


def test_reference_gs02_power_of_the_t_test(reference):
    power = either_way(105, 10, 24)
    assert power == pytest.approx(reference["GS02"]["expected"]["power"], abs=1e-7)


def test_reference_gs13_power_and_sample_size_of_r(reference):
    expected = reference["GS13"]["expected"]
    assert closed_form.power(20, 20, effect=1, sd=1) == pytest.approx(expected["power"], abs=1e-6)
    for goal, n in zip(({"effect": 1, "sd": 1}, {"effect": 0.5, "sd": 2}), expected["n"], strict=True):
        assert closed_form.sample_size(**goal, power_target=0.9) == pytest.approx(n, rel=1e-6)


def test_reference_gs14_change_score_and_ancova(reference):
    for key, expected in reference["GS14"]["expected"].items():
        rho = 0.7 if ".7" in key else 0.5
        for analysis, n in zip(("final", "change", "ancova"), expected, strict=False):
            sd = closed_form.analysis_sd(10, rho, analysis)
            assert closed_form.sample_size(effect=5, sd=sd, power_target=0.8, method="z") == pytest.approx(n, abs=1e-6)


def test_closed_form_refuses_what_has_no_answer():
    with pytest.raises(ValueError, match="sd = 0: must be a finite number above 0"):
        closed_form.power(10, 10, effect=1, sd=0)
    with pytest.raises(ValueError, match="three in all"):
        closed_form.power(1, 1, effect=1, sd=1)
    with pytest.raises(ValueError, match="effect = 0: must be a finite number above 0"):
        closed_form.sample_size(effect=0, sd=1, power_target=0.8)


@given(effect=st.floats(0.2, 1), target=st.floats(0.3, 0.99), ratio=st.floats(0.5, 4), method=st.sampled_from("tz"))
@settings(max_examples=60, deadline=None)
def test_power_at_the_sample_size_is_the_target(effect, target, ratio, method):
    n = closed_form.sample_size(effect=effect, sd=1, power_target=target, ratio=ratio, method=method)
    assert closed_form.power(ratio * n, n, effect=effect, sd=1, method=method) == pytest.approx(target, abs=1e-8)


# simulated trials


def within(surface: xr.Dataset, scenario: str, n: int, exact: float, name="success") -> bool:
    """Whether a simulated figure lies within 4 MCSE of the exact one."""
    part = surface.sel(scenario=scenario, n=n)
    return abs(part[name].item() - exact) < 4 * part[f"{name}_mcse"].item()


@pytest.mark.parametrize(("method", "ratio"), [("t", 1.0), ("t", 2.0), ("t", 0.5), ("z", 1.0), ("z", 2.0)])
def test_reference_simulated_power_equals_the_closed_form(method, ratio):
    trial = design(ratio=ratio)
    surface = simulate(truth(), with_test(trial, method=method), n=[4, 20, 60], seed=3)
    for n in (4, 20, 60):
        sizes = trial.sizes(n)
        exact = closed_form.power(sizes["cells"], sizes["control"], effect=0.5, sd=1, method=method)
        assert within(surface, "planning_value", n, exact)


def test_reference_simulated_power_of_gs02(reference):
    sd = Fixed(dist="fixed", value=24)
    surface = simulate(truth(planning=10, sd=sd), design(sd=sd), n=[105], seed=5)
    assert within(surface, "planning_value", 105, reference["GS02"]["expected"]["power"])


@pytest.mark.parametrize("alpha", [0.05, 0.10])
def test_known_null_rejects_at_the_nominal_rate_in_each_direction(alpha):
    surface = simulate(truth(replicates=200_000), with_test(design(dropout=0.1), alpha=alpha), n=[5, 50], seed=3)
    for n in (5, 50):
        assert within(surface, "null", n, alpha / 2)
        assert within(surface, "null", n, alpha / 2, "harm")


def test_known_assurance_of_a_normal_posterior_by_z_test():
    tree = posterior(mean=0.3, sd=0.2, tau=0.4, draws=20_000)
    surface = simulate(truth(tree, replicates=400_000), with_test(design(), method="z"), n=[50, 200], seed=3)
    for n in (50, 200):
        spread = np.sqrt(0.2**2 + 0.4**2 + 2 / n)
        assert within(surface, "new_study", n, stats.norm.sf((1.959964 * np.sqrt(2 / n) - 0.3) / spread))
    part = surface.sel(scenario="new_study")
    assert abs(part["plateau"].item() - stats.norm.sf(-0.3 / np.hypot(0.2, 0.4))) < 4 * part["plateau_mcse"].item()


def test_sufficient_statistics_and_simulated_children_agree():
    """Children drawn one by one, drop-out included, t test by SciPy: the same power within Monte Carlo error."""
    sd, n, trials = LogNormal(dist="lognormal", median=1, sigma=0.12), 12, 4000
    rng, arms = stream(7, "children"), []
    for _ in range(trials):
        spread = 1 * np.exp(0.12 * rng.standard_normal())
        active = spread * rng.standard_normal(rng.binomial(n, 0.8)) + 1
        control = spread * rng.standard_normal(rng.binomial(n, 0.8))
        if min(active.size, control.size) >= 2:
            arms.append([figure for arm in (active, control) for figure in (arm.mean(), arm.std(ddof=1), arm.size)])
    test = stats.ttest_ind_from_stats(*np.transpose(arms))
    share = ((test.pvalue < 0.05) & (test.statistic > 0)).sum() / trials
    surface = simulate(truth(planning=1, sd=sd), design(dropout=0.2, sd=sd), n=[n], seed=3)
    part = surface.sel(scenario="planning_value", n=n)
    error = np.hypot(part["success_mcse"].item(), np.sqrt(share * (1 - share) / trials))
    assert abs(part["success"].item() - share) < 4 * error


def test_an_arm_with_fewer_than_two_children_never_succeeds():
    surface = simulate(truth(planning=50), design(dropout=0.99), n=[2], seed=3)
    exact = (1 - stats.binom.cdf(1, 2, 0.01)) ** 2
    assert (
        within(surface, "planning_value", 2, exact) or surface["success"].sel(scenario="planning_value").item() < 1e-3
    )


def test_curves_share_their_noise_over_n():
    surface = simulate(truth(), design(dropout=0.1), n=range(10, 80), seed=3)
    curve = surface["success"].sel(scenario="new_study").values[:, 0]
    independent = np.sqrt(2) * surface["success_mcse"].sel(scenario="new_study").values[:, 0]
    assert (np.diff(curve) > -0.25 * independent[1:]).all()


def test_more_replicates_extend_and_do_not_change():
    short, long = truth(replicates=8_000), truth(replicates=20_000)
    rows = short.sizes["draw"]
    assert rows == 8_000
    xr.testing.assert_identical(short.drop_attrs(), long.isel(draw=slice(rows)).drop_attrs())


def test_truths_hold_what_each_scenario_says():
    t = truth(posterior(mean=2, sd=1, tau=0.7, draws=10_000), planning=1.42)
    effect = t["effect"].sel(arm="cells")
    assert (t["effect"].sel(arm="control") == 0).all()
    assert (effect.sel(scenario="planning_value") == 1.42).all()
    assert (effect.sel(scenario="null") == 0).all()
    between = effect.sel(scenario="new_study") - effect.sel(scenario="pooled_mean")
    assert between.std().item() == pytest.approx(0.7, rel=0.02)
    assert effect.sel(scenario="pooled_mean").std().item() == pytest.approx(1, rel=0.03)


def test_truths_of_a_dose_curve_are_at_the_dose_of_the_trial():
    group = xr.Dataset(
        {k: (("chain", "draw"), np.full((2, 100), v)) for k, v in {"emax": 4, "ed50": 3e7, "tau": 0}.items()}
    )
    tree = xr.DataTree.from_dict({"posterior": group})
    effects = effect_draws(tree, CURVES["emax"], {"control": Condition(0.0), "cells": Condition(9e7)})
    t = truths(effects, sd_change=SD, planning_value=1, replicates=200, seed=1)
    assert t["effect"].sel(scenario="new_study", arm="cells").values == pytest.approx(3)
    effects = effect_draws(tree, CURVES["emax"], {"low": Condition(3e7), "high": Condition(9e7)})
    drawn = band(effects, "dose", np.array([3e7, 9e7]), seed=1)
    assert drawn["effect"].sel(kind="mean").values == pytest.approx([2, 3])
    assert drawn.attrs["interval_prob"] == 0.95


def test_mcse_of_an_autocorrelated_posterior_exceeds_the_binomial_one():
    rng = stream(3, "walk")
    steps = rng.standard_normal((4, 4000))
    for i in range(1, 4000):
        steps[:, i] = 0.95 * steps[:, i - 1] + np.sqrt(1 - 0.95**2) * steps[:, i]
    group = {"mu": (("chain", "draw"), 0.3 + 0.5 * steps), "tau": (("chain", "draw"), np.zeros((4, 4000)))}
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(group)})
    surface = simulate(truth(tree), design(), n=[100], seed=3).sel(n=100)
    p = surface["success"].sel(scenario="new_study").item()
    binomial = np.sqrt(p * (1 - p) / surface.attrs["replicates"])
    assert surface["success_mcse"].sel(scenario="new_study").item() > 3 * binomial
    assert surface["success_mcse"].sel(scenario="null").item() == pytest.approx(
        np.sqrt(0.025 * 0.975 / 40_000), rel=0.25
    )


# required n


def search(metric="power", value=0.8, **more) -> Search:
    return Search(target={"metric": metric, "value": value}, planning_value=0.5, **more)


def test_reference_required_n_equals_the_closed_form():
    answer = required_n(truth(replicates=400_000), design(), search(), seed=9)
    exact = int(np.ceil(closed_form.sample_size(effect=0.5, sd=1, power_target=0.8)))
    assert exact == 64
    assert answer.interval[0] <= exact <= answer.interval[1]
    assert abs(answer.n - exact) <= 1
    assert (answer.status, answer.plateau, answer.plateau_mcse) == ("reached", 1.0, 0.0)


def test_required_n_is_the_smallest_that_reaches_the_target():
    t, trial = truth(posterior(mean=0.5, sd=0.2, tau=0.2)), design(dropout=0.1)
    answer = required_n(t, trial, search("assurance"), seed=9)
    around = simulate(t, trial, n=[answer.n - 1, answer.n], seed=9)["success"].sel(scenario="new_study")
    assert around.values[0, 0] < 0.8 <= around.values[1, 0]
    assert answer.interval[0] <= answer.n <= answer.interval[1]


def test_uneven_allocation_counts_children_by_their_ratio():
    answer = required_n(truth(), design(ratio=2), search(), seed=9)
    exact = closed_form.sample_size(effect=0.5, sd=1, power_target=0.8, ratio=2)
    assert answer.interval[0] - 1 <= exact <= answer.interval[1] + 1
    assert design(ratio=1.5).sizes(9) == {"control": 9, "cells": 14}


def test_a_target_above_the_plateau_is_unreachable():
    t = truth(posterior(mean=0.2, sd=0.1, tau=0.5))
    answer = required_n(t, design(), search("assurance", 0.9), seed=9)
    exact = stats.norm.sf(-0.2 / np.hypot(0.1, 0.5))
    assert (answer.status, answer.why, answer.n, answer.interval) == ("unreachable", "plateau", None, None)
    assert abs(answer.plateau - exact) < 4 * answer.plateau_mcse
    nearly = simulate(t, design(), n=[answer.n_at_95_plateau - 1, answer.n_at_95_plateau], seed=9)
    below, above = nearly["success"].sel(scenario="new_study").values[:, 0]
    assert below < 0.95 * answer.plateau <= above
    assert answer.reference_n == answer.n_at_95_plateau


def test_a_plateau_within_its_error_of_the_target_decides_nothing():
    t = truth(posterior(mean=0.2, sd=0.1, tau=0.5))
    plateau = required_n(t, design(), search("assurance", 0.9), seed=9).plateau
    above = required_n(t, design(), search("assurance", plateau + 1e-4), seed=9)
    assert (above.status, above.why, above.n) == ("unreachable", "undecided", None)
    below = required_n(t, design(), search("assurance", plateau - 1e-2, max_n_per_arm=100_000), seed=9)
    assert below.why == "reached"
    assert below.interval[0] < below.n
    assert below.interval[1] is None or below.interval[1] > below.n


def test_a_search_stops_at_its_limit():
    answer = required_n(truth(planning=0.01), design(), search(max_n_per_arm=500), seed=9)
    assert (answer.status, answer.why, answer.plateau) == ("unreachable", "limit", 1.0)
    assert answer.n_at_95_plateau is None


def test_known_plateau_of_the_null_is_half_of_alpha():
    surface = simulate(truth(), with_test(design(), alpha=0.1), n=[], seed=1)
    assert surface["plateau"].sel(scenario="null").item() == pytest.approx(0.05)
    assert surface["plateau"].sel(scenario="planning_value").item() == 1


def test_two_searches_are_identical():
    runs = [required_n(truth(), design(dropout=0.1), search("assurance"), seed=9) for _ in range(2)]
    assert runs[0] == runs[1]
    other = required_n(truth(), design(dropout=0.1), search("assurance"), seed=10)
    assert json.dumps(vars(other)) != json.dumps(vars(runs[0]))


def test_streams_have_addresses():
    assert stream(1, "a", 3).random() == stream(1, "a", 3).random()
    draws = {stream(seed, purpose, block).random() for seed in (1, 2) for purpose in ("a", "b") for block in (0, 1)}
    assert len(draws) == 8
