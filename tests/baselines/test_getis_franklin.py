"""Getis and Franklin's L(r) and Ripley's curves, against sums over all pairs and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from baselines_oracles import clustered_field, components, distances, same_partition, without_small

from caml_dask.baselines import GetisFranklin, Ripley, getis_franklin, local_l_nm, ripley
from caml_dask.errors import InputError


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


def test_ripley_is_the_sum_over_all_pairs():
    xy, _ = clustered_field(4)
    bounds = (-10.0, -20.0, 1030.0, 1040.0)
    found = ripley(xy, Ripley(200.0, 20, bounds))
    gap = np.abs(xy[:, None] - xy[None])
    area = 1040.0 * 1060.0
    weight = area / ((1040.0 - gap[..., 0]) * (1060.0 - gap[..., 1]))
    np.fill_diagonal(weight, 0)
    n = len(xy)
    k = np.array([area / (n * (n - 1)) * weight[distances(xy) <= r].sum() for r in found.r_nm])
    np.testing.assert_allclose(found.k_nm2, k)
    np.testing.assert_allclose(found.l_minus_r_nm, np.sqrt(k / math.pi) - found.r_nm)
    rings = math.pi * np.diff(np.append(0, found.r_nm) ** 2)
    np.testing.assert_allclose(found.g, np.diff(np.append(0, k)) / rings)
    assert found.g[0] > 5, "clusters"


def test_complete_randomness_is_flat_once_edges_are_corrected():
    rng = np.random.default_rng(5)
    bounds = (0.0, 0.0, 2000.0, 2000.0)
    curves = [[ripley(xy, Ripley(800.0, 16, bounds, edge)) for edge in (True, False)]
              for xy in rng.uniform(0, 2000, (20, 400, 2))]  # fmt: skip
    g, bare = (np.mean([pair[k].g for pair in curves], axis=0) for k in (0, 1))
    spread = np.std([pair[0].g for pair in curves], axis=0) / math.sqrt(20)
    assert (np.abs(g - 1) < 4 * spread + 0.005).all()
    assert bare[-1] < 0.65
    assert abs(np.mean([pair[0].l_minus_r_nm[-1] for pair in curves])) < 8


def test_a_pair_at_the_border_of_a_ring_counts_within():
    xy = np.array([[0, 0], [50, 0], [0, 200], [200, 200]])
    found = ripley(xy, Ripley(100.0, 10, (0, 0, 200, 200), edge_correction=False))
    assert found.k_nm2[3] == 0
    assert found.k_nm2[4] == pytest.approx(2 * 200 * 200 / 12)


def test_fields_too_narrow_and_localizations_outside_are_refused():
    xy, _ = clustered_field(6)
    with pytest.raises(InputError, match="less than twice r_max_nm=600"):
        ripley(xy, Ripley(600.0))
    with pytest.raises(InputError, match="widen bounds_nm"):
        ripley(xy, Ripley(100.0, bounds_nm=(0, 0, 500, 500)))
