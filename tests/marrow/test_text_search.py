"""Smears by a part of their path, patient or name, on both databases."""

from __future__ import annotations

import pytest

from marrow.catalogue import smears
from marrow.catalogue.smears import SmearFilter
from marrow.catalogue.text_search import smear_number
from marrow.records import NewSmear
from marrow.study import Study

PATHS = ("Nacht 1/50%_a.png", "nacht 1/50x_a.png", "nacht 2/50%ya.png", 'q"uote/NACHT.png')


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("NACHT 1", [1, 2]),
        ("0%_a", [1]),
        ("%", [1, 3]),
        ("_a.p", [1, 2]),
        ("1/50", [1, 2]),
        ('q"u', [4]),
        ("nacht 1/50%_a.png", [1]),
        ("acht", [1, 2, 3, 4]),
        ("p-3", [3]),
        ("S000002", [2]),
        ("zebra", []),
        ("²", []),
    ],
)
def test_a_search_finds_parts_in_either_case_and_takes_no_sign_for_another(
    any_study: Study, asked: str, found: list[int]
) -> None:
    with any_study.database.write() as connection:
        for number, path in enumerate(PATHS, start=1):
            new = NewSmear(
                identity=f"{number:064x}",
                root="local",
                path=path,
                height_px=9,
                width_px=9,
                is_slide=False,
                patient=f"P-{number}",
            )
            smears.register(connection, 1.0, new)
        assert list(smears.all_ids(connection, SmearFilter(text=asked))) == found


def test_the_number_of_a_smears_name() -> None:
    assert [smear_number(one) for one in ("S000148", "148", "s9", "²", "S", "1e3")] == [
        148,
        148,
        9,
        None,
        None,
        None,
    ]
