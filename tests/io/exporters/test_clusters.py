"""Clusters and outlines in the formats of other programs, read back by pandas, geopandas and roifile."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import shapely
from exported import HOLLOW, IN_PARTS, clusters_table, hand_drawn, outlines_tables

from caml_dask.errors import StoreError, UsageError
from caml_dask.io.exporters import clusters_xlsx
from caml_dask.io.exporters.exporter import Options
from caml_dask.io.exporters.write import export

openpyxl = pytest.importorskip("openpyxl")
roifile = pytest.importorskip("roifile")


def written(tmp_path, to, image=None, **options):
    (path,) = export([image or hand_drawn()], to, tmp_path, Options(**options), overwrite=False)
    return path


def test_a_csv_of_clusters_holds_every_bit(tmp_path):
    found = pd.read_csv(written(tmp_path, "clusters-csv"), engine="python")
    pd.testing.assert_frame_equal(found, clusters_table().to_pandas(), check_dtype=False, check_exact=True)


def test_a_workbook_holds_numbers_and_says_what_they_are(tmp_path):
    path = written(tmp_path, "xlsx")
    found, table = pd.read_excel(path, sheet_name="clusters"), clusters_table().to_pandas()
    pd.testing.assert_frame_equal(found, table, check_dtype=False, rtol=1e-15)
    assert found["cluster_id"].tolist() == [0, 5, 9] and found["touches_border"].dtype == bool
    about = {row[0]: row[1] for row in openpyxl.load_workbook(path)["about"].iter_rows(values_only=True) if row[0]}
    assert about["area_nm2"] == "area inside the outline, holes excluded"
    assert about["network"] == "XPILJZ" and about["input"] == "'=hand.csv", "and no formula"


def test_a_sheet_that_is_too_short_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(clusters_xlsx, "MOST_ROWS", 2)
    with pytest.raises(
        UsageError, match="0001_hand has 3 clusters and a sheet of Excel 2 rows: export it with --to clu"
    ):
        written(tmp_path, "xlsx")
    assert not [*tmp_path.iterdir()]


def test_geojson_holds_outlines_and_measures_to_the_bit(tmp_path):
    path = written(tmp_path, "geojson")
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["crs"] is None and found["about"]["network"] == "XPILJZ"
    assert [feature["id"] for feature in found["features"]] == [0, 5, 9]
    hollow, in_parts, none = (feature["geometry"] for feature in found["features"])
    assert shapely.equals_exact(shapely.from_geojson(json.dumps(hollow)), HOLLOW, 0)
    assert shapely.equals_exact(shapely.from_geojson(json.dumps(in_parts)), IN_PARTS, 0)
    assert none is None
    assert [feature["properties"] for feature in found["features"]] == clusters_table().to_pylist()


@pytest.mark.parametrize("to", ["geojson", "geopackage"])
def test_geopandas_opens_outlines(tmp_path, to):
    geopandas = pytest.importorskip("geopandas")
    pytest.importorskip("pyogrio")
    found = geopandas.read_file(written(tmp_path, to))
    assert (found.crs is None) == (to == "geopackage"), "GDAL takes any GeoJSON for longitude and latitude"
    plane = found.set_crs(None, allow_override=True)
    assert plane["cluster_id"].tolist() == [0, 5, 9]
    assert shapely.equals_exact(plane.geometry.iloc[0], HOLLOW, 0)
    assert shapely.equals_exact(plane.geometry.iloc[1], IN_PARTS, 0)
    assert plane.geometry.iloc[2] is None
    assert plane.geometry.area.tolist()[:2] == [HOLLOW.area, IN_PARTS.area]
    table = clusters_table().to_pandas()
    pd.testing.assert_frame_equal(
        pd.DataFrame(plane.drop(columns=[c for c in ("geometry", "id") if c in plane]))[list(table)],
        table,
        check_dtype=False,
        check_exact=True,
    )


def test_an_image_without_clusters_is_written(tmp_path):
    image = hand_drawn(clusters=lambda: clusters_table()[:0], outlines=lambda: iter([next(outlines_tables())[:0]]))
    formats = ["clusters-csv", "xlsx", "geojson", "imagej"]
    csv, xlsx, geojson, rois = export([image], formats, tmp_path, Options(), overwrite=False)
    assert len(pd.read_csv(csv)) == len(pd.read_excel(xlsx)) == 0
    assert json.loads(geojson.read_text())["features"] == [] and zipfile.ZipFile(rois).namelist() == []


def test_a_geopackage_without_clusters_is_written(tmp_path):
    pyogrio = pytest.importorskip("pyogrio")
    image = hand_drawn(clusters=lambda: clusters_table()[:0], outlines=lambda: iter([next(outlines_tables())[:0]]))
    assert pyogrio.read_info(written(tmp_path, "geopackage", image), layer="outlines")["features"] == 0


def rings_of(region):
    """Rings of a region in pixels, as ImageJ draws them."""
    return [shapely.LinearRing(points) for points in region.coordinates(multi=True)]


@pytest.mark.parametrize("pixel_nm", [None, 0.5, 3.0])
def test_imagej_regions_are_the_outlines_in_pixels(tmp_path, pixel_nm):
    regions = roifile.roiread(written(tmp_path, "imagej", pixel_nm=pixel_nm))
    size = pixel_nm or 10.0
    x0, y0 = (np.floor(side / size) * size for side in hand_drawn().bounds_nm[:2])
    assert [region.name for region in regions] == ["0", "5"], "the third spans no area"
    for region, outline in zip(regions, (HOLLOW, IN_PARTS), strict=True):
        assert region.composite and region.roitype == roifile.ROI_TYPE.RECT
        expected = shapely.get_rings(shapely.get_parts(outline))
        steps = [3 * (len(ring.coords) - 1) + 1 for ring in expected]  # to each point, and closed
        assert region.multi_coordinates.tolist()[-1] == 4 and len(region.multi_coordinates) == sum(steps)
        found = rings_of(region)
        assert len(found) == len(expected)
        for ring, wanted in zip(found, expected, strict=True):
            moved = shapely.transform(wanted, lambda xy: (xy - (x0, y0)) / size)
            assert shapely.equals_exact(shapely.normalize(ring), shapely.normalize(moved), 1e-4 / size)


def test_an_outline_of_one_ring_is_a_plain_region(tmp_path):
    triangle = shapely.Polygon([(9.5, 9), (13, 9.25), (11, 13)])
    wkb = pa.array([shapely.to_wkb(triangle), shapely.to_wkb(triangle), None], pa.binary())
    table = pa.table({"cluster_id": pa.array([0, 5, 9]), "geometry": wkb})
    region = roifile.roiread(written(tmp_path, "imagej", hand_drawn(outlines=lambda: iter([table])), pixel_nm=1.0))[0]
    assert not region.composite and region.roitype == roifile.ROI_TYPE.FREEHAND
    # The field begins at 3.3, 1.7 nm, so its pixels at 3, 1.
    assert region.coordinates().tolist() == [[6.5, 8.0], [10.0, 8.25], [8.0, 12.0]]


def test_the_same_results_give_the_same_bytes(tmp_path):
    one, other = (written(tmp_path / name, "imagej") for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("to", ["geojson", "imagej"])
def test_outlines_of_other_clusters_are_refused(tmp_path, to):
    image = hand_drawn(clusters=lambda: clusters_table()[1:])
    with pytest.raises(StoreError, match="clusters and outlines of 0001_hand are of other ids"):
        written(tmp_path, to, image)
    image = hand_drawn(outlines=lambda: iter([next(outlines_tables())]))
    with pytest.raises(StoreError, match="clusters and outlines of 0001_hand are of other ids"):
        written(tmp_path, to, image)
    assert not [*tmp_path.iterdir()]
