"""What `marrow doctor` says of labels that have not reached their study."""

from __future__ import annotations

from pathlib import Path

import pytest

from marrow.settings import Settings
from marrow.study import Study
from napari_marrow.doctor import examine
from napari_marrow.outbox import Entry, Outbox, folder_of, place_of


@pytest.fixture(autouse=True)
def _own_outboxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def leave_behind(settings: Settings, count: int) -> Outbox:
    outbox = Outbox(folder_of(settings), place_of(settings))
    outbox.add([Entry(smear_id=one, reader="A", at=1.0, answers={}) for one in range(count)])
    return outbox


def test_nothing_waits_where_nothing_was_labelled(study: Study) -> None:
    (finding,) = examine(study.settings)
    assert finding.is_well
    assert finding.found == "none waits"


def test_labels_that_wait_are_counted_for_this_study_and_named_for_others(
    study: Study, tmp_path: Path
) -> None:
    leave_behind(study.settings, 3).close()
    leave_behind(study.settings.model_copy(update={"home": tmp_path / "other"}), 1).close()
    own, other = examine(study.settings)
    assert not own.is_well
    assert "3 labels of this study" in own.found
    assert "open that study in napari" in own.remedy
    assert f"1 label of {tmp_path / 'other'}" in other.found


def test_refused_labels_are_named_with_their_file(study: Study) -> None:
    outbox = leave_behind(study.settings, 1)
    file = outbox.keep_aside(outbox.waiting()[0], "There is no smear S000000 in this study")
    outbox.mark_sent(1)
    outbox.close()
    waits, refused = examine(study.settings)
    assert waits.is_well
    assert str(file) in refused.found
    assert not refused.is_well
