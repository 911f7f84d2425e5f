"""Parquet tables: columns by name or by map, whatever the types, in row groups of any size."""

from __future__ import annotations

import math
import pickle
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import open_sources

from caml_dask.errors import InputError
from caml_dask.io.readers import arrays, parquet, parquet_sizes
from caml_dask.io.readers.sources import read_localizations
from caml_dask.settings import ColumnMap


def write(tmp_path: Path, columns: dict[str, object], **options: object) -> Path:
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table(columns), path, **options)
    return path


def test_names_that_carry_their_unit(tmp_path: Path) -> None:
    columns = {
        "photons": [1, 2],
        "x_um": [1.5, None],
        "y_nm": pa.array([2, 3], pa.int16()),
        "z_nm": [0.0, -5.0],
    }
    (source,) = open_sources(write(tmp_path, columns))
    (table,) = source.tables(10)
    assert (source.format, source.has_z) == ("Parquet", True)
    assert table.schema.names == ["loc_id", "x_nm", "y_nm", "z_nm", "photons", "x_um", "input_y_nm", "input_z_nm"]
    assert table.schema.types[1:5] == [pa.float64()] * 3 + [pa.int64()]
    x_nm = table["x_nm"].to_pylist()
    assert x_nm[0] == 1500.0 and math.isnan(x_nm[1])
    assert table["y_nm"].to_pylist() == [2.0, 3.0]
    assert table["input_y_nm"].type == pa.int16()


def test_a_map_and_types_of_every_kind(tmp_path: Path) -> None:
    columns = {
        "a": pa.array([1.5, 2.5], pa.float32()),
        "b": [Decimal("1.25"), Decimal("2.00")],
        "kind": pa.array(["u", "v"]).dictionary_encode(),
        "list": [[1], [2, 3]],
        "when": pa.array([0, 1], pa.timestamp("ms")),
    }
    path = write(tmp_path, columns)
    with pytest.raises(InputError, match=r"no x and y column recognized; it has the columns 'a', 'b', 'kind'"):
        open_sources(path)
    table = read_localizations(path, ColumnMap(x="a", y="b", unit="px", pixel_nm=100.0))
    assert table["x_nm"].to_pylist() == [150.0, 250.0]
    assert table["y_nm"].to_pylist() == [125.0, 200.0]
    assert table["kind"].type == pa.string()
    assert table["list"].to_pylist() == [[1], [2, 3]]
    with pytest.raises(InputError, match="'when' cannot be a coordinate: it holds timestamp"):
        read_localizations(path, ColumnMap(x="a", y="when", unit="nm"))
    with pytest.raises(InputError, match=r"'kind' should be a number and is 'u' \(row 0\)"):
        read_localizations(path, ColumnMap(x="a", y="kind", unit="nm"))


def test_numbers_do_not_name_columns(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no column '1'"):
        open_sources(write(tmp_path, {"x": [1.0], "y": [1.0]}), ColumnMap(x="1", y="2", unit="nm"))


@pytest.mark.parametrize("rows", [1, 3, 10, 64, 1000])
def test_tables_do_not_follow_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(parquet_sizes, "BATCH_ROWS", 16)
    monkeypatch.setattr(parquet, "BATCH_ROWS", 16)
    n = 100
    columns = {"x_nm": [float(i) for i in range(n)], "y_nm": [0.5] * n, "n": list(range(n))}
    (source,) = open_sources(write(tmp_path, columns, row_group_size=7))
    tables = list(pickle.loads(pickle.dumps(source)).tables(rows))
    assert [t.num_rows for t in tables] == [rows] * (n // rows) + [n % rows] * (n % rows > 0)
    assert pa.concat_tables(tables)["n"].to_pylist() == list(range(n))


def test_columns_of_one_name_keep_their_own_cells(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table([[1.0], [2.0], [3], [4]], names=["x_nm", "y_nm", "n", "n"]), path)
    table = read_localizations(path)
    assert table.slice(0, 1).to_pylist()[0] == {
        **{"loc_id": 0, "x_nm": 1.0, "y_nm": 2.0},
        **{"input_x_nm": 1.0, "input_y_nm": 2.0, "n": 3, "n_2": 4},
    }


def test_channels(tmp_path: Path) -> None:
    columns = {"x_nm": [1.0, 2.0, 3.0], "y_nm": [0.0] * 3, "dye": ["red", None, "red"], "dye.a": [1, 2, 3]}
    sources = open_sources(write(tmp_path, columns), ColumnMap(channel="dye"))
    assert [s.channel for s in sources] == ["", "red"]
    assert [pa.concat_tables(s.tables(9))["x_nm"].to_pylist() for s in sources] == [[2.0], [1.0, 3.0]]


def test_no_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no localizations"):
        open_sources(write(tmp_path, {"x_nm": pa.array([], pa.float64()), "y_nm": pa.array([], pa.float64())}))


def test_a_truncated_file_and_one_that_only_has_the_name(tmp_path: Path) -> None:
    path = write(tmp_path, {"x_nm": [1.0] * 1000, "y_nm": [2.0] * 1000})
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        open_sources(path)
    path.write_bytes(b"x_nm,y_nm\n1,2\n")
    with pytest.raises(InputError, match="does not begin as Parquet"):
        open_sources(path)


def of_one_word(word: bytes | str, rows: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([word]))


@pytest.mark.parametrize(("schema", "nested"), [(True, False), (False, False), (False, True)])
def test_words_that_unpack_to_more_than_a_table_are_refused_while_little_of_them_is_held(
    tmp_path: Path, schema: bool, nested: bool
) -> None:
    """30,000 rows of 30 kB in a file of a few kB: 900 MB of text."""
    rows = 30_000
    note = of_one_word("a" * 30_000, rows)
    if nested:
        note = pa.ListArray.from_arrays(pa.array(range(rows + 1), pa.int32()), note)
    numbers = {name: pa.array(range(rows), pa.float64()) for name in ("x_nm", "y_nm")}
    path = write(tmp_path, {**numbers, "note": note}, compression="zstd", store_schema=schema)
    (source,) = open_sources(path)
    tracked = pa.proxy_memory_pool(pa.default_memory_pool())
    before = pa.default_memory_pool()
    pa.set_memory_pool(tracked)
    try:
        with pytest.raises(InputError, match=r"unpacks to .* or more, over 200 times"):
            list(source.tables(1_000_000))
    finally:
        pa.set_memory_pool(before)
    assert path.stat().st_size < 600_000
    assert tracked.max_memory() < 600_000_000


@pytest.mark.parametrize("rows", [2_000, 70_000])
def test_numbers_that_unpack_to_more_than_a_table_are_refused_by_the_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(arrays, "ALWAYS_BYTES", 100_000)
    x = [0.0] * rows
    path = write(tmp_path, {"x_nm": x, "y_nm": x})
    if 16 * rows > 200 * path.stat().st_size:
        monkeypatch.setattr(parquet, "rows_at_once", None)  # nothing is read
        with pytest.raises(InputError, match=rf"unpacks to {16 * rows:,} bytes or more"):
            open_sources(path)
    else:
        assert sum(len(table) for table in open_sources(path)[0].tables(1000)) == rows


@pytest.mark.parametrize("word", [10, 100_000])
@pytest.mark.parametrize("dictionary", [True, False])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_long_words_are_read_few_at_once(tmp_path: Path, word: int, dictionary: bool, version: str) -> None:
    texts = ["a" * word, "b" * word] * 50
    path = write(tmp_path, {"t": texts}, use_dictionary=dictionary, data_page_version=version, compression="none")
    with pq.ParquetFile(path) as file, path.open("rb") as raw:
        (column,) = (column for _, _, column in parquet_sizes._chunks(file))
        said = parquet_sizes._dictionary_bytes(column, raw)
        at_once = parquet_sizes.rows_at_once(file, raw)
    assert said == (2 * (word + 4) if dictionary else 0)
    assert at_once * word <= parquet_sizes._WORST_BYTES
    assert pq.read_table(path)["t"].to_pylist() == texts


def test_words_of_any_length_come_back_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_sizes, "_WORST_BYTES", 50_000)
    monkeypatch.setattr(parquet, "BATCH_BYTES", 20_000)
    notes = [None if i % 7 == 0 else f"{i % 13}" * (i % 300) for i in range(1000)]
    columns = {"x_nm": [float(i) for i in range(1000)], "y_nm": [1.0] * 1000, "note": notes}
    path = write(tmp_path, {**columns, "kind": pa.array(notes).dictionary_encode()})
    table = read_localizations(path)
    assert table["note"].to_pylist() == table["kind"].to_pylist() == notes
    assert table["x_nm"].to_pylist() == columns["x_nm"]
