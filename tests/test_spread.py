"""The field's SDs of change: which children they come from, what they predict, what is left out."""

import dataclasses
import math

import numpy as np
import pytest
from clean_evidence import clean_evidence
from damage import trial
from hypothesis import given, settings
from hypothesis import strategies as st

from gmfmsim import check, run
from gmfmsim.evidence import spread
from gmfmsim.evidence.contrasts import Selection, select_contrasts
from gmfmsim.evidence.read import read_tables
from gmfmsim.evidence.readings import read_contrasts
from gmfmsim.evidence.schema import Tables
from gmfmsim.evidence.spread import (
    SpreadField,
    StudySpread,
    field_of,
    judging_fields,
    out_of_line,
    spread_field,
    study_spreads,
    window,
)
from gmfmsim.question import evidence as asked
from gmfmsim.question.question import read_question

NOT = frozenset()


@pytest.fixture(scope="module")
def tables():
    return read_tables()


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return read_tables(clean_evidence(tmp_path_factory.mktemp("clean")))


def arms(spreads: list[StudySpread]) -> dict[str, set[str]]:
    return {s.study: {r["arm_id"] for r in s.rows} for s in spreads}


def rescaled(tables: Tables, factor: float, study: str | None = None) -> Tables:
    """Return tables with the SDs of one study, or of all, multiplied."""
    outcomes = [
        r | {"sd": r["sd"] * factor} if r["sd"] and study in (None, r["study_id"]) else r
        for r in tables.rows["outcomes"]
    ]
    return dataclasses.replace(tables, rows=tables.rows | {"outcomes": outcomes})


def judged(spreads: list[StudySpread], month: float, without_study: str | None) -> SpreadField | None:
    """The field that judges first, of all these studies but one."""
    return next(judging_fields(spreads, month, without_study, NOT), None)


# which children


def test_known_arms_of_the_shipped_field_hold_every_child_once(tables):
    assert arms(study_spreads(tables, 12)) == {
        "Sun2017": {"ucb", "ctrl"},  # not its dose halves, nor the children treated in either year
        "Sun2022": {"allocb", "hct_msc", "ctrl"},
        "Amanat2021": {"uct_msc", "ctrl"},
        "Zarrabi2022": {"ucb_mnc"},  # the sham children stand in Amanat2021
        "Huang2018": {"ucb_msc", "ctrl"},
        "Gu2020": {"uc_msc", "ctrl"},
    }
    assert arms(study_spreads(tables, 6)) == {
        "Sun2021sib": {"ucb"},
        "Huang2018": {"ucb_msc", "ctrl"},
        "Kang2015": {"ucb", "ctrl"},
        "Min2013": {"pucb", "epo", "ctrl"},
        "Gu2020": {"uc_msc", "ctrl"},
    }
    scales = {r["scale"] for s in study_spreads(tables, 6) for r in s.rows}
    assert "GMFM-interval 1-6" not in scales


def test_known_log_sd_of_one_study(tables):
    """Sun 2017: 5.6 in 31 and 6.8 in 32 children; ln sd + 1/(2(n - 1)), weighted by n - 1."""
    (sun,) = (s for s in study_spreads(tables, 12) if s.study == "Sun2017")
    assert sun.log_sd == pytest.approx((30 * (math.log(5.6) + 1 / 60) + 31 * (math.log(6.8) + 1 / 62)) / 61, rel=1e-12)
    assert sun.variance == pytest.approx(1 / (2 * 61), rel=1e-12)
    (gu,) = (s for s in study_spreads(tables, 12) if s.study == "Gu2020")  # 0 to 264
    raw = (19 * (math.log(39.3637) + 1 / 38) + 18 * (math.log(41.8454) + 1 / 36)) / 37
    assert gu.log_sd == pytest.approx(raw + math.log(100 / 264), rel=1e-12)


def test_an_arm_composed_of_others_is_left_out(clean, tmp_path):
    both = {"study_id": "Birch2017", "scale": "GMFM-88", "scale_max": 100, "month": 6, "kind": "change", "n": 52}
    both |= {"arm_id": "low+high", "mean": 5.8, "sd": 7.1, "sd_source": "reported"}
    own = read_tables(clean_evidence(tmp_path, rows={"outcomes": [both]}))
    assert arms(study_spreads(own, 6)) == arms(study_spreads(clean, 6))


# what they predict


def restricted_likelihood_on_a_grid(spreads: list[StudySpread]) -> tuple[float, float]:
    """REML by brute force: mean of log SD and predictive SD at the tau^2 of highest restricted likelihood."""
    y, v = (np.array([getattr(s, name) for s in spreads]) for name in ("log_sd", "variance"))
    tau2 = np.linspace(0, 2, 200_001)
    w = 1 / (v[:, None] + tau2)
    mean = (w * y[:, None]).sum(0) / w.sum(0)
    fit = -0.5 * (np.log(v[:, None] + tau2).sum(0) + np.log(w.sum(0)) + (w * (y[:, None] - mean) ** 2).sum(0))
    best = fit.argmax()
    return math.exp(mean[best]), math.sqrt(tau2[best] + 1 / w.sum(0)[best])


@pytest.mark.parametrize(("month", "study"), [(12, None), (12, "Amanat2021"), (6, "Huang2018"), (6, None)])
def test_known_field_is_the_restricted_likelihood(tables, month, study):
    field = spread_field(tables, month, without_study=study)
    kept = [s for s in study_spreads(tables, month) if s.study not in (study, "Huang2018")]
    median, log_sd = restricted_likelihood_on_a_grid(kept)
    assert (field.k_studies, field.k_arms) == (len(kept), sum(len(s.rows) for s in kept))
    assert field.median == pytest.approx(median, rel=1e-4)  # the grid steps by 1e-5 in tau^2
    assert field.log_sd == pytest.approx(log_sd, rel=1e-4)


def test_recovery_of_a_planted_field():
    """400 trials of 30 children, log SD ~ Normal(log 7, 0.3): median and log_sd within four standard errors."""
    rng, k, n = np.random.default_rng(20), 400, 30
    true = np.exp(rng.normal(math.log(7), 0.3, k))
    observed = true * np.sqrt(rng.chisquare(n - 1, k) / (n - 1))
    variance = 1 / (2 * (n - 1))
    field = field_of(StudySpread(str(i), math.log(s) + variance, variance, ()) for i, s in enumerate(observed))
    total = 0.3**2 + variance
    assert abs(math.log(field.median / 7)) < 4 * math.sqrt(total / k)
    assert abs(field.log_sd**2 - 0.3**2) < 4 * total * math.sqrt(2 / k)


def test_known_predictive_of_equal_studies():
    """Equal SDs: no variance between studies, and log_sd is the standard error of the mean, sqrt(v / k)."""
    field = field_of(StudySpread(name, math.log(6), 0.02, ()) for name in "abcd")
    assert field.median == pytest.approx(6, rel=1e-12)
    assert field.log_sd == pytest.approx(math.sqrt(0.02 / 4), rel=1e-9)
    assert field.interval() == pytest.approx(
        (6 * math.exp(-1.96 * 0.005**0.5), 6 * math.exp(1.96 * 0.005**0.5)), rel=1e-5
    )
    assert field.z(math.log(6)) == pytest.approx(0, abs=1e-12)
    assert field.z(math.log(6) + 0.15, 0.04) == pytest.approx(0.15 / math.sqrt(0.045), rel=1e-9)


@settings(max_examples=10, deadline=None)
@given(st.floats(0.2, 5))
def test_the_field_scales_with_the_sds(clean, factor):
    field, times = spread_field(clean, 6), spread_field(rescaled(clean, factor), 6)
    assert times.median == pytest.approx(factor * field.median, rel=1e-6)
    assert times.log_sd == pytest.approx(field.log_sd, rel=1e-6)


# what is left out


def test_known_study_out_of_line_is_left_out_at_all_its_months(tables):
    assert out_of_line(tables) == {"Huang2018"}
    assert spread_field(tables, 6) == spread_field(tables, 6, without_study="Huang2018")
    assert spread_field(tables, 12) == spread_field(tables, 12, without_study="Huang2018")


@pytest.mark.parametrize("factor", [0.1, 0.2, 5, 10])
def test_recovery_of_a_study_out_of_line(clean, factor):
    assert out_of_line(clean) == NOT
    assert out_of_line(rescaled(clean, factor, "Dogwood2019")) == {"Dogwood2019"}


def test_a_study_does_not_judge_itself(clean):
    field = judged(study_spreads(clean, 6), 6, "Fir2021")
    assert field == judged(study_spreads(rescaled(clean, 1.1, "Fir2021"), 6), 6, "Fir2021")
    assert field != judged(study_spreads(rescaled(clean, 1.1, "Fir2021"), 6), 6, "Elm2020")


def test_few_studies_take_the_shipped_field(tables, clean):
    """The made-up studies report month 12 twice: the shipped field judges them, without a study of the same name."""
    assert len(study_spreads(clean, 12)) == 2
    assert spread_field(clean, 12) == spread_field(tables, 12)
    assert spread_field(clean, 6).k_studies == 6
    assert spread_field(clean, 6) != spread_field(tables, 6)
    assert spread_field(clean, 12, without_study="Gu2020") == spread_field(tables, 12, without_study="Gu2020")


def test_windows_with_few_studies_are_joined_by_their_neighbours(tables):
    assert study_spreads(tables, 24) == []
    assert spread_field(tables, 24) == spread_field(tables, 12)
    early = spread_field(tables, 1)
    assert early.k_studies == 4  # Min2013 and Gu2020 at month 1; Kang2015 and Sun2021sib at month 6
    assert early.median < spread_field(tables, 3).median < spread_field(tables, 6).median
    assert judged(study_spreads(tables, 1), 1, None) is None  # joined windows impute, they do not judge


@pytest.mark.parametrize(
    ("month", "index"), [(0, 0), (2, 0), (2.5, 1), (4.5, 1), (6, 2), (9, 2), (12, 3), (18, 3), (24, 4)]
)
def test_known_windows(month, index):
    assert window(month) == index


def test_a_month_that_is_not_known_counts_as_the_primary_endpoint(tables):
    assert window(math.nan) == window(12)
    assert spread_field(tables, math.nan) == spread_field(tables, 12)


@pytest.mark.parametrize("month", [-1, math.inf])
def test_a_month_that_cannot_be_is_refused(tables, month):
    with pytest.raises(ValueError, match=r"month .*: must be from 0 up"):
        spread_field(tables, month)


# where a field is from


def thin(tables: Tables) -> Tables:
    """Return Liu 2017 alone, as a user's own tables: no study of theirs prints an SD."""
    rows = {name: [r for r in some if r.get("study_id") == "Liu2017"] for name, some in tables.rows.items()}
    return dataclasses.replace(tables, rows=rows, sha256="own")


def liu(own: Tables):
    selected = select_contrasts(own, Selection(study="Liu2017", month=12))
    return read_contrasts(selected, own, "average")


def test_a_borrowed_field_says_so(tables, clean):
    assert not any(spread_field(tables, month).borrowed for month in (1, 3, 6, 12, 24))
    assert not spread_field(clean, 6).borrowed
    assert spread_field(clean, 12).borrowed
    assert spread_field(clean, 1).borrowed  # windows of the shipped tables, joined
    fields = list(judging_fields(study_spreads(clean, 6), 6, None, NOT))
    assert [(f.k_studies, f.borrowed) for f in fields] == [(6, False), (4, True)]
    (only,) = judging_fields(study_spreads(tables, 6), 6, None, out_of_line(tables))
    assert not only.borrowed


def test_contrasts_carry_what_their_sds_were_taken_from(tables):
    assert "field_of_sds" not in liu(tables).attrs
    assert liu(thin(tables)).attrs["field_of_sds"] == tables.sha256
    assert liu(thin(tables))["se"].values == pytest.approx(liu(tables)["se"].values, rel=1e-12)


def written(tables: Tables, folder) -> str:
    """Write an experiment on Liu 2017 and Kang 2015 alone as a user's own folder."""
    own = folder / "own"
    own.mkdir()
    for name in ("studies", "arms", "contrasts", "outcomes", "readings"):
        lines = (tables.folder / f"{name}.csv").read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines[1:] if line.startswith(("Liu2017,", "Kang2015,"))]
        (own / f"{name}.csv").write_text("".join([lines[0], *kept]), encoding="utf-8")
    return str(
        trial(
            folder,
            {"evidence.tables": "own", "sampler": {"cross_check": False}, "sensitivity": {"changed": ["dropout"]}},
        )
    )


def test_every_table_that_is_read_is_in_the_key(tables, tmp_path, monkeypatch):
    """The same tables beside other shipped evidence: another n, so another key."""
    path = written(tables, tmp_path)
    first = read_question(path)
    key, read = first.key, [first.plans[0].contrasts]
    other = dataclasses.replace(rescaled(tables, 1.5), sha256="other")
    for cached in (spread._shipped, spread._widened):
        cached.cache_clear()
    monkeypatch.setattr(spread, "shipped_tables", lambda: other)
    monkeypatch.setattr(asked, "shipped_tables", lambda: other)
    second = read_question(path)
    read.append(second.plans[0].contrasts)  # contrasts are read where they are asked for
    for cached in (spread._shipped, spread._widened):
        cached.cache_clear()
    (i, _) = np.flatnonzero(read[0]["study"].values == "Liu2017")
    se = [contrasts["se"].values[0, i] for contrasts in read]
    assert se[1] == pytest.approx(1.5 * se[0], rel=1e-6)
    assert key != second.key
    assert asked.read_from(other) == {"tables": other.sha256}  # on the shipped tables nothing is added


def test_the_page_says_that_sds_are_borrowed(tables, tmp_path, blank_figures):
    said = "SDs that are not known are distributed as in the evidence shipped with the package"
    (plan,) = check(written(tables, tmp_path))["plans"]
    assert [said in note for note in plan["notes"]] == [True]
    result = run(str(tmp_path / "trial.toml"), tmp_path / "results")
    assert said in result.report.read_text(encoding="utf-8")
