"""Exports of a filter, read again by programs that know nothing of ours."""

from __future__ import annotations

import csv
import errno
import json
import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from marrow.catalogue import jobs, labels, predictions, regions, smears
from marrow.catalogue.predictions import ResultFilter, Sort
from marrow.catalogue.regions import NewRegion
from marrow.catalogue.schema import job_smear, smear
from marrow.cli import build
from marrow.errors import BadSettings, NotFound
from marrow.exporting import write_results_csv, write_results_geojson, write_results_parquet
from marrow.placing import placed
from marrow.records import Answer, AnswerMap, HeadAnswer, ModelRecord, Provenance
from marrow.regions_file import import_regions
from marrow.schemes import Scheme
from marrow.study import Study

EVERYTHING = ResultFilter()
BY_SMEAR = Sort()
SAID = ((0.2, 0.8, "unsure"), (0.9, 0.1, ""), (0.4, 0.6, "heads-disagree unsure"), (0.3, 0.7, ""))
"""p of other and MDS, and the flags, of smears 1 to 4."""
THIRDS = 1 / 3 + 0.4
RING = ((10.25, 20.5), (10.25, 60.1), (50.7, 60.3))


@pytest.fixture
def study(
    make_study: Callable[..., Study],
    add_smears: Callable[..., list[int]],
    add_model: Callable[..., ModelRecord],
) -> Study:
    """Four answered smears, the last a slide with a map; the fifth has failed in job 1."""
    made = make_study()
    ids = add_smears(made, 5)
    model = add_model(made)
    with made.database.write() as connection:
        by = predictions.provenance_id(
            connection, Provenance(code_version="0", torch_version="0", device="cpu", host="h")
        )
        job = jobs.submit_classify(connection, 1.0, model, ids)
        answers = {
            one: (_answer(*said), _tiles() if one == ids[3] else None)
            for one, said in zip(ids, SAID, strict=False)
        }
        stored = predictions.store(
            connection, 1_700_000_000.5, made.scheme, model, by, dict.fromkeys(ids, 0), answers
        )
        for one, prediction_id in stored.items():
            own = job_smear.update().where(job_smear.c.smear_id == one)
            connection.execute(own.values(prediction_id=prediction_id))
        failed = job_smear.update().where(job_smear.c.smear_id == ids[4])
        connection.execute(failed.values(error="=dark"))
        connection.execute(smear.update().where(smear.c.id == ids[3]).values(is_slide=True))
        smears.describe(connection, ids[:1], patient="=cmd()")
        labels.give(connection, 1.0, made.scheme, ids[1], {"diagnosis": "AML"}, "jk", False)
    assert job.id == 1
    return made


def _answer(other: float, mds: float, flags: str) -> Answer:
    call = "MDS" if mds > 0.5 else "other"
    heads = (
        HeadAnswer(head="mds", call=call, probabilities=(other, mds)),
        HeadAnswer(
            head="diagnosis", call="MDS", probabilities=(0.1, 1 / 3 + 0.4, 0.9 - 1 / 3 - 0.4)
        ),
    )
    return Answer(heads=heads, flags=tuple(flags.split()))


def _tiles() -> AnswerMap:
    values = np.full((5, 2, 3), np.nan, "<f2")
    values[:, 1, 2] = (0.25, 0.75, 0.5, 0.25, 0.25)
    return AnswerMap("tiles", values.tobytes(), (5, 2, 3), (100.0, 120.0))


def draw(study: Study, smear_id: int, *drawn: NewRegion) -> None:
    with study.database.write() as connection:
        regions.replace(connection, 1.0, smear_id, drawn, "jk")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def names(rows: Iterable[dict[str, Any]]) -> list[str]:
    return [row["smear"] for row in rows]


def test_a_table_has_the_rows_of_the_filter_in_its_order(study: Study, tmp_path: Path) -> None:
    target = tmp_path / "r.csv"
    of_job = ResultFilter(job_id=1, has_ended=True)
    counted: list[None] = []
    written = write_results_csv(
        study, of_job, Sort(column="worklist"), target, lambda: counted.append(None)
    )
    assert written == len(counted) == 5
    rows = rows_of(target)
    # Failed, heads-disagree, unsure, and those without a flag.
    assert names(rows) == ["S000005", "S000003", "S000001", "S000002", "S000004"]
    assert rows[0]["error"] == "'=dark"
    assert rows[2]["patient"] == "'=cmd()"
    assert rows[3]["diagnosis_label"] == "AML"
    assert rows[3]["at"] == "2023-11-14T22:13:20+00:00"
    assert write_results_csv(study, ResultFilter(disagrees=True), BY_SMEAR, target) == 1
    assert names(rows_of(target)) == ["S000002"]


def test_a_parquet_file_is_typed_and_says_where_it_is_from(study: Study, tmp_path: Path) -> None:
    target = tmp_path / "r.parquet"
    of_job = ResultFilter(job_id=1, has_ended=True)
    assert write_results_parquet(study, of_job, Sort(column="worklist"), target) == 5
    table = pq.read_table(target)
    types = {field.name: field.type for field in table.schema}
    assert types["mds_p_MDS"] == pa.float64()
    assert pa.types.is_dictionary(types["diagnosis"])
    assert types["at"] == pa.timestamp("us", tz="UTC")
    rows = table.to_pylist()
    assert names(rows) == ["S000005", "S000003", "S000001", "S000002", "S000004"]
    assert rows[1]["flags"] == ["heads-disagree", "unsure"]
    assert rows[1]["diagnosis_p_MDS"] == THIRDS  # every digit
    assert rows[1]["at"] == datetime.fromtimestamp(1_700_000_000.5, UTC)
    assert rows[2]["patient"] == "=cmd()"  # no spreadsheet reads this form: it is left as it is
    assert rows[0]["mds"] is rows[0]["at"] is rows[1]["mds_set"] is None
    about = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    assert about["marrow.notice"] == "research use only"
    assert Scheme.model_validate_json(about["marrow.scheme"]) == study.scheme
    assert json.loads(about["marrow.filter"]) == {"job_id": 1, "has_ended": True}


def test_the_regions_of_a_filter_go_to_a_file_per_smear_and_come_back(
    study: Study, tmp_path: Path
) -> None:
    drawn = NewRegion(role="exclude", polygon=RING), NewRegion(role="use", polygon=RING[::-1])
    draw(study, 1, *drawn)
    alone = write_results_geojson(study, EVERYTHING, BY_SMEAR, tmp_path / "one.geojson")
    assert alone == (2, (tmp_path / "one.geojson",))
    draw(study, 3, NewRegion(role="class", class_name="MDS", polygon=RING))
    done = write_results_geojson(study, EVERYTHING, BY_SMEAR, tmp_path / "all.geojson")
    assert [one.relative_to(tmp_path).as_posix() for one in done.files] == [
        "all/S000001.geojson",
        "all/S000003.geojson",
    ]
    flagged = ResultFilter(flag="heads-disagree")
    assert write_results_geojson(study, flagged, BY_SMEAR, tmp_path / "f.geojson").features == 1
    for smear_id in (1, 3):
        draw(study, smear_id)
    for one in done.files:
        import_regions(study, one, "mw")
    with study.database.read() as connection:
        found = regions.of(connection, 1)
    assert [(one.role, one.polygon) for one in found] == [(one.role, one.polygon) for one in drawn]


def test_the_tiles_of_a_slide_are_qupath_s_tiles(study: Study, tmp_path: Path) -> None:
    target = tmp_path / "tiles.geojson"
    done = write_results_geojson(study, EVERYTHING, BY_SMEAR, target, with_tiles=True)
    assert done == (1, (target,))
    (tile,) = json.loads(target.read_text(encoding="utf-8"))["features"]
    # Second row and third column of cells of 100 x 120 px: x from 240, y from 100.
    assert tile["geometry"]["coordinates"] == [
        [[240.0, 100.0], [360.0, 100.0], [360.0, 200.0], [240.0, 200.0], [240.0, 100.0]]
    ]
    assert tile["properties"]["objectType"] == "tile"
    assert tile["properties"]["measurements"]["mds p MDS"] == 0.75
    # Nobody drew them: they do not come back as regions.
    assert import_regions(study, target, "mw") == (0, 0, 1)


def test_nothing_drawn_is_told(study: Study, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="Nothing is drawn on these smears"):
        write_results_geojson(study, EVERYTHING, BY_SMEAR, tmp_path / "x.geojson")
    assert list(tmp_path.glob("x*")) == []


def test_an_export_of_regions_that_is_stopped_leaves_nothing(study: Study, tmp_path: Path) -> None:
    for smear_id in (1, 2, 3):
        draw(study, smear_id, NewRegion(role="use", polygon=RING))
    folder = tmp_path / "2024.11 night"
    folder.mkdir()
    (folder / "S000001.geojson").write_text("yesterday")
    rows = iter(range(2))

    def stop() -> None:
        if next(rows, None) is None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        target = tmp_path / "2024.11 night.geojson"
        write_results_geojson(study, EVERYTHING, BY_SMEAR, target, on_row=stop)
    assert list(tmp_path.glob(".marrow-*")) == []
    assert [one.name for one in folder.iterdir()] == ["S000001.geojson"]
    assert (folder / "S000001.geojson").read_text() == "yesterday"


@pytest.mark.parametrize("write", [write_results_csv, write_results_parquet])
def test_what_fails_half_way_leaves_the_earlier_file(
    study: Study, tmp_path: Path, write: Callable[..., int]
) -> None:
    target = tmp_path / "results"
    target.write_text("yesterday")

    def fill_the_disk() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(BadSettings, match="No space left on device; free some space"):
        write(study, EVERYTHING, BY_SMEAR, target, fill_the_disk)
    assert target.read_text() == "yesterday"
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["results"]


def test_a_file_is_put_where_its_link_leads(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.csv"
    link.symlink_to(tmp_path / "real" / "file.csv")
    with placed(link) as aside:
        aside.write_text("new")
    assert link.is_symlink()
    assert (tmp_path / "real" / "file.csv").read_text() == "new"


def run(study: Study, *arguments: str) -> tuple[int, str]:
    home = str(study.settings.home)
    done = CliRunner().invoke(build(), ["--home", home, *arguments])
    return done.exit_code, done.output


def test_the_command_has_the_filters_of_the_table(study: Study, tmp_path: Path) -> None:
    target = tmp_path / "r.csv"
    asked: dict[tuple[str, ...], list[str]] = {
        ("--flag", "any"): ["S000001", "S000003"],
        ("--flag", "heads-disagree"): ["S000003"],
        ("--call", "mds:other"): ["S000002"],
        ("--call", "mds:MDS", "--min-p", "0.65"): ["S000001", "S000004"],
        ("--disagrees",): ["S000002"],
        ("--search", "=cmd"): ["S000001"],
        ("--model", "m1", "--sort", "p:mds:MDS", "--descending"): [
            "S000001", "S000004", "S000003", "S000002",
        ],
        ("--job", "1", "--sort", "worklist"): [
            "S000005", "S000003", "S000001", "S000002", "S000004",
        ],
    }  # fmt: skip
    for options, wanted in asked.items():
        assert run(study, "export", str(target), *options)[0] == 0, options
        assert names(rows_of(target)) == wanted, options
    assert run(study, "export", str(tmp_path / "r.parquet"))[0] == 0
    assert run(study, "export", str(tmp_path / "r.html"), "--json")[0] == 0
    assert (tmp_path / "r.html").read_text(encoding="utf-8").count("<section>") == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("x.xlsx",), "use .csv, .parquet, .geojson, .html"),
        (("x.csv", "--call", "mds"), "no HEAD:CLASS"),
        (("x.csv", "--min-p", "0.5"), "--min-p needs --call"),
        (("x.csv", "--sort", "colour"), "no column 'colour'"),
        (("x.csv", "--by", "patient", "--disagrees"), "use --model alone"),
    ],
)
def test_options_that_cannot_be_are_wrong_usage(
    study: Study, options: tuple[str, ...], said: str
) -> None:
    code, output = run(study, "export", *options)
    assert code == 2
    assert said in " ".join(output.replace("│", " ").split())


def test_the_worklist_is_printed(study: Study) -> None:
    code, output = run(study, "worklist", "--job", "1", "--limit", "3", "--json")
    told = json.loads(output)
    assert (code, told["total"], names(told["rows"])) == (
        0, 5, ["S000005", "S000003", "S000001"],
    )  # fmt: skip
    assert told["rows"][0]["error"] == "=dark"
    assert told["rows"][1]["answers"]["mds"] == {"call": "MDS", "p": 0.6}
    code, output = run(study, "worklist")
    assert code == 0
    assert output.index("S000003") < output.index("S000001") < output.index("S000002")
    assert "4 of 4 results" in output
