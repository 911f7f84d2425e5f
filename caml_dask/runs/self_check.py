"""Whether this machine is fit for a run: a line a check, the last of them a tiny run with a known result."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow.csv import write_csv

from caml_dask import __version__
from caml_dask.compiled import is_temporary, kept_in
from caml_dask.errors import CamlError
from caml_dask.executors.deployment.clusters import cores
from caml_dask.executors.deployment.settings import Local
from caml_dask.io.manifest import Image
from caml_dask.results.run import open_run
from caml_dask.runs.doctor import OK, PROBLEM, WARNING, Finding, memory_of, needed_bytes, of_this_machine
from caml_dask.runs.session import begun, executor, write_summary
from caml_dask.settings import Settings
from caml_dask.simulate import Scenario, simulate_square
from caml_dask.spatial.candidates import fill

_PACKAGES = ("numpy", "scipy", "pyarrow", "pandas", "shapely", "scikit-learn", "numba", "dask", "distributed", "zarr")
_PYTHONS = ((3, 11), (3, 14))  # the first that is supported, and the first that is no more
_DISK_FACTOR, _LEAST_FREE = 8, 1 << 30  # measured: up to 6.4 times a CSV while its working tables are there
_SCENARIO = Scenario(points_per_cluster=20, r_max_nm=50.0, percent_clustered=50.0, density_per_um2=100.0)
_SIDE_NM, _SEED, _TILE = 2000.0, 1, 150
KNOWN = {"localizations": 379, "clusters": 11, "in_clusters": 198}
"""What XPILJZ finds in the tiny field on any machine: no score is nearer to the threshold than 0.02."""


def examine_machine(inputs: Sequence[Path], out: Path, settings: Settings) -> list[Finding]:
    """All that can be checked of this machine in less than a minute.

    Parameters
    ----------
    inputs : sequence of Path
        Files of the run that is meant; there may be none.
    out : Path
        Its directory; it need not exist.
    settings : Settings
        Those of the run.

    Returns
    -------
    list of Finding
        The tiny run last.
    """
    found = [*_versions(), *_compiled_code()]
    found += of_this_machine([*inputs, out], out, everywhere=False)
    found += _machine(inputs, settings)
    found += _disk(inputs, out)
    return [*found, *_tiny_run()]


def _versions() -> Iterator[Finding]:
    python = platform.python_version()
    yield Finding(OK, f"caml_dask {__version__}, Python {python} ({sys.executable}), {platform.platform()}")
    if not _PYTHONS[0] <= sys.version_info[:2] < _PYTHONS[1]:
        wanted = f"{_PYTHONS[0][0]}.{_PYTHONS[0][1]} to {_PYTHONS[1][0]}.{_PYTHONS[1][1] - 1}"
        yield Finding(WARNING, f"caml_dask is tested with Python {wanted}; this is {python}")
    found = {name: _version(name) for name in _PACKAGES}
    if missing := [name for name, its in found.items() if its is None]:
        yield Finding(PROBLEM, f"not installed: {', '.join(missing)}; install caml_dask again in this environment")
    yield Finding(OK, ", ".join(f"{name} {its}" for name, its in found.items() if its is not None))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _compiled_code() -> Iterator[Finding]:
    """Where compiled kernels are kept, and whether they can be: without that every run compiles anew."""
    advice = "set NUMBA_CACHE_DIR to a folder that can be written to, or every run compiles anew"
    place = kept_in(fill)
    if place is None or is_temporary():
        where = "" if place is None else f", but for this run in {place}"
        yield Finding(WARNING, f"compiled kernels are not kept{where}: {advice}")
        return
    standing = next(folder for folder in (place, *place.parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=standing):
            pass
    except OSError as error:
        yield Finding(WARNING, f"compiled kernels cannot be kept in {place} ({error.strerror}): {advice}")
        return
    there = len(list(place.glob("*.nbc"))) if place.exists() else 0
    text = f"{there} are there" if there else "none is there yet: the first run compiles them"
    yield Finding(OK, f"compiled kernels are kept in {place}; {text}")


def _machine(inputs: Sequence[Path], settings: Settings) -> Iterator[Finding]:
    yield Finding(OK, f"{cores()} of {os.cpu_count()} cores can be used: as many workers by default")
    yield from memory_of(Local(), needed_bytes(inputs, settings))


def _disk(inputs: Sequence[Path], out: Path) -> Iterator[Finding]:
    standing = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    free, size = shutil.disk_usage(standing).free, sum(path.stat().st_size for path in inputs if path.is_file())
    need = max(_LEAST_FREE, _DISK_FACTOR * size)
    text = f"{free / 2**30:.1f} GiB are free on the disk of {standing}"
    if free >= need:
        yield Finding(OK, text)
    else:
        yield Finding(WARNING, f"{text}; the run may need {need / 2**30:.1f} GiB: make room, or choose another --out")


class _Failures:
    """An observer that says nothing, and keeps the reasons of failures."""

    def __init__(self) -> None:
        self.failed: dict[str, BaseException] = {}

    def stage_started(self, image: Image, stage: str, total: int, pending: int) -> None:
        """A stage of an image begins."""

    def unit_done(self, image: Image, record: dict[str, Any]) -> None:
        """A unit is done."""

    def image_done(self, image: Image) -> None:
        """All stages of an image are done."""

    def image_failed(self, image: Image, error: BaseException) -> None:
        """An image cannot be analysed."""
        self.failed[image.image_id] = error


def _tiny_run() -> Iterator[Finding]:
    """A few hundred simulated localizations, on one tile in this process and on several on a worker."""
    with tempfile.TemporaryDirectory(prefix="caml_dask-doctor-") as folder:
        table = Path(folder) / "tiny.csv"
        chunks = list(simulate_square(_SCENARIO, _SIDE_NM, np.random.default_rng(_SEED)))
        x, y = np.vstack([chunk.xy_nm for chunk in chunks]).T
        write_csv(pa.table({"x [nm]": x, "y [nm]": y}), table)
        results = {}
        for workers, where in ((0, "in this process"), (1, "on one worker")):
            start = time.monotonic()
            try:
                results[workers] = _run(table, Path(folder) / f"out{workers}", workers)
            except (CamlError, OSError) as error:
                yield Finding(PROBLEM, f"a tiny run {where} fails: {error}")
                continue
            found = {name: results[workers][0][name] for name in KNOWN}
            said = ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in found.items())
            if found == KNOWN:
                yield Finding(OK, f"a tiny run {where} gives {said}, as it should ({time.monotonic() - start:.1f} s)")
            else:
                wanted = ", ".join(str(value) for value in KNOWN.values())
                yield Finding(PROBLEM, f"a tiny run {where} gives {said}; it should give {wanted}: report this")
        if len(results) == 2 and not results[0][1].equals(results[1][1]):
            yield Finding(PROBLEM, "the tiny run gives other points on a worker than in this process: report this")


def _run(table: Path, out: Path, workers: int) -> tuple[dict[str, Any], Any]:
    """Summary and points of the tiny field."""
    settings = Settings(network="XPILJZ", max_localizations=_TILE if workers else None)
    with begun([table], out, settings, resume=False, overwrite=False) as run:
        watch = _Failures()
        with executor(run, Local(workers) if workers else None) as chosen:
            chosen.execute(run, watch)
        for error in watch.failed.values():
            raise CamlError(str(error))
        write_summary(run, {})
    (image,) = open_run(out).images.values()
    return dict(image.summary), image.points
