"""Arrays: numpy, MATLAB of any program, MINFLUX, and Feather."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.io
from pyarrow import feather
from support import SHARED, open_sources

from caml_dask.errors import InputError
from caml_dask.io.readers import minflux, npy
from caml_dask.io.readers.sources import open_source, read_localizations
from caml_dask.settings import ColumnMap

N = 200
XYZ = np.random.default_rng(3).uniform(-1e-5, 1e-5, (N, 3))
VALID = np.arange(N) % 5 != 0
NEEDS = ColumnMap(x="1", y="2", unit="nm")


def nested(iterations: int = 4) -> np.ndarray:
    """Imspector's older array: the last of the iterations counts, and one of its positions is missing."""
    itr = np.dtype([("itr", "<i4"), ("loc", "<f8", (3,)), ("eco", "<i4"), ("efo", "<f8")])
    made = np.zeros(N, [("itr", itr, (iterations,)), ("tim", "<f8"), ("tid", "<i4"), ("vld", "?")])
    made["itr"]["loc"] = np.nan
    made["itr"]["loc"][:, -1] = XYZ
    made["itr"]["loc"][7, -1] = np.nan
    made["itr"]["eco"][:, -1] = np.arange(N)
    made["tid"], made["tim"], made["vld"] = np.arange(N) // 10, np.arange(N) * 0.1, VALID
    return made


def flat() -> np.ndarray:
    """Imspector's newer array: an iteration a row, three of them a localization."""
    made = np.zeros(
        3 * N,
        [("itr", "<i4"), ("loc", "<f8", (3,)), ("tid", "<i4"), ("vld", "?"), ("dcr", "<f4", (2,)), ("eco", "<i4")],
    )
    made["itr"] = np.arange(3 * N) % 3
    made["loc"][2::3] = XYZ
    made["loc"][3 * 7 + 2] = np.nan
    made["tid"], made["eco"] = np.arange(3 * N) // 30, np.arange(3 * N) // 3
    made["vld"] = np.repeat(VALID, 3)
    made["dcr"][:, 0] = 0.25
    return made


def as_mat(path: Path, made: np.ndarray) -> Path:
    column = {name: made[name][:, None] for name in made.dtype.names if made[name].ndim == 1 and name != "itr"}
    if made["itr"].dtype.names:
        column["itr"] = {name: made["itr"][name] for name in made["itr"].dtype.names}
    else:
        column |= {"itr": made["itr"][:, None], "loc": made["loc"], "dcr": made["dcr"]}
    scipy.io.savemat(path, {name: value * 1 if name == "vld" else value for name, value in column.items()})
    return path


def as_npy(path: Path, made: np.ndarray) -> Path:
    np.save(path, made)
    return path


@pytest.mark.parametrize("make", [nested, flat])
@pytest.mark.parametrize("write", [as_npy, as_mat])
def test_minflux_takes_the_last_iteration_of_what_is_valid(tmp_path: Path, make, write, monkeypatch) -> None:
    path = write(tmp_path / ("cell.npy" if write is as_npy else "cell.mat"), make())
    kept = VALID & (np.arange(N) != 7)
    (source,) = open_sources(path)
    assert (source.format, source.has_z) == ("MINFLUX", True)
    table = read_localizations(path)
    assert np.array_equal(np.column_stack([table[f"{axis}_nm"] for axis in "xyz"]), XYZ[kept] * 1e9)
    assert np.array_equal(table["tid"], (np.arange(N) // 10)[kept])
    assert np.array_equal(table["eco"], np.arange(N)[kept])
    if "dcr" in table.column_names:
        assert set(table["dcr"].to_pylist()) == {0.25}
    monkeypatch.setattr(npy, "BLOCK_ROWS", 31)
    monkeypatch.setattr(minflux, "BLOCK_ROWS", 31)
    assert read_localizations(path).equals(table)
    assert pa.concat_tables(pickle.loads(pickle.dumps(source)).tables(50)).equals(table)


def test_minflux_in_one_plane_and_without_what_is_valid(tmp_path: Path) -> None:
    made = nested()
    made["itr"]["loc"][..., 2] = 0
    (source,) = open_sources(as_npy(tmp_path / "flat.npy", made))
    assert not source.has_z and "z_nm" not in next(source.tables(5)).column_names
    made["vld"] = False
    with pytest.raises(InputError, match="holds no localizations"):
        read_localizations(as_npy(tmp_path / "none.npy", made))


def test_arrays_of_numpy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    xyz = (XYZ * 1e9).round(1)
    monkeypatch.setattr(npy, "BLOCK_ROWS", 33)
    for name, array in {
        "rows": xyz,
        "columns": np.asfortranarray(xyz),
        "big": xyz.astype(">f8"),
        "wide": np.hstack([xyz, xyz]),
    }.items():
        path = as_npy(tmp_path / f"{name}.npy", array)
        with pytest.raises(InputError, match="--columns x=1,y=2,unit=nm"):
            read_localizations(path)
        table = read_localizations(path, ColumnMap(x="1", y="2", z="3", unit="nm"))
        assert np.array_equal(np.column_stack([table[f"{axis}_nm"] for axis in "xyz"]), xyz), name
    fields = np.zeros(N, [("x_nm", "f4"), ("y_nm", "f4"), ("frame", "u2"), ("half", "f2"), ("words", "U3")])
    fields["x_nm"] = xyz[:, 0]
    table = read_localizations(as_npy(tmp_path / "fields.npy", fields))
    assert np.array_equal(table["x_nm"], fields["x_nm"]) and "words" not in table.column_names


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([{"x": 1}, {"x": 2}], dtype=object), "objects of Python"),
        (np.zeros((3, 3, 3)), r"shape \(3, 3, 3\)"),
        (np.zeros(9), "named fields, or numbers in two to 16 columns"),
        (np.zeros((9, 99)), "named fields"),
        (np.zeros((9, 2), complex), "complex128"),
        (np.zeros((0, 2)), "holds no localizations"),
    ],
)
def test_arrays_that_are_no_tables(tmp_path: Path, array: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_localizations(as_npy(tmp_path / "a.npy", array), NEEDS)


def test_an_array_cut_short(tmp_path: Path) -> None:
    path = as_npy(tmp_path / "a.npy", np.zeros((N, 2)))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="ends before the last of its 200 rows"):
        read_localizations(path, NEEDS)


def test_matlab_of_any_program(tmp_path: Path) -> None:
    x, y = np.arange(N) * 1.5, np.arange(N) * 2.5
    path = tmp_path / "table.mat"
    scipy.io.savemat(path, {"data": {"x": x, "y": y, "t": np.arange(N), "window": np.zeros((14, 2))}, "note": "text"})
    with pytest.raises(InputError, match="--columns x=x,y=y,unit=nm"):
        read_localizations(path)
    table = read_localizations(path, ColumnMap(x="x", y="y", unit="um"))
    assert np.array_equal(table["x_nm"], x * 1e3) and table.column_names[3:] == ["x", "y", "t"]
    scipy.io.savemat(path, {"pos": np.column_stack([x, y, x]), "frame": np.arange(N)[:, None]}, do_compression=True)
    table = read_localizations(path, ColumnMap(unit="nm"))
    assert np.array_equal(table["z_nm"], x) and np.array_equal(table["frame"], np.arange(N))
    scipy.io.savemat(path, {"note": "nothing"})
    with pytest.raises(InputError, match="no two columns of numbers of one length"):
        read_localizations(path)


def test_a_matlab_variable_far_larger_than_its_file(tmp_path: Path) -> None:
    path = tmp_path / "bomb.mat"
    scipy.io.savemat(path, {"x": np.zeros((12_000_000, 1)), "y": np.zeros((12_000_000, 1))}, do_compression=True)
    with pytest.raises(InputError, match="over 200 times its"):
        read_localizations(path, ColumnMap(unit="nm"))


def test_feather(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x_nm": XYZ[:, 0], "y_nm": XYZ[:, 1], "dye": pd.Categorical(["a", "b"] * (N // 2))})
    path = tmp_path / "table.feather"
    feather.write_feather(frame, path, chunksize=30)
    table = read_localizations(path, ColumnMap(channel="dye"))
    assert np.array_equal(table["x_nm"], frame["x_nm"])
    assert [s.channel for s in open_sources(path, ColumnMap(channel="dye"))] == ["a", "b"]
    feather.write_feather(frame[:0], path)
    with pytest.raises(InputError, match="holds no localizations"):
        read_localizations(path)
    path.write_bytes(b"FEA1" + bytes(100))
    with pytest.raises(InputError, match="Feather file of version 1"):
        read_localizations(path)


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data beside the repository")
@pytest.mark.parametrize(("name", "rows"), [("2D_ValidOnly", 12_580), ("3D_ValidOnly", 5_812)])
def test_minflux_samples(name: str, rows: int) -> None:
    path = SHARED / "formats" / "minflux" / f"{name}.npy.zip"
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
        raw = np.load(file)
    raw = raw[raw["vld"]]
    loc = raw["itr"]["loc"][:, -1] * 1e9
    table = read_localizations(path)
    kept = ~np.isnan(loc[:, 0])
    assert len(table) == kept.sum() == rows
    axes = "xyz"[: 3 if name.startswith("3") else 2]
    assert np.array_equal(np.column_stack([table[f"{axis}_nm"] for axis in axes]), loc[kept, : len(axes)])
    assert np.array_equal(table["tid"], raw["tid"][kept])


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data beside the repository")
def test_matlab_samples() -> None:
    path = SHARED / "drift" / "npc_localizations.mat"
    data = scipy.io.loadmat(path)["data"][0, 0]
    table = read_localizations(path, ColumnMap(unit="nm"))
    assert len(table) == data["x"].size == 57_778
    for ours, theirs in {"x_nm": "x", "y_nm": "y", "t": "t"}.items():
        assert np.array_equal(table[ours], data[theirs].ravel())
    path = SHARED / "formats" / "minflux" / "Fig1a_Tom70-Dreiklang_Minflux.mat"
    data = scipy.io.loadmat(path)["minflux"][0, 0]
    with pytest.raises(InputError, match="the unit of 'x' is not known"):
        read_localizations(path)
    table = read_localizations(path, ColumnMap(unit="nm"))
    assert np.array_equal(np.column_stack([table["x_nm"], table["y_nm"]]), data["pos"][:, :2])
    assert np.array_equal(table["id"], data["id"].ravel()) and len(table) == 41_132


def test_a_source_in_an_archive_can_be_pickled(tmp_path: Path) -> None:
    path = tmp_path / "cell.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cell.csv", "x_nm,y_nm\n1,2\n3,4\n")
    source = open_source(path, ColumnMap(), None, settle=True)
    content = pickle.dumps(source)
    del source
    (table,) = pickle.loads(content).tables(10)
    assert table["x_nm"].to_pylist() == [1, 3]
