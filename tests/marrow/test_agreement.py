"""Kappa over the labels of a study, against statsmodels and by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import insert
from statsmodels.stats.inter_rater import aggregate_raters
from statsmodels.stats.inter_rater import cohens_kappa as their_cohen
from statsmodels.stats.inter_rater import fleiss_kappa as their_fleiss

from marrow.agreement import Agreement, agreements
from marrow.catalogue import labels, smears
from marrow.catalogue.schema import label
from marrow.catalogue.sight import set_blind_readers
from marrow.commands.reading_words import agreement_text
from marrow.errors import BadReaders
from marrow.schemes import Scheme
from marrow.statistics import cohen_kappa, patient_bootstrap
from marrow.study import Study

EXAMPLES = Path(__file__).parents[2] / "examples"
ANSWERS = ("AA", "MDS", "AML", "unsure")
MakeStudy = Callable[..., Study]
AddSmears = Callable[..., list[int]]


def read(study: Study, reader: str, ids: Sequence[int], answers: Sequence[str]) -> None:
    """Store a reader's diagnoses at once."""
    rows = [
        {"smear_id": one, "head": "diagnosis", "answer": answer, "reader": reader,
         "seen_prediction": False, "at": 1.0}
        for one, answer in zip(ids, answers, strict=True)
    ]  # fmt: skip
    with study.database.write() as connection:
        connection.execute(insert(label), rows)


def one_patient_each(study: Study, ids: Sequence[int]) -> None:
    with study.database.write() as connection:
        for one in ids:
            smears.describe(connection, [one], patient=f"Q{one}")


def agreed(study: Study, *readers: str) -> Agreement:
    with study.database.read() as connection:
        return agreements(connection, study.scheme, readers)[0]


def readings(count: int, readers: int, seed: int) -> list[list[str]]:
    """Each reader gives the true answer with a chance of 0.6, or any; by reader."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 4, count)
    knows = random.random((readers, count)) < 0.6
    said = np.where(knows, truth, random.integers(0, 4, (readers, count)))
    return [[ANSWERS[place] for place in row] for row in said]


def test_cohen_equals_statsmodels_and_unsure_is_an_answer(
    any_study: Study, add_smears: AddSmears
) -> None:
    ids = add_smears(any_study, 60)
    one_patient_each(any_study, ids)
    first, second = readings(60, 2, seed=3)
    read(any_study, "A", ids, first)
    read(any_study, "B", ids[:50], second[:50])
    found = agreed(any_study)
    (pair,) = found.pairs
    pairs = list(zip(first[:50], second[:50], strict=True))
    table = [[pairs.count((a, b)) for b in ANSWERS] for a in ANSWERS]
    assert (found.smears, found.patients, found.answers) == (50, 50, ANSWERS)
    assert pair.counts == tuple(map(tuple, table))
    assert found.answered == {"A": 60, "B": 50}
    assert found.unsure == {"A": first.count("unsure"), "B": second[:50].count("unsure")}
    assert min(found.unsure.values()) > 0
    theirs = their_cohen(np.array(table))
    ours = pair.kappa
    assert ours.value == pytest.approx(theirs.kappa, abs=1e-12)
    assert (ours.low, ours.high) == pytest.approx((theirs.kappa_low, theirs.kappa_upp), abs=1e-9)
    assert (ours.n, ours.unit, pair.equal.unit) == (50, "patients", "patients")
    assert pair.equal.value == pytest.approx(np.trace(table) / 50)
    assert pair.equal.method == "wilson"
    differing = [place for place in range(50) if first[place] != second[place]]
    assert [one.smear_id for one in found.disagreements] == [ids[place] for place in differing]
    assert found.disagreements[0].answers == {"A": first[differing[0]], "B": second[differing[0]]}


def test_smears_of_a_patient_are_drawn_together(
    make_study: MakeStudy, add_smears: AddSmears
) -> None:
    study = make_study()
    ids = add_smears(study, 40)  # two of each patient
    first, second = readings(40, 2, seed=4)
    read(study, "A", ids, first)
    read(study, "B", ids, second)
    found = agreed(study)
    groups = [f"P{place // 2}" for place in range(40)]
    assert (found.smears, found.patients) == (40, 20)
    same = np.array([a == b for a, b in zip(first, second, strict=True)], dtype=float)
    share = patient_bootstrap(lambda w: (w @ same) / w.sum(axis=1), groups)
    assert found.pairs[0].equal.n == 20
    assert (found.pairs[0].equal.low, found.pairs[0].equal.high) == (share.low, share.high)
    kappa = cohen_kappa(first, second, groups)
    assert found.pairs[0].kappa.value == pytest.approx(kappa.value)
    assert (found.pairs[0].kappa.low, found.pairs[0].kappa.high) == pytest.approx(
        (kappa.low, kappa.high)
    )


def test_three_readers_have_fleiss_kappa_and_three_pairs(
    make_study: MakeStudy, add_smears: AddSmears
) -> None:
    study = make_study()
    ids = add_smears(study, 30)
    one_patient_each(study, ids)
    said = readings(30, 3, seed=5)
    for reader, answers in zip("ABC", said, strict=True):
        read(study, reader, ids, answers)
    found = agreed(study)
    assert [pair.readers for pair in found.pairs] == [("A", "B"), ("A", "C"), ("B", "C")]
    counts, _ = aggregate_raters(np.array([[ANSWERS.index(one) for one in row] for row in said]).T)
    assert found.fleiss is not None
    assert found.fleiss.value == pytest.approx(their_fleiss(counts))
    assert agreed(study, "C", "A").readers == ("C", "A")
    assert agreed(study, "C", "A").fleiss is None
    assert agreed(study, "C", "A").pairs[0].counts == tuple(
        zip(*found.pairs[1].counts, strict=True)
    )


def test_a_third_reader_who_has_read_little_hides_nothing(
    any_study: Study, add_smears: AddSmears
) -> None:
    ids = add_smears(any_study, 40)
    one_patient_each(any_study, ids)
    first, second, third = readings(40, 3, seed=6)
    read(any_study, "A", ids, first)
    read(any_study, "B", ids, second)
    read(any_study, "C", ids[:10], third[:10])
    found = agreed(any_study)
    assert (found.smears, found.answered) == (10, {"A": 40, "B": 40, "C": 10})
    said = {"A": first, "B": second, "C": third}
    for pair, size in zip(found.pairs, (40, 10, 10), strict=True):
        answers = list(zip(*(said[name][:size] for name in pair.readers), strict=True))
        table = [[answers.count((a, b)) for b in ANSWERS] for a in ANSWERS]
        assert pair.smears == pair.kappa.n == size
        assert pair.counts == tuple(map(tuple, table))
        assert pair.kappa.value == pytest.approx(their_cohen(np.array(table)).kappa)
    places = np.array([[ANSWERS.index(one) for one in row[:10]] for row in (first, second, third)])
    assert found.fleiss is not None
    assert found.fleiss.value == pytest.approx(their_fleiss(aggregate_raters(places.T)[0]))
    assert found.fleiss.n == 10
    wanted = [
        one
        for place, one in enumerate(ids)
        if len({first[place], second[place], *third[:10][place : place + 1]}) > 1
    ]
    assert [one.smear_id for one in found.disagreements] == wanted
    assert set(found.disagreements[-1].answers) == {"A", "B"}
    text = agreement_text([found], 0)
    assert "10 smears of 10 patients have an answer of A, B, C" in text
    assert "A and B, 40 smears: Cohen's kappa" in text
    assert f"A {found.unsure['A']} of 40" in text


def test_two_who_have_read_nothing_together_have_no_figure_and_no_disagreement(
    make_study: MakeStudy, add_smears: AddSmears
) -> None:
    study = make_study()
    ids = add_smears(study, 4)
    read(study, "A", ids[:2], ["AA", "MDS"])
    read(study, "B", ids[2:], ["AML", "MDS"])
    found = agreed(study)
    assert (found.smears, found.pairs[0].smears, found.disagreements) == (0, 0, ())
    assert "at least 2" in (found.pairs[0].kappa.reason or "")


def test_only_open_smears_count_and_rulings_are_shown(
    any_study: Study, add_smears: AddSmears
) -> None:
    ids = add_smears(any_study, 6)
    read(any_study, "A", ids, ["AA", "AA", "MDS", "MDS", "AML", "AML"])
    read(any_study, "B", ids[:4], ["AA", "MDS", "MDS", "AA"])
    read(any_study, "C", ids, ["AML"] * 6)
    with any_study.database.write() as connection:
        set_blind_readers(connection, ["A", "B"])
        given = {"diagnosis": "MDS"}
        labels.adjudicate(connection, 2.0, any_study.scheme, ids[1], given, "judge", False)
    found = agreed(any_study)
    assert (found.readers, found.smears, found.patients) == (("A", "B"), 4, 2)
    # C is no blind reader: what he says keeps smears from training, and counts in no figure.
    said = [(one.smear, *one.answers.values(), one.adjudicated) for one in found.disagreements]
    assert said == [
        ("S000001", "AA", "AA", "AML", None),
        ("S000002", "AA", "MDS", "AML", "MDS"),
        ("S000003", "MDS", "MDS", "AML", None),
        ("S000004", "MDS", "AA", "AML", None),
    ]
    of_two = agreed(any_study, "A", "B")
    assert [one.smear for one in of_two.disagreements] == ["S000002", "S000004"]
    assert of_two.pairs == found.pairs
    # A and B agree on 2 of 4: AA/AA, AA/MDS, MDS/MDS, MDS/AA; by chance 1/2, so kappa is 0.
    assert found.pairs[0].equal.value == pytest.approx(0.5)
    assert found.pairs[0].kappa.value == pytest.approx(0.0)
    # Who has not read blind is compared where all blind readers have read, and nowhere else.
    assert agreed(any_study, "A", "C").smears == 4
    text = agreement_text([found], 2)
    assert "diagnosis: 4 smears of 2 patients have an answer of A, B" in text
    assert "S000002 of P0: A AA, B MDS, C AML; adjudicated: MDS" in text
    assert "2 smears are hidden: blind reading" in text


def test_a_question_that_is_not_always_asked_counts_where_both_answer(
    make_study: MakeStudy, add_smears: AddSmears
) -> None:
    study = make_study(Scheme.from_toml(EXAMPLES / "subtypes.toml"))
    ids = add_smears(study, 6)
    subtypes = {"A": ["MDS-LB", "MDS-5q", "MDS-LB"], "B": ["MDS-LB", "MDS-LB"]}
    with study.database.write() as connection:
        set_blind_readers(connection, ["A", "B"])
        for reader, own in subtypes.items():
            for place, one in enumerate(ids):
                given = {"diagnosis": "MDS"}
                if place < len(own):
                    given["mds_subtype"] = own[place]
                labels.give(connection, 1.0, study.scheme, one, given, reader, False)
        found = {one.head: one for one in agreements(connection, study.scheme)}
    assert list(found) == ["diagnosis", "mds_subtype", "aml_subtype"]
    assert found["mds_subtype"].smears == 2
    assert [one.smear_id for one in found["mds_subtype"].disagreements] == [ids[1]]
    # All answers of one class: there is no kappa, and that is said.
    assert found["diagnosis"].pairs[0].kappa.value is None
    assert "chance" in (found["diagnosis"].pairs[0].kappa.reason or "")
    assert found["aml_subtype"].smears == 0
    assert "at least 2" in (found["aml_subtype"].pairs[0].kappa.reason or "")


def test_agreement_needs_two(make_study: MakeStudy, add_smears: AddSmears) -> None:
    study = make_study()
    ids = add_smears(study, 2)
    with pytest.raises(BadReaders, match="nobody has labelled"):
        agreed(study)
    read(study, "A", ids, ["AA", "MDS"])
    with pytest.raises(BadReaders, match="only 'A'"):
        agreed(study)
    assert agreed(study, "A", "B").smears == 0


def test_golden_agreement(make_study: MakeStudy, add_smears: AddSmears) -> None:
    study = make_study()
    ids = add_smears(study, 2)
    read(study, "A", ids, ["AA", "MDS"])
    read(study, "B", ids, ["AA", "AML"])
    reason = '"n":1,"unit":"patients","method":"none","reason":"1 patient has smears that all '
    none = '{"value":null,"low":null,"high":null,' + reason + 'have read; at least 2 are needed"}'
    text = (
        '{"head":"diagnosis","readers":["A","B"],"answers":["AA","MDS","AML","unsure"],'
        '"smears":2,"patients":1,"answered":{"A":2,"B":2},"unsure":{"A":0,"B":0},'
        '"pairs":[{"readers":["A","B"],"smears":2,"counts":[[1,0,0,0],[0,0,1,0],[0,0,0,0],[0,0,0,0]],'
        f'"equal":{none},"kappa":{none}}}],"fleiss":null,'
        '"disagreements":[{"smear_id":2,"smear":"S000002","patient":"P0",'
        '"answers":{"A":"MDS","B":"AML"},"adjudicated":null}]}'
    )
    assert agreed(study).model_dump_json() == text
    assert Agreement.model_validate_json(text) == agreed(study)
