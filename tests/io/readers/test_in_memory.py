"""What holds localizations in memory: files by their paths, arrays, tables of any library; and what does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from caml_dask import analyze, read_localizations
from caml_dask.errors import InputError, UsageError
from caml_dask.io.readers.in_memory import as_localizations
from caml_dask.settings import ColumnMap


@pytest.fixture(scope="module")
def frame():
    xy = np.random.default_rng(3).uniform(0, 3000, (150, 2))
    return pd.DataFrame({"x [nm]": xy[:, 0], "y [nm]": xy[:, 1], "dye": ["a", "b", "c"] * 50})


class Streamed:
    """A table that shows nothing but its stream."""

    def __init__(self, table: pa.Table):
        self._table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


class LikePolars(Streamed):
    """And these, which pandas has too, with another meaning."""

    columns = ("x [nm]", "y [nm]", "dye")
    dtypes = ("Float64", "Float64", "String")


class Interchanged:
    """A table that shows nothing but the interchange protocol."""

    def __init__(self, frame: pd.DataFrame):
        self._table = pa.Table.from_pandas(frame, preserve_index=False)

    def __dataframe__(self, nan_as_null=False, allow_copy=True):
        return self._table.__dataframe__(nan_as_null, allow_copy)


def in_views(table: pa.Table) -> pa.Table:
    """Text as polars has it."""
    return table.set_column(2, "dye", table["dye"].cast(pa.string()).cast(pa.string_view()))


@pytest.mark.parametrize(
    "made",
    [
        lambda frame: pa.Table.from_pandas(frame),
        lambda frame: pa.Table.from_pandas(frame).to_batches()[0],
        lambda frame: pa.Table.from_pandas(frame).to_reader(),
        lambda frame: Streamed(pa.Table.from_pandas(frame)),
        lambda frame: LikePolars(in_views(pa.Table.from_pandas(frame))),
        Interchanged,
    ],
    ids=["Arrow", "a batch", "a reader", "a stream", "like polars", "interchange"],
)
def test_a_table_of_any_library_gives_what_pandas_gives(frame, made):
    expected, found = analyze(frame, test=False), analyze(made(frame), test=False)
    assert found.points.drop(columns="dye").equals(expected.points.drop(columns="dye"))
    assert found.points["dye"].tolist() == frame["dye"].tolist()


def test_polars(frame):
    polars = pytest.importorskip("polars")
    found = analyze(polars.from_pandas(frame), test=False)
    assert found.points["cluster_id"].equals(analyze(frame, test=False).points["cluster_id"])


def test_a_path_is_read(frame, tmp_path, monkeypatch):
    frame.to_csv(tmp_path / "cell.csv", index=False)
    expected = analyze(read_localizations(tmp_path / "cell.csv"), test=False).points["cluster_id"]
    monkeypatch.chdir(tmp_path)
    for path in ("cell.csv", Path("cell.csv")):
        assert analyze(path, test=False).points["cluster_id"].equals(expected)
    pq.write_table(pa.table({"X": frame["x [nm]"] / 1000, "Y": frame["y [nm]"] / 1000}), "um.parquet")
    assert np.allclose(analyze("um.parquet", columns="x=X,y=Y,unit=um", test=False).points["x_nm"], frame["x [nm]"])
    with pytest.raises(InputError, match=r"cel\.csv: there is no such file"):
        analyze("cel.csv")


def test_a_file_of_several_channels_is_no_image(tmp_path):
    (tmp_path / "two.tsv").write_text("x (nm)\ty (nm)\tChannel UID\n1\t2\t0\n3\t4\t1\n")
    with pytest.raises(
        InputError, match=r"holds 2 channels \('0', '1'\), each an image of its own: read it with read_loc"
    ):
        analyze(tmp_path / "two.tsv")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "localizations of type NoneType came: give the path of a file, an"),
        (5, "of type int came"),
        ([["a", "b"]], "of type list came"),
        ({"x": [1]}, "type dict came with names of columns: make it a table, pandas.DataFrame"),
        (np.zeros(3, dtype=[("x", "f4")]), "type ndarray came with names of columns"),
        (np.zeros(2), r"an array of shape \(2,\) came; wanted \(n, 2\) or \(n, 3\), in nm"),
        (pd.Series([1.0, 2.0]), "this Series cannot be taken over as an Arrow table"),
        (Streamed(pa.chunked_array([[1.0]])), "this Streamed cannot be taken over as an Arrow table"),
    ],
)
def test_what_is_no_localizations_is_refused_by_its_type(data, said):
    with pytest.raises(UsageError, match=said):
        as_localizations(data, ColumnMap())
