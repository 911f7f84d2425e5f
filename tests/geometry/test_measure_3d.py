from __future__ import annotations

import math
from dataclasses import fields
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from caml_dask.geometry.measure import Shapes3D, measure_clusters, measure_clusters_3d
from caml_dask.schema import CLUSTERS_3D, cluster_columns, descriptors

FloatArray = npt.NDArray[np.float64]


def measure(*clusters: FloatArray, b: float = 10.0) -> Shapes3D:
    starts = np.cumsum([0] + [len(c) for c in clusters])
    xyz = np.vstack(clusters) if clusters else np.empty((0, 3))
    return measure_clusters_3d(xyz, np.abs(xyz[:, 0]) % 7.0, starts, np.full(len(clusters), b))


def assert_same_bits(a: Shapes3D, b: Shapes3D) -> None:
    assert a.outline_wkb() == b.outline_wkb()
    for name, column in a.columns().items():
        assert column.tobytes() == b.columns()[name].tobytes(), name


def test_descriptors_of_six_localizations_by_hand() -> None:
    # Spread by 6, 3 and 2 along x, y and z about (100, 200, 50), without covariance.
    arms = np.vstack([np.diag([6.0, 3.0, 2.0]), -np.diag([6.0, 3.0, 2.0])])
    xyz = np.array([100.0, 200.0, 50.0]) + arms
    found = measure_clusters_3d(xyz, np.arange(1.0, 7.0), np.array([0, 6]), np.array([3.0]))
    assert (found.centroid_x_nm[0], found.centroid_y_nm[0], found.centroid_z_nm[0]) == (100.0, 200.0, 50.0)
    assert (found.extent_x_nm[0], found.extent_y_nm[0], found.extent_z_nm[0]) == (12.0, 6.0, 4.0)
    assert found.elongation[0] == pytest.approx(1 - 2 / 6)
    assert found.radius_of_gyration_nm[0] == pytest.approx(math.sqrt((36 + 9 + 4) / 3))
    assert found.mean_nn_nm[0] == 3.5
    assert found.density_per_um3[0] == pytest.approx(6e9 / found.volume_nm3[0])
    assert found.bounds_nm[0].tolist() == [91.0, 194.0, 109.0, 206.0]


def test_the_outline_is_that_of_the_members_seen_along_z() -> None:
    rng = np.random.default_rng(2)
    xyz = np.column_stack([rng.normal(0, 30, (60, 2)), rng.uniform(-40, 40, 60)])
    xyz = np.vstack([xyz, xyz[:9] + np.array([0.0, 0.0, 5.0])])  # some lie above one another
    found = measure(xyz)
    flat = measure_clusters(xyz[:, :2], np.zeros(len(xyz)), np.array([0, len(xyz)]), np.array([10.0]))
    assert found.outline_wkb() == flat.outline_wkb()
    assert found.projected_area_nm2[0] == flat.area_nm2[0]
    # No part of the volume is outside the outline, or higher than the members and b reach.
    assert found.volume_nm3[0] < found.projected_area_nm2[0] * (found.extent_z_nm[0] + 20.0)


@pytest.mark.parametrize("direction", [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.48, -0.6, 0.64]])
def test_lines_and_balls(direction: list[float]) -> None:
    line = np.outer(np.arange(30.0) * 8.0, direction) + 1e4
    assert measure(line).elongation[0] == pytest.approx(1.0, abs=1e-6)
    ball = np.random.default_rng(4).normal(0, 50, (4_000, 3))
    assert measure(ball).elongation[0] < 0.06
    sheet = ball - np.outer(ball @ direction, direction)
    assert measure(sheet).elongation[0] == pytest.approx(1.0, abs=1e-6)


def test_duplicates_only_have_no_volume() -> None:
    found = measure(np.full((4, 3), 30.0), np.full((3, 3), 5.0), b=0.0)
    assert found.volume_nm3.tolist() == found.projected_area_nm2.tolist() == [0.0, 0.0]
    assert found.elongation.tolist() == found.extent_z_nm.tolist() == [0.0, 0.0]
    assert np.isnan(found.density_per_um3).all()
    assert found.outline.tolist() == [None, None]


def test_no_clusters() -> None:
    found = measure()
    assert all(len(column) == 0 for column in found.columns().values())
    assert found.bounds_nm.shape == (0, 4)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_neither_order_nor_batch_changes_a_bit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    clusters = [np.round(rng.normal(0, 20, (int(n), 3)), int(rng.integers(0, 4))) for n in rng.integers(1, 60, 4)]
    clusters = [np.vstack([c, c[:3]]) for c in clusters]
    starts = np.cumsum([0] + [len(c) for c in clusters])
    xyz, nn, b = np.vstack(clusters), rng.exponential(9.0, starts[-1]), rng.uniform(4.0, 12.0, 4)
    found = measure_clusters_3d(xyz, nn, starts, b)
    mixed = np.concatenate([rng.permutation(np.arange(i, j)) for i, j in pairwise(starts)])
    assert_same_bits(found, measure_clusters_3d(xyz[mixed], nn[mixed], starts, b))
    for i, (start, stop) in enumerate(pairwise(starts)):
        alone = measure_clusters_3d(xyz[start:stop], nn[start:stop], np.array([0, stop - start]), b[i : i + 1])
        for name, column in alone.columns().items():
            assert column[0].tobytes() == found.columns()[name][i].tobytes(), name


def test_the_sign_of_zero_does_not_show() -> None:
    xyz = np.array([[0.0, 0.0, -0.0], [-0.0, 1.0, 0.0], [0.0, -0.0, 0.0]])
    assert_same_bits(measure(xyz), measure(np.abs(xyz)))


def test_every_measure_has_its_column() -> None:
    names = {c.name for c in cluster_columns(3)}
    assert cluster_columns(3) is CLUSTERS_3D
    assert {f.name for f in fields(Shapes3D)} - {"bounds_nm", "outline"} <= names
    of_the_image = {
        "image_id",
        "cluster_id",
        "region_id",
        "label",
        "b_nm",
        "nearest_cluster_nm",
        "touches_border",
        "q_value",
    }
    assert names - set(measure().columns()) == of_the_image
    assert "volume_nm3" in descriptors(CLUSTERS_3D) and "centroid_z_nm" not in descriptors(CLUSTERS_3D)


@pytest.mark.parametrize(
    ("xyz", "says"), [([[0, 0]], "xyz_nm .* pass .m, 3."), ([[0, 0, math.nan]], "xyz_nm holds nan")]
)
def test_what_cannot_be_measured_is_refused(xyz: list[list[float]], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        measure_clusters_3d(np.array(xyz, float), np.ones(1), np.array([0, 1]), np.ones(1))


def test_far_from_the_origin_shapes_stay() -> None:
    xyz = np.random.default_rng(4).integers(0, 100, (60, 3)).astype(float)
    near, far = measure(xyz), measure(xyz + 2.0**30)
    assert shapely.area(far.outline[0]) == pytest.approx(shapely.area(near.outline[0]), rel=1e-9)
    for name in ("volume_nm3", "projected_area_nm2", "elongation", "radius_of_gyration_nm", "extent_z_nm"):
        np.testing.assert_allclose(far.columns()[name], near.columns()[name], rtol=1e-9, err_msg=name)
