"""What a user sees while a run works: stages, and how far long ones are. On stderr, so that stdout stays data."""

import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any


class Interrupted(BaseException):
    """Ctrl-C on the command line. No KeyboardInterrupt, which samplers take as the end of sampling, and go on."""


STOPS = (KeyboardInterrupt, Interrupted)
"""What a user stops a run by."""


AGAIN = 0.3
"""Seconds after which Ctrl-C is raised again, unless it has arrived: in a callback of compiled code it is lost."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Have Ctrl-C raise Interrupted, which nothing on the way takes for its own, until it arrives."""

    def stop(*_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, AGAIN)
        raise Interrupted

    def lost(what: "sys.UnraisableHookArgs") -> None:
        if not isinstance(what.exc_value, Interrupted):
            told(what)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGALRM)}
    told, sys.unraisablehook = sys.unraisablehook, lost
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = told
        for number, handler in before.items():
            signal.signal(number, handler)


READING = "reading what is asked"
"""The first stage of every verb that has a question."""


class Steps:
    """The steps of a stage: called after each; `expect` says that more are to come than was known."""

    def __init__(self, total: int = 0):
        self.done, self.total = 0, total

    def __call__(self) -> None:
        """Count a step that is done."""
        self.done += 1

    def expect(self, more: int) -> None:
        """Count steps that are to come."""
        self.total += more


UNSEEN = Steps()
"""Steps that nobody looks at."""

type Stage = Callable[..., AbstractContextManager[Steps]]


class Silent:
    """Show nothing (the Python API's default). An interruption carries notes: where it came, what was left."""

    bars = False

    def stage(self, text: str) -> None:
        """Announce a stage."""

    @contextmanager
    def steps(self, label: str, total: int = 0, *, shown: bool = True) -> Iterator[Steps]:
        """Count the steps of a stage, `total` of them or as many as it comes to expect; shown: unless what works there
        shows its progress itself."""
        steps = self._begun(label, total) if shown else Steps(total)
        try:
            yield steps
        except STOPS as stop:
            if isinstance(stop, Interrupted):
                signal.setitimer(signal.ITIMER_REAL, 0)  # it has arrived: what follows cleans up undisturbed
            stop.add_note(f"in {label}" + (f" ({steps.done} of {steps.total})" if steps.total else ""))
            raise
        finally:
            self._ended(steps)

    @contextmanager
    def stages(self, of: str, labels: Iterable[str]) -> Iterator[Stage]:
        """Follow the stages of something, in this order; yields what opens each, as `steps` does."""
        left, finished = list(labels), []

        @contextmanager
        def stage(label: str, total: int = 0, *, shown: bool = True) -> Iterator[Steps]:
            with self.steps(f"{of}: {label}", total, shown=shown) as steps:
                yield steps
            left.remove(label)
            finished.append(label)

        try:
            yield stage
        except STOPS as stop:
            stop.add_note(f"finished: {', '.join(finished) or 'nothing'}; left: {', '.join(left)}")
            raise

    def _begun(self, label: str, total: int) -> Steps:
        return Steps(total)

    def _ended(self, steps: Steps) -> None:
        pass


class Console(Silent):
    """Announce stages on stderr. Where that is a terminal, long ones have a bar with their rate and the time left."""

    def __init__(self) -> None:
        self.shown: Any = None
        self.open: list[Steps] = []

    @property
    def bars(self) -> bool:  # type: ignore[override]
        """Whether stderr is a terminal that shows no bar of ours at present."""
        return sys.stderr.isatty() and not self.open

    def stage(self, text: str) -> None:
        """Print the name of a stage."""
        print(text, file=sys.stderr, flush=True)

    def _begun(self, label: str, total: int) -> Steps:
        if not sys.stderr.isatty():
            return Steps(total)
        if not self.open:
            self.shown = _display()
            self.shown.start()
        self.open.append(Bar(self.shown, label, total))
        return self.open[-1]

    def _ended(self, steps: Steps) -> None:
        if isinstance(steps, Bar):
            self.open.remove(steps)
            self.shown.remove_task(steps.task)
            if not self.open:
                self.shown.stop()


class Bar(Steps):
    """Steps that are shown as a bar of a display; one that only moves, while nothing is known of their number."""

    def __init__(self, display: Any, label: str, total: int):
        super().__init__(total)
        self.display, self.task = display, display.add_task(label, total=total or None, rate="")

    def __call__(self) -> None:
        """Count a step that is done, and show it."""
        super().__call__()
        self.display.update(self.task, completed=self.done, rate=self._rate())

    def expect(self, more: int) -> None:
        """Count steps that are to come, and show it."""
        super().expect(more)
        self.display.update(self.task, total=self.total)

    def _rate(self) -> str:
        elapsed = self.display.tasks[self.display.task_ids.index(self.task)].elapsed
        return f"{self.done / elapsed:.2g}/s" if elapsed else ""


def _display() -> Any:
    """Return what shows bars on a terminal: label, bar, steps done and in all, rate, time taken and left."""
    from rich.console import Console as Terminal
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    left = TimeRemainingColumn(), TextColumn("left")
    name = TextColumn("{task.description}", markup=False)  # a plan may have any label
    columns = name, BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}")
    return Progress(*columns, TimeElapsedColumn(), *left, console=Terminal(stderr=True), transient=True)
