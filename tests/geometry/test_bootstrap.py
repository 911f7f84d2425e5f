"""Intervals of areas: what they hold, and that they depend on nothing but the cluster."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree

from caml_dask import analyze
from caml_dask.errors import InputError, UsageError
from caml_dask.geometry.bootstrap import area_intervals
from caml_dask.geometry.outline import closing_areas, closing_outlines
from caml_dask.settings import Settings


def gaussian(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 30, (n, 2))


def described(clusters: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Clusters, one after another, as the functions take them."""
    ordered = [xy[np.lexsort(xy.T[::-1])] for xy in clusters]
    xy, starts = np.concatenate(ordered), np.append(0, np.cumsum([len(part) for part in ordered]))
    b = np.array([1.2 * cKDTree(part).query(part, k=2)[0][:, 1].mean() for part in ordered])
    area = closing_areas(xy, starts, b)
    return {"xy_nm": xy, "starts": starts, "b_nm": b, "area_nm2": area, "cluster_id": np.arange(len(clusters))}


def test_areas_are_those_of_the_outlines():
    of = described([gaussian(n, n) for n in (3, 10, 200)])
    assert of["area_nm2"].tolist() == closing_outlines(of["xy_nm"], of["starts"], of["b_nm"]).area.tolist()


def test_intervals_hold_the_mean_area_of_other_draws():
    of = described([gaussian(30, seed) for seed in range(200)])
    few = described([gaussian(30, seed) for seed in range(60)])
    found = area_intervals(**few, resamples=60)
    mean = of["area_nm2"].mean()
    held = (found["area_low_nm2"] <= mean) & (mean <= found["area_high_nm2"])
    assert 0.7 < held.mean() < 0.99
    assert (found["area_low_nm2"] < few["area_nm2"]).all() and (few["area_nm2"] < found["area_high_nm2"]).all()


def test_an_interval_depends_on_its_cluster_alone():
    clusters = [gaussian(n, n) for n in (5, 30, 80)]
    together = area_intervals(**described(clusters), resamples=20)
    alone = described(clusters[1:2]) | {"cluster_id": np.array([1])}
    shuffled = np.random.default_rng(0).permutation(alone["xy_nm"])
    for of in (alone, alone | {"xy_nm": shuffled}):
        found = area_intervals(**of, resamples=20)
        assert [found[name][0] for name in found] == [together[name][1] for name in found]
    other = area_intervals(**(alone | {"cluster_id": np.array([2])}), resamples=20)
    assert other["area_low_nm2"][0] != together["area_low_nm2"][1]


def test_members_in_one_place_have_no_interval():
    of = {"xy_nm": np.zeros((4, 2)), "starts": np.array([0, 4]), "b_nm": np.array([2.0])}
    found = area_intervals(**of, area_nm2=np.zeros(1), cluster_id=np.zeros(1, np.int64), resamples=5)
    assert np.isnan([found["area_low_nm2"], found["area_high_nm2"]]).all()


def test_an_analysis_has_intervals_on_request_under_any_tiling():
    rng = np.random.default_rng(3)
    centers = rng.uniform(0, 4000, (12, 1, 2))
    spots = (centers + rng.normal(0, 25, (12, 30, 2))).reshape(-1, 2)
    table = pd.DataFrame(np.concatenate([spots, rng.uniform(0, 4000, (400, 2))]), columns=["x_nm", "y_nm"])
    whole, tiles = (analyze(table, test=False, bootstrap=10, max_localizations=n).clusters for n in (None, 150))
    pd.testing.assert_frame_equal(whole, tiles)
    assert (whole["area_low_nm2"] < whole["area_nm2"]).all() and (whole["area_high_nm2"] > whole["area_nm2"]).all()
    assert "area_low_nm2" not in analyze(table, test=False).clusters
    with pytest.raises(InputError, match="--bootstrap gives intervals of areas in 2D"):
        analyze(rng.uniform(0, 3000, (300, 3)), "field-3d", test=False, bootstrap=10)


@pytest.mark.parametrize("given", [1, 2.5, "many"])
def test_resamples_are_a_whole_number(given):
    with pytest.raises(UsageError, match="bootstrap"):
        Settings(bootstrap=given)
