from __future__ import annotations

import csv
import re
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import shapely
from sklearn.base import clone
from sklearn.cluster import DBSCAN
from support import Threshold, TwoThresholds, simulated_table

from caml_dask import CAML, analyze, open_run, read_localizations
from caml_dask.api import Analysis, Images
from caml_dask.errors import (
    InputError,
    OutputError,
    StoreError,
    TooFewLocalizations,
    UnknownImageError,
    UsageError,
)
from caml_dask.results.image import ImageResult
from caml_dask.results.run import RunResult
from caml_dask.runs.key_figures import key_figures
from caml_dask.runs.session import execute
from caml_dask.schema import CLUSTERS, CLUSTERS_3D
from caml_dask.settings import Settings


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


def test_threads_change_no_result(xy):
    one = CAML(n_jobs=1).fit(xy)
    for n_jobs in (2, 5):
        other = CAML(n_jobs=n_jobs, max_localizations=1500).fit(xy)
        assert np.array_equal(one.labels_, other.labels_)
        assert np.array_equal(one.p_clustered_, other.p_clustered_)
    few, many = (analyze(xy, n_jobs=n, max_localizations=1500, test=False) for n in (1, 4))
    assert few.points.equals(many.points)
    assert few.clusters.equals(many.clusters)


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
    kept = {"network": "field-2d", "min_points": 50, "max_localizations": None, "n_jobs": -1, "method": None}
    assert model.get_params() == kept
    labels = model.set_params(min_points=10).fit_predict(pd.DataFrame(xy))
    assert np.bincount(labels[labels >= 0]).min() >= 10


@pytest.mark.parametrize(
    ("data", "error", "said"),
    [
        (np.full((200, 2), np.nan), ValueError, "NaN"),
        (np.zeros((29, 2)), TooFewLocalizations, "field-2d needs 30 localizations; there are 29"),
        (np.zeros((200, 5)), UsageError, "wanted"),
        (
            np.random.default_rng(0).random((200, 3)),
            InputError,
            "3 coordinates .*; field-2d takes 2: .*leave z out of the",
        ),
    ],
)
def test_bad_arrays_are_refused(data, error, said):
    with pytest.raises(error, match=said):
        CAML().fit(data)


def test_analyze_agrees_with_the_clusterer(xy):
    analysis, labels = analyze(xy, test=False), CAML().fit_predict(xy)
    ids = analysis.points["cluster_id"].to_numpy()
    assert np.array_equal(ids >= 0, labels >= 0)
    assert np.array_equal(analysis.clusters["cluster_id"].to_numpy()[labels[labels >= 0]], ids[ids >= 0])
    assert len(analysis.outlines) == len(analysis.clusters)
    areas = np.array([outline.area for outline in analysis.outlines])
    assert np.allclose(areas, analysis.clusters["area_nm2"], rtol=2e-3)
    assert analysis.summary["clusters"] == len(analysis.clusters)


def test_analyze_takes_tables_and_keeps_their_columns(xy):
    expected = analyze(xy, test=False).points["cluster_id"]
    frame = pd.DataFrame({"X": xy[:, 0] / 1000, "Y": xy[:, 1] / 1000, "photons": np.arange(len(xy))})
    for table in (frame, pa.Table.from_pandas(frame)):
        result = analyze(table, columns="x=X,y=Y,unit=um", test=False)
        assert np.array_equal(result.points["photons"], np.arange(len(xy)))
        assert np.allclose(result.points["x_nm"], xy[:, 0])
        assert (result.points["cluster_id"] == expected).mean() > 0.999
    with pytest.raises(InputError, match="unit"):
        analyze(frame, columns="x=X,y=Y")
    with pytest.raises(UsageError, match="unknown setting 'min_point': use one of network"):
        analyze(xy, min_point=3)
    with pytest.raises(InputError, match="accept them with --any-extent"):
        analyze(xy / 100)
    with pytest.raises(UsageError, match="an array is taken in nm"):
        analyze(xy, columns="unit=um")
    with pytest.raises(UsageError, match="is of type dict: give a text"):
        analyze(xy, columns={"x": "X"})
    with pytest.raises(UsageError, match="min_points='3' is of type str: give a whole number"):
        analyze(xy, min_points="3")
    with pytest.raises(UsageError, match="unknown network"):
        analyze(xy, network="nonsense")


def test_nan_rows_of_analyze_have_null_results(xy):
    spoiled = np.vstack([xy, [[np.nan, 1.0]]])
    result = analyze(spoiled, test=False)
    assert result.points["cluster_id"].isna().tolist() == [False] * len(xy) + [True]
    assert result.summary["dropped_nonfinite"] == 1


def test_a_run_is_read_back(table, tmp_path):
    (tmp_path / "bad.csv").write_text("")
    execute([table, tmp_path / "bad.csv"], tmp_path / "out", Settings(test=False), workers=0)
    run = open_run(tmp_path / "out")
    image = run.images["0001_field"]
    assert list(run.failed) == ["0002_bad"]
    assert len(image.points) == image.summary["rows"]
    assert len(image.clusters) == len(image.outlines) == image.summary["clusters"]
    assert sum(len(batch) for batch in image.points_in_batches(300)) == len(image.points)
    with pytest.raises(OutputError, match="holds no run"):
        open_run(tmp_path)


@pytest.fixture(scope="module")
def several(table, tmp_path_factory):
    """A run of twelve images that are done, two of them of the same name, and one that failed."""
    folder = tmp_path_factory.mktemp("several")
    rows = table.read_text().splitlines(keepends=True)
    for name in ("z/cell_10.csv", "y/cell_10.csv", *(f"z/field_{n}.csv" for n in range(1, 11))):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("".join(rows[:401]))
    (folder / "z" / "bad.csv").touch()
    execute([*(folder / "z").iterdir(), *(folder / "y").iterdir()], folder / "out", Settings(test=False), workers=0)
    return open_run(folder / "out")


def test_images_are_found_by_id_stem_and_place(several):
    images = several.images
    assert isinstance(images, Mapping) and len(images) == 12
    assert list(images)[:3] == ["0001_cell_10", "0003_cell_10", "0004_field_1"]
    assert images[0] is images["0001_cell_10"] and images[-1] is images["field_10"] is images["0013_field_10"]
    assert images[np.int64(2)] is images["field_1"] and [*images.values()][2] is images[2]
    assert "field_2" in images and "field" not in images and 12 not in images and images.get("nothing") is None
    assert images["field_10"].path.name == "field_10.csv"


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("cell_10", "2 images are of inputs called 'cell_10': use one of 0001_cell_10, 0003_cell_10"),
        ("feild_3", "there is no image 'feild_3': did you mean 0006_field_3 or "),
        ("0013_field_1", "did you mean 0013_field_10 or"),
        ("quite else", "there is no image 'quite else': done are 0001_cell_10, .* and 7 more"),
        ("0002_bad", "0002_bad could not be analyzed: .*bad.csv: "),
        (12, "no image has the place 12: places are 0 to 11"),
        (1.5, "1.5 is of type float: name an image by its image_id, the stem of its input or its place"),
    ],
)
def test_an_image_that_is_not_there_is_a_key_error_that_names_others(several, key, said):
    with pytest.raises(KeyError) as caught:
        several.images[key]
    assert re.search(said, str(caught.value)), str(caught.value)
    assert isinstance(caught.value, UnknownImageError)


def test_results_print_short(several, xy):
    analysis = analyze(xy)
    shown = repr(analysis)
    assert f"{len(xy):,} localizations" in shown and f"{len(analysis.clusters):,} clusters" in shown
    whole = repr(several)
    assert "12 of 13 images done, network field-2d" in whole and "[9] " in whole and "... and 2 more" in whole
    assert "failed: 0002_bad: " in whole and "[10]" not in whole
    image = repr(several.images[0])
    assert image.startswith("ImageResult 0001_cell_10: 400 localizations, ") and "y/cell_10.csv" in image
    assert repr(several.images).startswith("12 images\n  [0] 0001_cell_10: 400 localizations")
    for text, lines in ((shown, 6), (whole, 16), (image, 8), (repr(several.images), 12)):
        assert len(text) < 2500 and text.count("\n") <= lines and "DataFrame" not in text and "{" not in text


def test_outlines_come_with_the_ids_of_their_clusters(several, xy):
    for result in (analyze(xy), several.images[0]):
        outlines = result.outlines
        assert isinstance(outlines, pd.Series) and outlines.index.name == "cluster_id"
        assert outlines.index.tolist() == result.clusters["cluster_id"].tolist() and len(outlines) > 3
        members = result.points.groupby("cluster_id")[["x_nm", "y_nm"]].mean()
        for cluster, outline in outlines.items():
            assert outline.convex_hull.buffer(1).contains(shapely.Point(members.loc[cluster]))


def test_public_types_are_named():
    """No parameter and no result of what users call is Any, but for the values of summaries."""
    named = [analyze, open_run, read_localizations, CAML.__init__, CAML.fit, Images.__getitem__]
    for function in named:
        assert "Any" not in str(function.__annotations__.values()), function
    for made in (Analysis, ImageResult, RunResult):
        fields = made.__dataclass_fields__.values()
        assert not [field for field in fields if "Any" in str(field.type) and field.name != "summary"]


def test_images_csv_has_the_key_figures(several):
    with (several.directory / "images.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        *("image_id", "path", "status", "reason", "localizations", "percent_clustered", "clusters"),
        *("clusters_per_um2", "area_um2", "median_points_per_cluster", "median_area_nm2", "dropped_where"),
        *("p_value", "warnings", "warned_of"),
    ]
    assert [row["image_id"] for row in rows if row["localizations"] == ""] == ["0002_bad"]
    for row in rows:
        if row["status"] == "failed":
            continue
        summary, clusters = several.images[row["image_id"]].summary, several.images[row["image_id"]].clusters
        assert int(row["localizations"]) == 400 and int(row["clusters"]) == len(clusters)
        assert float(row["percent_clustered"]) == summary["percent_clustered"]
        assert float(row["area_um2"]) == summary["area_um2"] and int(row["warnings"]) == len(summary["warnings"])
        assert float(row["clusters_per_um2"]) == pytest.approx(len(clusters) / summary["area_um2"])
        assert float(row["median_points_per_cluster"]) == clusters["n_localizations"].median()
        assert float(row["median_area_nm2"]) == pytest.approx(clusters["area_nm2"].median())


@pytest.mark.parametrize("name", ["points", "clusters", "outlines"])
def test_a_damaged_result_is_refused_and_named(table, name, tmp_path):
    """And the others are read all the same; the summary is damaged last."""
    execute([table], tmp_path / "out", Settings(test=False), workers=0)
    path = tmp_path / "out" / "0001_field" / f"{name}.parquet"
    damage(path)
    image = open_run(tmp_path / "out").images["0001_field"]
    with pytest.raises(StoreError, match=rf"{name}\.parquet is missing or altered: make it again with --resume"):
        getattr(image, name)
    assert len(image.clusters if name != "clusters" else image.points) > 10
    path.unlink()
    with pytest.raises(StoreError, match=f"{name}.parquet is missing"):
        getattr(open_run(tmp_path / "out").images["0001_field"], name)
    damage(tmp_path / "out" / "summary.json")
    with pytest.raises(StoreError, match=r"summary\.json is damaged"):
        open_run(tmp_path / "out")


def damage(path):
    """Flip one bit."""
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


def blobs(dimensions):
    """Three dense blobs in a loose field, (160, d) nm."""
    rng = np.random.default_rng(8)
    centers = rng.uniform(500, 2500, (3, 1, dimensions))
    dense = (centers + rng.normal(0, 8, (3, 20, dimensions))).reshape(-1, dimensions)
    return rng.permutation(np.vstack([dense, rng.uniform(0, 3000, (100, dimensions))]))


@pytest.fixture
def network_of(monkeypatch):
    """Lets a rule of a few lines stand for a network, under any name."""

    def use(network):
        monkeypatch.setattr("caml_dask.api.load_for", lambda settings: network)
        monkeypatch.setattr("caml_dask.api.compile_kernels", lambda name, **_: None)  # a rule has none of its own

    return use


def test_localizations_in_3d(network_of):
    network_of(Threshold(n_neighbors=19, rank=5, below=0.6, dimensions=3))
    xyz = blobs(3)
    analysis, fitted = analyze(xyz, network="3D"), CAML(network="3D", max_localizations=20).fit(xyz)
    assert list(analysis.clusters) == [c.name for c in CLUSTERS_3D if not c.optional or c.name == "q_value"]
    assert list(analysis.points)[:5] == ["loc_id", "x_nm", "y_nm", "z_nm", "p_clustered"]
    assert fitted.n_features_in_ == 3 and fitted.labels_.max() + 1 == len(analysis.clusters) > 0
    # Twenty localizations within a few tens of nm, in a field of some four per um3.
    assert analysis.clusters["density_per_um3"].max() > 1e5 and (analysis.clusters["volume_nm3"] > 0).all()
    assert {"volume_nm3", "extent_z_nm", "n_localizations"} <= set(analysis.summary["medians"])
    areas = np.array([outline.area for outline in analysis.outlines])
    assert np.allclose(areas, analysis.clusters["projected_area_nm2"], rtol=3e-3)
    with_z = pd.DataFrame(xyz, columns=["x_nm", "y_nm", "z_nm"]).assign(photons=7)
    again = analyze(with_z, network="3D")
    assert again.clusters.equals(analysis.clusters) and set(again.points["photons"]) == {7}
    with pytest.raises(
        InputError, match="2 coordinates a localization; threshold takes 3: use --network field-2d or XPILJZ"
    ):
        analyze(xyz[:, :2], network="3D")


def test_three_classes(network_of):
    network_of(TwoThresholds(n_neighbors=19, rank=2, below=0.5))
    rng = np.random.default_rng(2)
    fiber = np.column_stack([500 + 10.0 * np.arange(40), np.full(40, 2000.0)])
    pairs = np.stack(np.meshgrid(np.arange(4), np.arange(4)), axis=-1).reshape(-1, 2) * 8.0 + 1500
    xy = rng.permutation(np.vstack([fiber, pairs, pairs + np.array([2.0, 0.0]), rng.uniform(0, 3000, (100, 2))]))
    analysis, fitted = analyze(xy, network="three"), CAML(network="three").fit(xy)
    points, summary = analysis.points, analysis.summary
    assert list(points)[3:7] == ["p_non", "p_round", "p_fiber", "label"]
    assert list(analysis.clusters) == [c.name for c in CLUSTERS if not c.optional or c.name == "q_value"]
    assert fitted.class_labels_.dtype == np.int8 and np.array_equal(fitted.class_labels_, points["label"])
    assert np.array_equal(fitted.p_clustered_, 1 - points["p_non"].to_numpy())
    assert list(summary["by_class"]) == ["round", "fiber"]
    for label, found in enumerate(summary["by_class"].values(), start=1):
        mine = points["label"] == label
        assert found["localizations"] == mine.sum()
        assert found["in_clusters"] == (mine & (points["cluster_id"] >= 0)).sum()
        assert found["percent_clustered"] == pytest.approx(100 * found["in_clusters"] / len(xy))
        assert found["clusters"] == (analysis.clusters["label"] == label).sum()
        assert found["clusters_per_um2"] == pytest.approx(found["clusters"] / summary["area_um2"])
        sizes = analysis.clusters["n_localizations"][analysis.clusters["label"] == label]
        assert found["medians"]["n_localizations"]["median"] == sizes.median()
    for key in ("in_clusters", "clusters", "percent_clustered"):
        assert summary[key] == pytest.approx(sum(found[key] for found in summary["by_class"].values()))
    assert summary["labelled_clustered"] == (points["label"] > 0).sum()


def test_two_classes_have_no_summary_by_class(xy):
    fitted = CAML("XPILJZ").fit(xy)
    assert "by_class" not in analyze(xy, test=False).summary
    assert np.array_equal(fitted.class_labels_ == 1, fitted.p_clustered_ > 0.5)


def test_key_figures_of_volumes_of_nothing_and_beside_a_factor_of_the_same_name():
    figures = {"localizations": 9, "percent_clustered": 0.0, "clusters": 0, "clusters_per_um2": None, "area_um2": 0.0}
    figures |= {"dropped_where": 2, "csr_test": {"p_value": 0.25}}
    done = {**figures, "status": "done", "medians": {"n_localizations": None, "volume_nm3": None}, "warnings": ["few"]}
    names, rows = key_figures([done, {"status": "failed"}], taken=["clusters"])
    assert names[2] == "measured_clusters" and names[-4:] == ["dropped_where", "p_value", "warnings", "warned_of"]
    assert rows == [[9, 0.0, 0, "", 0.0, "", "", 2, 0.25, 1, "few"], [""] * 11]


@pytest.mark.parametrize(
    ("points", "clusters", "share"),
    [
        (np.random.default_rng(0).uniform(0, 3_000, (30, 2)), 0, 0.0),
        (np.random.default_rng(1).uniform(0, 2_000, (400, 2)), 0, 0.0),
        (np.random.default_rng(2).normal(0, 100, (3_000, 2)), None, None),
        (np.repeat(np.random.default_rng(3).uniform(0, 2_000, (60, 2)), 5, axis=0), None, None),
        (np.zeros((100, 2)), None, None),
        (
            np.repeat(np.random.default_rng(4).uniform(0, 3_000, (40, 2)), 30, axis=0)
            + np.random.default_rng(5).normal(0, 15, (1_200, 2)),
            40,
            1.0,
        ),
    ],
    ids=["thirty", "random", "one huge cluster", "duplicates", "one place", "nothing but clusters"],
)
def test_the_field_network_takes_small_and_odd_fields(points, clusters, share):
    fitted = CAML(network="field-2d").fit(points)
    assert fitted.labels_.shape == (len(points),) and np.isfinite(fitted.p_clustered_).all()
    if clusters is not None:
        assert abs(fitted.labels_.max() + 1 - clusters) <= 0.1 * clusters
        assert (fitted.labels_ >= 0).mean() == pytest.approx(share, abs=0.03)


def test_the_field_network_names_how_many_localizations_it_needs():
    with pytest.raises(TooFewLocalizations, match="field-2d needs 30 localizations; there are 29"):
        CAML(network="field-2d").fit(np.random.default_rng(0).uniform(0, 3_000, (29, 2)))
