"""The results folder: complete or absent whenever a run is killed, and nothing of it left behind."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import gmfmsim
from gmfmsim.faults import InputError
from gmfmsim.files import store

WRITER = """
import os, signal, sys
from pathlib import Path
from gmfmsim.files import store

folder, last = Path(sys.argv[1]), int(sys.argv[2])
TOUCHES = {"open", "os.mkdir", "os.chmod", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree", "fcntl.flock"}
step = 0

def audit(event, arguments):
    global step
    if event in TOUCHES:
        if step == last:
            os.kill(os.getpid(), signal.SIGKILL)
        step += 1

store.sweep(folder.parent)
if not store.is_complete(folder):
    sys.addaudithook(audit)
    with store.writing(folder) as draft:
        for name in store.ESSENTIAL:
            (draft / name).write_text("new")
        store.write_manifest(draft, {})
        if last == -2:
            print("ready", flush=True)
            sys.stdin.readline()
print(step)
"""
"""A run that writes a small result; it kills itself before its step `last` in the file system, or waits at -2."""


def writer(folder: Path, last: int, **streams) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(folder), str(last)], text=True, **streams)


def killed_at(folder: Path, last: int) -> bool:
    """Run the writer until its step `last`; return whether it came that far."""
    process = writer(folder, last, stdout=subprocess.PIPE)
    process.communicate()
    assert process.returncode in (0, -signal.SIGKILL)
    return process.returncode != 0


def content(folder: Path) -> dict[str, str]:
    """What a folder holds, its manifest apart."""
    return {p.name: p.read_text(encoding="utf-8") for p in folder.iterdir() if p.name != store.MANIFEST}


NEW = dict.fromkeys(sorted(store.ESSENTIAL), "new")


@pytest.mark.parametrize(
    "old",
    [pytest.param(None, marks=pytest.mark.slow), {"answer.json": "readable part of a clone"}],
    ids=["nothing there", "a clone"],
)
def test_killed_at_any_step_a_run_leaves_what_stood_there_or_its_result(tmp_path, old):
    """Every step in turn: a sweep leaves the old content whole or the new, and no draft, lock or folder moved aside."""
    step = 0
    while True:
        folder = tmp_path / f"killed at {step}" / "0123456789ab"
        if old:
            folder.mkdir(parents=True)
            (folder / "answer.json").write_text(old["answer.json"], encoding="utf-8")
        if not killed_at(folder, step):
            break
        store.sweep(folder.parent)
        found = content(folder) if folder.exists() else None
        assert found in (old, NEW), step
        assert store.is_complete(folder) == (found == NEW)
        assert set(folder.parent.glob("*")) <= {folder}, step
        step += 1
    assert step > 15
    assert store.is_complete(folder)


def test_a_complete_result_that_a_killed_run_had_moved_aside_comes_back(tmp_path):
    """Its own draft may be damaged: what another run had completed is whole."""
    folder = tmp_path / "0123456789ab"
    assert not killed_at(folder, -1)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    lock = tmp_path / ".0123456789ab-abcdefgh.lock"
    lock.touch()
    folder.rename(tmp_path / ".0123456789ab-abcdefgh-old")
    (tmp_path / ".0123456789ab-abcdefgh").mkdir()
    (tmp_path / ".0123456789ab-abcdefgh" / "answer.json").write_text("half", encoding="utf-8")
    store.sweep(tmp_path)
    assert store.is_complete(folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "input/output error"), KeyboardInterrupt()], ids=["error", "stopped"]
)
def test_what_stood_in_the_place_of_a_result_is_put_back_where_that_fails(tmp_path, monkeypatch, error):
    folder, rename = tmp_path / "0123456789ab", Path.rename
    folder.mkdir()
    (folder / "answer.json").write_text("readable part of a clone", encoding="utf-8")

    def fails(path: Path, target: Path) -> Path:
        if target == folder and not path.name.endswith("-old"):
            raise error
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(type(error)), store.writing(folder) as draft:
        (draft / "answer.json").write_text("new", encoding="utf-8")
    assert content(folder) == {"answer.json": "readable part of a clone"}
    assert list(tmp_path.iterdir()) == [folder]


def waiting(folder: Path) -> subprocess.Popen:
    """A run that has written its draft and waits before it puts it in place."""
    process = writer(folder, -2, stdout=subprocess.PIPE, stdin=subprocess.PIPE)
    assert process.stdout.readline() == "ready\n"
    return process


def test_what_a_living_run_writes_is_left_alone(tmp_path):
    """Two runs of one experiment, one of them stopped; a third is killed: only what that one left is swept."""
    folder, other = tmp_path / "0123456789ab", tmp_path / "ba9876543210"
    first, second, stopped = waiting(folder), waiting(folder), waiting(other)
    stopped.send_signal(signal.SIGSTOP)
    before = set(tmp_path.iterdir())
    assert len(before) == 6
    assert killed_at(folder, 8)
    assert len(set(tmp_path.iterdir())) == 8
    store.sweep(tmp_path)
    assert set(tmp_path.iterdir()) == before
    stopped.send_signal(signal.SIGCONT)
    for process in (first, second, stopped):
        process.communicate("go on\n")
        assert process.returncode == 0
    assert set(tmp_path.iterdir()) == {folder, other}
    assert store.is_complete(folder)
    assert store.is_complete(other)


def test_a_draft_without_a_lock_may_be_alive_elsewhere_and_stays(tmp_path, monkeypatch):
    """On a file system without locks a result is written all the same, and nobody sweeps what may be written."""

    def refuses(*_):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(store.fcntl, "flock", refuses)
    with store.writing(tmp_path / "0123456789ab") as draft:
        store.sweep(tmp_path)
        assert draft.is_dir()
        assert list(tmp_path.iterdir()) == [draft]
        (draft / "answer.json").write_text("{}", encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["0123456789ab"]


def test_a_sweep_between_the_making_and_the_locking_of_a_lock_takes_no_draft(tmp_path, monkeypatch):
    locked, swept = store._locked, []

    def late(file: int) -> bool:
        if not swept:
            swept.append(True)
            store.sweep(tmp_path)
        return locked(file)

    monkeypatch.setattr(store, "_locked", late)
    with store.writing(tmp_path / "0123456789ab") as draft:
        assert swept == [True]
        store.sweep(tmp_path)
        assert set(tmp_path.iterdir()) == {draft, draft.with_name(f"{draft.name}.lock")}
    assert [p.name for p in tmp_path.iterdir()] == ["0123456789ab"]


def test_a_sweep_touches_nothing_else(tmp_path):
    for name in (".notes", ".git", "note.lock", "0123456789ab"):
        (tmp_path / name).mkdir()
    before = sorted(tmp_path.rglob("*"))
    store.sweep(tmp_path)
    store.sweep(tmp_path / "nowhere")
    assert sorted(tmp_path.rglob("*")) == before


RUN = """
import os, signal, sys
def audit(event, arguments):
    if event == "open" and str(arguments[0]).endswith(sys.argv[2]) and "w" in str(arguments[1]):
        os.kill(os.getpid(), signal.SIGKILL)
from matplotlib.figure import Figure
import gmfmsim
Figure.savefig = lambda self, path, **how: path.write_text("<svg/>")  # drawing takes its time
sys.addaudithook(audit)
gmfmsim.run("xie2020", sys.argv[1])
"""


@pytest.mark.slow
def test_the_run_after_a_killed_one_leaves_its_result_alone_in_the_folder(tmp_path, blank_figures):
    killed = subprocess.run([sys.executable, "-c", RUN, str(tmp_path), "report.html"], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list((tmp_path / "xie2020").iterdir())) == 2  # draft and lock
    result = gmfmsim.run("xie2020", tmp_path)
    assert list((tmp_path / "xie2020").iterdir()) == [result.folder]
    assert json.loads((result.folder / "answer.json").read_text(encoding="utf-8")) == result.answer


@pytest.mark.parametrize("results", ["a\0b", "x" * 300])
def test_a_results_folder_that_no_file_system_has_is_refused(tmp_path, results):
    with pytest.raises(InputError, match="cannot be written"):
        gmfmsim.run("xie2020", tmp_path / results)


def test_a_link_in_the_place_of_a_result_is_refused(tmp_path):
    """Nothing is written through it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    key = gmfmsim.check("xie2020")["key"]
    (tmp_path / "results" / "xie2020").mkdir(parents=True)
    os.symlink(outside, tmp_path / "results" / "xie2020" / key)
    with pytest.raises(InputError, match="a file or link stands where the result belongs"):
        gmfmsim.run("xie2020", tmp_path / "results")
    assert list(outside.iterdir()) == []
