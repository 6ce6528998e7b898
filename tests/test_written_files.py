"""Evidence files as people have them: read as they were meant, or refused in one message with cause and cure."""

import csv
import io
import time
import tracemalloc
from pathlib import Path

import pytest
from conftest import examples
from damage import damaged_tables
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gmfmsim.evidence.formulas.dose import LEAST_PER_KG
from gmfmsim.evidence.read import PACKAGE_TABLES, read_tables
from gmfmsim.evidence.schema import TABLES, Tables
from gmfmsim.evidence.sheets.cells import plain_number, with_point
from gmfmsim.evidence.sheets.names import seen
from gmfmsim.faults import Fault, InputError

HEADER = "study,arm,dose,n,mean,sd\n"
KANG = "Kang2015,ucb,5.46e7 cells/kg,18,7.08,7.36\nKang2015,ctrl,0,18,3.85,3.75\n"
PAIR = "A,cells,5e7 cells/kg,30,5.1,6.1\nA,ctrl,0,30,3.0,5.7\n"


def read(folder: Path, text: str | bytes) -> Tables:
    path = folder / "own.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_tables(path)


def refused(folder: Path, text: str | bytes) -> tuple[Fault, ...]:
    with pytest.raises(InputError) as refusal:
        read(folder, text)
    return refusal.value.faults


# comments


def test_known_rows_that_begin_with_a_hash_are_rows(tmp_path):
    text = (
        "study,arm,dose,n,mean,sd,month\n"
        "#101 Smith 2010,cells,5e7 cells/kg,30,9.1,6.1,12\n#101 Smith 2010,ctrl,0,30,3.0,5.7,12\n"
        '"#102 Lee 2015",cells,5e7 cells/kg,40,8.8,5.8,12\n"#102 Lee 2015",ctrl,0,38,3.6,6.2,12\n'
        "Young 2012,cells,5e7 cells/kg,25,3.0,6.6,12\nYoung 2012,ctrl,0,25,3.1,5.2,12\n"
    )
    rows = read(tmp_path, text).rows["contrasts"]
    assert [row["md100"] for row in rows] == pytest.approx([6.1, 5.2, -0.1], abs=1e-12)
    assert [row["study_id"] for row in rows] == ["#101 Smith 2010", "#102 Lee 2015", "Young 2012"]
    assert [row["row"] for row in rows] == [2, 4, 6]


COMMENTS = {
    "free text with commas and numbers above": ("# text, with 30, 31, and commas\n#\n", ""),
    "in quotes above": ('"# text, with ""quotes"" and\n a second line",,,,,\n', ""),
    "padded above": ("# text, more text,,,,\n # indented,,,,,\n", ""),
    "free text below": ("", "# checked twice, by two people, in May\n"),
    "an open quote below": ("", '# they wrote, "no more\n'),
    "in quotes below": ("", '"# checked, twice",,,,,\n'),
    "padded below": ("", "# a, b,,,,\n#,,,,,\n"),
    "no cell but one below": ("", "#\n# 30\n"),
}


@pytest.mark.parametrize("kind", COMMENTS)
def test_a_line_that_cannot_be_a_row_is_a_comment(tmp_path, kind):
    above, below = COMMENTS[kind]
    (row,) = read(tmp_path, above + HEADER + below + PAIR + below).rows["contrasts"]
    assert row["md100"] == pytest.approx(2.1, abs=1e-12)
    lines = (above + HEADER + below + PAIR).splitlines()
    assert row["row"] == 1 + lines.index("A,cells,5e7 cells/kg,30,5.1,6.1")


@pytest.mark.parametrize(
    "line",
    ["#1 A,cells,5e7 cells/kg,30,5,1,6,1", "# rows 3, 4, 5", "#1 A,cells,30", "#1 A,cells,unknown,x,y,z"],
    ids=["decimal commas", "numbers in a comment", "a short row", "no number in a full row"],
)
def test_a_line_that_may_be_a_row_or_a_comment_is_told(tmp_path, line):
    (fault,) = refused(tmp_path, HEADER + PAIR + line + "\n")
    assert fault.where == "row 4"
    assert "or a comment" in fault.problem
    assert "comments above the header" in fault.allowed


def test_a_hash_within_a_cell_of_several_lines_is_text(tmp_path):
    text = HEADER.replace("sd", "sd,source") + PAIR.replace("6.1\n", '6.1,"Table 1\n# of two"\n')[:-1] + ",\n"
    tables = read(tmp_path, text)
    assert tables.rows["studies"][0]["citation"] == "Table 1\n# of two"


def test_a_header_behind_a_hash_is_named(tmp_path):
    (fault,) = refused(tmp_path, "#" + HEADER + PAIR)
    assert (fault.where, "begins with #" in fault.problem) == ("row 1", True)


def test_a_folder_has_no_comments(tmp_path):
    folder = damaged_tables(tmp_path, "claims", {(2, "claim_id"): "#1"})
    assert read_tables(folder).rows["claims"][0]["claim_id"] == "#1"


# separators, encodings, headers


SEMICOLONS = "study;arm;dose;n;mean;sd\r\nA;ucb;5,46e7 cells/kg;18;7,08;7,36\r\nA;ctrl;0;18;3,85;3,75\r\n"
FORMS = {
    "spaces": (HEADER.replace(",", "   ") + PAIR.replace(",", " "), ["spaces separate"]),
    "sep= of something else": ("\nsep=:\n" + HEADER + PAIR, ["row 2", "':' separates", "commas, semicolons, tabs"]),
    "rows in quotes": ("".join(f'"{line}"\n' for line in (HEADER + PAIR).splitlines()), ["row stands in quotes"]),
    "a title above": ("Evidence of 2026,,,,,\n" + HEADER + PAIR, ["the header", "row 2"]),
    "broken UTF-16": ((HEADER + PAIR).encode("utf-16")[:-1], ["UTF-16"]),
    "UTF-16 without mark": ((HEADER + PAIR).encode("utf-16-le"), ["UTF-16"]),
    "letters of two code pages": (
        (HEADER + PAIR).replace("A,", "H\xe9l\xe8ne 2010,").encode("cp1252"),
        ["row 2", "UTF-8", "'H\xe9l\xe8ne 2010' (Western, cp1252)", "'H\xe9l\u010dne 2010' (Central European, cp1250)"],
    ),
    "letters of another system": ((HEADER + PAIR).replace("A,", "M\xfcller,").encode("cp850"), ["UTF-8", "row 2"]),
    "a spreadsheet": (b"PK\x03\x04\x14\x00\x06\x00\x08\x00\xff\xfe", ["UTF-8", "spreadsheet"]),
    "a column without name": (HEADER.replace(",n,", ",n,,") + PAIR.replace("30,", "30,x,"), ["column 5 has no name"]),
    "a last column without name": (HEADER.replace("sd", "sd,,") + PAIR.replace("\n", ",,x\n"), ["column 8", "'x'"]),
    "decimal commas in quotes": (
        HEADER + 'A,cells,5e7 cells/kg,30,"5,1","6,1"\nA,ctrl,0,30,"3,0","5,7"\n',
        ["'5,1'", "decimal comma", "3 more cells"],
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_form_that_cannot_be_read_is_refused_in_one_message(tmp_path, form):
    text, words = FORMS[form]
    (fault,) = refused(tmp_path, text)
    message = str(fault)
    assert [word for word in words if word not in message] == []
    assert fault.allowed
    assert len(message) < 500


EUROPEAN = "study;arm;dose;n;mean;sd\r\nKang2015;ucb;5,46e7 cells/kg;18;7,08;7,36\r\nKang2015;ctrl;0;18;3,85;3,75\r\n"
READ = {
    "trailing columns": (HEADER + KANG + ",,,\n").replace("\n", ",,,\n"),
    "trailing commas": HEADER + KANG.replace("\n", ",\n"),
    "one trailing comma": HEADER + KANG.replace("7.36\n", "7.36,\n"),
    "capitals": HEADER.title().replace("Sd", "SD") + KANG,
    "spaces": (HEADER + KANG).replace(",", ", "),
    "spaces that do not break": (HEADER + KANG).replace(",", ",\u00a0"),
    "an empty column": HEADER.replace(",n,", ",n,,") + KANG.replace(",18,", ",18,,"),
    "columns without cells": HEADER.replace("sd", "sd,month,scale,se") + KANG.replace("\n", ",,,\n"),
    "marks between thousands": HEADER + KANG.replace("5.46e7 cells/kg", '"54,600,000 cells/kg"'),
    "points between thousands": HEADER + KANG.replace("5.46e7 cells/kg", "54.600.000 cells/kg"),
    "spaces between thousands": HEADER + KANG.replace("5.46e7 cells/kg", "54 600 000 cells/kg"),
    "exponents of a spreadsheet": HEADER + KANG.replace("5.46e7", "5.46E+07").replace(",0,", ",0.0,"),
    "counts with a decimal": HEADER + KANG.replace("18", "18.0"),
    "a byte order mark": "\ufeff" + HEADER + KANG,
    "old line ends": (HEADER + KANG).replace("\n", "\r"),
    "semicolons and decimal commas": EUROPEAN,
    "semicolons and points": (HEADER + KANG).replace(",", ";"),
    "semicolons and quotes": '"' + EUROPEAN.replace(";", '";"').replace("\r\n", '"\r\n"')[:-1],
    "semicolons, points in doses alone": EUROPEAN.replace("5,46e7", "5.46e7"),
    "semicolons, exponents of a spreadsheet": EUROPEAN.replace("5,46e7", "5,46E+07"),
    "semicolons, points between thousands": EUROPEAN.replace("5,46e7", "54.600.000"),
    "semicolons below comments": "# Own;;;;;\n\n" + EUROPEAN,
    "semicolons and trailing columns": EUROPEAN.replace("\r", ";;;\r") + ";;;;;;;;\r\n",
    "semicolons, capitals and spaces": EUROPEAN.replace("study;arm", "Study ; ARM").replace(";18", "; 18 "),
    "tabs": (HEADER + KANG).replace(",", "\t"),
    "tabs and decimal commas": EUROPEAN.replace(";", "\t"),
    "vertical bars": (HEADER + KANG).replace(",", "|"),
    "sep=,": "\nsep=,\n" + HEADER + KANG,
    "sep=;": "\ufeffsep=;\r\n" + EUROPEAN,
    "sep= in quotes": '"sep=;"\r\n' + EUROPEAN,
    "UTF-16": EUROPEAN.encode("utf-16"),
    "UTF-16 the other way": b"\xfe\xff" + EUROPEAN.encode("utf-16-be"),
    "tabs in UTF-16": EUROPEAN.replace(";", "\t").encode("utf-16"),
}


@pytest.mark.parametrize("form", READ)
def test_known_difference_in_many_forms(tmp_path, form):
    """7.08 - 3.85 = 3.23; 7.36^2/18 + 3.75^2/18 = 1.94696^2."""
    tables = read(tmp_path, READ[form])
    (row,) = tables.rows["contrasts"]
    assert row["md100"] == pytest.approx(3.23, abs=1e-12)
    assert row["md100_se"] == pytest.approx(1.94696, abs=5e-6)
    assert [arm["dose_total_cells_per_kg"] for arm in tables.rows["arms"]] == [5.46e7, 0]
    assert (row["n_a"], row["n_b"], row["scale"]) == (18, 18, "GMFM-66")


def test_a_name_that_windows_writes_in_one_way_alone_is_read(tmp_path):
    """In Western and Central Europe the same bytes: the letters of German, and of Hungarian and Czech in part."""
    for name in ("M\xfcller 2010", "Gr\xfc\xdfe \xb1 \xd6", "Jos\xe9", "Mal\xfd"):
        content = EUROPEAN.replace("Kang2015", name).encode("cp1252")
        (row,) = read(tmp_path, content).rows["contrasts"]
        assert row["study_id"] == name == content.decode("cp1250").splitlines()[1].split(";")[0]


@pytest.mark.parametrize(
    ("column", "cell", "problem"),
    [
        ("mean", "1.234", "may be 1.234 or 1234"),
        ("sd", "7.360", "may be 7.36 or 7360"),
        ("n", "2.000", "may be 2 or 2000"),
        ("n", "2,000", "may be 2 or 2000"),
        ("n", "30,5", "is not a whole number"),
        ("mean", "5.1", "has a decimal point, and others of the file a decimal comma"),
        ("dose", "54.600 cells/kg", "may be 54.6 or 54600"),
        ("dose", "54,600 cells/kg", "may be 54.6 or 54600"),
        ("mean", "1,2,3", "is not a number"),
    ],
)
def test_a_number_that_may_be_another_is_told_where_commas_mark_decimals(tmp_path, column, cell, problem):
    cells = dict(zip(HEADER.strip().split(","), ("A", "ucb", "5e7 cells/kg", "18", "7,08", "7,36"), strict=True))
    text = HEADER.replace(",", ";") + ";".join((cells | {column: cell}).values()) + "\nA;ctrl;0;18;3,85;3,75\n"
    (fault,) = refused(tmp_path, text)
    assert fault.where == f"row 2, column {column}"
    assert problem in fault.problem
    assert repr(cell) in fault.problem or column in ("n", "dose")


def test_known_thousands_where_commas_mark_decimals():
    for text, plain in (("1.234,5", "1234.5"), ("1 234,5", "1234.5"), ("\u22121,25", "-1.25"), (",5", ".5")):
        assert with_point(text) == plain
    assert with_point("1.234.567") == "1.234.567"  # points between thousands, which reading takes out
    assert with_point("5,46e7 cells/kg", unit=True) == "5.46e7 cells/kg"
    assert with_point("unknown", unit=True) == "unknown"


def test_commas_between_tabs_that_may_be_either_are_told(tmp_path):
    """Nothing in such a file says what a comma marks."""
    text = HEADER.replace(",", "\t") + "A\tucb\t5e7 cells/kg\t18\t7,080\t6\nA\tctrl\t0\t18\t3\t4\n"
    (fault,) = refused(tmp_path, text)
    assert (fault.where, "may be 7.080 or 7080" in fault.problem) == ("row 2, column mean", True)


points = st.integers(-49_000, 49_000).map(lambda n: n / 1000)
spreads = st.integers(10, 50_000).map(lambda n: n / 1000)
ARM = st.tuples(st.integers(2, 999), points, spreads)


@settings(max_examples=examples(40, 200), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    arms=st.lists(st.tuples(ARM, ARM, st.integers(1, 999).map(lambda n: n / 100)), min_size=1, max_size=4),
    form=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    hint=st.booleans(),
    trailing=st.integers(0, 3),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_a_table_in_european_form_reads_as_in_english_form(tmp_path, arms, form, hint, trailing, quoting):
    rows = []
    for i, (a, c, dose) in enumerate(arms):
        rows += [[f"M\xfcller {i}", "ucb, 1", f"{dose!r}e7 cells/kg", *a], [f"M\xfcller {i}", "none", "0", *c]]
    comma = [[cell if cell in row[:2] else str(cell).replace(".", ",") for cell in row] for row in rows]
    files = {}
    for kind, cells, mark in (("english", rows, ","), ("european", comma, ";")):
        text = io.StringIO()
        head = HEADER.strip().split(",") if kind == "english" else HEADER.strip().title().split(",")
        writer = csv.writer(text, delimiter=mark, quoting=quoting, lineterminator="\r\n")
        writer.writerows([head, *cells] if kind == "english" else [row + [""] * trailing for row in [head, *cells]])
        files[kind] = text.getvalue()
    european = ("sep=;\r\n" * hint + files["european"]).encode(form)
    assert read_or_faults(tmp_path, european)[1] == ()
    english, other = read(tmp_path, files["english"]).rows, read(tmp_path, european).rows
    for table in english:
        kept = [[{k: v for k, v in row.items() if k not in WHERE} for row in rows[table]] for rows in (english, other)]
        assert kept[0] == kept[1]


WHERE = ("row", "source_location")


def test_known_difference_with_a_minus_of_typesetters(tmp_path):
    for minus in "\u2212\u2013\u2011\uff0d":
        (row,) = read(tmp_path, HEADER + KANG.replace("7.08", minus + "1.20")).rows["contrasts"]
        assert row["md100"] == pytest.approx(-5.05, abs=1e-12)


def test_a_folder_is_read_in_these_forms_too(tmp_path):
    folder = damaged_tables(tmp_path, "studies", {})
    path = folder / "studies.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([[f" {cell.upper()}" for cell in rows[0]] + [""], *([*row, ""] for row in rows[1:])])
    assert read_tables(folder).rows == read_tables().rows
    with path.open("w", encoding="utf-16", newline="") as file:
        csv.writer(file, delimiter=";").writerows(rows)
    assert read_tables(folder).rows == read_tables().rows
    path.write_text(";".join(rows[0]) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="unknown study"):
        read_tables(folder)


@pytest.mark.parametrize("row", ["A,cells,5e7 cells/kg,30,5,1,6.1,", "A,cells,5e7 cells/kg,30,5,1,6,1"])
def test_cells_that_a_decimal_comma_may_have_moved_are_told(tmp_path, row):
    """With the last cell of a row empty, a comma too many would put the SD where the source belongs."""
    (fault,) = refused(tmp_path, HEADER.replace("sd", "sd,source") + row + "\nA,ctrl,0,30,3.0,5.7,Table 2\n")
    assert fault.where == "row 2"
    assert fault.problem == "8 cells"
    assert "points before decimals" in fault.allowed


# numbers


@pytest.mark.parametrize(
    ("column", "cell", "problem"),
    [
        ("n", "2.000", "may be 2 or 2000"),
        ("n", '"2,000"', "may be 2.000 or 2000"),
        ("n", "30.500", "may be 30.5 or 30500"),
        ("dose", "54.600 cells/kg", "may be 54.6 or 54600"),
        ("dose", '"546,000 cells/kg"', "may be 546.000 or 546000"),
        ("dose", "50 cells/kg", "50 cells per kg"),
        ("dose", '"5,46e7 cells/kg"', "decimal comma"),
        ("mean", '"1.234,5"', "decimal comma"),
        ("sd", '"7,360"', "may be 7.360 or 7360"),
        ("sd", "<7", "it is a bound"),
    ],
)
def test_a_number_that_may_be_another_is_told(tmp_path, column, cell, problem):
    cells = dict(zip(HEADER.strip().split(","), ("A", "cells", "5e7 cells/kg", "30", "5", "6"), strict=True))
    (fault,) = refused(tmp_path, HEADER + ",".join((cells | {column: cell}).values()) + "\nA,ctrl,0,30,3,5\n")
    assert fault.where == f"row 2, column {column}"
    assert problem in fault.problem


def test_a_dose_per_child_that_lost_its_exponent_is_told(tmp_path):
    text = HEADER.replace("sd", "sd,weight_kg") + "A,cells,200 cells,30,5,6,20\nA,ctrl,0,30,3,5,20\n"
    (fault,) = refused(tmp_path, text)
    assert "'200 cells' is 10 cells per kg" in fault.problem
    assert "at least 1000" in fault.allowed


def test_the_least_dose_lies_far_below_those_of_the_shipped_trials():
    doses = [arm["dose_total_cells_per_kg"] for arm in read_tables().where("arms", role="active")]
    lowest = min(dose for dose in doses if dose is not None)
    assert lowest == 2.7e5
    assert lowest > 100 * LEAST_PER_KG


@given(whole=st.integers(1, 10**12), cents=st.integers(0, 99), mark=st.sampled_from(",'\u2019 \u00a0\u202f"))
def test_a_number_reads_the_same_with_marks_between_thousands(whole, cents, mark):
    for plain in (f"{whole}", f"{whole}.{cents:02d}", f"-{whole}"):
        whole_part, point, decimals = plain.partition(".")
        marked = f"{int(whole_part):,}".replace(",", mark) + point + decimals
        if marked.count(mark) == 1 and mark == "," and not point:
            with pytest.raises(ValueError, match="may be"):
                plain_number(marked)
        else:
            assert plain_number(marked) == plain


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        *(("\u22121.234", "-1.234"), ("5e\u22123", "5e-3"), ("1.234.567", "1234567"), ("1,234.5", "1234.5")),
        *(
            ("0.123", "0.123"),
            ("1.234.5", "1.234.5"),
            ("1'234", "1234"),
            ("12 34", "12 34"),
            ("1.234 567", "1.234 567"),
        ),
    ],
)
def test_known_numbers_as_people_write_them(text, plain):
    """A point before three digits is a decimal point, and what is no number stays what it is."""
    assert plain_number(text) == plain


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_of_a_program_stays_as_it_is(value):
    assert plain_number(repr(value)) == repr(value)


# names


TWINS = {
    "composed and decomposed": ("M\u00fcller 2010", "Mu\u0308ller 2010", "accents"),
    "two spaces": ("Lee  2010", "Lee 2010", "spaces"),
    "a space that does not break": ("Lee\u00a02010", "Lee 2010", "spaces"),
    "dashes": ("Lee-2010", "Lee\u20112010", "dashes"),
    "quotation marks": ("O'Neill", "O\u2019Neill", "quotation marks"),
    "nothing seen": ("Lee 2010", "Lee\u200b 2010", "without width"),
    "Cyrillic": ("Cox 2010", "\u0421\u043ex 2010", "two alphabets"),
    "several": ("Lee-2010 a", "Lee\u20112010\u00a0a", "several"),
}


@pytest.mark.parametrize("kind", TWINS)
@pytest.mark.parametrize("of", ["study", "arm"])
def test_two_names_that_look_alike_are_one_fault(tmp_path, kind, of):
    first, second, cause = TWINS[kind]
    text = HEADER.replace("sd", "sd,month") + (PAIR + PAIR).replace("\n", ",{}\n").format(6, 6, 12, 12)
    rows = text.splitlines()
    place = {"study": "A,", "arm": ",ctrl,"}[of]
    put = {"study": "{},", "arm": ",{},"}[of]
    rows[2], rows[4] = (rows[i].replace(place, put.format(name), 1) for i, name in ((2, first), (4, second)))
    if of == "study":
        rows[1], rows[3] = (rows[i].replace(place, put.format(first), 1) for i in (1, 3))
    (fault,) = refused(tmp_path, "\n".join(rows) + "\n")
    assert fault.where == ("rows 2, 5" if of == "study" else "rows 3, 5")
    assert "look alike" in fault.problem
    assert cause in fault.problem
    assert ascii(second) in fault.problem


def test_a_name_that_only_looks_like_a_known_one_is_told_in_a_folder(tmp_path):
    folder = damaged_tables(tmp_path, "contrasts", {(2, "study_id"): "Sun\u200b2017", (3, "arm_a"): "ucb\u00adlow16"})
    (folder / "arms.csv").write_text(
        (folder / "arms.csv").read_text(encoding="utf-8").replace("ucb_low16", "ucblow16"), encoding="utf-8"
    )
    with pytest.raises(InputError) as refusal:
        read_tables(folder)
    told = {fault.where: fault.problem for fault in refusal.value.faults if fault.file == "contrasts.csv"}
    assert "looks like it" in told["row 2, column study_id"]
    assert "without width" in told["row 2, column study_id"]
    assert "without width" in told["row 3, column arm_a"]


def test_two_studies_of_a_folder_that_look_alike_are_told(tmp_path):
    folder = damaged_tables(tmp_path, "studies", {(3, "study_id"): "Sun\u200b2017"})
    with pytest.raises(InputError, match=r"studies\.csv: rows 2, 3: study_id 'Sun2017' has spellings that look alike"):
        read_tables(folder)


def test_a_scale_with_another_dash_is_the_scale(tmp_path):
    text = HEADER.replace("sd", "sd,scale") + PAIR.replace("\n", ",GMFM\u201166\n")
    assert read(tmp_path, text).rows["contrasts"][0]["scale"] == "GMFM-66"


def test_a_decomposed_name_is_found_by_the_composed_one(tmp_path):
    (row,) = read(tmp_path, HEADER + PAIR.replace("A,", "Mu\u0308ller,")).rows["contrasts"]
    assert row["study_id"] == "M\u00fcller"


@given(name=st.text(st.characters(codec="utf-8")))
def test_what_is_seen_of_a_name_is_seen_of_itself(name):
    assert seen(seen(name)) == seen(name)
    assert seen(f" {name}\u200b") == seen(name)


def test_the_shipped_names_look_different_from_each_other():
    for name, columns in (("studies", ("study_id",)), ("arms", ("study_id", "arm_id"))):
        names = [tuple(seen(row[c]) for c in columns) for row in read_tables().rows[name]]
        assert len(set(names)) == len(names) > 50


# counts


@pytest.mark.parametrize("count", ["2.000", '"1,200"'])
@pytest.mark.parametrize("column", ["n_a", "n_b"])
def test_a_count_of_a_folder_with_a_mark_that_may_be_either_is_told(tmp_path, column, count):
    folder = damaged_tables(tmp_path, "contrasts", {(2, column): count.strip('"')})
    with pytest.raises(InputError) as refusal:
        read_tables(folder)
    (fault,) = refusal.value.faults
    assert (fault.file, fault.where) == ("contrasts.csv", f"row 2, column {column}")
    assert "may be" in fault.problem
    assert fault.allowed.startswith("a whole number from 1")


# size


def test_known_size_of_the_shipped_tables():
    """Every table is read as the csv module reads it: the same rows, the same cells."""
    tables = read_tables()
    for name in TABLES:
        with (PACKAGE_TABLES / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            raw = list(csv.DictReader(file))
        assert len(raw) == len(tables.rows[name]) > (10 if name == "held" else 20)
        for row, cells in zip(tables.rows[name], raw, strict=True):
            for column, cell in cells.items():
                value = row[column]
                assert (value is None and cell == "") or value == (cell if isinstance(value, str) else float(cell))


HOSTILE = {
    "a million rows": lambda: HEADER + PAIR * 500_000,
    "a million columns": lambda: ",".join(f"c{i}" for i in range(1_000_000)) + "\n",
    "a million columns without name": lambda: "," * 1_000_000 + "\n1\n",
    "a million cells": lambda: HEADER + "1," * 1_000_000 + "\n",
    "a million lines": lambda: HEADER + "\n" * 1_000_000,
    "a million comments": lambda: "#\n" * 1_000_000 + HEADER,
    "one cell of a million": lambda: HEADER + "A" * 1_000_000 + "\n",
    "an open quote": lambda: HEADER + '"' + PAIR * 20_000,
    "two hundred long names": lambda: ",".join("x" * 15_000 + str(i) for i in range(200)),
    "long names": lambda: HEADER + "".join(f"{'A' * 1800}{i},c,0,x,y,z\n" for i in range(1900)),
    "a fault in each row": lambda: HEADER + "A,c,5e7,x,y,z\n" * 1990,
    "one arm in each row": lambda: HEADER + "A,c,0,30,5,6\n" * 1990,
    "a study in each row": lambda: HEADER + "".join(f"A{i},c,0,30,5,6\n" for i in range(1990)),
}


DEAR = ("a study in each row", "a million cells", "a million columns")


@pytest.mark.parametrize("kind", [pytest.param(k, marks=pytest.mark.slow) if k in DEAR else k for k in HOSTILE])
def test_a_file_of_hostile_size_is_refused_quickly_and_shortly(tmp_path, kind):
    path = tmp_path / "own.csv"
    path.write_text(HOSTILE[kind](), encoding="utf-8")
    read_tables()  # what is imported on the way counts for no file
    tracemalloc.start()
    start = time.process_time()
    with pytest.raises(InputError) as refusal:
        read_tables(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 300e6
    assert time.process_time() - start < 10  # traced; a fifth of it otherwise
    assert len(refusal.value.faults) <= 402
    assert all(len(str(fault)) < 1000 for fault in refusal.value.faults)


def test_a_folder_of_hostile_size_is_refused_quickly_and_shortly(tmp_path):
    folder = damaged_tables(tmp_path, "claims", {})
    for name, word in (("studies", "n"), ("contrasts", "m")):
        head, row, *_ = (folder / f"{name}.csv").read_text(encoding="utf-8").splitlines()
        rows = (row.replace("Sun2017", f"S{word * 30}{i}", 1) for i in range(1990))
        (folder / f"{name}.csv").write_text("\n".join([head, *rows]), encoding="utf-8")
    start = time.process_time()
    with pytest.raises(InputError) as refusal:
        read_tables(folder)
    assert time.process_time() - start < 4
    assert len(refusal.value.faults) < 1000
    assert all(len(str(fault)) < 2000 for fault in refusal.value.faults)


def test_a_file_too_large_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "own.csv"
    with path.open("wb") as file:
        file.truncate(10**12)  # holds nothing
    monkeypatch.setattr(Path, "read_bytes", None)
    with pytest.raises(InputError, match=r"holds 1000000\.0 MB\n    allowed: at most 4 MB"):
        read_tables(path)


def test_faults_are_told_up_to_a_number(tmp_path):
    faults = refused(tmp_path, HEADER + "A,c,5e7,x,y,z\n" * 1000)
    assert len(faults) == 202
    told = [fault.problem for fault in faults if fault.where == "file"]
    assert told == ["more than 200 faults: reading stopped here"]


# damage


BASES = [
    HEADER + PAIR + KANG,
    "# text, with commas\n\n" + SEMICOLONS,
    "study,arm,dose,n,mean,sd,month,p,median,q1,q3\nA,cells,5e7 cells/kg,30,5.1,,12,0.04,,,\nA,ctrl,0,30,3.0,,12,,,,\n"
    "B,cells,5e7 cells/kg,61,,,12,,20,12.5,38.8\nB,ctrl,0,60,,,12,,15,9,25\n",
]
BITS = st.sampled_from(
    [
        *(b",", b";", b"\t", b'"', b"#", b"\n", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf", b"sep=;\n", b"1,5", b"1.000"),
        *(b"e9", b"0.04", b"-", "\u2212".encode(), "\u0308".encode(), b"1e-300", b"nan", b"<", b"p", b"se", b",,,,"),
    ]
)
DAMAGE = settings(
    max_examples=examples(50, 150),
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@DAMAGE
@given(base=st.sampled_from(BASES), edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6), BITS), max_size=5))
@example(base=BASES[2], edits=[])
def test_damaged_bytes_are_read_or_refused_shortly(tmp_path, base, edits):
    content = bytearray(base.encode())
    for place, length, bit in edits:
        at = int(place * len(content))
        content[at : at + length] = bit
    tables, faults = read_or_faults(tmp_path, bytes(content))
    assert (tables is None) == bool(faults)
    assert all(f.file and f.where and f.problem and f.allowed and len(str(f)) < 800 for f in faults)
    for row in tables.rows["contrasts"] if tables else ():
        assert 0 < row["control_se100"] < row["md100_se"]


def read_or_faults(folder: Path, content: bytes) -> tuple[Tables | None, tuple[Fault, ...]]:
    try:
        return read(folder, content), ()
    except InputError as error:
        return None, error.faults
