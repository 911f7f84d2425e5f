"""The declared table of formats, and what `caml-dask formats` prints of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from mutants import FORMATS
from support import open_sources

from caml_dask.cli import main
from caml_dask.io.readers.formats import READERS, taken_from_folders

# What the builders of damaged files are recognized as, where the name differs.
NAMED = {
    "ThunderSTORM csv": "ThunderSTORM",
    "ThunderSTORM xls": "ThunderSTORM",
    "semicolons": "delimited text",
    "blanks": "delimited text",
    "no header": "delimited text",
    "Parquet, plain": "Parquet",
    "simulated csv": "delimited text",
    "simulated Parquet": "Parquet",
    "Picasso": "Picasso HDF5",
    "DECODE": "DECODE HDF5",
    "N-STORM": "Nikon N-STORM",
    "rapidSTORM tracks": "rapidSTORM",
    "pyMINFLUX": "pyMINFLUX csv",
    "SMLM": "SMLM 0.2",
    "MINFLUX, flat": "MINFLUX",
    "MINFLUX mat": "MINFLUX",
    "SMAP, MATLAB 5": "SMAP",
    "gzip": "ThunderSTORM",
    "ZIP": "ThunderSTORM",
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_recognized_as_itself_whatever_its_name(tmp_path: Path, name: str) -> None:
    make, columns = FORMATS[name]
    path = tmp_path / "input"
    path.write_bytes(make())
    assert open_sources(path, columns)[0].format == NAMED.get(name, name)


def test_every_format_is_declared_and_tried_with_damaged_files() -> None:
    names = [reader.name for reader in READERS]
    assert len(set(names)) == len(names)
    assert set(names) - {NAMED.get(name, name) for name in FORMATS} == {".gz and .zip"}
    for reader in READERS:
        assert (reader.begins is None) == (reader.opens is None), reader.name
        assert reader.recognized and reader.reads and reader.units and reader.export, reader.name
        example = reader.example.split()[0]
        assert example.endswith(reader.endings) or reader.name == ".gz and .zip", reader.name


def test_the_command_lists_and_explains_them() -> None:
    listed = CliRunner().invoke(main, ["formats"])
    assert listed.exit_code == 0
    lines = listed.output.splitlines()
    for reader, line in zip(READERS, lines, strict=False):
        assert line.startswith(reader.name) and f"caml-dask run {reader.example} -o results" in line
    one = CliRunner().invoke(main, ["formats", "picasso"])
    assert "Pixelsize" in one.output and "a .yaml of the same name" in one.output and one.exit_code == 0
    none = CliRunner().invoke(main, ["formats", "nothing"])
    assert none.exit_code == 2 and "no format 'nothing'; there are ThunderSTORM" in none.output


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("cell.csv", True), ("CELL.HDF5", True), ("a_sml.mat", True), ("cell.csv.gz", True), ("cell.smlm", True),
        ("calibration.mat", False), ("notes.txt", False), ("cell.yaml", False), ("cells.zip", False), ("a.gz", False),
    ],
)  # fmt: skip
def test_files_are_taken_from_folders_by_their_endings(name: str, taken: bool) -> None:
    assert taken_from_folders(name) == taken
