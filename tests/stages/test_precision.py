"""What localization precision says of clusters."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree

from caml_dask import analyze
from caml_dask.geometry.measure import measure_clusters
from caml_dask.stages.shared.precision import of_precision


def test_precision_is_taken_out_of_the_size_of_clusters():
    """Clusters of molecules 15 nm wide along each axis, detected with 5 to 20 nm."""
    rng = np.random.default_rng(9)
    centers = rng.uniform(0, 8000, (30, 1, 2))
    true = (centers + rng.normal(0, 15, (30, 60, 2))).reshape(-1, 2)
    sigma = rng.uniform(5, 20, len(true))
    table = pd.DataFrame(true + rng.normal(size=true.shape) * sigma[:, None], columns=["x_nm", "y_nm"])
    loose = pd.DataFrame(rng.uniform(0, 8000, (1200, 2)), columns=["x_nm", "y_nm"])
    found = analyze(pd.concat([table.assign(uncertainty_nm=sigma), loose.assign(uncertainty_nm=10.0)]), test=False)
    of = found.clusters[found.clusters["n_localizations"] > 40]
    assert len(of) > 20
    assert of["radius_of_gyration_corrected_nm"].median() == pytest.approx(15 * np.sqrt(2), rel=0.1)
    assert of["radius_of_gyration_nm"].median() > 1.2 * of["radius_of_gyration_corrected_nm"].median()
    number = of["cluster_id"].iloc[0]
    mine = found.points.loc[found.points["cluster_id"] == number, "uncertainty_nm"].to_numpy()
    assert of["centroid_uncertainty_nm"].iloc[0] == pytest.approx(np.sqrt((mine**2).sum()) / len(mine))
    bare = analyze(pd.concat([table, loose]), test=False).clusters
    assert not {"radius_of_gyration_corrected_nm", "area_corrected_nm2", "centroid_uncertainty_nm"} & set(bare)


def test_precision_is_taken_out_of_areas_across_long_clusters_too():
    """Discs of radius 60 nm, and fibers 400 nm long and 10 nm wide, detected with 15 nm."""
    rng = np.random.default_rng(10)
    angle, radius = 2 * np.pi * rng.random((50, 80)), 60 * np.sqrt(rng.random((50, 80)))
    discs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=2)
    fibers = np.stack([400 * rng.random((50, 80)), rng.normal(0, 10, (50, 80))], axis=2)
    for true in (discs, fibers):
        clean, blurred = (shapes_of(members) for members in (true, true + rng.normal(0, 15, true.shape)))
        found = of_precision(np.repeat(np.arange(50), 80), np.full(4000, 15.0), blurred)["area_corrected_nm2"]
        raw, corrected = (np.median(area) / np.median(clean.area_nm2) for area in (blurred.area_nm2, found))
        assert raw > 1.4 and 0.85 < corrected < 1.25
    narrow = of_precision(np.repeat(np.arange(50), 80), np.full(4000, 80.0), blurred)["area_corrected_nm2"]
    assert (narrow == 0).all()
    unknown = np.where(np.arange(4000) == 85, 0.0, 15.0)
    found = of_precision(np.repeat(np.arange(50), 80), unknown, blurred)
    assert all(np.flatnonzero(np.isnan(values)).tolist() == [1] for values in found.values())


def test_few_members_are_not_corrected_too_much():
    """Of eight places, the mean over many clusters of the corrected squared radius is that of the places themselves."""
    rng = np.random.default_rng(11)
    true = rng.normal(0, 20, (4000, 8, 2))
    blurred = shapes_of(true + rng.normal(0, 15, true.shape))
    found = of_precision(np.repeat(np.arange(4000), 8), np.full(32000, 15.0), blurred)
    squared = found["radius_of_gyration_corrected_nm"] ** 2
    assert squared.mean() == pytest.approx((shapes_of(true).radius_of_gyration_nm ** 2).mean(), rel=0.03)
    area = np.median(found["area_corrected_nm2"]) / np.median(shapes_of(true).area_nm2)
    assert 0.75 < area < 1.05 < 1.3 < np.median(blurred.area_nm2) / np.median(shapes_of(true).area_nm2)


def shapes_of(clusters):
    """Measures of clusters of equal size, (c, n, 2)."""
    c, n, _ = clusters.shape
    nearest = np.concatenate([cKDTree(xy).query(xy, k=2)[0][:, 1] for xy in clusters])
    b = 1.2 * nearest.reshape(c, n).mean(axis=1)
    return measure_clusters(clusters.reshape(-1, 2), nearest, np.arange(0, c * n + 1, n), b)
