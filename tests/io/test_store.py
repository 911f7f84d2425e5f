"""Both stores serve the same tables, parts and rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caml_dask import seen
from caml_dask.errors import StoreError
from caml_dask.io import arrow_files
from caml_dask.io.store import DirectoryStore, MemoryStore


def table_of(n: int) -> pa.Table:
    return pa.table({"id": np.arange(n), "x_nm": np.arange(n) * 0.5, "word": [f"w{i % 3}" for i in range(n)]})


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> DirectoryStore:
    root = tmp_path_factory.mktemp("run")
    return DirectoryStore(root, root / "scratch", root / "out", "run")


@given(sizes=st.lists(st.integers(0, 5), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_parts(directory: DirectoryStore, sizes: list[int]) -> None:
    table, offsets = table_of(sum(sizes)), np.cumsum([0, *sizes]).tolist()
    for store in (directory, MemoryStore()):
        store.put("parted", 0, table, offsets)
        assert store.filled("parted", 0) == [i for i, size in enumerate(sizes) if size]
        assert [store.get_part("parted", 0, i).to_pylist() for i in range(len(sizes))] == [
            table[a:b].to_pylist() for a, b in zip(offsets, offsets[1:])
        ]
        assert store.get("parted", 0, ["word", "id"]).to_pylist() == table.select(["word", "id"]).to_pylist()


def test_rows(directory: DirectoryStore) -> None:
    outline = pa.array([bytes([i % 256]) * (i % 7) for i in range(1000)])
    table = table_of(1000).append_column("outline", outline)
    for store in (directory, MemoryStore()):
        store.put("rows", 0, table, ranged=True)
        for first, stop in ((0, 0), (0, 1), (17, 400), (990, 1000)):
            names = table.column_names[::-2]
            assert store.get_rows("rows", 0, slice(first, stop), names).equals(table[first:stop].select(names))


def test_a_range_of_rows_takes_no_memory_for_the_others(directory: DirectoryStore) -> None:
    table = pa.table({"id": np.arange(2000), "outline": [bytes(5000)] * 2000})
    directory.put("long", 0, table, ranged=True)
    before = pa.total_allocated_bytes()
    rows = directory.get_rows("long", 0, slice(1990, 2000), ["id", "outline"])
    assert rows["id"].to_pylist() == list(range(1990, 2000))
    assert pa.total_allocated_bytes() - before < 100_000


def test_a_table_that_is_missing_or_damaged_is_named(
    directory: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen, "_GRACE_S", 0.0)
    directory.put("damaged", 3, table_of(100), [0, 50, 100])
    path = next(Path(p) for p in directory.written if "damaged" in p.parts)
    path.write_bytes(path.read_bytes()[:200])
    for read in (directory.get, directory.filled):
        with pytest.raises(StoreError, match=f"{path.name}.*run again with --resume"):
            read("damaged", 3)
    with pytest.raises(StoreError, match="is missing"):
        directory.get("absent", 0)
    arrow_files._cache = arrow_files._Cache()
