"""MATLAB files of versions 5 to 7, against SciPy's reader."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from caml_dask.errors import InputError
from caml_dask.io.readers import mat5, whole

RNG = np.random.default_rng(8)
KINDS = ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]


def variables() -> dict[str, Any]:
    made: dict[str, Any] = {f"k_{kind}": (RNG.uniform(0, 100, (5, 3))).astype(kind) for kind in KINDS}
    made |= {"flag": np.array([[True, False]]), "one": np.array([[7]], "u1"), "whole": np.arange(9.0)[:, None]}
    made |= {"cube": RNG.uniform(size=(2, 3, 4)), "none": np.zeros((0, 2)), "big": RNG.uniform(size=(20_000, 2))}
    return made


@pytest.mark.parametrize("packed", [False, True])
def test_numbers_are_those_that_scipy_reads(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "a.mat"
    inner = {"x": np.arange(4.0)[:, None], "deep": {"y": np.arange(3)[:, None], "text": "no"}}
    left_out = {"word": "text", "many": np.array([1j, 2]), "cell": np.array([1, "a"], dtype=object)}
    scipy.io.savemat(path, {**variables(), "held": inner, **left_out}, do_compression=packed)
    theirs, ours = scipy.io.loadmat(path), mat5.load(path)
    assert set(mat5.names_in(path)) == {name for name in theirs if not name.startswith("__")}
    assert set(ours) == set(variables()) | {"held"}
    for name in variables():
        assert ours[name].shape == theirs[name].shape and np.array_equal(ours[name], theirs[name]), name
    held = ours["held"]
    assert isinstance(held, dict) and set(held) == {"x", "deep"}
    assert np.array_equal(held["x"], theirs["held"]["x"][0, 0])
    assert set(held["deep"]) == {"y"} and np.array_equal(held["deep"]["y"].ravel(), [0, 1, 2])
    assert set(mat5.load(path, ["one", "held"])) == {"one", "held"}


def test_a_file_of_the_other_byte_order(tmp_path: Path) -> None:
    flags, shape = struct.pack(">IIII", 6, 8, 6, 0), struct.pack(">IIii", 5, 8, 3, 1)
    name, values = struct.pack(">HH4s", 1, 1, b"x"), struct.pack(">II3d", 9, 24, 1.5, 2.5, 3.5)
    body = flags + shape + name + values
    path = tmp_path / "a.mat"
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\1\0MI" + struct.pack(">II", 14, len(body)) + body)
    assert mat5.load(path)["x"].ravel().tolist() == [1.5, 2.5, 3.5] == scipy.io.loadmat(path)["x"].ravel().tolist()


def test_lengths_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"x": np.arange(9.0)})
    whole = path.read_bytes()
    at = whole.index(struct.pack("<II", 9, 72))
    for start, value, message in (
        (132, 1 << 30, "goes on after the end of the file"),
        (at + 4, 64, r"shape \(1, 9\) holds 64 bytes"),
        (at + 4, 8000, "goes on after its end"),
        (at, 99, "values of type 99"),
    ):
        damaged = bytearray(whole)
        damaged[start : start + 4] = struct.pack("<I", value)
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=message):
            mat5.load(path)


@pytest.mark.parametrize("packed", [False, True])
def test_what_needs_more_memory_than_there_is_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    """Doubles that MATLAB stores in a byte each take eight in memory."""
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"x": np.ones((100_000, 2)), "y": np.ones(3)}, do_compression=packed)
    unpacked = []
    monkeypatch.setattr(mat5, "_matrix", lambda *of: unpacked.append(of))
    monkeypatch.setattr(whole, "memory_bytes", lambda: 6_000_000)
    with pytest.raises(InputError, match=r"needs 0\.0 GB; up to 0\.0 GB.*'-v7\.3', which is read in pieces"):
        mat5.load(path)
    assert not unpacked
    monkeypatch.setattr(whole, "memory_bytes", lambda: 20_000_000)
    mat5.load(path)
    assert unpacked


def test_memory_is_that_of_the_machine_or_less() -> None:
    assert 1 << 26 < whole.memory_bytes() <= 1 << 46
