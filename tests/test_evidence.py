"""The evidence: the shipped tables, what is selected from them, and known answers computed from it."""

import math
import shutil
from typing import Annotated, Literal, TypedDict

import numpy as np
import pytest
from pydantic import Field, TypeAdapter

from gmfmsim.evidence.contrasts import Selection, contrasts_from_arrays, select_contrasts
from gmfmsim.evidence.pooled import PooledChoice, pooled_estimate, tau_from_i2
from gmfmsim.evidence.read import PACKAGE_TABLES, read_tables
from gmfmsim.evidence.schema import TABLES
from gmfmsim.faults import InputError
from gmfmsim.files.shelf import shelf

PRIMARY = {
    "Sun2017 ucb_high16": 1.9333,
    "Sun2017 ucb_low16": -1.5667,
    "Sun2022 allocb": 3.3,
    "Sun2022 hct_msc": 1.4,
    "Amanat2021 uct_msc": 8.07,
    "Zarrabi2022 ucb_mnc": 7.1,
    "Huang2018 ucb_msc": 5.52,
    "Kang2015 ucb": 3.23,
    "Min2013 pucb": 0.1,
    "Gu2020 uc_msc": 10.5023,
    "Liu2017 mnc": 3.55,
    "Liu2017 msc": 9.61,
}
SHARED_CONTROLS = {
    ("Sun2017 ucb_high16", "Sun2017 ucb_low16"): 1.0058**2,
    ("Sun2022 allocb", "Sun2022 hct_msc"): 0.8814**2,
    ("Amanat2021 uct_msc", "Zarrabi2022 ucb_mnc"): min(2.0333, 2.3167) ** 2,
    ("Liu2017 mnc", "Liu2017 msc"): 1.7222**2,
}
INTRAVENOUS = {"default_use": "primary", "cell_class": "TNC_MNC", "route": ["IV", "IV/IA"]}


@pytest.fixture(scope="module")
def tables():
    return read_tables()


@pytest.fixture(scope="module")
def primary(tables):
    return select_contrasts(tables, Selection(default_use="primary"))


def typed(name: str) -> type:
    """The type of a row, from what its columns declare."""
    types = {"row": int, "file": str}
    for column, c in TABLES[name].columns.items():
        bounds = Field(ge=c.low, gt=c.above, le=c.high)
        held = {"text": str, "number": Annotated[float, bounds], "integer": Annotated[int, bounds]}[c.kind]
        held = Literal[c.choices] if c.choices else held
        types[column] = held if c.required else held | None
    return TypedDict(name, types)


@pytest.mark.parametrize("name", TABLES)
def test_rows_are_what_their_types_say(tables, name):
    """Strictly, by pydantic's own reading of the types: no text where a number is declared, no column more or less."""
    rows, columns = tables.rows[name], ["row", "file", *TABLES[name].columns]
    assert all(list(row) == columns for row in rows)
    assert TypeAdapter(list[typed(name)]).validate_python(rows, strict=True) == rows


def arms_of(data) -> list[str]:
    return [f"{study} {arm}" for study, arm in zip(data["study"].values, data["arm"].values, strict=True)]


def gls(data, tau: float, *columns) -> tuple[np.ndarray, np.ndarray]:
    """Estimates and standard errors of y ~ Normal(X b, V + tau^2 [same study]), X = (1, columns)."""
    study = data["study"].values
    weight = np.linalg.inv(data["covariance"].values + tau**2 * (study[:, None] == study))
    design = np.column_stack([np.ones(study.size), *columns])
    inverse = np.linalg.inv(design.T @ weight @ design)
    return inverse @ design.T @ weight @ data["effect"].values, np.sqrt(np.diag(inverse))


# the tables


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        *(("studies", 57), ("arms", 72), ("outcomes", 202), ("contrasts", 78)),
        *(("events", 166), ("pooled", 22), ("claims", 74)),
    ],
)
def test_a_shipped_table_has_its_rows(tables, table, rows):
    assert len(tables.rows[table]) == rows


def test_row_numbers_are_lines_of_the_file(tables):
    lines = (PACKAGE_TABLES / "contrasts.csv").read_text(encoding="utf-8").splitlines()
    for row in tables.rows["contrasts"]:
        assert lines[row["row"] - 1].startswith(f"{row['study_id']},{row['arm_a']},{row['arm_b']}")


def test_a_copied_folder_has_the_same_hash(tables, tmp_path):
    copied = read_tables(shutil.copytree(PACKAGE_TABLES, tmp_path / "copy"))
    assert copied.sha256 == tables.sha256
    assert copied.rows == tables.rows


def test_a_changed_byte_changes_the_hash(tables, tmp_path):
    folder = shutil.copytree(PACKAGE_TABLES, tmp_path / "copy")
    path = folder / "claims.csv"
    path.write_bytes(path.read_bytes() + b"\n")
    changed = read_tables(folder)
    assert changed.rows == tables.rows
    assert changed.sha256 != tables.sha256


def test_byte_order_mark_and_windows_line_ends_are_read(tables, tmp_path):
    folder = shutil.copytree(PACKAGE_TABLES, tmp_path / "copy")
    for path in folder.glob("*.csv"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_tables(folder).rows == tables.rows


def test_three_tables_are_enough(tables, tmp_path, primary):
    for name in ("studies", "arms", "contrasts"):
        shutil.copy(PACKAGE_TABLES / f"{name}.csv", tmp_path)
    own = read_tables(tmp_path)
    assert set(own.rows) == {"studies", "arms", "contrasts"}
    assert select_contrasts(own, Selection(default_use="primary")).identical(primary)
    with pytest.raises(InputError, match=r"pooled\.csv: file: does not exist"):
        pooled_estimate(own, PooledChoice(meta_id="Eggenberger2019"))


@pytest.mark.parametrize(
    ("studies", "low", "high"),
    [
        ({"Sun2017", "Sun2022"}, 4.9, 6.8),  # cells by vein: what the sd_change of the quick start refers to
        ({"Amanat2021", "Zarrabi2022"}, 8.5, 15.5),  # into the spinal canal, from intervals
        ({"Sun2017", "Sun2022", "Amanat2021", "Zarrabi2022"}, 4.9, 15.5),
    ],
    ids=["by vein", "spinal canal", "all"],
)
def test_known_sds_of_the_12_month_change_on_the_gmfm66(tables, studies, low, high):
    rows = [r for r in tables.where("outcomes", month=12, kind="change") if (r["scale"] or "").startswith("GMFM-66")]
    sds = [r["sd"] for r in rows if r["sd"] is not None and r["study_id"] in studies]
    assert {r["study_id"] for r in rows if r["sd"] is not None} == {"Sun2017", "Sun2022", "Amanat2021", "Zarrabi2022"}
    assert (round(min(sds), 1), round(max(sds), 1)) == (low, high)


def test_known_the_second_period_of_a_crossover_is_reported_once(tables):
    """Rah 2017: late cells less early ones over the year; what no design may call unreported."""
    late = [r for r in tables.rows["contrasts"] if r["measure"] == "MD_early_late"]
    assert {r["study_id"] for r in late} == {"Rah2017"}
    assert [(r["month"], r["estimate"]) for r in late] == [(12, -3.47), (13, -4.02)]
    designs = "".join(path.read_text(encoding="utf-8") for path in shelf("designs").glob("*.toml"))
    assert "No trial reports" not in designs
    assert "3.5 points" in designs


# contrasts and their covariance


def test_the_primary_contrasts_are_these_twelve(primary):
    assert dict(zip(arms_of(primary), primary["effect"].values.tolist(), strict=True)) == PRIMARY


def test_shared_controls_give_covariance_and_nothing_else_does(primary):
    names = arms_of(primary)
    expected = np.diag(primary["se"].values ** 2)
    for (a, b), covariance in SHARED_CONTROLS.items():
        i, j = names.index(a), names.index(b)
        expected[i, j] = expected[j, i] = covariance
    # squares of the same printed figures: equal up to the last bits
    np.testing.assert_allclose(primary["covariance"].values, expected, rtol=1e-14)


def test_the_primary_covariance_is_positive_definite(primary):
    assert np.linalg.eigvalsh(primary["covariance"].values).min() > 0.9


def test_only_gmfm66_rows_are_flagged_so(primary, tables):
    flagged = set(primary["study"].values[primary["gmfm66"].values])
    assert flagged == {"Sun2017", "Sun2022", "Amanat2021", "Zarrabi2022"}
    observed_minus_expected = select_contrasts(tables, Selection(row=[18, 19]))
    assert observed_minus_expected["gmfm66"].all()


def test_doses_are_those_of_the_arms(primary, tables):
    dose = {(a["study_id"], a["arm_id"]): a["dose_total_cells_per_kg"] for a in tables.rows["arms"]}
    keys = zip(primary["study"].values, primary["arm"].values, strict=True)
    assert primary["dose"].values.tolist() == [dose[key] for key in keys]
    assert not primary["control_dose"].any()


# Known answers of generalised least squares on the raw 0-100 scale (r is not applied). The convention that gives
# them: one random effect per study_id, so that Amanat2021 and Zarrabi2022 share a control and no random effect, and
# the column log10_dose of arms.csv (three decimals), against which log10 of the dose differs by 1e-4 in the slope.
# One random effect a contrast would give a mean of 3.225. They are printed to three or four digits: tolerance 0.01.


def test_gls_mean_of_the_primary_contrasts(primary):
    estimate, se = gls(primary, 2)
    assert estimate[0] == pytest.approx(3.462, abs=0.01)
    assert se[0] == pytest.approx(1.005, abs=0.01)


def test_gls_dose_slope_of_the_primary_contrasts(primary):
    estimate, se = gls(primary, 2, primary["log10_dose"].values)
    assert estimate[1] == pytest.approx(0.3296, abs=0.01)
    assert se[1] == pytest.approx(0.9873, abs=0.01)


def test_gls_dose_slope_of_the_intravenous_nucleated_cells(tables):
    data = select_contrasts(tables, Selection(**INTRAVENOUS))
    estimate, se = gls(data, 0, data["log10_dose"].values)
    assert data.sizes["contrast"] == 5
    assert estimate[1] == pytest.approx(5.469, abs=0.01)
    assert se[1] == pytest.approx(2.688, abs=0.01)


# selection


@pytest.mark.parametrize(
    ("selection", "rows"),
    [
        ({"study": "Sun2022", "default_use": "primary"}, [16, 17]),
        ({"study": ["Kang2015", "Gu2020"], "default_use": "primary"}, [29, 63]),
        ({"default_use": "no", "study": "Lv2023"}, [79]),
        ({"arm": "hct_msc", "scale": "GMFM-66"}, [17]),
        ({"scale": "GMFM-66 observed-minus-expected", "study": "Sun2022"}, [18, 19]),
        ({"month": [1, 3], "row": [64, 36]}, [36, 64]),
        ({"month": 6, "default_use": "primary"}, [29, 33]),
        ({"cell_class": "MSC", "default_use": "primary"}, [17, 20, 24, 63, 76]),
        ({"route": "IT", "default_use": "primary"}, [20, 22, 75, 76]),
        (INTRAVENOUS, [2, 3, 16, 29, 33]),
        ({"row": [33, 2]}, [2, 33]),
    ],
    ids=str,
)
def test_each_key_selects(tables, selection, rows):
    assert select_contrasts(tables, Selection(**selection))["row"].values.tolist() == rows


def test_every_key_narrows_the_selection(tables):
    row = {"default_use": "primary", "study": "Kang2015", "arm": "ucb", "scale": "GMFM-unspecified", "month": 6}
    everything = Selection(**row, cell_class="TNC_MNC", route="IV/IA", row=29)
    assert set(everything.model_dump()) == {*row, "cell_class", "route", "row"}
    assert select_contrasts(tables, everything)["row"].values.tolist() == [29]


@pytest.mark.parametrize(
    ("key", "value", "nearest"),
    [
        ("default_use", "primry", "primary"),
        ("study", "Sun2071", "Sun2017"),
        ("arm", "ucb_hgih16", "ucb_high16"),
        ("scale", "GMFM66", "GMFM-66"),
        ("month", 13, None),
        ("cell_class", "MSCs", "MSC"),
        ("route", "iv", None),
        ("row", 6, None),  # a median difference: it has no md100
    ],
)
def test_a_value_that_no_usable_contrast_has_is_refused(tables, key, value, nearest):
    with pytest.raises(InputError) as refusal:
        select_contrasts(tables, Selection(**{key: value}), "trial.toml")
    (fault,) = refusal.value.faults
    assert (fault.file, fault.where) == ("trial.toml", f"key evidence.select.{key}")
    assert str(value) in fault.problem
    assert nearest is None or f"nearest: {nearest};" in fault.allowed


@pytest.mark.parametrize(
    ("selection", "reason"),
    [
        ({"row": [24, 27]}, "hold the same children"),
        ({"row": [34, 38]}, "hold the same children"),
        ({"row": [33, 38]}, "hold the same children"),
        ({"row": [3, 5]}, "Sun2017 is selected against several controls"),
        ({"row": [2, 4]}, "replace each other"),
        ({"row": [75, 78]}, "replace each other"),
        ({"study": "Min2013"}, "hold the same children"),
        # all treated children above and below a dose contain the randomised halves
        ({"row": [5, 10]}, "Sun2017 is selected against several controls"),
    ],
    ids=str,
)
def test_children_are_not_counted_twice(tables, selection, reason):
    with pytest.raises(InputError, match=reason):
        select_contrasts(tables, Selection(**selection))


# contrasts from arrays


def test_variances_become_a_diagonal_covariance():
    data = contrasts_from_arrays([1, 2], [4, 9], dose=[1e7, 5e7])
    assert data["covariance"].values.tolist() == [[[4, 0], [0, 9]]]
    assert data["se"].values.tolist() == [[2, 3]]
    assert data["weight"].values.tolist() == [1]
    assert data["dose"].values.tolist() == [1e7, 5e7]


@pytest.mark.parametrize(
    ("covariance", "reason"),
    [([1, 2, 3], "need"), ([[1, 2], [2, 1]], "not positive definite"), ([1, 0], "not positive definite")],
)
def test_an_impossible_covariance_is_refused(covariance, reason):
    with pytest.raises(ValueError, match=reason):
        contrasts_from_arrays([1, 2], covariance)


# published pooled estimates


def test_pooled_estimate_of_eggenberger(tables):
    estimate = pooled_estimate(tables, PooledChoice(meta_id="Eggenberger2019", scale="GMFM-66/88"))
    se = (1.76 - 0.13) / (2 * 1.959964)
    assert estimate.mean == 0.95
    assert estimate.unit == "standard deviations"
    # 1.959964 is printed to seven digits
    assert estimate.se == pytest.approx(se, rel=1e-6)
    assert estimate.tau == pytest.approx(math.sqrt(0.901 * 5) * se, rel=1e-6)


def test_reference_tau_from_i2_is_close_to_dersimonian_laird_on_the_trials(tables):
    """The five trials of Eggenberger 2019, Table 3: Cohen's d of changes. The total of Liu 2017 has no SD; its d of
    1.70 is the one with which they give the published 0.95 (0.13 to 1.76): interval and I2 are the check of it."""
    trials = [
        *((7.62, 2.44, 27, 2.96, 1.66, 27), (7.08, 7.36, 17, 3.85, 3.75, 17)),
        *((9.1, 6.7, 31, 7.8, 5.1, 32), (7.5, 6.8, 32, 6.9, 5.5, 31)),
    ]
    d, v = [1.70], [68 / (33 * 35) + 1.70**2 / (2 * 66)]
    for mean, sd, n, mean_, sd_, n_ in trials:
        pooled = math.sqrt(((n - 1) * sd**2 + (n_ - 1) * sd_**2) / (n + n_ - 2))
        d.append((mean - mean_) / pooled)
        v.append((n + n_) / (n * n_) + d[-1] ** 2 / (2 * (n + n_ - 2)))
    d, w = np.array(d), 1 / np.array(v)
    q = (w * (d - (w @ d) / w.sum()) ** 2).sum()
    tau2 = (q - 4) / (w.sum() - (w**2).sum() / w.sum())
    weight = 1 / (1 / w + tau2)
    mean, se = (weight @ d) / weight.sum(), weight.sum() ** -0.5
    assert [mean, mean - 1.96 * se, mean + 1.96 * se] == pytest.approx([0.95, 0.13, 1.76], abs=0.006)
    assert 100 * (1 - 4 / q) == pytest.approx(90.1, abs=0.1)
    # the formula takes the five variances as equal; 1 % is what that costs here
    estimate = pooled_estimate(tables, PooledChoice(meta_id="Eggenberger2019", scale="GMFM-66/88"))
    assert estimate.tau == pytest.approx(math.sqrt(tau2), rel=0.01)


def test_tau_from_i2_is_exact_for_equal_variances():
    effects, variance = np.array([0.2, 0.5, 1.1, 1.4]), 0.04
    k, q = effects.size, ((effects - effects.mean()) ** 2).sum() / variance
    tau2 = variance * (q - k + 1) / (k - 1)  # DerSimonian-Laird with equal weights
    se = math.sqrt((tau2 + variance) / k)
    assert tau_from_i2((q - k + 1) / q, se, k) == pytest.approx(math.sqrt(tau2), rel=1e-12)


def test_a_printed_tau_comes_before_one_from_i2(tmp_path):
    folder = shutil.copytree(PACKAGE_TABLES, tmp_path / "copy")
    path = folder / "pooled.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(",90.1,,", ",90.1,0.25,"), encoding="utf-8")
    estimate = pooled_estimate(read_tables(folder), PooledChoice(meta_id="Eggenberger2019", scale="GMFM-66/88"))
    assert (estimate.tau, estimate.tau_derivation) == (0.5, "printed")


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ({"meta_id": "Egenberger2019"}, "0 rows fit Egenberger2019"),
        ({"meta_id": "Eggenberger2019"}, "2 rows fit Eggenberger2019"),
        ({"meta_id": "Xie2020", "scale": "GMFM-unspecified"}, "lacks tau2, or i2_pct with k_studies"),
        ({"meta_id": "FinchEdmondson2025", "measure": "dose_slope", "month": "12"}, "lacks estimate; ci_low; ci_high"),
        ({"meta_id": "Akat2024"}, "a measure in SMD, MD, WMD"),
    ],
    ids=str,
)
def test_a_pooled_row_that_cannot_be_used_is_refused(tables, choice, reason):
    with pytest.raises(InputError, match=reason):
        pooled_estimate(tables, PooledChoice(**choice), "trial.toml")


@pytest.mark.parametrize(
    ("printed", "changed"),
    [
        pytest.param(",0.95,0.13,1.76,", ",0.95,0.13,0.13,", id="interval of no width"),
        pytest.param(",0.95,0.13,1.76,", ",5,0.13,1.76,", id="estimate outside its interval"),
        pytest.param(",0.95,0.13,1.76,", ",0.95,-1.7e308,1.7e308,", id="standard error overflows"),
    ],
)
def test_an_impossible_pooled_interval_is_refused(tmp_path, printed, changed):
    folder = shutil.copytree(PACKAGE_TABLES, tmp_path / "copy")
    path = folder / "pooled.csv"
    text = path.read_text(encoding="utf-8")
    assert text.count(printed) == 1
    path.write_text(text.replace(printed, changed), encoding="utf-8")
    with pytest.raises(InputError, match=r"pooled\.csv"):
        pooled_estimate(read_tables(folder), PooledChoice(meta_id="Eggenberger2019", scale="GMFM-66/88"))
