"""One round of messages between localizations, compiled.

A message from neighbor j to localization i is relu(S_i + T_j + B_e + C f_ij), where f_ij are the inputs of the edge
and, for each vector channel k, the products V_ik.u_ij, V_jk.u_ij and V_ik.V_jk with the direction u_ij; being scalar
products they do not change when the field is turned or mirrored. Messages are averaged over the near and over the far
edges; times their directions they give vectors; each can also give numbers of its own through a matrix.

A localization's messages are taken in the order of its edges, each number in a lane of its own: the bits do not depend
on which localizations are computed together.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from caml_dask.compiled import njit
from caml_dask.networks.field.graph import CHANNELS, EDGE_INPUTS, WIDTH
from caml_dask.networks.inference.vectors import vectors

LANES = 8
"""On every CPU, for sums over them are part of the result."""
_OCTETS = vectors(LANES)
load, store, splat, multiply_add = _OCTETS.load, _OCTETS.store, _OCTETS.splat, _OCTETS.multiply_add
larger, plus = _OCTETS.larger, _OCTETS.plus
PARTS = WIDTH // LANES  # known to the compiler, which then unrolls
PRODUCTS = 3 * CHANNELS
INPUTS = EDGE_INPUTS + PRODUCTS
CHUNK = 512
"""Localizations that are computed together: what is known of them meanwhile stays in the CPU's caches."""


class Edges(NamedTuple):
    """The edges of the fields of a batch, as :class:`~caml_dask.networks.field.graph.Graph` has them."""

    neighbors: NDArray[np.int32]
    present: NDArray[np.float32]
    inputs: NDArray[np.float32]
    directions: NDArray[np.float32]

    def of(self, rows: slice) -> Edges:
        """The edges of some localizations."""
        return Edges(self.neighbors[rows], self.present[rows], self.inputs[rows], self.directions[rows])


def in_chunks(n: int, run: Callable[[slice], object], pool: ThreadPoolExecutor | None) -> None:
    """Call `run` for each CHUNK of n rows, by the threads of a pool where there is one."""
    list((map if pool is None else pool.map)(run, (slice(at, min(at + CHUNK, n)) for at in range(0, n, CHUNK))))


@njit(inline="always")
def edge_inputs(i, e, own, j, vectors, inputs, directions, out):  # type: ignore[no-untyped-def]
    """Fill `out`, (F,), with the inputs of an edge: what is given, then the products of the vector channels.

    `own` and `j` are the rows of its ends in `vectors`.
    """
    for f in range(EDGE_INPUTS):
        out[f] = inputs[i, e, f]
    for k in range(CHANNELS):
        a = b = c = np.float32(0)
        for x in range(vectors.shape[2]):
            a += vectors[own, k, x] * directions[i, e, x]
            b += vectors[j, k, x] * directions[i, e, x]
            c += vectors[own, k, x] * vectors[j, k, x]
        at = EDGE_INPUTS + 3 * k
        out[at], out[at + 1], out[at + 2] = a, b, c


@njit(inline="always")
def unrectified(own, i, other, j, bias, e, kernel, inputs, out):  # type: ignore[no-untyped-def]
    """Fill `out`, (P, LANES), with the message of an edge before it is rectified, two vectors at a time."""
    for p in range(0, PARTS, 2):
        a = plus(plus(load(own, i * PARTS + p), load(other, j * PARTS + p)), load(bias, e * PARTS + p))
        b = plus(plus(load(own, i * PARTS + p + 1), load(other, j * PARTS + p + 1)), load(bias, e * PARTS + p + 1))
        for f in range(INPUTS):
            value = splat(inputs[f])
            a = multiply_add(load(kernel, f * PARTS + p), value, a)
            b = multiply_add(load(kernel, f * PARTS + p + 1), value, b)
        store(a, out, p)
        store(b, out, p + 1)


@njit(inline="always")
def dots(values, rows, first, lanes, out):  # type: ignore[no-untyped-def]
    """Fill `out`, (q,), with the products of `values`, (P, LANES), with q arrays in `rows` from place `first` on.

    `lanes`, (q, LANES), is working memory.
    """
    for q in range(out.shape[0]):
        total = splat(np.float32(0))
        for p in range(PARTS):
            total = multiply_add(load(values, p), load(rows, first + q * PARTS + p), total)
        store(total, lanes, q)
        out[q] = 0
    for r in range(LANES):
        for q in range(out.shape[0]):
            out[q] += lanes[q, r]


@njit(inline="always")
def add(values, factor, into, first):  # type: ignore[no-untyped-def]
    """Add a multiple of `values`, (P, LANES), to what stands in `into` from place `first` on."""
    factors = splat(factor)
    for p in range(PARTS):
        store(multiply_add(load(values, p), factors, load(into, first + p)), into, first + p)


@njit()
def messages_of_a_round(  # type: ignore[no-untyped-def]
    first,
    near,
    own,
    other,
    vectors,
    neighbors,
    present,
    inputs,
    directions,
    bias,
    kernel,
    head,
    means,
    pulls,
    out,
):
    """Fill `means`, `pulls` and `out`, see :func:`gather_messages`."""
    n, edges, outputs = out.shape
    axes = pulls.shape[0] // own.shape[0]
    features, message = np.empty(INPUTS, np.float32), np.empty((PARTS, LANES), np.float32)
    lanes, products, zero = np.empty((outputs, LANES), np.float32), np.empty(outputs, np.float32), splat(np.float32(0))
    of_near, of_far = np.float32(1 / near), np.float32(1 / (edges - near))
    for i in range(n):
        for p in range(2 * PARTS):
            store(zero, means, i * 2 * PARTS + p)
        for p in range(axes * PARTS):
            store(zero, pulls, i * axes * PARTS + p)
        for e in range(edges):
            if present[i, e] == 0:
                out[i, e, :] = 0
                continue
            j = np.int64(neighbors[i, e])
            edge_inputs(i, e, first + i, j, vectors, inputs, directions, features)
            unrectified(own, i, other, j, bias, e, kernel, features, message)
            for p in range(PARTS):
                store(larger(load(message, p), zero), message, p)
            far = e >= near
            add(message, of_far if far else of_near, means, (2 * i + far) * PARTS)
            for x in range(axes):
                add(message, directions[i, e, x], pulls, (i * axes + x) * PARTS)
            if outputs > 0:
                dots(message, head, 0, lanes, products)
                for k in range(outputs):
                    out[i, e, k] = products[k]


def in_lanes(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """An array in parts of LANES, (m, LANES)."""
    return np.ascontiguousarray(values).reshape(-1, LANES)


def gather_messages(
    edges: Edges, near: int, pulls: bool, *tensors: NDArray[np.float32], first: int = 0
) -> tuple[NDArray[np.float32], ...]:
    """What a round gives some localizations: means, pulls, and the outputs of each edge.

    Parameters
    ----------
    edges : Edges
        E edges of each of n localizations to m.
    near : int
        How many of them are near ones.
    pulls : bool
        Whether pulls are wanted.
    tensors : float32 arrays
        own (n, W), other (m, W), vectors (m, C, d), bias (E, W), kernel (F, W), head (W, K); W a multiple of 2 LANES.
    first : int
        Row of the first of the n among the m; the others follow it.

    Returns
    -------
    means : (n, 2 W) float32
        Of the messages over near, then far edges; an edge that is missing counts as a message of zeros.
    pulls : (n, d, W) float32
        Sums of the messages times their directions; (n, 0, W) where they are not wanted.
    out : (n, E, K) float32
        Messages times the head.
    """
    own, other, vectors, bias, kernel, head = tensors
    arrays = in_lanes(own), in_lanes(other), np.ascontiguousarray(vectors), *edges, in_lanes(bias), in_lanes(kernel)
    n, width = own.shape
    means = np.empty((n, 2 * width), np.float32)
    summed = np.empty((n, vectors.shape[2] if pulls else 0, width), np.float32)
    out = np.empty((*edges.neighbors.shape, head.shape[1]), np.float32)
    into = in_lanes(head.T), in_lanes(means), in_lanes(summed), out
    messages_of_a_round(first, near, *arrays, *into)
    return means, summed, out
