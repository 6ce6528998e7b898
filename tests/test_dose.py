"""A dose carries its unit, reads as it was written, and stays exact through configuration and key."""

import math

import pytest
from damage import trial
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from gmfmsim.experiment import read_experiment
from gmfmsim.trial.design import Arm, parse_dose

DOSES = st.floats(0, 1e12, allow_subnormal=True)


@given(dose=DOSES, unit=st.sampled_from(["cells/kg", "cells per kg", "cells_per_kg"]))
def test_a_dose_reads_as_it_was_written(dose, unit):
    assert parse_dose(f"{dose!r} {unit}") == dose


@given(dose=DOSES)
def test_a_dose_survives_the_resolved_configuration(dose):
    arm = Arm(name="cells", dose=f"{dose!r} cells/kg")
    assert Arm.model_validate(arm.model_dump(mode="json")).dose == dose


def test_different_doses_have_different_keys(tmp_path):
    keys = {
        read_experiment(str(trial(tmp_path, {"trial.arms.1.dose": f"{dose} cells/kg"}))).key
        for dose in (12345678, 12345679)
    }
    assert len(keys) == 2


NEARLY = st.from_regex(r"[-+0-9.eE]{1,8} ?[a-z/ ]{0,9}", fullmatch=True)


@given(text=(st.text() | NEARLY).filter(lambda text: "cells" not in text))
def test_text_that_is_no_dose_is_refused(text):
    with pytest.raises(PydanticCustomError, match="a dose with its unit"):
        parse_dose(text)


@pytest.mark.parametrize(
    "value",
    [
        *("-1 cells/kg", "1e13 cells/kg", "1e999 cells/kg", "nan cells/kg", "inf cells/kg", "1.2.3 cells/kg"),
        *("5e7", "5e7 cells", "5e7 cells/kg/day", "5e7 Cells/kg", "1,5e7 cells/kg", "٣ cells/kg", ". cells/kg"),
        *("cells/kg", "", 5e7, 0, None, True, ["5e7 cells/kg"], math.nan),
    ],
)
def test_what_is_no_dose_is_refused(value):
    with pytest.raises(ValidationError, match="a dose with its unit"):
        Arm(name="cells", dose=value)
