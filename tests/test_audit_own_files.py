"""The audit of a user's own file: mistakes that all of it shares, what stands twice, figures far from all others."""

import dataclasses
import math

import pytest
from clean_evidence import clean_evidence
from small_folder import small_folder

from gmfmsim.evidence.audit import audit
from gmfmsim.evidence.audit.finding import Finding
from gmfmsim.evidence.read import read_tables
from gmfmsim.evidence.schema import Tables

HEADER = "study,arm,dose,n,mean,sd,month\n"
TRIALS = {
    # study: (n, mean, SD of the change) of the arm with cells and of its control
    "A": ((30, 5.1, 6.1), (30, 3.0, 5.7)),
    "B": ((40, 4.8, 5.8), (38, 3.6, 6.2)),
    "C": ((25, 6.0, 6.6), (25, 3.1, 5.2)),
    "D": ((30, 5.5, 6.02), (30, 3.5, 5.48)),
    "E": ((22, 4.4, 5.9), (24, 3.9, 6.3)),
}


def own(folder, trials=TRIALS, month=12, spread=lambda n, sd: sd) -> Tables:
    """Read a flat file of trials whose sd column holds `spread(n, sd)`."""
    lines = [
        f"{study},{arm},{dose},{n},{mean},{spread(n, sd):.4g},{month}"
        for study, arms in trials.items()
        for (n, mean, sd), arm, dose in zip(arms, ("cells", "ctrl"), ("5e7 cells/kg", "0"), strict=True)
    ]
    path = folder / "own.csv"
    path.write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")
    return read_tables(path)


def found(tables: Tables, check: str) -> list[Finding]:
    return [f for f in audit(tables) if f.check == check]


def as_se(n: int, sd: float) -> float:
    return sd / math.sqrt(n)


# a mistake that all of a file shares


@pytest.mark.parametrize("month", [6, 12])
@pytest.mark.parametrize("studies", ["ABCDE", "ABCD", "AB"])
def test_recovery_of_standard_errors_throughout_a_file(tmp_path, month, studies):
    """No study of the file stands out from the others: the shipped evidence is what they are held against."""
    (finding,) = found(own(tmp_path, {s: TRIALS[s] for s in studies}, month, as_se), "spread_is_se")
    assert finding.study == f"{', '.join(studies[:-1])} and {studies[-1]}"
    assert finding.rows == tuple(range(2, 2 + 2 * len(studies)))
    assert "studies of the shipped evidence have a median SD" in finding.printed
    assert finding.expected.startswith("standard errors, in all of these: times sqrt(n) they are SDs of 5.")
    assert f"month {month}: g 1.9" in finding.effect


def test_known_figures_of_that_finding(tmp_path):
    """SE 1.114 = 6.1 / sqrt 30 and so on; g of study A by hand: J x 2.1 / sqrt((1.114^2 + 1.041^2) / 2)."""
    (finding,) = audit(own(tmp_path, spread=as_se))
    assert finding.printed.startswith("SDs of 0.917 to 1.32 on 0-100 in all 5 studies")
    assert "SDs of 5.2 to 6.6," in finding.expected
    j = 1 - 3 / (4 * 58 - 1)
    as_sd, right = (j * 2.1 / math.sqrt((a**2 + b**2) / 2) for a, b in ((1.114, 1.041), (6.1, 5.7)))
    assert f"A, month 12: g {as_sd:.2f} becomes {right:.2f}" in finding.effect


@pytest.mark.parametrize("month", [6, 12])
def test_the_right_sds_of_that_file_are_let_pass(tmp_path, month):
    assert audit(own(tmp_path, month=month)) == []


def test_one_study_with_standard_errors_among_others_is_named_alone(tmp_path):
    a = tuple((n, mean, as_se(n, sd)) for n, mean, sd in TRIALS["A"])
    named = [f.study for f in found(own(tmp_path, TRIALS | {"A": a}), "spread_is_se")]
    assert named == ["A"]


def test_standard_errors_of_most_of_a_file_are_told_together(tmp_path):
    """Four of five: what is right is the exception of that file."""
    wrong = {s: tuple((n, mean, as_se(n, sd)) for n, mean, sd in arms) for s, arms in TRIALS.items() if s != "C"}
    (finding,) = found(own(tmp_path, TRIALS | wrong), "spread_is_se")
    assert finding.study == "A, B, D and E"
    assert "in 4 of 5 studies that print one" in finding.printed


@pytest.mark.parametrize(("times", "off"), [(0.02, "z -"), (8, "z ")])
def test_sds_out_of_line_throughout_a_file_are_named(tmp_path, times, off):
    """A unit that all of a file gets wrong, such as raw sums for per cent: too small, or too large, to be errors."""
    rows = found(own(tmp_path, spread=lambda n, sd: sd * times), "sd_out_of_line")
    assert [f.rows for f in rows] == [(line,) for line in range(2, 12)]
    assert all("the 5 studies of the shipped evidence" in f.expected and off in f.printed for f in rows)


def test_the_shipped_tables_are_judged_once():
    """They are the field: nothing is said of them as a whole file, and no study twice."""
    findings = audit(read_tables())
    assert [f.study for f in findings if f.check == "spread_is_se"] == ["Huang2018", "Gu2020"]
    assert not [f for f in findings if "shipped evidence" in f.printed + f.expected + f.effect]
    assert not [f for f in findings if f.check in ("standing_twice", "two_spellings", "implausible_figure")]


# what stands twice

CONTROL = (35, 2.91, 8.84)
SPLIT = {"Liu (MSC)": ((33, 12.52, 9.37), CONTROL), "Liu (MNC)": ((34, 6.46, 9.11), CONTROL), "C": TRIALS["C"]}


def test_recovery_of_a_control_entered_twice(tmp_path):
    (finding,) = audit(own(tmp_path, SPLIT))
    assert (finding.check, finding.study, finding.rows) == ("standing_twice", "Liu (MNC) and Liu (MSC)", (3, 5))
    assert "Liu (MSC) ctrl and Liu (MNC) ctrl: n 35, mean 2.91, SD 8.84, month 12" in finding.printed
    variance, shared = [sd**2 / n for (n, _, sd) in (SPLIT[s][0] for s in list(SPLIT)[:2])], 8.84**2 / 35
    assert f"covariance is {shared:.3g}" in finding.effect
    assert f"standard error {math.sqrt(sum(variance) + 4 * shared) / 2:.3g}" in finding.effect


@pytest.mark.parametrize(
    "control", [(34, 2.91, 8.84), (35, 2.92, 8.84), (35, 2.91, 8.85)], ids=["another n", "another mean", "another SD"]
)
def test_another_figure_makes_another_control(tmp_path, control):
    assert audit(own(tmp_path, SPLIT | {"Liu (MNC)": ((34, 6.46, 9.11), control)})) == []


def test_a_control_that_is_called_shared_is_not_told_twice(tmp_path):
    """One control_group: its covariance is used, and another check says so."""
    rows = [
        {"study": s, "arm_a": "x", "arm_b": "c", "md100": 3, "md100_se": 1.5 + i, "control_group": "one"}
        | {"control_se100": 1, "n_a": 36, "n_b": 36}
        for i, s in enumerate("AB")
    ]
    outcomes = [{"study": s, "arm_id": "c", "n": 36, "mean": 2.5, "sd": 6} for s in "AB"]
    tables = read_tables(small_folder(tmp_path, rows, outcomes=outcomes))
    assert found(tables, "standing_twice") == []
    assert [f.study for f in found(tables, "children_counted_twice")] == ["A and B"]
    apart = [r | {"control_group": r["study_id"]} for r in tables.rows["contrasts"]]
    assert len(found(dataclasses.replace(tables, rows=tables.rows | {"contrasts": apart}), "standing_twice")) == 1


def test_recovery_of_a_trial_entered_twice(tmp_path):
    findings = audit(own(tmp_path, {"Sun 2017": TRIALS["A"], "Sun et al. (2017)": TRIALS["A"], "B": TRIALS["B"]}))
    assert {(f.check, f.study) for f in findings} == {
        *(("standing_twice", "Sun 2017 and Sun et al. (2017)"), ("two_spellings", "Sun 2017 and Sun et al. (2017)")),
    }
    twice = next(f for f in findings if f.check == "standing_twice")
    assert twice.rows == (2, 3, 4, 5)
    assert twice.expected == "one trial under one name"
    assert "2 times its weight" in twice.effect


def test_recovery_of_a_trial_entered_three_times_without_outcomes(tmp_path):
    rows = [{"study": s, "arm_a": "x", "arm_b": "c", "md100": 2.13, "md100_se": 1.37} for s in ("P1", "Q2", "R3")]
    (finding,) = found(read_tables(small_folder(tmp_path, rows)), "standing_twice")
    assert (finding.study, finding.table, finding.rows) == ("P1, Q2 and R3", "contrasts", (2, 3, 4))
    assert "effect 2.13, standard error 1.37" in finding.printed
    assert "3 times its weight" in finding.effect


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Sun 2017", "Sun et al. (2017)"),
        ("Sun2017", "sun 2017"),
        ("Sun_2017", "Sun-2017"),
        ("Nguy\u1ec5n2017", "Nguyen 2017"),
        ("Zarrabi 2022", "Zarabi 2022"),
    ],
)
def test_recovery_of_two_spellings(tmp_path, a, b):
    (finding,) = audit(own(tmp_path, {a: TRIALS["A"], b: TRIALS["B"]}))
    assert finding.check == "two_spellings"
    assert repr(a) in finding.printed
    assert repr(b) in finding.printed


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Sun 2017", "Sun 2022"),
        ("Min 2013", "Lin 2013"),
        ("Wang2013", "Wang2013BM"),
        ("Liu 2017 (MSC)", "Liu 2017 (MNC)"),
        ("One", "Ones"),
        ("RegNCT01929434", "RegNCT01929435"),
    ],
)
def test_names_of_two_studies_are_let_pass(tmp_path, a, b):
    assert audit(own(tmp_path, {a: TRIALS["A"], b: TRIALS["B"]})) == []


def test_recovery_of_two_spellings_of_an_arm(tmp_path):
    """One arm at two months under two names: as two arms its children would be selected side by side."""
    path = tmp_path / "own.csv"
    rows = ["A,cells,5e7 cells/kg,30,4,6,6", "A,Cells,5e7 cells/kg,30,5,6.5,12", "A,c,0,30,2,6,6", "A,c,0,30,3,6.5,12"]
    path.write_text(HEADER + "\n".join(rows), encoding="utf-8")
    (finding,) = found(read_tables(path), "two_spellings")
    assert (finding.study, finding.table, finding.printed) == ("A", "arms", "'Cells' and 'cells'")


# figures far from all others


def test_recovery_of_doses_far_from_all_others(tmp_path):
    path = tmp_path / "own.csv"
    doses = {"A": "5460 cells/kg", "B": "1500 cells/kg", "C": "5e10 cells/kg", "D": "5e7 cells/kg", "E": "3e4 cells/kg"}
    lines = [
        f"{s},{arm},{dose},{n},{mean},{sd},12"
        for s, ours in doses.items()
        for (n, mean, sd), arm, dose in zip(TRIALS[s], ("cells", "ctrl"), (ours, "0"), strict=True)
    ]
    path.write_text(HEADER + "\n".join(lines), encoding="utf-8")
    findings = audit(read_tables(path))
    assert {f.check for f in findings} == {"implausible_figure"}
    assert [f.study for f in findings] == ["A", "B", "C"]
    assert "5460 cells/kg" in findings[0].printed
    assert "a thousands mark" in findings[0].expected
    assert f"{math.log10(2.7e5 / 1500):.1f} decades below" in findings[1].effect  # Wang 2015: the lowest of all
    assert "decades above" in findings[2].effect


@pytest.mark.parametrize(
    ("n", "said"),
    [
        (2, "in 95 % between 0.45 and 32 times what they show"),  # sqrt(1/5.0239) and sqrt(1/0.000982)
        (3, "in 95 % between 0.52 and 6.3 times what they show"),  # sqrt(2/7.3778) and sqrt(2/0.05064)
        (2000, "43 times the weight of the largest arm"),  # of 46 children
    ],
)
@pytest.mark.parametrize("source", ["flat", "contrasts"])
def test_recovery_of_numbers_far_from_all_others(tmp_path, n, said, source):
    if source == "flat":
        tables = own(tmp_path, {"A": ((n, 5.1, 6.1), (30, 3.0, 5.7))})
    else:
        rows = [{"study": "A", "arm_a": "cells", "arm_b": "c", "md100": 2.1, "md100_se": 1.5, "n_a": n, "n_b": 30}]
        tables = read_tables(small_folder(tmp_path, rows))
    (finding,) = found(tables, "implausible_figure")
    assert (finding.study, finding.rows) == ("A", (2,))
    assert finding.printed.startswith(f"{n} children in cells")
    assert finding.expected.startswith("8 to 46 children")
    assert said in finding.effect


@pytest.mark.parametrize("n", [4, 8, 46, 460])
def test_plausible_numbers_are_let_pass(tmp_path, n):
    assert found(own(tmp_path, {"A": ((n, 5.1, 6.1), (30, 3.0, 5.7))}), "implausible_figure") == []


def test_clean_evidence_stays_clean(tmp_path):
    assert audit(read_tables(clean_evidence(tmp_path))) == []
