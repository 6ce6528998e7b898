"""Names in figures: legible in the one font that every machine has, on their line, and never read as mathematics."""

import csv
import io
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from conftest import DRAW, examples, svg_alone
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import gmfmsim
from gmfmsim.answer.children import Reported, children_seen
from gmfmsim.answer.evidence import contrasts
from gmfmsim.answer.plan import Answered
from gmfmsim.answer.truths import effects_of
from gmfmsim.model.average import Member
from gmfmsim.model.declare import ModelChoice, read_model
from gmfmsim.model.describe import describe
from gmfmsim.model.effect import band
from gmfmsim.report import figures, rerun
from gmfmsim.report.children import children_caption, children_figure
from gmfmsim.report.designs import curves_figure
from gmfmsim.report.labels import can_be_set, fitted, labels, line, width, with_key
from gmfmsim.report.look import STYLE
from gmfmsim.report.model import prior_figure
from gmfmsim.report.past import past_figure, past_labels
from gmfmsim.trial.presets import read_design

LONG = (
    "A study whose name somebody wrote out in full with all of its authors and the whole title of the paper, as "
    "reference managers do, more than two hundred characters long, so that it has to be seen what becomes of it"
)
TYPED = ["Müller, Ångström & Çelik 2010", "Cost $5 v $10_{x}^{y} 2011", r"$\frac{1}{ 2012", "<script>alert(1)</script>"]
"""Names as reviewers type them, which a figure can show as they are."""
FOREIGN = ["黄 2018", "دراسة 2019", "שלום 2020", "การ 2021", "अध्ययन 2022", "😀 \U0001f9d2 2023"]
"""Names that no figure can show: signs that the font lacks, or that run from right to left or join one another."""
WIDE = [f"{LONG} 2014", f"{LONG} 2015", "W" * 200, "i" * 200, "x" * 40 + "\n" + "y" * 40]
NAMES = [*TYPED, *FOREIGN, *WIDE]


# one name


@pytest.mark.parametrize(
    "name", [*TYPED, *WIDE, "Ελληνικά 2010", "Ελ. Иванов 2011", "Cafe\u0301 2012", "a \u2013 b ≥ c … † “d”"]
)
def test_what_the_font_has_is_set(name):
    assert can_be_set(name)


@pytest.mark.parametrize("name", [*FOREIGN, "a\u202eb", "a\u200bb", "\ue000", "\ud83d", "x\u0302\u0323"])
def test_what_it_lacks_or_sets_wrongly_is_not(name):
    """Neither marks that turn the direction of text, nor blanks of no width, nor signs of no meaning."""
    assert not can_be_set(name)


def test_a_decomposed_letter_is_composed():
    assert fitted("Cafe\u0301", 100, 9) == "Café"
    assert fitted(" two\n lines\t", 100, 9) == "two lines"


@settings(max_examples=examples(40, 100), deadline=None)
@given(
    st.text(st.characters(min_codepoint=32, max_codepoint=0x24F, exclude_categories=["Cc", "Cf"]), max_size=300),
    st.floats(60, 400),
)
def test_a_name_fits_its_room_and_is_cut_only_if_it_must_be(name, points):
    plain = " ".join(unicodedata.normalize("NFC", name).split())
    shown = fitted(name, points, 9)
    assert width(shown, 9) <= points
    assert (shown == plain) == (width(plain, 9) <= points)
    if shown != plain:
        begin, _, end = shown.partition("...")
        assert plain.startswith(begin)
        assert plain.endswith(end)


def test_width_is_that_of_matplotlib():
    """Against the box that the renderer draws: 1000 dots an inch, so that rounding to dots is lost."""
    figure = Figure(dpi=1000)
    canvas = FigureCanvasAgg(figure)
    with rc_context(STYLE):
        for text, weight in (("Müller, Ångström & Çelik 2010", "normal"), ("expanded MSC, intravenous", "bold")):
            box = figure.text(0, 0, text, fontsize=9, fontweight=weight).get_window_extent(canvas.get_renderer())
            assert width(text, 9, bold=weight == "bold") == pytest.approx(box.width * 72 / 1000, rel=0.02)


# many names


def test_labels_are_names_or_numbers_with_a_key():
    found = labels(["Sun2017", "黄 2018", "Sun2017", "دراسة 2019", "[2]", ""], 200, 9)
    assert found.of == {"Sun2017": "Sun2017", "黄 2018": "[2]", "دراسة 2019": "[3]", "[2]": "[2] [4]", "": "[5]"}
    assert found.keyed == {"[2]": "黄 2018", "[3]": "دراسة 2019", "[2] [4]": "[2]", "[5]": ""}
    assert found.key.startswith(f"[2] \u2068{FOREIGN[0]}\u2069; [3] \u2068{FOREIGN[1]}\u2069; ")
    assert labels(["Sun2017"], 200, 9).key == ""


def test_labels_are_different_and_as_wide_as_told():
    found = labels(NAMES, 200, 9)
    assert len(set(found.of.values())) == len(NAMES)
    number = width(" [15]", 9)
    assert all(width(label, 9) <= 200 + number for label in found.of.values())
    assert all(found.of[name] == name for name in TYPED)
    assert found.of[WIDE[0]].startswith("A study whose name")
    assert found.of[WIDE[0]].endswith("2014")


def test_a_label_gives_way_to_what_is_said_of_it():
    said = line("x" * 200, ": 1.23 (0.45 to 6.78)", 200, 9)
    assert said.endswith("x: 1.23 (0.45 to 6.78)")
    assert width(said, 9) <= 200


def test_a_caption_ends_with_the_key():
    assert with_key("Drawn.", labels(["黄"], 99, 9), labels(["Sun"], 99, 9)) == "Drawn. [1] \u2068黄\u2069."
    assert with_key("Drawn.", labels(["Sun"], 99, 9)) == "Drawn."


# in figures


def assert_legible(figure: Figure, least: float) -> list[str]:
    """Draw a figure, let no library warn, and hold every text inside it and the axes to their share of its width.

    least: the share of the width of the figure that each of its axes has at least. Returns the texts.
    """
    with rc_context(STYLE):
        figure.savefig(io.BytesIO(), format="svg")
        figure.set_dpi(200)  # as the PNG is drawn
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw(renderer)
    found = []
    for ax in figure.axes:
        assert ax.get_position().width >= least
        for text in [*ax.texts, *ax.get_yticklabels(), ax.xaxis.label, ax.title]:
            if text.get_text() and text.get_visible():
                box = text.get_window_extent(renderer)
                assert box.x0 >= -2, text
                assert box.x1 <= 1.01 * figure.bbox.width, text  # hinting makes a row of letters a little wider
                found.append(text.get_text())
    return found


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """A run on a flat file whose studies have the names of NAMES, with what the figures' captions say."""
    folder = tmp_path_factory.mktemp("named")
    with (folder / "names.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("study", "arm", "dose", "n", "mean", "sd", "month"))
        for i, name in enumerate(n for n in NAMES if "\n" not in n):
            rows.writerow((name, "干细胞", "5e7 cells/kg", 30, 5 + 0.1 * i, 6, 12))
            rows.writerow((name, "a$b$", 0, 30, 3, 5.7, 12))
    (folder / "names.toml").write_text(
        """
question = "Which names?"
seed = 1
evidence = { tables = "names.csv", select = { default_use = "primary" } }
model = { name = "random_effects" }
sampler = { cross_check = false, draws = 500 }
sensitivity = { changed = ["without study"] }
[trial]
month = 12
arms = [{ name = "control", dose = "0 cells/kg" }, { name = "cells", dose = "5e7 cells/kg" }]
sd_change = { dist = "lognormal", median = 5.5, sigma = 0.12 }
dropout = 0.1
[search]
target = { metric = "assurance", value = 0.80 }
planning_value = 1.42
replicates = 1000
""",
        encoding="utf-8",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", svg_but_forest)
        return gmfmsim.run(str(folder / "names.toml"), folder / "results")


def svg_but_forest(self, path, **how):
    """What stands for `Figure.savefig`: figures drawn once, the forest as a PNG too."""
    (DRAW if Path(path).stem.endswith("forest") else svg_alone)(self, path, **how)


def test_a_page_shows_every_name(named):
    """As text, below the figure where the figure cannot; warnings of libraries are errors here."""
    page = named.report.read_text(encoding="utf-8")
    for i, name in enumerate(FOREIGN, len(TYPED) + 1):
        assert f"[{i}] \u2068{name}\u2069" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page
    assert page.count(f"{LONG} 2014") >= 1
    assert (named.folder / "figures" / "forest.svg").stat().st_size > 10_000


def test_the_forest_keeps_its_room(quickstart_fit):
    """The quick start's studies with other names, and routes of all kinds."""
    plan, tree = quickstart_fit
    count = plan.contrasts.sizes["contrast"]
    routes = [("intravenous", "静脉", LONG)[i % 3] for i in range(count)]
    odd = plan.contrasts.assign(study=("contrast", NAMES[:count]), route=("contrast", routes))
    member = Member("random_effects", plan.models["random_effects"], None, 1.0, draws=tree)
    effect = band(effects_of(plan, [member], {"cells": 5e7}), "dose", np.array([5e7]), seed=1)
    named = replace(plan, reading=lambda: replace(plan.evidence, contrasts=odd))
    answer = Answered(named, [member], None, None, [], effect, {}, [], [], None, [], {})
    result = figures.Drawn({"unit": plan.unit}, {"contrasts": contrasts(answer), "effect": effect})
    texts = assert_legible(figures.forest(result), 0.9)
    assert any(t.startswith(r"$\frac{1}{ 2012") for t in texts)
    assert any(t.startswith("[5]") for t in texts)
    assert "静脉" in figures.forest_labels(result).key


def test_past_trials_keep_their_room():
    n = len(NAMES)
    figure = {name: ("trial", np.linspace(0.1, 0.9, n)) for name in ("power", "false_claims", "assurance", "type_s")}
    figure |= {f"{name}_mcse": ("trial", np.full(n, 0.01)) for name in (*figure, "type_m")}
    figure |= {"type_m": ("trial", np.linspace(1, 3, n)), "n_total": ("trial", np.full(n, 400))}
    data = xr.Dataset(figure | {"controlled": ("trial", np.arange(n) % 2 == 0)}, {"trial": NAMES})
    assert_legible(past_figure(data), 0.15)
    assert set(past_labels(data).keyed.values()) >= set(FOREIGN)


@pytest.mark.parametrize("draw", [rerun.forest, pytest.param(rerun.p_values, marks=pytest.mark.slow)])
def test_reviews_keep_their_room(draw):
    def check(title: str, kind: str) -> dict:
        names = ("estimate", "ci_low", "ci_high", "p")
        numbers = [
            {"name": k, "published": v, "computed": v, "qualifier": "<"}
            for k, v in zip(names, (1, 0, 2, 0.05), strict=True)
        ]
        return {"title": title, "kind": kind, "measure": "SMD", "figures": numbers, "variants": []}

    checks = [check(name, "p_value") for name in NAMES]
    checks[0]["variants"] = [{"label": name, "figures": checks[0]["figures"]} for name in NAMES]
    texts = assert_legible(draw(checks), 0.9)
    assert any(t.startswith("[5]") for t in texts)
    assert any("$5 v $10_{x}^{y}" in t for t in texts)


def test_reported_changes_keep_their_room():
    reported = [Reported(name, 5.0, 5.0, 30, "") for name in NAMES]
    design = read_design("next_parallel")
    seen = children_seen(design, 1, reported, trials=4)
    texts = assert_legible(children_figure(seen), 0.15)
    assert "[5]\n(30 children)" in texts
    assert "[5] \u2068黄 2018\u2069" in children_caption(seen)


def test_analyses_with_long_names_leave_room_for_their_curves():
    names = ["t", f"ancova ({', '.join(['baseline'] * 100)})"]
    n = [50, 100]
    values = np.full((2, 2, 2), 0.5)
    dims = ("scenario", "n", "analysis")
    surface = xr.Dataset(
        {"success": (dims, values), "success_mcse": (dims, values / 100)},
        {"scenario": ["new_study", "null"], "n": n, "analysis": names, "randomised": ("n", [100, 200])},
    )
    assert_legible(curves_figure(surface), 0.8)


@pytest.mark.parametrize("unit", ["points", r"$\frac{1}{", "分", LONG * 5, "W" * 300])
def test_the_unit_of_a_prior_keeps_to_two_lines(unit):
    row = describe(read_model(ModelChoice(name="random_effects")), graph=False).priors[0]
    texts = assert_legible(prior_figure(replace(row, unit=unit)), 0.85)
    assert max(text.count("\n") for text in texts) <= 1
    assert any(text.startswith(row.name) for text in texts)
