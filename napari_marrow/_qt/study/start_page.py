"""The page that asks for a study: its folder, and for a new one its questions."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_marrow._qt.single_click import SingleClickButton

_FROM_FILE = "From a TOML file…"


class StartPage(QWidget):
    """Asks for a folder and, for a new study, a scheme.

    Signals
    -------
    open_wanted(object)
        Folder, a Path.
    create_wanted(object, object)
        Folder, and the scheme's file or None for AA / MDS / AML.
    sample_wanted(object)
        Folder of a new study with synthetic smears.
    doctor_wanted()
    """

    open_wanted = Signal(object)
    create_wanted = Signal(object, object)
    sample_wanted = Signal(object)
    doctor_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scheme_file: Path | None = None
        self._is_busy = False
        self._words = QLabel()
        self._words.setWordWrap(True)
        self._folder = QLineEdit()
        self._folder.setPlaceholderText("folder of the study")
        browse = QPushButton("…")
        browse.setToolTip("Choose a folder")
        browse.setFixedWidth(32)
        browse.clicked.connect(self._on_browse_clicked)
        self._scheme = QComboBox()
        self._scheme.addItems(["AA / MDS / AML", _FROM_FILE])
        self._scheme.activated.connect(self._on_scheme_activated)
        self.open_button = SingleClickButton("Open")
        self.open_button.clicked.connect(self._on_open_clicked)
        self.create_button = SingleClickButton("Create")
        self.create_button.clicked.connect(self._on_create_clicked)
        self.sample_button = SingleClickButton("Try it with sample smears")
        self.sample_button.setToolTip(
            "A new study in this folder with 48 synthetic smears, some of them to be labelled"
        )
        self.sample_button.clicked.connect(self._on_sample_clicked)
        self.doctor_button = QPushButton("Doctor…")
        self.doctor_button.setToolTip("Look at the installation: what is missing, and the remedy")
        self.doctor_button.clicked.connect(self.doctor_wanted)
        self.progress = QProgressBar()
        self.progress.setFormat("drawing sample smears, %v of %m")
        self.progress.hide()
        self._lay_out(browse)
        self._folder.textChanged.connect(self._enable_buttons)
        self._enable_buttons()

    def setValue(self, home: Path, words: str) -> None:  # noqa: N802
        """Offer this folder, and say why a study is asked for."""
        self._folder.setText(str(home))
        self._words.setText(words)
        self._words.setVisible(bool(words))

    def value(self) -> tuple[Path, Path | None]:
        """The folder, and the scheme's file or None for AA / MDS / AML."""
        return Path(self._folder.text().strip()).expanduser(), self._scheme_file

    def set_scheme_file(self, path: Path | None) -> None:
        """Use the scheme of this file for a new study, None for AA / MDS / AML."""
        self._scheme_file = path
        self._scheme.setItemText(1, _FROM_FILE if path is None else path.name)
        self._scheme.setCurrentIndex(0 if path is None else 1)

    def set_progress(self, done: int, total: int) -> None:
        """Show how far drawing sample smears has come; total 0: it is over."""
        self.progress.setVisible(total > 0)
        self.progress.setRange(0, max(total, 1))
        self.progress.setValue(done)

    def set_busy(self, is_busy: bool) -> None:
        """Take no other wish while a study is being opened or made."""
        self._is_busy = is_busy
        self._enable_buttons()

    def _lay_out(self, browse: QPushButton) -> None:
        folder = QHBoxLayout()
        folder.addWidget(self._folder, 1)
        folder.addWidget(browse)
        buttons = QHBoxLayout()
        buttons.addWidget(self.open_button)
        buttons.addWidget(self.create_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        title = QLabel("<b>Study</b>")
        column.addWidget(title)
        column.addWidget(self._words)
        column.addWidget(QLabel("Folder"))
        column.addLayout(folder)
        column.addWidget(QLabel("Questions of a new study"))
        column.addWidget(self._scheme)
        column.addLayout(buttons)
        column.addWidget(QLabel("No smears at hand?"))
        column.addWidget(self.sample_button)
        column.addWidget(self.progress)
        column.addWidget(self.doctor_button)
        hint = QLabel("Research use only.")
        hint.setAlignment(Qt.AlignmentFlag.AlignLeft)
        column.addWidget(hint)
        column.addStretch(1)

    def _enable_buttons(self, *_changed: object) -> None:
        is_ready = bool(self._folder.text().strip()) and not self._is_busy
        for button in (self.open_button, self.create_button, self.sample_button):
            button.setEnabled(is_ready)

    def _on_browse_clicked(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder of the study", self._folder.text())
        if chosen:
            self._folder.setText(chosen)

    def _on_scheme_activated(self, index: int) -> None:
        if index == 0:
            self.set_scheme_file(None)
            return
        chosen, _kind = QFileDialog.getOpenFileName(self, "Scheme", "", "Scheme (*.toml)")
        self.set_scheme_file(Path(chosen) if chosen else None)

    def _on_open_clicked(self) -> None:
        self.open_wanted.emit(self.value()[0])

    def _on_sample_clicked(self) -> None:
        self.sample_wanted.emit(self.value()[0])

    def _on_create_clicked(self) -> None:
        self.create_wanted.emit(*self.value())
