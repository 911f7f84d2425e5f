"""Files of real programs, where they are at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from support import SHARED, open_sources

from caml_dask.errors import InputError
from caml_dask.io.readers.sources import read_localizations
from caml_dask.settings import ColumnMap

DATA = SHARED
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="no ../shared/data beside the repository")


@pytest.mark.parametrize(("number", "rows"), [("01", 29_995), ("04", 26_087), ("08", 23_196)])
def test_real_dstorm_tables(number: str, rows: int) -> None:
    path = DATA / "real" / f"dstorm_membrane_{number}.csv"
    table = read_localizations(path)
    assert table.num_rows == rows == sum(1 for line in path.read_bytes().splitlines() if line) - 1
    cells = np.loadtxt(path, delimiter=",", skiprows=1, usecols=(1, 2, 3))
    assert np.array_equal(np.column_stack([table["x_nm"], table["y_nm"]]), cells[:, 1:])
    assert np.array_equal(table["frame"], cells[:, 0])
    (source,) = open_sources(path)
    assert source.format == "ThunderSTORM"
    assert pa.concat_tables(source.tables(777)).equals(table)


@pytest.mark.parametrize(
    ("name", "rows", "first"),
    [
        ("Thunderstorm_dstorm_data.csv", 19, (1320.109670647555, 26344.7124618434)),
        ("thunderstorm_crlf.csv", 48, (33126.7688, 33766.62828)),
    ],
)
def test_thunderstorm_samples(name: str, rows: int, first: tuple[float, float]) -> None:
    (source,) = open_sources(DATA / "formats" / name)
    (table,) = source.tables(1000)
    assert (source.format, table.num_rows) == ("ThunderSTORM", rows)
    assert (table["x_nm"][0].as_py(), table["y_nm"][0].as_py()) == first
    assert all(pa.types.is_integer(t) or pa.types.is_floating(t) for t in table.schema.types)


def test_nanoimager_sample() -> None:
    sources = open_sources(DATA / "formats" / "Nanoimager_dstorm_data.csv")
    assert [(s.channel, s.has_z) for s in sources] == [("0", False), ("1", False)]
    assert sum(t.num_rows for s in sources for t in s.tables(3)) == 14


def test_rapidstorm_sample_by_column_numbers() -> None:
    path = DATA / "formats" / "rapidSTORM_dstorm_data.txt"
    table = read_localizations(path, ColumnMap(x="1", y="2", unit="nm"))
    assert (table["x_nm"][0].as_py(), table["y_nm"][0].as_py()) == (9657.4, 24533.5)


def test_labelled_tables_need_their_unit() -> None:
    path = next((DATA / "labelled" / "nieves2023" / "ground_truth_s2").glob("*.csv"))
    with pytest.raises(InputError, match="--columns x=x,y=y,unit=nm"):
        open_sources(path)
    table = read_localizations(path, ColumnMap(x="x", y="y", unit="nm"))
    assert table["x_nm"].to_pylist() == table["x"].to_pylist()
    path = DATA / "labelled" / "dbopt2025" / "circular" / "C01.csv"
    table = read_localizations(path, ColumnMap(x="1", y="2", unit="nm"))
    assert np.array_equal(table["y_nm"], np.loadtxt(path, delimiter=",")[:, 1])


# As the option names them, where a file does not say its unit.
NEEDED = {
    "Fig1a_Tom70-Dreiklang_Minflux.mat": ColumnMap(unit="nm"),
    "npc_localizations.mat": ColumnMap(unit="nm"),
}


@pytest.mark.parametrize(
    "path",
    sorted(
        path
        for folder in ("formats", "formats/minflux", "real", "drift")
        for path in (DATA / folder).glob("*")
        if path.is_file() and path.suffix != ".yaml"
    ),
    ids=lambda path: path.name,
)
def test_every_sample_is_read(path: Path) -> None:
    columns = NEEDED.get(path.name, ColumnMap())
    if path.name == "decode_dstorm_data_empty.h5":
        with pytest.raises(InputError, match="holds no localizations"):
            open_sources(path, columns)
        return
    for source in open_sources(path, columns):
        tables = list(source.tables(1000))
        assert all(table.num_rows for table in tables)
        assert source.format != "delimited text"
