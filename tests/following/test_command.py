"""`caml-dask follow`: what it writes, that it goes on where it was, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from live_made import made_film

from caml_dask import follow, open_run
from caml_dask.cli import main
from caml_dask.errors import InputError, UsageError
from caml_dask.following import session
from caml_dask.io.readers.sources import open_source
from caml_dask.runs.inputs import inputs_of
from caml_dask.stages import read

WIDTH = 200


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    film = made_film(
        np.random.default_rng(1), windows=4, width=WIDTH, singles=8, merging=1, splitting=1, side_nm=3000.0
    )
    path = tmp_path_factory.mktemp("films") / "cell.csv"
    film.table.to_csv(path, index=False)
    return path


def call(*arguments):
    return CliRunner().invoke(main, ["follow", *map(str, arguments), "--workers", "0"])


def files_of(out):
    """Contents of what the command wrote, by name; seconds and the like are not among them."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.suffix in (".csv", ".parquet", ".png") and "windows/images.csv" not in str(path)
    }


def tables_of(out):
    """Those of them that tell of tracks; points of windows are in parts where inputs are in chunks."""
    return {name: content for name, content in files_of(out).items() if name.startswith("0001_cell/")}


@pytest.fixture(scope="module")
def clean(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("clean") / "out"
    done = call(table, "-o", out, "--time-window", WIDTH)
    assert done.exit_code == 0, done.output
    assert "0001_cell: " in done.output and "tracks of" in done.output
    return out


def test_the_command_writes_what_python_finds(clean, table):
    expected = follow(table, time_window=WIDTH)
    folder = clean / "0001_cell"
    for name, frame in (("tracks", expected.tracks), ("track_points", expected.points)):
        pd.testing.assert_frame_equal(pd.read_parquet(folder / f"{name}.parquet"), frame, check_exact=True)
        pd.testing.assert_frame_equal(pd.read_csv(folder / f"{name}.csv"), frame, check_dtype=False)
    events = pd.read_parquet(folder / "events.parquet")
    assert events.drop(columns=["tracks_from", "tracks_to"]).equals(
        expected.events.drop(columns=["tracks_from", "tracks_to"])
    )
    lists = pd.read_csv(folder / "events.csv", keep_default_na=False)["tracks_from"].str.split()
    assert [list(map(int, one)) for one in lists] == [list(one) for one in expected.events["tracks_from"]]
    windows = pd.read_csv(folder / "windows.csv")
    assert windows["image_id"].tolist() == [f"{k + 1:04d}_cell_w{k:03d}" for k in range(4)]
    summary = json.loads((clean / "summary.json").read_text())
    assert summary["least_overlap"] == 0.3 and summary["settings"]["time_step"] == WIDTH
    assert expected.summary.items() <= summary["images"][0].items()


def test_windows_are_a_run_whose_rows_lead_back_to_the_table(clean, table):
    images = open_run(clean / "windows").images
    whole, part = pd.read_csv(table), images["0002_cell_w001"].points
    rows = whole.iloc[part["input_loc_id"]]
    assert np.array_equal(rows[["x [nm]", "y [nm]", "frame"]], part[["x_nm", "y_nm", "frame"]])
    assert part["frame"].between(WIDTH, 2 * WIDTH - 1).all()


@pytest.mark.parametrize("stopped_at", ["cut", "execute", "write_followed"])
def test_what_was_stopped_is_resumed(clean, table, tmp_path, monkeypatch, stopped_at):
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(session, stopped_at, stop)
        done = call(table, "-o", tmp_path / "out", "--time-window", WIDTH)
    assert done.exit_code == 130 and "--resume" in done.output
    assert call(table, "-o", tmp_path / "out", "--time-window", WIDTH).exit_code == 2
    assert call(table, "-o", tmp_path / "out", "--time-window", WIDTH, "--resume").exit_code == 0
    assert files_of(tmp_path / "out") == files_of(clean)


def test_a_resumed_call_may_link_otherwise_and_nothing_else(table, tmp_path):
    out = tmp_path / "out"
    assert call(table, "-o", out, "--time-window", WIDTH).exit_code == 0
    before = files_of(out)
    other = call(table, "-o", out, "--time-window", 2 * WIDTH, "--resume")
    assert other.exit_code == 2 and "settings.time_window: 200 -> 400" in other.output
    assert call(table, "-o", out, "--time-window", WIDTH, "--resume", "--least-overlap", 1).exit_code == 0
    changed = {name for name, content in files_of(out).items() if content != before[name]}
    assert "0001_cell/tracks.parquet" in changed
    assert all(name.startswith("0001_cell/") for name in changed)
    assert call(table, "-o", out, "--time-window", 2 * WIDTH, "--overwrite").exit_code == 0
    assert len(pd.read_csv(out / "0001_cell" / "windows.csv")) == 2
    assert len(open_run(out / "windows").images) == 2


def test_inputs_of_many_chunks_give_the_same(clean, table, tmp_path, monkeypatch):
    monkeypatch.setattr(read, "CHUNK_ROWS", 300)
    assert call(table, "-o", tmp_path / "out", "--time-window", WIDTH).exit_code == 0
    assert tables_of(tmp_path / "out") == tables_of(clean)


def test_workers_give_the_same(clean, table, tmp_path):
    done = CliRunner().invoke(
        main, ["follow", str(table), "-o", str(tmp_path / "out"), "--time-window", str(WIDTH), "--workers", "2"]
    )
    assert done.exit_code == 0, done.output
    assert files_of(tmp_path / "out") == files_of(clean)


def test_a_table_that_cannot_be_followed_fails_by_name(table, tmp_path):
    plain = tmp_path / "without.csv"
    pd.read_csv(table).drop(columns="frame").to_csv(plain, index=False)
    done = call(table, plain, "-o", tmp_path / "out", "--time-window", WIDTH)
    assert done.exit_code == 3
    assert "failed: " in done.output and "--time-window needs the frame of each localization" in done.output
    entries = json.loads((tmp_path / "out" / "summary.json").read_text())["images"]
    assert sorted(entry["status"] for entry in entries) == ["done", "failed"]
    assert call(plain, "-o", tmp_path / "none", "--time-window", WIDTH).exit_code == 4


def test_a_file_of_a_window_that_was_damaged_is_cut_again(clean, table, tmp_path):
    out = tmp_path / "out"
    assert call(table, "-o", out, "--time-window", WIDTH).exit_code == 0
    file = out / ".follow" / "0001_cell" / "cell_w002.parquet"
    file.write_bytes(file.read_bytes()[:-100])
    assert call(table, "-o", out, "--time-window", WIDTH, "--resume").exit_code == 0
    assert files_of(out) == files_of(clean)


def test_a_window_that_fails_fails_its_table(table, tmp_path, monkeypatch):
    def without_one(path, *rest):
        if "w002" in path.name:
            raise InputError("was taken away", path)
        return open_source(path, *rest)

    monkeypatch.setattr(read, "open_source", without_one)
    done = call(table, "-o", tmp_path / "out", "--time-window", WIDTH)
    assert done.exit_code == 4 and "window 2 could not be analyzed: " in done.output


def test_drift_is_written_and_text_columns_are_no_harm(table, tmp_path):
    other = tmp_path / "other.csv"
    pd.read_csv(table).assign(photons="many").to_csv(other, index=False)
    out = tmp_path / "out"
    done = call(other, "-o", out, "--time-window", WIDTH, "--drift", "aim")
    assert done.exit_code == 0, done.output
    drift = pd.read_parquet(out / "0001_other" / "drift.parquet")
    assert len(drift) == pd.read_csv(other)["frame"].nunique()
    assert call(table, "-o", out, "--time-window", WIDTH, "--overwrite").exit_code == 0
    assert not (out / "0001_other").exists()


def test_folders_leave_out_what_was_followed(clean):
    with pytest.raises(UsageError, match="holds results of caml-dask"):
        inputs_of([clean])


def test_directories_of_others_are_refused(clean, table, tmp_path):
    assert "holds a run or a screening" in call(table, "-o", clean / "windows", "--time-window", WIDTH).output
    (tmp_path / "notes.txt").write_text("mine")
    done = call(table, "-o", tmp_path, "--time-window", WIDTH, "--overwrite")
    assert done.exit_code == 2 and "holds other files" in done.output
    assert (tmp_path / "notes.txt").read_text() == "mine"
    both = call(table, "-o", clean, "--time-window", WIDTH, "--resume", "--overwrite")
    assert both.exit_code == 2 and "give one of them" in both.output
