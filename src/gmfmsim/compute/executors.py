"""Work on several cores whose results come in order, so that they do not depend on the number of cores."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor


def in_order[T, R](work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yield work(item) for every item in order, on as many threads as this process may use cores.

    At most one item a thread is worked on ahead of the one that is waited for: memory stays bounded. Compiled code and
    NumPy release the lock of the interpreter, so threads are enough.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores == 1:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(cores) as pool:
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > cores:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
