"""PNG, JPEG and BMP fields: colours, orientation, limits and every way to be refused."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from marrow.errors import NotASmear, UnreachableSmear, UnreadableSmear
from marrow.images import open_smear


def picture(height=40, width=60, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def png_chunk(kind, content):
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png(width, height, bit_depth, colour_type, rows):
    """A PNG of raw scan lines, for what Pillow cannot write (16 bit colour)."""
    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_reads_the_very_pixels_of_a_lossless_field(tmp_path, suffix):
    path = tmp_path / f"field.{suffix}"
    Image.fromarray(picture()).save(path)

    with open_smear(path) as smear:
        assert smear.levels == ((40, 60),)
        assert not smear.is_slide
        whole = smear.whole()
        assert whole.dtype == np.uint8
        np.testing.assert_array_equal(whole, picture())
        np.testing.assert_array_equal(smear.read(0, 5, 7, 11, 13), picture()[5:16, 7:20])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK"])
def test_a_field_of_several_bands_has_the_pixels_that_pillow_reads_at_once(tmp_path, mode):
    path = tmp_path / ("field.jpg" if mode == "CMYK" else "field.png")
    image = Image.fromarray(picture(300, 40)).convert(mode)
    image.save(path)

    with open_smear(path) as smear, Image.open(path) as at_once:
        np.testing.assert_array_equal(smear.whole(), np.asarray(at_once.convert("RGB")))


def test_tells_the_form_by_content_not_by_name(tmp_path):
    path = tmp_path / "field.tif"
    Image.fromarray(picture()).save(path, format="PNG")

    with open_smear(path) as smear:
        np.testing.assert_array_equal(smear.whole(), picture())


def test_pixels_outside_the_image_are_white(tmp_path):
    path = tmp_path / "field.png"
    Image.fromarray(picture()).save(path)

    with open_smear(path) as smear:
        window = smear.read(0, -2, 55, 10, 8)
        assert window.shape == (10, 8, 3)
        np.testing.assert_array_equal(window[2:, :5], picture()[:8, 55:])
        assert (window[:2] == 255).all()
        assert (window[:, 5:] == 255).all()
        assert (smear.read(0, 1000, 1000, 3, 3) == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_honours_exif_orientation(tmp_path, orientation):
    stored = picture(16, 24)
    # where the stored first row and column belong on screen. Source: EXIF 2.32, tag 0x0112
    seen = {
        1: stored,
        2: np.fliplr(stored),
        3: np.rot90(stored, 2),
        4: np.flipud(stored),
        5: stored.transpose(1, 0, 2),
        6: np.rot90(stored, -1),
        7: np.rot90(stored.transpose(1, 0, 2), 2),
        8: np.rot90(stored, 1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.png"
    Image.fromarray(stored).save(path, exif=exif)

    with open_smear(path) as smear:
        assert smear.levels == (seen.shape[:2],)
        np.testing.assert_array_equal(smear.whole(), seen)


def test_lays_transparency_onto_white(tmp_path):
    rgba = np.zeros((16, 16, 4), np.uint8)
    rgba[..., 0] = 200
    rgba[:, :8, 3] = 255
    rgba[:, 8:12, 3] = 51  # one fifth: 0.2 * 200 + 0.8 * 255 = 244, 0.8 * 255 = 204
    path = tmp_path / "alpha.png"
    Image.fromarray(rgba).save(path)

    pixels = open_smear(path).whole()

    assert (pixels[:, :8] == (200, 0, 0)).all()
    assert (pixels[:, 8:12] == (244, 204, 204)).all()
    assert (pixels[:, 12:] == 255).all()


def test_scales_16_bits_to_8(tmp_path):
    line = b"\0" + struct.pack(">3H", 0xFFFF, 0x8000, 0x0101) * 16
    path = tmp_path / "deep.png"
    path.write_bytes(png(16, 16, 16, 2, line * 16))

    assert (open_smear(path).whole() == (255, 128, 1)).all()


def test_converts_a_palette_and_its_transparent_colour(tmp_path):
    indices = Image.fromarray(np.tile(np.uint8([[0], [1]]), (8, 16)), mode="P")
    indices.putpalette([10, 20, 30, 40, 50, 60])
    indices.save(tmp_path / "opaque.png")
    indices.save(tmp_path / "clear.png", transparency=1)

    assert (
        open_smear(tmp_path / "opaque.png").whole()[:2, 0] == [(10, 20, 30), (40, 50, 60)]
    ).all()
    assert (open_smear(tmp_path / "clear.png").whole()[:2, 0] == [(10, 20, 30), (255,) * 3]).all()


def test_converts_cmyk(tmp_path):
    path = tmp_path / "print.jpg"
    # full cyan ink and no other: no red
    Image.new("CMYK", (32, 32), (255, 0, 0, 0)).save(path, quality=95)

    np.testing.assert_allclose(open_smear(path).whole()[16, 16], (0, 255, 255), atol=6)


@pytest.mark.parametrize("mode", ["L", "1", "LA", "I;16"])
def test_refuses_one_channel(tmp_path, mode):
    path = tmp_path / "grey.png"
    Image.new(mode, (32, 32)).save(path)

    with pytest.raises(NotASmear, match="one channel"):
        open_smear(path)


def test_refuses_an_image_of_a_few_pixels(tmp_path):
    path = tmp_path / "dot.png"
    Image.fromarray(picture(15, 40)).save(path)

    with pytest.raises(NotASmear, match="40 x 15 px"):
        open_smear(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp"])
def test_a_truncated_field_is_unreadable(tmp_path, suffix):
    whole = tmp_path / f"whole.{suffix}"
    Image.fromarray(picture(200, 200)).save(whole)
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])

    with open_smear(path) as smear, pytest.raises(UnreadableSmear, match="truncated") as caught:
        smear.whole()
    assert caught.value.path == path


def test_refuses_by_the_declared_size_before_decoding(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(20_000, 10_001, 8, 2, b""))

    with pytest.raises(UnreadableSmear, match=r"200 megapixels.*tiled"):
        open_smear(path)


def test_opens_what_is_just_within_the_limit(tmp_path):
    # 200 megapixels: Pillow's own limit lies at 179
    path = tmp_path / "large.png"
    path.write_bytes(png(20_000, 10_000, 8, 2, b""))

    assert open_smear(path).is_slide


def test_refuses_text_that_inflates_without_end(tmp_path):
    path = tmp_path / "text.png"
    zeros = zlib.compress(bytes(100_000_000), 1)
    content = png(32, 32, 8, 2, bytes(97 * 32))
    at = 8 + 25
    text = png_chunk(b"zTXt", b"a\0\0" + zeros)
    path.write_bytes(content[:at] + text + content[at:])

    with pytest.raises(UnreadableSmear):
        open_smear(path)


def test_refuses_a_jpeg_of_countless_scans(tmp_path):
    path = tmp_path / "scans.jpg"
    Image.new("RGB", (4000, 3000)).save(path, progressive=True)
    start, scan, rest = path.read_bytes().partition(b"\xff\xda")
    open_smear(path).whole()
    path.write_bytes(start + (scan + bytes(8)) * 200 + scan + rest)

    with pytest.raises(UnreadableSmear, match="scans"):
        open_smear(path)


def test_a_pixel_size_is_known_only_when_a_microscope_could_have_it(tmp_path):
    for name, dpi in (("lens", 101_600), ("screen", 72), ("none", None)):
        extra = {} if dpi is None else {"dpi": (dpi, dpi)}
        Image.fromarray(picture()).save(tmp_path / f"{name}.png", **extra)

    lens = open_smear(tmp_path / "lens.png")
    assert lens.pixel_size_um == pytest.approx(0.25, rel=1e-3)  # 25,400 um an inch / 101,600
    assert lens.warnings == ()
    screen = open_smear(tmp_path / "screen.png")
    assert screen.pixel_size_um is None
    assert "352.7 um per pixel" in screen.warnings[0]
    unstated = open_smear(tmp_path / "none.png")
    assert unstated.pixel_size_um is None
    assert "no pixel size" in unstated.warnings[0]


def test_a_missing_file_is_unreachable(tmp_path):
    with pytest.raises(UnreachableSmear, match="No such file"):
        open_smear(tmp_path / "gone.png")


def test_a_file_that_vanishes_after_opening_is_unreachable(tmp_path):
    path = tmp_path / "field.png"
    Image.fromarray(picture()).save(path)
    smear = open_smear(path)
    path.unlink()

    with pytest.raises(UnreachableSmear):
        smear.whole()


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty"), (b"GIF89a" + bytes(200), "no known form"), (b"\x89PNG\r\n\x1a\n", "damaged")],
)
def test_says_why_a_file_is_unreadable(tmp_path, content, reason):
    path = tmp_path / "field.png"
    path.write_bytes(content)

    with pytest.raises(UnreadableSmear, match=reason) as caught:
        open_smear(path)
    assert "\n" not in caught.value.reason


def test_refuses_folders_and_pipes_without_waiting(tmp_path):
    with pytest.raises(UnreadableSmear, match="folder"):
        open_smear(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        with pytest.raises(UnreadableSmear, match="regular"):
            open_smear(tmp_path / "pipe.png")


def test_damaged_exif_data_do_not_cost_the_field(tmp_path):
    path = tmp_path / "field.jpg"
    Image.fromarray(picture()).save(path, exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(6))

    assert open_smear(path).whole().shape == (40, 60, 3)


def test_takes_a_string_path(tmp_path):
    path = tmp_path / "field.png"
    Image.fromarray(picture()).save(path)

    assert open_smear(str(path)).path == Path(path)
