"""Files that are exported: whole or not at all, none over another, of a run, of a screening and in memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from exported import hand_drawn

from caml_dask import analyze, open_run, read_localizations
from caml_dask.atomic import fingerprint
from caml_dask.cli import main
from caml_dask.errors import OutputError, UnknownImageError, UsageError
from caml_dask.extras import EXTRAS
from caml_dask.io.exporters import exporter
from caml_dask.io.exporters.exporter import Options
from caml_dask.io.exporters.formats import EXPORTERS
from caml_dask.io.exporters.write import export
from caml_dask.runs.session import execute
from caml_dask.settings import Settings

ALL = [one.name for one in EXPORTERS]
PLAIN = [one.name for one in EXPORTERS if one.extra is None]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("one", EXPORTERS, ids=lambda one: one.name)
def test_a_format_says_what_it_writes(one):
    assert one.writes and one.units and one.opens and one.name == one.name.lower()
    assert one.extra is None or one.extra in EXTRAS
    assert set(one.plan(hand_drawn(), Options())) == {*one.endings}


def test_names_and_files_of_formats_differ():
    endings = [ending for one in EXPORTERS for ending in one.endings]
    assert len({*ALL}) == len(ALL) and len({*endings}) == len(endings)


def test_nothing_is_written_over_a_file(tmp_path):
    export([hand_drawn()], "csv", tmp_path, Options(), overwrite=False)
    (path,) = tmp_path.iterdir()
    path.write_text("mine")
    with pytest.raises(OutputError, match=r"_points.csv is there already: name another folder .* --overwrite"):
        export([hand_drawn()], ["thunderstorm", "csv"], tmp_path, Options(), overwrite=False)
    assert names(tmp_path) == [path.name] and path.read_text() == "mine"
    export([hand_drawn()], ["thunderstorm", "csv"], tmp_path, Options(), overwrite=True)
    assert len(names(tmp_path)) == 2 and path.read_text() != "mine"


@pytest.mark.parametrize("to", ALL)
def test_a_failure_leaves_no_file(tmp_path, to):
    """What was there stays as it was."""
    pytest.importorskip("pyogrio")
    files = export([hand_drawn()], to, tmp_path, Options(), overwrite=False)
    before = {path: fingerprint(path) for path in files}

    def broken(*_):
        raise OSError("the disk is gone")

    image = hand_drawn(points=broken, clusters=broken, outlines=broken)
    with pytest.raises(OSError, match="the disk is gone"):
        export([image], to, tmp_path, Options(), overwrite=True)
    assert {path: fingerprint(path) for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("to", "options", "error"),
    [
        (["csv", "word"], {}, "no format 'word': use one of csv, thunderstorm, picasso"),
        ([], {}, "no format is named: give one or more, such as --to csv"),
        (["csv"], {"pixel_nm": 10.0}, "csv has no pixels"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, to, options, error):
    with pytest.raises(UsageError, match=error):
        export([hand_drawn()], to, tmp_path / "new", Options(**options), overwrite=False)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan"), float("inf")])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(UsageError, match="is no size of a pixel"):
        exporter.Options(size)


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(EXTRAS, "export", ("no_such_package",))
    with pytest.raises(UsageError, match=r'--to xlsx needs the extra "export" \(no_such_package not installed\)'):
        export([hand_drawn()], ["csv", "xlsx"], tmp_path / "new", Options(), overwrite=False)
    assert not (tmp_path / "new").exists()


def test_formats_without_an_extra_need_none():
    code = (
        "import sys\n"
        "for name in ('openpyxl', 'tifffile', 'pyogrio', 'geopandas'): sys.modules[name] = None\n"
        "import tempfile; from exported import hand_drawn\n"
        "from caml_dask.io.exporters.write import export\nfrom caml_dask.io.exporters.exporter import Options\n"
        f"print(len(export([hand_drawn()], {PLAIN!r}, tempfile.mkdtemp(), Options(), False)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=TESTS)
    assert int(done.stdout) == sum(len(one.endings) for one in EXPORTERS if one.extra is None)


TESTS = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    """Two images of which one has a row without coordinates."""
    folder = tmp_path_factory.mktemp("run")
    frame = pd.read_csv(table)
    frame.loc[5, "x [nm]"] = np.nan
    frame.to_csv(folder / "other.csv", index=False)
    execute([table, folder / "other.csv"], folder / "out", Settings("XPILJZ", test=False), workers=0)
    return folder / "out"


def command(*arguments):
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


def test_a_run_is_exported_and_read_back(run, tmp_path):
    done = command(run, "--to", "csv", "--to", "thunderstorm", "--to", "picasso", "-o", tmp_path)
    assert done.exit_code == 0, done.output
    for image in open_run(run).images.values():
        points = pq.read_table(run / image.image_id / "points.parquet")
        finite = points.filter(~np.isnan(points["x_nm"].to_numpy()))
        csv, thunderstorm = (tmp_path / f"{image.image_id}_{name}.csv" for name in ("points", "thunderstorm"))
        np.testing.assert_array_equal(read_localizations(csv)["x_nm"].to_numpy(), points["x_nm"].to_numpy())
        found = read_localizations(thunderstorm)
        for name in ("loc_id", "cluster_id"):
            assert found[f"input_{name}"].to_pylist() == finite[name].to_pylist()
        for name in ("x_nm", "y_nm"):
            np.testing.assert_array_equal(found[name].to_numpy(), finite[name].to_numpy())
        assert found["frame"].to_pylist() == finite["frame"].to_pylist()
        again = read_localizations(tmp_path / f"{image.image_id}_locs.hdf5")
        assert again["group"].to_pylist() == finite["cluster_id"].to_pylist()
        np.testing.assert_allclose(again["x_nm"].to_numpy(), finite["x_nm"].to_numpy(), rtol=0, atol=1e-3)


def test_images_are_chosen_by_id_or_stem(run, tmp_path):
    opened = open_run(run)
    files = opened.export("clusters-csv", tmp_path, images=["other", opened.images[0].image_id, "other"])
    assert [path.name for path in files] == ["0002_other_clusters.csv", "0001_field_clusters.csv"]
    with pytest.raises(UnknownImageError, match="there is no image 'nothing'"):
        opened.export("clusters-csv", tmp_path, images=["nothing"])
    done = command(run, "--to", "csv", "--images", "othr", "-o", tmp_path)
    assert done.exit_code == 2 and "did you mean 0002_other?" in done.output
    assert len(names(tmp_path)) == 2


def test_the_default_folder_is_in_the_run_and_goes_with_it(table, tmp_path):
    out = tmp_path / "out"
    execute([table], out, Settings("XPILJZ", test=False), workers=0)
    assert command(out, "--to", "clusters-csv").exit_code == 0
    (out / "export" / "notes.txt").write_text("mine")
    again = command(out, "--to", "clusters-csv")
    assert again.exit_code == 2 and "is there already" in again.output
    assert command(out, "--to", "clusters-csv", "--overwrite").exit_code == 0
    execute([table], out, Settings("XPILJZ", test=False), workers=0, overwrite=True)
    assert names(out / "export") == ["notes.txt"], "what was exported is of the run that was replaced"


def test_an_altered_file_is_not_exported(table, tmp_path):
    execute([table], tmp_path / "out", Settings("XPILJZ", test=False), workers=0)
    (image,) = open_run(tmp_path / "out").images.values()
    (image.directory / "clusters.parquet").write_bytes(b"")
    done = command(tmp_path / "out", "--to", "clusters-csv", "-o", tmp_path / "files")
    assert done.exit_code == 4 and "clusters.parquet is missing or altered" in done.output
    assert names(tmp_path / "files") == []


def test_an_analysis_in_memory_is_exported_as_a_run_is(run, table, tmp_path):
    pytest.importorskip("pyogrio")
    (tmp_path / "run").mkdir()
    files = open_run(run).images["other"].export(ALL, tmp_path / "run")
    result = analyze(run.parent / "other.csv", "XPILJZ", test=False)
    mine = result.export(ALL, tmp_path / "memory", name="0002_other")
    assert [path.name for path in mine] == [path.name for path in files]
    for one, other in zip(files, mine, strict=True):
        if one.name.endswith(("thunderstorm.csv", "clusters.csv", "rois.zip")):
            assert one.read_bytes() == other.read_bytes().replace(b"in_memory", b"0002_other"), one.name
    pd.testing.assert_frame_equal(pd.read_csv(files[0]), pd.read_csv(mine[0]))
    for wrong in ("", ".hidden", "a/b"):
        with pytest.raises(UsageError, match="cannot begin the name of a file"):
            result.export("csv", tmp_path, name=wrong)


def test_help_lists_the_formats():
    text = " ".join(command("--help").output.split())
    for one in EXPORTERS:
        assert f"{one.name} {one.title}: " in text
        assert (f"Needs the extra {one.extra}." in text) or one.extra is None
