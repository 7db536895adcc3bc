"""A pathologist's day with real keys and clicks: label, undo, restart, queue, correct, retrain.

Run by hand, `make day`: not part of the suite.

Under an X server with a window manager; every step leaves a screenshot, in MARROW_TEST_SCREENS
where that is set.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from marrow import sample_study as sample
from marrow.catalogue import jobs, labels, models
from marrow.client import Client
from marrow.records import Job
from marrow.settings import Settings
from marrow.study import Study

pytestmark = [
    pytest.mark.viewer,
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("xdotool") is None or shutil.which("openbox") is None,
        reason="needs xdotool and openbox",
    ),
]
UNLABELLED_PATIENTS = 4
"""Of each of three diagnoses, with two smears each: 24 smears to label."""
LABELLED_BY_KEYS = 20
TABLE = "PagesTable"


def _person() -> Any:
    place = Path(__file__).with_name("person.py")
    spec = importlib.util.spec_from_file_location("person", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Person


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A sample study with a trained model; its agent is stopped at the end."""
    monkeypatch.setattr(sample, "UNLABELLED", UNLABELLED_PATIENTS)
    monkeypatch.setenv("MARROW_READER", "Dr A")
    folder = tmp_path / "home"
    study, _client = sample.make_sample_study(
        Settings.read(folder),
        lambda study: Client(study, start_agent=lambda _home: None),
        lambda _done, _total: None,
    )
    study.close()
    small = ("--backbone", "resnet18", "--weights", "none", "--tune", "heads", "--epochs", "20")
    marrow(folder, "train", *small, "--augment", "none", "--wait")
    yield folder
    marrow(folder, "agent", "stop")


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Any]:
    asked = os.environ.get("MARROW_TEST_SCREENS")
    folder = Path(asked) if asked else tmp_path
    somebody = _person()(folder)
    yield somebody
    somebody.leave()


def test_a_day(home: Path, person: Any, tmp_path: Path) -> None:
    person.start(home, tmp_path / "program.log")
    label_with_each_layer_kind(home, person)
    restart(home, person, tmp_path)
    queue_and_correct(home, person)
    retrain_and_promote(home, person)
    person.stop()
    assert "Traceback" not in (tmp_path / "program.log").read_text(encoding="utf-8")


def label_with_each_layer_kind(home: Path, person: Any) -> None:
    person.bring("napari")
    person.fill_screen("napari")
    person.wait(lambda: shows(person, "24/48"), "the dock does not say 24/48")
    person.again_until(
        lambda: person.click_on("Label mode"),
        lambda: "LABEL MODE" in overlay(person),
        "no label mode",
    )
    person.key("u")
    kinds = ["Smear", "Regions", new_layer(person, "Points"), new_layer(person, "Labels")]
    given = 0
    for number, kind in enumerate(kinds):
        for _smear in range(LABELLED_BY_KEYS // len(kinds)):
            if "not labelled by you" not in overlay(person):
                person.key("u")  # the next smear has a label from the table
                person.wait(lambda: "not labelled by you" in overlay(person), "U did not go on")
            choose_layer(person, kind)
            given += 1
            person.press_until(
                str(given % 3 + 1), lambda count=given: own_labels(home) == count, "not stored"
            )
        person.shoot(f"1-labelled-{number}-{kind}")
    person.key("ctrl+z")
    person.wait(lambda: own_labels(home) == given - 1, "the label was not taken back")
    person.key("ctrl+z")
    person.wait(lambda: own_labels(home) == given - 2, "the second label was not taken back")
    person.shoot("2-undone")


def restart(home: Path, person: Any, tmp_path: Path) -> None:
    person.stop()
    person.start(home, tmp_path / "program.log")
    person.bring("napari")
    words = f"{24 + LABELLED_BY_KEYS - 2}/48"
    person.wait(lambda: shows(person, words), f"the dock does not say {words}")
    person.shoot("3-restarted")


def queue_and_correct(home: Path, person: Any) -> None:
    person.wait(lambda: shows(person, "/48"), "the dock counts nothing")
    person.click_in_menu("Queue", "Queue all", "napari")
    person.bring("Marrow workbench")
    person.open_tab("Results")
    person.wait(lambda: len(answered(person)) > 0, "no row arrived")
    person.shoot("4-rows-arrive")
    person.wait(lambda: predicted(home) == 48, "not every smear was answered")
    person.wait(lambda: shows(person, "48 rows"), "not every row arrived")  # none moves after
    person.wait(lambda: len(flagged_rows(person)) > 0, "no row has a flag")
    flagged = flagged_rows(person)[0]
    person.click(flagged["box"])
    person.key("Return")
    name = flagged["cells"][0]
    person.wait(lambda: name in overlay(person), f"{name} was not opened")
    person.shoot("5-opened")
    before = own_labels(home, seen=True)
    person.bring("Marrow workbench")
    person.key("3")
    person.wait(lambda: own_labels(home, seen=True) == before + 1, "the correction is not stored")
    assert label_of(home, name) == "AML"
    person.shoot("6-corrected")


def retrain_and_promote(home: Path, person: Any) -> None:
    person.bring("Marrow workbench")
    person.open_tab("Retrain")
    person.write("Columns of the grid", "5, 10, 20")
    person.choose("The networks of torchvision", "resnet18")
    person.choose("Copies for training", "none")
    person.choose("none: random numbers", "none")
    person.shoot("7-sweep-asked")
    first, before = champion(home), newest_sweep(home).id
    person.click_on("Start")
    person.wait(lambda: newest_sweep(home).id > before, "no sweep was queued")
    person.wait(lambda: epochs_told(home, newest_sweep(home).id) > 0, "no epoch is told")
    person.wait(lambda: not shows(person, "No epoch is done"), "no curve is drawn")
    person.shoot("8-curves-move")
    person.wait(lambda: newest_sweep(home).state == "done", "the sweep did not end")
    person.open_tab("Compare")
    person.wait(lambda: person.find("Button", "Promote m") is not None, "no challenger")
    person.wait(lambda: shows(person, "that trained neither ("), "the two were not compared")
    person.shoot("9-compared")
    person.write("reason, stored", "better on our smears")
    person.click_on("Promote m")
    person.wait(
        lambda: champion(home) != first or person.find("Button", "Promote against") is not None,
        "neither promoted nor refused",
    )
    if champion(home) == first:
        person.shoot("10-objection")
        person.click_on("Promote against")
    person.wait(lambda: champion(home) != first, "the challenger was not promoted")
    person.wait(lambda: is_shown_as_champion(person, champion(home)), "the tab does not say so")
    person.shoot("11-promoted")
    person.wait(lambda: person.find("Button", "Roll back") is not None, "no way back")
    person.write("reason, stored", "it was a test")
    person.click_on("Roll back")
    person.wait(lambda: champion(home) == first, "the first champion did not return")
    person.wait(lambda: is_shown_as_champion(person, first), "the tab does not say so")
    person.shoot("12-rolled-back")


def new_layer(person: Any, kind: str) -> str:
    """Name of a layer of points or labels, made with napari's own button."""

    def names() -> list[str]:
        return [name for name in person.state()["viewer"]["layers"] if name.endswith(kind)]

    person.again_until(
        lambda: person.click_tip(f"Create a new {kind.lower()} layer"),
        lambda: names() != [],
        f"no layer of {kind}",
    )
    return names()[0]


def choose_layer(person: Any, name: str) -> None:
    def boxes() -> list[list[int]]:
        rows = person.rows("QtLayerList", "napari")
        return [row["box"] for row in rows if row["cells"][0] == name]

    def is_active() -> bool:
        return bool(person.state()["viewer"]["active"] == name)

    person.wait(lambda: boxes() != [], f"no layer {name}")
    if not is_active():  # again if a smear that came selected its own; not so soon that it renames
        person.again_until(lambda: person.click(boxes()[0]), is_active, f"{name} was not selected")


def overlay(person: Any) -> str:
    return str(person.state().get("viewer", {}).get("text", "")).replace("\xa0", " ")


def answered(person: Any) -> list[dict[str, Any]]:
    rows = person.rows(TABLE, "Marrow workbench")
    return [row for row in rows if row["cells"][0].startswith("S0")]


def flagged_rows(person: Any) -> list[dict[str, Any]]:
    return [row for row in answered(person) if row["cells"][-3]]


def shows(person: Any, words: str) -> bool:
    widgets = person.state().get("widgets", [])
    return any(words in str(one.get("text", "")) for one in widgets)


def is_shown_as_champion(person: Any, model_id: int) -> bool:
    return person.find("ComboBox", f"m{model_id} champion") is not None


def own_labels(home: Path, seen: bool | None = None) -> int:
    """Standing labels of smears that had none in labels.csv, or of those given after a look."""
    with opened(home) as study, study.database.read() as connection:
        given = [one for smear in range(1, 49) for one in labels.history(connection, smear)]
    standing = [one for one in given if one.superseded_at is None and one.reader == "Dr A"]
    if seen is not None:
        return sum(one.seen_prediction == seen for one in standing)
    return len(standing) - 24


def label_of(home: Path, name: str) -> str | None:
    """What counts as the reader's answer for S000148."""
    with opened(home) as study, study.database.read() as connection:
        given = labels.history(connection, int(name[1:]))
    return next((one.answer for one in given if one.superseded_at is None), None)


def predicted(home: Path) -> int:
    with opened(home) as study, study.database.read() as connection:
        return sum(job.done for job in study_jobs(connection))


def newest_sweep(home: Path) -> Job:
    with opened(home) as study, study.database.read() as connection:
        return next(job for job in jobs.newest(connection, 50) if job.kind == "sweep")


def epochs_told(home: Path, job_id: int) -> int:
    with opened(home) as study, study.database.read() as connection:
        return sum(one.kind == "epoch" for one in jobs.events(connection, job_id, 0))


def champion(home: Path) -> int:
    with opened(home) as study, study.database.read() as connection:
        found = models.champion(connection)
        assert found is not None
        return found.id


def study_jobs(connection: Any) -> list[Any]:
    return [job for job in jobs.newest(connection, 50) if job.kind == "classify"]


def opened(home: Path) -> closing[Study]:
    """The study of a home for a moment."""
    return closing(Study.open(Settings.read(home)))


def marrow(home: Path, *words: str) -> None:
    command = [sys.executable, "-P", "-m", "marrow", "--home", str(home), *words]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
