"""What holds after one more trial: known answers, a fit with the trial beside the evidence, laws of expectation."""

import math

import numpy as np
import pytest
from conftest import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from gmfmsim.compute.algebra import gauss_hermite
from gmfmsim.evidence.contrasts import contrasts_from_arrays
from gmfmsim.model.after import (
    After,
    Joint,
    after,
    after_many,
    joint,
    merged,
    mixed_joint,
    perfect_information,
    sample_information,
)
from gmfmsim.model.average import Published
from gmfmsim.model.curves import CURVES
from gmfmsim.model.declare import ModelChoice, read_model
from gmfmsim.model.effect import Condition, effect_at
from gmfmsim.model.exact import posterior
from gmfmsim.model.structure import structure

EFFECT, SE = np.array([2.1, 0.4, 3.3, 1.0, 2.6]), np.array([1.1, 0.9, 1.4, 0.8, 1.2])
DOSE, AT = np.array([1.4e7, 2e7, 5e7, 6e7, 1e8]), Condition(5e7)
ESTIMATES = ((3.0, 0.3), (-4.0, 0.8), (1.5, 0.05), (8.0, 1.0))


def fitted(model: str, *more: tuple[float, float]):
    """The exact posterior of five studies, and of further ones at the condition, with the curve of the model."""
    added = np.array(more).reshape(-1, 2)
    data = contrasts_from_arrays(
        np.append(EFFECT, added[:, 0]),
        np.append(SE, added[:, 1]) ** 2,
        dose=np.append(DOSE, np.full(len(more), AT.dose)),
    )
    spec = read_model(ModelChoice(name=model))
    return posterior(structure(spec, data)), spec.shape


def one(mean=1.0, sd=0.8, between=0.5) -> Joint:
    return Joint(*(np.array([x]) for x in (1.0, mean, sd, between)))


def several(size: int = 300, seed: int = 1) -> Joint:
    """Many components, some of them without spread or scatter."""
    rng = np.random.default_rng(seed)
    weight = rng.random(size)
    sd, between = rng.gamma(4, 0.2, size), rng.gamma(1, 0.8, size)
    sd[:3], between[:9] = 0.0, 0.0
    return Joint(weight / weight.sum(), rng.normal(1.5, 0.6, size), sd, between)


# one component


def test_known_one_component_is_the_normal_model():
    known, y, se = one(), 2.5, 0.7
    total = 0.8**2 + 0.5**2 + se**2
    found = known.given(y, se)
    assert found.mean[0] == pytest.approx(1 + 0.8**2 / total * 1.5, rel=1e-12)
    assert found.sd_of_mean[0] == pytest.approx((1 / 0.8**2 + 1 / (0.5**2 + se**2)) ** -0.5, rel=1e-12)
    own = known.own(y, se)
    assert own.sds[0] == pytest.approx((1 / (0.8**2 + 0.5**2) + 1 / se**2) ** -0.5, rel=1e-12)
    assert own.mean == pytest.approx(1 + (0.8**2 + 0.5**2) / total * 1.5, rel=1e-12)
    assert found.between == (0.5, 0.0)


@pytest.mark.parametrize("border", [-1.0, 0.3, 1.0, 1.4, 4.0])
@pytest.mark.parametrize("se", [0.01, 0.5, 3.0])
def test_known_information_of_one_component_is_the_unit_normal_loss(border, se):
    s = 0.8**2 / math.sqrt(0.8**2 + 0.5**2 + se**2)
    u = abs(1.0 - border) / s
    expected = s * (stats.norm.pdf(u) - u * stats.norm.sf(u))
    assert sample_information(one(), np.array([se]), border)[0] == pytest.approx(expected, rel=1e-9, abs=1e-15)
    v = abs(1.0 - border) / 0.8
    assert perfect_information(one(), border) == pytest.approx(0.8 * (stats.norm.pdf(v) - v * stats.norm.sf(v)))


def test_known_a_published_estimate_is_one_component():
    class Estimate:
        mean, se, tau = 1.4, 0.5, 0.6

    found = joint(Published(Estimate()), CURVES["constant"], AT)
    assert [x.tolist() for x in found.columns.values()] == [[1.0], [1.4], [0.5], [0.6]]


# a fit with the trial beside the evidence


@pytest.mark.parametrize("model", ["random_effects", "emax", "arms"])
def test_reference_a_trial_updates_as_a_fit_with_one_more_study(model):
    """Mean and SD of mu and of a new study: both sides are quadrature whose error of a marginal is below 1e-6. The SD
    between studies has a corner at 0, where few nodes stand: of moments that are no part of it 0.002 remain."""
    before = joint(*fitted(model), AT)
    for y, se in ESTIMATES:
        updated, refitted = before.given(y, se), joint(*fitted(model, (y, se)), AT)
        for of in ("mean", "new_study"):
            a, b = updated.of(of), refitted.of(of)
            assert (a.mean, a.sd) == pytest.approx((b.mean, b.sd), abs=2e-6), (of, y, se)
            assert a.quantile(0.9) == pytest.approx(b.quantile(0.9), abs=2e-4)
        assert updated.between == pytest.approx(refitted.between, abs=2e-3)


def test_reference_two_trials_one_after_the_other_are_a_fit_to_both():
    before = joint(*fitted("random_effects"), AT)
    both = before.given(3.0, 0.4).given(0.5, 0.6).of("mean")
    refitted = joint(*fitted("random_effects", (3.0, 0.4), (0.5, 0.6)), AT).of("mean")
    assert (both.mean, both.sd) == pytest.approx((refitted.mean, refitted.sd), abs=1e-6)


def test_known_the_scatter_is_the_variance_of_a_new_study_less_that_of_the_mean():
    exact, curve = fitted("emax")
    found = joint(exact, curve, AT)
    mean, new = (effect_at(exact, curve, AT, of) for of in ("mean", "new_study"))
    assert found.sd_between**2 == pytest.approx(new.sds**2 - mean.sds**2, abs=1e-12)
    assert found.of("new_study").mean == pytest.approx(new.mean, abs=1e-12)


# laws of expectation


def averaged(of: Joint, se: float, figure) -> float:
    """E of a figure of estimates over their predictive distribution, by Gauss and Hermite's rule in each component."""
    z, share = gauss_hermite(60)
    law = of.estimates(se)
    y = law.means[:, None] + law.sds[:, None] * z
    values = figure(after(of, y.ravel(), se)).reshape(y.shape)
    return float((law.weight[:, None] * share * values).sum())


@pytest.mark.parametrize("se", [0.3, 1.5])
def test_known_means_and_variances_are_kept_on_average(se):
    """Total expectation of mu, tau and P(mu > 0); total variance of mu."""
    of = merged(joint(*fitted("random_effects"), AT))
    mean = of.of("mean")
    assert averaged(of, se, lambda f: f.mean) == pytest.approx(mean.mean, abs=2e-5)
    assert averaged(of, se, lambda f: f.between) == pytest.approx(of.between[0], abs=2e-5)
    assert averaged(of, se, lambda f: f.above) == pytest.approx(mean.above(0), abs=2e-5)
    total = averaged(of, se, lambda f: f.sd**2 + (f.mean - mean.mean) ** 2)
    assert total == pytest.approx(mean.sd**2, abs=2e-4)


# many trials, few components


def test_known_each_of_many_trials_is_as_one():
    of, y, se = several(), np.array([-6.0, 0.0, 2.2, 30.0]), np.array([0.2, 1.0, 0.05, 2.0])
    found = after(of, y, se, 0.5)
    for i in range(4):
        then, own = of.given(y[i], se[i]), of.own(y[i], se[i])
        mean = then.of("mean")
        expected = After(mean.mean, mean.sd, mean.above(0.5), *then.between, own.above(0.5))
        assert [x[i] for x in found] == pytest.approx(list(expected), abs=1e-9)


def test_reference_a_table_of_many_trials_is_as_each_by_itself():
    of, rng = merged(joint(*fitted("emax"), AT)), np.random.default_rng(2)
    se = rng.uniform(0.5, 0.9, 200_000)
    y = 2 + 2 * rng.standard_normal(200_000)
    table, each = after_many(of, y, se, 1.0), after(of, y[:4000], se[:4000], 1.0)
    for fast, slow in zip(table, each, strict=True):
        assert np.abs(fast[:4000] - slow).max() < 1e-3
        assert np.abs(fast[:4000] - slow).mean() < 2e-5
    same = after_many(of, y, 0.7, 1.0)
    assert np.abs(same.own[:4000] - after(of, y[:4000], 0.7, 1.0).own).max() < 1e-3


def test_reference_merged_components_say_nearly_the_same():
    """An average over two models of the same studies: what the merge loses is within what it states."""
    parts = [joint(*fitted(name), AT) for name in ("random_effects", "emax")]
    whole = mixed_joint(parts, [0.3, 0.7])
    few = merged(whole)
    assert few.weight.size < whole.weight.size / 2
    for of in ("mean", "new_study"):
        assert few.of(of).mean == pytest.approx(whole.of(of).mean, abs=1e-6)
        assert few.of(of).sd == pytest.approx(whole.of(of).sd, abs=1e-6)
    y = np.linspace(-5, 9, 57)
    for se in (0.1, 0.7, 2.0):
        a, b, law = after(whole, y, se, 1.0), after(few, y, se, 1.0), whole.estimates(se)
        density = stats.norm.pdf(y[:, None], law.means, law.sds) @ law.weight
        for name, most in (("mean", 1e-3), ("sd", 1e-3), ("above", 5e-4), ("own", 5e-4)):
            assert (density * np.abs(getattr(a, name) - getattr(b, name))).max() < most, (name, se)
    ses = np.array([0.0, 0.3, 1.0])
    for border in (0.5, 1.5, 3.0):
        apart = sample_information(whole, ses, border) - sample_information(few, ses, border)
        assert np.abs(apart).max() < 1e-4


def test_reference_information_is_the_integral_over_estimates():
    of = several(60, seed=3)
    of = Joint(of.weight, of.mean, np.maximum(of.sd_of_mean, 0.2), of.sd_between)
    now, se = of.of("mean").mean, 0.6
    law = of.estimates(se)

    def gain(y: float, border: float) -> float:
        density = float(stats.norm.pdf(y, law.means, law.sds) @ law.weight)
        return density * max(after(of, np.array([y]), se).mean[0] - border, 0)

    for border in (0.8, now, 2.4):
        whole = integrate.quad(gain, -30, 40, args=(border,), points=[0, 1, 2, 3, 4], limit=400)[0]
        found = sample_information(of, np.array([se]), border)[0]
        assert found == pytest.approx(whole - max(now - border, 0), abs=1e-7)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="se = 0: must be a finite number above 0"):
        one().given(1.0, 0.0)
    with pytest.raises(ValueError, match="estimate"):
        after(one(), np.array([math.nan]), 1.0)
    with pytest.raises(ValueError, match="se"):
        sample_information(one(), np.array([-1.0]), 0.0)


COMPONENTS = st.lists(
    st.tuples(st.floats(0.05, 1), st.floats(-3, 5), st.floats(0.05, 3), st.floats(0, 4)), min_size=1, max_size=6
)


@settings(max_examples=examples(25, 100), deadline=None)
@given(parts=COMPONENTS, border=st.floats(-4, 6), ses=st.lists(st.floats(0.05, 9), min_size=2, max_size=5))
def test_information_rises_with_precision_and_stays_below_that_of_a_known_effect_and_mean(parts, border, ses):
    weight, *rest = map(np.array, zip(*parts, strict=True))
    of = Joint(weight / weight.sum(), *rest)
    found = sample_information(of, np.array([*sorted(ses, reverse=True), 0.0]), border)
    assert (found >= 0).all()
    assert (np.diff(found) >= -1e-9).all()
    assert found[-1] <= perfect_information(of, border) + 1e-9


@settings(max_examples=examples(20, 100), deadline=None)
@given(parts=COMPONENTS, y=st.floats(-20, 20), se=st.floats(0.05, 5))
def test_weights_after_a_trial_sum_to_one_and_no_spread_grows(parts, y, se):
    weight, *rest = map(np.array, zip(*parts, strict=True))
    of = Joint(weight / weight.sum(), *rest)
    then = of.given(y, se)
    assert then.weight.sum() == pytest.approx(1)
    assert (then.sd_of_mean <= of.sd_of_mean * (1 + 1e-12)).all()
    assert after(of, np.array([y]), se).own[0] == pytest.approx(of.own(y, se).above(0), abs=1e-9)
