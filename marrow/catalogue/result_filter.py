"""Which results a table shows, and in which order: the records that a person's choices become."""

from __future__ import annotations

from typing import Self

from marrow.catalogue.sight import Sight
from marrow.records import Record


class ResultFilter(Record):
    """Which results a table shows; None means any."""

    text: str = ""
    job_id: int | None = None
    """Results of this job, its errors too; without it, all predictions."""
    piece: int | None = None
    """Of the job, those of this piece."""
    model_id: int | None = None
    head: str | None = None
    """The head that `call` and `min_p` are about."""
    call: str | None = None
    min_p: float | None = None
    """Smallest probability of `call`."""
    flag: str | None = None
    flagged: bool = False
    """Only predictions with a flag, whichever."""
    disagrees: bool | None = None
    """Whether the call of an asked head is another class than a reader's answer that counts."""
    has_error: bool | None = None
    """Of the job: whether the smear failed."""
    has_ended: bool | None = None
    """Of the job: whether the smear has come to a prediction or an error."""
    sight: Sight | None = None
    """Who looks: of smears that are not open there is no prediction; None: no person."""

    def simplified(self) -> Self:
        """The same question in its plainest form: where no reader is blind, all is seen."""
        is_open = self.sight is not None and not self.sight.blind
        return self.model_copy(update={"sight": None}) if is_open else self


class Sort(Record):
    """By which column: smear, patient, at, top_p, flags, model, worklist, p:<head>:<class> or
    call:<head>.

    The morning worklist begins with what failed in the job; see `marrow.catalogue.worklist`. By
    `flags`, what has none comes last.
    """

    column: str = "smear"
    descending: bool = False
