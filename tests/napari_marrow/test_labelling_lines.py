"""What label mode and the Cases list say."""

from __future__ import annotations

from pathlib import Path

from marrow.catalogue.labels import Progress
from marrow.records import Label
from marrow.schemes import AA_MDS_AML, Scheme
from napari_marrow.lines.cases import case_choices, history_text, others_text
from napari_marrow.lines.labelling import (
    answer_keys,
    case_text,
    first_head,
    is_read,
    keys_text,
    next_head,
    ruled_out,
)

SUBTYPES = Scheme.from_toml(Path(__file__).parents[2] / "examples" / "subtypes.toml")


def test_keys_are_the_classes_in_their_order() -> None:
    assert answer_keys(AA_MDS_AML.head("diagnosis")) == {
        "1": "AA",
        "2": "MDS",
        "3": "AML",
        "0": "unsure",
    }
    assert keys_text(AA_MDS_AML, AA_MDS_AML.head("diagnosis")) == (
        "LABEL MODE  1 AA  2 MDS  3 AML  0 unsure"
    )
    assert len(answer_keys(SUBTYPES.head("aml_subtype"))) == 10


def test_a_smear_says_where_it_stands_and_what_was_said_of_it() -> None:
    assert case_text(148, 147, 1400, {"diagnosis": ""}, is_flagged=False) == (
        "148/1,400  S000148  not labelled by you"
    )
    own = {"diagnosis": "MDS", "mds_subtype": "MDS-LB"}
    assert case_text(None, None, 30, own, is_flagged=True) == (
        "not in this list  your label: MDS, MDS-LB  flagged"
    )


def test_heads_are_asked_where_and_when_they_make_sense() -> None:
    def following(own: dict[str, str], answered: str) -> str | None:
        head = next_head(SUBTYPES, own, answered)
        return None if head is None else head.name

    assert first_head(SUBTYPES, {}).name == "diagnosis"
    assert first_head(SUBTYPES, {"diagnosis": "MDS"}).name == "mds_subtype"
    assert first_head(SUBTYPES, {"diagnosis": "AA"}).name == "diagnosis"
    assert following({"diagnosis": "AML"}, "diagnosis") == "aml_subtype"
    assert following({"diagnosis": "AA"}, "diagnosis") is None
    assert following({"diagnosis": "unsure"}, "diagnosis") is None
    assert following({"diagnosis": "MDS", "mds_subtype": "MDS-f"}, "mds_subtype") is None
    assert ruled_out(SUBTYPES, {"diagnosis": "AML", "mds_subtype": "MDS-f"}) == ["mds_subtype"]
    assert ruled_out(SUBTYPES, {"diagnosis": "AA"}) == ["mds_subtype", "aml_subtype"]
    assert ruled_out(SUBTYPES, {"mds_subtype": "MDS-f"}) == []
    assert is_read(SUBTYPES, {"diagnosis": "MDS"})
    assert not is_read(SUBTYPES, {"diagnosis": "", "mds_subtype": "MDS-f"})


def test_the_filter_offers_each_class_with_its_head_where_several_are_asked() -> None:
    titles = [choice.title for choice in case_choices(SUBTYPES, "A")]
    assert "diagnosis: AML" in titles
    assert "aml_subtype: erythroid" in titles
    (mine,) = (one.shown for one in case_choices(SUBTYPES, "A") if one.title == "unlabelled by me")
    assert mine.unread_by == "A"


def test_others_are_counted_and_the_reader_himself_is_not() -> None:
    def progress(reader: str, read: int) -> Progress:
        return Progress(reader=reader, read=read, total=400, is_blind=False)

    assert others_text([progress("A", 148)]) == ""
    assert (
        others_text([progress("A", 148), progress("B", 1040), progress("C", 2)]) == "B 1,040, C 2"
    )


def test_a_history_strikes_out_what_was_superseded_and_escapes_names() -> None:
    def given(answer: str, superseded_at: float | None, **more: bool) -> Label:
        return Label(
            id=1,
            smear_id=7,
            head="diagnosis",
            answer=answer,
            reader="<i>A</i>",
            seen_prediction=more.pop("seen", False),
            at=1.8e9,
            superseded_at=superseded_at,
            **more,
        )

    rows = [
        given("AA", 1.9e9),
        given("MDS", None, seen=True),
        given("AML", None, is_adjudicated=True),
    ]
    words = history_text("S000007", rows)
    assert "<s>diagnosis: AA</s>" in words
    assert "<s>diagnosis: MDS</s>" not in words
    assert "&lt;i&gt;A&lt;/i&gt;" in words
    assert words.count("blind") == 2
    assert "adjudicated, blind" in words
    assert "model seen" in words
    assert "No label yet" in history_text("S000007", [])
