"""Inputs larger than memory: what is held does not grow with the file."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import open_sources

from caml_dask.io.readers import delimited


def held_at_most(path: Path, rows_in_file: int, rows: int) -> tuple[int, int]:
    """Bytes that Arrow held between tables, and Python at most, beyond what they held before."""
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        (source,) = open_sources(path)
        read = held = 0
        for table in source.tables(rows):
            read += table.num_rows
            held = max(held, pa.total_allocated_bytes() - before)
        assert read == rows_in_file
        return held, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_one_parquet_row_group(tmp_path: Path) -> None:
    n = 1_000_000
    rng = np.random.default_rng(3)
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({name: rng.random(n) for name in ("x_nm", "y_nm", "a", "b", "c", "d")}),
        path,
        row_group_size=n,
        use_dictionary=False,
    )
    assert path.stat().st_size > 48_000_000
    arrow, _ = held_at_most(path, n, 10_000)
    assert arrow < 24_000_000


def test_delimited_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    n = 300_000
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1 << 16)
    path = tmp_path / "a.csv"
    path.write_text("x_nm,y_nm,frame,note\n" + "".join(f"{i}.125,{i}.25,{i},text\n" for i in range(n)))
    assert path.stat().st_size > 8_000_000
    arrow, python = held_at_most(path, n, 1000)
    assert arrow < 1_000_000
    assert python < 3_000_000
