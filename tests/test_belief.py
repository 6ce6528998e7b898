"""What a model believes of the next trial: exact mixtures against draws and quadrature, and the kept posterior."""

import numpy as np
import pytest
import xarray as xr
from exact_figures import state_probability
from scipy import integrate, stats
from test_terms import evidence, model

from gmfmsim.evidence.contrasts import contrasts_from_arrays
from gmfmsim.evidence.pooled import PooledEstimate
from gmfmsim.model.average import Member, Published
from gmfmsim.model.checks import checks
from gmfmsim.model.declare import ModelChoice, read_model
from gmfmsim.model.effect import Condition, effect_draws
from gmfmsim.model.engine import fit
from gmfmsim.model.kept import kept
from gmfmsim.model.nuts import Sampler
from gmfmsim.model.setting import Setting
from gmfmsim.model.truths import Belief, belief, exact_belief, mixed_belief, truths

EXACT = Sampler(cross_check=False, draws=1000)
ESTIMATE = PooledEstimate(0.95, 0.2, 0.7, "as printed", "standard deviations", {"row": 3})


def moments(found: Belief | xr.Dataset) -> tuple[float, float]:
    """Mean and SD of a mixture of normals."""
    labelled = found.dataset() if isinstance(found, Belief) else found
    w, m, s = (labelled[name].values for name in ("weight", "mean", "sd"))
    mean = (w * m).sum()
    return mean, np.sqrt((w * (s**2 + (m - mean) ** 2)).sum())


def below(found: Belief, x: float) -> float:
    w, m, s, df = found.weight, found.mean, found.sd, found.df
    return float((w * np.where(np.isinf(df), stats.norm.cdf(x, m, s), stats.t.cdf(x, df, m, s))).sum())


@pytest.fixture(scope="module")
def fitted():
    """Models with and without terms, by name: Member and the condition of the next trial."""
    few = contrasts_from_arrays([3.2, 7.1, 1.4, 5.9], np.square([1.2, 2, 1.5, 2.5]), dose=[5e7] * 4)
    told = evidence(2, ("cell_class", "age", "arms"), studies=12, arms=2)
    msc = Condition(8e7, setting=Setting(cell_class="MSC", age=6.0))
    out = {}
    for name, spec, data, at in (
        ("plain", model(), few, Condition(5e7)),
        ("emax", read_model(ModelChoice(name="emax")), few, Condition(8e7)),
        ("terms", model("log_linear", ("cell_class", "age", "arms")), told, msc),
    ):
        found = fit(spec, data, EXACT, seed=3)
        out[name] = Member(name, spec, found, 1.0), at, data
    return out


@pytest.mark.parametrize("name", ["plain", "emax", "terms"])
def test_reference_the_exact_belief_equals_that_of_draws(fitted, name):
    member, at, _ = fitted[name]
    exact, draws = (
        exact_belief(member.mixture, member.curve, at),
        effect_draws(member.tree, member.curve, {"at": at}).isel(arm=0),
    )
    centre, scatter = draws["mean"].values.ravel(), draws["scatter"].values.ravel()
    new = centre + scatter * stats.norm.ppf(np.random.default_rng(1).random(centre.size))
    mean, sd = moments(exact)
    assert abs(new.mean() - mean) < 4 * sd / np.sqrt(new.size)
    for x in (mean - 2 * sd, mean - sd, mean, mean + sd, mean + 2 * sd):
        p = below(exact, x)
        conditional = stats.norm.cdf(x, centre, scatter)
        assert abs(conditional.mean() - p) < 4 * conditional.std() / np.sqrt(conditional.size)


def test_reference_the_exact_belief_equals_quadrature_by_scipy(fitted):
    """mu ~ Normal(0, 10), tau ~ HalfNormal(3): mu integrated by hand, tau by SciPy."""
    member, at, data = fitted["plain"]
    y, v = data["effect"].values.ravel(), data["se"].values.ravel() ** 2

    def given(tau):
        w = 1 / (v + tau**2)
        precision = 0.01 + w.sum()
        mean = (w * y).sum() / precision
        spread = np.diag(v + tau**2) + 100.0
        log_p = stats.multivariate_normal(np.zeros(y.size), spread).logpdf(y) - tau**2 / 18
        return np.exp(log_p), mean, np.sqrt(1 / precision + tau**2)

    def integral(f):
        return integrate.quad(f, 0, 40, epsabs=0, epsrel=1e-11, limit=400)[0]

    total = integral(lambda tau: given(tau)[0])
    found = exact_belief(member.mixture, member.curve, at)
    for x in (-3.0, 0.0, 2.0, 4.0, 9.0):
        wanted = integral(lambda tau, x=x: given(tau)[0] * stats.norm.cdf(x, *given(tau)[1:])) / total
        assert below(found, x) == pytest.approx(wanted, abs=1e-8)
    assert found.attrs == {"unit": "GMFM-66 points", "dose": 5e7, "month": 12.0}


def test_known_a_published_estimate_is_a_posterior_of_one_component():
    taken = Published(ESTIMATE)
    member = Member("review", None, None, 1.0, alone=taken, draws=taken.tree(EXACT, 1))
    found = exact_belief(member.mixture, member.curve, Condition(5e7))
    assert found.weight.size == 1
    assert moments(found) == pytest.approx((0.95, np.hypot(0.2, 0.7)))
    none = exact_belief(member.mixture, member.curve, Condition(0.0))
    assert moments(none) == (0.0, 0.0)
    tree = kept(member, {"control": Condition(0.0), "cells": Condition(5e7)}, "cells", None, None, seed=4)
    assert tree["belief"].attrs["unit"] == tree["predictions"]["new_study"].attrs["unit"] == "standard deviations"
    assert tree["predictions"]["new_study"].sel(arm="cells").std().item() == pytest.approx(np.hypot(0.2, 0.7), rel=0.03)


def test_known_beliefs_mix_in_their_shares():
    one, other = belief([1.0], [0.0], [1.0]), belief([0.5, 0.5], [2.0, 4.0], [1.0, 2.0], 5.0)
    found = mixed_belief([one, other, belief([1.0], [9.0], [1.0])], [0.25, 0.75, 0.0])
    assert found.weight.tolist() == [0.25, 0.375, 0.375]
    for x in (-1.0, 1.0, 3.0):
        assert below(found, x) == pytest.approx(0.25 * below(one, x) + 0.75 * below(other, x))


@pytest.mark.parametrize(
    ("wrong", "columns"),
    [
        ("weight", ([0.5, 0.4], [0.0, 1.0], [1.0, 1.0])),
        ("weight", ([1.0, 0.0], [0.0, 1.0], [1.0, 1.0])),
        ("mean", ([1.0], [np.nan], [1.0])),
        ("mean, sd", ([1.0], [0.0, 1.0], [-1.0])),
        ("df", ([1.0], [0.0], [1.0], 0.0)),
    ],
)
def test_a_belief_that_is_no_distribution_is_refused_by_name(wrong, columns):
    with pytest.raises(ValueError, match=f"^{wrong} of"):
        belief(*columns)


def test_the_belief_is_what_the_truths_are_drawn_from(fitted):
    member, at, _ = fitted["terms"]
    effects = effect_draws(member.tree, member.curve, {"control": Condition(0.0, setting=at.setting), "cells": at})
    sd = read_model(ModelChoice(name="random_effects")).priors["tau"]
    drawn = truths(effects, sd_change=sd, planning_value=1.0, replicates=20_000, seed=2)
    new = drawn["effect"].sel(scenario="new_study", arm="cells").values
    expected = exact_belief(member.mixture, member.curve, at)
    mean, scale = moments(expected)
    assert abs(new.mean() - mean) < 4 * scale / np.sqrt(new.size)
    assert abs((new < mean - scale).mean() - below(expected, mean - scale)) < 4 * 0.5 / np.sqrt(new.size)


def test_a_class_of_cells_that_the_model_does_not_know_is_refused(fitted):
    member, _, _ = fitted["terms"]
    at = Condition(5e7, setting=Setting(cell_class="platelets", age=3.0))
    with pytest.raises(ValueError, match="class_effect of 'platelets'"):
        effect_draws(member.tree, member.curve, {"at": at})


@pytest.mark.parametrize("name", ["emax", pytest.param("terms", marks=pytest.mark.slow)])
def test_everything_in_a_kept_posterior_has_a_name_and_a_unit(fitted, name, tmp_path):
    member, at, data = fitted[name]
    found = checks(member.fit, member.spec, data, margins=(0.0,), at=at)
    arms = {"control": Condition(0.0, setting=at.setting), "cells": at}
    before = member.tree["posterior"].to_dataset().copy(deep=True)
    kept(member, arms, "cells", data, found, seed=5).to_netcdf(tmp_path / "p.nc")
    tree = xr.open_datatree(tmp_path / "p.nc")
    lacking = [
        f"{group.path}/{v}"
        for group in tree.subtree
        for v, variable in group.to_dataset().variables.items()
        if not (variable.attrs.get("unit") and variable.attrs.get("long_name"))
    ]
    assert lacking == []
    assert tree.attrs == {
        "title": member.spec.title,
        "model": name,
        "interval": "equal-tailed",
        "interval_prob": 0.95,
    }
    assert {"predictions", "belief", "leave_one_out"} < set(tree.children)
    mean, sd = moments(exact_belief(member.mixture, member.curve, at))
    assert moments(tree["belief"].to_dataset()) == pytest.approx((mean, sd))
    new = tree["predictions"]["new_study"].sel(arm="cells").values
    assert abs(new.mean() - mean) < 4 * sd / np.sqrt(new.size)
    assert (tree["predictions"]["new_study"].sel(arm="control") == 0).all()
    assert tree["leave_one_out"]["elpd_study"].sum().item() == pytest.approx(found.studies.attrs["total_elpd"])
    assert before.identical(member.tree["posterior"].to_dataset())


def test_the_readings_of_draws_come_as_often_as_they_are_probable():
    """One effect of two readings: P(reading | y) by hand, mu ~ Normal(0, 10) and tau as in the model."""
    data = contrasts_from_arrays([0.0, 0.5, -0.5], [1.0, 1.0, 1.0])
    first = data.isel(reading=0).drop_vars(("suspect", "reading_of"))
    second = first["effect"].values.copy()
    second[0] = 4.0
    two = first.assign(
        effect=(("reading", "contrast"), np.stack([first["effect"].values, second])),
        se=first["se"].expand_dims(reading=2),
        log_se_sd=first["log_se_sd"].expand_dims(reading=2),
        covariance=first["covariance"].expand_dims(reading=2),
        weight=("reading", [0.5, 0.5]),
        reading_of=(("reading", "suspect"), [["low"], ["high"]]),
    ).assign_coords(suspect=["study_1"])
    spec = read_model(ModelChoice(name="random_effects"))
    found = fit(spec, two, EXACT, 1)
    member = Member("random_effects", spec, found, 1.0)
    tree = kept(member, {"cells": Condition(5e7)}, "cells", two, None, seed=1)
    share = tree["posterior"]["reading"].values
    p = state_probability(found.exact)[-1]  # of the last block: those with most readings stand behind others
    assert abs((share == 0).mean() - p[0]) < 4 * 0.5 / np.sqrt(share.size)
