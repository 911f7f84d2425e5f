"""What the field network says of the localizations of a field, without the framework that trained it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from caml_dask.networks.field.graph import CHANNELS, NEAR_EDGES, ROUNDS, WIDTH, Graph
from caml_dask.networks.field.layers import add_pulls, one_layer, two_layers
from caml_dask.networks.field.messages import Edges, forward
from caml_dask.networks.inference.lanes import LINEAR, RECTIFIED, packed

SHARED = 16
"""Numbers that a localization gives to its region after the middle round."""
SHARED_STEPS = 255
"""They are counted in whole steps, so that their sum does not depend on an order."""
NODE_HEADS = 4
"""Of a localization: clustered, weight of its own place, log radius, log scale of the offset's error."""
EDGE_HEADS = 2
"""Of an edge: weight of the neighbor's place in the offset, same cluster."""


_Packed = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Said:
    """What the network says.

    Attributes
    ----------
    clustered : (n,) float32
        Probability that the localization is in a cluster.
    offset_nm : (n, d) float64
        From the localization to the center of its cluster, in nm.
    radius_nm : (n,) float64
        Root mean square radius of its cluster in nm.
    error_nm : (n,) float64
        Scale of the offset's error in nm.
    same : (n, E) float32
        Probability that both ends of an edge are in one cluster.
    """

    clustered: NDArray[np.float32]
    offset_nm: NDArray[np.float64]
    radius_nm: NDArray[np.float64]
    error_nm: NDArray[np.float64]
    same: NDArray[np.float32]


def say(weights: Mapping[str, NDArray[np.float32]], graph: Graph, threads: int = 1) -> Said:
    """Ask the network about a field that is one region.

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
    pack = _packed(weights)
    n, axes = len(graph.nodes), graph.directions.shape[2]
    nothing = np.empty((n, 0), np.float32)
    edges = Edges(graph.neighbors, graph.present, graph.edges, graph.directions)
    count = graph.present.sum(axis=1)

    region = np.empty((1, pack["region2"][1].size), np.float32)
    empty = np.empty((1, 0), np.float32)
    two_layers(graph.region[None], empty, empty, False, pack["region1"], pack["region2"], region)
    context = np.maximum(region, 0)
    around = np.repeat(context, n, axis=0)
    h, own, other = (np.empty((n, WIDTH), np.float32) for _ in range(3))
    two_layers(graph.nodes, around, nothing, False, pack["enter1"], pack["enter2"], h)
    vectors = np.zeros((n, CHANNELS, axes), np.float32)
    change = np.empty_like(h)
    with ThreadPoolExecutor(threads) as pool:
        for r in range(ROUNDS + 1):
            one_layer(h, around, True, pack[f"own{r}"], LINEAR, own)
            one_layer(h, nothing, True, pack[f"other{r}"], LINEAR, other)
            kernel, bias, head = (weights[f"edge{r}_{part}"] for part in ("kernel", "bias", "head"))
            outputs = head if r == ROUNDS else head[:, :0]
            means, pulls, out = forward(
                edges, NEAR_EDGES, r < ROUNDS, own, other, vectors, bias, kernel, outputs, pool=pool
            )
            if r == ROUNDS:
                break
            add_pulls(pulls, np.ascontiguousarray(head.T), weights[f"keep{r}"].reshape(-1), count, vectors)
            two_layers(h, means, around, True, pack[f"update{r}a"], pack[f"update{r}b"], change)
            h += change
            if r == ROUNDS // 2 - 1:
                around = np.repeat(_after_sharing(h, context, pack), n, axis=0)
    last = np.empty((n, NODE_HEADS), np.float32)
    two_layers(h, means, nothing, True, pack["last"], pack["heads"], last)
    votes = np.where(graph.present > 0, out[:, :, 0], -np.inf)
    top = np.maximum(votes.max(axis=1), last[:, 1])
    weight = np.exp(votes - top[:, None])
    total = np.exp(last[:, 1] - top)
    for e in range(weight.shape[1]):
        total = total + weight[:, e]
    offset = np.zeros((n, axes))
    length = np.exp(graph.edges[:, :, 0]) * graph.present * graph.unit_nm
    for e in range(weight.shape[1]):
        offset += (weight[:, e] / total * length[:, e])[:, None] * graph.directions[:, e]
    return Said(
        _sigmoid(last[:, 0]),
        offset,
        np.exp(last[:, 2].astype(np.float64)) * graph.unit_nm,
        np.exp(np.clip(last[:, 3], -6, 5).astype(np.float64)) * graph.unit_nm,
        _sigmoid(out[:, :, 1]),
    )


def _packed(weights: Mapping[str, NDArray[np.float32]]) -> dict[str, _Packed]:
    """The dense layers by name, as the kernels take them."""
    none = np.zeros(WIDTH, np.float32)
    names = [name.removesuffix("_kernel") for name in weights if name.endswith("_kernel")]
    dense = [name for name in names if not name.startswith("edge")]
    return {name: packed(weights[f"{name}_kernel"], weights.get(f"{name}_bias", none)) for name in dense}


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    return (1 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.float32)


def _after_sharing(
    h: NDArray[np.float32], context: NDArray[np.float32], pack: Mapping[str, _Packed]
) -> NDArray[np.float32]:
    """The region's context once its localizations have shared what they saw."""
    given = np.empty((len(h), SHARED), np.float32)
    one_layer(h, np.empty((len(h), 0), np.float32), True, pack["share"], LINEAR, given)
    steps = np.rint(SHARED_STEPS * _sigmoid(given)).astype(np.int64).sum(axis=0)
    mean = (steps / (SHARED_STEPS * len(h))).astype(np.float32)
    more = np.empty_like(context)
    one_layer(4 * mean[None] - 2, np.empty((1, 0), np.float32), False, pack["shared"], RECTIFIED, more)
    return context + more
