"""Experiments of hostile size or content: refused in a few words, in little time and memory, never with a traceback."""

import io
import json
import subprocess
import sys
import time

import pytest
from damage import VALID, command, trial

from gmfmsim import check
from gmfmsim.faults import LONGEST, Fault, InputError
from gmfmsim.files.toml import DEEPEST, MOST_BYTES, read_text, read_toml

PAST = """\
question = "Which?"
seed = 1
evidence = { select = { default_use = "primary" } }
model = { name = "random_effects" }
[past]
effect = 1.42
"""
CHECKS = 'question = "Again?"\n[replication]\nreview = "Eggenberger2019"\n'


def instead(old: str, new: str) -> str:
    """The valid experiment with one text replaced."""
    assert VALID.count(old) == 1
    return VALID.replace(old, new)


def numbered(pattern: str, count: int, between: str = ",") -> str:
    return between.join(pattern.format(i) for i in range(count))


DESIGN = f'{{ design = "sun2017", {numbered("x{}=1", 100)} }}'
POOL = '[[replication.checks]]\nkind = "pooled_smd"\ntitle = "t"\n'
TRIAL = '{{ study = "study {}", arms = ["a", "b"], scale = "x", month = 1 }}'
SELECT, CELLS = '{ default_use = "primary" }', '{ name = "cells", dose = "5e7 cells/kg" }'
HOSTILE = {
    "a million rows": lambda: instead(SELECT, f"{{ row = [{numbered('{}', 10**6)}] }}"),
    "100,000 rows": lambda: instead(SELECT, f"{{ row = [{numbered('{}', 10**5)}] }}"),
    "200 studies": lambda: instead(SELECT, f"{{ study = [{numbered('"study number {}"', 200)}] }}"),
    "a million unknown keys": lambda: numbered("k{}=1", 10**6, "\n") + "\n" + VALID,
    "100,000 unknown keys": lambda: numbered("k{}=1", 10**5, "\n") + "\n" + VALID,
    "190 unknown keys": lambda: numbered("k{}=1", 190, "\n") + "\n" + VALID,
    "a thousand alternatives": lambda: VALID + numbered('[[alternatives]]\nlabel="a{}"', 1000, "\n"),
    "51 alternatives": lambda: VALID + numbered('[[alternatives]]\nlabel="a{}"', 51, "\n"),
    "50 alternatives of 150 unknown keys": lambda: (
        VALID + numbered(f'[[alternatives]]\nlabel="a{{}}"\n{numbered("x{}=1", 150, "\n")}', 50, "\n")
    ),
    "50 MB of comment": lambda: VALID + "#" * (50 * 10**6),
    "a label of 0.9 MB": lambda: f'label = "{"x" * 900_000}"\n' + VALID,
    "a key of 0.9 MB": lambda: f"{'x' * 900_000} = 1\n" + VALID,
    "a study of 0.9 MB": lambda: instead(SELECT, f'{{ study = "{"x" * 900_000}" }}'),
    "a model of 0.9 MB": lambda: instead('"random_effects"', f'"{"x" * 900_000}"'),
    "a prior of 0.9 MB": lambda: f"model.priors.{'x' * 900_000}.dist = 1\n" + VALID.replace("model = ", "model.name=#"),
    "a dose of 0.9 MB": lambda: instead('"5e7 cells/kg"', f'"{"1" * 900_000} cells/kg"'),
    "0.9 MB of escaped characters": lambda: instead("How many", "\\u0001" * 150_000),
    "an integer of 100,000 digits": lambda: instead("seed = 1", f"seed = {'1' * 10**5}"),
    "a hexadecimal of 100,000 digits": lambda: instead("seed = 1", f"seed = 0x{'f' * 10**5}"),
    "a hexadecimal month of 5,000 digits": lambda: instead("month = 12", f"month = 0x{'f' * 5000}"),
    "a float of 100,000 digits": lambda: instead("month = 12", f"month = {'1' * 10**5}.0"),
    "an inline table of 90,000 keys": lambda: instead("seed = 1", f"seed = {{ {numbered('k{}=1', 90_000)} }}"),
    "100,000 arms": lambda: instead(CELLS, numbered('{{ name = "c{}", dose = "5e7 cells/kg" }}', 10**5)),
    "100,000 supposed results": lambda: instead(
        'tables = "package",', f'tables = "package", what_if = [{numbered("{{}}", 10**5)}],'
    ),
    "a key of 400,000 levels": lambda: "a" + ".a" * 400_000 + " = 1\n" + VALID,
    "a quoted key of 30,000 levels": lambda: '"a"' + ' . "a"' * 30_000 + " = 1\n" + VALID,
    "an inline key of 30,000 levels": lambda: instead("seed = 1", f"seed = {{ a{'.a' * 30_000} = 1 }}"),
    "a heading of 30,000 levels": lambda: f"{VALID}[a{'.b' * 30_000}]\n",
    "lists 450,000 levels deep": lambda: instead("seed = 1", f"seed = {'[' * 450_000}{']' * 450_000}"),
    "100 unknown designs": lambda: f"{PAST}designs = [{numbered('"trial {}"', 100)}]\n",
    "100 designs of 100 unknown keys": lambda: f"{PAST}designs = [{','.join([DESIGN] * 100)}]\n",
    "200 checks of 60 unknown trials": lambda: CHECKS + f"{POOL}trials = [{numbered(TRIAL, 60)}]\n" * 200,
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_size_is_refused_in_a_few_words(tmp_path, case):
    """In seconds even where a machine is slow: what grows with the input's square or is told in full takes minutes."""
    path = tmp_path / "trial.toml"
    path.write_text(HOSTILE[case](), encoding="utf-8")
    start = time.process_time()
    with pytest.raises(InputError) as refusal:
        check(str(path))
    assert time.process_time() - start < 8
    assert len(str(refusal.value)) < 10_000
    assert all(len(getattr(f, part)) <= most for f in refusal.value.told for part, most in LONGEST.items())


@pytest.mark.parametrize(
    "case",
    [
        "a million rows",
        *(pytest.param(c, marks=pytest.mark.slow) for c in ("100,000 unknown keys", "50 MB of comment")),
    ],
)
def test_hostile_size_takes_little_memory(tmp_path, case):
    """Half a gigabyte with all that the program loads, measured by the operating system."""
    path = tmp_path / "trial.toml"
    path.write_text(HOSTILE[case](), encoding="utf-8")
    words = ["-c", "from gmfmsim.cli import main; main()", "check", str(path)]
    code = (
        "import os, resource, subprocess, sys\n"
        "done = subprocess.run([sys.executable, *sys.argv[1:]], capture_output=True)\n"
        "print(done.returncode, len(done.stdout + done.stderr), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    found = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True).stdout
    code, message, peak = map(int, found.split())
    assert code == 2
    assert message < 10_000
    assert peak * (1 if sys.platform == "darwin" else 1024) < 500e6


# what is told


def faults(count: int, size: int = 1) -> list[Fault]:
    return [Fault("trial.toml", f"key k{i}", "x" * size, "y" * size) for i in range(count)]


def test_twenty_faults_are_told_and_the_rest_counted():
    assert str(InputError(faults(20))).count("allowed:") == 20
    assert "more" not in str(InputError(faults(20)))
    error = InputError(faults(204))
    assert str(error).count("allowed:") == 20
    assert str(error).endswith("\nand 184 more")
    assert len(error.faults) == 204


def test_long_faults_are_told_as_far_as_eight_thousand_characters_go():
    error = InputError(faults(20, 2_000))
    assert 6_000 < len(str(error)) < 8_100
    assert len(error.told) + error.left == 20
    assert len(InputError(faults(1, 10**6)).told) == 1


def test_a_long_part_of_a_fault_keeps_its_beginning_and_its_end():
    fault = Fault("a" * 10**6 + "trial.toml", "key " + "b" * 10**6, "c" * 299, "d" * 300)
    assert fault.file.startswith("aaa")
    assert fault.file.endswith("trial.toml")
    assert [len(fault.file), len(fault.where), fault.problem] == [300, 300, "c" * 299]
    assert fault.allowed == "d" * 300


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\x00b\x07", r"a\x00b\x07"),
        ("left \u202e right", r"left \u202e right"),
        ("\udcff.toml", r"\udcff.toml"),
        ("a\rb", r"a\rb"),
        ("黄 2018, Müller, دراسة", "黄 2018, Müller, دراسة"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
    ],
)
def test_what_would_steer_a_terminal_is_escaped(text, printed):
    """Escape sequences, marks that turn the direction of text, bytes of file names that are no text."""
    assert Fault(text, text, text, text) == Fault(printed, printed, printed, printed)


def test_faults_as_json_are_counted_too(tmp_path, monkeypatch, capsys):
    path = trial(tmp_path, {f"k{i}": 1 for i in range(30)})
    assert command(monkeypatch, "check", path, "--json") == 2
    found = json.loads(capsys.readouterr().out)
    assert len(found["faults"]) == 20
    assert found["more"] == 10


def test_the_name_of_a_file_may_be_no_text(monkeypatch, capsys):
    """As the system hands over a name with the byte 0xff."""
    assert command(monkeypatch, "check", "\udcff.toml", "--json") == 2
    (fault,) = json.loads(capsys.readouterr().out)["faults"]
    assert fault["file"] == r"\udcff.toml"


def test_a_name_that_the_terminal_cannot_show_is_shown_by_its_codes(tmp_path, monkeypatch):
    path = tmp_path / "own.csv"
    path.write_text("study,arm,dose,n,mean,sd\n黄 2018,a,1e7 cells/kg,30,5,6\n黄 2018,b,0,30,3,6\n", encoding="utf-8")
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert command(monkeypatch, "show", "table", "studies", "--tables", str(path)) == 0
    terminal.flush()
    assert rb"study_id: \u9ec4 2018" in terminal.buffer.getvalue()


# where the limits lie


def test_a_file_of_the_largest_size_is_read(tmp_path):
    path = tmp_path / "trial.toml"
    path.write_bytes(b"#" * MOST_BYTES)
    assert read_toml(path) == {}
    path.write_bytes(b"#" * (MOST_BYTES + 1))
    with pytest.raises(InputError, match="is too large\n    allowed: at most 1,000,000 bytes"):
        read_toml(path)


@pytest.mark.parametrize("part", ["a", '"a b"', "'a.b'", " a ", "\t'a'"])
@pytest.mark.parametrize("form", ["{} = 1", "[{}]", "x = {{{} = 1}}", "x = {{y = 1, {} = 1}}"])
def test_a_key_may_have_twenty_levels(tmp_path, part, form):
    path = tmp_path / "trial.toml"
    path.write_text(form.format(".".join([part] * (DEEPEST - 1))) + "\n", encoding="utf-8")
    assert read_toml(path)
    path.write_text(form.format(".".join([part] * (DEEPEST + 1))) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="nested too deep"):
        read_toml(path)


def test_dots_in_a_text_are_no_levels(tmp_path):
    text = "See " + ".".join(["a"] * 100)
    assert read_toml(trial(tmp_path, {"question": text}))["question"] == text


@pytest.mark.parametrize(
    ("value", "taken"), [(2**63 - 1, True), (-(2**63), True), (2**63, False), (-(2**63) - 1, False)]
)
def test_whole_numbers_are_those_of_toml(tmp_path, value, taken):
    path = tmp_path / "trial.toml"
    path.write_text(f"a = [1, {value}]", encoding="utf-8")
    if taken:
        assert read_toml(path) == {"a": [1, value]}
        return
    with pytest.raises(InputError, match=r"key a\.1: a whole number beyond 64 bits"):
        read_toml(path)


def test_a_text_has_its_line_ends_and_no_mark_of_byte_order(tmp_path):
    path = tmp_path / "text.toml"
    path.write_bytes("\ufeffa\r\nb\rc\n".encode())
    assert read_text(path) == "a\nb\nc\n"


@pytest.mark.parametrize("kind", ["experiment", "children", "design"])
@pytest.mark.parametrize(("content", "problem"), [(b"\xff", "is not UTF-8"), (b"#" * 2 * 10**6, "is too large")])
def test_a_file_that_is_shown_is_read_as_any(tmp_path, monkeypatch, capsys, kind, content, problem):
    path = tmp_path / "any.toml"
    path.write_bytes(content)
    assert command(monkeypatch, "show", kind, path, *(["--toml"] if kind == "design" else [])) == 2
    assert problem in capsys.readouterr().err
