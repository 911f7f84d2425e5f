"""Regions of interest: files as their own programs read them, and what they do to the figures of an image."""

from __future__ import annotations

import io
import json
import re
import zipfile

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import roifile
import shapely
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from caml_dask import analyze
from caml_dask.cli import main
from caml_dask.errors import InputError, UsageError
from caml_dask.io.rois.given import read_rois
from caml_dask.io.rois.roi import Roi, apart, region_of
from caml_dask.rectangles import parse_rectangles
from caml_dask.settings import Settings
from tests.layouts import layouts
from tests.support import HAND_DRAWN, SHARED, Threshold, analyse_in_memory, result_tables, same, simulated_table

PIXEL = 100.0


def polygon_roi(corners: list[tuple[float, float]], name: str = "cell") -> roifile.ImagejRoi:
    return roifile.ImagejRoi.frompoints(np.asarray(corners, dtype=np.float32), name=name)


def shapes(path, pixel_nm: float | None = PIXEL) -> list[Roi]:
    return read_rois(str(path), pixel_nm, None)


def test_rectangles_by_hand():
    assert parse_rectangles("x=1000..5000,y=0..2000") == [(1000, 0, 5000, 2000)]
    assert parse_rectangles(" x = -1.5 .. 2e3 , y=-7..-3.25 ; x=0..1,y=0..1") == [(-1.5, -7, 2000, -3.25), (0, 0, 1, 1)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x=1000..5000", "is no rectangle"),
        ("y=0..1,x=0..1", "is no rectangle"),
        ("x=a..5,y=0..1", "is no rectangle"),
        ("x=0..1,y=0..1;", "'' is no rectangle"),
        ("x=5..1,y=0..1", "spans no area"),
        ("x=0..inf,y=0..1", "spans no area"),
        ("x=nan..1,y=0..1", "spans no area"),
    ],
)
def test_what_is_no_rectangle_is_refused(text, said):
    with pytest.raises(UsageError, match=said):
        Settings(roi=text)


def test_settings_keep_an_absolute_path_and_one_area():
    assert Settings(roi="cells.zip").roi.endswith("/cells.zip") and Settings(roi="cells.zip").roi.startswith("/")
    with pytest.raises(UsageError, match="leave one of them out"):
        Settings(roi="x=0..1,y=0..1", area_um2=3.0)
    with pytest.raises(UsageError, match="positive size of a pixel"):
        Settings(roi_pixel_nm=0)


def test_a_region_of_imagej_is_what_roifile_wrote(tmp_path):
    corners = [(1.5, 2.0), (30.25, 4.0), (25.0, 40.0), (3.0, 20.0)]
    polygon_roi(corners).tofile(tmp_path / "one.roi")
    (found,) = shapes(tmp_path / "one.roi")
    assert found.name == "cell"
    assert shapely.Polygon(np.array(corners) * PIXEL).equals(found.shape)
    rectangle = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.RECT, left=20, top=3, right=45, bottom=8, name="box")
    roifile.roiwrite(tmp_path / "two.zip", [polygon_roi(corners, "cell"), rectangle])
    first, second = shapes(tmp_path / "two.zip")
    assert (first.name, second.name) == ("cell", "box")
    # what two regions share belongs to the first
    box = shapely.box(2000, 300, 4500, 800)
    assert second.area_um2 == pytest.approx(box.difference(first.shape).area / 1e6)
    assert not shapely.intersection(first.shape, second.shape).area


def test_an_oval_of_imagej(tmp_path):
    oval = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.OVAL, left=10, top=20, right=50, bottom=40)
    oval.tofile(tmp_path / "oval.roi")
    (found,) = shapes(tmp_path / "oval.roi")
    assert found.area_um2 == pytest.approx(np.pi * 2.0 * 1.0, rel=0.01)
    assert found.shape.bounds == pytest.approx((1000, 2000, 5000, 4000), abs=20)


def test_geojson_with_holes_and_names(tmp_path):
    ring, hole = shapely.box(0, 0, 1000, 1000), shapely.box(200, 200, 400, 400)
    whole, other = ring.difference(hole), shapely.MultiPolygon([shapely.box(2000, 0, 2100, 100)])
    features = [
        {"type": "Feature", "properties": {"name": "cell A"}, "geometry": shapely.geometry.mapping(whole)},
        {"type": "Feature", "properties": None, "geometry": shapely.geometry.mapping(other)},
    ]
    path = tmp_path / "cells.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    first, second = shapes(path, None)
    assert (first.name, second.name) == ("cell A", "region 1")
    assert first.shape.equals(whole) and second.shape.equals(other)


@given(st.integers(0, 2**32 - 1))
def test_a_mask_is_looked_up_by_pixel(seed):
    rng = np.random.default_rng(seed)
    mask = (rng.integers(0, 3, (7, 9)) * (rng.random((7, 9)) < 0.7)).astype(np.uint8)
    mask[0, :2] = 1, 2
    content = io.BytesIO()
    Image.fromarray(mask).save(content, "PNG")
    from caml_dask.io.rois.mask import read_mask

    rois = apart(read_mask("mask.png", content.getvalue(), 50.0))
    assert [roi.name for roi in rois] == ["1", "2"]
    assert [roi.area_um2 for roi in rois] == pytest.approx([(mask == v).sum() * 0.05**2 for v in (1, 2)])
    xy = rng.uniform(-50, 550, (200, 2))
    column, row = np.floor(xy / 50.0).astype(int).T
    there = (column >= 0) & (column < 9) & (row >= 0) & (row < 7)
    expected = np.full(200, -1)
    expected[there] = mask[row[there], column[there]].astype(int) - 1
    np.testing.assert_array_equal(region_of(rois, xy), expected)


def test_a_tiff_mask_of_sixteen_bits(tmp_path):
    mask = np.zeros((4, 4), dtype=np.uint16)
    mask[1, 2] = 300
    Image.fromarray(mask).save(tmp_path / "mask.tif")
    (found,) = shapes(tmp_path / "mask.tif")
    assert found.name == "300" and found.shape.equals(shapely.box(200, 100, 300, 200))


def test_places_on_a_border_belong_to_the_first_region():
    rois = apart([Roi("a", shapely.box(0, 0, 10, 10)), Roi("b", shapely.box(10, 0, 20, 10))])
    places = np.array([[0, 0], [10, 5], [10.5, 5], [20, 10], [20.1, 5]], dtype=float)
    assert region_of(rois, places).tolist() == [0, 0, 1, 1, -1]


def bomb(path) -> None:
    """An entry that says it unpacks to 3 GB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.roi", b"Iout" + bytes(1 << 20))
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = (3 << 30).to_bytes(4, "little")
    path.write_bytes(content)


def lying(path) -> None:
    """A member that unpacks to more than its entry says."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.roi", polygon_roi([(0, 0), (9, 0), (9, 9)]).tobytes())
    path.write_bytes(path.read_bytes()[:-40])


DAMAGED = {
    "bomb.zip": (bomb, "unpacks to|are read at most"),
    "cut.zip": (lying, "damaged ZIP archive"),
    "empty.zip": (lambda path: zipfile.ZipFile(path, "w").close(), "holds 0 .roi files"),
    "cut.roi": (lambda path: path.write_bytes(b"Iout\x00\xe2"), "damaged region of ImageJ|spans no area"),
    "text.roi": (lambda path: path.write_text("hello"), "holds no regions"),
    "nothing.roi": (lambda path: path.write_bytes(b""), "holds no regions"),
    "line.roi": (
        lambda path: roifile.ImagejRoi(roitype=roifile.ROI_TYPE.LINE, x1=0, y1=0, x2=9, y2=9).tofile(path),
        "is a line, which spans no area",
    ),
    "flat.roi": (lambda path: polygon_roi([(0, 0), (5, 5), (9, 9)]).tofile(path), "encloses no area"),
    "cut.json": (lambda path: path.write_text('{"type": "Polygon"'), "is no GeoJSON"),
    "point.json": (lambda path: path.write_text('{"type": "Point", "coordinates": [1, 2]}'), "is a Point"),
    "open.json": (
        lambda path: path.write_text('{"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1]]]}'),
        "the last of which is the first",
    ),
    "infinite.json": (
        lambda path: path.write_text('{"type": "Polygon", "coordinates": [[[0,0],[1,0],[1e999,1],[0,0]]]}'),
        "not finite",
    ),
    "none.json": (lambda path: path.write_text('{"type": "FeatureCollection", "features": []}'), "holds no regions"),
    "deep.json": (lambda path: path.write_text('{"type":' * 100_000), "is no GeoJSON"),
    "cut.png": (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"), "damaged image"),
    "color.png": (lambda path: Image.new("RGB", (4, 4)).save(path), "an image of RGB"),
    "black.png": (lambda path: Image.new("L", (4, 4)).save(path), "has 0 values but 0"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_files_that_hold_no_regions_are_refused(tmp_path, name):
    write, said = DAMAGED[name]
    write(tmp_path / name)
    with pytest.raises(InputError, match=said) as caught:
        shapes(tmp_path / name)
    assert name in str(caught.value)


@pytest.mark.parametrize("name", ["one.roi", "mask.png"])
def test_pixels_need_their_size(tmp_path, name):
    polygon_roi([(0, 0), (9, 0), (9, 9)]).tofile(tmp_path / "one.roi")
    Image.fromarray(np.ones((4, 4), np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(InputError, match="--roi-pixel-nm 100"):
        shapes(tmp_path / name, None)


@given(st.binary(max_size=200), st.sampled_from([b"Iout", b"PK\x03\x04", b"{", b"\x89PNG\r\n\x1a\n", b"II*\0", b""]))
def test_any_file_is_read_or_refused(tmp_path_factory, content, begin):
    path = tmp_path_factory.getbasetemp() / "any.bin"
    path.write_bytes(begin + content)
    with pytest.raises(InputError):
        shapes(path)


def table() -> pd.DataFrame:
    """Two clusters of 60, one of them cut by x = 1000, among scattered localizations."""
    rng = np.random.default_rng(8)
    middles = [[500, 500], [1004, 1500]]
    xy = np.vstack([rng.uniform(0, 2000, (500, 2)), *(rng.normal(m, 12, (60, 2)) for m in middles)])
    return pd.DataFrame({"x_nm": xy[:, 0], "y_nm": xy[:, 1]})


def test_regions_decide_what_is_counted_and_the_network_sees_everything():
    localizations, halves = table(), "x=0..1000,y=0..2000;x=1000..2000,y=0..2000"
    whole = analyze(localizations, "XPILJZ", test=False)
    found = analyze(localizations, "XPILJZ", roi=halves, max_localizations=150, test=False)
    shared = [name for name in found.points.columns if name != "region_id"]
    pd.testing.assert_frame_equal(found.points[shared], whole.points)
    pd.testing.assert_frame_equal(found.clusters.drop(columns="region_id"), whole.clusters)
    assert "region_id" not in whole.points and "regions" not in whole.summary
    expected = np.where(localizations["x_nm"] <= 1000, 0, 1)
    np.testing.assert_array_equal(found.points["region_id"], expected)
    np.testing.assert_array_equal(found.clusters["region_id"], np.where(found.clusters["centroid_x_nm"] <= 1000, 0, 1))
    assert set(found.clusters["region_id"]) == {0, 1}
    for number, region in enumerate(found.summary["regions"]):
        mine, clusters = found.points[expected == number], found.clusters[found.clusters["region_id"] == number]
        inside = int((mine["cluster_id"] >= 0).sum())
        assert region["area_um2"] == 2.0 and region["localizations"] == len(mine) and region["in_clusters"] == inside
        assert region["percent_clustered"] == pytest.approx(100 * inside / len(mine))
        assert region["clusters"] == len(clusters) and region["clusters_per_um2"] == len(clusters) / 2.0
        assert region["medians"]["area_nm2"]["median"] == clusters["area_nm2"].median()
    assert found.summary["area_um2"] == 4.0 and found.summary["area_defined_by"] == "regions of interest"
    assert found.summary["clusters"] == len(whole.clusters) and found.summary["localizations"] == len(localizations)


def test_regions_of_localizations_in_3d():
    """A region is a column along z."""
    xyz = np.column_stack([HAND_DRAWN, np.arange(len(HAND_DRAWN)) % 2])
    given_settings = [{}, {"roi": "x=5..30,y=0..100"}]
    whole, found = (analyse_in_memory(xyz, Threshold(dimensions=3), 6, **roi) for roi in given_settings)
    assert found.clusters.drop_columns("region_id").equals(whole.clusters)
    assert found.clusters["region_id"].to_pylist() == [0, -1]
    inside = (xyz[:, 0] >= 5) & (xyz[:, 0] <= 30)
    np.testing.assert_array_equal(found.points["region_id"].to_numpy(), np.where(inside, 0, -1))


def test_what_lies_outside_is_labelled_and_not_counted():
    localizations = table()
    found = analyze(localizations, "XPILJZ", roi="x=400..600,y=400..600", where="loc_id != 0", test=False)
    inside = localizations.iloc[1:][["x_nm", "y_nm"]].apply(lambda c: c.between(400, 600)).all(axis=1)
    assert found.summary["localizations"] == int(inside.sum())
    assert found.summary["outside_regions"] == int((~inside).sum())
    assert found.summary["dropped_where"] == 1
    assert found.points["region_id"].isna().sum() == 1
    assert (found.points["region_id"] == -1).sum() == found.summary["outside_regions"]
    assert found.points["label"].notna().sum() == len(localizations) - 1
    assert found.summary["clusters"] == (found.clusters["region_id"] == 0).sum() == 1 < len(found.clusters)
    assert found.summary["clusters_per_um2"] == pytest.approx(1 / 0.04)


@settings(max_examples=30)
@given(layouts(least=20), st.integers(4, 30))
def test_tiling_does_not_change_what_regions_give(xy, tile):
    (x0, y0), (x1, y1) = xy.min(axis=0).tolist(), np.median(xy, axis=0).tolist()
    roi = f"x={x0 - 1!r}..{x1 + 1!r},y={y0 - 1!r}..{y1 + 1!r};x={x1!r}..{x1 + 500!r},y={y1!r}..{y1 + 500!r}"
    whole, tiled = (analyse_in_memory(xy, Threshold(), t, roi=roi) for t in (10_000, tile))
    assert whole.points.equals(tiled.points)
    assert whole.clusters.equals(tiled.clusters)
    first = shapely.box(x0 - 1, y0 - 1, x1 + 1, y1 + 1)
    inside = shapely.covers(first, shapely.points(xy))
    np.testing.assert_array_equal(whole.points["region_id"].to_numpy() == 0, inside)


def test_regions_that_miss_all_localizations_say_where_both_are():
    with pytest.raises(
        InputError, match="no localization lies in the regions.*span x 9,000 to 9,500.*localizations span x"
    ):
        analyze(table(), "XPILJZ", roi="x=9000..9500,y=0..2000")
    found = analyze(table(), "XPILJZ", roi="x=0..2000,y=0..2000;x=9000..9500,y=0..2000", test=False)
    assert "empty-region: no localization lies in region 1, 'rectangle 1'" in found.summary["warnings"]
    assert found.summary["regions"][1]["clusters"] == 0


def test_the_command_takes_a_folder_with_regions_for_each_image(tmp_path):
    folder = tmp_path / "rois"
    folder.mkdir()
    for name in ("a", "b", "c"):
        simulated_table(tmp_path / f"{name}.csv", side_nm=3000.0, seed=ord(name))
    roifile.roiwrite(
        folder / "a.zip", [polygon_roi([(0, 0), (15, 0), (15, 30), (0, 30)], n) for n in ("left", "left again")][:1]
    )
    (folder / "b.geojson").write_text(json.dumps(shapely.geometry.mapping(shapely.box(500, 500, 2500, 2500))))
    options = ["-n", "XPILJZ", "-j", "0", "--no-test", "--roi", str(folder), "--roi-pixel-nm", "100"]
    inputs = [str(tmp_path / f"{name}.csv") for name in "abc"]
    for out, more in {"whole": [], "tiles": ["--max-localizations", "200"]}.items():
        ran = CliRunner().invoke(main, ["run", *inputs, "-o", str(tmp_path / out), *options, *more])
        assert ran.exit_code == 3, ran.output
    assert same(result_tables(tmp_path / "whole"), result_tables(tmp_path / "tiles"))
    regions = pd.read_csv(tmp_path / "whole" / "regions.csv")
    assert regions[["image_id", "name"]].to_numpy().tolist() == [["0001_a", "left"], ["0002_b", "region 0"]]
    assert regions["area_um2"].tolist() == [4.5, 4.0]
    images = json.loads((tmp_path / "whole" / "summary.json").read_text())["images"]
    assert re.search(r"holds no file of its regions: wanted is one, such as c.roi", images[2]["reason"])
    points = pq.read_table(tmp_path / "whole" / "0001_a" / "points.parquet").to_pandas()
    assert (points["region_id"] == 0).sum() == images[0]["localizations"] == (points["x_nm"] <= 1500).sum()
    reported = CliRunner().invoke(main, ["report", str(tmp_path / "whole")])
    assert reported.exit_code == 0, reported.output
    # another region is another input
    (folder / "b.geojson").write_text(json.dumps(shapely.geometry.mapping(shapely.box(500, 500, 2500, 2400))))
    again = CliRunner().invoke(main, ["run", *inputs, "-o", str(tmp_path / "whole"), *options, "--resume"])
    assert again.exit_code == 2 and "b.csv" in again.output


def test_a_screening_analyzes_an_image_again_when_its_regions_change(tmp_path):
    simulated_table(tmp_path / "a.csv", side_nm=3000.0)
    (tmp_path / "cohort.csv").write_text("path,condition,replicate\na.csv,one,1\n")
    roi = tmp_path / "cell.geojson"
    call = ["screen", str(tmp_path / "cohort.csv"), "-o", str(tmp_path / "out"), "-n", "XPILJZ", "-j", "0"]
    found = []
    for side in (2000, 2000, 1500):
        roi.write_text(json.dumps(shapely.geometry.mapping(shapely.box(0, 0, side, side))))
        ran = CliRunner().invoke(main, [*call, "--no-test", "--roi", str(roi)])
        assert ran.exit_code == 0, ran.output
        (image,) = json.loads((tmp_path / "out" / "summary.json").read_text())["images"]
        found.append((image["area_um2"], len(list((tmp_path / "out" / "nights").iterdir()))))
    assert found == [(4.0, 1), (4.0, 1), (2.25, 2)]


def test_a_file_that_is_not_there_stops_the_command(tmp_path):
    cell = simulated_table(tmp_path / "a.csv")
    ran = CliRunner().invoke(main, ["run", str(cell), "-o", str(tmp_path / "out"), "--roi", str(tmp_path / "no.roi")])
    assert ran.exit_code == 2 and "there is no such file or folder" in ran.output
    assert not (tmp_path / "out").exists()


def test_regions_of_a_real_cell():
    """Locan's polygons of a rapidSTORM table, against shapely."""
    folder = SHARED / "roi"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing")
    polygons = []
    for number in (0, 1):
        text = yaml.safe_load((folder / f"rapidSTORM_jurkat_cd18_roi_{number}.yaml").read_text())["region"]
        polygons.append(shapely.Polygon(json.loads(re.search(r"\[\[.*\]\]", text)[0])))
    from caml_dask.io.readers.sources import read_localizations

    cells = read_localizations(folder / "rapidSTORM_jurkat_cd18.txt")
    xy = np.column_stack([cells["x_nm"], cells["y_nm"]])
    rois = apart([Roi(str(i), polygon) for i, polygon in enumerate(polygons)])
    found = region_of(rois, xy)
    for number, polygon in enumerate(polygons):
        assert (found == number).sum() == shapely.covers(polygon, shapely.points(xy)).sum() > 1000
        assert rois[number].area_um2 == pytest.approx(polygon.area / 1e6)
