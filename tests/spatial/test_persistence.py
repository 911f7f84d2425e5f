"""ToMATo against the published loop, localization by localization from the highest down."""

from __future__ import annotations

import math

import numpy as np
import pytest
from baselines_oracles import clustered_field, distances, same_partition, without_small
from caml_dask.baselines.tomato import knn_density_per_um2
from tiled_methods import WHOLE, analysis

from caml_dask.baselines import ToMATo, graph


def one_by_one(xy: np.ndarray, density: np.ndarray, link_nm: float, persistence: float) -> np.ndarray:
    """Chazal et al. 2013, as they write it."""
    n, near = len(xy), distances(xy) <= link_nm
    order = sorted(range(n), key=lambda i: (-density[i], i))
    place = {p: at for at, p in enumerate(order)}
    root: dict[int, int] = {}

    def find(i):
        while root[i] != i:
            i = root[i]
        return i

    for i in order:
        higher = [j for j in np.flatnonzero(near[i]).tolist() if place[j] < place[i]]
        root[i] = i
        if not higher:
            continue
        root[i] = find(min(higher, key=place.get))
        for j in sorted(higher, key=place.get):
            a, b = find(i), find(j)
            if a != b and min(density[a], density[b]) < density[i] + persistence:
                low, high = (a, b) if place[a] > place[b] else (b, a)
                root[low] = high
    top = np.array([find(i) for i in range(n)])
    return np.where(density[top] >= persistence, top, -1)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("persistence", [0.0, 300.0, 3000.0])
@pytest.mark.parametrize("most", [50, 10**6])
def test_clusters_are_those_of_the_published_loop(seed, persistence, most, monkeypatch):
    monkeypatch.setattr(graph, "MOST_PAIRS", most)
    xy, _ = clustered_field(seed, clusters=5, members=30, others=120)
    method = ToMATo(60.0, persistence, 6, 150.0)
    density = knn_density_per_um2(xy, 6)
    kept = np.flatnonzero(density >= 150.0)
    want = np.full(len(xy), -1)
    want[kept] = one_by_one(xy[kept], density[kept], 60.0, persistence)
    assert same_partition(analysis(xy, method, 60 if seed % 2 else WHOLE).cluster_id, without_small(want, 3))


def test_density_in_a_closed_form():
    """Neighbors at 1, 2, 3 um: two within 2 um are 2 / (4 pi) per um2; duplicates stay finite."""
    xy = np.array([[0.0, 0], [1000, 0], [2000, 0], [3000, 0]])
    assert knn_density_per_um2(xy, 2)[0] == pytest.approx(2 / (4 * math.pi))
    assert np.isfinite(knn_density_per_um2(np.zeros((5, 2)), 2)).all()


def test_a_shallow_saddle_joins_and_a_deep_one_parts():
    """Two heaps in a row with a thin bridge: how deep the bridge is decides."""
    rng = np.random.default_rng(0)
    heaps = [rng.normal((x, 0), 15, (60, 2)) for x in (0, 150)]
    bridge = np.column_stack([np.linspace(30, 120, 12), np.zeros(12)])
    xy = np.vstack([*heaps, bridge])
    assert len(analysis(xy, ToMATo(30.0, 8000.0)).clusters) == 2
    assert len(analysis(xy, ToMATo(30.0, 38_000.0)).clusters) == 1
    assert len(analysis(xy, ToMATo(30.0, 50_000.0)).clusters) == 0, "no peak is that high"
