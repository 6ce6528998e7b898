"""Looks before the end: bounds of other systems, the law at the looks, simulated trials, what a plan says of them."""

import itertools
import json
import math

import numpy as np
import pytest
from conftest import ROOT, committed, examples
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

import gmfmsim
from gmfmsim.compute.text import percent
from gmfmsim.dist.mixture import NormalMixture
from gmfmsim.faults import InputError
from gmfmsim.files.shelf import find
from gmfmsim.files.toml import read_toml
from gmfmsim.model.truths import known
from gmfmsim.report.looks import bounds_table, stopping_table
from gmfmsim.streams import stream
from gmfmsim.trial import exact
from gmfmsim.trial.closed_form import sample_size
from gmfmsim.trial.estimates import Criterion
from gmfmsim.trial.exact.looks import Stopping, in_sds, nodes_of, stopping
from gmfmsim.trial.exact.statistic import statistic
from gmfmsim.trial.looks.bounds import bounds, conditional_power, drift, inflation, predictive_power, spent
from gmfmsim.trial.looks.crossing import OUTCOMES, crossing
from gmfmsim.trial.looks.declare import FORMED, Looks
from gmfmsim.trial.looks.simulate import stopped
from gmfmsim.trial.looks.words import in_sentences
from gmfmsim.trial.presets import read_design
from gmfmsim.trial.recruitment import Recruitment, enrolled_by, months_to

LEVEL = 0.025
OBRIEN = Looks(at=[0.5, 0.75], bounds="lan_demets_obrien_fleming", futility={"z": [0.0, 0.5]})


def evenly(looks: int, **more) -> Looks:
    return Looks(at=[k / looks for k in range(1, looks)], **more)


# bounds


@pytest.mark.parametrize("looks", [2, 3, 4, 5])
def test_reference_bounds_of_obrien_and_fleming(reference, looks):
    expected = reference["GS04"]["expected"]
    of = evenly(looks, bounds="obrien_fleming")
    assert bounds(of, LEVEL).upper == pytest.approx(expected[f"K{looks}"], abs=1e-6)
    assert inflation(of, LEVEL, 0.8) == pytest.approx(expected["inflation (beta .2)"][looks - 2], abs=1e-6)


@pytest.mark.parametrize("looks", [2, 3, 4, 5])
def test_reference_bounds_of_pocock(reference, looks):
    expected, of = reference["GS05"]["expected"], evenly(looks, bounds="pocock")
    assert bounds(of, LEVEL).upper == pytest.approx([expected["crit"][looks - 2]] * looks, abs=1e-6)
    assert inflation(of, LEVEL, 0.8) == pytest.approx(expected["inflation (beta .2)"][looks - 2], abs=1e-6)


def test_reference_largest_and_expected_children(reference):
    """Children of a t test without looks, times the inflation. The row calls its futility bounds binding; its figure is
    that of bounds which success does not make use of."""
    expected, of = reference["GS07"]["expected"], Looks(at=[0.33, 0.67], bounds="lan_demets_obrien_fleming")
    without = reference["GS01"]["expected"]["N_total_continuous"]
    most = without * inflation(of, LEVEL, 0.8)
    assert most == pytest.approx(expected["max_N"], abs=1e-3)
    stops = crossing(np.array(of.shares), *bounds(of, LEVEL), np.array([drift(of, LEVEL, 0.8)])).sum(axis=0)[0]
    at = (stops / stops.sum()) @ np.array(of.shares)
    assert most * at == pytest.approx(expected["E[N|H1]"], abs=1e-3)
    futile = Looks.model_validate(of.model_dump() | {"futility": {"z": [0.0, 0.0]}})
    assert without * inflation(futile, LEVEL, 0.8) == pytest.approx(expected["with binding futility z=0"], abs=1e-3)


def test_reference_gamma_spending_of_both_errors(reference):
    expected = reference["GS10"]["expected"]
    futility = {"spending": "hwang_shih_decani", "shape": -2, "power": 0.9}
    of = evenly(3, bounds="hwang_shih_decani", shape=-4, futility=futility)
    found = bounds(of, LEVEL)
    assert found.upper == pytest.approx(expected["upper"], abs=1e-6)
    assert found.lower == pytest.approx(expected["lower"], abs=1e-6)
    assert np.array(of.shares) * inflation(of, LEVEL, 0.9) == pytest.approx(expected["n.I"], abs=1e-6)


def test_reference_conditional_power(reference):
    futility = {"spending": "hwang_shih_decani", "shape": -2, "power": 0.9}
    of = evenly(2, bounds="hwang_shih_decani", shape=-4, futility=futility)
    information = 100 * np.array(of.shares) * inflation(of, LEVEL, 0.9)
    planned = drift(of, LEVEL, 0.9) / math.sqrt(information[-1])
    drifts = 1.5 / math.sqrt(information[0]), 0.0, planned
    found = conditional_power(bounds(of, LEVEL), information.tolist(), 0, 1.5, np.array(drifts))
    assert found.tolist() == pytest.approx(reference["GS11"]["expected"]["CP"], abs=1e-5)


def test_reference_predictive_power_is_conditional_power_over_the_posterior():
    """Of one normal belief against adaptive quadrature; of a mixture by its posterior weights; vague, by the data."""
    found, information, z = bounds(OBRIEN, LEVEL), [20.0, 30.0, 40.0], 0.4

    def at(drift: float) -> float:
        return conditional_power(found, information, 0, z, np.array([drift])).item()

    def over(mean: float, sd: float) -> tuple[float, float]:
        """Return the predictive power of one component by quadrature, and its density of the estimate."""
        estimate, own = z / math.sqrt(20), 1 / (1 / sd**2 + 20)
        centre = own * (mean / sd**2 + estimate * 20)
        value = integrate.quad(
            lambda d: at(d) * stats.norm.pdf(d, centre, math.sqrt(own)), centre - 2, centre + 2, epsabs=1e-9
        )
        return value[0], stats.norm.pdf(estimate, mean, math.hypot(sd, 1 / math.sqrt(20)))

    one, two = over(0.3, 0.4), over(0.0, 0.1)
    assert predictive_power(found, information, 0, z, NormalMixture(*np.array([[1.0], [0.3], [0.4]]))) == pytest.approx(
        one[0], abs=1e-6
    )
    both = NormalMixture(np.array([0.3, 0.7]), np.array([0.3, 0.0]), np.array([0.4, 0.1]))
    shares = 0.3 * one[1], 0.7 * two[1]
    expected = (shares[0] * one[0] + shares[1] * two[0]) / sum(shares)
    assert predictive_power(found, information, 0, z, both) == pytest.approx(expected, abs=1e-6)


def test_known_relations_of_bounds():
    """Wang and Tsiatis' bounds end in both others; gamma near 0 and rho 1 spend evenly."""
    for delta, name in ((0.0, "obrien_fleming"), (0.5, "pocock")):
        of = evenly(4, bounds="wang_tsiatis", shape=delta)
        assert bounds(of, LEVEL).upper == pytest.approx(bounds(evenly(4, bounds=name), LEVEL).upper, abs=1e-9)
    even = bounds(evenly(3, bounds="kim_demets", shape=1.0), LEVEL)
    assert bounds(evenly(3, bounds="hwang_shih_decani", shape=0.0), LEVEL).upper == pytest.approx(even.upper, abs=1e-9)


SHAPED = st.one_of(
    st.tuples(
        st.sampled_from(["obrien_fleming", "pocock", "lan_demets_obrien_fleming", "lan_demets_pocock"]), st.none()
    ),
    st.tuples(st.just("wang_tsiatis"), st.floats(-0.5, 0.5)),
    st.tuples(st.just("hwang_shih_decani"), st.floats(-8, 4)),
    st.tuples(st.just("kim_demets"), st.floats(0.5, 4)),
)
AT = st.lists(st.integers(2, 18), min_size=1, max_size=4, unique=True).map(lambda x: [k / 20 for k in sorted(x)])


@settings(max_examples=examples(12, 60), deadline=None)
@given(at=AT, made=SHAPED, level=st.floats(0.001, 0.2))
def test_bounds_spend_the_level_and_no_more(at, made, level):
    of = Looks(at=at, bounds=made[0], shape=made[1])
    found = crossing(np.array(of.shares), *bounds(of, level), np.zeros(1))[0, 0]
    assert found.sum() == pytest.approx(level, abs=1e-8)
    if "lan" in made[0] or made[0] in ("hwang_shih_decani", "kim_demets"):
        planned = [spent(*made, level, share) for share in of.shares]
        assert np.cumsum(found) == pytest.approx(planned, abs=1e-8)


@settings(max_examples=examples(8, 40), deadline=None)
@given(at=AT, made=SHAPED, power=st.floats(0.6, 0.95), binding=st.booleans())
def test_futility_spends_the_other_error(at, made, power, binding):
    """Non-binding bounds leave those of success as they are, and less of the level; binding ones give it back."""
    binding = binding and made[0] not in FORMED
    plain = Looks(at=at, bounds=made[0], shape=made[1])
    futility = {"spending": "kim_demets", "shape": 2.0, "power": power, "binding": binding}
    of = Looks.model_validate(plain.model_dump() | {"futility": futility})
    found, shares = bounds(of, LEVEL), np.array(of.shares)
    assert crossing(shares, *found, np.array([drift(of, LEVEL, power)]))[0].sum() == pytest.approx(power, abs=1e-7)
    kept = crossing(shares, *found, np.zeros(1))[0].sum()
    if binding:
        assert kept == pytest.approx(LEVEL, abs=1e-8)
        assert (found.upper <= bounds(plain, LEVEL).upper + 1e-7).all()
    else:
        assert kept <= LEVEL + 1e-9
        assert found.upper == pytest.approx(bounds(plain, LEVEL).upper, abs=1e-9)


# the law at the looks


@pytest.mark.parametrize("at", [0.0, 1.3, 4.0])
def test_reference_crossing_is_the_normal_distribution_of_all_looks(at):
    """Against SciPy's multivariate normal distribution function."""
    information, upper, lower = np.array([0.4, 0.7, 1.0]), np.array([2.9, 2.4, 2.0]), np.array([-0.5, 0.3, 2.0])
    found = crossing(information, upper, lower, np.array([at]))[:, 0]
    root = np.sqrt(information)
    covariance = np.minimum.outer(information, information) / np.outer(root, root)

    def within(lows: list[float], highs: list[float]) -> float:
        k = len(lows)
        law = stats.multivariate_normal(at * root[:k], covariance[:k, :k], seed=1, abseps=1e-10, releps=1e-10)
        return law.cdf(np.array(highs), lower_limit=np.array(lows))

    for k in range(3):
        low, high = lower[:k].tolist(), upper[:k].tolist()
        assert found[0, k] == pytest.approx(within([*low, upper[k]], [*high, 40.0]), abs=1e-6)
        assert found[1, k] == pytest.approx(within([*low, -40.0], [*high, lower[k]]), abs=1e-6)


def test_what_lies_far_below_is_part_of_what_lies_below():
    information, drifts = np.array([0.5, 1.0]), np.linspace(-4, 4, 9)
    found = crossing(information, np.full(2, 2.1), np.array([0.0, 2.1]), drifts, np.full(2, -2.1))
    assert (found[2] <= found[1] + 1e-15).all()
    assert found[:2].sum(axis=(0, 2)) == pytest.approx(np.ones(9), abs=1e-12)
    mirrored = crossing(information, np.full(2, 2.1), np.full(2, -2.1), drifts)
    assert mirrored[0] == pytest.approx(mirrored[1][::-1], abs=1e-14)


@pytest.fixture(scope="module")
def trial():
    return read_design("next_three_looks", overrides={"sd_change": 5.5, "dropout": 0.0})


def of_method(trial, method: str, **update):
    (analysis,) = trial.analyses
    sd = "known" if method == "z" else "observed"
    return trial.model_copy(update={"analyses": [analysis.model_copy(update={"method": method, "sd": sd})], **update})


def test_reference_success_over_a_belief_is_its_integral(trial):
    """Wide and narrow beliefs about a truth, against adaptive quadrature of the z test at fixed truths."""
    z, n, shares = of_method(trial, "z"), 100, np.array(OBRIEN.shares)
    found, se = bounds(OBRIEN, LEVEL), 5.5 * math.sqrt(2 / n)
    for mean, sd in ((1.0, 0.0), (1.0, 0.3), (2.0, 3.0), (-3.0, 12.0)):

        def power(truth: float) -> float:
            return float(crossing(shares, *found, np.array([truth / se]))[0].sum())

        if sd:
            value = integrate.quad(
                lambda x, m=mean, s=sd: power(x) * stats.norm.pdf(x, m, s), mean - 9 * sd, mean + 9 * sd, limit=400
            )[0]
        else:
            value = power(mean)
        truth = in_sds(NormalMixture(np.ones(1), np.array([mean]), np.array([sd])), np.array([5.5]), np.ones(1))
        here = stopping(z, statistic(z, z.analyses[0]), truth, n)
        assert here[0].sum() == pytest.approx(value, abs=2e-6)
        assert here.sum() == pytest.approx(1.0, abs=1e-9)


def test_assurance_takes_the_looks_to_every_question(trial):
    """Success, harm and plateau of a belief; a known SD; a trial that looks once at its very end is one without."""
    whole = exact.Assurance(trial, trial.analyses[0], known(1.4))
    stops = whole.stopping(150)
    assert whole.at(150) == pytest.approx(stops[0].sum(), abs=1e-12)
    assert whole.at_sd(150, 5.5) == pytest.approx(whole.at(150), abs=1e-9)
    assert whole.plateau() == 1.0
    nothing = exact.Assurance(trial, trial.analyses[0], known(0.0))
    assert nothing.plateau() < LEVEL
    assert nothing.plateau() == pytest.approx(nothing.at(20_000), abs=1e-5)
    idle = Looks(at=[0.5], bounds="none", futility={"z": [-10.0]})
    same = trial.model_copy(update={"looks": idle}), trial.model_copy(update={"looks": None})
    with_idle, without = (exact.Assurance(t, t.analyses[0], known(1.4)).at(150) for t in same)
    assert with_idle == pytest.approx(without, abs=1e-7)


def test_a_claim_without_bounds_is_refused(trial):
    larger = (Criterion(LEVEL, 1.0, "above"),)
    with pytest.raises(ValueError, match="own claim and for harm alone"):
        exact.Assurance(trial, trial.analyses[0], known(1.0), larger)
    with pytest.raises(ValueError, match="no looks"):
        exact.surface(trial, n=[50], sd=[5], effect=[1])


@pytest.mark.parametrize(("method", "n"), [("z", 20), ("z", 100), ("t", 100)])
@pytest.mark.parametrize("dropout", [0.0, 0.15])
def test_reference_simulated_trials_stop_as_often(trial, method, n, dropout):
    """Within four MCSE; of t tests and with losses also what the law leaves out, 0.001 at a hundred children an arm."""
    children = trial.children.model_copy(
        update={"dropout": trial.children.dropout.model_copy(update={"value": dropout})}
    )
    design, trials = of_method(trial, method, children=children), 200_000
    left_out = 0.0 if method == "z" and not dropout else 0.001 * 100 / n
    for effect in (-0.2, 0.0, 0.25, 0.6):
        rng = stream(7, "looks")
        look, outcome = stopped(design, n, np.full((1, trials), effect), rng)
        truth = NormalMixture(np.ones(1), np.array([effect]), np.zeros(1))
        expected = stopping(design, statistic(design, design.analyses[0]), truth, n)
        for k, what in itertools.product(range(3), range(len(OUTCOMES))):
            seen = np.mean((look == k) & (outcome == what))
            error = math.sqrt(max(expected[what, k] * (1 - expected[what, k]), 1e-6) / trials)
            assert abs(seen - expected[what, k]) < 4 * error + left_out, (effect, k, what)


def test_reference_stages_are_what_children_one_by_one_say(trial):
    """The t test at every look, of children drawn one by one."""
    n, effect, trials = 24, 0.5, 40_000
    rng, found = stream(9, "children"), bounds(trial.looks, LEVEL)
    due = [row[0] for row in trial.looks.due((n, n))]
    x = rng.standard_normal((2, n, trials))
    x[0] += effect
    going, success = np.ones(trials, bool), np.zeros(trials, bool)
    for k, seen in enumerate(due):
        t = stats.ttest_ind(x[0, :seen], x[1, :seen], axis=0).statistic
        upper, lower = (stats.t.ppf(stats.norm.cdf(bound[k]), 2 * seen - 2) for bound in found)
        success |= going & (t > upper)
        going &= (t <= upper) & (t >= lower) & (t >= -upper)
    _, outcome = stopped(trial, n, np.full((1, 100_000), effect), stream(9, "stages"))
    rates = success.mean(), np.mean(outcome == 0)
    assert abs(rates[0] - rates[1]) < 4 * math.sqrt(0.25 / trials + 0.25 / 100_000)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_small_trial_does_not_look_twice_at_the_same_children(trial, n):
    """Two children an arm are all seen at the second look: it is the end. Exact and simulated trials agree on it."""
    design = of_method(trial, "z")
    due = design.looks.due((n, n))
    last = [k for k in range(2) if due[k] == due[k + 1]]
    look, outcome = stopped(design, n, np.full((1, 100_000), 1.5), stream(1, "few"))
    truth = NormalMixture(np.ones(1), np.array([1.5]), np.zeros(1))
    expected = stopping(design, statistic(design, design.analyses[0]), truth, n)
    assert expected.sum() == pytest.approx(1, abs=1e-9)
    assert not np.isin(look, last).any()
    assert not expected[:, last].any()
    if n > 3:  # at fewer, the first look has one child an arm: no simulated trial stops there
        assert np.mean(outcome == 0) == pytest.approx(expected[0].sum(), abs=0.01)


def test_the_polynomials_of_a_panel_meet_its_nodes():
    """A truth that is known is read off its panel; beyond the ends nothing changes."""
    edges = np.linspace(-2, 2, 5)
    table = Stopping(edges, np.sin(nodes_of(edges)).reshape(1, 1, 4, 10), 0.5)
    for x in (*nodes_of(edges)[:12], -2.0, -0.37, 0.0, 1.99, 2.0, 9.0):
        known_truth = NormalMixture(np.ones(1), np.array([x]), np.zeros(1))
        assert table.over(known_truth).item() == pytest.approx(math.sin(min(x, 2.0)), abs=1e-11)


# what is declared, and said


@pytest.mark.parametrize(
    ("looks", "words"),
    [
        ({"at": [0.5], "bounds": "pocock", "futility": {"z": [3.0]}}, "at or above a bound of success"),
        ({"at": [0.6, 0.5], "bounds": "pocock"}, "rise by at least 0.01"),
        ({"at": [0.5], "bounds": "wang_tsiatis"}, "a shape for wang_tsiatis, from -1 to 0.5"),
        ({"at": [0.5], "bounds": "pocock", "shape": 1.0}, "no shape for pocock"),
        ({"at": [0.5], "bounds": "none"}, "bounds of success, futility, or both"),
        ({"at": [0.5], "bounds": "pocock", "futility": {"z": [0.0, 0.0]}}, "as many futility.z as looks"),
        ({"at": [0.5], "bounds": "pocock", "futility": {}}, "one of the two"),
        ({"at": [0.5], "bounds": "pocock", "futility": {"spending": "lan_demets_pocock"}}, "a power exactly with"),
        ({"at": [0.5], "bounds": "pocok"}, "'obrien_fleming', 'pocock'"),
        ({"at": [1.0], "bounds": "pocock"}, "0.95"),
        (
            {
                "at": [0.5],
                "bounds": "pocock",
                "futility": {"spending": "kim_demets", "shape": 2, "power": 0.8, "binding": True},
            },
            "bounds that spend alpha in place of pocock",
        ),
    ],
)
def test_looks_that_cannot_be_are_refused_in_words(looks, words):
    with pytest.raises(InputError) as fault:
        read_design("next_three_looks", overrides={"looks": looks})
    assert words in str(fault.value)


@pytest.mark.parametrize(
    "change", [{"analyses": [{"method": "ancova"}]}, {"visits": [6, 12]}, {"children": "preschool"}]
)
def test_looks_of_other_designs_are_refused(change):
    with pytest.raises(InputError, match="looks only for one t test"):
        read_design("next_three_looks", overrides=change)


def test_the_protocol_names_bounds_and_levels(trial):
    text = in_sentences(trial.looks, 0.05)
    found = bounds(trial.looks, LEVEL)
    assert all(f"{z:.3f}" in text for z in found.upper)
    assert "It may stop for futility below 0.000 and 0.500" in text
    alone = Looks(
        at=[0.5], bounds="none", futility={"spending": "kim_demets", "shape": 2, "power": 0.8, "binding": True}
    )
    assert "At the end the trial succeeds" in in_sentences(alone, 0.05)
    assert "It must stop" in in_sentences(alone, 0.05)


def test_known_calendar_of_recruitment(trial):
    """Without a ramp children come evenly; with one, half as many while it lasts."""
    even = Recruitment(centres=2, rate=3.0)
    assert months_to(trial, 60, even) == pytest.approx(10 + 12)
    assert enrolled_by(trial, 22.0, even) == pytest.approx(132)
    ramp = Recruitment(centres=2, rate=3.0, ramp=6)
    assert enrolled_by(trial, 6.0, ramp) == pytest.approx(18)
    assert enrolled_by(trial, months_to(trial, 60, ramp) - 12, ramp) == pytest.approx(60)


@pytest.fixture(scope="module")
def plan():
    raw = read_toml(find("experiments", "three_looks"))
    raw["evidence"]["readings"] = "as_tabled"
    raw["alternatives"] = raw["alternatives"][1:]
    return {"name": "three_looks"} | raw


def test_a_plan_with_looks_says_what_they_spare(plan):
    found = gmfmsim.size(plan)
    looked, (without,) = found, found["alternatives"]
    assert "looks" not in without
    told = looked["looks"]
    assert told["n_total"] == looked["n_total"] > told["n_without_looks"] == without["n_total"]
    rows = told["bounds"]
    assert [row["due"] for row in rows] == sorted(row["due"] for row in rows)
    assert rows[-1]["due"] == rows[-1]["randomised"] == looked["n_total"]
    assert all(row["due"] <= row["randomised"] <= looked["n_total"] for row in rows)
    new, planned, nothing = told["scenarios"]
    assert sum(new["success"]) == pytest.approx(looked["assurance"], abs=2e-6)
    assert sum(planned["success"]) == pytest.approx(looked["power"], abs=2e-6)
    assert sum(nothing["success"]) < LEVEL
    for row in told["scenarios"]:
        assert rows[0]["randomised"] <= row["expected_n"] <= looked["n_total"]
        assert rows[0]["months"] <= row["expected_months"] <= rows[-1]["months"]
    assert rows[0]["lower"] == 0
    assert rows[-1]["conditional_power"] is None
    assert all(0 < row["predictive_power"] < looked["assurance"] for row in rows[:-1])
    later = gmfmsim.size(plan | {"trial": plan["trial"] | {"looks": OBRIEN.model_dump(exclude_none=True) | {"lag": 2}}})
    assert later["looks"]["bounds"][0]["months"] == pytest.approx(rows[0]["months"] + 2)
    assert later["looks"]["bounds"][0]["randomised"] > rows[0]["randomised"]
    assert all(0 < row["conditional_power"] < sum(planned["success"]) for row in rows[:-1])
    json.dumps(told, allow_nan=False)
    power = gmfmsim.power(plan, n=looked["n_total"])
    assert power["looks"] == told
    assert power["type_m"] is None
    assert len(bounds_table(told).rows) == 3
    table = stopping_table(told)
    assert [row[0].text for row in table.rows] == ["1", "2", "the end", "in all"]
    assert table.rows[-1][1].text == percent(looked["assurance"])


def test_looks_and_the_width_of_an_interval_are_not_asked_together(plan):
    with pytest.raises(InputError, match="a trial without looks"):
        gmfmsim.check(plan | {"precision": {"width": 3}})


def test_known_inflation_carries_over_to_children(trial):
    """At a known effect the largest number is that of a trial without looks times the inflation, within one or two."""
    of = Looks(at=[1 / 3, 2 / 3], bounds="obrien_fleming")
    design = trial.model_copy(update={"looks": of})
    needed = exact.smallest(exact.Assurance(design, design.analyses[0], known(2.0)), 0.9)
    without = sample_size(effect=2.0, sd=5.5, power_target=0.9)
    assert needed == pytest.approx(without * inflation(of, LEVEL, 0.9), abs=2)


def test_the_readme_shows_the_committed_answer():
    readme, answer = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split()), committed("three_looks")
    assert f"results/three_looks/{answer['key']}/report.html" in readme
    slow, fast, without = answer, *answer["alternatives"]
    new, _, nothing = slow["looks"]["scenarios"]
    quick = fast["looks"]["scenarios"][0]
    assert quick["expected_n"] == pytest.approx(fast["n_total"])
    sooner = fast["looks"]["bounds"][-1]["months"] - quick["expected_months"]
    for words in (
        f"take {slow['n_total']} children at most, where {without['n_total']} do without looks",
        f"a new study takes {new['expected_n']:.0f} on average and {new['expected_months']:.0f} months, not "
        f"{slow['looks']['bounds'][-1]['months']:.0f}",
        f"without an effect it would take {nothing['expected_n']:.0f}",
        f"With six centres all {fast['n_total']} are in before the first look",
        f"by {sooner:.0f} months on average",
    ):
        assert words in readme


def test_the_committed_answer_is_that_of_the_shipped_experiment():
    old, now = committed("three_looks"), gmfmsim.size("three_looks")
    for before, after in zip((old, *old["alternatives"]), (now, *now["alternatives"]), strict=True):
        assert (before["label"], before["n_total"]) == (after["label"], after["n_total"])
        assert before.get("looks", {}).get("bounds") == after.get("looks", {}).get("bounds")
