"""The kernels of an analysis, compiled before it begins where they do not stand on disk: shared out among the cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from subprocess import DEVNULL, TimeoutExpired

import numpy as np

from caml_dask import other_python
from caml_dask.compiled import announcement, is_kept
from caml_dask.geometry.circles import exposed_arcs
from caml_dask.geometry.outline import closing_outlines
from caml_dask.geometry.spheres import exposed_parts
from caml_dask.geometry.volume import closing_volumes
from caml_dask.methods import DBSCAN, METHODS, DominantSets, GetisFranklin, Voronoi
from caml_dask.networks.field.graph import EDGE_INPUTS, NODE_INPUTS, Graph, build_graph
from caml_dask.networks.field.messages import messages_of_a_round
from caml_dask.networks.field.ranks import EDGE_RANKS
from caml_dask.networks.field.region import REGION_INPUTS
from caml_dask.networks.field.trained import LEAST_LOCALIZATIONS, load_field_network
from caml_dask.networks.field.whole import say
from caml_dask.networks.trained import TrainedNetwork, load, load_of_windows
from caml_dask.spatial.blocks import BlockIndex
from caml_dask.spatial.candidates import fill
from caml_dask.spatial.density import dense, linked, nearest_within, unite_dense
from caml_dask.spatial.dominant import dominant_sets, peel
from caml_dask.spatial.labelled import LabelledIndex
from caml_dask.spatial.links import exact_sums
from caml_dask.spatial.neighbors import nearest
from caml_dask.spatial.ranked import ranked_keys
from caml_dask.spatial.searches import unite
from caml_dask.spatial.voronoi import Answers, Known, find_cells, nearest_sites, voronoi_cells

_LONGEST_S = 300.0  # that is waited for a process; what it has not compiled by then is compiled when it is called


@cache
def compile_kernels(name: str, measures: bool = True) -> None:
    """Compile what labels and links with the network or method `name`; nothing to do where it stands on disk.

    Numba compiles one kernel at a time in a process: where there are cores, they have a process each.

    measures : compile what measures clusters too.
    """
    missing = _missing(name, measures)
    if missing:
        announcement.make("compiling the numerical kernels for this machine (once; about 20 s)")
        mine, *others = _shared_out(missing, _cores() if other_python.can_start() else 1)
        with _elsewhere(name, others):
            compile_parts(name, *mine)


def compile_parts(name: str, *parts: str) -> None:
    """Compile parts of the kernels by calling what they are of.

    name : of the network or method.
    parts : of `_PARTS`.
    """
    for part in parts:
        _PARTS[part](name)


def _scores(name: str) -> None:
    """Score one window."""
    network = load_of_windows(name)
    network.scores(np.ones((1, network.n_neighbors), np.float32))


def _searches(name: str) -> None:
    """Link a handful of localizations."""
    points = np.eye(4, load(name).dimensions)
    labels, reach_nm = np.ones(len(points), np.int8), np.ones(len(points))
    index = LabelledIndex.of_sorted(points, labels)
    index.nearest_other_nm(points, labels, reach_nm)
    index.count_same(points, labels, reach_nm, 3)
    index.components(reach_nm)
    exact_sums(reach_nm, np.array([0, len(points)]))


def _neighbors(name: str) -> None:
    """Find the neighbors of a handful of localizations."""
    axes = 2 if name in METHODS else load(name).dimensions  # of a method, those of most images
    nearest(BlockIndex.build(np.eye(4, axes)), 1)


def _density(name: str) -> None:
    """Link what is dense of a handful of localizations."""
    index = BlockIndex.build(np.eye(4, 2))
    dense(index, 4, 1.0, 2)
    linked(index, 1.0)
    nearest_within(index, np.eye(2), 1.0)
    exact_sums(np.ones(2), np.array([0, 2]))


def _cells(name: str) -> None:
    """Find the Voronoi cells of a handful of localizations."""
    index = BlockIndex.build(np.eye(4, 2))
    known = Known(index, np.array([-np.inf, -np.inf, np.inf, np.inf]), np.array([0.0, 0, 1, 1]), 1.0)
    voronoi_cells(known, np.arange(1), Answers.none(1))
    nearest_sites(index, np.eye(2), np.ones(2))
    exact_sums(np.ones(2), np.array([0, 2]))


def _dominant(name: str) -> None:
    """Find the dominant sets of a handful of localizations."""
    dominant_sets(np.eye(4, 2), 1.0)
    exact_sums(np.ones(2), np.array([0, 2]))


def _outlines(name: str) -> None:
    """Outline one cluster; one in 3D has the outline it shows along z."""
    closing_outlines(np.eye(2), np.array([0, 2]), np.ones(1))


def _volumes(name: str) -> None:
    """Measure the volume of one cluster."""
    closing_volumes(np.eye(3), np.array([0, 3]), np.ones(1))


def _graph(name: str) -> None:
    """Find what a field network sees of a handful of localizations."""
    build_graph(np.random.default_rng(0).random((LEAST_LOCALIZATIONS, load(name).dimensions)))


def _messages(name: str) -> None:
    """Ask a field network about two localizations at one place."""
    network = load_field_network(name)
    edges = 2, len(EDGE_RANKS)
    graph = Graph(
        nodes=np.zeros((2, NODE_INPUTS), np.float32),
        neighbors=np.zeros(edges, np.int32),
        present=np.ones(edges, np.float32),
        edges=np.zeros((*edges, EDGE_INPUTS), np.float32),
        directions=np.zeros((*edges, network.dimensions), np.float32),
        region=np.zeros(REGION_INPUTS, np.float32),
        unit_nm=1.0,
    )
    say(network.weights, graph)


_PARTS: Mapping[str, Callable[[str], None]] = {
    "scores": _scores,
    "searches": _searches,
    "neighbors": _neighbors,
    "density": _density,
    "cells": _cells,
    "dominant": _dominant,
    "graph": _graph,
    "messages": _messages,
    "outlines": _outlines,
    "volumes": _volumes,
}
_SECONDS = {
    "scores": 4.0,
    "searches": 7.0,
    "neighbors": 8.0,
    "density": 6.0,
    "cells": 6.0,
    "dominant": 4.0,
    "graph": 8.0,
    "messages": 14.0,
    "outlines": 13.0,
    "volumes": 20.0,
}
"""What compiling a part takes, roughly; parts that have kernels in common are short ones or far apart."""


def _missing(name: str, measures: bool) -> list[str]:
    """The parts that do not stand on disk."""
    outlines = not measures or is_kept(exposed_arcs)
    if name in METHODS:
        kept = {"neighbors": is_kept(fill, 2), "outlines": outlines}
        if name in (DBSCAN.name, GetisFranklin.name):
            kept["density"] = is_kept(unite_dense)
        if name == Voronoi.name:
            kept["cells"] = is_kept(find_cells)
        if name == DominantSets.name:
            kept["dominant"] = is_kept(peel)
        return [part for part in _PARTS if not kept.get(part, True)]
    network = load(name)
    axes = network.dimensions
    kept = {
        "searches": is_kept(unite, axes),
        "outlines": outlines,
        "volumes": not measures or axes == 2 or is_kept(exposed_parts),
    }
    if isinstance(network, TrainedNetwork):
        scores = getattr(getattr(network.spec.score, "func", None), "kernel", None)
        kept |= {"scores": scores is None or is_kept(scores), "neighbors": is_kept(fill, axes)}
    else:
        kept |= {"graph": is_kept(ranked_keys, axes), "messages": is_kept(messages_of_a_round)}
    return [part for part in _PARTS if not kept.get(part, True)]


def _shared_out(parts: list[str], processes: int) -> list[list[str]]:
    """Parts for up to so many processes, about as much for each, the first one's the most.

    The longest part goes to whoever has least, and so on. Each compiles its shortest first: by the time it comes to
    the longer ones, which have kernels in common, another has kept these on disk.
    """
    shares: list[list[str]] = [[] for _ in range(min(processes, len(parts)))]
    for part in sorted(parts, key=_SECONDS.__getitem__, reverse=True):
        min(shares, key=_seconds).insert(0, part)
    return sorted(shares, key=_seconds, reverse=True)


def _seconds(parts: list[str]) -> float:
    return sum(_SECONDS[part] for part in parts)


@contextmanager
def _elsewhere(name: str, shares: list[list[str]]) -> Iterator[None]:
    """Compile while the context lasts, a process a share; what fails there is compiled here when it is called."""
    helpers = []
    for parts in shares:
        with suppress(OSError):
            helpers.append(
                other_python.start(compile_parts, name, *parts, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)
            )
    try:
        yield
        for helper in helpers:
            with suppress(TimeoutExpired):
                helper.wait(_LONGEST_S)
    finally:
        for helper in helpers:
            helper.kill()
            helper.wait()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
