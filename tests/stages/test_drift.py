"""Correcting drift as stages: equal to the bit under any tiling and order of rows, on disk, stopped anywhere."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import layouts, layouts_3d
from support import Threshold, done_records, same

from caml_dask import analyze, open_run
from caml_dask.cli import main
from caml_dask.drift import aim as estimating
from caml_dask.errors import InputError, OutputError, UsageError
from caml_dask.executors import serial
from caml_dask.executors.in_memory import analyse
from caml_dask.io.manifest import Image
from caml_dask.io.readers.in_memory import as_localizations
from caml_dask.io.store import MemoryStore
from caml_dask.pipeline import carried_by, stages_by
from caml_dask.runs.session import execute
from caml_dask.settings import ColumnMap, Settings
from caml_dask.stages.drift.tables import AS_READ, DRIFT_OF_FRAMES
from caml_dask.stages.publish import summarise
from caml_dask.stages.shared.measured import MeasuredClusters
from caml_dask.stages.shared.work import Work
from caml_dask.stages.tables import RESULT


def drift_at(frame):
    return np.column_stack([0.05 * frame, 30 * np.sin(frame / 300)])


def drifting_table(n=3000, seed=1):
    """Clusters of molecules that are seen again and again for 2,000 frames, drifting by 100 nm."""
    rng = np.random.default_rng(seed)
    centers = rng.uniform(0, 3000, (12, 1, 2))
    places = np.vstack([(centers + rng.normal(0, 25, (12, 15, 2))).reshape(-1, 2), rng.uniform(0, 3000, (200, 2))])
    frame = rng.integers(1, 2001, n)
    points = places[rng.integers(0, len(places), n)] + rng.normal(0, 6, (n, 2)) + drift_at(frame)
    columns = {"x [nm]": points[:, 0].round(3), "y [nm]": points[:, 1].round(3), "frame": frame}
    return pa.table(columns | {"uncertainty [nm]": rng.uniform(3, 9, n).round(3)})


def corrected(table, tile, drift="aim", chunks=1, network=None, **others):
    """Points, clusters, drift and what the summary says of it, over tiles and chunks."""
    chosen = Settings("XPILJZ", max_localizations=tile, any_extent=True, drift=drift, test=False, **others)
    carried = carried_by(chosen)
    work = Work(Image("drifting"), chosen, network or Threshold(), MemoryStore(), carried)
    rows = as_localizations(table, ColumnMap())
    cuts = np.linspace(0, len(rows), chunks + 1).astype(int)
    analyse(work, [rows.slice(a, b - a) for a, b in zip(cuts, cuts[1:], strict=False)], {})
    with pytest.raises(KeyError):  # it is as large as the input
        work.store.get(AS_READ.name, 0)
    points = pa.concat_tables([work.get(RESULT, chunk) for chunk in range(chunks)]).combine_chunks()
    clusters = MeasuredClusters(work)
    summary = summarise(work, clusters)
    tables = points, pa.concat_tables(clusters.tables()).combine_chunks(), work.get(DRIFT_OF_FRAMES, 0)
    return *tables, summary["drift"] | {"bounds_nm": summary["bounds_nm"]}


def equal(one, other):
    tables = zip(one[:3], other[:3], strict=True)
    return one[3] == other[3] and all(
        a.schema.equals(b.schema) and a.to_pandas().equals(b.to_pandas()) for a, b in tables
    )


@given(st.one_of(layouts(), layouts_3d()), st.integers(0, 2**32 - 1), st.sampled_from([3, 8, 20]), st.booleans())
@settings(max_examples=10)
def test_tiling_changes_nothing(points, seed, tile, unlimited):
    """On hard layouts, of whose few localizations intervals are made all the same."""
    rng = np.random.default_rng(seed)
    frame = rng.integers(0, rng.choice([2, 9, 10**9]), len(points))
    table = pa.table(dict(zip(("x_nm", "y_nm", "z_nm"), points.T, strict=False)) | {"frame": frame})
    network = Threshold(dimensions=points.shape[1])
    least, enough = estimating.LEAST, estimating.ENOUGH
    estimating.LEAST = estimating.ENOUGH = 5
    try:
        whole = corrected(table, None if unlimited else 10**6, network=network)
        assert equal(whole, corrected(table, tile, chunks=3, network=network))
    finally:
        estimating.LEAST, estimating.ENOUGH = least, enough


@pytest.mark.parametrize("drift", ["aim", "rcc"])
def test_order_of_rows_changes_no_localization(drift, monkeypatch):
    monkeypatch.setattr("caml_dask.drift.rcc._INTERVALS", 5)
    table = drifting_table()
    order = np.random.default_rng(3).permutation(len(table))
    one, other = corrected(table, 500, drift), corrected(table.take(pa.array(order)), 150, drift, 2)
    assert one[2].equals(other[2]) and one[3] == other[3]
    where, shuffled = one[0].to_pandas().iloc[order].reset_index(drop=True), other[0].to_pandas()
    for name in ("x_nm", "y_nm", "label", "p_clustered"):
        assert np.array_equal(where[name], shuffled[name])


def test_coordinates_are_corrected_and_kept_as_they_were():
    table = drifting_table()
    points, _, drift, said = (x if isinstance(x, dict) else x.to_pandas() for x in corrected(table, 500, chunks=3))
    frame = table["frame"].to_numpy()
    truth = drift_at(frame) - drift_at(np.array([frame.min()]))
    taken = table.select(["x [nm]", "y [nm]"]).to_pandas().to_numpy() - points[["x_nm", "y_nm"]].to_numpy()
    off = taken - truth
    assert np.sqrt(np.mean((off - off.mean(axis=0)) ** 2)) < 3 < np.sqrt(np.mean(truth**2)) / 10
    assert np.array_equal(points["x [nm]"], table["x [nm]"]) and np.array_equal(points["frame"], frame)
    assert np.array_equal(drift["frame"], np.unique(frame)) and drift.iloc[0, 1:].abs().max() < 1e-9
    by_frame = drift.set_index("frame").loc[frame].to_numpy()
    assert np.allclose(by_frame, taken, atol=1e-9)
    x = points["x_nm"]
    assert said["bounds_nm"][::2] == [x.min(), x.max()]
    assert said["range"]["x_nm"] == pytest.approx(100, abs=8) and said["method"] == "aim"
    assert 0 < said["standard_error"]["x_nm"] < 4


def test_filters_come_before_and_regions_and_merging_behind_drift():
    table = drifting_table()
    x = table["x [nm]"].to_numpy().copy()
    x[[3, 90]] = np.nan
    frame = [None if row in (5, 7) else f for row, f in enumerate(table["frame"].to_pylist())]
    table = table.set_column(0, "x [nm]", pa.array(x)).set_column(2, "frame", pa.array(frame))
    few = {"where": "frame >= 300 and x_nm < 2500", "roi": "x=0..1500,y=0..3000", "merge": "20nm,3frames"}
    whole, many = corrected(table, None, **few), corrected(table, 90, chunks=3, **few)
    assert equal(whole, many)
    points = whole[0].to_pandas()
    taken = (points["frame"] >= 300) & (x < 2500)
    assert (points["label"].notna() == taken).all() and 1000 < taken.sum() < 2900
    assert np.array_equal(points["uncorrected_x_nm"][taken], x[taken])
    assert points.loc[[5, 7], "x_nm"].tolist() == x[[5, 7]].tolist()
    assert whole[2]["frame"].to_pylist()[0] >= 300
    assert (points["molecule_id"].notna() == taken).all()
    assert set(points["region_id"].dropna()) == {-1, 0}
    alone = corrected(table, None, where=few["where"])[0].to_pandas()
    assert np.array_equal(alone["x_nm"], points["x_nm"], equal_nan=True)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("drifting") / "field.csv"
    drifting_table().to_pandas().to_csv(path, index=False)
    return path


def tables_of(out):
    return {n: pq.read_table(out / "0001_field" / f"{n}.parquet") for n in ("points", "clusters", "outlines", "drift")}


@pytest.fixture(scope="module")
def undisturbed(file, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out"
    assert execute([file], out, Settings("XPILJZ", drift="aim", test=False), workers=0).exit_code == 0
    return tables_of(out)


class Stopped(BaseException):
    """As SIGKILL to the driver would: nothing after it runs."""


@pytest.mark.parametrize(("place", "after_write"), [(1, True), (2, False), (3, True), (12, False)])
def test_stopped_anywhere_and_resumed(file, undisturbed, place, after_write, tmp_path, monkeypatch):
    """Law 7: the same tables, and no finished unit runs twice."""
    monkeypatch.setattr("caml_dask.stages.read.CHUNK_ROWS", 3000)
    chosen = Settings("XPILJZ", max_localizations=900, drift="aim", test=False)
    real, count = serial.run_unit, iter(range(10**6))

    def stop(*_):
        raise Stopped

    def unit(run, key):
        if next(count) == place:
            if after_write:
                monkeypatch.setattr("caml_dask.io.store.DirectoryStore.finish", stop)
                real(run, key)
            raise Stopped
        return real(run, key)

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(serial, "run_unit", unit)
        execute([file], tmp_path / "out", chosen, workers=0)
    monkeypatch.undo()
    before = done_records(tmp_path / "out")
    assert len(before) == place
    assert execute([file], tmp_path / "out", chosen, workers=0, resume=True).exit_code == 0
    after = done_records(tmp_path / "out")
    assert {path: after[path] for path in before} == before
    assert same(tables_of(tmp_path / "out"), undisturbed)
    assert {path.parts[-3] for path in after} == {stage.name for stage in stages_by("XPILJZ", None, "aim", False)}
    with pytest.raises(OutputError, match=r"settings\.drift: aim -> rcc"):
        execute([file], tmp_path / "out", Settings("XPILJZ", drift="rcc", test=False), workers=0, resume=True)


def test_the_commands_correct_drift_and_the_run_is_read_back(file, undisturbed, tmp_path):
    out = tmp_path / "out"
    asked = [
        "run",
        str(file),
        "-o",
        str(out),
        "-n",
        "XPILJZ",
        "--drift",
        "aim",
        "-j",
        "0",
        "--max-localizations",
        "900",
        "--no-test",
    ]
    assert CliRunner().invoke(main, asked, catch_exceptions=False).exit_code == 0
    assert same(tables_of(out), undisturbed)
    image = open_run(out).images[0]
    assert image.drift.equals(undisturbed["drift"].to_pandas())
    assert image.summary["drift"]["ring_correlation_nm"]["after"] > 0
    (out / "0001_field" / "drift.parquet").write_bytes(b"")
    assert CliRunner().invoke(main, [*asked, "--resume"], catch_exceptions=False).exit_code == 0
    assert same(tables_of(out), undisturbed)
    found = analyze(file, "XPILJZ", drift="aim", test=False)
    assert found.drift.equals(image.drift) and found.points["x_nm"].equals(image.points["x_nm"])
    cohort = tmp_path / "cohort.csv"
    cohort.write_text(f"path,condition,replicate\n{file},a,1\n")
    night = ["screen", str(cohort), "-o", str(tmp_path / "screen"), "-n", "XPILJZ", "--drift", "aim", "-j", "0"]
    assert CliRunner().invoke(main, [*night, "--no-test"], catch_exceptions=False).exit_code == 0
    entry = json.loads((tmp_path / "screen" / "summary.json").read_text())["images"][0]
    assert entry["drift"]["range"] == image.summary["drift"]["range"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.drop_columns("frame"), "--drift needs the frame of each localization.*leave --drift out"),
        (lambda t: t.set_column(2, "frame", pa.array(np.arange(len(t)) + 0.5)), "--drift needs .*row 0"),
        (lambda t: t.set_column(2, "frame", pa.array([None, *range(1, len(t))])), "whole number: .*row 0"),
        (lambda t: t.set_column(2, "frame", pa.array(["a"] * len(t))), "whole number"),
    ],
)
def test_tables_whose_drift_cannot_be_corrected_say_why(change, said):
    with pytest.raises(InputError, match=said):
        analyze(change(drifting_table(600)), "XPILJZ", drift="aim")
    with pytest.raises(UsageError, match="use aim or rcc"):
        Settings(drift="fiducials")


def test_too_few_localizations_stay_and_a_warning_says_so():
    table = drifting_table(400)
    found = analyze(table, "XPILJZ", drift="aim", test=False)
    assert any("--drift aim corrected nothing: 400 localizations" in text for text in found.summary["warnings"])
    assert np.array_equal(found.points["x_nm"], table["x [nm]"])
    assert analyze(table, "XPILJZ", test=False).drift is None
