"""`--export`: a run, a plan and a screening write finished images for other programs; a resumed one does so too."""

from __future__ import annotations

import shutil

import pytest
from click.testing import CliRunner
from support import simulated_table

from caml_dask import open_run
from caml_dask.atomic import read_json
from caml_dask.cli import main
from caml_dask.errors import UsageError
from caml_dask.executors.serial import SerialExecutor
from caml_dask.extras import EXTRAS
from caml_dask.io.exporters.formats import EXPORTERS
from caml_dask.runs.session import execute
from caml_dask.settings import Settings

FILES = ["0001_one_clusters.csv", "0001_one_points.csv", "0002_two_clusters.csv", "0002_two_points.csv"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two small images and a run of them that exported both."""
    folder = tmp_path_factory.mktemp("exporting")
    for seed, name in enumerate(("one", "two")):
        simulated_table(folder / f"{name}.csv", side_nm=2500.0, seed=seed)
    done = command("run", folder / "one.csv", folder / "two.csv", "--export", "csv, clusters-csv", out=folder / "out")
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def folder(made, tmp_path):
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


def command(name, *arguments, out, workers=True):
    given = [name, *map(str, arguments), "-o", str(out), *(["-j", "0"] if workers else [])]
    given += ["-n", "XPILJZ", "--no-test"] if name in ("run", "plan", "screen") else []
    return CliRunner().invoke(main, given)


def exported(out):
    return {path.name: path.read_bytes() for path in sorted((out / "export").iterdir())}


def test_files_are_those_of_the_command_export(made, tmp_path):
    assert list(exported(made / "out")) == FILES
    open_run(made / "out").export(["csv", "clusters-csv"], tmp_path / "export")
    assert exported(tmp_path) == exported(made / "out")


def test_resuming_writes_what_is_missing_and_leaves_the_rest(made, tmp_path):
    """The formats need not be named again; more can be."""
    out = tmp_path / "out"
    shutil.copytree(made / "out", out)
    first = exported(out)
    (out / "export" / FILES[1]).unlink()
    (out / "export" / FILES[2]).write_text("mine")
    inputs = [made / "one.csv", made / "two.csv"]
    assert command("run", *inputs, "--resume", out=out).exit_code == 0
    assert exported(out) == first | {FILES[2]: b"mine"}
    assert command("run", *inputs, "--resume", "--export", "geojson", out=out).exit_code == 0
    assert {"0001_one_outlines.geojson", *FILES} < set(exported(out))
    (out / "export" / FILES[0]).unlink()
    assert execute(inputs, out, Settings("XPILJZ", test=False), workers=0, resume=True).exit_code == 0
    assert exported(out)[FILES[0]] == first[FILES[0]]
    assert command("run", *inputs, "--overwrite", out=out).exit_code == 0
    assert exported(out) == {} and open_run(out).images, "a run that replaces another forgets its formats"


def test_a_run_that_was_stopped_exports_when_it_is_resumed(made, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    inputs, out = [made / "one.csv", made / "two.csv"], tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(SerialExecutor, "execute", stop)
        assert command("run", *inputs, "--export", "csv", "--export", "clusters-csv", out=out).exit_code == 130
    assert not (out / "export").exists()
    assert command("run", *inputs, "--resume", out=out).exit_code == 0
    assert exported(out) == exported(made / "out")


def test_a_damaged_note_is_named(made, tmp_path, caplog):
    out = tmp_path / "out"
    shutil.copytree(made / "out", out)
    (out / ".run" / "export.json").write_text("{")
    outcome = execute([made / "one.csv", made / "two.csv"], out, Settings("XPILJZ", test=False), workers=0, resume=True)
    assert outcome.exit_code == 0 and "name the formats again with --export" in caplog.text


def test_an_image_that_fails_or_cannot_be_exported_does_not_stop_the_others(folder):
    (folder / "bad.csv").write_text("frame,photons\n1,2\n")
    inputs, out = [folder / "one.csv", folder / "bad.csv", folder / "two.csv"], folder / "other"
    done = command("run", *inputs, "--export", "clusters-csv", out=out)
    assert done.exit_code == 3 and list(exported(out)) == ["0002_one_clusters.csv", "0003_two_clusters.csv"]
    shutil.rmtree(out / "export")
    (out / "export").mkdir()
    (out / "0002_one" / "clusters.parquet").chmod(0o644)
    run = open_run(out)
    (out / "0002_one" / "clusters.parquet").write_bytes(b"")
    failed = run.export_missing(["clusters-csv"])
    assert list(failed) == ["0002_one"] and "missing or altered" in failed["0002_one"]
    assert list(exported(out)) == ["0003_two_clusters.csv"]


def test_what_could_not_be_exported_is_told_with_an_exit_code(made, tmp_path, monkeypatch):
    def broken(*_):
        raise UsageError("too large for it")

    clusters = next(one for one in EXPORTERS if one.name == "clusters-csv")
    real = clusters.plan
    object.__setattr__(clusters, "plan", broken)
    try:
        done = command("run", made / "one.csv", "--export", "clusters-csv,csv", out=tmp_path / "out")
    finally:
        object.__setattr__(clusters, "plan", real)
    assert done.exit_code == 3 and "0001_one: not exported: too large for it" in done.stdout
    assert "1 of 1 images done" in done.stdout


def test_a_format_that_is_not_known_or_lacks_its_extra_is_refused_before_anything_is_written(
    made, tmp_path, monkeypatch
):
    monkeypatch.setitem(EXTRAS, "export", ("no_such_package",))
    for name, said in (("word", "no format 'word'"), ("xlsx", "--export xlsx needs the extra")):
        for verb in ("run", "plan", "screen"):
            done = command(verb, made / "one.csv", "--export", name, out=tmp_path / "out", workers=verb != "plan")
            assert done.exit_code == 2 and said in done.output, done.output
    assert not (tmp_path / "out").exists()


def test_a_planned_run_exports_when_it_is_finished(made, tmp_path):
    out = tmp_path / "out"
    planned = command(
        "plan", made / "one.csv", made / "two.csv", "--export", "csv,clusters-csv", out=out, workers=False
    )
    assert planned.exit_code == 0, planned.output
    for stage in planned.stdout.split():
        assert command("unit", stage, 0, "--of", 1, out=out, workers=False).exit_code == 0
    assert not (out / "export").exists()
    assert command("finish", out=out, workers=False).exit_code == 0
    assert exported(out) == exported(made / "out")


def test_a_screening_exports_what_is_not_there_yet(folder):
    cohort, out = folder / "cohort.csv", folder / "screening"
    cohort.write_text("path,condition,replicate\none.csv,a,1\n")
    assert command("screen", cohort, "--export", "clusters-csv", out=out).exit_code == 0
    assert list(exported(out)) == ["0001_one_clusters.csv"]
    before = (out / "export" / "0001_one_clusters.csv").stat().st_mtime_ns
    with cohort.open("a") as table:
        table.write("two.csv,b,1\n")
    assert command("screen", cohort, out=out).exit_code == 0
    assert list(exported(out)) == ["0001_one_clusters.csv"]
    assert command("screen", cohort, "--export", "clusters-csv", out=out).exit_code == 0
    assert list(exported(out)) == ["0001_one_clusters.csv", "0002_two_clusters.csv"]
    assert (out / "export" / "0001_one_clusters.csv").stat().st_mtime_ns == before
    assert read_json(out / "summary.json")["settings"]["network"] == "XPILJZ"
