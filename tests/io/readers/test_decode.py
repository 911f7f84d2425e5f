"""DECODE: pixels of two sides, nm, and files without emitters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from support import SHARED, open_sources

from caml_dask.errors import InputError
from caml_dask.io.readers.sources import read_localizations
from caml_dask.settings import ColumnMap

XYZ = np.array([[1.5, 2.0, -50.0], [3.0, 4.5, 0.0], [10.0, 20.0, 300.0]], np.float32)


def write(path: Path, xyz: np.ndarray = XYZ, **about: Any) -> Path:
    with h5py.File(path, "w") as file:
        n = len(xyz)
        arrays = {"xyz": xyz, "xyz_sig": xyz * 0 + [0.1, 0.2, 30], "phot": np.arange(n) + 500.0, "bg": np.full(n, 9.0)}
        for name, values in {**arrays, "frame_ix": np.arange(n), "id": np.arange(n), "prob": np.ones(n)}.items():
            file[f"data/{name}"] = values
        file["data/phot_cr"] = h5py.Empty("f4")
        file.create_group("meta").attrs.update(about)
    return path


def test_sides_of_a_pixel_may_differ(tmp_path: Path) -> None:
    path = write(tmp_path / "emitters.h5", xy_unit="px", px_size=np.float32([127, 117]))
    (source,) = open_sources(path)
    assert (source.format, source.has_z) == ("DECODE HDF5", True)
    table = read_localizations(path)
    assert np.array_equal(table["x_nm"], XYZ[:, 0].astype(float) * 127)
    assert np.array_equal(table["y_nm"], XYZ[:, 1].astype(float) * 117)
    assert np.array_equal(table["z_nm"], XYZ[:, 2])
    assert np.allclose(table["uncertainty_nm"], (0.1 * 127 + 0.2 * 117) / 2)
    assert np.allclose(table["uncertainty_z_nm"], 30)
    assert table["frame"].to_pylist() == [0, 1, 2] and table["photons"].to_pylist() == [500, 501, 502]
    assert {"id", "prob"} <= set(table.column_names)
    square = read_localizations(path, ColumnMap(pixel_nm=100))
    assert square["y_nm"].to_pylist() == [200, 450, 2000]


def test_nm(tmp_path: Path) -> None:
    table = read_localizations(write(tmp_path / "emitters.h5", xy_unit="nm"))
    assert table["x_nm"].to_pylist() == XYZ[:, 0].tolist()


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"xy_unit": "px"}, "no px_size: add --columns pixel_nm"),
        ({"xy_unit": "px", "px_size": np.float32([127, np.nan])}, "no px_size"),
        ({}, "unit of xyz is None: say it with --columns unit=nm"),
        ({"xy_unit": "feet"}, "unit of xyz is 'feet'"),
    ],
)
def test_units_that_are_not_certain(tmp_path: Path, about: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_localizations(write(tmp_path / "emitters.h5", **about))


def test_no_emitters(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no localizations"):
        read_localizations(write(tmp_path / "emitters.h5", XYZ[:0], xy_unit="nm"))


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data beside the repository")
def test_samples() -> None:
    path = SHARED / "formats" / "decode_dstorm_data.h5"
    table = read_localizations(path)
    with h5py.File(path) as file:
        xyz, phot = file["data/xyz"][()].astype(np.float64), file["data/phot"][()]
    assert len(table) == len(xyz) == 96
    assert np.array_equal(np.column_stack([table[f"{axis}_nm"] for axis in "xyz"]), xyz * [127, 117, 1])
    assert np.array_equal(table["photons"], phot)
    with pytest.raises(InputError, match="holds no localizations"):
        read_localizations(SHARED / "formats" / "decode_dstorm_data_empty.h5")
