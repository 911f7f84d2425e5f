"""What we read of sample files of other programs, beside what an independent reader finds in the same files.

FOLDER holds the samples as the tests know them. The independent readers are pandas, h5py, SciPy, numpy and the standard
library, which know nothing of our code. Rows and the extents of the coordinates must be the same, to the bit; columns
are those of our table beside those in the file: ours has loc_id and the coordinates in nm besides, or in place of them.
"""

from __future__ import annotations

import argparse
import csv
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.io
import yaml

from caml_dask.errors import CamlError
from caml_dask.io.readers.sources import list_channels, open_source
from caml_dask.settings import ColumnMap

UNIT_NM = ColumnMap(unit="nm")
NO_UNIT = ("Fig1a_Tom70-Dreiklang_Minflux.mat", "npc_localizations.mat")
FOLDERS = ("formats", "formats/minflux", "real", "roi", "drift")
Found = tuple[np.ndarray, int]
"""Coordinates (n, 2) or (n, 3) in nm, and the number of columns in the file."""


def commas(*columns: int) -> Callable[[Path], Found]:
    """Numbers between commas below a header, by pandas: x and y by place, as a file may quote its header twice."""

    def read(path: Path) -> Found:
        table = pd.read_csv(path, header=None, skiprows=1)
        return table[list(columns)].to_numpy(np.float64), table.shape[1]

    return read


def elyra(path: Path) -> Found:
    """A table of tabs that ends where a zero byte begins the settings."""
    lines = path.read_text("latin-1").split("\0")[0].splitlines()
    cells = np.array([line.split("\t") for line in lines[1:]], dtype=float)
    return cells[:, 4:6], cells.shape[1]


def rapidstorm(path: Path) -> Found:
    """Numbers between spaces, by numpy."""
    cells = np.loadtxt(path, ndmin=2)
    return cells[:, :2], cells.shape[1]


def rapidstorm_tracks(path: Path) -> Found:
    """A track a line: five numbers of it, of which the last counts its localizations, then eight numbers of each."""
    rows = []
    for line in path.read_text().splitlines()[1:]:
        cells = [float(cell) for cell in line.split()]
        rows += [(cells[5 + at], cells[7 + at]) for at in range(0, int(cells[4]) * 8, 8)]
    return np.array(rows), 8


def smlm(path: Path) -> Found:
    """Records of the only table of a zip archive, by the standard library."""
    with zipfile.ZipFile(path) as archive:
        rows = list(struct.iter_unpack("<bffffbf", archive.read("table-0.bin")))
    return np.array([(row[1], row[6]) for row in rows]), 7


def decode(path: Path) -> Found:
    """Pixels of 127 and 117 nm, and a height in nm, by h5py."""
    with h5py.File(path) as file:
        return file["data/xyz"][()].astype(np.float64).reshape(-1, 3) * [127, 117, 1], len(file["data"])


def picasso(path: Path) -> Found:
    """Pixels whose size a YAML file beside it says, by h5py."""
    documents = list(yaml.safe_load_all(path.with_suffix(".yaml").read_text()))
    (pixel,) = {d["Pixelsize"] for d in documents if "Pixelsize" in d} or {130}
    with h5py.File(path) as file:
        locs = file["locs"][()]
    return np.column_stack([locs[axis].astype(np.float64) * pixel for axis in "xy"]), len(locs.dtype.names)


def smap(path: Path) -> Found:
    """MATLAB 7.3, by h5py."""
    with h5py.File(path) as file:
        loc = file["saveloc/loc"]
        return np.column_stack([loc[f"{axis}nm"][0].astype(np.float64) for axis in "xyz"]), len(loc)


def minflux(path: Path) -> Found:
    """The last iteration of what is valid, in m, by numpy."""
    with zipfile.ZipFile(path) as archive, archive.open(path.name.removesuffix(".zip")) as file:
        raw = np.load(file)
    loc = raw[raw["vld"]]["itr"]["loc"][:, -1] * 1e9
    return loc[~np.isnan(loc[:, 0]), : 3 if path.name.startswith("3D") else 2], len(raw.dtype.names)


def matlab_npc(path: Path) -> Found:
    """A structure of vectors, by SciPy."""
    data = scipy.io.loadmat(path)["data"][0, 0]
    return np.column_stack([data[axis].ravel() for axis in "xy"]).astype(np.float64), len(data.dtype.names)


def matlab_minflux(path: Path) -> Found:
    """A structure with an array of positions, by SciPy."""
    data = scipy.io.loadmat(path)["minflux"][0, 0]
    return data["pos"][:, :2].astype(np.float64), len(data.dtype.names)


INDEPENDENT: tuple[tuple[str, str, Callable[[Path], Found]], ...] = (
    ("dstorm_membrane_*.csv", "pandas", commas(2, 3)),
    ("[Tt]hunderstorm_*.csv", "pandas", commas(2, 3)),
    ("Nanoimager_*.csv", "pandas", commas(2, 3)),
    ("two_fluorophores_df.csv", "pandas", commas(3, 4)),
    ("Elyra_*.txt", "standard library", elyra),
    ("rapidSTORM_dstorm_track_data.txt", "standard library", rapidstorm_tracks),
    ("rapidSTORM_*.txt", "numpy", rapidstorm),
    ("SMLM_*.smlm", "standard library", smlm),
    ("decode_*.h5", "h5py", decode),
    ("picasso_*.hdf5", "h5py", picasso),
    ("smap_*.mat", "h5py", smap),
    ("*D_ValidOnly.npy.zip", "numpy", minflux),
    ("npc_localizations.mat", "SciPy", matlab_npc),
    ("Fig1a_*.mat", "SciPy", matlab_minflux),
)
"""Patterns of names, the independent reader in words, and the reader; the first that fits counts."""


def ours(path: Path) -> tuple[str, Found]:
    """Our format's name, and the coordinates of all channels in the order of the file."""
    columns = UNIT_NM if path.name in NO_UNIT else ColumnMap()
    sources = [open_source(path, columns, channel, settle=True) for channel in list_channels(path, columns)]
    table = pa.concat_tables([part for source in sources for part in source.tables(1 << 16)])
    axes = [name for name in ("x_nm", "y_nm", "z_nm") if name in table.column_names]
    return sources[0].format, (np.column_stack([table[name].to_numpy() for name in axes]), len(table.column_names))


def extents(points_nm: np.ndarray) -> list[float]:
    """Lowest and highest of each axis, those that are not numbers left out."""
    return [float(of(values)) for values in points_nm.T for of in (np.nanmin, np.nanmax)]


def compared(path: Path) -> dict[str, object]:
    """A row of the results."""
    fit = [(name, reader) for pattern, name, reader in INDEPENDENT if path.match(pattern)]
    if not fit:
        sys.exit(f"{path}: no independent reader is known for a file of this name: add one to INDEPENDENT")
    name, reader = fit[0]
    theirs, in_file = reader(path)
    row: dict[str, object] = {"file": path.name, "by": name}
    try:
        known_as, (mine, columns) = ours(path)
    except CamlError as error:
        said = str(error).split(": ", 1)[-1]
        return row | {
            "format": f"refused: {said}",
            "rows": 0,
            "independent_rows": len(theirs),
            "equal": not len(theirs),
        }
    equal = mine.shape == theirs.shape and extents(mine) == extents(theirs)
    row |= {"format": known_as, "rows": len(mine), "independent_rows": len(theirs)}
    row |= {"columns": columns, "columns_in_file": in_file, "equal": equal}
    names = [f"{axis}_{end}_nm" for axis in "xyz" for end in ("low", "high")]
    return row | dict(zip(names, extents(mine), strict=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=Path, required=True, metavar="FOLDER", help="where the samples are")
    parser.add_argument("--results", type=Path, required=True, help="CSV to write")
    asked = parser.parse_args()
    files = [p for folder in FOLDERS for p in sorted((asked.samples / folder).glob("*")) if p.is_file()]
    rows = [compared(path) for path in files if path.suffix != ".yaml"]
    names = list(dict.fromkeys(name for row in rows for name in row))
    with asked.results.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(pd.DataFrame(rows)[["file", "format", "by", "rows", "independent_rows", "equal"]].to_string())
    sys.exit(0 if all(row["equal"] for row in rows) else 1)


if __name__ == "__main__":
    main()
