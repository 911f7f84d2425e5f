"""SR-Tesseler against polygons cut by half-planes, one by one."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from baselines_oracles import clustered_field, components, same_partition, without_small
from caml_dask.baselines.sr_tesseler import voronoi_cells

from caml_dask.baselines import SRTesseler, sr_tesseler


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


def test_a_square_of_four_has_quarters():
    cells = voronoi_cells(np.array([[0.0, 0], [10, 0], [0, 10], [10, 10]]))
    np.testing.assert_allclose(cells.area_nm2, 25.0)
    sides = {tuple(sorted(pair)) for pair in cells.neighbors.tolist()}
    assert {(0, 1), (0, 2), (1, 3), (2, 3)} <= sides


def test_two_knots_in_a_lattice_are_found():
    """Nine localizations 2 nm apart at two places of a lattice of 20 nm."""
    knot = 2.0 * np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), axis=-1).reshape(-1, 2)
    lattice = 20.0 * np.stack(np.meshgrid(range(21), range(21)), axis=-1).reshape(-1, 2)
    xy = np.vstack([knot + 90.0, lattice, knot + np.array([310.0, 210.0])])
    want = np.concatenate([np.zeros(9), np.full(len(lattice), -1), np.ones(9)])
    assert (sr_tesseler(xy, SRTesseler(2.0, rank=0)) == want).all()


@pytest.mark.parametrize("seed", range(4))
def test_cells_are_those_of_half_planes(seed):
    xy = clustered_field(seed, clusters=2, members=8, others=24)[0]
    cells, want = voronoi_cells(xy), half_plane_cells(np.unique(xy, axis=0))
    np.testing.assert_allclose(cells.area_nm2, [c.area for c in want], rtol=1e-6)
    assert cells.area_nm2.sum() == pytest.approx(np.ptp(xy, axis=0).prod())
    shared = {(i, j) for i in range(len(want)) for j in range(i)
              if want[i].buffer(1e-4).intersection(want[j].buffer(1e-4)).length > 0.01}  # fmt: skip
    assert {tuple(sorted(pair, reverse=True)) for pair in cells.neighbors.tolist()} == shared


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("seed", range(3))
def test_clusters_are_those_of_the_definition(seed, rank):
    xy, _ = clustered_field(seed)
    xy = np.vstack([xy, xy[:5]])
    cells = voronoi_cells(xy)
    s = len(cells.n)
    touch = np.zeros((s, s), dtype=bool)
    touch[tuple(cells.neighbors.T)] = True
    touch |= touch.T
    around = touch | np.eye(s, dtype=bool) if rank else np.eye(s, dtype=bool)
    density = (around @ cells.n) / (around @ cells.area_nm2)
    dense = density >= 1.7 * len(xy) / 1e6
    want = without_small(components(touch, np.flatnonzero(dense))[cells.site], 4)
    found = sr_tesseler(xy, SRTesseler(1.7, rank, min_points=4, area_um2=1.0))
    assert same_partition(found, want)
    areas = [sum(cells.area_nm2[np.unique(cells.site[found == c])]) for c in range(found.max() + 1)]
    cut = sorted(areas)[len(areas) // 2] - 1e-3
    fewer = sr_tesseler(xy, SRTesseler(1.7, rank, min_points=4, min_area_nm2=cut, area_um2=1.0))
    assert fewer.max() + 1 == sum(a >= cut for a in areas)
