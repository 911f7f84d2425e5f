"""rapidSTORM: fields named in XML, and files of tracks."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from support import SHARED, open_sources

from caml_dask.errors import InputError
from caml_dask.io.readers import rapidstorm
from caml_dask.io.readers.sources import read_localizations
from caml_dask.settings import ColumnMap


def field(identifier: str, unit: str) -> str:
    return f'<field identifier="{identifier}" syntax="any" unit="{unit}" min="0 m" max="3e-005 m" />'


FIELDS = field("Position-0-0", "nanometer") + field("Position-1-0", "nanometer") + field("ImageNumber-0-0", "frame")
INSIDE = (
    field("Position-0-0", "nanometer")
    + field("Position-0-0-uncertainty", "nanometer")
    + field("Position-1-0", "nanometer")
    + field("Position-1-0-uncertainty", "nanometer")
    + field("ImageNumber-0-0", "frame")
)


def write(tmp_path: Path, fields: str, *rows: str) -> Path:
    path = tmp_path / "cell.txt"
    path.write_text("\n".join([f'# <localizations insequence="true">{fields}</localizations>', *rows, ""]))
    return path


def test_fields_are_named_by_the_first_line(tmp_path: Path) -> None:
    path = write(tmp_path, FIELDS + field("Amplitude-0-0", "A/D count"), "10.5 20 3 1.5e+003", "11.5 21 4 1.19225e+006")
    (source,) = open_sources(path)
    assert (source.format, source.has_z) == ("rapidSTORM", False)
    table = read_localizations(path)
    assert table["x_nm"].to_pylist() == [10.5, 11.5] and table["y_nm"].to_pylist() == [20, 21]
    assert table["frame"].to_pylist() == [3, 4]
    assert table["intensity [A/D count]"].to_pylist() == [1500, 1192250]
    assert read_localizations(path, ColumnMap(x="2", y="1", unit="nm"))["x_nm"].to_pylist() == [20, 21]


def test_other_units_and_three_dimensions(tmp_path: Path) -> None:
    fields = "".join(field(f"Position-{i}-0", "micrometer") for i in range(3))
    table = read_localizations(write(tmp_path, fields, "1.5 2 0.5", "1.25 3 0"))
    assert table["x_nm"].to_pylist() == [1500, 1250] and table["z_nm"].to_pylist() == [500, 0]
    with pytest.raises(InputError, match="unit of '1' is not known"):
        read_localizations(write(tmp_path, fields.replace("micrometer", "furlong"), "1 2 3"))


def test_tracks_are_ragged(tmp_path: Path) -> None:
    tracks = f'{FIELDS}<localizations repetitions="variable">{INSIDE}</localizations>'
    path = write(tmp_path, tracks, "5 6 1 2 5.5 25 6.5 35 1 4.5 25 5.5 35 2", "9 9 7 1 9 20 9 20 7")
    table = read_localizations(path)
    assert table["x_nm"].to_pylist() == [5.5, 4.5, 9] and table["y_nm"].to_pylist() == [6.5, 5.5, 9]
    assert table["track_id"].to_pylist() == [0, 0, 1] and table["frame"].to_pylist() == [1, 2, 7]
    assert table["uncertainty_nm"].to_pylist() == [30, 30, 20]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("5 6 1 2 5.5 25 6.5 35 1 4.5 25 5.5 35", r"says it has 2 localizations of 5 fields and holds 9 .*\(row 1\)"),
        ("5 6 1 -1", r"says it has -1 localizations"),
        ("5 6", "says it has -1"),
        ("5 6 1 nan", "says it has nan"),
        ("5 6 1 1 a 25 6.5 35 1", r"holds what is no number \(row 1\)"),
    ],
)
def test_damaged_tracks(tmp_path: Path, row: str, message: str) -> None:
    tracks = f"{FIELDS}<localizations>{INSIDE}</localizations>"
    with pytest.raises(InputError, match=message):
        read_localizations(write(tmp_path, tracks, "9 9 7 1 9 20 9 20 7", row))


def test_first_lines_that_describe_nothing(tmp_path: Path) -> None:
    for fields, message in (
        ("", "describes 0 fields"),
        ("<field", "does not describe its fields"),
        (FIELDS * 30, "90 fields"),
    ):
        with pytest.raises(InputError, match=message):
            read_localizations(write(tmp_path, fields, "1 2 3"))
    with pytest.raises(InputError, match="no localizations"):
        read_localizations(write(tmp_path, FIELDS))


def test_blocks_of_tracks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracks = f"{FIELDS}<localizations>{INSIDE}</localizations>"
    path = write(tmp_path, tracks, *(f"9 9 7 3 {f'{i} 2 3 4 5 ' * 3}" for i in range(100)))
    whole = read_localizations(path)
    monkeypatch.setattr(rapidstorm, "BLOCK_ROWS", 16)
    (source,) = open_sources(path)
    assert max(batch.num_rows for batch in source.reader.batches()) == 18
    assert read_localizations(path).equals(whole) and len(whole) == 300


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data beside the repository")
@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("formats/rapidSTORM_dstorm_data", 14),
        ("formats/rapidSTORM_from_images", 12),
        ("roi/rapidSTORM_jurkat_cd18", 14_783),
    ],
)
def test_samples(name: str, rows: int) -> None:
    path = SHARED / f"{name}.txt"
    cells = np.loadtxt(path, ndmin=2)
    table = read_localizations(path)
    assert len(table) == len(cells) == rows
    assert len(table.column_names) == cells.shape[1] + 3
    assert np.array_equal(np.column_stack([table["x_nm"], table["y_nm"], table["frame"]]), cells[:, :3])


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data beside the repository")
def test_sample_of_tracks() -> None:
    path = SHARED / "formats" / "rapidSTORM_dstorm_track_data.txt"
    expected = []
    for number, line in enumerate(path.read_text().splitlines()[1:]):
        cells = [float(cell) for cell in re.split(r"\s+", line.strip())]
        inside = cells[5:]
        expected += [(number, *inside[at : at + 8]) for at in range(0, int(cells[4]) * 8, 8)]
    table = read_localizations(path)
    found = np.column_stack([table["track_id"], table["x_nm"], table["y_nm"], table["frame"]])
    assert np.array_equal(found, np.array(expected)[:, [0, 1, 3, 5]])
