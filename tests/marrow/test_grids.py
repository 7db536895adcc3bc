"""What a person types of a sweep."""

from __future__ import annotations

from pathlib import Path

import pytest

from marrow.errors import BadGrid, BadModel
from marrow.grids import (
    augment_of,
    paper_weights,
    read_grid_weights,
    read_numbers,
    weights_source,
)
from marrow.schemes import AA_MDS_AML, Scheme

CELLS = Scheme.from_toml(Path(__file__).parents[2] / "examples" / "cells.toml")


def test_reads_loss_weights_as_they_are_typed() -> None:
    assert read_grid_weights("5:5, 2:8,1:9", AA_MDS_AML) == ((5, 5), (2, 8), (1, 9))
    assert read_grid_weights("equal", CELLS) == ((),)


@pytest.mark.parametrize(
    "text", ["", "1", "1:2:3", "1:-1", "0:0", "a:b", "1:inf", "5:5,", "1e308:1.5e308"]
)
def test_refuses_weights_that_are_not_one_share_per_head(text: str) -> None:
    with pytest.raises(BadGrid, match=r"give one number per head \(mds, diagnosis\), as in 1:9"):
        read_grid_weights(text, AA_MDS_AML)


def test_reads_whole_numbers() -> None:
    assert read_numbers("30, 50,200", "30, 50") == (30, 50, 200)
    for text in ("", "3.5", "-1", "30,"):
        with pytest.raises(BadGrid, match="give whole numbers, as in 30, 50"):
            read_numbers(text, "30, 50")


def test_refuses_a_number_that_python_would_not_read_without_repeating_it() -> None:
    with pytest.raises(BadGrid, match="A number of 5,000 digits is too long") as refused:
        read_numbers("30, " + "9" * 5000, "30, 50")
    assert len(str(refused.value)) < 100


def test_the_papers_weights_are_offered_where_there_are_two_heads() -> None:
    assert paper_weights(AA_MDS_AML) == ((5, 5), (2, 8), (1, 9))
    assert (paper_weights(CELLS) == ((),)) == (len(CELLS.heads) != 2)


def test_an_augmentation_belongs_to_a_protocol_unless_another_is_asked() -> None:
    assert [augment_of(None, "honest"), augment_of(None, "seed2022")] == ["gentle", "seed8"]
    assert augment_of("none", "seed2022") == "none"


def test_weights_come_from_nowhere_imagenet_or_a_file(tmp_path: Path) -> None:
    assert weights_source("imagenet") == ("imagenet", None)
    file = tmp_path / "trunk.pth"
    file.write_bytes(b"weights")
    path, sha256 = weights_source(str(file))
    assert path == str(file)
    assert sha256 is not None
    assert len(sha256) == 64
    with pytest.raises(BadModel, match="give a file, `imagenet` or `none`"):
        weights_source(str(tmp_path / "absent.pth"))
