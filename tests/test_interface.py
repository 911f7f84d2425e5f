from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.cluster import DBSCAN
from support import simulated_table

from caml_dask import CAML, analyze, open_run, read_localizations
from caml_dask.errors import InputError, OutputError, TooFewLocalizations, UsageError
from caml_dask.params import Settings
from caml_dask.run.session import execute


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return simulated_table(tmp_path_factory.mktemp("input") / "field.csv", side_nm=4000.0)


@pytest.fixture(scope="module")
def xy(table):
    read = read_localizations(table)
    return np.column_stack([read["x_nm"].to_numpy(), read["y_nm"].to_numpy()])


def test_takes_the_place_of_dbscan(xy):
    for clusterer in (DBSCAN(eps=30, min_samples=5), CAML()):
        labels = clusterer.fit_predict(xy)
        assert labels.shape == (len(xy),)
        assert set(np.unique(labels)) == set(range(-1, labels.max() + 1))


def test_labels_are_numbered_by_first_localization(xy):
    fitted = CAML(max_localizations=500).fit(xy)
    found = fitted.labels_[fitted.labels_ >= 0]
    _, first = np.unique(found, return_index=True)
    assert np.array_equal(np.argsort(first), np.arange(found.max() + 1))
    assert fitted.p_clustered_.dtype == np.float32
    assert np.array_equal(CAML().fit_predict(xy), fitted.labels_)
    assert fitted.p_clustered_[fitted.labels_ >= 0].min() > 0.5


def test_is_a_scikit_learn_estimator(xy):
    model = clone(CAML(min_points=50))
    assert model.get_params() == {"model": "XPILJZ", "min_points": 50, "max_localizations": None}
    labels = model.set_params(min_points=10).fit_predict(pd.DataFrame(xy))
    assert np.bincount(labels[labels >= 0]).min() >= 10


@pytest.mark.parametrize(
    ("data", "error", "said"),
    [
        (np.full((200, 2), np.nan), ValueError, "NaN"),
        (np.zeros((50, 2)), TooFewLocalizations, "XPILJZ needs 101 localizations; there are 50"),
        (np.zeros((200, 5)), UsageError, "wanted"),
        (np.random.default_rng(0).random((200, 3)), InputError, "XPILJZ takes 2"),
    ],
)
def test_bad_arrays_are_refused(data, error, said):
    with pytest.raises(error, match=said):
        CAML().fit(data)


def test_analyze_agrees_with_the_clusterer(xy):
    analysis, labels = analyze(xy), CAML().fit_predict(xy)
    ids = analysis.points["cluster_id"].to_numpy()
    assert np.array_equal(ids >= 0, labels >= 0)
    assert np.array_equal(analysis.clusters["cluster_id"].to_numpy()[labels[labels >= 0]], ids[ids >= 0])
    assert len(analysis.outlines) == len(analysis.clusters)
    areas = np.array([outline.area for outline in analysis.outlines])
    assert np.allclose(areas, analysis.clusters["area_nm2"], rtol=2e-3)
    assert analysis.summary["clusters"] == len(analysis.clusters)


def test_analyze_takes_tables_and_keeps_their_columns(xy):
    expected = analyze(xy).points["cluster_id"]
    frame = pd.DataFrame({"X": xy[:, 0] / 1000, "Y": xy[:, 1] / 1000, "photons": np.arange(len(xy))})
    for table in (frame, pa.Table.from_pandas(frame)):
        result = analyze(table, columns="x=X,y=Y,unit=um")
        assert np.array_equal(result.points["photons"], np.arange(len(xy)))
        assert np.allclose(result.points["x_nm"], xy[:, 0])
        assert (result.points["cluster_id"] == expected).mean() > 0.999
    with pytest.raises(InputError, match="unit"):
        analyze(frame, columns="x=X,y=Y")
    with pytest.raises(UsageError, match="unknown setting 'min_point': use one of model"):
        analyze(xy, min_point=3)
    with pytest.raises(InputError, match="accept them with --any-extent"):
        analyze(xy / 100)
    with pytest.raises(UsageError, match="unknown model"):
        analyze(xy, model="nonsense")


def test_nan_rows_of_analyze_have_null_results(xy):
    spoiled = np.vstack([xy, [[np.nan, 1.0]]])
    result = analyze(spoiled)
    assert result.points["cluster_id"].isna().tolist() == [False] * len(xy) + [True]
    assert result.summary["dropped_nonfinite"] == 1


def test_a_run_is_read_back(table, tmp_path):
    (tmp_path / "bad.csv").write_text("")
    execute([table, tmp_path / "bad.csv"], tmp_path / "out", Settings(), workers=0)
    run = open_run(tmp_path / "out")
    image = run.images["0001_field"]
    assert list(run.failed) == ["0002_bad"]
    assert len(image.points) == image.summary["rows"]
    assert len(image.clusters) == len(image.outlines) == image.summary["clusters"]
    assert sum(len(batch) for batch in image.points_in_batches(300)) == len(image.points)
    with pytest.raises(OutputError, match="holds no run"):
        open_run(tmp_path)
