"""The root finder of all rooms: known roots, and what it does where there is no number."""

import math

import pytest

from gmfmsim.compute.roots import root
from gmfmsim.faults import NotANumber


def test_known_roots():
    assert root(lambda x: x**2 - 2, 0, 2, within=1e-14) == pytest.approx(math.sqrt(2), abs=1e-14)
    assert root(lambda x: 1 - x, 1, 3, within=1e-14) == 1


def test_each_end_is_computed_once():
    asked = []
    root(lambda x: asked.append(x) or x - 0.3, 0, 1, within=1e-12)
    assert (asked.count(0), asked.count(1)) == (1, 1)


def test_no_number_at_an_end_is_told():
    with pytest.raises(NotANumber, match="no root between 0 and 2: the function is not a number at 2"):
        root(lambda x: math.nan if x > 1 else x - 1, 0, 2, within=1e-9)


def test_alike_signs_are_refused():
    with pytest.raises(ValueError, match="different signs"):
        root(lambda x: x + 1, 0, 2, within=1e-9)
