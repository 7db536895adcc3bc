"""What a reader says of a smear, of what was read and what was said here."""

from __future__ import annotations

from napari_marrow.own_words import OwnWords


def test_a_smear_that_was_only_looked_at_has_nothing_said_of_it_here() -> None:
    words = OwnWords()
    words.note_read(1, {"diagnosis": ""})
    assert words.said(1) == {}
    assert words.own(1) == {"diagnosis": ""}
    assert words.own(2) == {}


def test_what_was_given_elsewhere_replaces_what_was_read_before() -> None:
    words = OwnWords()
    words.note_read(1, {"diagnosis": ""})
    words.note_read(1, {"diagnosis": "AML"})
    assert words.own(1) == {"diagnosis": "AML"}
    words.say(1, {"diagnosis": "MDS"})
    words.note_read(1, {"diagnosis": "AML"})  # the catalogue lacks it yet
    assert words.own(1) == {"diagnosis": "MDS"}
    words.settle()
    assert words.said(1) == {}
    assert words.own(1) == {"diagnosis": "MDS"}
    words.note_read(1, {"diagnosis": "AA"})  # given elsewhere since
    assert words.own(1) == {"diagnosis": "AA"}


def test_what_is_taken_back_stands_as_before() -> None:
    words = OwnWords()
    words.note_read(1, {"diagnosis": "AA"})
    before = [words.say(one, {"diagnosis": "MDS"}) for one in (1, 2)]
    words.settle()
    for one in (1, 2):
        words.restore(one, before[one - 1])
    assert words.own(1) == words.said(1) == {"diagnosis": "AA"}
    assert words.own(2) == {}  # what he said of it before, the catalogue knows
