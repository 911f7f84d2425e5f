"""Batches of simulated fields for the field network, each drawn from a seed of its own, so that training can resume."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from threading import Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caml_dask.networks.field.graph import Graph, build_graph
from caml_dask.schema import NO_CLUSTER
from caml_dask.simulate.unknown import Sample, draw_field
from caml_dask.spatial.blocks import BlockIndex

PRECISION_GIVEN = 0.5
"""Share of the fields with known precision whose precision the network is told."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Fields side by side, their localizations in one numbering, and what the network should say of them.

    Attributes
    ----------
    nodes, neighbors, present, edges, directions
        As in :class:`~caml_dask.networks.field.graph.Graph`, field after field.
    region : (f, REGION_INPUTS) float32
        Input of each field's region.
    field : (n,) int32
        Field of each localization.
    clustered : (n,) float32
        1 in a cluster, 0 elsewhere.
    offset : (n, d) float32
        From the localization to the center of its cluster, in the region's unit; 0 elsewhere.
    log_radius : (n,) float32
        Log of the cluster's root mean square radius in the region's unit; 0 elsewhere.
    same : (n, E) float32
        1 where both ends of an edge are in one cluster.
    """

    nodes: NDArray[np.float32]
    neighbors: NDArray[np.int32]
    present: NDArray[np.float32]
    edges: NDArray[np.float32]
    directions: NDArray[np.float32]
    region: NDArray[np.float32]
    field: NDArray[np.int32]
    clustered: NDArray[np.float32]
    offset: NDArray[np.float32]
    log_radius: NDArray[np.float32]
    same: NDArray[np.float32]


def draw_batch(seed: int, number: int, localizations: int, draw: dict[str, Any]) -> Batch:
    """Draw one batch.

    Parameters
    ----------
    seed, number : int
        Of the training, and of the batch in it.
    localizations : int
        Fields are added until there are as many.
    draw : dict
        Keyword arguments of :func:`~caml_dask.simulate.unknown.draw_field`.

    Returns
    -------
    Batch
        The batch.
    """
    graphs: list[Graph] = []
    samples: list[Sample] = []
    total = 0
    while total < localizations:
        rng = np.random.default_rng([seed, number, len(graphs)])
        sample = _in_blocks(draw_field(rng, **draw))
        known = sample.uncertainty_nm[0] > 0 and rng.random() < PRECISION_GIVEN
        graphs.append(build_graph(sample.points_nm, sample.uncertainty_nm if known else None))
        samples.append(sample)
        total += len(sample.truth)
    return join(graphs, samples)


def _in_blocks(sample: Sample) -> Sample:
    """The same field, localizations near one another side by side, so that their messages stay in the CPU's caches."""
    order = BlockIndex.build(sample.points_nm).order
    rows = {name: value[order] for name, value in vars(sample).items() if isinstance(value, np.ndarray)}
    return replace(sample, **rows)


def join(graphs: list[Graph], samples: list[Sample]) -> Batch:
    """Put fields with their truth side by side.

    Parameters
    ----------
    graphs : list of Graph
        The fields.
    samples : list of Sample
        Their truth.

    Returns
    -------
    Batch
        The batch.
    """
    starts = np.cumsum([0] + [len(graph.nodes) for graph in graphs])
    names = ("nodes", "present", "edges", "directions")
    seen = {name: np.concatenate([getattr(graph, name) for graph in graphs]) for name in names}
    moved = [graph.neighbors + np.int32(start) for graph, start in zip(graphs, starts, strict=False)]
    aims = zip(*(_aims(graph, sample) for graph, sample in zip(graphs, samples, strict=True)), strict=True)
    clustered, offset, log_radius, same = (np.concatenate(parts) for parts in aims)
    return Batch(
        **seen,
        neighbors=np.concatenate(moved),
        region=np.stack([graph.region for graph in graphs]),
        field=np.repeat(np.arange(len(graphs), dtype=np.int32), np.diff(starts)),
        clustered=clustered,
        offset=offset,
        log_radius=log_radius,
        same=same,
    )


def _aims(graph: Graph, sample: Sample) -> tuple[NDArray[np.float32], ...]:
    """What the network should say of a field: clustered, offset, log radius, same."""
    truth, points = sample.truth, sample.points_nm / graph.unit_nm
    inside = truth != NO_CLUSTER
    offset, log_radius = np.zeros_like(points), np.zeros(len(truth))
    if inside.any():
        number = truth[inside]
        count = np.bincount(number).astype(np.float64)
        center = np.stack([np.bincount(number, column) for column in points[inside].T], axis=1) / count[:, None]
        offset[inside] = center[number] - points[inside]
        square = np.bincount(number, (offset[inside] ** 2).sum(axis=1)) / count
        log_radius[inside] = 0.5 * np.log(np.maximum(square, 1e-6))[number]
    same = inside[:, None] & (truth[:, None] == truth[graph.neighbors])
    return tuple(aim.astype(np.float32) for aim in (inside, offset, log_radius, same))


def end_with_parent() -> None:
    """Have this process end when the one that started it does, also where that one is killed."""
    parent = parent_process()
    if parent is not None:
        Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()


def stream(seed: int, first: int, last: int, localizations: int, draw: dict[str, Any], workers: int) -> Iterator[Batch]:
    """Draw batches in processes of their own, in their order.

    Parameters
    ----------
    seed : int
        Of the training.
    first, last : int
        Numbers of the first batch, and of the one after the last.
    localizations, draw
        As of :func:`draw_batch`.
    workers : int
        Processes; 0 draws them in this one.

    Yields
    ------
    Batch
        The batches.
    """
    if workers == 0:
        for number in range(first, last):
            yield draw_batch(seed, number, localizations, draw)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=end_with_parent) as pool:
        ahead: list[Future[Batch]] = []
        for number in range(first, last + 4 * workers):
            if number < last:
                ahead.append(pool.submit(draw_batch, seed, number, localizations, draw))
            if len(ahead) > 4 * workers or (number >= last and ahead):
                yield ahead.pop(0).result()
        yield from (future.result() for future in ahead)
