"""Covariates of the contrasts, and several months of the same children."""

import math

import numpy as np
import pytest
from damage import trial
from hypothesis import given
from hypothesis import strategies as st

from gmfmsim.evidence.contrasts import Selection, contrast_covariance, contrasts_from_arrays, select_contrasts
from gmfmsim.evidence.covariates import IN_WORDS, LEVELS, mean_gmfcs, small_study
from gmfmsim.evidence.read import read_tables
from gmfmsim.evidence.readings import read_contrasts
from gmfmsim.evidence.what_if import Supposed, with_supposed
from gmfmsim.faults import InputError
from gmfmsim.model.terms import TERMS, covariate
from gmfmsim.question.question import read_question


@pytest.fixture(scope="module")
def tables():
    return read_tables()


@pytest.fixture(scope="module")
def primary(tables):
    return select_contrasts(tables, Selection(default_use="primary"))


def of_arm(data, name: str) -> dict:
    keys = [f"{study} {arm}" for study, arm in zip(data["study"].values, data["arm"].values, strict=True)]
    return dict(zip(keys, data[name].values.tolist(), strict=True))


# GMFCS levels


@pytest.mark.parametrize(
    ("text", "mean"),
    [
        ("I 17, II 24, III 8, IV 14", (17 + 2 * 24 + 3 * 8 + 4 * 14) / 63),
        ("IV: 3; II: 1", 14 / 4),
        ("V 5", 5),
        ("I 0, V 2", 5),
        ("A 1/2/5/6/8, B 2/2/5/3/12, C 1/6/3/7/3, D 0/1/5/10/6 (I/II/III/IV/V)", 329 / 88),
        ("3/1 (II/IV)", 10 / 4),
    ],
)
def test_known_mean_levels(text, mean):
    assert mean_gmfcs(text) == pytest.approx(mean, rel=1e-14)


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", "I-IV", "I-IV by eligibility", "any", "severe", "severe (title); I-V (review)", "non-severe"),
        *("V 62.5% at baseline", "52% moderate to severe", "spastic", "I-II 10, III 5", "I 17, II", "I 3, I 4"),
        *("VI 4", "I 0, II 0", "V 10 of 16", "I 17, II 24, others 3", "1/2/3 (I/II)", "1/2, 3/4/5 (I/II)", "1/2"),
        *("I -3, II 4", "I 1.5"),
    ],
)
def test_what_is_no_count_has_no_mean_level(text):
    assert math.isnan(mean_gmfcs(text))


@given(st.dictionaries(st.sampled_from(LEVELS), st.integers(0, 500), min_size=1).filter(lambda n: sum(n.values())))
def test_a_written_count_is_read_back(counts):
    expected = np.average([LEVELS.index(level) + 1 for level in counts], weights=list(counts.values()))
    assert mean_gmfcs(", ".join(f"{level} {n}" for level, n in counts.items())) == pytest.approx(expected, rel=1e-12)
    by_arm = "/".join(map(str, counts.values())) + f" ({'/'.join(counts)})"
    if len(counts) > 1:
        assert mean_gmfcs(by_arm) == pytest.approx(expected, rel=1e-12)


def test_two_shipped_studies_count_their_levels(tables):
    counted = [s["study_id"] for s in tables.rows["studies"] if not math.isnan(mean_gmfcs(s["gmfcs"]))]
    assert counted == ["Sun2017", "Min2020"]


# the covariates of contrasts


def test_known_small_study_term():
    assert small_study(4, 4) == pytest.approx(math.sqrt(0.5), rel=1e-14)
    np.testing.assert_allclose(
        small_study([31, 18, np.nan, 0], [31, 9, 5, 5])[:2], [math.sqrt(2 / 31), math.sqrt(1 / 6)]
    )
    assert np.isnan(small_study([np.nan, 0, 5], [5, 5, 0])).all()


def test_covariates_are_what_the_tables_print(primary, tables):
    known = {name: {k for k, sd in of_arm(primary, f"{name}_sd").items() if sd == 0} for name in ("age", "gmfcs")}
    printed = {k.split()[0]: age for k, age in of_arm(primary, "age").items() if k in known["age"]}
    assert printed == {"Huang2018": 7.4, "Min2013": 3.94, "Gu2020": 4.29}
    assert known["gmfcs"] == {"Sun2017 ucb_high16", "Sun2017 ucb_low16"}
    assert primary["randomised"].dtype == bool
    assert primary["randomised"].all()
    assert of_arm(primary, "country")["Zarrabi2022 ucb_mnc"] == "Iran"
    assert of_arm(primary, "log10_dose_sd")["Min2013 pucb"] == 0.131
    several = {k.split()[0]: n for k, n in of_arm(primary, "infusions").items() if n > 1}
    assert several == {"Sun2022": 3, "Huang2018": 4, "Gu2020": 4, "Liu2017": 4}
    assert of_arm(primary, "route")["Kang2015 ucb"] == "IV/IA"
    assert of_arm(primary, "cell_class")["Sun2022 hct_msc"] == "MSC"
    n = primary[["n_active", "n_control"]]
    # hct_msc 28 against 31
    assert of_arm(primary, "small_study")["Sun2022 hct_msc"] == pytest.approx(math.sqrt(1 / 28 + 1 / 31), rel=1e-14)
    np.testing.assert_allclose(primary["small_study"] ** 2, 1 / n["n_active"] + 1 / n["n_control"], rtol=1e-14)


def test_own_evidence_without_these_columns_has_none_of_them(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("study,arm,dose,n,mean,sd\nOne,cells,1e7 cells/kg,25,5,6\nOne,none,0,16,1,6\n", encoding="utf-8")
    data = select_contrasts(read_tables(path), Selection(study="One"))
    assert (data["age"].item(), data["age_sd"].item(), data["age_told"].item()) == (5.0, 2.0, "other studies")
    assert (data["gmfcs"].item(), data["gmfcs_sd"].item()) == (3.0, 0.8)
    assert (data["country"].item(), data["randomised"].item()) == ("", False)
    assert data["small_study"].item() == pytest.approx(math.sqrt(1 / 25 + 1 / 16), rel=1e-14)


def test_a_supposed_trial_has_the_covariates_of_its_registration(primary, tables):
    study = next(s for s in tables.rows["studies"] if s["study_id"] == "Min2020")
    one = Supposed(study="Min2020", effect=0, n_active=22, n_control=22, sd=8)
    data = with_supposed(primary, tables, [one])
    last = data.isel(contrast=-1)
    assert last["country"].item() == study["country"] == "South Korea"
    assert last["age"].item() == study["age_mean_y"] == 3.05
    assert last["gmfcs"].item() == pytest.approx(329 / 88, rel=1e-14)
    assert last["small_study"].item() == pytest.approx(math.sqrt(1 / 11), rel=1e-14)
    assert data["randomised"].dtype == bool
    assert np.isnan(last["log10_dose_sd"].item())
    assert data["age"].values[:-1] == pytest.approx(primary["age"].values, nan_ok=True)


def test_covariates_of_arrays():
    given_ = {"age": [3.0, math.nan], "country": ["Iran", ""], "randomised": [True, False]}
    data = contrasts_from_arrays([1, 2], [4, 9], covariates=given_)
    assert data["age"].dims == data["country"].dims == data["randomised"].dims == ("contrast",)
    assert data["randomised"].values.tolist() == [True, False]
    assert data["country"].values.tolist() == ["Iran", ""]


@pytest.mark.parametrize(
    ("covariates", "reason"),
    [
        ({"age": [1.0]}, r"covariate 'age' has shape \(1,\)"),
        ({"age": 1.0}, r"shape \(\)"),
        ({"age": [1.0, None]}, "dtype object"),
        ({"se": [1.0, 2.0]}, "covariate 'se': there is a variable of this name"),
        ({"contrast": [1.0, 2.0]}, "covariate 'contrast'"),
    ],
)
def test_an_impossible_covariate_is_refused(covariates, reason):
    with pytest.raises(ValueError, match=reason):
        contrasts_from_arrays([1, 2], [4, 9], covariates=covariates)


# several months of the same children


def by_lag(data, rho):
    """Correlations of errors at months 1, 3, 6, 12, in any order: rho a doubling."""
    return [[rho ** abs(math.log2(t / s)) for s in data["month"].values] for t in data["month"].values]


def test_known_covariance_of_four_months_of_one_arm(tables):
    data = select_contrasts(tables, Selection(study="Gu2020"), month_correlation=0.7)
    se = data["se"].values
    assert sorted(data["month"].values) == [1, 3, 6, 12]
    np.testing.assert_allclose(data["covariance"], np.outer(se, se) * by_lag(data, 0.7), rtol=1e-14)


def test_known_covariance_of_two_arms_and_one_control_at_two_months(tables):
    """Liu2017: contrasts M(A6, A12, B6, B12, C6, C12) of errors that correlate by rho between an arm's two months.

    In each arm the control's share of the error is the same at both months, up to the four decimals of the figures:
    then rho se se' is what the errors of the arms give.
    """
    data = select_contrasts(tables, Selection(study="Liu2017"), month_correlation=0.6)
    order = [data["row"].values.tolist().index(row) for row in (77, 75, 78, 76)]  # mnc 6, 12, msc 6, 12
    data = data.isel(contrast=order, contrast_=order)
    se, control = data["se"].values, data["control_se"].values
    active = np.sqrt(se**2 - control**2)
    errors = np.concatenate([active, control[:2]])
    visits = np.kron(np.eye(3), [[1, 0.6], [0.6, 1]]) * np.outer(errors, errors)
    contrast = np.hstack([np.eye(4), -np.tile(np.eye(2), (2, 1))])
    np.testing.assert_allclose(data["covariance"], contrast @ visits @ contrast.T, rtol=1e-4)


def test_months_without_correlation_share_nothing(tables):
    data = select_contrasts(tables, Selection(study="Liu2017"), month_correlation=0)
    later = data["month"].values[:, None] != data["month"].values
    assert not data["covariance"].values[later].any()
    assert (data["covariance"].values[~later] > 0).all()


def test_a_second_month_tells_less_the_more_it_correlates(tables):
    """The standard error of the mean of months 6 and 12 of Gu2020: sqrt((1'V^-1 1)^-1), V 2 x 2, by hand."""

    def se_of_mean(rho: float) -> float:
        data = select_contrasts(tables, Selection(row=[63, 66]), month_correlation=rho)
        return np.linalg.inv(data["covariance"].values).sum() ** -0.5

    a, b = 4.9335**2, 4.7554**2
    shared = 0.5 * math.sqrt(a * b)
    assert se_of_mean(0.5) == pytest.approx(math.sqrt((a * b - shared**2) / (a + b - 2 * shared)), rel=1e-12)
    assert se_of_mean(0) < se_of_mean(0.5) < se_of_mean(0.9) < 4.7554


@given(
    st.floats(0, 0.99),
    st.lists(st.floats(0.1, 10), min_size=2, max_size=4),
    st.floats(0.2, 0.9),
    st.floats(0.5, 2),
)
def test_the_covariance_of_months_is_positive_definite(rho, control, share, ratio):
    """Two arms, one control, several months, the control's share of an arm's error the same at all of them."""
    t = len(control)
    names = {
        "study": ["S"] * 2 * t,
        "arm": ["A"] * t + ["B"] * t,
        "control": ["C"] * 2 * t,
        "control_group": ["C"] * 2 * t,
    }
    data = contrasts_from_arrays(np.zeros(2 * t), np.ones(2 * t), study=names.pop("study"), covariates=names)
    data = data.assign(month=("contrast", np.tile(1 + np.arange(t), 2))).assign_attrs(month_correlation=rho)
    control = np.array(control)
    spread = [np.sqrt(control**2 + (control * k) ** 2) for k in (share, share * ratio)]
    covariance = contrast_covariance(data, np.concatenate(spread), np.tile(control, 2))
    scale = np.sqrt(np.diag(covariance))
    np.testing.assert_array_equal(covariance, covariance.T)
    assert np.linalg.eigvalsh(covariance / np.outer(scale, scale)).min() > 0


@pytest.mark.parametrize(
    ("selection", "reason"),
    [
        ({"row": [24, 27]}, "hold the same children"),  # one month, twice
        ({"row": [33, 38]}, "several controls"),
        ({"row": [16, 18]}, "hold the same children"),  # two scales
        ({"row": [2, 4]}, "replace each other"),  # a half and all of the same children
        ({"row": [75, 78]}, "replace each other"),  # nothing says that the arms stand side by side
        ({"study": "Min2013"}, "hold the same children"),
    ],
    ids=str,
)
def test_children_are_not_counted_twice_at_one_month(tables, selection, reason):
    with pytest.raises(InputError, match=reason):
        select_contrasts(tables, Selection(**selection), month_correlation=0.7)


@pytest.mark.parametrize("selection", [{"row": [75, 77]}, {"study": "Gu2020"}, {"row": [33, 35]}], ids=str)
def test_the_fault_of_two_months_names_the_way_out(tables, selection):
    with pytest.raises(InputError) as refusal:
        select_contrasts(tables, Selection(**selection))
    assert all("evidence.month_correlation" in fault.allowed for fault in refusal.value.faults)
    select_contrasts(tables, Selection(**selection), month_correlation=0.7)


def test_no_way_out_is_named_where_there_is_none(tables):
    with pytest.raises(InputError) as refusal:
        select_contrasts(tables, Selection(row=[24, 27]))
    assert not any("month_correlation" in fault.allowed for fault in refusal.value.faults)


@pytest.mark.parametrize("rho", [-0.1, 1, math.nan])
def test_an_impossible_correlation_is_refused(tables, rho):
    with pytest.raises(ValueError, match="month_correlation"):
        select_contrasts(tables, Selection(study="Gu2020"), month_correlation=rho)


def test_one_month_a_study_is_what_it_was(primary, tables):
    """Amanat2021 and Zarrabi2022, Sun2017, Sun2022, Liu2017 share controls at one month: rho does not enter."""
    again = select_contrasts(tables, Selection(default_use="primary"), month_correlation=0.7)
    assert again.attrs.pop("month_correlation") == 0.7
    assert again.identical(primary)


def test_arms_of_an_unknown_month_stand_together(tmp_path):
    path = tmp_path / "own.csv"
    text = "study,arm,dose,n,mean,sd\nOne,a,1e7 cells/kg,25,5,5\nOne,b,2e7 cells/kg,25,5,5\nOne,none,0,25,1,5\n"
    path.write_text(text, encoding="utf-8")
    data = select_contrasts(read_tables(path), Selection(study="One"), month_correlation=0.5)
    np.testing.assert_allclose(data["covariance"], [[2, 1], [1, 2]], rtol=1e-12)


def test_an_impossible_covariance_names_the_correlation(tmp_path):
    """The control has most of the error at month 1 and little at month 2: rho = 0.9 cannot hold in both arms."""
    path = tmp_path / "own.csv"
    spread = {1: (4.36, 9.0), 2: (9.54, 3.0)}
    lines = [
        f"One,{arm},{dose},100,5,{spread[month][arm == 'c']},{month}"
        for month in (1, 2)
        for arm, dose in (("a", "1e7 cells/kg"), ("b", "2e7 cells/kg"), ("c", "0"))
    ]
    path.write_text("\n".join(["study,arm,dose,n,mean,sd,month", *lines]), encoding="utf-8")
    own = read_tables(path)
    select_contrasts(own, Selection(study="One"), month_correlation=0.5)
    with pytest.raises(InputError, match="not positive definite") as refusal:
        select_contrasts(own, Selection(study="One"), month_correlation=0.9)
    assert "month_correlation below 0.9" in refusal.value.faults[0].allowed


# what a model needs and the tables do not print


def test_known_the_shipped_contrasts_carry_every_term(primary):
    for term in TERMS.values():
        values = covariate(primary, term.needs) if term.needs else np.zeros(1)
        assert (values != "").all() if values.dtype.kind in "UO" else np.isfinite(values.astype(float)).all()
    assert primary["randomised"].all()  # so that design_bias has its prior alone


def test_a_term_that_cannot_run_is_refused_in_plain_words(tmp_path):
    lines = [f"{s},{a},{d},25,{m},6" for s in "AB" for a, d, m in (("cells", "1e7 cells/kg", 5), ("none", 0, 1))]
    (tmp_path / "own.csv").write_text("\n".join(["study,arm,dose,n,mean,sd", *lines]), encoding="utf-8")
    path = trial(tmp_path, {"model.name": "country", "evidence.tables": "own.csv"})
    with pytest.raises(InputError) as refusal:
        read_question(str(path))
    (fault,) = refusal.value.faults
    assert fault.where == "key evidence.select"
    assert fault.allowed == "contrasts with known countries, which the model needs"
    assert fault.problem.count(", month") == 2


def test_known_words_for_everything_that_a_model_needs():
    several = {needs: IN_WORDS[needs][1] for needs in ["dose", *(t.needs for t in TERMS.values() if t.needs)]}
    assert several == {
        **{"dose": "doses", "route": "routes", "month": "months", "age": "mean ages", "gmfcs": "GMFCS levels"},
        "claimed_age": "shares of children of 3 to 10 years",
        **{"cell_class": "cell classes", "country": "countries", "small_study": "numbers of children"},
        **{"randomised": "allocations (randomised or not)", "log10_dose_sd": "uncertainties of dose"},
        **{"infusions": "numbers of infusions", "epo": "differences in erythropoietin"},
    }


# readings of several months


def test_a_reading_holds_at_all_months_of_its_study(tables):
    data = select_contrasts(tables, Selection(study="Gu2020"), month_correlation=0.7)
    read = read_contrasts(data, tables, "average")
    assert read["reading_of"].values.tolist() == [["as_printed"], ["spread_is_sd"]]
    assert read["suspect"].values.tolist() == ["Gu2020"]
    assert read["weight"].values == pytest.approx([0.95, 0.05], rel=1e-12)
    for r in range(2):
        se = read["se"].values[r]
        np.testing.assert_allclose(read["covariance"][r], np.outer(se, se) * by_lag(read, 0.7), rtol=1e-12)
    # a printed spread read as an SD gives an se smaller by sqrt(n), where 19 and 19 to 20 children stand in the arms
    ratio = read["se"].values[1] / read["se"].values[0]
    assert ((ratio > 20**-0.5) & (ratio < 18**-0.5)).all()


def test_months_with_other_readings_are_refused(tables):
    rows = [
        r
        for r in tables.rows["readings"]
        if (r["study_id"], r["month"], r["reading"]) != ("Huang2018", 6, "imputed_sd")
    ]
    fewer = type(tables)(tables.folder, tables.rows | {"readings": rows}, tables.sha256)
    data = select_contrasts(tables, Selection(row=[24, 26]), month_correlation=0.7)
    assert read_contrasts(data, tables, "average").sizes["reading"] == 4
    with pytest.raises(InputError, match="are not those of its other selected rows"):
        read_contrasts(data, fewer, "average")


def test_a_supposed_trial_leaves_the_months_alone(tables):
    data = select_contrasts(tables, Selection(study="Gu2020"), month_correlation=0.7)
    joined = with_supposed(data, tables, [Supposed(study="Min2020", effect=0, n_active=22, n_control=22, sd=8)])
    read = read_contrasts(joined, tables, "average")
    np.testing.assert_allclose(
        read["covariance"][0, :4, :4], data["covariance"], rtol=1e-3
    )  # as_printed has more digits
    assert not read["covariance"][:, 4, :4].values.any()
