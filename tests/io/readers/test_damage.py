"""Damaged files: an InputError or a table, and never anything else; tests/faults/mutants.py tries a thousand each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mutants import FORMATS, parquet, try_format
from support import open_sources

from caml_dask.errors import InputError

MUTANTS = 40
CHECKED = ("SMLM", "MATLAB", "Feather", "gzip", "ZIP")
"""Formats whose packed contents are checked: at times every mutant of them is refused."""


@pytest.mark.parametrize("name", FORMATS)
def test_damage_is_refused_or_read(name: str) -> None:
    tried = try_format(name, MUTANTS)
    assert tried["faults"] == []
    assert MUTANTS * 0.1 < tried["refused"] <= MUTANTS - (name not in CHECKED)
    assert tried["rows_of_the_intact_file"] >= 40


def test_text_that_is_no_utf_8_in_a_parquet_file_without_checksums(tmp_path: Path) -> None:
    path = tmp_path / "words.parquet"
    table = pa.table({"x_nm": np.arange(3.0), "y_nm": np.arange(3.0), "word": ["one", "tw\u00f8", "three"]})
    pq.write_table(table, path, compression=None, use_dictionary=False, write_statistics=False)
    path.write_bytes(path.read_bytes().replace("tw\u00f8".encode(), b"tw\xff\xff"))
    (source,) = open_sources(path)
    with pytest.raises(InputError, match="cannot be read as Parquet: .*UTF8"):
        list(source.tables(10))


def test_parquet_pages_that_carry_checksums_are_verified(tmp_path: Path) -> None:
    path = tmp_path / "damaged.parquet"
    intact = parquet()
    value = np.float64(31 * 1.5).tobytes()
    at = intact.index(value)
    path.write_bytes(intact[:at] + np.float64(1e6).tobytes() + intact[at + 8 :])
    (source,) = open_sources(path)
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        list(source.tables(10))
