"""What is seen while a run works, and what is said and left behind where it is interrupted."""

import ctypes
import io
import json
import signal
import sys
import time

import pytest
import tomli_w
from conftest import small
from damage import command

import gmfmsim
from gmfmsim.answer.plan import STAGES
from gmfmsim.faults import Fault, InputError
from gmfmsim.files.toml import read_toml
from gmfmsim.progress import READING, STOPS, Console, Interrupted, Silent, Steps, interruptible

ASIDE = ("models", "check by sampling")
"""Stages whose samplers show their progress themselves."""


ONE = "readings of suspect figures"


class Terminal(io.StringIO):
    """What a terminal shows, kept."""

    def isatty(self) -> bool:
        return True


class Watched(Silent):
    """Keeps the steps of every stage."""

    def __init__(self) -> None:
        self.seen: dict[str, Steps] = {}

    def _begun(self, label: str, total: int) -> Steps:
        return self.seen.setdefault(label, Steps(total))


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """A small one, with few readings and assumptions."""
    raw = read_toml(small("quickstart_one_mean", tmp_path_factory.mktemp("waiting")))
    raw["evidence"]["readings"] = {"Huang2018": "as_printed"}
    path = tmp_path_factory.mktemp("few") / "few.toml"
    path.write_text(tomli_w.dumps(raw | {"sensitivity": {"changed": ["dropout", "sd"]}}), encoding="utf-8")
    return path


@pytest.mark.parametrize("verb", ["run", "simulate", "size", "power --n 60", "compare", "protocol"])
def test_the_first_stage_has_a_name_before_anything_is_read(monkeypatch, verb):
    """It is open while the question is read."""
    begun = []

    def read(*_):
        assert {*begun} == {READING}
        raise InputError([Fault("x", "y", "was read", "z")])

    monkeypatch.setattr(Console, "_begun", lambda self, label, total: begun.append(label) or Steps(total))
    monkeypatch.setattr("gmfmsim.question.question.read_toml", read)
    monkeypatch.setattr("gmfmsim.answer.asked.read_question_or_design", read)
    assert command(monkeypatch, *verb.split(), "quickstart") == 2
    assert {*begun} == {READING}


def test_every_stage_of_a_run_is_seen_and_its_steps_come_out_even(experiment, tmp_path, blank_figures):
    watched = Watched()
    gmfmsim.run(experiment, tmp_path, progress=watched)
    of_plan = [label.removeprefix("main: ") for label in watched.seen if label.startswith("main: ")]
    assert [s for s in of_plan if s in STAGES and s not in ASIDE] == [s for s in STAGES if s not in ASIDE]
    counted = {label: steps for label, steps in watched.seen.items() if steps.total}
    assert {"main: power and assurance curves", "main: what moves n", "report: figures and page"} <= counted.keys()
    assert {label: steps.done for label, steps in counted.items()} == {k: s.total for k, s in counted.items()}


def test_an_interrupted_run_says_what_was_left_and_leaves_nothing(monkeypatch, capsys, experiment, tmp_path):
    def interrupted(*_):
        signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr("gmfmsim.answer.plan.under_readings", interrupted)
    results = tmp_path / "results"
    assert command(monkeypatch, "run", experiment, "--results", results) == 130
    out, err = capsys.readouterr()
    last = err.splitlines()[-1]
    finished, left = STAGES[: STAGES.index(ONE)], STAGES[STAGES.index(ONE) :]
    said = f"interrupted; in main: {ONE}; finished: {', '.join(finished)}; left: {', '.join(left)}; nothing was written"
    assert last == said
    assert "Traceback" not in err
    assert out == ""
    assert [*results.rglob("*")] == []
    assert signal.getsignal(signal.SIGINT) is before
    assert command(monkeypatch, "run", experiment, "--results", results, "--json") == 130
    assert json.loads(capsys.readouterr().out)["interrupted"] == last


def test_a_sampler_does_not_take_an_interruption_for_the_end_of_sampling():
    assert not issubclass(Interrupted, (Exception, KeyboardInterrupt))


@pytest.mark.parametrize("stop", STOPS)
def test_an_interruption_carries_where_it_came(stop):
    progress = Silent()

    def work():
        with progress.stages("it", ["one", "two", "three"]) as stage:
            with stage("one"):
                pass
            with stage("two", 4) as steps:
                steps()
                steps.expect(2)
                raise stop

    with pytest.raises(stop) as told:
        work()
    assert told.value.__notes__ == ["in it: two (1 of 6)", "finished: one; left: two, three"]


def test_a_terminal_shows_rate_and_time_left(monkeypatch):
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    console = Console()
    assert console.bars
    with console.steps("plan [/b]: [red]outer", 10) as outer:
        assert not console.bars  # no other display beside ours
        for _ in range(4):
            time.sleep(0.06)
            outer()
        with console.steps("inner") as inner:
            inner.expect(2)
            inner()
            time.sleep(0.15)
    assert console.bars
    text = shown.getvalue()
    for words in ("plan [/b]: [red]outer", "4/10", "/s", "left", "inner", "1/2"):
        assert words in text


def test_a_stage_that_shows_its_progress_itself_has_no_bar(monkeypatch):
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    console = Console()
    with console.steps("sampled", 3, shown=False) as steps:
        steps()
        assert console.bars
    assert shown.getvalue() == ""


def test_no_terminal_has_no_bar(capsys):
    console = Console()
    with console.steps("quiet", 3) as steps:
        steps()
    console.stage("said")
    assert capsys.readouterr().err == "said\n"


def test_an_interruption_that_a_callback_swallows_comes_again():
    """Python ignores what is raised in a callback of compiled code, and says so; here nothing is said."""
    callback = ctypes.CFUNCTYPE(None)(lambda: signal.raise_signal(signal.SIGINT))
    begun = time.monotonic()

    def work():
        with interruptible():
            callback()
            while time.monotonic() < begun + 10:
                time.sleep(0.01)

    with pytest.raises(Interrupted):
        work()
    assert time.monotonic() - begun < 5
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
