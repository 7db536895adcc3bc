from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from marrow.errors import BadScheme
from marrow.schemes import AA_MDS_AML, Head, LabelFrom, Scheme

CELLS = Path(__file__).parents[2] / "examples" / "cells.toml"


@pytest.mark.parametrize(
    ("diagnosis", "mds"), [("AA", "other"), ("MDS", "MDS"), ("AML", "other"), ("unsure", None)]
)
def test_mds_follows_from_the_diagnosis(diagnosis: str, mds: str | None) -> None:
    asked = None if diagnosis == "unsure" else diagnosis
    assert AA_MDS_AML.complete({"diagnosis": diagnosis}) == {"mds": mds, "diagnosis": asked}


def test_a_missing_answer_masks_its_heads_only() -> None:
    cells = Scheme.from_toml(CELLS)
    assert cells.complete({"lineage": "LYM"}) == {"eosinophil": None, "lineage": "LYM"}


def test_refuses_an_answer_to_a_head_that_is_not_asked() -> None:
    with pytest.raises(KeyError, match="mds"):
        AA_MDS_AML.complete({"mds": "MDS"})


@pytest.mark.parametrize(
    ("mds", "diagnosis", "disagree"),
    [("MDS", "MDS", False), ("other", "AML", False), ("MDS", "AA", True), ("other", "MDS", True)],
)
def test_derived_heads_can_disagree(mds: str, diagnosis: str, disagree: bool) -> None:
    assert AA_MDS_AML.is_contradicted_by({"mds": mds, "diagnosis": diagnosis}) is disagree


def test_an_implication_holds_in_one_direction() -> None:
    cells = Scheme.from_toml(CELLS)
    assert cells.is_contradicted_by({"eosinophil": "EOS", "lineage": "MON"})
    assert not cells.is_contradicted_by({"eosinophil": "EOS", "lineage": "GRAN"})
    assert not cells.is_contradicted_by({"eosinophil": "other", "lineage": "GRAN"})


def test_cells_is_asked_both_heads_in_their_order() -> None:
    cells = Scheme.from_toml(CELLS)
    assert [head.classes for head in cells.asked] == [("other", "EOS"), ("GRAN", "LYM", "MON")]
    assert (cells.unit, cells.primary) == ("image", "lineage")


def test_survives_json() -> None:
    assert Scheme.model_validate(AA_MDS_AML.model_dump(mode="json")) == AA_MDS_AML


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("name = ", "no valid TOML"),
        ('name = "x"\nunit = "patient"\nprimary = "y"\nheads = []', "heads"),
        (
            'name = "x"\nunit = "patient"\nprimary = "y"\n'
            '[[heads]]\nname = "z"\nclasses = ["a", "b", "c"]',
            "none of the heads",
        ),
        (
            'name = "x"\nunit = "patient"\nprimary = "z"\n'
            '[[heads]]\nname = "z"\nclasses = ["a", "b"]',
            "positive",
        ),
        (
            'name = "x"\nunit = "patient"\nprimary = "z"\ncolour = 1\n'
            '[[heads]]\nname = "z"\nclasses = ["a", "b", "c"]',
            "colour",
        ),
    ],
)
def test_a_bad_file_is_named_with_its_fault(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "scheme.toml"
    path.write_text(text)
    with pytest.raises(BadScheme, match=fault) as caught:
        Scheme.from_toml(path)
    assert str(path) in str(caught.value)


def test_refuses_a_label_from_an_unknown_class() -> None:
    with pytest.raises(ValidationError, match="label_from"):
        Scheme(
            name="x",
            unit="patient",
            primary="b",
            heads=(
                Head(
                    name="a",
                    classes=("no", "yes"),
                    positive="yes",
                    label_from=LabelFrom(head="b", classes={"yes": ("Q",)}),
                ),
                Head(name="b", classes=("P", "R", "S")),
            ),
        )


def subtypes() -> Scheme:
    return Scheme.from_toml(CELLS.with_name("subtypes.toml"))


def test_a_head_applies_only_under_the_answers_it_is_asked_for() -> None:
    names = {
        diagnosis: [head.name for head in subtypes().applying({"diagnosis": diagnosis})]
        for diagnosis in ("AA", "MDS", "AML", None)
    }
    assert names == {
        "AA": ["mds", "diagnosis"],
        "MDS": ["mds", "diagnosis", "mds_subtype"],
        "AML": ["mds", "diagnosis", "aml_subtype"],
        None: ["mds", "diagnosis", "mds_subtype", "aml_subtype"],
    }


def test_an_answer_to_a_head_that_does_not_apply_is_missing() -> None:
    given = {"mds_subtype": "MDS-LB"}
    assert subtypes().complete({"diagnosis": "AML", **given})["mds_subtype"] is None
    for diagnosis in ("MDS", "unsure"):
        assert subtypes().complete({"diagnosis": diagnosis, **given})["mds_subtype"] == "MDS-LB"
    assert subtypes().complete(given)["mds_subtype"] == "MDS-LB"


@pytest.mark.parametrize(
    ("mds", "diagnosis", "disagree"),
    [("other", "AA", False), ("MDS", "MDS", False), ("other", "AML", False), ("MDS", "AML", True)],
)
def test_a_network_s_idle_answer_to_a_subtype_contradicts_nothing(
    mds: str, diagnosis: str, disagree: bool
) -> None:
    idle = {"mds_subtype": "MDS-IB2", "aml_subtype": "NPM1"}
    calls = {"mds": mds, "diagnosis": diagnosis, **idle}
    assert subtypes().is_contradicted_by(calls) is disagree
    # Nor does an implication that names such a head.
    table = subtypes().model_dump()
    table["implications"] = [
        {"when": {"mds_subtype": "MDS-IB2"}, "then": {"diagnosis": "MDS"}},
        {"when": {"mds": "other"}, "then": {"mds_subtype": "MDS-LB"}},
    ]
    assert Scheme.model_validate(table).is_contradicted_by(calls) is disagree


@pytest.mark.parametrize(
    ("head", "condition", "fault"),
    [
        ("diagnosis", '{ mds = ["MDS"] }', "primary one"),
        ("mds_subtype", '{ other = ["MDS"] }', "names no head that is always asked"),
        ("mds_subtype", '{ mds_subtype = ["MDS-LB"] }', "names no head that is always asked"),
        ("mds_subtype", '{ aml_subtype = ["NPM1"] }', "names no head that is always asked"),
        ("mds_subtype", '{ diagnosis = ["CML"] }', "CML"),
        ("mds_subtype", "{ diagnosis = [] }", "no answer"),
    ],
)
def test_refuses_a_condition_that_cannot_be_met(
    tmp_path: Path, head: str, condition: str, fault: str
) -> None:
    lines = CELLS.with_name("subtypes.toml").read_text().splitlines()
    lines = [line for line in lines if line != 'asked_when = { diagnosis = ["MDS"] }']
    lines.insert(lines.index(f'name = "{head}"') + 1, f"asked_when = {condition}")
    path = tmp_path / "scheme.toml"
    path.write_text("\n".join(lines))
    with pytest.raises(BadScheme, match=fault):
        Scheme.from_toml(path)
