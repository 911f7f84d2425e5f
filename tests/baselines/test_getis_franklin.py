"""Getis and Franklin's L(r), against sums over all pairs and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from baselines_oracles import clustered_field, components, distances, same_partition, without_small

from caml_dask.baselines import GetisFranklin, getis_franklin, local_l_nm


def test_local_l_in_a_closed_form():
    """Three of four localizations within 5 nm of one another, in 100 nm2: L = sqrt(100 x 2 / (3 pi)) and 0."""
    xy = np.array([[0, 0], [3, 0], [0, 4], [1e3, 0]])
    np.testing.assert_allclose(local_l_nm(xy, 5.0, 100.0), [math.sqrt(200 / (3 * math.pi))] * 3 + [0.0])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("link", [None, 20.0])
def test_clusters_are_those_of_all_pairs(seed, link):
    xy, _ = clustered_field(seed)
    d = distances(xy)
    l_nm = np.sqrt(1e6 * ((d <= 40).sum(axis=1) - 1) / (math.pi * (len(xy) - 1)))
    want = components(d <= (link or 40), np.flatnonzero(l_nm >= 90))
    found = getis_franklin(xy, GetisFranklin(40.0, 90.0, link, min_points=4, area_um2=1.0))
    assert same_partition(found, without_small(want, 4))
    assert 2 <= len(set(found)) < len(xy)


def test_area_is_the_convex_hull():
    xy, _ = clustered_field(3)
    xy = np.vstack([xy, [[0, 0], [0, 1000], [1000, 0], [1000, 1000]]])
    assert (getis_franklin(xy, GetisFranklin()) == getis_franklin(xy, GetisFranklin(area_um2=1.0))).all()
