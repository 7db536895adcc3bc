from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from training.preprocess import Preprocessing, fit_image, normalise, to_batch


def smear(height: int, width: int, seed: int = 0) -> np.ndarray:
    # Blotches of several pixels: on pure noise every resampling looks alike, namely grey.
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("shape", [(1024, 1024), (575, 575), (300, 700), (64, 64), (20, 30)])
def test_agrees_with_pillow_to_one_grey_level(shape):
    image = smear(*shape)
    fitted = fit_image(image, 64)
    reference = np.asarray(Image.fromarray(image).resize((64, 64), Image.Resampling.BILINEAR))
    assert fitted.shape == (64, 64, 3)
    assert fitted.dtype == np.uint8
    assert fitted.flags.c_contiguous
    # Both round intermediate sums to whole grey levels, each in its own way.
    assert np.abs(fitted.astype(int) - reference.astype(int)).max() <= 1


def test_averages_instead_of_skipping_pixels():
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = (
        255  # without antialias every eighth column is all that is seen; the edge weighs its own
    )
    fitted = fit_image(stripes, 64)
    assert np.abs(fitted[:, 1:-1].astype(int) - 127).max() <= 2


def test_squeezes_the_whole_image():
    image = np.zeros((100, 400, 3), np.uint8)
    image[:, 200:] = 255
    fitted = fit_image(image, 32)
    assert fitted[:, :15].max() == 0
    assert fitted[:, 17:].min() == 255


def test_an_image_of_the_right_size_is_unchanged():
    image = smear(64, 64)
    np.testing.assert_array_equal(fit_image(image, 64), image)


def test_same_pixels_whatever_the_memory_layout():
    image = smear(200, 150)
    wanted = fit_image(image, 64)
    planes_first = np.ascontiguousarray(image.transpose(2, 0, 1)).transpose(1, 2, 0)
    reversed_twice = image[::-1].copy()[::-1]
    read_only = image.copy()
    read_only.flags.writeable = False
    for other in (planes_first, reversed_twice, read_only):
        np.testing.assert_array_equal(fit_image(other, 64), wanted)


def test_same_pixels_from_many_threads():
    images = [smear(300, 200, seed) for seed in range(16)]
    alone = [fit_image(image, 64) for image in images]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda image: fit_image(image, 64), images))
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_refuses_what_is_no_colour_image(wrong):
    with pytest.raises(ValueError, match="wanted uint8"):
        fit_image(wrong, 64)


def test_normalise_is_torchvisions_formula_channel_by_channel():
    images = [smear(64, 64, seed) for seed in range(3)]
    batch = to_batch(images)
    assert batch.shape == (3, 3, 64, 64)
    assert batch.dtype == torch.uint8
    assert batch.is_contiguous(memory_format=torch.channels_last)
    preprocessing = Preprocessing(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    scaled = normalise(batch, preprocessing)
    assert scaled.dtype == torch.float32
    assert scaled.is_contiguous(memory_format=torch.channels_last)
    for channel, (mean, std) in enumerate(zip((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), strict=True)):
        by_hand = (images[2][:, :, channel] / 255 - mean) / std
        # Float32 against float64.
        np.testing.assert_allclose(scaled[2, channel].numpy(), by_hand, atol=1e-6)
    assert batch.dtype == torch.uint8


def test_hash_is_of_every_field_and_does_not_drift():
    first = Preprocessing()
    assert first.hash == Preprocessing.model_validate_json(first.model_dump_json()).hash
    others = {
        Preprocessing(input_px=224).hash,
        Preprocessing(mean=(0.5, 0.5, 0.5)).hash,
        Preprocessing(std=(0.5, 0.5, 0.5)).hash,
        Preprocessing(field_of_view_um=102.4).hash,
        Preprocessing(version=2).hash,
        first.hash,
    }
    assert len(others) == 6
    # Predictions are stored under this hash: a change must be meant.
    assert first.hash == "777bc5f455708bd79579eac8e707271ccd8a706e2ac724e67db5d04b1ab706f3"
