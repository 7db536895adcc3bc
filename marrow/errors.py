"""Everything that can be refused or go wrong, as one tree.

    MarrowError
    +-- NotASmear              the file is readable, but no colour smear          (ValueError)
    +-- UnreadableSmear        the file is damaged, too large or of no known form (ValueError)
    +-- UnreachableSmear       this host does not see the file                    (OSError)
    +-- BadScheme              a scheme that cannot be answered                   (ValueError)
    +-- BadLabels              a labels.csv or an answer that the scheme lacks    (ValueError)
    +-- BadRegions             a file of regions that is no GeoJSON of polygons   (ValueError)
    +-- BadReaders             blind readers of whom there is one, or one twice   (ValueError)
    +-- NotOpen                a smear that a blind reader has still to read
    +-- BadModel               weights or a card that do not fit or were altered  (ValueError)
    +-- BadBackup              a backup that cannot be written, or not be trusted  (ValueError)
    +-- BadCohort              a site that cannot be an external cohort           (ValueError)
    +-- NotBetter              a challenger that must not become champion unforced
    +-- BadSettings            MARROW_* or marrow.toml                            (ValueError)
    +-- BadGrid                a sweep whose cells are none, or not different     (ValueError)
    +-- CannotSplit            too few patients, or smears without one            (ValueError)
    +-- NoStudy                no study in this home, or one of another version
    +-- NotFound               no such job, model or smear                        (LookupError)
    +-- Busy                   somebody else does it just now
    +-- BrokerUnavailable      the broker did not start or does not answer
    +-- LeaseLost              another worker owns this piece now
    +-- Cancelled              a person asked for this job to stop

A message names what was got, what was wanted, and what to do.
"""

from __future__ import annotations

from pathlib import Path


def printable(text: str) -> str:
    """The text with line ends and control characters written out: `\\x1b`, `\\n`, `\\u202e`.

    A file name may hold what steers a terminal, ends a line, or turns the order of letters.
    """
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


class MarrowError(Exception):
    """Base of all errors that a person is shown as one sentence."""


class _SmearError(MarrowError):
    """An error that belongs to one file: `path`, and why, in one sentence."""

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = Path(path)
        self.reason = reason
        super().__init__(f"{printable(self.path.name)}: {printable(reason)}")


class NotASmear(_SmearError, ValueError):
    """Readable, but no colour image of a smear."""


class UnreadableSmear(_SmearError, ValueError):
    """Damaged, too large to decode safely, or of no known form."""


class UnreachableSmear(_SmearError, OSError):
    """The catalogue knows the smear; this host does not see its file."""


class BadScheme(MarrowError, ValueError):
    """A scheme that no model could answer."""


class BadLabels(MarrowError, ValueError):
    """A labels table, or an answer, that does not fit the scheme."""


class BadRegions(MarrowError, ValueError):
    """A file of regions that cannot be read, or does not say of which smear it is."""


class BadReaders(MarrowError, ValueError):
    """Names that cannot be a study's blind readers."""


class NotOpen(MarrowError):
    """A smear that is hidden until every blind reader has read it."""


class BadModel(MarrowError, ValueError):
    """Weights or a model card that do not fit, or were altered."""


class BadBackup(MarrowError, ValueError):
    """A backup that cannot be written, or that is damaged or of another version."""


class BadCohort(MarrowError, ValueError):
    """A site that cannot serve as an external cohort."""


class NotBetter(MarrowError):
    """A challenger that is worse than the champion, or that cannot be compared with it."""


class BadSettings(MarrowError, ValueError):
    """A setting that cannot be used."""


class BadGrid(MarrowError, ValueError):
    """A sweep whose cells cannot be trained: there are none, or two are the same."""


class CannotSplit(MarrowError, ValueError):
    """No honest split can be made of these smears."""


class NoStudy(MarrowError):
    """No study lies in this home, or it has another version."""


class NotFound(MarrowError, LookupError):
    """No such job, model or smear."""


class Busy(MarrowError):
    """Another process holds what is wanted."""


class BrokerUnavailable(MarrowError):
    """The broker did not start, or does not answer."""


class LeaseLost(MarrowError):
    """The piece belongs to another worker now; what was computed is dropped."""


class Cancelled(MarrowError):
    """A person asked for this job to stop."""
