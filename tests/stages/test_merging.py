"""Merging as stages: equal to the bit under any tiling and order of rows, on disk, stopped anywhere, and in words."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import layouts, layouts_3d
from support import Threshold, done_records, same

from caml_dask import analyze, open_run
from caml_dask.blinking.law import Law
from caml_dask.blinking.merge import merge_detections
from caml_dask.cli import main
from caml_dask.errors import InputError, OutputError
from caml_dask.executors import serial
from caml_dask.executors.in_memory import analyse
from caml_dask.io.manifest import Image
from caml_dask.io.readers.in_memory import as_localizations
from caml_dask.io.store import MemoryStore
from caml_dask.pipeline import carried_by, stages_by
from caml_dask.runs.session import execute
from caml_dask.schema import MOLECULES
from caml_dask.settings import ColumnMap, Settings
from caml_dask.stages.merging import estimate as estimating
from caml_dask.stages.merging.tables import MOLECULE_RESULT
from caml_dask.stages.publish import summarise
from caml_dask.stages.shared.measured import MeasuredClusters
from caml_dask.stages.shared.work import Work
from caml_dask.stages.tables import RESULT

BLINKS = Law(
    spread=20.0,
    spread_z=45.0,
    rates=np.array([0.1]),
    weights=np.array([0.06]),
    same_frame=0.0,
    returns=0.6,
    frames=40,
    per_volume=1e-4,
    since=np.array([0, 5, 30]),
    active=np.array([3.0, 0.8, 0.5]),
    signal=9.0,
)


def blinking_table(molecules=300, side_nm=2500.0, seed=1, axes=2):
    """Clusters of molecules among others, each seen some times: a table with frames, photons and precisions."""
    rng = np.random.default_rng(seed)
    centers = rng.uniform(0, side_nm, (molecules // 30, 1, 2))
    clustered = (centers + rng.normal(0, 25, (len(centers), 15, 2))).reshape(-1, 2)
    places = np.vstack([clustered, rng.uniform(0, side_nm, (molecules - len(clustered), 2))])
    molecule = np.repeat(np.arange(molecules), rng.geometric(0.3, molecules))
    frame = rng.integers(0, 20_000, molecules)[molecule] + np.arange(len(molecule)) % 40 * 3
    stated = rng.uniform(4, 12, len(molecule))
    points = places[molecule] + rng.normal(size=(len(molecule), 2)) * stated[:, None]
    order = rng.permutation(len(molecule))
    stated[::17] = 0.0
    columns = {"x [nm]": points[:, 0].round(3), "y [nm]": points[:, 1].round(3), "frame": frame}
    columns |= {"intensity [photon]": rng.uniform(100, 900, len(frame)).round(1), "uncertainty [nm]": stated.round(3)}
    if axes == 3:
        heights = rng.uniform(0, 600, molecules)[molecule] + rng.normal(size=len(molecule)) * 3 * stated
        columns |= {"z [nm]": heights.round(3), "uncertainty_z [nm]": (3 * stated).round(3)}
    return pa.table(columns).take(pa.array(order))


def merged(table, tile, merge, chunks=1, network=None, **others):
    """Points, molecules, clusters and the summary of merging, over tiles and chunks."""
    chosen = Settings("XPILJZ", max_localizations=tile, any_extent=True, merge=merge, test=False, **others)
    work = Work(Image("blinking"), chosen, network or Threshold(), MemoryStore(), carried_by(chosen))
    rows = as_localizations(table, ColumnMap())
    cuts = np.linspace(0, len(rows), chunks + 1).astype(int)
    analyse(work, [rows.slice(a, b - a) for a, b in zip(cuts, cuts[1:], strict=False)], {})
    points = pa.concat_tables([work.get(RESULT, chunk) for chunk in range(chunks)]).combine_chunks()
    found = pa.concat_tables([work.get(MOLECULE_RESULT, chunk) for chunk in range(chunks)]).combine_chunks()
    clusters = MeasuredClusters(work)
    said = summarise(work, clusters)["merge"]
    said.pop("tiles")
    return points, found, pa.concat_tables(clusters.tables()).combine_chunks(), said


def equal(one, other):
    """To the bit; a missing precision equals a missing one."""
    tables = zip(one[:3], other[:3], strict=True)
    return one[3] == other[3] and all(
        a.schema.equals(b.schema) and a.to_pandas().equals(b.to_pandas()) for a, b in tables
    )


@st.composite
def blinking_layouts(draw, axes=2):
    """A hard layout whose localizations have frames, photons and precisions of which some are missing."""
    points = draw(layouts(most=50) if axes == 2 else layouts_3d(most=50))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    frame = rng.integers(0, draw(st.sampled_from([3, 40])), len(points))
    columns = dict(zip(("x_nm", "y_nm", "z_nm"), points.T, strict=False)) | {"frame": frame}
    if draw(st.booleans()):
        columns["uncertainty_nm"] = np.where(rng.random(len(points)) < 0.3, np.nan, rng.uniform(2, 30, len(points)))
    return pa.table(columns)


@given(blinking_layouts(), st.sampled_from([3, 8, 20]), st.sampled_from([1, 3]), st.floats(20, 400), st.integers(1, 9))
@settings(max_examples=40)
def test_tiling_changes_nothing_by_a_radius_and_a_gap(table, tile, chunks, radius_nm, gap):
    unchanged(table, tile, chunks, f"{radius_nm}nm,{gap}frames", Threshold())


@given(blinking_layouts(axes=3), st.sampled_from([3, 8, 20]))
@settings(max_examples=15)
def test_tiling_changes_nothing_in_3d(table, tile):
    unchanged(table, tile, 2, "90nm,4frames", Threshold(dimensions=3))


@given(st.one_of(blinking_layouts(), blinking_layouts(axes=3)), st.sampled_from([3, 8, 20]), st.sampled_from([1, 3]))
@settings(max_examples=40)
def test_tiling_changes_nothing_by_a_law(table, tile, chunks):
    """On layouts where no law could be estimated one is given; the stages are the same."""
    axes = 3 if "z_nm" in table.column_names else 2
    per_volume = 1e-4 if axes == 2 else 1e-7
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(estimating, "estimate", lambda _: replace(BLINKS, per_volume=per_volume))
        unchanged(table, tile, chunks, "auto", Threshold(dimensions=axes))


def unchanged(table, tile, chunks, merge, network):
    """Equal to the bit, or refused in the same words."""
    try:
        whole = merged(table, 10**6, merge, network=network)
    except InputError as error:  # too few molecules for the network
        assert "needs 6 localizations" in str(error)
        with pytest.raises(InputError, match="needs 6 localizations"):
            merged(table, tile, merge, chunks, network)
        return
    assert equal(whole, merged(table, tile, merge, chunks, network))


@pytest.mark.parametrize(("merge", "axes"), [("auto", 2), ("auto", 3), ("40nm,60frames", 2), ("90nm,60frames", 3)])
def test_any_tiling_and_the_function_agree(merge, axes):
    table, network = blinking_table(axes=axes), Threshold(dimensions=axes)
    whole = merged(table, 10**6, merge, network=network)
    for tile, chunks in ((200, 1), (60, 4), (25, 3)):
        assert equal(whole, merged(table, tile, merge, chunks, network))
    points, molecules, clusters, said = whole
    places = np.column_stack([table[f"{axis} [nm]"].to_numpy() for axis in "xyz"[:axes]])
    stated = {"uncertainty_nm": table["uncertainty [nm]"]}
    stated |= {"uncertainty_z_nm": table["uncertainty_z [nm]"]} if axes == 3 else {}
    found = merge_detections(places, table["frame"], **stated, rule=merge)
    if axes == 3:
        assert np.array_equal(molecules["uncertainty_z_nm"].to_numpy(), found.molecules.uncertainty_z_nm)
        assert merge != "auto" or said["axial_precision_times_stated"] == pytest.approx(1.0, rel=0.2)
    first = np.unique(found.molecule, return_index=True)[1]
    assert np.array_equal(points["molecule_id"].to_numpy(), first[found.molecule])
    assert np.array_equal(molecules["x_nm"].to_numpy(), found.molecules.points_nm[:, 0])
    assert said["detections"] == len(points) and said["molecules"] == len(molecules) < 0.5 * len(points)
    assert sum(int(n) * many for n, many in said["molecules_by_detections"].items()) == len(points)
    assert sum(said["returns_by_least_frames"].values()) == len(points) - len(molecules)
    assert len(clusters) > 0


@pytest.mark.parametrize(("merge", "axes"), [("auto", 2), ("auto", 3), ("40nm,60frames", 2)])
def test_order_of_rows_changes_no_molecule(merge, axes):
    table, network = blinking_table(seed=2, axes=axes), Threshold(dimensions=axes)
    order = np.random.default_rng(3).permutation(len(table))
    one = merged(table, 150, merge, network=network)[:3]
    other = merged(table.take(pa.array(order)), 150, merge, 2, network)[:3]
    where = one[0].to_pandas().iloc[order].reset_index(drop=True)
    shuffled = other[0].to_pandas()
    for name in ("label", "p_clustered", "window_saturated", "x_nm"):
        assert np.array_equal(where[name], shuffled[name])
    for name in ("molecule_id", "cluster_id"):
        pairs = pd.DataFrame({"one": where[name], "other": shuffled[name]}).drop_duplicates()
        assert pairs["one"].is_unique and pairs["other"].is_unique
    names = ["x_nm", "y_nm", "detections", "first_frame", "last_frame", "photons", "uncertainty_nm"]
    mine, theirs = (t[1].to_pandas()[names].sort_values(names).reset_index(drop=True) for t in (one, other))
    assert mine.equals(theirs)


@pytest.mark.parametrize("merge", ["auto", "40nm,60frames"])
def test_rows_are_filtered_before_and_counted_by_region_after_merging(merge):
    table = blinking_table()
    few = {"where": "frame >= 4000 and uncertainty_nm > 0", "roi": "x=0..1200,y=0..2500"}
    whole, many = merged(table, None, merge, **few), merged(table, 90, merge, chunks=3, **few)
    assert equal(whole, many)
    points, molecules = whole[0].to_pandas(), whole[1].to_pandas()
    taken = ((points["frame"] >= 4000) & (points["uncertainty [nm]"] > 0)).to_numpy()
    assert 100 < taken.sum() < len(points) - 100
    for name in ("label", "cluster_id", "molecule_id", "region_id"):
        assert (points[name].notna() == taken).all()
    assert molecules["detections"].sum() == taken.sum()
    of = points[taken].merge(molecules, on="molecule_id", suffixes=("", "_of_molecule"))
    assert (of["region_id"] == of["region_id_of_molecule"]).all()
    assert set(molecules["region_id"]) == {-1, 0}
    assert ((molecules["region_id"] == 0) == (molecules["x_nm"] <= 1200)).all()
    before = merged(table.filter(pa.array(taken)), None, merge)[1].to_pandas()
    pd.testing.assert_series_equal(before["x_nm"], molecules["x_nm"])


def test_tables_say_what_became_of_detections():
    table = blinking_table(seed=4)
    x = table["x [nm]"].to_numpy().copy()
    x[[3, 90]] = np.nan
    table = table.set_column(0, "x [nm]", pa.array(x))
    points, molecules = (t.to_pandas() for t in merged(table, 150, "40nm,60frames", 3)[:2])
    assert len(points) == len(table) and points["molecule_id"].isna().sum() == 2
    assert list(molecules.columns) == [c.name for c in MOLECULES if c.name in molecules.columns]
    assert molecules["molecule_id"].is_monotonic_increasing
    of = points.dropna(subset="molecule_id").groupby("molecule_id")
    assert np.array_equal(of.size(), molecules["detections"])
    assert np.array_equal(of["loc_id"].min(), molecules["molecule_id"])
    assert np.array_equal(of["frame"].min(), molecules["first_frame"])
    assert np.array_equal(of["frame"].max(), molecules["last_frame"])
    assert np.allclose(of["intensity [photon]"].sum(), molecules["photons"])
    for name in ("label", "cluster_id", "p_clustered", "window_saturated"):
        assert (of[name].nunique() == 1).all() and np.array_equal(of[name].first(), molecules[name])
    stated = points["uncertainty [nm]"].where(points["uncertainty [nm]"] > 0)
    weight = stated.fillna(stated.median()) ** -2
    mean = (points["x_nm"] * weight).groupby(points["molecule_id"]).sum() / weight.groupby(points["molecule_id"]).sum()
    assert np.allclose(mean, molecules["x_nm"], atol=0.2)  # the median is known to 2 %


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("blinking") / "field.csv"
    blinking_table().to_pandas().to_csv(path, index=False)
    return path


def tables_of(out):
    folder = out / "0001_field"
    return {name: pq.read_table(folder / f"{name}.parquet") for name in ("points", "molecules", "clusters", "outlines")}


@pytest.fixture(scope="module")
def undisturbed(file, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out"
    assert execute([file], out, Settings("XPILJZ", merge="auto", test=False), workers=0).exit_code == 0
    return tables_of(out)


class Stopped(BaseException):
    """As SIGKILL to the driver would: nothing after it runs."""


def stop(*_):
    raise Stopped


def stop_at(patch, place, after_write):
    """Stop the run at the `place`-th unit, before its work or between its files and its done record."""
    real, count = serial.run_unit, iter(range(10**6))

    def unit(run, key):
        if next(count) == place:
            if after_write:
                patch.setattr("caml_dask.io.store.DirectoryStore.finish", stop)
                real(run, key)
            raise Stopped
        return real(run, key)

    patch.setattr(serial, "run_unit", unit)


@pytest.mark.parametrize("place", [1, 2, 3, 5, 8, 11, 13, 15, 17, 19, 21, 24, 28, 34, 40, 44])
def test_stopped_anywhere_and_resumed(file, undisturbed, place, tmp_path, monkeypatch):
    """Law 7: the same tables, and no finished unit runs twice. Stopped before a unit's work, then before its record."""
    settings = Settings("XPILJZ", max_localizations=250, merge="auto", test=False)
    for at, after_write in ((place, False), (0, True)):
        with monkeypatch.context() as patch, pytest.raises(Stopped):
            stop_at(patch, at, after_write)
            execute([file], tmp_path / "out", settings, workers=0, resume=after_write)
        before = done_records(tmp_path / "out")
        assert len(before) == place
    assert execute([file], tmp_path / "out", settings, workers=0, resume=True).exit_code == 0
    after = done_records(tmp_path / "out")
    assert {path: after[path] for path in before} == before
    assert same(tables_of(tmp_path / "out"), undisturbed)
    stages = {stage.name for stage in stages_by("XPILJZ", "auto", None, False)}
    assert {path.parts[-3] for path in after} == stages
    with pytest.raises(OutputError, match="merge"):
        execute([file], tmp_path / "out", Settings("XPILJZ", merge="40nm,60frames", test=False), workers=0, resume=True)


def test_a_run_on_workers_is_read_back(file, undisturbed, tmp_path):
    out = tmp_path / "out"
    chosen = Settings("XPILJZ", max_localizations=400, merge="auto", test=False)
    assert execute([file], out, chosen, workers=2).exit_code == 0
    assert same(tables_of(out), undisturbed)
    image = open_run(out).images[0]
    assert image.molecules.equals(undisturbed["molecules"].to_pandas())
    assert len(image.points) == image.summary["rows"] == image.summary["merge"]["detections"]
    assert image.summary["localizations"] == len(image.molecules)
    (out / "0001_field" / "molecules.parquet").write_bytes(b"")
    assert execute([file], out, chosen, workers=0, resume=True).exit_code == 0
    assert same(tables_of(out), undisturbed)


def test_the_commands_merge(file, undisturbed, tmp_path):
    out = tmp_path / "out"
    call = ["run", str(file), "-o", str(out), "-n", "XPILJZ", "--merge", "auto", "-j", "0", "--no-test"]
    done = CliRunner().invoke(main, call, catch_exceptions=False)
    assert done.exit_code == 0 and same(tables_of(out), undisturbed)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["settings"]["merge"] == "auto"
    found = summary["images"][0]["merge"]
    assert found["precision_times_stated"] == pytest.approx(1.0, rel=0.2) and found["signal_in_standard_errors"] > 10
    cohort = tmp_path / "cohort.csv"
    cohort.write_text(f"path,condition,replicate\n{file},a,1\n")
    night = ["screen", str(cohort), "-o", str(tmp_path / "screen"), "-n", "XPILJZ", "--merge", "40 nm, 60 frames"]
    assert CliRunner().invoke(main, [*night, "-j", "0", "--no-test"], catch_exceptions=False).exit_code == 0
    image = json.loads((tmp_path / "screen" / "summary.json").read_text())["images"][0]
    assert image["merge"]["rule"] == "40nm,60frames"
    refused = CliRunner().invoke(main, ["run", str(file), "-o", str(tmp_path / "no"), "--merge", "50"])
    assert refused.exit_code == 2 and not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("change", "merge", "said"),
    [
        (lambda t: t.drop_columns("frame"), "auto", "--merge needs the frame of each localization"),
        (lambda t: t.drop_columns("frame"), "50nm,25frames", "leave --merge out"),
        (
            lambda t: t.set_column(2, "frame", pa.array(np.arange(len(t)) + 0.5)),
            "auto",
            "whole number: .*row 0",
        ),
        (
            lambda t: t.set_column(2, "frame", pa.array([None, *range(1, len(t))])),
            "auto",
            "whole number: .*row 0",
        ),
        (lambda t: t.set_column(2, "frame", pa.array(["a"] * len(t))), "50nm,25frames", "whole number"),
    ],
)
def test_tables_that_cannot_be_merged_say_why(change, merge, said):
    with pytest.raises(InputError, match=said):
        analyze(change(blinking_table()), "XPILJZ", merge=merge)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("clusters", [0, 40])
def test_where_nothing_blinks_nothing_is_merged_and_a_warning_says_so(clusters, seed):
    """Clusters of molecules that are detected once are no re-blinks, however dense they are."""
    rng = np.random.default_rng([7, seed])
    centers = rng.uniform(0, 3000, (clusters, 1, 2))
    clustered = (centers + rng.normal(0, 30, (clusters, 25, 2))).reshape(-1, 2)
    xy = np.concatenate([clustered, rng.uniform(0, 3000, (600, 2))])
    frames = rng.integers(20_000, size=len(xy))
    table = pa.table({"x_nm": xy[:, 0], "y_nm": xy[:, 1], "frame": frames, "uncertainty_nm": np.full(len(xy), 8.0)})
    found = analyze(table, "XPILJZ", merge="auto", test=False)
    assert len(found.molecules) == len(xy)
    assert any("nothing was merged" in text for text in found.summary["warnings"])
    assert analyze(table, "XPILJZ", test=False).molecules is None
