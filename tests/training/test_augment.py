"""Copies: Keras's geometry against scipy, and each copy a function of its own name alone."""

from __future__ import annotations

from collections import Counter
from functools import cache
from math import cos, radians, tan

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from marrow.synthetic import cohort, render_field
from training.affine import about_centre, rotation, shear, shift, to_uint8, warp, zoom
from training.augment import (
    AFFINE,
    METHODS,
    SEED8,
    Copy,
    Seed8,
    affine_draw,
    affine_map,
    copies_of,
    make_copies,
    seed2022_copies,
)
from training.draws import uniform_draws
from training.zca import ConvZCA, Whitening

SQUARE, OBLONG = (64, 64), (64, 96)


@cache
def smear(height: int, width: int, number: int = 0) -> torch.Tensor:
    """A window of a synthetic field, uint8 (3, H, W)."""
    patient = cohort({"AA": 1, "MDS": 1, "AML": 1}, seed=3)[number % 3]
    pixels = render_field(patient, number, 192, 0.4).image[:height, :width]
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)


def batch(count: int, height: int = 64, width: int = 64) -> torch.Tensor:
    fields = [smear(192, 192, number) for number in range(3)]
    return torch.stack(
        [fields[n % 3][:, n : n + height, 2 * n : 2 * n + width] for n in range(count)]
    )


def keras_by_scipy(image: torch.Tensor, own: np.ndarray) -> np.ndarray:
    """Keras's apply_affine_transform: matrix about the centre, order 1, nearest, per colour."""
    height, width = image.shape[1:]
    centre = np.array([height / 2 - 0.5, width / 2 - 0.5])
    offset = own[:2, :2] @ -centre + own[:2, 2] + centre
    planes = [
        ndimage.affine_transform(plane, own[:2, :2], offset, order=1, mode="nearest")
        for plane in image.numpy()
    ]
    return np.stack(planes)


def random_maps(height: int, width: int) -> list[np.ndarray]:
    """20 products of all four changes, in Keras's order (rotation, shift, shear, zoom)."""
    rng = np.random.default_rng(20)
    return [
        rotation(rng.uniform(-35, 35))
        @ shift(*(rng.uniform(-0.35, 0.35, 2) * (height, width)))
        @ shear(rng.uniform(-35, 35))
        @ zoom(*rng.uniform(0.65, 1.35, 2))
        for _ in range(20)
    ]


@pytest.mark.parametrize("shape", [SQUARE, OBLONG])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_reads_the_same_places_as_scipy(shape, dtype, tolerance):
    images = batch(20, *shape).double() / 255
    owns = random_maps(*shape)
    made = warp(images.to(dtype), [about_centre(own, *shape) for own in owns], "border")
    wanted = [keras_by_scipy(image, own) for image, own in zip(images, owns, strict=True)]
    np.testing.assert_allclose(made.double().numpy(), np.stack(wanted), atol=tolerance, rtol=0)


@pytest.mark.parametrize("shape", [SQUARE, OBLONG])
def test_rounds_as_scipy_does(shape):
    pixels = batch(20, *shape)
    owns = random_maps(*shape)
    made = to_uint8(warp(pixels.float(), [about_centre(own, *shape) for own in owns], "border"))
    wanted = np.stack(
        [keras_by_scipy(one.double(), own) for one, own in zip(pixels, owns, strict=True)]
    )
    apart = np.abs(made.numpy().astype(int) - np.clip(wanted, 0, 255).round().astype(int))
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.001


@pytest.mark.parametrize("shape", [SQUARE, OBLONG])
@pytest.mark.parametrize(("rows", "columns"), [(5, 0), (-7, 0), (0, 11), (3, -4)])
def test_a_shift_by_whole_pixels_is_a_roll_with_the_edge_repeated(shape, rows, columns):
    pixels = batch(2, *shape)
    own = about_centre(shift(rows, columns), *shape)
    made = to_uint8(warp(pixels.float(), [own, own], "border"))
    down = np.clip(np.arange(shape[0]) + rows, 0, shape[0] - 1)
    across = np.clip(np.arange(shape[1]) + columns, 0, shape[1] - 1)
    np.testing.assert_array_equal(made.numpy(), pixels.numpy()[:, :, down][:, :, :, across])


def test_keras_shear_has_the_determinant_cos_of_its_angle():
    assert np.linalg.det(shear(35)) == pytest.approx(cos(radians(35)), abs=1e-15)


def centre_of_dot(own: np.ndarray, row: int, column: int) -> tuple[float, float]:
    """Where a blurred dot at (row, column) from the centre comes to lie, from the centre."""
    image = np.zeros((101, 101))
    image[50 + row, 50 + column] = 1.0
    image = ndimage.gaussian_filter(image, 2.0)
    made = warp(torch.from_numpy(image)[None, None], [about_centre(own, 101, 101)], "border")
    found = ndimage.center_of_mass(made[0, 0].numpy())
    return found[0] - 50, found[1] - 50


def test_sign_of_each_change():
    # Bilinear reading of a blurred dot moves its centre of mass by far less than 0.02 px.
    near = {"abs": 0.02}
    angle = radians(35)
    right = centre_of_dot(rotation(35), 0, 20)
    assert right == pytest.approx((20 * np.sin(angle), 20 * cos(angle)), **near)  # clockwise
    right = centre_of_dot(shear(35), 0, 20)
    assert right == pytest.approx((20 * tan(angle), 20 / cos(angle)), **near)  # lower, further
    assert centre_of_dot(shear(35), 20, 0) == pytest.approx((20, 0), **near)
    assert centre_of_dot(shift(6, -4), 0, 0) == pytest.approx((-6, 4), **near)
    assert centre_of_dot(zoom(0.5, 0.8), 10, 10) == pytest.approx((20, 12.5), **near)


@pytest.mark.parametrize(
    ("method", "name", "low", "high"),
    [
        ("rotation", "degrees", -35, 35),
        ("width-shift", "columns", -0.35, 0.35),
        ("height-shift", "rows", -0.35, 0.35),
        ("shear", "shear_degrees", -35, 35),
        ("zoom", "zoom_rows", 0.65, 1.35),
        ("zoom", "zoom_columns", 0.65, 1.35),
    ],
)
def test_parameters_are_uniform_over_the_papers_range(method, name, low, high):
    drawn = [affine_draw(0, f"view-{n}", Copy(method, n % 3))[name] for n in range(10_000)]
    assert low <= min(drawn)
    assert max(drawn) < high
    # A fixed seed: the p-value is one number, not a lottery.
    assert stats.kstest(drawn, stats.uniform(low, high - low).cdf).pvalue > 0.01


def test_zoom_is_drawn_for_each_axis_apart():
    drawn = [affine_draw(0, f"view-{n}", Copy("zoom", 0)) for n in range(2000)]
    pairs = np.array([[one["zoom_rows"], one["zoom_columns"]] for one in drawn])
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 0.06  # 2.6 standard errors of 2,000 pairs


def test_the_papers_other_readings_are_options():
    exact = Seed8(is_exact=True)
    angles = [affine_draw(0, f"v{n}", Copy("rotation", 0), exact)["degrees"] for n in range(200)]
    counted = Counter(angles)
    assert set(counted) == {-35.0, 35.0}
    assert counted[35.0] == pytest.approx(100, abs=25)
    closer = SEED8._replace(zoom=(0.65, 1.0), is_isotropic=True)
    zooms = [affine_draw(0, f"v{n}", Copy("zoom", 0), closer) for n in range(200)]
    assert all(one["zoom_rows"] == one["zoom_columns"] < 1 for one in zooms)
    wide = SEED8._replace(width_shift=0.40)
    moved = [affine_draw(0, f"v{n}", Copy("width-shift", 0), wide)["columns"] for n in range(500)]
    assert max(map(abs, moved)) > 0.36


def test_shifts_are_shares_of_their_own_edge():
    by_width = affine_map({"columns": 0.25}, 64, 96)
    by_height = affine_map({"rows": 0.25}, 64, 96)
    assert by_width[:2, 2].tolist() == [0, 24]
    assert by_height[:2, 2].tolist() == [16, 0]


def test_draws_are_the_same_everywhere_and_longer_lists_begin_alike():
    # First 8 bytes of `printf '0\na\nzoom\n1' | openssl dgst -shake256 -xoflen 8`, little-endian.
    assert uniform_draws((0, "a", "zoom", 1), 1) == (FIRST_DRAW,)
    assert uniform_draws((0, "a", "zoom", 1), 9)[0] == FIRST_DRAW


FIRST_DRAW = (0xAAB0579E6629BD08 >> 11) / 2**53


def test_copies_of_each_preset():
    assert copies_of("none", 4) == (Copy("original", 0),)
    gentle = copies_of("gentle", 3)
    assert gentle == (Copy("original", 0), *(Copy("gentle", n) for n in range(3)))
    seed8 = copies_of("seed8", 4)
    assert seed8[0] == Copy("original", 0)
    assert len(seed8) == len(set(seed8)) == 19
    counts = Counter(copy.method for copy in seed8[1:])
    assert counts == {**dict.fromkeys(AFFINE, 3), **dict.fromkeys(METHODS[5:], 1)}


def test_the_papers_24_copies_are_18_distinct_ones():
    copies = seed2022_copies()
    assert len({copy for copy, _ in copies}) == len(copies) == 18
    assert sum(count for _, count in copies) == 24
    by_method = Counter(dict.fromkeys(METHODS, 0))
    for copy, count in copies:
        by_method[copy.method] += count
    assert by_method == dict.fromkeys(METHODS, 3)


@pytest.fixture(scope="module")
def whitening() -> Whitening:
    return Whitening.fit(batch(12))


EVERY = [
    *[Copy(method, n) for method in AFFINE for n in range(3)],
    Copy("original", 0),
    Copy("horizontal-flip", 0),
    Copy("vertical-flip", 0),
    Copy("zca", 0),
    *[Copy("gentle", n) for n in range(6)],
]


def test_a_copy_is_the_same_in_whatever_batch(whitening):
    pixels = batch(len(EVERY))
    places = [f"smear-{n}" for n in range(len(EVERY))]
    together = make_copies(pixels, places, EVERY, 5, whitening)
    for row in range(len(EVERY)):
        own = slice(row, row + 1)
        alone = make_copies(pixels[own], places[own], EVERY[own], 5, whitening)
        assert torch.equal(alone[0], together[row]), EVERY[row]
    order = torch.randperm(len(EVERY), generator=torch.Generator().manual_seed(1)).tolist()
    turned = make_copies(
        pixels[order], [places[n] for n in order], [EVERY[n] for n in order], 5, whitening
    )
    assert torch.equal(turned, together[order])
    planes_last = pixels.contiguous(memory_format=torch.channels_last)
    again = make_copies(planes_last, places, EVERY, 5, whitening)
    assert torch.equal(again, together)
    assert again.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("count", [1, 3, 17])
def test_odd_sizes_and_many_threads_change_no_bit(count):
    pixels = batch(count, 61, 83)
    copies = [EVERY[n % 15] if n % 2 else Copy("gentle", n) for n in range(count)]
    places = [f"smear-{n}" for n in range(count)]
    threads = torch.get_num_threads()
    made = []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            made.append(make_copies(pixels, places, copies, 0))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*made)
    alone = make_copies(pixels[-1:], places[-1:], copies[-1:], 0)
    assert torch.equal(alone[0], made[0][-1])


def test_seed_place_method_and_number_each_make_another_copy():
    pixels = batch(1)
    first = make_copies(pixels, ["a"], [Copy("rotation", 0)], 0)
    for place, copy, seed in (
        ("b", Copy("rotation", 0), 0),
        ("a:0:1", Copy("rotation", 0), 0),
        ("a", Copy("rotation", 1), 0),
        ("a", Copy("rotation", 0), 1),
    ):
        assert not torch.equal(make_copies(pixels, [place], [copy], seed), first)


def test_torchs_own_generator_takes_no_part():
    pixels = batch(4)
    copies = [Copy("gentle", n) for n in range(4)]
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = make_copies(pixels, list("abcd"), copies, 0)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(make_copies(pixels, list("abcd"), copies, 0), first)


def test_original_and_flips_are_exact_and_the_input_stays(whitening):
    pixels = batch(3)
    before = pixels.clone()
    copies = [Copy("original", 0), Copy("horizontal-flip", 0), Copy("vertical-flip", 0)]
    made = make_copies(pixels, list("abc"), copies, 0, whitening)
    assert torch.equal(made[0], before[0])
    assert torch.equal(made[1], before[1].flip(2))  # columns: left and right
    assert torch.equal(made[2], before[2].flip(1))
    assert torch.equal(pixels, before)
    assert made.dtype == torch.uint8


def test_each_affine_copy_is_its_own_method_by_scipy():
    pixels = batch(15, *OBLONG)
    copies = EVERY[:15]
    places = [f"smear-{n}" for n in range(15)]
    made = make_copies(pixels, places, copies, 9)
    for row, copy in enumerate(copies):
        drawn = affine_draw(9, places[row], copy)
        own = {
            "rotation": lambda d: rotation(d["degrees"]),
            "width-shift": lambda d: shift(0, d["columns"] * 96),
            "height-shift": lambda d: shift(d["rows"] * 64, 0),
            "shear": lambda d: shear(d["shear_degrees"]),
            "zoom": lambda d: zoom(d["zoom_rows"], d["zoom_columns"]),
        }[copy.method](drawn)
        wanted = keras_by_scipy(pixels[row].double(), own).round()
        assert np.abs(made[row].numpy() - wanted).max() <= 1, copy


def test_refuses_a_whitening_copy_without_its_whitening(whitening):
    pixels = batch(1)
    with pytest.raises(ValueError, match="'zca' with whitening None"):
        make_copies(pixels, ["a"], [Copy("zca", 0)], 0)
    with pytest.raises(ValueError, match="'convzca' with whitening Whitening"):
        make_copies(pixels, ["a"], [Copy("convzca", 0)], 0, whitening)
    with pytest.raises(ValueError, match="'mixup'"):
        make_copies(pixels, ["a"], [Copy("mixup", 0)], 0)


def test_whitening_copies_are_what_the_whitening_makes(whitening):
    pixels = batch(2)
    made = make_copies(pixels, list("ab"), [Copy("zca", 0), Copy("original", 0)], 0, whitening)
    assert torch.equal(made[0], whitening.apply(pixels[:1])[0])
    local = ConvZCA.fit(batch(12))
    made = make_copies(pixels, list("ab"), [Copy("original", 0), Copy("convzca", 0)], 0, local)
    assert torch.equal(made[1], local.apply(pixels[1:])[0])
