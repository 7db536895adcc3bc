"""Words that were laid out once, to be drawn many times."""

from __future__ import annotations

from typing import NamedTuple

from qtpy.QtCore import Qt
from qtpy.QtGui import QFont, QFontMetrics, QStaticText, QTransform

MOST_KEPT = 4_000
"""About a hundred screens of a table; then it begins anew."""


class Words(NamedTuple):
    """A text that was laid out."""

    text: QStaticText
    width_px: int


class WordsCache:
    """Lays out texts in one font.

    Half of the time of drawing a table goes into shaping the same few words again and again.
    """

    def __init__(self) -> None:
        self._font = QFont()
        self._metrics = QFontMetrics(self._font)
        self._kept: dict[str | tuple[str, int], Words] = {}

    def set_font(self, font: QFont) -> None:
        """Lay out in this font from now on."""
        if font != self._font:
            self._font, self._metrics, self._kept = font, QFontMetrics(font), {}

    def fitting(self, text: str, room_px: int) -> Words:
        """The text, with an ellipsis where it is longer than the room."""
        words = self._kept.get(text) or self._lay_out(text, text)
        if words.width_px <= room_px:
            return words
        key = (text, room_px)
        if key not in self._kept:
            elide = Qt.TextElideMode.ElideRight
            self._lay_out(key, self._metrics.elidedText(text, elide, room_px))
        return self._kept[key]

    def _lay_out(self, key: str | tuple[str, int], text: str) -> Words:
        if len(self._kept) >= MOST_KEPT:
            self._kept = {}
        static = QStaticText(text)
        static.setTextFormat(Qt.TextFormat.PlainText)
        static.prepare(QTransform(), self._font)
        words = self._kept[key] = Words(static, self._metrics.horizontalAdvance(text))
        return words
