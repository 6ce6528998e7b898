"""What a page says of a design: tables and figures from operating characteristics whose numbers are known here."""

import math
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from pydantic import TypeAdapter

from gmfmsim import DISCLAIMER
from gmfmsim.answer.children import children_seen, curve_band, reported_changes, retained, untreated
from gmfmsim.answer.design import design_record
from gmfmsim.answer.past import past_sentences
from gmfmsim.answer.result import Result
from gmfmsim.answer.tables import Cell, written
from gmfmsim.compute.text import NONE, number, share
from gmfmsim.evidence.read import read_tables
from gmfmsim.evidence.schema import Tables
from gmfmsim.progress import UNSEEN
from gmfmsim.report.children import children_caption, children_figure
from gmfmsim.report.designs import (
    COLUMNS,
    characteristics_table,
    curves_figure,
    design_section,
    differences_table,
    nuisance_table,
    selection_table,
)
from gmfmsim.report.figures import Drawn
from gmfmsim.report.html import draw, filled
from gmfmsim.report.look import BLUE, GREY
from gmfmsim.report.past import HEADINGS, past_figure, past_page, past_tables
from gmfmsim.streams import stream
from gmfmsim.trial.designs import AnyDesign
from gmfmsim.trial.generate.trials import Trials

LABELS = ["ancova", "t", "responder (> 5)", "trend"]
SCENARIOS = ["new_study", "pooled_mean", "planning_value", "null"]
N = [20, 40, 80]
UNTRUSTED = "<script>alert(1)</script>"


def figure(value, **more) -> dict:
    return {"value": value, "source": f"supposed {UNTRUSTED}", "verified": "assumed"} | more


COMMON = {
    "excess_sd": figure(5.5),
    "excess_growth": figure(0.3),
    "visit_correlation": figure(0.8, verified="recalled"),
    "measurement_error": figure(0),
    "response_sd": figure(0),
    "dropout": figure(0.1),
    "missed": figure(0.05),
}
NORMAL = {"kind": "normal", "baseline": figure(50), "baseline_sd": figure(15), "growth": figure(4), **COMMON}
POPULATION = {
    "kind": "population",
    "title": "children of a trial",
    "age": {"low": 4, "median": 4, "high": 4, "source": "supposed", "verified": "assumed"},
    "mix": figure([0.4, 0.3, 0.2, 0.1, 0]),
    "limit": figure([87.7, 68.4, 54.3, 40.4, 22.3], low=[80, 61, 48, 33, 16], high=[95, 75, 60, 47, 28]),
    "age_90": figure([4.8, 4.4, 3.7, 3.5, 2.7]),
    "rate_spread": figure(0.2),
    "volunteer_gain": figure(3.1),
    "floor": figure(0),
    "ceiling": figure(100),
    "response": figure([1.0] * 5),
    **COMMON,
}


def design(children=POPULATION, **more):
    declared = {
        "kind": "parallel",
        "title": "Cells at two doses",
        "source": f"supposed {UNTRUSTED}",
        "arms": [
            {"name": "control", "dose": "0 cells/kg"},
            {"name": "low", "dose": "1e7 cells/kg"},
            {"name": "high", "dose": "1e8 cells/kg"},
        ],
        "visits": [3, 12],
        "children": children,
        "analyses": [
            {"method": "ancova"},
            {"method": "t"},
            {"method": "responder", "margin": 5},
            {"method": "trend"},
        ],
    }
    return TypeAdapter(AnyDesign).validate_python(declared | more)


@pytest.fixture
def surface() -> xr.Dataset:
    """Figures that differ in every cell; NaN where there is none: points of shares, type S and M without effect."""
    grid = ("scenario", "n", "analysis")
    shape = (4, 3, 4)
    step = np.arange(48).reshape(shape) / 1000
    start = {"success": 0.1, "harm": 0.001, "failed": 0, "bias": -0.02, "empirical_se": 1, "model_se": 1.1}
    start |= {"coverage": 0.9, "width": 4, "type_s": 0.01, "type_m": 1.5}
    found = {}
    for i, (name, first) in enumerate(start.items()):
        values = first + step
        if name not in ("success", "harm", "failed"):
            values[:, :, 2] = np.nan
        if name in ("type_s", "type_m"):
            values[3] = np.nan
        found[name] = (grid, values)
        found[f"{name}_mcse"] = (grid, np.where(np.isnan(values), np.nan, 0.003 + i / 10_000))
    success = found["success"][1]
    found["difference"] = ((*grid, "versus"), success[..., None] - success[..., None, :])
    found["difference_mcse"] = ((*grid, "versus"), np.full((*shape, 4), 0.001))
    selected = np.zeros((*shape, 3))
    selected[:, :, 3] = 0, 0.125, 0.5
    found["selected"], found["selected_mcse"] = ((*grid, "arm"), selected), ((*grid, "arm"), selected / 100)
    found["completers"] = (("scenario", "n"), np.full((4, 3), 107.6))
    found["completers_mcse"] = (("scenario", "n"), np.full((4, 3), 0.02))
    coords = {"scenario": SCENARIOS, "n": N, "analysis": LABELS, "versus": LABELS, "arm": ["control", "low", "high"]}
    coords |= {"randomised": ("n", [60, 120, 240]), "enrolled": ("n", [75, 150, 300])}
    return xr.Dataset(found, coords, {"replicates": 20_000, "alpha_two_sided": 0.05})


@pytest.fixture
def past() -> xr.Dataset:
    columns = {
        "power": [0.2, 0.9, 0.95],
        "power_mcse": [0.003, 0.002, 0.001],
        "false_claims": [0.024, 0.026, 0.61],
        "false_claims_mcse": [0.001, 0.001, 0.004],
        "assurance": [0.3, 0.6, 0.8],
        "assurance_mcse": [0.004, 0.005, 0.002],
        "type_m": [2.5, 1.05, np.nan],
        "type_m_mcse": [0.05, 0.01, np.nan],
        "type_s": [0.02, 0.0, np.nan],
        "type_s_mcse": [0.002, 0.0, np.nan],
        "n_total": [63, 400, 90],
        "kind": ["crossover", "parallel", "single_arm"],
        "controlled": [True, True, False],
        "month": [12.0, 6.0, 3.0],
        "analysis": ["ancova", "t", "one_sample (allowance 0)"],
    }
    labels = {"trial": ["Sun 2017", f"Large {UNTRUSTED}", "Few $x_1$ 2012"]}
    return xr.Dataset({name: ("trial", values) for name, values in columns.items()}, labels)


def text_of(page: str) -> str:
    """The words of a page: without drawings, style and marks."""
    return re.sub(r"<[^>]*>", " ", re.sub(r"<(svg|style)\b.*?</\1>", " ", page, flags=re.DOTALL))


def check_page(page: str) -> None:
    assert UNTRUSTED not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"\b(nan|None|inf)\b", text_of(page))


# cells


def test_known_cells():
    assert share(0.1234, 0.00456) == ("12.3 %", "0.46 %")
    assert share(0, 0) == ("0 %", "0 %")
    assert number(1.23456, 0.0123) == ("1.235", "0.012")
    assert number(-0.004, 0.3) == ("0.00", "0.30")
    assert number(123.4, 25) == ("123", "25")
    assert share(math.nan, math.nan) == number(math.nan, 0.1) == NONE
    assert number(1.5, math.nan) == ("1.50", "")


@given(st.floats(-1000, 1000), st.floats(1e-3, 50))
def test_number_is_rounded_below_its_own_error(value, mcse):
    cell = number(value, mcse)
    assert abs(float(cell.value) - value) <= 0.051 * mcse + 1e-9
    assert float(cell.mcse) == pytest.approx(mcse, rel=0.051)
    assert not cell.value.startswith("-0.0") or float(cell.value) != 0


# tables


def test_characteristics_are_those_at_n_each_with_its_error(surface):
    found = characteristics_table(surface, "planning_value", 40)
    assert found.headings == ["analysis", *(f"#{heading}" for heading, _ in COLUMNS.values())]
    assert [label.text for label, *_ in found.rows] == LABELS
    assert found.marked == {0}
    for i, (_, *cells) in enumerate(found.rows):
        assert all(bool(c.text) == bool(c.note) for c in cells)
        # scenario 2, n 1, analysis i: the step of the fixture
        assert cells[0] == written(share(0.1 + (24 + 4 + i) / 1000, 0.003))
    assert [bool(c.text) for c in found.rows[2][1:]] == [True] * 3 + [False] * 7


def test_no_column_without_figures(surface):
    found = characteristics_table(surface, "null", 20)
    assert not {"#type S", "#type M"} & set(found.headings)
    assert {len(row) for row in found.rows} == {len(found.headings)}


@pytest.mark.parametrize(
    ("difference", "mcse", "words"),
    [
        (0.0019, 0.001, "not told apart"),
        (0.0021, 0.001, "succeeds more often"),
        (-0.0021, 0.001, "succeeds less often"),
        (0.0, 0.0, "the same verdict in every trial"),
        (0.0, 0.001, "not told apart"),
        (0.01, math.nan, "not told apart"),
    ],
)
def test_known_differences(surface, difference, mcse, words):
    at = {"scenario": "new_study", "n": 80, "analysis": "t", "versus": "ancova"}
    surface["difference"].loc[at], surface["difference_mcse"].loc[at] = difference, mcse
    rows = differences_table(surface, "new_study", 80, [{"analysis": "t", "rate": 0.146}]).rows
    assert [label.text for label, *_ in rows] == LABELS[1:]
    assert rows[0][1].text == f"{100 * difference:+.2f}"
    assert rows[0][1].note == ("" if math.isnan(mcse) else f"\u00b1 {100 * mcse:.2f}")
    assert rows[0][2].text == words
    assert rows[0][2].warn == "false claims up to 14.6 %"  # beside its merit, what spoils it


def test_selection_only_of_analyses_along_doses(surface):
    found = selection_table(surface, "new_study", 40)
    assert found.headings == ["analysis", "#control", "#low", "#high"]
    shares = [share(0, 0), share(0.125, 0.00125), share(0.5, 0.005)]
    assert found.rows == [[Cell("trend"), *map(written, shares)]]
    none = surface.assign(selected=xr.full_like(surface["selected"], np.nan))
    assert selection_table(none, "new_study", 40).rows == []


def nuisances() -> xr.Dataset:
    dims = ("setting", "analysis")
    values = {"type_one": (dims, [[0.025, 0.0279], [0.024, 0.0281]]), "type_one_mcse": (dims, np.full((2, 2), 0.001))}
    return xr.Dataset(values, {"setting": ["SD 4.5", f"SD 7 {UNTRUSTED}"], "analysis": ["ancova", "t"]})


def test_nuisance_marks_what_is_above_nominal():
    found = nuisance_table(nuisances(), 0.025)
    assert found.headings == ["children", "#ancova", "#t"]
    assert [cell.warn for _, *cells in found.rows for cell in cells] == ["", "", "", "above"]
    assert found.rows[0][2] == written(share(0.0279, 0.001))


# curves


def test_curves_draw_the_surface_the_null_dotted(surface):
    figure = curves_figure(surface, marked=120, nominal=0.025)
    for ax, scenario, style in zip(figure.axes, ("new_study", "null"), ("-", ":"), strict=True):
        lines = {line.get_label(): line for line in ax.lines}
        for label in LABELS:
            of = surface["success"].sel(scenario=scenario, analysis=label)
            np.testing.assert_array_equal(lines[label].get_xydata(), np.stack([[60, 120, 240], of.values], axis=1))
            assert lines[label].get_linestyle() == style
        assert len(ax.collections) == len(LABELS)  # a band each
    looks = {(line.get_color(), line.get_marker()) for line in figure.axes[0].lines if line.get_label() in LABELS}
    assert len(looks) == len(LABELS)


def test_curves_without_null(surface):
    assert len(curves_figure(surface.sel(scenario=["new_study"])).axes) == 1


# children


def test_known_curve_reaches_nine_tenths_of_its_limit():
    fixed = POPULATION | {"limit": figure([87.7, 68.4, 54.3, 40.4, 22.3]), "rate_spread": figure(0)}
    children = design(fixed).children
    band = curve_band(children, np.array(children.age_90.value))
    for row in band:
        np.testing.assert_allclose(np.diag(row), 0.9 * np.array(children.limit.value), rtol=1e-12)


def test_recovery_half_of_simulated_children_lie_in_the_band():
    from gmfmsim.trial.generate.children import draw_trials

    plan, trials = design(), 400
    block = draw_trials(plan, 25, np.zeros((3, trials)), np.full(trials, 5.5), stream(1, "band"))
    _, low, high = curve_band(plan.children, np.array([4.0]))[..., 0]
    for g in range(4):
        score = block.score[0][block.level == g]
        inside = ((score > low[g]) & (score < high[g])).mean()
        assert abs(inside - 0.5) < 4 * np.sqrt(0.25 / score.size) + 0.005  # 60 points a side resolve quartiles to that


def test_known_still_in_trial():
    nan = np.nan
    score = np.array([[50.0, 50, 50, 50], [51, nan, nan, 52], [53, 54, nan, nan]]).reshape(3, 4, 1)
    trials = Trials(score, np.zeros((4, 1), int), np.zeros((2, 4, 1)))
    np.testing.assert_array_equal(retained(trials), [1, 0.75, 0.5])


def test_reported_changes_are_those_of_control_arms_on_this_scale():
    (sun,) = reported_changes(read_tables(), 12)
    assert (sun.study, sun.mean, sun.sd, sun.n) == ("Sun2017", 6.9, 5.6, 31)
    assert sun.source_url.startswith("https://")
    assert reported_changes(read_tables(), 7) == []


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("arm_id", "cells"),
        ("scale", "GMFM-88"),
        ("month", 6),
        ("kind", "final"),
        ("preferred", "no"),
        ("sd_source", "from_range"),
        ("spread_suspect", "may be SE"),
        ("mean", None),
        ("n", None),
    ],
)
def test_reported_changes_leave_out(column, value):
    arms = [
        {"study_id": "A", "arm_id": "ctrl", "role": "control"},
        {"study_id": "A", "arm_id": "cells", "role": "active"},
    ]
    row = {"study_id": "A", "arm_id": "ctrl", "scale": "GMFM-66", "month": 12, "kind": "change", "preferred": "yes"}
    row |= {"n": 30, "mean": 5.0, "sd": 4.0, "sd_source": "reported", "spread_suspect": None, "source_url": "https://a"}
    tables = [Tables(Path(), {"arms": arms, "outcomes": [r]}, "") for r in (row, row | {column: value})]
    assert [len(reported_changes(t, 12)) for t in tables] == [1, 0]


def test_children_figure_draws_mix_strokes_and_reported():
    reported = reported_changes(read_tables(), 12)
    plan = design()
    seen = children_seen(plan, 1, reported)
    figure = children_figure(seen)
    mix, *levels, change, retention = figure.axes
    np.testing.assert_allclose([bar.get_height() for bar in mix.patches], plan.children.shares)
    assert len(levels) == 4  # no panel for a level without children
    assert sum(len(ax.collections[-1].get_segments()) for ax in levels) == 150
    assert [t.get_text() for t in change.get_yticklabels()][-1] == "Sun2017\n(31 children)"
    assert "6.9" in [t.get_text() for t in change.texts]
    lost = 1 - retention.lines[0].get_ydata()[-1]
    assert abs(lost - 0.1) < 4 * np.sqrt(0.09 / (75 * 400))
    assert "published" in children_caption(seen)
    assert "published" not in children_caption(seen.isel(trial=[]))


def test_children_figure_of_normal_children():
    plan = design(NORMAL)
    baseline, change, correlation, _ = children_figure(children_seen(plan, 1)).axes
    _, covariance = plan.children.moments(np.array([3.0, 12.0]), 5.5)
    sd = np.sqrt(np.diag(covariance))
    shown = [float(t.get_text()) for t in correlation.texts]
    np.testing.assert_allclose(shown, (covariance / np.outer(sd, sd)).ravel(), atol=0.005)
    median = [line.get_xdata()[0] for line in (baseline.lines[0], change.lines[0])]
    # MCSE of a median of 10,000 and of 9,000: 1.25 sd / sqrt(n)
    np.testing.assert_array_less(abs(np.array(median) - [50, 4]), [4 * 0.19, 4 * 0.073])


def test_known_untreated_children_have_neither_cells_nor_drug():
    arms = [
        {"name": "neither", "dose": "0 cells/kg"},
        {"name": "drug", "dose": "0 cells/kg", "drug": True},
        {"name": "cells", "dose": "1e8 cells/kg"},
        {"name": "both", "dose": "1e8 cells/kg", "drug": True},
    ]
    more = {"kind": "factorial", "drug": "EPO", "drug_effect": figure(40), "interaction": figure(0)}
    factorial = design(NORMAL, arms=arms, analyses=[{"method": "t"}], **more)
    group = np.array([[0], [1], [2], [3]])
    block = Trials(np.zeros((3, 4, 1)), group, np.zeros((2, 4, 1)))
    assert untreated(factorial, block).tolist() == [[True], [False], [False], [False]]
    single = design(NORMAL, kind="single_arm", arms=arms[2:3], analyses=[{"method": "one_sample"}])
    assert untreated(single, block).all()


# the section


def drawn_from(surface: xr.Dataset, n: int) -> Drawn:
    """What the section of a design is drawn from, at n."""
    answer = {"design": design_record(design(), n), "n_total": 3 * n, "above_nominal": []}
    return Drawn(answer, {"surface": surface, "type_one": nuisances(), "children": children_seen(design(), 1)})


def section(plan: Drawn, folder: Path) -> str:
    return filled("design.html.j2", d=design_section(plan, partial(draw, folder, prefix="one-")))


def test_section_says_every_figure_with_its_error_and_escapes(surface, tmp_path):
    plan = drawn_from(surface, 40)
    page = section(plan, tmp_path)
    check_page(page)
    assert page.count("<svg") == 2
    text = text_of(page)
    for scenario in ("new_study", "planning_value", "null"):
        for label, *cells in characteristics_table(surface, scenario, 40).rows:
            assert label.text.replace(">", "&gt;") in text
            for cell in cells:
                assert re.search(rf"{re.escape(cell.text)}\s+{re.escape(cell.note)}\s", text)
    for words in (
        "120 children (40 an arm) randomised of 150 enrolled",
        "107.6 (MCSE 0.02)",
        "Gelman",
        "Morris",
        "20,000",
        "above",
    ):
        assert words in text
    assert '<span class="warn">recalled</span>' in page
    assert '<span class="warn">assumed</span>' in page


def test_section_without_doses(surface, tmp_path):
    only = surface.isel(analysis=[0, 1], versus=[0, 1]).drop_vars(["selected", "selected_mcse"])
    page = section(drawn_from(only, 20), tmp_path)
    assert "taken on" not in page
    check_page(page)


# the past


def test_past_has_trials_with_control_first_then_by_power(past):
    found = past_tables(past)
    assert list(found) == list(HEADINGS.values())
    rows = [dict(zip(t.headings, row, strict=True)) for t in found.values() for row in t.rows]
    assert [r["#children"].text for r in rows] == ["400", "63", "90"]
    assert [len(t.rows) for t in found.values()] == [2, 1]
    assert rows[1]["#power"] == written(share(0.2, 0.003))
    assert rows[1]["#type S"] == written(share(0.02, 0.002))
    assert rows[2]["#false claims"] == written(share(0.61, 0.004))
    assert rows[1]["#type M"] == written(number(2.5, 0.05))
    assert rows[2]["#type M"] == written(NONE)
    assert rows[1]["design"].text == "crossover, first period"


def test_past_figure_draws_what_it_is_given(past):
    left, right = past_figure(past).axes
    dots = {line.get_marker(): line for line in left.lines if line.get_marker() in "oDx"}
    np.testing.assert_array_equal(dots["o"].get_xdata(), [0.9, 0.2, 0.95])
    np.testing.assert_array_equal(dots["D"].get_xdata(), [0.6, 0.3, 0.8])
    np.testing.assert_array_equal(dots["x"].get_xdata(), [0.026, 0.024, 0.61])
    assert [to_hex(dots[m].get_color()).upper() for m in "ox"] == [BLUE, GREY]
    (size,) = [line for line in right.lines if line.get_marker() == "o"]
    y = dots["o"].get_ydata()
    np.testing.assert_array_equal(size.get_xydata(), [[1.05, y[0]], [2.5, y[1]]])
    lowest = left.get_yticklabels()[-1]
    assert (lowest.get_text(), lowest.get_parse_math()) == ("Few $x_1$ 2012  90", False)


def test_past_figure_parts_trials_without_control_below_a_heading(past):
    left = past_figure(past).axes[0]
    y = left.get_yticks()
    assert (np.diff(y) < 0).all()
    headings = {text.get_text(): text.get_position()[1] for text in left.texts}
    assert list(headings) == list(HEADINGS.values())
    with_control, without = headings.values()
    assert with_control > y[0] > y[1] > without > y[2]
    enough = [line for lines in left.collections for line in lines.get_segments() if np.all(line[:, 0] == 0.8)]
    assert [(line[:, 1].min() > without, line[:, 1].max() < with_control) for line in enough] == [(True, True)]


@pytest.mark.parametrize("controlled", [True, False])
def test_past_figure_of_one_group_has_its_heading_alone(past, controlled):
    left = past_figure(past.isel(trial=past["controlled"].values == controlled)).axes[0]
    assert [text.get_text() for text in left.texts] == [HEADINGS[controlled]]


def past_text(past: xr.Dataset, folder: Path, effect: float = 1.42) -> str:
    """The page drawn from a folder with these figures."""
    past.to_netcdf(folder / "past.nc")
    answer = {"kind": "past", "effect": effect, "sentences": past_sentences(past, effect)}
    result = Result(answer, folder)
    past_page(result, UNSEEN)
    return result.report.read_text(encoding="utf-8")


def test_past_page_stands_alone_and_escapes(past, tmp_path):
    page = past_text(past, tmp_path)
    check_page(page)
    assert (tmp_path / "figures" / "past.svg").exists()
    assert page.count("<svg") == 1
    assert not re.search(r'(src|href)="(?!#)', page)
    text = text_of(page)
    assert DISCLAIMER in text
    headline, *others = past_sentences(past, 1.42)
    assert headline.startswith("1 of 2 trials with a control group had 80 % power")
    for words in (headline.rstrip("."), *HEADINGS.values(), "not independent", "stands in", "assumptions", "/ (r SD)"):
        assert words in text
    assert "in 61 % of repetitions" in others[-1]
    assert others[-1] in text
    assert re.search(r"Sun 2017\s+63\s+crossover, first period\s+12\s+ancova\s+20 %\s+\u00b1 0.30 %\s+2.4 %", text)


def test_past_says_where_its_gain_comes_from_only_of_that_gain(past, tmp_path):
    assert "Finch-Edmondson" in past_text(past, tmp_path)
    assert "Finch-Edmondson" not in past_text(past, tmp_path, effect=3.0)
