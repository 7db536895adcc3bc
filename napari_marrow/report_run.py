"""A report being made by `marrow report` in a process of its own: it needs torch, we do not."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_STEP = "Making: "
"""What `marrow report` writes before the name of each step."""


@dataclass(frozen=True)
class Making:
    """How far a report is, in words."""

    model_id: int
    words: str


@dataclass(frozen=True)
class ReportMade:
    """A report is there."""

    model_id: int
    page: Path


@dataclass(frozen=True)
class ReportFailed:
    """There is no report, for this reason."""

    model_id: int
    reason: str


ReportNews = Making | ReportMade | ReportFailed


def report_command(home: Path, model_id: int, out: Path) -> list[str]:
    """What makes the report of a model; -P: no file of the working folder stands in for ours."""
    own = [sys.executable, "-P", "-m", "marrow", "--home", str(home)]
    return [*own, "report", f"m{model_id}", "--out", str(out), "--json"]


class ReportRun:
    """Makes one report at a time; `news` fills from a thread.

    Parameters
    ----------
    command : callable
        From home, model and folder to what is started.
    """

    def __init__(
        self, command: Callable[[Path, int, Path], Sequence[str]] = report_command
    ) -> None:
        self._command = command
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None
        self._is_stopped = False
        self.news: deque[ReportNews] = deque()
        """Appended to by the thread, emptied by the main thread; a deque needs no lock."""

    @property
    def is_busy(self) -> bool:
        """Whether a report is being made."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, home: Path, model_id: int, out: Path) -> None:
        """Begin; nothing happens while another one is being made."""
        if self.is_busy or self._is_stopped:
            return
        command = list(self._command(home, model_id, out))
        self._thread = threading.Thread(
            target=self._run, args=(command, model_id), name=f"report-m{model_id}", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End the process that is at it and wait for nobody; what is half made is thrown away."""
        self._is_stopped = True
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()

    def _run(self, command: list[str], model_id: int) -> None:
        try:
            process = subprocess.Popen(  # noqa: S603 -- our own interpreter and module, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            reason = f"the report could not be started: {error.strerror}"
            self.news.append(ReportFailed(model_id, reason))
            return
        self._process = process
        if self._is_stopped:
            process.terminate()
        with process:
            last = ""
            for line in process.stderr or ():
                last = line.strip() or last
                if last.startswith(_STEP):  # a library may warn there, too
                    self.news.append(Making(model_id, last))
            # One line of JSON, far below what a pipe holds: nobody waits for us to read it.
            told = process.stdout.read() if process.stdout else ""
        self._end(process.returncode, told, last, model_id)

    def _end(self, code: int, told: str, last: str, model_id: int) -> None:
        if self._is_stopped:
            return
        if code:
            reason = last.removeprefix("marrow: ") or f"`marrow report` ended with {code}"
            self.news.append(ReportFailed(model_id, reason))
            return
        try:
            page = Path(json.loads(told)["page"])
        except (ValueError, KeyError, TypeError):
            self.news.append(ReportFailed(model_id, "`marrow report` did not say where it is"))
            return
        self.news.append(ReportMade(model_id, page))
