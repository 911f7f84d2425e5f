"""Damaged files: an InputError or a table, and never anything else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import open_sources

from caml_dask.errors import InputError
from caml_dask.params import ColumnMap

MUTANTS = 200
ROWS = 40


def thunderstorm() -> bytes:
    rows = (f"{i},{i // 3},{i * 10.5},{i * 7.25},120.5,NaN,8.5" for i in range(ROWS))
    header = '"id","frame","x [nm]","y [nm]","sigma [nm]","intensity [photon]","uncertainty_xy [nm]"'
    return "\r\n".join([header, *rows, ""]).encode()


def caml() -> bytes:
    rows = (f"{i}.5\t{i}\t{i % 4}\tclustered\t{i % 2}" for i in range(ROWS))
    return "\n".join(["x (nm)\ty (nm)\tCluster UID\tClass Label\tChannel UID", *rows]).encode()


def semicolons() -> bytes:
    rows = (f'{i},5;{i},25;"n {i}";' for i in range(ROWS))
    return "\n".join(["x [µm];y [µm];note;", *rows]).encode("latin-1")


def blanks() -> bytes:
    return "\n".join(["# x_nm y_nm frame", *(f" {i}.5  {i}.25 {i}" for i in range(ROWS))]).encode()


def parquet() -> bytes:
    sink = pa.BufferOutputStream()
    n = np.arange(ROWS)
    table = pa.table({"x_nm": n * 1.5, "y_nm": n * 2.5, "frame": n, "dye": [f"dye {i % 2}" for i in n]})
    pq.write_table(table, sink, row_group_size=16, write_page_checksum=True)
    return bytes(sink.getvalue())


def mutant(content: bytes, rng: np.random.Generator) -> bytes:
    damaged = bytearray(content)
    if rng.random() < 0.25:
        return bytes(damaged[: rng.integers(len(damaged))])
    for _ in range(rng.integers(1, 4)):
        damaged[rng.integers(len(damaged))] = rng.integers(256)
    if rng.random() < 0.25:
        at, size = rng.integers(len(damaged)), rng.integers(1, 20)
        damaged[at:at] = damaged[at : at + size]
    return bytes(damaged)


@pytest.mark.parametrize("content", [thunderstorm, caml, semicolons, blanks, parquet])
def test_damage_is_refused_or_read(tmp_path: Path, content: Callable[[], bytes]) -> None:
    rng = np.random.default_rng(20)
    path = tmp_path / "damaged"
    intact = content()
    columns = ColumnMap(channel="dye") if content is parquet else ColumnMap()
    path.write_bytes(intact)
    assert sum(t.num_rows for s in open_sources(path, columns) for t in s.tables(7)) == ROWS
    refused = 0
    for _ in range(MUTANTS):
        path.write_bytes(mutant(intact, rng))
        try:
            for source in open_sources(path, columns):
                for table in source.tables(7):
                    table.validate(full=True)
                    assert table.schema.types[:3] == [pa.uint64(), pa.float64(), pa.float64()]
        except InputError as error:
            assert error.path == path
            refused += 1
    assert MUTANTS * 0.1 < refused < MUTANTS


def test_parquet_pages_that_carry_checksums_are_verified(tmp_path: Path) -> None:
    path = tmp_path / "damaged.parquet"
    intact = parquet()
    value = np.float64(31 * 1.5).tobytes()
    at = intact.index(value)
    path.write_bytes(intact[:at] + np.float64(1e6).tobytes() + intact[at + 8 :])
    (source,) = open_sources(path)
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        list(source.tables(10))
