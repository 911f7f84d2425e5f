"""Selecting, coloring and exporting clusters, without a window."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import shapely
from exported import HOLLOW, IN_PARTS, clusters_table, hand_drawn, outlines_tables
from hypothesis import given
from hypothesis import strategies as st

from caml_dask.errors import OutputError, StoreError, UsageError
from caml_dask.io.exporters.exporter import Options
from caml_dask.io.exporters.write import export
from caml_dask.napari_plugin.bins import Bins
from caml_dask.napari_plugin.clusters import Clusters

EVERYWHERE = (-1e9, -1e9, 1e9, 1e9)


@pytest.fixture
def clusters() -> Clusters:
    return Clusters(hand_drawn())


def test_measures_are_the_columns_of_numbers(clusters):
    assert {"area_nm2", "n_localizations", "circularity", "density_per_um2"} <= set(clusters.measures)
    assert not {"cluster_id", "image_id", "label", "touches_border"} & set(clusters.measures)
    assert np.array_equal(clusters.values("circularity"), [0.5, 0.25, np.nan], equal_nan=True)


def test_a_range_takes_both_ends_and_no_null(clusters):
    assert clusters.between("circularity", 0.25, 0.5).tolist() == [True, True, False]
    assert clusters.between("circularity", 0.26, 9).tolist() == [True, False, False]
    assert clusters.between("circularity", -np.inf, np.inf).tolist() == [True, True, False]


def test_outlines_come_with_their_holes_and_parts(clusters):
    rings, of = clusters.rings(np.array([0, 1, 2]))
    assert of.tolist() == [0, 0, 1, 1], "the third cluster spans no area"
    areas = [shapely.Polygon(ring).area for ring in rings]
    assert areas[0] - areas[1] == pytest.approx(HOLLOW.area) and areas[2] + areas[3] == pytest.approx(IN_PARTS.area)
    rings, of = clusters.rings(np.array([1]))
    assert of.tolist() == [0, 0] and {tuple(corner) for ring in rings for corner in ring} == {
        tuple(corner) for corner in shapely.get_coordinates(IN_PARTS).tolist()
    }


def test_corners_that_would_not_be_seen_are_left_out():
    circle = shapely.Point(0, 0).buffer(100, 64)
    table = pa.table({"cluster_id": pa.array([0], pa.int64()), "outline": pa.array([shapely.to_wkb(circle)])})
    clusters = Clusters(hand_drawn(clusters=lambda: clusters_table()[:1], outlines=lambda: iter([table])))
    (exact,), (coarse,), (least,) = (clusters.rings(np.array([0]), tolerance)[0] for tolerance in (0.0, 2.0, 1e9))
    assert len(exact) == 256 > 4 * len(coarse) and len(least) >= 3
    assert shapely.hausdorff_distance(shapely.LinearRing(exact), shapely.LinearRing(coarse)) <= 2.0


def test_of_too_many_outlines_the_selected_come_first_then_the_widest(clusters):
    none = np.zeros(3, bool)
    assert [clusters.in_view(EVERYWHERE, most, none)[0].tolist() for most in (2, 1)] == [[0, 1], [1]]
    rows, in_view = clusters.in_view(EVERYWHERE, 1, np.array([True, False, True]))
    assert rows.tolist() == [0] and in_view == 2
    assert clusters.in_view((13, 0, 49, 20), 9, none)[0].tolist() == [0]
    assert clusters.in_view((14, 0, 48, 20), 9, none) == (pytest.approx([]), 0)


def test_a_cluster_is_found_by_its_id(clusters):
    assert [clusters.place(cluster_id) for cluster_id in (0, 5, 9)] == [0, 1, 2]
    for row, outline in ((0, HOLLOW), (1, IN_PARTS)):
        assert shapely.box(*clusters.around(row)).contains(outline)
    x0, _, x1, _ = clusters.around(2)
    assert (x0 + x1) / 2 == pytest.approx(clusters.values("centroid_x_nm")[2]) and x1 - x0 == 100
    for missing in (4, 10):
        with pytest.raises(UsageError, match=f"no cluster {missing}: take a cluster_id"):
            clusters.place(missing)


def test_what_is_selected_is_what_is_exported(clusters, tmp_path: Path):
    image = hand_drawn()
    chosen = clusters.exportable(image, np.array([False, True, True]), "area_nm2 from 1 to 2")
    files = export([chosen], ["clusters-csv", "geojson"], tmp_path, Options(), overwrite=False)
    assert [file.name for file in files] == ["0001_hand_selection_clusters.csv", "0001_hand_selection_outlines.geojson"]
    with files[0].open() as file:
        rows = list(csv.DictReader(file))
    assert [row["cluster_id"] for row in rows] == ["5", "9"]
    assert float(rows[0]["area_nm2"]) == clusters.values("area_nm2")[1]
    found = json.loads(files[1].read_text())
    assert found["about"]["selection"] == "area_nm2 from 1 to 2"
    assert [feature["id"] for feature in found["features"]] == [5, 9]
    assert shapely.from_geojson(json.dumps(found["features"][0]["geometry"])).equals(IN_PARTS)
    with pytest.raises(OutputError, match="is there already"):
        export([chosen], ["geojson"], tmp_path, Options(), overwrite=False)
    nothing = clusters.exportable(image, np.zeros(3, bool), "")
    (empty, _) = export([nothing], ["clusters-csv", "geojson"], tmp_path / "none", Options(), overwrite=False)
    assert len(empty.read_text().splitlines()) == 1


def test_outlines_of_other_clusters_are_refused():
    with pytest.raises(StoreError, match="of other ids"):
        Clusters(hand_drawn(outlines=lambda: iter(list(outlines_tables())[:1])))


def test_an_image_without_clusters_has_nothing_to_select():
    nothing = pa.table({"cluster_id": pa.array([], pa.int64()), "outline": pa.array([], pa.binary())})
    clusters = Clusters(hand_drawn(clusters=lambda: clusters_table()[:0], outlines=lambda: iter([nothing])))
    assert len(clusters) == 0 and clusters.in_view(EVERYWHERE, 9, np.zeros(0, bool))[1] == 0
    assert clusters.rings(np.zeros(0, np.int64))[0] == [] and Bins.of(clusters.values("area_nm2")).counts.sum() == 0


@given(st.lists(st.floats(-1e6, 1e6) | st.floats(1e-6, 1e9) | st.just(float("nan")), max_size=40))
def test_bins_count_each_value_where_it_lies(values):
    bins = Bins.of(np.array(values))
    finite = np.array([value for value in values if np.isfinite(value)])
    assert bins.counts.sum() == len(finite)
    if not len(finite):
        return
    places = bins.place(finite)
    assert places.min() >= 0 and places.max() <= 1
    order = np.argsort(finite)
    assert (np.diff(places[order]) >= 0).all()
    assert (bins.value(0.0), bins.value(1.0)) == (finite.min(), finite.max())
    for place, value in zip(places.tolist(), finite.tolist()):
        assert finite.min() == finite.max() or bins.value(place) == pytest.approx(
            value, rel=1e-6, abs=1e-6 * np.ptp(finite)
        )


def test_a_measure_over_orders_of_magnitude_has_bins_of_equal_factors():
    assert Bins.of(np.array([1.0, 10.0, 1000.0])).logarithmic and not Bins.of(np.array([1.0, 10.0])).logarithmic
    assert float(Bins.of(np.array([1.0, 100.0])).place(10.0)) == pytest.approx(0.5)
    assert not Bins.of(np.array([0.0, 1e9])).logarithmic
