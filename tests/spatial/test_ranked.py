from __future__ import annotations

import numpy as np
import pytest

from caml_dask.errors import TooFewLocalizations
from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.neighbors import nearest
from caml_dask.spatial.ranked import ranked_neighbors


def by_hand(points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """All distances, sorted by float32 distance, then coordinates."""
    gap = points[:, None] - points
    squared = gap[..., 0] ** 2 + gap[..., 1] ** 2
    if points.shape[1] == 3:
        squared = squared + gap[..., 2] ** 2
    distances = np.sqrt(squared).astype(np.float32)
    np.fill_diagonal(distances, np.inf)
    standing = np.argsort(np.lexsort(points.T[::-1]))
    order = np.array([np.lexsort((standing, row)) for row in distances])[:, :k]
    return order, np.take_along_axis(distances, order, axis=1)


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("layout", ["uniform", "clusters", "lattice", "duplicates", "line", "far"])
@pytest.mark.parametrize("k", [1, 10, 100])
def test_equals_all_distances_sorted(axes: int, layout: str, k: int) -> None:
    rng = np.random.default_rng(axes * k)
    points = {
        "uniform": rng.uniform(0, 1e4, (700, axes)),
        "clusters": rng.normal(size=(700, axes)) * 10 + rng.integers(0, 5, (700, 1)) * 5_000,
        "lattice": rng.integers(0, 12, (700, axes)) * 10.0,
        "duplicates": np.repeat(rng.uniform(0, 100, (4, axes)), 175, axis=0),
        "line": np.column_stack([rng.uniform(0, 1e4, 700)] + [np.zeros(700)] * (axes - 1)),
        "far": rng.uniform(0, 100, (700, axes)) + 1e9,
    }[layout]
    rows, distances = ranked_neighbors(points, k)
    wanted_rows, wanted = by_hand(points, k)
    np.testing.assert_array_equal(distances, wanted)
    np.testing.assert_array_equal(rows, wanted_rows)


def test_distances_are_those_of_the_other_search_to_the_bit() -> None:
    points = np.random.default_rng(3).gamma(1.0, 500.0, (5_000, 2))
    _, distances = ranked_neighbors(points, 40)
    np.testing.assert_array_equal(distances, nearest(BlockIndex.build(points), 40).distances_nm)


def test_any_part_of_the_field_that_holds_the_neighbors_gives_the_same_ones() -> None:
    points = np.random.default_rng(4).uniform(0, 1_000, (3_000, 2)).round(0)  # many equal distances
    rows, distances = ranked_neighbors(points, 20)
    part = np.flatnonzero((points > 200).all(axis=1) & (points < 800).all(axis=1))
    part = np.random.default_rng(5).permutation(part)
    part_rows, part_distances = ranked_neighbors(points[part], 20)
    inner = ((points[part] > 400) & (points[part] < 600)).all(axis=1)
    assert inner.sum() > 50
    np.testing.assert_array_equal(points[part[part_rows[inner]]], points[rows[part[inner]]])
    np.testing.assert_array_equal(part_distances[inner], distances[part[inner]])


def test_some_rows_have_the_neighbors_that_they_have_among_all() -> None:
    points = np.random.default_rng(6).normal(size=(4_000, 3)).round(1)
    asked = np.random.default_rng(7).permutation(4_000)[:70]
    for some, every in zip(ranked_neighbors(points, 12, asked), ranked_neighbors(points, 12), strict=True):
        np.testing.assert_array_equal(some, every[asked])


def test_some_ranks_are_columns_of_all() -> None:
    points = np.random.default_rng(10).uniform(0, 1_000, (900, 2))
    ranks = np.array([1, 4, 9, 9])
    for some, every in zip(ranked_neighbors(points, 9, ranks=ranks), ranked_neighbors(points, 9), strict=True):
        np.testing.assert_array_equal(some, every[:, ranks - 1])


def test_what_is_told_beside_the_coordinates_ranks_those_at_one_place() -> None:
    points = np.repeat(np.random.default_rng(8).uniform(0, 100, (3, 2)), 5, axis=0)
    also = np.random.default_rng(9).permutation(15).astype(float)
    neighbors, distances = ranked_neighbors(points, 4, also=also)
    assert (distances == 0).all() and (np.diff(also[neighbors], axis=1) > 0).all()


def test_too_few_localizations_are_refused() -> None:
    with pytest.raises(TooFewLocalizations, match="10 neighbors need 11 localizations; there are 10"):
        ranked_neighbors(np.zeros((10, 2)), 10)
