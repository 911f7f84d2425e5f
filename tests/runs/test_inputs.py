"""What a command may be given as inputs: files, folders, patterns, misspelt names, unreadable files, links."""

from __future__ import annotations

import itertools
import logging
import os
import random
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from support import result_tables, same

from caml_dask import open_run
from caml_dask.cli import main
from caml_dask.errors import UsageError
from caml_dask.runs.inputs import in_order, inputs_of


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder, the one that relative paths start from."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(*names: str) -> None:
    """Files of these names."""
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def found(*names: str) -> list[str]:
    return [path.as_posix() for path in inputs_of([Path(name) for name in names])]


def run(*arguments: object, out: str = "out"):
    return CliRunner().invoke(main, ["run", *map(str, arguments), "-o", out, "-j", "0", "--no-test"])


def test_a_folder_means_its_tables(here, caplog):
    made("data/b.csv", "data/a.CSV", "data/deep/er/c.parquet", "data/d.tsv", "data/e.xls", "data/f.pq")
    made("data/.hidden.csv", "data/.cache/g.csv", "data/cell-protocol.txt", "data/notes.txt", "data/picture.png")
    made(
        "data/results/.run/manifest.json",
        "data/results/0001_a/clusters.csv",
        "data/night/.screen/x",
        "data/night/a.csv",
    )
    with caplog.at_level(logging.INFO):
        assert found("data") == [
            *("data/a.CSV", "data/b.csv", "data/d.tsv", "data/e.xls", "data/f.pq"),
            "data/deep/er/c.parquet",
        ]
    assert "data: 6 files" in caplog.text
    assert "data: 3 other files left out (.txt, .png); give their names or a pattern to take them" in caplog.text


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("data/*.csv", ["data/a.csv", "data/b[1].csv"]),
        ("data/?.*", ["data/a.csv", "data/a.txt"]),
        ("data/[ab]*.csv", ["data/a.csv", "data/b[1].csv"]),
        ("data/b[1].csv", ["data/b[1].csv"]),  # a file of this name is no pattern
        ("**/*.csv", ["data/a.csv", "data/b[1].csv", "data/deep/er/c.csv"]),
        ("data/**/c.csv", ["data/deep/er/c.csv"]),
        ("data/**/er/*.csv", ["data/deep/er/c.csv"]),
        ("data/**", ["data/a.csv", "data/a.txt", "data/b[1].csv", "data/deep/er/c.csv"]),
        ("*/*/*/*.csv", ["data/deep/er/c.csv"]),
        ("data/out/*/points.csv", ["data/out/0001_a/points.csv"]),  # asked for by its name
        ("./d*/a.csv", ["d1/a.csv", "data/a.csv"]),
    ],
)
def test_a_pattern_means_the_files_that_match(here, pattern, expected):
    made("data/a.csv", "data/b[1].csv", "data/a.txt", "data/deep/er/c.csv", "data/.h.csv", "d1/a.csv", ".g/a.csv")
    made("data/out/.run/lock", "data/out/images.csv", "data/out/0001_a/points.csv")
    wanted = [*expected, *(["d1/a.csv"] if pattern == "**/*.csv" else [])]
    assert sorted(found(pattern)) == sorted(wanted)
    assert sorted(found(str(here / pattern))) == sorted(str(here / name) for name in wanted)


def test_a_home_in_quotes_is_found(here, monkeypatch):
    made("home/data/a.csv")
    monkeypatch.setenv("HOME", str(here / "home"))
    assert found("~/data/*.csv") == found("~/data") == [str(here / "home/data/a.csv")]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["cel_a.csv"], r"there is no file or folder cel_a\.csv \(did you mean cell_a\.csv\?\): correct the name$"),
        (
            ["data/cell.csv", "dta/x.csv"],
            r"data/cell\.csv \(did you mean .*\); .* dta/x\.csv \(did you mean data\?\): correct the names",
        ),
        (["cell_a.csv", "zzz.csv"], r"no file or folder zzz\.csv: correct"),
        ([*"bcdefgh"], "; and 2 more: correct the names"),
        (["*.cvs"], r"'\*\.cvs' matches no file"),
        (["empty"], r"empty holds no file that ends in \.csv, \.xls, \.hdf5, _sml\.mat, \.h5, \.smlm, "),
        (["results"], r"results holds results of caml-dask: .* 'results/\*/points\.parquet'"),
        (["x" * 5000 + ".csv"], "there is no file or folder xxx"),
        (["/" + "y" * 300 + "/a.csv"], "there is no file or folder /yyy"),
    ],
)
def test_what_is_misspelt_is_refused_before_anything_is_written(here, given, said):
    made("cell_a.csv", "data/cell_b.csv", "empty/notes.txt", "results/.run/manifest.json", "results/images.csv")
    with pytest.raises(UsageError, match=said):
        inputs_of([Path(name) for name in given])
    for command in (["run"], ["plan"]):
        refused = CliRunner().invoke(main, [*command, *given, "-o", "out"])
        assert refused.exit_code == 2 and "Traceback" not in refused.output
    assert not Path("out").exists()


def test_the_corrected_command_runs(here, table):
    shutil.copy(table, "field.csv")
    assert run("feild.csv").exit_code == 2
    assert run("field.csv").exit_code == 0


def broken(kind: str, table: Path) -> None:
    """A file that exists and cannot be read as one."""
    if kind == "damaged":
        Path("b.csv").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9)
    elif kind == "empty":
        Path("b.csv").touch()
    elif kind == "a link to nothing":
        Path("b.csv").symlink_to("nowhere.csv")
    elif kind == "a link to itself":
        Path("b.csv").symlink_to("b.csv")
    elif kind == "a pipe":
        os.mkfifo("b.csv")
    else:
        shutil.copy(table, "b.csv")
        Path("b.csv").chmod(0)


@pytest.mark.parametrize("kind", ["damaged", "empty", "a link to nothing", "a link to itself", "a pipe", "forbidden"])
@pytest.mark.parametrize("inputs", [["a.csv", "b.csv"], ["."], ["*.csv"]], ids=["names", "a folder", "a pattern"])
def test_one_unreadable_file_fails_by_name_and_the_others_are_done(here, table, kind, inputs):
    if kind == "forbidden" and os.geteuid() == 0:
        pytest.skip("root may read every file")
    shutil.copy(table, "a.csv")
    broken(kind, table)
    result = run(*inputs)
    assert result.exit_code == 3, result.output
    read_back = open_run("out")
    assert list(read_back.images) == ["0001_a"]
    assert all("b.csv" in reason for reason in read_back.failed.values())
    assert len(read_back.failed) == 1


def test_a_link_that_leads_nowhere_keeps_its_name(here):
    Path("folder").mkdir()
    Path("linked").symlink_to("folder")
    Path("folder/b.csv").symlink_to("a.csv")
    Path("folder/a.csv").symlink_to("nowhere.csv")
    for name in ("folder/b.csv", "linked/b.csv"):
        assert in_order([Path(name)]) == [Path(os.path.realpath("folder")) / "b.csv"]
    Path("folder/nowhere.csv").touch()
    assert in_order([Path("linked/b.csv")]) == [Path(os.path.realpath("folder")) / "nowhere.csv"]


def test_a_file_reached_twice_is_taken_once_and_said(here, caplog):
    made("data/a.csv", "data/deep/b.csv", "elsewhere/c.csv")
    Path("data/again.csv").symlink_to("a.csv")
    Path("data/loop").symlink_to("..")
    Path("data/self").symlink_to("self")
    Path("data/other").symlink_to("../elsewhere")
    with caplog.at_level(logging.INFO):
        found("data")
    assert "data/again.csv is the same file as data/a.csv: it is taken once" in caplog.text
    expected = {str(here / name) for name in ("data/a.csv", "data/deep/b.csv", "elsewhere/c.csv")}
    for inputs in (["data"], ["data/**/*.csv"], ["data", "data/a.csv"], ["elsewhere", "data/**"]):
        assert {os.path.realpath(path) for path in found(*inputs)} - {str(here / "data/self")} == expected
        assert len(found(*inputs)) == len({os.path.realpath(path) for path in found(*inputs)})


def test_a_file_named_twice_is_refused(here, table):
    shutil.copy(table, "a.csv")
    Path("link.csv").symlink_to("a.csv")
    for names in (["a.csv", "a.csv"], ["a.csv", "link.csv"]):
        refused = run(*names)
        assert refused.exit_code == 2 and "is given 2 times: give it once" in refused.output
    assert run(".", "a.csv").exit_code == 0
    assert list(open_run("out").images) == ["0001_a"]


def test_ids_do_not_depend_on_the_order_of_inputs(here, table):
    names = ["cell_2.csv", "cell_10.csv", "other/cell_1.csv"]
    Path("other").mkdir()
    for name in names:
        shutil.copy(table, name)
    tables = []
    for number, order in enumerate(itertools.permutations(names)):
        if number % 2:  # three of six
            assert run(*order, out=f"out{number}").exit_code == 0
            tables.append(result_tables(here / f"out{number}"))
    assert run("other", "*.csv", out="out").exit_code == 0
    assert list(open_run("out").images) == ["0001_cell_2", "0002_cell_10", "0003_cell_1"]
    assert all(same(result_tables(here / "out"), other) for other in tables)


def test_a_run_is_resumed_whatever_the_order(here, table):
    for name in ("a.csv", "b.csv"):
        shutil.copy(table, name)
    assert run("b.csv", "a.csv").exit_code == 0
    assert run("a.csv", "b.csv", "--resume").exit_code == 0
    assert list(open_run("out").images) == ["0001_a", "0002_b"]


NAMES = st.text(alphabet="aB_09-.é²٣", min_size=1, max_size=8).filter(lambda name: name.strip("."))


@given(names=st.lists(st.lists(NAMES, min_size=1, max_size=3), min_size=1, max_size=6), seed=st.integers(0, 999))
@examples(max_examples=300)
def test_the_order_is_one_of_the_paths_alone(names, seed):
    paths = [Path("/nowhere", *parts) for parts in names]
    shuffled = random.Random(seed).sample(paths, len(paths))
    assert in_order(shuffled) == in_order(paths)


def test_numbers_count_as_numbers():
    names = ["cell_1", "cell_02", "cell_2b", "cell_10", "Cell_11", "cell_a", "cell_a1"]
    assert [path.name for path in in_order([Path("/nowhere", name) for name in reversed(names)])] == names
