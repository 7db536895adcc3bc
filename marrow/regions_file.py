"""Regions as GeoJSON in QuPath's form, out and in again.

QuPath counts from the corner of the first pixel, the catalogue from its centre: half a pixel is
added on the way out and taken off on the way in.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from sqlalchemy import Connection

from marrow.catalogue import regions, smears
from marrow.catalogue.regions import NewRegion
from marrow.catalogue.smears import SmearFilter
from marrow.errors import BadRegions, NotFound
from marrow.placing import placed
from marrow.records import Polygon, Region, Role, Smear
from marrow.study import Study

COLOURS: dict[str, tuple[int, int, int]] = {
    "use": (47, 191, 113),
    "exclude": (228, 87, 46),
    "class": (63, 136, 197),
}
"""Red, green, blue of each role."""
NOTICE = "research use only"
MOST_BYTES = 256_000_000
_HALF_PX = 0.5
_DECIMALS = 9
"""Of a px: what half a pixel more and less has changed in a drawn corner is undone."""
_EXCLUDED_NAMES = {"exclude", "ignore", "ignore*"}
"""QuPath's own class for what is not to be looked at is `Ignore*`."""


class Drawn(NamedTuple):
    """A region of a file, and of which smear it says to be."""

    region: NewRegion
    identity: str | None
    """SHA-256 of the smear; None: the file does not say."""


class RegionsRead(NamedTuple):
    """What a file holds."""

    drawn: tuple[Drawn, ...]
    skipped: int
    """Features that no person has drawn as an area: points, lines, tiles and detected cells."""


class RegionsImported(NamedTuple):
    """What came into the study."""

    smears: int
    regions: int
    skipped: int


def features_of(smear: Smear, drawn: Sequence[Region | NewRegion]) -> Iterator[dict[str, Any]]:
    """The regions of a smear as QuPath's annotations, in x, y of level 0."""
    for one in drawn:
        yield feature(one.role, one.class_name, one.polygon, smear)


def feature(
    role: Role, class_name: str | None, polygon: Polygon, smear: Smear | None = None
) -> dict[str, Any]:
    """One polygon as an annotation; `smear` None: of an image outside any study."""
    ring = [[column + _HALF_PX, row + _HALF_PX] for row, column in polygon]
    about = {"marrow_role": role, "marrow_class": class_name or "", "notice": NOTICE}
    if smear is not None:
        about |= {"marrow_smear": smear.identity, "marrow_name": smear.name, "path": smear.path}
    name = class_name if role == "class" and class_name else role
    # QuPath takes a UUID alone; the same region has the same one in each file.
    own = uuid.uuid5(uuid.NAMESPACE_URL, f"{about.get('marrow_smear')} {role} {name} {ring}")
    return {
        "type": "Feature",
        "id": str(own),
        "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
        "properties": {
            "objectType": "annotation",
            "name": name,
            "classification": {"name": name, "color": list(COLOURS[role])},
            "isLocked": False,
            "metadata": about,
        },
    }


def write_geojson(target: Path, features: Iterable[Mapping[str, Any]]) -> int:
    """Write a FeatureCollection aside and put it in place; returns how many features.

    Raises
    ------
    BadSettings
        If the file cannot be written.
    """
    listed = list(features)
    whole = {"type": "FeatureCollection", "features": listed}
    with placed(target) as aside:
        text = json.dumps(whole, ensure_ascii=False)
        aside.write_text(text, encoding="utf-8", errors="backslashreplace")
    return len(listed)


def export_regions(study: Study, target: Path, smear_ids: Sequence[int] | None = None) -> int:
    """Write the standing regions of these smears (None: of all) into one file."""
    with study.database.read() as connection:
        ids = smears.all_ids(connection, SmearFilter()) if smear_ids is None else list(smear_ids)
        found: list[dict[str, Any]] = []
        for start in range(0, len(ids), smears.IN_LIMIT):
            chunk = ids[start : start + smears.IN_LIMIT]
            drawn = regions.of_many(connection, chunk)
            for one in smears.get(connection, list(drawn)):
                found += features_of(one, drawn[one.id])
    return write_geojson(target, found)


def read_geojson(path: Path) -> RegionsRead:
    """The regions of a file that QuPath or this program has written.

    A hole becomes a region to exclude. Without a role of ours, QuPath's classification decides:
    `Ignore*` is excluded, none at all is `use`, another name is a class.

    Raises
    ------
    BadRegions
        With the file and what is wrong with it.
    """
    given = _parsed(path)
    listed = given.get("features", [given]) if isinstance(given, dict) else given
    if not isinstance(listed, list):
        raise BadRegions(f"{path}: `features` is no list; export it again as GeoJSON")
    drawn: list[Drawn] = []
    skipped = 0
    for number, one in enumerate(listed, start=1):
        found = list(_regions_of(path, number, one))
        drawn += found
        skipped += not found
    return RegionsRead(tuple(drawn), skipped)


def import_regions(
    study: Study, path: Path, reader: str, smear_id: int | None = None
) -> RegionsImported:
    """Store a file's regions in place of those that stand; the earlier ones stay, superseded.

    A feature names its smear in the metadata that we wrote. One that does not belongs to
    `smear_id`, or to the only smear whose name (S000148) or file has the name of this file.
    What stands already as it is in the file is left alone.

    Parameters
    ----------
    smear_id : int, optional
        The smear that features belong to which do not say so themselves.

    Raises
    ------
    BadRegions
        If the file cannot be read, does not say of which smear it is, or a region lies outside.
    NotFound
        If it names a smear that is not in the study; nothing is stored.
    """
    read = read_geojson(path)
    with study.database.write() as connection:
        named = [one.identity for one in read.drawn if one.identity is not None]
        known = smears.ids_of(connection, sorted(set(named)))
        if smear_id is None and len(named) < len(read.drawn):
            smear_id = _of_file_name(connection, path)
        by_smear: dict[int, list[NewRegion]] = {}
        for one in read.drawn:
            target = smear_id if one.identity is None else known.get(one.identity)
            if target is None:
                raise _unplaced(path, one.identity)
            by_smear.setdefault(target, []).append(one.region)
        found = {one.id: one for one in smears.get(connection, list(by_smear))}
        lacking = set(by_smear) - set(found)
        if lacking:
            raise NotFound(f"There is no smear S{min(lacking):06d} in this study")
        at = study.database.now(connection)
        for target, drawn in by_smear.items():
            _require_inside(path, found[target], drawn)
            regions.replace(connection, at, target, drawn, reader)
    return RegionsImported(len(by_smear), len(read.drawn), read.skipped)


def _of_file_name(connection: Connection, path: Path) -> int | None:
    """The smear that the file is named after, if it is one: S000148.geojson, slide.svs.geojson."""
    stem = path.name.removesuffix(path.suffix)
    ids = smears.all_ids(connection, SmearFilter(text=stem))
    fitting = [
        one.id
        for one in smears.get(connection, ids)
        if stem in {one.name, PurePosixPath(one.path).name, PurePosixPath(one.path).stem}
    ]
    return fitting[0] if len(fitting) == 1 else None


def _require_inside(path: Path, smear: Smear, drawn: Sequence[NewRegion]) -> None:
    """A drawing may hang over an edge, but not lie beside the image: it is another image's."""
    for one in drawn:
        rows, columns = zip(*one.polygon, strict=True)
        is_beside = max(rows) < 0 or max(columns) < 0
        if is_beside or min(rows) > smear.height_px or min(columns) > smear.width_px:
            raise BadRegions(
                f"{path}: a region lies outside of {smear.name} ({smear.width_px} x "
                f"{smear.height_px} px); give level-0 pixels, and the smear that was drawn on"
            )


def _unplaced(path: Path, identity: str | None) -> BadRegions | NotFound:
    if identity is None:
        return BadRegions(f"{path} does not say of which smear it is: name one, as in S000148")
    return NotFound(f"{path}: its smear {identity[:12]}… is not in this study; import it first")


def _parsed(path: Path) -> Any:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise BadRegions(
                f"{path}: more than {MOST_BYTES // 1_000_000} MB; export fewer smears at once"
            )
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadRegions(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BadRegions(
            f"{path} is no GeoJSON: {type(error).__name__}; export it again"
        ) from error


def _regions_of(path: Path, number: int, one: Any) -> Iterator[Drawn]:
    geometry = one.get("geometry") if isinstance(one, dict) else None
    if not isinstance(geometry, dict):
        raise BadRegions(f"{path}: feature {number} has no geometry; export it again as GeoJSON")
    properties = one.get("properties")
    kind = properties.get("objectType") if isinstance(properties, dict) else None
    if kind not in {None, "annotation"}:
        return
    role, class_name, identity = _said(properties)
    for rings in _polygons(geometry):
        if not isinstance(rings, list) or not rings:
            raise BadRegions(f"{path}: feature {number} has a polygon without a ring")
        outer, *holes = [_ring(path, number, ring) for ring in rings]
        yield Drawn(NewRegion(role=role, class_name=class_name, polygon=outer), identity)
        if role != "exclude":
            for hole in holes:
                yield Drawn(NewRegion(role="exclude", polygon=hole), identity)


def _polygons(geometry: Any) -> list[Any]:
    """The rings of each polygon; none of points and lines."""
    own = geometry if isinstance(geometry, dict) else {}
    coordinates, parts = own.get("coordinates"), own.get("geometries")
    if own.get("type") == "Polygon":
        return [coordinates]
    if own.get("type") == "MultiPolygon" and isinstance(coordinates, list):
        return coordinates
    if own.get("type") == "GeometryCollection" and isinstance(parts, list):
        # One level: QuPath writes no deeper, and a deep one is no drawing.
        return [rings for part in parts for rings in _polygons_of_part(part)]
    return []


def _polygons_of_part(part: Any) -> list[Any]:
    is_flat = isinstance(part, dict) and part.get("type") in {"Polygon", "MultiPolygon"}
    return _polygons(part) if is_flat else []


def _said(properties: Any) -> tuple[Role, str | None, str | None]:
    """Role, class and smear that a feature names."""
    given = properties if isinstance(properties, dict) else {}
    about = given.get("metadata")
    about = about if isinstance(about, dict) else {}
    identity = about.get("marrow_smear")
    identity = identity if isinstance(identity, str) else None
    classification = given.get("classification")
    name = classification.get("name") if isinstance(classification, dict) else None
    name = name if isinstance(name, str) else ""
    written, class_name = about.get("marrow_role"), about.get("marrow_class")
    class_name = class_name if isinstance(class_name, str) and class_name else None
    # In QuPath a person changes the classification; the metadata keeps what we wrote.
    is_unchanged = name in {written, class_name}
    if is_unchanged and written in ("use", "exclude", "class"):
        return written, class_name if written == "class" else None, identity
    if name.lower() in _EXCLUDED_NAMES:
        return "exclude", None, identity
    if not name or name.lower() == "use":
        return "use", None, identity
    return "class", name, identity


def _ring(path: Path, number: int, ring: Any) -> Polygon:
    """(row, column) of a closed ring, without its repeated end."""
    try:
        points = [
            (round(float(y) - _HALF_PX, _DECIMALS), round(float(x) - _HALF_PX, _DECIMALS))
            for x, y, *_ in ring
        ]
    except (TypeError, ValueError, OverflowError) as error:
        raise BadRegions(f"{path}: feature {number} has a corner that is no pair of numbers") from (
            error
        )
    if len(points) > 1 and points[0] == points[-1]:
        points.pop()
    if len(set(points)) < 3 or not all(math.isfinite(value) for point in points for value in point):
        raise BadRegions(f"{path}: feature {number} is no area: it needs three corners")
    return tuple(points)
