"""Registering smears: files and folders, with a labels.csv where there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection

from marrow.catalogue import labels, predictions, smears
from marrow.catalogue.locks import lock_study
from marrow.catalogue.sight import Sight
from marrow.copies import copy_asset
from marrow.errors import MarrowError, NotASmear, UnreachableSmear, UnreadableSmear
from marrow.images import Asset, find_assets, open_smear
from marrow.labels_table import LabelRow, read_labels
from marrow.records import NewSmear
from marrow.study import Study

BATCH = 200
"""Smears of one transaction: a smear and its labels are registered together or not at all."""

PROBING_THREADS = 4
"""Decoders let go of Python's lock; a network folder answers several at once."""

SmearError = NotASmear | UnreadableSmear | UnreachableSmear

_PROBE_PX = 64
"""A field is decoded whole for a thumbnail; of a slide, its coarsest level."""


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
    reader: str | None = None,
    is_blind: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Register the smears among these files and folders.

    Bad files are listed in `refused` and leave nothing behind; the good ones are registered.
    `copy` puts each file into the study's store first.

    Parameters
    ----------
    reader : str or None
        Whose labels the table holds; None: of the person that the settings name.
    is_blind : bool
        Whether who gave them had seen no prediction, also of smears that a model has answered.

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
            counts = _register(study, probed, ids, _name(study, reader), is_blind)
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


def _register(
    study: Study, probed: list[_Probed], ids: list[int], reader: str, is_blind: bool
) -> tuple[int, int, int]:
    """(added, known, labels given); appends the ids."""
    added = given = 0
    with study.database.write() as connection:
        lock_study(connection)  # two people may import the same folder
        at = study.database.now(connection)
        known = list(smears.ids_of(connection, [one.smear.identity for one in probed]).values())
        seen = _seen(connection, study, known, reader, is_blind)
        said = labels.of_reader(connection, reader, known)
        for one in probed:
            smear_id, is_new = smears.register(connection, at, one.smear)
            ids.append(smear_id)
            added += is_new
            own = said.get(smear_id, {})  # the same table may be imported again
            news = {head: answer for head, answer in one.answers.items() if own.get(head) != answer}
            if news:
                labels.give(connection, at, study.scheme, smear_id, news, reader, smear_id in seen)
                given += len(news)
    return added, len(probed) - added, given


def _name(study: Study, reader: str | None) -> str:
    """Under which name labels are stored; without one, that of the settings."""
    return (reader or "").strip() or study.settings.reader


def _seen(
    connection: Connection, study: Study, ids: Sequence[int], reader: str, is_blind: bool
) -> frozenset[int]:
    """Smears of which the reader may have seen a prediction when the labels were given."""
    if is_blind:
        return frozenset()
    return predictions.shown_to(connection, study.scheme, ids, Sight.of(connection, reader))


def label_known_smears(
    study: Study, labels_csv: Path, reader: str | None = None, *, is_blind: bool = False
) -> tuple[int, int, list[str]]:
    """(smears labelled, how many of them not blind, names of files that are not registered).

    Parameters
    ----------
    reader, is_blind
        As in `import_smears`.

    Raises
    ------
    BadLabels
        If the table does not fit the scheme; then nothing is stored.
    """
    table = read_labels(study, labels_csv)
    places = {study.place_of(path): (path, row) for path, row in table.items()}
    name = _name(study, reader)
    with study.database.write() as connection:
        at = study.database.now(connection)
        known = smears.ids_at(connection, list(places))
        seen = _seen(connection, study, list(known.values()), name, is_blind)
        for place, smear_id in known.items():
            row = places[place][1]
            smears.describe(connection, [smear_id], **row.description)
            is_seen = smear_id in seen
            labels.give(connection, at, study.scheme, smear_id, row.answers, name, is_seen)
    unknown = [path.name for place, (path, _) in places.items() if place not in known]
    return len(known), len(seen), unknown
