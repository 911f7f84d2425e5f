"""The field network asked about a field that is one region."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from caml_dask.networks.field.graph import CHANNELS, ROUNDS, Graph
from caml_dask.networks.field.messages import Edges
from caml_dask.networks.field.network import Layers
from caml_dask.networks.field.said import Said

_F = NDArray[np.float32]


class AfterRounds(NamedTuple):
    """What stands for the n localizations of a field when all rounds of messages are done.

    Attributes
    ----------
    edges : Edges
        Of the field.
    h : (n, WIDTH) float32
        What stands for each localization.
    vectors : (n, CHANNELS, d) float32
        What stands for it beside that.
    around : (n, c) float32
        Context of the field.
    """

    edges: Edges
    h: _F
    vectors: _F
    around: _F


def say(weights: Mapping[str, _F], graph: Graph, threads: int = 1) -> Said:
    """Ask the network about a field.

    Parameters
    ----------
    weights : mapping of str to float32 array
        By name, as trained.
    graph : Graph
        The field.
    threads : int
        That share the messages.

    Returns
    -------
    Said
        The answer; no bit of it depends on `threads`.
    """
    layers = Layers(weights)
    with ThreadPoolExecutor(threads) as pool:
        known = after_rounds(layers, graph, pool)
        return layers.answer(*known, np.full(len(graph.nodes), graph.unit_nm), pool)


def after_rounds(layers: Layers, graph: Graph, pool: ThreadPoolExecutor | None = None) -> AfterRounds:
    """Do all rounds of messages over a field.

    Parameters
    ----------
    layers : Layers
        The network.
    graph : Graph
        The field.
    pool : ThreadPoolExecutor or None
        Threads that share the messages.

    Returns
    -------
    AfterRounds
        What is known then.
    """
    n = len(graph.nodes)
    edges = Edges(graph.neighbors, graph.present, graph.edges, graph.directions)
    context, traits = layers.regions(graph.region[None])
    h = layers.enter(graph.nodes, np.repeat(context, n, axis=0), np.repeat(traits, n, axis=0))
    vectors = np.zeros((n, CHANNELS, graph.directions.shape[2]), np.float32)
    for r in range(ROUNDS):
        h, vectors = layers.exchange(r, edges, h, vectors, np.repeat(context, n, axis=0), pool)
        steps = layers.share(r, h, pool).sum(axis=0)[None]
        context = layers.context_after(r, context, steps, np.array([n]))
    return AfterRounds(edges, h, vectors, np.repeat(context, n, axis=0))
