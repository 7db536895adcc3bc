"""A table of which a few pages are known."""

from __future__ import annotations

import numpy as np
import pytest

from napari_marrow.lines.pages import LinePages


@pytest.fixture
def pages() -> LinePages[str]:
    made: LinePages[str] = LinePages(page=10, most_pages=4)
    made.restart(95)
    return made


def words(first: int, count: int) -> list[str]:
    return [f"line {number}" for number in range(first, first + count)]


def test_a_row_that_was_not_read_has_no_line(pages: LinePages[str]) -> None:
    pages.put(20, words(20, 10))
    assert len(pages) == 95
    assert pages.line(19) is None
    assert pages.line(20) == "line 20"
    assert pages.line(30) is None


def test_whole_pages_are_missing_and_the_last_one_ends_with_the_table(
    pages: LinePages[str],
) -> None:
    assert pages.missing(18, 31) == [range(10, 20), range(20, 30), range(30, 40)]
    pages.put(20, words(20, 10))
    assert pages.missing(18, 31) == [range(10, 20), range(30, 40)]
    assert pages.missing(22, 27) == []
    assert pages.missing(-5, 3) == [range(10)]
    assert pages.missing(92, 200) == [range(90, 95)]
    assert pages.missing(95, 200) == []


def test_rows_that_come_on_top_move_all_others_and_lose_none(pages: LinePages[str]) -> None:
    pages.put(0, words(0, 20))
    pages.insert(7, ["new 0", "new 1"])
    assert len(pages) == 102
    assert [pages.line(row) for row in range(9)] == [
        "new 0",
        "new 1",
        *[None] * 5,  # only counted
        "line 0",
        "line 1",
    ]
    assert pages.missing(0, 8) == [range(7)]
    pages.put(2, words(100, 5))
    assert pages.missing(0, 8) == []
    assert pages.line(26) == "line 19"


def test_a_page_asked_for_before_rows_came_is_put_where_it_belongs(pages: LinePages[str]) -> None:
    asked = range(30, 40)
    above = pages.above
    pages.insert(3, ["a", "b", "c"])
    pages.put(asked.start + pages.above - above, words(30, 10))
    assert pages.line(33) == "line 30"
    assert pages.line(32) is None


def test_only_the_pages_around_what_is_looked_at_are_kept(pages: LinePages[str]) -> None:
    for first in range(0, 90, 10):
        pages.look(first, first + 5)
        pages.put(first, words(first, 10))
    assert pages.kept == 4
    assert pages.line(80) == "line 80"
    assert pages.line(0) is None
    pages.look(80, 85)
    for _ in range(10):
        pages.insert(10, words(0, 10))  # a hundred rows stream in above
    assert pages.kept == 4
    assert pages.line(180) == "line 80"  # still there


def test_the_table_grows_and_shrinks_at_its_end(pages: LinePages[str]) -> None:
    pages.put(80, words(80, 15))
    pages.set_total(82)
    assert pages.line(81) == "line 81"
    assert pages.line(90) is None
    pages.set_total(95)
    assert pages.line(90) is None
    pages.put(90, words(90, 20))  # more than there are
    assert len(pages) == 95


def test_each_change_is_told_before_and_after(pages: LinePages[str]) -> None:
    told: list[object] = []
    pages.inserting.connect(lambda first, last: told.append(("+", first, last, len(pages))))
    pages.inserted.connect(lambda: told.append(len(pages)))
    pages.removing.connect(lambda first, last: told.append(("-", first, last, len(pages))))
    pages.removed.connect(lambda: told.append(len(pages)))
    pages.changed.connect(lambda first, last: told.append((first, last)))
    pages.insert(5, [])
    pages.set_total(90)
    pages.put(0, words(0, 2))
    pages.insert(0, [])
    assert told == [("+", 0, 4, 95), 100, ("-", 90, 99, 100), 90, (0, 1)]


def test_against_a_plain_list(pages: LinePages[str]) -> None:
    random = np.random.default_rng(3)
    truth = words(0, 95)
    for step in range(300):
        if random.random() < 0.4:
            count = int(random.integers(1, 25))
            known = int(random.integers(0, count + 1))
            fresh = [f"step {step} row {row}" for row in range(count)]
            truth[:0] = fresh
            pages.insert(count, fresh[:known])
        else:
            first = int(random.integers(0, len(truth)))
            pages.look(first, first + 20)
            for rows in pages.missing(first, first + 20):
                pages.put(rows.start, truth[rows.start : rows.stop])
            shown = range(first, min(first + 21, len(truth)))
            assert [pages.line(row) for row in shown] == truth[first : first + 21]
        assert all(truth[row] == line for row, line in pages.known())
        assert len(pages) == len(truth)
        assert pages.kept <= 4
