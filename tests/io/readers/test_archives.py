"""Tables packed by gzip and ZIP: members, bounds, sidecars, and what they leave behind."""

from __future__ import annotations

import gc
import gzip
import tempfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from support import open_sources

from caml_dask.errors import InputError
from caml_dask.io.manifest import content_of
from caml_dask.io.readers import archives, arrays
from caml_dask.io.readers.formats import sidecars_of
from caml_dask.io.readers.sources import list_channels, open_source, read_localizations
from caml_dask.settings import ColumnMap

CSV = b"x_nm,y_nm,frame\n1,2,3\n4,5,6\n"
TSV = b"x (nm)\ty (nm)\tCluster UID\tClass Label\tChannel UID\n1\t2\t0\ta\t0\n3\t4\t0\ta\t1\n"


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Every test unpacks into a folder of its own, which must be empty in the end."""
    room = tmp_path / "room"
    room.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(room))
    yield
    gc.collect()
    assert list(room.iterdir()) == []


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def picasso(path: Path) -> Path:
    locs = np.zeros(3, [("frame", "u4"), ("x", "f4"), ("y", "f4")])
    locs["x"] = [1, 2, 3]
    with h5py.File(path, "w") as file:
        file["locs"] = locs
    return path


def test_gzip(tmp_path: Path) -> None:
    path = tmp_path / "cell.csv.gz"
    path.write_bytes(gzip.compress(CSV))
    (source,) = open_sources(path)
    assert (source.path, source.format) == (path, "delimited text")
    table = read_localizations(path)
    assert table["x_nm"].to_pylist() == [1, 4] and table["frame"].to_pylist() == [3, 6]
    del source


def test_a_table_in_a_zip_and_what_is_beside_it(tmp_path: Path) -> None:
    path = zipped(
        tmp_path / "a.zip", **{"__MACOSX/._cell.csv": b"x", "notes/readme.txt": b"no table", "data/cell.csv": CSV}
    )
    assert list_channels(path) == [None]
    assert len(read_localizations(path)) == 2


def test_several_tables_are_images(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", **{"a/1.csv": CSV, "a/2.tsv": TSV, "bad.csv": b"nothing\n"})
    channels = list_channels(path)
    assert channels == ["a/1.csv", "a/2.tsv:0", "a/2.tsv:1", "bad.csv"]
    tables = [next(open_source(path, ColumnMap(), channel, True).tables(10)) for channel in channels[:3]]
    assert [table["x_nm"].to_pylist() for table in tables] == [[1, 4], [1], [3]]
    with pytest.raises(InputError, match="bad.csv: has a header and no localizations") as caught:
        open_source(path, ColumnMap(), "bad.csv", True)
    assert caught.value.path == path
    with pytest.raises(InputError, match=r"holds 3 tables \(a/1.csv, a/2.tsv, bad.csv\): unpack it"):
        read_localizations(path)
    with pytest.raises(InputError, match=r"and no 'c.csv'"):
        open_source(path, ColumnMap(), "c.csv", True)


def test_metadata_of_picasso_inside_and_beside(tmp_path: Path) -> None:
    plain = picasso(tmp_path / "plain.hdf5").read_bytes()
    path = zipped(tmp_path / "a.zip", **{"m/cell.hdf5": plain, "m/cell.yaml": b"Pixelsize: 100\n"})
    assert read_localizations(path)["x_nm"].to_pylist() == [100, 200, 300]
    path = tmp_path / "cell.hdf5.gz"
    path.write_bytes(gzip.compress(plain))
    with pytest.raises(InputError, match="pixel_nm=") as caught:
        read_localizations(path)
    assert caught.value.path == path
    before = content_of(path)
    (tmp_path / "cell.yaml").write_text("Pixelsize: 120\n")
    assert sidecars_of(path) == [tmp_path / "cell.yaml"] and content_of(path) != before
    assert read_localizations(path)["x_nm"].to_pylist() == [120, 240, 360]


def test_names_do_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", **{"../../outside.csv": CSV, "..\\..\\other.csv": CSV})
    for channel in list_channels(path):
        assert next(open_source(path, ColumnMap(), channel, True).tables(10)).num_rows == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "room"]


@pytest.mark.parametrize("limit", [arrays.ALWAYS_BYTES, 1000])
def test_bombs_are_refused_while_they_are_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(arrays, "ALWAYS_BYTES", limit)
    zeros = b"0.0,0.0\n" * (limit // 8 + 1_000_000)
    packed = tmp_path / "bomb.csv.gz"
    packed.write_bytes(gzip.compress(b"x_nm,y_nm\n" + zeros))
    with pytest.raises(InputError, match="over 200 times its") as caught:
        read_localizations(packed)
    assert caught.value.path == packed
    path = zipped(tmp_path / "bomb.zip", **{"bomb.csv": zeros})
    with pytest.raises(InputError, match="over 200 times its"):
        read_localizations(path)


def test_a_zip_that_lies_about_its_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "ALWAYS_BYTES", 1000)
    path = zipped(tmp_path / "bomb.zip", **{"bomb.csv": b"0.0,0.0\n" * 1_000_000})
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02") + 24
    content[at : at + 4] = (100).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(InputError):
        read_localizations(path)


def test_members_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "a.zip", **{f"{i}.csv": CSV for i in range(12)})
    monkeypatch.setattr(archives, "MAX_MEMBERS", 11)
    with pytest.raises(InputError, match="holds 12 members; up to 11 are read"):
        list_channels(path)


def test_archives_that_are_not_opened(tmp_path: Path) -> None:
    inner = gzip.compress(CSV)
    with pytest.raises(InputError, match="cell.csv.gz in it is an archive too"):
        read_localizations(zipped(tmp_path / "a.zip", **{"cell.csv.gz": inner}))
    with pytest.raises(InputError, match="without a table"):
        read_localizations(zipped(tmp_path / "a.zip"))
    with pytest.raises(InputError, match="an Excel workbook: save the sheet as CSV"):
        read_localizations(zipped(tmp_path / "a.xlsx", **{"xl/workbook.xml": b"<x/>"}))
    path = tmp_path / "cell.csv.gz"
    path.write_bytes(gzip.compress(CSV * 1000)[:-20])
    with pytest.raises(InputError, match="cannot be unpacked"):
        read_localizations(path)
    path.write_bytes(CSV)
    with pytest.raises(InputError, match="named as .gz and .zip and does not begin as"):
        read_localizations(path)
