"""The one place where whatever a decoder throws becomes a sentence about a smear."""

from __future__ import annotations

import errno
import logging
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from marrow.errors import MarrowError, NotASmear, UnreachableSmear, UnreadableSmear

# Errors of the file system rather than of the file's content.
_FILE_SYSTEM = {
    errno.EACCES,
    errno.EIO,
    errno.ENODEV,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EPERM,
    errno.ETIMEDOUT,
    getattr(errno, "EHOSTDOWN", errno.EIO),
    getattr(errno, "ESTALE", errno.EIO),
}
_STUMBLES = (ArithmeticError, AttributeError, LookupError, TypeError, struct.error)
_LONGEST_REASON = 160  # characters; decoders sometimes print whole arrays


class Refused(ValueError):
    """Raised inside the boundary: becomes UnreadableSmear with these very words."""


class TooLarge(Refused):
    """Refused for what it declares; no other decoder may be tried on it."""


class NoSmear(ValueError):
    """Raised inside the boundary: becomes NotASmear with these very words."""


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turn every error of a decoder into one of three errors that name the smear.

    KeyboardInterrupt and SystemExit pass; so does an error that already names a smear.

    Raises
    ------
    NotASmear
        The file is readable, but no colour smear.
    UnreachableSmear
        The file system does not hand the file out.
    UnreadableSmear
        Everything else.
    """
    _quieten_decoders()
    _decoding_here.depth = getattr(_decoding_here, "depth", 0) + 1
    try:
        yield
    except MarrowError:
        raise
    except NoSmear as error:
        raise NotASmear(path, str(error)) from error
    except Refused as error:
        raise UnreadableSmear(path, str(error)) from error
    except Exception as error:
        # decoders leak errors of every kind: this is the one boundary where all are caught
        if isinstance(error, OSError) and error.errno in _FILE_SYSTEM:
            reason = f"cannot be reached: {error.strerror}"
            raise UnreachableSmear(path, reason) from error
        raise UnreadableSmear(path, _reason(error)) from error
    finally:
        _decoding_here.depth -= 1


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return f"decoding it needs more memory than there is ({error or 'out of memory'})"
    said = " ".join(str(error).split())
    if isinstance(error, _STUMBLES) or not said:
        # what a decoder says when it trips over its own feet tells a reader nothing
        return f"damaged: its structure makes no sense ({type(error).__name__})"
    if len(said) > _LONGEST_REASON:
        said = said[: _LONGEST_REASON - 3] + "..."
    return f"damaged, or of a form that is not read here ({said})"


_decoding_here = threading.local()


def _outside_decoding(_record: logging.LogRecord) -> bool:
    return not getattr(_decoding_here, "depth", 0)


def _quieten_decoders() -> None:
    """Keep decoders' own chatter from users; what matters reaches them as an error or a warning.

    `warnings.catch_warnings` swaps the state of the whole process and is therefore unsafe between
    threads; registering the same filter again is safe and cheap.
    """
    warnings.filterwarnings("ignore", module=r"(PIL|tifffile|imagecodecs|openslide)(\.|$)")
    logging.getLogger("tifffile").addFilter(_outside_decoding)
