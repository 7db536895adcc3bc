"""Two readers in two processes on one home, as two people at two machines: blind until both have
read, and with kappa afterwards."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from statsmodels.stats.inter_rater import cohens_kappa

from marrow.catalogue import predictions, smears
from marrow.exporting import HIDDEN
from marrow.records import Answer, HeadAnswer, ModelRecord, Provenance
from marrow.study import Study

pytestmark = pytest.mark.slow

SECRET_P = 0.8123
"""Of every prediction: what must not be found anywhere."""
DIAGNOSES = {"A": ["AA", "AA", "MDS", "AML", "MDS", "AA"], "B": ["AA", "MDS", "MDS", "AML"]}
"""What they say of the 6 smears; B has still to read the last two."""

_READER = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from marrow.cli import main

said = []
for line in json.loads(sys.argv[1]):
    out, err, code = io.StringIO(), io.StringIO(), 0
    sys.argv = ["marrow", *line]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as end:
        code = end.code
    said.append([code or 0, out.getvalue(), err.getvalue()])
print(json.dumps(said))
"""


class Said(NamedTuple):
    """What one command printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Commands = dict[str, list[str]]


def start(home: Path, reader: str, commands: Commands) -> subprocess.Popen[str]:
    # A broker's address: no agent is started for what needs no worker.
    environment = os.environ | {
        "MARROW_HOME": str(home),
        "MARROW_READER": reader,
        "MARROW_BROKER": "redis://:none@127.0.0.1:1/0",
    }
    line = [sys.executable, "-c", _READER, json.dumps(list(commands.values()))]
    pipe = subprocess.PIPE
    return subprocess.Popen(line, env=environment, stdout=pipe, stderr=pipe, text=True)


def at_once(home: Path, commands: dict[str, Commands]) -> dict[str, dict[str, Said]]:
    """What each reader's commands say, by reader; each in a process of his own, all at a time."""
    started = {reader: start(home, reader, own) for reader, own in commands.items()}
    found = {}
    for reader, process in started.items():
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        said = [Said(*one) for one in json.loads(out)]
        found[reader] = dict(zip(commands[reader], said, strict=True))
    return found


def looks(folder: Path, reader: str) -> Commands:
    """All that a reader may try in order to see what he must not."""
    return {
        "export": ["export", str(folder / f"{reader}-all.csv"), "--json"],
        "patients": [
            "export", str(folder / f"{reader}-patients.csv"), "--by", "patient", "--json",
        ],
        "classify": ["classify", "--wait", "--out", str(folder / f"{reader}-job.csv"), "--json"],
        "consensus": ["consensus", "--json"],
        "first": ["history", "1", "--json"],
        "last": ["history", "S000006", "--json"],
        "job": ["jobs", "1", "--json"],
        "jobs": ["jobs"],
        "follow": ["follow", "1"],
        "readers": ["readers", "--json"],
    }  # fmt: skip


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def table(folder: Path, reader: str, answers: Sequence[str]) -> Path:
    """A labels table of the smears from the first on."""
    target = folder / f"{reader}.csv"
    lines = [f"{number:05d}.png,{answer}" for number, answer in enumerate(answers)]
    target.write_text("\n".join(["file,diagnosis", *lines]) + "\n")
    return target


@pytest.fixture
def study(
    make_study: Callable[..., Study],
    small_smears: Callable[[Study, Path, int], list[int]],
    add_model: Callable[..., ModelRecord],
    tmp_path: Path,
) -> Study:
    """6 smears of 6 patients, all answered by the champion, and a job that has asked for them."""
    made = make_study()
    ids = small_smears(made, tmp_path / "s", 6)
    model = add_model(made)
    heads = (
        HeadAnswer(head="mds", call="other", probabilities=(SECRET_P, 1 - SECRET_P)),
        HeadAnswer(head="diagnosis", call="AML", probabilities=(0.1, 0.0877, SECRET_P)),
    )
    made_by = Provenance(code_version="0", torch_version="0", device="cpu", host="here")
    with made.database.write() as connection:
        by = predictions.provenance_id(connection, made_by)
        answers = {one: (Answer(heads=heads, flags=("unsure",)), None) for one in ids}
        revisions = dict.fromkeys(ids, 0)
        predictions.store(connection, 1.0, made.scheme, model, by, revisions, answers)
        assert len(smears.all_ids(connection, smears.SmearFilter())) == 6
    return made


def readers_of(said: Said) -> list[str]:
    return [it["reader"] for it in said.json["labels"]]


def check_that_all_is_hidden(said: dict[str, Said], folder: Path, reader: str) -> None:
    for one in said.values():
        assert "8123" not in one.out + one.err
        assert one.code == 0, one
    own = [reader] if reader == "A" else []
    assert (readers_of(said["first"]), readers_of(said["last"])) == (own, own)
    assert said["last"].json["hidden"] is True
    assert said["export"].json["rows"] == said["patients"].json["rows"] == 0
    assert said["export"].json["hidden"] == said["classify"].json["hidden"] == 6
    assert said["consensus"].json["heads"][0]["smears"] == 0
    assert {it["n"] for it in said["job"].json["calls"]} == {0}
    assert said["job"].json["hidden"] == 6
    assert "AML" not in said["jobs"].out + said["follow"].out
    progress = {it["reader"]: it["read"] for it in said["readers"].json["progress"]}
    assert progress == {"A": 6, "B": 0}
    hidden = rows(folder / f"{reader}-job.csv")
    assert {row["flags"] for row in hidden} == {HIDDEN}
    assert {(row["diagnosis"], row["mds"]) for row in hidden} == {("", "")}
    assert all(row["file"] and row["patient"] for row in hidden)
    for path in folder.glob(f"{reader}-*.csv"):
        assert "8123" not in path.read_text()


def check_that_four_are_open(said: dict[str, Said], folder: Path, reader: str) -> None:
    assert said["export"].json["rows"] == said["patients"].json["rows"] == 4
    assert said["classify"].json["hidden"] == 2
    answered = rows(folder / f"{reader}-job.csv")
    assert [row["diagnosis"] for row in answered] == [*["AML"] * 4, "", ""]
    exported = rows(folder / f"{reader}-all.csv")
    assert [row["diagnosis_p_AML"] for row in exported] == ["0.812300"] * 4
    assert readers_of(said["first"]) == ["A", "B"]
    assert readers_of(said["last"]) == (["A"] if reader == "A" else [])
    assert {it["n"] for it in said["job"].json["calls"]} == {4}
    assert "AML 4 (n = 4 smears)" in said["follow"].out
    (diagnosis,) = said["consensus"].json["heads"]
    (pair,) = diagnosis["pairs"]
    assert np.trace(pair["counts"]) == 3  # AA/AA, AA/MDS, MDS/MDS, AML/AML
    theirs = cohens_kappa(np.array(pair["counts"]))
    assert pair["kappa"]["value"] == pytest.approx(theirs.kappa, abs=1e-12)
    assert pair["kappa"]["low"] == pytest.approx(max(-1, theirs.kappa_low), abs=1e-9)
    assert pair["kappa"]["high"] == pytest.approx(min(1, theirs.kappa_upp), abs=1e-9)
    assert [it["smear"] for it in diagnosis["disagreements"]] == ["S000002"]


def test_neither_sees_the_other_before_both_have_read(study: Study, tmp_path: Path) -> None:
    home, folder = study.settings.home, tmp_path / "s"
    given = {reader: str(table(folder, reader, own)) for reader, own in DIAGNOSES.items()}
    blind = {
        "classify": ["classify"],
        "blind": ["readers", "blind", "A", "B", "--json"],
        "label": ["label", given["A"]],
    }
    begun = at_once(home, {"A": blind})["A"]
    assert [one.code for one in begun.values()] == [0, 0, 0], begun
    assert begun["blind"].json == {"blind": ["A", "B"], "hidden": 6}

    # A has read all, B nothing: nobody sees anything of the other, nor of the model.
    for reader, said in at_once(home, {one: looks(folder, one) for one in "AB"}).items():
        check_that_all_is_hidden(said, folder, reader)

    # B reads the first four: these are open to both, the other two to nobody.
    at_once(home, {"B": {"label": ["label", given["B"]]}})
    for reader, said in at_once(home, {one: looks(folder, one) for one in "AB"}).items():
        check_that_four_are_open(said, folder, reader)

    # A third person decides.
    ruling = {
        "closed": ["adjudicate", "S000006", "MDS"],
        "done": ["adjudicate", "S000002", "MDS", "--json"],
        "wrong": ["adjudicate", "S000002", "CML"],
        "many": ["adjudicate", "S000002", "MDS", "AA"],
        "nobody": ["history", "S000099"],
        "history": ["history", "S000002", "--json"],
        "text": ["consensus"],
        "open": ["readers", "open"],
        "last": ["history", "S000006", "--json"],
        "alone": ["consensus", "--reader", "A"],
    }
    said = at_once(home, {"judge": ruling})["judge"]
    refusals = {
        "closed": (1, "B must read it"),
        "wrong": (1, "use AA, MDS, AML"),
        "many": (2, "2 answers for 1 heads"),
        "nobody": (1, "There is no smear 'S000099'"),
        "alone": (1, "only 'A'"),
    }
    for name, (code, words) in refusals.items():
        assert (said[name].code, words in said[name].err) == (code, True), said[name]
    assert said["done"].json["counts"] == {"diagnosis": "MDS"}
    assert said["done"].json["seen_prediction"] is True
    found = [(it["reader"], it["is_adjudicated"]) for it in said["history"].json["labels"]]
    assert found == [("A", False), ("B", False), ("judge", True)]
    assert "S000002 of P1: A AA, B MDS; adjudicated: MDS" in said["text"].out
    assert (said["open"].code, readers_of(said["last"])) == (0, ["A"])
