"""TIFF in all its forms, and TIFFs that lie about themselves."""

import struct
import warnings

import numpy as np
import pytest
import tifffile
from PIL import Image

from marrow.errors import NotASmear, UnreadableSmear
from marrow.images import open_smear


def picture(height=300, width=400, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def whole(path):
    with open_smear(path) as smear:
        return smear.whole()


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"rowsperstrip": 7},
        {"tile": (64, 128)},
        {"bigtiff": True, "tile": (64, 64)},
        {"byteorder": ">", "rowsperstrip": 50},
        {"compression": "zlib", "predictor": True, "tile": (64, 64)},
        {"compression": "lzw", "rowsperstrip": 33},
        {"compression": "zstd", "tile": (64, 64)},
        {"compression": "jpeg2000", "tile": (128, 128)},
        {"compression": "webp", "compressionargs": {"level": 100, "lossless": True}},
        {"compression": "packbits"},
    ],
    ids=str,
)
def test_reads_the_very_pixels_of_every_lossless_form(tmp_path, form):
    path = tmp_path / "field.tif"
    tifffile.imwrite(path, picture(), photometric="rgb", **form)

    with open_smear(path) as smear:
        assert smear.levels == ((300, 400),)
        np.testing.assert_array_equal(smear.whole(), picture())
        np.testing.assert_array_equal(smear.read(0, 60, 100, 80, 250), picture()[60:140, 100:350])
        beyond = smear.read(0, 290, 390, 20, 20)
        np.testing.assert_array_equal(beyond[:10, :10], picture()[290:, 390:])
        assert (beyond[10:] == 255).all()


def test_reads_separate_colour_planes(tmp_path):
    for name, form in (("strips", {"rowsperstrip": 64}), ("tiles", {"tile": (64, 64)})):
        path = tmp_path / f"{name}.tif"
        planes = np.ascontiguousarray(np.moveaxis(picture(), -1, 0))
        tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate", **form)

        np.testing.assert_array_equal(whole(path), picture())


def test_jpeg_tiles_have_the_colours_they_were_given(tmp_path):
    smooth = np.broadcast_to(np.uint8([200, 80, 150]), (256, 256, 3))
    for stored in ("rgb", "ycbcr"):
        path = tmp_path / f"{stored}.tif"
        form = {"compression": "jpeg", "compressionargs": {"outcolorspace": stored}}
        tifffile.imwrite(path, smooth, photometric="rgb", tile=(128, 128), **form)
        np.testing.assert_allclose(whole(path), smooth, atol=3)


def test_16_bits_alpha_palette_and_cmyk(tmp_path):
    deep = picture(32, 32).astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "deep.tif", deep, photometric="rgb")
    np.testing.assert_array_equal(whole(tmp_path / "deep.tif"), picture(32, 32))

    alpha = np.full((32, 32, 4), (200, 0, 0, 51), np.uint8)
    extra = {"photometric": "rgb", "extrasamples": ["unassalpha"]}
    tifffile.imwrite(tmp_path / "alpha.tif", alpha, **extra)
    assert (whole(tmp_path / "alpha.tif") == (244, 204, 204)).all()

    premultiplied = np.full((32, 32, 4), (40, 0, 0, 51), np.uint8)
    extra = {"photometric": "rgb", "extrasamples": ["assocalpha"]}
    tifffile.imwrite(tmp_path / "premultiplied.tif", premultiplied, **extra)
    assert (whole(tmp_path / "premultiplied.tif") == (244, 204, 204)).all()

    colours = np.zeros((3, 256), np.uint16)
    colours[:, 5] = (0xFF00, 0x8000, 0x0100)
    index = np.full((32, 32), 5, np.uint8)
    tifffile.imwrite(tmp_path / "map.tif", index, photometric="palette", colormap=colours)
    assert (whole(tmp_path / "map.tif") == (255, 128, 1)).all()

    ink = np.full((32, 32, 4), (255, 0, 0, 0), np.uint8)
    tifffile.imwrite(tmp_path / "cmyk.tif", ink, photometric="separated")
    assert (whole(tmp_path / "cmyk.tif") == (0, 255, 255)).all()


def write_pyramid(path, subifds, **form):
    base = picture(1024, 768)
    smaller = [base[::2, ::2], base[::4, ::4]]
    with tifffile.TiffWriter(path, **form) as tiff:
        options = {"photometric": "rgb", "tile": (128, 128)}
        tiff.write(base, subifds=2 if subifds else 0, **options)
        for level in smaller:
            tiff.write(level, subfiletype=1, **options)
    return [base, *smaller]


@pytest.mark.parametrize(
    ("subifds", "form"),
    [
        (True, {}),
        (False, {}),
        (True, {"bigtiff": True}),
        (False, {"bigtiff": True}),
        (True, {"ome": True}),
    ],
)
def test_reads_pyramids(tmp_path, subifds, form):
    path = tmp_path / "slide.ome.tif"
    expected = write_pyramid(path, subifds, **form)

    with open_smear(path) as smear:
        assert smear.is_slide
        assert smear.levels == ((1024, 768), (512, 384), (256, 192))
        for number, level in enumerate(expected):
            np.testing.assert_array_equal(smear.whole(number), level)
        lazy = smear.multiscale()
        assert [level.shape for level in lazy] == [level.shape for level in expected]
        np.testing.assert_array_equal(lazy[1][100:200, 50:60], expected[1][100:200, 50:60])


def test_a_label_image_is_no_level(tmp_path):
    path = tmp_path / "slide.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(picture(1024, 768), photometric="rgb", tile=(128, 128))
        tiff.write(picture(300, 500), photometric="rgb")

    with open_smear(path) as smear:
        assert smear.levels == ((1024, 768),)


def test_missing_tiles_are_white(tmp_path):
    path = tmp_path / "sparse.tif"
    tifffile.imwrite(path, picture(256, 256), photometric="rgb", tile=(128, 128))
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        counts = tiff.pages[0].tags["TileByteCounts"]
        counts.overwrite([0, *counts.value[1:]])

    pixels = whole(path)

    assert (pixels[:128, :128] == 255).all()
    np.testing.assert_array_equal(pixels[128:], picture(256, 256)[128:])


@pytest.mark.parametrize(
    ("form", "expected_um"),
    [
        ({"resolution": (40_000, 40_000), "resolutionunit": "CENTIMETER"}, 0.25),
        ({"resolution": (101_600, 101_600), "resolutionunit": "INCH"}, 0.25),
        ({"resolution": (40_000, 40_000), "resolutionunit": "NONE"}, None),
        ({"resolution": (40_000, 20_000), "resolutionunit": "CENTIMETER"}, None),
        ({"resolution": (72, 72), "resolutionunit": "INCH"}, None),
        ({"resolution": (4, 4), "imagej": True, "metadata": {"unit": "um"}}, 0.25),
        ({"description": "Aperio Image\r\n9x9|AppMag = 20|MPP = 0.4990"}, 0.499),
        ({}, None),
    ],
    ids=str,
)
def test_knows_the_pixel_size(tmp_path, form, expected_um):
    path = tmp_path / "field.tif"
    tifffile.imwrite(path, picture(64, 64), photometric="rgb", **form)

    with open_smear(path) as smear:
        if expected_um is None:
            assert smear.pixel_size_um is None
        else:
            assert smear.pixel_size_um == pytest.approx(expected_um, rel=1e-3)
        assert bool(smear.warnings) == (expected_um is None)


def test_knows_the_pixel_size_of_ome_tiff_in_any_unit(tmp_path):
    for size, unit in ((0.25, "µm"), (250, "nm"), (0.00025, "mm")):
        path = tmp_path / "field.ome.tif"
        metadata = {
            "axes": "YXS",
            "PhysicalSizeX": size,
            "PhysicalSizeY": size,
            "PhysicalSizeXUnit": unit,
            "PhysicalSizeYUnit": unit,
        }
        tifffile.imwrite(path, picture(64, 64), ome=True, photometric="rgb", metadata=metadata)
        with open_smear(path) as smear:
            assert smear.pixel_size_um == pytest.approx(0.25)


def test_an_ome_header_cannot_open_other_files(tmp_path):
    other, path = tmp_path / "other.ome.tif", tmp_path / "field.ome.tif"
    tifffile.imwrite(other, picture(64, 64, seed=2), ome=True, photometric="rgb")
    tifffile.imwrite(path, picture(64, 64), ome=True, photometric="rgb")
    content = path.read_bytes()
    # its header now names the other file as the home of its pixels
    uuid = b'<UUID FileName="other.ome.tif">urn:uuid:0</UUID>'
    tag = content[content.index(b"<TiffData") : content.index(b"</Pixels>")]
    tifffile.imwrite(
        path,
        picture(64, 64),
        photometric="rgb",
        metadata=None,
        description=content[content.index(b"<?xml") : content.index(b"</OME>") + 6].replace(
            tag, b'<TiffData IFD="0" PlaneCount="1">' + uuid + b"</TiffData>"
        ),
    )

    np.testing.assert_array_equal(whole(path), picture(64, 64))


@pytest.mark.parametrize(
    ("shape", "form", "reason"),
    [
        ((5, 64, 64, 3), {"photometric": "rgb"}, "series of images"),
        ((7, 5, 64, 64), {"photometric": "minisblack"}, "series of images"),
        ((64, 64), {"photometric": "minisblack"}, "one channel"),
        ((64, 64, 7), {"photometric": "minisblack", "planarconfig": "contig"}, "7 channels"),
        ((12, 40, 3), {"photometric": "rgb"}, "40 x 12 px"),
    ],
)
def test_says_why_something_is_no_smear(tmp_path, shape, form, reason):
    path = tmp_path / "other.tif"
    tifffile.imwrite(path, np.zeros(shape, np.uint8), **form)

    with pytest.raises(NotASmear, match=reason):
        open_smear(path)


def test_refuses_samples_that_are_no_colours(tmp_path):
    path = tmp_path / "floats.tif"
    tifffile.imwrite(path, np.zeros((64, 64, 3), np.float32), photometric="rgb")

    with pytest.raises(NotASmear, match="float32"):
        open_smear(path)


def small_tiff(tags, following=0, extra=b""):
    """A classic little-endian TIFF of one directory; tags are (code, type, count, value)."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    head = struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", len(tags))
    return head + entries + struct.pack("<I", following) + extra


def rgb_tags(width, height, **changed):
    tags = {
        256: (4, 1, width),
        257: (4, 1, height),
        258: (3, 1, 8),
        259: (3, 1, 1),
        262: (3, 1, 2),
        277: (3, 1, 3),
        273: (4, 1, 300),
        278: (4, 1, height),
        279: (4, 1, width * height * 3 % 2**32),
    }
    tags |= {int(code[1:]): value for code, value in changed.items()}
    return [(code, *value) for code, value in tags.items() if value is not None]


def test_refuses_a_strip_image_by_its_declared_size(tmp_path):
    path = tmp_path / "bomb.tif"
    path.write_bytes(small_tiff(rgb_tags(20_000, 10_001), extra=bytes(400)))

    with pytest.raises(UnreadableSmear, match="200 megapixels"):
        open_smear(path)


def test_refuses_a_tile_by_its_declared_size(tmp_path):
    path = tmp_path / "bomb.tif"
    tile = {"_322": (4, 1, 5008), "_323": (4, 1, 5008), "_324": (4, 1, 300), "_325": (4, 1, 9)}
    tags = rgb_tags(100_000, 100_000, _273=None, _278=None, _279=None, **tile)
    path.write_bytes(small_tiff(tags, extra=bytes(400)))

    with pytest.raises(UnreadableSmear, match="tiles of 75 MB"):
        open_smear(path)


def test_opens_a_slide_of_any_size_made_of_small_tiles(tmp_path):
    # ten gigapixels, all but one tile missing: nothing but the tiles of a window is touched
    path = tmp_path / "huge.tif"
    width, tile = 102_400, 512
    many = (width // tile) ** 2
    tags = rgb_tags(width, width, _273=None, _278=None, _279=None)
    start = 8 + 2 + 12 * (len(tags) + 4) + 4
    tags += [(322, 4, 1, tile), (323, 4, 1, tile), (324, 4, many, start)]
    tags += [(325, 4, many, start + 4 * many)]
    offsets, counts = np.zeros((2, many), "<u4")
    offsets[7], counts[7] = start + 8 * many, tile * tile * 3
    extra = offsets.tobytes() + counts.tobytes() + bytes([90, 60, 120]) * tile * tile
    path.write_bytes(small_tiff(tags, extra=extra))

    with open_smear(path) as slide:
        assert slide.levels == ((width, width),)
        window = slide.read(0, 500, 7 * tile - 1, 24, tile + 2)
        assert (window[:12, 1:-1] == (90, 60, 120)).all()
        assert (window[:, 0] == 255).all()
        assert (window[12:] == 255).all()


@pytest.mark.parametrize("following", [8, 2**31])
def test_refuses_directories_that_loop_or_point_beyond_the_end(tmp_path, following):
    path = tmp_path / "loop.tif"
    path.write_bytes(small_tiff(rgb_tags(32, 32), following, bytes(4000)))

    with pytest.raises(UnreadableSmear, match=r"loop|cut short"):
        open_smear(path)


def test_refuses_sub_directories_that_loop(tmp_path):
    path = tmp_path / "loop.tif"
    path.write_bytes(small_tiff(rgb_tags(32, 32, _330=(4, 1, 8)), extra=bytes(4000)))

    with pytest.raises(UnreadableSmear, match="loop"):
        open_smear(path)


def test_refuses_a_stack_of_thousands_of_directories(tmp_path):
    path = tmp_path / "stack.tif"
    entry = struct.pack("<HHHII", 1, 256, 4, 1, 32)
    places = range(8, 8 + 18 * 1100, 18)
    chain = b"".join(entry + struct.pack("<I", place + 18) for place in places)
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8) + chain)

    with pytest.raises(NotASmear, match="1000 images"):
        open_smear(path)


def test_a_truncated_tiff_is_unreadable(tmp_path):
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, picture(), photometric="rgb", rowsperstrip=10)
    path.write_bytes(path.read_bytes()[:-2000])

    with open_smear(path) as smear, pytest.raises(UnreadableSmear, match="cut short"):
        smear.whole()


def test_refuses_a_tile_whose_jpeg_declares_another_size(tmp_path):
    path = tmp_path / "bomb.tif"
    form = {"photometric": "rgb", "compression": "jpeg", "tile": (128, 128)}
    tifffile.imwrite(path, picture(128, 128), **form)
    content = path.read_bytes()
    at = content.index(b"\xff\xc0") + 5
    assert struct.unpack_from(">HH", content, at) == (128, 128)
    path.write_bytes(content[:at] + struct.pack(">HH", 65_000, 65_000) + content[at + 4 :])

    with open_smear(path) as smear, pytest.raises(UnreadableSmear, match="declares 65000 x 65000"):
        smear.whole()


def test_refuses_a_tile_whose_jpeg_2000_declares_another_size(tmp_path):
    path = tmp_path / "bomb.tif"
    form = {"photometric": "rgb", "compression": "jpeg2000", "tile": (128, 128)}
    tifffile.imwrite(path, picture(128, 128), **form)
    content = path.read_bytes()
    at = content.index(b"\xff\x4f\xff\x51") + 8
    path.write_bytes(content[:at] + struct.pack(">II", 60_000, 60_000) + content[at + 8 :])

    with open_smear(path) as smear, pytest.raises(UnreadableSmear, match="declares 60000 x 60000"):
        smear.whole()


def test_refuses_a_compression_that_is_not_bounded(tmp_path):
    path = tmp_path / "odd.tif"
    path.write_bytes(small_tiff(rgb_tags(32, 32, _259=(3, 1, 50_002)), extra=bytes(4000)))

    with pytest.raises(UnreadableSmear, match="compression 50002"):
        open_smear(path)


def test_honours_the_orientation_of_a_field(tmp_path):
    path = tmp_path / "turned.tif"
    tags = {"compression": None, "tiffinfo": {274: 6}}
    Image.fromarray(picture(30, 50)).save(path, **tags)

    with open_smear(path) as smear:
        assert smear.levels == ((50, 30),)
        np.testing.assert_array_equal(smear.whole(), np.rot90(picture(30, 50), -1))


def test_decoders_say_nothing_of_their_own(tmp_path, caplog, capsys):
    path = tmp_path / "noisy.tif"
    # a string where a number belongs: tifffile logs that
    tags = rgb_tags(32, 32, _282=(2, 40, 2**30), _305=(2, 900, 2**30))
    path.write_bytes(small_tiff(tags, extra=bytes(4000)))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_smear(path).close()
    assert caplog.records == []
    assert capsys.readouterr() == ("", "")
