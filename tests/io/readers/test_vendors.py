"""Text of microscopes and of pyMINFLUX: Zeiss ELYRA, Nikon N-STORM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support import SHARED, open_sources

from caml_dask.errors import InputError
from caml_dask.io.readers import delimited
from caml_dask.io.readers.carried import find_carried
from caml_dask.io.readers.sources import read_localizations
from caml_dask.schema import CARRIED
from caml_dask.settings import ColumnMap

ELYRA = ["Index", "First Frame", "Position X [nm]", "Position Y [nm]", "Precision [nm]", "Number Photons", "Channel"]
FOOTER = '\0\r\r\nVoxelSizeX : 0.097 \xb5m\r\r\n"SizeX : 3200\r\r\n\r\nROI List : \r\r\n'
NSTORM = [
    *("Channel Name", "X", "Y", "Xc", "Yc", "Height", "Frame", "Length", "Z", "Zc", "Photons"),
    *("Lateral Localization Accuracy", "Xw", "Yw", "Xwc", "Ywc"),
]


def elyra(path: Path, rows: list[str], footer: str = FOOTER) -> Path:
    path.write_bytes(("\r\n".join(["\t".join(ELYRA), *rows, ""]) + footer).encode("latin-1"))
    return path


def elyra_rows(n: int) -> list[str]:
    return [f"{i + 1}\t{i}\t{i}.5\t{i}.25\t8.6\t{400 + i}\t{1 + i % 2}" for i in range(n)]


def carried(names: list[str]) -> dict[str, str]:
    return {c.name: c.column for c in find_carried(names, [column.name for column in CARRIED])}


@pytest.mark.parametrize("footer", [FOOTER, "", "VoxelSizeX : 0.097\r\n", "\0", "\r\n\r\n"])
def test_elyra_ends_where_its_settings_begin(tmp_path: Path, footer: str) -> None:
    path = elyra(tmp_path / "cell.txt", elyra_rows(5), footer)
    table = read_localizations(path)
    assert table["x_nm"].to_pylist() == [i + 0.5 for i in range(5)]
    assert carried(table.column_names[3:]) == {
        "frame": "First Frame",
        "photons": "Number Photons",
        "uncertainty_nm": "Precision [nm]",
    }
    assert [(s.format, s.channel) for s in open_sources(path)] == [("Zeiss ELYRA", "1"), ("Zeiss ELYRA", "2")]


def test_elyra_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = elyra(tmp_path / "cell.txt", elyra_rows(3000))
    whole = read_localizations(path)
    for size in (100, 1000, 1001, 4096):
        monkeypatch.setattr(delimited, "BLOCK_BYTES", size)
        assert read_localizations(path).equals(whole)
    assert len(whole) == 3000


def test_a_damaged_row_of_elyra_is_no_footer(tmp_path: Path) -> None:
    rows = elyra_rows(5)
    path = elyra(tmp_path / "cell.txt", [*rows[:2], "x" + rows[2], *rows[3:]])
    with pytest.raises(InputError, match=r"a line begins with 'x3\\t2.*no row, and rows follow it"):
        read_localizations(path)
    with pytest.raises(InputError, match="no localizations"):
        read_localizations(elyra(tmp_path / "cell.txt", []))


def test_nstorm_is_corrected_for_drift(tmp_path: Path) -> None:
    path = tmp_path / "cell.txt"
    rows = [
        [f"{640 + 7 * (i % 2)}", i, i, i + 0.5, i + 0.25, 100, i, 1, 0, 30 + i, 900, 12.5, 7, 7, 7, 7] for i in range(4)
    ]
    path.write_text("\r\n".join("\t".join(map(str, row)) for row in [NSTORM, *rows]))
    sources = open_sources(path)
    assert [(s.format, s.channel, s.has_z) for s in sources] == [
        ("Nikon N-STORM", "640", True),
        ("Nikon N-STORM", "647", True),
    ]
    table = read_localizations(path)
    assert table["x_nm"].to_pylist() == [0.5, 1.5, 2.5, 3.5] and table["y_nm"][0].as_py() == 0.25
    assert table["z_nm"].to_pylist() == [30, 31, 32, 33]
    assert {"X", "Y", "Z", "Xwc"} <= set(table.column_names) and "Xc" not in table.column_names
    found = carried(table.column_names[4:])
    assert found == {"frame": "Frame", "photons": "Photons", "uncertainty_nm": "uncertainty_nm"}
    warped = read_localizations(path, ColumnMap(x="Xwc", y="Ywc", unit="nm"))
    assert warped["x_nm"].to_pylist() == [7] * 4 and "Xc" in warped.column_names


def test_pyminflux(tmp_path: Path) -> None:
    path = tmp_path / "cell.csv"
    path.write_text(",tid,tim,x,y,z,efo,cfr,eco,dcr,dwell,fluo\n0,10,0.4,22870.5,-2566.25,0,35008.7,0.58,175,0.3,5,1\n")
    (source,) = open_sources(path)
    assert (source.format, source.has_z) == ("pyMINFLUX csv", False)
    table = read_localizations(path)
    assert (table["x_nm"][0].as_py(), table["y_nm"][0].as_py(), table["tid"][0].as_py()) == (22870.5, -2566.25, 10)


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data beside the repository")
def test_samples() -> None:
    table = read_localizations(SHARED / "formats" / "Elyra_dstorm_data.txt")
    text = (SHARED / "formats" / "Elyra_dstorm_data.txt").read_text("latin-1").split("\0")[0]
    rows = [line.split("\t") for line in text.splitlines()[1:]]
    assert len(table) == len(rows) == 15
    expected = np.array(rows, dtype=float)
    assert np.array_equal(np.column_stack([table["x_nm"], table["y_nm"]]), expected[:, 4:6])
    path = SHARED / "formats" / "minflux" / "two_fluorophores_df.csv"
    frame, table = pd.read_csv(path, index_col=0), read_localizations(path)
    assert np.allclose(np.column_stack([table["x_nm"], table["y_nm"]]), frame[["x", "y"]], rtol=1e-15, atol=0)
    assert len(open_sources(path)) == frame["fluo"].nunique()
