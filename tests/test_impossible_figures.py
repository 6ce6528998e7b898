"""Figures that cannot be right whatever was measured: a control's error above that of its contrast, half a child."""

import math

import numpy as np
import pytest
from clean_evidence import clean_evidence
from damage import command, damaged_tables, trial
from hypothesis import given
from hypothesis import strategies as st
from small_folder import small_folder

from gmfmsim.evidence.contrasts import Selection, contrasts_from_arrays, one_reading, select_contrasts
from gmfmsim.evidence.read import read_tables
from gmfmsim.evidence.readings import RULES, Reading, read_contrasts
from gmfmsim.evidence.what_if import Supposed, with_supposed
from gmfmsim.faults import InputError
from gmfmsim.model.declare import ModelChoice, read_model
from gmfmsim.model.exact import fit_exact

FRANK = [
    {"study": "Frank1990", "arm_a": "IPT", "arm_b": "ADM", "md100": 1.34, "md100_se": 0.45, "n_a": 30, "n_b": 30},
    {"study": "Frank1990", "arm_a": "IPTADM", "arm_b": "ADM", "md100": -0.05, "md100_se": 0.58, "n_a": 30, "n_b": 30},
]
PRIMARY = Selection(default_use="primary")


def frank(folder, control_se: float, contrasts: int = 2):
    """Two arms against one control whose standard error is `control_se`."""
    shared = {"control_group": "Frank1990:ADM", "control_se100": control_se}
    return small_folder(folder, [row | shared for row in FRANK[:contrasts]])


# the error of a difference holds that of its control: var(A - C) = var(A) + var(C)


def test_known_posterior_of_two_arms_with_one_control(tmp_path):
    """Mean 0.7898 by dense quadrature over tau and the two effects, outside this package."""
    data = one_reading(select_contrasts(read_tables(frank(tmp_path, 0.05)), PRIMARY))
    mean, _ = fit_exact(read_model(ModelChoice(name="random_effects")), data).moments("mu")
    assert mean == pytest.approx(0.7898, abs=5e-5)


@pytest.mark.parametrize(
    ("control_se", "contrasts", "rows"),
    [
        pytest.param(0.5, 2, [2], id="above one of two: positive definite, and impossible"),
        pytest.param(0.9, 2, [2, 3], id="above both"),
        pytest.param(0.9, 1, [2], id="above a single contrast's"),
        pytest.param(0.4501, 1, [2], id="by a fourth decimal"),
    ],
)
def test_a_control_with_more_error_than_its_contrast_is_refused(
    tmp_path, monkeypatch, capsys, control_se, contrasts, rows
):
    folder = frank(tmp_path / "own", control_se, contrasts)
    with pytest.raises(InputError) as refusal:
        read_tables(folder)
    assert [(f.file, f.where) for f in refusal.value.faults] == [
        ("contrasts.csv", f"row {row}, column control_se100") for row in rows
    ]
    assert all("var(A - C) = var(A) + var(C)" in f.allowed for f in refusal.value.faults)
    path = trial(tmp_path, {"evidence.tables": "own"})
    assert command(monkeypatch, "run", path, "--results", tmp_path / "results") == 2
    assert "control_se100" in capsys.readouterr().err


def test_it_is_told_with_all_other_faults(tmp_path):
    folder = small_folder(
        tmp_path,
        [FRANK[0] | {"control_se100": 0.9, "n_a": 0.001, "p": 2}, FRANK[1] | {"control_se100": 0.6, "month": "soon"}],
    )
    with pytest.raises(InputError) as refusal:
        read_tables(folder)
    assert {f.where for f in refusal.value.faults} == {
        *("row 2, column control_se100", "row 2, column n_a", "row 2, column p"),
        *("row 3, column control_se100", "row 3, column month"),
    }


def test_the_shipped_tables_and_a_rounded_tie_are_read(tmp_path):
    """A control alone may make all of an error as far as it was rounded: equal is not above."""
    rows = [r for r in read_tables().rows["contrasts"] if None not in (r["md100_se"], r["control_se100"])]
    assert len(rows) == 31
    assert all(r["control_se100"] < r["md100_se"] for r in rows)
    assert select_contrasts(read_tables(frank(tmp_path, 0.45, contrasts=1)), PRIMARY).sizes["contrast"] == 1


sd = st.floats(1e-3, 100)
children = st.integers(2, 100_000)


@given(sd, children, sd, children)
def test_a_flat_file_cannot_hold_one(tmp_path_factory, sd_a, n_a, sd_c, n_c):
    path = tmp_path_factory.mktemp("flat") / "own.csv"
    path.write_text(f"study,arm,dose,n,mean,sd\nA,a,5e7 cells/kg,{n_a},1,{sd_a!r}\nA,c,0,{n_c},0,{sd_c!r}\n")
    (row,) = read_tables(path).rows["contrasts"]
    assert row["control_se100"] <= row["md100_se"]


def test_a_supposed_result_cannot_hold_one(tmp_path):
    tables = read_tables()
    data = select_contrasts(tables, PRIMARY)
    one = Supposed(study="RegNCT01929434", effect=0, n_active=100_000, n_control=2, sd=5)
    joined = with_supposed(data, tables, [one])
    assert joined["control_se"].values[-1] < joined["se"].values[-1]


def test_a_reading_that_gives_one_is_refused(monkeypatch):
    tables = read_tables()
    data = select_contrasts(tables, PRIMARY)
    monkeypatch.setitem(RULES, "sd_in_range", lambda row, tables, option: Reading(row["md100"], 2.0, 2.1))
    with pytest.raises(InputError) as refusal:
        read_contrasts(data, tables, "average")
    (fault,) = refusal.value.faults
    assert "reading sd_in_range of Huang2018" in fault.where
    assert "standard error of 2, of which its control has 2.1" in fault.problem


@given(st.lists(st.tuples(st.floats(0.1, 10), st.floats(0.01, 10)), min_size=2, max_size=6))
def test_possible_errors_make_a_covariance(pairs):
    """Whatever the arms that share a control: with each control error below its contrast's it is positive definite."""
    control, own = np.array(pairs).T
    covariance = np.minimum.outer(control, control) ** 2 + np.diag(own**2)
    data = contrasts_from_arrays(np.zeros(len(pairs)), covariance)
    assert (data["se"].values >= control).all()


def test_a_covariance_with_a_gap_is_refused():
    with pytest.raises(ValueError, match="not positive definite"):
        contrasts_from_arrays([1, 2], [1, math.nan])


# children are counted in whole numbers


@pytest.mark.parametrize(
    ("table", "column", "value", "allowed"),
    [
        ("contrasts", "n_a", "0.001", "a whole number from 1"),
        ("contrasts", "n_b", "30.5", "a whole number from 1"),
        ("contrasts", "n_b", "0", "a whole number from 1"),
        ("outcomes", "n", "12.5", "a whole number from 1"),
        ("outcomes", "n", "0", "a whole number from 1"),
        ("arms", "n", "0", "a whole number from 1"),
        ("outcomes", "n", "1", "at least 2 children for a spread"),
    ],
)
def test_counts_are_whole_and_a_spread_needs_two(tmp_path, table, column, value, allowed):
    line = next(r["row"] for r in read_tables().rows[table] if r[column] is not None and r.get("sd", 1) is not None)
    with pytest.raises(InputError) as refusal:
        read_tables(damaged_tables(tmp_path, table, {(line, column): value}))
    faults = [f for f in refusal.value.faults if f.where == f"row {line}, column {column}"]
    assert [f.file for f in faults[:1]] == [f"{table}.csv"]
    assert allowed in faults[0].allowed


def test_the_shipped_counts_are_whole():
    tables = read_tables()
    counts = [r[c] for r in tables.rows["contrasts"] for c in ("n_a", "n_b") if r[c] is not None]
    assert len(counts) == 2 * (78 - 4)  # four rows are F statistics
    assert all(type(n) is int and n >= 8 for n in counts)


@pytest.mark.parametrize(("n_a", "n_b"), [(1, 30), (30, 1), ("", 30)])
def test_an_imputed_sd_needs_two_children_in_words(tmp_path, n_a, n_b):
    contrasts = [{"study": "A", "arm_a": "x", "arm_b": "c", "md100": 2, "md100_se": 3, "n_a": n_a, "n_b": n_b}]
    folder = small_folder(tmp_path, contrasts, readings=[{"study": "A", "reading": "imputed_sd"}])
    tables = read_tables(folder)
    with pytest.raises(InputError, match="imputed_sd of A: needs n_a and n_b of at least 2"):
        read_contrasts(select_contrasts(tables, PRIMARY), tables, "average")


def test_clean_evidence_holds_whole_counts(tmp_path):
    assert all(r["n_a"] >= 2 for r in read_tables(clean_evidence(tmp_path)).rows["contrasts"])
