import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import softmax

from marrow.calibration import Calibration, HeadCalibration
from marrow.errors import Cancelled, LeaseLost
from marrow.records import Region, TrainingSpec
from marrow.schemes import AA_MDS_AML
from marrow.statistics.novelty import Reference
from training.checkpoints import ModelCard
from training.network import MultiHeadNetwork, adapt_batch_norm, build_network
from training.preprocess import Preprocessing, fit_image, normalise, to_batch
from worker.classify import Classifier, Request

pytestmark = pytest.mark.slow
SIDE = 64


def card(**changes: object) -> ModelCard:
    preprocessing = Preprocessing(input_px=SIDE)
    fields = {
        "scheme": AA_MDS_AML,
        "backbone": "mobilenet_v2",
        "preprocessing": preprocessing,
        "preprocessing_hash": preprocessing.hash,
        "data_sha256": "d" * 64,
        "training": TrainingSpec(backbone="mobilenet_v2", input_px=SIDE, tiles_per_slide=4),
        "split": {},
        "versions": {},
        "figures": {},
        "created": "2026-01-01T00:00:00+00:00",
    }
    return ModelCard.model_validate(fields | changes)


def blotches(height: int, width: int, seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture
def network() -> MultiHeadNetwork:
    """Random, but with answers that differ clearly between images."""
    network = build_network("mobilenet_v2", AA_MDS_AML, 0.2, seed=1)
    images = to_batch([blotches(SIDE, SIDE, seed) for seed in range(100, 108)])
    adapt_batch_norm(network, [normalise(images, card().preprocessing)])
    with torch.no_grad():
        for head in network.heads.values():
            head.weight.mul_(4)
    return network


@pytest.fixture
def fields(tmp_path) -> list[Request]:
    """Seven files of several shapes and kinds."""
    requests = []
    for number in range(7):
        path = tmp_path / f"field{number}.{('png', 'jpg')[number % 2]}"
        Image.fromarray(blotches(80 + 20 * number, 150, number)).save(path)
        requests.append(Request(10 + number, path))
    return requests


def slide(folder: Path, rows: int, columns: int, seed: int = 0) -> Path:
    """A stained area throughout, of whole tiles."""
    path = folder / f"slide{seed}.png"
    pixels = blotches(rows * SIDE, columns * SIDE, seed) // 2 + np.array([70, 20, 70], np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def plain(network: MultiHeadNetwork, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Probabilities of one fitted image by the bare network, one image at a time."""
    network.eval()
    with torch.no_grad():
        answers = network(normalise(to_batch([pixels]), card().preprocessing))
    return {head: logits.softmax(1)[0].numpy() for head, logits in answers.items()}


def probabilities(outcome) -> np.ndarray:
    return np.concatenate([head.probabilities for head in outcome.answer.heads])


def values(answer_map) -> np.ndarray:
    return np.frombuffer(answer_map.values, "<f2").reshape(answer_map.shape)


def decoding_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "decode" in thread.name]


def test_agrees_with_the_bare_network(network, fields):
    wanted = [
        plain(network, fit_image(np.asarray(Image.open(request.path)), SIDE)) for request in fields
    ]
    outcomes = list(Classifier(network, card(), "cpu", batch_size=3).classify(fields))
    assert [outcome.smear_id for outcome in outcomes] == [10, 11, 12, 13, 14, 15, 16]
    for outcome, by_hand in zip(outcomes, wanted, strict=True):
        assert outcome.error is None
        for answer in outcome.answer.heads:
            expected = by_hand[answer.head]
            # Float32: batches and channels-last add in another order.
            np.testing.assert_allclose(answer.probabilities, expected, atol=1e-5)
            classes = AA_MDS_AML.head(answer.head).classes
            assert answer.call == classes[int(expected.argmax())]
    assert len({outcome.answer.calls["diagnosis"] for outcome in outcomes}) > 1
    assert not decoding_threads()


def test_maps_hold_the_evidence_of_all_classes_at_the_scale_of_the_field(network, fields):
    outcomes = list(Classifier(network, card(), "cpu").classify(fields))
    for number, outcome in enumerate(outcomes):
        assert outcome.map.kind == "activation"
        assert outcome.map.shape == (5, 2, 2)
        assert outcome.map.cell_px == ((80 + 20 * number) / 2, 75.0)
        log_p = np.log(probabilities(outcome))
        centred = np.concatenate([log_p[:2] - log_p[:2].mean(), log_p[2:] - log_p[2:].mean()])
        evidence = values(outcome.map).astype(float).mean(axis=(1, 2))
        # Half precision: 2**-11 of values up to about 8.
        np.testing.assert_allclose(evidence, centred, atol=0.02)


@pytest.mark.parametrize("batch_size", [1, 2, 7, 50])
def test_batches_do_not_change_the_answers(network, fields, batch_size):
    classifier = Classifier(network, card(), "cpu", batch_size, threads=1)
    one = np.array([probabilities(o) for o in classifier.classify(fields)])
    other = Classifier(network, card(), "cpu", batch_size=4)
    np.testing.assert_allclose(
        one, np.array([probabilities(o) for o in other.classify(fields)]), atol=1e-5
    )


def test_unreadable_smears_fail_alone_with_their_reason(network, fields, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(30))
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(fields[1].path.read_bytes()[:200])
    bad = [
        Request(1, tmp_path / "broken.png"),
        Request(2, tmp_path / "missing.png"),
        Request(3, cut),
    ]
    mixed = [bad[0], *fields[:2], bad[1], *fields[2:], bad[2]]
    outcomes = list(Classifier(network, card(), "cpu", batch_size=3).classify(mixed))
    assert [outcome.smear_id for outcome in outcomes] == [r.smear_id for r in mixed]
    failed = {o.smear_id: o for o in outcomes if o.error is not None}
    assert failed.keys() == {1, 2, 3}
    assert failed[1].error.startswith("broken.png: ")
    assert failed[2].error.startswith("missing.png: ")
    assert all(o.answer is None and o.map is None for o in failed.values())
    assert all(o.answer is not None for o in outcomes if o.smear_id >= 10)


def test_only_unreadable_smears_and_none_at_all(network, tmp_path):
    classifier = Classifier(network, card(), "cpu")
    assert list(classifier.classify([])) == []
    bad = [Request(number, tmp_path / "missing.png") for number in range(30)]
    assert all(outcome.error for outcome in classifier.classify(bad))


@pytest.mark.parametrize(("diagnosis", "flags"), [("AA", ("heads-disagree",)), ("MDS", ())])
def test_flags_heads_that_contradict_each_other(network, fields, diagnosis, flags):
    with torch.no_grad():
        network.heads["mds"].bias.copy_(torch.tensor([0.0, 100.0]))
        index = AA_MDS_AML.head("diagnosis").classes.index(diagnosis)
        network.heads["diagnosis"].bias[index] = 100.0
    outcomes = list(Classifier(network, card(), "cpu").classify(fields))
    assert outcomes[0].answer.calls == {"mds": "MDS", "diagnosis": diagnosis}
    assert {outcome.answer.flags for outcome in outcomes} == {flags}


def test_answers_come_while_later_smears_wait_unread(network, fields):
    taken = []

    def requests():
        for request in fields * 20:
            taken.append(request)
            yield request

    outcomes = Classifier(network, card(), "cpu", batch_size=2).classify(requests())
    next(outcomes)
    # The batch itself, and twice as many again in advance.
    assert len(taken) <= 6
    outcomes.close()
    assert not decoding_threads()


@pytest.mark.parametrize("error", [Cancelled, LeaseLost])
def test_check_is_asked_between_batches_and_stops_the_work(network, fields, error):
    asked = []

    def check():
        asked.append(None)
        if len(asked) == 3:
            raise error("stop")

    outcomes = Classifier(network, card(), "cpu", batch_size=2).classify(fields, check)
    for _ in range(4):
        next(outcomes)
    with pytest.raises(error):
        next(outcomes)
    assert not decoding_threads()


def test_halves_the_batch_when_the_device_runs_out_of_memory(network, fields):
    wanted = [probabilities(o) for o in Classifier(network, card(), "cpu").classify(fields)]
    whole = network.feature_maps

    def small_device(images):
        if len(images) > 2:
            raise torch.OutOfMemoryError("no more")
        return whole(images)

    network.feature_maps = small_device
    classifier = Classifier(network, card(), "cpu", batch_size=6)
    outcomes = list(classifier.classify(fields))
    assert classifier.batch_size in (1, 2)
    np.testing.assert_allclose([probabilities(o) for o in outcomes], wanted, atol=1e-5)


def test_gives_up_when_a_single_image_is_too_much(network, fields):
    def no_device(images):
        raise torch.OutOfMemoryError("no more")

    network.feature_maps = no_device
    with pytest.raises(torch.OutOfMemoryError):
        list(Classifier(network, card(), "cpu", batch_size=4).classify(fields))
    assert not decoding_threads()


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", "float32"), ("bf16", "bfloat16")])
def test_bf16_is_used_only_where_the_card_says_so(network, fields, precision, dtype):
    exact = [probabilities(o) for o in Classifier(network, card(), "cpu").classify(fields)]
    seen = set()
    network.trunk.register_forward_hook(lambda _, __, maps: seen.add(str(maps.dtype)))
    classifier = Classifier(network, card(precision=precision), "cpu")
    outcomes = list(classifier.classify(fields))
    assert seen == {f"torch.{dtype}"}
    for outcome in outcomes:
        assert sum(outcome.answer.heads[0].probabilities) == pytest.approx(1, abs=1e-6)
    # bf16 keeps 8 bits; the random network multiplies its errors.
    np.testing.assert_allclose([probabilities(o) for o in outcomes], exact, atol=0.3)


def test_a_model_that_answers_nan_is_an_error_in_words(network, fields):
    with torch.no_grad():
        network.heads["mds"].bias[0] = float("nan")
    outcomes = list(Classifier(network, card(), "cpu").classify(fields[:1]))
    assert "no finite probability" in outcomes[0].error
    assert outcomes[0].answer is None


def test_a_slide_is_the_mean_of_its_tiles(network, tmp_path):
    path = slide(tmp_path, rows=3, columns=4)
    pixels = np.asarray(Image.open(path))
    tiles = np.empty((5, 3, 4))
    for row in range(3):
        for column in range(4):
            window = pixels[row * SIDE :, column * SIDE :][:SIDE, :SIDE]
            answers = plain(network, np.ascontiguousarray(window))
            tiles[:, row, column] = np.concatenate([answers["mds"], answers["diagnosis"]])
    classifier = Classifier(network, card(), "cpu", batch_size=5)
    (outcome,) = classifier.classify([Request(1, path, is_slide=True)])
    assert outcome.error is None
    np.testing.assert_allclose(probabilities(outcome), tiles.mean(axis=(1, 2)), atol=1e-5)
    assert outcome.map.kind == "tiles"
    assert outcome.map.cell_px == (SIDE, SIDE)
    # Half precision below 1.
    np.testing.assert_allclose(values(outcome.map), tiles, atol=5e-4)
    assert np.ptp(tiles[0]) > 0.1
    assert "few-tiles" not in outcome.answer.flags
    assert not decoding_threads()


def region(role: str, *corners: tuple[float, float]) -> Region:
    return Region(id=1, smear_id=1, role=role, polygon=corners, reader="r")


def test_regions_decide_which_tiles_count(network, tmp_path):
    path = slide(tmp_path, rows=2, columns=4)
    left = ((-1, -1), (-1, 2 * SIDE), (2 * SIDE, 2 * SIDE), (2 * SIDE, -1))
    classifier = Classifier(network, card(), "cpu")
    whole, used, rest = classifier.classify(
        [
            Request(1, path, is_slide=True),
            Request(1, path, (region("use", *left),), is_slide=True),
            Request(1, path, (region("exclude", *left),), is_slide=True),
        ]
    )
    every = values(whole.map)
    assert np.isfinite(every).all()
    for outcome, columns, others in (
        (used, slice(0, 2), slice(2, 4)),
        (rest, slice(2, 4), slice(0, 2)),
    ):
        kept = values(outcome.map)
        np.testing.assert_allclose(kept[:, :, columns], every[:, :, columns], atol=1e-3)
        assert np.isnan(kept[:, :, others]).all()
        np.testing.assert_allclose(
            probabilities(outcome), kept[:, :, columns].astype(float).mean((1, 2)), atol=1e-3
        )


def test_a_slide_with_fewer_tiles_than_in_training_is_flagged(network, tmp_path):
    request = Request(1, slide(tmp_path, rows=1, columns=3), is_slide=True)
    (outcome,) = Classifier(network, card(), "cpu").classify([request])
    assert "few-tiles" in outcome.answer.flags


def test_a_slide_without_a_usable_tile_is_an_error_in_words(network, tmp_path):
    everything = ((-1, -1), (-1, 9999), (9999, 9999), (9999, -1))
    path = slide(tmp_path, rows=2, columns=2)
    requests = [Request(1, path, (region("exclude", *everything),), is_slide=True)]
    (outcome,) = Classifier(network, card(), "cpu").classify(requests)
    assert outcome.answer is None
    assert "slide0.png" in outcome.error
    assert "usable" in outcome.error


def test_fields_and_slides_keep_their_order(network, fields, tmp_path):
    tiled = [Request(n, slide(tmp_path, 2, 2, seed=n), is_slide=True) for n in (1, 2)]
    mixed = [fields[0], tiled[0], *fields[1:4], tiled[1], Request(3, tmp_path / "missing.png")]
    outcomes = list(Classifier(network, card(), "cpu", batch_size=2).classify(mixed))
    assert [outcome.smear_id for outcome in outcomes] == [10, 1, 11, 12, 13, 2, 3]
    kinds = [outcome.map.kind if outcome.map else None for outcome in outcomes]
    assert kinds == ["activation", "tiles", "activation", "activation", "activation", "tiles", None]


def test_a_cancellation_within_a_slide_stops_it(network, tmp_path):
    asked = []

    def check():
        asked.append(None)
        if len(asked) == 4:
            raise Cancelled("stop")

    request = Request(1, slide(tmp_path, rows=4, columns=4), is_slide=True)
    with pytest.raises(Cancelled):
        list(Classifier(network, card(), "cpu", batch_size=2).classify([request], check))
    assert len(asked) == 4
    assert not decoding_threads()


def test_one_setting_bounds_the_threads_of_torch_and_those_that_decode(network):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert Classifier(network, card(), "cpu").threads == 3
    finally:
        torch.set_num_threads(before)


def test_auto_chooses_the_gpu_where_there_is_one(network):
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert Classifier(network, card()).device.type == expected


def calibration(unsure_below: float | None = None, **changes: object) -> Calibration:
    heads = {
        "mds": HeadCalibration(temperature=2, unsure_below=1, conformal=(None, None), patients=40),
        "diagnosis": HeadCalibration(
            temperature=0.5, unsure_below=unsure_below, conformal=(None,) * 3, patients=40
        ),
    }
    return Calibration(heads=heads, source="40 patients", **changes)


def flags_of(outcomes) -> list[set[str]]:
    return [set(outcome.answer.flags) - {"heads-disagree"} for outcome in outcomes]


def test_answers_are_softened_by_the_temperature_of_each_head(network, fields):
    plainly = list(Classifier(network, card(), "cpu").classify(fields))
    served = list(Classifier(network, card(calibration=calibration()), "cpu").classify(fields))
    for before, after in zip(plainly, served, strict=True):
        assert before.answer.calls == after.answer.calls
        for one, temperature in ((0, 2), (1, 0.5)):
            raw = np.log(before.answer.heads[one].probabilities)
            wanted = softmax(raw / temperature)
            np.testing.assert_allclose(after.answer.heads[one].probabilities, wanted, rtol=1e-5)
        assert before.map == after.map


def test_a_call_below_the_threshold_of_the_primary_head_is_unsure(network, fields):
    served = list(Classifier(network, card(calibration=calibration()), "cpu").classify(fields))
    top = [max(outcome.answer.heads[1].probabilities) for outcome in served]
    threshold = float(np.median(top))
    assert min(top) < threshold
    own = card(calibration=calibration(threshold))
    flagged = flags_of(Classifier(network, own, "cpu").classify(fields))
    assert flagged == [{"unsure"} if one < threshold else set() for one in top]
    # The other head's threshold is 1: it alone would flag everything.
    assert all(not one for one in flags_of(served))


def features_of(network: MultiHeadNetwork, pixels: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        maps = network.eval().feature_maps(normalise(to_batch([pixels]), card().preprocessing))
    return network.pool(maps)[0].double().numpy()


def test_a_smear_far_from_the_training_set_is_flagged(network, fields, tmp_path):
    seen = [features_of(network, blotches(SIDE, SIDE, seed)) for seed in range(200, 260)]
    reference = Reference.fit(np.array(seen[:30]))
    usual = reference.distances(np.array(seen[30:]))
    limits = calibration(distances=tuple(sorted(usual.tolist())), distance_patients=30)
    black = tmp_path / "black.png"
    Image.fromarray(np.full((SIDE, SIDE, 3), (0, 255, 0), np.uint8)).save(black)
    near = tmp_path / "near.png"
    Image.fromarray(blotches(SIDE, SIDE, 500)).save(near)
    requests = [Request(1, near), Request(2, black), Request(3, near)]
    own = card(calibration=limits)
    outcomes = list(Classifier(network, own, "cpu", 2, reference=reference).classify(requests))
    assert flags_of(outcomes) == [set(), {"unlike-training"}, set()]
    for kept in (
        Classifier(network, own, "cpu"),
        Classifier(network, card(), "cpu", reference=reference),
        Classifier(network, card(calibration=calibration()), "cpu", reference=reference),
    ):
        assert flags_of(kept.classify(requests)) == [set()] * 3


def test_a_slide_is_judged_by_the_mean_of_its_tiles(network, tmp_path):
    path = slide(tmp_path, rows=2, columns=3)
    pixels = np.asarray(Image.open(path))
    windows = [
        np.ascontiguousarray(pixels[row * SIDE :, column * SIDE :][:SIDE, :SIDE])
        for row in range(2)
        for column in range(3)
    ]
    mean = np.mean([features_of(network, one) for one in windows], axis=0)
    seen = [features_of(network, blotches(SIDE, SIDE, seed)) for seed in range(200, 230)]
    reference = Reference.fit(np.array(seen))
    distance = float(reference.distances(mean[None])[0])
    whole = np.mean([np.concatenate(list(plain(network, one).values())) for one in windows], 0)
    request = Request(1, path, is_slide=True)
    for usual, flags in ((distance * 0.999, {"unlike-training"}), (distance * 1.001, set())):
        limits = calibration(distances=(usual,), distance_patients=100)
        own = card(calibration=limits)
        classifier = Classifier(network, own, "cpu", batch_size=4, reference=reference)
        (outcome,) = classifier.classify([request])
        assert flags_of([outcome]) == [flags]
        # The temperature is that of the mean, not of each tile.
        np.testing.assert_allclose(
            outcome.answer.heads[0].probabilities, softmax(np.log(whole[:2]) / 2), rtol=1e-4
        )
