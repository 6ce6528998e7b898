"""Adverse events: rows, exact rates, the model against other quadratures and planted truth, rules to stop for harm."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from conftest import examples
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from gmfmsim.evidence.events import HARMLESS, SERIOUS, ArmCount, event_counts, is_adverse, within_trials
from gmfmsim.evidence.formulas.classical import mantel_haenszel_risk_ratio
from gmfmsim.evidence.formulas.rates import bound_when_none, children_to_see_one, clopper_pearson
from gmfmsim.evidence.read import read_tables
from gmfmsim.faults import InputError
from gmfmsim.model.event_kernels import log_likelihoods, softplus_table
from gmfmsim.model.safety import COEFFICIENTS, POINTS, Asked, SafetyPosterior, loading, safety_posterior
from gmfmsim.model.safety_priors import SafetyPriors
from gmfmsim.streams import stream
from gmfmsim.trial.exact.stopping import StoppingRule, boundary, probability_above, stops
from gmfmsim.trial.exact.two_shares import children_to_tell, power_to_tell

TABLES = read_tables()
PRIORS = SafetyPriors()
FEW = (12, 5)


def arm(study, events, n, dose=0.0, route="IV"):
    """One arm of a made-up trial."""
    return ArmCount(study, f"{dose:g}", study, events, n, dose, route if dose else "none", {})


def prior(**sds):
    """Priors with other SDs, around 0 but for mu."""
    given = PRIORS.model_dump()
    return SafetyPriors.model_validate(
        given | {n: sd if n == "tau" else given[n] | {"sd": sd} for n, sd in sds.items()}
    )


NONE_COUNTS = (
    "back_pain",
    "dermatitis",
    "epilepsy_deterioration",
    "fatigue",
    "infusion_reaction",
    "injection_site_pain",
    "major_adverse",
    "mild_adverse",
    "nausea",
    "nausea_vomiting",
    "pneumonia",
    "procedural_difficulty",
    "waist_pain",
)
"""Events of which no row has children counted and a dose."""

# rows


def test_every_event_of_the_tables_is_a_harm_or_none():
    known = {row["event"] for row in TABLES.rows["events"]}
    assert known >= SERIOUS | HARMLESS
    none = {e for e in known if not is_adverse(e)}
    assert none == {e for e in known if e.startswith("responder")} | {"dropout", "pet_improved"}
    assert {"fever", "seizure", "infection", "serious_adverse"} <= {e for e in known if is_adverse(e)}


def test_known_rows_of_serious_adverse_events():
    found = event_counts(TABLES, "serious_adverse")
    used = {(c.study, c.arm): (c.events, c.n) for c in found.used}
    assert found.serious
    assert used["Rah2017", "t1+t7"] == (0, 57)  # its parts have no rows
    assert used["Liu2017", "msc+mnc"] == (0, 68)
    assert used["Min2013", "epo"] == (3, 36)
    assert ("Min2013", "epo+ctrl") not in used
    why = {(one.row["study_id"], one.row["arm_id"]): one.why for one in found.left_out}
    assert why["Min2013", "epo+ctrl"] == "its children stand in epo and ctrl"
    assert why["Min2013", "pucb"] == "another source of this arm is preferred"
    assert why["Crompton2022", "ucb"] == "dose per kg not known"
    assert {name for name, reason in why.items() if reason.startswith("a review's total")} == {
        *itertools.product(("Novak2016", "Eggenberger2019"), ("cells", "ctrl"))
    }
    noted = {c.study for c in found.used if c.note}
    assert noted == {"Sun2017"}  # the controls of Rah 2017 are not counted


@pytest.mark.parametrize("event", sorted({r["event"] for r in TABLES.rows["events"] if is_adverse(r["event"])}))
def test_each_row_counts_once_or_is_left_out_with_a_reason(event):
    rows = [r["row"] for r in TABLES.rows["events"] if r["event"] == event]
    if event in NONE_COUNTS:
        with pytest.raises(InputError, match="no row of"):
            event_counts(TABLES, event)
        return
    found = event_counts(TABLES, event)
    counted = [c.row["row"] for c in found.used] + [o.row["row"] for o in found.left_out if o.row["event"] == event]
    assert sorted(counted) == sorted(rows)
    assert all(one.why for one in found.left_out)
    for study in {c.study for c in found.used}:
        parts = [
            set((TABLES.arms[study, c.arm]["composite_of"] or c.arm).split(";")) for c in found.used if c.study == study
        ]
        assert sum(map(len, parts)) == len(set().union(*parts))


def with_rows(events, composite=None):
    """The shipped tables with other rows of events, and an arm that is the union of others."""
    arms = [
        a | {"composite_of": composite[a["study_id"], a["arm_id"]]}
        if composite and (a["study_id"], a["arm_id"]) in composite
        else a
        for a in TABLES.rows["arms"]
    ]
    keys = TABLES.rows["events"][0]
    rows = [
        keys | {"study_id": s, "arm_id": a, "event": "fever", "events": r, "n": n, "preferred": "yes", "row": i}
        for i, (s, a, r, n) in enumerate(events)
    ]
    return replace(TABLES, rows=TABLES.rows | {"events": rows, "arms": arms})


def test_controls_that_two_trials_share_count_once_and_tie_their_effects():
    shared = [("Amanat2021", "uct_msc", 5, 36), ("Amanat2021", "ctrl", 2, 36), ("Zarrabi2022", "ucb_mnc", 6, 36)]
    found = event_counts(with_rows([*shared, ("Zarrabi2022", "ctrl", 2, 36)]), "fever")
    assert [(c.study, c.arm) for c in found.used] == [row[:2] for row in shared]
    assert {c.children for c in found.used} == {"Amanat2021 and Zarrabi2022"}
    assert found.left_out[0].why == "the same children as the controls of Amanat2021"


def test_a_union_counts_where_one_of_its_parts_has_no_row():
    rows = [("Min2013", "epo+ctrl", 6, 70), ("Min2013", "epo", 3, 36)]
    found = event_counts(with_rows(rows), "fever")
    assert [(c.arm, c.n) for c in found.used] == [("epo+ctrl", 70)]
    assert found.left_out[0].why == "its children stand in epo+ctrl"


def test_arms_of_unknown_dose_count_where_a_dose_is_assumed():
    without, assumed = (event_counts(TABLES, "fever", dose) for dose in (None, 3e7))
    new = [c for c in assumed.used if (c.study, c.arm) not in {(d.study, d.arm) for d in without.used}]
    assert [(c.study, c.dose, c.note) for c in new] == [("Feng2015", 3e7, "dose not known")]


@pytest.mark.parametrize("event", ["responder", "dropout", "nonsense"])
def test_what_is_no_harm_is_refused_with_what_is(event):
    with pytest.raises(InputError, match="fever"):
        event_counts(TABLES, event)


# known figures


def test_known_ratio_of_fever():
    """Gu 2020 and both arms without cells of Min 2013: 1.95 (1.09 to 3.47)."""
    trials, ratio = within_trials(event_counts(TABLES, "fever").used)
    assert trials == ["Min2013", "Gu2020"]
    assert np.exp([ratio.estimate, *ratio.ci]).round(2).tolist() == [1.95, 1.09, 3.47]


def test_known_serious_events_of_reviews_point_in_opposite_directions():
    left = {(o.row["study_id"], o.row["arm_id"]): o.row for o in event_counts(TABLES, "serious_adverse").left_out}
    counts = {name: (row["events"], row["n"]) for name, row in left.items()}
    assert (counts["Novak2016", "cells"], counts["Novak2016", "ctrl"]) == ((4, 135), (3, 139))
    assert (counts["Eggenberger2019", "cells"], counts["Eggenberger2019", "ctrl"]) == ((4, 344), (6, 228))


def test_known_ratio_of_serious_events_within_trials():
    """1.23 (0.35 to 4.32): a risk ratio over the trials of the review that have events, Luan 2012 and Min 2013, the
    latter with the review's 36 children; with the registry's 35 it is 1.26."""
    ratio = mantel_haenszel_risk_ratio([1, 3], [45, 36], [0, 6], [49, 70])
    assert np.exp([ratio.estimate, *ratio.ci]).round(2).tolist() == [1.23, 0.35, 4.32]
    used = [c for c in event_counts(TABLES, "serious_adverse").used if c.study in ("Luan2012", "Min2013")]
    assert math.exp(within_trials(used)[1].estimate) == pytest.approx(1.26, abs=0.005)


@pytest.mark.parametrize(
    ("event", "figures"),
    [
        ("upper_respiratory_infection", [0.89, 0.57, 1.39]),
        ("diarrhea", [0.81, 0.42, 1.57]),
        ("constipation", [0.61, 0.15, 2.44]),
    ],
)
def test_known_ratios_of_xie_2020(event, figures):
    used = [c for c in event_counts(TABLES, event).used if c.study in ("Gu2020", "Huang2018")]
    ratio = within_trials(used)[1]
    assert np.exp([ratio.estimate, *ratio.ci]).round(2).tolist() == figures


def test_known_bound_when_none_is_seen():
    assert bound_when_none(57) == pytest.approx(0.0512, abs=5e-5)
    assert stats.binom.cdf(0, 57, bound_when_none(57)) == pytest.approx(0.05)
    assert bound_when_none(57, 0.975) == pytest.approx(float(clopper_pearson(0, 57)[1]))


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_exact_interval_is_what_two_tails_leave(counts):
    r, n = counts
    low, high = (float(end) for end in clopper_pearson(r, n))
    expected = stats.binomtest(r, n).proportion_ci(0.95, "exact")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-10)
    assert low <= r / n <= high


@given(st.floats(1e-5, 0.99), st.floats(0.5, 0.999))
def test_the_fewest_children_to_see_one(rate, prob):
    n = children_to_see_one(rate, prob)
    assert -math.expm1(n * math.log1p(-rate)) >= prob * (1 - 1e-12)
    assert n == 1 or -math.expm1((n - 1) * math.log1p(-rate)) < prob


@pytest.mark.parametrize(("events", "n"), [(-1, 5), (6, 5), (1.5, 5), (0, 0)])
def test_counts_that_cannot_be_have_no_interval(events, n):
    with pytest.raises(ValueError, match="events"):
        clopper_pearson(events, n)


def test_known_size_that_tells_3_from_2_per_cent():
    """3,825 children an arm: two proportions, pooled under the null, before it is rounded up."""
    assert math.floor(children_to_tell(0.03, 0.02)) == 3825
    assert children_to_tell(0.02, 0.03) == pytest.approx(children_to_tell(0.03, 0.02))
    assert power_to_tell(0.03, 0.02, 3826) == pytest.approx(0.803, abs=5e-4)
    assert power_to_tell(0.02, 0.02, 3826) == pytest.approx(0.05, abs=5e-4)


@pytest.mark.parametrize(("p", "q", "n"), [(0.3, 0.1, 20), (0.5, 0.02, 7), (0.2, 0.2, 31)])
def test_exact_power_is_the_sum_over_all_tables(p, q, n):
    total = 0.0
    for a, b in itertools.product(range(n + 1), repeat=2):
        m = (a + b) / (2 * n)
        if a != b and abs(a - b) / n > stats.norm.isf(0.025) * math.sqrt(2 * m * (1 - m) / n):
            total += stats.binom.pmf(a, n, p) * stats.binom.pmf(b, n, q)
    assert power_to_tell(p, q, n) == pytest.approx(total, abs=1e-12)


# the model


def test_a_study_is_integrated_as_scipy_does():
    """Every combination of no events, few and all, of small and large tau; both arms of a study share its effect."""
    design, rule = np.stack([loading(0, True), loading(5e7, True)]), np.stack(POINTS)
    start, beta = np.array([0, 2]), np.array([[-3.0, 0.4, 0.0, 0.3], [2.0, -1.0, 0.0, -0.5], [-9.0, 0.0, 0.0, 1.0]])
    for r, n, tau in itertools.product(((0, 0), (0, 3), (20, 57), (57, 57)), ((57, 57),), (0.05, 1.0, 4.0)):
        events, children = np.array(r, float), np.array(n, float)
        found = log_likelihoods(beta, tau, design, events, children, start, rule, softplus_table())
        for row, value in zip(beta, found, strict=True):
            eta = (design * row).sum(axis=1)

            grid = np.linspace(-40, 40, 16_001)
            theta = eta + tau * grid[:, None]
            values = (events * theta - children * np.logaddexp(0, theta)).sum(axis=1) - grid**2 / 2
            top = values.max()
            area = integrate.simpson(np.exp(values - top), x=grid) / math.sqrt(2 * math.pi)
            assert value == pytest.approx(top + math.log(area), abs=1e-7)


def test_a_study_whose_newton_steps_would_go_to_and_fro_is_integrated():
    """At large tau the slope is flat on one side of the mode and steep on the other; a smooth function of the rate."""
    design, rule, mu = loading(0, True)[None], np.stack(POINTS), np.linspace(-9, 9, 721)
    beta, children = np.stack([mu, *np.zeros((3, mu.size))], axis=1), np.array([40.0])
    for r in (0.0, 1.0, 21.0, 40.0):
        found = log_likelihoods(beta, 4.867, design, np.array([r]), children, np.array([0, 1]), rule, softplus_table())
        assert np.all(np.diff(found, 2) < 1e-6)  # log-concave, and without jumps
        theta = mu[::60, None] + 4.867 * np.linspace(-12, 12, 20_001)
        log = r * theta - 40 * np.logaddexp(0, theta) - np.linspace(-12, 12, 20_001) ** 2 / 2
        area = integrate.simpson(np.exp(log), dx=24 / 20_000) / math.sqrt(2 * math.pi)
        assert found[::60] == pytest.approx(np.log(area), abs=1e-6)


COUNTS = [arm("A", 0, 31), arm("A", 4, 63, 2e7), arm("B", 3, 34), arm("B", 3, 35, 5e7), arm("C", 0, 40, 4e7, "IT")]


@pytest.fixture(scope="module")
def posterior() -> SafetyPosterior:
    return safety_posterior(COUNTS, PRIORS)


def test_twice_the_nodes_change_little(posterior):
    more = safety_posterior(COUNTS, PRIORS, (30, 10))
    assert more.log_marginal == pytest.approx(posterior.log_marginal, abs=1e-5)
    for name in (*COEFFICIENTS, "tau"):
        assert more.moments(name) == pytest.approx(posterior.moments(name), abs=2e-4)
    for at in (Asked(0.0), Asked(5e7), Asked(5e7, by_vein=False)):
        assert more.mean_rate(at) == pytest.approx(posterior.mean_rate(at), rel=1e-4)
        assert more.rate_quantile(at, 0.975) == pytest.approx(posterior.rate_quantile(at, 0.975), rel=2e-3)
        assert more.rate_cdf(at, 0.05) == pytest.approx(posterior.rate_cdf(at, 0.05), abs=2e-4)


def test_the_posterior_is_that_of_a_lattice_of_the_prior(posterior):
    """Another way to the same integral: a rank-one lattice of 100,000 points, turned into the prior."""
    size = 100_003
    of_each = np.array([1, 182_667, 469_891, 498_753, 110_745, 446_247]) % size
    u = (np.outer(np.arange(size), of_each) / size + 0.5 / size) % 1
    u = 1 - np.abs(2 * u - 1)  # folded, so that the rule is one of second order
    z = special.ndtri(np.clip(u, 1e-12, 1 - 1e-12))
    beta = np.stack(
        [getattr(PRIORS, name).mean + getattr(PRIORS, name).sd * z[:, k] for k, name in enumerate(COEFFICIENTS)], 1
    )
    tau = PRIORS.of("tau").ppf(np.clip(u[:, 4], 1e-12, 1 - 1e-12))
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    log = np.zeros(size)
    for study in ("A", "B", "C"):
        inside = np.zeros(size)
        for node, weight in zip(nodes, weights / weights.sum(), strict=True):
            one = np.ones(size)
            for c in (c for c in COUNTS if c.study == study):
                eta = (beta * loading(c.dose, c.route != "IT")).sum(axis=1) + tau * node
                one *= stats.binom.pmf(c.events, c.n, special.expit(eta))
            inside += weight * one
        log += np.log(np.maximum(inside, 1e-300))
    assert special.logsumexp(log) - math.log(size) == pytest.approx(posterior.log_marginal, abs=0.02)
    weight = np.exp(log - special.logsumexp(log))
    for k, name in enumerate((*COEFFICIENTS, "tau")):
        value = tau if name == "tau" else beta[:, k]
        mean = (weight * value).sum()
        sd = math.sqrt((weight * (value - mean) ** 2).sum())
        assert posterior.moments(name) == pytest.approx((mean, sd), abs=0.02)
    own = tau * z[:, 5]
    with_cells, without = (special.expit((beta * loading(dose, True)).sum(axis=1) + own) for dose in (5e7, 0.0))
    at = Asked(5e7)
    assert posterior.mean_rate(at) == pytest.approx((weight * with_cells).sum(), abs=2e-3)
    for limit in (0.02, 0.1):
        assert posterior.rate_cdf(at, limit) == pytest.approx(weight[with_cells <= limit].sum(), abs=0.01)
        assert posterior.rate_cdf(Asked(0.0), limit) == pytest.approx(weight[without <= limit].sum(), abs=0.01)
    for away in (-0.02, 0.0, 0.05):
        expected = weight[with_cells - without <= away].sum()
        assert posterior.difference_cdf(at, away) == pytest.approx(expected, abs=0.01)


def test_known_one_arm_without_scatter_is_one_integral():
    """A single arm with tau all but 0: binomial, its logit normal with the sum of the prior variances."""
    one = safety_posterior([arm("A", 0, 57, 9e7)], prior(tau=1e-4, route=1e-3))
    sd = math.sqrt(4 + 1 + 1)  # mu, cells, slope x log10(10)

    def density(theta, power=0):
        p = special.expit(theta)
        return p**power * (1 - p) ** 57 * stats.norm.pdf(theta, -2, sd)

    total, mean = (integrate.quad(density, -40, 20, args=(k,), points=[-6, -3])[0] for k in (0, 1))
    at = Asked(9e7, new_study=False)
    assert one.log_marginal == pytest.approx(math.log(total), abs=1e-5)
    assert one.mean_rate(at) == pytest.approx(mean / total, rel=1e-3)
    below = integrate.quad(density, -40, special.logit(0.05), points=[-6])[0]
    assert one.rate_cdf(at, 0.05) == pytest.approx(below / total, abs=1e-3)


def test_wider_priors_are_wider_where_cells_are_concerned():
    wide = PRIORS.wider(2)
    assert (wide.mu, wide.tau) == (PRIORS.mu, PRIORS.tau)
    assert all(getattr(wide, name).sd == 2 * getattr(PRIORS, name).sd for name in ("cells", "slope", "route"))


def test_without_data_on_a_coefficient_it_keeps_its_prior():
    one = safety_posterior([arm("A", 2, 40), arm("B", 1, 30)], PRIORS, FEW)
    for name in ("cells", "slope", "route"):
        assert one.moments(name) == pytest.approx((0.0, 1.0), abs=1e-6)


@settings(max_examples=examples(4, 25))
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(12, 60)), min_size=2, max_size=4), st.integers(1, 8))
def test_more_events_with_cells_raise_the_rate_and_the_difference(children, more):
    arms = [arm(f"S{i // 2}", r, n, 0.0 if i % 2 else 5e7) for i, (r, n) in enumerate(children)]
    assume(arms[0].events < arms[0].n)
    worse = [replace(arms[0], events=min(arms[0].n, arms[0].events + more)), *arms[1:]]
    before, after = (safety_posterior(one, PRIORS, FEW) for one in (arms, worse))
    at = Asked(5e7)
    assert after.mean_rate(at) > before.mean_rate(at)
    assert after.difference_cdf(at, 0.0) < before.difference_cdf(at, 0.0) + 1e-9


def test_quantiles_and_distribution_functions_belong_together(posterior):
    for at in (Asked(0.0), Asked(2e7), Asked(2e7, new_study=False)):
        for p in (0.025, 0.5, 0.975):
            assert posterior.rate_cdf(at, posterior.rate_quantile(at, p)) == pytest.approx(p, abs=1e-6)
    for p in (0.025, 0.5, 0.975):
        assert posterior.difference_cdf(Asked(2e7), posterior.difference_quantile(Asked(2e7), p)) == pytest.approx(
            p, abs=1e-6
        )
    zero_log_odds = posterior.log_odds_ratio_quantile(Asked(2e7), posterior.difference_cdf(Asked(2e7), 0.0))
    assert zero_log_odds == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("sets", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_recovery_of_planted_rates(sets):
    """Sets of trials whose truth is from the priors: intervals hold it as often as they say, within four errors."""
    rng, held = stream(20261129, "safety"), []
    for _ in range(sets):
        mu, cells, slope = rng.normal(-2, 2), rng.normal(), rng.normal()
        tau, arms = abs(rng.normal()), []
        for i in range(6):
            own, dose = mu + tau * rng.normal(), float(rng.choice([1e7, 5e7, 2e8]))
            logit = own + cells + slope * math.log10(1 + dose / 1e7)
            arms += [arm(f"S{i}", rng.binomial(40, special.expit(own)), 40)]
            arms += [arm(f"S{i}", rng.binomial(40, special.expit(logit)), 40, dose)]
        found = safety_posterior(arms, PRIORS, FEW)
        at = Asked(5e7, new_study=False)
        held.append(found.rate_cdf(at, float(special.expit(mu + cells + slope * math.log10(6)))))
    inside = np.mean((np.array(held) > 0.1) & (np.array(held) < 0.9))
    assert abs(inside - 0.8) < 4 * math.sqrt(0.16 / sets)
    assert stats.kstest(held, "uniform").pvalue > 0.001


@pytest.mark.slow
def test_reference_pymc_samples_the_same_posterior():
    import pymc as pm

    counts = event_counts(TABLES, "fever").used
    found = safety_posterior(counts, PRIORS)
    design = np.stack([loading(c.dose, c.route != "IT") for c in counts])
    names = sorted({c.children for c in counts})
    with pm.Model():
        beta = [PRIORS.of(name).node(name) for name in COEFFICIENTS]
        tau = PRIORS.of("tau").node("tau")
        z = pm.Normal("z", shape=len(names))
        own = tau * z[np.array([names.index(c.children) for c in counts])]
        logit = sum(design[:, k] * b for k, b in enumerate(beta)) + own
        pm.Binomial("y", n=[c.n for c in counts], logit_p=logit, observed=[c.events for c in counts])
        drawn = pm.sample(4000, tune=2000, chains=4, cores=2, target_accept=0.95, random_seed=1, progressbar=False)
    for name in (*COEFFICIENTS, "tau"):
        values = drawn["posterior"][name].values
        mean, sd = found.moments(name)
        assert values.mean() == pytest.approx(mean, abs=0.06 * sd)
        assert values.std() == pytest.approx(sd, rel=0.06)


# stopping


RULE = {
    "limit": 0.05,
    "threshold": 0.9,
    "children": 45,
    "every": 10,
    "prior_events": 0.5,
    "prior_children": 10,
    "rates": [0.05, 0.2],
}


def test_known_boundary_of_a_rule():
    rule = StoppingRule.model_validate(RULE)
    assert rule.looks == [10, 20, 30, 40, 45]
    for n, least in zip(rule.looks, boundary(rule), strict=True):
        chance = [stats.beta.sf(0.05, 0.5 + r, 9.5 + n - r) for r in (least - 1, least)]
        assert chance[0] <= 0.9 < chance[1]
        assert probability_above(rule, np.array([least]), n)[0] == pytest.approx(chance[1])


@pytest.mark.parametrize("rate", [0.03, 0.2])
def test_stops_are_those_of_every_path(rate):
    """Small enough to list: three looks of three children each, every number of events between looks."""
    looks, fewest = [3, 6, 9], [2, None, 3]
    expected, children = np.zeros(3), 0.0
    for path in itertools.product(range(4), repeat=3):
        chance, total, at = math.prod(stats.binom.pmf(k, 3, rate) for k in path), 0, None
        for look, (k, least) in enumerate(zip(path, fewest, strict=True)):
            total += k
            if at is None and least is not None and total >= least:
                at = look
        if at is not None:
            expected[at] += chance
        children += chance * (9 if at is None else looks[at])
    found = stops(looks, fewest, rate)
    assert found.at_look == pytest.approx(expected, abs=1e-14)
    assert found.children == pytest.approx(children)


def test_stops_are_those_of_simulated_trials():
    rule = StoppingRule.model_validate(RULE)
    fewest, rng = boundary(rule), stream(7, "stopping")
    seen = np.cumsum(rng.random((40_000, 45)) < 0.1, axis=1)[:, np.array(rule.looks) - 1]
    over = seen >= np.array(fewest)
    found = stops(rule.looks, fewest, 0.1)
    error = math.sqrt(found.ever * (1 - found.ever) / 40_000)
    assert over.any(axis=1).mean() == pytest.approx(found.ever, abs=4 * error)
    last = np.where(over.any(axis=1), np.array(rule.looks)[over.argmax(axis=1)], 45)
    assert last.mean() == pytest.approx(found.children, abs=4 * last.std() / 200)


@given(st.floats(0.01, 0.4), st.floats(0.01, 0.4))
def test_a_higher_rate_stops_more_and_sooner(one, other):
    rule = StoppingRule.model_validate(RULE)
    low, high = (stops(rule.looks, boundary(rule), rate) for rate in sorted((one, other)))
    assert low.ever <= high.ever + 1e-12
    assert low.children >= high.children - 1e-9
    assert 10 <= high.children <= 45
