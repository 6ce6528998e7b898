"""One door to several cores: work that is a plain value goes in, results come out in order, whatever carries them."""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Literal

Kind = Literal["threads", "processes"]


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order[T, R](
    work: Callable[[T], R], items: Iterable[T], kind: Kind = "threads", workers: int | None = None
) -> Iterator[R]:
    """Yield work(item) for every item in order, on as many workers as this process may use cores, or on `workers`.

    kind: threads where compiled code and NumPy release the lock of the interpreter, processes elsewhere (not by fork:
    threads of libraries do not survive it); one worker alone needs neither.

    At most one item a worker is worked on ahead of the one that is waited for: memory stays bounded. The results do not
    depend on kind and workers where those of `work` depend on its item alone.
    """
    workers = workers or cores()
    if isinstance(items, list):
        workers = min(workers, len(items))
    if workers <= 1:
        yield from map(work, items)
        return
    spawn = multiprocessing.get_context("spawn")
    with ThreadPoolExecutor(workers) if kind == "threads" else ProcessPoolExecutor(workers, spawn) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # where nobody waits for the others any more, none of them is begun
            pool.shutdown(wait=False, cancel_futures=True)
