"""Golden JSON of the records that are stored or sent: a change here breaks stored studies."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from marrow.records import (
    Answer,
    Cell,
    CheckpointRef,
    ConclusionPayload,
    HarvestRef,
    HeadAnswer,
    Night,
    Provenance,
    Record,
    SegmentPayload,
    SweepSpec,
    TrainingSpec,
)

GOLDEN: list[tuple[Record, str]] = [
    (
        SegmentPayload(
            run=0,
            segment=2,
            checkpoint=CheckpointRef(path="runs/j1-r0/s1", sha256="ab", epoch=3, batch=7),
        ),
        '{"run":0,"segment":2,"checkpoint":'
        '{"path":"runs/j1-r0/s1","sha256":"ab","epoch":3,"batch":7},"harvests":[]}',
    ),
    (
        ConclusionPayload(harvests=((HarvestRef(path="runs/j1-r0/h", sha256="cd", epoch=30),),)),
        '{"harvests":[[{"path":"runs/j1-r0/h","sha256":"cd","epoch":30}]]}',
    ),
    (
        SweepSpec(
            runs=(TrainingSpec(loss_weights=(1, 9), snapshots=(10,), folds=2, fold=1),),
            cells=(Cell(loss_weights=(1, 9), epochs=10, seed=0, run=0, fold_runs=(1, 2)),),
            notes=("why",),
        ),
        '{"runs":[{"backbone":"resnet50","weights":"none","weights_sha256":null,"tune":"heads",'
        '"epochs":30,"snapshots":[10],"loss_weights":[1.0,9.0],"seed":0,"data_seed":0,'
        '"batch_size":32,"trunk_learning_rate":0.0001,"head_learning_rate":0.001,"dropout":0.2,'
        '"input_px":256,"tiles_per_slide":16,"test_share":0.3,"smear_is_patient":false,'
        '"protocol":"honest","augment":"none","copies":4,"heads_first":30,"folds":2,"fold":1,'
        '"hold_out_sites":[],"left_out":[],"precision":"auto"}],'
        '"cells":[{"loss_weights":[1.0,9.0],"epochs":10,"seed":0,"run":0,"fold_runs":[1,2]}],'
        '"notes":["why"]}',
    ),
    (
        Night(at="22:00", until="06:00", zone="Europe/Berlin"),
        '{"at":"22:00","until":"06:00","zone":"Europe/Berlin"}',
    ),
    (
        Provenance(code_version="0.1", torch_version="2.6", device="cpu", host="h"),
        '{"code_version":"0.1","torch_version":"2.6","device":"cpu","host":"h"}',
    ),
    (
        Answer(
            heads=(HeadAnswer(head="mds", call="MDS", probabilities=(0.25, 0.75)),),
            flags=("heads-disagree",),
        ),
        '{"heads":[{"head":"mds","call":"MDS","probabilities":[0.25,0.75]}],'
        '"flags":["heads-disagree"]}',
    ),
]


@pytest.mark.parametrize(("record", "text"), GOLDEN, ids=lambda one: type(one).__name__)
def test_round_trip(record: Record, text: str) -> None:
    assert record.model_dump_json() == text
    assert type(record).model_validate_json(text) == record


def test_a_misspelt_key_is_an_error() -> None:
    with pytest.raises(ValidationError, match="epoch"):
        TrainingSpec.model_validate({"epoch": 3})


@pytest.mark.parametrize("at", ["24:00", "7:00", "22.00", "22:60"])
def test_a_night_begins_at_a_time_of_day(at: str) -> None:
    with pytest.raises(ValidationError):
        Night(at=at, zone="UTC")
