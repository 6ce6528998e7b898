"""Several models in one answer: their shares, and that the shares reach truths and n."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import special

from gmfmsim.evidence.contrasts import contrasts_from_arrays
from gmfmsim.faults import InputError
from gmfmsim.model.average import Member, no_average, shares_of, stacking
from gmfmsim.model.declare import ModelChoice, read_model
from gmfmsim.model.engine import fit
from gmfmsim.model.nuts import Sampler
from gmfmsim.model.truths import mixed_draws
from gmfmsim.question.question import read_question
from gmfmsim.streams import stream

EXACT = Sampler(engine="exact", cross_check=False, draws=100)


def choice(weights: str, **prior_weights: float) -> ModelChoice:
    """Return how the models of these tests are weighed."""
    names = ["random_effects", "linear", "loglinear", "emax"]
    return ModelChoice(average=names, weights=weights, prior_weights=prior_weights or None)


def members(names, data):
    specs = {name: read_model(ModelChoice(name=name)) for name in names}
    return [Member(n, spec, f, np.nan) for n, spec in specs.items() for f in [fit(spec, data, EXACT, 1)]]


def dose_studies(curve, k=24, seed=3) -> xr.Dataset:
    """Two-arm studies over the range of doses, with effects of 6 points times a curve of dose, and small errors."""
    rng = stream(seed, "dose studies")
    dose = np.exp(rng.uniform(np.log(2e6), np.log(3e8), k))
    y = 6 * curve(dose) + rng.normal(0, 0.5, k)
    return contrasts_from_arrays(y, np.full(k, 0.25), dose=dose)


def test_known_shares_of_stacking():
    never = -800.0
    assert stacking(np.array([[0, never], [0, never], [never, 0]])) == pytest.approx([2 / 3, 1 / 3], abs=1e-6)
    assert stacking(np.array([[0.0, -1.0], [0.5, -0.1]])) == pytest.approx([1, 0], abs=1e-6)
    one_each = np.where(np.eye(3, dtype=bool), [0.3, 0.1, 2.0], never)
    assert stacking(one_each) == pytest.approx([1 / 3] * 3)


def shared(**shares: float) -> list[Member]:
    """Return members by share, with log densities of four blocks: each model 0.1 a block below the one before."""
    density = {name: np.full(4, -0.1 * i) for i, name in enumerate(shares)}
    return [Member(name, None, None, share, density[name]) for name, share in shares.items()]


def test_known_an_average_with_all_weight_on_one_model_says_so():
    said = no_average(shared(linear=0.99996, emax=0.00004, loglinear=0.0))
    assert said == "No average: all weight on linear, from 4 blocks of studies that are 0.4 apart in log density."
    assert no_average(shared(linear=0.99, emax=0.01)) is None
    assert no_average(shared(linear=1.0)) is None


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-30, 5)] * 3), min_size=2, max_size=12))
@example([(0.0, 0.0, 0.0), (0.0, 0.0, 0.0007)])
def test_stacking_is_at_least_as_good_as_any_model_alone(rows):
    log_density = np.array(rows)
    share = stacking(log_density)
    assert share.min() >= 0
    assert share.sum() == pytest.approx(1)
    top = log_density.max(axis=1)
    score = (np.log(np.exp(log_density - top[:, None]) @ share) + top).sum()
    assert score >= log_density.sum(axis=0).max() - 1e-9


def test_known_posterior_shares_are_the_normalised_marginal_likelihoods():
    data = dose_studies(lambda d: d / (d + 3e7))
    found = shares_of(members(("random_effects", "loglinear", "emax"), data), data, choice("posterior"))
    log_marginal = np.array([m.fit.exact.log_marginal for m in found])
    assert [m.share for m in found] == pytest.approx(np.exp(log_marginal) / np.exp(log_marginal).sum())


def test_known_prior_weights_multiply_the_marginal_likelihoods():
    data = dose_studies(lambda d: d / (d + 3e7))
    found = shares_of(members(("random_effects", "emax"), data), data, choice("posterior", emax=4.0))
    evidence = [np.exp(m.fit.exact.log_marginal) for m in found]
    assert found[1].share == pytest.approx(4 * evidence[1] / (evidence[0] + 4 * evidence[1]))


@pytest.mark.parametrize("weights", ["posterior", pytest.param("stacking", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("truth", "curve"),
    [("linear", lambda d: d / 1e8), ("emax", lambda d: d / (d + 2e7)), ("random_effects", np.ones_like)],
)
def test_recovery_of_the_curve_that_made_the_data(truth, curve, weights):
    data = dose_studies(curve)
    found = shares_of(members(("random_effects", "linear", "emax"), data), data, choice(weights))
    best = max(found, key=lambda m: m.share)
    assert (best.name, best.share > 0.8) == (truth, True)


def test_known_mix_takes_models_in_turns_and_in_their_shares():
    def part(value):
        return xr.Dataset({"mean": (("chain", "draw"), np.full((2, 1000), float(value)))})

    mixed = mixed_draws([part(0), part(1), part(2)], [0.5, 0.3, 0.2])["mean"]
    assert mixed.shape == (2, 1000)
    assert [int((mixed == i).sum()) for i in range(3)] == [1000, 600, 400]
    stretches = mixed.values.reshape(2, 20, 50).mean(axis=-1)
    assert np.abs(stretches - 0.7).max() < 0.03
    assert mixed_draws([part(5)], [1.0])["mean"].identical(part(5)["mean"])


def test_the_shares_reach_the_truths(results):
    answer = results["curve_average"].answer
    for plan in (answer, *answer["alternatives"]):
        assert sum(m["share"] for m in plan["models"]) == pytest.approx(1, abs=1e-5)
        assert [m["name"] for m in plan["models"]] == ["random_effects", "linear", "loglinear", "emax"]
    tree = {p.name: p for p in results["curve_average"].folder.glob("posterior-*.nc")}
    assert len(tree) == 4
    plateau, variance = 0.0, 0.0
    shapes = {"random_effects": 1.0, "linear": 1.0, "loglinear": np.log10(11)}
    for m in answer["models"]:
        (path,) = (p for name, p in tree.items() if m["name"] == name.split("-", 2)[2].removesuffix(".nc"))
        group = xr.open_datatree(path)["posterior"].to_dataset()
        amplitude = group[read_model(ModelChoice(name=m["name"])).shape.amplitude]
        shape = shapes.get(m["name"]) or 1e8 / (group["ed50"] + 1e8)
        above = special.ndtr((amplitude * shape / (group["tau"] * shape)).values)
        plateau += m["share"] * above.mean()
        variance += (m["share"] * above.std()) ** 2 / above.size
    assert answer["plateau"] == pytest.approx(plateau, abs=4 * np.sqrt(variance))  # exact, against independent draws


def write(tmp_path, model: str, more: str = "") -> str:
    text = (read_shipped("curve_average")).split("[[alternatives]]")[0]
    head, tail = text.split("[model]")
    path = tmp_path / "trial.toml"
    path.write_text(f"{head}[model]\n{model}\n[trial]{tail.split('[trial]')[1]}{more}", encoding="utf-8")
    return str(path)


def read_shipped(name: str) -> str:
    from gmfmsim.files.shelf import find

    return find("experiments", name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ('average = ["emax"]', "model.average"),
        ('average = ["emax", "emax"]', "each model once"),
        ('name = "emax"\naverage = ["emax", "linear"]', "either name"),
        ('name = "emax"\nweights = "stacking"', "weights with average"),
        ('average = ["emax", "linaer"]', "linear"),
        ('average = ["emax", "dose_error"]', "stacking"),
        ('average = ["emax", "linear"]\nweights = "bic"', "posterior"),
        (
            'average = ["emax", "linear"]\n[model.priors.mu]\n'
            'dist = "normal"\nmean = 0\nsd = 1\nunit = "points"\nreason = "test"',
            "no model has a parameter of this name",
        ),
    ],
)
def test_a_faulty_average_is_refused_in_words(tmp_path, model, said):
    with pytest.raises(InputError, match=said):
        read_question(write(tmp_path, model))


def test_a_changed_prior_counts_for_every_model_that_has_it(tmp_path):
    prior = '[model.priors.tau]\ndist = "half_normal"\nsd = 1\nunit = "points"\nreason = "test"'
    (plan,) = read_question(write(tmp_path, f'average = ["emax", "linear"]\n{prior}')).plans
    assert [spec.priors["tau"].sd for spec in plan.models.values()] == [1, 1]


def test_an_alternative_may_take_one_model_where_the_plan_averages(tmp_path):
    more = '\n[[alternatives]]\nlabel = "one"\nmodel = { name = "emax" }\n'
    first, one = read_question(write(tmp_path, 'average = ["emax", "linear"]', more)).plans
    assert (list(first.models), list(one.models)) == (["emax", "linear"], ["emax"])
