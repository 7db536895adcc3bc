"""Finding smears in folders: what is one image, what is passed over, what is refused."""

import hashlib
import os
import struct

import pytest

from marrow.errors import UnreachableSmear, UnreadableSmear
from marrow.images import find_assets


def write(path, content=b"pixels"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def sha(content):
    return hashlib.sha256(content).hexdigest()


def element(group, number, kind, content):
    content += b"\0" * (len(content) % 2)
    if kind in (b"OB", b"SQ"):
        return struct.pack("<HH2sHI", group, number, kind, 0, len(content)) + content
    return struct.pack("<HH2sH", group, number, kind, len(content)) + content


def dicom(series, pixels=b"pixels", syntax=b"1.2.840.10008.1.2.4.50"):
    # a sequence and an item without lengths lie before the series, as scanners write them
    sequence = (
        struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF)
        + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
        + element(0x0020, 0x000E, b"UI", b"9.9.9")
        + struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
        + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    )
    body = (
        element(0x0002, 0x0010, b"UI", syntax)
        + element(0x0008, 0x0060, b"CS", b"SM")
        + sequence
        + element(0x0020, 0x000D, b"UI", b"1.1")
        + (element(0x0020, 0x000E, b"UI", series) if series else b"")
        + element(0x0028, 0x0010, b"US", b"\1\0")
    )
    return bytes(128) + b"DICM" + body + pixels


def test_lists_files_in_order_with_their_hashes(tmp_path):
    b = write(tmp_path / "b" / "1.png", b"one")
    a = write(tmp_path / "a" / "deep" / "2.png", b"two")

    assets, refusals = find_assets([tmp_path])

    assert refusals == []
    assert [asset.path for asset in assets] == [a, b]
    assert [asset.members for asset in assets] == [(a,), (b,)]
    assert [asset.identity for asset in assets] == [sha(b"two"), sha(b"one")]


def test_passes_over_tables_texts_and_hidden_files_in_folders(tmp_path):
    smear = write(tmp_path / "1.png")
    for name in ("labels.csv", "notes.TXT", "LICENSE.bccd", "README", "Thumbs.db", ".hidden.png"):
        write(tmp_path / name, name.encode())
    write(tmp_path / ".git" / "x.png", b"other")

    assets, refusals = find_assets([tmp_path])

    assert [asset.path for asset in assets] == [smear]
    assert refusals == []


def test_never_passes_over_a_file_given_by_itself(tmp_path):
    table = write(tmp_path / "labels.csv")
    assert [asset.path for asset in find_assets([table])[0]] == [table]


def test_lists_the_same_content_once(tmp_path):
    first = write(tmp_path / "a.png")
    write(tmp_path / "b.png")

    assets, _ = find_assets([tmp_path, tmp_path / "b.png", tmp_path])

    assert [asset.path for asset in assets] == [first]


def test_a_missing_path_is_unreachable_and_the_rest_is_found(tmp_path):
    smear = write(tmp_path / "a.png")

    assets, refusals = find_assets([tmp_path / "gone", smear])

    assert [asset.path for asset in assets] == [smear]
    assert [type(refusal) for refusal in refusals] == [UnreachableSmear]
    assert refusals[0].path == tmp_path / "gone"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_does_not_wait_for_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")

    assert find_assets([tmp_path]) == ([], [])
    _, refusals = find_assets([tmp_path / "pipe.png"])
    assert [type(refusal) for refusal in refusals] == [UnreadableSmear]


def test_groups_a_dicom_series_into_one_smear(tmp_path):
    levels = [dicom(b"1.2.3", bytes([n])) for n in range(3)]
    members = tuple(write(tmp_path / f"level-{n}.dcm", c) for n, c in enumerate(levels))
    other = write(tmp_path / "other", dicom(b"1.2.4"))

    assets, refusals = find_assets([tmp_path])

    assert refusals == []
    assert [asset.members for asset in assets] == [members, (other,)]
    assert assets[0].path == members[0]
    hashes = "\n".join(sorted(sha(level) for level in levels))
    assert assets[0].identity == sha(hashes.encode())


def test_finds_the_series_of_a_single_dicom_file(tmp_path):
    levels = [write(tmp_path / f"{n}.dcm", dicom(b"1.2.3", bytes([n]))) for n in range(3)]
    write(tmp_path / "other.dcm", dicom(b"1.2.4"))

    (asset,) = find_assets([levels[1]])[0]

    assert asset.members == tuple(levels)
    assert asset.identity == find_assets([tmp_path])[0][0].identity


def test_a_series_in_two_folders_is_two_smears(tmp_path):
    # openslide looks for the levels of a slide in one folder only
    write(tmp_path / "a" / "1.dcm", dicom(b"1.2.3", b"a"))
    write(tmp_path / "b" / "1.dcm", dicom(b"1.2.3", b"b"))

    assert len(find_assets([tmp_path])[0]) == 2


@pytest.mark.parametrize("content", [dicom(b""), dicom(b"1.2.3")[:150], bytes(128) + b"DICM"])
def test_a_dicom_file_without_a_series_stands_for_itself(tmp_path, content):
    path = write(tmp_path / "x.dcm", content)
    assert [asset.members for asset in find_assets([tmp_path])[0]] == [(path,)]


def test_reads_implicit_dicom(tmp_path):
    def implicit(group, number, content):
        return struct.pack("<HHI", group, number, len(content)) + content

    start = bytes(128) + b"DICM" + element(0x0002, 0x0010, b"UI", b"1.2.840.10008.1.2")
    body = implicit(0x0008, 0x0060, b"SM") + implicit(0x0020, 0x000E, b"1.2.30")
    for n in range(2):
        write(tmp_path / f"{n}.dcm", start + body + bytes([n]))

    (asset,) = find_assets([tmp_path])[0]
    assert len(asset.members) == 2


def test_an_mrxs_slide_is_its_file_and_its_folder(tmp_path):
    top = write(tmp_path / "slide.mrxs", b"\xff\xd8\xff")
    data = write(tmp_path / "slide" / "Data0001.dat", b"data")
    index = write(tmp_path / "slide" / "Index.dat", b"index")

    (asset,) = find_assets([tmp_path])[0]

    assert (asset.path, asset.members) == (top, (top, data, index))


def test_a_zarr_image_is_refused_as_one(tmp_path):
    write(tmp_path / "slide.ome.zarr" / "zarr.json", b"{}")
    write(tmp_path / "slide.ome.zarr" / "0" / "c" / "0" / "0", b"chunk")
    smear = write(tmp_path / "a.png")

    for given in ([tmp_path], [tmp_path / "slide.ome.zarr", smear]):
        assets, refusals = find_assets(given)
        assert [asset.path for asset in assets] == [smear]
        assert ["OME-TIFF" in refusal.reason for refusal in refusals] == [True]


def test_tells_its_progress(tmp_path):
    for n in range(5):
        write(tmp_path / f"{n}.png", bytes([n]))
    seen = []

    find_assets([tmp_path], on_progress=lambda done, total: seen.append((done, total)))

    assert seen == [(n, 5) for n in range(1, 6)]
