"""How long a trial takes: exact laws of its recruitment, held to closed forms, to counts and to simulated trials."""

import math

import numpy as np
import pytest
from design_cases import normal_design, two_arms
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from gmfmsim.trial.presets import read_design
from gmfmsim.trial.recruitment import PROBABILITY, Rate, Recruitment, duration, follow_up, recruiting, screened

TWO_ARMS = two_arms()
TAILS = {"low": 0.025, "median": 0.5, "high": 0.975}
RATES = st.one_of(
    st.floats(0.05, 50),
    st.builds(lambda mean, cv: {"mean": mean, "sd": cv * mean}, st.floats(0.05, 50), st.floats(0.05, 2)),
    st.builds(
        lambda mean, below, above, across: {"mean": mean, "low": mean * below, "high": mean * above, "across": across},
        *(st.floats(0.05, 50), st.floats(0.05, 0.9), st.floats(1.2, 9), st.sampled_from(["trials", "centres"])),
    ),
)


def at(centres: int = 5, rate: object = 1.0, **keys) -> Recruitment:
    return Recruitment.model_validate({"centres": centres, "rate": rate, **keys})


def test_known_months_of_a_known_rate():
    """One child after another at 5 a month: the last of 100 comes after Gamma(100) / 5 months."""
    found = recruiting(TWO_ARMS, 50, at())
    for name, p in TAILS.items():
        assert getattr(found, name) == pytest.approx(stats.gamma.ppf(p, 100, scale=0.2), rel=1e-10)
    assert found.median == pytest.approx(20, rel=0.01)


def test_known_months_of_a_gamma_rate():
    """Gamma(4) / Gamma(4), a beta prime law: here of four children, the fewest that a trial has, at 2.5 a month."""
    law = stats.betaprime(4, 4, scale=4 / 2.5)
    found = recruiting(TWO_ARMS, 2, at(rate={"mean": 0.5, "sd": 0.25}))
    assert [found.low, found.median, found.high] == pytest.approx(list(law.ppf([0.025, 0.5, 0.975])), rel=1e-9)


@pytest.mark.parametrize(("across", "shape"), [("trials", 2.0), ("centres", 12.0)])
@pytest.mark.parametrize("n", [5, 60, 1000])
def test_reference_as_many_by_then_as_the_negative_binomial_counts(across, shape, n):
    """At each quantile of the time to N, as many children have come with that probability (Anisimov & Fedorov 2007)."""
    rate = {"mean": 1.5, "sd": 1.5 / math.sqrt(2), "across": across}
    found = recruiting(TWO_ARMS, n, at(6, rate))
    for name, p in TAILS.items():
        expected = 6 * 1.5 * getattr(found, name)
        count = stats.nbinom(shape, shape / (shape + expected))
        assert count.sf(2 * n - 1) == pytest.approx(p, rel=1e-8)


@pytest.mark.parametrize("across", ["trials", "centres"])
def test_recovery_of_simulated_recruitment(across):
    """Children one by one at centres that open over five months, some failing: quantiles within their own errors."""
    trials, shape, recruitment = 20_000, 3.0, {"ramp": 5.0, "screening_failures": 0.25}
    rate = {"mean": 2.0, "sd": 2.0 / math.sqrt(shape), "across": across}
    found = recruiting(TWO_ARMS, 15, at(4, rate, **recruitment))
    rng = np.random.default_rng(3)
    rates = rng.gamma(shape, 2.0 / shape, (trials, 4 if across == "centres" else 1)).mean(axis=1) * 4
    open_months = np.cumsum(rng.exponential(size=(trials, 400)), axis=1) / rates[:, None]  # until each is screened
    taken = np.cumsum(rng.random((trials, 400)) < 0.75, axis=1)
    assert (taken[:, -1] >= 30).all()
    until = open_months[np.arange(trials), (taken >= 30).argmax(axis=1)]
    months = np.where(until < 2.5, np.sqrt(10 * until), until + 2.5)
    for name, p in TAILS.items():
        below = (months <= getattr(found, name)).mean()
        assert below == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / trials))


def test_recovery_of_centres_that_open_one_by_one():
    """Six centres with rates of their own, one opening a month: after the ramp as if each had opened by degrees."""
    trials, shape = 20_000, 1.3
    rate = {"mean": 5.0, "sd": 5.0 / math.sqrt(shape), "across": "centres"}
    found = recruiting(TWO_ARMS, 150, at(6, rate, ramp=6))
    rng = np.random.default_rng(4)
    rates, children = rng.gamma(shape, 5.0 / shape, (trials, 6)), rng.gamma(300, size=trials)
    opened = np.arange(6) + 0.5
    for name, p in TAILS.items():
        come = (rates * np.maximum(getattr(found, name) - opened, 0)).sum(axis=1)
        assert (come >= children).mean() == pytest.approx(p, abs=0.015)


def test_known_a_ramp_costs_half_of_itself():
    plain, ramped = (recruiting(TWO_ARMS, 300, at(ramp=ramp)).median for ramp in (0, 12))
    assert ramped == pytest.approx(plain + 6, rel=1e-12)
    # five centres that open over ten years never all recruit: 5 t^2 / 240 children after t months
    slow = recruiting(TWO_ARMS, 50, at(ramp=120)).median
    assert slow == pytest.approx(math.sqrt(240 * stats.gamma.ppf(0.5, 100) / 5), rel=1e-10)


def test_known_children_screened_and_a_run_in():
    """47 of 57 stay in the run-in of Rah 2017: 82.5 %; of those screened 80 % enter it."""
    design = read_design("next_run_in")
    assert screened(TWO_ARMS, 40) == 80
    assert screened(TWO_ARMS, 40, 0.2) == 100
    assert screened(design, 33, 0.2) == math.ceil(66 / 0.825 / 0.8) == 100
    assert follow_up(design) == 15
    alike = recruiting(TWO_ARMS, 33, at(rate=0.825 * 0.8))
    found = recruiting(design, 33, at(screening_failures=0.2))
    assert found == pytest.approx(alike, rel=1e-9)
    assert duration(design, 33, at(screening_failures=0.2)).high == pytest.approx(alike.high + 15, rel=1e-9)


def test_the_last_visit_of_a_crossover_is_that_of_its_second_period():
    assert follow_up(read_design("next_crossover")) == 24


@given(mean=st.floats(0.1, 100), below=st.floats(1e-3, 0.99), above=st.floats(1.01, 50))
def test_of_a_range_holds_what_is_said(mean, below, above):
    """A gamma law with the mean, of which 95 % lies between the ends, whatever they are."""
    rate = Rate(mean=mean, low=mean * below, high=mean * above)
    law = stats.gamma(rate.shape, scale=mean / rate.shape)
    assert law.cdf(rate.high) - law.cdf(rate.low) == pytest.approx(PROBABILITY, abs=1e-6)


def test_a_range_of_nothing_is_a_known_rate():
    assert Rate(mean=1, low=1 - 1e-9, high=1 + 1e-9).shape == math.inf
    sure = recruiting(TWO_ARMS, 50, at(rate={"mean": 1.0, "sd": 1e-9}))
    assert sure == pytest.approx(recruiting(TWO_ARMS, 50, at()), rel=1e-9)


@given(rate=RATES, n=st.integers(2, 3000), centres=st.integers(1, 60), ramp=st.floats(0, 36))
def test_more_children_take_longer_and_more_centres_less(rate, n, centres, ramp):
    found = duration(TWO_ARMS, n, at(centres, rate, ramp=ramp))
    assert follow_up(TWO_ARMS) < found.low < found.median < found.high < math.inf
    more = duration(TWO_ARMS, n + 1, at(centres, rate, ramp=ramp))
    assert all(a < b for a, b in zip(found, more, strict=True))
    helped = duration(TWO_ARMS, n, at(centres + 1, rate, ramp=ramp))
    assert helped.median < found.median
    assert helped.high < found.high


@given(n=st.integers(2, 20_000), centres=st.integers(2, 40))
def test_rates_of_their_own_are_surer_than_one_of_all(n, centres):
    rate = {"mean": 1.0, "sd": 0.6}
    together, apart = (duration(TWO_ARMS, n, at(centres, rate | {"across": of})) for of in ("trials", "centres"))
    assert apart.high - apart.low < together.high - together.low


@pytest.mark.parametrize("n", [2, 1_000_000])
@pytest.mark.parametrize(
    "rate",
    [1e-4, 1e4, {"mean": 1e-4, "sd": 3e-4}, {"mean": 9999.0, "low": 1e-4, "high": 1e4}, {"mean": 1e4, "sd": 1.0}],
)
def test_extreme_laws_stay_numbers(rate, n):
    found = duration(TWO_ARMS, n, at(1, rate))
    assert 12 < found.low <= found.median <= found.high < math.inf


@pytest.mark.parametrize(
    "keys",
    [
        {"rate": 0},
        {"rate": -1},
        {"rate": math.nan},
        {"rate": math.inf},
        {"rate": True},
        {"rate": "1.5"},
        {"rate": {"mean": 1.0, "low": 0.5}},
        {"rate": {"mean": 1.0, "low": 1.0, "high": 2.0}},
        {"rate": {"mean": 1.0, "low": 0.5, "high": 2.0, "sd": 0.3}},
        {"rate": {"mean": 1.0, "sd": 3.1}},
        {"rate": {"mean": 1.0, "sd": 0}},
        {"rate": {"mean": 1.0, "across": "<b>"}},
        {"centres": 0},
        {"centres": 1.5},
        {"ramp": -1},
        {"screening_failures": 1.0},
        {"screening_failures": math.nan},
        {"source": ""},
    ],
)
def test_what_is_no_recruitment_is_refused(keys):
    with pytest.raises(ValidationError):
        at(**{"centres": 5, "rate": 1.0} | keys)


def test_pairs_are_counted_as_children():
    twins = normal_design("pairs", pair_correlation=0.5)
    assert recruiting(twins, 30, at()) == recruiting(TWO_ARMS, 30, at())
