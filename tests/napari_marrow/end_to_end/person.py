"""A person at the screen: looks at the spy's notes, clicks and types through the X server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import ImageGrab

SPIED = Path(__file__).with_name("spied.py")
PATIENCE_S = 120.0
LOOK_S = 0.1
ASKED_AFTER_S = 3.0
PRESSES = 20
FRAME_PX = 40


class Person:
    """Starts the program and works with it.

    Parameters
    ----------
    folder : Path
        For the spy's notes and the screenshots.
    """

    def __init__(self, folder: Path) -> None:
        self._state = folder / "state.json"
        self._shots = folder / "screens"
        self._shots.mkdir(parents=True, exist_ok=True)
        self._program: subprocess.Popen[bytes] | None = None
        self._manager = subprocess.Popen(["openbox"], stderr=subprocess.DEVNULL)

    def start(self, home: Path, log: Path) -> None:
        """Start the real program on a study."""
        self._state.unlink(missing_ok=True)
        with log.open("ab") as file:
            self._program = subprocess.Popen(
                [sys.executable, str(SPIED), str(home), str(self._state)],
                stdout=file,
                stderr=file,
                env={**os.environ, "MARROW_HOME": str(home)},
            )
        self.wait(lambda: bool(self.state()), "the program did not start")

    def stop(self) -> None:
        """Close napari's window as a person does, and wait for the end of the program."""
        assert self._program is not None
        self.bring("napari")
        self.key("alt+F4")
        with suppress(subprocess.TimeoutExpired):
            self._program.wait(ASKED_AFTER_S)
        if self._program.poll() is None and self.find("Button", "Close", "Close Window?"):
            self.click_on("Close", "Close Window?")  # napari asks while it has layers
        self._program.wait(PATIENCE_S)
        self._program = None

    def leave(self) -> None:
        """End what is left, at the end of a test."""
        for process in (self._program, self._manager):
            if process is not None:
                process.terminate()
                process.wait(30)

    def bring(self, title: str) -> None:
        """Bring the window whose title begins so to the front."""
        for window in _do("xdotool", "search", "--onlyvisible", "--name", f"^{title}").split():
            _do("xdotool", "windowactivate", "--sync", window)

    def fill_screen(self, title: str) -> None:
        """Let the main window whose title begins so take the whole screen, whatever size it had
        last; wait until the spy notes where its parts are then."""

        def is_wide() -> bool:
            window = self.find("MainWindow", "", title)
            return window is not None and int(window["box"][2]) == width

        (found,) = _do("xdotool", "search", "--onlyvisible", "--name", f"^{title}").split()
        width, height = (int(part) for part in _do("xdotool", "getdisplaygeometry").split())
        _do("xdotool", "windowmove", found, "0", "0")
        _do("xdotool", "windowsize", found, str(width), str(height - FRAME_PX))
        self.wait(is_wide, f"the window {title!r} does not take the screen")

    def state(self) -> dict[str, Any]:
        """What the spy noted last; empty before the first note."""
        try:
            noted: dict[str, Any] = json.loads(self._state.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return noted

    def wait(self, condition: Callable[[], bool], complaint: str) -> None:
        """Look until the condition holds."""
        until = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > until:
                self.shoot("too-late")
                raise AssertionError(complaint)
            assert self._program is None or self._program.poll() is None, "the program has ended"
            time.sleep(LOOK_S)  # the X server has no event to wait for

    def find(self, kind: str, text: str, window: str = "") -> dict[str, Any] | None:
        """A widget on the screen of this class, whose text and whose window's title begin so."""
        for one in self.state().get("widgets", []):
            is_it = kind in one["kind"] and one["window"].startswith(window)
            if is_it and one.get("text", "").startswith(text):
                found: dict[str, Any] = one
                return found
        return None

    def click_tip(self, tip: str) -> None:
        """Click the widget whose tooltip, or hint in an empty field, begins so."""
        self.wait(lambda: self._tip(tip) is not None, f"nothing with the tip {tip!r}")
        box = self._tip(tip)
        assert box is not None
        self.click(box)

    def _tip(self, text: str) -> list[int] | None:
        for one in self.state().get("widgets", []):
            if one["tip"].startswith(text):
                box: list[int] = one["box"]
                return box
        return None

    def rows(self, kind: str, window: str) -> list[dict[str, Any]]:
        """The rows on the screen of the first table of this class in this window."""
        for one in self.state().get("widgets", []):
            if kind in one["kind"] and one["window"].startswith(window) and "rows" in one:
                found: list[dict[str, Any]] = one["rows"]
                return found
        return []

    def click_on(self, text: str, window: str = "") -> None:
        """Click a button with this text."""
        self.wait(lambda: self._is_ready(text, window), f"no button {text!r} on the screen")
        found = self.find("Button", text, window)
        assert found is not None
        self.click(found["box"])

    def click_in_menu(self, button: str, action: str, window: str) -> None:
        """Open the menu of a button and click an action of it, whose text begins so."""

        def is_open() -> bool:
            return self._part("actions", action) is not None

        self.again_until(lambda: self._open_menu(button, window), is_open, f"no menu {action!r}")
        box = self._part("actions", action)
        assert box is not None
        self.click(box)

    def open_tab(self, text: str) -> None:
        """Click a tab."""
        self.wait(lambda: self._part("tabs", text) is not None, f"no tab {text!r}")
        box = self._part("tabs", text)
        assert box is not None
        self.click(box)

    def write(self, tip: str, text: str) -> None:
        """Write a text into the field with this tip, in place of what is there."""
        self.click_tip(tip)
        self.key("ctrl+a")
        self.type(text)

    def choose(self, tip: str, text: str) -> None:
        """Choose from the list with this tip, by the first letters."""
        self.click_tip(tip)
        self.type(text)
        self.key("Return")

    def click(self, box: list[int], times: int = 1) -> None:
        """Click the middle of a box (x, y, width, height) of the screen."""
        left, top, width, height = box
        _do("xdotool", "mousemove", str(left + width // 2), str(top + height // 2))
        _do("xdotool", "click", "--repeat", str(times), "--delay", "80", "1")

    def key(self, *names: str) -> None:
        """Press keys, as xdotool names them."""
        _do("xdotool", "key", "--delay", "60", *names)

    def press_until(self, key: str, condition: Callable[[], bool], complaint: str) -> None:
        """Press a key, and again after a while: one that comes while a smear is on its way
        labels nothing, and a person sees that."""
        self.again_until(lambda: self.key(key), condition, complaint)

    def again_until(
        self, act: Callable[[], None], condition: Callable[[], bool], complaint: str
    ) -> None:
        """Act, and again after a while if nothing came of it."""
        for _press in range(PRESSES):
            act()
            until = time.monotonic() + PATIENCE_S / PRESSES
            while time.monotonic() < until:
                if condition():
                    return
                time.sleep(LOOK_S)
        self.shoot("too-late")
        raise AssertionError(complaint)

    def type(self, text: str) -> None:
        """Type a text."""
        _do("xdotool", "type", "--delay", "20", text)

    def shoot(self, name: str) -> Path:
        """Save the whole screen; the path of the PNG.

        A moment later, when the spy has looked twice: what was told is on the screen by then.
        """
        for _look in range(2):
            before = self._state.stat().st_mtime_ns
            until = time.monotonic() + ASKED_AFTER_S
            while self._state.stat().st_mtime_ns == before and time.monotonic() < until:
                time.sleep(LOOK_S)
        path = self._shots / f"{name}.png"
        ImageGrab.grab(xdisplay=os.environ["DISPLAY"]).save(path)
        return path

    def _is_ready(self, text: str, window: str) -> bool:
        found = self.find("Button", text, window)
        return found is not None and bool(found["enabled"])

    def _open_menu(self, button: str, window: str) -> None:
        self.bring(window)
        self.click_on(button, window=window)

    def _part(self, kind: str, text: str) -> list[int] | None:
        """Where the tab or the action is whose text begins so."""
        for one in self.state().get("widgets", []):
            for title, box in one.get(kind, {}).items():
                if title.startswith(text):
                    found: list[int] = box
                    return found
        return None


def _do(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout
