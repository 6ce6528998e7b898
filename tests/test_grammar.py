"""One grammar of a trial: the short form says the same of every design, over a preset or whole."""

import numpy as np
import pytest
from conftest import examples
from design_cases import NORMAL, arm, figure, normal_design, two_arms, with_test
from hypothesis import given, settings
from hypothesis import strategies as st

from gmfmsim.dist.positive import LogStudentT
from gmfmsim.faults import InputError
from gmfmsim.files.shelf import names
from gmfmsim.question.question import read_question
from gmfmsim.trial.closed_form import claim_power, of_contrast
from gmfmsim.trial.detectable import fixed_truths
from gmfmsim.trial.operate import engine_of
from gmfmsim.trial.presets import read_design
from gmfmsim.trial.protocol import sources
from gmfmsim.trial.simulate import simulate

EXPERIMENT = {
    "name": "grammar",
    "question": "How many?",
    "seed": 1,
    "evidence": {"select": {"default_use": "primary"}},
    "model": {"name": "random_effects"},
    "search": {"target": {"metric": "power", "value": 0.8}, "planning_value": 2.0},
}


def trial_of(trial: dict, **sections):
    return read_question(EXPERIMENT | {"trial": trial} | sections).plans[0].plan.trial


@pytest.mark.parametrize("name", names("designs"))
def test_every_design_takes_the_short_form(name):
    design = read_design(name)
    said = read_design(name, overrides={"month": 6, "dropout": 0.15, "sd_change": 7.0})
    assert said.month == 6
    assert len(said.visits) <= len(design.visits)
    assert (said.onset is None) == (design.onset is None)
    assert said.dropout == 0.15
    assert said.children.dropout.source == said.children.excess_sd.source == "this experiment"
    at_endpoint = said.children.change_sd(said.month, np.array(said.sd_change.value))
    assert at_endpoint == pytest.approx(max(7.0, np.sqrt(2) * said.children.measurement_error.value))
    if len(design.arms) == 2:
        uneven = read_design(name, overrides={"ratio": 2}) if design.kind != "pairs" else None
        assert uneven is None or uneven.active.ratio == 2 * uneven.control.ratio
    else:
        with pytest.raises(InputError, match="key ratio"):
            read_design(name, overrides={"ratio": 2})


def test_both_spellings_give_one_plan_and_a_resolved_configuration_reads_back():
    short = {"month": 12, "dropout": 0.1, "sd_change": 6, "ratio": 2}
    by_hand = {
        "design": "parallel",
        "arms": [arm("control"), arm("cells", 5e7, ratio=2)],
        "visits": [12],
        "children": {
            "dropout": {"value": 0.1, "source": "this experiment", "verified": "assumed"},
            "excess_sd": {"value": 6, "source": "this experiment", "verified": "assumed"},
        },
    }
    one, other = trial_of(short), trial_of(by_hand)
    assert one.model_dump() == other.model_dump()
    assert trial_of(short | {"sd_change": {"dist": "fixed", "value": 6}}).model_dump() == one.model_dump()
    assert trial_of(short, analysis={"method": "t", "alpha": 0.05}).model_dump() == one.model_dump()
    question = read_question(EXPERIMENT | {"trial": short})
    again = read_question(question.config)
    assert (again.key, again.config) == (question.key, question.config)


@given(
    month=st.sampled_from([3, 6, 12, 24]),
    dropout=st.floats(0, 0.9),
    median=st.floats(0.5, 50),
    sigma=st.floats(0.01, 0.5),
)
@settings(max_examples=examples(10, 30), deadline=None)
def test_what_the_short_form_says_is_what_the_trial_has(month, dropout, median, sigma):
    design = two_arms(month=month, dropout=dropout, sd_change={"dist": "lognormal", "median": median, "sigma": sigma})
    assert (design.month, design.dropout, engine_of(design)) == (month, dropout, "two_arm")
    p = np.array([0.1, 0.5, 0.9])
    expected = median * np.exp(sigma * np.array([-1.2815515655446004, 0, 1.2815515655446004]))
    np.testing.assert_allclose(design.children.change_sd(month, design.sd_change.ppf(p)), expected, rtol=1e-9)


@pytest.mark.parametrize("growth", [0, 0.5])
def test_the_short_form_takes_an_sd_with_longer_tails(growth):
    """A Student t of its logarithm, at the endpoint, whatever the exponent makes of it at twelve months."""
    law = LogStudentT(dist="log_student_t", df=7.4, location=1.5, scale=0.4)
    children = {"population": "normal_change", "excess_growth": figure(growth), "measurement_error": figure(0)}
    design = two_arms(month=6, sd_change=law.model_dump(), children=children)
    p = np.array([0.01, 0.5, 0.9])
    np.testing.assert_allclose(design.children.change_sd(6, design.sd_change.ppf(p)), law.ppf(p), rtol=1e-12)
    told = next(row.value for row in sources(design) if row.key == "children.excess_sd")
    assert told.endswith("logarithm Student t of 7.4 degrees of freedom, scale 0.4")


def test_degrees_of_freedom_want_a_scale():
    with pytest.raises(InputError, match=r"a sigma above 0 beside df"):
        read_design(
            "normal", overrides={"children": {"population": "normal_change", "excess_sd": figure(5) | {"df": 7}}}
        )


def test_the_engines_agree_where_both_are_right():
    """At another month than the twelve of the excess SD, and below the error of measurement."""
    half = read_design("normal", overrides={"month": 6, "analyses": [{"method": "t"}]})
    small = two_arms(sd_change=1.0)
    for design, effect, n in ((half, 2.0, 60), (small, 0.9, 20)):
        truths = fixed_truths(design, effect, 40_000, seed=1)
        found = {e: simulate(truths, design, n=[n], seed=2, engine=e) for e in ("two_arm", "sufficient", "children")}
        assert [s.attrs.get("engine", "two_arm") for s in found.values()] == ["two_arm", "sufficient", "children"]
        at = [(s["success"].item(), s["success_mcse"].item()) for s in found.values()]
        for (p, e), (q, f) in ((at[0], at[1]), (at[1], at[2])):
            assert abs(p - q) <= 4 * np.hypot(e, f)


def test_a_known_sd_is_not_an_observed_one():
    """The z test of [analysis] takes the SD as known; beside other analyses it is the one that was observed."""
    known = trial_of({"sd_change": 5}, analysis={"method": "z"})
    assert (known.analyses[0].sd, engine_of(known)) == ("known", "two_arm")
    observed = normal_design(analyses=[{"method": "z"}])
    assert (observed.analyses[0].sd, engine_of(observed)) == ("observed", "sufficient")
    with pytest.raises(InputError, match="sd known only for one z test"):
        read_design("next_parallel", overrides={"analyses": [{"method": "z", "sd": "known"}]})


@pytest.mark.parametrize("engine", ["sufficient", "children"])
@pytest.mark.parametrize("rho", [0.3, 0.8])
def test_known_power_of_ancova_with_a_baseline_correlation(engine, rho):
    """Residual SD s sqrt((1 + rho) / 2) of the change with SD s (Frison & Pocock 1992)."""
    sd, n, effect = 5.5, 60, 2.5
    design = two_arms(sd_change=sd, baseline_correlation=rho, analyses=[{"method": "ancova"}, {"method": "t"}])
    found = simulate(fixed_truths(design, effect, 40_000, seed=1), design, n=[n], seed=2, engine=engine)
    residual = sd * np.sqrt((1 + rho) / 2)
    for label, spread, lost in (("ancova", residual, 1), ("t", sd, 0)):
        at = found.sel(analysis=label)
        exact = claim_power(effect, of_contrast([n, n], [-1, 1], spread))
        # one degree of freedom and the chance difference of baselines cost the ANCOVA less than 0.01 of power here
        assert abs(at["success"].item() - exact) < 4 * at["success_mcse"].item() + 0.01 * lost


def test_the_correlation_holds_whatever_the_sd_of_a_trial():
    design = two_arms(baseline_correlation=0.7, analyses=[{"method": "ancova"}], visits=[6, 12])
    for sd in (2.0, 6.0):
        _, covariance = design.children.moments(np.array([6.0, 12.0]), sd)
        spread = np.sqrt(np.diag(covariance))
        np.testing.assert_allclose(covariance / np.outer(spread, spread), np.full((3, 3), 0.7) + 0.3 * np.eye(3))
        change = covariance[0, 0] + covariance[2, 2] - 2 * covariance[0, 2]
        assert change == pytest.approx(sd**2)


FAULTS = {
    "a month beside visits": ({"design": "normal", "month": 6, "visits": [3, 6]}, "key trial.month", "last visit"),
    "a correlation of children on curves": (
        {"design": "next_parallel", "baseline_correlation": 0.8},
        "key trial.baseline_correlation",
        "normal children",
    ),
    "a correlation of clusters": (
        {"design": "next_cluster", "baseline_correlation": 0.8},
        "key trial.baseline_correlation",
        "one by one",
    ),
    "an SD for twelve months at six": ({"month": 6}, "key trial.sd_change", "12 months"),
    "a share lost above 1": ({"design": "sun2017", "dropout": 1.5}, "key trial.dropout", "less than 1"),
    "a key that nobody knows": ({"design": "normal", "durtion": 3}, "key trial.durtion", "baseline_correlation"),
    "the word for another": ({"design": "normal", "drop_out": 0.1}, "key trial.drop_out", "meant: dropout"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_short_form_says_where_and_what_is_allowed(fault):
    trial, where, allowed = FAULTS[fault]
    with pytest.raises(InputError) as refusal:
        trial_of(trial)
    assert [f.where for f in refusal.value.faults] == [where]
    assert allowed in refusal.value.faults[0].allowed
    assert "more" not in refusal.value.faults[0].allowed


def test_faults_of_the_short_form_and_of_the_rest_are_told_at_once():
    with pytest.raises(InputError) as refusal:
        trial_of({"design": "normal", "dropout": -1, "alpha": 2, "children": NORMAL | {"growth": figure("much")}})
    assert {f.where for f in refusal.value.faults} >= {"key trial.dropout", "key trial.alpha"}


def test_faults_of_the_one_analysis_stand_in_its_section():
    for analysis, where in (({"method": "tt"}, "key analysis.method"), ({"alpha": 2}, "key analysis.alpha")):
        with pytest.raises(InputError) as refusal:
            trial_of({}, analysis=analysis)
        assert [f.where for f in refusal.value.faults] == [where]


def test_a_design_takes_the_one_analysis_as_the_plainest_does():
    said = trial_of({"design": "next_parallel"}, analysis={"method": "ancova", "covariates": ["baseline", "level"]})
    assert [a.label for a in said.analyses] == ["ancova (baseline, level)"]
    assert with_test(two_arms(), alpha=0.1).alpha == 0.1
