"""A user's own evidence: the flat file, its faults, the template, and a thousand damaged files."""

import csv
import hashlib
import io
import math
import random
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from damage import trial
from scipy import stats

from gmfmsim import DISCLAIMER, check
from gmfmsim.evidence.contrasts import Selection, select_contrasts
from gmfmsim.evidence.pooled import PooledChoice, pooled_estimate
from gmfmsim.evidence.read import PACKAGE_TABLES, read_tables
from gmfmsim.evidence.schema import TABLES, Tables
from gmfmsim.faults import InputError
from gmfmsim.question.question import read_question
from gmfmsim.question.scaffold import new_evidence

# Two trials that show every way to write a row. T quantiles and weights are chosen so that the answers are round.
OWN = """\
# Comments may stand anywhere, "quotes too
study,arm,dose,n,mean,sd,se,ci_low,ci_high,month,scale,age_y,weight_kg,cell_class,route,source

One,cells,2e8 cells,25,5.0,,,2.9361,7.0639,6,GMFM-88,,20,MSC,IV,"Table 2, left"
One,none,0,16,3,4,,,,6,GMFM-88,,,,IV,
One,cells,2e8 cells,25,7,,1,,,12,GMFM-88,,20,MSC,IV,https://example.org/one
One,none,0 cells,16,3.5,8,2,,,12,GMFM-88,,,none,IV,
Two,low,5e7 cells/kg,36,2,6,,,,12,GMFM-66,,,TNC_MNC,,
# the next arm's dose was not printed
Two,unknown,unknown,36,-1,6,,,,12,GMFM-66,,,,,
Two,fixed,1e8 cells,49,4,7,,,,12,GMFM-66,4,,neural,IT,
Two,control,0 cells/kg,25,1,5,,,,12,GMFM-66,6,,,,
"""
HEADER = "study,arm,dose,n,mean,sd\n"
NO_PLACE = {"file": None, "row": None}
PAIR = HEADER + "One,cells,5e7 cells/kg,30,5,6\nOne,none,0,30,3,6\n"


def flat(folder: Path, text: str | bytes, name: str = "own.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read_own(folder: Path, text: str | bytes) -> Tables:
    return read_tables(flat(folder, text))


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Tables:
    return read_own(tmp_path_factory.mktemp("own"), OWN)


# known answers


def test_known_contrasts_of_a_flat_file(own):
    rows = own.rows["contrasts"]
    assert [r["row"] for r in rows] == [4, 6, 8, 10, 11]
    assert [r["md100"] for r in rows] == [2, 3.5, 1, -2, 3]
    variances = [25 / 25 + 16 / 16, 25 / 25 + 64 / 16, 36 / 36 + 25 / 25, 36 / 36 + 25 / 25, 49 / 49 + 25 / 25]
    # the first SD is from an interval with the t quantile 2.0639 of 24 degrees of freedom, printed to five digits
    assert [r["md100_se"] ** 2 for r in rows] == pytest.approx(variances, rel=2e-5)
    assert [r["control_se100"] for r in rows] == [1, 2, 1, 1, 1]
    assert [r["control_group"] for r in rows] == ["One:none"] * 2 + ["Two:control"] * 3
    assert [r["sd_source"] for r in own.rows["outcomes"]] == ["from_ci", "reported", "from_se", *["reported"] * 5]


def test_known_doses_of_a_flat_file(own):
    arms = {r["arm_id"]: r for r in own.where("arms", role="active")}
    assert arms["cells"]["dose_total_cells_per_kg"] == 1e7  # 2e8 / 20 kg
    assert arms["low"]["dose_total_cells_per_kg"] == 5e7
    assert arms["unknown"]["dose_total_cells_per_kg"] is None
    fixed = arms["fixed"]
    bounds = [fixed[c] for c in ("dose_total_low", "dose_total_cells_per_kg", "dose_total_high")]
    assert bounds == pytest.approx([1e8 / 20.8, 1e8 / 16, 1e8 / 11.2])  # 2 x (4 + 4) kg +-30 %
    assert [arms[a]["log10_dose_sd"] for a in ("cells", "low", "unknown")] == [0.03, 0.03, None]
    assert fixed["log10_dose_sd"] == pytest.approx(math.log10(1.3 / 0.7) / 4)
    assert [r["dose_total_cells_per_kg"] for r in own.where("arms", role="control")] == [0, 0]


def test_known_order_of_spreads(tmp_path):
    """Where several are given, the SD counts before se, and se before the interval."""
    text = (
        "study,arm,dose,n,mean,sd,se,ci_low,ci_high\nOne,cells,1e7 cells/kg,25,5,6,1,1,9\n"
        "One,more,2e7 cells/kg,25,5,,1,1,9\nOne,none,0,25,5,,,2.9361,7.0639\n"
    )
    rows = read_own(tmp_path, text).rows["outcomes"]
    assert [r["sd_source"] for r in rows] == ["reported", "from_se", "from_ci"]
    assert [r["sd"] for r in rows] == pytest.approx([6, 5, 5], rel=1e-5)  # the t quantile, 2.0639, has five digits
    assert [r["se"] for r in rows] == pytest.approx([1, 1, 1], rel=1e-5)


def test_known_covariance_of_arms_that_share_a_control(own):
    data = select_contrasts(own, Selection(study="Two"))
    np.testing.assert_allclose(data["covariance"], np.eye(3) + 1, rtol=1e-14)
    assert data["gmfm66"].all()
    assert data["cell_class"].values.tolist() == ["TNC_MNC", "other", "neural"]
    assert data["route"].values.tolist() == ["unknown", "unknown", "IT"]


def test_every_figure_names_its_lines(own):
    first, second = own.rows["contrasts"][:2]
    assert (first["source_url"], first["source_location"]) == ("own.csv", "own.csv, lines 4 and 5: Table 2, left")
    assert (second["source_url"], second["source_location"]) == ("https://example.org/one", "own.csv, lines 6 and 7")


def test_months_of_one_arm_are_told_apart_by_the_selection(own):
    with pytest.raises(InputError, match="hold the same children"):
        select_contrasts(own, Selection(study="One"))
    data = select_contrasts(own, Selection(month=12))
    assert data["row"].values.tolist() == [6, 8, 10, 11]


def test_the_tables_of_a_flat_file_pass_as_a_folder(own, tmp_path):
    """Written out, the four tables meet every rule of the folder reader and hold the same figures."""
    for name, rows in own.rows.items():
        with (tmp_path / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(TABLES[name].columns), extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
    read = read_tables(tmp_path)
    for name, rows in own.rows.items():
        assert [row | NO_PLACE for row in read.rows[name]] == [row | NO_PLACE for row in rows]


def test_columns_left_out_have_stated_defaults(tmp_path):
    tables = read_own(tmp_path, PAIR)
    (contrast,) = tables.rows["contrasts"]
    assert contrast["scale"] == "GMFM-66"
    assert math.isnan(contrast["month"])
    experiment = read_question(str(trial(tmp_path, {"evidence.tables": "own.csv"})))
    assert experiment.plans[0].observed_months is None
    assert experiment.plans[0].month_outside_evidence is None


@pytest.mark.parametrize(
    "same",
    [
        b"\xef\xbb\xbf" + OWN.encode(),
        OWN.replace("\n", "\r\n").encode(),
        OWN.replace("# the next arm's", '"# the next, quoted').replace("printed\n", 'printed",,\n').encode(),
        OWN.replace("\n\n", "\n,,,,,,,,,,,,,,,\n").encode(),
        OWN.rstrip("\n").encode(),
        OWN.replace(",36,", ", 36 ,").replace("5e7 cells/kg", " 50000000 cells per kg ").encode(),
    ],
    ids=["byte order mark", "Windows", "quoted comment", "empty cells", "no last line end", "spaces"],
)
def test_the_form_of_the_file_changes_no_figure(own, tmp_path, same):
    tables = read_own(tmp_path, same)
    assert tables.rows == own.rows
    assert tables.sha256 != own.sha256


def test_the_order_of_the_columns_changes_no_figure(own, tmp_path):
    rows = [line for line in csv.reader(io.StringIO(OWN)) if line]
    text = io.StringIO()
    csv.writer(text).writerows(row if row[0].startswith("#") else row[::-1] for row in rows)
    tables = read_own(tmp_path, text.getvalue())
    keep = ("md100", "md100_se", "arm_a", "control_se100", "month")
    assert [[r[c] for c in keep] for r in tables.rows["contrasts"]] == [
        [r[c] for c in keep] for r in own.rows["contrasts"]
    ]


def test_the_hash_is_of_the_bytes_and_not_of_the_name(own, tmp_path):
    assert own.sha256 == hashlib.sha256(b"flat\0" + OWN.encode() + b"\0").hexdigest()
    path = flat(tmp_path, OWN, "other.CSV")
    assert read_tables(path).sha256 == own.sha256
    assert read_tables(path).files == (path,)


# faults


CELLS = {
    "bare number": ("dose", "5e7", "is not an amount", "5e7 cells/kg"),
    "unknown unit": ("dose", "5e7 cells/m2", "is not an amount", "5e7 cells/kg"),
    "less than a cell": ("dose", "0.5 cells/kg", "is not an amount", "5e7 cells/kg"),
    "cells and no weight": ("dose", "2e8 cells", "without a body weight", "weight_kg or age_y"),
    "negative SD": ("sd", "-6", "out of range", "a number from 0.001"),
    "SD of nothing": ("sd", "0", "out of range", "a number from 0.001"),
    "no spread": ("sd", "", "no spread is given", "se, or a 95 % interval"),
    "text": ("mean", "five", "is not a number", "a number from -100"),
    "decimal comma": ("mean", '"5,0"', "is not a number", "a number"),
    "off the scale": ("mean", "101", "out of range", "up to 100"),
    "no mean": ("mean", "", "is empty", "a number"),
    "half a child": ("n", "30.5", "not a whole number", "a whole number from 2"),
    "one child": ("n", "1", "out of range", "a whole number from 2"),
    "no study": ("study", "", "is empty", "text"),
    "unlike digits": ("n", "٣٠", "is not a number", "a whole number"),
}


@pytest.mark.parametrize("fault", CELLS)
def test_a_faulty_cell_is_told_once_with_row_and_column(tmp_path, fault):
    column, value, problem, allowed = CELLS[fault]
    cells = dict(zip(HEADER.strip().split(","), ("One", "cells", "5e7 cells/kg", "30", "5", "6"), strict=True))
    text = HEADER + ",".join((cells | {column: value}).values()) + "\nOne,none,0,30,3,6\n"
    with pytest.raises(InputError) as refusal:
        read_own(tmp_path, text)
    told = [
        f for f in refusal.value.faults if "rows with dose 0" not in f.problem
    ]  # without its study, a row stands alone
    assert [(f.file, f.where) for f in told] == [("own.csv", f"row 2, column {column}")]
    assert problem in told[0].problem
    assert allowed in told[0].allowed


FULL = "study,arm,dose,n,mean,sd,se,ci_low,ci_high,month,scale,age_y,weight_kg,cell_class\n"
CONTROL = "One,none,0,30,3,6,,,,12,GMFM-66,,,\n"


@pytest.mark.parametrize(
    ("row", "where", "problem"),
    [
        ("One,cells,5e7 cells/kg,30,5,,,4,,12,GMFM-66,,,", "column sd", "no spread"),
        ("One,cells,5e7 cells/kg,30,5,,,5,5,12,GMFM-66,,,", "column sd", "no spread"),
        ("One,cells,5e7 cells/kg,30,5,,,6,7,12,GMFM-66,,,", "column ci_low", "ci_low 6 is above mean 5"),
        ("One,cells,5e7 cells/kg,30,5,,,3,4,12,GMFM-66,,,", "column mean", "mean 5 is above ci_high 4"),
        ("One,cells,5e7 cells/kg,30,5,,90,,,12,GMFM-66,,,", "column se", "gives an SD of 493"),
        ("One,cells,5e7 cells/kg,30,5,,,-900,900,12,GMFM-66,,,", "column ci_low", "gives an SD of"),
        ("One,cells,5e7 cells/kg,30,5,6,,,,,GMFM-66,,,", "column month", "is empty"),
        ("One,cells,5e7 cells/kg,30,5,6,,,,0,GMFM-66,,,", "column month", "out of range"),
        ("One,cells,5e7 cells/kg,30,5,6,,,,12,GMFM66,,,", "column scale", "is not a known value"),
        ("One,cells,2e8 cells,30,5,6,,,,12,GMFM-66,40,,", "column age_y", "out of range"),
        ("One,cells,2e8 cells,30,5,6,,,,12,GMFM-66,,0,", "column weight_kg", "out of range"),
        (
            "One,cells,2e8 cells,30,5,6,,,,12,GMFM-66,,20,none",
            "column cell_class",
            "none in an arm with dose 2e8 cells",
        ),
        ("One,none2,0,30,5,6,,,,12,GMFM-66,,,MSC", "column cell_class", "MSC in an arm with dose 0"),
    ],
)
def test_what_does_not_fit_within_a_row_is_told(tmp_path, row, where, problem):
    with pytest.raises(InputError) as refusal:
        read_own(tmp_path, FULL + row + "\n" + CONTROL)
    (fault,) = refusal.value.faults
    assert fault.where == f"row 2, {where}"
    assert problem in fault.problem


@pytest.mark.parametrize(
    ("rows", "where", "problem"),
    [
        ("One,a,5e7 cells/kg,30,5,6,12\n", "rows 2", "0 rows with dose 0, 1 with cells"),
        ("One,c,0,30,5,6,12\n", "rows 2", "1 rows with dose 0, 0 with cells"),
        ("One,a,1e7 cells/kg,30,5,6,12\nOne,c,0,9,5,6,12\nOne,d,0,9,5,6,12\n", "rows 2, 3, 4", "2 rows with dose 0"),
        ("One,a,1e7 cells/kg,30,5,6,12\nOne,c,0,9,5,6,12\nOne,a,1e7 cells/kg,9,5,6,6\n", "rows 4", "month 6: 0 rows"),
        (
            "One,a,1e7 cells/kg,30,5,6,12\nOne,c,0,9,5,6,12\nOne,a,1e7 cells/kg,9,5,6,12\n",
            "rows 2, 4",
            "stands 2 times",
        ),
        ("One,a,1e7 cells/kg,30,99,6,12\nOne,c,0,9,-5,6,12\n", "row 2, column mean", "a difference of 104 points"),
        (
            "One,a,1e7 cells/kg,9,5,6,12\nOne,c,0,9,5,6,12\nOne,a,2e7 cells/kg,9,5,6,6\nOne,c,0,9,5,6,6\n",
            "rows 2, 4",
            "arm a of One differs in dose",
        ),
    ],
)
def test_what_does_not_fit_within_a_study_is_told(tmp_path, rows, where, problem):
    with pytest.raises(InputError) as refusal:
        read_own(tmp_path, HEADER.replace("sd", "sd,month") + rows)
    (fault,) = refusal.value.faults
    assert (fault.file, fault.where) == ("own.csv", where)
    assert problem in fault.problem


def test_all_faults_of_a_flat_file_are_told_at_once(tmp_path):
    text = HEADER + "One,a,5e7,30,x,6\nOne,c,0,30,3,-1\nTwo,a,5e7 cells/kg,30,3,6\nThree,a,5e7,30,3,6\n"
    with pytest.raises(InputError) as refusal:
        read_own(tmp_path, text)
    expected = ["row 2, column mean", "row 3, column sd", "row 5, column dose", "rows 4"]
    assert [f.where for f in refusal.value.faults] == expected


def test_a_lost_row_brings_no_fault_of_what_it_may_have_held(tmp_path):
    """A decimal comma: the row has a cell too many, and the study that lost it is not said to lack its arm."""
    with pytest.raises(InputError) as refusal:
        read_own(tmp_path, HEADER + 'A,c,0,30,3,6\nA,t,"5e7 cells/kg",30,4,5,6\n')
    assert [(f.where, f.problem) for f in refusal.value.faults] == [("row 3", "7 cells")]


def test_a_row_twice_is_told_once(tmp_path):
    row = "A,t,5e7 cells/kg,30,4,6\n"
    with pytest.raises(InputError) as refusal:
        read_own(tmp_path, HEADER + "A,c,0,30,3,6\n" + row + row)
    (fault,) = refusal.value.faults
    assert fault.where == "rows 3, 4"
    assert "not known" in fault.problem


@pytest.mark.parametrize("text", ["B\0", "B\x1b[31m", "B\x7f"])
def test_a_control_character_is_refused(tmp_path, text):
    with pytest.raises(InputError, match="holds a control character"):
        read_own(tmp_path, HEADER + f"{text},t,5e7 cells/kg,30,4,6\n{text},c,0,30,3,6\n")


def test_more_rows_than_a_field_can_have_are_refused(tmp_path):
    rows = (f"S{i},t,5e7 cells/kg,20,5,4\nS{i},c,0,20,3,4\n" for i in range(1001))
    with pytest.raises(InputError, match="2002 rows") as refusal:
        read_own(tmp_path, HEADER + "".join(rows))
    assert refusal.value.faults[0].allowed == "at most 2000"


@pytest.mark.parametrize(
    ("content", "where", "problem"),
    [
        (b"", "row 1", "column study is missing"),
        (HEADER.encode(), "file", "holds no rows"),
        (b"# only a comment\n\n", "row 1", "column dose is missing"),
        (b"# a comment\nstudy,arm,dosis,n,mean,sd\n", "row 2, column 'dosis'", "unknown column"),
        (b"study;arm;dose;n;mean;sd\n", "file", "holds no rows"),
        (b"study,arm,dose,n,mean,sd,sd\n", "row 1", "column sd twice"),
        (PAIR.encode() + b"\xff", f"byte {len(PAIR)}", "is not UTF-8"),
        (PAIR.encode() + b'One,"a', "row 4", "is not CSV"),
        (PAIR.encode() + b"One,a\n", "row 4", "2 cells"),
    ],
    ids=str,
)
def test_a_file_that_is_no_flat_evidence_is_told_where(tmp_path, content, where, problem):
    with pytest.raises(InputError) as refusal:
        read_own(tmp_path, content)
    assert any(f.where == where and problem in f.problem for f in refusal.value.faults)


@pytest.mark.parametrize("name", ["nowhere.csv", "nowhere", "notes.txt", "x" * 300 + ".csv", "../..//.csv"])
def test_a_path_that_holds_no_evidence_is_one_fault(tmp_path, name):
    (tmp_path / "notes.txt").write_text(PAIR, encoding="utf-8")
    with pytest.raises(InputError) as refusal:
        read_question(str(trial(tmp_path, {"evidence.tables": name})))
    (fault,) = refusal.value.faults
    assert "flat file ending in .csv" in fault.allowed


def test_a_flat_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    def denied(self):
        raise PermissionError(13, "Permission denied", str(self))

    path = flat(tmp_path, PAIR)
    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(InputError, match=r"own\.csv: file: cannot be read: Permission denied"):
        read_tables(path)


def test_a_flat_file_has_no_pooled_estimates(own):
    with pytest.raises(InputError, match=r"pooled\.csv: file: does not exist"):
        pooled_estimate(own, PooledChoice(meta_id="Eggenberger2019"))


# the template


def test_known_contrasts_of_the_template(tmp_path):
    """What the flat file makes of the figures as printed is what contrasts.csv holds, to its four decimals."""
    evidence, *_ = new_evidence(tmp_path / "new" / "trial")
    tables = read_tables(evidence)
    data = select_contrasts(tables, Selection(default_use="primary"))
    shipped = select_contrasts(read_tables(), Selection(row=[18, 19, 29])).isel(contrast=[2, 0, 1])
    for name in ("effect", "se"):
        np.testing.assert_allclose(data[name], shipped[name], rtol=0, atol=0.5e-4 + 1e-12)
    # the square of a control_se100 of four decimals
    np.testing.assert_allclose(data["covariance"], shipped["covariance"][:, [2, 0, 1]], rtol=0, atol=3e-4)
    for name in (
        *("study", "arm", "control", "dose", "control_dose", "month", "scale", "gmfm66", "cell_class", "route"),
        *("n_active", "n_control", "measure", "source_url"),
    ):
        assert data[name].values.tolist() == shipped[name].values.tolist(), name
    standard = {row["row"]: row for row in read_tables().rows["contrasts"]}
    for row, number in zip(tables.rows["contrasts"], (29, 18, 19), strict=True):
        for column in ("estimate", "se", "ci_low", "ci_high", "hedges_g", "hedges_g_se", "control_se100"):
            # four decimals; the interval there is the estimate -+ 1.96 times an se of four decimals
            rounding = 0.5e-4 * (2.96 if column.startswith("ci") else 1)
            assert row[column] == pytest.approx(standard[number][column], abs=rounding + 1e-12)


def test_the_template_is_a_valid_experiment(tmp_path):
    paths = new_evidence(tmp_path)
    assert [path.name for path in paths] == ["evidence.csv", "trial.toml", "README.md", "trial.schema.json"]
    found = check(str(tmp_path / "trial.toml"))
    assert found["plans"][0]["evidence"] == "3 contrasts of 2 studies"
    readme = paths[2].read_text(encoding="utf-8")
    assert DISCLAIMER in readme
    assert "gmfmsim check trial.toml" in readme
    columns = plain(paths[0].read_bytes())[0]
    assert all(f"# {c} " in paths[0].read_text(encoding="utf-8") for c in columns if c != "ci_high")


def test_the_template_overwrites_nothing(tmp_path):
    (tmp_path / "trial.toml").write_text("mine", encoding="utf-8")
    (tmp_path / "README.md").symlink_to(tmp_path / "gone")
    with pytest.raises(InputError) as refusal:
        new_evidence(tmp_path)
    assert [Path(f.file).name for f in refusal.value.faults] == ["trial.toml", "README.md"]
    assert (tmp_path / "trial.toml").read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "evidence.csv").exists()


@pytest.mark.parametrize("name", ["file/below", "file", "a\0b", "x" * 300])
def test_a_template_that_cannot_be_written_is_one_fault(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="folder: cannot be written") as refusal:
        new_evidence(tmp_path / name)
    assert len(refusal.value.faults) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_template_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    real = Path.open

    def full(self, *arguments, **options):
        if self.name == "README.md":
            raise OSError(28, "No space left on device")
        return real(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(InputError, match="No space left on device"):
        new_evidence(tmp_path / "new" / "trial")
    assert list(tmp_path.iterdir()) == []


# a thousand damaged files: read exactly as they stand, or refused with file and place


def plain(content: bytes) -> list[dict[str, str]]:
    """Read a file with the csv module alone; the reader under test has no part in it.

    A line with # at its head is a comment before the header, and after it where no further cell holds a number.
    """
    lines = io.StringIO(content.decode("utf-8-sig"), newline="")
    header: list[str] = []
    rows = []
    mark = max(",;", key=content.decode("utf-8-sig").count)
    for record in csv.reader((line for line in lines if not is_comment(line.split(mark))), delimiter=mark):
        if not any(map(str.strip, record)) or is_comment(record if header else record[:1]):
            continue
        if header:
            assert not any(map(str.strip, record[len(header) :]))
            rows.append(dict(zip(header, record[: len(header)], strict=True)))
        else:
            header = [name.strip().lower() for name in record]
            while not header[-1]:
                header.pop()
    return rows


def is_comment(cells: list[str]) -> bool:
    figure = re.compile(r"\s*[+-]?[\d.]+(e[+-]?\d+)?\s*", re.IGNORECASE)
    return cells[0].lstrip().startswith("#") and not any(map(figure.fullmatch, cells[1:]))


def number(cell: str | None) -> float | None:
    return float(cell) if cell and cell.strip() else None


def assert_table_as_it_stands(tables: Tables, name: str, content: bytes) -> None:
    for row, raw in zip(tables.rows[name], plain(content), strict=True):
        for column, kind in TABLES[name].columns.items():
            if kind.kind == "text":
                assert row[column] == (raw[column].strip() or None)
            else:
                assert row[column] == number(raw[column])


def assert_flat_as_it_stands(tables: Tables, content: bytes) -> None:
    """Every mean, n, SD and dose, and every difference, from the cells of the damaged file by formulas written here."""
    read = {}
    for raw in plain(content):
        n, mean = number(raw.get("n")), float(raw["mean"])
        sd, se, low, high = (number(raw.get(c)) for c in ("sd", "se", "ci_low", "ci_high"))
        if sd is None and n is not None:
            sd = (se if se is not None else (high - low) / 2 / stats.t.ppf(0.975, n - 1)) * math.sqrt(n)
        scale, month = (raw.get("scale") or "GMFM-66").strip(), number(raw.get("month"))
        key = (raw["study"].strip(), raw["arm"].strip(), scale, month)
        read[key] = (n, mean, sd, se if n is None else sd / math.sqrt(n))
        dose = re.fullmatch(r"\s*([0-9.eE+-]+)\s*(cells\S*|cells per kg|)\s*", raw["dose"])
        (arm,) = tables.where("arms", study_id=raw["study"].strip(), arm_id=raw["arm"].strip())
        if dose is None:
            assert raw["dose"].strip() in ("", "unknown")
            assert arm["dose_total_cells_per_kg"] is None
        else:
            weight, age = number(raw.get("weight_kg")), number(raw.get("age_y"))
            kg = 1 if dose[2] != "cells" or float(dose[1]) == 0 else 2 * (age + 4) if weight is None else weight
            assert arm["dose_total_cells_per_kg"] == pytest.approx(float(dose[1]) / kg, rel=1e-14)
    assert_contrasts_follow(tables, read)


def assert_contrasts_follow(tables: Tables, read: dict) -> None:
    """Every outcome and contrast follows from n, mean, SD and SE by study, arm, scale and month."""
    found = {}
    for row in tables.rows["outcomes"]:
        month = None if math.isnan(row["month"]) else row["month"]
        found[row["study_id"], row["arm_id"], row["scale"], month] = (row["n"], row["mean"], row["sd"])
    assert found.keys() == read.keys()
    for key, figures in found.items():
        assert figures[:2] == read[key][:2]
        if read[key][2] is None:
            assert figures[2] is None
        else:
            assert figures[2] == pytest.approx(read[key][2], rel=1e-9)  # two routines for the t quantile
    doses = {(r["study_id"], r["arm_id"]): r["dose_total_cells_per_kg"] for r in tables.rows["arms"]}
    for row in tables.rows["contrasts"]:
        month = None if math.isnan(row["month"]) else row["month"]
        (_, ma, _, sa), (_, mc, _, sc) = (
            read[row["study_id"], row[a], row["scale"], month] for a in ("arm_a", "arm_b")
        )
        assert row["md100"] == ma - mc
        assert row["md100_se"] == pytest.approx(math.hypot(sa, sc), rel=1e-9)
        beside = [doses[key[:2]] for key in read if (key[0], *key[2:]) == (row["study_id"], row["scale"], month)]
        assert doses[row["study_id"], row["arm_b"]] == min(dose for dose in beside if dose is not None)
    groups = {(key[0], *key[2:]) for key in read}
    assert len(tables.rows["contrasts"]) == len(read) - len(groups)


CELL_DAMAGE = [
    lambda cell, rng: "",
    lambda cell, rng: cell + cell,
    lambda cell, rng: cell[:-1],
    lambda cell, rng: cell.replace(rng.choice("0123456789"), rng.choice("OlxB"), 1),
    lambda cell, rng: "-" + cell,
    lambda cell, rng: cell + rng.choice(["e15", "e300", "e-300", "e5", "000000"]),
    lambda cell, rng: rng.choice(["nan", "NaN", "inf", "-inf", "1e999", "0x1F", "1_000", "٣", "½", "TRUE", "#REF!"]),
    lambda cell, rng: cell.split(" ")[0],
    lambda cell, rng: cell.replace("cells/kg", rng.choice(["cells", "/kg", "million cells/kg", "cells / kg"])),
    lambda cell, rng: cell.replace(".", ","),
    lambda cell, rng: f" {cell}\t",
    lambda cell, rng: rng.choice(["yes", "no", "GMFM-66", "0", "1", "control", "unknown", "'", '"', "\x00", "\n", "#"]),
]


def damaged_cells(rows: list[list[str]], rng: random.Random) -> None:
    """Damage cells, swap or lose them, move columns, repeat rows; half the time in the first rows and the header."""
    for _ in range(rng.randint(1, 3)):
        row = rng.choice(rows[:6] if rng.random() < 0.5 else rows)
        if not row:
            continue
        i, j = rng.randrange(len(row)), rng.randrange(len(row))
        match rng.randrange(8):
            case 0:
                row[i], row[j] = row[j], row[i]
            case 1:
                del row[i]
            case 2:
                row.insert(i, row[j])
            case 3:  # a whole column, header and all, changes place: nothing is lost
                for cells in rows:
                    if max(i, j) < len(cells):
                        cells[i], cells[j] = cells[j], cells[i]
            case 4:
                rows.insert(rng.randrange(len(rows)), list(row))
            case _:
                row[i] = rng.choice(CELL_DAMAGE)(row[i], rng)


def damaged_bytes(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content))
    odd = rng.choice([b"\xff", b"\x80", b'"', b",", b"\n", b"\r", b"\x00", b";", b"#", b"\xe2\x80\xa8", b"9", b"e"])
    return rng.choice(
        [
            content[:at],
            content[:at] + odd + content[at:],
            content[:at] + odd + content[at + 1 :],
            content[:at] + content[at + rng.randint(1, 40) :],
            b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n"),
            content.replace(b"\n", b"\r"),
            content.replace(b",", b";"),
            content.replace(b"mean", b"maen", 1).replace(b"study_id", b"studyid", 1),
            content.replace(b"\n", b"\n\n"),
            b"",
        ]
    )


def damaged(content: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.3:
        return damaged_bytes(content, rng)
    rows = list(csv.reader(io.StringIO(content.decode("utf-8"), newline="")))
    damaged_cells(rows, rng)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8")


PLACE = re.compile(r"(row|rows|byte|column|columns|file)\b")


def read_or_refused(path: Path, files: set[str]) -> Tables | None:
    try:
        return read_tables(path)
    except InputError as error:
        faults, told, message = error.faults, error.told, str(error)
    assert faults
    for fault in faults:
        assert Path(fault.file).name in files
        assert PLACE.match(fault.where)
        assert fault.problem
        assert fault.allowed
    assert all(f"{fault.file}: {fault.where}: " in message for fault in told)
    return None


@pytest.mark.parametrize("size", [75, pytest.param(500, marks=pytest.mark.slow)])
def test_damaged_flat_files_read_as_they_stand_or_are_refused(tmp_path, size):
    rng = random.Random(20261121)
    template, *_ = new_evidence(tmp_path / "template")
    originals = [OWN.encode(), template.read_bytes(), PAIR.encode()]
    read = 0
    for _ in range(size):
        content = damaged(rng.choice(originals), rng)
        tables = read_or_refused(flat(tmp_path, content), {"own.csv"})
        if tables is not None:
            read += 1
            assert_flat_as_it_stands(tables, content)
            select_or_refused(tables)
    assert size / 10 < read < 0.9 * size  # both ways were gone


def select_or_refused(tables: Tables) -> None:
    try:
        data = select_contrasts(tables, Selection(default_use="primary"))
    except InputError:
        return
    assert np.isfinite([*data["effect"].values, *data["covariance"].values.flat]).all()


@pytest.mark.parametrize("size", [25, pytest.param(200, marks=pytest.mark.slow)])
def test_damaged_tables_read_as_they_stand_or_are_refused(tmp_path, size):
    rng = random.Random(20261122)
    folder = shutil.copytree(PACKAGE_TABLES, tmp_path / "tables")
    files = {f"{name}.csv" for name in TABLES}
    read = 0
    for i in range(size):
        name = list(TABLES)[i % len(TABLES)]
        path = folder / f"{name}.csv"
        original = path.read_bytes()
        content = damaged(original, rng)
        path.write_bytes(content)
        tables = read_or_refused(folder, files)
        path.write_bytes(original)
        if tables is not None:
            read += 1
            assert_table_as_it_stands(tables, name, content)
    assert size / 10 < read < 0.9 * size
