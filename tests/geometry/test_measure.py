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
from scipy.spatial import cKDTree

from caml_dask.geometry.measure import Shapes, measure_clusters, nearest_centroid_nm, touches_border
from caml_dask.geometry.outline import AREA_TOLERANCE

FloatArray = npt.NDArray[np.float64]
LONGEST_LINK = 2.0 * math.sqrt(3.0)


def measure(*clusters: FloatArray | list[list[float]], b: float | list[float] = 10.0) -> Shapes:
    arrays = [np.asarray(c, dtype=np.float64).reshape(-1, 2) for c in clusters]
    starts = np.cumsum([0] + [len(a) for a in arrays])
    xy = np.vstack(arrays) if arrays else np.empty((0, 2))
    nn = np.hypot(xy[:, 0], xy[:, 1]) % 7.0
    return measure_clusters(xy, nn, starts, np.broadcast_to(np.asarray(b, np.float64), len(arrays)))


def reference(xy: FloatArray, b: float) -> shapely.Geometry:
    discs = shapely.buffer(shapely.points(np.unique(xy, axis=0)), 2 * b, quad_segs=64)
    return shapely.union_all(discs).buffer(-b, quad_segs=64)


def assert_same_bits(a: Shapes, b: Shapes) -> None:
    for f in fields(Shapes):
        if f.name != "outline":
            assert getattr(a, f.name).tobytes() == getattr(b, f.name).tobytes(), f.name
    assert a.outline_wkb() == b.outline_wkb()


def grown(rng: np.random.Generator, n: int, b: float) -> FloatArray:
    """A cluster that grows by links of at most 2 sqrt(3) b, as the cut leaves them."""
    xy = np.zeros((n, 2))
    for k in range(1, n):
        angle, length = rng.uniform(0, 2 * math.pi), rng.uniform(0, LONGEST_LINK * b)
        xy[k] = xy[rng.integers(k)] + length * np.array([math.cos(angle), math.sin(angle)])
    return xy + rng.uniform(0, 40_000, 2)


def test_one_localization_is_a_disc_of_b() -> None:
    found = measure([[500.0, 900.0]], b=7.0)
    assert found.area_nm2[0] == pytest.approx(math.pi * 49, rel=1e-12)
    assert found.perimeter_nm[0] == pytest.approx(2 * math.pi * 7, rel=1e-12)
    assert found.circularity[0] == pytest.approx(1.0, rel=1e-12)
    assert found.elongation[0] == found.radius_of_gyration_nm[0] == found.orientation_deg[0] == 0.0
    assert found.bounds_nm[0].tolist() == [493.0, 893.0, 507.0, 907.0]
    assert shapely.hausdorff_distance(found.outline[0].exterior, shapely.Point(500, 900).buffer(7, 64).exterior) < 0.02


@pytest.mark.parametrize("link", [1e-9, 0.3, 1.0, 2.0, 3.0, LONGEST_LINK - 1e-9])
def test_two_localizations_have_a_waist(link: float) -> None:
    # The closing of two b-discs: their area and d h, with h the height at which the discs of 2b meet.
    b, d = 4.0, 4.0 * link
    found = measure([[10.0, 0.0], [10.0 + 0.6 * d, 0.8 * d]], b=b)
    h, opening = math.sqrt(4 * b * b - d * d / 4), math.acos(d / (4 * b))
    assert found.area_nm2[0] == pytest.approx(math.pi * b * b + d * h, rel=1e-9)
    assert found.perimeter_nm[0] == pytest.approx(b * (6 * math.pi - 8 * opening), rel=1e-9)
    assert found.outline[0].geom_type == "Polygon"
    assert found.elongation[0] == pytest.approx(1.0, abs=1e-6)
    assert found.orientation_deg[0] == pytest.approx(math.degrees(math.atan2(0.8, 0.6)))
    assert found.radius_of_gyration_nm[0] == pytest.approx(d / 2)


def test_discs_part_beyond_the_longest_link() -> None:
    b = 3.0
    near, far = ([[0.0, 0.0], [length * b, 0.0]] for length in (LONGEST_LINK + 1e-6, 9.0))
    parted = measure(near, far, b=b)
    assert shapely.get_num_geometries(parted.outline).tolist() == [2, 2]
    assert parted.area_nm2[1] == pytest.approx(2 * math.pi * b * b, rel=1e-12)
    assert shapely.area(parted.outline[1]) == pytest.approx(2 * math.pi * b * b, rel=2e-3)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 120), st.floats(0.5, 60.0))
def test_outline_is_that_of_fine_polygons_and_has_one_part(seed: int, n: int, b: float) -> None:
    xy = grown(np.random.default_rng(seed), n, b)
    found, wanted = measure(xy, b=b), reference(xy, b)
    outline = found.outline[0]
    assert outline.geom_type == "Polygon"
    assert outline.is_valid
    assert found.area_nm2[0] == pytest.approx(wanted.area, rel=1e-3)
    assert outline.area == pytest.approx(found.area_nm2[0], rel=AREA_TOLERANCE)
    assert found.perimeter_nm[0] == pytest.approx(wanted.length, rel=5e-3)
    assert shapely.symmetric_difference(outline, wanted).area < 0.014 * b * wanted.length  # 16 chords a turn
    np.testing.assert_allclose(found.bounds_nm[0], outline.bounds, atol=0.02 * b)
    assert all(shapely.Polygon(ring).area >= 0.99 * math.pi * b * b for ring in outline.interiors)


def test_a_ring_keeps_its_hole() -> None:
    angle = np.arange(60) * (2 * math.pi / 60)
    ring = 200.0 * np.column_stack([np.cos(angle), np.sin(angle)])
    island = np.zeros((1, 2))
    found = measure(ring, np.vstack([ring, island]), b=20.0)
    assert len(found.outline[0].interiors) == 1
    # Two localizations at d have pi b2 + d h; each link of a closed chain adds d h and no end.
    d = 2 * 200.0 * math.sin(math.pi / 60)
    assert found.area_nm2[0] == pytest.approx(60 * d * math.sqrt(4 * 400 - d * d / 4), rel=1e-9)
    # A localization alone in the void is a part of its own, in the hole.
    assert found.area_nm2[1] - found.area_nm2[0] == pytest.approx(math.pi * 400, rel=1e-9)
    assert sorted(len(part.interiors) for part in found.outline[1].geoms) == [0, 1]
    assert found.outline[1].is_valid


@pytest.mark.parametrize("b", [0.25, 0.5, 1 / math.sqrt(3), math.sqrt(0.5), 1.0, 1.2, math.sqrt(5) / 2])
@pytest.mark.parametrize("slant", [0.0, 0.5])
def test_lattices_where_many_circles_meet_in_one_point(b: float, slant: float) -> None:
    rng = np.random.default_rng(11)
    for share in (1.0, 0.7, 0.4):
        x, y = np.meshgrid(np.arange(9.0), np.arange(9.0))
        lattice = np.column_stack([(x + slant * y).ravel(), (y * math.sqrt(1 - slant**2)).ravel()])
        lattice = lattice[rng.random(81) < share]
        found = measure(lattice, b=b)
        assert shapely.is_valid(found.outline[0])
        assert shapely.area(found.outline[0]) == pytest.approx(found.area_nm2[0], rel=3e-3)
        # Whether a void that is one point counts is left open; moving b by a little brackets it.
        low, high = (reference(lattice, f * b).area for f in (0.99, 1.01))
        assert 0.99 * low <= found.area_nm2[0] <= 1.01 * high


def test_collinear_and_identical_localizations() -> None:
    line = np.column_stack([np.arange(50.0) * 3.0, np.arange(50.0) * 4.0])
    found = measure(line, np.full((9, 2), 77.25), b=5.0)
    assert found.orientation_deg[0] == pytest.approx(math.degrees(math.atan2(4, 3)))
    assert found.elongation.tolist() == pytest.approx([1.0, 0.0], abs=1e-6)
    # A chain of 49 links of 5 = b: each adds d h to the disc.
    assert found.area_nm2[0] == pytest.approx(math.pi * 25 + 49 * 5 * math.sqrt(100 - 25 / 4), rel=1e-9)
    assert found.area_nm2[1] == pytest.approx(math.pi * 25, rel=1e-12)
    assert found.n_localizations.tolist() == [50, 9]


def test_where_b_is_zero_outline_density_and_circularity_are_null() -> None:
    found = measure(np.full((4, 2), 30.0), [[1.0, 1.0]], b=[0.0, 2.0])
    assert found.area_nm2[0] == found.perimeter_nm[0] == 0.0
    assert np.isnan([found.density_per_um2[0], found.circularity[0]]).all()
    assert found.outline[0] is None
    assert found.outline_wkb()[0] is None
    assert (found.centroid_x_nm[0], found.centroid_y_nm[0]) == (30.0, 30.0)
    assert shapely.from_wkb(found.outline_wkb()[1]).area == pytest.approx(found.area_nm2[1], rel=2e-3)


def test_no_clusters() -> None:
    found = measure()
    assert len(found.area_nm2) == len(found.outline) == 0
    assert found.bounds_nm.shape == (0, 4)
    assert len(nearest_centroid_nm(np.empty((0, 2)))) == 0


def test_descriptors_of_four_localizations_by_hand() -> None:
    # x spreads by 6 and 2, y by 3 and 1: variances 20 / 2 and 5 / 2 about (100, 200), no covariance.
    xy = np.array([[106.0, 200.0], [94.0, 200.0], [100.0, 203.0], [100.0, 197.0]])
    found = measure_clusters(xy, np.array([1.0, 2.0, 3.0, 4.0]), np.array([0, 4]), np.array([3.0]))
    assert (found.centroid_x_nm[0], found.centroid_y_nm[0]) == (100.0, 200.0)
    assert found.radius_of_gyration_nm[0] == pytest.approx(math.sqrt((36 * 2 + 9 * 2) / 4))
    assert found.elongation[0] == pytest.approx(1 - 0.5)
    assert found.orientation_deg[0] == 0.0
    assert found.mean_nn_nm[0] == 2.5
    assert found.density_per_um2[0] == pytest.approx(4e6 / found.area_nm2[0])


@pytest.mark.parametrize("degrees", [0.0, 30.0, 90.0, 135.0, 179.0])
def test_orientation_follows_the_cluster(degrees: float) -> None:
    rng = np.random.default_rng(3)
    along = np.array([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))])
    xy = np.outer(rng.normal(0, 100, 400), along) + rng.normal(0, 1, (400, 2)) + 30_000
    found = measure(xy, b=20.0)
    apart = abs(found.orientation_deg[0] - degrees)
    assert min(apart, 180 - apart) < 0.5
    assert 0 <= found.orientation_deg[0] < 180


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_shuffling_changes_no_bit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    clusters = [np.round(grown(rng, int(n), 5.0), int(rng.integers(0, 9))) for n in rng.integers(1, 90, 4)]
    clusters = [np.vstack([c, c[:3]]) for c in clusters]
    starts = np.cumsum([0] + [len(c) for c in clusters])
    xy, nn = np.vstack(clusters), rng.exponential(9.0, starts[-1])
    b = rng.uniform(4.0, 6.0, 4)
    found = measure_clusters(xy, nn, starts, b)
    mixed = np.concatenate([rng.permutation(np.arange(i, j)) for i, j in pairwise(starts)])
    assert_same_bits(found, measure_clusters(xy[mixed], nn[mixed], starts, b))


def test_the_sign_of_zero_does_not_show() -> None:
    xy = np.array([[0.0, 0.0], [-0.0, 1.0], [0.0, -0.0]])
    assert_same_bits(measure(xy, b=0.0), measure(np.abs(xy), b=0.0))


def test_a_cluster_does_not_depend_on_its_batch() -> None:
    rng = np.random.default_rng(8)
    clusters = [grown(rng, n, 5.0) for n in (1, 130, 7, 40, 3)]
    together = measure(*clusters, b=5.0)
    for i, c in enumerate(clusters):
        alone = measure(c, b=5.0)
        for f in fields(Shapes):
            if f.name != "outline":
                assert getattr(alone, f.name)[0].tobytes() == getattr(together, f.name)[i].tobytes(), f.name
        assert alone.outline_wkb()[0] == together.outline_wkb()[i]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(-30, 30))
def test_scaling_by_a_power_of_two_is_exact(seed: int, power: int) -> None:
    rng = np.random.default_rng(seed)
    xy = grown(rng, int(rng.integers(1, 100)), 8.0)
    nn, starts, s = rng.exponential(5.0, len(xy)), np.array([0, len(xy)]), 2.0**power
    small, large = (measure_clusters(xy * f, nn * f, starts, np.array([8.0 * f])) for f in (1.0, s))
    for f in fields(Shapes):
        if f.name == "outline":
            continue
        factor = 1 / s**2 if f.name.endswith("um2") else s**2 if f.name.endswith("nm2") else s if "_nm" in f.name else 1
        assert np.array_equal(getattr(small, f.name) * factor, getattr(large, f.name), equal_nan=True), f.name
    scaled = shapely.get_coordinates(small.outline) * s
    assert np.array_equal(scaled, shapely.get_coordinates(large.outline))


def test_far_from_the_origin_shapes_stay() -> None:
    rng = np.random.default_rng(4)
    xy = rng.integers(0, 200, (80, 2)).astype(float)
    near, far = measure(xy, b=30.0), measure(xy + 2.0**30, b=30.0)
    for name in ("area_nm2", "perimeter_nm", "elongation", "orientation_deg", "radius_of_gyration_nm"):
        np.testing.assert_allclose(getattr(far, name), getattr(near, name), rtol=1e-9, err_msg=name)


def test_a_cluster_of_many_localizations_with_a_dense_spot() -> None:
    # Were the localizations of the spot met in order, this would take a minute and more.
    rng = np.random.default_rng(6)
    x, y = np.meshgrid(np.arange(150.0), np.arange(150.0))
    spread = np.column_stack([x.ravel(), y.ravel()]) + rng.uniform(-0.3, 0.3, (22_500, 2))
    xy = np.vstack([spread, rng.normal(0, 1e-3, (40_000, 2)) + np.array([149.0, 75.0])])
    measure(xy[:3], b=1.2)
    found = measure(xy, b=1.2)
    assert found.outline[0].geom_type == "Polygon"
    assert found.area_nm2[0] == pytest.approx(149**2 + 4 * 149 * 1.2, rel=0.01)


def test_touches_border_within_two_b() -> None:
    image = np.array([0.0, 0.0, 1000.0, 1000.0])
    b = np.full(6, 10.0)
    bounds = np.array(
        [
            [20.1, 100.0, 60.0, 140.0],
            [20.0, 100.0, 60.0, 140.0],
            [100.0, 19.0, 140.0, 60.0],
            [900.0, 500.0, 980.0, 540.0],
            [500.0, 900.0, 540.0, 981.0],
            [500.0, 900.0, 540.0, 979.0],
        ]
    )
    assert touches_border(bounds, image, b).tolist() == [False, True, True, True, True, False]


def test_nearest_centroid() -> None:
    x, y = np.array([0.0, 3.0, 100.0, 100.0]), np.array([0.0, 4.0, 0.0, 0.0])
    assert nearest_centroid_nm(np.column_stack([x, y])).tolist() == [5.0, 5.0, 0.0, 0.0]
    assert nearest_centroid_nm(np.column_stack([x, y, [12.0, 0.0, 7.0, 0.0]])).tolist() == [13.0, 13.0, 7.0, 7.0]
    assert np.isnan(nearest_centroid_nm(np.zeros((1, 3)))).tolist() == [True]


@pytest.mark.parametrize(
    ("xy", "nn", "starts", "b", "says"),
    [
        ([[0, 0]], [1, 2], [0, 2], [1], "do not fit together"),
        ([[0, 0]], [1], [0, 0, 1], [1, 1], "cluster 0 of this batch is empty"),
        ([[0, math.inf]], [1], [0, 1], [1], "xy_nm holds inf"),
        ([[0, 0]], [math.nan], [0, 1], [1], "nn_nm holds nan"),
        ([[0, 0]], [1], [0, 1], [-2], "b_nm holds -2.0"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    xy: list[list[float]], nn: list[float], starts: list[int], b: list[float], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        measure_clusters(np.array(xy, float), np.array(nn, float), np.array(starts), np.array(b, float))


@pytest.mark.parametrize(("members", "chords_a_turn"), [(1, 96), (20, 20), (200, 16), (2_000, 16)])
def test_polygons_have_the_points_that_their_tolerance_asks_for(members: int, chords_a_turn: int) -> None:
    xy = np.random.default_rng(9).normal(0, 50, (members, 2))
    nearest = cKDTree(xy).query(xy, 2)[0][:, 1] if members > 1 else np.array([10.0])
    b = float(1.2 * nearest.mean())
    found = measure(xy, b=b)
    assert shapely.area(found.outline[0]) == pytest.approx(found.area_nm2[0], rel=AREA_TOLERANCE)
    assert shapely.hausdorff_distance(found.outline[0], reference(xy, b)) < 0.025 * b
    turns = found.perimeter_nm[0] / (2 * math.pi * b)
    spare = 2 * members  # an arc takes a chord more than its share
    assert shapely.get_num_coordinates(found.outline[0]) <= chords_a_turn * turns + spare
