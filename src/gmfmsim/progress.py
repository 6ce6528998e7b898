"""What a user sees while a run works: stages, and a bar for long ones. On stderr, so that stdout stays data."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Silent:
    """Show nothing (the Python API's default)."""

    bars = False

    def stage(self, text: str) -> None:
        """Announce a stage."""

    @contextmanager
    def steps(self, label: str, total: int | None = None) -> Iterator[Callable[[], None]]:
        """Count steps of a stage; yields the function to call after each."""
        yield lambda: None


class Console(Silent):
    """Announce stages on stderr; bars only where stderr is a terminal."""

    def __init__(self) -> None:
        self.bars = sys.stderr.isatty()

    def stage(self, text: str) -> None:
        """Print the name of a stage."""
        print(text, file=sys.stderr, flush=True)

    @contextmanager
    def steps(self, label: str, total: int | None = None) -> Iterator[Callable[[], None]]:
        """Show a bar with `total` steps (or a pulse where the number is not known beforehand)."""
        if not self.bars:
            yield lambda: None
            return
        from rich.console import Console as Terminal
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        with Progress(*columns, console=Terminal(stderr=True), transient=True) as bar:
            task = bar.add_task(label, total=total)
            yield lambda: bar.advance(task)
