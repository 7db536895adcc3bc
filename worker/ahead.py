"""Work done in threads ahead of its consumer, in order, and never far ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future
from typing import TypeVar

Argument = TypeVar("Argument")
Result = TypeVar("Result")


def ahead(
    pool: Executor, work: Callable[[Argument], Result], arguments: Iterable[Argument], depth: int
) -> Generator[Result]:
    """The results of `work` in the order of `arguments`, at most `depth` of them in advance.

    What `work` raises is raised at the place of its result. When the consumer stops early,
    what has not begun is never begun.
    """
    waiting: deque[Future[Result]] = deque()
    try:
        for argument in arguments:
            waiting.append(pool.submit(work, argument))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
