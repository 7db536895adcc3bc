"""A report is whole, says what it lacks, and never takes what is not its own."""

from __future__ import annotations

import csv
import errno
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from marrow.catalogue import jobs, labels, models
from marrow.cli import build
from marrow.errors import BadModel, BadSettings, NotFound
from marrow.evaluate import evaluate_blind
from marrow.schemes import AA_MDS_AML, Head, Scheme
from marrow.settings import Settings
from marrow.study import Study
from tests.training.reported_study import (
    BASE,
    add_model,
    add_patients,
    card_of,
    figures_of,
    make_answers,
    reported_study,
)
from training.report import files, make_report
from training.report.cohort import labels_parts
from training.report.evidence import gather
from training.report.grid import Grid
from training.report.parts import Warn

TAGS_WITHOUT_END = {"meta", "img", "br"}


class Outline(HTMLParser):
    """Checks that every tag is closed, and collects what the page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.captions = 0

    def handle_starttag(self, tag, attrs):
        if tag not in TAGS_WITHOUT_END:
            self.open.append(tag)
        self.captions += tag == "figcaption"
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def outline_of(page: Path) -> Outline:
    outline = Outline()
    outline.feed(page.read_text(encoding="utf-8"))
    assert outline.open == []
    return outline


def table_of(folder: Path, key: str) -> list[dict[str, str]]:
    with (folder / "tables" / f"{key}.csv").open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A report that the tests only read, its study and its model."""
    folder = tmp_path_factory.mktemp("made")
    study = Study.create(Settings(home=folder / "home"), AA_MDS_AML, clock=lambda: 1_800_000_000.0)
    record = reported_study(study)
    yield make_report(study, record.id, folder / "out"), study, record
    study.close()


@pytest.mark.slow
def test_a_report_is_one_page_with_every_table_and_figure_beside_it(made):
    report, _, _ = made
    folder = report.page.parent
    outline = outline_of(report.page)
    assert all(link.startswith(("#", "data:")) for link in outline.links)
    text = report.page.read_text(encoding="utf-8")
    assert "Research use only" in text
    # The paper's five tables come first and in its order.
    titles = re.findall(r"<b>(Table \d+\. [^<]*)</b>", text)
    assert [title.split(". ", 1)[1] for title in titles[:5]] == [
        "Head mds: performance with different loss weights.",
        "Head mds: performance with different numbers of epochs.",
        "Head diagnosis: performance with different loss weights.",
        "Head diagnosis: performance with different numbers of epochs.",
        "External validation.",
    ]
    facts = json.loads((folder / "report.json").read_text())
    on_disk = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert set(facts["files"]) | {"report.json"} == on_disk
    assert len(titles) == len(facts["tables"]) == sum(n.startswith("tables/") for n in on_disk)
    assert {f"figures/{key}.{kind}" for key in facts["plots"] for kind in ("png", "svg")} <= on_disk
    # Every link of the contents leads somewhere.
    for link in outline.links:
        if link.startswith("#"):
            assert f'id="{link[1:]}"' in text


@pytest.mark.slow
def test_tables_hold_the_figures_of_every_side_with_n_and_interval(made):
    report, study, record = made
    folder = report.page.parent
    rows = table_of(folder, "mds-by-epochs")
    assert [(row["Model"], row["Data set"]) for row in rows] == [
        (f"{epochs} epochs, 5:5 = 1:9", side)
        for epochs in (2, 4)
        for side in ("Training", "Out of fold", "Testing", "External: clinic")
    ]
    with study.database.read() as connection:
        scored = {one.side: one for one in models.scorings(connection, record.id)}
    wanted = scored["test"].figures["heads"]["mds"]
    row = rows[6]
    for name, key in (("Accuracy", "accuracy"), ("AUC", "auc"), ("PPV", "ppv")):
        for part in ("value", "low", "high", "n", "unit"):
            assert row[f"{name} {part}"] == (
                "" if wanted[key][part] is None else str(wanted[key][part])
            )
    assert row["n"] == "15"
    timings = {row["Step"]: (row["Time"], row["n"]) for row in table_of(folder, "timings")}
    assert timings == {
        "One epoch (median)": ("0.50 s", "12"),
        "One smear, from file to answer (median)": ("20 ms", "7"),
        "The test set (smears times one smear)": ("0.30 s", "15"),
    }


@pytest.mark.slow
def test_the_same_records_give_the_same_bytes(made, tmp_path):
    report, study, record = made
    again = make_report(study, record.id, tmp_path / "again")
    for one in report.files:
        twin = tmp_path / "again" / one.relative_to(report.page.parent)
        assert one.read_bytes() == twin.read_bytes(), one.name
    assert [one.name for one in again.files] == [one.name for one in report.files]


@pytest.mark.slow
def test_a_model_without_any_record_is_reported_by_what_is_missing(make_study, tmp_path):
    study = make_study()
    record = add_model(study, card_of(study.scheme, BASE), {}, "a")
    report = make_report(study, record.id, tmp_path / "out")
    outline_of(report.page)
    assert len(report.missing) >= 15
    for sentence in report.missing:
        assert sentence.endswith(".")
    text = " ".join(report.missing)
    for word in ("marrow sweep", "marrow lock", "marrow validate", "--protocol seed2022"):
        assert word in text


@pytest.mark.slow
def test_a_report_tells_blind_labels_from_all_labels(make_study, tmp_path):
    study = make_study()
    record = reported_study(study, seen=(0, 1, 2))
    report = make_report(study, record.id, tmp_path / "out")
    rows = table_of(tmp_path / "out", "blind-labels")
    ns = {(row["Head"], row["Labels"]): row["n"] for row in rows}
    assert ns == {
        ("mds", "all"): "15",
        ("mds", "blind alone"): "12",
        ("diagnosis", "all"): "15",
        ("diagnosis", "blind alone"): "12",
    }
    assert "figures on blind labels and on all labels are the same" not in report.page.read_text()


@pytest.mark.slow
def test_the_optimism_gap_is_between_models_that_are_trained_alike(make_study, tmp_path):
    study = make_study()
    record = reported_study(study)
    share = {"value": 0.99, "low": 0.98, "high": 1.0, "n": 794, "unit": "images", "method": "wald"}
    counts = {"tp": 234, "fn": 7, "fp": 65, "tn": 488}
    head = {"n": 794, "pooled": ["MDS"], "counts": counts, "accuracy": share, "auc": share}
    figures = {"unit": "image", "protocol": "seed2022", "heads": {"mds": head, "diagnosis": head}}
    spec = BASE.model_copy(update={"epochs": 4, "snapshots": (), "protocol": "seed2022"})
    other = add_model(study, card_of(study.scheme, spec), {"seed2022": (figures, {})}, "c")
    wrong = spec.model_copy(update={"augment": "seed8"})
    add_model(study, card_of(study.scheme, wrong), {"seed2022": (figures, {})}, "d")
    report = make_report(study, record.id, tmp_path / "honest")
    rows = table_of(tmp_path / "honest", "optimism")
    assert (
        other.name
        in json.loads((tmp_path / "honest/report.json").read_text())["tables"]["optimism"][
            "caption"
        ]
    )
    mds = next(row for row in rows if (row["Head"], row["Figure"]) == ("mds", "accuracy"))
    true = float(mds["honest (patients) value"])
    assert float(mds["Gap"].replace("−", "-")) == pytest.approx(0.99 - true, abs=6e-4)
    assert all("copies of one smear train" in row["banner"] for row in rows)
    # The other way round: the paper's own figures stand in the report of its protocol.
    report = make_report(study, other.id, tmp_path / "seed")
    own = table_of(tmp_path / "seed", "seed2022")
    assert own[0]["Counts"] == "TP 234 FN 7 FP 65 TN 488"
    assert report.page.read_text().count("copies of one smear train") >= 3


@pytest.mark.slow
def test_a_head_that_few_smears_answer_is_judged_on_those(make_study, tmp_path):
    scheme = Scheme(
        name="sub",
        unit="patient",
        primary="diagnosis",
        heads=(
            Head(name="diagnosis", classes=("AA", "MDS", "AML")),
            Head(
                name="subtype",
                classes=("PML::RARA", "other", "<b>"),
                asked_when={"diagnosis": ("AML",)},
            ),
        ),
    )
    study = make_study(scheme)
    ids = add_patients(study, "home", (6, 6, 6))
    answers = make_answers(study, ids, 2, 0)
    scored = {"test": (figures_of(study, answers, scheme, None), answers)}
    record = add_model(study, card_of(scheme, BASE), scored, "a")
    report = make_report(study, record.id, tmp_path / "out")
    outline_of(report.page)
    figures = json.loads((tmp_path / "out/report.json").read_text())["figures_by_side"]["test"]
    assert figures["diagnosis"]["n"] == 18
    assert figures["subtype"]["n"] == 0


@pytest.mark.slow
def test_images_as_unit_are_counted_as_images_with_intervals_over_patients(make_study, tmp_path):
    heads = (Head(name="diagnosis", classes=("AA", "MDS", "AML")),)
    scheme = Scheme(name="cells", unit="image", primary="diagnosis", heads=heads)
    study = make_study(scheme)
    ids = add_patients(study, "<script>alert(1)</script>", (8, 8, 8))
    answers = make_answers(study, ids, 2, 0)
    scored = {"test": (figures_of(study, answers, scheme, None), answers)}
    record = add_model(study, card_of(scheme, BASE), scored, "a")
    report = make_report(study, record.id, tmp_path / "out")
    text = report.page.read_text()
    assert "Figures count images" in text
    assert "<script" not in text
    assert "&lt;script&gt;" in text


@pytest.mark.slow
def test_the_command_writes_a_report_and_refuses_an_unknown_model(make_study, tmp_path):
    study = make_study()
    reported_study(study)
    home = ["--home", str(study.settings.home)]
    runner = CliRunner()
    done = runner.invoke(build(), [*home, "report", "m1", "--out", str(tmp_path / "o"), "--json"])
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert Path(told["page"]).is_file()
    refused = runner.invoke(build(), [*home, "report", "m9", "--out", str(tmp_path / "x")])
    assert isinstance(refused.exception, NotFound)
    assert not (tmp_path / "x").exists()


def test_a_card_of_another_version_is_refused_by_name(make_study, add_model, tmp_path):
    study = make_study()
    record = add_model(study)
    with pytest.raises(BadModel, match="m1: its card is of no version that can be reported"):
        make_report(study, record.id, tmp_path / "out")


def test_a_full_disk_leaves_the_earlier_report_as_it_was(tmp_path, monkeypatch):
    folder = tmp_path / "out"
    files.write_report(folder, {"report.html": b"old", "tables/a.csv": b"old"}, {})
    before = {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    whole = files._write

    def full(path: Path, content: bytes) -> None:
        if path.name == "b.csv":
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(path, content)

    monkeypatch.setattr(files, "_write", full)
    with pytest.raises(BadSettings, match="No space left on device"):
        files.write_report(folder, {"report.html": b"new", "tables/b.csv": b"new"}, {})
    assert {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    with pytest.raises(BadSettings):
        files.write_report(tmp_path / "new", {"tables/b.csv": b"new"}, {})
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_what_is_not_ours_stays_and_what_we_no_longer_make_goes(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    files.write_report(folder, {"report.html": b"1", "tables/a.csv": b"1"}, {})
    files.write_report(folder, {"report.html": b"2", "tables/b.csv": b"2"}, {})
    left = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert left == {"notes.txt", "report.html", "tables/b.csv", "report.json"}
    assert (folder / "report.html").read_bytes() == b"2"


@pytest.mark.parametrize("named", ['["../notes.txt"]', '["/etc/x"]', '"notes.txt"', "[1]", "{"])
def test_a_manifest_that_names_other_files_takes_none_of_them(tmp_path, named):
    folder = tmp_path / "out"
    folder.mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    (folder / "notes.txt").write_text("mine")
    (folder / "report.json").write_text(f'{{"files": {named}}}')
    files.write_report(folder, {"report.html": b"2"}, {})
    assert (tmp_path / "notes.txt").exists()
    assert (folder / "notes.txt").exists()


def test_a_job_that_is_no_sweep_of_this_version_is_no_reason_to_stop(make_study, tmp_path):
    study = make_study()
    with study.database.write() as connection:
        at = study.database.now(connection)
        record = models.register(
            connection, at, sha256="e" * 64, path="models/e", preprocessing="b" * 64,
            precision="fp32", card=card_of(study.scheme, BASE).model_dump(mode="json"), job_id=None,
        )  # fmt: skip
        jobs.submit_classify(connection, at, record, [])
    assert make_report(study, record.id, tmp_path / "out").missing


@pytest.mark.slow
def test_answers_that_changed_since_the_scoring_are_told(make_study, tmp_path):
    study = make_study()
    record = reported_study(study)
    with study.database.write() as connection:
        at = study.database.now(connection)
        labels.give(connection, at, study.scheme, 31, {"diagnosis": "AML"}, "r1", False)
    text = make_report(study, record.id, tmp_path / "out").page.read_text()
    assert "have changed since this model was scored" in text
    assert "(diagnosis: AA 5, MDS 5, AML 5 then, AA 4, MDS 5, AML 6 now)" in text


@pytest.mark.slow
def test_every_table_of_the_papers_protocol_has_the_banner(make_study, tmp_path):
    study = make_study()
    ids = add_patients(study, "clinic", (4, 4, 4))
    answers = make_answers(study, ids, 1, 0)
    scored = {"site:clinic": (figures_of(study, answers, study.scheme, None), answers)}
    spec = BASE.model_copy(update={"protocol": "seed2022"})
    record = add_model(study, card_of(study.scheme, spec), scored, "a")
    report = make_report(study, record.id, tmp_path / "out")
    tables = json.loads((tmp_path / "out/report.json").read_text())["tables"]
    assert len(tables) > 5
    assert all("seed2022" in table["banner"] for table in tables.values())
    assert report.page.read_text().count('class="banner"') > len(tables)


def test_a_look_that_counted_blind_labels_alone_is_no_change_of_answers(make_study):
    study = make_study()
    record = reported_study(study, seen=(0,))
    with study.database.write() as connection:
        look = models.scorings(connection, record.id)[2]
        labelled = gather(study, record.id).labelled(look.answers)
        found = evaluate_blind(look.answers, labelled, study.scheme, False)
        facts = {"all_labels": found.every}
        models.record_scoring(connection, 9.0, record.id, "test", found.blind, look.answers, facts)
    assert (look.side, found.blind["smears"]) == ("test", 14)
    parts = labels_parts(Grid(gather(study, record.id)))
    assert not any(isinstance(one, Warn) for one in parts)
