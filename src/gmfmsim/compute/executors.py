"""One door to several cores: work that is a plain value goes in, results come out in order, whatever carries them."""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Literal

Kind = Literal["serial", "threads", "processes"]


class Serial(Executor):
    """Work done at once, where it is handed in."""

    def submit[**P, R](self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Return a future that is done: whatever the work raises is raised here."""
        future: Future[R] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def executor(kind: Kind, workers: int) -> Executor:
    """Return what carries work: threads where compiled code and NumPy release the lock of the interpreter, processes
    elsewhere (not by fork: threads of libraries do not survive it), nothing where one worker is enough."""
    if kind == "serial" or workers == 1:
        return Serial()
    if kind == "threads":
        return ThreadPoolExecutor(workers)
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


def in_order[T, R](
    work: Callable[[T], R], items: Iterable[T], kind: Kind = "threads", workers: int | None = None
) -> Iterator[R]:
    """Yield work(item) for every item in order, on as many workers as this process may use cores, or on `workers`.

    At most one item a worker is worked on ahead of the one that is waited for: memory stays bounded. The results do not
    depend on kind and workers where those of `work` depend on its item alone.
    """
    workers = workers or cores()
    with executor(kind, workers) as pool:
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > (0 if isinstance(pool, Serial) else workers):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
