"""Sizes, detectable effects, allocations and error rates of designs: searches against closed forms.

Intervals are asked for at +- 4 MCSE; other Monte Carlo tolerances are 4 MCSE too.
"""

import math
import time
from functools import cache

import numpy as np
import pytest
import xarray as xr
from conftest import examples
from design_cases import arm, figure, normal_design, population_design, two_arms
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import special

from gmfmsim.dist.pooled_sd import pooled_sd
from gmfmsim.progress import Steps
from gmfmsim.streams import stream
from gmfmsim.trial import operate as operate_module
from gmfmsim.trial import size
from gmfmsim.trial.closed_form import (
    claim_power,
    of_contrast,
    of_crossover,
    of_one_sample,
    sample_size,
    solve,
)
from gmfmsim.trial.design import Design
from gmfmsim.trial.detectable import (
    Detectable,
    Effort,
    Precision,
    fixed_truths,
    n_for_width,
    over_sd,
    smallest_effect,
    width_at,
)
from gmfmsim.trial.exact.width import mean_width
from gmfmsim.trial.nuisance import border, type_one
from gmfmsim.trial.operate import fewer, operate, primary_only
from gmfmsim.trial.optimise import Optimise, allocations
from gmfmsim.trial.simulate import simulate
from gmfmsim.trial.size import Curve, OutOfTime, Search, required_n

SD = 5.0
"""SD of the change over 12 months in design_cases."""

FOUR_MCSE = 2 * special.ndtr(4) - 1
TWO_TO_ONE = [arm("control"), arm("cells", 5e7, ratio=2)]


def methods(*names: str, **more) -> list[dict]:
    return [{"method": name, **more} for name in names]


def truths(design: Design, effect: float, replicates: int = 10_000, sd: float = 0.0) -> xr.Dataset:
    """Truths of both scenarios of a search: one effect in planning_value, Normal(effect, sd^2) in new_study."""
    fixed = fixed_truths(design, effect, replicates, seed=1)
    treated = xr.DataArray([float(a.dose > 0) for a in design.arms], dims="arm")
    deviation = xr.DataArray(sd * stream(1, "effects").standard_normal(replicates), dims="draw")
    same = fixed["effect"].isel(scenario=0)
    scenarios = xr.concat([same, same + deviation * treated], dim="scenario")
    effect = scenarios.assign_coords(scenario=["planning_value", "new_study"]).transpose("scenario", "draw", "arm")
    return fixed.drop_dims("scenario").assign(effect=effect)


def search(value: float = 0.8, metric: str = "power", **more) -> Search:
    given = {"replicates": 1000, "planning_value": 1, "interval_prob": FOUR_MCSE} | more
    return Search(target={"metric": metric, "value": value}, **given)


# a curve over n


def brute_force(figures: list[float], level: float) -> int | None:
    return next((n for n, value in enumerate(figures, start=2) if value >= level), None)


rising = st.lists(st.floats(0, 1), min_size=2, max_size=400).map(sorted)


@given(figures=rising, level=st.floats(0, 1.2), straight=st.sampled_from([size.probit, float]))
@settings(max_examples=examples(100, 300), deadline=None)
def test_known_crossing_is_the_smallest_n(figures, level, straight):
    """Any rising figures, plateaus and jumps included; figures[0] is that of n = 2."""
    asked = []

    def at(n: int) -> tuple[float, float]:
        asked.append(n)
        return figures[n - 2], 0.0

    most = len(figures) + 1
    found = Curve(at, straight=straight).crossing(level, most=most)
    assert found == brute_force(figures, level)
    assert len(set(asked)) == len(asked)
    assert all(2 <= n <= most for n in asked)
    if found is not None:
        doublings = [min(2**k, most) for k in range(1, 20)]
        high = next(i for i, n in enumerate(doublings) if n >= found)
        width = doublings[high] - (doublings[high - 1] if high else 1)
        assert len(asked) <= high + 1 + 2 * math.ceil(math.log2(width))


@given(slope=st.floats(0.02, 1), level=st.floats(0.1, 0.95))
@settings(max_examples=100, deadline=None)
def test_curves_like_power_take_few_steps(slope, level):
    """A line on the probit scale against sqrt(n), as power nearly is: four steps after the doubling, however far."""
    curve = Curve(lambda n: (special.ndtr(slope * math.sqrt(n) - 1.96), 0.0))
    found = curve.crossing(level, most=10**6)
    assert curve(found)[0] >= level
    assert found == 2 or curve(found - 1)[0] < level
    assert len(curve.seen) <= math.ceil(math.log2(found)) + 4


def test_crossings_share_what_was_seen_and_allow_for_the_error():
    curve = Curve(lambda n: (n / 100, 0.05))
    assert [curve.crossing(0.5, most=1000, z=z) for z in (0, 1, -1)] == [50, 45, 55]
    assert curve.crossing(0.5, most=49) is None
    assert curve.crossing(0.5, most=50) == 50
    assert curve.crossing(0.5, most=54, z=-1) is None
    before = dict(curve.seen)
    assert curve.crossing(0.5, most=1000) == 50
    assert curve.seen == before


def test_a_curve_asks_for_time_before_every_n():
    left = iter([None, None, None])

    def in_time():
        if next(left, OutOfTime) is OutOfTime:
            raise OutOfTime

    curve = Curve(lambda n: (n / 100, 0.0), in_time)
    with pytest.raises(OutOfTime):
        curve.crossing(0.5, most=1000)
    assert [*curve.seen] == [2, 4, 8]


# the required n


@pytest.mark.parametrize("method", ["t", "ancova"])
@pytest.mark.parametrize("arms", [None, TWO_TO_ONE], ids=["1:1", "2:1"])
def test_reference_required_n_of_two_arms(method, arms):
    """Closed form of the t test; of the ANCOVA with the residual SD and one child in the smaller arm, as rounded up."""
    design = normal_design(analyses=methods(method), **({"arms": arms} if arms else {}))
    covariance = design.children.moments([12], SD)[1]
    sd = SD if method == "t" else math.sqrt(covariance[1, 1] - covariance[0, 1] ** 2 / covariance[0, 0])
    exact = sample_size(effect=2, sd=sd, power_target=0.8, ratio=2 if arms else 1)
    answer = required_n(truths(design, 2, 40_000), design, search(), seed=2)
    low, high = answer.interval
    assert (answer.status, answer.why, answer.plateau) == ("reached", "reached", 1)
    assert low - 1 <= exact <= high  # the n that is found is rounded up
    assert low <= answer.n <= high
    assert high - low < 0.1 * answer.n


def test_reference_required_n_with_losses():
    """n times the share who stay is the closed form, to a child: power is nearly linear in the number who stay."""
    design = normal_design(analyses=methods("t"), children={"dropout": 0.25})
    exact = sample_size(effect=2, sd=SD, power_target=0.8) / 0.75
    low, high = required_n(truths(design, 2, 40_000), design, search(), seed=2).interval
    assert low - 2 <= exact <= high + 1


def test_reference_required_n_child_by_child():
    """A crossover within children and a single arm, children drawn one by one."""
    crossover = normal_design("crossover", analyses=methods("within_child"))
    covariance, w = crossover.children.moments([12, 24], SD)[1], np.array([-1, 2, -1])
    sd = math.sqrt(w @ covariance @ w)
    exact = solve(lambda n: claim_power(3, of_crossover(n, n, sd)), 0.8, low=2)
    low, high = required_n(truths(crossover, 3, 4000), crossover, search(), seed=2).interval
    assert low - 1 <= exact <= high
    one = normal_design("single_arm", analyses=methods("one_sample", allowance=1))
    exact = solve(lambda n: claim_power(2, of_one_sample(n, SD)), 0.8, low=2)
    low, high = required_n(truths(one, 3, 4000), one, search(), seed=2).interval
    assert low - 1 <= exact <= high


@pytest.mark.parametrize("claim", ["non_inferiority", "equivalence"])
def test_reference_required_n_of_other_claims(claim):
    objective = {"claim": claim, "margin": 3}
    design = normal_design(analyses=methods("t"), objective=objective)
    exact = solve(lambda n: claim_power(0.5, of_contrast([n, n], [-1, 1], SD), **objective), 0.8, low=4)
    low, high = required_n(truths(design, 0.5, 40_000), design, search(), seed=2).interval
    assert low - 1 <= exact <= high


def test_required_n_is_the_smallest_that_reaches_the_target():
    design = normal_design(children={"excess_sd": figure(SD, sigma=0.2)})
    what = truths(design, 2.5, sd=1.5)
    answer = required_n(what, design, search(metric="assurance"), seed=3)
    around = simulate(what, design, n=[answer.n - 1, answer.n], seed=3).sel(scenario="new_study", analysis="ancova")
    assert around["success"].values[0] < 0.8 <= around["success"].values[1]
    nearly = simulate(what, design, n=[answer.n_at_95_plateau], seed=3).sel(scenario="new_study", analysis="ancova")
    assert nearly["success"].item() >= 0.95 * answer.plateau


def test_a_plateau_below_the_target_is_not_searched_child_by_child():
    """An allowance of 3 points leaves nothing of 2, and of effects that differ between studies a share."""
    design = normal_design("single_arm", analyses=methods("one_sample", allowance=3))
    steps = Steps()
    answer = required_n(truths(design, 2), design, search(), seed=1, advance=steps)
    assert (answer.n, answer.why, answer.plateau, answer.reference_n, steps.total) == (None, "plateau", 0, None, 0)
    varied = truths(design, 5, 500, sd=4)
    answer = required_n(varied, design, search(metric="assurance"), seed=1)
    share = special.ndtr(2 / 4)
    assert answer.plateau == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 500))
    assert (answer.n, answer.interval, answer.why) == (None, None, "plateau")
    at = simulate(varied, design, n=[answer.reference_n], seed=1)["success"].sel(scenario="new_study").item()
    assert at >= 0.95 * answer.plateau


@cache
def found_in_time():
    """What the search below finds without a limit."""
    design = normal_design(analyses=methods("t"))
    return required_n(truths(design, 2, 1000), design, search(), seed=4)


@given(budget=st.integers(1, 30))
@settings(max_examples=examples(4, 12), deadline=None)
def test_a_search_out_of_time_returns_its_bracket(budget):
    """A simulation takes a second: n reaches the target, and the interval holds the answer."""
    design = normal_design(analyses=methods("t"))
    what = truths(design, 2, 1000)
    right, steps = found_in_time(), Steps()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(size.time, "monotonic", lambda: steps.done)
        answer = required_n(what, design, search(max_seconds=budget), seed=4, advance=steps)
    assert steps.done <= 1.1 * budget
    if answer.why == "time":
        assert answer.n_at_95_plateau is None
        if answer.n is None:
            assert answer.interval is None
        else:
            assert answer.interval[0] <= right.n <= answer.interval[1] == answer.n
    else:
        assert (answer.n, answer.interval) == (right.n, right.interval)
        assert budget > 3


@pytest.mark.parametrize("seconds", [0.05, 0.6])
def test_a_time_budget_holds_within_a_fifth(monkeypatch, seconds):
    """Blocks of trials that take so long or more, 61 of them at every n: those that are begun are done in time."""
    design = normal_design(analyses=methods("t", "ancova"))
    what, trials = truths(design, 2, 500_000), operate_module._trials

    def slow(block: operate_module.Block) -> list:
        time.sleep(seconds)
        return trials(block)

    required_n(fewer(what, 1000), design, search(), seed=4)  # whatever is compiled is so now
    monkeypatch.setattr(operate_module, "_trials", slow)
    begun = time.monotonic()
    answer = required_n(what, design, search(max_seconds=2), seed=4)
    assert answer.why == "time"
    assert 2 - seconds <= time.monotonic() - begun < 2.4


def test_what_was_found_in_time_stays():
    """Time over in the search for 95 % of the plateau, which nobody asked for: the answer is there already."""
    design = normal_design(analyses=methods("t", "ancova"))
    for effect, sd, why in ((2, 0, "reached"), (2, 4, "plateau")):
        what, goal = truths(design, effect, 1000, sd=sd), {"metric": "assurance", "max_n_per_arm": 1000}
        asked = Steps()
        whole = required_n(what, design, search(**goal), seed=4, advance=asked)
        assert asked.done == asked.total
        steps = Steps()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(size.time, "monotonic", lambda steps=steps: steps.done)
            cut = required_n(what, design, search(**goal, max_seconds=0.9 * asked.done), seed=4, advance=steps)
        assert whole.why == why
        assert whole.n_at_95_plateau is not None
        assert (cut.n, cut.interval, cut.why, cut.n_at_95_plateau) == (whole.n, whole.interval, why, None)


# the other way round


def test_reference_smallest_effect():
    error = of_contrast([30, 60], [-1, 1], SD)
    exact = solve(lambda effect: claim_power(effect, error), 0.9, low=0)
    wanted = Detectable(n_per_arm=30, power=0.9)
    known = normal_design(analyses=methods("t"), arms=TWO_TO_ONE)
    found = smallest_effect(known, wanted, Effort(1000, 3, 4))
    assert found["interval"] is None
    assert exact <= found["effect"] < exact + 0.01
    simulated = normal_design(analyses=methods("z"), arms=TWO_TO_ONE)
    found = smallest_effect(simulated, wanted, Effort(20_000, 3, 4))
    low, high = found["interval"]
    assert low - 0.01 <= exact <= high  # with so many children a normal quantile gains hardly any power
    assert low <= found["effect"] <= high < low + 0.3


def test_reference_smallest_effect_of_pairs():
    design = normal_design("pairs")
    shared = 0.6 * design.children.true_excess_sd([12], SD).item() ** 2
    error = of_one_sample(25, math.sqrt(2 * (SD**2 - shared)))
    found = smallest_effect(design, Detectable(n_per_arm=25), Effort(1000, 3, 4))
    exact = solve(lambda effect: claim_power(effect, error), 0.8, low=0)
    assert exact <= found["effect"] < exact + 0.01


def test_no_effect_is_large_enough_for_two_children_in_an_arm_who_are_lost():
    design = normal_design(analyses=methods("t"), children={"dropout": 0.9})
    found = smallest_effect(design, Detectable(n_per_arm=2), Effort(1000, 3, 4))
    assert found["effect"] is found["interval"] is None


@pytest.mark.parametrize("width", [3.0, 6.0])
def test_reference_n_of_a_width(width):
    """Mean width 2 t(df) E[s] sqrt(2 / n), s the pooled SD: the smallest n by brute force, without random numbers."""

    def mean_width(n: int) -> float:
        s, weight = pooled_sd(2 * n - 2)
        se, df = of_contrast([n, n], [-1, 1], SD)
        return 2 * special.stdtrit(df, 0.975) * se * (weight @ s)

    design = normal_design(analyses=methods("t"))
    found = n_for_width(design, Precision(width=width), 10_000, Effort(4000, 3, 4))
    smallest = next(n for n in range(2, 1000) if mean_width(n) <= width)
    assert (found["n_per_arm"], found["n_interval"]) == (smallest, None)
    assert n_for_width(design, Precision(width=width), 10, Effort(1000, 3, 4))["n_per_arm"] is None


CASES = [
    normal_design(analyses=methods("t"), arms=TWO_TO_ONE),
    normal_design(analyses=methods("welch"), arms=TWO_TO_ONE, children={"dropout": 0.3, "response_sd": 6}),
    normal_design(analyses=methods("ancova"), children={"dropout": 0.4}, alpha=0.1),
    *(normal_design(kind) for kind in ("crossover", "pairs", "single_arm", "factorial")),
]


@pytest.mark.parametrize("design", CASES, ids=lambda d: f"{d.kind}-{d.analyses[0].label}")
@pytest.mark.parametrize("n", [5, 20])
def test_recovery_exact_widths_are_those_of_simulated_trials(design, n):
    exact = mean_width(design, design.analyses[0], n, SD)
    found = operate(fixed_truths(design, 0.0, 20_000, 1), primary_only(design)[0], n=[n], seed=1)
    assert abs(found["width"].item() - exact) < 4 * found["width_mcse"].item()


def test_known_width_of_the_z_test():
    design = normal_design(analyses=methods("z", sd="known"), arms=TWO_TO_ONE)
    expected = 2 * special.ndtri(0.975) * SD * math.sqrt(1 / 40 + 1 / 20)
    assert mean_width(design, design.analyses[0], 20, SD) == pytest.approx(expected, rel=1e-12)


def test_known_a_width_is_that_at_the_median_sd():
    """The law of the SD that heavy tails give has no mean: the width is that at its median, exact or simulated."""
    law = {"excess_sd": figure(SD, sigma=0.5, df=3), "measurement_error": 0}
    design = normal_design(analyses=methods("t"), children=law)
    effort = Effort(4000, 3, 4)
    exact = width_at(design, 20, effort)
    assert exact.points == pytest.approx(width_at(normal_design(analyses=methods("t")), 20, effort).points)
    assert exact.mcse == 0
    low, high = over_sd(design, 20)
    assert low < exact.points < high
    assert high / exact.points == pytest.approx(exact.points / low)
    assert over_sd(normal_design(analyses=methods("t")), 20) is None
    drawn = width_at(normal_design(analyses=methods("mmrm"), visits=[6, 12], children=law), 20, effort)
    assert 0 < drawn.mcse < 0.02 * drawn.points
    assert drawn.points == pytest.approx(exact.points, rel=0.1)


def test_a_width_that_must_be_simulated_has_its_interval():
    design = normal_design(analyses=methods("mmrm"), visits=[6, 12])
    found = n_for_width(design, Precision(width=5), 500, Effort(2000, 3, 4))
    low, high = found["n_interval"]
    assert low <= found["n_per_arm"] <= high <= 1.1 * low


# allocations


def simulated(design, n: int, effect: float, replicates: int) -> tuple[float, float]:
    """Return success and its MCSE of simulated trials at one truth."""
    found = simulate(truths(design, effect, replicates).sel(scenario=["new_study"]), design, n=[n], seed=2)
    return found["success"].isel(analysis=0).item(), found["success_mcse"].isel(analysis=0).item()


@pytest.mark.parametrize(
    "trial", [two_arms(sd_change=SD), normal_design(analyses=methods("t", "ancova"))], ids=["inline", "design"]
)
def test_known_best_allocation_of_equal_variances(trial):
    ratios = [0.25, 0.5, 1, 2, 4]
    steps = Steps()
    rows = allocations(
        trial,
        Optimise(n_total=120, ratios=ratios),
        lambda variant, n: simulated(variant, n, 2, 20_000),
        advance=steps,
    )
    assert (rows[0]["ratio"], len(rows), steps.done, steps.total) == (1, 5, 5, 5)
    assert [row["assurance"] for row in rows] == sorted((row["assurance"] for row in rows), reverse=True)
    for row in rows:
        sizes = row["sizes"]
        exact = claim_power(2, of_contrast([sizes["control"], sizes["cells"]], [-1, 1], SD))
        assert sizes["cells"] == row["ratio"] * sizes["control"]
        assert sum(sizes.values()) == 120
        assert row["assurance"] == pytest.approx(exact, abs=4 * row["assurance_mcse"])
        assert row["assurance_per_100_children"] == pytest.approx(row["assurance"] / 1.2)


def test_doses_are_compared_at_their_truths():
    doses = [1e7, 5e7]
    rows = allocations(
        two_arms(sd_change=SD),
        Optimise(n_total=100, doses=[f"{dose:g} cells/kg" for dose in doses]),
        lambda variant, n: simulated(variant, n, variant.active.dose / 2.5e7, 4000),
    )
    assert [row["dose"] for row in rows] == doses[::-1]
    assert rows[0]["assurance"] > rows[1]["assurance"]


@pytest.mark.slow
@given(n_total=st.integers(8, 3000), ratio=st.floats(0.05, 20))
@settings(max_examples=examples(50, 150), deadline=None)
def test_known_sizes_are_the_largest_within_n_total(n_total, ratio):
    """Every child of n_total is used but those that the ratio cannot place; too few for two in each arm are refused."""
    trial = two_arms(sd_change=SD)
    largest = max(ratio, 1 / ratio)
    if 2 + math.floor(2 * largest + 0.5) > n_total:
        with pytest.raises(ValidationError, match="n_total"):
            Optimise(n_total=n_total, ratios=[ratio])
        return
    wanted = Optimise(n_total=n_total, ratios=[ratio])
    (row,) = allocations(trial, wanted, lambda variant, n: (0.5, 0.0))
    smaller = min(row["sizes"].values())
    assert smaller >= 2
    assert sum(row["sizes"].values()) <= n_total
    more = (smaller + 1) + math.floor((smaller + 1) * largest + 0.5)
    assert more > n_total


# type I error


def test_known_border_of_each_claim():
    for claim, margin, expected in (("superiority", 0, 0), ("non_inferiority", 2, -2), ("equivalence", 2, 2)):
        assert border(normal_design(objective={"claim": claim, "margin": margin})) == expected


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("parallel", {"analyses": methods("ancova", "t"), "visits": [6, 12], "children": {"dropout": 0.15}}),
        ("factorial", {"interaction": 0}),
        ("crossover", {"analyses": methods("within_child"), "period_effect": 2}),
    ],
)
def test_known_false_claims_are_nominal_whatever_the_children(kind, more):
    """Both arms lose children alike under the null, so that losses that depend on the scores do not favour one."""
    design = normal_design(kind, **more)
    steps = Steps()
    table = type_one(design, 25, replicates=4000, seed=5, advance=steps)
    assert steps.done == steps.total >= table.sizes["setting"] >= 6
    assert len(set(table["setting"].values.tolist())) == table.sizes["setting"]
    assert table.attrs["nominal"] == 0.025
    mcse = math.sqrt(0.025 * 0.975 / 4000)
    assert abs(table["type_one"] - 0.025).max() < 4 * mcse
    assert (table["failed"] == 0).all()


@pytest.mark.parametrize("claim", ["non_inferiority", "equivalence"])
def test_known_false_claims_are_nominal_at_the_margin(claim):
    """But where those are lost who do badly, which are more in one arm: the difference shrinks, into the margin."""
    design = normal_design(objective={"claim": claim, "margin": 4}, analyses=methods("t"), children={"dropout": 0.1})
    table = type_one(design, 200, replicates=4000, seed=5)["type_one"].isel(analysis=0)
    mcse = math.sqrt(0.025 * 0.975 / 4000)
    unseen = np.array(["the value not seen" in setting for setting in table["setting"].values.tolist()])
    assert abs(table.values[~unseen] - 0.025).max() < 4 * mcse
    assert unseen.sum() == 1
    assert table.values[unseen].item() > 0.025 + 4 * mcse


def test_settings_are_those_of_the_children():
    """Visits are missed only where there are several; a known SD is halved and doubled, another at 5 and 95 %."""

    def names(design: Design) -> list[str]:
        return type_one(design, 10, replicates=100, seed=1)["setting"].values.tolist()

    known = names(normal_design(analyses=methods("t")))
    assert {"low excess SD (2.5 points)", "high excess SD (10 points)"} < set(known)
    assert not any("missed" in name for name in known)
    spread = names(normal_design(analyses=methods("t"), visits=[6, 12], children={"excess_sd": figure(SD, sigma=0.2)}))
    low, high = (SD * math.exp(sign * 0.2 * special.ndtri(0.95)) for sign in (-1, 1))
    assert {f"low excess SD ({low:.3g} points)", f"high excess SD ({high:.3g} points)"} < set(spread)
    assert any("missed" in name for name in spread)


def test_volunteers_make_false_claims():
    """One arm of volunteers without an allowance: nearly every trial claims a benefit that is not there."""
    design = population_design("single_arm")
    assert type_one(design, 60, replicates=500, seed=1)["type_one"].sel(setting="as declared").item() > 0.9


# searches on drawn children


def drawn(kind: str = "parallel", method: str = "ancova", **more) -> Design:
    """A design whose children are drawn one by one."""
    return population_design(kind, analyses=methods(method), **more)


def looked_at(monkeypatch) -> list[list[int]]:
    """The n of every simulation of the search, as they come."""
    asked = []

    def counting(truths, trial, *, n, **more):
        asked.append(list(n))
        return simulate(truths, trial, n=n, **more)

    monkeypatch.setattr(size, "simulate", counting)
    return asked


@pytest.mark.parametrize(
    ("kind", "method", "draws"), [("parallel", "ancova", 2), ("parallel", "welch", 2), ("single_arm", "one_sample", 4)]
)
def test_a_search_on_children_draws_few_times_and_finds_what_every_n_would(monkeypatch, kind, method, draws):
    """Against success at every n from the fewest on, and its Monte Carlo interval likewise."""
    design = drawn(kind, method)
    effect = 5 if kind == "single_arm" else 4
    what, sought = truths(design, effect, 2000, sd=1), search(metric="assurance", interval_prob=0.95)
    asked = looked_at(monkeypatch)
    answer = required_n(what, design, sought, seed=3)
    assert answer.why == "reached"
    looks = [n for n in asked if n]
    assert len(looks) <= draws
    every = list(range(2, answer.interval[1] + 20))
    found = simulate(what, design, n=every, seed=3).sel(scenario="new_study").isel(analysis=0)
    value, mcse = found["success"].values, found["success_mcse"].values
    first = [
        next(n for n, reached in zip(every, value + z * mcse >= 0.8, strict=True) if reached)
        for z in (0, sought.z, -sought.z)
    ]
    assert [answer.n, *answer.interval] == first


def test_figures_of_drawn_children_do_not_depend_on_workers_or_on_the_other_n(monkeypatch):
    design = population_design(visits=[6, 12], analyses=methods("ancova", "t", "welch"))
    what = truths(design, 3, 1500)
    found = []
    for workers in (1, 2):
        monkeypatch.setattr("gmfmsim.compute.executors.cores", lambda workers=workers: workers)
        found.append(simulate(what, design, n=[10, 25], seed=3, engine="children"))
    xr.testing.assert_identical(*found)
    xr.testing.assert_identical(found[0].sel(n=[10]), simulate(what, design, n=[10], seed=3, engine="children"))
    answers = []
    for workers in (1, 2):
        monkeypatch.setattr("gmfmsim.compute.executors.cores", lambda workers=workers: workers)
        answers.append(required_n(what, design, search(), seed=3))
    assert answers[0] == answers[1]
