"""Grouping by itself: true labels of simulated fields in, the simulated clusters out (DESIGN section 6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from support import analyse_in_memory

from caml_dask.simulate import Scenario, simulate


@dataclass(frozen=True)
class Truth:
    """Tells a true label by the distance to the nearest neighbor, of which no two localizations have the same."""

    nearest_nm: np.ndarray
    clustered: np.ndarray
    name: str = "truth"
    n_neighbors: int = 100
    least_localizations: int = 101
    dimensions: int = 2
    classes: tuple[str, ...] = ("non-clustered", "clustered")
    score_columns: tuple[str, ...] = ("p_clustered",)

    def scores(self, distances: np.ndarray) -> np.ndarray:
        key = distances[:, :3].astype(np.float64) @ [1.0, 1e3, 1e6]
        place = np.searchsorted(self.nearest_nm, key)
        assert np.array_equal(self.nearest_nm[place], key)
        return self.clustered[place, None].astype(np.float32)

    def labels(self, scores: np.ndarray) -> np.ndarray:
        return (scores[:, 0] > 0.5).astype(np.int8)


@pytest.mark.parametrize("percent", [20, 50, 80, 90])
def test_clusters_found_over_true(percent):
    from scipy.spatial import cKDTree

    field = simulate(Scenario(20, 50.0, percent, 100.0), np.random.default_rng(11))
    distances = np.sort(cKDTree(field.xy_nm).query(field.xy_nm, 4)[0], axis=1)[:, 1:].astype(np.float32)
    key = distances.astype(np.float64) @ [1.0, 1e3, 1e6]
    order = np.argsort(key)
    keep = np.append(True, np.diff(key[order]) > 0)
    truth = Truth(key[order][keep], (field.truth >= 0)[order][keep])
    result = analyse_in_memory(field.xy_nm, truth, 200_000)
    ratio = len(result.clusters) / (field.truth.max() + 1)
    assert 0.95 <= ratio <= 1.02, ratio
