"""Runs as they begin and end: what stands in their directory, inputs that change meanwhile, disks that fill up."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from support import done_records, result_tables, same, simulated_table

from caml_dask import CAML, analyze
from caml_dask.errors import CamlError, DiskFullError, InputError, OutputError, UsageError
from caml_dask.io import run_directory as rundir
from caml_dask.locks import held
from caml_dask.runs.session import analyse, begun, execute
from caml_dask.settings import ColumnMap, Settings

TILED = Settings(max_localizations=300, test=False)


@pytest.fixture(scope="module")
def finished(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "out"
    execute([table], out, TILED, workers=0)
    return out


@pytest.fixture
def out(finished, tmp_path):
    """A finished run that a test may change."""
    shutil.copytree(finished, tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize("settings", [TILED, Settings(test=False)], ids=["tiled", "one tile"])
def test_an_input_that_changes_after_the_run_began_is_refused(table, serial, tmp_path, settings):
    path = shutil.copy(table, tmp_path / "field.csv")
    with begun([path], tmp_path / "out", settings, resume=False, overwrite=False) as run:
        simulated_table(path, side_nm=3000.0, seed=5)
        failed = analyse(run, workers=0).failed
    assert "field.csv: it changed after the run had begun" in str(failed["0001_field"])
    shutil.copy(table, path)
    assert execute([path], tmp_path / "out", settings, workers=0, resume=True).exit_code == 0
    assert same(result_tables(tmp_path / "out"), serial)


def test_an_input_that_comes_after_the_run_began_is_not_taken(table, tmp_path):
    path = tmp_path / "field.csv"
    with begun([path], tmp_path / "out", TILED, resume=False, overwrite=False) as run:
        shutil.copy(table, path)
        assert list(analyse(run, workers=0).failed) == ["0001_field"]


def test_a_run_whose_manifest_is_lost_is_neither_removed_nor_mistaken(table, serial, out):
    manifest = out / ".run" / "manifest.json"
    manifest.unlink()
    before = done_records(out)
    with pytest.raises(OutputError, match="holds 0001_field, images.csv, summary.json, but no manifest of a run"):
        execute([table], out, TILED, workers=0)
    with pytest.raises(OutputError, match="nothing of a run with these inputs and settings"):
        execute([table], out, Settings(min_points=9, test=False), workers=0, resume=True)
    assert execute([table], out, TILED, workers=0, resume=True).exit_code == 0
    assert done_records(out) == before
    manifest.unlink()
    assert execute([table], out, Settings(test=False), workers=0, overwrite=True).exit_code == 0
    assert same(result_tables(out), serial)


def test_a_run_that_was_killed_before_its_manifest_stood_leaves_nothing_in_the_way(table, tmp_path):
    (tmp_path / "out" / ".run").mkdir(parents=True)
    (tmp_path / "out" / ".run" / "lock").touch()
    assert execute([table], tmp_path / "out", TILED, workers=0).exit_code == 0


def test_a_report_goes_with_the_run_that_it_tells_of(table, out):
    (out / "report.html").write_text("of the run before")
    (out / "report").mkdir()
    (out / "report" / "per_image.csv").write_text("of the run before")
    execute([table], out, Settings(min_points=9, test=False), workers=0, overwrite=True)
    assert not (out / "report.html").exists() and not (out / "report").exists()


def test_a_run_is_not_replaced_while_a_worker_that_lost_its_driver_is_at_work(table, out):
    before = done_records(out)
    with (
        held(out / ".run" / "0001_field" / "link-000001.claim", wait_s=0),
        pytest.raises(OutputError, match=r"still at work \(link-000001.claim\): wait until it has ended"),
    ):
        execute([table], out, Settings(min_points=9, test=False), workers=0, overwrite=True)
    assert done_records(out) == before
    assert execute([table], out, Settings(min_points=9, test=False), workers=0, overwrite=True).exit_code == 0


def test_a_reason_that_finds_no_room_is_no_other_failure(table, tmp_path, monkeypatch):
    def full(path, text):
        raise DiskFullError(f"no room for {path}")

    with begun([tmp_path / "absent.csv", table], tmp_path / "out", TILED, resume=False, overwrite=False) as run:
        monkeypatch.setattr(rundir, "publish_text", full)
        failed = analyse(run, workers=0).failed
        run.store(run.images[1]).fail("read", 0, "why")
    assert list(failed) == ["0002_absent"] and isinstance(failed["0002_absent"], CamlError)


def test_an_input_is_not_removed_with_the_run_it_lies_in(out):
    points = out / "0001_field" / "points.parquet"
    with pytest.raises(UsageError, match="which --overwrite empties: move it"):
        execute([points], out, TILED, workers=0, overwrite=True)
    assert points.exists() and (out / "summary.json").exists()


def test_a_file_that_is_given_twice_is_not_two_images(table, tmp_path):
    again = table.parent / ".." / table.parent.name / table.name
    with pytest.raises(UsageError, match="is given 2 times: give it once"):
        execute([table, again], tmp_path / "out", TILED, workers=0)


def test_more_channels_than_can_be_are_no_image(tmp_path):
    rows = "".join(f"{i % 40 * 30},{i // 40 * 30},{i}\n" for i in range(1600))
    (tmp_path / "field.csv").write_text("x [nm],y [nm],frame\n" + rows)
    settings = Settings(columns=ColumnMap(channel="frame"), test=False)
    failed = execute([tmp_path / "field.csv"], tmp_path / "out", settings, workers=0).failed
    assert "tells more than 64 channels apart" in str(failed["0001_field"])


@pytest.mark.parametrize(("scale", "said"), [(1e100, "within 1e"), (1e-100, "spans 1e-09 nm or more")])
def test_what_cannot_be_computed_with_is_refused(tmp_path, scale, said):
    xy = np.random.default_rng(0).random((400, 2)) * 1000 * scale
    with pytest.raises(InputError, match=said):
        CAML().fit_predict(xy)
    with pytest.raises(InputError, match=said):
        analyze(xy, any_extent=True)


def test_inputs_that_moved_are_known_by_their_content(table, out, tmp_path):
    moved = tmp_path / "archive" / table.name
    moved.parent.mkdir()
    shutil.copy(table, moved)
    before = done_records(out)
    assert execute([moved], out, TILED, workers=0, resume=True).exit_code == 0
    assert done_records(out) == before
    assert rundir.Run.open(out).images[0].path == moved
    points = next(out.glob("*/points.parquet"))
    whole = points.read_bytes()
    points.unlink()  # what is made anew is read where the input lies now
    assert execute([moved], out, TILED, workers=0, resume=True).exit_code == 0
    assert points.read_bytes() == whole
    simulated_table(moved, side_nm=3000.0, seed=5)
    with pytest.raises(OutputError, match="cannot be resumed"):
        execute([moved], out, TILED, workers=0, resume=True)
