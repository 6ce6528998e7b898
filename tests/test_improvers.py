"""Shares of improvers: the law of change without cells, the effect that a count implies, and the reports of them."""

import itertools
import math

import numpy as np
import pytest
from conftest import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from gmfmsim.dist.distributions import Normal
from gmfmsim.evidence.improvers import reported_improvers
from gmfmsim.evidence.read import read_tables
from gmfmsim.model.improvers import Changes, counted, counted_in_forms, effect_given
from gmfmsim.streams import stream
from gmfmsim.trial.generate.children import draw_trials
from gmfmsim.trial.presets import read_children, read_design
from gmfmsim.trial.untreated import of_ages, untreated


def normal(mean, sd):
    return Normal(dist="normal", mean=mean, sd=sd)


ONE = Changes(np.ones(1), np.ones(1), np.array([[5.0]]), np.array([[4.0]]))
"""One normal distribution of changes: Normal(5, 4^2)."""

TWO = Changes(np.array([0.3, 0.7]), np.array([0.25, 0.75]), np.array([[2.0, 6.0], [1.0, 7.0]]), np.full((2, 2), 5.0))


def test_known_share_of_one_normal_distribution():
    """Phi((m + v + theta - c) / sd), and the effect from the share by the quantile."""
    assert ONE.share(3.1 + 1.4 - 4) == pytest.approx(stats.norm.cdf((5 + 3.1 + 1.4 - 4) / 4), rel=1e-13)
    assert ONE.shift(0.8) == pytest.approx(4 * stats.norm.ppf(0.8) - 5, abs=1e-10)
    assert ONE.average == 5


@settings(max_examples=examples(20, 100))
@given(st.floats(-30, 30), st.sampled_from([ONE, TWO]))
def test_share_and_shift_are_inverse(shift, changes):
    share = changes.share(shift)
    if 1e-6 < share < 1 - 1e-6:
        assert changes.shift(share) == pytest.approx(shift, abs=1e-7)
    tails = changes.above(np.array([shift])) + changes.above(np.array([shift]), -1)
    assert tails == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_no_effect_gives_every_child_or_none(share):
    with pytest.raises(ValueError, match="between 0 and 1"):
        ONE.shift(share)


@pytest.mark.parametrize(("name", "month"), [("preschool", 12), ("registry", 6), ("young_mild", 12), ("severe", 12)])
def test_the_law_is_that_of_simulated_children(name, month):
    """Shares and mean of 400,000 simulated children, without an effect, response and the ends of the scale; with these
    ends shares differ by less than one child in a hundred."""
    children, trials, each = read_children(name), 400, 1000
    gain, law = children.volunteer_gain.value * month / 12, untreated(children, month)
    for ends in ({"floor": -1e3, "ceiling": 1e4}, {}):
        values = {"response_sd": 0.0} | ends
        changed = {k: getattr(children, k).model_copy(update={"value": v, "low": None}) for k, v in values.items()}
        update = {"children": children.model_copy(update=changed), "visits": [month]}
        design = read_design("next_single_arm").model_copy(update=update)
        sd = design.sd_change.ppf((np.arange(trials) + 0.5) / trials)
        change = draw_trials(design, each, np.zeros((1, trials)), sd, stream(7, name)).change[0]
        change = change[np.isfinite(change)]
        if ends:
            assert law.average + gain == pytest.approx(change.mean(), abs=5 * change.std() / math.sqrt(change.size))
        for margin in (0, 2, 4, 8):
            share = law.share(gain - margin)
            error = 4.5 * math.sqrt(share * (1 - share) / change.size)
            assert share == pytest.approx((change > margin).mean(), abs=error if ends else 0.01)


def test_untreated_preschool_children_gain():
    """The shipped population that gains something in about 92 % of cases and more than 4 points in about 76 %."""
    law = untreated(read_children("preschool"), 12)
    assert law.share(3.1) == pytest.approx(0.92, abs=0.01)
    assert law.share(3.1 - 4) == pytest.approx(0.76, abs=0.01)


def test_the_law_integrates_the_curves_of_one_level():
    """One level, one rate: quadrature over age and limit by another rule."""
    children = read_children("preschool")
    still = {"mix": children.mix.model_copy(update={"value": [0, 1, 0, 0, 0]})}
    still["rate_spread"] = children.rate_spread.model_copy(update={"value": 0.0})
    still["excess_sd"] = children.excess_sd.model_copy(update={"sigma": 0.0})
    law = untreated(children.model_copy(update=still), 12)
    k, limit, sd_limit = math.log(10) / 4.4, 68.4, (76.1 - 59.6) / (2 * stats.norm.ppf(0.75))

    def above(age):
        gained = math.exp(-k * age) - math.exp(-k * (age + 1))
        return stats.norm.cdf((limit * gained - 3) / math.hypot(sd_limit * gained, 4.91))

    halves = ((2, 3.6), (3.6, 5))
    expected = sum(integrate.quad(above, *ends)[0] / (ends[1] - ends[0]) / 2 for ends in halves)
    assert law.share(-3.0) == pytest.approx(expected, abs=1e-9)
    assert law.chance.tolist() == [1.0]


def test_twice_the_nodes_change_nothing(monkeypatch):
    children = read_children("registry")
    law = untreated(children, 12)
    for name, nodes in (("AGES", 20), ("RATES", 12), ("SDS", 21)):
        monkeypatch.setattr(f"gmfmsim.trial.untreated.{name}", nodes)
    for margin in (-3, 0, 4, 10):
        assert untreated(children, 12).share(-margin) == pytest.approx(law.share(-margin), abs=2e-7)


def test_above_expected_is_the_excess_alone():
    children = read_children("preschool")
    law = untreated(children, 6, above_expected=True)
    assert law.average == 0
    assert law.share(0.0) == pytest.approx(0.5, abs=1e-14)


def brute_force(improved, children, changes, effect, gain, margin) -> np.ndarray:
    """Mean, P(theta > mean of its prior + half a step) and log probability by sums on even grids of theta and v - c."""
    theta = np.linspace(effect.mean - 9 * effect.sd, effect.mean + 9 * effect.sd, 1201)
    u_sd = math.hypot(gain.sd, margin.sd)
    u = np.linspace(-8, 8, 321) * u_sd + gain.mean - margin.mean
    prior = stats.norm.pdf(theta, effect.mean, effect.sd)[:, None] * stats.norm.pdf(u, gain.mean - margin.mean, u_sd)
    likelihood = 0
    for chance, mean, sd in zip(changes.chance, changes.mean, changes.sd, strict=True):
        p = sum(
            w * special.ndtr((theta[:, None] + u + m) / s) for w, m, s in zip(changes.weight, mean, sd, strict=True)
        )
        likelihood = likelihood + chance * stats.binom.pmf(improved, children, p)
    joint = prior * likelihood * (theta[1] - theta[0]) * (u[1] - u[0])
    total = joint.sum()
    of_theta = joint.sum(axis=1) / total
    return np.array([(of_theta * theta).sum(), of_theta[601:].sum(), math.log(total)])


@pytest.mark.parametrize(("improved", "children"), [(8, 10), (0, 7), (20, 20), (160, 200)])
@pytest.mark.parametrize("changes", [ONE, TWO])
def test_the_posterior_is_that_of_brute_force(improved, children, changes):
    priors = {"effect": normal(0.5, 4), "gain": normal(3.1, 0.9), "margin": normal(2, 1)}
    effect, log_marginal = effect_given(counted(improved, children), changes, **priors)
    mean, above, log = brute_force(improved, children, changes, **priors)
    assert (effect.mean, log_marginal) == pytest.approx((mean, log), abs=1e-8)
    assert effect.above(0.5 + 9 * 4 / 1200) == pytest.approx(above, abs=5e-5)  # between two points of the grid


def test_known_posterior_of_a_huge_count():
    """With a hundred thousand children the share is known: theta is that of the link, and v - c as uncertain as before,
    drawn to the prior."""
    share, prior, gain, margin = 0.8, normal(0, 5), normal(3.1, 0.9), normal(2, 1)
    effect, _ = effect_given(counted(80_000, 100_000), ONE, effect=prior, gain=gain, margin=margin)
    implied, spread = ONE.shift(share) - (3.1 - 2), math.hypot(0.9, 1)
    pull = 25 / (25 + spread**2)
    assert effect.mean == pytest.approx(pull * implied, abs=1e-3)
    assert effect.sd == pytest.approx(math.sqrt(pull) * spread, abs=1e-3)


def test_a_known_margin_is_one_of_no_spread():
    gain, prior, weights = normal(3.1, 0.9), normal(0, 5), counted(40, 50)
    known = effect_given(weights, TWO, effect=prior, gain=gain, margin=2.0)
    nearly = effect_given(weights, TWO, effect=prior, gain=gain, margin=normal(2, 1e-6))
    assert known.effect.interval() == pytest.approx(nearly.effect.interval(), abs=1e-8)
    wide = effect_given(weights, TWO, effect=prior, gain=gain, margin=normal(2, 1))
    assert wide.effect.sd > known.effect.sd


def test_recovery_of_planted_effects():
    """Effects, gains and margins drawn from their priors: the ranks of the true effects are even."""
    rng = stream(11, "improvers")
    effect, gain, margin = normal(0, 4), normal(3.1, 0.9), normal(2, 1)
    levels, size = [], 400
    for _ in range(size):
        theta, v, c = (d.mean + d.sd * rng.standard_normal() for d in (effect, gain, margin))
        j = rng.choice(2, p=TWO.chance)
        improved = rng.binomial(60, TWO.above(np.array([theta + v - c]))[j, 0])
        levels.append(effect_given(counted(improved, 60), TWO, effect=effect, gain=gain, margin=margin)[0].cdf(theta))
    assert stats.kstest(levels, "uniform").pvalue > 0.01
    assert np.mean([0.025 < level < 0.975 for level in levels]) == pytest.approx(0.95, abs=0.033)


def test_known_weights_of_forms():
    """Every split of ten children into two parts, written out."""
    weights, by_hand = counted_in_forms([50, 67], 10), np.zeros(11)
    for first in range(1, 10):
        for k1, k2 in itertools.product(range(first + 1), range(11 - first)):
            agrees = abs(100 * k1 / first - 50) <= 0.5 and abs(100 * k2 / (10 - first) - 67) <= 0.5
            by_hand[k1 + k2] += agrees * math.comb(10, first) / 2**10 * math.comb(first, k1) * math.comb(10 - first, k2)
    assert np.exp(weights) == pytest.approx(by_hand, rel=1e-12)
    assert by_hand.any()


def test_forms_of_one_part_are_a_count():
    found = counted_in_forms([80], 10)
    assert found == pytest.approx(counted(8, 10), abs=1e-12)


def test_forms_that_cannot_be():
    with pytest.raises(ValueError, match="no split of 3 children"):
        counted_in_forms([41, 43], 3)
    with pytest.raises(ValueError, match="0 <= improved"):
        counted(4, 3)


def test_the_order_of_forms_does_not_matter():
    one, other = counted_in_forms([63, 50, 59], 145), counted_in_forms([59, 63, 50], 145)
    assert np.array_equal(np.isfinite(one), np.isfinite(other))
    kept = np.isfinite(one)
    assert one[kept] == pytest.approx(other[kept], abs=1e-9)
    assert 50 * 1.45 - 3 < np.flatnonzero(kept).min() < np.flatnonzero(kept).max() < 63 * 1.45 + 3


@pytest.fixture(scope="module")
def reports():
    return {(r.study, r.event, r.use): r for r in reported_improvers(read_tables())}


def test_every_report_is_used_or_says_why_not(reports):
    rows = [r for r in read_tables().rows["events"] if r["event"].startswith("responder")]
    assert sorted(row for r in reports.values() for row in r.rows) == sorted(r["row"] for r in rows)
    for r in reports.values():
        assert r.why
        assert r.usable == (r.use != "no")


def test_the_reports_of_the_tables(reports):
    counts = {key[0]: (r.improved, r.children) for key, r in reports.items() if key[1:] == ("responder", "effect")}
    assert counts == {
        **{"Rah2017": (20, 47), "Lee2012": (5, 20), "Sharma2015": (38, 40), "Miao2015": (47, 100)},
        **{"Boruczkowski2019": (48, 54), "Yang2012": (22, 25)},
    }
    assert reports["Boruczkowski2019", "responder", "other count"].improved == 49
    assert reports["Boruczkowski2019", "responder_selfcare", "effect"].improved == 21
    forms = reports["Romodanov_fetal", "responder by form", "effect"]
    assert (sorted(forms.percents), forms.children) == ([50, 59, 63], 145)
    assert "unknown number of children" in reports["Romodanov_fetal", "responder_epilepsy", "no"].why
    assert "without that of the children" in reports["Miao2015", "responder_cp", "no"].why
    assert "all diagnoses" in reports["Miao2015", "responder", "effect"].caution
    assert reports["Rah2017", "responder", "effect"].above_expected
    assert reports["Rah2017", "responder_motor_placebo", "without cells"].improved == 14


def test_ages_of_a_report_replace_those_of_the_children():
    children = read_children("registry")
    assert of_ages(children, None, 4.3, 10, "text") is children
    aged = of_ages(children, 2, 4.3, 10, "text").age
    assert (aged.low, aged.median, aged.high) == (2, 4.3, 10)
    assert of_ages(children, 1.4, None, 40, "text").age.high == 25
