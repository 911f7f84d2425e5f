"""ThunderSTORM tables, with everything the plug-in and its users are known to do to them."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow as pa
import pytest
from support import open_sources

from caml_dask.errors import InputError
from caml_dask.io.readers.sources import read_localizations
from caml_dask.settings import ColumnMap

HEADER = '"id","frame","x [nm]","y [nm]","sigma [nm]","intensity [photon]","uncertainty_xy [nm]"'
ROWS = ("1,1,100.5,200.25,120.1,900.5,8.5", "2,1,-10,20,110,800,7.5", "3,2,0.125,30,100,700,6.5")


def write(path: Path, *lines: str, end: str = "\n", encoding: str = "utf-8") -> Path:
    path.write_bytes(end.join([*lines, ""]).encode(encoding))
    return path


def xy(table: pa.Table) -> list[tuple[float, float]]:
    return list(zip(table["x_nm"].to_pylist(), table["y_nm"].to_pylist(), strict=True))


XY = [(100.5, 200.25), (-10.0, 20.0), (0.125, 30.0)]


def test_a_table_is_read_with_all_its_columns_typed(tmp_path: Path) -> None:
    table = read_localizations(write(tmp_path / "a.csv", HEADER, *ROWS))
    assert table.schema.names == [
        *("loc_id", "x_nm", "y_nm", "id", "frame", "x [nm]", "y [nm]"),
        *("sigma [nm]", "intensity [photon]", "uncertainty_xy [nm]"),
    ]
    assert table.schema.types[:6] == [
        *(pa.uint64(), pa.float64(), pa.float64()),
        *(pa.int64(), pa.int64(), pa.float64()),
    ]
    assert xy(table) == XY
    assert table["loc_id"].to_pylist() == [0, 1, 2]
    assert table["frame"].to_pylist() == [1, 1, 2]
    assert table["uncertainty_xy [nm]"].to_pylist() == [8.5, 7.5, 6.5]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(tmp_path: Path, end: str) -> None:
    table = read_localizations(write(tmp_path / "a.csv", HEADER, *ROWS, end=end))
    assert xy(table) == XY
    assert table["uncertainty_xy [nm]"].type == pa.float64()


def test_a_last_row_without_a_line_end_is_a_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join([HEADER, *ROWS]))
    assert xy(read_localizations(path)) == XY


def test_an_xls_file_is_tab_separated_text(tmp_path: Path) -> None:
    lines = [line.replace(",", "\t") for line in (HEADER, *ROWS)]
    (source,) = open_sources(write(tmp_path / "a.xls", *lines))
    assert source.format == "ThunderSTORM"
    assert xy(pa.concat_tables(source.tables(2))) == XY


def test_a_header_quoted_once_more_as_one_cell(tmp_path: Path) -> None:
    wrapped = '"' + HEADER.replace('"id"', "id").replace('"', '""') + '"'
    (source,) = open_sources(write(tmp_path / "a.csv", wrapped, *ROWS))
    assert source.own_columns[:3] == ("id", "frame", "x [nm]")
    assert xy(pa.concat_tables(source.tables(10))) == XY


def test_id_and_frame_may_be_floats(tmp_path: Path) -> None:
    rows = ("1.0,2001.0,1,2,3,4,5", "2.0,2002.0,1,2,3,4,5")
    table = read_localizations(write(tmp_path / "a.csv", HEADER, *rows))
    assert table["frame"].type == pa.float64()
    assert table["frame"].to_pylist() == [2001.0, 2002.0]


def test_nan_and_infinity_are_kept_as_such(tmp_path: Path) -> None:
    rows = ("1,1,NaN,1,NaN,1,1", "2,1,Infinity,2,1,-Infinity,1", "3,1,-Infinity,3,1,1,1", "4,1,,4,,1,1")
    table = read_localizations(write(tmp_path / "a.csv", HEADER, *rows))
    x_nm = table["x_nm"].to_pylist()
    assert math.isnan(x_nm[0]) and x_nm[1:3] == [math.inf, -math.inf] and math.isnan(x_nm[3])
    assert table["x_nm"].null_count == 0
    assert table["y_nm"].to_pylist() == [1.0, 2.0, 3.0, 4.0]
    sigma = table["sigma [nm]"].to_pylist()
    assert math.isnan(sigma[0]) and sigma[3] is None
    assert table["intensity [photon]"].to_pylist()[1] == -math.inf


def test_old_files_name_the_uncertainty_differently(tmp_path: Path) -> None:
    (source,) = open_sources(write(tmp_path / "a.csv", HEADER.replace("uncertainty_xy", "uncertainty"), *ROWS))
    assert source.format == "ThunderSTORM"
    assert source.own_columns[-1] == "uncertainty [nm]"


@pytest.mark.parametrize(("unit", "factor"), [("um", 1000.0), ("µm", 1000.0), ("\u03bcm", 1000.0), ("nm", 1.0)])
def test_the_unit_is_the_headers(tmp_path: Path, unit: str, factor: float) -> None:
    header = HEADER.replace("x [nm]", f"x [{unit}]").replace("y [nm]", f"y [{unit}]")
    header = header.replace("[photon]", "[ADU]")
    table = read_localizations(write(tmp_path / "a.csv", header, *ROWS))
    assert xy(table) == [(x * factor, y * factor) for x, y in XY]


def test_a_latin_1_header(tmp_path: Path) -> None:
    header = HEADER.replace("x [nm]", "x [µm]").replace("y [nm]", "y [µm]")
    table = read_localizations(write(tmp_path / "a.csv", header, *ROWS, encoding="latin-1"))
    assert xy(table) == [(x * 1000, y * 1000) for x, y in XY]
    assert "x [µm]" in table.schema.names


def test_pixels_need_their_size(tmp_path: Path) -> None:
    header = HEADER.replace("x [nm]", "x [px]").replace("y [nm]", "y [px]")
    path = write(tmp_path / "a.csv", header, *ROWS)
    with pytest.raises(InputError, match=r"'x \[px\]' is in pixels.*--columns pixel_nm=160"):
        open_sources(path)
    table = read_localizations(path, ColumnMap(pixel_nm=160.0))
    assert xy(table) == [(x * 160, y * 160) for x, y in XY]


def test_each_axis_has_its_own_unit(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", '"id","frame","x [px]","y [um]","z [nm]"', "1,1,2,3,-400", "2,1,2,3,400")
    table = read_localizations(path, ColumnMap(pixel_nm=100.0))
    assert table.select(["x_nm", "y_nm", "z_nm"]).slice(0, 1).to_pylist() == [
        {"x_nm": 200.0, "y_nm": 3000.0, "z_nm": -400.0}
    ]


def test_three_dimensions(tmp_path: Path) -> None:
    header = '"id","frame","x [nm]","y [nm]","z [nm]","sigma1 [nm]","sigma2 [nm]","uncertainty_z [nm]"'
    header += ',"detections"'
    path = write(tmp_path / "a.csv", header, "1,1,1,2,3,4,5,6,1", "2,1,1,2,-3,4,5,6,2")
    (source,) = open_sources(path)
    assert source.has_z
    (table,) = source.tables(5)
    assert table["z_nm"].to_pylist() == [3.0, -3.0]
    assert table["detections"].to_pylist() == [1, 2]


@pytest.mark.parametrize("content", ["", "\n\n", HEADER, HEADER + "\n", HEADER + "\r\n\r\n"])
def test_no_localizations_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content.encode())
    with pytest.raises(InputError, match="no localizations|holds no table"):
        open_sources(path)


def test_a_coordinate_that_is_text_is_named_with_its_row(tmp_path: Path) -> None:
    rows = [*ROWS, "4,2,abc,30,100,700,6.5", "5,2,1,30,100,700,6.5"]
    with pytest.raises(InputError, match=r"a\.csv: 'x \[nm\]' should be a number and is 'abc' \(row 3\)") as caught:
        read_localizations(write(tmp_path / "a.csv", HEADER, *rows))
    assert caught.value.row == 3


def test_a_ragged_row_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a row has 3 cell\(s\); 7 are wanted \(row 2\)"):
        open_sources(write(tmp_path / "a.csv", HEADER, *ROWS[:2], "3,2,5", ROWS[2]))
