"""Voronoi cells, one by one, against scipy's diagram and half-planes."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from baselines_oracles import clustered_field
from hypothesis import assume, given, settings
from layouts import layouts
from voronoi_oracle import voronoi_cells as by_scipy

from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.voronoi import NOBODY, Answers, Known, nearest_sites, voronoi_cells


def cells_of(sites: np.ndarray, start_nm: float = 50.0):
    """All cells of sites in their bounding box."""
    field = np.concatenate([sites.min(axis=0), sites.max(axis=0)])
    known = Known(BlockIndex.build(sites), np.array([-np.inf, -np.inf, np.inf, np.inf]), field, start_nm)
    return voronoi_cells(known, np.arange(len(sites)), Answers.none(len(sites)))


def sides_of(cells) -> set[tuple[int, int]]:
    return {(min(pair), max(pair)) for pair in zip(cells.side_of.tolist(), cells.neighbor.tolist(), strict=True)}


def half_plane_cells(sites: np.ndarray) -> list[shapely.Geometry]:
    """The part of the bounding box that is nearer to each site than to any other, by cutting it again and again."""
    low, high = sites.min(axis=0), sites.max(axis=0)
    cells = []
    for i, p in enumerate(sites):
        cell = shapely.box(*low, *high)
        for q in np.delete(sites, i, axis=0):
            along = (q - p) / np.linalg.norm(q - p)
            across, middle = np.array([-along[1], along[0]]), (p + q) / 2
            far = 1e5
            near = [middle + far * across, middle - far * across, middle - far * (across + along),
                    middle + far * (across - along)]  # fmt: skip
            cell = cell.intersection(shapely.Polygon(near))
        cells.append(cell)
    return cells


def test_a_square_of_four_has_quarters_and_no_diagonal():
    cells = cells_of(np.array([[0.0, 0], [10, 0], [0, 10], [10, 10]]), 3.0)
    np.testing.assert_allclose(cells.area_nm2, 25.0, rtol=1e-14)
    assert sides_of(cells) == {(0, 1), (0, 2), (1, 3), (2, 3)}


def test_a_ring_around_its_center_has_as_many_sides_as_sites():
    angle = np.arange(300) * 2 * np.pi / 300
    cells = cells_of(np.vstack([[[0.0, 0.0]], 100 * np.column_stack([np.cos(angle), np.sin(angle)])]))
    assert np.count_nonzero(cells.side_of == 0) == 300
    inscribed = 300 * 50**2 * np.tan(np.pi / 300)
    assert cells.area_nm2[0] == pytest.approx(inscribed)


@pytest.mark.parametrize("seed", range(2))
def test_cells_are_those_of_half_planes(seed):
    sites = np.unique(clustered_field(seed, clusters=2, members=8, others=24)[0], axis=0)
    cells, want = cells_of(sites), half_plane_cells(sites)
    np.testing.assert_allclose(cells.area_nm2, [c.area for c in want], rtol=1e-6)
    shared = {(j, i) for i in range(len(want)) for j in range(i)
              if want[i].buffer(1e-4).intersection(want[j].buffer(1e-4)).length > 0.01}  # fmt: skip
    assert sides_of(cells) == shared


@settings(max_examples=40)
@given(layouts(most=40))
def test_cells_are_those_of_scipy_and_fill_the_box(points):
    assume((np.ptp(points, axis=0) > 0).all())
    sites = np.unique(points, axis=0)
    cells, box = cells_of(sites), np.ptp(sites, axis=0).prod()
    assert cells.area_nm2.sum() == pytest.approx(box, rel=1e-6)
    np.testing.assert_allclose(cells.area_nm2, by_scipy(points).area_nm2, rtol=1e-5, atol=1e-6 * box)


def test_where_a_cell_begins_changes_it_by_rounding_alone():
    sites = clustered_field(5)[0]
    one, other = cells_of(sites, 1.0), cells_of(sites, 700.0)
    np.testing.assert_allclose(one.area_nm2, other.area_nm2, rtol=1e-9)
    assert sides_of(one) == sides_of(other)


def test_a_cell_whose_disc_is_not_at_hand_asks_and_takes_the_answer():
    """Two sites, of which one is beyond the window."""
    sites, field = np.array([[0.0, 0.0], [10.0, 8.0]]), np.array([0.0, 0, 10, 8])
    window = np.array([-np.inf, -np.inf, 1.0, np.inf])
    known, rows = Known(BlockIndex.build(sites[:1]), window, field, 20.0), np.array([0])
    given = Answers.none(1)
    for _ in range(9):
        found = voronoi_cells(known, rows, given)
        if not found.asking.any():
            break
        row, square = nearest_sites(BlockIndex.build(sites[1:]), found.question_nm, found.bound_nm2)
        assert (square <= found.bound_nm2).all()
        site = np.where(row == NOBODY, NOBODY, 7)
        given = Answers(
            given.first + np.array([0, 1]), np.append(given.site, site), np.vstack([given.xy_nm, sites[1:]])
        )
    assert found.area_nm2.tolist() == cells_of(sites, 20.0).area_nm2[:1].tolist()
    assert found.neighbor.tolist() == [-2 - 7]
