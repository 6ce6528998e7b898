"""Which n a trial can have: whole units in every arm, in searches, questions, pages and sentences alike."""

import json
import math
from fractions import Fraction
from types import SimpleNamespace

import pytest
import tomli_w
import xarray as xr
from conftest import examples
from design_cases import KINDS, SOURCE, arm, figure, normal_design, two_arms
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from test_size import FOUR_MCSE, search, truths

from gmfmsim import run
from gmfmsim.answer.sizing import design_grid
from gmfmsim.answer.words import headline
from gmfmsim.dist.pooled_sd import pooled_sd
from gmfmsim.faults import InputError
from gmfmsim.progress import Steps
from gmfmsim.question.question import read_question
from gmfmsim.trial.closed_form import claim_power, interval_width, of_clusters
from gmfmsim.trial.design import Design
from gmfmsim.trial.detectable import Detectable, Effort, Precision, fixed_truths, n_for_width, smallest_effect
from gmfmsim.trial.optimise import Optimise, largest_n, with_allocation
from gmfmsim.trial.simulate import simulate
from gmfmsim.trial.size import Curve, RequiredN, required_n
from gmfmsim.trial.sizes import FEWEST_UNITS

SD = 5.0
CASES = [(20, 3, 0.05, 120), (100, 2, 0.02, 500), (30, 3, 0.05, 150)]
"""Cluster size, effect, ICC, and the n per arm of 80 % power: 6, 5 and 5 clusters."""

UNEVEN = [arm("control"), arm("cells", 5e7, ratio=1.5)]


def clusters(size: int, icc: float = 0.05, **more) -> Design:
    """Clusters of children whose changes have SD 5 and nothing else."""
    return normal_design("cluster", cluster_size=size, icc=icc, children={"measurement_error": 0, "growth": 0}, **more)


def exact_power(n_active: int, n_control: int, effect: float, size: int, icc: float) -> float:
    return claim_power(effect, of_clusters(n_active, n_control, SD, size=size, icc=icc))


# sizes


@given(
    kind=st.sampled_from(KINDS),
    ratio=st.floats(1, 20),
    size=st.integers(1, 500),
    n=st.integers(1, 10**6),
    digits=st.integers(0, 3),
)
@settings(max_examples=examples(50, 200), deadline=None)
def test_sizes_are_whole_units_at_the_ratio_of_the_arms(kind, ratio, size, n, digits):
    """By integers alone: units k = n / step, an arm of ratio p/q has the whole number nearest to k p/q, halves up."""
    ratio = 1 if kind in ("pairs", "single_arm", "factorial") else round(ratio, digits)
    design = normal_design(kind, **({"cluster_size": size} if kind == "cluster" else {}))
    arms = [a.model_copy(update={"ratio": ratio if i else 1.0}) for i, a in enumerate(design.arms)]
    design = design.model_copy(update={"arms": arms})
    step = size if kind == "cluster" else 1
    low, high = design.at_most(n), design.at_least(n)
    assert (design.step, design.fewest) == (step, FEWEST_UNITS * step)
    assert low % step == high % step == 0
    assert max(low, n) == n or low == design.fewest
    assert max(n, design.fewest) <= high < max(n, design.fewest) + step
    if n >= design.fewest:
        assert low <= n <= high <= low + step
    thousandths = round(ratio * 1000)
    for possible in {low, high}:
        other = (2 * (possible // step) * thousandths + 1000) // 2000 * step
        assert list(design.sizes(possible).values()) == [possible] + [other] * (len(arms) - 1)
    if n % step:
        with pytest.raises(ValueError, match=f"n = {n}: must be a multiple of {step}, such as {low}"):
            design.sizes(n)


@pytest.mark.parametrize(
    ("ratio", "n", "other"), [(1.15, 30, 35), (2.05, 10, 21), (1.5, 3, 5), (1.5, 5, 8), (2.5, 1, 3), (1.005, 100, 101)]
)
def test_known_halves_are_rounded_up(ratio, n, other):
    """As written in decimals: as floating-point products some of them lie just below the half; none goes to even."""
    arms = [{"name": "control", "dose": "0 cells/kg"}, {"name": "cells", "dose": "5e7 cells/kg", "ratio": ratio}]
    assert two_arms(arms=arms).sizes(n) == {"control": n, "cells": other}
    design = normal_design(arms=[arm("control"), arm("cells", 5e7, ratio=ratio)])
    assert design.sizes(n) == {"control": n, "cells": other}
    assert Fraction(str(ratio)) * n % 1 == Fraction(1, 2)


@given(n=st.lists(st.integers(1, 400), min_size=2, max_size=2), size=st.integers(1, 30))
@settings(max_examples=examples(30, 100), deadline=None)
def test_a_trial_that_was_run_keeps_its_sizes(n, size):
    arms = [arm("control", n=n[0] * size), arm("cells", 5e7, n=n[1] * size)]
    design, smallest = clusters(size, arms=arms).rerun()
    assert smallest == min(n) * size
    assert list(design.sizes(smallest).values()) == [k * size for k in n]


def test_a_trial_of_split_clusters_was_not_run():
    with pytest.raises(ValidationError, match="an n of whole clusters of 10 in each arm"):
        clusters(10, arms=[arm("control", n=25), arm("cells", 5e7, n=30)])


# the required n


@pytest.mark.parametrize(("size", "effect", "icc", "n"), CASES)
def test_known_required_n_of_clusters(size, effect, icc, n):
    """The smallest number of whole clusters by the closed form, and one less does not do."""
    assert exact_power(n, n, effect, size, icc) >= 0.8 > exact_power(n - size, n - size, effect, size, icc)
    design = clusters(size, icc)
    answer = required_n(truths(design, effect, 4000), design, search(), seed=2)
    low, high = answer.interval
    assert (answer.n, low % size, high % size) == (n, 0, 0)
    assert low <= n <= high


def test_reference_every_n_of_clusters_has_the_power_of_the_closed_form():
    size, effect, icc, _ = CASES[0]
    design, grid = clusters(size, icc), [40, 60, 100, 120, 160]
    surface = simulate(fixed_truths(design, effect, 4000, seed=1), design, n=grid, seed=3)
    assert surface["randomised"].values.tolist() == [2 * n for n in grid]
    for n in grid:
        at = surface.isel(scenario=0, analysis=0).sel(n=n)
        assert abs(at["success"] - exact_power(n, n, effect, size, icc)) < 4 * at["success_mcse"]


def test_known_required_n_of_clusters_at_an_uneven_ratio():
    """One and a half times as many clusters with cells, halves up: brute force over the closed form."""
    size, effect, icc = 10, 3, 0.05
    design = clusters(size, icc, arms=UNEVEN)

    def reached(k: int) -> bool:
        return exact_power(math.floor(1.5 * k + 0.5) * size, k * size, effect, size, icc) >= 0.8

    exact = next(k for k in range(2, 100) if reached(k)) * size
    answer = required_n(truths(design, effect, 10_000), design, search(), seed=2)
    assert answer.n == exact
    assert all(k % size == 0 for sizes in [design.sizes(answer.n)] for k in sizes.values())


@given(
    step=st.integers(1, 50),
    figures=st.lists(st.floats(0, 1), min_size=2, max_size=60).map(sorted),
    level=st.floats(0, 1),
)
@settings(max_examples=examples(40, 150), deadline=None)
def test_known_crossing_in_steps(step, figures, level):
    """The smallest multiple of the step, found on multiples alone; most lies anywhere before the next multiple."""
    asked = []

    def at(n: int) -> tuple[float, float]:
        asked.append(n)
        return figures[n // step - 2], 0.0

    most = (len(figures) + 2) * step - 1
    found = Curve(at, step=step).crossing(level, most=most)
    assert found == next((k * step for k, value in enumerate(figures, start=2) if value >= level), None)
    assert all(n % step == 0 and 2 * step <= n <= most for n in asked)
    assert Curve(at, step=step).crossing(level, most=2 * step - 1) is None


def test_a_search_out_of_time_brackets_whole_clusters(monkeypatch):
    """Every block of trials takes a second; the last of them is left out."""
    design, asked, steps = clusters(4), Steps(), Steps()
    what = truths(design, 3, 1000)
    right = required_n(what, design, search(), seed=4, advance=asked)
    monkeypatch.setattr("gmfmsim.trial.size.time.monotonic", lambda: steps.done)
    answer = required_n(what, design, search(max_seconds=asked.done / 1.1), seed=4, advance=steps)
    assert steps.done < asked.done
    low, high = answer.interval
    assert (answer.why, answer.n, low % 4, high % 4) == ("time", high, 0, 0)
    assert low <= right.n <= high


# the other questions


def test_known_precision_of_clusters():
    """Mean width 2 t(df) E[s] se: the smallest whole clusters by brute force."""
    size, icc, width = 20, 0.05, 5.0

    def mean_width(k: int) -> float:
        error = of_clusters(k * size, k * size, SD, size=size, icc=icc)
        s, weight = pooled_sd(error.df)
        return interval_width(error) * float(weight @ s)

    exact = next(k for k in range(2, 100) if mean_width(k) <= width) * size
    found = n_for_width(clusters(size, icc), Precision(width=width), 5000, Effort(4000, 3, 4))
    assert (found["n_per_arm"], found["n_interval"]) == (exact, None)


def test_smallest_effect_of_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="n = 110: must be a multiple of 20, such as 100 or 120"):
        smallest_effect(clusters(20), Detectable(n_per_arm=110), Effort(1000, 1, 4))
    found = smallest_effect(clusters(20), Detectable(n_per_arm=120), Effort(4000, 1, 4))
    effect = found["effect"]
    assert exact_power(120, 120, effect - 0.01, 20, 0.05) < 0.8 <= exact_power(120, 120, effect, 20, 0.05)


@given(n_total=st.integers(8, 5000), ratio=st.sampled_from([0.05, 0.3, 0.5, 1, 1.15, 1.5, 2, 7.5]))
@settings(max_examples=examples(20, 60), deadline=None)
def test_allocations_are_the_largest_that_n_total_has(n_total, ratio):
    trial = two_arms()
    n_total = max(n_total, 2 + math.floor(2 * max(ratio, 1 / ratio) + 0.5))  # two in the smaller arm
    Optimise(n_total=n_total, ratios=[ratio])
    variant = with_allocation(trial, 5e7, ratio)
    n = largest_n(variant, n_total)
    assert sum(variant.sizes(n).values()) <= n_total < sum(variant.sizes(n + 1).values())


@pytest.mark.parametrize("n", [None, 40, 120, 1000])
@pytest.mark.parametrize("size", [1, 7, 20, 500])
def test_curves_are_shown_at_n_that_a_design_can_have(size, n):
    design = clusters(size, arms=[arm("control", n=2 * size), arm("cells", 5e7, n=3 * size)])
    n = None if n is None else design.at_least(n)
    grid = design_grid(design, RequiredN(n, None, "limit", 1.0, 0.0, n))
    assert all(k % size == 0 for k in grid)
    assert 2 * size in grid
    assert n is None or n in grid


# from a file to a page

KIDS = {
    **{"kind": "normal", "title": "Normal scores for closed forms"},
    **{"baseline": figure(50), "baseline_sd": figure(20), "growth": figure(0), "excess_sd": figure(SD)},
    **{"excess_growth": figure(0), "visit_correlation": figure(0.7), "measurement_error": figure(0)},
    **{"response_sd": figure(0), "dropout": figure(0), "missed": figure(0)},
}
EXPERIMENT = {
    "question": "How many clusters?",
    "seed": 1,
    "evidence": {"tables": "package", "select": {"study": ["Sun2017", "Sun2022"], "default_use": "primary"}},
    "model": {"name": "random_effects"},
    "sampler": {"engine": "exact", "cross_check": False, "draws": 1000},
    "trial": {
        **{"kind": "cluster", "title": "Clusters of twenty", "source": SOURCE["source"], "children": KIDS},
        **{"arms": [arm("cells", 5e7), arm("control")], "visits": [12], "analyses": [{"method": "cluster_t"}]},
        **{"cluster_size": 20, "icc": figure(0.05)},
    },
    "search": {
        **{"target": {"metric": "power", "value": 0.8}, "planning_value": 3.0, "replicates": 1000},
        **{"max_n_per_arm": 210, "interval_prob": FOUR_MCSE},
    },
}


def write(folder, **changes) -> str:
    path = folder / "clusters.toml"
    path.write_text(tomli_w.dumps(EXPERIMENT | changes), encoding="utf-8")
    return str(path)


@pytest.mark.slow
def test_the_answer_and_the_page_say_whole_clusters(tmp_path, monkeypatch):
    monkeypatch.setattr("gmfmsim.answer.plan.NUISANCE_REPLICATES", 100)
    result = run(write(tmp_path, detectable={"n_per_arm": 100}), tmp_path / "results")
    answer = json.loads((result.folder / "answer.json").read_text(encoding="utf-8"))
    assert (answer["n_per_arm"], answer["n_total"]) == (120, 240)
    assert answer["sentence"].startswith("240 children (120 an arm; ")
    surface = xr.load_dataset(result.folder / "surface.nc")
    assert (surface["n"] % 20 == 0).all()
    assert (surface["randomised"] == 2 * surface["n"]).all()
    page = result.report.read_text(encoding="utf-8")
    assert "240 children (120 an arm)" in page
    assert "cells (5e7 cells/kg, 120 children)" in page


def test_what_a_search_did_not_reach_is_whole_clusters_too(tmp_path):
    (prepared,) = read_question(write(tmp_path)).plans
    missed = SimpleNamespace(prepared=prepared, required=RequiredN(None, None, "limit", 1.0, 0.0, None))
    assert headline(missed) == "Not reached by 400 children, 200 an arm"  # the search may look up to 210


@pytest.mark.parametrize(
    ("changes", "where", "said"),
    [
        ({"detectable": {"n_per_arm": 110}}, "key detectable.n_per_arm", "nearest: 100 or 120"),
        ({"detectable": {"n_per_arm": 7}}, "key detectable.n_per_arm", "from 40 on; nearest: 40"),
        ({"search": EXPERIMENT["search"] | {"max_n_per_arm": 39}}, "key search.max_n_per_arm", "at least 40"),
    ],
)
def test_an_n_that_the_design_cannot_have_is_a_fault(changes, where, said, tmp_path):
    with pytest.raises(InputError) as refusal:
        read_question(write(tmp_path, **changes))
    (fault,) = refusal.value.faults
    assert (fault.file, fault.where) == ("clusters.toml", where)
    assert said in fault.allowed


def test_every_n_of_a_trial_without_clusters_may_be_asked_about(tmp_path):
    path = write(tmp_path, trial={"design": "normal"}, detectable={"n_per_arm": 37})
    assert read_question(path).plans[0].plan.detectable.n_per_arm == 37
