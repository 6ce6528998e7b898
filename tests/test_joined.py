"""A user's own studies beside the shipped ones: one evidence, and every figure still names its file and row."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from damage import command, damaged_tables, trial

import gmfmsim
from gmfmsim.answer.assumptions import Assumed, without_studies
from gmfmsim.evidence.audit import audit, report
from gmfmsim.evidence.contrasts import Selection, select_contrasts
from gmfmsim.evidence.joined import read_sources
from gmfmsim.evidence.read import PACKAGE_TABLES, read_tables
from gmfmsim.evidence.readings import read_contrasts
from gmfmsim.evidence.spread import out_of_line, shipped_tables, spread_field
from gmfmsim.faults import InputError
from gmfmsim.model.declare import ModelChoice, read_model
from gmfmsim.model.exact import posterior, prepared, refusal
from gmfmsim.model.structure import structure
from gmfmsim.question.question import question_from, read_question

HEADER = "study,arm,dose,n,mean,sd,month,scale,cell_class,route\n"
PILOTS = HEADER + (
    "Alder,cells,5e7 cells/kg,20,6.1,5.5,12,GMFM-66,TNC_MNC,IV\n"
    "Alder,none,0,20,3.2,5.1,12,GMFM-66,,\n"
    "Alder,cells,5e7 cells/kg,20,4.1,4.5,6,GMFM-66,TNC_MNC,IV\n"
    "Alder,none,0,20,2.2,4.1,6,GMFM-66,,\n"
    "Birch,cells,2e7 cells/kg,15,5.5,6.5,6,GMFM-66,TNC_MNC,IV\n"
    "Birch,none,0,14,3.9,6.1,6,GMFM-66,,\n"
)
BOTH = ["package", "pilots.csv"]
PRIMARY = Selection(default_use="primary")


@pytest.fixture
def pilots(tmp_path):
    path = tmp_path / "pilots.csv"
    path.write_text(PILOTS, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def joined(tmp_path_factory):
    folder = tmp_path_factory.mktemp("joined")
    (folder / "pilots.csv").write_text(PILOTS, encoding="utf-8")
    return read_sources(BOTH, folder)


def told(folder: Path, text: str, names=("package", "own.csv")) -> list:
    (folder / "own.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as refusal:
        read_sources(names, folder)
    return refusal.value.faults


# the contrasts of both


def test_known_the_contrasts_are_those_of_both(joined, pilots):
    """Effects and standard errors of the pilots by hand; the shipped ones as they are; no covariance between them."""
    ours = select_contrasts(read_tables(pilots), Selection(row=[2, 6]))
    shipped = select_contrasts(read_tables(), PRIMARY)
    data = select_contrasts(joined, PRIMARY)
    k = shipped.sizes["contrast"]
    for name in set(shipped.data_vars) - {"covariance"}:
        both = [*shipped[name].values.tolist(), *ours[name].values.tolist()]
        np.testing.assert_array_equal(data[name].values, np.array(both), err_msg=str(name))
    assert data["effect"].values[k:] == pytest.approx([6.1 - 3.2, 5.5 - 3.9], rel=1e-14)
    by_hand = [(5.5**2 + 5.1**2) / 20, 6.5**2 / 15 + 6.1**2 / 14]
    assert data["se"].values[k:] ** 2 == pytest.approx(by_hand, rel=1e-14)
    covariance = np.zeros((k + 2, k + 2))
    covariance[:k, :k], covariance[k:, k:] = shipped["covariance"], np.diag(by_hand)
    np.testing.assert_allclose(data["covariance"], covariance, rtol=1e-14)
    assert data["file"].values.tolist() == ["contrasts.csv"] * k + ["pilots.csv"] * 2
    assert data["row"].values[k:].tolist() == [2, 6]


def test_readings_of_shipped_figures_hold_beside_own_studies(joined):
    shipped = read_contrasts(select_contrasts(read_tables(), PRIMARY), read_tables(), "average")
    data = read_contrasts(select_contrasts(joined, PRIMARY), joined, "average")
    assert data["suspect"].values.tolist() == shipped["suspect"].values.tolist()
    np.testing.assert_array_equal(data["reading_of"], shipped["reading_of"])
    np.testing.assert_allclose(data["weight"], shipped["weight"], rtol=1e-14)
    # lines 2 and 6 are rows of contrasts.csv too: the pilots are not read as these
    assert data["effect"].values[:, -2:].tolist() == [[pytest.approx(2.9), pytest.approx(1.6)]] * data.sizes["reading"]
    assert (data["log_se_sd"].values[:, -2:] == 0).all()


def test_own_studies_count_in_the_field_of_sds(joined):
    """The field about month 12 has one study more, and is not borrowed; the shipped studies stay in it or out of it."""
    alone, both = spread_field(shipped_tables(), 12), spread_field(joined, 12)
    assert both.k_studies == alone.k_studies + 1
    assert not both.borrowed
    assert out_of_line(joined) == out_of_line(shipped_tables())


def test_an_own_sd_that_is_a_standard_error_stays_out_of_the_field(tmp_path):
    (tmp_path / "pilots.csv").write_text(PILOTS.replace("6.1,5.5", "6.1,1.2").replace("3.2,5.1", "3.2,1.1"), "utf-8")
    tables = read_sources(BOTH, tmp_path)
    assert out_of_line(tables) == out_of_line(shipped_tables()) | {"Alder"}
    assert "Alder" in {f.study for f in audit(tables) if f.check in ("sd_out_of_line", "spread_is_se")}


def test_the_order_of_the_names_is_that_of_the_rows(tmp_path, pilots, joined):
    other = read_sources(BOTH[::-1], tmp_path)
    assert other.rows["contrasts"][0]["study_id"] == "Alder"
    assert other.sha256 != joined.sha256
    assert sorted(r["row"] for r in other.rows["contrasts"]) == sorted(r["row"] for r in joined.rows["contrasts"])


@pytest.mark.parametrize(
    ("rows", "primary"),
    [
        ([("GMFM-66", 12), ("GMFM-66", 6)], 2),
        ([("GMFM-88", 12), ("GMFM-66", 6)], 4),
        ([("GMFM-66", 3), ("GMFM-66", 9), ("GMFM-66", 24)], 4),
        ([("GMFM-66", 18), ("GMFM-66", 6)], 4),
        ([("GMFM-66", 1)], 2),
    ],
    ids=["month 12", "GMFM-66", "nearest to 12", "the earlier of two", "the only one"],
)
def test_known_one_contrast_of_the_same_children_is_primary(tmp_path, rows, primary):
    arms = "A,cells,5e7 cells/kg,20,6,5,{1},{0},MSC,IV\nA,none,0,20,3,5,{1},{0},,\n"
    (tmp_path / "own.csv").write_text(HEADER + "".join(arms.format(*row) for row in rows), encoding="utf-8")
    found = read_sources(["package", "own.csv"], tmp_path).where("contrasts", study_id="A")
    assert len(found) == len(rows)
    assert [r["row"] for r in found if r["default_use"] == "primary"] == [primary]
    assert {r["default_use"] for r in found if r["row"] != primary} <= {"sensitivity"}


def test_a_folder_and_a_flat_file_stand_beside_each_other(tmp_path, pilots):
    small = damaged_tables(tmp_path, "arms", {})
    tables = read_sources(["tables", "pilots.csv"], tmp_path)
    assert {r["file"] for r in tables.rows["contrasts"]} == {"tables/contrasts.csv", "pilots.csv"}
    assert {r["file"] for r in tables.rows["pooled"]} == {"tables/pooled.csv"}
    assert [len(tables.rows[n]) for n in ("contrasts", "events")] == [
        len(read_tables(small).rows["contrasts"]) + 3,
        len(read_tables(small).rows["events"]),
    ]


def test_files_of_one_name_are_told_apart(tmp_path):
    for folder, study in (("a", "Alder"), ("b", "Birch")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "contrasts.csv").write_text(
            f"study,arm,dose,n,mean,sd\n{study},cells,5e7 cells/kg,20,5,6\n{study},none,0,20,3,6\n",
            encoding="utf-8",
        )
    tables = read_sources(["package", "a/contrasts.csv", "b/contrasts.csv"], tmp_path)
    assert [r["file"] for r in tables.rows["contrasts"]][-2:] == ["a/contrasts.csv", "b/contrasts.csv"]
    assert len({(r["file"], r["row"]) for r in tables.rows["contrasts"]}) == len(tables.rows["contrasts"])


# keys, copies, commands


def test_one_source_has_the_key_of_its_name_alone(tmp_path, pilots):
    keys = {
        str(names): question_from(
            {**_valid(), "evidence": {"tables": names, "select": {"study": study}}}, tmp_path / "trial.toml"
        ).key
        for names, study in (("package", "Kang2015"), (["package"], "Kang2015"))
    }
    assert len(set(keys.values())) == 1
    flat = [
        question_from({**_valid(), "evidence": {"tables": names, "select": {"month": 12}}}, tmp_path / "trial.toml").key
        for names in ("pilots.csv", ["pilots.csv"])
    ]
    assert flat[0] == flat[1] != keys["package"]


def _valid() -> dict:
    import tomllib

    from damage import VALID

    return tomllib.loads(VALID) | {"name": "trial"}


def test_the_key_counts_what_every_source_holds(tmp_path, pilots):
    path = trial(tmp_path, {"evidence.tables": BOTH})
    first = read_question(path).key
    pilots.write_text(PILOTS.replace("6.1,5.5", "6.2,5.5"), encoding="utf-8")
    assert read_question(path).key != first
    pilots.write_text(PILOTS, encoding="utf-8")
    assert read_question(path).key == first


def test_two_pilots_change_n_in_one_command(pilots, monkeypatch, capsys):
    """Of a shipped experiment, from the folder where the pilots are."""
    monkeypatch.chdir(pilots.parent)
    found = []
    for more in ((), ("--set", "evidence.tables=['package', 'pilots.csv']")):
        assert command(monkeypatch, "size", "quickstart_one_mean", *more, "--json") == 0
        found.append(json.loads(capsys.readouterr().out))
    alone, both = (one["plans"][0] if "plans" in one else one for one in found)
    assert alone["n_total"] != both["n_total"]
    assert both["n_total"] > 0


def test_check_says_what_was_taken_from_where(pilots, monkeypatch, capsys):
    path = trial(pilots.parent, {"evidence.tables": BOTH})
    assert command(monkeypatch, "check", path) == 0
    text = capsys.readouterr().out
    assert "14 contrasts of 11 studies" in text
    assert "Alder cells v none, month 12 (pilots.csv row 2)" in text
    assert "Kang2015 ucb v ctrl, month 6 (contrasts.csv row 29)" in text
    assert (
        "2 of 3 contrasts of pilots.csv are taken; not taken: Alder cells v none, month 6 (pilots.csv row 4)." in text
    )
    assert command(monkeypatch, "check", path, "--json") == 0
    (plan,) = json.loads(capsys.readouterr().out)["plans"]
    assert (
        dict(zip(plan["contrasts"], plan["sources"], strict=True))["Birch cells v none, month 6"] == "pilots.csv row 6"
    )


def test_paths_of_a_change_are_relative_to_the_current_folder(pilots, tmp_path, monkeypatch):
    """Whatever folder the experiment stands in; those in its file are relative to that."""
    there = tmp_path / "elsewhere"
    there.mkdir()
    own = trial(there, {})
    monkeypatch.chdir(tmp_path)
    keys = {read_question(source, {"evidence.tables": BOTH}).key for source in (own, str(own), _valid())}
    assert len(keys) == 1
    assert read_question("quickstart_one_mean", {"evidence.tables": BOTH}).plans[0].contrasts.sizes["contrast"] == 14
    assert read_question("quickstart_one_mean", {"evidence": {"tables": "package"}}).plans
    with pytest.raises(InputError) as refusal:
        read_question("quickstart_one_mean", {"evidence.tables": ["package", "nowhere.csv"]})
    assert [f.file for f in refusal.value.faults] == [str(tmp_path / "nowhere.csv")]


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """A run on both."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "pilots.csv").write_text(PILOTS, encoding="utf-8")
    quick = {"sampler": {"cross_check": False}, "sensitivity.changed": ["without study"], "search.replicates": 10_000}
    few = {"evidence.tables": BOTH, "evidence.select.study": ["Kang2015", "Sun2017", "Sun2022", "Alder", "Birch"]}
    path = trial(folder, quick | few)
    return gmfmsim.run(str(path), folder / "results")


def test_a_result_carries_own_studies_along_and_runs_again_elsewhere(result, tmp_path):
    copies = sorted(p.name for p in (result.folder / "inputs").iterdir())
    assert len(copies) == 1
    moved = shutil.copytree(result.folder, tmp_path / "moved")
    again = read_question(str(moved / "config.toml"))
    assert again.key == result.answer["key"]
    assert again.config["evidence"]["tables"] == ["package", f"inputs/{copies[0]}"]
    assert again.plans[0].contrasts.sizes["contrast"] == 7


def test_a_result_traces_every_figure_to_its_file(result):
    evidence = result.answer["evidence"]
    rows = {row["study"]: (row["file"], row["row"]) for row in evidence["trials"]}
    assert rows["Birch"] == ("pilots.csv", 6)
    assert rows["Kang2015"] == ("contrasts.csv", 29)
    with (PACKAGE_TABLES / "contrasts.csv").open(encoding="utf-8") as file:
        lines = list(csv.reader(file))
    shipped = [row for row in evidence["trials"] if row["file"] == "contrasts.csv"]
    assert len(shipped) == 5
    assert all(lines[row["row"] - 1][0] == row["study"] for row in shipped)
    assert {row["to"] for row in result.answer["sensitivity"]} >= {"Alder", "Birch", "Kang2015"}
    page = result.report.read_text(encoding="utf-8")
    assert "pilots.csv row 6" in page
    assert "contrasts.csv row 29" in page
    assert "2 of 3 contrasts of pilots.csv are taken" in page
    assert {"Alder", "Birch"} <= set(result.data("contrasts")["study"].values.tolist())


def test_an_own_trial_may_be_supposed_beside_the_shipped_ones(pilots):
    supposed = {"study": "Cedar", "effect": 0.0, "n_active": 20, "n_control": 20, "sd": 5.5}
    path = trial(pilots.parent, {"evidence.tables": BOTH, "evidence.what_if": [supposed]})
    (plan,) = read_question(path).plans
    assert plan.contrasts["study"].values.tolist()[-1] == "Cedar"
    assert plan.places[-1] == ""
    twice = trial(pilots.parent, {"evidence.tables": BOTH, "evidence.what_if": [supposed | {"study": "Birch"}]})
    with pytest.raises(InputError, match="Birch has a result already"):
        read_question(twice)


def test_each_own_study_is_left_out_once(pilots):
    (plan,) = read_question(trial(pilots.parent, {"evidence.tables": BOTH})).plans
    base = Assumed("structure", "", "", plan.models, plan.contrasts, plan.plan.trial)
    left = {case.to: case.data.sizes["contrast"] for case in without_studies(plan, base)}
    assert (left["Alder"], left["Birch"]) == (13, 13)


def test_a_pool_stands_in_for_shipped_trials_beside_own_ones(pilots):
    choice = {"meta_id": "FinchEdmondson2025", "month": 12}
    (plan,) = read_question(trial(pilots.parent, {"evidence.tables": BOTH, "evidence.individual_data": choice})).plans
    studies = plan.contrasts["study"].values.tolist()
    assert {"Alder", "Birch", "FinchEdmondson2025"} <= set(studies)
    assert "Sun2017" not in studies


def test_a_published_estimate_may_be_taken_beside_own_studies(pilots):
    changes = {"evidence.tables": BOTH, "evidence.pooled": {"meta_id": "Xie2020", "scale": "GMFM-66"}}
    published = gmfmsim.load("review_plug_in").question.plans[0]
    spec = published.plan.evidence.pooled.model_dump(exclude_none=True)
    found = question_from(
        {
            **{k: v for k, v in _valid().items() if k not in ("model", "evidence", "trial")},
            "evidence": {"tables": changes["evidence.tables"], "pooled": spec},
            "trial": {**_valid()["trial"], "sd_change": {"dist": "fixed", "value": 1.0}},
        },
        pilots.parent / "trial.toml",
    )
    assert found.plans[0].published.mean == published.published.mean


# the audit


def test_the_audit_names_file_and_row_of_each_source(pilots, tmp_path, monkeypatch, capsys):
    """A pilot with the figures of a shipped trial, to the last digit, under another name."""
    rows = read_tables().where("outcomes", study_id="Sun2017", kind="change", scale="GMFM-66", preferred="yes")
    outcomes = {row["arm_id"]: row for row in rows if row["arm_id"] in ("ucb", "ctrl")}
    text = HEADER
    for arm, dose in (("ucb", "2e7 cells/kg"), ("ctrl", "0")):
        row = outcomes[arm]
        text += f"Cedar,{arm},{dose},{row['n']},{row['mean']},{row['sd']},12,{row['scale']},,\n"
    (tmp_path / "own.csv").write_text(text, encoding="utf-8")
    found = audit(read_sources(["package", "own.csv"], tmp_path))
    (twice,) = [f for f in found if f.check == "standing_twice" and "Cedar" in f.study]
    lines = ", ".join(str(outcomes[arm]["row"]) for arm in sorted(outcomes, key=lambda a: outcomes[a]["row"]))
    assert twice.where == f"outcomes.csv rows {lines}; own.csv rows 2, 3"
    assert twice.where in " ".join(report([twice]).split())
    monkeypatch.chdir(tmp_path)
    assert command(monkeypatch, "audit", "--table", "package", "--table", "own.csv", "--json") == 0
    said = json.loads(capsys.readouterr().out)["findings"]
    assert twice.where in {f["where"] for f in said}
    alone = {(f.check, f.study, f.where, f.printed) for f in audit(read_tables())}
    beside = {(f.check, f.study, f.where, f.printed) for f in found if "Cedar" not in f.study}
    assert len(alone - beside) < len(alone) / 10  # the field of SDs has one study more; all else stays


def test_show_finds_own_studies_beside_the_shipped_ones(pilots, monkeypatch, capsys):
    both = "--tables", "package", "--tables", pilots
    assert command(monkeypatch, "show", "study", "Birch", *both) == 0
    assert "pilots.csv row 6, contrasts" in capsys.readouterr().out
    assert command(monkeypatch, "show", "contrasts", "--json", *both) == 0
    rows = json.loads(capsys.readouterr().out)["contrasts"]
    assert {row["file"] for row in rows} == {"contrasts.csv", "pilots.csv"}


# what stands in two


@pytest.mark.parametrize(
    ("name", "alike"),
    [
        ("Kang2015", False),
        ("KANG 2015", True),
        ("Káng2015", True),
        ("K\u0430ng2015", True),
        ("Kang et al. (2015)", True),
    ],
    ids=["the same", "capitals and space", "accent", "Cyrillic", "et al."],
)
def test_a_study_in_two_places_is_a_fault_that_names_both(tmp_path, name, alike):
    text = f"study,arm,dose,n,mean,sd\n{name},cells,5e7 cells/kg,20,5,6\n{name},none,0,20,3,6\n"
    (fault,) = told(tmp_path, text)
    line = read_tables().studies["Kang2015"]["row"]
    assert fault.file == "own.csv"
    assert fault.where.startswith("row 2, study ")
    assert f"stands in studies.csv, row {line} too" in fault.problem
    assert ("the same but for case, accents or marks" in fault.problem) == alike
    assert "leave its rows out of one of them" in fault.allowed


def test_a_control_group_of_another_place_is_a_fault(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    _renamed(folder, "Oak2030")
    with pytest.raises(InputError) as refusal:
        read_sources(["package", "own"], tmp_path)
    (fault,) = refusal.value.faults
    assert (fault.file, fault.where) == ("own/contrasts.csv", "row 2, column control_group")
    assert "'Kang2015:ctrl' is a control_group of contrasts.csv, row " in fault.problem


def _renamed(folder: Path, name: str) -> None:
    """Write the rows of Kang2015 as those of another study, whose control group keeps its name."""
    for table in ("studies", "arms", "contrasts"):
        with (PACKAGE_TABLES / f"{table}.csv").open(encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        kept = [[name, *row[1:]] for row in rows if row[0] == "Kang2015"][: 2 if table == "arms" else 1]
        with (folder / f"{table}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *kept])


def test_a_line_that_stands_in_two_files_is_asked_for_with_its_study(joined):
    with pytest.raises(InputError) as refusal:
        select_contrasts(joined, Selection(row=[2, 29]))
    (fault,) = refusal.value.faults
    assert fault.problem == "row 2 is a contrast of contrasts.csv and of pilots.csv"
    assert select_contrasts(joined, Selection(row=[2], study="Alder"))["file"].values.tolist() == ["pilots.csv"]
    assert select_contrasts(joined, Selection(row=[29]))["study"].values.tolist() == ["Kang2015"]


def test_faults_of_every_source_are_told_at_once_with_their_file(tmp_path):
    damaged_tables(tmp_path, "contrasts", {(2, "md100"): "much"})
    faults = told(tmp_path, HEADER + "A,t,5e7,30,5,6,12,GMFM-66,,\nA,c,0,30,3,6,12,GMFM-66,,\n", ("own.csv", "tables"))
    assert [(f.file, f.where) for f in faults] == [
        ("own.csv", "row 2, column dose"),
        ("tables/contrasts.csv", "row 2, column md100"),
    ]


@pytest.mark.parametrize(
    ("names", "where", "problem"),
    [
        (["package", "package"], "key tables", "is named twice"),
        (["pilots.csv", "./pilots.csv"], "key tables", "is named twice"),
        (["package", "../" * 30 + "etc/passwd"], "folder", "is neither a folder nor a CSV file"),
        (["package", "a\0b.csv"], "folder", "does not exist"),
        (["package", "x" * 5000 + ".csv"], "folder", "does not exist"),
        (["package", ""], "file", "does not exist"),
        (["package", "pilots.csv/../pilots.csv/"], "folder", "does not exist"),
    ],
    ids=["twice", "twice by another path", "no evidence", "NUL", "long", "empty", "not a folder"],
)
def test_names_that_cannot_be_taken_are_told(pilots, names, where, problem):
    with pytest.raises(InputError) as refusal:
        read_sources(names, pilots.parent)
    assert any(f.where == where and problem in f.problem for f in refusal.value.faults)


@pytest.mark.parametrize("tables", [[], ["package"] * 21, [1], 1, {"a": "b"}, ["package", ["pilots.csv"]]], ids=str)
def test_what_is_no_list_of_tables_is_a_fault_of_the_experiment(tmp_path, tables):
    with pytest.raises(InputError) as refusal:
        read_question(trial(tmp_path, {"evidence.tables": tables}))
    (fault,) = refusal.value.faults
    assert fault.where == "key evidence.tables"
    assert "or a list of up to 20 of these" in fault.allowed


@pytest.mark.parametrize("content", [b"\0" * 100, b"study,arm\0,dose\n", b"a," * 3_000_000, b"\xff\xfe\x00\x00" * 50])
def test_a_hostile_source_is_refused_in_words(tmp_path, content):
    (tmp_path / "own.csv").write_bytes(content)
    with pytest.raises(InputError) as refusal:
        read_sources(["package", "own.csv"], tmp_path)
    assert 1 <= len(refusal.value.faults) <= 20
    assert all("own.csv" in f.file for f in refusal.value.faults)


# the template


def test_the_template_shows_how_studies_are_added(tmp_path, monkeypatch):
    """As it says: the example rows out, own ones in, and the line that names both; else the fault says which row."""
    evidence, path, *_ = gmfmsim.new_evidence(tmp_path)
    (line,) = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("# tables = [")]
    text = path.read_text(encoding="utf-8").replace('tables = "evidence.csv"\n', "")
    path.write_text(text.replace(line, line.removeprefix("# ")), encoding="utf-8")
    with pytest.raises(InputError) as refusal:
        read_question(path)
    assert {f.where.partition(", ")[2] for f in refusal.value.faults} == {"study Kang2015", "study Sun2022"}
    whole = evidence.read_text(encoding="utf-8")
    header = next(line for line in whole.splitlines() if not line.startswith("#"))
    rows = "Alder,cells,5e7 cells/kg,20,6.1,5.5,,,12,GMFM-66,TNC_MNC,IV,\nAlder,none,0,20,3.2,5.1,,,12,GMFM-66,,,\n"
    evidence.write_text(f"{whole[: whole.index(header)]}{header}\n{rows}", encoding="utf-8")
    (plan,) = read_question(path).plans
    assert plan.contrasts.sizes["contrast"] == 13


def test_a_review_may_be_computed_again_beside_own_studies(pilots, monkeypatch):
    monkeypatch.chdir(pilots.parent)
    alone, both = (read_question("xie2020", changes) for changes in ({}, {"rerun.tables": BOTH}))
    assert [r.figures for r in both.asked.results] == [r.figures for r in alone.asked.results]
    assert both.key != alone.key
    names = both.config["rerun"]["tables"]
    assert names[0] == "package"
    assert [*both.asked.tables_copies] == names[1:]


def test_more_rows_than_one_table_may_have_are_refused_of_several_too(tmp_path):
    for name in "ab":
        rows = (f"{name}{i},t,5e7 cells/kg,20,5,4\n{name}{i},c,0,20,3,4\n" for i in range(800))
        (tmp_path / f"{name}.csv").write_text("study,arm,dose,n,mean,sd\n" + "".join(rows), encoding="utf-8")
    with pytest.raises(InputError, match=r"3200 rows of arms in all\n    allowed: at most 2000"):
        read_sources(["a.csv", "b.csv"], tmp_path)


def test_names_in_one_word_are_told_how_to_write_a_list(pilots, monkeypatch, capsys):
    monkeypatch.chdir(pilots.parent)
    assert command(monkeypatch, "check", "quickstart_one_mean", "--set", "evidence.tables=package,pilots.csv") == 2
    assert 'several as a list: ["package", "pilots.csv"]' in capsys.readouterr().err


# pilots with scores at two visits alone


TWO_VISITS = "study;arm;dose;n;baseline_mean;baseline_sd;final_mean;final_sd;month;cell_class;route\n" + "".join(
    f"{study};cells;5e7 cells/kg;30;45;20;{after};21;12;TNC_MNC;IV\n{study};none;0;30;46;19;50;20;12;;\n"
    for study, after in (("Alder", "53,5"), ("Birch", "51,5"))
)


@pytest.fixture(scope="module")
def visits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("visits")
    (folder / "pilots.csv").write_text(TWO_VISITS, encoding="utf-8")
    tables = read_sources(BOTH, folder)
    return read_contrasts(select_contrasts(tables, PRIMARY), tables, "average")


def test_two_pilots_with_scores_at_two_visits_alone_are_not_too_many(visits):
    """Each has a standard error that is not known, beside those of the shipped evidence."""
    assert (visits["log_se_sd"].values[0, -2:] > 0.3).all()
    for name in ("random_effects", "arms", "route", "months"):
        assert refusal(read_model(ModelChoice(name=name)), visits) is None


def test_fewer_points_of_unknown_standard_errors_say_the_same(visits, monkeypatch):
    one = visits.isel(contrast=slice(0, -1), contrast_=slice(0, -1))
    model = structure(read_model(ModelChoice(name="random_effects")), one)
    whole = posterior(model)
    monkeypatch.setattr(prepared, "MOST_EVALUATIONS", 1_000_000)
    few = posterior(model)
    assert whole.prepared.sizes > few.prepared.sizes == 3
    assert few.moments("mu") == pytest.approx(whole.moments("mu"), rel=1e-3)
    assert few.moments("tau") == pytest.approx(whole.moments("tau"), rel=2e-3)
    assert few.log_marginal == pytest.approx(whole.log_marginal, abs=0.02)
