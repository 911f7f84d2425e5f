"""Delimited text in the ways people write it, read by one engine."""

from __future__ import annotations

import csv
import io
import pickle
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import open_sources

from caml_dask.errors import InputError
from caml_dask.io.readers import delimited
from caml_dask.io.readers.dialect import HEAD_BYTES
from caml_dask.io.readers.sources import read_localizations
from caml_dask.settings import ColumnMap

MAP = ColumnMap(x="x", y="y", unit="nm")
SMALL_BLOCK = 64


def write(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "table.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def xy(table: pa.Table) -> list[tuple[float, float]]:
    return list(zip(table["x_nm"].to_pylist(), table["y_nm"].to_pylist(), strict=True))


@pytest.mark.parametrize(
    "content",
    [
        "x,y\n1.5,2\n-3,4.25\n",
        "x;y\n1.5;2\n-3;4.25\n",
        "x;y\n1,5;2\n-3;4,25\n",
        "x\ty\n1,5\t2\n-3\t4,25\n",
        "x y\n1.5 2\n-3 4.25\n",
        "  x   y \n 1.5   2 \n\t-3 \t 4.25  \n",
        "x y\n1,5 2\n-3 4,25\n",
        "x, y\n1.5, 2\n-3, 4.25\n",
        "\ufeffx,y\n1.5,2\n-3,4.25\n",
        '"x","y"\n"1.5","2"\n"-3","4.25"\n',
        "x,y,\n1.5,2,\n-3,4.25,\n",
        "x,y\n1.5,2,\n-3,4.25,\n",
        "x,y,\n1.5,2\n-3,4.25\n",
        "x;y;;;\n1,5;2;;;\n-3;4,25;;;\n",
        "\n\nx,y\n\n1.5,2\n\n-3,4.25\n\n",
        "# made by hand\nx,y\n1.5,2\n-3,4.25\n",
        "# x,y\n1.5,2\n-3,4.25\n",
        "sep=;\nx;y\n1,5;2\n-3;4,25\n",
        "sep=\t\nx\ty\n1,5\t2\n-3\t4,25\n",
        "x,y\n+1.5E0,2.\n-3e+00,42.5e-1\n",
    ],
)
def test_the_same_two_localizations(tmp_path: Path, content: str) -> None:
    table = read_localizations(write(tmp_path, content), MAP)
    assert xy(table) == [(1.5, 2.0), (-3.0, 4.25)]
    assert table.schema.names == ["loc_id", "x_nm", "y_nm", "x", "y"]


def test_thousands_separators_are_not_taken_for_a_decimal_comma(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'33,126' \(row 0\)"):
        read_localizations(write(tmp_path, "x\ty\n33,126\t1,500\n12,000\t2\n"), MAP)


def test_a_point_is_no_number_where_the_decimal_mark_is_a_comma(tmp_path: Path) -> None:
    rows = "".join(f"{i},5;{i}\n" for i in range(300))
    with pytest.raises(InputError, match=r"'1\.5' \(row 300\)"):
        read_localizations(write(tmp_path, f"x;y\n{rows}1.5;2\n"), MAP)


def test_a_file_without_a_header_is_read_by_column_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, "7,1.5,2,0\n8,-3,4.25,1\n")
    with pytest.raises(InputError, match="--columns x=1,y=2,unit=nm"):
        open_sources(path)
    with pytest.raises(InputError, match="--columns x=2,y=3,unit=nm"):
        open_sources(path, ColumnMap(x="2", y="3"))
    table = read_localizations(path, ColumnMap(x="2", y="3", unit="um"))
    assert xy(table) == [(1500.0, 2000.0), (-3000.0, 4250.0)]
    assert table.schema.names[3:] == ["column_1", "column_2", "column_3", "column_4"]
    with pytest.raises(InputError, match="no column '5'; it has no header and 4 columns"):
        open_sources(path, ColumnMap(x="2", y="5", unit="um"))


def test_empty_cells_at_the_end_of_rows_without_a_header_are_no_column(tmp_path: Path) -> None:
    table = read_localizations(write(tmp_path, "1.5,,2,\n-3,,4.25,\n"), ColumnMap(x="1", y="3", unit="nm"))
    assert xy(table) == [(1.5, 2.0), (-3.0, 4.25)]
    assert table.schema.names[3:] == ["column_1", "column_2", "column_3"]


def test_numbers_name_no_columns_where_there_is_a_header(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no column '1'; it has the columns 'x', 'y'"):
        open_sources(write(tmp_path, "x,y\n1,2\n"), ColumnMap(x="1", y="2", unit="nm"))


def test_rapidstorm_text_is_read_by_column_numbers(tmp_path: Path) -> None:
    comment = '# <localizations insequence="true">' + '<field unit="nanometer" />' * 4 + "</localizations>"
    content = f"{comment}\n9657.4 24.5 0 3\n16 17 0 2\n"
    table = read_localizations(write(tmp_path, content), ColumnMap(x="1", y="2", unit="nm"))
    assert xy(table) == [(9657.4, 24.5), (16.0, 17.0)]


def test_names_that_collide_or_repeat_or_lack(tmp_path: Path) -> None:
    content = "label,x_nm,n,n,n_2,,label,y_nm\na,1,2,3,4,5,b,6\nc,7,8,9,10,11,d,12\n"
    table = read_localizations(write(tmp_path, content))
    assert table.schema.names == [
        *("loc_id", "x_nm", "y_nm", "input_label", "input_x_nm", "n", "n_2", "n_2_2"),
        *("column_6", "input_label_2", "input_y_nm"),
    ]
    assert table["column_6"].to_pylist() == [5, 11]
    assert table["input_label_2"].to_pylist() == ["b", "d"]


def test_a_column_turns_from_integer_to_decimal_to_text_in_later_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", SMALL_BLOCK)
    rows = [f"{i},{i},1,{i},{i}," for i in range(100)]
    rows += ["100,100.5,1,0.5,0.5,", "101,101,1,7,note,", "102,102,1,8,9,late"]
    (source,) = open_sources(write(tmp_path, "x [nm],y [nm],same,decimal,text,last\n" + "\n".join(rows)))
    tables = list(source.tables(7))
    assert {str(table.schema) for table in tables} == {str(tables[0].schema)}
    table = pa.concat_tables(tables)
    types = {name: str(table.schema.field(name).type) for name in ("same", "decimal", "text", "last")}
    assert types == {"same": "int64", "decimal": "double", "text": "string", "last": "string"}
    assert table["decimal"].to_pylist() == [*map(float, range(100)), 0.5, 7.0, 8.0]
    assert table["text"].to_pylist() == [*map(str, range(100)), "0.5", "note", "9"]
    assert table["last"].to_pylist() == [""] * 102 + ["late"]


def test_a_byte_that_is_not_utf_8_in_a_late_block_makes_the_file_latin_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 1 << 12)
    rows = HEAD_BYTES // 10 + 1
    content = b"x_nm,y_nm,note\n" + b"1,2,plain\n" * rows + b"3,4,caf\xe9\n"
    table = read_localizations(write(tmp_path, content))
    assert table["note"].to_pylist() == ["plain"] * rows + ["café"]


def test_text_stays_as_it_is_written(tmp_path: Path) -> None:
    rows = ("1,2,2020-01-01,True,NA", '3,4,2020-01-02,false,"a, ""b""\nc"', "5,6,2020-01-03,,")
    table = read_localizations(write(tmp_path, "\n".join(["x_nm,y_nm,day,flag,word", *rows])))
    assert table["day"].to_pylist() == ["2020-01-01", "2020-01-02", "2020-01-03"]
    assert table["flag"].to_pylist() == ["True", "false", ""]
    assert table["word"].to_pylist() == ["NA", 'a, "b"\nc', ""]


def test_blanks_around_a_word_for_missing(tmp_path: Path) -> None:
    table = read_localizations(write(tmp_path, "x,y\n 1.5 , NA \n   ,2\n"), MAP)
    assert str(xy(table)) == "[(1.5, nan), (nan, 2.0)]"


@pytest.mark.parametrize("block", [SMALL_BLOCK, delimited.BLOCK_BYTES])
def test_rows_are_counted_over_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", block)
    good = "".join(f"{i},{i}\n" for i in range(250))
    with pytest.raises(InputError, match=r"'abc' \(row 250\)"):
        read_localizations(write(tmp_path, f"x,y\n{good}abc,1\n{good}"), MAP)
    with pytest.raises(InputError, match=r"1 cell\(s\); 2 are wanted \(row 250\)"):
        read_localizations(write(tmp_path, f"x,y\n{good}7\n{good}"), MAP)
    with pytest.raises(InputError, match=r"3 cell\(s\); 2 are wanted \(row 250\)"):
        read_localizations(write(tmp_path, f"x,y\n{good}7,8,9\n{good}"), MAP)


def test_a_quote_left_open_swallows_no_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, 'x,y,note\n1,2,a\n3,4,"b\n5,6,c\n')
    with pytest.raises(InputError, match="a quote is opened and not closed"):
        open_sources(path, MAP)
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 8)
    monkeypatch.setattr(delimited, "_LONGEST_LINE", 16)
    with pytest.raises(InputError, match="a quote left open"):
        open_sources(write(tmp_path, 'x,y,note\n1,2,a\n3,4,"b\n' + "5,6,c\n" * 20), MAP)


def test_a_header_of_another_width_than_its_rows(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="its header names 3 columns and its rows have 4 cells"):
        open_sources(write(tmp_path, "x,y,n\nrow1,1,2,3\nrow2,4,5,6\n"), MAP)


def test_a_file_that_changed_after_it_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 12)
    path = write(tmp_path, "x,y,n\n" + "1,2,3\n" * 5)
    (source,) = open_sources(path, MAP)
    write(tmp_path, "x,y,n\n" + "1,2,3\n" * 4 + "4,5,word\n")
    with pytest.raises(InputError, match="cannot be read after row 4.*word"):
        list(source.tables(10))


def test_quoted_line_ends_do_not_cut_rows(tmp_path: Path) -> None:
    rows = 120_000
    table = read_localizations(write(tmp_path, "x_nm,y_nm,note\n" + '1,2,"a\nb\n"\n' * rows))
    assert table.num_rows == rows
    assert set(table["note"].to_pylist()) == {"a\nb\n"}


def test_a_source_can_be_pickled_and_streamed_again(tmp_path: Path) -> None:
    (source,) = open_sources(write(tmp_path, "x;y\n1,5;2\n"), MAP)
    copy = pickle.loads(pickle.dumps(source))
    assert copy == source
    assert xy(next(copy.tables(1))) == xy(next(copy.tables(1))) == [(1.5, 2.0)]


finite = st.floats(-1e9, 1e9)
text = st.text(st.sampled_from("abcé µ'_-=@\"\n,;"), max_size=6).map(lambda s: f"t{s}t")


@st.composite
def tables(draw: st.DrawFn) -> dict[str, list[object]]:
    rows = draw(st.integers(1, 30))
    column = {
        "float": st.one_of(finite, st.sampled_from([float("inf"), float("-inf")])),
        "int": st.integers(-(2**63), 2**63 - 1),
        "text": text,
    }
    kinds = draw(st.lists(st.sampled_from(sorted(column)), max_size=4))
    table: dict[str, list[object]] = {}
    for name, kind in [
        ("x [nm]", "float"),
        ("y [nm]", "float"),
        *((f"{k} {i}", k) for i, k in enumerate(kinds)),
    ]:
        table[name] = draw(st.lists(column[kind], min_size=rows, max_size=rows))
    return table


def as_text(value: object, decimal: str) -> str:
    return repr(value).replace(".", decimal) if isinstance(value, float) else str(value)


@given(
    table=tables(),
    delimiter=st.sampled_from([",", ";", "\t"]),
    comma=st.booleans(),
    bom=st.booleans(),
    end=st.sampled_from(["\n", "\r\n"]),
    trailing=st.booleans(),
    block=st.integers(1, 400),
    rows=st.integers(1, 40),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_written_reads_back(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    table: dict[str, list[object]],
    delimiter: str,
    comma: bool,
    bom: bool,
    end: str,
    trailing: bool,
    block: int,
    rows: int,
) -> None:
    # repr of a float has a point or an exponent; with a comma between columns it is quoted.
    decimal = "," if comma and delimiter == ";" else "."
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=end)
    extra = [""] if trailing else []
    writer.writerow([*table, *extra])
    for row in zip(*table.values(), strict=True):
        writer.writerow([*(as_text(value, decimal) for value in row), *extra])
    path = write(tmp_path, buffer.getvalue().encode("utf-8-sig" if bom else "utf-8"))
    monkeypatch.setattr(delimited, "BLOCK_BYTES", block)
    (source,) = open_sources(path)
    parts = list(source.tables(rows))
    assert all(part.num_rows == rows for part in parts[:-1])
    assert 1 <= parts[-1].num_rows <= rows
    read = pa.concat_tables(parts)
    assert read.schema.names == ["loc_id", "x_nm", "y_nm", *table]
    assert read["loc_id"].to_pylist() == list(range(len(read)))
    assert read["x_nm"].to_pylist() == table["x [nm]"]
    assert read["y_nm"].to_pylist() == table["y [nm]"]
    for name, values in table.items():
        assert read[name].to_pylist() == values
