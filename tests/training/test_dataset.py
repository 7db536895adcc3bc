"""Views, hashes, and decoding in threads with nothing skipped in silence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from marrow.errors import UnreachableSmear
from marrow.images import open_smear
from training.dataset import Decoder, View, data_hash, views_of
from training.preprocess import Preprocessing, fit_image

SIZE = Preprocessing(input_px=32)


def test_hash_of_the_data_ignores_order_and_ids_but_not_answers(make_smears, scheme):
    smears = make_smears([("a", "AA"), ("b", "MDS")])
    renumbered = [
        replace(s, smear=s.smear.model_copy(update={"id": 90 + s.smear.id})) for s in smears
    ]
    assert data_hash(smears) == data_hash(renumbered[::-1])
    changed = replace(smears[1], answers=scheme.complete({"diagnosis": "AML"}))
    assert data_hash([smears[0], changed]) != data_hash(smears)


def test_decodes_in_the_order_asked_for(make_smears):
    smears = make_smears([(f"p{i}", "AA") for i in range(7)])
    groups = [[View(6), View(0)], [View(3)], [View(1), View(1), View(5)]]
    decoded = list(Decoder(smears, SIZE, 0).batches(groups))
    assert [read for read, _ in decoded] == [[0, 1], [0], [0, 1, 2]]
    for group, (_, pixels) in zip(groups, decoded, strict=True):
        for view, one in zip(group, pixels, strict=True):
            expected = fit_image(np.array(Image.open(smears[view.smear].path)), 32)
            np.testing.assert_array_equal(one.permute(1, 2, 0).numpy(), expected)


def test_an_unreadable_file_is_skipped_with_its_reason(make_smears):
    smears = make_smears([("a", "AA"), ("b", "MDS"), ("c", "AML")])
    smears[1].path.write_bytes(smears[1].path.read_bytes()[:60])
    decoder = Decoder(smears, SIZE, 0)
    decoded = list(decoder.batches([views_of(smears, 4), [View(1)]]))
    assert decoded[0][0] == [0, 2]
    assert decoded[0][1].shape == (2, 3, 32, 32)
    assert decoded[1] == ([], None)
    assert list(decoder.skipped) == [2]
    assert decoder.skipped[2]


def test_a_file_that_is_not_there_ends_it(make_smears):
    # Training without it would give another model than the labels say.
    smears = make_smears([("a", "AA")])
    smears[0].path.unlink()
    with pytest.raises(UnreachableSmear):
        list(Decoder(smears, SIZE, 0).batches([[View(0)]]))


@pytest.fixture
def slide(make_smears, tmp_path):
    """A slide of 3 x 3 tiles of 32 px, each of its own grey-pink."""
    smear = make_smears([("a", "AA")])[0]
    values = 90 + 10 * np.arange(9).reshape(3, 3).repeat(32, 0).repeat(32, 1)
    pixels = np.stack([values + 40, values - 40, values], axis=2).astype(np.uint8)
    path = tmp_path / "slide.png"
    Image.fromarray(pixels).save(path)
    record = smear.smear.model_copy(update={"is_slide": True, "height_px": 96, "width_px": 96})
    return replace(smear, smear=record, path=path)


def test_a_slide_gives_a_seeded_choice_of_its_tiles(slide):
    def seen(seed, count):
        groups = [views_of([slide], count)]
        ((read, pixels),) = Decoder([slide], SIZE, seed).batches(groups)
        return read, sorted(int(one[2].float().mean().round()) for one in pixels)

    read, four = seen(0, 4)
    assert read == [0, 1, 2, 3]
    assert len(set(four)) == 4  # of different places
    assert seen(0, 4) == (read, four)
    assert len({tuple(seen(seed, 4)[1]) for seed in range(8)}) > 1
    with open_smear(slide.path) as image:
        assert image.whole().shape == (96, 96, 3)


def test_a_slide_with_fewer_tiles_gives_fewer_pictures(slide):
    ((read, pixels),) = Decoder([slide], SIZE, 0).batches([views_of([slide], 20)])
    assert read == list(range(9))
    assert len(pixels) == 9
