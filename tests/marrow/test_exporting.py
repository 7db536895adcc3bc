"""Results as CSV: a set where the model has quantiles, cells where a head applies."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from marrow.calibration import Calibration, HeadCalibration
from marrow.catalogue import models, predictions
from marrow.errors import BadModel
from marrow.exporting import result_columns, write_all_csv
from marrow.records import Answer, HeadAnswer, ModelRecord, Provenance
from marrow.schemes import Scheme
from marrow.study import Study

EXAMPLES = Path(__file__).parents[2] / "examples"
MADE_BY = Provenance(code_version="0", torch_version="0", device="cpu", host="here")
MakeStudy = Callable[..., Study]
AddSmears = Callable[..., list[int]]


def calibration(mds: tuple[float | None, ...], diagnosis: tuple[float | None, ...]) -> Calibration:
    fitted = {"mds": mds, "diagnosis": diagnosis}
    heads = {
        name: HeadCalibration(temperature=1, conformal=its, patients=80)
        for name, its in fitted.items()
    }
    return Calibration(heads=heads, source="80 patients")


def add_model(study: Study, sha256: str, card: dict[str, object]) -> ModelRecord:
    with study.database.write() as connection:
        return models.register(
            connection, 0.0, sha256=sha256 * 64, path=sha256, preprocessing="b" * 64,
            precision="fp32", card=card, job_id=None,
        )  # fmt: skip


def store(study: Study, model: ModelRecord, smear: int, answer: Answer) -> None:
    with study.database.write() as connection:
        by = predictions.provenance_id(connection, MADE_BY)
        given = {smear: (answer, None)}
        predictions.store(connection, 1.0, study.scheme, model, by, {smear: 0}, given)


def answer(scheme: Scheme, *probabilities: tuple[float, ...]) -> Answer:
    heads = tuple(
        HeadAnswer(head=head.name, call=head.classes[own.index(max(own))], probabilities=own)
        for head, own in zip(scheme.heads, probabilities, strict=True)
    )
    return Answer(heads=heads, flags=("unsure", "unlike-training"))


def exported(study: Study, target: Path) -> list[dict[str, str]]:
    write_all_csv(study, target)
    with target.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_set_stands_beside_the_call_where_the_model_has_quantiles(
    make_study: MakeStudy, add_smears: AddSmears, tmp_path: Path
) -> None:
    study = make_study()
    (smear,) = add_smears(study, 1)
    said = answer(study.scheme, (0.7, 0.3), (0.5, 0.4, 0.1))
    fitted = {
        "a": calibration((0.2, 0.2), (0.6, 0.65, 0.8)),
        "c": calibration((None, None), (0.1, 0.1, None)),
    }
    for sha256, one in fitted.items():
        card = {"calibration": one.model_dump(mode="json")}
        store(study, add_model(study, sha256, card), smear, said)
    store(study, add_model(study, "d", {}), smear, said)
    first, second, third = exported(study, tmp_path / "all.csv")
    assert list(first) == result_columns(study.scheme)
    assert (first["diagnosis"], first["diagnosis_set"]) == ("AA", "AA|MDS")
    assert first["mds_set"] == "(none)"
    # AML has too few patients to be ruled out; of `mds` nothing is known.
    assert (second["diagnosis_set"], second["mds_set"]) == ("AML", "")
    assert (third["diagnosis_set"], third["mds_set"]) == ("", "")
    assert first["flags"] == "unsure unlike-training"
    assert first["diagnosis_p_AA"] == "0.500000"


def test_a_subtype_is_exported_only_where_it_applies(
    make_study: MakeStudy, add_smears: AddSmears, tmp_path: Path
) -> None:
    study = make_study(Scheme.from_toml(EXAMPLES / "subtypes.toml"))
    ids = add_smears(study, 2)
    model = add_model(study, "a", {})
    mds, aml = (0.3,) + (0.1,) * 7, (0.5,) + (0.05,) * 10
    store(study, model, ids[0], answer(study.scheme, (0.1, 0.9), (0.1, 0.8, 0.1), mds, aml))
    store(study, model, ids[1], answer(study.scheme, (0.9, 0.1), (0.8, 0.1, 0.1), mds, aml))
    first, second = exported(study, tmp_path / "all.csv")
    assert first["mds_subtype"] == "MDS-5q"
    assert first["mds_subtype_p_MDS-5q"] == "0.300000"
    subtypes = [name for name in first if name.startswith("aml_subtype")]
    assert {first[name] for name in subtypes} == {""}
    subtypes += [name for name in second if name.startswith("mds_subtype")]
    assert {second[name] for name in subtypes} == {""}
    assert second["diagnosis"] == "AA"


def test_a_calibration_of_another_version_is_refused(
    make_study: MakeStudy, add_smears: AddSmears, tmp_path: Path
) -> None:
    study = make_study()
    add_smears(study, 1)
    add_model(study, "a", {"calibration": {"colour": "red"}})
    with pytest.raises(BadModel, match="train or import the model again"):
        write_all_csv(study, tmp_path / "all.csv")
    assert not (tmp_path / "all.csv").exists()


@pytest.mark.slow
def test_export_by_patient_on_the_command_line(
    make_study: MakeStudy, add_smears: AddSmears, tmp_path: Path
) -> None:
    study = make_study()
    ids = add_smears(study, 4)

    def marrow(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "marrow", "--home", str(study.settings.home), "export"]
        return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)

    target = tmp_path / "p.csv"
    none = marrow(str(target), "--by", "patient")
    assert (none.returncode, "no model yet" in none.stderr) == (1, True)
    model = add_model(study, "a", {})
    for smear in ids:
        store(study, model, smear, answer(study.scheme, (0.7, 0.3), (0.5, 0.4, 0.1)))
    done = marrow(str(target), "--by", "patient")
    assert done.stdout == f"2 patients in {target}\n", done.stderr
    assert marrow(str(target), "--by", "patient", "--model", model.name).returncode == 0
    assert marrow(str(target), "--by", "patient", "--model", "m99").returncode == 1
    assert marrow(str(target), "--model", "m99").returncode == 1
    assert marrow(str(target)).stdout == f"4 predictions in {target}\n"
