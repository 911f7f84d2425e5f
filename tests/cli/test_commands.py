"""The command as its users meet it: good input, bad input, and what it says about each."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from support import result_tables, same, simulated_table

from caml_dask import open_run, read_localizations
from caml_dask.atomic import publish_json, read_json
from caml_dask.cli import main


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return simulated_table(tmp_path_factory.mktemp("input") / "cell a.csv", side_nm=3000.0)


@pytest.fixture
def command(tmp_path):
    def call(*arguments, out="out"):
        arguments = ["run", *map(str, arguments), "--out", str(tmp_path / out), "--workers", "0", "--no-test"]
        return CliRunner().invoke(main, arguments)

    return call


def test_a_good_table(command, table, tmp_path):
    result = command(table)
    assert result.exit_code == 0
    assert "1 of 1 images done" in result.stdout and "% clustered" in result.stdout
    image = tmp_path / "out" / "0001_cell_a"
    names = ["clusters.csv", "clusters.parquet", "outlines.parquet", "overview.png", "points.parquet"]
    assert sorted(p.name for p in image.iterdir()) == names
    points = pq.read_table(image / "points.parquet")
    assert points.column_names == [
        *("loc_id", "x_nm", "y_nm", "p_clustered", "label", "cluster_id", "window_saturated"),
        *("id", "frame", "x [nm]", "y [nm]"),
    ]
    assert np.array_equal(points["id"].to_numpy(), np.arange(len(points)))
    geo = json.loads(pq.read_schema(image / "outlines.parquet").metadata[b"geo"])
    assert geo["columns"]["geometry"]["crs"] is None
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    entry = summary["images"][0]
    assert entry["area_defined_by"] == "convex hull of the localizations"
    assert entry["clusters_per_um2"] == pytest.approx(entry["clusters"] / entry["area_um2"])
    assert entry["percent_clustered"] == pytest.approx(100 * entry["in_clusters"] / len(points))
    assert {"median", "q25", "q75", "n"} == set(entry["medians"]["area_nm2"])
    assert summary["digest"] and summary["versions"]["numpy"] and entry["seconds"]["vote"] > 0


def test_area_and_columns_are_taken_from_the_options(command, tmp_path):
    xy = np.random.default_rng(0).uniform(0, 20, (400, 2))
    pq.write_table(pa.table({"a": xy[:, 0], "b": xy[:, 1], "label": ["own"] * 400}), tmp_path / "f.parquet")
    result = command(tmp_path / "f.parquet", "--columns", "x=a,y=b,unit=um", "--area-um2", "250")
    assert result.exit_code == 0, result.output
    points = pq.read_table(tmp_path / "out" / "0001_f" / "points.parquet")
    assert np.array_equal(points["x_nm"].to_numpy(), xy[:, 0] * 1000)
    assert points["input_label"].to_pylist() == ["own"] * 400
    entry = json.loads((tmp_path / "out" / "summary.json").read_text())["images"][0]
    assert (entry["area_um2"], entry["area_defined_by"]) == (250.0, "given")


def rows(n, x="x [nm]", y="y [nm]", extra="", factor=1, offset=0):
    xy = (np.random.default_rng(1).uniform(0, 5000, (n, 2)) * factor + offset).round(1).tolist()
    return f'"{x}","{y}"\n' + "\n".join(f"{a},{b}" for a, b in xy) + "\n" + extra


@pytest.mark.parametrize(
    ("content", "options", "exit_code", "said"),
    [
        ("a,b\n1,2\n", [], 4, "no x and y column recognized"),
        (rows(200, "x [furlong]", "y [furlong]"), [], 4, "unit"),
        (rows(200, "x", "y"), [], 4, "--columns x=x,y=y,unit=nm"),
        (rows(200, "x [px]", "y [px]"), [], 4, "pixel_nm=160"),
        (rows(200), ["--columns", "x=X,y=Y,unit=nm"], 4, "no column 'X'"),
        (rows(200), ["--columns", "x=x,unit=parsec"], 2, "names only one of x and y"),
        (rows(200), ["--columns", "unit=parsec"], 2, "unknown unit 'parsec'"),
        (rows(200), ["--columns", "nonsense"], 2, "cannot use 'nonsense'"),
        (rows(200), ["--network", "GPT"], 2, "unknown network 'GPT': use one of XPILJZ"),
        (rows(200), ["--save-features"], 2, "field-2d sees no window whose distances could be stored"),
        (rows(200), ["--area-um2", "-1"], 2, "positive area"),
        (rows(200), ["--max-localizations", "0"], 2, "a tile holds at least 1"),
        (rows(200), ["--resume", "--overwrite"], 2, "give one of them"),
        (rows(200, extra="nan,3\n"), ["--nonfinite", "refuse"], 4, "(row 200)"),
        (rows(200, extra="zwölf,3\n"), [], 4, "zwölf"),
        ("", [], 4, "empty"),
        ('"x [nm]","y [nm]"\n', [], 4, "has a header and no localizations"),
        (rows(1), [], 4, "field-2d needs 30 localizations; there are 1: no network takes so small a field"),
        (rows(200, factor=0.01), [], 4, "fields span 500 to 3,000,000 nm"),
        (rows(200, factor=1000), [], 4, "accept them with --any-extent"),
        (rows(200, offset=1e9), [], 4, "from the origin"),
        (rows(200, factor=8 / 160), [], 4, "fields span 500 to 3,000,000 nm"),  # 40 um in pixels of 160 nm
        (rows(200, factor=8 / 100), [], 4, "are these pixels or um?"),
        (rows(200, factor=8 * 100), [], 4, "--any-extent"),
        (rows(200, factor=8 * 160), [], 4, "--any-extent"),
        (rows(2), [], 4, "there are 2: no network takes so small a field"),
        (rows(99), ["--network", "XPILJZ"], 4, "XPILJZ needs 101 localizations; there are 99"),
        (rows(29, extra="nan,3\ninf,4\n"), [], 4, "there are 29"),
        (rows(100), ["--network", "XPILJZ"], 4, "XPILJZ needs 101 localizations; there are 100"),
        (rows(200) + "1,2,3\n", [], 4, "(row 200)"),
    ],
)
def test_bad_input_says_what_to_do(command, tmp_path, content, options, exit_code, said):
    (tmp_path / "table.csv").write_text(content)
    result = command(tmp_path / "table.csv", *options)
    assert result.exit_code == exit_code, result.output
    assert said in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(("n", "network"), [(101, "XPILJZ"), (102, "XPILJZ"), (30, "field-2d")])
def test_as_few_as_the_network_needs(command, tmp_path, n, network):
    (tmp_path / "table.csv").write_text(rows(n))
    assert command(tmp_path / "table.csv", "--network", network).exit_code == 0
    assert len(pq.read_table(tmp_path / "out" / "0001_table" / "points.parquet")) == n


def test_3d_is_refused_by_a_2d_network(command, tmp_path):
    xyz = np.random.default_rng(0).uniform(1, 999, (200, 3))
    np.savetxt(tmp_path / "t.csv", xyz, delimiter=",", header="x [nm],y [nm],z [nm]", comments="")
    result = command(tmp_path / "t.csv")
    assert result.exit_code == 4
    assert "has 3 coordinates a localization; field-2d takes 2" in result.output and "--columns" in result.output
    assert command(tmp_path / "t.csv", "--columns", "x=x [nm],y=y [nm]", out="flat").exit_code == 0


def test_nan_rows_are_counted_and_kept(command, tmp_path):
    (tmp_path / "table.csv").write_text(rows(300, extra="NaN,3\n5,Infinity\n"))
    result = command(tmp_path / "table.csv")
    assert result.exit_code == 0 and "2 rows have NaN or infinite coordinates" in result.output
    points = pq.read_table(tmp_path / "out" / "0001_table" / "points.parquet")
    assert len(points) == 302 and points["label"].null_count == 2


@pytest.mark.parametrize("points", ["one place", "a line", "pairs"])
def test_degenerate_fields_are_analysed(command, tmp_path, points):
    n = 150
    xy = {"one place": [(5, 5)] * n, "a line": [(i, 7) for i in range(n)], "pairs": [(i // 2 * 9, 1) for i in range(n)]}
    text = "\n".join(f"{x},{y}" for x, y in xy[points])
    (tmp_path / "table.csv").write_text(f'"x [nm]","y [nm]"\n{text}\n')
    result = command(tmp_path / "table.csv", "--any-extent")
    assert result.exit_code == 0, result.output
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())["images"][0]
    assert summary["localizations"] == n
    assert summary["clusters_per_um2"] is None and "span no area" in result.output


def test_an_unreadable_file_among_good_ones(command, table, tmp_path):
    (tmp_path / "bad.csv").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9)
    (tmp_path / "gone.csv").symlink_to("absent.csv")
    result = command(tmp_path / "bad.csv", table, tmp_path / "gone.csv")
    assert result.exit_code == 3
    assert re.search(r"000\d_bad: failed:", result.output)
    assert "gone.csv: is a link to absent.csv, which does not exist" in result.output
    (image,) = (tmp_path / "out").glob("000?_cell_a")
    assert (image / "points.parquet").exists()


def test_a_directory_that_holds_something_is_refused(command, table, tmp_path):
    assert command(table).exit_code == 0
    again = command(table)
    assert again.exit_code == 2 and "--resume" in again.output and "--overwrite" in again.output
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for options in ([], ["--resume"], ["--overwrite"]):
        taken = command(table, *options, out="mine")
        assert taken.exit_code == 2 and "not empty (notes.txt)" in taken.output
        assert [p.name for p in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    (tmp_path / "file").write_text("mine")
    assert command(table, out="file").exit_code == 2


def test_names_of_files_cannot_leave_the_output_directory(command, tmp_path):
    nasty = tmp_path / "..;rm -rf ~$(x)\n=cmd.csv"
    nasty.write_text(rows(150))
    result = command(nasty)
    assert result.exit_code == 0, result.output
    made = [p.name for p in (tmp_path / "out").iterdir() if p.is_dir() and p.name != ".run"]
    assert made == ["0001_rm_-rf_x_cmd"]


@pytest.mark.parametrize("given", [("gs://bucket/a.csv", "out"), ("cell.csv", "gs://bucket/out")])
def test_urls_are_no_folders(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(main, ["run", given[0], "--out", given[1]])
    assert found.exit_code == 2 and "mount the store" in " ".join(found.output.split())
    assert list(tmp_path.iterdir()) == []


def test_names_of_files_cannot_command_the_terminal(table, tmp_path):
    """In a process of its own, whose lines of the log are seen too."""
    named = tmp_path / "a\x1b]0;title\x07b.csv"
    named.write_text("nonsense")
    call = [sys.executable, "-m", "caml_dask", "run", str(named), str(table), "-o", str(tmp_path / "out"), "-j", "0"]
    for command in (call, [*call, "--resume"], [sys.executable, "-m", "caml_dask", "run", str(named) + "x", "-o", "x"]):
        done = subprocess.run([*command, "--no-test"], capture_output=True, text=True, check=False)
        assert done.returncode in (2, 3) and "\\x1b]0;title\\x07b.csv" in done.stdout + done.stderr
        assert "\x1b" not in done.stdout + done.stderr and "\x07" not in done.stdout + done.stderr


@pytest.mark.parametrize("channel", ["../../up", "/etc/passwd", "a" * 4000, "", "..", "=cmd"])
def test_names_of_channels_cannot_either(command, tmp_path, channel):
    lines = rows(150).splitlines()[1:]
    text = "\n".join(["x_nm,y_nm,dye", *(f"{line},{dye}" for dye in (channel, "b") for line in lines)]) + "\n"
    (tmp_path / "in.csv").write_text(text)
    before = set(tmp_path.parent.iterdir())
    result = command(tmp_path / "in.csv", "--columns", "x=x_nm,y=y_nm,unit=nm,channel=dye")
    assert result.exit_code == 0, result.output
    made = [p.name for p in (tmp_path / "out").iterdir() if p.is_dir() and p.name != ".run"]
    assert len(made) == 2 and all(re.fullmatch(r"000[12]_in_ch[A-Za-z0-9_-]{1,20}", name) for name in made)
    assert {p.name for p in tmp_path.iterdir()} == {"in.csv", "out"} and set(tmp_path.parent.iterdir()) == before


def test_inputs_named_with_dots_links_and_long_paths(command, table, tmp_path):
    """Whatever the path that leads to it, an image is named after its file, and what is written stays under --out."""
    deep = tmp_path.joinpath(*["d" * 200] * 15)
    deep.mkdir(parents=True)
    (deep / ("n" * 240 + ".csv")).symlink_to(table)
    (tmp_path / "link.csv").symlink_to(table)
    dotted = deep / ".." / ".." / "d" / ".." / ".." / "link.csv"
    for path, exit_code in (((deep / ("n" * 240 + ".csv")), 0), (tmp_path / "link.csv", 0), (dotted, 2)):
        result = command(path, out=f"out{len(path.parts)}")
        assert result.exit_code == exit_code, result.output
        out = tmp_path / f"out{len(path.parts)}"
        assert out.exists() == (exit_code == 0)
        assert all(len(p.name) <= 65 for p in out.glob("*"))
        assert all(p.resolve().is_relative_to(out.resolve()) for p in out.rglob("*"))
    too_long = command("x" * 4096 + ".csv", out="long")
    assert too_long.exit_code == 2 and "Traceback" not in too_long.output and "defect" not in too_long.output


@pytest.mark.parametrize("out", ["o" * 4096, "o" * 300])
def test_an_output_directory_that_cannot_be_made_is_refused(command, table, out):
    result = command(table, out=out)
    assert result.exit_code in (2, 4) and "File name too long" in result.output


def test_an_image_directory_that_is_a_link_is_not_followed(command, table, tmp_path):
    """Overwriting removes what a run made, never what a link in its place leads to."""
    command(table)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "notes.txt").write_text("mine")
    image = tmp_path / "out" / "0001_cell_a"
    shutil.rmtree(image)
    image.symlink_to(precious)
    refused = command(table, "--resume")
    assert refused.exit_code == 4 and "is a link, which a run does not follow" in refused.output
    assert command(table, "--overwrite").exit_code == 0
    assert (image / "points.parquet").exists() and not image.is_symlink()
    assert [p.name for p in precious.iterdir()] == ["notes.txt"]


def test_channels_are_images(command, tmp_path):
    lines = ["x (nm)\ty (nm)\tCluster UID\tClass Label\tChannel UID"]
    xy = np.random.default_rng(0).uniform(0, 3000, (400, 2)).round(1).tolist()
    lines += [f"{x}\t{y}\t0\t0\t{1 + i % 2}" for i, (x, y) in enumerate(xy)]
    (tmp_path / "two.tsv").write_text("\n".join(lines) + "\n")
    result = command(tmp_path / "two.tsv")
    assert result.exit_code == 0, result.output
    for channel in ("1", "2"):
        points = pq.read_table(tmp_path / "out" / f"000{channel}_two_ch{channel}" / "points.parquet")
        assert len(points) == 200 and set(map(str, points["Channel UID"].to_pylist())) == {channel}
        assert points["loc_id"].to_pylist() == list(range(int(channel) - 1, 400, 2))
        assert points["x_nm"].to_pylist() == [xy[i][0] for i in points["loc_id"].to_pylist()]


def test_a_defect_shows_no_traceback_unless_debugging(command, table, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("a defect")

    monkeypatch.setattr("caml_dask.runs.session.execute", broken)
    result = command(table)
    assert result.exit_code == 4 and "run with --debug" in result.output and "Traceback" not in result.output


def test_networks_are_listed_with_their_figures():
    shown = CliRunner().invoke(main, ["networks"])
    assert shown.exit_code == 0
    assert "XPILJZ (dense-100): 2D, 100 neighbors" in shown.stdout
    assert "held-out simulated fields" in shown.stdout and "repeated detections" in shown.stdout


def test_the_other_network_runs_on_any_tiling(command, table, tmp_path):
    for out, size in (("one", 1_000_000), ("many", 300)):
        assert command(table, "--network", "07VEJJ", "--max-localizations", size, out=out).exit_code == 0
    one, many = (pq.read_table(tmp_path / out / "0001_cell_a" / "points.parquet") for out in ("one", "many"))
    assert many.equals(one)


def test_version():
    assert CliRunner().invoke(main, ["--version"]).exit_code == 0


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_help_ends_with_examples_that_can_be_parsed(name):
    shown = CliRunner().invoke(main, [name, "-h"])
    assert shown.exit_code == 0
    calls = [line.strip() for line in shown.output.split("Examples:")[1].splitlines() if "caml-dask" in line]
    assert len(calls) >= (3 if name in ("run", "doctor", "screen", "report") else 1)
    for call in calls:
        words = shlex.split(call.split(" >")[0])
        assert words[:2] == ["caml-dask", name]
        main.commands[name].make_context(name, words[2:])  # an option that is not known ends it


def test_short_options_are_the_long_ones(table, tmp_path):
    call = [
        "run",
        str(table),
        "-o",
        str(tmp_path / "short"),
        "-j",
        "0",
        "-n",
        "07VEJJ",
        "--min-points",
        "18",
        "--no-test",
    ]
    assert CliRunner().invoke(main, call).exit_code == 0
    words = [
        "--out",
        str(tmp_path / "long"),
        "--workers",
        "0",
        "--network",
        "07VEJJ",
        "--min-points",
        "18",
        "--no-test",
    ]
    assert CliRunner().invoke(main, ["run", str(table), *words]).exit_code == 0
    assert same(result_tables(tmp_path / "short"), result_tables(tmp_path / "long"))
    clusters = pq.read_table(tmp_path / "short" / "0001_cell_a" / "clusters.parquet")
    assert 0 < clusters["n_localizations"].to_numpy().min() >= 18
    refused = CliRunner().invoke(main, ["run", str(table), "-o", str(tmp_path / "none"), "--min-points", "0"])
    assert refused.exit_code == 2 and not (tmp_path / "none").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_and_options(shell, tmp_path):
    script = CliRunner().invoke(main, ["completion", shell])
    assert script.exit_code == 0 and "_CAML_DASK_COMPLETE" in script.output
    asked = {"COMP_WORDS": "caml-dask run --netw", "COMP_CWORD": "--netw" if shell == "fish" else "2"}
    environment = {**os.environ, **asked, "_CAML_DASK_COMPLETE": f"{shell}_complete"}
    code = "from caml_dask.cli import main; main(prog_name='caml-dask')"
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "--network" in told.stdout and "--workers" not in told.stdout


@pytest.mark.parametrize("out", ["run:1", "a b", "file:x", "#1?%20", "été'\"*[x]", "s3:out"])
def test_names_of_all_kinds_are_written_and_read(out, tmp_path, monkeypatch):
    """Of the results' folder and of the input; by relative paths, in which Arrow would see URIs."""
    monkeypatch.chdir(tmp_path)
    for source in (f"{out}.csv", f"{out}.parquet"):
        xy = np.random.default_rng(0).uniform(0, 3000, (400, 2))
        if source.endswith("csv"):
            np.savetxt(source, xy, "%.1f", ",", header="x [nm],y [nm]", comments="")
        else:
            pq.write_table(pa.table({"x_nm": xy[:, 0], "y_nm": xy[:, 1]}), str(tmp_path / source))
    call = [
        "run",
        f"{out}.csv",
        f"{out}.parquet",
        "-o",
        out,
        "-j",
        "0",
        "--max-localizations",
        "150",
        "--network",
        "XPILJZ",
        "--save-features",
        "--no-test",
    ]
    result = CliRunner().invoke(main, call)
    assert result.exit_code == 0, result.output
    for image in open_run(out).images.values():
        assert len(image.points) == sum(len(batch) for batch in image.points_in_batches(100)) == 400
        assert len(image.clusters) == len(image.outlines) == image.summary["clusters"]
        assert (image.directory / "features.zarr").is_dir()
    assert len(read_localizations(f"{out}.parquet")) == len(read_localizations(f"{out}.csv")) == 400
    (tmp_path / "cohort.csv").write_text(
        "path,condition,replicate\n" + "".join(f'"{name}",a,1\n' for name in (f"{out}.csv".replace('"', '""'),))
    )
    reported = CliRunner().invoke(main, ["report", out, "--cohort", "cohort.csv"])
    assert reported.exit_code == 0 and "2 images" in reported.output and " 0 failed" in reported.output


def test_demo_tells_where_to_look_and_spares_other_runs(command, table, tmp_path):
    command(table)
    refused = CliRunner().invoke(main, ["demo", "--out", str(tmp_path / "out"), "--workers", "0"])
    assert refused.exit_code == 2 and "holds a run of other inputs" in refused.output
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "draft.txt").touch()
    refused = CliRunner().invoke(main, ["demo", "--out", str(tmp_path / "thesis"), "--workers", "0"])
    assert refused.exit_code == 2 and "is not empty (draft.txt)" in refused.output
    assert not (tmp_path / "thesis_input").exists()
    for _ in range(2):
        shown = CliRunner().invoke(main, ["demo", "--out", str(tmp_path / "demo"), "--workers", "0"])
        assert shown.exit_code == 0, shown.output
        assert "labels right" in shown.stdout
        for name in ("overview.png", "points.parquet"):
            assert str(tmp_path / "demo" / "0001_simulated_cell" / name) in shown.stdout
            assert (tmp_path / "demo" / "0001_simulated_cell" / name).exists()


def test_a_manifest_that_points_elsewhere_is_not_followed(command, table, tmp_path):
    command(table)
    (tmp_path / "precious").mkdir()
    manifest = tmp_path / "out" / ".run" / "manifest.json"
    publish_json(manifest, json.loads(json.dumps(read_json(manifest)).replace("0001_cell_a", "../precious")))
    command(table, "--overwrite")
    assert (tmp_path / "precious").exists()


@pytest.mark.parametrize(
    ("network", "scenario", "said"),
    [
        ("GAXJPR", "slab-z100-p40-r50-c40-d60", "median volume"),
        ("3TXKFS", "fiber-f50-p40-r40-c50-d20", "median area"),
        ("87B144", "uniform-p40-r50-c50-d5", "median area"),
    ],
)
def test_every_other_network_runs_on_what_fits_it(command, tmp_path, network, scenario, said):
    simulated = CliRunner().invoke(main, ["simulate", scenario, "--out", str(tmp_path / "in"), "--workers", "0"])
    assert simulated.exit_code == 0, simulated.output
    result = command(*(tmp_path / "in").iterdir(), "--network", network)
    assert result.exit_code == 0, result.output
    assert said in result.stdout
    (image,) = (tmp_path / "out").glob("0001_*")
    points = pq.read_table(image / "points.parquet").to_pandas()
    right = (points["label"] == points["true_class"]).mean()
    assert right > 0.9
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())["images"][0]
    assert summary["clusters"] == len(pq.read_table(image / "clusters.parquet"))
    if network == "3TXKFS":
        assert sum(found["clusters"] for found in summary["by_class"].values()) == summary["clusters"]
        assert {"p_non", "p_round", "p_fiber"} <= set(points.columns)
    if network == "GAXJPR":
        assert summary["medians"]["volume_nm3"]["median"] > 0
