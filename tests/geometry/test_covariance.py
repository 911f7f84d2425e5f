"""The set covariance of regions: closed forms, and shapely's intersections."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from shapely.affinity import translate

from caml_dask.geometry.covariance import edges_of, mean_covariance

CELLS = shapely.union(
    shapely.Polygon([(0, 0), (2000, 300), (1500, 1800), (200, 1500)]).difference(
        shapely.Point(900, 900).buffer(300, quad_segs=4)
    ),
    shapely.box(2300, 0, 3000, 900),
)
"""A cell with a hole, and another one beside it."""


def test_a_rectangle_has_its_closed_form():
    width, height, r = 3000.0, 2000.0, np.linspace(0, 1000, 51)
    expected = width * height - 2 * r * (width + height) / np.pi + r**2 / np.pi
    found = mean_covariance(shapely.box(1e6, -500, 1e6 + width, height - 500), 1000.0, 50)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_disc_has_its_closed_form():
    radius, r = 1000.0, np.linspace(0, 1500, 31)
    expected = 2 * radius**2 * np.arccos(r / 2 / radius) - r / 2 * np.sqrt(4 * radius**2 - r**2)
    found = mean_covariance(shapely.Point(0, 0).buffer(radius, quad_segs=400), 1500.0, 30)
    np.testing.assert_allclose(found, expected, atol=5e-5 * expected[0])


def test_holes_and_parts_are_seen_as_intersections_see_them():
    angles = (np.arange(180) + 0.25) * np.pi / 180
    found = mean_covariance(CELLS, 1600.0, 4)
    for r, value in zip((400, 800, 1200, 1600), found[1:], strict=True):
        moved = [translate(CELLS, r * np.cos(a), r * np.sin(a)) for a in angles]
        assert value == pytest.approx(np.mean([CELLS.intersection(one).area for one in moved]), rel=1e-4)


def test_edges_are_those_of_all_rings():
    begin, end = edges_of(CELLS)
    assert np.hypot(*(end - begin).T).sum() == pytest.approx(CELLS.length)
    assert len(begin) == 4 + 16 + 4
