"""SMLM 0.2: offsets, numbers as text, and several tables."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
from support import SHARED, open_sources

from caml_dask.errors import InputError
from caml_dask.io.readers import smlm
from caml_dask.io.readers.sources import read_localizations
from caml_dask.settings import ColumnMap

HEADERS, TYPES = ["frame", "x", "y"], ["int8", "float32", "float64"]
ROWS = [(1, 10.5, 20.25), (2, 11.5, 21.25), (3, 12.5, 22.25)]


def form(**changes: Any) -> dict[str, Any]:
    made = {"type": "table", "mode": "binary", "headers": HEADERS, "dtype": TYPES, "shape": ["1"] * 3}
    return {**made, "units": ["", "nm", "nm"], **changes}


def table(name: str = "table-0.bin", **changes: Any) -> dict[str, Any]:
    return {"name": name, "type": "table", "format": "f", "channel": "default", "rows": "3", **changes}


def write(
    path: Path, files: list[dict], formats: dict | None = None, version: str = "0.2", rows: Any = ROWS, **more: Any
) -> Path:
    manifest = {"format_version": version, "formats": formats or {"f": form()}, "files": files, **more}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        for one in files:
            if one["name"] not in archive.namelist():
                archive.writestr(one["name"], b"".join(struct.pack("<bfd", *row) for row in rows))
    return path


def test_rows_are_packed_and_offsets_added(tmp_path: Path) -> None:
    path = write(tmp_path / "cell.smlm", [table(offset={"x": 1000, "frame": 0}), {"name": "a.png", "type": "image"}])
    (source,) = open_sources(path)
    assert (source.format, source.channel, source.has_z) == ("SMLM 0.2", None, False)
    found = read_localizations(path)
    assert found["x_nm"].to_pylist() == [1010.5, 1011.5, 1012.5] and found["y_nm"].to_pylist() == [20.25, 21.25, 22.25]
    assert found["frame"].to_pylist() == [1, 2, 3]


def test_several_tables_are_channels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [table("a.bin", channel="red"), table("b.bin", channel="green"), table("c.bin", channel="red")]
    path = write(tmp_path / "cell.smlm", files)
    monkeypatch.setattr(smlm, "BLOCK_ROWS", 2)
    sources = open_sources(path)
    assert [source.channel for source in sources] == ["green", "red", "red (c.bin)"]
    (green,) = sources[0].tables(100)
    assert green["loc_id"].to_pylist() == [3, 4, 5] and green["x_nm"].to_pylist() == [10.5, 11.5, 12.5]
    assert len(read_localizations(path)) == 9


def test_units(tmp_path: Path) -> None:
    bare = {"f": form(units=["", "", ""], headers=["frame", "position_x", "position_y"])}
    path = write(tmp_path / "cell.smlm", [table()], bare)
    with pytest.raises(InputError, match="unit of 'x' is not known"):
        read_localizations(path)
    assert read_localizations(path, ColumnMap(unit="um"))["x_nm"][0].as_py() == 10_500
    units = [{"property": f"position_{axis}", "unit": "nm"} for axis in "xy"]
    path = write(tmp_path / "cell.smlm", [table()], bare, locdata_meta={"unit": units})
    assert read_localizations(path)["x_nm"][0].as_py() == 10.5


@pytest.mark.parametrize(
    ("files", "formats", "more", "message"),
    [
        ([table()], {"f": form()}, {"version": "0.3"}, "version '0.3'; 0.2 is read"),
        ([table()], {"f": form(mode="text")}, {}, "not binary"),
        ([table()], {"g": form()}, {}, "not binary"),
        ([table()], {"f": form(dtype=["int8", "float32", "object"])}, {}, "do not agree"),
        ([table()], {"f": form(dtype=["int8"])}, {}, "do not agree"),
        ([table()], {"f": form(shape=[1, 2, 1])}, {}, "several numbers"),
        ([table(rows="many")], {"f": form()}, {}, "does not describe its table"),
        ([table(rows=4)], {"f": form()}, {}, "ends before its 4 rows"),
        ([table(rows=2)], {"f": form()}, {}, "holds more than its 2 rows"),
        ([table(rows=0)], {"f": form()}, {}, "holds no localizations"),
        ([table(offset={"x": "nan"})], {"f": form()}, {}, "offset that is no number"),
        ([], {"f": form()}, {}, "names no table"),
        (
            [table("a"), table("b", format="g")],
            {"f": form(), "g": form(headers=["frame", "x", "z"])},
            {},
            "different columns",
        ),
    ],
)
def test_manifests_that_do_not_describe_the_tables(
    tmp_path: Path, files: list, formats: dict, more: dict, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_localizations(write(tmp_path / "cell.smlm", files, formats, **more))


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data beside the repository")
def test_sample() -> None:
    path = SHARED / "formats" / "SMLM_dstorm_data.smlm"
    found = read_localizations(path)
    with zipfile.ZipFile(path) as archive:
        rows = list(struct.iter_unpack("<bffffbf", archive.read("table-0.bin")))
    assert len(found) == len(rows) == 10
    assert found["x_nm"].to_pylist() == [row[1] for row in rows] and found["y_nm"].to_pylist() == [
        row[6] for row in rows
    ]
    assert len(found.column_names) == 3 + 7
