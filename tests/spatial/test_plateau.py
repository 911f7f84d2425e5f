"""A radius from the data: on fields of known clusters, and on fields without."""

from __future__ import annotations

import numpy as np
import pytest
from baselines_oracles import clustered_field
from sklearn.metrics import adjusted_rand_score
from support import oracle_dbscan

from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.plateau import STEP, clusters_within, plateau_of, radii_to_try


@pytest.mark.parametrize("seed", range(3))
def test_the_radius_is_about_as_good_as_the_best_on_the_truth(seed):
    xy, truth = clustered_field(seed, clusters=30, members=25, others=600, side=4000.0)
    found = plateau_of([xy], 5)
    index = BlockIndex.build(xy)
    best = max(adjusted_rand_score(truth, clusters_within(index, r, 5)) for r in radii_to_try([xy], 5))
    assert adjusted_rand_score(truth, clusters_within(index, found.radius_nm, 5)) > best - 0.05
    assert found.agreement > 0.9
    assert found.from_nm * STEP**2 < found.radius_nm < found.to_nm


def test_without_clusters_no_radius_has_agreement():
    xy = np.random.default_rng(4).uniform(0, 4000, (2000, 2))
    assert plateau_of([xy], 5).agreement < 0.8


def test_lengths_scale_and_the_order_of_fields_changes_nothing():
    fields = [clustered_field(seed)[0] for seed in range(3)]
    one = plateau_of(fields, 5)
    assert plateau_of(fields[::-1], 5) == one
    scaled = plateau_of([4.0 * field for field in fields], 5)
    assert (scaled.radius_nm, scaled.from_nm, scaled.to_nm) == (4 * one.radius_nm, 4 * one.from_nm, 4 * one.to_nm)
    assert scaled.agreement == one.agreement


def test_localizations_at_one_place_have_no_radius():
    assert plateau_of([np.ones((40, 2))], 5) is None
    assert plateau_of([np.eye(2)], 5) is None


def test_clusters_are_those_of_dbscan():
    xy, _ = clustered_field(6)
    for radius in (15.0, 30.0, 80.0):
        want = oracle_dbscan(xy, radius, 5)[1]
        found = clusters_within(BlockIndex.build(xy), radius, 5)
        assert np.array_equal(found >= 0, want >= 0)
        assert len({*zip(found, want, strict=True)}) == len({*want})
