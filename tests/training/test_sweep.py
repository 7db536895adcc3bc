"""A sweep without a ledger: snapshots, folds, held-out sites, protocols and the conclusion."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from marrow.errors import BadModel, CannotSplit
from marrow.records import ConclusionPayload, SegmentPayload
from marrow.sweeps import Grid, plan
from tests.training.runs import SPEC, TEST_PATIENTS
from training.checkpoints import load_model
from training.conclude import conclude
from training.dataset import ORIGINAL
from training.harvest import load_harvest
from training.network import build_network
from training.rows import rows_of
from training.splits import Sides
from training.stages import TrainingRun
from training.turn import Turn

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_and_single_threaded")]


@pytest.fixture
def trunk(make_bench, tmp_path):
    """A spec that begins with a file of weights."""
    network = build_network(SPEC.backbone, make_bench("any").scheme, 0.0, seed=5)
    path = tmp_path / "trunk.pth"
    torch.save(network.trunk.state_dict(), path)
    return SPEC.model_copy(update={"weights": str(path)})


@pytest.mark.parametrize("tune", ["heads", "last-block", "full"])
def test_a_snapshot_is_the_model_of_a_shorter_run_bit_for_bit(make_bench, tune):
    bench = make_bench("snapshots")
    spec = SPEC.model_copy(update={"tune": tune, "augment": "gentle", "copies": 1})
    long = plan(Grid(base=spec, epochs=(1, 2), seeds=(spec.seed,))).runs[0]
    assert long.snapshots == (1,)
    sides = Sides(bench.train, bench.test, [])
    early, late = (load_harvest(bench.store, ref) for ref in bench.run(long, 0, sides))
    short = spec.model_copy(update={"epochs": 1})
    (ref,) = make_bench("short").run(short, 0, sides)
    alone = load_harvest(bench.store.parent / "short", ref)
    assert alone.network.keys() == early.network.keys()
    assert all(torch.equal(alone.network[name], early.network[name]) for name in alone.network)
    assert not all(torch.equal(late.network[name], early.network[name]) for name in alone.network)
    assert torch.equal(alone.features, early.features)


def test_folds_leave_each_patient_out_once_and_never_look_at_the_test_side(make_bench, trunk):
    bench = make_bench("folds")
    sides = Sides(bench.train, bench.test, [])
    spec = plan(Grid(base=trunk.model_copy(update={"folds": 3}), epochs=(1,)))
    left_out: Counter[int] = Counter()
    patients = {one.smear.id: one.smear.patient for one in bench.train}
    for number, run in enumerate(spec.runs):
        (ref,) = bench.run(run, number, sides)
        harvest = load_harvest(bench.store, ref)
        rows = list(zip(harvest.smears, harvest.sides, strict=True))
        if run.fold is None:
            assert {side for _, side in rows} == {"train", "test"}
            continue
        assert not harvest.network
        own = {patients[smear] for smear, side in rows if side == "validation"}
        others = {patients[smear] for smear, side in rows if side == "train"}
        assert own
        assert not own & others
        left_out.update(smear for smear, side in rows if side == "validation")
        known = harvest.distances[[side == "validation" for _, side in rows]]
        assert known.isfinite().all()
    assert left_out == Counter(patients.keys())
    assert len(list((bench.store / "features").iterdir())) == 1, "folds share their features"


def test_epochs_of_a_fold_are_validated_on_the_patients_left_out(make_bench, trunk):
    bench = make_bench("validated")
    spec = trunk.model_copy(update={"folds": 3, "fold": 0, "tune": "last-block"})
    bench.run(spec, 0, Sides(bench.train, bench.test, []))
    for told in bench.told:
        assert told.validation is not None
        assert 0 < told.validation["known"]["diagnosis"] < told.known["diagnosis"]
        assert told.validation["losses"]["diagnosis"] > 0
        assert told.seconds > 0


def test_the_chosen_cell_comes_first_and_knows_its_limits(make_bench, trunk):
    bench = make_bench("conclusion")
    base = trunk.model_copy(update={"folds": 3, "head_learning_rate": 1e-2})
    spec = plan(Grid(base=base, loss_weights=((5, 5), (1, 9)), epochs=(1, 6)))
    made = bench.sweep(spec)
    assert [len(one.card.cells) for one in made] == [2, 2], "one run serves all loss weights"
    assert [one.card.selection["chosen"] for one in made] == [True, False]
    assert "standard error" in made[0].card.selection["why"]
    card = made[0].card
    assert card.training.epochs in {1, 6}
    assert card.training.loss_weights == (1, 9)
    assert card.calibration is not None
    assert "9 patients in 3 folds" in card.calibration.source or "folds" in card.calibration.source
    assert set(card.split["test"]) == TEST_PATIENTS
    assert set(card.split_sha256) == {"train", "test", "held_out"}
    assert set(made[0].scorings) == {"train", "test", "out-of-fold"}
    tested = made[0].scorings["test"]
    assert set(tested.answers) == {one.smear.id for one in bench.test}
    for said in tested.answers.values():
        assert all(abs(sum(its) - 1) < 1e-5 for its in said.values())
    assert tested.figures["heads"]["diagnosis"]["n"] == len(TEST_PATIENTS)
    assert set(made[0].scorings["out-of-fold"].answers) == {one.smear.id for one in bench.train}


def test_test_figures_count_blind_labels_and_stand_beside_those_of_all(make_bench, trunk):
    bench = make_bench("blind")
    shown, *others = bench.test
    tested = [replace(shown, is_blind=False), *others]
    spec = plan(Grid(base=trunk, epochs=(1,)))
    (made,) = bench.sweep(spec, Sides(bench.train, tested, []))
    look, figures = made.scorings["test"], made.card.figures
    assert look.answers.keys() == {one.smear.id for one in tested}
    assert look.figures["smears"] == figures["smears"] == len(others)
    assert look.facts["all_labels"]["smears"] == figures["all_labels"]["smears"] == len(tested)
    assert made.scorings["train"].facts == {"all_labels": None}, "all of them were given blind"


def test_the_conclusion_done_again_gives_the_same_models(make_bench, trunk):
    bench = make_bench("again")
    spec = plan(Grid(base=trunk.model_copy(update={"folds": 2}), epochs=(1, 2)))
    first, second = bench.sweep(spec), bench.sweep(spec)
    assert [one.folder for one in first] == [one.folder for one in second]
    assert len(list((bench.store / "models").iterdir())) == 2
    for one in first:
        load_model(one.folder, one.card.weights_sha256)


def test_held_out_sites_are_scored_by_site_and_never_trained_on(make_bench, trunk):
    bench = make_bench("sites")
    held_out = [
        replace(one, smear=one.smear.model_copy(update={"site": "north"}))
        for one in bench.train
        if one.smear.patient in {"p1", "p5", "p11"}
    ]
    train = [one for one in bench.train if one.smear.patient not in {"p1", "p5", "p11"}]
    spec = plan(Grid(base=trunk.model_copy(update={"hold_out_sites": ("north",)}), epochs=(1,)))
    (made,) = bench.sweep(spec, Sides(train, bench.test, held_out))
    assert set(made.scorings) == {"train", "test", "site:north"}
    assert set(made.scorings["site:north"].answers) == {one.smear.id for one in held_out}
    assert not {"p1", "p5", "p11"} & set(made.card.split["train"])
    assert set(made.card.split["held_out"]) == {"p1", "p5", "p11"}


def test_seed2022_has_copies_of_one_smear_on_both_sides(make_bench, scheme):
    bench = make_bench("rows")
    spec = SPEC.model_copy(update={"protocol": "seed2022", "augment": "seed8"})
    everything = Sides([*bench.train, *bench.test], [], [])
    rows = rows_of(spec, scheme, everything)
    smears = len(bench.train) + len(bench.test)
    assert len(rows.views) == 18 * smears
    assert len(rows.examined) == 24 * smears
    assert rows.sides.count("image") == pytest.approx(0.3 * 24 * smears, abs=1)
    on = {
        side: {
            rows.views[row].smear
            for row, its in zip(rows.examined, rows.sides, strict=True)
            if its == side
        }
        for side in ("train", "image")
    }
    assert len(on["train"] & on["image"]) > smears / 2, "that is the leak"


def test_honest_rows_augment_the_training_side_alone(make_bench, scheme):
    bench = make_bench("rows")
    spec = SPEC.model_copy(update={"augment": "seed8", "folds": 2, "fold": 1})
    rows = rows_of(spec, scheme, Sides(bench.train, bench.test, []))
    trained = {rows.views[row].smear for row in rows.train}
    assert Counter(rows.views[row].smear for row in rows.train) == dict.fromkeys(trained, 19)
    assert not trained & {rows.views[row].smear for row in rows.validation}
    assert all(rows.views[row].copy == ORIGINAL for row in rows.examined)


@pytest.mark.parametrize("protocol", ["honest", "seed2022"])
def test_seed8_trains_with_whitening_fitted_on_training_smears(make_bench, trunk, protocol):
    bench = make_bench(protocol)
    base = trunk.model_copy(update={"protocol": protocol, "augment": "seed8"})
    train = [*bench.train, *bench.test] if protocol == "seed2022" else bench.train
    test = [] if protocol == "seed2022" else bench.test
    (made,) = bench.sweep(plan(Grid(base=base, epochs=(1,))), Sides(train, test, []))
    side = "seed2022" if protocol == "seed2022" else "test"
    figures = made.scorings[side].figures["heads"]["mds"]
    assert figures["sensitivity"]["value"] is not None
    if protocol == "seed2022":
        assert figures["unit"] == "images"
        assert figures["sensitivity"]["method"] == "wald"
        assert made.card.split["test"] == ()


def test_heads_learn_alone_before_a_pretrained_trunk_is_tuned(make_bench, tmp_path):
    # A trunk whose features differ between images, as a pretrained one's do.
    adapted = load_model(make_bench("adapted").segment(SPEC).model_folder)[0]
    path = tmp_path / "adapted.pth"
    torch.save(adapted.trunk.state_dict(), path)
    update = {"tune": "full", "heads_first": 40, "weights": str(path)}
    bench = make_bench("warm")
    run = TrainingRun(
        SPEC.model_copy(update=update),
        bench.scheme,
        Sides(bench.train, bench.test, []),
        store=bench.store,
        folder=bench.store / "run",
        payload=SegmentPayload(run=0, segment=0),
        keep=lambda _harvest: pytest.fail("nothing is kept before the first epoch"),
        on_epoch=bench.told.append,
    )
    turn = Turn(lambda: None, lambda: False, 1e9, time.monotonic)
    assert run.adapt(turn)
    assert run.prepare(turn)
    before = {name: tensor.clone() for name, tensor in run.network.trunk.state_dict().items()}
    assert run.warm(turn)
    after = run.network.trunk.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    rows = run.material.rows.train
    features = run.material.pooled(run.network, run.progress, rows, bench.store, turn)
    said = run.network.eval().answer(features.pooled)["diagnosis"].argmax(1)
    known = run.material.classes[rows, 1]
    assert ((said == known)[known >= 0]).float().mean() > 0.9
    assert run.progress.is_warm


def test_bf16_trains_and_serves_in_float32(make_bench, trunk):
    ends = {}
    for precision in ("fp32", "bf16"):
        bench = make_bench(precision)
        update = {"tune": "full", "precision": precision, "epochs": 1}
        (ref,) = bench.run(trunk.model_copy(update=update), 0, Sides(bench.train, bench.test, []))
        ends[precision] = load_harvest(bench.store, ref)
    one, other = ends["fp32"].network, ends["bf16"].network
    assert all(tensor.dtype != torch.bfloat16 for tensor in other.values())
    assert any(not torch.equal(one[name], other[name]) for name in one)
    assert np.isfinite(ends["bf16"].features.numpy()).all()


def test_a_smear_that_is_gone_by_the_conclusion_is_named(make_bench, trunk):
    bench = make_bench("gone")
    spec = plan(Grid(base=trunk, epochs=(1,)))
    bench.sweep(spec)
    bench.train = bench.train[1:]
    sides = Sides(bench.train, bench.test, [])
    refs = bench.run(spec.runs[0], 0, Sides([*bench.train, *bench.test[:0]], bench.test, []))
    with pytest.raises(BadModel, match="are gone"):
        conclude(
            spec,
            bench.scheme,
            sides._replace(train=sides.train[1:]),
            ConclusionPayload(harvests=(refs,)),
            store=bench.store,
            check=lambda: None,
        )


def test_too_many_folds_are_refused_in_a_sentence(make_bench, trunk):
    bench = make_bench("many")
    spec = trunk.model_copy(update={"folds": 15, "fold": 0})
    with pytest.raises(CannotSplit, match="folds"):
        bench.run(spec, 0, Sides(bench.train, bench.test, []))
