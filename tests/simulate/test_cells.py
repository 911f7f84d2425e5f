from __future__ import annotations

import numpy as np
import pytest
import shapely

from caml_dask.errors import UsageError
from caml_dask.simulate import draw_cell
from caml_dask.simulate.cells import Cell


def test_outline_is_a_simple_ring_around_the_center_of_the_field():
    for seed in range(20):
        cell = draw_cell(np.random.default_rng(seed))
        assert cell.polygon().is_valid
        radii = np.hypot(*(cell.outline_nm - 20_000).T)
        # The spline may pass its knots' range by a little between them.
        assert 9_000 < radii.min() < radii.max() < 15_000
        knots = radii[:: len(radii) // 50]
        assert 10_000 <= knots.min() < knots.max() <= 14_000
        assert cell.area_um2 == pytest.approx(cell.polygon().area / 1e6)
        assert 400 < cell.area_um2 < 520


def test_contains_agrees_with_shapely():
    rng = np.random.default_rng(1)
    cell = draw_cell(rng)
    points = rng.random((20_000, 2)) * 40_000
    expected = shapely.contains_xy(cell.polygon(), points)
    assert 0.2 < expected.mean() < 0.4
    assert (cell.contains(points) == expected).all()


def test_contains_by_hand():
    square = Cell(np.zeros(2), np.array([[2.0, 0], [0, 2], [-2, 0], [0, -2]]))
    points = np.array([[0.0, 0], [0.9, 0.9], [1.1, 1.1], [-1.9, 0], [0, -2.1], [1, -0.9]])
    assert square.contains(points).tolist() == [True, True, False, True, False, True]
    assert square.area_um2 == pytest.approx(8e-6)


def test_samples_are_uniform_in_the_cell():
    rng = np.random.default_rng(2)
    cell = draw_cell(rng)
    points = cell.sample(40_000, rng)
    assert cell.contains(points).all()
    for box in (shapely.box(20_000, 20_000, 40_000, 40_000), shapely.box(17_000, 17_000, 23_000, 23_000)):
        share = cell.polygon().intersection(box).area / cell.polygon().area
        found = shapely.contains_xy(box, points).mean()
        assert abs(found - share) < 5 * np.sqrt(share * (1 - share) / len(points))
    turn = np.arctan2(*(points - cell.center_nm).T[::-1]) / (2 * np.pi) % 1
    # 40 points are expected in each of the 1,000 triangles.
    assert np.bincount((turn * 1_000).astype(int), minlength=1_000).min() > 5


def test_shrunk_samples_keep_their_margin():
    rng = np.random.default_rng(3)
    cell = draw_cell(rng)
    points = cell.sample_shrunk(5_000, 1_000.0, rng)
    assert len(points) == 5_000
    gaps = shapely.distance(cell.polygon().exterior, shapely.points(points))
    assert gaps.min() > 990
    assert gaps.min() < 1_050
    assert cell.contains(points).all()


def test_a_cell_wider_than_its_field_is_refused():
    with pytest.raises(UsageError, match="does not fit a field"):
        draw_cell(np.random.default_rng(0), base_radius_nm=18_000)
