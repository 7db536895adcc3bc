"""The usable area and the tile grid, against cases worked by hand and real slides."""

import os
from pathlib import Path

import numpy as np
import pytest

from marrow.images import SmearImage, open_smear
from marrow.images.smear import WholeLevel
from marrow.tiles import is_stained, read_tile, tile_grid, usable_area

REAL = os.environ.get("MARROW_TEST_DATA")
real = pytest.mark.skipif(not REAL, reason="MARROW_TEST_DATA is not set")
GLASS, STAIN = (245, 243, 243), (180, 90, 150)


def smear_of(pixels, pixel_size_um=None, coarser=()):
    levels = [
        WholeLevel(one.shape[:2], lambda one=one: one.copy(), one.nbytes)
        for one in (pixels, *coarser)
    ]
    return SmearImage(Path("smear.tif"), levels, pixel_size_um)


def glass(height, width):
    return np.full((height, width, 3), GLASS, np.uint8)


@pytest.mark.parametrize(
    ("colour", "stained"),
    [
        ((255, 255, 255), False),
        ((245, 243, 243), False),  # glass of a scanned slide
        ((226, 214, 220), False),  # glass under a lamp that is slightly off white
        ((215, 170, 160), True),  # a pale red cell
        ((150, 150, 150), True),  # an underexposed field: grey, but not bright
        ((90, 50, 140), True),  # a nucleus
        ((30, 20, 39), False),  # never lit
        ((0, 0, 0), False),
    ],
)
def test_tells_stain_from_glass_and_darkness(colour, stained):
    assert is_stained(np.full((2, 2, 3), colour, np.uint8)).all() == stained


def test_the_mask_is_where_the_stain_is():
    pixels = glass(640, 960)
    pixels[320:, 480:] = STAIN

    mask = usable_area(smear_of(pixels))

    # 32 px a cell: 20 x 30 cells, the stain begins at cell (10, 15)
    assert mask.shape == (20, 30)
    assert mask[10:, 15:].all()
    assert mask.sum() == 10 * 15


def test_a_cell_of_the_mask_is_8_um_where_the_pixel_size_is_known():
    # 0.5 um a pixel: 16 px a cell
    assert usable_area(smear_of(glass(640, 960), 0.5)).shape == (40, 60)


def test_regions_limit_the_area_in_pixels_of_level_0():
    pixels = np.full((640, 640, 3), STAIN, np.uint8)
    left = np.array([(0, 0), (0, 320), (640, 320), (640, 0)], float)
    top = np.array([(0, 0), (0, 640), (320, 640), (320, 0)], float)

    def area(**regions):
        return usable_area(smear_of(pixels), **regions)

    assert area().all()
    both = area(use=[left], exclude=[top])
    assert both[10:, :10].all()
    assert both.sum() == 100
    assert area(use=[left, top]).sum() == 300  # three of four quarters
    assert area(exclude=[left, top]).sum() == 100


def test_a_used_region_makes_no_glass_usable():
    everything = np.array([(0, 0), (0, 640), (640, 640), (640, 0)], float)
    assert not usable_area(smear_of(glass(640, 640)), use=[everything]).any()


def test_tiles_lie_side_by_side_where_half_of_them_is_usable():
    mask = np.zeros((4, 6), bool)  # 32 px a cell; tiles of 64 px are 2 x 2 cells
    mask[0, 0:2] = True  # tile (0, 0): exactly one half
    mask[1, 2] = True  # tile (0, 1): one quarter
    mask[2:4, 4:6] = True  # tile (1, 2): all

    tiles = tile_grid(smear_of(glass(128, 192)), 64, None, mask)

    assert tiles.grid == (2, 3)
    assert tiles.size_px == 64
    assert tiles.index.tolist() == [[0, 0], [1, 2]]
    assert tiles.positions.tolist() == [[0, 0], [64, 128]]
    assert tiles.positions.dtype == np.int64
    assert len(tiles) == 2


def test_what_lies_beyond_the_edge_is_not_usable():
    # 150 px: the last tile of 100 px is half on the smear, at 149 px a little less
    for height, rows in ((150, 2), (149, 1)):
        mask = np.ones((5, 5), bool)
        tiles = tile_grid(smear_of(glass(height, 100)), 100, None, mask)
        assert tiles.grid == (2, 1)
        assert len(tiles) == rows


def test_tiles_need_not_fit_the_cells_of_the_mask():
    # 3 cells of 100 px, the middle one usable; tiles of 150 px: each has 50 of its 150 px in it
    mask = np.array([[False, True, False]])
    assert len(tile_grid(smear_of(glass(150, 300)), 150, None, mask)) == 0
    # tiles of 60 px: [60, 120) has a third, [120, 180) all, [180, 240) a third
    tiles = tile_grid(smear_of(glass(60, 300)), 60, None, mask)
    assert tiles.index.tolist() == [[0, 2]]


def test_the_field_of_view_sets_the_size_of_a_tile():
    mask = np.ones((4, 4), bool)
    image = smear_of(glass(512, 512), 0.5)
    assert tile_grid(image, 256, 64.0, mask).size_px == 128  # 64 um at 0.5 um a pixel
    assert tile_grid(image, 256, None, mask).size_px == 256
    assert tile_grid(smear_of(glass(512, 512)), 256, 64.0, mask).size_px == 256


def test_no_usable_area_gives_no_tiles():
    image = smear_of(glass(512, 512))
    tiles = tile_grid(image, 128, None, usable_area(image))
    assert len(tiles) == 0
    assert tiles.positions.shape == tiles.index.shape == (0, 2)
    assert tiles.grid == (4, 4)


def test_a_tile_is_read_from_the_level_that_is_fine_enough():
    fine, half = np.full((400, 400, 3), 10, np.uint8), np.full((200, 200, 3), 20, np.uint8)
    image = smear_of(fine, coarser=[half])
    assert (read_tile(image, (0, 0), 64, 64) == 10).all()
    assert (read_tile(image, (0, 0), 126, 64) == 10).all()
    assert (read_tile(image, (0, 0), 128, 64) == 20).all()
    assert (read_tile(image, (0, 0), 256, 64) == 20).all()


def test_a_tile_shows_its_own_place_at_every_level():
    fine = np.full((400, 400, 3), 10, np.uint8)
    fine[200:264, 128:192] = 200
    image = smear_of(fine, coarser=[fine[::2, ::2]])
    for tile_px in (64, 32, 16):
        tile = read_tile(image, np.array([200, 128]), 64, tile_px)
        assert tile.shape == (tile_px, tile_px, 3)
        assert tile.dtype == np.uint8
        assert (tile == 200).all()


def test_a_tile_at_the_edge_is_white_beyond_it():
    tile = read_tile(smear_of(np.full((100, 100, 3), 10, np.uint8)), (64, 64), 64, 64)
    assert (tile[:36, :36] == 10).all()
    assert (tile[36:] == 255).all()
    assert (tile[:, 36:] == 255).all()


def test_a_tile_is_averaged_not_picked():
    board = ((np.indices((256, 256)).sum(axis=0) % 2) * 255).astype(np.uint8)
    tile = read_tile(smear_of(np.repeat(board[..., None], 3, -1)), (0, 0), 256, 64)
    np.testing.assert_allclose(tile, 127.5, atol=1)


@real
def test_finds_the_tissue_of_real_slides():
    slides = Path(REAL) / "slides"
    # shares of stained area, judged by eye on the thumbnails: about a third and two thirds
    for name, low, high in (
        ("CMU-1-Small-Region.svs", 0.30, 0.45),
        ("TCGA-CR-7395-01A-01-TS1.svs", 0.55, 0.72),
        ("kidney-48-5.tif", 0.0, 0.01),
    ):
        with open_smear(slides / name) as image:
            mask = usable_area(image)
            tiles = tile_grid(image, 256, 128.0, mask)
            assert low <= mask.mean() <= high
            assert low - 0.02 <= len(tiles) / np.prod(tiles.grid) <= high
            stained = [
                is_stained(read_tile(image, p, tiles.size_px, 64)).mean() for p in tiles.positions
            ]
            assert all(share > 0.3 for share in stained)


@real
def test_a_dark_fluorescence_slide_is_mostly_unusable():
    with open_smear(Path(REAL) / "slides" / "test3-DAPI-2-387.ndpi") as image:
        assert usable_area(image).mean() < 0.5
