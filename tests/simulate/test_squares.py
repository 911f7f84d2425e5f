from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from caml_dask.errors import UsageError
from caml_dask.simulate import Scenario, simulate_square

SCENARIO = Scenario(20, 50.0, 50.0, 150.0)


def draw(chunk_points: int, seed: int = 0, side_nm: float = 20_000.0):
    chunks = list(simulate_square(SCENARIO, side_nm, np.random.default_rng(seed), chunk_points=chunk_points))
    return chunks, np.concatenate([c.xy_nm for c in chunks]), np.concatenate([c.truth for c in chunks])


@pytest.mark.parametrize("chunk_points", [5_000, 10**9])
def test_densities_counts_and_discs(chunk_points: int):
    chunks, xy, truth = draw(chunk_points)
    assert (len(chunks) == 1) == (chunk_points == 10**9)
    assert len(xy) == pytest.approx(150 * 400, rel=0.02)
    numbers = np.unique(truth[truth >= 0])
    assert (np.bincount(truth[truth >= 0]) == 20).all()
    assert numbers.tolist() == list(range(len(numbers)))
    assert (truth >= 0).mean() == pytest.approx(0.5, abs=0.01)
    assert xy.min() >= 0
    assert xy.max() <= 20_000


def test_clusters_are_discs_apart_and_empty_of_others():
    _, xy, truth = draw(5_000)
    members = truth >= 0
    order = np.argsort(truth[members], kind="stable")
    grouped = xy[members][order].reshape(-1, 20, 2)
    assert np.ptp(grouped, axis=1).max() <= 100.0
    middle = grouped.mean(axis=1)
    # Means of 20 members stray from the center by up to a radius.
    assert cKDTree(middle).query(middle, k=2)[0][:, 1].min() > 20.0
    near = cKDTree(xy[~members]).query_ball_point(middle, 15.0)
    assert sum(map(len, near)) == 0
    within = cKDTree(xy[~members]).query_ball_point(middle, 150.0)
    assert sum(map(len, within)) > 1_000


def test_chunks_are_strips_of_bounded_size():
    chunks, _, _ = draw(5_000)
    assert len(chunks) > 5
    tops = [c.xy_nm[:, 1].max() for c in chunks]
    bottoms = [c.xy_nm[:, 1].min() for c in chunks]
    assert all(top <= bottom for top, bottom in zip(tops, bottoms[1:], strict=False))
    assert max(len(c.truth) for c in chunks) < 6_500


def test_same_seed_same_points():
    assert draw(5_000)[1].tobytes() == draw(5_000)[1].tobytes() != draw(5_000, seed=1)[1].tobytes()


def test_csr_fills_the_square():
    chunks = list(simulate_square(Scenario.csr(100.0), 10_000.0, np.random.default_rng(2)))
    xy = np.concatenate([c.xy_nm for c in chunks])
    assert len(xy) == 10_000
    assert all((c.truth == -1).all() for c in chunks)
    counts = np.histogram2d(*xy.T, bins=10, range=[[0, 1e4], [0, 1e4]])[0]
    assert 0.6 < counts.var() / counts.mean() < 1.6


def test_clusters_too_dense_for_their_plots_are_refused():
    with pytest.raises(UsageError, match="fewer or smaller"):
        next(simulate_square(Scenario(5, 300.0, 100.0, 100.0), 10_000.0, np.random.default_rng(0)))
