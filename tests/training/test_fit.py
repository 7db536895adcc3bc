"""Training in segments: the same model, bit for bit, wherever its segments end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from marrow.errors import BadModel, Cancelled, CannotSplit, LeaseLost, UnreadableSmear
from marrow.records import SegmentPayload
from tests.training.runs import SPEC, TEST_PATIENTS, Ended, Killed
from training import features
from training.checkpoints import ModelCard, load_model
from training.dataset import data_hash
from training.fit import EpochFigures, run_segment
from training.splits import Sides

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_and_single_threaded")]


def assert_same_model(one: Ended, other: Ended) -> None:
    assert one.card is not None
    assert other.card is not None
    assert one.card.weights_sha256 == other.card.weights_sha256
    assert without_times(one.card) == without_times(other.card)


def without_times(card: ModelCard) -> dict[str, Any]:
    told = card.model_dump(exclude={"created"})
    del told["figures"]["timing"], told["figures"]["training"]["seconds"]
    return told


@pytest.mark.parametrize("tune", ["heads", "full"])
def test_resumed_at_any_batch_equals_undisturbed_bit_for_bit(make_bench, tune):
    spec = SPEC.model_copy(update={"tune": tune})
    whole = make_bench("whole")
    undisturbed = whole.segment(spec)
    assert undisturbed.checkpoint is None
    batches = whole.turns
    assert batches >= 7
    for last in range(1, batches):
        bench = make_bench(f"after-{last}")
        first = bench.segment(spec, yield_after=last)
        assert not first.harvests
        resumed = bench.segment(spec, first.checkpoint, number=1)
        assert_same_model(undisturbed, resumed)
        assert bench.told == whole.told


@pytest.mark.parametrize("tune", ["heads", "full"])
def test_killed_at_any_batch_and_repeated_equals_undisturbed(make_bench, tune):
    # The first segment yields early; every attempt at the second one dies one batch later.
    spec = SPEC.model_copy(update={"tune": tune})
    whole = make_bench("whole")
    undisturbed = whole.segment(spec)
    bench = make_bench("killed")
    first = bench.segment(spec, yield_after=2)
    left = bench.files()
    attempt = 0
    while True:
        attempt += 1
        try:
            end = bench.segment(
                spec, first.checkpoint, number=1, attempt=attempt, die_after=attempt
            )
        except Killed:
            # A finished harvest may stay: it goes with the folder of its run.
            kept = ("features/", "runs/j1-r0/epoch-")
            new = {path for path in bench.files() - left if not path.startswith(kept)}
            assert not new, "a killed segment leaves nothing behind"
            continue
        break
    assert attempt > 5
    assert_same_model(undisturbed, end)


@pytest.mark.parametrize("tune", ["heads", "last-block"])
def test_a_segment_for_each_batch_comes_to_the_same_model(make_bench, tune):
    spec = SPEC.model_copy(update={"tune": tune})
    undisturbed = make_bench("whole").segment(spec)
    bench = make_bench("bits")
    end, number = bench.segment(spec, yield_after=1), 0
    while end.checkpoint is not None:
        number += 1
        end = bench.segment(spec, end.checkpoint, number=number, yield_after=1)
    assert number > 5
    assert_same_model(undisturbed, end)


def test_ends_after_the_first_batch_beyond_its_budget(make_bench):
    ticks = iter(range(0, 10_000, 100))
    bench = make_bench("budget")
    end = bench.segment(SPEC, budget_s=250, clock=lambda: float(next(ticks)))
    assert end.checkpoint is not None
    assert bench.turns == 2  # 100 s and 200 s are within; at 300 s nobody is asked any more
    assert end.checkpoint.path == "runs/j1-r0/segment-00000-attempt-1.safetensors"
    assert (bench.store / end.checkpoint.path).is_file()


def test_checkpoints_that_nobody_can_need_are_removed(make_bench):
    bench = make_bench("prune")
    end = bench.segment(SPEC, yield_after=1)
    for number in (1, 2, 3):
        end = bench.segment(SPEC, end.checkpoint, number=number, yield_after=1)
    kept = {path.split("/")[-1] for path in bench.files() if path.startswith("runs/")}
    assert kept == {f"segment-0000{n}-attempt-1.safetensors" for n in (2, 3)}


@pytest.mark.parametrize("error", [Cancelled, LeaseLost])
def test_what_stops_it_passes_through_and_leaves_no_file(make_bench, error):
    bench = make_bench("stopped")

    def stop(figures: EpochFigures) -> None:
        raise error("stop")

    with pytest.raises(error):
        run_segment(
            SPEC.model_copy(update={"tune": "full"}),
            bench.scheme,
            Sides(bench.train, bench.test, []),
            store=bench.store,
            run_folder="runs/j1-r0",
            payload=SegmentPayload(run=0, segment=0),
            attempt=1,
            check=lambda: None,
            should_yield=lambda: False,
            on_epoch=stop,
        )
    assert bench.files() == set()


def test_the_stored_model_says_what_was_trained_on_what(make_bench):
    bench = make_bench("card")
    end = bench.segment(SPEC)
    assert end.model_folder == bench.store / "models" / end.card.weights_sha256[:16]
    network, card = load_model(end.model_folder)
    assert card == end.card
    assert card.training == SPEC
    assert card.data_sha256 == data_hash(bench.train)
    assert set(card.split["test"]) == TEST_PATIENTS
    assert not set(card.split["train"]) & TEST_PATIENTS
    assert "batch-norm statistics were adapted to 8 views" in " ".join(card.notes)
    assert card.figures["patients"] == 4
    assert card.figures["training"]["epoch"] == 2
    assert not network.training
    assert not [path for path in bench.files() if ".part" in path]


def test_tells_the_figures_of_each_epoch(make_bench):
    bench = make_bench("epochs")
    bench.segment(SPEC)
    assert [(told.epoch, told.epochs) for told in bench.told] == [(1, 2), (2, 2)]
    first = bench.told[0]
    # 13 training smears, of which one has no answer
    assert first.known == {"mds": 12, "diagnosis": 12}
    assert first.loss == pytest.approx(sum(first.losses.values()) / 2)
    assert first.validation is None
    assert 0 <= first.auc <= 1
    assert set(first.balanced) == {"mds", "diagnosis"}


@pytest.mark.parametrize("tune", ["heads", "full"])
def test_a_run_that_leaves_out_a_fold_tells_how_it_does_on_it(make_bench, tune):
    bench = make_bench("fold")
    spec = SPEC.model_copy(update={"tune": tune, "folds": 2, "fold": 0})
    bench.run(spec, 0, Sides(bench.train, bench.test, []))
    keys = {"loss", "losses", "accuracies", "balanced", "auc", "known"}
    for told in bench.told:
        side = told.validation
        assert set(side) == keys
        assert side["loss"] == pytest.approx(sum(side["losses"].values()) / 2)
        # Of 13 training smears 12 have an answer; each stands on one of the two sides.
        assert told.known["diagnosis"] + side["known"]["diagnosis"] == 12
        assert side["auc"] is None or 0 <= side["auc"] <= 1


def test_heads_learn_what_can_be_learned(make_bench):
    bench = make_bench("learn")
    bench.segment(SPEC.model_copy(update={"epochs": 30}))
    assert bench.told[-1].loss < bench.told[0].loss / 4
    assert bench.told[-1].accuracies["diagnosis"] > 0.9


def test_heads_leave_the_trunk_alone_and_serve_plain_features(make_bench):
    # The standardisation is folded in: the stored network needs no further step.
    bench = make_bench("fold")
    one = bench.segment(SPEC)
    two = bench.segment(SPEC.model_copy(update={"epochs": 1}))
    networks = [load_model(end.model_folder)[0].state_dict() for end in (one, two)]
    same = [n for n in networks[0] if torch.equal(networks[0][n], networks[1][n])]
    assert set(same) == {n for n in networks[0] if n.startswith("trunk.")}


@pytest.mark.parametrize(("tune", "moves"), [("last-block", "stage4"), ("full", "conv1")])
def test_what_is_tuned_moves(make_bench, tune, moves):
    bench = make_bench("moves")
    ends = [
        bench.segment(SPEC.model_copy(update={"tune": tune, "epochs": epochs})) for epochs in (1, 2)
    ]
    networks = [load_model(end.model_folder)[0].state_dict() for end in ends]
    moved = {n for n in networks[0] if not torch.equal(networks[0][n], networks[1][n])}
    assert any(moves in name for name in moved)
    assert any("conv1" in name for name in moved if name.startswith("trunk.conv1")) == (
        tune == "full"
    )


def test_features_are_computed_once_and_found_again(make_bench, monkeypatch):
    bench = make_bench("cache")
    one = bench.segment(SPEC)
    calls = []
    monkeypatch.setattr(features, "_forward", lambda *given: calls.append(given))
    again = bench.segment(SPEC)
    assert not calls
    assert_same_model(one, again)
    monkeypatch.undo()
    assert len([path for path in bench.files() if path.startswith("features/")]) == 1


def test_a_trained_trunk_leaves_no_features_behind(make_bench):
    bench = make_bench("full")
    bench.segment(SPEC.model_copy(update={"tune": "full"}))
    assert {path.split("/")[0] for path in bench.files()} == {"models", "runs"}


def test_a_loss_that_runs_away_is_a_named_error(make_bench):
    bench = make_bench("runaway")
    spec = SPEC.model_copy(update={"tune": "full", "trunk_learning_rate": 1e30, "epochs": 20})
    with pytest.raises(BadModel, match="lower learning rate"):
        bench.segment(spec)


def test_a_damaged_feature_file_is_made_again(make_bench):
    bench = make_bench("damaged")
    one = bench.segment(SPEC)
    (path,) = (bench.store / "features").iterdir()
    path.write_bytes(path.read_bytes()[:100])
    assert_same_model(one, bench.segment(SPEC))
    assert path.stat().st_size > 1000


def test_an_unreadable_smear_is_left_out_and_the_card_says_so(make_bench):
    bench = make_bench("unreadable")
    bench.train[2].path.write_bytes(b"no image")
    for tune in ("heads", "full"):
        card = bench.segment(SPEC.model_copy(update={"tune": tune})).card
        name = bench.train[2].smear.name
        assert list(card.figures["skipped"]) == [name]
        assert any("1 smears could not be read" in note and name in note for note in card.notes)
    assert bench.told[0].known["diagnosis"] == 11


@pytest.mark.parametrize("tune", ["heads", "full"])
def test_nothing_readable_is_an_error(make_bench, tune):
    bench = make_bench("nothing")
    for labelled in bench.train:
        labelled.path.write_bytes(b"no image")
    with pytest.raises(UnreadableSmear, match="nothing can be learned"):
        bench.segment(SPEC.model_copy(update={"tune": tune}))


def test_labels_that_change_meanwhile_do_not_change_the_run(make_bench, make_smears):
    undisturbed = make_bench("whole").segment(SPEC)
    bench = make_bench("relabelled")
    first = bench.segment(SPEC, yield_after=4)
    answers = bench.scheme.complete({"diagnosis": "AA"})
    bench.train = [replace(labelled, answers=answers) for labelled in bench.train]
    assert_same_model(undisturbed, bench.segment(SPEC, first.checkpoint, number=1))
    bench.train = bench.train[1:]
    with pytest.raises(BadModel, match="1 smears that this training began with are gone"):
        bench.segment(SPEC, first.checkpoint, number=1)


def test_refuses_a_checkpoint_of_another_run_or_altered(make_bench):
    bench = make_bench("altered")
    first = bench.segment(SPEC, yield_after=1)
    with pytest.raises(BadModel, match="another run"):
        run_segment(
            SPEC, bench.scheme, Sides(bench.train, bench.test, []), store=bench.store,
            run_folder="runs/j1-r1",
            payload=SegmentPayload(run=1, segment=1, checkpoint=first.checkpoint),
            attempt=1, check=lambda: None, should_yield=lambda: False, on_epoch=lambda _: None,
        )  # fmt: skip
    path = bench.store / first.checkpoint.path
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadModel, match="SHA-256"):
        bench.segment(SPEC, first.checkpoint, number=1)


def test_refuses_a_patient_on_both_sides(make_bench):
    bench = make_bench("leak")
    with pytest.raises(CannotSplit):
        bench.segment(SPEC, train=[*bench.train, bench.test[0]])


def test_pretrained_weights_are_loaded_and_named(make_bench, tmp_path):
    bench = make_bench("weights")
    network = load_model(bench.segment(SPEC).model_folder)[0]
    path = tmp_path / "trunk.pth"
    torch.save(network.trunk.state_dict(), path)
    spec = SPEC.model_copy(update={"weights": str(path), "seed": 99})
    end = bench.segment(spec)
    trained = load_model(end.model_folder)[0]
    for name, tensor in network.trunk.state_dict().items():
        assert torch.equal(trained.trunk.state_dict()[name], tensor)
    assert any("trunk.pth" in note for note in end.card.notes)
    assert not any("adapted" in note for note in end.card.notes)


def test_loss_weights_matter_once_the_trunk_is_trained(make_bench):
    bench = make_bench("weighted")
    spec = SPEC.model_copy(update={"tune": "full"})
    ends = [
        bench.segment(spec.model_copy(update={"loss_weights": weights}))
        for weights in ((1.0, 9.0), (5.0, 5.0))
    ]
    assert ends[0].card.weights_sha256 != ends[1].card.weights_sha256
    heads = [load_model(end.model_folder)[0].heads["mds"].weight.detach() for end in ends]
    assert float((heads[0] - heads[1]).abs().max()) > 1e-4
    assert np.isfinite(heads[0].numpy()).all()
