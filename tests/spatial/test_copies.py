"""Many localizations at one place: their neighbors are those of brute force, and their cost grows as their number."""

from __future__ import annotations

import numpy as np
import pytest

from caml_dask.spatial import neighbors as searched
from caml_dask.spatial import ranked
from caml_dask.spatial.blocks import BlockIndex

K = 5


def crowded(axes: int, seed: int) -> np.ndarray:
    """Places of 1, K, K + 1, K + 2 and 200 localizations, zeros of both signs among them, in random order."""
    rng = np.random.default_rng(seed)
    spots = np.repeat(rng.integers(-4, 5, (5, axes)) * 10.0, [1, K, K + 1, K + 2, 200], axis=0)
    spots[::2] *= np.where(spots[::2] == 0, -1.0, 1.0)
    return rng.permutation(np.concatenate([spots, rng.uniform(-50, 50, (150, axes))]))


def brute(points: np.ndarray, also: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The K nearest of each: rows and float32 distances."""
    squared = np.zeros((len(points), len(points)))
    for axis in points.T:
        squared += (axis[:, None] - axis[None]) ** 2
    distances = np.sqrt(squared).astype(np.float32)
    np.fill_diagonal(distances, np.inf)
    rows = np.array([np.lexsort((also, *points.T[::-1], distance))[:K] for distance in distances])
    return rows, np.take_along_axis(distances, rows, axis=1)


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_neighbors_and_distances_are_those_of_brute_force(axes, seed):
    points = crowded(axes, seed)
    also = np.random.default_rng(seed).permutation(len(points)).astype(float)
    rows, distances = brute(points, also)
    asked = np.random.default_rng(seed).permutation(len(points))[:300]
    for wanted in (None, asked):
        some = slice(None) if wanted is None else wanted
        found, at = ranked.ranked_neighbors(points, K, wanted, also=also)
        assert (found == rows[some]).all() and at.tobytes() == distances[some].tobytes()
        near = searched.nearest(BlockIndex.build(points), K, wanted)
        assert near.distances_nm.tobytes() == distances[some].tobytes()
        assert (near.nearest_nm.astype(np.float32) == distances[some][:, 0]).all()
        assert (near.window_nm.astype(np.float32) == distances[some][:, -1]).all()
    few, at = ranked.ranked_neighbors(points, K, asked, ranks=np.array([1, K]), also=also)
    assert (few == rows[asked][:, [0, K - 1]]).all() and (at == distances[asked][:, [0, K - 1]]).all()


def test_a_place_is_searched_with_no_more_than_can_be_neighbors(monkeypatch):
    sizes = []
    build, of_sorted = BlockIndex.build.__func__, BlockIndex.of_sorted.__func__

    def noted(made):
        return classmethod(lambda cls, points: sizes.append(len(points)) or made(cls, points))

    points = np.concatenate([np.full((5000, 2), 7.0), np.random.default_rng(0).uniform(0, 100, (400, 2))])
    index = BlockIndex.build(points)
    monkeypatch.setattr(BlockIndex, "build", noted(build))
    monkeypatch.setattr(BlockIndex, "of_sorted", noted(of_sorted))
    ranked.ranked_neighbors(points, K)
    searched.nearest(index, K)
    assert sizes == [400 + K + 1] * 2
