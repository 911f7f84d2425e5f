"""The serial executor over run directories: same results as in memory, stopped anywhere and taken up again."""

from __future__ import annotations

import dataclasses
import json
import shutil
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq
import pytest
from support import TwoThresholds, done_records, result_tables, same, simulated_table

from caml_dask import analyze, pipeline, read_localizations
from caml_dask.atomic import publish_json, read_json
from caml_dask.errors import OutputError
from caml_dask.executors import serial
from caml_dask.io.run_directory import Run
from caml_dask.io.store import DirectoryStore
from caml_dask.methods import DBSCAN
from caml_dask.runs.session import execute
from caml_dask.schema import CLUSTERS_3D
from caml_dask.settings import ColumnMap, Settings


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return simulated_table(tmp_path_factory.mktemp("input") / "field.csv")


def whole(table, folder, settings):
    """Its tables on one tile."""
    assert execute([table], folder / "out", settings, workers=0).exit_code == 0
    return result_tables(folder / "out")


@pytest.fixture(scope="module")
def undisturbed(table, tmp_path_factory):
    """Without the test against randomness, which takes longer than all the rest: most tests here look at the rest."""
    return whole(table, tmp_path_factory.mktemp("whole"), Settings(test=False))


@pytest.fixture(scope="module")
def tested(table, tmp_path_factory):
    return whole(table, tmp_path_factory.mktemp("tested"), Settings())


@pytest.mark.parametrize("tile", [150, 700])
def test_tiles_on_disk_give_the_result_of_one_tile_in_memory(table, tested, tile, tmp_path):
    outcome = execute([table], tmp_path / "out", Settings(max_localizations=tile), workers=0)
    assert same(result_tables(tmp_path / "out"), tested)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())["images"][0]
    assert summary["tiles"] > 1 and set(summary["seconds"]) == {stage.name for stage in pipeline.stages_of(Settings())}
    working = outcome.run.root / ".run" / outcome.run.images[0].image_id
    assert [entry.name for entry in working.iterdir()] == ["done"]


def test_python_interface_gives_the_tables_of_the_command(table, undisturbed):
    analysis = analyze(read_localizations(table).drop(["loc_id", "x_nm", "y_nm"]), test=False)
    expected = undisturbed["0001_field/points"].to_pandas()
    assert analysis.points.equals(expected)
    clusters = undisturbed["0001_field/clusters"].to_pandas().drop(columns="image_id")
    assert analysis.clusters.drop(columns="image_id").equals(clusters)


class Stopped(BaseException):
    """As SIGKILL to the driver would: nothing after it runs."""


def stop_at(monkeypatch, place, after_write):
    """Stop the run at the `place`-th unit, before its work or between its files and its done record."""
    real, count = serial.run_unit, iter(range(10**6))

    def unit(run, key):
        if next(count) == place:
            if after_write:
                monkeypatch.setattr("caml_dask.io.store.DirectoryStore.finish", stop)
                real(run, key)
            orphan = run.outputs(run.images[0].image_id) / ".points.parquet.0.working"
            orphan.parent.mkdir(exist_ok=True)
            orphan.write_text("half a file")
            raise Stopped
        return real(run, key)

    def stop(*_):
        raise Stopped

    monkeypatch.setattr(serial, "run_unit", unit)


@pytest.mark.parametrize("place", [0, 1, 2, 4, 9, 14, 19, 24, 26])
def test_stopped_anywhere_and_resumed(table, undisturbed, place, tmp_path, monkeypatch):
    """Law 7: the same tables, and no finished unit runs twice. Stopped before a unit's work, then before its record."""
    settings = Settings(max_localizations=700, test=False)
    for at, after_write in ((place, False), (0, True)):
        with monkeypatch.context() as patch, pytest.raises(Stopped):
            stop_at(patch, at, after_write)
            execute([table], tmp_path / "out", settings, workers=0, resume=after_write)
        before = done_records(tmp_path / "out")
        assert len(before) == place  # units finish one after another
    with pytest.raises(OutputError, match="--resume"):
        execute([table], tmp_path / "out", settings, workers=0)
    assert execute([table], tmp_path / "out", settings, workers=0, resume=True).exit_code == 0
    after = done_records(tmp_path / "out")
    assert {path: after[path] for path in before} == before
    assert same(result_tables(tmp_path / "out"), undisturbed)
    assert list((tmp_path / "out").rglob("*.working")) == []


@pytest.mark.parametrize("tile", [None, 700])
def test_a_unit_recorded_but_not_reported_is_not_done_again(table, tile, tmp_path):
    """As where its worker is lost in between, and Dask gives the unit to another."""
    run = execute([table], tmp_path / "out", Settings(max_localizations=tile, test=False), workers=0).run
    before = done_records(tmp_path / "out")
    for path in before:
        stage, unit = path.parts[-3], int(path.stem)
        record = serial.run_unit(run, (0, stage if tile else "read", unit))
        assert (record["stage"], record["unit"]) == (stage, unit)
    assert done_records(tmp_path / "out") == before


def flip(path, place=0.5):
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["manifest.json", "0001_field/done/points/000/000000.json"])
def test_a_damaged_record_or_manifest_is_named_and_mended(table, undisturbed, name, tmp_path, caplog):
    out, settings = tmp_path / "out", Settings(max_localizations=700, test=False)
    execute([table], out, settings, workers=0)
    before = done_records(out)
    flip(out / ".run" / name)
    assert execute([table], out, settings, workers=0, resume=True).exit_code == 0
    assert f".run/{name} {'was' if name == 'manifest.json' else 'is'} damaged" in caplog.text
    assert same(result_tables(out), undisturbed)
    if name == "manifest.json":
        assert done_records(out) == before
        # of other settings it cannot be told what stood there
        flip(out / ".run" / name)
        with pytest.raises(OutputError, match="is damaged"):
            execute([table], out, Settings(min_points=5, test=False), workers=0, resume=True)


def test_a_damaged_working_table_is_named_and_made_again(table, undisturbed, tmp_path, monkeypatch, caplog):
    out, settings = tmp_path / "out", Settings(max_localizations=700, test=False)
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        stop_at(patch, 26, after_write=False)
        execute([table], out, settings, workers=0)
    flip(out / ".run" / "0001_field" / "neighborhoods" / "000" / "000001.arrow")
    assert execute([table], out, settings, workers=0, resume=True).exit_code == 0
    assert caplog.text.count("is missing or altered") == 1 and "neighborhoods/000/000001.arrow" in caplog.text
    assert same(result_tables(out), undisturbed)


def test_resuming_a_finished_run_runs_nothing(table, undisturbed, tmp_path, monkeypatch):
    execute([table], tmp_path / "out", Settings(test=False), workers=0)
    monkeypatch.setattr(serial, "run_unit", lambda *_: pytest.fail("a finished unit ran again"))
    assert execute([table], tmp_path / "out", Settings(test=False), workers=0, resume=True).exit_code == 0
    assert same(result_tables(tmp_path / "out"), undisturbed)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_a_damaged_result_is_found_and_made_again(table, undisturbed, damage, tmp_path):
    execute([table], tmp_path / "out", Settings(max_localizations=700, test=False), workers=0)
    path = tmp_path / "out" / "0001_field" / "points.parquet"
    data = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        data[len(data) // 2] ^= 4
        path.write_bytes(data)
    else:
        path.unlink()
    execute([table], tmp_path / "out", Settings(max_localizations=700, test=False), workers=0, resume=True)
    assert same(result_tables(tmp_path / "out"), undisturbed)


def test_another_run_is_refused_and_what_differs_named(table, tmp_path):
    execute([table], tmp_path / "out", Settings(test=False), workers=0)
    with pytest.raises(OutputError, match=r"settings\.min_points: 3 -> 5"):
        execute([table], tmp_path / "out", Settings(min_points=5, test=False), workers=0, resume=True)
    table_copy = tmp_path / "field.csv"
    table_copy.write_text(table.read_text())
    execute([table_copy], tmp_path / "other", Settings(test=False), workers=0)
    table_copy.write_text(table.read_text().replace("1", "2", 1))
    with pytest.raises(OutputError, match=r"inputs\..*field\.csv"):
        execute([table_copy], tmp_path / "other", Settings(test=False), workers=0, resume=True)


OTHER = {
    "network": "07VEJJ",
    "max_localizations": 300,
    "nonfinite": "refuse",
    "area_um2": 7.0,
    "min_points": 4,
    "any_extent": True,
    "save_features": True,
    "columns": ColumnMap(unit="nm"),
    "where": "x_nm < 900",
    "roi": "x=0..900,y=0..900",
    "roi_pixel_nm": 100.0,
    "merge": "auto",
    "drift": "aim",
    "cell_mask": "auto",
    "test": False,
    "fdr": 0.05,
    "bootstrap": 50,
    "method": DBSCAN(30, 5),
}


@pytest.fixture(scope="module")
def standing(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("standing") / "out"
    execute([table], out, Settings("XPILJZ", max_localizations=700), workers=0)
    return out


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Settings)])
def test_each_changed_setting_is_refused_by_name(table, standing, name):
    """Also those that change no result: a run is one of one digest of settings."""
    before = done_records(standing)
    network = None if name == "method" else "XPILJZ"
    changed = Settings(**{"network": network, "max_localizations": 700, name: OTHER[name]})
    with pytest.raises(OutputError, match=rf"It differs in .*settings\.{name}: .* -> "):
        execute([table], standing, changed, workers=0, resume=True)
    assert done_records(standing) == before


@pytest.mark.parametrize(
    ("part", "key"), [("network", "weights_sha256"), ("network", "name"), ("version", None), ("machine", "processor")]
)
def test_a_run_of_other_weights_version_or_machine_is_refused_by_name(table, standing, part, key, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(standing, out)
    manifest = out / ".run" / "manifest.json"
    changed = read_json(manifest)
    changed[part] = "other" if key is None else {**changed[part], key: "other"}
    publish_json(manifest, changed)
    with pytest.raises(OutputError, match=rf"differs in {part}{'' if key is None else '.' + key}: other -> "):
        execute([table], out, Settings("XPILJZ", max_localizations=700), workers=0, resume=True)
    # Its done records are those of the manifest they were made under, and of no other.
    run = Run.open(out)
    assert run.store(run.images[0]).done(pipeline.LAST.name, 0) is None


def test_overwriting_removes_the_run_and_nothing_else(table, tmp_path):
    out = tmp_path / "out"
    execute([table], out, Settings(test=False), workers=0)
    (out / "notes.txt").write_text("mine")
    execute([table, shutil.copy(table, tmp_path / "again.csv")], out, Settings(test=False), workers=0, overwrite=True)
    assert (out / "notes.txt").read_text() == "mine"
    assert sorted(p.name for p in out.iterdir() if p.is_dir()) == [".run", "0001_field", "0002_again"]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        execute([table], tmp_path / "full", Settings(test=False), workers=0, overwrite=True)


def test_several_chunks_of_input_come_back_in_order(table, undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr("caml_dask.stages.read.CHUNK_ROWS", 600)
    monkeypatch.setattr("caml_dask.stages.shared.measured.AT_A_TIME", 7)
    execute([table], tmp_path / "out", Settings(max_localizations=400, test=False), workers=0)
    image = tmp_path / "out" / "0001_field"
    parts = sorted((image / "points").iterdir())
    assert len(parts) == -(-len(undisturbed["0001_field/points"]) // 600)
    points = pq.read_table(parts[0].parent)
    assert points.equals(undisturbed["0001_field/points"])
    assert pq.read_table(image / "outlines.parquet").equals(undisturbed["0001_field/outlines"])


def test_points_open_the_tiles_that_have_rows_of_their_chunk_alone(table, undisturbed, tmp_path, monkeypatch):
    """As where an input is ordered by place: what is opened grows with it, not with its square."""
    header, *rows = table.read_text().splitlines()
    rows.sort(key=lambda row: float(row.split(",")[2]))
    by_x = tmp_path / "field.csv"
    by_x.write_text("\n".join([header, *rows]) + "\n")
    opened = []
    real = DirectoryStore.get_part

    def get_part(store, name, key, part):
        opened.append((name, key, part))
        return real(store, name, key, part)

    monkeypatch.setattr(DirectoryStore, "get_part", get_part)
    monkeypatch.setattr("caml_dask.stages.read.CHUNK_ROWS", 200)
    execute([by_x], tmp_path / "out", Settings(max_localizations=200, test=False), workers=0)
    points = pq.read_table(tmp_path / "out" / "0001_field" / "points")
    chunk, tile = points["loc_id"].to_numpy() // 200, {}
    for name, key, part in opened:
        if name == "membership":
            tile.setdefault(part, []).append(key)
    assert sorted(tile) == sorted(set(chunk.tolist()))
    n_tiles = 1 + max(key for keys in tile.values() for key in keys)
    assert sum(map(len, tile.values())) < 0.7 * n_tiles * len(tile)
    own = points.column("id").to_numpy()
    order = np.argsort(own)
    expected = undisturbed["0001_field/points"]
    assert np.array_equal(points["label"].to_numpy()[order], expected["label"].to_numpy())
    assert np.array_equal(points["cluster_id"].to_numpy()[order] < 0, expected["cluster_id"].to_numpy() < 0)


def test_features_are_the_neighbor_distances(table, tmp_path):
    import zarr
    from scipy.spatial import cKDTree

    settings = Settings("XPILJZ", 700, save_features=True, test=False)
    execute([table], tmp_path / "out", settings, workers=0)
    group = zarr.open_group(str(tmp_path / "out" / "0001_field" / "features.zarr"), mode="r")
    points = read_localizations(table)
    xy = np.column_stack([points["x_nm"].to_numpy(), points["y_nm"].to_numpy()])
    expected = np.sort(cKDTree(xy).query(xy, 101)[0], axis=1)[:, 1:].astype(np.float32)
    seen = []
    for _, tile in sorted(group.groups()):
        seen += tile["loc_id"][:].tolist()
        assert np.array_equal(tile["distances_nm"][:], expected[tile["loc_id"][:].astype(int)])
    assert sorted(seen) == list(range(len(xy)))


def test_a_run_that_cannot_be_read_is_replaced_whole(table, tmp_path):
    """What another version left behind never passes for results of this run."""
    out = tmp_path / "out"
    execute([table], out, Settings(max_localizations=700, test=False), workers=0)
    manifest = out / ".run" / "manifest.json"
    changed = read_json(manifest)
    changed["settings"]["of_another_version"] = 1
    publish_json(manifest, changed)
    with pytest.raises(OutputError, match=r"settings\.of_another_version: 1 -> None"):
        execute([table], out, Settings(max_localizations=700, test=False), workers=0, resume=True)
    small = tmp_path / "field.csv"
    small.write_text("\n".join(table.read_text().splitlines()[:901]) + "\n")
    execute([small], out, Settings(min_points=30, test=False), workers=0, overwrite=True)
    summary = json.loads((out / "summary.json").read_text())["images"][0]
    assert summary["rows"] == 900
    assert min(result_tables(out)["0001_field/clusters"]["n_localizations"].to_pylist(), default=30) >= 30


def test_done_records_of_another_run_are_none(table, undisturbed, tmp_path):
    out = tmp_path / "out"
    execute([table], out, Settings(max_localizations=700, min_points=30, test=False), workers=0)
    (out / ".run" / "manifest.json").unlink()
    execute([table], tmp_path / "other", Settings(max_localizations=700, test=False), workers=0)
    (tmp_path / "other" / ".run" / "manifest.json").rename(out / ".run" / "manifest.json")
    execute([table], out, Settings(max_localizations=700, test=False), workers=0, resume=True)
    assert same(result_tables(out), undisturbed)


@pytest.mark.parametrize("failure", [MemoryError("no memory"), ArithmeticError("a defect"), KeyError("x")])
def test_any_failure_stays_with_its_image(table, tmp_path, monkeypatch, failure):
    real = serial.run_unit

    def unit(run, key):
        if key[0] == 0:
            raise failure
        return real(run, key)

    monkeypatch.setattr(serial, "run_unit", unit)
    tables = [table, shutil.copy(table, tmp_path / "again.csv")]
    outcome = execute(tables, tmp_path / "out", Settings(test=False), workers=0)
    assert outcome.exit_code == 3
    assert type(failure).__name__ in (tmp_path / "out" / "images.csv").read_text()


def test_damaged_features_are_found_and_made_again(table, tmp_path, caplog):
    out, settings = tmp_path / "out", Settings("XPILJZ", 700, save_features=True, test=False)
    execute([table], out, settings, workers=0)
    undisturbed = result_tables(out)
    chunk = next(p for p in sorted((out / "0001_field" / "features.zarr").rglob("c/*/*")) if p.is_file())
    intact = chunk.read_bytes()
    chunk.write_bytes(intact[:-1] + bytes([intact[-1] ^ 1]))
    execute([table], out, settings, workers=0, resume=True)
    assert chunk.read_bytes() == intact
    assert "features.zarr/tile_" in caplog.text and "missing or altered" in caplog.text
    assert same(result_tables(out), undisturbed)


def test_an_input_that_is_no_file_fails_by_name(table, tmp_path):
    outcome = execute([tmp_path, table], tmp_path / "out", Settings(test=False), workers=0)
    assert outcome.exit_code == 3
    assert "is a directory" in str(next(iter(outcome.failed.values())))


@dataclass(frozen=True)
class Weighted(TwoThresholds):
    """A rule that a run takes for a network with weights."""

    @property
    def identity(self) -> dict[str, str]:
        return {"name": self.name, "weights_sha256": "none"}


def in_3d(path, z=None):
    rng = np.random.default_rng(4)
    centers = rng.uniform(300, 2700, (12, 1, 3)) * [1, 1, 0.2]
    xyz = np.vstack([(centers + rng.normal(0, 12, (12, 20, 3))).reshape(-1, 3), rng.uniform(0, 3000, (150, 3))])
    xyz[:, 2] = xyz[:, 2] if z is None else z
    lines = [",".join(f"{v:.2f}" for v in row) for row in rng.permutation(xyz).tolist()]
    path.write_text("x [nm],y [nm],z [nm]\n" + "\n".join(lines) + "\n")
    return path


def test_a_run_in_3d_of_three_classes(tmp_path, monkeypatch):
    network = Weighted(n_neighbors=19, rank=5, below=0.6, dimensions=3)
    monkeypatch.setattr("caml_dask.executors.units.load_for", lambda settings: network)
    monkeypatch.setattr("caml_dask.runs.session.load_for", lambda settings: network)
    table = in_3d(tmp_path / "cells.csv")
    for out, tile in (("one", None), ("many", 60)):
        outcome = execute([table], tmp_path / out, Settings("XPILJZ", tile), workers=0)
        assert outcome.exit_code == 0, outcome.failed
    found = result_tables(tmp_path / "many")
    assert same(found, result_tables(tmp_path / "one"))
    of_every_run = [c.name for c in CLUSTERS_3D if not c.optional or c.name == "q_value"]
    assert found["0001_cells/clusters"].column_names == of_every_run
    assert {"z_nm", "p_non", "p_round", "p_fiber"} <= set(found["0001_cells/points"].column_names)
    image = tmp_path / "many" / "0001_cells"
    assert (image / "clusters.csv").read_text().splitlines()[0].split(",")[4] == '"volume_nm3"'
    assert (image / "overview.png").stat().st_size > 10_000
    summary = json.loads((tmp_path / "many" / "summary.json").read_text())["images"][0]
    assert summary["tiles"] > 1 and set(summary["by_class"]) == {"round", "fiber"}
    assert len(found["0001_cells/clusters"]) == summary["clusters"] > 3


def test_a_z_of_zero_throughout_is_2d(tmp_path):
    table = in_3d(tmp_path / "flat.csv", z=0.0)
    assert execute([table], tmp_path / "out", Settings(test=False), workers=0).exit_code == 0
    deep = execute([in_3d(tmp_path / "deep.csv")], tmp_path / "deep", Settings(test=False), workers=0)
    assert "leave z out with --columns" in str(next(iter(deep.failed.values())))
