"""A study with drawn smears and a model without weights, and a worker that only pretends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select

from marrow.catalogue.schema import job_smear, smear
from marrow.client import Client
from marrow.errors import MarrowError
from marrow.records import Answer, AnswerMap, Claim, HeadAnswer, ModelRecord, Outcome, Provenance
from marrow.schemes import Scheme
from marrow.study import Study
from napari_marrow.desk import Desk
from napari_marrow.session import Session
from worker import claims
from worker.owner import Owner

PROVENANCE = Provenance(code_version="0", torch_version="0", device="cpu", host="test")


def make_client(study: Study) -> Client:
    """A client that starts no agent."""
    return Client(study, start_agent=lambda _home: None)


def answer_for(scheme: Scheme, smear_id: int) -> tuple[Answer, AnswerMap]:
    """A seeded answer and its 8 x 8 map for a smear of 128 px."""
    rng = np.random.default_rng([7, smear_id])
    heads, outputs = [], 0
    for head in scheme.heads:
        shares = rng.dirichlet(np.ones(len(head.classes)))
        call = head.classes[int(shares.argmax())]
        heads.append(HeadAnswer(head=head.name, call=call, probabilities=tuple(shares)))
        outputs += len(head.classes)
    values = rng.normal(0, 1, (outputs, 8, 8)).astype("<f2")
    drawn = AnswerMap("activation", values.tobytes(), (outputs, 8, 8), (16.0, 16.0))
    return Answer(heads=tuple(heads)), drawn


class PretendWorker:
    """Claims pieces and finishes them with seeded answers, as a worker does.

    `unreadable` are smears that fail, each with a reason.
    """

    def __init__(self, study: Study, model: ModelRecord) -> None:
        self.study = study
        self.model = model
        self.unreadable: set[int] = set()
        self._owner = Owner.of_this_process()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def work_off(self, most: int | None = None) -> int:
        """Finish all pieces that are ready, `most` at most; returns how many."""
        worked = 0
        while most is None or worked < most:
            held = claims.claim_next(self.study, self._owner)
            if held is None:
                break
            self._finish(held)
            worked += 1
        return worked

    def start(self, every_s: float = 0.02) -> None:
        """Work on a thread of its own until `stop`."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, args=(every_s,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)

    def _run(self, every_s: float) -> None:
        while not self._stop.wait(every_s):
            self.work_off(1)

    def _finish(self, held: Claim) -> None:
        with self.study.database.read() as connection:
            rows = connection.execute(
                select(smear.c.id, smear.c.regions_revision)
                .join(job_smear, job_smear.c.smear_id == smear.c.id)
                .where(job_smear.c.job_id == held.job_id, job_smear.c.piece == held.number)
            ).all()
        outcomes = []
        for row in rows:
            if row.id in self.unreadable:
                outcomes.append(Outcome(row.id, None, None, "field.png: the file is damaged"))
            else:
                outcomes.append(Outcome(row.id, *answer_for(self.study.scheme, row.id), None))
        revisions = {row.id: row.regions_revision for row in rows}
        claims.finish_smears(self.study, held, self.model, outcomes, revisions, PROVENANCE)


def draw_field(path: Path, seed: int, size_px: int = 128) -> Path:
    """Write a small image with purple spots on a pale ground."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size_px, :size_px]
    image = np.full((size_px, size_px, 3), (232, 222, 230), np.float64)
    for row, column in rng.uniform(0, size_px, (12, 2)):
        inside = (rows - row) ** 2 + (columns - column) ** 2 < (size_px / 14) ** 2
        image[inside] = (96, 60, 140)
    image += rng.normal(0, 4, image.shape)
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(path)
    return path


@pytest.fixture
def draw() -> Callable[..., Path]:
    """Draws one image: path and seed."""
    return draw_field


@pytest.fixture(autouse=True)
def _no_pictures_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        "napari_marrow.thumbnails.user_cache_path", lambda *_name, **_options: tmp_path / "cache"
    )


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    """A folder of 20 images with a labels.csv for all but the last four."""
    folder = tmp_path / "fields"
    folder.mkdir()
    rows = ["file,patient,site,mpp,diagnosis"]
    for number in range(20):
        draw_field(folder / f"field_{number:02d}.png", number)
        if number < 16:
            diagnosis = ("AA", "MDS", "AML")[number % 3]
            rows.append(f"field_{number:02d}.png,P{number // 2:02d},north,0.2,{diagnosis}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def study(make_study: Callable[..., Study]) -> Study:
    return make_study()


@pytest.fixture
def desk(study: Study) -> Desk:
    return Desk(study, make_client(study))


@pytest.fixture
def worker(study: Study, add_model: Callable[..., ModelRecord]) -> Iterator[PretendWorker]:
    pretend = PretendWorker(study, add_model(study))
    yield pretend
    pretend.stop()


class AtOnce:
    """A `Background` that answers before it returns; what was told to a person is kept."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.asked: list[str] = []

    def ask(
        self, topic: str, question: Any, then: Any, *, lane: str = "", failed: Any = None
    ) -> None:
        self.asked.append(topic)
        self.tell(question, then, failed=failed)

    def tell(self, errand: Any, then: Any, *, lane: str = "", failed: Any = None) -> None:
        try:
            answer = errand()
        except MarrowError as error:
            self.told.append(str(error))
            if failed is not None:
                failed()
            return
        then(answer)


@pytest.fixture
def background() -> AtOnce:
    return AtOnce()


class WhenLetGo(AtOnce):
    """A `Background` that answers when it is let go, in the order of the questions."""

    def __init__(self) -> None:
        super().__init__()
        self._held: list[Callable[[], None]] = []

    def tell(self, errand: Any, then: Any, *, lane: str = "", failed: Any = None) -> None:
        answer = super().tell
        self._held.append(lambda: answer(errand, then, failed=failed))

    def let_go(self) -> None:
        """Answer all that was asked, and what is asked meanwhile."""
        while self._held:
            self._held.pop(0)()


@pytest.fixture
def held_background() -> WhenLetGo:
    return WhenLetGo()


@pytest.fixture
def client_without_agent() -> Callable[[Study], Client]:
    return make_client


@pytest.fixture
def pretend_answer() -> Callable[[Scheme, int], tuple[Answer, AnswerMap]]:
    return answer_for


@pytest.fixture
def at_once_session(desk: Desk) -> Session:
    """A session in which the study is open."""
    return Session(desk=desk, reader="A")
