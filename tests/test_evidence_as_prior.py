"""The evidence as prior: mixtures of normals, what they are worth, and what a trial with one claims."""

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from conftest import examples
from design_cases import normal_design
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

import gmfmsim
from gmfmsim import cli
from gmfmsim.answer.as_prior import control_changes
from gmfmsim.answer.prior import COMPONENTS
from gmfmsim.compute.text import percent
from gmfmsim.dist.fewer import fewer
from gmfmsim.dist.mixture import NormalMixture
from gmfmsim.evidence.spread import shipped_tables
from gmfmsim.faults import InputError
from gmfmsim.model.map_prior import map_prior
from gmfmsim.model.priors.ess import ess_elir, ess_moment, ess_morita
from gmfmsim.model.truths import belief, known
from gmfmsim.trial.estimates import Criterion
from gmfmsim.trial.exact import Assurance
from gmfmsim.trial.exact.tails import Truth
from gmfmsim.trial.exact.under_prior import chances_under, needed

ROOT = Path(__file__).parents[1]
ABOVE_0 = Criterion(0.025, 0, "above")
PRIOR = NormalMixture(np.array([0.2, 0.4, 0.3, 0.1]), np.array([2.2, 2.1, 2.4, 0]), np.array([0.7, 1.4, 2.2, 8]))


def mixture_of(*components):
    return NormalMixture(*(np.array(column, float) for column in zip(*components, strict=True)))


mixtures = st.lists(st.tuples(st.floats(0.05, 1), st.floats(-5, 5), st.floats(0.2, 6)), min_size=1, max_size=5).map(
    lambda rows: mixture_of(*[(w / sum(r[0] for r in rows), m, s) for w, m, s in rows])
)


# another system's figures


def test_reference_rb04_effective_sample_sizes(reference):
    expected = reference["RB04"]["expected"]
    parts = [0.5, 0.5], [0, 3], [2, 4]
    found = {"elir": ess_elir, "moment": ess_moment, "morita": ess_morita}
    for name, of in found.items():
        assert of(*parts, unit_sd=10.0) == pytest.approx(expected["nmix_sigma10"][name], rel=1e-6)
    assert ess_elir(*parts, unit_sd=20.0) == pytest.approx(expected["nmix_sigma20_elir"], rel=1e-6)


def test_reference_rb07_posterior_of_a_mixture(reference):
    expected = reference["RB07"]["expected"]
    after = mixture_of((0.2, 0, 2), (0.8, 2, 2)).given(1, 5 / math.sqrt(10))
    assert after.weight == pytest.approx(expected["w"], abs=1e-7)
    assert after.means == pytest.approx(expected["m"], abs=1e-7)
    assert after.sds == pytest.approx(expected["s"], abs=1e-7)


def test_reference_rb09_probability_of_success(reference):
    """Two arms of 50, SD 10 known, Normal(0, 100^2) of each mean, so of their difference Normal(0, 2 x 100^2)."""
    expected = reference["RB09"]["expected"]
    prior, se = mixture_of((1, 0, 100 * math.sqrt(2))), np.array([10 * math.sqrt(2 / 50)])
    over = chances_under(Truth(np.array([6.0]), np.array([16.0])), ABOVE_0, se, math.inf, False, prior)
    assert over.item() == pytest.approx(expected["PoS"], abs=5e-6)
    fixed = Truth(np.array([0.0, 4, 6]), np.zeros(3))
    assert chances_under(fixed, ABOVE_0, se, math.inf, False, prior)[0] == pytest.approx(
        expected["oc at d=0,4,6"],
        abs=2e-5,  # theirs are right to 1e-4
    )


def test_reference_rb05_critical_value_and_power(reference):
    """Success is P(log HR < 0) > 0.975, log HR ~ Normal(0, 2^2) before 379 events; told with signs changed.

    Of one normal the critical value is z sqrt(se^2 (v + se^2) / v), which is met to 1e-12. The reference looks for it
    numerically, to the fourth root of a rounding error, 1.2e-4; that moves its power by up to 4e-4.
    """
    expected = reference["RB05"]["expected"]
    prior, se = mixture_of((1, 0, 2)), 2 / math.sqrt(379)
    critical = -needed(ABOVE_0, se, math.inf, prior)
    assert critical == pytest.approx(-stats.norm.ppf(0.975) * se * math.sqrt((4 + se**2) / 4), abs=1e-12)
    assert critical == pytest.approx(expected["critical logHR"], abs=1.3e-4)
    truth = Truth(np.array([-math.log(0.75)]), np.zeros(1))
    power = chances_under(truth, ABOVE_0, np.array([se]), math.inf, False, prior)
    assert power.item() == pytest.approx(expected["power at HR .75"], abs=4e-4)


# mixtures


@settings(max_examples=examples(20, 200), deadline=None)
@given(mixtures, st.floats(-8, 8), st.floats(0.2, 5))
def test_property_posterior_of_a_mixture_is_prior_times_likelihood(prior, estimate, se):
    after = prior.given(estimate, se)

    def density(x):
        return prior.weight @ stats.norm.pdf(x, prior.means, prior.sds) * stats.norm.pdf(estimate, x, se)

    ends = [after.mean - 15 * after.sd, *sorted(after.means.tolist()), after.mean + 15 * after.sd]
    whole = integrate.quad(density, ends[0], ends[-1], points=ends[1:-1], limit=400, epsabs=0, epsrel=1e-10)[0]
    first = integrate.quad(lambda x: x * density(x), ends[0], ends[-1], points=ends[1:-1], limit=400)[0]
    assert after.mean == pytest.approx(first / whole, abs=1e-6)
    assert after.weight.sum() == pytest.approx(1)


def test_a_posterior_needs_a_number_and_an_error_above_0():
    for estimate, se in ((math.nan, 1), (0, 0), (0, math.inf)):
        with pytest.raises(ValueError, match="finite"):
            PRIOR.given(estimate, se)


def test_known_few_components_are_found_again():
    """A mixture of two, told as ten thousand components, comes back as those two."""
    two = mixture_of((0.7, 1, 1), (0.3, 4, 2))
    copies = NormalMixture(np.repeat(two.weight / 50, 50), np.repeat(two.means, 50), np.repeat(two.sds, 50))
    found, error, divergence = fewer(copies, 2)
    assert error < 2e-4
    assert divergence < 1e-6
    assert found.weight == pytest.approx(two.weight, abs=5e-3)
    assert found.means == pytest.approx(two.means, abs=2e-2)
    assert found.sds == pytest.approx(two.sds, abs=1e-2)


@settings(max_examples=examples(10, 100), deadline=None)
@given(mixtures, st.integers(1, 4))
def test_property_fewer_components_keep_mean_and_sd_and_state_their_error(mixture, components):
    """Expectation and maximisation keeps both moments; the error that is stated is the largest on a finer grid."""
    found, error, divergence = fewer(mixture, components)
    assert found.weight.size <= max(components, 1) or found is mixture
    assert found.weight.sum() == pytest.approx(1)
    assert found.mean == pytest.approx(mixture.mean, abs=2e-3 * mixture.sd)
    assert found.sd == pytest.approx(mixture.sd, rel=2e-3)
    x = np.linspace(mixture.mean - 6 * mixture.sd, mixture.mean + 6 * mixture.sd, 2001)
    apart = max(abs(found.cdf(at) - mixture.cdf(at)) for at in x.tolist())
    assert apart <= error + 2e-3
    assert divergence >= 0


@pytest.mark.parametrize(("components", "match"), [(0, "1 to"), (13, "1 to")])
def test_a_number_of_components_that_cannot_be(components, match):
    with pytest.raises(ValueError, match=match):
        fewer(PRIOR, components)


# trials under a prior


def dense_success(truth, se, df, prior):
    """Success where the SD is estimated, by brute force: bisection of an integral for each estimated error."""

    def failing(y, own):
        theta = np.arange(-3000, 3001) / 100
        log = stats.t.logpdf((y - theta) / own, df)
        density = np.exp(log - log.max()) * (stats.norm.pdf(theta[:, None], prior.means, prior.sds) @ prior.weight)
        below = np.where(theta < 0, density, 0) + np.where(theta == 0, density / 2, 0)
        return integrate.trapezoid(below, theta) / integrate.trapezoid(density, theta)

    def end(own):
        low, high = -10.0, 25.0
        for _ in range(45):
            middle = (low + high) / 2
            low, high = (middle, high) if failing(middle, own) > 0.025 else (low, middle)
        return (low + high) / 2

    x, weight = np.polynomial.legendre.leggauss(24)
    low, high = (math.sqrt(stats.chi2.ppf(p, df) / df) for p in (1e-8, 1 - 1e-8))
    s = low + (high - low) / 2 * (1 + x)
    of = weight * stats.chi2.pdf(s**2 * df, df) * 2 * s * df * (high - low) / 2
    return float(of @ [stats.norm.sf((end(se * own) - truth) / se) for own in s])


@pytest.mark.parametrize(("df", "se", "truth"), [(25, 1.5, 0.7), (200, 0.5, 0.0)])
def test_reference_success_under_a_prior_by_brute_force(df, se, truth):
    at = Truth(np.array([truth]), np.zeros(1))
    found = chances_under(at, ABOVE_0, np.array([se]), float(df), False, PRIOR).item()
    assert found == pytest.approx(dense_success(truth, se, df, PRIOR), abs=2e-4)  # a grid of 0.01 points


@pytest.mark.parametrize("n", [8, 60])
def test_known_a_prior_of_no_information_is_none(n):
    wide = {"method": "bayes", "prior": [{"mean": 0, "sd": 900}]}
    designs = [normal_design(analyses=[a], children={"dropout": 0.1}) for a in (wide, {"method": "ancova"})]
    for effect in (0.0, 2.0):
        with_prior, without = (Assurance(d, d.analyses[0], known(effect)).at(n) for d in designs)
        assert with_prior == pytest.approx(without, abs=2e-4)


@settings(max_examples=examples(6, 50), deadline=None)
@given(st.floats(-3, 4), st.floats(0.5, 3))
def test_property_success_rises_with_truth_and_harm_mirrors_it(mean, sd):
    prior = [{"mean": mean, "sd": sd}]
    mirrored = [{"mean": -mean, "sd": sd}]
    one, other = (normal_design(analyses=[{"method": "bayes", "prior": p}]) for p in (prior, mirrored))
    below = (Criterion(0.025, 0, "below"),)
    rising = [Assurance(one, one.analyses[0], known(e)).at(30) for e in (-1.0, 0.0, 1.0, 2.0, 4.0)]
    assert all(after >= before - 1e-12 for before, after in pairwise(rising))
    harm = Assurance(other, other.analyses[0], known(-1.0), below).at(30)
    assert harm == pytest.approx(rising[2], abs=1e-9)


def test_known_success_over_the_prior_itself_without_any_child_seen_is_what_it_says_already():
    """A prior that is sure claims at once; one that is not never does without data that tell something."""
    sure, unsure = (normal_design(analyses=[{"method": "bayes", "prior": [{"mean": m, "sd": 1}]}]) for m in (3, 1))
    for design, least, most in ((sure, 0.99, 1.0), (unsure, 0.0, 0.1)):
        blurred = design.model_copy(
            update={
                "children": design.children.model_copy(
                    update={"excess_sd": design.children.excess_sd.model_copy(update={"value": 400.0})}
                )
            }
        )
        found = Assurance(blurred, blurred.analyses[0], belief(np.ones(1), np.zeros(1), np.ones(1))).at(20)
        assert least <= found <= most


# control arms


def test_reference_es23_the_map_prior_of_a_meta_analysis(reference):
    """Log odds of 8 trials; the prior of tau is flat in the reference, here a half-normal whose density falls by 1 % up
    to tau = 1.4, beyond which lies 1 % of the posterior."""
    r, n = np.array([23, 12, 19, 9, 39, 6, 9, 10]), np.array([107, 44, 51, 39, 139, 20, 78, 35])
    expected = reference["ES23"]["expected"]
    found = map_prior(np.log(r / (n - r)), np.sqrt(1 / r + 1 / (n - r)), tau_scale=10.0)
    assert found.mean == pytest.approx(expected["mu_mean"], abs=2e-3)
    assert found.sd == pytest.approx(expected["new_sd"], rel=2e-3)


def test_known_the_map_prior_of_trials_that_agree():
    """With tau next to 0 the prior is the pooled mean."""
    found = map_prior([1, 3], [1, 1], tau_scale=1e-4)
    assert found.mean == pytest.approx(2, abs=1e-6)
    assert found.sd == pytest.approx(math.sqrt(0.5), abs=1e-6)
    with pytest.raises(ValueError, match="tau_scale"):
        map_prior([1], [1], tau_scale=0)
    with pytest.raises(ValueError, match="mean"):
        map_prior([], [], tau_scale=1)


def test_control_arms_count_once_for_a_trial_and_say_which_are_doubted():
    found = control_changes(shipped_tables(), 12.0)
    assert [(row["study"], row["mean"]) for row in found] == [("Sun2017", 6.9), ("Amanat2021", 2.58)]
    assert [row["doubted"] for row in found] == [False, True]


# the verb


def test_the_prior_of_the_evidence(monkeypatch, capsys):
    found = gmfmsim.prior("quickstart_one_mean", robust=0.2, estimate=0.4, se=1.1)
    weight = [c["weight"] for c in found["components"]]
    assert len(weight) == COMPONENTS + 1
    assert sum(weight) == pytest.approx(1)
    assert weight[-1] == pytest.approx(0.2)
    assert found["cdf_error"] < 1e-3
    assert found["above_0"] == pytest.approx(gmfmsim.size("quickstart_one_mean")["plateau"], abs=1e-6)
    after = found["given"]
    assert after["mean"] < found["mean"]
    assert after["sd"] < min(1.1, found["sd"])
    assert 0 < after["conflict"] < 1
    monkeypatch.setattr("sys.argv", ["gmfmsim", "prior", "quickstart_one_mean", "--json"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 0
    said = json.loads(capsys.readouterr().out)
    assert said["family"] == "normal"
    assert said["control"]["children"] < 5


def test_every_fault_of_the_verb_is_told_at_once():
    with pytest.raises(InputError) as error:
        gmfmsim.prior("quickstart_one_mean", components=0, robust=1.0, se=-1)
    assert [fault.where for fault in error.value.faults] == ["--components", "--robust", "--estimate", "--se"]


# the shipped experiment


def committed(name):
    (file,) = (ROOT / "results" / name).glob("*/answer.json")
    return json.loads(file.read_text(encoding="utf-8"))


def test_the_readme_shows_the_committed_answer():
    readme, answer = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split()), committed("robust_map")
    assert f"results/robust_map/{answer['key']}/report.html" in readme
    as_it_is, sceptic, without = answer["alternatives"]
    prior, fair = answer["prior"], answer["prior"]["calibrated"]
    assert prior["n_without"] == without["n_total"]
    assert as_it_is["n_total"] < answer["n_total"] < without["n_total"] < sceptic["n_total"]
    assert fair["success"] == pytest.approx(fair["without"], abs=2e-3)
    for words in (
        f"worth {prior['children']['elir']:.0f} children of the trial, and {answer['n_total']} children reach 80 %",
        f"where {without['n_total']} do without it",
        f"{percent(prior['false_claims']['with'])} of such trials claim one",
        f"in {percent(fair['success'])} of new studies, and in {percent(fair['without'])} without a prior",
        f"takes {sceptic['n_total']} children and errs in {percent(sceptic['prior']['false_claims']['with'])}",
    ):
        assert words in readme


def test_the_readme_compares_the_designs():
    readme, answer = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split()), committed("all_designs")
    fixed, looks, prior, held = answer["comparison"]["rows"]
    assert f"results/all_designs/{answer['key']}/report.html" in readme
    assert held["false_claims"] == pytest.approx(0.025, abs=5e-4)
    cheapest, at_level = (answer["compared"][name] for name in ("cheapest", "cheapest_at_level"))
    assert (cheapest["label"], at_level["label"]) == ("robust prior", "fixed")
    assert cheapest["false_claims"] == pytest.approx(prior["false_claims"], abs=1e-6)
    for words in (
        f"{fixed['n_total']} children in the fixed design; {looks['n_total']} at most and {looks['expected']:.0f} on",
        f"{prior['n_total']} with the robust prior, which claims an effect that is not there in "
        f"{percent(prior['false_claims'])}; {held['n_total']} with the same prior held to 2.5 %",
    ):
        assert words in readme


def test_the_committed_answer_is_that_of_the_shipped_experiment():
    old, now = committed("robust_map"), gmfmsim.size("robust_map")
    for before, after in zip((old, *old["alternatives"]), (now, *now["alternatives"]), strict=True):
        assert (before["label"], before["n_total"]) == (after["label"], after["n_total"])
        if "prior" in before:
            assert before["prior"]["false_claims"] == pytest.approx(after["prior"]["false_claims"], abs=1e-6)


@pytest.mark.parametrize(
    ("analysis", "words"),
    [
        ({"prior": [{"weight": 0.5, "mean": 0, "sd": 2}]}, "weights of the prior that sum to 1"),
        ({"prior": "flat", "robust": {"weight": 0.2, "sd": 8}}, "robust beside a prior that is not flat"),
        ({"prior": "mine"}, "prior"),
        ({"prior": []}, "prior"),
        ({"prior": [{"mean": 0, "sd": 0}]}, "sd"),
        ({"prior": [{"mean": 0}]}, "sd"),
        ({"prior": "evidence", "robust": {"weight": 1.0, "sd": 8}}, "weight"),
    ],
)
def test_a_prior_that_cannot_be_is_refused_in_words(analysis, words):
    with pytest.raises(InputError, match=words):
        gmfmsim.load("robust_map", {"trial.analyses": [{"method": "bayes"} | analysis]})


def test_any_plan_takes_the_evidence_as_prior():
    """Averaged curves of dose, an SD whose law has tails; more is claimed with the prior than without."""
    changes = {"analysis.method": "bayes", "analysis.prior": "evidence"}
    wide = {"trial.sd_change": {"dist": "log_student_t", "location": 1.78, "scale": 0.4, "df": 9.0}}
    found = gmfmsim.size(gmfmsim.load("curve_average", changes | wide))
    assert found["n_total"] < found["prior"]["n_without"]
    assert found["prior"]["false_claims"]["with"] > 2 * found["prior"]["false_claims"]["without"]


def test_an_analysis_is_said_once():
    with pytest.raises(InputError, match=r"says what trial\.analyses says too"):
        gmfmsim.load("quickstart", {"trial.analyses": [{"method": "ancova"}]})
