"""`caml_dask.describe` and `caml-dask describe`: what they return and write, under any tiling, and what they refuse."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from caml_dask import describe
from caml_dask.cli import main
from caml_dask.describing import image as of_image
from caml_dask.describing import session
from caml_dask.describing.tables import DESCRIPTION
from caml_dask.errors import InputError, UsageError
from caml_dask.schema import arrow_schema
from caml_dask.stages import read

REGIONS = "x=0..2600,y=0..4000;x=3000..4000,y=200..3600"


@pytest.fixture(scope="module")
def table():
    """Clusters and others on 16 um2, with frames, rows that are left out, and repeated coordinates."""
    rng = np.random.default_rng(11)
    centers = rng.uniform(0, 4000, (40, 2))
    points = np.concatenate(
        [np.repeat(centers, 12, axis=0) + rng.normal(0, 30, (480, 2)), rng.uniform(0, 4000, (400, 2))]
    )
    points[10], points[20], points[30] = points[11], [np.nan, 5.0], [5.0, np.inf]
    frame = rng.integers(0, 100, len(points))
    return pd.DataFrame({"x [nm]": points[:, 0], "y [nm]": points[:, 1], "frame": frame})


@pytest.fixture(scope="module")
def file(table, tmp_path_factory):
    path = tmp_path_factory.mktemp("inputs") / "cell.csv"
    table.to_csv(path, index=False)
    return path


@pytest.fixture(autouse=True)
def fewer_rings(monkeypatch):
    monkeypatch.setattr(of_image, "RINGS", 50)


def call(*arguments):
    return CliRunner().invoke(main, ["describe", *map(str, arguments), "--threads", "1"])


def files_of(out):
    return {path.name: path.read_bytes() for path in out.glob("0001_*/*")}


def test_tiles_threads_and_order_change_no_bit(table):
    whole = describe(table, simulations=19, roi=REGIONS, n_jobs=1)
    assert whole.curves["region"].unique().tolist() == ["rectangle 0", "rectangle 1"]
    shuffled = table.sample(frac=1, random_state=3)
    for data, size, jobs in ((table, 100, 1), (shuffled, 37, 2), (shuffled, None, 1)):
        other = describe(data, simulations=19, roi=REGIONS, n_jobs=jobs, max_localizations=size)
        pd.testing.assert_frame_equal(whole.curves, other.curves, check_exact=True)
        assert whole.summary == other.summary
    another = describe(table, simulations=19, roi=REGIONS, seed=1)
    assert another.curves["k_nm2"].equals(whole.curves["k_nm2"])
    assert not another.curves["l_minus_r_low_nm"].equals(whole.curves["l_minus_r_low_nm"])


def test_clusters_are_beyond_randomness_at_their_scale(table):
    found = describe(table)
    region = found.summary["regions"][0]
    assert region["region"] == "convex hull" and region["most_nm"] == 500
    assert region["l_minus_r"]["p_value"] == region["nearest_neighbor_share"]["p_value_squared"] == 0.01
    assert 60 <= region["at_r_nm"] <= 150  # of discs with a radius of gyration of 42 nm
    assert [warning.split(":")[0] for warning in found.summary["warnings"]] == ["rows-left-out", "repeated-coordinates"]
    assert "L(r) - r at most" in repr(found) and "p 0.01" in repr(found)


def test_a_lattice_is_more_regular_than_randomness():
    x, y = np.meshgrid(np.arange(30) * 100.0, np.arange(30) * 100.0)
    found = describe(np.column_stack([x.ravel(), y.ravel()]), any_extent=True)
    row = found.curves.iloc[8]
    assert (row["r_nm"], row["pairs"], row["k_nm2"], row["nearest_neighbor_share"]) == (90.0, 0, 0.0, 0.0)
    assert row["l_minus_r_nm"] == -90 < row["l_minus_r_global_low_nm"]
    assert found.summary["regions"][0]["l_minus_r"]["p_value"] == 0.01


def test_only_what_is_asked_for_is_described(table):
    kept = table[(table["frame"] < 50) & (table["x [nm]"] <= 2600)]
    one = describe(table, simulations=0, where="frame < 50", roi="x=0..2600,y=0..4000")
    other = describe(kept, simulations=0, roi="x=0..2600,y=0..4000")
    pd.testing.assert_frame_equal(one.curves, other.curves, check_exact=True)
    assert one.summary["dropped_where"] == int((table["frame"] >= 50).sum()) - int(
        table["frame"].iloc[[20, 30]].ge(50).sum()
    )
    assert one.curves["l_minus_r_low_nm"].isna().all() and one.summary["regions"][0]["l_minus_r"] is None


def test_merged_detections_are_described_once(table):
    repeated = pd.concat([table.assign(frame=frame) for frame in (0, 1)])
    found = describe(repeated, simulations=0, merge="0.001nm,2frames")
    assert found.summary["regions"][0]["localizations"] == len(table) - 3
    assert found.summary["rows"] == 2 * len(table)


def test_the_command_writes_what_python_finds(table, file, tmp_path):
    done = call(file, "-o", tmp_path / "out", "--simulations", 19, "--roi", REGIONS)
    assert done.exit_code == 0, done.output
    assert "0001_cell: rectangle 0: " in done.output
    expected = describe(table, simulations=19, roi=REGIONS)
    folder = tmp_path / "out" / "0001_cell"
    found = pq.read_table(folder / "describe.parquet")
    assert list(found.schema.remove_metadata()) == list(arrow_schema(DESCRIPTION).remove_metadata())
    assert found.schema.field("k_nm2").metadata[b"meaning"].startswith(b"Ripley's K")
    pd.testing.assert_frame_equal(found.to_pandas(), expected.curves, check_exact=True)
    pd.testing.assert_frame_equal(pd.read_csv(folder / "describe.csv"), expected.curves, check_dtype=False)
    expected.draw(tmp_path / "drawn.png", "cell.csv")
    assert (folder / "describe.png").read_bytes() == (tmp_path / "drawn.png").read_bytes()
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["simulations"] == 19 and summary["images"][0]["status"] == "done"
    assert json.loads(json.dumps(expected.summary)).items() <= summary["images"][0].items()
    assert sorted(path.name for path in (tmp_path / "out" / ".describe").iterdir()) == ["images.json", "lock"]


def test_chunks_of_the_file_change_no_byte(file, tmp_path, monkeypatch):
    options = ("--simulations", 19, "--cell-mask", "auto")
    assert call(file, "-o", tmp_path / "one", *options).exit_code == 0
    monkeypatch.setattr(read, "CHUNK_ROWS", 90)
    assert call(file, "-o", tmp_path / "other", *options, "--max-localizations", 70).exit_code == 0
    assert len(files_of(tmp_path / "one")) == 3 and files_of(tmp_path / "one") == files_of(tmp_path / "other")


def test_a_directory_is_not_written_over_unasked(file, tmp_path, monkeypatch):
    out, options = tmp_path / "out", ("--simulations", 0)
    monkeypatch.setattr(session, "publish_text", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert call(file, "-o", out, *options).exit_code == 130
    monkeypatch.undo()
    assert not (out / "summary.json").exists()
    assert call(file, "-o", out, *options).exit_code == 0  # an interrupted call is done again
    refused = call(file, "-o", out, *options)
    assert refused.exit_code == 2 and "use --overwrite" in refused.output
    (out / "0001_cell" / "mine.txt").write_text("kept")
    assert call(file, "-o", out, *options, "--overwrite").exit_code == 0
    assert (out / "0001_cell" / "mine.txt").read_text() == "kept"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("")
    assert "holds other files" in call(file, "-o", tmp_path / "other").output
    (tmp_path / "run" / ".run").mkdir(parents=True)
    assert "another command" in call(file, "-o", tmp_path / "run").output
    in_folder = CliRunner().invoke(main, ["run", str(out), "-o", str(tmp_path / "results")])
    assert in_folder.exit_code == 2 and "holds results of caml-dask" in in_folder.output


def test_an_image_that_fails_leaves_the_others(file, tmp_path):
    (tmp_path / "few.csv").write_text("x [nm],y [nm]\n" + "\n".join(f"{i * 100},{i * i}" for i in range(9)) + "\n")
    done = call(file, tmp_path / "few.csv", "-o", tmp_path / "out", "--simulations", 0)
    assert done.exit_code == 3
    assert re.search(
        r"0002_few: failed: .*few\.csv: a region needs 10 localizations to be described; .*'convex hull' 9", done.output
    )
    assert call(tmp_path / "few.csv", "-o", tmp_path / "none").exit_code == 4
    assert [i["status"] for i in json.loads((tmp_path / "out" / "summary.json").read_text())["images"]] == [
        "done",
        "failed",
    ]


def test_without_matplotlib_there_is_no_picture(file, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("caml_dask.extras._installed", lambda _: False)
    assert call(file, "-o", tmp_path / "out", "--simulations", 0).exit_code == 0
    assert sorted(files_of(tmp_path / "out")) == ["describe.csv", "describe.parquet"]


def some(n, axes=2):
    return np.random.default_rng(0).uniform(0, 3000, (n, axes))


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        (some(50, 3), {}, "3 coordinates a localization"),
        (some(1), {}, "needs 10 localizations"),
        (np.column_stack([np.arange(50) * 50.0, np.zeros(50)]), {}, "lie on a line"),
        (some(50), {"most_nm": 2000.0}, "more than half of the shorter side"),
        (some(50), {"roi": "x=0..800,y=0..600;x=900..940,y=0..50"}, "there are in 'rectangle 0' "),
        (some(50), {"roi": "x=9000..9100,y=0..100"}, "no localization lies in the regions"),
    ],
)
def test_inputs_that_cannot_be_described_are_refused(data, settings, message):
    with pytest.raises(InputError, match=re.escape(message)):
        describe(data, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"simulations": 5}, "--simulations 5: give 19 to 100,000"),
        ({"most_nm": -1.0}, "--most-nm -1.0: a distance is above 0"),
        ({"seed": -1}, "--seed -1"),
        ({"network": "XPILJZ"}, "unknown setting 'network'"),
        ({"roi": "no/such/file.roi"}, "there is no such file"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        describe(some(50), **settings)


def test_a_region_with_few_localizations_is_left_out_by_name():
    found = describe(some(200), simulations=0, roi="x=0..2000,y=0..3000;x=2990..3000,y=0..100")
    assert found.curves["region"].unique().tolist() == ["rectangle 0"] and not found.curves["region_id"].any()
    assert found.summary["warnings"][0].startswith("too-few-localizations: region 'rectangle 1'")


def test_warnings_are_those_that_the_documentation_lists():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "warnings.md").read_text()
    uneven = np.concatenate([some(600), np.add(some(30), (3000, 0))])
    found = describe(uneven, simulations=19, most_nm=700, roi="x=0..6000,y=0..3000;x=7000..9900,y=0..2900")
    identifiers = [text.partition(": ")[0] for text in found.summary["warnings"]]
    assert identifiers == ["too-few-localizations", "scale-beyond-range"]
    for identifier in (*identifiers, "rows-left-out", "repeated-coordinates", "hull-mostly-empty", "no-cell-outline"):
        assert f"`{identifier}`" in page


def test_an_empty_hull_is_not_described():
    rng = np.random.default_rng(2)
    cells = np.concatenate([rng.uniform(0, 1500, (1500, 2)), rng.uniform(8500, 10_000, (1500, 2))])
    found = describe(cells, simulations=19)
    region = found.summary["regions"][0]
    assert region["region"] == "occupied" and 4 < region["area_um2"] < 6
    assert found.summary["warnings"][0].startswith("hull-mostly-empty")
    assert abs(region["largest_l_minus_r_nm"]) < 20
