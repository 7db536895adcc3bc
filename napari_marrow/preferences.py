"""What a person sets for this plugin in napari's Preferences."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from napari.settings import get_plugin_settings

PLUGIN = "napari-marrow"
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d", re.ASCII)


@dataclass(frozen=True)
class Preferences:
    """The manifest's `configurations`, read once when a viewer opens."""

    home: Path | None = None
    """The study to open; None: MARROW_HOME, or the platform's data folder."""
    reader: str = ""
    """Name under which labels are stored; empty: of the study's settings."""
    opacity: float = 0.7
    """Of the heatmap, 0 to 1."""
    night_from: str = "22:00"
    """When a job for tonight may begin, HH:MM of this machine."""
    night_until: str = "06:00"
    """When it has to stop."""


def read_preferences() -> Preferences:
    """The preferences as they are now. MARROW_HOME in the environment wins over the home."""
    stored = get_plugin_settings().get(PLUGIN)
    if stored is None:  # the viewer was opened without its plugins, as in a script
        return Preferences()
    home = "" if os.environ.get("MARROW_HOME") else stored.study.home.strip()
    return Preferences(
        home=Path(home).expanduser() if home else None,
        reader=stored.study.reader.strip(),
        opacity=float(stored.heatmap.opacity),
        night_from=_clock(stored.night.begin, Preferences.night_from),
        night_until=_clock(stored.night.end, Preferences.night_until),
    )


def _clock(text: str, otherwise: str) -> str:
    """napari stores any text; one that is no time of day counts as not set."""
    return text.strip() if _TIME.fullmatch(text.strip()) else otherwise
