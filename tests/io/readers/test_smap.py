"""SMAP: MATLAB 7.3 and earlier versions."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pytest
import scipy.io
from support import SHARED, open_sources

from caml_dask.errors import InputError
from caml_dask.io.readers.sources import read_localizations

N = 1000
LOC = {
    "frame": np.arange(N, dtype=np.float64),
    "xnm": np.linspace(0, 5000, N, dtype=np.float32),
    "ynm": np.linspace(100, 900, N, dtype=np.float32),
    "znm": np.linspace(-300, 300, N, dtype=np.float32),
    "phot": np.full(N, 500.0, np.float32),
    "bg": np.full(N, 7.0),
    "locprecnm": np.full(N, 9.5, np.float32),
    "locprecznm": np.full(N, 25.0, np.float32),
    "channel": (np.arange(N) % 2).astype(np.float32),
    "xpix": np.zeros(N, np.float32),
}
NAMES = [
    "loc_id",
    "x_nm",
    "y_nm",
    "z_nm",
    "frame",
    "photons",
    "background_photons",
    "uncertainty_nm",
    "uncertainty_z_nm",
]


def version_73(path: Path, loc: dict[str, np.ndarray], rows_first: bool = False) -> Path:
    """As MATLAB writes it: vectors of one row (or one column), in one packed chunk, behind 512 bytes of its own."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in loc.items():
            array = values[:, None] if rows_first else values[None]
            file.create_dataset(f"saveloc/loc/{name}", data=array, compression="gzip", chunks=array.shape)
    content = path.read_bytes()
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512) + content[512:])
    return path


def version_5(path: Path, loc: dict[str, np.ndarray]) -> Path:
    loc = {name: values[:, None] for name, values in loc.items()}
    scipy.io.savemat(path, {"saveloc": {"loc": loc, "history": "none"}}, do_compression=True)
    return path


@pytest.mark.parametrize("make", [version_73, version_5, lambda path, loc: version_73(path, loc, rows_first=True)])
def test_all_versions_give_the_same_table(tmp_path: Path, make: object) -> None:
    path = make(tmp_path / "cell_sml.mat", LOC)  # type: ignore[operator]
    table = read_localizations(path)
    assert table.column_names == [*NAMES, "channel", "xpix"] or set(table.column_names) == {*NAMES, "channel", "xpix"}
    for ours, theirs in {
        "x_nm": "xnm",
        "y_nm": "ynm",
        "z_nm": "znm",
        "photons": "phot",
        "uncertainty_nm": "locprecnm",
    }.items():
        assert np.array_equal(table[ours], LOC[theirs]), ours
    sources = open_sources(path)
    assert [(s.format, s.channel, s.has_z) for s in sources] == [("SMAP", "0", True), ("SMAP", "1", True)]
    (odd,) = sources[1].tables(10_000)
    assert np.array_equal(odd["loc_id"], np.arange(1, N, 2))


def test_a_chunk_that_is_longer_than_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = version_73(tmp_path / "cell_sml.mat", LOC)
    whole = read_localizations(path)
    monkeypatch.setattr("caml_dask.io.readers.hdf5.BLOCK_ROWS", 64)
    monkeypatch.setattr("caml_dask.io.readers.hdf5._LONGEST_BLOCK", 100)
    (first, *_) = open_sources(path)
    assert max(batch.num_rows for batch in first.reader.batches()) == 100
    assert read_localizations(path).equals(pa.concat_tables([whole]))


def test_without_coordinates(tmp_path: Path) -> None:
    for make in (version_73, version_5):
        path = make(tmp_path / "bad_sml.mat", {name: LOC[name] for name in ("frame", "xnm")})
        with pytest.raises(InputError, match="no xnm and ynm of one length"):
            read_localizations(path)


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data beside the repository")
def test_sample() -> None:
    path = SHARED / "formats" / "smap_dstorm_data.mat"
    table = read_localizations(path)
    with h5py.File(path) as file:
        loc = {name: array[0] for name, array in file["saveloc/loc"].items()}
    assert len(table) == 4884 == len(loc["xnm"])
    for ours, theirs in {
        "x_nm": "xnm",
        "y_nm": "ynm",
        "z_nm": "znm",
        "photons": "phot",
        "uncertainty_nm": "locprecnm",
    }.items():
        assert np.array_equal(table[ours], loc[theirs], equal_nan=True)
    assert len(table.column_names) == len(loc) + 1
