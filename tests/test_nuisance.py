"""What a trial without a control group rests on: false claims by what children gain without cells, in closed form."""

import math

import pytest
from design_cases import figure, normal_design, population_design
from scipy import special

from gmfmsim.files.shelf import names
from gmfmsim.trial.closed_form import claim_power, historical_power, of_one_sample
from gmfmsim.trial.design import Design
from gmfmsim.trial.nuisance import VOLUNTEERS, gains, settings, type_one, with_gain
from gmfmsim.trial.presets import read_design

SD, N, REPLICATES = 5.0, 67, 4000
"""SD of the change over 12 months in design_cases; children; trials at each setting."""

MIDDLE = {"mix": [0, 0, 1, 0, 0], "limit": figure([54.0] * 5), "volunteer_gain": figure(3.1, low=1.4, high=5.0)}
"""Children far from both ends of the scale, and volunteers as in ACCeNT-CP."""

HISTORICAL = {"method": "historical", "mean": 6.9, "sd": 5.6, "n": 31}


def near(found: float, exact: float) -> bool:
    return abs(found - exact) < 4 * math.sqrt(max(exact * (1 - exact), 1e-4) / REPLICATES)


def without_control() -> list[str]:
    return [name for name in names("designs") if read_design(name).control is None]


def words(design: Design) -> list[str]:
    return [name for name, _ in settings(design)]


@pytest.mark.parametrize("month", [6, 12])
def test_known_false_claims_by_the_gain_of_volunteers(month):
    """One-sample t test of a gain above the allowance: nominal at 3.1 points, nearly certain at 5.0."""
    analyses = [{"method": "one_sample", "allowance": 3.1 * month / 12}, {"method": "one_sample"}]
    design = population_design("single_arm", analyses=analyses, visits=[month], children=MIDDLE)
    table = type_one(design, N, replicates=REPLICATES, seed=5)
    sd = SD * (month / 12) ** 0.25
    expected = {1.4: "the low end of what is cited", 3.1: "as declared", 5.0: "the high end"}
    assert table["setting"].values.tolist()[:4] == [
        *(f"volunteers gain {gain:g} points in 12 months, {end}" for gain, end in expected.items()),
        "as declared",
    ]
    for row, gain in enumerate((*expected, 3.1)):
        for column, allowance in enumerate((3.1, 0.0)):
            exact = claim_power((gain - allowance) * month / 12, of_one_sample(N, sd))
            assert near(table["type_one"].isel(setting=row, analysis=column).item(), exact), (gain, allowance)
    if month == 12:
        assert table["type_one"].isel(setting=2, analysis=0).item() > 0.85
        assert table["type_one"].isel(setting=0, analysis=0).item() < 0.001


def test_known_false_claims_by_the_mean_of_historical_children():
    """Normal children who gain 6.9 points: the growth at both ends, then the published mean's own uncertainty."""
    growth = figure(6.9, low=6, high=8)
    design = normal_design("single_arm", analyses=[HISTORICAL], children={"growth": growth})
    table = type_one(design, N, replicates=REPLICATES, seed=5)
    half = special.stdtrit(30, 0.975) * 5.6 / math.sqrt(31)
    beyond = [-0.9, 0, 1.1, -half, half, 0]
    for row, gain in enumerate(beyond):
        exact = historical_power(gain, N, SD, historical_n=31, historical_sd=5.6)
        assert near(table["type_one"].isel(setting=row, analysis=0).item(), exact), gain
    assert table["setting"].values.tolist()[:6] == [
        "children gain 6 points in 12 months, the low end of what is cited",
        "children gain 6.9 points in 12 months, as declared",
        "children gain 8 points in 12 months, the high end",
        "historical children truly gain 4.85 for 6.9 points, the low end of 95 %",
        "historical children truly gain 8.95 for 6.9 points, the high end of 95 %",
        "as declared",
    ]
    assert table["type_one"].isel(setting=4, analysis=0).item() > 5 * 0.025


def test_a_gain_stands_among_those_of_untreated_volunteers():
    """Its own value and range, and the ends and the mean of what ACCeNT-CP found, each once."""
    design = population_design("single_arm")
    assert [name.split(" points")[0] for name, _ in gains(design)] == [
        *("volunteers gain 1.4", "volunteers gain 3", "volunteers gain 3.1", "volunteers gain 5"),
    ]
    assert words(design)[1] == "volunteers gain 3 points in 12 months, as declared"
    at_an_end = population_design("single_arm", children={"volunteer_gain": figure(0, low=0, high=3.1)})
    assert [name.split(" gain ")[1] for name, _ in gains(at_an_end)] == [
        "0 points in 12 months, as declared",
        "1.4 points in 12 months, the low end of the interval of ACCeNT-CP",
        "3.1 points in 12 months, the high end",
        "5 points in 12 months, the high end of the interval of ACCeNT-CP",
    ]


def test_a_control_group_gains_as_much():
    assert words(population_design(children=MIDDLE))[0] == "as declared"


@pytest.mark.parametrize("month", [6, 12])
def test_known_false_claims_of_normal_children_who_gain_as_volunteers_do(month):
    """They have no gain of their own: the test takes off their growth and allows for that much less."""
    design = normal_design("single_arm", analyses=[{"method": "one_sample", "allowance": 2.0}], visits=[month])
    table = type_one(design, N, replicates=REPLICATES, seed=5)
    assert [name.split(" points")[0] for name in words(design)[:4]] == [
        *("volunteers gain 1.4", "volunteers gain 3.1", "volunteers gain 5", "as declared"),
    ]
    sd = SD * (month / 12) ** 0.25
    for row, gain in enumerate((*VOLUNTEERS, 0)):
        exact = claim_power(gain * month / 12 - 2.0, of_one_sample(N, sd))
        assert near(table["type_one"].isel(setting=row, analysis=0).item(), exact), gain
    assert table["analysis"].values.tolist() == [design.analyses[0].label]


@pytest.mark.parametrize("name", without_control())
def test_the_gain_comes_first_for_every_shipped_design_without_control(name):
    design = read_design(name)
    gain = design.children.volunteer_gain
    shown = [d.children.volunteer_gain.value for _, d in gains(design) if d.analyses == design.analyses]
    assert shown == sorted({v for v in (gain.low, gain.value, gain.high, *VOLUNTEERS) if v is not None})
    assert [name for name, _ in gains(design)] == words(design)[: len(list(gains(design)))]
    assert with_gain(design, 5.0).children.volunteer_gain.value == 5.0


def test_there_are_designs_without_control():
    assert len(without_control()) >= 10
    assert {read_design(name).kind for name in without_control()} == {"single_arm"}
