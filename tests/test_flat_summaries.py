"""What a flat file may print of an arm in place of mean, SD and n, and what its arms may be compared with."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from damage import trial
from scipy import stats

from gmfmsim.evidence.audit import audit
from gmfmsim.evidence.contrasts import Selection, one_reading, select_contrasts
from gmfmsim.evidence.read import read_tables
from gmfmsim.evidence.readings import read_contrasts
from gmfmsim.evidence.schema import TABLES, Tables
from gmfmsim.evidence.what_if import Supposed, with_supposed
from gmfmsim.faults import InputError
from gmfmsim.model.declare import ModelChoice, read_model
from gmfmsim.model.exact import fit_exact
from gmfmsim.question.question import read_question

NO_PLACE = {"file": None, "row": None}
CASES = Path(__file__).parent / "cases"
P_ONLY = """\
# only a p value and the means are printed; medians with quartiles in another
study,arm,dose,n,mean,sd,month,p,median,q1,q3
A,cells,5e7 cells/kg,30,5.1,,12,0.04,,,
A,ctrl,0,30,3.0,,12,,,,
B,cells,5e7 cells/kg,61,,,12,,20,12.5,38.8
B,ctrl,0,60,,,12,,15,9,25
"""
TWO = """\
study,arm,dose,n,mean,sd,month
A,cells,5e7 cells/kg,30,5.1,6.1,12
A,ctrl,0,30,3.0,5.7,12
B,cells,5e7 cells/kg,40,4.8,5.8,12
B,ctrl,0,38,3.6,6.2,12
"""


def read(folder: Path, text: str) -> Tables:
    path = folder / "own.csv"
    path.write_text(text, encoding="utf-8")
    return read_tables(path)


def told(folder: Path, text: str) -> list[tuple[str, str]]:
    with pytest.raises(InputError) as refusal:
        read(folder, text)
    return [(fault.where, fault.problem) for fault in refusal.value.faults]


def printed(name: str) -> list[dict[str, str]]:
    """Read a case with the csv module alone."""
    lines = (CASES / name).read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def moments(data, model: str, *names: str) -> np.ndarray:
    posterior = fit_exact(read_model(ModelChoice(name=model)), one_reading(data))
    return np.array([posterior.moments(name) for name in names])


# a mean with its standard error, and no n


@pytest.fixture(scope="module")
def gout():
    return read_tables(CASES / "gout.csv")


def test_known_contrasts_without_n(gout):
    rows = {(r["study"], r["arm"]): r for r in printed("gout.csv")}
    assert len(gout.rows["contrasts"]) == 6
    for row in gout.rows["contrasts"]:
        a, c = rows[row["study_id"], row["arm_a"]], rows[row["study_id"], "A300"]
        assert row["md100"] == pytest.approx(float(a["mean"]) - float(c["mean"]), abs=1e-12)
        assert row["md100_se"] == pytest.approx(math.hypot(float(a["se"]), float(c["se"])), rel=1e-14)
        assert row["control_se100"] == float(c["se"])
        assert [row[c] for c in ("n_a", "n_b", "hedges_g", "hedges_g_se")] == [None] * 4
    assert {(r["n"], r["sd"], r["sd_source"]) for r in gout.rows["outcomes"]} == {(None, None, "none")}
    assert {r["n"] for r in gout.rows["arms"]} == {None}
    data = select_contrasts(gout, Selection(default_use="primary"))
    assert np.isnan(data["small_study"]).all()
    assert np.isnan(data["n_active"]).all()


def test_reference_posteriors_without_n(gout):
    """By dense quadrature: mu 9.3173704 (2.7768047), tau 4.8944125; Emax 39.892 (5.9415), ED50 2.7434e8, tau 9.318."""
    data = select_contrasts(gout, Selection(default_use="primary"))
    (mu, mu_sd), (tau, _) = moments(data, "random_effects", "mu", "tau")
    assert [mu, mu_sd, tau] == pytest.approx([9.3173704, 2.7768047, 4.8944125], rel=1e-6)
    (emax, emax_sd), (ed50, _), (tau, _) = moments(data, "emax", "emax", "ed50", "tau")
    assert [emax, emax_sd, ed50, tau] == pytest.approx([39.892, 5.9415, 2.7434e8, 9.318], rel=2e-4)


def test_n_is_missing_only_beside_a_standard_error(tmp_path):
    head = "study,arm,dose,n,mean,sd,se,ci_low,ci_high\n"
    text = head + "A,cells,5e7 cells/kg,,5,6,,,\nA,more,6e7 cells/kg,,5,,,1,9\nA,none,0,,3,,1,,\n"
    faults = told(tmp_path, text)
    assert [where for where, _ in faults] == ["row 2, column n", "row 3, column n"]
    assert {problem for _, problem in faults} == {"is empty"}


def test_columns_of_n_and_sd_may_be_left_out_beside_se(tmp_path):
    rows = "A,cells,5e7 cells/kg,5,1\nA,none,0,3,0.5\n"
    (row,) = read(tmp_path, "study,arm,dose,mean,se\n" + rows).rows["contrasts"]
    assert row["md100_se"] == math.hypot(1, 0.5)
    faults = told(tmp_path, "study,arm,dose,mean,sd\n" + rows)
    assert faults == [("row 1", "column n is missing")]


# p in place of a spread; medians and quantiles in place of means and SDs


def test_known_standard_error_from_p(tmp_path):
    """|5.1 - 3.0| / t(0.98, 58 df) = 0.99954; times sqrt(15) the SD, 3.8712."""
    tables = read(tmp_path, P_ONLY)
    (row,) = tables.where("contrasts", study_id="A")
    assert row["md100_se"] == pytest.approx(0.99954, abs=5e-6)
    assert row["md100_se"] == pytest.approx(2.1 / stats.t.ppf(0.98, 58), rel=1e-12)
    assert (row["p"], row["p_qualifier"]) == (0.04, "=")
    assert "58 degrees of freedom" in row["notes"]
    outcomes = tables.where("outcomes", study_id="A")
    assert [r["sd"] for r in outcomes] == pytest.approx([3.8712] * 2, abs=5e-5)
    assert {r["sd_source"] for r in outcomes} == {"from_contrast_ci"}
    assert row["control_se100"] == pytest.approx(row["md100_se"] / math.sqrt(2), rel=1e-12)
    # g is J d, d = md / SD, with J of Hedges at 58 degrees of freedom
    assert row["hedges_g"] == pytest.approx((1 - 3 / (4 * 58 - 1)) * 2.1 / 3.87119, rel=1e-4)


def test_known_mean_and_sd_from_quartiles(tmp_path):
    """Wan et al. 2014 and Luo et al. 2018 for 12.5, 20, 38.8 of 61: 23.9911 (19.9690)."""
    tables = read(tmp_path, P_ONLY)
    cells, control = tables.where("outcomes", study_id="B")
    assert (cells["mean"], cells["sd"]) == pytest.approx((23.9911, 19.9690), abs=5e-5)
    assert {r["sd_source"] for r in (cells, control)} == {"from_range"}
    assert (cells["median"], cells["q1"], cells["q3"]) == (20, 12.5, 38.8)
    (row,) = tables.where("contrasts", study_id="B")
    assert row["measure"] == "MD_from_range"
    assert row["md100"] == cells["mean"] - control["mean"]
    assert row["md100_se"] == pytest.approx(math.hypot(cells["sd"] / math.sqrt(61), control["sd"] / math.sqrt(60)))


def test_known_quantiles_of_a_symmetric_arm(tmp_path):
    """Where minimum, quartiles and maximum lie evenly about the median, the mean is the median."""
    text = "study,arm,dose,n,median,min,q1,q3,max\nA,a,5e7 cells/kg,40,5,-5,2,8,15\nA,b,1e7 cells/kg,40,4,-6,,,14\n"
    a, b, c = read(tmp_path, text + "A,c,0,40,3,,0,6,\n").rows["outcomes"]
    assert [r["mean"] for r in (a, b, c)] == pytest.approx([5, 4, 3], abs=1e-12)
    assert [r["sd"] for r in (b, c)] == pytest.approx(
        [20 / (2 * stats.norm.ppf(39.625 / 40.25)), 6 / (2 * stats.norm.ppf(29.875 / 40.25))], rel=1e-12
    )
    assert min(b["sd"], c["sd"]) < a["sd"] < max(b["sd"], c["sd"])


@pytest.mark.parametrize("line", [3, 4], ids=["its own", "the control's"])
def test_a_spread_that_is_given_is_kept_beside_p(tmp_path, line):
    lines = P_ONLY.splitlines()
    lines[line - 1] = lines[line - 1].replace(",,12", ",3,12")
    tables = read(tmp_path, "\n".join(lines[:4]) + "\n")
    (row,) = tables.rows["contrasts"]
    assert row["md100_se"] == pytest.approx(0.99954, abs=5e-6)
    given, other = (3, 4) if line == 3 else (4, 3)
    sds = {r["row"]: (r["sd"], r["sd_source"]) for r in tables.rows["outcomes"]}
    assert sds[given] == (3, "reported")
    assert sds[other] == (pytest.approx(3.8712, abs=5e-5), "from_contrast_ci")


def test_p_beside_both_spreads_changes_nothing_but_itself(tmp_path):
    with_p = TWO.replace("month\n", "month,p\n").replace("A,cells,5e7 cells/kg,30,5.1,6.1,12\n", "{}")
    with_p = with_p.replace(",12\n", ",12,\n").format("A,cells,5e7 cells/kg,30,5.1,6.1,12,0.17\n")
    first, second = (read(tmp_path, text).rows["contrasts"] for text in (TWO, with_p))
    assert [row["p"] for row in second] == [0.17, None]
    assert [row | {"p": None, "p_qualifier": None} for row in second] == first


def test_arms_that_share_a_control_with_p_alone_can_be_analysed(tmp_path):
    text = "study,arm,dose,n,mean,p\nA,a,5e7 cells/kg,30,5,0.04\nA,b,1e7 cells/kg,20,6,0.01\nA,c,0,25,3,\n"
    tables = read(tmp_path, text)
    data = select_contrasts(tables, Selection(default_use="primary"))
    assert data["se"].values == pytest.approx([2 / stats.t.ppf(0.98, 53), 3 / stats.t.ppf(0.995, 43)], rel=1e-12)
    assert np.linalg.eigvalsh(data["covariance"].values).min() > 0
    sds = [row["sd"] for row in tables.rows["outcomes"]]
    assert min(sds[:2]) < sds[2] < max(sds[:2])  # the control's SD is pooled over both comparisons


@pytest.mark.parametrize(
    ("rows", "where", "problem"),
    [
        ("A,a,5e7 cells/kg,30,5,,0.04\nA,c,0,30,3,,0.04\n", "row 3, column p", "the others are compared with"),
        ("A,a,5e7 cells/kg,30,5,,1\nA,c,0,30,3,,\n", "row 2, column p", "gives no standard error"),
        ("A,a,5e7 cells/kg,30,3,,0.04\nA,c,0,30,3,,\n", "row 2, column p", "gives no standard error"),
        ("A,a,5e7 cells/kg,30,5,,0\nA,c,0,30,3,,\n", "row 2, column p", "out of range"),
        ("A,a,5e7 cells/kg,30,5,,<0.05\nA,c,0,30,3,1,\n", "row 2, column p", "it is a bound"),
        ("A,a,5e7 cells/kg,30,5,,1e-250\nA,c,0,30,3,,\n", "row 2, column p", "gives no standard error"),
        ("A,a,5e7 cells/kg,30,5,,0.999\nA,c,0,30,3,,\n", "row 2, column p", "gives an SD of"),
        ("A,a,5e7 cells/kg,30,5,,0.04\nA,c,0,30,3,30,\n", "row 2, column p", "and the control alone has"),
        ("A,a,5e7 cells/kg,30,5,,0.04\nA,b,6e7 cells/kg,9,5,,\nA,c,0,9,3,1,\n", "row 3, column sd", "no spread"),
    ],
)
def test_a_p_that_cannot_be_right_is_told(tmp_path, rows, where, problem):
    ((found, words),) = told(tmp_path, "study,arm,dose,n,mean,sd,p\n" + rows)
    assert found == where
    assert problem in words


@pytest.mark.parametrize(
    ("row", "where", "problem"),
    [
        ("30,5,3,9,,", "row 2, column q1", "q1 9 is above median 5"),
        ("30,5,,9,,", "row 2, column mean", "is empty"),
        (",5,3,9,,", "row 2, column n", "is empty"),
        ("30,,3,9,,", "row 2, column mean", "is empty"),
        ("30,5,,,9,12", "row 2, column min", "min 9 is above median 5"),
    ],
)
def test_quantiles_that_say_no_mean_are_told(tmp_path, row, where, problem):
    n, median, low, high, smallest, largest = row.split(",")
    if where.endswith("q1"):
        low, high = high, "12"
    text = "study,arm,dose,n,median,q1,q3,min,max\n"
    text += f"A,a,5e7 cells/kg,{n},{median},{low},{high},{smallest},{largest}\nA,c,0,30,5,3,9,,\n"
    ((found, words),) = told(tmp_path, text)
    assert (found, words) == (where, problem)


def test_the_tables_of_such_files_pass_as_a_folder_and_the_audit(tmp_path):
    """Written out, the tables meet every rule of the folder reader; no figure contradicts another."""
    lines = P_ONLY + "C,low,1e7 cells/kg,20,3,4,12,,,,\nC,high,3e7 cells/kg,20,5,4,12,,,,\n"
    tables = read(tmp_path, lines)
    folder = tmp_path / "tables"
    folder.mkdir()
    for name, rows in tables.rows.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(TABLES[name].columns), extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
    again = read_tables(folder)
    for name, rows in tables.rows.items():
        assert [row | NO_PLACE for row in again.rows[name]] == [row | NO_PLACE for row in rows]
    assert [finding for finding in audit(tables) if finding.severity == "error"] == []


# dose against dose


@pytest.fixture(scope="module")
def alogliptin():
    return read_tables(CASES / "alogliptin.csv")


def test_known_contrasts_of_trials_without_control(alogliptin):
    rows = {(r["study"], r["arm"]): r for r in printed("alogliptin.csv")}
    found = alogliptin.where("contrasts", study_id="NCT01263496")
    assert [(r["arm_a"], r["arm_b"]) for r in found] == [(arm, "d6.25") for arm in ("d12.5", "d25", "d50")]
    for row in found:
        a, c = rows[row["study_id"], row["arm_a"]], rows[row["study_id"], "d6.25"]
        assert row["md100"] == pytest.approx(float(a["mean"]) - float(c["mean"]), abs=1e-12)
        assert row["md100_se"] == pytest.approx(math.hypot(float(a["se"]), float(c["se"])), rel=1e-12)
        assert row["control_se100"] == pytest.approx(float(c["se"]), rel=1e-12)
        assert row["control_group"] == "NCT01263496:d6.25"
    arms = alogliptin.where("arms", study_id="NCT01263496")
    assert {arm["role"] for arm in arms} == {"active"}
    data = select_contrasts(alogliptin, Selection(default_use="primary"))
    against = data.sel(contrast=data["control_dose"] > 0)
    assert {*against["study"].values.tolist()} == {"NCT01263496", "NCT01318122", "NCT01263509"}
    assert set(against["control_dose"].values) == {6.25e6, 1.25e7}


def test_reference_emax_of_trials_with_and_without_control(alogliptin):
    """By dense quadrature: emax 8.07363 (0.72694), ED50 3.53349e6 (7.7626e5), tau 2.1482 (0.5357)."""
    data = select_contrasts(alogliptin, Selection(default_use="primary"))
    found = moments(data, "emax", "emax", "ed50", "tau")
    expected = [[8.07363, 0.72694], [3.53349e6, 7.7626e5], [2.1482, 0.5357]]
    np.testing.assert_allclose(found, expected, rtol=2e-4)


def test_the_lowest_dose_is_the_lowest_per_kg(tmp_path):
    """2e8 cells in 40 kg are 5e6 cells/kg, below 1e7."""
    text = "study,arm,dose,n,mean,sd,weight_kg\nA,a,1e7 cells/kg,30,5,6,\nA,b,2e8 cells,30,4,6,40\n"
    (row,) = read(tmp_path, text).rows["contrasts"]
    assert (row["arm_a"], row["arm_b"], row["md100"]) == ("a", "b", 1)
    assert "Dose against dose" in row["notes"]


def test_the_control_is_chosen_at_each_month(tmp_path):
    text = "study,arm,dose,n,mean,sd,month\n"
    text += "A,low,1e7 cells/kg,9,4,6,6\nA,high,2e7 cells/kg,9,5,6,6\n"
    text += "A,low,1e7 cells/kg,9,6,6,12\nA,high,2e7 cells/kg,9,8,6,12\nA,none,0,9,3,6,12\n"
    rows = read(tmp_path, text).rows["contrasts"]
    found = [(r["month"], r["arm_a"], r["arm_b"], r["md100"]) for r in rows]
    assert found == [(6, "high", "low", 1), (12, "low", "none", 3), (12, "high", "none", 5)]


@pytest.mark.parametrize(
    ("doses", "problem"),
    [
        (("1e7 cells/kg", "1e7 cells/kg", "2e7 cells/kg"), "3 with cells, the lowest dose in more than one of them"),
        (("unknown", "", "unknown"), "3 with cells, 3 of them of unknown dose"),
        # perhaps a control whose 0 is missing: compared with the lowest dose, its sign would be the wrong one
        (("1e7 cells/kg", "2e7 cells/kg", ""), "3 with cells, 1 of them of unknown dose"),
    ],
)
def test_arms_without_one_lowest_dose_are_told(tmp_path, doses, problem):
    rows = "".join(f"A,{arm},{dose},30,5,6\n" for arm, dose in zip("abc", doses, strict=True))
    ((where, words),) = told(tmp_path, "study,arm,dose,n,mean,sd\n" + rows)
    assert where == "rows 2, 3, 4"
    assert words.endswith(problem)


# spreads at the edge


def test_an_sd_of_nothing_is_refused_by_its_row(tmp_path):
    text = "study,arm,dose,n,mean,sd\nAlpha 2004,cells,5e7 cells/kg,3,2,0\nAlpha 2004,ctrl,0,3,2,1\n"
    text += "Beta 2010,cells,5e7 cells/kg,20,5,6\nBeta 2010,ctrl,0,20,3,6\n"
    assert told(tmp_path, text) == [("row 2, column sd", "'0' is out of range")]


def test_reference_posterior_of_tiny_sds(tmp_path):
    """Two effects known to 4e-6 and one to 1.9: mu 2.4220348 (0.9127738), tau 1.2355147."""
    text = "study,arm,dose,n,mean,sd,month\nA,cells,5e7 cells/kg,100000,2.0,0.001,12\nA,ctrl,0,100000,0.0,0.001,12\n"
    text += "B,cells,5e7 cells/kg,100000,3.0,0.001,12\nB,ctrl,0,100000,0.0,0.001,12\n"
    text += "C,cells,5e7 cells/kg,20,5,6,12\nC,ctrl,0,20,3,6,12\n"
    data = select_contrasts(read(tmp_path, text), Selection(default_use="primary"))
    (mu, mu_sd), (tau, _) = moments(data, "random_effects", "mu", "tau")
    assert [mu, mu_sd, tau] == pytest.approx([2.4220348, 0.9127738, 1.2355147], rel=1e-6)


# trials without results


def test_a_study_without_results_is_told_with_what_to_do(tmp_path):
    text = TWO + "RegTrial,cells,5e7 cells/kg,150,,,12\nRegTrial,ctrl,0,150,,,12\n"
    with pytest.raises(InputError) as refusal:
        read(tmp_path, text)
    (fault,) = refusal.value.faults
    assert (fault.where, fault.problem) == ("rows 6, 7", "RegTrial has no results")
    assert "what_if" in fault.allowed


SUPPOSED = Supposed(study="RegTrial", effect=0, n_active=150, n_control=150, sd=5.5)


def test_known_a_supposed_trial_that_a_flat_file_does_not_have(tmp_path):
    tables = read(tmp_path, TWO)
    data = select_contrasts(tables, Selection(default_use="primary"))
    joined = with_supposed(data, tables, [SUPPOSED])
    assert joined["supposed"].values.tolist() == [False, False, True]
    last = joined.isel(contrast=2)
    assert (float(last["effect"]), float(last["se"])) == (0, pytest.approx(5.5 * math.sqrt(2 / 150), rel=1e-14))
    assert (float(last["age"]), float(last["age_sd"])) == (5.0, 2.0)  # not told: as in other studies
    assert (str(last["citation"].values), str(last["country"].values)) == ("RegTrial", "")
    np.testing.assert_array_equal(joined["covariance"].values[:2, :2], data["covariance"].values)


def test_an_experiment_on_a_flat_file_may_suppose_a_trial(tmp_path):
    read(tmp_path, TWO)
    path = trial(tmp_path, {"evidence.tables": "own.csv", "evidence.what_if": [SUPPOSED.model_dump(exclude_none=True)]})
    (prepared,) = read_question(str(path)).plans
    assert prepared.contrasts["study"].values.tolist() == ["A", "B", "RegTrial"]


@pytest.mark.parametrize(
    ("study", "problem"),
    [("A", "A has a result already"), ("A\u200b", "differs in characters without width")],
)
def test_a_supposed_result_of_a_study_with_results_is_refused(tmp_path, study, problem):
    tables = read(tmp_path, TWO)
    data = select_contrasts(tables, Selection(default_use="primary"))
    with pytest.raises(InputError, match=problem):
        with_supposed(data, tables, [SUPPOSED.model_copy(update={"study": study})])
    with pytest.raises(InputError, match="RegTrial has a result already"):
        with_supposed(data, tables, [SUPPOSED, SUPPOSED])


# scores at two visits


VISITS = "study,arm,dose,n,baseline_mean,baseline_sd,final_mean,final_sd,month\n"
BEFORE_AND_AFTER = (
    VISITS + "A,cells,5e7 cells/kg,30,45,20,53,21,12\nA,ctrl,0,30,46,19,50,20,12\n"
    "B,cells,5e7 cells/kg,30,46,20,54,21,12\nB,ctrl,0,30,47,19,51,20,12\n"
)


def test_known_effect_of_scores_at_two_visits(tmp_path):
    """Effect 4, SDs of change 9.220 and 8.775 at r = 0.9, se 2.324; r is not known: its z has an SD of 0.4."""
    tables = read(tmp_path, BEFORE_AND_AFTER)
    data = read_contrasts(select_contrasts(tables, Selection(default_use="primary")), tables, "average")
    assert data["effect"].values.ravel().tolist() == [4, 4]
    assert data["se"].values.ravel() == pytest.approx([2.324] * 2, abs=5e-4)

    def se(r: float) -> float:
        sds = (math.sqrt(b**2 + f**2 - 2 * r * b * f) for b, f in ((20, 21), (19, 20)))
        return math.sqrt(sum(sd**2 for sd in sds) / 30)

    assert data["se"].values.ravel() == pytest.approx([se(0.9)] * 2, rel=1e-12)
    wide, narrow = (se(math.tanh(math.atanh(0.9) + shift)) for shift in (-0.4, 0.4))
    assert data["log_se_sd"].values.ravel() == pytest.approx([math.log(wide / narrow) / 2] * 2, rel=1e-12)
    assert data["suspect"].values.tolist() == ["A", "B"]
    (row,) = tables.where("contrasts", study_id="A")
    assert [row[c] for c in ("md100", "md100_se", "control_se100", "ci_low")] == [4, None, None, None]
    with pytest.raises(InputError, match=r"rows 2, 4 of own\.csv: no md100_se as tabled"):
        read_contrasts(select_contrasts(tables, Selection()), tables, "as_tabled")


def test_scores_at_two_visits_pass_as_a_folder_and_the_audit(tmp_path):
    tables = read(tmp_path, BEFORE_AND_AFTER)
    folder = tmp_path / "tables"
    folder.mkdir()
    for name, rows in tables.rows.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(TABLES[name].columns), extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
    again = read_tables(folder)
    for name, rows in tables.rows.items():
        assert [row | NO_PLACE for row in again.rows[name]] == [row | NO_PLACE for row in rows]
    assert [f for f in audit(tables) if f.severity == "error"] == []


def test_arms_that_share_a_control_with_scores_at_two_visits_can_be_analysed(tmp_path):
    text = BEFORE_AND_AFTER + "A,more,9e7 cells/kg,20,44,18,54,19,12\n"
    tables = read(tmp_path, text)
    data = read_contrasts(select_contrasts(tables, Selection(study="A")), tables, "average")
    assert data["effect"].values.ravel().tolist() == [4, 6]
    (covariance,) = data["covariance"].values
    assert covariance[0, 1] == pytest.approx((19**2 + 20**2 - 2 * 0.9 * 19 * 20) / 30, rel=1e-12)
    assert np.linalg.eigvalsh(covariance).min() > 0


def test_an_sd_of_change_counts_before_scores_at_two_visits(tmp_path):
    text = VISITS.replace("month", "month,mean,sd") + BEFORE_AND_AFTER.removeprefix(VISITS).replace(",12\n", ",12,{}\n")
    (row, _) = read(tmp_path, text.format("8,6", "4,5", "8,6", "4,5")).rows["contrasts"]
    assert (row["md100"], row["md100_se"]) == (4, pytest.approx(math.sqrt((36 + 25) / 30), rel=1e-12))


def test_baselines_at_several_months_stand_once(tmp_path):
    text = VISITS + "".join(
        f"A,cells,5e7 cells/kg,30,45,20,{53 + m},21,{m}\nA,ctrl,0,30,46,19,{50 + m},20,{m}\n" for m in (6, 12)
    )
    tables = read(tmp_path, text)
    kinds = [(r["arm_id"], r["kind"], r["month"]) for r in tables.rows["outcomes"] if r["kind"] != "change"]
    assert len(kinds) == len(set(kinds)) == 6
    for month in (6, 12):
        data = read_contrasts(select_contrasts(tables, Selection(month=month)), tables, "average")
        assert data["effect"].values.item() == 4


@pytest.mark.parametrize(
    ("change", "where", "problem"),
    [
        (("53,21,12", "53,,12"), "row 2, column sd", "no spread is given"),
        (("A,ctrl,0,30,46,19", "A,ctrl,0,30,46,"), "row 3, column sd", "no spread is given"),
        (("50,20,12", ",20,12"), "row 3, column mean", "is empty"),
        (("45,20", "145,20"), "row 2, column baseline_mean", "is out of range"),
        (("A,ctrl,0,30", "A,ctrl,0,"), "row 3, column n", "is empty"),
    ],
)
def test_scores_that_do_not_make_a_change_are_told(tmp_path, change, where, problem):
    ((found, words),) = told(tmp_path, BEFORE_AND_AFTER.replace(*change, 1))
    assert found == where
    assert problem in words


def test_scores_without_month_or_with_two_baselines_are_told(tmp_path):
    lines = [line.rpartition(",")[0] for line in BEFORE_AND_AFTER.splitlines()[:3]]
    assert told(tmp_path, "\n".join(lines)) == [("row 2, column month", "is not known")]
    text = BEFORE_AND_AFTER + "A,cells,5e7 cells/kg,30,44,20,53,21,24\nA,ctrl,0,30,46,19,50,20,24\n"
    ((where, words),) = told(tmp_path, text)
    assert (where, "another than in row 2" in words) == ("row 6, column baseline_mean", True)


def test_arms_of_one_control_that_differ_in_what_is_known_are_told(tmp_path):
    head = "study,arm,dose,n,mean,sd,baseline_mean,baseline_sd,final_mean,final_sd,month\n"
    text = head + "A,a,5e7 cells/kg,30,5,6,45,20,50,21,12\nA,b,6e7 cells/kg,30,,,45,20,53,21,12\n"
    ((where, words),) = told(tmp_path, text + "A,c,0,30,3,6,46,19,50,20,12\n")
    assert where == "rows 2, 3, 4"
    assert "others baseline and final scores alone" in words


# a difference as it is printed; t


def test_known_standard_error_from_t(tmp_path):
    """2.1 / 2.1 = 1; its sign says nothing."""
    for t in ("2.1", "-2.1"):
        text = f"study,arm,dose,n,mean,t\nA,cells,5e7 cells/kg,30,5.1,{t}\nA,ctrl,0,30,3.0,\n"
        tables = read(tmp_path, text)
        (row,) = tables.rows["contrasts"]
        assert row["md100_se"] == pytest.approx(1, rel=1e-12)
        assert [r["sd"] for r in tables.rows["outcomes"]] == pytest.approx([math.sqrt(15)] * 2, rel=1e-12)
        assert row["notes"] == "Standard error from the printed t."
    both = f"study,arm,dose,n,mean,p,t\nA,cells,5e7 cells/kg,30,5.1,0.04,{t}\nA,ctrl,0,30,3.0,,\n"
    assert read(tmp_path, both).rows["contrasts"][0]["md100_se"] == pytest.approx(1, rel=1e-12)


PRINTED = "study,arm,dose,n,difference,difference_se,difference_low,difference_high,p\n"


@pytest.mark.parametrize(
    ("cells", "se"),
    [
        ("30,2.5,1.25,,,", 1.25),
        ("30,2.5,,0.3,4.7,", 2.2 / stats.t.ppf(0.975, 58)),
        ("30,2.5,,,,0.04", 2.5 / stats.t.ppf(0.98, 58)),
        (",2.5,1.25,,,", 1.25),
        (",2.5,,0.3,4.7,", 2.2 / stats.norm.ppf(0.975)),
    ],
    ids=["se", "interval", "p", "se without n", "interval without n"],
)
def test_known_difference_as_printed(tmp_path, cells, se):
    tables = read(tmp_path, PRINTED + f"A,cells,5e7 cells/kg,{cells}\nA,ctrl,0,30,,,,,\n")
    (row,) = tables.rows["contrasts"]
    assert (row["md100"], row["measure"], row["verified"]) == (2.5, "MD_printed", "table")
    assert row["md100_se"] == pytest.approx(se, rel=1e-12)
    if cells[0] != ",":
        assert row["control_se100"] == pytest.approx(se / math.sqrt(2), rel=1e-12)
    data = select_contrasts(tables, Selection(default_use="primary"))
    assert data["se"].values.item() == pytest.approx(se, rel=1e-12)
    assert [f for f in audit(tables) if f.severity == "error"] == []


def test_a_printed_difference_goes_before_the_arms(tmp_path):
    """An adjusted difference: another estimate, and less error than the control alone has."""
    head = "study,arm,dose,n,mean,sd,difference,difference_se\n"
    tables = read(tmp_path, head + "A,cells,5e7 cells/kg,30,5.1,6.1,2.5,0.8\nA,ctrl,0,30,3.0,5.7,,\n")
    (row,) = tables.rows["contrasts"]
    assert (row["md100"], row["md100_se"]) == (2.5, 0.8)
    assert row["control_se100"] == pytest.approx(0.8 / math.sqrt(2), rel=1e-12)
    assert [r["mean"] for r in tables.rows["outcomes"]] == [5.1, 3.0]


@pytest.mark.parametrize(
    ("rows", "where", "problem"),
    [
        ("A,a,5e7 cells/kg,30,2.5,,,,\nA,c,0,30,,,,,\n", "row 2, column difference", "no spread is given"),
        ("A,a,5e7 cells/kg,30,2.5,1,,,\nA,c,0,30,1,1,,,\n", "row 3, column difference", "difference in the row"),
        ("A,a,5e7 cells/kg,30,5.5,,0.3,4.7,\nA,c,0,30,,,,,\n", "row 2, column difference", "is above difference_high"),
        ("A,a,5e7 cells/kg,30,2.5,90,,,\nA,c,0,30,,,,,\n", "row 2, column difference_se", "gives an SD of"),
        (
            "A,a,5e7 cells/kg,30,2.5,1,,,\nA,b,6e7 cells/kg,30,,,,,\nA,c,0,30,,,,,\n",
            "row 3, column mean",
            "is empty",
        ),
    ],
)
def test_a_difference_that_cannot_be_taken_is_told(tmp_path, rows, where, problem):
    found = told(tmp_path, PRINTED + rows)
    assert found[0][0] == where
    assert problem in found[0][1]
