"""An open smear: levels, thumbnails, lazy arrays, and reading again after memory was given up."""

import numpy as np
import pytest

from marrow.errors import UnreadableSmear
from marrow.images.boundary import TooLarge
from marrow.images.budget import PIXELS_IN_FLIGHT
from marrow.images.smear import SmearImage, WholeLevel


class Synthetic:
    """A level whose every pixel is a function of its place; knows what was read."""

    def __init__(self, height, width):
        self.shape = (height, width)
        self.largest_read = 0

    def read(self, row, column, height, width):
        self.largest_read = max(self.largest_read, height * width)
        rows = np.arange(row, row + height)[:, np.newaxis] // 64 % 256
        columns = np.arange(column, column + width)[np.newaxis] // 64 % 256
        return np.stack(np.broadcast_arrays(rows, columns, 7), axis=-1).astype(np.uint8)


@pytest.fixture
def slide(tmp_path):
    sizes = [(8000, 6000), (4000, 3000), (1000, 750)]
    return SmearImage(tmp_path / "slide.svs", [Synthetic(*size) for size in sizes])


def test_level_for_is_the_coarsest_that_is_fine_enough(slide):
    assert [slide.level_for(d) for d in (0.5, 1, 1.9, 2, 7.9, 8, 100)] == [0, 0, 0, 1, 1, 2, 2]


def test_level_for_allows_for_edges_rounded_to_pixels(tmp_path):
    slide = SmearImage(tmp_path / "s", [Synthetic(2967, 2220), Synthetic(1483, 1109)])
    assert slide.downsample(1) > 2
    assert slide.level_for(2) == 1


def test_is_a_slide_with_levels_or_many_pixels(slide, tmp_path):
    assert slide.is_slide
    assert not SmearImage(tmp_path / "f", [Synthetic(5000, 5000)]).is_slide
    assert SmearImage(tmp_path / "f", [Synthetic(5001, 5000)]).is_slide


def test_refuses_a_level_or_window_that_does_not_exist(slide):
    for level, height in ((3, 1), (-1, 1), (0, 0)):
        with pytest.raises(ValueError, match="no window"):
            slide.read(level, 0, 0, height, 1)


def test_whole_refuses_more_than_200_megapixels(tmp_path):
    slide = SmearImage(tmp_path / "s", [Synthetic(20_001, 10_000)])
    with pytest.raises(UnreadableSmear, match="200 megapixels"):
        slide.whole()


def test_read_refuses_more_than_the_budget(tmp_path):
    slide = SmearImage(tmp_path / "s", [Synthetic(100_000, 100_000)])
    with pytest.raises(UnreadableSmear, match="1000 MB") as caught:
        slide.read(0, 0, 0, 40_000, 10_000)
    assert isinstance(caught.value.__cause__, TooLarge)


def test_thumbnail_is_the_mean_of_what_it_covers(tmp_path):
    # a checkerboard of single pixels: nearest-neighbour reading would give 0 or 255
    board = ((np.indices((512, 512)).sum(axis=0) % 2) * 255).astype(np.uint8)
    pixels = np.repeat(board[..., np.newaxis], 3, axis=-1)
    smear = SmearImage(tmp_path / "s", [WholeLevel((512, 512), lambda: pixels.copy(), 1)])

    small = smear.thumbnail(64)

    assert small.shape == (64, 64, 3)
    np.testing.assert_allclose(small, 127.5, atol=1)


def test_thumbnail_is_never_enlarged(tmp_path):
    smear = SmearImage(tmp_path / "s", [Synthetic(100, 50)])
    assert smear.thumbnail(1000).shape == (100, 50, 3)


def test_thumbnail_of_a_large_level_reads_it_in_bands(tmp_path, monkeypatch):
    monkeypatch.setattr("marrow.images.smear._THUMBNAIL_BAND_PIXELS", 100_000)
    level = Synthetic(2048, 1024)
    small = SmearImage(tmp_path / "s", [level]).thumbnail(32)

    assert small.shape == (32, 16, 3)
    assert level.largest_read <= 100_000
    # one pixel covers 64 px of one value: its own row and column number
    rows, columns = np.indices((32, 16))
    assert np.abs(small[..., 0].astype(int) - rows)[2:-2].max() <= 1
    assert np.abs(small[..., 1].astype(int) - columns)[:, 2:-2].max() <= 1


def test_pixels_given_up_are_decoded_again(tmp_path):
    decoded = []

    def decode():
        decoded.append(1)
        return np.full((50, 50, 3), 9, np.uint8)

    level = WholeLevel((50, 50), decode, 7500)
    with SmearImage(tmp_path / "s", [level]) as smear:
        smear.read(0, 0, 0, 10, 10)
        smear.read(0, 10, 10, 10, 10)
        assert len(decoded) == 1
        with PIXELS_IN_FLIGHT.reserve(PIXELS_IN_FLIGHT.limit_bytes):
            pass
        assert (smear.read(0, 0, 0, 10, 10) == 9).all()
        assert len(decoded) == 2
    assert PIXELS_IN_FLIGHT.kept(level) is None


def test_a_window_is_the_callers_own(tmp_path):
    level = WholeLevel((50, 50), lambda: np.zeros((50, 50, 3), np.uint8), 7500)
    with SmearImage(tmp_path / "s", [level]) as smear:
        smear.read(0, 0, 0, 10, 10)[:] = 255
        smear.whole()[:] = 255
        assert not smear.read(0, 0, 0, 10, 10).any()
        assert not smear.whole().any()


def test_a_closed_smear_reads_no_more(slide):
    slide.close()
    slide.close()
    with pytest.raises(UnreadableSmear, match="closed"):
        slide.read(0, 0, 0, 1, 1)


def test_multiscale_of_a_field_is_its_pixels(tmp_path):
    (pixels,) = SmearImage(tmp_path / "s", [Synthetic(100, 50)]).multiscale()
    assert isinstance(pixels, np.ndarray)
    assert pixels.shape == (100, 50, 3)


@pytest.mark.parametrize(
    "key",
    [
        np.s_[10:20, 30:50],
        np.s_[10:20, 30:50, :],
        np.s_[..., 1],
        np.s_[5],
        np.s_[-1, -2],
        np.s_[3, 4, 2],
        np.s_[100:200:7, 500:100:-3],
        np.s_[::2, :5],
        np.s_[5:5, :],
        np.s_[..., 0:2],
    ],
)
def test_lazy_levels_index_like_arrays(tmp_path, key):
    smear = SmearImage(tmp_path / "s", [Synthetic(700, 600), Synthetic(350, 300)])
    level = smear.multiscale()[0]
    expected = smear.whole(0)

    assert (level.shape, level.ndim, level.dtype, level.size) == (
        expected.shape,
        expected.ndim,
        expected.dtype,
        expected.size,
    )
    np.testing.assert_array_equal(level[key], expected[key])


def test_lazy_levels_read_only_what_is_asked_for(slide):
    level = slide._levels[0]
    slide.multiscale()[0][1000:1100, 2000:2300]
    assert level.largest_read == 100 * 300


def test_lazy_levels_refuse_an_index_outside(slide):
    with pytest.raises(IndexError):
        slide.multiscale()[0][8000]
    with pytest.raises(IndexError):
        slide.multiscale()[0][0, 0, 0, 0]


def test_a_slide_without_coarse_levels_gets_an_overview(tmp_path):
    slide = SmearImage(tmp_path / "s", [Synthetic(4200, 420)])
    slide.is_slide = True
    fine, overview = slide.multiscale()
    assert fine.shape == (4200, 420, 3)
    assert overview.shape == (2048, 205, 3)
    assert np.asarray(overview).shape == overview.shape
    assert len(slide.levels) == 1
