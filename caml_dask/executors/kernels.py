"""The kernels of an analysis, compiled before it begins where they do not stand on disk: by a process for each part."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import numpy as np

from caml_dask.compiled import announcement, is_kept
from caml_dask.geometry.circles import exposed_arcs
from caml_dask.geometry.spheres import exposed_parts
from caml_dask.networks.trained import TrainedNetwork, load
from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.candidates import fill
from caml_dask.spatial.labelled import LabelledIndex
from caml_dask.spatial.links import exact_sums
from caml_dask.spatial.neighbors import nearest
from caml_dask.spatial.searches import unite

_LONGEST_S = 300.0  # that is waited for a part; what it has not compiled by then is compiled when it is called
_OUTLINES = "from caml_dask.geometry.outline import closing_outlines as call; axes = 2"
_VOLUMES = "from caml_dask.geometry.volume import closing_volumes as call; axes = 3"
_CALL = "; import numpy as np; call(np.eye(axes), np.array([0, axes]), np.ones(1))"


@cache
def compile_kernels(name: str) -> None:
    """Compile what labels with the network `name`, links and measures; nothing to do where it stands on disk.

    Numba compiles one kernel at a time in a process: where there are cores, what measures has processes of its own.
    """
    network = load(name)
    if not isinstance(network, TrainedNetwork):
        return
    axes = network.dimensions
    missing = [] if is_kept(exposed_arcs) else [_OUTLINES]
    missing += [] if axes == 2 or is_kept(exposed_parts) else [_VOLUMES]
    scores = getattr(getattr(network.spec.score, "func", None), "kernel", None)
    labels = is_kept(fill, axes) and is_kept(unite, axes) and (scores is None or is_kept(scores))
    if missing or not labels:
        announcement.make("compiling the numerical kernels for this machine (once; about 20 s)")
        with _elsewhere(missing if _cores() > 1 else []):
            _label(network)


def _label(network: TrainedNetwork) -> None:
    """Label and link a handful of localizations."""
    points = np.random.default_rng(0).random((4, network.dimensions))
    nearest(BlockIndex.build(points), 1)
    network.scores(np.ones((1, network.n_neighbors), np.float32))
    labels, reach_nm = np.ones(len(points), np.int8), np.ones(len(points))
    index = LabelledIndex.of_sorted(points, labels)
    index.nearest_other_nm(points, labels, reach_nm)
    index.count_same(points, labels, reach_nm, 3)
    index.components(reach_nm)
    exact_sums(reach_nm, np.array([0, len(points)]))


@contextmanager
def _elsewhere(parts: list[str]) -> Iterator[None]:
    """Compile parts while the context lasts, each in a process; what fails there is compiled here when it is called."""
    python = Path(sys.executable or "")
    helpers = []
    if python.name.startswith("python"):  # embedded, it may be another program
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        for part in parts:
            with suppress(OSError):
                helpers.append(subprocess.Popen(
                    [python, "-c", part + _CALL], env=environment, stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                ))  # fmt: skip
    try:
        yield
        for helper in helpers:
            with suppress(subprocess.TimeoutExpired):
                helper.wait(_LONGEST_S)
    finally:
        for helper in helpers:
            helper.kill()
            helper.wait()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
