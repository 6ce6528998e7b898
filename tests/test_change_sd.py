"""The SD of change in a trial: exact of normal children, drawn of children on growth curves, and the same words."""

import math

import numpy as np
import pytest
from design_cases import KINDS, figure, normal_design, population_design, two_arms

from gmfmsim.trial.change_sd import change_sd, drawn_changes, spread_in_words
from gmfmsim.trial.presets import read_design

CENTRES = {"number": 8, "sd": 2.0, "source": "made up", "verified": "assumed"}


@pytest.mark.parametrize("kind", KINDS)
def test_reference_normal_children_are_as_drawn(kind):
    """The exact SD against that of drawn children, each kind with its pairs, clusters or periods."""
    design = normal_design(kind, children={"excess_sd": 5.0, "response_sd": 3.0, "dropout": 0.3})
    exact, drawn = change_sd(design), drawn_changes(design)
    assert exact.low == exact.high
    assert exact.mcse == 0
    for sd, of in ((exact.median, drawn.without), (exact.with_cells, drawn.cells)):
        if of.any():
            assert drawn.change[of].std() == pytest.approx(sd, rel=4 / math.sqrt(2 * of.sum()) * 2)
    assert exact.with_cells > 1.1 * exact.median or design.control is None


def test_reference_centres_add_to_the_spread():
    design = normal_design(children={"excess_sd": 5.0, "centres": CENTRES})
    drawn = drawn_changes(design)
    assert change_sd(design).median == pytest.approx(math.hypot(5, 2), rel=1e-12)
    assert drawn.change[drawn.without].std() == pytest.approx(math.hypot(5, 2), rel=0.03)  # 400 centres


def test_known_interval_at_the_endpoint():
    """Its own law at twelve months; at another month, that SD by the exponent of the excess."""
    design = two_arms(sd_change={"dist": "lognormal", "median": 6, "sigma": 0.25})
    found = change_sd(design)
    ends = 6 * np.exp(0.25 * 1.9599639845 * np.array([-1, 0, 1]))
    assert [found.low, found.median, found.high] == pytest.approx(ends.tolist(), rel=1e-9)
    early = normal_design(visits=[3], children={"excess_sd": 6.0, "excess_growth": 0.5, "measurement_error": 0})
    assert change_sd(early).median == pytest.approx(3, rel=1e-12)


@pytest.mark.parametrize("kind", ["parallel", "single_arm"])
def test_known_spread_of_drawn_children(kind):
    """Responses that differ add their variance; the SD rises with excess_sd, and is one number where that is known."""
    children = {"excess_sd": figure(5.0) | {"sigma": 0.3}, "response_sd": 4.0}
    spread = change_sd(population_design(kind, children=children))
    same = change_sd(population_design(kind, children=children | {"response_sd": 0.0}))
    assert spread.with_cells == pytest.approx(math.hypot(same.with_cells, 4), abs=6 * spread.mcse)
    assert 0 < spread.mcse < 0.01 * spread.median
    assert spread.low < 0.9 * spread.median < spread.median < 0.9 * spread.high
    assert (spread.median == spread.with_cells) == (kind == "single_arm")
    known = change_sd(population_design(kind, children={"excess_sd": 5.0}))
    assert known.low == known.median == known.high


def test_known_sd_of_a_shipped_design():
    """Sun 2017 prints SDs of 5.6 without cells and 6.8 with, which its children were solved for."""
    found = change_sd(read_design("sun2017"))
    assert found.median == pytest.approx(5.6, abs=0.1)
    assert found.with_cells == pytest.approx(6.8, abs=0.1)


def test_words():
    plain = change_sd(two_arms(sd_change=6))
    assert spread_in_words(plain) == "6 GMFM-66 points (taken as known), as observed, before any adjustment"
    words = spread_in_words(plain._replace(low=4.5, high=8.04, mcse=0.021, with_cells=7.0))
    assert words == "6 GMFM-66 points (95 % 4.5 to 8.04; MCSE 0.02), as observed, before any adjustment; with cells 7"
