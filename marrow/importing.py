"""Registering smears: files and folders, with a labels.csv where there is one."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from marrow.catalogue import labels, smears
from marrow.catalogue.locks import lock_study
from marrow.catalogue.sight import Sight
from marrow.copies import copy_asset
from marrow.errors import BadLabels, MarrowError, NotASmear, UnreachableSmear, UnreadableSmear
from marrow.images import Asset, find_assets, open_smear
from marrow.records import NewSmear
from marrow.schemes import NOT_CLASSES, Scheme
from marrow.study import Study

BATCH = 200
"""Smears of one transaction: a smear and its labels are registered together or not at all."""

PROBING_THREADS = 4
"""Decoders let go of Python's lock; a network folder answers several at once."""

SmearError = NotASmear | UnreadableSmear | UnreachableSmear

_DESCRIPTION = ("patient", "slide", "site")
_PROBE_PX = 64
"""A field is decoded whole for a thumbnail; of a slide, its coarsest level."""
PIXEL_SIZE_RANGE_UM = (0.02, 10.0)


class LabelRow(NamedTuple):
    """What a labels.csv says of one file."""

    description: dict[str, str]
    pixel_size_um: float | None
    answers: dict[str, str]


class ImportReport(NamedTuple):
    """What an import did; `smear_ids` are those of all files that are registered now."""

    added: int
    known: int
    labels: int
    refused: tuple[MarrowError, ...]
    smear_ids: tuple[int, ...]
    warnings: tuple[tuple[str, str], ...] = ()
    """(file name, what is odd about it) of registered files."""
    copies: tuple[tuple[Path, int], ...] = ()
    """(file, smear id) of files that hold the same image as a registered one."""


class _Probed(NamedTuple):
    asset: Asset
    smear: NewSmear
    answers: dict[str, str]
    warnings: tuple[str, ...]


def import_smears(
    study: Study,
    paths: Iterable[Path],
    labels_csv: Path | None = None,
    site: str | None = None,
    *,
    copy: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Register the smears among these files and folders.

    Bad files are listed in `refused` and leave nothing behind; the good ones are registered.
    `copy` puts each file into the study's store first.

    Raises
    ------
    BadLabels
        If the labels table does not fit the scheme; then nothing is registered.
    """
    table = {} if labels_csv is None else read_labels(study, labels_csv)
    assets, refused = find_assets(paths)
    problems: list[MarrowError] = list(refused)
    warnings: list[tuple[str, str]] = []
    added = known = given = 0
    ids: list[int] = []
    copies: list[tuple[Path, int]] = []

    def probe(asset: Asset) -> _Probed | SmearError:
        try:
            return _probe(study, asset, table, site, copy)
        except (NotASmear, UnreadableSmear, UnreachableSmear) as error:
            return error

    with ThreadPoolExecutor(PROBING_THREADS) as pool:
        for start in range(0, len(assets), BATCH):
            probed: list[_Probed] = []
            for number, found in enumerate(pool.map(probe, assets[start : start + BATCH])):
                if isinstance(found, _Probed):
                    probed.append(found)
                    warnings += [(found.asset.path.name, text) for text in found.warnings]
                else:
                    problems.append(found)
                if on_progress is not None:
                    on_progress(start + number + 1, len(assets))
            counts = _register(study, probed, ids)
            for one, smear_id in zip(probed, ids[len(ids) - len(probed) :], strict=True):
                copies += [(path, smear_id) for path in one.asset.copies]
                name = one.asset.path.name
                warnings += [(path.name, f"the same image as {name}") for path in one.asset.copies]
            added, known, given = added + counts[0], known + counts[1], given + counts[2]
    seen = {path.resolve() for asset in assets for path in (*asset.members, *asset.copies)}
    problems += [
        UnreachableSmear(path, f"named in {labels_csv.name}, but not among the imported files")
        for path in table
        if labels_csv is not None and path not in seen and not _exists(path)
    ]
    return ImportReport(
        added, known, given, tuple(problems), tuple(ids), tuple(warnings), tuple(copies)
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that no file can have
        return False


def read_labels(study: Study, labels_csv: Path) -> dict[Path, LabelRow]:
    """Read a labels table: file, [patient, slide, site, mpp,] and a column per asked head.

    Files are relative to the table's folder. An empty cell is a missing answer.

    Raises
    ------
    BadLabels
        With the line, what it says and what is allowed.
    """
    heads = [head.name for head in study.scheme.asked]
    allowed = ["file", *_DESCRIPTION, "mpp", *heads]
    rows: dict[Path, LabelRow] = {}
    try:
        with labels_csv.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            _check_columns(labels_csv, columns, allowed)
            for cells in reader:
                place = f"{labels_csv.name}, line {reader.line_num}"
                path, row = _row(study, labels_csv.parent, place, cells, heads)
                if rows.setdefault(path, row) != row:
                    raise BadLabels(f"{place}: {path.name} has another row that says otherwise")
    except OSError as error:
        raise BadLabels(f"{labels_csv}: {error.strerror}; give a CSV file") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadLabels(f"{labels_csv}: no readable CSV in UTF-8 ({error})") from error
    return rows


def _check_columns(labels_csv: Path, columns: list[str], allowed: list[str]) -> None:
    if "file" not in columns:
        raise BadLabels(f"{labels_csv}: no column `file`; columns may be {', '.join(allowed)}")
    unknown = [name for name in columns if name not in allowed]
    if unknown or len(set(columns)) != len(columns):
        what = f"unknown column {unknown[0]!r}" if unknown else "a column stands twice"
        raise BadLabels(f"{labels_csv}: {what}; columns may be {', '.join(allowed)}")


def _row(
    study: Study, folder: Path, place: str, cells: dict[str, str | None], heads: list[str]
) -> tuple[Path, LabelRow]:
    if None in cells or not (cells.get("file") or "").strip():
        raise BadLabels(f"{place}: the row does not fit the columns")
    texts = {name: (value or "").strip() for name, value in cells.items()}
    answers = {name: texts[name] for name in heads if texts.get(name)}
    for head, answer in answers.items():
        try:
            labels.check_answer(study.scheme, head, answer)
        except BadLabels as error:
            raise BadLabels(f"{place}: {error}") from error
    _check_asked(study.scheme, place, answers)
    description = {name: texts[name] for name in _DESCRIPTION if texts.get(name)}
    unprintable = [text for text in texts.values() if not text.isprintable()]
    if unprintable:
        raise BadLabels(f"{place}: {unprintable[0]!r} holds control characters")
    pixel_size_um = _pixel_size(place, texts.get("mpp", ""))
    return _resolved(folder / texts["file"]), LabelRow(description, pixel_size_um, answers)


def _check_asked(scheme: Scheme, place: str, answers: dict[str, str]) -> None:
    known = {name: answer for name, answer in answers.items() if answer not in NOT_CLASSES}
    applying = {head.name for head in scheme.applying(scheme.complete(known))}
    for name in known.keys() - applying:
        conditions = scheme.head(name).asked_when.items()
        when = " and ".join(f"{other} is {' or '.join(allowed)}" for other, allowed in conditions)
        raise BadLabels(
            f"{place}: {name} is {known[name]!r}, but is asked only when {when}; "
            "leave one of the two cells empty, or correct it"
        )


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except OSError:  # a name that no file can have; it is then named as missing
        return path


def _pixel_size(place: str, text: str) -> float | None:
    if not text:
        return None
    low, high = PIXEL_SIZE_RANGE_UM
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise BadLabels(f"{place}: mpp is {text!r}; give um per pixel from {low} to {high:g}")
    return value


def _probe(
    study: Study,
    asset: Asset,
    table: dict[Path, LabelRow],
    site: str | None,
    copy: bool,
) -> _Probed:
    """Open a smear and decode it once, so that a damaged one is told now and not tonight."""
    with open_smear(asset.path) as image:
        image.thumbnail(_PROBE_PX)
        warnings = image.warnings
        height_px, width_px = image.levels[0]
        is_slide, pixel_size_um = image.is_slide, image.pixel_size_um
    said = _said(asset, table)
    members = copy_asset(asset, study.store / "smears") if copy else asset.members
    first = members[asset.members.index(asset.path)]
    root, path = study.place_of(first)
    several = tuple(study.place_of(member)[1] for member in members) if len(members) > 1 else ()
    description = {"site": site} | said.description if site else said.description
    new = NewSmear(
        identity=asset.identity,
        root=root,
        path=path,
        members=several,
        height_px=height_px,
        width_px=width_px,
        is_slide=is_slide,
        pixel_size_um=said.pixel_size_um or pixel_size_um,
        **description,
    )
    return _Probed(asset, new, said.answers, warnings)


def _said(asset: Asset, table: dict[Path, LabelRow]) -> LabelRow:
    """What the table says of any of the files that hold this image.

    Raises
    ------
    NotASmear
        If two files hold one image and the table says different things of them.
    """
    files = [path.resolve() for path in (*asset.members, *asset.copies)]
    said = {path: table[path] for path in files if path in table}
    first = next(iter(said.items()), None)
    if first is None:
        return LabelRow({}, None, {})
    for path, row in said.items():
        if row != first[1]:
            reason = f"is the same image as {first[0].name}, but the table says otherwise of it"
            raise NotASmear(path, reason)
    return first[1]


def _register(study: Study, probed: list[_Probed], ids: list[int]) -> tuple[int, int, int]:
    """(added, known, labels given); appends the ids."""
    added = given = 0
    with study.database.write() as connection:
        lock_study(connection)  # two people may import the same folder
        at = study.database.now(connection)
        reader = study.settings.reader
        known = list(smears.ids_of(connection, [one.smear.identity for one in probed]).values())
        # In a blind study it is no news only if this reader has said it himself.
        sight = Sight.of(connection, reader)
        said = (
            labels.of_reader(connection, reader, known),
            smears.standing_answers(connection, known, sight),
        )
        for one in probed:
            smear_id, is_new = smears.register(connection, at, one.smear)
            ids.append(smear_id)
            added += is_new
            news = {
                head: answer
                for head, answer in one.answers.items()
                if all(one.get(smear_id, {}).get(head) != answer for one in said)
            }
            if news:
                labels.give(connection, at, study.scheme, smear_id, news, reader, False)
                given += len(news)
    return added, len(probed) - added, given


def label_known_smears(
    study: Study, labels_csv: Path, reader: str | None = None
) -> tuple[int, list[str]]:
    """(smears labelled, names of files that are not registered) of a labels table.

    Parameters
    ----------
    reader : str or None
        Whose labels these are; None: of the person that the settings name.

    Raises
    ------
    BadLabels
        If the table does not fit the scheme; then nothing is stored.
    """
    table = read_labels(study, labels_csv)
    places = {study.place_of(path): (path, row) for path, row in table.items()}
    given = 0
    with study.database.write() as connection:
        at = study.database.now(connection)
        known = smears.ids_at(connection, list(places))
        for place, smear_id in known.items():
            row = places[place][1]
            smears.describe(connection, [smear_id], **row.description)
            name = reader or study.settings.reader
            labels.give(connection, at, study.scheme, smear_id, row.answers, name, False)
            given += 1
    return given, [path.name for place, (path, _) in places.items() if place not in known]
