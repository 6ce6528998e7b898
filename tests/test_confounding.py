"""The dose slope within classes, routes and trials, against known answers and brute force."""

import math

import numpy as np
import pytest
from conftest import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from gmfmsim.evidence.contrasts import Selection, contrasts_from_arrays, one_reading, select_contrasts
from gmfmsim.evidence.read import read_tables
from gmfmsim.evidence.readings import read_contrasts
from gmfmsim.model.confounding import confounding, confounding_in_words

LEVELS = ("all contrasts", "cell class", "cell class and route", "trial", "trial and cell class")


@pytest.fixture(scope="module")
def tables():
    return read_tables()


@pytest.fixture(scope="module")
def primary(tables):
    return read_contrasts(select_contrasts(tables, Selection(default_use="primary")), tables, "as_tabled")


def slope_of(found, comparison: str) -> tuple[float, float]:
    one = found.sel(comparison=comparison)
    return one["slope"].item(), one["se"].item()


# the known answers of tests/test_evidence.py take log10_dose with three decimals, here it is log10 of the dose


@pytest.mark.parametrize(
    ("comparison", "tau", "slope", "se"),
    [
        ("all contrasts", 2, 0.3296, 0.9873),
        ("TNC_MNC IV", 0, 5.469, 2.688),
        ("trial and cell class", 2, 10.0, 5.9),
    ],
)
def test_known_slopes_on_the_raw_scale(primary, comparison, tau, slope, se):
    digits = 0.05 if comparison.startswith("trial") else 0.01  # as printed
    found = slope_of(confounding(primary, tau=tau, r=1), comparison)
    assert found == pytest.approx((slope, se), abs=digits)


def test_known_slope_within_trials(primary):
    """Sun2017 and Sun2022 alone hold two doses; between their arms neither tau nor the shared control counts."""
    found = confounding(primary, tau=3.0)
    doses = {"Sun2017": (1.41e7, 3.15e7), "Sun2022": (6e6, 1e8)}
    change = {"Sun2017": 1.9333 + 1.5667, "Sun2022": 3.3 - 1.4}
    variance = {
        "Sun2017": 1.6776**2 + 1.8517**2 - 2 * 1.0058**2,
        "Sun2022": 1.3623**2 + 1.301**2 - 2 * 0.8814**2,
    }
    decades = {study: math.log10(high / low) for study, (low, high) in doses.items()}
    information = {study: decades[study] ** 2 / variance[study] for study in doses}
    slope = sum(information[s] * change[s] / decades[s] for s in doses) / sum(information.values())
    assert slope_of(found, "trial") == pytest.approx((slope, sum(information.values()) ** -0.5), rel=1e-10)
    alone = change["Sun2017"] / decades["Sun2017"], information["Sun2017"] ** -0.5
    assert slope_of(found, "trial and cell class") == pytest.approx(alone, rel=1e-10)


def brute(data, tau: float, r: float, *strata) -> tuple[float, float]:
    """The last coefficient of y on indicators of the strata and log10 dose, by the normal equations."""
    data = data.isel(reading=0)
    study = data["study"].values
    scale = np.diag(np.where(data["gmfm66"], 1, r))
    weight = np.linalg.inv(scale @ data["covariance"].values @ scale + tau**2 * (study[:, None] == study))
    keys = list(zip(*strata, strict=True))
    design = np.column_stack([[key == one for key in keys] for one in sorted(set(keys))] + [np.log10(data["dose"])])
    inverse = np.linalg.inv(design.T @ weight @ design)
    return (inverse @ design.T @ weight @ scale @ data["effect"].values)[-1], math.sqrt(inverse[-1, -1])


@pytest.mark.parametrize(("tau", "r"), [(0, 0.56), (2, 0.56), (2, 1)])
def test_every_slope_is_that_of_the_normal_equations(primary, tau, r):
    found = confounding(primary, tau=tau, r=r)
    study, cells = primary["study"].values, primary["cell_class"].values
    route = np.where(primary["route"].values == "IT", "IT", "IV")
    whole = brute(primary, tau, r, np.zeros(study.size))
    strata = ([np.zeros(study.size)], [cells], [cells, route], [study], [study, cells])
    for comparison, labels in zip(LEVELS, strata, strict=True):
        slope, se = brute(primary, tau, r, *labels)
        assert slope_of(found, comparison) == pytest.approx((slope, se), rel=1e-8)
        assert found["information"].sel(comparison=comparison).item() == pytest.approx((whole[1] / se) ** 2, rel=1e-8)
    for comparison, rows in (("MSC", cells == "MSC"), ("TNC_MNC IT", (cells == "TNC_MNC") & (route == "IT"))):
        part = primary.isel(contrast=rows, contrast_=rows)
        assert slope_of(found, comparison) == pytest.approx(brute(part, tau, r, np.zeros(rows.sum())), rel=1e-8)


def test_the_interval_is_the_normal_one(primary):
    found = confounding(primary, tau=2)
    np.testing.assert_allclose(found["high"] - found["low"], 2 * 1.959964 * found["se"], rtol=1e-6)
    np.testing.assert_allclose(found["high"] + found["low"], 2 * found["slope"], rtol=1e-12)


def test_the_most_probable_reading_is_taken(primary, tables):
    read = read_contrasts(select_contrasts(tables, Selection(default_use="primary")), tables, "average")
    first = read.isel(reading=[0])
    assert confounding(read, tau=2).identical(confounding(first, tau=2))
    assert not confounding(read, tau=2).equals(confounding(primary, tau=2))


def test_recovery_of_a_slope_that_classes_hide():
    """Planted: 4 points a decade within classes, and a class of low doses that gains 12 points more."""
    rng = np.random.default_rng(20)
    k = 400
    low = np.arange(k) % 2 == 0
    log_dose = np.where(low, 6.0, 8.0) + rng.uniform(-0.5, 0.5, k)
    effect = 4 * log_dose + 12 * low + rng.normal(0, 1, k)
    cells = np.where(low, "MSC", "TNC_MNC")
    data = contrasts_from_arrays(effect, np.ones(k), dose=10**log_dose, covariates={"cell_class": cells})
    found = confounding(data, tau=0)
    slope, se = slope_of(found, "cell class")
    assert abs(slope - 4) < 3 * se
    # between classes: 2 decades cost 12 points, so 4 - 6 = -2, drawn up by what lies within them
    assert found["high"].sel(comparison="all contrasts").item() < 0
    # variance of the log dose within classes 1/12, between them 1; 10 % for a sample of 400
    assert found["information"].sel(comparison="cell class").item() == pytest.approx((1 / 12) / (13 / 12), rel=0.1)


@st.composite
def trials(draw):
    k = draw(st.integers(2, 8))
    pick = lambda names: [draw(st.sampled_from(names)) for _ in range(k)]  # noqa: E731
    dose = [draw(st.sampled_from([1e6, 4e6, 1e7, 5e7, 1e8])) for _ in range(k)]
    effect = [draw(st.floats(-10, 10)) for _ in range(k)]
    variance = [draw(st.floats(0.5, 20)) for _ in range(k)]
    covariates = {"cell_class": pick(["MSC", "TNC_MNC"]), "route": pick(["IV", "IT", "IV/IA"])}
    return contrasts_from_arrays(effect, variance, study=pick(["A", "B", "C"]), dose=dose, covariates=covariates)


@given(trials(), st.floats(0, 5))
@settings(max_examples=examples(25, 100), deadline=None)
def test_finer_strata_hold_less_information(data, tau):
    found = confounding(data, tau=tau)
    information = found["information"]
    share = dict(zip(found["comparison"].values.tolist(), information.values.tolist(), strict=True))
    nested = 1 + 1e-9  # up to rounding
    assert share["cell class and route"] <= share["cell class"] * nested <= share["all contrasts"] * nested**2
    assert share["trial and cell class"] <= min(share["trial"], share["cell class"]) * nested
    assert (np.isnan(found["slope"]) == (information == 0)).all()
    assert max(share.values()) <= nested
    assert confounding_in_words(found)


@given(trials(), st.floats(0, 5))
@settings(max_examples=examples(25, 100), deadline=None)
def test_slopes_follow_effects_and_not_the_unit_of_dose(data, tau):
    slope = confounding(data, tau=tau)["slope"]
    turned = confounding(data.assign(effect=3 - data["effect"], dose=data["dose"] * 1000), tau=tau)["slope"]
    np.testing.assert_allclose(turned, -slope, rtol=1e-7, atol=1e-7)


# in words


def test_words_of_the_primary_contrasts(primary):
    shares, slopes = confounding_in_words(confounding(primary, tau=2, r=1))
    assert shares == (
        "Of the information on the dose slope, 35 % lies within cell classes, 11 % within cell classes and routes, "
        "76 % within trials (3 % where a trial compares doses of one cell class)."
    )
    assert slopes.startswith(
        "Across all contrasts the slope is 0.3 (-1.6 to 2.3) points per tenfold dose, within nucleated cells by vein "
        "6.8 (-0.9 to 14.5), within expanded MSC by vein"
    )


def test_words_say_nothing_where_nothing_is_known(tables):
    data = one_reading(select_contrasts(tables, Selection(row=[20, 29])))
    shares, slopes, silent = confounding_in_words(confounding(data, tau=2))
    assert shares == (
        "Of the information on the dose slope, nothing lies within cell classes, nothing within cell classes and "
        "routes, nothing within trials (nothing where a trial compares doses of one cell class)."
    )
    assert slopes.count("within") == 0
    assert silent == (
        "Nothing is known of a slope within expanded MSC into the spinal canal, nucleated cells by vein: one dose each."
    )


@pytest.mark.parametrize("rows", [[79], [75, 76, 79], [29, 79]])
def test_fewer_than_two_doses_identify_no_slope(tables, rows):
    found = confounding(one_reading(select_contrasts(tables, Selection(row=rows))), tau=2)
    assert np.isnan(found["slope"]).all()
    assert not found["information"].any()
    assert confounding_in_words(found) == [
        "No dose slope is identified: it needs contrasts of at least two different known doses.",
        "Left out: 1 contrast of unknown dose.",
    ]


def test_a_contrast_of_two_doses_is_left_out_and_said_so(tables):
    found = confounding(one_reading(select_contrasts(tables, Selection(row=[5, 16, 29]))), tau=2)
    assert found["contrasts"].sel(comparison="all contrasts").item() == 2
    assert confounding_in_words(found)[-1] == "Left out: 1 contrast against another dose, not a control."


def test_contrasts_without_classes_are_one_class():
    data = contrasts_from_arrays([1, 2, 4], [1, 1, 1], dose=[1e6, 1e7, 1e8])
    found = confounding(data, tau=0)
    assert slope_of(found, "cell class and route") == pytest.approx((1.5, 0.5**0.5), rel=1e-12)
    assert "within cells of class not known by route not known 1.5" in confounding_in_words(found)[1]


@pytest.mark.parametrize("wrong", [{"tau": -1}, {"tau": math.nan}, {"tau": 1, "r": 0}, {"tau": 1, "r": math.inf}])
def test_impossible_arguments_are_refused(primary, wrong):
    with pytest.raises(ValueError, match="finite number"):
        confounding(primary, **wrong)
