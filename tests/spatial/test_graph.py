"""Graphs of localizations, held to comparing everything with everything."""

from __future__ import annotations

import numpy as np
from baselines_oracles import clustered_field, components, distances, same_partition

from caml_dask.spatial import graph


def test_components_do_not_depend_on_blocks(monkeypatch):
    xy, _ = clustered_field(2)
    want = components(distances(xy) <= 60, np.arange(len(xy)))
    for most in (1, 30, 10**6):
        monkeypatch.setattr(graph, "MOST_PAIRS", most)
        assert same_partition(graph.components_within(xy, 60.0), want)
        i, j, d = (np.concatenate(part) for part in zip(*graph.pairs_within(xy, 60.0)))
        assert len(i) == (np.triu(distances(xy) <= 60, 1)).sum()
        assert (i < j).all()
        np.testing.assert_allclose(d, distances(xy)[i, j])
        np.testing.assert_allclose(graph.knn_distance_nm(xy, 4), np.sort(distances(xy), axis=1)[:, 4])
