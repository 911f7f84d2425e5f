"""How kernels are compiled and kept: how often, what is said of it, and what happens where nothing can be kept."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import caml_dask
from caml_dask import compiled, other_python
from caml_dask.executors import kernels

PACKAGE = Path(caml_dask.__file__).parent
# One core, so that no other process compiles any of them.
ANALYSE = """
import json, logging, os, sys
said = []
handler = logging.Handler()
handler.emit = lambda record: said.append(record.getMessage())
logging.getLogger("caml_dask").addHandler(handler)
logging.getLogger("caml_dask").setLevel(logging.INFO)
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import numpy as np
from numba.core.event import RecordingListener, register
import caml_dask
register("numba:compile", compilations := RecordingListener())
rng = np.random.default_rng(0)
xy = np.vstack([rng.random((200, 2)) * 3000, 1000 + 300 * rng.random((200, 2))])
caml_dask.analyze(xy, max_localizations=150)
signatures = {
    f"{name}.{kernel.__name__}": [str(s) for s in kernel.signatures]
    for name, module in list(sys.modules.items()) if name.startswith("caml_dask.")
    for kernel in vars(module).values() if hasattr(kernel, "signatures") and kernel.__module__ == name
}
print(json.dumps({"said": said, "signatures": signatures, "compiled": len(compilations.buffer)}))
"""
CLUSTER = """
import json
import numpy as np
from numba.core.event import RecordingListener, register
from caml_dask import CAML
register("numba:compile", compilations := RecordingListener())
CAML("XPILJZ").fit(np.random.default_rng(0).uniform(0, 2000, (300, 2)))
print(json.dumps([event.data["dispatcher"].py_func.__name__ for _, event in compilations.buffer]))
"""
FIRST_FROM = """
import os
from caml_dask.sorting import first_from
import numpy as np
assert first_from(np.arange(5), 3) == 3
folder = os.environ.get("NUMBA_CACHE_DIR", "none")
print(folder, oct(os.stat(folder).st_mode & 0o777), sum(len(files) for _, _, files in os.walk(folder)))
"""


def run(script: str, package: Path = PACKAGE, **environment: str | None) -> subprocess.CompletedProcess[str]:
    """A script in a new process; a variable that is None is unset."""
    env = {**os.environ, "PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    env = {name: value for name, value in env.items() if value is not None}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=package.parent, env=env, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done


def test_a_first_analysis_compiles_each_kernel_once_and_says_so_once(tmp_path):
    first = json.loads(run(ANALYSE, NUMBA_CACHE_DIR=str(tmp_path)).stdout)
    assert [line for line in first["said"] if "compiling" in line] == [
        "compiling the numerical kernels for this machine (once; about 20 s)"
    ]
    of_two_types = {"grown", "stable_order", "_insert"}  # rows or keys of floats, and of whole numbers
    for name, signatures in first["signatures"].items():
        assert len(signatures) <= 1 + (name.rpartition(".")[2] in of_two_types), name
    for name in ("spatial.candidates.fill", "geometry.circles.exposed_arcs", "networks.field.graph._turn"):
        assert len(first["signatures"][f"caml_dask.{name}"]) == 1
    again = json.loads(run(ANALYSE, NUMBA_CACHE_DIR=str(tmp_path)).stdout)
    assert again["compiled"] == 0
    assert not [line for line in again["said"] if "compiling" in line]


def test_a_clusterer_compiles_nothing_that_measures_and_half_of_the_rest_elsewhere(tmp_path):
    compiled_here = json.loads(run(CLUSTER, NUMBA_CACHE_DIR=str(tmp_path)).stdout)
    on_disk = {path.name.partition("-")[0] for path in tmp_path.rglob("*.nbi")}
    assert {"candidates.fill", "searches.unite", "dense._dense_scores"} <= on_disk
    assert not [name for name in on_disk if name.startswith(("outline.", "circles.", "volume.", "spheres."))]
    if kernels._cores() > 1:
        assert "unite" in compiled_here and "fill" not in compiled_here


@pytest.mark.parametrize("part", kernels._PARTS)
def test_a_part_can_be_compiled_by_another_process(part):
    network = "field-2d" if part in ("graph", "messages") else "GAXJPR"
    assert other_python.start(kernels.compile_parts, network, part).wait(600) == 0


@pytest.mark.parametrize("measures", [False, True])
@pytest.mark.parametrize(("network", "axes"), [("XPILJZ", 2), ("GAXJPR", 3)])
def test_only_what_an_analysis_calls_is_compiled(network, axes, measures, monkeypatch):
    monkeypatch.setattr(kernels, "is_kept", lambda kernel, axes=None: False)
    shapes = ["outlines", "volumes"][: axes - 1] if measures else []
    assert kernels._missing(network, measures) == ["scores", "searches", "neighbors", *shapes]


@pytest.mark.parametrize("processes", range(1, 8))
def test_parts_are_shared_out_evenly(processes):
    parts = list(kernels._PARTS)
    shares = kernels._shared_out(parts, processes)
    assert sorted(part for share in shares for part in share) == sorted(parts)
    assert len(shares) == min(processes, len(parts)) and all(shares)
    seconds = [kernels._seconds(share) for share in shares]
    assert seconds == sorted(seconds, reverse=True)
    assert seconds[0] <= max(kernels._seconds(parts) / processes * 4 / 3, max(kernels._SECONDS.values()))
    for share in shares:
        assert share == sorted(share, key=kernels._SECONDS.__getitem__)


def test_nothing_is_prepared_twice(caplog):
    caplog.set_level(logging.INFO, "caml_dask")
    kernels.compile_kernels("XPILJZ")
    caplog.clear()
    kernels.compile_kernels.cache_clear()
    kernels.compile_kernels("XPILJZ")
    assert not caplog.messages


@pytest.fixture
def sealed(tmp_path):
    """A copy of the package beside whose files nothing can be kept, by whomever: files stand where folders would."""
    package = tmp_path / "caml_dask"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in [package, *(path for path in package.rglob("*") if path.is_dir())]:
        (folder / "__pycache__").touch()
    return package


def test_where_nothing_can_be_written_a_temporary_folder_serves(sealed):
    nowhere = {"HOME": "/proc/nowhere", "XDG_CACHE_HOME": "/proc/nowhere", "NUMBA_CACHE_DIR": None}
    done = run(FIRST_FROM, sealed, **nowhere)
    folder, mode, files = done.stdout.split()
    assert Path(folder).name.startswith("caml_dask-kernels-")
    assert mode == "0o700"
    assert int(files) > 0
    assert not Path(folder).exists()
    assert done.stderr.count("no folder for compiled kernels can be written") == 1
    assert "set NUMBA_CACHE_DIR" in done.stderr


def test_where_there_is_no_temporary_folder_either_kernels_still_run(sealed):
    script = "import tempfile; tempfile.tempdir = '/proc/nowhere'\n" + FIRST_FROM.partition("folder =")[0]
    run(script, sealed, HOME="/proc/nowhere", XDG_CACHE_HOME="/proc/nowhere", NUMBA_CACHE_DIR=None)


def test_a_damaged_file_costs_a_compilation(tmp_path):
    run(FIRST_FROM, NUMBA_CACHE_DIR=str(tmp_path))
    kept = [path for path in tmp_path.rglob("*.nb?") if "first_from" in path.name]
    assert {path.suffix for path in kept} == {".nbi", ".nbc"}
    for suffix in (".nbc", ".nbi"):
        for path in kept:
            if path.suffix == suffix:
                path.write_bytes(path.read_bytes()[:40])
        run(FIRST_FROM, NUMBA_CACHE_DIR=str(tmp_path))


def test_a_full_disk_costs_a_warning(monkeypatch, caplog):
    @compiled.njit()
    def double(x):
        return 2 * x

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(double._cache._cache_file, "save", full)
    monkeypatch.setattr(compiled._Cache, "failed", False)
    assert double(2) == 4
    assert double(2.5) == 5.0
    assert len([line for line in caplog.messages if "No space left" in line]) == 1


def test_a_kernel_is_stale_when_one_that_it_may_call_has_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "_PACKAGE", tmp_path)

    def digest() -> str:
        return compiled._sources.__wrapped__()

    for folder, text in (("spatial", "@njit()\ndef f(): ..."), ("spatial", "SIDE = 1"), ("cli", "HELP = 1")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / f"m{len(text)}.py").write_text(text)
    before = digest()
    (tmp_path / "cli" / "m8.py").write_text("HELP = 2")
    assert digest() == before
    (tmp_path / "spatial" / "m8.py").write_text("SIDE = 2")
    assert digest() != before
