"""Files that are there as a whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from marrow.errors import BadSettings


def require_writable(target: Path) -> None:
    """Raise BadSettings unless a file can be written there: better now than after the night."""
    if target.is_dir() or not os.access(target.absolute().parent, os.W_OK):
        raise BadSettings(f"{target} cannot be written: name a file in a folder that is there")


@contextmanager
def placed(target: Path) -> Iterator[Path]:
    """A new file beside the target, which takes its place when the block ends without an error.

    Raises
    ------
    BadSettings
        If it cannot be written; the target is what it was before.
    """
    place = target.resolve()  # a link stays one
    # Short, because a name may be as long as the file system allows already.
    aside = place.parent / f".marrow-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        require_writable(place)
        try:
            yield aside
            with aside.open("rb") as file:
                os.fsync(file.fileno())
            aside.replace(place)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(target, error) from error


def cannot_write(target: Path, error: OSError) -> BadSettings:
    """The refusal of a file that the system does not let be written."""
    is_full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    remedy = "; free some space, or name a file elsewhere" if is_full else ""
    return BadSettings(f"{target} cannot be written: {error.strerror or error}{remedy}")
