"""The permuted-label control: it finds the leak of the seed's protocol, and none in the honest."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy import stats

from marrow.catalogue import cohorts, smears
from marrow.cli import main
from marrow.errors import CannotSplit
from marrow.importing import import_smears
from marrow.records import TrainingSpec
from marrow.schemes import AA_MDS_AML
from marrow.statistics import Interval
from training.audit import StudyAudit, audit_study
from training.labellings import train_heads
from training.losses import head_losses
from training.network import build_network
from training.permuted import ProtocolAudit, audit_protocol, exchanged, mean_interval
from training.splits import Sides
from training.steps import batch_order, seeded, train_step
from training.tally import Tally

pytestmark = pytest.mark.slow
SPEC = TrainingSpec(
    backbone="shufflenet_v2_x0_5", epochs=30, input_px=32, augment="seed8", copies=1, seed=1
)


def test_heads_trained_at_once_equal_heads_trained_alone(scheme):
    rng = np.random.default_rng(0)
    spec = TrainingSpec(epochs=3, batch_size=8, seed=4)
    network = build_network("shufflenet_v2_x0_5", scheme, spec.dropout, seed=2)
    inputs = torch.from_numpy(rng.normal(size=(21, network.channels)).astype(np.float32))
    classes = torch.from_numpy(rng.integers(0, 3, (4, 21)))
    balance = torch.from_numpy(rng.uniform(0.5, 1.5, (4, 21)).astype(np.float32))
    asked = torch.from_numpy(rng.normal(size=(5, network.channels)).astype(np.float32))
    layer = network.heads["diagnosis"]
    before = layer.weight.detach().clone()
    said = train_heads(layer, inputs, classes, balance, spec, asked)
    assert torch.equal(layer.weight, before)
    assert said.shape == (4, 5, 3)
    for number in range(4):
        alone = build_network("shufflenet_v2_x0_5", scheme, spec.dropout, seed=2)
        optimizer = torch.optim.Adam(alone.heads.parameters(), lr=spec.head_learning_rate)
        unknown = torch.full((21, 1), -1)
        both = torch.cat([unknown, classes[number][:, None]], dim=1)  # mds, diagnosis
        weights = balance[number][:, None].repeat(1, 2)
        for epoch in range(spec.epochs):
            for at, batch in enumerate(batch_order(spec.seed, epoch, 21, spec.batch_size)):
                with seeded(spec.seed, epoch, at, torch.device("cpu")):
                    alone.train()
                    logits = alone.answer(inputs[batch])
                    share = {"mds": 0.0, "diagnosis": 1.0}
                    train_step(optimizer, logits, both[batch], weights[batch], share, Tally())
        assert head_losses(alone.answer(inputs), both, weights).keys() == {"diagnosis"}
        with torch.no_grad():
            expected = alone.eval().answer(asked)["diagnosis"].double().softmax(1).numpy()
        # float32 sums in another order; Adam divides by the gradient's own size.
        np.testing.assert_allclose(said[number], expected, atol=1e-4)


def test_patients_exchange_their_labels_and_smears_follow(make_smears):
    smears = make_smears([(f"p{i % 9}", ("AA", "MDS", "AML")[i % 3]) for i in range(27)])
    truth = np.array([("AA", "MDS", "AML").index(s.answers["diagnosis"]) for s in smears])
    strata = [[f"p{i % 9}" for i in range(27)]]
    drawn = [exchanged(truth, [list(range(27))], strata, seed=0, number=n) for n in range(1, 30)]
    for permuted in drawn:
        assert Counter(permuted.tolist()) == Counter(truth.tolist())
        for patient in range(9):
            assert len(set(permuted[patient::9].tolist())) == 1
    assert len({tuple(one.tolist()) for one in drawn}) > 20
    again = exchanged(truth, [list(range(27))], strata, seed=0, number=1)
    assert (again == drawn[0]).all()
    # On average a label says nothing: a third of the patients keep theirs.
    assert np.mean([(one == truth).mean() for one in drawn]) == pytest.approx(1 / 3, abs=0.1)


def test_each_side_keeps_its_classes(make_smears):
    truth = np.array([0] * 4 + [1] * 4 + [2] * 4 + [0, 1, 2])
    rows = [list(range(12)), list(range(12, 15))]
    patients = [[f"p{i}" for i in own] for own in rows]
    for number in range(1, 10):
        permuted = exchanged(truth, rows, patients, seed=3, number=number)
        assert sorted(permuted[:12]) == sorted(truth[:12])
        assert sorted(permuted[12:]) == [0, 1, 2]


def test_the_interval_of_the_mean_is_students():
    areas = [0.42, 0.55, 0.61, 0.47, 0.5]
    found = mean_interval(areas)
    expected = stats.t.interval(0.95, 4, np.mean(areas), stats.sem(areas))
    assert (found.low, found.high) == pytest.approx(expected)
    assert (found.value, found.n) == (pytest.approx(0.51), 5)
    # By hand: s = 0.0731, s / sqrt(5) = 0.0327, t = 2.776.
    assert found.high - found.low == pytest.approx(2 * 2.776 * 0.0327, abs=2e-4)


def audited(low: float, high: float) -> ProtocolAudit:
    mean = Interval((low + high) / 2, low, high, 20, "t over permutations")
    true = Interval(0.9, 0.8, 0.95, 35, "bootstrap")
    return ProtocolAudit("honest", true, mean, (), "patients", 115, 35)


def test_the_verdict_follows_the_interval():
    assert audited(0.46, 0.53).is_sound
    assert audited(0.46, 0.53).verdict.endswith("it does not leak")
    assert not audited(0.51, 0.6).is_sound
    assert "LEAKS" in audited(0.51, 0.6).verdict
    assert not audited(0.40, 0.49).is_sound
    assert "below chance" in audited(0.40, 0.49).verdict


@pytest.fixture
def many(make_smears):
    """30 patients, whose colours are all alike whatever their diagnosis."""
    smears = make_smears([(f"p{i}", None) for i in range(30)])
    answers = [AA_MDS_AML.complete({"diagnosis": ("AA", "MDS", "AML")[i % 3]}) for i in range(30)]
    return [type(s)(s.smear, s.path, own) for s, own in zip(smears, answers, strict=True)]


def test_only_the_seeds_protocol_leaks(many, tmp_path):
    honest = audit_protocol(SPEC, AA_MDS_AML, Sides(many[:18], many[18:], []), tmp_path, 20)
    assert honest.is_sound
    assert (honest.unit, honest.patients, honest.test_patients) == ("patients", 30, 12)
    seed = SPEC.model_copy(update={"protocol": "seed2022"})
    leaking = audit_protocol(seed, AA_MDS_AML, Sides(many, [], []), tmp_path, 20)
    assert not leaking.is_sound
    assert leaking.permuted.value > 0.6
    assert leaking.unit == "augmented images"
    assert leaking.true.n == round(0.3 * 24 * 30)
    assert leaking.true.low is None


def test_near_duplicates_are_found_across_the_draw_and_in_locked_sites(make_study, many):
    study = make_study()
    folder = many[0].path.parent
    twins = {"twin.png": many[0].path, "outside.png": many[1].path}
    for name, path in twins.items():
        (folder / name).write_bytes(path.read_bytes() + b"\n")  # other bytes, the same picture
    lines = ["file,patient,site,diagnosis", "twin.png,other,,MDS", "outside.png,external,ulm,AA"]
    lines += [f"{s.path.name},{s.smear.patient},,{s.answers['diagnosis']}" for s in many]
    table = folder / "labels.csv"
    table.write_text("\n".join(lines))
    import_smears(study, [folder], table)
    with study.database.write() as connection:
        smears.keep_test_patients(connection, {f"p{i}" for i in range(9)})  # p0, not `other`
        now = study.database.now(connection)
        cohorts.lock_site(connection, now, study.scheme, "ulm")
    spec = SPEC.model_copy(update={"augment": "gentle", "copies": 2})
    found = audit_study(study, spec, 2, lambda: None)
    assert (found.honest.test_patients, found.honest.patients, found.smears) == (9, 31, 31)
    crossed = {
        frozenset((found.compared[i].path.name, found.sides[i]) for i in pair[:2])
        for pair in found.duplicates
    }
    assert {("1.png", "test"), ("twin.png", "train")} in crossed
    assert {("2.png", "test"), ("outside.png", "locked site ulm")} in crossed
    assert "twin.png (train) and 1.png (test)" in found.text
    assert len(json.loads(json.dumps(found.values))["near_duplicates"]) == len(found.duplicates)


def test_refuses_a_test_side_without_a_class(many, tmp_path):
    test = [s for s in many[18:] if s.answers["diagnosis"] != "AA"]
    with pytest.raises(CannotSplit, match="0 of AA, 4 of MDS, 4 of AML"):
        audit_protocol(SPEC, AA_MDS_AML, Sides(many[:18], test, []), tmp_path, 2)


def test_an_empty_study_is_refused(make_study):
    with pytest.raises(CannotSplit, match="No smear has an answer to diagnosis"):
        audit_study(make_study(), SPEC, 20, lambda: None)


class Printed(NamedTuple):
    code: int
    out: str
    err: str


def run_marrow(monkeypatch: pytest.MonkeyPatch, capsys, *arguments: str) -> Printed:
    monkeypatch.setattr("sys.argv", ["marrow", *arguments])
    code = 0
    try:
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    printed = capsys.readouterr()
    return Printed(code, printed.out, printed.err)


@pytest.mark.parametrize(("high", "code"), [(0.53, 0), (0.49, 1)])
def test_the_exit_code_tells_whether_the_honest_pipeline_leaks(
    make_study, many, monkeypatch, capsys, high, code
):
    study = make_study()
    leak = replace(audited(0.95, 0.97), protocol="seed2022", unit="augmented images")
    found = StudyAudit(SPEC, "diagnosis", audited(high - 0.06, high), leak, many, [], [], 0)
    monkeypatch.setattr("training.audit.audit_study", lambda *_: found)
    home = str(study.settings.home)
    printed = run_marrow(monkeypatch, capsys, "--home", home, "audit")
    assert printed.code == code
    assert "seed2022: permuted labels give a mean AUC of 0.960" in printed.out
    printed = run_marrow(monkeypatch, capsys, "--home", home, "audit", "--json")
    assert json.loads(printed.out)["leaks"] is bool(code)


def test_too_few_permutations_are_wrong_usage(monkeypatch, capsys, tmp_path):
    printed = run_marrow(
        monkeypatch, capsys, "--home", str(tmp_path), "audit", "--permutations", "19"
    )
    assert printed.code == 2
    assert "permutations" in printed.err


def test_one_command_shows_the_leak_on_synthetic_smears(monkeypatch, capsys, tmp_path):
    """The leakage table at a twelfth of its size; `marrow audit --synthetic` has it whole."""
    monkeypatch.setattr("training.audit_command._SYNTHETIC", {"AA": 5, "MDS": 5, "AML": 5})
    monkeypatch.setenv("MARROW_DATABASE", "postgresql://nobody@localhost:1/none")  # not asked
    options = ("--synthetic", "--backbone", "shufflenet_v2_x0_5", "--json")
    printed = run_marrow(monkeypatch, capsys, "--home", str(tmp_path / "none"), "audit", *options)
    found = json.loads(printed.out)
    assert found["synthetic"] is True
    honest, seed = found["protocols"]
    assert honest["permuted"]["low"] <= 0.5 <= honest["permuted"]["high"]
    assert seed["permuted"]["low"] > 0.8
    assert printed.code == 0
    assert not (tmp_path / "none").exists()
