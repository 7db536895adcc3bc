"""Near-duplicates: found however turned, mirrored, scaled or recoloured, across sides alone."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from marrow.synthetic import cohort, render_field
from training.duplicates import (
    BITS,
    DUPLICATE_BITS,
    Pair,
    hash_smears,
    near_duplicates,
    perceptual_hash,
    told,
)


@pytest.fixture(scope="module")
def fields() -> list[np.ndarray]:
    """9 synthetic fields, each of its own patient."""
    people = cohort({"AA": 3, "MDS": 3, "AML": 3}, mode="strict", seed=5)
    return [render_field(one, 0, 128, 0.4).image for one in people]


def as_jpeg(pixels: np.ndarray) -> np.ndarray:
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, "JPEG", quality=60)
    return np.asarray(Image.open(stored))


def recoloured(pixels: np.ndarray) -> np.ndarray:
    return np.clip(pixels * np.array([0.85, 0.95, 0.9]) + 8, 0, 255).astype(np.uint8)


def scaled(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((113, 97)))


@pytest.mark.parametrize("change", [as_jpeg, recoloured, scaled], ids=lambda one: one.__name__)
def test_a_copy_is_found_and_nothing_else(fields, change):
    hashes = [perceptual_hash(one) for one in fields]
    copies = [perceptual_hash(change(one)) for one in fields]
    sides = ["train"] * len(hashes) + ["test"] * len(copies)
    pairs = near_duplicates([*hashes, *copies], sides)
    assert sorted((p.first, p.second) for p in pairs) == [(i, i + 9) for i in range(9)]
    assert max(p.distance for p in pairs) <= DUPLICATE_BITS


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("is_mirrored", [False, True])
def test_a_turned_or_mirrored_copy_is_found(fields, turns, is_mirrored):
    turned = np.ascontiguousarray(np.rot90(fields[3][:, ::-1] if is_mirrored else fields[3], turns))
    hashes = [perceptual_hash(one) for one in (*fields, turned)]
    pairs = near_duplicates(hashes, ["train"] * 9 + ["test"])
    assert [(p.first, p.second) for p in pairs] == [(3, 9)]
    assert pairs[0].distance <= 1  # resampling of the thumbnail alone


def test_the_distance_is_the_number_of_different_bits():
    # Against the definition: bits of the exclusive or, over the 8 ways to turn, one by one.
    rng = np.random.default_rng(0)
    hashes = [int(one) & ~1 for one in rng.integers(0, 2**63, 12)]
    expected = sorted(
        (min((turned ^ hashes[j]).bit_count() for turned in turns(hashes[i])), i, j)
        for i in range(6)
        for j in range(6, 12)
    )
    found = near_duplicates(hashes, ["a"] * 6 + ["b"] * 6, most_bits=BITS)
    assert [(p.distance, p.first, p.second) for p in found] == expected


def turns(number: int) -> list[int]:
    """The 8 hashes of a picture mirrored and turned, bit by bit."""
    signs = {(u, v): number >> (8 * u + v) & 1 for u in range(8) for v in range(8) if u + v}
    ways = []
    for rows, columns, swapped in np.ndindex(2, 2, 2):
        made = 0
        for (u, v), bit in signs.items():
            bit ^= (rows & u & 1) ^ (columns & v & 1)
            made |= bit << (8 * v + u if swapped else 8 * u + v)
        ways.append(made)
    return ways


def test_pairs_of_one_side_are_none(fields):
    hashes = [perceptual_hash(fields[0])] * 4
    pairs = near_duplicates([*hashes, None], ["train", "train", "fold 1", None, "test"])
    assert pairs == [Pair(0, 2, 0), Pair(1, 2, 0)]
    assert near_duplicates([], []) == []


def test_ten_thousand_smears_take_seconds():
    # 70 million pairs in 8 ways; the bound is far above what one busy core takes (3 s idle).
    hashes = [int(one) for one in np.random.default_rng(1).integers(0, 2**63, 10_000)]
    hashes[9000] = hashes[10] ^ 0b110
    began = time.process_time()
    pairs = near_duplicates(hashes, ["train"] * 7000 + ["test"] * 3000)
    assert (10, 9000) in {(p.first, p.second) for p in pairs}
    assert len(pairs) < 5
    assert time.process_time() - began < 30


def test_real_cells_photographed_twice_are_found(test_data: Path):
    """Chula's cells were photographed under several stains; bccd's are of another laboratory."""
    with (test_data / "cells" / "labels.csv").open(newline="") as table:
        cells = list(csv.DictReader(table))[::2]
    hashes = [
        perceptual_hash(np.asarray(Image.open(test_data / "cells" / one["file"]).convert("RGB")))
        for one in cells
    ]
    assert near_duplicates(hashes, [one["site"] for one in cells]) == []
    within = near_duplicates(hashes, [one["file"] for one in cells])
    assert len(within) > 10
    of_one_patient = [cells[p.first]["patient"] == cells[p.second]["patient"] for p in within]
    assert np.mean(of_one_patient) > 0.9


def test_smears_are_hashed_from_their_files(make_smears):
    smears = make_smears([("a", "AA"), ("b", "MDS"), ("c", "AML")])
    smears[1].path.write_bytes(b"no picture")
    hashes = hash_smears(smears)
    assert hashes[1] is None
    assert hashes[0] == perceptual_hash(np.asarray(Image.open(smears[0].path)))


def test_a_sentence_names_files_sides_and_the_number():
    assert told([], [], []) == "no near-duplicates across the sides"
    names = [f"{letter}.png" for letter in "abcdefgh"]
    sides = ["train"] * 4 + ["test"] * 4
    pairs = [Pair(i, i + 4, 1) for i in range(4)]
    sentence = told(pairs, names, sides)
    assert sentence.startswith("4 pairs of near-duplicates lie across the sides: ")
    assert "a.png (train) and e.png (test)" in sentence
    assert sentence.endswith("and 1 more")
