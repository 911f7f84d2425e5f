"""The stage that compares an image with random fields: its laws, its figures, and what becomes of clusters."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from support import analyse_in_memory

from caml_dask import analyze
from caml_dask.cli import main
from caml_dask.errors import UsageError
from caml_dask.networks import load
from caml_dask.settings import Settings
from caml_dask.stages.publish import summarise
from caml_dask.stages.shared import sub_fields
from caml_dask.stages.shared.measured import MeasuredClusters


@pytest.fixture(autouse=True)
def _small_sub_fields(monkeypatch):
    monkeypatch.setattr(sub_fields, "SUB_FIELD", 300)


def noise(n=900, seed=1):
    return np.random.default_rng(seed).uniform(0, 3000, (n, 2))


def clusters(n=600, seed=1):
    """Twelve clusters of twenty on noise."""
    rng = np.random.default_rng(seed)
    centers = rng.uniform(100, 2900, (12, 1, 2))
    return np.vstack([(centers + rng.normal(0, 15, (12, 20, 2))).reshape(-1, 2), rng.uniform(0, 3000, (n, 2))])


def compared(xy, tile=10**6, **settings):
    result = analyse_in_memory(xy, load("XPILJZ"), tile, **{"test": True, **settings})
    return result, summarise(result.work, MeasuredClusters(result.work))


@pytest.mark.parametrize("fdr", [None, 0.2])
def test_neither_tiles_nor_the_order_of_rows_change_it(fdr):
    xy = clusters()
    one, summary = compared(xy, fdr=fdr)
    many, of_many = compared(xy, 97, fdr=fdr)
    assert many.work.partition().n_tiles > 4
    assert many.clusters.equals(one.clusters) and many.points.equals(one.points)
    assert of_many["csr_test"] == summary["csr_test"] and summary["csr_test"]["sub_fields"] > 1
    order = np.random.default_rng(5).permutation(len(xy))
    again, of_again = compared(xy[order], fdr=fdr)
    assert of_again["csr_test"] == summary["csr_test"]
    assert sorted(again.clusters["q_value"].to_pylist()) == sorted(one.clusters["q_value"].to_pylist())


def test_clusters_are_beyond_randomness_and_noise_is_not():
    _, found = compared(clusters())
    test = found["csr_test"]
    assert test["p_value"] < 0.01
    low, high = test["percent_clustered_excess_interval"]
    assert low < test["percent_clustered_excess"] < high and test["percent_clustered_excess"] > 0
    assert test["percent_clustered_excess"] == pytest.approx(
        found["percent_clustered"] - test["percent_clustered_random"]
    )
    assert not any(w.startswith("not-beyond-randomness") for w in found["warnings"])
    _, found = compared(noise())
    assert found["csr_test"]["p_value"] > 0.05 and found["clusters"] > 0
    (said,) = [w for w in found["warnings"] if w.startswith("not-beyond-randomness: ")]
    assert f"the {found['clusters']} clusters" in said


def test_a_false_discovery_rate_drops_clusters_everywhere():
    whole, before = compared(clusters())
    kept, after = compared(clusters(), fdr=0.3)
    q = whole.clusters["q_value"].to_numpy()
    assert 0 < (q > 0.3).sum() < len(q)
    stays = whole.clusters.filter(q <= 0.3)
    assert kept.clusters["cluster_id"].equals(stays["cluster_id"]) and kept.clusters["q_value"].equals(stays["q_value"])
    assert after["clusters_dropped"] == len(q) - len(stays) == before["clusters"] - after["clusters"]
    ids, was = kept.points["cluster_id"].to_numpy(), whole.points["cluster_id"].to_numpy()
    dropped = ~np.isin(was, stays["cluster_id"].to_numpy())
    assert np.array_equal(ids, np.where(dropped, -1, was))
    assert after["in_clusters"] == (ids >= 0).sum() < before["in_clusters"]
    assert after["csr_test"]["percent_clustered_random"] < before["csr_test"]["percent_clustered_random"]
    assert any(w.startswith("clusters-dropped: ") for w in after["warnings"])
    assert "clusters_dropped" not in before


def test_random_fields_re_blink_as_the_image_does():
    """Of re-blinking noise, detections by themselves are far from random; with their frames, molecules are not."""
    rng = np.random.default_rng(7)
    molecule = np.repeat(np.arange(250), 4)
    xy = rng.uniform(0, 6000, (250, 2))[molecule] + rng.normal(0, 6, (1000, 2))
    frame = rng.integers(0, 5000, 250)[molecule] + np.tile([0, 2, 5, 9], 250)
    table = pd.DataFrame({"x_nm": xy[:, 0], "y_nm": xy[:, 1]})
    blind = analyze(table, "XPILJZ").summary["csr_test"]
    known = analyze(table.assign(frame=frame, uncertainty_nm=6.0), "XPILJZ").summary["csr_test"]
    assert blind["detections_per_molecule"] == 1 and blind["p_value"] < 0.01
    assert known["detections_per_molecule"] == pytest.approx(4, rel=0.1) and known["p_value"] > 0.05


def test_each_region_is_tested():
    xy = np.vstack([clusters(400), np.add(noise(700, 3), (4000, 0))])
    _, found = compared(xy, roi="x=0..3000,y=0..3000;x=4000..7000,y=0..3000")
    by_region = [region["csr_test"]["p_value"] for region in found["regions"]]
    assert by_region[0] < 0.01 < 0.05 < by_region[1]
    assert found["csr_test"]["p_value"] < 0.05
    _, one = compared(xy, roi="x=0..3000,y=0..3000")
    assert one["regions"][0]["csr_test"] == one["csr_test"]


def test_what_cannot_be_tested_is_told():
    line = np.column_stack([np.arange(120) * 40.0, np.full(120, 7.0)])
    result, found = compared(line)
    assert found["csr_test"] is None and any(w.startswith("not-tested: ") for w in found["warnings"])
    assert result.clusters["q_value"].null_count == len(result.clusters)


def test_what_frames_and_precisions_tell_of_the_clusters_is_told():
    """Molecules that are detected five times with a precision of 6 nm, with good and with bad columns."""
    rng = np.random.default_rng(8)
    molecule = np.repeat(np.arange(200), 5)
    xy = rng.uniform(0, 6000, (200, 2))[molecule] + rng.normal(0, 6, (1000, 2))
    frame = rng.integers(0, 5000, 200)[molecule] + np.tile([0, 2, 5, 9, 11], 200)
    table = pd.DataFrame({"x_nm": xy[:, 0], "y_nm": xy[:, 1]})

    def warned(**columns):
        said = analyze(table.assign(**columns), "XPILJZ").summary["warnings"]
        return {identifier for text in said if " " not in (identifier := text.partition(": ")[0])}

    of_columns = {"repeated-detections", "narrower-than-precision", "precision-missing", "precision-unlikely"}
    assert not warned() & of_columns
    assert warned(frame=frame, uncertainty_nm=6.0) & of_columns == {"repeated-detections", "narrower-than-precision"}
    assert warned(uncertainty_nm=0.6) & of_columns == set()
    assert warned(uncertainty_nm=np.where(molecule == 3, 0.0, 2.0)) & of_columns == {"precision-missing"}
    assert "precision-unlikely" in warned(uncertainty_nm=6_000.0)


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(UsageError, match="which is off: use --test"):
        Settings(test=False, fdr=0.05)
    with pytest.raises(UsageError, match="between 0 and 1"):
        Settings(test=True, fdr=5)
    with pytest.raises(UsageError, match="give True or False"):
        Settings(test="yes")


def test_the_command_tests_and_drops(tmp_path):
    xy = clusters()
    pd.DataFrame({"x [nm]": xy[:, 0], "y [nm]": xy[:, 1]}).to_csv(tmp_path / "field.csv", index=False)
    run = ["run", str(tmp_path / "field.csv"), "-n", "XPILJZ", "-j", "0", "-o"]
    for name, options in (("all", []), ("kept", ["--fdr", "0.1"]), ("untested", ["--no-test"])):
        done = CliRunner().invoke(main, [*run, str(tmp_path / name), *options], catch_exceptions=False)
        assert done.exit_code == 0, done.output
    (everything, kept, untested) = (
        json.loads((tmp_path / name / "summary.json").read_text())["images"][0] for name in ("all", "kept", "untested")
    )
    assert "csr_test" not in untested and everything["csr_test"]["p_value"] < 0.01
    written = pd.read_parquet(tmp_path / "kept" / "0001_field" / "clusters.parquet")
    assert len(written) == kept["clusters"] and (written["q_value"] <= 0.1).all()
    assert "q_value" not in pd.read_parquet(tmp_path / "untested" / "0001_field" / "clusters.parquet")
    assert len(pd.read_parquet(tmp_path / "kept" / "0001_field" / "outlines.parquet")) == kept["clusters"]
    table = pd.read_csv(tmp_path / "kept" / "images.csv")
    assert table["p_value"][0] == pytest.approx(kept["csr_test"]["p_value"])
