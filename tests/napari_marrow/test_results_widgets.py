"""The widgets of the Results tab, without napari."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("qtpy")

from qtpy.QtCore import QEvent, QModelIndex, QObject, QRect, Qt
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import QFileDialog, QStyledItemDelegate, QStyleOptionViewItem

from marrow.catalogue.predictions import ResultFilter, Sort
from marrow.schemes import AA_MDS_AML, Scheme
from napari_marrow._qt.columns_model import UNREAD
from napari_marrow._qt.lines_model import LinesModel
from napari_marrow._qt.lines_table import LinesTable
from napari_marrow._qt.results.detail_pane import DetailPane
from napari_marrow._qt.results.export_button import ExportButton
from napari_marrow._qt.results.filter_bar import FilterBar
from napari_marrow._qt.results.pages_model import PagesModel
from napari_marrow._qt.results.probability_bars import CALLED, ProbabilityBars
from napari_marrow._qt.results.tab import ResultsTab
from napari_marrow._qt.words_cache import MOST_KEPT, WordsCache
from napari_marrow.lines.column import Column
from napari_marrow.lines.detail import Bar, HeadBars, ResultDetail
from napari_marrow.lines.pages import LinePages
from napari_marrow.lines.results import Choice, ResultChoices, ResultLine, result_columns

pytestmark = pytest.mark.viewer

CELLS = Scheme.from_toml(Path(__file__).parents[2] / "examples" / "cells.toml")
COLUMNS = result_columns(AA_MDS_AML)
CHOICES = ResultChoices(
    (Choice(12, "job 12 · 400 smears"), Choice(3, "job 3 · 9 smears")),
    (Choice(17, "m17 (champion)"), Choice(4, "m4")),
)
DETAIL = ResultDetail(
    smear_id=7,
    prediction_id=9,
    title="S000007 · P1 · north",
    place="local: /somewhere/7.png",
    heads=(
        HeadBars("mds", (Bar("other", 0.1, False, None), Bar("MDS", 0.9, True, None)), ""),
        HeadBars(
            "diagnosis",
            (Bar("AA", 0.0, False, False), Bar("MDS", 1.0, True, True)),
            "not ruled out (90%): MDS",
        ),
    ),
    flags=("unsure: too low",),
    labels=(),
    made="m17 · fp32",
    calls={"diagnosis": "MDS"},
)


def result(number: int, error: str | None = None) -> ResultLine:
    cells = tuple(f"{number}/{column}" for column in range(len(COLUMNS)))
    return ResultLine(number, number, cells, {"diagnosis": "AA"}, error=error)


@pytest.fixture
def pages() -> LinePages[ResultLine]:
    return LinePages()


@pytest.fixture
def tab(qtbot: Any, pages: LinePages[ResultLine]) -> ResultsTab:
    made = ResultsTab()
    qtbot.addWidget(made)
    made.set_scheme(AA_MDS_AML, COLUMNS, pages)
    made.resize(1100, 600)
    with qtbot.waitExposed(made):
        made.show()
    return made


def fill(pages: LinePages[ResultLine], total: int, known: int = 100) -> None:
    pages.restart(total)
    pages.put(0, [result(number) for number in range(known)])


def test_the_model_of_pages_is_sound_while_rows_come_and_go(
    qtmodeltester: Any, caplog: pytest.LogCaptureFixture, pages: LinePages[ResultLine]
) -> None:
    model = PagesModel()
    model.set_pages(COLUMNS, pages)
    qtmodeltester.check(model)
    fill(pages, 250)
    pages.insert(120, [result(900), result(901)])
    pages.put(130, [result(5)])
    qtmodeltester.check(model)
    pages.set_total(40)
    pages.set_total(60)
    pages.restart(3)
    qtmodeltester.check(model)
    model.set_pages(COLUMNS, LinePages())  # another study: the old pages tell nobody any more
    fill(pages, 10)
    assert model.rowCount() == 0
    # Qt's tester watches each change and only logs what it finds.
    assert "FAIL" not in caplog.text


def test_a_million_rows_are_a_table_of_which_little_is_known(
    tab: ResultsTab, pages: LinePages[ResultLine]
) -> None:
    fill(pages, 1_000_000)
    assert tab.model.rowCount() == 1_000_000
    assert tab.model.data(tab.model.index(3, 0)) == "3/0"
    assert tab.model.data(tab.model.index(999_999, 0)) == UNREAD
    assert len(tab.model.lines()) == 100


def test_it_tells_which_rows_are_looked_at(
    tab: ResultsTab, pages: LinePages[ResultLine], qtbot: Any
) -> None:
    told: list[tuple[int, int]] = []
    tab.table.looked_at.connect(lambda first, last: told.append((first, last)))
    fill(pages, 100_000)
    qtbot.waitUntil(lambda: bool(told) and told[-1][0] == 0, timeout=3000)
    on_screen = told[-1][1] + 1
    assert 5 < on_screen < 60
    bar = tab.table.verticalScrollBar()
    qtbot.waitUntil(lambda: bar.maximum() > 100_000, timeout=3000)
    bar.setValue(bar.maximum())
    qtbot.waitUntil(lambda: told[-1][1] == 99_999, timeout=3000)
    tab.hide()
    told.clear()
    pages.insert(5, [])
    qtbot.wait(60)
    assert told == []  # nobody looks


def test_rows_that_come_on_top_move_nothing_under_the_eyes(
    tab: ResultsTab, pages: LinePages[ResultLine], qtbot: Any
) -> None:
    fill(pages, 5_000)
    bar = tab.table.verticalScrollBar()
    qtbot.waitUntil(lambda: bar.maximum() > 10_000, timeout=3000)
    bar.setValue(1_000)
    tab.table.select(60)
    before = tab.table.shown_rows()
    pages.insert(200, [])
    after = tab.table.shown_rows()
    assert after.start == before.start + 200
    assert tab.table.current_row() == 260  # still the same smear
    bar.setValue(0)
    pages.insert(50, [result(1)])
    assert bar.value() == 0  # who looks at the newest goes on doing so


def test_only_a_persons_choice_is_told(
    tab: ResultsTab, pages: LinePages[ResultLine], qtbot: Any
) -> None:
    fill(pages, 50)
    told: list[int] = []
    tab.table.chosen.connect(told.append)
    tab.select(3)
    assert told == []
    tab.table.setFocus()
    qtbot.keyClick(tab.table, Qt.Key.Key_Down)
    tab.move_to(9)
    tab.move_to(50)  # beyond the end
    assert told == [4, 9]
    tab.to_top()
    assert tab.current_row() is None
    assert told == [4, 9]


def test_a_row_that_goes_chooses_no_other_in_its_place(
    tab: ResultsTab, pages: LinePages[ResultLine]
) -> None:
    fill(pages, 50)
    told: list[int] = []
    tab.move_to(49)
    tab.table.chosen.connect(told.append)
    pages.restart(49)
    pages.put(0, [result(number) for number in range(49)])
    assert told == []


def test_a_selection_that_follows_its_smear_scrolls_nothing(
    tab: ResultsTab, pages: LinePages[ResultLine], qtbot: Any
) -> None:
    fill(pages, 5_000)
    bar = tab.table.verticalScrollBar()
    qtbot.waitUntil(lambda: bar.maximum() > 10_000, timeout=3000)
    bar.setValue(2_000)
    tab.select(20)
    assert bar.value() == 2_000
    tab.select(None)
    assert tab.current_row() is None
    assert tab.table.selected_rows() == []


def test_enter_and_double_click_open_a_row_and_a_accepts_it(
    tab: ResultsTab, pages: LinePages[ResultLine], qtbot: Any
) -> None:
    fill(pages, 50)
    opened: list[int] = []
    accepted: list[int] = []
    tab.opened.connect(opened.append)
    tab.table.accept_wanted.connect(lambda: accepted.append(1))
    tab.table.doubleClicked.emit(tab.model.index(0, 0))
    tab.table.setFocus()
    tab.table.selectRow(1)
    qtbot.keyClick(tab.table, Qt.Key.Key_Return)
    qtbot.keyClick(tab.table, Qt.Key.Key_A)
    qtbot.keyClick(tab.table, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    assert opened == [0, 1]
    assert accepted == [1]


def test_a_letter_searches_no_million_rows(
    tab: ResultsTab, pages: LinePages[ResultLine], qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(pages, 1_000_000)
    asked: list[int] = []
    text = PagesModel.text

    def counted(self: PagesModel, row: int, column: int) -> str:
        asked.append(row)
        return text(self, row, column)

    monkeypatch.setattr(PagesModel, "text", counted)
    tab.table.setFocus()
    tab.table.selectRow(0)
    qtbot.keyClick(tab.table, Qt.Key.Key_S)
    assert len(asked) < 1_000


def test_only_the_rows_on_the_screen_are_drawn_each_cell_once(
    tab: ResultsTab, pages: LinePages[ResultLine], qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(pages, 100_000)
    qtbot.wait(50)
    asked: list[tuple[int, int]] = []
    text = PagesModel.text

    def counted(self: PagesModel, row: int, column: int) -> str:
        asked.append((row, column))
        return text(self, row, column)

    monkeypatch.setattr(PagesModel, "text", counted)
    tab.table.viewport().repaint()
    rows = tab.table.shown_rows()
    assert len(asked) == len(set(asked))
    assert {row for row, _column in asked} == set(rows)


def test_why_a_smear_failed_stands_across_the_columns_of_its_answers(
    tab: ResultsTab, pages: LinePages[ResultLine], qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(pages, 3, 0)
    pages.put(0, [result(0), result(1, error="the file is damaged"), result(2)])
    laid_out: list[tuple[str, int]] = []
    fitting = WordsCache.fitting
    monkeypatch.setattr(
        WordsCache,
        "fitting",
        lambda self, text, room: (laid_out.append((text, room)), fitting(self, text, room))[1],
    )
    tab.table.viewport().repaint()
    rooms = [room for text, room in laid_out if text == "1/2"]
    own = [room for text, room in laid_out if text == "0/2"]
    assert rooms[0] > 4 * own[0]
    assert {text for text, _room in laid_out if text.startswith("1/")} == {
        "1/0", "1/1", "1/2", "1/9", "1/10",
    }  # fmt: skip


def test_a_header_click_asks_the_database_for_another_order(tab: ResultsTab, qtbot: Any) -> None:
    told: list[Sort] = []
    tab.sort_wanted.connect(told.append)
    header = tab.table.horizontalHeader()
    titles = [column.title for column in COLUMNS]
    assert titles[:5] == ["smear", "patient", "MDS?", "p", "diagnosis"]
    header.setSortIndicator(titles.index("p AML"), Qt.SortOrder.DescendingOrder)
    assert told == [Sort(column="p:diagnosis:AML", descending=True)]
    tab.set_asked(ResultFilter(), Sort(column="worklist"))
    assert header.sortIndicatorSection() == -1
    tab.set_asked(ResultFilter(), Sort(column="patient", descending=True))
    assert header.sortIndicatorSection() == 1
    assert len(told) == 1  # showing an order asks for none


def test_another_study_begins_anew_and_asks_nothing(tab: ResultsTab, qtbot: Any) -> None:
    with (
        qtbot.assertNotEmitted(tab.filter.changed),
        qtbot.assertNotEmitted(tab.sort_wanted),
    ):
        tab.set_scheme(CELLS, result_columns(CELLS), LinePages())
    classes = sum(len(head.classes) for head in CELLS.heads)
    assert tab.filter.call.count() == 1 + classes
    assert tab.model.rowCount() == 0


def test_words_above_the_table_warn_in_colour(tab: ResultsTab) -> None:
    tab.set_words("412,310 rows, page 3", is_warning=False)
    assert not tab.words.is_warning()
    tab.set_words("The study's database does not answer.", is_warning=True)
    assert tab.words.is_warning()
    picture = tab.words.grab().toImage()
    pixels = [picture.pixelColor(x, y) for x in range(100) for y in range(picture.height())]
    assert any(is_like(one, QColor("#e4572e")) for one in pixels)


@pytest.fixture
def bar(qtbot: Any) -> FilterBar:
    made = FilterBar()
    qtbot.addWidget(made)
    made.set_scheme(AA_MDS_AML)
    made.set_choices(CHOICES)
    return made


@pytest.mark.parametrize(
    "shown",
    [
        ResultFilter(),
        ResultFilter(text="P12", job_id=3, model_id=4),
        ResultFilter(head="diagnosis", call="AML", min_p=0.8),
        ResultFilter(head="mds", call="MDS", disagrees=True),
        ResultFilter(flag="unlike-training"),
        ResultFilter(flagged=True),
        ResultFilter(job_id=12, has_error=True),
        ResultFilter(job_id=1),  # older than those that are offered
    ],
)
def test_the_filter_bar_shows_and_tells_a_filter(
    bar: FilterBar, qtbot: Any, shown: ResultFilter
) -> None:
    with qtbot.assertNotEmitted(bar.changed):
        bar.setValue(shown)
    assert bar.value() == shown
    bar.set_choices(CHOICES)
    assert bar.value() == shown


def test_a_filter_by_class_offers_a_probability(bar: FilterBar, qtbot: Any) -> None:
    told: list[ResultFilter] = []
    bar.changed.connect(told.append)
    assert not bar.min_p.isEnabled()
    bar.call.setCurrentIndex(5)
    assert told == [ResultFilter(head="diagnosis", call="AML")]
    bar.min_p.setValue(0.8)
    wanted = ResultFilter(head="diagnosis", call="AML", min_p=0.8)
    qtbot.waitUntil(lambda: told[-1] == wanted, timeout=3000)


def test_failures_can_be_listed_of_a_job_only(bar: FilterBar) -> None:
    failed = bar.flag.model().item(bar.flag.count() - 1)
    assert not failed.isEnabled()
    bar.setValue(ResultFilter(job_id=12, has_error=True))
    assert failed.isEnabled()
    told: list[ResultFilter] = []
    bar.changed.connect(told.append)
    bar.job.setCurrentIndex(0)  # of all jobs none would be left
    assert told == [ResultFilter()]
    assert bar.flag.currentText() == "flags: all"


def test_a_search_begins_when_the_typing_pauses(bar: FilterBar, qtbot: Any) -> None:
    told: list[ResultFilter] = []
    bar.changed.connect(told.append)
    qtbot.keyClicks(bar.search, "P12 ")
    assert told == []
    qtbot.waitUntil(lambda: told == [ResultFilter(text="P12")], timeout=3000)


def test_the_view_choice_asks_for_the_worklist(bar: FilterBar) -> None:
    told: list[bool] = []
    bar.worklist_wanted.connect(told.append)
    bar.order.setCurrentIndex(1)
    bar.order.setCurrentIndex(0)
    bar.set_worklist(True)  # shown, not asked
    assert told == [True, False]


def test_the_bars_are_as_long_as_the_probabilities(qtbot: Any) -> None:
    bars = ProbabilityBars()
    qtbot.addWidget(bars)
    bars.setValue(DETAIL.heads)
    bars.resize(300, bars.sizeHint().height())
    picture = bars.grab().toImage()
    widest = {}
    for y in range(picture.height()):
        called = [x for x in range(picture.width()) if is_like(picture.pixelColor(x, y), CALLED)]
        if called:
            widest[y] = max(called) - min(called) + 1
    lengths = sorted(set(widest.values()))
    assert lengths[-1] / lengths[0] == pytest.approx(1 / 0.9, rel=0.05)
    assert bars.toolTip() == "diagnosis: not ruled out (90%): MDS"
    assert "MDS 0.900" in bars.accessibleDescription()
    before = bars.sizeHint().height()
    bars.setValue(DETAIL.heads[:1])
    assert bars.sizeHint().height() < before


def is_like(one: QColor, other: QColor) -> bool:
    pairs = zip(one.getRgb()[:3], other.getRgb()[:3], strict=True)
    return all(abs(a - b) < 30 for a, b in pairs)


def test_the_pane_accepts_and_corrects_what_is_chosen(qtbot: Any) -> None:
    pane = DetailPane()
    qtbot.addWidget(pane)
    pane.set_scheme(AA_MDS_AML)
    assert not pane.accept.isEnabled()
    assert not pane.label_bar.isEnabled()
    pane.setValue(DETAIL)
    assert pane.title.text() == "S000007 · P1 · north"
    assert pane.flags.text() == "! unsure: too low"
    assert pane.labels.text() == "no label yet"
    assert pane.accept.text() == "Accept MDS (A)"
    with qtbot.waitSignal(pane.accepted):
        pane.accept.click()
    with qtbot.waitSignal(pane.given) as given:
        pane.label_bar.buttons["diagnosis", "AML"].click()
    assert given.args == ["diagnosis", "AML"]
    with qtbot.waitSignal(pane.follows_changed) as followed:
        pane.follows.click()
    assert followed.args == [True]
    pane.setValue(None)
    assert pane.bars.value() == ()
    assert not pane.accept.isEnabled()


def test_the_export_button_names_a_file_and_shows_how_far_it_is(
    qtbot: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    button = ExportButton()
    qtbot.addWidget(button)
    chosen = str(tmp_path / "mine")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_asked: (chosen, ""))
    told: list[tuple[str, Path]] = []
    button.wanted.connect(lambda kind, target: told.append((kind, target)))
    for action in button.menu().actions()[:4]:
        action.trigger()
    assert [kind for kind, _target in told] == ["csv", "parquet", "geojson", "sheets"]
    assert [target.name for _kind, target in told] == [
        "mine.csv",
        "mine.parquet",
        "mine.geojson",
        "mine.html",
    ]
    assert not button.stop.isEnabled()
    button.set_progress(25, 100)
    assert button.text() == "Export 25%"
    assert button.stop.isEnabled()
    button.set_progress(0, 0)
    assert button.text() == "Export"


class Crossed(QStyledItemDelegate):
    """A delegate that paints."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, _index: QModelIndex) -> None:
        painter.fillRect(QRect(option.rect), QColor("#ff0000"))


def test_a_column_with_a_painter_of_its_own_is_drawn_by_it(qtbot: Any) -> None:
    model: LinesModel[ResultLine] = LinesModel()
    model.set_columns([Column("a"), Column("b")])
    model.set_lines([result(1), result(2, error="broken")])
    table = LinesTable(model)
    qtbot.addWidget(table)
    delegate = Crossed(table)
    table.setItemDelegateForColumn(1, delegate)
    table.setColumnWidth(0, 100)
    table.setColumnWidth(1, 100)
    table.resize(260, 120)
    with qtbot.waitExposed(table):
        table.show()
    picture = table.viewport().grab().toImage()
    height = table.verticalHeader().defaultSectionSize()
    assert picture.pixelColor(150, height + height // 2).name() == "#ff0000"
    assert picture.pixelColor(150, 2 * height + 5).name() != "#ff0000"
    row = [picture.pixelColor(x, y) for x in range(100) for y in range(height, 2 * height)]
    assert any(is_like(one, QColor("#e4572e")) for one in row)  # the error's words


def test_changing_words_ask_for_no_new_layout(tab: ResultsTab, qtbot: Any) -> None:
    qtbot.wait(50)
    asked: list[int] = []

    class Watch(QObject):
        def eventFilter(self, _watched: QObject, event: QEvent) -> bool:  # noqa: N802
            if event.type() == QEvent.Type.LayoutRequest:
                asked.append(1)
            return False

    watch = Watch()
    tab.installEventFilter(watch)
    for number in range(5):
        tab.set_words(f"{number} rows", is_warning=bool(number % 2))
        qtbot.wait(5)
    assert asked == []


def test_words_are_laid_out_once_and_shortened_where_there_is_no_room(qtbot: Any) -> None:
    cache = WordsCache()
    words = cache.fitting("heads-disagree, unsure", 500)
    assert cache.fitting("heads-disagree, unsure", 900) is words
    short = cache.fitting("heads-disagree, unsure", 60)
    assert short.width_px <= 60
    assert short.text.text().endswith("…")
    for number in range(MOST_KEPT + 10):
        cache.fitting(str(number), 100)
    assert len(cache._kept) <= MOST_KEPT
