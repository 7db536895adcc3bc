"""Regions go to QuPath and come back as they were drawn."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from marrow.catalogue import regions, smears
from marrow.catalogue.regions import NewRegion
from marrow.cli import build
from marrow.errors import BadRegions, BadSettings, NotFound
from marrow.regions_file import export_regions, import_regions, read_geojson
from marrow.study import Study

SQUARE = ((10.25, 20.5), (10.25, 60.5), (50.75, 60.5), (50.75, 20.5))
DRAWN = (
    NewRegion(role="use", polygon=SQUARE),
    NewRegion(role="exclude", polygon=((0, 0), (0, 5), (5, 0))),
    NewRegion(role="class", class_name="MDS", polygon=((1, 1), (1, 9), (9, 9))),
)


@pytest.fixture
def study(make_study: Callable[..., Study], add_smears: Callable[..., list[int]]) -> Study:
    made = make_study()
    add_smears(made, 3)
    return made


def standing(study: Study, smear_id: int) -> list[NewRegion]:
    with study.database.read() as connection:
        found = regions.of(connection, smear_id)
    return [
        NewRegion(role=one.role, class_name=one.class_name, polygon=one.polygon) for one in found
    ]


def draw(study: Study, smear_id: int) -> None:
    with study.database.write() as connection:
        regions.replace(connection, 1.0, smear_id, DRAWN, "A")


def test_goes_out_in_qupath_s_form_and_comes_back_exactly(study: Study, tmp_path: Path) -> None:
    draw(study, 2)
    target = tmp_path / "涂片.geojson"
    assert export_regions(study, target) == 3
    given = json.loads(target.read_text(encoding="utf-8"))
    first = given["features"][0]
    assert first["properties"]["objectType"] == "annotation"
    assert first["properties"]["classification"]["name"] == "use"
    (ring,) = first["geometry"]["coordinates"]
    assert ring[0] == ring[-1] == [21.0, 10.75]  # x, y from the corner of the first pixel
    assert len(ring) == 5

    with study.database.write() as connection:
        regions.replace(connection, 2.0, 2, (), "A")
    assert import_regions(study, target, "B") == (1, 3, 0)
    assert standing(study, 2) == list(DRAWN)
    assert standing(study, 1) == []
    assert list(tmp_path.glob("*.new")) == []


def test_what_qupath_changes_counts(study: Study, tmp_path: Path) -> None:
    """A class that a person sets there wins over ours; a hole is not looked at."""
    ring = [[0, 0], [100, 0], [100, 100], [0, 100], [0, 0]]
    hole = [[10, 10], [20, 10], [20, 20], [10, 10]]
    features = [
        with_geometry("Polygon", [ring, hole], None),
        with_geometry("MultiPolygon", [[ring], [hole]], "Ignore*"),
        with_geometry("Polygon", [ring], "AML"),
        with_geometry("Point", [3, 3], "AML"),
    ]
    path = written(tmp_path, features)
    assert import_regions(study, path, "B", smear_id=1) == (1, 5, 1)
    said = [(one.role, one.class_name) for one in standing(study, 1)]
    assert said == [("use", None), ("exclude", None), *[("exclude", None)] * 2, ("class", "AML")]
    assert standing(study, 1)[1].polygon[0] == (9.5, 9.5)


def test_one_feature_alone_and_a_bare_list_are_read(tmp_path: Path) -> None:
    ring = [[0, 0], [9, 0], [9, 9], [0, 0]]
    one = with_geometry("Polygon", [ring], "use")
    for given in (one, [one]):
        path = tmp_path / "one.geojson"
        path.write_text(json.dumps(given))
        assert len(read_geojson(path).drawn) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no GeoJSON"),
        ("[" * 100_000, "no GeoJSON"),
        ("{}", "no geometry"),
        ('{"features": 3}', "no list"),
        ('{"features": [7]}', "feature 1 has no geometry"),
        ('{"geometry": {"type": "Polygon", "coordinates": []}}', "without a ring"),
        ('{"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}}', "no area"),
        ('{"geometry": {"type": "Polygon", "coordinates": [[["a", 0]]]}}', "no pair of numbers"),
        (
            '{"geometry": {"type": "Polygon", "coordinates": [[[0, NaN], [1, 1], [2, 0]]]}}',
            "no area",
        ),
    ],
)
def test_rubbish_is_refused_in_a_sentence(
    study: Study, tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "bad.geojson"
    path.write_text(text)
    draw(study, 1)
    with pytest.raises(BadRegions, match=words) as refused:
        import_regions(study, path, "B", smear_id=1)
    assert "bad.geojson" in str(refused.value)
    assert standing(study, 1) == list(DRAWN)


def test_says_whose_regions_are_missing(study: Study, tmp_path: Path) -> None:
    ring = [[0, 0], [9, 0], [9, 9], [0, 0]]
    path = written(tmp_path, [with_geometry("Polygon", [ring], None)])
    with pytest.raises(BadRegions, match="of which smear"):
        import_regions(study, path, "B")
    with pytest.raises(NotFound, match="S000099"):
        import_regions(study, path, "B", smear_id=99)
    foreign = with_geometry("Polygon", [ring], None)
    foreign["properties"]["metadata"] = {"marrow_smear": "f" * 64}
    with pytest.raises(NotFound, match="not in this study"):
        import_regions(study, written(tmp_path, [foreign]), "B")
    with pytest.raises(BadSettings, match="cannot be written"):
        export_regions(study, tmp_path / "none" / "file.geojson")


def test_every_decimal_that_a_person_draws_comes_back(study: Study, tmp_path: Path) -> None:
    """Half a pixel more and less changes 0.1, and 13,456.123456789."""
    polygon = ((0.1, 0.2), (0.3, 11.7), (511.123456789, 0.7), (1 / 3, 2 / 3))
    (one,) = [NewRegion(role="use", polygon=polygon)]
    with study.database.write() as connection:
        regions.replace(connection, 1.0, 1, (one,), "A")
    export_regions(study, tmp_path / "a.geojson")
    with study.database.write() as connection:
        regions.replace(connection, 2.0, 1, (), "A")
    import_regions(study, tmp_path / "a.geojson", "B")
    (back,) = standing(study, 1)
    assert back.polygon[:3] == polygon[:3]
    assert back.polygon[3] == pytest.approx(polygon[3], abs=1e-9)


def test_what_stands_already_is_left_alone(study: Study, tmp_path: Path) -> None:
    """A new revision of the regions would have a slide classified again."""
    draw(study, 2)
    export_regions(study, tmp_path / "a.geojson")

    def revision() -> int:
        with study.database.read() as connection:
            return smears.get(connection, [2])[0].regions_revision

    before = revision()
    import_regions(study, tmp_path / "a.geojson", "B")
    assert revision() == before


@pytest.mark.parametrize("name", ["S000002.geojson", "1.geojson", "1.png.geojson"])
def test_a_file_may_say_by_its_name_of_which_smear_it_is(
    study: Study, tmp_path: Path, name: str
) -> None:
    """The second smear of the study lies at /nowhere/1.png."""
    ring = [[0, 0], [9, 0], [9, 9], [0, 0]]
    written(tmp_path, [with_geometry("Polygon", [ring], None)]).rename(tmp_path / name)
    assert import_regions(study, tmp_path / name, "B") == (1, 1, 0)
    assert len(standing(study, 2)) == 1


def test_what_nobody_drew_is_left_out(study: Study, tmp_path: Path) -> None:
    ring = [[0, 0], [9, 0], [9, 9], [0, 0]]
    polygon = {"type": "Polygon", "coordinates": [ring]}
    features = [with_geometry("Polygon", [ring], None) for _ in range(3)]
    for one, kind in zip(features, ("detection", "tile", "annotation"), strict=True):
        one["properties"]["objectType"] = kind
    several = {"type": "GeometryCollection", "geometries": [polygon, {"type": "Point"}, polygon]}
    features.append({"type": "Feature", "geometry": several, "properties": None})
    path = written(tmp_path, features)
    table = json.loads(path.read_text())
    table["crs"] = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::4326"}}
    path.write_text(json.dumps(table))
    assert import_regions(study, path, "B", smear_id=1) == (1, 3, 2)


def test_a_drawing_beside_the_image_is_another_image_s(study: Study, tmp_path: Path) -> None:
    far = [[600, 0], [700, 0], [700, 90], [600, 0]]
    over_the_edge = [[500, 0], [700, 0], [700, 90], [500, 0]]
    path = written(tmp_path, [with_geometry("Polygon", [over_the_edge], None)])
    assert import_regions(study, path, "B", smear_id=1).regions == 1
    path = written(tmp_path, [with_geometry("Polygon", [far], None)])
    with pytest.raises(BadRegions, match=r"outside of S000001 \(512 x 512 px\)"):
        import_regions(study, path, "B", smear_id=1)


def test_several_files_on_the_command_line(study: Study, tmp_path: Path) -> None:
    ring = [[0, 0], [9, 0], [9, 9], [0, 0]]
    files = []
    for name in ("S000001", "S000003"):
        path = written(tmp_path, [with_geometry("Polygon", [ring], "AML")])
        files.append(str(path.rename(tmp_path / f"{name}.geojson")))
    home = str(study.settings.home)
    done = CliRunner().invoke(build(), ["--home", home, "regions", "import", *files])
    assert (done.exit_code, done.output) == (0, "2 regions of 2 smears\n")
    assert standing(study, 3)[0].class_name == "AML"


def with_geometry(kind: str, coordinates: Any, name: str | None) -> dict[str, Any]:
    properties = {} if name is None else {"classification": {"name": name}}
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def written(folder: Path, features: list[dict[str, Any]]) -> Path:
    path = folder / "drawn.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path
