"""Simulated children have the planted growth, spread, correlation, arms, treatment and losses, on shared noise."""

import numpy as np
import pytest
from design_cases import KINDS, SOURCE, arm, figure, normal_design, population_design
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gmfmsim.streams import stream
from gmfmsim.trial.generate.arms import enrolment_order
from gmfmsim.trial.generate.children import draw_trials
from gmfmsim.trial.generate.growth import age_at, expected_scores, mean_growth, score_sd
from gmfmsim.trial.generate.losses import loss_threshold, standing

MCSE = 4
"""Monte Carlo standard errors by which a simulated figure may be off."""


def draw(design, n=500, trials=100, *, effect=0.0, sd=5.0, seed=1):
    """Draw trials whose arms with cells all have the same effect."""
    cells = np.array([a.dose > 0 for a in design.arms], float)
    return draw_trials(design, n, np.outer(cells, np.full(trials, effect)), np.full(trials, sd), stream(seed, "test"))


def near(values, expected, axis=None):
    """Whether independent values have the expected mean, within MCSE standard errors."""
    values = np.asarray(values, float)
    count = np.isfinite(values).sum(axis=axis)
    return np.all(abs(np.nanmean(values, axis=axis) - expected) < MCSE * np.nanstd(values, axis=axis) / np.sqrt(count))


def spread_near(values, expected):
    """Whether values of mean 0 have the expected SD."""
    return near(np.square(values), expected**2)


def losing(share, mechanism="completely_at_random", slope=0.0):
    return {"dropout": figure(share, mechanism=mechanism, slope=slope)}


def centres(number, sd):
    return {"centres": {"number": number, "sd": sd, **SOURCE}}


# growth


@pytest.mark.parametrize("level", range(5))
def test_known_90_percent_of_the_limit_at_age_90(level):
    children = population_design().children
    at = expected_scores(children, np.array(level), children.age_90.value[level], [0, 1200])
    assert at == pytest.approx([0.9 * children.limit.value[level], children.limit.value[level]], rel=1e-9)


def test_known_change_over_a_year_of_a_child_of_three_at_level_two():
    expected = 68 * (np.exp(-np.log(10) * 3 / 4.4) - np.exp(-np.log(10) * 4 / 4.4))
    before, after = expected_scores(population_design().children, np.array(1), 3.0, [0, 12])
    assert after - before == pytest.approx(expected, rel=1e-12)


def test_recovery_of_mix_ages_and_spread_of_scores():
    design = population_design(children={"measurement_error": 0, "ceiling": 100, "rate_spread": 0.1})
    trials = draw(design)
    share = np.bincount(trials.level.ravel(), minlength=5) / trials.level.size
    assert np.all(abs(share - design.children.shares) < MCSE * np.sqrt(share * (1 - share) / trials.level.size))
    assert near(trials.age < 4, 0.5)
    assert near(trials.age < 2.75, 0.25)
    assert trials.age.min() >= 1.5
    assert trials.age.max() <= 9
    for level in (1, 2, 3):  # the scores of I and V meet the ends of the scale
        here = trials.level == level
        expected = expected_scores(design.children, level, trials.age[here], [0])[0]
        z = (trials.score[0][here] - expected) / score_sd(design.children, level, trials.age[here])
        assert np.mean(z) == pytest.approx(
            0, abs=0.03
        )  # the SD is of first order in rate_spread, squares of 0.1 remain
        assert np.std(z) == pytest.approx(1, abs=0.02)


def without_ends(score):
    """Which scores an end of the scale has not touched."""
    return np.all((score > 0) & (score < 100), axis=0)


def test_recovery_of_the_mean_growth_of_all_children():
    design = population_design(visits=[6, 18], children={"rate_spread": 0.2})
    assert near(draw(design).expected, mean_growth(design.children, np.array([6.0, 18.0])), axis=(1, 2))


def test_known_share_of_growth():
    """Of what sets a child's growth apart from the mean of all children 40 % shows in its change."""
    children = population_design().children
    shown, whole = draw(population_design(children={"growth_share": 0.4})), draw(population_design())
    here = without_ends(shown.score) & without_ends(whole.score)
    held_back = 0.6 * (mean_growth(children, np.array([12.0])) - whole.expected[0])
    assert (shown.change - whole.change)[0][here] == pytest.approx(held_back[here], abs=1e-9)
    assert np.array_equal(shown.expected, whole.expected)  # what natural history predicts stays
    assert shown.change.std() < whole.change.std() - 1


@pytest.mark.parametrize(("share", "shown"), [(0.4, 0.8), pytest.param(0.9, 1.0, marks=pytest.mark.slow)])
def test_where_the_spread_of_change_is_uncertain_its_parts_move_together(share, shown):
    """In a trial of twice the excess SD growth_share (at most 1) and the SD of responses are twice theirs too."""
    twice = draw(population_design(children={"growth_share": share, "response_sd": 1}), sd=10.0)
    plain = draw(population_design(children={"growth_share": shown, "response_sd": 2, "excess_sd": 10}), sd=10.0)
    assert twice.score == pytest.approx(plain.score, abs=1e-9)


def test_children_who_differ_less_than_their_curves_stand_as_others_do():
    design = population_design(children={"growth_share": 0.3, "rate_spread": 0, "mix": [0, 0, 1, 0, 0]})
    trials = draw(design)
    z = standing(design, trials.score, trials.level, trials.age, np.full(100, 5.0))[1]
    assert np.std(z) == pytest.approx(1, abs=0.02)


def test_known_ages_by_share():
    age = population_design().children.age
    assert age_at(age, np.array([0, 0.25, 0.5, 0.75, 1])) == pytest.approx([1.5, 2.75, 4, 6.5, 9])


def test_scores_stay_on_the_scale_and_reach_both_ends():
    trials = draw(population_design(children={"floor": 10, "ceiling": 90}), effect=3)
    assert (trials.score.min(), trials.score.max()) == (10, 90)


# spread over time


def test_recovery_of_the_moments_of_normal_children():
    design = normal_design(visits=[3, 6, 12], children={"baseline_sd": 5, "measurement_error": 2})
    mean, covariance = design.children.moments(design.visits, 5.0)
    score = draw(design).score.reshape(4, -1)
    deviation = score - mean[:, None]
    assert near(score, mean, axis=1)
    assert near(deviation[:, None] * deviation[None, :], covariance, axis=2)


def test_recovery_of_the_excess_of_children_of_the_curves():
    design = population_design(visits=[3, 6, 12, 18], children={"mix": [0, 0, 1, 0, 0]})
    sd = np.linspace(3, 8, 100)
    trials = draw_trials(design, 500, np.zeros((2, 100)), sd, stream(1, "test"))
    for change, expected, month in zip(trials.change, trials.expected, design.visits, strict=True):
        assert near(change - expected, 3 * min(month / 12, 1))
        assert spread_near((change - expected - 3 * min(month / 12, 1)) / (sd * (month / 12) ** 0.25), 1)


def test_excess_below_measurement_error_leaves_the_error():
    change = draw(normal_design(children={"measurement_error": 6}), sd=5).change - 4
    assert spread_near(change, 6 * np.sqrt(2))


def test_recovery_of_pairs():
    design = normal_design("pairs", pair_correlation=0.6)
    trials = draw(design, n=1000)
    deviation = trials.score[0] - 50, trials.change[0] - 4
    true = 15**2 - 1.5**2, 5**2 - 2 * 1.5**2
    for y, total, shared in zip(deviation, (15, 5), true, strict=True):
        assert spread_near(y, total)
        assert near(y[::2] * y[1::2], 0.6 * shared)
        assert near(y[1:-1:2] * y[2::2], 0)
    assert np.array_equal(trials.unit, np.arange(2000) // 2)
    assert np.all(trials.group[::2] + trials.group[1::2] == 1)
    both = draw(population_design("pairs"), n=50)
    assert np.array_equal(both.level[::2], both.level[1::2])
    assert np.array_equal(both.age[::2], both.age[1::2])


def test_recovery_of_the_intracluster_correlation():
    design = normal_design("cluster", cluster_size=4, icc=0.3, visits=[6, 12])
    trials = draw(design, n=1000)
    deviation = (trials.change - np.array([2, 4])[:, None, None]).reshape(2, -1, 4, 100)
    observed = 5 * np.array([0.5**0.25, 1])
    for y, sd in zip(deviation, observed, strict=True):
        assert spread_near(y[:, 0], sd)
        assert near(y[:, 0] * y[:, 1], 0.3 * sd**2)
        assert near(y[:-1, 0] * y[1:, 0], 0)
    assert near(deviation[0, :, 0] * deviation[1, :, 1], 0.3 * 0.7 * observed.prod())
    assert np.array_equal(trials.unit, np.arange(2000) // 4)
    assert np.all(trials.group.reshape(-1, 4, 100) == trials.group.reshape(-1, 4, 100)[:, :1])


def test_centres_add_their_own_deviation_to_every_change():
    design = normal_design(visits=[6, 12], children=centres(4, 2.5))
    apart, alone = draw(design, n=40, trials=4000), draw(normal_design(visits=[6, 12]), n=40, trials=4000)
    added = apart.score - alone.score
    by_centre = np.array([added[1][apart.unit == c] for c in range(4)])
    assert not added[0].any()
    assert np.allclose(added[1], added[2])
    assert np.allclose(by_centre, by_centre[:, :1])
    assert spread_near(by_centre[:, 0], 2.5)
    table = np.array([[np.sum((apart.unit == c) & (apart.group[:, 0] == g)) for c in range(4)] for g in range(2)])
    assert np.array_equal(table, np.full((2, 4), 10))


# treatment: paired differences on the same noise are exact


def gained(design, before, effect=2.0):
    """Return what a design adds to the scores of another on the same noise, by arm and visit: (A, V)."""
    after, before = draw(design, n=12, trials=7, effect=effect), draw(before, n=12, trials=7)
    added = after.score - before.score
    by_arm = [added[1:, after.group[:, 0] == a] for a in range(len(design.arms))]
    assert all(y == pytest.approx(np.broadcast_to(y[:, :1, :1], y.shape), abs=1e-9) for y in by_arm)
    return np.array([y[:, 0, 0] for y in by_arm])


def test_known_effect_by_onset():
    design = normal_design(visits=[3, 6, 12], onset=[0.25, 0.5, 1])
    assert gained(design, design) == pytest.approx(np.array([[0, 0, 0], [0.5, 1, 2]]), abs=1e-9)


def test_known_effects_of_a_factorial_design():
    design = normal_design("factorial", visits=[6, 12], onset=[0.5, 1], drug_effect=3, interaction=-1)
    alone = normal_design("factorial", visits=[6, 12], drug_effect=0, interaction=0)
    expected = [[0, 0], [1, 2], [1.5, 3], [2, 4]]
    assert gained(design, alone) == pytest.approx(np.array(expected), abs=1e-9)


def test_known_periods_of_a_crossover():
    design = normal_design("crossover", carry_over=-0.25, period_effect=1.5)
    alone = normal_design("crossover")
    assert gained(design, alone) == pytest.approx(np.array([[0, 2 + 1.5], [2, 0.75 * 2 + 1.5]]), abs=1e-9)


def test_known_effect_by_level():
    design = population_design(children={"response": [2, 1, 1, 1, 0], "floor": 0})
    treated, control = draw(design, effect=2), draw(design)
    cells = (treated.group == 1) & (treated.score[1] < 100) & (control.score[1] > 0)
    added = (treated.score - control.score)[1]
    multiple = np.array([2, 1, 1, 1, 0]) / (0.3 * 2 + 0.6)
    assert added[cells] == pytest.approx(2 * multiple[treated.level[cells]], abs=1e-9)
    assert not added[treated.group == 0].any()


def test_recovery_of_the_spread_of_response():
    onset = {"visits": [6, 12], "onset": [0.5, 1]}
    spread, alike = draw(normal_design(**onset, children={"response_sd": 2})), draw(normal_design(**onset))
    added = spread.score - alike.score
    cells = spread.group == 1
    assert not added[:, ~cells].any()
    assert added[1] == pytest.approx(added[2] / 2, abs=1e-9)
    assert near(added[2][cells], 0)
    assert spread_near(added[2][cells], 2)


# losses


MECHANISMS = [("completely_at_random", 0.0), ("given_last_value", -0.8), ("informative", -0.8)]


@pytest.mark.parametrize(("mechanism", "slope"), MECHANISMS)
def test_known_share_lost_by_every_mechanism(mechanism, slope):
    trials = draw(normal_design(children=losing(0.3, mechanism, slope)))
    assert near(np.isnan(trials.score[1]), 0.3)
    assert np.isfinite(trials.score[0]).all()


def test_known_share_lost_in_every_interval():
    score = draw(normal_design(visits=[3, 6, 12], children=losing(0.3))).score
    for visit in (1, 2, 3):
        assert near(np.isnan(score[visit]), 1 - 0.7 ** (visit / 3))
    gone = np.isnan(score)
    assert np.all(gone[1:] >= gone[:-1])


@pytest.mark.parametrize(("mechanism", "visit"), [("given_last_value", 0), ("informative", 1)])
def test_known_standing_of_those_who_stay(mechanism, visit):
    # z of those with w > a + slope z: a normal variable cut off from a correlated one (Tallis 1961)
    slope, share = -0.8, 0.3
    design = normal_design(children=losing(share, mechanism, slope))
    complete, seen = draw(normal_design()), draw(design)
    z = standing(design, complete.score, None, None, np.full(100, 5.0))[visit]
    b = slope / np.sqrt(1 + slope**2)
    stay = np.isfinite(seen.score[1])
    assert near(z, 0)
    assert spread_near(z, 1)
    assert near(z[stay], -b * stats.norm.pdf(stats.norm.ppf(share)) / (1 - share))


@pytest.mark.parametrize("make", [normal_design, population_design])
def test_loss_given_the_last_value_is_at_random_and_informative_loss_is_not(make):
    def last_on_earlier(mechanism):
        """Regress the last score on baseline, first visit, level's change: among those seen, and among all."""
        loss = losing(0.4, mechanism, -1.0)
        complete, seen = draw(make(visits=[6, 12])), draw(make(visits=[6, 12], children=loss))
        stay = np.isfinite(seen.score[2])
        assert np.array_equal(seen.score[2][stay], complete.score[2][stay])
        assert np.nanmean(seen.change[1]) > complete.change[1].mean() + 0.5
        # each child at its own level and age: expected changes are covariates, so that the rest is noise
        x = [np.ones(stay.shape), *complete.score[:2], *complete.expected]
        x = np.stack(x if make is population_design else x[:3], axis=-1)
        rest = complete.score[2][~stay] - x[~stay] @ np.linalg.lstsq(x[stay], complete.score[2][stay])[0]
        return rest.mean() / (rest.std() / np.sqrt(rest.size) * np.sqrt(1 + (~stay).sum() / stay.sum()))

    assert abs(last_on_earlier("given_last_value")) < MCSE
    assert last_on_earlier("informative") < -20


def test_known_threshold_of_loss():
    z, weight = np.polynomial.hermite_e.hermegauss(80)
    for slope in (0, -0.5, 2):
        share = np.sum(weight * stats.norm.cdf(loss_threshold(0.3, slope, 2) + slope * z)) / np.sqrt(2 * np.pi)
        assert share == pytest.approx(1 - np.sqrt(0.7), abs=1e-6)
    assert loss_threshold(0, -1, 3) == -np.inf


def test_missed_visits_are_a_share_and_never_the_last():
    score = draw(normal_design(visits=[3, 6, 12], children={"missed": 0.15})).score
    assert np.isfinite(score[[0, 3]]).all()
    assert near(np.isnan(score[1:3]), 0.15)
    both = draw(normal_design(visits=[3, 6, 12], children={"missed": 0.15, **losing(0.3)})).score
    assert np.array_equal(
        np.isnan(both[3]), np.isnan(draw(normal_design(visits=[3, 6, 12], children=losing(0.3))).score[3])
    )
    assert near(np.isnan(both[1]), 1 - 0.85 * 0.7 ** (1 / 3))


def test_loss_after_a_missed_visit_depends_on_the_visit_before_it():
    loss = losing(0.4, "given_last_value", -1.0)
    design = normal_design(visits=[3, 6, 12], children={"measurement_error": 0, "missed": 0.4, **loss})
    complete = draw(normal_design(visits=[3, 6, 12], children={"measurement_error": 0}))
    score = draw(design).score
    z = standing(design, complete.score, None, None, np.full(100, 5.0))
    gap, here = np.isnan(score[1]) & np.isfinite(score[2]), np.isfinite(score[2]) & np.isfinite(score[1])
    assert near(z[1][gap], 0)
    assert z[1][here].mean() > 0.1


# shared noise

EVERYTHING = {"missed": 0.1, "response_sd": 1.0, **losing(0.2, "informative", -1.0)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [normal_design, population_design])
def test_larger_trials_begin_with_the_children_of_smaller_ones(make, kind):
    design = make(kind, children=EVERYTHING)
    small, large, again = draw(design, n=20, trials=9), draw(design, n=40, trials=9), draw(design, n=20, trials=9)
    children = small.group.shape[0]
    for name in ("score", "expected", "group", "level", "age"):
        a, b, c = (getattr(t, name) for t in (small, large, again))
        if a is not None:
            axis = a.ndim - 2
            assert np.array_equal(a, np.take(b, np.arange(children), axis), equal_nan=True)
            assert np.array_equal(a, c, equal_nan=True)
    assert not np.array_equal(small.score, draw(design, n=20, trials=9, seed=2).score, equal_nan=True)


def test_trials_at_other_truths_and_spreads_share_their_noise():
    calm, wild = (
        draw(normal_design(children={"measurement_error": 0}), sd=4),
        draw(normal_design(children={"measurement_error": 0}), sd=8, effect=3),
    )
    effect = 3.0 * (calm.group == 1)
    assert wild.change[0] - 4 - effect == pytest.approx(2 * (calm.change[0] - 4), abs=1e-9)


def test_more_loss_loses_the_same_children_and_more():
    few, many = (np.isnan(draw(normal_design(children=losing(share))).score[1]) for share in (0.1, 0.3))
    assert np.all(many >= few)


def test_effects_of_the_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"effect has shape \(3, 5\); allowed: one row an arm, \(2, 5\)"):
        draw_trials(normal_design(), 10, np.zeros((3, 5)), np.full(5, 5.0), stream(1, "test"))


# randomisation


def sizes(trials, arms):
    return np.array([(trials.group == a).sum(axis=0) for a in range(arms)])


def test_blocks_give_the_planned_sizes():
    design = normal_design(arms=[arm("control"), arm("low", 1e7, ratio=1.5), arm("high", 5e7, ratio=2)])
    found = sizes(draw(design, n=7, trials=5), 3)
    assert np.array_equal(found, np.tile([[7], [11], [14]], 5))


def test_simple_randomisation_varies_arm_sizes_around_the_ratio():
    arms = [arm("control"), arm("cells", 5e7, ratio=2)]
    trials = draw(normal_design(arms=arms, randomisation={"method": "simple"}), n=20, trials=4000)
    treated = sizes(trials, 2)[1]
    assert trials.group.shape[0] == 60
    assert near(treated, 40)
    assert spread_near(treated - 40, np.sqrt(60 * 2 / 9))
    whole = draw(normal_design("cluster", cluster_size=5, randomisation={"method": "simple"}), n=20, trials=50).group
    assert np.all(whole.reshape(8, 5, 50) == whole.reshape(8, 5, 50)[:, :1])
    assert np.unique(whole.sum(axis=0)).size > 2


@pytest.mark.parametrize("strata", [["level"], ["age"], ["level", "age"]])
def test_strata_are_balanced(strata):
    method = {"method": "stratified", "block": 4, "strata": strata}
    trials = draw(population_design(randomisation=method), n=100, trials=300)
    stratum = trials.level * ("level" in strata) + 5 * (trials.age >= 4) * ("age" in strata)
    for s in np.unique(stratum):
        side = np.where(stratum == s, 1 - 2 * trials.group.astype(int), 0).cumsum(axis=0)
        assert abs(side).max() == 2
        full = (stratum == s).cumsum(axis=0) % 4 == 0
        assert not side[full].any()
    assert near(trials.group[:4].mean(axis=1), 0.5)
    assert near(trials.group[0] == trials.group[1], np.mean(np.where(stratum[0] == stratum[1], 1 / 3, 1 / 2)))


def test_blocks_within_strata_follow_the_ratio():
    method = {"method": "stratified", "block": 6, "strata": ["age"]}
    arms = [arm("control"), arm("cells", 5e7, ratio=2)]
    trials = draw(population_design(arms=arms, randomisation=method), n=100, trials=50)
    old = trials.age >= 4
    for here in (old, ~old):
        full = here.cumsum(axis=0) <= here.sum(axis=0) // 6 * 6
        assert np.array_equal(
            2 * (here & full & (trials.group == 0)).sum(axis=0), (here & full & (trials.group == 1)).sum(axis=0)
        )


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.integers(1, 30))
def test_enrolment_keeps_to_the_ratio_all_along(ratio, n):
    ratio = np.array(ratio, float)
    order = enrolment_order(ratio, (n * ratio).astype(np.int64))
    longer = enrolment_order(ratio, (2 * n * ratio).astype(np.int64))
    count = (order[:, None] == np.arange(ratio.size)).cumsum(axis=0)
    assert np.array_equal(count[-1], n * ratio)
    assert np.array_equal(order, longer[: order.size])
    assert np.all(np.arange(1, 1 + order.size)[:, None] * ratio / ratio.sum() - count < 1 + 1e-9)


@pytest.mark.parametrize("kind", ["pairs", "cluster"])
def test_pairs_and_clusters_are_not_stratified(kind):
    with pytest.raises(ValueError, match=r"block randomisation|no strata"):
        population_design(kind, randomisation={"method": "stratified", "block": 4, "strata": ["level"]})
