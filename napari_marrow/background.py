"""Where slow questions are asked: off the GUI thread, with tickets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, TypeVar

Answer = TypeVar("Answer")
Lane = Literal[
    "catalogue",
    "pages",
    "counts",
    "files",
    "pictures",
    "thumbnails",
    "exports",
    "figures",
    "journal",
    "sender",
]
"""A thread each: questions to the catalogue never wait behind the decoding of a large file, nor
a page of a long table behind the counting of all its rows, nor the smear that a person wants to
see behind an import, a sheet of thumbnails or the figures of two models. A label on its way to
the disk waits for nothing; its way to a locked or lost catalogue (sender) may take half a
minute."""


class Background(Protocol):
    """Asks questions on a thread of its own and hands the answers to the main thread."""

    def ask(
        self,
        topic: str,
        question: Callable[[], Answer],
        then: Callable[[Answer], None],
        *,
        lane: Lane = "catalogue",
        failed: Callable[[], None] | None = None,
    ) -> None:
        """Run `question` on another thread, then `then(answer)` on the main thread.

        Of several questions on one topic only the last is answered: an answer whose ticket is
        old is dropped, and a question that has not begun when a newer one comes is not asked.
        If the question raises, a person is told in one sentence, then `failed` runs.

        Parameters
        ----------
        topic : str
            What the question is about. Questions that change something use a topic of their
            own through `tell`, so that none of them is dropped.
        """

    def tell(
        self,
        errand: Callable[[], Answer],
        then: Callable[[Answer], None],
        *,
        lane: Lane = "catalogue",
        failed: Callable[[], None] | None = None,
    ) -> None:
        """Like `ask`, for work that must be done: nothing replaces it."""
