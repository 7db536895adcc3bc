"""A log line says where it comes from and which piece it is about, and names no file."""

from __future__ import annotations

import io
import logging
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest

from marrow.errors import UnreadableSmear
from marrow.records import Claim
from worker.logs import Formatter, error_text, working_on

HELD = Claim(job_id=12, number=7, kind="classify", attempt=2, owner="here:1:1")
PATIENT = "/data/Meier, Anna/P-017.png"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What all loggers of this process write, as the worker formats it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Formatter())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


def test_a_line_has_time_level_logger_and_the_piece(lines: io.StringIO) -> None:
    with working_on(HELD):
        logging.getLogger("worker.work").info("finished")
    line = lines.getvalue()
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d"
    assert re.fullmatch(rf"{stamp} INFO worker\.work job=12 piece=7 attempt=2 finished\n", line), (
        line
    )


def test_other_threads_name_the_piece_too_and_nobody_after_it(lines: io.StringIO) -> None:
    with working_on(HELD):
        beat = threading.Thread(target=logging.getLogger("worker.lease").warning, args=("late",))
        beat.start()
        beat.join()
    logging.getLogger("worker.lease").warning("idle")
    beaten, idle = lines.getvalue().splitlines()
    assert "job=12 piece=7 attempt=2 late" in beaten
    assert "job=" not in idle


def test_a_piece_that_ends_badly_is_no_longer_named(lines: io.StringIO) -> None:
    with pytest.raises(RuntimeError), working_on(HELD):
        raise RuntimeError
    logging.getLogger("worker.work").info("next")
    assert "job=" not in lines.getvalue()


def open_smear() -> None:
    try:
        raise ValueError(f"cannot identify {PATIENT}")
    except ValueError as error:
        raise UnreadableSmear(PATIENT, "damaged") from error


def test_an_exception_is_written_as_types_and_places(lines: io.StringIO) -> None:
    try:
        open_smear()
    except UnreadableSmear:
        logging.getLogger("worker.work").exception("failed")
    line = lines.getvalue()
    assert line.count("\n") == 1
    assert "failed error=UnreadableSmear at=" in line
    assert "caused-by=ValueError at=" in line
    assert line.count("open_smear") == 2
    for secret in ("Meier", "P-017", "identify", "damaged", "/", "\\"):
        assert secret not in line


def test_the_operating_system_s_errors_keep_their_meaning() -> None:
    assert error_text(OSError(28, "x", PATIENT)) == "error=OSError(No space left on device)"
    assert error_text(OSError(f"cannot identify {PATIENT}")) == "error=OSError"


def test_a_device_s_error_keeps_its_words() -> None:
    torch = pytest.importorskip("torch")
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")
    assert error_text(error) == (
        "error=OutOfMemoryError(CUDA out of memory. Tried to allocate 2 GiB)"
    )


def test_what_a_library_says_of_a_file_is_left_out(lines: io.StringIO) -> None:
    logging.getLogger("tifffile").warning("<TiffPage 0> of %s is odd", PATIENT)
    logging.warning("%s", PATIENT)
    assert "P-017" not in lines.getvalue()
    assert re.search(r"WARNING tifffile at=test_logs:\d+ \(text left out", lines.getvalue())
    shown = warnings.formatwarning(f"{PATIENT} is odd", UserWarning, "/home/anna/x.py", 3)
    logging.getLogger("py.warnings").warning("%s", shown)
    assert lines.getvalue().endswith(
        "py.warnings UserWarning (text left out: it may name a file)\n"
    )
    assert "/home" not in lines.getvalue()


def test_one_event_is_one_line_without_a_password(lines: io.StringIO) -> None:
    log = logging.getLogger("celery.worker.consumer")
    log.error("consumer: Cannot connect to redis://:geheim@lab:6379/0: refused.\nTrying again")
    logging.getLogger("marrow.queue").warning("two\nlines\x1b[31m")
    connection, two = lines.getvalue().splitlines()
    assert connection.endswith("Cannot connect to redis://**@lab:6379/0: refused.")
    assert two.endswith("two lines [31m")


def test_last_words_of_a_process_name_no_file() -> None:
    code = f"from worker.logs import log_to_stderr\nlog_to_stderr()\nopen({PATIENT!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "CRITICAL worker the process ended error=FileNotFoundError(No such" in done.stderr
    assert "Meier" not in done.stderr
    assert done.stderr.count("\n") == 1
