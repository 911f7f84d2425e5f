"""What all formats share: units in headers, column maps, channels, tables of exact size, refusals."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import open_sources

from caml_dask.errors import InputError, UsageError
from caml_dask.io.readers import delimited, sources
from caml_dask.io.readers.headers import label_and_unit
from caml_dask.io.readers.sources import MAX_CHANNELS, open_source, read_localizations, rechunk
from caml_dask.settings import ColumnMap

CAML_HEADER = "x (nm)\ty (nm)\tCluster UID\tClass Label\tChannel UID"


def write(tmp_path: Path, content: str | bytes, name: str = "table.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "label", "unit"),
    [
        ("x [nm]", "x", "nm"),
        ("X (nm)", "x", "nm"),
        ("x[nm]", "x", "nm"),
        ("x_nm", "x", "nm"),
        ("X_NM", "x", "nm"),
        ("xnm", "x", "nm"),
        ("x_um", "x", "um"),
        ("x [µm]", "x", "um"),
        ("x (microns)", "x", "um"),
        ("x [m]", "x", "m"),
        ("x_px", "x", "px"),
        ("x (pixels)", "x", "px"),
        ("Position X [nm]", "position x", "nm"),
        ("x", "x", None),
        ("x_m", "x_m", None),
        ("x [corrected]", "x", None),
        ("xpm", "xpm", None),
    ],
)
def test_units_in_names(name: str, label: str, unit: str | None) -> None:
    assert label_and_unit(name) == (label, unit)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("x,y,index", "--columns x=x,y=y,unit=nm "),
        ("X,Y", "--columns x=X,y=Y,unit=nm "),
        ("x,y [nm]", "--columns x=x,y=y [nm],unit=nm "),
        ("x [furlong],y [furlong]", "--columns x=x [furlong],y=y [furlong],unit=nm "),
        (
            "x_nm,y_nm,z",
            "--columns x=x_nm,y=y_nm,z=z,unit=nm (or um, mm, m, or px with pixel_nm=), or leave z out",
        ),
        ("x_nm,y_nm,z", "leave z out with --columns x=x_nm,y=y_nm"),
        ("a,b", "it has the columns 'a', 'b'. Say which they are with --columns x=...,y=...,unit=nm"),
        ("x_nm,x [nm],y", "'x_nm', 'x [nm]' may all be x: name one with --columns"),
        ("x_nm,x_nm,y_nm", "2 columns are called 'x_nm': rename all but one"),
        ("x [px],y [px]", "'x [px]' is in pixels: say how large one is, such as --columns pixel_nm=160"),
    ],
)
def test_what_is_not_sure_is_refused_with_the_option_to_add(tmp_path: Path, header: str, expected: str) -> None:
    path = write(tmp_path, header + "\n" + ",".join("1" * (header.count(",") + 1)) + "\n")
    with pytest.raises(InputError) as caught:
        open_sources(path)
    assert expected in str(caught.value)


def one_row(path: Path, columns: ColumnMap) -> tuple[float, ...]:
    (source,) = open_sources(path, columns)
    (table,) = source.tables(5)
    return tuple(table[name][0].as_py() for name in ("x_nm", "y_nm", "z_nm") if name in table.schema.names)


def test_maps(tmp_path: Path) -> None:
    path = write(tmp_path, "x,y,z,a [um],b [um],c_px,d_px,h [nm]\n1,2,3,4,5,6,7,8\n")
    assert one_row(path, ColumnMap(x="x", y="y", unit="um")) == (1000.0, 2000.0)
    assert one_row(path, ColumnMap(x="y", y="x", z="z", unit="nm")) == (2.0, 1.0, 3.0)
    assert one_row(path, ColumnMap(unit="mm")) == (1e6, 2e6, 3e6)
    assert one_row(path, ColumnMap(x="a [um]", y="b [um]")) == (4000.0, 5000.0)
    assert one_row(path, ColumnMap(x="x", y="y", z="h [nm]", unit="px", pixel_nm=100.0)) == (
        100.0,
        200.0,
        8.0,
    )
    assert one_row(path, ColumnMap(x="c_px", y="d_px", pixel_nm=10.0)) == (60.0, 70.0)
    with pytest.raises(InputError, match=r"add pixel_nm|--columns x=c_px,y=d_px,pixel_nm=160"):
        open_sources(path, ColumnMap(x="c_px", y="d_px"))
    with pytest.raises(InputError, match="--columns x=x,y=y,unit=nm"):
        open_sources(path, ColumnMap(x="x", y="y"))
    with pytest.raises(InputError, match=r"the header of 'a \[um\]' says um and --columns says unit=nm"):
        open_sources(path, ColumnMap(x="a [um]", y="b [um]", unit="nm"))
    with pytest.raises(InputError, match="one column cannot hold two coordinates"):
        open_sources(path, ColumnMap(x="x", y="x", unit="nm"))
    with pytest.raises(InputError, match="no column 'q'; it has the columns 'x', 'y', 'z', 'a"):
        open_sources(path, ColumnMap(x="q", y="y", unit="nm"))


def test_a_map_without_z_drops_z(tmp_path: Path) -> None:
    path = write(tmp_path, "x_nm,y_nm,z_nm\n1,2,3\n")
    assert one_row(path, ColumnMap()) == (1.0, 2.0, 3.0)
    assert one_row(path, ColumnMap(x="x_nm", y="y_nm")) == (1.0, 2.0)


def test_a_z_of_zeros_is_two_dimensional_unless_the_map_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 32)
    flat = write(tmp_path, "x_nm,y_nm,z_nm\n" + "1,2,0.000\n" * 20)
    assert not open_sources(flat)[0].has_z
    assert open_sources(flat, ColumnMap(x="x_nm", y="y_nm", z="z_nm"))[0].has_z
    assert open_sources(write(tmp_path, "x_nm,y_nm,z_nm\n" + "1,2,0.000\n" * 20 + "1,2,0.5\n"))[0].has_z


def test_lengths_win_over_pixels(tmp_path: Path) -> None:
    assert one_row(write(tmp_path, "x [px],y [px],x [nm],y [nm]\n1,2,160,320\n"), ColumnMap()) == (
        160.0,
        320.0,
    )


def test_a_repeated_name_is_not_taken_for_either(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 columns are called 'x'"):
        open_sources(write(tmp_path, "x,x,y\n1,2,3\n"), ColumnMap(x="x", y="y", unit="nm"))


def test_a_caml_table_gives_an_image_a_channel(tmp_path: Path) -> None:
    rows = ("1\t2\t0\t0\t10", "3\t4\t1\t1\t9", "5\t6\t1\t1\t10")
    path = write(tmp_path, "\n".join([CAML_HEADER, *rows]), "a.tsv")
    sources = open_sources(path)
    assert [(s.format, s.channel, s.has_z) for s in sources] == [
        ("CAML tsv", "9", False),
        ("CAML tsv", "10", False),
    ]
    tables = [pa.concat_tables(s.tables(1)) for s in sources]
    assert [t["x_nm"].to_pylist() for t in tables] == [[3.0], [1.0, 5.0]]
    assert tables[1].schema.names[3:] == CAML_HEADER.split("\t")
    assert [t["loc_id"].to_pylist() for t in tables] == [[1], [0, 2]]
    assert tables[1]["Cluster UID"].to_pylist() == [0, 1]
    assert read_localizations(path)["x_nm"].to_pylist() == [1.0, 3.0, 5.0]


def test_a_caml_table_of_one_channel_is_one_image(tmp_path: Path) -> None:
    (source,) = open_sources(write(tmp_path, CAML_HEADER + "\n1\t2\t0\t0\t0\n3\t4\t1\t1\t0\n"))
    assert source.channel is None


def test_a_nanoimager_table(tmp_path: Path) -> None:
    content = "Channel,Frame,X (nm),Y (nm),Z (nm),Photons\n0,1,1.5,2,0.000,9\n1,1,3,4,0.000,9\n"
    sources = open_sources(write(tmp_path, content))
    assert [(s.format, s.channel, s.has_z) for s in sources] == [
        ("ONI Nanoimager", "0", False),
        ("ONI Nanoimager", "1", False),
    ]


def test_every_row_is_in_one_channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 40)
    values = ["", "b", "1", "1.0", "a b", "nan", "NA"] * 9
    path = write(tmp_path, "x_nm,y_nm,c\n" + "".join(f"{i},0,{v}\n" for i, v in enumerate(values)))
    sources = open_sources(path, ColumnMap(channel="c"))
    found = {s.channel: pa.concat_tables(s.tables(3))["x_nm"].to_pylist() for s in sources}
    assert found == {v: [float(i) for i, w in enumerate(values) if w == v] for v in set(values)}


def test_channels_that_are_not_told_apart_are_not_one_image(tmp_path: Path) -> None:
    path = write(tmp_path, "x_nm,y_nm,c\n1,2,a\n3,4,b\n")
    with pytest.raises(InputError, match="holds several channels"):
        open_source(path, ColumnMap(channel="c"), None, settle=True)


def test_a_channel_column_is_checked(tmp_path: Path) -> None:
    path = write(tmp_path, "x_nm,y_nm,id\n" + "".join(f"1,2,{i}\n" for i in range(MAX_CHANNELS + 1)))
    with pytest.raises(InputError, match="'id' tells more than 64 channels apart"):
        open_sources(path, ColumnMap(channel="id"))
    with pytest.raises(InputError, match="'id' tells more than 64 channels apart"):
        open_source(path, ColumnMap(channel="id"), None, settle=False)
    with pytest.raises(InputError, match="no column 'dye'; it has the columns 'x_nm'"):
        open_sources(path, ColumnMap(channel="dye"))


@given(sizes=st.lists(st.integers(0, 20), max_size=12), rows=st.integers(1, 30))
@settings(max_examples=200, deadline=None)
def test_rechunking_keeps_every_row_in_order(sizes: list[int], rows: int) -> None:
    ends = np.cumsum([0, *sizes])
    tables = [pa.table({"n": pa.array(np.arange(a, b))}) for a, b in zip(ends, ends[1:], strict=False)]
    parts = list(rechunk(tables, rows))
    total = int(ends[-1])
    assert [p.num_rows for p in parts] == [rows] * (total // rows) + [total % rows] * (total % rows > 0)
    assert [n for p in parts for n in p["n"].to_pylist()] == list(range(total))


def test_tables_hold_at_least_one_row(tmp_path: Path) -> None:
    (source,) = open_sources(write(tmp_path, "x_nm,y_nm\n1,2\n"))
    with pytest.raises(UsageError, match="at least 1"):
        source.tables(0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "cannot be read as HDF5"),
        (b"PK\x03\x04" + bytes(100), "cannot be read as a ZIP archive"),
        (gzip.compress(bytes(100), mtime=0), "is a binary file"),
        (b"II*\x00" + bytes(100), "a TIFF image: localize it first"),
        (b"OMAS_BF" + bytes(100), "an Imspector .msr file: export the MINFLUX data"),
        (b"#ASDF 1.0.0\n", "an ASDF file: save the localizations in Locan"),
        (b'[{"x": 1}]'[1:], "JSON: export a table instead"),
        (b"\xd0\xcf\x11\xe0" + bytes(100), "is an Excel workbook"),
        (bytes(1000), "is a binary file"),
        (np.random.default_rng(1).bytes(10_000), "is a binary file"),
        ("x,y\n1,2\n".encode("utf-16"), "is written in UTF-16"),
        (b"", "holds no table"),
        (b"# only a comment\n", "holds no table"),
        (b"one\ntwo\nthree\n", "no two columns"),
        (b"a" * 400_000, "no line ends within"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_sources(write(tmp_path, content))


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        open_sources(tmp_path / "missing.csv")
    with pytest.raises(InputError, match="is a directory"):
        read_localizations(tmp_path)


def test_tables_of_long_rows_end_earlier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_TABLE_BYTES", 800)
    rows = pa.table({"n": range(1000)})
    parts = list(rechunk([rows.slice(start, 30) for start in range(0, 1000, 30)], 500))
    assert {len(part) for part in parts[:-1]} == {120}
    assert pa.concat_tables(parts).equals(rows)
