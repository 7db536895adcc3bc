"""The gentle preset: exact turns, small changes, stain in optical density."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from training.gentle import Gentle, change_gently, gentle_draw

STILL = Gentle(0, False, 0.0, 1.0, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))


def pixels_of(height: int, width: int) -> torch.Tensor:
    coarse = np.random.default_rng(4).uniform(0, 255, (1, 3, 9, 9))
    smooth = ndimage.zoom(coarse, (1, 1, height / 9, width / 9), order=1)
    return torch.from_numpy(smooth.round().astype(np.uint8))


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("is_mirrored", [False, True])
def test_turns_and_mirror_images_are_exact(turns, is_mirrored):
    pixels = pixels_of(37, 37)
    wanted = torch.rot90(pixels, -turns, (2, 3))  # torch turns counter-clockwise
    if is_mirrored:
        wanted = wanted.flip(3)
    change = STILL._replace(quarter_turns=turns, is_mirrored=is_mirrored)
    assert torch.equal(change_gently(pixels, [change]), wanted)


def test_an_image_that_is_no_square_is_never_turned_on_its_side():
    drawn = [gentle_draw(0, f"v{n}", 0, is_square=False).quarter_turns for n in range(200)]
    assert set(drawn) == {0, 2}
    pixels = pixels_of(40, 60)
    made = change_gently(pixels, [STILL._replace(quarter_turns=2)])
    assert torch.equal(made, pixels.flip((2, 3)))


def test_angle_and_zoom_are_scipys_with_mirrored_edges():
    pixels = pixels_of(48, 64)
    change = STILL._replace(degrees=7.0, zoom=1.08)
    c, s = np.cos(np.radians(7.0)), np.sin(np.radians(7.0))
    matrix = 1.08 * np.array([[c, -s], [s, c]])
    centre = np.array([23.5, 31.5])
    wanted = [
        ndimage.affine_transform(plane, matrix, centre - matrix @ centre, order=1, mode="mirror")
        for plane in pixels[0].double().numpy()
    ]
    made = change_gently(pixels, [change])[0].numpy().astype(int)
    apart = np.abs(made - np.round(wanted))
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.001


def test_stain_changes_the_density_of_each_colour_by_gain_and_offset():
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(1, 3, 1, 1)
    change = STILL._replace(gain=(1.1, 0.9, 1.0), offset=(0.05, -0.05, 0.0))
    made = change_gently(pixels, [change])[0].numpy().reshape(3, 256)
    level = np.arange(1, 256)
    density = -np.log(level / 255)
    for colour, (gain, offset) in enumerate(zip(change.gain, change.offset, strict=True)):
        wanted = np.clip(255 * np.exp(-gain * density - offset), 0, 255)
        # Half a level of rounding, and float32.
        assert np.abs(made[colour, 1:] - wanted).max() <= 0.5001
    assert made[2].tolist() == [1, *range(1, 256)]  # black counts as level 1


def test_draws_stay_within_their_ranges_and_fill_them():
    drawn = [gentle_draw(3, f"view-{n}", n % 4) for n in range(10_000)]
    ranges = {"degrees": (-10, 10), "zoom": (0.9, 1.1)}
    columns = {name: [getattr(one, name) for one in drawn] for name in ranges}
    for colour in range(3):
        ranges |= {f"gain{colour}": (0.9, 1.1), f"offset{colour}": (-0.05, 0.05)}
        columns[f"gain{colour}"] = [one.gain[colour] for one in drawn]
        columns[f"offset{colour}"] = [one.offset[colour] for one in drawn]
    least = 0.01 / 9  # nine tests, 1% that any of them is unlucky with a perfect generator
    for name, (low, high) in ranges.items():
        assert low <= min(columns[name])
        assert max(columns[name]) < high
        assert stats.kstest(columns[name], stats.uniform(low, high - low).cdf).pvalue > least
    eighths = np.bincount([2 * one.quarter_turns + one.is_mirrored for one in drawn], minlength=8)
    assert stats.chisquare(eighths).pvalue > least
    independent = np.corrcoef(np.array(list(columns.values()))) - np.eye(len(columns))
    assert np.abs(independent).max() < 0.04  # 4 standard errors of 10,000 pairs


def test_seed_place_and_number_each_draw_anew_and_again_the_same():
    first = gentle_draw(0, "a", 0)
    assert first == gentle_draw(0, "a", 0)
    others = {gentle_draw(1, "a", 0), gentle_draw(0, "a:0:0", 0), gentle_draw(0, "a", 1)}
    assert first not in others
    assert len(others) == 3


def test_neighbours_in_a_batch_keep_their_own_stain():
    pixels = pixels_of(32, 32)
    dark = STILL._replace(offset=(0.05, 0.05, 0.05))
    made = change_gently(pixels.repeat(3, 1, 1, 1), [STILL, dark, STILL])
    assert torch.equal(made[0], made[2])
    assert torch.equal(made[0], pixels.clamp(min=1)[0])
    assert made[1].float().mean() < made[0].float().mean() - 3
